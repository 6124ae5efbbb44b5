//! Announces the registry's revision to the reconcile workflow, and watches the
//! workflow's state.
//!
//! Always holds: while Temporal answers, the workflow exists and knows this worker and
//! its revision, or will within [`POLL_INTERVAL_READY`]. A workflow that was terminated
//! is started again by the next announcement. [`super::announcements`] decides what is
//! announced, and [`crate::health`] what the state means for the process.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use almanac_base::names::Project;
use almanac_core::record::Status;
use temporalio_client::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::announcements::{AnnouncementLog, AnnouncementState};
use crate::backoff::Backoff;
use crate::connect::Credentials;
use crate::health::Health;
use crate::reconcile_client::{ReconcileClient, ReconcileClientError};
use crate::registry::Registry;

/// Interval between two polls of the workflow's state while the process is not ready.
const POLL_INTERVAL_UNREADY: Duration = Duration::from_secs(1);
/// Interval between two polls of the workflow's state once the process is ready.
const POLL_INTERVAL_READY: Duration = Duration::from_secs(15);
/// Maximum time for the announcement that this worker stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval between two polls of the workflow's state until that announcement is taken
/// in.
const STOP_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Number of times that the workflow is asked for its state before this worker announces
/// its start: the workflow cannot answer before a worker polls.
const FIRST_STATUS_ATTEMPTS: u32 = 3;

/// The part of the process that announces this worker and polls the workflow's state.
#[derive(Debug)]
pub(super) struct Announcer {
    /// The announcements to send.
    pub(super) announcement_state: AnnouncementState,
    /// The announcements that were sent, for the workflow to ask for.
    pub(super) announcement_log: Arc<AnnouncementLog>,
    /// The registry, whose changes are announced.
    pub(super) registry: Arc<Registry>,
    /// The health of the process, which the workflow's state updates.
    pub(super) health: Arc<Health>,
    /// The credentials of the connection, which are refused or accepted with its requests.
    pub(super) credentials: Arc<Credentials>,
    /// The project of the reconcile workflow.
    pub(super) project: Project,
    /// The connection; `None` until the process is connected.
    pub(super) clients: watch::Receiver<Option<Client>>,
}

impl Announcer {
    /// Announces changes until `stop`; then announces that this worker stops.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut clients = self.clients.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.announce_changes(&mut clients) => {}
        }
        if let Some(reconciler) = self.reconciler()
            && self.announcement_state.known_revision().is_some()
        {
            match tokio::time::timeout(STOP_TIMEOUT, self.announce_stop(&reconciler)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "could not announce that this worker stops");
                }
                Err(_) => tracing::warn!("could not announce in time that this worker stops"),
            }
        }
    }

    /// Announces to the workflow that this worker stops, and waits until the workflow has
    /// taken that in: a workflow task that the draining worker leaves unfinished would
    /// keep the next process waiting until the task times out.
    async fn announce_stop(
        &self,
        reconciler: &ReconcileClient,
    ) -> Result<(), ReconcileClientError> {
        let announcement = self
            .announcement_log
            .make(self.announcement_state.announce_stop());
        reconciler.announce_if_running(&announcement).await?;
        while reconciler
            .status()
            .await?
            .workers
            .contains_key(self.announcement_state.worker())
        {
            tokio::time::sleep(STOP_POLL_INTERVAL).await;
        }
        Ok(())
    }

    /// Announces changes for ever; returns only when no connection can come any more.
    async fn announce_changes(&mut self, clients: &mut watch::Receiver<Option<Client>>) {
        // There is nothing to announce before the first load, and nobody to announce to
        // before a connection.
        let loaded = tokio::select! {
            loaded = self.registry.changed() => loaded,
            never = self.replay_workflow(clients.clone()) => match never {},
        };
        self.announcement_state.reloaded(loaded);
        if clients.wait_for(Option::is_some).await.is_err() {
            return;
        }
        self.observe_first_status().await;
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));
        let mut logged = Logged::Nothing;
        loop {
            let Some(reconciler) = self.reconciler() else {
                return;
            };
            let wait = match self.turn(&reconciler, logged == Logged::Nothing).await {
                Ok(wait) => {
                    if logged > Logged::Nothing {
                        tracing::info!("the reconcile workflow answers again");
                    }
                    logged = Logged::Nothing;
                    backoff.reset();
                    wait
                }
                // Many workers announce at the same time when they start together.
                Err(ReconcileClientError::Busy(reason)) => {
                    tracing::debug!(reason, "the reconcile workflow is busy");
                    backoff.next_wait()
                }
                Err(error) => {
                    logged = logged.and(&error);
                    self.note(&error);
                    backoff.next_wait()
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                summary = self.registry.changed() => self.announcement_state.reloaded(summary),
                gone = clients.changed() => if gone.is_err() { return },
            }
        }
    }

    /// Sends the pending announcement, then polls the state; returns the time to wait for
    /// the next turn. While all is well the poll comes a turn later: the pass that the
    /// announcement leads to need not wait for the answer to a query.
    async fn turn(
        &mut self,
        reconciler: &ReconcileClient,
        is_connected: bool,
    ) -> Result<Duration, ReconcileClientError> {
        if let Some(announcement) = self.announcement_state.pending() {
            let announcement = self.announcement_log.make(announcement);
            reconciler.announce(&announcement).await?;
            tracing::debug!(event = ?announcement.event, revision = %announcement.revision, "announced");
            self.announcement_state.delivered();
            self.health.connected();
            if is_connected && self.health.is_ready() {
                return Ok(POLL_INTERVAL_UNREADY);
            }
        }
        match reconciler.status().await {
            Ok(status) => Ok(self.observe_status(&status)),
            Err(ReconcileClientError::Absent(workflow)) => {
                tracing::warn!(
                    workflow,
                    "the reconcile workflow does not exist; starting it again"
                );
                self.forgotten();
                Ok(POLL_INTERVAL_UNREADY)
            }
            Err(error) => Err(error),
        }
    }

    fn observe_status(&mut self, status: &Status) -> Duration {
        self.health.connected();
        self.credentials.accepted();
        self.health.observe(status);
        let worker = self.announcement_state.worker();
        let known = status.workers.get(worker).map(|known| &known.revision);
        let announced = status.announced.get(worker);
        let known_revision = self.announcement_state.known_revision();
        if known_revision.is_some() && known != known_revision && announced != known_revision {
            tracing::debug!("the reconcile workflow has no current announcement of this worker");
            self.forgotten();
            POLL_INTERVAL_UNREADY
        } else if known_revision.is_some() && known != known_revision {
            // The workflow has the announcement, and asks or will ask this worker for it.
            POLL_INTERVAL_UNREADY
        } else if self.health.is_ready() {
            POLL_INTERVAL_READY
        } else {
            POLL_INTERVAL_UNREADY
        }
    }

    /// Takes note that the workflow does not know this worker, so that its start is
    /// announced again.
    fn forgotten(&mut self) {
        self.announcement_state.forgotten();
        self.announcement_log.forget();
    }

    /// Asks the workflow for its state once a connection exists, and never returns. A worker replays
    /// the workflow for its first answer, so the next one takes less time.
    async fn replay_workflow(&self, mut clients: watch::Receiver<Option<Client>>) -> Infallible {
        if clients.wait_for(Option::is_some).await.is_ok()
            && let Some(reconciler) = self.reconciler()
        {
            reconciler.status().await.ok();
        }
        std::future::pending().await
    }

    /// Records the state of the workflow before this worker's first announcement, so that
    /// an earlier success is not taken for a success of this process. Without an answer,
    /// the first state after the announcement is taken instead, which may only delay
    /// readiness.
    async fn observe_first_status(&self) {
        for _ in 0..FIRST_STATUS_ATTEMPTS {
            let Some(reconciler) = self.reconciler() else {
                return;
            };
            match reconciler.status().await {
                Ok(status) => return self.health.begin(Some(&status)),
                Err(ReconcileClientError::Absent(_)) => return self.health.begin(None),
                Err(error) => {
                    tracing::debug!(%error, "the reconcile workflow does not answer yet");
                    self.note(&error);
                    tokio::time::sleep(POLL_INTERVAL_UNREADY).await;
                }
            }
        }
    }

    fn note(&self, error: &ReconcileClientError) {
        match error {
            ReconcileClientError::Unauthenticated(reason) => {
                self.credentials.refused(reason);
                self.health.away(error.to_string());
            }
            ReconcileClientError::Temporal(_) => self.health.away(error.to_string()),
            other => self.health.trouble(other.to_string()),
        }
    }

    fn reconciler(&self) -> Option<ReconcileClient> {
        let client = self.clients.borrow().clone()?;
        Some(ReconcileClient::new(client, self.project.clone()))
    }
}

/// The worst that was logged since the workflow last answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Logged {
    Nothing,
    Unreachable,
    Stuck,
}

impl Logged {
    /// Logs an error if it is worse than the errors logged before.
    fn and(self, error: &ReconcileClientError) -> Self {
        let now = match error {
            ReconcileClientError::Stuck(_) => Self::Stuck,
            _ => Self::Unreachable,
        };
        if now <= self {
            return self;
        }
        if now == Self::Stuck {
            tracing::error!(%error, "the reconcile workflow is stuck; nothing is reconciled");
        } else {
            tracing::warn!(%error, "cannot reach the reconcile workflow; retrying");
        }
        now
    }
}
