//! `emit`: an event as it is published (`CloudEvents` 1.0, as JSON).

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Fault;
use super::evaluate::View;
use super::frames::Place;
use super::request::wrong;
use super::tasks::Interpreter;
use crate::run::language::Template;

/// Attributes that are text, and must be there.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];
/// Attributes that are text, where they are there.
const TEXTS: [&str; 4] = ["time", "subject", "datacontenttype", "dataschema"];

impl Interpreter<'_> {
    /// An event with an id, a time and a source. The id is the same for each
    /// attempt at publishing it, and in each replay.
    pub(super) fn event(&mut self, place: Place, attributes: &Template) -> Result<Value, Fault> {
        let filled = self.fill(View::body(place), attributes, self.frame(place).input())?;
        let Value::Object(mut event) = filled else {
            return Err(wrong("with", "a map", &filled));
        };
        // What an expression has no value for is left out.
        event.retain(|name, value| name == "data" || !value.is_null());
        let number = self.position.next;
        let mut default = |name: &str, value: String| {
            event.entry(name).or_insert(Value::String(value));
        };
        default("specversion", "1.0".to_owned());
        default("id", format!("{}/{number}", self.about.id));
        default("source", self.about.source.clone());
        default("time", self.now.to_string());
        check(&event)?;
        Ok(Value::Object(event))
    }
}

fn check(event: &Map<String, Value>) -> Result<(), Fault> {
    for name in REQUIRED {
        let value = event.get(name).unwrap_or(&Value::Null);
        if value.as_str().is_none_or(str::is_empty) {
            return Err(wrong(name, "text", value));
        }
    }
    for (name, value) in event {
        match name.as_str() {
            "data" => {}
            "specversion" if value != "1.0" => return Err(wrong(name, "\"1.0\"", value)),
            "source" | "dataschema" if value.as_str().is_none_or(|text| !is_reference(text)) => {
                return Err(wrong(name, "a URI", value));
            }
            "time"
                if value
                    .as_str()
                    .is_none_or(|text| text.parse::<Timestamp>().is_err()) =>
            {
                return Err(wrong(name, "a time like 2026-01-31T08:00:00Z", value));
            }
            name if REQUIRED.contains(&name) => {}
            name if TEXTS.contains(&name) => {
                if value.as_str().is_none_or(str::is_empty) {
                    return Err(wrong(name, "text", value));
                }
            }
            // An extension: of numbers, there are only whole ones of 32 bits.
            _ => match value {
                Value::String(_) | Value::Bool(_) => {}
                Value::Number(n) if n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {}
                other => {
                    let expected = "text, true, false or a whole number of 32 bits";
                    return Err(wrong(name, expected, other));
                }
            },
        }
    }
    Ok(())
}

/// Whether a text can be a reference (RFC 3986): it has none of the characters
/// that no reference has.
fn is_reference(text: &str) -> bool {
    let never = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '<' | '>' | '"' | '{' | '}' | '|' | '\\' | '^' | '`')
    };
    !text.is_empty() && !text.contains(never)
}
