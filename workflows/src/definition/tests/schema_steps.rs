//! What the JSON Schema can see in steps, it refuses as the parser does.

use super::schema::{accepted, violation};
use super::{good_steps, parse};

#[test]
fn good_steps_satisfy_the_schema() {
    accepted(good_steps::EVERY_STEP);
}

#[test]
fn what_a_schema_can_see_in_steps_it_refuses_as_the_parser_does() {
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
        "do: [a: { raise: { error: { type: x } } }]",
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
