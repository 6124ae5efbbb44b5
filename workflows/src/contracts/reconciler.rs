//! The handlers of `ReconcileSchedules`.

use std::collections::BTreeMap;

use almanac_core::record::{
    self, AdoptAnswer, AdoptRequest, Announcement, ClearRequest, HistoryEntry, HistoryRequest,
    OverrideAnswer, OverrideRequest, RunAnswer, RunKind, RunRequest, RunsQuery, SelectRequest,
    Selection, SuspendAnswer, SuspendRequest, SyncAnswer, SyncRequest,
};

super::handlers! {
    /// A worker announces that its files changed, or that it starts or stops.
    Signal DefinitionsChanged("definitions_changed"): Announcement => ();
    /// Anyone asks for a pass.
    Signal Reconcile("reconcile"): () => ();
    /// Returns the status of the reconcile workflow.
    Query Status("status"): () => record::Status;
    /// Returns the history entries of one schedule, or of the whole project, newest first.
    Query History("history"): HistoryRequest => Vec<HistoryEntry>;
    /// Returns the state of manual runs, by the ids of their requests.
    Query Runs("runs"): RunsQuery => BTreeMap<String, RunAnswer>;
    /// Asks for a pass: a plain one, a dry run or a confirmation.
    Update Sync("sync"): SyncRequest => SyncAnswer;
    /// Sets or clears an override, or unpauses a schedule.
    Update Override("override"): OverrideRequest => OverrideAnswer;
    /// Clears the override of a definition.
    Update ClearOverride("clear_override"): ClearRequest => OverrideAnswer;
    /// Lets the schedule of a definition take over from an unmanaged schedule.
    Update Adopt("adopt"): AdoptRequest => AdoptAnswer;
    /// Suspends the reconcile workflow: no pass begins.
    Update Suspend("suspend"): SuspendRequest => SuspendAnswer;
    /// Resumes the suspended reconcile workflow.
    Update Resume("resume"): SuspendRequest => SuspendAnswer;
    /// Starts a manual run.
    Update Trigger(RunKind::Trigger.name()): RunRequest => RunAnswer;
    /// Starts the runs of a range of time.
    Update Backfill(RunKind::Backfill.name()): RunRequest => RunAnswer;
    /// Returns the definitions that have the given labels.
    Update Select("select"): SelectRequest => Selection;
}
