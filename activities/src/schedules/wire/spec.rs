//! The spec of a schedule.

use std::time::Duration;

use almanac_times::{Calendar, CalendarRanges, Interval, Range as ValueRange, Spec, UTC};
use jiff::Timestamp;
use temporalio_common::protos::temporal::api::schedule::v1::{
    IntervalSpec, Range, ScheduleSpec, StructuredCalendarSpec,
};

/// Encodes a spec in the form of a request.
pub fn encode_spec(spec: &Spec) -> ScheduleSpec {
    ScheduleSpec {
        structured_calendar: spec.calendars.iter().map(encode_calendar).collect(),
        interval: spec.intervals.iter().map(encode_interval).collect(),
        exclude_structured_calendar: spec.exclude.iter().map(encode_calendar).collect(),
        start_time: spec.start_at.map(encode_time),
        end_time: spec.end_at.map(encode_time),
        jitter: Some(encode_duration(spec.jitter)),
        timezone_name: spec.timezone.clone(),
        ..ScheduleSpec::default()
    }
}

/// Decodes a spec in the server's form. The server has rewritten cron strings
/// and calendars to structured calendars.
pub fn decode_spec(spec: &ScheduleSpec) -> Spec {
    Spec {
        calendars: spec
            .structured_calendar
            .iter()
            .map(decode_calendar)
            .collect(),
        intervals: spec.interval.iter().map(decode_interval).collect(),
        exclude: spec
            .exclude_structured_calendar
            .iter()
            .map(decode_calendar)
            .collect(),
        timezone: match spec.timezone_name.as_str() {
            "" => UTC.to_owned(),
            name => name.to_owned(),
        },
        start_at: spec.start_time.as_ref().map(decode_bound),
        end_at: spec.end_time.as_ref().map(decode_bound),
        jitter: spec
            .jitter
            .as_ref()
            .map(decode_duration)
            .unwrap_or_default(),
    }
}

fn encode_calendar(calendar: &Calendar) -> StructuredCalendarSpec {
    let ranges = calendar.ranges();
    StructuredCalendarSpec {
        second: encode_ranges(&ranges.second),
        minute: encode_ranges(&ranges.minute),
        hour: encode_ranges(&ranges.hour),
        day_of_month: encode_ranges(&ranges.day_of_month),
        month: encode_ranges(&ranges.month),
        year: encode_ranges(&ranges.year),
        day_of_week: encode_ranges(&ranges.day_of_week),
        comment: String::new(),
    }
}

pub(super) fn decode_calendar(calendar: &StructuredCalendarSpec) -> Calendar {
    Calendar::from_ranges(&CalendarRanges {
        second: decode_ranges(&calendar.second),
        minute: decode_ranges(&calendar.minute),
        hour: decode_ranges(&calendar.hour),
        day_of_month: decode_ranges(&calendar.day_of_month),
        month: decode_ranges(&calendar.month),
        year: decode_ranges(&calendar.year),
        day_of_week: decode_ranges(&calendar.day_of_week),
    })
}

fn encode_ranges(ranges: &[ValueRange]) -> Vec<Range> {
    ranges
        .iter()
        .map(|range| Range {
            start: range.start,
            end: range.end,
            step: range.step,
        })
        .collect()
}

fn decode_ranges(ranges: &[Range]) -> Vec<ValueRange> {
    ranges
        .iter()
        .map(|range| ValueRange {
            start: range.start,
            end: range.end,
            step: range.step,
        })
        .collect()
}

fn encode_interval(interval: &Interval) -> IntervalSpec {
    IntervalSpec {
        interval: Some(encode_duration(interval.every)),
        phase: Some(encode_duration(interval.phase)),
    }
}

fn decode_interval(interval: &IntervalSpec) -> Interval {
    Interval::read(
        interval
            .interval
            .as_ref()
            .map(decode_duration)
            .unwrap_or_default(),
        interval
            .phase
            .as_ref()
            .map(decode_duration)
            .unwrap_or_default(),
    )
}

/// Encodes a duration. A duration beyond the message's range becomes the
/// longest one.
pub(super) fn encode_duration(duration: Duration) -> prost_types::Duration {
    duration.try_into().unwrap_or(prost_types::Duration {
        seconds: i64::MAX,
        nanos: 0,
    })
}

/// Decodes a duration. A negative duration becomes zero. The conversion of the
/// message type itself overflows at the ends of its range.
pub(super) fn decode_duration(duration: &prost_types::Duration) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    let nanos = i128::from(duration.seconds) * 1_000_000_000 + i128::from(duration.nanos);
    let nanos = u128::try_from(nanos).unwrap_or_default();
    let seconds = u64::try_from(nanos / SECOND).unwrap_or(u64::MAX);
    Duration::new(seconds, u32::try_from(nanos % SECOND).unwrap_or_default())
}

/// Returns `true` if a duration can be decoded and encoded without a change.
/// `None` can.
pub(crate) fn holds_duration(duration: Option<&prost_types::Duration>) -> bool {
    duration.is_none_or(|duration| encode_duration(decode_duration(duration)) == *duration)
}

pub(crate) fn encode_time(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

/// Decodes a bound of a spec. A bound out of range becomes the nearest possible
/// time, so that it still differs from a bound that is left out.
fn decode_bound(time: &prost_types::Timestamp) -> Timestamp {
    decode_time(time).unwrap_or(if time.seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// Decodes a time; `None` if it is out of range.
pub(crate) fn decode_time(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use almanac_times::Rest;

    use super::*;

    /// Numbers at the edges of what a message holds, and usual ones.
    fn number() -> impl Strategy<Value = i64> {
        prop_oneof![
            Just(0),
            Just(i64::MIN),
            Just(i64::MAX),
            Just(253_402_300_799),
            Just(-62_135_596_801),
            -100_000_i64..100_000,
            any::<i64>(),
        ]
    }

    fn small() -> impl Strategy<Value = i32> {
        prop_oneof![Just(i32::MIN), Just(i32::MAX), -3_i32..70, any::<i32>()]
    }

    fn time() -> impl Strategy<Value = prost_types::Timestamp> {
        (number(), small()).prop_map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos })
    }

    fn duration() -> impl Strategy<Value = prost_types::Duration> {
        (number(), small()).prop_map(|(seconds, nanos)| prost_types::Duration { seconds, nanos })
    }

    fn ranges() -> impl Strategy<Value = Vec<Range>> {
        let range = (small(), small(), small());
        let range = range.prop_map(|(start, end, step)| Range { start, end, step });
        proptest::collection::vec(range, 0..3)
    }

    fn calendar() -> impl Strategy<Value = StructuredCalendarSpec> {
        (ranges(), ranges(), ranges(), ranges(), ranges()).prop_map(
            |(second, minute, hour, month, year)| StructuredCalendarSpec {
                second,
                minute,
                hour,
                day_of_month: vec![Range {
                    start: 1,
                    end: 31,
                    step: 1,
                }],
                month,
                year,
                day_of_week: vec![Range {
                    start: 0,
                    end: 6,
                    step: 1,
                }],
                comment: String::new(),
            },
        )
    }

    fn spec() -> impl Strategy<Value = ScheduleSpec> {
        let interval = (
            proptest::option::of(duration()),
            proptest::option::of(duration()),
        );
        let interval = interval.prop_map(|(interval, phase)| IntervalSpec { interval, phase });
        (
            proptest::collection::vec(calendar(), 0..3),
            proptest::collection::vec(interval, 0..3),
            proptest::option::of(time()),
            proptest::option::of(time()),
            proptest::option::of(duration()),
            "[A-Za-z/]{0,12}",
        )
            .prop_map(
                |(structured_calendar, interval, start_time, end_time, jitter, timezone_name)| {
                    ScheduleSpec {
                        structured_calendar,
                        interval,
                        start_time,
                        end_time,
                        jitter,
                        timezone_name,
                        ..ScheduleSpec::default()
                    }
                },
            )
    }

    proptest! {
        #[test]
        fn any_message_can_be_read_shown_and_computed(message in spec()) {
            let mut spec = decode_spec(&message);
            prop_assert_eq!(message.start_time.is_some(), spec.start_at.is_some());
            prop_assert_eq!(message.end_time.is_some(), spec.end_at.is_some());
            for calendar in &spec.calendars {
                prop_assert!(!calendar.to_string().is_empty());
            }
            for interval in &spec.intervals {
                prop_assert!(!interval.to_string().is_empty());
            }
            let now = Timestamp::UNIX_EPOCH;
            spec.timezone = UTC.to_owned();
            let found = spec.fire_times(now, 1);
            prop_assert!(found.rest != Rest::More || found.times.len() == 1);
            spec.is_late(now, now);
            spec.overdue(now, now);
            // What is written back is a message again.
            prop_assert_eq!(encode_spec(&spec).interval.len(), spec.intervals.len());
        }
    }
}
