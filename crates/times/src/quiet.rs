//! Moments at which a schedule fires no run. At such a moment one schedule can replace
//! another, and no time is run by both or by neither.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Rest, Spec};

/// Maximum number of fire times that a search examines.
const EXAMINED_LIMIT: usize = 5000;

/// Time without a run that a moment needs before and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet {
    /// Time since the last run, with its jitter.
    pub before: Duration,
    /// Time until the next run.
    pub after: Duration,
}

impl Quiet {
    /// Returns the first moment from `now` to `limit` at which none of `specs` has run for
    /// `before`, and none runs for `after`. `None` if there is no such moment.
    pub fn next(self, specs: &[&Spec], now: Timestamp, limit: Timestamp) -> Option<Timestamp> {
        let (before, after) = (signed(self.before), signed(self.after));
        let mut busy: Vec<(Timestamp, Timestamp)> = Vec::new();
        for spec in specs {
            let earlier = before
                .saturating_add(signed(spec.jitter))
                .saturating_add(SignedDuration::from_secs(1));
            let from = now.saturating_sub(earlier).unwrap_or(Timestamp::MIN);
            let found = spec.times_after(from, EXAMINED_LIMIT);
            let times = &found.times;
            for (index, time) in times.iter().enumerate() {
                if time.duration_since(limit) > after {
                    break;
                }
                // The jitter delays a run at most until the next time.
                let to_next = times.get(index + 1).map(|next| next.duration_since(*time));
                let jitter = signed(spec.jitter).min(to_next.unwrap_or(SignedDuration::MAX));
                let begins = time.saturating_sub(after).unwrap_or(Timestamp::MIN);
                let ends = time.saturating_add(jitter.saturating_add(before));
                busy.push((begins, ends.unwrap_or(Timestamp::MAX)));
            }
            // The time that was not examined counts as busy.
            if found.rest != Rest::Nothing {
                busy.push((times.last().copied().unwrap_or(from), Timestamp::MAX));
            }
        }
        busy.sort_unstable();
        let mut moment = now;
        for (from, to) in busy {
            if moment <= from {
                break;
            }
            moment = moment.max(to);
        }
        (moment <= limit).then_some(moment)
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::from_hours(24 * 365))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile_cron;

    const QUIET: Quiet = Quiet {
        before: Duration::from_secs(1),
        after: Duration::from_secs(2),
    };

    fn spec(cron: &str, jitter: u64) -> Spec {
        let compiled = compile_cron(cron).unwrap();
        Spec {
            calendars: compiled.calendars.into_iter().collect(),
            intervals: compiled.intervals.into_iter().collect(),
            jitter: Duration::from_secs(jitter),
            ..Spec::default()
        }
    }

    fn next(cron: &str, jitter: u64, now: &str) -> String {
        let now: Timestamp = format!("2026-01-01T00:{now}Z").parse().unwrap();
        let limit = now + SignedDuration::from_mins(10);
        let found = QUIET.next(&[&spec(cron, jitter)], now, limit);
        found.map_or("none".to_owned(), |at| at.strftime("%M:%S%.f").to_string())
    }

    #[test]
    fn a_quiet_moment_is_between_two_runs() {
        // Far from any run: at once.
        assert_eq!(next("0 * * * *", 0, "30:00"), "30:00");
        // Just before and just after one: after it.
        assert_eq!(next("*/10 * * * *", 0, "09:59"), "10:01");
        assert_eq!(next("*/10 * * * *", 0, "10:00.5"), "10:01");
        assert_eq!(next("*/10 * * * *", 0, "10:01"), "10:01");
        // Every four seconds there is one, every three there is just one, then none.
        assert_eq!(next("@every 4s", 0, "00:03"), "00:05");
        assert_eq!(next("@every 3s", 0, "00:00"), "00:01");
        assert_eq!(next("@every 2s", 0, "00:00"), "none");
    }

    #[test]
    fn the_jitter_belongs_to_a_run() {
        assert_eq!(next("*/10 * * * *", 120, "10:30"), "12:01");
        assert_eq!(next("*/10 * * * *", 3600, "10:30"), "none");
    }

    #[test]
    fn a_schedule_that_is_over_is_quiet() {
        assert_eq!(next("0 0 1 1 * 2020", 0, "00:00"), "00:00");
    }

    /// A schedule of others may have it: the server takes any.
    #[test]
    fn a_jitter_of_any_length_is_taken() {
        let quiet = Quiet {
            before: Duration::from_secs(2),
            after: Duration::from_secs(3),
        };
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        for seconds in [400_000_000_000, u64::MAX] {
            let spec = Spec {
                jitter: Duration::from_secs(seconds),
                ..Spec::default()
            };
            assert_eq!(quiet.next(&[&spec], now, now), Some(now));
        }
    }
}
