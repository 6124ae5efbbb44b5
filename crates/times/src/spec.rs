//! The times of a whole schedule.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::interval::Go;
use super::{Calendar, Interval, Sorted, TimesError, UTC, check_zone};

/// Times of a schedule: the union of calendars and intervals, minus the exclusions, within
/// the bounds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// Calendars that match a time, sorted and without duplicates.
    pub calendars: Sorted<Calendar>,
    /// Intervals, sorted and without duplicates.
    pub intervals: Sorted<Interval>,
    /// Calendars that exclude a time, sorted and without duplicates.
    pub exclude: Sorted<Calendar>,
    /// IANA name of the zone of the calendars and exclusions; `UTC` by default.
    pub timezone: String,
    /// The schedule does not fire before this time.
    pub start_at: Option<Timestamp>,
    /// The schedule does not fire after this time.
    pub end_at: Option<Timestamp>,
    /// Maximum jitter. The server delays each action by a random part of this duration.
    pub jitter: Duration,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            calendars: Sorted::default(),
            intervals: Sorted::default(),
            exclude: Sorted::default(),
            timezone: UTC.to_owned(),
            start_at: None,
            end_at: None,
            jitter: Duration::ZERO,
        }
    }
}

impl Spec {
    /// Checks the whole spec: its time zone, its intervals, and the order of its bounds.
    pub fn check(&self) -> Result<(), Vec<TimesError>> {
        let mut errors = Vec::new();
        if let Err(error) = check_zone(&self.timezone) {
            errors.push(error);
        }
        for interval in &self.intervals {
            if let Err(error) = Interval::new(interval.every, interval.phase) {
                errors.push(error);
            }
        }
        if let (Some(start), Some(end)) = (self.start_at, self.end_at)
            && end < start
        {
            errors.push(TimesError::new(format!(
                "end_at {end} is before start_at {start}"
            )));
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }
}

/// A line for people: `30 2 * * 1-5; every 6h/15m; but not * * * 24-26 12 * * (Europe/Berlin)`.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times: Vec<String> = self
            .calendars
            .iter()
            .map(ToString::to_string)
            .chain(
                self.intervals
                    .iter()
                    .map(|interval| format!("every {interval}")),
            )
            .collect();
        f.write_str(if times.is_empty() { "never" } else { "" })?;
        f.write_str(&times.join("; "))?;
        for (index, exclusion) in self.exclude.iter().enumerate() {
            write!(
                f,
                "{}{exclusion}",
                if index == 0 { "; but not " } else { ", nor " }
            )?;
        }
        if self.timezone != UTC {
            write!(f, " ({})", self.timezone)?;
        }
        if let Some(start) = self.start_at {
            write!(f, " from {start}")?;
        }
        if let Some(end) = self.end_at {
            write!(f, " until {end}")?;
        }
        if !self.jitter.is_zero() {
            write!(f, " within {}", Go(self.jitter))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile_cron;

    fn whole() -> Spec {
        Spec {
            calendars: compile_cron("30 2 * * MON-FRI")
                .unwrap()
                .calendars
                .into_iter()
                .collect(),
            intervals: compile_cron("@every 6h/15m")
                .unwrap()
                .intervals
                .into_iter()
                .collect(),
            exclude: compile_cron("* * * 24-26 12 * *")
                .unwrap()
                .calendars
                .into_iter()
                .collect(),
            timezone: "Europe/Berlin".to_owned(),
            start_at: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            end_at: Some("2027-01-01T00:00:00Z".parse().unwrap()),
            jitter: Duration::from_secs(90),
        }
    }

    #[test]
    fn a_spec_is_a_line_for_people() {
        insta::assert_snapshot!(whole(), @"30 2 * * 1-5; every 6h/15m; but not * * * 24-26 12 * * (Europe/Berlin) from 2026-01-01T00:00:00Z until 2027-01-01T00:00:00Z within 1m30s");
        insta::assert_snapshot!(Spec::default(), @"never");
    }

    /// The serialised form is hashed: it must never change.
    #[test]
    fn a_spec_is_serialized_by_its_canonical_texts() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&whole()).unwrap(), @r#"
        {
          "calendars": [
            "30 2 * * 1-5"
          ],
          "intervals": [
            "6h/15m"
          ],
          "exclude": [
            "* * * 24-26 12 * *"
          ],
          "timezone": "Europe/Berlin",
          "start_at": "2026-01-01T00:00:00Z",
          "end_at": "2027-01-01T00:00:00Z",
          "jitter": {
            "secs": 90,
            "nanos": 0
          }
        }
        "#);
        let json = serde_json::to_string(&whole()).unwrap();
        assert_eq!(serde_json::from_str::<Spec>(&json).unwrap(), whole());
        assert_eq!(serde_json::from_str::<Spec>("{}").unwrap(), Spec::default());
    }

    #[test]
    fn all_errors_of_a_spec_come_at_once() {
        assert_eq!(whole().check(), Ok(()));
        let wrong = Spec {
            timezone: "Europe/Berln".to_owned(),
            end_at: Some("2025-01-01T00:00:00Z".parse().unwrap()),
            ..whole()
        };
        let errors: Vec<String> = wrong
            .check()
            .unwrap_err()
            .into_iter()
            .map(|error| error.message)
            .collect();
        insta::assert_snapshot!(errors.join("\n"), @r#"
        unknown time zone `Europe/Berln`
        end_at 2025-01-01T00:00:00Z is before start_at 2026-01-01T00:00:00Z
        "#);
    }
}
