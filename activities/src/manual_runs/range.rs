//! The times of a schedule in a range.

use almanac_base::budget::Budget;
use almanac_base::names::ScheduleId;
use almanac_core::record::{BACKFILL_LIMIT, BACKFILL_MOST};
use almanac_times::{BackfillWindow, Rest, SEARCH_STEPS, Spec, When};
use jiff::{SignedDuration, Timestamp};

use crate::schedules::{MATCHING_LIMIT, RequestError, Schedules};

/// The most times that are counted for an error.
const COUNTED: u64 = 100_000;
/// The steps that counting may take.
const COUNTING_STEPS: u64 = 5 * SEARCH_STEPS;

/// The most times of which the server is asked, for an error too.
const COUNTED_ON_SERVER: u64 = BACKFILL_MOST as u64;
/// By which the server goes back from the start of a backfill.
const INCLUSIVE: SignedDuration = SignedDuration::from_millis(1);

/// The times of a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// How many.
    pub count: u64,
    /// The range to ask the server for, so that exactly these start.
    pub window: BackfillWindow,
}

/// A range of time, its end left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    from: Timestamp,
    to: Timestamp,
}

impl Range {
    /// The range between two moments, local ones being those of the spec's zone.
    ///
    /// # Errors
    /// For people: one is missing, or they are reversed.
    pub fn of(spec: &Spec, from: Option<When>, to: Option<When>) -> Result<Self, String> {
        let instant = |name: &str, when: Option<When>| {
            let when = when.ok_or_else(|| format!("{name} is missing"))?;
            let at = when.resolve(&spec.timezone);
            at.map_err(|why| format!("{name}: {why}"))
        };
        let (from, to) = (instant("from", from)?, instant("to", to)?);
        if from >= to {
            return Err(format!("from ({from}) must be before to ({to})"));
        }
        Ok(Self { from, to })
    }

    /// The times at which a live schedule fires in it, by the server's word;
    /// computed where the server gives none. `None` where there is none.
    pub async fn served(
        self,
        schedules: &Schedules,
        id: &ScheduleId,
        spec: &Spec,
    ) -> Result<Option<Times>, RequestError> {
        match self.listed(schedules, id, spec).await {
            Ok(times) => Ok(times),
            Err(error @ (RequestError::NotFound | RequestError::Unavailable(_))) => Err(error),
            Err(error) => {
                tracing::debug!(schedule = %id, %error, "the server's times are not known");
                self.times(spec).map_err(RequestError::Refused)
            }
        }
    }

    /// The search that the server does for a backfill, from a start that makes
    /// it find what the schedule itself fires. What it finds before the range
    /// is left out by starting after it.
    async fn listed(
        self,
        schedules: &Schedules,
        id: &ScheduleId,
        spec: &Spec,
    ) -> Result<Option<Times>, RequestError> {
        let just_before = self.from.saturating_sub(SignedDuration::from_nanos(1));
        let jitter = SignedDuration::try_from(spec.jitter).unwrap_or(SignedDuration::MAX);
        // A time shows with its jitter, and belongs to the range without it.
        let until = self.to.saturating_add(jitter).unwrap_or(Timestamp::MAX);
        let mut before = spec.search_start(just_before.unwrap_or(self.from));
        let mut times: Option<Times> = None;
        loop {
            let page = schedules.matching_times(id, before, until).await?;
            for moment in &page {
                let time = without_jitter(spec, before, *moment);
                if time >= self.to || times.is_some_and(|times| times.count > COUNTED_ON_SERVER) {
                    return Ok(times);
                }
                if time >= self.from {
                    let so_far = times.get_or_insert(Times {
                        first: time,
                        last: time,
                        count: 0,
                        // The server goes back by it to include the start.
                        window: BackfillWindow {
                            start: before.saturating_add(INCLUSIVE).unwrap_or(before),
                            end: *moment,
                        },
                    });
                    so_far.last = time;
                    so_far.count += 1;
                    so_far.window.end = *moment;
                }
                before = *moment;
            }
            if page.len() < MATCHING_LIMIT {
                return Ok(times);
            }
        }
    }

    /// The times at which a spec fires in it, computed here; `None` where there
    /// is none. No more than 100,000 are counted.
    ///
    /// # Errors
    /// For people: the search takes too many steps.
    pub fn times(self, spec: &Spec) -> Result<Option<Times>, String> {
        let times = self.computed(spec)?;
        Ok(times.map(|times| Times {
            window: spec.backfill_window(times.first, times.last),
            ..times
        }))
    }

    fn computed(self, spec: &Spec) -> Result<Option<Times>, String> {
        // A time is found after another, and times are whole seconds.
        let Ok(mut after) = self.from.checked_sub(SignedDuration::from_nanos(1)) else {
            return Ok(None);
        };
        let mut times: Option<Times> = None;
        let mut budget = Budget::of(COUNTING_STEPS);
        loop {
            let found = if times.is_none() {
                spec.times_after_within(after, 1000, &mut budget)
            } else {
                spec.fire_times_within(after, 1000, &mut budget)
            };
            for time in &found.times {
                if *time >= self.to || times.is_some_and(|times| times.count >= COUNTED) {
                    return Ok(times);
                }
                let so_far = times.get_or_insert(Times {
                    first: *time,
                    last: *time,
                    count: 0,
                    window: BackfillWindow {
                        start: *time,
                        end: *time,
                    },
                });
                so_far.last = *time;
                so_far.count += 1;
            }
            match (found.rest, found.times.last()) {
                (Rest::Unknown, _) => {
                    let Self { from, to } = self;
                    return Err(format!(
                        "the times from {from} until {to} cannot be told: the search takes too many steps"
                    ));
                }
                (Rest::More, Some(time)) => after = *time,
                _ => return Ok(times),
            }
        }
    }

    /// These times of it, if a backfill may have them.
    ///
    /// # Errors
    /// For people: there is none, or there are more than `limit`.
    pub fn within(self, times: Option<Times>, limit: Option<u32>) -> Result<Times, String> {
        let Self { from, to } = self;
        let times =
            times.ok_or_else(|| format!("the schedule has no time from {from} until {to}"))?;
        let limit = u64::from(limit.unwrap_or(BACKFILL_LIMIT));
        if times.count > limit {
            let more = if times.count >= COUNTED || times.count == COUNTED_ON_SERVER + 1 {
                "at least "
            } else {
                ""
            };
            let Times {
                first, last, count, ..
            } = times;
            return Err(format!(
                "it would start {more}{count} runs, from {first} to {last}, more than the limit \
                 of {limit}"
            ));
        }
        Ok(times)
    }
}

/// The time of which `moment` is the jittered one, the one after `before`. One
/// that is not computed here is taken as it is.
fn without_jitter(spec: &Spec, before: Timestamp, moment: Timestamp) -> Timestamp {
    if spec.jitter.is_zero() {
        return moment;
    }
    let jitter = SignedDuration::try_from(spec.jitter).unwrap_or(SignedDuration::MAX);
    let time = spec.fire_times(before, 1).times.first().copied();
    let is_of = |time: &Timestamp| {
        let delay = moment.duration_since(*time);
        !delay.is_negative() && delay <= jitter
    };
    time.filter(is_of).unwrap_or(moment)
}

#[cfg(test)]
mod tests {
    use almanac_times::compile_cron;

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
        let spec = hourly(zone);
        let range = Range::of(&spec, when(from), when(to))?;
        range.within(range.times(&spec)?, limit)
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
        // The server goes past the hour that comes twice.
        assert_eq!(autumn.count, 24);
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
