//! The activity that does one step of a manual run, as Temporal calls it.

use std::sync::Arc;
use std::time::Duration;

use almanac_core::record::{ManualRunInput, RunStep};
use almanac_workflows::contracts;
use jiff::Timestamp;
use temporalio_common::error::ApplicationFailure;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use super::ManualRunner;
use crate::schedules::ServerClock;

/// Interval between the heartbeats of a step.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The activity for manual runs. Any worker of the project serves it.
pub struct ManualRunActivities {
    runner: Arc<ManualRunner>,
}

impl ManualRunActivities {
    /// Creates the activity over `runner`.
    pub fn new(runner: Arc<ManualRunner>) -> Self {
        Self { runner }
    }
}

#[activities]
impl ManualRunActivities {
    /// Does one step of a run that an operator asked for.
    #[activity(definition = contracts::ManualRun)]
    pub async fn manual_run(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: ManualRunInput,
    ) -> Result<RunStep, ActivityError> {
        let heartbeats = async {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                if let Err(error) = ctx.record_heartbeat(()).await {
                    break error;
                }
            }
        };
        let started = ctx.info().started_time;
        let started = started.and_then(|at| Timestamp::try_from(at).ok());
        let clock = ServerClock::from_reported(started.unwrap_or(Timestamp::UNIX_EPOCH));
        tokio::select! {
            step = self.runner.step(&input, clock) => {
                step.map_err(|error| ApplicationFailure::new(error.to_string()).into())
            }
            () = ctx.cancelled() => Err(ApplicationFailure::new("the worker is shutting down").into()),
            error = heartbeats => Err(ApplicationFailure::new(error).into()),
        }
    }
}
