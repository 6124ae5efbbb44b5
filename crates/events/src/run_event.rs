//! Types of the events that Almanac makes of the runs of a project's definitions.

/// Beginning of the types of all events about runs. Only Almanac makes such events.
pub const RUN_EVENT_PREFIX: &str = "almanac.run.";
/// Type of the event about a run that completed.
pub const RUN_COMPLETED: &str = "almanac.run.completed";
/// Type of the event about a run that failed, timed out, or was canceled or terminated.
pub const RUN_FAILED: &str = "almanac.run.failed";
/// Type of the event about a deadline that passed before a run ended.
pub const RUN_LATE: &str = "almanac.run.late";
/// Type that stands for the event in a run that `schedule.after` of its definition started.
pub const RUN_AGAIN: &str = "almanac.run.again";

/// All types of events about runs that triggers can take.
pub const RUN_EVENTS: [&str; 3] = [RUN_COMPLETED, RUN_FAILED, RUN_LATE];

/// Returns `true` if events of this type are about runs.
pub fn is_run_event(kind: &str) -> bool {
    kind.starts_with(RUN_EVENT_PREFIX)
}
