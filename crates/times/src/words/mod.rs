//! A schedule's times in words, short enough for the cell of a table.
//!
//! Words denote exactly the times of the spec. A calendar that has no short words is shown as
//! its cron string instead.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;

use super::interval::Go;
use super::values::{DaysOfMonth, Range, Sixty};
use super::{Calendar, Interval, Sorted, Spec, UTC, Values, zone};

/// Maximum length of the words, in characters.
const LIMIT: usize = 80;
/// Maximum length of the words for one calendar, in characters. Longer words give way to a
/// shorter cron string.
const PART_LIMIT: usize = 60;
/// Maximum length of the words for a rule among several exclusions, in characters.
const RULE_LIMIT: usize = 24;
/// Number of calendars and intervals that are shown.
const SHOWN: usize = 2;
/// Maximum number of clock times, days or months in one list.
const LISTED: usize = 4;
/// Maximum number of dates for which a calendar counts as a list of dates.
const DATES: usize = 1000;
/// Length of a day, in seconds.
const DAY: u64 = 86_400;

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

impl Spec {
    /// The times in words, in at most 80 characters.
    ///
    /// | words | times |
    /// |---|---|
    /// | `04:30 daily`, `04:30 and 16:30 Mon, Wed` | clock times, with seconds if there are any |
    /// | `every 15m`, `every 6h at +15m` | a period that divides the hour or the day, or an interval; `+` is the offset from its start |
    /// | `hourly at :30`, `every minute`, `every second` | every hour, minute or second |
    /// | `09:00–17:00 hourly`, `08:00–18:00 every 2h` | the first and the last clock time |
    /// | `every 5m 09:00–17:59 Mon–Fri` | a period within some hours |
    /// | `02:00 on the 1st and 15th of Jan, Jul`, `12:00 on 2026-12-24` | days |
    /// | `09:00 on the first Mon of the month`, `09:00 on the 13th if Fri` | days that match both fields |
    ///
    /// The first two calendars and intervals are joined by `; `, and `+3 more` counts the others.
    /// After them come the zone of the calendars unless it is UTC, the exclusions (`except 12
    /// days`), the bounds (`from 2026-01-01 until 2026-12-31`, in that zone) and the jitter
    /// (`, jitter 30s`). A calendar that is too irregular is its cron string. A spec whose
    /// calendars match no time is `never`, and a spec without calendars and intervals is `-`.
    ///
    /// `cut_at`: the number of calendars, intervals or exclusions from which on more may exist,
    /// as in the server's list of schedules. Then the counts are followed by `or more`.
    pub fn words(&self, cut_at: Option<usize>) -> String {
        let is_cut = |number: usize| cut_at.is_some_and(|limit| number >= limit);
        let parts = parts(self);
        if self.calendars.is_empty() && self.intervals.is_empty() {
            return "-".to_owned();
        }
        if parts.is_empty() || self.exclude.contains(&Calendar::ALWAYS) {
            return "never".to_owned();
        }
        let is_zoned = !self.calendars.is_empty() || !self.exclude.is_empty();
        let zone = is_zoned.then_some(self.timezone.as_str());
        let zone = zone.filter(|zone| !zone.is_empty() && *zone != UTC);
        let mut tail = Vec::new();
        if let Some(zone) = zone {
            tail.push(format!(" {zone}"));
        }
        if let Some(days) = exclusions(&self.exclude, is_cut(self.exclude.len())) {
            tail.push(format!(" except {days}"));
        }
        if let Some(start) = self.start_at {
            tail.push(format!(" from {}", moment(start, zone)));
        }
        if let Some(end) = self.end_at {
            // The end is not part of the time, so the date alone would name a day too many.
            tail.push(format!(" until {}", clock(end, zone)));
        }
        if !self.jitter.is_zero() {
            tail.push(format!(", jitter {}", Period(self.jitter)));
        }
        let tail = tail.concat();
        let is_cut = is_cut(self.calendars.len()) || is_cut(self.intervals.len());
        let all = head(&parts, SHOWN, is_cut) + &tail;
        if length(&all) <= LIMIT {
            return all;
        }
        cut(head(&parts, 1, is_cut) + &tail)
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// Cuts a text at the limit. The last character says so.
fn cut(text: String) -> String {
    if length(&text) <= LIMIT {
        return text;
    }
    text.chars().take(LIMIT - 1).chain(['…']).collect()
}

/// The first parts, and the number of the others.
fn head(parts: &[String], shown: usize, is_cut: bool) -> String {
    let shown = shown.min(parts.len());
    let (first, rest) = parts.split_at(shown);
    let text = first.join("; ");
    match (rest.len(), is_cut) {
        (0, false) => text,
        (0, true) => format!("{text}; maybe more"),
        (rest, false) => format!("{text}; +{rest} more"),
        (rest, true) => format!("{text}; +{rest} or more"),
    }
}

/// The words of all calendars and intervals. Calendars with clock times on the same days are
/// one part.
fn parts(spec: &Spec) -> Vec<String> {
    let mut clocks: Vec<(String, BTreeSet<Clock>)> = Vec::new();
    let (mut words, mut crons) = (Vec::new(), Vec::new());
    for calendar in spec.calendars.iter().filter(|one| !one.is_never()) {
        let phrase = phrase(calendar);
        match phrase {
            Some((Time::Clocks(times), days)) => {
                let same = clocks
                    .iter_mut()
                    .find(|(other, known)| *other == days && known.union(&times).count() <= LISTED);
                match same {
                    Some((_, known)) => known.extend(times),
                    None => clocks.push((days, times)),
                }
            }
            Some((time, days)) => words.push(sentence(&time, &days)),
            None => crons.push(calendar.to_string()),
        }
    }
    for (days, times) in clocks {
        words.push(sentence(&Time::Clocks(times), &days));
    }
    words.sort_unstable();
    words.extend(crons);
    words.extend(spec.intervals.iter().map(interval_words));
    words
}

fn interval_words(interval: &Interval) -> String {
    every(interval.every.as_secs(), interval.phase.as_secs())
}

/// The words of one calendar; `None` if it is too irregular.
fn phrase(calendar: &Calendar) -> Option<(Time, String)> {
    let (time, days) = (time_of(calendar)?, days_of(calendar)?);
    let words = length(&sentence(&time, &days));
    (words <= PART_LIMIT || words <= length(&calendar.to_string())).then_some((time, days))
}

fn sentence(time: &Time, days: &str) -> String {
    let is_daily = days.is_empty() || days.starts_with("in ");
    let daily = match time {
        Time::Clocks(_) if is_daily => " daily",
        _ => "",
    };
    let gap = if days.is_empty() { "" } else { " " };
    format!("{time}{daily}{gap}{days}")
}

/// A time of day: hours, minutes and seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Clock(u16, u16, u16);

impl Clock {
    /// The text, with seconds if `has_seconds`.
    fn text(self, has_seconds: bool) -> String {
        let Self(hour, minute, second) = self;
        if has_seconds {
            format!("{hour:02}:{minute:02}:{second:02}")
        } else {
            format!("{hour:02}:{minute:02}")
        }
    }
}

/// The times of day that a calendar matches.
enum Time {
    /// Some clock times.
    Clocks(BTreeSet<Clock>),
    /// The words of a period.
    Period(String),
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clocks(clocks) => {
                let has_seconds = clocks.iter().any(|Clock(_, _, second)| *second != 0);
                let texts: Vec<String> =
                    clocks.iter().map(|clock| clock.text(has_seconds)).collect();
                f.write_str(&listed(&texts))
            }
            Self::Period(words) => f.write_str(words),
        }
    }
}

/// A list such as `a, b and c`.
fn listed(texts: &[String]) -> String {
    match texts {
        [rest @ .., last] if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => texts.concat(),
    }
}

fn time_of(calendar: &Calendar) -> Option<Time> {
    let (hours, minutes, seconds) = (calendar.hour, calendar.minute, calendar.second);
    let number = hours.iter().count() * minutes.iter().count() * seconds.iter().count();
    let clocks = || {
        let hours = hours.iter();
        let times = hours.flat_map(|hour| {
            let minutes = minutes.iter();
            minutes.flat_map(move |minute| {
                let seconds = seconds.iter();
                seconds.map(move |second| Clock(hour, minute, second))
            })
        });
        Time::Clocks(times.collect())
    };
    if let (Some(minute), Some(second)) = (single(minutes), single(seconds))
        && !hours.is_all()
    {
        return match hours.ranges()[..] {
            _ if number <= 2 => Some(clocks()),
            [
                Range {
                    start: 0,
                    end,
                    step,
                },
            ] if end + step == 24 => Some(Time::Period(every(
                hours_of(step),
                u64::from(minute) * 60 + u64::from(second),
            ))),
            [Range { start, end, step }] if number >= LISTED => {
                let at = |hour: i32| {
                    let hour = u16::try_from(hour).unwrap_or_default();
                    Clock(hour, minute, second).text(second != 0)
                };
                let step = match step {
                    1 => "hourly".to_owned(),
                    _ => every(hours_of(step), 0),
                };
                Some(Time::Period(format!("{}–{} {step}", at(start), at(end))))
            }
            _ => (number <= LISTED).then(clocks),
        };
    }
    if number <= LISTED {
        return Some(clocks());
    }
    let period = of_every_hour(minutes, seconds)?;
    Some(Time::Period(match runs(hours)[..] {
        _ if hours.is_all() => period,
        [run] => format!("{period} {}", window(run)),
        _ => return None,
    }))
}

fn hours_of(step: i32) -> u64 {
    u64::try_from(step).unwrap_or_default() * 3600
}

/// Whole hours, from the first minute of the first to the last minute of the last.
fn window((first, last): (u16, u16)) -> String {
    format!("{first:02}:00–{last:02}:59")
}

/// The words for minutes and seconds that match in every hour.
fn of_every_hour(minutes: Sixty, seconds: Sixty) -> Option<String> {
    if minutes.is_all() {
        return match single(seconds) {
            _ if seconds.is_all() => Some(every(1, 0)),
            Some(second) => Some(every(60, u64::from(second))),
            None => even(seconds).map(|(step, first)| every(step, first)),
        };
    }
    if let (Some((step, first)), Some(second)) = (even(minutes), single(seconds)) {
        return Some(every(step * 60, first * 60 + u64::from(second)));
    }
    let all: Vec<(u16, u16)> = minutes
        .iter()
        .flat_map(|minute| seconds.iter().map(move |second| (minute, second)))
        .take(LISTED + 1)
        .collect();
    if all == [(0, 0)] {
        return Some("hourly".to_owned());
    }
    let has_seconds = seconds != Values::only(0);
    let texts: Vec<String> = all
        .iter()
        .map(|(minute, second)| {
            if has_seconds {
                format!(":{minute:02}:{second:02}")
            } else {
                format!(":{minute:02}")
            }
        })
        .collect();
    (all.len() <= LISTED).then(|| format!("hourly at {}", listed(&texts)))
}

/// The words of a period and its offset, both in seconds.
fn every(seconds: u64, offset: u64) -> String {
    let period = match seconds {
        1 => "second".to_owned(),
        60 => "minute".to_owned(),
        _ => Period(Duration::from_secs(seconds)).to_string(),
    };
    match offset {
        0 => format!("every {period}"),
        _ => format!("every {period} at +{}", Period(Duration::from_secs(offset))),
    }
}

/// A duration such as `6h`; from two days on with days, such as `7d` or `2d12h`.
struct Period(Duration);

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.as_secs() / DAY;
        if days < 2 {
            return Go(self.0).fmt(f);
        }
        let rest = self.0.saturating_sub(Duration::from_secs(days * DAY));
        write!(f, "{days}d")?;
        if rest.is_zero() {
            return Ok(());
        }
        Go(rest).fmt(f)
    }
}

/// The only value of a set; `None` if the set holds none or several.
fn single<const MIN: u16, const MAX: u16>(values: Values<MIN, MAX>) -> Option<u16> {
    let mut all = values.iter();
    let first = all.next();
    first.filter(|_| all.next().is_none())
}

/// The distance and the first of at least two values at the same distance, around the clock.
fn even(values: Sixty) -> Option<(u64, u64)> {
    let first = values.iter().next()?;
    let number = u16::try_from(values.iter().count()).unwrap_or(u16::MAX);
    let step = 60 / number;
    let all: Sixty = (0..number).map(|index| first + index * step).collect();
    let is_even = number >= 2 && step * number == 60 && all == values;
    is_even.then_some((u64::from(step), u64::from(first)))
}

/// The first and last values of each run of consecutive values.
fn runs<const MIN: u16, const MAX: u16>(values: Values<MIN, MAX>) -> Vec<(u16, u16)> {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for value in values.iter() {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == value => *last = value,
            _ => runs.push((value, value)),
        }
    }
    runs
}

/// The texts of a set, with en dashes for runs; `None` if there are too many runs.
fn texts<const MIN: u16, const MAX: u16>(
    values: Values<MIN, MAX>,
    limit: usize,
    name: impl Fn(u16) -> String,
) -> Option<Vec<String>> {
    let runs = runs(values);
    let text = |(first, last): (u16, u16)| {
        if first == last {
            name(first)
        } else {
            format!("{}–{}", name(first), name(last))
        }
    };
    (runs.len() <= limit).then(|| runs.into_iter().map(text).collect())
}

/// The words for the days that a calendar matches; empty for every day, and `None` if the days
/// are too irregular.
fn days_of(calendar: &Calendar) -> Option<String> {
    let (day, month) = (calendar.day_of_month, calendar.month);
    let (weekday, year) = (calendar.day_of_week, calendar.year);
    if let (Some(day), Some(month), Some(year)) = (single(day), single(month), single(year))
        && weekday.is_all()
    {
        return Some(format!("on {year}-{month:02}-{day:02}"));
    }
    let weekdays = if weekday.is_all() {
        String::new()
    } else {
        // Sunday, which is 0, becomes the seventh day.
        let days: Values<1, 7> = weekday.iter().map(|day| (day + 6) % 7 + 1).collect();
        texts(days, LISTED, |day| named(&WEEKDAYS, day))?.join(", ")
    };
    let mut scope = Vec::new();
    if !month.is_all() {
        scope.push(texts(month, LISTED, |month| named(&MONTHS, month))?.join(", "));
    }
    let of = if scope.is_empty() { "in" } else { "of" };
    if !year.is_all() {
        scope.push(texts(year, 2, |year| year.to_string())?.join(", "));
    }
    let scope = scope.join(" ");
    let mut words = Vec::new();
    if day.is_all() {
        words.push(weekdays);
        if !scope.is_empty() {
            words.push(format!("in {scope}"));
        }
    } else if let (Some(nth), Some(_)) = (week_of(day), single(weekday)) {
        words.push(format!("on the {nth} {weekdays}"));
        if month.is_all() {
            words.push("of the month".to_owned());
        }
        if !scope.is_empty() {
            words.push(format!("{of} {scope}"));
        }
    } else {
        words.push(format!("on the {}", listed(&texts(day, LISTED, ordinal)?)));
        if !scope.is_empty() {
            words.push(format!("{of} {scope}"));
        }
        if !weekdays.is_empty() {
            words.push(format!("if {weekdays}"));
        }
    }
    words.retain(|word| !word.is_empty());
    Some(words.join(" "))
}

fn named(names: &[&str], number: u16) -> String {
    let index = usize::from(number).wrapping_sub(1);
    names.get(index).copied().unwrap_or_default().to_owned()
}

/// The name of seven days of a month that hold each weekday once.
fn week_of(days: DaysOfMonth) -> Option<&'static str> {
    Some(match runs(days)[..] {
        [(1, 7)] => "first",
        [(8, 14)] => "second",
        [(15, 21)] => "third",
        [(22, 28)] => "fourth",
        _ => return None,
    })
}

fn ordinal(number: u16) -> String {
    let ending = match (number % 100 / 10, number % 10) {
        (1, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// The words after `except`; `None` if nothing is excluded.
fn exclusions(exclude: &Sorted<Calendar>, is_cut: bool) -> Option<String> {
    let (mut dates, mut yearly, mut rules) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for calendar in exclude.iter().filter(|one| !one.is_never()) {
        match excluded_days(calendar) {
            Some(days) if calendar.year.is_all() => {
                yearly.extend(days.into_iter().map(|day| (day.month(), day.day())));
            }
            Some(days) => dates.extend(days),
            None => rules.push(calendar),
        }
    }
    if let [only] = exclude[..]
        && !only.is_never()
        && let Some(words) = rule_words(&only).filter(|words| length(words) <= PART_LIMIT / 2)
    {
        return Some(words);
    }
    dates.retain(|day: &Date| !yearly.contains(&(day.month(), day.day())));
    let or_more = if is_cut { " or more" } else { "" };
    let counted = |number: usize, one: &str, many: &str| match (number, is_cut) {
        (1, false) => format!("1 {one}"),
        _ => format!("{number}{or_more} {many}"),
    };
    let mut items = Vec::new();
    match &rules[..] {
        [] => {}
        [rule] => items.push(
            rule_words(rule)
                .filter(|words| length(words) <= RULE_LIMIT)
                .unwrap_or_else(|| counted(1, "rule", "rules")),
        ),
        rules => items.push(counted(rules.len(), "rule", "rules")),
    }
    if !dates.is_empty() {
        items.push(counted(dates.len(), "day", "days"));
    }
    if !yearly.is_empty() {
        items.push(counted(yearly.len(), "day a year", "days a year"));
    }
    (!items.is_empty()).then(|| listed(&items))
}

/// The days of a calendar that excludes whole days by their dates: of any year those of a leap
/// year. `None` for other calendars.
fn excluded_days(calendar: &Calendar) -> Option<Vec<Date>> {
    if !is_whole(calendar) || calendar.day_of_month.is_all() || !calendar.day_of_week.is_all() {
        return None;
    }
    let years: Vec<u16> = if calendar.year.is_all() {
        vec![2000]
    } else {
        calendar.year.iter().collect()
    };
    let number = calendar.month.iter().count() * calendar.day_of_month.iter().count();
    if years.len() * number > DATES {
        return None;
    }
    let mut days = Vec::new();
    for year in years {
        for month in calendar.month.iter() {
            for day in calendar.day_of_month.iter() {
                let parts = (i16::try_from(year), i8::try_from(month), i8::try_from(day));
                if let (Ok(year), Ok(month), Ok(day)) = parts {
                    days.extend(Date::new(year, month, day));
                }
            }
        }
    }
    Some(days)
}

/// Returns `true` if a calendar matches every second of its days.
fn is_whole(calendar: &Calendar) -> bool {
    calendar.second.is_all() && calendar.minute.is_all() && calendar.hour.is_all()
}

/// The words of one exclusion, else its cron string. `None` if it has no restriction.
fn rule_words(calendar: &Calendar) -> Option<String> {
    let days = days_of(calendar);
    let whole_hours = calendar.second.is_all() && calendar.minute.is_all();
    let words = match (&days, &runs(calendar.hour)[..]) {
        (Some(days), _) if is_whole(calendar) => Some(days.clone()),
        (Some(days), [run]) if whole_hours => {
            let gap = if days.is_empty() { "" } else { " " };
            Some(format!("{}{gap}{days}", window(*run)))
        }
        _ => phrase(calendar).map(|(time, days)| sentence(&time, &days)),
    };
    let words = words.unwrap_or_else(|| calendar.to_string());
    (!words.is_empty()).then_some(words)
}

/// A time in a zone, UTC by default: the date alone at midnight.
fn moment(at: Timestamp, zone: Option<&str>) -> String {
    let clock = clock(at, zone);
    clock
        .strip_suffix(" 00:00")
        .map_or_else(|| clock.clone(), str::to_owned)
}

/// A time in a zone, UTC by default, to the minute if possible.
fn clock(at: Timestamp, zone: Option<&str>) -> String {
    let Some(zone) = zone::find(zone.unwrap_or(UTC)) else {
        return at.to_string();
    };
    let local = at.to_zoned(zone).datetime();
    let clock = local.time();
    if clock.second() == 0 && clock.subsec_nanosecond() == 0 {
        local.strftime("%Y-%m-%d %H:%M").to_string()
    } else {
        local.strftime("%Y-%m-%d %H:%M:%S%.f").to_string()
    }
}

#[cfg(test)]
mod tests;
