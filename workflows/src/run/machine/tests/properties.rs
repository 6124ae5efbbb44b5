//! What holds for any steps.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Run, about, nobody, read};
use crate::run::machine::{Effect, Fault, Machine, Standard, Status};

/// Activities fail now and then, by their argument.
fn host(effect: &Effect) -> Result<Value, Fault> {
    match effect {
        Effect::Activity(request) => {
            let n = request
                .arguments
                .first()
                .and_then(Value::as_u64)
                .unwrap_or(0);
            if n % 3 == 0 {
                Err(Standard::Communication.fault("refused"))
            } else {
                Ok(json!({ "n": n + 1, "called": true }))
            }
        }
        other => nobody(other),
    }
}

/// A task, its list's length to come.
fn task(racy: bool) -> impl Strategy<Value = Value> {
    let n = 0..6_u64;
    let leaf = prop_oneof![
        n.clone().prop_map(|n| json!({ "set": { "n": n, "before": "${ .n }" } })),
        n.clone().prop_map(|n| json!({ "set": { "n": format!("${{ .n + {n} }}"), "item": "${ . }" }, "input": { "from": "{ n: .n }" } })),
        n.clone().prop_map(|n| json!({ "wait": { "seconds": n } })),
        n.clone().prop_map(|n| json!({ "call": "activity", "with": { "name": "A", "task_queue": "q", "arguments": [n] } })),
        Just(json!({ "emit": { "event": { "with": { "type": "t", "id": "e", "data": "${ . }" } } } })),
        n.clone().prop_map(|n| json!({ "if": format!(".n == {n}"), "set": { "n": 0 } })),
        n.clone().prop_map(|n| json!({ "raise": { "error": { "type": "https://x.org/e", "status": 400 + n } } })),
        n.clone().prop_map(|n| json!({ "timeout": { "after": { "seconds": n } }, "wait": "PT3S" })),
        Just(json!({ "set": { "n": 1 }, "output": { "as": ".n.x" } })),
    ];
    leaf.prop_recursive(4, 24, 3, move |inner| {
        let list = list(inner.clone());
        // What one branch does must not depend on how far another is.
        let calm = list.clone().prop_map(move |tasks| {
            if racy {
                json!({ "do": tasks })
            } else {
                json!({ "try": tasks, "catch": { "do": [{ "calm": { "set": { "n": "${ $error.status }" } } }] } })
            }
        });
        let branches = prop::collection::vec(calm, 1..4);
        prop_oneof![
            list.clone().prop_map(|tasks| json!({ "do": tasks })),
            list.clone().prop_map(|tasks| json!({ "for": { "in": [1, 2, 3] }, "while": "$item != 3", "do": tasks })),
            (branches, any::<bool>()).prop_map(move |(branches, compete)| {
                let branches: Vec<Value> = branches
                    .into_iter()
                    .enumerate()
                    .map(|(index, task)| json!({ format!("b{index}"): without_end(task, racy) }))
                    .collect();
                json!({ "fork": { "branches": branches, "compete": compete && racy } })
            }),
            (list.clone(), list.clone()).prop_map(|(tasks, handler)| json!({ "try": tasks, "catch": { "do": handler } })),
            (list.clone(), 0..3_u64).prop_map(|(tasks, count)| json!({
                "try": tasks,
                "catch": { "retry": { "delay": { "seconds": 2 }, "backoff": { "linear": {} }, "limit": { "attempt": { "count": count, "duration": "PT9S" } } } },
            })),
            (list, 1..20_u64).prop_map(|(tasks, limit)| json!({ "do": tasks, "timeout": { "after": { "seconds": limit } } })),
        ]
    })
}

/// A branch that ends no run, and is not stopped by a limit while it is held:
/// who is first would count.
fn without_end(mut task: Value, racy: bool) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(map) => {
                if map.get("then").is_some_and(|then| then == "end") {
                    map.remove("then");
                }
                map.values_mut().for_each(walk);
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    if !racy {
        walk(&mut task);
    }
    task
}

/// A list whose directives lead forward, so that it ends.
fn list(task: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    let step = (task, 0..12_usize);
    prop::collection::vec(step, 1..4)
        .prop_map(|steps| {
            let count = steps.len();
            let tasks = steps
                .into_iter()
                .enumerate()
                .map(|(index, (mut task, then))| {
                    let then = match then {
                        0 => Some("exit".to_owned()),
                        1 => Some("end".to_owned()),
                        2 if index + 2 < count => Some(format!("t{}", index + 2)),
                        _ => None,
                    };
                    if let (Some(then), Some(map)) = (then, task.as_object_mut()) {
                        map.insert("then".to_owned(), Value::from(then));
                    }
                    Value::Object(Map::from_iter([(format!("t{index}"), task)]))
                });
            tasks.collect::<Value>()
        })
        .boxed()
}

fn ran(steps: &Value, interrupted: bool) -> (Run, Status) {
    let mut run = Run::new(steps, json!({ "n": 1 }), host);
    run.interrupted = interrupted;
    let status = run.go();
    (run, status)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_same_steps_give_the_same_commands(steps in list(task(true))) {
        let ((first, status), (again, other)) = (ran(&steps, false), ran(&steps, false));
        prop_assert_eq!(first.commands, again.commands);
        prop_assert_eq!(first.log, again.log);
        prop_assert_eq!(&status, &other);
        prop_assert!(matches!(status, Status::Completed(_) | Status::Faulted(_)));
        prop_assert!(first.effects.is_empty(), "{:?}", first.effects);
    }

    #[test]
    fn a_run_that_stops_and_goes_on_ends_the_same(steps in list(task(false))) {
        let ((whole, status), (parts, other)) = (ran(&steps, false), ran(&steps, true));
        prop_assert_eq!(status, other);
        prop_assert_eq!(whole.elapsed(), parts.elapsed());
        prop_assert!(parts.effects.is_empty(), "{:?}", parts.effects);
    }

    /// A position of one program, given to another, makes no machine panic.
    #[test]
    fn a_position_of_other_steps_breaks_nothing(
        steps in list(task(true)), other in list(task(true)), turns in 0..6_usize,
    ) {
        let mut run = Run::new(&steps, json!({ "n": 1 }), host);
        for _ in 0..turns {
            run.turn();
            run.answer();
        }
        run.machine.hold();
        while run.turn() == Status::Waiting && run.answer() {}
        let position = run.machine.position().cloned();
        if let Some(position) = position
            && let Ok(machine) = Machine::resume(read(&other), about(), position)
        {
            run.machine = machine;
            run.effects.clear();
            // It may wait for what never comes; that it answers is enough.
            run.go();
        }
    }

    /// Whatever a host does, a machine answers: results of effects that nobody
    /// asked for, events of any form, time that goes backwards.
    #[test]
    fn nothing_that_is_told_breaks_a_machine(
        steps in list(task(true)),
        told in prop::collection::vec((0..40_u64, any::<bool>(), -5..5_i64), 0..60),
    ) {
        let mut run = Run::new(&steps, json!({ "n": 1 }), host);
        for (id, good, seconds) in told {
            let outcome = if good { Ok(json!({ "n": id })) } else { Err(Standard::Runtime.fault("x")) };
            run.machine.complete(id, outcome);
            run.effects.remove(&id);
            run.machine.deliver(json!([id]));
            run.now += jiff::SignedDuration::from_secs(seconds);
            let turn = run.machine.advance(&super::Jq, run.now);
            if id % 10 == 0 {
                run.machine.hold();
            }
            prop_assert!(turn.commands.len() < 10_000);
        }
    }
}
