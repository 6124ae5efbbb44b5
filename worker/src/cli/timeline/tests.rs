//! Drawings of timelines.

use std::sync::Arc;

use almanac_activities::schedules::view::{
    ListedSchedule, ListedTimes, ScheduleState, ScheduleView,
};
use almanac_activities::timeline::{
    Band, BusyMinute, Density, FreeSpan, Gap, GapCause, RunCounts, RunStatus, TimelineRun,
};
use almanac_base::text;

use super::super::list::tests::{in_states, view};
use super::*;

/// `11-29 12:00` stands for a minute of 2026 in UTC.
fn at(text: &str) -> Timestamp {
    let text = format!("2026-{}:00Z", text.replace(' ', "T"));
    text.parse().unwrap()
}

fn berlin() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap()
}

fn lane(schedule: ScheduleView) -> Lane {
    Lane {
        schedule: ScheduleView {
            next_run: None,
            ..schedule
        },
        runs: Vec::new(),
        typical: None,
        gaps: Vec::new(),
        gaps_from: None,
        gaps_unknown: None,
        expected: Vec::new(),
        expected_until: None,
        band: None,
    }
}

fn run(started: &str, ended: Option<&str>, status: RunStatus) -> TimelineRun {
    TimelineRun {
        due: Some(at(started)),
        started: at(started),
        ended: ended.map(at),
        status,
        workflow_id: "p/a".into(),
        run_id: "1".into(),
    }
}

fn gap(due: &str, cause: Option<GapCause>) -> Gap {
    Gap {
        due: at(due),
        cause,
    }
}

/// The timeline of a day, 12 hours on each side of noon UTC.
fn shown() -> Shown {
    let hourly = |hours: std::ops::Range<u8>| -> Vec<_> {
        let at = |hour| at(&format!("11-29 {hour:02}:15"));
        hours.map(at).collect()
    };
    let (failed, completed) = (RunStatus::Failed, RunStatus::Completed);
    let ledger = hourly(0..12)
        .into_iter()
        .enumerate()
        .map(|(hour, started)| TimelineRun {
            started,
            ended: Some(started),
            ..run(
                "11-29 00:00",
                None,
                if hour == 7 { failed } else { completed },
            )
        });
    let mut starts = vec![0; 288];
    starts[(0..12).map(|hour| hour * 12 + 3).sum::<usize>() % 288] = 1;
    let mut expected = vec![0; 288];
    for (slot, count) in [(150, 4), (200, 8), (260, 14)] {
        expected[slot] = count;
    }
    let busiest = starts.iter().zip(&expected).map(|(a, b)| a + b).collect();
    let lanes = vec![
        Lane {
            runs: ledger.collect(),
            expected: hourly(12..24),
            ..lane(view("ledger-close"))
        },
        Lane {
            runs: vec![run("11-29 01:00", Some("11-29 03:30"), completed)],
            schedule: ScheduleView {
                next_run: Some(at("11-30 01:00")),
                ..view("backup-of-the-main-database-cluster")
            },
            ..lane(view("x"))
        },
        Lane {
            runs: vec![run("11-29 10:30", None, RunStatus::Running)],
            gaps: vec![
                gap("11-29 11:00", Some(GapCause::Overlap)),
                gap("11-29 11:30", Some(GapCause::Waiting)),
            ],
            expected: vec![at("11-29 14:00")],
            ..lane(view("reindex"))
        },
        Lane {
            gaps: vec![gap("11-29 08:00", None), gap("11-29 09:00", None)],
            ..lane(in_states("settle-cards", &[ScheduleState::Overridden]))
        },
        Lane {
            band: Some(Band {
                starts: [vec![5; 144], vec![0; 144]].concat(),
                failures: [vec![0; 60], vec![1; 3], vec![0; 225]].concat(),
                expected: [vec![0; 144], vec![5; 144]].concat(),
            }),
            ..lane(view("heartbeat"))
        },
        lane(in_states("off", &[ScheduleState::Paused])),
    ];
    Shown {
        overview: TimelineOverview {
            from: at("11-29 00:00"),
            to: at("11-30 00:00"),
            now: at("11-29 12:04"),
            schedules: 6,
            slot_seconds: 300,
            slots_from: at("11-29 00:00"),
            density: Density {
                starts,
                expected,
                busiest,
            },
            busiest: Some(BusyMinute {
                at: at("11-29 21:40"),
                starts: 14,
            }),
            free: vec![
                FreeSpan {
                    from: at("11-29 03:00"),
                    to: at("11-29 05:30"),
                },
                FreeSpan {
                    from: at("11-29 22:40"),
                    to: at("11-29 23:50"),
                },
            ],
            runs_from: Some(at("11-29 00:00")),
            runs: RunCounts::default(),
            expected_until: at("11-30 00:00"),
            gaps: 4,
            gaps_not_checked: 0,
        },
        total: lanes.len(),
        truncated: 0,
        lanes,
    }
}

fn drawn(shown: &Shown, width: usize) -> Page {
    page(
        shown,
        "project `shop` in namespace `default`",
        width,
        &berlin(),
    )
}

#[test]
fn a_day_on_a_terminal_of_80_columns() {
    insta::assert_snapshot!(drawn(&shown(), 80).at_width(80), @r"
    project `shop` in namespace `default`
    Sun 29 Nov 01:00 to Mon 30 Nov 01:00, Europe/Berlin

                                  03   06    09   12   15   18    21
                                          now 13:04 ▼
    starts a minute                                 ▃▃      ▅      ▁██
    ledger-close               ■ ■■ ■ ■·■■ ✗ ■ ■■ ■ ○ ○○ ○ ○·○○ ○ ○ ○○ ○
    backup-of-the-main-databa…  ━━━━━■ ·     ·    · │  ·    ·     ·
    reindex                       ·    ·     ·   ━~~►  ○    ·     ·
    settle-cards                  ·    ·     !!   · │  ·    ·     ·       overridden
    heartbeat                  ■■■■■■■■✗✗■■■■■■■■■■■○○○○○○○○○○○○○○○○○○○○○

    ■ completed   ✗ failed   ► running   ! due, not started
    ~ an earlier run had not ended   ○ to come   │ now

    starts   1 past, 26 to come
    busiest  Sun 29 Nov 22:40, 14 starts in a minute
    free     Sun 29 Nov 04:00 to 06:30 (2h 30m)
             Sun 29 Nov 23:40 to Mon 30 Nov 00:50 (1h 10m)
    gaps     4
      reindex: an earlier run had not ended: Sun 29 Nov 12:00
      reindex: waits for the end of an earlier run: Sun 29 Nov 12:30
      settle-cards: due, not started: Sun 29 Nov 09:00, Sun 29 Nov 10:00
    nothing here: 1 schedule: off
    ");
}

#[test]
fn a_day_on_a_wide_terminal() {
    insta::assert_snapshot!(drawn(&shown(), 140).at_width(140), @r"
    project `shop` in namespace `default`
    Sun 29 Nov 01:00 to Mon 30 Nov 01:00, Europe/Berlin

                                     01  02  03  04  05  06  07  08  09  10  11  12  13  14  15  16  17  18  19  20  21  22  23
                                                                           now 13:04 ▼
    starts a minute                                                                    ▃               ▅                 ▁ █
    ledger-close                     ·■  ·■  ·■  ·■  ·■  ·■  ·■  ·✗  ·■  ·■  ·■  ·■  │○  ·○  ·○  ·○  ·○  ·○  ·○  ·○  ·○  ·○  ·○   ○
    backup-of-the-main-database-clu… ·   ━━━━━━━━━━■ ·   ·   ·   ·   ·   ·   ·   ·   │ next Mon 30 Nov 02:00 ·   ·   ·   ·   ·
    reindex                          ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   · ━━~━~━►   ·   ○   ·   ·   ·   ·   ·   ·   ·   ·
    settle-cards                     ·   ·   ·   ·   ·   ·   ·   ·   !   !   ·   ·   │   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·        overridden
    heartbeat                        ■■■■■■■■■■■■■■■■■■■■✗■■■■■■■■■■■■■■■■■■■■■■■■■■■○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○

    ■ completed   ✗ failed   ► running   ! due, not started   ~ an earlier run had not ended   ○ to come   │ now

    starts   1 past, 26 to come
    busiest  Sun 29 Nov 22:40, 14 starts in a minute
    free     Sun 29 Nov 04:00 to 06:30 (2h 30m)
             Sun 29 Nov 23:40 to Mon 30 Nov 00:50 (1h 10m)
    gaps     4
      reindex: an earlier run had not ended: Sun 29 Nov 12:00
      reindex: waits for the end of an earlier run: Sun 29 Nov 12:30
      settle-cards: due, not started: Sun 29 Nov 09:00, Sun 29 Nov 10:00
    nothing here: 1 schedule: off
    ");
}

#[test]
fn colors_repeat_what_the_marks_say() {
    let page = drawn(&shown(), 80);
    let text = page.in_color();
    let line = |name: &str| {
        text.lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
    };
    insta::assert_snapshot!(line("ledger-close"), @"ledger-close               ESC[32m■ESC[0m ESC[32m■■ESC[0m ESC[32m■ESC[0m ESC[32m■ESC[0mESC[2m·ESC[0mESC[32m■■ESC[0m ESC[31m✗ESC[0m ESC[32m■ESC[0m ESC[32m■■ESC[0m ESC[32m■ESC[0m ○ ○○ ○ ○ESC[2m·ESC[0m○○ ○ ○ ○○ ○");
    insta::assert_snapshot!(line("settle-cards"), @"settle-cards                  ESC[2m·ESC[0m    ESC[2m·ESC[0m     ESC[33m!!ESC[0m   ESC[2m·ESC[0m ESC[1m│ESC[0m  ESC[2m·ESC[0m    ESC[2m·ESC[0m     ESC[2m·ESC[0m       ESC[33moverriddenESC[0m");
    insta::assert_snapshot!(line("reindex"), @"reindex                       ESC[2m·ESC[0m    ESC[2m·ESC[0m     ESC[2m·ESC[0m   ESC[1m━ESC[0mESC[33m~~ESC[0mESC[1m►ESC[0m  ○    ESC[2m·ESC[0m     ESC[2m·ESC[0m");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let mut shown = shown();
    shown.overview.runs.truncated = true;
    shown.overview.gaps_not_checked = 3;
    shown.overview.expected_until = at("11-29 20:00");
    shown.truncated = 9;
    for width in [60, 80, 81, 97, 120, 200, 300] {
        for line in drawn(&shown, width).at_width(width).lines() {
            assert!(text::width(line) <= width, "{width}: {line}");
        }
    }
}

#[test]
fn the_parts_that_are_left_out_are_named() {
    let mut shown = shown();
    shown.overview.runs_from = Some(at("11-29 06:30"));
    shown.overview.runs = RunCounts {
        read: 20_000,
        truncated: true,
        found: [("completed".to_owned(), 70_000), ("failed".to_owned(), 5)].into(),
    };
    shown.overview.gaps_not_checked = 1;
    shown.overview.expected_until = at("11-29 20:00");
    shown.total = 1009;
    shown.truncated = 1003;
    let text = drawn(&shown, 120).at_width(120);
    let rest = text.split("nothing here").nth(1).unwrap();
    insta::assert_snapshot!(rest, @r"
    : 1 schedule: off
    not shown: 1003 more; --selector selects fewer schedules
    runs before Sun 29 Nov 07:30 may be missing: 20000 of 70005 were read
    1 schedule may have more gaps and could not be checked
    after Sun 29 Nov 21:00, not all times to come are known
    ");
}

#[test]
fn many_gaps_are_a_few_lines() {
    let mut shown = shown();
    let gaps = || {
        (0..9)
            .map(|hour| gap(&format!("11-29 0{hour}:00"), None))
            .collect()
    };
    shown.lanes = (0..14)
        .map(|n| Lane {
            gaps: gaps(),
            ..lane(view(&format!("job-{n:02}")))
        })
        .collect();
    let text = drawn(&shown, 100).at_width(100);
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("  ")).collect();
    let of_gaps: Vec<_> = lines.iter().filter(|line| line.contains("job-")).collect();
    assert_eq!(of_gaps.len(), 10);
    insta::assert_snapshot!(of_gaps[0], @"  job-00: due, not started: 6 earlier, Sun 29 Nov 07:00, Sun 29 Nov 08:00, Sun 29 Nov 09:00");
    insta::assert_snapshot!(lines.last().unwrap(), @"  and 4 more");
}

#[test]
fn a_day_on_which_the_clock_changes_has_an_hour_twice() {
    let mut shown = shown();
    shown.overview.from = at("10-24 22:00");
    shown.overview.to = at("10-25 06:00");
    shown.overview.now = at("10-25 05:00");
    let axis = axis::Axis::new(&shown.overview, 80, &berlin());
    let labels: Vec<_> = axis
        .labels
        .iter()
        .map(|(_, label)| label.as_str())
        .collect();
    assert_eq!(labels, ["Sun 25", "01", "02", "02", "03", "04", "05", "06"]);
}

#[test]
fn a_week_has_its_days_on_the_axis() {
    let mut shown = shown();
    shown.overview.from = at("11-25 12:00");
    shown.overview.to = at("12-02 12:00");
    let axis = axis::Axis::new(&shown.overview, 60, &berlin());
    let labels: Vec<_> = axis
        .labels
        .iter()
        .map(|(_, label)| label.as_str())
        .collect();
    insta::assert_snapshot!(labels.join(" "), @"Thu 26 Fri 27 Sat 28 Sun 29 Mon 30 Tue 01");
    assert_eq!(axis.column(at("11-25 11:59")), None);
    assert_eq!(axis.column(at("11-25 12:00")), Some(0));
    assert_eq!(axis.column(at("12-02 11:59")), Some(59));
    assert_eq!(axis.nearest(at("12-09 12:00")), 59);
}

#[test]
fn the_lanes_of_an_answer_are_bounded() {
    let listed = |n: usize| {
        let times = ListedTimes {
            spec: Arc::default(),
            is_whole: true,
            after: None,
            server_times: 0,
            is_managed: true,
            is_marked: true,
            digest: 0,
        };
        let view = view(&format!("job-{n:04}"));
        Arc::new(ListedSchedule { view, times })
    };
    let now = at("11-29 12:00");
    let window = Window::new(Some(now), None, now).unwrap();
    let timeline = Timeline::of_future(window, now, (0..LANES + 7).map(listed).collect());
    let all = Shown::of(&timeline, None);
    assert_eq!(
        (all.total, all.lanes.len(), all.truncated),
        (LANES + 7, LANES, 7)
    );
    let two = ["job-1006", "job-0001", "job-9999"].map(|id| id.parse().unwrap());
    let some = Shown::of(&timeline, Some(&two.into()));
    let ids = some
        .lanes
        .iter()
        .map(|lane| lane.schedule.definition.as_str());
    assert_eq!(ids.collect::<Vec<_>>(), ["job-0001", "job-1006"]);
    assert_eq!((some.total, some.truncated), (2, 0));
}

#[test]
fn a_project_without_schedules_says_so() {
    let mut shown = shown();
    shown.total = 0;
    insta::assert_snapshot!(drawn(&shown, 80), @"none of the 6 schedules matches");
    shown.overview.schedules = 0;
    insta::assert_snapshot!(drawn(&shown, 80), @"no schedules of project `shop` in namespace `default`");
}
