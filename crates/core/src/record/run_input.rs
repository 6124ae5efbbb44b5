//! The input of `RunDefinition`.

use almanac_base::names::{DefinitionId, Project, Revision};
use almanac_steps::machine::Position;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a run begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInput {
    /// The steps, pinned; or, from a start by hand, the id of the definition to pin.
    pub definition: DefinitionRef,
    /// The input given to the steps.
    #[serde(default)]
    pub input: Value,
    /// Where the run goes on; none at its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Box<Position>>,
    /// How many events were lost before, since too many waited.
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
#[serde(from = "Carried", into = "Carried")]
pub struct PinnedDefinition {
    /// Its id.
    pub id: DefinitionId,
    /// Its revision.
    pub revision: Revision,
    /// Its steps: the task list, or a map of `do` and what stands around it.
    pub steps: Value,
    /// Proof that a registry of its project wrote it, where workers have a key.
    pub signature: Option<String>,
}

impl PinnedDefinition {
    /// The text that a signature is of.
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

/// The same as JSON: what stands around the task list, beside it.
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

/// The steps that the input of a run pins; `None` when it pins none.
pub fn pinned_steps(input: &Value) -> Option<Value> {
    let mut parts = input.get("definition")?.as_object()?.clone();
    parts.retain(|key, _| !matches!(key.as_str(), "id" | "revision" | "signature"));
    parts.contains_key("do").then(|| joined(parts))
}

/// Steps from the parts that a run carries; the task list alone where there is
/// nothing else.
fn joined(mut parts: Map<String, Value>) -> Value {
    if parts.len() == 1
        && let Some(list) = parts.remove("do")
    {
        return list;
    }
    Value::Object(parts)
}

/// The parts of steps as a run carries them: `do`, and what stands around it.
fn parted(steps: Value) -> Map<String, Value> {
    match steps {
        Value::Object(parts) => parts,
        list => Map::from_iter([("do".to_owned(), list)]),
    }
}
