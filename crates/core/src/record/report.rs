//! The report of a pass: the same JSON everywhere.

use std::collections::BTreeMap;

use almanac_base::names::Revision;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::field::Field;

/// The longest a list in a report gets; `truncated` counts the rest.
pub const LIST_LIMIT: usize = 100;

/// What one pass found and did.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Report {
    /// Number of the pass, from 1, growing through continue-as-new.
    pub pass: u64,
    /// The revision it reconciled to.
    pub revision: Revision,
    /// What asked for it.
    pub trigger: Trigger,
    /// It wrote nothing.
    pub dry_run: bool,
    /// When it started.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration_ms: u64,
    /// What reloads did since the last report.
    pub definitions: DefinitionCounts,
    /// The same for event types.
    pub event_types: DefinitionCounts,
    /// What became of the schedules.
    pub schedules: ScheduleCounts,
    /// Differences that no file asked for.
    pub drift: DriftCounts,
    /// Removals that wait for confirmation.
    pub held: Option<Held>,
    /// What was done, or would be in a dry run.
    pub changes: Vec<Change>,
    /// What failed.
    pub errors: Vec<ReportError>,
    /// The ids that unmanaged schedules have taken from definitions, sorted; at
    /// most [`LIST_LIMIT`]. Only a pass over all schedules tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<Vec<String>>,
    /// The schedules that no definition asked for, those that the pass removed or
    /// holds among them. Only a pass over all schedules tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_definition: Option<Listed>,
    /// The ids of schedules that the server could not describe, sorted; at most
    /// [`LIST_LIMIT`]. Only a pass over all schedules tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<Vec<String>>,
    /// How many entries the lists above leave out.
    pub truncated: u64,
}

impl Report {
    /// Returns `true` if the pass was over all schedules of the project.
    pub fn is_full(&self) -> bool {
        self.unreadable.is_some()
    }
}

/// Schedules of a pass, by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Listed {
    /// The ids, sorted; at most [`LIST_LIMIT`].
    pub ids: Vec<String>,
    /// Number of schedules, those that `ids` leaves out among them.
    pub count: u64,
}

impl Listed {
    /// Returns `true` if the schedule is listed; `None` if it may be one of those
    /// that the list leaves out.
    pub fn contains(&self, id: &str) -> Option<bool> {
        let is_listed = self.ids.iter().any(|one| one == id);
        (is_listed || self.count <= self.ids.len() as u64).then_some(is_listed)
    }
}

/// What asked for a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Its interval.
    #[default]
    Interval,
    /// A worker's start.
    Start,
    /// Changed files.
    Change,
    /// The signal `reconcile`.
    Signal,
    /// The update `sync`.
    Sync,
    /// An operator's override, or its end.
    Override,
    /// The update `resume`.
    Resume,
    /// An operator adopts a foreign schedule.
    Adopt,
}

/// Counts of documents, gathered over every reload since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct DefinitionCounts {
    /// Loaded now.
    pub total: u64,
    /// Came into being.
    pub new: u64,
    /// Changed.
    pub updated: u64,
    /// Went away.
    pub archived: u64,
    /// Invalid now.
    pub invalid: u64,
}

/// Counts of schedules in a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "the names are the report's, section 5 of the contract"
)]
pub struct ScheduleCounts {
    pub desired: u64,
    pub created: u64,
    pub updated: u64,
    pub paused: u64,
    pub unpaused: u64,
    pub deleted: u64,
    pub unchanged: u64,
    pub overridden: u64,
    pub conflicts: u64,
    pub held: u64,
    pub orphaned: u64,
    pub contested: u64,
    pub unreadable: u64,
}

/// Drift, counted by field (a schedule with two drifted fields counts twice).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct DriftCounts {
    /// Fields found different from what was last written.
    pub detected: u64,
    /// Of these, how many were written back.
    pub corrected: u64,
    /// `detected`, by field.
    pub by_field: BTreeMap<Field, u64>,
}

/// Removals that wait for confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Held {
    /// SHA-256 of the sorted schedule ids, one a line; names exactly this set.
    pub digest: String,
    /// Why they wait.
    pub reason: String,
    /// The schedule ids, sorted; at most [`LIST_LIMIT`].
    pub ids: Vec<String>,
    /// How many there are.
    #[serde(default)]
    pub count: u64,
}

/// One operation of a pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Change {
    /// The definition, or the schedule's id where no definition is left.
    pub id: String,
    /// What was done.
    pub op: Op,
    /// The fields it touched.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
}

/// The kinds of operation.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the names are the report's, section 5 of the contract"
)]
pub enum Op {
    Create,
    Update,
    Pause,
    Unpause,
    Delete,
    ClearOverride,
    KeepOverride,
}

impl Op {
    /// The name, as in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Delete => "delete",
            Self::ClearOverride => "clear_override",
            Self::KeepOverride => "keep_override",
        }
    }
}

/// One thing that failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct ReportError {
    /// The file (with line and column), or `temporal`.
    pub source: String,
    /// The definition or schedule, where there is one.
    pub id: Option<String>,
    /// What happened.
    pub message: String,
}
