//! The times at which a spec fires.
//!
//! The server finds a time by asking every calendar for its next one after the
//! last candidate, again and again. Days far from a change of the clock are
//! looked at as sets of seconds here, which gives the same times and the same
//! number of candidates for a fraction of the work ([`super::plain`]); around a
//! change the server's walk decides, since its answers there depend on where it
//! starts.

use std::cmp::Ordering;

use almanac_base::budget::{Budget, Exceeded};
use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp};

use super::interval::next_interval;
use super::local::{Change, Zone, civil, epoch};
use super::plain::{CANDIDATES, DAY, Plain, Scan};
use super::{Calendar, Spec, zone};

/// The last year in which the server looks for a time.
const LAST_YEAR: i16 = 2100;

const HOUR: i64 = 3600;

/// How long a change of the clock may matter to a search that starts after it:
/// where midnight does not exist, a calendar with days of the week loses the
/// whole day.
const DISTURBED: i64 = 25 * HOUR;
/// How long before a change it may matter to a search that starts there: east
/// of Greenwich the server passes twice through the first of two equal hours.
const DISTURBED_BEFORE: i64 = 3 * HOUR;
/// How long before a change a search starts that goes through it as a running
/// schedule does.
const BEFORE_CHANGE: i64 = 4 * HOUR;
/// How many changes, each within a day of the next, are gone back over.
const CHANGES_IN_A_ROW: usize = 4;

/// The steps that one search for fire times may take: a tenth of a second.
pub const SEARCH_STEPS: u64 = 10_000_000;

/// The steps of a search on a thread that others wait for: two milliseconds.
pub const QUICK_STEPS: u64 = 200_000;

/// The steps of a turn of the server's walk.
const TURN: u64 = 12;

/// What [`Spec::fire_times`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FireTimes {
    /// Ascending, to the second, without jitter.
    pub times: Vec<Timestamp>,
    /// What comes after them.
    pub rest: Rest,
}

/// What comes after the times that a search has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rest {
    /// As many as were asked for have been found.
    More,
    /// There are no more: the end was reached, or the server gives up here.
    #[default]
    Nothing,
    /// It cannot be told within the budget.
    Unknown,
}

impl FireTimes {
    /// Whether the spec surely fires no more.
    pub fn is_never(&self) -> bool {
        self.times.is_empty() && self.rest == Rest::Nothing
    }
}

impl Spec {
    /// The next `n` times of a schedule that has been running since before
    /// `after`.
    ///
    /// The server searches for a time from the one before it, and around a
    /// change of the clock its answer depends on where it starts: a search
    /// that starts within a repeated hour finds other times than a schedule
    /// that runs through it. So this one starts before the change.
    ///
    /// The search takes [`SEARCH_STEPS`] at most.
    pub fn times_after(&self, after: Timestamp, n: usize) -> FireTimes {
        self.times_after_within(after, n, &mut Budget::of(SEARCH_STEPS))
    }

    /// [`Spec::times_after`] within a budget of the caller's.
    pub fn times_after_within(&self, after: Timestamp, n: usize, budget: &mut Budget) -> FireTimes {
        self.found(self.search_start(after), after, n, budget)
    }

    /// The moment from which a search finds what a schedule that has been
    /// running fires after `at`: the time before, where the clock changes near
    /// `at`; elsewhere `at` itself. What is found from there may include no
    /// time up to `at`.
    pub fn search_start(&self, at: Timestamp) -> Timestamp {
        let start = self.undisturbed(at);
        if start == at {
            return at;
        }
        let just_after = at.saturating_add(SignedDuration::from_nanos(1));
        self.last_before(just_after.unwrap_or(at), start)
            .unwrap_or(start)
    }

    /// A moment from which a search goes through a change of the clock near
    /// `at` as a running schedule does; `at` itself where there is none.
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

    /// The next `n` times after `after`, as the server finds them when its
    /// search starts at `after`: a local time that does not exist is skipped,
    /// one that exists twice fires twice, intervals count from the epoch in
    /// UTC, and `start_at` and `end_at` belong to the time between them. None
    /// without a known zone, and none after 2100.
    ///
    /// The search takes [`SEARCH_STEPS`] at most.
    pub fn fire_times(&self, after: Timestamp, n: usize) -> FireTimes {
        self.fire_times_within(after, n, &mut Budget::of(SEARCH_STEPS))
    }

    /// [`Spec::fire_times`] within a budget of the caller's.
    pub fn fire_times_within(&self, after: Timestamp, n: usize, budget: &mut Budget) -> FireTimes {
        self.found(after, after, n, budget)
    }

    /// The last time before `first` that a search from `start` finds; none
    /// where there is none, or it takes too many steps.
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

    /// What a search from `start` finds after `after`.
    fn found(
        &self,
        start: Timestamp,
        after: Timestamp,
        n: usize,
        budget: &mut Budget,
    ) -> FireTimes {
        let mut times = Vec::new();
        let rest = self.search(start, after, n, budget, &mut times);
        FireTimes {
            times,
            rest: rest.unwrap_or(Rest::Unknown),
        }
    }

    fn search(
        &self,
        start: Timestamp,
        after: Timestamp,
        n: usize,
        budget: &mut Budget,
        times: &mut Vec<Timestamp>,
    ) -> Result<Rest, Exceeded> {
        let Some(zone) = zone::find(&self.timezone).map(Zone::new) else {
            return Ok(Rest::Nothing);
        };
        let entries = self.calendars.len() + self.intervals.len() + self.exclude.len();
        budget.spend(entries as u64)?;
        let mut search = Search::new(self, &zone, start, budget);
        while times.len() < n {
            match search.next()? {
                Some(time) if time <= after && time > start => {}
                Some(time) => times.push(time),
                None => return Ok(Rest::Nothing),
            }
        }
        Ok(Rest::More)
    }
}

struct Search<'a> {
    spec: &'a Spec,
    zone: &'a Zone,
    budget: &'a mut Budget,
    plain: Plain,
    stretch: Stretch,
    /// Nothing at or before this is found.
    after: i64,
    end: i64,
}

/// Time in which one way to search holds.
struct Stretch {
    /// The first second that is not part of it.
    until: i64,
    kind: StretchKind,
}

enum StretchKind {
    /// The clock runs evenly, so many seconds east of UTC.
    Plain(i64),
    /// The clock changes, or the last year ends.
    Odd {
        /// The calendars that may match within it.
        calendars: Vec<Calendar>,
        /// The exclusions that may match within it.
        exclude: Vec<Calendar>,
        /// The last local date in it.
        last: Date,
    },
}

impl<'a> Search<'a> {
    fn new(spec: &'a Spec, zone: &'a Zone, after: Timestamp, budget: &'a mut Budget) -> Self {
        // The server starts a second before `start_at`, so a fraction of a
        // second in it lets the whole second pass; without one, before the epoch.
        let start = spec.start_at.map_or(0, floor);
        let after = floor(after).max(start - 1);
        let end = spec.end_at.map_or(i64::MAX, floor);
        Self {
            spec,
            zone,
            budget,
            plain: Plain::new(spec),
            // The first search finds its own.
            stretch: Stretch {
                until: i64::MIN,
                kind: StretchKind::Plain(0),
            },
            after,
            end,
        }
    }

    fn next(&mut self) -> Result<Option<Timestamp>, Exceeded> {
        // Candidates in a row that an exclusion matched.
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

    /// The stretch that a second belongs to.
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
        // By the date as it is now or will be, and a day more for what the
        // server takes for the day before.
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

    /// The next candidate within the present stretch, by the server's walk.
    ///
    /// Each calendar is asked again every time: around a change of the clock
    /// the server's answer depends on where it starts.
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

/// A second in the last days of the last year, from which on local years and
/// those of UTC differ.
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

/// Where the search in a calendar stands: a local time to try, its fields free
/// to overflow into the next coarser one.
struct Cursor<'a> {
    calendar: &'a Calendar,
    zone: &'a Zone,
    year: i16,
    month: u16,
    day: u16,
    hour: u16,
    minute: u16,
    second: u16,
    /// In the second pass through an hour that the clock repeats. The server
    /// knows changes of one hour only, and so does this.
    repeated: bool,
}

/// The first time after `after` that matches, by the server's walk through the
/// local clock; none on a date after `last`. Its answers at a change of the
/// clock are part of the contract: what looks arbitrary here is what the server
/// does.
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
    /// Carries each field that is past its end; `None` after the last year.
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

    /// To the next hour, or through the same one again when the clock repeats it.
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

    /// Moves to the first match at or after the place, from the coarsest field
    /// to the finest. `None`: a field has run out, and wants to be carried.
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
            // The clock jumps over it.
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

    /// Of the instant, not of the date: where the clock jumps over midnight
    /// the server sees the day before, and so skips the whole day.
    fn weekday(&self) -> u16 {
        weekday(self.zone.local(self.zone.instant(self.local())))
    }
}

#[cfg(test)]
mod tests;
