//! The registry's contents at one moment: immutable, ordered, with a revision.
//!
//! A snapshot answers what is served and what must not be removed. How it
//! comes from files is left to the worker's registry; what follows from it, to
//! the planner.

use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_base::names::{DefinitionId, Revision};
use serde::{Deserialize, Serialize};

use crate::definition::{DayCalendar, Definition, Diagnostic, Kind};

/// How many archived definitions are remembered.
pub const ARCHIVED_KEPT: usize = 100;

/// All definitions, and what is wrong with the rest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// Digest of the files' contents and relative paths, and of what could not be read.
    pub revision: Revision,
    /// The definitions that are served, last good versions among them.
    pub definitions: BTreeMap<DefinitionId, Loaded>,
    /// The calendars that definitions can name, last good versions among them.
    /// What they exclude stands in the definitions already.
    pub calendars: BTreeMap<DefinitionId, LoadedCalendar>,
    /// Documents that fail now, in the order of their sources.
    pub failed: Vec<FailedDocument>,
    /// Warnings of the documents that are valid.
    pub warnings: Vec<Diagnostic>,
    /// Why the view is incomplete (a root missing or unreadable, a listing that
    /// failed part-way, a root that was replaced and not yet seen twice):
    /// nothing may be removed while this is not empty.
    pub incomplete: Vec<String>,
    /// Definitions and calendars that went away while this process ran, the latest first; at
    /// most [`ARCHIVED_KEPT`]. For people; nothing is decided by it.
    pub archived: Vec<Archived>,
}

/// A definition that is served.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The definition.
    pub definition: Arc<Definition>,
    /// `path` or `path:line` of its document, relative to the folder given.
    pub source: String,
    /// Whether the document on disk is this one.
    pub status: LoadStatus,
}

/// A calendar that definitions can name.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedCalendar {
    /// The calendar.
    pub calendar: Arc<DayCalendar>,
    /// `path` or `path:line` of its document, relative to the folder given.
    pub source: String,
    /// Whether the document on disk is this one.
    pub status: LoadStatus,
}

/// Whether the document on disk is the one served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadStatus {
    /// It is.
    Loaded,
    /// The document on disk fails or cannot be seen; this is its last good version.
    Stale,
}

/// A document that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDocument {
    /// `path` or `path:line`, relative to the folder given.
    pub source: String,
    /// The id it states (its file's stem, where that is the default); `None` when it cannot be read.
    pub id: Option<DefinitionId>,
    /// What it is; `Workflow` where that cannot be read.
    pub kind: Kind,
    /// All that is wrong with it.
    pub errors: Vec<Diagnostic>,
}

/// The file of a source, `path` or `path:line`.
pub fn file_of(source: &str) -> &str {
    match source.rsplit_once(':') {
        Some((file, line)) if line.bytes().all(|byte| byte.is_ascii_digit()) => file,
        _ => source,
    }
}

/// A definition or a calendar that went away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// What it was.
    pub kind: Kind,
    /// Its id.
    pub id: DefinitionId,
    /// Where it stood.
    pub source: String,
    /// Its last revision.
    pub revision: Revision,
}

impl Snapshot {
    /// Whether the view has no hole; while it has one, nothing may be removed.
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }

    /// The ids that failing documents state, of whatever kind: one that fails
    /// may say the wrong kind, too.
    pub fn failed_ids(&self) -> impl Iterator<Item = &DefinitionId> {
        self.failed.iter().filter_map(|failed| failed.id.as_ref())
    }
}
