//! Unmanaged schedules to take over from: operators ask for them, and the reconcile workflow
//! keeps the requests until a pass has done them.

use std::collections::BTreeMap;

use almanac_base::names::{DefinitionId, Project, Revision, ScheduleId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{RequestProblem, check_text, check_words, is_name};

/// Maximum length of the id of an unmanaged schedule, in bytes; the server's limit.
pub const SCHEDULE_ID_LIMIT: usize = 1000;

/// Requested adoptions by definition.
pub type Adoptions = BTreeMap<DefinitionId, Adoption>;

/// An unmanaged schedule that a schedule of the project takes over from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Adoption {
    /// Number that distinguishes this adoption from an earlier one that a pass may be doing.
    pub number: u64,
    /// The unmanaged schedule to take over from.
    pub from: ScheduleId,
    /// Other Almanac project that the schedule belongs to; `None` if it belongs to none.
    pub from_project: Option<Project>,
    /// Revision of the definition that the operator agreed to; `None` allows any revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Name of the operator.
    pub by: String,
    /// Time of the request.
    pub at: Timestamp,
}

/// The argument of the update `adopt`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdoptRequest {
    /// Id of the request. A request with a known id gets the answer of the first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// Definition whose schedule takes over.
    pub id: Option<DefinitionId>,
    /// The unmanaged schedule to take over from.
    pub from: ScheduleId,
    /// Other Almanac project that the schedule belongs to; `None` if it belongs to none.
    pub from_project: Option<Project>,
    /// Revision of the definition that the operator agrees to; `None` allows any revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Name of the operator.
    pub by: String,
}

impl AdoptRequest {
    /// Returns the definition of the request, or the mistake in the request.
    pub fn check(&self) -> Result<&DefinitionId, RequestProblem> {
        let id = self.id.as_ref().ok_or("id is missing")?;
        check_words(&self.request_id, "", &self.by)?;
        if self.from.as_str().is_empty() {
            return Err("from is missing".into());
        }
        check_text("from", self.from.as_str(), SCHEDULE_ID_LIMIT)?;
        if let Some(revision) = &self.revision
            && !is_name(revision.as_str())
        {
            return Err("revision is not a valid revision".into());
        }
        Ok(id)
    }
}

/// The answer of the update `adopt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptAnswer {
    /// Number of the pass that will do the adoption; the pass's report is in `status`.
    pub pass: u64,
}
