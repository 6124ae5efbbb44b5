//! Tests of the consequences of attempts that ended.

use super::*;

#[test]
fn a_worker_that_does_not_start_the_pass_is_dropped_and_the_next_one_gets_it() {
    let mut machine = settled();
    machine.tick(at(1));
    machine.announce(&started("b", "1"));
    let (worker, input) = run(&mut machine);
    assert_eq!(worker, WorkerId::new("b"));
    machine.tick(at(11));
    machine.ended(&input, Attempt::NotStarted);
    let (worker, again) = run(&mut machine);
    assert_eq!((worker, again.pass), (WorkerId::new("a"), input.pass));
    machine.ended(&again, Attempt::NotStarted);
    assert_eq!(machine.next(), Next::Wait(None));
    let status = machine.status();
    assert_eq!(
        (status.state.as_str(), status.pending),
        ("waiting_for_worker", 1)
    );
    assert_eq!(
        status.last_error.as_deref(),
        Some("worker a did not start pass 2 in time and was dropped")
    );
    // It comes back, and the request is still there.
    machine.announce(&started("a", "1"));
    let (_, input) = run(&mut machine);
    assert_eq!(input.pass, 2);
    machine.ended(&input, good());
    assert_eq!(machine.status().last_error, None);
}

#[test]
fn a_refusal_updates_the_workers_and_makes_the_pass_a_full_one() {
    let mut machine = settled();
    machine.announce(&edited("a", "1", "2", &["x"]));
    let (_, input) = run(&mut machine);
    machine.ended(&input, Attempt::Refused(revision("3"), None));
    let (_, again) = run(&mut machine);
    assert_eq!(
        (again.pass, again.revision.clone(), again.only.clone()),
        (input.pass, revision("3"), None)
    );
    machine.ended(&again, good());
    // The announcement of the revision that the refusal named asks for nothing.
    machine.announce(&edited("a", "2", "3", &["y"]));
    assert!(matches!(machine.next(), Next::Wait(_)));
}

#[test]
fn a_worker_that_always_refuses_or_interrupts_is_not_asked_without_pause() {
    for attempt in [
        Attempt::Refused(revision("1"), None),
        Attempt::Done(Box::new(PassDone {
            interrupted: true,
            ..PassDone::default()
        })),
    ] {
        let mut machine = settled();
        machine.reconcile();
        let mut waits = Vec::new();
        let mut now = at(0);
        for _ in 0..8 {
            match machine.next() {
                Next::Run(_, input) => machine.ended(&input, attempt.clone()),
                Next::Wait(Some(until)) => {
                    waits.push(until.duration_since(now).as_secs());
                    now = until;
                    machine.tick(now);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(waits, [1, 2, 4], "after {attempt:?}");
    }
}

#[test]
fn a_failure_is_recorded_and_tried_again_with_a_bounded_backoff() {
    let mut machine = settled();
    machine.reconcile();
    let mut waits = Vec::new();
    let mut now = at(0);
    for _ in 0..8 {
        let (_, input) = run(&mut machine);
        assert_eq!(input.pass, 2);
        machine.ended(&input, failed());
        assert_eq!(machine.status().last_error.as_deref(), Some("no"));
        assert_eq!(machine.status().pass, 1);
        let Next::Wait(Some(until)) = machine.next() else {
            panic!("it must wait");
        };
        waits.push(until.duration_since(now).as_secs());
        now = until;
        machine.tick(now);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
}

#[test]
fn news_ends_the_wait_after_a_failure() {
    for news in [
        |machine: &mut Coordinator| machine.reconcile(),
        |machine: &mut Coordinator| machine.announce(&edited("a", "1", "2", &["x"])),
        |machine: &mut Coordinator| {
            machine.sync(&plain("r")).unwrap();
        },
    ] {
        let mut machine = settled();
        machine.reconcile();
        let (_, input) = run(&mut machine);
        machine.ended(&input, failed());
        let before = machine.news();
        assert!(matches!(machine.next(), Next::Wait(Some(_))));
        news(&mut machine);
        assert_ne!(machine.news(), before);
        run(&mut machine);
    }
}

#[test]
fn an_interrupted_pass_is_followed_by_another_of_its_kind_at_once() {
    let mut machine = settled();
    let SyncAnswer { pass } = machine.sync(&confirm("r", "digest")).unwrap();
    let (_, input) = run(&mut machine);
    machine.ended(
        &input,
        Attempt::Done(Box::new(PassDone {
            interrupted: true,
            ..PassDone::default()
        })),
    );
    assert_eq!(machine.status().pass, pass);
    let (_, again) = run(&mut machine);
    assert_eq!(
        (again.pass, again.confirm.as_deref()),
        (pass + 1, Some("digest"))
    );
}

#[test]
fn an_interrupted_pass_did_not_end_well() {
    let mut machine = fresh();
    machine.announce(&started("a", "1"));
    let (_, input) = run(&mut machine);
    machine.ended(
        &input,
        Attempt::Done(Box::new(PassDone {
            interrupted: true,
            ..PassDone::default()
        })),
    );
    assert_eq!(machine.status().last_success, None);
}

#[test]
fn replicas_that_differ_are_asked_before_a_full_pass_and_the_dead_are_dropped() {
    let mut machine = settled();
    machine.announce(&started("b", "1"));
    machine.announce(&started("c", "1"));
    machine.announce(&started("d", "1"));
    machine.announce(&edited("a", "1", "2", &["x"]));
    let Next::Probe(workers, input) = machine.next() else {
        panic!("the others must be asked");
    };
    let ids: Vec<&str> = workers.iter().map(WorkerId::as_str).collect();
    assert_eq!(ids, ["b", "c", "d"]);
    assert_eq!(
        (input.pass, input.dry_run, input.only.as_deref()),
        (0, true, Some(&[][..]))
    );
    machine.probed(&workers[0], &input, Attempt::NotStarted);
    machine.probed(&workers[1], &input, Attempt::Refused(revision("1"), None));
    machine.probed(&workers[2], &input, good());
    let (_, input) = run(&mut machine);
    assert!(input.replicas_differ, "c holds another revision");
    let status = machine.status();
    let live: Vec<&str> = status.workers.keys().map(WorkerId::as_str).collect();
    assert_eq!(live, ["a", "c", "d"]);
    assert_eq!(status.workers[&WorkerId::new("d")].revision, revision("2"));
    machine.ended(&input, good());

    // When the last one follows, the removals that waited are made.
    machine.announce(&edited("c", "1", "2", &["x"]));
    let (_, input) = run(&mut machine);
    assert!(!input.replicas_differ);
    assert_eq!(input.only, None);
}

#[test]
fn a_fast_pass_and_a_dry_run_ask_nobody_first() {
    let mut machine = settled();
    machine.announce(&started("b", "1"));
    let (_, input) = run(&mut machine);
    machine.ended(&input, good());
    machine.announce(&edited("a", "1", "2", &["x"]));
    let (_, input) = run(&mut machine);
    assert!(input.only.is_some());
    machine.ended(&input, good());
    machine.sync(&dry("r")).unwrap();
    let (_, input) = run(&mut machine);
    assert!(input.dry_run && input.replicas_differ);
}

#[test]
fn a_requested_pass_that_fails_for_good_leaves_a_report_with_the_error() {
    let mut machine = settled();
    let SyncAnswer { pass } = machine.sync(&dry("r")).unwrap();
    for _ in 0..pass_queue::ATTEMPTS {
        machine.tick(machine.now() + SignedDuration::from_secs(60));
        let (_, input) = run(&mut machine);
        machine.ended(&input, failed());
    }
    let status = machine.status();
    assert_eq!(status.pass, pass);
    let report = status.reports.last().unwrap();
    assert_eq!((report.pass, report.dry_run), (pass, true));
    assert_eq!(report.errors[0].message, "no");
}

#[test]
fn a_decision_that_panicked_loses_no_request() {
    let mut machine = settled();
    machine.reconcile();
    let (_, input) = run(&mut machine);
    machine.decision_panicked("a decision failed: boom".to_owned());
    assert!(matches!(machine.next(), Next::Wait(Some(_))));
    machine.tick(at(60));
    let (_, again) = run(&mut machine);
    assert_eq!(again.pass, input.pass);
    assert_eq!(
        machine.status().last_error.as_deref(),
        Some("a decision failed: boom")
    );
}
