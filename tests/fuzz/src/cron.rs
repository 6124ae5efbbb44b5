//! Target `cron`: a cron string.

use almanac_times::{CompiledCron, Spec, compile_cron};
use jiff::{Timestamp, ToSpan};

/// A moment whose year has a leap day.
const NOW: &str = "2028-02-28T22:59:30Z";
/// Number of fire times that are computed.
const COUNT: usize = 4;

/// Checks that a cron string is compiled or refused at a place in the text, that what it was
/// compiled to reads back as the same from its own text, and that its fire times ascend.
pub fn cron(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let length = text.chars().count();
    let compiled = match compile_cron(text) {
        Ok(compiled) => compiled,
        Err(error) => {
            assert!(!error.message.is_empty());
            assert!(error.offset.is_none_or(|at| at <= length), "{error:?}");
            return;
        }
    };
    for warning in &compiled.warnings {
        assert!(warning.offset.is_none_or(|at| at <= length), "{warning:?}");
    }
    // Either a calendar or an interval.
    assert_eq!(compiled.calendars.len() + compiled.intervals.len(), 1);
    reads_back(&compiled);

    let spec = Spec {
        calendars: compiled.calendars.into_iter().collect(),
        intervals: compiled.intervals.into_iter().collect(),
        timezone: compiled.timezone.unwrap_or_else(|| "UTC".to_owned()),
        ..Spec::default()
    };
    spec.check().expect("a spec of what was accepted");
    let json = serde_json::to_string(&spec).expect("JSON");
    assert_eq!(
        serde_json::from_str::<Spec>(&json).expect("read"),
        spec,
        "{json}"
    );

    let now: Timestamp = NOW.parse().expect("a time");
    let found = spec.fire_times(now, COUNT);
    assert!(found.times.len() <= COUNT);
    assert!(found.times.iter().all(|time| *time > now), "{found:?}");
    assert!(
        found.times.is_sorted_by(|one, other| one < other),
        "{found:?}"
    );
    // A search that begins after the first time finds the others.
    if let [first, rest @ ..] = &found.times[..]
        && spec.timezone == "UTC"
    {
        let next = spec.fire_times(*first, rest.len());
        assert_eq!(next.times, rest);
        let before = first.checked_sub(1.second()).expect("a time");
        if before > now {
            let again = spec.fire_times(before, 1);
            assert_eq!(again.times, [*first]);
        }
    }
}

fn reads_back(compiled: &CompiledCron) {
    for calendar in &compiled.calendars {
        if let Some(text) = calendar.cron() {
            let again = compile_cron(&text).expect("its own text");
            assert_eq!(again.calendars, [*calendar], "{text}");
            assert_eq!(again.timezone, None);
        }
    }
    for interval in &compiled.intervals {
        let text = format!("@every {interval}");
        let again = compile_cron(&text).expect("its own text");
        assert_eq!(again.intervals, [*interval], "{text}");
    }
}
