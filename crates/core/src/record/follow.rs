//! State of the workflow that follows the runs of definitions.

use std::collections::BTreeMap;

use almanac_base::names::DefinitionId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// State that the workflow `FollowRuns` carries from one activity to the next. Its size is bounded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FollowState {
    /// An activity has worked on the state.
    pub begun: bool,
    /// Time up to which the ends of runs have been handled. `None` before the first activity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Timestamp>,
    /// Ends that were handled shortly before the cursor: the time of the end, by the id of the run.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub handled: BTreeMap<String, Timestamp>,
    /// Time since which each definition, and each deadline, is followed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub since: BTreeMap<String, Timestamp>,
    /// Events whose runs could not be started, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<WaitingEvent>,
    /// Runs with a deadline.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub watched: Vec<WatchedRun>,
    /// Time of the last end of each definition and outcome that a deadline is about.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub last_ends: BTreeMap<String, Timestamp>,
    /// Last run of each definition that starts again after its own runs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub last_runs: BTreeMap<DefinitionId, LastRun>,
}

/// An event whose runs could not be started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitingEvent {
    /// The event in the JSON format of `CloudEvents`.
    pub event: Value,
    /// Number of attempts to start the runs.
    pub attempts: u64,
}

/// A run with a deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedRun {
    /// The run when it was first seen.
    pub run: FollowedRun,
    /// The run has ended.
    #[serde(default)]
    pub ended: bool,
    /// Number of lists in a row that did not have the run among those that have not ended.
    #[serde(default)]
    pub missed: u32,
    /// Deadlines that passed, and those that a run met.
    #[serde(default)]
    pub settled: Vec<String>,
}

/// A run of a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowedRun {
    /// Definition of the run.
    pub definition: DefinitionId,
    /// Workflow id of the run.
    pub workflow_id: String,
    /// Id of the run.
    pub run_id: String,
    /// Time at which the run started.
    pub started: Timestamp,
    /// Time for which a schedule started the run. `None` if no schedule did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<Timestamp>,
    /// Number of runs in the chain of events that led to this run, this run included. 0 if no event
    /// started the run.
    #[serde(default)]
    pub depth: u32,
}

/// The last run of a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// Id of the run.
    pub run_id: String,
    /// Time of its end.
    pub ended: Timestamp,
}

/// Result of an activity that follows runs.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FollowOutcome {
    /// State for the next activity.
    pub state: FollowState,
    /// No run is to be followed: the workflow ends.
    pub idle: bool,
}
