//! A live schedule as it was described.

use almanac_base::names::{DefinitionId, ScheduleId};
use jiff::Timestamp;

use super::ScheduleValues;
use crate::field::Field;
use crate::record::ActionMemo;

/// One of our schedules as the server described it.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// Its id.
    pub schedule: ScheduleId,
    /// The definition that its own memo names.
    pub definition: DefinitionId,
    /// Its values, normalised. `max_actions` says whether actions are limited;
    /// the number is meaningless, since the server counts it down.
    pub values: ScheduleValues,
    /// How many actions are left, where they are limited.
    pub remaining_actions: Option<u64>,
    /// How many actions it has started in its life.
    pub action_count: u64,
    /// Its action's memo.
    pub memo: LiveMemo,
    /// Its note.
    pub note: String,
    /// When it was last changed, or created.
    pub updated_at: Option<Timestamp>,
}

/// What could be read of an action's memo.
#[derive(Debug, Clone, PartialEq)]
pub enum LiveMemo {
    /// It is this.
    Readable(Box<ActionMemo>),
    /// It was written by a newer release, with this `v`.
    Newer(u32),
    /// There is none, or none that reads: someone replaced the schedule's body.
    Missing,
}

impl Live {
    /// The memo, where it is readable.
    pub fn readable_memo(&self) -> Option<&ActionMemo> {
        match &self.memo {
            LiveMemo::Readable(memo) => Some(memo),
            LiveMemo::Newer(_) | LiveMemo::Missing => None,
        }
    }

    /// Whether the live value of `field` is `expected`'s.
    pub fn agrees(&self, expected: &ScheduleValues, field: Field) -> bool {
        match field {
            Field::MaxActions => self.remaining_actions.is_some() == expected.max_actions.is_some(),
            Field::Unknown => true,
            _ => self.values.value(field) == expected.value(field),
        }
    }
}
