//! Runs that operators ask for: looked at, sent once, and seen.
//!
//! Expected flow: *look* tells what the schedule shows and whether the run can
//! be asked for; *send* patches the schedule and watches it until it shows what
//! became of that; where the end of *send* is not known, *watch* does its
//! second half again.
//!
//! Guarantees: only *send* sends, and it sends what was asked for once. Nothing
//! goes to a schedule that is not ours. The patch drops a run that is due and
//! not started, as every write on CHASM does: *send* waits for one that starts
//! soon. Afterwards it looks for the runs that were due, and starts those that
//! were dropped.
//!
//! Assumes that no two runs of one schedule are asked for at a time, which the
//! reconcile workflow sees to. A run that someone starts by other means in the
//! same second may be taken for ours.

mod activity;
mod outcome;
mod range;

use std::time::Duration;

use almanac_base::names::Project;
use almanac_core::definition::OverlapPolicy;
use almanac_core::record::{
    ManualRunInput, RunAnswer, RunBaseline, RunKind, RunState, RunStep, StartedRun,
};
use almanac_times::{BackfillWindow, Spec};
use jiff::Timestamp;
use temporalio_common::protos::temporal::api::schedule::v1::{
    ScheduleInfo, SchedulePatch, TriggerImmediatelyRequest,
};
use tokio::time::{Instant, sleep};

pub use activity::ManualRunActivities;
pub use range::{Range, Times};

use crate::metrics;
use crate::schedules::due_runs::{Backend, DueRun, WriteGuard, WriteMoment, at_risk};
use crate::schedules::operation_permit::OperationPermit;
use crate::schedules::recovery::{Recovered, Recovery, Written};
use crate::schedules::wire::{self, Described, encode_overlap, encode_time};
use crate::schedules::{RequestError, Schedules, ServerClock, backfill_request};
use outcome::{RunOutcome, counters, outcome_of};

/// How long what was sent may take to show.
const SHOWS_WITHIN: Duration = Duration::from_secs(20);
/// How long a backfill is watched.
const BACKFILL_POLL_TIMEOUT: Duration = Duration::from_secs(25);
/// A backfill that shows nothing new for this long goes on by itself: the
/// server starts ten runs a second, or waits for one to end.
const BACKFILL_IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// A run that waits for this long waits for another to end.
const WAITING_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a run waits for a second without another run of its schedule.
const FREE_WITHIN: Duration = Duration::from_secs(5);
/// How long a run waits for a moment at which none of its schedule is due.
const QUIET_WITHIN: Duration = Duration::from_secs(5);
/// Time between two looks; it doubles to [`LONGEST_POLL_INTERVAL`].
const FIRST_POLL_INTERVAL: Duration = Duration::from_millis(20);
const LONGEST_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// A trigger that waited for a free second looks for a quiet moment again, this
/// often at most.
const SETTLED_AGAIN: u32 = 2;
/// A wait too short to bring a run near.
const A_MOMENT: Duration = Duration::from_millis(20);

/// Does runs for one project.
#[derive(Debug)]
pub struct ManualRunner {
    schedules: Schedules,
    project: Project,
}

/// A schedule of ours, described.
struct OwnedSchedule {
    described: Described,
    info: ScheduleInfo,
}

impl OwnedSchedule {
    fn spec(&self) -> &Spec {
        &self.described.live.values.spec
    }

    fn overlap(&self) -> OverlapPolicy {
        self.described.live.values.overlap_policy
    }

    /// The moment for a patch.
    fn moment(&self, clock: ServerClock) -> WriteMoment {
        let is_kept = self.described.backend() == Backend::Workflow;
        if is_kept || self.described.live.values.paused {
            return WriteMoment::Quiet;
        }
        WriteGuard::Due.moment(self.spec(), &self.described.coming, clock.now())
    }
}

impl ManualRunner {
    /// Over the project's schedules.
    pub fn new(schedules: Schedules, project: Project) -> Self {
        Self { schedules, project }
    }

    /// One step of a run.
    pub async fn step(
        &self,
        order: &ManualRunInput,
        clock: ServerClock,
    ) -> Result<RunStep, RequestError> {
        let step = match &order.before {
            None => self.look(order).await?,
            Some(before) if order.sent => self.poll_outcome(order, before).await?,
            Some(before) => self.send(order, before, clock).await?,
        };
        if let RunStep::Ended(answer) = &step {
            self.tell(order, answer);
        }
        Ok(step)
    }

    /// The schedule, or why there is none for us.
    async fn ours(
        &self,
        order: &ManualRunInput,
    ) -> Result<Result<OwnedSchedule, RunAnswer>, RequestError> {
        let schedule = self.project.schedule_id(&order.id);
        let response = match self.schedules.describe(&schedule).await {
            Ok(response) => response,
            Err(RequestError::NotFound) => {
                return Ok(Err(refused(
                    RunState::NotFound,
                    format!("there is no schedule `{schedule}`"),
                )));
            }
            Err(error) => return Err(error),
        };
        let info = response.info.clone().unwrap_or_default();
        Ok(match wire::live(&self.project, &schedule, response) {
            Some(described) => Ok(OwnedSchedule { described, info }),
            None => Err(refused(
                RunState::Foreign,
                format!("schedule `{schedule}` is not Almanac's; it is left alone"),
            )),
        })
    }

    async fn look(&self, order: &ManualRunInput) -> Result<RunStep, RequestError> {
        let ours = match self.ours(order).await? {
            Ok(ours) => ours,
            Err(answer) => return Ok(ended(answer)),
        };
        let glance = counters(&ours.info);
        let mut before = RunBaseline {
            overlap: order.overlap.unwrap_or(ours.overlap()),
            asked: 1,
            started: glance.started,
            skipped: glance.skipped,
            dropped: glance.dropped,
            buffered: glance.buffered,
            ..RunBaseline::default()
        };
        outcome::record_baseline(&mut before, &ours.info);
        if order.kind == RunKind::Trigger {
            before.at = free_second(&ours).await;
            return Ok(RunStep::Seen(before));
        }
        let range = match Range::of(ours.spec(), order.from, order.to) {
            Ok(range) => range,
            Err(why) => return Ok(ended(refused(RunState::BadRange, why))),
        };
        let schedule = self.project.schedule_id(&order.id);
        let times = range
            .served(&self.schedules, &schedule, ours.spec())
            .await?;
        Ok(match range.within(times, order.limit) {
            Ok(times) => RunStep::Seen(RunBaseline {
                first: times.first,
                last: times.last,
                window: Some(times.window),
                asked: times.count,
                ..before
            }),
            Err(why) => ended(refused(RunState::BadRange, why)),
        })
    }

    async fn send(
        &self,
        order: &ManualRunInput,
        before: &RunBaseline,
        clock: ServerClock,
    ) -> Result<RunStep, RequestError> {
        let schedule = self.project.schedule_id(&order.id);
        let patch = patch(order, before);
        let mut settled = self.settle(order, clock).await?;
        if order.kind == RunKind::Trigger {
            // The second that was free when it was looked for may be over. A wait
            // for another one may bring the next run near.
            for _ in 0..SETTLED_AGAIN {
                let Some(ours) = &settled else { break };
                let began = Instant::now();
                free_second(ours).await;
                if began.elapsed() < A_MOMENT {
                    break;
                }
                settled = self.settle(order, clock).await?;
            }
        }
        let sent = self
            .schedules
            .patch(&schedule, patch, order.request_id.clone())
            .await;
        match sent {
            Ok(()) => {}
            // Whether it came through shows.
            Err(error) if error.is_ambiguous() => {
                tracing::debug!(%schedule, %error, "a patch had no answer");
            }
            Err(RequestError::NotFound) => {
                return Ok(ended(refused(
                    RunState::NotFound,
                    format!("schedule `{schedule}` is gone"),
                )));
            }
            Err(error) => return Ok(ended(refused(RunState::Failed, error.to_string()))),
        }
        let recovered = async {
            match &settled {
                Some(ours) => self.recover(order, before, ours, clock).await,
                None => Recovered::default(),
            }
        };
        let (step, recovered) = futures::join!(self.poll_outcome(order, before), recovered);
        let mut step = step?;
        if let RunStep::Ended(answer) = &mut step {
            for due in recovered.lost.iter().chain(&recovered.unsure) {
                answer.message = format!(
                    "{}; the schedule's own run due at {} was not seen to start",
                    answer.message, due.nominal
                );
            }
        }
        Ok(step)
    }

    /// Starts the schedule's own runs that the patch dropped.
    async fn recover(
        &self,
        order: &ManualRunInput,
        before: &RunBaseline,
        ours: &OwnedSchedule,
        clock: ServerClock,
    ) -> Recovered {
        let described = &ours.described;
        if described.backend() == Backend::Workflow || described.live.values.paused {
            return Recovered::default();
        }
        let now = self.ours(order).await.ok().and_then(Result::ok);
        let at = now.and_then(|now| now.described.live.updated_at);
        // Without the time of the patch, everything until now may be dropped.
        let at = at.unwrap_or_else(|| clock.now().latest);
        let remaining = described.live.remaining_actions;
        let mut at_risk = at_risk(ours.spec(), &described.coming, at, remaining);
        if order.kind == RunKind::Backfill {
            // The backfill itself starts these.
            at_risk.retain(|due| !(before.first..=before.last).contains(&due.nominal));
        }
        let recovery = Recovery {
            schedules: &self.schedules,
            project: &self.project,
            clock,
        };
        let schedule = &described.live.schedule;
        let written = Written {
            schedule,
            at,
            workflow_ids: vec![&described.live.values.action.workflow_id],
            passed_over: described.passed_over,
            at_risk,
        };
        let recovered = recovery
            .recover(written, &mut OperationPermit::unlimited())
            .await;
        for due in &recovered.started {
            tracing::info!(
                definition = %order.id, %schedule, due = %due.nominal,
                "started a due run that the patch dropped"
            );
        }
        for due in recovered.lost.iter().chain(&recovered.unsure) {
            tracing::warn!(
                definition = %order.id, %schedule, due = %due.nominal,
                why = "a run by hand dropped it, or its overlap policy skipped it",
                "a due run was dropped"
            );
        }
        recovered
    }

    /// Waits a while for a moment at which a patch drops no run; the schedule
    /// then. `None` where it is gone or foreign.
    async fn settle(
        &self,
        order: &ManualRunInput,
        clock: ServerClock,
    ) -> Result<Option<OwnedSchedule>, RequestError> {
        let deadline = Instant::now() + QUIET_WITHIN;
        let mut look = FIRST_POLL_INTERVAL;
        loop {
            let Ok(ours) = self.ours(order).await? else {
                return Ok(None);
            };
            match ours.moment(clock) {
                WriteMoment::Wait(wait) if Instant::now() < deadline => {
                    sleep(wait.max(look)).await;
                    look = (look * 2).min(LONGEST_POLL_INTERVAL);
                }
                // A run that is due for longer is started after the patch.
                WriteMoment::Quiet | WriteMoment::Wait(_) | WriteMoment::Due(_) => {
                    return Ok(Some(ours));
                }
            }
        }
    }

    /// Looks until the schedule shows what became of the patch.
    async fn poll_outcome(
        &self,
        order: &ManualRunInput,
        before: &RunBaseline,
    ) -> Result<RunStep, RequestError> {
        let began = Instant::now();
        let mut wait = FIRST_POLL_INTERVAL;
        let mut last: Option<(RunAnswer, Instant)> = None;
        loop {
            let ours = match self.ours(order).await {
                Ok(Ok(ours)) => ours,
                Ok(Err(_)) => {
                    let why = "it was sent, and then the schedule went away";
                    return Ok(ended(refused(RunState::Lost, why.to_owned())));
                }
                Err(error) if began.elapsed() < SHOWS_WITHIN => {
                    tracing::debug!(%error, "a run cannot be looked for yet");
                    sleep(LONGEST_POLL_INTERVAL).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (answer, still) = match outcome_of(order, before, &ours.info) {
                RunOutcome::Whole(answer) => return Ok(ended(answer)),
                RunOutcome::Waits(answer) => (answer, WAITING_TIMEOUT),
                RunOutcome::Part(answer) => (answer, BACKFILL_IDLE_TIMEOUT),
                RunOutcome::Nothing if began.elapsed() > SHOWS_WITHIN => {
                    if let Some((answer, _)) = last {
                        return Ok(ended(answer));
                    }
                    let why = format!(
                        "it was sent, and nothing of it was seen within {} s: a run of the \
                         same time may go on",
                        SHOWS_WITHIN.as_secs()
                    );
                    return Ok(ended(refused(RunState::Lost, why)));
                }
                RunOutcome::Nothing => {
                    sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_POLL_INTERVAL);
                    continue;
                }
            };
            let since = match &last {
                Some((known, since)) if counts(known) == counts(&answer) => *since,
                _ => Instant::now(),
            };
            if since.elapsed() > still || began.elapsed() > BACKFILL_POLL_TIMEOUT {
                return Ok(ended(answer));
            }
            last = Some((answer, since));
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_POLL_INTERVAL);
        }
    }

    fn tell(&self, order: &ManualRunInput, answer: &RunAnswer) {
        let kind = order.kind.name();
        metrics::manual_run(order.kind, answer.state);
        let schedule = self.project.schedule_id(&order.id);
        let workflow = answer.workflow_id.as_deref().unwrap_or_default();
        macro_rules! say {
            ($level:ident) => {
                tracing::$level!(
                    definition = %order.id, %schedule, op = kind, outcome = %answer.state,
                    by = order.by, reason = order.reason, workflow, started = answer.started,
                    skipped = answer.skipped, buffered = answer.buffered, why = answer.message,
                    "run asked for by hand"
                )
            };
        }
        if answer.state.is_good() {
            say!(info);
        } else {
            say!(warn);
        }
    }
}

fn ended(answer: RunAnswer) -> RunStep {
    RunStep::Ended(Box::new(answer))
}

/// All of an answer that shows whether something changed for its runs.
fn counts(answer: &RunAnswer) -> [u64; 4] {
    [
        answer.started,
        answer.skipped,
        answer.buffered,
        answer.dropped,
    ]
}

fn refused(state: RunState, message: String) -> RunAnswer {
    RunAnswer {
        state,
        message,
        ..RunAnswer::default()
    }
}

fn patch(order: &ManualRunInput, before: &RunBaseline) -> SchedulePatch {
    match order.kind {
        RunKind::Trigger => SchedulePatch {
            trigger_immediately: Some(TriggerImmediatelyRequest {
                overlap_policy: order
                    .overlap
                    .map_or(0, |policy| encode_overlap(policy).into()),
                scheduled_time: Some(encode_time(before.at)),
            }),
            ..SchedulePatch::default()
        },
        RunKind::Backfill => SchedulePatch {
            backfill_request: vec![backfill_request(
                before.window.unwrap_or(BackfillWindow {
                    start: before.first,
                    end: before.last,
                }),
                order.overlap,
            )],
            ..SchedulePatch::default()
        },
    }
}

/// Waits for a second in which no other run of the schedule is named: the
/// server names runs by the second, and drops one whose name is taken.
async fn free_second(ours: &OwnedSchedule) -> Timestamp {
    let coming = ours.described.coming.iter().take(2);
    let nominal: Vec<_> = coming
        .map(|starts| DueRun::of(ours.spec(), *starts).nominal)
        .collect();
    let deadline = Instant::now() + FREE_WITHIN;
    loop {
        let now = Timestamp::now();
        let second = outcome::floor(now);
        if outcome::is_free(&ours.info, &nominal, now) || Instant::now() > deadline {
            return second;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// A run as it is told.
fn named(workflow_id: &str, run_id: &str) -> StartedRun {
    StartedRun {
        workflow_id: workflow_id.to_owned(),
        run_id: run_id.to_owned(),
    }
}
