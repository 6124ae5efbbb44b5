//! A document of `kind: workflow`, in Almanac's own form.

use std::collections::BTreeMap;

use almanac_base::names::{DefinitionId, Revision};
use almanac_base::nearest;
use almanac_base::text::quoted;

use super::decode::{Decoder, Object, Shape, describe};
use super::schedule::schedule;
use super::source::Place;
use super::steps::{AROUND, steps};
use super::workflow::workflow;
use super::yaml::{Entry, Node};
use super::{Definition, Kind, ParseContext, Program, revision};

pub(super) const DOCUMENT: Shape = Shape {
    name: "the document",
    keys: &[
        "kind",
        "id",
        "description",
        "enabled",
        "labels",
        "schedule",
        "workflow",
        "do",
        "use",
        "input",
        "output",
        "timeout",
        "metadata",
    ],
    later: &["triggers"],
};

/// The id that a document gets, when it can be told.
pub(super) enum StatedId {
    /// It is this one.
    Known(DefinitionId),
    /// The file's name would be the id, but is none.
    BadStem(String),
    /// It is left out, in a file that has none to give.
    Missing,
    /// What is stated is no id, or was refused already.
    Bad,
}

/// Reads a document. What is wrong is in the decoder; what is returned then is
/// not complete.
pub(super) fn definition(
    decoder: &mut Decoder<'_>,
    node: &Node<'_>,
    id: &StatedId,
    context: &ParseContext,
) -> Option<Definition> {
    let object = decoder.object(node.at, node, "", &DOCUMENT)?;
    let id = check_id(decoder, &object, id);
    let mut enabled = true;
    if let Some(entry) = object.get("enabled") {
        enabled = decoder.boolean(&entry.value, "enabled").unwrap_or(true);
    }
    let (description, labels) = about(decoder, &object);
    let schedule = object
        .get("schedule")
        .and_then(|entry| schedule(decoder, entry, context));
    if let Some(entry) = object.get("metadata") {
        decoder.map(&entry.value, "metadata");
    }
    let program = program(decoder, node, &object);
    if let (Some(schedule), Some(Program::Workflow(block))) = (&schedule, &program)
        && block.args.is_some()
        && schedule.input.is_some()
        && let Some(place) = inner(&object, "schedule", "input")
    {
        decoder.error_with_hint(
            place,
            "`schedule.input` stands beside `workflow.args`",
            "`schedule.input` is the one argument where `workflow.args` is left out; keep one of them",
        );
    }
    Some(finish(Definition {
        id: id?,
        revision: Revision::default(),
        description,
        enabled,
        labels,
        schedule,
        program: program?,
    }))
}

/// Gives a definition its revision.
pub(super) fn finish(mut definition: Definition) -> Definition {
    definition.revision = revision::of(&definition);
    definition
}

/// What a document says of itself to people: its description and its labels.
pub(super) fn about(
    decoder: &mut Decoder<'_>,
    object: &Object<'_>,
) -> (Option<String>, BTreeMap<String, String>) {
    let description = object
        .get("description")
        .and_then(|entry| decoder.text(&entry.value, "description"))
        .map(str::to_owned);
    let labels = object
        .get("labels")
        .map(|entry| labels(decoder, entry, "labels"));
    (description, labels.unwrap_or_default())
}

/// The id that a document gets; what is wrong with it is reported.
pub(super) fn check_id(
    decoder: &mut Decoder<'_>,
    object: &Object<'_>,
    id: &StatedId,
) -> Option<DefinitionId> {
    match id {
        StatedId::Known(id) => {
            // Readable, yet perhaps not text.
            let entry = object.get("id");
            let text = entry.map(|entry| decoder.text(&entry.value, "id"));
            return text.is_none_or(|text| text.is_some()).then(|| id.clone());
        }
        StatedId::BadStem(stem) => decoder.error_with_hint(
            object.at,
            format!("the file's name {} is not an id", quoted(stem)),
            "give the document an `id:`, of a-z, 0-9, `.`, `_` and `-`",
        ),
        StatedId::Missing if !object.has("id") => decoder.error_with_hint(
            object.at,
            "`id` is missing",
            "a file's name is the default only where the file holds one document",
        ),
        StatedId::Missing => {}
        StatedId::Bad => {
            if let Some(entry) = object.get("id")
                && let Some(text) = decoder.text(&entry.value, "id")
            {
                bad_id(decoder, entry, text, "id");
            }
        }
    }
    None
}

/// Reports text that is not an id.
pub(super) fn bad_id(decoder: &mut Decoder<'_>, entry: &Entry<'_>, text: &str, path: &str) {
    let suggestion: String = text
        .chars()
        .map(|c| match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => c,
            _ => '-',
        })
        .collect();
    let suggestion = suggestion.trim_matches(['-', '.', '_']);
    let message = format!(
        "`{path}` must be 1 to 128 of a-z, 0-9, `.`, `_` and `-` and begin with a letter or digit, not {}",
        quoted(text)
    );
    match suggestion.parse::<DefinitionId>() {
        Ok(id) => decoder.error_with_hint(entry.value.at, message, format!("`{id}` would do")),
        Err(_) => decoder.error(entry.value.at, message),
    }
}

pub(super) fn labels(
    decoder: &mut Decoder<'_>,
    entry: &Entry<'_>,
    path: &str,
) -> BTreeMap<String, String> {
    let entries = decoder.map(&entry.value, path).unwrap_or_default();
    entries
        .iter()
        .filter_map(|label| {
            let path = format!("{path}.{}", label.key);
            let text = decoder.text(&label.value, &path)?;
            Some((label.key.to_string(), text.to_owned()))
        })
        .collect()
}

/// Exactly one of `workflow` and `do`.
fn program(decoder: &mut Decoder<'_>, node: &Node<'_>, object: &Object<'_>) -> Option<Program> {
    let (block, list) = (object.get("workflow"), object.get("do"));
    if !object.has("workflow") && !object.has("do") {
        decoder.error_with_hint(
            object.at,
            "the document has neither `workflow` nor `do`",
            "`workflow` names a workflow type to start, `do` lists steps that Almanac runs",
        );
    }
    if let (Some(block), Some(list)) = (block, list) {
        decoder.error_with_hint(
            block.at.max(list.at),
            "the document has both `workflow` and `do`",
            "keep one of them; two documents can have the same schedule",
        );
    }
    if block.is_some() && list.is_none() {
        let around = AROUND.iter().chain(&["metadata"]);
        for entry in around.filter_map(|key| object.get(key)) {
            decoder.error(entry.at, format!("`{}` goes with `do`", entry.key));
        }
    }
    let block = block.and_then(|entry| workflow(decoder, entry));
    let steps = steps(decoder, node, object);
    block
        .map(Program::Workflow)
        .or_else(|| steps.map(Program::Steps))
}

/// The place of a key inside a block.
fn inner(object: &Object<'_>, block: &str, key: &str) -> Option<Place> {
    object.get(block)?.value.entry(key).map(|entry| entry.at)
}

/// The kind that a document states.
pub(super) fn kind(decoder: &mut Decoder<'_>, node: &Node<'_>) -> Option<Kind> {
    let Some(entry) = node.entry("kind") else {
        return Some(Kind::Workflow);
    };
    let known = Kind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == entry.value.text);
    if known.is_none() && !entry.value.is_refused() && !entry.value.is_null() {
        decoder.error_with_hint(
            entry.value.at,
            format!("`kind` must be a kind, not {}", describe(&entry.value)),
            match nearest::nearest(&entry.value.text, &Kind::ALL.map(Kind::as_str)) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "the kinds are workflow, event_type and calendar".to_owned(),
            },
        );
    }
    known
}
