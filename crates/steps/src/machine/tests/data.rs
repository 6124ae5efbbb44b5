//! Inputs, outputs, context and what expressions may see.

use serde_json::{Value, json};

use super::{Run, end, fault, nobody, output};
use crate::machine::{Effect, Machine, RequestCredentials, Status};

#[test]
fn data_goes_through_its_transforms() {
    let steps = json!({
        "input": { "from": ".wrapped" },
        "output": { "as": "{ result: . }" },
        "do": [
            { "a": { "input": { "from": "{ n: .n }" }, "set": { "m": "${ .n + 1 }" }, "output": { "as": ".m" }, "export": { "as": { "raw": "${ $input }", "out": "${ $output }" } } } },
            { "b": { "set": { "in": "${ . }", "context": "${ $context }" } } },
        ],
    });
    assert_eq!(
        output(&steps, json!({ "wrapped": { "n": 1, "more": 2 } })),
        json!({ "result": { "in": 2, "context": { "raw": { "n": 1 }, "out": 2 } } })
    );
}

/// Each turn is repeated from its position as JSON, as another worker would do it.
#[test]
fn the_time_and_the_uuids_of_a_run_are_its_own() {
    let steps = json!([
        { "first": { "set": { "at": "${ now }", "ids": "${ [uuid, uuid] }", "run": "${ $workflow.id }" } } },
        { "rest": { "wait": "PT90S" } },
        { "later": { "for": { "in": "${ [1, 2] }" }, "do": [{ "each": { "set": "${ .ids += [uuid] }" } }] } },
        { "last": { "set": "${ . + { later: now, began: $workflow.startedAt.epoch.seconds, text: (now | todate | length) } }" } },
    ]);
    let Status::Completed(whole) = Run::new(&steps, json!({}), nobody).go() else {
        panic!("not completed");
    };
    let again = Run::new(&steps, json!({}), nobody).go();
    assert_eq!(again, Status::Completed(whole.clone()));
    let mut parts = Run::new(&steps, json!({}), nobody);
    parts.interrupted = Some(Machine::hold);
    assert_eq!(parts.go(), Status::Completed(whole.clone()));
    let ids: std::collections::BTreeSet<&str> = whole["ids"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 4, "{whole}");
    assert_eq!(whole["at"], whole["began"]);
    assert_eq!(whole["text"], 20);
    let passed = whole["later"].as_f64().unwrap() - whole["at"].as_f64().unwrap();
    assert!((passed - 90.0).abs() < 1.0, "{whole}");
}

/// The specification's `initial_context_arg`.
#[test]
fn the_context_is_the_runs_input_at_first() {
    let seen = |from: Value| {
        let steps = json!({ "input": from, "do": [
            { "first": { "set": "${ $context }" } },
            { "rest": { "wait": "PT1S" } },
            { "again": { "set": "${ [., $context] }", "export": { "as": "null" } } },
            { "after": { "set": "${ . + [$context] }" } },
        ] });
        let mut run = Run::new(&steps, json!({ "a": { "b": 1 } }), nobody);
        let whole = run.go();
        let mut parts = Run::new(&steps, json!({ "a": { "b": 1 } }), nobody);
        parts.interrupted = Some(Machine::hold);
        assert_eq!(whole, parts.go());
        whole
    };
    let raw = json!({ "a": { "b": 1 } });
    assert_eq!(seen(json!({})), Status::Completed(json!([raw, raw, null])));
    let made = json!({ "b": 1 });
    assert_eq!(
        seen(json!({ "from": ".a" })),
        Status::Completed(json!([made, made, null]))
    );
}

/// `$output` is what is left of it.
#[test]
fn an_export_sees_the_raw_output_of_its_task() {
    let steps = json!([
        { "a": {
            "set": { "raw": 1 },
            "output": { "as": "{ made: .raw, task: $task.output }" },
            "export": { "as": "{ task: $task.output, output: $output.made, dot: .made }" },
        } },
        { "b": { "set": "${ [., $context] }" } },
    ]);
    assert_eq!(
        output(&steps, json!({})),
        json!([
            { "made": 1, "task": { "raw": 1 } },
            { "task": { "raw": 1 }, "output": 1, "dot": 1 },
        ])
    );
}

#[test]
fn results_of_expressions_are_data() {
    let steps = json!([
        { "a": { "set": { "x": "${ .evil }", "y": ["${ .evil }"] } } },
        { "b": { "set": "${ . }" } },
    ]);
    let evil = "${ $secrets }";
    assert_eq!(
        output(&steps, json!({ "evil": evil })),
        json!({ "x": evil, "y": [evil] })
    );
}

#[test]
fn schemas_are_checked() {
    let schema = json!({ "document": { "type": "object", "required": ["n"], "properties": { "n": { "type": "integer", "minimum": 1 } } } });
    let steps = json!({
        "input": { "schema": schema },
        "do": [{ "a": { "set": { "n": "${ .n }" }, "output": { "schema": { "document": { "properties": { "n": { "maximum": 5 } } } } } } }],
    });
    assert_eq!(output(&steps, json!({ "n": 3 })), json!({ "n": 3 }));
    insta::assert_snapshot!(fault(&steps, json!({})), @"Validation Error (status 400, at /): the value lacks `n`");
    insta::assert_snapshot!(fault(&steps, json!({ "n": 0 })), @"Validation Error (status 400, at /): `/n` breaks the rule minimum 1: it is `0`");
    insta::assert_snapshot!(fault(&steps, json!({ "n": 6 })), @"Validation Error (status 400, at /do/0/a): `/n` breaks the rule maximum 5: it is `6`");
}

#[test]
fn expressions_see_the_run_and_the_task() {
    let steps = json!({
        "document": { "name": "x", "version": "1.0.0" },
        "do": [{ "a": { "input": { "from": ".x" }, "set": {
            "task": "${ $task }",
            "id": "${ $workflow.id }",
            "version": "${ $workflow.definition.document.version }",
            "input": "${ $workflow.input }",
            "started": "${ $workflow.startedAt.epoch.seconds }",
            "runtime": "${ $runtime.name }",
        } } }],
    });
    insta::assert_json_snapshot!(output(&steps, json!({ "x": 5 })), @r#"
    {
      "id": "test/run",
      "input": {
        "x": 5
      },
      "runtime": "almanac",
      "started": 0,
      "task": {
        "definition": {
          "input": {
            "from": ".x"
          },
          "set": {
            "id": "${ $workflow.id }",
            "input": "${ $workflow.input }",
            "runtime": "${ $runtime.name }",
            "started": "${ $workflow.startedAt.epoch.seconds }",
            "task": "${ $task }",
            "version": "${ $workflow.definition.document.version }"
          }
        },
        "input": {
          "x": 5
        },
        "name": "a",
        "reference": "/do/0/a",
        "startedAt": {
          "epoch": {
            "milliseconds": 0,
            "seconds": 0
          },
          "iso8601": "1970-01-01T00:00:00Z"
        }
      },
      "version": "1.0.0"
    }
    "#);
}

#[test]
fn calls_are_made_with_all_expressions_evaluated() {
    let steps = json!({
        "use": { "secrets": ["crm"] },
        "do": [{ "get": { "call": "http", "with": {
            "method": "get",
            "endpoint": { "uri": "https://x.org/{path}/{n}", "authentication": { "basic": { "use": "crm" } } },
            "headers": { "X-A": "${ .path }" },
            "body": { "n": "${ .n }" },
        }, "metadata": { "temporal": { "start_to_close": "15s" } } } }],
    });
    let mut run = Run::new(&steps, json!({ "path": "a b/ü", "n": 5 }), |effect| {
        let Effect::Http(http) = effect else {
            unreachable!()
        };
        assert_eq!(http.uri, "https://x.org/a%20b%2F%C3%BC/5");
        assert_eq!(http.headers, Some(json!({ "X-A": "a b/ü" })));
        assert_eq!(http.body, Some(json!({ "n": 5 })));
        let credentials = &http.authentication.as_ref().unwrap().credentials;
        assert_eq!(*credentials, RequestCredentials::Secret("crm".to_owned()));
        Ok(json!("done"))
    });
    assert_eq!(run.go(), Status::Completed(json!("done")));
    insta::assert_snapshot!(fault(&steps, json!({ "path": "x" })), @"Expression Error (status 400, at /do/0/get): `{n}` must be text, a number or a boolean in the input, not nothing");
    insta::assert_snapshot!(fault(&steps, json!({ "path": { "a": 1 }, "n": 5 })), @"Expression Error (status 400, at /do/0/get): `{path}` must be text, a number or a boolean in the input, not a map");
}

/// The specification's URI templates: names are verbatim, and null is an empty text.
#[test]
fn a_template_of_a_uri_names_a_property_as_it_is() {
    let of = |uri: &str| json!([{ "get": { "call": "http", "with": { "method": "get", "endpoint": uri } } }]);
    let uri = |uri: &str, input: Value| {
        let mut run = Run::new(&of(uri), input, |effect| match effect {
            Effect::Http(http) => Ok(json!(http.uri)),
            other => panic!("{other:?}"),
        });
        run.go()
    };
    let input = json!({ "pet.id": 5, "pet": { "id": 6 }, "none": null });
    assert_eq!(
        uri("https://x.org/{pet.id}/a{none}?q={none}", input.clone()),
        Status::Completed(json!("https://x.org/5/a?q="))
    );
    let refused = |uri: &str| fault(&of(uri), input.clone());
    insta::assert_snapshot!(refused("https://x.org/{none}"), @r#"Expression Error (status 400, at /do/0/get): `{none}` would make a part of the path "", which leads elsewhere"#);
    insta::assert_snapshot!(refused("https://x.org?q={pet.name}"), @"Expression Error (status 400, at /do/0/get): `{pet.name}` must be text, a number or a boolean in the input, not nothing");
}

#[test]
fn processes_return_the_requested_output() {
    let run = |task| {
        let mut run = Run::new(
            &json!([{ "x": task }]),
            json!({ "in": 1 }),
            |effect| match effect {
                Effect::Activity(request) => {
                    Ok(json!([request.name, request.task_queue, request.arguments]))
                }
                Effect::Shell(request) => {
                    Ok(json!([request.command, request.arguments, request.stdin]))
                }
                Effect::Workflow(request) => Ok(json!([request.name, request.input])),
                other => panic!("{other:?}"),
            },
        );
        run.go()
    };
    assert_eq!(
        run(
            json!({ "call": "activity", "with": { "name": "A", "task_queue": "q", "arguments": ["${ .in }", 2] } })
        ),
        Status::Completed(json!(["A", "q", [1, 2]]))
    );
    assert_eq!(
        run(
            json!({ "run": { "shell": { "command": "ls", "arguments": ["-l", "${ .in }"], "stdin": "${ . }" } } })
        ),
        Status::Completed(json!(["ls", ["-l", "1"], "{\"in\":1}"]))
    );
    let workflow = |wait: bool, output: &str| json!({ "run": { "workflow": { "namespace": "n", "name": "w", "version": "1", "input": { "a": "${ .in }" } }, "await": wait, "return": output } });
    assert_eq!(
        run(workflow(true, "stdout")),
        Status::Completed(json!(["w", { "a": 1 }]))
    );
    assert_eq!(run(workflow(true, "none")), Status::Completed(json!(null)));
    assert_eq!(
        run(workflow(false, "stdout")),
        Status::Completed(json!({ "in": 1 }))
    );
}

#[test]
fn the_work_of_expressions_is_bounded_for_a_task_and_for_a_turn() {
    let long = "${ [range(20000)] | map(. + 1) | add }";
    let some = json!([{ "a": { "set": { "x": long } } }, { "b": { "set": { "x": long } } }]);
    let looping = json!([{ "each": { "for": { "in": "${ [range(12)] }" }, "do": some } }]);
    let mut run = Run::new(&looping, json!({}), super::nobody);
    assert_eq!(run.turn(), Status::Yielded);
    assert!(run.began().len() < 25);
    assert_eq!(run.go(), Status::Completed(json!({ "x": 200_010_000 })));

    let items: Vec<&str> = std::iter::repeat_n(long, 60).collect();
    let steps = json!([{ "a": { "set": { "x": items } } }]);
    insta::assert_snapshot!(fault(&steps, json!({})), @"Expression Error (status 400, at /do/0/a): the expressions, checks and data of the task take too long together");
}

/// A loop whose work is in checks, copies or refused conversions yields as one
/// whose work is in expressions does.
#[test]
fn checks_copies_and_failed_conversions_count_as_work() {
    let turns = |task: Value, input: Value| {
        let steps = json!([
            { "work": task },
            { "again": { "set": "${ . }", "then": "work" } },
        ]);
        let mut run = Run::new(&steps, input, nobody);
        assert_eq!(run.turn(), Status::Yielded);
        run.began().len()
    };
    let items = json!(vec!["text"; 2_000]);
    let schema = json!({ "items": { "anyOf": [{ "type": "null" }, { "enum": ["x", "text"] }] } });
    let plain = json!({ "set": "${ . }" });
    let checked = json!({ "input": { "schema": { "document": schema } }, "set": "${ . }" });
    let (plain, checked) = (turns(plain, items.clone()), turns(checked, items.clone()));
    assert!(checked * 2 < plain, "{checked} of {plain}");
    let branches: Vec<Value> = (0..50)
        .map(|n| json!({ format!("rest{n}"): { "wait": "PT0S" } }))
        .collect();
    let fork = json!({ "fork": { "compete": true, "branches": branches } });
    let forked = turns(fork, json!(vec!["text"; 10_000]));
    assert!(forked < 100, "{forked}");
}

#[test]
fn a_check_that_takes_too_long_is_a_fault() {
    let any: Vec<Value> = (0..2000).map(|n| json!({ "const": n })).collect();
    let schema = json!({ "items": { "not": { "anyOf": any } } });
    let steps =
        json!([{ "look": { "input": { "schema": { "document": schema } }, "set": { "n": 1 } } }]);
    let input = json!(vec!["text"; 5_000]);
    insta::assert_snapshot!(fault(&steps, input), @"Validation Error (status 400, at /do/0/look): the check takes more than 2000000 steps");
    // And only then.
    let good = json!(vec!["text"; 10]);
    assert_eq!(output(&steps, good), json!({ "n": 1 }));
}

/// The memory of a run is bounded; a `try` continues without the data that exceeded it.
#[test]
fn branches_share_a_bounded_memory() {
    let branches: Vec<Value> = (0..100)
        .map(|n| json!({ format!("b{n}"): { "wait": "PT1H" } }))
        .collect();
    let large = json!({ "text": "x".repeat(8_000_000) });
    let fork = json!({ "all": { "fork": { "branches": branches } } });
    let refused = fault(&json!([fork]), large.clone());
    insta::assert_snapshot!(refused, @"Runtime Error (status 500, at /do/0/all): the run would hold 816010232 bytes of data, over the limit of 33554432");
    let caught = json!([{ "try": {
        "try": [fork],
        "catch": { "as": "e", "do": [{ "small": { "set": { "status": "${ $e.status }" } } }] },
    } }, { "after": { "fork": { "branches": branches } } }]);
    let Status::Completed(all) = end(&caught, large) else {
        panic!("it goes on")
    };
    assert_eq!(all[99], json!({ "status": 500 }));
}

/// Data that a run no longer holds does not count.
#[test]
fn a_loop_over_large_data_continues() {
    let steps = json!([
        { "make": { "set": { "n": "${ .n + 1 }", "text": "${ \"x\" * 4000000 }" } } },
        { "more": { "switch": [{ "no": { "when": ".n < 50", "then": "make" } }] } },
        { "done": { "set": { "n": "${ .n }" } } },
    ]);
    assert_eq!(output(&steps, json!({ "n": 0 })), json!({ "n": 50 }));
}

fn call(body: &str) -> Value {
    json!({ "call": "http", "with": { "method": "post", "endpoint": "http://shop.example", "body": body } })
}

/// As JSON: a control character takes six bytes.
#[test]
fn inputs_that_temporal_would_refuse_are_errors_before_they_are_sent() {
    let make = json!({ "make": { "set": { "text": "${ \"\\u0001\" * 400000 }" } } });
    let alone = json!([make, { "send": call("${ .text }") }]);
    let message = fault(&alone, json!({})).to_string();
    assert!(
        message.contains("at /do/1/send): the input of the call has 24"),
        "{message}"
    );
    // A `try` goes on.
    let caught = json!([make, { "try": {
        "try": [{ "send": call("${ .text }") }],
        "catch": { "do": [{ "say": { "set": { "caught": true } } }] },
    } }]);
    assert_eq!(output(&caught, json!({})), json!({ "caught": true }));
    // Together with others that begin at once, and one after the other.
    let make = json!({ "make": { "set": { "text": "${ \"\\u0001\" * 200000 }" } } });
    let many = {
        let branches: Vec<Value> = (0..3)
            .map(|n| json!({ format!("b{n}"): call("${ .text }") }))
            .collect();
        json!([make, { "all": { "fork": { "branches": branches } } }])
    };
    let message = fault(&many, json!({})).to_string();
    assert!(
        message.contains("the inputs of calls that begin at once have 36"),
        "{message}"
    );
    let mut run = Run::new(
        &json!([
            make,
            { "one": { "output": { "as": "$input" }, "call": "http", "with": call("${ .text }")["with"] } },
            { "two": { "output": { "as": "$input" }, "call": "http", "with": call("${ .text }")["with"] } },
            { "three": { "output": { "as": "null" }, "call": "http", "with": call("${ .text }")["with"] } },
        ]),
        json!({}),
        |_| Ok(json!(1)),
    );
    assert_eq!(run.go(), Status::Completed(Value::Null));
}

#[test]
fn the_output_and_the_error_of_a_run_fit_into_a_history() {
    let steps = json!([{ "make": { "set": { "text": "${ \"\\u0001\" * 400000 }" } } }]);
    let message = fault(&steps, json!({})).to_string();
    assert!(message.contains("the run's output has 24"), "{message}");
    let long = "${ \"é\" * 400000 }";
    let steps = json!([{ "stop": { "raise": { "error": {
        "type": "https://x.example/stop", "status": 400, "title": long, "detail": long,
    } } } }]);
    let fault = fault(&steps, json!({}));
    assert_eq!(fault.detail.map(|text| text.chars().count()), Some(2001));
    assert_eq!(fault.title.map(|text| text.chars().count()), Some(2001));
}

/// Deeper data could not be read again by a run that continues as new.
#[test]
fn data_that_nests_deeply_is_an_error_where_it_comes_from() {
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
    let steps = json!([{ "ask": { "call": "http", "with": { "method": "get", "endpoint": "http://shop.example" } } }]);
    let mut run = Run::new(&steps, json!({}), |_| {
        Ok((0..101).fold(json!(1), |inner, _| json!([inner])))
    });
    let Status::Faulted(fault) = run.go() else {
        panic!("it is too deep")
    };
    insta::assert_snapshot!(fault, @"Runtime Error (status 500, at /do/0/ask): the data nests more than 100 levels deep");
    let waits = json!([{ "rest": { "wait": "PT1S" } }]);
    assert_eq!(output(&waits, nested(100)), nested(100));
    assert!(matches!(end(&waits, nested(101)), Status::Faulted(_)));
    let mut parts = Run::new(&waits, nested(100), nobody);
    parts.interrupted = Some(Machine::hold);
    assert_eq!(parts.go(), Status::Completed(nested(100)));
}

/// The context is there without `as`, too.
#[test]
fn a_schema_of_an_export_is_checked_without_as() {
    let schema = json!({ "document": { "type": "object", "required": ["seen"] } });
    let steps = |context: &Value| {
        json!([
            { "make": { "set": { "x": 1 }, "export": { "as": context } } },
            { "look": { "set": { "x": 2 }, "export": { "schema": schema } } },
            { "say": { "set": { "context": "${ $context }" } } },
        ])
    };
    let good = json!({ "seen": true });
    assert_eq!(output(&steps(&good), json!({})), json!({ "context": good }));
    insta::assert_snapshot!(fault(&steps(&json!({ "other": 1 })), json!({})), @"Validation Error (status 400, at /do/1/look): the value lacks `seen`");
}

#[test]
fn enum_and_const_compare_numbers_by_value() {
    let steps = |rule: Value| json!([{ "a": { "input": { "schema": { "document": rule } }, "set": { "n": 1 } } }]);
    for (rule, good, bad) in [
        (json!({ "enum": [1, "x"] }), json!(1.0), json!(1.5)),
        (
            json!({ "const": [{ "n": 2.0 }] }),
            json!([{ "n": 2 }]),
            json!([{ "n": 3 }]),
        ),
        (
            json!({ "const": 9_007_199_254_740_993_u64 }),
            json!(9_007_199_254_740_993_u64),
            json!(9_007_199_254_740_992_u64),
        ),
    ] {
        assert_eq!(output(&steps(rule.clone()), good), json!({ "n": 1 }));
        assert!(matches!(end(&steps(rule), bad), Status::Faulted(_)));
    }
}

/// The items of a loop are kept in a run's position, too.
#[test]
fn items_that_nest_deeply_are_an_error_before_the_loop() {
    let nested = |levels: usize, inner: Value| (0..levels).fold(inner, |inner, _| json!([inner]));
    let steps = json!([{ "each": {
        "for": { "in": nested(31, json!("${ . }")) },
        "do": [{ "rest": { "wait": "PT1S" } }],
    } }]);
    let mut run = Run::new(&steps, nested(60, json!(1)), nobody);
    run.interrupted = Some(Machine::hold);
    assert!(matches!(run.go(), Status::Completed(_)));
    insta::assert_snapshot!(fault(&steps, nested(95, json!(1))), @"Runtime Error (status 500, at /do/0/each): the data nests more than 100 levels deep");
}

/// Data must not choose another path of a service.
#[test]
fn a_uri_variable_cannot_leave_its_path_segment() {
    let steps = |uri: &str| json!([{ "call": { "call": "http", "with": { "method": "delete", "endpoint": uri } } }]);
    let asked = |uri: &str, id: &str| {
        let mut run = Run::new(&steps(uri), json!({ "id": id, "more": "." }), nobody);
        match run.turn() {
            Status::Waiting => run.effects.values().find_map(|(effect, _)| match effect {
                Effect::Http(request) => Some(request.uri.clone()),
                _ => None,
            }),
            _ => None,
        }
    };
    let orders = "https://shop.example/customers/{id}/orders";
    for id in ["", ".", ".."] {
        assert_eq!(asked(orders, id), None, "{id:?}");
        assert_eq!(asked("https://shop.example/x/{id}", id), None, "{id:?}");
    }
    assert_eq!(asked("https://shop.example/{id}{more}/x", "."), None);
    assert_eq!(asked("https://shop.example/%2E{id}/x", "."), None);
    for (uri, id, wanted) in [
        (orders, "...", "https://shop.example/customers/.../orders"),
        (
            orders,
            "../a",
            "https://shop.example/customers/..%2Fa/orders",
        ),
        ("https://shop.example/v{id}", "", "https://shop.example/v"),
        (
            "https://shop.example/x?a={id}/",
            "..",
            "https://shop.example/x?a=../",
        ),
    ] {
        assert_eq!(asked(uri, id).as_deref(), Some(wanted));
    }
}
