//! The schedules that this worker has described and found in sync.
//!
//! As long as the list entry of such a schedule does not change, the schedule
//! is not described again before its turn in the resync.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use almanac_base::names::ScheduleId;
use almanac_core::plan::InSync;

/// The schedules in sync, and the time at which each was last described.
#[derive(Debug, Default)]
pub struct InSyncCache {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_sync: BTreeMap<ScheduleId, Entry>,
    described_at: BTreeMap<ScheduleId, Instant>,
    /// Schedules whose last description failed.
    unreadable: BTreeSet<ScheduleId>,
    last_share: Option<Instant>,
    credit: f64,
}

#[derive(Debug)]
struct Entry {
    listed: u64,
    expected: u64,
    in_sync: InSync,
}

impl InSyncCache {
    /// The finding for a schedule, if the digests of its list entry and of its
    /// expectation are unchanged.
    pub(super) fn get(&self, id: &ScheduleId, listed: u64, expected: u64) -> Option<InSync> {
        let state = self.lock();
        let entry = state.in_sync.get(id)?;
        (entry.listed == listed && entry.expected == expected).then(|| entry.in_sync.clone())
    }

    /// Adds a schedule that was described and is in sync.
    pub(super) fn put(&self, id: &ScheduleId, listed: u64, expected: u64, in_sync: InSync) {
        self.lock().in_sync.insert(
            id.clone(),
            Entry {
                listed,
                expected,
                in_sync,
            },
        );
    }

    /// Records that a schedule was described now, or that its description
    /// failed.
    pub(crate) fn described(&self, id: &ScheduleId, readable: bool) {
        let mut state = self.lock();
        state.described_at.insert(id.clone(), Instant::now());
        if readable {
            state.unreadable.remove(id);
        } else {
            state.unreadable.insert(id.clone());
        }
    }

    /// Returns `true` if the last description of a schedule failed. Each pass
    /// describes such a schedule until that succeeds, even if the list proves
    /// it in sync, so that each report names it.
    pub(super) fn is_unreadable(&self, id: &ScheduleId) -> bool {
        self.lock().unreadable.contains(id)
    }

    /// Removes all schedules that are not in `known`.
    pub(super) fn retain(&self, known: &BTreeSet<&ScheduleId>) {
        let mut state = self.lock();
        state.in_sync.retain(|id, _| known.contains(id));
        state.described_at.retain(|id, _| known.contains(id));
        state.unreadable.retain(|id| known.contains(id));
    }

    /// The schedules in `known` whose turn it is in the resync, those that were
    /// described longest ago first. Their number is such that each schedule has
    /// a turn within `interval`. It is limited to half the requests that `rate`
    /// (requests per second) allows.
    pub(super) fn due(
        &self,
        known: &BTreeSet<&ScheduleId>,
        interval: Duration,
        rate: Option<f64>,
    ) -> BTreeSet<ScheduleId> {
        let now = Instant::now();
        let mut state = self.lock();
        let Some(last) = state.last_share.replace(now) else {
            return BTreeSet::new();
        };
        let elapsed = now.duration_since(last).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a share of at most 50,000")]
        let wanted = known.len() as f64 * elapsed / interval.as_secs_f64().max(1.0);
        let allowed = rate.map_or(wanted, |rate| wanted.min(rate * elapsed / 2.0));
        if allowed < wanted {
            tracing::warn!(
                rate,
                "the request rate is too low for the resync interval; the resync takes longer"
            );
        }
        #[expect(clippy::cast_precision_loss, reason = "a share of at most 50,000")]
        let most = known.len() as f64;
        state.credit = (state.credit + allowed).min(most);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the number of schedules"
        )]
        let share = state.credit.floor() as usize;
        if share == 0 {
            return BTreeSet::new();
        }
        let mut turns: Vec<_> = known
            .iter()
            .map(|id| (state.described_at.get(*id).copied(), *id))
            .collect();
        turns.sort_unstable();
        turns.truncate(share);
        #[expect(clippy::cast_precision_loss, reason = "a share of at most 50,000")]
        let taken = turns.len() as f64;
        state.credit -= taken;
        turns.into_iter().map(|(_, id)| id.clone()).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
