//! `FollowRuns`: the workflow that follows the runs of a project's definitions, and starts other
//! definitions after them. There is one for each project that follows any runs.
//!
//! The workflow only carries a state from one activity to the next, so that the state outlives the
//! workers. The activity, in the `activities` crate, reads the runs and starts others.

#![expect(
    clippy::needless_pass_by_value,
    reason = "the macro wants handlers to own their input"
)]

use std::time::Duration;

use almanac_base::names::FOLLOW_WORKFLOW;
use almanac_core::record::FollowState;
use jiff::Timestamp;
use temporalio_common::RetryPolicy;
use temporalio_common::data_converters::RawValue;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    ActivityOptions, ContinueAsNewOptions, WorkflowContext, WorkflowContextView, WorkflowResult,
    WorkflowTermination,
};

use crate::codec::{require_decrypted, require_readable};
use crate::contracts;

/// Maximum duration of one activity, which ends by itself before.
const ACTIVITY_LIMIT: Duration = Duration::from_mins(15);
/// Heartbeat timeout: another worker takes over from one that is silent for this long.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Maximum interval between two attempts of the activity.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Number of activities after which the workflow continues as new.
const ACTIVITIES_LIMIT: u32 = 100;
/// Maximum size of the input that is read, in bytes.
const INPUT_LIMIT: usize = 2 * 1024 * 1024;

/// The workflow that follows the runs of a project's definitions.
#[workflow]
#[derive(Debug)]
pub struct FollowRuns {
    state: FollowState,
}

#[workflow_methods]
impl FollowRuns {
    /// Begins at the start of the workflow: runs that ended before start nothing.
    #[init]
    fn new(ctx: &WorkflowContextView, input: RawValue) -> Self {
        require_decrypted(&input.payloads);
        let mut state = state(&input);
        let started = ctx.start_time();
        let started = started.and_then(|time| Timestamp::try_from(time).ok());
        state.cursor = state.cursor.or(started);
        Self { state }
    }

    /// Runs until no run is to be followed.
    #[run(name = FOLLOW_WORKFLOW)]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<()> {
        let ctx: &WorkflowContext<Self> = ctx;
        let mut activities = 0;
        loop {
            if ctx.cancellation_token().is_cancelled() {
                return Err(WorkflowTermination::cancelled());
            }
            if activities >= ACTIVITIES_LIMIT || ctx.continue_as_new_suggested() {
                let state = ctx.state(|s| s.state.clone());
                let input = RawValue::from_value(&state, ctx.payload_converter());
                ctx.continue_as_new(input, ContinueAsNewOptions::default())?;
            }
            activities += 1;
            let retry = RetryPolicy::builder()
                .initial_interval(Duration::from_secs(1))
                .maximum_interval(LONGEST_WAIT)
                .build();
            let options = ActivityOptions::with_start_to_close_timeout(ACTIVITY_LIMIT)
                .heartbeat_timeout(HEARTBEAT)
                .retry_policy(retry)
                .do_not_eagerly_execute(true)
                .build();
            let state = ctx.state(|s| s.state.clone());
            let outcome = ctx
                .execute_activity(contracts::FollowRuns, state, options)
                .await;
            require_readable(&outcome);
            let outcome = outcome?;
            if outcome.idle {
                return Ok(());
            }
            ctx.state_mut(|s| s.state = outcome.state);
        }
    }
}

/// Reads the state from the input. An input that is no state begins anew.
fn state(input: &RawValue) -> FollowState {
    let Some(payload) = input.payloads.first() else {
        return FollowState::default();
    };
    if payload.data.len() > INPUT_LIMIT {
        return FollowState::default();
    }
    serde_json::from_slice(&payload.data).unwrap_or_default()
}
