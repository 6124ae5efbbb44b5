//! Tests of retention: what is kept, and for how long.

use super::*;

#[test]
fn a_repeated_request_gets_the_first_answer_in_the_next_run_too() {
    let mut machine = settled();
    let first = machine.sync(&plain("one")).unwrap();
    let (_, input) = run(&mut machine);
    machine.ended(&input, good());
    assert_eq!(machine.sync(&plain("one")).unwrap(), first);
    let mut next = Coordinator::new(machine.carried(), at(5));
    assert_eq!(next.sync(&plain("one")).unwrap(), first);
    assert_ne!(next.sync(&plain("two")).unwrap(), first);
    // Without an id every request is a new one.
    assert_ne!(next.sync(&plain("")).unwrap(), first);
    for n in 0..1000 {
        next.sync(&plain(&format!("many{n}"))).unwrap();
    }
    assert_eq!(
        next.carried().requests.len(),
        almanac_core::record::REQUESTS_KEPT
    );
}

#[test]
fn the_results_of_a_pass_are_remembered_and_forgotten_in_time() {
    let mut machine = settled();
    machine.reconcile();
    let (_, input) = run(&mut machine);
    let kept = Override {
        cron: Some(vec!["@daily".to_owned()]),
        ..Override::default()
    };
    let held = Held {
        digest: "d".to_owned(),
        reason: "too many".to_owned(),
        ids: vec!["schedule-p-x".to_owned()],
        count: 1,
    };
    let correction = BTreeMap::from([(id("x"), BTreeMap::from([(Field::Times, vec![at(0)])]))]);
    machine.ended(
        &input,
        Attempt::Done(Box::new(PassDone {
            report: Report {
                held: Some(held.clone()),
                ..Report::default()
            },
            removed: 7,
            overrides: BTreeMap::from([(id("x"), Some(kept.clone()))]),
            corrections: correction.clone(),
            ..PassDone::default()
        })),
    );
    machine.reconcile();
    let (_, input) = run(&mut machine);
    assert_eq!(input.recently_removed, 7);
    assert_eq!(input.overrides, BTreeMap::from([(id("x"), kept)]));
    assert_eq!(input.corrections, correction);
    assert_eq!(machine.status().held, Some(held));
    machine.ended(
        &input,
        Attempt::Done(Box::new(PassDone {
            overrides: BTreeMap::from([(id("x"), None)]),
            corrections: correction.clone(),
            ..PassDone::default()
        })),
    );
    assert_eq!(machine.status().held, None);
    machine.tick(at(601));
    let (_, input) = run(&mut machine);
    assert_eq!((input.recently_removed, input.overrides.len()), (0, 0));
    assert_eq!(input.corrections, correction);
    machine.ended(
        &input,
        Attempt::Done(Box::new(PassDone {
            corrections: correction,
            ..PassDone::default()
        })),
    );
    machine.tick(at(7201));
    let (_, input) = run(&mut machine);
    assert_eq!(input.corrections, BTreeMap::new());
}

#[test]
fn a_dry_run_changes_nothing_but_the_reports() {
    let mut machine = settled();
    machine.sync(&dry("r")).unwrap();
    let (_, input) = run(&mut machine);
    let before = machine.carried();
    machine.ended(
        &input,
        Attempt::Done(Box::new(PassDone {
            report: Report {
                held: Some(Held {
                    digest: "d".to_owned(),
                    reason: String::new(),
                    ids: Vec::new(),
                    count: 0,
                }),
                ..Report::default()
            },
            removed: 3,
            interrupted: true,
            overrides: BTreeMap::from([(id("x"), Some(Override::default()))]),
            corrections: BTreeMap::from([(id("x"), BTreeMap::new())]),
            announcements: None,
        })),
    );
    let after = machine.carried();
    let same = State {
        pass: after.pass,
        pending: after.pending.clone(),
        reports: after.reports.clone(),
        ..before
    };
    assert_eq!(after, same);
    assert_eq!((after.pass, after.pending.len()), (input.pass, 0));
}

#[test]
fn a_fast_pass_keeps_the_results_of_the_last_full_pass() {
    let mut machine = settled();
    machine.reconcile();
    let (_, input) = run(&mut machine);
    let held = Held {
        digest: "d".to_owned(),
        reason: String::new(),
        ids: Vec::new(),
        count: 0,
    };
    machine.ended(
        &input,
        reporting(Report {
            held: Some(held.clone()),
            ..Report::default()
        }),
    );
    let success = machine.status().last_success;
    machine.tick(at(50));
    machine.announce(&edited("a", "1", "2", &["x"]));
    let (_, input) = run(&mut machine);
    machine.ended(&input, good());
    let status = machine.status();
    assert_eq!((status.held, status.last_success), (Some(held), success));
}

#[test]
fn definition_counts_add_up_until_a_report_has_them() {
    let counts = |total, new| DefinitionCounts {
        total,
        new,
        updated: 1,
        archived: 0,
        invalid: 2,
    };
    let mut machine = settled();
    machine.announce(&started("b", "1"));
    let mut first = edited("a", "1", "2", &["x"]);
    first.definitions = counts(10, 1);
    machine.announce(&first);
    // The other worker announces the same edit.
    let mut same = edited("b", "1", "2", &["x"]);
    same.definitions = counts(10, 1);
    machine.announce(&same);
    let mut second = edited("a", "2", "3", &["y"]);
    second.definitions = counts(12, 2);
    machine.announce(&second);
    let mut machine = Coordinator::new(machine.carried(), at(1));
    machine.announce(&stopping("b"));
    let (_, input) = run(&mut machine);
    let sum = DefinitionCounts {
        total: 12,
        new: 3,
        updated: 2,
        archived: 0,
        invalid: 2,
    };
    assert_eq!(input.definitions, sum);
    let mut third = edited("a", "3", "4", &["z"]);
    third.definitions = counts(13, 1);
    machine.announce(&third);
    machine.ended(&input, good());
    let (_, input) = run(&mut machine);
    assert_eq!(input.definitions, counts(13, 1));
}

#[test]
fn a_running_pass_waits_in_the_next_run_of_the_workflow() {
    let mut machine = settled();
    machine.reconcile();
    let (_, input) = run(&mut machine);
    let mut next = Coordinator::new(machine.carried(), at(1));
    let (_, again) = run(&mut next);
    assert_eq!(again.pass, input.pass);
}

#[test]
fn a_state_from_any_client_is_bounded() {
    let long = "x".repeat(3000);
    let mut state = State {
        pass: 5,
        last_error: Some(long.clone()),
        ..State::default()
    };
    for n in 0..500_u64 {
        state.workers.insert(
            WorkerId::new(format!("w {n}\n")),
            almanac_core::record::WorkerState::default(),
        );
        state.pending.push_back(PendingPass {
            pass: 500 - n,
            ..PendingPass::default()
        });
    }
    for _ in 0..20 {
        state.reports.push_back(Report {
            errors: vec![
                almanac_core::record::ReportError {
                    message: long.clone(),
                    ..almanac_core::record::ReportError::default()
                };
                200
            ],
            ..Report::default()
        });
    }
    let machine = Coordinator::new(state, at(0));
    let state = machine.carried();
    assert!(state.workers.is_empty(), "their names make no queue");
    assert_eq!(state.pending.len(), PENDING_KEPT);
    let numbers: Vec<u64> = state.pending.iter().map(|p| p.pass).collect();
    assert!(numbers.is_sorted() && numbers[0] == 6, "{numbers:?}");
    assert!(state.reports.len() <= REPORTS_KEPT);
    assert!(serde_json::to_vec(&state).unwrap().len() <= 1024 * 1024);
    assert_eq!(state.reports.back().unwrap().truncated, 100);
}
