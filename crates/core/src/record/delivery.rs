//! Deliveries of events: the events that arrived, and the runs that they started.

use almanac_base::names::DefinitionId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Maximum length of a text of a delivery, in bytes. Longer texts are cut.
pub const DELIVERY_TEXT_LIMIT: usize = 1000;
/// Maximum number of runs that a delivery names. The rest are only counted.
pub const DELIVERY_RUNS_LIMIT: usize = 100;

/// The attributes of an event that say which event it is. The data is not among them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct EventKey {
    /// Type of the event.
    #[serde(rename = "type")]
    pub kind: String,
    /// Source of the event, a URI reference.
    pub source: String,
    /// Id of the event, unique within its source.
    pub id: String,
}

/// The event that started a run, in the memo of the run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct EventOrigin {
    /// The event.
    #[serde(flatten)]
    pub event: EventKey,
    /// Position of the trigger in its definition, from 0.
    pub trigger: u32,
    /// Digest of the event's data.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// Number of runs before this one in a chain of events: 0 if the event came from outside.
    #[serde(skip_serializing_if = "is_zero")]
    pub depth: u32,
}

/// A delivery of an event, with the runs that it started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Delivery {
    /// Id of the delivery.
    pub id: String,
    /// Time at which the event arrived.
    pub at: Timestamp,
    /// Way by which the event arrived.
    pub via: DeliveryVia,
    /// Name of the caller, the webhook or the stream that delivered the event.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// The event.
    pub event: EventKey,
    /// Size of the event as JSON, in bytes.
    pub bytes: u64,
    /// Number of the attempt to handle the event, from 1.
    pub attempt: u64,
    /// State of the delivery.
    pub state: DeliveryState,
    /// Reason for the state, if it is not that runs were started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Triggers that took the event, each with its result.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<TriggeredRun>,
    /// Number of triggers that took the event and are not in `runs`.
    #[serde(skip_serializing_if = "is_zero")]
    pub truncated: u32,
}

/// Way by which an event arrived.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryVia {
    /// `POST /events`.
    #[default]
    Http,
    /// `POST /webhooks/{slug}`.
    Webhook,
    /// A stream of NATS.
    Nats,
    /// `emit` of a run.
    Emit,
    /// The end of a run, or its deadline.
    Run,
    /// A request to replay an earlier delivery.
    Replay,
    /// A way of a newer release.
    #[serde(other)]
    Unknown,
}

/// State of a delivery.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// The event is stored, and its triggers have not been evaluated.
    #[default]
    Accepted,
    /// No trigger took the event.
    NoMatch,
    /// Every trigger that took the event started a run, or had started one for it before.
    Started,
    /// The event is refused by a trigger or by its schema. The same event would be refused again.
    Refused,
    /// A run could not be started. The event is tried again.
    Waiting,
    /// The event is not tried again.
    Dead,
    /// A state of a newer release.
    #[serde(other)]
    Unknown,
}

impl DeliveryState {
    /// Name of the state, as JSON has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::NoMatch => "no_match",
            Self::Started => "started",
            Self::Refused => "refused",
            Self::Waiting => "waiting",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
        }
    }
}

impl DeliveryVia {
    /// Name of the way, as JSON has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Webhook => "webhook",
            Self::Nats => "nats",
            Self::Emit => "emit",
            Self::Run => "run",
            Self::Replay => "replay",
            Self::Unknown => "unknown",
        }
    }
}

/// A trigger that took an event, with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TriggeredRun {
    /// Definition of the trigger.
    pub definition: DefinitionId,
    /// Position of the trigger in its definition, from 0.
    pub trigger: u32,
    /// Result of the trigger.
    #[serde(flatten)]
    pub result: TriggerResult,
}

/// Result of a trigger that took an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum TriggerResult {
    /// The trigger started a run.
    Started {
        /// Workflow id of the run.
        workflow_id: String,
        /// Id of the run.
        run_id: String,
    },
    /// A run with the workflow id exists: an earlier delivery of the event started it, or
    /// `on_conflict` keeps it.
    Existing {
        /// Workflow id of the run.
        workflow_id: String,
    },
    /// A run with the workflow id exists, and the trigger must not use it.
    Conflict {
        /// Workflow id of the run.
        workflow_id: String,
        /// Reason of the conflict.
        reason: String,
    },
    /// The trigger refuses the event. The same event would be refused again.
    Refused {
        /// Reason of the refusal.
        reason: String,
    },
    /// The run could not be started now. The event is tried again.
    Failed {
        /// Reason of the failure.
        reason: String,
        /// `true` if Temporal was not available, for this event or any other.
        #[serde(default, skip_serializing_if = "is_false")]
        away: bool,
    },
}

impl TriggerResult {
    /// Returns `true` if the same event would be refused again.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Conflict { .. })
    }

    /// Reason for which the trigger did not start a run and has none.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Conflict { reason, .. }
            | Self::Refused { reason }
            | Self::Failed { reason, .. } => Some(reason),
            Self::Started { .. } | Self::Existing { .. } => None,
        }
    }
}

impl Delivery {
    /// Returns `false` if what arrived could not be read as an event: each event has an id.
    pub const fn has_event(&self) -> bool {
        !self.event.id.is_empty()
    }

    /// Returns `true` if a run could not be started because Temporal was not available.
    pub fn waits_for_temporal(&self) -> bool {
        let away =
            |run: &TriggeredRun| matches!(run.result, TriggerResult::Failed { away: true, .. });
        self.runs.iter().any(away)
    }

    /// State that follows from the results of the triggers that took an event.
    pub fn state_of(runs: &[TriggeredRun]) -> DeliveryState {
        let any = |is: fn(&TriggerResult) -> bool| runs.iter().any(|run| is(&run.result));
        if any(|result| matches!(result, TriggerResult::Failed { .. })) {
            DeliveryState::Waiting
        } else if any(TriggerResult::is_refusal) {
            DeliveryState::Refused
        } else if runs.is_empty() {
            DeliveryState::NoMatch
        } else {
            DeliveryState::Started
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_false(is: &bool) -> bool {
    !is
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Returns a text that is not longer than [`DELIVERY_TEXT_LIMIT`].
pub fn delivery_text(text: &str) -> String {
    if text.len() <= DELIVERY_TEXT_LIMIT {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(DELIVERY_TEXT_LIMIT - '…'.len_utf8());
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failure_says_if_temporal_was_away() {
        let failed = |away| TriggerResult::Failed {
            reason: "no".to_owned(),
            away,
        };
        let short = json!({ "result": "failed", "reason": "no" });
        assert_eq!(json!(failed(false)), short);
        let read: TriggerResult = serde_json::from_value(short).unwrap();
        assert_eq!(read, failed(false));
        let mut delivery = Delivery {
            runs: vec![TriggeredRun {
                definition: "a".parse().unwrap(),
                trigger: 0,
                result: failed(false),
            }],
            ..Delivery::default()
        };
        assert!(!delivery.waits_for_temporal());
        delivery.runs[0].result = failed(true);
        assert!(delivery.waits_for_temporal());
        assert_eq!(Delivery::state_of(&delivery.runs), DeliveryState::Waiting);
    }
}
