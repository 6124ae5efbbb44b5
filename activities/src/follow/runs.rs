//! The runs of definitions, as visibility lists them.

use std::collections::BTreeSet;

use almanac_base::names::{DefinitionId, MEMO_KEY, Project, ScheduleId};
use almanac_core::follow::{EndStatus, EndedRun};
use almanac_core::record::{FollowedRun, LastRun};
use almanac_events::RUN_AGAIN;
use jiff::{SignedDuration, Timestamp};
use temporalio_common::protos::temporal::api::enums::v1::WorkflowExecutionStatus;
use temporalio_common::protos::temporal::api::workflow::v1::WorkflowExecutionInfo;

use crate::payload::decode_json;
use crate::schedules::wire::{decode_run_memo, decode_time};
use crate::schedules::{RequestError, Schedules};

/// Maximum number of definitions that a query names.
const NAMED: usize = 50;
/// Maximum number of pages, of 1000 runs each, that are read of the ends of a span.
const PAGES: usize = 4;
/// Maximum number of pages that are read of the runs that have not ended.
const OPEN_PAGES: usize = 5;
/// Shortest span whose ends are read. Of a span with more ends than the pages have, the earliest are
/// not read.
const SHORTEST_SPAN: SignedDuration = SignedDuration::from_millis(100);
/// Number of the newest runs of a definition that are read.
const NEWEST: i32 = 20;

/// Query for the runs of definitions.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    project: &'a Project,
    /// Definitions whose runs are wanted; `None` for all.
    ids: Option<BTreeSet<DefinitionId>>,
}

/// Runs that have not ended.
#[derive(Debug, Default)]
pub(super) struct Runs {
    pub(super) runs: Vec<FollowedRun>,
    /// There are more runs.
    pub(super) truncated: bool,
}

/// The newest run of a definition.
#[derive(Debug)]
pub(super) enum Newest {
    /// A run has not ended.
    Running,
    /// The last run has ended.
    Ended(LastRun),
    /// The server knows no run.
    None,
}

impl<'a> Scope<'a> {
    /// The runs of these definitions, or of `all`.
    pub(super) fn of(project: &'a Project, all: bool, ids: BTreeSet<DefinitionId>) -> Self {
        Self {
            project,
            ids: (!all).then_some(ids),
        }
    }

    /// The visibility query. `None` if there are no definitions.
    fn query(&self) -> Option<String> {
        let project = self.project;
        match &self.ids {
            Some(ids) if ids.is_empty() => None,
            Some(ids) if ids.len() <= NAMED => Some(of_definitions(project, ids)),
            _ => Some(format!("WorkflowId STARTS_WITH '{project}/'")),
        }
    }

    fn takes(&self, run: &FollowedRun) -> bool {
        self.ids
            .as_ref()
            .is_none_or(|ids| ids.contains(&run.definition))
    }

    /// Reads the runs that have not ended.
    pub(super) async fn open(&self, schedules: &Schedules) -> Result<Runs, RequestError> {
        let Some(query) = self.query() else {
            return Ok(Runs::default());
        };
        let query = format!("({query}) AND ExecutionStatus = 'Running'");
        let mut runs = Vec::new();
        let take = |info| {
            let run = followed_run(self.project, &info);
            runs.extend(run.filter(|run| self.takes(run)));
        };
        let truncated = schedules.each_workflow(&query, OPEN_PAGES, take).await?;
        Ok(Runs { runs, truncated })
    }

    /// Reads the runs that ended between two times. Of a span with too many ends, the first part is
    /// read. Also returns the end of the span that was read.
    pub(super) async fn ended(
        &self,
        schedules: &Schedules,
        from: Timestamp,
        mut to: Timestamp,
    ) -> Result<(Vec<EndedRun>, Timestamp), RequestError> {
        let Some(query) = self.query() else {
            return Ok((Vec::new(), to));
        };
        loop {
            let span = format!(
                "({query}) AND ExecutionStatus != 'ContinuedAsNew' AND CloseTime >= '{from}' AND CloseTime < '{to}'"
            );
            let mut ends = Vec::new();
            let take = |info| {
                let end = ended_run(self.project, &info);
                ends.extend(end.filter(|end| self.takes(&end.run)));
            };
            let truncated = schedules.each_workflow(&span, PAGES, take).await?;
            let length = to.duration_since(from);
            if !truncated {
                return Ok((ends, to));
            }
            if length <= SHORTEST_SPAN {
                tracing::warn!(
                    %from, %to,
                    "too many runs ended at the same time; some of them start nothing"
                );
                return Ok((ends, to));
            }
            to = from + length / 2;
        }
    }

    /// Reads the newest run of a definition.
    pub(super) async fn newest(
        schedules: &Schedules,
        project: &Project,
        id: &DefinitionId,
    ) -> Result<Newest, RequestError> {
        let query = of_definitions(project, &BTreeSet::from([id.clone()]));
        let (infos, _) = schedules.newest_workflows(&query, NEWEST).await?;
        let mut last: Option<EndedRun> = None;
        for info in infos {
            let Some(run) = followed_run(project, &info).filter(|run| run.definition == *id) else {
                continue;
            };
            if info.status() == WorkflowExecutionStatus::Running {
                return Ok(Newest::Running);
            }
            let ended = info.close_time.as_ref().and_then(decode_time);
            let is_last = last.as_ref().is_none_or(|last| ended > Some(last.ended));
            if !is_last {
                continue;
            }
            match (end_status(info.status()), ended) {
                (Some(status), Some(ended)) => last = Some(EndedRun { run, status, ended }),
                // It continued as new, and visibility does not show the next execution yet.
                _ => return Ok(Newest::Running),
            }
        }
        let Some(last) = last else {
            return Ok(Newest::None);
        };
        if is_retried(schedules, &last).await? {
            return Ok(Newest::Running);
        }
        Ok(Newest::Ended(LastRun {
            run_id: last.run.run_id,
            ended: last.ended,
        }))
    }
}

/// The query for the runs of definitions: those of schedules, and all others.
fn of_definitions(project: &Project, ids: &BTreeSet<DefinitionId>) -> String {
    let schedules: Vec<_> = ids
        .iter()
        .map(|id| format!("'{}'", project.schedule_id(id)))
        .collect();
    let mut parts = vec![format!(
        "TemporalScheduledById IN ({})",
        schedules.join(", ")
    )];
    parts.extend(
        ids.iter()
            .map(|id| format!("WorkflowId STARTS_WITH '{}/'", project.run_workflow_id(id))),
    );
    format!("({})", parts.join(" OR "))
}

/// Returns `true` if the server retries a run that failed: then the run has not ended.
pub(super) async fn is_retried(
    schedules: &Schedules,
    end: &EndedRun,
) -> Result<bool, RequestError> {
    if !matches!(end.status, EndStatus::Failed | EndStatus::TimedOut) {
        return Ok(false);
    }
    schedules
        .has_next_execution(&end.run.workflow_id, &end.run.run_id)
        .await
}

/// A run of one of the project's definitions. `None` if the memo or the ids belong to no definition
/// of the project.
fn followed_run(project: &Project, info: &WorkflowExecutionInfo) -> Option<FollowedRun> {
    let execution = info.execution.as_ref()?;
    let attribute = |name: &str| {
        let attributes = info.search_attributes.as_ref()?;
        let value = decode_json(attributes.indexed_fields.get(name)?);
        Some(value.as_str()?.to_owned())
    };
    let (definition, depth) = if let Some(schedule) = attribute("TemporalScheduledById") {
        info.memo.as_ref()?.fields.get(MEMO_KEY)?;
        let definition = project.definition_of(&ScheduleId::from_server(schedule))?;
        let begin = project.run_workflow_id(&definition);
        execution.workflow_id.strip_prefix(&begin)?;
        (definition, 0)
    } else {
        let memo = decode_run_memo(info.memo.as_ref())?;
        let begin = project.run_workflow_id(&memo.definition);
        let last = execution.workflow_id.strip_prefix(&begin)?;
        last.strip_prefix('/')?;
        // A run that starts after the last one of its own definition begins a chain.
        let event = memo.event.filter(|event| event.event.kind != RUN_AGAIN);
        let depth = event.map_or(0, |event| event.depth.saturating_add(1));
        (memo.definition, depth)
    };
    Some(FollowedRun {
        definition,
        workflow_id: execution.workflow_id.clone(),
        run_id: execution.run_id.clone(),
        started: info.start_time.as_ref().and_then(decode_time)?,
        scheduled: attribute("TemporalScheduledStartTime").and_then(|time| time.parse().ok()),
        depth,
    })
}

fn ended_run(project: &Project, info: &WorkflowExecutionInfo) -> Option<EndedRun> {
    Some(EndedRun {
        run: followed_run(project, info)?,
        status: end_status(info.status())?,
        ended: info.close_time.as_ref().and_then(decode_time)?,
    })
}

/// Status of an end. `None` if the run has not ended.
fn end_status(status: WorkflowExecutionStatus) -> Option<EndStatus> {
    use WorkflowExecutionStatus as Status;
    match status {
        Status::Completed => Some(EndStatus::Completed),
        Status::Failed => Some(EndStatus::Failed),
        Status::TimedOut => Some(EndStatus::TimedOut),
        Status::Canceled => Some(EndStatus::Canceled),
        Status::Terminated => Some(EndStatus::Terminated),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
