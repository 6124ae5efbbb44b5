//! Applies a plan: the updates that operators asked for, then creates, then the other updates, then
//! deletes.
//!
//! A limited number of operations runs at a time. The old half of a rename is
//! deleted right after its new half is created.
//!
//! Expected flow: a failed operation stops no other. An update is sent with the
//! token of the description that it was planned from, and is then read back. If
//! the schedule has changed meanwhile, it is compared and planned again, three
//! times at most.
//!
//! Guarantees:
//! - Before each operation the registry still has the plan's revision, and the
//!   pass makes no way for an operator. A rename that has begun is finished.
//! - A schedule that is unmanaged at that moment is not written.
//! - A write drops no run that is due (`safe_write`), or the report names the
//!   run.

mod applied;
mod rename;
mod safe_write;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use almanac_base::names::{DefinitionId, Project, ScheduleId};
use almanac_core::field::Field;
use almanac_core::plan::{
    Comparison, Create, Delete, Plan, Policy, ScheduledDefinitions, Update, compare,
    is_paused_for_rename, pause_orphan,
};
use almanac_core::record::{ErrorSource, Op, Progress};
use futures::{FutureExt, StreamExt, future, stream};
use jiff::Timestamp;
use opentelemetry::KeyValue;
use opentelemetry::trace::{FutureExt as _, TraceContextExt as _};
use tokio::sync::Semaphore;

pub use applied::Applied;
use applied::{Done, Outcome};
use rename::{OldHalf, Renamed};
use safe_write::PendingWrite;

use super::due_runs::ServerClock;
use super::operation_permit::OperationPermit;
use super::wire::{self, Described};
use super::{Deletion, RequestError, Schedules};
use crate::spans;

/// Maximum number of times that an operation is planned before it is left to
/// the next pass.
pub(super) const PLAN_ATTEMPTS: u32 = 3;
/// Maximum number of times that a written schedule is read back until it shows
/// the write. The wait in between doubles from [`READ_BACK_WAIT`].
pub(super) const READ_BACKS: u32 = 8;
pub(super) const READ_BACK_WAIT: Duration = Duration::from_millis(10);
/// Maximum number of operations that are prepared at a time.
const PREPARED_LIMIT: usize = 500;

/// Applies plans.
pub struct Applier<'a> {
    /// The client for requests.
    pub schedules: &'a Schedules,
    pub project: &'a Project,
    /// The definitions that have schedules.
    pub scheduled: &'a ScheduledDefinitions,
    /// The policy that the plan was made with.
    pub policy: &'a Policy<'a>,
    /// Maximum number of operations at a time, without those that wait for a
    /// moment at which no run is due.
    pub concurrency: usize,
    /// The server's present time.
    pub clock: ServerClock,
    /// Returns `true` if the registry still has the plan's revision, and the pass goes on.
    pub is_current: &'a (dyn Fn() -> bool + Sync),
    /// Called after each operation that was tried.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

type Tried = Result<Outcome, RequestError>;

impl Applier<'_> {
    /// Applies `plan`, whose updates start from `described`.
    pub async fn apply(&self, plan: &Plan, described: &BTreeMap<ScheduleId, Described>) -> Applied {
        let done = AtomicU64::new(0);
        let total = plan.len() as u64;
        let tried = |result: &Tried| {
            if !matches!(result, Ok(Outcome::Skipped)) {
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                (self.progress)(Progress { done, total });
            }
        };
        let mut applied = Applied::default();
        let permits = &Semaphore::new(self.concurrency);

        // The old half of a rename is paused before the new half is created,
        // since both run the same times.
        let deletes = plan.deletes.iter().map(OldHalf::Delete);
        let pauses = plan.updates.iter().filter(|update| update.removal);
        let old: BTreeMap<&ScheduleId, OldHalf<'_>> = deletes
            .chain(pauses.map(OldHalf::Pause))
            .map(|old| (old.schedule(), old))
            .collect();
        let old_half = |from, new: &ScheduleId| {
            old.get(from).copied().or_else(|| {
                let (from, described) = described.get_key_value(from)?;
                is_paused_for_rename(&described.live, new).then_some(OldHalf::Stays(from))
            })
        };
        // If the new half of a rename could not be created, the old half stays as it is.
        let creates = plan.creates.iter();
        let renamed: BTreeSet<&ScheduleId> = creates
            .filter_map(|create| create.renamed_from.as_ref())
            .filter(|from| old.contains_key(from))
            .collect();
        let updates = plan.updates.iter();
        let (asked, others): (Vec<_>, Vec<_>) = updates
            .filter(|update| !renamed.contains(&update.schedule))
            .partition(|update| self.policy.requests.contains_key(&update.definition));
        self.update_all(&asked, described, permits, &tried, &mut applied)
            .await;

        let replaced = Mutex::new((Vec::new(), Vec::new()));
        // The futures are created before they are streamed: the compiler cannot
        // show that a closure that borrows is `Send` inside an activity. They
        // are created in portions, since each takes memory.
        for some in plan.creates.chunks(PREPARED_LIMIT) {
            let creates: Vec<_> = some
                .iter()
                .map(|create| async {
                    let mut permit = OperationPermit::take(permits).await;
                    let from = create.renamed_from.as_ref();
                    let old = from.and_then(|from| old_half(from, create.schedule()));
                    let operation = async {
                        let Some(old) = old else {
                            return Box::pin(unwound(self.create(create, &mut permit))).await;
                        };
                        let rename = AssertUnwindSafe(self.rename(create, old, &mut permit));
                        let renamed = Box::pin(rename.catch_unwind()).await;
                        let renamed = renamed.unwrap_or_else(|_| Renamed::failed(Err(panicked())));
                        let mut replaced = replaced.lock().unwrap_or_else(PoisonError::into_inner);
                        replaced.0.extend(renamed.ended.map(|ended| (old, ended)));
                        replaced.1.push((create.definition(), renamed.lost));
                        renamed.made
                    };
                    let (definition, schedule) = (create.definition(), create.schedule());
                    let result = self
                        .traced(Op::Create, definition, schedule, operation)
                        .await;
                    tried(&result);
                    (
                        create.definition().as_str(),
                        create.schedule(),
                        Op::Create,
                        result,
                    )
                })
                .collect();
            self.gather(&mut applied, creates).await;
        }
        let (replaced, lost) = replaced
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        for (definition, lost) in lost {
            applied.lose(definition.as_str(), lost);
        }
        let replaced = replaced.into_iter().filter_map(|(old, result)| {
            let (definition, op) = match old {
                OldHalf::Delete(delete) => (&delete.definition, Op::Delete),
                OldHalf::Pause(update) => (&update.definition, update.op),
                OldHalf::Stays(_) => return None,
            };
            tried(&result);
            Some(future::ready((
                definition.as_str(),
                old.schedule(),
                op,
                result,
            )))
        });
        self.gather(&mut applied, replaced.collect()).await;
        self.update_all(&others, described, permits, &tried, &mut applied)
            .await;

        for some in plan.deletes.chunks(PREPARED_LIMIT) {
            let deletes: Vec<_> = some
                .iter()
                .filter(|delete| !renamed.contains(&delete.schedule))
                .map(|delete| async {
                    let _slot = OperationPermit::take(permits).await;
                    let operation = unwound(self.delete(delete));
                    let (definition, schedule) = (&delete.definition, &delete.schedule);
                    let result = self
                        .traced(Op::Delete, definition, schedule, operation)
                        .await;
                    tried(&result);
                    (
                        delete.definition.as_str(),
                        &delete.schedule,
                        Op::Delete,
                        result,
                    )
                })
                .collect();
            self.gather(&mut applied, deletes).await;
        }

        applied
            .changes
            .sort_by(|a, b| (a.op, &a.id).cmp(&(b.op, &b.id)));
        applied
    }

    async fn update_all(
        &self,
        updates: &[&Update],
        described: &BTreeMap<ScheduleId, Described>,
        permits: &Semaphore,
        tried: &(dyn Fn(&Tried) + Sync),
        applied: &mut Applied,
    ) {
        for some in updates.chunks(PREPARED_LIMIT) {
            let updates: Vec<_> = some
                .iter()
                .map(|update| async {
                    let mut permit = OperationPermit::take(permits).await;
                    let operation = async {
                        if let Some(described) = described.get(&update.schedule) {
                            Box::pin(unwound(self.update(update, described, &mut permit))).await
                        } else {
                            let definition = update.definition.clone();
                            let converge = self.converge(definition, &update.schedule, &mut permit);
                            Box::pin(unwound(converge)).await
                        }
                    };
                    let (definition, schedule) = (&update.definition, &update.schedule);
                    let result = self
                        .traced(update.op, definition, schedule, operation)
                        .await;
                    tried(&result);
                    (
                        update.definition.as_str(),
                        &update.schedule,
                        update.op,
                        result,
                    )
                })
                .collect();
            self.gather(applied, updates).await;
        }
    }

    /// Does an operation in a span of its own. An operation that the pass leaves out has none.
    async fn traced(
        &self,
        op: Op,
        definition: &DefinitionId,
        schedule: &ScheduleId,
        operation: impl Future<Output = Tried>,
    ) -> Tried {
        if !(self.is_current)() {
            return operation.await;
        }
        let span = spans::operation(op, definition, schedule);
        let result = operation.with_context(span.clone()).await;
        let outcome = match &result {
            Ok(Outcome::Done(_)) => "done",
            Ok(Outcome::Nothing) => "nothing",
            Ok(Outcome::Skipped) => "skipped",
            Ok(Outcome::Conflict) => "conflict",
            Err(error) => {
                spans::fail(&span, error.kind());
                "failed"
            }
        };
        span.span()
            .set_attribute(KeyValue::new("almanac.outcome", outcome));
        result
    }

    /// Waits for operations and adds their results to `applied`.
    async fn gather<'b>(
        &self,
        applied: &mut Applied,
        operations: Vec<impl Future<Output = (&'b str, &'b ScheduleId, Op, Tried)>>,
    ) {
        // Each operation takes a permit, and gives it to others while it waits.
        let operations = stream::iter(operations).buffer_unordered(PREPARED_LIMIT);
        futures::pin_mut!(operations);
        while let Some((definition, schedule, op, result)) = operations.next().await {
            crate::metrics::operation(op, result.is_ok());
            match result {
                Ok(Outcome::Done(done)) => {
                    tracing::info!(
                        definition, %schedule, op = crate::metrics::op_name(op),
                        reason = done.change.reason, "schedule reconciled"
                    );
                    applied.take(definition, *done);
                }
                Ok(Outcome::Nothing) => {}
                Ok(Outcome::Skipped) => applied.interrupted = true,
                Ok(Outcome::Conflict) => {
                    tracing::error!(
                        definition, %schedule,
                        "an unmanaged schedule has this id; not changed"
                    );
                    applied.conflicts += 1;
                }
                Err(error) => {
                    tracing::warn!(
                        definition, %schedule, op = crate::metrics::op_name(op), %error,
                        "operation failed"
                    );
                    applied.errors.push(ErrorSource::Temporal.error(
                        Some(definition.to_owned()),
                        format!("{} `{schedule}`: {error}", crate::metrics::op_name(op)),
                    ));
                }
            }
        }
    }

    async fn create(&self, create: &Create, permit: &mut OperationPermit<'_>) -> Tried {
        if !(self.is_current)() {
            return Ok(Outcome::Skipped);
        }
        self.create_now(create, permit).await
    }

    /// Creates a schedule, even if the registry has changed meanwhile.
    async fn create_now(&self, create: &Create, permit: &mut OperationPermit<'_>) -> Tried {
        let memo = wire::owner_memo(self.project, create.definition());
        let body = self.schedules.encode_create(create);
        match self
            .schedules
            .create(create.schedule(), body, memo, request_id())
            .await
        {
            Ok(()) => Ok(Outcome::Done(Box::new(Done::created(create)))),
            // Another writer was faster, or the answer to this create was lost.
            Err(RequestError::AlreadyExists) => {
                let definition = create.definition().clone();
                Box::pin(self.converge(definition, create.schedule(), permit)).await
            }
            Err(error) => Err(error),
        }
    }

    /// Describes a schedule and updates it to what its definition says.
    async fn converge(
        &self,
        definition: DefinitionId,
        schedule: &ScheduleId,
        permit: &mut OperationPermit<'_>,
    ) -> Tried {
        let response = self.schedules.describe(schedule).await?;
        let Some(described) = self.schedules.live(self.project, schedule, response) else {
            return Ok(Outcome::Conflict);
        };
        match self.replan(&definition, &described, false) {
            Some(update) => self.update(&update, &described, permit).await,
            None => Ok(Outcome::Nothing),
        }
    }

    /// Plans the update of one schedule again from its present state.
    fn replan(
        &self,
        definition: &DefinitionId,
        described: &Described,
        removal: bool,
    ) -> Option<Update> {
        if removal {
            return (!described.live.values.paused).then(|| pause_orphan(&described.live));
        }
        match compare(
            &self.scheduled.get(definition)?.desired(),
            &described.live,
            self.policy,
        ) {
            Comparison::Newer(_) => None,
            Comparison::Known(known) => known.update.map(|update| *update),
        }
    }

    async fn update(
        &self,
        planned: &Update,
        described: &Described,
        permit: &mut OperationPermit<'_>,
    ) -> Tried {
        let mut write = PendingWrite::new(planned, described);
        for _ in 0..PLAN_ATTEMPTS {
            let waited = Box::pin(self.wait_for_write_moment(&mut write, permit)).await;
            if !matches!(waited, Ok(None)) {
                self.check_dropped_runs(&mut write, permit).await;
            }
            if let Some(outcome) = waited? {
                return Ok(outcome);
            }
            let token = write.described.conflict_token.clone();
            let sent = self
                .schedules
                .update(
                    &write.update.schedule,
                    write.body(self.schedules),
                    token.clone(),
                    request_id(),
                )
                .await;
            let now = match sent {
                Ok(()) => match self.read_back(&write.update, &token).await {
                    Ok(now) => now,
                    Err(error) => {
                        let dropped = write.dropped(self.written_at(None)).0;
                        write.at_risk.extend(dropped);
                        self.check_dropped_runs(&mut write, permit).await;
                        return Err(error);
                    }
                },
                // The answer was lost and the request was repeated: the write
                // may have happened.
                Err(RequestError::Stale) => self.read_back(&write.update, &[]).await?,
                Err(error) if error.is_ambiguous() => {
                    match self.read_back(&write.update, &token).await {
                        Ok(now @ ReadBack::Written(_)) => now,
                        _ => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            };
            let now = match now {
                ReadBack::Written(now) => {
                    return Ok(Box::pin(self.written(write, *now, permit)).await);
                }
                ReadBack::Other(now) => now,
            };
            let Some(now) = *now else {
                return Ok(Outcome::Conflict);
            };
            if let Some(outcome) = self.take(&mut write, now) {
                self.check_dropped_runs(&mut write, permit).await;
                return Ok(outcome);
            }
        }
        self.check_dropped_runs(&mut write, permit).await;
        Err(RequestError::Stale)
    }

    /// Takes over the present state of a schedule, and plans the write again if
    /// the schedule has changed. Returns an outcome if no write is needed any
    /// more.
    fn take(&self, write: &mut PendingWrite, now: Described) -> Option<Outcome> {
        if now.conflict_token != write.described.conflict_token {
            tracing::debug!(schedule = %write.update.schedule, "the schedule has changed; planning again");
            match self.replan(&write.update.definition, &now, write.update.removal) {
                Some(update) => write.update = update,
                None => return Some(Outcome::Nothing),
            }
        }
        write.described = now;
        None
    }

    /// Describes a schedule until it shows the write or some other change.
    async fn read_back(&self, update: &Update, token: &[u8]) -> Result<ReadBack, RequestError> {
        let mut wait = READ_BACK_WAIT;
        let mut tries = 0;
        loop {
            let response = self.schedules.describe(&update.schedule).await?;
            let Some(now) = self
                .schedules
                .live(self.project, &update.schedule, response)
            else {
                return Ok(ReadBack::Other(Box::new(None)));
            };
            if shows(&now, update) {
                return Ok(ReadBack::Written(Box::new(now)));
            }
            tries += 1;
            // The token is unchanged: the server has not handled the update
            // yet.
            if now.conflict_token != token || tries == READ_BACKS {
                return Ok(ReadBack::Other(Box::new(Some(now))));
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }

    async fn delete(&self, delete: &Delete) -> Tried {
        if !(self.is_current)() {
            return Ok(Outcome::Skipped);
        }
        self.delete_now(delete).await
    }

    /// Deletes a schedule, even if the registry has changed meanwhile.
    async fn delete_now(&self, delete: &Delete) -> Tried {
        // A schedule that another writer deleted and created again meanwhile is
        // not managed any more.
        let deletion = self
            .schedules
            .delete_owned(self.project, &delete.schedule)
            .await?;
        Ok(match deletion {
            Deletion::Deleted => Outcome::Done(Box::new(Done::deleted(delete))),
            Deletion::Absent => Outcome::Nothing,
            Deletion::NotOwned => Outcome::Conflict,
        })
    }
}

enum ReadBack {
    Written(Box<Described>),
    /// The schedule is different now; `None` if it is not managed any more.
    Other(Box<Option<Described>>),
}

/// Returns `true` if the schedule is as `update` wrote it.
pub(super) fn shows(now: &Described, update: &Update) -> bool {
    let live = &now.live;
    live.readable_memo() == Some(&update.memo)
        && live.note == update.note
        && live.values.paused == update.values.paused
        && update
            .fields
            .keys()
            .all(|field| *field == Field::Paused || live.agrees(&update.values, *field))
}

/// Turns a panic of an operation into an error of this operation, so that the
/// others continue.
async fn unwound(operation: impl Future<Output = Tried>) -> Tried {
    let ended = AssertUnwindSafe(operation).catch_unwind().await;
    ended.unwrap_or_else(|_| Err(panicked()))
}

fn panicked() -> RequestError {
    RequestError::Failed("Almanac has a bug: the operation panicked; the log says where".to_owned())
}

/// An id for one write, by which the server recognizes a repeated request.
pub(crate) fn request_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(
        "almanac-{}-{}-{count}",
        std::process::id(),
        Timestamp::now().as_nanosecond()
    )
}
