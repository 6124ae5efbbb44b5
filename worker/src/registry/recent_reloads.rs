//! The last reloads of this process, for people. No decision depends on them.

use std::collections::{BTreeSet, VecDeque};

use almanac_base::names::Revision;
use almanac_core::record::{NAME_LIMIT, cut_text};
use almanac_core::snapshot::{FailedDocument, Snapshot};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::difference::{Difference, each_difference};
use super::{ReadDepth, ReloadError};

/// Maximum number of reloads that are remembered.
pub const RELOADS_KEPT: usize = 50;
/// Maximum number of definitions or documents that a list names.
pub const RELOAD_NAMES: usize = 10;

/// A reload that changed the definitions, or that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RecentReload {
    /// Time at which the reload ended.
    pub at: Timestamp,
    /// Cause of the reload.
    pub cause: ReloadCause,
    /// Name of the operator who asked for the reload; empty if nobody did.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Revision after the reload.
    pub revision: Revision,
    /// Differences to the definitions that were served before.
    pub changes: ReloadChanges,
    /// Error of a reload that failed. The definitions served before are still served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Number of further reloads that failed in a row.
    #[serde(skip_serializing_if = "is_zero")]
    pub again: u64,
}

impl RecentReload {
    /// Returns `true` if the reload failed, or if documents became invalid.
    pub const fn is_failure(&self) -> bool {
        self.error.is_some() || self.changes.newly_invalid.count > 0
    }
}

/// Causes of a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReloadCause {
    /// The process started.
    Start,
    /// The file system reported a change.
    Change,
    /// The timer, which finds changes that the file system does not report.
    Timer,
    /// An operator or a program asked to read the files again.
    Request,
}

impl ReloadCause {
    /// The name of the cause, as in JSON.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Change => "change",
            Self::Timer => "timer",
            Self::Request => "request",
        }
    }
}

impl From<ReadDepth> for ReloadCause {
    fn from(depth: ReadDepth) -> Self {
        match depth {
            ReadDepth::Changed => Self::Change,
            ReadDepth::Unconfirmed | ReadDepth::Contents => Self::Timer,
        }
    }
}

/// Differences between two snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct ReloadChanges {
    /// Number of definitions that are served now.
    pub total: u64,
    /// Number of documents that are invalid now.
    pub invalid: u64,
    /// `true` if the folders were not read completely, so that nothing is removed.
    pub incomplete: bool,
    /// Definitions that are new.
    pub added: ReloadNames,
    /// Definitions that differ.
    pub changed: ReloadNames,
    /// Definitions that are served no more.
    pub removed: ReloadNames,
    /// Documents that were not invalid before, by their ids or sources.
    pub newly_invalid: ReloadNames,
    /// Documents that were invalid and are not any more, by their ids or sources.
    pub valid_again: ReloadNames,
}

/// Some definitions or documents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct ReloadNames {
    /// Number of definitions or documents.
    pub count: u64,
    /// The first of their names, in order; at most 10.
    #[schema(max_items = 10)]
    pub names: Vec<String>,
}

impl ReloadNames {
    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < RELOAD_NAMES {
            let mut name = name.to_owned();
            cut_text(&mut name, NAME_LIMIT);
            self.names.push(name);
        }
    }
}

impl ReloadChanges {
    /// The differences between two snapshots.
    pub(super) fn between(before: &Snapshot, now: &Snapshot) -> Self {
        let mut changes = Self {
            total: now.definitions.len() as u64,
            invalid: now.failed.len() as u64,
            incomplete: !now.is_complete(),
            ..Self::default()
        };
        each_difference(before, now, |difference| match difference {
            Difference::Added(id) => changes.added.add(id.as_str()),
            Difference::Changed { id, .. } => changes.changed.add(id.as_str()),
            Difference::Removed(id) => changes.removed.add(id.as_str()),
        });
        let (failed_before, failed_now) = (failing(before), failing(now));
        for name in failed_now.difference(&failed_before) {
            changes.newly_invalid.add(name);
        }
        for name in failed_before.difference(&failed_now) {
            changes.valid_again.add(name);
        }
        changes
    }

    /// All names of definitions and documents.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let lists = [
            &self.added,
            &self.changed,
            &self.removed,
            &self.newly_invalid,
            &self.valid_again,
        ];
        lists
            .into_iter()
            .flat_map(|list| list.names.iter().map(String::as_str))
    }
}

/// The failing documents: by their ids, so that a document that moves within its file stays the
/// same, or by their sources.
fn failing(snapshot: &Snapshot) -> BTreeSet<&str> {
    snapshot.failed.iter().map(name_of).collect()
}

fn name_of(failed: &FailedDocument) -> &str {
    match &failed.id {
        Some(id) => id.as_str(),
        None => &failed.source,
    }
}

/// The last reloads, oldest first.
#[derive(Debug, Default)]
pub(super) struct RecentReloads(VecDeque<RecentReload>);

impl RecentReloads {
    /// Adds a reload. If there are too many, the oldest is removed.
    pub(super) fn add(&mut self, reload: RecentReload) {
        self.0.push_back(reload);
        while self.0.len() > RELOADS_KEPT {
            self.0.pop_front();
        }
    }

    /// Adds a reload that failed. Failures in a row stand once.
    pub(super) fn add_failure(&mut self, failed: RecentReload) {
        match self.0.back_mut() {
            Some(last) if last.error.is_some() => last.again = last.again.saturating_add(1),
            _ => self.add(failed),
        }
    }

    /// The reloads, newest first.
    pub(super) fn newest_first(&self) -> Vec<RecentReload> {
        self.0.iter().rev().cloned().collect()
    }
}

impl RecentReload {
    /// A reload that failed, while this snapshot is served.
    pub(super) fn failed(
        cause: ReloadCause,
        by: String,
        served: &Snapshot,
        error: ReloadError,
    ) -> Self {
        Self {
            at: Timestamp::now(),
            cause,
            by,
            revision: served.revision.clone(),
            changes: ReloadChanges {
                total: served.definitions.len() as u64,
                invalid: served.failed.len() as u64,
                incomplete: !served.is_complete(),
                ..ReloadChanges::default()
            },
            error: Some(error.to_string()),
            again: 0,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reloads_that_fail_in_a_row_stand_once() {
        let mut recent = RecentReloads::default();
        let served = Snapshot::default();
        let failed = |by: &str| {
            RecentReload::failed(ReloadCause::Timer, by.to_owned(), &served, ReloadError)
        };
        for by in ["first", "second", "third"] {
            recent.add_failure(failed(by));
        }
        recent.add(RecentReload {
            error: None,
            ..failed("")
        });
        recent.add_failure(failed("last"));
        let all = recent.newest_first();
        let shown: Vec<_> = all.iter().map(|one| (one.by.as_str(), one.again)).collect();
        assert_eq!(shown, [("last", 0), ("", 0), ("first", 2)]);
        let error = all[0].error.as_deref().unwrap();
        assert!(
            error.contains("the definitions served before are still served"),
            "{error}"
        );
    }
}
