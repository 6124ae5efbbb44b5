//! Reader of steps as a whole: the task list and the blocks around it.

use std::time::Duration;

use almanac_base::text::quoted;
use serde_json::{Map, Value};

use super::reader::{At, Problem, Reader, Uses};
use super::shapes::EVALUATE;
use super::value::{duration_map, duration_of};
use super::{Flow, Stage};

/// Reads steps: a task list, or a map of `do`, `use`, `input`, `output`, `timeout` and
/// `evaluate`. Other keys of the map are ignored.
///
/// Returns all problems of the steps, in no particular order.
pub fn parse(steps: &Value) -> Result<Flow, Vec<Problem>> {
    let definition = match steps {
        Value::Object(_) => steps.clone(),
        list => Value::Object(Map::from_iter([("do".to_owned(), list.clone())])),
    };
    let mut reader = Reader::default();
    let whole = reader.whole(&definition);
    match whole {
        Some((input, output, timeout)) if reader.problems.is_empty() => {
            let Reader {
                reads_header,
                #[cfg(test)]
                expressions,
                warnings,
                lists,
                uses: Uses { secrets, .. },
                ..
            } = reader;
            Ok(Flow {
                definition,
                input,
                output,
                timeout,
                lists,
                secrets,
                reads_header,
                #[cfg(test)]
                expressions,
                warnings,
            })
        }
        _ => {
            if reader.problems.is_empty() {
                // No known input gets here, but a failure must have a problem.
                reader.wrong(&At::root(&definition), "cannot be read");
            }
            Err(reader.problems)
        }
    }
}

type Around = (super::Input, super::Output, Option<super::Length>);

impl Reader {
    fn whole(&mut self, definition: &Value) -> Option<Around> {
        let at = At::root(definition);
        let part = |key: &'static str| {
            let value = definition.get(key).filter(|value| !value.is_null())?;
            Some((key, value))
        };
        // Tasks refer to `use`, so it is read first.
        if let Some((key, value)) = part("use") {
            self.uses(&at.key(key, value));
        }
        if let Some((key, value)) = part("evaluate") {
            self.evaluate(&at.key(key, value));
        }
        let input =
            part("input").map(|(key, value)| self.input(&at.key(key, value), Stage::RunInput));
        let output =
            part("output").map(|(key, value)| self.output(&at.key(key, value), Stage::RunOutput));
        let timeout = part("timeout").map(|(key, value)| self.timeout(&at.key(key, value)));
        let (key, value) = part("do").unwrap_or(("do", &Value::Null));
        match value {
            // The output of a run without steps is its input.
            Value::Array(items) if items.is_empty() => {}
            _ => self.tasks(&at.key(key, value))?,
        }
        if let Some((key, value)) = part("use") {
            self.unused(&at.key(key, value));
        }
        Some((
            input.unwrap_or_else(|| Some(super::Input::default()))?,
            output.unwrap_or_else(|| Some(super::Output::default()))?,
            timeout.map_or(Some(None), |timeout| timeout.map(Some))?,
        ))
    }

    /// Warns of definitions of `use` that no task names.
    fn unused(&mut self, at: &At<'_>) {
        for part in ["authentications", "errors", "retries", "timeouts"] {
            let Some(Value::Object(map)) = at.value.get(part) else {
                continue;
            };
            let nothing = Value::Null;
            let at = at.key(part, &nothing);
            for (name, value) in map {
                if !self.used.contains(&(part, name.clone())) {
                    let at = at.key(name, value);
                    self.warn_of_key(
                        &at,
                        "is not used by any task",
                        "refer to it in a task, or remove it",
                    );
                }
            }
        }
    }

    fn evaluate(&mut self, at: &At<'_>) -> Option<()> {
        let object = self.object(at, &EVALUATE)?;
        for (key, only) in [("language", "jq"), ("mode", "strict")] {
            if let Some(at) = object.get(key)
                && let Some(text) = self.text(&at)
                && text != only
            {
                let what = format!("must be `{only}`: {} is not supported", quoted(text));
                self.wrong(&at, &what);
            }
        }
        Some(())
    }
}

/// Reads a duration at `key` of a document's `block`.
pub fn parse_duration(block: &str, key: &str, value: &Value) -> Result<Duration, Vec<Problem>> {
    let mut reader = Reader::default();
    let (root, nothing) = (At::root(value), Value::Null);
    let block = root.key(block, &nothing);
    let duration = reader.duration(&block.key(key, value));
    duration.ok_or(reader.problems)
}

/// Writes each fixed `wait` as a map of units, so that different spellings compare as equal.
/// `steps` must be valid.
pub fn normalize(steps: &mut Value) {
    match steps {
        Value::Array(items) => {
            for item in items {
                let Some(item) = item.as_object_mut() else {
                    continue;
                };
                item.values_mut().for_each(task);
            }
        }
        Value::Object(definition) => {
            if let Some(list) = definition.get_mut("do") {
                normalize(list);
            }
        }
        _ => {}
    }
}

fn task(task: &mut Value) {
    let Some(task) = task.as_object_mut() else {
        return;
    };
    for (key, value) in task.iter_mut() {
        match key.as_str() {
            "wait" => {
                if let Some(duration) = duration_of(value) {
                    *value = duration_map(duration);
                }
            }
            "do" | "try" => normalize(value),
            "catch" | "foreach" => {
                if let Some(list) = value.get_mut("do") {
                    normalize(list);
                }
            }
            "fork" => {
                if let Some(list) = value.get_mut("branches") {
                    normalize(list);
                }
            }
            _ => {}
        }
    }
}
