//! Manual runs: operators' requests, the observed results, and the answers.

use std::fmt;

use almanac_base::names::DefinitionId;
use almanac_times::{BackfillWindow, When};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{RequestProblem, check_words};
use crate::definition::OverlapPolicy;

/// Maximum number of runs of one backfill, unless the request sets another limit.
pub const BACKFILL_LIMIT: u32 = 100;
/// Maximum number of runs of one backfill that a request may set.
pub const BACKFILL_MOST: u32 = 10_000;
/// Maximum number of requests for runs that may wait at the same time.
pub const RUNS_WAITING: usize = 300;
/// Maximum number of runs that are remembered with their answers.
pub const RUNS_KEPT: usize = 200;
/// Maximum number of runs that an answer names.
pub const RUNS_NAMED: usize = 10;

/// Kind of a manual run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// A single run, started immediately.
    #[default]
    Trigger,
    /// A run for each time of the schedule in a range.
    Backfill,
}

impl RunKind {
    /// Name of the kind, as updates, commands, labels and logs use it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Backfill => "backfill",
        }
    }
}

/// The argument of the updates `trigger` and `backfill`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunRequest {
    /// Id of the request. A request with a known id gets the answer of the first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// Definition to run.
    pub id: Option<DefinitionId>,
    /// Overlap policy while another run is running; `None` for the policy of the schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<OverlapPolicy>,
    /// Start of a backfill's range, included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<When>,
    /// End of a backfill's range, excluded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<When>,
    /// Maximum number of runs of a backfill; [`BACKFILL_LIMIT`] if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Reason that the operator gave.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Name of the operator.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
}

impl RunRequest {
    /// Returns the definition of the request, or the mistake in the request.
    pub fn check(&self, kind: RunKind) -> Result<&DefinitionId, RequestProblem> {
        let id = self.id.as_ref().ok_or("id is missing")?;
        check_words(&self.request_id, &self.reason, &self.by)?;
        match kind {
            RunKind::Trigger => {
                if self.from.is_some() || self.to.is_some() || self.limit.is_some() {
                    return Err("from, to and limit are only for a backfill".into());
                }
            }
            RunKind::Backfill => {
                let (from, to) = (
                    self.from.ok_or("from is missing")?,
                    self.to.ok_or("to is missing")?,
                );
                check_range(from, to)?;
                if !(1..=BACKFILL_MOST).contains(&self.limit.unwrap_or(BACKFILL_LIMIT)) {
                    return Err(format!("limit must be 1 to {BACKFILL_MOST}").into());
                }
            }
        }
        Ok(id)
    }
}

/// Refuses a range that ends before it starts, as far as that can be decided without a zone.
fn check_range(from: When, to: When) -> Result<(), RequestProblem> {
    let reversed = match (from, to) {
        (When::Instant(from), When::Instant(to)) => from >= to,
        (When::Local(from), When::Local(to)) => from >= to,
        _ => false,
    };
    if reversed {
        return Err(format!("from ({from}) must be before to ({to})").into());
    }
    Ok(())
}

/// The input of the activity `manual_run`, which is called once for each step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManualRunInput {
    /// Number that distinguishes this run from others.
    pub number: u64,
    pub kind: RunKind,
    /// Definition to run.
    pub id: DefinitionId,
    /// Request id of the patch that is sent to the server.
    #[serde(default)]
    pub request_id: String,
    /// See `overlap` of [`RunRequest`].
    #[serde(default)]
    pub overlap: Option<OverlapPolicy>,
    /// See `from` of [`RunRequest`].
    #[serde(default)]
    pub from: Option<When>,
    /// See `to` of [`RunRequest`].
    #[serde(default)]
    pub to: Option<When>,
    /// See `limit` of [`RunRequest`].
    #[serde(default)]
    pub limit: Option<u32>,
    /// See `reason` of [`RunRequest`].
    #[serde(default)]
    pub reason: String,
    /// See `by` of [`RunRequest`].
    #[serde(default)]
    pub by: String,
    /// State of the schedule before anything was sent; `None`: observe first, send nothing.
    #[serde(default)]
    pub before: Option<RunBaseline>,
    /// The request may have been sent already: look for the runs, send nothing.
    #[serde(default)]
    pub sent: bool,
}

/// State of a schedule before a run was requested.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunBaseline {
    /// Overlap policy that will apply.
    pub overlap: OverlapPolicy,
    /// Of a trigger: the whole second that the run has as its nominal time.
    pub at: Timestamp,
    /// Of a backfill: the first of its fire times.
    pub first: Timestamp,
    /// Of a backfill: the last of its fire times.
    pub last: Timestamp,
    /// Of a backfill: the range that is requested from the server. `None` in data that earlier
    /// releases wrote, which request `first` to `last`.
    pub window: Option<BackfillWindow>,
    /// Number of runs that are requested.
    pub asked: u64,
    /// Number of actions that the schedule had started.
    pub started: u64,
    /// Number of actions that the schedule had skipped because another run was running.
    pub skipped: u64,
    /// Number of actions that the schedule had dropped because its buffer was full.
    pub dropped: u64,
    /// Number of actions that waited in the buffer.
    pub buffered: u64,
    /// Run ids of its recent actions.
    pub recent: Vec<String>,
    /// Recent actions that started no later than this time are not named in `recent`.
    pub since: Option<Timestamp>,
}

/// Result of one step of a manual run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStep {
    /// The run can be requested; nothing was sent.
    Seen(RunBaseline),
    /// The request has ended.
    Ended(Box<RunAnswer>),
}

/// The answer of the updates `trigger` and `backfill`, and of the query `run`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct RunAnswer {
    /// Number of the request.
    pub number: u64,
    /// Kind of the run.
    pub kind: RunKind,
    /// Definition of the run.
    pub id: Option<DefinitionId>,
    /// Result of the request.
    pub state: RunState,
    /// Workflow id of the run, or of a backfill's first run.
    pub workflow_id: Option<String>,
    /// Run id of the run, or of a backfill's first run.
    pub run_id: Option<String>,
    /// Runs that were observed to start, 10 at most.
    pub runs: Vec<StartedRun>,
    /// Number of runs that were requested.
    pub asked: u64,
    /// Number of runs that were observed to start.
    pub started: u64,
    /// Number of runs that were skipped because another run is running.
    pub skipped: u64,
    /// Number of runs that wait for the end of another run.
    pub buffered: u64,
    /// Number of runs that were dropped because too many wait.
    pub dropped: u64,
    /// Overlap policy that applied.
    pub overlap: Option<OverlapPolicy>,
    /// Workflow ids of runs that have not ended, 10 at most.
    pub running: Vec<String>,
    /// Description of the result, for people.
    pub message: String,
}

/// Result of a request for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// The request waits, or is being done.
    #[default]
    Pending,
    /// At least one run was started.
    Started,
    /// The run starts when another run ends.
    Buffered,
    /// The overlap policy let no run start.
    Skipped,
    /// The request was sent, but no run was observed.
    Lost,
    /// The request failed; nothing was sent.
    Failed,
    /// The schedule does not exist; nothing was sent.
    NotFound,
    /// The schedule is unmanaged; nothing was sent.
    Foreign,
    /// The range is not valid for the schedule; nothing was sent.
    BadRange,
}

impl RunState {
    /// Name of the state in labels and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Started => "started",
            Self::Buffered => "buffered",
            Self::Skipped => "skipped",
            Self::Lost => "lost",
            Self::Failed => "failed",
            Self::NotFound => "not_found",
            Self::Foreign => "foreign",
            Self::BadRange => "bad_range",
        }
    }

    /// Returns `true` if the server did what its policy says.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Started | Self::Buffered | Self::Skipped)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A run that was observed to start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct StartedRun {
    /// Workflow id of the run.
    pub workflow_id: String,
    /// Run id of the run.
    pub run_id: String,
}

/// A request for a run and its progress: part of the workflow's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Id of the request; empty if the request had none.
    #[serde(default)]
    pub request_id: String,
    /// Input of the next step; if `before` is set, the request may have been sent.
    pub order: ManualRunInput,
    /// The answer; `None` until the request has ended.
    #[serde(default)]
    pub answer: Option<RunAnswer>,
}

/// The argument of the query `runs`; the answer has a [`RunAnswer`] for each id that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunsQuery {
    pub request_ids: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(value: serde_json::Value) -> Result<RunRequest, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_request_that_makes_no_sense_is_refused_with_its_reason() {
        for (kind, value, reason) in [
            (RunKind::Trigger, json!({}), "id is missing"),
            (
                RunKind::Trigger,
                json!({"id": "a", "from": "2026-01-01"}),
                "only for a backfill",
            ),
            (
                RunKind::Backfill,
                json!({"id": "a", "to": "2026-01-01"}),
                "from is missing",
            ),
            (
                RunKind::Backfill,
                json!({"id": "a", "from": "2026-01-01"}),
                "to is missing",
            ),
            (
                RunKind::Backfill,
                json!({"id": "a", "from": "2026-01-02", "to": "2026-01-01"}),
                "must be before",
            ),
            (
                RunKind::Backfill,
                json!({"id": "a", "from": "2026-01-01", "to": "2026-01-01"}),
                "must be before",
            ),
            (
                RunKind::Backfill,
                json!({"id": "a", "from": "2026-01-01", "to": "2026-01-02", "limit": 0}),
                "limit must be",
            ),
        ] {
            let error = request(value).unwrap().check(kind).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        for value in [
            json!({"id": "NO"}),
            json!({"id": "a", "overlap": "sometimes"}),
            json!({"id": "a", "from": "soon"}),
            json!({"id": "a", "form": "2026-01-01"}),
        ] {
            assert!(request(value.clone()).is_err(), "{value}");
        }
    }

    #[test]
    fn a_record_of_another_release_reads_as_far_as_it_is_known() {
        let record: RunRecord = serde_json::from_value(json!({
            "order": { "number": 1, "kind": "trigger", "id": "a", "colour": "red" }, "new": 1,
        }))
        .unwrap();
        assert_eq!(record.order.before, None);
        assert_eq!(record.answer, None);
    }
}
