//! Input and output of the activity that does a pass for the reconcile workflow.

use std::collections::BTreeMap;
use std::time::Duration;

use almanac_base::names::{DefinitionId, Revision};
use almanac_base::size::json_size;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::limits::entry_size;
use super::{
    Adoptions, Announcement, CORRECTIONS_LIMIT, DefinitionCounts, DriftPolicy, OperatorRequests,
    OrphanPolicy, Override, Report, Status, Trigger,
};
use crate::field::Field;

/// Maximum number of definitions whose corrections are remembered, in the workflow's state
/// and in a pass's input and output, which must stay below Temporal's 2 MiB.
pub const CORRECTIONS_KEPT: usize = 2000;

/// Maximum number of corrections of one field that are remembered.
const CORRECTIONS_OF_ONE: usize = 5;

/// The input of the activity `reconcile`.
///
/// A pass with number 0 is a probe: the workflow asks which revision the worker holds. The
/// worker refuses, or has nothing to do (`only` is empty and `dry_run` set).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassInput {
    pub pass: u64,
    pub trigger: Trigger,
    /// Number of the worker's last announcement that the workflow has taken in. The answer brings
    /// the later ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub heard: u64,
    /// Revision that the worker must hold. Otherwise the worker refuses the pass.
    pub revision: Revision,
    /// The workflow's time. An override that has expired at this time counts as expired, even if
    /// the worker's clock differs.
    #[serde(default)]
    pub now: Timestamp,
    /// `true` to plan and report, and write nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Digest of the held removals that an operator confirmed.
    #[serde(default)]
    pub confirm: Option<String>,
    /// The fast path: reconcile only these definitions, remove nothing. `None`: a full pass.
    #[serde(default)]
    pub only: Option<Vec<DefinitionId>>,
    /// `true` to describe every schedule, because the workflow began without state.
    #[serde(default)]
    pub describe_all: bool,
    /// `true` if live workers hold different revisions: the pass removes nothing.
    #[serde(default)]
    pub replicas_differ: bool,
    /// The safest drift policy among the workers' options.
    #[serde(default)]
    pub drift: DriftPolicy,
    /// The safest orphan policy among the workers' options.
    #[serde(default)]
    pub orphans: OrphanPolicy,
    /// Time within which each schedule is described at least once.
    #[serde(default)]
    pub resync_interval: Duration,
    /// Number of schedules that passes removed in the last 10 minutes.
    #[serde(default)]
    pub recently_removed: u64,
    /// Overrides that the workflow remembers.
    #[serde(default)]
    pub overrides: BTreeMap<DefinitionId, Override>,
    /// Operators' requests that no pass has done yet.
    #[serde(default)]
    pub orders: OperatorRequests,
    /// Adoptions of unmanaged schedules that no pass has done yet.
    #[serde(default, skip_serializing_if = "Adoptions::is_empty")]
    pub adoptions: Adoptions,
    /// Corrections that the workflow remembers, to find contested fields.
    #[serde(default)]
    pub corrections: Corrections,
    /// Counts of definitions, gathered over the reloads since the last report.
    #[serde(default)]
    pub definitions: DefinitionCounts,
    /// Counts of event types, gathered over the reloads since the last report.
    #[serde(default)]
    pub event_types: DefinitionCounts,
}

impl PassInput {
    /// The input of a full pass that has no request, no memory of earlier passes and the default
    /// options.
    pub fn new(pass: u64, trigger: Trigger, revision: Revision) -> Self {
        Self {
            pass,
            trigger,
            heard: 0,
            revision,
            now: Timestamp::UNIX_EPOCH,
            dry_run: false,
            confirm: None,
            only: None,
            describe_all: false,
            replicas_differ: false,
            drift: DriftPolicy::default(),
            orphans: OrphanPolicy::default(),
            resync_interval: Duration::ZERO,
            recently_removed: 0,
            overrides: BTreeMap::new(),
            orders: OperatorRequests::new(),
            adoptions: Adoptions::new(),
            corrections: Corrections::new(),
            definitions: DefinitionCounts::default(),
            event_types: DefinitionCounts::default(),
        }
    }

    /// The input of the next full pass after `status`, which plans and writes nothing. It has the
    /// workflow's memory, but no requests of operators.
    pub fn dry_run(status: &Status, revision: Revision) -> Self {
        Self {
            dry_run: true,
            recently_removed: status.recently_removed,
            overrides: status.overrides.clone(),
            corrections: status.corrections.clone(),
            ..Self::new(status.pass + 1, Trigger::Sync, revision)
        }
    }
}

/// The output of the activity `reconcile`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassOutcome {
    /// The worker's registry holds another revision; nothing was done.
    Refused {
        /// Revision that the worker holds.
        holds: Revision,
        /// See [`PassDone::announcements`].
        #[serde(rename = "said", default, skip_serializing_if = "Option::is_none")]
        announcements: Option<Vec<Announcement>>,
    },
    /// The pass ended, or it stopped because the registry changed.
    Done(Box<PassDone>),
}

/// Result of a pass.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PassDone {
    pub report: Report,
    /// `true` if the registry changed while operations were left: another pass is due.
    pub interrupted: bool,
    /// Number of schedules that were deleted or paused because they are orphaned.
    pub removed: u64,
    /// Overrides after the pass, which replace those that the workflow remembers. `None` for an
    /// override that ended.
    pub overrides: BTreeMap<DefinitionId, Option<Override>>,
    /// Corrections after the pass.
    pub corrections: Corrections,
    /// The worker's announcements after the one that the input names, in their order. `None` from
    /// releases that do not answer them.
    #[serde(rename = "said", skip_serializing_if = "Option::is_none")]
    pub announcements: Option<Vec<Announcement>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Times at which fields of a schedule were corrected: at most the last 5 of each field.
pub type Corrections = BTreeMap<DefinitionId, BTreeMap<Field, Vec<Timestamp>>>;

/// Keeps at most [`CORRECTIONS_KEPT`] definitions, in at most [`CORRECTIONS_LIMIT`]
/// bytes. The definitions with a field that was corrected most often are kept, because
/// these may be contested.
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
    /// Number of operations that were tried.
    pub done: u64,
    /// Number of operations that are planned.
    pub total: u64,
}
