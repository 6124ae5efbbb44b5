//! `almanac destroy`: removes the project's schedules and its reconcile workflow.
//!
//! The workflow is ended first, so that no pass creates a schedule again. Running workflows are
//! left alone. Everything that does not belong to the project stays.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use almanac_activities::schedules::{Deletion, ListEntry, RequestError};
use almanac_base::names::{Project, ScheduleId};
use almanac_core::plan::held_digest;
use anyhow::Context as _;
use futures::{StreamExt as _, stream};
use serde::Serialize;

use super::Remote;
use crate::args::DestroyArgs;
use crate::console::{self, Cell, Page, Tone};
use crate::failure::Failure;
use crate::reconcile_client::{DESTROYED, ReconcileClientError};
use crate::wording::{counted, next_command, shell_flag};

/// Number of schedules that are deleted at a time.
const CONCURRENCY: usize = 10;
/// Number of deletions in a row that the server did not serve, after which no other deletion
/// begins.
const AWAY_AFTER: usize = 20;
/// Maximum number of ids that are printed of the schedules in one state.
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
    /// Schedules that no longer exist.
    deleted: BTreeSet<ScheduleId>,
    /// Schedules whose deletion failed. The deletion of a schedule in neither set was not
    /// attempted.
    failed: BTreeSet<ScheduleId>,
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
    let mut outcome = find(&remote, project).await?;
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
async fn find(remote: &Remote, project: &Project) -> anyhow::Result<Outcome> {
    let entries = remote
        .schedules
        .list(project)
        .await
        .context("list the schedules")?;
    let (own, foreign): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.owner.is_some());
    let ids = |entries: Vec<ListEntry>| {
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
        deleted: BTreeSet::new(),
        failed: BTreeSet::new(),
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
    remote
        .schedules
        .terminate(project.follow_workflow_id(), DESTROYED)
        .await
        .context("terminate the workflow that follows runs")?;
    let results = delete_each(&outcome.schedules, |id| delete(remote, project, id)).await;
    for (id, result) in results {
        match result {
            Ok(()) => {
                outcome.deleted.insert(id);
            }
            Err(error) => {
                outcome.errors.push(format!("delete `{id}`: {error}"));
                outcome.failed.insert(id);
            }
        }
    }
    outcome.removed = outcome.deleted.len() == outcome.schedules.len();
    Ok(())
}

/// Reason why a schedule was not deleted.
#[derive(Debug, thiserror::Error)]
enum DeletionError {
    #[error("it belongs to another owner now, and is left as it is")]
    NotOwned,
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// Deletes the schedules. Returns the results of the deletions that were attempted.
async fn delete_each<'a, F>(
    schedules: &'a BTreeSet<ScheduleId>,
    delete: impl Fn(&'a ScheduleId) -> F,
) -> BTreeMap<ScheduleId, Result<(), DeletionError>>
where
    F: Future<Output = Result<(), DeletionError>>,
{
    let (delete, unserved) = (&delete, &AtomicUsize::new(0));
    stream::iter(schedules)
        .map(|id| async move {
            if unserved.load(Ordering::Relaxed) >= AWAY_AFTER {
                return None;
            }
            let result = delete(id).await;
            match result {
                Err(DeletionError::Request(RequestError::Unavailable(_))) => {
                    unserved.fetch_add(1, Ordering::Relaxed);
                }
                // The server answers.
                _ => unserved.store(0, Ordering::Relaxed),
            }
            Some((id.clone(), result))
        })
        .buffer_unordered(CONCURRENCY)
        .filter_map(std::future::ready)
        .collect()
        .await
}

/// Deletes a schedule if it still belongs to the project.
async fn delete(remote: &Remote, project: &Project, id: &ScheduleId) -> Result<(), DeletionError> {
    match remote.schedules.delete_owned(project, id).await? {
        Deletion::Deleted | Deletion::Absent => Ok(()),
        Deletion::NotOwned => Err(DeletionError::NotOwned),
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
        heading(outcome, &mut page);
        schedules(outcome, &mut page);
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
    if !outcome.removed && !is_nothing {
        let mut command = format!("almanac destroy --project {project}");
        if outcome.errors.is_empty() {
            page.line("To remove this, stop the workers, and then run:");
            command += &shell_flag("--confirm", &outcome.digest);
        } else {
            page.line("To see what is left, run:");
        }
        next_command(&mut page, command);
    }
    page
}

/// Adds the line that says what was removed, or would be.
fn heading(outcome: &Outcome, page: &mut Page) {
    let (verb, tone) = match (outcome.removed, outcome.errors.is_empty()) {
        (true, _) => ("removed", Tone::Strong),
        (false, true) => ("would be removed", Tone::Strong),
        (false, false) => ("not completely removed", Tone::Bad),
    };
    let count = outcome.schedules.len();
    let objects = if outcome.errors.is_empty() {
        let schedules = counted(count as u64, "schedule", "schedules");
        let workflow = if outcome.reconcile_workflow {
            " and the reconcile workflow"
        } else {
            ""
        };
        format!("{schedules}{workflow}")
    } else {
        let (failed, deleted) = (outcome.failed.len(), outcome.deleted.len());
        let untried = match count - failed - deleted {
            0 => String::new(),
            untried => format!("{untried} not attempted, "),
        };
        format!("{failed} failed, {untried}{deleted} deleted")
    };
    let Outcome {
        project, namespace, ..
    } = outcome;
    page.cells([
        Cell::toned(tone, format!("{project}: {verb}")),
        format!(" from namespace `{namespace}`: {objects}").into(),
    ]);
    if outcome.reconcile_workflow && !outcome.errors.is_empty() {
        page.line("The reconcile workflow was terminated.");
    }
}

/// Adds the schedules: those to delete, or the results with failures first.
fn schedules(outcome: &Outcome, page: &mut Page) {
    let all = outcome.schedules.iter();
    if !outcome.removed && outcome.errors.is_empty() {
        return list(all, Tone::Bad, "-", "", page);
    }
    let is_attempted =
        |id: &&ScheduleId| outcome.failed.contains(*id) || outcome.deleted.contains(*id);
    let untried = all.filter(|id| !is_attempted(id));
    list(outcome.failed.iter(), Tone::Bad, "!", ": failed", page);
    list(untried, Tone::Caution, " ", ": not attempted", page);
    list(outcome.deleted.iter(), Tone::Good, "-", ": deleted", page);
}

/// Adds the first of the schedules in one state, and the number of the others.
fn list<'a>(
    ids: impl Iterator<Item = &'a ScheduleId>,
    tone: Tone,
    sign: &str,
    state: &str,
    page: &mut Page,
) {
    let mut ids = ids.fuse();
    for id in ids.by_ref().take(SHOWN) {
        page.cells([
            Cell::toned(tone, format!("  {sign} ")),
            id.to_string().into(),
            Cell::toned(tone, state),
        ]);
    }
    let more = ids.count();
    if more > 0 {
        page.toned(Tone::Muted, format!("    and {more} more{state}"));
    }
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
            deleted: BTreeSet::new(),
            failed: BTreeSet::new(),
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

    /// A removal of `count` schedules, of which some failed, some were not attempted, and the
    /// others were deleted.
    fn partial(count: usize, failed: usize, untried: usize) -> Outcome {
        let one = outcome(count);
        let mut ids = one.schedules.iter().cloned();
        let failed: BTreeSet<_> = ids.by_ref().take(failed).collect();
        let deleted = ids.skip(untried).collect();
        let error = |id| format!("delete `{id}`: refused");
        Outcome {
            errors: failed.iter().map(error).collect(),
            failed,
            deleted,
            ..one
        }
    }

    /// A removal in which everything was deleted.
    fn whole(count: usize) -> Outcome {
        Outcome {
            removed: true,
            ..partial(count, 0, 0)
        }
    }

    #[test]
    fn the_result_says_what_is_left() {
        let done = Outcome {
            running: None,
            ..whole(2)
        };
        insta::assert_snapshot!(text(&done), @r"
        old: removed from namespace `default`: 2 schedules and the reconcile workflow
          - schedule-old-01: deleted
          - schedule-old-02: deleted
        left as they are: runs that have not ended; they could not be counted
        ");
        insta::assert_snapshot!(text(&partial(1, 1, 0)), @r"
        old: not completely removed from namespace `default`: 1 failed, 0 deleted
        The reconcile workflow was terminated.
          ! schedule-old-01: failed
        To see what is left, run:
          → almanac destroy --project old
        ");
        insta::assert_snapshot!(text(&outcome(0)), @"project `old` has nothing in namespace `default`");
    }

    #[test]
    fn deleted_failed_and_untried_schedules_look_different() {
        insta::assert_snapshot!(text(&partial(5, 1, 2)), @r"
        old: not completely removed from namespace `default`: 1 failed, 2 not attempted, 2 deleted
        The reconcile workflow was terminated.
          ! schedule-old-01: failed
            schedule-old-02: not attempted
            schedule-old-03: not attempted
          - schedule-old-04: deleted
          - schedule-old-05: deleted
        To see what is left, run:
          → almanac destroy --project old
        ");
        insta::assert_snapshot!(text(&partial(5, 1, 2)).in_color(), @r"
        ESC[31mold: not completely removedESC[0m from namespace `default`: 1 failed, 2 not attempted, 2 deleted
        The reconcile workflow was terminated.
        ESC[31m  ! ESC[0mschedule-old-01ESC[31m: failedESC[0m
        ESC[33m    ESC[0mschedule-old-02ESC[33m: not attemptedESC[0m
        ESC[33m    ESC[0mschedule-old-03ESC[33m: not attemptedESC[0m
        ESC[32m  - ESC[0mschedule-old-04ESC[32m: deletedESC[0m
        ESC[32m  - ESC[0mschedule-old-05ESC[32m: deletedESC[0m
        To see what is left, run:
        ESC[2m  → ESC[0malmanac destroy --project old
        ");
        let many = partial(3 * (SHOWN + 1), SHOWN + 1, SHOWN + 1);
        let page = text(&many).in_color();
        let is_first_or_rest = |line: &&str| {
            let parts = ["not completely", "-01ESC", "-22ESC", "-43ESC", "more"];
            parts.iter().any(|part| line.contains(part))
        };
        let lines: Vec<_> = page.lines().filter(is_first_or_rest).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        ESC[31mold: not completely removedESC[0m from namespace `default`: 21 failed, 21 not attempted, 21 deleted
        ESC[31m  ! ESC[0mschedule-old-01ESC[31m: failedESC[0m
        ESC[2m    and 1 more: failedESC[0m
        ESC[33m    ESC[0mschedule-old-22ESC[33m: not attemptedESC[0m
        ESC[2m    and 1 more: not attemptedESC[0m
        ESC[32m  - ESC[0mschedule-old-43ESC[32m: deletedESC[0m
        ESC[2m    and 1 more: deletedESC[0m
        ");
    }

    #[test]
    fn schedules_to_remove_and_removed_ones_are_colored() {
        let one = Outcome {
            running: Some(1),
            foreign: [ScheduleId::from_server("schedule-old-\u{1b}[2J")].into(),
            ..outcome(1)
        };
        insta::assert_snapshot!(text(&one).in_color(), @r"
        ESC[1mold: would be removedESC[0m from namespace `default`: 1 schedule and the reconcile workflow
        ESC[31m  - ESC[0mschedule-old-01
        left as they are: 1 unmanaged schedule: schedule-old-\u{1b}[2J
        left as they are: 1 run that has not ended
        To remove this, stop the workers, and then run:
        ESC[2m  → ESC[0malmanac destroy --project old --confirm 5f2a
        ");
        insta::assert_snapshot!(text(&whole(1)).in_color(), @r"
        ESC[1mold: removedESC[0m from namespace `default`: 1 schedule and the reconcile workflow
        ESC[32m  - ESC[0mschedule-old-01ESC[32m: deletedESC[0m
        ");
    }

    #[tokio::test]
    async fn no_deletion_begins_after_the_server_is_away() {
        let schedules = outcome(3 * AWAY_AFTER).schedules;
        let first = schedules.first().unwrap();
        let results = delete_each(&schedules, |id| async move {
            tokio::task::yield_now().await;
            if id == first {
                return Ok(());
            }
            Err(RequestError::Unavailable("away".to_owned()).into())
        })
        .await;
        let attempted = AWAY_AFTER + 1..AWAY_AFTER + 1 + CONCURRENCY;
        assert!(attempted.contains(&results.len()), "{}", results.len());
        assert!(results[first].is_ok());
        // A server that refuses single deletions is not away.
        let results = delete_each(&schedules, |_| async { Err(DeletionError::NotOwned) }).await;
        assert_eq!(results.len(), schedules.len());
    }
}
