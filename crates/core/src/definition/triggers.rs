//! The triggers of a definition, in Almanac's form and in the specification's. The step language
//! reads them. Each problem is reported at its place in the text.

use std::collections::BTreeSet;
use std::sync::Arc;

use almanac_base::json_text::JsonText;
use almanac_steps::language::{self, Problem, ReadTriggers};
use serde_json::{Map, Value as Json};

use super::decode::{Decoder, Object};
use super::source::Place;
use super::steps::{finding, lenient, report};
use super::yaml::{Entry, Node, Value};
use super::{Program, Triggers};

/// Reads `triggers` of a document in Almanac's form.
pub(super) fn triggers(
    decoder: &mut Decoder<'_>,
    root: &Node<'_>,
    object: &Object<'_>,
) -> Option<Triggers> {
    let entry = object.get("triggers")?;
    let mut lost = BTreeSet::new();
    let value = lenient(decoder, &entry.value, &mut lost);
    let read = language::parse_triggers(&value);
    let triggers = accept(decoder, root, read, value, &lost)?;
    let items = match &entry.value.value {
        Value::List(items) => items.as_slice(),
        _ => &[],
    };
    for event in items.iter().filter_map(|item| item.entry("event")) {
        name(decoder, &event.value);
    }
    Some(triggers)
}

/// Reads `on` and `read` of a document's `schedule`, in the specification's form.
pub(super) fn schedule_on(
    decoder: &mut Decoder<'_>,
    root: &Node<'_>,
    object: &Object<'_>,
) -> Option<Triggers> {
    let on = object.get("on");
    if let (None, Some(read)) = (on, object.get("read")) {
        decoder.error(read.at, "`schedule.read` needs `schedule.on`");
    }
    let mut lost = BTreeSet::new();
    let parts: Map<String, Json> = [Some(on?), object.get("read")]
        .into_iter()
        .flatten()
        .map(|entry| {
            let value = lenient(decoder, &entry.value, &mut lost);
            (entry.key.to_string(), value)
        })
        .collect();
    let value = Json::Object(parts);
    let read = language::parse_schedule_on(&value);
    let triggers = accept(decoder, root, read, value, &lost)?;
    let filters = on?.value.entry("one").map(|one| &one.value).into_iter();
    let any = on?.value.entry("any");
    let any = any.and_then(|any| match &any.value.value {
        Value::List(items) => Some(items.as_slice()),
        _ => None,
    });
    for filter in filters.chain(any.unwrap_or_default()) {
        let kind = filter
            .entry("with")
            .and_then(|with| with.value.entry("type"));
        if let Some(kind) = kind.filter(|kind| !kind.value.text.trim_start().starts_with("${")) {
            name(decoder, &kind.value);
        }
    }
    Some(triggers)
}

/// Notes a type of events that a trigger names.
fn name(decoder: &mut Decoder<'_>, node: &Node<'_>) {
    decoder.events.push((node.text.to_string(), node.at));
}

fn accept(
    decoder: &mut Decoder<'_>,
    root: &Node<'_>,
    read: Result<ReadTriggers, Vec<Problem>>,
    value: Json,
    lost: &BTreeSet<Place>,
) -> Option<Triggers> {
    match read {
        Ok(read) => {
            for warning in &read.warnings {
                let warning = finding(decoder, root, warning).0;
                decoder.warnings.push(warning);
            }
            Some(Triggers {
                text: JsonText::from(value),
                list: Arc::from(read.triggers),
            })
        }
        Err(problems) => {
            report(decoder, root, &problems, lost);
            None
        }
    }
}

/// Reports triggers with an input beside `workflow.args`, which would be lost.
pub(super) fn check_input(decoder: &mut Decoder<'_>, entry: &Entry<'_>, program: &Program) {
    let Program::Workflow(block) = program else {
        return;
    };
    if block.args.is_none() {
        return;
    }
    let Value::List(items) = &entry.value.value else {
        return;
    };
    for input in items.iter().filter_map(|item| item.entry("input")) {
        decoder.error_with_hint(
            input.at,
            "`input` of a trigger cannot be combined with `workflow.args`",
            "without `workflow.args`, the trigger's input is the only argument; keep one of them",
        );
    }
}
