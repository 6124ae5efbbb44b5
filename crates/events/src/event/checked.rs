//! Events from outside: everything that `CloudEvents` 1.0 demands, within limits.

use almanac_base::percent;
use almanac_base::text::quoted;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use super::{InvalidEvent, MAX_VALUES, cloud_event};
use crate::attributes::{is_attribute_name, is_core, is_date_time, refused_attribute};

/// Maximum number of attributes of an event, with its data.
pub const MAX_ATTRIBUTES: usize = 64;
/// Maximum length of an attribute's text, in bytes. It does not apply to the event's data.
pub const MAX_ATTRIBUTE_BYTES: usize = 4096;

/// A valid event of `CloudEvents` 1.0, in its JSON format.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudEvent(Value);

impl CloudEvent {
    /// Checks an event in the JSON format.
    ///
    /// An attribute that is null is left out (JSON format, section 2.2). Everything else stays as
    /// it is.
    pub fn from_json(mut value: Value) -> Result<Self, InvalidEvent> {
        if let Value::Object(attributes) = &mut value {
            attributes.retain(|name, value| name == "data" || !value.is_null());
        }
        let value = cloud_event(value)?;
        if let Value::Object(attributes) = &value {
            check(attributes)?;
        }
        if count(&value, MAX_VALUES).is_none() {
            return Err(format!("it has more than {MAX_VALUES} values").into());
        }
        Ok(Self(value))
    }

    /// The event's id. An id is unique among the events of one source.
    pub fn id(&self) -> &str {
        self.text("id").unwrap_or_default()
    }

    /// The URI reference of the event's source.
    pub fn source(&self) -> &str {
        self.text("source").unwrap_or_default()
    }

    /// The event's `type`.
    pub fn kind(&self) -> &str {
        self.text("type").unwrap_or_default()
    }

    /// The thing within the source that the event is about. `None` if the event names none.
    pub fn subject(&self) -> Option<&str> {
        self.text("subject")
    }

    /// Time of the event, as its source wrote it (RFC 3339). `None` if the event has no time.
    pub fn time(&self) -> Option<&str> {
        self.text("time")
    }

    /// The event's data as JSON. `None` if the event has no data, or has bytes (`data_base64`).
    pub fn data(&self) -> Option<&Value> {
        self.0.get("data")
    }

    /// An attribute that `CloudEvents` does not define. `None` if the event does not have it.
    pub fn extension(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|_| !is_core(name))
    }

    /// The whole event in the JSON format.
    pub fn as_json(&self) -> &Value {
        &self.0
    }

    /// Converts the event to its JSON format.
    pub fn into_json(self) -> Value {
        self.0
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }
}

/// Checks the attributes of an event that [`cloud_event`] accepts.
fn check(attributes: &Map<String, Value>) -> Result<(), InvalidEvent> {
    let count = attributes.len();
    if count > MAX_ATTRIBUTES {
        let message = format!("it has {count} attributes, over the limit of {MAX_ATTRIBUTES}");
        return Err(message.into());
    }
    for (name, value) in attributes {
        match name.as_str() {
            "data" => {}
            "data_base64" => check_bytes(value)?,
            name => check_attribute(name, value)?,
        }
    }
    if attributes.contains_key("data") && attributes.contains_key("data_base64") {
        return Err("it has both `data` and `data_base64`".into());
    }
    Ok(())
}

fn check_bytes(value: &Value) -> Result<(), InvalidEvent> {
    match value.as_str().map(|text| BASE64_STANDARD.decode(text)) {
        Some(Ok(_)) => Ok(()),
        _ => Err("`data_base64` must be text in base64".into()),
    }
}

fn check_attribute(name: &str, value: &Value) -> Result<(), InvalidEvent> {
    let shown = quoted(name);
    if !is_attribute_name(name) {
        let rule = "names of attributes consist of a-z and 0-9";
        return Err(format!("{shown} is not the name of an attribute: {rule}").into());
    }
    if let Some(text) = value.as_str() {
        if text.len() > MAX_ATTRIBUTE_BYTES {
            let bytes = text.len();
            let message =
                format!("{shown} has {bytes} bytes, over the limit of {MAX_ATTRIBUTE_BYTES}");
            return Err(message.into());
        }
        if text.contains(is_forbidden) {
            return Err(format!("{shown} has a control character").into());
        }
        // Steps may send these two in looser forms, and recorded runs did.
        if name == "time" && !is_date_time(text) {
            return Err("`time` must be a time like 2026-01-31T08:00:00Z".into());
        }
        if matches!(name, "source" | "dataschema") && percent::decode(text).is_none() {
            return Err(format!("{shown} must be a URI: a `%` in it encodes nothing").into());
        }
    }
    match refused_attribute(name, value) {
        None => Ok(()),
        Some(expected) => Err(format!("{shown} must be {expected}").into()),
    }
}

/// Returns `true` for the characters that no text of an attribute may have (`CloudEvents` 1.0, type
/// system): control characters and the code points that are noncharacters.
fn is_forbidden(c: char) -> bool {
    let code = u32::from(c);
    c.is_control() || code & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c)
}

/// Number of values that are left of `most` after those in a value; `None` if there are more.
fn count(value: &Value, most: usize) -> Option<usize> {
    let left = most.checked_sub(1)?;
    match value {
        Value::Array(items) => items.iter().try_fold(left, |left, item| count(item, left)),
        Value::Object(map) => map.values().try_fold(left, |left, item| count(item, left)),
        _ => Some(left),
    }
}

#[cfg(test)]
mod tests;
