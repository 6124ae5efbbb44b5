//! The part of `ReconcileSchedules` that knows Temporal.
//!
//! Handlers are short and synchronous: they tell the machine, and the loop acts.
//! Further updates join [`ReconcileSchedules`] as handlers of their own.

#![expect(
    missing_docs,
    reason = "the macro makes items that cannot be documented"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "the macro wants handlers to own their input"
)]

use std::any::Any;
use std::future::{Future as _, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use temporalio_common::RetryPolicy;
use temporalio_common::data_converters::RawValue;
use temporalio_common::error::{ActivityExecutionError, ApplicationFailure, TimeoutType};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::workflows::{join_all, select};
use temporalio_workflow::{
    ActivityOptions, CancellableFuture, ContinueAsNewOptions, SyncWorkflowContext, TimerOptions,
    WorkflowContext, WorkflowContextView, WorkflowResult, WorkflowTermination,
};

use super::machine::{Attempt, Machine, Next};
use super::{details, lenient, runs};
use crate::contracts::Reconcile;
use crate::names::{Project, WorkerId};
use crate::record::{
    AdoptAnswer, OverrideAnswer, PassInput, PassOutcome, RunAnswer, RunKind, Selection, State,
    Status, SuspendAnswer, SyncAnswer, Touch,
};

/// A worker that does not start an activity within this is dropped.
const START_WITHIN: Duration = Duration::from_secs(10);
/// A pass whose worker is silent for this long failed.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The longest pass.
const LONGEST_PASS: Duration = Duration::from_hours(1);
/// A run that is older than this continues as new.
const LONGEST_RUN: SignedDuration = SignedDuration::from_hours(1);
/// A run with more events than this continues as new.
const EVENTS_SUGGESTED: u32 = 4_000;
/// A run with more events than this takes no updates until it did.
const EVENTS_LIMIT: u32 = 10_000;

pub(super) type Refusal = Box<dyn std::error::Error + Send + Sync>;

/// The workflow that reconciles a project's schedules, one per project.
#[workflow]
#[derive(Debug)]
pub struct ReconcileSchedules {
    pub(super) machine: Machine,
    /// The project, when the workflow's id names one.
    pub(super) project: Option<Project>,
    /// Events of this run.
    events: u32,
    /// When this run is to continue as new.
    ends: Timestamp,
}

#[workflow_methods]
impl ReconcileSchedules {
    #[init]
    fn new(ctx: &WorkflowContextView, input: RawValue) -> Self {
        let now = time(ctx.start_time()).unwrap_or_default();
        let given = || Machine::new(lenient::state(&input), now);
        Self {
            machine: catch_unwind(AssertUnwindSafe(given)).unwrap_or_else(|panic| {
                let mut machine = Machine::new(State::default(), now);
                machine.broke(panicked(&*panic));
                machine
            }),
            project: project(ctx.workflow_id()),
            events: 0,
            ends: now.saturating_add(LONGEST_RUN).unwrap_or(Timestamp::MAX),
        }
    }

    /// Runs for ever; the only result is a failure when the workflow's id is wrong.
    #[run]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<()> {
        let ctx: &WorkflowContext<Self> = ctx;
        let Some(project) = ctx.state(|s| s.project.clone()) else {
            return Err(ApplicationFailure::non_retryable(format!(
                "workflow id `{}` must be `almanac/PROJECT/reconcile`",
                ctx.workflow_id()
            ))
            .into());
        };
        let mut passes = pin!(passes(ctx, &project));
        let mut lanes = pin!(runs::lanes(ctx, &project));
        // In a fixed order, so that a replay is the same.
        poll_fn(|polls| {
            if let Poll::Ready(ended) = passes.as_mut().poll(polls) {
                return Poll::Ready(ended);
            }
            // The lanes end when the workflow is cancelled.
            let ended = lanes.as_mut().poll(polls);
            ended.map(|()| Err(WorkflowTermination::cancelled()))
        })
        .await
    }

    /// A worker's files changed, or it starts or stops: an [`Announcement`](crate::record::Announcement).
    #[signal]
    pub fn definitions_changed(&mut self, ctx: &mut SyncWorkflowContext<Self>, input: RawValue) {
        self.heard(ctx);
        self.guarded(|machine| match lenient::announcement(&input) {
            Some(said) => machine.announce(&said),
            None => machine.ignore(),
        });
    }

    /// Anyone asks for a pass; the input does not matter.
    #[signal]
    pub fn reconcile(&mut self, ctx: &mut SyncWorkflowContext<Self>, _input: RawValue) {
        self.heard(ctx);
        self.guarded(Machine::reconcile);
    }

    /// All there is to know; the input does not matter.
    #[query]
    pub fn status(&self, _ctx: &WorkflowContextView, _input: RawValue) -> Result<Status, Refusal> {
        catch_unwind(AssertUnwindSafe(|| self.machine.status()))
            .map_err(|panic| panicked(&*panic).into())
    }

    /// What touched one schedule, newest first.
    #[query]
    pub fn history(
        &self,
        _ctx: &WorkflowContextView,
        input: RawValue,
    ) -> Result<Vec<Touch>, Refusal> {
        let request = lenient::history_request(&input)?;
        catch_unwind(AssertUnwindSafe(|| {
            self.machine.history(self.project.as_ref(), &request)
        }))
        .map_err(|panic| panicked(&*panic).into())
    }

    #[update_validator(sync)]
    fn validate_sync(&self, _ctx: &WorkflowContextView, input: &RawValue) -> Result<(), Refusal> {
        self.has_room()?;
        let request = lenient::sync_request(input)?;
        Ok(self.machine.admits(&request)?)
    }

    /// Asks for a pass of its own kind and answers its number at once.
    #[update]
    pub fn sync(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<SyncAnswer, Refusal> {
        self.heard(ctx);
        let request = lenient::sync_request(&input)?;
        self.guarded(|machine| machine.sync(&request))
            .ok_or_else(|| "the request could not be taken; see last_error".into())
    }

    #[update_validator(set_override)]
    fn validate_override(
        &self,
        _ctx: &WorkflowContextView,
        input: &RawValue,
    ) -> Result<(), Refusal> {
        self.has_room()?;
        let request = lenient::override_request(input)?;
        Ok(self.machine.admits_override(&request)?)
    }

    /// An operator overrides, unpauses or clears; answers at once which pass will do it.
    #[update(name = "override")]
    pub fn set_override(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<OverrideAnswer, Refusal> {
        self.heard(ctx);
        let request = lenient::override_request(&input)?;
        self.guarded(|machine| machine.set_override(&request))
            .ok_or("the request could not be taken; see last_error")?
            .map_err(Into::into)
    }

    #[update_validator(adopt)]
    fn validate_adopt(&self, _ctx: &WorkflowContextView, input: &RawValue) -> Result<(), Refusal> {
        self.has_room()?;
        let request = lenient::adopt_request(input)?;
        Ok(self.machine.admits_adoption(&request)?)
    }

    /// An operator lets ours take over from a foreign schedule; answers at once which pass will do it.
    #[update]
    pub fn adopt(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<AdoptAnswer, Refusal> {
        self.heard(ctx);
        let request = lenient::adopt_request(&input)?;
        self.guarded(|machine| machine.adopt(&request))
            .ok_or("the request could not be taken; see last_error")?
            .map_err(Into::into)
    }

    #[update_validator(suspend)]
    fn validate_suspend(
        &self,
        _ctx: &WorkflowContextView,
        input: &RawValue,
    ) -> Result<(), Refusal> {
        self.has_room()?;
        let request = lenient::suspend_request(input)?;
        Ok(Machine::admits_suspension(&request)?)
    }

    /// An operator stops the reconciler: no pass begins until it is resumed.
    #[update]
    pub fn suspend(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<SuspendAnswer, Refusal> {
        self.heard(ctx);
        let request = lenient::suspend_request(&input)?;
        self.guarded(|machine| machine.suspend(&request))
            .ok_or_else(|| "the request could not be taken; see last_error".into())
    }

    #[update_validator(resume)]
    fn validate_resume(&self, _ctx: &WorkflowContextView, input: &RawValue) -> Result<(), Refusal> {
        self.has_room()?;
        let request = lenient::suspend_request(input)?;
        Ok(self.machine.admits_resumption(&request)?)
    }

    /// An operator lets the reconciler go on; answers which pass catches up.
    #[update]
    pub fn resume(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<SuspendAnswer, Refusal> {
        self.heard(ctx);
        let request = lenient::suspend_request(&input)?;
        self.guarded(|machine| machine.resume(&request))
            .ok_or_else(|| "the request could not be taken; see last_error".into())
    }

    #[update_validator(trigger)]
    fn validate_trigger(
        &self,
        _ctx: &WorkflowContextView,
        input: &RawValue,
    ) -> Result<(), Refusal> {
        self.admits_run(RunKind::Trigger, input)
    }

    /// An operator starts a run; answers its number, and what is known of it.
    /// The query `run` tells the rest: an update that waited would be one of the
    /// ten that the server takes at a time.
    #[update]
    pub fn trigger(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<RunAnswer, Refusal> {
        self.heard(ctx);
        self.ask_run(RunKind::Trigger, &input)
    }

    #[update_validator(backfill)]
    fn validate_backfill(
        &self,
        _ctx: &WorkflowContextView,
        input: &RawValue,
    ) -> Result<(), Refusal> {
        self.admits_run(RunKind::Backfill, input)
    }

    /// An operator starts the runs of a range of time; answers as `trigger` does.
    #[update]
    pub fn backfill(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<RunAnswer, Refusal> {
        self.heard(ctx);
        self.ask_run(RunKind::Backfill, &input)
    }

    /// What came of a run that was asked for; nothing where it is not known.
    #[query(name = "run")]
    pub fn run_answer(
        &self,
        _ctx: &WorkflowContextView,
        input: RawValue,
    ) -> Result<Option<RunAnswer>, Refusal> {
        let asked = lenient::run_query(&input);
        catch_unwind(AssertUnwindSafe(|| {
            self.machine.run_answer_of(&asked.request_id)
        }))
        .map_err(|panic| panicked(&*panic).into())
    }

    #[update_validator(select)]
    fn validate_select(&self, _ctx: &WorkflowContextView, input: &RawValue) -> Result<(), Refusal> {
        self.has_room()?;
        lenient::select_request(input)?;
        Ok(())
    }

    /// Which definitions have these labels.
    #[update]
    pub async fn select(
        ctx: &mut WorkflowContext<Self>,
        input: RawValue,
    ) -> Result<Selection, Refusal> {
        runs::select(ctx, &input).await
    }
}

impl ReconcileSchedules {
    /// Whether an update `trigger` or `backfill` can be taken.
    fn admits_run(&self, kind: RunKind, input: &RawValue) -> Result<(), Refusal> {
        self.has_room()?;
        let request = lenient::run_request(kind, input)?;
        Ok(self.machine.admits_run(kind, &request)?)
    }

    fn ask_run(&mut self, kind: RunKind, input: &RawValue) -> Result<RunAnswer, Refusal> {
        let request = lenient::run_request(kind, input)?;
        let number = self
            .guarded(|machine| machine.ask_run(kind, &request))
            .ok_or("the request could not be taken; see last_error")??;
        let answer = self.machine.run_answer(number);
        Ok(answer.ok_or("the request has been forgotten")?)
    }

    /// Updates wait until a run that is too long has continued as new.
    fn has_room(&self) -> Result<(), Refusal> {
        if self.events > EVENTS_LIMIT {
            return Err("the workflow is about to continue as new; try again".into());
        }
        Ok(())
    }

    fn heard(&mut self, ctx: &SyncWorkflowContext<Self>) {
        self.events = ctx.history_length();
        if let Some(now) = time(ctx.workflow_time()) {
            self.machine.tick(now);
        }
    }

    /// Lets the machine decide. A panic in there would fail the workflow task
    /// for ever; it becomes an error that `status` shows.
    pub(super) fn guarded<R>(&mut self, decide: impl FnOnce(&mut Machine) -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(|| decide(&mut self.machine))) {
            Ok(answer) => Some(answer),
            Err(panic) => {
                self.machine.broke(panicked(&*panic));
                None
            }
        }
    }
}

pub(super) fn tick(ctx: &WorkflowContext<ReconcileSchedules>) {
    let (now, events) = (time(ctx.workflow_time()), ctx.history_length());
    ctx.state_mut(|s| {
        s.events = events;
        if let Some(now) = now {
            s.machine.tick(now);
        }
    });
}

/// Passes, for as long as the workflow runs.
async fn passes(
    ctx: &WorkflowContext<ReconcileSchedules>,
    project: &Project,
) -> WorkflowResult<()> {
    let mut shown = String::new();
    loop {
        tick(ctx);
        if ctx.cancellation_token().is_cancelled() {
            return Err(WorkflowTermination::cancelled());
        }
        if ctx.state(|s| turn_due(ctx, s)) {
            let state = ctx.state(|s| s.machine.carried());
            let input = RawValue::from_value(&state, ctx.payload_converter());
            ctx.continue_as_new(input, ContinueAsNewOptions::default())?;
        }
        show(ctx, project, &mut shown);
        let next = ctx.state_mut(|s| s.guarded(Machine::next));
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

/// Whether this run is too old or too long.
pub(super) fn is_over(ctx: &WorkflowContext<ReconcileSchedules>, s: &ReconcileSchedules) -> bool {
    let old = time(ctx.workflow_time()).is_some_and(|now| now >= s.ends);
    let long = ctx.continue_as_new_suggested() || ctx.history_length() >= EVENTS_SUGGESTED;
    old || long
}

/// Whether this run should end and a new one go on. Signals and updates that
/// were delivered are in the state by then: their handlers run before the loop,
/// and the server refuses to end a run that has undelivered ones.
fn turn_due(ctx: &WorkflowContext<ReconcileSchedules>, s: &ReconcileSchedules) -> bool {
    is_over(ctx, s) && !s.machine.runs_go_on() && ctx.all_handlers_finished()
}

/// Waits for news, for `until`, or for the end of this run.
async fn wait(
    ctx: &WorkflowContext<ReconcileSchedules>,
    until: Option<Timestamp>,
) -> WorkflowResult<()> {
    let (now, news, ends) = ctx.state(|s| (s.machine.now(), s.machine.news(), s.ends));
    let mut changed = pin!(ctx.wait_condition(|s| s.machine.news() != news || turn_due(ctx, s)));
    // A run that is over, but has handlers or runs at work, waits for these alone.
    let ends = (now < ends).then_some(ends);
    let Some(until) = until.into_iter().chain(ends).min() else {
        return Ok(changed.await?);
    };
    let duration = Duration::try_from(until.duration_since(now))
        .unwrap_or_default()
        .max(Duration::from_millis(1));
    let options = TimerOptions::builder(duration)
        .summary("until the next pass".to_owned())
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

/// Shows the state in the Temporal UI, when it is not what is shown already.
fn show(ctx: &WorkflowContext<ReconcileSchedules>, project: &Project, shown: &mut String) {
    let text = ctx.state(|s| {
        catch_unwind(AssertUnwindSafe(|| {
            details::render(project, &s.machine.status())
        }))
    });
    if let Ok(text) = text
        && text != *shown
    {
        ctx.set_current_details(text.as_str());
        *shown = text;
    }
}

async fn probe(
    ctx: &WorkflowContext<ReconcileSchedules>,
    project: &Project,
    workers: Vec<WorkerId>,
    input: &PassInput,
) {
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

/// One attempt of the activity at a worker's own queue.
async fn attempt(
    ctx: &WorkflowContext<ReconcileSchedules>,
    project: &Project,
    worker: &WorkerId,
    input: &PassInput,
) -> Attempt {
    let summary = match input.pass {
        0 => "which revision is held?".to_owned(),
        pass => format!("pass {pass}"),
    };
    let options = ActivityOptions::with_start_to_close_timeout(LONGEST_PASS)
        .task_queue(project.worker_queue(worker))
        .schedule_to_start_timeout(START_WITHIN)
        .heartbeat_timeout(HEARTBEAT)
        .retry_policy(RetryPolicy::builder().maximum_attempts(1).build())
        .do_not_eagerly_execute(true)
        .summary(summary)
        .build();
    match ctx
        .execute_activity(Reconcile, input.clone(), options)
        .await
    {
        Ok(PassOutcome::Done(done)) => Attempt::Done(done),
        Ok(PassOutcome::Refused { holds }) => Attempt::Refused(holds),
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

/// What an activity's failure says, without the frame around it.
pub(super) fn failure(error: &ActivityExecutionError) -> String {
    let mut said = Vec::new();
    let mut failure = error.failure().and_then(|failure| failure.cause.as_deref());
    while let Some(cause) = failure {
        said.push(cause.message.clone());
        failure = cause.cause.as_deref();
    }
    if said.is_empty() {
        said.push(error.to_string());
    }
    said.join(": ")
}

fn project(workflow_id: &str) -> Option<Project> {
    let project: Project = workflow_id
        .strip_prefix("almanac/")?
        .strip_suffix("/reconcile")?
        .parse()
        .ok()?;
    (project.reconcile_workflow_id() == workflow_id).then_some(project)
}

fn time(time: Option<SystemTime>) -> Option<Timestamp> {
    time.and_then(|time| Timestamp::try_from(time).ok())
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    format!("a decision failed: {text}")
}
