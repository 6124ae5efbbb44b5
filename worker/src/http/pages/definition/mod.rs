//! `GET /definitions/{id}`: one definition and its schedule: what keeps it from doing what
//! its file says, its times, its runs and its history.

mod compared;
mod gaps;
mod next_times;
mod notices;
mod reading;
mod runs;
mod source;
mod steps;
mod triggers;

use std::sync::Arc;

use almanac_activities::schedules::view::ScheduleDetail;
use almanac_core::record::Delivery;
use almanac_core::snapshot::Loaded;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use self::reading::Reading;
pub(in crate::http) use self::reading::Readings;
use super::super::Service;
use super::super::problem::Problem;
use super::super::query::{Id, StrictQuery};
use super::condition::{of_row, run_status};
use super::frame::{Frame, Tab};
use super::glyphs::{Glyph, glyph};
use super::links;
use super::times::Times;
use crate::backend::Backend;
use crate::overview::{Condition, Overview, Row};
use crate::wording::{counted, missed_runs};

/// Everything that the page shows of a definition.
struct Subject {
    id: String,
    overview: Arc<Overview>,
    row: Row,
    reading: Arc<Reading>,
    /// The last deliveries to this process that the definition's triggers took, newest first.
    deliveries: Vec<Delivery>,
    /// Address of the namespace's page in the Temporal UI.
    temporal_ui: Option<String>,
    may_operate: bool,
}

impl Subject {
    fn served(&self) -> Option<&Loaded> {
        self.overview.served(&self.row)
    }

    /// The page of a run in the Temporal UI.
    fn run_address(&self, workflow_id: &str, run_id: &str) -> Option<String> {
        let namespace = self.temporal_ui.as_ref()?;
        Some(links::temporal_run(namespace, workflow_id, run_id))
    }

    fn detail(&self) -> Option<&ScheduleDetail> {
        self.reading.detail.as_ref().ok()?.as_ref()
    }
}

/// The query of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Query {
    /// Present if only the frame around the page is wanted: an open page reads it again after
    /// each pass, also after one that did nothing about this definition.
    frame: Option<String>,
}

pub(super) async fn page<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    Id(id): Id,
    StrictQuery(query): StrictQuery<Query>,
) -> Result<Response, Problem> {
    if query.frame.is_some() {
        return Ok(frame.page(Some(Tab::Schedules), &id, &Markup::default()));
    }
    let seen = service
        .overviews
        .get_recent(&service, frame.status())
        .await?;
    let overview = seen.overview;
    let Some(row) = overview.row(&id).cloned() else {
        let detail = format!("there is no definition and no schedule `{id}`");
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    };
    let readings = &service.definition_readings;
    let reading = readings.get(&service, &frame.caller, &overview, &row, &id);
    let subject = Subject {
        reading: reading.await?,
        temporal_ui: frame.temporal_ui(),
        may_operate: frame.caller.may_operate(),
        deliveries: triggers::deliveries(&service, &overview, &row),
        overview,
        row,
        id,
    };
    let title = format!(
        "{} {}",
        super::condition::look(subject.row.conditions.first()).2,
        subject.id
    );
    let times = frame.times;
    let render = move || main(&subject, &times);
    let main = service.render_workers.work(render).await?;
    Ok(frame.page(Some(Tab::Schedules), &title, &main))
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
        (triggers::section(subject, times))
        (compared::section(subject))
        div.cols.runs {
            div { (runs::section(subject, times)) (triggers::runs(subject, times)) (gaps::section(subject, times)) }
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
                @if let Some(ui) = &subject.temporal_ui {
                    a.btn.bare href=(links::temporal_schedule(ui, view.id.as_str())) rel="noreferrer" { "Temporal " (glyph(Glyph::Out)) }
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
            (fact("State", of_row(&subject.overview, &subject.row)))
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
    let versions = &subject.reading.live.versions.versions;
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
                @if subject.reading.live.versions.truncated { p.dim { "There are more: not all runs were read." } }
            }
        }
    }
}

/// The operations and requests that the reconcile workflow remembers.
fn history(subject: &Subject, times: &Times) -> Markup {
    html! {
        section.sec id="history" {
            header { h2 { "History" } span.dim { "of operations and requests" }
                span.end { a.link href="/activity" { "Activity of the project" } } }
            @match &subject.reading.history {
                Ok(entries) => {
                    @if entries.is_empty() {
                        p.dim { "Nothing is remembered: only the last changes of a project are." }
                    }
                    ol.log { @for entry in entries { (super::activity::history_entry(entry, times)) } }
                },
                Err(error) => p.dim { "The history could not be read: " (error.to_string()) },
            }
        }
    }
}
