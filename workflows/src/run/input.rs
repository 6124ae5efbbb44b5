//! The input of `RunDefinition`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::{DefinitionId, Revision};

/// What a run begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInput {
    /// The steps, pinned; or, from a start by hand, the id of the definition to pin.
    pub definition: DefinitionRef,
    /// The input given to the steps.
    #[serde(default)]
    pub input: Value,
}

/// Which definition a run interprets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DefinitionRef {
    /// The registry's current version of it.
    Current(DefinitionId),
    /// Exactly this.
    Pinned(PinnedDefinition),
}

/// A definition as a run carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PinnedDefinition {
    /// Its id.
    pub id: DefinitionId,
    /// Its revision.
    pub revision: Revision,
    /// Its task list.
    #[serde(rename = "do")]
    pub steps: Value,
}
