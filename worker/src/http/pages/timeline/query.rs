//! The window and the grouping of the timeline, all in the address.

use std::str::FromStr;

use almanac_activities::timeline::TimelineLane;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer};

use super::super::super::query::{Label, is_selected, labels, parsed, text};
use super::super::links;

/// The query of the page.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::http::pages) struct Query {
    /// The middle of the window; the present if left out.
    #[serde(deserialize_with = "some")]
    pub(super) at: Option<Timestamp>,
    #[serde(deserialize_with = "parsed")]
    pub(super) span: Span,
    #[serde(deserialize_with = "some")]
    pub(super) group: Option<GroupBy>,
    /// The zone of the axis; that of most schedules if left out.
    #[serde(deserialize_with = "some")]
    pub(super) zone: Option<ZoneName>,
    /// Text in the id, source or description.
    #[serde(deserialize_with = "text")]
    pub(super) q: Option<String>,
    #[serde(deserialize_with = "labels")]
    pub(super) label: Vec<Label>,
    /// Only schedules with failed runs or gaps, and those that are overdue.
    #[serde(deserialize_with = "parsed")]
    pub(super) trouble: bool,
    /// Number of the page, from 1.
    #[serde(deserialize_with = "parsed")]
    pub(super) page: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            at: None,
            span: Span::Day,
            group: None,
            zone: None,
            q: None,
            label: Vec::new(),
            trouble: false,
            page: 1,
        }
    }
}

fn some<'de, D: Deserializer<'de>, T: FromStr<Err: std::fmt::Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    parsed(deserializer).map(Some)
}

/// Length of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    ThreeHours,
    TwelveHours,
    Day,
    Week,
}

impl Span {
    pub(super) const ALL: [Self; 4] = [Self::ThreeHours, Self::TwelveHours, Self::Day, Self::Week];

    const fn as_str(self) -> &'static str {
        match self {
            Self::ThreeHours => "3h",
            Self::TwelveHours => "12h",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::ThreeHours => "3 h",
            Self::TwelveHours => "12 h",
            Self::Day => "Day",
            Self::Week => "Week",
        }
    }

    const fn length(self) -> SignedDuration {
        match self {
            Self::ThreeHours => SignedDuration::from_hours(3),
            Self::TwelveHours => SignedDuration::from_hours(12),
            Self::Day => SignedDuration::from_hours(24),
            Self::Week => SignedDuration::from_hours(7 * 24),
        }
    }
}

/// The text names no length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is none of 3h, 12h, day and week")]
pub(super) struct SpanError;

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let mut all = Self::ALL.into_iter();
        all.find(|one| one.as_str() == text).ok_or(SpanError)
    }
}

/// The name of a time zone that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ZoneName(pub(super) String);

/// The text names no time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no time zone")]
pub(super) struct ZoneNameError;

impl FromStr for ZoneName {
    type Err = ZoneNameError;

    fn from_str(text: &str) -> Result<Self, ZoneNameError> {
        let known = TimeZone::get(text).map_err(|_| ZoneNameError)?;
        let name = known.iana_name().ok_or(ZoneNameError)?;
        Ok(Self(name.to_owned()))
    }
}

/// The property by which lanes are grouped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GroupBy {
    /// The value of this label.
    Label(String),
    Nothing,
}

impl FromStr for GroupBy {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "" => Self::Nothing,
            name => Self::Label(name.to_owned()),
        })
    }
}

impl Query {
    /// The ends of the window.
    pub(super) fn ends(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        let half = self.span.length() / 2;
        let at = self.at.unwrap_or(now);
        (
            at.saturating_sub(half).unwrap_or(at),
            at.saturating_add(half).unwrap_or(at),
        )
    }

    /// The grouping: `usual` is the label by which lanes are grouped if the query says
    /// nothing.
    pub(super) fn group_by(&self, usual: Option<&str>) -> GroupBy {
        let usual = || usual.map_or(GroupBy::Nothing, |name| GroupBy::Label(name.to_owned()));
        self.group.clone().unwrap_or_else(usual)
    }

    /// Returns `true` if the lane is wanted.
    pub(super) fn shows(&self, lane: &TimelineLane) -> bool {
        !self.trouble
            || lane.view().overdue == Some(true)
            || !lane.gaps().is_empty()
            || lane.runs().iter().any(|run| run.status.is_failure())
    }

    /// The address of the window before or after this one, with half of this one in view.
    pub(super) fn moved(&self, now: Timestamp, steps: i32) -> String {
        let step = self.span.length() / 2 * steps;
        let at = self.at.unwrap_or(now);
        let at = at.saturating_add(step).unwrap_or(at);
        self.with(|one| one.at = Timestamp::from_second(at.as_second()).ok())
    }

    /// The address of the page with a change.
    pub(super) fn with(&self, change: impl FnOnce(&mut Self)) -> String {
        let mut changed = Self {
            page: 1,
            ..self.clone()
        };
        change(&mut changed);
        changed.address()
    }

    /// The lanes of the schedules that are selected.
    pub(super) fn selected<'a>(&self, lanes: &'a [TimelineLane]) -> Vec<&'a TimelineLane> {
        let text = self.q.as_ref().map(|text| text.to_lowercase());
        let lanes = lanes.iter();
        lanes
            .filter(|lane| is_selected(*lane, &self.label, text.as_deref()))
            .collect()
    }

    /// Returns `true` if only some schedules are selected.
    pub(super) fn is_filtered(&self) -> bool {
        !self.label.is_empty() || self.q.as_ref().is_some_and(|text| !text.is_empty())
    }

    /// Selects all schedules.
    pub(super) fn clear_filter(&mut self) {
        self.q = None;
        self.label.clear();
    }

    fn address(&self) -> String {
        links::with_query("/timeline", self.pairs())
    }

    /// The names and values that differ from the defaults.
    pub(super) fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        if let Some(at) = self.at {
            pairs.push(("at", at.to_string()));
        }
        if self.span != Span::Day {
            pairs.push(("span", self.span.as_str().to_owned()));
        }
        match &self.group {
            Some(GroupBy::Label(name)) => pairs.push(("group", name.clone())),
            Some(GroupBy::Nothing) => pairs.push(("group", String::new())),
            None => {}
        }
        if let Some(zone) = &self.zone {
            pairs.push(("zone", zone.0.clone()));
        }
        if let Some(text) = self.q.as_ref().filter(|text| !text.is_empty()) {
            pairs.push(("q", text.clone()));
        }
        for label in &self.label {
            pairs.push(("label", label.to_string()));
        }
        if self.trouble {
            pairs.push(("trouble", "true".to_owned()));
        }
        if self.page > 1 {
            pairs.push(("page", self.page.to_string()));
        }
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_has_what_differs_from_the_defaults() {
        let now: Timestamp = "2026-10-25T03:04:05.5Z".parse().unwrap();
        let query = Query::default();
        assert_eq!(query.address(), "/timeline");
        assert_eq!(query.moved(now, 1), "/timeline?at=2026-10-25T15%3A04%3A05Z");
        let query = Query {
            span: Span::Week,
            group: Some(GroupBy::Nothing),
            q: Some("a&b".to_owned()),
            label: vec![Label::new("team", "ops")],
            trouble: true,
            page: 3,
            ..query
        };
        assert_eq!(
            query.address(),
            "/timeline?span=week&group=&q=a%26b&label=team%3Dops&trouble=true&page=3"
        );
        assert_eq!(
            query.with(|one| one.group = Some(GroupBy::Label("a b".to_owned()))),
            "/timeline?span=week&group=a%20b&q=a%26b&label=team%3Dops&trouble=true"
        );
        let (from, to) = query.ends(now);
        assert_eq!(to.duration_since(from), SignedDuration::from_hours(168));
        let (from, _) = Query {
            at: Some(Timestamp::MIN),
            ..query
        }
        .ends(now);
        assert_eq!(from, Timestamp::MIN);
    }
}
