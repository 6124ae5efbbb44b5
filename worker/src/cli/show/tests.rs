use std::collections::{BTreeMap, BTreeSet};

use almanac_activities::schedules::Missed;
use almanac_activities::schedules::view::PausedBy;
use almanac_core::definition::{ParseContext, Parsed, parse_file};
use almanac_core::field::Field;
use almanac_core::record::{EventKey, EventOrigin};

use super::super::list::tests::{in_states, view};
use super::*;
use crate::console::Medium;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn run_of(started: &str, ended: Option<&str>, status: &str) -> Run {
    Run {
        due: Some(at("2026-03-02T01:30:00Z")),
        started: Some(at(started)),
        ended: ended.map(at),
        workflow_id: "billing/invoices-2026-03-02T01:30:00Z".to_owned(),
        run_id: String::new(),
        status: Some(status.to_owned()),
    }
}

fn detail(view: ScheduleView) -> ScheduleDetail {
    ScheduleDetail {
        view: ScheduleView {
            source: Some("invoices.yaml".to_owned()),
            ..view
        },
        revision: Some(Revision::of(b"x")),
        flags: BTreeSet::new(),
        action_count: 41,
        recent_runs: vec![
            run_of(
                "2026-03-02T01:30:00.25Z",
                Some("2026-03-02T01:32:03Z"),
                "completed",
            ),
            run_of(
                "2026-03-02T01:30:02Z",
                Some("2026-03-02T01:30:02.1Z"),
                "failed",
            ),
            run_of("2026-03-02T11:30:00Z", None, "running"),
        ],
        zone_difference: None,
        fields: Vec::new(),
        document: Some(
            "id: invoices\nschedule:\n  cron: \"30 4 * * 1-5\"\n  timezone: Europe/Berlin\n"
                .to_owned(),
        ),
        values: BTreeMap::new(),
    }
}

fn active() -> ScheduleDetail {
    detail(ScheduleView {
        timezone: "Europe/Berlin".to_owned(),
        next_runs: vec![at("2026-03-03T03:30:00Z")],
        ..view("invoices")
    })
}

/// A schedule about which there is much to say.
fn troubled() -> ScheduleDetail {
    detail(ScheduleView {
        paused_by: Some(PausedBy::Override),
        reason: Some("disk full".to_owned()),
        by: Some("ann@ops".to_owned()),
        overridden: Some(Box::new(Override {
            enabled: Some(false),
            cron: Some(vec!["0 5 * * *".to_owned()]),
            by: "ann@ops".to_owned(),
            reason: "disk full\nforged".to_owned(),
            until: Some(at("2026-03-02T14:00:00.987654Z")),
            ..Override::default()
        })),
        missed: Some(Missed {
            overlap: 2,
            catchup_window: 1,
            buffer: 3,
        }),
        overdue: Some(true),
        overdue_since: Some(at("2026-03-02T11:30:00Z")),
        remaining_actions: Some(1),
        drift: Some(BTreeSet::from([Field::Times, Field::Jitter])),
        unknown: BTreeSet::from([ScheduleState::Held]),
        ..in_states(
            "invoices",
            &[ScheduleState::Overridden, ScheduleState::Paused],
        )
    })
}

fn shown(detail: &ScheduleDetail, colors: bool, width: usize) -> String {
    let live = LiveVersions {
        versions: vec![
            LiveVersion {
                revision: Some(Revision::of(b"x")),
                source: Some("invoices.yaml".to_owned()),
                runs: 1,
                oldest: Some(at("2026-03-02T11:30:00Z")),
            },
            LiveVersion {
                revision: None,
                source: None,
                runs: 2,
                oldest: None,
            },
        ],
        truncated: true,
    };
    let width = Some(width);
    let page = scheduled(
        detail,
        &live,
        &Events::default(),
        at("2026-03-02T12:00:00Z"),
    );
    page.rendered(Medium { colors, width })
        .replace('\u{1b}', "ESC")
}

#[test]
fn a_schedule_is_shown_with_its_runs_and_its_values() {
    insta::assert_snapshot!(shown(&active(), false, 80), @r#"
    ● invoices  active
      Schedule  schedule-p-invoices
      Times     04:30 Mon–Fri Europe/Berlin
      Source    invoices.yaml, revision 2d711642b726b044
      Started   41 runs

    Next runs
      Mon 2026-03-02 13:04:12 +01:00  (2026-03-02 12:04:12 UTC)  in 4m 12s
      Tue 2026-03-03 04:30:00 +01:00  (2026-03-03 03:30:00 UTC)

    Recent runs
      STARTED               DELAY  DURATION  STATUS   WORKFLOW
      2026-03-02 11:30:00Z  10h    30m       running  billing/invoices-2026-03-02T0…
      2026-03-02 01:30:02Z  2s     100ms     failed   billing/invoices-2026-03-02T0…
      2026-03-02 01:30:00Z  250ms  2m 2s     ok       billing/invoices-2026-03-02T0…

    Versions with running workflows
      2d711642b726b044 (current)  invoices.yaml  1 run, the oldest since 30m ago
      unknown  started by name  2 runs
      and more: not all runs were read

    Live values, as a definition
      id: invoices
      schedule:
        cron: "30 4 * * 1-5"
        timezone: Europe/Berlin
    "#);
    insta::assert_snapshot!(shown(&active(), true, 120), @r#"
    ESC[32m● ESC[0mESC[1minvoicesESC[0m  ESC[32mactiveESC[0m
      ESC[2mScheduleESC[0m  schedule-p-invoices
      ESC[2mTimesESC[0m     04:30 Mon–Fri Europe/Berlin
      ESC[2mSourceESC[0m    invoices.yaml, revision 2d711642b726b044
      ESC[2mStartedESC[0m   41 runs

    ESC[1mNext runsESC[0m
      Mon 2026-03-02 13:04:12 +01:00  (2026-03-02 12:04:12 UTC)ESC[1m  in 4m 12sESC[0m
      Tue 2026-03-03 04:30:00 +01:00  (2026-03-03 03:30:00 UTC)

    ESC[1mRecent runsESC[0m
    ESC[1m  STARTEDESC[0m               ESC[1mDELAYESC[0m  ESC[1mDURATIONESC[0m  ESC[1mSTATUSESC[0m   ESC[1mWORKFLOWESC[0m
      2026-03-02 11:30:00Z  10h    30m       running  billing/invoices-2026-03-02T01:30:00Z
      2026-03-02 01:30:02Z  2s     100ms     ESC[31mfailedESC[0m   billing/invoices-2026-03-02T01:30:00Z
      2026-03-02 01:30:00Z  250ms  2m 2s     ok       billing/invoices-2026-03-02T01:30:00Z

    ESC[1mVersions with running workflowsESC[0m
      2d711642b726b044 (current)  invoices.yaml  1 run, the oldest since 30m ago
      unknown  started by name  2 runs
      and more: not all runs were read

    ESC[1mLive values, as a definitionESC[0m
      id: invoices
      schedule:
        cron: "30 4 * * 1-5"
        timezone: Europe/Berlin
    "#);
}

#[test]
fn a_schedule_in_trouble_says_why() {
    insta::assert_snapshot!(shown(&troubled(), false, 120), @r#"
    ● invoices  overridden, paused by an override
      Schedule  schedule-p-invoices
      Times     04:30 Mon–Fri Europe/Berlin
      Override  paused, cron "0 5 * * *" until 2026-03-02 14:00:00Z (in 2h), by ann@ops: disk full\nforged
      Source    invoices.yaml, revision 2d711642b726b044
      Overdue   since 2026-03-02 11:30:00Z (30m): a run was due and has not started
      Drift     times, jitter differ from what Almanac wrote
      Started   41 runs; 1 action is left
      Missed    2 skipped because an earlier run was still running (overlap_policy)
      Missed    1 due while Temporal was down for longer than the catchup_window
      Missed    3 dropped because too many runs were waiting
      Unknown   held

    Next runs
      none while the schedule is paused

    Recent runs
      STARTED               DELAY  DURATION  STATUS   WORKFLOW
      2026-03-02 11:30:00Z  10h    30m       running  billing/invoices-2026-03-02T01:30:00Z
      2026-03-02 01:30:02Z  2s     100ms     failed   billing/invoices-2026-03-02T01:30:00Z
      2026-03-02 01:30:00Z  250ms  2m 2s     ok       billing/invoices-2026-03-02T01:30:00Z

    Versions with running workflows
      2d711642b726b044 (current)  invoices.yaml  1 run, the oldest since 30m ago
      unknown  started by name  2 runs
      and more: not all runs were read

    Live values, as a definition
      id: invoices
      schedule:
        cron: "30 4 * * 1-5"
        timezone: Europe/Berlin
    "#);
}

#[test]
fn an_unmanaged_schedule_is_shown_as_such() {
    let conflict = ScheduleDetail {
        document: None,
        revision: None,
        recent_runs: Vec::new(),
        ..detail(in_states("taken", &[ScheduleState::Conflict]))
    };
    let text = shown(&conflict, false, 80);
    assert!(
        text.contains("Almanac does not manage the schedule"),
        "{text}"
    );
    assert!(!text.contains("Live values"), "{text}");
}

#[test]
fn a_definition_without_a_schedule_shows_the_events_that_start_it() {
    let text = "id: capture\ntriggers: [{ event: com.shop.paid, when: .data.amount > 9 }]\ndo: [a: { wait: PT1S }]\n";
    let context = ParseContext {
        now: Timestamp::UNIX_EPOCH,
    };
    let mut parsed = parse_file("capture.yaml", text.as_bytes(), &context);
    let Ok(Parsed::Definition(definition)) = parsed.remove(0).result else {
        panic!("no definition");
    };
    let run = EventRun {
        workflow_id: "shop/capture/1".to_owned(),
        run_id: String::new(),
        status: Some("failed".to_owned()),
        started: Some(at("2026-03-02T11:57:00Z")),
        ended: Some(at("2026-03-02T11:57:02Z")),
        event: EventOrigin {
            event: EventKey {
                kind: "com.shop.paid".to_owned(),
                source: "/shop\u{202e}".to_owned(),
                id: "7\n".to_owned(),
            },
            ..EventOrigin::default()
        },
    };
    let events = Events {
        triggers: Some(definition.triggers.clone()),
        source: "capture.yaml:1".to_owned(),
        event_runs: vec![run],
    };
    let live = LiveVersions::default();
    let page = unscheduled(&definition.id, &live, &events, at("2026-03-02T12:00:00Z"));
    let (colors, width) = (false, Some(120));
    insta::assert_snapshot!(page.rendered(Medium { colors, width }), @r#"
    capture
      The definition has no schedule: events start it.

    Triggers, as in capture.yaml:1
      com.shop.paid
        when         .data.amount > 9
        input        the event's data
        workflow id  of the event's source and id
        on conflict  use_existing: the event starts nothing

    Last runs that events started
      STARTED               DURATION  STATUS  EVENT          SOURCE AND ID      WORKFLOW
      2026-03-02 11:57:00Z  2s        failed  com.shop.paid  /shop\u{202e} 7\n  shop/capture/1
    "#);
}
