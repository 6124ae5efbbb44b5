//! The timeline in the form in which it is shown: lanes with marks, counts,
//! gaps, busy minutes and free spans.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use temporalio_common::protos::temporal::api::enums::v1::WorkflowExecutionStatus;

use crate::schedules::view::ScheduleView;

/// The parts of a timeline that concern all schedules of the project.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct TimelineOverview {
    /// Start of the window.
    pub from: Timestamp,
    /// End of the window, which does not belong to it.
    pub to: Timestamp,
    /// Time at which the timeline was read.
    pub now: Timestamp,
    /// Number of the project's schedules.
    pub schedules: usize,
    /// Length of a slot, in seconds.
    pub slot_seconds: i64,
    /// Start of the first slot: a multiple of the length, at or before `from`.
    pub slots_from: Timestamp,
    /// Starts of all schedules of the project, by slot.
    pub density: Density,
    /// The minute with the most starts, past or to come; the first of several.
    /// `null` if nothing starts.
    pub busiest: Option<BusyMinute>,
    /// The longest spans without any start, the longest first: at most five, of
    /// at least ten minutes. They lie where both the runs and the times are
    /// known, and outside of gaps.
    pub free: Vec<FreeSpan>,
    /// Time from which on the runs are known: a run that started before it may
    /// be missing. `from` if all are known; `null` if the window is in the
    /// future.
    pub runs_from: Option<Timestamp>,
    /// Number of runs that were read, and that there are.
    pub runs: RunCounts,
    /// Time up to which all times to come are known. `to` if all are known.
    pub expected_until: Timestamp,
    /// Number of gaps of all schedules.
    pub gaps: u64,
    /// Number of schedules whose runs do not agree with their times and that
    /// were not checked for gaps, because there are too many.
    pub gaps_not_checked: u64,
}

/// Starts by slot. The counts are in the order of the slots.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct Density {
    /// Number of runs that started in the slot.
    pub starts: Vec<u32>,
    /// Number of starts that are to come in the slot, without jitter.
    pub expected: Vec<u32>,
    /// Number of starts, past and to come, in the busiest minute of the slot.
    pub busiest: Vec<u32>,
}

/// A minute with starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct BusyMinute {
    /// The start of the minute.
    pub at: Timestamp,
    /// Number of starts in the minute.
    pub starts: u32,
}

/// A span without any start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FreeSpan {
    /// The start of the first minute.
    pub from: Timestamp,
    /// The end of the last minute.
    pub to: Timestamp,
}

/// Number of runs that were read, and that there are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct RunCounts {
    /// Number of runs that were read.
    pub read: u64,
    /// `true` if there are more runs: the latest were read.
    pub truncated: bool,
    /// Number of runs that started within the window, by their status. Empty if
    /// all were read. If the project has many schedules, runs of schedules of
    /// other owners with the same prefix are counted too.
    pub found: BTreeMap<String, u64>,
}

/// A schedule on the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Lane {
    /// The schedule, as the list of schedules shows it.
    pub schedule: ScheduleView,
    /// The runs in the window in the order of their starts. If there is a
    /// `band`, only runs that did not complete, the latest.
    pub runs: Vec<TimelineRun>,
    /// The usual duration of a run. `null` if no run that completed is known.
    pub typical: Option<Typical>,
    /// Times in the past at which the schedule was due and nothing started, in
    /// order.
    pub gaps: Vec<Gap>,
    /// Time from which on all gaps are known. `null` if none can be known.
    pub gaps_from: Option<Timestamp>,
    /// Reason why no gaps are known.
    pub gaps_unknown: Option<GapsUnknown>,
    /// The times to come in the window, without jitter. Empty if there is a
    /// `band`.
    pub expected: Vec<Timestamp>,
    /// Time up to which the times to come are known. `null` if all are known.
    pub expected_until: Option<Timestamp>,
    /// Counts by slot, if there are more marks than can be drawn.
    pub band: Option<Band>,
}

/// A run of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TimelineRun {
    /// Time at which the run was due, without jitter; for a run that an operator
    /// triggered, the time of the trigger. `null` if the run does not say.
    pub due: Option<Timestamp>,
    /// Time at which the run started.
    pub started: Timestamp,
    /// Time at which the run ended. `null` if it has not ended.
    pub ended: Option<Timestamp>,
    /// The run's status.
    pub status: RunStatus,
    /// Workflow id of the run.
    #[schema(value_type = String)]
    pub workflow_id: Box<str>,
    /// Run id of the run's latest execution.
    #[schema(value_type = String)]
    pub run_id: Box<str>,
}

/// The status of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Running,
    Paused,
    Completed,
    Failed,
    TimedOut,
    Canceled,
    Terminated,
    /// The run continued as new, and its next execution is not known.
    ContinuedAsNew,
    /// A status that this release does not know.
    Unknown,
}

impl RunStatus {
    pub(super) const fn of(status: WorkflowExecutionStatus) -> Self {
        match status {
            WorkflowExecutionStatus::Unspecified => Self::Unknown,
            WorkflowExecutionStatus::Running => Self::Running,
            WorkflowExecutionStatus::Completed => Self::Completed,
            WorkflowExecutionStatus::Failed => Self::Failed,
            WorkflowExecutionStatus::Canceled => Self::Canceled,
            WorkflowExecutionStatus::Terminated => Self::Terminated,
            WorkflowExecutionStatus::ContinuedAsNew => Self::ContinuedAsNew,
            WorkflowExecutionStatus::TimedOut => Self::TimedOut,
            WorkflowExecutionStatus::Paused => Self::Paused,
        }
    }

    /// Returns `true` if the run failed, timed out or was terminated.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut | Self::Terminated)
    }
}

/// The usual duration of a schedule's runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Typical {
    /// The median of the durations, in milliseconds.
    pub milliseconds: u64,
    /// Number of completed runs in the window, from which the median was
    /// computed.
    pub runs: usize,
}

/// A time at which a schedule was due and nothing started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Gap {
    /// The time, without jitter.
    pub due: Timestamp,
    /// Reason why nothing started; `null` if it is not known.
    pub cause: Option<GapCause>,
}

/// Reason why nothing started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// An earlier run had not ended, and the overlap policy starts no other one.
    Overlap,
    /// The run waits in the buffer for the end of an earlier run.
    Waiting,
    /// The server could not start the run within the catch-up window.
    CatchupWindow,
    /// The buffer was full.
    Buffer,
}

impl GapCause {
    /// The cause's name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::Waiting => "waiting",
            Self::CatchupWindow => "catchup_window",
            Self::Buffer => "buffer",
        }
    }
}

/// Reason why no gaps of a schedule are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GapsUnknown {
    /// The schedule is unmanaged.
    Unmanaged,
    /// The schedule is paused, and the start of the pause is not known.
    Paused,
    /// A person paused or unpaused the schedule after the last write, and the
    /// time is not known.
    Note,
    /// The schedule has no actions left, and the time of the last is not known.
    Finished,
    /// No part of the window is in the past, or no part in which the runs are
    /// known.
    Runs,
    /// The times are not known: the server's differ, or the search takes too
    /// many steps.
    Times,
    /// The schedule was not described: too many schedules have runs that do not
    /// agree with their times, or the server did not describe it.
    NotChecked,
}

/// Counts of a lane by slot. The counts are in the order of the slots.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct Band {
    /// Number of runs that started in the slot.
    pub starts: Vec<u32>,
    /// Number of these that failed, timed out or were terminated.
    pub failures: Vec<u32>,
    /// Number of starts that are to come in the slot.
    pub expected: Vec<u32>,
}
