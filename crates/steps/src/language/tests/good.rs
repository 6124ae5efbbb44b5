//! The meaning of valid steps.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::flow;
use crate::language::{
    Backoff, Call, Events, Flow, Kind, Length, Task, Template, Then, Until, normalize, parse,
};

fn only(task: &Value) -> Task {
    let flow = flow(&json!([{ "x": task }]));
    flow.list(Flow::ROOT)[0].clone()
}

fn waits(value: &Value) -> Duration {
    match only(&json!({ "wait": value })).kind {
        Kind::Wait(Length::Fixed(duration)) => duration,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_steps_that_earlier_releases_recorded_read_the_same() {
    let flow = flow(&json!([
        { "pause": { "wait": { "seconds": 5 } } },
        { "a/n~swer": { "set": { "a": [1, { "b": null }] }, "metadata": { "x": 1 } } },
        { "again": { "wait": "PT0S" } },
        { "text": { "set": { "x": "costs ${ 5 }" } } },
    ]));
    let tasks = flow.list(Flow::ROOT);
    assert_eq!(
        tasks[0].kind,
        Kind::Wait(Length::Fixed(Duration::from_secs(5)))
    );
    assert_eq!(tasks[1].path, "/do/1/a~1n~0swer");
    assert_eq!(
        tasks[1].kind,
        Kind::Set(Template::Literal(json!({ "a": [1, { "b": null }] })))
    );
    assert_eq!(tasks[2].kind, Kind::Wait(Length::Fixed(Duration::ZERO)));
    assert_eq!(
        tasks[3].kind,
        Kind::Set(Template::Literal(json!({ "x": "costs ${ 5 }" })))
    );
    assert_eq!(flow.expressions, []);
    assert!(parse(&json!([])).is_ok());
}

#[test]
fn nested_lists_are_kept_by_their_place() {
    let flow = flow(&json!([
        { "loop": { "for": { "in": ".items", "each": "x" }, "while": "$x > $index", "do": [
            { "inner": { "try": [{ "a": { "wait": "PT1S" } }], "catch": { "do": [{ "b": { "wait": "PT1S" } }] } } },
        ] } },
        { "both": { "fork": { "branches": [{ "c": { "do": [{ "d": { "wait": "PT1S" } }] } }] } } },
        { "hear": { "listen": { "to": { "any": [] } }, "foreach": { "do": [{ "e": { "wait": "PT1S" } }] } } },
    ]));
    let places: Vec<&str> = flow.lists.keys().map(String::as_str).collect();
    assert_eq!(
        places,
        [
            "/do",
            "/do/0/loop/do",
            "/do/0/loop/do/0/inner/catch/do",
            "/do/0/loop/do/0/inner/try",
            "/do/1/both/fork/branches",
            "/do/1/both/fork/branches/0/c/do",
            "/do/2/hear/foreach/do",
        ]
    );
}

#[test]
fn expressions_are_listed_with_what_they_may_name() {
    let flow = flow(&json!({
        "input": { "from": "$workflow.id" },
        "output": { "as": { "x": "${ .y }" } },
        "do": [{ "loop": {
            "if": ".go",
            "for": { "each": "pet", "in": "${ .pets }" },
            "do": [{ "try": { "try": [{ "s": { "set": "${ $pet }", "export": { "as": ".z" } } }], "catch": { "as": "err", "when": "$err.status == 404" } } }],
        } }],
    }));
    let listed: Vec<String> = flow
        .expressions
        .iter()
        .map(|site| {
            format!(
                "{} | {} | {}",
                site.path,
                site.text,
                site.variables.join(" ")
            )
        })
        .collect();
    insta::assert_snapshot!(listed.join("\n"), @r"
    /input/from | $workflow.id | workflow runtime
    /output/as/x | .y | context workflow runtime
    /do/0/loop/if | .go | context workflow runtime task
    /do/0/loop/for/in | .pets | context workflow runtime task input
    /do/0/loop/do/0/try/try/0/s/export/as | .z | context workflow runtime task input output pet index
    /do/0/loop/do/0/try/try/0/s/set | $pet | context workflow runtime task input pet index
    /do/0/loop/do/0/try/catch/when | $err.status == 404 | context workflow runtime task input pet index err
    ");
}

#[test]
fn flow_directives_name_tasks_of_the_same_list() {
    let flow = flow(&json!([
        { "a": { "set": { "x": 1 }, "then": "c" } },
        { "b": { "switch": [{ "one": { "when": ".x", "then": "a" } }, { "two": { "then": "end" } }] } },
        { "c": { "wait": "PT1S", "then": "exit" } },
    ]));
    let tasks = flow.list(Flow::ROOT);
    assert_eq!(tasks[0].then, Then::Task(2));
    assert_eq!(tasks[2].then, Then::Exit);
    let Kind::Switch(cases) = &tasks[1].kind else {
        unreachable!()
    };
    assert_eq!(
        (&cases[0].then, &cases[1].then),
        (&Then::Task(0), &Then::End)
    );
}

#[test]
fn policies_can_be_named() {
    let flow = flow(&json!({
        "use": {
            "retries": { "gentle": { "delay": { "seconds": 3 }, "backoff": { "exponential": {} }, "limit": { "attempt": { "count": 5 } } } },
            "timeouts": { "short": { "after": "PT5S" } },
            "errors": { "late": { "type": "https://x.org/late", "status": 504 } },
        },
        "timeout": "short",
        "do": [
            { "a": { "try": [{ "b": { "raise": { "error": "late" } } }], "catch": { "retry": "gentle" }, "timeout": "short" } },
        ],
    }));
    let task = &flow.list(Flow::ROOT)[0];
    assert_eq!(task.timeout, Some(Length::Fixed(Duration::from_secs(5))));
    assert_eq!(task.timeout, flow.timeout);
    let Kind::Try(catch) = &task.kind else {
        unreachable!()
    };
    let retry = catch.retry.as_ref().unwrap();
    assert_eq!(
        (retry.backoff, retry.attempts),
        (Backoff::Exponential, Some(5))
    );
    let Kind::Raise(error) = &flow.list("/do/0/a/try")[0].kind else {
        unreachable!()
    };
    assert_eq!(error.status, 504);
}

/// A large one that a thousand tasks name is one in memory.
#[test]
fn a_part_of_use_is_shared_by_the_tasks_that_name_it() {
    let call = json!({ "call": "http", "with": { "method": "get", "endpoint": {
        "uri": "https://x.org/", "authentication": { "use": "shop" } } } });
    let flow = flow(&json!({
        "use": {
            "errors": { "big": { "type": "https://x.org/big", "status": 500, "detail": "…" } },
            "authentications": { "shop": { "bearer": { "token": "…" } } },
        },
        "do": [
            { "a": { "raise": { "error": "big" } } },
            { "b": { "raise": { "error": "big" } } },
            { "c": call.clone() },
            { "d": call },
        ],
    }));
    let [a, b, c, d] = flow.list("/do") else {
        unreachable!()
    };
    let (Kind::Raise(a), Kind::Raise(b)) = (&a.kind, &b.kind) else {
        unreachable!()
    };
    assert!(Arc::ptr_eq(a, b));
    let (Kind::Call(Call::Http(c)), Kind::Call(Call::Http(d))) = (&c.kind, &d.kind) else {
        unreachable!()
    };
    let (c, d) = (&c.endpoint.authentication, &d.endpoint.authentication);
    assert!(Arc::ptr_eq(c.as_ref().unwrap(), d.as_ref().unwrap()));
}

#[test]
fn listening_has_one_form_for_one_and_any() {
    let Kind::Listen(one) =
        only(&json!({ "listen": { "to": { "one": { "with": { "type": "a" } } } } })).kind
    else {
        unreachable!()
    };
    let Kind::Listen(any) =
        only(&json!({ "listen": { "to": { "any": [{ "with": { "type": "a" } }] } } })).kind
    else {
        unreachable!()
    };
    assert_eq!(one, any);
    let Kind::Listen(until) =
        only(&json!({ "listen": { "to": { "any": [], "until": "(. | length) > 3" } } })).kind
    else {
        unreachable!()
    };
    let Events::Any {
        until: Some(Until::Condition(condition)),
        ..
    } = until.to
    else {
        unreachable!()
    };
    assert_eq!(condition.text(), "(. | length) > 3");
}

#[test]
fn the_spelling_of_a_wait_does_not_count() {
    let mut steps = json!({ "do": [
        { "a": { "wait": "PT90M" } },
        { "b": { "try": [{ "c": { "wait": { "minutes": 90 } } }], "catch": { "do": [{ "d": { "wait": "PT0S" } }] } } },
        { "e": { "fork": { "branches": [{ "f": { "wait": "P1D" } }] } } },
        { "g": { "wait": "${ .x }" } },
        { "h": { "set": { "wait": "PT90M" } } },
    ] });
    normalize(&mut steps);
    assert_eq!(
        steps,
        json!({ "do": [
        { "a": { "wait": { "hours": 1, "minutes": 30 } } },
        { "b": { "try": [{ "c": { "wait": { "hours": 1, "minutes": 30 } } }], "catch": { "do": [{ "d": { "wait": { "seconds": 0 } } }] } } },
        { "e": { "fork": { "branches": [{ "f": { "wait": { "days": 1 } } }] } } },
        { "g": { "wait": "${ .x }" } },
        { "h": { "set": { "wait": "PT90M" } } },
    ] })
    );
}

proptest! {
    #[test]
    fn both_forms_of_a_wait_mean_the_same(
        hours in 0..1000u64, minutes in 0..10_000u64, seconds in 0..100_000u64, milliseconds in 0..1000u64
    ) {
        let parts = json!({
            "hours": hours, "minutes": minutes, "seconds": seconds, "milliseconds": milliseconds
        });
        let text = format!("PT{hours}H{minutes}M{seconds}.{milliseconds:03}S");
        prop_assert_eq!(waits(&parts), waits(&json!(text)));
        let mut steps = json!([{ "x": { "wait": text } }]);
        normalize(&mut steps);
        prop_assert_eq!(waits(&steps[0]["x"]["wait"]), waits(&parts));
    }
}
