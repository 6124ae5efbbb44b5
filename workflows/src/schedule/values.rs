//! The values of a schedule's fields, normalised as the server normalises.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::definition::{OverlapPolicy, RetryPolicy, SearchAttribute, WorkflowOptions};
use crate::times::Spec;

/// Every compared value of a schedule, desired or live.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduleValues {
    /// Times, intervals, exclusions, zone, bounds and jitter.
    pub spec: Spec,
    /// What happens when a run is due while another goes on.
    pub overlap_policy: OverlapPolicy,
    /// How late a missed run may still start.
    pub catchup_window: Duration,
    /// The server pauses the schedule after a failed run.
    pub pause_on_failure: bool,
    /// How many runs it starts in all; of a live schedule, see [`super::Live`].
    pub max_actions: Option<u32>,
    /// It starts nothing by itself.
    pub paused: bool,
    /// The arguments of the started workflow, but for `definition`.
    pub input: Vec<Value>,
    /// The steps that the started workflow interprets.
    pub definition: Option<Value>,
    /// All the rest of the started workflow.
    pub action: Action,
}

/// The started workflow, without its arguments and without Almanac's memo.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Action {
    /// Type of the workflow; empty when the live action is none that starts one.
    pub workflow_type: String,
    /// Queue it is started on.
    pub task_queue: String,
    /// Its id; the server appends the time.
    pub workflow_id: String,
    /// Time-outs, priority and summary.
    pub options: WorkflowOptions,
    /// Its retry policy.
    pub retry: Option<RetryPolicy>,
    /// Its memo, without the key `almanac`.
    pub memo: BTreeMap<String, Value>,
    /// Its search attributes.
    pub search_attributes: BTreeMap<String, SearchAttribute>,
}
