//! A value that many requests share: one request at a time makes it, and the others get the
//! last one while it is young enough.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// The last value, and the time from which its age counts. The lock is held while a value is made.
#[derive(Debug)]
pub(super) struct Cached<T>(Arc<Mutex<Option<Dated<T>>>>);

type Dated<T> = (Instant, Arc<T>);

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Send + Sync + 'static> Cached<T> {
    /// Returns the last value if it is younger than `max_age`, else the value that `make` makes.
    /// `make` also gives the time from which the age of its value counts. A failure is not kept.
    pub(super) async fn get<E>(
        &self,
        max_age: Duration,
        make: impl Future<Output = Result<(Instant, T), E>>,
    ) -> Result<Arc<T>, E> {
        let mut last = self.0.lock().await;
        if let Some((since, value)) = &*last
            && since.elapsed() < max_age
        {
            return Ok(Arc::clone(value));
        }
        let (since, value) = make.await?;
        let value = Arc::new(value);
        *last = Some((since, Arc::clone(&value)));
        Ok(value)
    }

    /// Forgets the value.
    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }

    /// Forgets the value once it has this age, unless a younger one replaced it.
    pub(super) fn forget_at(&self, age: Duration) {
        let kept = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(age).await;
            if let Some(kept) = kept.upgrade() {
                let mut last = kept.lock().await;
                last.take_if(|(since, _)| since.elapsed() >= age);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const AGE: Duration = Duration::from_secs(2);

    async fn get(cached: &Cached<u32>, made: &AtomicU32) -> Result<u32, &'static str> {
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
        // The first failure is not kept, so the second request makes the value.
        let all = tokio::join!(
            get(&cached, &made),
            get(&cached, &made),
            get(&cached, &made)
        );
        assert_eq!(all, (Err("no answer"), Ok(1), Ok(1)));
        tokio::time::advance(AGE).await;
        assert_eq!(get(&cached, &made).await, Ok(2));
        cached.forget().await;
        assert_eq!(get(&cached, &made).await, Ok(3));
        cached.forget_at(AGE);
        tokio::time::sleep(2 * AGE).await;
        assert!(cached.0.lock().await.is_none());
    }
}
