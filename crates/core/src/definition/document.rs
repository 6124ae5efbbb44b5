//! Documents of `kind: workflow` in Almanac's own form.

use almanac_base::names::{DefinitionId, Revision};
use almanac_base::nearest;
use almanac_base::shape::Shape;
use almanac_base::text::quoted;

use super::decode::{Decoder, Object, describe};
use super::schedule::schedule;
use super::source::Place;
use super::steps::{AROUND, steps};
use super::triggers::{self, triggers};
use super::workflow::workflow;
use super::yaml::{Entry, Node};
use super::{Definition, Kind, Labels, ParseContext, Program, revision};

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
        "triggers",
    ],
    refused: &[],
};

/// The id that a document gets, as far as the id is certain.
pub(super) enum StatedId {
    /// The document gets this id.
    Known(DefinitionId),
    /// The document states no id, and the file's name is not a valid id.
    BadStem(String),
    /// The document states no id, and its file holds several documents.
    Missing,
    /// The stated id is not valid or was refused already, or the key `id` is mistyped.
    Bad,
}

/// Reads a document. The decoder collects the errors; after an error the result is not complete.
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
    let (schedule, again) = object
        .get("schedule")
        .and_then(|entry| schedule(decoder, entry, context))
        .unwrap_or_default();
    let mut inputs = schedule.iter().map(|block| block.input.is_some());
    let has_input = inputs.any(|is| is) || again.as_ref().is_some_and(|one| one.input.is_some());
    if let Some(entry) = object.get("metadata") {
        decoder.map(&entry.value, "metadata");
    }
    let program = program(decoder, node, &object);
    if let Some(Program::Workflow(block)) = &program
        && block.args.is_some()
        && has_input
        && let Some(place) = inner(&object, "schedule", "input")
    {
        decoder.error_with_hint(
            place,
            "`schedule.input` cannot be combined with `workflow.args`",
            "without `workflow.args`, `schedule.input` is the only argument; keep one of them",
        );
    }
    let triggers = triggers(decoder, node, &object);
    if let (Some(entry), Some(program)) = (object.get("triggers"), &program) {
        triggers::check_input(decoder, entry, program);
    }
    if let Some(id) = &id {
        triggers::check_after(decoder, id);
    }
    let mut triggers = triggers.unwrap_or_default();
    if let Some(again) = again {
        triggers = triggers::with_again(triggers, again);
    }
    Some(finish(Definition {
        id: id?,
        revision: Revision::default(),
        description,
        enabled,
        labels,
        schedule,
        triggers,
        program: program?,
    }))
}

/// Sets the revision of a definition.
pub(super) fn finish(mut definition: Definition) -> Definition {
    definition.revision = revision::of(&definition);
    definition
}

/// Reads the description and the labels of a document.
pub(super) fn about(decoder: &mut Decoder<'_>, object: &Object<'_>) -> (Option<String>, Labels) {
    let description = object
        .get("description")
        .and_then(|entry| decoder.text(&entry.value, "description"))
        .map(str::to_owned);
    let labels = object
        .get("labels")
        .map(|entry| labels(decoder, entry, "labels"));
    (description, labels.unwrap_or_default())
}

/// Returns the id that a document gets. `None` if the document gets no id; an error was then
/// reported.
pub(super) fn check_id(
    decoder: &mut Decoder<'_>,
    object: &Object<'_>,
    id: &StatedId,
) -> Option<DefinitionId> {
    match id {
        StatedId::Known(id) => {
            // The id can be read, but the value is perhaps a number and not text.
            let entry = object.get("id");
            let text = entry.map(|entry| decoder.text(&entry.value, "id"));
            return text.is_none_or(|text| text.is_some()).then(|| id.clone());
        }
        StatedId::BadStem(stem) => decoder.error_with_hint(
            object.at,
            format!("the file's name {} is not a valid id", quoted(stem)),
            "give the document an `id:`, of a-z, 0-9, `.`, `_` and `-`",
        ),
        StatedId::Missing if !object.has("id") => decoder.error_with_hint(
            object.at,
            "`id` is missing",
            "the file's name is the default only if the file has one document",
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

/// Reports text that is not a valid id.
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
        Ok(id) => {
            decoder.error_with_hint(entry.value.at, message, format!("`{id}` would be valid"));
        }
        Err(_) => decoder.error(entry.value.at, message),
    }
}

pub(super) fn labels(decoder: &mut Decoder<'_>, entry: &Entry<'_>, path: &str) -> Labels {
    let entries = decoder.map(&entry.value, path).unwrap_or_default();
    entries
        .iter()
        .filter_map(|label| {
            let path = format!("{path}.{}", label.key);
            let text = decoder.text(&label.value, &path)?;
            Some((label.key.to_string(), text))
        })
        .collect()
}

/// Reads the program of a document, which has exactly one of `workflow` and `do`.
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
            decoder.error(entry.at, format!("`{}` needs `do`", entry.key));
        }
    }
    let block = block.and_then(|entry| workflow(decoder, entry));
    let steps = steps(decoder, node, object);
    block
        .map(Program::Workflow)
        .or_else(|| steps.map(|steps| Program::Steps(steps.into())))
}

/// The place of a key inside a block.
fn inner(object: &Object<'_>, block: &str, key: &str) -> Option<Place> {
    object.get(block)?.value.entry(key).map(|entry| entry.at)
}

/// Kind that a document states; `workflow` if it states none. `None` for an unknown kind, which is
/// reported.
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
            format!(
                "`kind` must be a known kind, not {}",
                describe(&entry.value)
            ),
            nearest::hint(&entry.value.text, &Kind::ALL.map(Kind::as_str))
                .unwrap_or_else(|| "the kinds are workflow, event_type and calendar".to_owned()),
        );
    }
    known
}
