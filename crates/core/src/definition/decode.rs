//! Typed values from the YAML tree. Each error is reported at its place, and reading continues with
//! the rest.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use almanac_base::budget::Budget;
use almanac_base::duration::{self, LAST_TIMESTAMP, TimestampText};
use almanac_base::names::DefinitionId;
use almanac_base::shape::{Described, KeyFault, Shape, whole_number};
use almanac_base::text::quoted;
use jiff::Timestamp;
use serde_json::Value as Json;

use super::diagnostic::nth_char;
use super::source::{Finding, Lines, Place};
use super::yaml::{Entry, Node, Value};

/// Steps that computations over the smallest document may take: over the times of its schedule, and
/// over its expressions.
const FIRST_STEPS: u64 = 2_000_000;
/// Additional steps for each byte of a document. The largest document gets a fifth of a second in
/// all.
const STEPS_PER_BYTE: u64 = 64;

/// Collector of the errors, warnings and names of calendars that are found while a document is
/// read.
pub(super) struct Decoder<'d> {
    pub(super) lines: &'d Lines<'d>,
    pub(super) errors: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
    /// Calendars that the document names, with their places.
    pub(super) calendars: Vec<(DefinitionId, Place)>,
    /// Types of events that the document's triggers name, with their places.
    pub(super) events: Vec<(String, Place)>,
    /// Definitions that the document's triggers name in `after`, with the places of the keys.
    pub(super) after: Vec<(DefinitionId, Place)>,
    /// Numbers of the lines that no snippet shows, because they may hold a secret.
    pub(super) hidden: BTreeSet<usize>,
    /// Steps that computations over the document may still take.
    pub(super) budget: Budget,
}

/// An object that was checked against its shape.
#[derive(Clone, Copy)]
pub(super) struct Object<'n> {
    /// Place at which a missing key is reported: the key that holds the object.
    pub(super) at: Place,
    shape: &'static Shape,
    entries: &'n [Entry<'n>],
}

impl<'n> Object<'n> {
    /// Entry of a key. `None` if the key is left out or has no value.
    pub(super) fn get(&self, key: &str) -> Option<&'n Entry<'n>> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .filter(|entry| !matches!(entry.value.value, Value::Null))
    }

    /// Returns `true` if the key is written: with a value, without one, or mistyped. The key is
    /// then not missing, and an error in it was reported already.
    pub(super) fn has(&self, key: &str) -> bool {
        let keys = self.entries.iter().map(|entry| entry.key.as_ref());
        self.shape.has(key, keys)
    }
}

impl<'d> Decoder<'d> {
    pub(super) fn new(lines: &'d Lines<'d>) -> Self {
        Self {
            lines,
            errors: Vec::new(),
            warnings: Vec::new(),
            calendars: Vec::new(),
            events: Vec::new(),
            after: Vec::new(),
            hidden: BTreeSet::new(),
            budget: Budget::of(FIRST_STEPS + STEPS_PER_BYTE * lines.size() as u64),
        }
    }
}

impl Decoder<'_> {
    pub(super) fn error(&mut self, at: Place, message: impl Into<String>) {
        self.errors.push(Finding::new(at, message));
    }

    pub(super) fn error_with_hint(
        &mut self,
        at: Place,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.errors.push(Finding::new(at, message).hint(hint));
    }

    /// Keeps the line of a place out of all snippets.
    pub(super) fn hide(&mut self, at: Place) {
        self.hidden.insert(at.line);
    }

    pub(super) fn not_yet(&mut self, at: Place, what: &str) {
        self.error(at, format!("{what} is not supported yet"));
    }

    pub(super) fn warn(&mut self, at: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.warnings.push(Finding::new(at, message).hint(hint));
    }

    /// Reports a node whose value is not a value that `path` may have.
    pub(super) fn mismatch(&mut self, node: &Node<'_>, path: &str, expected: &str) {
        if !matches!(node.value, Value::Refused) {
            self.error(
                node.at,
                format!("`{path}` must be {expected}, not {}", describe(node)),
            );
        }
    }

    /// Reads a map with the keys of `shape`. `at` is the place of the key that holds the map.
    ///
    /// A key that is not in `shape` is an error. A known key without a value is an error too,
    /// because its value was forgotten; only `input` may have no value.
    pub(super) fn object<'n>(
        &mut self,
        at: Place,
        node: &'n Node<'n>,
        path: &str,
        shape: &'static Shape,
    ) -> Option<Object<'n>> {
        let Value::Map(entries) = &node.value else {
            self.mismatch(node, path, "a map");
            return None;
        };
        for entry in entries {
            let is_null = matches!(entry.value.value, Value::Null) && entry.key != "input";
            let named = || format!("`{}`", join(path, &entry.key));
            match shape.fault(&entry.key, is_null, self.errors.len()) {
                None => {}
                Some(KeyFault::Refused(_)) => self.not_yet(entry.at, &named()),
                Some(KeyFault::Unknown(hint)) => {
                    let message = format!("unknown key {} in {}", quoted(&entry.key), shape.name);
                    self.error_with_hint(entry.at, message, hint);
                }
                Some(KeyFault::NoValue(hint)) => {
                    self.error_with_hint(entry.at, format!("{} has no value", named()), hint);
                }
            }
        }
        Some(Object { at, shape, entries })
    }

    pub(super) fn boolean(&mut self, node: &Node<'_>, path: &str) -> Option<bool> {
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        if matches!(node.value, Value::Refused) {
            return None;
        }
        let message = format!("`{path}` must be true or false, not {}", describe(node));
        let meant = match node.text.to_ascii_lowercase().as_str() {
            "on" | "yes" | "y" | "true" | "1" => Some("true"),
            "off" | "no" | "n" | "false" | "0" => Some("false"),
            _ => None,
        };
        match meant {
            Some(meant) => self.error_with_hint(node.at, message, format!("write `{meant}`")),
            None => self.error(node.at, message),
        }
        None
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node<'n>, path: &str) -> Option<&'n str> {
        match node.value {
            Value::Text => Some(&node.text),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                self.error_with_hint(
                    node.at,
                    format!("`{path}` must be text, not {}", describe(node)),
                    format!("quote it: \"{}\"", node.text),
                );
                None
            }
            _ => {
                self.mismatch(node, path, "text");
                None
            }
        }
    }

    /// Reads text of at least one character and at most `limit` bytes.
    pub(super) fn name<'n>(
        &mut self,
        node: &'n Node<'n>,
        path: &str,
        limit: usize,
    ) -> Option<&'n str> {
        let text = self.text(node, path)?;
        if text.is_empty() {
            self.error(node.at, format!("`{path}` must not be empty"));
            return None;
        }
        if text.len() > limit {
            self.error(
                node.at,
                format!(
                    "`{path}` has {} bytes, over the limit of {limit}",
                    text.len()
                ),
            );
            return None;
        }
        Some(text)
    }

    pub(super) fn integer(
        &mut self,
        node: &Node<'_>,
        path: &str,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        if let Value::Int(value) = node.value
            && let Ok(value) = u32::try_from(value)
            && range.contains(&value)
        {
            return Some(value);
        }
        self.mismatch(node, path, &whole_number(&range));
        None
    }

    pub(super) fn number(&mut self, node: &Node<'_>, path: &str, least: f64) -> Option<f64> {
        let value = match node.value {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a factor that large has no exact meaning"
            )]
            Value::Int(value) => value as f64,
            Value::Float(value) => value,
            _ => f64::NAN,
        };
        if value.is_finite() && value >= least {
            return Some(value);
        }
        self.mismatch(node, path, &format!("a number, {least} or more"));
        None
    }

    pub(super) fn duration(
        &mut self,
        node: &Node<'_>,
        path: &str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let parsed = match node.value {
            Value::Text => duration::parse(&node.text),
            // A bare number gets the error of text that lacks its unit.
            Value::Int(_) | Value::Float(_) if !node.text.starts_with(['-', '+']) => {
                duration::parse(&node.text)
            }
            _ => {
                self.mismatch(node, path, "a duration like `90s` or `1h30m`");
                return None;
            }
        };
        match parsed {
            Err(hint) => {
                self.error_with_hint(
                    node.at,
                    format!("`{path}` must be a duration, not {}", quoted(&node.text)),
                    hint.to_string(),
                );
                None
            }
            Ok(value) if !range.contains(&value) => {
                let (least, most) = (duration::show(*range.start()), *range.end());
                let bound = if most == duration::LONGEST {
                    format!("at least {least}")
                } else {
                    format!("from {least} to {}", duration::show(most))
                };
                self.error(
                    node.at,
                    format!("`{path}` must be {bound}, not {}", quoted(&node.text)),
                );
                None
            }
            Ok(value) => Some(value),
        }
    }

    /// Reads a timestamp of 1970 or later.
    pub(super) fn timestamp(&mut self, node: &Node<'_>, path: &str) -> Option<Timestamp> {
        let read = match node.value {
            Value::Refused => return None,
            Value::Text => duration::timestamp(&node.text),
            _ => TimestampText::Other,
        };
        match read {
            TimestampText::At(at) if at >= Timestamp::UNIX_EPOCH => return Some(at),
            TimestampText::At(_) | TimestampText::Other => self.error_with_hint(
                node.at,
                format!("`{path}` must be a timestamp, not {}", describe(node)),
                "write it like `2026-01-31T08:00:00Z` or `2026-01-31T08:00:00+01:00`, from 1970 on",
            ),
            TimestampText::OutOfRange => self.impossible_timestamp(node, path, ""),
        }
        None
    }

    /// Reports text that has the form of a timestamp but is not a date and time that exists.
    pub(super) fn impossible_timestamp(&mut self, node: &Node<'_>, path: &str, more: &str) {
        self.error_with_hint(
            node.at,
            format!(
                "`{path}` is not an existing date and time: {}",
                quoted(&node.text)
            ),
            format!("the last timestamp is {LAST_TIMESTAMP}{more}"),
        );
    }

    pub(super) fn list<'n>(
        &mut self,
        node: &'n Node<'n>,
        path: &str,
        expected: &str,
    ) -> Option<&'n [Node<'n>]> {
        if let Value::List(items) = &node.value {
            return Some(items);
        }
        self.mismatch(node, path, expected);
        None
    }

    pub(super) fn map<'n>(&mut self, node: &'n Node<'n>, path: &str) -> Option<&'n [Entry<'n>]> {
        if let Value::Map(entries) = &node.value {
            return Some(entries);
        }
        self.mismatch(node, path, "a map");
        None
    }

    /// Converts a node of any type to JSON. A number that JSON cannot hold is reported.
    pub(super) fn json(&mut self, node: &Node<'_>) -> Option<Json> {
        match &node.value {
            Value::Null => Some(Json::Null),
            Value::Bool(value) => Some(Json::Bool(*value)),
            Value::Text => Some(Json::String(node.text.to_string())),
            Value::Refused => None,
            Value::Int(value) => {
                let number = u64::try_from(*value)
                    .map(Json::from)
                    .or_else(|_| i64::try_from(*value).map(Json::from));
                if number.is_err() {
                    self.error_with_hint(
                        node.at,
                        format!(
                            "the number {} does not fit into 64 bits",
                            quoted(&node.text)
                        ),
                        "quote it to pass it as text",
                    );
                }
                number.ok()
            }
            Value::Float(value) => {
                let number = serde_json::Number::from_f64(*value);
                if number.is_none() {
                    self.error_with_hint(
                        node.at,
                        format!("{} is not a number in JSON", quoted(&node.text)),
                        "quote it to pass it as text",
                    );
                }
                number.map(Json::Number)
            }
            // All items are converted before the first `None` counts, so that each item reports its
            // error.
            Value::List(items) => items
                .iter()
                .map(|item| self.json(item))
                .collect::<Vec<_>>()
                .into_iter()
                .collect::<Option<_>>()
                .map(Json::Array),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| Some((entry.key.to_string(), self.json(&entry.value)?)))
                .collect::<Vec<_>>()
                .into_iter()
                .collect::<Option<_>>()
                .map(Json::Object),
        }
    }

    /// Place of the character at `offset` in a scalar's text. The place is exact if the file
    /// contains the text unchanged. Otherwise it is the scalar's own place.
    pub(super) fn place_in(&self, node: &Node<'_>, offset: Option<usize>) -> Place {
        let Some(offset) = offset.filter(|_| !self.lines.is_long(node.at.line)) else {
            return node.at;
        };
        let line = self.lines.get(node.at.line);
        let quote = usize::from(!node.plain);
        let verbatim = node.text.chars();
        let start = nth_char(&line, node.at.column - 1 + quote);
        let mut source = line[start..].chars();
        if !node.text.is_empty() && verbatim.into_iter().all(|c| source.next() == Some(c)) {
            Place {
                line: node.at.line,
                column: node.at.column + quote + offset,
            }
        } else {
            node.at
        }
    }
}

/// Joins `path` and `key` to `path.key`. The document itself has an empty path.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Description of a node for messages.
pub(super) fn describe(node: &Node<'_>) -> String {
    let described = match &node.value {
        Value::Null => Described::Nothing,
        Value::List(items) => Described::List(items.len()),
        Value::Map(_) => Described::Map,
        Value::Text if !node.plain => Described::Text(&node.text),
        _ => Described::Scalar(Cow::Borrowed(&node.text)),
    };
    described.to_string()
}
