//! The interface between the HTTP API and the process.
//!
//! The HTTP API asks through [`Backend`]. The process provides a [`Shared`].

mod live;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::schedules::view::{ScheduleDetail, ScheduleView};
use almanac_base::names::WorkerId;
use almanac_base::size::json_size as size;
use almanac_core::plan::Plan;
use almanac_core::record::{
    OverrideAnswer, OverrideRequest, Report, RunAnswer, RunKind, RunRequest, Status, SyncRequest,
};
use almanac_core::snapshot::Snapshot;
use serde::Serialize;

use crate::health::Readiness;
use crate::registry::{Reload, ReloadError};

pub use self::live::Shared;

/// The process as the HTTP API uses it. Every future may be dropped at any moment.
pub trait Backend: Send + Sync + 'static {
    /// The name by which the reconcile workflow knows this process.
    fn worker(&self) -> &WorkerId;

    /// The answer of `/readyz`.
    fn readiness(&self) -> Readiness;

    /// The text of the metrics page.
    fn metrics(&self) -> String;

    /// The definitions that are served now.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// Reads the files again, after the call.
    fn reload(&self) -> impl Future<Output = Result<Reload, ReloadError>> + Send;

    /// The reconcile workflow's state.
    fn status(&self) -> impl Future<Output = Result<Status, BackendError>> + Send;

    /// Asks for a pass and returns its number. Does not wait for the pass.
    fn sync(&self, request: SyncRequest) -> impl Future<Output = Result<u64, BackendError>> + Send;

    /// Asks for an override, or for its end. Does not wait for the pass.
    fn set_override(
        &self,
        request: OverrideRequest,
    ) -> impl Future<Output = Result<OverrideAnswer, BackendError>> + Send;

    /// Starts runs, and waits at most `limit` for their results.
    fn run(
        &self,
        kind: RunKind,
        request: RunRequest,
        limit: Duration,
    ) -> impl Future<Output = Result<RunAnswer, BackendError>> + Send;

    /// The changes that a pass would make now. Writes nothing.
    fn plan(&self) -> impl Future<Output = Result<Planned, BackendError>> + Send;

    /// The project's schedules, by definition. Describes none of them.
    fn schedules(&self) -> impl Future<Output = Result<Vec<ScheduleView>, BackendError>> + Send;

    /// The schedule of a definition, or the schedule with that id; `None` if there is none.
    fn schedule(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Option<ScheduleDetail>, BackendError>> + Send;
}

/// A plan with its report.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Planned {
    /// The operations, held removals and conflicts, with their reasons.
    pub plan: Plan,
    /// The plan as the report of a dry run.
    pub report: Report,
    /// Number of entries that are left out of the plan's lists because the plan would be too
    /// large. The report counts all.
    pub truncated: u64,
}

impl Planned {
    /// The plan without the entries that do not fit into `bytes` of JSON. Operations are kept
    /// before entries that are left alone.
    pub(crate) fn within(mut self, bytes: usize) -> Self {
        let plan = &mut self.plan;
        let (mut left, mut truncated) = (bytes, 0);
        let mut fits = |size: usize| {
            let fits = size <= left;
            left = if fits { left - size } else { 0 };
            truncated += u64::from(!fits);
            fits
        };
        plan.creates.retain(|one| fits(size(one)));
        plan.updates.retain(|one| fits(size(one)));
        plan.deletes.retain(|one| fits(size(one)));
        if let Some(held) = &mut plan.held {
            held.ids.retain(|one| fits(size(one)));
        }
        plan.problems.retain(|one| fits(size(one)));
        plan.conflicts.retain(|one| fits(size(one)));
        plan.orphaned.retain(|one| fits(size(one)));
        plan.drift
            .retain(|id, fields| fits(size(id) + size(fields)));
        plan.contested
            .retain(|id, fields| fits(size(id) + size(fields)));
        plan.overrides.retain(|id, one| fits(size(id) + size(one)));
        plan.ended_overrides
            .retain(|id, why| fits(size(id) + size(why)));
        self.truncated = truncated;
        self
    }
}

/// Reason why Temporal did not serve a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The reconcile workflow does not run. The next announcement starts it.
    #[error("temporal is not available: {0}")]
    Absent(String),
    /// Temporal or the reconcile workflow does not answer.
    #[error("temporal is not available: {0}")]
    Away(String),
    /// Temporal answers, and fails on this schedule alone.
    #[error("temporal fails on this schedule: {0}")]
    Failed(String),
    /// Temporal answers that it has too much to do.
    #[error("temporal is overloaded: {0}")]
    Busy(String),
    /// The reconcile workflow refuses the request.
    #[error("refused: {0}")]
    Refused(String),
}
