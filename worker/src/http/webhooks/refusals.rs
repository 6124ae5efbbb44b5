//! Log lines about requests without a good signature, at most one in each [`INTERVAL`].

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use almanac_events::webhook::Refusal;
use tokio::time::Instant;

/// Minimum time between two lines.
const INTERVAL: Duration = Duration::from_secs(30);

/// The refusals that are not logged yet.
#[derive(Debug, Default)]
pub(super) struct RefusalLog(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// Number of refusals since the last line.
    count: u64,
    /// Time of the last line.
    logged: Option<Instant>,
}

impl RefusalLog {
    /// Adds a refusal, and logs it with the number of those before it.
    pub(super) fn add(&self, slug: &str, peer: IpAddr, refusal: &Refusal) {
        let Some(count) = self.due() else {
            return;
        };
        tracing::warn!(
            webhook = slug,
            %peer,
            reason = %refusal,
            count,
            "requests to webhooks had no good signature"
        );
    }

    /// Returns the number of refusals since the last line, if a line is due.
    fn due(&self) -> Option<u64> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.count += 1;
        if waiting.logged.is_some_and(|at| at.elapsed() < INTERVAL) {
            return None;
        }
        waiting.logged = Some(Instant::now());
        Some(std::mem::take(&mut waiting.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_counts_the_refusals_since_the_last_one() {
        let log = RefusalLog::default();
        assert_eq!(log.due(), Some(1));
        for _ in 0..3 {
            assert_eq!(log.due(), None);
        }
        tokio::time::advance(INTERVAL).await;
        assert_eq!(log.due(), Some(4));
        assert_eq!(log.due(), None);
    }
}
