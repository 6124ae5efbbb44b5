//! The history entries of schedules, and of requests.

use almanac_base::names::{DefinitionId, Project};
use almanac_core::record::{
    HistoryEntry, HistoryEntryKind, HistoryRequest, ManualRunInput, RunAnswer, RunKind, RunRequest,
    RunState, append_history,
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

    /// Appends the end of a manual run that did not end well. A run that may have started is not
    /// recorded as failed: the operator would ask for it a second time.
    pub(super) fn record_run_end(&mut self, order: &ManualRunInput, answer: &RunAnswer) {
        let kind = match answer.state {
            RunState::Started | RunState::Buffered | RunState::Skipped => return,
            RunState::Lost | RunState::Pending => HistoryEntryKind::Lost,
            RunState::Failed | RunState::NotFound | RunState::Foreign | RunState::BadRange => {
                HistoryEntryKind::Failed
            }
        };
        self.record_history(HistoryEntry {
            at: self.now,
            id: order.id.to_string(),
            kind,
            op: order.kind.name().to_owned(),
            reason: answer.message.clone(),
            by: order.by.clone(),
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
