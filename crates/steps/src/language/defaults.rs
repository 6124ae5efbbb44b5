//! Options of Temporal that a document states once for all of its tasks.
//!
//! Reading a document copies these options into the tasks. So the steps of a run contain all
//! options, and the run itself has no defaults.

use serde_json::{Map, Value};

use super::reader::{At, Problem, Reader, Target};
use super::shapes::TEMPORAL_DEFAULTS;
use super::task::options_of;
use super::{Flow, Task};

/// Copies the options of a document's `metadata` into the tasks of `definition`.
///
/// A task gets an option if the option has an effect on the task and the task does not state it.
/// `flow` is the parsed form of `definition`. `in_header` is `true` if the metadata are in the
/// `document` block.
///
/// Returns warnings. An option is an error if it is wrong or if it has no effect on any task: the
/// author expects an effect.
pub fn default_options(
    definition: &mut Value,
    flow: &Flow,
    metadata: &Value,
    in_header: bool,
) -> Result<Vec<Problem>, Vec<Problem>> {
    let mut reader = Reader::default();
    let nothing = Value::Null;
    let root = At::root(&nothing);
    let header = root.key("document", &nothing);
    let around = if in_header { &header } else { &root };
    let at = around.key("metadata", metadata);
    let _ = reader.options(&at, &TEMPORAL_DEFAULTS);
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    let Some(Value::Object(options)) = metadata.get("temporal") else {
        return Ok(reader.warnings);
    };
    let at = at.key("temporal", &nothing);
    for (key, value) in options {
        let tasks = flow.lists.values().flat_map(|list| list.iter());
        let mut users = tasks
            .filter(|task| options_of(&task.kind).1.contains(&key.as_str()))
            .peekable();
        if users.peek().is_none() {
            let at = at.key(key, value);
            let message = format!("{} has no effect on any task of the document", at.shown());
            let hint = "remove it, or move it to the task that it is meant for";
            reader.problem(&at, Target::Key, message).hint = Some(hint.to_owned());
        }
        for task in users {
            state(definition, task, key, value);
        }
    }
    if reader.problems.is_empty() {
        Ok(reader.warnings)
    } else {
        Err(reader.problems)
    }
}

/// Writes an option into a task that does not state the option.
fn state(definition: &mut Value, task: &Task, key: &str, value: &Value) {
    let mut place = definition.pointer_mut(&task.path);
    for key in ["metadata", "temporal"] {
        place = place
            .and_then(Value::as_object_mut)
            .map(|map| map.entry(key).or_insert_with(|| Value::Object(Map::new())));
    }
    if let Some(options) = place.and_then(Value::as_object_mut)
        && !options.contains_key(key)
    {
        options.insert(key.to_owned(), value.clone());
    }
}
