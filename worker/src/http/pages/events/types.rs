//! The types of events: those that documents declare, and those that triggers name.

use std::collections::BTreeMap;

use almanac_base::names::DefinitionId;
use almanac_core::event_types::{EventTypeStatus, EventTypeUse, EventTypes};
use almanac_core::record::Delivery;
use maud::{Markup, html};

use super::super::condition::{Tone, state};
use super::super::glyphs::Glyph;
use super::super::links;
use super::Query;
use super::list::cut;
use crate::wording::counted;

/// Maximum number of types that are shown.
const SHOWN: usize = 50;
/// Maximum number of definitions that are named beside a type.
const DEFINITIONS: usize = 5;
/// Maximum number of characters of a description that are shown.
const WIDTH: usize = 160;

pub(super) fn section(all: &EventTypes, deliveries: &[Delivery]) -> Markup {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for one in deliveries {
        *counts.entry(&one.event.kind).or_default() += 1;
    }
    let more = all.types.len().saturating_sub(SHOWN);
    html! {
        section.sec id="types" data-live {
            header {
                h2 { "Types of events" }
                span.dim { "that a document declares or a trigger names" }
            }
            @if all.types.is_empty() {
                p.dim { "There are none. A document of " code { "kind: event_type" } " declares one, and gives its data a schema." }
            } @else {
                table.data.wide {
                    thead { tr { th { "Type" } th { "Schema" } th { "Triggers" } th { "Arrived here" } } }
                    tbody {
                        @for (name, one) in all.types.iter().take(SHOWN) {
                            (row(name, one, counts.get(name.as_str()).copied().unwrap_or_default()))
                        }
                    }
                }
                @if more > 0 { p.dim { "and " (more) " more" } }
            }
            @if !all.any_type.is_empty() {
                p.dim { "Events of any type may start: " (definitions(&all.any_type)) }
            }
        }
    }
}

fn row(name: &str, one: &EventTypeUse, arrived: usize) -> Markup {
    let triggers: usize = one.triggers.values().sum();
    html! {
        tr {
            td data-h="Type" { div {
                span.name { (name) }
                @if let Some(text) = &one.description { span.l2 { (cut(text, WIDTH)) } }
            } }
            td data-h="Schema" { (schema(one)) }
            td data-h="Triggers" { div {
                @if triggers == 0 { span.faint { "none: such an event starts nothing" } }
                @else { (counted(triggers as u64, "trigger", "triggers")) ": " (definitions(&one.triggers)) }
            } }
            td data-h="Arrived" { (super::number(arrived, &Query::of_type(name))) }
        }
    }
}

fn definitions(all: &BTreeMap<DefinitionId, usize>) -> Markup {
    let more = all.len().saturating_sub(DEFINITIONS);
    html! {
        @for (place, id) in all.keys().take(DEFINITIONS).enumerate() {
            @if place > 0 { ", " }
            a.link href=(links::definition(id.as_str())) { (id) }
        }
        @if more > 0 { " and " (more) " more" }
    }
}

/// What is checked of the data.
fn schema(one: &EventTypeUse) -> Markup {
    let checked = if one.has_schema {
        "the data must match"
    } else {
        "any data"
    };
    let (mark, tone, word, say) = match one.status {
        EventTypeStatus::Declared => (Glyph::Check, Tone::Quiet, "Declared", checked),
        EventTypeStatus::Stale => (
            Glyph::Stale,
            Tone::Red,
            "Stale",
            "the last good version checks",
        ),
        EventTypeStatus::Invalid => (Glyph::Broken, Tone::Red, "Invalid", "nothing is checked"),
        EventTypeStatus::OfRuns => (Glyph::Check, Tone::Quiet, "Made by Almanac", "ends of runs"),
        EventTypeStatus::Undeclared => (Glyph::Waiting, Tone::Ink, "Not declared", "any data"),
    };
    html! {
        div {
            (state(mark, tone, word))
            span.l2 {
                (say)
                @if tone == Tone::Red { ": " a.link href="/errors" { "errors" } }
            }
        }
    }
}
