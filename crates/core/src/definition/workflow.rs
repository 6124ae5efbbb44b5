//! The `workflow:` block of a document: any workflow type on any task queue.

use std::collections::BTreeMap;
use std::time::Duration;

use almanac_base::duration::{self, LONGEST, TimestampText, show};
use almanac_base::json_text::JsonText;
use almanac_base::names::MEMO_KEY;
use almanac_base::shape::Shape;
use almanac_base::text::quoted;

use super::decode::{Decoder, Object, join};
use super::yaml::{Entry, Node, Value};
use super::{RetryPolicy, SearchAttribute, WorkflowBlock, WorkflowOptions};

pub(super) const WORKFLOW: Shape = Shape {
    name: "`workflow`",
    keys: &[
        "type",
        "task_queue",
        "args",
        "execution_timeout",
        "run_timeout",
        "task_timeout",
        "priority",
        "summary",
        "retry",
        "memo",
        "search_attributes",
    ],
    refused: &[],
};

pub(super) const RETRY: Shape = Shape {
    name: "`workflow.retry`",
    keys: &[
        "initial_interval",
        "backoff_coefficient",
        "maximum_interval",
        "maximum_attempts",
        "non_retryable_error_types",
    ],
    refused: &[],
};

/// Maximum length of ids and names on the server, in bytes.
const NAME_LIMIT: usize = 1000;
/// Maximum size of a summary, in bytes of JSON: the default of the server's
/// `limit.userMetadataSummarySize`. A development server accepts more.
const SUMMARY_LIMIT: usize = 400;
const MILLISECOND: Duration = Duration::from_millis(1);
/// Maximum workflow task time-out. The server shortens longer ones to this.
const TASK_TIMEOUT_LIMIT: Duration = Duration::from_mins(2);
/// Search attributes that the server sets itself.
const RESERVED_ATTRIBUTES: [&str; 3] = [
    "TemporalScheduledById",
    "TemporalScheduledStartTime",
    "TemporalSchedulePaused",
];

/// Reads the block. The decoder collects the errors; after an error the result is not complete.
pub(super) fn workflow(decoder: &mut Decoder<'_>, entry: &Entry<'_>) -> Option<WorkflowBlock> {
    let object = decoder.object(entry.at, &entry.value, "workflow", &WORKFLOW)?;
    let mut block = WorkflowBlock {
        workflow_type: required_name(decoder, &object, "type"),
        task_queue: required_name(decoder, &object, "task_queue"),
        options: options(decoder, &object),
        ..WorkflowBlock::default()
    };
    if block.task_queue.starts_with("/_sys/")
        && let Some(entry) = object.get("task_queue")
    {
        decoder.error(
            entry.value.at,
            format!(
                "`workflow.task_queue` {} is reserved by the server: names must not begin with \
                 `/_sys/`",
                quoted(&block.task_queue)
            ),
        );
    }
    if let Some(entry) = object.get("args") {
        let items = decoder.list(&entry.value, "workflow.args", "a list");
        block.args = items.map(|items| {
            let values = items.iter().filter_map(|item| decoder.json(item));
            values.map(JsonText::from).collect()
        });
    }
    if let Some(entry) = object.get("retry") {
        block.retry = retry(decoder, &entry.value);
    }
    if let Some(entry) = object.get("memo") {
        block.memo = memo(decoder, &entry.value);
    }
    if let Some(entry) = object.get("search_attributes") {
        block.search_attributes = search_attributes(decoder, &entry.value);
    }
    Some(block)
}

fn required_name(decoder: &mut Decoder<'_>, object: &Object<'_>, key: &str) -> String {
    let path = join("workflow", key);
    if !object.has(key) {
        decoder.error(object.at, format!("`{path}` is missing"));
    }
    object
        .get(key)
        .and_then(|entry| decoder.name(&entry.value, &path, NAME_LIMIT))
        .unwrap_or_default()
        .to_owned()
}

fn options(decoder: &mut Decoder<'_>, object: &Object<'_>) -> WorkflowOptions {
    let mut timeout = |key: &str, most| {
        let entry = object.get(key)?;
        decoder.duration(&entry.value, &join("workflow", key), MILLISECOND..=most)
    };
    let execution_timeout = timeout("execution_timeout", LONGEST);
    let run_timeout = timeout("run_timeout", LONGEST);
    let task_timeout = timeout("task_timeout", TASK_TIMEOUT_LIMIT);
    if let (Some(run), Some(execution), Some(entry)) =
        (run_timeout, execution_timeout, object.get("run_timeout"))
        && run > execution
    {
        decoder.warn(
            entry.value.at,
            format!(
                "`workflow.run_timeout` {} is longer than `workflow.execution_timeout` {}, which ends the run first",
                show(run),
                show(execution)
            ),
            "the execution timeout covers all runs of one execution",
        );
    }
    WorkflowOptions {
        execution_timeout,
        run_timeout,
        task_timeout,
        priority: object
            .get("priority")
            .and_then(|entry| decoder.integer(&entry.value, "workflow.priority", 1..=5))
            .and_then(|priority| u8::try_from(priority).ok()),
        summary: object
            .get("summary")
            .and_then(|entry| summary(decoder, &entry.value)),
    }
}

fn summary(decoder: &mut Decoder<'_>, node: &Node<'_>) -> Option<String> {
    let text = decoder.text(node, "workflow.summary")?;
    let bytes = serde_json::to_vec(text).map_or(0, |json| json.len());
    if bytes > SUMMARY_LIMIT {
        decoder.error(
            node.at,
            format!(
                "`workflow.summary` has {bytes} bytes as JSON, over the limit of {SUMMARY_LIMIT}"
            ),
        );
        return None;
    }
    Some(text.to_owned())
}

fn retry(decoder: &mut Decoder<'_>, node: &Node<'_>) -> Option<RetryPolicy> {
    let object = decoder.object(node.at, node, "workflow.retry", &RETRY)?;
    let mut interval = |key: &str| {
        let entry = object.get(key)?;
        let path = join("workflow.retry", key);
        decoder.duration(&entry.value, &path, MILLISECOND..=LONGEST)
    };
    let initial_interval = interval("initial_interval").unwrap_or(Duration::from_secs(1));
    let maximum_interval = interval("maximum_interval");
    if let (Some(maximum), Some(entry)) = (maximum_interval, object.get("maximum_interval"))
        && maximum < initial_interval
    {
        decoder.error(
            entry.value.at,
            format!(
                "`workflow.retry.maximum_interval` {} is shorter than the initial interval {}",
                show(maximum),
                show(initial_interval)
            ),
        );
    }
    Some(RetryPolicy {
        initial_interval,
        backoff_coefficient: object
            .get("backoff_coefficient")
            .and_then(|entry| {
                decoder.number(&entry.value, "workflow.retry.backoff_coefficient", 1.0)
            })
            .unwrap_or(2.0),
        maximum_interval: maximum_interval
            .unwrap_or_else(|| initial_interval.saturating_mul(100).min(LONGEST)),
        maximum_attempts: object
            .get("maximum_attempts")
            .and_then(|entry| {
                let most = i32::MAX.unsigned_abs();
                decoder.integer(&entry.value, "workflow.retry.maximum_attempts", 0..=most)
            })
            .unwrap_or(0),
        non_retryable_error_types: object
            .get("non_retryable_error_types")
            .map(|entry| {
                texts(
                    decoder,
                    &entry.value,
                    "workflow.retry.non_retryable_error_types",
                )
            })
            .unwrap_or_default(),
    })
}

fn texts(decoder: &mut Decoder<'_>, node: &Node<'_>, path: &str) -> Vec<String> {
    let items = decoder
        .list(node, path, "a list of texts")
        .unwrap_or_default();
    items
        .iter()
        .filter_map(|item| decoder.name(item, path, NAME_LIMIT))
        .map(str::to_owned)
        .collect()
}

fn memo(decoder: &mut Decoder<'_>, node: &Node<'_>) -> BTreeMap<String, serde_json::Value> {
    let mut memo = BTreeMap::new();
    for entry in decoder.map(node, "workflow.memo").unwrap_or_default() {
        if entry.key == MEMO_KEY {
            decoder.error(
                entry.at,
                format!("the key `{MEMO_KEY}` of `workflow.memo` is reserved"),
            );
        } else if let Some(value) = decoder.json(&entry.value) {
            memo.insert(entry.key.to_string(), value);
        }
    }
    memo
}

fn search_attributes(
    decoder: &mut Decoder<'_>,
    node: &Node<'_>,
) -> BTreeMap<String, SearchAttribute> {
    let mut attributes = BTreeMap::new();
    for entry in decoder
        .map(node, "workflow.search_attributes")
        .unwrap_or_default()
    {
        if RESERVED_ATTRIBUTES.contains(&entry.key.as_ref()) {
            decoder.error(
                entry.at,
                format!("the search attribute `{}` is set by the server", entry.key),
            );
        } else if let Some(value) = search_attribute(decoder, &entry.value, &entry.key) {
            attributes.insert(entry.key.to_string(), value);
        }
    }
    attributes
}

fn search_attribute(
    decoder: &mut Decoder<'_>,
    node: &Node<'_>,
    key: &str,
) -> Option<SearchAttribute> {
    let path = join("workflow.search_attributes", key);
    match &node.value {
        Value::Bool(value) => Some(SearchAttribute::Bool(*value)),
        Value::Int(value) => {
            let value = i64::try_from(*value).ok();
            if value.is_none() {
                decoder.mismatch(node, &path, "a 64-bit number");
            }
            value.map(SearchAttribute::Int)
        }
        Value::Float(value) if value.is_finite() => Some(SearchAttribute::Double(*value)),
        Value::Text => {
            let keyword = || Some(SearchAttribute::Keyword(node.text.to_string()));
            match duration::timestamp(&node.text) {
                _ if !node.plain => keyword(),
                TimestampText::At(timestamp) => Some(SearchAttribute::Datetime(timestamp)),
                TimestampText::Other => keyword(),
                TimestampText::OutOfRange => {
                    decoder.impossible_timestamp(node, &path, "; quote it to pass it as text");
                    None
                }
            }
        }
        Value::List(items) if !items.is_empty() => {
            let texts = items.iter().filter_map(|item| decoder.text(item, &path));
            Some(SearchAttribute::KeywordList(
                texts.map(str::to_owned).collect(),
            ))
        }
        _ => {
            decoder.mismatch(
                node,
                &path,
                "text, a number, true or false, a timestamp or a list of texts",
            );
            None
        }
    }
}
