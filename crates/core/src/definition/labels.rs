//! Labels of a definition or a calendar.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Serialize, Serializer};

/// Labels by which people and tools select definitions, in the order of their names.
///
/// Most definitions have one or two labels. A `BTreeMap` would reserve room for eleven, which is
/// 500 bytes for each of thousands of definitions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

impl Labels {
    /// Labels of an entry that has none.
    pub fn none() -> &'static Self {
        static NONE: LazyLock<Labels> = LazyLock::new(Labels::default);
        &NONE
    }

    /// The value of a label; `None` if there is no label of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(name));
        Some(&self.0[at.ok()?].1)
    }

    /// The names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Returns `true` if there are no labels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// If a name occurs twice, the last value counts.
impl<K: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(labels: I) -> Self {
        let labels = labels.into_iter();
        let sorted: BTreeMap<Box<str>, Box<str>> = labels
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self(sorted.into_iter().collect())
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_by_name_and_written_in_order() {
        let labels: Labels = [("team", "billing"), ("env", "test"), ("env", "prod")]
            .into_iter()
            .collect();
        assert_eq!(labels.get("team"), Some("billing"));
        assert_eq!(labels.get("env"), Some("prod"));
        assert_eq!(labels.get("owner"), None);
        let text = serde_json::to_string(&labels).unwrap();
        assert_eq!(text, r#"{"env":"prod","team":"billing"}"#);
        assert!(!labels.is_empty());
        assert!(Labels::none().is_empty());
    }
}
