//! The interface between the HTTP API and the process.
//!
//! The HTTP API asks through [`Backend`]. The process provides a [`Shared`].

mod live;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::router::Arrival;
use almanac_activities::schedules::view::{ListedSchedule, ScheduleDetail};
use almanac_activities::schedules::{EventRun, LiveRuns};
use almanac_activities::timeline::{Lane, Timeline, TimelineRun, Window};
use almanac_base::names::{DefinitionId, Project, ScheduleId, WorkerId};
use almanac_base::size::json_size as size;
use almanac_core::plan::Plan;
use almanac_core::record::{
    Delivery, HistoryEntry, OverrideAnswer, OverrideRequest, Report, RunAnswer, RunKind,
    RunRequest, Status, SuspendRequest, SyncRequest,
};
use almanac_core::routing::{Maker, Route};
use almanac_core::snapshot::Snapshot;
use almanac_events::CloudEvent;
use almanac_times::When;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::fire_times::TimesChange;
use crate::health::Readiness;
use crate::registry::{RecentReload, Reload, ReloadError};

pub use self::live::Shared;

/// The process as the HTTP API uses it. Every future may be dropped at any moment.
pub trait Backend: Send + Sync + 'static {
    /// The name by which the reconcile workflow knows this process.
    fn worker(&self) -> &WorkerId;

    /// The project whose schedules this process manages.
    fn project(&self) -> &Project;

    /// The Temporal namespace, once the process has connected.
    fn namespace(&self) -> Option<String>;

    /// The address of Temporal's own UI, without a final slash; `None` if it is not known.
    fn temporal_ui(&self) -> Option<&str>;

    /// The folders of the definitions, as they were given.
    fn roots(&self) -> Vec<String>;

    /// The answer of `/readyz`.
    fn readiness(&self) -> Readiness;

    /// The text of the metrics page.
    fn metrics(&self) -> String;

    /// The definitions that are served now.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// The last reloads of this process that changed the definitions or failed, newest first.
    fn recent_reloads(&self) -> Vec<RecentReload>;

    /// Reads the files again, after the call, because an operator of this name asked for it.
    fn reload(&self, by: &str) -> impl Future<Output = Result<Reload, ReloadError>> + Send;

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

    /// Stops the reconciler: no pass begins after this.
    fn suspend(
        &self,
        request: SuspendRequest,
    ) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// Lets the reconciler continue.
    fn resume(
        &self,
        request: SuspendRequest,
    ) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// The runs that a backfill of a definition's schedule would start; `None` if there are
    /// none.
    fn backfill_times(
        &self,
        id: &str,
        from: When,
        to: When,
    ) -> impl Future<Output = Result<Option<BackfillTimes>, BackendError>> + Send;

    /// The changes that a pass would make now. Writes nothing.
    fn plan(&self) -> impl Future<Output = Result<Planned, BackendError>> + Send;

    /// Starts the runs of the definitions whose triggers take an event, and records the delivery.
    /// If the future is dropped, the runs that were started go on, and the same event starts no
    /// run twice.
    fn deliver(
        &self,
        event: CloudEvent,
        arrival: Arrival,
    ) -> impl Future<Output = Result<Delivery, BackendError>> + Send;

    /// The last deliveries of events to this process, newest first.
    fn deliveries(&self) -> Vec<Delivery>;

    /// The delivery with this id, and its event if the event is kept.
    fn delivery(&self, id: &str) -> Option<(Delivery, Option<Arc<Value>>)>;

    /// Forgets a dead delivery whose event has been handled since, and removes its dead letter.
    fn forget_dead(&self, id: &str) -> impl Future<Output = ()> + Send;

    /// Number of deliveries that were recorded. It changes whenever the deliveries change.
    fn deliveries_recorded(&self) -> u64;

    /// The triggers that would take an event in the JSON format of `CloudEvents` now, each with the
    /// run that it would start. Starts nothing.
    fn routes(&self, event: &Value, made_by: Maker) -> Vec<Route>;

    /// The last runs of a definition that events started, newest first, a limited number of them.
    fn event_runs(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Vec<EventRun>, BackendError>> + Send;

    /// The project's schedules with their times, by definition. Describes none of them.
    /// Those that have not changed since `previous`, the list before, are the same in memory.
    fn schedules(
        &self,
        previous: &[Arc<ListedSchedule>],
    ) -> impl Future<Output = Result<Vec<Arc<ListedSchedule>>, BackendError>> + Send;

    /// Asks the last runs that seem to go on for their status, a limited number of them.
    fn ask_running(&self, listed: &mut [Arc<ListedSchedule>]) -> impl Future<Output = ()> + Send;

    /// The history entries of a definition, or of the whole project, newest first.
    fn history(
        &self,
        id: Option<&str>,
    ) -> impl Future<Output = Result<Vec<HistoryEntry>, BackendError>> + Send;

    /// The runs of a definition that have not ended, with the places of the newest.
    fn live_runs(&self, id: &str) -> impl Future<Output = Result<LiveRuns, BackendError>> + Send;

    /// The text of the file of a document; `None` if it cannot be read.
    fn source_text(&self, source: &str) -> impl Future<Output = Option<String>> + Send;

    /// The last runs of some schedules, oldest first, in the order of the ids.
    fn recent_runs(
        &self,
        ids: Vec<ScheduleId>,
    ) -> impl Future<Output = Result<Vec<Vec<TimelineRun>>, BackendError>> + Send;

    /// All schedules of the project, as they were listed, within a window.
    fn timeline(
        &self,
        window: Window,
        listed: Vec<Arc<ListedSchedule>>,
    ) -> impl Future<Output = Result<Timeline, BackendError>> + Send;

    /// The schedule of a definition within a window; `None` if there is none.
    fn timeline_lane(
        &self,
        id: &str,
        window: Window,
    ) -> impl Future<Output = Result<Option<Lane>, BackendError>> + Send;

    /// The schedule of a definition, or the schedule with that id; `None` if there is none.
    fn schedule(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Option<ScheduleDetail>, BackendError>> + Send;
}

/// The times of a backfill.
#[derive(Debug, Clone, PartialEq)]
pub struct BackfillTimes {
    /// Number of times.
    pub count: u64,
    pub first: Timestamp,
    pub last: Timestamp,
    /// The first times; at most [`BACKFILL_LISTED`].
    pub listed: Vec<Timestamp>,
    /// Time zone of the schedule.
    pub timezone: String,
}

/// Maximum number of times of a backfill that are listed.
pub const BACKFILL_LISTED: usize = 50;

/// A plan with its report.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Planned {
    /// The operations, held removals and conflicts, with their reasons.
    pub plan: Plan,
    /// The plan as the report of a dry run.
    pub report: Report,
    /// The fire times before and after, by definition: of at most 100 schedules that are
    /// created, of 100 that are changed and of 100 that are deleted.
    #[schema(value_type = BTreeMap<String, TimesChange>)]
    pub times: BTreeMap<DefinitionId, TimesChange>,
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
        self.times.retain(|id, times| fits(size(id) + size(times)));
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
