//! From a definition to the schedule it asks for.

use crate::definition::Definition;
use crate::names::{DefinitionId, Project, Revision, ScheduleId};
use crate::schedule::ScheduleValues;

/// The schedule that a definition asks for, without any override.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// The definition.
    pub definition: DefinitionId,
    /// The schedule's id.
    pub schedule: ScheduleId,
    /// Where the definition stands.
    pub source: String,
    /// The definition's revision.
    pub revision: Revision,
    /// What the YAML says, `paused` included.
    pub values: ScheduleValues,
}

impl Desired {
    /// The schedule that `definition` asks for; `None` when it has no `schedule:`.
    pub fn of(_project: &Project, _definition: &Definition, _source: &str) -> Option<Self> {
        None
    }
}
