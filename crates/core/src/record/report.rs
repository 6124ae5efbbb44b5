//! The report of a pass, with the same JSON everywhere.

use std::collections::BTreeMap;

use almanac_base::names::{DefinitionId, Revision};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::bound_report;
use crate::field::Field;

/// Maximum length of a list in a report; `truncated` counts the entries that are left out.
pub const LIST_LIMIT: usize = 100;

/// Observations and operations of a pass.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Report {
    /// Number of the pass, from 1. The numbers continue across continue-as-new.
    pub pass: u64,
    /// Revision of the definitions that the pass used.
    pub revision: Revision,
    /// Cause of the pass.
    pub trigger: Trigger,
    /// `true` for a dry run, which writes nothing.
    pub dry_run: bool,
    /// Number of the pass that does the rest, if this pass ended early because the definitions
    /// changed or an operator asked for something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continued_by: Option<u64>,
    /// Time at which the pass started.
    pub started_at: Timestamp,
    /// Duration of the pass, in milliseconds.
    pub duration_ms: u64,
    /// Changes of definitions by reloads since the last report.
    pub definitions: DefinitionCounts,
    /// Changes of event types by reloads since the last report.
    pub event_types: DefinitionCounts,
    /// Numbers of schedules, by what the pass found or did.
    pub schedules: ScheduleCounts,
    /// Drift: differences that no file asked for.
    pub drift: DriftCounts,
    /// Removals that wait for confirmation.
    pub held: Option<Held>,
    /// Operations of the pass, or those that a dry run would do.
    pub changes: Vec<Change>,
    /// Errors of the pass.
    pub errors: Vec<ReportError>,
    /// The ids that unmanaged schedules have taken from definitions, sorted; at most
    /// [`LIST_LIMIT`]. `None` if the pass was not over all schedules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<Vec<String>>,
    /// The schedules that no definition asked for, including those that the pass removed or
    /// holds. `None` if the pass was not over all schedules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_definition: Option<Listed>,
    /// The ids of schedules that the server could not describe, sorted; at most [`LIST_LIMIT`].
    /// `None` if the pass was not over all schedules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<Vec<String>>,
    /// Number of entries that the lists above leave out.
    pub truncated: u64,
}

impl Report {
    /// Returns `true` if the pass was over all schedules of the project.
    pub fn is_full(&self) -> bool {
        self.unreadable.is_some()
    }

    /// Adds what an earlier pass did that was interrupted. Its errors are not added, because this
    /// pass tried again.
    pub(super) fn after(mut self, earlier: Self) -> Self {
        let counts = &mut self.schedules;
        for (count, more) in [
            (&mut counts.created, earlier.schedules.created),
            (&mut counts.updated, earlier.schedules.updated),
            (&mut counts.paused, earlier.schedules.paused),
            (&mut counts.unpaused, earlier.schedules.unpaused),
            (&mut counts.deleted, earlier.schedules.deleted),
        ] {
            *count = count.saturating_add(more);
        }
        let changes = std::mem::replace(&mut self.changes, earlier.changes);
        self.changes.extend(changes);
        bound_report(&mut self);
        self.started_at = earlier.started_at;
        self.duration_ms = self.duration_ms.saturating_add(earlier.duration_ms);
        self
    }

    /// The errors that concern the schedule of a definition: its own, and those of Temporal
    /// that concern all schedules.
    pub fn errors_of(&self, id: &DefinitionId) -> impl Iterator<Item = &ReportError> {
        self.errors.iter().filter(move |error| match &error.id {
            Some(of) => of == id.as_str(),
            None => ErrorSource::Temporal.is_of(error),
        })
    }
}

/// Schedules of a pass, by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Listed {
    /// The ids, sorted; at most [`LIST_LIMIT`].
    pub ids: Vec<String>,
    /// Number of schedules, including those that `ids` leaves out.
    pub count: u64,
}

impl Listed {
    /// Returns `true` if the schedule is listed. `None` if it may be one of those that `ids`
    /// leaves out.
    pub fn contains(&self, id: &str) -> Option<bool> {
        is_listed(id, &self.ids, self.count)
    }
}

/// Returns `true` if `ids` holds the id. `None` if the id may be one of the `count` that `ids`
/// leaves out.
pub(super) fn is_listed(id: &str, ids: &[String], count: u64) -> Option<bool> {
    let is_listed = ids.iter().any(|one| one == id);
    (is_listed || count <= ids.len() as u64).then_some(is_listed)
}

/// Cause of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The interval between full passes has elapsed.
    #[default]
    Interval,
    /// A worker has started.
    Start,
    /// The files have changed.
    Change,
    /// The signal `reconcile` arrived.
    Signal,
    /// The update `sync` arrived.
    Sync,
    /// An operator asked for an override, or for its end.
    Override,
    /// The update `resume` arrived.
    Resume,
    /// An operator adopts an unmanaged schedule.
    Adopt,
}

/// Counts of documents, summed over every reload since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct DefinitionCounts {
    /// Number of documents that are loaded now.
    pub total: u64,
    /// Number of documents that are new.
    pub new: u64,
    /// Number of documents that changed.
    pub updated: u64,
    /// Number of documents that went away.
    pub archived: u64,
    /// Number of documents that are invalid now.
    pub invalid: u64,
}

impl DefinitionCounts {
    /// Adds the counts of a later reload. Totals do not add up: those of the later reload count.
    pub fn add(&mut self, later: Self) {
        self.total = later.total;
        self.invalid = later.invalid;
        self.new = self.new.saturating_add(later.new);
        self.updated = self.updated.saturating_add(later.updated);
        self.archived = self.archived.saturating_add(later.archived);
    }
}

/// Counts of schedules in a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
// docs/contract.md#5-the-reconcile-workflow describes the names.
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

/// Drift, counted by field: a schedule with two drifted fields counts twice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct DriftCounts {
    /// Number of fields that differed from the value last written.
    pub detected: u64,
    /// Number of these fields that were written back.
    pub corrected: u64,
    /// The number `detected`, by field.
    pub by_field: BTreeMap<Field, u64>,
}

/// Removals that wait for confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Held {
    /// SHA-256 of the sorted schedule ids, one per line. The digest names exactly this set.
    pub digest: String,
    /// Reason why the removals wait.
    pub reason: String,
    /// The schedule ids, sorted; at most [`LIST_LIMIT`].
    pub ids: Vec<String>,
    /// Number of removals that wait.
    #[serde(default)]
    pub count: u64,
}

/// An operation of a pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Change {
    /// The definition, or the schedule's id where no definition is left.
    pub id: String,
    /// Kind of the operation.
    pub op: Op,
    /// The fields that the operation wrote.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// Reason of the operation, for people.
    #[serde(default)]
    pub reason: String,
}

/// Kinds of operations.
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
// docs/contract.md#5-the-reconcile-workflow describes the names.
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
    /// The name of the kind, as in reports.
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

/// Sources of the errors of a pass that no document causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorSource {
    /// Temporal, or a schedule in Temporal.
    Temporal,
    /// The folders of the definitions.
    Definitions,
    /// A digest that was to confirm removals.
    Confirm,
    /// A request for an override.
    Override,
    /// An adoption.
    Adopt,
}

impl ErrorSource {
    const ALL: [Self; 5] = [
        Self::Temporal,
        Self::Definitions,
        Self::Confirm,
        Self::Override,
        Self::Adopt,
    ];

    /// The name of the source, as in reports.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Temporal => "temporal",
            Self::Definitions => "definitions",
            Self::Confirm => "confirm",
            Self::Override => "override",
            Self::Adopt => "adopt",
        }
    }

    /// Creates an error of this source.
    pub fn error(self, id: Option<String>, message: String) -> ReportError {
        ReportError {
            source: self.as_str().to_owned(),
            id,
            message,
        }
    }

    /// Returns `true` if the error is of this source.
    pub fn is_of(self, error: &ReportError) -> bool {
        error.source == self.as_str()
    }
}

/// An error of a pass.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct ReportError {
    /// The file (with line and column), or one of `temporal`, `definitions`, `confirm`,
    /// `override` and `adopt`.
    pub source: String,
    /// The definition or schedule, where there is one.
    pub id: Option<String>,
    /// Description of the error.
    pub message: String,
}

impl ReportError {
    /// Returns `true` if a document causes the error.
    pub fn is_of_document(&self) -> bool {
        !ErrorSource::ALL.iter().any(|source| source.is_of(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_other_documents_do_not_concern_a_schedule() {
        let error = |source: &str, id: Option<&str>| ReportError {
            source: source.to_owned(),
            id: id.map(str::to_owned),
            message: source.to_owned(),
        };
        let report = Report {
            errors: vec![
                error("other.yaml:1:1", None),
                error("definitions", None),
                error("temporal", None),
                error("temporal", Some("a")),
                error("temporal", Some("b")),
                error("a.yaml:1:1", Some("a")),
            ],
            ..Report::default()
        };
        let id = "a".parse().unwrap();
        let found: Vec<_> = report.errors_of(&id).map(|error| &error.message).collect();
        assert_eq!(found, ["temporal", "temporal", "a.yaml:1:1"]);
        let documents = report.errors.iter().filter(|error| error.is_of_document());
        assert_eq!(documents.count(), 2);
    }
}
