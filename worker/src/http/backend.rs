//! What HTTP needs of the process and of Temporal.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use almanac_workflows::names::WorkerId;
use almanac_workflows::plan::Plan;
use almanac_workflows::record::{
    OverrideAnswer, OverrideRequest, Report, RunAnswer, RunKind, RunRequest, Status, SyncRequest,
};
use almanac_workflows::snapshot::Snapshot;
use serde::Serialize;

use super::ScheduleView;
use crate::process::health::Readiness;
use crate::registry::{Reload, ReloadError};

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
    ) -> impl Future<Output = Result<Option<ScheduleView>, BackendError>> + Send;
}

/// What a pass would do.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Planned {
    /// Operations, held removals, conflicts, and why.
    pub plan: Plan,
    /// The same as the report of a dry run.
    pub report: Report,
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
    /// It answers that it has too much to do.
    #[error("temporal has too much to do: {0}")]
    Busy(String),
    /// It refuses.
    #[error("refused: {0}")]
    Refused(String),
}
