//! The JSON Schema of steps: a task list of the Open Workflow Specification and the keys around it,
//! as far as Almanac supports them.

use serde_json::{Map, Value, json};

use super::schema::{
    choice, described, flag, insert, integer, list, name, object, reference, text,
};
use super::schema_calls;

/// Definitions of the parts of steps, by name.
pub(super) fn definitions() -> Map<String, Value> {
    let mut all = Map::new();
    for part in [
        common(),
        tasks(),
        flow(),
        errors(),
        schema_calls::calls(),
        schema_calls::events(),
        reuse(),
    ] {
        let Value::Object(part) = part else { continue };
        all.extend(part);
    }
    all
}

/// Schema of the keys of a document that stand beside its steps.
pub(super) fn around() -> Value {
    json!({
        "use": reference("use"),
        "input": reference("ows_input"),
        "output": reference("ows_output"),
        "timeout": described("The limit of a run", "timeout_or_name"),
    })
}

/// Schema of a document's metadata.
pub(super) fn metadata() -> Value {
    json!({
        "description": "Any keys; temporal has defaults of Temporal's options for all tasks",
        "type": "object",
        "properties": { "temporal": reference("temporal_defaults") },
    })
}

fn common() -> Value {
    let part = |description: &str| integer(description, 0, i64::from(u32::MAX));
    let mut parts = object(
        "A duration by its parts",
        &json!({
            "days": part("Days of 24 hours"),
            "hours": part("Hours"),
            "minutes": part("Minutes"),
            "seconds": part("Seconds"),
            "milliseconds": part("Milliseconds"),
        }),
        &[],
    );
    insert(&mut parts, "minProperties", json!(1));
    let options = json!({
        "start_to_close": described("Limit of one attempt, at least 1s", "heartbeat"),
        "schedule_to_close": described("Limit of all attempts", "limit_of_temporal"),
        "schedule_to_start": described("Limit of the wait for a worker", "limit_of_temporal"),
        "heartbeat": described("Limit between two heartbeats, at least 1s", "heartbeat"),
        "task_queue": name("The task queue of the worker"),
        "priority": integer("Priority; 1 is the highest, 5 the lowest", 1, 5),
    });
    let mut with_summary = options.clone();
    insert(
        &mut with_summary,
        "summary",
        name("Summary of the task in the Temporal UI"),
    );
    let one = json!(["string", "number", "boolean"]);
    let parameter =
        json!({ "anyOf": [{ "type": one }, { "type": "array", "items": { "type": one } }] });
    json!({
        "expression": { "description": "A jq expression, with or without ${ … }", "type": "string", "minLength": 1 },
        "runtime_expression": { "description": "A jq expression", "type": "string", "pattern": "^\\s*\\$\\{[\\s\\S]+\\}\\s*$" },
        "transform": { "description": "A jq expression, or a map with expressions ${ … }", "type": ["string", "object"] },
        "map_or_expression": { "anyOf": [{ "type": "object" }, reference("runtime_expression")] },
        "parameters_or_expression": { "anyOf": [{ "type": "object", "additionalProperties": parameter }, reference("runtime_expression")] },
        "texts_or_expression": { "anyOf": [{ "type": "object", "additionalProperties": { "type": "string" } }, reference("runtime_expression")] },
        "ows_duration": parts,
        "length": {
            "description": "A duration by its parts, in ISO 8601 without years and months, or an expression",
            "anyOf": [
                reference("ows_duration"),
                reference("runtime_expression"),
                reference("iso_duration"),
            ],
        },
        "iso_duration": {
            "description": "ISO 8601 without years and months",
            "type": "string",
            "pattern": "^[Pp]([0-9]+(\\.[0-9]+)?[WwDd])*([Tt]([0-9]+(\\.[0-9]+)?[HhMmSs])+)?$",
        },
        "ows_schema": object("Schema of a value", &json!({
            "format": { "description": "json", "type": "string", "pattern": "^json(:.*)?$" },
            "document": { "description": "A JSON Schema without references and patterns", "type": ["object", "boolean"] },
        }), &["document"]),
        "ows_input": object("Check and transformation of the input", &json!({
            "schema": reference("ows_schema"),
            "from": described("Expression that transforms the input", "transform"),
        }), &[]),
        "ows_output": object("Transformation and check of the output", &json!({
            "schema": reference("ows_schema"),
            "as": described("Expression that transforms the output", "transform"),
        }), &[]),
        "ows_timeout": object("A limit", &json!({ "after": reference("length") }), &["after"]),
        "timeout_or_name": { "anyOf": [reference("ows_timeout"), name("The name of one of use.timeouts")] },
        "evaluate": object("Language of the expressions", &json!({
            "language": choice("jq", ["jq"].into_iter()),
            "mode": choice("strict", ["strict"].into_iter()),
        }), &[]),
        "limit_of_temporal": {
            "description": "A duration longer than 0",
            "allOf": [reference("duration"), { "pattern": "[1-9]" }],
        },
        "heartbeat": {
            "description": "A duration of at least 1s",
            "allOf": [reference("limit_of_temporal")],
            // Durations that a pattern can recognize as shorter than a second.
            "not": { "pattern": "^(0*[0-9]{1,3}(\\.[0-9]+)?ms|0+(\\.[0-9]+)?s|[Pp][Tt]0+(\\.[0-9]+)?[Ss])$" },
        },
        "temporal_defaults": object("Temporal's options for each task that can use them", &options, &[]),
        "temporal": object("Temporal's options of a task", &with_summary, &[]),
    })
}

fn tasks() -> Value {
    let with = json!({ "description": "The arguments of the call", "type": "object" });
    let mut task = object(
        "A step",
        &json!({
            "call": choice("Calls a service, or an activity of any worker", ["http", "openapi", "activity"].into_iter()),
            "with": with,
            "do": reference("tasks"),
            "emit": reference("emit"),
            "for": reference("for"),
            "while": described("The loop continues while this is true", "expression"),
            "fork": reference("fork"),
            "listen": reference("listen"),
            "foreach": reference("foreach"),
            "raise": reference("raise"),
            "run": reference("run"),
            "set": { "description": "The output", "anyOf": [{ "type": "object", "minProperties": 1 }, reference("runtime_expression")] },
            "switch": list("Cases: the first case that matches decides which step is next", &named("case"), 1),
            "try": reference("tasks"),
            "catch": reference("catch"),
            "wait": described("Waits", "length"),
            "if": described("The task is skipped if this is not true", "expression"),
            "then": text("continue, exit, end, or the name of a step of the same list"),
            "input": reference("ows_input"),
            "output": reference("ows_output"),
            "export": reference("ows_output"),
            "timeout": described("The limit of the task, including all tasks in it", "timeout_or_name"),
            "metadata": { "description": "Any keys; temporal has Temporal's options", "type": "object", "properties": { "temporal": reference("temporal") } },
        }),
        &[],
    );
    let kind = |keys: &[&str]| json!({ "required": keys });
    insert(
        &mut task,
        "oneOf",
        json!([
            { "required": ["call", "with"], "anyOf": [call("http"), call("openapi"), call("activity")] },
            { "required": ["do"], "not": { "required": ["for"] } },
            kind(&["emit"]),
            kind(&["for", "do"]),
            kind(&["fork"]),
            kind(&["listen"]),
            kind(&["raise"]),
            kind(&["run"]),
            kind(&["set"]),
            kind(&["switch"]),
            kind(&["try", "catch"]),
            kind(&["wait"]),
        ]),
    );
    insert(&mut task, "allOf", temporal_of_tasks());
    let mut tasks = list(
        "Steps, a task list of the Open Workflow Specification DSL 1.0.3",
        &named("task"),
        1,
    );
    insert(
        &mut tasks,
        "maxItems",
        json!(almanac_steps::language::TASKS_LIMIT),
    );
    json!({ "tasks": tasks, "task": task })
}

/// Rules that refuse options of `metadata.temporal` that a task cannot use, by its kind.
fn temporal_of_tasks() -> Value {
    let requires = |key: &str| json!({ "required": [key] });
    let without = |useless: &[&str]| {
        let useless: Vec<Value> = useless.iter().map(|key| requires(key)).collect();
        json!({ "properties": { "metadata": { "properties": { "temporal": { "not": { "anyOf": useless } } } } } })
    };
    let rule = |when: Value, then: Value| json!({ "if": when, "then": then, "else": {} });
    let any = |keys: &[&str]| {
        let keys: Vec<Value> = keys.iter().map(|key| requires(key)).collect();
        json!({ "anyOf": keys })
    };
    let workflow =
        json!({ "required": ["run"], "properties": { "run": { "required": ["workflow"] } } });
    let activity =
        json!({ "required": ["call"], "properties": { "call": { "enum": ["activity"] } } });
    let plain = ["do", "fork", "listen", "raise", "set", "switch"];
    json!([
        rule(activity, without(&["task_queue"])),
        rule(workflow, without(&["schedule_to_start", "heartbeat"])),
        rule(
            any(&[&plain[..], &["try", "wait"]].concat()),
            without(&LIMITS)
        ),
        // A task with a `timeout` can use a summary: the timer of the limit shows it.
        rule(
            json!({ "allOf": [any(&plain)], "not": requires("timeout") }),
            without(&["summary"]),
        ),
    ])
}

/// Options of `metadata.temporal` for tasks that Temporal itself runs, such as activities.
const LIMITS: [&str; 6] = [
    "start_to_close",
    "schedule_to_close",
    "schedule_to_start",
    "heartbeat",
    "task_queue",
    "priority",
];

/// Schema of a call with the arguments of its kind.
fn call(kind: &str) -> Value {
    let arguments = reference(&format!("{kind}_call"));
    json!({ "properties": { "call": { "enum": [kind] }, "with": arguments } })
}

/// Schema of a map with exactly one key, which is a name.
fn named(definition: &str) -> Value {
    json!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": reference(definition),
    })
}

fn flow() -> Value {
    let mut branches = reference("tasks");
    branches = json!({ "description": "Branches, which run at the same time", "allOf": [branches], "maxItems": almanac_steps::language::BRANCHES_LIMIT });
    let mut backoff = object(
        "Growth of the wait",
        &json!({
            "constant": { "description": "The wait stays the same", "type": "object", "maxProperties": 0 },
            "linear": { "description": "The wait grows by the delay each time", "type": "object", "maxProperties": 0 },
            "exponential": { "description": "The wait doubles each time", "type": "object", "maxProperties": 0 },
        }),
        &[],
    );
    insert(&mut backoff, "minProperties", json!(1));
    insert(&mut backoff, "maxProperties", json!(1));
    json!({
        "case": object("A case", &json!({
            "when": described("Condition; a case without it always matches", "expression"),
            "then": text("continue, exit, end, or the name of a step of the same list"),
        }), &["then"]),
        "for": object("The items, and the variables of each", &json!({
            "each": variable("The variable of the item; default item"),
            "in": { "description": "A jq expression, or a list", "type": ["string", "array"] },
            "at": variable("The variable of the index; default index"),
        }), &["in"]),
        "fork": object("Branches", &json!({
            "branches": branches,
            "compete": flag("true: the first branch that completes gives the output, and the others are canceled", false),
        }), &["branches"]),
        "catch": object("Handling of errors", &json!({
            "errors": reference("errors"),
            "as": variable("The variable of the error; default error"),
            "when": described("The error is caught only if this is true", "expression"),
            "exceptWhen": described("The error is not caught if this is true", "expression"),
            "retry": { "anyOf": [reference("retry_policy"), name("The name of one of use.retries")] },
            "do": reference("tasks"),
            "then": text("Next step after an error was caught"),
        }), &[]),
        "retry_policy": object("Retry policy of the steps", &json!({
            "when": described("The steps are retried only if this is true", "expression"),
            "exceptWhen": described("The steps are not retried if this is true", "expression"),
            "delay": described("The first wait; default one second", "length"),
            "backoff": reference("backoff"),
            "limit": reference("limit"),
            "jitter": reference("jitter"),
        }), &[]),
        "backoff": backoff,
        "limit": object("Limits of retrying", &json!({
            "attempt": reference("attempt"),
            "duration": described("Limit of all attempts and waits together", "length"),
        }), &[]),
        "attempt": object("Limits of attempts", &json!({
            "count": integer("Maximum number of retries", 0, i64::from(u32::MAX)),
            "duration": described("Limit of each attempt", "length"),
        }), &[]),
        "jitter": object("Random time added to each wait, between these limits", &json!({
            "from": reference("length"),
            "to": reference("length"),
        }), &["from", "to"]),
    })
}

fn errors() -> Value {
    let status = |description: &str| integer(description, 100, 599);
    let uri = |or_expression| {
        let pattern = if or_expression {
            r"^\s*\$\{|[:/]"
        } else {
            "[:/]"
        };
        json!({ "description": "The type's URI", "type": "string", "pattern": pattern })
    };
    let mut filter = object(
        "Properties that the error must have",
        &json!({
            "type": uri(false),
            "status": status("The status"),
            "instance": name("The place"),
            "title": name("The title"),
            "detail": name("The detail"),
        }),
        &[],
    );
    insert(&mut filter, "minProperties", json!(1));
    json!({
        "errors": object("Errors to catch", &json!({ "with": reference("error_filter") }), &[]),
        "error_filter": filter,
        "raise": object("An error", &json!({
            "error": { "anyOf": [reference("error"), name("The name of one of use.errors")] },
        }), &["error"]),
        "error": object("An error (RFC 9457)", &json!({
            "type": uri(true),
            "status": status("The status"),
            "instance": name("The place of the error; default: the step"),
            "title": name("A summary"),
            "detail": name("Details of the error"),
        }), &["type", "status"]),
    })
}

fn reuse() -> Value {
    let map = |description: &str, definition: &str| json!({ "description": description, "type": "object", "additionalProperties": reference(definition) });
    json!({
        "use": object("Parts that steps refer to by name", &json!({
            "authentications": map("Authentications", "authentication"),
            "errors": map("Errors to raise", "error"),
            "retries": map("Retry policies", "retry_policy"),
            "secrets": { "description": "The names of secrets", "type": "array", "items": name("A name") },
            "timeouts": map("Limits", "ows_timeout"),
        }), &[]),
    })
}

pub(super) fn variable(description: &str) -> Value {
    json!({ "description": description, "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" })
}
