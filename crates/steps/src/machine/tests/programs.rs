//! Random steps that end. The end-to-end tests run such steps too.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A task, its list's length to come.
pub(super) fn task(racy: bool) -> impl Strategy<Value = Value> {
    let n = 0..6_u64;
    let leaf = prop_oneof![
        n.clone().prop_map(|n| json!({ "set": { "n": n, "before": "${ .n }" } })),
        n.clone().prop_map(|n| json!({ "set": { "n": format!("${{ .n + {n} }}"), "item": "${ . }" }, "input": { "from": "{ n: .n }" } })),
        n.clone().prop_map(|n| json!({ "wait": { "seconds": n } })),
        n.clone().prop_map(|n| json!({ "call": "activity", "with": { "name": "A", "task_queue": "q", "arguments": [n] } })),
        Just(json!({ "emit": { "event": { "with": { "type": "t", "id": "e", "data": "${ . }" } } } })),
        (n.clone(), any::<bool>()).prop_map(move |(n, many)| listen(n, many, racy)),
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

/// Listens for a while: to what steps emit, or, where it must not matter who is
/// first, to what nobody does.
fn listen(seconds: u64, many: bool, racy: bool) -> Value {
    let with = json!({ "with": { "type": if racy { "t" } else { "never" } } });
    let mut task = if many {
        json!({
            "listen": { "to": { "any": [with], "until": "(. | length) == 2" } },
            "foreach": { "do": [{ "note": { "wait": { "seconds": 1 } } }], "output": { "as": "$index" } },
        })
    } else {
        json!({ "listen": { "to": { "one": with }, "read": "envelope" }, "output": { "as": "{ n: length }" } })
    };
    task["timeout"] = json!({ "after": { "seconds": 1 + seconds } });
    task
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
pub(super) fn list(task: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
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
