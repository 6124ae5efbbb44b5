//! The reconciler stopped by an operator: no pass begins until it is resumed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::check_words;

/// Who suspended the reconciler.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Suspension {
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

impl std::fmt::Display for Suspension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { reason, by, at } = self;
        write!(f, "suspended by {by} at {at:.0}: {reason}")
    }
}

/// The memo of the reconcile workflow, under [`MEMO_KEY`](almanac_base::names::MEMO_KEY): what
/// outlives a run that the server or an operator ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkflowMemo {
    /// Who suspended the reconciler, when it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Suspension>,
}

/// The argument of the updates `suspend` and `resume`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SuspendRequest {
    /// A repeated one gets the first one's answer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// Why; `suspend` needs it.
    pub reason: String,
    /// Who.
    pub by: String,
}

impl SuspendRequest {
    /// Refuses a request with a text that is too long.
    pub fn check(&self) -> Result<(), String> {
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
