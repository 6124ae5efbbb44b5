//! The times at which a spec fires.
//!
//! The server finds a time by asking every calendar for its next time after the last
//! candidate, again and again. This module treats days far from a change of the clock as sets
//! of seconds, which gives the same times and the same number of candidates for a fraction of
//! the work ([`super::plain`]). Around a change of the clock, the module does the server's
//! walk, because the server's results there depend on where a search starts.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use almanac_base::budget::{Budget, Exceeded};
use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp};

use super::interval::next_interval;
use super::local::{Change, Zone, civil, epoch};
use super::plain::{CANDIDATES, DAY, Plain, Scan};
use super::{Calendar, Spec, zone};

/// Last year in which the server searches for a time.
const LAST_YEAR: i16 = 2100;

const HOUR: i64 = 3600;

/// Time after a change of the clock during which the change may affect a search that starts
/// then, in seconds. If midnight does not exist, a calendar with days of the week skips the
/// whole day.
const DISTURBED: i64 = 25 * HOUR;
/// Time before a change of the clock during which the change may affect a search that starts
/// then, in seconds. East of Greenwich, the server walks twice through the first of two equal
/// hours.
const DISTURBED_BEFORE: i64 = 3 * HOUR;
/// Time before a change of the clock at which a search must start to find the times of a
/// running schedule, in seconds.
const BEFORE_CHANGE: i64 = 4 * HOUR;
/// Maximum number of changes of the clock, each within a day of the next, before which a
/// search starts.
const CHANGES_IN_A_ROW: usize = 4;

/// Maximum number of steps of one search for fire times: a tenth of a second.
pub const SEARCH_STEPS: u64 = 10_000_000;

/// Maximum number of steps of a search on a thread that others wait for: two milliseconds.
pub const QUICK_STEPS: u64 = 200_000;

/// Number of steps for one turn of the server's walk.
const TURN: u64 = 12;

/// Result of [`Spec::fire_times`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FireTimes {
    /// The times in ascending order, to the second, without jitter.
    pub times: Vec<Timestamp>,
    /// State of the search after these times.
    pub rest: Rest,
}

/// State of a search after the times that it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rest {
    /// The search found as many times as were asked for.
    More,
    /// There are no more times: the end was reached, or the server stops its search here.
    #[default]
    Nothing,
    /// The budget was too small to find further times.
    Unknown,
}

impl FireTimes {
    /// Returns `true` if the spec certainly does not fire again.
    pub fn is_never(&self) -> bool {
        self.times.is_empty() && self.rest == Rest::Nothing
    }
}

impl Spec {
    /// Returns the next `n` times of a schedule that has been running since before
    /// `after`.
    ///
    /// The server searches for a time from the time before it, and around a change of the
    /// clock its result depends on where the search starts: a search that starts within a
    /// repeated hour finds other times than a schedule that runs through the hour. Therefore
    /// this search starts before the change.
    ///
    /// The search takes [`SEARCH_STEPS`] at most.
    pub fn times_after(&self, after: Timestamp, n: usize) -> FireTimes {
        self.times_after_within(after, n, &mut Budget::of(SEARCH_STEPS))
    }

    /// Like [`Spec::times_after`], within the caller's budget.
    pub fn times_after_within(&self, after: Timestamp, n: usize, budget: &mut Budget) -> FireTimes {
        self.found(self.search_start(after), after, n, budget)
    }

    /// Gives `take` the times after `after` and before `until` of a schedule that has been running
    /// since before `after`, in ascending order, until `take` breaks.
    ///
    /// Returns [`Rest::Nothing`] if there are no more times before `until`, and [`Rest::More`] if
    /// `take` broke. The search stops at `until`: how often the spec fires later costs nothing.
    pub fn each_time_within(
        &self,
        after: Timestamp,
        until: Timestamp,
        budget: &mut Budget,
        take: impl FnMut(Timestamp) -> ControlFlow<()>,
    ) -> Rest {
        let span = Span {
            start: self.search_start(after),
            after,
            until: Some(until),
        };
        self.search(span, budget, take).unwrap_or(Rest::Unknown)
    }

    /// Returns the moment at which a search must start to find the times after `at` of a schedule
    /// that has been running. Near a change of the clock, the result is the time before; elsewhere
    /// it is `at` itself. A search from there may also find times up to `at`, which do not count.
    pub fn search_start(&self, at: Timestamp) -> Timestamp {
        let start = self.undisturbed(at);
        if start == at {
            return at;
        }
        let just_after = at.saturating_add(SignedDuration::from_nanos(1));
        self.last_before(just_after.unwrap_or(at), start)
            .unwrap_or(start)
    }

    /// Returns a moment from which a search passes a change of the clock near `at` in the way of
    /// a running schedule; `at` itself if there is no change.
    pub(super) fn undisturbed(&self, at: Timestamp) -> Timestamp {
        if self.calendars.is_empty() {
            return at;
        }
        let Some(zone) = zone::find(&self.timezone).map(Zone::new) else {
            return at;
        };
        let mut moment = floor(at);
        for _ in 0..CHANGES_IN_A_ROW {
            match zone.last_change(moment + DISTURBED_BEFORE) {
                Some(change) if moment - change < DISTURBED => moment = change - BEFORE_CHANGE,
                _ => break,
            }
        }
        if moment == floor(at) {
            return at;
        }
        Timestamp::from_second(moment).unwrap_or(at)
    }

    /// Returns the next `n` times after `after`, as the server finds them when its search starts
    /// at `after`.
    ///
    /// A local time that does not exist is skipped, and a local time that exists twice fires
    /// twice. Intervals count from the epoch in UTC. `start_at` and `end_at` are included.
    /// There are no times if the zone is unknown, and none after 2100.
    ///
    /// The search takes [`SEARCH_STEPS`] at most.
    pub fn fire_times(&self, after: Timestamp, n: usize) -> FireTimes {
        self.fire_times_within(after, n, &mut Budget::of(SEARCH_STEPS))
    }

    /// Like [`Spec::fire_times`], within the caller's budget.
    pub fn fire_times_within(&self, after: Timestamp, n: usize, budget: &mut Budget) -> FireTimes {
        self.found(after, after, n, budget)
    }

    /// Returns the last time before `first` that a search from `start` finds. `None` if there is
    /// no such time, or if the search takes too many steps.
    pub(super) fn last_before(&self, first: Timestamp, start: Timestamp) -> Option<Timestamp> {
        let zone = zone::find(&self.timezone).map(Zone::new)?;
        let mut budget = Budget::of(SEARCH_STEPS);
        let mut search = Search::new(self, &zone, start, &mut budget);
        let mut last = None;
        loop {
            match search.next() {
                Ok(Some(time)) if time < first => last = Some(time),
                Ok(_) => return last,
                Err(Exceeded) => return None,
            }
        }
    }

    /// Returns the next `n` times after `after` that a search from `start` finds.
    fn found(
        &self,
        start: Timestamp,
        after: Timestamp,
        n: usize,
        budget: &mut Budget,
    ) -> FireTimes {
        let mut times = Vec::new();
        if n == 0 {
            let rest = Rest::More;
            return FireTimes { times, rest };
        }
        let span = Span {
            start,
            after,
            until: None,
        };
        let rest = self.search(span, budget, |time| {
            times.push(time);
            if times.len() < n {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        let rest = rest.unwrap_or(Rest::Unknown);
        FireTimes { times, rest }
    }

    /// Gives the times of a span to `take`, until it breaks.
    fn search(
        &self,
        span: Span,
        budget: &mut Budget,
        mut take: impl FnMut(Timestamp) -> ControlFlow<()>,
    ) -> Result<Rest, Exceeded> {
        let Some(zone) = zone::find(&self.timezone).map(Zone::new) else {
            return Ok(Rest::Nothing);
        };
        let entries = self.calendars.len() + self.intervals.len() + self.exclude.len();
        budget.spend(entries as u64)?;
        let Span {
            start,
            after,
            until,
        } = span;
        let mut search = Search::new(self, &zone, start, budget);
        if let Some(until) = until {
            search.end_before(until);
        }
        while let Some(time) = search.next()? {
            let is_wanted = time > after || time <= start;
            if is_wanted && take(time).is_break() {
                return Ok(Rest::More);
            }
        }
        Ok(Rest::Nothing)
    }
}

/// The times that a search gives: those after `after` and before `until`.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// Moment at which the search starts: `after` or before it.
    start: Timestamp,
    after: Timestamp,
    until: Option<Timestamp>,
}

struct Search<'a> {
    spec: &'a Spec,
    zone: &'a Zone,
    budget: &'a mut Budget,
    plain: Plain,
    stretch: Stretch,
    /// Times at or before this second are not found.
    after: i64,
    end: i64,
}

/// Time span in which one search method applies.
struct Stretch {
    /// The first second after the span.
    until: i64,
    kind: StretchKind,
}

enum StretchKind {
    /// The clock runs evenly; the value is its offset in seconds east of UTC.
    Plain(i64),
    /// The clock changes in this span, or the last year ends.
    Odd {
        /// Calendars that may match within the span.
        calendars: Vec<Calendar>,
        /// Exclusions that may match within the span.
        exclude: Vec<Calendar>,
        /// The last local date in the span.
        last: Date,
    },
}

impl<'a> Search<'a> {
    fn new(spec: &'a Spec, zone: &'a Zone, after: Timestamp, budget: &'a mut Budget) -> Self {
        // The server starts a second before `start_at`. A fraction of a second in `start_at`
        // therefore lets the whole second pass. Without `start_at`, the search starts before the
        // epoch.
        let start = spec.start_at.map_or(0, floor);
        let after = floor(after).max(start - 1);
        let end = spec.end_at.map_or(i64::MAX, floor);
        Self {
            spec,
            zone,
            budget,
            plain: Plain::new(spec),
            // The first search replaces this stretch.
            stretch: Stretch {
                until: i64::MIN,
                kind: StretchKind::Plain(0),
            },
            after,
            end,
        }
    }

    /// Ends the search before `until`.
    fn end_before(&mut self, until: Timestamp) {
        let last = until.saturating_sub(SignedDuration::from_nanos(1));
        self.end = self.end.min(floor(last.unwrap_or(until)));
    }

    fn next(&mut self) -> Result<Option<Timestamp>, Exceeded> {
        // Number of candidates in a row that an exclusion matched.
        let mut tried = 0;
        while self.after < self.end && civil(self.after).year() <= LAST_YEAR {
            if self.after + 1 >= self.stretch.until {
                self.stretch = self.stretch_of(self.after + 1)?;
            }
            let until = self.stretch.until;
            let found = match &self.stretch.kind {
                StretchKind::Plain(offset) => {
                    let to = until.min(self.end.saturating_add(1));
                    match self
                        .plain
                        .scan(self.after, to, *offset, tried, self.budget)?
                    {
                        Scan::Found(time) => Some(time),
                        Scan::GivenUp => return Ok(None),
                        Scan::Excluded(all) => {
                            tried = all;
                            None
                        }
                    }
                }
                StretchKind::Odd { .. } => match self.walk()? {
                    Some(time) => {
                        if time > self.end || civil(time).year() > LAST_YEAR {
                            return Ok(None);
                        }
                        self.after = time;
                        if self.excluded(time)? {
                            tried += 1;
                            if tried >= CANDIDATES {
                                return Ok(None);
                            }
                            continue;
                        }
                        Some(time)
                    }
                    None => None,
                },
            };
            let Some(time) = found else {
                self.after = self.after.max(until - 1);
                continue;
            };
            self.after = time;
            return Ok(Timestamp::from_second(time).ok());
        }
        Ok(None)
    }

    /// The stretch that contains a second.
    fn stretch_of(&mut self, at: i64) -> Result<Stretch, Exceeded> {
        self.budget.spend(100)?;
        let changes = self.zone.changes_around(at);
        let odd = changes.iter().map(Change::odd_time);
        if let Some((_, until)) = odd
            .clone()
            .find(|(from, until)| (*from..*until).contains(&at))
        {
            return self.odd(at, until);
        }
        if at >= the_end() {
            return self.odd(at, i64::MAX);
        }
        let next = odd.map(|(from, _)| from).filter(|from| *from > at).min();
        Ok(Stretch {
            until: next.unwrap_or(i64::MAX).min(the_end()),
            kind: StretchKind::Plain(self.zone.offset(at)),
        })
    }

    fn odd(&mut self, at: i64, until: i64) -> Result<Stretch, Exceeded> {
        let entries = self.spec.calendars.len() + self.spec.exclude.len();
        self.budget.spend(4 * entries as u64)?;
        let last = if until == i64::MAX {
            Date::MAX
        } else {
            self.zone.local(until - 1).date()
        };
        // Days are taken by the dates before and after the change. Another day is added for the
        // case that the server takes a day for the day before.
        let mut days = Vec::new();
        let mut day = self.zone.local(at - DAY).date();
        while day <= last && days.len() < 10 {
            days.push(day);
            let Ok(next) = day.tomorrow() else { break };
            day = next;
        }
        let all = last == Date::MAX || day <= last;
        let near = |calendar: &&Calendar| {
            let on = |day: &Date| {
                year_matches(calendar, day.year())
                    && calendar.month.contains(unsigned(day.month()))
                    && calendar.day_of_month.contains(unsigned(day.day()))
            };
            all || days.iter().any(on)
        };
        Ok(Stretch {
            until,
            kind: StretchKind::Odd {
                calendars: self.spec.calendars.iter().filter(near).copied().collect(),
                exclude: self.spec.exclude.iter().filter(near).copied().collect(),
                last,
            },
        })
    }

    /// Returns the next candidate within the present stretch, by the server's walk.
    /// Each calendar is asked for its next time again for each candidate: around a change of the
    /// clock, the server's result depends on where the search starts.
    fn walk(&mut self) -> Result<Option<i64>, Exceeded> {
        let StretchKind::Odd {
            calendars, last, ..
        } = &self.stretch.kind
        else {
            return Ok(None);
        };
        let mut first: Option<i64> = None;
        for calendar in calendars {
            let found = next_match(calendar, self.zone, self.after, *last, self.budget)?;
            first = first.into_iter().chain(found).min();
        }
        self.budget.spend(self.spec.intervals.len() as u64)?;
        let intervals = self.spec.intervals.iter();
        let intervals = intervals.map(|interval| next_interval(interval, self.after));
        let first = first.into_iter().chain(intervals).min();
        Ok(first.filter(|time| *time < self.stretch.until))
    }

    fn excluded(&mut self, time: i64) -> Result<bool, Exceeded> {
        let StretchKind::Odd { exclude, .. } = &self.stretch.kind else {
            return Ok(false);
        };
        self.budget.spend(1 + exclude.len() as u64)?;
        let local = self.zone.local(time);
        Ok(exclude.iter().any(|calendar| matches(calendar, local)))
    }
}

/// A second in the last days of the last year, after which the local year and the year in
/// UTC may differ.
fn the_end() -> i64 {
    epoch(jiff::civil::date(LAST_YEAR, 12, 28).at(0, 0, 0, 0))
}

fn floor(time: Timestamp) -> i64 {
    let second = time.as_second();
    match time.subsec_nanosecond().cmp(&0) {
        Ordering::Less => second - 1,
        _ => second,
    }
}

fn matches(calendar: &Calendar, local: DateTime) -> bool {
    calendar.second.contains(unsigned(local.second()))
        && calendar.minute.contains(unsigned(local.minute()))
        && calendar.hour.contains(unsigned(local.hour()))
        && calendar.day_of_month.contains(unsigned(local.day()))
        && calendar.month.contains(unsigned(local.month()))
        && year_matches(calendar, local.year())
        && calendar.day_of_week.contains(weekday(local))
}

fn year_matches(calendar: &Calendar, year: i16) -> bool {
    calendar.year.is_all() || u16::try_from(year).is_ok_and(|year| calendar.year.contains(year))
}

fn unsigned(value: i8) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

fn weekday(local: DateTime) -> u16 {
    unsigned(local.weekday().to_sunday_zero_offset())
}

/// State of the search in a calendar: a local time to try. Its fields may overflow into the
/// next coarser one.
struct Cursor<'a> {
    calendar: &'a Calendar,
    zone: &'a Zone,
    year: i16,
    month: u16,
    day: u16,
    hour: u16,
    minute: u16,
    second: u16,
    /// `true` during the second pass through an hour that the clock repeats. The server handles
    /// changes of one hour only, and so does this search.
    repeated: bool,
}

/// Returns the first time after `after` that matches, by the server's walk through the local
/// clock; `None` if the time's date is after `last`. The results at a change of the clock are
/// promised: parts that seem arbitrary here are the server's behaviour.
fn next_match(
    calendar: &Calendar,
    zone: &Zone,
    after: i64,
    last: Date,
    budget: &mut Budget,
) -> Result<Option<i64>, Exceeded> {
    if calendar.is_never() {
        return Ok(None);
    }
    let local = zone.local(after);
    let mut cursor = Cursor {
        calendar,
        zone,
        year: local.year(),
        month: unsigned(local.month()),
        day: unsigned(local.day()),
        hour: unsigned(local.hour()),
        minute: unsigned(local.minute()),
        second: unsigned(local.second()) + 1,
        repeated: zone.local(after - HOUR).hour() == local.hour(),
    };
    loop {
        budget.spend(TURN)?;
        if cursor.carry().is_none() || cursor.date() > last {
            return Ok(None);
        }
        let day = cursor.day;
        if let Some(time) = cursor.settle() {
            return Ok(Some(time));
        }
        budget.spend(TURN * u64::from(cursor.day.saturating_sub(day)))?;
    }
}

impl Cursor<'_> {
    /// Carries each field that is past its end into the next one; `None` after the last year.
    fn carry(&mut self) -> Option<()> {
        if self.second >= 60 {
            (self.minute, self.second) = (self.minute + 1, 0);
        }
        if self.minute >= 60 {
            self.next_hour();
        }
        if self.hour >= 24 {
            (self.day, self.hour) = (self.day + 1, 0);
        }
        if self.month <= 12 && self.day > self.days_in_month() {
            (self.month, self.day) = (self.month + 1, 1);
        }
        if self.month > 12 {
            (self.year, self.month) = (self.year + 1, 1);
        }
        (self.year <= LAST_YEAR).then_some(())
    }

    /// Moves to the next hour, or to the same hour again if the clock repeats it.
    fn next_hour(&mut self) {
        let this = self.instant_of_hour(self.hour);
        let next = self.instant_of_hour(self.hour + 1);
        self.minute = 0;
        if !self.repeated && next - this > HOUR {
            self.repeated = true;
        } else {
            self.repeated = false;
            self.hour += 1;
        }
    }

    fn instant_of_hour(&self, hour: u16) -> i64 {
        let midnight = self.date().at(0, 0, 0, 0);
        let local = epoch(midnight) + i64::from(hour) * HOUR;
        self.zone.instant(civil(local))
    }

    /// Moves to the first match at or after the cursor's place, from the coarsest field to the
    /// finest. `None` if a field has no more matches and must be carried.
    fn settle(&mut self) -> Option<i64> {
        let calendar = self.calendar;
        if !year_matches(calendar, self.year) {
            self.year += 1;
            self.month = 1;
            self.restart_day(1);
            return None;
        }
        let month = calendar.month.at_or_after(self.month);
        if month != Some(self.month) {
            self.month = month.unwrap_or(13);
            self.restart_day(1);
            month?;
        }
        while !calendar.day_of_month.contains(self.day)
            || !calendar.day_of_week.contains(self.weekday())
        {
            self.restart_day(self.day + 1);
            if self.day > self.days_in_month() {
                return None;
            }
        }
        let hour = calendar.hour.at_or_after(self.hour);
        if hour != Some(self.hour) {
            (self.hour, self.minute, self.second) = (hour.unwrap_or(24), 0, 0);
            self.repeated = false;
            hour?;
        }
        let minute = calendar.minute.at_or_after(self.minute);
        if minute != Some(self.minute) {
            (self.minute, self.second) = (minute.unwrap_or(60), 0);
            minute?;
        }
        let second = calendar.second.at_or_after(self.second);
        self.second = second.unwrap_or(60);
        second?;
        let time = self.zone.instant(self.local());
        if unsigned(self.zone.local(time).hour()) != self.hour {
            // The clock skips this hour.
            (self.hour, self.minute, self.second) = (self.hour + 1, 0, 0);
            return None;
        }
        Some(if self.repeated { time + HOUR } else { time })
    }

    fn restart_day(&mut self, day: u16) {
        (self.day, self.hour, self.minute, self.second) = (day, 0, 0, 0);
        self.repeated = false;
    }

    fn date(&self) -> Date {
        let small = |value: u16| i8::try_from(value).unwrap_or(1);
        Date::new(self.year, small(self.month), small(self.day)).unwrap_or(Date::MAX)
    }

    fn local(&self) -> DateTime {
        let small = |value: u16| i8::try_from(value).unwrap_or(0);
        self.date()
            .at(small(self.hour), small(self.minute), small(self.second), 0)
    }

    fn days_in_month(&self) -> u16 {
        let small = i8::try_from(self.month).unwrap_or(1);
        Date::new(self.year, small, 1).map_or(31, |first| unsigned(first.days_in_month()))
    }

    /// Day of the week of the cursor's instant, not of its date. If the clock skips midnight, the
    /// server sees the day before, and therefore skips the whole day.
    fn weekday(&self) -> u16 {
        weekday(self.zone.local(self.zone.instant(self.local())))
    }
}

#[cfg(test)]
mod tests;
