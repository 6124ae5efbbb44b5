//! Values by their keys, each shared by many requests as a [`Cached`] value is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::cached::Cached;
use crate::backend::BackendError;

/// The values of the keys that were asked for last.
#[derive(Debug)]
pub(super) struct CachedMap<K, T, E = BackendError> {
    /// The keys that were asked for last are at the end.
    entries: Mutex<Vec<(K, Cached<T, E>)>>,
    most: usize,
    kept: Duration,
}

impl<K, T, E> CachedMap<K, T, E> {
    /// Creates a map of at most `most` keys. A value is forgotten at the age `kept`.
    pub(super) const fn new(most: usize, kept: Duration) -> Self {
        Self {
            entries: Mutex::new(Vec::new()),
            most,
            kept,
        }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<(K, Cached<T, E>)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, T, E> CachedMap<K, T, E>
where
    K: PartialEq,
    T: Send + Sync + 'static,
    E: Clone + Send + 'static,
{
    /// Returns the value of a key, as [`Cached::get_in_turn`] does.
    ///
    /// # Errors
    /// No value could be made, or `take_turn` gives no turn.
    pub(super) async fn get<P, R: From<E>>(
        &self,
        key: K,
        max_age: Duration,
        take_turn: impl FnOnce() -> Result<P, R>,
        make: impl Future<Output = Result<(Instant, T), E>>,
    ) -> Result<Arc<T>, R> {
        let cached = self.of(key);
        let for_a_while = async {
            let value = make.await?;
            cached.forget_at(self.kept);
            Ok(value)
        };
        cached.get_in_turn(max_age, take_turn, for_a_while).await
    }

    /// Forgets all values, also those that are being made: who asks from now on gets none of them.
    pub(super) fn forget(&self) {
        self.forget_those(|_| true);
    }

    /// Forgets the values whose keys `is_old` names, in the same way.
    pub(super) fn forget_those(&self, is_old: impl Fn(&K) -> bool) {
        let entries = self.entries();
        let old = entries.iter().filter(|(key, _)| is_old(key));
        old.for_each(|(_, cached)| cached.forget());
    }

    /// The place of a key's value. The keys that were asked for last are kept.
    fn of(&self, key: K) -> Cached<T, E> {
        let mut entries = self.entries();
        let known = entries.iter().position(|(known, _)| *known == key);
        let entry = match known {
            Some(at) => entries.remove(at),
            None => (key, Cached::default()),
        };
        let cached = entry.1.clone();
        entries.push(entry);
        let excess = entries.len().saturating_sub(self.most);
        entries.drain(..excess);
        cached
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const AGE: Duration = Duration::from_secs(2);
    const MOST: usize = 3;

    /// A map, and the number of values that were made.
    struct Counted {
        map: CachedMap<u32, u32, &'static str>,
        made: AtomicU32,
    }

    impl Counted {
        fn new() -> Self {
            Self {
                map: CachedMap::new(MOST, 5 * AGE),
                made: AtomicU32::new(0),
            }
        }

        /// Returns the number of the value that the key has.
        async fn get(&self, key: u32) -> u32 {
            let slow = async {
                let began = Instant::now();
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok((began, self.made.fetch_add(1, Ordering::Relaxed)))
            };
            let take_turn = || Ok::<_, &str>(());
            *self.map.get(key, AGE, take_turn, slow).await.unwrap()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_key_has_a_value_that_is_forgotten_after_a_while() {
        let counted = Counted::new();
        let all = tokio::join!(counted.get(1), counted.get(1), counted.get(2));
        assert_eq!(all.0, all.1);
        assert_ne!(all.0, all.2);
        assert_eq!(counted.made.load(Ordering::Relaxed), 2);
        let kept = counted.map.of(1);
        assert!(kept.newest().is_some());
        tokio::time::sleep(6 * AGE).await;
        assert!(kept.newest().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_keys_that_were_asked_for_last_are_kept() {
        let counted = Counted::new();
        // Each is asked for at the same time, so that no value is too old.
        for key in [1, 2, 3, 1, 4] {
            counted.map.of(key);
        }
        let keys: Vec<_> = counted.map.entries().iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, [3, 1, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_after_a_change_gets_no_value_that_was_begun_before_it() {
        let counted = Counted::new();
        let late = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            counted.map.forget();
            counted.get(1).await
        };
        assert_eq!(
            tokio::join!(counted.get(1), counted.get(1), late),
            (0, 0, 1)
        );
        counted.map.forget_those(|key| *key == 2);
        assert_eq!(counted.get(1).await, 1);
        counted.map.forget_those(|key| *key == 1);
        assert_eq!(counted.get(1).await, 2);
    }
}
