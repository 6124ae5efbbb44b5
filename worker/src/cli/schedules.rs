//! `almanac list` and `almanac show`: print schedules as they are in Temporal.

use std::collections::BTreeSet;
use std::process::ExitCode;

use almanac_activities::schedules::view::{
    self, PausedBy, ScheduleDetail, ScheduleState, ScheduleView, ViewContext,
};
use almanac_activities::schedules::{LiveVersion, LiveVersions, Missed, Run, live_versions};
use almanac_base::names::{DefinitionId, Project, Revision};
use almanac_core::field::Field;
use almanac_core::record::Status;
use almanac_core::schedule::ScheduleValues;
use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use super::{Remote, local};
use crate::args::{ListArgs, ShowArgs};
use crate::console::{self, Cell, Page, Tone};

/// Maximum number of runs that are shown of each kind.
const RUNS_SHOWN: usize = 5;

pub(super) async fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let status = remote.status_if_any().await;
    let project = &args.target.project;
    let context = context(project, status.as_ref());
    let all = view::list(&remote.schedules, context, None)
        .await
        .context("list the schedules")?;
    super::show(args.target.format, &all, |all| {
        if all.is_empty() {
            let namespace = &remote.namespace;
            Page::of_line(format!(
                "no schedules of project `{project}` in namespace `{namespace}`"
            ))
        } else {
            rows(all)
        }
    })?;
    let mut unknown: BTreeSet<_> = all.iter().flat_map(|one| &one.unknown).copied().collect();
    if status.as_ref().and_then(Status::conflicts).is_none() {
        // A list without that report cannot show the schedules that are in conflict.
        unknown.insert(ScheduleState::Conflict);
    }
    if let Some(line) = unknown_line(&unknown) {
        console::eprint(&line);
    }
    Ok(ExitCode::SUCCESS)
}

/// The facts from which views are derived. The files are not among them, since the worker has
/// them.
fn context<'a>(project: &'a Project, status: Option<&'a Status>) -> ViewContext<'a> {
    ViewContext {
        project,
        status,
        files: None,
        now: Timestamp::now(),
    }
}

/// A line with the states that could not be checked.
fn unknown_line(states: &BTreeSet<ScheduleState>) -> Option<String> {
    let line = || format!("these states could not be checked: {}", names(states));
    (!states.is_empty()).then(line)
}

fn names(states: &BTreeSet<ScheduleState>) -> String {
    let names: Vec<_> = states.iter().map(|state| state.as_str()).collect();
    names.join(", ")
}

fn rows(all: &[ScheduleView]) -> Page {
    let rows: Vec<[Cell; 6]> = all
        .iter()
        .map(|one| {
            [
                one.definition.to_string().into(),
                Cell::toned(tone(one.state), state(one)),
                times(one).into(),
                time(one.next_run).into(),
                time(one.last_run.as_ref().map(|run| run.at)).into(),
                one.note.clone().into(),
            ]
        })
        .collect();
    let mut page = Page::default();
    page.table(
        ["ID", "STATE", "TIMES", "NEXT RUN", "LAST RUN", "NOTE"],
        &rows,
    );
    page
}

fn tone(state: ScheduleState) -> Tone {
    match state {
        ScheduleState::Active => Tone::Good,
        ScheduleState::Paused
        | ScheduleState::Overridden
        | ScheduleState::Finished
        | ScheduleState::Held => Tone::Caution,
        ScheduleState::Conflict
        | ScheduleState::Unreadable
        | ScheduleState::Orphaned
        | ScheduleState::Contested => Tone::Bad,
    }
}

/// The state, with the person or owner that paused the schedule.
fn state(view: &ScheduleView) -> String {
    match view.paused_by.map(PausedBy::as_str) {
        None => view.state.to_string(),
        Some(by) if view.state == ScheduleState::Paused => format!("paused by {by}"),
        Some(by) => format!("{}, paused by {by}", view.state),
    }
}

/// The schedule's times in short, with the time zone if that matters.
fn times(view: &ScheduleView) -> String {
    let every = view.every.iter().map(|every| format!("every {every}"));
    let all: Vec<_> = view.cron.iter().cloned().chain(every).collect();
    let shown = match &all[..] {
        [] => "-".to_owned(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    };
    if view.timezone == "UTC" {
        shown
    } else {
        format!("{shown} {}", view.timezone)
    }
}

fn time(time: Option<Timestamp>) -> String {
    let shown = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
    time.map_or_else(|| "-".to_owned(), shown)
}

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

pub(super) async fn show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let status = remote.status_if_any().await;
    let project = &args.target.project;
    let id = args.id.parse()?;
    let context = context(project, status.as_ref());
    let detail = view::describe(&remote.schedules, &id, context, None)
        .await
        .context("describe the schedule")?;
    let live = live_versions(&remote.schedules, project, &id)
        .await
        .context("list the runs that go on")?;
    if detail.is_none() && live.versions.is_empty() {
        remote.ours(project, &id, None).await?;
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
    super::show(args.target.format, &shown, |shown| match shown {
        Shown::Scheduled { detail, live } => {
            let mut page = text(detail);
            versions(live, detail.revision.as_ref(), &mut page);
            page
        }
        Shown::Unscheduled { definition, live } => {
            let mut page = Page::of_line(definition.as_str());
            page.line("  no schedule");
            versions(live, None, &mut page);
            page
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the versions of the definition that running workflows use. Prints no line if there
/// are none.
fn versions(live: &LiveVersions, current: Option<&Revision>, page: &mut Page) {
    if live.versions.is_empty() {
        return;
    }
    page.line("  versions with live runs");
    for one in &live.versions {
        page.line(version(one, current));
    }
    if live.truncated {
        page.line("    and more: not all runs were looked at");
    }
}

fn version(version: &LiveVersion, current: Option<&Revision>) -> String {
    let revision = version.revision.as_ref();
    let source = version.source.as_deref().unwrap_or("by name");
    let runs = match version.runs {
        1 => "1 run".to_owned(),
        more => format!("{more} runs"),
    };
    let is_current = revision.is_some() && revision == current;
    let mark = if is_current { "  the schedule's" } else { "" };
    format!(
        "    {}  {source}  {runs}, since {}{mark}",
        revision.map_or_else(|| "unknown".to_owned(), ToString::to_string),
        time(version.oldest),
    )
}

fn text(detail: &ScheduleDetail) -> Page {
    let view = &detail.view;
    let unknown = || match view.state {
        ScheduleState::Conflict => "none: the schedule is not Almanac's and is left alone",
        _ => "unknown: someone replaced its body",
    };
    let unknown = || unknown().to_owned();
    let revision = detail.revision.as_ref().map(ToString::to_string);
    let mut facts = vec![
        ("schedule", view.id.to_string()),
        ("source", view.source.clone().unwrap_or_else(unknown)),
        ("revision", revision.unwrap_or_else(unknown)),
        ("state", state(view)),
        ("note", view.note.clone()),
    ];
    if !view.unknown.is_empty() {
        facts.push(("not known", names(&view.unknown)));
    }
    if let Some(set) = &view.overridden {
        let until = set.until.map(|until| format!(", until {until}"));
        let until = until.unwrap_or_default();
        facts.push(("override", format!("{} (by {}{until})", set.reason, set.by)));
    }
    if let Some(left) = view.remaining_actions {
        facts.push(("actions left", left.to_string()));
    }
    facts.push(("started", format!("{} runs", detail.action_count)));
    facts.extend(
        view.missed
            .and_then(missed)
            .map(|missed| ("missed", missed)),
    );
    if let Some(since) = view.overdue_since {
        let since = time(Some(since));
        facts.push(("overdue", format!("nothing was started at {since}")));
    }
    if let Some(difference) = &detail.zone_difference {
        facts.push(("warning", difference.to_string()));
    }
    let mut lines = vec![view.definition.to_string()];
    lines.extend(
        facts
            .iter()
            .map(|(name, value)| format!("  {name:<13} {value}")),
    );
    lines.push("  values".to_owned());
    lines.extend(detail.values.iter().filter_map(|(field, value)| {
        let by_default = *value == ScheduleValues::default_value(*field);
        let shown = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        (!by_default && *field != Field::Paused).then(|| format!("    {field}: {shown}"))
    }));
    lines.push("  next runs".to_owned());
    if view.paused {
        lines.push("    none while it is paused".to_owned());
    } else {
        let next = view.next_run.iter().chain(&view.next_runs);
        let next = next.take(RUNS_SHOWN);
        lines.extend(next.map(|at| format!("    {}", local(*at, &view.timezone))));
    }
    lines.push("  recent runs".to_owned());
    lines.extend(detail.recent_runs.iter().rev().take(RUNS_SHOWN).map(run));
    let mut page = Page::default();
    for line in lines {
        page.line(line);
    }
    page
}

/// The runs that were due and never started, with the reasons.
fn missed(missed: Missed) -> Option<String> {
    let reasons = [
        (missed.overlap, "an earlier run went on"),
        (missed.catchup_window, "too late to catch up"),
        (missed.buffer, "the buffer was full"),
    ];
    let said: Vec<_> = reasons
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, why)| format!("{count} ({why})"))
        .collect();
    (!said.is_empty()).then(|| said.join(", "))
}

fn run(run: &Run) -> String {
    let status = run.status.as_deref().unwrap_or("started");
    format!("    {}  {status}  {}", time(run.started), run.workflow_id)
}
