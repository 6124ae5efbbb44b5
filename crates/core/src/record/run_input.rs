//! The input of `RunDefinition`.

use almanac_base::names::{DefinitionId, Project, Revision};
use almanac_steps::machine::Position;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::EventOrigin;

almanac_base::message_error! {
    /// The reason for which the input of a run cannot be read.
    pub RunInputError
}

/// Input with which a run begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInput {
    /// Definition with pinned steps; or, if an operator started the run, the id of the one to pin.
    pub definition: DefinitionRef,
    /// Input that the steps get.
    #[serde(default)]
    pub input: Value,
    /// Event that started the run; `None` if a schedule, a person or a program did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventOrigin>,
    /// Position at which the run continues; `None` at its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Box<Position>>,
    /// Number of events that were lost before, because too many waited.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde wants"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Definition that a run interprets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum DefinitionRef {
    /// The registry's current version of the definition.
    Current(DefinitionId),
    /// Exactly this version.
    Pinned(PinnedDefinition),
}

/// A definition as it is contained in the input of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Carried", into = "Carried")]
pub struct PinnedDefinition {
    pub id: DefinitionId,
    pub revision: Revision,
    /// Steps of the definition: the task list, or a map of `do` and the keys beside it.
    pub steps: Value,
    /// Proof that a registry of the project wrote this definition, if workers have a key.
    pub signature: Option<String>,
}

impl PinnedDefinition {
    /// Text that the signature is computed of.
    pub fn signed_text(&self, project: &Project) -> Vec<u8> {
        let parts = (
            "almanac steps v1",
            project,
            &self.id,
            &self.revision,
            &self.steps,
        );
        // Maps of JSON are ordered by their keys.
        serde_json::to_vec(&parts).unwrap_or_default()
    }
}

/// A pinned definition as JSON, in which the keys beside the task list are not nested.
#[derive(Serialize, Deserialize)]
#[serde(expecting = "an id, or a definition with `id`, `revision` and `do`")]
struct Carried {
    id: DefinitionId,
    revision: Revision,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(flatten)]
    parts: Map<String, Value>,
}

impl From<Carried> for PinnedDefinition {
    fn from(carried: Carried) -> Self {
        Self {
            id: carried.id,
            revision: carried.revision,
            steps: joined(carried.parts),
            signature: carried.signature,
        }
    }
}

impl From<PinnedDefinition> for Carried {
    fn from(pinned: PinnedDefinition) -> Self {
        Self {
            id: pinned.id,
            revision: pinned.revision,
            signature: pinned.signature,
            parts: parted(pinned.steps),
        }
    }
}

/// Returns the steps that the input of a run pins; `None` if the input pins none.
pub fn pinned_steps(input: &Value) -> Option<Value> {
    let mut parts = input.get("definition")?.as_object()?.clone();
    parts.retain(|key, _| !matches!(key.as_str(), "id" | "revision" | "signature"));
    parts.contains_key("do").then(|| joined(parts))
}

/// Joins the parts in the input of a run to steps: the task list alone if there are no other
/// parts.
fn joined(mut parts: Map<String, Value>) -> Value {
    if parts.len() == 1
        && let Some(list) = parts.remove("do")
    {
        return list;
    }
    Value::Object(parts)
}

/// Parts of steps as the input of a run contains them: `do`, and the keys beside it.
fn parted(steps: Value) -> Map<String, Value> {
    match steps {
        Value::Object(parts) => parts,
        list => Map::from_iter([("do".to_owned(), list)]),
    }
}
