//! The errors of a document: a badge with the complete message, which hovering and focusing
//! show, and the same message in the open.

use almanac_core::definition::{Diagnostic, Severity};
use maud::{Markup, html};

use super::super::definitions::{DefinitionStatus, DefinitionView};
use super::condition::errors;
use super::links;

/// Number of messages that a badge shows completely.
const SHOWN: usize = 3;

/// The badge. `place` is a number that no other badge of the page has.
pub(super) fn badge(view: &DefinitionView, place: usize, opens_up: bool) -> Markup {
    let count = view.load_errors.len() + view.load_errors_truncated;
    let tip = format!("tip-{place}");
    let left = count.saturating_sub(SHOWN);
    html! {
        span.err.up[opens_up] {
            a href=(address(view)) aria-describedby=(tip) { (errors(count)) }
            span.tip id=(tip) role="tooltip" {
                @for error in view.load_errors.iter().take(SHOWN) { (message(error)) }
                @if left > 0 { span.after { "and " (left) " more" } }
                span.after { (consequence(view.status)) }
            }
        }
    }
}

/// The page, and the line, where the errors of a document are shown.
pub(super) fn address(view: &DefinitionView) -> String {
    match &view.id {
        Some(id) => format!("{}#source", links::definition(id.as_str())),
        None => "/errors".to_owned(),
    }
}

/// The complete message of a finding, with the source line and a caret.
pub(super) fn message(finding: &Diagnostic) -> Markup {
    let lines = finding.lines();
    let (first, rest) = lines
        .split_first()
        .map_or(("", &[][..]), |(first, rest)| (first, rest));
    let (source, rest) = rest.split_at(if finding.snippet.is_some() {
        rest.len().min(2)
    } else {
        0
    });
    html! {
        span.pre {
            b.amber[finding.severity == Severity::Warning] { (first) } "\n"
            @for (place, line) in source.iter().enumerate() {
                @if place == 0 { (line) } @else { span.caret { (line) } }
                "\n"
            }
            @for line in rest { span.hint { (line) } "\n" }
        }
    }
}

/// The effect of the errors on the schedule.
pub(super) fn consequence(status: DefinitionStatus) -> &'static str {
    match status {
        DefinitionStatus::Stale => {
            "The last good version keeps running. Nothing of the file is applied until all of its errors are corrected."
        }
        DefinitionStatus::Invalid => {
            "No good version is known, so nothing of it is created or changed. A schedule that an earlier version created keeps running."
        }
        DefinitionStatus::Loaded | DefinitionStatus::Archived => "The definition runs.",
    }
}
