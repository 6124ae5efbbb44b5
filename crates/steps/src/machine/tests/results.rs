//! Results of effects: many that arrive together, and results that no turn processes before the
//! run continues in another execution.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Run, about, nobody};
use crate::machine::{Answer, Machine, Standard, Status};

/// Branches that each call a service.
fn calls(count: usize, output: &str) -> Value {
    let branches: Vec<Value> = (0..count)
        .map(|n| {
            json!({ format!("b{n}"): {
                "call": "http",
                "with": { "method": "get", "endpoint": "http://shop.example" },
                "output": { "as": output },
            } })
        })
        .collect();
    json!([{ "all": { "fork": { "branches": branches } } }])
}

/// Parsing an answer is work, so each answer is parsed only when it is processed.
#[test]
fn large_answers_that_come_together_are_read_one_after_the_other() {
    let steps = calls(20, "length");
    let mut run = Run::new(&steps, json!({}), nobody);
    assert_eq!(run.turn(), Status::Waiting);
    let answer = json!(vec![1; 200_000]).to_string();
    for id in std::mem::take(&mut run.effects).into_keys() {
        run.machine.answer(id, Ok(Answer::Json(answer.clone())));
    }
    let mut turns = 0;
    let status = loop {
        turns += 1;
        match run.turn() {
            Status::Yielded => {}
            other => break other,
        }
    };
    assert_eq!(status, Status::Completed(json!(vec![200_000; 20])));
    assert!(turns > 1, "{turns}");
    let bad = json!([{ "ask": { "call": "http", "with": { "method": "get", "endpoint": "http://shop.example" } } }]);
    let mut run = Run::new(&bad, json!({}), nobody);
    assert_eq!(run.turn(), Status::Waiting);
    let ids: Vec<_> = std::mem::take(&mut run.effects).into_keys().collect();
    run.machine.answer(ids[0], Ok(Answer::Json("{".to_owned())));
    let Status::Faulted(fault) = run.turn() else {
        panic!("it is no JSON")
    };
    assert!(
        fault.to_string().contains("the answer is not JSON"),
        "{fault}"
    );
}

/// Unprocessed results are part of the position. The resumed machine processes them in order.
#[test]
fn a_resting_run_keeps_unprocessed_results_in_its_position() {
    let steps = json!([
        { "try": {
            "try": calls(3, "${ . + 1 }"),
            "catch": { "as": "e", "do": [{ "caught": { "set": "${ $e.title }" } }] },
        } },
    ]);
    let steps = json!([{ "limited": { "do": steps, "timeout": { "after": "PT10S" } } }]);
    let ends = |third: Result<Answer, _>| {
        let mut run = Run::new(&steps, json!({}), nobody);
        assert_eq!(run.turn(), Status::Waiting);
        let mut ids = std::mem::take(&mut run.effects).into_keys();
        let (limit, first, second) = (ids.next().unwrap(), ids.next(), ids.next());
        run.machine.rest();
        run.machine
            .answer(second.unwrap(), Ok(Answer::Json("20".to_owned())));
        run.machine
            .answer(first.unwrap(), Ok(Answer::Value(json!(10))));
        assert_eq!(run.turn(), Status::Waiting);
        assert_eq!(run.machine.position(), None, "a call is under way");
        run.machine.answer(ids.next().unwrap(), third);
        // The limit passed after the last call had ended.
        run.machine.answer(limit, Ok(Answer::Value(Value::Null)));
        assert_eq!(run.turn(), Status::Held);
        assert_eq!(run.log.len(), 6, "nothing went on: {:?}", run.log);
        let position = serde_json::to_value(run.machine.position().unwrap()).unwrap();
        let position = serde_json::from_value(position).unwrap();
        run.machine = Machine::resume(Arc::clone(&run.flow), about(), position)
            .unwrap()
            .logged();
        run.now += jiff::SignedDuration::from_secs(60);
        run.go()
    };
    let done = ends(Ok(Answer::Value(json!(30))));
    assert_eq!(done, Status::Completed(json!([11, 21, 31])));
    let failed = ends(Err(Standard::Communication.fault("refused")));
    assert_eq!(failed, Status::Completed(json!("Communication Error")));
}
