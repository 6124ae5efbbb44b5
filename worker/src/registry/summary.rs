//! Summary of a reload's changes, for the announcement to the reconcile workflow.

use std::collections::BTreeSet;

use almanac_base::names::{DefinitionId, Revision};
use almanac_core::definition::Kind;
use almanac_core::record::DefinitionCounts;
use almanac_core::snapshot::Snapshot;

use super::difference::{Difference, each_difference};

/// Maximum number of changed definitions that are named: the fast path takes no more.
const CHANGED_LIMIT: usize = 100;

/// Changes made by a single reload, or by several in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadSummary {
    /// Revision before the reload; `None` for the first load of a process.
    pub previous: Option<Revision>,
    /// Revision after the reload.
    pub revision: Revision,
    /// Counts of definitions: `total` and `invalid` as they are now, the rest since `previous`.
    /// At a process's first load every definition is new.
    pub counts: DefinitionCounts,
    /// Counts of event types, in the same way.
    pub event_types: DefinitionCounts,
    /// Definitions that are new or differ, sorted.
    ///
    /// `None` if a full pass is needed: a schedule may have to be removed, the view became
    /// complete or incomplete, the encryption changed, there are more than 100 definitions, or this
    /// is the first load.
    pub changed: Option<Vec<DefinitionId>>,
}

impl ReloadSummary {
    /// The changes between two snapshots.
    pub(super) fn between(previous: Option<&Snapshot>, now: &Snapshot) -> Self {
        let nothing = Snapshot::default();
        let before = previous.unwrap_or(&nothing);
        let mut counts = DefinitionCounts {
            total: count(now.definitions.len()),
            invalid: count(now.failed.len() - now.failing(Kind::EventType)),
            ..DefinitionCounts::default()
        };
        let mut changed = Vec::new();
        let mut removal = false;
        each_difference(before, now, |difference| match difference {
            Difference::Added(id) => {
                counts.new += 1;
                changed.push(id.clone());
            }
            Difference::Changed { id, before, now } => {
                counts.updated += 1;
                changed.push(id.clone());
                removal |=
                    before.definition.schedule.is_some() && now.definition.schedule.is_none();
            }
            Difference::Removed(_) => counts.archived += 1,
        });
        removal |= loses_protection(before, now)
            || unnamed(before) != unnamed(now)
            || before.incomplete != now.incomplete;
        let needs_full_pass = removal || before.encryption != now.encryption;
        let named = previous.is_some() && !needs_full_pass && changed.len() <= CHANGED_LIMIT;
        Self {
            previous: previous.map(|previous| previous.revision.clone()),
            revision: now.revision.clone(),
            counts,
            event_types: event_types(before, now),
            changed: named.then_some(changed),
        }
    }

    /// Combines this summary with the one that followed it.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        let (mut counts, mut event_types) = (self.counts, self.event_types);
        counts.add(later.counts);
        event_types.add(later.event_types);
        let changed = self.changed.zip(later.changed).and_then(|(first, second)| {
            let all: BTreeSet<_> = first.into_iter().chain(second).collect();
            (all.len() <= CHANGED_LIMIT).then(|| all.into_iter().collect())
        });
        Self {
            previous: self.previous,
            revision: later.revision,
            counts,
            event_types,
            changed,
        }
    }
}

fn event_types(before: &Snapshot, now: &Snapshot) -> DefinitionCounts {
    let mut counts = DefinitionCounts {
        total: count(now.event_types.len()),
        invalid: count(now.failing(Kind::EventType)),
        ..DefinitionCounts::default()
    };
    for (id, loaded) in &now.event_types {
        match before.event_types.get(id) {
            None => counts.new += 1,
            Some(old) if old.event_type.revision != loaded.event_type.revision => {
                counts.updated += 1;
            }
            Some(_) => {}
        }
    }
    let is_gone = |id: &&DefinitionId| !now.event_types.contains_key(*id);
    counts.archived = count(before.event_types.keys().filter(is_gone).count());
    counts
}

/// Returns `true` if the schedule of some id had to stay before and need not stay now.
fn loses_protection(before: &Snapshot, now: &Snapshot) -> bool {
    let failing: BTreeSet<_> = now.failed_ids().collect();
    let is_lost = |id| !now.definitions.contains_key(id) && !failing.contains(id);
    // If the same ids are served as before, no id has to be looked up.
    let is_same = before.definitions.keys().eq(now.definitions.keys());
    (!is_same && before.definitions.keys().any(is_lost)) || before.failed_ids().any(is_lost)
}

/// The failing documents that may protect schedules without naming them.
fn unnamed(snapshot: &Snapshot) -> Vec<&str> {
    snapshot
        .failed
        .iter()
        .filter(|failed| failed.id.is_none())
        .map(|failed| failed.source.as_str())
        .collect()
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
