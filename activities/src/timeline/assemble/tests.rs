//! Timelines of schedules and runs that need no server.

use std::collections::BTreeSet;
use std::time::Duration;

use almanac_base::names::Project;
use almanac_core::definition::{Labels, OverlapPolicy};
use almanac_times::compile_cron;

use super::super::gaps::GAPS;
use super::super::model::{Gap, GapCause};
use super::*;
use crate::schedules::Missed;
use crate::schedules::view::{ListedTimes, ScheduleState, TimesAfter};

fn at(text: &str) -> Timestamp {
    format!("{text}:00Z").parse().unwrap()
}

/// `11-29 12:00` stands for a minute of 2026 in UTC.
fn day(text: &str) -> Timestamp {
    at(&format!("2026-{}", text.replace(' ', "T")))
}

const NOW: &str = "11-29 12:00";

fn spec(cron: &str, timezone: &str) -> Spec {
    let compiled = compile_cron(cron).unwrap();
    Spec {
        calendars: compiled.calendars.into(),
        intervals: compiled.intervals.into(),
        timezone: timezone.to_owned(),
        ..Spec::default()
    }
}

/// A managed schedule of this spec that is listed at `now`.
fn listed(id: &str, spec: Spec, now: Timestamp) -> ListedSchedule {
    let project: Project = "p".parse().unwrap();
    let definition = id.parse().unwrap();
    let mut next = spec.times_after(now, 5).times.into_iter();
    let server_times = next.len();
    let view = ScheduleView {
        id: project.schedule_id(&definition),
        definition,
        source: None,
        description: None,
        labels: Labels::default(),
        state: ScheduleState::Active,
        conditions: BTreeSet::new(),
        unknown: BTreeSet::new(),
        paused: false,
        paused_by: None,
        note: String::new(),
        reason: None,
        by: None,
        overridden: None,
        summary: spec.words(None),
        cron: Vec::new(),
        every: Vec::new(),
        timezone: spec.timezone.clone(),
        workflow_type: "W".to_owned(),
        next_run: next.next(),
        next_runs: next.collect(),
        last_run: None,
        missed: None,
        overdue: None,
        overdue_since: None,
        remaining_actions: None,
        drift: None,
    };
    let times = ListedTimes {
        spec: Arc::new(spec),
        is_whole: true,
        after: None,
        server_times,
        is_managed: true,
        is_marked: true,
        digest: 0,
    };
    ListedSchedule { view, times }
}

fn cron(id: &str, cron: &str) -> ListedSchedule {
    listed(id, spec(cron, "UTC"), day(NOW))
}

fn run(due: &str, seconds: Option<i64>, status: RunStatus) -> TimelineRun {
    let due = day(due);
    TimelineRun {
        due: Some(due),
        started: due,
        ended: seconds.map(|seconds| due + SignedDuration::from_secs(seconds)),
        status,
        workflow_id: format!("p/a-{due}").into(),
        run_id: due.to_string().into(),
    }
}

fn completed(due: &str) -> TimelineRun {
    run(due, Some(60), RunStatus::Completed)
}

fn described(spec: &Spec, since: Option<&str>) -> DescribedLane {
    DescribedLane {
        facts: Facts {
            since: since.map(day),
            paused: false,
            overlap: OverlapPolicy::Skip,
            remaining: None,
            missed: Missed::default(),
        },
        spec: Arc::new(spec.clone()),
    }
}

fn window(from: &str, to: &str) -> Window {
    Window::new(Some(day(from)), Some(day(to)), day(NOW)).unwrap()
}

/// A draft of lanes with their runs, all of which are known.
fn draft(window: Window, lanes: Vec<(ListedSchedule, Vec<TimelineRun>)>) -> Draft {
    let (listed, by_lane): (Vec<_>, Vec<_>) = lanes.into_iter().unzip();
    let runs = Runs {
        by_lane,
        from: (window.from() < day(NOW)).then_some(window.from()),
        ..Runs::default()
    };
    let listed = listed.into_iter().map(Arc::new).collect();
    let retention = SignedDuration::from_hours(24 * 30);
    Draft::new(window, day(NOW), listed, runs, Some(retention))
}

/// The timeline of the draft after all suspects are described.
fn finished(draft: Draft, since: Option<&str>) -> Timeline {
    let known = draft.to_describe().into_iter().map(|lane| {
        let spec = &draft.listed(lane).times.spec;
        (lane, described(spec, since))
    });
    let known: BTreeMap<_, _> = known.collect();
    draft.finish(&known)
}

fn lanes(timeline: &Timeline) -> Vec<Lane> {
    let builder = timeline.lane_builder();
    let lanes = timeline.lanes().iter();
    lanes.map(|lane| builder.lane(lane)).collect()
}

fn hours(times: impl IntoIterator<Item = Timestamp>) -> String {
    let times = times.into_iter();
    let times = times.map(|time| time.strftime("%d %H:%M").to_string());
    times.collect::<Vec<_>>().join(", ")
}

fn dues(gaps: &[Gap]) -> String {
    hours(gaps.iter().map(|gap| gap.due))
}

#[test]
fn a_lane_has_its_runs_gaps_and_times_to_come() {
    let runs = vec![
        completed("11-29 09:00"),
        run("11-29 11:00", Some(3), RunStatus::Failed),
        run("11-29 12:00", None, RunStatus::Running),
    ];
    let draft = draft(
        window("11-29 08:30", "11-29 14:30"),
        vec![(cron("a", "0 * * * *"), runs.clone())],
    );
    assert_eq!(draft.to_describe(), [0]);
    let timeline = finished(draft, Some("11-01 00:00"));
    let lane = &lanes(&timeline)[0];
    assert_eq!(lane.runs, runs);
    assert_eq!(dues(&lane.gaps), "29 10:00");
    assert_eq!(lane.gaps_from, Some(day("11-29 08:30")));
    assert_eq!(hours(lane.expected.clone()), "29 13:00, 29 14:00");
    assert_eq!((lane.expected_until, &lane.band), (None, &None));
    let typical = Typical {
        milliseconds: 60_000,
        runs: 1,
    };
    assert_eq!(lane.typical, Some(typical));
    let overview = timeline.overview();
    assert_eq!((overview.gaps, overview.gaps_not_checked), (1, 0));
    let busiest = overview.busiest.unwrap();
    assert_eq!((busiest.at, busiest.starts), (day("11-29 09:00"), 1));
    let started: u32 = overview.density.starts.iter().sum();
    let expected: u32 = overview.density.expected.iter().sum();
    assert_eq!((started, expected), (3, 2));
    // The hour around the gap is not free.
    let free: Vec<_> = overview
        .free
        .iter()
        .map(|span| hours([span.from, span.to]))
        .collect();
    assert_eq!(free[0], "29 09:01, 29 10:00");
}

#[test]
fn the_typical_duration_is_the_median_of_the_completed_runs() {
    let runs = |seconds: &[i64]| -> Vec<_> {
        let completed = |seconds: &i64| run("11-29 01:00", Some(*seconds), RunStatus::Completed);
        seconds.iter().map(completed).collect()
    };
    let median = |seconds: &[i64]| typical(&runs(seconds)).map(|typical| typical.milliseconds);
    assert_eq!(median(&[]), None);
    assert_eq!(median(&[9]), Some(9000));
    assert_eq!(median(&[100, 1, 4]), Some(4000));
    assert_eq!(median(&[100, 1, 4, 5]), Some(4500));
    let failed = run("11-29 01:00", Some(7), RunStatus::Failed);
    assert_eq!(typical(&[failed]), None);
}

#[test]
fn times_are_those_of_the_clock_on_the_days_on_which_it_changes() {
    let expected = |cron: &str, zone: &str, now: &str, to: &str| {
        let window = Window::new(Some(day(now)), Some(day(to)), day(now)).unwrap();
        let listed = vec![Arc::new(listed("a", spec(cron, zone), day(now)))];
        let timeline = Timeline::of_future(window, day(now), listed);
        hours(lanes(&timeline)[0].expected.clone())
    };
    // The server's rules; see docs/times.md.
    let back = expected("30 * * * *", "Europe/Berlin", "10-24 23:00", "10-25 03:00");
    assert_eq!(back, "24 23:30, 25 00:30, 25 02:30");
    let back = expected(
        "30 1 * * *",
        "America/New_York",
        "10-31 23:00",
        "11-02 23:00",
    );
    assert_eq!(back, "01 05:30, 01 06:30, 02 06:30");
    let forward = expected("30 2 * * *", "Europe/Berlin", "03-28 12:00", "03-30 12:00");
    assert_eq!(forward, "30 00:30");
}

#[test]
fn gaps_are_those_of_the_clock_on_the_days_on_which_it_changes() {
    let gaps = |cron: &str, zone: &str, now: &str, runs: &[&str]| {
        let lane = listed("a", spec(cron, zone), day(now));
        let from = day(now) - SignedDuration::from_hours(6);
        let window = Window::new(Some(from), Some(day(now)), day(now)).unwrap();
        let runs = Runs {
            by_lane: vec![runs.iter().map(|due| completed(due)).collect()],
            from: Some(window.from()),
            ..Runs::default()
        };
        let retention = Some(SignedDuration::from_hours(48));
        let draft = Draft::new(window, day(now), vec![Arc::new(lane)], runs, retention);
        let timeline = finished(draft, Some("10-01 00:00"));
        dues(&lanes(&timeline)[0].gaps)
    };
    let new_york = |runs: &[&str]| gaps("30 1 * * *", "America/New_York", "11-01 08:00", runs);
    assert_eq!(new_york(&["11-01 05:30", "11-01 06:30"]), "");
    assert_eq!(new_york(&["11-01 05:30"]), "01 06:30");
    // The server starts no run at the second 01:30, and so there is no gap.
    let berlin = |runs: &[&str]| gaps("30 * * * *", "Europe/Berlin", "10-25 03:00", runs);
    let runs = [
        "10-24 21:30",
        "10-24 22:30",
        "10-24 23:30",
        "10-25 00:30",
        "10-25 02:30",
    ];
    assert_eq!(berlin(&runs), "");
    assert_eq!(berlin(&runs[..4]), "25 02:30");
}

#[test]
fn no_gap_is_claimed_where_it_cannot_be_known() {
    let unknown = |change: fn(&mut ListedSchedule)| {
        let mut lane = cron("a", "0 * * * *");
        change(&mut lane);
        let draft = draft(
            window("11-29 00:00", "11-30 00:00"),
            vec![(lane, Vec::new())],
        );
        let is_described = !draft.to_describe().is_empty();
        let timeline = finished(draft, Some("11-01 00:00"));
        let lane = &lanes(&timeline)[0];
        (is_described, lane.gaps.len(), lane.gaps_unknown)
    };
    let without = |why| (false, 0, Some(why));
    assert_eq!(unknown(|_| {}), (true, 12, None));
    let paused = unknown(|lane| lane.view.paused = true);
    assert_eq!(paused, without(GapsUnknown::Paused));
    let by_hand = unknown(|lane| lane.times.is_marked = false);
    assert_eq!(by_hand, without(GapsUnknown::Note));
    let unmanaged = unknown(|lane| lane.times.is_managed = false);
    assert_eq!(unmanaged, without(GapsUnknown::Unmanaged));
    // The server has other time zone data.
    let other = unknown(|lane| {
        lane.times.spec = Arc::new(spec("0 9 * * *", "Europe/Berlin"));
    });
    assert_eq!(other, without(GapsUnknown::Times));
}

#[test]
fn gaps_are_known_as_far_back_as_runs_and_as_the_server_keeps_them() {
    let gaps = |known_from: Option<&str>, retention: Option<i64>| {
        let window = window("11-29 00:00", "11-30 00:00");
        let runs = Runs {
            by_lane: vec![Vec::new()],
            from: known_from.map(day),
            ..Runs::default()
        };
        let listed = vec![Arc::new(cron("a", "0 * * * *"))];
        let retention = retention.map(SignedDuration::from_hours);
        let draft = Draft::new(window, day(NOW), listed, runs, retention);
        let timeline = finished(draft, Some("11-01 00:00"));
        let lane = &lanes(&timeline)[0];
        (hours(lane.gaps_from), lane.gaps.len(), lane.gaps_unknown)
    };
    let known = |from: &str, count| (from.to_owned(), count, None);
    let unknown = (String::new(), 0, Some(GapsUnknown::Runs));
    assert_eq!(gaps(Some("11-29 00:00"), Some(24)), known("29 00:00", 12));
    assert_eq!(gaps(Some("11-29 00:00"), Some(6)), known("29 06:00", 6));
    assert_eq!(gaps(Some("11-29 09:30"), Some(24)), known("29 09:30", 2));
    // Without the retention, any run may have been deleted.
    assert_eq!(gaps(Some("11-29 00:00"), None), unknown);
    assert_eq!(gaps(Some(NOW), Some(24)), unknown);
}

#[test]
fn a_time_is_a_gap_only_after_the_time_that_the_server_may_take() {
    let gaps = |jitter: u64| {
        let mut lane = cron("a", "* * * * *");
        lane.times.spec = Arc::new(Spec {
            jitter: Duration::from_secs(jitter),
            ..spec("* * * * *", "UTC")
        });
        let draft = draft(
            window("11-29 11:50", "11-29 12:10"),
            vec![(lane, Vec::new())],
        );
        let timeline = finished(draft, Some("11-01 00:00"));
        let gaps = lanes(&timeline)[0].gaps.clone();
        hours([gaps.last().unwrap().due])
    };
    assert_eq!(gaps(0), "29 11:58");
    assert_eq!(gaps(240), "29 11:54");
}

#[test]
fn a_skipped_run_has_its_cause() {
    let runs = vec![run("11-29 09:00", Some(7300), RunStatus::Completed)];
    let lanes_of = vec![(cron("a", "0 * * * *"), runs)];
    let draft = draft(window("11-29 08:30", "11-29 14:30"), lanes_of);
    let timeline = finished(draft, Some("11-01 00:00"));
    let gaps = &lanes(&timeline)[0].gaps;
    assert_eq!(dues(gaps), "29 10:00, 29 11:00");
    assert!(gaps.iter().all(|gap| gap.cause == Some(GapCause::Overlap)));
}

#[test]
fn a_paused_schedule_has_times_after_the_override_that_paused_it() {
    let expected = |after: Option<TimesAfter>| {
        let mut lane = cron("a", "0 * * * *");
        lane.view.paused = true;
        lane.times.after = after;
        let draft = draft(
            window("11-29 08:30", "11-29 16:30"),
            vec![(lane, Vec::new())],
        );
        let lane = lanes(&finished(draft, None)).remove(0);
        (hours(lane.expected), hours(lane.expected_until))
    };
    let after = |spec: Option<Spec>| {
        Some(TimesAfter {
            at: day("11-29 14:10"),
            spec: spec.map(Arc::new),
        })
    };
    let of = |times: &str, until: &str| (times.to_owned(), until.to_owned());
    assert_eq!(expected(None), of("", ""));
    let again = expected(after(Some(spec("30 * * * *", "UTC"))));
    assert_eq!(again, of("29 14:30, 29 15:30", ""));
    // Without the files, the times after the override are not known.
    assert_eq!(expected(after(None)), of("", "29 14:10"));
}

#[test]
fn an_override_ends_within_the_window() {
    let mut lane = cron("a", "0 * * * *");
    lane.times.after = Some(TimesAfter {
        at: day("11-29 14:10"),
        spec: Some(Arc::new(spec("30 15 * * *", "UTC"))),
    });
    let draft = draft(
        window("11-29 11:30", "11-29 16:30"),
        vec![(lane, Vec::new())],
    );
    let timeline = finished(draft, Some("11-29 11:45"));
    let lane = &lanes(&timeline)[0];
    assert_eq!(hours(lane.expected.clone()), "29 13:00, 29 14:00, 29 15:30");
    let expected: u32 = timeline.overview().density.expected.iter().sum();
    assert_eq!(expected, 3);
}

#[test]
fn a_schedule_has_no_more_times_than_actions() {
    let mut lane = cron("a", "0 * * * *");
    lane.view.next_runs.truncate(1);
    lane.times.server_times = 2;
    let draft = draft(
        window("11-29 11:30", "11-29 18:30"),
        vec![(lane, Vec::new())],
    );
    let timeline = finished(draft, None);
    assert_eq!(
        hours(lanes(&timeline)[0].expected.clone()),
        "29 13:00, 29 14:00"
    );
}

#[test]
fn the_times_of_a_cut_schedule_are_those_of_its_description() {
    let whole = spec("0 * * * *", "UTC");
    let mut lane = cron("a", "0 9 * * *");
    lane.times.is_whole = false;
    let window = window("11-29 08:30", "11-29 14:30");
    let not_described = draft(window, vec![(lane.clone(), Vec::new())]);
    assert_eq!(not_described.to_describe(), [0]);
    let timeline = not_described.finish(&BTreeMap::new());
    let shown = &lanes(&timeline)[0];
    assert_eq!(shown.gaps_unknown, Some(GapsUnknown::NotChecked));
    assert_eq!(timeline.overview().gaps_not_checked, 1);
    let described = [(0, described(&whole, Some("11-01 00:00")))].into();
    let timeline = draft(window, vec![(lane, vec![completed("11-29 10:00")])]).finish(&described);
    let shown = &lanes(&timeline)[0];
    assert_eq!(dues(&shown.gaps), "29 09:00, 29 11:00");
    assert_eq!(hours(shown.expected.clone()), "29 13:00, 29 14:00");
}

#[test]
fn a_lane_with_too_many_marks_has_counts_and_the_runs_that_did_not_complete() {
    let minute = |n: i64| day("11-29 06:00") + SignedDuration::from_mins(n);
    let at_minute = |n: i64, status| TimelineRun {
        due: Some(minute(n)),
        started: minute(n),
        ..run("11-29 06:00", Some(5), status)
    };
    let runs = |count: i64| -> Vec<_> {
        let status = |n: i64| match n % 5 {
            4 => RunStatus::Failed,
            _ => RunStatus::Completed,
        };
        (0..count).map(|n| at_minute(n, status(n))).collect()
    };
    let shown = |count: i64, to: &str| {
        let lane = (cron("a", "* * * * *"), runs(count));
        let draft = draft(window("11-29 06:00", to), vec![lane]);
        lanes(&finished(draft, Some("11-29 11:59"))).remove(0)
    };
    let few = shown(300, "11-29 13:00");
    assert_eq!(
        (few.runs.len(), few.expected.len(), few.band),
        (300, 59, None)
    );
    let many = shown(301, "11-29 13:00");
    let band = many.band.unwrap();
    assert_eq!((many.runs.len(), many.expected.len()), (BAND_RUNS, 0));
    assert!(many.runs.iter().all(|run| run.status == RunStatus::Failed));
    assert_eq!(band.starts.iter().sum::<u32>(), 301);
    assert_eq!(band.failures.iter().sum::<u32>(), 60);
    assert_eq!(band.expected.iter().sum::<u32>(), 59);
    // Times to come alone make a band too.
    assert!(shown(0, "11-29 17:00").band.is_none());
    assert!(shown(0, "11-29 17:02").band.is_some());
}

#[test]
fn the_gaps_of_a_lane_are_bounded() {
    let lane = cron("a", "* * * * *");
    let draft = draft(
        window("11-28 12:00", "11-29 12:00"),
        vec![(lane, Vec::new())],
    );
    let timeline = finished(draft, Some("11-01 00:00"));
    assert_eq!(lanes(&timeline)[0].gaps.len(), GAPS);
}

#[test]
fn a_search_for_times_that_takes_too_long_says_up_to_when_they_are_known() {
    let dense = |n: u64| {
        let mut spec = spec("* * * * * * *", "UTC");
        // Specs that differ cannot share their times.
        spec.jitter = Duration::from_millis(n);
        (listed(&format!("a{n}"), spec, day(NOW)), Vec::new())
    };
    let window = window("11-29 12:00", "11-29 16:00");
    let timeline = draft(window, (0..5).map(dense).collect()).finish(&BTreeMap::new());
    assert_eq!(timeline.overview().expected_until, window.to());
    let (minutes, until) = minutes(&timeline.lanes, window, day(NOW), 20_000);
    let until = until.unwrap();
    assert!(until > day(NOW) && until < day("11-29 14:00"), "{until}");
    // Each spec has its share of the steps.
    assert_eq!(minutes.busiest().unwrap().starts, 300);
    // All lanes of an answer share one budget.
    let builder = LaneBuilder {
        timeline: &timeline,
        budget: RefCell::new(Budget::of(20_000)),
        fires: RefCell::default(),
    };
    let lanes: Vec<_> = timeline
        .lanes()
        .iter()
        .map(|lane| builder.lane(lane))
        .collect();
    assert!(lanes[0].band.is_some());
    assert_eq!(lanes[4].expected_until, Some(day(NOW)));
    assert!(lanes[4].expected.is_empty());
    // What is not known is shown.
    assert!(builder.has_marks(&timeline.lanes()[4]));
}

#[test]
fn ten_thousand_schedules_take_few_steps() {
    let all: Vec<_> = (0..10_000)
        .map(|n| {
            let cron = format!("{} {} * * *", n % 60, n % 24);
            let mut spec = spec(&cron, "Europe/Berlin");
            spec.jitter = Duration::from_secs(n);
            (listed(&format!("a{n}"), spec, day(NOW)), Vec::new())
        })
        .collect();
    let draft = draft(window("11-26 00:00", "12-03 00:00"), all);
    let timeline = finished(draft, Some("11-29 11:00"));
    let overview = timeline.overview();
    assert_eq!(overview.schedules, 10_000);
    assert_eq!(overview.expected_until, day("12-03 00:00"));
    let expected: u32 = overview.density.expected.iter().sum();
    assert!((30_000..=40_000).contains(&expected), "{expected}");
    // Times are counted in steps: builds without optimisation are many times slower than releases.
    let (_, until) = minutes(&timeline.lanes, timeline.window, timeline.now, 2_500_000);
    assert_eq!(until, None);
}

#[test]
fn a_lane_with_marks_is_known_before_they_are_made() {
    let paused = |id: &str| {
        let mut one = cron(id, "0 13 * * *");
        one.view.paused = true;
        one
    };
    let all = vec![
        (cron("coming", "0 13 * * *"), vec![]),
        (cron("same", "0 13 * * *"), vec![]),
        (cron("later", "0 20 * * *"), vec![]),
        (paused("run"), vec![completed("11-29 11:00")]),
        (paused("nothing"), vec![]),
    ];
    let timeline = finished(draft(window("11-29 11:30", "11-29 14:00"), all), None);
    let builder = timeline.lane_builder();
    for lane in timeline.lanes() {
        let built = builder.lane(lane);
        let has_marks = !(built.runs.is_empty() && built.expected.is_empty());
        assert_eq!(
            builder.has_marks(lane),
            has_marks,
            "{}",
            lane.view().definition
        );
    }
    let marked = timeline
        .lanes()
        .iter()
        .filter(|lane| builder.has_marks(lane));
    assert_eq!(marked.count(), 3);
}

/// The schedules may have been listed some time before the runs are read.
#[test]
fn times_that_have_passed_since_the_list_are_not_to_come() {
    let every_minute = spec("* * * * *", "UTC");
    let list = |id: &str, change: fn(&mut ListedSchedule)| {
        let mut one = listed(id, every_minute.clone(), day("11-29 11:57"));
        change(&mut one);
        (
            one,
            vec![completed("11-29 11:58"), completed("11-29 11:59")],
        )
    };
    let all = vec![
        list("whole", |_| {}),
        list("cut", |one| one.times.is_whole = false),
        list("last", |one| one.times.server_times = 4),
    ];
    let timeline = finished(
        draft(window("11-29 11:58", "11-29 12:04"), all),
        Some("11-29 11:00"),
    );
    let lanes = lanes(&timeline);
    let expected = |lane: usize| hours(lanes[lane].expected.iter().copied());
    assert_eq!(expected(0), "29 12:01, 29 12:02, 29 12:03");
    assert_eq!(expected(1), expected(0));
    assert_eq!(expected(2), "29 12:01, 29 12:02");
    assert!(lanes.iter().all(|lane| lane.gaps.is_empty()), "{lanes:?}");
}
