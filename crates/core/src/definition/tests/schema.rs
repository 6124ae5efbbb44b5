//! The JSON Schema agrees with the parser: key by key, and for documents that are good, random, or
//! wrong in a way that a schema can see.

use almanac_base::shape::Shape;
use almanac_steps::language;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::good::{FULL, OWS, STEPS};
use super::parse;
use crate::definition::decode::Decoder;
use crate::definition::source::{Lines, documents};
use crate::definition::{
    calendar, day_calendar, document, event_type, json_schema, ows, schedule, webhook, workflow,
    yaml,
};

/// Every object that the parser reads, and where the schema describes it.
const SHAPES: [(&Shape, &str); 13] = [
    (&document::DOCUMENT, "/definitions/definition"),
    (&schedule::SCHEDULE, "/definitions/schedule"),
    (&schedule::EVERY, "/definitions/every/anyOf/1"),
    (&calendar::CALENDAR, "/definitions/calendar"),
    (&calendar::EXCLUSION, "/definitions/exclusion"),
    (&day_calendar::DAY_CALENDAR, "/definitions/day_calendar"),
    (
        &day_calendar::RULE,
        "/definitions/day_calendar/properties/dates/items/anyOf/1",
    ),
    (&event_type::EVENT_TYPE, "/definitions/event_type"),
    (&webhook::WEBHOOK, "/definitions/webhook"),
    (&workflow::WORKFLOW, "/definitions/workflow"),
    (&workflow::RETRY, "/definitions/retry"),
    (&ows::OWS, "/definitions/ows"),
    (&ows::HEADER, "/definitions/ows_header"),
];

fn keys(map: Option<&Value>) -> Vec<&str> {
    let keys = map.and_then(Value::as_object).unwrap().keys();
    let mut keys: Vec<&str> = keys.map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn schema_and_parser_know_the_same_keys() {
    let schema = json_schema();
    let mut described = vec!["/definitions/ows_schedule".to_owned()];
    let documents = SHAPES
        .into_iter()
        .chain([(&ows::SCHEDULE, "/definitions/ows_schedule")])
        .map(|(shape, at)| (shape.keys, at.to_owned()));
    let steps = language::SHAPES
        .iter()
        .map(|(shape, name)| (shape.keys, format!("/definitions/{name}")));
    for (keys_read, at) in documents.chain(steps) {
        let object = schema.pointer(&at).unwrap();
        let mut known = keys_read.to_vec();
        known.sort_unstable();
        assert_eq!(keys(object.get("properties")), known, "{at}");
        assert_eq!(object["additionalProperties"], json!(false), "{at}");
        described.push(at);
    }
    // And no object of the schema is without its shape.
    let mut found = Vec::new();
    objects(&schema, &mut String::new(), &mut found);
    described.sort();
    described.dedup();
    found.sort();
    assert_eq!(found, described);
}

/// The places of all objects with fixed keys.
fn objects(schema: &Value, at: &mut String, found: &mut Vec<String>) {
    if schema.get("additionalProperties") == Some(&json!(false)) {
        found.push(at.clone());
    }
    let children: Vec<(String, &Value)> = match schema {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(n, item)| (n.to_string(), item))
            .collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        let length = at.len();
        at.push('/');
        at.push_str(&key);
        objects(child, at, found);
        at.truncate(length);
    }
}

/// The first document of a text as JSON.
pub(super) fn to_json(text: &str) -> Value {
    let documents = documents(text.as_bytes());
    let lines = Lines::new(&documents[0]);
    let mut decoder = Decoder::new(&lines);
    let root = yaml::parse(text, 1, &mut decoder.errors).unwrap();
    decoder.json(&root).unwrap()
}

#[track_caller]
pub(super) fn accepted(text: &str) {
    if let Err(error) = validate(&json_schema(), &to_json(text)) {
        panic!("{error}\n{text}");
    }
}

#[test]
fn good_documents_satisfy_the_schema() {
    for text in [
        FULL,
        STEPS,
        OWS,
        super::calendars::HOLIDAYS,
        super::event_types::PAID,
        super::webhooks::PAID,
        super::webhooks::SHOP,
        super::triggers::TRIGGERED,
        super::triggers::OWS_ON,
        super::after::LOAD,
        super::after::AGAIN,
        super::after::OWS_AFTER,
    ] {
        accepted(text);
    }
    accepted(
        "schedule: { every: 1h, exclude: [{ calendar: x }, { hour: 1, minute: 2 }] }\ndo: [a: { wait: PT1S }]",
    );
    accepted(
        "schedule: { every: [1h30m, PT1.5H, { interval: 2w }], cron: [a], catchup_window: P1DT2H }\ndo: [a: { wait: P1W }]",
    );
}

#[test]
fn the_schema_refuses_the_mistakes_that_it_can_express() {
    let good = "id: a\nschedule: { every: 1h }\nworkflow: { type: T, task_queue: q }\n";
    accepted(good);
    assert!(parse(good)[0].result.is_ok());
    for (from, to) in [
        ("id: a", "id: A"),
        ("id: a", "idd: a"),
        ("id: a", "kind: cron"),
        ("id: a", "enabled: on"),
        ("id: a", "labels: { a: 1 }"),
        ("id: a", "do: [a: { wait: PT1S }]"),
        ("id: a", "triggers: [{ when: .x }]"),
        ("id: a", "triggers: [{ after: b, event: c }]"),
        ("id: a", "triggers: [{ after: B }]"),
        ("id: a", "triggers: [{ after: b, outcome: ok }]"),
        ("id: a", "triggers: [{ after: b, within: 1, else: run }]"),
        ("id: a", "triggers: [{ after: b, within: 1h, else: stop }]"),
        ("every: 1h", "every: 90"),
        ("every: 1h", "every: 1 hour"),
        ("every: 1h", "every: P1M"),
        ("every: 1h", "every: {}"),
        ("every: 1h", "every: { offset: 1m }"),
        ("every: 1h", "every: []"),
        ("every: 1h", "jitter: 1s"),
        ("every: 1h", "cron: 5"),
        ("every: 1h", "calendars: [{}]"),
        ("every: 1h", "after: [1h]"),
        ("every: 1h", "after: { definition: a }"),
        ("every: 1h", "calendars: { hour: 1 }"),
        ("every: 1h", "calendars: [{ hour: [1] }]"),
        ("every: 1h", "every: 1h, overlap_policy: queue"),
        ("every: 1h", "every: 1h, max_actions: 0"),
        ("every: 1h", "every: 1h, exclude: [{ calendar: X }]"),
        (
            "every: 1h",
            "every: 1h, exclude: [{ calendar: x, hour: 1 }]",
        ),
        ("every: 1h", "every: 1h, exclude: [{ calendar: [x] }]"),
        ("every: 1h", "every: 1h, calendars: [{ calendar: x }]"),
        ("id: a", "kind: calendar"),
        ("type: T, ", ""),
        ("type: T", "type: T, args: x"),
        ("type: T", "type: T, priority: 6"),
        ("type: T", "type: T, memo: { almanac: 1 }"),
        ("type: T", "type: T, retry: { backoff_coefficient: 0.5 }"),
        ("type: T", "type: T, search_attributes: { A: [1] }"),
        ("workflow: { type: T, task_queue: q }", "do: []"),
        ("workflow: { type: T, task_queue: q }", "do: [a: {}]"),
        ("workflow: { type: T, task_queue: q }", ""),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good);
        assert!(parse(&bad)[0].result.is_err(), "the parser takes\n{bad}");
        assert!(
            validate(&json_schema(), &to_json(&bad)).is_err(),
            "the schema takes\n{bad}"
        );
    }
}

#[test]
fn the_schema_refuses_the_mistakes_in_calendars_that_it_can_express() {
    let good = "kind: calendar\nid: a\ndates: [2026-12-24]\n";
    accepted(good);
    assert!(parse(good)[0].result.is_ok());
    for (from, to) in [
        ("id: a", "id: A"),
        ("id: a", "enabled: true"),
        ("id: a", "labels: { a: 1 }"),
        ("dates: [2026-12-24]", ""),
        ("dates: [2026-12-24]", "dates: []"),
        ("dates: [2026-12-24]", "dates: 2026-12-24"),
        ("2026-12-24", "20261224"),
        ("2026-12-24", "2026-12"),
        ("2026-12-24", "24.12.2026"),
        ("2026-12-24", "2026-12-24/"),
        ("2026-12-24", "2026-12-24 /2026-12-25"),
        ("2026-12-24", "{}"),
        ("2026-12-24", "{ hour: 5 }"),
        ("2026-12-24", "{ month: [5] }"),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good);
        assert!(parse(&bad)[0].result.is_err(), "the parser takes\n{bad}");
        assert!(
            validate(&json_schema(), &to_json(&bad)).is_err(),
            "the schema takes\n{bad}"
        );
    }
}

fn durations() -> impl Strategy<Value = String> {
    let iso = "P([1-9]D)?(T[1-9]H)?([1-9]M|T[1-9]M)?(T?[0-9.]{1,3}S)?";
    prop_oneof![
        "[0-9]{1,3}(\\.[0-9])?(w|d|h|m|s|ms|x)",
        "([1-9]h)?([1-9]m)?([1-9]s)?",
        iso
    ]
}

proptest! {
    /// The pattern is no parser: it may take more, and never less.
    #[test]
    fn every_duration_that_the_parser_takes_fits_the_pattern(text in durations()) {
        let file = format!("schedule: {{ every: 1h, jitter: \"{text}\" }}\ndo: [a: {{ wait: PT1S }}]");
        if parse(&file)[0].result.is_ok() {
            prop_assert_eq!(validate(&json_schema(), &to_json(&file)), Ok(()));
        }
    }
}

/// Validates by the part of draft-07 that the schema uses; an unknown keyword
/// is an error, so that none is passed over.
pub(super) fn validate(root: &Value, value: &Value) -> Result<(), String> {
    check(root, root.as_object().unwrap(), value, "")
}

fn check(root: &Value, schema: &Map<String, Value>, value: &Value, at: &str) -> Result<(), String> {
    let sub = |schema: &Value, value: &Value, at: &str| {
        check(root, schema.as_object().unwrap(), value, at)
    };
    let fits = |schema: &Value| sub(schema, value, at).is_ok();
    let list = |schema: &Value| schema.as_array().unwrap().clone();
    let number = |limit: &Value| limit.as_f64().unwrap();
    let size = |limit: &Value| usize::try_from(limit.as_u64().unwrap()).unwrap();
    for (keyword, rule) in schema {
        let good = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "definitions" | "then" | "else"
            | "format" => true,
            "$ref" => {
                let target = rule.as_str().unwrap().strip_prefix('#').unwrap();
                sub(root.pointer(target).unwrap(), value, at)?;
                true
            }
            "if" => {
                sub(&schema[if fits(rule) { "then" } else { "else" }], value, at)?;
                true
            }
            "type" => match rule {
                Value::Array(types) => types.iter().any(|name| has_type(value, name)),
                name => has_type(value, name),
            },
            "enum" => list(rule).contains(value),
            "not" => !fits(rule),
            "allOf" => {
                for schema in &list(rule) {
                    sub(schema, value, at)?;
                }
                true
            }
            "anyOf" => list(rule).iter().any(fits),
            "oneOf" => list(rule).iter().filter(|schema| fits(schema)).count() == 1,
            "required" => value.as_object().is_none_or(|map| {
                list(rule)
                    .iter()
                    .all(|key| map.contains_key(key.as_str().unwrap()))
            }),
            "properties" | "additionalProperties" => {
                for (key, child) in value.as_object().into_iter().flatten() {
                    let known = schema.get("properties").and_then(|known| known.get(key));
                    let others = schema.get("additionalProperties");
                    let rule = known.or(others).unwrap_or(&Value::Bool(true));
                    let at = format!("{at}.{key}");
                    match rule {
                        Value::Bool(true) => {}
                        Value::Bool(false) => return Err(format!("{at}: unknown key")),
                        schema => sub(schema, child, &at)?,
                    }
                }
                true
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    sub(rule, item, &format!("{at}[{index}]"))?;
                }
                true
            }
            "minItems" => value
                .as_array()
                .is_none_or(|items| items.len() >= size(rule)),
            "maxItems" => value
                .as_array()
                .is_none_or(|items| items.len() <= size(rule)),
            "uniqueItems" => value.as_array().is_none_or(|items| {
                let known = |(n, item): (usize, _)| items[..n].contains(item);
                !items.iter().enumerate().any(known)
            }),
            "minProperties" => value.as_object().is_none_or(|map| map.len() >= size(rule)),
            "maxProperties" => value.as_object().is_none_or(|map| map.len() <= size(rule)),
            "minLength" => value.as_str().is_none_or(|text| text.len() >= size(rule)),
            "maxLength" => value.as_str().is_none_or(|text| text.len() <= size(rule)),
            "minimum" => value.as_f64().is_none_or(|value| value >= number(rule)),
            "maximum" => value.as_f64().is_none_or(|value| value <= number(rule)),
            "pattern" => {
                let pattern = regex::Regex::new(rule.as_str().unwrap()).unwrap();
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            unknown => panic!("{unknown} is not known here"),
        };
        if !good {
            return Err(format!("{at}: {value} against {keyword} {rule}"));
        }
    }
    Ok(())
}

fn has_type(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        unknown => panic!("{unknown} is not known here"),
    }
}

/// The violation that `validate` finds in a text, for the tests of files.
pub(super) fn violation(text: &str) -> Option<String> {
    validate(&json_schema(), &to_json(text)).err()
}
