//! `GET /activity`: passes, requests of people and reloads in one list, newest first.

mod entries;
mod query;

use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_base::names::WorkerId;
use almanac_core::record::{HISTORY_KEPT_PER_SCHEDULE, REPORTS_KEPT, WorkerState};
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use self::query::Query;
use super::super::Service;
use super::super::activity::Recorded;
use super::super::problem::Problem;
use super::super::query::StrictQuery;
use super::condition::{Tone, state};
use super::frame::{Frame, Tab};
use super::glyphs::Glyph;
use super::pager::pager;
use super::times::Times;
use crate::activity_log::{ActivityLog, Entry, KindFilter};
use crate::backend::Backend;
use crate::registry::RELOADS_KEPT;

pub(super) use self::entries::history_entry;

/// Maximum number of entries on a page.
const PAGE: usize = 50;
/// Maximum number of names that the field for a person offers.
const PEOPLE: usize = 50;

pub(super) async fn page<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    StrictQuery(query): StrictQuery<Query>,
) -> Result<Response, Problem> {
    let _turn = service.page_loads.take(&frame.caller)?;
    let (recorded, away) = match Recorded::read(&service).await {
        Ok(recorded) => (recorded, None),
        Err(error) => (
            Recorded::reloads(&*service.backend),
            Some(error.to_string()),
        ),
    };
    let (times, worker) = (frame.times, service.backend.worker().clone());
    let workers = frame.status().map(|status| status.workers.clone());
    let render = move || {
        let log = recorded.log();
        let matching = log.matching(&query.filter());
        let first = query.page.saturating_sub(1).saturating_mul(PAGE);
        let shown: Vec<&Entry> = matching
            .iter()
            .map(|one| &one.entry)
            .skip(first)
            .take(PAGE)
            .collect();
        html! {
            div.head {
                h1 { "Activity" }
                p.dim { "What Almanac did, and what people asked for, newest first. Times are in UTC." }
            }
            (filters(&log, &query, matching.len()))
            div id="entries" data-live {
                @if let Some(why) = &away {
                    div.notice.red role="alert" {
                        (state(Glyph::Cross, Tone::Red, "No answer"))
                        span.say { "Passes and requests are not shown: " (why)
                            ". Schedules keep firing without Almanac. Below are the reloads of this worker." }
                    }
                }
                (entries::list(&shown, &query, &times))
                @if shown.is_empty() && away.is_none() { (nothing(&query, !matching.is_empty())) }
                (pager(query.page, matching.len(), PAGE, |page| {
                    Query { page, ..query.clone() }.address()
                }))
            }
            p.faint.small.under {
                "Almanac remembers the last " (HISTORY_KEPT_PER_SCHEDULE) " manual runs of each schedule, as many other "
                "entries about it and about the whole project, the reports of the last " (REPORTS_KEPT)
                " passes, and the changes of earlier ones. Reloads are the last "
                (RELOADS_KEPT) " of this worker, " span.mono { (worker) } "."
            }
            @if let Some(workers) = &workers { (self::workers(workers, &times)) }
        }
    };
    let main = service.render_workers.work(render).await?;
    Ok(frame.page(Some(Tab::Activity), "Activity", &main))
}

/// The words of a kind.
const fn words(kind: KindFilter) -> &'static str {
    match kind {
        KindFilter::Passes => "All passes",
        KindFilter::Changes => "Changes and new errors",
        KindFilter::Requests => "Requests of people",
        KindFilter::Runs => "Manual runs",
        KindFilter::Overrides => "Overrides",
        KindFilter::Reloads => "Reloads",
        KindFilter::Failures => "Failures",
    }
}

/// The kinds in the order of their links: what an operator looks for first is first.
const KINDS: [KindFilter; 7] = [
    KindFilter::Failures,
    KindFilter::Changes,
    KindFilter::Requests,
    KindFilter::Overrides,
    KindFilter::Runs,
    KindFilter::Reloads,
    KindFilter::Passes,
];

fn filters(log: &ActivityLog, query: &Query, total: usize) -> Markup {
    let count = |kind| {
        log.matching(&query.with(|query| query.kind = kind).filter())
            .len()
    };
    html! {
        div.filters id="filters" data-live {
            span.lead { "Show" }
            @for kind in [None].into_iter().chain(KINDS.map(Some)) {
                a.chip href=(query.with(|query| query.kind = kind).address())
                    aria-current=[(query.kind == kind).then_some("true")] {
                    (kind.map_or("All", words)) " " span.n { (count(kind)) }
                }
            }
            span.end {
                span id="shown" { (total) " shown" }
                @if !query.is_everything() { a.link href="/activity" { "Show all" } }
            }
        }
        form.filters.narrow method="get" action="/activity" role="search" aria-label="Filter the list" {
            label.lead for="definition" { "Definition" }
            input id="definition" name="definition" type="search" maxlength="200" placeholder="part of an id"
                value=[query.definition.as_deref()] autocomplete="off" spellcheck="false";
            label.lead for="by" { "Person" }
            input id="by" name="by" type="search" maxlength="200" placeholder="part of a name" list="people"
                value=[query.by.as_deref()] autocomplete="off" spellcheck="false";
            datalist id="people" {
                @for name in log.people().into_iter().take(PEOPLE) { option value=(name) {} }
            }
            @if let Some(kind) = query.kind { input type="hidden" name="kind" value=(kind.as_str()); }
            button { "Filter" }
        }
    }
}

fn nothing(query: &Query, has_other_pages: bool) -> Markup {
    html! {
        p.empty {
            @if has_other_pages { "There is no such page. " a.link href=(query.with(|_| ()).address()) { "First page" } }
            @else if query.is_everything() { "Nothing has happened yet. The first pass appears here." }
            @else { "Nothing matches. " a.link href="/activity" { "Show all" } }
        }
    }
}

fn workers(workers: &BTreeMap<WorkerId, WorkerState>, times: &Times) -> Markup {
    html! {
        section.sec id="workers" data-live {
            header { h2 { "Workers" } span.dim { (workers.len()) " alive" } }
            table.data.wide {
                thead { tr { th { "Worker" } th { "Version" } th { "Revision of the files" } th { "Last answer" } } }
                tbody {
                    @for (id, worker) in workers {
                        tr {
                            td.mono data-h="Worker" { (id) }
                            td data-h="Version" { (worker.version) }
                            td.mono data-h="Revision" { (worker.revision) }
                            td data-h="Last answer" { (times.relative(worker.answered_at, "UTC")) }
                        }
                    }
                }
            }
        }
    }
}
