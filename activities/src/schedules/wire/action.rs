//! The action of a schedule: the workflow that it starts.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use almanac_base::json_text::JsonText;
use almanac_base::names::{MEMO_KEY, RUN_WORKFLOW, TRACEPARENT};
use almanac_core::definition::{RetryPolicy, SearchAttribute, WorkflowOptions};
use almanac_core::field::HASH_VERSION;
use almanac_core::record::{ActionMemo, RunMemo, pinned_steps};
use almanac_core::schedule::{Action, Encryption, LiveMemo};
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::common::v1::{
    Memo, Payload, Payloads, Priority, RetryPolicy as WireRetryPolicy, SearchAttributes,
    WorkflowType,
};
use temporalio_common::protos::temporal::api::schedule::v1::{ScheduleAction, schedule_action};
use temporalio_common::protos::temporal::api::sdk::v1::UserMetadata;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::StartWorkflowExecutionRequest;

use super::spec::{decode_duration, encode_duration};
use crate::codec::{encryption_of, without_internal};
use crate::payload::{decode_json, encode_json, encode_readable};
use crate::spans;

/// The metadata key of a search attribute's type.
const TYPE: &str = "type";

/// The workflow that an action starts; an empty one if the action starts none.
pub(in crate::schedules) fn started(action: Option<&ScheduleAction>) -> NewWorkflowExecutionInfo {
    match action.and_then(|action| action.action.as_ref()) {
        Some(schedule_action::Action::StartWorkflow(info)) => info.clone(),
        None => NewWorkflowExecutionInfo::default(),
    }
}

/// The action that starts this workflow.
pub(super) fn starting(info: NewWorkflowExecutionInfo) -> ScheduleAction {
    ScheduleAction {
        action: Some(schedule_action::Action::StartWorkflow(info)),
    }
}

/// The started workflow without its input and without Almanac's memo.
pub(super) fn encode_action(action: &Action) -> NewWorkflowExecutionInfo {
    let options = &action.options;
    NewWorkflowExecutionInfo {
        workflow_id: action.workflow_id.clone(),
        workflow_type: Some(WorkflowType {
            name: action.workflow_type.clone(),
        }),
        task_queue: Some(TaskQueue {
            name: action.task_queue.clone(),
            ..TaskQueue::default()
        }),
        workflow_execution_timeout: options.execution_timeout.map(encode_duration),
        workflow_run_timeout: options.run_timeout.map(encode_duration),
        workflow_task_timeout: options.task_timeout.map(encode_duration),
        retry_policy: action.retry.as_ref().map(encode_retry),
        memo: Some(Memo {
            fields: action
                .memo
                .iter()
                .map(|(key, value)| (key.clone(), encode_json(value)))
                .collect(),
        }),
        search_attributes: (!action.search_attributes.is_empty()).then(|| SearchAttributes {
            indexed_fields: action
                .search_attributes
                .iter()
                .map(|(name, value)| (name.clone(), encode_search_attribute(value)))
                .collect(),
        }),
        user_metadata: options.summary.as_ref().map(|summary| UserMetadata {
            summary: Some(encode_json(&json!(summary))),
            details: None,
        }),
        priority: options.priority.map(|key| Priority {
            priority_key: i32::from(key),
            ..Priority::default()
        }),
        ..NewWorkflowExecutionInfo::default()
    }
}

/// The request that starts a workflow without a schedule, except for the namespace, the ids and
/// policies of the request, and the caller's identity. The memo also has the current span.
pub(crate) fn encode_start(
    action: &Action,
    args: &[JsonText],
    memo: &RunMemo,
) -> StartWorkflowExecutionRequest {
    let mut info = encode_action(action);
    insert_memo(&mut info, json!(memo));
    StartWorkflowExecutionRequest {
        workflow_id: info.workflow_id,
        workflow_type: info.workflow_type,
        task_queue: info.task_queue,
        input: Some(encode_input(args, None)),
        workflow_execution_timeout: info.workflow_execution_timeout,
        workflow_run_timeout: info.workflow_run_timeout,
        workflow_task_timeout: info.workflow_task_timeout,
        retry_policy: info.retry_policy,
        memo: info.memo,
        search_attributes: info.search_attributes,
        user_metadata: info.user_metadata,
        priority: info.priority,
        ..StartWorkflowExecutionRequest::default()
    }
}

/// The started workflow of a live schedule, normalised, without Almanac's memo.
pub(super) fn decode_action(info: &NewWorkflowExecutionInfo) -> Action {
    let memo = info.memo.as_ref().map(|memo| &memo.fields);
    let attributes = info
        .search_attributes
        .as_ref()
        .map(|attributes| &attributes.indexed_fields);
    Action {
        workflow_type: info
            .workflow_type
            .as_ref()
            .map(|one| one.name.clone())
            .unwrap_or_default(),
        task_queue: info
            .task_queue
            .as_ref()
            .map(|one| one.name.clone())
            .unwrap_or_default(),
        workflow_id: info.workflow_id.clone(),
        options: WorkflowOptions {
            execution_timeout: decode_timeout(info.workflow_execution_timeout.as_ref()),
            run_timeout: decode_timeout(info.workflow_run_timeout.as_ref()),
            task_timeout: decode_timeout(info.workflow_task_timeout.as_ref()),
            priority: info
                .priority
                .as_ref()
                .and_then(|one| u8::try_from(one.priority_key).ok())
                .filter(|key| *key > 0),
            summary: info
                .user_metadata
                .as_ref()
                .and_then(|metadata| metadata.summary.as_ref())
                .and_then(|summary| decode_json(summary).as_str().map(str::to_owned)),
        },
        retry: info.retry_policy.as_ref().map(decode_retry),
        memo: decode_all(memo, |(key, _)| key.as_str() != MEMO_KEY, decode_json),
        search_attributes: decode_all(attributes, |_| true, decode_search_attribute),
        encryption: decode_encryption(info),
    }
}

/// Encryption of the input, the memo and the summary, without Almanac's memo.
fn decode_encryption(info: &NewWorkflowExecutionInfo) -> Encryption {
    let input = info.input.iter().flat_map(|input| &input.payloads);
    let memo = info.memo.iter().flat_map(|memo| &memo.fields);
    let memo = memo.filter(|(key, _)| key.as_str() != MEMO_KEY);
    let summary = info.user_metadata.iter();
    let summary = summary.filter_map(|metadata| metadata.summary.as_ref());
    let all = input.chain(memo.map(|(_, value)| value)).chain(summary);
    Encryption::of_all(all.map(encryption_of))
}

/// The input as it is, to be encrypted again.
pub(super) fn refreshed(input: Option<Payloads>) -> Option<Payloads> {
    input.map(|input| Payloads {
        payloads: input.payloads.into_iter().map(without_internal).collect(),
    })
}

/// The arguments of the started workflow: the steps and the rest.
pub(super) fn decode_input(info: &NewWorkflowExecutionInfo) -> (Vec<JsonText>, Option<JsonText>) {
    let args: Vec<_> = info
        .input
        .iter()
        .flat_map(|input| &input.payloads)
        .map(decode_json)
        .collect();
    let runs_steps = info
        .workflow_type
        .as_ref()
        .is_some_and(|one| one.name == RUN_WORKFLOW);
    if let ([one], true) = (args.as_slice(), runs_steps)
        && let Some(steps) = pinned_steps(one)
    {
        let input = one.get("input").filter(|input| !input.is_null());
        let input = input.map(JsonText::from);
        return (input.into_iter().collect(), Some(steps.into()));
    }
    (args.iter().map(JsonText::from).collect(), None)
}

/// The argument of a run that pins its steps.
pub(super) fn decode_run_input(info: &NewWorkflowExecutionInfo) -> Option<Value> {
    let mut args = info.input.iter().flat_map(|input| &input.payloads);
    args.next().map(decode_json)
}

/// The arguments in the form of a request.
pub(super) fn encode_input(input: &[JsonText], run_input: Option<&Value>) -> Payloads {
    let payloads = match run_input {
        Some(one) => vec![encode_json(one)],
        None => input.iter().map(|one| encode_json(&one.value())).collect(),
    };
    Payloads { payloads }
}

/// Adds Almanac's memo to the workflow's own memo, and to it the current span, for the runs.
pub(super) fn set_memo(info: &mut NewWorkflowExecutionInfo, memo: &ActionMemo) {
    insert_memo(info, json!(memo));
}

fn insert_memo(info: &mut NewWorkflowExecutionInfo, mut memo: Value) {
    if let Some(traceparent) = spans::traceparent(&opentelemetry::Context::current()) {
        memo[TRACEPARENT] = json!(traceparent);
    }
    info.memo
        .get_or_insert_default()
        .fields
        .insert(MEMO_KEY.to_owned(), encode_readable(&memo));
}

/// Almanac's memo: readable, from a newer version, or missing. A memo that
/// cannot be read counts as missing.
pub(super) fn decode_memo(info: &NewWorkflowExecutionInfo) -> LiveMemo {
    let Some(payload) = info
        .memo
        .as_ref()
        .and_then(|memo| memo.fields.get(MEMO_KEY))
    else {
        return LiveMemo::Missing;
    };
    let value = decode_json(payload);
    let newer = value["v"]
        .as_u64()
        .and_then(|v| u32::try_from(v).ok())
        .filter(|v| *v > HASH_VERSION);
    match (newer, serde_json::from_value(value)) {
        (Some(v), _) => LiveMemo::Newer(v),
        (None, Ok(memo)) => LiveMemo::Readable(Box::new(memo)),
        (None, Err(_)) => LiveMemo::Missing,
    }
}

/// The memo of a run that no schedule started. `None` if the run has no such memo.
pub(crate) fn decode_run_memo(memo: Option<&Memo>) -> Option<RunMemo> {
    let payload = memo?.fields.get(MEMO_KEY)?;
    serde_json::from_value(decode_json(payload)).ok()
}

fn decode_timeout(timeout: Option<&prost_types::Duration>) -> Option<Duration> {
    timeout
        .map(decode_duration)
        .filter(|timeout| !timeout.is_zero())
}

fn encode_retry(retry: &RetryPolicy) -> WireRetryPolicy {
    WireRetryPolicy {
        initial_interval: Some(encode_duration(retry.initial_interval)),
        backoff_coefficient: retry.backoff_coefficient,
        maximum_interval: Some(encode_duration(retry.maximum_interval)),
        maximum_attempts: i32::try_from(retry.maximum_attempts).unwrap_or(i32::MAX),
        non_retryable_error_types: retry.non_retryable_error_types.clone(),
    }
}

/// The retry policy, with the defaults that the server uses when it starts the
/// workflow.
fn decode_retry(retry: &WireRetryPolicy) -> RetryPolicy {
    let or = |duration: Option<&prost_types::Duration>, default: Duration| {
        duration
            .map(decode_duration)
            .filter(|one| !one.is_zero())
            .unwrap_or(default)
    };
    let initial_interval = or(retry.initial_interval.as_ref(), Duration::from_secs(1));
    RetryPolicy {
        initial_interval,
        backoff_coefficient: if retry.backoff_coefficient == 0.0 {
            2.0
        } else {
            retry.backoff_coefficient
        },
        maximum_interval: or(
            retry.maximum_interval.as_ref(),
            initial_interval.saturating_mul(100),
        ),
        maximum_attempts: u32::try_from(retry.maximum_attempts).unwrap_or_default(),
        non_retryable_error_types: retry.non_retryable_error_types.clone(),
    }
}

fn encode_search_attribute(attribute: &SearchAttribute) -> Payload {
    let (kind, value) = match attribute {
        SearchAttribute::Keyword(text) => ("Keyword", json!(text)),
        SearchAttribute::Int(number) => ("Int", json!(number)),
        SearchAttribute::Double(number) => ("Double", json!(number)),
        SearchAttribute::Bool(flag) => ("Bool", json!(flag)),
        SearchAttribute::Datetime(time) => ("Datetime", json!(time)),
        SearchAttribute::KeywordList(list) => ("KeywordList", json!(list)),
    };
    let mut payload = encode_json(&value);
    payload
        .metadata
        .insert(TYPE.to_owned(), kind.as_bytes().to_vec());
    payload
}

/// Decodes a search attribute by its type, or by its JSON if it names no type.
fn decode_search_attribute(payload: &Payload) -> SearchAttribute {
    let value = decode_json(payload);
    let kind = payload.metadata.get(TYPE).map_or(&[][..], Vec::as_slice);
    let text = || {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    match (kind, &value) {
        (b"Datetime", Value::String(time)) => time.parse().map_or_else(
            |_| SearchAttribute::Keyword(time.clone()),
            SearchAttribute::Datetime,
        ),
        (b"Double", Value::Number(number)) => {
            SearchAttribute::Double(number.as_f64().unwrap_or_default())
        }
        (_, Value::Bool(flag)) => SearchAttribute::Bool(*flag),
        (_, Value::Number(number)) => match number.as_i64() {
            Some(number) => SearchAttribute::Int(number),
            None => SearchAttribute::Double(number.as_f64().unwrap_or_default()),
        },
        (_, Value::Array(items)) => SearchAttribute::KeywordList(
            items
                .iter()
                .map(|item| {
                    item.as_str()
                        .map_or_else(|| item.to_string(), str::to_owned)
                })
                .collect(),
        ),
        _ => SearchAttribute::Keyword(text()),
    }
}

/// Returns `true` if a definition can hold a search attribute exactly as this
/// payload does.
pub(crate) fn holds_search_attribute(payload: &Payload) -> bool {
    let attribute = decode_search_attribute(payload);
    let again = encode_search_attribute(&attribute);
    let type_is_kept = payload
        .metadata
        .get(TYPE)
        .is_none_or(|kind| Some(kind) == again.metadata.get(TYPE));
    let value = decode_json(payload);
    type_is_kept
        && match attribute {
            // The same time and the same number may be written in several ways.
            SearchAttribute::Datetime(_) => true,
            SearchAttribute::Double(number) => value.as_f64() == Some(number),
            _ => value == decode_json(&again),
        }
}

fn decode_all<T>(
    fields: Option<&HashMap<String, Payload>>,
    keep: impl Fn(&(&String, &Payload)) -> bool,
    decode: impl Fn(&Payload) -> T,
) -> BTreeMap<String, T> {
    fields
        .into_iter()
        .flatten()
        .filter(keep)
        .map(|(key, payload)| (key.clone(), decode(payload)))
        .collect()
}
