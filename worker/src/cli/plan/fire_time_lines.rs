//! The fire times before and after a change as lines of text.

use almanac_core::plan::BlockKind;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::console::{Cell, Tone};
use crate::fire_times::{TIMES_SHOWN, TimesChange};

/// The lines of the times, each with its sign.
pub(super) fn lines(times: &TimesChange, kind: BlockKind) -> Vec<Cell> {
    let zone = TimeZone::get(&times.timezone).unwrap_or(TimeZone::UTC);
    let format = if times.timezone == "UTC" {
        "%a %Y-%m-%d %H:%M:%S UTC"
    } else {
        "%a %Y-%m-%d %H:%M:%S %:z"
    };
    let shown = |at: Timestamp| at.to_zoned(zone.clone()).strftime(format).to_string();
    if kind == BlockKind::Create {
        let after = times.after.iter().take(TIMES_SHOWN);
        let after: Vec<_> = after.map(|at| shown(*at).into()).collect();
        return if after.is_empty() {
            vec!["never".into()]
        } else {
            after
        };
    }
    let signed = |sign: char, text: &str| match sign {
        '-' => Cell::toned(Tone::Bad, format!("- {text}")),
        '+' => Cell::toned(Tone::Good, format!("+ {text}")),
        _ => format!("  {text}").into(),
    };
    let mut lines = Vec::new();
    if kind == BlockKind::Update && times.before.is_empty() {
        lines.push(signed('-', "never"));
    }
    let merged = times.merged().into_iter();
    lines.extend(merged.map(|time| match time {
        Some((at, sign)) => signed(sign, &shown(at)),
        None => signed(' ', "…"),
    }));
    if kind == BlockKind::Update && times.after.is_empty() {
        lines.push(signed('+', "never"));
    }
    lines
}
