//! `GET /api/v1/schedules`, `/plan` and `/reconcile`: the schedules in Temporal, the
//! operations that a pass would do, and the reports of passes.

use std::collections::BTreeSet;
use std::sync::Arc;

use almanac_activities::schedules::view::{
    ListedSchedule, ScheduleDetail, ScheduleState, ScheduleView,
};
use almanac_core::definition::Labels;
use almanac_core::record::Status;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Service;
use super::auth::Caller;
use super::openapi::{PROBLEM, Upstream, written};
use super::problem::{Details, Problem};
use super::query::{Id, ListQuery, Listed, StrictQuery};
use crate::backend::{Backend, Planned};

/// Maximum size of a plan, in bytes.
const PLAN_BYTES: usize = 4 * 1024 * 1024;

/// A page of the schedules, as they are in Temporal.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SchedulePage {
    /// Schedules by definition.
    schedules: Vec<ScheduleView>,
    /// Number of schedules that match, the same on every page.
    total: usize,
    /// States that could not be checked for some of the project's schedules, since the
    /// reconcile workflow does not answer.
    unknown: BTreeSet<ScheduleState>,
    /// Token of the next page; `None` on the last page.
    next_page_token: Option<String>,
    /// Time at which the server listed them: a moment ago, or when the first page was
    /// read.
    listed_at: Timestamp,
}

impl Listed for ScheduleView {
    type State = ScheduleState;

    fn place(&self) -> Vec<u8> {
        self.definition.as_str().as_bytes().to_vec()
    }

    fn state(&self) -> ScheduleState {
        self.state
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn texts(&self) -> [Option<&str>; 3] {
        let id = Some(self.definition.as_str());
        [id, self.source.as_deref(), self.description.as_deref()]
    }
}

impl Listed for Arc<ListedSchedule> {
    type State = ScheduleState;

    fn place(&self) -> Vec<u8> {
        self.view.place()
    }

    fn state(&self) -> ScheduleState {
        self.view.state
    }

    fn labels(&self) -> &Labels {
        &self.view.labels
    }

    fn texts(&self) -> [Option<&str>; 3] {
        self.view.texts()
    }
}

/// Lists the project's schedules, as they are in Temporal.
#[utoipa::path(
    get, path = "/api/v1/schedules", operation_id = "list_schedules", tag = "schedules",
    params(ListQuery<ScheduleState>),
    responses((status = 200, description = "A page of schedules", body = SchedulePage), Upstream)
)]
pub(super) async fn list<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    caller: Extension<Caller>,
    StrictQuery(query): StrictQuery<ListQuery<ScheduleState>>,
) -> Result<Response, Problem> {
    let _turn = service.lists.take(&caller)?;
    let listing = service.listings.get(&*service.backend, query.is_first());
    let listing = listing.await?;
    let page = move || {
        let page = query.page(&listing.schedules, |one| one.view.clone());
        written(&SchedulePage {
            schedules: page.entries,
            total: page.total,
            unknown: listing.unknown.clone(),
            next_page_token: page.next,
            listed_at: listing.at,
        })
    };
    service.render_workers.work(page).await?
}

/// Returns one schedule with all details, including the result of its last run.
#[utoipa::path(
    get, path = "/api/v1/schedules/{id}", operation_id = "get_schedule", tag = "schedules",
    params(("id" = String, Path, description = "The definition's id, or the schedule's")),
    responses(
        (status = 200, description = "The schedule", body = ScheduleDetail),
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
) -> Result<Json<ScheduleDetail>, Problem> {
    let _turn = service.describes.take(&caller)?;
    let found = service.backend.schedule(&id).await?;
    found.map(Json).ok_or_else(|| {
        let detail = format!("there is no schedule of definition `{id}`");
        Problem::new(StatusCode::NOT_FOUND, detail)
    })
}

/// Returns the operations that a pass would do now, and writes nothing.
#[utoipa::path(
    get, path = "/api/v1/plan", operation_id = "plan", tag = "passes",
    responses((status = 200, description = "The plan, as text and as a report", body = Planned), Upstream)
)]
pub(super) async fn plan<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    caller: Extension<Caller>,
) -> Result<Response, Problem> {
    let _turn = service.plans.take(&caller)?;
    let planned = service.backend.plan().await?;
    service
        .render_workers
        .work(move || written(&planned.within(PLAN_BYTES)))
        .await?
}

/// Returns the reconcile workflow's state, with its last reports.
#[utoipa::path(
    get, path = "/api/v1/reconcile", operation_id = "reconcile_status", tag = "passes",
    responses((status = 200, description = "The state of the reconcile workflow", body = Status), Upstream)
)]
pub(super) async fn reconcile<B: Backend>(
    State(service): State<Arc<Service<B>>>,
) -> Result<Response, Problem> {
    written(&*service.status_cache.status(&*service.backend).await?)
}
