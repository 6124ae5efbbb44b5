//! The times at which a spec fires.

use std::cmp::Ordering;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};

use super::local::{Zone, civil, epoch};
use super::{Calendar, Interval, Spec, zone};

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

/// How many times the server tries in a row before an exclusion makes it give
/// up, by default: two weeks of seconds.
const CANDIDATES: usize = 14 * 24 * 3600;

/// What [`Spec::fire_times`] found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FireTimes {
    /// Ascending, to the second, without jitter.
    pub times: Vec<Timestamp>,
    /// There are no more: the end was reached, or the search was given up.
    pub exhausted: bool,
}

impl Spec {
    /// The next `n` times of a schedule that has been running since before
    /// `after`.
    ///
    /// The server searches for a time from the one before it, and around a
    /// change of the clock its answer depends on where it starts: a search
    /// that starts within a repeated hour finds other times than a schedule
    /// that runs through it. So this one starts before the change.
    pub fn times_after(&self, after: Timestamp, n: usize) -> FireTimes {
        self.fire_times(self.search_start(after), n)
    }

    /// The moment from which a search finds what a schedule that has been
    /// running fires after `at`: the time before, where the clock changes near
    /// `at`; elsewhere `at` itself. What is found from there may include no
    /// time up to `at`.
    pub fn search_start(&self, at: Timestamp) -> Timestamp {
        let start = self.undisturbed(at);
        let Some(zone) = zone::find(&self.timezone).map(Zone::new) else {
            return at;
        };
        if start == at {
            return at;
        }
        let mut last = start;
        let mut search = Search::new(self, &zone, start);
        while let Some(time) = search.next()
            && time <= at
        {
            last = time;
        }
        last
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
    pub fn fire_times(&self, after: Timestamp, n: usize) -> FireTimes {
        let mut found = FireTimes::default();
        let Some(zone) = zone::find(&self.timezone).map(Zone::new) else {
            return FireTimes {
                exhausted: true,
                ..found
            };
        };
        let mut search = Search::new(self, &zone, after);
        while found.times.len() < n {
            match search.next() {
                Some(time) => found.times.push(time),
                None => {
                    return FireTimes {
                        exhausted: true,
                        ..found
                    };
                }
            }
        }
        found
    }
}

struct Search<'a> {
    spec: &'a Spec,
    zone: &'a Zone,
    /// Nothing at or before this is found.
    after: i64,
    end: i64,
}

impl<'a> Search<'a> {
    fn new(spec: &'a Spec, zone: &'a Zone, after: Timestamp) -> Self {
        // The server starts a second before `start_at`, so a fraction of a
        // second in it lets the whole second pass; without one, before the epoch.
        let start = spec.start_at.map_or(0, floor);
        let after = floor(after).max(start - 1);
        let end = spec.end_at.map_or(i64::MAX, floor);
        Self {
            spec,
            zone,
            after,
            end,
        }
    }

    fn next(&mut self) -> Option<Timestamp> {
        for _ in 0..CANDIDATES {
            let time = self.next_candidate()?;
            if time > self.end || civil(time).year() > LAST_YEAR {
                return None;
            }
            self.after = time;
            if !self.excluded(time) {
                return Timestamp::from_second(time).ok();
            }
        }
        None
    }

    /// Each calendar is asked again every time: around a change of the clock
    /// the server's answer depends on where it starts.
    fn next_candidate(&self) -> Option<i64> {
        let (spec, after) = (self.spec, self.after);
        let calendars = spec.calendars.iter();
        let calendars = calendars.filter_map(|calendar| next_match(calendar, self.zone, after));
        let intervals = spec.intervals.iter();
        let intervals = intervals.map(|interval| next_interval(interval, after));
        calendars.chain(intervals).min()
    }

    fn excluded(&self, time: i64) -> bool {
        let local = self.zone.local(time);
        let mut exclusions = self.spec.exclude.iter();
        exclusions.any(|calendar| matches(calendar, local))
    }
}

fn floor(time: Timestamp) -> i64 {
    let second = time.as_second();
    match time.subsec_nanosecond().cmp(&0) {
        Ordering::Less => second - 1,
        _ => second,
    }
}

/// The next time of an interval, which has no last one.
fn next_interval(interval: &Interval, after: i64) -> i64 {
    let seconds =
        |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 4);
    let (every, phase) = (seconds(interval.every).max(1), seconds(interval.phase));
    // Rounds towards nought as the server does: before its first time an
    // interval skips to the one after.
    ((after - phase) / every + 1) * every + phase
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
/// local clock. Its answers at a change of the clock are part of the contract:
/// what looks arbitrary here is what the server does.
fn next_match(calendar: &Calendar, zone: &Zone, after: i64) -> Option<i64> {
    if calendar.is_never() {
        return None;
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
        cursor.carry()?;
        if let Some(time) = cursor.settle() {
            return Some(time);
        }
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
