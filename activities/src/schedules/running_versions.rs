//! The runs of a definition that have not ended: their versions, and their places.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use almanac_base::names::{DefinitionId, MEMO_KEY, Project, RUN_WORKFLOW, Revision};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use temporalio_common::protos::temporal::api::workflow::v1::WorkflowExecutionInfo;

use super::wire::decode_time;
use super::{RequestError, Schedules};
use crate::payload::decode_json;

/// Maximum number of pages of runs that are read, for each way to start a run.
const PAGES: usize = 5;

/// The versions of a definition that have runs which have not ended.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct LiveVersions {
    /// The versions, the one with the oldest run first.
    pub versions: Vec<LiveVersion>,
    /// The counts are too low: there are more runs than were read.
    pub truncated: bool,
}

/// A version of a definition that has runs which have not ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LiveVersion {
    /// Revision of the version; `None` if someone replaced the schedule's memo.
    pub revision: Option<Revision>,
    /// The file that the version came from; known only if a schedule started a
    /// run of it.
    pub source: Option<String>,
    /// Number of runs of the version that have not ended.
    pub runs: u64,
    /// Start time of the oldest of these runs; for a run that continued as new,
    /// the start of its latest execution.
    pub oldest: Option<Timestamp>,
}

/// A run of a definition that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LiveRun {
    pub workflow_id: String,
    pub run_id: String,
    /// Revision of the steps that the run interprets; `None` if it is not known.
    pub revision: Option<Revision>,
    /// Start time; for a run that continued as new, the start of its latest execution.
    pub began: Option<Timestamp>,
    /// The details that the run shows in the Temporal UI; `None` if the run was not asked, or
    /// did not answer in time.
    pub details: Option<String>,
}

/// The runs of a definition that have not ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LiveRuns {
    /// All runs, by version.
    pub versions: LiveVersions,
    /// The newest runs, at most 20, the newest first.
    pub newest: Vec<LiveRun>,
}

/// Maximum number of runs that are listed and asked.
const NEWEST: usize = 20;
/// Maximum time for the answers of runs. A run answers through its worker, which may be away
/// or may have to replay the run first.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// The runs of a definition. Asks the newest runs of version `current` for their details, all
/// at the same time.
pub async fn live_runs(
    schedules: &Schedules,
    project: &Project,
    id: &DefinitionId,
    current: Option<&Revision>,
) -> Result<LiveRuns, RequestError> {
    let (mut runs, truncated) = running(schedules, project, id).await?;
    runs.sort_by_key(|run| Reverse(run.began));
    let newest = runs.iter().take(NEWEST).map(|run| LiveRun {
        workflow_id: run.workflow_id.clone(),
        run_id: run.run_id.clone(),
        revision: run.revision.clone(),
        began: run.began,
        details: None,
    });
    let newest = newest.map(|mut run| async move {
        if current.is_some() && run.revision.as_ref() == current {
            let asked = schedules.details_of_run(&run.workflow_id, &run.run_id);
            let answer = tokio::time::timeout(ANSWERS_WITHIN, asked).await;
            run.details = answer.ok().flatten();
        }
        run
    });
    Ok(LiveRuns {
        newest: futures::future::join_all(newest).await,
        versions: LiveVersions {
            versions: grouped(runs.into_iter()),
            truncated,
        },
    })
}

/// The versions of a definition's steps that runs still use.
pub async fn live_versions(
    schedules: &Schedules,
    project: &Project,
    id: &DefinitionId,
) -> Result<LiveVersions, RequestError> {
    let (runs, truncated) = running(schedules, project, id).await?;
    Ok(LiveVersions {
        versions: grouped(runs.into_iter()),
        truncated,
    })
}

/// The runs of a definition that have not ended: runs that its schedule started, and runs that
/// were started by the definition's name. `true` if there are more.
async fn running(
    schedules: &Schedules,
    project: &Project,
    id: &DefinitionId,
) -> Result<(Vec<RunVersion>, bool), RequestError> {
    let running = format!("WorkflowType = '{RUN_WORKFLOW}' AND ExecutionStatus = 'Running'");
    let schedule = project.schedule_id(id);
    let by_schedule = format!("{running} AND TemporalScheduledById = '{schedule}'");
    let queue = project.run_queue();
    let named = format!("{running} AND TaskQueue = '{queue}' AND TemporalScheduledById IS NULL");
    let (timed, named) = futures::try_join!(
        schedules.list_workflows(&by_schedule, PAGES),
        schedules.list_workflows(&named, PAGES),
    )?;
    let truncated = timed.truncated || named.truncated;
    let timed = timed.entries.iter().map(RunVersion::of);
    let named = named.entries.iter().map(RunVersion::of);
    let named = named.filter(|run| run.definition.as_deref() == Some(id.as_str()));
    Ok((timed.chain(named).collect(), truncated))
}

/// The version of a run, as its list entry shows it.
#[derive(Debug, Default)]
struct RunVersion {
    workflow_id: String,
    run_id: String,
    definition: Option<String>,
    revision: Option<Revision>,
    source: Option<String>,
    began: Option<Timestamp>,
}

impl RunVersion {
    fn of(run: &WorkflowExecutionInfo) -> Self {
        let memo = run.memo.as_ref();
        let memo = memo.and_then(|memo| memo.fields.get(MEMO_KEY));
        let memo = memo.map(decode_json).unwrap_or_default();
        let text = |key: &str| memo.get(key).and_then(Value::as_str).map(str::to_owned);
        let revision = memo.get("revision").cloned().unwrap_or_default();
        let execution = run.execution.clone().unwrap_or_default();
        Self {
            workflow_id: execution.workflow_id,
            run_id: execution.run_id,
            definition: text("definition"),
            revision: serde_json::from_value(revision).ok(),
            source: text("source"),
            began: run.start_time.as_ref().and_then(decode_time),
        }
    }
}

fn grouped(runs: impl Iterator<Item = RunVersion>) -> Vec<LiveVersion> {
    let mut by_revision: BTreeMap<Option<Revision>, LiveVersion> = BTreeMap::new();
    for run in runs {
        let version = by_revision
            .entry(run.revision.clone())
            .or_insert(LiveVersion {
                revision: run.revision,
                source: None,
                runs: 0,
                oldest: run.began,
            });
        version.runs += 1;
        version.source = version.source.take().or(run.source);
        version.oldest = version.oldest.min(run.began);
    }
    let mut versions: Vec<_> = by_revision.into_values().collect();
    versions.sort_by_key(|version| version.oldest);
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_by_version_and_the_oldest_comes_first() {
        let run = |revision: &str, source: Option<&str>, second: i64| RunVersion {
            revision: serde_json::from_value(revision.into()).ok(),
            source: source.map(str::to_owned),
            began: Timestamp::from_second(second).ok(),
            ..RunVersion::default()
        };
        let (old, new) = ("a1", "b2");
        let runs = [
            run(new, Some("jobs/x.yaml"), 30),
            run(old, None, 20),
            run(new, None, 40),
            run(old, Some("x.yaml"), 10),
        ];
        let versions: Vec<_> = grouped(runs.into_iter())
            .into_iter()
            .map(|version| {
                let oldest = version.oldest.map(Timestamp::as_second);
                (version.source, version.runs, oldest)
            })
            .collect();
        let source = |path: &str| Some(path.to_owned());
        assert_eq!(
            versions,
            [
                (source("x.yaml"), 2, Some(10)),
                (source("jobs/x.yaml"), 2, Some(30))
            ]
        );
    }
}
