//! The actions of a schedule: the runs that it started, and those that it
//! missed.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use temporalio_client::{
    Client, RetryOptions, RpcOptions, UntypedWorkflow, WorkflowDescribeOptions,
    WorkflowExecutionStatus,
};
use temporalio_common::protos::temporal::api::schedule::v1::{ScheduleActionResult, ScheduleInfo};

use super::wire::decode_time;

/// Maximum time for Temporal to describe a run.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

/// A run that a schedule started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Run {
    /// Time at which the run was due.
    pub due: Option<Timestamp>,
    /// Time at which the run started.
    pub started: Option<Timestamp>,
    /// Time at which the run ended. `null` if it has not ended, or if the time
    /// was not asked for: only the last ten runs of a described schedule have
    /// it.
    pub ended: Option<Timestamp>,
    /// Workflow id of the run.
    pub workflow_id: String,
    /// Run id of the run's first execution.
    pub run_id: String,
    /// Status of the run as the schedule knows it; the status may lag behind.
    pub status: Option<String>,
}

impl Run {
    /// All runs that the server reports, oldest first. One scheduler lists them
    /// in that order; the other lists runs that have not ended before runs that
    /// have.
    pub fn all_of(actions: &[ScheduleActionResult]) -> Vec<Self> {
        let mut runs: Vec<_> = actions.iter().map(Self::of).collect();
        runs.sort_by_key(|run| run.started);
        runs
    }

    /// The run that the server reports for an action.
    fn of(action: &ScheduleActionResult) -> Self {
        let execution = action.start_workflow_result.clone().unwrap_or_default();
        let status = action.start_workflow_status().as_str_name();
        Self {
            due: action.schedule_time.as_ref().and_then(decode_time),
            started: action.actual_time.as_ref().and_then(decode_time),
            ended: None,
            workflow_id: execution.workflow_id,
            run_id: execution.run_id,
            status: status
                .strip_prefix("WORKFLOW_EXECUTION_STATUS_")
                .filter(|status| *status != "UNSPECIFIED")
                .map(str::to_ascii_lowercase),
        }
    }

    /// Returns `true` if the run has not ended, as far as its status says.
    pub fn is_running(&self) -> bool {
        self.status.as_deref() == Some(RUNNING)
    }
}

/// The recent runs of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    /// The last runs, oldest first.
    pub recent: Vec<Run>,
    /// `true` if a run has not ended: one of `recent`, or one that began before
    /// them.
    pub is_busy: bool,
}

impl Runs {
    /// The runs that the schedule remembers. The last ten have the status that
    /// the workflow itself has. The schedule remembers the status at its last
    /// update, and does not notice a reset.
    pub async fn asked(client: &Client, info: &ScheduleInfo) -> Self {
        let mut recent = Run::all_of(&info.recent_actions);
        let first = recent.len().saturating_sub(ASKED);
        let asked = recent.iter_mut().skip(first).map(async |run| {
            if let Some((status, ended)) = run_status(client, &run.workflow_id).await {
                run.status = Some(status);
                run.ended = ended;
            }
        });
        futures::future::join_all(asked).await;
        let is_recent = |id: &str| recent.iter().any(|run| run.workflow_id == id);
        let mut running = info.running_workflows.iter();
        let is_busy =
            recent.iter().any(Run::is_running) || running.any(|run| !is_recent(&run.workflow_id));
        Self { recent, is_busy }
    }
}

/// Actions that were due and never started, since the schedule was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct Missed {
    /// Actions that were skipped because an earlier run had not ended.
    pub overlap: u64,
    /// Actions that became due while the server could not start them, longer
    /// ago than the catch-up window.
    pub catchup_window: u64,
    /// Actions that were dropped because the buffer was full.
    pub buffer: u64,
}

impl Missed {
    /// Reads the server's counters of a schedule.
    pub fn of(info: &ScheduleInfo) -> Self {
        let count = |value: i64| u64::try_from(value).unwrap_or_default();
        Self {
            overlap: count(info.overlap_skipped),
            catchup_window: count(info.missed_catchup_window),
            buffer: count(info.buffer_dropped),
        }
    }

    /// The sum of all missed actions.
    pub fn total(self) -> u64 {
        self.overlap
            .saturating_add(self.catchup_window)
            .saturating_add(self.buffer)
    }
}

/// Status of a run that has not ended.
pub const RUNNING: &str = "running";
/// Maximum number of runs that are asked for their status. One server remembers
/// no more runs; the other remembers all that have not ended.
const ASKED: usize = 10;

/// The status of a run and the time at which it ended, as the workflow itself
/// has them. For a run that continued as new or was retried, they are those of
/// its latest execution. `None` if the status is not known.
pub(super) async fn run_status(
    client: &Client,
    workflow_id: &str,
) -> Option<(String, Option<Timestamp>)> {
    let rpc = RpcOptions::builder()
        .timeout(DESCRIBE_TIMEOUT)
        .retry_options(RetryOptions::no_retries())
        .build();
    let options = WorkflowDescribeOptions::builder().rpc_options(rpc).build();
    let handle = client.get_workflow_handle::<UntypedWorkflow>(workflow_id);
    let described = handle.describe(options).await.ok()?;
    let ended = described.close_time();
    let ended = ended.and_then(|at| Timestamp::try_from(at).ok());
    let name = match described.status() {
        WorkflowExecutionStatus::Running => RUNNING,
        WorkflowExecutionStatus::Completed => "completed",
        WorkflowExecutionStatus::Failed => "failed",
        WorkflowExecutionStatus::Canceled => "canceled",
        WorkflowExecutionStatus::Terminated => "terminated",
        WorkflowExecutionStatus::ContinuedAsNew => "continued_as_new",
        WorkflowExecutionStatus::TimedOut => "timed_out",
        WorkflowExecutionStatus::Paused => "paused",
        _ => return None,
    };
    Some((name.to_owned(), ended))
}

#[cfg(test)]
mod tests {
    use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;

    use super::*;

    fn action(id: &str, started: i64) -> ScheduleActionResult {
        let moment = Timestamp::from_second(started).unwrap();
        ScheduleActionResult {
            actual_time: Some(std::time::SystemTime::from(moment).into()),
            start_workflow_result: Some(WorkflowExecution {
                workflow_id: id.to_owned(),
                run_id: String::new(),
            }),
            ..ScheduleActionResult::default()
        }
    }

    #[test]
    fn runs_are_in_the_order_of_their_starts_however_they_are_listed() {
        let listed = [action("goes-on", 2), action("ended", 1), action("late", 3)];
        for actions in [&listed[..], &listed[..2]] {
            let runs = Run::all_of(actions);
            assert!(runs.is_sorted_by_key(|run| run.started));
        }
        assert_eq!(Run::all_of(&listed)[0].workflow_id, "ended");
    }
}
