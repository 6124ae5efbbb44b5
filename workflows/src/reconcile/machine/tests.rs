use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::names::DefinitionId;
use crate::record::{
    DefinitionCounts, Held, Options, Override, PENDING_KEPT, REPORTS_KEPT, Report, WORKERS_KEPT,
};
use crate::schedule::Field;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn revision(text: &str) -> Revision {
    serde_json::from_value(text.into()).unwrap()
}

fn id(text: &str) -> DefinitionId {
    text.parse().unwrap()
}

fn says(worker: &str, event: WorkerEvent, previous: Option<&str>, holds: &str) -> Announcement {
    Announcement {
        worker: WorkerId::new(worker),
        event,
        previous: previous.map(revision),
        revision: revision(holds),
        options: Options::default(),
        version: String::new(),
        changed: None,
        definitions: DefinitionCounts::default(),
        event_types: DefinitionCounts::default(),
    }
}

fn started(worker: &str, holds: &str) -> Announcement {
    says(worker, WorkerEvent::Started, None, holds)
}

fn edited(worker: &str, previous: &str, holds: &str, ids: &[&str]) -> Announcement {
    Announcement {
        changed: Some(ids.iter().map(|text| id(text)).collect()),
        ..says(worker, WorkerEvent::Changed, Some(previous), holds)
    }
}

fn stopping(worker: &str) -> Announcement {
    says(worker, WorkerEvent::Stopping, None, "")
}

fn fresh() -> Machine {
    Machine::new(State::default(), at(0))
}

/// A machine that did its first pass with worker `a` at revision 1.
fn settled() -> Machine {
    let mut machine = fresh();
    machine.announce(&started("a", "1"));
    let (_, input) = run(&mut machine);
    machine.ended(&input, good());
    assert_eq!(machine.next(), Next::Wait(Some(at(300))));
    machine
}

#[track_caller]
fn run(machine: &mut Machine) -> (WorkerId, PassInput) {
    match machine.next() {
        Next::Run(worker, input) => (worker, *input),
        other => panic!("a pass was to run, not {other:?}"),
    }
}

fn good() -> Attempt {
    Attempt::Done(Box::default())
}

fn reporting(report: Report) -> Attempt {
    Attempt::Done(Box::new(PassDone {
        report,
        ..PassDone::default()
    }))
}

fn failed() -> Attempt {
    Attempt::Failed("no".to_owned())
}

fn plain(request_id: &str) -> SyncRequest {
    SyncRequest {
        request_id: request_id.to_owned(),
        ..SyncRequest::default()
    }
}

fn dry(request_id: &str) -> SyncRequest {
    SyncRequest {
        dry_run: true,
        ..plain(request_id)
    }
}

fn confirm(request_id: &str, digest: &str) -> SyncRequest {
    SyncRequest {
        confirm: Some(digest.to_owned()),
        ..plain(request_id)
    }
}

#[test]
fn without_state_it_waits_for_a_worker_and_then_describes_everything_once() {
    let mut machine = fresh();
    machine.reconcile();
    assert_eq!(machine.next(), Next::Wait(None));
    assert_eq!(machine.status().state, "waiting_for_worker");

    machine.announce(&started("a", "1"));
    let (worker, input) = run(&mut machine);
    assert_eq!(worker, WorkerId::new("a"));
    assert_eq!(
        (input.pass, input.trigger, input.describe_all),
        (1, Trigger::Signal, true)
    );
    assert_eq!(machine.status().state, "running");
    machine.ended(&input, failed());

    machine.reconcile();
    let (_, input) = run(&mut machine);
    assert!(input.describe_all, "the first has not ended well");
    machine.ended(&input, good());

    machine.reconcile();
    let (_, input) = run(&mut machine);
    assert!(!input.describe_all);
}

#[test]
fn the_interval_asks_for_a_full_pass_and_counts_from_the_end_of_the_last_one() {
    let mut machine = settled();
    machine.tick(at(299));
    assert_eq!(machine.next(), Next::Wait(Some(at(300))));
    machine.tick(at(300));
    let (_, input) = run(&mut machine);
    assert_eq!(
        (input.pass, input.trigger, input.only.clone()),
        (2, Trigger::Interval, None)
    );
    machine.tick(at(310));
    machine.ended(&input, good());
    assert_eq!(machine.next(), Next::Wait(Some(at(610))));
}

#[test]
fn a_shorter_interval_of_any_worker_counts() {
    let mut machine = settled();
    let mut quick = started("b", "1");
    quick.options.reconcile_interval = Duration::from_secs(20);
    machine.announce(&quick);
    let (_, input) = run(&mut machine);
    machine.ended(&input, good());
    assert_eq!(machine.next(), Next::Wait(Some(at(20))));
}

#[test]
fn an_edit_of_few_definitions_takes_the_fast_path() {
    let mut machine = settled();
    machine.announce(&edited("a", "1", "2", &["x"]));
    machine.announce(&edited("a", "2", "3", &["y"]));
    let (_, input) = run(&mut machine);
    assert_eq!(input.only, Some(vec![id("x"), id("y")]));
    assert_eq!(input.revision, revision("3"));
    assert_eq!(input.trigger, Trigger::Change);
    machine.tick(at(100));
    machine.ended(&input, good());
    // The full pass keeps its interval.
    assert_eq!(machine.next(), Next::Wait(Some(at(300))));
}

#[test]
fn an_edit_with_a_removal_or_too_many_takes_a_full_pass() {
    let mut machine = settled();
    machine.announce(&says("a", WorkerEvent::Changed, Some("1"), "2"));
    let (_, input) = run(&mut machine);
    assert_eq!(input.only, None);
}

#[test]
fn an_edit_that_is_not_made_from_the_current_revision_takes_a_full_pass() {
    let mut machine = settled();
    machine.announce(&edited("a", "lost", "3", &["x"]));
    let (_, input) = run(&mut machine);
    assert_eq!((input.only, input.revision), (None, revision("3")));
}

#[test]
fn every_start_of_a_worker_gets_a_full_pass() {
    let mut machine = settled();
    machine.announce(&started("b", "1"));
    let (worker, input) = run(&mut machine);
    assert_eq!(
        (worker, input.trigger),
        (WorkerId::new("b"), Trigger::Start)
    );
    assert_eq!(input.only, None);
}

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
fn a_refusal_updates_the_table_and_widens_the_pass() {
    let mut machine = settled();
    machine.announce(&edited("a", "1", "2", &["x"]));
    let (_, input) = run(&mut machine);
    machine.ended(&input, Attempt::Refused(revision("3")));
    let (_, again) = run(&mut machine);
    assert_eq!(
        (again.pass, again.revision.clone(), again.only.clone()),
        (input.pass, revision("3"), None)
    );
    machine.ended(&again, good());
    // The announcement of what the refusal told already asks for nothing.
    machine.announce(&edited("a", "2", "3", &["y"]));
    assert!(matches!(machine.next(), Next::Wait(_)));
}

#[test]
fn a_worker_that_always_refuses_or_interrupts_is_not_asked_without_pause() {
    for attempt in [
        Attempt::Refused(revision("1")),
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
        |machine: &mut Machine| machine.reconcile(),
        |machine: &mut Machine| machine.announce(&edited("a", "1", "2", &["x"])),
        |machine: &mut Machine| {
            machine.sync(&plain("r"));
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
    let SyncAnswer { pass } = machine.sync(&confirm("r", "digest"));
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
    machine.probed(&workers[1], &input, Attempt::Refused(revision("1")));
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
    machine.sync(&dry("r"));
    let (_, input) = run(&mut machine);
    assert!(input.dry_run && input.replicas_differ);
}

#[test]
fn a_repeated_request_gets_the_first_answer_in_the_next_run_too() {
    let mut machine = settled();
    let first = machine.sync(&plain("one"));
    let (_, input) = run(&mut machine);
    machine.ended(&input, good());
    assert_eq!(machine.sync(&plain("one")), first);
    let mut next = Machine::new(machine.carried(), at(5));
    assert_eq!(next.sync(&plain("one")), first);
    assert_ne!(next.sync(&plain("two")), first);
    // Without an id every request is a new one.
    assert_ne!(next.sync(&plain("")), first);
    for n in 0..1000 {
        next.sync(&plain(&format!("many{n}")));
    }
    assert_eq!(next.carried().requests.len(), crate::record::REQUESTS_KEPT);
}

#[test]
fn a_pass_that_someone_waits_for_and_that_fails_for_good_says_so() {
    let mut machine = settled();
    let SyncAnswer { pass } = machine.sync(&dry("r"));
    for _ in 0..queue::ATTEMPTS {
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
fn what_a_pass_did_is_remembered_and_forgotten_in_time() {
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
    machine.tick(at(3601));
    let (_, input) = run(&mut machine);
    assert_eq!(input.corrections, BTreeMap::new());
}

#[test]
fn a_dry_run_changes_nothing_but_the_reports() {
    let mut machine = settled();
    machine.sync(&dry("r"));
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
fn a_fast_pass_leaves_what_only_a_full_one_knows() {
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
fn definition_counts_gather_until_a_report_tells_them() {
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
    // The replica tells of the same edit.
    let mut same = edited("b", "1", "2", &["x"]);
    same.definitions = counts(10, 1);
    machine.announce(&same);
    let mut second = edited("a", "2", "3", &["y"]);
    second.definitions = counts(12, 2);
    machine.announce(&second);
    let mut machine = Machine::new(machine.carried(), at(1));
    machine.announce(&stopping("b"));
    let (_, input) = run(&mut machine);
    let told = DefinitionCounts {
        total: 12,
        new: 3,
        updated: 2,
        archived: 0,
        invalid: 2,
    };
    assert_eq!(input.definitions, told);
    let mut third = edited("a", "3", "4", &["z"]);
    third.definitions = counts(13, 1);
    machine.announce(&third);
    machine.ended(&input, good());
    let (_, input) = run(&mut machine);
    assert_eq!(input.definitions, counts(13, 1));
}

#[test]
fn what_runs_is_carried_on_as_waiting() {
    let mut machine = settled();
    machine.reconcile();
    let (_, input) = run(&mut machine);
    let mut next = Machine::new(machine.carried(), at(1));
    let (_, again) = run(&mut next);
    assert_eq!(again.pass, input.pass);
}

#[test]
fn while_suspended_nothing_runs() {
    let mut state = settled().carried();
    state.suspended = Some("maintenance".to_owned());
    let mut machine = Machine::new(state, at(1000));
    machine.reconcile();
    assert_eq!(machine.next(), Next::Wait(None));
    assert_eq!(machine.status().state, "suspended");
}

#[test]
fn a_decision_that_panicked_loses_no_request() {
    let mut machine = settled();
    machine.reconcile();
    let (_, input) = run(&mut machine);
    machine.broke("a decision failed: boom".to_owned());
    assert!(matches!(machine.next(), Next::Wait(Some(_))));
    machine.tick(at(60));
    let (_, again) = run(&mut machine);
    assert_eq!(again.pass, input.pass);
    assert_eq!(
        machine.status().last_error.as_deref(),
        Some("a decision failed: boom")
    );
}

#[test]
fn a_state_from_a_stranger_is_bounded() {
    let long = "x".repeat(3000);
    let mut state = State {
        pass: 5,
        last_error: Some(long.clone()),
        ..State::default()
    };
    for n in 0..500_u64 {
        state.workers.insert(
            WorkerId::new(format!("w {n}\n")),
            crate::record::WorkerState::default(),
        );
        state.pending.push_back(PendingPass {
            pass: 500 - n,
            ..PendingPass::default()
        });
    }
    for _ in 0..20 {
        state.reports.push_back(Report {
            errors: vec![
                crate::record::ReportError {
                    message: long.clone(),
                    ..crate::record::ReportError::default()
                };
                200
            ],
            ..Report::default()
        });
    }
    let machine = Machine::new(state, at(0));
    let state = machine.carried();
    assert!(state.workers.is_empty(), "their names make no queue");
    assert_eq!(state.pending.len(), PENDING_KEPT);
    let numbers: Vec<u64> = state.pending.iter().map(|p| p.pass).collect();
    assert!(numbers.is_sorted() && numbers[0] == 6, "{numbers:?}");
    assert!(state.reports.len() <= REPORTS_KEPT);
    assert!(serde_json::to_vec(&state).unwrap().len() <= 1024 * 1024);
    assert_eq!(state.reports.back().unwrap().truncated, 100);
}

#[derive(Debug, Clone)]
enum Act {
    Say(Announcement),
    Reconcile,
    Sync(SyncRequest),
    Step(u8),
    Pass(i64),
    Carry,
}

fn acts() -> impl Strategy<Value = Act> {
    let word = |n: u8| n.to_string();
    prop_oneof![
        (0..3u8, 0..3u8, 0..3u8, 0..3u8, any::<bool>()).prop_map(
            move |(worker, event, previous, holds, fast)| {
                let event = match event {
                    0 => WorkerEvent::Started,
                    1 => WorkerEvent::Changed,
                    _ => WorkerEvent::Stopping,
                };
                let mut said = says(&word(worker), event, Some(&word(previous)), &word(holds));
                said.changed = fast.then(|| vec![id("x")]);
                Act::Say(said)
            }
        ),
        Just(Act::Reconcile),
        (0..10u8, any::<bool>(), proptest::option::of(0..3u8)).prop_map(
            move |(request, dry_run, digest)| Act::Sync(SyncRequest {
                request_id: word(request),
                dry_run,
                confirm: digest.map(word),
            })
        ),
        (0..6u8).prop_map(Act::Step),
        (0..400i64).prop_map(Act::Pass),
        Just(Act::Carry),
    ]
}

/// One step of the loop, with an outcome chosen by `fate`; the pass that ran.
fn step(machine: &mut Machine, fate: u8) -> Option<PassInput> {
    let attempt = match fate {
        0 => Attempt::NotStarted,
        1 => Attempt::Refused(revision("0")),
        2 => Attempt::Refused(revision("1")),
        3 => failed(),
        4 => Attempt::Done(Box::new(PassDone {
            interrupted: true,
            ..PassDone::default()
        })),
        _ => good(),
    };
    match machine.next() {
        Next::Wait(_) => None,
        Next::Probe(workers, input) => {
            for worker in &workers {
                machine.probed(worker, &input, attempt.clone());
            }
            None
        }
        Next::Run(_, input) => {
            machine.ended(&input, attempt);
            Some(*input)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens: numbers grow, passes end in their order, a request is
    /// served by a pass of its kind, and the state stays bounded.
    #[test]
    fn no_request_is_lost_and_numbers_only_grow(
        story in proptest::collection::vec(acts(), 0..120)
    ) {
        let mut machine = fresh();
        let mut answered: BTreeMap<u64, (bool, Option<String>)> = BTreeMap::new();
        let mut ran: BTreeSet<(u64, bool, Option<String>)> = BTreeSet::new();
        let mut ended = 0;
        for act in story {
            match act {
                Act::Say(said) => machine.announce(&said),
                Act::Reconcile => machine.reconcile(),
                Act::Sync(request) => {
                    let before = machine.answered(&request);
                    if machine.admits(&request).is_ok() {
                        let SyncAnswer { pass } = machine.sync(&request);
                        if let Some(answer) = before {
                            prop_assert_eq!(answer.pass, pass);
                        } else {
                            prop_assert!(pass > ended);
                            answered.insert(pass, (request.dry_run, request.confirm));
                        }
                    }
                }
                Act::Step(fate) => {
                    if let Some(input) = step(&mut machine, fate) {
                        prop_assert!(input.pass > ended, "{} after {}", input.pass, ended);
                        ran.insert((input.pass, input.dry_run, input.confirm));
                    }
                }
                Act::Pass(seconds) => machine.tick(machine.now() + SignedDuration::from_secs(seconds)),
                Act::Carry => machine = Machine::new(machine.carried(), machine.now()),
            }
            let status = machine.status();
            prop_assert!(status.pass >= ended);
            prop_assert!(status.requested >= status.pass);
            ended = status.pass;
            prop_assert!(machine.state.pending.len() <= PENDING_KEPT);
            prop_assert!(machine.state.reports.len() <= REPORTS_KEPT);
            prop_assert!(machine.state.workers.len() <= WORKERS_KEPT);
        }
        // A worker comes and everything goes well.
        machine.announce(&started("z", "z"));
        for _ in 0..2 * PENDING_KEPT {
            machine.tick(machine.now() + SignedDuration::from_secs(31));
            if let Some(input) = step(&mut machine, 9) {
                ran.insert((input.pass, input.dry_run, input.confirm));
            }
        }
        let status = machine.status();
        prop_assert_eq!(status.pending, 0);
        for (pass, (dry_run, confirm)) in answered {
            prop_assert!(pass <= status.pass);
            prop_assert!(ran.contains(&(pass, dry_run, confirm)));
        }
    }
}
