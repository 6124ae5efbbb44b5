//! What was served and is not stated any more: kept, or gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use almanac_base::names::DefinitionId;
use almanac_core::definition::Kind;
use almanac_core::snapshot::{Archived, LoadStatus, Loaded, LoadedCalendar};

use super::files::FileKey;
use super::load::View;

/// In which file each of what is served stands, in the order of the ids.
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

/// From pairs that come in the order of their ids.
impl FromIterator<(DefinitionId, FileKey)> for DefinitionFiles {
    fn from_iter<I: IntoIterator<Item = (DefinitionId, FileKey)>>(pairs: I) -> Self {
        let places: Vec<_> = pairs.into_iter().collect();
        debug_assert!(places.is_sorted_by(|(a, _), (b, _)| a < b));
        Self(places)
    }
}

/// What decides whether something that is not stated any more is kept.
pub(super) struct Retention<'a, T> {
    /// What was served.
    pub previous: &'a BTreeMap<DefinitionId, T>,
    /// Where that came from.
    pub origins: &'a DefinitionFiles,
    /// The ids that failing documents state.
    pub failing: BTreeSet<DefinitionId>,
    /// The files in which something fails that may stand for what it does not name.
    pub suspicious: &'a BTreeSet<&'a FileKey>,
    /// What could be seen.
    pub view: &'a View,
}

impl<T: SnapshotEntry> Retention<'_, T> {
    /// Puts what may be there still among what is `served`, and its place
    /// among the `places`. Gives what is gone.
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
                gone.push(before.archived(id));
            }
        }
        gone
    }

    fn may_be_there(&self, id: &DefinitionId, origin: &FileKey) -> bool {
        self.failing.contains(id) || self.view.hides(origin) || is_within(origin, self.suspicious)
    }
}

/// What is in `previous` and not in `served`, without searching: both are in order.
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

/// Something that a snapshot serves.
pub(super) trait SnapshotEntry {
    /// The same, as a last good version.
    fn stale(&self) -> Self;

    /// The same, gone.
    fn archived(&self, id: &DefinitionId) -> Archived;
}

impl SnapshotEntry for Loaded {
    fn stale(&self) -> Self {
        Self {
            status: LoadStatus::Stale,
            ..self.clone()
        }
    }

    fn archived(&self, id: &DefinitionId) -> Archived {
        Archived {
            kind: Kind::Workflow,
            id: id.clone(),
            source: self.source.clone(),
            revision: self.definition.revision.clone(),
        }
    }
}

impl SnapshotEntry for LoadedCalendar {
    fn stale(&self) -> Self {
        Self {
            status: LoadStatus::Stale,
            ..self.clone()
        }
    }

    fn archived(&self, id: &DefinitionId) -> Archived {
        Archived {
            kind: Kind::Calendar,
            id: id.clone(),
            source: self.source.clone(),
            revision: self.calendar.revision.clone(),
        }
    }
}
