//! Times and durations as commands and pages show them, to the second.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// A time in UTC, such as `2026-03-02 01:30:00Z`.
pub(crate) fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A time in a schedule's own time zone, with its offset, and in UTC.
pub(crate) fn in_zone(time: Timestamp, timezone: &str) -> String {
    let zone = TimeZone::get(timezone).unwrap_or(TimeZone::UTC);
    let here = time.to_zoned(zone);
    if timezone == "UTC" {
        here.strftime("%a %Y-%m-%d %H:%M:%S UTC").to_string()
    } else {
        let utc = time.strftime("%Y-%m-%d %H:%M:%S UTC");
        format!("{}  ({utc})", here.strftime("%a %Y-%m-%d %H:%M:%S %:z"))
    }
}

/// A duration in its greatest units, such as `4m 12s` for two units or `4m` for one. A duration
/// of less than a second is `0s`.
pub(crate) fn span(duration: Duration, units: usize) -> String {
    let mut rest = duration.as_secs();
    let mut parts = Vec::new();
    let mut room = 0;
    for (unit, seconds) in UNITS {
        let count = rest / seconds;
        rest %= seconds;
        if room == 0 && count > 0 {
            room = units;
        }
        if room > 0 {
            room -= 1;
            if count > 0 {
                parts.push(format!("{count}{unit}"));
            }
            if room == 0 {
                break;
            }
        }
    }
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

/// The time since `start`, in one unit.
pub(crate) fn span_between(start: Timestamp, end: Timestamp) -> String {
    let passed = Duration::try_from(end.duration_since(start));
    span(passed.unwrap_or_default(), 1)
}

/// A coming time, such as `in 4m 12s`; `now` if it has come.
pub(crate) fn coming_at(time: Timestamp, now: Timestamp) -> String {
    coming(time.duration_since(now).try_into().unwrap_or_default())
}

/// The time until something comes, such as `in 4m 12s`; `now` if it is less than a second.
pub(crate) fn coming(rest: Duration) -> String {
    if rest >= Duration::from_secs(1) {
        format!("in {}", span(rest, 2))
    } else {
        "now".to_owned()
    }
}

/// A past time, such as `4m ago`; `now` if it has not passed for a second.
pub(crate) fn ago(time: Timestamp, now: Timestamp) -> String {
    match Duration::try_from(now.duration_since(time)) {
        Ok(rest) if rest >= Duration::from_secs(1) => format!("{} ago", span(rest, 1)),
        _ => "now".to_owned(),
    }
}

/// The time between two times, in milliseconds if it is short.
pub(crate) fn precise(start: Timestamp, end: Timestamp) -> String {
    let passed = Duration::try_from(end.duration_since(start)).unwrap_or_default();
    if passed < Duration::from_secs(1) {
        format!("{}ms", passed.as_millis())
    } else {
        span(passed, 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_its_greatest_units() {
        for (seconds, two, one) in [
            (0, "0s", "0s"),
            (59, "59s", "59s"),
            (252, "4m 12s", "4m"),
            (3_600, "1h", "1h"),
            (3_605, "1h", "1h"),
            (3_660, "1h 1m", "1h"),
            (200_000, "2d 7h", "2d"),
            (86_400 * 400, "400d", "400d"),
        ] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(span(duration, 2), two);
            assert_eq!(span(duration, 1), one);
        }
        assert_eq!(span(Duration::from_millis(999), 2), "0s");
    }

    #[test]
    fn times_are_relative_to_now() {
        let now: Timestamp = "2026-03-02T12:00:00.5Z".parse().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(coming_at(at("2026-03-02T12:04:12.9Z"), now), "in 4m 12s");
        assert_eq!(coming_at(at("2026-03-02T12:00:00.9Z"), now), "now");
        assert_eq!(coming_at(at("2026-03-02T11:00:00Z"), now), "now");
        assert_eq!(ago(at("2026-03-02T11:57:00Z"), now), "3m ago");
        assert_eq!(ago(at("2026-03-02T12:00:01Z"), now), "now");
        assert_eq!(utc(now), "2026-03-02 12:00:00Z");
    }

    #[test]
    fn times_are_shown_in_their_zone_and_in_utc() {
        let time: Timestamp = "2026-07-01T00:30:00Z".parse().unwrap();
        assert_eq!(in_zone(time, "UTC"), "Wed 2026-07-01 00:30:00 UTC");
        assert_eq!(
            in_zone(time, "Europe/Berlin"),
            "Wed 2026-07-01 02:30:00 +02:00  (2026-07-01 00:30:00 UTC)"
        );
    }
}
