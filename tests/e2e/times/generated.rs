//! Specs from a seed: every feature of the dialect in every zone.

use std::time::Duration;

use almanac_times::{Calendar, CalendarInput, Role, compile_calendar, compile_cron};
use jiff::Timestamp;

use super::cases::{Case, ZONES};

/// `SplitMix64`: the same cases for the same seed, for ever.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `from` to `to`, both included.
    pub(super) fn number(&mut self, from: u64, to: u64) -> u64 {
        from + self.roll() % (to - from + 1)
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let index = usize::try_from(self.number(0, of.len() as u64 - 1)).unwrap_or(0);
        &of[index]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.number(1, 100) <= percent
    }

    fn maybe<T>(&mut self, percent: u64, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.chance(percent) {
            Some(make(self))
        } else {
            None
        }
    }
}

/// Cases from a seed; some of them are spoilt, and mostly refused.
pub(super) fn cases(seed: u64, count: usize) -> Vec<Case> {
    let mut dice = Dice::new(seed);
    (0..count).map(|_| case(&mut dice)).collect()
}

fn case(dice: &mut Dice) -> Case {
    let mut case = Case {
        timezone: (*dice.pick(&ZONES)).to_owned(),
        ..Case::default()
    };
    match dice.number(0, 9) {
        0..=5 => case.crons.push(cron(dice)),
        6 => case.crons.extend([cron(dice), cron(dice)]),
        7 => case.calendars.push(calendar(dice, 60)),
        8 => case.intervals.push(interval(dice)),
        _ => {
            case.crons.push(cron(dice));
            case.intervals.push(interval(dice));
            case.calendars.push(calendar(dice, 40));
        }
    }
    if dice.chance(30) {
        case.exclude.push(exclusion(dice));
    }
    if dice.chance(10) {
        case.exclude.push(exclusion(dice));
    }
    if !leaves_days(&case) {
        case.exclude.clear();
    }
    let second = |dice: &mut Dice, from: u64, to: u64| {
        let time = i64::try_from(dice.number(from, to)).unwrap_or(0);
        Timestamp::from_second(time).ok()
    };
    // From 2011 to 2016, and from 2026 to 2030.
    case.start_at = dice
        .maybe(15, |dice| second(dice, 1_300_000_000, 1_470_000_000))
        .flatten();
    case.end_at = dice
        .maybe(15, |dice| second(dice, 1_780_000_000, 1_900_000_000))
        .flatten();
    case
}

/// Returns `true` if no exclusion covers all the days of a calendar.
fn leaves_days(case: &Case) -> bool {
    let compiled = |inputs: &[CalendarInput], role| -> Vec<Calendar> {
        let calendars = inputs.iter().map(|input| compile_calendar(input, role));
        calendars.flatten().collect()
    };
    let mut calendars = compiled(&case.calendars, Role::Match);
    let crons = case.crons.iter().flat_map(|cron| compile_cron(cron));
    calendars.extend(crons.flat_map(|cron| cron.calendars));
    let exclude = compiled(&case.exclude, Role::Exclude);
    calendars.iter().all(|calendar| {
        !exclude.iter().any(|exclusion| {
            let mut months = calendar.month.iter();
            let mut days = calendar.day_of_month.iter();
            let mut weekdays = calendar.day_of_week.iter();
            months.all(|it| exclusion.month.contains(it))
                && days.all(|it| exclusion.day_of_month.contains(it))
                && weekdays.all(|it| exclusion.day_of_week.contains(it))
        })
    })
}

fn cron(dice: &mut Dice) -> String {
    const NOISE: &[char] = &[
        '0', '1', '7', '9', '*', '/', '-', ',', ' ', '#', '?', 'L', 'x', '@', '\t', '+', '.', 'Ω',
    ];
    let mut fields = vec![
        field(dice, 0, 59, 15),
        field(dice, 0, 23, 30),
        day(dice),
        month(dice, 75),
        weekday(dice, 60),
    ];
    match dice.number(0, 9) {
        0 => fields.push(field(dice, 2024, 2032, 40)),
        1 => {
            fields.insert(0, field(dice, 0, 59, 5));
            fields.push(field(dice, 2000, 2100, 80));
        }
        _ => {}
    }
    let mut text = fields.join(" ");
    if dice.chance(5) {
        text.push_str(" # why");
    }
    if dice.chance(12) {
        let mut chars: Vec<char> = text.chars().collect();
        let at = usize::try_from(dice.number(0, chars.len() as u64 - 1)).unwrap_or(0);
        match dice.number(0, 2) {
            0 => chars[at] = *dice.pick(NOISE),
            1 => chars.insert(at, *dice.pick(NOISE)),
            _ => drop(chars.remove(at)),
        }
        text = chars.into_iter().collect();
    }
    text
}

/// A field's text: `*` in so many of a hundred, else up to three parts.
fn field(dice: &mut Dice, min: u64, max: u64, all: u64) -> String {
    if dice.chance(all) {
        return "*".to_owned();
    }
    let parts = *dice.pick(&[1, 1, 1, 2, 3]);
    let parts: Vec<String> = (0..parts).map(|_| part(dice, min, max)).collect();
    parts.join(",")
}

fn part(dice: &mut Dice, min: u64, max: u64) -> String {
    let start = dice.number(min, max);
    match dice.number(0, 9) {
        0..=4 => start.to_string(),
        5 | 6 => format!("{start}-{}", dice.number(start, max)),
        7 => format!("{start}-{}/{}", dice.number(start, max), dice.number(1, 9)),
        8 => format!("{start}/{}", dice.number(1, 20)),
        _ => format!("*/{}", dice.number(1, 20)),
    }
}

fn day(dice: &mut Dice) -> String {
    field(dice, 1, 31, 70)
}

fn month(dice: &mut Dice, all: u64) -> String {
    const NAMES: &[&str] = &[
        "jan", "Feb", "MARCH", "apr-jun", "july", "sept/2", "octob", "nov,dec",
    ];
    if dice.chance(15) {
        (*dice.pick(NAMES)).to_owned()
    } else {
        field(dice, 1, 12, all)
    }
}

fn weekday(dice: &mut Dice, all: u64) -> String {
    const NAMES: &[&str] = &[
        "sun", "MON-FRI", "tu,th", "Saturday", "we/2", "fri-7", "mo-sa/2",
    ];
    if dice.chance(15) {
        (*dice.pick(NAMES)).to_owned()
    } else {
        field(dice, 0, 7, all)
    }
}

fn calendar(dice: &mut Dice, percent: u64) -> CalendarInput {
    CalendarInput {
        second: dice.maybe(percent / 3, |dice| field(dice, 0, 59, 5)),
        minute: dice.maybe(percent, |dice| field(dice, 0, 59, 10)),
        hour: dice.maybe(percent, |dice| field(dice, 0, 23, 10)),
        day_of_month: dice.maybe(percent / 2, day),
        month: dice.maybe(percent / 2, |dice| month(dice, 10)),
        year: dice.maybe(percent / 6, |dice| field(dice, 2010, 2030, 10)),
        day_of_week: dice.maybe(percent, |dice| weekday(dice, 10)),
    }
}

/// Always of some days only: where everything is excluded a server looks for
/// minutes, and a test of its own has it do so once.
fn exclusion(dice: &mut Dice) -> CalendarInput {
    const WEEKDAYS: &[&str] = &["SAT,SUN", "mon-fri", "1-7/3", "2-5", "0,7", "thurs"];
    const DAYS: &[&str] = &["1", "24-26", "1-7", "30,31", "5/10"];
    let some = |of: &[&str], dice: &mut Dice| Some((*dice.pick(of)).to_owned());
    let weekdays = CalendarInput {
        day_of_week: some(WEEKDAYS, dice),
        ..CalendarInput::default()
    };
    let days = CalendarInput {
        day_of_month: some(DAYS, dice),
        ..CalendarInput::default()
    };
    match dice.number(0, 4) {
        0 => CalendarInput {
            month: Some(month(dice, 30)),
            ..days
        },
        1 => weekdays,
        2 => CalendarInput {
            hour: Some(format!("{}-{}", dice.number(0, 9), dice.number(10, 23))),
            ..weekdays
        },
        3 => CalendarInput {
            hour: some(&["1", "0-2", "2,3", "*"], dice),
            minute: some(&["0", "30", "0/20", "10-50"], dice),
            second: some(&["0", "0-30", "1/2"], dice),
            ..weekdays
        },
        _ => CalendarInput {
            minute: some(&["0", "30-59", "*/7", "59"], dice),
            ..days
        },
    }
}

fn interval(dice: &mut Dice) -> (Duration, Duration) {
    let every = *dice.pick(&[30, 60, 90, 300, 3600, 5400, 21_600, 86_400, 604_800]) * 1000;
    let every = if dice.chance(10) {
        every + dice.number(0, 999)
    } else {
        every
    };
    let phase = dice
        .maybe(50, |dice| dice.number(0, every + every / 50))
        .unwrap_or(0);
    (Duration::from_millis(every), Duration::from_millis(phase))
}
