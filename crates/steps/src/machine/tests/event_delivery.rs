//! The delivery of events and results: each is processed once, with any consequences.

use serde_json::{Value, json};

use super::{Run, nobody};
use crate::machine::{Status, TASKS_PER_TURN, WORK_PER_TASK, WORK_PER_TURN};

fn event(n: usize) -> Value {
    json!({ "specversion": "1.0", "id": n.to_string(), "source": "test", "type": "t", "data": n })
}

/// Delivers events 1 to `count` at once, and goes on.
fn deliver_and_go(run: &mut Run, count: usize) -> Status {
    assert_eq!(run.go(), Status::Waiting);
    for n in 1..=count {
        run.machine.deliver(event(n));
    }
    run.go()
}

fn tried(listen: &Value) -> Run {
    let steps = json!([{ "again": {
        "try": [{ "hear": listen }],
        "catch": { "retry": { "delay": "PT1S", "limit": { "attempt": { "count": 3 } } } },
    } }]);
    Run::new(&steps, json!({}), nobody)
}

#[test]
fn events_that_a_failed_step_had_taken_are_left_for_the_next() {
    let mut run = tried(&json!({
        "listen": { "to": { "any": [], "until": "(. | length) == 4" } },
        "foreach": { "item": "e", "do": [
            { "pause": { "wait": "PT2S" } },
            { "bad": { "if": "$e == 1", "raise": { "error": { "type": "https://x.example/bad", "status": 500 } } } },
            { "got": { "set": "${ $e }" } },
        ] },
    }));
    assert_eq!(
        deliver_and_go(&mut run, 5),
        Status::Completed(json!([2, 3, 4, 5]))
    );
}

#[test]
fn an_event_that_a_step_fails_on_is_not_delivered_again() {
    let one = json!({
        "listen": { "to": { "one": { "with": { "type": "t" } } } },
        "output": { "as": "if .[0] == 1 then error(\"bad\") else . end" },
    });
    let each = json!({
        "listen": { "to": { "any": [], "until": "(. | length) == 1" } },
        "foreach": { "item": "e", "output": { "as": "if $e == 1 then error(\"bad\") else $e end" } },
    });
    for listen in [one, each] {
        assert_eq!(
            deliver_and_go(&mut tried(&listen), 2),
            Status::Completed(json!([2])),
            "one that is heard"
        );
        let mut run = tried(&listen);
        run.machine.deliver(event(1));
        run.machine.deliver(event(2));
        assert_eq!(
            run.go(),
            Status::Completed(json!([2])),
            "one that has waited"
        );
    }
}

#[test]
fn many_listeners_of_an_event_are_spread_over_turns() {
    let branches: Vec<Value> = (0..60)
        .map(|n| {
            json!({ format!("b{n}"): {
                "listen": { "to": { "one": { "with": { "type": "t" } } } },
                "output": { "as": "[limit(20000; range(100000))] | length" },
            } })
        })
        .collect();
    let steps = json!([{ "all": { "fork": { "branches": branches } } }]);
    let mut run = Run::new(&steps, json!({}), nobody);
    assert_eq!(run.go(), Status::Waiting);
    run.machine.deliver(event(1));
    let (mut turns, mut all) = (0, 0);
    let status = loop {
        turns += 1;
        let turn = run.machine.advance(run.now);
        assert!(
            turn.work <= WORK_PER_TURN + WORK_PER_TASK,
            "{} in one",
            turn.work
        );
        all += turn.work;
        match turn.status {
            Status::Yielded => {}
            other => break other,
        }
    };
    assert!(turns > 1 && all > WORK_PER_TURN, "{turns} turns of {all}");
    assert_eq!(status, Status::Completed(json!(vec![20_000; 60])));
}

/// The end of the last step of a list is the list's end, before the limit that
/// was delivered together with it.
#[test]
fn the_consequences_of_a_result_come_before_the_next_result() {
    let steps = json!([{ "limited": {
        "do": [{ "call": { "call": "http", "with": { "method": "get", "endpoint": "http://shop.example" } } }],
        "timeout": { "after": "PT10S" },
    } }]);
    for in_time in [true, false] {
        let mut run = Run::new(&steps, json!({}), nobody);
        assert_eq!(run.turn(), Status::Waiting);
        let mut pending: Vec<_> = std::mem::take(&mut run.effects).into_keys().collect();
        if in_time {
            pending.reverse();
        }
        for id in pending {
            run.machine.complete(id, Ok(json!(1)));
        }
        match run.turn() {
            Status::Completed(output) => assert!(in_time && output == json!(1)),
            Status::Faulted(fault) => assert!(!in_time && fault.status == 408, "{fault}"),
            other => panic!("{other:?}"),
        }
    }
}

/// A loop does not keep the run from handling results: each turn ends after a limit.
#[test]
fn a_loop_without_an_end_does_not_keep_a_limit_from_passing() {
    let steps = json!([{ "limited": {
        "do": [{ "spin": { "set": { "x": 1 }, "then": "spin" } }],
        "timeout": { "after": "PT1S" },
    } }]);
    let mut run = Run::new(&steps, json!({}), nobody);
    for _ in 0..3 {
        assert_eq!(run.turn(), Status::Yielded);
    }
    assert!(run.log.len() >= 3 * TASKS_PER_TURN);
    let limit = *run.effects.keys().next().unwrap();
    run.effects.clear();
    run.machine.complete(limit, Ok(Value::Null));
    assert!(matches!(run.turn(), Status::Faulted(fault) if fault.status == 408));
}

/// Anybody sends events: what one takes to be looked at fails no run.
#[test]
fn an_event_whose_filters_exceed_the_limit_matches_no_filter() {
    let filters: Vec<Value> = (0..200)
        .map(|n| json!({ "with": { "data": format!("${{ any(.items[]?; . == \"x{n}\") }}") } }))
        .collect();
    let steps = json!([{ "hear": { "listen": { "to": { "any": filters } } } }]);
    for late in [false, true] {
        let mut run = Run::new(&steps, json!({}), nobody);
        if late {
            assert_eq!(run.go(), Status::Waiting);
        }
        let mut heavy = event(1);
        heavy["data"] = json!({ "items": vec!["x199"; 10_000] });
        run.machine.deliver(heavy);
        assert_eq!(run.go(), Status::Waiting);
        let mut light = event(2);
        light["data"] = json!({ "items": ["x7"] });
        run.machine.deliver(light);
        assert_eq!(run.go(), Status::Completed(json!([{ "items": ["x7"] }])));
    }
}

#[test]
fn the_newest_events_are_dropped_first() {
    let steps = json!([
        { "rest": { "wait": "PT1S" } },
        { "hear": { "listen": { "to": { "any": [], "until": "(. | length) == 3" } } } },
    ]);
    let mut run = Run::new(&steps, json!({}), nobody);
    assert_eq!(run.turn(), Status::Waiting);
    for n in 1..=5 {
        run.machine.deliver(event(n));
    }
    assert_eq!(run.turn(), Status::Waiting);
    run.machine.deliver(event(6));
    let one = event(1).to_string().len();
    assert_eq!(run.machine.give_up(2 * one + 1), 3);
    assert_eq!(run.go(), Status::Completed(json!([1, 2, 3])));
    assert_eq!(run.machine.give_up(1), 0);
}
