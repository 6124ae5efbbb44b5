//! The values of a schedule's fields, normalised as the server normalises.

use std::collections::BTreeMap;
use std::time::Duration;

use almanac_times::Spec;
use serde::Serialize;
use serde_json::{Value, json};

use crate::definition::{OverlapPolicy, RetryPolicy, SearchAttribute, WorkflowOptions};
use crate::field::Field;

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

/// The catch-up window of a definition that says none.
pub const DEFAULT_CATCHUP_WINDOW: Duration = Duration::from_hours(1);

impl ScheduleValues {
    /// A field's value as JSON: what is compared, hashed and shown. The form
    /// outlives releases, since hashes of it are stored.
    pub fn value(&self, field: Field) -> Value {
        let spec = &self.spec;
        match field {
            Field::Times => json!(spec.calendars),
            Field::Intervals => json!(
                spec.intervals
                    .iter()
                    .map(|interval| json!([text(interval.every), text(interval.phase)]))
                    .collect::<Vec<_>>()
            ),
            Field::Exclude => json!(spec.exclude),
            Field::Timezone => json!(spec.timezone),
            Field::StartAt => json!(spec.start_at),
            Field::EndAt => json!(spec.end_at),
            Field::Jitter => json!(text(spec.jitter)),
            Field::OverlapPolicy => json!(self.overlap_policy),
            Field::CatchupWindow => json!(text(self.catchup_window)),
            Field::PauseOnFailure => json!(self.pause_on_failure),
            Field::MaxActions => json!(self.max_actions),
            Field::Paused => json!(self.paused),
            Field::Input => json!(self.input),
            Field::Definition => json!(self.definition),
            Field::Action => self.action.value(),
            Field::Unknown => Value::Null,
        }
    }

    /// The value that a document has for `field` when it says nothing about it.
    pub fn default_value(field: Field) -> Value {
        match field {
            Field::Times | Field::Intervals | Field::Exclude | Field::Input => json!([]),
            Field::Timezone => json!("UTC"),
            Field::Jitter => json!(text(Duration::ZERO)),
            Field::OverlapPolicy => json!(OverlapPolicy::default()),
            Field::CatchupWindow => json!(text(DEFAULT_CATCHUP_WINDOW)),
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

impl Action {
    fn value(&self) -> Value {
        let options = &self.options;
        let parts = [
            ("type", json!(self.workflow_type)),
            ("task_queue", json!(self.task_queue)),
            ("workflow_id", json!(self.workflow_id)),
            (
                "execution_timeout",
                json!(options.execution_timeout.map(text)),
            ),
            ("run_timeout", json!(options.run_timeout.map(text))),
            ("task_timeout", json!(options.task_timeout.map(text))),
            ("priority", json!(options.priority)),
            ("summary", json!(options.summary)),
            ("retry", json!(self.retry.as_ref().map(retry_value))),
            ("memo", json!(self.memo)),
            ("search_attributes", json!(self.search_attributes)),
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
        "initial_interval": text(retry.initial_interval),
        "backoff_coefficient": retry.backoff_coefficient,
        "maximum_interval": text(retry.maximum_interval),
        "maximum_attempts": retry.maximum_attempts,
        "non_retryable_error_types": retry.non_retryable_error_types,
    })
}

/// A duration as people write it: `1h30m`, `500ms`, `0s`.
pub fn text(duration: Duration) -> String {
    use std::fmt::Write as _;

    let seconds = duration.as_secs();
    let mut out = String::new();
    for (unit, amount) in [
        ("d", seconds / 86_400),
        ("h", seconds % 86_400 / 3600),
        ("m", seconds % 3600 / 60),
        ("s", seconds % 60),
        ("ms", u64::from(duration.subsec_millis())),
        ("us", u64::from(duration.subsec_micros() % 1000)),
        ("ns", u64::from(duration.subsec_nanos() % 1000)),
    ] {
        if amount > 0 {
            // Writing to a string does not fail.
            let _infallible = write!(out, "{amount}{unit}");
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        assert_eq!(text(Duration::ZERO), "0s");
        assert_eq!(text(Duration::from_mins(90)), "1h30m");
        assert_eq!(text(Duration::from_millis(86_400_500)), "1d500ms");
    }
}
