//! The results of actions.

use almanac_base::names::DefinitionId;
use almanac_core::record::{Report, RunAnswer, RunState};
use maud::{Markup, html};

use super::super::condition::{Tone, state};
use super::super::glyphs::Glyph;
use super::super::links;
use super::Action;
use super::overrides::Applied;
use crate::wording::{counted, operation};

/// The page after an override has been set or ended.
pub(super) fn applied(definition: &DefinitionId, action: Action, applied: Applied) -> Markup {
    let words = match applied {
        Applied::Done => done(action).to_owned(),
        Applied::Pending(pass) => {
            format!("Accepted. Pass {pass} applies it, and has not ended yet.")
        }
    };
    let head = state(Glyph::Check, Tone::Quiet, "Done");
    page(definition, action, &head, &html! { p.lede { (words) } })
}

/// A sentence for an action that has been done.
pub(super) const fn done(action: Action) -> &'static str {
    match action {
        Action::Pause => "The schedule is paused.",
        Action::Unpause => "The schedule is no longer paused.",
        Action::Override => "The override is in force.",
        Action::Clear => "The override has ended; the file's values are in force.",
        Action::Trigger | Action::Backfill => "The runs have started.",
    }
}

/// The page after runs have been requested. `ui` is the namespace's page in Temporal's UI.
pub(super) fn runs(
    definition: &DefinitionId,
    action: Action,
    answer: &RunAnswer,
    ui: Option<&str>,
) -> Markup {
    let (head, words) = run(answer);
    page(
        definition,
        action,
        &head,
        &html! {
            p.lede { (words) }
            @if !answer.message.is_empty() { p { (answer.message) } }
            @if !answer.runs.is_empty() {
                ul.log {
                    @for run in &answer.runs {
                        li {
                            span.sign {}
                            @match ui {
                                Some(ui) => a.link.mono rel="noreferrer"
                                    href=(links::temporal_run(ui, &run.workflow_id, &run.run_id)) { (run.workflow_id) },
                                None => span.mono { (run.workflow_id) },
                            }
                        }
                    }
                }
            }
        },
    )
}

/// The state of a request for runs, and a sentence about it.
pub(super) fn run(answer: &RunAnswer) -> (Markup, String) {
    let started = counted(answer.started, "run has", "runs have");
    match answer.state {
        RunState::Started => (
            state(Glyph::Running, Tone::Blue, "Started"),
            format!("{started} started."),
        ),
        RunState::Buffered => (
            state(Glyph::Waiting, Tone::Ink, "Waits"),
            "The run starts when the present run ends.".to_owned(),
        ),
        RunState::Skipped => (
            state(Glyph::Skipped, Tone::Amber, "Skipped"),
            "Another run is running, and the overlap policy let no run start.".to_owned(),
        ),
        RunState::Pending => (
            state(Glyph::Waiting, Tone::Ink, "Pending"),
            "The request is accepted. Its result is not known yet.".to_owned(),
        ),
        RunState::Lost => (
            state(Glyph::Cross, Tone::Red, "Not seen"),
            "The request was sent, and no run was observed.".to_owned(),
        ),
        RunState::Failed | RunState::NotFound | RunState::Foreign | RunState::BadRange => (
            state(Glyph::Cross, Tone::Red, "Failed"),
            "Nothing was started.".to_owned(),
        ),
    }
}

fn page(definition: &DefinitionId, action: Action, head: &Markup, main: &Markup) -> Markup {
    let at = links::definition(definition.as_str());
    html! {
        div.head { div {
            p.crumb { a.link href="/" { "Schedules" } " / " a.link href=(at) { (definition) } }
            h1 { (action.words()) " " (definition) }
        } }
        div.result role="status" { (head) (main) }
        p { a.btn.main href=(at) { "To " (definition) } " " a.btn href="/" { "All schedules" } }
    }
}

/// The page after a pass.
pub(super) fn pass(title: &str, report: &Report) -> Markup {
    let changes = report.changes.len() as u64;
    html! {
        div.head { h1 { (title) } }
        div.result role="status" {
            @if report.errors.is_empty() { (state(Glyph::Check, Tone::Quiet, "Done")) }
            @else { (state(Glyph::Cross, Tone::Red, &counted(report.errors.len() as u64, "error", "errors"))) }
            p.lede { "Pass " (report.pass) " ended with " (counted(changes, "change", "changes")) "." }
            ul.log {
                @for change in report.changes.iter().take(50) {
                    li { span.sign {} span { a.link href=(links::definition(&change.id)) { (change.id) } " " (operation(change.op, report.dry_run)) span.dim { ": " (change.reason) } } }
                }
                @for error in report.errors.iter().take(50) {
                    li { span.sign.red { "!" } span { (error.source) ": " (error.message) } }
                }
            }
        }
        p { a.btn.main href="/" { "All schedules" } " " a.btn href="/activity" { "Activity" } }
    }
}

/// The page after a request whose pass has not ended.
pub(super) fn pending(title: &str, pass: u64) -> Markup {
    html! {
        div.head { h1 { (title) } }
        div.result role="status" {
            (state(Glyph::Waiting, Tone::Ink, "Accepted"))
            p.lede { "Pass " (pass) " has not ended yet. Its report will be on the page of activity." }
        }
        p { a.btn.main href="/activity" { "Activity" } }
    }
}
