//! The reconcile workflow's state, carried through continue-as-new, and what its query answers.

use std::collections::{BTreeMap, VecDeque};

use almanac_base::names::{DefinitionId, Revision, ScheduleId, WorkerId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Adoption, Adoptions, Announcement, Corrections, DefinitionCounts, Held, HistoryEntry, Listed,
    NAME_LIMIT, OperatorRequest, OperatorRequests, Options, Override, Report, RunRecord,
    Suspension, Trigger, check_text,
};

/// How many reports are remembered.
pub const REPORTS_KEPT: usize = 10;
/// How many revisions are remembered as seen.
pub const REVISIONS_KEPT: usize = 100;
/// How many update requests are remembered with their answers.
pub const REQUESTS_KEPT: usize = 200;
/// How many workers are remembered; the one that spoke longest ago goes first.
pub const WORKERS_KEPT: usize = 50;
/// How many announcements wait for their workers' answers.
pub const CLAIMS_KEPT: usize = 50;
/// How many passes may wait at a time.
pub const PENDING_KEPT: usize = 16;

/// All the reconcile workflow remembers; bounded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Number of the last pass that ended.
    pub pass: u64,
    /// Number of the last pass that was asked for.
    pub requested: u64,
    /// Passes that were asked for and have not ended, in the order of their numbers.
    pub pending: VecDeque<PendingPass>,
    /// The revision that passes reconcile to; `None` until a worker spoke.
    pub revision: Option<Revision>,
    /// Revisions that any worker announced, in the order of their first mention.
    pub seen: VecDeque<Revision>,
    /// The workers known to live, by id: each answered on its own task queue.
    pub workers: BTreeMap<WorkerId, WorkerState>,
    /// Announcements whose workers have not answered yet. Nothing is decided by them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<WorkerId, Announcement>,
    /// The last reports, oldest first. Dry runs are among them.
    pub reports: VecDeque<Report>,
    /// Removals that wait for confirmation, as of the last full pass.
    pub held: Option<Held>,
    /// When passes removed schedules, and how many: the last 10 minutes.
    pub removals: VecDeque<(Timestamp, u64)>,
    /// Overrides in force.
    pub overrides: BTreeMap<DefinitionId, Override>,
    /// How many more overrides passes found than fit in here: their schedules'
    /// memos alone hold them.
    #[serde(skip_serializing_if = "is_zero")]
    pub overrides_left: u64,
    /// What operators asked for and no pass has done.
    pub orders: OperatorRequests,
    /// How many orders and adoptions there were.
    pub orders_given: u64,
    /// Foreign schedules to take over from, that no pass has done.
    pub adoptions: Adoptions,
    /// Corrections of the last two hours.
    pub corrections: Corrections,
    /// What reloads did since the last report.
    pub definitions: DefinitionCounts,
    /// The same for event types.
    pub event_types: DefinitionCounts,
    /// When the last full pass that was not a dry run ended, well or not: the interval counts from here.
    pub last_full: Option<Timestamp>,
    /// When the last full pass that was not a dry run ended well: it listed,
    /// planned and tried every operation. `None`: none did since the workflow
    /// began without state.
    pub last_success: Option<Timestamp>,
    /// The last thing that kept a pass from ending well; `None` once one did.
    pub last_error: Option<String>,
    /// How many signals had a shape that says nothing.
    pub ignored_signals: u64,
    /// Recent update requests and their answers, oldest first.
    pub requests: VecDeque<(String, Value)>,
    /// Runs that operators asked for, oldest first: those that wait or go on,
    /// and the last that are over.
    pub runs: VecDeque<RunRecord>,
    /// How many runs were asked for.
    pub runs_asked: u64,
    /// Who suspended the reconciler, when it is.
    pub suspended: Option<Suspension>,
    /// What touched single schedules, oldest first.
    pub history: VecDeque<HistoryEntry>,
}

/// A pass that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PendingPass {
    /// Its number.
    pub pass: u64,
    /// What asked for it; of several, the most deliberate.
    pub trigger: Trigger,
    /// Plan and report, write nothing.
    pub dry_run: bool,
    /// Digest of the held removals that it confirms.
    pub confirm: Option<String>,
    /// The fast path: just these definitions. `None`: all.
    pub only: Option<Vec<DefinitionId>>,
    /// How often it was tried and failed.
    pub attempts: u32,
}

/// What is known of a worker.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct WorkerState {
    /// The revision it holds.
    pub revision: Revision,
    /// Its options.
    pub options: Options,
    /// Almanac's version.
    pub version: String,
    /// When it last answered.
    pub spoke_at: Timestamp,
    /// The number of its last statement that was taken in.
    #[serde(skip_serializing_if = "is_zero")]
    pub said: u64,
}

/// The answer of the query `status`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Status {
    /// `idle`, `running`, `waiting_for_worker` or `suspended`; a pass that
    /// runs when the reconciler is suspended ends first.
    pub state: String,
    /// Number of the last pass that ended; passes end in the order of their numbers.
    pub pass: u64,
    /// Number of the last pass that was asked for.
    pub requested: u64,
    /// How many passes wait.
    pub pending: u64,
    /// The revision that passes reconcile to.
    pub revision: Option<Revision>,
    /// The workers known to live.
    pub workers: BTreeMap<WorkerId, WorkerState>,
    /// Workers whose last announcement is not proved yet, with the revision that
    /// it names. Nothing is decided by it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub announced: BTreeMap<WorkerId, Revision>,
    /// Removals that wait for confirmation.
    pub held: Option<Held>,
    /// Overrides in force.
    pub overrides: BTreeMap<DefinitionId, Override>,
    /// How many more overrides passes found than the workflow remembers: their
    /// schedules' memos alone hold them.
    #[serde(skip_serializing_if = "is_zero")]
    pub overrides_left: u64,
    /// What operators asked for and no pass has done.
    #[schema(value_type = BTreeMap<String, OperatorRequest>)]
    pub orders: OperatorRequests,
    /// Foreign schedules to take over from, that no pass has done.
    #[schema(value_type = BTreeMap<String, Adoption>)]
    pub adoptions: Adoptions,
    /// How many runs that operators asked for wait or go on.
    pub runs_pending: u64,
    /// Corrections of the last two hours.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, Vec<Timestamp>>>)]
    pub corrections: Corrections,
    /// How many schedules passes removed in the last 10 minutes.
    pub recently_removed: u64,
    /// When the last full pass ended well.
    pub last_success: Option<Timestamp>,
    /// The last thing that kept a pass from ending well.
    pub last_error: Option<String>,
    /// The last reports, oldest first.
    pub reports: Vec<Report>,
    /// How many signals had a shape that says nothing.
    pub ignored_signals: u64,
    /// Who suspended the reconciler, when it is.
    pub suspended: Option<Suspension>,
}

impl Status {
    /// The report of the last full pass, dry runs included. `None` until there has
    /// been one since the workflow began without state.
    pub fn last_full_report(&self) -> Option<&Report> {
        let mut reports = self.reports.iter().rev();
        reports.find(|report| report.is_full())
    }

    /// Returns `true` if the server could not describe the schedule in the last
    /// full pass. `None` where the report does not tell.
    pub fn is_unreadable(&self, schedule: &ScheduleId) -> Option<bool> {
        let report = self.last_full_report()?;
        let ids = report.unreadable.as_ref()?;
        let listed = Listed {
            ids: ids.clone(),
            count: report.schedules.unreadable,
        };
        listed.contains(schedule.as_str())
    }

    /// The ids of the schedules that the server could not describe in the last
    /// full pass.
    pub fn unreadable(&self) -> &[String] {
        let report = self.last_full_report();
        let ids = report.and_then(|report| report.unreadable.as_deref());
        ids.unwrap_or_default()
    }

    /// Returns `true` if the last full pass found no definition of the schedule.
    /// `None` where the report does not tell.
    pub fn is_without_definition(&self, schedule: &ScheduleId) -> Option<bool> {
        let listed = self.last_full_report()?.without_definition.as_ref()?;
        listed.contains(schedule.as_str())
    }

    /// The ids that unmanaged schedules have taken from definitions, by the last
    /// full pass. `None` where the report does not tell all of them.
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
    /// The definition; all where it is empty.
    pub id: String,
}

/// Of any update: the time after which it is refused, by the server's clock. Without
/// it, a worker that comes back does what was asked for while there was none.
pub const NOT_AFTER: &str = "not_after";
/// How such a refusal is worded.
pub const TOO_LATE: &str = "it was to be done until";

/// The argument of the update `sync`; every part may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncRequest {
    /// A repeated one gets the first one's answer.
    pub request_id: String,
    /// Plan and report, write nothing.
    pub dry_run: bool,
    /// Digest of the held removals to confirm.
    pub confirm: Option<String>,
}

impl SyncRequest {
    /// Refuses a request with a text that is too long.
    pub fn check(&self) -> Result<(), String> {
        check_text("request_id", &self.request_id, NAME_LIMIT)?;
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
    /// The number of the pass that will serve it; its report is in `status`.
    pub pass: u64,
}
