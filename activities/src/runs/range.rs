//! The times of a schedule in a range.

use almanac_workflows::record::BACKFILL_LIMIT;
use almanac_workflows::times::{Spec, When};
use jiff::{SignedDuration, Timestamp};

/// The most times that are counted for an error.
const COUNTED: usize = 100_000;

/// The times of a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// How many.
    pub count: u64,
}

/// The times at which a spec fires from `from` on and before `to`.
///
/// # Errors
/// For people: the range is reversed or holds no time of the schedule, or more
/// times than `limit`.
pub fn times_in(
    spec: &Spec,
    from: Option<When>,
    to: Option<When>,
    limit: Option<u32>,
) -> Result<Times, String> {
    let zone = &spec.timezone;
    let instant = |name: &str, when: Option<When>| {
        let when = when.ok_or_else(|| format!("{name} is missing"))?;
        let at = when.resolve(zone);
        at.map_err(|why| format!("{name}: {why}"))
    };
    let (from, to) = (instant("from", from)?, instant("to", to)?);
    if from >= to {
        return Err(format!("from ({from}) must be before to ({to})"));
    }
    let limit = usize::try_from(limit.unwrap_or(BACKFILL_LIMIT)).unwrap_or(COUNTED);
    // A time is found after another, and times are whole seconds.
    let mut after = from
        .checked_sub(SignedDuration::from_nanos(1))
        .map_err(|error| error.to_string())?;
    let (mut first, mut last, mut count) = (None, None, 0);
    'all: while count < COUNTED {
        let found = spec.fire_times(after, 1000);
        for time in &found.times {
            if *time >= to {
                break 'all;
            }
            first.get_or_insert(*time);
            last = Some(*time);
            count += 1;
        }
        match found.times.last() {
            Some(time) if !found.exhausted => after = *time,
            _ => break,
        }
    }
    let (Some(first), Some(last)) = (first, last) else {
        return Err(format!(
            "the schedule has no time from {from} until {to} (in {})",
            if zone.is_empty() { "UTC" } else { zone }
        ));
    };
    if count > limit {
        let more = if count >= COUNTED { "at least " } else { "" };
        return Err(format!(
            "it would start {more}{count} runs, from {first} to {last}, more than the limit of \
             {limit}"
        ));
    }
    Ok(Times {
        first,
        last,
        count: count as u64,
    })
}

#[cfg(test)]
mod tests {
    use almanac_workflows::times::compile_cron;

    use super::*;

    fn hourly(zone: &str) -> Spec {
        Spec {
            timezone: zone.to_owned(),
            calendars: compile_cron("0 * * * *")
                .unwrap()
                .calendars
                .into_iter()
                .collect(),
            ..Spec::default()
        }
    }

    fn times(zone: &str, from: &str, to: &str, limit: Option<u32>) -> Result<Times, String> {
        let when = |text: &str| Some(text.parse().unwrap());
        times_in(&hourly(zone), when(from), when(to), limit)
    }

    #[test]
    fn a_day_of_hours_is_24_times_its_end_left_out() {
        let day = times("UTC", "2026-01-01", "2026-01-02", None).unwrap();
        assert_eq!(day.count, 24);
        assert_eq!(day.first.to_string(), "2026-01-01T00:00:00Z");
        assert_eq!(day.last.to_string(), "2026-01-01T23:00:00Z");
        let same = times("UTC", "2026-01-01T00:00:00Z", "2026-01-01T23:59:59Z", None).unwrap();
        assert_eq!(same, day);
        let inside = times(
            "UTC",
            "2026-01-01T00:00:01Z",
            "2026-01-01T02:00:00.5Z",
            None,
        )
        .unwrap();
        assert_eq!(inside.count, 2);
    }

    #[test]
    fn a_local_day_is_as_long_as_the_clock_says() {
        let spring = times("Europe/Berlin", "2026-03-29", "2026-03-30", None).unwrap();
        assert_eq!(spring.count, 23);
        let autumn = times("Europe/Berlin", "2026-10-25", "2026-10-26", None).unwrap();
        assert_eq!(autumn.count, 25);
        assert_eq!(autumn.first.to_string(), "2026-10-24T22:00:00Z");
    }

    #[test]
    fn what_is_empty_reversed_or_too_long_is_said() {
        for (from, to, limit, said) in [
            ("2026-01-01T00:10", "2026-01-01T00:50", None, "has no time"),
            ("2026-01-01T00:00:00Z", "2025-01-01", None, "must be before"),
            (
                "2026-01-01",
                "2026-02-01",
                None,
                "would start 744 runs, from 2026-01-01T00:00:00Z to 2026-01-31T23:00:00Z, more \
                 than the limit of 100",
            ),
            (
                "2000-01-01",
                "2090-01-01",
                Some(10_000),
                "at least 100000 runs",
            ),
        ] {
            let error = times("UTC", from, to, limit).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(
            times("UTC", "2026-01-01", "2026-02-01", Some(744))
                .unwrap()
                .count,
            744
        );
    }
}
