//! `GET /events`: the deliveries of events to this process, newest first, and the types of events.

mod delivery;
mod first;
mod list;
mod query;
mod replay;
mod types;

use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_activities::router::DELIVERIES_KEPT;
use almanac_core::event_types::EventTypes;
use almanac_core::record::{Delivery, DeliveryState, DeliveryVia};
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

pub(super) use self::list::{cut, look, table};
pub(super) use self::query::Query;
use super::super::Service;
use super::super::problem::Problem;
use super::super::query::StrictQuery;
use super::frame::{Frame, Tab};
use super::glyphs::glyph;
use super::pager::pager;
use crate::backend::Backend;
use crate::event_words;
use crate::wording::counted;

/// Maximum number of deliveries on a page.
const PAGE: usize = 50;

/// The states in the order of their links: what needs a person is first.
const STATES: [DeliveryState; 6] = [
    DeliveryState::Dead,
    DeliveryState::Refused,
    DeliveryState::Waiting,
    DeliveryState::Started,
    DeliveryState::NoMatch,
    DeliveryState::Accepted,
];
/// The ways in the order of their links.
const WAYS: [DeliveryVia; 6] = [
    DeliveryVia::Http,
    DeliveryVia::Webhook,
    DeliveryVia::Nats,
    DeliveryVia::Emit,
    DeliveryVia::Run,
    DeliveryVia::Replay,
];

/// The routes of the pages about events.
pub(super) fn routes<B: Backend>() -> Router<Arc<Service<B>>> {
    Router::new()
        .route("/events", get(page))
        .route("/events/{id}", get(delivery::page))
        .route("/events/{id}/replay", get(replay::form).post(replay::act))
}

async fn page<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    StrictQuery(query): StrictQuery<Query>,
) -> Result<Response, Problem> {
    let _turn = service.page_loads.take(&frame.caller)?;
    let deliveries = service.backend.deliveries();
    let snapshot = service.backend.snapshot();
    let folders = service.backend.roots();
    let worker = service.backend.worker().clone();
    let (times, ui) = (frame.times, frame.temporal_ui());
    let may_operate = frame.caller.may_operate();
    let render = move || {
        let found = Found::of(&deliveries, &query);
        let types = EventTypes::of(&snapshot);
        let first = query.page.saturating_sub(1).saturating_mul(PAGE);
        let shown: Vec<_> = found.shown.iter().skip(first).take(PAGE).copied().collect();
        html! {
            div.head data-events {
                h1 { "Events" }
                p.dim { "What arrived, and what it started, newest first. Times are in UTC." }
                div.acts { a.btn href="#types" { "Types of events " span.faint { (types.types.len()) } } }
            }
            div id="filters" data-live { @if !deliveries.is_empty() { (chips(&found, &query)) } }
            @if !deliveries.is_empty() { (search(&query)) }
            div id="deliveries" data-live {
                @if deliveries.is_empty() { (first::section(&types, &folders, may_operate)) }
                @else {
                    (list::table(&shown, ui.as_deref(), &times))
                    @if shown.is_empty() { (nothing(&query, !found.shown.is_empty())) }
                    (pager(query.page, found.shown.len(), PAGE, |page| {
                        Query { page, ..query.clone() }.address()
                    }))
                }
            }
            @if !deliveries.is_empty() {
                p.faint.small.under {
                    "This worker, " span.mono { (worker) } ", remembers its last " (DELIVERIES_KEPT)
                    " deliveries that are refused, waiting or dead, and its last " (DELIVERIES_KEPT)
                    " others, until it ends. Other workers have lists of their own. Temporal has the runs."
                }
            }
            (types::section(&types, &deliveries))
        }
    };
    let main = service.render_workers.work(render).await?;
    Ok(frame.page(Some(Tab::Events), "Events", &main))
}

/// The deliveries that a query selects, and the numbers behind its links.
struct Found<'a> {
    shown: Vec<&'a Delivery>,
    /// Numbers of deliveries by state, among those that the other filters select.
    states: BTreeMap<DeliveryState, usize>,
    /// Numbers of deliveries by way, among those that the other filters select.
    ways: BTreeMap<DeliveryVia, usize>,
}

impl<'a> Found<'a> {
    fn of(deliveries: &'a [Delivery], query: &Query) -> Self {
        let mut found = Self {
            shown: Vec::new(),
            states: BTreeMap::new(),
            ways: BTreeMap::new(),
        };
        let text = query.searched();
        for one in deliveries {
            if !query.matches(one, text.as_deref()) {
                continue;
            }
            let is_of_state = query.state.is_none_or(|state| state == one.state);
            let is_of_way = query.via.is_none_or(|via| via == one.via);
            if is_of_way {
                *found.states.entry(one.state).or_default() += 1;
            }
            if is_of_state {
                *found.ways.entry(one.via).or_default() += 1;
            }
            if is_of_state && is_of_way {
                found.shown.push(one);
            }
        }
        found
    }
}

fn chips(found: &Found<'_>, query: &Query) -> Markup {
    let sum = |counts: &mut dyn Iterator<Item = &usize>| counts.sum::<usize>();
    let all_states = sum(&mut found.states.values());
    let all_ways = sum(&mut found.ways.values());
    html! {
        div.filters {
            span.lead { "Show" }
            (chip(&query.with(|one| one.state = None), "All", all_states, query.state.is_none()))
            @for state in STATES {
                @let count = found.states.get(&state).copied().unwrap_or_default();
                (chip(&query.with(|one| one.state = Some(state)), event_words::state(state), count, query.state == Some(state)))
            }
            span.lead { "by" }
            (chip(&query.with(|one| one.via = None), "Any way", all_ways, query.via.is_none()))
            @for via in WAYS {
                @let count = found.ways.get(&via).copied().unwrap_or_default();
                @if count > 0 || query.via == Some(via) {
                    (chip(&query.with(|one| one.via = Some(via)), event_words::via(via), count, query.via == Some(via)))
                }
            }
            span.end {
                span id="shown" { (found.shown.len()) " shown" }
                @if !query.is_everything() { a.link href="/events" { "Show all" } }
            }
        }
    }
}

fn search(query: &Query) -> Markup {
    html! {
        form.filters.narrow method="get" action="/events" role="search" aria-label="Filter the list" {
            label.lead for="text" { "Text" }
            input id="text" name="q" type="search" maxlength="200" placeholder="in type, source or id"
                value=[query.q.as_deref()] autocomplete="off" spellcheck="false";
            label.lead for="definition" { "Definition" }
            input id="definition" name="definition" type="search" maxlength="128" placeholder="id"
                value=[query.definition.as_ref()] autocomplete="off" spellcheck="false";
            @if let Some(state) = query.state { input type="hidden" name="state" value=(state.as_str()); }
            @if let Some(via) = query.via { input type="hidden" name="via" value=(via.as_str()); }
            button { "Filter" }
        }
    }
}

fn chip(query: &Query, words: &str, count: usize, is_chosen: bool) -> Markup {
    html! {
        a.chip href=(query.address()) aria-current=[is_chosen.then_some("true")] {
            (words) " " span.n { (count) }
        }
    }
}

fn nothing(query: &Query, has_other_pages: bool) -> Markup {
    html! {
        p.empty {
            @if has_other_pages { "There is no such page. " a.link href=(query.with(|_| ()).address()) { "First page" } }
            @else { "No delivery matches. " a.link href="/events" { "Show all" } }
        }
    }
}

/// The state of a delivery as a drawing and a word.
pub(super) fn state(state: DeliveryState) -> Markup {
    let (mark, tone) = list::look(state);
    html! { span.st.(tone.class()) { (glyph(mark)) (event_words::state(state)) } }
}

/// A number of deliveries, as a link to their list.
fn number(count: usize, query: &Query) -> Markup {
    html! {
        @if count == 0 { span.faint { "none" } }
        @else { a.link href=(query.address()) { (counted(count as u64, "delivery", "deliveries")) } }
    }
}
