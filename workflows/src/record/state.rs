//! The reconcile workflow's state, carried through continue-as-new, and what its query answers.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Corrections, DefinitionCounts, Held, Options, Override, Report};
use crate::names::{DefinitionId, Revision, WorkerId};

/// How many reports are remembered.
pub const REPORTS_KEPT: usize = 10;
/// How many revisions are remembered as seen.
pub const REVISIONS_KEPT: usize = 100;
/// How many update requests are remembered with their answers.
pub const REQUESTS_KEPT: usize = 200;

/// All the reconcile workflow remembers; bounded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Number of the last pass.
    pub pass: u64,
    /// The revision that passes reconcile to; `None` until a worker spoke.
    pub revision: Option<Revision>,
    /// Revisions that have been current, oldest first.
    pub seen: VecDeque<Revision>,
    /// The workers known to live, by id.
    pub workers: BTreeMap<WorkerId, WorkerState>,
    /// The last reports, oldest first. Dry runs are among them.
    pub reports: VecDeque<Report>,
    /// Removals that wait for confirmation, as of the last full pass.
    pub held: Option<Held>,
    /// When passes removed schedules, and how many: the last 10 minutes.
    pub removals: VecDeque<(Timestamp, u64)>,
    /// Overrides in force.
    pub overrides: BTreeMap<DefinitionId, Override>,
    /// Corrections of the last hour.
    pub corrections: Corrections,
    /// What reloads did since the last report.
    pub definitions: DefinitionCounts,
    /// The same for event types.
    pub event_types: DefinitionCounts,
    /// When the last full pass that was not a dry run ended well.
    pub last_success: Option<Timestamp>,
    /// The last thing that kept a pass from ending well.
    pub last_error: Option<String>,
    /// Recent update requests and their answers, oldest first.
    pub requests: VecDeque<(String, Value)>,
    /// Why the reconciler is suspended, when it is.
    pub suspended: Option<String>,
}

/// What is known of a worker.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerState {
    /// The revision it holds.
    pub revision: Revision,
    /// Its options.
    pub options: Options,
    /// Almanac's version.
    pub version: String,
    /// When it last spoke.
    pub spoke_at: Timestamp,
}

/// The answer of the query `status`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// `idle`, `running`, `waiting_for_worker` or `suspended`.
    pub state: String,
    /// Number of the last pass that ended.
    pub pass: u64,
    /// Number of the last pass that was asked for.
    pub requested: u64,
    /// The revision that passes reconcile to.
    pub revision: Option<Revision>,
    /// The workers known to live.
    pub workers: BTreeMap<WorkerId, WorkerState>,
    /// Removals that wait for confirmation.
    pub held: Option<Held>,
    /// Overrides in force.
    pub overrides: BTreeMap<DefinitionId, Override>,
    /// Corrections of the last hour.
    pub corrections: Corrections,
    /// How many schedules passes removed in the last 10 minutes.
    pub recently_removed: u64,
    /// When the last full pass ended well.
    pub last_success: Option<Timestamp>,
    /// The last thing that kept a pass from ending well.
    pub last_error: Option<String>,
    /// The last reports, oldest first.
    pub reports: Vec<Report>,
    /// Why the reconciler is suspended, when it is.
    pub suspended: Option<String>,
}

/// The argument of the update `sync`; every part may be missing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncRequest {
    /// A repeated one gets the first one's answer.
    pub request_id: String,
    /// Plan and report, write nothing.
    pub dry_run: bool,
    /// Digest of the held removals to confirm.
    pub confirm: Option<String>,
}

/// The answer of the update `sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncAnswer {
    /// The number of the pass that will serve it; its report is in `status`.
    pub pass: u64,
}
