use almanac_base::names::Revision;
use almanac_core::record::{
    DefinitionCounts, Held, Override, ReportError, ScheduleCounts, Suspension,
};

use almanac_activities::schedules::view::PausedBy;

use super::super::list::tests::{in_states, view};
use super::findings::{FindingKind, ITEMS_SHOWN};
use super::*;
use crate::console::Medium;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-03-02T12:00:00Z")
}

fn project() -> Project {
    "billing".parse().unwrap()
}

/// A project in which nothing is wrong.
fn healthy() -> Status {
    let worker = WorkerState {
        revision: Revision::of(b"x"),
        answered_at: at("2026-03-02T11:59:48Z"),
        ..WorkerState::default()
    };
    Status {
        state: "idle".to_owned(),
        workers: BTreeMap::from([(serde_json::from_str("\"ops-1\"").unwrap(), worker)]),
        last_success: Some(at("2026-03-02T11:58:00Z")),
        reports: vec![Report {
            pass: 41,
            started_at: at("2026-03-02T11:58:00Z"),
            duration_ms: 47,
            schedules: ScheduleCounts {
                desired: 2,
                unchanged: 2,
                ..ScheduleCounts::default()
            },
            conflicts: Some(Vec::new()),
            unreadable: Some(Vec::new()),
            ..Report::default()
        }],
        ..Status::default()
    }
}

fn of(status: Status, views: &[ScheduleView]) -> ProjectStatus {
    let mut findings = of_reconciler(&project(), &status, now());
    let overdue = Overdue {
        found: vec![("nightly".parse().unwrap(), at("2026-03-02T11:30:00Z"))],
        unchecked: 0,
    };
    let overdue = if views.is_empty() {
        Overdue::default()
    } else {
        overdue
    };
    findings.extend(overdue.finding(&project(), now()));
    findings.extend(of_schedules(&project(), views));
    let place = ("temporal:7233".to_owned(), "default".to_owned());
    ProjectStatus::new(project(), place, status, views, findings)
}

/// A project in which everything is wrong that can be.
fn broken() -> ProjectStatus {
    let mut status = healthy();
    status.suspended = Some(Suspension {
        reason: "migration".to_owned(),
        by: "ann@ops".to_owned(),
        at: at("2026-03-02T10:00:00Z"),
    });
    status.last_error = Some("list the schedules: deadline exceeded".to_owned());
    status.held = Some(Held {
        digest: "5f2a".to_owned(),
        reason: "40 of 100 schedules would be removed at once".to_owned(),
        ids: (1..=6).map(|n| format!("schedule-billing-{n}")).collect(),
        count: 40,
    });
    let report = &mut status.reports[0];
    report.definitions = DefinitionCounts {
        invalid: 1,
        ..DefinitionCounts::default()
    };
    let error = |source: &str, id: Option<&str>, message: &str| ReportError {
        source: source.to_owned(),
        id: id.map(str::to_owned),
        message: message.to_owned(),
    };
    report.errors = vec![
        error("a.yaml:3:5", None, "schedule.corn: unknown key\nforged"),
        error("temporal", Some("b"), "refused"),
    ];
    let paused = ScheduleView {
        paused_by: Some(PausedBy::Hand),
        reason: Some("the bank is down".to_owned()),
        ..in_states("payouts", &[ScheduleState::Paused])
    };
    let overridden = ScheduleView {
        reason: Some("disk full".to_owned()),
        by: Some("ann@ops".to_owned()),
        overridden: Some(Box::new(Override {
            until: Some(at("2026-03-02T14:00:00Z")),
            ..Override::default()
        })),
        ..in_states("report", &[ScheduleState::Overridden])
    };
    let failed = ScheduleView {
        paused_by: Some(PausedBy::Failure),
        ..in_states("import", &[ScheduleState::Paused])
    };
    let views = [
        view("heartbeat"),
        paused,
        overridden,
        failed,
        in_states("taken", &[ScheduleState::Conflict]),
        in_states("lost", &[ScheduleState::Orphaned]),
        in_states("waits", &[ScheduleState::Held, ScheduleState::Orphaned]),
        in_states("fought", &[ScheduleState::Contested]),
        in_states("odd", &[ScheduleState::Unreadable]),
    ];
    of(status, &views)
}

fn shown(status: &ProjectStatus, colors: bool) -> String {
    let width = Some(80);
    let shown = text(status, now()).rendered(Medium { colors, width });
    shown.replace('\u{1b}', "ESC")
}

#[test]
fn a_healthy_project_takes_a_few_lines() {
    let status = of(healthy(), &[]);
    assert!(status.healthy);
    insta::assert_snapshot!(shown(&status, false), @r"
    ● billing: nothing is wrong
      Temporal    temporal:7233, namespace default
      Workers     1 alive (ops-1), last heard 12s ago
      Reconciler  idle
      Last pass   41, 2m ago, 47 ms: 2 unchanged
      Schedules   0
    ");
    insta::assert_snapshot!(shown(&status, true), @r"
    ESC[32m●ESC[0mESC[1m billingESC[0m: nothing is wrong
      ESC[2mTemporalESC[0m    temporal:7233, namespace default
      ESC[2mWorkersESC[0m     1 alive (ops-1), last heard 12s ago
      ESC[2mReconcilerESC[0m  idle
      ESC[2mLast passESC[0m   41, 2m ago, 47 ms: 2 unchanged
      ESC[2mSchedulesESC[0m   0
    ");
}

#[test]
fn every_problem_has_its_command() {
    let status = broken();
    assert!(!status.healthy);
    insta::assert_snapshot!(shown(&status, false), @r"
    ● billing: 10 problems
      Temporal    temporal:7233, namespace default
      Workers     1 alive (ops-1), last heard 12s ago
      Reconciler  idle
      Last pass   41, 2m ago, 47 ms: 2 unchanged
      Schedules   9: 1 conflict, 1 unreadable, 1 held, 1 orphaned, 1 contested, 1 overridden, 2 paused, 1 active

    ~ Almanac was suspended at 2026-03-02 10:00:00Z (2h ago) by ann@ops: migration
      → almanac resume --project billing

    ! the last pass did not end well: list the schedules: deadline exceeded
      → almanac sync --project billing

    ! 1 document is invalid, and its schedule stays as it is
        a.yaml:3:5: schedule.corn: unknown key\nforged
      → almanac validate

    ! pass 41 had 1 error
        b: refused
      → almanac sync --project billing

    ! 40 removals wait for confirmation: 40 of 100 schedules would be removed at once
        schedule-billing-1
        schedule-billing-2
        schedule-billing-3
        schedule-billing-4
        schedule-billing-5
        and 35 more
      → almanac plan --project billing
      → almanac sync --project billing --confirm 5f2a

    ! 1 schedule is overdue: a run was due and has not started
        nightly: was due at 2026-03-02 11:30:00Z (30m ago)
      → almanac show nightly --project billing

    ! 1 schedule: an unmanaged schedule has the id; give the definition another id
        taken
      → almanac show taken --project billing

    ! 1 schedule: the server cannot describe the schedule; Almanac does not write to it
        odd
      → almanac list --project billing --state unreadable

    ! 1 schedule: others keep changing fields back; Almanac tries again every hour
        fought
      → almanac history fought --project billing

    ! 1 schedule: no definition asks for the schedule
        lost
      → almanac list --project billing --state orphaned

    ! 1 schedule: paused by the server after a failed run
        import
      → almanac unpause import --project billing

    ~ 1 schedule: an operator's override is in force
        report: disk full (by ann@ops, until 2026-03-02 14:00:00Z)
      → almanac clear-override report --project billing

    ~ 1 schedule: paused manually
        payouts: the bank is down
      → almanac list --project billing --state paused
    ");
}

#[test]
fn what_operators_did_is_no_problem() {
    let paused = ScheduleView {
        paused_by: Some(PausedBy::Hand),
        ..in_states("payouts", &[ScheduleState::Paused])
    };
    let findings = of_schedules(&project(), &[paused]);
    assert_eq!(findings.len(), 1);
    assert!(findings.iter().all(|finding| !finding.problem));
}

#[test]
fn findings_are_cut_to_what_a_screen_holds() {
    let views: Vec<_> = (0..100)
        .map(|n| in_states(&format!("s{n}"), &[ScheduleState::Contested]))
        .collect();
    let status = of(healthy(), &views);
    let contested = status.findings.iter();
    let contested = contested.filter(|one| one.kind == FindingKind::Contested);
    let contested: Vec<_> = contested.collect();
    assert_eq!(contested[0].items.len(), ITEMS_SHOWN);
    assert_eq!(contested[0].count, 100);
    assert!(shown(&status, false).contains("and 95 more"));
}

#[test]
fn a_missing_folder_is_no_invalid_document() {
    let mut status = healthy();
    status.reports[0].errors = vec![ReportError {
        source: "definitions".to_owned(),
        id: None,
        message: "cannot read the folder `/etc/almanac`".to_owned(),
    }];
    let status = of(status, &[]);
    let kinds: Vec<_> = status.findings.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [FindingKind::Failed]);
    let shown = shown(&status, false);
    assert!(
        shown.contains("definitions: cannot read the folder"),
        "{shown}"
    );
}

#[test]
fn a_project_without_a_full_pass_is_not_called_healthy() {
    let mut status = healthy();
    status.reports.clear();
    let status = of(status, &[]);
    assert!(!status.healthy);
    let shown = shown(&status, false);
    assert!(shown.contains("no full pass has ended"), "{shown}");
    assert!(shown.contains("could not be checked: conflict"), "{shown}");
}

#[test]
fn late_schedules_that_could_not_be_checked_are_counted() {
    let overdue = Overdue {
        found: Vec::new(),
        unchecked: 3,
    };
    let finding = overdue.finding(&project(), now()).unwrap();
    assert!(finding.problem);
    let expected = "3 schedules are late, and could not be checked";
    assert_eq!(finding.summary, expected);
}
