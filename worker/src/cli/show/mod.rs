//! `almanac show`: prints one schedule as it is in Temporal.

use std::process::ExitCode;

use almanac_activities::schedules::view::{self, ScheduleDetail, ScheduleState, ScheduleView};
use almanac_activities::schedules::{LiveVersion, LiveVersions, Run, live_versions};
use almanac_base::names::{DefinitionId, Revision};
use almanac_core::record::Override;
use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use super::Remote;
use super::list::{run_status, run_tone, state, tone};
use crate::args::ShowArgs;
use crate::console::{Cell, Column, Page, Table, Tone};
use crate::time_text::{ago, coming_at, in_zone, precise, span_between, utc};
use crate::wording::{missed_runs, override_end, override_values};

/// Maximum number of runs and of fire times that are shown.
const RUNS_SHOWN: usize = 5;

/// Output of `almanac show`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Shown {
    /// A definition with a schedule.
    Scheduled {
        #[serde(flatten)]
        detail: Box<ScheduleDetail>,
        live: LiveVersions,
    },
    /// A definition without a schedule that has runs.
    Unscheduled {
        definition: DefinitionId,
        live: LiveVersions,
    },
}

pub(super) async fn run(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let status = remote.status_if_any().await;
    let project = &args.target.project;
    let id = args.id.parse()?;
    let context = super::view_context(project, status.as_ref());
    let detail = view::describe(&remote.schedules, &id, context, None)
        .await
        .context("describe the schedule")?;
    let live = live_versions(&remote.schedules, project, &id)
        .await
        .context("list the runs that have not ended")?;
    if detail.is_none() && live.versions.is_empty() {
        remote.managed_schedule(project, &id, None).await?;
    }
    let shown = match detail {
        Some(detail) => Shown::Scheduled {
            detail: Box::new(detail),
            live,
        },
        None => Shown::Unscheduled {
            definition: id,
            live,
        },
    };
    super::print(args.target.format, &shown, |shown| match shown {
        Shown::Scheduled { detail, live } => scheduled(detail, live, Timestamp::now()),
        Shown::Unscheduled { definition, live } => {
            let mut page = Page::default();
            page.toned(Tone::Strong, definition.as_str());
            page.line("  The definition has no schedule.");
            versions(live, None, Timestamp::now(), &mut page);
            page
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn scheduled(detail: &ScheduleDetail, live: &LiveVersions, now: Timestamp) -> Page {
    let view = &detail.view;
    let mut page = Page::default();
    page.cells([
        Cell::toned(tone(view.state), "● "),
        Cell::toned(Tone::Strong, view.definition.as_str()),
        "  ".into(),
        Cell::toned(tone(view.state), state(view, true)),
    ]);
    page.facts(2, facts(detail, now));
    next_runs(view, now, &mut page);
    recent_runs(&detail.recent_runs, now, &mut page);
    versions(live, detail.revision.as_ref(), now, &mut page);
    if let Some(document) = &detail.document {
        heading("Live values, as a definition", &mut page);
        for line in document.lines() {
            page.line(format!("  {line}"));
        }
    }
    page
}

fn facts(detail: &ScheduleDetail, now: Timestamp) -> Vec<(&'static str, Cell)> {
    let view = &detail.view;
    let mut facts: Vec<(&str, Cell)> = vec![
        ("Schedule", view.id.to_string().into()),
        ("Times", view.summary.clone().into()),
    ];
    if let Some(set) = &view.overridden {
        facts.push(("Override", override_text(set, now).into()));
    } else if let Some(reason) = &view.reason {
        let by = view.by.as_ref().map(|by| format!(" (by {by})"));
        let by = by.unwrap_or_default();
        facts.push(("Note", format!("{reason}{by}").into()));
    }
    facts.push(("Source", source(detail)));
    if let Some(since) = view.overdue_since {
        let late = format!(
            "since {} ({}): a run was due and has not started",
            utc(since),
            span_between(since, now)
        );
        facts.push(("Overdue", Cell::toned(Tone::Bad, late)));
    }
    let drift = view.drift.iter().flatten();
    let drift: Vec<_> = drift.map(|field| field.as_str()).collect();
    if !drift.is_empty() {
        let text = format!("{} differ from what Almanac wrote", drift.join(", "));
        facts.push(("Drift", Cell::toned(Tone::Caution, text)));
    }
    facts.push(("Started", started(detail).into()));
    let missed = view.missed.map(missed_runs).unwrap_or_default();
    facts.extend(
        missed
            .into_iter()
            .map(|text| ("Missed", Cell::toned(Tone::Caution, text))),
    );
    if let Some(difference) = &detail.zone_difference {
        facts.push((
            "Warning",
            Cell::toned(Tone::Caution, difference.to_string()),
        ));
    }
    if !view.unknown.is_empty() {
        let names: Vec<_> = view.unknown.iter().map(|state| state.as_str()).collect();
        let names = names.join(", ");
        facts.push(("Unknown", Cell::toned(Tone::Muted, names)));
    }
    facts
}

fn override_text(set: &Override, now: Timestamp) -> String {
    format!(
        "{} {}, by {}: {}",
        override_values(set),
        override_end(set, now),
        set.by,
        set.reason
    )
}

fn source(detail: &ScheduleDetail) -> Cell {
    let view = &detail.view;
    if view.state == ScheduleState::Conflict {
        let text = "none: Almanac does not manage the schedule, and does not write to it";
        return text.into();
    }
    match (&view.source, &detail.revision) {
        (Some(source), Some(revision)) => format!("{source}, revision {revision}").into(),
        (Some(source), None) => source.clone().into(),
        (None, _) => "unknown: someone replaced the schedule's memo".into(),
    }
}

fn started(detail: &ScheduleDetail) -> String {
    let runs = match detail.action_count {
        1 => "1 run".to_owned(),
        count => format!("{count} runs"),
    };
    match detail.view.remaining_actions {
        Some(1) => format!("{runs}; 1 action is left"),
        Some(left) => format!("{runs}; {left} actions are left"),
        None => runs,
    }
}

fn heading(text: &str, page: &mut Page) {
    page.line("");
    page.toned(Tone::Strong, text);
}

fn next_runs(view: &ScheduleView, now: Timestamp, page: &mut Page) {
    heading("Next runs", page);
    if view.paused {
        page.line("  none while the schedule is paused");
        return;
    }
    let next = view.next_run.iter().chain(&view.next_runs);
    let mut next = next.take(RUNS_SHOWN);
    let Some(first) = next.next() else {
        page.line("  none");
        return;
    };
    page.cells([
        format!("  {}", in_zone(*first, &view.timezone)).into(),
        Cell::toned(Tone::Strong, format!("  {}", coming_at(*first, now))),
    ]);
    for at in next {
        page.line(format!("  {}", in_zone(*at, &view.timezone)));
    }
}

fn recent_runs(runs: &[Run], now: Timestamp, page: &mut Page) {
    heading("Recent runs", page);
    if runs.is_empty() {
        page.line("  none");
        return;
    }
    let mut table = Table::new([
        Column::new("  STARTED"),
        Column::new("DELAY"),
        Column::new("DURATION"),
        Column::new("STATUS"),
        Column::shrinking("WORKFLOW", 20),
    ]);
    for run in runs.iter().rev().take(RUNS_SHOWN) {
        let status = run.status.as_deref().unwrap_or("started");
        let text = run_status(status);
        table.row([
            format!("  {}", run.started.map_or_else(|| "-".to_owned(), utc)).into(),
            delay(run).into(),
            duration(run, now).into(),
            match run_tone(status) {
                Some(tone) => Cell::toned(tone, text),
                None => text.into(),
            },
            run.workflow_id.clone().into(),
        ]);
    }
    page.table(table);
}

/// The time from when a run was due to its start.
fn delay(run: &Run) -> String {
    match (run.due, run.started) {
        (Some(due), Some(started)) => precise(due, started),
        _ => "-".to_owned(),
    }
}

/// The duration of a run, up to now if it has not ended.
fn duration(run: &Run, now: Timestamp) -> String {
    match (run.started, run.ended) {
        (Some(started), Some(ended)) => precise(started, ended),
        (Some(started), None) if run.is_running() => precise(started, now),
        _ => "-".to_owned(),
    }
}

/// Prints the versions of the definition that running workflows use. Prints no line if there
/// are none.
fn versions(live: &LiveVersions, current: Option<&Revision>, now: Timestamp, page: &mut Page) {
    if live.versions.is_empty() {
        return;
    }
    heading("Versions with running workflows", page);
    for one in &live.versions {
        page.line(version(one, current, now));
    }
    if live.truncated {
        page.line("  and more: not all runs were read");
    }
}

fn version(version: &LiveVersion, current: Option<&Revision>, now: Timestamp) -> String {
    let revision = version.revision.as_ref();
    let source = version.source.as_deref().unwrap_or("started by name");
    let runs = match version.runs {
        1 => "1 run".to_owned(),
        more => format!("{more} runs"),
    };
    let since = version
        .oldest
        .map(|at| format!(", the oldest since {}", ago(at, now)));
    let is_current = revision.is_some() && revision == current;
    let mark = if is_current { " (current)" } else { "" };
    format!(
        "  {}{mark}  {source}  {runs}{}",
        revision.map_or_else(|| "unknown".to_owned(), ToString::to_string),
        since.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests;
