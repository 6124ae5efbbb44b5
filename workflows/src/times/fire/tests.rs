//! What fires, and when. That the server agrees is shown by `tests/e2e/times.rs`.

use std::time::Duration;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::times::{CalendarInput, Role, Values, compile_calendar, compile_cron};

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

/// West of Greenwich as one would think.
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
fn a_day_without_a_midnight_is_lost_to_a_weekday() {
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
fn what_never_matches_ends_at_once() {
    for cron in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 * * * 2020"] {
        let found = spec(&[cron], "Europe/Berlin").fire_times(at("2026-01-01T00:00:00Z"), 3);
        assert_eq!(
            found,
            FireTimes {
                times: vec![],
                exhausted: true
            },
            "{cron}"
        );
    }
    assert!(
        Spec::default()
            .fire_times(at("2026-01-01T00:00:00Z"), 3)
            .exhausted
    );
    assert!(
        spec(&["0 0 * * *"], "Nowhere")
            .fire_times(at("2026-01-01T00:00:00Z"), 3)
            .exhausted
    );
}

#[test]
fn the_last_year_is_2100() {
    let found = spec(&["0 0 29 2 *"], "UTC").fire_times(at("2090-01-01T00:00:00Z"), 5);
    assert_eq!(
        found,
        FireTimes {
            times: vec![at("2092-02-29T00:00:00Z"), at("2096-02-29T00:00:00Z")],
            exhausted: true
        }
    );
    let found = spec(&["@every 12h"], "UTC").fire_times(at("2100-12-31T01:00:00Z"), 5);
    assert_eq!(
        found,
        FireTimes {
            times: vec![at("2100-12-31T12:00:00Z")],
            exhausted: true
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
        assert!(found.exhausted);
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
fn the_search_is_given_up_where_the_server_gives_up() {
    let mut spec = spec(&["* * * * * * *"], "UTC");
    spec.exclude.insert(Calendar::ALWAYS);
    let found = spec.fire_times(at("2026-01-01T00:00:00Z"), 1);
    assert_eq!(
        found,
        FireTimes {
            times: vec![],
            exhausted: true
        }
    );
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

fn times(spec: &Spec, after: i64) -> Vec<Timestamp> {
    spec.fire_times(Timestamp::from_second(after).unwrap(), 30)
        .times
}

proptest! {
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
    fn in_utc_an_exclusion_takes_out_what_it_matches(spec in specs(), weekday in 0_u16..7, after in 1_400_000_000_i64..1_900_000_000) {
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
        let found = next_match(&calendar, &zone, after).unwrap();
        prop_assert!(matches(&calendar, civil(found)));
        for between in (after + 1..found).take(5000) {
            prop_assert!(!matches(&calendar, civil(between)));
        }
    }
}
