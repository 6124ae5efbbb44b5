//! Foreign schedules to take over from: asked for by operators, kept by the
//! workflow until a pass has done it.

use std::collections::BTreeMap;

use almanac_base::names::{DefinitionId, Project, Revision, ScheduleId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{check_text, check_words, is_name};

/// The longest id of a foreign schedule, in bytes; the server's limit.
pub const SCHEDULE_ID_LIMIT: usize = 1000;

/// What is to be adopted, by definition.
pub type Adoptions = BTreeMap<DefinitionId, Adoption>;

/// A foreign schedule that one of ours takes over from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Adoption {
    /// Tells it from an earlier one that a pass may be doing.
    pub number: u64,
    /// The foreign schedule.
    pub from: ScheduleId,
    /// The Almanac project that it belongs to, where it belongs to one.
    pub from_project: Option<Project>,
    /// The definition's revision that was agreed to; any, where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Who asked.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// The argument of the update `adopt`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdoptRequest {
    /// A repeated one gets the first one's answer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// The definition.
    pub id: Option<DefinitionId>,
    /// The foreign schedule.
    pub from: ScheduleId,
    /// The Almanac project that it belongs to, where it belongs to one.
    pub from_project: Option<Project>,
    /// The definition's revision that is agreed to; any, where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Who.
    pub by: String,
}

impl AdoptRequest {
    /// The definition it is about, when the request makes sense.
    pub fn check(&self) -> Result<&DefinitionId, String> {
        let id = self.id.as_ref().ok_or("id is missing")?;
        check_words(&self.request_id, "", &self.by)?;
        if self.from.as_str().is_empty() {
            return Err("from is missing".to_owned());
        }
        check_text("from", self.from.as_str(), SCHEDULE_ID_LIMIT)?;
        if let Some(revision) = &self.revision
            && !is_name(revision.as_str())
        {
            return Err("revision is not one".to_owned());
        }
        Ok(id)
    }
}

/// The answer of the update `adopt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptAnswer {
    /// The number of the pass that will do it; its report is in `status`.
    pub pass: u64,
}
