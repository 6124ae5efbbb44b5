//! Calendars as people write them, in compiled form, and as the server's ranges.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::field::{self, FieldName, Parsed};
use super::values::{DaysOfMonth, DaysOfWeek, Hours, Months, Range, Sixty, Years};
use super::{TimesError, Values};

/// A calendar. A time matches if every field contains the time's value.
///
/// Calendars are canonical: two are equal exactly when the server matches the same times from
/// 2000 to 2100. A calendar that matches no time is [`Calendar::NEVER`]. The text of a
/// calendar, which is also its serialised form, is the shortest cron string for it, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Calendar {
    /// Seconds from 0 to 59.
    pub second: Sixty,
    /// Minutes from 0 to 59.
    pub minute: Sixty,
    /// Hours from 0 to 23.
    pub hour: Hours,
    /// Days from 1 to 31.
    pub day_of_month: DaysOfMonth,
    /// Months from 1 to 12.
    pub month: Months,
    /// Years from 2000 to 2100; all of them for any year.
    pub year: Years,
    /// Days from 0 (Sunday) to 6. A day must match this field and `day_of_month`.
    pub day_of_week: DaysOfWeek,
}

/// A structured calendar as the server sends and receives it. A field without ranges matches
/// no value; `year` without ranges matches any year.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CalendarRanges {
    pub second: Vec<Range>,
    pub minute: Vec<Range>,
    pub hour: Vec<Range>,
    pub day_of_month: Vec<Range>,
    pub month: Vec<Range>,
    pub year: Vec<Range>,
    pub day_of_week: Vec<Range>,
}

/// A calendar as people write it, each field in the server's text dialect.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CalendarInput {
    pub second: Option<String>,
    pub minute: Option<String>,
    pub hour: Option<String>,
    pub day_of_month: Option<String>,
    pub month: Option<String>,
    pub year: Option<String>,
    pub day_of_week: Option<String>,
}

/// Role of a calendar. The role decides what a field that is left out matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The calendar says when to fire. Seconds, minutes and hours that are left out and finer than
    /// every given field match 0; other fields that are left out match every value.
    Match,
    /// The calendar says when not to fire. A field that is left out matches every value.
    Exclude,
}

impl Calendar {
    /// The calendar that matches every second.
    pub const ALWAYS: Self = Self {
        second: Values::ALL,
        minute: Values::ALL,
        hour: Values::ALL,
        day_of_month: Values::ALL,
        month: Values::ALL,
        year: Values::ALL,
        day_of_week: Values::ALL,
    };

    /// The calendar that matches no time. No text compiles to it, but a live schedule may have it.
    pub const NEVER: Self = Self {
        second: Values::NONE,
        minute: Values::NONE,
        hour: Values::NONE,
        day_of_month: Values::NONE,
        month: Values::NONE,
        year: Values::NONE,
        day_of_week: Values::NONE,
    };

    /// Returns `true` if a field, and therefore the whole calendar, matches no value.
    pub fn is_never(&self) -> bool {
        self.second.is_empty()
            || self.minute.is_empty()
            || self.hour.is_empty()
            || self.day_of_month.is_empty()
            || self.month.is_empty()
            || self.year.is_empty()
            || self.day_of_week.is_empty()
    }

    /// Returns the fields for exactly this calendar, as a definition writes them. `None` if
    /// the calendar matches no time.
    pub fn fields(&self, role: Role) -> Option<CalendarInput> {
        if self.is_never() {
            return None;
        }
        let matches = role == Role::Match;
        let nought = matches && self.second == Values::only(0);
        let second = (!nought && !self.second.is_all()).then(|| self.second.to_string());
        // Fields finer than the finest given field match 0.
        let at_nought = nought && self.minute == Values::only(0);
        let minute = if at_nought || (!nought && self.minute.is_all()) {
            None
        } else {
            Some(self.minute.to_string())
        };
        let hour = (at_nought || !self.hour.is_all()).then(|| self.hour.to_string());
        let mut input = CalendarInput {
            second,
            minute,
            hour,
            day_of_month: some_of(self.day_of_month),
            month: some_of(self.month),
            year: some_of(self.year),
            day_of_week: some_of(self.day_of_week),
        };
        let finest_left_out = matches && !nought && input.second.is_none();
        if finest_left_out || input.is_empty() {
            input.second = Some("*".to_owned());
        }
        Some(input)
    }

    /// Returns the ranges to send. The server uses them without changes.
    pub fn ranges(&self) -> CalendarRanges {
        if self.is_never() {
            // Without a second no time matches, although no year means any year.
            return CalendarRanges::default();
        }
        CalendarRanges {
            second: self.second.ranges(),
            minute: self.minute.ranges(),
            hour: self.hour.ranges(),
            day_of_month: self.day_of_month.ranges(),
            month: self.month.ranges(),
            year: if self.year.is_all() {
                Vec::new()
            } else {
                self.year.ranges()
            },
            day_of_week: self.day_of_week.ranges(),
        }
    }

    /// Returns the calendar that the server reads in a live schedule's ranges.
    pub fn from_ranges(ranges: &CalendarRanges) -> Self {
        let calendar = Self {
            second: Values::from_ranges(&ranges.second),
            minute: Values::from_ranges(&ranges.minute),
            hour: Values::from_ranges(&ranges.hour),
            day_of_month: Values::from_ranges(&ranges.day_of_month),
            month: Values::from_ranges(&ranges.month),
            year: if ranges.year.is_empty() {
                Years::ALL
            } else {
                Values::from_ranges(&ranges.year)
            },
            day_of_week: Values::from_ranges(&ranges.day_of_week),
        };
        if calendar.is_never() {
            Self::NEVER
        } else {
            calendar
        }
    }
}

/// Returns the text of a field; `None` if the field matches every value.
fn some_of<const MIN: u16, const MAX: u16>(values: Values<MIN, MAX>) -> Option<String> {
    (!values.is_all()).then(|| values.to_string())
}

impl CalendarInput {
    /// The fields that have a text, the finest first.
    pub fn present_fields(&self) -> impl Iterator<Item = (FieldName, &str)> {
        FIELDS
            .into_iter()
            .filter_map(|field| Some((field, self.field(field)?)))
    }

    /// Returns `true` if no field is given. The server would fire daily at midnight. The caller
    /// decides if that was meant.
    pub fn is_empty(&self) -> bool {
        FIELDS.iter().all(|field| self.field(*field).is_none())
    }

    /// Returns the text of a field. A blank text counts as left out, as on the server.
    fn field(&self, field: FieldName) -> Option<&str> {
        let text = match field {
            FieldName::Second => &self.second,
            FieldName::Minute => &self.minute,
            FieldName::Hour => &self.hour,
            FieldName::DayOfMonth => &self.day_of_month,
            FieldName::Month => &self.month,
            FieldName::Year => &self.year,
            FieldName::DayOfWeek => &self.day_of_week,
        };
        text.as_deref().filter(|text| !text.trim().is_empty())
    }
}

const FIELDS: [FieldName; 7] = [
    FieldName::Second,
    FieldName::Minute,
    FieldName::Hour,
    FieldName::DayOfMonth,
    FieldName::Month,
    FieldName::Year,
    FieldName::DayOfWeek,
];

/// Compiles a calendar. The errors are everything that the server would refuse in the
/// calendar. Offsets count from the start of the field's text.
///
/// The rule for fields that are left out is that of `docs/contract.md#2-definitions`. It
/// differs from the server's own rule, which uses hour 0 for `minute: 30`.
pub fn compile_calendar(
    input: &CalendarInput,
    role: Role,
) -> Result<Calendar, Vec<(FieldName, TimesError)>> {
    let mut reader = Reader {
        input,
        errors: Vec::new(),
    };
    let has = |field| input.field(field).is_some();
    let has_second = has(FieldName::Second);
    let has_minute = has_second || has(FieldName::Minute);
    let has_hour = has_minute || has(FieldName::Hour);
    let finer = |coarser_only: bool| role == Role::Match && coarser_only;
    let calendar = Calendar {
        second: reader.read(FieldName::Second, finer(!has_second)),
        minute: reader.read(FieldName::Minute, finer(!has_minute)),
        hour: reader.read(FieldName::Hour, finer(!has_hour)),
        day_of_month: reader.read(FieldName::DayOfMonth, false),
        month: reader.read(FieldName::Month, false),
        year: reader.read(FieldName::Year, false),
        day_of_week: reader.read(FieldName::DayOfWeek, false),
    };
    if reader.errors.is_empty() {
        Ok(calendar)
    } else {
        Err(reader.errors)
    }
}

struct Reader<'a> {
    input: &'a CalendarInput,
    errors: Vec<(FieldName, TimesError)>,
}

impl Reader<'_> {
    fn read<const MIN: u16, const MAX: u16>(
        &mut self,
        field: FieldName,
        nought: bool,
    ) -> Values<MIN, MAX> {
        let Some(text) = self.input.field(field) else {
            return if nought { Values::only(0) } else { Values::ALL };
        };
        let blanks = text.chars().take_while(|c| c.is_whitespace()).count();
        match field::parse(field, text.trim()) {
            Ok(Parsed { values, .. }) => values,
            Err(error) => {
                self.errors.push((field, error.shifted(blanks)));
                Values::NONE
            }
        }
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_never() {
            return f.write_str("never");
        }
        let at_nought = self.second == Values::only(0);
        if !at_nought {
            write!(f, "{} ", self.second)?;
        }
        let Self {
            minute,
            hour,
            day_of_month,
            month,
            day_of_week,
            year,
            ..
        } = self;
        write!(f, "{minute} {hour} {day_of_month} {month} {day_of_week}")?;
        if at_nought && year.is_all() {
            Ok(())
        } else {
            write!(f, " {year}")
        }
    }
}

impl From<Calendar> for String {
    fn from(calendar: Calendar) -> Self {
        calendar.to_string()
    }
}

impl FromStr for Calendar {
    type Err = TimesError;

    /// Reads the canonical text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fields: Vec<&str> = text.split(' ').collect();
        let (second, [minute, hour, day_of_month, month, day_of_week], year) = match *fields {
            ["never"] => return Ok(Self::NEVER),
            [minute, hour, day, month, weekday] => ("0", [minute, hour, day, month, weekday], "*"),
            [minute, hour, day, month, weekday, year] => {
                ("0", [minute, hour, day, month, weekday], year)
            }
            [second, minute, hour, day, month, weekday, year] => {
                (second, [minute, hour, day, month, weekday], year)
            }
            _ => {
                return Err(TimesError::new(format!(
                    "`{text}` is not a calendar of 5 to 7 fields"
                )));
            }
        };
        Ok(Self {
            second: second.parse()?,
            minute: minute.parse()?,
            hour: hour.parse()?,
            day_of_month: day_of_month.parse()?,
            month: month.parse()?,
            year: year.parse()?,
            day_of_week: day_of_week.parse()?,
        })
    }
}

impl TryFrom<String> for Calendar {
    type Error = TimesError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests;
