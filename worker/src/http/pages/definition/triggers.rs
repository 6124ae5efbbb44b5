//! The triggers of a definition, what they took last, and the runs that events started.

use almanac_activities::schedules::EventRun;
use almanac_core::record::Delivery;
use maud::{Markup, html};

use super::super::super::Service;
use super::super::condition::{Tone, run_status, state};
use super::super::events::{Query, table};
use super::super::glyphs::Glyph;
use super::super::times::Times;
use super::Subject;
use crate::backend::Backend;
use crate::event_words::TriggerWords;
use crate::overview::{Overview, Row};
use crate::time_text::precise;

/// Maximum number of deliveries that are shown.
const DELIVERIES: usize = 5;
/// Maximum number of characters of a part of a trigger that are shown.
const WIDTH: usize = 300;

/// The last deliveries to this process that a row's triggers took, newest first.
pub(super) fn deliveries<B: Backend>(
    service: &Service<B>,
    overview: &Overview,
    row: &Row,
) -> Vec<Delivery> {
    let Some(loaded) = overview.served(row) else {
        return Vec::new();
    };
    let definition = &loaded.definition;
    if definition.triggers.is_empty() {
        return Vec::new();
    }
    let all = service.backend.deliveries().into_iter();
    let took = |one: &Delivery| one.runs.iter().any(|run| run.definition == definition.id);
    all.filter(took).take(DELIVERIES).collect()
}

/// Returns `true` if the definition that is served has triggers.
pub(super) fn has_triggers(subject: &Subject) -> bool {
    let served = subject.served();
    served.is_some_and(|loaded| !loaded.definition.triggers.is_empty())
}

/// The triggers and their last deliveries, or nothing if there are no triggers.
pub(super) fn section(subject: &Subject, times: &Times) -> Markup {
    let Some(loaded) = subject.served().filter(|_| has_triggers(subject)) else {
        return Markup::default();
    };
    let definition = &loaded.definition;
    let shown: Vec<_> = subject.deliveries.iter().collect();
    html! {
        section.sec id="triggers" {
            header { h2 { "Triggers" } span.dim { "events start a run" } }
            table.data.wide.triggers {
                thead { tr {
                    th { "Event" } th { "When" } th { "Input" } th { "Workflow id" } th { "If the id is taken" } th { "State" }
                } }
                tbody { @for words in TriggerWords::all(&definition.triggers) {
                    (trigger(&words, definition.enabled))
                } }
            }
        }
        section.sec id="deliveries" {
            header {
                h2 { "Last events" } span.dim { "that arrived at this worker" }
                span.end { a.link href=(Query::of_definition(&definition.id).address()) { "All events of this definition" } }
            }
            @if shown.is_empty() { p.dim { "None of the deliveries that this worker remembers was for this definition." } }
            (table(&shown, subject.temporal_ui.as_deref(), times))
        }
    }
}

fn trigger(words: &TriggerWords, is_enabled: bool) -> Markup {
    html! {
        tr {
            td.mono data-h="Event" { (cut(&words.event)) }
            td.mono data-h="When" {
                @match &words.when { Some(when) => (cut(when)), None => span.faint { "always" } }
            }
            td.mono data-h="Input" { (cut(&words.input)) }
            td.mono data-h="Workflow id" { (cut(&words.workflow_id)) }
            td data-h="If taken" { (words.on_conflict) }
            td data-h="State" {
                @if !words.enabled || !is_enabled { (state(Glyph::Paused, Tone::Ink, "Disabled")) }
                @else { (state(Glyph::Check, Tone::Quiet, "Enabled")) }
            }
        }
    }
}

/// The last runs that events started, or nothing if there are no triggers.
pub(super) fn runs(subject: &Subject, times: &Times) -> Markup {
    if !has_triggers(subject) {
        return Markup::default();
    }
    html! {
        section.sec id="event-runs" {
            header { h2 { "Runs that events started" } }
            @match &subject.reading.event_runs {
                Ok(runs) if runs.is_empty() => p.dim { "No event has started a run that Temporal still knows." },
                Ok(runs) => table.data.wide {
                    thead { tr { th { "Started" } th { "Duration" } th { "Result" } th { "Event" } th { "Workflow" } } }
                    tbody { @for run in runs { (row(subject, run, times)) } }
                },
                Err(error) => p.dim { "The runs could not be read: " (error.to_string()) },
            }
        }
    }
}

fn row(subject: &Subject, run: &EventRun, times: &Times) -> Markup {
    let link = subject.run_address(&run.workflow_id, &run.run_id);
    let is_bad = matches!(
        run.status.as_deref(),
        Some("failed" | "timed_out" | "terminated")
    );
    let event = &run.event.event;
    html! {
        tr.hot[is_bad] {
            td data-h="Started" { @if let Some(started) = run.started { (times.exact(started, "UTC")) } }
            td data-h="Duration" {
                @match (run.started, run.ended) {
                    (Some(started), Some(ended)) => (precise(started, ended)),
                    (Some(started), None) => { (precise(started, times.now)) " so far" },
                    _ => "–",
                }
            }
            td data-h="Result" { (run_status(run.status.as_deref())) }
            td data-h="Event" { div {
                (cut(&event.kind))
                span.l2.mono { (cut(&event.source)) " · " (cut(&event.id)) }
            } }
            td.mono data-h="Workflow" {
                @match link {
                    Some(address) => a.link href=(address) rel="noreferrer" title=(run.run_id) { (cut(&run.workflow_id)) },
                    None => span title=(run.run_id) { (cut(&run.workflow_id)) },
                }
            }
        }
    }
}

fn cut(text: &str) -> String {
    super::super::events::cut(text, WIDTH)
}
