use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::definition::{ParseContext, parse_file};
use crate::record::{FollowState, WaitingEvent};
use crate::snapshot::{LoadStatus, Loaded};

const STEPS: &str = "do: [a: { wait: PT1S }]\n";

fn project() -> Project {
    "shop".parse().unwrap()
}

fn id(text: &str) -> DefinitionId {
    text.parse().unwrap()
}

/// A time, in seconds after the beginning of the tests.
fn at(second: i64) -> Timestamp {
    let begin: Timestamp = "2026-01-06T12:00:00Z".parse().unwrap();
    begin + jiff::SignedDuration::from_secs(second)
}

fn followed(documents: &[&str]) -> Followed {
    let text = documents.join("---\n");
    let mut snapshot = Snapshot::default();
    for document in parse_file("a.yaml", text.as_bytes(), &ParseContext { now: at(0) }) {
        let definition = Arc::clone(document.definition().unwrap());
        let loaded = Loaded {
            definition,
            source: "a.yaml".to_owned(),
            status: LoadStatus::Loaded,
        };
        let id = loaded.definition.id.clone();
        snapshot.definitions.insert(id, loaded);
    }
    Followed::of(&snapshot)
}

fn triggered(id: &str, trigger: &str) -> String {
    format!("id: {id}\ntriggers: [{trigger}]\n{STEPS}")
}

fn run(name: &str, started: i64) -> FollowedRun {
    FollowedRun {
        definition: id("extract"),
        workflow_id: format!("shop/extract-{name}"),
        run_id: format!("run-{name}"),
        started: at(started),
        scheduled: None,
        depth: 0,
    }
}

fn end(name: &str, started: i64, ended: i64, status: EndStatus) -> EndedRun {
    EndedRun {
        run: run(name, started),
        status,
        ended: at(ended),
    }
}

/// A state that follows `followed` since second 0.
fn state(followed: &Followed) -> FollowState {
    let mut state = FollowState {
        cursor: Some(at(0)),
        ..FollowState::default()
    };
    state.follow(followed, at(0));
    state
}

/// Reads the ends up to `now`, as the activity does, and returns the events about deadlines.
fn polled(
    state: &mut FollowState,
    followed: &Followed,
    open: &[FollowedRun],
    ends: &[EndedRun],
    now: i64,
) -> Vec<String> {
    for run in open.iter().chain(ends.iter().map(|end| &end.run)) {
        assert!(state.watch(followed, run));
    }
    for end in ends {
        state.ended(followed, end);
        state.handled(end);
    }
    state.advance(at(now));
    let passed = state.passed(&project(), followed);
    let ids = passed
        .iter()
        .map(|one| one.event["id"].as_str().unwrap().to_owned());
    let ids = ids.collect();
    for one in &passed {
        state.settle(one);
    }
    let open = open.iter().map(|run| run.workflow_id.clone()).collect();
    state.forget_watched(followed, Some(&open));
    ids
}

#[test]
fn enabled_triggers_are_followed() {
    let none = [
        triggered("a", "{ event: order.paid }"),
        triggered("b", "{ after: x, enabled: false }"),
        format!("enabled: false\n{}", triggered("c", "{ after: x }")),
        format!("id: d\nschedule: {{ after: 5s, enabled: false }}\n{STEPS}"),
        triggered("e", "{ event: almanac.run.late }"),
    ];
    let none: Vec<_> = none.iter().map(String::as_str).collect();
    assert!(followed(&none).is_empty());
    let load = followed(&[&triggered("load", "{ after: extract }")]);
    assert_eq!(load.definitions(), BTreeSet::from([id("extract")]));
    assert!(!load.is_empty() && !load.follows_all());
    assert!(load.wants(RUN_COMPLETED, &id("extract")));
    assert!(!load.wants(RUN_FAILED, &id("extract")));
    assert!(!load.wants(RUN_COMPLETED, &id("other")));
    let alert = followed(&[&triggered("alert", "{ event: almanac.run.failed }")]);
    assert!(alert.follows_all() && alert.wants(RUN_FAILED, &id("x")));
    let again = followed(&[&format!("id: d\nschedule: {{ after: 5s }}\n{STEPS}")]);
    assert!(!again.is_empty() && again.again().len() == 1);
}

#[test]
fn the_end_of_a_run_is_an_event() {
    let mut one = end("1", 5, 65, EndStatus::TimedOut);
    one.run.scheduled = Some(at(0));
    let event = end_event(&project(), &one);
    assert_eq!(
        event,
        json!({
            "specversion": "1.0",
            "id": "run-1",
            "source": "almanac/shop",
            "type": "almanac.run.failed",
            "subject": "extract",
            "time": "2026-01-06T12:01:05Z",
            "datacontenttype": "application/json",
            "data": {
                "definition": "extract",
                "workflow_id": "shop/extract-1",
                "run_id": "run-1",
                "status": "timed_out",
                "started_at": "2026-01-06T12:00:05Z",
                "scheduled_at": "2026-01-06T12:00:00Z",
                "ended_at": "2026-01-06T12:01:05Z",
            },
        })
    );
    one.run.depth = 3;
    assert_eq!(end_event(&project(), &one)[DEPTH_ATTRIBUTE], 3);
    almanac_events::CloudEvent::from_json(end_event(&project(), &one)).unwrap();
    let late = late_event(
        &project(),
        &one.run,
        RunDeadline {
            outcome: Outcome::Any,
            within_seconds: 60,
        },
    );
    assert_eq!(late["id"], "run-1/late/any/60");
    assert_eq!(late["type"], "almanac.run.late");
    assert_eq!(late["time"], "2026-01-06T12:01:05Z");
    almanac_events::CloudEvent::from_json(late).unwrap();
}

#[test]
fn an_end_is_handled_once_and_not_if_it_is_older_than_the_trigger() {
    let load = followed(&[&triggered("load", "{ after: extract }")]);
    let mut state = state(&load);
    assert!(state.is_past(&end("old", -20, -1, EndStatus::Completed)));
    let one = end("1", 1, 2, EndStatus::Completed);
    assert!(!state.is_past(&one));
    state.handled(&one);
    state.advance(at(10));
    assert!(state.is_past(&one));
    // The end is read again for some time, and then no more.
    assert!(state.read_from().unwrap() < one.ended);
    state.advance(at(100));
    assert!(state.read_from().unwrap() > one.ended);
    assert_eq!(state.handled, BTreeMap::new());
    // The cursor does not go back.
    state.advance(at(50));
    assert_eq!(state.cursor, Some(at(100)));
}

#[test]
fn a_definition_that_is_followed_later_does_not_start_for_earlier_ends() {
    let load = triggered("load", "{ after: extract }");
    let mut state = state(&followed(&[&load]));
    state.advance(at(100));
    let two = followed(&[&load, &triggered("more", "{ after: other }")]);
    assert!(state.follow(&two, at(100)));
    assert!(!state.follow(&two, at(101)));
    let of_other = |ended| {
        let mut one = end("1", 1, ended, EndStatus::Completed);
        one.run.definition = id("other");
        one
    };
    assert!(state.is_past(&of_other(99)));
    assert!(!state.is_past(&of_other(100)));
    // What is no longer followed is forgotten.
    state.follow(&followed(&[&load]), at(102));
    assert!(state.is_past(&of_other(101)));
    state.follow(&two, at(200));
    assert!(state.is_past(&of_other(199)));
}

#[test]
fn all_definitions_are_followed_by_one_that_names_none() {
    let all = followed(&[&triggered("alert", "{ event: almanac.run.failed }")]);
    let state = state(&all);
    assert!(!state.is_past(&end("1", 0, 5, EndStatus::Failed)));
    assert!(state.is_past(&end("2", -9, -5, EndStatus::Failed)));
}

#[test]
fn ends_are_caught_up_for_some_hours_only() {
    let load = followed(&[&triggered("load", "{ after: extract }")]);
    let mut state = state(&load);
    state.follow(&load, at(11 * 3600));
    assert_eq!(state.cursor, Some(at(0)));
    state.follow(&load, at(13 * 3600));
    assert_eq!(state.cursor, Some(at(3600)));
}

fn hourly() -> Followed {
    followed(&[&triggered(
        "load",
        "{ after: extract, within: 60s, else: run }",
    )])
}

#[test]
fn a_deadline_passes_once_if_no_run_ended_before_it() {
    let load = hourly();
    let mut state = state(&load);
    let open = [run("1", 10)];
    assert_eq!(polled(&mut state, &load, &open, &[], 70), [""; 0]);
    let late = ["run-1/late/completed/60"];
    assert_eq!(polled(&mut state, &load, &open, &[], 73), late);
    assert_eq!(polled(&mut state, &load, &open, &[], 80), [""; 0]);
    assert_eq!(state.watched.len(), 1);
    // The end comes too late, and is forgotten.
    let end = end("1", 10, 90, EndStatus::Completed);
    assert_eq!(polled(&mut state, &load, &[], &[end], 95), [""; 0]);
    assert_eq!(state.watched, []);
}

#[test]
fn a_run_that_ends_in_time_meets_the_deadline() {
    let load = hourly();
    let mut state = state(&load);
    polled(&mut state, &load, &[run("1", 10)], &[], 20);
    let end = end("1", 10, 70, EndStatus::Completed);
    assert_eq!(polled(&mut state, &load, &[], &[end], 73), [""; 0]);
    assert_eq!(state.watched, []);
}

#[test]
fn a_run_with_another_outcome_is_late_unless_another_run_has_the_outcome() {
    let load = hourly();
    let mut state = state(&load);
    let failed = end("1", 10, 20, EndStatus::Failed);
    polled(&mut state, &load, &[], std::slice::from_ref(&failed), 25);
    assert_eq!(state.watched.len(), 1);
    let late = ["run-1/late/completed/60"];
    assert_eq!(polled(&mut state.clone(), &load, &[], &[], 73), late);
    let second = end("2", 30, 40, EndStatus::Completed);
    assert_eq!(polled(&mut state, &load, &[], &[second], 73), [""; 0]);
    assert_eq!(state.watched, []);
}

#[test]
fn an_end_before_the_start_was_seen_counts() {
    let load = hourly();
    let mut state = state(&load);
    let second = end("2", 15, 20, EndStatus::Completed);
    polled(&mut state, &load, &[], &[second], 25);
    // Visibility shows the run that started at 10 only now.
    let open = [run("1", 10)];
    assert_eq!(polled(&mut state, &load, &open, &[], 99), [""; 0]);
}

#[test]
fn a_run_that_started_before_the_deadline_was_stated_has_none() {
    let load = hourly();
    let mut state = state(&load);
    assert_eq!(
        polled(&mut state, &load, &[run("1", -500)], &[], 99),
        [""; 0]
    );
    assert_eq!(state.watched, []);
}

#[test]
fn the_executions_of_one_run_have_its_start() {
    let load = hourly();
    let mut state = state(&load);
    polled(&mut state, &load, &[run("1", 10)], &[], 20);
    let mut next = run("1", 50);
    next.run_id = "another".to_owned();
    assert_eq!(state.start_of(&next), at(10));
    let late = ["run-1/late/completed/60"];
    assert_eq!(polled(&mut state, &load, &[next], &[], 75), late);
    assert_eq!(state.watched.len(), 1);
}

#[test]
fn a_run_that_is_gone_is_forgotten_after_its_deadline() {
    let load = hourly();
    let mut state = state(&load);
    polled(&mut state, &load, &[run("1", 10)], &[], 20);
    assert_eq!(polled(&mut state, &load, &[], &[], 73).len(), 1);
    // The run may be between two executions.
    assert_eq!(state.watched.len(), 1);
    for second in 74..80 {
        assert_eq!(polled(&mut state, &load, &[], &[], second), [""; 0]);
    }
    assert_eq!(state.watched, []);
}

#[test]
fn the_size_of_the_state_is_bounded() {
    let load = hourly();
    let mut state = state(&load);
    for n in 0..WATCHED_LIMIT {
        assert!(state.watch(&load, &run(&n.to_string(), 10)));
    }
    assert!(!state.watch(&load, &run("more", 10)));
    let event = json!({ "id": 1 });
    for _ in 0..WAITING_LIMIT {
        assert!(state.wait(&event));
    }
    assert!(!state.wait(&event));
    let mut long = FollowState::default();
    assert!(!long.wait(&json!("x".repeat(300_000))));
    for n in 0..5000 {
        state.handled(&end(&n.to_string(), 0, n, EndStatus::Completed));
    }
    state.advance(at(1));
    assert_eq!(state.handled.len(), 4000);
    assert!(state.handled.contains_key("run-4999"));
    assert!(almanac_base::size::json_size(&state) < 1_000_000);
}

#[test]
fn a_state_of_anyone_is_cut() {
    let long = "x".repeat(1000);
    let hostile = FollowState {
        cursor: Some(Timestamp::MAX),
        handled: (0..9000).map(|n| (n.to_string(), at(0))).collect(),
        since: (0..9000).map(|n| (n.to_string(), Timestamp::MAX)).collect(),
        waiting: vec![
            WaitingEvent {
                event: json!({ "data": long }),
                attempts: u64::MAX,
            };
            5000
        ],
        watched: (0..5000)
            .map(|n| crate::record::WatchedRun {
                run: FollowedRun {
                    workflow_id: long.clone(),
                    ..run(&n.to_string(), 0)
                },
                ended: false,
                missed: 0,
                settled: vec![long.clone()],
            })
            .collect(),
        ..FollowState::default()
    };
    let state = hostile.bounded(at(0));
    assert_eq!(state.cursor, Some(at(0)));
    assert!(state.handled.len() <= 4000 && state.since.len() <= 5000);
    assert_eq!(state.waiting.len(), WAITING_LIMIT);
    assert!(almanac_base::size::json_size(&state) < 1_200_000);
}

#[test]
fn the_next_run_has_an_id_of_the_last_one() {
    let text = format!("id: d\nschedule: {{ after: 5s, input: {{ a: 1 }} }}\n{STEPS}");
    let followed = followed(&[&text]);
    let (definition, again) = &followed.again()[0];
    let route = |last: Option<&LastRun>| {
        let (route, event) = again_route(&project(), definition, again, last, at(0));
        almanac_events::CloudEvent::from_json(event).unwrap();
        route.run.unwrap()
    };
    let last = |run: &str| LastRun {
        run_id: run.to_owned(),
        ended: at(0),
    };
    let first = route(None);
    assert!(first.workflow_id.starts_with("shop/d/") && first.is_derived);
    assert_eq!(first.input, json!({ "a": 1 }));
    let one = route(Some(&last("1")));
    assert_eq!(one, route(Some(&last("1"))));
    assert_ne!(one.workflow_id, first.workflow_id);
    assert_ne!(one.workflow_id, route(Some(&last("2"))).workflow_id);
}
