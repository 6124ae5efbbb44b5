//! Waits and limits.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Host, Run, fault, nobody};
use crate::machine::{Entry, Machine, Status};

#[test]
fn waits_take_their_time() {
    let steps = json!([
        { "a": { "wait": { "minutes": 1, "seconds": 30 } } },
        { "b": { "wait": "PT0S" } },
        { "c": { "wait": "${ .pause }" } },
    ]);
    let mut run = Run::new(&steps, json!({ "pause": "PT5S" }), nobody);
    assert_eq!(run.go(), Status::Completed(json!({ "pause": "PT5S" })));
    assert_eq!(run.elapsed().as_secs(), 95);
    assert_eq!(run.commands.len(), 2, "a wait of nothing asks for nothing");
    insta::assert_snapshot!(fault(&steps, json!({ "pause": "soon" })), @"Expression Error (status 400, at /do/2/c): `.pause` must be a duration like `PT5S` or `{ seconds: 5 }` of at most 36500 days, not the text `soon`");
}

#[test]
fn a_limit_stops_the_task_with_all_that_is_in_it() {
    let steps = json!([{ "guard": { "try": [{ "slow": {
        "timeout": { "after": "PT5S" },
        "try": [{ "both": { "fork": { "branches": [{ "a": { "wait": "PT1H" } }, { "b": { "wait": "PT2H" } }] } } }],
        "catch": { "do": [{ "never": { "set": { "x": 1 } } }] },
    } }], "catch": { "errors": { "with": { "type": "https://serverlessworkflow.io/spec/1.0.0/errors/timeout", "status": 408 } }, "do": [{ "note": { "set": { "at": "${ $error.instance }" } } }] } } }]);
    let mut run = Run::new(&steps, json!({}), nobody);
    assert_eq!(
        run.go(),
        Status::Completed(json!({ "at": "/do/0/guard/try/0/slow" }))
    );
    assert_eq!(run.elapsed().as_secs(), 5);
    assert!(run.effects.is_empty());
}

#[test]
fn a_limit_that_was_not_reached_has_no_effect() {
    let steps = json!([{ "a": { "timeout": { "after": "PT5S" }, "wait": "PT1S" } }, { "b": { "wait": "PT1M" } }]);
    let mut run = Run::new(&steps, json!({}), nobody);
    assert_eq!(run.go(), Status::Completed(json!({})));
}

#[test]
fn a_run_has_a_limit() {
    let steps = json!({ "timeout": { "after": "PT1H" }, "do": [{ "a": { "wait": "PT59M" } }, { "b": { "wait": "PT59M" } }] });
    let mut run = Run::new(&steps, json!({}), nobody);
    let Status::Faulted(fault) = run.go() else {
        unreachable!()
    };
    insta::assert_snapshot!(fault, @"Timeout Error (status 408, at /): the run took longer than its limit");
    assert_eq!(run.elapsed().as_secs(), 3600);
    assert!(run.effects.is_empty());
}

#[test]
fn each_attempt_has_a_limit_and_the_retries_together() {
    let steps = json!([{ "t": {
        "try": [{ "slow": { "wait": "PT1M" } }],
        "catch": { "retry": { "delay": "PT1S", "limit": { "attempt": { "count": 2, "duration": "PT10S" } } } },
    } }]);
    let mut run = Run::new(&steps, json!({}), nobody);
    let Status::Faulted(fault) = run.go() else {
        unreachable!()
    };
    insta::assert_snapshot!(fault, @"Timeout Error (status 408, at /do/0/t): the attempt took longer than its limit");
    assert_eq!(run.began(), ["t", "slow", "slow", "slow"]);
    let failed = |entry: &&Entry| matches!(entry, Entry::Faulted { task, .. } if task == "/do/0/t");
    assert_eq!(
        run.log.iter().filter(failed).count(),
        3,
        "each failure is recorded"
    );
    assert_eq!(run.elapsed().as_secs(), 32);
}

#[test]
fn a_timer_goes_on_with_its_remaining_time() {
    let steps = json!([{ "a": { "timeout": { "after": "PT1H" }, "wait": "PT10M" } }, { "b": { "wait": "PT1M" } }]);
    let mut run = Run::new(&steps, json!({}), nobody);
    assert_eq!(run.turn(), Status::Waiting);
    run.now += jiff::SignedDuration::from_mins(4);
    run.machine.hold();
    assert_eq!(run.turn(), Status::Held);
    run.interrupt(Machine::hold);
    let minutes: Vec<Value> = run
        .effects
        .values()
        .map(|(effect, _)| {
            serde_json::to_value(effect).unwrap()["timer"]["duration"]["secs"].clone()
        })
        .collect();
    assert_eq!(minutes, [json!(56 * 60), json!(6 * 60)]);
    assert_eq!(run.go(), Status::Completed(json!({})));
    assert_eq!(run.elapsed().as_secs(), 11 * 60);
}

/// A branch with always more to do keeps nothing else of its run from going on.
#[test]
fn a_branch_that_computes_without_an_end_delays_no_other() {
    let again = json!([{ "again": { "set": { "x": 1 }, "then": "again" } }]);
    let ends = |steps: &Value, host: Host| {
        let mut run = Run::new(steps, json!({ "n": 1 }), host);
        run.turn_takes = Duration::from_secs(1);
        (run.go(), run.elapsed().as_secs())
    };
    let limited = json!([{ "spin": { "timeout": { "after": "PT10S" }, "do": again } }]);
    let (Status::Faulted(fault), 10) = ends(&limited, nobody) else {
        panic!("it has no limit")
    };
    insta::assert_snapshot!(fault, @"Timeout Error (status 408, at /do/0/spin): the task took longer than its limit");

    let race = |other: Value| json!([{ "race": { "fork": { "compete": true, "branches": [{ "spin": { "do": again } }, { "other": other }] } } }]);
    let waits = race(json!({ "wait": "PT3S" }));
    assert_eq!(
        ends(&waits, nobody),
        (Status::Completed(json!({ "n": 1 })), 3)
    );
    let calls = race(
        json!({ "call": "http", "with": { "method": "get", "endpoint": "http://shop.example" } }),
    );
    let answers: Host = |_| Ok(json!("answered"));
    assert_eq!(
        ends(&calls, answers),
        (Status::Completed(json!("answered")), 1)
    );
}

/// A run that computes may go on in a new execution before any
/// timer of the last one could end.
#[test]
fn a_limit_passes_while_the_run_goes_on_elsewhere_again_and_again() {
    let again = json!([{ "again": { "set": { "x": 1 }, "then": "again" } }]);
    let ends = |steps: &Value| {
        let mut run = Run::new(steps, json!({ "n": 1 }), nobody);
        let mut status = run.turn();
        while status == Status::Yielded && run.elapsed().as_secs() < 60 {
            run.now += Duration::from_secs(1);
            status = run.interrupt(Machine::hold);
        }
        (status, run.elapsed().as_secs(), run.effects.len())
    };
    // The inner limit passes last, the other wait never.
    let limited = json!([{ "all": { "timeout": { "after": "PT10S" }, "do": [{ "both": { "fork": { "branches": [
        { "spin": { "timeout": { "after": "PT10S" }, "do": again } },
        { "rest": { "wait": "PT11S" } },
    ] } } }] } }]);
    let (Status::Faulted(fault), 10, 0) = ends(&limited) else {
        panic!("it has no limit")
    };
    insta::assert_snapshot!(fault, @"Timeout Error (status 408, at /do/0/all): the task took longer than its limit");
    let race = json!([{ "race": { "fork": { "compete": true, "branches": [{ "spin": { "do": again } }, { "rest": { "wait": "PT3S" } }] } } }]);
    assert_eq!(ends(&race), (Status::Completed(json!({ "n": 1 })), 3, 0));
}

/// Each of many branches has work to do when its wait ends; all end at once.
fn together(count: usize) -> Run {
    let branches: Vec<Value> = (0..count)
        .map(|n| {
            json!({ format!("b{n}"): {
                "wait": "PT2S",
                "output": { "as": "${ reduce range(20000) as $i (0; . + $i) }" },
            } })
        })
        .collect();
    let steps = json!([{ "all": { "fork": { "branches": branches } } }]);
    let mut run = Run::new(&steps, json!({}), nobody);
    assert_eq!(run.turn(), Status::Waiting);
    run.now += jiff::SignedDuration::from_secs(2);
    run.answer_ready();
    run
}

/// The work of results that come together is spread over turns.
#[test]
fn a_turn_is_bounded_when_much_ends_at_once() {
    let mut run = together(20);
    let mut turns = 0;
    let status = loop {
        let turn = run.machine.advance(run.now);
        turns += 1;
        assert!(turn.work <= 2_000_000, "{}", turn.work);
        match turn.status {
            Status::Yielded => {}
            other => break other,
        }
    };
    assert!(turns > 2, "{turns}");
    assert_eq!(
        status,
        Status::Completed(json!(vec![199_990_000; 20])),
        "each was done"
    );
}

/// A run can be left while many branches end at once, and continues with all of them.
#[test]
fn a_run_is_left_while_much_ends_at_once() {
    let mut run = together(80);
    assert_eq!(run.turn(), Status::Yielded);
    run.machine.leave();
    assert_eq!(run.turn(), Status::Held);
    run.interrupted = Some(Machine::hold);
    let mut parts = 1;
    let ended = loop {
        match run.interrupt(Machine::hold) {
            Status::Yielded => parts += 1,
            other => break other,
        }
    };
    assert!(parts > 1, "{parts}");
    assert_eq!(ended, Status::Completed(json!(vec![199_990_000; 80])));
}

/// The limit of all attempts ends the one that is under way.
#[test]
fn the_limit_of_a_retry_ends_an_attempt() {
    let steps = json!([{ "t": {
        "try": [
            { "first": { "if": "$context.n == null", "set": { "x": 1 }, "export": { "as": "{ n: 1 }" }, "then": "bad" } },
            { "slow": { "wait": "PT1H" } },
            { "bad": { "raise": { "error": { "type": "https://x.example/y", "status": 500 } } } },
        ],
        "catch": { "retry": { "delay": { "seconds": 2 }, "limit": { "duration": { "seconds": 10 } } } },
    } }]);
    let mut run = Run::new(&steps, json!({}), nobody);
    let Status::Faulted(fault) = run.go() else {
        panic!("it takes an hour")
    };
    insta::assert_snapshot!(fault, @"Timeout Error (status 408, at /do/0/t): the attempts together took longer than their limit");
    assert_eq!(run.elapsed().as_secs(), 10);
    let is_recorded = |entry: &Entry| matches!(entry, Entry::Faulted { task, fault: recorded } if task == "/do/0/t" && *recorded == fault);
    assert!(
        run.log.iter().any(is_recorded),
        "the failure is recorded: {:?}",
        run.log
    );
}
