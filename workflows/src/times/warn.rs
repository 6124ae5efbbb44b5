//! What the server takes in a spec, but a person almost never means.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::local::{Zone, civil, epoch};
use super::{Spec, TimesWarning, UTC, zone};

const HOUR: i64 = 3600;
const YEAR: i64 = 366 * 24 * HOUR;

/// What fires more often than this around one change of the clock has no local
/// time that anyone waits for.
const DENSE: usize = 500;

const DST_HINT: &str = "choose an hour in which the clock does not change, or UTC";

/// The first local time of each kind that a change of the clock upsets.
#[derive(Default)]
struct Upset {
    missing: Option<DateTime>,
    lost: Option<DateTime>,
    twice: Option<DateTime>,
    extra: Option<DateTime>,
}

impl Spec {
    /// Warnings about the spec as it fires in the two years after `from`:
    /// local times that a change of the clock skips or repeats (the first of
    /// each), an interval beside a time zone, and a spec that never fires.
    /// Calendars that fire in every hour are left out of the first.
    pub fn warnings(&self, from: Timestamp) -> Vec<TimesWarning> {
        let mut warnings = Vec::new();
        if !self.intervals.is_empty() && self.timezone != UTC {
            warnings.push(TimesWarning::new(
                format!("intervals ignore the time zone {}", self.timezone),
                "intervals count from 1970 in UTC; for local times write a cron string",
            ));
        }
        if self.end_at.is_none_or(|end| end > from) && self.fire_times(from, 1).times.is_empty() {
            warnings.push(TimesWarning::new(
                format!("`{self}` never fires"),
                "no date matches, or so much is excluded that the server stops looking",
            ));
        }
        if let Some(zone) = zone::find(&self.timezone).map(Zone::new) {
            self.upset(&zone, from).warn(&self.timezone, &mut warnings);
        }
        warnings
    }

    fn upset(&self, zone: &Zone, from: Timestamp) -> Upset {
        let mut upset = Upset::default();
        let local = Self {
            calendars: self.calendars.iter().filter(|it| !it.hour.is_all()).copied().collect(),
            exclude: self.exclude.clone(),
            timezone: self.timezone.clone(),
            ..Self::default()
        };
        if local.calendars.is_empty() {
            return upset;
        }
        let bound = |time: Option<Timestamp>, or: i64| time.map_or(or, Timestamp::as_second);
        let start = bound(self.start_at, i64::MIN).max(from.as_second());
        let end = bound(self.end_at, i64::MAX).min(from.as_second() + 2 * YEAR);
        let mut at = start;
        while let Some(change) = zone.next_change(at).filter(|change| *change <= end) {
            upset.look(&local, zone, change);
            at = change;
        }
        upset
    }

    /// The times after `after` to `until`; `None` when they are too many.
    fn between(&self, after: i64, until: i64) -> Option<Vec<i64>> {
        let after = Timestamp::from_second(after).ok()?;
        let found = self.fire_times(after, DENSE).times;
        let times: Vec<i64> = found.iter().map(|time| time.as_second()).collect();
        let dense = times.len() == DENSE && times.last().is_some_and(|last| *last <= until);
        (!dense).then(|| times.into_iter().filter(|time| *time <= until).collect())
    }
}

impl Upset {
    /// Compares what fires around a change with what the clock on the wall
    /// would have shown without one.
    fn look(&mut self, spec: &Spec, zone: &Zone, change: i64) {
        let (before, after) = (zone.offset(change - 1), zone.offset(change));
        let margin = (after - before).abs() + 3 * HOUR;
        let (from, until) = (change - margin, change + margin);
        let wall = Spec { timezone: UTC.to_owned(), ..spec.clone() };
        let Some(real) = spec.between(from, until) else {
            return;
        };
        let Some(ideal) = wall.between(from + before, until + after) else {
            return;
        };
        let shown: Vec<i64> = real.iter().map(|time| epoch(zone.local(*time))).collect();
        let once: BTreeSet<i64> = shown.iter().copied().collect();
        let meant: BTreeSet<i64> = ideal.into_iter().collect();
        let first = |slot: &mut Option<DateTime>, found: Option<i64>| *slot = slot.or(found.map(civil));
        let gap = change + before..change + after;
        first(&mut self.missing, meant.iter().find(|time| gap.contains(time)).copied());
        let lost = meant.difference(&once).find(|time| !gap.contains(time));
        first(&mut self.lost, lost.copied());
        let twice = once.iter().find(|time| shown.iter().filter(|other| other == time).count() > 1);
        first(&mut self.twice, twice.copied());
        first(&mut self.extra, once.difference(&meant).next().copied());
    }

    fn warn(&self, zone: &str, warnings: &mut Vec<TimesWarning>) {
        let mut warn = |time: Option<DateTime>, say: &dyn Fn(String) -> String| {
            warnings.extend(time.map(|time| TimesWarning::new(say(show(time)), DST_HINT)));
        };
        warn(self.missing, &|time| format!("{time} does not exist in {zone}, and is skipped"));
        warn(self.lost, &|time| format!("{time} is skipped in {zone}, where the clock changes"));
        warn(self.twice, &|time| format!("{time} occurs twice in {zone}, and fires twice"));
        warn(self.extra, &|time| {
            format!("fires at {time} as well in {zone}, where the clock changes: the server repeats the hour before")
        });
    }
}

fn show(time: DateTime) -> String {
    let seconds = if time.second() == 0 { "" } else { ":%S" };
    time.strftime(&format!("%Y-%m-%d %H:%M{seconds}")).to_string()
}
