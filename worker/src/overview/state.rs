//! The conditions of a definition and its schedule together, and their order.

use std::fmt;
use std::str::FromStr;

/// A condition of a definition and its schedule. If several apply, the first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// The document has errors, and no version of it was ever valid: nothing runs.
    Broken,
    /// The document has errors; its last good version runs.
    Stale,
    /// A run was due and has not started.
    Overdue,
    /// The server paused the schedule after a failed run.
    PausedByFailure,
    /// An unmanaged schedule has the id of the definition's schedule.
    Conflict,
    /// The server could not describe the schedule. Almanac does not write to it.
    Unreadable,
    /// The last pass could not write the schedule.
    Failed,
    /// Others keep changing fields of the schedule back.
    Contested,
    /// Fields of the schedule differ from what was last written.
    Drift,
    /// The removal of the schedule waits for confirmation.
    Held,
    /// No definition asks for the schedule.
    Orphaned,
    /// An operator's override is in force.
    Overridden,
    /// A person, an override or Almanac paused the schedule.
    Paused,
    /// The definition has `enabled: false`.
    Disabled,
    /// The schedule has not been created yet.
    Waiting,
    /// The limited actions of the schedule are used up.
    Finished,
    /// The definition has no times: it runs only when an event or a person starts it.
    OnDemand,
    /// Temporal does not answer, so nothing is known of the schedule.
    Unknown,
    /// The schedule runs as its definition says.
    InSync,
}

impl Condition {
    /// Every condition, in order of precedence.
    pub const ALL: [Self; 19] = [
        Self::Broken,
        Self::Stale,
        Self::Overdue,
        Self::PausedByFailure,
        Self::Conflict,
        Self::Unreadable,
        Self::Failed,
        Self::Contested,
        Self::Drift,
        Self::Held,
        Self::Orphaned,
        Self::Overridden,
        Self::Paused,
        Self::Disabled,
        Self::Waiting,
        Self::Finished,
        Self::OnDemand,
        Self::Unknown,
        Self::InSync,
    ];

    /// The condition's name in addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Stale => "stale",
            Self::Overdue => "overdue",
            Self::PausedByFailure => "paused-by-failure",
            Self::Conflict => "conflict",
            Self::Unreadable => "unreadable",
            Self::Failed => "failed",
            Self::Contested => "contested",
            Self::Drift => "drift",
            Self::Held => "held",
            Self::Orphaned => "orphaned",
            Self::Overridden => "overridden",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Waiting => "waiting",
            Self::Finished => "finished",
            Self::OnDemand => "on-demand",
            Self::Unknown => "unknown",
            Self::InSync => "in-sync",
        }
    }

    /// The part of the list in which a row with this as its first condition is shown.
    pub const fn group(self) -> Group {
        match self {
            Self::Broken
            | Self::Stale
            | Self::Overdue
            | Self::PausedByFailure
            | Self::Conflict
            | Self::Unreadable
            | Self::Failed
            | Self::Contested
            | Self::Drift
            | Self::Held
            | Self::Orphaned => Group::Attention,
            Self::Overridden | Self::Paused | Self::Disabled => Group::Changed,
            Self::Waiting | Self::Finished | Self::OnDemand | Self::Unknown | Self::InSync => {
                Group::Calm
            }
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no state")]
pub struct ConditionError;

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let mut all = Self::ALL.into_iter();
        all.find(|one| one.as_str() == text).ok_or(ConditionError)
    }
}

/// A part of the list of schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// A person should look.
    Attention,
    /// An operator or a file keeps the schedule from running as the definition's times say.
    Changed,
    /// There is nothing to do.
    Calm,
}

/// The conditions that apply; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditions(u32);

impl Conditions {
    /// Adds a condition.
    pub fn insert(&mut self, condition: Condition) {
        self.0 |= condition.bit();
    }

    /// Returns `true` if the condition applies.
    pub fn contains(self, condition: Condition) -> bool {
        self.0 & condition.bit() != 0
    }

    /// Returns `true` if no condition applies.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The conditions, in order of precedence.
    pub fn iter(self) -> impl Iterator<Item = Condition> {
        let all = Condition::ALL.into_iter();
        all.filter(move |one| self.contains(*one))
    }

    /// The condition that counts.
    pub fn first(self) -> Condition {
        self.iter().next().unwrap_or(Condition::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_in_order_of_precedence_and_groups_are_together() {
        assert!(Condition::ALL.is_sorted());
        assert!(Condition::ALL.is_sorted_by_key(|one| one.group()));
        for condition in Condition::ALL {
            assert_eq!(condition.as_str().parse(), Ok(condition));
        }
        assert_eq!("fine".parse::<Condition>(), Err(ConditionError));
    }

    #[test]
    fn the_first_condition_counts() {
        let mut conditions = Conditions::default();
        assert!(conditions.is_empty());
        conditions.insert(Condition::Paused);
        conditions.insert(Condition::Stale);
        assert_eq!(conditions.first(), Condition::Stale);
        assert!(conditions.contains(Condition::Paused));
        assert!(!conditions.contains(Condition::InSync));
    }
}
