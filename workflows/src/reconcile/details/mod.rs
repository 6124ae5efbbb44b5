//! The state and the last report as Markdown, for the Temporal UI.
//!
//! The size is bounded: at most [`SHOWN`] entries of a list, each cut to [`TEXT`]
//! characters. The query `status` has the rest.

use std::collections::BTreeMap;

use almanac_base::names::{Project, Revision};
use almanac_base::text;
use almanac_core::record::{Held, Op, Report, ScheduleCounts, Status};

/// Maximum number of entries that are shown of a list.
const SHOWN: usize = 20;
/// Maximum length of a text in an entry, in characters.
const TEXT: usize = 200;

/// Renders the current details of the workflow.
pub(super) fn render(project: &Project, status: &Status) -> String {
    let mut lines = vec![
        format!("# Almanac: {project}"),
        String::new(),
        fact("State", &status.state.replace('_', " ")),
    ];
    if let Some(suspension) = &status.suspended {
        lines.push(fact("Suspended", &code(&suspension.to_string())));
    }
    if let Some(revision) = &status.revision {
        lines.push(fact("Revision", &code(revision.as_str())));
    }
    lines.push(fact("Workers", &workers(status)));
    if let Some(at) = status.last_success {
        lines.push(fact("Last success", &format!("{at:.0}")));
    }
    if let Some(error) = &status.last_error {
        lines.push(fact("Last error", &code(error)));
    }
    if !status.overrides.is_empty() {
        lines.push(fact("Overrides", &status.overrides.len().to_string()));
    }
    if let Some(held) = &status.held {
        lines.extend(held_removals(project, held));
    }
    match status.reports.last() {
        Some(last) => lines.extend(report(last)),
        None => lines.extend([String::new(), "No pass has ended yet.".to_owned()]),
    }
    lines.push(String::new());
    lines.join("\n")
}

fn workers(status: &Status) -> String {
    let mut by_revision: BTreeMap<&Revision, usize> = BTreeMap::new();
    for worker in status.workers.values() {
        *by_revision.entry(&worker.revision).or_default() += 1;
    }
    match by_revision.len() {
        0 => "none; passes wait for a worker".to_owned(),
        1 => status.workers.len().to_string(),
        _ => {
            let held: Vec<String> = by_revision
                .iter()
                .take(SHOWN)
                .map(|(revision, count)| format!("{count} with {}", code(revision.as_str())))
                .collect();
            format!(
                "{}, which hold different revisions ({}): nothing is removed",
                status.workers.len(),
                held.join(", ")
            )
        }
    }
}

fn held_removals(project: &Project, held: &Held) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        format!("## Held removals: {}", held.count),
        String::new(),
        code(&held.reason),
        String::new(),
    ];
    // Without a digest they cannot be confirmed: they wait until the reason is gone.
    if !held.digest.is_empty() {
        let command = format!("almanac sync --project {project} --confirm {}", held.digest);
        lines.extend([
            format!("To confirm them: {}", code(&command)),
            String::new(),
        ]);
    }
    let ids = held.ids.iter().map(|id| format!("- {}", code(id)));
    lines.extend(some(ids, held.count));
    lines
}

fn report(report: &Report) -> Vec<String> {
    let kind = if report.dry_run { ", a dry run" } else { "" };
    let trigger = serde_json::to_value(report.trigger).unwrap_or_default();
    let mut lines = vec![
        String::new(),
        format!("## Pass {}{kind}", report.pass),
        String::new(),
        format!(
            "Trigger: {}. Started {:.0}, took {} ms, {} errors.",
            trigger.as_str().unwrap_or("interval"),
            report.started_at,
            report.duration_ms,
            report.errors.len()
        ),
        String::new(),
        "| schedules | |".to_owned(),
        "|---|---|".to_owned(),
    ];
    lines.extend(
        counts(&report.schedules)
            .into_iter()
            .filter(|(name, count)| *count > 0 || matches!(*name, "desired" | "unchanged"))
            .map(|(name, count)| format!("| {name} | {count} |")),
    );
    if report.drift.detected > 0 {
        lines.push(format!(
            "| drifted fields (corrected) | {} ({}) |",
            report.drift.detected, report.drift.corrected
        ));
    }
    if report.definitions.invalid > 0 {
        lines.push(format!(
            "| invalid documents | {} |",
            report.definitions.invalid
        ));
    }
    if !report.changes.is_empty() {
        lines.extend([String::new(), "### Changes".to_owned(), String::new()]);
        let changes = report.changes.iter().map(|change| {
            let why = if change.reason.is_empty() {
                String::new()
            } else {
                format!(": {}", code(&change.reason))
            };
            format!("- {} {}{why}", op(change.op), code(&change.id))
        });
        lines.extend(some(changes, report.changes.len() as u64));
    }
    if !report.errors.is_empty() {
        lines.extend([String::new(), "### Errors".to_owned(), String::new()]);
        let errors = report.errors.iter().map(|error| {
            let id = error.id.as_deref().map(code).unwrap_or_default();
            format!("- {} {id} {}", code(&error.source), code(&error.message))
        });
        lines.extend(some(errors, report.errors.len() as u64));
    }
    if report.truncated > 0 {
        lines.extend([
            String::new(),
            format!("The report leaves out {} entries.", report.truncated),
        ]);
    }
    lines
}

fn counts(counts: &ScheduleCounts) -> [(&'static str, u64); 13] {
    [
        ("desired", counts.desired),
        ("unchanged", counts.unchanged),
        ("created", counts.created),
        ("updated", counts.updated),
        ("paused", counts.paused),
        ("unpaused", counts.unpaused),
        ("deleted", counts.deleted),
        ("overridden", counts.overridden),
        ("conflicts", counts.conflicts),
        ("held", counts.held),
        ("orphaned", counts.orphaned),
        ("contested", counts.contested),
        ("unreadable", counts.unreadable),
    ]
}

fn op(op: Op) -> &'static str {
    match op {
        Op::Create => "create",
        Op::Update => "update",
        Op::Pause => "pause",
        Op::Unpause => "unpause",
        Op::Delete => "delete",
        Op::ClearOverride => "clear the override of",
        Op::KeepOverride => "keep the override of",
    }
}

fn some(entries: impl Iterator<Item = String>, count: u64) -> Vec<String> {
    let mut lines: Vec<String> = entries.take(SHOWN).collect();
    let more = count.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!("- and {more} more"));
    }
    lines
}

fn fact(name: &str, value: &str) -> String {
    format!("- **{name}:** {value}")
}

/// Formats a text from outside as code, so that it cannot become Markdown.
fn code(shown: &str) -> String {
    text::code(shown, TEXT)
}

#[cfg(test)]
mod tests;
