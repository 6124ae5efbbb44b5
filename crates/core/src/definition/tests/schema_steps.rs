//! The JSON Schema refuses wrong steps as the parser does, as far as a schema can see the mistake.

use almanac_steps::language;
use serde_json::{Value, json};

use super::schema::{accepted, violation};
use super::{good_steps, parse};

#[test]
fn good_steps_satisfy_the_schema() {
    accepted(good_steps::EVERY_STEP);
}

#[test]
fn the_schema_refuses_the_mistakes_in_steps_that_it_can_express() {
    for steps in [
        "do: [a: { wait: 5s }]",
        "do: [a: { wait: {} }]",
        "do: [a: { set: {} }]",
        "do: [a: { call: http }]",
        "do: [a: { call: grpc, with: {} }]",
        "do: [a: { call: http, with: { method: get } }]",
        "do: [a: { call: activity, with: { name: A, task_queue: q, arguments: {} } }]",
        "do: [a: { set: { x: 1 }, wait: PT1S }]",
        "do: [a: { do: [] }]",
        "do: [a: { switch: [{ x: { when: .x } }] }]",
        "do: [a: { for: { in: .x } }]",
        "do: [a: { for: { each: $x, in: .x }, do: [b: { wait: PT1S }] }]",
        "do: [a: { fork: { branches: [], compete: on } }]",
        "do: [a: { try: [b: { wait: PT1S }] }]",
        "do: [a: { try: [b: { wait: PT1S }], catch: { retry: { backoff: {} } } }]",
        "do: [a: { try: [b: { wait: PT1S }], catch: { errors: { with: {} } } }]",
        "do: [a: { raise: { error: { type: about:blank } } }]",
        "do: [a: { raise: { error: { type: communication, status: 500 } } }]",
        "do: [a: { try: [b: { wait: PT1S }], catch: { errors: { with: { type: communication } } } }]",
        "do: [a: { call: http, with: { method: get, endpoint: 'https://a.example', query: { a: { b: 1 } } } }]",
        "do: [a: { call: http, with: { method: get, endpoint: 'https://a.example', headers: { a: [[1]] } } }]",
        "do: [a: { emit: { event: { with: { source: x } } } }]",
        "do: [a: { emit: { event: { with: { type: x, id: 5 } } } }]",
        "do: [a: { emit: { event: { with: { type: x, tenant: [] } } } }]",
        "do: [a: { emit: { event: { with: { type: x, specversion: '0.3' } } } }]",
        "do: [a: { listen: { to: { all: [], any: [] } } }]",
        "do: [a: { listen: { to: { one: { with: {} } } } }]",
        "do: [a: { listen: { to: { any: [] }, read: all } }]",
        "do: [a: { run: { container: { image: x } } }]",
        "do: [a: { wait: PT1S, timeout: { after: 5s } }]",
        "do: [a: { wait: PT1S, output: { as: 5 } }]",
        "do: [a: { wait: PT1S, metadata: { temporal: { priority: 6 } } }]",
        "do: [a: { wait: PT1S }]\nuse: { functions: {} }",
        "do: [a: { wait: PT1S }]\ninput: { from: [] }",
        "workflow: { type: T, task_queue: q }\ninput: { from: .x }",
    ] {
        let bad = format!("id: a\nschedule: {{ every: 1h }}\n{steps}\n");
        assert!(parse(&bad)[0].result.is_err(), "the parser takes\n{bad}");
        assert!(violation(&bad).is_some(), "the schema takes\n{bad}");
    }
}

/// Tasks of each kind, and of each way to call and to run.
fn tasks() -> Vec<Value> {
    let inner = json!([{ "b": { "set": { "x": 1 } } }]);
    vec![
        json!({ "call": "http", "with": { "method": "get", "endpoint": "https://shop.example" } }),
        json!({ "call": "openapi", "with": { "document": { "endpoint": "https://shop.example" }, "operationId": "o" } }),
        json!({ "call": "activity", "with": { "name": "A", "task_queue": "q" } }),
        json!({ "run": { "shell": { "command": "c" } } }),
        json!({ "run": { "workflow": { "namespace": "n", "name": "T", "version": "1.0.0" } } }),
        json!({ "emit": { "event": { "with": { "type": "a.b", "source": "https://shop.example" } } } }),
        json!({ "listen": { "to": { "one": { "with": { "type": "a.b" } } } } }),
        json!({ "do": inner }),
        json!({ "for": { "in": ".x" }, "do": inner }),
        json!({ "fork": { "branches": [{ "b": { "set": { "x": 1 } } }] } }),
        json!({ "try": inner, "catch": {} }),
        json!({ "raise": { "error": { "type": "https://shop.example/e", "status": 400 } } }),
        json!({ "set": { "x": 1 } }),
        json!({ "switch": [{ "x": { "then": "end" } }] }),
        json!({ "wait": "PT1S" }),
    ]
}

/// The parser's own kinds, so that a new one is not forgotten here.
#[test]
fn every_kind_of_task_is_tried() {
    let tasks = tasks();
    for (kind, _) in language::KINDS {
        let has = |task: &Value| task.get(kind).is_some();
        assert!(tasks.iter().any(has), "{kind}");
    }
}

/// Each option, by itself, on each kind of task, with a limit and without.
#[test]
fn the_options_of_temporal_are_refused_where_the_parser_refuses_them() {
    let refused = |task: &Value, options: Value, timeout: bool| {
        let mut task = task.clone();
        task["metadata"] = json!({ "temporal": options, "else": { "heartbeat": 1 } });
        if timeout {
            task["timeout"] = json!({ "after": "PT5S" });
        }
        let steps = json!([{ "a": task }]);
        let parser = language::parse(&steps).is_err();
        let text = format!("id: a\nschedule: {{ every: 1h }}\ndo: {steps}\n");
        assert_eq!(violation(&text).is_some(), parser, "the schema of\n{text}");
        parser
    };
    let mut useless = 0;
    for (task, timeout) in tasks()
        .iter()
        .flat_map(|task| [(task, false), (task, true)])
    {
        assert!(!refused(task, json!({}), timeout));
        for option in options() {
            let value = match option {
                "task_queue" | "summary" => json!("x"),
                "priority" => json!(3),
                _ => json!("1m"),
            };
            useless += usize::from(refused(task, json!({ option: value }), timeout));
        }
    }
    // Six of a wait and a try, with a limit or not; one of `call: activity`, two of a child
    // workflow; of the seven others the same six, and a summary without a limit.
    assert_eq!(useless, 2 * (6 + 6 + 1 + 2 + 7 * 6) + 7);
}

fn options() -> Vec<&'static str> {
    let shapes = language::SHAPES.iter();
    let mut temporal = shapes.filter(|(_, name)| *name == "temporal");
    temporal.next().unwrap().0.keys.to_vec()
}

#[test]
fn the_values_of_the_options_of_temporal_are_refused_where_the_parser_refuses_them() {
    for (option, value, good) in [
        ("start_to_close", json!("15s"), true),
        ("start_to_close", json!("PT1M30S"), true),
        ("start_to_close", json!("0.5s"), false),
        ("start_to_close", json!("1ms"), false),
        ("start_to_close", json!("1s"), true),
        ("schedule_to_close", json!("0.5s"), true),
        ("start_to_close", json!("0s"), false),
        ("start_to_close", json!("PT0S"), false),
        ("start_to_close", json!(15), false),
        ("schedule_to_close", json!("0m0s"), false),
        ("schedule_to_close", json!("P1M"), false),
        ("schedule_to_start", json!("0.0h"), false),
        ("schedule_to_start", json!({ "seconds": 5 }), false),
        ("heartbeat", json!("1s"), true),
        ("heartbeat", json!("1000ms"), true),
        ("heartbeat", json!("PT1.5S"), true),
        ("heartbeat", json!("0h1s"), true),
        ("heartbeat", json!("999ms"), false),
        ("heartbeat", json!("0.9s"), false),
        ("heartbeat", json!("PT0.9S"), false),
        ("heartbeat", json!("0s"), false),
        ("task_queue", json!(""), false),
        ("task_queue", json!(1), false),
        ("priority", json!(1), true),
        ("priority", json!(0), false),
        ("priority", json!(6), false),
        ("priority", json!("1"), false),
        ("summary", json!(""), false),
        ("retries", json!(1), false),
    ] {
        let task = json!({ "call": "http", "with": { "method": "get", "endpoint": "https://shop.example" }, "metadata": { "temporal": { option: value } } });
        let steps = json!([{ "a": task }]);
        assert_eq!(
            language::parse(&steps).is_ok(),
            good,
            "the parser of\n{steps}"
        );
        let text = format!("id: a\nschedule: {{ every: 1h }}\ndo: {steps}\n");
        assert_eq!(violation(&text).is_none(), good, "the schema of\n{text}");
    }
}
