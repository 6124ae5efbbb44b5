//! The validated model of a definition. The server accepts every value here. A key that the
//! document leaves out has its default.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use almanac_base::json_text::JsonText;
use almanac_base::names::{DefinitionId, Revision, ScheduleId};
use almanac_events::webhook::Layout;
use almanac_steps::language::{JsonSchema, Trigger};
use almanac_times::{Calendar, Sorted, Spec};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::Labels;

/// A definition: a document of `kind: workflow`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Definition {
    /// Id of the definition, unique within a project.
    pub id: DefinitionId,
    /// Digest of the definition as parsed, without its id, its source and `schedule.adopts`.
    /// Definitions with equal revisions make the same schedule, except for its name.
    pub revision: Revision,
    /// Short description for people.
    pub description: Option<String>,
    /// If `false`, the schedule exists but is paused, and events start nothing.
    pub enabled: bool,
    /// Labels by which people and tools select definitions.
    pub labels: Labels,
    /// Schedule of the definition. `None` if it runs only manually or on events.
    pub schedule: Option<ScheduleBlock>,
    /// Triggers: the events that start the definition, and the ends of runs that do.
    pub triggers: Triggers,
    /// The workflow or the steps that run.
    pub program: Program,
}

/// A document of `kind: calendar`: a named set of whole days.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DayCalendar {
    /// Id of the calendar, unique among a project's calendars.
    pub id: DefinitionId,
    /// Digest of the calendar as parsed, without its id.
    pub revision: Revision,
    /// Short description for people.
    pub description: Option<String>,
    /// Labels by which people and tools select calendars.
    pub labels: Labels,
    /// The calendar's days, as the exclusions of a schedule that names the calendar.
    pub exclusions: Sorted<Calendar>,
}

/// A document of `kind: event_type`: a type of events.
#[derive(Debug, Clone, PartialEq)]
pub struct EventType {
    /// Id of the document, unique among a project's event types.
    pub id: DefinitionId,
    /// Type of the events, unique among a project's event types. The id if the document states no
    /// type.
    pub kind: String,
    /// Digest of the event type as parsed, without its id.
    pub revision: Revision,
    /// Short description for people.
    pub description: Option<String>,
    /// Labels by which people and tools select event types.
    pub labels: Labels,
    /// Schema of the events' data. `None` if the data can be anything.
    pub schema: Option<JsonSchema>,
    /// Address at which another service delivers events of this type. `None` if there is none.
    pub webhook: Option<Webhook>,
}

/// Address at which another service delivers events, and the way in which it signs them.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// Last part of the address, unique among a project's webhooks.
    pub slug: DefinitionId,
    /// Way in which the service signs its requests.
    pub layout: Layout,
    /// Names of the secrets with which the service may sign: 1, or 2 while a secret is replaced.
    pub secrets: Vec<String>,
}

/// Triggers of a definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Triggers {
    /// Triggers as the document has them, as JSON: the list of `triggers`, or the map of `on`,
    /// `read` and `after` of the specification's `schedule`. With `schedule.after` in Almanac's
    /// form, a map of `triggers`, `after` and `input`.
    pub text: JsonText,
    /// Triggers, in the order of the document.
    pub list: Arc<[Trigger]>,
    /// `schedule.after`: the definition starts again after its last run ended.
    pub again: Option<Again>,
}

/// A start of a definition some time after its own last run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Again {
    /// Time from the end of the last run to the next start; at least 1 s.
    pub delay: Duration,
    /// Input of the run; null if the document states none.
    pub input: Option<JsonText>,
    /// If `false`, the definition does not start again.
    pub enabled: bool,
}

impl Triggers {
    /// Returns `true` if no event, and no end of a run, starts the definition.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && self.again.is_none()
    }
}

impl Default for Triggers {
    fn default() -> Self {
        Self {
            text: JsonText::from(Value::Array(Vec::new())),
            list: Arc::default(),
            again: None,
        }
    }
}

impl Serialize for Triggers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

/// A definition's `schedule:` block.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduleBlock {
    /// If `false`, this schedule is paused; events and manual runs still start the definition.
    pub enabled: bool,
    /// The `cron` strings as written, for display.
    pub cron: Vec<String>,
    /// Compiled form of `cron`, `every`, `calendars`, `exclude`, `timezone`, `start_at`, `end_at`
    /// and `jitter`.
    pub spec: Spec,
    /// Policy for a run that is due while another run has not ended.
    pub overlap_policy: OverlapPolicy,
    /// Maximum delay with which a missed run still starts. At least 10 s; 1 h by default.
    pub catchup_window: Duration,
    /// The server pauses the schedule after a failed run.
    pub pause_on_failure: bool,
    /// Maximum number of runs that the schedule starts. `None` if there is no limit.
    pub max_actions: Option<u32>,
    /// Input of the run. A workflow gets it as its only argument if `workflow.args` is absent.
    pub input: Option<JsonText>,
    /// Id of the unmanaged schedule that this schedule replaces. The replacement happens when an
    /// operator runs `almanac adopt`. The key changes nothing in the schedule itself, so it is not
    /// part of the revision.
    pub adopts: Option<ScheduleId>,
}

/// Policy for a run that is due while another run has not ended. The names and meanings are those
/// of the server's `ScheduleOverlapPolicy`.
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
    /// Do not start the run.
    #[default]
    Skip,
    /// Start one more run when the present run ends.
    BufferOne,
    /// Start all runs that became due, one after the other.
    BufferAll,
    /// Cancel the present run, then start the next one.
    CancelOther,
    /// Terminate the present run, then start the next one.
    TerminateOther,
    /// Start the run beside the present run. `allow` in a document means the same.
    #[serde(alias = "allow")]
    AllowAll,
}

/// Program that a definition runs: a workflow or steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "a few hundred bytes for each of some thousands, and no box to unpack"
)]
pub enum Program {
    /// `workflow:`, any workflow type on any task queue.
    Workflow(WorkflowBlock),
    /// `do:`, steps that the workflow `RunDefinition` interprets, as validated JSON: the task list,
    /// or a map if there is more. The schedule's action carries this JSON.
    Steps(JsonText),
}

/// A definition's `workflow:` block.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct WorkflowBlock {
    pub workflow_type: String,
    /// Task queue of the worker that runs the workflow.
    pub task_queue: String,
    /// Arguments of the workflow. `None` if the document has none; `schedule.input` is then the
    /// only argument.
    pub args: Option<Vec<JsonText>>,
    /// Execution, run and task time-outs, priority and summary.
    pub options: WorkflowOptions,
    /// Retry policy of the started workflow.
    pub retry: Option<RetryPolicy>,
    /// Memo of the started workflow. It never has the key `almanac`.
    pub memo: BTreeMap<String, Value>,
    /// Search attributes of the started workflow.
    pub search_attributes: BTreeMap<String, SearchAttribute>,
}

/// Options of a started workflow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkflowOptions {
    /// Maximum duration of the whole execution, including retries and continue-as-new.
    pub execution_timeout: Option<Duration>,
    /// Maximum duration of one run.
    pub run_timeout: Option<Duration>,
    /// Maximum duration of one workflow task.
    pub task_timeout: Option<Duration>,
    /// Priority from 1 (first) to 5 (last).
    pub priority: Option<u8>,
    /// Text that the Temporal UI shows beside the run.
    pub summary: Option<String>,
}

/// Retry policy of a started workflow, with the server's defaults filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Wait before the first retry; 1 s by default.
    pub initial_interval: Duration,
    /// Factor by which each next wait grows; 2 by default, at least 1.
    pub backoff_coefficient: f64,
    /// Maximum wait; 100 times the initial interval by default.
    pub maximum_interval: Duration,
    /// Maximum number of attempts; 0 means no limit.
    pub maximum_attempts: u32,
    /// Error types that are not retried, in the order written.
    pub non_retryable_error_types: Vec<String>,
}

/// Value of a search attribute. The type of the YAML value decides the type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum SearchAttribute {
    /// A string.
    Keyword(String),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Double(f64),
    /// The value `true` or `false`.
    Bool(bool),
    /// A date and time.
    Datetime(jiff::Timestamp),
    /// A list of strings.
    KeywordList(Vec<String>),
}
