//! Durations and timestamps as documents write them.

use std::time::Duration;

use jiff::Timestamp;

/// The longest duration: 36,500 days.
pub const LONGEST: Duration = Duration::from_hours(36_500 * 24);

/// A mistake in the text of a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text does not have the form of a duration.
    #[error("write it like `90s`, `1h30m` or `PT1H30M`")]
    Form,
    /// The text has years or months.
    #[error("years and months have no fixed length; use days")]
    NoFixedLength,
    /// The text is a zero without a unit.
    #[error("write `0s`")]
    ZeroWithoutUnit,
    /// A number has no unit.
    #[error("the number needs a unit: `{0}s`, `{0}m` or `{0}h`")]
    NoUnit(String),
    /// A unit stands twice, or after a smaller unit.
    #[error("give each unit at most once, the largest first")]
    UnitOrder,
    /// The text has an unknown unit.
    #[error("the units are `w`, `d`, `h`, `m`, `s` and `ms`")]
    UnknownUnit,
    /// The duration is longer than [`LONGEST`].
    #[error("the maximum is 36500 days")]
    TooLong,
}

/// Reads `90s`, `1h30m`, `1.5h` (units `w d h m s ms`, each at most once, the
/// greatest first) or ISO 8601 `PT1H30M`, `P1DT12H`, `P2W`. A day is 24 hours.
/// The error describes the mistake in the text, for use in a hint.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let iso = text.strip_prefix(['P', 'p']);
    let nanos = match iso {
        Some(rest) => parse_iso(rest)?,
        None => parse_units(text, UNITS)?,
    };
    if nanos > LONGEST.as_nanos() {
        return Err(DurationError::TooLong);
    }
    u64::try_from(nanos)
        .map(Duration::from_nanos)
        .map_err(|_| DurationError::TooLong)
}

/// Name of a unit and its length in nanoseconds. Lists of units begin with the greatest.
type Unit = (&'static str, u128);

const SECOND: u128 = 1_000_000_000;
const UNITS: &[Unit] = &[
    ("w", 7 * 86_400 * SECOND),
    ("d", 86_400 * SECOND),
    ("h", 3_600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", SECOND / 1000),
];
const ISO_DATE: &[Unit] = &[("W", 7 * 86_400 * SECOND), ("D", 86_400 * SECOND)];
const ISO_TIME: &[Unit] = &[("H", 3_600 * SECOND), ("M", 60 * SECOND), ("S", SECOND)];

fn parse_iso(text: &str) -> Result<u128, DurationError> {
    let text = text.to_ascii_uppercase();
    let (date, time) = match text.split_once('T') {
        Some((_, "")) => return Err(DurationError::Form),
        Some((date, time)) => (date, time),
        None => (text.as_str(), ""),
    };
    if date.contains(['Y', 'M']) {
        return Err(DurationError::NoFixedLength);
    }
    if date.is_empty() && time.is_empty() {
        return Err(DurationError::Form);
    }
    let part = |text: &str, units| {
        if text.is_empty() {
            Ok(0)
        } else {
            parse_units(text, units)
        }
    };
    Ok(part(date, ISO_DATE)? + part(time, ISO_TIME)?)
}

fn parse_units(text: &str, mut units: &[Unit]) -> Result<u128, DurationError> {
    let mut rest = text;
    let mut total: u128 = 0;
    if rest.is_empty() {
        return Err(DurationError::Form);
    }
    while !rest.is_empty() {
        let split = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(split);
        let end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        if number.is_empty() || (name.is_empty() && !after.is_empty()) {
            return Err(DurationError::Form);
        }
        if name.is_empty() {
            return Err(if number.bytes().all(|b| b == b'0') && text == number {
                DurationError::ZeroWithoutUnit
            } else {
                DurationError::NoUnit(number.to_owned())
            });
        }
        let Some(index) = units.iter().position(|(unit, _)| *unit == name) else {
            return Err(unit_error(name));
        };
        total = total
            .checked_add(scale(number, units[index].1)?)
            .ok_or(DurationError::TooLong)?;
        units = &units[index + 1..];
        rest = after;
    }
    Ok(total)
}

fn unit_error(name: &str) -> DurationError {
    if UNITS
        .iter()
        .chain(ISO_DATE)
        .chain(ISO_TIME)
        .any(|(unit, _)| *unit == name)
    {
        DurationError::UnitOrder
    } else if matches!(
        name,
        "M" | "mo" | "month" | "months" | "y" | "Y" | "year" | "years"
    ) {
        DurationError::NoFixedLength
    } else {
        DurationError::UnknownUnit
    }
}

/// `number` times `unit`, in nanoseconds.
fn scale(number: &str, unit: u128) -> Result<u128, DurationError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let bad = |part: &str| part.is_empty() || part.contains('.');
    if bad(whole) || bad(fraction) {
        return Err(DurationError::Form);
    }
    let whole: u128 = whole.parse().map_err(|_| DurationError::TooLong)?;
    // The ninth digit is a nanosecond of a second; further digits are below the resolution.
    let fraction = &fraction[..fraction.len().min(9)];
    let digits = u32::try_from(fraction.len()).unwrap_or(9);
    let part: u128 = fraction.parse().map_err(|_| DurationError::Form)?;
    whole
        .checked_mul(unit)
        .and_then(|nanos| nanos.checked_add(part * unit / 10_u128.pow(digits)))
        .ok_or(DurationError::TooLong)
}

/// A duration as messages, hashes and written documents show it: `1h30m`, and `1m30s` for `90s`.
/// Parts below a millisecond, which documents write as fractions, are shown in `us` and `ns`.
pub fn show(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let mut parts = Vec::new();
    for (unit, length) in [
        ("d", 86_400 * SECOND),
        ("h", 3_600 * SECOND),
        ("m", 60 * SECOND),
        ("s", SECOND),
        ("ms", SECOND / 1000),
        ("us", SECOND / 1_000_000),
        ("ns", 1),
    ] {
        if rest >= length {
            parts.push(format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.concat()
    }
}

/// Result of reading a text as a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampText {
    /// The text is a timestamp.
    At(Timestamp),
    /// The text has the form of a timestamp, but names no time or one after [`LAST_TIMESTAMP`].
    OutOfRange,
    /// The text is something else.
    Other,
}

/// The last second that a timestamp may name: the last one that falls into the year 9999 with
/// every offset that it may be shown with.
pub const LAST_TIMESTAMP: &str = "9999-12-30T22:00:00Z";

/// Reads an RFC 3339 timestamp.
pub fn timestamp(text: &str) -> TimestampText {
    let bytes = text.as_bytes();
    // jiff reads more forms; documents may use this form only.
    let shape = bytes.len() >= 20
        && bytes[..19]
            .iter()
            .enumerate()
            .all(|(index, b)| match index {
                4 | 7 => *b == b'-',
                10 => matches!(b, b'T' | b't'),
                13 | 16 => *b == b':',
                _ => b.is_ascii_digit(),
            })
        && is_offset(text[19..].trim_start_matches(|c: char| c == '.' || c.is_ascii_digit()));
    if !shape {
        return TimestampText::Other;
    }
    text.parse()
        .map_or(TimestampText::OutOfRange, TimestampText::At)
}

/// Returns `true` if a text has the form of an offset from UTC.
fn is_offset(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b':');
    match text.strip_prefix(['+', '-']) {
        Some(offset) => !offset.is_empty() && digits(offset),
        None => matches!(text, "Z" | "z"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        for (text, millis) in [
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("1d", 86_400_000),
            ("2w", 1_209_600_000),
            ("250ms", 250),
            ("1m500ms", 60_500),
            ("0s", 0),
            ("PT1H30M", 5_400_000),
            ("P1DT12H", 129_600_000),
            ("P1W", 604_800_000),
            ("PT0.5S", 500),
            ("36500d", 36_500 * 86_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_duration_is_an_error_with_the_reason() {
        const EXAMPLES: &str = "write it like `90s`, `1h30m` or `PT1H30M`";
        for (text, reason) in [
            ("", EXAMPLES),
            ("P", EXAMPLES),
            ("PT", EXAMPLES),
            ("P1DT", EXAMPLES),
            ("soon", EXAMPLES),
            ("-5m", EXAMPLES),
            ("1..5h", EXAMPLES),
            (".5h", EXAMPLES),
            ("1h 30m", EXAMPLES),
            ("0", "write `0s`"),
            ("120", "the number needs a unit: `120s`, `120m` or `120h`"),
            ("1h30", "the number needs a unit: `30s`, `30m` or `30h`"),
            ("30m1h", "give each unit at most once, the largest first"),
            ("1h1h", "give each unit at most once, the largest first"),
            ("3 days", EXAMPLES),
            ("3days", "the units are `w`, `d`, `h`, `m`, `s` and `ms`"),
            ("P1M", "years and months have no fixed length; use days"),
            ("P1Y2D", "years and months have no fixed length; use days"),
            ("2y", "years and months have no fixed length; use days"),
            ("36501d", "the maximum is 36500 days"),
            (
                "99999999999999999999999999999999999999999w",
                "the maximum is 36500 days",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), reason, "{text}");
        }
    }

    #[test]
    fn a_shown_duration_reads_back() {
        for millis in [0, 1, 250, 1000, 61_000, 5_400_000, 90_061_007] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse(&show(duration)), Ok(duration), "{}", show(duration));
        }
    }

    #[test]
    fn no_part_of_a_duration_is_left_out() {
        for (nanos, text) in [
            (0, "0s"),
            (5_400_000_000_000, "1h30m"),
            (86_400_500_000_000, "1d500ms"),
            (1_000_002_003, "1s2us3ns"),
        ] {
            assert_eq!(show(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn timestamps_need_a_date_a_time_and_an_offset() {
        for good in [
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.5+02:00",
            "1970-01-01T00:00:00Z",
            "1969-12-31t23:59:59z",
            LAST_TIMESTAMP,
        ] {
            assert!(matches!(timestamp(good), TimestampText::At(_)), "{good}");
        }
        for bad in [
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00:00+01:00[Europe/Berlin]",
            "20260101T000000Z",
            "2026-01-01T00:00:00ä",
            "2026-01-01T00:00:00Z is when it began",
        ] {
            assert_eq!(timestamp(bad), TimestampText::Other, "{bad}");
        }
        for impossible in [
            "2026-02-30T00:00:00Z",
            "2026-01-01T25:00:00Z",
            "2026-01-01T00:00:00+99:00",
            "9999-12-31T23:59:59Z",
        ] {
            let read = timestamp(impossible);
            assert_eq!(read, TimestampText::OutOfRange, "{impossible}");
        }
    }
}
