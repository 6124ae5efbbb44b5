//! Parsers of the flags' values.

use std::time::Duration;

use almanac_activities::schedules::view::ScheduleState;
use almanac_base::duration::parse as parse_duration;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Parses a duration as definitions write it.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

/// Parses a duration of at least one second.
pub(super) fn at_least_a_second(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|value| {
        if value < Duration::from_secs(1) {
            Err(format!("`{text}` is shorter than 1s"))
        } else {
            Ok(value)
        }
    })
}

/// Parses the seconds between two pages of `--watch`.
pub(super) fn watch_interval(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(seconds @ 1..=3600) => Ok(Duration::from_secs(seconds.into())),
        _ => Err(format!(
            "`{text}` is not a number of seconds from 1 to 3600"
        )),
    }
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
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        Ok(_) => Err(format!("`{text}` is not above 0")),
        Err(error) => Err(error.to_string()),
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
            let parsed = parse_duration(text).map_err(|error| error.to_string());
            assert_eq!(duration(text), parsed, "{text}");
        }
        assert_eq!(duration("2d"), Ok(Duration::from_hours(48)));
        assert_eq!(
            duration("90").unwrap_err(),
            "the number needs a unit: `90s`, `90m` or `90h`"
        );
        assert_eq!(
            at_least_a_second("0.5s").unwrap_err(),
            "`0.5s` is shorter than 1s"
        );
    }
}
