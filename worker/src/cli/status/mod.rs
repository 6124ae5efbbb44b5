//! `almanac status`: prints on one screen what is wrong, for a person in an incident.
//!
//! Every finding names the command that helps. The command reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use almanac_activities::schedules::view::{
    self, PausedBy, ScheduleState, ScheduleView, ViewContext,
};
use almanac_base::names::{DefinitionId, Project, WorkerId};
use almanac_core::record::{Report, Status, WorkerState};
use anyhow::Context as _;
use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::list::{tone, unknown_remark, unknown_states};
use super::selection::CONCURRENCY;
use super::time_text::{ago, span_between, utc};
use super::watch::watch;
use super::wording::{counted, project_flag};
use super::{Remote, sync};
use crate::args::StatusArgs;
use crate::console::{Cell, Page, Tone};
use crate::reconcile_client::{ReconcileClientError, Silence};

/// Maximum number of items that are shown of each finding.
const ITEMS_SHOWN: usize = 5;
/// Maximum number of schedules that are described to find those that are overdue.
const CANDIDATES: usize = 20;
/// Time after which a schedule whose next run has not started may be overdue.
const LATE_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// The exit code if a finding is a problem.
const PROBLEM: u8 = 2;

/// The state of a project.
#[derive(Debug, Serialize)]
struct ProjectStatus {
    project: Project,
    namespace: String,
    /// Address of the Temporal server.
    address: String,
    /// `true` if no finding is a problem.
    healthy: bool,
    /// State of the reconcile workflow: `idle`, `running`, `waiting_for_worker`, `suspended`,
    /// `absent` (it does not run), or `unknown` (it does not answer).
    reconciler: String,
    workers: BTreeMap<WorkerId, WorkerState>,
    /// The last report of a full pass.
    last_pass: Option<Report>,
    /// Time at which a full pass last ended well.
    last_success: Option<Timestamp>,
    /// Number of schedules by their state.
    schedules: BTreeMap<ScheduleState, usize>,
    /// States that could not be checked for all schedules.
    unknown: BTreeSet<ScheduleState>,
    /// What a person should know, the most urgent first.
    findings: Vec<Finding>,
}

/// A fact that a person should know.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Finding {
    kind: FindingKind,
    /// The fact needs a person. `false` for what an operator did on purpose.
    problem: bool,
    /// Number of schedules, documents or errors.
    count: u64,
    /// The fact in a sentence.
    summary: String,
    /// Schedules, documents or errors, one per line; at most 5.
    items: Vec<String>,
    /// The commands that help.
    commands: Vec<String>,
}

/// Kinds of findings, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum FindingKind {
    ReconcilerAbsent,
    ReconcilerSilent,
    NoWorker,
    Suspended,
    LastError,
    NoFullPass,
    RevisionsDiffer,
    Invalid,
    Failed,
    Held,
    Overdue,
    Conflict,
    Unreadable,
    Contested,
    Orphaned,
    PausedAfterFailure,
    Overridden,
    PausedManually,
}

pub(super) async fn run(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let project = &args.target.project;
    if let Some(interval) = args.watch {
        return Box::pin(watch(interval, || async {
            let status = ProjectStatus::of(&remote, project).await?;
            Ok(text(&status, Timestamp::now()))
        }))
        .await;
    }
    let status = ProjectStatus::of(&remote, project).await?;
    super::print(args.target.format, &status, |status| {
        text(status, Timestamp::now())
    })?;
    Ok(if status.healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(PROBLEM)
    })
}

impl ProjectStatus {
    async fn of(remote: &Remote, project: &Project) -> anyhow::Result<Self> {
        let asked = remote.reconciler.status().await;
        let context = super::view_context(project, asked.as_ref().ok());
        let views = view::list(&remote.schedules, context, None)
            .await
            .context("list the schedules")?;
        let overdue = Overdue::find(remote, &views, context).await;
        let mut findings = Vec::new();
        match &asked {
            Ok(status) => findings.extend(of_reconciler(project, status, context.now)),
            Err(error) => findings.push(unanswered(remote, project, error)),
        }
        findings.extend(overdue.finding(project, context.now));
        findings.extend(of_schedules(project, &views));
        let status = asked.unwrap_or_else(|error| Status {
            state: match error {
                ReconcileClientError::Absent(_) => "absent".to_owned(),
                _ => "unknown".to_owned(),
            },
            ..Status::default()
        });
        let place = (remote.address.clone(), remote.namespace.clone());
        Ok(Self::new(project.clone(), place, status, &views, findings))
    }

    fn new(
        project: Project,
        (address, namespace): (String, String),
        status: Status,
        views: &[ScheduleView],
        mut findings: Vec<Finding>,
    ) -> Self {
        let mut schedules = BTreeMap::new();
        for view in views {
            *schedules.entry(view.state).or_default() += 1;
        }
        let unknown = unknown_states(views, Some(&status));
        findings.sort_by_key(|finding| finding.kind);
        Self {
            project,
            namespace,
            address,
            healthy: !findings.iter().any(|finding| finding.problem),
            last_pass: last_full(&status).cloned(),
            last_success: status.last_success,
            reconciler: status.state,
            workers: status.workers,
            schedules,
            unknown,
            findings,
        }
    }
}

/// The report of the last full pass that was not a dry run.
fn last_full(status: &Status) -> Option<&Report> {
    let mut reports = status.reports.iter().rev();
    reports.find(|report| report.is_full() && !report.dry_run)
}

/// The schedules that are overdue.
#[derive(Debug, Default)]
struct Overdue {
    /// The schedules, with the times at which a run was due.
    found: Vec<(DefinitionId, Timestamp)>,
    /// Number of schedules whose next run should have started and which were not described.
    unchecked: usize,
}

impl Overdue {
    /// Describes the schedules whose next run should have started, the latest first.
    async fn find(remote: &Remote, views: &[ScheduleView], context: ViewContext<'_>) -> Self {
        let late = context.now - LATE_AFTER;
        let mut candidates: Vec<_> = views
            .iter()
            .filter_map(|view| Some((view.next_run?, &view.definition)))
            .filter(|(next, _)| *next < late)
            .collect();
        candidates.sort_unstable();
        let asked = candidates.iter().take(CANDIDATES).map(async |(_, id)| {
            let described = view::describe(&remote.schedules, id, context, None).await;
            (*id, described)
        });
        let asked: Vec<_> = stream::iter(asked).buffered(CONCURRENCY).collect().await;
        let mut overdue = Self {
            unchecked: candidates.len().saturating_sub(CANDIDATES),
            ..Self::default()
        };
        for (id, described) in asked {
            match described {
                Ok(detail) => {
                    let since = detail.and_then(|detail| detail.view.overdue_since);
                    overdue.found.extend(since.map(|since| (id.clone(), since)));
                }
                Err(_) => overdue.unchecked += 1,
            }
        }
        overdue
    }

    fn finding(&self, project: &Project, now: Timestamp) -> Option<Finding> {
        let flag = project_flag(project);
        let count = self.found.len() as u64;
        let overdue = format!(
            "{} overdue: a run was due and has not started",
            counted(count, "schedule is", "schedules are")
        );
        let more = format!(
            "{} late, and could not be checked",
            counted(self.unchecked as u64, "schedule is", "schedules are")
        );
        let summary = match (self.found.is_empty(), self.unchecked) {
            (true, 0) => return None,
            (true, _) => more,
            (false, 0) => overdue,
            (false, _) => format!("{overdue}; {more}"),
        };
        let items = self.found.iter().take(ITEMS_SHOWN).map(|(id, since)| {
            let late = span_between(*since, now);
            format!("{id}: was due at {} ({late} ago)", utc(*since))
        });
        let command = match self.found.first() {
            Some((id, _)) => format!("almanac show {id}{flag}"),
            None => format!("almanac list{flag} --sort next"),
        };
        Some(Finding {
            kind: FindingKind::Overdue,
            problem: true,
            count,
            summary,
            items: items.collect(),
            commands: vec![command],
        })
    }
}

/// The finding for a reconcile workflow that does not answer.
fn unanswered(remote: &Remote, project: &Project, error: &ReconcileClientError) -> Finding {
    let kind = match error {
        ReconcileClientError::Absent(_) => FindingKind::ReconcilerAbsent,
        _ => FindingKind::ReconcilerSilent,
    };
    let commands = match error {
        ReconcileClientError::Absent(_) => vec![format!("almanac run --project {project}")],
        _ => vec![format!(
            "temporal workflow describe --address {} --namespace {} --workflow-id {}",
            remote.address,
            remote.namespace,
            remote.reconciler.workflow_id()
        )],
    };
    Finding {
        kind,
        problem: true,
        count: 1,
        summary: match error {
            ReconcileClientError::Absent(_) | ReconcileClientError::NoAnswer(Silence::NoWorker) => {
                format!("{error}: schedules fire, and nothing corrects them")
            }
            ReconcileClientError::NoAnswer(_) => {
                format!("{error}; if no worker runs, schedules fire, and nothing corrects them")
            }
            _ => format!("the state of the reconcile workflow is not known: {error}"),
        },
        items: Vec::new(),
        commands,
    }
}

/// The findings in the state of the reconcile workflow.
fn of_reconciler(project: &Project, status: &Status, now: Timestamp) -> Vec<Finding> {
    let mut all = Vec::new();
    let mut add = |kind, count, summary: String, items: Vec<String>, commands: Vec<String>| {
        all.push(Finding {
            kind,
            // An operator suspended Almanac on purpose.
            problem: kind != FindingKind::Suspended,
            count,
            summary,
            items,
            commands,
        });
    };
    let flag = project_flag(project);
    if status.workers.is_empty() {
        let summary = "no worker is alive: schedules fire, and nothing corrects them".to_owned();
        let run = format!("almanac run --project {project}");
        add(FindingKind::NoWorker, 1, summary, Vec::new(), vec![run]);
    }
    if let Some(suspended) = &status.suspended {
        let summary = format!(
            "Almanac was suspended at {} ({}) by {}: {}",
            utc(suspended.at),
            ago(suspended.at, now),
            suspended.by,
            suspended.reason
        );
        let resume = format!("almanac resume{flag}");
        add(FindingKind::Suspended, 1, summary, Vec::new(), vec![resume]);
    }
    if let Some(error) = &status.last_error {
        let summary = format!("the last pass did not end well: {error}");
        let sync = format!("almanac sync{flag}");
        add(FindingKind::LastError, 1, summary, Vec::new(), vec![sync]);
    }
    let mut revisions: Vec<_> = status.workers.values().map(|one| &one.revision).collect();
    revisions.sort_unstable();
    revisions.dedup();
    if revisions.len() > 1 {
        let items = status.workers.iter();
        let items = items.map(|(id, worker)| format!("{id}: revision {}", worker.revision));
        let count = revisions.len() as u64;
        let summary = format!("the workers have {count} revisions of the definitions");
        let kind = FindingKind::RevisionsDiffer;
        add(kind, count, summary, items.collect(), Vec::new());
    }
    if last_full(status).is_none() {
        let summary = "no full pass has ended since the reconcile workflow started".to_owned();
        let sync = format!("almanac sync{flag}");
        add(FindingKind::NoFullPass, 1, summary, Vec::new(), vec![sync]);
    }
    if let Some(report) = last_full(status) {
        let errors = report.errors.iter();
        let (files, others): (Vec<_>, Vec<_>) = errors.partition(|error| error.is_of_document());
        let invalid = report.definitions.invalid;
        if invalid > 0 {
            let items = files.iter().map(|e| format!("{}: {}", e.source, e.message));
            let summary = format!(
                "{} invalid; the last good version is still used",
                counted(invalid, "document is", "documents are")
            );
            let kind = FindingKind::Invalid;
            add(
                kind,
                invalid,
                summary,
                items.collect(),
                vec!["almanac validate".to_owned()],
            );
        }
        if !others.is_empty() {
            let items = others.iter().map(|error| match &error.id {
                Some(id) => format!("{id}: {}", error.message),
                None => format!("{}: {}", error.source, error.message),
            });
            let count = others.len() as u64;
            let summary = format!(
                "pass {} had {}",
                report.pass,
                counted(count, "error", "errors")
            );
            let sync = format!("almanac sync{flag}");
            add(
                FindingKind::Failed,
                count,
                summary,
                items.collect(),
                vec![sync],
            );
        }
    }
    if let Some(held) = &status.held {
        let summary = format!(
            "{} for confirmation: {}",
            counted(held.count, "removal waits", "removals wait"),
            held.reason
        );
        let mut commands = vec![format!("almanac plan{flag}")];
        if !held.digest.is_empty() {
            commands.push(format!("almanac sync{flag} --confirm {}", held.digest));
        }
        add(
            FindingKind::Held,
            held.count,
            summary,
            held.ids.clone(),
            commands,
        );
    }
    for finding in &mut all {
        finding.items.truncate(ITEMS_SHOWN);
    }
    all
}

/// The findings in the states of the schedules.
fn of_schedules(project: &Project, views: &[ScheduleView]) -> Vec<Finding> {
    let flag = project_flag(project);
    let with = |state: ScheduleState| -> Vec<&ScheduleView> {
        let all = views.iter();
        all.filter(|view| view.conditions.contains(&state))
            .collect()
    };
    let paused = |by: PausedBy| -> Vec<&ScheduleView> {
        let all = views.iter();
        all.filter(|view| view.paused_by == Some(by)).collect()
    };
    let list = |state: &str| vec![format!("almanac list{flag} --state {state}")];
    let first = |found: &[&ScheduleView], command: &str| -> Vec<String> {
        let first = found.first();
        first
            .map(|view| format!("almanac {command} {}{flag}", view.definition))
            .into_iter()
            .collect()
    };
    let conflicts = with(ScheduleState::Conflict);
    let unreadable = with(ScheduleState::Unreadable);
    let contested = with(ScheduleState::Contested);
    let mut orphaned = with(ScheduleState::Orphaned);
    orphaned.retain(|view| !view.conditions.contains(&ScheduleState::Held));
    let failed = paused(PausedBy::Failure);
    let overridden = with(ScheduleState::Overridden);
    let mut manual = paused(PausedBy::Hand);
    manual.retain(|view| !view.conditions.contains(&ScheduleState::Conflict));
    let show = first(&conflicts, "show");
    let unpause = first(&failed, "unpause");
    let clear = first(&overridden, "clear-override");
    let history = first(&contested, "history");
    let groups = [
        (
            FindingKind::Conflict,
            true,
            conflicts,
            "an unmanaged schedule has the id; give the definition another id",
            show,
        ),
        (
            FindingKind::Unreadable,
            true,
            unreadable,
            "the server cannot describe the schedule; Almanac does not write to it",
            list("unreadable"),
        ),
        (
            FindingKind::Contested,
            true,
            contested,
            "others keep changing fields back; Almanac tries again every hour",
            history,
        ),
        (
            FindingKind::Orphaned,
            true,
            orphaned,
            "no definition asks for the schedule",
            list("orphaned"),
        ),
        (
            FindingKind::PausedAfterFailure,
            true,
            failed,
            "paused by the server after a failed run",
            unpause,
        ),
        (
            FindingKind::Overridden,
            false,
            overridden,
            "an operator's override is in force",
            clear,
        ),
        (
            FindingKind::PausedManually,
            false,
            manual,
            "paused manually",
            list("paused"),
        ),
    ];
    groups
        .into_iter()
        .filter(|(_, _, found, _, _)| !found.is_empty())
        .map(|(kind, problem, found, why, commands)| {
            let count = found.len() as u64;
            Finding {
                kind,
                problem,
                count,
                summary: format!("{}: {why}", counted(count, "schedule", "schedules")),
                items: found
                    .iter()
                    .take(ITEMS_SHOWN)
                    .map(|view| item(view))
                    .collect(),
                commands,
            }
        })
        .collect()
}

/// A schedule with the words of a person about it.
fn item(view: &ScheduleView) -> String {
    let reason = view.reason.as_ref().map(|reason| format!(": {reason}"));
    let until = view.overridden.as_ref().and_then(|set| set.until);
    let by = view.by.iter().map(|by| format!("by {by}"));
    let until = until.map(|until| format!("until {}", utc(until)));
    let details: Vec<_> = by.chain(until).collect();
    let details = match details.as_slice() {
        [] => String::new(),
        details => format!(" ({})", details.join(", ")),
    };
    format!("{}{}{details}", view.definition, reason.unwrap_or_default())
}

fn text(status: &ProjectStatus, now: Timestamp) -> Page {
    let problems = status.findings.iter().filter(|one| one.problem).count();
    let mut page = Page::default();
    page.cells(if problems == 0 {
        let (tone, text) = if status.unknown.is_empty() {
            (Tone::Good, ": nothing is wrong")
        } else {
            (Tone::Caution, ": no problem is known")
        };
        [
            Cell::toned(tone, "●"),
            Cell::toned(Tone::Strong, format!(" {}", status.project)),
            text.into(),
        ]
    } else {
        let problems = counted(problems as u64, "problem", "problems");
        [
            Cell::toned(Tone::Bad, "●"),
            Cell::toned(Tone::Strong, format!(" {}", status.project)),
            format!(": {problems}").into(),
        ]
    });
    page.facts(
        2,
        [
            (
                "Temporal",
                format!("{}, namespace {}", status.address, status.namespace).into(),
            ),
            ("Workers", workers(status, now).into()),
            ("Reconciler", status.reconciler.replace('_', " ").into()),
            ("Last pass", last_pass(status, now).into()),
        ],
    );
    page.cells(schedules(status));
    page.append(unknown_remark(&status.unknown, "  "));
    for finding in &status.findings {
        page.line("");
        let tone = if finding.problem {
            Tone::Bad
        } else {
            Tone::Caution
        };
        page.cells([
            Cell::toned(tone, if finding.problem { "! " } else { "~ " }),
            finding.summary.clone().into(),
        ]);
        for item in &finding.items {
            page.line(format!("    {item}"));
        }
        let more = finding.count.saturating_sub(finding.items.len() as u64);
        if more > 0 && !finding.items.is_empty() {
            page.toned(Tone::Muted, format!("    and {more} more"));
        }
        for command in &finding.commands {
            page.cells([Cell::toned(Tone::Muted, "  → "), command.clone().into()]);
        }
    }
    page
}

fn workers(status: &ProjectStatus, now: Timestamp) -> String {
    let Some(last) = status.workers.values().map(|worker| worker.spoke_at).max() else {
        return "none known".to_owned();
    };
    let ids: Vec<_> = status
        .workers
        .keys()
        .take(3)
        .map(ToString::to_string)
        .collect();
    let more = status.workers.len().saturating_sub(ids.len());
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!(
        "{} ({}{more}), last heard {}",
        counted(status.workers.len() as u64, "alive", "alive"),
        ids.join(", "),
        ago(last, now)
    )
}

fn last_pass(status: &ProjectStatus, now: Timestamp) -> String {
    let Some(report) = &status.last_pass else {
        return match status.last_success {
            Some(at) => format!("ended well {}", ago(at, now)),
            None => "unknown".to_owned(),
        };
    };
    let written = sync::counts(report);
    format!(
        "{}, {}, {} ms: {written}",
        report.pass,
        ago(report.started_at, now),
        report.duration_ms
    )
}

/// The line with the number of schedules in each state.
fn schedules(status: &ProjectStatus) -> Vec<Cell> {
    let mut cells = vec![
        Cell::from("  "),
        Cell::toned(Tone::Muted, "Schedules"),
        "   ".into(),
    ];
    let total: usize = status.schedules.values().sum();
    cells.push(format!("{total}").into());
    for (index, (state, count)) in status.schedules.iter().enumerate() {
        cells.push(if index == 0 { ": " } else { ", " }.into());
        cells.push(Cell::toned(tone(*state), format!("{count} {state}")));
    }
    cells
}

#[cfg(test)]
mod tests;
