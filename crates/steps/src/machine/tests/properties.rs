//! Properties that hold for any steps.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::programs::{list, task};
use super::{Run, about, nobody, read};
use crate::machine::{Effect, Fault, Machine, Standard, Status};

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

fn ran(steps: &Value, interrupted: Option<fn(&mut Machine)>) -> (Run, Status) {
    let mut run = Run::new(steps, json!({ "n": 1 }), host);
    run.interrupted = interrupted;
    let status = run.go();
    (run, status)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_same_steps_give_the_same_commands(steps in list(task(true))) {
        let ((first, status), (again, other)) = (ran(&steps, None), ran(&steps, None));
        prop_assert_eq!(first.commands, again.commands);
        prop_assert_eq!(first.log, again.log);
        prop_assert_eq!(&status, &other);
        prop_assert!(matches!(status, Status::Completed(_) | Status::Faulted(_)));
        prop_assert!(first.effects.is_empty(), "{:?}", first.effects);
    }

    #[test]
    fn a_run_that_stops_and_goes_on_ends_the_same(
        steps in list(task(false)),
        how in prop::sample::select(vec![Machine::hold as fn(&mut Machine), Machine::rest]),
    ) {
        let ((whole, status), (parts, other)) = (ran(&steps, None), ran(&steps, Some(how)));
        prop_assert_eq!(status, other);
        prop_assert_eq!(whole.elapsed(), parts.elapsed());
        prop_assert!(parts.effects.is_empty(), "{:?}", parts.effects);
    }

    /// A position of one program, given to another, makes no machine panic.
    #[test]
    fn a_position_of_other_steps_causes_no_panic(
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
            // It may wait for what never comes, or go round: that it answers is enough.
            run.go_for(100);
        }
    }

    /// A machine answers any host: results of effects that nobody asked for,
    /// events of any form, time that goes backwards.
    #[test]
    fn no_input_from_a_host_breaks_a_machine(
        steps in list(task(true)),
        results in prop::collection::vec((0..40_u64, any::<bool>(), -5..5_i64), 0..60),
    ) {
        let mut run = Run::new(&steps, json!({ "n": 1 }), host);
        for (id, good, seconds) in results {
            let outcome = if good { Ok(json!({ "n": id })) } else { Err(Standard::Runtime.fault("x")) };
            run.machine.complete(id, outcome);
            run.effects.remove(&id);
            run.machine.deliver(json!([id]));
            run.machine.deliver(json!({ "type": "t", "data": id }));
            run.now += jiff::SignedDuration::from_secs(seconds);
            let turn = run.machine.advance(run.now);
            if id % 10 == 0 {
                run.machine.hold();
            }
            prop_assert!(turn.commands.len() < 10_000);
        }
    }
}
