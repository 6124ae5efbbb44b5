//! Replacing a schedule by one of another id.
//!
//! Expected flow: at a moment at which no run is due the old schedule is paused
//! and the new one is created; the new one starts the runs that were due
//! between the two; the old one is deleted.
//!
//! Guarantees: a time that either would have run is run once, however far apart
//! the two writes are, or is reported. The old schedule is paused as one whose
//! definition is gone: where this ends in the middle, the next pass goes on from
//! there. A process that is killed between the creation and the backfill loses
//! what was due between the two writes.

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

/// A run that begins just now is waited for this long before its schedule goes.
const STARTS_WITHIN: Duration = Duration::from_secs(3);
/// The last run is looked for this far back, beyond the jitter.
const JUST_NOW: SignedDuration = SignedDuration::from_secs(5);
/// The most times among which the last run is looked for.
const SEARCHED: usize = 1000;
/// A pause that a killed process left is taken up within this: what was due
/// longer ago is reported, and nothing of it is started.
const TAKEN_UP_WITHIN: SignedDuration = SignedDuration::from_mins(10);
/// The most runs that a rename which was killed in the middle starts afterwards.
const MISSED_LIMIT: usize = 100;

/// The old half of a rename.
#[derive(Clone, Copy)]
pub(super) enum OldHalf<'a> {
    /// A schedule that is deleted when the new one is there.
    Delete(&'a Delete),
    /// A schedule that stays, paused.
    Pause(&'a Update),
    /// A schedule that stays, paused by a killed process.
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

/// The old schedule, paused by us.
struct Paused {
    /// The schedule before the pause; `None` where a killed process paused it.
    before: Option<Described>,
    now: Described,
}

/// The runs that the old schedule may not have started.
#[derive(Default)]
struct Missed {
    due: Vec<DueRun>,
    /// Reports of times that are too old, or too many, to be started.
    errors: Vec<String>,
}

impl Paused {
    /// The runs that are due until `until` and that the old schedule may not
    /// have started.
    fn missed(&self, until: Timestamp) -> Missed {
        let remaining = self.now.live.remaining_actions;
        if let Some(before) = &self.before {
            let spec = &before.live.values.spec;
            return Missed {
                due: at_risk(spec, &before.coming, until, remaining),
                errors: Vec::new(),
            };
        }
        let id = &self.now.live.schedule;
        let values = &self.now.live.values;
        let paused = self.now.live.updated_at.unwrap_or(until);
        if until.duration_since(paused) > TAKEN_UP_WITHIN {
            let error = format!(
                "schedule `{id}` was paused for its rename at {paused:.0}, and what was due from \
                 then until {until:.0} did not start; `almanac backfill` starts it"
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
        // A run that jitter held back at the pause; where policies skip runs, it may
        // be one of those.
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
                "schedule `{id}` was paused for its rename, and what was due from {first} until \
                 {until:.0} did not start; `almanac backfill` starts it"
            )
        });
        Missed {
            due: times.into_iter().take(most).map(DueRun::at).collect(),
            errors: cut.into_iter().collect(),
        }
    }
}

/// The end of stopping the old schedule.
enum Stop {
    Paused(Box<Paused>),
    /// The schedule was paused by somebody else.
    StartsNothing(Box<Described>),
    /// The schedule is gone, or not this project's.
    Gone,
    /// The registry moved before.
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
    /// The creation of the new schedule.
    pub(super) made: Tried,
    /// The deletion, or the pause, of the old one, where that was tried.
    pub(super) ended: Option<Tried>,
    /// Reports of due runs that were dropped.
    pub(super) lost: Vec<String>,
}

impl Renamed {
    /// A rename that left the old schedule as it is.
    pub(super) fn failed(made: Tried) -> Self {
        Self {
            made,
            ended: None,
            lost: Vec::new(),
        }
    }
}

impl Applier<'_> {
    /// Replaces a schedule.
    pub(super) async fn rename(
        &self,
        planned: &Create,
        old: OldHalf<'_>,
        permit: &mut OperationPermit<'_>,
    ) -> Renamed {
        let stop = Box::pin(self.stop(old.schedule(), &planned.schedule, permit)).await;
        let (paused, create) = match stop {
            // What the old one is when it stops counts, not what it was when the
            // plan was made.
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
            let id = &create.schedule;
            let response = self.schedules.describe(id).await;
            let is_ours = |response| self.schedules.live(self.project, id, response).is_some();
            match response.map(is_ours) {
                // The create had no answer, or the registry moved after it.
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
                // It may be there: the old one stays paused, and the next pass goes on.
                Err(_) => return Renamed::failed(made),
            }
        }
        let mut errors = Vec::new();
        if let Some(paused) = &paused {
            let (recovered, more) = Box::pin(self.start_between(paused, &create, permit)).await;
            errors = more;
            errors.extend(loss_errors(
                &create.schedule,
                "rename",
                "`almanac backfill` starts it",
                &recovered,
            ));
            if paused.now.buffered > 0 && matches!(old, OldHalf::Delete(_)) {
                errors.push(format!(
                    "schedule `{}` was deleted with the runs that waited in its buffer: {}",
                    old.schedule(),
                    paused.now.buffered
                ));
            }
            if let Ok(Outcome::Done(done)) = &mut made {
                for note in started_notes(&recovered, "between the two schedules") {
                    done.change.reason = format!("{}; {note}", done.change.reason);
                }
            }
        }
        for why in &errors {
            tracing::warn!(definition = %create.definition, why, "a due run was dropped");
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

    /// The new half as it takes over from the old one as that is now.
    fn renamed(&self, planned: &Create, old: &Described) -> Create {
        match self.desired.get(&planned.definition) {
            Some(desired) => Create::renamed(desired, &old.live),
            None => planned.clone(),
        }
    }

    /// Pauses a schedule that `new` replaces, at a moment at which no run is due,
    /// where there is one soon.
    async fn stop(
        &self,
        id: &ScheduleId,
        new: &ScheduleId,
        permit: &mut OperationPermit<'_>,
    ) -> Result<Stop, RequestError> {
        // As it was before a pause of ours that did not show at once.
        let mut first = None;
        for _ in 0..PLAN_ATTEMPTS {
            let Some(before) = self.settle_old(id, permit).await? else {
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
            // From here on the rename goes on even where the registry moves: the old
            // schedule is paused.
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
                    // The next look tells.
                    Ok(ReadBack::Other(_)) | Err(_) => {
                        first.get_or_insert(before);
                    }
                },
                // An answer that was lost, and its repetition: it may be paused.
                Err(RequestError::Stale) => {
                    if let ReadBack::Written(now) = self.read_back(&update, &[]).await? {
                        return Ok(Stop::paused(first, before, *now));
                    }
                }
                // It may have come through: the next look tells.
                Err(error) if error.is_ambiguous() => {
                    tracing::debug!(schedule = %id, %error, "a pause had no answer");
                    first.get_or_insert(before);
                }
                Err(error) => return Err(error),
            }
        }
        Err(RequestError::Stale)
    }

    /// Waits for a moment at which no run is due, unless the schedule is paused;
    /// the schedule then. `None` where it is gone or not ours.
    async fn settle_old(
        &self,
        id: &ScheduleId,
        permit: &mut OperationPermit<'_>,
    ) -> Result<Option<Described>, RequestError> {
        let began = Instant::now();
        let deadline = began + DEFER_LIMIT;
        let mut look = POLL_INTERVAL;
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
                // What has begun starts from the buffer or by an activity of the
                // schedule, which go with it.
                WriteMoment::Quiet => {
                    let is_starting =
                        now.buffered > 0 || !self.last_run_has_started(&now).await.unwrap_or(true);
                    if !is_starting || began.elapsed() > STARTS_WITHIN {
                        return Ok(Some(now));
                    }
                    POLL_INTERVAL
                }
                WriteMoment::Wait(wait) if !left.is_zero() => wait,
                WriteMoment::Wait(_) | WriteMoment::Due(_) => return Ok(Some(now)),
            };
            permit.sleep(wait.max(look).min(left)).await;
            look = (look * 2).min(LONGEST_POLL_INTERVAL);
        }
    }

    /// True when the run of the schedule's last time was started, or no time was
    /// within the last seconds.
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

    /// Starts, by the new schedule, what was due after the old one was paused
    /// and before the new one was there; also reports of what is not started.
    async fn start_between(
        &self,
        paused: &Paused,
        create: &Create,
        permit: &mut OperationPermit<'_>,
    ) -> (Recovered, Vec<String>) {
        let old = &paused.now.live;
        let has_time = |now: &Described| now.live.updated_at.is_some();
        let new = self.shown(&create.schedule, has_time, permit).await;
        let until = self.written_at(new.as_ref());
        let Missed { due, errors } = paused.missed(until);
        let workflow_ids = vec![
            old.values.action.workflow_id.as_str(),
            create.values.action.workflow_id.as_str(),
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
        let LookupResult { gone, unsure, .. } = self.recovery().look_for(&written, permit).await;
        let mut recovered = match new {
            Some(new) => self.recovery().start_all(new, gone, permit).await,
            None => Recovered {
                lost: gone,
                ..Recovered::default()
            },
        };
        recovered.unsure.extend(unsure);
        (recovered, errors)
    }

    /// Describes a schedule until it is as awaited, some times at most; as it
    /// was then.
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

    /// Lets the old schedule go on, since there is no new one; reports of due
    /// runs that were dropped meanwhile. One that a killed process paused stays
    /// so: the next pass goes on.
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
                "a schedule that is to be renamed stays paused; the next pass goes on"
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
