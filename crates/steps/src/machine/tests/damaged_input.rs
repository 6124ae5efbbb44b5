//! Damaged steps, positions and answers: each is refused, or runs without a panic.

use std::sync::Arc;

use almanac_core::definition::yaml_value;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{about, read};
use crate::language::{self, Flow};
use crate::machine::{Command, Effect, EffectId, Machine, Standard, Status};

/// Every task, with most of its keys; tests of definitions read it too.
const EVERY_STEP: &str = include_str!("../../language/tests/every_step.yaml");

/// Turns of a run that may never end: it is left to itself after these.
const TURNS: usize = 60;
/// The same for expressions that take long: debug builds do a million steps a second.
const WORK: u64 = 5_000_000;

/// Values that stand where others should.
fn junk() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(""),
        json!("${ . }"),
        json!("${ .. | .a? }"),
        json!("${ ["),
        json!(".n"),
        json!("exit"),
        json!("end"),
        json!("fetch"),
        json!("PT0S"),
        json!("P9999999D"),
        json!([]),
        json!({}),
        json!([{ "a": { "set": { "x": 1 } } }]),
        json!([{ "a": {} }, { "a": {} }]),
        json!({ "do": [] }),
        json!({ "wait": { "days": 1 } }),
        json!({ "error": "late" }),
        json!({ "seconds": 1 }),
    ])
}

/// Damage: at which value of the whole, what stands there instead, and whether
/// its neighbour does.
fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, Value, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), junk(), 0..5_u8), 1..5)
}

fn damaged(mut whole: Value, damage: Vec<(prop::sample::Index, Value, u8)>) -> Value {
    for (at, junk, kind) in damage {
        let places = places(&whole);
        let place = &places[at.index(places.len())];
        let other = &places[at.index(places.len().div_ceil(2))];
        let moved = whole.pointer(other).cloned().unwrap_or_default();
        let Some(value) = whole.pointer_mut(place) else {
            continue;
        };
        match (kind, &mut *value) {
            (0, Value::Object(map)) if !map.is_empty() => {
                let key = map.keys().next().cloned().unwrap_or_default();
                map.remove(&key);
            }
            (1, Value::Object(map)) => {
                map.insert("then".to_owned(), junk);
            }
            (2, Value::Array(items)) => items.reverse(),
            (3, _) => *value = moved,
            _ => *value = junk,
        }
    }
    whole
}

/// The pointers to all values.
fn places(value: &Value) -> Vec<String> {
    fn walk(value: &Value, at: &str, into: &mut Vec<String>) {
        into.push(at.to_owned());
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    walk(value, &format!("{at}/{key}"), into);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    walk(value, &format!("{at}/{index}"), into);
                }
            }
            _ => {}
        }
    }
    let mut into = Vec::new();
    walk(value, "", &mut into);
    into
}

/// Turns with answers of any form, until the run ends, waits for nobody, or has
/// gone on for long. Its commands.
fn go(machine: &mut Machine, answers: &[Value]) -> (Vec<Command>, Option<Status>) {
    let mut now = Timestamp::UNIX_EPOCH;
    let mut under_way: Vec<EffectId> = Vec::new();
    let mut all = Vec::new();
    let mut work = 0;
    for turn in 0..TURNS {
        let answered = machine.advance(now);
        work += answered.work;
        if work > WORK {
            break;
        }
        for command in &answered.commands {
            match command {
                Command::Start {
                    effect: Effect::Listen { .. },
                    ..
                } => {}
                Command::Start { id, .. } => under_way.push(*id),
                Command::Cancel { id } => under_way.retain(|one| one != id),
            }
        }
        all.extend(answered.commands);
        match answered.status {
            Status::Yielded => {}
            Status::Waiting if under_way.is_empty() => return (all, Some(Status::Waiting)),
            Status::Waiting => {
                let id = under_way.remove(turn % under_way.len());
                let answer = answers.get(turn % answers.len().max(1)).cloned();
                machine.complete(id, answer.ok_or_else(|| Standard::Runtime.fault("none")));
                machine.deliver(json!({ "type": "x", "id": turn }));
            }
            over => return (all, Some(over)),
        }
        now += jiff::SignedDuration::from_secs(1);
    }
    (all, None)
}

fn input() -> Value {
    json!({ "a": { "go": true, "pets": [1, 2], "more": true, "n": 1, "pause": "PT1S", "doc": "https://x.org" } })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Each problem is at a place of the steps, and says something.
    #[test]
    fn damaged_steps_are_refused_or_run_and_twice_the_same(
        damage in damage(), answers in prop::collection::vec(junk(), 0..4),
    ) {
        let steps = damaged(yaml_value(EVERY_STEP).unwrap(), damage);
        let flow: Arc<Flow> = match language::parse(&steps) {
            Ok(flow) => Arc::new(flow),
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    prop_assert!(!problem.message.is_empty() && problem.to_string().len() < 2000);
                }
                return Ok(());
            }
        };
        let run = || {
            let mut machine = Machine::start(Arc::clone(&flow), about(), input(), Timestamp::UNIX_EPOCH);
            go(&mut machine, &answers)
        };
        prop_assert_eq!(run(), run());
    }

    /// A run of which somebody made up where it was.
    #[test]
    fn a_damaged_position_is_refused_or_goes_on(
        damage in damage(), turns in 0..6_usize, answers in prop::collection::vec(junk(), 1..4),
    ) {
        let mut steps = yaml_value(EVERY_STEP).unwrap();
        // What it calls first would end it.
        steps["do"][0]["fetch"]["if"] = json!(".never");
        let flow = read(&steps);
        let mut machine = Machine::start(Arc::clone(&flow), about(), input(), Timestamp::UNIX_EPOCH);
        let mut under_way = Vec::new();
        for _ in 0..turns {
            for command in machine.advance(Timestamp::UNIX_EPOCH).commands {
                if let Command::Start { id, .. } = command {
                    under_way.push(id);
                }
            }
            under_way.drain(..).for_each(|id| machine.complete(id, Ok(json!({ "n": 1 }))));
        }
        machine.hold();
        machine.advance(Timestamp::UNIX_EPOCH);
        let Some(position) = machine.position() else {
            return Ok(());
        };
        let position = damaged(serde_json::to_value(position).unwrap(), damage);
        if let Ok(position) = serde_json::from_value(position)
            && let Ok(mut machine) = Machine::resume(flow, about(), position)
        {
            go(&mut machine, &answers);
        }
    }
}

/// An effect of the run itself is at no depth: counting up to a made-up one would
/// never end.
#[test]
fn an_effect_of_the_run_itself_at_some_depth_is_refused() {
    let mut steps = yaml_value(EVERY_STEP).unwrap();
    steps["timeout"] = json!({ "after": { "hours": 1 } });
    let flow = read(&steps);
    let mut machine = Machine::start(Arc::clone(&flow), about(), input(), Timestamp::UNIX_EPOCH);
    machine.hold();
    machine.advance(Timestamp::UNIX_EPOCH);
    let position = serde_json::to_value(machine.position().unwrap()).unwrap();
    let resume = |position| {
        let position = serde_json::from_value(position).unwrap();
        Machine::resume(Arc::clone(&flow), about(), position)
    };
    assert!(resume(position.clone()).is_ok());
    let mut changed = 0;
    for pending in position["pending"].as_object().unwrap().keys() {
        let mut position = position.clone();
        let pending = &mut position["pending"][pending];
        if pending["thread"] == u64::MAX {
            pending["depth"] = json!(u64::MAX);
            assert!(resume(position).is_err());
            changed += 1;
        }
    }
    assert!(changed > 0, "{position}");
}
