//! Suspension of the reconcile workflow by an operator: no pass begins until it is resumed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{RequestProblem, check_words};

/// A suspension of the reconcile workflow, with the operator who asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Suspension {
    /// Reason that the operator gave.
    pub reason: String,
    /// Name of the operator.
    pub by: String,
    /// Time of the suspension.
    pub at: Timestamp,
}

impl std::fmt::Display for Suspension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { reason, by, at } = self;
        write!(f, "suspended by {by} at {at:.0}: {reason}")
    }
}

/// The memo of the reconcile workflow, under [`MEMO_KEY`](almanac_base::names::MEMO_KEY). The
/// memo survives when the server or an operator ends the run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkflowMemo {
    /// The suspension in force; `None` if the reconcile workflow is not suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Suspension>,
}

/// The argument of the updates `suspend` and `resume`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SuspendRequest {
    /// Id of the request. A request with a known id gets the answer of the first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// Reason for the request; `suspend` requires a reason.
    pub reason: String,
    /// Name of the operator.
    pub by: String,
}

impl SuspendRequest {
    /// Refuses a request with a text that is too long.
    pub fn check(&self) -> Result<(), RequestProblem> {
        check_words(&self.request_id, &self.reason, &self.by)
    }
}

/// The answer of the updates `suspend` and `resume`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SuspendAnswer {
    /// The suspension that is in force now.
    pub suspended: Option<Suspension>,
    /// The number of the pass that catches up after `resume`.
    pub pass: Option<u64>,
}
