//! The state of the connection to a stream of events, for people.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// Time for which a dead letter that could not be written is reported. Each attempt follows within
/// five minutes, and another process may make it.
const DEAD_LETTER_ERROR_KEPT: Duration = Duration::from_mins(10);

/// State of the connection to the stream of events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct StreamStatus {
    /// `true` if events arrive from the stream.
    pub connected: bool,
    /// Name of the stream. `None` before the first connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Reason for which no events arrive. `None` if they do, or before the first attempt to
    /// connect has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Reason for which a dead letter could not be written within the last ten minutes. `None` once
    /// one is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_error: Option<String>,
}

/// Reason for which no events arrive from the stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// NATS is not available. This may pass.
    #[error("{0}")]
    Away(String),
    /// The configuration of NATS or of Almanac is wrong. A person must act.
    #[error("{0}")]
    Configuration(String),
}

/// The status, shared by the parts of a process.
#[derive(Debug, Default)]
pub(super) struct SharedStatus(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    status: StreamStatus,
    dead_letter_failed: Option<Instant>,
}

impl SharedStatus {
    pub(super) fn now(&self) -> StreamStatus {
        let inner = self.lock();
        let is_over = inner
            .dead_letter_failed
            .is_none_or(|at| at.elapsed() > DEAD_LETTER_ERROR_KEPT);
        let mut status = inner.status.clone();
        if is_over {
            status.dead_letter_error = None;
        }
        status
    }

    pub(super) fn connected(&self, stream: &str) {
        let now = &mut self.lock().status;
        now.connected = true;
        now.stream = Some(stream.to_owned());
        now.last_error = None;
    }

    /// Notes whether a dead letter was written.
    pub(super) fn dead_letter(&self, written: &Result<(), String>) {
        let mut inner = self.lock();
        inner.status.dead_letter_error = written.as_ref().err().cloned();
        inner.dead_letter_failed = written.is_err().then(Instant::now);
    }

    /// Notes an error. Returns `false` if the last error since the connection was the same.
    pub(super) fn failed(&self, error: &StreamError) -> bool {
        let now = &mut self.lock().status;
        now.connected = false;
        let reason = Some(error.to_string());
        let is_new = now.last_error != reason;
        now.last_error = reason;
        is_new
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_error_is_new_once_until_events_arrive_again() {
        let status = SharedStatus::default();
        let away = StreamError::Away("refused".to_owned());
        assert!(status.failed(&away));
        assert!(!status.failed(&away));
        let now = status.now();
        assert_eq!(
            (now.connected, now.last_error.as_deref()),
            (false, Some("refused"))
        );
        status.connected("EVENTS");
        assert_eq!(status.now().last_error, None);
        assert!(status.failed(&away));
        assert_eq!(status.now().stream.as_deref(), Some("EVENTS"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_of_dead_letters_lasts_until_one_is_written_or_none_is_left() {
        let status = SharedStatus::default();
        status.dead_letter(&Err("not permitted".to_owned()));
        status.connected("EVENTS");
        let error = status.now().dead_letter_error;
        assert_eq!(error.as_deref(), Some("not permitted"));
        status.dead_letter(&Ok(()));
        assert_eq!(status.now().dead_letter_error, None);
        status.dead_letter(&Err("not permitted".to_owned()));
        tokio::time::advance(DEAD_LETTER_ERROR_KEPT).await;
        assert!(status.now().dead_letter_error.is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(status.now().dead_letter_error, None);
    }
}
