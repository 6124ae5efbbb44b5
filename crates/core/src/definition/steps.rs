//! The steps of a definition. The step language itself reads them, as it does in a run. Each
//! problem is reported at its place in the text.

use std::collections::BTreeSet;
use std::time::Duration;

use almanac_steps::language::{self, Flow, Problem, Target};
use serde_json::{Map, Value as Json};

use super::decode::{Decoder, Object};
use super::source::{Finding, Place};
use super::yaml::{Node, Value};

/// Keys of a document that stand beside its steps.
pub(super) const AROUND: [&str; 4] = ["use", "input", "output", "timeout"];

/// Reads the steps of a document: `do` and the keys beside it. The result is the JSON that runs
/// carry: the task list, or a map if there is more.
pub(super) fn steps(
    decoder: &mut Decoder<'_>,
    root: &Node<'_>,
    object: &Object<'_>,
) -> Option<Json> {
    let tasks = object.get("do")?;
    if matches!(&tasks.value.value, Value::List(items) if items.is_empty()) {
        decoder.error(tasks.value.at, "`do` has no steps");
    }
    let mut lost = BTreeSet::new();
    let mut parts = Map::new();
    for key in ["do", "evaluate"].into_iter().chain(AROUND) {
        if let Some(entry) = object.get(key) {
            let value = lenient(decoder, &entry.value, &mut lost);
            parts.insert(key.to_owned(), value);
        }
    }
    let mut whole = Json::Object(parts);
    let flow = match language::parse(&whole) {
        Ok(flow) => flow,
        Err(problems) => {
            report(decoder, root, &problems, &lost);
            return None;
        }
    };
    for warning in &flow.warnings {
        let warning = finding(decoder, root, warning).0;
        decoder.warnings.push(warning);
    }
    defaults(decoder, root, object, &mut whole, &flow)?;
    language::normalize(&mut whole);
    let Json::Object(mut parts) = whole else {
        return None;
    };
    // Each key of `evaluate` has only one accepted value, which is the default.
    parts.remove("evaluate");
    if let Some(entry) = object.get("document").filter(|_| flow.reads_header) {
        parts.insert("document".to_owned(), decoder.json(&entry.value)?);
    }
    if parts.len() == 1 {
        return parts.remove("do");
    }
    Some(Json::Object(parts))
}

/// Gives all tasks the default options that the document's own `metadata` states.
fn defaults(
    decoder: &mut Decoder<'_>,
    root: &Node<'_>,
    object: &Object<'_>,
    whole: &mut Json,
    flow: &Flow,
) -> Option<()> {
    let header = object.get("document");
    let metadata = match header {
        Some(header) => header.value.entry("metadata"),
        None => object.get("metadata"),
    };
    let Some(Value::Map(entries)) = metadata.map(|entry| &entry.value.value) else {
        return Some(());
    };
    let mut lost = BTreeSet::new();
    // Other metadata may have any value, even one that JSON cannot express.
    let options: Map<String, Json> = entries
        .iter()
        .filter(|entry| language::is_option(&entry.key))
        .map(|entry| {
            let value = lenient(decoder, &entry.value, &mut lost);
            (entry.key.to_string(), value)
        })
        .collect();
    match language::default_options(whole, flow, &Json::Object(options), header.is_some()) {
        Ok(warnings) => {
            for warning in &warnings {
                let warning = finding(decoder, root, warning).0;
                decoder.warnings.push(warning);
            }
            Some(())
        }
        Err(problems) => {
            report(decoder, root, &problems, &lost);
            None
        }
    }
}

/// Reads the duration of a key in a block, in the specification's form.
pub(super) fn ows_duration(
    decoder: &mut Decoder<'_>,
    root: &Node<'_>,
    block: &str,
    key: &str,
) -> Option<Duration> {
    let node = &root.entry(block)?.value.entry(key)?.value;
    let mut lost = BTreeSet::new();
    let value = lenient(decoder, node, &mut lost);
    match language::parse_duration(block, key, &value) {
        Ok(duration) => Some(duration),
        Err(problems) => {
            report(decoder, root, &problems, &lost);
            None
        }
    }
}

/// Converts a node to JSON. A value that JSON cannot express becomes null and is reported; its
/// place is added to `lost`.
pub(super) fn lenient(
    decoder: &mut Decoder<'_>,
    node: &Node<'_>,
    lost: &mut BTreeSet<Place>,
) -> Json {
    match &node.value {
        Value::List(items) => items
            .iter()
            .map(|item| lenient(decoder, item, lost))
            .collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|entry| (entry.key.to_string(), lenient(decoder, &entry.value, lost)))
            .collect(),
        _ => decoder.json(node).unwrap_or_else(|| {
            lost.insert(node.at);
            Json::Null
        }),
    }
}

pub(super) fn report(
    decoder: &mut Decoder<'_>,
    root: &Node<'_>,
    problems: &[Problem],
    lost: &BTreeSet<Place>,
) {
    for problem in problems {
        let (finding, place) = finding(decoder, root, problem);
        if !lost.contains(&place) {
            decoder.errors.push(finding);
        }
    }
}

/// Finding for a problem, and the place of the value that the problem is about.
pub(super) fn finding(
    decoder: &Decoder<'_>,
    root: &Node<'_>,
    problem: &Problem,
) -> (Finding, Place) {
    let (key, node) = locate(root, &problem.path);
    let finding = Finding {
        at: match problem.target {
            Target::Key => key,
            Target::Value => decoder.lines.within(node.at, &node.text, problem.offset),
        },
        message: problem.message.clone(),
        hint: problem.hint.clone(),
    };
    (finding, node.at)
}

/// Place of the key at a JSON pointer, and its value. If the path does not exist, these are the
/// last ones on the path that exist.
fn locate<'n>(root: &'n Node<'n>, path: &str) -> (Place, &'n Node<'n>) {
    let mut found = (root.at, root);
    for token in path.split('/').skip(1) {
        let next = match &found.1.value {
            Value::List(items) => token
                .parse::<usize>()
                .ok()
                .and_then(|index| items.get(index))
                .map(|item| (item.at, item)),
            Value::Map(_) => {
                let key = token.replace("~1", "/").replace("~0", "~");
                let entry = found.1.entry(&key);
                entry.map(|entry| (entry.at, &entry.value))
            }
            _ => None,
        };
        let Some(next) = next else { break };
        found = next;
    }
    found
}
