//! Replacing a schedule by one of another id.
//!
//! Expected flow: at a moment at which no run is due the old schedule is paused
//! and the new one is created; the new one starts the runs that were due
//! between the two; the old one is deleted.
//!
//! Guarantees: a time that either would have run is run once, however far apart
//! the two writes are. The old schedule is paused as one whose definition is
//! gone: where this ends in the middle, the next pass goes on from there.

use std::time::Duration;

use almanac_workflows::names::ScheduleId;
use almanac_workflows::plan::{Create, Delete, pause_orphan};
use almanac_workflows::record::Flag;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::settle::{DEFERRED, LONGEST_LOOK, LOOK, loss_errors, started_notes};
use super::{
    Applier, Outcome, PLANS, READ_BACK_WAIT, READ_BACKS, ReadBack, Slot, Tried, request_id,
};
use crate::schedules::RequestError;
use crate::schedules::due::{Due, Guard, Moment, at_risk};
use crate::schedules::recovery::{Recovered, Written, has_run};
use crate::schedules::wire::Described;

/// How long a run that begins just now is waited for before its schedule goes.
const STARTS_WITHIN: Duration = Duration::from_secs(3);
/// How far back the last run is looked for, beyond the jitter.
const JUST_NOW: SignedDuration = SignedDuration::from_secs(5);

/// A pause of ours that is older than this is no half of a rename.
const TAKEN_UP_WITHIN: SignedDuration = SignedDuration::from_mins(10);
/// The most runs that a rename which was killed in the middle starts afterwards.
const MISSED_LIMIT: usize = 100;

/// The old schedule, paused by us.
struct Paused {
    before: Described,
    now: Described,
}

impl Paused {
    /// The runs that are due until `until` and that the old schedule may not
    /// have started.
    fn missed(&self, until: Timestamp) -> Vec<Due> {
        let values = &self.before.live.values;
        if !values.paused {
            return at_risk(&values.spec, &self.before.coming, until);
        }
        // A killed process paused it.
        let window = SignedDuration::try_from(values.catchup_window).unwrap_or_default();
        let since = self
            .now
            .live
            .updated_at
            .unwrap_or(until)
            .max(until - window);
        let times = values
            .spec
            .times_after(since, MISSED_LIMIT)
            .times
            .into_iter();
        times
            .take_while(|time| *time <= until)
            .map(Due::at)
            .collect()
    }
}

/// How stopping the old schedule ended.
enum Stop {
    Paused(Box<Paused>),
    /// It is paused already, gone, or not ours.
    StartsNothing,
    /// The registry moved before.
    Skipped,
}

impl Applier<'_> {
    /// Replaces a schedule; the second is what became of the old one, where its
    /// deletion was tried.
    pub(super) async fn rename(
        &self,
        create: &Create,
        delete: &Delete,
        slot: &mut Slot<'_>,
    ) -> (Tried, Option<Tried>) {
        let paused = match Box::pin(self.stop(&delete.schedule, slot)).await {
            Ok(Stop::Paused(paused)) => Some(*paused),
            Ok(Stop::StartsNothing) => None,
            Ok(Stop::Skipped) => return (Ok(Outcome::Skipped), None),
            Err(error) => return (Err(error), None),
        };
        let mut made = Box::pin(self.create_now(create, slot)).await;
        if !matches!(made, Ok(Outcome::Done(_) | Outcome::Nothing)) {
            if let Some(paused) = paused {
                Box::pin(self.resume(&paused, slot)).await;
            }
            return (made, None);
        }
        let mut errors = Vec::new();
        if let Some(paused) = paused {
            let recovered = Box::pin(self.start_between(&paused, &create.schedule, slot)).await;
            errors = loss_errors(
                &create.schedule,
                "rename",
                "`almanac backfill` starts it",
                &recovered,
            );
            if paused.now.buffered > 0 {
                errors.push(format!(
                    "{} runs waited in the buffer of schedule `{}` and went with it",
                    paused.now.buffered, delete.schedule
                ));
            }
            if let Ok(Outcome::Done(done)) = &mut made {
                for note in started_notes(&recovered) {
                    done.change.reason = format!("{}; {note}", done.change.reason);
                }
            }
        }
        for message in &errors {
            tracing::warn!(definition = %create.definition, message, "a due run was dropped");
        }
        let mut deleted = self.delete(delete).await;
        if let Ok(Outcome::Done(done)) = &mut deleted {
            done.lost.extend(errors);
        }
        (made, Some(deleted))
    }

    /// Pauses a schedule at a moment at which no run is due, where there is one
    /// soon.
    async fn stop(&self, id: &ScheduleId, slot: &mut Slot<'_>) -> Result<Stop, RequestError> {
        for _ in 0..PLANS {
            let Some(before) = self.settle_old(id, slot).await? else {
                return Ok(Stop::StartsNothing);
            };
            if before.live.values.paused {
                let now = before.clone();
                return Ok(Stop::Paused(Box::new(Paused { before, now })));
            }
            // From here on the rename goes to its end.
            if !(self.is_current)() {
                return Ok(Stop::Skipped);
            }
            let update = pause_orphan(&before.live);
            let body = self.schedules.encode_update(&update, &before.body);
            let token = before.conflict_token.clone();
            let sent = self
                .schedules
                .update(id, body, token.clone(), request_id())
                .await;
            match sent {
                Ok(()) => {
                    if let ReadBack::Written(now) = self.read_back(&update, &token).await? {
                        let now = *now;
                        return Ok(Stop::Paused(Box::new(Paused { before, now })));
                    }
                }
                Err(RequestError::Stale) => {}
                Err(error) => return Err(error),
            }
        }
        Err(RequestError::Stale)
    }

    /// Whether a killed process paused a schedule in the middle of its rename.
    fn is_paused_for_rename(&self, described: &Described) -> bool {
        let memo = described.live.readable_memo();
        let is_by_us = memo.is_some_and(|memo| memo.flags.contains(&Flag::OrphanPaused));
        let age = |at| self.clock.now().latest.duration_since(at);
        let age = described.live.updated_at.map(age);
        is_by_us && age.is_some_and(|age| age < TAKEN_UP_WITHIN)
    }

    /// Waits for a moment at which no run is due; the schedule then. It is
    /// paused where a killed process left it so. `None` where it is gone, not
    /// ours or paused by others.
    async fn settle_old(
        &self,
        id: &ScheduleId,
        slot: &mut Slot<'_>,
    ) -> Result<Option<Described>, RequestError> {
        let began = Instant::now();
        let deadline = began + DEFERRED;
        let mut look = LOOK;
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
                return Ok(self.is_paused_for_rename(&now).then_some(now));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let moment = Guard::Due.moment(&now.live.values.spec, &now.coming, self.clock.now());
            let wait = match moment {
                // What has begun starts from the buffer or by an activity of the
                // schedule, which go with it.
                Moment::Quiet => {
                    let is_starting =
                        now.buffered > 0 || !self.has_started_the_last(&now).await.unwrap_or(true);
                    if !is_starting || began.elapsed() > STARTS_WITHIN {
                        return Ok(Some(now));
                    }
                    LOOK
                }
                Moment::Wait(wait) if !left.is_zero() => wait,
                Moment::Wait(_) | Moment::Due(_) => return Ok(Some(now)),
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
        let jitter = SignedDuration::try_from(values.spec.jitter).unwrap_or_default();
        let times = values
            .spec
            .times_after(present - JUST_NOW - jitter, 1000)
            .times;
        let Some(last) = times.iter().rev().find(|time| **time <= present) else {
            return Ok(true);
        };
        has_run(self.schedules, &values.action.workflow_id, &Due::at(*last)).await
    }

    /// Starts, by the new schedule, what was due after the old one was paused
    /// and before the new one was there.
    async fn start_between(
        &self,
        paused: &Paused,
        new: &ScheduleId,
        slot: &mut Slot<'_>,
    ) -> Recovered {
        let old = &paused.before.live;
        let at = paused.now.live.updated_at.unwrap_or(Timestamp::MIN);
        let now = self
            .shown(new, |now| now.live.updated_at.is_some(), slot)
            .await;
        let created = now.as_ref().and_then(|now| now.live.updated_at);
        // Without its own time, everything until now may have been missed.
        let until = created.unwrap_or_else(|| self.clock.now().latest);
        let looked = self
            .recovery()
            .look_for(
                &Written {
                    schedule: &old.schedule,
                    at,
                    workflow_id: &old.values.action.workflow_id,
                    passed_over: paused.before.passed_over,
                    at_risk: paused.missed(until),
                },
                slot,
            )
            .await;
        let mut recovered = match now {
            Some(now) => {
                let policy = now.live.values.overlap_policy;
                let recovery = self.recovery();
                recovery.start_all(now, looked.gone, policy, slot).await
            }
            None => Recovered {
                lost: looked.gone,
                ..Recovered::default()
            },
        };
        recovered.unsure.extend(looked.unsure);
        recovered
    }

    /// Describes a schedule until it is as awaited, some times at most; as it
    /// was then.
    async fn shown(
        &self,
        id: &ScheduleId,
        is_awaited: impl Fn(&Described) -> bool,
        slot: &mut Slot<'_>,
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
            slot.sleep(wait).await;
            wait *= 2;
        }
        last
    }

    /// Lets the old schedule go on, since there is no new one.
    async fn resume(&self, paused: &Paused, slot: &mut Slot<'_>) {
        let old = &paused.before;
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
            return;
        }
        let Some(at) = self
            .shown(id, |now| !now.live.values.paused, slot)
            .await
            .and_then(|now| now.live.updated_at)
        else {
            return;
        };
        let written = Written {
            schedule: id,
            at,
            workflow_id: &old.live.values.action.workflow_id,
            passed_over: old.passed_over,
            at_risk: at_risk(&old.live.values.spec, &old.coming, at),
        };
        let recovered = self.recovery().recover(written, slot).await;
        for message in loss_errors(id, "update", "`almanac backfill` starts it", &recovered) {
            tracing::warn!(definition = %old.live.definition, message, "a due run was dropped");
        }
    }
}
