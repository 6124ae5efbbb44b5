//! Waiting for Temporal: no event is given up because Temporal is away.

use std::sync::Arc;
use std::time::Duration;

use almanac_base::names::Project;
use temporalio_client::Client;
use tokio::sync::{Mutex, watch};

use crate::jitter::jittered;
use crate::schedules::{RateLimiter, Schedules};

/// Minimum and maximum interval between two questions whether Temporal is back.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Lets events pass while Temporal is available.
pub(super) struct TemporalGate {
    clients: watch::Receiver<Option<Client>>,
    is_away: watch::Sender<bool>,
    /// Held by the one task that asks whether Temporal is back.
    asking: Mutex<()>,
    /// Workflow that is asked for. It need not exist.
    workflow: String,
    rate_limiter: Arc<RateLimiter>,
}

impl TemporalGate {
    pub(super) fn new(project: &Project, clients: watch::Receiver<Option<Client>>) -> Self {
        Self {
            clients,
            is_away: watch::Sender::new(false),
            asking: Mutex::new(()),
            workflow: project.reconcile_workflow_id(),
            rate_limiter: Arc::new(RateLimiter::new(None)),
        }
    }

    /// Notes that Temporal was not available for a request.
    pub(super) fn was_away(&self) {
        self.is_away.send_replace(true);
    }

    /// Waits until Temporal is available, and returns the means to send requests.
    pub(super) async fn available(&self) -> Schedules {
        let mut clients = self.clients.clone();
        loop {
            let client = clients.borrow_and_update().clone();
            let Some(client) = client else {
                if clients.changed().await.is_err() {
                    // The process is ending.
                    std::future::pending::<()>().await;
                }
                continue;
            };
            let schedules = Schedules::new(client, Arc::clone(&self.rate_limiter));
            if !*self.is_away.borrow() {
                return schedules;
            }
            self.wait().await;
        }
    }

    /// Waits until Temporal answers. One task asks at a time.
    async fn wait(&self) {
        let _turn = self.asking.lock().await;
        let mut wait = FIRST_WAIT;
        while *self.is_away.borrow() {
            tokio::time::sleep(jittered(wait)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            let client = self.clients.borrow().clone();
            let Some(client) = client else { continue };
            let schedules = Schedules::new(client, Arc::clone(&self.rate_limiter));
            let answer = schedules.has_workflow(&self.workflow).await;
            if answer.is_ok_and(|_exists| true) {
                tracing::info!("Temporal is available again for events");
                self.is_away.send_replace(false);
            }
        }
    }
}
