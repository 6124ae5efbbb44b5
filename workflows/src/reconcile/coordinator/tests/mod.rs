use std::collections::{BTreeMap, BTreeSet};

use almanac_base::names::DefinitionId;
use almanac_core::field::Field;
use almanac_core::record::{
    DefinitionCounts, Held, Options, Override, PENDING_KEPT, REPORTS_KEPT, Report, SuspendRequest,
    Suspension, WORKERS_KEPT,
};
use proptest::prelude::*;

mod attempts;
mod manual_run_queue;
mod operator_requests;
mod random_sequences;
mod retention;
mod sizes;
mod worker_probes;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn revision(text: &str) -> Revision {
    serde_json::from_value(text.into()).unwrap()
}

fn id(text: &str) -> DefinitionId {
    text.parse().unwrap()
}

fn announcement_of(
    worker: &str,
    event: WorkerEvent,
    previous: Option<&str>,
    holds: &str,
) -> Announcement {
    Announcement {
        worker: WorkerId::new(worker),
        number: 0,
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
    announcement_of(worker, WorkerEvent::Started, None, holds)
}

fn edited(worker: &str, previous: &str, holds: &str, ids: &[&str]) -> Announcement {
    Announcement {
        changed: Some(ids.iter().map(|text| id(text)).collect()),
        ..announcement_of(worker, WorkerEvent::Changed, Some(previous), holds)
    }
}

fn stopping(worker: &str) -> Announcement {
    announcement_of(worker, WorkerEvent::Stopping, None, "")
}

fn fresh() -> Coordinator {
    Coordinator::new(State::default(), at(0))
}

/// A coordinator that did its first pass with worker `a` at revision 1.
fn settled() -> Coordinator {
    let mut machine = fresh();
    machine.announce(&started("a", "1"));
    let (_, input) = run(&mut machine);
    machine.ended(&input, good());
    assert_eq!(machine.next(), Next::Wait(Some(at(300))));
    machine
}

#[track_caller]
fn run(machine: &mut Coordinator) -> (WorkerId, PassInput) {
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
fn a_workflow_without_state_waits_for_a_worker_and_then_describes_every_schedule_once() {
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
    machine.announce(&announcement_of("a", WorkerEvent::Changed, Some("1"), "2"));
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
fn while_suspended_nothing_runs() {
    let mut state = settled().carried();
    state.suspended = Some(Suspension::default());
    let mut machine = Coordinator::new(state, at(1000));
    machine.reconcile();
    assert_eq!(machine.next(), Next::Wait(None));
    assert_eq!(machine.status().state, "suspended");
}

#[test]
fn a_suspension_is_shown_and_kept_and_a_resumption_asks_for_a_full_pass() {
    let mut machine = settled();
    machine.tick(at(1000));
    let request = |id: &str, reason: &str| SuspendRequest {
        request_id: id.to_owned(),
        reason: reason.to_owned(),
        by: "eve".to_owned(),
    };
    assert!(machine.admits_suspension(&request("", " ")).is_err());
    let not_yet = machine.admits_resumption(&request("", ""));
    assert_eq!(not_yet, Err("the reconciler is not suspended".into()));

    let first = machine.suspend(&request("a", "upgrade")).unwrap();
    assert_eq!(machine.suspend(&request("a", "upgrade")).unwrap(), first);
    machine.reconcile();
    let mut machine = Coordinator::new(machine.carried(), at(2000));
    assert_eq!(machine.next(), Next::Wait(None));
    let refused = machine
        .admits(&SyncRequest::default())
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("suspended by eve") && refused.contains("upgrade"),
        "{refused}"
    );

    machine.admits_resumption(&request("b", "")).unwrap();
    let answer = machine.resume(&request("b", "")).unwrap();
    assert_eq!(answer.suspended, None);
    let Next::Run(_, input) = machine.next() else {
        panic!("no pass");
    };
    assert_eq!((Some(input.pass), input.only), (answer.pass, None));
    // Sent again, it is answered again and changes nothing.
    machine.admits_resumption(&request("b", "")).unwrap();
    assert_eq!(machine.resume(&request("b", "")).unwrap(), answer);
}
