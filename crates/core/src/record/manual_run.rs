//! Runs that operators ask for: what is asked, what is seen of it, what is answered.

use std::fmt;

use almanac_base::names::DefinitionId;
use almanac_times::{BackfillWindow, When};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::check_words;
use crate::definition::OverlapPolicy;

/// The most runs of one backfill, unless its request says otherwise.
pub const BACKFILL_LIMIT: u32 = 100;
/// The most runs of one backfill, whatever its request says.
pub const BACKFILL_MOST: u32 = 10_000;
/// How many requests for runs may wait at a time.
pub const RUNS_WAITING: usize = 300;
/// How many runs are remembered with their answers.
pub const RUNS_KEPT: usize = 200;
/// How many runs an answer names.
pub const RUNS_NAMED: usize = 10;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// One run, now.
    #[default]
    Trigger,
    /// A run for each time of the schedule in a range.
    Backfill,
}

impl RunKind {
    /// Its name: of the update, of the command, in labels and logs.
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
    /// A repeated one gets the first one's answer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// The definition.
    pub id: Option<DefinitionId>,
    /// What happens while another run goes on; the schedule's own policy where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<OverlapPolicy>,
    /// Of a backfill: the first moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<When>,
    /// Of a backfill: the first moment after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<When>,
    /// Of a backfill: the most runs; [`BACKFILL_LIMIT`] where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
}

impl RunRequest {
    /// The definition it is about, when the request makes sense.
    pub fn check(&self, kind: RunKind) -> Result<&DefinitionId, String> {
        let id = self.id.as_ref().ok_or("id is missing")?;
        check_words(&self.request_id, &self.reason, &self.by)?;
        match kind {
            RunKind::Trigger => {
                if self.from.is_some() || self.to.is_some() || self.limit.is_some() {
                    return Err("from, to and limit belong to a backfill".to_owned());
                }
            }
            RunKind::Backfill => {
                let (from, to) = (
                    self.from.ok_or("from is missing")?,
                    self.to.ok_or("to is missing")?,
                );
                check_range(from, to)?;
                if !(1..=BACKFILL_MOST).contains(&self.limit.unwrap_or(BACKFILL_LIMIT)) {
                    return Err(format!("limit must be 1 to {BACKFILL_MOST}"));
                }
            }
        }
        Ok(id)
    }
}

/// Whether a range is one, as far as that shows without a zone.
fn check_range(from: When, to: When) -> Result<(), String> {
    let reversed = match (from, to) {
        (When::Instant(from), When::Instant(to)) => from >= to,
        (When::Local(from), When::Local(to)) => from >= to,
        _ => false,
    };
    if reversed {
        return Err(format!("from ({from}) must be before to ({to})"));
    }
    Ok(())
}

/// The input of the activity `manual_run`, which is called once for each step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManualRunInput {
    /// Tells it from others.
    pub number: u64,
    /// What is asked for.
    pub kind: RunKind,
    /// The definition.
    pub id: DefinitionId,
    /// The server's name for the patch.
    #[serde(default)]
    pub request_id: String,
    /// See [`RunRequest`].
    #[serde(default)]
    pub overlap: Option<OverlapPolicy>,
    /// See [`RunRequest`].
    #[serde(default)]
    pub from: Option<When>,
    /// See [`RunRequest`].
    #[serde(default)]
    pub to: Option<When>,
    /// See [`RunRequest`].
    #[serde(default)]
    pub limit: Option<u32>,
    /// See [`RunRequest`].
    #[serde(default)]
    pub reason: String,
    /// See [`RunRequest`].
    #[serde(default)]
    pub by: String,
    /// The schedule as it was before anything was sent; `None`: look first, send nothing.
    #[serde(default)]
    pub before: Option<RunBaseline>,
    /// It may have been sent already: look for it, send nothing.
    #[serde(default)]
    pub sent: bool,
}

/// What a schedule showed before a run was asked of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunBaseline {
    /// The policy that will hold.
    pub overlap: OverlapPolicy,
    /// Of a trigger: the whole second under which its run starts.
    pub at: Timestamp,
    /// Of a backfill: the first of its times.
    pub first: Timestamp,
    /// Of a backfill: the last of them.
    pub last: Timestamp,
    /// Of a backfill: the range that is asked of the server; `None` in what
    /// earlier releases wrote, which ask for `first` to `last`.
    pub window: Option<BackfillWindow>,
    /// How many runs are asked for.
    pub asked: u64,
    /// Actions it had started.
    pub started: u64,
    /// Actions it had skipped because another went on.
    pub skipped: u64,
    /// Actions it had dropped because its buffer was full.
    pub dropped: u64,
    /// Actions that waited.
    pub buffered: u64,
    /// Run ids of its recent actions.
    pub recent: Vec<String>,
    /// Recent actions that started no later are not named in `recent`.
    pub since: Option<Timestamp>,
}

/// What a step of a run came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStep {
    /// It can be asked for; nothing was sent.
    Seen(RunBaseline),
    /// It is over.
    Ended(Box<RunAnswer>),
}

/// The answer of the updates `trigger` and `backfill`, and of the query `run`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct RunAnswer {
    /// Its number.
    pub number: u64,
    /// What was asked for.
    pub kind: RunKind,
    /// The definition.
    pub id: Option<DefinitionId>,
    /// What came of it.
    pub state: RunState,
    /// The workflow id of the run, or of a backfill's first.
    pub workflow_id: Option<String>,
    /// Its run id.
    pub run_id: Option<String>,
    /// The runs that were seen to start, 10 at most.
    pub runs: Vec<StartedRun>,
    /// How many runs were asked for.
    pub asked: u64,
    /// How many were seen to start.
    pub started: u64,
    /// How many were skipped because another run goes on.
    pub skipped: u64,
    /// How many wait for the end of another run.
    pub buffered: u64,
    /// How many were dropped because too many wait.
    pub dropped: u64,
    /// The overlap policy that held.
    pub overlap: Option<OverlapPolicy>,
    /// Workflow ids of runs that go on, 10 at most.
    pub running: Vec<String>,
    /// What happened, for people.
    pub message: String,
}

/// What came of a request for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It waits, or goes on.
    #[default]
    Pending,
    /// A run was started, or several.
    Started,
    /// It starts when another run ends.
    Buffered,
    /// The overlap policy let nothing start.
    Skipped,
    /// It was sent, and nothing of it was seen.
    Lost,
    /// Nothing was sent.
    Failed,
    /// There is no such schedule; nothing was sent.
    NotFound,
    /// The schedule is not ours; nothing was sent.
    Foreign,
    /// The range makes no sense for the schedule; nothing was sent.
    BadRange,
}

impl RunState {
    /// Its name in labels and logs.
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

    /// Whether the server did what its policy says.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Started | Self::Buffered | Self::Skipped)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A run that was seen to start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct StartedRun {
    /// Its workflow id.
    pub workflow_id: String,
    /// Its run id.
    pub run_id: String,
}

/// A request for a run, and where it stands: part of the workflow's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// As it was given; empty when it had none.
    #[serde(default)]
    pub request_id: String,
    /// What is to be done; its `before` says whether it may have been sent.
    pub order: ManualRunInput,
    /// `None` until it is over.
    #[serde(default)]
    pub answer: Option<RunAnswer>,
}

/// The argument of the query `runs`; its answer has a [`RunAnswer`] for each id that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunsQuery {
    /// The ids of the requests.
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
        for (kind, value, said) in [
            (RunKind::Trigger, json!({}), "id is missing"),
            (
                RunKind::Trigger,
                json!({"id": "a", "from": "2026-01-01"}),
                "belong to a backfill",
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
            let error = request(value).unwrap().check(kind).unwrap_err();
            assert!(error.contains(said), "{error}");
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
