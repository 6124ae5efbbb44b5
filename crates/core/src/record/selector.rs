//! Definitions chosen by their labels.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use almanac_base::names::{DefinitionId, Revision};
use serde::{Deserialize, Serialize};

use super::{SELECTOR_LIMIT, check_text};
use crate::definition::Labels;

/// Maximum number of definitions that a selection names. Further ones are only counted.
pub const SELECTION_LIMIT: usize = 1000;
/// Maximum number of labels of a selector.
const LABELS_LIMIT: usize = 20;

almanac_base::message_error! {
    /// A mistake in the text of a selector.
    pub SelectorError
}

/// Labels that a definition must all have: `team=billing,env=prod`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector(BTreeMap<String, String>);

impl Selector {
    /// Returns `true` if `labels` contain all labels of the selector.
    pub fn matches(&self, labels: &Labels) -> bool {
        let mut wanted = self.0.iter();
        wanted.all(|(key, value)| labels.get(key) == Some(value.as_str()))
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        check_text("selector", text, SELECTOR_LIMIT).map_err(|error| error.to_string())?;
        let mut wanted = BTreeMap::new();
        for part in text.split(',') {
            let (key, value) = part
                .split_once('=')
                .map(|(key, value)| (key.trim(), value.trim()))
                .filter(|(key, value)| !key.is_empty() && !value.is_empty())
                .ok_or_else(|| format!("`{part}` is not LABEL=VALUE"))?;
            let earlier = wanted.insert(key.to_owned(), value.to_owned());
            if earlier.is_some_and(|earlier| earlier != value) {
                return Err(format!("label `{key}` cannot have two values").into());
            }
        }
        if wanted.len() > LABELS_LIMIT {
            return Err(format!("more than {LABELS_LIMIT} labels").into());
        }
        Ok(Self(wanted))
    }
}

impl TryFrom<String> for Selector {
    type Error = SelectorError;

    fn try_from(text: String) -> Result<Self, SelectorError> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.to_string()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(|(k, v)| format!("{k}={v}")).collect();
        f.write_str(&parts.join(","))
    }
}

/// The argument of the update `select`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectRequest {
    /// Labels to select by.
    pub selector: Selector,
}

/// The definitions that have a schedule and the requested labels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// Revision of the registry that was searched.
    pub revision: Revision,
    /// Ids of the definitions, in order; the first 1000.
    pub ids: Vec<DefinitionId>,
    /// Number of definitions that match.
    pub total: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_must_match() {
        let labels: Labels = [("team", "billing"), ("env", "prod")].into_iter().collect();
        for (text, is_match) in [
            ("team=billing", true),
            ("team=billing, env=prod", true),
            ("team=billing,env=test", false),
            ("owner=ann", false),
        ] {
            let selector: Selector = text.parse().unwrap();
            assert_eq!(selector.matches(&labels), is_match, "{text}");
        }
        for text in ["", "team", "team=", "=x", "a=1,,b=2", "a=1,a=2"] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }
}
