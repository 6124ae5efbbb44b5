//! The time axis: the places of times in percent, its labels and its lines.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _, Zoned};
use maud::{Markup, html};

use super::zone;

/// Maximum number of labels.
const LABELS: i64 = 26;
/// Distances of labels, in minutes.
const STEPS: [i64; 7] = [15, 30, 60, 120, 180, 360, 720];

/// The axis of a window.
pub(super) struct Axis {
    from: Timestamp,
    to: Timestamp,
    now: Timestamp,
    /// Name of the zone.
    pub(super) zone: String,
    timezone: TimeZone,
}

/// A label of the axis.
struct Tick {
    at: Timestamp,
    text: String,
    /// A day begins here.
    is_day: bool,
    /// The clock changed since the label before.
    is_after_change: bool,
}

impl Axis {
    pub(super) fn new(from: Timestamp, to: Timestamp, now: Timestamp, zone_name: &str) -> Self {
        Self {
            from,
            to,
            now,
            zone: zone_name.to_owned(),
            timezone: zone(zone_name),
        }
    }

    /// The place of a time, from 0 to 100; at an end if the time is beyond it.
    pub(super) fn place(&self, time: Timestamp) -> f64 {
        let whole = self.to.duration_since(self.from).as_secs_f64();
        let part = time.duration_since(self.from).as_secs_f64();
        (part / whole * 100.0).clamp(0.0, 100.0)
    }

    /// The place of a time as an attribute.
    pub(super) fn x(&self, time: Timestamp) -> String {
        percent(self.place(time))
    }

    /// The width between two times as an attribute.
    pub(super) fn width(&self, start: Timestamp, end: Timestamp) -> String {
        percent((self.place(end) - self.place(start)).max(0.0))
    }

    fn local(&self, time: Timestamp) -> Zoned {
        time.to_zoned(self.timezone.clone())
    }

    /// A time of the window, with its day if the window has several.
    pub(super) fn short(&self, time: Timestamp) -> String {
        let is_long = self.to.duration_since(self.from) > SignedDuration::from_hours(12);
        let form = if is_long { "%a %H:%M" } else { "%H:%M" };
        self.local(time).strftime(form).to_string()
    }

    /// A time to the second, with its day and zone.
    pub(super) fn exact(&self, time: Timestamp) -> String {
        self.local(time)
            .strftime("%a %-d %b %H:%M:%S %Z")
            .to_string()
    }

    /// The window in words.
    pub(super) fn title(&self) -> String {
        let form = "%A %-d %B %H:%M";
        let (from, to) = (self.local(self.from), self.local(self.to));
        let mut title = format!(
            "{} to {}, {}",
            from.strftime(form),
            to.strftime(form),
            self.zone
        );
        if from.offset() != to.offset() {
            title.push_str(" · the clocks change");
        }
        title
    }

    fn ticks(&self) -> Vec<Tick> {
        let minutes = self.to.duration_since(self.from).as_mins();
        let fits = |step: &&i64| minutes / **step <= LABELS;
        let step = STEPS.iter().find(fits).copied().unwrap_or(1440);
        // Labels are at whole steps of the local day, also on days with a change.
        let Ok(mut day) = self.local(self.from).start_of_day() else {
            return Vec::new();
        };
        let mut ticks: Vec<Tick> = Vec::new();
        while day.timestamp() < self.to {
            let Ok(next_day) = day.tomorrow().and_then(|next| next.start_of_day()) else {
                break;
            };
            let mut at = day.clone();
            while at < next_day {
                if (self.from..self.to).contains(&at.timestamp()) {
                    let is_day = at == day;
                    let before = ticks.last().map(|tick| self.local(tick.at).offset());
                    let form = match (is_day, step >= 60) {
                        (true, _) => "%a %-d",
                        (false, true) => "%H",
                        (false, false) => "%H:%M",
                    };
                    ticks.push(Tick {
                        at: at.timestamp(),
                        text: at.strftime(form).to_string(),
                        is_day,
                        is_after_change: before.is_some_and(|before| before != at.offset()),
                    });
                }
                let Ok(next) = at.checked_add(step.minutes()) else {
                    break;
                };
                at = next;
            }
            day = next_day;
        }
        ticks
    }

    /// Returns `true` if the present is in the window.
    fn has_now(&self) -> bool {
        (self.from..self.to).contains(&self.now)
    }

    /// The labels.
    pub(super) fn labels(&self) -> Markup {
        let now = self.place(self.now);
        html! {
            svg role="img" aria-label={ "Time axis, " (self.title()) } {
                @for tick in self.ticks() {
                    @let place = self.place(tick.at);
                    @if !self.has_now() || (place - now).abs() > 2.8 {
                        text.ax.d[tick.is_day].dst[tick.is_after_change] x=(percent(place)) y="18" { (tick.text) }
                    }
                }
                @if self.has_now() {
                    svg x=(percent(now)) y="0" overflow="visible" {
                        rect.nowflag x="-20" y="5" width="40" height="18" rx="2" {}
                        text.ax.now x="0" y="18" { (self.local(self.now).strftime("%H:%M")) }
                    }
                }
            }
        }
    }

    /// The lines behind the lanes.
    pub(super) fn grid(&self) -> Markup {
        html! {
            svg {
                @if self.now < self.to {
                    rect.fut x=(self.x(self.now)) y="0" width=(self.width(self.now.max(self.from), self.to)) height="100%" {}
                }
                @for tick in self.ticks() {
                    @let x = self.x(tick.at);
                    line.gl.day0[tick.is_day] x1=(x) x2=(x) y1="0" y2="100%" {}
                    @if tick.is_after_change { line.dstline x1=(x) x2=(x) y1="0" y2="100%" {} }
                }
                @if self.has_now() {
                    @let x = self.x(self.now);
                    line.nowline x1=(x) x2=(x) y1="0" y2="100%" {}
                }
            }
        }
    }
}

/// A number of percent as an attribute.
pub(super) fn percent(number: f64) -> String {
    format!("{number:.3}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn axis(from: &str, to: &str) -> Axis {
        Axis::new(
            at(from),
            at(to),
            at("2026-10-25T02:04:00Z"),
            "Europe/Berlin",
        )
    }

    fn texts(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|tick| tick.text).collect()
    }

    #[test]
    fn an_hour_that_comes_twice_has_two_labels() {
        let axis = axis("2026-10-24T22:00:00Z", "2026-10-25T04:00:00Z");
        assert_eq!(
            texts(&axis),
            [
                "Sun 25", "00:15", "00:30", "00:45", "01:00", "01:15", "01:30", "01:45", "02:00",
                "02:15", "02:30", "02:45", "02:00", "02:15", "02:30", "02:45", "03:00", "03:15",
                "03:30", "03:45", "04:00", "04:15", "04:30", "04:45"
            ]
        );
        let changes = axis.ticks().into_iter().filter(|tick| tick.is_after_change);
        let changes: Vec<_> = changes.map(|tick| tick.at).collect();
        assert_eq!(changes, [at("2026-10-25T01:00:00Z")]);
    }

    #[test]
    fn a_week_has_two_labels_a_day() {
        let axis = axis("2026-11-01T12:00:00Z", "2026-11-08T12:00:00Z");
        let texts = texts(&axis);
        assert_eq!(texts.len(), 28.min(texts.len()));
        assert!(texts.contains(&"Mon 2".to_owned()), "{texts:?}");
        assert!(texts.contains(&"12".to_owned()), "{texts:?}");
    }

    #[test]
    fn places_stay_on_the_axis() {
        let axis = axis("2026-10-25T00:00:00Z", "2026-10-25T10:00:00Z");
        assert_eq!(axis.x(at("2026-10-25T05:00:00Z")), "50.000%");
        assert_eq!(axis.x(at("2026-10-24T05:00:00Z")), "0.000%");
        assert_eq!(axis.x(Timestamp::MAX), "100.000%");
        let width = axis.width(at("2026-10-24T05:00:00Z"), at("2026-10-25T01:00:00Z"));
        assert_eq!(width, "10.000%");
        assert_eq!(axis.width(Timestamp::MAX, Timestamp::MIN), "0.000%");
    }
}
