//! Problems of invalid steps, each with its path.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::problems;
use crate::language::{SHAPES, parse};

#[test]
fn every_key_is_known_or_named() {
    insta::assert_snapshot!(problems(&json!([
        { "a": { "cal": "http", "with": {} } },
        { "b": { "set": { "x": 1 }, "with": {} } },
        { "c": { "wait": "PT1S", "iff": ".x" } },
        { "d": { "catch": {} } },
        { "e": { "for": { "in": ".x", "eech": "y" } } },
        { "f": { "set": null } },
        { "g": { "raise": { "error": { "type": "about:blank", "status": 99, "code": 1 } } } },
    ])), @r"
    `do/0/a/cal` is not a key of a task (did you mean `call`?)
    `do/1/b/with` cannot be combined with `set`
    `do/2/c/iff` is not a key of a task (did you mean `if`?)
    `do/3/d` has no task (a task is one of call, do, emit, for, fork, listen, raise, run, set, switch, try, wait)
    `do/4/e/do` is missing
    `do/4/e/for/eech` is not a key of `for` (did you mean `each`?)
    `do/5/f/set` has no value (give it a value, or remove the key)
    `do/6/g/raise/error/code` is not a key of an error (the keys are type, status, instance, title, detail)
    `do/6/g/raise/error/status` must be a whole number from 100 to 599, not `99`
    ");
}

/// Each would do nothing, or something that nobody meant.
#[test]
fn meaningless_steps_are_refused() {
    let get = |uri: &str| json!({ "call": "http", "with": { "method": "get", "endpoint": uri } });
    insta::assert_snapshot!(problems(&json!([
        { "b": { "call": "http", "with": { "method": "get", "endpoint": "https://x.org", "headers": { "A": "x", "B": {} }, "query": { "q": [[1], 2], "n": null } } } },
        { "c": { "try": [{ "x": { "wait": "PT1S" } }], "catch": { "errors": { "with": { "type": "communication" } } } } },
        { "d": { "raise": { "error": { "type": "x", "status": 500 } } } },
        { "e": get("https://ann:s3cret@x.org/a") },
        { "f": { "call": "openapi", "with": { "document": { "endpoint": { "uri": "http://{user}@x.org?a" } }, "operationId": "o" } } },
        { "g": { "if": ".a && .b", "wait": "PT1S", "timeout": "5s" } },
        { "h": { "if": ".a || .b", "wait": "PT1S" } },
        { "i": { "raise": { "error": { "type": "https://x.org/{kind}", "status": 500 } } } },
        { "j": { "set": { "x": "${ .a } and ${ .b }" } } },
        { "end": { "wait": "PT1S" } },
        { "": { "wait": "PT1S" } },
        { "k": { "fork": { "branches": [{ "exit": { "wait": "PT1S" } }] } } },
    ])), @r#"
    `do/0/b/with/headers/B` must be text, a number, a boolean or a list of them, not a map
    `do/0/b/with/query/n` must be text, a number, a boolean or a list of them, not nothing
    `do/0/b/with/query/q` must be text, a number, a boolean or a list of them, not a list
    `do/1/c/catch/errors/with/type` must be a URI, not `communication` (the specification's own types are `https://serverlessworkflow.io/spec/1.0.0/errors/` followed by a name, such as `communication`)
    `do/10/` has an empty name (give the step another name)
    `do/2/d/raise/error/type` must be a URI, not `x` (the specification's own types are `https://serverlessworkflow.io/spec/1.0.0/errors/` followed by a name, such as `communication`)
    `do/3/e/with/endpoint` contains credentials, which would be in the history of each run (use `authentication` beside `uri`, with a secret of `use/secrets`)
    `do/4/f/with/document/endpoint/uri` contains credentials, which would be in the history of each run (use `authentication` beside `uri`, with a secret of `use/secrets`)
    `do/5/g/if`: expected token, found `&& .b` (in jq, write `and`)
    `do/5/g/timeout` must be a map, or a name (write a limit itself as `{ after: PT5S }`; text is the name of one of `use/timeouts`)
    `do/6/h/if`: expected nothing, found `||` (in jq, write `or`)
    `do/7/i/raise/error/type` is not a URI: it contains braces (to build it from data, write an expression: ${ "https://shop.example/\(.id)" })
    `do/8/j/set/x`: expected token, found `} and ${ .b` (an expression must be the whole text; put the text into it: `${ "costs \(.price)" }`)
    `do/9/end` is a flow directive; no `then` could refer to it (give the step another name)
    "#);
    for uri in [
        "https://x.org/a@b",
        "https://x.org?a=b@c",
        "https://x.org#@",
    ] {
        assert!(parse(&json!([{ "a": get(uri) }])).is_ok(), "{uri}");
    }
    for kind in ["/errors/stock", "urn:x:stock", "${ .kind }"] {
        let raise = json!({ "raise": { "error": { "type": kind, "status": 500 } } });
        assert!(parse(&json!([{ "a": raise }])).is_ok(), "{kind}");
    }
}

#[test]
fn unsupported_parts_are_named() {
    insta::assert_snapshot!(problems(&json!({
        "use": { "functions": {}, "extensions": [], "catalogs": {} },
        "evaluate": { "language": "js", "mode": "loose" },
        "input": { "schema": { "resource": { "endpoint": "https://x.org" } } },
        "do": [
            { "a": { "call": "grpc", "with": {} } },
            { "b": { "call": "https", "with": {} } },
            { "c": { "run": { "container": { "image": "x" } } } },
            { "d": { "run": { "script": { "language": "js" } } } },
            { "e": { "set": { "x": 1 }, "input": { "schema": { "document": { "$ref": "#", "type": "text" } } } } },
        ],
    })), @r"
    `do/0/a/call`: calls of `grpc` are not supported (use `call: activity` with a worker of your own that makes the call)
    `do/1/b/call`: `https` is a custom function, which is not supported (did you mean `http`?)
    `do/2/c/run/container` is not supported (`run: shell` and `call: activity` are supported)
    `do/3/d/run/script` is not supported (`run: shell` and `call: activity` are supported)
    `do/4/e/input/schema/document/$ref` is not supported
    `do/4/e/input/schema/document/type` must be one of object, array, string, boolean, integer, number, null, or a list of these, not the text `text`
    `evaluate/language` must be `jq`: `js` is not supported
    `evaluate/mode` must be `strict`: `loose` is not supported
    `input/schema/resource` is not supported (write the schema into the definition, under `document`)
    `use/catalogs` is not supported
    `use/extensions` is not supported
    `use/functions` is not supported
    ");
}

#[test]
fn flow_directives_must_refer_to_a_step() {
    insta::assert_snapshot!(problems(&json!([
        { "first": { "wait": "PT1S", "then": "secnd" } },
        { "second": { "do": [{ "inner": { "wait": "PT1S", "then": "first" } }] } },
        { "third": { "switch": [{ "always": { "then": "end" } }, { "never": { "when": ".x" } }, "x"] } },
        { "fourth": { "fork": { "branches": [{ "a": { "wait": "PT1S", "then": "b" } }, { "b": { "wait": "PT1S" } }] } } },
        { "fifth": { "switch": [] } },
        { "sixth": { "switch": [{ "always": { "then": "end" } }, { "x": { "when": ".x", "then": "end" } }, { "never": { "then": "end" } }] } },
    ])), @r"
    `do/0/first/then` refers to `secnd`, but the list has no such step (did you mean `second`?)
    `do/1/second/do/0/inner/then` refers to `first`, but the list has no such step (write continue, exit, end, or the name of a step of the same list)
    `do/2/third/switch/1/never/then` is missing
    `do/2/third/switch/2` must be a case like `name: { when: …, then: … }`, not the text `x`
    `do/3/fourth/fork/branches/0/a/then` must be continue, exit or end in a branch, not `b`
    `do/4/fifth/switch` has no cases
    `do/5/sixth/switch/2` has no `when`, like an earlier case (at most one case has no `when`: it is taken if no other case matches, wherever it is in the list)
    ");
}

#[test]
fn errors_and_retries_are_checked() {
    insta::assert_snapshot!(problems(&json!({
        "use": { "retries": { "gentle": { "delay": 5 } }, "errors": { "late": { "status": 504 } } },
        "do": [
            { "a": { "try": [{ "x": { "raise": { "error": "late" } } }], "catch": { "retry": "gentle", "as": "$e" } } },
            { "b": { "try": [{ "x": { "raise": { "error": "lat" } } }], "catch": { "retry": "gentl", "errors": { "with": {} } } } },
            { "c": { "try": [], "catch": { "as": "input", "retry": { "backoff": { "linear": {}, "constant": {} }, "jitter": { "from": "PT2S", "to": "PT1S" }, "limit": { "attempt": { "count": -1 } } } } } },
            { "d": { "try": [{ "x": { "wait": "PT1S" } }] } },
            { "e": { "try": [{ "x": { "wait": "PT1S" } }], "catch": { "retry": { "backoff": { "exponential": { "factor": 2 } } } }, "timeout": "PT5S" } },
        ],
    })), @r"
    `do/0/a/catch/as` must be a name of letters, digits and `_` without `$`, not `$e`
    `do/1/b/catch/errors/with` has no properties to match
    `do/1/b/catch/retry` refers to `gentl`, which `use/retries` does not define (did you mean `gentle`?)
    `do/1/b/try/0/x/raise/error` refers to `lat`, which `use/errors` does not define (did you mean `late`?)
    `do/2/c/catch/as` must not be `input`, which is a variable of every expression
    `do/2/c/catch/retry/backoff` must have one key (the keys are constant, linear, exponential)
    `do/2/c/catch/retry/jitter` must not end before it begins
    `do/2/c/catch/retry/limit/attempt/count` must be a whole number, 0 or more, not `-1`
    `do/2/c/try` has no steps
    `do/3/d/catch` is missing
    `do/4/e/catch/retry/backoff/exponential` must be `{}`: it has no keys
    `do/4/e/timeout` must be a map, or a name (write `{ after: PT5S }`; text is the name of one of `use/timeouts`)
    `use/errors/late/type` is missing
    `use/retries/gentle/delay` must be a duration like `{ seconds: 5 }` or `PT5S`, not `5`
    ");
}

#[test]
fn expressions_are_whole_texts() {
    insta::assert_snapshot!(problems(&json!([
        { "a": { "set": { "x": "${ .a } and more", "y": [" ${ }"] } } },
        { "b": { "set": "text" } },
        { "c": { "wait": "${ .x", "if": "" } },
        { "d": { "for": { "in": 5, "each": "x y", "at": "task" }, "do": [{ "x": { "wait": "PT1S" } }] } },
        { "e": { "set": { "x": 1 }, "output": { "as": 5 }, "export": { "as": ["x"] } } },
    ])), @r#"
    `do/0/a/set/x` begins like an expression, but does not end like one: `${ .a } and more` (an expression must be the whole text; put the text into it: `${ "costs \(.price)" }`)
    `do/0/a/set/y/0` is an empty expression
    `do/1/b/set` must be a map, or an expression `${ … }`, not the text `text`
    `do/2/c/if` is an empty expression
    `do/2/c/wait` begins like an expression, but does not end like one: `${ .x` (an expression must be the whole text; put the text into it: `${ "costs \(.price)" }`)
    `do/3/d/for/at` must not be `task`, which is a variable of every expression
    `do/3/d/for/each` must be a name of letters, digits and `_` without `$`, not `x y`
    `do/3/d/for/in` must be an expression, or a list, not `5`
    `do/4/e/export/as` must be an expression, or a map with expressions, not a list
    `do/4/e/output/as` must be an expression, or a map with expressions, not `5`
    "#);
}

#[test]
fn events_are_checked() {
    insta::assert_snapshot!(problems(&json!([
        { "a": { "emit": { "event": { "with": { "source": "x", "Data": 1 } } } } },
        { "b": { "emit": { "event": { "with": { "type": 5, "extension": {} } } } } },
        { "c": { "listen": { "to": { "all": [], "any": [] } } } },
        { "d": { "listen": { "to": { "all": [] } } } },
        { "e": { "listen": { "to": { "one": { "with": {} }, "until": ".x" }, "read": "all" } } },
        { "f": { "listen": { "to": { "any": [{ "correlate": { "x": {} } }] } }, "foreach": { "item": "x", "at": "x" } } },
    ])), @r#"
    `do/0/a/emit/event/with/Data` is not a valid attribute name (names of event attributes consist of a-z and 0-9)
    `do/1/b/emit/event/with/extension` must be text, a number or a boolean, not a map
    `do/1/b/emit/event/with/type` must be text, not `5` (quote it: "5")
    `do/2/c/listen/to` must have one of `all`, `any` and `one`
    `do/3/d/listen/to/all` has no events
    `do/4/e/listen/read` must be one of data, envelope, raw, not `all`
    `do/4/e/listen/to/until` can only be used with `any`, and not in `until`
    `do/5/f/foreach` has the same name for the event and its index: `x`
    `do/5/f/listen/to/any/0/with` is missing
    `do/5/f/listen/to/any/0/correlate/x/from` is missing
    "#);
}

/// Literal attributes that could never be sent are refused.
#[test]
fn literals_of_an_event_are_checked() {
    let emit = |with: Value| json!([{ "a": { "emit": { "event": { "with": with } } } }]);
    insta::assert_snapshot!(problems(&emit(json!({
        "type": "a.b", "id": "", "source": "a b", "time": "yesterday", "subject": "",
        "f": 1.5, "big": 99_999_999_999_u64, "fine": -5, "none": null, "data": { "x": 1.5 },
    }))), @r"
    `do/0/a/emit/event/with/big` must be text, true, false or a whole number of 32 bits, not `99999999999`
    `do/0/a/emit/event/with/f` must be text, true, false or a whole number of 32 bits, not `1.5`
    `do/0/a/emit/event/with/id` must be text, not the text ``
    `do/0/a/emit/event/with/source` must be a URI, not the text `a b`
    `do/0/a/emit/event/with/subject` must be text, not the text ``
    `do/0/a/emit/event/with/time` must be a time like 2026-01-31T08:00:00Z, not the text `yesterday`
    ");
    // A filter only compares.
    let heard = json!({ "listen": { "to": { "one": { "with": { "time": "${ . > \"2026\" }", "id": "" } } } } });
    assert!(parse(&json!([{ "a": heard }])).is_ok());
}

#[test]
fn lists_have_limits() {
    let mut nested = json!([{ "x": { "wait": "PT1S" } }]);
    for _ in 0..16 {
        nested = json!([{ "x": { "do": nested } }]);
    }
    let message = problems(&nested);
    assert!(
        message.ends_with("is nested deeper than 16 task lists"),
        "{message}"
    );
    let many: Vec<Value> = (0..1001)
        .map(|n| json!({ format!("t{n}"): { "wait": "PT1S" } }))
        .collect();
    let message = problems(&json!(many));
    assert!(
        message.starts_with("`do/1000/t1000` is task 1001, over the limit"),
        "{message}"
    );
    let branches: Vec<Value> = (0..101)
        .map(|n| json!({ format!("t{n}"): { "wait": "PT1S" } }))
        .collect();
    let message = problems(&json!([{ "x": { "fork": { "branches": branches } } }]));
    assert_eq!(
        message,
        "`do/0/x/fork/branches` has 101 branches, over the limit of 100"
    );
}

#[test]
fn shapes_have_names_of_their_own() {
    let mut names: Vec<&str> = SHAPES.iter().map(|(_, name)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), SHAPES.len());
}

/// JSON made of the words of the language.
fn anything() -> impl Strategy<Value = Value> {
    let mut words: Vec<String> = SHAPES
        .iter()
        .flat_map(|(shape, _)| shape.keys.iter().map(|key| (*key).to_owned()))
        .collect();
    words.extend(["a", "http", "${ .x }", "PT1S", "end", "b"].map(str::to_owned));
    let word = prop::sample::select(words);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..700_u64).prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 64, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..4)
                .prop_map(|map| Value::from(serde_json::Map::from_iter(map))),
        ]
    })
}

proptest! {
    #[test]
    fn any_steps_get_an_answer(steps in anything()) {
        for steps in [json!([{ "a": steps.clone() }]), steps] {
            if let Err(problems) = parse(&steps) {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    let mut text = String::new();
                    write!(text, "{problem}").unwrap();
                    prop_assert!(!text.is_empty() && text.len() < 2000);
                }
            }
        }
    }
}

/// Temporal would refuse them, each time that the run tries.
#[test]
fn names_that_temporal_refuses_are_reported_at_their_line() {
    let long = "n".repeat(1001);
    insta::assert_snapshot!(problems(&json!([
        { "a": { "call": "activity", "with": { "name": long, "task_queue": "/_sys/q" } } },
        { "b": { "run": { "workflow": { "namespace": "d", "name": long, "version": "1" } }, "metadata": { "temporal": { "task_queue": long } } } },
        { "c": { "run": { "workflow": { "namespace": "d", "name": "W", "version": "1" } }, "metadata": { "temporal": { "task_queue": "/_sys/q" } } } },
    ])), @r"
    `do/0/a/with/name` must have at most 1000 bytes, not 1001
    `do/0/a/with/task_queue` is reserved by the server: names must not begin with `/_sys/`
    `do/1/b/metadata/temporal/task_queue` must have at most 1000 bytes, not 1001
    `do/1/b/run/workflow/name` must have at most 1000 bytes, not 1001
    `do/2/c/metadata/temporal/task_queue` is reserved by the server: names must not begin with `/_sys/`
    ");
}

#[test]
fn the_reported_problems_are_bounded() {
    let long = "k".repeat(100_000);
    let tasks: Vec<Value> = (0..500)
        .map(|n| json!({ format!("t{n}"): { "set": { "x": 1 }, &long: 1, "metadata": 1 } }))
        .collect();
    let reported = parse(&json!(tasks)).unwrap_err();
    let bytes: usize = reported
        .iter()
        .map(|problem| problem.path.len() + problem.message.len())
        .sum();
    assert!(bytes < 2_000_000, "{bytes}");
}

/// The name of a step is in the place of each step in it.
#[test]
fn long_names_are_reported() {
    let (step, variable) = ("s".repeat(101), "v".repeat(101));
    let messages = problems(&json!([
        { &step: { "set": { "x": 1 } } },
        { "a": { "for": { "each": variable, "in": "${ . }" }, "do": [{ "b": { "set": { "x": 1 } } }] } },
    ]));
    assert!(
        messages.contains("`do/0` has a name of 101 bytes, over the limit of 100"),
        "{messages}"
    );
    assert!(
        messages.contains("`do/1/a/for/each` must have at most 100 characters"),
        "{messages}"
    );
}
