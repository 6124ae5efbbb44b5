//! The list of a worker to which no event has come: how to send the first one.

use almanac_core::event_types::EventTypes;
use maud::{Markup, html};

use crate::wording::shell_word;

/// A type of events, and a definition that such an event starts.
pub(super) const EXAMPLE: [(&str, &str); 8] = [
    ("kind: event_type", "a type of events"),
    (
        "id: com.example.hello",
        "its name; events of this type name it",
    ),
    (
        "schema: { type: object, required: [name] }",
        "what the data of such an event must have",
    ),
    ("---", "another document in the same file"),
    ("id: greet", "the name of a definition"),
    (
        "triggers: [{ event: com.example.hello }]",
        "an event of the type starts it; the data is the run's input",
    ),
    ("do:", "the steps of a run"),
    (
        "  - say: { set: { hello: '${ .name }' } }",
        "the first step",
    ),
];

/// Data of an event of the example's type.
const DATA: &str = r#"'{"name": "Ada"}'"#;

pub(super) fn section(types: &EventTypes, folders: &[String], may_operate: bool) -> Markup {
    let mut known = types.types.iter();
    let taken = known.find(|(_, one)| !one.triggers.is_empty());
    let has_triggers = taken.is_some() || !types.any_type.is_empty();
    let kind = taken.map_or("com.example.hello", |(name, _)| name.as_str());
    html! {
        div.begin {
            h2 { "No event has come to this worker yet" }
            @if has_triggers {
                p.lede { "Triggers wait for events. Send one that a trigger takes:" }
            } @else {
                p.lede {
                    "No trigger waits for events. Save these lines as " span.mono.file { "hello.yaml" } " in "
                    @for (place, folder) in folders.iter().enumerate() {
                        @if place > 0 { " or " }
                        span.mono.file { (folder) }
                    }
                    "."
                }
                ol.six {
                    @for (number, (line, meaning)) in (1..).zip(EXAMPLE) {
                        li { code { i { (number) } (line) } span.say { (meaning) } }
                    }
                }
                p.lede { "Then send an event of this type:" }
            }
            p { code.command { "almanac events send " (shell_word(kind)) " --data " @if has_triggers { "'{ … }'" } @else { (DATA) } } }
            p.dim {
                "The command prints the runs that the event starts, and the delivery appears here. Programs send "
                "CloudEvents to " code { "POST /events" } "."
                @if !may_operate { " Sending needs the scope " code { "almanac:operate" } "." }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use almanac_core::definition::{ParseContext, Parsed, parse_file};
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_example_is_valid_and_its_event_starts_the_definition() {
        let text = EXAMPLE.map(|(line, _)| line).join("\n");
        let context = ParseContext {
            now: Timestamp::UNIX_EPOCH,
        };
        let mut parsed = parse_file("hello.yaml", text.as_bytes(), &context)
            .into_iter()
            .map(|document| document.result.unwrap());
        let Some(Parsed::EventType(kind)) = parsed.next() else {
            panic!("no type of events");
        };
        let Some(Parsed::Definition(definition)) = parsed.next() else {
            panic!("no definition");
        };
        assert_eq!(definition.triggers.list.len(), 1);
        let data = serde_json::from_str(DATA.trim_matches('\'')).unwrap();
        let schema = kind.schema.as_ref().unwrap();
        assert!(schema.check(&data).0.is_ok());
        assert!(schema.check(&json!({})).0.is_err());
        assert!(text.contains(kind.id.as_str()));
    }
}
