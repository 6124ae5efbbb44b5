//! Tests of the fire times. `tests/e2e/times/mod.rs` shows that the server computes the same.

use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::{CalendarInput, Interval, Role, Values, compile_calendar, compile_cron};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn spec(crons: &[&str], timezone: &str) -> Spec {
    let mut spec = Spec {
        timezone: timezone.to_owned(),
        ..Spec::default()
    };
    for cron in crons {
        let cron = compile_cron(cron).unwrap();
        spec.calendars.extend(cron.calendars);
        spec.intervals.extend(cron.intervals);
    }
    spec
}

/// The local times and offsets from `after` to `until`.
fn local(spec: &Spec, after: &str, until: &str) -> String {
    let zone = TimeZone::get(&spec.timezone).unwrap();
    let found = spec.fire_times(at(after), 1000);
    let times = found.times.into_iter().filter(|time| *time <= at(until));
    let times: Vec<String> = times
        .map(|time| {
            time.to_zoned(zone.clone())
                .strftime("%d. %H:%M%z")
                .to_string()
        })
        .collect();
    times.join(", ")
}

#[test]
fn a_local_time_that_does_not_exist_is_skipped() {
    let spring = |cron, zone| {
        local(
            &spec(&[cron], zone),
            "2026-03-27T12:00:00Z",
            "2026-03-30T12:00:00Z",
        )
    };
    insta::assert_snapshot!(spring("30 2 * * *", "Europe/Berlin"), @"28. 02:30+0100, 30. 02:30+0200");
    insta::assert_snapshot!(spring("30 1-4 * * *", "Europe/Berlin"), @"28. 01:30+0100, 28. 02:30+0100, 28. 03:30+0100, 28. 04:30+0100, 29. 01:30+0100, 29. 03:30+0200, 29. 04:30+0200, 30. 01:30+0200, 30. 02:30+0200, 30. 03:30+0200, 30. 04:30+0200");
}

/// West of Greenwich, both occurrences of the local time fire.
#[test]
fn in_the_west_a_local_time_that_occurs_twice_fires_twice() {
    let autumn = |cron| {
        local(
            &spec(&[cron], "America/New_York"),
            "2026-10-31T12:00:00Z",
            "2026-11-02T12:00:00Z",
        )
    };
    insta::assert_snapshot!(autumn("30 1 * * *"), @"01. 01:30-0400, 01. 01:30-0500, 02. 01:30-0500");
    insta::assert_snapshot!(autumn("30 0-3 1 11 *"), @"01. 00:30-0400, 01. 01:30-0400, 01. 01:30-0500, 01. 02:30-0500, 01. 03:30-0500");
}

/// East of Greenwich the server takes the later one for the time itself, and
/// so repeats the hour before.
#[test]
fn in_the_east_the_hour_before_is_repeated() {
    let autumn = |cron| {
        local(
            &spec(&[cron], "Europe/Berlin"),
            "2026-10-24T12:00:00Z",
            "2026-10-26T12:00:00Z",
        )
    };
    insta::assert_snapshot!(autumn("30 2 * * *"), @"25. 02:30+0100, 26. 02:30+0100");
    insta::assert_snapshot!(autumn("30 1 * * *"), @"25. 01:30+0200, 25. 02:30+0200, 26. 01:30+0100");
    insta::assert_snapshot!(autumn("30 0-4 25 10 *"), @"25. 00:30+0200, 25. 01:30+0200, 25. 02:30+0200, 25. 03:30+0100, 25. 04:30+0100");
}

/// Clocks in Santiago went from 23:59:59 to 01:00.
#[test]
fn a_weekday_cron_skips_a_day_without_a_midnight() {
    let spring = |cron| {
        local(
            &spec(&[cron], "America/Santiago"),
            "2026-09-05T12:00:00Z",
            "2026-09-08T00:00:00Z",
        )
    };
    insta::assert_snapshot!(spring("0 12 * * *"), @"05. 12:00-0400, 06. 12:00-0300, 07. 12:00-0300");
    insta::assert_snapshot!(spring("0 12 * * SUN,MON"), @"07. 12:00-0300");
}

#[test]
fn the_search_of_a_spec_that_never_matches_ends_at_once() {
    for cron in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 * * * 2020"] {
        let found = spec(&[cron], "Europe/Berlin").fire_times(at("2026-01-01T00:00:00Z"), 3);
        assert_eq!(
            found,
            FireTimes {
                times: vec![],
                rest: Rest::Nothing
            },
            "{cron}"
        );
    }
    assert!(
        Spec::default()
            .fire_times(at("2026-01-01T00:00:00Z"), 3)
            .rest
            == Rest::Nothing
    );
    assert!(
        spec(&["0 0 * * *"], "Nowhere")
            .fire_times(at("2026-01-01T00:00:00Z"), 3)
            .rest
            == Rest::Nothing
    );
}

#[test]
fn the_last_year_is_2100() {
    let found = spec(&["0 0 29 2 *"], "UTC").fire_times(at("2090-01-01T00:00:00Z"), 5);
    assert_eq!(
        found,
        FireTimes {
            times: vec![at("2092-02-29T00:00:00Z"), at("2096-02-29T00:00:00Z")],
            rest: Rest::Nothing
        }
    );
    let found = spec(&["@every 12h"], "UTC").fire_times(at("2100-12-31T01:00:00Z"), 5);
    assert_eq!(
        found,
        FireTimes {
            times: vec![at("2100-12-31T12:00:00Z")],
            rest: Rest::Nothing
        }
    );
}

#[test]
fn bounds_belong_to_the_time_between_them() {
    let bounded = |start, end| {
        let spec = Spec {
            start_at: Some(at(start)),
            end_at: Some(at(end)),
            ..spec(&["0 */12 * * *"], "UTC")
        };
        let found = spec.fire_times(at("2020-01-01T00:00:00Z"), 10);
        assert_eq!(found.rest, Rest::Nothing);
        found
            .times
            .into_iter()
            .map(|time| time.to_string())
            .collect::<Vec<_>>()
            .join(", ")
    };
    insta::assert_snapshot!(bounded("2030-01-01T00:00:00Z", "2030-01-01T12:00:00Z"), @"2030-01-01T00:00:00Z, 2030-01-01T12:00:00Z");
    insta::assert_snapshot!(bounded("2030-01-01T00:00:01Z", "2030-01-01T11:59:59Z"), @"");
    // The server looks at whole seconds.
    insta::assert_snapshot!(bounded("2030-01-01T00:00:00.5Z", "2030-01-01T11:59:59.999Z"), @"2030-01-01T00:00:00Z");
}

#[test]
fn intervals_count_from_the_epoch_whatever_the_zone() {
    let found = spec(&["@every 7h/1h"], "Asia/Tokyo").fire_times(at("2026-01-01T00:00:00Z"), 2);
    for time in found.times {
        assert_eq!((time.as_second() - 3600) % (7 * 3600), 0, "{time}");
    }
}

#[test]
fn the_search_ends_where_the_search_of_the_server_ends() {
    let mut spec = spec(&["* * * * * * *"], "UTC");
    spec.exclude.insert(Calendar::ALWAYS);
    let found = spec.fire_times(at("2026-01-01T00:00:00Z"), 1);
    assert_eq!(
        found,
        FireTimes {
            times: vec![],
            rest: Rest::Nothing
        }
    );
}

/// Common specs stay far below the limit of a search.
#[test]
fn common_specs_take_few_steps() {
    let excluded = |fields: &[(&str, &str)]| {
        let mut input = CalendarInput::default();
        for (field, text) in fields {
            let slot = match *field {
                "day_of_week" => &mut input.day_of_week,
                "day_of_month" => &mut input.day_of_month,
                "month" => &mut input.month,
                _ => &mut input.year,
            };
            *slot = Some((*text).to_owned());
        }
        compile_calendar(&input, Role::Exclude).unwrap()
    };
    let steps = |spec: &Spec, from: &str| {
        let mut budget = Budget::of(u64::MAX);
        let found = spec.fire_times_within(at(from), 1, &mut budget);
        assert_eq!(found.rest, Rest::More);
        budget.spent()
    };
    // Every second, but on weekends, over one on which the clock changes.
    let mut busy = spec(&["* * * * * * *"], "Europe/Berlin");
    busy.exclude.insert(excluded(&[("day_of_week", "SAT,SUN")]));
    let taken = steps(&busy, "2026-10-23T21:59:59Z");
    assert!(taken < 1_000_000, "{taken}");
    let taken = steps(&busy, "2026-10-16T21:59:59Z");
    assert!(taken < 10_000, "{taken}");
    // Every minute, but for a year and a half of single days.
    let mut holidays = spec(&["* * * * *"], "Europe/Berlin");
    holidays.exclude.extend((0..540).map(|day| {
        let date = jiff::civil::date(2026, 1, 1) + jiff::ToSpan::days(day);
        excluded(&[
            ("year", &date.year().to_string()),
            ("month", &date.month().to_string()),
            ("day_of_month", &date.day().to_string()),
        ])
    }));
    let taken = steps(&holidays, "2025-12-31T23:00:00Z");
    assert!(taken < 1_000_000, "{taken}");
}

#[test]
fn a_search_beyond_its_budget_has_an_unknown_rest() {
    let mut spec = spec(&["* * * * * * *"], "Europe/London");
    spec.exclude.insert(Calendar::ALWAYS);
    let search = |steps| {
        let from = at("2026-10-24T00:00:00Z");
        spec.fire_times_within(from, 1, &mut Budget::of(steps)).rest
    };
    assert_eq!(search(1000), Rest::Unknown);
    assert_eq!(search(SEARCH_STEPS), Rest::Nothing);
}

#[test]
fn a_search_for_the_times_before_a_moment_stops_there() {
    let daily = spec(&["30 7 * * *"], "Europe/Berlin");
    let (from, until) = (at("2026-06-01T00:00:00Z"), at("2026-06-08T05:30:00Z"));
    let mut budget = unlimited();
    let mut times = Vec::new();
    let rest = daily.each_time_within(from, until, &mut budget, |time| {
        times.push(time);
        ControlFlow::Continue(())
    });
    assert_eq!(rest, Rest::Nothing);
    // The last moment does not belong to the span.
    assert_eq!(times, daily.fire_times(from, 7).times);
    assert!(budget.spent() < 300, "{}", budget.spent());

    // What fires once in years costs no more.
    let rare = spec(&["0 0 29 2 0"], "Europe/Berlin");
    let mut budget = unlimited();
    let rest = rare.each_time_within(from, until, &mut budget, |_| ControlFlow::Continue(()));
    assert_eq!(rest, Rest::Nothing);
    assert!(budget.spent() < 300, "{}", budget.spent());

    let rest = daily.each_time_within(from, until, &mut unlimited(), |_| ControlFlow::Break(()));
    assert_eq!(rest, Rest::More);
    let rest = daily.each_time_within(from, until, &mut Budget::of(2), |_| {
        ControlFlow::Continue(())
    });
    assert_eq!(rest, Rest::Unknown);
}

fn unlimited() -> Budget {
    Budget::of(u64::MAX)
}

/// The server's search to the letter: every calendar is asked for each
/// candidate, wherever it lies. The walk through millions of excluded candidates takes minutes.
fn by_the_letter(
    spec: &Spec,
    after: i64,
    n: usize,
    budget: &mut Budget,
) -> Result<FireTimes, Exceeded> {
    let zone = Zone::new(zone::find(&spec.timezone).unwrap());
    let mut after = after.max(spec.start_at.map_or(0, floor) - 1);
    let end = spec.end_at.map_or(i64::MAX, floor);
    let mut found = FireTimes::default();
    let mut tried = 0;
    while found.times.len() < n {
        let mut time: Option<i64> = None;
        for calendar in &spec.calendars {
            let next = next_match(calendar, &zone, after, Date::MAX, budget)?;
            time = time.into_iter().chain(next).min();
        }
        let intervals = spec.intervals.iter();
        let intervals = intervals.map(|interval| next_interval(interval, after));
        let time = time.into_iter().chain(intervals).min();
        budget.spend(1)?;
        let in_time = |time: &i64| *time <= end && civil(*time).year() <= LAST_YEAR;
        let Some(time) = time.filter(in_time).filter(|_| tried < CANDIDATES) else {
            return Ok(found);
        };
        after = time;
        let local = zone.local(time);
        if spec.exclude.iter().any(|calendar| matches(calendar, local)) {
            tried += 1;
        } else {
            tried = 0;
            found.times.push(Timestamp::from_second(time).unwrap());
        }
    }
    found.rest = Rest::More;
    Ok(found)
}

fn calendars() -> impl Strategy<Value = Calendar> {
    let values = || proptest::collection::vec(0_u16..60, 1..4);
    (
        values(),
        values(),
        0_u16..24,
        proptest::option::of(1_u16..32),
        proptest::option::of(0_u16..7),
    )
        .prop_map(|(second, minute, hour, day, weekday)| Calendar {
            second: Values::from_iter(second),
            minute: Values::from_iter(minute),
            hour: Values::only(hour),
            day_of_month: day.map_or(Values::ALL, Values::only),
            day_of_week: weekday.map_or(Values::ALL, Values::only),
            ..Calendar::ALWAYS
        })
}

fn intervals() -> impl Strategy<Value = Interval> {
    (60_u64..1_000_000, 0_u64..1_000_000).prop_map(|(every, phase)| {
        Interval::new(
            Duration::from_secs(every),
            Duration::from_secs(phase % every),
        )
        .unwrap()
    })
}

prop_compose! {
    fn specs()(
        calendars in proptest::collection::btree_set(calendars(), 0..3),
        intervals in proptest::collection::btree_set(intervals(), 0..3),
        exclude in proptest::collection::btree_set(calendars(), 0..2),
        zone in prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("America/Havana"), Just("Australia/Lord_Howe")],
        bounds in proptest::option::of((1_500_000_000_i64..1_700_000_000, 0_i64..100_000_000)),
    ) -> Spec {
        let second = |at| Timestamp::from_second(at).unwrap();
        Spec {
            calendars: calendars.into_iter().collect(), intervals: intervals.into_iter().collect(), exclude: exclude.into_iter().collect(),
            timezone: zone.to_owned(),
            start_at: bounds.map(|(start, _)| second(start)),
            end_at: bounds.map(|(start, length)| second(start + length)),
            ..Spec::default()
        }
    }
}

/// Zones whose clocks change by an hour, by less and more, at midnight, on a
/// whole day, twice within weeks, and never.
const ZONES: [&str; 14] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Havana",
    "America/Santiago",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Asia/Tehran",
];

/// Sets that people and attackers write: all, one, a step, some.
fn field<const MIN: u16, const MAX: u16>() -> impl Strategy<Value = Values<MIN, MAX>> {
    prop_oneof![
        3 => Just(Values::ALL),
        2 => (MIN..=MAX).prop_map(Values::only),
        1 => (MIN..=MAX, 1_u16..20).prop_map(|(from, step)| {
            (from..=MAX).step_by(usize::from(step)).collect()
        }),
        1 => proptest::collection::vec(MIN..=MAX, 1..5).prop_map(Values::from_iter),
    ]
}

/// Any calendar; dense ones with few fields are as likely as rare ones.
fn any_calendar() -> impl Strategy<Value = Calendar> {
    let time = (field(), field(), field());
    let years = prop_oneof![3 => Just(Values::ALL), 1 => field()];
    (time, field(), field(), years, field()).prop_map(
        |((second, minute, hour), day_of_month, month, year, day_of_week)| Calendar {
            second,
            minute,
            hour,
            day_of_month,
            month,
            year,
            day_of_week,
        },
    )
}

/// Intervals of a second to a year.
fn any_interval() -> impl Strategy<Value = Interval> {
    let every = prop_oneof![1_u64..60, 60_u64..7200, 7200_u64..32_000_000];
    (every, any::<u64>()).prop_map(|(every, phase)| {
        let phase = Duration::from_secs(phase % every);
        Interval::new(Duration::from_secs(every), phase).unwrap()
    })
}

/// A moment that is near a change of the zone's clock, as often as not.
fn moment(zone: &'static str) -> impl Strategy<Value = i64> {
    let changes = Zone::new(zone::find(zone).unwrap());
    (0_i64..4_200_000_000, -200_000_i64..200_000, any::<bool>()).prop_map(move |(at, by, near)| {
        match changes.next_change(at) {
            Some(change) if near => change + by,
            _ => at,
        }
    })
}

prop_compose! {
    fn any_spec()(
        zone in proptest::sample::select(&ZONES[..]),
    )(
        calendars in proptest::collection::vec(any_calendar(), 0..4),
        intervals in proptest::collection::vec(any_interval(), 0..2),
        exclude in proptest::collection::vec(any_calendar(), 0..4),
        after in moment(zone),
        length in proptest::option::of(0_i64..40_000_000),
        zone in Just(zone),
    ) -> (Spec, i64) {
        let spec = Spec {
            calendars: calendars.into(),
            intervals: intervals.into(),
            exclude: exclude.into(),
            timezone: zone.to_owned(),
            end_at: length.and_then(|length| Timestamp::from_second(after + length).ok()),
            ..Spec::default()
        };
        (spec, after)
    }
}

fn times(spec: &Spec, after: i64) -> Vec<Timestamp> {
    spec.fire_times(Timestamp::from_second(after).unwrap(), 30)
        .times
}

proptest! {
    /// A search with sets of days finds the same times as the server's walk.
    #[test]
    fn a_search_finds_what_the_servers_walk_finds((spec, after) in any_spec()) {
        let start = Timestamp::from_second(after).unwrap();
        let found = spec.fire_times_within(start, 40, &mut Budget::of(3_000_000));
        let walked = by_the_letter(&spec, after, 40, &mut Budget::of(2_000_000));
        if let Ok(walked) = walked && found.rest != Rest::Unknown {
            prop_assert_eq!(found, walked);
        }
    }

    /// The end of a span only cuts the times off.
    #[test]
    fn a_span_has_the_times_before_its_end((spec, after) in any_spec(), seconds in 0_i64..1_000_000) {
        let start = Timestamp::from_second(after).unwrap();
        let until = Timestamp::from_second(after + seconds).unwrap();
        let all = spec.times_after_within(start, 40, &mut Budget::of(3_000_000));
        let mut times = Vec::new();
        let rest = spec.each_time_within(start, until, &mut Budget::of(3_000_000), |time| {
            times.push(time);
            if times.len() < 40 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if all.rest != Rest::Unknown && rest != Rest::Unknown {
            let before = all.times.into_iter().filter(|time| *time < until);
            prop_assert_eq!(times, before.collect::<Vec<_>>());
        }
    }

    #[test]
    fn times_ascend_within_the_bounds_and_are_not_excluded(spec in specs(), after in 1_400_000_000_i64..1_900_000_000) {
        let found = times(&spec, after);
        prop_assert!(found.is_sorted_by(|one, other| one < other));
        let zone = Zone::new(zone::find(&spec.timezone).unwrap());
        for time in found {
            prop_assert!(time.as_second() > after);
            prop_assert!(spec.start_at.is_none_or(|start| time >= start));
            prop_assert!(spec.end_at.is_none_or(|end| time <= end));
            let local = zone.local(time.as_second());
            prop_assert!(!spec.exclude.iter().any(|calendar| matches(calendar, local)));
        }
    }

    #[test]
    fn in_utc_a_union_fires_as_its_parts_do(one in calendars(), other in calendars(), every in intervals(), after in 1_400_000_000_i64..1_900_000_000) {
        let part = |calendars: &[Calendar], intervals: &[Interval]| Spec {
            calendars: calendars.iter().copied().collect(),
            intervals: intervals.iter().copied().collect(),
            ..Spec::default()
        };
        let mut parts: Vec<Timestamp> = [part(&[one], &[]), part(&[other], &[]), part(&[], &[every])]
            .iter()
            .flat_map(|spec| times(spec, after))
            .collect();
        parts.sort();
        parts.dedup();
        let whole = times(&part(&[one, other], &[every]), after);
        prop_assert_eq!(&parts[..whole.len()], &whole[..]);
    }

    #[test]
    fn in_utc_an_exclusion_removes_the_times_that_it_matches(spec in specs(), weekday in 0_u16..7, after in 1_400_000_000_i64..1_900_000_000) {
        let spec = Spec { timezone: "UTC".into(), ..spec };
        let days = CalendarInput { day_of_week: Some(weekday.to_string()), ..CalendarInput::default() };
        let mut less = spec.clone();
        less.exclude.insert(compile_calendar(&days, Role::Exclude).unwrap());
        let kept: Vec<Timestamp> = times(&spec, after)
            .into_iter()
            .filter(|time| time.to_zoned(TimeZone::UTC).weekday().to_sunday_zero_offset() != i8::try_from(weekday).unwrap())
            .collect();
        prop_assert_eq!(&times(&less, after)[..kept.len()], &kept[..]);
    }

    #[test]
    fn in_utc_a_time_matches_its_calendar_and_none_between_does(calendar in calendars(), after in 1_400_000_000_i64..1_900_000_000) {
        let zone = Zone::new(TimeZone::UTC);
        let found = next_match(&calendar, &zone, after, Date::MAX, &mut unlimited())
            .unwrap()
            .unwrap();
        prop_assert!(matches(&calendar, civil(found)));
        for between in (after + 1..found).take(5000) {
            prop_assert!(!matches(&calendar, civil(between)));
        }
    }
}
