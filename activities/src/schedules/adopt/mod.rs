//! Adoption: a schedule of this project takes over from another schedule.
//!
//! The *new* schedule is this project's. The *old* schedule is unmanaged or
//! belongs to another project.
//!
//! Expected flow:
//! 1. The new schedule is held.
//! 2. At a quiet moment the old schedule is paused and marked.
//! 3. The new schedule is released with the live state of the old one.
//! 4. The new schedule runs the times that fell between the pause and the
//!    release.
//! 5. The old schedule is deleted.
//!
//! Guarantees: a time that either schedule would have run is run once. The
//! progress is read from the two schedules each time, so an adoption may stop
//! at any point and start again. The server decides by the time of a schedule's
//! last update. The old schedule runs times that are due before its pause. The
//! new schedule runs times that are due after its release. Neither runs the
//! times in between. Runs are named after the time that they are for, which
//! shows if a time was run.
//!
//! Assumes that no one else writes either schedule meanwhile. Such a write is
//! reported as an error.

mod adopted;
mod handover;

use std::collections::BTreeSet;

use almanac_base::names::{DefinitionId, Project, ScheduleId};
use almanac_core::plan::{
    AdoptedState, ScheduledDefinitions, Update, hold_for_adoption, release_from_adoption,
};
use almanac_core::record::{Adoption, Adoptions, Change, ErrorSource, Op};
use almanac_core::schedule::Desired;
use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::apply::{PLAN_ATTEMPTS, READ_BACK_WAIT, READ_BACKS, request_id, shows};
use super::wire::{self, Described};
use super::{Applied, RequestError, Schedules, ServerClock};
use adopted::{AdoptedSchedule, adoption_note, is_held_for_adoption};
use handover::{POLL_INTERVAL, QUIET_TIMEOUT, between, wait_for_quiet};

pub use adopted::{is_being_adopted, original_note};
pub use handover::QUIET;

/// A reason for which a schedule was not adopted. The steps that were done stay
/// done; the same adoption continues from there.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum AdoptError {
    #[error(
        "schedule `{0}` no longer exists, and nothing can be taken over; hint: `almanac unpause` starts the new schedule"
    )]
    Gone(ScheduleId),
    #[error("schedule `{0}` belongs to project `{1}`, not to the project that was named")]
    Owned(ScheduleId, Project),
    #[error("schedule `{0}` already belongs to this project")]
    Own(ScheduleId),
    #[error(
        "schedule `{0}` has the id that the new schedule would have; hint: give the definition \
         another id"
    )]
    SameId(ScheduleId),
    #[error("there is no managed schedule `{0}`; a definition that never fires has none")]
    NotManaged(ScheduleId),
    #[error(
        "definition `{0}` is not the revision that was confirmed; hint: review it again, and \
         confirm the new revision"
    )]
    Edited(DefinitionId),
    #[error("schedule `{0}` is being taken over by another schedule: {1}")]
    Taken(ScheduleId, String),
    #[error(
        "schedule `{0}` has {1} buffered runs, which would be lost; hint: adopt it when it has none"
    )]
    Buffered(ScheduleId, i64),
    #[error(
        "schedule `{0}` may start a run now, because of its jitter; the next moment without a due \
         run: {next}",
        next = .1.map_or("none within a week".to_owned(), |at| at.to_string())
    )]
    NotQuiet(ScheduleId, Option<Timestamp>),
    #[error(
        "schedule `{0}` was changed by someone else during the adoption; it was not deleted, and \
         may be paused"
    )]
    Changed(ScheduleId),
    #[error("{what} `{schedule}`: {error}")]
    Request {
        what: &'static str,
        schedule: ScheduleId,
        error: RequestError,
    },
}

/// Adopts schedules.
pub struct Adopter<'a> {
    /// The client for requests.
    pub schedules: &'a Schedules,
    /// The project of the new schedules.
    pub project: &'a Project,
    /// The definitions that have schedules.
    pub scheduled: &'a ScheduledDefinitions,
    /// The server's present time.
    pub clock: ServerClock,
}

impl Adopter<'_> {
    /// Does adoptions, at most `concurrency` at a time. A failed adoption stops
    /// no other. The results are added to `applied`.
    pub async fn adopt_all(
        &self,
        adoptions: &Adoptions,
        concurrency: usize,
        is_current: &(dyn Fn() -> bool + Sync),
        applied: &mut Applied,
    ) {
        let all: Vec<_> = adoptions
            .iter()
            .map(|(id, adoption)| async move {
                let result = if is_current() {
                    Some(Box::pin(self.adopt(id, adoption)).await)
                } else {
                    None
                };
                (id, adoption, result)
            })
            .collect();
        let all = stream::iter(all).buffer_unordered(concurrency);
        futures::pin_mut!(all);
        while let Some((id, adoption, result)) = all.next().await {
            match result {
                None => applied.interrupted = true,
                Some(Ok(None)) => {}
                Some(Ok(Some(change))) => {
                    crate::metrics::operation(Op::Update, true);
                    applied.changes.push(change);
                }
                Some(Err(error)) => {
                    crate::metrics::operation(Op::Update, false);
                    tracing::warn!(definition = %id, from = %adoption.from, %error, "adoption failed");
                    applied
                        .errors
                        .push(ErrorSource::Adopt.error(Some(id.to_string()), error.to_string()));
                }
            }
        }
    }

    /// Does one adoption to its end. `None` if the adoption had already been
    /// done.
    pub(super) async fn adopt(
        &self,
        id: &DefinitionId,
        adoption: &Adoption,
    ) -> Result<Option<Change>, AdoptError> {
        let schedule = self.project.schedule_id(id);
        let Some(scheduled) = self.scheduled.get(id) else {
            return Err(AdoptError::NotManaged(schedule));
        };
        let desired = &scheduled.desired();
        let from = &adoption.from;
        if *from == schedule {
            return Err(AdoptError::SameId(schedule));
        }
        let Some(mut old) = self.old(desired, adoption).await? else {
            let held = self
                .described(&schedule)
                .await?
                .is_some_and(|new| is_held_for_adoption(&new));
            return if held {
                Err(AdoptError::Gone(from.clone()))
            } else {
                Ok(None)
            };
        };
        // An adoption that has begun is finished with the definition as it is
        // now. An end here would leave both schedules paused.
        let agreed = adoption.revision.as_ref();
        if !old.marked && agreed.is_some_and(|agreed| *agreed != desired.revision) {
            return Err(AdoptError::Edited(id.clone()));
        }
        let new = self
            .described(&schedule)
            .await?
            .ok_or_else(|| AdoptError::NotManaged(schedule.clone()))?;
        let goes_on = old.marked && !is_held_for_adoption(&new);
        let mut due = BTreeSet::new();
        if !goes_on {
            self.write(&schedule, |new| hold_for_adoption(desired, &new.live, from))
                .await?;
            old = self.pause(desired, adoption, old).await?;
            let state = old.state();
            due = self.let_go(desired, &old, &state).await?;
        } else if new.buffered == 0 {
            let now = new.live.updated_at.unwrap_or(old.updated);
            due = between(self.schedules, &old, desired, now).await;
        }
        let (missed, lost) = self.start_missed(desired, &old, due).await?;
        self.remove(desired, adoption, &old).await?;
        tracing::info!(definition = %id, from = %from, missed, by = adoption.by, "schedule adopted");
        let reason = match missed {
            0 => format!("took over from `{from}`"),
            some => format!("took over from `{from}`; due runs started in between: {some}"),
        };
        let reason = lost.iter().fold(reason, |reason, time| {
            tracing::warn!(
                definition = %id, due = %time, why = "it was not seen to start during an adoption",
                "a due run was dropped"
            );
            format!("{reason}; the run due at {time} was not seen to start")
        });
        Ok(Some(Change {
            id: id.to_string(),
            op: Op::Update,
            fields: Vec::new(),
            reason,
        }))
    }

    /// The old schedule; `None` if it does not exist any more.
    async fn old(
        &self,
        desired: &Desired,
        adoption: &Adoption,
    ) -> Result<Option<AdoptedSchedule>, AdoptError> {
        let id = &adoption.from;
        let response = match self.schedules.describe(id).await {
            Ok(response) => response,
            Err(RequestError::NotFound) => return Ok(None),
            Err(error) => return Err(request("describe", id)(error)),
        };
        if let Some(owner) = wire::owner_in(id, response.memo.as_ref()) {
            if owner.project == *self.project {
                return Err(AdoptError::Own(id.clone()));
            }
            if adoption.from_project.as_ref() != Some(&owner.project) {
                return Err(AdoptError::Owned(id.clone(), owner.project));
            }
        }
        let old = AdoptedSchedule::of(id, desired, response);
        if !old.marked && old.values.paused && is_being_adopted(&old.note) {
            return Err(AdoptError::Taken(id.clone(), old.note));
        }
        Ok(Some(old))
    }

    /// The schedule as it is now; `None` if it does not exist or is unmanaged.
    async fn described(&self, id: &ScheduleId) -> Result<Option<Described>, AdoptError> {
        match self.schedules.describe(id).await {
            Ok(response) => Ok(wire::live(self.project, id, response)),
            Err(RequestError::NotFound) => Ok(None),
            Err(error) => Err(request("describe", id)(error)),
        }
    }

    async fn must(&self, id: &ScheduleId) -> Result<Described, AdoptError> {
        let new = self.described(id).await?;
        new.ok_or_else(|| AdoptError::NotManaged(id.clone()))
    }

    /// Pauses the old schedule at a quiet moment, unless it is paused.
    async fn pause(
        &self,
        desired: &Desired,
        adoption: &Adoption,
        old: AdoptedSchedule,
    ) -> Result<AdoptedSchedule, AdoptError> {
        let mut old = old;
        for _ in 0..PLAN_ATTEMPTS {
            if old.values.paused {
                return Ok(old);
            }
            old = self.when_unbuffered(desired, adoption, old).await?;
            wait_for_quiet(desired, &old).await?;
            let mut body = old.body.clone();
            let state = body.state.get_or_insert_default();
            state.paused = true;
            state.notes = adoption_note(&desired.schedule, &old.note);
            let sent = self
                .schedules
                .update(&old.id, body, old.token.clone(), request_id())
                .await;
            match sent {
                Ok(()) | Err(RequestError::Stale) => {}
                Err(error) => return Err(request("pause", &old.id)(error)),
            }
            old = self.read_old_back(desired, adoption, old).await?;
        }
        if old.values.paused {
            Ok(old)
        } else {
            Err(AdoptError::Changed(old.id))
        }
    }

    /// Waits until the old schedule's buffer is empty. Runs that are just being
    /// started are in the buffer too.
    async fn when_unbuffered(
        &self,
        desired: &Desired,
        adoption: &Adoption,
        mut old: AdoptedSchedule,
    ) -> Result<AdoptedSchedule, AdoptError> {
        let since = Timestamp::now();
        while old.buffered > 0 {
            if Timestamp::now().duration_since(since) > QUIET_TIMEOUT {
                return Err(AdoptError::Buffered(old.id, old.buffered));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
            let now = self.old(desired, adoption).await?;
            old = now.ok_or_else(|| AdoptError::Gone(adoption.from.clone()))?;
        }
        Ok(old)
    }

    /// Describes the old schedule until it has changed.
    async fn read_old_back(
        &self,
        desired: &Desired,
        adoption: &Adoption,
        before: AdoptedSchedule,
    ) -> Result<AdoptedSchedule, AdoptError> {
        let mut wait = READ_BACK_WAIT;
        for _ in 0..READ_BACKS {
            let now = self.old(desired, adoption).await?;
            let now = now.ok_or_else(|| AdoptError::Gone(before.id.clone()))?;
            if now.values.paused || now.token != before.token {
                return Ok(now);
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
        Ok(before)
    }

    /// Releases the new schedule. Returns the times that neither schedule may
    /// have run.
    async fn let_go(
        &self,
        desired: &Desired,
        old: &AdoptedSchedule,
        state: &AdoptedState,
    ) -> Result<BTreeSet<Timestamp>, AdoptError> {
        // With jitter the two schedules run the same time at different moments.
        if old.marked && !desired.values.spec.jitter.is_zero() {
            wait_for_quiet(desired, old).await?;
        }
        let new = self
            .write(&desired.schedule, |new| {
                is_held_for_adoption(new)
                    .then(|| release_from_adoption(desired, &new.live, &old.id, state))
            })
            .await?;
        let now = new.live.updated_at.unwrap_or(old.updated);
        Ok(between(self.schedules, old, desired, now).await)
    }

    /// Writes the new schedule as `plan` says until `plan` returns no update.
    async fn write(
        &self,
        id: &ScheduleId,
        plan: impl Fn(&Described) -> Option<Update> + Send + Sync,
    ) -> Result<Described, AdoptError> {
        let mut new = self.must(id).await?;
        for _ in 0..PLAN_ATTEMPTS {
            let Some(update) = plan(&new) else {
                return Ok(new);
            };
            let body = self.schedules.encode_update(&update, &new.body);
            let token = new.conflict_token.clone();
            let sent = self
                .schedules
                .update(id, body, token.clone(), request_id())
                .await;
            match sent {
                Ok(()) | Err(RequestError::Stale) => {}
                Err(error) => return Err(request("update", id)(error)),
            }
            let mut wait = READ_BACK_WAIT;
            for _ in 0..READ_BACKS {
                new = self.must(id).await?;
                if shows(&new, &update) {
                    return Ok(new);
                }
                if new.conflict_token != token {
                    break;
                }
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
        }
        Err(AdoptError::Changed(id.clone()))
    }

    /// Deletes the old schedule if no one has changed it since its pause.
    async fn remove(
        &self,
        desired: &Desired,
        adoption: &Adoption,
        old: &AdoptedSchedule,
    ) -> Result<(), AdoptError> {
        let Some(now) = self.old(desired, adoption).await? else {
            return Ok(());
        };
        if !now.values.paused || now.note != old.note {
            return Err(AdoptError::Changed(now.id));
        }
        self.schedules
            .delete(&old.id)
            .await
            .map_err(request("delete", &old.id))
    }
}

fn request<'a>(
    what: &'static str,
    schedule: &'a ScheduleId,
) -> impl FnOnce(RequestError) -> AdoptError + 'a {
    move |error| AdoptError::Request {
        what,
        schedule: schedule.clone(),
        error,
    }
}
