//! Talks with the reconcile workflow: announces what the registry holds, and
//! watches the workflow's state.
//!
//! What always holds: while Temporal answers, the workflow exists and knows
//! this worker and its revision, or will within [`LOOK_WHEN_READY`]; one that
//! was terminated is started again by the announcement that finds it gone.
//! What is said is decided by [`super::outbox`], and what the state means for
//! the process by [`crate::health`].

use std::sync::Arc;
use std::time::Duration;

use almanac_base::names::Project;
use almanac_core::record::Status;
use temporalio_client::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::outbox::{Outbox, Statements};
use crate::backoff::Backoff;
use crate::health::Health;
use crate::reconcile_client::{Reconciler, ReconcilerError};
use crate::registry::Registry;

/// Time between two looks at the workflow's state while it is not as it should be.
const LOOK_WHEN_NOT: Duration = Duration::from_secs(1);
/// The same, once it is.
const LOOK_WHEN_READY: Duration = Duration::from_secs(15);
/// How long the last words may take.
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);
/// Time between two looks whether they were heard.
const FAREWELL_LOOK: Duration = Duration::from_millis(50);
/// How often the workflow is asked for its state before it is told that this
/// worker started: it cannot answer before a worker polls.
const FIRST_LOOKS: u32 = 3;

/// The part of the process that talks.
#[derive(Debug)]
pub(super) struct Voice {
    /// What is to be said.
    pub(super) outbox: Outbox,
    /// Its statements, for the workflow to ask for.
    pub(super) statements: Arc<Statements>,
    /// Where the news come from.
    pub(super) registry: Arc<Registry>,
    /// What is learnt.
    pub(super) health: Arc<Health>,
    /// Whose workflow it is.
    pub(super) project: Project,
    /// The connection, as soon as there is one.
    pub(super) clients: watch::Receiver<Option<Client>>,
}

impl Voice {
    /// Talks until told to stop; then says so.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut ears = self.clients.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.talk(&mut ears) => {}
        }
        if let Some(reconciler) = self.reconciler()
            && self.outbox.told().is_some()
        {
            match tokio::time::timeout(FAREWELL_LIMIT, self.farewell(&reconciler)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "could not say that this worker stops"),
                Err(_) => tracing::warn!("could not say in time that this worker stops"),
            }
        }
    }

    /// Tells the workflow that this worker stops, and waits until it took that
    /// in: a workflow task left half-way by the worker that drains would keep
    /// the next process waiting until it times out.
    async fn farewell(&self, reconciler: &Reconciler) -> Result<(), ReconcilerError> {
        let said = self.statements.make(self.outbox.farewell());
        reconciler.tell(&said).await?;
        while reconciler
            .status()
            .await?
            .workers
            .contains_key(self.outbox.worker())
        {
            tokio::time::sleep(FAREWELL_LOOK).await;
        }
        Ok(())
    }

    /// For ever; ends only when no connection can come any more.
    async fn talk(&mut self, clients: &mut watch::Receiver<Option<Client>>) {
        // Nothing can be said before the first load, nor to nobody.
        let loaded = self.registry.changed().await;
        self.outbox.reloaded(loaded);
        if clients.wait_for(Option::is_some).await.is_err() {
            return;
        }
        self.first_look().await;
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
                // Many ask at once when workers start together.
                Err(ReconcilerError::Busy(reason)) => {
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
                summary = self.registry.changed() => self.outbox.reloaded(summary),
                gone = clients.changed() => if gone.is_err() { return },
            }
        }
    }

    /// Says what is to be said, then looks; how long to wait for the next turn.
    /// While all is well the look comes later: the pass that the news lead to
    /// need not wait for the answer to a question.
    async fn turn(
        &mut self,
        reconciler: &Reconciler,
        in_touch: bool,
    ) -> Result<Duration, ReconcilerError> {
        if let Some(said) = self.outbox.pending() {
            let said = self.statements.make(said);
            reconciler.announce(&said).await?;
            tracing::debug!(event = ?said.event, revision = %said.revision, "announced");
            self.outbox.delivered();
            self.health.connected();
            if in_touch && self.health.is_ready() {
                return Ok(LOOK_WHEN_NOT);
            }
        }
        match reconciler.status().await {
            Ok(status) => Ok(self.looked(&status)),
            Err(ReconcilerError::Absent(workflow)) => {
                tracing::warn!(
                    workflow,
                    "the reconcile workflow is gone; starting it again"
                );
                self.forgotten();
                Ok(LOOK_WHEN_NOT)
            }
            Err(error) => Err(error),
        }
    }

    fn looked(&mut self, status: &Status) -> Duration {
        self.health.connected();
        self.health.observe(status);
        let worker = self.outbox.worker();
        let known = status.workers.get(worker).map(|known| &known.revision);
        let announced = status.announced.get(worker);
        let told = self.outbox.told();
        if told.is_some() && known != told && announced != told {
            tracing::debug!("the reconcile workflow does not know this worker as it is");
            self.forgotten();
            LOOK_WHEN_NOT
        } else if told.is_some() && known != told {
            // It is asked, or will be.
            LOOK_WHEN_NOT
        } else if self.health.is_ready() {
            LOOK_WHEN_READY
        } else {
            LOOK_WHEN_NOT
        }
    }

    /// The workflow does not know this worker: it introduces itself again.
    fn forgotten(&mut self) {
        self.outbox.forgotten();
        self.statements.forget();
    }

    /// What the workflow did before this worker spoke, so that it is not taken
    /// for this process's success. Without an answer the first look after the
    /// announcement is taken instead, which may only delay readiness.
    async fn first_look(&self) {
        for _ in 0..FIRST_LOOKS {
            let Some(reconciler) = self.reconciler() else {
                return;
            };
            match reconciler.status().await {
                Ok(status) => return self.health.begin(Some(&status)),
                Err(ReconcilerError::Absent(_)) => return self.health.begin(None),
                Err(error) => {
                    tracing::debug!(%error, "the reconcile workflow does not answer yet");
                    self.note(&error);
                    tokio::time::sleep(LOOK_WHEN_NOT).await;
                }
            }
        }
    }

    fn note(&self, error: &ReconcilerError) {
        match error {
            ReconcilerError::Temporal(_) => self.health.away(error.to_string()),
            other => self.health.trouble(other.to_string()),
        }
    }

    fn reconciler(&self) -> Option<Reconciler> {
        let client = self.clients.borrow().clone()?;
        Some(Reconciler::new(client, self.project.clone()))
    }
}

/// What was logged since the workflow answered last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Logged {
    Nothing,
    Unreachable,
    Stuck,
}

impl Logged {
    /// Logs an error where it is worse than what was logged before.
    fn and(self, error: &ReconcilerError) -> Self {
        let now = match error {
            ReconcilerError::Stuck(_) => Self::Stuck,
            _ => Self::Unreachable,
        };
        if now <= self {
            return self;
        }
        if now == Self::Stuck {
            tracing::error!(%error, "nothing is reconciled");
        } else {
            tracing::warn!(%error, "cannot reach the reconcile workflow; trying on");
        }
        now
    }
}
