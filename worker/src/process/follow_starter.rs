//! Keeps the workflow running that follows the runs of definitions, while there is anything to
//! follow.

use std::sync::Arc;
use std::time::Duration;

use almanac_activities::follow::start_following;
use almanac_activities::schedules::{RateLimiter, Schedules};
use almanac_base::names::Project;
use almanac_core::follow::Followed;
use almanac_core::snapshot::Snapshot;
use temporalio_client::Client;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::registry::Registry;

/// Interval between two looks at the definitions.
const INTERVAL: Duration = Duration::from_millis(500);
/// Interval between two starts of a workflow that should be running.
const START_INTERVAL: Duration = Duration::from_secs(30);

/// The part of the process that starts the workflow.
#[derive(Debug)]
pub(super) struct FollowStarter {
    pub(super) registry: Arc<Registry>,
    pub(super) project: Project,
    /// `true` if the workers take part in worker versioning.
    pub(super) is_versioned: bool,
    /// The connection; `None` until the process is connected.
    pub(super) clients: watch::Receiver<Option<Client>>,
}

impl FollowStarter {
    /// Starts the workflow when it is needed, until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut last: Option<(Arc<Snapshot>, bool)> = None;
        let mut next = Instant::now();
        let mut is_failing = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = stop.cancelled() => return,
            }
            if !self.registry.has_been_complete() {
                continue;
            }
            let snapshot = self.registry.snapshot();
            let is_same = last
                .as_ref()
                .is_some_and(|(of, _)| Arc::ptr_eq(of, &snapshot));
            if !is_same {
                let follows = !Followed::of(&snapshot).is_empty();
                let followed_before = last.is_some_and(|(_, follows)| follows);
                last = Some((snapshot, follows));
                if follows && !followed_before {
                    next = Instant::now();
                }
            }
            let follows = last.as_ref().is_some_and(|(_, follows)| *follows);
            if !follows || Instant::now() < next {
                continue;
            }
            let Some(client) = self.clients.borrow().clone() else {
                continue;
            };
            let schedules = Schedules::new(client, Arc::new(RateLimiter::new(None)));
            match start_following(&schedules, &self.project, self.is_versioned).await {
                Ok(()) => {
                    next = Instant::now() + START_INTERVAL;
                    if std::mem::take(&mut is_failing) {
                        tracing::info!("the workflow that follows runs can be started again");
                    }
                }
                Err(error) if !std::mem::replace(&mut is_failing, true) => {
                    tracing::warn!(%error, "cannot start the workflow that follows runs; trying again");
                }
                Err(_) => {}
            }
        }
    }
}
