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
    document: &'a Document,
    /// Nothing else is in its file.
    is_only: bool,
    /// Nothing follows it in its file.
    is_last: bool,
}

impl Placed<'_> {
    /// `path`, or `path:line` where there are several.
    fn source(&self) -> String {
        let path = Path::new(&*self.key.path).display();
        if self.is_only {
            path.to_string()
        } else {
            format!("{path}:{}", self.document.line)
        }
    }
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
    let suspicious = take_documents(&mut snapshot, &mut now, previous, view, roots);

    let failing: BTreeSet<_> = snapshot.failed_ids().cloned().collect();
    // Both are in order: nothing is searched for.
    let mut served = snapshot.definitions.keys().peekable();
    let gone: Vec<_> = previous
        .definitions
        .iter()
        .filter(|(id, _)| {
            while served.next_if(|one| one < id).is_some() {}
            served.next_if(|one| one == id).is_none()
        })
        .collect();
    for (id, loaded) in gone {
        let Some(origin) = origins.get(id) else {
            continue;
        };
        let unseen = view.holes.contains_key(&origin.root) && !view.files.contains_key(origin);
        if failing.contains(id) || unseen || is_within(origin, &suspicious) {
            let stale = Loaded {
                status: LoadStatus::Stale,
                ..loaded.clone()
            };
            now.insert(id.clone(), origin.clone());
            snapshot.definitions.insert(id.clone(), stale);
        } else {
            snapshot.archived.push(Archived {
                id: id.clone(),
                source: loaded.source.clone(),
                revision: loaded.definition.revision.clone(),
            });
        }
    }
    let remembered = previous
        .archived
        .iter()
        .filter(|one| !now.contains_key(&one.id) && !failing.contains(&one.id));
    snapshot.archived.extend(remembered.cloned());
    snapshot.archived.truncate(ARCHIVED_KEPT);
    (snapshot, now)
}

/// Whether a file is one of these, or stood in a folder that one of these now
/// stands for: a link that leads nowhere, or out.
fn is_within(file: &FileKey, suspicious: &BTreeSet<&FileKey>) -> bool {
    Path::new(&file.path).ancestors().any(|path| {
        let key = FileKey {
            root: file.root,
            path: path.as_os_str().into(),
        };
        suspicious.contains(&key)
    })
}

/// Puts every document where it belongs. Returns the files in which something
/// fails that may stand for definitions it does not name: the file cannot be
/// read, a document states no id or one that was not served, or the last
/// document is invalid, where a half-written file is cut.
fn take_documents<'a>(
    snapshot: &mut Snapshot,
    origins: &mut Origins,
    previous: &Snapshot,
    view: &'a View,
    roots: &[PathBuf],
) -> BTreeSet<&'a FileKey> {
    let mut documents = place(view);
    if let Some(first) = documents.get(DOCUMENTS_LIMIT) {
        snapshot.incomplete.push(format!(
            "there are more than {DOCUMENTS_LIMIT} documents; `{}` and those after it are not loaded",
            first.source()
        ));
        documents.truncate(DOCUMENTS_LIMIT);
    }
    let stated = by_repeated_id(&documents);
    let mut suspicious = BTreeSet::new();
    let mut served = Vec::new();
    for placed in &documents {
        let id = &placed.document.id;
        let repeated = repeated(placed, &documents, &stated, roots);
        let mut errors = match (&placed.document.result, &repeated) {
            (Ok(definition), None) => {
                snapshot
                    .warnings
                    .extend_from_slice(&placed.document.warnings);
                served.push((definition, placed));
                continue;
            }
            (Ok(_), Some(_)) => Vec::new(),
            (Err(errors), _) => errors.clone(),
        };
        let was_served = id
            .as_ref()
            .is_some_and(|id| previous.definitions.contains_key(id));
        if !was_served || (placed.is_last && placed.document.result.is_err()) {
            suspicious.insert(placed.key);
        }
        errors.extend(repeated);
        snapshot.failed.push(FailedDocument {
            source: placed.source(),
            id: id.clone(),
            errors,
        });
    }
    for (key, state) in &*view.files {
        if let Content::Refused(refusal) = &state.content {
            suspicious.insert(key);
            snapshot.failed.push(unread(key, refusal, roots));
        }
    }
    snapshot.failed.sort_by(|a, b| a.source.cmp(&b.source));
    // Maps are built at once: one by one takes twice the time.
    snapshot.definitions = served
        .iter()
        .map(|(definition, placed)| (definition.id.clone(), loaded(definition, placed)))
        .collect();
    *origins = served
        .into_iter()
        .map(|(definition, placed)| (definition.id.clone(), placed.key.clone()))
        .collect();
    suspicious
}

fn place(view: &View) -> Vec<Placed<'_>> {
    let mut placed = Vec::new();
    for (key, state) in &*view.files {
        let Content::Read { documents, .. } = &state.content else {
            continue;
        };
        placed.extend(
            documents
                .iter()
                .enumerate()
                .map(|(index, document)| Placed {
                    key,
                    document,
                    is_only: documents.len() == 1,
                    is_last: index + 1 == documents.len(),
                }),
        );
    }
    placed
}

/// The indices of the documents that state one id, whatever else is wrong with
/// them, for each id that several state.
fn by_repeated_id<'a>(documents: &[Placed<'a>]) -> BTreeMap<(Kind, &'a DefinitionId), Vec<usize>> {
    let mut stated: Vec<_> = documents
        .iter()
        .enumerate()
        .filter_map(|(index, placed)| {
            let id = placed.document.id.as_ref()?;
            Some(((placed.document.kind, id), index))
        })
        .collect();
    stated.sort_unstable();
    stated
        .chunk_by(|(first, _), (second, _)| first == second)
        .filter(|group| group.len() > 1)
        .map(|group| (group[0].0, group.iter().map(|(_, index)| *index).collect()))
        .collect()
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
    let mut elsewhere: Vec<_> = others
        .iter()
        .take(PLACES_NAMED)
        .map(|other| format!("{}:{}", shown(other.key, roots), other.document.line))
        .collect();
    if let Some(more @ 1..) = others.len().checked_sub(PLACES_NAMED) {
        elsewhere.push(format!("{more} more"));
    }
    Some(Diagnostic {
        hint: Some("give each document an id of its own".into()),
        ..Diagnostic::error(
            shown(placed.key, roots),
            placed.document.line,
            1,
            format!(
                "id: `{id}` is stated by another document too: {}",
                elsewhere.join(", ")
            ),
        )
    })
}

fn unread(key: &FileKey, refusal: &Refusal, roots: &[PathBuf]) -> FailedDocument {
    FailedDocument {
        source: Path::new(&key.path).display().to_string(),
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
    root.join(&*key.path).display().to_string()
}

fn loaded(definition: &Arc<Definition>, placed: &Placed<'_>) -> Loaded {
    Loaded {
        definition: Arc::clone(definition),
        source: placed.source(),
        status: LoadStatus::Loaded,
    }
}
