//! What the reconcile workflow asks of the activity that does a pass, and what it learns.

use std::collections::BTreeMap;
use std::time::Duration;

use almanac_base::names::{DefinitionId, Revision};
use almanac_base::size::json_size;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::limits::entry_size;
use super::{
    Adoptions, Announcement, CORRECTIONS_LIMIT, DefinitionCounts, DriftPolicy, OperatorRequests,
    OrphanPolicy, Override, Report, Trigger,
};
use crate::field::Field;

/// How many definitions' corrections are remembered, in the workflow's state
/// and in a pass's input and output, which must stay below Temporal's 2 MiB.
pub const CORRECTIONS_KEPT: usize = 2000;

/// How many corrections of one field are remembered.
const CORRECTIONS_OF_ONE: usize = 5;

/// The input of the activity `reconcile`.
///
/// Number 0 is a probe: the workflow asks which revision the worker holds, and
/// the worker refuses, or has nothing to do (`only` is empty and `dry_run` set).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassInput {
    /// Number of the pass.
    pub pass: u64,
    /// What asked for it.
    pub trigger: Trigger,
    /// The number of the worker's last statement that the workflow took in: the
    /// answer brings the later ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub heard: u64,
    /// The revision the worker must hold; it refuses otherwise.
    pub revision: Revision,
    /// The workflow's time: an override that is over there is over, whatever
    /// the worker's clock says.
    #[serde(default)]
    pub now: Timestamp,
    /// Plan and report, write nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Digest of the held removals that are confirmed.
    #[serde(default)]
    pub confirm: Option<String>,
    /// The fast path: reconcile just these, remove nothing. `None`: a full pass.
    #[serde(default)]
    pub only: Option<Vec<DefinitionId>>,
    /// Describe every schedule: the workflow began without state.
    #[serde(default)]
    pub describe_all: bool,
    /// Live replicas hold different revisions: remove nothing.
    #[serde(default)]
    pub replicas_differ: bool,
    /// The safest of the replicas' options.
    #[serde(default)]
    pub drift: DriftPolicy,
    /// The safest of the replicas' options.
    #[serde(default)]
    pub orphans: OrphanPolicy,
    /// Each schedule is described once within this.
    #[serde(default)]
    pub resync_interval: Duration,
    /// How many schedules passes removed in the last 10 minutes.
    #[serde(default)]
    pub recently_removed: u64,
    /// Overrides the workflow remembers.
    #[serde(default)]
    pub overrides: BTreeMap<DefinitionId, Override>,
    /// What operators asked for and no pass has done.
    #[serde(default)]
    pub orders: OperatorRequests,
    /// Foreign schedules to take over from.
    #[serde(default, skip_serializing_if = "Adoptions::is_empty")]
    pub adoptions: Adoptions,
    /// Corrections the workflow remembers, for contested fields.
    #[serde(default)]
    pub corrections: Corrections,
    /// What reloads did since the last report.
    #[serde(default)]
    pub definitions: DefinitionCounts,
    /// The same for event types.
    #[serde(default)]
    pub event_types: DefinitionCounts,
}

/// The output of the activity `reconcile`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassOutcome {
    /// The worker's registry holds another revision; nothing was done.
    Refused {
        /// What it holds.
        holds: Revision,
        /// See [`PassDone`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        said: Option<Vec<Announcement>>,
    },
    /// The pass ran to its end, or to where the registry moved.
    Done(Box<PassDone>),
}

/// What a pass did.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PassDone {
    /// The report.
    pub report: Report,
    /// The registry moved while operations were left: another pass is due.
    pub interrupted: bool,
    /// Schedules deleted or paused because their definition is gone.
    pub removed: u64,
    /// Overrides as they are now, to replace those the workflow remembers:
    /// `None` for one that ended.
    pub overrides: BTreeMap<DefinitionId, Option<Override>>,
    /// Corrections as they are now.
    pub corrections: Corrections,
    /// The worker's statements after the one that the input names, in their
    /// order; `None` from releases that do not answer them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<Vec<Announcement>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// When a schedule's field was corrected: at most the last 5 times.
pub type Corrections = BTreeMap<DefinitionId, BTreeMap<Field, Vec<Timestamp>>>;

/// Keeps at most [`CORRECTIONS_KEPT`] definitions, in at most [`CORRECTIONS_LIMIT`]
/// bytes: those with a field that was corrected most often, since these may be
/// contested.
pub fn bound_corrections(corrections: &mut Corrections) {
    for fields in corrections.values_mut() {
        for times in fields.values_mut() {
            let old = times.len().saturating_sub(CORRECTIONS_OF_ONE);
            times.drain(..old);
        }
    }
    if corrections.len() <= CORRECTIONS_KEPT && json_size(corrections) <= CORRECTIONS_LIMIT {
        return;
    }
    let mut by_count: Vec<_> = std::mem::take(corrections).into_iter().collect();
    by_count.sort_by_key(|(_, fields)| std::cmp::Reverse(fields.values().map(Vec::len).max()));
    by_count.truncate(CORRECTIONS_KEPT);
    let mut size = 0;
    let fitting = by_count.into_iter().take_while(|(id, fields)| {
        size += entry_size(id, fields);
        size <= CORRECTIONS_LIMIT
    });
    corrections.extend(fitting);
}

/// The heartbeat of the activity `reconcile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Operations tried.
    pub done: u64,
    /// Operations planned.
    pub total: u64,
}
