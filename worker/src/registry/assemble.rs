//! Builds a snapshot from the state of every file and the previous snapshot.
//!
//! Pure. Always holds: a served definition goes away only if its place could be read and no
//! longer holds it. Almanac serves its last good version, marked stale, while its document
//! fails, another document states its id or its webhook's slug too, its file or folder cannot be read, a calendar
//! that it names is not available, or its triggers close a cycle. The same holds for calendars and event types.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use almanac_base::names::DefinitionId;
use almanac_core::definition::{Calendars, Cycles, Definition, Kind, Parsed};
use almanac_core::snapshot::{
    ARCHIVED_KEPT, Archived, LoadStatus, Loaded, LoadedCalendar, LoadedEventType, Snapshot,
    by_slug, by_type,
};

use super::documents::{Placed, Repeated, documents, unread};
use super::files::{Content, FileKey};
use super::load::View;
use super::retention::{DefinitionFiles, Retention};

/// The files of everything that is served.
#[derive(Debug, Default)]
pub(super) struct Origins {
    definitions: DefinitionFiles,
    calendars: DefinitionFiles,
    event_types: DefinitionFiles,
}

/// The snapshot that follows from `view` and `previous`.
pub(super) fn assemble(
    previous: &Snapshot,
    origins: &Origins,
    view: &View,
    roots: &[PathBuf],
) -> (Snapshot, Origins) {
    let mut snapshot = Snapshot {
        revision: view.revision.clone(),
        incomplete: view
            .holes
            .iter()
            .map(|(root, hole)| format!("folder `{}` {hole}", roots[*root].display()))
            .collect(),
        warnings: view.warnings.clone(),
        ..Snapshot::default()
    };
    let mut now = Origins::default();
    let documents = documents(&mut snapshot, view);
    let mut seen = take_documents(&mut snapshot, &mut now, previous, &documents, view, roots);
    // Calendars and event types come first: definitions take their days from the calendars that
    // are kept, and name event types.
    let failing = failing_ids(&snapshot, Kind::EventType).cloned().collect();
    let gone = Retention {
        previous: &previous.event_types,
        origins: &origins.event_types,
        failing,
        suspicious: &seen.suspicious,
        view,
    }
    .into(&mut snapshot.event_types, &mut now.event_types);
    snapshot.archived.extend(gone);
    snapshot.webhooks = by_slug(&snapshot.event_types);
    let failing_calendars = failing_ids(&snapshot, Kind::Calendar).cloned().collect();
    let gone = Retention {
        previous: &previous.calendars,
        origins: &origins.calendars,
        failing: failing_calendars,
        suspicious: &seen.suspicious,
        view,
    }
    .into(&mut snapshot.calendars, &mut now.calendars);
    snapshot.archived.extend(gone);
    take_definitions(&mut snapshot, &mut now, previous, &mut seen, view);
    let failing = failing_definitions(&snapshot).cloned().collect();
    let gone = Retention {
        previous: &previous.definitions,
        origins: &origins.definitions,
        failing,
        suspicious: &seen.suspicious,
        view,
    }
    .into(&mut snapshot.definitions, &mut now.definitions);
    snapshot.archived.extend(gone);
    snapshot.failed.sort_by(|a, b| a.source.cmp(&b.source));
    remember(&mut snapshot, previous);
    (snapshot, now)
}

/// Results of checking the documents one by one.
struct DocumentFindings<'a> {
    /// Definitions that are valid if the calendars that they name exist.
    definitions: Vec<(&'a Arc<Definition>, &'a Placed<'a>)>,
    /// Files with a failing document that may stand for definitions or calendars that the
    /// document does not name.
    suspicious: BTreeSet<&'a FileKey>,
}

/// Serves the valid definitions, with the days of the calendars that they name.
fn take_definitions(
    snapshot: &mut Snapshot,
    now: &mut Origins,
    previous: &Snapshot,
    seen: &mut DocumentFindings<'_>,
    view: &View,
) {
    let known = snapshot.calendars.values();
    let calendars = Calendars::new(
        known.map(|loaded| &*loaded.calendar),
        failing_ids(snapshot, Kind::Calendar),
    );
    let (mut served, mut failed, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for (definition, placed) in &seen.definitions {
        let names = &placed.document.calendars;
        if names.is_empty() {
            served.push((Arc::clone(definition), *placed));
            continue;
        }
        let before = previous.definitions.get(&definition.id);
        match calendars.resolve(definition, names) {
            Ok(resolved) => {
                let warning = Calendars::warning(definition, &resolved, names, view.at);
                warnings.extend(warning);
                // An unchanged definition shares its memory with the old snapshot.
                let same = before.filter(|before| *before.definition == resolved);
                let resolved = same.map_or_else(
                    || Arc::new(resolved),
                    |before| Arc::clone(&before.definition),
                );
                served.push((resolved, *placed));
            }
            Err(errors) => {
                if before.is_none() {
                    seen.suspicious.insert(placed.key);
                }
                failed.push(placed.failed(errors));
            }
        }
    }
    let documents = served.iter();
    let cycles = Cycles::of(documents.map(|(definition, placed)| (&**definition, placed.document)));
    served.retain(|(definition, placed)| {
        let Some(errors) = cycles.errors(&definition.id) else {
            return true;
        };
        if !previous.definitions.contains_key(&definition.id) {
            seen.suspicious.insert(placed.key);
        }
        failed.push(placed.failed(errors.to_vec()));
        false
    });
    snapshot.failed.extend(failed);
    let declared: BTreeSet<_> = by_type(&snapshot.event_types).into_keys().collect();
    let known: BTreeSet<_> = if served
        .iter()
        .any(|(_, placed)| !placed.document.after.is_empty())
    {
        let served = served.iter().map(|(definition, _)| &definition.id);
        served.chain(failing_definitions(snapshot)).collect()
    } else {
        BTreeSet::new()
    };
    for (_, placed) in &served {
        let document = placed.document;
        warnings.extend_from_slice(&document.warnings);
        let undeclared = document.events.iter();
        warnings.extend(undeclared.filter_map(|one| one.warning(&declared)));
        let after = document.after.iter();
        warnings.extend(after.filter_map(|one| one.warning(&known)));
    }
    snapshot.warnings.extend(warnings);
    // Sorted once for both maps. Building a map from sorted pairs takes half the time of
    // inserting them one by one.
    served.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
    now.definitions = served
        .iter()
        .map(|(definition, placed)| (definition.id.clone(), placed.key.clone()))
        .collect();
    snapshot.definitions = served
        .into_iter()
        .map(|(definition, placed)| {
            let loaded = Loaded {
                definition,
                source: placed.source(),
                status: LoadStatus::Loaded,
            };
            (loaded.definition.id.clone(), loaded)
        })
        .collect();
}

/// Adds the archived entries of `previous` that have not come back.
fn remember(snapshot: &mut Snapshot, previous: &Snapshot) {
    let is_back = |one: &Archived| snapshot.served(one.kind, &one.id).is_some();
    let failing: BTreeSet<_> = snapshot.failed_ids().collect();
    let remembered: Vec<_> = previous
        .archived
        .iter()
        .filter(|one| !is_back(one) && !failing.contains(&one.id))
        .cloned()
        .collect();
    snapshot.archived.extend(remembered);
    snapshot.archived.truncate(ARCHIVED_KEPT);
}

/// Ids that failing documents of a kind state.
fn failing_ids(snapshot: &Snapshot, kind: Kind) -> impl Iterator<Item = &DefinitionId> {
    let failed = snapshot.failed.iter();
    failed
        .filter(move |failed| failed.kind == kind)
        .filter_map(|failed| failed.id.as_ref())
}

/// Ids that failing documents state which may stand for definitions: a document that should be a
/// definition may state the kind of event types.
fn failing_definitions(snapshot: &Snapshot) -> impl Iterator<Item = &DefinitionId> {
    let failed = snapshot.failed.iter();
    failed
        .filter(|failed| failed.kind != Kind::Calendar)
        .filter_map(|failed| failed.id.as_ref())
}

/// Checks every document by itself: serves the calendars and event types, records the failures, and returns the
/// valid definitions.
///
/// A file is suspicious if the file cannot be read, if a document in it states no id or an id
/// that was not served, or if its last document is invalid (a half-written file ends there).
fn take_documents<'a>(
    snapshot: &mut Snapshot,
    now: &mut Origins,
    previous: &Snapshot,
    documents: &'a [Placed<'a>],
    view: &'a View,
    roots: &[PathBuf],
) -> DocumentFindings<'a> {
    let repeated = Repeated::of(documents);
    let mut seen = DocumentFindings {
        definitions: Vec::new(),
        suspicious: BTreeSet::new(),
    };
    for placed in documents {
        let document = placed.document;
        let repeated = repeated.errors(placed, documents, roots);
        let mut errors = match (&document.result, repeated.as_slice()) {
            (Ok(Parsed::Definition(definition)), []) => {
                seen.definitions.push((definition, placed));
                continue;
            }
            (Ok(Parsed::Calendar(calendar)), []) => {
                snapshot.warnings.extend_from_slice(&document.warnings);
                let loaded = LoadedCalendar {
                    calendar: Arc::clone(calendar),
                    source: placed.source(),
                    status: LoadStatus::Loaded,
                };
                now.calendars.insert(&calendar.id, placed.key);
                snapshot.calendars.insert(calendar.id.clone(), loaded);
                continue;
            }
            (Ok(Parsed::EventType(event_type)), []) => {
                snapshot.warnings.extend_from_slice(&document.warnings);
                let loaded = LoadedEventType {
                    event_type: Arc::clone(event_type),
                    source: placed.source(),
                    status: LoadStatus::Loaded,
                };
                now.event_types.insert(&event_type.id, placed.key);
                snapshot.event_types.insert(event_type.id.clone(), loaded);
                continue;
            }
            (Ok(_), _) => Vec::new(),
            (Err(errors), _) => errors.clone(),
        };
        let id = document.id.as_ref();
        let was_served = id.is_some_and(|id| previous.served(document.kind, id).is_some());
        if !was_served || (placed.is_last && document.result.is_err()) {
            seen.suspicious.insert(placed.key);
        }
        errors.extend(repeated);
        snapshot.failed.push(placed.failed(errors));
    }
    for (key, state) in view.files.iter() {
        if let Content::Refused(refusal) = &state.content {
            seen.suspicious.insert(key);
            snapshot.failed.push(unread(key, refusal, roots));
        }
    }
    seen
}
