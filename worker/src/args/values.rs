//! Parsers of the flags' values.

use std::num::ParseFloatError;
use std::time::Duration;

use almanac_activities::schedules::view::ScheduleState;
use almanac_base::duration::{DurationError, parse as parse_duration};
use axum::http::Uri;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Reason why a flag's value is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ValueError {
    /// The value is not a duration.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// The duration is too short.
    #[error("`{0}` is shorter than 1s")]
    TooShort(String),
    /// The value is no interval between two pages.
    #[error("`{0}` is not a number of seconds from 1 to 3600")]
    WatchInterval(String),
    /// The value is not a number.
    #[error(transparent)]
    Number(#[from] ParseFloatError),
    /// The value is not the address of a web page.
    #[error("`{0}` is not an address that begins with http:// or https://")]
    WebAddress(String),
    /// The value cannot name a worker deployment or one of its versions.
    #[error("`{text}` is not a {what}; use 1 to 200 of the characters A-Z a-z 0-9 {others}")]
    DeploymentText {
        /// The value.
        text: String,
        /// The thing that the value should name.
        what: &'static str,
        /// The characters that are allowed beside letters and digits.
        others: &'static str,
    },
    /// The number is too small, or not finite.
    #[error("`{0}` is not above 0")]
    NotPositive(String),
}

/// Parses a duration as definitions write it.
pub(super) fn duration(text: &str) -> Result<Duration, ValueError> {
    Ok(parse_duration(text)?)
}

/// Parses a duration of at least one second.
pub(super) fn at_least_a_second(text: &str) -> Result<Duration, ValueError> {
    let value = duration(text)?;
    if value < Duration::from_secs(1) {
        return Err(ValueError::TooShort(text.to_owned()));
    }
    Ok(value)
}

/// Parses the seconds between two pages of `--watch`.
pub(super) fn watch_interval(text: &str) -> Result<Duration, ValueError> {
    match text.parse::<u32>() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds.into())),
        _ => Err(ValueError::WatchInterval(text.to_owned())),
    }
}

/// Parses the name of a worker deployment. The server refuses `.`, `:` and a leading `__`.
pub(super) fn deployment_name(text: &str) -> Result<String, ValueError> {
    deployment_text(text, "name of a worker deployment", "- _ /")
}

/// Parses a build ID of a version of a worker deployment.
pub(super) fn build_id(text: &str) -> Result<String, ValueError> {
    deployment_text(text, "build ID", "- _ / . +")
}

/// Checks a text that appears in commands, without quotes.
fn deployment_text(
    text: &str,
    what: &'static str,
    others: &'static str,
) -> Result<String, ValueError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || (c != ' ' && others.contains(c));
    let is_good = (1..=200).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(is_allowed);
    if is_good {
        return Ok(text.to_owned());
    }
    Err(ValueError::DeploymentText {
        text: text.to_owned(),
        what,
        others,
    })
}

/// Parses the address of a web page, and removes a final slash.
pub(super) fn web_address(text: &str) -> Result<String, ValueError> {
    let bad = || ValueError::WebAddress(text.to_owned());
    let address: Uri = text.parse().map_err(|_| bad())?;
    let is_web = matches!(address.scheme_str(), Some("http" | "https"));
    let has_more = address.query().is_some() || text.contains(['@', '#']);
    if !is_web || address.host().is_none() || has_more {
        return Err(bad());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The parser of a state's name.
pub(super) fn schedule_state() -> impl TypedValueParser<Value = ScheduleState> {
    PossibleValuesParser::new(ScheduleState::ALL.map(ScheduleState::as_str)).try_map(|name| {
        let mut all = ScheduleState::ALL.into_iter();
        all.find(|state| state.as_str() == name)
            .ok_or("not a state")
    })
}

/// Parses a rate above 0.
pub(super) fn rate(text: &str) -> Result<f64, ValueError> {
    let rate: f64 = text.parse()?;
    if rate.is_finite() && rate > 0.0 {
        Ok(rate)
    } else {
        Err(ValueError::NotPositive(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_definitions() {
        for text in [
            "2d", "1w2d", "1h30m", "1.5h", "500ms", "PT30S", "P2D", "0s", "36500d", "90", "1h 30m",
            "2 days", "-5m", "P1M", "36501d", "",
        ] {
            let parsed = parse_duration(text).map_err(ValueError::from);
            assert_eq!(duration(text), parsed, "{text}");
        }
        assert_eq!(duration("2d"), Ok(Duration::from_hours(48)));
        assert_eq!(
            duration("90").unwrap_err().to_string(),
            "the number needs a unit: `90s`, `90m` or `90h`"
        );
        assert_eq!(
            at_least_a_second("0.5s").unwrap_err().to_string(),
            "`0.5s` is shorter than 1s"
        );
    }

    #[test]
    fn numbers_out_of_their_range_are_refused_with_their_text() {
        let interval = |text| watch_interval(text).map_err(|error| error.to_string());
        assert_eq!(interval("3600"), Ok(Duration::from_hours(1)));
        for text in ["0", "3601", "-1", "2s"] {
            let message = format!("`{text}` is not a number of seconds from 1 to 3600");
            assert_eq!(interval(text), Err(message));
        }
        let rate = |text| rate(text).map_err(|error| error.to_string());
        assert_eq!(rate("0.5"), Ok(0.5));
        for text in ["0", "-1", "inf", "NaN"] {
            assert_eq!(rate(text), Err(format!("`{text}` is not above 0")));
        }
        assert_eq!(rate("x"), Err("invalid float literal".to_owned()));
    }
}
