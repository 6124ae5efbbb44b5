//! Candidates and exclusions while the clock runs evenly: days as sets of seconds.
//!
//! Away from a change of the clock, the server's walk through a calendar finds exactly the
//! seconds that the calendar's fields match. Therefore an hour is two sets of seconds here:
//! the candidates, and those of them that are not excluded. Days on which the same calendars
//! match share their hours. The result is the same as that of trying each candidate in turn,
//! including the number of candidates.

use std::collections::BTreeMap;

use almanac_base::budget::{Budget, Exceeded};
use jiff::civil::Date;

use super::interval::{next_interval, seconds_of};
use super::local::civil;
use super::{Calendar, Interval, Spec};

/// Number of seconds in a day.
pub(super) const DAY: i64 = 86_400;

/// Number of excluded candidates in a row after which the server stops its search, by
/// default: two weeks of seconds.
pub(super) const CANDIDATES: u64 = 14 * 24 * 3600;

/// Maximum number of kinds of day that are remembered: several times those of a week.
const REMEMBERED: usize = 32;

/// Number of simple operations that take the time of one step.
const PER_STEP: u64 = 8;

/// Result of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// The first candidate that is not excluded.
    Found(i64),
    /// No candidate is left, after this number of excluded ones.
    Excluded(u64),
    /// The server stops its search within the scanned time.
    GivenUp,
}

/// Calendars of a spec, prepared for the search by days.
pub(super) struct Plain {
    calendars: Vec<Rule>,
    exclude: Vec<Rule>,
    intervals: Vec<Interval>,
    month: Month,
    /// The present day and the place of its kind in `kinds`.
    day: Option<(i64, usize)>,
    kinds: Vec<Kind>,
    known: BTreeMap<(Vec<u16>, Vec<u16>), usize>,
}

/// A calendar as bits, from the bit for the value 0.
struct Rule {
    second: u64,
    minute: u64,
    hour: u64,
    day_of_month: u64,
    day_of_week: u64,
    calendar: Calendar,
}

/// The present month and the rules that match in it.
#[derive(Default)]
struct Month {
    /// The year and the month.
    of: (i16, i8),
    calendars: Vec<u16>,
    exclude: Vec<u16>,
}

/// A kind of day: days on which the same calendars match.
struct Kind {
    calendars: Vec<u16>,
    exclude: Vec<u16>,
    /// Bits of the hours that can have candidates.
    active: u64,
    hours: Vec<Option<Box<Hour>>>,
    /// Number of candidates, set when all of them are known to be excluded.
    all_excluded: Option<u64>,
}

/// The seconds of an hour, with a 64-bit set for each minute.
#[derive(Clone)]
struct Hour {
    candidates: [u64; 60],
    /// Candidates that are not excluded.
    kept: [u64; 60],
    count: u64,
    kept_any: bool,
}

impl Rule {
    fn of(calendar: &Calendar) -> Self {
        let low = |bits: u128| u64::try_from(bits).unwrap_or(u64::MAX);
        Self {
            second: low(calendar.second.bits()),
            minute: low(calendar.minute.bits()),
            hour: low(calendar.hour.bits()),
            day_of_month: low(calendar.day_of_month.bits()),
            day_of_week: low(calendar.day_of_week.bits()),
            calendar: *calendar,
        }
    }

    fn in_month(&self, date: Date) -> bool {
        let (year, month) = (
            u16::try_from(date.year()).unwrap_or_default(),
            u16::from(date.month().unsigned_abs()),
        );
        let Calendar { year: years, .. } = &self.calendar;
        self.calendar.month.contains(month) && (years.is_all() || years.contains(year))
    }

    fn on_day(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_zero_offset();
        has(self.day_of_month, date.day()) && has(self.day_of_week, weekday)
    }
}

fn has(bits: u64, value: i8) -> bool {
    bits >> value.unsigned_abs() & 1 == 1
}

impl Plain {
    pub(super) fn new(spec: &Spec) -> Self {
        Self {
            calendars: spec.calendars.iter().map(Rule::of).collect(),
            exclude: spec.exclude.iter().map(Rule::of).collect(),
            intervals: spec.intervals.to_vec(),
            month: Month::default(),
            day: None,
            kinds: Vec::new(),
            known: BTreeMap::new(),
        }
    }

    /// Scans from after `after` to before `to`, while local time is `offset` seconds ahead of UTC.
    /// `tried` candidates before it were excluded.
    pub(super) fn scan(
        &mut self,
        after: i64,
        to: i64,
        offset: i64,
        mut tried: u64,
        budget: &mut Budget,
    ) -> Result<Scan, Exceeded> {
        let mut from = after + 1;
        while from < to {
            let number = (from + offset).div_euclid(DAY);
            let start = number * DAY - offset;
            let Some(kind) = self.kind_of(number, start, budget)? else {
                from = self.skip(number, offset, from, budget)?;
                continue;
            };
            let end = to.min(start + DAY);
            let whole = from <= start && end == start + DAY;
            if let Some(count) = self.kinds[kind].all_excluded.filter(|_| whole) {
                tried += count;
                if tried >= CANDIDATES {
                    return Ok(Scan::GivenUp);
                }
                from = end;
                continue;
            }
            let before = tried;
            for hour in (from - start) / 3600..24 {
                let at = start + hour * 3600;
                if at >= end {
                    break;
                }
                if self.kinds[kind].active >> hour & 1 == 0 {
                    continue;
                }
                let seconds = self.hour(kind, hour, at, budget)?;
                let first = (from - at).max(0);
                let (found, count) = seconds.first_kept(first);
                tried += count;
                match found {
                    Some(second) if at + second < end => {
                        return Ok(if tried < CANDIDATES {
                            Scan::Found(at + second)
                        } else {
                            Scan::GivenUp
                        });
                    }
                    // Candidates after the end do not count.
                    _ if tried >= CANDIDATES && at + 3600 <= end => return Ok(Scan::GivenUp),
                    _ => {}
                }
            }
            if whole {
                self.kinds[kind].all_excluded = Some(tried - before);
            }
            from = start + DAY;
        }
        Ok(Scan::Excluded(tried))
    }

    /// Returns the second at which the scan continues after a day on which nothing can fire.
    fn skip(
        &mut self,
        number: i64,
        offset: i64,
        from: i64,
        budget: &mut Budget,
    ) -> Result<i64, Exceeded> {
        let next_day = (number + 1) * DAY - offset;
        if !self.month.calendars.is_empty() {
            return Ok(next_day);
        }
        // Only an interval can fire before the month ends.
        let date = civil(number * DAY).date();
        let rest = i64::from(date.days_in_month() - date.day()) + 1;
        let next_month = (number + rest) * DAY - offset;
        budget.spend(self.intervals.len() as u64)?;
        let intervals = self.intervals.iter();
        let next = intervals.map(|one| next_interval(one, from - 1)).min();
        let next = next.map_or(next_month, |next| next.min(next_month));
        // The scan continues at the beginning of that day.
        let day = (next + offset).div_euclid(DAY) * DAY - offset;
        Ok(day.max(next_day))
    }

    /// Returns the kind of a day; `None` if nothing fires on the day.
    fn kind_of(
        &mut self,
        number: i64,
        start: i64,
        budget: &mut Budget,
    ) -> Result<Option<usize>, Exceeded> {
        if let Some((day, kind)) = self.day
            && day == number
        {
            return Ok(Some(kind));
        }
        let date = civil(number * DAY).date();
        if self.month.of != (date.year(), date.month()) {
            let rules = self.calendars.len() + self.exclude.len();
            budget.spend(1 + rules as u64 / PER_STEP)?;
            self.month = Month {
                of: (date.year(), date.month()),
                calendars: chosen(&self.calendars, |rule| rule.in_month(date)),
                exclude: chosen(&self.exclude, |rule| rule.in_month(date)),
            };
        }
        let rules = self.month.calendars.len() + self.month.exclude.len();
        budget.spend(2 + rules as u64 / PER_STEP)?;
        let on_day = |all: &[Rule], of: &[u16]| -> Vec<u16> {
            let is_on = |index: &&u16| all[usize::from(**index)].on_day(date);
            of.iter().filter(is_on).copied().collect()
        };
        let calendars = on_day(&self.calendars, &self.month.calendars);
        if !self.intervals.is_empty() {
            budget.spend(self.intervals.len() as u64)?;
            let fires = |one: &Interval| next_interval(one, start - 1) < start + DAY;
            if calendars.is_empty() && !self.intervals.iter().any(fires) {
                return Ok(None);
            }
            let exclude = on_day(&self.exclude, &self.month.exclude);
            // A day of this kind is not remembered for other days.
            self.kinds = vec![Kind::new(calendars, exclude, u64::MAX)];
            self.day = Some((number, 0));
            return Ok(Some(0));
        }
        if calendars.is_empty() {
            return Ok(None);
        }
        let exclude = on_day(&self.exclude, &self.month.exclude);
        let key = (calendars, exclude);
        if let Some(kind) = self.known.get(&key).copied() {
            self.day = Some((number, kind));
            return Ok(Some(kind));
        }
        if self.kinds.len() == REMEMBERED {
            self.kinds.clear();
            self.known.clear();
        }
        let kind = self.kinds.len();
        let hours = key
            .0
            .iter()
            .map(|index| self.calendars[usize::from(*index)].hour);
        let active = hours.fold(0, |all, hours| all | hours);
        self.kinds
            .push(Kind::new(key.0.clone(), key.1.clone(), active));
        self.known.insert(key, kind);
        self.day = Some((number, kind));
        Ok(Some(kind))
    }

    /// Returns an hour of a kind of day. The hour begins at `at`.
    fn hour(
        &mut self,
        kind: usize,
        hour: i64,
        at: i64,
        budget: &mut Budget,
    ) -> Result<&Hour, Exceeded> {
        let index = usize::try_from(hour).unwrap_or_default();
        let Self {
            kinds,
            calendars,
            exclude,
            intervals,
            ..
        } = self;
        let kind = &mut kinds[kind];
        if kind.hours[index].is_none() {
            let mut seconds = Hour::EMPTY;
            let chosen = |all: &[u16], rules: &'_ [Rule]| -> Vec<usize> {
                let at = all.iter().map(|index| usize::from(*index));
                at.filter(|index| rules[*index].hour >> hour & 1 == 1)
                    .collect()
            };
            let active = chosen(&kind.calendars, calendars);
            budget.spend(1 + (kind.calendars.len() + kind.exclude.len()) as u64 / PER_STEP)?;
            for rule in active {
                seconds.add(&calendars[rule], budget)?;
            }
            for interval in intervals {
                seconds.add_interval(interval, at, budget)?;
            }
            seconds.finish();
            if seconds.count > 0 {
                for rule in chosen(&kind.exclude, exclude) {
                    seconds.exclude(&exclude[rule], budget)?;
                }
                seconds.kept_any = seconds.kept.iter().any(|minute| *minute != 0);
            }
            kind.hours[index] = Some(Box::new(seconds));
        }
        budget.spend(1)?;
        Ok(kind.hours[index].as_deref().unwrap_or(&Hour::EMPTY))
    }
}

/// Returns the places of the rules that are `good`. A spec has fewer than 65,536 rules.
fn chosen(rules: &[Rule], good: impl Fn(&Rule) -> bool) -> Vec<u16> {
    let rules = rules.iter().enumerate();
    let good = rules.filter(|(_, rule)| good(rule));
    good.filter_map(|(index, _)| u16::try_from(index).ok())
        .collect()
}

impl Kind {
    fn new(calendars: Vec<u16>, exclude: Vec<u16>, active: u64) -> Self {
        Self {
            calendars,
            exclude,
            active,
            hours: vec![None; 24],
            all_excluded: None,
        }
    }
}

impl Hour {
    const EMPTY: Self = Self {
        candidates: [0; 60],
        kept: [0; 60],
        count: 0,
        kept_any: false,
    };

    fn add(&mut self, rule: &Rule, budget: &mut Budget) -> Result<(), Exceeded> {
        budget.spend(1 + u64::from(rule.minute.count_ones()) / PER_STEP)?;
        for minute in bits(rule.minute) {
            self.candidates[minute] |= rule.second;
        }
        Ok(())
    }

    fn add_interval(
        &mut self,
        interval: &Interval,
        at: i64,
        budget: &mut Budget,
    ) -> Result<(), Exceeded> {
        let (every, _) = seconds_of(interval);
        let mut time = next_interval(interval, at - 1) - at;
        budget.spend(1 + u64::try_from(3600 / every).unwrap_or_default() / PER_STEP)?;
        while time < 3600 {
            if let Ok(second) = usize::try_from(time) {
                self.candidates[second / 60] |= 1 << (second % 60);
            }
            time += every;
        }
        Ok(())
    }

    fn finish(&mut self) {
        let minutes = self.candidates.iter();
        self.count = minutes.map(|minute| u64::from(minute.count_ones())).sum();
        self.kept = self.candidates;
    }

    fn exclude(&mut self, rule: &Rule, budget: &mut Budget) -> Result<(), Exceeded> {
        budget.spend(1 + u64::from(rule.minute.count_ones()) / PER_STEP)?;
        for minute in bits(rule.minute) {
            self.kept[minute] &= !rule.second;
        }
        Ok(())
    }

    /// Returns the first second from `from` on that is not excluded, and the number of candidates
    /// from `from` on that come before it. If there is no such second, the number is that of all
    /// candidates left.
    fn first_kept(&self, from: i64) -> (Option<i64>, u64) {
        if from == 0 && !self.kept_any {
            return (None, self.count);
        }
        let from = usize::try_from(from).unwrap_or_default();
        let mut before = 0;
        for minute in from / 60..60 {
            let skipped = if minute == from / 60 { from % 60 } else { 0 };
            let (candidates, kept) = (
                self.candidates[minute] >> skipped << skipped,
                self.kept[minute] >> skipped << skipped,
            );
            if kept == 0 {
                before += u64::from(candidates.count_ones());
                continue;
            }
            let second = kept.trailing_zeros();
            let earlier = candidates & ((1 << second) - 1);
            before += u64::from(earlier.count_ones());
            let minutes = i64::try_from(minute).unwrap_or_default() * 60;
            return (Some(minutes + i64::from(second)), before);
        }
        (None, before)
    }
}

/// Returns the positions of the bits that are set, in ascending order.
fn bits(mut all: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if all == 0 {
            return None;
        }
        let lowest = all.trailing_zeros();
        all &= all - 1;
        Some(lowest as usize)
    })
}
