//! Keeps the workers running, for ever: connect, make them, run them, and start
//! over when one ends. Nothing that Temporal does ends the process.

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

/// Workers that ran for this long did not end because of what made them start.
const STABLE: Duration = Duration::from_mins(1);

/// The supervisor of one process's workers.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// Makes the connections.
    pub(super) connector: Connector,
    /// The workers.
    pub(super) specs: Vec<WorkerSpec>,
    /// What is learnt of Temporal.
    pub(super) health: Arc<Health>,
    /// Where each new connection is told.
    pub(super) clients: watch::Sender<Option<Client>>,
    /// For how long an absence is a warning only.
    pub(super) startup_retry: Duration,
    /// How long activities may go on after the end was asked for.
    pub(super) grace: Duration,
}

impl Supervisor {
    /// Works until `stop`, then waits for the workers to drain.
    pub(super) async fn run(self, runtime: Arc<CoreRuntime>, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
        let mut trouble = Trouble::new(self.startup_retry);
        loop {
            let connected = tokio::select! {
                client = self.connector.connect() => client,
                () = stop.cancelled() => return,
            };
            let ran = match connected {
                Ok(client) => {
                    tracing::info!(
                        address = self.connector.target(),
                        namespace = self.connector.namespace(),
                        "connected to temporal"
                    );
                    self.health.connected();
                    self.clients.send_replace(Some(client.clone()));
                    let since = Instant::now();
                    let error = self.run_workers(&runtime, &client, &stop).await;
                    if stop.is_cancelled() {
                        return;
                    }
                    let reason = crate::failure::causes(&error);
                    self.health.trouble(reason.clone());
                    trouble.tell("a worker ended; starting over", &reason);
                    since.elapsed()
                }
                Err(error) => {
                    self.health.away(error.to_string());
                    trouble.tell("cannot connect to temporal; trying on", &error.to_string());
                    Duration::ZERO
                }
            };
            if ran >= STABLE {
                backoff.reset();
                trouble.over();
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next_wait()) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Runs the workers until one ends or `stop`; then ends them all.
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
                // Past the grace they should be gone; what still hangs is left behind.
                () = after(&round, self.grace + Duration::from_secs(5)) => {
                    tracing::warn!(left = ends.len(), "workers did not end in time; left behind");
                    None
                }
            };
            let Some((name, end)) = next else {
                return first.unwrap_or_else(|| anyhow::anyhow!("all workers ended"));
            };
            let error = match end {
                Ok(Ok(())) => anyhow::anyhow!("it ended without being asked to"),
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

/// Waits for the token, then for as long again as given.
async fn after(token: &CancellationToken, wait: Duration) {
    token.cancelled().await;
    tokio::time::sleep(wait).await;
}

/// Logs the same trouble as a warning at first, and as an error once it has
/// lasted: then a person should look.
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

    fn tell(&mut self, what: &'static str, reason: &str) {
        let since = *self.since.get_or_insert_with(Instant::now);
        let for_s = since.elapsed().as_secs();
        if since.elapsed() < self.warn_for {
            tracing::warn!(reason, for_s, "{what}");
        } else {
            tracing::error!(reason, for_s, "{what}");
        }
    }

    fn over(&mut self) {
        self.since = None;
    }
}
