//! `GET /api/v1/schedules`, `/plan` and `/reconcile`: what Temporal holds, what
//! a pass would do, and what passes did.

use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_activities::schedules::{Missed, PausedBy, ViewState};
use almanac_workflows::names::{DefinitionId, ScheduleId};
use almanac_workflows::record::{Override, Status};
use almanac_workflows::schedule::Field;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::openapi::{PROBLEM, Upstream, written};
use super::problem::{Details, Problem};
use super::query::{Asked, Id, ListQuery, Listed};
use super::{Backend, Planned, Service};

/// The most bytes of a plan.
const PLAN_BYTES: usize = 4 * 1024 * 1024;

/// A schedule of the project, as it is in Temporal.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ScheduleView {
    /// Its id in Temporal.
    pub id: ScheduleId,
    /// The definition it belongs to.
    pub definition: DefinitionId,
    /// The file (and line) of the definition; `None` when there is none any more.
    pub source: Option<String>,
    /// What the definition says it is.
    pub description: Option<String>,
    /// The definition's labels.
    pub labels: BTreeMap<String, String>,
    /// Its condition in a word.
    pub state: ViewState,
    /// Whether it starts nothing by itself.
    pub paused: bool,
    /// Who paused it.
    pub paused_by: Option<PausedBy>,
    /// Cron strings in force, as they were written; none where the times are
    /// said in other ways, or the definition is gone.
    pub cron: Vec<String>,
    /// IANA name of the zone in force.
    pub timezone: String,
    /// Its note, without Almanac's mark.
    pub note: String,
    /// What an operator set over the YAML.
    #[serde(rename = "override")]
    pub overridden: Option<Override>,
    /// When it will fire next.
    pub next_run: Option<Timestamp>,
    /// Some of the times after that.
    pub next_runs: Vec<Timestamp>,
    /// The last run that it started.
    pub last_run: Option<LastRun>,
    /// Actions that were due and never started, since the schedule was created;
    /// just of one schedule, a list does not know.
    pub missed: Option<Missed>,
    /// Something should have started by now, and did not.
    pub overdue: bool,
    /// When that was due.
    pub overdue_since: Option<Timestamp>,
    /// How many actions are left, where they are limited and that is known.
    pub remaining_actions: Option<u64>,
    /// Fields that differ from what was last written, and that no file asked for.
    pub drift: Vec<Field>,
}

/// A run that a schedule started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LastRun {
    /// When it started.
    pub at: Timestamp,
    /// The workflow's id.
    pub workflow_id: String,
    /// Its first run's id.
    pub run_id: String,
    /// How it goes or went: `running`, `completed`, `failed`, `canceled`,
    /// `terminated`, `continued_as_new`, `timed_out`, `paused`; `None` where
    /// Temporal does not know it (any more). Of one schedule the run itself is
    /// asked; a list tells what the schedule knows, which may lag behind.
    pub status: Option<String>,
}

/// Schedules, as they are in Temporal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SchedulePage {
    /// By definition.
    schedules: Vec<ScheduleView>,
    /// How many match, on every page.
    total: usize,
    /// Asks for the next page; `None` on the last one.
    next_page_token: Option<String>,
    /// When the server listed them: a moment ago, or when the first page was read.
    listed_at: Timestamp,
}

impl Listed for ScheduleView {
    type State = ViewState;

    fn place(&self) -> Vec<u8> {
        self.definition.as_str().as_bytes().to_vec()
    }

    fn state(&self) -> ViewState {
        self.state
    }

    fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    fn texts(&self) -> [Option<&str>; 3] {
        let id = Some(self.definition.as_str());
        [id, self.source.as_deref(), self.description.as_deref()]
    }
}

/// The project's schedules, as they are in Temporal.
#[utoipa::path(
    get, path = "/api/v1/schedules", operation_id = "list_schedules", tag = "schedules",
    params(ListQuery<ViewState>),
    responses((status = 200, description = "A page of them", body = SchedulePage), Upstream)
)]
pub(super) async fn list<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    caller: Extension<Caller>,
    Asked(query): Asked<ListQuery<ViewState>>,
) -> Result<Response, Problem> {
    let _turn = service.lists.take(&caller)?;
    let listing = service.listings.get(&*service.backend, query.is_first());
    let listing = listing.await?;
    let page = move || {
        let page = query.page(&listing.schedules, ScheduleView::clone);
        written(&SchedulePage {
            schedules: page.entries,
            total: page.total,
            next_page_token: page.next,
            listed_at: listing.at,
        })
    };
    service.desk.work(page).await?
}

/// One schedule, looked at closely: its last run is asked how it went.
#[utoipa::path(
    get, path = "/api/v1/schedules/{id}", operation_id = "get_schedule", tag = "schedules",
    params(("id" = String, Path, description = "The definition's id, or the schedule's")),
    responses(
        (status = 200, description = "It", body = ScheduleView),
        (status = 404, description = "There is no such schedule", body = Details,
         content_type = PROBLEM),
        (status = 502, description = "Temporal fails on this schedule", body = Details,
         content_type = PROBLEM),
        Upstream
    )
)]
pub(super) async fn one<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    caller: Extension<Caller>,
    Id(id): Id,
) -> Result<Json<ScheduleView>, Problem> {
    let _turn = service.close_looks.take(&caller)?;
    let found = service.backend.schedule(&id).await?;
    found.map(Json).ok_or_else(|| {
        let detail = format!("there is no schedule of definition `{id}`");
        Problem::new(StatusCode::NOT_FOUND, detail)
    })
}

/// What a pass would do now. Writes nothing.
#[utoipa::path(
    get, path = "/api/v1/plan", operation_id = "plan", tag = "passes",
    responses((status = 200, description = "It, and as a report", body = Planned), Upstream)
)]
pub(super) async fn plan<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    caller: Extension<Caller>,
) -> Result<Response, Problem> {
    let _turn = service.plans.take(&caller)?;
    let planned = service.backend.plan().await?;
    service
        .desk
        .work(move || written(&planned.within(PLAN_BYTES)))
        .await?
}

/// The reconcile workflow's state, with its last reports.
#[utoipa::path(
    get, path = "/api/v1/reconcile", operation_id = "reconcile_status", tag = "passes",
    responses((status = 200, description = "It", body = Status), Upstream)
)]
pub(super) async fn reconcile<B: Backend>(
    State(service): State<Arc<Service<B>>>,
) -> Result<Response, Problem> {
    written(&*service.looks.status(&*service.backend).await?)
}
