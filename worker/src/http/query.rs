//! Query parameters: they select a part of a list, and their errors name the parameter.

use std::fmt::{self, Display};
use std::io;
use std::str::FromStr;

use almanac_activities::schedules::view::ScheduleState;
use almanac_activities::timeline::{Window, WindowError};
use almanac_core::definition::Labels;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use jiff::Timestamp;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::problem::Problem;
use super::requests::bad_request;
use crate::activity_log::{ActivityLog, Entry, EntryFilter, KindFilter, PlacedEntry};

/// Maximum number of entries on a page.
const PAGE_LIMIT: u16 = 1000;
/// Number of entries on a page if the query names no limit.
const PAGE: u16 = 100;
/// Maximum length of a page token, in hexadecimal digits.
const TOKEN_LIMIT: usize = 10_000;
/// Maximum size of a page's entries, in bytes. An entry that is larger is alone on its
/// page.
pub(super) const PAGE_BYTES: usize = 1024 * 1024;
/// Maximum number of labels in a query.
const LABELS: usize = 20;
/// Maximum length of the text to search for, in bytes.
const TEXT_LIMIT: usize = 200;
/// The parameters that may be given several times.
const REPEATABLE: [&str; 1] = ["label"];

/// The query of a request. Unknown, repeated and bad parameters are refused by name.
#[derive(Debug)]
pub(super) struct StrictQuery<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for StrictQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        query_of(&parts.uri).map(Self)
    }
}

/// Reads the query of an address strictly.
///
/// # Errors
/// A 400 that names the parameter.
pub(super) fn query_of<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|error| bad_request(error.body_text()))?;
    read(pairs).map_err(bad_request)
}

/// The last part of a path that names a definition or a schedule.
#[derive(Debug)]
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        id.map(|Path(id)| Self(id))
            .map_err(|error| bad_request(error.body_text()))
    }
}

/// Reads the pairs of a query strictly. An error names the parameter.
fn read<T: DeserializeOwned>(pairs: Vec<(String, String)>) -> Result<T, String> {
    let mut values = Map::new();
    for (name, value) in pairs {
        if REPEATABLE.contains(&name.as_str()) {
            let list = values.entry(name).or_insert(Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(value.into());
            }
        } else if values.contains_key(&name) {
            return Err(format!("{name}: given more than once"));
        } else {
            values.insert(name, value.into());
        }
    }
    // Each parameter has a default, so the one that fails alone is the bad one.
    for (name, value) in &values {
        let one = Map::from_iter([(name.clone(), value.clone())]);
        if let Err(error) = serde_json::from_value::<T>(Value::Object(one)) {
            return Err(format!("{name}: {error}"));
        }
    }
    serde_json::from_value(Value::Object(values)).map_err(|error| error.to_string())
}

/// Reads a value from a parameter's text.
pub(super) fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|error| D::Error::custom(format!("`{text}`: {error}")))
}

/// The query for a part of a list. `S` is the type of the entries' states.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(
    default,
    deny_unknown_fields,
    bound(deserialize = "S: Deserialize<'de> + PartialSchema")
)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery<S: PartialSchema> {
    /// Maximum number of entries to return.
    #[serde(deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 1000, default = 100, value_type = u16, required = false)]
    limit: u16,
    /// The `next_page_token` of the page before. It stays valid when entries are added or
    /// removed.
    #[param(pattern = "^([0-9a-f]{2}){1,5000}$", value_type = Option<String>)]
    page_token: Option<Token>,
    /// `NAME=VALUE`: only entries with this label. If repeated, an entry must have all
    /// the labels.
    #[serde(deserialize_with = "labels")]
    #[param(style = Form, explode, inline, required = false, max_items = 20)]
    label: Vec<Label>,
    /// Only entries in this state.
    #[param(inline)]
    state: Option<S>,
    /// Only entries with this text in their id, source or description, in upper or lower
    /// case; 200 bytes of UTF-8 at most.
    #[serde(deserialize_with = "text")]
    #[param(max_length = 200)]
    q: Option<String>,
}

impl<S: PartialSchema> Default for ListQuery<S> {
    fn default() -> Self {
        Self {
            limit: PAGE,
            page_token: None,
            label: Vec::new(),
            state: None,
            q: None,
        }
    }
}

/// The query for a part of the timeline.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TimelineQuery {
    /// Start of the window. By default 24 hours before `to`, or 12 hours ago.
    #[serde(deserialize_with = "time")]
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// End of the window, at most 8 days after its start. By default 24 hours after
    /// `from`, or 12 hours ahead.
    #[serde(deserialize_with = "time")]
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Maximum number of lanes to return.
    #[serde(deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 1000, default = 100, value_type = u16, required = false)]
    limit: u16,
    /// The `next_page_token` of the page before. Give the `from` and `to` of that page too.
    #[param(pattern = "^([0-9a-f]{2}){1,5000}$", value_type = Option<String>)]
    page_token: Option<Token>,
    /// `NAME=VALUE`: only schedules with this label. If repeated, a schedule must have all
    /// the labels.
    #[serde(deserialize_with = "labels")]
    #[param(style = Form, explode, inline, required = false, max_items = 20)]
    label: Vec<Label>,
    /// Only schedules in this state.
    #[param(inline)]
    state: Option<ScheduleState>,
    /// Only schedules with this text in their id, source or description, in upper or lower
    /// case; 200 bytes of UTF-8 at most.
    #[serde(deserialize_with = "text")]
    #[param(max_length = 200)]
    q: Option<String>,
}

impl Default for TimelineQuery {
    fn default() -> Self {
        Self {
            from: None,
            to: None,
            limit: PAGE,
            page_token: None,
            label: Vec::new(),
            state: None,
            q: None,
        }
    }
}

impl TimelineQuery {
    /// Returns the window and the query for its lanes.
    ///
    /// # Errors
    /// `from` and `to` do not make a window.
    pub(super) fn split(
        self,
        now: Timestamp,
    ) -> Result<(Window, ListQuery<ScheduleState>), WindowError> {
        let window = Window::new(self.from, self.to, now)?;
        let lanes = ListQuery {
            limit: self.limit,
            page_token: self.page_token,
            label: self.label,
            state: self.state,
            q: self.q,
        };
        Ok((window, lanes))
    }
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    parsed(deserializer).map(Some)
}

fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let text = String::deserialize(deserializer)?;
    let limit = text.parse().ok();
    limit
        .filter(|limit| (1..=PAGE_LIMIT).contains(limit))
        .ok_or_else(|| {
            let error = format!("`{text}` is not a number between 1 and {PAGE_LIMIT}");
            D::Error::custom(error)
        })
}

pub(super) fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Label>, D::Error> {
    let labels = Vec::<Label>::deserialize(deserializer)?;
    if labels.len() > LABELS {
        return Err(D::Error::custom(format!("more than {LABELS} labels")));
    }
    Ok(labels)
}

pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.len() > TEXT_LIMIT {
        return Err(D::Error::custom(format!("longer than {TEXT_LIMIT} bytes")));
    }
    Ok(Some(text))
}

/// A label and its value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Label {
    name: String,
    value: String,
}

impl Label {
    /// Creates a label.
    pub(super) fn new(name: &str, value: &str) -> Self {
        Self {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    /// Returns the name of the label.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value of the label.
    pub(super) fn value(&self) -> &str {
        &self.value
    }
}

impl PartialSchema for Label {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[^=]+="))
            .into()
    }
}

impl ToSchema for Label {}

/// The text is not a label and its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not NAME=VALUE")]
pub(super) struct LabelError(String);

impl Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

impl TryFrom<String> for Label {
    type Error = LabelError;

    fn try_from(text: String) -> Result<Self, LabelError> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(LabelError(text)),
        }
    }
}

/// The sort key of the last entry of a page.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Token(Vec<u8>);

/// The text is not the token of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a next_page_token")]
struct TokenError;

impl TryFrom<String> for Token {
    type Error = TokenError;

    fn try_from(text: String) -> Result<Self, TokenError> {
        let is_canonical = (1..=TOKEN_LIMIT).contains(&text.len())
            && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        hex::decode(&text)
            .ok()
            .filter(|_| is_canonical)
            .map(Self)
            .ok_or(TokenError)
    }
}

/// Returns the number of bytes that a value has as JSON.
pub(super) fn size(value: &impl Serialize) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // A value that cannot be written is refused where the answer is written.
    let _written = serde_json::to_writer(&mut counter, value);
    counter.0
}

/// An entry of a list.
pub(super) trait Listed {
    /// The states that entries can be filtered by.
    type State: PartialEq;

    /// Returns the sort key of the entry; keys are unique.
    fn place(&self) -> Vec<u8>;
    /// Returns the state of the entry.
    fn state(&self) -> Self::State;
    /// Returns the labels of the entry.
    fn labels(&self) -> &Labels;
    /// Returns the entry's id, source and description.
    fn texts(&self) -> [Option<&str>; 3];
}

/// A part of a list.
#[derive(Debug)]
pub(super) struct Page<T> {
    /// The entries on this page.
    pub(super) entries: Vec<T>,
    /// Number of entries that match, the same on every page.
    pub(super) total: usize,
    /// Token of the next page; `None` on the last page.
    pub(super) next: Option<String>,
}

impl<V: Serialize> Page<V> {
    /// The page of at most `limit` entries after the place of the token, within
    /// [`PAGE_BYTES`]. `matching` must be in the order of the places.
    fn of<T>(
        matching: &[T],
        limit: u16,
        after: Option<&Token>,
        place: impl Fn(&T) -> Vec<u8>,
        show: impl Fn(&T) -> V,
    ) -> Self {
        let begin = match after {
            None => 0,
            Some(Token(after)) => matching.partition_point(|entry| place(entry) <= *after),
        };
        let mut entries = Vec::new();
        let mut left = PAGE_BYTES;
        for entry in matching.iter().skip(begin).take(usize::from(limit)) {
            let shown = show(entry);
            let size = size(&shown);
            if size > left && !entries.is_empty() {
                break;
            }
            left = left.saturating_sub(size);
            entries.push(shown);
        }
        let end = begin + entries.len();
        let last = end
            .checked_sub(1)
            .filter(|_| begin < end && end < matching.len());
        Self {
            next: last.map(|last| hex::encode(place(&matching[last]))),
            total: matching.len(),
            entries,
        }
    }
}

/// The query for a part of the activity.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ActivityQuery {
    /// Maximum number of entries to return.
    #[serde(deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 1000, default = 100, value_type = u16, required = false)]
    limit: u16,
    /// The `next_page_token` of the page before. It stays valid when entries are added or
    /// removed.
    #[param(pattern = "^([0-9a-f]{2}){1,5000}$", value_type = Option<String>)]
    page_token: Option<Token>,
    /// Only entries of this kind.
    #[param(inline)]
    kind: Option<KindFilter>,
    /// Only requests of people with this text in their name, in upper or lower case; 200 bytes of
    /// UTF-8 at most.
    #[serde(deserialize_with = "text")]
    #[param(max_length = 200)]
    by: Option<String>,
    /// Only entries about definitions with this text in their id, in upper or lower case; 200
    /// bytes of UTF-8 at most. Of a pass, only the changes and errors of these definitions.
    #[serde(deserialize_with = "text")]
    #[param(max_length = 200)]
    definition: Option<String>,
}

impl Default for ActivityQuery {
    fn default() -> Self {
        Self {
            limit: PAGE,
            page_token: None,
            kind: None,
            by: None,
            definition: None,
        }
    }
}

impl ActivityQuery {
    /// Returns the part of the log that the query selects.
    pub(super) fn page(self, log: &ActivityLog) -> Page<Entry> {
        let filter = EntryFilter {
            kind: self.kind,
            by: self.by,
            definition: self.definition,
        };
        let matching = log.matching(&filter);
        let place = |one: &PlacedEntry| one.place.clone();
        let token = self.page_token.as_ref();
        Page::of(&matching, self.limit, token, place, |one| one.entry.clone())
    }
}

impl<S: PartialEq + PartialSchema> ListQuery<S> {
    /// Returns `true` if the list is read from its beginning.
    pub(super) fn is_first(&self) -> bool {
        self.page_token.is_none()
    }

    /// Returns the part of `all` that the query selects, each entry as `show` shows it,
    /// within [`PAGE_BYTES`]. `all` must be in order.
    pub(super) fn page<T: Listed<State = S>, V: Serialize>(
        &self,
        all: &[T],
        show: impl Fn(&T) -> V,
    ) -> Page<V> {
        let text = self.q.as_ref().map(|text| text.to_lowercase());
        let matching: Vec<_> = all
            .iter()
            .filter(|entry| self.matches(*entry, text.as_deref()))
            .collect();
        let place = |entry: &&T| entry.place();
        let token = self.page_token.as_ref();
        Page::of(&matching, self.limit, token, place, |entry| show(entry))
    }

    fn matches<T: Listed<State = S>>(&self, entry: &T, text: Option<&str>) -> bool {
        self.state
            .as_ref()
            .is_none_or(|state| *state == entry.state())
            && is_selected(entry, &self.label, text)
    }
}

/// Returns `true` if an entry has all of the labels, and the text, which is in lower case, in one
/// of its texts.
pub(super) fn is_selected(entry: &impl Listed, labels: &[Label], text: Option<&str>) -> bool {
    let has = |label: &Label| entry.labels().get(&label.name) == Some(label.value.as_str());
    let says = |text: &str| {
        let mut texts = entry.texts().into_iter().flatten();
        texts.any(|one| one.to_lowercase().contains(text))
    };
    labels.iter().all(has) && text.is_none_or(says)
}
