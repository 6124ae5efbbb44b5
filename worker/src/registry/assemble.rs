//! From the state of every file, and what was served before, to a snapshot.
//!
//! Pure. Always holds: a definition that was served goes away only when the
//! place it stood in could be seen and no longer holds it. While its document
//! fails, another document states its id too, its file cannot be read, or its
//! folder cannot be seen, its last good version is served, marked stale.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use almanac_workflows::definition::{Definition, Diagnostic, Kind};
use almanac_workflows::names::DefinitionId;
use almanac_workflows::snapshot::{
    ARCHIVED_KEPT, Archived, FailedDocument, LoadStatus, Loaded, Snapshot,
};

use super::load::{Content, Document, FileKey, View};
use super::read::Refusal;

/// The most documents that are served.
const DOCUMENTS_LIMIT: usize = 50_000;
/// How many other places the error of a repeated id names.
const PLACES_NAMED: usize = 3;

/// Where each definition that is served comes from.
pub(super) type Origins = BTreeMap<DefinitionId, FileKey>;

/// A document and its place.
struct Placed<'a> {
    key: &'a FileKey,
    source: String,
    document: &'a Document,
}

/// The snapshot that `view` makes of `previous`.
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
        ..Snapshot::default()
    };
    let mut now = Origins::new();

    let mut documents = place(view);
    if let Some(first) = documents.get(DOCUMENTS_LIMIT) {
        snapshot.incomplete.push(format!(
            "there are more than {DOCUMENTS_LIMIT} documents; `{}` and those after it are not loaded",
            first.source
        ));
        documents.truncate(DOCUMENTS_LIMIT);
    }
    let stated = by_stated_id(&documents);

    // Files in which a document fails that could be any definition of the file.
    let mut suspicious = BTreeSet::new();
    for placed in &documents {
        let mut errors = Vec::new();
        let mut served = None;
        match &placed.document.result {
            Ok(definition) => {
                served = Some(definition);
                snapshot.warnings.extend_from_slice(&placed.document.warnings);
            }
            Err(found) => errors.extend_from_slice(found),
        }
        errors.extend(repeated(placed, &documents, &stated, roots));
        match served {
            Some(definition) if errors.is_empty() => {
                let loaded = loaded(definition, &placed.source);
                now.insert(definition.id.clone(), placed.key.clone());
                snapshot.definitions.insert(definition.id.clone(), loaded);
            }
            _ => {
                let id = placed.document.id.clone();
                if !id.as_ref().is_some_and(|id| previous.definitions.contains_key(id)) {
                    suspicious.insert(placed.key);
                }
                snapshot.failed.push(FailedDocument {
                    source: placed.source.clone(),
                    id,
                    errors,
                });
            }
        }
    }
    for (key, state) in &view.files {
        if let Content::Refused(refusal) = &state.content {
            suspicious.insert(key);
            snapshot.failed.push(unread(key, refusal, roots));
        }
    }
    snapshot.failed.sort_by(|a, b| a.source.cmp(&b.source));

    let failing: BTreeSet<&DefinitionId> = snapshot
        .failed
        .iter()
        .filter_map(|failed| failed.id.as_ref())
        .collect();
    let mut kept = Vec::new();
    for (id, loaded) in &previous.definitions {
        if snapshot.definitions.contains_key(id) {
            continue;
        }
        let Some(origin) = origins.get(id) else {
            continue;
        };
        let unseen =
            view.holes.contains_key(&origin.root) && !view.files.contains_key(origin);
        if failing.contains(id) || unseen || suspicious.contains(origin) {
            kept.push((id, loaded, origin));
        } else {
            snapshot.archived.push(Archived {
                id: id.clone(),
                source: loaded.source.clone(),
                revision: loaded.definition.revision.clone(),
            });
        }
    }
    for (id, loaded, origin) in kept {
        now.insert(id.clone(), origin.clone());
        let stale = Loaded {
            status: LoadStatus::Stale,
            ..loaded.clone()
        };
        snapshot.definitions.insert(id.clone(), stale);
    }
    let remembered = previous
        .archived
        .iter()
        .filter(|archived| !snapshot.definitions.contains_key(&archived.id));
    snapshot.archived.extend(remembered.cloned());
    snapshot.archived.truncate(ARCHIVED_KEPT);
    (snapshot, now)
}

fn place(view: &View) -> Vec<Placed<'_>> {
    let mut placed = Vec::new();
    for (key, state) in &view.files {
        let Content::Read { documents, .. } = &state.content else {
            continue;
        };
        let path = key.path.display();
        placed.extend(documents.iter().map(|document| Placed {
            key,
            source: match documents.len() {
                1 => path.to_string(),
                _ => format!("{path}:{}", document.line),
            },
            document,
        }));
    }
    placed
}

/// The indices of the documents that state an id, whatever else is wrong with them.
fn by_stated_id<'a>(documents: &[Placed<'a>]) -> BTreeMap<(Kind, &'a DefinitionId), Vec<usize>> {
    let mut stated: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (index, placed) in documents.iter().enumerate() {
        if let Some(id) = &placed.document.id {
            stated.entry((placed.document.kind, id)).or_default().push(index);
        }
    }
    stated
}

/// What is wrong with a document whose id others state too.
fn repeated(
    placed: &Placed<'_>,
    documents: &[Placed<'_>],
    stated: &BTreeMap<(Kind, &DefinitionId), Vec<usize>>,
    roots: &[PathBuf],
) -> Option<Diagnostic> {
    let id = placed.document.id.as_ref()?;
    let all = stated.get(&(placed.document.kind, id))?;
    let others: Vec<_> = all
        .iter()
        .map(|index| &documents[*index])
        .filter(|other| !std::ptr::eq(other.document, placed.document))
        .collect();
    if others.is_empty() {
        return None;
    }
    let mut places: Vec<_> = others
        .iter()
        .take(PLACES_NAMED)
        .map(|other| format!("{}:{}", shown(other.key, roots), other.document.line))
        .collect();
    if let Some(more @ 1..) = others.len().checked_sub(PLACES_NAMED) {
        places.push(format!("{more} more"));
    }
    Some(Diagnostic {
        hint: Some("give each document an id of its own".into()),
        ..Diagnostic::error(
            shown(placed.key, roots),
            placed.document.line,
            1,
            format!("id: `{id}` is stated by another document too: {}", places.join(", ")),
        )
    })
}

fn unread(key: &FileKey, refusal: &Refusal, roots: &[PathBuf]) -> FailedDocument {
    FailedDocument {
        source: key.path.display().to_string(),
        id: None,
        errors: vec![Diagnostic {
            hint: refusal.hint().map(Into::into),
            ..Diagnostic::error(shown(key, roots), 1, 1, refusal.to_string())
        }],
    }
}

/// A file as a person finds it: below the folder as it was given.
fn shown(key: &FileKey, roots: &[PathBuf]) -> String {
    let root = roots.get(key.root).map_or(Path::new(""), PathBuf::as_path);
    root.join(&key.path).display().to_string()
}

fn loaded(definition: &Arc<Definition>, source: &str) -> Loaded {
    Loaded {
        definition: Arc::clone(definition),
        source: source.to_owned(),
        status: LoadStatus::Loaded,
    }
}
