//! Moments as people write them: with an offset, or as local time in the schedule's zone.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Disambiguation;
use serde::{Deserialize, Serialize};

use super::zone;

almanac_base::message_error! {
    /// A text that is no moment, or a local time that is no instant in a time zone.
    pub WhenError
}

/// A moment as written. A local one becomes an instant by a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum When {
    /// A timestamp in the form of RFC 3339, with its offset.
    Instant(Timestamp),
    /// A date, or a date and a time, without an offset.
    Local(DateTime),
}

impl When {
    /// Returns the instant. A local time is read in `timezone`. If the local time does not exist
    /// there, the result is as late as it would be without the gap. If it exists twice, the
    /// result is the first one.
    pub fn resolve(self, timezone: &str) -> Result<Timestamp, WhenError> {
        let local = match self {
            Self::Instant(at) => return Ok(at),
            Self::Local(local) => local,
        };
        let zone = zone::find(timezone).ok_or_else(|| format!("unknown time zone `{timezone}`"))?;
        zone.into_ambiguous_zoned(local)
            .disambiguate(Disambiguation::Compatible)
            .map(|zoned| zoned.timestamp())
            .map_err(|error| error.to_string().into())
    }
}

impl FromStr for When {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, WhenError> {
        let instant = text.parse().map(Self::Instant);
        instant
            .or_else(|_| text.parse().map(Self::Local))
            .map_err(|_| {
                format!(
                    "`{text}` is not a time; hint: write 2026-01-31T06:00:00Z, or 2026-01-31T06:00 \
                     in the schedule's zone"
                )
                .into()
            })
    }
}

impl TryFrom<String> for When {
    type Error = WhenError;

    fn try_from(text: String) -> Result<Self, WhenError> {
        text.parse()
    }
}

impl From<When> for String {
    fn from(when: When) -> Self {
        when.to_string()
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instant(at) => at.fmt(f),
            Self::Local(local) => local.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str, zone: &str) -> String {
        let when: When = text.parse().unwrap();
        when.resolve(zone).unwrap().to_string()
    }

    #[test]
    fn a_local_time_is_that_of_the_zone() {
        assert_eq!(
            resolved("2026-01-31T06:00:00Z", "Asia/Tokyo"),
            "2026-01-31T06:00:00Z"
        );
        assert_eq!(
            resolved("2026-01-31T06:00:00+02:00", "UTC"),
            "2026-01-31T04:00:00Z"
        );
        assert_eq!(
            resolved("2026-01-31T06:00", "Europe/Berlin"),
            "2026-01-31T05:00:00Z"
        );
        assert_eq!(
            resolved("2026-07-01", "Europe/Berlin"),
            "2026-06-30T22:00:00Z"
        );
    }

    #[test]
    fn around_a_change_of_the_clock_a_time_is_found() {
        assert_eq!(
            resolved("2026-03-29T02:30", "Europe/Berlin"),
            "2026-03-29T01:30:00Z"
        );
        assert_eq!(
            resolved("2026-10-25T02:30", "Europe/Berlin"),
            "2026-10-25T00:30:00Z"
        );
    }

    #[test]
    fn text_that_is_not_a_time_is_refused() {
        for text in ["", "tomorrow", "2026-13-01", "06:00"] {
            let error = text.parse::<When>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{text}` is not a time")),
                "{error}"
            );
        }
        let local: When = "2026-01-01".parse().unwrap();
        assert!(local.resolve("Mars/Base").is_err());
    }
}
