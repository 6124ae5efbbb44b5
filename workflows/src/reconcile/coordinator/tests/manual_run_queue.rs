//! Runs that operators ask for.

use almanac_base::size::json_size;
use almanac_core::record::{
    HISTORY_KEPT, HistoryEntry, HistoryEntryKind, HistoryRequest, ManualRunInput, OverrideRequest,
    RUNS_KEPT, RUNS_WAITING, RunAnswer, RunBaseline, RunKind, RunRequest, RunState,
};

use super::*;

fn asks(request_id: &str, definition: &str) -> RunRequest {
    RunRequest {
        request_id: request_id.to_owned(),
        id: Some(id(definition)),
        ..RunRequest::default()
    }
}

fn trigger(machine: &mut Coordinator, request_id: &str, definition: &str) -> u64 {
    let request = asks(request_id, definition);
    let answer = machine.ask_run(RunKind::Trigger, &request).unwrap();
    answer.number
}

fn ends(machine: &mut Coordinator, order: &ManualRunInput, state: RunState) {
    let answer = RunAnswer {
        state,
        ..RunAnswer::default()
    };
    machine.run_ended(order, answer);
}

#[test]
fn one_run_of_a_schedule_goes_on_at_a_time_beside_a_pass() {
    let mut machine = settled();
    machine.reconcile();
    run(&mut machine);
    for (request, definition) in [("1", "a"), ("2", "a"), ("3", "b")] {
        trigger(&mut machine, request, definition);
    }
    let first = machine.next_run().unwrap();
    let other = machine.next_run().unwrap();
    assert_eq!((first.number, other.number), (1, 3));
    assert!(!machine.run_waits() && machine.next_run().is_none());
    ends(&mut machine, &first, RunState::Started);
    assert_eq!(machine.next_run().unwrap().number, 2);
    assert_eq!(machine.runs_pending(), 2);
    let answers = machine.run_answers_of(vec!["1".to_owned(), String::new(), "4".to_owned()]);
    assert_eq!(answers.len(), 1);
    let answer = &answers["1"];
    assert_eq!(
        (answer.state, &answer.id),
        (RunState::Started, &Some(id("a")))
    );
}

#[test]
fn a_repeated_request_is_the_same_run_in_the_next_run_of_the_workflow_too() {
    let mut machine = settled();
    assert_eq!(trigger(&mut machine, "1", "a"), 1);
    assert_eq!(trigger(&mut machine, "1", "a"), 1);
    let order = machine.next_run().unwrap();
    ends(&mut machine, &order, RunState::Skipped);
    let mut next = Coordinator::new(machine.carried(), at(5));
    assert_eq!(trigger(&mut next, "1", "a"), 1);
    assert_eq!(next.run_answer(1).unwrap().state, RunState::Skipped);
    assert!(!next.run_waits());
    // Another run, or another kind of one, under the same name is a mistake.
    for (kind, definition) in [(RunKind::Trigger, "b"), (RunKind::Backfill, "a")] {
        let request = RunRequest {
            from: (kind == RunKind::Backfill).then(|| "2026-01-01".parse().unwrap()),
            to: (kind == RunKind::Backfill).then(|| "2026-01-02".parse().unwrap()),
            ..asks("1", definition)
        };
        let error = next.admits_run(kind, &request).unwrap_err().to_string();
        assert!(
            error.contains("was already used for a trigger of `a`"),
            "{error}"
        );
    }
    // Without a name every request is a new one.
    assert_eq!(trigger(&mut next, "", "a"), 2);
    assert_eq!(trigger(&mut next, "", "a"), 3);
}

#[test]
fn a_request_that_may_have_been_sent_is_never_sent_again() {
    let mut machine = settled();
    trigger(&mut machine, "1", "a");
    trigger(&mut machine, "2", "b");
    let order = machine.next_run().unwrap();
    assert!(!order.sent && order.before.is_none());
    let before = RunBaseline {
        started: 7,
        ..RunBaseline::default()
    };
    machine.run_seen(order.number, before.clone());
    let mut next = Coordinator::new(machine.carried(), at(5));
    let again = next.next_run().unwrap();
    assert!(again.sent);
    assert_eq!((again.number, again.before), (1, Some(before)));
    let fresh = next.next_run().unwrap();
    assert!(!fresh.sent && fresh.before.is_none());
}

#[test]
fn a_suspended_reconciler_starts_runs() {
    let mut machine = settled();
    let request = SuspendRequest {
        reason: "x".to_owned(),
        ..SuspendRequest::default()
    };
    machine.suspend(&request).unwrap();
    trigger(&mut machine, "1", "a");
    assert!(machine.run_waits());
}

fn history_of(machine: &Coordinator) -> Vec<HistoryEntry> {
    machine.history(None, &HistoryRequest::default())
}

#[test]
fn a_request_for_a_run_is_recorded_once_with_who_and_why() {
    let mut machine = settled();
    machine.tick(at(60));
    let by_ann = |request: RunRequest| RunRequest {
        by: "ann@ops".to_owned(),
        reason: "late data".to_owned(),
        ..request
    };
    let backfill = by_ann(RunRequest {
        from: Some("2026-03-01".parse().unwrap()),
        to: Some("2026-03-02T06:00:00Z".parse().unwrap()),
        ..asks("2", "b")
    });
    for _ in 0..2 {
        let run = by_ann(asks("1", "a"));
        machine.ask_run(RunKind::Trigger, &run).unwrap();
        machine.ask_run(RunKind::Backfill, &backfill).unwrap();
    }
    // A request that is refused leaves no entry.
    machine
        .ask_run(RunKind::Trigger, &RunRequest::default())
        .unwrap_err();
    let machine = Coordinator::new(machine.carried(), at(70));
    let entries = history_of(&machine);
    let shown: Vec<_> = entries
        .iter()
        .map(|one| (one.kind, one.op.as_str(), one.id.as_str(), one.pass))
        .collect();
    assert_eq!(
        shown,
        [
            (HistoryEntryKind::Asked, "backfill", "b", 0),
            (HistoryEntryKind::Asked, "trigger", "a", 0),
        ]
    );
    assert_eq!(
        (entries[0].from, entries[0].to),
        (backfill.from, backfill.to)
    );
    for entry in &entries {
        assert_eq!((entry.by.as_str(), entry.at), ("ann@ops", at(60)));
        assert_eq!(entry.reason, "late data");
    }
}

#[test]
fn a_run_that_failed_is_recorded_and_a_good_one_is_not() {
    let mut machine = settled();
    for (request, state) in [
        ("1", RunState::Started),
        ("2", RunState::Skipped),
        ("3", RunState::NotFound),
        ("4", RunState::NotFound),
    ] {
        trigger(&mut machine, request, "a");
        let order = machine.next_run().unwrap();
        let answer = RunAnswer {
            state,
            message: "the schedule does not exist".to_owned(),
            ..RunAnswer::default()
        };
        machine.run_ended(&order, answer);
    }
    let entries = history_of(&machine);
    let failed: Vec<_> = entries
        .iter()
        .filter(|one| one.kind == HistoryEntryKind::Failed)
        .map(|one| (one.op.as_str(), one.id.as_str(), one.reason.as_str()))
        .collect();
    assert_eq!(failed, [("trigger", "a", "the schedule does not exist"); 2]);
    assert_eq!(entries.len(), 6);
}

#[test]
fn a_run_that_may_have_started_is_not_recorded_as_failed() {
    let mut machine = settled();
    for (request, state) in [("1", RunState::Lost), ("2", RunState::Failed)] {
        let asked = RunRequest {
            by: "ann@ops".to_owned(),
            ..asks(request, "a")
        };
        machine.ask_run(RunKind::Trigger, &asked).unwrap();
        let order = machine.next_run().unwrap();
        ends(&mut machine, &order, state);
    }
    let entries = history_of(&machine);
    let ended = [&entries[0], &entries[2]].map(|one| (one.kind, &*one.op, &*one.by));
    assert_eq!(
        ended,
        [
            (HistoryEntryKind::Failed, "trigger", "ann@ops"),
            (HistoryEntryKind::Lost, "trigger", "ann@ops"),
        ]
    );
}

/// Anyone who may start a run may ask for runs of ids that do not exist.
#[test]
fn requests_for_runs_displace_no_other_request() {
    let mut machine = settled();
    machine.reconcile();
    let (_, input) = run(&mut machine);
    let held = Held {
        digest: "ab12".to_owned(),
        reason: "too many".to_owned(),
        ids: Vec::new(),
        count: 1,
    };
    machine.ended(
        &input,
        reporting(Report {
            held: Some(held),
            ..Report::default()
        }),
    );
    let pause = OverrideRequest {
        id: Some(id("prices")),
        enabled: Some(false),
        reason: "disk full".to_owned(),
        ..OverrideRequest::default()
    };
    machine.set_override(&pause).unwrap();
    machine.sync(&confirm("1", "ab12")).unwrap();
    let suspend = SuspendRequest {
        reason: "moving house".to_owned(),
        ..SuspendRequest::default()
    };
    machine.suspend(&suspend).unwrap();
    // Short requests reach the limit of entries, and long ones that of bytes.
    for (count, length) in [(HISTORY_KEPT, 0), (500, 500)] {
        for n in 0..count {
            let request = RunRequest {
                reason: "x".repeat(length),
                ..asks("", &format!("made-up-{length}-{n}"))
            };
            machine.ask_run(RunKind::Trigger, &request).unwrap();
            let order = machine.next_run().unwrap();
            ends(&mut machine, &order, RunState::NotFound);
        }
        let entries = history_of(&machine);
        assert!(entries.len() < 2 * count, "{}", entries.len());
        let kept: Vec<_> = entries
            .iter()
            .filter(|one| !one.is_of_manual_run())
            .map(|one| one.op.as_str())
            .collect();
        assert_eq!(kept, ["suspend", "confirm", "override"]);
    }
    let next = Coordinator::new(machine.carried(), at(5));
    assert_eq!(history_of(&next), history_of(&machine));
}

#[test]
fn many_requests_while_suspended_leave_a_history_that_fits() {
    let mut machine = settled();
    let suspend = SuspendRequest {
        reason: "x".to_owned(),
        ..SuspendRequest::default()
    };
    machine.suspend(&suspend).unwrap();
    for n in 0..500 {
        let request = RunRequest {
            reason: "x".repeat(500),
            by: "y".repeat(200),
            ..asks(&format!("{n}"), &format!("job-{n}"))
        };
        machine.ask_run(RunKind::Trigger, &request).unwrap();
        let order = machine.next_run().unwrap();
        ends(&mut machine, &order, RunState::Started);
    }
    let entries = history_of(&machine);
    let size = json_size(&entries);
    assert!((128 * 1024..=256 * 1024).contains(&size), "{size}");
    assert_eq!(entries[0].id, "job-499");
}

#[test]
fn runs_are_bounded_and_those_that_wait_are_kept() {
    let mut machine = settled();
    for n in 0..RUNS_WAITING {
        trigger(&mut machine, &format!("{n}"), &format!("job-{n}"));
    }
    let more = machine.admits_run(RunKind::Trigger, &asks("more", "a"));
    assert!(
        more.unwrap_err()
            .to_string()
            .contains("too many manual runs are pending")
    );
    for n in 0..500 {
        let order = machine.next_run().unwrap();
        ends(&mut machine, &order, RunState::Started);
        trigger(&mut machine, &format!("more {n}"), "a");
    }
    let state = machine.carried();
    assert_eq!(state.runs.len(), RUNS_WAITING + RUNS_KEPT);
    assert_eq!(machine.runs_pending(), RUNS_WAITING);
    assert_eq!(state.runs_asked, 800);
    assert_eq!(machine.status().runs_pending, RUNS_WAITING as u64);
    let long = RunRequest {
        request_id: "x".repeat(1000),
        ..asks("", "a")
    };
    assert!(machine.admits_run(RunKind::Trigger, &long).is_err());
}

#[test]
fn a_state_with_runs_of_strangers_is_bounded() {
    let mut machine = settled();
    trigger(&mut machine, "1", "a");
    let mut state = machine.carried();
    let mut huge = state.runs[0].clone();
    huge.order.reason = "x".repeat(100_000);
    huge.answer = Some(RunAnswer {
        message: "y".repeat(100_000),
        running: vec!["z".repeat(1000); 1000],
        ..RunAnswer::default()
    });
    state.runs.extend(std::iter::repeat_n(huge, 3000));
    let carried = Coordinator::new(state, at(5)).carried();
    assert!(carried.runs.iter().any(|run| run.answer.is_none()));
    assert!(serde_json::to_vec(&carried).unwrap().len() <= 1024 * 1024);
}
