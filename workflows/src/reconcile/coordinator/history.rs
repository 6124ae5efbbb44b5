//! The history entries of schedules.

use almanac_base::names::Project;
use almanac_core::record::{HistoryEntry, HistoryRequest, append_history};

use super::Coordinator;
use crate::reconcile::state_limits;

impl Coordinator {
    /// Appends an entry to the history.
    pub(super) fn record_history(&mut self, mut entry: HistoryEntry) {
        state_limits::history_entry(&mut entry);
        append_history(&mut self.state.history, entry);
    }

    /// Returns the history entries of the schedules that are asked about, newest first.
    /// Entries that were written when no definition was left have the schedule's own id.
    pub(in crate::reconcile) fn history(
        &self,
        project: Option<&Project>,
        request: &HistoryRequest,
    ) -> Vec<HistoryEntry> {
        let id = request.id.as_str();
        let schedule = project.map(|project| format!("{}{id}", project.schedule_prefix()));
        let is_asked = |entry: &HistoryEntry| {
            id.is_empty() || entry.id == id || Some(&entry.id) == schedule.as_ref()
        };
        let history = self.state.history.iter().rev();
        history.filter(|entry| is_asked(entry)).cloned().collect()
    }
}
