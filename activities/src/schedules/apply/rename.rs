//! Renames: a schedule is replaced by a schedule with another id.
//!
//! Expected flow:
//! 1. At a moment at which no run is due, the old schedule is paused.
//! 2. The new schedule is created.
//! 3. The new schedule starts the runs that were due between these two writes.
//! 4. The old schedule is deleted.
//!
//! Guarantees: a time that either schedule would have run is run once, or is
//! reported, however far apart the two writes are. The old schedule is paused
//! as an orphaned schedule is. If a rename ends in the middle, the next pass
//! continues it. If the process is killed between the creation and the
//! backfill, the runs that were due between the two writes are lost.

use std::time::Duration;

use almanac_base::names::ScheduleId;
use almanac_core::definition::OverlapPolicy;
use almanac_core::plan::{Create, Delete, Update, is_paused_for_rename, pause_for_rename};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::safe_write::{
    DEFER_LIMIT, LONGEST_POLL_INTERVAL, POLL_INTERVAL, loss_errors, started_notes,
};
use super::{
    Applier, Done, OperationPermit, Outcome, PLAN_ATTEMPTS, READ_BACK_WAIT, READ_BACKS, ReadBack,
    Tried, request_id,
};
use crate::blocking::compute;
use crate::schedules::RequestError;
use crate::schedules::due_runs::{DueRun, WriteGuard, WriteMoment, at_risk};
use crate::schedules::recovery::{LookupResult, Recovered, Written, has_run};
use crate::schedules::wire::Described;

/// Maximum wait for a run that is just starting, before its schedule is paused.
const STARTS_WITHIN: Duration = Duration::from_secs(3);
/// Maximum delay of a run in the buffer of a schedule whose runs do not wait for
/// each other.
const BUFFERED_WITHIN: SignedDuration = SignedDuration::from_mins(10);
/// Time before the present, in addition to the jitter, in which the last run is
/// looked for.
const JUST_NOW: SignedDuration = SignedDuration::from_secs(5);
/// Maximum number of times that are searched for the last run.
const SEARCHED: usize = 1000;
/// Time after a pause that a killed process left in which the rename is
/// continued. Afterwards the runs that were due are reported, and none is
/// started.
const TAKEN_UP_WITHIN: SignedDuration = SignedDuration::from_mins(10);
/// Maximum number of runs that a rename starts after it was interrupted.
const MISSED_LIMIT: usize = 100;

/// The old schedule of a rename.
#[derive(Clone, Copy)]
pub(super) enum OldHalf<'a> {
    /// A schedule that is deleted after the new one is created.
    Delete(&'a Delete),
    /// A schedule that is paused and stays.
    Pause(&'a Update),
    /// A schedule that stays and that a killed process has paused.
    Stays(&'a ScheduleId),
}

impl<'a> OldHalf<'a> {
    pub(super) fn schedule(self) -> &'a ScheduleId {
        match self {
            Self::Delete(delete) => &delete.schedule,
            Self::Pause(update) => &update.schedule,
            Self::Stays(schedule) => schedule,
        }
    }
}

/// The old schedule after Almanac paused it.
struct Paused {
    /// The schedule before the pause; `None` where a killed process paused it.
    before: Option<Described>,
    now: Described,
}

/// The runs that the old schedule may not have started.
#[derive(Default)]
struct Missed {
    due: Vec<DueRun>,
    /// Messages for times that are too old, or too many, to be started.
    errors: Vec<String>,
}

impl Paused {
    /// The runs that may have been in the schedule's buffer when it was paused:
    /// a paused schedule does not start them. Runs start in order, so these are
    /// the last ones that had begun before the pause. Empty if a run in the
    /// buffer may wait for an earlier one to end: the new schedule does not know
    /// the old one's runs, and would let them overlap.
    fn buffered_runs(&self) -> Vec<DueRun> {
        let values = &self.now.live.values;
        let (Some(before), Some(paused)) = (&self.before, self.now.live.updated_at) else {
            return Vec::new();
        };
        let buffered = before.buffered.max(self.now.buffered);
        let buffered = usize::try_from(buffered).unwrap_or_default();
        if buffered == 0 || values.overlap_policy != OverlapPolicy::AllowAll {
            return Vec::new();
        }
        let since = paused.saturating_sub(BUFFERED_WITHIN).unwrap_or(paused);
        let mut times = compute(|| values.spec.times_after(since, SEARCHED).times);
        // The first run that had not begun, and may be due.
        let spec = &before.live.values.spec;
        let coming = before.coming.first();
        let coming = coming.map(|starts| compute(|| DueRun::of(spec, *starts)).nominal);
        let is_buffered =
            |time: &Timestamp| *time <= paused && coming.is_none_or(|coming| *time < coming);
        times.truncate(times.partition_point(is_buffered));
        let first = times.len().saturating_sub(buffered.min(MISSED_LIMIT));
        times.split_off(first).into_iter().map(DueRun::at).collect()
    }

    /// The number of runs that were in the buffer and that the new schedule
    /// does not start.
    fn lost_from_buffer(&self) -> usize {
        let buffered = usize::try_from(self.now.buffered).unwrap_or_default();
        buffered.saturating_sub(self.buffered_runs().len())
    }

    /// The runs that are due until `until` and that the old schedule may not
    /// have started.
    fn missed(&self, until: Timestamp) -> Missed {
        let remaining = self.now.live.remaining_actions;
        if let Some(before) = &self.before {
            let spec = &before.live.values.spec;
            let mut due = self.buffered_runs();
            due.extend(at_risk(spec, &before.coming, until, remaining));
            let most = remaining.and_then(|remaining| usize::try_from(remaining).ok());
            due.truncate(most.unwrap_or(usize::MAX));
            return Missed {
                due,
                errors: Vec::new(),
            };
        }
        let id = &self.now.live.schedule;
        let values = &self.now.live.values;
        let paused = self.now.live.updated_at.unwrap_or(until);
        if until.duration_since(paused) > TAKEN_UP_WITHIN {
            let error = format!(
                "schedule `{id}` was paused for its rename at {paused:.0}, and the runs due from \
                 then until {until:.0} did not start; `almanac backfill` starts them"
            );
            return Missed {
                due: Vec::new(),
                errors: vec![error],
            };
        }
        let window = SignedDuration::try_from(values.catchup_window);
        let oldest = until.saturating_sub(window.unwrap_or(SignedDuration::MAX));
        let since = paused.max(oldest.unwrap_or(Timestamp::MIN));
        let most = remaining.and_then(|remaining| usize::try_from(remaining).ok());
        let most = most.unwrap_or(MISSED_LIMIT).min(MISSED_LIMIT);
        // Includes a run that jitter delayed past the pause. Under the other
        // overlap policies such a run may have been skipped, so it is left out.
        let jitter = SignedDuration::try_from(values.spec.jitter).unwrap_or_default();
        let since = match values.overlap_policy {
            OverlapPolicy::AllowAll => since.saturating_sub(jitter).unwrap_or(since),
            _ => since,
        };
        let times = compute(|| values.spec.times_after(since, MISSED_LIMIT + 1).times);
        let times: Vec<_> = times
            .into_iter()
            .take_while(|time| *time <= until)
            .collect();
        let cut = times.get(MISSED_LIMIT).map(|first| {
            format!(
                "schedule `{id}` was paused for its rename, and the runs due from {first} until \
                 {until:.0} did not start; `almanac backfill` starts them"
            )
        });
        Missed {
            due: times.into_iter().take(most).map(DueRun::at).collect(),
            errors: cut.into_iter().collect(),
        }
    }
}

/// The result of pausing the old schedule.
enum Stop {
    Paused(Box<Paused>),
    /// The schedule was already paused for another reason.
    StartsNothing(Box<Described>),
    /// The schedule does not exist any more, or is not managed by this project.
    Gone,
    /// The registry changed before the pause.
    Skipped,
}

impl Stop {
    fn paused(first: Option<Described>, before: Described, now: Described) -> Self {
        Self::Paused(Box::new(Paused {
            before: Some(first.unwrap_or(before)),
            now,
        }))
    }
}

/// The result of a rename.
pub(super) struct Renamed {
    /// The result of the creation of the new schedule.
    pub(super) made: Tried,
    /// The result of the deletion or the pause of the old schedule, where that
    /// was tried.
    pub(super) ended: Option<Tried>,
    /// Messages for due runs that were dropped.
    pub(super) lost: Vec<String>,
}

impl Renamed {
    /// A rename whose new schedule was not created, or is not known to be.
    pub(super) fn failed(made: Tried) -> Self {
        Self {
            made,
            ended: None,
            lost: Vec::new(),
        }
    }
}

impl Applier<'_> {
    /// Replaces a schedule by one with another id.
    pub(super) async fn rename(
        &self,
        planned: &Create,
        old: OldHalf<'_>,
        permit: &mut OperationPermit<'_>,
    ) -> Renamed {
        let stop = Box::pin(self.stop(old.schedule(), planned.schedule(), permit)).await;
        let (paused, create) = match stop {
            // The new schedule takes over from the old one as it was when it
            // stopped, not as it was when the plan was made.
            Ok(Stop::Paused(paused)) => {
                let live = paused.before.as_ref().unwrap_or(&paused.now);
                let create = self.renamed(planned, live);
                (Some(*paused), create)
            }
            Ok(Stop::StartsNothing(live)) => (None, self.renamed(planned, &live)),
            Ok(Stop::Gone) => (None, planned.clone()),
            Ok(Stop::Skipped) => return Renamed::failed(Ok(Outcome::Skipped)),
            Err(error) => return Renamed::failed(Err(error)),
        };
        let mut made = Box::pin(self.create_now(&create, permit)).await;
        if !matches!(made, Ok(Outcome::Done(_) | Outcome::Nothing)) {
            let id = create.schedule();
            let response = self.schedules.describe(id).await;
            let is_managed = |response| self.schedules.live(self.project, id, response).is_some();
            match response.map(is_managed) {
                // The create had no answer, or the registry changed after it.
                Ok(true) => made = Ok(Outcome::Done(Box::new(Done::created(&create)))),
                Ok(false) | Err(RequestError::NotFound) => {
                    let lost = match paused {
                        Some(paused) => Box::pin(self.resume(&paused, permit)).await,
                        None => Vec::new(),
                    };
                    return Renamed {
                        lost,
                        ..Renamed::failed(made)
                    };
                }
                // The new schedule may exist: the old one stays paused, and the
                // next pass continues.
                Err(_) => return Renamed::failed(made),
            }
        }
        let mut errors = Vec::new();
        if let Some(paused) = &paused {
            let (recovered, more) = Box::pin(self.start_between(paused, &create, permit)).await;
            errors = more;
            errors.extend(loss_errors(
                create.schedule(),
                "rename",
                "`almanac backfill` starts it",
                &recovered,
            ));
            let lost = paused.lost_from_buffer();
            if lost > 0 {
                errors.push(format!(
                    "schedule `{}` was paused for its rename, and the runs in its buffer were \
                     lost: {lost}",
                    old.schedule(),
                ));
            }
            if let Ok(Outcome::Done(done)) = &mut made {
                for note in started_notes(&recovered, "between the two schedules") {
                    done.change.reason = format!("{}; {note}", done.change.reason);
                }
            }
        }
        for why in &errors {
            tracing::warn!(definition = %create.definition(), why, "a due run was dropped");
        }
        let ended = match (old, &paused) {
            (OldHalf::Delete(delete), _) => Some(self.delete_now(delete).await),
            (OldHalf::Pause(update), Some(paused)) => {
                let before = paused.before.as_ref().unwrap_or(&paused.now);
                let done = Done::updated(update.clone(), before);
                Some(Ok(Outcome::Done(Box::new(done))))
            }
            (OldHalf::Pause(_), None) | (OldHalf::Stays(_), _) => None,
        };
        Renamed {
            made,
            ended,
            lost: errors,
        }
    }

    /// The new schedule as it takes over from the present state of the old one.
    fn renamed(&self, planned: &Create, old: &Described) -> Create {
        match self.scheduled.get(planned.definition()) {
            Some(scheduled) => Create::renamed(scheduled, &old.live),
            None => planned.clone(),
        }
    }

    /// Pauses a schedule that `new` replaces, at a moment at which no run is
    /// due if there is one soon.
    async fn stop(
        &self,
        id: &ScheduleId,
        new: &ScheduleId,
        permit: &mut OperationPermit<'_>,
    ) -> Result<Stop, RequestError> {
        // The state before a pause by this function that did not show
        // immediately.
        let mut first = None;
        for _ in 0..PLAN_ATTEMPTS {
            let Some(before) = self.wait_until_old_is_quiet(id, permit).await? else {
                return Ok(Stop::Gone);
            };
            if is_paused_for_rename(&before.live, new) {
                let paused = Paused {
                    before: first,
                    now: before,
                };
                return Ok(Stop::Paused(Box::new(paused)));
            }
            if before.live.values.paused {
                return Ok(Stop::StartsNothing(Box::new(before)));
            }
            // From the first pause on, the rename continues even if the
            // registry changes, since the old schedule may be paused.
            if first.is_none() && !(self.is_current)() {
                return Ok(Stop::Skipped);
            }
            let update = pause_for_rename(&before.live, new);
            let body = self.schedules.encode_update(&update, &before.body);
            let token = before.conflict_token.clone();
            let sent = self
                .schedules
                .update(id, body, token.clone(), request_id())
                .await;
            match sent {
                Ok(()) => match self.read_back(&update, &token).await {
                    Ok(ReadBack::Written(now)) => return Ok(Stop::paused(first, before, *now)),
                    // The next description shows if the schedule is paused.
                    Ok(ReadBack::Other(_)) | Err(_) => {
                        first.get_or_insert(before);
                    }
                },
                // The answer was lost and the request was repeated: the
                // schedule may be paused.
                Err(RequestError::Stale) => {
                    if let ReadBack::Written(now) = self.read_back(&update, &[]).await? {
                        return Ok(Stop::paused(first, before, *now));
                    }
                }
                // The pause may have happened: the next description shows that.
                Err(error) if error.is_ambiguous() => {
                    tracing::debug!(schedule = %id, %error, "the server did not answer a pause");
                    first.get_or_insert(before);
                }
                Err(error) => return Err(error),
            }
        }
        Err(RequestError::Stale)
    }

    /// Waits for a moment at which no run is due, unless the schedule is
    /// paused. Returns the schedule as it was then. `None` if it does not exist
    /// any more or is not managed by this project.
    async fn wait_until_old_is_quiet(
        &self,
        id: &ScheduleId,
        permit: &mut OperationPermit<'_>,
    ) -> Result<Option<Described>, RequestError> {
        let began = Instant::now();
        let deadline = began + DEFER_LIMIT;
        let mut interval = POLL_INTERVAL;
        loop {
            let response = match self.schedules.describe(id).await {
                Ok(response) => response,
                Err(RequestError::NotFound) => return Ok(None),
                Err(error) => return Err(error),
            };
            let Some(now) = self.schedules.live(self.project, id, response) else {
                return Ok(None);
            };
            if now.live.values.paused {
                return Ok(Some(now));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let moment =
                WriteGuard::Due.moment(&now.live.values.spec, &now.coming, self.clock.now());
            let wait = match moment {
                // A run that has begun starts from the buffer or by an activity
                // of the schedule. Both end with the schedule.
                WriteMoment::Quiet => {
                    let is_starting =
                        now.buffered > 0 || !self.last_run_has_started(&now).await.unwrap_or(true);
                    // If runs do not wait for each other, a run in the buffer
                    // waits for nothing but the server.
                    let limit = match now.live.values.overlap_policy {
                        OverlapPolicy::AllowAll if now.buffered > 0 => DEFER_LIMIT,
                        _ => STARTS_WITHIN,
                    };
                    if !is_starting || began.elapsed() > limit {
                        return Ok(Some(now));
                    }
                    POLL_INTERVAL
                }
                WriteMoment::Wait(wait) if !left.is_zero() => wait,
                WriteMoment::Wait(_) | WriteMoment::Due(_) => return Ok(Some(now)),
            };
            permit.sleep(wait.max(interval).min(left)).await;
            interval = (interval * 2).min(LONGEST_POLL_INTERVAL);
        }
    }

    /// Returns `true` if the run for the schedule's last time was started, or
    /// if there was no time within the last seconds.
    async fn last_run_has_started(&self, described: &Described) -> Result<bool, RequestError> {
        let values = &described.live.values;
        let present = self.clock.now().latest;
        let jitter = SignedDuration::try_from(values.spec.jitter).unwrap_or_default();
        let since = present.saturating_sub(jitter.saturating_add(JUST_NOW));
        let since = since.unwrap_or(Timestamp::MIN);
        let times = compute(|| values.spec.times_after(since, SEARCHED).times);
        let Some(last) = times.iter().rev().find(|time| **time <= present) else {
            return Ok(true);
        };
        has_run(
            self.schedules,
            &values.action.workflow_id,
            &DueRun::at(*last),
        )
        .await
    }

    /// Starts, with the new schedule, the runs that were due after the pause of
    /// the old schedule and before the creation of the new one. Also returns
    /// messages for runs that are not started.
    async fn start_between(
        &self,
        paused: &Paused,
        create: &Create,
        permit: &mut OperationPermit<'_>,
    ) -> (Recovered, Vec<String>) {
        let old = &paused.now.live;
        let has_time = |now: &Described| now.live.updated_at.is_some();
        let new = self.shown(create.schedule(), has_time, permit).await;
        let until = self.written_at(new.as_ref());
        let Missed { due, errors } = paused.missed(until);
        let new_values = create.values();
        let workflow_ids = vec![
            old.values.action.workflow_id.as_str(),
            new_values.action.workflow_id.as_str(),
        ];
        let before = paused.before.as_ref().unwrap_or(&paused.now);
        let written = Written {
            schedule: &old.schedule,
            at: self.written_at(Some(&paused.now)),
            workflow_ids,
            passed_over: before.passed_over,
            at_risk: due,
        };
        if written.at_risk.is_empty() {
            return (Recovered::default(), errors);
        }
        let LookupResult { lost, unsure, .. } =
            self.recovery().poll_lost_runs(&written, permit).await;
        let mut recovered = match new {
            Some(new) => self.recovery().start_all(new, lost, permit).await,
            None => Recovered {
                lost,
                ..Recovered::default()
            },
        };
        recovered.unsure.extend(unsure);
        (recovered, errors)
    }

    /// Describes a schedule until `is_awaited` returns `true`, at most
    /// [`READ_BACKS`] times. Returns the last description.
    async fn shown(
        &self,
        id: &ScheduleId,
        is_awaited: impl Fn(&Described) -> bool,
        permit: &mut OperationPermit<'_>,
    ) -> Option<Described> {
        let mut wait = READ_BACK_WAIT;
        let mut last = None;
        for _ in 0..READ_BACKS {
            if let Ok(response) = self.schedules.describe(id).await {
                last = self.schedules.live(self.project, id, response);
            }
            if last.as_ref().is_some_and(&is_awaited) {
                break;
            }
            permit.sleep(wait).await;
            wait *= 2;
        }
        last
    }

    /// Restores the old schedule, since the new one was not created. Returns
    /// messages for due runs that were dropped meanwhile. A schedule that a
    /// killed process has paused stays paused; the next pass continues its
    /// rename.
    async fn resume(&self, paused: &Paused, permit: &mut OperationPermit<'_>) -> Vec<String> {
        let Some(old) = &paused.before else {
            return Vec::new();
        };
        let id = &old.live.schedule;
        let token = paused.now.conflict_token.clone();
        let sent = self
            .schedules
            .update(id, old.body.clone(), token, request_id())
            .await;
        if let Err(error) = sent {
            tracing::warn!(
                schedule = %id, %error,
                "a schedule stays paused during its rename; the next pass continues"
            );
            return Vec::new();
        }
        let goes_on = |now: &Described| !now.live.values.paused;
        let now = self.shown(id, goes_on, permit).await;
        let at = self.written_at(now.as_ref());
        let spec = &old.live.values.spec;
        let written = Written {
            schedule: id,
            at,
            workflow_ids: vec![&old.live.values.action.workflow_id],
            passed_over: old.passed_over,
            at_risk: at_risk(spec, &old.coming, at, old.live.remaining_actions),
        };
        let recovered = self.recovery().recover(written, permit).await;
        let errors = loss_errors(id, "update", "`almanac backfill` starts it", &recovered);
        for why in &errors {
            tracing::warn!(definition = %old.live.definition, why, "a due run was dropped");
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use almanac_base::names::Project;
    use almanac_times::compile_cron;
    use temporalio_common::protos::temporal::api::schedule::v1::{Schedule, ScheduleInfo};
    use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeScheduleResponse;

    use super::*;
    use crate::schedules::wire;

    fn at(text: &str) -> Timestamp {
        format!("2026-01-01T{text}Z").parse().unwrap()
    }

    /// A schedule that fires every minute.
    fn described(policy: OverlapPolicy, buffered: i64, coming: &str) -> Described {
        let project: Project = "p".parse().unwrap();
        let definition = "job".parse().unwrap();
        let id = project.schedule_id(&definition);
        let response = DescribeScheduleResponse {
            memo: Some(wire::owner_memo(&project, &definition)),
            info: Some(ScheduleInfo {
                buffer_size: buffered,
                ..ScheduleInfo::default()
            }),
            schedule: Some(Schedule::default()),
            ..DescribeScheduleResponse::default()
        };
        let mut described = wire::live(&project, &id, response).unwrap();
        let values = &mut described.live.values;
        values.overlap_policy = policy;
        values.spec.calendars = compile_cron("* * * * *")
            .unwrap()
            .calendars
            .into_iter()
            .collect();
        described.live.updated_at = Some(at("00:05:30"));
        described.coming = vec![at(coming)];
        described
    }

    fn missed(paused: &Paused) -> Vec<Timestamp> {
        let missed = paused.missed(at("00:06:10"));
        assert!(missed.errors.is_empty(), "{:?}", missed.errors);
        missed.due.iter().map(|due| due.nominal).collect()
    }

    #[test]
    fn runs_that_the_pause_dropped_from_the_buffer_are_missed() {
        let paused = |policy, before, now| Paused {
            before: Some(described(policy, before, "00:06:00")),
            now: described(policy, now, "00:06:00"),
        };
        let none = paused(OverlapPolicy::AllowAll, 0, 0);
        assert_eq!(missed(&none), [at("00:06:00")]);
        let two = [at("00:04:00"), at("00:05:00"), at("00:06:00")];
        for (before, now) in [(2, 2), (2, 0), (0, 2)] {
            let buffered = paused(OverlapPolicy::AllowAll, before, now);
            assert_eq!(missed(&buffered), two, "{before} {now}");
            assert_eq!(buffered.lost_from_buffer(), 0);
        }
        // No action is left for more.
        let mut limited = paused(OverlapPolicy::AllowAll, 2, 2);
        limited.now.live.remaining_actions = Some(1);
        assert_eq!(missed(&limited), [at("00:04:00")]);
        // A run that is due and had not begun was not in the buffer.
        let due = Paused {
            before: Some(described(OverlapPolicy::AllowAll, 1, "00:05:00")),
            now: described(OverlapPolicy::AllowAll, 1, "00:05:00"),
        };
        assert_eq!(missed(&due), two);
        // More than the schedule has times within ten minutes.
        let many = paused(OverlapPolicy::AllowAll, 15, 15);
        assert_eq!(missed(&many).len(), 11);
        assert_eq!(many.lost_from_buffer(), 5);
        // A run that waits for an earlier one must not start beside it.
        let waiting = paused(OverlapPolicy::BufferAll, 2, 2);
        assert_eq!(missed(&waiting), [at("00:06:00")]);
        assert_eq!(waiting.lost_from_buffer(), 2);
    }
}
