//! The part of the rows that a page shows: filters, order and place, all in the address.

use almanac_base::names::DefinitionId;
use serde::{Deserialize, Deserializer};

use super::super::query::{Label, labels, parsed, text};
use super::links;
use crate::overview::{Condition, Group, Overview, Row};

/// Number of rows on a page.
pub(super) const PAGE: usize = 100;

/// The query of the schedules page.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Selection {
    /// Text in the id, source, description or workflow type.
    #[serde(deserialize_with = "text")]
    pub(super) q: Option<String>,
    #[serde(deserialize_with = "some")]
    pub(super) state: Option<StateFilter>,
    #[serde(deserialize_with = "labels")]
    pub(super) label: Vec<Label>,
    /// Task queue.
    #[serde(deserialize_with = "text")]
    pub(super) queue: Option<String>,
    #[serde(deserialize_with = "parsed")]
    pub(super) sort: Sort,
    /// Number of the page, from 1.
    #[serde(deserialize_with = "parsed")]
    pub(super) page: usize,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            q: None,
            state: None,
            label: Vec::new(),
            queue: None,
            sort: Sort::State,
            page: 1,
        }
    }
}

fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StateFilter>, D::Error> {
    parsed(deserializer).map(Some)
}

/// The states that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StateFilter {
    /// Rows with this condition, also behind others.
    Condition(Condition),
    /// Rows that a person should look at.
    Attention,
    /// Rows whose schedule is paused, whoever paused it.
    AnyPaused,
    /// Rows whose last run failed, timed out or was terminated.
    FailedRun,
    /// Rows whose last run goes on.
    Running,
}

impl std::str::FromStr for StateFilter {
    type Err = crate::overview::ConditionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "attention" => Ok(Self::Attention),
            "any-paused" => Ok(Self::AnyPaused),
            "failed-run" => Ok(Self::FailedRun),
            "running" => Ok(Self::Running),
            _ => text.parse().map(Self::Condition),
        }
    }
}

impl StateFilter {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Condition(condition) => condition.as_str(),
            Self::Attention => "attention",
            Self::AnyPaused => "any-paused",
            Self::FailedRun => "failed-run",
            Self::Running => "running",
        }
    }

    /// Returns `true` if the filter shows the row.
    pub(super) fn shows(self, overview: &Overview, row: &Row) -> bool {
        match self {
            Self::Condition(condition) => row.conditions.contains(condition),
            Self::Attention => row.conditions.first().group() == Group::Attention,
            Self::AnyPaused => overview.schedule(row).is_some_and(|view| view.paused),
            Self::FailedRun => matches!(
                last_status(overview, row),
                Some("failed" | "timed_out" | "terminated")
            ),
            Self::Running => last_status(overview, row) == Some("running"),
        }
    }
}

/// The status of a row's last run.
fn last_status<'a>(overview: &'a Overview, row: &Row) -> Option<&'a str> {
    let last = overview.schedule(row)?.last_run.as_ref()?;
    last.status.as_deref()
}

/// The order of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// The worst first.
    State,
    Name,
    /// The next to run first.
    Next,
    /// The last to have run first.
    Last,
}

/// The text names no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is none of state, name, next and last")]
pub(super) struct SortError;

impl std::str::FromStr for Sort {
    type Err = SortError;

    fn from_str(text: &str) -> Result<Self, SortError> {
        let mut all = [Self::State, Self::Name, Self::Next, Self::Last].into_iter();
        all.find(|one| one.as_str() == text).ok_or(SortError)
    }
}

impl Sort {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Name => "name",
            Self::Next => "next",
            Self::Last => "last",
        }
    }
}

impl Selection {
    /// The rows that match, in their order.
    pub(super) fn rows<'a>(&self, overview: &'a Overview) -> Vec<&'a Row> {
        let text = self.q.as_ref().map(|text| text.to_lowercase());
        let rows = overview.rows.iter();
        let mut rows: Vec<_> = rows
            .filter(|row| self.matches(overview, row, text.as_deref()))
            .collect();
        let schedule = |row: &&Row| overview.schedule(row);
        match self.sort {
            Sort::State => {}
            Sort::Name => rows.sort_by_key(|row| (row.id.is_none(), &row.id, &row.source)),
            Sort::Next => rows.sort_by_key(|row| {
                let next = schedule(row).and_then(|view| view.next_run);
                (next.is_none(), next)
            }),
            Sort::Last => rows.sort_by_key(|row| {
                let last = schedule(row).and_then(|view| view.last_run.as_ref());
                std::cmp::Reverse(last.map(|run| run.at))
            }),
        }
        rows
    }

    /// The rows on the page that was asked for.
    pub(super) fn page_of<'a>(&self, rows: &[&'a Row]) -> Vec<&'a Row> {
        let first = self.page.saturating_sub(1).saturating_mul(PAGE);
        rows.iter().copied().skip(first).take(PAGE).collect()
    }

    /// Returns `true` if the row matches everything but the filter of states.
    pub(super) fn matches_but_state(&self, overview: &Overview, row: &Row) -> bool {
        let text = self.q.as_ref().map(|text| text.to_lowercase());
        self.matches_rest(overview, row, text.as_deref())
    }

    fn matches(&self, overview: &Overview, row: &Row, text: Option<&str>) -> bool {
        self.state.is_none_or(|state| state.shows(overview, row))
            && self.matches_rest(overview, row, text)
    }

    fn matches_rest(&self, overview: &Overview, row: &Row, text: Option<&str>) -> bool {
        let has = |label: &Label| overview.labels(row).get(label.name()) == Some(label.value());
        let says = |text: &str| {
            let id = row.id.as_ref().map(DefinitionId::as_str);
            let kind = overview
                .schedule(row)
                .map(|view| view.workflow_type.as_str());
            let texts = [id, row.source.as_deref(), overview.description(row), kind];
            let mut texts = texts.into_iter().flatten();
            texts.any(|one| one.to_lowercase().contains(text))
        };
        self.label.iter().all(has)
            && self
                .queue
                .as_ref()
                .is_none_or(|queue| queue.is_empty() || overview.queue(row) == Some(queue.as_str()))
            && text.is_none_or(says)
    }

    /// The address of the page with this selection.
    pub(super) fn address(&self) -> String {
        links::with_query("/", self.pairs())
    }

    /// The selection as a query, without the parts that have their defaults.
    pub(super) fn query(&self) -> String {
        links::query(self.pairs())
    }

    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        if let Some(q) = self.q.as_ref().filter(|q| !q.is_empty()) {
            pairs.push(("q", q.clone()));
        }
        if let Some(state) = self.state {
            pairs.push(("state", state.as_str().to_owned()));
        }
        for label in &self.label {
            pairs.push(("label", label.to_string()));
        }
        if let Some(queue) = self.queue.as_ref().filter(|queue| !queue.is_empty()) {
            pairs.push(("queue", queue.clone()));
        }
        if self.sort != Sort::State {
            pairs.push(("sort", self.sort.as_str().to_owned()));
        }
        if self.page > 1 {
            pairs.push(("page", self.page.to_string()));
        }
        pairs
    }

    /// The same selection with a change, from its first page.
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
        is_empty(&self.q) && self.state.is_none() && self.label.is_empty() && is_empty(&self.queue)
    }
}
