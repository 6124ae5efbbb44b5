//! The steps of a definition: a task list of the Open Workflow Specification
//! DSL 1.0.3. This release runs `set` and `wait`, without expressions; all
//! else of the specification is named as not supported yet, where it stands.

use serde_json::{Map, Value as Json, json};

use super::decode::{Decoder, Shape};
use super::duration;
use super::nearest;
use super::source::Place;
use super::yaml::{Entry, Node, Value, quoted};

/// A task. This release has the kinds alone, nothing beside them.
pub(super) const TASK: Shape = Shape {
    name: "a task",
    keys: &["set", "wait"],
    later: LATER,
};

/// Everything else that the specification has in a task.
const LATER: &[&str] = &[
    "call", "do", "emit", "for", "fork", "listen", "raise", "run", "switch", "try", "catch",
    "with", "while", "foreach", "if", "then", "input", "output", "export", "timeout", "metadata",
];

pub(super) const DURATION: Shape = Shape {
    name: "a duration",
    keys: &["days", "hours", "minutes", "seconds", "milliseconds"],
    later: &[],
};

/// The length of each key of [`DURATION`], in milliseconds.
const MILLISECONDS: [u64; 5] = [86_400_000, 3_600_000, 60_000, 1000, 1];
/// The longest duration, in milliseconds.
const LONGEST: u64 = duration::LONGEST.as_secs() * 1000;

/// Reads a task list into the JSON that runs carry: `wait` always as a map.
pub(super) fn tasks(decoder: &mut Decoder<'_>, node: &Node<'_>) -> Option<Json> {
    let items = decoder.list(node, "do", "a list of steps")?;
    if items.is_empty() {
        decoder.error(node.at, "`do` has no steps");
    }
    let mut names: Vec<&Entry<'_>> = Vec::new();
    let mut steps = Vec::new();
    for item in items {
        let Some(entry) = single(decoder, item) else {
            continue;
        };
        names.push(entry);
        if let Some(task) = task(decoder, entry) {
            steps.push(json!({ entry.key.as_ref(): task }));
        }
    }
    repeated_names(decoder, names);
    Some(Json::Array(steps))
}

/// A step: a map with one key, its name.
fn single<'n>(decoder: &mut Decoder<'_>, item: &'n Node<'n>) -> Option<&'n Entry<'n>> {
    match &item.value {
        Value::Map(entries) if entries.len() == 1 => entries.first(),
        Value::Map(entries) => {
            decoder.error_with_hint(
                item.at,
                format!("a step has one key, its name, not {}", entries.len()),
                "write `- name: { wait: { seconds: 5 } }`; begin each step with `-`, and indent the task under its name",
            );
            None
        }
        Value::Text if is_task_key(&item.text) => {
            unnamed(decoder, item.at, &item.text);
            None
        }
        _ => {
            decoder.mismatch(
                item,
                "do",
                "a list of steps like `name: { wait: { seconds: 5 } }`",
            );
            None
        }
    }
}

fn is_task_key(key: &str) -> bool {
    TASK.keys.contains(&key) || LATER.contains(&key)
}

fn unnamed(decoder: &mut Decoder<'_>, at: Place, key: &str) {
    decoder.error_with_hint(
        at,
        format!("a step needs a name before {}", quoted(key)),
        format!("write `- name: {{ {key}: … }}`"),
    );
}

/// A flow directive names its task, so a name stands for one.
fn repeated_names(decoder: &mut Decoder<'_>, mut names: Vec<&Entry<'_>>) {
    names.sort_by(|a, b| a.key.cmp(&b.key).then(a.at.cmp(&b.at)));
    for pair in names.windows(2) {
        if let [first, again] = pair
            && first.key == again.key
        {
            decoder.error(
                again.at,
                format!(
                    "two steps have the name {}, one in line {}",
                    quoted(&again.key),
                    first.at.line
                ),
            );
        }
    }
}

fn task(decoder: &mut Decoder<'_>, step: &Entry<'_>) -> Option<Json> {
    // `- set: {…}` without a name reads as a step that is called `set`.
    let nameless = is_task_key(&step.key);
    let Value::Map(entries) = &step.value.value else {
        if nameless {
            unnamed(decoder, step.at, &step.key);
        } else {
            decoder.mismatch(&step.value, &step.key, "a task like `wait: { seconds: 5 }`");
        }
        return None;
    };
    let mut task = Map::new();
    let (mut kinds, mut unknown) = (0, false);
    for entry in entries {
        match entry.key.as_ref() {
            key @ ("set" | "wait") => {
                kinds += 1;
                let value = if key == "set" {
                    set(decoder, &entry.value)
                } else {
                    wait(decoder, &entry.value, "wait")
                };
                task.extend(value.map(|value| (key.to_owned(), value)));
            }
            key if LATER.contains(&key) => {
                unknown = true;
                decoder.not_yet(entry.at, &format!("`{key}` in a task"));
            }
            key => {
                if nameless {
                    unnamed(decoder, step.at, &step.key);
                    return None;
                }
                unknown = true;
                let known: Vec<&str> = TASK.keys.iter().chain(LATER).copied().collect();
                let hint = nearest::nearest(key, &known).map_or_else(
                    || "a task is `set` or `wait`".to_owned(),
                    |known| format!("did you mean `{known}`?"),
                );
                let message = format!("unknown key {} in {}", quoted(key), TASK.name);
                decoder.error_with_hint(entry.at, message, hint);
            }
        }
    }
    if kinds > 1 {
        decoder.error_with_hint(
            step.at,
            format!("the step {} has both `set` and `wait`", quoted(&step.key)),
            "make two steps of it",
        );
    } else if kinds == 0 && !unknown {
        decoder.error_with_hint(
            step.at,
            format!("the step {} has no task", quoted(&step.key)),
            "a task is `set` or `wait`",
        );
    }
    Some(Json::Object(task))
}

fn set(decoder: &mut Decoder<'_>, node: &Node<'_>) -> Option<Json> {
    if is_expression(node) {
        expressions(decoder, node);
        return None;
    }
    let entries = decoder.map(node, "set")?;
    if entries.is_empty() {
        decoder.error(node.at, "`set` sets nothing");
    }
    expressions(decoder, node);
    decoder.json(node)
}

/// The specification takes a text `${…}` for an expression. Taking one for
/// plain text now would change its meaning later.
fn is_expression(node: &Node<'_>) -> bool {
    matches!(node.value, Value::Text) && node.text.trim_start().starts_with("${")
}

/// Reports every expression.
fn expressions(decoder: &mut Decoder<'_>, node: &Node<'_>) {
    match &node.value {
        Value::Text if is_expression(node) => {
            decoder.not_yet(node.at, &format!("the expression {}", quoted(&node.text)));
        }
        Value::List(items) => items.iter().for_each(|item| expressions(decoder, item)),
        Value::Map(entries) => entries
            .iter()
            .for_each(|entry| expressions(decoder, &entry.value)),
        _ => {}
    }
}

/// A duration of the specification, as a map without zeros (`seconds: 0` for none).
fn wait(decoder: &mut Decoder<'_>, node: &Node<'_>, path: &str) -> Option<Json> {
    let total = ows_duration(decoder, node, path)?;
    let mut rest = total;
    let mut parts = Map::new();
    for (key, unit) in DURATION.keys.iter().zip(MILLISECONDS) {
        if rest >= unit {
            parts.insert((*key).to_owned(), json!(rest / unit));
            rest %= unit;
        }
    }
    if parts.is_empty() {
        parts.insert("seconds".to_owned(), json!(0));
    }
    Some(Json::Object(parts))
}

/// The milliseconds of a duration as the specification writes it: a map of
/// units, or ISO 8601.
pub(super) fn ows_duration(decoder: &mut Decoder<'_>, node: &Node<'_>, path: &str) -> Option<u64> {
    let total = match &node.value {
        Value::Map(_) => duration_map(decoder, node, path)?,
        Value::Text if is_expression(node) => {
            expressions(decoder, node);
            return None;
        }
        Value::Text => {
            let parsed = duration::parse(&node.text);
            match parsed {
                Ok(parsed) if node.text.starts_with(['P', 'p']) => {
                    u64::try_from(parsed.as_millis()).unwrap_or(u64::MAX)
                }
                Ok(_) | Err(_) => {
                    decoder.error_with_hint(
                        node.at,
                        format!("`{path}` must be a duration, not {}", quoted(&node.text)),
                        match parsed {
                            Err(hint) if node.text.starts_with('P') => hint,
                            _ => "steps write it like `{ minutes: 1, seconds: 30 }` or `PT1M30S`"
                                .to_owned(),
                        },
                    );
                    return None;
                }
            }
        }
        _ => {
            decoder.mismatch(node, path, "a duration like `{ seconds: 5 }` or `PT5S`");
            return None;
        }
    };
    if total > LONGEST {
        decoder.error(node.at, format!("`{path}` must be at most 36500 days"));
        return None;
    }
    Some(total)
}

fn duration_map(decoder: &mut Decoder<'_>, node: &Node<'_>, path: &str) -> Option<u64> {
    let object = decoder.object(node.at, node, path, &DURATION)?;
    if matches!(&node.value, Value::Map(entries) if entries.is_empty()) {
        decoder.error_with_hint(
            node.at,
            format!("`{path}` has no length"),
            format!("the keys are {}", DURATION.keys.join(", ")),
        );
        return None;
    }
    let mut total: Option<u64> = Some(0);
    for (key, unit) in DURATION.keys.iter().zip(MILLISECONDS) {
        if let Some(entry) = object.get(key) {
            let path = format!("{path}.{key}");
            let count = decoder.integer(&entry.value, &path, 0..=u32::MAX);
            total = total
                .zip(count)
                .map(|(total, count)| total.saturating_add(u64::from(count).saturating_mul(unit)));
        }
    }
    total
}
