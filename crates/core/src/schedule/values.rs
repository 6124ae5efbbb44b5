//! Values of a schedule's fields, normalised as the server normalises them.

use std::collections::BTreeMap;
use std::time::Duration;

use almanac_base::duration::show;
use almanac_base::json_text::JsonText;
use almanac_times::Spec;
use serde::Serialize;
use serde_json::{Value, json};

use super::Encryption;
use crate::definition::{OverlapPolicy, RetryPolicy, SearchAttribute, WorkflowOptions};
use crate::field::Field;

/// Every compared value of a schedule, desired or live.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduleValues {
    /// Times, intervals, exclusions, zone, bounds and jitter.
    pub spec: Spec,
    /// Policy for a run that is due while another run has not ended.
    pub overlap_policy: OverlapPolicy,
    /// Maximum delay with which a missed run still starts.
    pub catchup_window: Duration,
    /// The server pauses the schedule after a failed run.
    pub pause_on_failure: bool,
    /// Maximum number of runs that the schedule starts. For a live schedule, see [`super::Live`].
    pub max_actions: Option<u32>,
    /// The schedule is paused and starts nothing by itself.
    pub paused: bool,
    /// Arguments of the started workflow, except `definition`.
    pub input: Vec<JsonText>,
    /// The steps that the started workflow interprets.
    pub definition: Option<JsonText>,
    /// All other properties of the started workflow.
    pub action: Action,
}

/// The started workflow, without its arguments and without Almanac's memo.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Action {
    /// Type of the workflow. Empty if the action of a live schedule does not start a workflow.
    pub workflow_type: String,
    pub task_queue: String,
    /// Id of the workflow. The server appends the time.
    pub workflow_id: String,
    /// Time-outs, priority and summary of the workflow.
    pub options: WorkflowOptions,
    /// Retry policy of the workflow.
    pub retry: Option<RetryPolicy>,
    /// Memo of the workflow, without the key `almanac`.
    pub memo: BTreeMap<String, Value>,
    pub search_attributes: BTreeMap<String, SearchAttribute>,
    /// Encryption of the input, the memo and the summary. No definition states it.
    #[serde(skip_serializing_if = "Encryption::is_none")]
    pub encryption: Encryption,
}

/// Catch-up window of a definition that states none.
pub const DEFAULT_CATCHUP_WINDOW: Duration = Duration::from_hours(1);

impl ScheduleValues {
    /// Value of a field as JSON, which is compared, hashed and shown. Later releases must keep the
    /// form, because hashes of it are stored.
    pub fn value(&self, field: Field) -> Value {
        let spec = &self.spec;
        match field {
            Field::Times => json!(spec.calendars),
            Field::Intervals => json!(
                spec.intervals
                    .iter()
                    .map(|interval| json!([show(interval.every), show(interval.phase)]))
                    .collect::<Vec<_>>()
            ),
            Field::Exclude => json!(spec.exclude),
            Field::Timezone => json!(spec.timezone),
            Field::StartAt => json!(spec.start_at),
            Field::EndAt => json!(spec.end_at),
            Field::Jitter => json!(show(spec.jitter)),
            Field::OverlapPolicy => json!(self.overlap_policy),
            Field::CatchupWindow => json!(show(self.catchup_window)),
            Field::PauseOnFailure => json!(self.pause_on_failure),
            Field::MaxActions => json!(self.max_actions),
            Field::Paused => json!(self.paused),
            Field::Input => json!(self.input),
            Field::Definition => json!(self.definition),
            Field::Action => self.action.value(),
            Field::Unknown => Value::Null,
        }
    }

    /// Value of `field` for a document that does not state the field.
    pub fn default_value(field: Field) -> Value {
        match field {
            Field::Times | Field::Intervals | Field::Exclude | Field::Input => json!([]),
            Field::Timezone => json!("UTC"),
            Field::Jitter => json!(show(Duration::ZERO)),
            Field::OverlapPolicy => json!(OverlapPolicy::default()),
            Field::CatchupWindow => json!(show(DEFAULT_CATCHUP_WINDOW)),
            Field::PauseOnFailure | Field::Paused => json!(false),
            Field::StartAt
            | Field::EndAt
            | Field::MaxActions
            | Field::Definition
            | Field::Action
            | Field::Unknown => Value::Null,
        }
    }
}

impl ScheduleValues {
    /// Returns `true` if the schedule carries payloads that can be encrypted.
    pub fn has_payloads(&self) -> bool {
        !self.input.is_empty()
            || self.definition.is_some()
            || !self.action.memo.is_empty()
            || self.action.options.summary.is_some()
    }
}

impl Action {
    pub(crate) fn value(&self) -> Value {
        let options = &self.options;
        let parts = [
            ("type", json!(self.workflow_type)),
            ("task_queue", json!(self.task_queue)),
            ("workflow_id", json!(self.workflow_id)),
            (
                "execution_timeout",
                json!(options.execution_timeout.map(show)),
            ),
            ("run_timeout", json!(options.run_timeout.map(show))),
            ("task_timeout", json!(options.task_timeout.map(show))),
            ("priority", json!(options.priority)),
            ("summary", json!(options.summary)),
            ("retry", json!(self.retry.as_ref().map(retry_value))),
            ("memo", json!(self.memo)),
            ("search_attributes", json!(self.search_attributes)),
            (
                "encryption",
                json!((!self.encryption.is_none()).then_some(&self.encryption)),
            ),
        ];
        let empty = |value: &Value| value.is_null() || *value == json!({});
        Value::Object(
            parts
                .into_iter()
                .filter(|(_, value)| !empty(value))
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        )
    }
}

fn retry_value(retry: &RetryPolicy) -> Value {
    json!({
        "initial_interval": show(retry.initial_interval),
        "backoff_coefficient": retry.backoff_coefficient,
        "maximum_interval": show(retry.maximum_interval),
        "maximum_attempts": retry.maximum_attempts,
        "non_retryable_error_types": retry.non_retryable_error_types,
    })
}
