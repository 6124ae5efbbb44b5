//! The due times of the last days at which nothing started, and why.

use almanac_activities::timeline::{Gap, Lane};
use maud::{Markup, html};

use super::super::links;
use super::super::times::Times;
use super::Subject;
use crate::wording::{gap_cause, gaps_unknown};

/// Maximum number of times that are listed.
const LISTED: usize = 20;

pub(super) fn section(subject: &Subject, times: &Times) -> Markup {
    html! {
        @match subject.reading.lane.as_ref().map(|lane| (**lane).as_ref()) {
            Ok(Some(lane)) => (list(lane, times)),
            Ok(None) => {},
            Err(error) => section.sec id="gaps" {
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
        section.sec id="gaps" {
            header {
                h2 { "Did not start" }
                @if let Some(from) = lane.gaps_from { span.dim { "since " (times.exact(from, zone)) } }
                span.end { a.link href=(links::timeline_of(id.as_str())) { "Timeline" } }
            }
            @if let Some(why) = lane.gaps_unknown { p.dim { (gaps_unknown(why)) } }
            @else if lane.gaps.is_empty() {
                p.dim { "A run started at every due time." }
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
            td data-h="Why" { (gap.cause.map_or("the cause is not known", gap_cause)) }
        }
    }
}
