//! The marks of a lane, and the starts of all schedules, as SVG with its geometry in
//! attributes: places are percentages, so the drawing stretches with the page.

use almanac_activities::timeline::{Band, Gap, Lane, RunStatus, TimelineOverview, TimelineRun};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::super::links;
use super::axis::{Axis, percent};
use super::title;
use crate::wording::gap_cause;

/// Height of the drawing of starts, in pixels.
const DENSITY: f64 = 64.0;
/// Space above its bars, for words.
const ABOVE: f64 = 16.0;

/// A lane.
pub(super) fn lane(
    lane: &Lane,
    overview: &TimelineOverview,
    axis: &Axis,
    ui: Option<&str>,
) -> Markup {
    let id = lane.schedule.definition.as_str();
    let here = links::definition(id);
    html! {
        svg.ln role="group" aria-label=(spoken(lane)) {
            @if lane.schedule.paused && overview.now < overview.to {
                line.off x1=(axis.x(overview.now)) x2="100%" y1="12" y2="12" {}
            }
            @if let Some(set) = &lane.schedule.overridden {
                @let until = set.until.unwrap_or(overview.to);
                rect.ovband x=(axis.x(set.at)) y="1" width=(axis.width(set.at, until)) height="21" {
                    title { "overridden by " (set.by) ": " (set.reason) }
                }
            }
            @if let Some(band) = &lane.band { (self::band(band, overview, axis, &here)) }
            @for time in &lane.expected { (expected(lane, *time, axis, &here)) }
            @for gap in &lane.gaps { (self::gap(lane, gap, axis, &here)) }
            @for run in &lane.runs { (self::run(run, overview.now, axis, ui, &here)) }
        }
    }
}

/// The lane in words, for those who do not see it.
fn spoken(lane: &Lane) -> String {
    let failed = lane.runs.iter().filter(|run| run.status.is_failure());
    let (runs, failed) = (lane.runs.len(), failed.count());
    let often = if lane.band.is_some() {
        "many runs; "
    } else {
        ""
    };
    format!(
        "{often}{runs} runs, {failed} failed, {} missed, {} to come",
        lane.gaps.len(),
        lane.expected.len()
    )
}

fn run(run: &TimelineRun, now: Timestamp, axis: &Axis, ui: Option<&str>, here: &str) -> Markup {
    let end = run.ended.unwrap_or(now);
    let (class, words) = match run.status {
        RunStatus::Completed | RunStatus::ContinuedAsNew => ("ok", "completed"),
        RunStatus::Failed => ("bad", "failed"),
        RunStatus::TimedOut => ("bad", "timed out"),
        RunStatus::Terminated => ("bad", "terminated"),
        RunStatus::Running | RunStatus::Paused => ("run", "running since"),
        RunStatus::Canceled => ("cut", "canceled"),
        RunStatus::Unknown => ("cut", "ended"),
    };
    let link = ui.map(|ui| links::temporal_run(ui, &run.workflow_id, &run.run_id));
    let due = run.due.filter(|due| *due != run.started);
    let due = due
        .map(|due| format!(", due {}", axis.exact(due)))
        .unwrap_or_default();
    html! {
        a href=(link.as_deref().unwrap_or(here)) tabindex="-1" {
            rect.(class) x=(axis.x(run.started)) y="5" width=(axis.width(run.started, end)) height="13" {
                title { (title(words, run.started, run.ended, axis)) (due) }
            }
            @if run.status.is_failure() {
                svg x=(axis.x(run.started)) y="0" overflow="visible" { path.bad d="M-3 0h7l-3.500 4z" {} }
            }
        }
    }
}

fn expected(lane: &Lane, time: Timestamp, axis: &Axis, here: &str) -> Markup {
    let x = axis.x(time);
    let length = lane
        .typical
        .and_then(|typical| i64::try_from(typical.milliseconds).ok());
    let end = length.and_then(|length| time.checked_add(SignedDuration::from_millis(length)).ok());
    html! {
        a href=(here) tabindex="-1" {
            @if let Some(end) = end {
                rect.typ x=(x) y="7" width=(axis.width(time, end)) height="9" {}
            }
            line.tick x1=(x) x2=(x) y1="4" y2="19" { title { "due " (axis.exact(time)) } }
        }
    }
}

fn gap(lane: &Lane, gap: &Gap, axis: &Axis, here: &str) -> Markup {
    let length = lane
        .typical
        .map_or(60_000, |typical| typical.milliseconds.max(60_000));
    let length = SignedDuration::from_millis(i64::try_from(length).unwrap_or(60_000));
    let end = gap.due.checked_add(length).unwrap_or(gap.due);
    html! {
        a href=(here) tabindex="-1" {
            rect.gapbox x=(axis.x(gap.due)) y="5" width=(axis.width(gap.due, end)) height="13" fill="url(#hatch)" {
                title { "due " (axis.exact(gap.due)) ", did not start"
                    @if let Some(cause) = gap.cause { ": " (gap_cause(cause)) } }
            }
        }
    }
}

/// The slots of a lane with more marks than can be drawn, neighbors as one.
fn band(band: &Band, overview: &TimelineOverview, axis: &Axis, here: &str) -> Markup {
    let slot = |number: usize| slot_start(overview, number);
    html! {
        a href=(here) tabindex="-1" {
            @for (first, last) in spans(&band.starts) {
                rect.band x=(axis.x(slot(first))) y="8" width=(axis.width(slot(first), slot(last))) height="7" {
                    title { "runs more often than can be drawn" }
                }
            }
            @for (first, last) in spans(&band.expected) {
                rect.band.f x=(axis.x(slot(first))) y="8" width=(axis.width(slot(first), slot(last))) height="7" {
                    title { "fires more often than can be drawn" }
                }
            }
            @for (first, last) in spans(&band.failures) {
                rect.bad x=(axis.x(slot(first))) y="5" width=(axis.width(slot(first), slot(last))) height="13" {
                    title { "failed runs" }
                }
            }
        }
    }
}

/// The start of a slot.
fn slot_start(overview: &TimelineOverview, number: usize) -> Timestamp {
    let seconds = i64::try_from(number)
        .unwrap_or(i64::MAX)
        .saturating_mul(overview.slot_seconds);
    let start = overview
        .slots_from
        .saturating_add(SignedDuration::from_secs(seconds));
    start.unwrap_or(overview.to)
}

/// Neighboring slots with a count, as ranges whose end is not part of them.
fn spans(counts: &[u32]) -> Vec<(usize, usize)> {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for (place, count) in counts.iter().enumerate() {
        match spans.last_mut() {
            _ if *count == 0 => {}
            Some((_, end)) if *end == place => *end += 1,
            _ => spans.push((place, place + 1)),
        }
    }
    spans
}

/// The starts of all schedules in the busiest minute of each slot, and the free spans.
pub(super) fn density(overview: &TimelineOverview, axis: &Axis) -> Markup {
    let most = overview.busiest.map_or(1, |busiest| busiest.starts.max(1));
    let busiest_at = overview.busiest.map(|busiest| busiest.at);
    let density = &overview.density;
    let now = overview.now;
    html! {
        svg role="img" aria-label={ "Starts a minute, at most " (most) } {
            @for free in &overview.free {
                rect.d-free x=(axis.x(free.from)) y=(DENSITY - 8.0) width=(axis.width(free.from, free.to)) height="8" {
                    title { "free from " (axis.exact(free.from)) " to " (axis.exact(free.to)) }
                }
            }
            @for (number, count) in density.busiest.iter().enumerate() {
                @if *count > 0 {
                    @let (start, end) = (slot_start(overview, number), slot_start(overview, number + 1));
                    @let height = f64::from(*count) / f64::from(most) * (DENSITY - ABOVE);
                    @let is_busiest = busiest_at.is_some_and(|at| start <= at && at < end);
                    @let class = if is_busiest { "d-hot" } else if start < now { "d-past" } else { "d-next" };
                    rect.(class) x=(axis.x(start)) y=(format!("{:.1}", DENSITY - height))
                        width=(percent((axis.place(end) - axis.place(start)) * 0.8)) height=(format!("{height:.1}")) {
                        title { (count) " in a minute, " (axis.exact(start)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighboring_slots_are_one_span() {
        assert_eq!(spans(&[]), []);
        assert_eq!(spans(&[0, 0]), []);
        assert_eq!(spans(&[1, 2, 0, 3, 0, 0, 1]), [(0, 2), (3, 4), (6, 7)]);
        assert_eq!(spans(&[1; 5]), [(0, 5)]);
    }
}
