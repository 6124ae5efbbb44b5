//! The next times, in the schedule's zone and in the viewer's, with changes of the clock.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use maud::{Markup, html};

use super::super::times::Times;
use super::Subject;

/// Number of times that are shown.
const SHOWN: usize = 10;

pub(super) fn section(subject: &Subject, times: &Times) -> Markup {
    let Some((zone, next, note)) = next(subject, times) else {
        return Markup::default();
    };
    html! {
        section.sec id="next" {
            header { h2 { "Next times" } span.end { (note) } }
            @if next.is_empty() { p.dim { "There are none." } }
            @else {
                table.data.next {
                    thead { tr {
                        th { "Day" } th { (zone) } th data-viewer-zone { "UTC" } th { "In" } th { span.vh { "Note" } }
                    } }
                    tbody { (rows(&zone, &next, times)) }
                }
            }
        }
    }
}

/// The zone, the times, and a note about them.
fn next(subject: &Subject, times: &Times) -> Option<(String, Vec<Timestamp>, &'static str)> {
    if let Some(detail) = subject.detail() {
        let view = &detail.view;
        let all = view.next_run.iter().chain(&view.next_runs).copied();
        let all: Vec<_> = all.filter(|time| *time > times.now).take(SHOWN).collect();
        if !view.paused {
            return Some((view.timezone.clone(), all, "as Temporal computes them"));
        }
    }
    let schedule = subject.served()?.definition.schedule.as_ref()?;
    let found = schedule.spec.times_after(times.now, SHOWN).times;
    let note = match subject.detail() {
        Some(_) => "if it were not paused",
        None => "once the schedule exists",
    };
    Some((schedule.spec.timezone.clone(), found, note))
}

fn rows(zone: &str, next: &[Timestamp], times: &Times) -> Markup {
    let timezone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    let mut before: Option<Offset> = Some(times.now.to_zoned(timezone.clone()).offset());
    html! {
        @for time in next {
            @let there = time.to_zoned(timezone.clone());
            @let change = change(before, there.offset());
            @let _ = before.replace(there.offset());
            tr.warm[change.is_some()] {
                td { (there.strftime("%a %-d %b")) }
                td { (there.strftime("%H:%M:%S %Z")) }
                td { time datetime=(time) data-viewer { (time.strftime("%H:%M:%S UTC")) } }
                td { (times.relative(*time, zone)) }
                td.small { @if let Some(change) = change { span.amber { (change) } } }
            }
        }
    }
}

/// Says that the clock changed between two times.
fn change(before: Option<Offset>, now: Offset) -> Option<&'static str> {
    let before = before?;
    match now.seconds().cmp(&before.seconds()) {
        std::cmp::Ordering::Less => Some("after the clocks go back"),
        std::cmp::Ordering::Greater => Some("after the clocks go forward"),
        std::cmp::Ordering::Equal => None,
    }
}
