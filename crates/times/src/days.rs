//! Sets of whole days, compiled to calendars that exclude them.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::{Calendar, DaysOfMonth, Months, Sorted, Years};

/// A builder of a set of whole days: dates, days of every year, and rules.
///
/// The set is compiled to as few calendars as possible, by combining days that share months
/// and years: a server compares each candidate time with every calendar.
#[derive(Debug, Clone, Default)]
pub struct WholeDays {
    yearly: BTreeMap<u16, DaysOfMonth>,
    dated: BTreeMap<(u16, u16), DaysOfMonth>,
    rules: Vec<Calendar>,
}

impl WholeDays {
    /// Adds a date from 2000 to 2100, the years that the server knows. Returns `false` if the set
    /// contained the date.
    pub fn insert_date(&mut self, date: Date) -> bool {
        let (month, day) = (small(date.month()), small(date.day()));
        let year = u16::try_from(date.year()).unwrap_or_default();
        let every_year = self.yearly.get(&month);
        let days = self.dated.entry((year, month)).or_default();
        let is_new = !days.contains(day) && !every_year.is_some_and(|days| days.contains(day));
        days.insert(day);
        is_new
    }

    /// Adds the day that `date` is, in every year. Returns `false` if the set contained that day in
    /// at least one year.
    pub fn insert_yearly(&mut self, date: Date) -> bool {
        let (month, day) = (small(date.month()), small(date.day()));
        let is_dated = self
            .dated
            .iter()
            .any(|((_, other), days)| *other == month && days.contains(day));
        let days = self.yearly.entry(month).or_default();
        let is_new = !is_dated && !days.contains(day);
        days.insert(day);
        is_new
    }

    /// Adds every day on which a calendar matches some time. Returns `false` if the set contained
    /// the same rule.
    pub fn insert_rule(&mut self, rule: &Calendar) -> bool {
        let whole = Calendar {
            second: Calendar::ALWAYS.second,
            minute: Calendar::ALWAYS.minute,
            hour: Calendar::ALWAYS.hour,
            ..*rule
        };
        let is_new = !self.rules.contains(&whole);
        self.rules.push(whole);
        is_new
    }

    /// Compiles the set to calendars that exclude exactly these days.
    pub fn compile(self) -> Sorted<Calendar> {
        let mut years: BTreeMap<(u16, DaysOfMonth), Years> = BTreeMap::new();
        for ((year, month), days) in self.dated {
            let every_year = self.yearly.get(&month).copied().unwrap_or_default();
            let rest: DaysOfMonth = days.iter().filter(|d| !every_year.contains(*d)).collect();
            if !rest.is_empty() {
                years.entry((month, rest)).or_default().insert(year);
            }
        }
        let dated = years
            .into_iter()
            .map(|((month, days), years)| (years, days, month));
        let yearly = self
            .yearly
            .into_iter()
            .map(|(month, days)| (Years::ALL, days, month));
        let mut months: BTreeMap<(Years, DaysOfMonth), Months> = BTreeMap::new();
        for (years, days, month) in dated.chain(yearly) {
            months.entry((years, days)).or_default().insert(month);
        }
        let plain = months
            .into_iter()
            .map(|((year, day_of_month), month)| Calendar {
                day_of_month,
                month,
                year,
                ..Calendar::ALWAYS
            });
        plain.chain(self.rules).collect()
    }
}

fn small(value: i8) -> u16 {
    u16::try_from(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;
    use crate::{CalendarInput, Role, Spec, compile_calendar, compile_cron};

    fn compiled(days: WholeDays) -> String {
        let all = days.compile();
        let texts: Vec<_> = all.iter().map(ToString::to_string).collect();
        texts.join("\n")
    }

    #[test]
    fn days_that_share_months_and_years_share_a_calendar() {
        let mut days = WholeDays::default();
        for year in [2026, 2027, 2028] {
            assert!(days.insert_date(date(year, 1, 1)));
            assert!(days.insert_date(date(year, 5, 1)));
        }
        assert!(days.insert_date(date(2026, 4, 3)));
        assert!(days.insert_date(date(2026, 4, 6)));
        for day in 24..=26 {
            assert!(days.insert_yearly(date(2000, 12, day)));
        }
        insta::assert_snapshot!(compiled(days), @r"
        * * * 1 1,5 * 2026-2028
        * * * 3,6 4 * 2026
        * * * 24-26 12 * *
        ");
    }

    #[test]
    fn a_day_that_is_there_is_not_inserted_again() {
        let mut days = WholeDays::default();
        assert!(days.insert_date(date(2026, 12, 24)));
        assert!(!days.insert_date(date(2026, 12, 24)));
        assert!(!days.insert_yearly(date(2000, 12, 24)));
        assert!(!days.insert_date(date(2027, 12, 24)));
        let rule = compile_cron("0 9 * * SUN").unwrap().calendars[0];
        assert!(days.insert_rule(&rule));
        assert!(!days.insert_rule(&rule));
        insta::assert_snapshot!(compiled(days), @r"
        * * * 24 12 * *
        * * * * * 0 *
        ");
    }

    #[test]
    fn yearly_days_compile_to_the_calendar_of_an_exclusion_by_fields() {
        let input = CalendarInput {
            month: Some("DEC".to_owned()),
            day_of_month: Some("24-26".to_owned()),
            ..CalendarInput::default()
        };
        let mut days = WholeDays::default();
        for day in 24..=26 {
            days.insert_yearly(date(2000, 12, day));
        }
        let rule = compile_calendar(&input, Role::Exclude).unwrap();
        assert_eq!(*days.compile(), [rule]);
    }

    /// Days of some years; the sixth part of them are of every year.
    fn any_days() -> impl Strategy<Value = Vec<(Date, bool)>> {
        let day = (2026_i16..2030, 1_i8..=12, 1_i8..=28, 0_u8..6);
        let day = day.prop_map(|(year, month, day, kind)| (date(year, month, day), kind == 0));
        proptest::collection::vec(day, 0..60)
    }

    proptest! {
        /// Twice a day, in a zone whose clock changes, on every day but these.
        #[test]
        fn exactly_the_days_are_excluded(all in any_days()) {
            let mut days = WholeDays::default();
            for (date, yearly) in &all {
                if *yearly {
                    days.insert_yearly(*date);
                } else {
                    days.insert_date(*date);
                }
            }
            let is_listed = |day: Date| all.iter().any(|(date, yearly)| {
                *date == day || (*yearly && (date.month(), date.day()) == (day.month(), day.day()))
            });
            let spec = Spec {
                calendars: compile_cron("0 0,23 * * *").unwrap().calendars.into_iter().collect(),
                exclude: days.compile(),
                timezone: "Europe/Berlin".to_owned(),
                end_at: Some("2029-12-31T22:59:59Z".parse().unwrap()),
                ..Spec::default()
            };
            let from: Timestamp = "2025-12-31T22:59:59Z".parse().unwrap();
            let fired = spec.fire_times(from, 10_000).times.into_iter();
            let fired: BTreeSet<Date> = fired.map(|time| {
                time.in_tz("Europe/Berlin").unwrap().date()
            }).collect();
            let meant: BTreeSet<Date> = date(2026, 1, 1)
                .series(jiff::ToSpan::days(1))
                .take_while(|day| *day <= date(2029, 12, 31))
                .filter(|day| !is_listed(*day))
                .collect();
            prop_assert_eq!(fired, meant);
        }
    }
}
