//! Effects of a run, as Temporal does them.

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
use crate::contracts::{EMIT, HTTP, OPENAPI, SHELL};

/// The limit of an attempt at an activity for which the task states none.
const ATTEMPT_WITHIN: Duration = Duration::from_mins(5);
/// How soon a lost worker is noticed: Almanac's own activities always heartbeat.
const OWN_HEARTBEAT: Duration = Duration::from_secs(30);
/// How often one of Almanac's own activities is tried when its worker is lost,
/// or, outside of any `retry`, what it called may answer later; if what it does may
/// be done twice.
const OWN_ATTEMPTS: u32 = 3;
/// The longest wait before an event is tried to be published again.
const EMIT_INTERVAL: Duration = Duration::from_secs(30);
/// The shortest timer.
const SHORTEST_TIMER: Duration = Duration::from_millis(1);
/// The longest summary, in bytes. The server takes 400.
const SUMMARY_LIMIT: usize = 200;

type Context = WorkflowContext<RunDefinition>;
type Results = Vec<(EffectId, Result<Answer, Fault>)>;
type Ending<'c> = Pin<Box<dyn Future<Output = Ended> + 'c>>;

/// How an effect ended, and what that takes in the history.
struct Ended {
    result: Result<Answer, Fault>,
    bytes: usize,
}

impl Ended {
    /// Nothing came.
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
    /// What the ids of child workflows begin with.
    run: String,
    under_way: CompletionOrder<'c, Ended>,
    tokens: BTreeMap<EffectId, WorkflowCancellationToken>,
    /// What calls and answers took so far.
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

    /// Starts an effect of the task at a place.
    /// The machine has seen to it that Temporal takes what it sends.
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
            // The activity knows the method, and makes a second attempt only of
            // what is repeatable.
            Effect::OpenApi(request) => self.own(OPENAPI, &request, how, OWN_ATTEMPTS),
            Effect::Shell(request) => self.own(SHELL, &request, how, 1),
            Effect::Emit { event } => self.emit(event, how),
            // Signals reach the machine whether anybody listens or not.
            Effect::Listen { .. } => Box::pin(std::future::pending()),
        };
        self.under_way.insert(id, ending);
        self.tokens.insert(id, token);
    }

    /// What calls and answers took in the history so far, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts what signals took.
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

    /// The results that come next, in the order of the history, perhaps none when
    /// an event came; nothing when the run is cancelled.
    pub(super) async fn results(&mut self) -> Option<Results> {
        let token = self.ctx.cancellation_token();
        let mut cancelled = pin!(token.cancelled());
        let ctx = self.ctx;
        let mut heard = pin!(ctx.wait_condition(|s| s.inbox.has_news()));
        poll_fn(|cx| {
            if cancelled.as_mut().poll(cx).is_ready() {
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

    /// The results that are there, perhaps none, in the order of the history:
    /// so it is the same in each replay.
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

    /// An activity of any worker. An error is the task's at once: `retry` of the
    /// specification says what is tried again.
    fn activity(&self, request: ActivityRequest, how: EffectOptions<'_>) -> Ending<'c> {
        let arguments = request.arguments.iter();
        let arguments = arguments.flat_map(|value| self.payloads(value)).collect();
        let queue = Some(request.task_queue);
        let options = how.activity(queue, how.options.heartbeat, 1);
        self.execute(&request.name, RawValue::new(arguments), options)
    }

    /// One of Almanac's own activities. What is not repeatable has one attempt:
    /// when its worker is lost, nobody knows whether it was done.
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

    /// An event to publish, tried until it is: the same event is stored once.
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
            // It goes on, whatever becomes of this run.
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

/// How an effect is done.
struct EffectOptions<'o> {
    token: WorkflowCancellationToken,
    summary: String,
    options: &'o Temporal,
    /// The definition says itself what is tried again.
    retried: bool,
}

impl EffectOptions<'_> {
    fn activity(
        &self,
        queue: Option<String>,
        heartbeat: Option<Duration>,
        attempts: u32,
    ) -> ActivityOptions {
        // What was lost with its worker is done again either way: it has no type.
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

/// What the Temporal UI shows beside an effect, if the task says nothing else:
/// which event it publishes, or its place.
fn summary(task: &str, effect: &Effect, options: &Temporal) -> String {
    let place = task.trim_start_matches('/');
    let place = if place.is_empty() { "the run" } else { place };
    let emitted = match effect {
        Effect::Emit { event } => event.get("type").and_then(Value::as_str),
        _ => None,
    };
    let emitted = emitted.map(|kind| format!("emit {kind}"));
    // The UI reads it as Markdown, which the author of a summary may use.
    let Some(said) = &options.summary else {
        let shown = emitted.as_deref().unwrap_or(place);
        let whole = text::markdown(shown, SUMMARY_LIMIT);
        return if whole.len() <= SUMMARY_LIMIT {
            whole
        } else {
            // A character has 4 bytes at most.
            text::code(shown, SUMMARY_LIMIT / 4 - 2)
        };
    };
    let whole = text::escaped(said);
    if whole.len() <= SUMMARY_LIMIT {
        return whole.into_owned();
    }
    format!("{}…", &whole[..whole.floor_char_boundary(SUMMARY_LIMIT)])
}

/// What an activity or a workflow answered, if that is JSON or nothing.
fn json(answer: RawValue) -> Ended {
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
            String::from_utf8_lossy(other.unwrap_or(b"of no encoding"))
        ))),
    };
    Ended { result, bytes }
}
