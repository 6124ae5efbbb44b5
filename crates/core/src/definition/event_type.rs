//! Documents of `kind: event_type`: types of events, with the schema of their data.

use std::collections::BTreeSet;

use almanac_base::names::Revision;
use almanac_base::shape::Shape;
use almanac_steps::language::{self, JsonSchema, bad_event_type};

use super::decode::{Decoder, Object};
use super::document::{StatedId, about, check_id};
use super::source::Place;
use super::steps::{lenient, report};
use super::webhook::webhook;
use super::yaml::{Entry, Node};
use super::{EventType, revision};

pub(super) const EVENT_TYPE: Shape = Shape {
    name: "an event type's document",
    keys: &[
        "kind",
        "id",
        "type",
        "description",
        "labels",
        "schema",
        "examples",
        "webhook",
    ],
    refused: &[],
};

/// Maximum number of examples of an event type.
const EXAMPLES_LIMIT: usize = 100;

/// Reads a document. The decoder collects the errors; after an error the result is not complete.
pub(super) fn event_type(
    decoder: &mut Decoder<'_>,
    node: &Node<'_>,
    id: &StatedId,
) -> Option<EventType> {
    let object = decoder.object(node.at, node, "", &EVENT_TYPE)?;
    let id = check_id(decoder, &object, id);
    let kind = match object.get("type") {
        None if object.has("type") => None,
        None => id.as_ref().map(ToString::to_string),
        Some(entry) => kind(decoder, entry),
    };
    let (description, labels) = about(decoder, &object);
    let schema = object
        .get("schema")
        .map(|entry| schema(decoder, node, &entry.value));
    let is_bad = matches!(schema, Some(None));
    let schema = schema.flatten();
    examples(decoder, &object, schema.as_ref());
    let webhook = object.get("webhook").map(|entry| {
        let id = id.as_ref();
        webhook(decoder, entry, id)
    });
    if is_bad || matches!(webhook, Some(None)) {
        return None;
    }
    let mut event_type = EventType {
        id: id?,
        kind: kind?,
        revision: Revision::default(),
        description,
        labels,
        schema,
        webhook: webhook.flatten(),
    };
    event_type.revision = revision::of_event_type(&event_type);
    Some(event_type)
}

/// Reads the type of the events, which may have characters that an id cannot have.
fn kind(decoder: &mut Decoder<'_>, entry: &Entry<'_>) -> Option<String> {
    let text = decoder.text(&entry.value, "type")?;
    if let Some(what) = bad_event_type(text) {
        decoder.error(entry.value.at, format!("`type` {what}"));
        return None;
    }
    Some(text.to_owned())
}

fn schema(decoder: &mut Decoder<'_>, root: &Node<'_>, node: &Node<'_>) -> Option<JsonSchema> {
    let mut lost: BTreeSet<Place> = BTreeSet::new();
    let value = lenient(decoder, node, &mut lost);
    match language::parse_event_schema(&value) {
        Ok(schema) if lost.is_empty() => Some(schema),
        Ok(_) => None,
        Err(problems) => {
            report(decoder, root, &problems, &lost);
            None
        }
    }
}

/// Checks the examples of the data against the schema.
fn examples(decoder: &mut Decoder<'_>, object: &Object<'_>, schema: Option<&JsonSchema>) {
    let Some(entry) = object.get("examples") else {
        return;
    };
    let Some(items) = decoder.list(&entry.value, "examples", "a list of examples of the data")
    else {
        return;
    };
    if items.len() > EXAMPLES_LIMIT {
        decoder.error(
            entry.value.at,
            format!(
                "`examples` has {} entries, over the limit of {EXAMPLES_LIMIT}",
                items.len()
            ),
        );
        return;
    }
    for (index, item) in items.iter().enumerate() {
        let (Some(value), Some(schema)) = (decoder.json(item), schema) else {
            continue;
        };
        let (result, steps) = schema.check(&value);
        if decoder.budget.spend(steps).is_err() {
            decoder.error(
                item.at,
                "the examples take too much work to check against the schema",
            );
            return;
        }
        if let Err(violation) = result {
            decoder.error(
                item.at,
                format!("`examples[{index}]` does not match the schema: {violation}"),
            );
        }
    }
}
