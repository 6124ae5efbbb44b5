//! The validated model of a definition. Every value here is one the server
//! takes; what a document leaves out has its default filled in.

use std::collections::BTreeMap;
use std::time::Duration;

use almanac_base::names::{DefinitionId, Revision, ScheduleId};
use almanac_times::{Calendar, Sorted, Spec};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One `kind: workflow` document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Definition {
    /// Unique within a project.
    pub id: DefinitionId,
    /// Digest of the definition as parsed, without its id and source: equal
    /// for two definitions that would make the same schedule but for its name.
    pub revision: Revision,
    /// A line for people.
    pub description: Option<String>,
    /// False: the schedule exists, paused, and events start nothing.
    pub enabled: bool,
    /// For selection by people and tools.
    pub labels: BTreeMap<String, String>,
    /// When it runs by itself; `None` when it only runs by hand or on events.
    pub schedule: Option<ScheduleBlock>,
    /// What runs.
    pub program: Program,
}

/// One `kind: calendar` document: whole days under a name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DayCalendar {
    /// Unique among a project's calendars.
    pub id: DefinitionId,
    /// Digest of the calendar as parsed, without its id.
    pub revision: Revision,
    /// A line for people.
    pub description: Option<String>,
    /// For selection by people and tools.
    pub labels: BTreeMap<String, String>,
    /// Its days, as what a schedule that names it excludes.
    pub exclusions: Sorted<Calendar>,
}

/// A definition's `schedule:` block.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduleBlock {
    /// False: this schedule is paused; events and hand starts go on.
    pub enabled: bool,
    /// The `cron` strings as written, for display.
    pub cron: Vec<String>,
    /// `cron`, `every`, `calendars`, `exclude`, `timezone`, `start_at`,
    /// `end_at` and `jitter`, compiled.
    pub spec: Spec,
    /// What happens when a run is due while another goes on.
    pub overlap_policy: OverlapPolicy,
    /// How late a missed run may still start; 10 s at least, 1 h by default.
    pub catchup_window: Duration,
    /// The server pauses the schedule after a failed run.
    pub pause_on_failure: bool,
    /// How many runs it starts in all.
    pub max_actions: Option<u32>,
    /// Given to the run when `workflow.args` is absent.
    pub input: Option<Value>,
    /// The schedule of another owner that this one is to take over from, when
    /// `almanac adopt` says so. It changes nothing of what the schedule is, so
    /// it is no part of the revision.
    pub adopts: Option<ScheduleId>,
}

/// What happens when a run is due while another goes on. The names and
/// meanings are the server's `ScheduleOverlapPolicy`.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OverlapPolicy {
    /// Do not start.
    #[default]
    Skip,
    /// Start one more when the present run ends.
    BufferOne,
    /// Start all that became due, one after the other.
    BufferAll,
    /// Cancel the present run, then start.
    CancelOther,
    /// Terminate the present run, then start.
    TerminateOther,
    /// Start beside the present run. `allow` in a document means the same.
    #[serde(alias = "allow")]
    AllowAll,
}

/// What a definition runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "a few hundred bytes for each of some thousands, and no box to unpack"
)]
pub enum Program {
    /// `workflow:`, any workflow type on any queue.
    Workflow(WorkflowBlock),
    /// `do:`, steps that `RunDefinition` interprets: the task list as JSON,
    /// validated. It travels in the schedule's action.
    Steps(Value),
}

/// A definition's `workflow:` block.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct WorkflowBlock {
    /// The workflow type.
    pub workflow_type: String,
    /// The queue of the worker that has it.
    pub task_queue: String,
    /// Its arguments; `None` when the document has none, and `schedule.input` is the only one.
    pub args: Option<Vec<Value>>,
    /// Execution, run and task time-outs, priority and summary.
    pub options: WorkflowOptions,
    /// Retry policy of the started workflow.
    pub retry: Option<RetryPolicy>,
    /// Memo of the started workflow; never the key `almanac`.
    pub memo: BTreeMap<String, Value>,
    /// Search attributes of the started workflow.
    pub search_attributes: BTreeMap<String, SearchAttribute>,
}

/// Options of a started workflow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkflowOptions {
    /// Limit of the whole execution, retries and continue-as-new included.
    pub execution_timeout: Option<Duration>,
    /// Limit of one run.
    pub run_timeout: Option<Duration>,
    /// Limit of one workflow task.
    pub task_timeout: Option<Duration>,
    /// 1 (first) to 5.
    pub priority: Option<u8>,
    /// Shown beside the run in the Temporal UI.
    pub summary: Option<String>,
}

/// Retry policy of a started workflow, defaults filled in as the server does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Wait before the first retry; 1 s by default.
    pub initial_interval: Duration,
    /// Factor of each next wait; 2 by default, 1 at least.
    pub backoff_coefficient: f64,
    /// Longest wait; 100 times the initial interval by default.
    pub maximum_interval: Duration,
    /// 0: no limit.
    pub maximum_attempts: u32,
    /// Error types that are not retried, in the order written.
    pub non_retryable_error_types: Vec<String>,
}

/// A search attribute's value, typed by its YAML type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum SearchAttribute {
    /// A string.
    Keyword(String),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Double(f64),
    /// A boolean.
    Bool(bool),
    /// A timestamp.
    Datetime(jiff::Timestamp),
    /// A list of strings.
    KeywordList(Vec<String>),
}
