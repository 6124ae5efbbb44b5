//! Changes of the state, as plain functions.

use std::collections::BTreeSet;

use almanac_base::names::{DefinitionId, Project};
use almanac_base::size::json_size;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{ALL, EndedRun, Followed, RunDeadline, late_event};
use crate::record::{FollowState, FollowedRun, WaitingEvent, WatchedRun};

/// Time before the cursor from which on ends are read again: visibility shows an end some time
/// after it happened.
pub const OVERLAP: SignedDuration = SignedDuration::from_secs(30);
/// Maximum age of the cursor. Ends before that are not handled.
pub const CATCH_UP: SignedDuration = SignedDuration::from_hours(12);
/// Time after a deadline at which it counts as passed: visibility shows an end some time after it
/// happened.
const DEADLINE_MARGIN: SignedDuration = SignedDuration::from_secs(2);
/// Maximum number of ends that are remembered as handled.
const HANDLED_LIMIT: usize = 4000;
/// Maximum number of events whose runs could not be started.
pub const WAITING_LIMIT: usize = 100;
/// Maximum size of these events together, in bytes of JSON.
const WAITING_BYTES: usize = 256 * 1024;
/// Maximum number of runs whose deadlines are watched.
pub const WATCHED_LIMIT: usize = 500;
/// Maximum size of these runs together, in bytes of JSON.
const WATCHED_BYTES: usize = 256 * 1024;
/// Number of lists without a run after which the run is taken for gone. One list can lack a run that
/// is between two executions.
const GONE_AFTER: u32 = 5;
/// Maximum number of definitions and deadlines whose times are remembered.
const TIMES_LIMIT: usize = 5000;

/// A deadline that passed before a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct PassedDeadline {
    /// Position of the run in [`FollowState::watched`].
    run: usize,
    deadline: RunDeadline,
    /// The event about the deadline.
    pub event: Value,
}

impl FollowState {
    /// The state with lists that are not longer than their limits, whatever it was read from.
    #[must_use]
    pub fn bounded(mut self, now: Timestamp) -> Self {
        let future = |at: &mut Timestamp| *at = (*at).min(now);
        self.cursor.iter_mut().for_each(future);
        self.handled.values_mut().for_each(future);
        self.since.values_mut().for_each(future);
        self.forget_handled();
        self.waiting.truncate(WAITING_LIMIT);
        while json_size(&self.waiting) > WAITING_BYTES {
            self.waiting.pop();
        }
        self.watched.truncate(WATCHED_LIMIT);
        while json_size(&self.watched) > WATCHED_BYTES {
            self.watched.pop();
        }
        for times in [&mut self.since, &mut self.last_ends] {
            while times.len() > TIMES_LIMIT {
                times.pop_last();
            }
        }
        while self.last_runs.len() > TIMES_LIMIT {
            self.last_runs.pop_last();
        }
        self
    }

    /// Takes note of everything that is followed now. Returns `true` if something is followed that
    /// was not followed before: the state should be kept then, so that no end after this time is
    /// lost.
    pub fn follow(&mut self, followed: &Followed, now: Timestamp) -> bool {
        let is_new = !std::mem::replace(&mut self.begun, true);
        let cursor = *self.cursor.get_or_insert(now);
        let oldest = now.saturating_sub(CATCH_UP).unwrap_or(Timestamp::MIN);
        self.cursor = Some(cursor.max(oldest));
        let keys = followed.keys();
        self.since.retain(|key, _| keys.contains(key));
        let before = self.since.len();
        for key in keys.into_iter().take(TIMES_LIMIT) {
            let since = if is_new { cursor } else { now };
            self.since.entry(key).or_insert(since);
        }
        let watched = |run: &WatchedRun| followed.deadlines.contains_key(&run.run.definition);
        self.watched.retain(watched);
        let with_deadlines: BTreeSet<_> = followed.deadlines.keys().collect();
        self.last_ends.retain(|key, _| {
            let id = key
                .split(' ')
                .next()
                .and_then(|id| id.parse::<DefinitionId>().ok());
            id.is_some_and(|id| with_deadlines.contains(&id))
        });
        let again: BTreeSet<_> = followed.again.iter().map(|(one, _)| &one.id).collect();
        self.last_runs.retain(|id, _| again.contains(id));
        self.since.len() > before && !is_new
    }

    /// Time from which on ends have to be read. `None` before [`follow`](Self::follow).
    pub fn read_from(&self) -> Option<Timestamp> {
        self.cursor?.saturating_sub(OVERLAP).ok()
    }

    /// Returns `true` if an end was handled, or is older than the time since which the definition is
    /// followed.
    pub fn is_past(&self, end: &EndedRun) -> bool {
        let since = [ALL, end.run.definition.as_str()];
        let since = since.iter().filter_map(|key| self.since.get(*key)).min();
        self.handled.contains_key(&end.run.run_id) || since.is_none_or(|since| end.ended < *since)
    }

    /// Takes note that an end has been handled.
    pub fn handled(&mut self, end: &EndedRun) {
        self.handled.insert(end.run.run_id.clone(), end.ended);
    }

    /// Takes note that all ends before this time have been read and handled.
    pub fn advance(&mut self, to: Timestamp) {
        self.cursor = self.cursor.max(Some(to));
        self.forget_handled();
    }

    fn forget_handled(&mut self) {
        if let Some(from) = self.read_from() {
            self.handled.retain(|_, ended| *ended >= from);
        }
        let surplus = self.handled.len().saturating_sub(HANDLED_LIMIT);
        if surplus > 0 {
            let mut times: Vec<_> = self.handled.values().copied().collect();
            times.sort_unstable();
            let first = times[surplus];
            self.handled.retain(|_, ended| *ended >= first);
        }
        while self.handled.len() > HANDLED_LIMIT {
            self.handled.pop_first();
        }
    }

    /// Keeps an event whose runs could not be started. Returns `false` if there is no more room.
    pub fn wait(&mut self, event: &Value) -> bool {
        let has_room = self.waiting.len() < WAITING_LIMIT
            && json_size(&self.waiting) + json_size(event) <= WAITING_BYTES;
        if has_room {
            self.waiting.push(WaitingEvent {
                event: event.clone(),
                attempts: 1,
            });
        }
        has_room
    }

    /// Start of the run that an execution belongs to: a run that continued as new, or that was
    /// retried, has several executions.
    pub fn start_of(&self, run: &FollowedRun) -> Timestamp {
        let known = self.watched.iter().find(|one| one.is(run));
        known.map_or(run.started, |known| known.run.started)
    }

    /// Watches the deadlines of a run. Returns `false` if there is no more room.
    pub fn watch(&mut self, followed: &Followed, run: &FollowedRun) -> bool {
        let mut deadlines = followed.deadlines_of(&run.definition);
        if !deadlines.any(|deadline| self.applies(deadline, run))
            || self.watched.iter().any(|one| one.is(run))
        {
            return true;
        }
        let watched = WatchedRun {
            settled: followed
                .deadlines_of(&run.definition)
                .filter(|deadline| {
                    let last = self.last_ends.get(&last_key(run, *deadline));
                    last.is_some_and(|last| run.started <= *last && *last <= deadline.at(run))
                })
                .map(|deadline| deadline.key(&run.definition))
                .collect(),
            run: run.clone(),
            ended: false,
            missed: 0,
        };
        let has_room = self.watched.len() < WATCHED_LIMIT
            && json_size(&self.watched) + json_size(&watched) <= WATCHED_BYTES;
        if has_room {
            self.watched.push(watched);
        }
        has_room
    }

    /// Takes note of an end: it meets the deadlines of the runs that started before it.
    pub fn ended(&mut self, followed: &Followed, end: &EndedRun) {
        let run = &end.run;
        for deadline in followed.deadlines_of(&run.definition) {
            if deadline.counts(end) {
                let last = self.last_ends.entry(last_key(run, deadline));
                let last = last.or_insert(end.ended);
                *last = end.ended.max(*last);
            }
        }
        for watched in &mut self.watched {
            if watched.run.definition != run.definition {
                continue;
            }
            for deadline in followed.deadlines_of(&run.definition) {
                let is_met = deadline.counts(end)
                    && watched.run.started <= end.ended
                    && end.ended <= deadline.at(&watched.run);
                if is_met {
                    watched.settle(deadline);
                }
            }
            watched.ended |= watched.is(run);
        }
    }

    /// The deadlines that have passed. They are returned until they are
    /// [settled](Self::settle).
    pub fn passed(&self, project: &Project, followed: &Followed) -> Vec<PassedDeadline> {
        let Some(cursor) = self.cursor else {
            return Vec::new();
        };
        let now = cursor.saturating_sub(DEADLINE_MARGIN).unwrap_or(cursor);
        let mut passed = Vec::new();
        for (index, watched) in self.watched.iter().enumerate() {
            let run = &watched.run;
            for deadline in followed.deadlines_of(&run.definition) {
                let is_open = !watched.settled.contains(&deadline.key(&run.definition));
                if is_open && self.applies(deadline, run) && deadline.at(run) < now {
                    passed.push(PassedDeadline {
                        run: index,
                        deadline,
                        event: late_event(project, run, deadline),
                    });
                }
            }
        }
        passed
    }

    /// Takes note that a deadline that passed has been handled.
    pub fn settle(&mut self, passed: &PassedDeadline) {
        if let Some(watched) = self.watched.get_mut(passed.run) {
            watched.settle(passed.deadline);
        }
    }

    /// Forgets the runs that no deadline is left for. `open` are the workflow ids of all runs that
    /// have not ended; `None` if they are not all known.
    pub fn forget_watched(&mut self, followed: &Followed, open: Option<&BTreeSet<String>>) {
        let mut watched = std::mem::take(&mut self.watched);
        watched.retain_mut(|watched| {
            let run = &watched.run;
            let is_missed = open.is_some_and(|open| !open.contains(&run.workflow_id));
            watched.missed = if is_missed {
                watched.missed.saturating_add(1)
            } else {
                0
            };
            let is_gone = watched.missed >= GONE_AFTER;
            let mut deadlines = followed.deadlines_of(&run.definition);
            let has_more = deadlines.any(|deadline| {
                self.applies(deadline, run)
                    && !watched.settled.contains(&deadline.key(&run.definition))
            });
            has_more || !(watched.ended || is_gone)
        });
        self.watched = watched;
    }

    /// Returns `true` if a deadline was followed already when a run started.
    fn applies(&self, deadline: RunDeadline, run: &FollowedRun) -> bool {
        let since = self.since.get(&deadline.key(&run.definition));
        since.is_some_and(|since| *since <= run.started)
    }
}

impl WatchedRun {
    /// Returns `true` if an execution is one of this run.
    fn is(&self, run: &FollowedRun) -> bool {
        self.run.definition == run.definition
            && (self.run.run_id == run.run_id
                || (!self.ended && self.run.workflow_id == run.workflow_id))
    }

    fn settle(&mut self, deadline: RunDeadline) {
        let key = deadline.key(&self.run.definition);
        if !self.settled.contains(&key) {
            self.settled.push(key);
        }
    }
}

fn last_key(run: &FollowedRun, deadline: RunDeadline) -> String {
    format!("{} {}", run.definition, deadline.outcome.as_str())
}
