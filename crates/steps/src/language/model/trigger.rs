//! Triggers: the events that start a definition.

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
