//! Events in the JSON format of `CloudEvents` 1.0: [`cloud_event`] for the signals of runs, and
//! [`CloudEvent`] for everything that comes from outside.

mod checked;

use almanac_base::size::{depth, json_size};
use almanac_jq::MAX_DEPTH;
use serde_json::Value;

pub use checked::{CloudEvent, MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES};

use crate::attributes::REQUIRED;

/// Maximum size of an event, in bytes of JSON.
pub const MAX_BYTES: usize = 1_000_000;
/// Maximum number of values in an event: small values take many times as much memory as text.
pub const MAX_VALUES: usize = 100_000;
/// Maximum nesting depth of an event. One level is left for the output of a `listen`, a list of
/// events.
const DEEPEST: usize = MAX_DEPTH - 1;

/// The reason for which a value is not a valid event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvent {
    /// The value is not an event, or an attribute of the event is wrong.
    #[error("{0}")]
    Malformed(String),
    /// The event has this many bytes as JSON.
    #[error("it has {0} bytes as JSON, over the limit of {MAX_BYTES}")]
    TooLarge(usize),
}

impl From<String> for InvalidEvent {
    fn from(message: String) -> Self {
        Self::Malformed(message)
    }
}

impl From<&str> for InvalidEvent {
    fn from(message: &str) -> Self {
        Self::Malformed(message.to_owned())
    }
}

/// Returns the value if it is an event that a run hears. Otherwise the error says what is wrong
/// with it.
///
/// The result decides how a run goes on, and a recorded history must be replayed with the result
/// that it was recorded with. So this function must not become stricter: signals that were events
/// stay events. [`CloudEvent::from_json`] is for events that no history holds yet, and checks more.
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
    if bytes > MAX_BYTES {
        return Err(InvalidEvent::TooLarge(bytes));
    }
    Ok(value)
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
            ("data", json!("x".repeat(MAX_BYTES)), "bytes as JSON"),
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
