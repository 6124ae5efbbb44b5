//! A value that many requests share: one request at a time makes it, and the others get the
//! last one while it is young enough.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::backend::BackendError;

/// The last value, and the time from which its age counts. The lock is held while a value is made.
/// A failure counts for all who waited for it: they do not try again one after the other.
#[derive(Debug)]
pub(super) struct Cached<T, E = BackendError>(Arc<Mutex<Last<T, E>>>);

#[derive(Debug)]
struct Last<T, E> {
    value: Option<(Instant, Arc<T>)>,
    /// The last failure, and the time at which it was known.
    failure: Option<(Instant, E)>,
}

impl<T, E> Default for Last<T, E> {
    fn default() -> Self {
        Self {
            value: None,
            failure: None,
        }
    }
}

impl<T, E> Default for Cached<T, E> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T, E> Clone for Cached<T, E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
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
        let mut last = self.0.lock().await;
        // A value that takes longer to make than `max_age` serves those who waited for it.
        if let Some((since, value)) = &last.value
            && asked.saturating_duration_since(*since) < max_age
        {
            return Ok(Arc::clone(value));
        }
        if let Some((at, error)) = &last.failure
            && *at > asked
        {
            return Err(error.clone().into());
        }
        let _turn = take_turn()?;
        match make.await {
            Ok((since, value)) => {
                let value = Arc::new(value);
                last.value = Some((since, Arc::clone(&value)));
                last.failure = None;
                Ok(value)
            }
            Err(error) => {
                last.failure = Some((Instant::now(), error.clone()));
                Err(error.into())
            }
        }
    }

    /// Forgets the value.
    pub(super) async fn forget(&self) {
        self.0.lock().await.value = None;
    }

    /// Forgets the value once it has this age, unless a younger one replaced it.
    pub(super) fn forget_at(&self, age: Duration) {
        let kept = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(age).await;
            if let Some(kept) = kept.upgrade() {
                let mut last = kept.lock().await;
                last.value.take_if(|(since, _)| since.elapsed() >= age);
            }
        });
    }
}

#[cfg(test)]
impl<T, E> Cached<T, E> {
    /// Returns `true` if there is a value, of any age.
    pub(super) async fn is_full(&self) -> bool {
        self.0.lock().await.value.is_some()
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
        cached.forget().await;
        assert_eq!(get(&cached, &made).await, Ok(3));
        cached.forget_at(AGE);
        tokio::time::sleep(2 * AGE).await;
        assert!(!cached.is_full().await);
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
