//! Keys that prove which steps a registry of the project wrote.
//!
//! Whoever may start workflows in a namespace can start `RunDefinition` with any steps.
//! With a key, workers sign the steps that they put into schedules, and those that they pin
//! for a run that names a definition. Steps without a signature of this project call
//! nothing on these workers.

use std::sync::Arc;

use almanac_base::names::Project;
use almanac_core::record::{DefinitionRef, PinnedDefinition, RunInput};
use ring::hmac;
use serde_json::Value;

use super::secrets::{SecretError, Source};

/// Minimum length of a key, in bytes.
const SHORTEST: usize = 32;

/// An entry of `--steps-key`: `env:VARIABLE` or `file:/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry(Source);

/// Error of a key that cannot be used. The messages name places, never texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The entry is malformed. The entry is not shown, because someone may have written the
    /// key itself.
    #[error("a key must be env:VARIABLE or file:/path; {0}")]
    Entry(&'static str),
    /// The key cannot be read.
    #[error("{0}")]
    Unreadable(SecretError),
    /// The key is so short that it is guessed too easily.
    #[error("the key of {0} has {1} bytes, under the minimum of {SHORTEST}")]
    Short(String, usize),
}

impl std::str::FromStr for KeyEntry {
    type Err = KeyError;

    fn from_str(entry: &str) -> Result<Self, KeyError> {
        entry.parse().map(Self).map_err(KeyError::Entry)
    }
}

/// The keys of one project. The first key signs and each key is accepted, so that a key can
/// be replaced while runs continue.
#[derive(Clone)]
pub struct StepKeys {
    project: Project,
    keys: Arc<[hmac::Key]>,
}

impl std::fmt::Debug for StepKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StepKeys({}, {})", self.project, self.keys.len())
    }
}

impl StepKeys {
    /// Reads the keys of these entries. `None` if there are no entries.
    pub fn open(project: &Project, entries: &[KeyEntry]) -> Result<Option<Self>, KeyError> {
        let mut keys = Vec::new();
        for KeyEntry(source) in entries {
            let name = source.to_string();
            let text = source.read(&name).map_err(KeyError::Unreadable)?;
            let bytes = text.expose().as_bytes();
            if bytes.len() < SHORTEST {
                return Err(KeyError::Short(name, bytes.len()));
            }
            keys.push(hmac::Key::new(hmac::HMAC_SHA256, bytes));
        }
        Ok((!keys.is_empty()).then(|| Self {
            project: project.clone(),
            keys: keys.into(),
        }))
    }

    /// Signs a definition that the registry holds.
    pub fn sign(&self, definition: &mut PinnedDefinition) {
        if let Some(key) = self.keys.first() {
            let tag = hmac::sign(key, &definition.signed_text(&self.project));
            definition.signature = Some(hex::encode(tag));
        }
    }

    /// Signs the definition in the input of a run.
    pub(crate) fn sign_input(&self, input: &mut Value) {
        let pinned = input.get("definition").cloned();
        let pinned = pinned.and_then(|pinned| serde_json::from_value(pinned).ok());
        if let Some(DefinitionRef::Pinned(mut definition)) = pinned {
            self.sign(&mut definition);
            input["definition"] = serde_json::json!(definition);
        }
    }

    /// Returns `true` if a registry of the project wrote these steps.
    pub fn verify(&self, definition: &PinnedDefinition) -> bool {
        let signature = definition.signature.as_deref().unwrap_or_default();
        let Ok(tag) = hex::decode(signature) else {
            return false;
        };
        let text = definition.signed_text(&self.project);
        self.keys
            .iter()
            .any(|key| hmac::verify(key, &text, &tag).is_ok())
    }

    /// Returns `true` if the input of a run has steps that a registry of the project wrote,
    /// or only names a definition.
    pub(crate) fn verify_input(&self, input: &Value) -> bool {
        let input: Option<RunInput> = serde_json::from_value(input.clone()).ok();
        input.is_some_and(|input| match input.definition {
            DefinitionRef::Pinned(definition) => self.verify(&definition),
            DefinitionRef::Current(_) => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys(project: &str, texts: &[&str]) -> StepKeys {
        let keys = texts.iter().map(|text| {
            let bytes = text.repeat(SHORTEST);
            hmac::Key::new(hmac::HMAC_SHA256, bytes.as_bytes())
        });
        StepKeys {
            project: project.parse().unwrap(),
            keys: keys.collect(),
        }
    }

    fn definition() -> PinnedDefinition {
        PinnedDefinition {
            id: "job".parse().unwrap(),
            revision: almanac_base::names::Revision::of(b"1"),
            steps: json!([{"a": {"set": {"x": 1.5}}}]),
            signature: None,
        }
    }

    #[test]
    fn a_signature_is_of_one_project_key_and_definition() {
        let project_keys = keys("p", &["k"]);
        let mut signed = definition();
        assert!(!project_keys.verify(&signed));
        project_keys.sign(&mut signed);
        assert!(project_keys.verify(&signed));
        assert!(!keys("q", &["k"]).verify(&signed));
        assert!(!keys("p", &["l"]).verify(&signed));
        // A key that is replaced is accepted for as long as it is named.
        assert!(keys("p", &["l", "k"]).verify(&signed));
        for forged in [
            PinnedDefinition {
                id: "other".parse().unwrap(),
                ..signed.clone()
            },
            PinnedDefinition {
                revision: almanac_base::names::Revision::of(b"2"),
                ..signed.clone()
            },
            PinnedDefinition {
                steps: json!([{"a": {"set": {"x": 2}}}]),
                ..signed.clone()
            },
            PinnedDefinition {
                signature: Some("no hex".to_owned()),
                ..signed.clone()
            },
        ] {
            assert!(!project_keys.verify(&forged), "{forged:?}");
        }
    }

    #[test]
    fn the_input_of_a_run_keeps_its_signature_on_the_way() {
        let project_keys = keys("p", &["k"]);
        let mut input = json!({"definition": definition(), "input": {"a": 1}});
        assert!(!project_keys.verify_input(&input));
        project_keys.sign_input(&mut input);
        let carried: Value = serde_json::from_str(&input.to_string()).unwrap();
        assert!(project_keys.verify_input(&carried), "{carried}");
        assert!(project_keys.verify_input(&json!({"definition": "job"})));
        assert!(!project_keys.verify_input(&json!({"definition": {"id": "job"}})));
    }

    #[test]
    fn a_key_that_cannot_be_used_is_refused_without_being_shown() {
        let project: Project = "p".parse().unwrap();
        let open = |entry: &str| StepKeys::open(&project, &[entry.parse().unwrap()]);
        let missing = open("env:ALMANAC_NO_SUCH_VARIABLE")
            .unwrap_err()
            .to_string();
        assert!(missing.contains("is not set"), "{missing}");
        let short = open("file:/proc/self/comm").unwrap_err().to_string();
        assert!(
            short.contains("is not a file") || short.contains("minimum of 32"),
            "{short}"
        );
        let entry = "s3cret".parse::<KeyEntry>().unwrap_err().to_string();
        assert!(!entry.contains("s3cret"), "{entry}");
        assert!(StepKeys::open(&project, &[]).unwrap().is_none());
    }
}
