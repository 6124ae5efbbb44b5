//! Events that runs receive from outside, and attributes of events that runs send: `CloudEvents`
//! 1.0 as JSON.

use almanac_base::size::{depth, json_size};
use almanac_jq::MAX_DEPTH;
use jiff::Timestamp;
use serde_json::Value;

/// Maximum size of all events that wait for a run, in bytes of JSON.
///
/// A run that continues as new passes these events on beside its own data.
pub const UNREAD_BYTES: usize = 1_000_000;
/// Maximum nesting depth of an event. One level is left for the output of a `listen`, a list of
/// events.
const DEEPEST: usize = MAX_DEPTH - 1;
/// Attributes that every event must have as non-empty text.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

almanac_base::message_error! {
    /// The reason for which a value is not a valid event.
    pub InvalidEvent
}

/// Returns the value if it is a valid event. Otherwise the error says what is wrong with it.
pub fn cloud_event(value: Value) -> Result<Value, InvalidEvent> {
    let Value::Object(attributes) = &value else {
        return Err("it is not a map of attributes".into());
    };
    for name in REQUIRED {
        let text = attributes.get(name).and_then(Value::as_str);
        if text.is_none_or(str::is_empty) {
            return Err(format!("`{name}` must be text").into());
        }
    }
    if attributes["specversion"] != "1.0" {
        return Err("`specversion` must be \"1.0\"".into());
    }
    if depth(&value) > DEEPEST {
        return Err(format!("it nests more than {DEEPEST} levels deep").into());
    }
    let bytes = json_size(&value);
    if bytes > UNREAD_BYTES {
        return Err(
            format!("it has {bytes} bytes as JSON, over the limit of {UNREAD_BYTES}").into(),
        );
    }
    Ok(value)
}

/// Returns the expected form of an attribute if the value does not have that form.
///
/// The attribute belongs to an event that a run sends. `None` if the value is valid.
pub(crate) fn refused_attribute(name: &str, value: &Value) -> Option<&'static str> {
    let text = value.as_str().filter(|text| !text.is_empty());
    let (good, expected) = match name {
        "data" => (true, "anything"),
        "specversion" => (value == "1.0", "\"1.0\""),
        "source" | "dataschema" => (text.is_some_and(is_reference), "a URI"),
        "time" => {
            let good = text.is_some_and(|text| text.parse::<Timestamp>().is_ok());
            (good, "a time like 2026-01-31T08:00:00Z")
        }
        "id" | "type" | "subject" | "datacontenttype" => (text.is_some(), "text"),
        // Any other attribute is an extension. An extension has no numbers but integers of 32
        // bits.
        _ => {
            let number = value.as_i64().map(i32::try_from);
            let good = value.is_string() || value.is_boolean() || matches!(number, Some(Ok(_)));
            (good, "text, true, false or a whole number of 32 bits")
        }
    };
    (!good).then_some(expected)
}

/// Returns `true` if a text can be a URI reference (RFC 3986): the text has no character that a
/// reference cannot have.
fn is_reference(text: &str) -> bool {
    let never = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '<' | '>' | '"' | '{' | '}' | '|' | '\\' | '^' | '`')
    };
    !text.contains(never)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_has_its_four_attributes() {
        let good = json!({ "specversion": "1.0", "id": "1", "source": "/s", "type": "t" });
        assert_eq!(cloud_event(good.clone()), Ok(good.clone()));
        for (name, value, reason) in [
            ("id", json!(1), "`id` must be text"),
            ("source", json!(""), "`source` must be text"),
            ("type", json!(null), "`type` must be text"),
            ("specversion", json!("0.3"), "must be \"1.0\""),
            ("data", json!("x".repeat(UNREAD_BYTES)), "bytes as JSON"),
        ] {
            let mut event = good.clone();
            event[name] = value;
            let why = cloud_event(event).unwrap_err().to_string();
            assert!(why.contains(reason), "{why}");
        }
        let mut deep = json!(1);
        for _ in 0..MAX_DEPTH {
            deep = json!([deep]);
        }
        let mut event = good;
        event["data"] = deep;
        let why = cloud_event(event).unwrap_err().to_string();
        assert!(why.contains("deep"));
        assert!(cloud_event(json!("reload")).is_err());
    }
}
