//! The activities, as Temporal calls them.
//!
//! Each heartbeats while it works, since that is how a cancellation arrives,
//! and ends a little before Temporal gives it up, so that its error says why.

#![expect(
    missing_docs,
    reason = "the macro makes items that cannot be documented"
)]

use std::sync::Arc;
use std::time::Duration;

use almanac_base::names::DefinitionId;
use almanac_steps::machine::{HttpRequest, OpenApiRequest, ShellRequest, Standard};
use almanac_workflows::contracts;
use serde_json::Value;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use super::{CallerCheck, StepError, Steps};

/// The longest time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The limit of a call for which Temporal has none.
const DEFAULT_LIMIT: Duration = Duration::from_mins(5);
/// How long before Temporal's limit a call ends by itself, at most and at least.
const MARGIN: Duration = Duration::from_secs(3);
const LEAST_MARGIN: Duration = Duration::from_millis(500);
/// The shortest time that a call is given.
const SHORTEST: Duration = Duration::from_millis(100);

/// The activities that definitions' steps call, on any worker of the project.
pub struct StepActivities {
    steps: Arc<Steps>,
    caller_check: Arc<CallerCheck>,
}

impl StepActivities {
    /// The activities over `steps`, for these callers.
    pub fn new(steps: Arc<Steps>, caller_check: Arc<CallerCheck>) -> Self {
        Self {
            steps,
            caller_check,
        }
    }
}

#[activities]
impl StepActivities {
    /// `call: http`.
    #[activity(definition = contracts::Http)]
    pub async fn http(
        self: Arc<Self>,
        ctx: ActivityContext,
        request: HttpRequest,
    ) -> Result<Value, ActivityError> {
        self.caller(&ctx, false).await?;
        let call = self.steps.http(&request, limit(&ctx));
        let answer = while_wanted(&ctx, call).await;
        if request.is_repeatable() {
            return answer;
        }
        self.once(&ctx, answer)
    }

    /// `call: openapi`.
    #[activity(definition = contracts::Openapi)]
    pub async fn openapi(
        self: Arc<Self>,
        ctx: ActivityContext,
        request: OpenApiRequest,
    ) -> Result<Value, ActivityError> {
        self.caller(&ctx, false).await?;
        let attempt = ctx.info().attempt;
        let call = self.steps.openapi(&request, limit(&ctx), attempt);
        while_wanted(&ctx, call).await
    }

    /// `emit`.
    #[activity(definition = contracts::Emit)]
    pub async fn emit(
        self: Arc<Self>,
        ctx: ActivityContext,
        event: Value,
    ) -> Result<Value, ActivityError> {
        self.caller(&ctx, false).await?;
        let published = self.steps.emit(&event, limit(&ctx));
        while_wanted(&ctx, published).await
    }

    /// `run: shell`.
    #[activity(definition = contracts::Shell)]
    pub async fn shell(
        self: Arc<Self>,
        ctx: ActivityContext,
        request: ShellRequest,
    ) -> Result<Value, ActivityError> {
        let caller = self.caller(&ctx, self.steps.is_bound(&request)).await?;
        let stop = ctx.cancelled();
        let call = self
            .steps
            .shell(request, caller.as_ref(), limit(&ctx), stop);
        tokio::select! {
            done = call => {
                // It ended because of that, and its processes are gone.
                if ctx.is_cancelled() && done.is_err() {
                    return self.once(&ctx, Err(ActivityError::cancelled()));
                }
                Ok(done?)
            }
            error = heartbeats(&ctx) => Err(error),
        }
    }
}

impl StepActivities {
    /// The definition whose run calls, where it has to be known: `must`, or
    /// with keys.
    async fn caller(
        &self,
        ctx: &ActivityContext,
        must: bool,
    ) -> Result<Option<DefinitionId>, ActivityError> {
        if !must && !self.caller_check.must_be_signed() {
            return Ok(None);
        }
        let info = ctx.info();
        // Both are missing where no workflow asked for the activity.
        let run = WorkflowExecution {
            workflow_id: info.workflow_id.clone().unwrap_or_default(),
            run_id: info.workflow_run_id.clone().unwrap_or_default(),
        };
        Ok(Some(self.caller_check.definition(run).await?))
    }

    /// An answer of something that must not be done twice. When its worker goes,
    /// Temporal would have it done again elsewhere.
    fn once(
        &self,
        ctx: &ActivityContext,
        answer: Result<Value, ActivityError>,
    ) -> Result<Value, ActivityError> {
        if answer.is_ok() || !ctx.is_cancelled() || !self.steps.leaves() {
            return answer;
        }
        let detail = "the worker was told to end while it made the call; whether it was done is not known, so it is not made again";
        Err(StepError::lasting(Standard::Runtime, detail).into())
    }
}

/// A call that can be left at any time, until it is cancelled.
async fn while_wanted(
    ctx: &ActivityContext,
    call: impl Future<Output = Result<Value, StepError>>,
) -> Result<Value, ActivityError> {
    tokio::select! {
        done = call => Ok(done?),
        () = ctx.cancelled() => Err(ActivityError::cancelled()),
        error = heartbeats(ctx) => Err(error),
    }
}

/// Tells the server that the activity lives; ends when that cannot be told.
async fn heartbeats(ctx: &ActivityContext) -> ActivityError {
    let own = ctx.info().heartbeat_timeout.map(|timeout| timeout / 3);
    let pause = own.unwrap_or(HEARTBEAT).clamp(SHORTEST, HEARTBEAT);
    loop {
        tokio::time::sleep(pause).await;
        if let Err(error) = ctx.record_heartbeat(()).await {
            return ActivityError::application(error.into());
        }
    }
}

/// How long a call may take: until Temporal's deadline, less a margin. Both
/// times are the server's, whose clock need not be this machine's.
fn limit(ctx: &ActivityContext) -> Duration {
    let info = ctx.info();
    let times = info.started_time.zip(info.deadline);
    let whole = times.and_then(|(started, deadline)| deadline.duration_since(started).ok());
    whole.map_or(DEFAULT_LIMIT, before)
}

/// A limit that leaves time to tell of it.
fn before(whole: Duration) -> Duration {
    let margin = (whole / 10).clamp(LEAST_MARGIN, MARGIN);
    whole.saturating_sub(margin).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_before_temporal_gives_it_up() {
        let seconds = Duration::from_secs;
        assert_eq!(before(seconds(1)), Duration::from_millis(500));
        assert_eq!(before(seconds(10)), seconds(9));
        assert_eq!(before(seconds(300)), seconds(297));
    }
}
