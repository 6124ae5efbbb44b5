//! The times of a schedule within a range.

use std::ops::ControlFlow;

use almanac_base::budget::Budget;
use almanac_base::names::ScheduleId;
use almanac_core::record::{BACKFILL_LIMIT, BACKFILL_MOST};
use almanac_times::{BackfillWindow, Rest, SEARCH_STEPS, Spec, When};
use jiff::{SignedDuration, Timestamp};

use crate::schedules::{MATCHING_LIMIT, RequestError, Schedules};

/// Maximum number of times that are counted for an error message.
const COUNTED: u64 = 100_000;
/// Maximum number of steps that counting may take.
const COUNTING_STEPS: u64 = 5 * SEARCH_STEPS;

/// Maximum number of times that the server is asked for, in an error message
/// too.
const COUNTED_ON_SERVER: u64 = BACKFILL_MOST as u64;
/// Time by which the server goes back from the start of a backfill, so that the
/// start is included.
const INCLUSIVE: SignedDuration = SignedDuration::from_millis(1);

/// The times of a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The first time in the range.
    pub first: Timestamp,
    /// The last time in the range.
    pub last: Timestamp,
    /// Number of times in the range.
    pub count: u64,
    /// The range to ask the server for, so that exactly these times start.
    pub window: BackfillWindow,
}

almanac_base::message_error! {
    /// The reason for which a range cannot be backfilled.
    pub RangeError
}

/// A range of time; its end is excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    from: Timestamp,
    to: Timestamp,
}

impl Range {
    /// The range from `from` until `to`. Local times are in the time zone of
    /// `spec`.
    ///
    /// # Errors
    /// A message for people: a bound is missing or invalid, or `from` is not
    /// before `to`.
    pub fn of(spec: &Spec, from: Option<When>, to: Option<When>) -> Result<Self, RangeError> {
        let instant = |name: &str, when: Option<When>| {
            let when = when.ok_or_else(|| RangeError::from(format!("{name} is missing")))?;
            let at = when.resolve(&spec.timezone);
            at.map_err(|why| RangeError::from(format!("{name}: {why}")))
        };
        let (from, to) = (instant("from", from)?, instant("to", to)?);
        if from >= to {
            return Err(format!("from ({from}) must be before to ({to})").into());
        }
        Ok(Self { from, to })
    }

    /// The times at which a live schedule fires within the range, as the server
    /// computes them. They are computed here if the server does not answer with
    /// times. `None` if there are none.
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
                tracing::debug!(schedule = %id, %error, "cannot get the server's times");
                self.times(spec)
                    .map_err(|why| RequestError::Refused(why.to_string()))
            }
        }
    }

    /// The times in the range as the server finds them for a backfill. The
    /// search starts early enough to find what the schedule itself fires. The
    /// window of the result starts after the times that come before the range.
    async fn listed(
        self,
        schedules: &Schedules,
        id: &ScheduleId,
        spec: &Spec,
    ) -> Result<Option<Times>, RequestError> {
        let just_before = self.from.saturating_sub(SignedDuration::from_nanos(1));
        let jitter = SignedDuration::try_from(spec.jitter).unwrap_or(SignedDuration::MAX);
        // The server shows a time with its jitter; the range counts it without.
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
                        // The server goes back by this much from the start, to
                        // include it.
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

    /// The times at which a spec fires within the range, computed here. `None`
    /// if there are none. At most 100,000 are counted.
    ///
    /// # Errors
    /// A message for people: the search takes too many steps.
    pub fn times(self, spec: &Spec) -> Result<Option<Times>, RangeError> {
        let times = self.computed(spec)?;
        Ok(times.map(|times| Times {
            window: spec.backfill_window(times.first, times.last),
            ..times
        }))
    }

    fn computed(self, spec: &Spec) -> Result<Option<Times>, RangeError> {
        // The search finds times after a given time.
        let Ok(after) = self.from.checked_sub(SignedDuration::from_nanos(1)) else {
            return Ok(None);
        };
        let Self { from, to } = self;
        let mut times: Option<Times> = None;
        let mut budget = Budget::of(COUNTING_STEPS);
        let rest = spec.each_time_within(after, to, &mut budget, |time| {
            let so_far = times.get_or_insert(Times {
                first: time,
                last: time,
                count: 0,
                window: BackfillWindow {
                    start: time,
                    end: time,
                },
            });
            so_far.last = time;
            so_far.count += 1;
            if so_far.count < COUNTED {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        if rest == Rest::Unknown {
            return Err(format!(
                "the times from {from} until {to} cannot be computed: the search takes too many \
                 steps"
            )
            .into());
        }
        Ok(times)
    }

    /// Returns the times of the range if a backfill may start them.
    ///
    /// # Errors
    /// A message for people: there are no times, or more than `limit`.
    pub fn within(self, times: Option<Times>, limit: Option<u32>) -> Result<Times, RangeError> {
        let Self { from, to } = self;
        let times =
            times.ok_or_else(|| format!("the schedule has no fire time from {from} until {to}"))?;
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
                "the backfill would start {more}{count} runs, from {first} to {last}, more than \
                 the limit \
                 of {limit}"
            )
            .into());
        }
        Ok(times)
    }
}

/// The nominal time of `moment`, which includes jitter; the search for it
/// starts after `before`. Returns `moment` itself if the computed time does not
/// explain it.
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

    fn times(zone: &str, from: &str, to: &str, limit: Option<u32>) -> Result<Times, RangeError> {
        let when = |text: &str| Some(text.parse().unwrap());
        let spec = hourly(zone);
        let range = Range::of(&spec, when(from), when(to))?;
        range.within(range.times(&spec)?, limit)
    }

    #[test]
    fn a_range_of_a_day_has_24_hourly_times_without_its_end() {
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
    fn a_range_of_a_local_day_follows_its_clock_changes() {
        let spring = times("Europe/Berlin", "2026-03-29", "2026-03-30", None).unwrap();
        assert_eq!(spring.count, 23);
        let autumn = times("Europe/Berlin", "2026-10-25", "2026-10-26", None).unwrap();
        // The server goes past the hour that comes twice.
        assert_eq!(autumn.count, 24);
        assert_eq!(autumn.first.to_string(), "2026-10-24T22:00:00Z");
    }

    #[test]
    fn empty_reversed_and_too_long_ranges_are_refused() {
        for (from, to, limit, message) in [
            (
                "2026-01-01T00:10",
                "2026-01-01T00:50",
                None,
                "has no fire time",
            ),
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
            let error = times("UTC", from, to, limit).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert_eq!(
            times("UTC", "2026-01-01", "2026-02-01", Some(744))
                .unwrap()
                .count,
            744
        );
    }
}
