//! The runs of a definition that have not ended, read once for all open pages of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use almanac_activities::schedules::LiveRuns;
use tokio::time::Instant;

use super::super::super::cached::Cached;
use crate::backend::{Backend, BackendError};

/// Maximum age of the runs that a page shows. Open pages are read again within about a second
/// of a change.
const FRESH: Duration = Duration::from_secs(1);
/// Maximum number of definitions whose runs are kept.
const DEFINITIONS: usize = 16;

/// The runs of the definitions that were asked for last.
#[derive(Debug, Default)]
pub(in crate::http) struct LiveRunsCache(Mutex<Vec<(String, Arc<Cached<LiveRuns>>)>>);

impl LiveRunsCache {
    /// Returns the runs of a definition as they were a moment ago.
    pub(super) async fn get(
        &self,
        backend: &impl Backend,
        id: &str,
    ) -> Result<Arc<LiveRuns>, BackendError> {
        let read = async {
            let runs = backend.live_runs(id).await?;
            // Runs may answer late. Pages that waited for them need not ask again.
            Ok((Instant::now(), runs))
        };
        self.of(id).get(FRESH, read).await
    }

    /// The place of a definition's runs.
    fn of(&self, id: &str) -> Arc<Cached<LiveRuns>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|(known, _)| known == id);
        let entry = match known {
            Some(at) => kept.remove(at),
            None => (id.to_owned(), Arc::default()),
        };
        let cached = Arc::clone(&entry.1);
        kept.push(entry);
        let excess = kept.len().saturating_sub(DEFINITIONS);
        kept.drain(..excess);
        cached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_that_were_asked_for_last_are_kept() {
        let cache = LiveRunsCache::default();
        let first = cache.of("0");
        for number in 1..DEFINITIONS {
            cache.of(&number.to_string());
            assert!(Arc::ptr_eq(&first, &cache.of("0")));
        }
        let second = cache.of("1");
        for number in 0..DEFINITIONS - 1 {
            cache.of(&format!("new-{number}"));
        }
        assert!(Arc::ptr_eq(&second, &cache.of("1")));
        assert!(!Arc::ptr_eq(&first, &cache.of("0")));
    }
}
