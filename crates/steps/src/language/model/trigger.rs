//! Triggers: the events that start a definition.

use std::time::Duration;

use almanac_base::names::DefinitionId;
use almanac_events::{RUN_COMPLETED, RUN_FAILED};
use serde_json::Value;

use super::{Expression, Template};

/// A trigger of a definition: the events that start it, and the run that each event starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// Filters of events. The trigger takes an event that matches any of them.
    pub filters: Vec<TriggerFilter>,
    /// `when`: a condition on the event. `None` if every event that matches starts a run.
    pub when: Option<Expression>,
    /// Input of the run.
    pub input: TriggerInput,
    /// Last part of the run's workflow id. `None` for an id that is derived from the event's
    /// source and id.
    pub workflow_id: Option<Template>,
    /// Effect of an event whose workflow id is taken.
    pub on_conflict: OnConflict,
    /// If `false`, no event starts the definition by this trigger.
    pub enabled: bool,
    /// `after`: the runs of another definition whose ends the trigger takes. `None` if the trigger
    /// names events.
    pub after: Option<After>,
}

/// The runs of another definition whose ends start a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// The other definition.
    pub definition: DefinitionId,
    /// Outcome that the runs must have.
    pub outcome: Outcome,
    /// Deadline for the end, and the effect of a deadline that passes. `None` if a run may end at
    /// any time.
    pub deadline: Option<Deadline>,
}

/// A deadline for the end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// Maximum time from the start of the run to its end, in whole seconds; at least 1 s.
    pub within: Duration,
    /// Effect of a deadline that passes.
    pub otherwise: Otherwise,
}

/// Outcome of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Outcome {
    /// The run completed.
    #[default]
    Completed,
    /// The run failed, timed out, or was canceled or terminated.
    Failed,
    /// The run ended.
    Any,
}

/// Effect of a deadline that passes before a run of the other definition ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Otherwise {
    /// Starts nothing.
    #[default]
    Skip,
    /// Starts the definition.
    Run,
    /// Reports the deadline as an error.
    Fail,
}

impl Outcome {
    /// The outcomes by the names that definitions use.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("completed", Self::Completed),
        ("failed", Self::Failed),
        ("any", Self::Any),
    ];

    /// Name of the outcome, as definitions use it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Any => "any",
        }
    }

    /// Types of the events about the ends with this outcome.
    pub const fn event_types(self) -> &'static [&'static str] {
        match self {
            Self::Completed => &[RUN_COMPLETED],
            Self::Failed => &[RUN_FAILED],
            Self::Any => &[RUN_COMPLETED, RUN_FAILED],
        }
    }
}

impl Otherwise {
    /// The effects by the names that definitions use.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("skip", Self::Skip),
        ("run", Self::Run),
        ("fail", Self::Fail),
    ];

    /// Name of the effect, as definitions use it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Run => "run",
            Self::Fail => "fail",
        }
    }
}

impl Trigger {
    /// The attributes that all events of a filter have: their type and their subject, as far as the
    /// filter states them as text.
    pub fn named(filter: &TriggerFilter) -> (Option<&str>, Option<&str>) {
        let text = |wanted: &str| {
            filter.iter().find_map(|(name, value)| match value {
                Template::Literal(Value::String(text)) if name == wanted => Some(text.as_str()),
                _ => None,
            })
        };
        (text("type"), text("subject"))
    }
}

/// Attributes that an event must have.
///
/// An expression is evaluated with the attribute as its input. The attribute matches if the
/// result is `true` or equal to the attribute.
pub type TriggerFilter = Vec<(String, Template)>;

/// Input that a trigger gives to a run.
#[derive(Debug, Clone, PartialEq)]
pub enum TriggerInput {
    /// The event's data.
    Data,
    /// A list with the event as its only item, as `schedule.on` of the specification gives it.
    List {
        /// `true` for the event with its envelope, `false` for its data alone.
        envelope: bool,
    },
    /// The result of `input`, evaluated on the event with its envelope.
    Made(Template),
}

/// Effect of an event whose workflow id is taken by a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// The event starts nothing while a run with the id is running. Without `workflow_id`, it also
    /// starts nothing after that run.
    #[default]
    UseExisting,
    /// The event is an error while a run with the id is running. Without `workflow_id`, it starts
    /// nothing after that run.
    Fail,
    /// The running run is terminated, and a new one begins.
    TerminateExisting,
    /// The event starts a run if the last run with the id failed, timed out, or was canceled or
    /// terminated. It starts nothing if that run is running or completed.
    RetryFailed,
}

impl OnConflict {
    /// The effects by the names that definitions use.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("use_existing", Self::UseExisting),
        ("fail", Self::Fail),
        ("terminate_existing", Self::TerminateExisting),
        ("retry_failed", Self::RetryFailed),
    ];
}
