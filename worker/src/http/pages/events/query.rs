//! The filters of the list, all in the address.

use almanac_base::names::DefinitionId;
use almanac_core::record::{Delivery, DeliveryState, DeliveryVia};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::super::query::{is_selected, parsed, text};
use super::super::links;

/// The query of the page.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::http::pages) struct Query {
    #[serde(deserialize_with = "known")]
    pub(super) state: Option<DeliveryState>,
    #[serde(deserialize_with = "known")]
    pub(super) via: Option<DeliveryVia>,
    /// Only deliveries that one of this definition's triggers took.
    #[serde(deserialize_with = "parsed_some")]
    pub(super) definition: Option<DefinitionId>,
    /// Text in the type, the id or the source of the event.
    #[serde(deserialize_with = "text")]
    pub(super) q: Option<String>,
    /// Number of the page, from 1.
    #[serde(deserialize_with = "parsed")]
    pub(super) page: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            state: None,
            via: None,
            definition: None,
            q: None,
            page: 1,
        }
    }
}

/// Reads a value by its name. A name that stands for the values of newer releases is no value.
fn known<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default + PartialEq + Names,
{
    let text = String::deserialize(deserializer)?;
    let value: T = serde_json::from_value(Value::String(text.clone())).unwrap_or_default();
    if value.name() == text {
        Ok(Some(value))
    } else {
        Err(D::Error::custom(format!("there is no `{text}`")))
    }
}

/// A value with a name in addresses.
pub(super) trait Names {
    fn name(&self) -> &'static str;
}

impl Names for DeliveryState {
    fn name(&self) -> &'static str {
        self.as_str()
    }
}

impl Names for DeliveryVia {
    fn name(&self) -> &'static str {
        self.as_str()
    }
}

fn parsed_some<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DefinitionId>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(D::Error::custom)
}

impl Query {
    /// The list of the events of a type.
    pub(super) fn of_type(kind: &str) -> Self {
        Self {
            q: Some(kind.to_owned()),
            ..Self::default()
        }
    }

    /// The list of what a definition's triggers took.
    pub(in crate::http::pages) fn of_definition(id: &DefinitionId) -> Self {
        Self {
            definition: Some(id.clone()),
            ..Self::default()
        }
    }

    /// Returns `true` if the filters other than the state and the way select a delivery.
    /// `text` is the text to search for, in lower case.
    pub(super) fn matches(&self, delivery: &Delivery, text: Option<&str>) -> bool {
        let takes = |id: &DefinitionId| delivery.runs.iter().any(|run| run.definition == *id);
        self.definition.as_ref().is_none_or(takes) && is_selected(delivery, &[], text)
    }

    /// The text to search for, in lower case.
    pub(super) fn searched(&self) -> Option<String> {
        let text = self.q.as_ref().filter(|text| !text.is_empty());
        text.map(|text| text.to_lowercase())
    }

    /// The same filters with a change, from the first page.
    pub(super) fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut changed = Self {
            page: 1,
            ..self.clone()
        };
        change(&mut changed);
        changed
    }

    /// Returns `true` if nothing is filtered out.
    pub(super) fn is_everything(&self) -> bool {
        self.state.is_none()
            && self.via.is_none()
            && self.definition.is_none()
            && self.searched().is_none()
    }

    /// The address of the page with these filters.
    pub(in crate::http::pages) fn address(&self) -> String {
        let page = Some(self.page).filter(|page| *page > 1);
        let parts = [
            ("state", self.state.map(|one| one.as_str().to_owned())),
            ("via", self.via.map(|one| one.as_str().to_owned())),
            (
                "definition",
                self.definition.as_ref().map(ToString::to_string),
            ),
            ("q", self.q.clone()),
            ("page", page.map(|page| page.to_string())),
        ];
        let stated = parts.into_iter().filter_map(|(name, value)| {
            let value = value.filter(|value| !value.is_empty())?;
            Some((name, value))
        });
        links::with_query("/events", stated)
    }
}
