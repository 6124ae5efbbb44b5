//! `GET /activity`: passes and their reports, newest first.

use std::sync::Arc;

use almanac_core::record::{HistoryEntry, HistoryEntryKind, Op, Report, Trigger};
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::Service;
use super::super::problem::Problem;
use super::super::query::{StrictQuery, parsed};
use super::condition::{Tone, state};
use super::frame::{Frame, Tab};
use super::glyphs::Glyph;
use super::links;
use super::times::Times;
use crate::backend::Backend;
use crate::wording::{counted, history_entry, operation};

/// Maximum number of changes and errors that are shown of a pass.
const SHOWN: usize = 20;

/// The query of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Query {
    /// Only passes that wrote something or had errors.
    #[serde(deserialize_with = "parsed")]
    changes: bool,
}

pub(super) async fn page<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    frame: Frame,
    StrictQuery(query): StrictQuery<Query>,
) -> Result<Response, Problem> {
    let status = service.status_cache.status(&*service.backend).await?;
    let is_shown = |report: &&Report| {
        !query.changes || !report.changes.is_empty() || !report.errors.is_empty()
    };
    let reports: Vec<_> = status.reports.iter().rev().filter(is_shown).collect();
    let main = html! {
        div.head {
            h1 { "Activity" }
            p.dim { "The last " (status.reports.len()) " passes. A definition's page has the history of its schedule." }
        }
        div.filters {
            span.lead { "Show" }
            a.chip href="/activity" aria-current=[(!query.changes).then_some("true")] { "All passes" }
            a.chip href="/activity?changes=true" aria-current=[query.changes.then_some("true")] { "With changes or errors" }
        }
        (workers(&status.workers, &frame.times))
        @for report in &reports { (pass(report, &frame.times)) }
        @if reports.is_empty() { p.empty { "No pass to show." } }
    };
    Ok(frame.page(Some(Tab::Activity), "Activity", &main))
}

fn workers(
    workers: &std::collections::BTreeMap<
        almanac_base::names::WorkerId,
        almanac_core::record::WorkerState,
    >,
    times: &Times,
) -> Markup {
    html! {
        section.sec {
            header { h2 { "Workers" } span.dim { (workers.len()) " alive" } }
            table.data.wide {
                thead { tr { th { "Worker" } th { "Version" } th { "Revision of the files" } th { "Last answer" } } }
                tbody {
                    @for (id, worker) in workers {
                        tr {
                            td.mono data-h="Worker" { (id) }
                            td data-h="Version" { (worker.version) }
                            td.mono data-h="Revision" { (worker.revision) }
                            td data-h="Last answer" { (times.relative(worker.answered_at, "UTC")) }
                        }
                    }
                }
            }
        }
    }
}

fn pass(report: &Report, times: &Times) -> Markup {
    let (glyph, tone, word) = if report.errors.is_empty() {
        (Glyph::Check, Tone::Quiet, "no errors".to_owned())
    } else {
        let words = counted(report.errors.len() as u64, "error", "errors");
        (Glyph::Cross, Tone::Red, words)
    };
    let changed = report.changes.len();
    html! {
        section.sec id={ "pass-" (report.pass) } {
            header {
                h2 { "Pass " (report.pass) }
                (state(glyph, tone, &word))
                span.dim {
                    (cause(report.trigger)) @if report.dry_run { ", a dry run" }
                    " · " (counted(changed as u64, "change", "changes"))
                    " · " (report.duration_ms) " ms"
                }
                span.end { (times.relative(report.started_at, "UTC")) " · " (times.absolute(report.started_at, "UTC")) }
            }
            @if changed > 0 || !report.errors.is_empty() {
                ul.log {
                    @for change in report.changes.iter().take(SHOWN) {
                        li {
                            span.mono.sign { (sign(change.op)) }
                            span { a.link href=(links::definition(&change.id)) { (change.id) } " "
                                (operation(change.op, report.dry_run)) span.dim { ": " (change.reason) } }
                        }
                    }
                    @for error in report.errors.iter().take(SHOWN) {
                        li {
                            span.mono.sign.red { "!" }
                            span { @if let Some(id) = &error.id { a.link href=(links::definition(id)) { (id) } " " }
                                (error.source) ": " (error.message) }
                        }
                    }
                }
                @let more = changed.saturating_sub(SHOWN) + report.errors.len().saturating_sub(SHOWN);
                @if more > 0 { p.dim { "and " (more) " more" } }
            }
        }
    }
}

fn cause(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Interval => "by the interval",
        Trigger::Start => "a worker started",
        Trigger::Change => "files changed",
        Trigger::Signal => "by a signal",
        Trigger::Sync => "someone asked",
        Trigger::Override => "an override",
        Trigger::Resume => "resumed",
        Trigger::Adopt => "an adoption",
    }
}

fn sign(op: Op) -> &'static str {
    match op {
        Op::Create => "+",
        Op::Delete => "−",
        Op::Update | Op::Pause | Op::Unpause | Op::ClearOverride | Op::KeepOverride => "~",
    }
}

/// An entry of the history of a schedule. `id` is shown if the list is about several.
pub(super) fn entry(entry: &HistoryEntry, id: Option<&str>, times: &Times) -> Markup {
    let who = if entry.by.is_empty() {
        "Almanac"
    } else {
        entry.by.as_str()
    };
    let (glyph, tone) = match entry.kind {
        HistoryEntryKind::Failed => (Glyph::Cross, Tone::Red),
        HistoryEntryKind::Asked => (Glyph::Hand, Tone::Violet),
        HistoryEntryKind::Written | HistoryEntryKind::Unknown => (Glyph::Check, Tone::Quiet),
    };
    html! {
        li {
            span.sign { (state(glyph, tone, "")) }
            span {
                b { (who) } " " (history_entry(entry))
                @if let Some(id) = id { " of " a.link href=(links::definition(id)) { (id) } }
                span.l2 {
                    (times.relative(entry.at, "UTC")) " · " (times.absolute(entry.at, "UTC")) " UTC · pass " (entry.pass)
                    @if !entry.reason.is_empty() { " · " (entry.reason) }
                }
            }
        }
    }
}
