//! Keeps the workers running, for ever: connects, makes the workers, runs them, and
//! starts over when one of them ends.
//!
//! Nothing that Temporal does ends the process.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use temporalio_client::Client;
use temporalio_sdk_core::CoreRuntime;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::workers::WorkerSpec;
use crate::backoff::Backoff;
use crate::connect::Connector;
use crate::health::Health;
use crate::server_features::{MissingFeature, ServerInfo};

/// Minimum time that workers run before their end no longer counts as a failed start.
const STABLE: Duration = Duration::from_mins(1);

/// The supervisor of one process's workers.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// The maker of connections.
    pub(super) connector: Connector,
    /// The workers to run.
    pub(super) specs: Vec<WorkerSpec>,
    /// The health of the process, which the connection's state updates.
    pub(super) health: Arc<Health>,
    /// The channel that each new connection is sent to.
    pub(super) clients: watch::Sender<Option<Client>>,
    /// Time for which trouble is logged only as a warning.
    pub(super) startup_retry: Duration,
    /// Time that activities have to end after the stop.
    pub(super) grace: Duration,
}

/// Logs trouble that continues: as a warning at first, as an error once it has lasted, so
/// that a person looks.
macro_rules! log_trouble {
    ($trouble:ident, $reason:expr, $message:literal) => {
        let lasted = $trouble.lasted();
        let (reason, for_s) = ($reason, lasted.as_secs());
        if lasted < $trouble.warn_for {
            tracing::warn!(reason, for_s, $message);
        } else {
            tracing::error!(reason, for_s, $message);
        }
    };
}

impl Supervisor {
    /// Runs the workers until `stop`, then waits for them to drain.
    pub(super) async fn run(self, runtime: Arc<CoreRuntime>, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
        let mut trouble = Trouble::new(self.startup_retry);
        loop {
            let connected = tokio::select! {
                client = self.connector.connect() => client,
                () = stop.cancelled() => return,
            };
            match connected {
                Ok(client) => {
                    tracing::info!(
                        address = self.connector.target(),
                        namespace = self.connector.namespace(),
                        "connected to temporal"
                    );
                    self.health.connected();
                    let missing = tokio::select! {
                        missing = self.missing_features(&client) => missing,
                        () = stop.cancelled() => return,
                    };
                    if let Some(missing) = missing {
                        self.health.trouble(missing.clone());
                        tracing::error!(
                            reason = missing,
                            "temporal lacks a feature that almanac needs; trying again"
                        );
                        tokio::select! {
                            () = tokio::time::sleep(backoff.next_wait()) => continue,
                            () = stop.cancelled() => return,
                        }
                    }
                    self.clients.send_replace(Some(client.clone()));
                    let since = Instant::now();
                    let error = self.run_workers(&runtime, &client, &stop).await;
                    if stop.is_cancelled() {
                        return;
                    }
                    if since.elapsed() >= STABLE {
                        // What was wrong before these workers ran is over.
                        backoff.reset();
                        trouble.over();
                    }
                    let reason = crate::failure::causes(&error);
                    self.health.trouble(reason.clone());
                    log_trouble!(trouble, reason, "a worker ended; restarting all workers");
                }
                Err(error) => {
                    self.health.away(error.to_string());
                    log_trouble!(
                        trouble,
                        error.to_string(),
                        "cannot connect to temporal; retrying"
                    );
                }
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next_wait()) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Asks the server for its features. Logs a warning for each that Almanac can do without, and
    /// returns the names of those that it cannot.
    async fn missing_features(&self, client: &Client) -> Option<String> {
        let server = ServerInfo::ask(client).await;
        let warnings = server.warnings();
        for warning in &warnings {
            tracing::warn!(
                reason = warning,
                "the temporal server is too old for some features"
            );
        }
        self.health.server_warnings(warnings);
        let missing = server.missing();
        let missing: Vec<_> = missing.iter().map(MissingFeature::to_string).collect();
        (!missing.is_empty()).then(|| missing.join("; "))
    }

    /// Runs the workers until one of them ends or `stop`; then ends all of them.
    async fn run_workers(
        &self,
        runtime: &Arc<CoreRuntime>,
        client: &Client,
        stop: &CancellationToken,
    ) -> anyhow::Error {
        let round = stop.child_token();
        let mut ends: FuturesUnordered<_> = self
            .specs
            .iter()
            .map(|spec| {
                let name = spec.name;
                let (runtime, client) = (Arc::clone(runtime), client.clone());
                let end = spec
                    .clone()
                    .start(runtime, client, self.grace, round.clone());
                async move { (name, end.await) }
            })
            .collect();
        let mut first = None;
        loop {
            let next = tokio::select! {
                next = ends.next() => next,
                // The workers should have ended within the grace period; those that still
                // hang are left behind.
                () = after(&round, self.grace + Duration::from_secs(5)) => {
                    tracing::warn!(left = ends.len(), "workers did not end in time; not waiting for them");
                    None
                }
            };
            let Some((name, end)) = next else {
                return first.unwrap_or_else(|| anyhow::anyhow!("all workers ended"));
            };
            let error = match end {
                Ok(Ok(())) => anyhow::anyhow!("it ended unexpectedly"),
                Ok(Err(error)) => error,
                Err(_) => anyhow::anyhow!("its thread panicked"),
            };
            if !round.is_cancelled() {
                first = Some(error.context(format!("worker `{name}`")));
                round.cancel();
            }
        }
    }
}

/// Waits for the token, then for the given time.
async fn after(token: &CancellationToken, wait: Duration) {
    token.cancelled().await;
    tokio::time::sleep(wait).await;
}

/// Trouble that continues, with the time for which it is only worth a warning.
#[derive(Debug)]
struct Trouble {
    warn_for: Duration,
    since: Option<Instant>,
}

impl Trouble {
    const fn new(warn_for: Duration) -> Self {
        Self {
            warn_for,
            since: None,
        }
    }

    /// The time for which the trouble has lasted.
    fn lasted(&mut self) -> Duration {
        self.since.get_or_insert_with(Instant::now).elapsed()
    }

    fn over(&mut self) {
        self.since = None;
    }
}
