//! Intervals, and durations in the server's text form.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::TimesError;

/// An interval that fires at every `phase + n * every` since the Unix epoch, in any time zone.
///
/// Both are whole seconds: the server validates fractions and then ignores them. The text
/// of an interval is the server's own form, `6h/15m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Interval {
    /// Period of the interval, at least a second.
    pub every: Duration,
    /// Offset within the period.
    pub phase: Duration,
}

impl Interval {
    /// The interval that the server makes of a period and an offset. The error says why the
    /// server refuses them.
    pub fn new(every: Duration, phase: Duration) -> Result<Self, TimesError> {
        if every < Duration::from_secs(1) {
            return Err(TimesError::new(format!(
                "interval {} is shorter than a second",
                Go(every)
            )));
        }
        if phase >= every {
            return Err(TimesError::new(format!(
                "offset {} is not within its interval {}",
                Go(phase),
                Go(every)
            ))
            .hint("an offset must be shorter than its interval"));
        }
        Ok(Self::read(every, phase))
    }

    /// The interval that the server reads in a live schedule's values.
    pub fn read(every: Duration, phase: Duration) -> Self {
        let every = every.as_secs().max(1);
        Self {
            every: Duration::from_secs(every),
            phase: Duration::from_secs(phase.as_secs() % every),
        }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Go(self.every))?;
        if self.phase.is_zero() {
            Ok(())
        } else {
            write!(f, "/{}", Go(self.phase))
        }
    }
}

impl From<Interval> for String {
    fn from(interval: Interval) -> Self {
        interval.to_string()
    }
}

impl FromStr for Interval {
    type Err = TimesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (every, phase) = text.split_once('/').unwrap_or((text, ""));
        let phase = if phase.is_empty() {
            Duration::ZERO
        } else {
            go_duration(phase).map_err(|error| error.shifted(every.chars().count() + 1))?
        };
        Self::new(go_duration(every)?, phase)
    }
}

impl TryFrom<String> for Interval {
    type Error = TimesError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A duration as people write it: `1h30m`, without parts that are zero.
pub(super) struct Go(pub(super) Duration);

impl fmt::Display for Go {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), self.0.subsec_nanos());
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        if nanos > 0 {
            let fraction = format!("{nanos:09}");
            write!(f, "{seconds}.{}s", fraction.trim_end_matches('0'))
        } else if seconds > 0 || self.0.as_secs() == 0 {
            write!(f, "{seconds}s")
        } else {
            Ok(())
        }
    }
}

/// Units of a duration in nanoseconds. The unit `d` exists only on the server, not in Go.
const UNITS: [(&str, f64); 9] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 6e10),
    ("h", 3.6e12),
    ("d", 8.64e13),
];

/// Reads a duration as the server does: Go's form, and `d` for 24 hours. A negative duration
/// is an error here, since no interval may be negative.
pub(super) fn go_duration(text: &str) -> Result<Duration, TimesError> {
    const HINT: &str = "write a duration such as 90s, 10m or 1h30m";
    let refuse = |at: usize| {
        TimesError::new(format!("`{text}` is not a duration"))
            .hint(HINT)
            .at(at)
    };
    let (negative, unsigned) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if unsigned.is_empty() {
        return Err(refuse(0));
    }
    let mut total: u128 = 0;
    let mut rest = if unsigned == "0" { "" } else { unsigned };
    while !rest.is_empty() {
        let at = || text.chars().count() - rest.chars().count();
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(|| refuse(at()))?;
        let (number, tail) = rest.split_at(digits);
        let unit_len = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_len);
        total += nanoseconds(number, unit).ok_or_else(|| refuse(at()))?;
        rest = next;
    }
    if negative && total > 0 {
        return Err(TimesError::new(format!("duration {text} is negative")).at(0));
    }
    match u64::try_from(total)
        .ok()
        .filter(|nanos| i64::try_from(*nanos).is_ok())
    {
        Some(nanos) => Ok(Duration::from_nanos(nanos)),
        None => Err(TimesError::new(format!("duration {text} is too long"))
            .hint("the maximum is 292 years")
            .at(0)),
    }
}

fn nanoseconds(number: &str, unit: &str) -> Option<u128> {
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "unit sizes are whole, and a fraction of one is smaller than it"
    )]
    let (whole, fraction) = {
        let fraction: f64 = if fraction.is_empty() {
            0.0
        } else {
            format!("0.{fraction}").parse().ok()?
        };
        (
            u128::from(whole) * (*scale as u128),
            (fraction * scale) as u128,
        )
    };
    Some(whole + fraction)
}

/// The next time of an interval. An interval has no last time.
pub(super) fn next_interval(interval: &Interval, after: i64) -> i64 {
    let (every, phase) = seconds_of(interval);
    // The division rounds towards zero as on the server: before its first time, an
    // interval skips to the time after it.
    ((after - phase) / every + 1) * every + phase
}

/// Returns the period and the offset of an interval. Both are limited so that sums of them
/// cannot overflow; the limit is far beyond the last year.
pub(super) fn seconds_of(interval: &Interval) -> (i64, i64) {
    const LONGEST: i64 = i64::MAX / 4;
    let seconds = |duration: Duration| {
        i64::try_from(duration.as_secs()).map_or(LONGEST, |seconds| seconds.min(LONGEST))
    };
    (seconds(interval.every).max(1), seconds(interval.phase))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_those_of_go_and_days() {
        let nanos = |text| go_duration(text).ok().map(|duration| duration.as_nanos());
        for (text, expected) in [
            ("90s", 90_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5d", 129_600_000_000_000),
            (".5h", 1_800_000_000_000),
            ("5.s", 5_000_000_000),
            ("+2ms3us4ns", 2_003_004),
            ("0", 0),
            ("-0s", 0),
            ("1µs", 1000),
        ] {
            assert_eq!(nanos(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "5x",
            ".s",
            "1..5s",
            "-5m",
            " 5m",
            "5 m",
            "1e3s",
            "5mm",
            "300000h0.1x",
            "3000000h",
        ] {
            assert_eq!(nanos(text), None, "{text}");
        }
    }

    #[test]
    fn fractions_of_a_second_are_validated_and_dropped() {
        let new = |every, phase| {
            Interval::new(Duration::from_millis(every), Duration::from_millis(phase))
                .map(|interval| interval.to_string())
                .map_err(|error| error.message)
        };
        assert_eq!(new(1500, 1400), Ok("1s".to_owned()));
        assert_eq!(new(3_600_000, 900_999), Ok("1h/15m".to_owned()));
        insta::assert_snapshot!(new(999, 0).unwrap_err(), @"interval 0.999s is shorter than a second");
        insta::assert_snapshot!(new(90_000, 90_000).unwrap_err(), @"offset 1m30s is not within its interval 1m30s");
    }

    proptest! {
        #[test]
        fn the_text_describes_the_whole_spec(every in 1_u64..10_000_000, phase in 0_u64..10_000_000) {
            let seconds = Duration::from_secs;
            let interval = Interval::new(seconds(every), seconds(phase % every)).unwrap();
            prop_assert_eq!(interval.to_string().parse::<Interval>().unwrap(), interval);
            let json = serde_json::to_string(&interval).unwrap();
            prop_assert_eq!(serde_json::from_str::<Interval>(&json).unwrap(), interval);
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.a-zµ]{0,30}") {
            if let Ok(duration) = go_duration(&text) {
                prop_assert!(i64::try_from(duration.as_nanos()).is_ok());
            }
        }
    }
}
