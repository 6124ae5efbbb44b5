//! The loop of `ReconcileSchedules`: it does one pass after the other, and ends a workflow
//! run that is too old or too long.

use std::pin::pin;
use std::time::Duration;

use almanac_base::names::{MEMO_KEY, Project, WorkerId};
use almanac_core::record::{PassInput, PassOutcome};
use jiff::Timestamp;
use temporalio_common::data_converters::RawValue;
use temporalio_common::error::{ActivityExecutionError, TimeoutType};
use temporalio_common::{MemoValues, RetryPolicy};
use temporalio_workflow::workflows::{join_all, select};
use temporalio_workflow::{
    ActivityCancellationType, ActivityOptions, CancellableFuture, ContinueAsNewOptions,
    TimerOptions, WorkflowContext, WorkflowResult, WorkflowTermination,
};

use super::coordinator::{Attempt, Coordinator, Next};
use super::details;
use super::workflow::{ReconcileSchedules, tick, time, unwound};
use crate::codec::{is_unreadable, readable, require_readable};
use crate::contracts::Reconcile;

/// Heartbeat timeout: a pass whose worker is silent for this long has failed.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// Maximum duration of a pass.
const LONGEST_PASS: Duration = Duration::from_hours(1);
/// Number of history events from which on a workflow run continues as new. A worker that
/// takes the run over reads all of them within one workflow task.
const EVENTS_SUGGESTED: u32 = 1_000;

/// Patch: a full pass makes way for an operator's request. Without it, a history of an earlier
/// release is replayed.
const MAKES_WAY_PATCH: &str = "passes-make-way";

type Context = WorkflowContext<ReconcileSchedules>;

/// Returns the memo with which the next workflow run begins. That run may be terminated
/// before its first workflow task. Its memo must name a suspension, and none that is over.
fn memo_to_keep(ctx: &Context) -> Option<MemoValues> {
    let memo = ctx.state(|s| s.coordinator.memo());
    if memo.suspended.is_none() && ctx.memo().is_empty() {
        return None;
    }
    let mut kept = MemoValues::new();
    kept.insert(MEMO_KEY, readable(&memo));
    Some(kept)
}

/// Does passes for as long as the workflow runs.
pub(super) async fn passes(ctx: &Context, project: &Project) -> WorkflowResult<()> {
    let mut shown = String::new();
    loop {
        tick(ctx);
        if ctx.cancellation_token().is_cancelled() {
            return Err(WorkflowTermination::cancelled());
        }
        if ctx.state(|s| turn_due(ctx, s)) {
            let state = ctx.state(|s| s.coordinator.carried());
            let input = RawValue::from_value(&state, ctx.payload_converter());
            let options = ContinueAsNewOptions::builder()
                .maybe_memo(memo_to_keep(ctx))
                .build();
            ctx.continue_as_new(input, options)?;
        }
        show(ctx, project, &mut shown);
        let next = ctx.state_mut(|s| s.guarded(Coordinator::next));
        match next.unwrap_or(Next::Wait(None)) {
            Next::Wait(until) => wait(ctx, until).await?,
            Next::Probe(workers, input) => probe(ctx, project, workers, &input).await,
            Next::Run(worker, input) => {
                show(ctx, project, &mut shown);
                let attempt = attempt(ctx, project, &worker, &input).await;
                tick(ctx);
                ctx.state_mut(|s| s.guarded(|m| m.ended(&input, attempt)));
            }
        }
    }
}

/// Returns `true` if this workflow run is too old or too long.
pub(super) fn is_over(ctx: &Context, s: &ReconcileSchedules) -> bool {
    let old = time(ctx.workflow_time()).is_some_and(|now| now >= s.ends);
    let long = ctx.continue_as_new_suggested() || ctx.history_length() >= EVENTS_SUGGESTED;
    old || long
}

/// Returns `true` if this workflow run should end and continue as new. Signals and updates
/// that were delivered are in the state by then: their handlers run before the loop. The
/// server refuses to end a run that has undelivered ones.
fn turn_due(ctx: &Context, s: &ReconcileSchedules) -> bool {
    is_over(ctx, s) && !s.coordinator.runs_go_on() && ctx.all_handlers_finished()
}

/// Waits for a change of the state, for `until`, or for the end of this workflow run.
async fn wait(ctx: &Context, until: Option<Timestamp>) -> WorkflowResult<()> {
    let (now, news, ends) = ctx.state(|s| (s.coordinator.now(), s.coordinator.news(), s.ends));
    let mut changed =
        pin!(ctx.wait_condition(|s| s.coordinator.news() != news || turn_due(ctx, s)));
    // A run that should end, but has handlers or manual runs at work, waits only for these.
    let ends = (now < ends).then_some(ends);
    let Some(until) = until.into_iter().chain(ends).min() else {
        return Ok(changed.await?);
    };
    let duration = Duration::try_from(until.duration_since(now))
        .unwrap_or_default()
        .max(Duration::from_millis(1));
    let options = TimerOptions::builder(duration)
        .summary("wait for the next pass".to_owned())
        .build();
    let mut timer = pin!(ctx.timer(options));
    select! {
        _ = timer => Ok(()),
        result = changed => {
            timer.cancel();
            Ok(result?)
        }
    }
}

/// Shows the state in the Temporal UI, unless the UI shows it already.
fn show(ctx: &Context, project: &Project, shown: &mut String) {
    let text = ctx.state(|s| unwound(|| details::render(project, &s.coordinator.status())));
    if let Ok(text) = text
        && text != *shown
    {
        ctx.set_current_details(text.as_str());
        *shown = text;
    }
}

async fn probe(ctx: &Context, project: &Project, workers: Vec<WorkerId>, input: &PassInput) {
    let attempts = join_all(
        workers
            .iter()
            .map(|worker| attempt(ctx, project, worker, input)),
    )
    .await;
    tick(ctx);
    for (worker, attempt) in workers.iter().zip(attempts) {
        ctx.state_mut(|s| s.guarded(|m| m.probed(worker, input, attempt)));
    }
}

/// Makes one attempt of the activity, on the task queue of the worker.
pub(super) async fn attempt(
    ctx: &Context,
    project: &Project,
    worker: &WorkerId,
    input: &PassInput,
) -> Attempt {
    let summary = match input.pass {
        0 => "get the worker's revision".to_owned(),
        pass => format!("pass {pass}"),
    };
    // A worker that does not start the activity within this time is dropped.
    let start_within = ctx.state(|s| s.coordinator.start_within(worker));
    let options = ActivityOptions::with_start_to_close_timeout(LONGEST_PASS)
        .task_queue(project.worker_queue(worker))
        .schedule_to_start_timeout(start_within)
        .heartbeat_timeout(HEARTBEAT)
        .retry_policy(RetryPolicy::builder().maximum_attempts(1).build())
        .do_not_eagerly_execute(true)
        // A pass that makes way tells what it has done.
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .summary(summary)
        .build();
    let mut done = pin!(ctx.execute_activity(Reconcile, input.clone(), options));
    let mut waits = pin!(ctx.wait_condition(|s| s.coordinator.operator_waits()));
    let done = if input.pass == 0 {
        done.await
    } else {
        select! {
            done = done => done,
            _ = waits => {
                if ctx.patched(MAKES_WAY_PATCH) {
                    ctx.state_mut(|s| s.coordinator.make_way());
                    done.cancel();
                }
                done.await
            }
        }
    };
    // Anyone can announce a worker and answer its probe, so no answer may fail the workflow task.
    // The history remembers that an answer was not read, for replays by workers that can read it.
    if input.pass == 0 && (is_unreadable(&done) || ctx.is_replaying()) {
        let id = format!("unreadable-probe-{worker}-{}", ctx.history_length());
        if ctx.patched(&id) {
            return Attempt::Failed(format!("worker {worker}: its answer cannot be decrypted"));
        }
    }
    require_readable(&done);
    match done {
        Ok(PassOutcome::Done(done)) => Attempt::Done(done),
        Ok(PassOutcome::Refused {
            holds,
            announcements,
        }) => Attempt::Refused(holds, announcements),
        Err(error) => {
            let not_started = error
                .as_timeout()
                .is_some_and(|timeout| timeout.timeout_type() == TimeoutType::ScheduleToStart);
            if not_started {
                Attempt::NotStarted
            } else {
                Attempt::Failed(format!("worker {worker}: {}", failure(&error)))
            }
        }
    }
}

/// Returns the messages of the causes of an activity's failure, without the failure itself.
pub(super) fn failure(error: &ActivityExecutionError) -> String {
    let mut messages = Vec::new();
    let mut failure = error.failure().and_then(|failure| failure.cause.as_deref());
    while let Some(cause) = failure {
        messages.push(cause.message.clone());
        failure = cause.cause.as_deref();
    }
    if messages.is_empty() {
        messages.push(error.to_string());
    }
    messages.join(": ")
}
