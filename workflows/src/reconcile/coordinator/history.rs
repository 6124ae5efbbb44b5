//! The history entries of schedules, and of requests.

use almanac_base::names::{DefinitionId, Project};
use almanac_core::record::{
    HistoryEntry, HistoryEntryKind, HistoryRequest, RunKind, RunRequest, append_history,
};

use super::Coordinator;
use crate::reconcile::state_limits;

impl Coordinator {
    /// Appends an entry to the history.
    pub(super) fn record_history(&mut self, mut entry: HistoryEntry) {
        state_limits::history_entry(&mut entry);
        append_history(&mut self.state.history, entry);
        // While the workflow is suspended, no pass shortens the history.
        state_limits::history(&mut self.state.history);
    }

    /// Appends an operator's request that concerns the whole project. `pass` is the number of the
    /// pass that does it, or 0.
    pub(super) fn record_project_request(&mut self, op: &str, by: &str, reason: &str, pass: u64) {
        self.record_history(HistoryEntry {
            at: self.now,
            kind: HistoryEntryKind::Asked,
            op: op.to_owned(),
            pass,
            reason: reason.to_owned(),
            by: by.to_owned(),
            ..HistoryEntry::default()
        });
    }

    /// Appends an operator's request for a manual run.
    pub(super) fn record_run_request(
        &mut self,
        kind: RunKind,
        id: &DefinitionId,
        request: &RunRequest,
    ) {
        self.record_history(HistoryEntry {
            at: self.now,
            id: id.to_string(),
            kind: HistoryEntryKind::Asked,
            op: kind.name().to_owned(),
            reason: request.reason.clone(),
            by: request.by.clone(),
            from: request.from,
            to: request.to,
            ..HistoryEntry::default()
        });
    }

    /// Appends the failure of a manual run.
    pub(super) fn record_failed_run(&mut self, kind: RunKind, id: &DefinitionId, why: &str) {
        self.record_history(HistoryEntry {
            at: self.now,
            id: id.to_string(),
            kind: HistoryEntryKind::Failed,
            op: kind.name().to_owned(),
            reason: why.to_owned(),
            ..HistoryEntry::default()
        });
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
