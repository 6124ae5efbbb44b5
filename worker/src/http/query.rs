//! Query parameters: which part of a list is asked for, and errors that name
//! the parameter.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::problem::Problem;

/// The most entries of one page.
const PAGE_LIMIT: u16 = 1000;
/// The entries of a page that names no limit.
const PAGE: u16 = 100;
/// The longest token, in hexadecimal digits.
const TOKEN_LIMIT: usize = 10_000;
/// The most bytes of a page's entries. One that is larger stands alone.
pub(super) const PAGE_BYTES: usize = 1024 * 1024;
/// The most labels that are asked for at a time.
const LABELS: usize = 20;
/// The longest text to look for, in bytes.
const TEXT_LIMIT: usize = 200;
/// The parameters that may be given several times.
const LISTS: [&str; 1] = ["label"];

/// The query of a request. Unknown, repeated and bad parameters are refused by name.
#[derive(Debug)]
pub(super) struct StrictQuery<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for StrictQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|error| bad(error.body_text()))?;
        read(pairs).map(Self).map_err(bad)
    }
}

/// The last part of a path that names a definition or a schedule.
#[derive(Debug)]
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        id.map(|Path(id)| Self(id))
            .map_err(|error| bad(error.body_text()))
    }
}

fn bad(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

fn read<T: DeserializeOwned>(pairs: Vec<(String, String)>) -> Result<T, String> {
    let mut given = Map::new();
    for (name, value) in pairs {
        if LISTS.contains(&name.as_str()) {
            let list = given.entry(name).or_insert(Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(value.into());
            }
        } else if given.contains_key(&name) {
            return Err(format!("{name}: given more than once"));
        } else {
            given.insert(name, value.into());
        }
    }
    // Each has a default, so the one that fails alone is the one that is bad.
    for (name, value) in &given {
        let one = Map::from_iter([(name.clone(), value.clone())]);
        if let Err(error) = serde_json::from_value::<T>(Value::Object(one)) {
            return Err(format!("{name}: {error}"));
        }
    }
    serde_json::from_value(Value::Object(given)).map_err(|error| error.to_string())
}

/// Reads a value out of a parameter's text.
pub(super) fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|error| D::Error::custom(format!("`{text}`: {error}")))
}

/// Which entries of a list are asked for. `S` are the states they may be in.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(
    default,
    deny_unknown_fields,
    bound(deserialize = "S: Deserialize<'de> + PartialSchema")
)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery<S: PartialSchema> {
    /// How many are answered at most.
    #[serde(deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 1000, default = 100, value_type = u16, required = false)]
    limit: u16,
    /// The `next_page_token` of the page before. It stays good when entries come and go.
    #[param(pattern = "^([0-9a-f]{2}){1,5000}$", value_type = Option<String>)]
    page_token: Option<Token>,
    /// `NAME=VALUE`: just those with this label. Several must all be there.
    #[serde(deserialize_with = "labels")]
    #[param(style = Form, explode, inline, required = false, max_items = 20)]
    label: Vec<Label>,
    /// Just those in this state.
    #[param(inline)]
    state: Option<S>,
    /// Just those with this text in their id, source or description, in whatever case;
    /// 200 bytes of UTF-8 at most.
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

fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Label>, D::Error> {
    let labels = Vec::<Label>::deserialize(deserializer)?;
    if labels.len() > LABELS {
        return Err(D::Error::custom(format!("there are more than {LABELS}")));
    }
    Ok(labels)
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.len() > TEXT_LIMIT {
        return Err(D::Error::custom(format!("longer than {TEXT_LIMIT} bytes")));
    }
    Ok(Some(text))
}

/// A label and its value.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Label {
    name: String,
    value: String,
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

impl TryFrom<String> for Label {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(format!("`{text}` is not NAME=VALUE")),
        }
    }
}

/// The place of the last entry of a page.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Token(Vec<u8>);

impl TryFrom<String> for Token {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_ours = (1..=TOKEN_LIMIT).contains(&text.len())
            && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        hex::decode(&text)
            .ok()
            .filter(|_| is_ours)
            .map(Self)
            .ok_or_else(|| "this is no next_page_token".to_owned())
    }
}

/// How many bytes a value has as JSON.
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
    // What cannot be written is refused where it is written.
    let _written = serde_json::to_writer(&mut counter, value);
    counter.0
}

/// An entry of a list.
pub(super) trait Listed {
    /// What it may be filtered by.
    type State: PartialEq;

    /// Its place: the list is in the order of these, which are unique.
    fn place(&self) -> Vec<u8>;
    /// Its state.
    fn state(&self) -> Self::State;
    /// Its labels.
    fn labels(&self) -> &BTreeMap<String, String>;
    /// Its id, source and description.
    fn texts(&self) -> [Option<&str>; 3];
}

/// A part of a list.
#[derive(Debug)]
pub(super) struct Page<T> {
    /// The entries.
    pub(super) entries: Vec<T>,
    /// How many match, on every page.
    pub(super) total: usize,
    /// Where the next page begins, when there is one.
    pub(super) next: Option<String>,
}

impl<S: PartialEq + PartialSchema> ListQuery<S> {
    /// Whether the list is read from its beginning.
    pub(super) fn is_first(&self) -> bool {
        self.page_token.is_none()
    }

    /// The part of `all` that is asked for, as `show` shows it, within
    /// [`PAGE_BYTES`]; `all` is in order.
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
        let begin = match &self.page_token {
            None => 0,
            Some(Token(after)) => matching.partition_point(|entry| entry.place() <= *after),
        };
        let mut entries = Vec::new();
        let mut left = PAGE_BYTES;
        for entry in matching.iter().skip(begin).take(usize::from(self.limit)) {
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
        Page {
            next: last.map(|last| hex::encode(matching[last].place())),
            total: matching.len(),
            entries,
        }
    }

    fn matches<T: Listed<State = S>>(&self, entry: &T, text: Option<&str>) -> bool {
        let has = |label: &Label| entry.labels().get(&label.name) == Some(&label.value);
        let says = |text: &str| {
            let texts = entry.texts().into_iter().flatten();
            texts
                .into_iter()
                .any(|one| one.to_lowercase().contains(text))
        };
        self.state
            .as_ref()
            .is_none_or(|state| *state == entry.state())
            && self.label.iter().all(has)
            && text.is_none_or(says)
    }
}
