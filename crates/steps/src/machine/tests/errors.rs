//! Errors: `raise`, `catch` and retries.

use serde_json::{Value, json};

use super::{Run, end, fault, nobody, output};
use crate::machine::{Command, Effect, Entry, Standard, Status};

fn raise(kind: &str) -> Value {
    json!({ "raise": { "error": { "type": kind, "status": 404, "title": "T", "detail": "${ \"no \\(.n)\" }" } } })
}

fn guarded(catch: &Value) -> Value {
    json!([
        { "guard": { "try": [{ "fails": raise("https://x.org/late") }], "catch": catch } },
        { "after": { "set": { "after": "${ . }" } } },
    ])
}

#[test]
fn an_error_names_its_type_and_its_place() {
    let steps = json!([{ "loop": { "for": { "in": [1] }, "do": [{ "a/b": raise("https://x.org/late") }] } }]);
    insta::assert_json_snapshot!(fault(&steps, json!({ "n": 5 })), @r#"
    {
      "type": "https://x.org/late",
      "status": 404,
      "title": "T",
      "detail": "no 5",
      "instance": "/do/0/loop/do/0/a~1b"
    }
    "#);
    insta::assert_snapshot!(fault(&steps, json!({ "n": 5 })), @"T (status 404, at /do/0/loop/do/0/a~1b): no 5");
    let steps = json!([{ "a": { "set": { "x": "${ .a.b }" } } }]);
    insta::assert_snapshot!(fault(&steps, json!({ "a": 1 })), @"Expression Error (status 400, at /do/0/a): `.a.b`: the expression failed: cannot index 1 with \"b\"");
}

#[test]
fn errors_that_match_a_filter_are_caught() {
    for filter in [
        json!({ "type": "https://x.org/late" }),
        json!({ "status": 404 }),
        json!({ "title": "T", "detail": "no 5" }),
        json!({ "instance": "/do/0/guard/try/0/fails" }),
    ] {
        let steps = guarded(&json!({ "errors": { "with": filter } }));
        assert_eq!(
            output(&steps, json!({ "n": 5 })),
            json!({ "after": { "n": 5 } })
        );
    }
    for filter in [
        json!({ "type": "https://x.org/early" }),
        json!({ "status": 500, "title": "T" }),
    ] {
        let steps = guarded(&json!({ "errors": { "with": filter } }));
        assert_eq!(fault(&steps, json!({ "n": 5 })).status, 404);
    }
}

#[test]
fn the_standard_types_match_in_all_their_forms() {
    for form in [
        "https://serverlessworkflow.io/spec/1.0.0/errors/expression",
        "https://serverlessworkflow.io/dsl/errors/types/expression",
        "https://open-workflow-specification.org/spec/1.0.0/errors/expression",
        "https://open-workflow-specification.org/dsl/errors/types/expression",
    ] {
        let steps = json!([{ "t": { "try": [{ "a": { "set": { "x": "${ error }" } } }], "catch": { "errors": { "with": { "type": form } } } } }]);
        assert!(
            matches!(end(&steps, json!({})), Status::Completed(_)),
            "{form}"
        );
        let other = form.replace("expression", "timeout");
        let steps = json!([{ "t": { "try": [{ "a": { "set": { "x": "${ error }" } } }], "catch": { "errors": { "with": { "type": other } } } } }]);
        assert!(
            matches!(end(&steps, json!({})), Status::Faulted(_)),
            "{other}"
        );
    }
}

/// In each place that compares types: conditions, and data that was kept.
#[test]
fn the_standard_types_match_in_all_their_forms_in_expressions() {
    let old = "https://serverlessworkflow.io/spec/1.0.0/errors/";
    let new = "https://open-workflow-specification.org/spec/1.0.0/errors/";
    let conditions = [
        format!("$error.type == \"{old}expression\""),
        format!("$error.type == \"{new}expression\""),
        format!("$error.type != \"{new}timeout\""),
        format!("$error.type | IN(\"{new}expression\", \"x\")"),
        format!("[\"{new}expression\"] | any(. == $error.type)"),
        format!("$error.type | startswith(\"{new}\")"),
        format!("$error.type | startswith(\"{old}\")"),
        format!("($error.type | ltrimstr(\"{new}\")) == \"expression\""),
    ];
    for condition in &conditions {
        for place in ["when", "exceptWhen"] {
            let catch = match place {
                "when" => json!({ "when": format!("${{ {condition} }}") }),
                _ => json!({ "exceptWhen": format!("${{ ({condition}) | not }}") }),
            };
            let steps = json!([{ "t": { "try": [{ "a": { "set": { "x": "${ error }" } } }], "catch": catch } }]);
            assert!(
                matches!(end(&steps, json!({})), Status::Completed(_)),
                "{place}: {condition}"
            );
        }
    }
    let kept = json!([
        { "t": { "try": [{ "a": { "set": { "x": "${ error }" } } }], "catch": { "do": [{ "keep": { "set": { "kind": "${ $error.type }" } } }] } } },
        { "s": { "set": { "same": format!("${{ .kind == \"{new}expression\" }}"), "other": format!("${{ .kind == \"{new}runtime\" }}") } } },
    ]);
    assert_eq!(
        end(&kept, json!({})),
        Status::Completed(json!({ "same": true, "other": false }))
    );
}

#[test]
fn conditions_decide_which_errors_are_caught() {
    for (catch, caught) in [
        (json!({ "when": "$error.status == 404" }), true),
        (json!({ "when": "$error.status == 500" }), false),
        (
            json!({ "as": "e", "exceptWhen": "$e.status == 404" }),
            false,
        ),
        (json!({ "as": "e", "exceptWhen": ".n == 6" }), true),
    ] {
        let over = end(&guarded(&catch), json!({ "n": 5 }));
        assert_eq!(matches!(over, Status::Completed(_)), caught, "{catch}");
    }
}

#[test]
fn a_handler_sees_the_error_and_decides_the_next_step() {
    let steps = guarded(
        &json!({ "as": "e", "do": [{ "note": { "set": { "status": "${ $e.status }", "n": "${ .n }" } } }] }),
    );
    assert_eq!(
        output(&steps, json!({ "n": 5 })),
        json!({ "after": { "n": 5, "status": 404 } })
    );
    let steps = guarded(&json!({ "then": "end" }));
    assert_eq!(output(&steps, json!({ "n": 5 })), json!({ "n": 5 }));
    // What fails in a handler is not caught by it.
    let steps = guarded(&json!({ "do": [{ "again": raise("https://x.org/worse") }] }));
    let fault = fault(&steps, json!({ "n": 5 }));
    assert_eq!(
        fault.instance.as_deref(),
        Some("/do/0/guard/catch/do/0/again")
    );
}

#[test]
fn an_uncaught_error_propagates_and_stops_branches() {
    let steps = json!([{ "outer": { "try": [
        { "fork": { "fork": { "branches": [
            { "waits": { "wait": "PT1H" } },
            { "fails": { "try": [{ "x": raise("https://x.org/a") }], "catch": { "errors": { "with": { "status": 500 } } } } },
        ] } } },
    ], "catch": { "do": [{ "note": { "set": { "at": "${ $error.instance }" } } }] } } }]);
    let mut run = Run::new(&steps, json!({}), nobody);
    assert_eq!(
        run.go(),
        Status::Completed(json!({ "at": "/do/0/outer/try/0/fork/fork/branches/1/fails/try/0/x" }))
    );
    assert_eq!(run.elapsed().as_secs(), 0);
    assert!(run.effects.is_empty());
}

/// The waits before the retries of a policy, in milliseconds, with how it ended.
fn retries(policy: &Value) -> (Vec<u128>, Status) {
    let steps = json!([{ "t": {
        "try": [{ "call": { "call": "activity", "with": { "name": "A", "task_queue": "q" } } }],
        "catch": { "retry": policy },
    } }]);
    let mut run = Run::new(&steps, json!({}), |effect| match effect {
        Effect::Activity(_) => Err(Standard::Communication.fault("refused")),
        other => panic!("{other:?}"),
    });
    let status = run.go();
    let waits = run.log.iter().filter_map(|entry| match entry {
        Entry::Retrying { delay, .. } => Some(delay.as_millis()),
        _ => None,
    });
    (waits.collect(), status)
}

#[test]
fn a_retry_policy_decides_the_number_of_attempts_and_the_waits() {
    let policy = |backoff: &str, limit: Value| json!({ "delay": { "seconds": 3 }, "backoff": { backoff: {} }, "limit": limit });
    let three = json!({ "attempt": { "count": 3 } });
    for (backoff, waits) in [
        ("constant", [3000, 3000, 3000]),
        ("linear", [3000, 6000, 9000]),
        ("exponential", [3000, 6000, 12_000]),
    ] {
        let (found, status) = retries(&policy(backoff, three.clone()));
        assert_eq!(found, waits, "{backoff}");
        // Trying again was all that was asked for: the error goes on.
        assert!(
            matches!(status, Status::Faulted(fault) if fault.detail.as_deref() == Some("refused"))
        );
    }
    let (found, _) = retries(&policy(
        "constant",
        json!({ "duration": { "seconds": 10 } }),
    ));
    assert_eq!(
        found,
        [3000, 3000, 3000],
        "9 s are over, 12 s would be too many"
    );
    let (found, _) = retries(&json!({ "limit": { "attempt": { "count": 1 } } }));
    assert_eq!(found, [1000]);
    let (found, _) = retries(&json!({ "when": "$error.status == 404", "delay": "PT1S" }));
    assert_eq!(found, [] as [u128; 0]);
    let (found, _) = retries(&json!({ "exceptWhen": "$error.status == 500", "delay": "PT1S" }));
    assert_eq!(found, [] as [u128; 0]);
}

/// `$error` in a policy is what it is beside it, but in a policy of `use`, which
/// knows no other name.
#[test]
fn a_policy_sees_the_errors_of_its_place() {
    let failing = |status: u16, catch: &Value| {
        let error = json!({ "type": "https://x.org/e", "status": status });
        json!({ "t": { "try": [{ "x": { "raise": { "error": error } } }], "catch": catch } })
    };
    let counted = |policy: &Value| {
        let inner = failing(522, &json!({ "as": "e", "retry": policy, "then": "end" }));
        let steps = json!({
            "use": { "retries": { "late": { "when": "$error.status == 522", "delay": "PT1S", "limit": { "attempt": { "count": 2 } } } } },
            "do": [failing(411, &json!({ "do": [inner] }))],
        });
        let mut run = Run::new(&steps, json!({}), nobody);
        run.go();
        run.log
            .iter()
            .filter(|entry| matches!(entry, Entry::Retrying { .. }))
            .count()
    };
    let policy = |when: &str| json!({ "when": when, "limit": { "attempt": { "count": 2 } }, "delay": "PT1S" });
    assert_eq!(counted(&policy("$error.status == 411")), 2);
    assert_eq!(counted(&policy("$error.status == 522")), 0);
    assert_eq!(counted(&policy("$e.status == 522")), 2);
    assert_eq!(counted(&json!("late")), 2);
}

#[test]
fn jitter_is_within_its_range_and_the_same_in_each_replay() {
    let policy = json!({ "delay": "PT0S", "jitter": { "from": "PT1S", "to": "PT3S" }, "limit": { "attempt": { "count": 20 } } });
    let (first, _) = retries(&policy);
    assert!(
        first.iter().all(|wait| (1000..=3000).contains(wait)),
        "{first:?}"
    );
    assert!(first.iter().any(|wait| *wait != first[0]), "{first:?}");
    assert_eq!(retries(&policy).0, first);
}

#[test]
fn a_handler_has_its_turn_when_retries_are_over() {
    let steps = json!([{ "t": {
        "try": [{ "x": raise("https://x.org/a") }],
        "catch": { "retry": { "delay": "PT1S", "limit": { "attempt": { "count": 2 } } }, "do": [{ "note": { "set": { "handled": true } } }] },
    } }]);
    let mut run = Run::new(&steps, json!({}), nobody);
    assert_eq!(run.go(), Status::Completed(json!({ "handled": true })));
    assert_eq!(run.began(), ["t", "x", "x", "x", "note"]);
    assert_eq!(run.elapsed().as_secs(), 2);
}

#[test]
fn each_attempt_begins_with_the_same_input() {
    let steps = json!([{ "t": {
        "try": [
            { "count": { "set": { "n": "${ .n + 1 }" }, "export": { "as": "{ tries: ($context.tries + 1) }" } } },
            { "enough": { "switch": [{ "yes": { "when": "$context.tries == 3", "then": "exit" } }] } },
            { "again": raise("https://x.org/a") },
        ],
        "catch": { "retry": { "delay": "PT1S" } },
    } }]);
    assert_eq!(output(&steps, json!({ "n": 0 })), json!({ "n": 1 }));
}

fn call(name: &Value, queue: &Value, arguments: &Value) -> Value {
    json!([{ "guard": {
        "try": [{ "call": { "call": "activity", "with": { "name": name, "task_queue": queue, "arguments": arguments } } }],
        "catch": { "do": [{ "say": { "set": { "said": "${ $error.detail }" } } }] },
    } }])
}

/// The server would refuse the command, and fail the workflow task for ever.
#[test]
fn values_that_temporal_refuses_are_faults_that_can_be_caught() {
    let (plain, list) = (json!("x"), json!([]));
    let long = json!({ "x": "é".repeat(501) });
    let detail = |steps: &Value, input: Value| output(steps, input)["said"].to_string();
    let found = detail(&call(&json!("${ .x }"), &plain, &list), long.clone());
    assert_eq!(found, r#""`name` must have at most 1000 bytes, not 1002""#);
    let found = detail(&call(&plain, &json!("${ .x }"), &list), long);
    assert_eq!(
        found,
        r#""`task_queue` must have at most 1000 bytes, not 1002""#
    );
    let found = detail(
        &call(&plain, &json!("${ .x }"), &list),
        json!({ "x": "/_sys/x" }),
    );
    assert_eq!(
        found,
        r#""`task_queue` is reserved by the server: names must not begin with `/_sys/`""#
    );
    // Each argument is a payload of its own.
    let found = detail(
        &call(&plain, &plain, &json!("${ . }")),
        json!(vec![1; 80_000]),
    );
    assert!(found.contains("the input of the call has"), "{found}");
}

/// A call states if a `retry` of the definition surrounds it.
#[test]
fn a_call_knows_whether_a_retry_is_around_it() {
    let call = |name: &str| json!({ name: { "call": "http", "with": { "method": "get", "endpoint": "http://shop.example" } } });
    let branches = |name: &str| json!({ name: { "fork": { "branches": [call("deep")] } } });
    let tried = |catch: Value| json!([{ "t": { "try": [branches("f")], "catch": catch } }]);
    let retry = json!({ "retry": { "delay": "PT1S" } });
    for (steps, wanted) in [
        (json!([call("alone")]), false),
        (tried(json!({ "as": "e" })), false),
        (tried(retry.clone()), true),
        (
            json!([{ "outer": { "try": tried(json!({ "as": "e" })), "catch": retry } }]),
            true,
        ),
        (
            json!([{ "t": { "try": [{ "r": { "raise": { "error": { "type": "https://x.example/e", "status": 500 } } } }],
                "catch": { "do": [call("after")] } } }]),
            false,
        ),
    ] {
        let mut run = Run::new(&steps, json!({}), nobody);
        run.turn();
        let retried_flag = run.commands.iter().find_map(|command| match command {
            Command::Start { retried, .. } => Some(*retried),
            Command::Cancel { .. } => None,
        });
        assert_eq!(retried_flag, Some(wanted), "{steps}");
    }
}
