//! The workflow `ReconcileSchedules`: its handlers, and its use of Temporal.
//!
//! Handlers are short and synchronous: they call the coordinator, and the loop acts. Add a
//! new update as a handler of [`ReconcileSchedules`].

#![expect(
    clippy::needless_pass_by_value,
    reason = "the macro wants handlers to own their input"
)]

use std::collections::BTreeMap;
use std::future::{Future as _, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::SystemTime;

use almanac_base::names::{MEMO_KEY, Project, RECONCILE_WORKFLOW};
use almanac_core::record::{
    AdoptAnswer, HistoryEntry, OverrideAnswer, RequestProblem, RunAnswer, RunKind, SelectRequest,
    Selection, State, Status, SuspendAnswer, SyncAnswer, WorkflowMemo, cut_text,
};
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use temporalio_common::data_converters::RawValue;
use temporalio_common::error::ApplicationFailure;
use temporalio_common::{Memo, MemoValue};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    SyncWorkflowContext, WorkflowContext, WorkflowContextView, WorkflowResult, WorkflowTermination,
};

use super::coordinator::Coordinator;
use super::pass_loop::passes;
use super::{handler_input, manual_run_lanes, probe_lanes};
use crate::codec::{is_undecoded, is_undecoded_signal, readable, require_decrypted};
use crate::contracts::reconciler as contract;

/// Age from which on a workflow run continues as new.
const LONGEST_RUN: SignedDuration = SignedDuration::from_hours(1);
/// Number of history events above which a workflow run takes no updates until it has
/// continued as new.
const EVENTS_LIMIT: u32 = 10_000;

/// Id of the patch with which workers are probed before their announcements count, and with
/// which the memo names a suspension. Workflow runs that began without the patch continue
/// without it.
const WORKER_PROBES_PATCH: &str = "workers-are-asked";
/// Maximum length of a refusal, in bytes.
const REFUSAL_LIMIT: usize = 2000;

pub(super) type Refusal = Box<dyn std::error::Error + Send + Sync>;

/// The workflow that reconciles a project's schedules, one per project.
#[workflow]
#[derive(Debug)]
pub struct ReconcileSchedules {
    pub(super) coordinator: Coordinator,
    /// The project, or `None` if the workflow's id names none.
    pub(super) project: Option<Project>,
    /// Number of history events of this workflow run.
    events: u32,
    /// Number of the signals `definitions_changed` that this workflow run got.
    announcements: u64,
    /// Time at which this workflow run is to continue as new.
    pub(super) ends: Timestamp,
}

#[workflow_methods]
impl ReconcileSchedules {
    #[init]
    fn new(ctx: &WorkflowContextView, input: RawValue) -> Self {
        require_decrypted(&input.payloads);
        let now = time(ctx.start_time()).unwrap_or_default();
        let coordinator = unwound(|| Coordinator::new(handler_input::state(&input), now));
        Self {
            coordinator: coordinator.unwrap_or_else(|panic| {
                let mut coordinator = Coordinator::new(State::default(), now);
                coordinator.decision_panicked(panic.to_string());
                coordinator
            }),
            project: project(ctx.workflow_id()),
            events: 0,
            announcements: 0,
            ends: now.saturating_add(LONGEST_RUN).unwrap_or(Timestamp::MAX),
        }
    }

    /// Runs for ever. The only result is a failure if the workflow's id is wrong.
    #[run(name = RECONCILE_WORKFLOW)]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<()> {
        let ctx: &WorkflowContext<Self> = ctx;
        let asks = ctx.patched(WORKER_PROBES_PATCH);
        ctx.state_mut(|s| s.coordinator.require_probes(asks));
        let Some(project) = ctx.state(|s| s.project.clone()) else {
            return Err(ApplicationFailure::non_retryable(format!(
                "workflow id `{}` must be `almanac/PROJECT/reconcile`",
                ctx.workflow_id()
            ))
            .into());
        };
        if asks {
            let now = ctx.state(|s| s.coordinator.memo());
            if now != read_memo(&ctx.memo()) {
                let value = Some(MemoValue::new(readable(&now)));
                let _never = ctx.upsert_memo([(MEMO_KEY, value)]);
            }
        }
        let mut passes = pin!(passes(ctx, &project));
        let mut lanes = pin!(manual_run_lanes::lanes(ctx, &project));
        let mut questions = pin!(probe_lanes::lanes(ctx, &project));
        let mut asks = true;
        // The order is fixed, so that each replay is the same.
        poll_fn(|polls| {
            if let Poll::Ready(ended) = passes.as_mut().poll(polls) {
                return Poll::Ready(ended);
            }
            if asks {
                asks = questions.as_mut().poll(polls).is_pending();
            }
            // The lanes end when the workflow is canceled.
            let ended = lanes.as_mut().poll(polls);
            ended.map(|()| Err(WorkflowTermination::cancelled()))
        })
        .await
    }

    /// A worker announces that its files changed, or that it starts or stops: an
    /// [`Announcement`](almanac_core::record::Announcement).
    #[signal(name = contract::DefinitionsChanged::NAME)]
    pub fn definitions_changed(&mut self, ctx: &mut SyncWorkflowContext<Self>, input: RawValue) {
        self.before_decision(ctx);
        self.announcements += 1;
        let is_undecoded = is_undecoded_signal(ctx, self.announcements, &input.payloads);
        let announcement = (!is_undecoded).then(|| handler_input::announcement(&input));
        self.guarded(|coordinator| match announcement.flatten() {
            Some(announcement) => coordinator.receive_announcement(&announcement),
            None => coordinator.ignore(),
        });
    }

    /// Anyone asks for a pass. The input does not matter.
    #[signal(name = contract::Reconcile::NAME)]
    pub fn reconcile(&mut self, ctx: &mut SyncWorkflowContext<Self>, _input: RawValue) {
        self.before_decision(ctx);
        self.guarded(Coordinator::reconcile);
    }

    /// Returns the status of the reconcile workflow. The input does not matter.
    #[query(name = contract::Status::NAME)]
    pub fn status(&self, _ctx: &WorkflowContextView, _input: RawValue) -> Result<Status, Refusal> {
        unwound(|| self.coordinator.status())
    }

    /// Returns the history entries of one schedule, or of the whole project, newest first.
    #[query(name = contract::History::NAME)]
    pub fn history(
        &self,
        _ctx: &WorkflowContextView,
        input: RawValue,
    ) -> Result<Vec<HistoryEntry>, Refusal> {
        let request = handler_input::history_request(&input)?;
        unwound(|| self.coordinator.history(self.project.as_ref(), &request))
    }

    /// Returns the state of those of the named manual runs that the workflow still knows.
    #[query(name = contract::Runs::NAME)]
    pub fn runs(
        &self,
        _ctx: &WorkflowContextView,
        input: RawValue,
    ) -> Result<BTreeMap<String, RunAnswer>, Refusal> {
        let asked = handler_input::runs_query(&input)?;
        unwound(|| self.coordinator.run_answers_of(asked.request_ids))
    }

    #[update_validator(sync)]
    fn validate_sync(&self, _ctx: &WorkflowContextView, input: &RawValue) -> Result<(), Refusal> {
        self.admits(contract::Sync::NAME, input, Coordinator::admits)
    }

    /// Asks for a pass: a plain one, a dry run or a confirmation. Returns the number of the
    /// pass without waiting for it.
    #[update(name = contract::Sync::NAME)]
    pub fn sync(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<SyncAnswer, Refusal> {
        self.decide(contract::Sync::NAME, ctx, &input, Coordinator::sync)
    }

    #[update_validator(set_override)]
    fn validate_override(
        &self,
        _ctx: &WorkflowContextView,
        input: &RawValue,
    ) -> Result<(), Refusal> {
        self.admits(
            contract::Override::NAME,
            input,
            Coordinator::admits_override,
        )
    }

    /// An operator sets or clears an override, or unpauses a schedule. Returns the number
    /// of the pass that will do it, without waiting for the pass.
    #[update(name = contract::Override::NAME)]
    pub fn set_override(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<OverrideAnswer, Refusal> {
        self.decide(
            contract::Override::NAME,
            ctx,
            &input,
            Coordinator::set_override,
        )
    }

    #[update_validator(clear_override)]
    fn validate_clear_override(
        &self,
        _ctx: &WorkflowContextView,
        input: &RawValue,
    ) -> Result<(), Refusal> {
        self.admits(
            contract::ClearOverride::NAME,
            input,
            Coordinator::admits_clearing,
        )
    }

    /// An operator clears an override. The answer is that of `override`.
    #[update(name = contract::ClearOverride::NAME)]
    pub fn clear_override(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<OverrideAnswer, Refusal> {
        self.decide(
            contract::ClearOverride::NAME,
            ctx,
            &input,
            Coordinator::clear_override,
        )
    }

    #[update_validator(adopt)]
    fn validate_adopt(&self, _ctx: &WorkflowContextView, input: &RawValue) -> Result<(), Refusal> {
        self.admits(contract::Adopt::NAME, input, Coordinator::admits_adoption)
    }

    /// An operator lets the schedule of a definition take over from an unmanaged schedule.
    /// Returns the number of the pass that will do it, without waiting for the pass.
    #[update(name = contract::Adopt::NAME)]
    pub fn adopt(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<AdoptAnswer, Refusal> {
        self.decide(contract::Adopt::NAME, ctx, &input, Coordinator::adopt)
    }

    #[update_validator(suspend)]
    fn validate_suspend(
        &self,
        _ctx: &WorkflowContextView,
        input: &RawValue,
    ) -> Result<(), Refusal> {
        self.admits(
            contract::Suspend::NAME,
            input,
            Coordinator::admits_suspension,
        )
    }

    /// An operator suspends the reconcile workflow: no pass begins until it is resumed.
    #[update(name = contract::Suspend::NAME)]
    pub fn suspend(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<SuspendAnswer, Refusal> {
        let answer = self.decide(contract::Suspend::NAME, ctx, &input, Coordinator::suspend);
        self.upsert_suspension_memo(ctx);
        answer
    }

    #[update_validator(resume)]
    fn validate_resume(&self, _ctx: &WorkflowContextView, input: &RawValue) -> Result<(), Refusal> {
        self.admits(
            contract::Resume::NAME,
            input,
            Coordinator::admits_resumption,
        )
    }

    /// An operator resumes the reconcile workflow. Returns the number of the full pass that
    /// catches up.
    #[update(name = contract::Resume::NAME)]
    pub fn resume(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<SuspendAnswer, Refusal> {
        let answer = self.decide(contract::Resume::NAME, ctx, &input, Coordinator::resume);
        self.upsert_suspension_memo(ctx);
        answer
    }

    #[update_validator(trigger)]
    fn validate_trigger(
        &self,
        _ctx: &WorkflowContextView,
        input: &RawValue,
    ) -> Result<(), Refusal> {
        self.admits(contract::Trigger::NAME, input, |m, r| {
            m.admits_run(RunKind::Trigger, r)
        })
    }

    /// An operator starts a manual run. Returns the number and the state of the run. The
    /// query `runs` returns the result later: an update that waited for it would be one of
    /// the ten that the server takes at a time.
    #[update(name = contract::Trigger::NAME)]
    pub fn trigger(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<RunAnswer, Refusal> {
        self.decide(contract::Trigger::NAME, ctx, &input, |m, r| {
            m.ask_run(RunKind::Trigger, r)
        })
    }

    #[update_validator(backfill)]
    fn validate_backfill(
        &self,
        _ctx: &WorkflowContextView,
        input: &RawValue,
    ) -> Result<(), Refusal> {
        self.admits(contract::Backfill::NAME, input, |m, r| {
            m.admits_run(RunKind::Backfill, r)
        })
    }

    /// An operator starts the runs of a range of time. The answer is that of `trigger`.
    #[update(name = contract::Backfill::NAME)]
    pub fn backfill(
        &mut self,
        ctx: &mut SyncWorkflowContext<Self>,
        input: RawValue,
    ) -> Result<RunAnswer, Refusal> {
        self.decide(contract::Backfill::NAME, ctx, &input, |m, r| {
            m.ask_run(RunKind::Backfill, r)
        })
    }

    #[update_validator(select)]
    fn validate_select(&self, _ctx: &WorkflowContextView, input: &RawValue) -> Result<(), Refusal> {
        self.admits(contract::Select::NAME, input, |_, _: &SelectRequest| Ok(()))
    }

    /// Returns the definitions that have the given labels.
    #[update(name = contract::Select::NAME)]
    pub async fn select(
        ctx: &mut WorkflowContext<Self>,
        input: RawValue,
    ) -> Result<Selection, Refusal> {
        manual_run_lanes::select(ctx, &input).await
    }
}

impl ReconcileSchedules {
    /// Validates an update: refuses an input that cannot be read, and a request that the
    /// coordinator does not accept. No decision is made yet.
    fn admits<R: DeserializeOwned>(
        &self,
        update: &str,
        input: &RawValue,
        admits: impl FnOnce(&Coordinator, &R) -> Result<(), RequestProblem>,
    ) -> Result<(), Refusal> {
        self.has_room()?;
        if is_undecoded(&input.payloads) {
            return Err("the input is encrypted with a key that this worker does not have".into());
        }
        handler_input::check_size(update, input)?;
        // The time is checked when the request is decided.
        let request = handler_input::request(update, input, None).map_err(refusal)?;
        unwound(|| admits(&self.coordinator, &request))?.map_err(refusal)
    }

    /// Handles an update: the coordinator decides, and keeps its answer in case the same
    /// request comes again.
    fn decide<R: DeserializeOwned, A>(
        &mut self,
        update: &str,
        ctx: &SyncWorkflowContext<Self>,
        input: &RawValue,
        decide: impl FnOnce(&mut Coordinator, &R) -> Result<A, RequestProblem>,
    ) -> Result<A, Refusal> {
        require_decrypted(&input.payloads);
        self.before_decision(ctx);
        let request =
            handler_input::request(update, input, time(ctx.workflow_time())).map_err(refusal)?;
        let decided = self.guarded(|coordinator| decide(coordinator, &request));
        let decided = decided.ok_or("the request could not be accepted; see last_error")?;
        decided.map_err(refusal)
    }

    /// Writes the suspension to the memo, so that a workflow run that ends without
    /// continuing as new leaves it to the next run.
    fn upsert_suspension_memo(&self, ctx: &SyncWorkflowContext<Self>) {
        if !ctx.patched(WORKER_PROBES_PATCH) {
            return;
        }
        let now = self.coordinator.memo();
        let value = (now != read_memo(&ctx.memo())).then(|| MemoValue::new(readable(&now)));
        if let Some(value) = value {
            // A value that Almanac made is always JSON.
            let _never = ctx.upsert_memo([(MEMO_KEY, Some(value))]);
        }
    }

    /// Refuses updates while the history is too long, until the run has continued as new.
    fn has_room(&self) -> Result<(), Refusal> {
        if self.events > EVENTS_LIMIT {
            return Err("the workflow is about to continue as new; try again".into());
        }
        Ok(())
    }

    fn before_decision(&mut self, ctx: &SyncWorkflowContext<Self>) {
        self.events = ctx.history_length();
        self.coordinator
            .require_probes(ctx.patched(WORKER_PROBES_PATCH));
        if let Some(now) = time(ctx.workflow_time()) {
            self.coordinator.tick(now);
        }
    }

    /// Lets the coordinator decide. A panic of the coordinator would fail the workflow task
    /// for ever, so it becomes an error that `status` shows.
    pub(super) fn guarded<R>(&mut self, decide: impl FnOnce(&mut Coordinator) -> R) -> Option<R> {
        match unwound(|| decide(&mut self.coordinator)) {
            Ok(answer) => Some(answer),
            Err(panic) => {
                self.coordinator.decision_panicked(panic.to_string());
                None
            }
        }
    }
}

/// Makes a refusal from a problem. Its message may repeat the request and stands in the
/// history, so it is cut to `REFUSAL_LIMIT` bytes.
pub(super) fn refusal(problem: RequestProblem) -> Refusal {
    let mut why = problem.to_string();
    cut_text(&mut why, REFUSAL_LIMIT);
    why.into()
}

/// Reads the memo of a workflow run.
fn read_memo(memo: &Memo) -> WorkflowMemo {
    memo.raw_value(MEMO_KEY)
        .and_then(|payload| serde_json::from_slice(&payload.data).ok())
        .unwrap_or_default()
}

pub(super) fn tick(ctx: &WorkflowContext<ReconcileSchedules>) {
    let (now, events) = (time(ctx.workflow_time()), ctx.history_length());
    ctx.state_mut(|s| {
        s.events = events;
        if let Some(now) = now {
            s.coordinator.tick(now);
        }
    });
}

fn project(workflow_id: &str) -> Option<Project> {
    let project: Project = workflow_id
        .strip_prefix("almanac/")?
        .strip_suffix("/reconcile")?
        .parse()
        .ok()?;
    (project.reconcile_workflow_id() == workflow_id).then_some(project)
}

pub(super) fn time(time: Option<SystemTime>) -> Option<Timestamp> {
    time.and_then(|time| Timestamp::try_from(time).ok())
}

/// Returns the result of `decide`, or its panic as an error.
pub(super) fn unwound<R>(decide: impl FnOnce() -> R) -> Result<R, Refusal> {
    catch_unwind(AssertUnwindSafe(decide)).map_err(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        format!("a decision failed: {text}").into()
    })
}
