//! Writes that drop no run.
//!
//! Expected flow: a write waits for a moment at which no run of its schedule is
//! due. A run that is due and starts too late to wait for is started early: one
//! patch starts it and makes CHASM forget it, in one transaction, so a process
//! killed at any request leaves it started once. The write follows.
//!
//! Where the moment does not come in time, or the server is not known to
//! forget, the write goes out. What was due is then looked for: what still
//! comes or was started is well; what is certainly gone is made up for; what
//! cannot be told, or cannot be made up for, is reported. Not starting a run
//! twice counts more than starting it.

use std::time::Duration;

use almanac_workflows::plan::{Delete, Remaining, Update};
use almanac_workflows::schedule::Field;
use jiff::{SignedDuration, Timestamp};
use temporalio_common::protos::temporal::api::schedule::v1::Schedule;
use tokio::time::{Instant, timeout};

use super::{Applier, Done, Outcome, Slot, request_id};
use crate::schedules::due::{Backend, Due, Guard, Moment, at_risk};
use crate::schedules::wire::Described;
use crate::schedules::{RequestError, Schedules};

/// How long a write waits for a moment at which no run is due.
const DEFERRED: Duration = Duration::from_secs(10);
/// How long a patch that starts a run may take. The run starts later than that
/// by itself.
const PATCH_TIMEOUT: Duration = Duration::from_secs(3);
/// The shortest and the longest time between two descriptions.
const LOOK: Duration = Duration::from_millis(50);
const LONGEST_LOOK: Duration = Duration::from_millis(500);
/// How long runs that were due at a write are looked for.
const LOOKED_FOR: Duration = Duration::from_secs(3);
/// CHASM computes a schedule's next runs anew within this of a write.
const COMPUTED: Duration = Duration::from_secs(1);

/// An update on its way.
pub(super) struct Write {
    pub(super) update: Update,
    pub(super) described: Described,
    /// Until when it may wait.
    deadline: Instant,
    /// The runs that were started early for it.
    early: Vec<Due>,
}

impl Write {
    pub(super) fn new(update: &Update, described: &Described) -> Self {
        Self {
            update: update.clone(),
            described: described.clone(),
            deadline: Instant::now() + DEFERRED,
            early: Vec::new(),
        }
    }

    /// The body to send. A run that was started early used one of the limited
    /// actions, which a backfill does not count.
    pub(super) fn body(&self, schedules: &Schedules) -> Schedule {
        let mut body = schedules.encode_update(&self.update, &self.described.body);
        if let Some(state) = &mut body.state
            && state.limited_actions
            && self.update.remaining == Remaining::Keep
        {
            let early = i64::try_from(self.early.len()).unwrap_or(i64::MAX);
            state.remaining_actions = state.remaining_actions.saturating_sub(early).max(0);
        }
        body
    }

    /// What the write must not disturb; `None` where the schedule starts
    /// nothing, or its server keeps what is due.
    fn guard(&self) -> Option<Guard> {
        let pauses = self.update.values.paused;
        let is_kept =
            self.described.backend() == Backend::Workflow && (pauses || !self.changes_times());
        match () {
            () if self.described.live.values.paused || is_kept => None,
            () if pauses => Some(Guard::Starting),
            () => Some(Guard::Due),
        }
    }

    /// Whether the schedule has other times after the write.
    fn changes_times(&self) -> bool {
        self.update.fields.keys().any(|field| match field {
            Field::Times
            | Field::Intervals
            | Field::Exclude
            | Field::Timezone
            | Field::StartAt
            | Field::EndAt
            | Field::Jitter => true,
            Field::OverlapPolicy
            | Field::CatchupWindow
            | Field::PauseOnFailure
            | Field::MaxActions
            | Field::Paused
            | Field::Input
            | Field::Definition
            | Field::Action
            | Field::Unknown => false,
        })
    }

    /// The next starts, without those of runs that were started early: the
    /// server may not have computed them anew.
    fn coming(&self) -> Vec<Timestamp> {
        let is_early = |starts: &Timestamp| self.early.iter().any(|due| due.starts == *starts);
        let coming = self.described.coming.iter().copied();
        coming.filter(|starts| !is_early(starts)).collect()
    }

    /// The runs that this write, done at `written`, may have dropped, and those
    /// that it stops, since they were to start after it pauses the schedule.
    fn at_risk(&self, written: Timestamp) -> (Vec<Due>, Vec<Due>) {
        let pauses = self.update.values.paused;
        if self.described.live.values.paused || (self.guard().is_none() && !pauses) {
            return (Vec::new(), Vec::new());
        }
        let spec = &self.described.live.values.spec;
        let all = at_risk(spec, &self.coming(), written).into_iter();
        let (begun, to_come): (Vec<_>, Vec<_>) = all.partition(|due| due.starts <= written);
        // The workflow-backed scheduler starts what has begun before it takes
        // an update.
        let begun = match self.described.backend() {
            Backend::Chasm => begun,
            Backend::Workflow => Vec::new(),
        };
        if pauses {
            (begun, to_come)
        } else {
            (begun.into_iter().chain(to_come).collect(), Vec::new())
        }
    }

    fn moment(&self, applier: &Applier<'_>) -> Moment {
        let spec = &self.described.live.values.spec;
        self.guard().map_or(Moment::Quiet, |guard| {
            guard.moment(spec, &self.coming(), applier.clock.now())
        })
    }
}

/// Runs that were due at a write and did not start.
#[derive(Default)]
struct Lost {
    /// They will not start.
    certain: Vec<Due>,
    /// They may have been skipped by the overlap policy, or may start yet.
    unsure: Vec<Due>,
}

impl Applier<'_> {
    /// Waits until the write drops no run; an outcome when nothing is left to
    /// write.
    pub(super) async fn settle(
        &self,
        write: &mut Write,
        slot: &mut Slot<'_>,
    ) -> Result<Option<Outcome>, RequestError> {
        let mut look = LOOK;
        loop {
            if !(self.is_current)() {
                return Ok(Some(Outcome::Skipped));
            }
            match write.moment(self) {
                Moment::Quiet => return Ok(None),
                Moment::Wait(wait) => {
                    let left = write.deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        tracing::debug!(
                            schedule = %write.update.schedule,
                            "no moment without a due run; writing"
                        );
                        return Ok(None);
                    }
                    slot.sleep(wait.max(look).min(left)).await;
                    look = (look * 2).min(LONGEST_LOOK);
                }
                Moment::Due(due) => {
                    let forgets = write.described.backend() == Backend::Chasm
                        && due.is_known
                        && self.schedules.drops_due_runs().await?;
                    if !forgets {
                        return Ok(None);
                    }
                    self.start(&write.described, &[due]).await?;
                    tracing::info!(
                        definition = %write.update.definition, schedule = %write.update.schedule,
                        due = %due.nominal, starts = %due.starts,
                        "started a due run early, since the update would drop it"
                    );
                    write.early.push(due);
                    look = LOOK;
                }
            }
            let response = self.schedules.describe(&write.update.schedule).await?;
            let Some(now) = self
                .schedules
                .live(self.project, &write.update.schedule, response)
            else {
                return Ok(Some(Outcome::Conflict));
            };
            if let Some(outcome) = self.take(write, now) {
                return Ok(Some(outcome));
            }
        }
    }

    /// Waits until a schedule that is about to be replaced has no due run; one
    /// that cannot be waited for and cannot be started early.
    pub(super) async fn settle_old(
        &self,
        old: &Delete,
        slot: &mut Slot<'_>,
    ) -> Result<Option<Due>, RequestError> {
        let began = Instant::now();
        let deadline = began + DEFERRED;
        let mut look = LOOK;
        let mut early: Option<Due> = None;
        loop {
            let response = match self.schedules.describe(&old.schedule).await {
                Ok(response) => response,
                Err(RequestError::NotFound) => return Ok(None),
                Err(error) => return Err(error),
            };
            let Some(now) = self.schedules.live(self.project, &old.schedule, response) else {
                return Ok(None);
            };
            if now.live.values.paused {
                return Ok(None);
            }
            let mut coming = now.coming.clone();
            coming.retain(|starts| early.is_none_or(|due| due.starts != *starts));
            let spec = &now.live.values.spec;
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = match Guard::Due.moment(spec, &coming, self.clock.now()) {
                // What has begun starts from the buffer or by an activity of the
                // schedule, which go with it.
                Moment::Quiet => {
                    let is_starting =
                        now.buffered > 0 || !self.has_started_the_last(&now).await.unwrap_or(true);
                    if !is_starting || began.elapsed() > LOOKED_FOR {
                        return Ok(None);
                    }
                    LOOK
                }
                _ if left.is_zero() => return Ok(None),
                Moment::Wait(wait) => wait,
                Moment::Due(due) => {
                    let forgets = now.backend() == Backend::Chasm
                        && due.is_known
                        && self.schedules.drops_due_runs().await?;
                    if !forgets {
                        return Ok(Some(due));
                    }
                    self.start(&now, &[due]).await?;
                    early = Some(due);
                    LONGEST_LOOK
                }
            };
            slot.sleep(wait.max(look).min(left)).await;
            look = (look * 2).min(LONGEST_LOOK);
        }
    }

    /// Whether the run of the last time of a schedule was started; also where
    /// there was none within the last seconds.
    async fn has_started_the_last(&self, described: &Described) -> Result<bool, RequestError> {
        let values = &described.live.values;
        let present = self.clock.now().latest;
        let since = present
            - SignedDuration::from_secs(5)
            - SignedDuration::try_from(values.spec.jitter).unwrap_or_default();
        let times = values.spec.times_after(since, 1000).times;
        let Some(last) = times.iter().rev().find(|time| **time <= present) else {
            return Ok(true);
        };
        let due = Due {
            nominal: *last,
            starts: *last,
            is_known: true,
        };
        has_run(self.schedules, &values.action.workflow_id, &due).await
    }

    /// Starts runs for their times, under the schedule's overlap policy.
    async fn start(&self, described: &Described, runs: &[Due]) -> Result<(), RequestError> {
        let values = &described.live.values;
        let sent = self.schedules.backfill_times(
            &described.live.schedule,
            &values.spec,
            runs.iter().map(|due| due.nominal),
            values.overlap_policy,
            request_id(),
        );
        timeout(PATCH_TIMEOUT, sent).await.unwrap_or_else(|_| {
            let why = "a due run was to be started early, and the server did not answer";
            Err(RequestError::Unavailable(why.to_owned()))
        })
    }

    /// The outcome of a write that the server shows as `now`: what was due then
    /// is looked for, and made up for or reported.
    pub(super) async fn written(
        &self,
        write: Write,
        now: Described,
        slot: &mut Slot<'_>,
    ) -> Outcome {
        let mut notes: Vec<String> = write
            .early
            .iter()
            .map(|due| format!("the run due at {} was started early", due.nominal))
            .collect();
        let mut errors = Vec::new();
        let written = now.live.updated_at.unwrap_or(Timestamp::MIN);
        let id = &write.update.schedule;
        let (risk, stopped) = write.at_risk(written);
        notes.extend(stopped.iter().map(|due| {
            format!(
                "the run due at {} had not started and does not",
                due.nominal
            )
        }));
        if !risk.is_empty() {
            let lost = self.look_for(&write, &now, risk, slot).await;
            let (made_up, rest) = self.make_up(&write, &now, lost.certain).await;
            notes.extend(made_up.iter().map(|due| {
                format!(
                    "the run due at {}, which the update dropped, was started",
                    due.nominal
                )
            }));
            let by_hand = if write.changes_times() {
                "`almanac trigger` starts one"
            } else {
                "`almanac backfill` starts it"
            };
            errors.extend(rest.iter().map(|due| {
                let at = due.nominal;
                format!("the update of schedule `{id}` dropped the run due at {at}; {by_hand}")
            }));
            errors.extend(lost.unsure.iter().map(|due| {
                let at = due.nominal;
                format!(
                    "the run of schedule `{id}` due at {at} was not seen to start around an \
                     update; its overlap policy may have skipped it"
                )
            }));
        }
        for message in &errors {
            tracing::warn!(definition = %write.update.definition, message, "a due run was dropped");
        }
        let mut done = Done::updated(write.update, &write.described);
        for note in notes {
            done.change.reason = format!("{}; {note}", done.change.reason);
        }
        done.lost = errors;
        Outcome::Done(Box::new(done))
    }

    /// Looks for runs that were due at a write.
    async fn look_for(
        &self,
        write: &Write,
        now: &Described,
        mut risk: Vec<Due>,
        slot: &mut Slot<'_>,
    ) -> Lost {
        let began = Instant::now();
        let written = now.live.updated_at.unwrap_or(Timestamp::MIN);
        let workflow_id = &write.described.live.values.action.workflow_id;
        let mut shown = now.clone();
        loop {
            let mut missing = Vec::new();
            for due in risk {
                // An error tells nothing: it is looked for again.
                let ran = due.is_known
                    && has_run(self.schedules, workflow_id, &due)
                        .await
                        .unwrap_or(false);
                if !ran {
                    missing.push(due);
                }
            }
            risk = missing;
            let spec = &shown.live.values.spec;
            let still_comes = |due: &Due| {
                let mut coming = shown.coming.iter();
                coming.any(|starts| Due::of(spec, *starts).nominal == due.nominal)
            };
            if began.elapsed() > COMPUTED {
                risk.retain(|due| !still_comes(due));
            }
            let is_sure = |due: &Due| due.starts > written && !still_comes(due);
            if risk.iter().all(is_sure) || began.elapsed() > LOOKED_FOR {
                break;
            }
            slot.sleep(LONGEST_LOOK / 5).await;
            if let Ok(response) = self.schedules.describe(&write.update.schedule).await
                && let Some(now) =
                    self.schedules
                        .live(self.project, &write.update.schedule, response)
            {
                shown = now;
            }
        }
        // What had begun may have been skipped, or wait for another to end.
        let nothing_else = shown.passed_over == write.described.passed_over && shown.buffered == 0;
        let (certain, unsure) = risk
            .into_iter()
            .partition(|due| due.is_known && (due.starts > written || nothing_else));
        Lost { certain, unsure }
    }

    /// Starts what a write dropped; the runs that were started, and the others.
    async fn make_up(
        &self,
        write: &Write,
        now: &Described,
        lost: Vec<Due>,
    ) -> (Vec<Due>, Vec<Due>) {
        // A backfill knows the times that the schedule has now.
        let spec = &now.live.values.spec;
        let is_there = |due: &Due| {
            let before = due.nominal - SignedDuration::from_nanos(1);
            spec.times_after(before, 1).times.first() == Some(&due.nominal)
        };
        let (there, mut rest): (Vec<_>, Vec<_>) = lost.into_iter().partition(is_there);
        if there.is_empty() || now.live.values.paused {
            rest.extend(there);
            return (Vec::new(), rest);
        }
        match self.start(now, &there).await {
            Ok(()) => (there, rest),
            Err(error) => {
                tracing::warn!(schedule = %write.update.schedule, %error, "runs cannot be made up for");
                rest.extend(there);
                (Vec::new(), rest)
            }
        }
    }
}

/// Whether the run for a time was started: its workflow id ends in it.
async fn has_run(
    schedules: &Schedules,
    workflow_id: &str,
    due: &Due,
) -> Result<bool, RequestError> {
    let time = due.nominal.strftime("%Y-%m-%dT%H:%M:%SZ");
    schedules
        .has_workflow(&format!("{workflow_id}-{time}"))
        .await
}
