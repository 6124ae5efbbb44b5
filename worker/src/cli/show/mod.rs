//! `almanac show`: prints one schedule as it is in Temporal.

use std::process::ExitCode;
use std::time::Duration;

use almanac_activities::schedules::view::{self, ScheduleDetail, ScheduleState, ScheduleView};
use almanac_activities::schedules::{
    EventRun, LiveVersion, LiveVersions, Run, event_runs, live_versions,
};
use almanac_base::names::{DefinitionId, Project, Revision};
use almanac_core::definition::Triggers;
use almanac_core::record::Override;
use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use super::Remote;
use super::list::{run_status, run_tone, state, tone};
use crate::args::ShowArgs;
use crate::console::{Cell, Column, Page, Table, Tone};
use crate::event_words::TriggerWords;
use crate::registry::{ReadDepth, Registry};
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
        #[serde(flatten)]
        events: Events,
    },
    /// A definition without a schedule that has runs or triggers.
    Unscheduled {
        definition: DefinitionId,
        live: LiveVersions,
        #[serde(flatten)]
        events: Events,
    },
}

/// The events that start a definition.
#[derive(Debug, Default, Serialize)]
struct Events {
    /// The triggers of the definition's file; `None` if no file was found.
    triggers: Option<Triggers>,
    /// `path` or `path:line` of the definition's document.
    #[serde(skip)]
    source: String,
    /// The last runs that events started, newest first.
    event_runs: Vec<EventRun>,
}

impl Events {
    async fn of(
        remote: &Remote,
        project: &Project,
        id: &DefinitionId,
        args: &ShowArgs,
    ) -> anyhow::Result<Self> {
        let event_runs = event_runs(&remote.schedules, project, id)
            .await
            .context("list the runs that events started")?;
        let registry = Registry::new(args.dir.clone(), Duration::ZERO);
        // Without the files, the schedule is shown nevertheless.
        let read = registry.reload(ReadDepth::Contents).await;
        let snapshot = registry.snapshot();
        let loaded = snapshot.definitions.get(id).filter(|_| read.is_ok());
        Ok(Self {
            triggers: loaded.map(|loaded| loaded.definition.triggers.clone()),
            source: loaded
                .map(|loaded| loaded.source.clone())
                .unwrap_or_default(),
            event_runs,
        })
    }

    fn has_triggers(&self) -> bool {
        self.triggers
            .as_ref()
            .is_some_and(|triggers| !triggers.is_empty())
    }
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
    let events = Events::of(&remote, project, &id, args).await?;
    let is_known = events.has_triggers() || !events.event_runs.is_empty();
    if detail.is_none() && live.versions.is_empty() && !is_known {
        let hint =
            "a definition that only events start has no schedule; --dir says where its file is";
        remote.managed_schedule(project, &id, Some(hint)).await?;
    }
    let shown = match detail {
        Some(detail) => Shown::Scheduled {
            detail: Box::new(detail),
            live,
            events,
        },
        None => Shown::Unscheduled {
            definition: id,
            live,
            events,
        },
    };
    super::print(args.target.format, &shown, |shown| match shown {
        Shown::Scheduled {
            detail,
            live,
            events,
        } => scheduled(detail, live, events, Timestamp::now()),
        Shown::Unscheduled {
            definition,
            live,
            events,
        } => unscheduled(definition, live, events, Timestamp::now()),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn unscheduled(
    definition: &DefinitionId,
    live: &LiveVersions,
    events: &Events,
    now: Timestamp,
) -> Page {
    let mut page = Page::default();
    page.toned(Tone::Strong, definition.as_str());
    page.line(if events.has_triggers() {
        "  The definition has no schedule: events start it."
    } else {
        "  The definition has no schedule."
    });
    started_by_events(events, now, &mut page);
    versions(live, None, now, &mut page);
    page
}

fn scheduled(
    detail: &ScheduleDetail,
    live: &LiveVersions,
    events: &Events,
    now: Timestamp,
) -> Page {
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
    started_by_events(events, now, &mut page);
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

/// Prints the triggers, and the last runs that events started. Prints no line if there are none.
fn started_by_events(events: &Events, now: Timestamp, page: &mut Page) {
    if let Some(triggers) = events.triggers.as_ref().filter(|one| !one.is_empty()) {
        heading(&format!("Triggers, as in {}", events.source), page);
        for words in TriggerWords::all(triggers) {
            let off = if words.enabled { "" } else { "  (disabled)" };
            page.cells([
                "  ".into(),
                Cell::toned(Tone::Strong, words.event),
                Cell::toned(Tone::Caution, off),
            ]);
            let facts = [
                ("when", words.when.unwrap_or_else(|| "always".to_owned())),
                ("input", words.input),
                ("workflow id", words.workflow_id),
                ("on conflict", words.on_conflict.to_owned()),
            ];
            page.facts(4, facts.map(|(name, value)| (name, value.into())));
        }
    }
    if events.event_runs.is_empty() {
        return;
    }
    heading("Last runs that events started", page);
    let mut table = Table::new([
        Column::new("  STARTED"),
        Column::new("DURATION"),
        Column::new("STATUS"),
        Column::shrinking("EVENT", 12),
        Column::shrinking("SOURCE AND ID", 12),
        Column::shrinking("WORKFLOW", 20),
    ]);
    for run in events.event_runs.iter().take(RUNS_SHOWN) {
        let status = run.status.as_deref().unwrap_or("started");
        let text = run_status(status);
        let event = &run.event.event;
        let duration = match (run.started, run.ended) {
            (Some(started), Some(ended)) => precise(started, ended),
            (Some(started), None) => precise(started, now),
            _ => "-".to_owned(),
        };
        table.row([
            format!("  {}", run.started.map_or_else(|| "-".to_owned(), utc)).into(),
            duration.into(),
            match run_tone(status) {
                Some(tone) => Cell::toned(tone, text),
                None => text.into(),
            },
            event.kind.clone().into(),
            format!("{} {}", event.source, event.id).into(),
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
