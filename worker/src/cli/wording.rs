//! Phrases that several commands print.

use almanac_base::names::Project;
use almanac_core::record::{Op, Override};
use jiff::{SignedDuration, Timestamp};

use super::time_text::{coming, utc};
use crate::console::{Cell, Page, Tone};

/// A number with the noun that fits it.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The flag that a command needs to act on the project, after a space.
pub(super) fn project_flag(project: &Project) -> String {
    format!(" --project {project}")
}

/// Adds a command that the reader may run next.
pub(super) fn next_command(page: &mut Page, command: impl Into<String>) {
    page.cells([Cell::toned(Tone::Muted, "  → "), command.into().into()]);
}

/// The end of a time, such as `until 2026-03-02 14:00:00Z (in 2h)`.
pub(super) fn until(end: Timestamp, now: Timestamp) -> String {
    let rest = end.duration_since(now);
    // Of `--for 2h`, a second has passed when the result is printed.
    let rest = if rest >= SignedDuration::from_mins(10) {
        SignedDuration::from_mins((rest.as_secs() + 30) / 60)
    } else {
        rest
    };
    let rest = coming(rest.try_into().unwrap_or_default());
    format!("until {} ({rest})", utc(end))
}

/// The documents that are invalid, and the consequence.
pub(super) fn invalid_documents(count: u64) -> String {
    counted(
        count,
        "document is invalid, and its schedule stays as it is",
        "documents are invalid, and their schedules stay as they are",
    )
}

/// The values that an override sets, such as `paused, cron "0 5 * * *"`.
pub(super) fn override_values(set: &Override) -> String {
    let state = set
        .enabled
        .map(|enabled| if enabled { "enabled" } else { "paused" });
    let cron = set.cron.as_ref().map(|cron| {
        let cron: Vec<_> = cron.iter().map(|cron| format!("\"{cron}\"")).collect();
        format!("cron {}", cron.join(", "))
    });
    let zone = set.timezone.iter().map(|zone| format!("timezone {zone}"));
    let state = state.map(str::to_owned).into_iter();
    let values: Vec<_> = state.chain(cron).chain(zone).collect();
    values.join(", ")
}

/// The end of an override.
pub(super) fn override_end(set: &Override, now: Timestamp) -> String {
    match set.until {
        Some(end) => until(end, now),
        None if only_pauses(set) => "until someone unpauses it".to_owned(),
        None => "until someone clears it or its definition changes".to_owned(),
    }
}

/// Returns `true` if the override only pauses the schedule.
pub(super) fn only_pauses(set: &Override) -> bool {
    set.enabled == Some(false) && set.cron.is_none() && set.timezone.is_none()
}

/// An operation that was done, or that a dry run would do.
pub(super) fn operation(op: Op, dry_run: bool) -> &'static str {
    match (op, dry_run) {
        (Op::Create, false) => "created",
        (Op::Create, true) => "would be created",
        (Op::Update, false) => "updated",
        (Op::Update, true) => "would be updated",
        (Op::Pause, false) => "paused",
        (Op::Pause, true) => "would be paused",
        (Op::Unpause, false) => "unpaused",
        (Op::Unpause, true) => "would be unpaused",
        (Op::Delete, false) => "deleted",
        (Op::Delete, true) => "would be deleted",
        (Op::ClearOverride, false) => "override cleared",
        (Op::ClearOverride, true) => "override would be cleared",
        (Op::KeepOverride, false) => "override kept",
        (Op::KeepOverride, true) => "override would be kept",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_long_time_is_rounded_to_the_minute() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let until = |end: &str| until(at(end), at("2026-03-02T12:00:01.5Z"));
        assert_eq!(
            until("2026-03-02T14:00:01Z"),
            "until 2026-03-02 14:00:01Z (in 2h)"
        );
        assert_eq!(
            until("2026-03-02T12:05:00Z"),
            "until 2026-03-02 12:05:00Z (in 4m 58s)"
        );
        assert!(
            until("9999-12-30T22:00:00.999999999Z").starts_with("until 9999-12-30 22:00:00Z (in ")
        );
        assert_eq!(
            until("2026-03-02T11:00:00Z"),
            "until 2026-03-02 11:00:00Z (now)"
        );
    }

    #[test]
    fn nouns_fit_their_numbers() {
        assert_eq!(counted(1, "run", "runs"), "1 run");
        assert_eq!(counted(0, "run", "runs"), "0 runs");
    }
}
