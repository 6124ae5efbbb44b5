//! A live schedule, as the server described it.

use almanac_base::names::{DefinitionId, ScheduleId};
use jiff::Timestamp;

use super::ScheduleValues;
use crate::field::Field;
use crate::record::ActionMemo;

/// A managed schedule, as the server described it.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    pub schedule: ScheduleId,
    /// Definition that the schedule's own memo names.
    pub definition: DefinitionId,
    /// Values of the schedule, normalised. `max_actions` only says whether actions are limited. Its
    /// number has no meaning, because the server counts it down.
    pub values: ScheduleValues,
    /// Number of actions that are left. `None` if actions are not limited.
    pub remaining_actions: Option<u64>,
    /// Number of actions that the schedule has started since its creation.
    pub action_count: u64,
    /// Memo of the schedule's action.
    pub memo: LiveMemo,
    pub note: String,
    /// Time of the last update, or of the creation if there was none. `None` if the server gives
    /// neither.
    pub updated_at: Option<Timestamp>,
}

/// Memo of an action, as far as it could be read.
#[derive(Debug, Clone, PartialEq)]
pub enum LiveMemo {
    /// The memo was read.
    Readable(Box<ActionMemo>),
    /// A newer release wrote the memo, with this `v`.
    Newer(u32),
    /// There is no memo, or none that can be read: somebody replaced the schedule's body.
    Missing,
}

impl Live {
    /// Returns the memo if it is readable.
    pub fn readable_memo(&self) -> Option<&ActionMemo> {
        match &self.memo {
            LiveMemo::Readable(memo) => Some(memo),
            LiveMemo::Newer(_) | LiveMemo::Missing => None,
        }
    }

    /// Returns `true` if `field` has the same value in the live schedule and in `expected`. For
    /// `max_actions`, only the presence of a limit counts. An unknown field always agrees.
    pub fn agrees(&self, expected: &ScheduleValues, field: Field) -> bool {
        match field {
            Field::MaxActions => self.remaining_actions.is_some() == expected.max_actions.is_some(),
            Field::Unknown => true,
            _ => self.values.value(field) == expected.value(field),
        }
    }
}
