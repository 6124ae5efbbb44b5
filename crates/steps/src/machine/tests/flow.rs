//! The order of tasks: directives, conditions, loops and branches.

use serde_json::{Value, json};

use super::{Run, end, nobody, output};
use crate::machine::{Status, TASKS_PER_TURN};

fn set(name: &str) -> Value {
    json!({ "set": { "seen": format!("${{ .seen + [\"{name}\"] }}") } })
}

fn then(name: &str, then: &str) -> Value {
    let mut task = set(name);
    task["then"] = json!(then);
    task
}

#[test]
fn directives_lead_forwards_backwards_and_out() {
    let steps = json!([
        { "a": then("a", "c") },
        { "b": then("b", "end") },
        { "c": then("c", "b") },
        { "d": set("d") },
    ]);
    assert_eq!(
        output(&steps, json!({})),
        json!({ "seen": ["a", "c", "b"] })
    );

    let steps = json!([
        { "a": { "do": [{ "b": then("b", "exit") }, { "c": set("c") }] } },
        { "d": { "do": [{ "e": { "do": [{ "f": then("f", "end") }] } }] } },
        { "g": set("g") },
    ]);
    assert_eq!(output(&steps, json!({})), json!({ "seen": ["b", "f"] }));
}

#[test]
fn the_case_without_a_condition_is_used_if_no_other_matches() {
    let steps = json!([
        { "route": { "switch": [
            { "default": { "then": "other" } },
            { "one": { "when": ".n == 1", "then": "end" } },
        ] } },
        { "no": { "set": { "n": "no" } } },
        { "other": { "set": { "n": "other" } } },
    ]);
    assert_eq!(output(&steps, json!({ "n": 1 })), json!({ "n": 1 }));
    assert_eq!(output(&steps, json!({ "n": 2 })), json!({ "n": "other" }));
}

#[test]
fn a_jump_back_can_make_a_loop() {
    let steps = json!([
        { "count": { "set": { "n": "${ .n + 1 }" } } },
        { "again": { "switch": [{ "more": { "when": ".n < 3", "then": "count" } }] } },
        { "last": { "set": { "done": "${ .n }" } } },
    ]);
    let mut run = Run::new(&steps, json!({ "n": 0 }), nobody);
    assert_eq!(run.go(), Status::Completed(json!({ "done": 3 })));
    assert_eq!(
        run.began(),
        ["count", "again", "count", "again", "count", "again", "last"]
    );
}

#[test]
fn a_task_whose_condition_is_not_true_is_skipped_with_its_directive() {
    let steps = json!([
        { "a": { "if": ".no", "raise": { "error": { "type": "about:blank", "status": 500 } }, "then": "end" } },
        { "b": { "if": ".yes", "set": { "b": 1 }, "output": { "as": "{ c: .b }" } } },
    ]);
    assert_eq!(output(&steps, json!({ "yes": true })), json!({ "c": 1 }));
    assert_eq!(
        output(&steps, json!({ "yes": false })),
        json!({ "yes": false })
    );
}

#[test]
fn a_loop_hands_each_output_to_the_next_iteration() {
    let steps = json!([{ "all": {
        "for": { "each": "x", "in": ".items", "at": "i" },
        "while": "$x != \"stop\"",
        "do": [{ "note": { "set": { "seen": "${ .seen + [{ x: $x, i: $i }] }" } } }],
    } }]);
    assert_eq!(
        output(&steps, json!({ "items": ["a", "b", "stop", "c"] })),
        json!({ "seen": [{ "x": "a", "i": 0 }, { "x": "b", "i": 1 }] })
    );
    assert_eq!(
        output(&steps, json!({ "items": [] })),
        json!({ "items": [] })
    );
    let Status::Faulted(fault) = end(&steps, json!({ "items": 5 })) else {
        unreachable!()
    };
    insta::assert_snapshot!(fault, @"Expression Error (status 400, at /do/0/all): `.items` must be a list, not `5`");
}

#[test]
fn an_exit_ends_the_iteration_and_an_end_the_run() {
    let steps = |directive: &str| {
        json!([
            { "all": { "for": { "in": ["a", "b"] }, "do": [
                { "one": { "set": { "seen": "${ .seen + [$item] }" }, "then": directive } },
                { "two": { "set": { "seen": "${ .seen + [\"two\"] }" } } },
            ] } },
            { "last": { "set": { "seen": "${ .seen + [\"last\"] }" } } },
        ])
    };
    assert_eq!(
        output(&steps("exit"), json!({})),
        json!({ "seen": ["a", "b", "last"] })
    );
    assert_eq!(output(&steps("end"), json!({})), json!({ "seen": ["a"] }));
    assert_eq!(
        output(&steps("continue"), json!({})),
        json!({ "seen": ["a", "two", "b", "two", "last"] })
    );
}

#[test]
fn branches_run_at_once_and_give_a_list() {
    let steps = json!([{ "both": { "fork": { "branches": [
        { "slow": { "do": [{ "w": { "wait": "PT10S" } }, { "s": { "set": { "who": "slow" } } }] } },
        { "fast": { "do": [{ "w": { "wait": "PT1S" } }, { "s": { "set": { "who": "${ .who + \"fast\" }" } } }] } },
    ] } } }]);
    let mut run = Run::new(&steps, json!({ "who": "I" }), nobody);
    assert_eq!(
        run.go(),
        Status::Completed(json!([{ "who": "slow" }, { "who": "Ifast" }]))
    );
    assert_eq!(run.elapsed().as_secs(), 10);
}

#[test]
fn the_first_of_competing_branches_is_the_only_one() {
    let steps = json!([{ "race": { "fork": { "compete": true, "branches": [
        { "slow": { "wait": "PT10S", "output": { "as": "\"slow\"" } } },
        { "fast": { "wait": "PT1S", "output": { "as": "\"fast\"" } } },
        { "nested": { "fork": { "branches": [{ "a": { "wait": "PT20S" } }, { "b": { "wait": "PT30S" } }] } } },
    ] } } }, { "after": { "wait": "PT1S" } }]);
    let mut run = Run::new(&steps, json!({}), nobody);
    assert_eq!(run.go(), Status::Completed(json!("fast")));
    assert_eq!(run.elapsed().as_secs(), 2);
    assert!(run.effects.is_empty());
}

#[test]
fn an_end_in_a_branch_ends_the_run() {
    let steps = json!([{ "both": { "fork": { "branches": [
        { "slow": { "wait": "PT10S" } },
        { "fast": { "do": [{ "over": { "set": { "x": 1 }, "then": "end" } }] } },
    ] } } }]);
    let mut run = Run::new(&steps, json!({}), nobody);
    assert_eq!(run.go(), Status::Completed(json!({ "x": 1 })));
    assert_eq!(run.elapsed().as_secs(), 0);
    assert!(run.effects.is_empty());
}

#[test]
fn a_turn_does_a_bounded_number_of_tasks_and_lets_branches_take_turns() {
    let steps = json!([{ "race": { "fork": { "compete": true, "branches": [
        { "endless": { "do": [{ "again": { "set": { "x": 1 }, "then": "again" } }] } },
        { "short": { "do": [{ "a": { "set": { "x": 2 } } }, { "b": { "set": { "x": 3 } } }] } },
    ] } } }]);
    assert_eq!(output(&steps, json!({})), json!({ "x": 3 }));
    let mut run = Run::new(
        &json!([{ "again": { "set": { "x": 1 }, "then": "again" } }]),
        json!({}),
        nobody,
    );
    for _ in 0..3 {
        assert_eq!(run.turn(), Status::Yielded);
    }
    assert_eq!(run.log.len(), 3 * 2 * TASKS_PER_TURN);
    let work = run.machine.advance(run.now).work;
    assert!(work >= 100 * 500, "a turn tells what it took: {work}");
}

#[test]
fn no_steps_answer_the_input() {
    assert_eq!(output(&json!([]), json!({ "a": 1 })), json!({ "a": 1 }));
}

/// A call may wait for what a later task does: a run that is to be left goes on
/// until it happens to be safe.
#[test]
fn a_run_that_is_to_continue_elsewhere_goes_on_during_a_call() {
    let call =
        json!({ "call": "http", "with": { "method": "get", "endpoint": "http://shop.example" } });
    let steps = json!([{ "race": { "fork": { "compete": true, "branches": [
        { "call": call },
        { "polls": { "do": [
            { "rest": { "wait": "PT1S" } },
            { "count": { "set": { "n": "${ .n + 1 }" } } },
            { "enough": { "switch": [{ "no": { "when": ".n < 3", "then": "rest" } }] } },
        ] } },
    ] } } }, { "last": { "wait": "PT1S" } }]);
    let mut run = Run::new(&steps, json!({ "n": 0 }), nobody);
    let mut status = run.turn();
    run.machine.leave();
    for _ in 0..3 {
        assert_eq!(status, Status::Waiting);
        let (id, end) = run
            .effects
            .iter()
            .find_map(|(id, (_, end))| Some((*id, (*end)?)))
            .unwrap();
        run.effects.remove(&id);
        run.now = end;
        run.machine.complete(id, Ok(Value::Null));
        status = run.turn();
    }
    assert_eq!(status, Status::Held);
    assert!(run.machine.position().is_some());
    run.machine.stay();
    assert_eq!(run.turn(), Status::Waiting);
    assert_eq!(run.go(), Status::Completed(json!({ "n": 3 })));
}
