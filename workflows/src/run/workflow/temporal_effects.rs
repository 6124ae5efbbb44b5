//! Effects of a run, done by Temporal.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{self, Poll};
use std::time::Duration;

use almanac_base::size::json_size;
use almanac_base::text;
use almanac_steps::language::Temporal;
use almanac_steps::limits::fitting_id;
use almanac_steps::machine::{
    ActivityRequest, Answer, Effect, EffectId, Fault, Standard, WorkflowRequest,
};
use serde::Serialize;
use serde_json::Value;
use temporalio_common::data_converters::RawValue;
use temporalio_common::{Priority, RetryPolicy, UntypedActivity, UntypedWorkflow};
use temporalio_protos::temporal::api::common::v1::Payload;
use temporalio_workflow::{
    ActivityCloseTimeouts, ActivityOptions, ChildWorkflowCancellationType, ChildWorkflowOptions,
    ParentClosePolicy, TimerOptions, WorkflowCancellationToken, WorkflowContext,
};

use super::completion_order::CompletionOrder;
use super::{RunDefinition, failure};
use crate::codec::require_decrypted;
use crate::contracts::{EMIT, HTTP, OPENAPI, SHELL};

/// Time limit of an attempt at an activity for which the task states none.
const ATTEMPT_WITHIN: Duration = Duration::from_mins(5);
/// Heartbeat timeout of Almanac's own activities, which always heartbeat: a lost worker is
/// noticed within this time.
const OWN_HEARTBEAT: Duration = Duration::from_secs(30);
/// Maximum number of attempts at one of Almanac's own activities that may be done twice.
/// There is a further attempt if the worker is lost, or if the service may answer later and
/// the task is outside of any `retry`.
const OWN_ATTEMPTS: u32 = 3;
/// Maximum wait before a further attempt at publishing an event.
const EMIT_INTERVAL: Duration = Duration::from_secs(30);
/// Minimum duration of a timer.
const SHORTEST_TIMER: Duration = Duration::from_millis(1);
/// Maximum length of a summary, in bytes. The server takes 400.
const SUMMARY_LIMIT: usize = 200;

type Context = WorkflowContext<RunDefinition>;
type Results = Vec<(EffectId, Result<Answer, Fault>)>;
type Ending<'c> = Pin<Box<dyn Future<Output = Ended> + 'c>>;

/// Result of an effect, and its size in the history, in bytes.
struct Ended {
    result: Result<Answer, Fault>,
    bytes: usize,
}

impl Ended {
    /// Result of an effect that has no output.
    fn nothing() -> Self {
        Self {
            result: Ok(Answer::Value(Value::Null)),
            bytes: 0,
        }
    }

    fn failed((fault, bytes): (Fault, usize)) -> Self {
        Self {
            result: Err(fault),
            bytes,
        }
    }
}

/// The effects of a run that are under way.
pub(super) struct TemporalEffects<'c> {
    ctx: &'c Context,
    /// Prefix of the ids of child workflows.
    run: String,
    under_way: CompletionOrder<'c, Ended>,
    tokens: BTreeMap<EffectId, WorkflowCancellationToken>,
    /// Size of the calls and answers so far, in bytes.
    bytes: usize,
}

impl<'c> TemporalEffects<'c> {
    pub(super) fn new(ctx: &'c Context, run: &str) -> Self {
        Self {
            ctx,
            run: run.to_owned(),
            under_way: CompletionOrder::new(),
            tokens: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Starts an effect for the task at a place. The machine has checked that Temporal
    /// takes the request.
    pub(super) fn start(
        &mut self,
        id: EffectId,
        task: &str,
        effect: Effect,
        options: &Temporal,
        retried: bool,
    ) {
        self.bytes += json_size(&effect);
        let token = self.ctx.cancellation_token().child_token();
        let how = EffectOptions {
            token: token.clone(),
            summary: summary(task, &effect, options),
            options,
            retried,
        };
        let ending = match effect {
            Effect::Timer { duration } => self.timer(duration, how),
            Effect::Activity(request) => self.activity(request, how),
            Effect::Workflow(request) => self.child(id, request, how),
            Effect::Http(request) if request.is_repeatable() => {
                self.own(HTTP, &request, how, OWN_ATTEMPTS)
            }
            Effect::Http(request) => self.own(HTTP, &request, how, 1),
            // The activity knows the method, and makes a second attempt only at a call that
            // is repeatable.
            Effect::OpenApi(request) => self.own(OPENAPI, &request, how, OWN_ATTEMPTS),
            Effect::Shell(request) => self.own(SHELL, &request, how, 1),
            Effect::Emit { event } => self.emit(event, how),
            // Signals reach the machine whether a step listens or not.
            Effect::Listen { .. } => Box::pin(std::future::pending()),
        };
        self.under_way.insert(id, ending);
        self.tokens.insert(id, token);
    }

    /// Approximate size of the calls and answers in the history so far, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the size of signals, in bytes.
    pub(super) fn heard(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Gives up an effect.
    pub(super) fn cancel(&mut self, id: EffectId) {
        self.under_way.remove(id);
        if let Some(token) = self.tokens.remove(&id) {
            token.cancel();
        }
    }

    /// Waits for the next results, and returns them in the order of the history. The list
    /// may be empty if an event came. `None` if the run is canceled.
    pub(super) async fn results(&mut self) -> Option<Results> {
        let token = self.ctx.cancellation_token();
        let mut canceled = pin!(token.cancelled());
        let ctx = self.ctx;
        let mut heard = pin!(ctx.wait_condition(|s| s.inbox.has_news()));
        poll_fn(|cx| {
            if canceled.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            let results = self.ended(cx);
            if results.is_empty() && heard.as_mut().poll(cx).is_pending() {
                Poll::Pending
            } else {
                Poll::Ready(Some(results))
            }
        })
        .await
    }

    /// Returns the results that are there, in the order of the history, which is the same
    /// in each replay. The list may be empty. `None` if the run is canceled.
    pub(super) async fn ready(&mut self) -> Option<Results> {
        if self.ctx.cancellation_token().is_cancelled() {
            return None;
        }
        Some(poll_fn(|cx| Poll::Ready(self.ended(cx))).await)
    }

    fn ended(&mut self, cx: &task::Context<'_>) -> Results {
        let mut results = Vec::new();
        for (id, ended) in self.under_way.poll(cx) {
            self.tokens.remove(&id);
            self.bytes = self.bytes.saturating_add(ended.bytes);
            results.push((id, ended.result));
        }
        results
    }

    fn timer(&self, duration: Duration, how: EffectOptions<'_>) -> Ending<'c> {
        let options = TimerOptions::builder(duration.max(SHORTEST_TIMER))
            .cancellation_token(how.token)
            .summary(how.summary)
            .build();
        let timer = self.ctx.timer(options);
        Box::pin(async move {
            timer.await;
            Ended::nothing()
        })
    }

    /// Starts an activity of any worker. There is one attempt: an error goes to the task,
    /// and `retry` of the specification says which errors are retried.
    fn activity(&self, request: ActivityRequest, how: EffectOptions<'_>) -> Ending<'c> {
        let arguments = request.arguments.iter();
        let arguments = arguments.flat_map(|value| self.payloads(value)).collect();
        let queue = Some(request.task_queue);
        let options = how.activity(queue, how.options.heartbeat, 1);
        self.execute(&request.name, RawValue::new(arguments), options)
    }

    /// Starts one of Almanac's own activities. A call that is not repeatable has one
    /// attempt: if its worker is lost, nobody knows whether the call was made.
    fn own<T: Serialize>(
        &self,
        name: &str,
        request: &T,
        how: EffectOptions<'_>,
        attempts: u32,
    ) -> Ending<'c> {
        let input = match serde_json::to_value(request) {
            Ok(input) => input,
            Err(error) => {
                let fault = failure::runtime(&error.to_string());
                return Box::pin(std::future::ready(Ended::failed((fault, 0))));
            }
        };
        let heartbeat = how.options.heartbeat.or(Some(OWN_HEARTBEAT));
        let queue = how.options.task_queue.clone();
        let options = how.activity(queue, heartbeat, attempts);
        let input = RawValue::new(self.payloads(&input));
        if attempts > 1 {
            return self.execute(name, input, options);
        }
        let activity = self
            .ctx
            .execute_activity(UntypedActivity::new(name), input, options);
        Box::pin(async move {
            match activity.await {
                Ok(answer) => json(answer),
                Err(error) => Ended::failed(failure::of_once(&error)),
            }
        })
    }

    /// Publishes an event, and tries until that succeeds: the same event is stored once.
    fn emit(&self, event: Value, how: EffectOptions<'_>) -> Ending<'c> {
        let heartbeat = how.options.heartbeat.or(Some(OWN_HEARTBEAT));
        let queue = how.options.task_queue.clone();
        let retry = RetryPolicy::builder()
            .maximum_interval(EMIT_INTERVAL)
            .build();
        let options = how.activity_with(queue, heartbeat, retry);
        self.execute(EMIT, RawValue::new(self.payloads(&event)), options)
    }

    fn execute(&self, name: &str, input: RawValue, options: ActivityOptions) -> Ending<'c> {
        let activity = UntypedActivity::new(name);
        let activity = self.ctx.execute_activity(activity, input, options);
        Box::pin(async move {
            match activity.await {
                Ok(answer) => json(answer),
                Err(error) => Ended::failed(failure::of_activity(&error)),
            }
        })
    }

    fn child(&self, id: EffectId, request: WorkflowRequest, how: EffectOptions<'_>) -> Ending<'c> {
        let (close, cancel) = if request.wait {
            (
                ParentClosePolicy::RequestCancel,
                ChildWorkflowCancellationType::TryCancel,
            )
        } else {
            // The child continues, whatever happens to this run.
            (
                ParentClosePolicy::Abandon,
                ChildWorkflowCancellationType::Abandon,
            )
        };
        let options = ChildWorkflowOptions::builder()
            .workflow_id(fitting_id(format!("{}/{id}", self.run)))
            .maybe_task_queue(how.options.task_queue.clone())
            .cancel_type(cancel)
            .cancellation_token(how.token.clone())
            .parent_close_policy(close)
            .static_summary(how.summary.clone())
            .maybe_execution_timeout(how.options.schedule_to_close)
            .maybe_run_timeout(how.options.start_to_close)
            .maybe_priority(how.priority())
            .build();
        let input = request.input.iter();
        let input = input.flat_map(|value| self.payloads(value)).collect();
        let workflow = UntypedWorkflow::new(request.name);
        let started = self
            .ctx
            .start_child_workflow(workflow, RawValue::new(input), options);
        Box::pin(async move {
            let child = match started.await {
                Ok(child) => child,
                Err(error) => return Ended::failed((failure::of_start(&error), 0)),
            };
            if !request.wait {
                return Ended::nothing();
            }
            match child.result().await {
                Ok(answer) => json(answer),
                Err(error) => Ended::failed(failure::of_child(&error)),
            }
        })
    }

    fn payloads(&self, value: &Value) -> Vec<Payload> {
        RawValue::from_value(value, self.ctx.payload_converter()).payloads
    }
}

/// Options with which an effect is started.
struct EffectOptions<'o> {
    token: WorkflowCancellationToken,
    summary: String,
    options: &'o Temporal,
    /// `true` if the definition itself says which errors are retried.
    retried: bool,
}

impl EffectOptions<'_> {
    fn activity(
        &self,
        queue: Option<String>,
        heartbeat: Option<Duration>,
        attempts: u32,
    ) -> ActivityOptions {
        // A timeout after a lost worker has no such type, so it is retried in either case.
        let errors = Standard::ALL.into_iter().filter(|_| self.retried);
        let retry = RetryPolicy::builder()
            .maximum_attempts(attempts)
            .non_retryable_error_types(errors.map(Standard::kind))
            .build();
        self.activity_with(queue, heartbeat, retry)
    }

    fn activity_with(
        &self,
        queue: Option<String>,
        heartbeat: Option<Duration>,
        retry: RetryPolicy,
    ) -> ActivityOptions {
        let options = self.options;
        let limits = match (options.start_to_close, options.schedule_to_close) {
            (None, Some(all)) => ActivityCloseTimeouts::ScheduleAndStartToClose {
                start_to_close: ATTEMPT_WITHIN.min(all),
                schedule_to_close: all,
            },
            (Some(one), Some(all)) => ActivityCloseTimeouts::ScheduleAndStartToClose {
                start_to_close: one,
                schedule_to_close: all,
            },
            (one, None) => ActivityCloseTimeouts::StartToClose(one.unwrap_or(ATTEMPT_WITHIN)),
        };
        ActivityOptions::with_close_timeouts(limits)
            .maybe_task_queue(queue)
            .maybe_schedule_to_start_timeout(options.schedule_to_start)
            .maybe_heartbeat_timeout(heartbeat)
            .cancellation_token(self.token.clone())
            .retry_policy(retry)
            .summary(self.summary.clone())
            .maybe_priority(self.priority())
            .build()
    }

    fn priority(&self) -> Option<Priority> {
        let key = self.options.priority.map(u32::from)?;
        Some(Priority::builder().priority_key(key).build())
    }
}

/// Returns the summary that the Temporal UI shows beside an effect. If the task states
/// none, it is the type of the event that is published, or the place of the task.
fn summary(task: &str, effect: &Effect, options: &Temporal) -> String {
    let place = task.trim_start_matches('/');
    let place = if place.is_empty() { "the run" } else { place };
    let emitted = match effect {
        Effect::Emit { event } => event.get("type").and_then(Value::as_str),
        _ => None,
    };
    let emitted = emitted.map(|kind| format!("emit {kind}"));
    // The Temporal UI reads a summary as Markdown, which the author of a summary may use.
    let Some(summary) = &options.summary else {
        let shown = emitted.as_deref().unwrap_or(place);
        let whole = text::markdown(shown, SUMMARY_LIMIT);
        return if whole.len() <= SUMMARY_LIMIT {
            whole
        } else {
            // A character has 4 bytes at most.
            text::code(shown, SUMMARY_LIMIT / 4 - 2)
        };
    };
    let whole = text::escaped(summary);
    if whole.len() <= SUMMARY_LIMIT {
        return whole.into_owned();
    }
    format!("{}…", &whole[..whole.floor_char_boundary(SUMMARY_LIMIT)])
}

/// Returns the answer of an activity or of a workflow, if that is JSON or empty.
fn json(answer: RawValue) -> Ended {
    require_decrypted(&answer.payloads);
    let bytes = answer
        .payloads
        .iter()
        .map(|payload| payload.data.len())
        .sum();
    let Some(payload) = answer.payloads.into_iter().next() else {
        return Ended::nothing();
    };
    let encoding = payload.metadata.get("encoding").map(Vec::as_slice);
    let result = match encoding {
        Some(b"binary/null") => Ok(Answer::Value(Value::Null)),
        Some(b"json/plain" | b"json/protobuf") => String::from_utf8(payload.data)
            .map(Answer::Json)
            .map_err(|error| failure::runtime(&format!("the answer is not JSON: {error}"))),
        other => Err(failure::runtime(&format!(
            "the answer is not JSON, but {}",
            String::from_utf8_lossy(other.unwrap_or(b"without an encoding"))
        ))),
    };
    Ended { result, bytes }
}
