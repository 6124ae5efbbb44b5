//! A permit for one of the operations that a pass runs at a time.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// The permit of one operation.
pub(crate) struct Slot<'a> {
    slots: Option<&'a Semaphore>,
    permit: Option<SemaphorePermit<'a>>,
}

impl<'a> Slot<'a> {
    /// Waits for a free slot.
    pub(super) async fn take(slots: &'a Semaphore) -> Self {
        Self {
            slots: Some(slots),
            permit: slots.acquire().await.ok(),
        }
    }

    /// The slot of an operation outside of a pass: it takes none from others.
    pub(crate) fn unlimited() -> Self {
        Self {
            slots: None,
            permit: None,
        }
    }

    /// Gives the permit back, sleeps, and takes a permit again.
    pub(super) async fn sleep(&mut self, duration: Duration) {
        self.permit = None;
        tokio::time::sleep(duration).await;
        if let Some(slots) = self.slots {
            self.permit = slots.acquire().await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_operation_that_sleeps_delays_no_other() {
        let slots = Semaphore::new(1);
        let mut sleeper = Slot::take(&slots).await;
        let other = async {
            let _slot = Slot::take(&slots).await;
            tokio::time::Instant::now()
        };
        let began = tokio::time::Instant::now();
        let ((), at) = futures::join!(sleeper.sleep(Duration::from_secs(5)), other);
        assert_eq!(at, began);
        assert_eq!(slots.available_permits(), 0);
    }
}
