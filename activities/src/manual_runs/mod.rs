//! Manual runs: triggers and backfills that operators ask for.
//!
//! Expected flow:
//! 1. *look* describes the schedule and decides if the run can be asked for.
//! 2. *send* patches the schedule and polls it until it shows the outcome.
//! 3. *watch* polls again, where the end of *send* is not known.
//!
//! Guarantees:
//! - Only *send* patches the schedule, and it does so once for each request.
//! - A schedule that is unmanaged when *look* describes it gets no patch.
//! - No due run is dropped silently. On CHASM a patch, like every write, drops
//!   a run that is due and has not started. *send* therefore waits for a run
//!   that starts soon. After the patch it looks for the runs that were due and
//!   starts those that were dropped.
//!
//! The reconcile workflow ensures that only one run of a schedule is asked for
//! at a time. A run that someone starts by other means in the same second may
//! be taken for the requested run.

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
pub use range::{Range, RangeError, Times};

use crate::metrics;
use crate::schedules::due_runs::{Backend, DueRun, WriteGuard, WriteMoment, at_risk};
use crate::schedules::operation_permit::OperationPermit;
use crate::schedules::recovery::{Recovered, Recovery, Written};
use crate::schedules::wire::{self, Described, encode_overlap, encode_time};
use crate::schedules::{RequestError, Schedules, ServerClock, backfill_request};
use outcome::{RunOutcome, counters, outcome_of};

/// Maximum time until the schedule shows the outcome of a patch.
const SHOWS_WITHIN: Duration = Duration::from_secs(20);
/// Maximum time for which a backfill is polled.
const BACKFILL_POLL_TIMEOUT: Duration = Duration::from_secs(25);
/// Time without a change after which a backfill is left to the server: the
/// server starts ten runs a second, or waits for a run to end.
const BACKFILL_IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// Time after which a waiting run is taken to wait for another run to end.
const WAITING_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum wait for a second in which no other run of the schedule is named.
const FREE_WITHIN: Duration = Duration::from_secs(5);
/// Maximum wait for a moment at which no run of the schedule is due.
const QUIET_WITHIN: Duration = Duration::from_secs(5);
/// Interval between the first two polls; it doubles up to
/// [`LONGEST_POLL_INTERVAL`].
const FIRST_POLL_INTERVAL: Duration = Duration::from_millis(20);
const LONGEST_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Maximum number of times that a trigger waits for a quiet moment again, after
/// it waited for a free second.
const MOMENT_RETRIES: u32 = 2;
/// A wait that is too short for the next run to come near.
const NEGLIGIBLE_WAIT: Duration = Duration::from_millis(20);

/// Does manual runs for one project.
#[derive(Debug)]
pub struct ManualRunner {
    schedules: Schedules,
    project: Project,
}

/// A schedule of the project, described.
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

    /// The moment for a patch: now, after a wait, or while a run is due.
    fn moment(&self, clock: ServerClock) -> WriteMoment {
        let is_kept = self.described.backend() == Backend::Workflow;
        if is_kept || self.described.live.values.paused {
            return WriteMoment::Quiet;
        }
        WriteGuard::Due.moment(self.spec(), &self.described.coming, clock.now())
    }
}

impl ManualRunner {
    /// Creates a runner over the project's schedules.
    pub fn new(schedules: Schedules, project: Project) -> Self {
        Self { schedules, project }
    }

    /// Does one step of a run.
    pub async fn step(
        &self,
        input: &ManualRunInput,
        clock: ServerClock,
    ) -> Result<RunStep, RequestError> {
        let step = match &input.before {
            None => self.record_state(input).await?,
            Some(before) if input.sent => self.poll_outcome(input, before).await?,
            Some(before) => self.send(input, before, clock).await?,
        };
        if let RunStep::Ended(answer) = &step {
            self.log_and_count(input, answer);
        }
        Ok(step)
    }

    /// The managed schedule as it is now, or the answer with the reason why
    /// there is none.
    async fn managed_schedule(
        &self,
        input: &ManualRunInput,
    ) -> Result<Result<OwnedSchedule, RunAnswer>, RequestError> {
        let schedule = self.project.schedule_id(&input.id);
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
                format!("schedule `{schedule}` is not managed by this project; nothing was sent"),
            )),
        })
    }

    /// Describes the schedule before the request is sent. The step holds the
    /// counts with which the outcome is compared.
    async fn record_state(&self, input: &ManualRunInput) -> Result<RunStep, RequestError> {
        let managed = match self.managed_schedule(input).await? {
            Ok(managed) => managed,
            Err(answer) => return Ok(ended(answer)),
        };
        let shown = counters(&managed.info);
        let mut before = RunBaseline {
            overlap: input.overlap.unwrap_or(managed.overlap()),
            asked: 1,
            started: shown.started,
            skipped: shown.skipped,
            dropped: shown.dropped,
            buffered: shown.buffered,
            ..RunBaseline::default()
        };
        outcome::record_baseline(&mut before, &managed.info);
        if input.kind == RunKind::Trigger {
            before.at = free_second(&managed).await;
            return Ok(RunStep::Seen(before));
        }
        let range = match Range::of(managed.spec(), input.from, input.to) {
            Ok(range) => range,
            Err(why) => return Ok(ended(refused(RunState::BadRange, why.to_string()))),
        };
        let schedule = self.project.schedule_id(&input.id);
        let times = range
            .served(&self.schedules, &schedule, managed.spec())
            .await?;
        Ok(match range.within(times, input.limit) {
            Ok(times) => RunStep::Seen(RunBaseline {
                first: times.first,
                last: times.last,
                window: Some(times.window),
                asked: times.count,
                ..before
            }),
            Err(why) => ended(refused(RunState::BadRange, why.to_string())),
        })
    }

    async fn send(
        &self,
        input: &ManualRunInput,
        before: &RunBaseline,
        clock: ServerClock,
    ) -> Result<RunStep, RequestError> {
        let schedule = self.project.schedule_id(&input.id);
        let patch = patch(input, before);
        let mut current = self.wait_for_write_moment(input, clock).await?;
        if input.kind == RunKind::Trigger {
            // The second that was free when it was chosen may be over. The wait
            // for another second may bring the next run near.
            for _ in 0..MOMENT_RETRIES {
                let Some(managed) = &current else { break };
                let began = Instant::now();
                free_second(managed).await;
                if began.elapsed() < NEGLIGIBLE_WAIT {
                    break;
                }
                current = self.wait_for_write_moment(input, clock).await?;
            }
        }
        let sent = self
            .schedules
            .patch(&schedule, patch, input.request_id.clone())
            .await;
        match sent {
            Ok(()) => {}
            // The schedule itself shows if the patch arrived.
            Err(error) if error.is_ambiguous() => {
                tracing::debug!(%schedule, %error, "the server did not answer a patch");
            }
            Err(RequestError::NotFound) => {
                return Ok(ended(refused(
                    RunState::NotFound,
                    format!("schedule `{schedule}` no longer exists"),
                )));
            }
            Err(error) => return Ok(ended(refused(RunState::Failed, error.to_string()))),
        }
        let recovered = async {
            match &current {
                Some(managed) => self.recover(input, before, managed, clock).await,
                None => Recovered::default(),
            }
        };
        let (step, recovered) = futures::join!(self.poll_outcome(input, before), recovered);
        let mut step = step?;
        if let RunStep::Ended(answer) = &mut step {
            for due in recovered.lost.iter().chain(&recovered.unsure) {
                answer.message = format!(
                    "{}; the schedule's own run, due at {}, was not seen to start",
                    answer.message, due.nominal
                );
            }
        }
        Ok(step)
    }

    /// Starts the schedule's own runs that the patch dropped.
    async fn recover(
        &self,
        input: &ManualRunInput,
        before: &RunBaseline,
        managed: &OwnedSchedule,
        clock: ServerClock,
    ) -> Recovered {
        let described = &managed.described;
        if described.backend() == Backend::Workflow || described.live.values.paused {
            return Recovered::default();
        }
        let now = self.managed_schedule(input).await.ok().and_then(Result::ok);
        let at = now.and_then(|now| now.described.live.updated_at);
        // If the time of the patch is not known, it may have dropped all that
        // was due until now.
        let at = at.unwrap_or_else(|| clock.now().latest);
        let remaining = described.live.remaining_actions;
        let mut at_risk = at_risk(managed.spec(), &described.coming, at, remaining);
        if input.kind == RunKind::Backfill {
            // The backfill itself starts these runs.
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
                definition = %input.id, %schedule, due = %due.nominal,
                "started a due run that the patch dropped"
            );
        }
        for due in recovered.lost.iter().chain(&recovered.unsure) {
            tracing::warn!(
                definition = %input.id, %schedule, due = %due.nominal,
                why = "a manual run dropped it, or its overlap policy skipped it",
                "a due run was dropped"
            );
        }
        recovered
    }

    /// Waits for a moment at which a patch drops no run, and returns the
    /// schedule as it was then. `None` if the schedule does not exist any more
    /// or is not managed by this project.
    async fn wait_for_write_moment(
        &self,
        input: &ManualRunInput,
        clock: ServerClock,
    ) -> Result<Option<OwnedSchedule>, RequestError> {
        let deadline = Instant::now() + QUIET_WITHIN;
        let mut interval = FIRST_POLL_INTERVAL;
        loop {
            let Ok(managed) = self.managed_schedule(input).await? else {
                return Ok(None);
            };
            match managed.moment(clock) {
                WriteMoment::Wait(wait) if Instant::now() < deadline => {
                    sleep(wait.max(interval)).await;
                    interval = (interval * 2).min(LONGEST_POLL_INTERVAL);
                }
                // A run that stays due for longer is started after the patch.
                WriteMoment::Quiet | WriteMoment::Wait(_) | WriteMoment::Due(_) => {
                    return Ok(Some(managed));
                }
            }
        }
    }

    /// Polls until the schedule shows the outcome of the patch.
    async fn poll_outcome(
        &self,
        input: &ManualRunInput,
        before: &RunBaseline,
    ) -> Result<RunStep, RequestError> {
        let began = Instant::now();
        let mut wait = FIRST_POLL_INTERVAL;
        let mut last: Option<(RunAnswer, Instant)> = None;
        loop {
            let managed = match self.managed_schedule(input).await {
                Ok(Ok(managed)) => managed,
                Ok(Err(_)) => {
                    let why = "the request was sent, and then the schedule was deleted";
                    return Ok(ended(refused(RunState::Lost, why.to_owned())));
                }
                Err(error) if began.elapsed() < SHOWS_WITHIN => {
                    tracing::debug!(%error, "cannot check for the manual run yet");
                    sleep(LONGEST_POLL_INTERVAL).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let (answer, still) = match outcome_of(input, before, &managed.info) {
                RunOutcome::Whole(answer) => return Ok(ended(answer)),
                RunOutcome::Waits(answer) => (answer, WAITING_TIMEOUT),
                RunOutcome::Part(answer) => (answer, BACKFILL_IDLE_TIMEOUT),
                RunOutcome::Nothing if began.elapsed() > SHOWS_WITHIN => {
                    if let Some((answer, _)) = last {
                        return Ok(ended(answer));
                    }
                    let why = format!(
                        "the request was sent, and no run was seen within {} s: a run of the same \
                         time may be in progress",
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

    /// Logs and counts the answer of a run.
    fn log_and_count(&self, input: &ManualRunInput, answer: &RunAnswer) {
        let kind = input.kind.name();
        metrics::manual_run(input.kind, answer.state);
        let schedule = self.project.schedule_id(&input.id);
        let workflow = answer.workflow_id.as_deref().unwrap_or_default();
        macro_rules! log {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    definition = %input.id, %schedule, op = kind, outcome = %answer.state,
                    by = input.by, reason = input.reason, workflow, started = answer.started,
                    skipped = answer.skipped, buffered = answer.buffered, why = answer.message,
                    $message
                )
            };
        }
        if answer.state.is_good() {
            log!(info, "manual run requested");
        } else {
            log!(warn, "manual run lost or failed");
        }
    }
}

fn ended(answer: RunAnswer) -> RunStep {
    RunStep::Ended(Box::new(answer))
}

/// The counts of an answer. They differ if the outcome has changed.
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

fn patch(input: &ManualRunInput, before: &RunBaseline) -> SchedulePatch {
    match input.kind {
        RunKind::Trigger => SchedulePatch {
            trigger_immediately: Some(TriggerImmediatelyRequest {
                overlap_policy: input
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
                input.overlap,
            )],
            ..SchedulePatch::default()
        },
    }
}

/// Waits for a second in which no other run of the schedule is named. The
/// server names runs by the second, and drops a run whose name is taken.
async fn free_second(managed: &OwnedSchedule) -> Timestamp {
    let coming = managed.described.coming.iter().take(2);
    let nominal: Vec<_> = coming
        .map(|starts| DueRun::of(managed.spec(), *starts).nominal)
        .collect();
    let deadline = Instant::now() + FREE_WITHIN;
    loop {
        let now = Timestamp::now();
        let second = outcome::floor(now);
        if outcome::is_free(&managed.info, &nominal, now) || Instant::now() > deadline {
            return second;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// A run as answers name it.
fn named(workflow_id: &str, run_id: &str) -> StartedRun {
    StartedRun {
        workflow_id: workflow_id.to_owned(),
        run_id: run_id.to_owned(),
    }
}
