//! The activities of the reconcile workflow, as Temporal calls them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use almanac_core::record::{PassInput, PassOutcome, Progress, Selection, Selector};
use almanac_workflows::contracts;
use temporalio_common::error::ApplicationFailure;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use super::{PassError, Reconciler};

/// Interval between the heartbeats of a pass. The answer to a heartbeat tells the pass to make way.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// Interval between two looks at whether the worker shuts down.
const STOP_INTERVAL: Duration = Duration::from_millis(500);

/// The activities on a worker's own task queue.
pub struct ReconcileActivities {
    reconciler: Arc<Reconciler>,
    is_stopping: Box<dyn Fn() -> bool + Send + Sync>,
}

impl ReconcileActivities {
    /// Creates the activities over `reconciler`. `is_stopping` returns `true` when the worker shuts
    /// down: then a canceled activity ends at once.
    pub fn new(
        reconciler: Arc<Reconciler>,
        is_stopping: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            reconciler,
            is_stopping: Box::new(is_stopping),
        }
    }
}

/// The failure of a pass whose worker shuts down.
fn stopping() -> ActivityError {
    ApplicationFailure::new("the worker is shutting down").into()
}

#[activities]
impl ReconcileActivities {
    /// Does one pass: observe, plan, apply, report. If the workflow cancels it, the pass begins no
    /// further write, and reports those that it has made. If it has not planned anything by then,
    /// it fails, which the workflow takes for a pass that wrote nothing.
    #[activity(definition = contracts::Reconcile)]
    pub async fn reconcile(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: PassInput,
    ) -> Result<PassOutcome, ActivityError> {
        let latest = Mutex::new(Progress::default());
        let progress = |now: Progress| {
            *latest.lock().unwrap_or_else(PoisonError::into_inner) = now;
        };
        let heartbeats = async {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                let now = *latest.lock().unwrap_or_else(PoisonError::into_inner);
                if let Err(error) = ctx.record_heartbeat(now).await {
                    break error;
                }
            }
        };
        let goes_on = || !ctx.is_cancelled();
        let shutdown = async {
            ctx.cancelled().await;
            while !(self.is_stopping)() {
                tokio::time::sleep(STOP_INTERVAL).await;
            }
        };
        tokio::select! {
            outcome = self.reconciler.pass(&input, &goes_on, &progress) => {
                outcome.map_err(|error| match error {
                    PassError::Stopped if (self.is_stopping)() => stopping(),
                    PassError::Stopped => {
                        tracing::info!(pass = input.pass, "pass makes way before it wrote anything");
                        ApplicationFailure::new(error).into()
                    }
                    PassError::Request(error) => {
                        tracing::warn!(pass = input.pass, %error, "pass failed");
                        ApplicationFailure::new(error.to_string()).into()
                    }
                })
            }
            () = shutdown => Err(stopping()),
            error = heartbeats => Err(ApplicationFailure::new(error).into()),
        }
    }

    /// The definitions that have a schedule and these labels.
    #[expect(clippy::unused_async, reason = "activities are asynchronous")]
    #[activity(definition = contracts::Select)]
    pub async fn select(
        self: Arc<Self>,
        _ctx: ActivityContext,
        selector: Selector,
    ) -> Result<Selection, ActivityError> {
        Ok(self.reconciler.select(&selector))
    }
}
