//! What HTTP needs of the process and of Temporal, and the process as it answers.
//!
//! Neither HTTP nor the process: the one asks through [`Backend`], the other makes a [`Shared`].

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

/// The process, as HTTP sees it. Every future may be dropped at any moment.
pub trait Backend: Send + Sync + 'static {
    /// The name by which the reconcile workflow knows this process.
    fn worker(&self) -> &WorkerId;

    /// What `/readyz` answers.
    fn readiness(&self) -> Readiness;

    /// The metrics page.
    fn metrics(&self) -> String;

    /// The definitions that are served now.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// Re-reads the files, after the call.
    fn reload(&self) -> impl Future<Output = Result<Reload, ReloadError>> + Send;

    /// The reconcile workflow's state.
    fn status(&self) -> impl Future<Output = Result<Status, BackendError>> + Send;

    /// Asks for a pass; its number. Short: does not wait for the pass.
    fn sync(&self, request: SyncRequest) -> impl Future<Output = Result<u64, BackendError>> + Send;

    /// Asks for an override, or its end. Short: does not wait for the pass.
    fn set_override(
        &self,
        request: OverrideRequest,
    ) -> impl Future<Output = Result<OverrideAnswer, BackendError>> + Send;

    /// Starts runs, and waits at most `limit` for what comes of them.
    fn run(
        &self,
        kind: RunKind,
        request: RunRequest,
        limit: Duration,
    ) -> impl Future<Output = Result<RunAnswer, BackendError>> + Send;

    /// What a pass would do now. Writes nothing.
    fn plan(&self) -> impl Future<Output = Result<Planned, BackendError>> + Send;

    /// The project's schedules, by definition. Describes none of them.
    fn schedules(&self) -> impl Future<Output = Result<Vec<ScheduleView>, BackendError>> + Send;

    /// The schedule of a definition, or of that id; `None` when there is none.
    fn schedule(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Option<ScheduleDetail>, BackendError>> + Send;
}

/// What a pass would do.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Planned {
    /// Operations, held removals, conflicts, and why.
    pub plan: Plan,
    /// The same as the report of a dry run.
    pub report: Report,
    /// How many entries of the plan's lists are left out, where it would be too
    /// large; the report counts all.
    pub truncated: u64,
}

impl Planned {
    /// The plan without what does not fit in so many bytes of JSON. What is
    /// done comes before what is left alone.
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

/// Why Temporal did not serve a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The reconcile workflow does not run; the next announcement starts it.
    #[error("temporal is not available: {0}")]
    Absent(String),
    /// Temporal, or the reconcile workflow, does not answer.
    #[error("temporal is not available: {0}")]
    Away(String),
    /// It answers, and fails on this schedule alone.
    #[error("temporal fails on this schedule: {0}")]
    Failed(String),
    /// It answers that it has too much to do.
    #[error("temporal has too much to do: {0}")]
    Busy(String),
    /// It refuses.
    #[error("refused: {0}")]
    Refused(String),
}
