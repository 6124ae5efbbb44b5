//! `GET /events/{id}`: one delivery: what arrived, and what each trigger did with it.

use std::sync::Arc;

use almanac_base::text::json;
use almanac_core::record::{Delivery, DeliveryState, EventKey, TriggeredRun};
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::super::super::Service;
use super::super::super::events::no_delivery;
use super::super::super::problem::Problem;
use super::super::super::query::Id;
use super::super::condition::Tone;
use super::super::frame::{Frame, Tab};
use super::super::glyphs::{Glyph, glyph};
use super::super::links;
use super::super::times::Times;
use super::Query;
use super::list::{cut, table, workflow};
use crate::backend::Backend;
use crate::event_words;

/// Maximum number of lines of an event that are shown.
const LINES: usize = 1000;
/// Maximum number of characters of a line that are shown.
const WIDTH: usize = 400;
/// Maximum number of lines of an event that is shown unfolded.
const UNFOLDED: usize = 60;
/// Maximum number of other deliveries of the same event that are shown.
const OTHERS: usize = 20;
/// Maximum number of characters of an attribute that are shown above the event.
const ATTRIBUTE: usize = 400;

pub(super) async fn page<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    Id(id): Id,
) -> Result<Response, Problem> {
    let _turn = service.page_loads.take(&frame.caller)?;
    let found = service.backend.delivery(&id);
    let (delivery, event) = found.ok_or_else(|| no_delivery(&id))?;
    let others = others(service.backend.deliveries(), &delivery);
    let (times, ui) = (frame.times, frame.temporal_ui());
    let may_operate = frame.caller.may_operate();
    let title = format!(
        "{} {}",
        event_words::state(delivery.state),
        cut(&delivery.event.kind, ATTRIBUTE)
    );
    let render = move || {
        let ui = ui.as_deref();
        html! {
            div.head data-events {
                div {
                    p.crumb { a.link href="/events" { "Events" } " / " (delivery.id) }
                    h1 { (cut(&delivery.event.kind, ATTRIBUTE)) }
                    p.lede { (event_words::meaning(&delivery)) }
                }
                div.acts {
                    @if may_operate && event.is_some() && delivery.has_event() {
                        a.btn href={ (links::delivery(&delivery.id)) "/replay" } { (glyph(Glyph::Running)) "Replay…" }
                    }
                }
            }
            div id="delivery" data-live {
                (notice(&delivery))
                (facts(&delivery, &times))
                div.cols {
                    (event_section(&delivery, event.as_deref()))
                    (triggers(&delivery, ui))
                }
                @if !others.is_empty() {
                    section.sec id="others" {
                        header { h2 { "The same event" } span.dim { "other deliveries with this source and id, the last " (OTHERS) " at most" } }
                        @let shown: Vec<_> = others.iter().collect();
                        (table(&shown, ui, &times))
                    }
                }
            }
        }
    };
    let main = service.render_workers.work(render).await?;
    Ok(frame.page(Some(Tab::Events), &title, &main))
}

/// The other deliveries of the same event, newest first.
fn others(all: Vec<Delivery>, delivery: &Delivery) -> Vec<Delivery> {
    let key = &delivery.event;
    let is_same =
        |other: &EventKey| delivery.has_event() && other.source == key.source && other.id == key.id;
    all.into_iter()
        .filter(|other| other.id != delivery.id && is_same(&other.event))
        .take(OTHERS)
        .collect()
}

/// The reason for the state, if it is not that runs were started.
fn notice(delivery: &Delivery) -> Markup {
    let (_, tone) = super::look(delivery.state);
    let class = match tone {
        Tone::Red => "red",
        Tone::Amber => "amber",
        _ => "plain",
    };
    html! {
        @if let Some(reason) = &delivery.reason {
            div.notice.(class) role="status" {
                (super::state(delivery.state))
                span.say.any { (reason) }
            }
        }
    }
}

fn facts(delivery: &Delivery, times: &Times) -> Markup {
    let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    let event = &delivery.event;
    let text = |text: &str| html! { span.mono { (cut(text, ATTRIBUTE)) } };
    html! {
        dl.facts.open {
            (fact("State", super::state(delivery.state)))
            (fact("Arrived", html! { b { (times.relative(delivery.at, "UTC")) } " "
                span.dim { (times.exact(delivery.at, "UTC")) } }))
            (fact("Came by", html! { (cut(&event_words::came(delivery), ATTRIBUTE)) }))
            (fact("Type", html! { a.link href=(Query::of_type(&cut_bytes(&event.kind)).address()) { (text(&event.kind)) } }))
            (fact("Source", text(&event.source)))
            (fact("Id", text(&event.id)))
            (fact("Size", html! { (delivery.bytes) " bytes" }))
            @if delivery.attempt > 1 { (fact("Attempt", html! { (delivery.attempt) })) }
        }
    }
}

/// A text that a filter takes.
fn cut_bytes(text: &str) -> String {
    text[..text.floor_char_boundary(200)].to_owned()
}

/// The event as JSON.
fn event_section(delivery: &Delivery, event: Option<&Value>) -> Markup {
    let nothing = |why: &str| {
        html! {
            section.sec id="event" {
                header { h2 { "Event" } }
                p.dim { (why) }
            }
        }
    };
    if !delivery.has_event() {
        return nothing("What arrived is no event, so there is nothing to show or to replay.");
    }
    let Some(event) = event else {
        return nothing(
            "This worker no longer keeps the event, so it cannot be shown or replayed.",
        );
    };
    let written = format!("{event:#}");
    let document = json(&written);
    let count = document.lines().count();
    let is_cut = document
        .lines()
        .any(|line| line.chars().nth(WIDTH).is_some());
    html! {
        section.sec id="event" {
            header { h2 { "Event" } span.dim { "as JSON" } }
            details open[count <= UNFOLDED] {
                summary { (count) " lines" }
                ol.src tabindex="0" aria-label="Lines of the event" {
                    @for line in document.lines().take(LINES) { li { code { (cut(line, WIDTH)) } } }
                }
            }
            @if count > LINES { p.dim { "and " (count - LINES) " more lines" } }
            @if is_cut || count > LINES {
                p.dim { "Long lines are cut. " code { "almanac events show ID --format json" } " prints all of it." }
            }
        }
    }
}

fn triggers(delivery: &Delivery, ui: Option<&str>) -> Markup {
    html! {
        section.sec id="triggers" {
            header { h2 { "Triggers that took it" } span.dim { (delivery.runs.len() + delivery.truncated as usize) } }
            @if delivery.runs.is_empty() {
                p.dim {
                    @if delivery.state == DeliveryState::Accepted { "They have not been evaluated." }
                    @else { "None. A trigger takes an event of its type, if its " code { "when" } " is true." }
                }
            } @else {
                ul.log { @for run in &delivery.runs { (trigger(run, ui)) } }
            }
            @if delivery.truncated > 0 { p.dim { "and " (delivery.truncated) " more" } }
        }
    }
}

fn trigger(run: &TriggeredRun, ui: Option<&str>) -> Markup {
    let (mark, tone) = match &run.result {
        result if result.is_refusal() => (Glyph::Cross, Tone::Red),
        result if result.reason().is_some() => (Glyph::Overdue, Tone::Amber),
        _ => (Glyph::Check, Tone::Quiet),
    };
    html! {
        li {
            span.st.(tone.class()) { (glyph(mark)) }
            div {
                a.link href=(links::definition(run.definition.as_str())) { (run.definition) } " "
                (event_words::result(&run.result))
                span.faint { " · trigger " (u64::from(run.trigger) + 1) }
                div { (workflow(run, ui)) }
                @if let Some(reason) = run.result.reason() { div.why { (reason) } }
            }
        }
    }
}
