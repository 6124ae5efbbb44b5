use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;

use super::*;
use crate::schedules::wire::encode_time;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn action(id: &str, due: &str) -> ScheduleActionResult {
    ScheduleActionResult {
        schedule_time: Some(encode_time(time(due))),
        actual_time: Some(encode_time(time(due))),
        start_workflow_result: Some(WorkflowExecution {
            workflow_id: format!("p/{id}"),
            run_id: id.to_owned(),
        }),
        ..ScheduleActionResult::default()
    }
}

/// A schedule that started one run by itself.
fn info() -> ScheduleInfo {
    ScheduleInfo {
        action_count: 1,
        recent_actions: vec![action("old", "2026-01-01T00:00:00Z")],
        ..ScheduleInfo::default()
    }
}

fn request(kind: RunKind) -> ManualRunInput {
    serde_json::from_value(serde_json::json!({"number": 1, "kind": kind, "id": "a"})).unwrap()
}

fn before(overlap: OverlapPolicy) -> RunBaseline {
    let mut before = RunBaseline {
        overlap,
        at: time("2026-01-01T00:10:00Z"),
        first: time("2025-12-01T00:00:00Z"),
        last: time("2025-12-01T23:00:00Z"),
        asked: 1,
        started: 1,
        ..RunBaseline::default()
    };
    record_baseline(&mut before, &info());
    before
}

fn state(sight: &RunOutcome) -> Option<(bool, RunState)> {
    match sight {
        RunOutcome::Nothing => None,
        RunOutcome::Part(answer) | RunOutcome::Waits(answer) => Some((false, answer.state)),
        RunOutcome::Whole(answer) => Some((true, answer.state)),
    }
}

#[test]
fn a_triggered_run_is_recognized_by_its_second_or_by_a_fraction_of_one() {
    let (input, before) = (request(RunKind::Trigger), before(OverlapPolicy::Skip));
    assert_eq!(outcome_of(&input, &before, &info()), RunOutcome::Nothing);
    for (due, is_requested) in [
        ("2026-01-01T00:10:00Z", true),
        ("2026-01-01T00:10:00.250000001Z", true),
        // Those of the schedule's own, without jitter and with it.
        ("2026-01-01T00:11:00Z", false),
        ("2026-01-01T00:10:00.25Z", false),
    ] {
        let mut now = info();
        now.action_count = 2;
        now.recent_actions.insert(0, action("new", due));
        let sight = outcome_of(&input, &before, &now);
        assert_eq!(matches!(sight, RunOutcome::Whole(_)), is_requested, "{due}");
        if let RunOutcome::Whole(answer) = sight {
            assert_eq!(answer.state, RunState::Started);
            assert_eq!(answer.run_id.as_deref(), Some("new"));
            assert_eq!(answer.workflow_id.as_deref(), Some("p/new"));
        }
    }
}

#[test]
fn an_outcome_names_the_runs_that_the_policy_delays() {
    let input = request(RunKind::Trigger);
    let skipped = ScheduleInfo {
        overlap_skipped: 1,
        ..info()
    };
    let waits = ScheduleInfo {
        buffer_size: 1,
        ..info()
    };
    let full = ScheduleInfo {
        buffer_dropped: 1,
        ..info()
    };
    for (policy, now, expected) in [
        (
            OverlapPolicy::Skip,
            &skipped,
            Some((false, RunState::Skipped)),
        ),
        (
            OverlapPolicy::BufferOne,
            &skipped,
            Some((false, RunState::Skipped)),
        ),
        // Skipped was one of the schedule's own.
        (OverlapPolicy::AllowAll, &skipped, None),
        (
            OverlapPolicy::BufferAll,
            &waits,
            Some((false, RunState::Buffered)),
        ),
        (
            OverlapPolicy::CancelOther,
            &waits,
            Some((false, RunState::Buffered)),
        ),
        (
            OverlapPolicy::BufferAll,
            &full,
            Some((true, RunState::Skipped)),
        ),
    ] {
        assert_eq!(
            state(&outcome_of(&input, &before(policy), now)),
            expected,
            "{policy:?}"
        );
    }
    let running = ScheduleInfo {
        running_workflows: vec![WorkflowExecution {
            workflow_id: "p/old".to_owned(),
            run_id: "old".to_owned(),
        }],
        ..skipped
    };
    let RunOutcome::Waits(answer) = outcome_of(&input, &before(OverlapPolicy::Skip), &running)
    else {
        panic!("it was skipped");
    };
    assert_eq!(
        answer.message,
        "skipped: `p/old` is in progress, and the overlap policy is skip"
    );
}

/// The schedule skips its own meanwhile.
#[test]
fn a_buffered_run_is_not_reported_as_skipped() {
    let now = ScheduleInfo {
        overlap_skipped: 7,
        buffer_size: 1,
        ..info()
    };
    let trigger = request(RunKind::Trigger);
    let one = before(OverlapPolicy::BufferOne);
    let waits = Some((false, RunState::Buffered));
    assert_eq!(state(&outcome_of(&trigger, &one, &now)), waits);

    let five = |overlap| RunBaseline {
        asked: 5,
        ..before(overlap)
    };
    let backfill = request(RunKind::Backfill);
    for (policy, waiting, skipped, left) in [
        (OverlapPolicy::BufferAll, 5, 0, 0),
        (OverlapPolicy::BufferAll, 3, 0, 2),
        (OverlapPolicy::BufferOne, 1, 4, 0),
        (OverlapPolicy::Skip, 0, 5, 0),
    ] {
        let now = ScheduleInfo {
            buffer_size: waiting,
            ..now.clone()
        };
        let sight = outcome_of(&backfill, &five(policy), &now);
        let (RunOutcome::Waits(answer) | RunOutcome::Part(answer) | RunOutcome::Whole(answer)) =
            sight
        else {
            panic!("{policy:?}: nothing");
        };
        let found = (answer.buffered, answer.skipped);
        assert_eq!(
            found,
            (u64::try_from(waiting).unwrap(), skipped),
            "{policy:?}"
        );
        assert_eq!(answer.message.contains("to come"), left > 0, "{answer:?}");
    }
}

/// Forty runs wait when one more is asked for, and start one after the other.
#[test]
fn a_run_buffered_behind_others_is_reported_while_they_start() {
    let trigger = request(RunKind::Trigger);
    let before = RunBaseline {
        buffered: 40,
        ..before(OverlapPolicy::BufferAll)
    };
    let at = |started: i64, buffered: i64, new: Option<&str>| {
        let mut now = ScheduleInfo {
            action_count: 1 + started,
            buffer_size: buffered,
            ..info()
        };
        now.recent_actions.extend(new.map(|due| action("new", due)));
        state(&outcome_of(&trigger, &before, &now))
    };
    let waits = Some((false, RunState::Buffered));
    assert_eq!(at(0, 40, None), None, "it has not come");
    assert_eq!(at(3, 37, None), None, "it has not come");
    assert_eq!(at(0, 41, None), waits);
    assert_eq!(at(3, 38, None), waits);
    assert_eq!(at(39, 2, None), waits);
    // One that someone asked for before.
    assert_eq!(at(40, 1, Some("2026-01-01T00:09:59.500000001Z")), waits);
    let started = Some((true, RunState::Started));
    assert_eq!(at(41, 0, Some("2026-01-01T00:10:00.500000001Z")), started);

    // Others start while a backfill's five wait.
    let backfill = request(RunKind::Backfill);
    let before = RunBaseline { asked: 5, ..before };
    let mut now = ScheduleInfo {
        action_count: 3,
        buffer_size: 43,
        ..info()
    };
    for (id, due) in [("a", "2025-11-01T00:00:00Z"), ("b", "2025-11-02T00:00:00Z")] {
        now.recent_actions.push(action(id, due));
    }
    let RunOutcome::Waits(answer) = outcome_of(&backfill, &before, &now) else {
        panic!("five wait");
    };
    assert_eq!((answer.started, answer.buffered), (0, 5));
}

#[test]
fn a_backfill_is_over_when_all_its_runs_are_accounted_for() {
    let input = request(RunKind::Backfill);
    let before = RunBaseline {
        asked: 24,
        ..before(OverlapPolicy::Skip)
    };
    assert_eq!(state(&outcome_of(&input, &before, &info())), None);
    let mut now = ScheduleInfo {
        action_count: 2,
        overlap_skipped: 9,
        ..info()
    };
    now.recent_actions
        .push(action("new", "2025-12-01T00:00:00Z"));
    let RunOutcome::Part(answer) = outcome_of(&input, &before, &now) else {
        panic!("more is to come");
    };
    assert_eq!(
        answer.message,
        "1 of 24 started, 9 skipped, 14 to come: the server starts them without another request \
         (overlap policy skip)"
    );
    assert_eq!(answer.runs.len(), 1);
    now.overlap_skipped = 23;
    assert_eq!(
        state(&outcome_of(&input, &before, &now)),
        Some((true, RunState::Started))
    );
}

#[test]
fn a_second_is_free_if_no_run_has_started_or_will_soon_start_in_it() {
    let mut now = info();
    now.future_action_times = vec![encode_time(time("2026-01-01T00:20:00Z"))];
    for (at, expected) in [
        ("2026-01-01T00:00:00.9Z", false),
        ("2026-01-01T00:00:01Z", true),
        ("2026-01-01T00:19:59.5Z", true),
        ("2026-01-01T00:19:59.9Z", false),
        ("2026-01-01T00:20:00.5Z", false),
    ] {
        assert_eq!(is_free(&now, &[], time(at)), expected, "{at}");
    }
    // The run that starts at 00:20 by its jitter has the name of 00:15.
    let nominal = [time("2026-01-01T00:15:00Z")];
    for (at, expected) in [
        ("2026-01-01T00:14:59.5Z", true),
        ("2026-01-01T00:14:59.8Z", false),
        ("2026-01-01T00:15:00.9Z", false),
        ("2026-01-01T00:15:01Z", true),
    ] {
        assert_eq!(is_free(&now, &nominal, time(at)), expected, "{at}");
    }
}
