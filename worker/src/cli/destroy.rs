//! `almanac destroy`: removes the project's schedules and its reconcile workflow.
//!
//! The workflow is ended first, so that no pass creates a schedule again. Running workflows are
//! left alone. Everything that does not belong to the project stays.

use std::collections::BTreeSet;
use std::process::ExitCode;

use almanac_activities::schedules::Deletion;
use almanac_base::names::{Project, ScheduleId};
use almanac_core::plan::held_digest;
use anyhow::Context as _;
use futures::{StreamExt as _, stream};
use serde::Serialize;

use super::Remote;
use super::wording::{counted, next_command};
use crate::args::DestroyArgs;
use crate::console::{self, Cell, Page, Tone};
use crate::failure::Failure;
use crate::reconcile_client::{DESTROYED, ReconcileClientError};

/// Number of schedules that are deleted at a time.
const CONCURRENCY: usize = 10;
/// Maximum number of ids that are printed.
const SHOWN: usize = 20;

#[derive(Debug, Serialize)]
struct Outcome {
    project: Project,
    namespace: String,
    /// `true` if the reconcile workflow is running, or was until this command ended it.
    reconcile_workflow: bool,
    /// Ids of the project's schedules.
    schedules: BTreeSet<ScheduleId>,
    /// Digest that names exactly these schedules.
    digest: String,
    /// `true` if the schedules were removed.
    removed: bool,
    /// Unmanaged schedules under the project's prefix. They stay.
    foreign: BTreeSet<ScheduleId>,
    /// Number of runs that have not ended; `None` if that is not known.
    running: Option<u64>,
    /// Errors of removals that failed.
    errors: Vec<String>,
}

pub(super) async fn run(args: &DestroyArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let project = &args.target.project;
    let mut outcome = look(&remote, project).await?;
    let Some(confirm) = &args.confirm else {
        super::print(args.target.format, &outcome, text)?;
        return Ok(ExitCode::SUCCESS);
    };
    if outcome.schedules.is_empty() && !outcome.reconcile_workflow {
        super::print(args.target.format, &outcome, text)?;
        return Ok(ExitCode::SUCCESS);
    }
    if *confirm != outcome.digest {
        let why = format!(
            "digest `{confirm}` does not name what would be removed now, {}; nothing removed",
            counted(outcome.schedules.len() as u64, "schedule", "schedules")
        );
        let hint =
            format!("`almanac destroy --project {project}` prints the schedules and their digest");
        return Err(Failure::new(why).hint(hint).into());
    }
    if live(&remote, project).await? {
        let why = format!(
            "project `{project}` has live workers, which would create the schedules again; \
             nothing removed"
        );
        return Err(Failure::new(why).hint("stop the workers first").into());
    }
    remove(&remote, project, &mut outcome).await?;
    super::print(args.target.format, &outcome, text)?;
    for error in &outcome.errors {
        console::eprint(&format!("error: {error}"));
    }
    Ok(if outcome.errors.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Returns `true` if the project has any live worker. A suspended reconciler counts too: each
/// worker would start the workflow again.
async fn live(remote: &Remote, project: &Project) -> anyhow::Result<bool> {
    match remote.reconciler.status().await {
        Ok(status) => Ok(!status.workers.is_empty()),
        Err(ReconcileClientError::Absent(_) | ReconcileClientError::NoAnswer(_)) => Ok(false),
        Err(error) => {
            Err(error).with_context(|| format!("ask for the workers of project `{project}`"))
        }
    }
}

/// The schedules and the workflow that exist.
async fn look(remote: &Remote, project: &Project) -> anyhow::Result<Outcome> {
    let entries = remote
        .schedules
        .list(project)
        .await
        .context("list the schedules")?;
    let (own, foreign): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.owner.is_some());
    let ids = |entries: Vec<almanac_activities::schedules::ListEntry>| {
        let ids = entries.into_iter().map(|entry| entry.schedule);
        ids.collect::<BTreeSet<_>>()
    };
    let schedules = ids(own);
    let running = remote
        .schedules
        .count_workflows(format!(
            "WorkflowId STARTS_WITH '{project}/' AND ExecutionStatus = 'Running'"
        ))
        .await;
    let workflow = remote
        .schedules
        .count_workflows(format!(
            "WorkflowId = '{}' AND ExecutionStatus = 'Running'",
            project.reconcile_workflow_id()
        ))
        .await
        .context("find the reconcile workflow")?;
    Ok(Outcome {
        project: project.clone(),
        namespace: remote.namespace.clone(),
        reconcile_workflow: workflow > 0,
        digest: held_digest(&schedules.iter().collect()),
        schedules,
        removed: false,
        foreign: ids(foreign),
        running: running.ok(),
        errors: Vec::new(),
    })
}

async fn remove(remote: &Remote, project: &Project, outcome: &mut Outcome) -> anyhow::Result<()> {
    outcome.reconcile_workflow |= remote
        .schedules
        .terminate(project.reconcile_workflow_id(), DESTROYED)
        .await
        .context("terminate the reconcile workflow")?;
    let results: Vec<_> = stream::iter(&outcome.schedules)
        .map(|id| async move { (id, delete(remote, project, id).await) })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    let mut errors = Vec::new();
    for (id, result) in results {
        if let Err(error) = result {
            errors.push(format!("delete `{id}`: {error}"));
        }
    }
    errors.sort();
    outcome.removed = errors.is_empty();
    outcome.errors = errors;
    Ok(())
}

/// Deletes a schedule if it still belongs to the project.
async fn delete(remote: &Remote, project: &Project, id: &ScheduleId) -> Result<(), String> {
    match remote.schedules.delete_owned(project, id).await {
        Ok(Deletion::Deleted | Deletion::Absent) => Ok(()),
        Ok(Deletion::NotOwned) => {
            Err("it belongs to another owner now, and is left as it is".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn text(outcome: &Outcome) -> Page {
    let Outcome {
        project, namespace, ..
    } = outcome;
    let count = outcome.schedules.len();
    let mut page = Page::default();
    let is_nothing = count == 0 && !outcome.reconcile_workflow;
    if is_nothing {
        page.line(format!(
            "project `{project}` has nothing in namespace `{namespace}`"
        ));
    } else {
        let (verb, tone) = match (outcome.removed, outcome.errors.is_empty()) {
            (true, _) => ("removed", Tone::Strong),
            (false, true) => ("would be removed", Tone::Strong),
            (false, false) => ("not completely removed", Tone::Bad),
        };
        let schedules = counted(count as u64, "schedule", "schedules");
        let workflow = if outcome.reconcile_workflow {
            " and the reconcile workflow"
        } else {
            ""
        };
        page.cells([
            Cell::toned(tone, format!("{project}: {verb}")),
            format!(" from namespace `{namespace}`: {schedules}{workflow}").into(),
        ]);
        for id in outcome.schedules.iter().take(SHOWN) {
            page.cells([Cell::toned(Tone::Bad, "  - "), id.to_string().into()]);
        }
        if count > SHOWN {
            page.toned(Tone::Muted, format!("    and {} more", count - SHOWN));
        }
    }
    if !outcome.foreign.is_empty() {
        let ids: Vec<_> = outcome.foreign.iter().map(ScheduleId::as_str).collect();
        let schedules = counted(
            ids.len() as u64,
            "unmanaged schedule",
            "unmanaged schedules",
        );
        page.line(format!("left as they are: {schedules}: {}", ids.join(", ")));
    }
    match outcome.running {
        Some(0) => {}
        Some(running) => page.line(format!(
            "left as they are: {}",
            counted(
                running,
                "run that has not ended",
                "runs that have not ended"
            )
        )),
        None => page.line("left as they are: runs that have not ended; they could not be counted"),
    }
    if !outcome.removed && outcome.errors.is_empty() && !is_nothing {
        page.line("To remove this, stop the workers, and then run:");
        let digest = &outcome.digest;
        next_command(
            &mut page,
            format!("almanac destroy --project {project} --confirm {digest}"),
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(count: usize) -> Outcome {
        let schedules = (1..=count).map(|n| format!("schedule-old-{n:02}"));
        Outcome {
            project: "old".parse().unwrap(),
            namespace: "default".to_owned(),
            reconcile_workflow: count > 0,
            schedules: schedules.map(ScheduleId::from_server).collect(),
            digest: "5f2a".to_owned(),
            removed: false,
            foreign: BTreeSet::new(),
            running: Some(0),
            errors: Vec::new(),
        }
    }

    #[test]
    fn a_project_is_shown_before_it_is_removed() {
        let one = Outcome {
            running: Some(1),
            foreign: [ScheduleId::from_server("schedule-old-x")].into(),
            ..outcome(1)
        };
        insta::assert_snapshot!(text(&one), @r"
        old: would be removed from namespace `default`: 1 schedule and the reconcile workflow
          - schedule-old-01
        left as they are: 1 unmanaged schedule: schedule-old-x
        left as they are: 1 run that has not ended
        To remove this, stop the workers, and then run:
          → almanac destroy --project old --confirm 5f2a
        ");
        let many = text(&outcome(SHOWN + 2)).to_string();
        let end = many.split_once("-19\n").unwrap().1;
        insta::assert_snapshot!(end, @r"
          - schedule-old-20
            and 2 more
        To remove this, stop the workers, and then run:
          → almanac destroy --project old --confirm 5f2a
        ");
    }

    #[test]
    fn the_result_says_what_is_left() {
        let done = Outcome {
            removed: true,
            running: None,
            ..outcome(2)
        };
        insta::assert_snapshot!(text(&done), @r"
        old: removed from namespace `default`: 2 schedules and the reconcile workflow
          - schedule-old-01
          - schedule-old-02
        left as they are: runs that have not ended; they could not be counted
        ");
        let failed = Outcome {
            errors: vec!["delete `schedule-old-01`: refused".to_owned()],
            ..outcome(1)
        };
        insta::assert_snapshot!(text(&failed), @r"
        old: not completely removed from namespace `default`: 1 schedule and the reconcile workflow
          - schedule-old-01
        ");
        insta::assert_snapshot!(text(&outcome(0)), @"project `old` has nothing in namespace `default`");
    }
}
