//! Warnings about specs that the server accepts, but a person almost never means.

use std::collections::BTreeSet;

use almanac_base::budget::{Budget, Exceeded};
use jiff::Timestamp;
use jiff::civil::DateTime;

use super::local::{Zone, civil, epoch};
use super::{FireTimes, Rest, Spec, TimesError, TimesWarning, UTC, zone};

const HOUR: i64 = 3600;
const YEAR: i64 = 366 * 24 * HOUR;

/// Maximum number of times around a change of the clock. A schedule that fires more often
/// has no local time that anyone waits for.
const DENSE: usize = 500;

/// Last second before the years that the server knows.
const FIRST: i64 = 946_684_799;

/// Maximum length of a spec's text in a warning, in characters.
const SHOWN: usize = 200;

const DST_HINT: &str = "choose an hour in which the clock does not change, or UTC";

/// The first local time of each kind that a change of the clock affects.
#[derive(Default)]
struct Upset {
    missing: Option<DateTime>,
    lost: Option<DateTime>,
    twice: Option<DateTime>,
    extra: Option<DateTime>,
}

impl Spec {
    /// Checks that the search for a time takes no more steps than the budget has. A spec whose
    /// search takes more is invalid.
    ///
    /// The search begins with the years that the server knows and in UTC, so
    /// the answer is the same at any time and for any zone data.
    ///
    /// # Errors
    /// The error describes the mistake and its correction.
    pub fn check_work(&self, budget: &mut Budget) -> Result<(), TimesError> {
        if self.find_any(budget).is_ok() {
            return Ok(());
        }
        let (calendars, intervals) = (self.calendars.len(), self.intervals.len());
        let message = format!(
            "takes too long to check: {calendars} calendars, {intervals} intervals and {} \
             exclusions leave no time that is found within the budget of a document",
            self.exclude.len()
        );
        Err(TimesError::new(message).hint(
            "combine calendars that differ in one field (`0,15,30`), and remove exclusions that \
             leave no time",
        ))
    }

    /// Searches for a time in UTC.
    fn find_any(&self, budget: &mut Budget) -> Result<(), Exceeded> {
        let in_utc = Self {
            timezone: UTC.to_owned(),
            start_at: None,
            end_at: None,
            ..self.clone()
        };
        let from = Timestamp::from_second(FIRST).unwrap_or_default();
        let found = in_utc.fire_times_within(from, 1, budget);
        match found.rest {
            Rest::Unknown => Err(Exceeded),
            Rest::More | Rest::Nothing => Ok(()),
        }
    }

    /// Returns warnings about the spec as it fires in the two years after `from`. A warning is
    /// given for:
    ///
    /// - local times that a change of the clock skips or repeats (the first of each kind), except
    ///   of calendars that fire in every hour,
    /// - an interval beside a time zone,
    /// - a spec that never fires.
    ///
    /// If the budget is too small to decide if the spec fires, a warning says so. Other warnings
    /// that cannot be computed within the budget are left out.
    pub fn warnings(&self, from: Timestamp, budget: &mut Budget) -> Vec<TimesWarning> {
        let mut warnings = Vec::new();
        if !self.intervals.is_empty() && self.timezone != UTC {
            warnings.push(TimesWarning::new(
                format!("intervals ignore the time zone {}", self.timezone),
                "intervals count from 1970 in UTC; for local times write a cron string",
            ));
        }
        let has_times = !self.calendars.is_empty() || !self.intervals.is_empty();
        let ended = self.end_at.is_some_and(|end| end <= from);
        if has_times && !ended && self.check().is_ok() {
            let found = self.fire_times_within(from, 1, budget);
            let shown = || shortened(self.to_string());
            match found.rest {
                _ if found.is_never() => warnings.push(TimesWarning::new(
                    format!("`{}` never fires", shown()),
                    "no date matches, or so much is excluded that the server stops searching",
                )),
                Rest::Unknown => warnings.push(TimesWarning::new(
                    format!("cannot compute when `{}` fires", shown()),
                    "the search takes too many steps; combine calendars that differ in one field \
                     (`0,15,30`)",
                )),
                _ => {}
            }
        }
        if let Some(zone) = zone::find(&self.timezone).map(Zone::new) {
            let upset = self.upset(&zone, from, budget).unwrap_or_default();
            upset.warn(&self.timezone, &mut warnings);
        }
        warnings
    }

    fn upset(&self, zone: &Zone, from: Timestamp, budget: &mut Budget) -> Result<Upset, Exceeded> {
        let mut upset = Upset::default();
        let local = Self {
            calendars: self
                .calendars
                .iter()
                .filter(|it| !it.hour.is_all())
                .copied()
                .collect(),
            exclude: self.exclude.clone(),
            timezone: self.timezone.clone(),
            ..Self::default()
        };
        if local.calendars.is_empty() {
            return Ok(upset);
        }
        let bound = |time: Option<Timestamp>, or: i64| time.map_or(or, Timestamp::as_second);
        let start = bound(self.start_at, i64::MIN).max(from.as_second());
        let end = bound(self.end_at, i64::MAX).min(from.as_second() + 2 * YEAR);
        let mut at = start;
        while let Some(change) = zone.next_change(at).filter(|change| *change <= end) {
            upset.compare(&local, zone, change, budget)?;
            at = change;
        }
        Ok(upset)
    }

    /// Returns the times after `after` to `until`; `None` if there are too many.
    fn between(
        &self,
        after: i64,
        until: i64,
        budget: &mut Budget,
    ) -> Result<Option<Vec<i64>>, Exceeded> {
        let Ok(after) = Timestamp::from_second(after) else {
            return Ok(None);
        };
        // The search is limited, so that a search for rare times does not go through all years.
        let bounded = Self {
            end_at: Timestamp::from_second(until).ok(),
            ..self.clone()
        };
        let FireTimes { times, rest } = bounded.fire_times_within(after, DENSE, budget);
        match rest {
            Rest::Unknown => Err(Exceeded),
            Rest::More => Ok(None),
            Rest::Nothing => Ok(Some(times.iter().map(|time| time.as_second()).collect())),
        }
    }
}

impl Upset {
    /// Compares the times around a change of the clock with the times that the clock would have
    /// shown without the change.
    fn compare(
        &mut self,
        spec: &Spec,
        zone: &Zone,
        change: i64,
        budget: &mut Budget,
    ) -> Result<(), Exceeded> {
        let (before, after) = (zone.offset(change - 1), zone.offset(change));
        // A day without midnight may be skipped as a whole.
        let margin = (after - before).abs() + 25 * HOUR;
        let (from, until) = (change - margin, change + margin);
        let wall = Spec {
            timezone: UTC.to_owned(),
            ..spec.clone()
        };
        let Some(ideal) = wall.between(from + before, until + after, budget)? else {
            return Ok(());
        };
        let Some(real) = spec.between(from, until, budget)? else {
            return Ok(());
        };
        let shown: Vec<i64> = real.iter().map(|time| epoch(zone.local(*time))).collect();
        let once: BTreeSet<i64> = shown.iter().copied().collect();
        let meant: BTreeSet<i64> = ideal.into_iter().collect();
        let first =
            |slot: &mut Option<DateTime>, found: Option<i64>| *slot = slot.or(found.map(civil));
        let gap = change + before..change + after;
        first(
            &mut self.missing,
            meant.iter().find(|time| gap.contains(time)).copied(),
        );
        let lost = meant.difference(&once).find(|time| !gap.contains(time));
        first(&mut self.lost, lost.copied());
        let twice = once
            .iter()
            .find(|time| shown.iter().filter(|other| other == time).count() > 1);
        first(&mut self.twice, twice.copied());
        first(&mut self.extra, once.difference(&meant).next().copied());
        Ok(())
    }

    fn warn(&self, zone: &str, warnings: &mut Vec<TimesWarning>) {
        let mut warn = |time: Option<DateTime>, message: &dyn Fn(String) -> String| {
            warnings.extend(time.map(|time| TimesWarning::new(message(show(time)), DST_HINT)));
        };
        warn(self.missing, &|time| {
            format!("{time} does not exist in {zone}, and is skipped")
        });
        warn(self.lost, &|time| {
            format!("{time} is skipped in {zone}, where the clock changes")
        });
        warn(self.twice, &|time| {
            format!("{time} occurs twice in {zone}, and fires twice")
        });
        warn(self.extra, &|time| {
            format!(
                "also fires at {time} in {zone}, where the clock changes: the server repeats the \
                 hour before"
            )
        });
    }
}

/// The beginning of a text, limited to `SHOWN` characters.
fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn show(time: DateTime) -> String {
    let seconds = if time.second() == 0 { "" } else { ":%S" };
    time.strftime(&format!("%Y-%m-%d %H:%M{seconds}"))
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::super::{SEARCH_STEPS, compile_cron};
    use super::*;

    fn warnings(crons: &[&str], timezone: &str) -> String {
        let mut spec = Spec {
            timezone: timezone.to_owned(),
            ..Spec::default()
        };
        for cron in crons {
            let cron = compile_cron(cron).unwrap();
            spec.calendars.extend(cron.calendars);
            spec.intervals.extend(cron.intervals);
        }
        let from = "2026-06-01T00:00:00Z".parse().unwrap();
        spec.warnings(from, &mut Budget::of(SEARCH_STEPS))
            .into_iter()
            .map(|it| it.message)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn local_times_that_a_change_of_the_clock_upsets_are_named_once_each() {
        insta::assert_snapshot!(warnings(&["30 2 * * *"], "Europe/Berlin"), @"2027-03-28 02:30 does not exist in Europe/Berlin, and is skipped");
        insta::assert_snapshot!(warnings(&["30 1 * * *"], "Europe/Berlin"), @"also fires at 2026-10-25 02:30 in Europe/Berlin, where the clock changes: the server repeats the hour before");
        insta::assert_snapshot!(warnings(&["30 1,2 * * *"], "America/New_York"), @r#"
        2027-03-14 02:30 does not exist in America/New_York, and is skipped
        2026-11-01 01:30 occurs twice in America/New_York, and fires twice
        "#);
        insta::assert_snapshot!(warnings(&["15 30 1 * * SUN *"], "America/New_York"), @"2026-11-01 01:30:15 occurs twice in America/New_York, and fires twice");
    }

    #[test]
    fn times_that_no_change_meets_do_not_warn() {
        for (cron, zone) in [
            ("30 5 * * *", "Europe/Berlin"),
            ("30 2 * * *", "UTC"),
            ("30 2 * * *", "Asia/Tokyo"),
            ("*/5 * * * *", "Europe/Berlin"),
            ("30 2 * * MON", "Europe/Berlin"),
            ("30 2 1 1 *", "Europe/Berlin"),
        ] {
            assert_eq!(warnings(&[cron], zone), "", "{cron} in {zone}");
        }
    }

    #[test]
    fn a_day_without_a_midnight_warns_of_its_other_hours() {
        insta::assert_snapshot!(warnings(&["0 12 * * SUN"], "America/Santiago"), @"2026-09-06 12:00 is skipped in America/Santiago, where the clock changes");
    }

    #[test]
    fn bounds_keep_a_change_out() {
        let cron = compile_cron("30 2 * * *").unwrap();
        let spec = Spec {
            calendars: cron.calendars.into_iter().collect(),
            timezone: "Europe/Berlin".to_owned(),
            end_at: Some("2026-10-01T00:00:00Z".parse().unwrap()),
            ..Spec::default()
        };
        let from = "2026-06-01T00:00:00Z".parse().unwrap();
        assert_eq!(spec.warnings(from, &mut Budget::of(SEARCH_STEPS)), []);
    }

    #[test]
    fn an_interval_beside_a_zone_and_a_spec_that_never_fires_get_a_warning() {
        insta::assert_snapshot!(warnings(&["@every 5m"], "Europe/Berlin"), @"intervals ignore the time zone Europe/Berlin");
        insta::assert_snapshot!(warnings(&["0 0 30 2 *"], "UTC"), @"`0 0 30 2 *` never fires");
    }
}
