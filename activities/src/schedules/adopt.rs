//! Adopting: one of our schedules takes over from a foreign one.
//!
//! Expected flow: ours is held; at a quiet moment the foreign one is paused and
//! marked; ours is let go with the foreign one's live state; a time that fell
//! between the two is run by ours; the foreign one is deleted.
//!
//! Guarantees: a time that either would have run is run once. What was done so
//! far is read from the two schedules each time, so the whole may be ended
//! anywhere and begun anew. The server decides by the time of a schedule's last
//! update: the foreign one runs what is due before its pause, ours what is due
//! after it was let go, and what lies between is neither's. Runs are named
//! after the time they are for, which proves what was run.
//!
//! Assumes that nobody else writes either schedule meanwhile; who does is told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use almanac_workflows::definition::OverlapPolicy;
use almanac_workflows::names::{DefinitionId, Project, ScheduleId};
use almanac_workflows::plan::{AdoptedState, Update, hold_for_adoption, let_go};
use almanac_workflows::record::{Adoption, Adoptions, Change, Flag, Op, ReportError};
use almanac_workflows::schedule::{Desired, ScheduleValues};
use almanac_workflows::times::{Quiet, Spec};
use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use temporalio_common::protos::temporal::api::enums::v1::ScheduleOverlapPolicy;
use temporalio_common::protos::temporal::api::schedule::v1::{
    BackfillRequest, Schedule, SchedulePatch,
};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeScheduleResponse;

use super::apply::{PLANS, READ_BACK_WAIT, READ_BACKS, request_id, shows};
use super::wire::{self, Described, decode_time};
use super::{Applied, RequestError, Schedules};

/// The time without a run in which the two are exchanged, where there is one.
pub const QUIET: Quiet = Quiet {
    before: Duration::from_secs(2),
    after: Duration::from_secs(3),
};
/// A narrower one, for a schedule that runs every few seconds.
const NARROW: Quiet = Quiet {
    before: Duration::from_secs(1),
    after: Duration::from_millis(700),
};
/// The narrowest, for one that runs every second: well after a run.
const NARROWEST: Quiet = Quiet {
    before: Duration::from_millis(600),
    after: Duration::from_millis(100),
};
/// How often what was missed is run: running it may lose another time.
const ROUNDS: u32 = 5;
/// How long a quiet moment is waited for.
const WAIT: SignedDuration = SignedDuration::from_secs(10);
/// A run that is due starts within this.
const LATE: SignedDuration = SignedDuration::from_secs(3);
/// The most times that ours runs for the two.
const MISSED_LIMIT: usize = 1000;
/// The longest part of a note that is kept in another.
const NOTE_LIMIT: usize = 500;

const MARK: &str = "Paused while Almanac lets `";
const MARK_END: &str = "` take over";

/// Why a schedule was not adopted. What was done stays; the same again goes on.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum AdoptError {
    #[error("schedule `{0}` is gone, and nothing can be taken over; `almanac unpause` starts ours")]
    Gone(ScheduleId),
    #[error("schedule `{0}` belongs to project `{1}`, not to the one that was named")]
    Owned(ScheduleId, Project),
    #[error("schedule `{0}` is this project's own")]
    Own(ScheduleId),
    #[error(
        "schedule `{0}` has the very id of ours, and the two cannot stand side by side; \
         give the definition another id"
    )]
    SameId(ScheduleId),
    #[error("there is no schedule `{0}` of ours; a definition that never fires makes none")]
    NoneOfOurs(ScheduleId),
    #[error("schedule `{0}` is being taken over by another one: {1}")]
    Taken(ScheduleId, String),
    #[error(
        "schedule `{0}` has {1} runs in its buffer, which would be lost; adopt it when it has none"
    )]
    Buffered(ScheduleId, i64),
    #[error(
        "schedule `{0}` may run now, with its jitter; its next quiet moment is {next}",
        next = .1.map_or("not in sight".to_owned(), |at| at.to_string())
    )]
    NotQuiet(ScheduleId, Option<Timestamp>),
    #[error(
        "schedule `{0}` was changed by someone meanwhile; it is left paused or as it is, and not deleted"
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
    /// The requests.
    pub schedules: &'a Schedules,
    /// The project.
    pub project: &'a Project,
    /// What the definitions ask for.
    pub desired: &'a BTreeMap<DefinitionId, Desired>,
}

/// The foreign schedule as it is now.
struct Old {
    id: ScheduleId,
    body: Schedule,
    values: ScheduleValues,
    token: Vec<u8>,
    note: String,
    /// It is paused, and we did it.
    marked: bool,
    remaining: Option<u64>,
    buffered: i64,
    runs: usize,
    updated: Timestamp,
}

impl Adopter<'_> {
    /// Does adoptions, some at a time; none stops another. What they came to
    /// is added to `applied`.
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
                    applied.errors.push(ReportError {
                        source: "adopt".to_owned(),
                        id: Some(id.to_string()),
                        message: error.to_string(),
                    });
                }
            }
        }
    }

    /// Does one adoption to its end; `None` when it was done before.
    pub(super) async fn adopt(
        &self,
        id: &DefinitionId,
        adoption: &Adoption,
    ) -> Result<Option<Change>, AdoptError> {
        let schedule = self.project.schedule_id(id);
        let Some(desired) = self.desired.get(id) else {
            return Err(AdoptError::NoneOfOurs(schedule));
        };
        let from = &adoption.from;
        if *from == schedule {
            return Err(AdoptError::SameId(schedule));
        }
        let Some(mut old) = self.old(desired, adoption).await? else {
            let held = self.ours(&schedule).await?.is_some_and(|ours| held(&ours));
            return if held {
                Err(AdoptError::Gone(from.clone()))
            } else {
                Ok(None)
            };
        };
        let ours = self
            .ours(&schedule)
            .await?
            .ok_or_else(|| AdoptError::NoneOfOurs(schedule.clone()))?;
        let goes_on = old.marked && !held(&ours);
        let mut due = BTreeSet::new();
        if !goes_on {
            self.write(&schedule, |ours| {
                hold_for_adoption(desired, &ours.live, from)
            })
            .await?;
            old = self.pause(desired, adoption, old).await?;
            let state = old.state();
            due = self.let_go(desired, &old, &state).await?;
        } else if ours.buffered() == 0 {
            due = between(&old, desired, ours.live.updated_at.unwrap_or(old.updated));
        }
        let missed = self.make_up(desired, &old, due).await?;
        self.remove(desired, adoption, &old).await?;
        tracing::info!(definition = %id, from = %from, missed, by = adoption.by, "schedule adopted");
        let reason = match missed {
            0 => format!("took over from `{from}`"),
            some => format!("took over from `{from}`; ran {some} due between the two"),
        };
        Ok(Some(Change {
            id: id.to_string(),
            op: Op::Update,
            fields: Vec::new(),
            reason,
        }))
    }

    /// The foreign schedule; `None` when it is gone.
    async fn old(&self, ours: &Desired, adoption: &Adoption) -> Result<Option<Old>, AdoptError> {
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
        let old = Old::of(id, ours, response);
        if !old.marked && old.values.paused && is_being_adopted(&old.note) {
            return Err(AdoptError::Taken(id.clone(), old.note));
        }
        Ok(Some(old))
    }

    async fn ours(&self, id: &ScheduleId) -> Result<Option<Ours>, AdoptError> {
        match self.schedules.describe(id).await {
            Ok(response) => Ok(Ours::of(self.project, id, response)),
            Err(RequestError::NotFound) => Ok(None),
            Err(error) => Err(request("describe", id)(error)),
        }
    }

    async fn must(&self, id: &ScheduleId) -> Result<Ours, AdoptError> {
        let ours = self.ours(id).await?;
        ours.ok_or_else(|| AdoptError::NoneOfOurs(id.clone()))
    }

    /// Pauses the foreign schedule at a quiet moment, unless it is paused.
    async fn pause(
        &self,
        desired: &Desired,
        adoption: &Adoption,
        old: Old,
    ) -> Result<Old, AdoptError> {
        let mut old = old;
        for _ in 0..PLANS {
            if old.values.paused {
                return Ok(old);
            }
            if old.buffered > 0 {
                return Err(AdoptError::Buffered(old.id, old.buffered));
            }
            wait_for_quiet(desired, &old).await?;
            let mut body = old.body.clone();
            let state = body.state.get_or_insert_default();
            state.paused = true;
            state.notes = marked(&desired.schedule, &old.note);
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

    /// Reads the foreign schedule until it is not what it was.
    async fn read_old_back(
        &self,
        desired: &Desired,
        adoption: &Adoption,
        before: Old,
    ) -> Result<Old, AdoptError> {
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

    /// Lets ours go; the times that may be neither's.
    async fn let_go(
        &self,
        desired: &Desired,
        old: &Old,
        state: &AdoptedState,
    ) -> Result<BTreeSet<Timestamp>, AdoptError> {
        // With jitter the two run the same time at different moments.
        if old.marked && !desired.values.spec.jitter.is_zero() {
            wait_for_quiet(desired, old).await?;
        }
        let ours = self
            .write(&desired.schedule, |ours| {
                held(ours).then(|| let_go(desired, &ours.live, &old.id, state))
            })
            .await?;
        let now = ours.live.updated_at.unwrap_or(old.updated);
        Ok(between(old, desired, now))
    }

    /// Writes ours as `plan` says until it says that nothing is left to write.
    async fn write(
        &self,
        id: &ScheduleId,
        plan: impl Fn(&Ours) -> Option<Update> + Send + Sync,
    ) -> Result<Ours, AdoptError> {
        let mut ours = self.must(id).await?;
        for _ in 0..PLANS {
            let Some(update) = plan(&ours) else {
                return Ok(ours);
            };
            let body = wire::encode_update(&update, &ours.body);
            let token = ours.conflict_token.clone();
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
                ours = self.must(id).await?;
                if shows(&ours.described, &update) {
                    return Ok(ours);
                }
                if ours.conflict_token != token {
                    break;
                }
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
        }
        Err(AdoptError::Changed(id.clone()))
    }

    /// Runs what of these times nobody ran; how many.
    ///
    /// One of the servers drops a time that is due and not yet handled when a
    /// schedule is written or patched. So the times just before each write are
    /// looked at, and those before the patch that makes up for them, too.
    async fn make_up(
        &self,
        desired: &Desired,
        old: &Old,
        due: BTreeSet<Timestamp>,
    ) -> Result<usize, AdoptError> {
        let ours = self.must(&desired.schedule).await?;
        if !old.marked || ours.live.values.paused {
            return Ok(0);
        }
        let names = [
            old.values.action.workflow_id.as_str(),
            desired.values.action.workflow_id.as_str(),
        ];
        let busy = old.runs > 0 && old.values.overlap_policy != OverlapPolicy::AllowAll;
        let mut seen = due.clone();
        let mut missed = self.missed(&names, due, old.updated, busy).await?;
        let mut count = 0;
        for _ in 0..ROUNDS {
            if missed.is_empty() {
                return Ok(count);
            }
            count += missed.len();
            wait_for_quiet(desired, old).await?;
            self.run_missed(&ours, &missed).await?;
            let at = Timestamp::now();
            let mut near = times_until(&desired.values.spec, at - LATE, at);
            near.retain(|time| !seen.contains(time));
            seen.extend(&near);
            let busy = desired.values.overlap_policy != OverlapPolicy::AllowAll;
            missed = self.missed(&names[1..], near, at, busy).await?;
        }
        Ok(count)
    }

    /// Which of these times nobody ran. A run that was due until `write` may
    /// be starting still. `busy`: it may have been skipped, since an earlier
    /// run went on.
    async fn missed(
        &self,
        names: &[&str],
        due: BTreeSet<Timestamp>,
        write: Timestamp,
        busy: bool,
    ) -> Result<BTreeSet<Timestamp>, AdoptError> {
        let mut missed = BTreeSet::new();
        for time in due {
            let patient = time <= write;
            let mut ran = false;
            loop {
                for name in names {
                    ran = ran || self.ran(name, time).await?;
                }
                if ran || !patient || Timestamp::now().duration_since(write) > LATE {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            if !ran && !(patient && busy) {
                missed.insert(time);
            }
        }
        Ok(missed)
    }

    /// Whether the run for `time` was started.
    async fn ran(&self, workflow_id: &str, time: Timestamp) -> Result<bool, AdoptError> {
        let id = format!("{workflow_id}-{}", time.strftime("%Y-%m-%dT%H:%M:%SZ"));
        self.schedules.has_workflow(&id).await.map_err(|error| {
            let id = ScheduleId::from_server(id);
            request("look for the run", &id)(error)
        })
    }

    /// Lets ours run what nobody did: one after the other, unless its runs may
    /// go on side by side.
    async fn run_missed(&self, ours: &Ours, times: &BTreeSet<Timestamp>) -> Result<(), AdoptError> {
        if times.is_empty() {
            return Ok(());
        }
        let values = &ours.live.values;
        let policy = match values.overlap_policy {
            OverlapPolicy::AllowAll => ScheduleOverlapPolicy::AllowAll,
            _ => ScheduleOverlapPolicy::BufferAll,
        };
        let half = SignedDuration::from_millis(500);
        let backfill_request = times
            .iter()
            .map(|time| {
                let to_next = next(&values.spec, *time).map(|next| next.duration_since(*time));
                let jitter = signed(values.spec.jitter).min(to_next.unwrap_or(SignedDuration::MAX));
                BackfillRequest {
                    start_time: Some(encode(*time - half)),
                    end_time: Some(encode(*time + jitter.max(half))),
                    overlap_policy: policy.into(),
                }
            })
            .collect();
        let patch = SchedulePatch {
            backfill_request,
            ..SchedulePatch::default()
        };
        self.schedules
            .patch(&ours.live.schedule, patch, request_id())
            .await
            .map_err(request("backfill", &ours.live.schedule))
    }

    /// Deletes the foreign schedule, if it is as it was left.
    async fn remove(
        &self,
        desired: &Desired,
        adoption: &Adoption,
        old: &Old,
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

/// One of ours as it is now.
struct Ours {
    described: Described,
    buffered: i64,
}

impl std::ops::Deref for Ours {
    type Target = Described;

    fn deref(&self) -> &Described {
        &self.described
    }
}

impl Ours {
    fn of(project: &Project, id: &ScheduleId, response: DescribeScheduleResponse) -> Option<Self> {
        let buffered = response.info.as_ref().map_or(0, |info| info.buffer_size);
        let described = wire::live(project, id, response)?;
        Some(Self {
            described,
            buffered,
        })
    }

    fn buffered(&self) -> i64 {
        self.buffered
    }
}

impl Old {
    fn of(id: &ScheduleId, ours: &Desired, response: DescribeScheduleResponse) -> Self {
        let body = response.schedule.unwrap_or_default();
        let info = response.info.unwrap_or_default();
        let state = body.state.clone().unwrap_or_default();
        let updated = info.update_time.or(info.create_time);
        Self {
            id: id.clone(),
            values: wire::decode_values(&body),
            token: response.conflict_token,
            marked: state.paused && state.notes.starts_with(&mark(&ours.schedule)),
            remaining: state
                .limited_actions
                .then(|| u64::try_from(state.remaining_actions).unwrap_or_default()),
            note: state.notes,
            buffered: info.buffer_size,
            runs: info.running_workflows.len(),
            updated: updated.as_ref().and_then(decode_time).unwrap_or_default(),
            body,
        }
    }

    /// What ours takes over.
    fn state(&self) -> AdoptedState {
        AdoptedState {
            paused: (self.values.paused && !self.marked).then(|| self.note.clone()),
            remaining: self.remaining,
        }
    }
}

/// Whether ours waits to be let go.
fn held(ours: &Ours) -> bool {
    let memo = ours.live.readable_memo();
    ours.live.values.paused && memo.is_some_and(|memo| memo.flags.contains(&Flag::Adopting))
}

/// The times of ours that the foreign one may not have run any more, and that
/// ours, let go at `now`, did not run.
fn between(old: &Old, ours: &Desired, now: Timestamp) -> BTreeSet<Timestamp> {
    let spec = &ours.values.spec;
    // Around a pause at a quiet moment nothing with jitter is due.
    let before = if spec.jitter.is_zero() {
        LATE
    } else {
        SignedDuration::ZERO
    };
    let start = (old.updated - before).max(now - signed(ours.values.catchup_window));
    let theirs = times_until(&old.values.spec, start, old.updated);
    let mut due = times_until(spec, start, now);
    due.retain(|time| *time > old.updated || theirs.contains(time));
    due
}

fn times_until(spec: &Spec, after: Timestamp, until: Timestamp) -> BTreeSet<Timestamp> {
    let found = spec.fire_times(after, MISSED_LIMIT);
    found
        .times
        .into_iter()
        .take_while(|time| *time < until)
        .collect()
}

fn next(spec: &Spec, after: Timestamp) -> Option<Timestamp> {
    spec.fire_times(after, 1).times.first().copied()
}

/// Waits for a moment at which neither runs. One that runs so often that there
/// is none is exchanged at once: what it misses is seen.
async fn wait_for_quiet(ours: &Desired, old: &Old) -> Result<(), AdoptError> {
    let specs = [&old.values.spec, &ours.values.spec];
    let now = Timestamp::now();
    let found = [QUIET, NARROW, NARROWEST]
        .iter()
        .find_map(|quiet| quiet.next(&specs, now, now + WAIT));
    let jitter = specs.iter().any(|spec| !spec.jitter.is_zero());
    match found {
        Some(at) => {
            let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            tokio::time::sleep(wait).await;
            Ok(())
        }
        None if jitter => {
            let next = QUIET.next(&specs, now, now + SignedDuration::from_hours(24 * 7));
            Err(AdoptError::NotQuiet(old.id.clone(), next))
        }
        None => Ok(()),
    }
}

/// What the note of a foreign schedule begins with while ours takes over.
fn mark(ours: &ScheduleId) -> String {
    format!("{MARK}{ours}{MARK_END}")
}

/// The note of a foreign schedule that is paused for ours.
fn marked(ours: &ScheduleId, note: &str) -> String {
    let end = note.floor_char_boundary(NOTE_LIMIT);
    match &note[..end] {
        "" => mark(ours),
        note => format!("{}; its note was: {note}", mark(ours)),
    }
}

/// Whether a note says that a schedule of some project takes over.
pub fn is_being_adopted(note: &str) -> bool {
    note.starts_with(MARK) && note.contains(MARK_END)
}

/// A foreign schedule's own note, also while it is paused for ours.
pub fn original_note(note: &str) -> &str {
    if !is_being_adopted(note) {
        return note;
    }
    note.split_once("; its note was: ")
        .map_or("", |(_, note)| note)
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

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::from_hours(24 * 365))
}

fn encode(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_keeps_the_note() {
        let ours = ScheduleId::from_server("schedule-p-x");
        let note = marked(&ours, "made by ann");
        assert!(note.starts_with(&mark(&ours)), "{note}");
        assert!(is_being_adopted(&note));
        assert_eq!(original_note(&note), "made by ann");
        assert_eq!(original_note(&mark(&ours)), "");
        assert_eq!(original_note("lunch"), "lunch");
        // Another schedule's mark is not this one's.
        assert!(!marked(&ours, "").starts_with(&mark(&ScheduleId::from_server("schedule-p-xy"))));
    }
}
