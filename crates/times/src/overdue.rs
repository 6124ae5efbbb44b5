//! Whether something that should have fired did not.

use almanac_base::budget::Budget;
use jiff::{SignedDuration, Timestamp};

use super::{QUICK_STEPS, Spec};

/// How late an action may be, beside the jitter, before it counts as overdue:
/// the server catches up within seconds once it can.
pub const LATENESS: SignedDuration = SignedDuration::from_secs(60);

impl Spec {
    /// The next time after `since` by which something has to have fired, and
    /// whether that is so long ago at `now` that it is overdue.
    ///
    /// Computed from the times alone. A server that has stopped serving a
    /// schedule also stops moving the next time that it tells.
    pub fn overdue(&self, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let found = self.fire_times_within(since, 1, &mut Budget::of(QUICK_STEPS));
        let due = *found.times.first()?;
        self.is_late(due, now).then_some(due)
    }

    /// Whether an action that was due then is overdue at `now`.
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
    fn what_fires_no_more_is_never_overdue() {
        let spec = Spec {
            end_at: Some(at("2026-01-01T12:00:00Z")),
            ..nightly()
        };
        let since = at("2026-01-01T03:00:00Z");
        assert_eq!(spec.overdue(since, at("2027-01-01T00:00:00Z")), None);
    }
}
