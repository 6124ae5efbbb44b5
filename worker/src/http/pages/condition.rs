//! The conditions of a row as words, drawings and colors, and the line that says why.

use almanac_activities::schedules::view::{PausedBy, ScheduleView};
use maud::{Markup, html};

use super::glyphs::{Glyph, glyph};
use super::times::Times;
use crate::overview::{Condition, Overview, Row};
use crate::wording::{counted, override_values};

/// The colors of states. Ink is for what is the case; a color asks for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Red,
    Amber,
    Violet,
    Blue,
    Ink,
    Quiet,
}

impl Tone {
    /// The style sheet's name of the color.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Amber => "amber",
            Self::Violet => "violet",
            Self::Blue => "blue",
            Self::Ink => "ink",
            Self::Quiet => "ok",
        }
    }
}

/// The drawing, the color and the words of a condition.
pub(super) const fn look(condition: Condition) -> (Glyph, Tone, &'static str) {
    match condition {
        Condition::Broken => (Glyph::Broken, Tone::Red, "Broken"),
        Condition::Stale => (Glyph::Stale, Tone::Red, "Stale"),
        Condition::Overdue => (Glyph::Overdue, Tone::Red, "Overdue"),
        Condition::PausedByFailure => (Glyph::PausedByFailure, Tone::Red, "Paused by failure"),
        Condition::Conflict => (Glyph::Conflict, Tone::Amber, "Conflict"),
        Condition::Unreadable => (Glyph::Conflict, Tone::Amber, "Unreadable"),
        Condition::Failed => (Glyph::Waiting, Tone::Amber, "Write failed"),
        Condition::Contested => (Glyph::Drift, Tone::Amber, "Contested"),
        Condition::Drift => (Glyph::Drift, Tone::Amber, "Drift"),
        Condition::Held => (Glyph::Held, Tone::Violet, "Removal held"),
        Condition::Orphaned => (Glyph::Held, Tone::Amber, "Orphaned"),
        Condition::Overridden => (Glyph::Overridden, Tone::Violet, "Overridden"),
        Condition::Paused => (Glyph::Paused, Tone::Ink, "Paused"),
        Condition::Disabled => (Glyph::Paused, Tone::Ink, "Paused by file"),
        Condition::Waiting => (Glyph::Waiting, Tone::Ink, "Waiting"),
        Condition::Finished => (Glyph::Finished, Tone::Quiet, "Finished"),
        Condition::OnDemand => (Glyph::Hand, Tone::Quiet, "On demand"),
        Condition::Unknown => (Glyph::Waiting, Tone::Quiet, "Not known"),
        Condition::InSync => (Glyph::Check, Tone::Quiet, "In sync"),
    }
}

/// A drawing and a word in the color of a state.
pub(super) fn state(glyph_: Glyph, tone: Tone, words: &str) -> Markup {
    html! { span.st.(tone.class()) { (glyph(glyph_)) (words) } }
}

/// The condition as a drawing and a word.
pub(super) fn condition(condition: Condition) -> Markup {
    let (glyph, tone, words) = look(condition);
    state(glyph, tone, words)
}

/// The condition that a row shows: the first one. An override that only pauses is shown as
/// a pause.
fn shown(row: &Row) -> Condition {
    let first = row.conditions.first();
    let is_paused = row.conditions.contains(Condition::Paused);
    if first == Condition::Overridden && is_paused {
        Condition::Paused
    } else {
        first
    }
}

/// The condition that a row shows. Says who paused the schedule, if that is known.
pub(super) fn of_row(overview: &Overview, row: &Row) -> Markup {
    let shown = shown(row);
    let by = overview.schedule(row).and_then(paused_by);
    match (shown, by) {
        (Condition::Paused, Some(name)) => {
            let (glyph, tone, _) = look(shown);
            state(glyph, tone, &format!("Paused by {name}"))
        }
        (Condition::OnDemand, _) if !overview.events(row).is_empty() => {
            state(Glyph::Event, Tone::Quiet, "On events")
        }
        _ => condition(shown),
    }
}

/// Name of the person who paused the schedule.
fn paused_by(view: &ScheduleView) -> Option<&str> {
    let by = view.by.as_deref()?;
    (view.paused && view.paused_by == Some(PausedBy::Override)).then_some(by)
}

/// The reason for the first condition of a row, in a few words.
pub(super) fn reason(overview: &Overview, row: &Row, times: &Times) -> Option<String> {
    let view = overview.schedule(row);
    let timezone = view.map_or("UTC", |view| &view.timezone);
    let words = || Some(format!("“{}”", view?.reason.as_deref()?));
    Some(match shown(row) {
        Condition::Broken => "nothing runs".to_owned(),
        Condition::Stale => "last good version runs".to_owned(),
        Condition::Overdue => {
            let since = view?.overdue_since?;
            format!("was due {}", times.ago(since))
        }
        Condition::PausedByFailure => "until someone unpauses it".to_owned(),
        Condition::Conflict => "another schedule has the id".to_owned(),
        Condition::Unreadable => "Temporal cannot describe it".to_owned(),
        Condition::Failed => overview.failure(row)?.to_owned(),
        Condition::Contested => "someone keeps changing it back".to_owned(),
        Condition::Drift => {
            let fields = view?.drift.as_ref()?;
            let names: Vec<_> = fields.iter().map(ToString::to_string).collect();
            names.join(", ")
        }
        Condition::Held => "keeps firing until confirmed".to_owned(),
        Condition::Orphaned => "no definition asks for it".to_owned(),
        Condition::Overridden => overridden(view?, times)?,
        Condition::Paused => {
            let until = view?.overridden.as_ref().and_then(|set| set.until);
            match (words(), until) {
                (Some(words), Some(end)) => {
                    format!("until {}, {words}", times.short(end, timezone))
                }
                (Some(words), None) => words,
                (None, Some(end)) => format!("until {}", times.short(end, timezone)),
                (None, None) => return None,
            }
        }
        Condition::Disabled => match overview.served(row) {
            Some(loaded) if !loaded.definition.enabled => "enabled: false".to_owned(),
            _ => view?.note.clone(),
        },
        Condition::Waiting => "the next pass creates it".to_owned(),
        Condition::Finished => "its actions are used up".to_owned(),
        Condition::OnDemand if !overview.events(row).is_empty() => "events start it".to_owned(),
        Condition::OnDemand => "no times: start it by hand".to_owned(),
        Condition::Unknown => "Temporal does not answer".to_owned(),
        Condition::InSync => return None,
    })
}

/// The override in a few words: its values, its end and its author.
fn overridden(view: &ScheduleView, times: &Times) -> Option<String> {
    let set = view.overridden.as_ref()?;
    let values = override_values(set);
    let until = set
        .until
        .map(|end| format!("until {}", times.short(end, &view.timezone)));
    let by = view.by.as_ref().map(|by| format!("by {by}"));
    let end: Vec<_> = until.into_iter().chain(by).collect();
    Some(if end.is_empty() {
        values
    } else {
        format!("{} · {values}", end.join(" "))
    })
}

/// The status of a run as a drawing and a word.
pub(super) fn run_status(status: Option<&str>) -> Markup {
    match status {
        Some("running") => state(Glyph::Running, Tone::Blue, "Running"),
        Some("completed") => state(Glyph::Check, Tone::Quiet, "Completed"),
        Some("failed") => state(Glyph::Cross, Tone::Red, "Failed"),
        Some("timed_out") => state(Glyph::Cross, Tone::Red, "Timed out"),
        Some("terminated") => state(Glyph::Cross, Tone::Red, "Terminated"),
        Some("canceled") => state(Glyph::Skipped, Tone::Ink, "Canceled"),
        Some("continued_as_new") => state(Glyph::Running, Tone::Blue, "Continued as new"),
        Some("paused") => state(Glyph::Paused, Tone::Ink, "Paused"),
        Some(other) => state(Glyph::Waiting, Tone::Ink, other),
        None => state(Glyph::Waiting, Tone::Quiet, "Not known"),
    }
}

/// The number of errors, as in the badge.
pub(super) fn errors(count: usize) -> String {
    counted(count as u64, "error", "errors")
}
