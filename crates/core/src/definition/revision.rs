//! Revision of a definition: a digest of its meaning.
//!
//! Every schedule and every run carries the revision, so the revision must not change between
//! releases. Each part is therefore written here under a fixed name. A part that has its default is
//! left out, so a new key of a later release changes no revision. The id and the spelling (the text
//! of a cron, comments, the order of keys) are left out too.

use std::time::Duration;

use almanac_base::names::Revision;
use almanac_events::webhook::{Encoding, Layout};
use almanac_steps::language::JsonSchema;
use almanac_times::{Spec, UTC};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::schedule::CATCHUP_DEFAULT;
use super::{
    DayCalendar, Definition, EventType, OverlapPolicy, Program, RetryPolicy, ScheduleBlock,
    Webhook, WorkflowBlock, WorkflowOptions,
};

/// Revision of a definition. Its `id` and `revision` do not count.
pub(super) fn of(definition: &Definition) -> Revision {
    let mut parts = Parts::default();
    parts.add("description", definition.description.as_ref());
    parts.add("enabled", (!definition.enabled).then_some(false));
    parts.add(
        "labels",
        (!definition.labels.is_empty()).then_some(&definition.labels),
    );
    parts.add("schedule", definition.schedule.as_ref().map(schedule));
    parts.add(
        "triggers",
        (!definition.triggers.is_empty()).then_some(&definition.triggers),
    );
    match &definition.program {
        Program::Workflow(block) => parts.add("workflow", Some(workflow(block))),
        Program::Steps(steps) => parts.add("do", Some(steps)),
    }
    parts.digest()
}

/// Revision of a calendar. Its `id` and `revision` do not count.
pub(super) fn of_calendar(calendar: &DayCalendar) -> Revision {
    let mut parts = Parts::default();
    parts.add("description", calendar.description.as_ref());
    parts.add(
        "labels",
        (!calendar.labels.is_empty()).then_some(&calendar.labels),
    );
    parts.add("exclusions", Some(&calendar.exclusions));
    parts.digest()
}

/// Revision of an event type. Its `id` and `revision` do not count.
pub(super) fn of_event_type(event_type: &EventType) -> Revision {
    let mut parts = Parts::default();
    let is_id = event_type.kind == event_type.id.as_str();
    parts.add("type", (!is_id).then_some(&event_type.kind));
    parts.add("description", event_type.description.as_ref());
    parts.add(
        "labels",
        (!event_type.labels.is_empty()).then_some(&event_type.labels),
    );
    parts.add(
        "schema",
        event_type.schema.as_ref().map(JsonSchema::as_value),
    );
    parts.add("webhook", event_type.webhook.as_ref().map(webhook));
    parts.digest()
}

fn webhook(webhook: &Webhook) -> Json {
    let signed = match &webhook.layout {
        Layout::Hmac(hmac) => json!([
            hmac.header(),
            hmac.prefix(),
            hmac.encoding().map(Encoding::name)
        ]),
        _ => Json::Null,
    };
    json!([webhook.slug, webhook.layout.name(), webhook.secrets, signed])
}

#[derive(Default)]
struct Parts(Map<String, Json>);

impl Parts {
    fn add(&mut self, name: &str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            // This does not fail: all values are plain data, and the keys of their maps are text.
            let value = serde_json::to_value(value).unwrap_or(Json::Null);
            self.0.insert(name.to_owned(), value);
        }
    }

    fn duration(&mut self, name: &str, value: Option<Duration>) {
        self.add(
            name,
            value.map(|value| json!([value.as_secs(), value.subsec_nanos()])),
        );
    }

    fn digest(self) -> Revision {
        let mut text = String::new();
        canonical(&Json::Object(self.0), &mut text);
        Revision::of(text.as_bytes())
    }
}

fn schedule(block: &ScheduleBlock) -> Json {
    // The text of `cron` is for display; the spec has its meaning.
    let ScheduleBlock {
        enabled,
        cron: _,
        spec:
            Spec {
                calendars,
                intervals,
                exclude,
                timezone,
                start_at,
                end_at,
                jitter,
            },
        overlap_policy,
        catchup_window,
        pause_on_failure,
        max_actions,
        input,
        // The schedule that this one replaces changes nothing in this one.
        adopts: _,
    } = block;
    let mut parts = Parts::default();
    parts.add("enabled", (!enabled).then_some(false));
    parts.add("calendars", (!calendars.is_empty()).then_some(calendars));
    parts.add("intervals", (!intervals.is_empty()).then_some(intervals));
    parts.add("exclude", (!exclude.is_empty()).then_some(exclude));
    parts.add("timezone", (timezone != UTC).then_some(timezone));
    parts.add("start_at", start_at.as_ref());
    parts.add("end_at", end_at.as_ref());
    parts.duration("jitter", Some(*jitter).filter(|jitter| !jitter.is_zero()));
    parts.add(
        "overlap_policy",
        Some(*overlap_policy).filter(|p| *p != OverlapPolicy::Skip),
    );
    parts.duration(
        "catchup_window",
        Some(*catchup_window).filter(|w| *w != CATCHUP_DEFAULT),
    );
    parts.add("pause_on_failure", pause_on_failure.then_some(true));
    parts.add("max_actions", max_actions.as_ref());
    parts.add("input", input.as_ref());
    Json::Object(parts.0)
}

fn workflow(block: &WorkflowBlock) -> Json {
    let WorkflowBlock {
        workflow_type,
        task_queue,
        args,
        options,
        retry,
        memo,
        search_attributes,
    } = block;
    let WorkflowOptions {
        execution_timeout,
        run_timeout,
        task_timeout,
        priority,
        summary,
    } = options;
    let mut parts = Parts::default();
    parts.add("type", Some(workflow_type));
    parts.add("task_queue", Some(task_queue));
    parts.add("args", args.as_ref());
    parts.duration("execution_timeout", *execution_timeout);
    parts.duration("run_timeout", *run_timeout);
    parts.duration("task_timeout", *task_timeout);
    parts.add("priority", priority.as_ref());
    parts.add("summary", summary.as_ref());
    parts.add("retry", retry.as_ref().map(self::retry));
    parts.add("memo", (!memo.is_empty()).then_some(memo));
    parts.add(
        "search_attributes",
        (!search_attributes.is_empty()).then_some(search_attributes),
    );
    Json::Object(parts.0)
}

fn retry(policy: &RetryPolicy) -> Json {
    let RetryPolicy {
        initial_interval,
        backoff_coefficient,
        maximum_interval,
        maximum_attempts,
        non_retryable_error_types,
    } = policy;
    let mut parts = Parts::default();
    parts.duration("initial_interval", Some(*initial_interval));
    parts.add("backoff_coefficient", Some(backoff_coefficient));
    parts.duration("maximum_interval", Some(*maximum_interval));
    parts.add("maximum_attempts", Some(maximum_attempts));
    parts.add("non_retryable_error_types", Some(non_retryable_error_types));
    Json::Object(parts.0)
}

/// Writes JSON with sorted keys and without blanks. The order of the map does not matter.
fn canonical(value: &Json, out: &mut String) {
    match value {
        Json::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Json::from(key.as_str()).to_string());
                out.push(':');
                canonical(value, out);
            }
            out.push('}');
        }
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
