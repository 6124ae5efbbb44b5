//! The announcements of this worker to the reconcile workflow.
//!
//! Pure: from the changes of reloads, [`AnnouncementState`] computes the one announcement
//! that brings the reconcile workflow up to date, however many reloads happened since the
//! last announcement that was delivered. So nothing is queued while Temporal is
//! unavailable. Sending is left to [`super::announcer`].

use std::sync::{Mutex, MutexGuard, PoisonError};

use almanac_base::names::{Revision, WorkerId};
use almanac_core::record::{Announcement, DefinitionCounts, Options, WorkerEvent};

use crate::registry::ReloadSummary;

/// Number of announcements that are kept for the workflow to ask for.
const ANNOUNCEMENTS_KEPT: usize = 16;

/// The announcements of this worker, for the workflow to ask for: a signal alone proves
/// nothing, since anyone may send a signal in any worker's name.
#[derive(Debug, Default)]
pub struct AnnouncementLog(Mutex<NumberedAnnouncements>);

#[derive(Debug, Default)]
struct NumberedAnnouncements {
    /// Number of the last announcement.
    last: u64,
    /// The last announcements, in their order.
    kept: Vec<Announcement>,
}

impl AnnouncementLog {
    /// Numbers an announcement and keeps it. An announcement that equals the last one
    /// keeps its number.
    pub(super) fn make(&self, announcement: Announcement) -> Announcement {
        let mut log = self.lock();
        let again = log.kept.last().filter(|last| {
            let number = last.number;
            **last
                == Announcement {
                    number,
                    ..announcement.clone()
                }
        });
        if let Some(again) = again {
            return again.clone();
        }
        log.last += 1;
        let announcement = Announcement {
            number: log.last,
            ..announcement
        };
        log.kept.push(announcement.clone());
        let old = log.kept.len().saturating_sub(ANNOUNCEMENTS_KEPT);
        log.kept.drain(..old);
        announcement
    }

    /// Returns the kept announcements after the one with this number.
    pub fn after(&self, last_number: u64) -> Vec<Announcement> {
        let log = self.lock();
        let later = log.kept.iter().filter(|one| one.number > last_number);
        later.cloned().collect()
    }

    /// Forgets all announcements: the workflow does not know this worker, so earlier
    /// announcements are of no use.
    pub(super) fn forget(&self) {
        self.lock().kept.clear();
    }

    fn lock(&self) -> MutexGuard<'_, NumberedAnnouncements> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The changes that this worker has not announced yet.
#[derive(Debug)]
pub(super) struct AnnouncementState {
    worker: WorkerId,
    options: Options,
    /// The revision that the registry holds; `None` until the registry has loaded.
    held_revision: Option<Revision>,
    /// The revision that the workflow knows of this worker; `None` while it does not know
    /// this worker.
    known_revision: Option<Revision>,
    /// All changes that have not been announced.
    unannounced: Option<ReloadSummary>,
    /// Number of definitions, and number of their documents that fail.
    definition_totals: DefinitionCounts,
    /// Number of event types, and number of their documents that fail.
    event_type_totals: DefinitionCounts,
}

/// The present numbers of `counts`, without changes.
fn totals(counts: DefinitionCounts) -> DefinitionCounts {
    DefinitionCounts {
        total: counts.total,
        invalid: counts.invalid,
        ..DefinitionCounts::default()
    }
}

impl AnnouncementState {
    /// Creates the state at the start of a process: there is nothing to announce before
    /// the registry has loaded.
    pub(super) fn new(worker: WorkerId, options: Options) -> Self {
        Self {
            worker,
            options,
            held_revision: None,
            known_revision: None,
            unannounced: None,
            definition_totals: DefinitionCounts::default(),
            event_type_totals: DefinitionCounts::default(),
        }
    }

    /// Takes note that the registry holds other definitions.
    pub(super) fn reloaded(&mut self, summary: ReloadSummary) {
        self.held_revision = Some(summary.revision.clone());
        self.definition_totals = totals(summary.counts);
        self.event_type_totals = totals(summary.event_types);
        self.unannounced = Some(match self.unannounced.take() {
            Some(earlier) => earlier.then(summary),
            None => summary,
        });
    }

    /// Returns the announcement to send now; `None` if the workflow is up to date or the
    /// registry has not loaded.
    pub(super) fn pending(&self) -> Option<Announcement> {
        let held_revision = self.held_revision.as_ref()?;
        match &self.known_revision {
            None => Some(self.announcement(WorkerEvent::Started)),
            Some(known_revision) if known_revision != held_revision => Some(Announcement {
                previous: Some(known_revision.clone()),
                changed: self
                    .unannounced
                    .as_ref()
                    .and_then(|unannounced| unannounced.changed.clone()),
                ..self.announcement(WorkerEvent::Changed)
            }),
            Some(_) => None,
        }
    }

    /// Takes note that the pending announcement was delivered.
    pub(super) fn delivered(&mut self) {
        self.known_revision.clone_from(&self.held_revision);
        self.unannounced = None;
    }

    /// Takes note that the workflow does not know this worker, or no longer knows it.
    pub(super) fn forgotten(&mut self) {
        self.known_revision = None;
    }

    /// Returns the announcement that this worker stops.
    pub(super) fn announce_stop(&self) -> Announcement {
        self.announcement(WorkerEvent::Stopping)
    }

    /// Returns the id of this worker.
    pub(super) const fn worker(&self) -> &WorkerId {
        &self.worker
    }

    /// Returns the revision that the workflow knows of this worker.
    pub(super) const fn known_revision(&self) -> Option<&Revision> {
        self.known_revision.as_ref()
    }

    fn announcement(&self, event: WorkerEvent) -> Announcement {
        Announcement {
            worker: self.worker.clone(),
            number: 0,
            event,
            previous: None,
            revision: self.held_revision.clone().unwrap_or_default(),
            options: self.options.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            changed: None,
            definitions: self
                .unannounced
                .as_ref()
                .map_or(self.definition_totals, |unannounced| unannounced.counts),
            event_types: self
                .unannounced
                .as_ref()
                .map_or(self.event_type_totals, |unannounced| {
                    unannounced.event_types
                }),
        }
    }
}

#[cfg(test)]
mod tests {
    use almanac_base::names::DefinitionId;

    use super::*;

    fn revision(text: &str) -> Revision {
        Revision::of(text.as_bytes())
    }

    /// The step to a revision, with `changed` naming what differs.
    fn step(previous: Option<&str>, to: &str, changed: Option<&[&str]>) -> ReloadSummary {
        ReloadSummary {
            previous: previous.map(revision),
            revision: revision(to),
            counts: DefinitionCounts {
                total: 5,
                updated: changed.map_or(0, <[_]>::len) as u64,
                ..DefinitionCounts::default()
            },
            event_types: DefinitionCounts::default(),
            changed: changed.map(|ids| ids.iter().map(|id| id.parse().unwrap()).collect()),
        }
    }

    /// An outbox whose workflow knows that revision `a` is held.
    fn announced() -> AnnouncementState {
        let mut state = AnnouncementState::new(WorkerId::new("w"), Options::default());
        state.reloaded(step(None, "a", None));
        state.delivered();
        state
    }

    fn ids(announcement: &Announcement) -> Option<Vec<&str>> {
        let changed = announcement.changed.as_ref()?;
        Some(changed.iter().map(DefinitionId::as_str).collect())
    }

    #[test]
    fn announcements_are_numbered_once_and_begin_where_the_workflow_is() {
        let log = AnnouncementLog::default();
        let started = announced().announcement(WorkerEvent::Started);
        let first = log.make(started.clone());
        assert_eq!((first.number, log.make(started).number), (1, 1));
        let last = log.make(announced().announce_stop());
        assert_eq!(log.after(0), [first, last.clone()]);
        assert_eq!(log.after(1), [last]);
        log.forget();
        assert_eq!(log.after(0), []);
        assert_eq!(log.make(announced().announce_stop()).number, 3);
        for n in 0..100 {
            let mut state = announced();
            state.reloaded(step(Some("a"), &n.to_string(), None));
            log.make(state.pending().unwrap());
        }
        assert_eq!(log.after(0).len(), ANNOUNCEMENTS_KEPT);
    }

    #[test]
    fn nothing_is_announced_before_the_first_load() {
        let mut state = AnnouncementState::new(WorkerId::new("w"), Options::default());
        assert_eq!(state.pending(), None);
        state.reloaded(step(None, "a", None));
        let announcement = state.pending().unwrap();
        assert_eq!(announcement.event, WorkerEvent::Started);
        assert_eq!(
            (announcement.previous, announcement.revision),
            (None, revision("a"))
        );
        assert_eq!(announcement.definitions.total, 5);
    }

    #[test]
    fn nothing_is_announced_twice() {
        assert_eq!(announced().pending(), None);
    }

    #[test]
    fn an_edit_names_its_definition_and_the_revision_it_was_made_on() {
        let mut state = announced();
        state.reloaded(step(Some("a"), "b", Some(&["x"])));
        let announcement = state.pending().unwrap();
        assert_eq!(announcement.event, WorkerEvent::Changed);
        assert_eq!(announcement.previous, Some(revision("a")));
        assert_eq!(ids(&announcement), Some(vec!["x"]));
        assert_eq!(announcement.definitions.updated, 1);
    }

    #[test]
    fn reloads_while_temporal_is_away_become_one_announcement() {
        let mut state = announced();
        state.reloaded(step(Some("a"), "b", Some(&["x"])));
        state.reloaded(step(Some("b"), "c", Some(&["x", "y"])));
        let announcement = state.pending().unwrap();
        assert_eq!(announcement.previous, Some(revision("a")));
        assert_eq!(announcement.revision, revision("c"));
        assert_eq!(ids(&announcement), Some(vec!["x", "y"]));
        assert_eq!(announcement.definitions.updated, 3);
        state.delivered();
        assert_eq!(state.pending(), None);
        state.reloaded(step(Some("c"), "d", Some(&["z"])));
        let announcement = state.pending().unwrap();
        assert_eq!(announcement.previous, Some(revision("c")));
        assert_eq!(announcement.definitions.updated, 1);
    }

    #[test]
    fn one_reload_that_takes_a_full_pass_makes_all_of_them_take_one() {
        let mut state = announced();
        state.reloaded(step(Some("a"), "b", None));
        state.reloaded(step(Some("b"), "c", Some(&["x"])));
        assert_eq!(ids(&state.pending().unwrap()), None);
    }

    #[test]
    fn going_back_to_what_was_announced_needs_no_announcement() {
        let mut state = announced();
        state.reloaded(step(Some("a"), "b", Some(&["x"])));
        state.reloaded(step(Some("b"), "a", Some(&["x"])));
        assert_eq!(state.pending(), None);
    }

    #[test]
    fn a_worker_that_was_forgotten_introduces_itself_again() {
        let mut state = announced();
        state.forgotten();
        let announcement = state.pending().unwrap();
        assert_eq!(announcement.event, WorkerEvent::Started);
        assert_eq!(announcement.revision, revision("a"));
        assert_eq!(
            (
                announcement.definitions.total,
                announcement.definitions.updated
            ),
            (5, 0)
        );
    }

    #[test]
    fn a_stop_is_announced_by_name() {
        let announcement = announced().announce_stop();
        assert_eq!(announcement.event, WorkerEvent::Stopping);
        assert_eq!(announcement.worker, WorkerId::new("w"));
    }
}
