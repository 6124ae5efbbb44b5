//! The runs of a definition that events started, as visibility lists them.

use almanac_base::names::{DefinitionId, Project};
use almanac_core::record::EventOrigin;
use jiff::Timestamp;
use serde::Serialize;
use temporalio_common::protos::temporal::api::workflow::v1::WorkflowExecutionInfo;

use super::wire::{decode_run_memo, decode_time};
use super::{RequestError, Schedules};

/// Maximum number of runs that are read.
const READ: i32 = 50;
/// Maximum number of runs that are returned.
pub const EVENT_RUNS: usize = 10;

/// A run that an event started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventRun {
    /// Workflow id of the run.
    pub workflow_id: String,
    /// Id of the run.
    pub run_id: String,
    /// Status of the run, such as `completed`; `None` if the server does not say.
    pub status: Option<String>,
    /// Time at which the run started.
    pub started: Option<Timestamp>,
    /// Time at which the run ended; `None` if it has not ended.
    pub ended: Option<Timestamp>,
    /// The event, and the trigger that took it.
    pub event: EventOrigin,
}

/// The last runs of a definition that events started, newest first; at most [`EVENT_RUNS`].
///
/// # Errors
/// The runs could not be listed.
pub async fn event_runs(
    schedules: &Schedules,
    project: &Project,
    id: &DefinitionId,
) -> Result<Vec<EventRun>, RequestError> {
    // Runs that a schedule starts have a time at the end of their ids, and no slash before it.
    let begin = project.run_workflow_id(id);
    let query = format!("WorkflowId STARTS_WITH '{begin}/' AND TemporalScheduledById IS NULL");
    let (infos, _) = schedules.newest_workflows(&query, READ).await?;
    let runs = infos.iter().filter_map(|info| EventRun::of(info, id));
    Ok(runs.take(EVENT_RUNS).collect())
}

impl EventRun {
    /// The run of a definition; `None` if no event started it, or if it is of another definition.
    fn of(info: &WorkflowExecutionInfo, id: &DefinitionId) -> Option<Self> {
        let memo = decode_run_memo(info.memo.as_ref())?;
        if memo.definition != *id {
            return None;
        }
        let execution = info.execution.clone()?;
        let status = info.status().as_str_name();
        Some(Self {
            workflow_id: execution.workflow_id,
            run_id: execution.run_id,
            status: status
                .strip_prefix("WORKFLOW_EXECUTION_STATUS_")
                .filter(|status| *status != "UNSPECIFIED")
                .map(str::to_ascii_lowercase),
            started: info.start_time.as_ref().and_then(decode_time),
            ended: info.close_time.as_ref().and_then(decode_time),
            event: memo.event?,
        })
    }
}
