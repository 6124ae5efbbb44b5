//! The workers, the revision that each holds, and the current revision.
//!
//! The rules:
//! - if a worker that held the current revision announces another, the new one becomes
//!   current: someone edited the files;
//! - if a worker that starts announces a revision that no worker announced before, that
//!   revision becomes current;
//! - any other revision becomes current only when no live worker holds the current one.
//!
//! So workers that reload at different moments never undo each other. While a worker that
//! holds the current revision lives, only two things replace that revision: an edit made on
//! top of it, or files that no worker had before. A worker that repeats an announcement
//! changes nothing.
//!
//! The caller decides which workers are alive: it adds a worker that answered on its own
//! task queue, and removes a worker that does not start an activity in time.

use almanac_base::names::{Revision, WorkerId};
use almanac_core::record::{Announcement, Options, State, WORKERS_KEPT, WorkerEvent, WorkerState};
use jiff::Timestamp;

use super::state_limits;

/// Effect of an announcement on the current revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RevisionChange {
    /// The current revision stayed.
    Stayed,
    /// The announced revision replaced the current one and was made from it: the announced
    /// changes are all the changes.
    Edited,
    /// Another revision became current. The differences are not known.
    Moved,
}

/// Takes in an announcement.
pub(super) fn take_announcement(
    state: &mut State,
    announcement: &Announcement,
    now: Timestamp,
) -> RevisionChange {
    if announcement.event == WorkerEvent::Stopping {
        return remove(state, &announcement.worker);
    }
    let known = state
        .workers
        .get(&announcement.worker)
        .map(|worker| worker.revision.clone());
    let unseen = !state.seen.contains(&announcement.revision);
    let news = known.as_ref() != Some(&announcement.revision);
    state.workers.insert(
        announcement.worker.clone(),
        WorkerState {
            revision: announcement.revision.clone(),
            options: announcement.options.clone(),
            version: announcement.version.clone(),
            answered_at: now,
            last_announcement: announcement.number,
        },
    );
    if unseen {
        state.seen.push_back(announcement.revision.clone());
    }
    state_limits::workers(state, WORKERS_KEPT);

    let Some(current) = state.revision.clone() else {
        state.revision = Some(announcement.revision.clone());
        return RevisionChange::Moved;
    };
    if current == announcement.revision {
        return RevisionChange::Stayed;
    }
    let edited = announcement.event == WorkerEvent::Changed
        && announcement.previous.as_ref() == Some(&current);
    if news && edited {
        state.revision = Some(announcement.revision.clone());
        return RevisionChange::Edited;
    }
    // An announcement was lost in between, but the worker did hold the current revision.
    let moved_on = known.as_ref() == Some(&current);
    let started_unseen = announcement.event == WorkerEvent::Started && unseen;
    if news && (moved_on || started_unseen) {
        state.revision = Some(announcement.revision.clone());
        return RevisionChange::Moved;
    }
    replace_revision_without_holder(state)
}

/// Removes a worker that ended or that does not start its activities.
pub(super) fn remove(state: &mut State, worker: &WorkerId) -> RevisionChange {
    state.workers.remove(worker);
    replace_revision_without_holder(state)
}

/// Takes in the revision that a worker named when it refused a pass or answered a probe.
pub(super) fn refused(
    state: &mut State,
    worker: &WorkerId,
    holds: &Revision,
    now: Timestamp,
) -> RevisionChange {
    let Some(known) = state.workers.get(worker) else {
        return RevisionChange::Stayed;
    };
    let announcement = Announcement {
        worker: worker.clone(),
        number: known.last_announcement,
        event: WorkerEvent::Changed,
        previous: None,
        revision: holds.clone(),
        options: known.options.clone(),
        version: known.version.clone(),
        changed: None,
        definitions: almanac_core::record::DefinitionCounts::default(),
        event_types: almanac_core::record::DefinitionCounts::default(),
    };
    take_announcement(state, &announcement, now)
}

/// Takes in that a worker answered an activity, so that it is alive. Its revision is not
/// changed: the worker may have announced another one while it worked.
pub(super) fn answered(state: &mut State, worker: &WorkerId, now: Timestamp) {
    if let Some(known) = state.workers.get_mut(worker) {
        known.answered_at = now;
    }
}

/// If no worker holds the current revision, makes the revision of the worker that answered
/// last current.
fn replace_revision_without_holder(state: &mut State) -> RevisionChange {
    let held = |revision: &Revision| {
        state
            .workers
            .values()
            .any(|worker| worker.revision == *revision)
    };
    if state.revision.as_ref().is_some_and(held) {
        return RevisionChange::Stayed;
    }
    let last = state
        .workers
        .iter()
        .max_by_key(|(id, worker)| (worker.answered_at, *id))
        .map(|(_, worker)| worker.revision.clone());
    match last {
        Some(revision) => {
            state.revision = Some(revision);
            RevisionChange::Moved
        }
        None => RevisionChange::Stayed,
    }
}

/// Returns the worker that does the next pass: of those that hold the current revision, the
/// worker that was heard from last.
pub(super) fn pick(state: &State) -> Option<WorkerId> {
    let current = state.revision.as_ref()?;
    state
        .workers
        .iter()
        .filter(|(_, worker)| worker.revision == *current)
        .max_by_key(|(id, worker)| (worker.answered_at, *id))
        .map(|(id, _)| id.clone())
}

/// Returns the workers that hold another revision than this one. The worker `of` holds it
/// and is left out.
pub(super) fn dissenters(state: &State, revision: &Revision, of: &WorkerId) -> Vec<WorkerId> {
    state
        .workers
        .iter()
        .filter(|(id, worker)| worker.revision != *revision && *id != of)
        .map(|(id, _)| id.clone())
        .collect()
}

/// Returns `true` if a worker holds another revision than the current one.
pub(super) fn differ(state: &State) -> bool {
    let mut workers = state.workers.values();
    workers.any(|worker| Some(&worker.revision) != state.revision.as_ref())
}

/// Returns the options for passes.
pub(super) fn options(state: &State) -> Options {
    Options::safest(state.workers.values().map(|worker| &worker.options))
}

#[cfg(test)]
mod tests;
