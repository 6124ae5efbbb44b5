//! Detection of actions that were due but did not happen.

use almanac_base::budget::Budget;
use jiff::{SignedDuration, Timestamp};

use super::{QUICK_STEPS, Spec};

/// Maximum lateness of an action, in addition to the jitter, before it counts as overdue.
/// The server catches up within seconds when it can.
pub const LATENESS: SignedDuration = SignedDuration::from_secs(60);

impl Spec {
    /// Returns the next fire time after `since` if an action for it is overdue at `now`.
    /// The result is computed from the times alone: a server that has stopped serving a
    /// schedule also stops updating the next time that it reports.
    pub fn overdue(&self, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let found = self.fire_times_within(since, 1, &mut Budget::of(QUICK_STEPS));
        let due = *found.times.first()?;
        self.is_late(due, now).then_some(due)
    }

    /// Returns `true` if an action that was due at `due` is overdue at `now`.
    pub fn is_late(&self, due: Timestamp, now: Timestamp) -> bool {
        let jitter = SignedDuration::try_from(self.jitter).unwrap_or(SignedDuration::MAX);
        let allowed = LATENESS.saturating_add(jitter);
        now.duration_since(due) > allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::compile_cron;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn nightly() -> Spec {
        Spec {
            calendars: compile_cron("0 3 * * *")
                .unwrap()
                .calendars
                .into_iter()
                .collect(),
            ..Spec::default()
        }
    }

    #[test]
    fn a_night_without_its_run_is_overdue_a_minute_after() {
        let spec = nightly();
        let since = at("2026-01-01T03:00:00Z");
        let due = Some(at("2026-01-02T03:00:00Z"));
        assert_eq!(spec.overdue(since, at("2026-01-02T02:59:00Z")), None);
        assert_eq!(spec.overdue(since, at("2026-01-02T03:01:00Z")), None);
        assert_eq!(spec.overdue(since, at("2026-01-02T03:01:01Z")), due);
        assert_eq!(spec.overdue(since, at("2026-03-02T00:00:00Z")), due);
    }

    #[test]
    fn jitter_is_no_delay() {
        let spec = Spec {
            jitter: Duration::from_mins(30),
            ..nightly()
        };
        let since = at("2026-01-01T03:20:00Z");
        assert_eq!(spec.overdue(since, at("2026-01-02T03:31:00Z")), None);
        assert!(spec.overdue(since, at("2026-01-02T03:31:01Z")).is_some());
    }

    #[test]
    fn a_spec_that_fires_no_more_is_never_overdue() {
        let spec = Spec {
            end_at: Some(at("2026-01-01T12:00:00Z")),
            ..nightly()
        };
        let since = at("2026-01-01T03:00:00Z");
        assert_eq!(spec.overdue(since, at("2027-01-01T00:00:00Z")), None);
    }
}
