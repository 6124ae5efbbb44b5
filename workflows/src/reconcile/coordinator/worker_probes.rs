//! Announcements, and the workers' own answers that prove them.
//!
//! Anyone who may signal the workflow can send an announcement in the name of any worker.
//! So an announcement is only a reason to probe the worker: its answer to an activity on
//! its own task queue is what counts. An answer brings each announcement that
//! the worker made since the last one that was taken in.
//!
//! An edit is not probed first: the pass that follows from it is given to the worker that
//! the announcement names. The worker does the pass only if it holds that revision, and its
//! answer proves the announcement. Announcements of a worker whose release answers without
//! announcements count once the worker has answered.

use std::collections::BTreeMap;
use std::time::Duration;

use almanac_base::names::{Revision, WorkerId};
use almanac_core::record::{
    Announcement, CLAIMS_KEPT, DefinitionCounts, PassInput, Trigger, WorkerEvent,
};
use jiff::{SignedDuration, Timestamp};

use super::{Attempt, Coordinator, probe};
use crate::reconcile::current_revision::{self, RevisionChange};
use crate::reconcile::pass_queue::{self, PassRequest};
use crate::reconcile::state_limits;

/// Maximum number of announcements that one answer may bring.
const ANNOUNCEMENTS_PER_ANSWER: usize = 32;
/// Time within which a worker that has answered counts as fresh and is not probed.
const PROBE_FRESHNESS: Duration = Duration::from_secs(3);
/// Time beyond the interval before a worker counts as silent, so that the pass that the
/// worker does at the interval comes first.
const GRACE: SignedDuration = SignedDuration::from_secs(1);
/// Minimum and maximum of the time within which a worker has to start an activity.
const START_WITHIN: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(10));

impl Coordinator {
    /// Sets whether workers are probed before their announcements count. A workflow run
    /// that a release without probes began continues without them.
    pub(in crate::reconcile) fn require_probes(&mut self, asks: bool) {
        self.asks = asks;
    }

    /// Takes in an announcement that anyone may have sent.
    pub(in crate::reconcile) fn receive_announcement(&mut self, announcement: &Announcement) {
        if !self.asks {
            self.announce(announcement);
            return;
        }
        self.news += 1;
        let claims = &mut self.state.claims;
        if let Some(claim) = claims.get_mut(&announcement.worker) {
            merge(claim, announcement);
            return;
        }
        if claims.len() >= CLAIMS_KEPT {
            // Known workers take precedence over unknown ones.
            let workers = &self.state.workers;
            let is_unknown = |id: &&WorkerId| !workers.contains_key(*id);
            let Some(goes) = claims
                .keys()
                .find(is_unknown)
                .filter(|_| workers.contains_key(&announcement.worker))
                .cloned()
            else {
                self.ignore();
                return;
            };
            claims.remove(&goes);
        }
        claims.insert(announcement.worker.clone(), announcement.clone());
    }

    /// Returns `true` if a worker is to be probed: with `known`, one that has answered
    /// before.
    pub(in crate::reconcile) fn probe_waits(&self, known: bool) -> bool {
        self.asks && self.to_ask(known).is_some()
    }

    /// Returns the next worker to probe, with the input. The caller gives the answer to
    /// [`Self::answer`].
    pub(in crate::reconcile) fn next_probe(
        &mut self,
        known: bool,
    ) -> Option<(WorkerId, PassInput)> {
        let worker = self.to_ask(known)?;
        self.overdue.remove(&worker);
        let claim = self.state.claims.remove(&worker);
        let about = self.state.workers.get(&worker);
        let revision = match (&claim, about) {
            (Some(claim), _) if claim.event != WorkerEvent::Stopping => claim.revision.clone(),
            (_, Some(known)) => known.revision.clone(),
            _ => self.state.revision.clone().unwrap_or_default(),
        };
        let input = PassInput {
            heard: about.map_or(0, |known| known.last_announcement),
            ..probe(revision)
        };
        self.asking.insert(worker.clone(), claim);
        Some((worker, input))
    }

    fn to_ask(&self, known: bool) -> Option<WorkerId> {
        let edit_announced_by = self.edit_announced_by().filter(|_| self.can_pass());
        let is_free = |id: &&WorkerId| {
            !self.asking.contains_key(*id)
                && Some(*id) != edit_announced_by.as_ref()
                && (!known || self.state.workers.contains_key(*id))
        };
        let mut claimed = self.state.claims.keys();
        let mut overdue = self.overdue.iter();
        let next = claimed.find(is_free).or_else(|| overdue.find(is_free));
        next.cloned()
    }

    /// Returns `true` if the loop of passes takes up an edit by itself.
    fn can_pass(&self) -> bool {
        self.running.is_none() && self.state.suspended.is_none()
    }

    /// Takes in the end of a probe, with or without the worker's answer.
    pub(in crate::reconcile) fn answer(
        &mut self,
        worker: &WorkerId,
        input: &PassInput,
        attempt: Attempt,
    ) {
        let claim = self.asking.remove(worker).flatten();
        self.overdue.remove(worker);
        match attempt {
            Attempt::Done(done) => {
                self.proved(worker, &input.revision, done.announcements, claim, None);
            }
            Attempt::Refused(holds, announcements) if state_limits::good_name(holds.as_str()) => {
                self.proved(worker, &holds, announcements, claim, None);
            }
            Attempt::NotStarted => self.remove_dead_worker(worker),
            // The worker started the activity, so it is alive.
            Attempt::Refused(..) | Attempt::Failed(_) => {
                current_revision::answered(&mut self.state, worker, self.now);
            }
        }
        self.answers += 1;
    }

    /// Removes a worker that does not start its activities: it is dead.
    pub(super) fn remove_dead_worker(&mut self, worker: &WorkerId) {
        let (differed, options) = (self.differ(), current_revision::options(&self.state));
        let effect = current_revision::remove(&mut self.state, worker);
        if effect != RevisionChange::Stayed {
            self.moved(Trigger::Change);
        } else if !self.state.workers.is_empty()
            && (options != current_revision::options(&self.state) || (differed && !self.differ()))
        {
            self.ask(PassRequest::full(Trigger::Change));
        }
    }

    /// Takes in the announcements of a worker that answered on its own task queue, and so
    /// has proved that it holds a revision. The same answer has reconciled the definitions
    /// of the announcement `covered`.
    pub(super) fn proved(
        &mut self,
        worker: &WorkerId,
        holds: &Revision,
        announcements: Option<Vec<Announcement>>,
        claim: Option<Announcement>,
        covered: Option<&Announcement>,
    ) {
        let is_new = !self.state.workers.contains_key(worker);
        let options = current_revision::options(&self.state);
        for one in self.new_announcements(worker, holds, announcements, claim) {
            if covered.is_some_and(|covered| is_same(covered, &one)) {
                let differed = self.differ();
                let effect = self.take_in(&one);
                if effect == RevisionChange::Moved || (differed && !self.differ()) {
                    self.moved(Trigger::Change);
                }
            } else {
                self.announce(&one);
            }
        }
        current_revision::answered(&mut self.state, worker, self.now);
        let is_known = self.state.workers.contains_key(worker);
        if is_new && is_known {
            // A new worker often takes the place of one that died.
            let others = self.state.workers.iter();
            let silent = others.filter(|(_, other)| !is_fresh(other.answered_at, self.now));
            self.overdue.extend(silent.map(|(id, _)| id.clone()));
        } else if !is_new && is_known && options != current_revision::options(&self.state) {
            self.ask(PassRequest::full(Trigger::Change));
        }
    }

    /// Returns the announcements that an answer brings, in the order in which they were
    /// made.
    fn new_announcements(
        &self,
        worker: &WorkerId,
        holds: &Revision,
        announcements: Option<Vec<Announcement>>,
        claim: Option<Announcement>,
    ) -> Vec<Announcement> {
        let Some(mut announcements) = announcements else {
            // The worker is of a release that answers without announcements.
            return claim
                .map(|mut claim| {
                    if claim.event != WorkerEvent::Stopping && claim.revision != *holds {
                        claim.revision = holds.clone();
                        claim.changed = None;
                    }
                    claim
                })
                .into_iter()
                .collect();
        };
        let known = self
            .state
            .workers
            .get(worker)
            .map(|known| known.last_announcement);
        announcements.truncate(ANNOUNCEMENTS_PER_ANSWER);
        announcements.retain(|one| {
            let holds_one = one.event == WorkerEvent::Stopping
                || state_limits::good_name(one.revision.as_str());
            one.worker == *worker && one.number > known.unwrap_or_default() && holds_one
        });
        announcements.sort_by_key(|one| one.number);
        announcements
            .iter_mut()
            .for_each(state_limits::announcement);
        if known == Some(0) {
            // The earlier announcements of this worker were taken in without their numbers.
            announcements.drain(..announcements.len().saturating_sub(1));
        }
        announcements
    }

    /// Returns a worker whose announcement seems to be an edit of the current revision. A
    /// pass proves the announcement.
    pub(super) fn edit_announced_by(&self) -> Option<WorkerId> {
        if !self.asks {
            return None;
        }
        let current = self.state.revision.as_ref()?;
        let is_edit = |(id, claim): &(&WorkerId, &Announcement)| {
            let known = self.state.workers.get(*id);
            claim.event == WorkerEvent::Changed
                && claim.previous.as_ref() == Some(current)
                && claim.revision != *current
                && known.is_some_and(|known| known.revision == *current)
                && (claim.changed.is_some() || self.state.workers.len() == 1)
                && !self.asking.contains_key(*id)
        };
        let mut claims = self.state.claims.iter();
        claims.find(is_edit).map(|(id, _)| id.clone())
    }

    /// Takes up an edit: asks for a pass over the edited definitions. Returns the
    /// announcement.
    pub(super) fn take_up_edit(&mut self, worker: &WorkerId) -> Option<Announcement> {
        let claim = self.state.claims.remove(worker)?;
        let ask = match &claim.changed {
            Some(ids) => PassRequest::only(Trigger::Change, ids.clone()),
            None => PassRequest::full(Trigger::Change),
        };
        pass_queue::ask(&mut self.state, ask);
        Some(claim)
    }

    /// Keeps an announcement that has not been proved yet.
    pub(super) fn keep_claim(&mut self, claim: Announcement) {
        keep(&mut self.state.claims, claim);
    }

    /// Marks the workers that have been silent for an interval, so that they are probed.
    /// Returns the time at which the next worker is due.
    pub(super) fn listen(&mut self, interval: Duration) -> Option<Timestamp> {
        if !self.asks {
            return None;
        }
        let interval =
            SignedDuration::try_from(interval.max(PROBE_FRESHNESS)).unwrap_or(SignedDuration::MAX);
        let mut next: Option<Timestamp> = None;
        for (id, known) in &self.state.workers {
            if self.asking.contains_key(id) || self.overdue.contains(id) {
                continue;
            }
            let due = known.answered_at.saturating_add(interval + GRACE);
            let due = due.unwrap_or(Timestamp::MAX);
            if due <= self.now {
                self.overdue.insert(id.clone());
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        next
    }

    /// Returns the time within which a worker has to start an activity: three intervals,
    /// within limits.
    pub(in crate::reconcile) fn start_within(&self, worker: &WorkerId) -> Duration {
        if !self.asks || !self.state.workers.contains_key(worker) {
            return START_WITHIN.1;
        }
        let interval = current_revision::options(&self.state).reconcile_interval;
        interval
            .saturating_mul(3)
            .clamp(START_WITHIN.0, START_WITHIN.1)
    }

    /// The announcements that have not been proved yet: each worker with the revision it
    /// named.
    pub(super) fn announced(&self) -> BTreeMap<WorkerId, Revision> {
        let asking = self.asking.values().flatten();
        let hint = self.hint.iter();
        let claims = asking.chain(hint).chain(self.state.claims.values());
        claims
            .map(|claim| (claim.worker.clone(), claim.revision.clone()))
            .collect()
    }
}

fn is_fresh(answered_at: Timestamp, now: Timestamp) -> bool {
    now.duration_since(answered_at).unsigned_abs() < PROBE_FRESHNESS
}

/// Returns `true` if two announcements are the same in all that decides about the current
/// revision.
fn is_same(a: &Announcement, b: &Announcement) -> bool {
    (a.number, &a.revision, &a.previous, &a.changed, a.event)
        == (b.number, &b.revision, &b.previous, &b.changed, b.event)
}

/// Puts an announcement back, before a later one of the same worker.
pub(super) fn keep(claims: &mut BTreeMap<WorkerId, Announcement>, mut claim: Announcement) {
    if let Some(later) = claims.remove(&claim.worker) {
        merge(&mut claim, &later);
    }
    claims.insert(claim.worker.clone(), claim);
}

/// Merges a later announcement of the same worker into an earlier one.
fn merge(claim: &mut Announcement, later: &Announcement) {
    let mut merged = later.clone();
    merged.definitions = sum(claim.definitions, later.definitions);
    merged.event_types = sum(claim.event_types, later.event_types);
    if later.event == WorkerEvent::Changed && claim.event != WorkerEvent::Stopping {
        merged.event = claim.event;
        merged.previous.clone_from(&claim.previous);
        merged.changed = match (claim.changed.take(), &later.changed) {
            (Some(mut ids), Some(more)) => {
                ids.extend_from_slice(more);
                ids.sort();
                ids.dedup();
                Some(ids)
            }
            _ => None,
        };
    }
    state_limits::announcement(&mut merged);
    *claim = merged;
}

fn sum(mut counts: DefinitionCounts, more: DefinitionCounts) -> DefinitionCounts {
    counts.add(more);
    counts
}
