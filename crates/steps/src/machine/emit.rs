//! `emit`: the event to publish (`CloudEvents` 1.0, as JSON).

use almanac_events::{DEPTH_ATTRIBUTE, REQUIRED, refused_attribute};
use serde_json::{Map, Value};

use super::Fault;
use super::evaluate::View;
use super::frames::Place;
use super::request::wrong;
use super::tasks::Interpreter;
use crate::language::Template;

impl Interpreter<'_> {
    /// Creates an event with an id, a time and a source.
    ///
    /// The id is the same for each attempt to publish the event, and in each replay.
    pub(super) fn event(&mut self, place: Place, attributes: &Template) -> Result<Value, Fault> {
        let filled = self.fill(View::body(place), attributes, self.frame(place).input())?;
        let Value::Object(mut event) = filled else {
            return Err(wrong("with", "a map", &filled));
        };
        // An attribute whose expression gives null is left out, except `data`.
        event.retain(|name, value| name == "data" || !value.is_null());
        let number = self.position.next;
        let mut default = |name: &str, value: String| {
            event.entry(name).or_insert(Value::String(value));
        };
        default("specversion", "1.0".to_owned());
        default("id", format!("{}/{number}", self.about.id));
        default("source", self.about.source.clone());
        default("time", self.now.to_string());
        if let Some(depth) = self.about.chain {
            event.insert(DEPTH_ATTRIBUTE.to_owned(), Value::from(depth));
        }
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
        if let Some(expected) = refused_attribute(name, value) {
            return Err(wrong(name, expected, value));
        }
    }
    Ok(())
}
