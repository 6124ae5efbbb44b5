//! The summary below a drawing: the busiest minute, free spans, gaps, and what is not shown.

use std::collections::BTreeMap;
use std::time::Duration;

use almanac_activities::timeline::{FreeSpan, Lane};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Shown;
use super::draw::is_empty;
use crate::console::{Cell, Page, Tone};
use crate::time_text::span;
use crate::wording::gap_cause;

/// Maximum number of free spans that are shown.
const FREE: usize = 3;
/// Maximum number of lines about gaps.
const GAPS: usize = 10;
/// Maximum number of times in a line about gaps; the latest are shown.
const TIMES: usize = 3;
/// Maximum number of names in a line.
const NAMES: usize = 20;

/// A time in a zone, such as `Sun 29 Nov 14:05`.
pub(super) fn moment(time: Timestamp, zone: &TimeZone) -> String {
    let time = time.to_zoned(zone.clone());
    time.strftime("%a %d %b %H:%M").to_string()
}

pub(super) fn summary(shown: &Shown, zone: &TimeZone, page: &mut Page) {
    let overview = &shown.overview;
    let sum = |counts: &[u32]| counts.iter().map(|count| u64::from(*count)).sum::<u64>();
    let (started, coming) = (
        sum(&overview.density.starts),
        sum(&overview.density.expected),
    );
    let mut facts = vec![(
        "starts",
        Cell::from(format!("{started} past, {coming} to come")),
    )];
    if let Some(busiest) = &overview.busiest {
        let starts = match busiest.starts {
            1 => "1 start".to_owned(),
            count => format!("{count} starts"),
        };
        let at = moment(busiest.at, zone);
        facts.push(("busiest", format!("{at}, {starts} in a minute").into()));
    }
    let free: Vec<_> = overview.free.iter().take(FREE).collect();
    let free: Vec<_> = free.into_iter().map(|one| free_span(one, zone)).collect();
    let mut free = free.into_iter();
    facts.push((
        "free",
        free.next()
            .unwrap_or_else(|| "no 10 minutes".to_owned())
            .into(),
    ));
    facts.extend(free.map(|one| ("", one.into())));
    facts.push(match overview.gaps {
        0 if overview.gaps_not_checked > 0 => ("gaps", "none known".into()),
        0 => ("gaps", Cell::from("none")),
        count => ("gaps", Cell::toned(Tone::Caution, count.to_string())),
    });
    page.facts(0, facts);
    gaps(&shown.lanes, zone, page);
    remarks(shown, zone, page);
}

/// A span of time, such as `Sun 29 Nov 14:05 to 16:00`.
pub(super) fn span_of_time(from: Timestamp, to: Timestamp, zone: &TimeZone) -> String {
    let start = from.to_zoned(zone.clone());
    let end = to.to_zoned(zone.clone());
    let end = if end.date() == start.date() {
        end.strftime("%H:%M").to_string()
    } else {
        moment(to, zone)
    };
    format!("{} to {end}", moment(from, zone))
}

fn free_span(free: &FreeSpan, zone: &TimeZone) -> String {
    let length = Duration::try_from(free.to.duration_since(free.from)).unwrap_or_default();
    let times = span_of_time(free.from, free.to, zone);
    format!("{times} ({})", span(length, 2))
}

/// The gaps of each lane, by their causes.
fn gaps(lanes: &[Lane], zone: &TimeZone, page: &mut Page) {
    let mut found = Vec::new();
    for lane in lanes {
        let mut by_cause: BTreeMap<&str, Vec<Timestamp>> = BTreeMap::new();
        for gap in &lane.gaps {
            by_cause
                .entry(gap.cause.map_or("due, not started", gap_cause))
                .or_default()
                .push(gap.due);
        }
        for (cause, times) in by_cause {
            found.push((lane, cause, times));
        }
    }
    for (lane, cause, times) in found.iter().take(GAPS) {
        let first = times.len().saturating_sub(TIMES);
        let latest: Vec<_> = times[first..]
            .iter()
            .map(|time| moment(*time, zone))
            .collect();
        let earlier = match first {
            0 => String::new(),
            count => format!("{count} earlier, "),
        };
        page.cut_cells([
            "  ".into(),
            Cell::toned(Tone::Caution, lane.schedule.definition.as_str()),
            format!(": {cause}: {earlier}{}", latest.join(", ")).into(),
        ]);
    }
    if found.len() > GAPS {
        page.line(format!("  and {} more", found.len() - GAPS));
    }
}

/// The parts that the drawing leaves out.
fn remarks(shown: &Shown, zone: &TimeZone, page: &mut Page) {
    let overview = &shown.overview;
    let mut remark = |text: String| page.cut_cells([Cell::toned(Tone::Muted, text)]);
    let empty: Vec<_> = shown.lanes.iter().filter(|lane| is_empty(lane)).collect();
    if !empty.is_empty() {
        let names = empty.iter().take(NAMES);
        let names: Vec<_> = names
            .map(|lane| lane.schedule.definition.as_str())
            .collect();
        let more = if empty.len() > NAMES { ", …" } else { "" };
        let schedules = schedules(empty.len() as u64);
        remark(format!(
            "nothing here: {schedules}: {}{more}",
            names.join(", ")
        ));
    }
    if shown.truncated > 0 {
        let more = shown.truncated;
        remark(format!(
            "not shown: {more} more; --selector selects fewer schedules"
        ));
    }
    if overview.runs.truncated {
        let from = overview.runs_from.map(|from| moment(from, zone));
        let from = from.unwrap_or_default();
        let found: u64 = overview.runs.found.values().sum();
        let read = overview.runs.read;
        remark(format!(
            "runs before {from} may be missing: {read} of {found} were read"
        ));
    }
    if overview.gaps_not_checked > 0 {
        let schedules = schedules(overview.gaps_not_checked);
        remark(format!(
            "{schedules} may have more gaps and could not be checked"
        ));
    }
    if overview.expected_until < overview.to && overview.now < overview.to {
        let until = moment(overview.expected_until, zone);
        remark(format!("after {until}, not all times to come are known"));
    }
}

fn schedules(count: u64) -> String {
    match count {
        1 => "1 schedule".to_owned(),
        count => format!("{count} schedules"),
    }
}
