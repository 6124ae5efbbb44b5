//! The due times of the last days at which nothing started, and why.

use almanac_activities::timeline::{Gap, Lane, Window};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::super::links;
use super::super::times::Times;
use super::Subject;
use crate::wording::{gap_cause, gaps_unknown};

/// Number of days that are searched.
const DAYS: i64 = 7;
/// Maximum number of times that are listed.
const LISTED: usize = 20;

/// The window that is searched; `None` at the edge of all times.
pub(super) fn window(now: Timestamp) -> Option<Window> {
    let from = now
        .checked_sub(SignedDuration::from_hours(24 * DAYS))
        .ok()?;
    Window::new(Some(from), Some(now), now).ok()
}

pub(super) fn section(subject: &Subject, times: &Times) -> Markup {
    html! {
        @match &subject.reading.lane {
            Ok(Some(lane)) => (list(lane, times)),
            Ok(None) => {},
            Err(error) => section.sec id="missed" {
                header { h2 { "Did not start" } }
                p.dim { "The runs could not be read: " (error.to_string()) }
            },
        }
    }
}

fn list(lane: &Lane, times: &Times) -> Markup {
    let zone = &lane.schedule.timezone;
    let id = &lane.schedule.definition;
    let more = lane.gaps.len().saturating_sub(LISTED);
    html! {
        section.sec id="missed" {
            header {
                h2 { "Did not start" }
                span.dim { "of the last " (DAYS) " days" }
                span.end { a.link href=(links::timeline_of(id.as_str())) { "Timeline" } }
            }
            @if let Some(why) = lane.gaps_unknown { p.dim { (gaps_unknown(why)) } }
            @else if lane.gaps.is_empty() {
                p.dim { "A run started at every due time" @if let Some(from) = lane.gaps_from { " since " (times.exact(from, zone)) } "." }
            }
            @else {
                table.data.wide {
                    thead { tr { th { "Due" } th { "Why" } } }
                    tbody { @for gap in lane.gaps.iter().rev().take(LISTED) { (row(gap, zone, times)) } }
                }
                @if more > 0 { p.dim { "and " (more) " earlier" } }
            }
        }
    }
}

fn row(gap: &Gap, zone: &str, times: &Times) -> Markup {
    html! {
        tr {
            td data-h="Due" { (times.exact(gap.due, zone)) }
            td data-h="Why" { (gap.cause.map_or("The reason is not known.", gap_cause)) }
        }
    }
}
