//! Reader of `use`: definitions that tasks refer to by name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::reader::{At, Object, Reader};
use super::shapes::{TIMEOUT, USE};

impl Reader {
    pub(super) fn uses(&mut self, at: &At<'_>) -> Option<()> {
        let object = self.object(at, &USE)?;
        if let Some(at) = object.get("secrets") {
            self.secrets(&at);
        }
        self.uses.errors = self.named(&object, "errors", Self::raised_error);
        // A `catch` uses the policy, so the policy can name the error.
        let retries = self.within(&["error"], |reader| {
            reader.named(&object, "retries", Self::retry_policy)
        });
        self.uses.retries = retries;
        self.uses.timeouts = self.named(&object, "timeouts", |reader, at| {
            let object = reader.object(at, &TIMEOUT)?;
            let at = reader.required(&object, "after")?;
            reader.length(&at)
        });
        self.uses.authentications = self.named(&object, "authentications", Self::authentication);
        Some(())
    }

    fn secrets(&mut self, at: &At<'_>) {
        for (index, item) in self
            .list(at, "a list of names")
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            let at = at.item(index, item);
            if let Some(name) = self.name(&at)
                && !self.uses.secrets.insert(name.to_owned())
            {
                self.wrong(&at, "is declared twice");
            }
        }
    }

    /// Reads definitions by name. `None` stands for a definition with a problem, so that tasks
    /// that use it do not cause more problems.
    fn named<T>(
        &mut self,
        object: &Object<'_>,
        key: &str,
        mut read: impl FnMut(&mut Self, &At<'_>) -> Option<T>,
    ) -> BTreeMap<String, Option<T>> {
        let Some(at) = object.get(key) else {
            return BTreeMap::new();
        };
        let Value::Object(map) = at.value else {
            self.mismatch(&at, "a map");
            return BTreeMap::new();
        };
        map.iter()
            .map(|(name, value)| (name.clone(), read(self, &at.key(name, value))))
            .collect()
    }
}
