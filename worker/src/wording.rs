//! Phrases that several commands and pages share.

use std::fmt::Write as _;

use almanac_activities::schedules::Missed;
use almanac_activities::timeline::{GapCause, GapsUnknown};
use almanac_base::names::Project;
use almanac_base::text::is_hidden;
use almanac_core::record::{HistoryEntry, HistoryEntryKind, Op, Override};
use jiff::{SignedDuration, Timestamp};

use crate::console::{Cell, Page, Tone};
use crate::time_text::{coming, utc};

/// A number with the noun that fits it.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The flag that a command needs to act on the project, after a space.
pub(crate) fn project_flag(project: &Project) -> String {
    format!(" --project {project}")
}

/// Adds a command that the reader may run next.
pub(crate) fn next_command(page: &mut Page, command: impl Into<String>) {
    page.cells([Cell::toned(Tone::Muted, "  → "), command.into().into()]);
}

/// A text as one word of a shell's command line, in quotes only if the shell needs them.
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    shell_quoted(text)
}

/// A flag with its value, after a space.
pub(crate) fn shell_flag(name: &str, value: &str) -> String {
    // A word that begins with a hyphen would be read as another flag.
    let separator = if value.starts_with('-') { '=' } else { ' ' };
    format!(" {name}{separator}{}", shell_word(value))
}

/// A text as one word of a shell's command line.
///
/// Characters that could not be copied off a terminal are written as escapes in `$'…'`, which
/// bash, zsh and the POSIX shells of 2024 read.
pub(crate) fn shell_quoted(text: &str) -> String {
    if !text.contains(is_hidden) {
        return format!("'{}'", text.replace('\'', "'\\''"));
    }
    let mut word = String::from("$'");
    for c in text.chars() {
        match c {
            '\'' | '\\' => word.extend(['\\', c]),
            c if is_hidden(c) => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    write!(word, "\\{byte:03o}").unwrap_or_default();
                }
            }
            c => word.push(c),
        }
    }
    word + "'"
}

/// The end of a time, such as `until 2026-03-02 14:00:00Z (in 2h)`.
pub(crate) fn until(end: Timestamp, now: Timestamp) -> String {
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
pub(crate) fn invalid_documents(count: u64) -> String {
    counted(
        count,
        "document is invalid, and its schedule stays as it is",
        "documents are invalid, and their schedules stay as they are",
    )
}

/// The values that an override sets, such as `paused, cron "0 5 * * *"`.
pub(crate) fn override_values(set: &Override) -> String {
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
pub(crate) fn override_end(set: &Override, now: Timestamp) -> String {
    match set.until {
        Some(end) => until(end, now),
        None if only_pauses(set) => "until someone unpauses it".to_owned(),
        None => "until someone clears it or its definition changes".to_owned(),
    }
}

/// Returns `true` if the override only pauses the schedule.
pub(crate) fn only_pauses(set: &Override) -> bool {
    set.enabled == Some(false) && set.cron.is_none() && set.timezone.is_none()
}

/// An operation that was done, or that a dry run would do.
pub(crate) fn operation(op: Op, dry_run: bool) -> &'static str {
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

/// A history entry, as the rest of a sentence that begins with a name.
pub(crate) fn history_entry(entry: &HistoryEntry) -> String {
    let words = HistoryWords::of(entry);
    format!("{}{}", words.deed, words.details)
}

/// A history entry with the definition or schedule that it is about.
pub(crate) fn history_entry_of(entry: &HistoryEntry) -> String {
    let words = HistoryWords::of(entry);
    if entry.id.is_empty() {
        return format!("{}{}", words.deed, words.details);
    }
    format!("{} {} {}{}", words.deed, words.of, entry.id, words.details)
}

/// The person who did what a history entry records; `None` if Almanac did it.
pub(crate) fn person_of(entry: &HistoryEntry) -> Option<&str> {
    match entry.kind {
        HistoryEntryKind::Asked | HistoryEntryKind::Unknown => {
            Some(entry.by.as_str()).filter(|by| !by.is_empty())
        }
        HistoryEntryKind::Written | HistoryEntryKind::Failed | HistoryEntryKind::Lost => None,
    }
}

/// The parts of a sentence about a history entry, after the name of the one who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HistoryWords {
    pub(crate) deed: String,
    /// The word before the definition or schedule.
    pub(crate) of: &'static str,
    pub(crate) details: String,
}

impl HistoryWords {
    pub(crate) fn of(entry: &HistoryEntry) -> Self {
        let (deed, of, details) = match entry.kind {
            HistoryEntryKind::Written => written(entry),
            HistoryEntryKind::Asked => asked(entry),
            HistoryEntryKind::Failed => failed(entry),
            HistoryEntryKind::Lost => lost(entry),
            HistoryEntryKind::Unknown => (
                format!("did `{}`", entry.op.replace('_', "-")),
                "to",
                ", which this release does not know".to_owned(),
            ),
        };
        Self { deed, of, details }
    }
}

fn failed(entry: &HistoryEntry) -> (String, &'static str, String) {
    let (deed, of) = match entry.op.as_str() {
        "trigger" => ("failed to start the run", "of"),
        "backfill" => ("failed to start the backfill", "of"),
        _ => ("failed", "with"),
    };
    let times = match entry.again {
        0 => String::new(),
        again => format!(" {} times in a row", again.saturating_add(1)),
    };
    (format!("{deed}{times}"), of, asked_for_by(entry))
}

fn lost(entry: &HistoryEntry) -> (String, &'static str, String) {
    let run = match entry.op.as_str() {
        "backfill" => "backfill",
        _ => "run",
    };
    let deed = format!("does not know whether the {run}");
    let details = format!("{} has started", asked_for_by(entry));
    (deed, "of", details)
}

/// The person who asked for the manual run of an entry.
fn asked_for_by(entry: &HistoryEntry) -> String {
    match entry.by.as_str() {
        "" => String::new(),
        by => format!(" that {by} asked for"),
    }
}

fn written(entry: &HistoryEntry) -> (String, &'static str, String) {
    let done = match entry.op.as_str() {
        "create" => "created the schedule",
        "update" => "updated the schedule",
        "pause" => "paused the schedule",
        "unpause" => "unpaused the schedule",
        "delete" => "deleted the schedule",
        "clear_override" => "cleared the override",
        "keep_override" => "kept the override",
        other => {
            return (
                format!("did `{}`", other.replace('_', "-")),
                "to",
                String::new(),
            );
        }
    };
    let fields: Vec<_> = entry.fields.iter().map(|field| field.as_str()).collect();
    let details = if fields.is_empty() {
        String::new()
    } else {
        format!(": {}", fields.join(", "))
    };
    (done.to_owned(), "of", details)
}

fn asked(entry: &HistoryEntry) -> (String, &'static str, String) {
    let asked = match entry.op.as_str() {
        "override" => "asked for an override",
        "clear_override" => "asked to clear the override",
        "unpause" => "asked to unpause the schedule",
        "adopt" => "asked to adopt the schedule",
        "trigger" => "asked for a run",
        "backfill" => "asked for a backfill",
        "suspend" => "suspended Almanac",
        "resume" => "resumed Almanac",
        "confirm" => "confirmed removals",
        other => {
            let asked = format!("asked for `{}`", other.replace('_', "-"));
            return (asked, "of", String::new());
        }
    };
    let mut details = String::new();
    if let Some(set) = &entry.overridden {
        let until = set.until.map(|until| format!(" until {}", utc(until)));
        let until = until.unwrap_or_default();
        details = format!(": {}{until}", override_values(set));
    }
    if let (Some(from), Some(to)) = (entry.from, entry.to) {
        details = format!(" from {from} to {to}");
    }
    (asked.to_owned(), "of", details)
}

/// The runs that were due and never started, by reason.
pub(crate) fn missed_runs(missed: Missed) -> Vec<String> {
    let reasons = [
        (
            missed.overlap,
            "skipped because an earlier run was still running (overlap_policy)",
        ),
        (
            missed.catchup_window,
            "due while Temporal was down for longer than the catchup_window",
        ),
        (missed.buffer, "dropped because too many runs were waiting"),
    ];
    reasons
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, why)| format!("{count} {why}"))
        .collect()
}

/// The reason why nothing started at a time.
pub(crate) const fn gap_cause(cause: GapCause) -> &'static str {
    match cause {
        GapCause::Overlap => "an earlier run had not ended",
        GapCause::Waiting => "waits for the end of an earlier run",
        GapCause::CatchupWindow => "not started within the catch-up window",
        GapCause::Buffer => "too many runs were waiting",
    }
}

/// The reason why it is not known at which times nothing started.
pub(crate) const fn gaps_unknown(why: GapsUnknown) -> &'static str {
    match why {
        GapsUnknown::Unmanaged => "Not known: Almanac does not manage the schedule.",
        GapsUnknown::Paused => "Nothing starts while the schedule is paused.",
        GapsUnknown::Note => {
            "Not known: someone paused or unpaused the schedule since its last write."
        }
        GapsUnknown::Finished => "Nothing starts: the schedule has no actions left.",
        GapsUnknown::Runs => "Not known: the runs of these days are not known.",
        GapsUnknown::Times => {
            "Not known: Temporal's next times differ from those that Almanac computes."
        }
        GapsUnknown::NotChecked => "Not known: Temporal did not describe the schedule.",
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

    #[test]
    fn a_word_is_quoted_only_if_the_shell_needs_it() {
        assert_eq!(shell_word("a/b-1.yaml"), "a/b-1.yaml");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("~/x"), "'~/x'");
        assert_eq!(shell_word("it's $x"), r"'it'\''s $x'");
        assert_eq!(shell_word("a\u{202e}b"), r"$'a\342\200\256b'");
        assert_eq!(shell_flag("--dir", "-x y"), " --dir='-x y'");
    }
}
