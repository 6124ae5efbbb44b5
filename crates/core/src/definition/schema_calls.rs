//! The JSON Schema of steps that use other systems: calls, processes, events.

use almanac_steps::language::{EVENT_TYPE_LIMIT, OnConflict, Otherwise, Outcome};
use serde_json::{Value, json};

use super::schema::{choice, described, flag, insert, list, name, object, reference, text};
use super::schema_steps::variable;

pub(super) fn calls() -> Value {
    let output = choice(
        "Part of the answer that becomes the output; default content",
        ["content", "raw", "response"].into_iter(),
    );
    let redirect = flag(
        "true: redirects are followed; false: a redirect is an error",
        false,
    );
    let arguments = json!({ "anyOf": [{ "type": "array", "items": { "type": "string" } }, reference("runtime_expression")] });
    let secret = |description: &str| name(description);
    json!({
        "http_call": object("An HTTP call", &json!({
            "method": name("The method"),
            "endpoint": reference("endpoint_or_uri"),
            "headers": described("The headers", "parameters_or_expression"),
            "body": { "description": "The body" },
            "query": described("The query parameters", "parameters_or_expression"),
            "output": output,
            "redirect": redirect,
        }), &["method", "endpoint"]),
        "openapi_call": object("A call by an OpenAPI document", &json!({
            "document": reference("resource"),
            "operationId": name("The operation"),
            "parameters": described("The parameters", "map_or_expression"),
            "authentication": reference("authentication"),
            "output": output,
            "redirect": redirect,
        }), &["document", "operationId"]),
        "activity_call": object("A call of any activity, on any task queue, in any language", &json!({
            "name": name("The activity type"),
            "task_queue": name("The task queue of the worker that runs it"),
            "arguments": { "description": "The arguments", "anyOf": [{ "type": "array" }, reference("runtime_expression")] },
        }), &["name", "task_queue"]),
        "resource": object("A document", &json!({
            "name": text("A name for people"),
            "endpoint": reference("endpoint_or_uri"),
        }), &["endpoint"]),
        "endpoint_or_uri": { "anyOf": [name("A URI, in which {name} stands for a property of the input"), reference("endpoint")] },
        "endpoint": object("URI, and authentication", &json!({
            "uri": name("A URI, in which {name} stands for a property of the input"),
            "authentication": reference("authentication"),
        }), &["uri"]),
        "authentication": one_key(object("Authentication", &json!({
            "use": name("The name of one of use.authentications"),
            "basic": reference("user"),
            "bearer": reference("token"),
            "digest": reference("user"),
        }), &[])),
        "user": secret_or(object("A user name and a password", &json!({
            "use": secret("A secret of use.secrets that has the user name and the password"),
            "username": name("The user name"),
            "password": name("The password"),
        }), &[]), &["username", "password"]),
        "token": secret_or(object("A token", &json!({
            "use": secret("A secret of use.secrets that has the token"),
            "token": name("The token"),
        }), &[]), &["token"]),
        "run": one_of(object("A process", &json!({
            "workflow": reference("subflow"),
            "shell": reference("shell"),
            "await": flag("true: the step waits until the process ends", true),
            "return": choice("Part of the result that becomes the output; default stdout", ["stdout", "stderr", "code", "all", "none"].into_iter()),
        }), &[]), &["workflow", "shell"]),
        "subflow": object("A child workflow of any type", &json!({
            "namespace": name("The namespace"),
            "name": name("The workflow type"),
            "version": name("The version"),
            "input": described("Its input", "map_or_expression"),
        }), &["namespace", "name", "version"]),
        "shell": object("A command that the worker's configuration allows", &json!({
            "command": name("The command"),
            "arguments": arguments,
            "stdin": name("Its standard input"),
            "environment": described("Its environment", "texts_or_expression"),
        }), &["command"]),
    })
}

pub(super) fn events() -> Value {
    let attributes = json!({
        "description": "Attributes of the event (CloudEvents 1.0); each may be an expression",
        "type": "object",
        "properties": {
            "specversion": choice("The version of CloudEvents", ["1.0"].into_iter()),
            "id": text("Id of the event, unique within its source"),
            "source": text("Source of the event, a URI reference"),
            "type": text("Type of the event, such as com.example.order.paid"),
            "time": text("Time of the event, in RFC 3339"),
            "subject": text("Subject of the event"),
            "datacontenttype": text("Media type of the data"),
            "dataschema": text("URI of the schema of the data"),
            "data": { "description": "Data of the event" },
        },
        "additionalProperties": { "description": "An extension attribute", "type": ["string", "number", "boolean"] },
    });
    let mut emitted = attributes.clone();
    insert(&mut emitted, "required", json!(["type"]));
    let mut filtered = attributes;
    insert(&mut filtered, "minProperties", json!(1));
    let filters = |least| list("Events", &reference("event_filter"), least);
    json!({
        "emit": object("An event to publish", &json!({ "event": reference("emitted") }), &["event"]),
        "emitted": object("An event", &json!({ "with": emitted }), &["with"]),
        "listen": object("Events to wait for", &json!({
            "to": reference("events"),
            "read": choice("Part of an event that becomes output; default data", ["data", "envelope", "raw"].into_iter()),
        }), &["to"]),
        "events": one_of(object("Attributes of the events", &json!({
            "all": filters(1),
            "any": filters(0),
            "one": reference("event_filter"),
            "until": { "description": "End of the wait: a condition on the events so far, or events", "anyOf": [reference("expression"), reference("events")] },
        }), &[]), &["all", "any", "one"]),
        "trigger": one_of(object("Events that start the definition, and the run that each starts", &json!({
            "event": { "description": "Type of the events", "type": "string", "minLength": 1, "maxLength": EVENT_TYPE_LIMIT },
            "after": { "description": "Id of another definition: the ends of its runs are the events", "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]*$", "maxLength": 128 },
            "outcome": choice("Outcome of the runs; default completed", Outcome::NAMES.iter().map(|(name, _)| *name)),
            "within": described("Deadline for the end, from the start of the run; whole seconds, 1s at least", "duration"),
            "else": choice("Effect of a deadline that passes; default skip", Otherwise::NAMES.iter().map(|(name, _)| *name)),
            "when": described("Condition on the event; default: every event of the type", "expression"),
            "input": described("Input of the run; default: the event's data", "transform"),
            "workflow_id": text("Last part of the run's workflow id; default: derived from the event's source and id"),
            "on_conflict": choice("Effect of an event whose workflow id is taken; default use_existing", OnConflict::NAMES.iter().map(|(name, _)| *name)),
            "enabled": flag("false: the trigger starts nothing", true),
        }), &[]), &["event", "after"]),
        "start_events": one_of(object("Events that start the workflow", &json!({
            "any": list("Events", &reference("start_filter"), 0),
            "one": reference("start_filter"),
        }), &[]), &["any", "one"]),
        "start_filter": object("Attributes of the events", &json!({ "with": filtered }), &["with"]),
        "event_filter": object("Attributes of the events", &json!({
            "with": filtered,
            "correlate": { "description": "Values that the events must have in common", "type": "object", "additionalProperties": reference("correlation") },
        }), &["with"]),
        "correlation": object("A value of the event", &json!({
            "from": described("Expression that reads the value from the event", "expression"),
            "expect": name("Required value; default: the value of the first event"),
        }), &["from"]),
        "foreach": object("Steps for each event", &json!({
            "item": variable("The variable of the event; default item"),
            "at": variable("The variable of the index; default index"),
            "do": reference("tasks"),
            "output": reference("ows_output"),
            "export": reference("ows_output"),
        }), &[]),
    })
}

/// Requires exactly one of `keys`.
fn one_of(mut schema: Value, keys: &[&str]) -> Value {
    let each: Vec<Value> = keys
        .iter()
        .map(|key| json!({ "required": [key] }))
        .collect();
    insert(&mut schema, "oneOf", json!(each));
    schema
}

/// Requires exactly one key.
fn one_key(mut schema: Value) -> Value {
    insert(&mut schema, "minProperties", json!(1));
    insert(&mut schema, "maxProperties", json!(1));
    schema
}

/// Requires either the name of a secret or all of `keys`.
fn secret_or(mut schema: Value, keys: &[&str]) -> Value {
    insert(
        &mut schema,
        "anyOf",
        json!([{ "required": ["use"], "maxProperties": 1 }, { "required": keys, "not": { "required": ["use"] } }]),
    );
    schema
}
