//! Announcements of workers to the reconcile workflow.
//!
//! The signal that brings an announcement proves nothing. The reconcile workflow asks the
//! worker on the worker's own task queue, and uses the answer.
//!
//! A worker announces its start, another revision of its registry, and its end. A worker that
//! is not among the workers of the query `status` was dropped, or the workflow lost its
//! state: the worker announces `started` again.

use std::time::Duration;

use almanac_base::names::{DefinitionId, Revision, WorkerId};
use serde::{Deserialize, Serialize};

use super::DefinitionCounts;

/// The payload of the signal `definitions_changed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Announcement {
    /// The worker that announces.
    pub worker: WorkerId,
    /// Number of the announcement among those of this worker, from 1; 0 from releases
    /// that do not number them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub number: u64,
    /// Reason for the announcement.
    #[serde(default)]
    pub event: WorkerEvent,
    /// Revision that the worker held before; `None` at its start.
    #[serde(default)]
    pub previous: Option<Revision>,
    /// Revision that the worker holds.
    #[serde(default)]
    pub revision: Revision,
    #[serde(default)]
    pub options: Options,
    #[serde(default)]
    pub version: String,
    /// Definitions that changed since `previous`, for the fast path: at most 100. `None` if there
    /// are too many, if removals are among them, or if they are not known: a full pass follows.
    #[serde(default)]
    pub changed: Option<Vec<DefinitionId>>,
    /// Counts of definitions, gathered over the worker's reloads since its last announcement.
    #[serde(default)]
    pub definitions: DefinitionCounts,
    /// Counts of event types, gathered over the same reloads.
    #[serde(default)]
    pub event_types: DefinitionCounts,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Reason for an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerEvent {
    /// The worker process started, or it found the workflow gone and started the workflow.
    Started,
    /// The registry of the worker holds another revision.
    #[default]
    Changed,
    /// The worker process ends.
    Stopping,
}

/// Options of a worker that passes obey. Where workers differ, the safer option applies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Options {
    /// Interval between full passes.
    #[schema(value_type = Object)]
    pub reconcile_interval: Duration,
    /// Time within which each schedule is described at least once.
    #[schema(value_type = Object)]
    pub resync_interval: Duration,
    /// Policy for drift.
    pub drift: DriftPolicy,
    /// Policy for schedules that no definition asks for (orphaned schedules).
    pub orphans: OrphanPolicy,
}

impl Options {
    /// Returns the safest value of each option among the workers. The shorter interval is the
    /// safer one: schedules are then observed earlier than a worker is configured for, never
    /// later.
    pub fn safest<'a>(workers: impl IntoIterator<Item = &'a Self>) -> Self {
        let safer = |a: Self, b: Self| Self {
            reconcile_interval: a.reconcile_interval.min(b.reconcile_interval),
            resync_interval: a.resync_interval.min(b.resync_interval),
            drift: a.drift.max(b.drift),
            orphans: a.orphans.max(b.orphans),
        };
        let workers = workers.into_iter().cloned();
        workers.reduce(safer).unwrap_or_default()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reconcile_interval: Duration::from_mins(5),
            resync_interval: Duration::from_hours(1),
            drift: DriftPolicy::default(),
            orphans: OrphanPolicy::default(),
        }
    }
}

/// Policy for drift. The greater value is the safer one.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Hash,
    Eq,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DriftPolicy {
    /// A pass corrects the schedule.
    #[default]
    Correct,
    /// A pass only reports the drift.
    Report,
}

/// Policy for orphaned schedules. The greater value is the safer one.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OrphanPolicy {
    /// A pass deletes the schedule.
    #[default]
    Delete,
    /// A pass pauses the schedule.
    Pause,
    /// The schedule is left alone and reported.
    Keep,
}
