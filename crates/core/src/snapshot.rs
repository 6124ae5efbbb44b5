//! Snapshot of the registry: its contents at one moment, immutable, ordered, with a revision.
//!
//! A snapshot says which definitions are served and which schedules must not be removed. Making a
//! snapshot from files is left to the worker's registry. Deciding what follows from it is left to
//! the planner.

use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_base::names::{DefinitionId, Revision};
use serde::{Deserialize, Serialize};

use crate::definition::{DayCalendar, Definition, Diagnostic, EventType, Kind, Labels};
use crate::record::ReportError;
use crate::schedule::Encryption;

/// Maximum number of archived documents that are remembered.
pub const ARCHIVED_KEPT: usize = 100;

/// All definitions, calendars and event types, and the errors of the documents that fail.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// Digest of the files' contents and relative paths, of everything that could not be read, and of
    /// the encryption. So workers that encrypt differently hold different revisions.
    pub revision: Revision,
    /// Definitions that are served, including last good versions.
    pub definitions: BTreeMap<DefinitionId, Loaded>,
    /// Calendars that definitions can name, including last good versions. The definitions have the
    /// excluded days already.
    pub calendars: BTreeMap<DefinitionId, LoadedCalendar>,
    /// Types of events, including last good versions.
    pub event_types: BTreeMap<DefinitionId, LoadedEventType>,
    /// Event types with a webhook, by the webhook's slug.
    pub webhooks: BTreeMap<DefinitionId, Arc<EventType>>,
    /// Documents that fail now, in the order of their sources.
    pub failed: Vec<FailedDocument>,
    /// Warnings of the documents that are valid.
    pub warnings: Vec<Diagnostic>,
    /// Reasons for an incomplete view, such as a root that is missing or unreadable, a listing that
    /// failed part-way, or a root that was replaced and not yet seen twice. Nothing may be removed
    /// while this list is not empty.
    pub incomplete: Vec<String>,
    /// Definitions, calendars and event types that disappeared while this worker ran, the latest first; at most
    /// [`ARCHIVED_KEPT`]. The list is for people; no decision depends on it.
    pub archived: Vec<Archived>,
    /// Encryption of the payloads that this worker puts into schedules.
    pub encryption: Encryption,
    /// W3C trace context of the reload that made the snapshot, if the worker exports traces.
    pub traceparent: Option<String>,
}

/// A definition that is served.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// Definition that is served.
    pub definition: Arc<Definition>,
    /// Source of the definition: `path` or `path:line` of its document, relative to the given
    /// folder.
    pub source: String,
    /// Relation of the definition to the document on disk.
    pub status: LoadStatus,
}

/// A calendar that definitions can name.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedCalendar {
    /// Calendar that definitions can name.
    pub calendar: Arc<DayCalendar>,
    /// Source of the calendar: `path` or `path:line` of its document, relative to the given folder.
    pub source: String,
    /// Relation of the calendar to the document on disk.
    pub status: LoadStatus,
}

/// A type of events that triggers can name.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedEventType {
    /// Type of events.
    pub event_type: Arc<EventType>,
    /// Source of the event type: `path` or `path:line` of its document, relative to the given
    /// folder.
    pub source: String,
    /// Relation of the event type to the document on disk.
    pub status: LoadStatus,
}

/// A document of any kind that is served.
#[derive(Debug, Clone, Copy)]
pub struct ServedDocument<'a> {
    /// Id of the document.
    pub id: &'a DefinitionId,
    /// Revision of the document.
    pub revision: &'a Revision,
    /// Short description for people.
    pub description: Option<&'a str>,
    /// Labels by which people and tools select documents.
    pub labels: &'a Labels,
    /// Source of the document: `path` or `path:line`, relative to the given folder.
    pub source: &'a str,
    /// Relation of the served version to the document on disk.
    pub status: LoadStatus,
}

/// Returns the event types by the type of their events. A document on disk takes the type from the
/// last good version of another, because that document may have another type by now.
pub fn by_type(
    event_types: &BTreeMap<DefinitionId, LoadedEventType>,
) -> BTreeMap<&str, &LoadedEventType> {
    let mut all: Vec<_> = event_types.values().collect();
    all.sort_by_key(|loaded| loaded.status != LoadStatus::Stale);
    all.into_iter()
        .map(|loaded| (loaded.event_type.kind.as_str(), loaded))
        .collect()
}

/// Returns the event types with a webhook, by the webhook's slug. A document on disk takes the slug
/// of the last good version of another, because that document may have another slug by now.
pub fn by_slug(
    event_types: &BTreeMap<DefinitionId, LoadedEventType>,
) -> BTreeMap<DefinitionId, Arc<EventType>> {
    let mut all: Vec<_> = event_types.values().collect();
    all.sort_by_key(|loaded| loaded.status != LoadStatus::Stale);
    all.into_iter()
        .filter_map(|loaded| {
            let webhook = loaded.event_type.webhook.as_ref()?;
            Some((webhook.slug.clone(), Arc::clone(&loaded.event_type)))
        })
        .collect()
}

/// Relation of a served version to the document on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadStatus {
    /// The document on disk is the served version.
    Loaded,
    /// The document on disk fails or cannot be read; the last good version is served.
    Stale,
}

/// A document that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDocument {
    /// Source of the document: `path` or `path:line`, relative to the given folder.
    pub source: String,
    /// Id that the document states, or its file's stem if that is the default. `None` if the id
    /// cannot be read.
    pub id: Option<DefinitionId>,
    /// Kind of the document; `Workflow` if the kind cannot be read.
    pub kind: Kind,
    /// All errors of the document.
    pub errors: Vec<Diagnostic>,
}

impl FailedDocument {
    /// The error of the document in a report: its first error, with the place.
    pub fn report_error(&self) -> ReportError {
        let first = self.errors.first();
        ReportError {
            source: first.map_or_else(
                || self.source.clone(),
                |first| format!("{}:{}:{}", first.path, first.line, first.column),
            ),
            id: self.id.as_ref().map(ToString::to_string),
            message: first.map(|first| first.message.clone()).unwrap_or_default(),
        }
    }
}

/// File of a source that is `path` or `path:line`.
pub fn file_of(source: &str) -> &str {
    match source.rsplit_once(':') {
        Some((file, line)) if line.bytes().all(|byte| byte.is_ascii_digit()) => file,
        _ => source,
    }
}

impl Loaded {
    /// The document that is served.
    pub fn served(&self) -> ServedDocument<'_> {
        ServedDocument {
            id: &self.definition.id,
            revision: &self.definition.revision,
            description: self.definition.description.as_deref(),
            labels: &self.definition.labels,
            source: &self.source,
            status: self.status,
        }
    }
}

impl LoadedCalendar {
    /// The document that is served.
    pub fn served(&self) -> ServedDocument<'_> {
        ServedDocument {
            id: &self.calendar.id,
            revision: &self.calendar.revision,
            description: self.calendar.description.as_deref(),
            labels: &self.calendar.labels,
            source: &self.source,
            status: self.status,
        }
    }
}

impl LoadedEventType {
    /// The document that is served.
    pub fn served(&self) -> ServedDocument<'_> {
        ServedDocument {
            id: &self.event_type.id,
            revision: &self.event_type.revision,
            description: self.event_type.description.as_deref(),
            labels: &self.event_type.labels,
            source: &self.source,
            status: self.status,
        }
    }
}

/// A definition, a calendar or an event type that disappeared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    pub kind: Kind,
    /// Id of the document.
    pub id: DefinitionId,
    /// Last source of the document: `path` or `path:line`.
    pub source: String,
    /// Last revision of the document.
    pub revision: Revision,
}

impl Snapshot {
    /// Returns `true` if the view is complete. While the view is incomplete, nothing may be
    /// removed.
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }

    /// Returns the document of this kind and id that is served.
    pub fn served(&self, kind: Kind, id: &DefinitionId) -> Option<ServedDocument<'_>> {
        match kind {
            Kind::Workflow => self.definitions.get(id).map(Loaded::served),
            Kind::Calendar => self.calendars.get(id).map(LoadedCalendar::served),
            Kind::EventType => self.event_types.get(id).map(LoadedEventType::served),
        }
    }

    /// Returns all documents of this kind that are served, in the order of their ids.
    pub fn all_served(&self, kind: Kind) -> Box<dyn Iterator<Item = ServedDocument<'_>> + '_> {
        match kind {
            Kind::Workflow => Box::new(self.definitions.values().map(Loaded::served)),
            Kind::Calendar => Box::new(self.calendars.values().map(LoadedCalendar::served)),
            Kind::EventType => Box::new(self.event_types.values().map(LoadedEventType::served)),
        }
    }

    /// Number of documents of this kind that fail.
    pub fn failing(&self, kind: Kind) -> usize {
        let failed = self.failed.iter();
        failed.filter(|failed| failed.kind == kind).count()
    }

    /// Ids that failing documents state, of every kind: a failing document may state the wrong kind
    /// too.
    pub fn failed_ids(&self) -> impl Iterator<Item = &DefinitionId> {
        self.failed.iter().filter_map(|failed| failed.id.as_ref())
    }
}
