//! The fire times of a schedule before and after a change.

use std::collections::{BTreeMap, BTreeSet};

use almanac_core::plan::BlockKind;
use almanac_times::Spec;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::console::{Cell, Tone};

/// Number of fire times before and after in the data.
pub(super) const TIMES_COMPUTED: usize = 5;
/// Number of these times that are shown to people.
const TIMES_SHOWN: usize = 3;

/// The next fire times of a schedule that a pass would change.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Times {
    pub timezone: String,
    pub before: Vec<Timestamp>,
    pub after: Vec<Timestamp>,
    /// Times at which the schedule fires both before and after.
    #[serde(skip)]
    pub kept: BTreeSet<Timestamp>,
}

impl Times {
    /// Finds the times at which both specs fire.
    pub(super) fn find_kept(&mut self, specs: [&Spec; 2]) {
        let fires_at = |spec: &Spec, at: Timestamp| {
            let before = at.checked_sub(SignedDuration::from_nanos(1));
            before.is_ok_and(|before| spec.times_after(before, 1).times == [at])
        };
        let all = self.before.iter().chain(&self.after);
        let kept = all.filter(|at| specs.iter().all(|spec| fires_at(spec, **at)));
        self.kept = kept.copied().collect();
    }

    /// The first times before and after in their order. Each sign is `-` for a time that is
    /// removed, `+` for a time that is added, and a space for a time that stays. `None` stands
    /// for a gap.
    fn merged(&self) -> Vec<Option<(Timestamp, char)>> {
        let is_kept = |at: &Timestamp| {
            self.kept.contains(at) || (self.before.contains(at) && self.after.contains(at))
        };
        let lists = [(&self.before, '-'), (&self.after, '+')];
        let mut all = BTreeMap::new();
        for (times, sign) in lists {
            all.extend(
                times
                    .iter()
                    .map(|at| (*at, if is_kept(at) { ' ' } else { sign })),
            );
        }
        // After the last of a full list, a time may be missing.
        let ends = lists
            .iter()
            .filter(|(times, _)| times.len() >= TIMES_COMPUTED);
        let end = ends.filter_map(|(times, _)| times.last()).min();
        let mut shown: BTreeMap<char, usize> = BTreeMap::new();
        let mut merged = Vec::new();
        for (at, sign) in &all {
            let count = shown.entry(*sign).or_default();
            *count += 1;
            if *count > TIMES_SHOWN || end.is_some_and(|end| at > end) {
                break;
            }
            merged.push(Some((*at, *sign)));
        }
        for (times, _) in lists {
            let mut shown = merged.iter().flatten();
            if times.is_empty() || shown.any(|(at, _)| times.contains(at)) {
                continue;
            }
            merged.push(None);
            let first = times.iter().take(TIMES_SHOWN);
            merged.extend(first.map(|at| Some((*at, all[at]))));
        }
        merged
    }

    /// The lines of the times, each with its sign.
    pub(super) fn lines(&self, kind: BlockKind) -> Vec<Cell> {
        let zone = TimeZone::get(&self.timezone).unwrap_or(TimeZone::UTC);
        let format = if self.timezone == "UTC" {
            "%a %Y-%m-%d %H:%M:%S UTC"
        } else {
            "%a %Y-%m-%d %H:%M:%S %:z"
        };
        let shown = |at: Timestamp| at.to_zoned(zone.clone()).strftime(format).to_string();
        if kind == BlockKind::Create {
            let times = self.after.iter().take(TIMES_SHOWN);
            let times: Vec<_> = times.map(|at| shown(*at).into()).collect();
            return if times.is_empty() {
                vec!["never".into()]
            } else {
                times
            };
        }
        let signed = |sign: char, text: &str| match sign {
            '-' => Cell::toned(Tone::Bad, format!("- {text}")),
            '+' => Cell::toned(Tone::Good, format!("+ {text}")),
            _ => format!("  {text}").into(),
        };
        let mut lines = Vec::new();
        if kind == BlockKind::Update && self.before.is_empty() {
            lines.push(signed('-', "never"));
        }
        let merged = self.merged().into_iter();
        lines.extend(merged.map(|time| match time {
            Some((at, sign)) => signed(sign, &shown(at)),
            None => signed(' ', "…"),
        }));
        if kind == BlockKind::Update && self.after.is_empty() {
            lines.push(signed('+', "never"));
        }
        lines
    }
}
