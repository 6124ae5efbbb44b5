//! The differences between the definitions of two snapshots.

use std::sync::Arc;

use almanac_base::names::DefinitionId;
use almanac_core::snapshot::{Loaded, Snapshot};

/// A definition that two snapshots do not have in common.
#[derive(Debug)]
pub(super) enum Difference<'a> {
    /// Only the later snapshot serves the definition.
    Added(&'a DefinitionId),
    /// Both serve the definition, with different revisions.
    Changed {
        id: &'a DefinitionId,
        before: &'a Loaded,
        now: &'a Loaded,
    },
    /// Only the earlier snapshot serves the definition.
    Removed(&'a DefinitionId),
}

/// Gives the differences to `take`, those of one kind in the order of the ids.
pub(super) fn each_difference<'a>(
    before: &'a Snapshot,
    now: &'a Snapshot,
    mut take: impl FnMut(Difference<'a>),
) {
    // Both maps are in the same order, so that no search is needed.
    let mut earlier = before.definitions.iter().peekable();
    for (id, loaded) in &now.definitions {
        while let Some((gone, _)) = earlier.next_if(|(old, _)| *old < id) {
            take(Difference::Removed(gone));
        }
        match earlier.next_if(|(old, _)| *old == id).map(|(_, old)| old) {
            None => take(Difference::Added(id)),
            // Most definitions are unchanged and share their memory with the old snapshot.
            Some(old) if Arc::ptr_eq(&old.definition, &loaded.definition) => {}
            Some(old) if old.definition.revision != loaded.definition.revision => {
                take(Difference::Changed {
                    id,
                    before: old,
                    now: loaded,
                });
            }
            Some(_) => {}
        }
    }
    for (gone, _) in earlier {
        take(Difference::Removed(gone));
    }
}
