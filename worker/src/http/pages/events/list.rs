//! Deliveries as a table.

use almanac_core::record::{Delivery, DeliveryState, TriggeredRun};
use maud::{Markup, html};

use super::super::condition::Tone;
use super::super::glyphs::Glyph;
use super::super::links;
use super::super::times::Times;
use crate::event_words;

/// Maximum number of triggers that a row shows.
const TRIGGERS: usize = 3;
/// Maximum number of characters of a text of an event that a row shows.
const WIDTH: usize = 120;
/// Maximum number of characters of a reason that a row shows.
const REASON: usize = 300;

/// The drawing and the color of a state.
pub(in crate::http::pages) const fn look(state: DeliveryState) -> (Glyph, Tone) {
    match state {
        DeliveryState::Accepted => (Glyph::Clock, Tone::Ink),
        DeliveryState::NoMatch => (Glyph::Skipped, Tone::Quiet),
        DeliveryState::Started => (Glyph::Check, Tone::Quiet),
        DeliveryState::Refused => (Glyph::Cross, Tone::Red),
        DeliveryState::Waiting => (Glyph::Overdue, Tone::Amber),
        DeliveryState::Dead => (Glyph::Broken, Tone::Red),
        DeliveryState::Unknown => (Glyph::Waiting, Tone::Ink),
    }
}

/// The deliveries, or nothing if there are none. `ui` is the namespace's page in the Temporal UI.
pub(in crate::http::pages) fn table(
    deliveries: &[&Delivery],
    ui: Option<&str>,
    times: &Times,
) -> Markup {
    html! {
        @if !deliveries.is_empty() {
            table.data.wide.deliveries {
                caption.vh { "Deliveries of events" }
                thead { tr {
                    th { "Time" } th { "State" } th { "Event" } th { "Came by" } th { "Runs" }
                } }
                tbody { @for one in deliveries { (row(one, ui, times)) } }
            }
        }
    }
}

fn row(delivery: &Delivery, ui: Option<&str>, times: &Times) -> Markup {
    let event = &delivery.event;
    let class = match delivery.state {
        DeliveryState::Refused | DeliveryState::Dead => "hot",
        DeliveryState::Waiting => "warm",
        _ => "",
    };
    html! {
        tr.(class) {
            td data-h="Time" { div {
                (times.exact(delivery.at, "UTC"))
                span.l2 { (times.relative(delivery.at, "UTC")) }
            } }
            td data-h="State" { (super::state(delivery.state)) }
            td data-h="Event" { div {
                a.name href=(links::delivery(&delivery.id)) { (cut(&event.kind, WIDTH)) }
                span.l2.mono { (cut(&event.source, WIDTH)) " · " (cut(&event.id, WIDTH)) }
            } }
            td data-h="Came by" { div {
                (event_words::via(delivery.via))
                @if let Some(by) = event_words::deliverer(delivery) { span.l2 { (cut(by, WIDTH)) } }
            } }
            td data-h="Runs" { div { (runs(delivery, ui)) } }
        }
    }
}

fn runs(delivery: &Delivery, ui: Option<&str>) -> Markup {
    let more = delivery.runs.len().saturating_sub(TRIGGERS) + delivery.truncated as usize;
    // The reason of a trigger stands behind the name of its definition.
    let is_of_trigger = delivery
        .runs
        .iter()
        .any(|run| run.result.reason().is_some());
    html! {
        @for run in delivery.runs.iter().take(TRIGGERS) {
            div.took {
                a.link href=(links::definition(run.definition.as_str())) { (run.definition) } " "
                span.dim { (event_words::result(&run.result)) }
                (workflow(run, ui))
                @if let Some(reason) = run.result.reason() { span.why { (cut(reason, REASON)) } }
            }
        }
        @if more > 0 { a.link href=(links::delivery(&delivery.id)) { "and " (more) " more" } }
        @if let Some(reason) = delivery.reason.as_ref().filter(|_| !is_of_trigger) {
            span.why { (cut(reason, REASON)) }
        }
        @if delivery.runs.is_empty() && delivery.reason.is_none() { span.faint { "–" } }
    }
}

/// The run that a trigger started or found, with its page in the Temporal UI.
pub(super) fn workflow(run: &TriggeredRun, ui: Option<&str>) -> Markup {
    let Some((workflow_id, run_id)) = event_words::run_of(&run.result) else {
        return Markup::default();
    };
    html! {
        span.run.mono {
            @match ui {
                Some(ui) => a.link href=(links::temporal_run(ui, workflow_id, run_id)) rel="noreferrer" {
                    (cut(workflow_id, WIDTH))
                },
                None => (cut(workflow_id, WIDTH)),
            }
        }
    }
}

/// A text that is cut to a number of characters.
pub(in crate::http::pages) fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
