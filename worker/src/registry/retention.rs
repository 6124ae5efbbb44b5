//! Decides if a definition, calendar or event type that no document states any more is kept or
//! archived.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use almanac_base::names::DefinitionId;
use almanac_core::definition::Kind;
use almanac_core::snapshot::{
    Archived, LoadStatus, Loaded, LoadedCalendar, LoadedEventType, ServedDocument,
};

use super::files::FileKey;
use super::load::View;

/// The file of each served definition, in the order of the ids.
#[derive(Debug, Default)]
pub(super) struct DefinitionFiles(Vec<(DefinitionId, FileKey)>);

impl DefinitionFiles {
    fn get(&self, id: &DefinitionId) -> Option<&FileKey> {
        let at = self.find(id).ok()?;
        Some(&self.0[at].1)
    }

    pub(super) fn insert(&mut self, id: &DefinitionId, file: &FileKey) {
        match self.find(id) {
            Ok(at) => self.0[at].1 = file.clone(),
            Err(at) => self.0.insert(at, (id.clone(), file.clone())),
        }
    }

    fn find(&self, id: &DefinitionId) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(id))
    }
}

/// Expects the pairs in the order of their ids.
impl FromIterator<(DefinitionId, FileKey)> for DefinitionFiles {
    fn from_iter<I: IntoIterator<Item = (DefinitionId, FileKey)>>(pairs: I) -> Self {
        let places: Vec<_> = pairs.into_iter().collect();
        debug_assert!(places.is_sorted_by(|(a, _), (b, _)| a < b));
        Self(places)
    }
}

/// Facts that decide if an entry that is no longer stated is kept.
pub(super) struct Retention<'a, T> {
    /// Entries that were served before.
    pub previous: &'a BTreeMap<DefinitionId, T>,
    /// The file of each of these entries.
    pub origins: &'a DefinitionFiles,
    /// Ids that failing documents state.
    pub failing: BTreeSet<DefinitionId>,
    /// Files with a failing document that may stand for an id that the document does not name.
    pub suspicious: &'a BTreeSet<&'a FileKey>,
    /// The view of the files, with its gaps.
    pub view: &'a View,
}

impl<T: SnapshotEntry> Retention<'_, T> {
    /// Adds the entries that may still exist to `served`, and their files to `places`. Returns
    /// the archived ones.
    pub(super) fn into(
        self,
        served: &mut BTreeMap<DefinitionId, T>,
        places: &mut DefinitionFiles,
    ) -> Vec<Archived> {
        let mut gone = Vec::new();
        for (id, before) in missing(self.previous, served) {
            let Some(origin) = self.origins.get(id) else {
                continue;
            };
            if self.may_be_there(id, origin) {
                places.insert(id, origin);
                served.insert(id.clone(), before.stale());
            } else {
                gone.push(before.archived());
            }
        }
        gone
    }

    fn may_be_there(&self, id: &DefinitionId, origin: &FileKey) -> bool {
        self.failing.contains(id) || self.view.hides(origin) || is_within(origin, self.suspicious)
    }
}

/// The entries of `previous` that are not in `served`. Both are in the same order, so that no
/// search is needed.
fn missing<'a, T>(
    previous: &'a BTreeMap<DefinitionId, T>,
    served: &BTreeMap<DefinitionId, T>,
) -> Vec<(&'a DefinitionId, &'a T)> {
    let mut served = served.keys().peekable();
    previous
        .iter()
        .filter(|(id, _)| {
            while served.next_if(|one| one < id).is_some() {}
            served.next_if(|one| one == id).is_none()
        })
        .collect()
}

/// Returns `true` if the file is among `suspicious`, or lay in a folder in whose place a
/// suspicious file now stands: a link that leads nowhere or out of the folder.
fn is_within(file: &FileKey, suspicious: &BTreeSet<&FileKey>) -> bool {
    Path::new(&file.path).ancestors().any(|path| {
        let key = FileKey {
            root: file.root,
            path: path.as_os_str().into(),
        };
        suspicious.contains(&key)
    })
}

/// An entry that a snapshot serves.
pub(super) trait SnapshotEntry {
    /// A copy that is marked as a stale last good version.
    fn stale(&self) -> Self;

    /// The kind of the entry's document.
    const KIND: Kind;

    /// The document that is served.
    fn served(&self) -> ServedDocument<'_>;

    /// The archived entry of this one.
    fn archived(&self) -> Archived {
        let served = self.served();
        Archived {
            kind: Self::KIND,
            id: served.id.clone(),
            source: served.source.to_owned(),
            revision: served.revision.clone(),
        }
    }
}

impl SnapshotEntry for Loaded {
    const KIND: Kind = Kind::Workflow;

    fn stale(&self) -> Self {
        Self {
            status: LoadStatus::Stale,
            ..self.clone()
        }
    }

    fn served(&self) -> ServedDocument<'_> {
        Self::served(self)
    }
}

impl SnapshotEntry for LoadedCalendar {
    const KIND: Kind = Kind::Calendar;

    fn stale(&self) -> Self {
        Self {
            status: LoadStatus::Stale,
            ..self.clone()
        }
    }

    fn served(&self) -> ServedDocument<'_> {
        Self::served(self)
    }
}

impl SnapshotEntry for LoadedEventType {
    const KIND: Kind = Kind::EventType;

    fn stale(&self) -> Self {
        Self {
            status: LoadStatus::Stale,
            ..self.clone()
        }
    }

    fn served(&self) -> ServedDocument<'_> {
        Self::served(self)
    }
}
