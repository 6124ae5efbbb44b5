//! Ranges of backfill requests that start exactly the intended runs.
//!
//! The server searches for the times of a backfill from the range's start to its end. The start
//! is inclusive, because the server goes back a millisecond. The server compares the end with the
//! jittered moment of a time. Two ranges seem right but are wrong:
//!
//! - `[t, t]` within an hour that the clock repeats: a search that starts there
//!   does not find `t`, although the schedule itself fires at `t`. A search that starts
//!   at the time before `t` finds it.
//! - `[t, t]` with jitter: the jittered moment of `t` is after the end.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Spec;

/// Moves a start past the whole second of the time before it, but not to the next second. The
/// server goes back a millisecond, and searches by seconds.
const AFTER_THE_TIME_BEFORE: SignedDuration = SignedDuration::from_millis(500);
/// The server's jitter is a whole number of milliseconds and less than the maximum.
const LESS: SignedDuration = SignedDuration::from_millis(1);

/// The range of a backfill request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillWindow {
    /// The request's start time.
    pub start: Timestamp,
    /// The request's end time.
    pub end: Timestamp,
}

impl Spec {
    /// Returns the range of a backfill request that starts the runs of this schedule from the time
    /// `first` to the time `last`, both included, and no others. `first` and `last` are fire times
    /// of the schedule, without jitter. For a single run they are equal.
    pub fn backfill_window(&self, first: Timestamp, last: Timestamp) -> BackfillWindow {
        BackfillWindow {
            start: self.backfill_start(first),
            end: self.backfill_end(last),
        }
    }

    fn backfill_start(&self, first: Timestamp) -> Timestamp {
        let found = |from| self.fire_times(from, 1).times.first() == Some(&first);
        let before = first.saturating_sub(LESS).unwrap_or(first);
        if found(before) {
            return first;
        }
        let from = self.search_start(before);
        if found(from) {
            from.saturating_add(AFTER_THE_TIME_BEFORE).unwrap_or(first)
        } else {
            first
        }
    }

    fn backfill_end(&self, last: Timestamp) -> Timestamp {
        let jitter = SignedDuration::try_from(self.jitter).unwrap_or(SignedDuration::MAX);
        if jitter < LESS {
            return last;
        }
        // The server delays a run by jitter at most until the next time.
        let next = self.fire_times(last, 1).times.first().copied();
        let to_next = next.map_or(SignedDuration::MAX, |next| next.duration_since(last));
        let delay = jitter.min(to_next).saturating_sub(LESS);
        last.saturating_add(delay).unwrap_or(last)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::compile_cron;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn spec(cron: &str, timezone: &str) -> Spec {
        let cron = compile_cron(cron).unwrap();
        Spec {
            calendars: cron.calendars.into_iter().collect(),
            intervals: cron.intervals.into_iter().collect(),
            timezone: timezone.to_owned(),
            ..Spec::default()
        }
    }

    /// The times that the server finds in the range, without jitter.
    fn served(spec: &Spec, window: BackfillWindow) -> Vec<Timestamp> {
        let mut after = window.start - LESS;
        let mut times = Vec::new();
        while let Some(time) = spec.fire_times(after, 1).times.first().copied()
            && time <= window.end
        {
            times.push(time);
            after = time;
        }
        times
    }

    const ZONES: [(&str, &str); 8] = [
        ("Europe/Berlin", "2026-10-25T01:00:00Z"),
        ("Europe/London", "2026-10-25T01:00:00Z"),
        ("America/New_York", "2026-11-01T06:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        ("Australia/Sydney", "2026-04-04T16:00:00Z"),
        ("America/Santiago", "2026-09-06T04:00:00Z"),
        ("Africa/Casablanca", "2026-02-15T02:00:00Z"),
        ("Antarctica/Troll", "2026-10-25T01:00:00Z"),
    ];

    #[test]
    fn each_time_around_a_change_of_the_clock_is_found_alone() {
        let crons = [
            "30 * * * *",
            "0,15,30,45 * * * *",
            "30 1 * * *",
            "30 2 * * *",
            "0 1,2,3 * * *",
            "20 30 1 * * 1-6 *",
            "*/7 * * * *",
            "15,45 */10 1,2 * * * *",
            "0 12 * * SUN",
        ];
        for (zone, change) in ZONES {
            let from = at(change) - SignedDuration::from_hours(30);
            let until = at(change) + SignedDuration::from_hours(30);
            for cron in crons {
                let spec = spec(cron, zone);
                let times = spec.times_after(from, 1000).times;
                for time in times.into_iter().filter(|time| *time < until) {
                    let window = spec.backfill_window(time, time);
                    assert_eq!(served(&spec, window), [time], "{cron} {zone} {window:?}");
                }
            }
        }
    }

    #[test]
    fn a_range_through_a_repeated_hour_is_found_whole() {
        let spec = spec("30 * * * *", "Europe/Berlin");
        let times = spec.times_after(at("2026-10-25T00:00:00Z"), 3).times;
        let shown: Vec<_> = times.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(shown.join(" "), @"2026-10-25T00:30:00Z 2026-10-25T02:30:00Z 2026-10-25T03:30:00Z");
        let window = spec.backfill_window(times[0], times[2]);
        assert_eq!(served(&spec, window), times);
    }

    #[test]
    fn elsewhere_a_range_begins_and_ends_with_its_times() {
        let spec = spec("30 * * * *", "Europe/Berlin");
        let (first, last) = (at("2026-07-01T00:30:00Z"), at("2026-07-01T05:30:00Z"));
        let window = spec.backfill_window(first, last);
        assert_eq!((window.start, window.end), (first, last));
    }

    #[test]
    fn a_range_ends_after_the_jitter_and_before_the_next_time() {
        let end = |jitter: u64| {
            let spec = Spec {
                jitter: Duration::from_secs(jitter),
                ..spec("30 * * * *", "UTC")
            };
            let first = at("2026-01-01T00:30:00Z");
            spec.backfill_window(first, first).end.to_string()
        };
        assert_eq!(end(0), "2026-01-01T00:30:00Z");
        assert_eq!(end(60), "2026-01-01T00:30:59.999Z");
        assert_eq!(end(86_400), "2026-01-01T01:29:59.999Z");
    }

    proptest! {
        /// Searching from any moment finds the times of a running schedule.
        #[test]
        fn the_times_after_a_moment_do_not_depend_on_the_moment(
            zone in 0..ZONES.len(), cron in 0..3_usize, offset in -20_000_i64..100_000
        ) {
            let (zone, change) = ZONES[zone];
            let spec = spec(["*/20 * * * *", "30 1,2 * * *", "10 0-12 * * 0-6"][cron], zone);
            let from = at(change) - SignedDuration::from_hours(40);
            let whole = spec.fire_times(from, 400).times;
            let moment = at(change) + SignedDuration::from_secs(offset);
            let after: Vec<_> = whole.into_iter().filter(|time| *time > moment).take(5).collect();
            prop_assert_eq!(spec.times_after(moment, after.len()).times, after);
        }
    }
}
