//! A single field of a cron string or calendar in the server's text dialect.
//!
//! The dialect has `*`, `x`, `x-z`, `x-z/y`, `x/y` (from x to the field's last value), and
//! lists of these. It has no `L`, `W` and `?`, and no range that wraps around.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::values::Range;
use super::{TimesError, Values};

/// The fields of a calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldName {
    Second,
    Minute,
    Hour,
    DayOfMonth,
    Month,
    Year,
    DayOfWeek,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const DAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];

impl FieldName {
    /// Key of the field in a definition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day_of_month",
            Self::Month => "month",
            Self::Year => "year",
            Self::DayOfWeek => "day_of_week",
        }
    }

    /// The first and the last value that a text may name. The value 7 also means Sunday.
    fn bounds(self) -> (i64, i64) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::Year => (2000, 2100),
            Self::DayOfWeek => (0, 7),
        }
    }

    /// The number that a name stands for. The server accepts any prefix of at
    /// least three letters of a month, and of two letters of a day.
    fn named(self, text: &str) -> Option<i64> {
        let (names, shortest, first): (&[&str], usize, i64) = match self {
            Self::Month => (&MONTHS, 3, 1),
            Self::DayOfWeek => (&DAYS, 2, 0),
            _ => return None,
        };
        let text = text.to_lowercase();
        let index = names
            .iter()
            .position(|name| text.len() >= shortest && name.starts_with(&text))?;
        Some(first + i64::try_from(index).ok()?)
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Result of reading a field's text.
pub(super) struct Parsed<const MIN: u16, const MAX: u16> {
    pub(super) values: Values<MIN, MAX>,
    /// Place of a range that seems to include Sunday, but for which the server drops Sunday.
    pub(super) lost_sunday: Option<usize>,
}

/// Reads a field; `text` is not blank. Offsets count from the start of `text`.
pub(super) fn parse<const MIN: u16, const MAX: u16>(
    field: FieldName,
    text: &str,
) -> Result<Parsed<MIN, MAX>, TimesError> {
    let mut ranges = Vec::new();
    let mut lost_sunday = None;
    let mut offset = 0;
    for part in text.split(',') {
        let (start, end, step) = range(field, part).map_err(|error| error.shifted(offset))?;
        let mut end = end;
        if field == FieldName::DayOfWeek && end == 7 {
            // The server cuts a range that ends with 7 to end with 6, and adds Sunday
            // again, except if the range begins with 1 and has no step.
            if (7 - start) % step == 0 && start != 0 {
                if step == 1 && start == 1 {
                    lost_sunday = Some(offset);
                } else {
                    ranges.push(Range {
                        start: 0,
                        end: 0,
                        step: 1,
                    });
                }
            }
            end = 6;
        }
        if start <= end {
            ranges.push(Range {
                start: small(start),
                end: small(end),
                // The server uses only the low 32 bits.
                step: low_bits(step),
            });
        }
        if ranges.last().is_some_and(|range| range.step < 0) {
            return Err(TimesError::new(format!(
                "{field} has the step {step}, which is too large"
            ))
            .at(offset));
        }
        offset += part.chars().count() + 1;
    }
    let values = Values::from_ranges(&ranges);
    Ok(Parsed {
        values,
        lost_sunday: lost_sunday.filter(|_| !values.contains(0)),
    })
}

fn small(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn low_bits(value: i64) -> i32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// A part of a list: its first value, its last value, and its step.
fn range(field: FieldName, part: &str) -> Result<(i64, i64, i64), TimesError> {
    let (min, max) = field.bounds();
    let (bounds, step) = match part.split_once('/') {
        Some((bounds, step)) => (bounds, Some(step)),
        None => (part, None),
    };
    let after_slash = bounds.chars().count() + 1;
    let step_by = match step {
        None => 1,
        Some(text) if text.contains('/') => {
            return Err(
                TimesError::new(format!("{field} `{part}` has more than one `/`")).at(after_slash),
            );
        }
        Some(text) => text
            .parse::<i64>()
            .ok()
            .filter(|step| *step >= 1)
            .ok_or_else(|| {
                TimesError::new(format!(
                    "{field} has the step `{text}`, which is not a whole number of at least 1"
                ))
                .at(after_slash)
            })?,
    };
    if bounds == "*" {
        return Ok((min, max, step_by));
    }
    let Some((first, last)) = bounds.split_once('-') else {
        let start = value(field, bounds, 0)?;
        return Ok((start, if step.is_some() { max } else { start }, step_by));
    };
    let after_dash = first.chars().count() + 1;
    if last.contains('-') {
        return Err(
            TimesError::new(format!("{field} `{bounds}` has more than one `-`")).at(after_dash),
        );
    }
    let start = value(field, first, 0)?;
    let end = value(field, last, after_dash)?;
    if end < start {
        return Err(wraps(field, bounds, first, last).at(0));
    }
    Ok((start, end, step_by))
}

fn wraps(field: FieldName, bounds: &str, first: &str, last: &str) -> TimesError {
    let (_, max) = field.bounds();
    let end = if field == FieldName::DayOfWeek {
        6
    } else {
        max
    };
    let hint = if field == FieldName::DayOfWeek && field.named(last) == Some(0) {
        format!("Sunday is 0 at the start of a range and 7 at its end: `{first}-7`")
    } else {
        format!(
            "ranges do not wrap around; write `{first}-{end},{}-{last}`",
            field.bounds().0
        )
    };
    TimesError::new(format!("{field} `{bounds}` ends before it starts")).hint(hint)
}

fn value(field: FieldName, text: &str, at: usize) -> Result<i64, TimesError> {
    let (min, max) = field.bounds();
    let number = field.named(text).or_else(|| text.parse().ok());
    match number {
        Some(number) if (min..=max).contains(&number) => Ok(number),
        Some(_) => {
            Err(TimesError::new(format!("{field} `{text}` is not from {min} to {max}")).at(at))
        }
        None => {
            let error = TimesError::new(match text {
                "" => format!("{field} has no value"),
                _ => format!("{field} `{text}` is not a value from {min} to {max}"),
            });
            Err(match hint(field, text) {
                Some(hint) => error.hint(hint),
                None => error,
            }
            .at(at))
        }
    }
}

/// Replacement for a form that other crons have and the server does not have.
fn hint(field: FieldName, text: &str) -> Option<&'static str> {
    match text {
        "?" => Some("write `*`; Temporal has no `?`"),
        "L" if field == FieldName::DayOfMonth => {
            Some("Temporal has no `L`; write the last day of each month, as a list of cron strings")
        }
        _ if text.ends_with(['L', 'W']) => Some("Temporal has no `L` and no `W`"),
        _ if text.starts_with(' ') || text.ends_with(' ') => {
            Some("a field must not contain spaces")
        }
        _ => match field {
            FieldName::Month => Some(
                "a month is 1 to 12, its English name, or at least the first 3 letters of the name",
            ),
            FieldName::DayOfWeek => Some(
                "a day is 0 (Sunday) to 7 (also Sunday), its English name, or at least the first \
                 2 letters of the name",
            ),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(text: &str) -> String {
        parse::<0, 6>(FieldName::DayOfWeek, text)
            .unwrap()
            .values
            .to_string()
    }

    #[test]
    fn sunday_is_0_or_7_and_is_dropped_from_1_to_7() {
        for (text, expected) in [
            ("7", "0"),
            ("0-7", "*"),
            ("*", "*"),
            ("1-7", "1-6"),
            ("1/1", "1-6"),
            ("mon-7", "1-6"),
            ("2-7", "0,2-6"),
            ("3-7/3", "3,6"),
            ("1-7/2", "0,1-5/2"),
            ("1/2", "0,1-5/2"),
            ("*/7", "0"),
            ("*/2", "0-6/2"),
            ("7/3", "0"),
            ("6-7", "0,6"),
            ("SUN", "0"),
            ("tHu", "4"),
            ("fri-sat,sunda", "0,5,6"),
        ] {
            assert_eq!(days(text), expected, "{text}");
        }
    }

    #[test]
    fn only_a_range_that_reads_like_a_whole_week_warns() {
        for (text, lost) in [
            ("1-7", true),
            ("1/1", true),
            ("0-7", false),
            ("2-7", false),
            ("1-7/2", false),
            ("0,1-7", false),
            ("1-6", false),
        ] {
            let parsed = parse::<0, 6>(FieldName::DayOfWeek, text).unwrap();
            assert_eq!(parsed.lost_sunday.is_some(), lost, "{text}");
        }
    }

    #[test]
    fn steps_wrap_at_32_bits_as_in_the_server() {
        let minutes =
            |text| parse::<0, 59>(FieldName::Minute, text).map(|parsed| parsed.values.to_string());
        assert_eq!(minutes("*/4294967297").unwrap(), "*");
        assert_eq!(minutes("*/4294967296").unwrap(), "*");
        assert_eq!(minutes("*/99").unwrap(), "0");
        assert!(minutes("*/2147483648").is_err());
    }

    #[test]
    fn fields_that_the_server_refuses_are_refused_at_their_place() {
        for (field, text, offset) in [
            (FieldName::Minute, "60", 0),
            (FieldName::Minute, "1,60", 2),
            (FieldName::Minute, "1-2-3", 2),
            (FieldName::Minute, "1/2/3", 2),
            (FieldName::Minute, "*/0", 2),
            (FieldName::Minute, "*/-1", 2),
            (FieldName::Minute, "5-1", 0),
            (FieldName::Minute, "-5", 0),
            (FieldName::Minute, "1,", 2),
            (FieldName::Minute, "1, 2", 2),
            (FieldName::Minute, "?", 0),
            (FieldName::Month, "ja", 0),
            (FieldName::Month, "13", 0),
            (FieldName::DayOfWeek, "8", 0),
            (FieldName::DayOfWeek, "fri-mon", 0),
            (FieldName::DayOfWeek, "mon-sun", 0),
            (FieldName::DayOfMonth, "0", 0),
            (FieldName::DayOfMonth, "L", 0),
            (FieldName::Year, "1999", 0),
        ] {
            let error = parse::<0, 59>(field, text)
                .err()
                .unwrap_or_else(|| panic!("{field} {text} was taken"));
            assert_eq!(error.offset, Some(offset), "{field} {text}: {error}");
        }
    }

    #[test]
    fn numbers_may_have_a_sign_and_noughts() {
        assert_eq!(
            parse::<0, 59>(FieldName::Minute, "+5,007/+30")
                .unwrap()
                .values
                .to_string(),
            "5,7,37"
        );
    }
}
