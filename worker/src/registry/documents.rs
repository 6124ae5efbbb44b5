//! The documents of all files with their places, and the errors that no document shows alone:
//! repeated ids, types and slugs, and files that cannot be read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use almanac_base::names::DefinitionId;
use almanac_core::definition::{Diagnostic, Kind, Parsed, ParsedDocument};
use almanac_core::snapshot::{FailedDocument, Snapshot};

use super::files::{Content, FileKey};
use super::load::View;
use super::read::Refusal;

/// Maximum number of documents that are served.
const DOCUMENTS_LIMIT: usize = 50_000;
/// Maximum number of other places that the error of a repeated id names.
const PLACES_NAMED: usize = 3;

/// A document and its place.
pub(super) struct Placed<'a> {
    pub(super) key: &'a FileKey,
    pub(super) document: &'a ParsedDocument,
    /// `true` if the file has no other document.
    is_only: bool,
    /// `true` if no document follows in the file.
    pub(super) is_last: bool,
}

impl Placed<'_> {
    /// Returns `path`, or `path:line` if the file has several documents.
    pub(super) fn source(&self) -> String {
        let path = self.key.path.to_string_lossy();
        if self.is_only {
            path.into_owned()
        } else {
            format!("{path}:{}", self.document.line)
        }
    }

    /// The failing document that has these errors.
    pub(super) fn failed(&self, errors: Vec<Diagnostic>) -> FailedDocument {
        FailedDocument {
            source: self.source(),
            id: self.document.id.clone(),
            kind: self.document.kind,
            errors,
        }
    }
}

/// All documents with their places, up to the limit.
pub(super) fn documents<'a>(snapshot: &mut Snapshot, view: &'a View) -> Vec<Placed<'a>> {
    let mut documents = place(view);
    if let Some(first) = documents.get(DOCUMENTS_LIMIT) {
        snapshot.incomplete.push(format!(
            "there are more than {DOCUMENTS_LIMIT} documents; `{}` and those after it are not loaded",
            first.source()
        ));
        documents.truncate(DOCUMENTS_LIMIT);
    }
    documents
}

fn place(view: &View) -> Vec<Placed<'_>> {
    let mut placed = Vec::new();
    for (key, state) in view.files.iter() {
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

/// Documents that state something which only one document may have: an id, the type of
/// events, or the slug of a webhook.
pub(super) struct Repeated<'a> {
    ids: Groups<(Kind, &'a DefinitionId)>,
    types: Groups<&'a str>,
    slugs: Groups<&'a DefinitionId>,
}

/// Indices of the documents that state the same, for each key that several documents state.
type Groups<K> = BTreeMap<K, Vec<usize>>;

impl<'a> Repeated<'a> {
    /// Finds the ids, types and slugs that several documents state. For ids, documents with other
    /// errors are included.
    pub(super) fn of(documents: &[Placed<'a>]) -> Self {
        Self {
            ids: groups(documents, id_of),
            types: groups(documents, type_of),
            slugs: groups(documents, slug_of),
        }
    }

    /// The errors of a document whose id, type or slug other documents state too.
    pub(super) fn errors(
        &self,
        placed: &Placed<'a>,
        documents: &[Placed<'a>],
        roots: &[PathBuf],
    ) -> Vec<Diagnostic> {
        let id = id_of(placed).and_then(|key| {
            let (all, id) = (self.ids.get(&key)?, key.1);
            let also = format!("id: `{id}` is also the id of another document");
            let hint = "give each document an id of its own";
            Some(repeated(placed, documents, all, roots, &also, hint))
        });
        // The default type of documents with the same id is the same, too.
        let kind = type_of(placed).filter(|_| id.is_none()).and_then(|kind| {
            let all = self.types.get(kind)?;
            let also = format!("type: `{kind}` is also the type of another event type");
            let hint = "give each event type a type of its own; the default is the id";
            Some(repeated(placed, documents, all, roots, &also, hint))
        });
        let slug = slug_of(placed).and_then(|slug| {
            let all = self.slugs.get(slug)?;
            let also = format!("webhook.slug: `{slug}` is also the slug of another event type");
            let hint = "give each webhook a slug of its own";
            Some(repeated(placed, documents, all, roots, &also, hint))
        });
        id.into_iter().chain(kind).chain(slug).collect()
    }
}

fn id_of<'a>(placed: &Placed<'a>) -> Option<(Kind, &'a DefinitionId)> {
    let document = placed.document;
    Some((document.kind, document.id.as_ref()?))
}

fn type_of<'a>(placed: &Placed<'a>) -> Option<&'a str> {
    match &placed.document.result {
        Ok(Parsed::EventType(event_type)) => Some(&event_type.kind),
        _ => None,
    }
}

fn slug_of<'a>(placed: &Placed<'a>) -> Option<&'a DefinitionId> {
    match &placed.document.result {
        Ok(Parsed::EventType(event_type)) => Some(&event_type.webhook.as_ref()?.slug),
        _ => None,
    }
}

fn groups<'a, K: Ord + Copy>(
    documents: &[Placed<'a>],
    key: impl Fn(&Placed<'a>) -> Option<K>,
) -> Groups<K> {
    let mut stated: Vec<_> = documents
        .iter()
        .enumerate()
        .filter_map(|(index, placed)| Some((key(placed)?, index)))
        .collect();
    // The sort is stable: files come in the order of their names, and so do most ids.
    stated.sort();
    stated
        .chunk_by(|(first, _), (second, _)| first == second)
        .filter(|group| group.len() > 1)
        .map(|group| (group[0].0, group.iter().map(|(_, index)| *index).collect()))
        .collect()
}

/// The error of a document that states the same as other documents. `also` begins the message, and
/// the places of the others end it.
fn repeated(
    placed: &Placed<'_>,
    documents: &[Placed<'_>],
    all: &[usize],
    roots: &[PathBuf],
    also: &str,
    hint: &str,
) -> Diagnostic {
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
    Diagnostic {
        hint: Some(hint.into()),
        ..Diagnostic::error(
            shown(placed.key, roots),
            placed.document.line,
            1,
            format!("{also}: {}", elsewhere.join(", ")),
        )
    }
}

/// The failing document that stands for a file that cannot be read.
pub(super) fn unread(key: &FileKey, refusal: &Refusal, roots: &[PathBuf]) -> FailedDocument {
    FailedDocument {
        source: Path::new(&key.path).display().to_string(),
        id: None,
        kind: Kind::default(),
        errors: vec![Diagnostic {
            hint: refusal.hint().map(Into::into),
            ..Diagnostic::error(shown(key, roots), 1, 1, refusal.to_string())
        }],
    }
}

/// Path of a file for people: below the folder as it was given.
fn shown(key: &FileKey, roots: &[PathBuf]) -> String {
    let root = roots.get(key.root).map_or(Path::new(""), PathBuf::as_path);
    root.join(&*key.path).display().to_string()
}
