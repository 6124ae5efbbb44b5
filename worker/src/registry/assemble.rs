//! Builds a snapshot from the state of every file and the previous snapshot.
//!
//! Pure. Always holds: a served definition goes away only if its place could be read and no
//! longer holds it. Almanac serves its last good version, marked stale, while its document
//! fails, another document states its id too, its file or folder cannot be read, or a calendar
//! that it names is not available. The same holds for calendars.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use almanac_base::names::DefinitionId;
use almanac_core::definition::{Calendars, Definition, Kind, Parsed};
use almanac_core::snapshot::{
    ARCHIVED_KEPT, Archived, LoadStatus, Loaded, LoadedCalendar, Snapshot,
};

use super::documents::{Placed, by_repeated_id, documents, repeated, unread};
use super::files::{Content, FileKey};
use super::load::View;
use super::retention::{DefinitionFiles, Retention};

/// The files of everything that is served.
#[derive(Debug, Default)]
pub(super) struct Origins {
    definitions: DefinitionFiles,
    calendars: DefinitionFiles,
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
    // Calendars come first: definitions take their days from the calendars that are kept.
    let failing = failing_calendars(&snapshot).cloned().collect();
    let gone = Retention {
        previous: &previous.calendars,
        origins: &origins.calendars,
        failing,
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
        failing_calendars(snapshot),
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
    snapshot.failed.extend(failed);
    snapshot.warnings.extend(warnings);
    for (_, placed) in &served {
        let warnings = &placed.document.warnings;
        snapshot.warnings.extend_from_slice(warnings);
    }
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
    let is_back = |one: &Archived| match one.kind {
        Kind::Calendar => snapshot.calendars.contains_key(&one.id),
        Kind::Workflow | Kind::EventType => snapshot.definitions.contains_key(&one.id),
    };
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

/// Ids that failing calendar documents state.
fn failing_calendars(snapshot: &Snapshot) -> impl Iterator<Item = &DefinitionId> {
    let failed = snapshot.failed.iter();
    failed
        .filter(|failed| failed.kind == Kind::Calendar)
        .filter_map(|failed| failed.id.as_ref())
}

/// Ids that failing documents of other kinds state.
fn failing_definitions(snapshot: &Snapshot) -> impl Iterator<Item = &DefinitionId> {
    let failed = snapshot.failed.iter();
    failed
        .filter(|failed| failed.kind != Kind::Calendar)
        .filter_map(|failed| failed.id.as_ref())
}

/// Checks every document by itself: serves the calendars, records the failures, and returns the
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
    let stated = by_repeated_id(documents);
    let mut seen = DocumentFindings {
        definitions: Vec::new(),
        suspicious: BTreeSet::new(),
    };
    for placed in documents {
        let document = placed.document;
        let repeated = repeated(placed, documents, &stated, roots);
        let mut errors = match (&document.result, &repeated) {
            (Ok(Parsed::Definition(definition)), None) => {
                seen.definitions.push((definition, placed));
                continue;
            }
            (Ok(Parsed::Calendar(calendar)), None) => {
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
            (Ok(_), Some(_)) => Vec::new(),
            (Err(errors), _) => errors.clone(),
        };
        let was_served = document.id.as_ref().is_some_and(|id| match document.kind {
            Kind::Calendar => previous.calendars.contains_key(id),
            Kind::Workflow | Kind::EventType => previous.definitions.contains_key(id),
        });
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
