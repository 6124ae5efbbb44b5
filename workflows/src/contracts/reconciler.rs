//! The handlers of `ReconcileSchedules`.

use std::collections::BTreeMap;

use almanac_core::record::{
    self, AdoptAnswer, AdoptRequest, Announcement, ClearRequest, HistoryEntry, HistoryRequest,
    OverrideAnswer, OverrideRequest, RunAnswer, RunKind, RunRequest, RunsQuery, SelectRequest,
    Selection, SuspendAnswer, SuspendRequest, SyncAnswer, SyncRequest,
};

super::handlers! {
    /// A worker's files changed, or it starts or stops.
    Signal DefinitionsChanged("definitions_changed"): Announcement => ();
    /// Anyone asks for a pass.
    Signal Reconcile("reconcile"): () => ();
    /// All there is to know.
    Query Status("status"): () => record::Status;
    /// What touched one schedule, newest first.
    Query History("history"): HistoryRequest => Vec<HistoryEntry>;
    /// What came of runs that were asked for.
    Query Runs("runs"): RunsQuery => BTreeMap<String, RunAnswer>;
    /// Asks for a pass of its own kind.
    Update Sync("sync"): SyncRequest => SyncAnswer;
    /// Overrides, unpauses or clears.
    Update Override("override"): OverrideRequest => OverrideAnswer;
    /// Clears an override.
    Update ClearOverride("clear_override"): ClearRequest => OverrideAnswer;
    /// Lets ours take over from a foreign schedule.
    Update Adopt("adopt"): AdoptRequest => AdoptAnswer;
    /// Stops the reconciler.
    Update Suspend("suspend"): SuspendRequest => SuspendAnswer;
    /// Lets it go on.
    Update Resume("resume"): SuspendRequest => SuspendAnswer;
    /// Starts a run.
    Update Trigger(RunKind::Trigger.name()): RunRequest => RunAnswer;
    /// Starts the runs of a range of time.
    Update Backfill(RunKind::Backfill.name()): RunRequest => RunAnswer;
    /// Which definitions have labels.
    Update Select("select"): SelectRequest => Selection;
}
