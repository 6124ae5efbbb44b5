//! The part of `ReconcileSchedules` that does manual runs, a few at a time, beside the
//! passes.
//!
//! Always holds: one attempt of one activity sends a run. Before that, the history holds
//! what the schedule showed. If the end of that attempt is not known, the server is asked
//! what the schedule shows now, and nothing is sent again.

use std::time::Duration;

use almanac_base::names::{Project, Revision};
use almanac_base::text;
use almanac_core::record::{
    ManualRunInput, RunAnswer, RunState, RunStep, SELECTION_LIMIT, SelectRequest, Selection,
    cut_text, is_name,
};
use temporalio_common::RetryPolicy;
use temporalio_common::data_converters::RawValue;
use temporalio_common::error::{TimeoutError, TimeoutType};
use temporalio_workflow::workflows::join_all;
use temporalio_workflow::{ActivityOptions, WorkflowContext};

use super::coordinator::Coordinator;
use super::handler_input;
use super::pass_loop::{failure, is_over};
use super::workflow::{ReconcileSchedules, Refusal, refusal, tick};
use crate::codec::{require_decrypted, require_readable};
use crate::contracts::{ManualRun, Select, reconciler};

/// Maximum number of manual runs that are done at a time, each of another schedule.
const LANES: usize = 8;
/// Time within which a worker must start a step. A step that starts later has failed.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Time within which a worker must start a step after something may have been sent: long
/// enough for a worker that died to be started again.
const LOOKUP_START_TIMEOUT: Duration = Duration::from_mins(2);
/// Maximum duration of a step.
const LONGEST_STEP: Duration = Duration::from_mins(2);
/// Heartbeat timeout: a step whose worker is silent for this long has failed.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Maximum length of a selector in the Temporal UI, in characters.
const SELECTOR_SHOWN: usize = 60;
/// Maximum time that a worker may take to read its labels.
const LONGEST_SELECT: Duration = Duration::from_secs(3);

/// Maximum length of an activity's summary, in bytes. The server takes 400.
const SUMMARY_LIMIT: usize = 300;

type Context = WorkflowContext<ReconcileSchedules>;

/// Reason for which a step has no result.
enum Failure {
    /// No worker started the step.
    NotStarted,
    /// A worker started the step, and the end of the step is not known.
    Unknown(String),
}

/// Does manual runs for as long as the workflow runs.
pub(super) async fn lanes(ctx: &Context, project: &Project) {
    join_all((0..LANES).map(|_| lane(ctx, project))).await;
}

async fn lane(ctx: &Context, project: &Project) {
    let is_due = |s: &ReconcileSchedules| s.coordinator.run_waits() && !is_ending(ctx, s);
    while ctx.wait_condition(is_due).await.is_ok() {
        tick(ctx);
        let asked = ctx.state(|s| s.coordinator.runs_asked());
        let taken = ctx.state_mut(|s| s.guarded(Coordinator::next_run));
        let Some(order) = taken.flatten() else {
            // A decision panicked, and would panic again without a new request.
            let news = ctx.wait_condition(|s| s.coordinator.runs_asked() != asked);
            if news.await.is_err() {
                return;
            }
            continue;
        };
        let answer = run(ctx, project, order.clone()).await;
        tick(ctx);
        ctx.state_mut(|s| s.guarded(|m| m.run_ended(&order, answer)));
    }
}

/// Returns `true` if this workflow run should continue as new, so that no further manual
/// run begins. While a pass is running, manual runs still begin: they need not wait for
/// that pass.
fn is_ending(ctx: &Context, s: &ReconcileSchedules) -> bool {
    is_over(ctx, s) && !s.coordinator.passes()
}

async fn run(ctx: &Context, project: &Project, mut order: ManualRunInput) -> RunAnswer {
    if !order.sent {
        let before = match step(ctx, project, &order).await {
            Ok(RunStep::Seen(before)) => before,
            Ok(RunStep::Ended(answer)) => return *answer,
            Err(Failure::NotStarted) => {
                return failed("no worker took the request; nothing was sent");
            }
            Err(Failure::Unknown(why)) => return failed(&format!("{why}; nothing was sent")),
        };
        let seen = before.clone();
        ctx.state_mut(|s| s.guarded(|m| m.run_seen(order.number, seen)));
        order.before = Some(before);
        match step(ctx, project, &order).await {
            Ok(RunStep::Ended(answer)) => return *answer,
            Err(Failure::NotStarted) => {
                return failed("no worker took the request; nothing was sent");
            }
            Ok(RunStep::Seen(_)) | Err(Failure::Unknown(_)) => {}
        }
        order.sent = true;
    }
    match step(ctx, project, &order).await {
        Ok(RunStep::Ended(answer)) => *answer,
        Ok(RunStep::Seen(_)) | Err(Failure::NotStarted) => {
            lost("the request may have been sent, and no worker is there to check")
        }
        Err(Failure::Unknown(why)) => lost(&format!("the request may have been sent: {why}")),
    }
}

fn failed(why: &str) -> RunAnswer {
    RunAnswer {
        state: RunState::Failed,
        message: why.to_owned(),
        ..RunAnswer::default()
    }
}

fn lost(why: &str) -> RunAnswer {
    RunAnswer {
        state: RunState::Lost,
        ..failed(why)
    }
}

/// Does one step, on any worker of the project. The step that sends has one attempt.
async fn step(
    ctx: &Context,
    project: &Project,
    order: &ManualRunInput,
) -> Result<RunStep, Failure> {
    let sends = order.before.is_some() && !order.sent;
    let start_within = if order.sent {
        LOOKUP_START_TIMEOUT
    } else {
        START_TIMEOUT
    };
    let attempts = if sends { 1 } else { 3 };
    let what = match (&order.before, order.sent) {
        (None, _) => "describe the schedule of",
        (Some(_), false) => order.kind.name(),
        (Some(_), true) => "find the run of",
    };
    let options = ActivityOptions::with_start_to_close_timeout(LONGEST_STEP)
        .task_queue(project.run_queue())
        .schedule_to_start_timeout(start_within)
        .heartbeat_timeout(HEARTBEAT)
        .retry_policy(RetryPolicy::builder().maximum_attempts(attempts).build())
        .do_not_eagerly_execute(true)
        .summary(format!("{what} {}", order.id))
        .build();
    let done = ctx.execute_activity(ManualRun, order.clone(), options);
    let done = done.await;
    require_readable(&done);
    done.map_err(|error| {
        let timeout = error.as_timeout().map(TimeoutError::timeout_type);
        if timeout == Some(TimeoutType::ScheduleToStart) {
            Failure::NotStarted
        } else {
            Failure::Unknown(failure(&error))
        }
    })
}

/// Handles the update `select`. It asks the registry of a worker that holds the current
/// revision, because only registries know labels.
pub(super) async fn select(ctx: &Context, input: &RawValue) -> Result<Selection, Refusal> {
    require_decrypted(&input.payloads);
    tick(ctx);
    let request: SelectRequest =
        handler_input::request(reconciler::Select::NAME, input, None).map_err(refusal)?;
    let place = ctx.state(|s| {
        let worker = s.coordinator.worker_with_current()?;
        Some(s.project.as_ref()?.worker_queue(&worker))
    });
    let queue = place.ok_or("no worker is known that can select by labels")?;
    let mut summary = format!(
        "select definitions: {}",
        text::markdown(&request.selector.to_string(), SELECTOR_SHOWN)
    );
    cut_text(&mut summary, SUMMARY_LIMIT);
    let options = ActivityOptions::with_start_to_close_timeout(LONGEST_SELECT)
        .task_queue(queue)
        .schedule_to_start_timeout(LONGEST_SELECT)
        .retry_policy(RetryPolicy::builder().maximum_attempts(1).build())
        .do_not_eagerly_execute(true)
        .summary(summary)
        .build();
    let done = ctx.execute_activity(Select, request.selector, options);
    let done = done.await;
    require_readable(&done);
    let mut selection = done.map_err(|error| refusal(failure(&error).into()))?;
    selection.ids.truncate(SELECTION_LIMIT);
    if !is_name(selection.revision.as_str()) {
        selection.revision = Revision::default();
    }
    Ok(selection)
}
