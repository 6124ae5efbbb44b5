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
use crate::args::DestroyArgs;
use crate::console::{self, Page};
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
            "digest `{confirm}` does not name the {} schedules that would be removed now; \
             nothing removed",
            outcome.schedules.len()
        );
        let hint = format!("`almanac destroy --project {project}` prints them with their digest");
        return Err(Failure::new(why).hint(hint).into());
    }
    if live(&remote, project).await? {
        let why = format!(
            "project `{project}` has live workers, which would make the schedules anew; \
             nothing removed"
        );
        return Err(Failure::new(why).hint("stop them first").into());
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
        .context("look for the reconcile workflow")?;
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
        Ok(Deletion::NotOwned) => Err("it is another owner's now; left alone".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn text(outcome: &Outcome) -> Page {
    let Outcome {
        project, namespace, ..
    } = outcome;
    let count = outcome.schedules.len();
    let mut page = Page::default();
    let mut line = |text: String| page.line(text);
    if count == 0 && !outcome.reconcile_workflow {
        line(format!(
            "project `{project}` has nothing in namespace `{namespace}`"
        ));
    } else {
        let verb = match (outcome.removed, outcome.errors.is_empty()) {
            (true, _) => "removed",
            (false, true) => "would remove",
            (false, false) => "tried to remove",
        };
        line(format!(
            "{verb} from namespace `{namespace}`: {count} schedules of project `{project}`{}",
            if outcome.reconcile_workflow {
                " and its reconcile workflow"
            } else {
                ""
            }
        ));
        for id in outcome.schedules.iter().take(SHOWN) {
            line(format!("  {id}"));
        }
        if count > SHOWN {
            line(format!("  and {} more", count - SHOWN));
        }
    }
    if !outcome.foreign.is_empty() {
        let ids: Vec<_> = outcome.foreign.iter().map(ScheduleId::as_str).collect();
        line(format!("left alone, being others': {}", ids.join(", ")));
    }
    match outcome.running {
        Some(0) => {}
        Some(running) => line(format!("left alone: {running} runs that go on")),
        None => line("left alone: its runs that go on, which could not be counted".to_owned()),
    }
    if !outcome.removed && outcome.errors.is_empty() && (count > 0 || outcome.reconcile_workflow) {
        line("to do it: stop the workers, then".to_owned());
        line(format!(
            "  almanac destroy --project {project} --confirm {}",
            outcome.digest
        ));
    }
    page
}
