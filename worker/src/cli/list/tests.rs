use almanac_base::names::ScheduleId;
use almanac_core::definition::Labels;
use almanac_core::record::Override;

use super::*;
use crate::console::Medium;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-03-02T12:00:00Z")
}

/// An active schedule in the list.
pub(in crate::cli) fn view(id: &str) -> ScheduleView {
    ScheduleView {
        id: ScheduleId::from_server(format!("schedule-p-{id}")),
        definition: id.parse().unwrap(),
        source: None,
        description: None,
        labels: Labels::default(),
        state: ScheduleState::Active,
        conditions: BTreeSet::new(),
        unknown: BTreeSet::new(),
        paused: false,
        paused_by: None,
        note: "Managed by Almanac from a.yaml".to_owned(),
        reason: None,
        by: None,
        overridden: None,
        cron: vec!["30 4 * * 1-5".to_owned()],
        every: Vec::new(),
        summary: "04:30 Mon–Fri Europe/Berlin".to_owned(),
        timezone: "Europe/Berlin".to_owned(),
        workflow_type: "InvoiceRun".to_owned(),
        next_run: Some(at("2026-03-02T12:04:12Z")),
        next_runs: Vec::new(),
        last_run: Some(Box::new(run("completed"))),
        missed: None,
        overdue: None,
        overdue_since: None,
        remaining_actions: None,
        drift: None,
    }
}

fn run(status: &str) -> LastRun {
    LastRun {
        at: at("2026-03-02T11:57:00Z"),
        workflow_id: "p/a".to_owned(),
        run_id: String::new(),
        status: Some(status.to_owned()),
    }
}

/// A schedule to which these states apply.
pub(in crate::cli) fn in_states(id: &str, states: &[ScheduleState]) -> ScheduleView {
    let conditions: BTreeSet<_> = states.iter().copied().collect();
    ScheduleView {
        state: *conditions.first().unwrap(),
        paused: conditions.contains(&ScheduleState::Paused),
        conditions,
        next_run: None,
        ..view(id)
    }
}

fn views() -> Vec<ScheduleView> {
    vec![
        ScheduleView {
            summary: "every 20s".to_owned(),
            next_run: Some(at("2026-03-02T12:00:07Z")),
            last_run: Some(Box::new(run("running"))),
            ..view("heartbeat")
        },
        ScheduleView {
            last_run: Some(Box::new(run("timed_out"))),
            ..view("invoices-of-the-night-with-a-long-name")
        },
        ScheduleView {
            paused_by: Some(PausedBy::Hand),
            reason: Some("the bank is down until Tuesday, says Ann".to_owned()),
            last_run: None,
            ..in_states("payouts", &[ScheduleState::Paused])
        },
        ScheduleView {
            paused_by: Some(PausedBy::Override),
            reason: Some("disk full".to_owned()),
            by: Some("ann@ops".to_owned()),
            overridden: Some(Box::new(Override {
                until: Some(at("2026-03-02T14:00:00Z")),
                ..Override::default()
            })),
            ..in_states(
                "report",
                &[ScheduleState::Overridden, ScheduleState::Paused],
            )
        },
        in_states("taken", &[ScheduleState::Conflict]),
        ScheduleView {
            overdue: Some(true),
            overdue_since: Some(at("2026-03-02T11:30:00Z")),
            ..view("stuck")
        },
    ]
}

fn shown(wide: bool, colors: bool, width: usize) -> String {
    let width = Some(width);
    table(&views(), wide, now()).rendered(Medium { colors, width })
}

#[test]
fn a_list_fits_its_terminal() {
    insta::assert_snapshot!(shown(false, false, 80), @r"
    ID            STATE       SCHEDULE      NEXT         LAST               NOTE
    heartbeat     active      every 20s     in 7s        3m ago, running
    invoices-of…  active      04:30 Mon–F…  in 4m 12s    3m ago, timed out
    payouts       paused      04:30 Mon–F…  -            -                  the ban…
    report        overridden  04:30 Mon–F…  -            3m ago, ok         disk fu…
    taken         conflict    04:30 Mon–F…  -            3m ago, ok
    stuck         active      04:30 Mon–F…  overdue 30m  3m ago, ok
    ");
    insta::assert_snapshot!(shown(false, false, 120), @r"
    ID                        STATE       SCHEDULE                  NEXT         LAST               NOTE
    heartbeat                 active      every 20s                 in 7s        3m ago, running
    invoices-of-the-night-w…  active      04:30 Mon–Fri Europe/Be…  in 4m 12s    3m ago, timed out
    payouts                   paused      04:30 Mon–Fri Europe/Be…  -            -                  the bank is down until…
    report                    overridden  04:30 Mon–Fri Europe/Be…  -            3m ago, ok         disk full
    taken                     conflict    04:30 Mon–Fri Europe/Be…  -            3m ago, ok
    stuck                     active      04:30 Mon–Fri Europe/Be…  overdue 30m  3m ago, ok
    ");
    for width in [80, 100, 120, 200] {
        for line in shown(false, false, width).lines() {
            assert!(almanac_base::text::width(line) <= width, "{width}: {line}");
        }
    }
}

#[test]
fn states_and_failed_runs_are_colored() {
    let shown = shown(false, true, 80).replace('\u{1b}', "ESC");
    insta::assert_snapshot!(shown, @r"
    ESC[1mIDESC[0m            ESC[1mSTATEESC[0m       ESC[1mSCHEDULEESC[0m      ESC[1mNEXTESC[0m         ESC[1mLASTESC[0m               ESC[1mNOTEESC[0m
    heartbeat     ESC[32mactiveESC[0m      every 20s     in 7s        3m ago, running
    invoices-of…  ESC[32mactiveESC[0m      04:30 Mon–F…  in 4m 12s    ESC[31m3m ago, timed outESC[0m
    payouts       ESC[33mpausedESC[0m      04:30 Mon–F…  -            -                  the ban…
    report        ESC[33moverriddenESC[0m  04:30 Mon–F…  -            3m ago, ok         disk fu…
    taken         ESC[31mconflictESC[0m    04:30 Mon–F…  -            3m ago, ok
    stuck         ESC[32mactiveESC[0m      04:30 Mon–F…  ESC[31moverdue 30mESC[0m  3m ago, ok
    ");
}

#[test]
fn the_wide_list_has_all_states_and_absolute_times() {
    insta::assert_snapshot!(shown(true, false, 200), @r"
    ID                                  STATE                              SCHEDULE                     NEXT                  LAST                             WORKFLOW    NOTE
    heartbeat                           active                             every 20s                    2026-03-02 12:00:07Z  2026-03-02 11:57:00Z, running    InvoiceRun
    invoices-of-the-night-with-a-long…  active                             04:30 Mon–Fri Europe/Berlin  2026-03-02 12:04:12Z  2026-03-02 11:57:00Z, timed out  InvoiceRun
    payouts                             paused manually                    04:30 Mon–Fri Europe/Berlin  -                     -                                InvoiceRun  the bank is down until Tuesday,…
    report                              overridden, paused by an override  04:30 Mon–Fri Europe/Berlin  -                     2026-03-02 11:57:00Z, ok         InvoiceRun  disk full (by ann@ops, until 202…
    taken                               conflict                           04:30 Mon–Fri Europe/Berlin  -                     2026-03-02 11:57:00Z, ok         InvoiceRun
    stuck                               active                             04:30 Mon–Fri Europe/Berlin  overdue 30m           2026-03-02 11:57:00Z, ok         InvoiceRun
    ");
}

#[test]
fn a_list_without_words_of_people_has_no_column_for_them() {
    let header = |views: &[ScheduleView]| {
        let text = table(views, false, now()).to_string();
        text.lines().next().unwrap().to_owned()
    };
    assert!(!header(&views()[..2]).contains("NOTE"));
    assert!(header(&views()).contains("NOTE"));
}

#[test]
fn lists_are_sorted_by_the_column_that_is_asked_for() {
    let sorted = |by| {
        let mut views = views();
        views[1].last_run.as_mut().unwrap().at = at("2026-03-02T11:59:00Z");
        sort(&mut views, by);
        let ids = views.iter().map(|view| view.definition.to_string());
        ids.collect::<Vec<_>>()
            .join(" ")
            .replace("-of-the-night-with-a-long-name", "")
    };
    assert_eq!(
        sorted(SortBy::Id),
        "heartbeat invoices payouts report taken stuck"
    );
    assert_eq!(
        sorted(SortBy::State),
        "taken report payouts heartbeat invoices stuck"
    );
    assert_eq!(
        sorted(SortBy::Next),
        "heartbeat invoices stuck payouts report taken"
    );
    assert_eq!(
        sorted(SortBy::Last),
        "invoices heartbeat report taken stuck payouts"
    );
}

#[test]
fn a_state_selects_the_schedules_to_which_it_applies() {
    let selected = |state| {
        let mut views = views();
        views.retain(|view| applies(state, view));
        views.len()
    };
    assert_eq!(selected(ScheduleState::Active), 3);
    assert_eq!(selected(ScheduleState::Paused), 2);
    assert_eq!(selected(ScheduleState::Overridden), 1);
    assert_eq!(selected(ScheduleState::Held), 0);
}

#[test]
fn a_run_that_should_have_started_is_late() {
    let late = ScheduleView {
        next_run: Some(at("2026-03-02T11:30:00Z")),
        ..view("late")
    };
    assert_eq!(
        next(&late, false, now()),
        Cell::toned(Tone::Caution, "late 30m")
    );
    let due = ScheduleView {
        next_run: Some(at("2026-03-02T11:59:30Z")),
        ..view("due")
    };
    assert_eq!(next(&due, false, now()), Cell::from("now"));
}
