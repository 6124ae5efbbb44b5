//! The filters of the page, all in the address.

use serde::Deserialize;

use super::super::super::query::{parsed, text};
use super::super::links;
use crate::activity_log::{EntryFilter, KindFilter};

/// The query of the page.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::http::pages) struct Query {
    pub(super) kind: Option<KindFilter>,
    /// Text in the name of the person who asked.
    #[serde(deserialize_with = "text")]
    pub(super) by: Option<String>,
    /// Text in the id of the definition.
    #[serde(deserialize_with = "text")]
    pub(super) definition: Option<String>,
    /// Number of the page, from 1.
    #[serde(deserialize_with = "parsed")]
    pub(super) page: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            kind: None,
            by: None,
            definition: None,
            page: 1,
        }
    }
}

impl Query {
    pub(super) fn filter(&self) -> EntryFilter {
        EntryFilter {
            kind: self.kind,
            by: self.by.clone(),
            definition: self.definition.clone(),
        }
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
        let is_empty = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
        self.kind.is_none() && is_empty(&self.by) && is_empty(&self.definition)
    }

    /// The address of the page with these filters.
    pub(super) fn address(&self) -> String {
        let page = Some(self.page).filter(|page| *page > 1);
        let parts = [
            ("kind", self.kind.map(|kind| kind.as_str().to_owned())),
            ("by", self.by.clone()),
            ("definition", self.definition.clone()),
            ("page", page.map(|page| page.to_string())),
        ];
        let stated = parts.into_iter().filter_map(|(name, value)| {
            let value = value.filter(|value| !value.is_empty())?;
            Some((name, value))
        });
        links::with_query("/activity", stated)
    }
}
