//! A cache of the fingerprints of desired schedules.
//!
//! Each is hashed once, so a pass over ten thousand schedules in sync hashes
//! nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use almanac_base::names::DefinitionId;
use almanac_core::definition::Definition;
use almanac_core::schedule::{Desired, Encryption, Fingerprint};
use almanac_core::snapshot::Snapshot;

/// Fingerprints by definition, for one project.
#[derive(Debug, Default)]
pub struct Fingerprints(Mutex<BTreeMap<DefinitionId, Known>>);

/// A fingerprint with the definition and the encryption that it was computed for.
type Known = (Arc<Definition>, Encryption, Fingerprint);

impl Fingerprints {
    /// The fingerprint of `desired`, which comes from a definition in
    /// `snapshot`.
    pub(super) fn of(&self, desired: &Desired, snapshot: &Snapshot) -> Fingerprint {
        let Some(loaded) = snapshot.definitions.get(&desired.definition) else {
            return desired.fingerprint();
        };
        let mut all = self.lock();
        match all.get(&desired.definition) {
            // The definition is the same object in memory, so it has not
            // changed.
            Some((known, encryption, fingerprint))
                if Arc::ptr_eq(known, &loaded.definition) && *encryption == snapshot.encryption =>
            {
                fingerprint.clone()
            }
            _ => {
                let fingerprint = desired.fingerprint();
                let known = (
                    Arc::clone(&loaded.definition),
                    snapshot.encryption.clone(),
                    fingerprint.clone(),
                );
                all.insert(desired.definition.clone(), known);
                fingerprint
            }
        }
    }

    /// Removes the definitions that `snapshot` does not have.
    pub(super) fn retain(&self, snapshot: &Snapshot) {
        let is_served = |id: &DefinitionId| snapshot.definitions.contains_key(id);
        self.lock().retain(|id, _| is_served(id));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<DefinitionId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use almanac_base::names::Project;
    use almanac_core::definition::{ParseContext, Parsed, parse_file};
    use almanac_core::snapshot::{LoadStatus, Loaded};
    use jiff::Timestamp;

    use super::*;

    /// A snapshot of one definition, and the schedule that it asks for.
    fn loaded(cron: &str) -> (Snapshot, Desired) {
        let text =
            format!("schedule: {{ cron: '{cron}' }}\nworkflow: {{ type: Run, task_queue: q }}\n");
        let context = ParseContext {
            now: Timestamp::UNIX_EPOCH,
        };
        let document = parse_file("a.yaml", text.as_bytes(), &context).remove(0);
        let Ok(Parsed::Definition(definition)) = document.result else {
            panic!("{document:?}");
        };
        let desired = Desired::of(&"p".parse::<Project>().unwrap(), &definition, "a.yaml").unwrap();
        let loaded = Loaded {
            definition,
            source: "a.yaml".into(),
            status: LoadStatus::Loaded,
        };
        let definitions = [(desired.definition.clone(), loaded)].into();
        let snapshot = Snapshot {
            definitions,
            ..Snapshot::default()
        };
        (snapshot, desired)
    }

    #[test]
    fn a_fingerprint_is_of_the_definition_as_it_is_now() {
        let fingerprints = Fingerprints::default();
        for cron in ["0 * * * *", "5 * * * *", "0 * * * *"] {
            let (snapshot, desired) = loaded(cron);
            for _ in 0..2 {
                let known = fingerprints.of(&desired, &snapshot);
                assert_eq!(known, desired.fingerprint(), "{cron}");
            }
        }
    }

    #[test]
    fn fingerprints_of_definitions_that_are_not_served_are_forgotten() {
        let fingerprints = Fingerprints::default();
        let (snapshot, desired) = loaded("0 * * * *");
        fingerprints.of(&desired, &snapshot);
        fingerprints.retain(&snapshot);
        assert_eq!(fingerprints.lock().len(), 1);
        fingerprints.retain(&Snapshot::default());
        assert_eq!(fingerprints.lock().len(), 0);
        let known = fingerprints.of(&desired, &Snapshot::default());
        assert_eq!(known, desired.fingerprint());
    }
}
