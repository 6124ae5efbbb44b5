//! The spec of a schedule.

use std::time::Duration;

use almanac_workflows::times::{
    Calendar, CalendarRanges, Interval, Range as ValueRange, Spec, UTC,
};
use jiff::Timestamp;
use temporalio_common::protos::temporal::api::schedule::v1::{
    IntervalSpec, Range, ScheduleSpec, StructuredCalendarSpec,
};

/// A spec as a request carries it.
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

/// A spec as the server holds it. The server has rewritten cron strings and
/// calendars to structured ones.
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
        start_at: spec.start_time.as_ref().and_then(decode_time),
        end_at: spec.end_time.as_ref().and_then(decode_time),
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

/// A duration as a message; one beyond the message's range is its longest.
pub(super) fn encode_duration(duration: Duration) -> prost_types::Duration {
    duration.try_into().unwrap_or(prost_types::Duration {
        seconds: i64::MAX,
        nanos: 0,
    })
}

/// A message as a duration; a negative one is none.
pub(super) fn decode_duration(duration: &prost_types::Duration) -> Duration {
    (*duration).try_into().unwrap_or_default()
}

pub(crate) fn encode_time(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

/// A message as a time; `None` where it is out of range.
pub(crate) fn decode_time(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}
