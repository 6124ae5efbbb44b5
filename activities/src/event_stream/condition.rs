//! The state of the connection to a stream of events, for people.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// State of the connection to the stream of events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct StreamCondition {
    /// `true` if events arrive from the stream.
    pub connected: bool,
    /// Name of the stream. `None` before the first connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// Reason for which no events arrive. `None` if they do, or before the first attempt to
    /// connect has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// Reason for which no events arrive from the stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamTrouble {
    /// NATS is not available. This may pass.
    #[error("{0}")]
    Away(String),
    /// The configuration of NATS or of Almanac is wrong. A person must act.
    #[error("{0}")]
    Configuration(String),
}

/// The condition, shared by the parts of a process.
#[derive(Debug, Default)]
pub(super) struct Condition(Mutex<StreamCondition>);

impl Condition {
    pub(super) fn now(&self) -> StreamCondition {
        self.lock().clone()
    }

    pub(super) fn connected(&self, stream: &str) {
        *self.lock() = StreamCondition {
            connected: true,
            stream: Some(stream.to_owned()),
            last_error: None,
        };
    }

    /// Notes trouble. Returns `false` if the last trouble since the connection was the same.
    pub(super) fn trouble(&self, trouble: &StreamTrouble) -> bool {
        let mut now = self.lock();
        now.connected = false;
        let reason = Some(trouble.to_string());
        let is_new = now.last_error != reason;
        now.last_error = reason;
        is_new
    }

    fn lock(&self) -> MutexGuard<'_, StreamCondition> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_new_once_until_events_arrive_again() {
        let condition = Condition::default();
        let away = StreamTrouble::Away("refused".to_owned());
        assert!(condition.trouble(&away));
        assert!(!condition.trouble(&away));
        let now = condition.now();
        assert_eq!(
            (now.connected, now.last_error.as_deref()),
            (false, Some("refused"))
        );
        condition.connected("EVENTS");
        assert_eq!(condition.now().last_error, None);
        assert!(condition.trouble(&away));
        assert_eq!(condition.now().stream.as_deref(), Some("EVENTS"));
    }
}
