//! The causes that keep a schedule from doing what its file says, each with what ends it.

use maud::{Markup, html};

use super::super::condition::{Tone, errors, look, state};
use super::super::links;
use super::super::times::Times;
use super::Subject;
use crate::overview::Condition;
use crate::wording::{override_end, override_values};

/// Renders a notice for each cause that needs attention.
pub(super) fn notices(subject: &Subject, times: &Times) -> Markup {
    html! {
        @if let Err(error) = &subject.reading.detail {
            div.notice.red role="alert" {
                span.say { "The schedule is not shown: " (error.to_string()) }
            }
        }
        @for condition in subject.row.conditions.iter() {
            @if let Some((words, action)) = cause(subject, condition, times) {
                (notice(condition, &words, action))
            }
        }
    }
}

/// A link to the page of an action.
type Action = (String, &'static str);

fn notice(condition: Condition, words: &str, action: Option<Action>) -> Markup {
    let (glyph, tone, name) = look(condition);
    let class = match tone {
        Tone::Red => "red",
        Tone::Amber => "amber",
        Tone::Violet | Tone::Blue => "violet",
        Tone::Ink | Tone::Quiet => "plain",
    };
    html! {
        div.notice.(class) role="status" {
            (state(glyph, tone, name))
            span.say { (words) }
            @if let Some((address, words)) = action { a.btn href=(address) { (words) } }
        }
    }
}

fn cause(
    subject: &Subject,
    condition: Condition,
    times: &Times,
) -> Option<(String, Option<Action>)> {
    let at = |action: &str| format!("{}/{action}", links::definition(&subject.id));
    let detail = subject.detail();
    let view = detail.map(|detail| &detail.view);
    let found = subject.reading.errors.as_ref();
    let count = || {
        errors(found.map_or(0, |view| {
            view.load_errors.len() + view.load_errors_truncated
        }))
    };
    let to_source = || Some(("#source".to_owned(), "Show"));
    Some(match condition {
        Condition::Broken => {
            let words = format!("The document has {}, and no version of it was ever valid. Nothing runs.", count());
            (words, to_source())
        }
        Condition::Stale => {
            let words = format!(
                "The document has {}, so nothing of it is applied. The last good version keeps running.",
                count()
            );
            (words, to_source())
        }
        Condition::Overdue => {
            let since = view?.overdue_since?;
            let words = format!("A run was due {} and has not started.", times.ago(since));
            (words, Some(("#runs".to_owned(), "Runs")))
        }
        Condition::PausedByFailure => {
            let words = format!("A run failed, and pause_on_failure is set: {}", view?.note);
            (words, Some((at("unpause"), "Unpause…")))
        }
        Condition::Conflict => {
            let id = &view?.id;
            let words = format!(
                "A schedule with the id {id} exists that Almanac does not manage, and does not write to. \
                 Rename the definition, adopt the schedule with `almanac adopt`, or delete it."
            );
            (words, None)
        }
        Condition::Unreadable => ("Temporal could not describe the schedule in the last pass. Nothing is written to it.".to_owned(), None),
        Condition::Failed => {
            let words = format!("The last pass could not write the schedule: {}", subject.overview.failure(&subject.row)?);
            (words, None)
        }
        Condition::Contested => ("Someone keeps changing fields back. Almanac has corrected them five times within an hour, and leaves them alone for now.".to_owned(), Some(("#compared".to_owned(), "Fields"))),
        Condition::Drift => ("Fields differ from what was last written, although the file did not change.".to_owned(), Some(("#compared".to_owned(), "Fields"))),
        Condition::Held => ("The definition is gone, and its removal waits for confirmation. The schedule keeps firing.".to_owned(), Some(("/plan#held".to_owned(), "Review"))),
        Condition::Orphaned => ("No definition asks for this schedule.".to_owned(), None),
        Condition::Overridden => {
            let set = view?.overridden.as_ref()?;
            let words = format!(
                "{} set: {} {}. Reason: {}",
                set.by, override_values(set), override_end(set, times.now), set.reason
            );
            (words, Some((at("clear"), "Clear override…")))
        }
        Condition::Paused => {
            let view = view?;
            if view.overridden.is_some() {
                return None;
            }
            let words = match &view.reason {
                Some(reason) => format!("Someone paused the schedule: “{reason}”."),
                None => "Someone paused the schedule, and gave no reason.".to_owned(),
            };
            (words, Some((at("unpause"), "Unpause…")))
        }
        Condition::Disabled => {
            let words = match subject.served() {
                Some(loaded) if !loaded.definition.enabled => {
                    let definition = &loaded.definition;
                    let nothing = match (&definition.schedule, definition.triggers.is_empty()) {
                        (None, _) => "events start nothing",
                        (Some(_), true) => "the schedule exists and starts nothing",
                        (Some(_), false) => "the schedule exists, and neither it nor an event starts anything",
                    };
                    format!("The file has `enabled: false`: {nothing}.")
                }
                _ => format!("Almanac paused the schedule: {}", view?.note),
            };
            (words, None)
        }
        Condition::Waiting => ("The schedule does not exist yet. The next pass creates it.".to_owned(), Some(("/plan".to_owned(), "Plan"))),
        Condition::Finished => ("The schedule has started as many runs as `max_actions` allows.".to_owned(), None),
        Condition::OnDemand | Condition::Unknown | Condition::InSync => return None,
    })
}
