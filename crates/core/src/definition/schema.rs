//! The JSON Schema of a document, for editors.
//!
//! The schema knows every key, type and choice, so that an editor can complete and check a document
//! while an author writes. The parser decides whether a document is valid, because a schema cannot
//! read a cron. A test compares the schema with the parser, key by key.

use almanac_events::webhook::MAX_SECRETS;
use almanac_steps::language::{EVENT_TYPE_LIMIT, TRIGGERS_LIMIT};
use serde_json::{Map, Value, json};

use super::schedule::OVERLAP_POLICIES;
use super::{Kind, schema_steps, webhook};

/// The JSON Schema (draft-07) of one document.
pub fn json_schema() -> Value {
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Almanac definition",
        "type": "object",
        "if": { "required": ["document"] },
        "then": { "$ref": "#/definitions/ows" },
        "else": {
            "if": { "properties": { "kind": { "enum": [Kind::Calendar.as_str()] } }, "required": ["kind"] },
            "then": { "$ref": "#/definitions/day_calendar" },
            "else": {
                "if": { "properties": { "kind": { "enum": [Kind::EventType.as_str()] } }, "required": ["kind"] },
                "then": { "$ref": "#/definitions/event_type" },
                "else": { "$ref": "#/definitions/definition" },
            },
        },
        "definitions": {
            "definition": definition(),
            "schedule": schedule(),
            "every": every(),
            "calendar": calendar("A calendar: a time matches if every field matches. A field that is left out matches only 0 if it is finer than all given fields, otherwise everything."),
            "exclusion": exclusion(),
            "day_calendar": day_calendar(),
            "event_type": event_type(),
            "webhook": webhook(),
            "workflow": workflow(),
            "retry": retry(),
            "ows": ows(),
            "ows_header": ows_header(),
            "ows_schedule": ows_schedule(),
            "duration": {
                "description": "90s, 1h30m, 1.5h (w d h m s ms) or ISO 8601 without years and months",
                "type": "string",
                "pattern": "^([0-9]+(\\.[0-9]+)?(w|d|h|m|s|ms))+$|^[Pp]([0-9]+(\\.[0-9]+)?[WwDd])*([Tt]([0-9]+(\\.[0-9]+)?[HhMmSs])+)?$",
            },
            "timestamp": {
                "description": "RFC 3339, such as 2026-01-31T08:00:00Z",
                "type": "string",
                "format": "date-time",
            },
        },
    });
    if let Some(definitions) = schema["definitions"].as_object_mut() {
        definitions.extend(schema_steps::definitions());
    }
    schema
}

fn definition() -> Value {
    let mut schema = object(
        "A definition",
        &json!({
            "kind": choice("workflow (the default), event_type or calendar", Kind::ALL.into_iter().map(Kind::as_str)),
            "id": id("Unique in the project. Default: the file's name, if the file has one document"),
            "description": text("A line that describes the definition"),
            "enabled": flag("false: the schedule exists and is paused, and events start nothing", true),
            "labels": { "description": "Labels by which people and tools select definitions", "type": "object", "additionalProperties": { "type": "string" } },
            "schedule": reference("schedule"),
            "workflow": reference("workflow"),
            "do": reference("tasks"),
            "metadata": schema_steps::metadata(),
            "triggers": { "description": "Events, and ends of runs, that start the definition", "type": "array", "items": reference("trigger"), "minItems": 1, "maxItems": TRIGGERS_LIMIT },
        }),
        &[],
    );
    add_properties(&mut schema, schema_steps::around());
    insert(
        &mut schema,
        "oneOf",
        json!([
            { "required": ["workflow"], "not": { "anyOf": [{ "required": ["use"] }, { "required": ["input"] }, { "required": ["output"] }, { "required": ["timeout"] }, { "required": ["metadata"] }] } },
            { "required": ["do"] },
        ]),
    );
    schema
}

fn schedule() -> Value {
    let cron = json!({ "type": "string", "maxLength": 1000 });
    let mut schema = object(
        "When it runs: the union of cron, every and calendars, minus exclude",
        &json!({
            "enabled": flag("false: the schedule is paused; events and manual runs are not affected", true),
            "cron": one_or_more("Cron in Temporal's dialect: minute hour day-of-month month day-of-week, then optionally the year; with seven fields, seconds come first", &cron),
            "every": one_or_more("An interval, counted from 1970 in UTC", &reference("every")),
            "after": described("The definition starts again this time after its last run ended, 1s at least; without times beside it, only enabled and input are allowed", "duration"),
            "calendars": list("Calendars that match", &reference("calendar"), 1),
            "exclude": list("Times to exclude", &reference("exclusion"), 0),
            "timezone": { "description": "IANA name; default UTC", "type": "string", "minLength": 1 },
            "start_at": described("Nothing runs before this", "timestamp"),
            "end_at": described("Nothing runs after this", "timestamp"),
            "jitter": described("Each run is delayed by a random part of this; default 0s", "duration"),
            "overlap_policy": choice("What happens if a run is due while another is in progress; default skip", OVERLAP_POLICIES.iter().map(|(name, _)| *name)),
            "catchup_window": described("How late a missed run may still start, 10s at least; default 1h", "duration"),
            "pause_on_failure": flag("The schedule is paused after a failed run", false),
            "max_actions": integer("Maximum number of runs that the schedule starts", 1, i64::from(i32::MAX)),
            "input": { "description": "Input of the run; not together with workflow.args" },
            "adopts": { "description": "Id of an unmanaged schedule that this schedule takes over from", "type": "string", "minLength": 1, "maxLength": 1000 },
        }),
        &[],
    );
    insert(
        &mut schema,
        "anyOf",
        json!([
            { "required": ["cron"] },
            { "required": ["every"] },
            { "required": ["calendars"] },
            { "required": ["after"] },
        ]),
    );
    schema
}

fn every() -> Value {
    let parts = object(
        "An interval with an offset",
        &json!({
            "interval": described("The period, in whole seconds", "duration"),
            "offset": described("Shorter than the interval; default 0s", "duration"),
        }),
        &["interval"],
    );
    json!({ "anyOf": [reference("duration"), parts] })
}

fn calendar(description: &str) -> Value {
    let mut schema = object(
        description,
        &json!({
            "second": field("0-59"),
            "minute": field("0-59"),
            "hour": field("0-23"),
            "day_of_month": field("1-31"),
            "month": field("1-12 or JAN-DEC"),
            "year": field("2000-2100"),
            "day_of_week": field("0-7 or SUN-SAT; 0 and 7 are Sunday"),
        }),
        &[],
    );
    insert(&mut schema, "minProperties", json!(1));
    schema
}

fn field(description: &str) -> Value {
    json!({ "description": description, "type": ["string", "integer"] })
}

fn exclusion() -> Value {
    let mut schema = calendar(
        "Times to exclude: the days of a calendar by its id, or times by fields. A field that is \
         left out matches everything.",
    );
    schema["properties"]["calendar"] = id("The id of a document of kind calendar");
    insert(
        &mut schema,
        "anyOf",
        json!([{ "not": { "required": ["calendar"] } }, { "maxProperties": 1 }]),
    );
    schema
}

fn day_calendar() -> Value {
    let date = json!({
        "description": "2026-12-24, 12-25 of every year, or a range of either: 2026-12-24/2026-12-26",
        "type": "string",
        "pattern": "^([0-9]{4}-)?[0-9]{2}-[0-9]{2}(/([0-9]{4}-)?[0-9]{2}-[0-9]{2})?$",
    });
    let mut rule = object(
        "Every day on which all fields match",
        &json!({
            "day_of_month": field("1-31"),
            "month": field("1-12 or JAN-DEC"),
            "year": field("2000-2100"),
            "day_of_week": field("0-7 or SUN-SAT; 0 and 7 are Sunday"),
        }),
        &[],
    );
    insert(&mut rule, "minProperties", json!(1));
    object(
        "A calendar: whole days that schedules exclude by its id",
        &json!({
            "kind": choice("calendar", [Kind::Calendar.as_str()].into_iter()),
            "id": id("Unique among calendars. Default: the file's name, if the file has one document"),
            "description": text("A line that describes the definition"),
            "labels": { "description": "Labels by which people and tools select definitions", "type": "object", "additionalProperties": { "type": "string" } },
            "dates": list("The days", &json!({ "anyOf": [date, rule] }), 1),
        }),
        &["kind", "dates"],
    )
}

fn event_type() -> Value {
    object(
        "A type of events, with the schema of their data",
        &json!({
            "kind": choice("event_type", [Kind::EventType.as_str()].into_iter()),
            "id": id("Default: the file's name, if the file has one document"),
            "type": { "description": "The events' type; default: the id", "type": "string", "minLength": 1, "maxLength": EVENT_TYPE_LIMIT },
            "description": text("A line that describes the event type"),
            "labels": { "description": "Labels by which people and tools select event types", "type": "object", "additionalProperties": { "type": "string" } },
            "schema": { "description": "JSON Schema of the events' data, without $ref and patterns", "type": ["object", "boolean"] },
            "examples": { "description": "Examples of the data, which must match the schema", "type": "array", "maxItems": 100 },
            "webhook": reference("webhook"),
        }),
        &["kind"],
    )
}

fn webhook() -> Value {
    let secret = json!({
        "type": "string",
        "pattern": "^[A-Za-z0-9._-]+$",
        "maxLength": webhook::NAME_LIMIT,
    });
    let mut schema = object(
        "An address at which another service delivers events of this type",
        &json!({
            "slug": id("The last part of the address, /webhooks/SLUG; default: the event type's id"),
            "layout": choice("How the service signs its requests", webhook::LAYOUTS.into_iter()),
            "secrets": {
                "description": "Names of the secrets with which the service may sign, as --webhook-secret gives them to the worker: 1, or 2 while a secret is replaced. Never a secret itself",
                "type": "array",
                "items": secret,
                "minItems": 1,
                "maxItems": MAX_SECRETS,
                "uniqueItems": true,
            },
            "header": name("hmac: the header with the signature over the body"),
            "prefix": text("hmac: the text before each signature, such as sha256="),
            "encoding": choice("hmac: the form of the signature", webhook::ENCODINGS.into_iter()),
        }),
        &["layout", "secrets"],
    );
    let is_hmac = json!({ "properties": { "layout": { "enum": ["hmac"] } } });
    insert(&mut schema, "if", is_hmac);
    insert(
        &mut schema,
        "then",
        json!({ "required": ["header", "encoding"] }),
    );
    let no = json!({ "header": false, "prefix": false, "encoding": false });
    insert(&mut schema, "else", json!({ "properties": no }));
    schema
}

fn id(description: &str) -> Value {
    json!({
        "description": description,
        "type": "string",
        "pattern": "^[a-z0-9][a-z0-9._-]*$",
        "maxLength": 128,
    })
}

fn workflow() -> Value {
    let attribute = json!({
        "type": ["string", "number", "boolean", "array"],
        "items": { "type": "string" },
        "minItems": 1,
    });
    object(
        "Any workflow type, on any task queue, in any language",
        &json!({
            "type": name("The workflow type"),
            "task_queue": name("The task queue of the worker that runs it"),
            "args": { "description": "Its arguments; default: only schedule.input", "type": "array" },
            "execution_timeout": described("Limit of the whole execution, retries included", "duration"),
            "run_timeout": described("Limit of one run", "duration"),
            "task_timeout": described("Limit of one workflow task, 2m at most", "duration"),
            "priority": integer("Priority; 1 is the highest, 5 the lowest", 1, 5),
            "summary": text("Summary of the run in the Temporal UI, 400 bytes at most"),
            "retry": reference("retry"),
            "memo": { "description": "Memo of the run; the key almanac is reserved", "type": "object", "not": { "required": ["almanac"] } },
            "search_attributes": { "description": "Search attributes; the types are those of the YAML values", "type": "object", "additionalProperties": attribute },
        }),
        &["type", "task_queue"],
    )
}

fn retry() -> Value {
    object(
        "Retry policy of the started workflow; without it, the workflow is not retried",
        &json!({
            "initial_interval": described("Wait before the first retry; default 1s", "duration"),
            "backoff_coefficient": { "description": "Factor of each next wait; default 2", "type": "number", "minimum": 1 },
            "maximum_interval": described("Longest wait; default 100 times the initial one", "duration"),
            "maximum_attempts": integer("Maximum number of attempts; 0, the default, is no limit", 0, i64::from(i32::MAX)),
            "non_retryable_error_types": { "description": "Error types that are not retried", "type": "array", "items": { "type": "string", "minLength": 1 } },
        }),
        &[],
    )
}

fn ows() -> Value {
    let mut schema = object(
        "A whole workflow of the Open Workflow Specification DSL 1.0.x",
        &json!({
            "document": reference("ows_header"),
            "schedule": reference("ows_schedule"),
            "do": reference("tasks"),
            "evaluate": reference("evaluate"),
        }),
        &["document", "do"],
    );
    add_properties(&mut schema, schema_steps::around());
    schema
}

fn add_properties(schema: &mut Value, more: Value) {
    if let (Some(properties), Value::Object(more)) = (schema["properties"].as_object_mut(), more) {
        properties.extend(more);
    }
}

fn ows_header() -> Value {
    object(
        "Name and version of the workflow",
        &json!({
            "dsl": { "description": "Version of the DSL", "type": "string", "pattern": "^1\\.0\\." },
            "namespace": name("Namespace of the specification"),
            "name": { "description": "The definition's id", "type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" },
            "version": name("Semantic version of the workflow"),
            "title": text("Title"),
            "summary": text("Markdown; the definition's description"),
            "tags": { "description": "The definition's labels", "type": "object", "additionalProperties": { "type": "string" } },
            "metadata": schema_steps::metadata(),
        }),
        &["dsl", "namespace", "name", "version"],
    )
}

fn ows_schedule() -> Value {
    let mut schema = object(
        "When it runs, in UTC",
        &json!({
            "cron": { "description": "Cron in Temporal's dialect", "type": "string", "minLength": 1, "maxLength": 1000 },
            "every": { "description": "An interval; a run starts even if the last one has not ended", "anyOf": [reference("ows_duration"), reference("iso_duration")] },
            "after": { "description": "The workflow starts again this time after its last run ended, 1s at least", "anyOf": [reference("ows_duration"), reference("iso_duration")] },
            "on": reference("start_events"),
            "read": choice("Part of the event that the run gets in its input; default data", ["data", "envelope", "raw"].into_iter()),
        }),
        &[],
    );
    insert(
        &mut schema,
        "anyOf",
        json!([{ "required": ["cron"] }, { "required": ["every"] }, { "required": ["after"] }, { "required": ["on"] }]),
    );
    schema
}

pub(super) fn object(description: &str, properties: &Value, required: &[&str]) -> Value {
    let mut schema = json!({
        "description": description,
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if !required.is_empty() {
        insert(&mut schema, "required", json!(required));
    }
    schema
}

pub(super) fn insert(schema: &mut Value, key: &str, value: Value) {
    if let Some(map) = schema.as_object_mut() {
        map.insert(key.to_owned(), value);
    }
}

pub(super) fn reference(definition: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{definition}") })
}

/// Schema of a reference with its own description, which draft-07 ignores beside `$ref`.
pub(super) fn described(description: &str, definition: &str) -> Value {
    json!({ "description": description, "allOf": [reference(definition)] })
}

pub(super) fn text(description: &str) -> Value {
    json!({ "description": description, "type": "string" })
}

pub(super) fn name(description: &str) -> Value {
    json!({ "description": description, "type": "string", "minLength": 1, "maxLength": 1000 })
}

pub(super) fn flag(description: &str, default: bool) -> Value {
    json!({ "description": description, "type": "boolean", "default": default })
}

pub(super) fn integer(description: &str, minimum: i64, maximum: i64) -> Value {
    json!({ "description": description, "type": "integer", "minimum": minimum, "maximum": maximum })
}

pub(super) fn choice<'a>(description: &str, names: impl Iterator<Item = &'a str>) -> Value {
    json!({ "description": description, "enum": names.collect::<Vec<_>>() })
}

pub(super) fn list(description: &str, items: &Value, least: usize) -> Value {
    let mut schema =
        json!({ "description": description, "type": "array", "items": items, "maxItems": 1000 });
    if least > 0 {
        insert(&mut schema, "minItems", json!(least));
    }
    schema
}

/// Schema of an item or a list of items.
fn one_or_more(description: &str, item: &Value) -> Value {
    let many = list(description, item, 1);
    Value::Object(Map::from_iter([
        ("description".to_owned(), json!(description)),
        ("anyOf".to_owned(), json!([item, many])),
    ]))
}
