//! Permits that limit the number of concurrent operations of a pass.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// The permit of one operation.
pub(crate) struct OperationPermit<'a> {
    permits: Option<&'a Semaphore>,
    permit: Option<SemaphorePermit<'a>>,
}

impl<'a> OperationPermit<'a> {
    /// Waits for a free permit.
    pub(super) async fn take(permits: &'a Semaphore) -> Self {
        Self {
            permits: Some(permits),
            permit: permits.acquire().await.ok(),
        }
    }

    /// A permit for an operation outside of a pass, which is not limited.
    pub(crate) fn unlimited() -> Self {
        Self {
            permits: None,
            permit: None,
        }
    }

    /// Gives the permit back, sleeps, and takes a permit again.
    pub(super) async fn sleep(&mut self, duration: Duration) {
        self.permit = None;
        tokio::time::sleep(duration).await;
        if let Some(permits) = self.permits {
            self.permit = permits.acquire().await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_operation_that_sleeps_delays_no_other() {
        let permits = Semaphore::new(1);
        let mut sleeper = OperationPermit::take(&permits).await;
        let other = async {
            let _slot = OperationPermit::take(&permits).await;
            tokio::time::Instant::now()
        };
        let began = tokio::time::Instant::now();
        let ((), at) = futures::join!(sleeper.sleep(Duration::from_secs(5)), other);
        assert_eq!(at, began);
        assert_eq!(permits.available_permits(), 0);
    }
}
