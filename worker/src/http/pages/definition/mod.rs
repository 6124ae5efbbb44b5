//! `GET /definitions/{id}`: one definition and its schedule: what keeps it from doing what
//! its file says, its times, its runs and its history.

mod compared;
mod live_runs;
mod missed;
mod next_times;
mod notices;
mod runs;
mod source;
mod steps;

use std::sync::Arc;

use almanac_activities::schedules::LiveRuns;
use almanac_activities::schedules::view::ScheduleDetail;
use almanac_activities::timeline::Lane;
use almanac_core::record::HistoryEntry;
use almanac_core::snapshot::Loaded;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

pub(in crate::http) use self::live_runs::LiveRunsCache;
use self::source::SourceText;
use super::super::Service;
use super::super::definitions::{DefinitionView, failing_where};
use super::super::problem::Problem;
use super::super::query::Id;
use super::condition::{condition, run_status};
use super::frame::{Frame, Tab};
use super::glyphs::{Glyph, glyph};
use super::links;
use super::times::Times;
use crate::backend::{Backend, BackendError};
use crate::overview::{Condition, Overview, Row};
use crate::wording::{counted, missed_runs};

/// Everything that the page shows of a definition.
struct Subject {
    id: String,
    overview: Arc<Overview>,
    row: Row,
    detail: Result<Option<ScheduleDetail>, BackendError>,
    history: Vec<HistoryEntry>,
    /// The last days of the schedule.
    lane: Result<Option<Lane>, BackendError>,
    live: Arc<LiveRuns>,
    source: Option<SourceText>,
    /// The errors of the document.
    errors: Option<DefinitionView>,
    temporal: TemporalLinks,
    may_operate: bool,
}

impl Subject {
    fn served(&self) -> Option<&Loaded> {
        self.overview.served(&self.row)
    }

    fn detail(&self) -> Option<&ScheduleDetail> {
        self.detail.as_ref().ok()?.as_ref()
    }
}

/// Addresses in Temporal's own UI.
#[derive(Debug, Clone, Default)]
struct TemporalLinks {
    /// Address of the UI's page of the namespace.
    namespace: Option<String>,
}

impl TemporalLinks {
    fn schedule(&self, id: &str) -> Option<String> {
        let id = almanac_base::percent::encode(id);
        Some(format!("{}/schedules/{id}", self.namespace.as_ref()?))
    }

    fn run(&self, workflow_id: &str, run_id: &str) -> Option<String> {
        let encode = almanac_base::percent::encode;
        let namespace = self.namespace.as_ref()?;
        Some(format!(
            "{namespace}/workflows/{}/{}",
            encode(workflow_id),
            encode(run_id)
        ))
    }
}

pub(super) async fn page<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    Id(id): Id,
) -> Result<Response, Problem> {
    let _turn = service.describes.take(&frame.caller)?;
    let backend = &*service.backend;
    let seen = service.overviews.get(&service, frame.status()).await?;
    let Some(row) = seen.overview.row(&id).cloned() else {
        let detail = format!("there is no definition and no schedule `{id}`");
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    };
    let lane = async {
        match missed::window(frame.times.now) {
            Some(window) => backend.timeline_lane(&id, window).await,
            None => Ok(None),
        }
    };
    let (detail, history, lane, live) = tokio::join!(
        backend.schedule(&id),
        backend.history(&id),
        lane,
        service.live_runs.get(backend, &id)
    );
    let source = match &row.source {
        Some(source) => backend.source_text(source).await,
        None => None,
    };
    let snapshot = Arc::clone(&seen.overview.snapshot);
    let failing = failing_where(&snapshot, |known, _| {
        known.is_some_and(|known| known.as_str() == id)
    });
    let subject = Subject {
        source: source.map(|text| SourceText::of(&text, row.source.as_deref())),
        temporal: TemporalLinks {
            namespace: frame.temporal_ui(),
        },
        may_operate: frame.caller.may_operate(),
        overview: seen.overview,
        row,
        detail,
        lane,
        history: history.unwrap_or_default(),
        live: live.unwrap_or_default(),
        errors: failing.into_iter().next(),
        id,
    };
    let title = format!(
        "{} {}",
        super::condition::look(subject.row.conditions.first()).2,
        subject.id
    );
    Ok(frame.page(Some(Tab::Schedules), &title, &main(&subject, &frame.times)))
}

fn main(subject: &Subject, times: &Times) -> Markup {
    html! {
        div.head {
            div {
                p.crumb { a.link href="/" { "Schedules" } " / " (subject.row.source.as_deref().unwrap_or("no file")) }
                h1 data-about=(subject.id) { (subject.id) }
                @if let Some(text) = subject.overview.description(&subject.row) { p.lede { (text) } }
            }
            (actions(subject))
        }
        (notices::notices(subject, times))
        (facts(subject, times))
        div.cols {
            (source::section(subject))
            div { (next_times::section(subject, times)) (steps::section(subject, times)) (versions(subject, times)) }
        }
        (compared::section(subject))
        div.cols.runs {
            div { (runs::section(subject, times)) (missed::section(subject, times)) }
            (history(subject, times))
        }
    }
}

/// The actions that make sense now.
fn actions(subject: &Subject) -> Markup {
    let at = links::definition(&subject.id);
    let view = subject.detail().map(|detail| &detail.view);
    let is_conflict = subject.row.conditions.contains(Condition::Conflict);
    html! {
        div.acts {
            @if let Some(view) = view.filter(|_| !is_conflict && subject.may_operate) {
                a.btn href={ (at) "/trigger" } { (glyph(Glyph::Running)) "Run now…" }
                @if view.paused {
                    a.btn href={ (at) "/unpause" } { "Unpause…" }
                } @else {
                    a.btn href={ (at) "/pause" } { (glyph(Glyph::Paused)) "Pause…" }
                }
                a.btn href={ (at) "/override" } { "Override…" }
                a.btn href={ (at) "/backfill" } { "Backfill…" }
                @if view.overridden.is_some() { a.btn href={ (at) "/clear" } { "Clear override…" } }
                @if let Some(address) = subject.temporal.schedule(view.id.as_str()) {
                    a.btn.bare href=(address) rel="noreferrer" { "Temporal " (glyph(Glyph::Out)) }
                }
            }
        }
    }
}

fn facts(subject: &Subject, times: &Times) -> Markup {
    let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    let overview = &subject.overview;
    let labels = overview.labels(&subject.row);
    html! {
        dl.facts {
            (fact("State", condition(subject.row.conditions.first())))
            @if let Some(detail) = subject.detail() {
                @let view = &detail.view;
                @if let Some(next) = view.next_run {
                    (fact("Next", html! { b { (times.relative(next, &view.timezone)) } " "
                        span.dim { (times.absolute(next, &view.timezone)) } }))
                }
                (fact("Times", html! { (view.summary) }))
                @if let Some(run) = &view.last_run {
                    (fact("Last run", html! { (run_status(run.status.as_deref())) " " (times.relative(run.at, &view.timezone)) }))
                }
                (fact("Started", html! { (counted(detail.action_count, "run", "runs"))
                    @if let Some(left) = view.remaining_actions { ", " (left) " left" } }))
                @for missed in view.missed.map(missed_runs).unwrap_or_default() {
                    (fact("Missed", html! { span.amber { (missed) } }))
                }
                (fact("Schedule id", html! { span.mono { (view.id) } }))
            }
            @if !labels.is_empty() {
                (fact("Labels", html! { @for (name, value) in labels.iter() { span.lab { i { (name) } " " (value) } " " } }))
            }
            @if let Some(queue) = overview.queue(&subject.row) {
                (fact("Task queue", html! { span.mono { (queue) } }))
            }
            @if let Some(revision) = subject.served().map(|loaded| &loaded.definition.revision) {
                (fact("Revision", html! { span.mono { (revision) } }))
            }
        }
    }
}

/// The versions of the definition that runs still use.
fn versions(subject: &Subject, times: &Times) -> Markup {
    let versions = &subject.live.versions.versions;
    let current = subject.served().map(|loaded| &loaded.definition.revision);
    html! {
        @if !versions.is_empty() {
            section.sec {
                header { h2 { "Versions with running workflows" } }
                table.data { tbody {
                    @for one in versions {
                        tr {
                            td.mono {
                                @match &one.revision {
                                    Some(revision) => (revision),
                                    None => "unknown",
                                }
                            }
                            td { @if one.revision.as_ref() == current { "current" } @else { "earlier" } }
                            td { (counted(one.runs, "run", "runs")) }
                            td { @if let Some(oldest) = one.oldest { "since " (times.relative(oldest, "UTC")) } }
                        }
                    }
                } }
                @if subject.live.versions.truncated { p.dim { "There are more: not all runs were read." } }
            }
        }
    }
}

/// The operations and requests that the reconcile workflow remembers.
fn history(subject: &Subject, times: &Times) -> Markup {
    html! {
        section.sec id="history" {
            header { h2 { "History" } span.dim { "of operations and requests" } }
            @if subject.history.is_empty() {
                p.dim { "Nothing is remembered: only the last changes of a project are." }
            }
            ol.log {
                @for entry in &subject.history { (super::activity::entry(entry, None, times)) }
            }
        }
    }
}
