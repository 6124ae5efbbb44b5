//! The triggers of a definition, in Almanac's form and in the specification's. The step language
//! reads them. Each problem is reported at its place in the text.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use almanac_base::duration::show;
use almanac_base::json_text::JsonText;
use almanac_base::names::DefinitionId;
use almanac_steps::language::{self, Problem, ReadTriggers};
use serde_json::{Map, Value as Json};

use super::decode::{Decoder, Object};
use super::source::Place;
use super::steps::{finding, lenient, ows_duration, report};
use super::yaml::{Entry, Node, Value};
use super::{Again, Program, Triggers};

/// Minimum of `schedule.after`.
pub(super) const SHORTEST_DELAY: Duration = Duration::from_secs(1);

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
    for item in items {
        if let Some(event) = item.entry("event") {
            name(decoder, &event.value);
        }
        if let Some(after) = item.entry("after") {
            let definition = after.value.text.parse().ok();
            decoder.after.extend(definition.map(|id| (id, after.at)));
        }
    }
    Some(triggers)
}

/// Adds `schedule.after` in Almanac's form to the triggers.
pub(super) fn with_again(mut triggers: Triggers, again: Again) -> Triggers {
    let mut text = Map::new();
    if !triggers.list.is_empty() {
        text.insert("triggers".to_owned(), triggers.text.value());
    }
    text.insert("after".to_owned(), Json::from(show(again.delay)));
    if let Some(input) = &again.input {
        text.insert("input".to_owned(), input.value());
    }
    if !again.enabled {
        text.insert("enabled".to_owned(), Json::from(false));
    }
    triggers.text = JsonText::from(Json::Object(text));
    triggers.again = Some(again);
    triggers
}

/// Reads `on`, `read` and `after` of a document's `schedule`, in the specification's form.
pub(super) fn ows_triggers(
    decoder: &mut Decoder<'_>,
    root: &Node<'_>,
    object: &Object<'_>,
) -> Option<Triggers> {
    let triggers = schedule_on(decoder, root, object);
    let Some(entry) = object.get("after") else {
        return triggers;
    };
    let delay = ows_duration(decoder, root, "schedule", "after")?;
    check_delay(decoder, entry, delay)?;
    let mut triggers = triggers.unwrap_or_default();
    let mut text = match triggers.text.value() {
        Json::Object(text) => text,
        _ => Map::new(),
    };
    text.insert("after".to_owned(), Json::from(show(delay)));
    triggers.text = JsonText::from(Json::Object(text));
    triggers.again = Some(Again {
        delay,
        input: None,
        enabled: true,
    });
    Some(triggers)
}

/// Reports a delay that is too short. `None` if it is.
pub(super) fn check_delay(
    decoder: &mut Decoder<'_>,
    entry: &Entry<'_>,
    delay: Duration,
) -> Option<()> {
    if delay >= SHORTEST_DELAY {
        return Some(());
    }
    decoder.error(
        entry.value.at,
        format!("`schedule.after` must be at least {}", show(SHORTEST_DELAY)),
    );
    None
}

/// Reports a trigger with `after` that names its own definition.
pub(super) fn check_after(decoder: &mut Decoder<'_>, id: &DefinitionId) {
    let own: Vec<_> = decoder
        .after
        .iter()
        .filter(|(after, _)| after == id)
        .collect();
    let places: Vec<_> = own.iter().map(|(_, at)| *at).collect();
    for at in places {
        decoder.error_with_hint(
            at,
            format!("`after` names its own definition `{id}`"),
            "to start the definition again some time after its own run, write \
             `schedule: { after: PT1H }`",
        );
    }
}

/// Reads `on` and `read` of a document's `schedule`, in the specification's form.
fn schedule_on(
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
                again: None,
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
