//! What the server takes in a spec, but a person almost never means.

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::local::{Zone, civil};
use super::{Spec, TimesWarning, UTC, zone};

const YEAR: i64 = 366 * 24 * 3600;

impl Spec {
    /// Warnings about the spec in the two years after `from`: local times that
    /// a change of the clock skips or repeats (the first of each), and an
    /// interval beside a time zone. Calendars that fire in every hour have no
    /// local time that anyone waits for, and are left out.
    pub fn warnings(&self, from: Timestamp) -> Vec<TimesWarning> {
        let mut warnings = Vec::new();
        if !self.intervals.is_empty() && self.timezone != UTC {
            warnings.push(TimesWarning::new(
                format!("intervals ignore the time zone {}", self.timezone),
                "intervals count from 1970 in UTC; for local times write a cron string",
            ));
        }
        let Some(zone) = zone::find(&self.timezone).map(Zone) else {
            return warnings;
        };
        let (mut skipped, mut repeated) = (None, None);
        let until = from.as_second() + 2 * YEAR;
        let mut at = from.as_second();
        while let Some(change) = zone.next_change(at).filter(|change| *change <= until) {
            let (before, after) = (zone.offset(change - 1), zone.offset(change));
            if after > before && skipped.is_none() {
                skipped = self.first_local(civil(change + before), civil(change + after));
            }
            if after < before && repeated.is_none() {
                repeated = self.first_local(civil(change + after), civil(change + before));
            }
            at = change;
        }
        if let Some(time) = skipped {
            warnings.push(TimesWarning::new(
                format!(
                    "{} does not exist in {}, and is skipped",
                    show(time),
                    self.timezone
                ),
                "choose an hour in which the clock does not change, or UTC",
            ));
        }
        if let Some(time) = repeated {
            warnings.push(TimesWarning::new(
                format!(
                    "{} occurs twice in {}, and fires twice",
                    show(time),
                    self.timezone
                ),
                "choose an hour in which the clock does not change, or UTC",
            ));
        }
        warnings
    }

    /// The first local time within `[from, to)` that a calendar matches, as a
    /// clock on the wall would show it, and that is not excluded.
    fn first_local(&self, from: DateTime, to: DateTime) -> Option<DateTime> {
        let wall = Self {
            calendars: self
                .calendars
                .iter()
                .filter(|calendar| !calendar.hour.is_all())
                .copied()
                .collect::<_>(),
            exclude: self.exclude.clone(),
            ..Self::default()
        };
        let (from, to) = (super::local::epoch(from), super::local::epoch(to));
        let found = wall.fire_times(Timestamp::from_second(from - 1).ok()?, 1);
        let first = found.times.first()?.as_second();
        (first < to).then(|| civil(first))
    }
}

fn show(time: DateTime) -> String {
    if time.second() == 0 {
        time.strftime("%Y-%m-%d %H:%M").to_string()
    } else {
        time.strftime("%Y-%m-%d %H:%M:%S").to_string()
    }
}
