//! Statements of workers to the reconcile workflow.
//!
//! The signal that brings one proves nothing: the workflow asks the worker on its
//! own task queue, and takes in what it answers.
//!
//! A worker speaks at its start, when its registry holds another revision, and
//! at its end. One that does not find itself among the workers of the query
//! `status` was dropped, or the workflow lost its state: it says `started` again.

use std::time::Duration;

use almanac_base::names::{DefinitionId, Revision, WorkerId};
use serde::{Deserialize, Serialize};

use super::DefinitionCounts;

/// The payload of the signal `definitions_changed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Announcement {
    /// The worker that speaks.
    pub worker: WorkerId,
    /// Its place among the statements of this worker, from 1; 0 from releases
    /// that do not number them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub number: u64,
    /// Why it speaks.
    #[serde(default)]
    pub event: WorkerEvent,
    /// The revision it held before; `None` at its start.
    #[serde(default)]
    pub previous: Option<Revision>,
    /// The revision it holds.
    #[serde(default)]
    pub revision: Revision,
    /// Its options.
    #[serde(default)]
    pub options: Options,
    /// Almanac's version.
    #[serde(default)]
    pub version: String,
    /// Which definitions changed since `previous`, for the fast path: at most
    /// 100. `None`: too many, removals among them, or not known; a full pass.
    #[serde(default)]
    pub changed: Option<Vec<DefinitionId>>,
    /// What its reloads did since it last spoke.
    #[serde(default)]
    pub definitions: DefinitionCounts,
    /// The same for event types.
    #[serde(default)]
    pub event_types: DefinitionCounts,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Why a worker speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerEvent {
    /// The process started (or found the workflow gone and started it).
    Started,
    /// Its registry holds another revision.
    #[default]
    Changed,
    /// It ends.
    Stopping,
}

/// The options of a worker that passes obey. Where replicas differ, the safer wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Options {
    /// Time between full passes.
    #[schema(value_type = Object)]
    pub reconcile_interval: Duration,
    /// Time within which each schedule is described once.
    #[schema(value_type = Object)]
    pub resync_interval: Duration,
    /// What happens to drift.
    pub drift: DriftPolicy,
    /// What happens to schedules whose definition is gone.
    pub orphans: OrphanPolicy,
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

/// What happens to drift; the greater is the safer.
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
    /// The schedule is corrected.
    #[default]
    Correct,
    /// It is only reported.
    Report,
}

/// What happens to schedules whose definition is gone; the greater is the safer.
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
    /// The schedule is deleted.
    #[default]
    Delete,
    /// It is paused.
    Pause,
    /// It is left alone and reported.
    Keep,
}
