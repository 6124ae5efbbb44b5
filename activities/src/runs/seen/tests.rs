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

fn order(kind: RunKind) -> RunOrder {
    serde_json::from_value(serde_json::json!({"number": 1, "kind": kind, "id": "a"})).unwrap()
}

fn before(overlap: OverlapPolicy) -> RunsSeen {
    let mut before = RunsSeen {
        overlap,
        at: time("2026-01-01T00:10:00Z"),
        first: time("2025-12-01T00:00:00Z"),
        last: time("2025-12-01T23:00:00Z"),
        asked: 1,
        started: 1,
        ..RunsSeen::default()
    };
    remember(&mut before, &info());
    before
}

fn state(sight: &Sight) -> Option<(bool, RunState)> {
    match sight {
        Sight::Nothing => None,
        Sight::Part(answer) | Sight::Waits(answer) => Some((false, answer.state)),
        Sight::Whole(answer) => Some((true, answer.state)),
    }
}

#[test]
fn a_trigger_is_known_by_its_second_or_by_a_moment_that_is_none() {
    let (order, before) = (order(RunKind::Trigger), before(OverlapPolicy::Skip));
    assert_eq!(became(&order, &before, &info()), Sight::Nothing);
    for (due, is_ours) in [
        ("2026-01-01T00:10:00Z", true),
        ("2026-01-01T00:10:00.25Z", true),
        // One of the schedule's own.
        ("2026-01-01T00:11:00Z", false),
    ] {
        let mut now = info();
        now.action_count = 2;
        now.recent_actions.insert(0, action("new", due));
        let sight = became(&order, &before, &now);
        assert_eq!(matches!(sight, Sight::Whole(_)), is_ours, "{due}");
        if let Sight::Whole(answer) = sight {
            assert_eq!(answer.state, RunState::Started);
            assert_eq!(answer.run_id.as_deref(), Some("new"));
            assert_eq!(answer.workflow_id.as_deref(), Some("p/new"));
        }
    }
}

#[test]
fn what_the_policy_keeps_back_is_told() {
    let order = order(RunKind::Trigger);
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
            Some((true, RunState::Skipped)),
        ),
        (
            OverlapPolicy::BufferOne,
            &skipped,
            Some((true, RunState::Skipped)),
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
            state(&became(&order, &before(policy), now)),
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
    let Sight::Whole(answer) = became(&order, &before(OverlapPolicy::Skip), &running) else {
        panic!("it was skipped");
    };
    assert_eq!(
        answer.message,
        "skipped: `p/old` goes on, and the overlap policy is skip"
    );
}

#[test]
fn a_backfill_is_over_when_all_its_runs_are_accounted_for() {
    let order = order(RunKind::Backfill);
    let before = RunsSeen {
        asked: 24,
        ..before(OverlapPolicy::Skip)
    };
    assert_eq!(state(&became(&order, &before, &info())), None);
    let mut now = ScheduleInfo {
        action_count: 2,
        overlap_skipped: 9,
        ..info()
    };
    now.recent_actions
        .push(action("new", "2025-12-01T00:00:00Z"));
    let Sight::Part(answer) = became(&order, &before, &now) else {
        panic!("more is to come");
    };
    assert_eq!(
        answer.message,
        "1 of 24 started, 9 skipped, 14 to come: the server goes on by itself (overlap policy skip)"
    );
    assert_eq!(answer.runs.len(), 1);
    now.overlap_skipped = 23;
    assert_eq!(
        state(&became(&order, &before, &now)),
        Some((true, RunState::Started))
    );
}

#[test]
fn a_second_is_free_when_no_run_has_it_and_none_is_about_to() {
    let mut now = info();
    now.future_action_times = vec![encode_time(time("2026-01-01T00:20:00Z"))];
    for (at, expected) in [
        ("2026-01-01T00:00:00.9Z", false),
        ("2026-01-01T00:00:01Z", true),
        ("2026-01-01T00:19:59.5Z", true),
        ("2026-01-01T00:19:59.9Z", false),
        ("2026-01-01T00:20:00.5Z", false),
    ] {
        assert_eq!(is_free(&now, time(at)), expected, "{at}");
    }
}
