//! The findings about a project: facts that a person should know, with the commands that help.

use almanac_activities::schedules::view::{
    self, PausedBy, ScheduleState, ScheduleView, ViewContext,
};
use almanac_base::names::{DefinitionId, Project};
use almanac_core::plan::Block;
use almanac_core::record::Status;
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;

use super::super::Remote;
use super::super::list::{LATE_AFTER, note};
use super::super::plan::confirm;
use super::super::selection::CONCURRENCY;
use crate::reconcile_client::{ReconcileClientError, Silence};
use crate::time_text::{ago, span_between, utc};
use crate::wording::{counted, invalid_documents, project_flag};

/// Maximum number of items that are shown of each finding.
pub(super) const ITEMS_SHOWN: usize = 5;
/// Maximum number of schedules that are described to find those that are overdue.
const CANDIDATES: usize = 20;

/// A fact that a person should know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Finding {
    pub(super) kind: FindingKind,
    /// The fact needs a person. `false` for what an operator did on purpose.
    pub(super) problem: bool,
    /// Number of schedules, documents or errors.
    pub(super) count: u64,
    /// The fact in a sentence.
    pub(super) summary: String,
    /// Schedules, documents or errors, one per line; at most 5.
    pub(super) items: Vec<String>,
    /// The commands that help.
    pub(super) commands: Vec<String>,
}

/// Kinds of findings, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FindingKind {
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

/// The schedules that are overdue.
#[derive(Debug, Default)]
pub(super) struct Overdue {
    /// The schedules, with the times at which a run was due.
    pub(super) found: Vec<(DefinitionId, Timestamp)>,
    /// Number of schedules whose next run should have started and which were not described.
    pub(super) unchecked: usize,
}

impl Overdue {
    /// Describes the schedules whose next run should have started, the latest first.
    pub(super) async fn find(
        remote: &Remote,
        views: &[ScheduleView],
        context: ViewContext<'_>,
    ) -> Self {
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

    pub(super) fn finding(&self, project: &Project, now: Timestamp) -> Option<Finding> {
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
pub(super) fn unanswered(
    remote: &Remote,
    project: &Project,
    error: &ReconcileClientError,
) -> Finding {
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
pub(super) fn of_reconciler(project: &Project, status: &Status, now: Timestamp) -> Vec<Finding> {
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
    if status.last_applied_report().is_none() {
        let summary = "no full pass has ended since the reconcile workflow started".to_owned();
        let sync = format!("almanac sync{flag}");
        add(FindingKind::NoFullPass, 1, summary, Vec::new(), vec![sync]);
    }
    if let Some(report) = status.last_applied_report() {
        let errors = report.errors.iter();
        let (files, others): (Vec<_>, Vec<_>) = errors.partition(|error| error.is_of_document());
        let invalid = report.definitions.invalid;
        if invalid > 0 {
            let items = files.iter().map(|e| format!("{}: {}", e.source, e.message));
            let summary = invalid_documents(invalid);
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
        let block = Block::of_held(held);
        let summary = format!("{}{}", block.subject, block.heading);
        let mut commands = vec![format!("almanac plan{flag}")];
        commands.extend(confirm(held, project));
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
pub(super) fn of_schedules(project: &Project, views: &[ScheduleView]) -> Vec<Finding> {
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
    match note(view, true) {
        Some(note) => format!("{}: {note}", view.definition),
        None => view.definition.to_string(),
    }
}
