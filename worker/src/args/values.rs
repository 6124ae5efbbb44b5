//! Values of flags.

use std::str::FromStr as _;
use std::time::Duration;

use jiff::SignedDuration;

/// A length of time that is not negative.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let good = "write it like 500ms, 30s, 5m, 1h30m";
    let signed = SignedDuration::from_str(text).map_err(|error| format!("{error}; {good}"))?;
    Duration::try_from(signed).map_err(|_| format!("`{text}` is negative; {good}"))
}

/// A length of time of a second or more.
pub(super) fn at_least_a_second(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|value| {
        if value < Duration::from_secs(1) {
            Err(format!("`{text}` is shorter than 1s"))
        } else {
            Ok(value)
        }
    })
}

/// A rate above 0.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        Ok(_) => Err(format!("`{text}` is not above 0")),
        Err(error) => Err(error.to_string()),
    }
}
