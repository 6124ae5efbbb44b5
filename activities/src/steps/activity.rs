//! The activities of steps, as Temporal calls them.
//!
//! Each activity heartbeats while it works, since a cancellation arrives with a heartbeat.
//! Each ends a little before Temporal's deadline, so that its error gives the reason.

use std::sync::Arc;
use std::time::Duration;

use almanac_base::names::DefinitionId;
use almanac_steps::machine::{HttpRequest, OpenApiRequest, ShellRequest, Standard};
use almanac_workflows::contracts;
use serde_json::Value;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use super::{CallerCheck, EmitCall, EventReceiver, StepError, Steps};

/// Maximum interval between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Time limit of a call for which Temporal has none.
const DEFAULT_LIMIT: Duration = Duration::from_mins(5);
/// Maximum and minimum time by which a call ends before Temporal's deadline.
const MARGIN: Duration = Duration::from_secs(3);
const LEAST_MARGIN: Duration = Duration::from_millis(500);
/// Minimum time that a call is given.
const SHORTEST: Duration = Duration::from_millis(100);

/// The activities that definitions' steps call, on any worker of the project.
pub struct StepActivities {
    steps: Arc<Steps>,
    caller_check: Arc<CallerCheck>,
    /// Receiver of events that are not published.
    unpublished: Arc<dyn EventReceiver>,
}

impl StepActivities {
    /// Creates the activities over `steps`, for these callers. `unpublished` receives the events
    /// that are not published because there is no NATS.
    pub fn new(
        steps: Arc<Steps>,
        caller_check: Arc<CallerCheck>,
        unpublished: Arc<dyn EventReceiver>,
    ) -> Self {
        Self {
            steps,
            caller_check,
            unpublished,
        }
    }
}

#[activities]
impl StepActivities {
    /// Sends the HTTP request of `call: http`.
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

    /// Calls the operation of `call: openapi`.
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

    /// Publishes the event of `emit`, or starts its runs if there is no NATS.
    #[activity(definition = contracts::Emit)]
    pub async fn emit(
        self: Arc<Self>,
        ctx: ActivityContext,
        event: Value,
    ) -> Result<Value, ActivityError> {
        self.caller(&ctx, false).await?;
        let emitted = async {
            if self.steps.emit(&event, limit(&ctx)).await? {
                return Ok(Value::Null);
            }
            let info = ctx.info();
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let call = EmitCall {
                delivery: format!("emit-{}-{}", text(&info.workflow_run_id), info.activity_id),
                by: text(&info.workflow_id),
                attempt: info.attempt.into(),
            };
            self.unpublished.receive(event, call).await?;
            Ok(Value::Null)
        };
        while_wanted(&ctx, Box::pin(emitted)).await
    }

    /// Runs the command of `run: shell`.
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
                // The command ended because of the cancellation, and its processes are
                // gone.
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
    /// Returns the definition whose run calls, if the definition has to be known: because
    /// it `must`, or because there are keys. Otherwise `None`.
    async fn caller(
        &self,
        ctx: &ActivityContext,
        must: bool,
    ) -> Result<Option<DefinitionId>, ActivityError> {
        if !must && !self.caller_check.must_be_signed() {
            return Ok(None);
        }
        let info = ctx.info();
        // Both are missing if no workflow asked for the activity.
        let run = WorkflowExecution {
            workflow_id: info.workflow_id.clone().unwrap_or_default(),
            run_id: info.workflow_run_id.clone().unwrap_or_default(),
        };
        Ok(Some(self.caller_check.definition(run).await?))
    }

    /// Returns the answer of a call that must not be made twice. If the worker is ending, a
    /// canceled call becomes a lasting error: otherwise Temporal would make the call again
    /// on another worker.
    fn once(
        &self,
        ctx: &ActivityContext,
        answer: Result<Value, ActivityError>,
    ) -> Result<Value, ActivityError> {
        if answer.is_ok() || !ctx.is_cancelled() || !self.steps.leaves() {
            return answer;
        }
        let detail = "the worker was shut down during the call; the call may have been done, so it is not repeated";
        Err(StepError::lasting(Standard::Runtime, detail).into())
    }
}

/// Makes a call that can be abandoned at any time, until the activity is canceled.
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

/// Sends heartbeats to the server. Ends with an error if a heartbeat cannot be sent.
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

/// Returns the time limit of a call: the time until Temporal's deadline, less a margin.
/// Both times are the server's, whose clock need not agree with this machine's.
fn limit(ctx: &ActivityContext) -> Duration {
    let info = ctx.info();
    let times = info.started_time.zip(info.deadline);
    let whole = times.and_then(|(started, deadline)| deadline.duration_since(started).ok());
    whole.map_or(DEFAULT_LIMIT, before)
}

/// Shortens a time limit, so that there is time left to report the end.
fn before(whole: Duration) -> Duration {
    let margin = (whole / 10).clamp(LEAST_MARGIN, MARGIN);
    whole.saturating_sub(margin).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_before_its_timeout_in_temporal() {
        let seconds = Duration::from_secs;
        assert_eq!(before(seconds(1)), Duration::from_millis(500));
        assert_eq!(before(seconds(10)), seconds(9));
        assert_eq!(before(seconds(300)), seconds(297));
    }
}
