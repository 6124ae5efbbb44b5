//! Takes events from a stream of NATS, for ever: connects again after each trouble.
//!
//! Nothing that NATS does ends the process.

use std::sync::Arc;
use std::time::Duration;

use almanac_activities::event_stream::{EventStream, StreamError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::registry::Registry;

/// Minimum and maximum wait between two attempts to connect.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Minimum time that a connection lasts before its end no longer counts as a failed attempt.
const STABLE: Duration = Duration::from_secs(30);
/// Interval between two questions whether the definitions are loaded.
const LOADING: Duration = Duration::from_millis(100);

/// The intake of events of one process.
#[derive(Debug)]
pub(super) struct EventIntake {
    pub(super) stream: Arc<EventStream>,
    pub(super) registry: Arc<Registry>,
    /// Time that events which are being handled have to end after the stop.
    pub(super) grace: Duration,
}

impl EventIntake {
    /// Takes events until `stop`, the token that `stream` has; then waits for those that are being
    /// handled.
    pub(super) async fn run(self, stop: CancellationToken) {
        // Without all definitions, an event may seem to start nothing.
        while !self.registry.has_been_complete() {
            if self.registry.reloads() > 0 {
                let why = "the folders of definitions cannot be read completely; events are \
                           taken once they have been read";
                self.log(&StreamError::Configuration(why.to_owned()));
            }
            tokio::select! {
                () = tokio::time::sleep(LOADING) => {}
                () = stop.cancelled() => return,
            }
        }
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        while !stop.is_cancelled() {
            let since = Instant::now();
            let Err(trouble) = self.stream.run().await else {
                // Stopped, or about to connect with other credentials.
                continue;
            };
            // The messages that closed the connection do not come again.
            if since.elapsed() >= STABLE || self.stream.take_found_unreadable() {
                backoff.reset();
            }
            self.log(&trouble);
            tokio::select! {
                () = tokio::time::sleep(backoff.next_wait()) => {}
                () = stop.cancelled() => {}
            }
        }
        self.stream.drain(self.grace).await;
    }

    /// Logs trouble once, however often an attempt ends with it.
    fn log(&self, trouble: &StreamError) {
        let reason = trouble.to_string();
        if !self.stream.note(trouble) {
            tracing::debug!(reason, "still no events from NATS; trying again");
            return;
        }
        match trouble {
            StreamError::Away(_) => {
                tracing::warn!(reason, "no events from NATS; trying again");
            }
            StreamError::Configuration(_) => {
                tracing::error!(reason, "no events from NATS; trying again");
            }
        }
    }
}
