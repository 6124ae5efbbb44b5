//! Readers of values: texts, numbers, lists and durations.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

use almanac_base::duration;
use almanac_base::shape::{Described, whole_number};
use almanac_base::text::quoted;
use serde_json::Value;

use super::reader::{At, Reader};
use super::shapes::DURATION;
use super::{Length, Stage};
use crate::limits::{check_name, check_queue};

/// Maximum length of a variable's name, in bytes. The limit matters because each expression gets
/// the variables of all tasks around it.
const VARIABLE_LIMIT: usize = 100;

/// The length of each unit of a duration, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("days", 86_400_000),
    ("hours", 3_600_000),
    ("minutes", 60_000),
    ("seconds", 1000),
    ("milliseconds", 1),
];

/// Describes a value for a message.
pub(crate) fn describe(value: &Value) -> String {
    let described = match value {
        Value::Null => Described::Nothing,
        Value::Array(items) => Described::List(items.len()),
        Value::Object(_) => Described::Map,
        Value::String(text) => Described::Text(text),
        other => Described::Scalar(Cow::Owned(other.to_string())),
    };
    described.to_string()
}

/// Returns the duration that a value states, as a map of units or as ISO 8601 text.
///
/// `None` if the value is not a duration of at most 36500 days.
pub fn duration_of(value: &Value) -> Option<Duration> {
    match value {
        Value::String(text) if text.starts_with(['P', 'p']) => duration::parse(text).ok(),
        Value::Object(parts) if !parts.is_empty() => {
            let mut total: u64 = 0;
            for (name, amount) in parts {
                let (_, unit) = UNITS.iter().find(|(unit, _)| unit == name)?;
                total = total.checked_add(amount.as_u64()?.checked_mul(*unit)?)?;
            }
            Some(Duration::from_millis(total)).filter(|total| *total <= duration::LONGEST)
        }
        _ => None,
    }
}

/// Writes a duration as a map of units without zeros. A duration of zero is `seconds: 0`.
pub(super) fn duration_map(duration: Duration) -> Value {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut parts = serde_json::Map::new();
    for (name, unit) in UNITS {
        if rest >= unit {
            parts.insert(name.to_owned(), Value::from(rest / unit));
            rest %= unit;
        }
    }
    if parts.is_empty() {
        parts.insert("seconds".to_owned(), Value::from(0));
    }
    Value::Object(parts)
}

impl Reader {
    pub(super) fn text<'v>(&mut self, at: &At<'v>) -> Option<&'v str> {
        match at.value {
            Value::String(text) => Some(text),
            Value::Bool(_) | Value::Number(_) => {
                let what = format!("must be text, not {}", describe(at.value));
                self.wrong_with_hint(at, &what, format!("quote it: \"{}\"", at.value));
                None
            }
            _ => {
                self.mismatch(at, "text");
                None
            }
        }
    }

    /// Reads a name: text that is not empty, is no expression and fits into Temporal's limit.
    pub(super) fn name<'v>(&mut self, at: &At<'v>) -> Option<&'v str> {
        let text = self.text(at)?;
        if text.trim().is_empty() {
            self.wrong(at, "is empty");
            return None;
        }
        if text.trim_start().starts_with("${") {
            self.wrong(at, "must not be an expression");
            return None;
        }
        if let Err(why) = check_name(text) {
            self.wrong(at, &why.to_string());
            return None;
        }
        Some(text)
    }

    /// Reads the name of a task queue.
    pub(super) fn queue<'v>(&mut self, at: &At<'v>) -> Option<&'v str> {
        let name = self.name(at)?;
        if let Err(why) = check_queue(name) {
            self.wrong(at, &why.to_string());
            return None;
        }
        Some(name)
    }

    /// Reads the name of a variable, without `$`.
    pub(super) fn variable<'v>(&mut self, at: &At<'v>) -> Option<&'v str> {
        let name = self.name(at)?;
        if name.len() > VARIABLE_LIMIT {
            let what = format!("must have at most {VARIABLE_LIMIT} characters");
            self.wrong(at, &what);
            return None;
        }
        let mut chars = name.chars();
        let good = chars
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good {
            let what = format!(
                "must be a name of letters, digits and `_` without `$`, not {}",
                quoted(name)
            );
            self.wrong(at, &what);
            return None;
        }
        if Stage::RESERVED.contains(&name) {
            let what = format!(
                "must not be {}, which is a variable of every expression",
                quoted(name)
            );
            self.wrong(at, &what);
            return None;
        }
        Some(name)
    }

    pub(super) fn boolean(&mut self, at: &At<'_>) -> Option<bool> {
        if let Value::Bool(value) = at.value {
            return Some(*value);
        }
        self.mismatch(at, "true or false");
        None
    }

    pub(super) fn integer(&mut self, at: &At<'_>, range: RangeInclusive<u32>) -> Option<u32> {
        let number = at
            .value
            .as_u64()
            .and_then(|value| u32::try_from(value).ok());
        if let Some(number) = number.filter(|number| range.contains(number)) {
            return Some(number);
        }
        self.mismatch(at, &whole_number(&range));
        None
    }

    /// Reads a text that must be one of a few choices.
    pub(super) fn choice<T: Copy>(&mut self, at: &At<'_>, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(at)?;
        let found = choices.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let what = format!("must be one of {}, not {}", names.join(", "), quoted(text));
            self.wrong(at, &what);
        }
        found.map(|(_, value)| *value)
    }

    pub(super) fn list<'v>(&mut self, at: &At<'v>, expected: &str) -> Option<&'v [Value]> {
        if let Value::Array(items) = at.value {
            return Some(items);
        }
        self.mismatch(at, expected);
        None
    }

    /// Reads a list of named items. The first version of the DSL used a map here, so the problem
    /// of a map has a hint.
    pub(super) fn ordered<'v>(&mut self, at: &At<'v>, expected: &str) -> Option<&'v [Value]> {
        let items = self.list(at, expected);
        if at.value.is_object()
            && let Some(problem) = self.problems.last_mut()
        {
            let hint = "write each as an item, `- name: { … }`; DSL 1.0.0-alpha1 had a map here";
            problem.hint = Some(hint.to_owned());
        }
        items
    }

    /// Reads a duration in the specification's form, or an expression for a duration.
    pub(super) fn length(&mut self, at: &At<'_>) -> Option<Length> {
        match at.value {
            Value::String(text) if text.trim_start().starts_with("${") => {
                self.expression(at, Stage::Body).map(Length::Expression)
            }
            _ => self.duration(at).map(Length::Fixed),
        }
    }

    /// Reads a duration in the specification's form: a map of units, or ISO 8601 text.
    pub(super) fn duration(&mut self, at: &At<'_>) -> Option<Duration> {
        let total = match at.value {
            Value::Object(_) => self.units(at)?,
            Value::String(text) => match duration::parse(text) {
                Ok(parsed) if text.starts_with(['P', 'p']) => parsed,
                parsed => {
                    let hint = match parsed {
                        Err(hint) if text.starts_with('P') => hint.to_string(),
                        _ => "steps write it like `{ minutes: 1, seconds: 30 }` or `PT1M30S`"
                            .to_owned(),
                    };
                    let what = format!("must be a duration, not {}", quoted(text));
                    self.wrong_with_hint(at, &what, hint);
                    return None;
                }
            },
            _ => {
                self.mismatch(at, "a duration like `{ seconds: 5 }` or `PT5S`");
                return None;
            }
        };
        if total > duration::LONGEST {
            self.wrong(at, "must be at most 36500 days");
            return None;
        }
        Some(total)
    }

    fn units(&mut self, at: &At<'_>) -> Option<Duration> {
        let object = self.object(at, &DURATION)?;
        if object.is_empty() {
            let keys = DURATION.keys.join(", ");
            self.wrong_with_hint(at, "has no length", format!("the keys are {keys}"));
            return None;
        }
        let mut total: Option<u64> = Some(0);
        for (name, unit) in UNITS {
            if let Some(amount) = object.get(name) {
                let amount = self.integer(&amount, 0..=u32::MAX);
                total = total.zip(amount).map(|(total, amount)| {
                    total.saturating_add(u64::from(amount).saturating_mul(unit))
                });
            }
        }
        total.map(Duration::from_millis)
    }
}
