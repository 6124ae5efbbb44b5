//! The reconcile workflow's state, carried through continue-as-new, and the answers of its
//! queries.

use std::collections::{BTreeMap, VecDeque};

use almanac_base::names::{DefinitionId, Revision, ScheduleId, WorkerId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::report::is_listed;
use super::{
    Adoption, Adoptions, Announcement, AwaitedReport, Corrections, DefinitionCounts, Held,
    HistoryEntry, NAME_LIMIT, OperatorRequest, OperatorRequests, Options, Override, PassReport,
    Report, RequestProblem, RunRecord, Suspension, Trigger, check_text,
};

/// Maximum number of reports that are remembered.
pub const REPORTS_KEPT: usize = 10;
/// Maximum number of revisions that are remembered as seen.
pub const REVISIONS_KEPT: usize = 100;
/// Maximum number of update requests that are remembered with their answers.
pub const REQUESTS_KEPT: usize = 200;
/// Maximum number of workers that are remembered. The worker with the oldest answer is
/// forgotten first.
pub const WORKERS_KEPT: usize = 50;
/// Maximum number of announcements that wait for their workers' answers.
pub const CLAIMS_KEPT: usize = 50;
/// Maximum number of passes that wait.
pub const PENDING_KEPT: usize = 16;

/// The state of the reconcile workflow. Its size is limited.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Number of the last pass that ended.
    pub pass: u64,
    /// Number of the last pass that was asked for.
    pub requested: u64,
    /// Passes that were asked for and have not ended, in the order of their numbers.
    pub pending: VecDeque<PendingPass>,
    /// The revision that passes use; `None` until a worker announced one.
    pub revision: Option<Revision>,
    /// Revisions that any worker announced, in the order of the first announcement.
    pub seen: VecDeque<Revision>,
    /// The workers known to be alive, by id. Each has answered on its own task queue.
    pub workers: BTreeMap<WorkerId, WorkerState>,
    /// Announcements whose workers have not answered yet. No decision depends on them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<WorkerId, Announcement>,
    /// The last reports, oldest first. Dry runs are among them.
    pub reports: VecDeque<Report>,
    /// Removals that wait for confirmation, as of the last full pass.
    pub held: Option<Held>,
    /// Times of removals by passes in the last 10 minutes, with the numbers of removed
    /// schedules.
    pub removals: VecDeque<(Timestamp, u64)>,
    /// Overrides that are in force.
    pub overrides: BTreeMap<DefinitionId, Override>,
    /// Number of further overrides that do not fit into the state. Only their schedules' memos
    /// hold them.
    #[serde(skip_serializing_if = "is_zero")]
    pub overrides_left: u64,
    /// Requests of operators that no pass has applied.
    pub orders: OperatorRequests,
    /// Number of override requests and adoptions so far.
    #[serde(rename = "orders_given")]
    pub requests_made: u64,
    /// Adoptions of unmanaged schedules that no pass has finished.
    pub adoptions: Adoptions,
    /// Corrections of the last two hours.
    pub corrections: Corrections,
    /// Changes of definitions by reloads since the last report.
    pub definitions: DefinitionCounts,
    /// Changes of event types by reloads since the last report.
    pub event_types: DefinitionCounts,
    /// Time at which the last full pass that was not a dry run ended, with or without errors.
    /// The interval counts from this time.
    pub last_full: Option<Timestamp>,
    /// Time at which the last full pass that was not a dry run ended well: it listed, planned
    /// and tried every operation. `None` if there has been none since the workflow began
    /// without state.
    pub last_success: Option<Timestamp>,
    /// The last error that kept a pass from ending well; `None` after a pass that did.
    pub last_error: Option<String>,
    /// Number of signals that were ignored because their input could not be read.
    pub ignored_signals: u64,
    /// Recent update requests and their answers, oldest first.
    pub requests: VecDeque<(String, Value)>,
    /// Runs that operators asked for, oldest first: those that wait or have not ended, and the
    /// last ones that ended.
    pub runs: VecDeque<RunRecord>,
    /// Number of runs that operators have asked for so far.
    pub runs_asked: u64,
    /// Suspension of the reconciler; `None` if it is not suspended.
    pub suspended: Option<Suspension>,
    /// History entries of single schedules, oldest first.
    pub history: VecDeque<HistoryEntry>,
}

/// A pass that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PendingPass {
    pub pass: u64,
    /// Cause of the pass. Of several causes, the most deliberate one.
    pub trigger: Trigger,
    /// Plan and report, and write nothing.
    pub dry_run: bool,
    /// Digest of the held removals that the pass confirms.
    pub confirm: Option<String>,
    /// The definitions of a fast pass; `None` for all.
    pub only: Option<Vec<DefinitionId>>,
    /// Number of attempts at the pass that failed.
    pub attempts: u32,
}

/// A worker as the reconcile workflow knows it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct WorkerState {
    /// The revision that the worker holds.
    pub revision: Revision,
    /// Options of the worker.
    pub options: Options,
    /// Almanac's version on the worker.
    pub version: String,
    /// Time of the worker's last answer.
    #[serde(rename = "spoke_at")]
    pub answered_at: Timestamp,
    /// Number of the worker's last announcement that was accepted.
    #[serde(rename = "said", skip_serializing_if = "is_zero")]
    pub last_announcement: u64,
}

/// The answer of the query `status`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Status {
    /// State of the reconciler: `idle`, `running`, `waiting_for_worker` or `suspended`. A pass
    /// that is running when the reconciler is suspended ends first.
    pub state: String,
    /// Number of the last pass that ended; passes end in the order of their numbers.
    pub pass: u64,
    /// Number of the last pass that was asked for.
    pub requested: u64,
    /// Number of passes that wait.
    pub pending: u64,
    /// The revision that passes use.
    pub revision: Option<Revision>,
    /// The workers known to be alive, by id.
    pub workers: BTreeMap<WorkerId, WorkerState>,
    /// Workers whose last announcement is not proved yet, with the announced revision. No
    /// decision depends on it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub announced: BTreeMap<WorkerId, Revision>,
    /// Removals that wait for confirmation.
    pub held: Option<Held>,
    /// Overrides that are in force.
    pub overrides: BTreeMap<DefinitionId, Override>,
    /// Number of further overrides that do not fit into the workflow's state. Only their
    /// schedules' memos hold them.
    #[serde(skip_serializing_if = "is_zero")]
    pub overrides_left: u64,
    /// Requests of operators that no pass has applied.
    #[schema(value_type = BTreeMap<String, OperatorRequest>)]
    pub orders: OperatorRequests,
    /// Adoptions of unmanaged schedules that no pass has finished.
    #[schema(value_type = BTreeMap<String, Adoption>)]
    pub adoptions: Adoptions,
    /// Number of runs, of those that operators asked for, that wait or have not ended.
    pub runs_pending: u64,
    /// Corrections of the last two hours.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, Vec<Timestamp>>>)]
    pub corrections: Corrections,
    /// Number of schedules that passes removed in the last 10 minutes.
    pub recently_removed: u64,
    /// Time at which the last full pass ended well.
    pub last_success: Option<Timestamp>,
    /// The last thing that kept a pass from ending well.
    pub last_error: Option<String>,
    /// The last reports, oldest first.
    pub reports: Vec<Report>,
    /// Number of signals that were ignored because their input could not be read.
    pub ignored_signals: u64,
    /// Suspension of the reconciler; `None` if it is not suspended.
    pub suspended: Option<Suspension>,
}

impl Status {
    /// The report of the last full pass, which may be a dry run. `None` if there has been none
    /// since the workflow began without state.
    pub fn last_full_report(&self) -> Option<&Report> {
        let mut reports = self.reports.iter().rev();
        reports.find(|report| report.is_full())
    }

    /// The report of the last full pass that was not a dry run. `None` if there has been none
    /// since the workflow began without state.
    pub fn last_applied_report(&self) -> Option<&Report> {
        let mut reports = self.reports.iter().rev();
        reports.find(|report| report.is_full() && !report.dry_run)
    }

    /// The report of a pass, as [`AwaitedReport::find_in`] finds it.
    pub fn report_of(&self, pass: u64) -> PassReport {
        AwaitedReport::of(pass).find_in(self)
    }

    /// Returns `true` if the server could not describe the schedule in the last full pass.
    /// `None` if the report does not say so.
    pub fn is_unreadable(&self, schedule: &ScheduleId) -> Option<bool> {
        let report = self.last_full_report()?;
        let ids = report.unreadable.as_deref()?;
        is_listed(schedule.as_str(), ids, report.schedules.unreadable)
    }

    /// The ids of the schedules that the server could not describe in the last
    /// full pass.
    pub fn unreadable(&self) -> &[String] {
        let report = self.last_full_report();
        let ids = report.and_then(|report| report.unreadable.as_deref());
        ids.unwrap_or_default()
    }

    /// Returns `true` if the last full pass found no definition of the schedule. `None` if the
    /// report does not say so.
    pub fn is_without_definition(&self, schedule: &ScheduleId) -> Option<bool> {
        let listed = self.last_full_report()?.without_definition.as_ref()?;
        listed.contains(schedule.as_str())
    }

    /// The ids that unmanaged schedules have taken from definitions, according to the last full
    /// pass. `None` if the report does not list all of them.
    pub fn conflicts(&self) -> Option<&[String]> {
        let report = self.last_full_report()?;
        let ids = report.conflicts.as_deref()?;
        (report.schedules.conflicts <= ids.len() as u64).then_some(ids)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The argument of the query `history`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryRequest {
    /// Id of the definition; empty for all definitions.
    pub id: String,
}

/// A field of any update: the time after which the update is refused, by the server's clock.
/// Without it, a worker that starts later would do a request from a time without workers.
pub const NOT_AFTER: &str = "not_after";
/// The words by which such a refusal is recognized.
pub const TOO_LATE: &str = "it was to be done until";

/// The argument of the update `sync`. All fields are optional.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncRequest {
    /// Id of the request. A request with a known id gets the answer of the first one.
    pub request_id: String,
    /// Plan and report, and write nothing.
    pub dry_run: bool,
    /// Digest of the held removals to confirm.
    pub confirm: Option<String>,
    /// Name of the operator.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
}

impl SyncRequest {
    /// Refuses a request with a text that is too long.
    pub fn check(&self) -> Result<(), RequestProblem> {
        check_text("request_id", &self.request_id, NAME_LIMIT)?;
        check_text("by", &self.by, NAME_LIMIT)?;
        check_text(
            "confirm",
            self.confirm.as_deref().unwrap_or_default(),
            NAME_LIMIT,
        )
    }
}

/// The answer of the update `sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncAnswer {
    /// Number of the pass that will serve the request. Its report is in `status`.
    pub pass: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::{PassDone, PassOutcome};

    #[test]
    fn renamed_fields_keep_the_names_that_earlier_releases_wrote() {
        let written = json!({
            "orders_given": 3,
            "workers": { "w": { "revision": "r", "spoke_at": "2026-01-01T00:00:00Z", "said": 7 } },
        });
        let state: State = serde_json::from_value(written.clone()).unwrap();
        let worker = &state.workers[&WorkerId::new("w")];
        assert_eq!((state.requests_made, worker.last_announcement), (3, 7));
        assert_eq!(worker.answered_at.to_string(), "2026-01-01T00:00:00Z");
        let again = serde_json::to_value(&state).unwrap();
        assert_eq!(again["orders_given"], written["orders_given"]);
        for name in ["spoke_at", "said"] {
            assert_eq!(again["workers"]["w"][name], written["workers"]["w"][name]);
        }

        let done = PassDone {
            announcements: Some(Vec::new()),
            ..PassDone::default()
        };
        assert_eq!(serde_json::to_value(done).unwrap()["said"], json!([]));
        let refused = PassOutcome::Refused {
            holds: Revision::default(),
            announcements: Some(Vec::new()),
        };
        let refused = serde_json::to_value(refused).unwrap();
        assert_eq!(refused["refused"]["said"], json!([]));
    }
}
