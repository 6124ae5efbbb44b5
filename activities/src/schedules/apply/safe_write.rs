//! Writes that drop no run.
//!
//! Expected flow: a write waits for a moment at which no run of its schedule is
//! due. A run that is due and starts too late to wait for is started early. One
//! patch starts it and makes CHASM forget it in one transaction, so the run is
//! started once even if the process is killed at any request. The write
//! follows.
//!
//! If no such moment comes in time, the write is sent all the same. After every
//! write and patch, the runs that were due at that time are looked for
//! ([`Recovery`]). Those that were dropped are started. A run that cannot be
//! started, or whose state cannot be determined, is reported.

use std::time::Duration;

use almanac_base::names::ScheduleId;
use almanac_core::field::Field;
use almanac_core::plan::{Remaining, Update};
use jiff::Timestamp;
use temporalio_common::protos::temporal::api::schedule::v1::Schedule;
use tokio::time::Instant;

use super::{Applier, Done, OperationPermit, Outcome};
use crate::schedules::due_runs::{Backend, DueRun, WriteGuard, WriteMoment, at_risk};
use crate::schedules::recovery::{Recovered, Recovery, Written};
use crate::schedules::wire::Described;
use crate::schedules::{RequestError, Schedules};

/// Maximum wait of a write for a moment at which no run is due.
pub(super) const DEFER_LIMIT: Duration = Duration::from_secs(10);
/// Interval between the first two descriptions; it doubles up to
/// [`LONGEST_POLL_INTERVAL`].
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(50);
pub(super) const LONGEST_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// An update that has not been written yet.
pub(super) struct PendingWrite {
    pub(super) update: Update,
    pub(super) described: Described,
    /// Time at which the wait for a quiet moment ends.
    deadline: Instant,
    /// The runs that were started early for this write.
    early: Vec<DueRun>,
    /// The runs that the patches for `early` may have dropped.
    pub(super) at_risk: Vec<DueRun>,
}

impl PendingWrite {
    pub(super) fn new(update: &Update, described: &Described) -> Self {
        Self {
            update: update.clone(),
            described: described.clone(),
            deadline: Instant::now() + DEFER_LIMIT,
            early: Vec::new(),
            at_risk: Vec::new(),
        }
    }

    /// The body to send. Each run that was started early reduces the number of
    /// remaining actions, since the server does not count a backfill.
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

    /// The part of the due runs that the write must not drop. `None` if the
    /// schedule starts nothing, or if its server keeps due runs.
    fn guard(&self) -> Option<WriteGuard> {
        let pauses = self.update.values.paused;
        let is_kept =
            self.described.backend() == Backend::Workflow && (pauses || !self.changes_times());
        if self.described.live.values.paused || is_kept {
            return None;
        }
        Some(if pauses {
            WriteGuard::Starting
        } else {
            WriteGuard::Due
        })
    }

    /// Returns `true` if the write changes the times of the schedule.
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

    /// The next starts, without runs that were started early: the server may
    /// not have recomputed its next times yet.
    fn coming(&self) -> Vec<Timestamp> {
        let is_early = |starts: &Timestamp| self.early.iter().any(|due| due.starts == *starts);
        let coming = self.described.coming.iter().copied();
        coming.filter(|starts| !is_early(starts)).collect()
    }

    /// The runs that this write, done at `written`, may have dropped, and the
    /// runs that it stops because it pauses the schedule before they start.
    pub(super) fn dropped(&self, written: Timestamp) -> (Vec<DueRun>, Vec<DueRun>) {
        let pauses = self.update.values.paused;
        if self.described.live.values.paused || (self.guard().is_none() && !pauses) {
            return (Vec::new(), Vec::new());
        }
        let spec = &self.described.live.values.spec;
        let remaining = self.described.live.remaining_actions;
        let all = at_risk(spec, &self.coming(), written, remaining).into_iter();
        let (begun, to_come): (Vec<_>, Vec<_>) = all.partition(|due| due.starts <= written);
        // The workflow-backed scheduler starts the runs that have begun before
        // it takes an update.
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

    fn moment(&self, applier: &Applier<'_>) -> WriteMoment {
        let spec = &self.described.live.values.spec;
        self.guard().map_or(WriteMoment::Quiet, |guard| {
            guard.moment(spec, &self.coming(), applier.clock.now())
        })
    }
}

impl Applier<'_> {
    /// Waits until the write drops no run. Returns an outcome if no write is
    /// needed any more.
    pub(super) async fn wait_for_write_moment(
        &self,
        write: &mut PendingWrite,
        permit: &mut OperationPermit<'_>,
    ) -> Result<Option<Outcome>, RequestError> {
        let mut interval = POLL_INTERVAL;
        loop {
            let mut patched = false;
            // A write for which a run was started early is finished even if the
            // registry changes.
            if write.early.is_empty() && !(self.is_current)() {
                return Ok(Some(Outcome::Skipped));
            }
            match write.moment(self) {
                WriteMoment::Quiet => return Ok(None),
                WriteMoment::Wait(wait) => {
                    let left = write.deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        tracing::debug!(
                            schedule = %write.update.schedule,
                            "found no moment without a due run; writing anyway"
                        );
                        return Ok(None);
                    }
                    permit.sleep(wait.max(interval).min(left)).await;
                    interval = (interval * 2).min(LONGEST_POLL_INTERVAL);
                }
                WriteMoment::Due(due) => {
                    let drops_due_runs = write.described.backend() == Backend::Chasm
                        && due.is_known
                        && self.schedules.drops_due_runs().await?;
                    if !drops_due_runs {
                        return Ok(None);
                    }
                    self.recovery().start(&write.described, &[due]).await?;
                    tracing::info!(
                        definition = %write.update.definition, schedule = %write.update.schedule,
                        due = %due.nominal, starts = %due.starts,
                        "started a due run early, because the update would drop it"
                    );
                    write.early.push(due);
                    patched = true;
                    interval = POLL_INTERVAL;
                }
            }
            let response = self.schedules.describe(&write.update.schedule).await?;
            let Some(now) = self
                .schedules
                .live(self.project, &write.update.schedule, response)
            else {
                return Ok(Some(Outcome::Conflict));
            };
            if patched {
                let dropped = write.dropped(self.written_at(Some(&now))).0;
                write.at_risk.extend(dropped);
            }
            if let Some(outcome) = self.take(write, now) {
                return Ok(Some(outcome));
            }
        }
    }

    pub(super) fn recovery(&self) -> Recovery<'_> {
        Recovery {
            schedules: self.schedules,
            project: self.project,
            clock: self.clock,
        }
    }

    /// The server's time of the last write, from a description. Without it, the
    /// latest possible present time of the server: all that was due until then
    /// counts.
    pub(super) fn written_at(&self, described: Option<&Described>) -> Timestamp {
        let at = described.and_then(|described| described.live.updated_at);
        at.unwrap_or_else(|| self.clock.now().latest)
    }

    /// Looks for runs that were dropped by a write whose result is not known,
    /// or by the patches for a write that was not needed any more.
    pub(super) async fn check_dropped_runs(
        &self,
        write: &mut PendingWrite,
        permit: &mut OperationPermit<'_>,
    ) {
        let at_risk = std::mem::take(&mut write.at_risk);
        if at_risk.is_empty() {
            return;
        }
        let described = &write.described;
        let id = &write.update.schedule;
        let written = Written {
            schedule: id,
            // The description may be older than the write: runs that have begun
            // since may be starting.
            at: self.written_at(None),
            workflow_ids: vec![&described.live.values.action.workflow_id],
            passed_over: described.passed_over,
            at_risk,
        };
        let recovered = Box::pin(self.recovery().recover(written, permit)).await;
        for why in loss_errors(id, "update", "`almanac backfill` starts it", &recovered) {
            tracing::warn!(definition = %write.update.definition, why, "a due run was dropped");
        }
    }

    /// The outcome of a write that the server shows as `now`. Looks for the
    /// runs that were due then, and starts or reports those that were dropped.
    pub(super) async fn written(
        &self,
        mut write: PendingWrite,
        now: Described,
        permit: &mut OperationPermit<'_>,
    ) -> Outcome {
        let mut notes: Vec<String> = write
            .early
            .iter()
            .map(|due| format!("the run due at {} was started early", due.nominal))
            .collect();
        let at = self.written_at(Some(&now));
        let id = &write.update.schedule;
        let (dropped, stopped) = write.dropped(at);
        notes.extend(stopped.iter().map(|due| {
            format!(
                "the run due at {} had not started and will not start",
                due.nominal
            )
        }));
        let mut at_risk = std::mem::take(&mut write.at_risk);
        at_risk.extend(dropped);
        at_risk.sort_by_key(|due| due.nominal);
        at_risk.dedup_by_key(|due| due.nominal);
        let recovered = self
            .recovery()
            .recover(
                Written {
                    schedule: id,
                    at,
                    workflow_ids: vec![&write.described.live.values.action.workflow_id],
                    passed_over: write.described.passed_over,
                    at_risk,
                },
                permit,
            )
            .await;
        notes.extend(started_notes(&recovered, "which the update dropped"));
        let recovery_hint = if write.changes_times() {
            "`almanac trigger` starts one"
        } else {
            "`almanac backfill` starts it"
        };
        let errors = loss_errors(id, "update", recovery_hint, &recovered);
        for why in &errors {
            tracing::warn!(definition = %write.update.definition, why, "a due run was dropped");
        }
        let mut done = Done::updated(write.update, &write.described);
        for note in notes {
            done.change.reason = format!("{}; {note}", done.change.reason);
        }
        done.lost = errors;
        Outcome::Done(Box::new(done))
    }
}

/// The parts of a report's reason that name runs which were started.
pub(super) fn started_notes(recovered: &Recovered, why: &str) -> Vec<String> {
    let started = recovered.started.iter();
    let started = started.map(|due| format!("the run due at {}, {why}, was started", due.nominal));
    let waiting = recovered.waiting.iter().map(|due| {
        let at = due.nominal;
        format!("the run due at {at}, {why}, starts when an earlier one has ended")
    });
    started.chain(waiting).collect()
}

/// The messages of a report's errors that name runs which were not started.
pub(super) fn loss_errors(
    id: &ScheduleId,
    write: &str,
    recovery_hint: &str,
    recovered: &Recovered,
) -> Vec<String> {
    let lost = recovered.lost.iter().map(|due| {
        let at = due.nominal;
        format!("the {write} of schedule `{id}` dropped the run due at {at}; {recovery_hint}")
    });
    let unsure = recovered.unsure.iter().map(|due| {
        let at = due.nominal;
        format!(
            "the run of schedule `{id}` due at {at} was not seen to start around the {write}; the \
             overlap policy may have skipped it, or it may start later"
        )
    });
    lost.chain(unsure).collect()
}
