//! A value that many requests share: one request at a time makes it, and the others get the
//! last one while it is young enough.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::BackendError;

/// The last value, and the time from which its age counts. A value that is old enough to be made
/// again can be read meanwhile. A failure counts for all who waited for it: they do not try again
/// one after the other.
#[derive(Debug)]
pub(super) struct Cached<T, E = BackendError>(Arc<Kept<T, E>>);

#[derive(Debug)]
struct Kept<T, E> {
    last: Mutex<Last<T, E>>,
    /// Held while a value is made.
    making: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Last<T, E> {
    made: Option<Made<T>>,
    /// The last failure, and the time at which it was known.
    failure: Option<(Instant, E)>,
    /// Number of times that the value was forgotten.
    forgotten: u64,
}

#[derive(Debug)]
struct Made<T> {
    value: Arc<T>,
    /// Time from which the age of the value counts.
    since: Instant,
    /// Number of times that a value had been forgotten when the making of this one began.
    forgotten: u64,
}

impl<T, E> Default for Cached<T, E> {
    fn default() -> Self {
        let last = Last {
            made: None,
            failure: None,
            forgotten: 0,
        };
        Self(Arc::new(Kept {
            last: Mutex::new(last),
            making: tokio::sync::Mutex::default(),
        }))
    }
}

impl<T, E> Clone for Cached<T, E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T, E> Kept<T, E> {
    fn last(&self) -> MutexGuard<'_, Last<T, E>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + Sync + 'static, E: Clone + Send + 'static> Cached<T, E> {
    /// Returns the last value if it was younger than `max_age` when this was called, else the
    /// value that `make` makes. `make` also gives the time from which the age of its value
    /// counts.
    pub(super) async fn get(
        &self,
        max_age: Duration,
        make: impl Future<Output = Result<(Instant, T), E>>,
    ) -> Result<Arc<T>, E> {
        self.get_in_turn(max_age, || Ok::<_, E>(()), make).await
    }

    /// Does the same as [`Self::get`], and holds a turn while a value is made.
    ///
    /// # Errors
    /// No value could be made, or `take_turn` gives no turn. The others who wait for the value
    /// do not share the lack of a turn.
    pub(super) async fn get_in_turn<P, R: From<E>>(
        &self,
        max_age: Duration,
        take_turn: impl FnOnce() -> Result<P, R>,
        make: impl Future<Output = Result<(Instant, T), E>>,
    ) -> Result<Arc<T>, R> {
        let asked = Instant::now();
        let forgotten = self.0.last().forgotten;
        // A value that takes longer to make than `max_age`, or that was forgotten meanwhile,
        // serves those who waited for it.
        let young = |last: &Last<T, E>| {
            let newest = last.made.as_ref()?;
            let age = asked.saturating_duration_since(newest.since);
            (age < max_age && newest.forgotten >= forgotten).then(|| Arc::clone(&newest.value))
        };
        if let Some(value) = young(&self.0.last()) {
            return Ok(value);
        }
        let _making = self.0.making.lock().await;
        let forgotten = {
            let last = self.0.last();
            if let Some(value) = young(&last) {
                return Ok(value);
            }
            if let Some((at, error)) = &last.failure
                && *at > asked
            {
                return Err(error.clone().into());
            }
            last.forgotten
        };
        let _turn = take_turn()?;
        let result = make.await;
        let mut last = self.0.last();
        match result {
            Ok((since, value)) => {
                let value = Arc::new(value);
                last.made = Some(Made {
                    value: Arc::clone(&value),
                    since,
                    forgotten,
                });
                last.failure = None;
                Ok(value)
            }
            Err(error) => {
                last.failure = Some((Instant::now(), error.clone()));
                Err(error.into())
            }
        }
    }

    /// The last value, and the time from which its age counts, unless it is forgotten. Does not
    /// wait while a value is made.
    pub(super) fn value(&self) -> Option<(Instant, Arc<T>)> {
        let last = self.0.last();
        let made = last.made.as_ref();
        let made = made.filter(|made| made.forgotten >= last.forgotten)?;
        Some((made.since, Arc::clone(&made.value)))
    }

    /// The value that was made last, even if it is forgotten for those who ask for the present
    /// one.
    pub(super) fn newest(&self) -> Option<Arc<T>> {
        let last = self.0.last();
        last.made.as_ref().map(|made| Arc::clone(&made.value))
    }

    /// Forgets the value, and the one that is being made: who asks from now on gets neither.
    pub(super) fn forget(&self) {
        self.0.last().forgotten += 1;
    }

    /// Forgets the value once it has this age, unless a younger one replaced it.
    pub(super) fn forget_at(&self, age: Duration) {
        let kept = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(age).await;
            if let Some(kept) = kept.upgrade() {
                let mut last = kept.last();
                last.made.take_if(|made| made.since.elapsed() >= age);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const AGE: Duration = Duration::from_secs(2);

    async fn get(
        cached: &Cached<u32, &'static str>,
        made: &AtomicU32,
    ) -> Result<u32, &'static str> {
        let slow = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            match made.fetch_add(1, Ordering::Relaxed) {
                0 => Err("no answer"),
                number => Ok((Instant::now(), number)),
            }
        };
        cached.get(AGE, slow).await.map(|value| *value)
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_made_once_and_shared_until_it_is_too_old() {
        let (cached, made) = (Cached::default(), AtomicU32::new(0));
        // Those who waited for a failure share it; the next request tries again.
        let began = Instant::now();
        let all = tokio::join!(
            get(&cached, &made),
            get(&cached, &made),
            get(&cached, &made)
        );
        assert_eq!(all, (Err("no answer"), Err("no answer"), Err("no answer")));
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        let all = tokio::join!(get(&cached, &made), get(&cached, &made));
        assert_eq!(all, (Ok(1), Ok(1)));
        tokio::time::advance(AGE).await;
        assert_eq!(get(&cached, &made).await, Ok(2));
        cached.forget();
        assert_eq!(get(&cached, &made).await, Ok(3));
        cached.forget_at(AGE);
        tokio::time::sleep(2 * AGE).await;
        assert!(cached.newest().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_that_is_slow_to_make_serves_all_who_waited_for_it() {
        let (cached, made) = (Cached::<u32, &str>::default(), AtomicU32::new(0));
        let slow = || {
            cached.get(AGE, async {
                let began = Instant::now();
                tokio::time::sleep(3 * AGE).await;
                Ok((began, made.fetch_add(1, Ordering::Relaxed)))
            })
        };
        let all = tokio::join!(slow(), slow(), slow());
        assert_eq!([all.0, all.1, all.2].map(|one| *one.unwrap()), [0, 0, 0]);
        assert_eq!(*slow().await.unwrap(), 1, "the value is too old for others");
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_read_and_forgotten_while_another_is_made() {
        let (cached, made) = (Cached::<u32, &str>::default(), AtomicU32::new(0));
        let get = || {
            cached.get(AGE, async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok((Instant::now(), made.fetch_add(1, Ordering::Relaxed)))
            })
        };
        assert_eq!(get().await.as_deref(), Ok(&0));
        tokio::time::advance(AGE).await;
        let (second, ()) = tokio::join!(get(), async {
            tokio::task::yield_now().await;
            assert_eq!(*cached.value().unwrap().1, 0);
            cached.forget();
        });
        // What was begun before is given to those who waited for it, and to nobody else.
        assert_eq!(second.as_deref(), Ok(&1));
        assert!(cached.value().is_none());
        assert_eq!(*cached.newest().unwrap(), 1);
        assert_eq!(get().await.as_deref(), Ok(&2));
        // All who waited share what was forgotten while it was made.
        tokio::time::advance(AGE).await;
        let all = tokio::join!(get(), get(), get(), async {
            tokio::task::yield_now().await;
            cached.forget();
        });
        assert_eq!([all.0, all.1, all.2].map(|one| *one.unwrap()), [3, 3, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_one_who_makes_a_value_takes_a_turn() {
        let cached = Cached::<u32, &str>::default();
        let turns = &AtomicU32::new(0);
        let get = |may: bool| {
            let take = move || {
                let taken = may.then(|| turns.fetch_add(1, Ordering::Relaxed));
                taken.ok_or("no turn")
            };
            cached.get_in_turn(AGE, take, async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok((Instant::now(), 7))
            })
        };
        // The first gets no turn, which does not concern the others.
        let all = tokio::join!(get(false), get(true), get(false), get(true));
        let all = [all.0, all.1, all.2, all.3].map(|one| one.map(|value| *value));
        assert_eq!(all, [Err("no turn"), Ok(7), Ok(7), Ok(7)]);
        assert_eq!(turns.load(Ordering::Relaxed), 1);
    }
}
