//! Times as pages show them: relative to now, and in the zone of a schedule.
//!
//! The script keeps relative times current and adds the viewer's own zone; a page without
//! the script shows them as of the time at which it was made.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use maud::{Markup, html};

use crate::time_text::{ago, coming_at};

/// The present time, as a page uses it throughout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) now: Timestamp,
}

impl Times {
    /// The present time.
    pub(super) fn now() -> Self {
        Self {
            now: Timestamp::now(),
        }
    }

    /// A past time, such as `4m ago`.
    pub(super) fn ago(&self, time: Timestamp) -> String {
        ago(time, self.now)
    }

    /// A time with as much of its date as it needs: `03:05`, `Mon 02:30`, `1 Jan 00:10` or
    /// `1 Jan 2027 00:10`.
    pub(super) fn short(&self, time: Timestamp, timezone: &str) -> String {
        let zone = zone(timezone);
        let (there, today) = (time.to_zoned(zone.clone()), self.now.to_zoned(zone));
        let days = there.date().duration_since(today.date()).as_hours() / 24;
        let form = if days == 0 {
            "%H:%M"
        } else if days.abs() < 7 {
            "%a %H:%M"
        } else if there.year() == today.year() {
            "%-d %b %H:%M"
        } else {
            "%-d %b %Y %H:%M"
        };
        there.strftime(form).to_string()
    }

    /// A time to the second, with as much of its date as it needs, with all of it in the title.
    pub(super) fn exact(&self, time: Timestamp, timezone: &str) -> Markup {
        let seconds = time.to_zoned(zone(timezone)).strftime(":%S");
        html! {
            time datetime=(time) title=(Self::full(time, timezone)) {
                (self.short(time, timezone)) (seconds)
            }
        }
    }

    /// A time of day to the second in UTC, with all of it in the title.
    pub(super) fn clock(time: Timestamp) -> Markup {
        html! {
            time datetime=(time) title=(Self::full(time, "UTC")) { (time.strftime("%H:%M:%S")) }
        }
    }

    /// A time with its date, its seconds and its zone, and in UTC.
    pub(super) fn full(time: Timestamp, timezone: &str) -> String {
        let there = time.to_zoned(zone(timezone));
        let utc = time.strftime("%H:%M:%S UTC");
        if timezone == "UTC" {
            there.strftime("%a %-d %b %Y %H:%M:%S UTC").to_string()
        } else {
            let there = there.strftime("%a %-d %b %Y %H:%M:%S %Z");
            format!("{there} ({timezone}) · {utc}")
        }
    }

    /// A time relative to now, such as `in 4m 12s` or `4m ago`, with all of it in the title.
    pub(super) fn relative(&self, time: Timestamp, timezone: &str) -> Markup {
        let text = if time > self.now {
            coming_at(time, self.now)
        } else {
            ago(time, self.now)
        };
        html! {
            time datetime=(time) title=(Self::full(time, timezone)) data-relative { (text) }
        }
    }

    /// A time of day or a date in a schedule's zone, with all of it in the title.
    pub(super) fn absolute(&self, time: Timestamp, timezone: &str) -> Markup {
        html! {
            time datetime=(time) title=(Self::full(time, timezone)) {
                (self.short(time, timezone))
            }
        }
    }
}

fn zone(timezone: &str) -> TimeZone {
    TimeZone::get(timezone).unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_as_much_of_its_date_as_it_needs() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let times = Times {
            now: at("2026-10-25T02:04:00Z"),
        };
        for (time, zone, expected) in [
            ("2026-10-25T01:30:00Z", "Europe/Berlin", "02:30"),
            ("2026-10-26T01:30:00Z", "Europe/Berlin", "Mon 02:30"),
            ("2026-10-24T23:30:00Z", "UTC", "Sat 23:30"),
            ("2026-12-31T23:10:00Z", "Europe/Berlin", "1 Jan 2027 00:10"),
            ("2026-11-09T23:10:00Z", "UTC", "9 Nov 23:10"),
            ("2026-10-25T01:30:00Z", "Nowhere/None", "01:30"),
        ] {
            assert_eq!(times.short(at(time), zone), expected, "{time} {zone}");
        }
        assert_eq!(
            Times::full(at("2026-10-25T01:30:00Z"), "Europe/Berlin"),
            "Sun 25 Oct 2026 02:30:00 CET (Europe/Berlin) · 01:30:00 UTC"
        );
        assert_eq!(
            Times::full(at("2026-10-25T01:30:00Z"), "UTC"),
            "Sun 25 Oct 2026 01:30:00 UTC"
        );
    }
}
