//! `GET /api/v1/schedules`, `/plan` and `/reconcile`: what Temporal holds, what
//! a pass would do, and what passes did.

use std::sync::Arc;

use almanac_activities::schedules::{PausedBy, ViewState};
use almanac_workflows::names::{DefinitionId, ScheduleId};
use almanac_workflows::record::{Override, Status};
use almanac_workflows::schedule::Field;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::definitions::Page;
use super::problem::Problem;
use super::{Backend, Planned, Service};

/// A schedule of the project, as it is in Temporal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduleView {
    /// Its id in Temporal.
    pub id: ScheduleId,
    /// The definition it belongs to.
    pub definition: DefinitionId,
    /// The file (and line) of the definition; `None` when there is none any more.
    pub source: Option<String>,
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
    /// How many actions are left, where they are limited and that is known.
    pub remaining_actions: Option<u64>,
    /// Fields that differ from what was last written, and that no file asked for.
    pub drift: Vec<Field>,
}

/// A run that a schedule started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastRun {
    /// When.
    pub at: Timestamp,
    /// The workflow's id.
    pub workflow_id: String,
    /// How it goes or went: `running`, `completed`, `failed`, `canceled`,
    /// `terminated`, `continued_as_new`, `timed_out`; `None` where Temporal does
    /// not know it any more.
    pub status: Option<String>,
}

pub(super) async fn list<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let page = Page::of(page)?;
    let (schedules, total) = service.backend.schedules(page.offset, page.limit).await?;
    Ok(Json(json!({ "schedules": schedules, "total": total })))
}

pub(super) async fn one<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    Path(id): Path<String>,
) -> Result<Json<ScheduleView>, Problem> {
    let found = service.backend.schedule(&id).await?;
    found.map(Json).ok_or_else(|| {
        let detail = format!("there is no schedule of definition `{id}`");
        Problem::new(StatusCode::NOT_FOUND, detail)
    })
}

pub(super) async fn plan<B: Backend>(
    State(service): State<Arc<Service<B>>>,
) -> Result<Json<Planned>, Problem> {
    Ok(Json(service.backend.plan().await?))
}

pub(super) async fn reconcile<B: Backend>(
    State(service): State<Arc<Service<B>>>,
) -> Result<Json<Status>, Problem> {
    Ok(Json(service.backend.status().await?))
}
