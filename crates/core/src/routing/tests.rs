use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::definition::{ParseContext, Parsed, parse_file};
use crate::snapshot::{LoadStatus, Loaded, LoadedEventType};

const STEPS: &str = "do: [a: { wait: PT1S }]\n";

fn now() -> Timestamp {
    "2026-01-06T12:00:00Z".parse().unwrap()
}

/// The snapshot of these documents.
fn snapshot(documents: &[&str]) -> Snapshot {
    let text = documents.join("---\n");
    let mut snapshot = Snapshot::default();
    for document in parse_file("a.yaml", text.as_bytes(), &ParseContext { now: now() }) {
        match document.result.unwrap() {
            Parsed::Definition(definition) => {
                let loaded = Loaded {
                    definition,
                    source: "a.yaml".to_owned(),
                    status: LoadStatus::Loaded,
                };
                snapshot
                    .definitions
                    .insert(loaded.definition.id.clone(), loaded);
            }
            Parsed::EventType(event_type) => {
                let loaded = LoadedEventType {
                    event_type,
                    source: "a.yaml".to_owned(),
                    status: LoadStatus::Loaded,
                };
                snapshot
                    .event_types
                    .insert(loaded.event_type.id.clone(), loaded);
            }
            Parsed::Calendar(_) => panic!("a calendar"),
        }
    }
    snapshot
}

fn triggered(id: &str, triggers: &str) -> String {
    format!("id: {id}\ntriggers:\n{triggers}\n{STEPS}")
}

fn event(kind: &str, data: impl Into<Value>) -> Value {
    json!({ "specversion": "1.0", "id": "1", "source": "/shop", "type": kind, "data": data.into() })
}

fn routes(documents: &[&str], event: &Value) -> Vec<Route> {
    let project: Project = "shop".parse().unwrap();
    TriggerIndex::of(&snapshot(documents)).routes(&project, event, now())
}

/// The definitions with the input of the run, or the reason of the refusal.
fn shown(documents: &[&str], event: &Value) -> Vec<String> {
    let routes = routes(documents, event);
    let all = routes.iter().map(|route| match &route.run {
        Ok(run) => format!("{} {}", route.definition.id, run.input),
        Err(reason) => format!("{}: {reason}", route.definition.id),
    });
    all.collect()
}

#[test]
fn an_event_goes_to_the_triggers_of_its_type() {
    let twice = triggered("a", "  - event: x\n  - event: x\n    when: .data > 5");
    let made = triggered("b", "  - event: x\n    input: { got: \"${ .data }\" }");
    let other = triggered("c", "  - event: y");
    let off = triggered("d", "  - event: x\n    enabled: false");
    let disabled = triggered("e", "  - event: x").replace("id: e", "id: e\nenabled: false");
    let any = "document: { dsl: '1.0.3', namespace: n, name: any, version: '1.0.0' }\n\
               schedule: { on: { any: [] } }\ndo: [a: { wait: PT1S }]\n";
    let documents = [&*twice, &made, &other, &off, &disabled, any];
    assert_eq!(
        shown(&documents, &event("x", json!(1))),
        ["a 1", "b {\"got\":1}", "any [1]"]
    );
    // Two runs of a definition would have the same workflow id: the first trigger decides.
    assert_eq!(
        shown(&documents, &event("x", json!(6))),
        ["a 6", "b {\"got\":6}", "any [6]"]
    );
    assert_eq!(shown(&documents, &event("z", json!(1))), ["any [1]"]);
}

#[test]
fn several_triggers_of_a_definition_start_runs_with_ids_of_their_own() {
    let ids =
        "  - event: x\n    workflow_id: one\n  - event: x\n    workflow_id: two\n  - event: x";
    let routes = routes(&[&triggered("a", ids)], &event("x", json!(1)));
    let triggers: Vec<u32> = routes.iter().map(|route| route.origin.trigger).collect();
    assert_eq!(triggers, [0, 1, 2]);
}

#[test]
fn an_input_that_temporal_would_not_take_is_refused() {
    let twice = "  - event: x\n    input: { a: '${ .data }', b: '${ .data }', c: '${ .data }' }";
    let event = event("x", "x".repeat(900_000));
    let shown = shown(&[&triggered("a", twice)], &event);
    assert_eq!(shown.len(), 1);
    assert!(
        shown[0].contains("over the limit of 2000000"),
        "{}",
        &shown[0][..100]
    );
}

#[test]
fn a_filter_of_the_specification_compares_attributes() {
    let on = "document: { dsl: '1.0.3', namespace: n, name: on, version: '1.0.0' }\n\
              schedule:\n  read: envelope\n  on:\n    any:\n\
              \x20     - with: { type: x, source: /shop, data: \"${ .bpm < 40 }\" }\n\
              \x20     - with: { type: y, subject: s }\ndo: [a: { wait: PT1S }]\n";
    let count = |event: &Value| routes(&[on], event).len();
    let low = event("x", json!({ "bpm": 39 }));
    assert_eq!(count(&low), 1);
    assert_eq!(
        routes(&[on], &low)[0].run.as_ref().unwrap().input,
        json!([low])
    );
    assert_eq!(count(&event("x", json!({ "bpm": 40 }))), 0);
    assert_eq!(count(&event("x", json!("text"))), 0);
    assert_eq!(count(&event("y", json!(1))), 0);
    let mut other = event("y", json!(1));
    other["subject"] = json!("s");
    assert_eq!(count(&other), 1);
}

#[test]
fn one_trigger_that_fails_does_not_affect_another() {
    let documents = [
        triggered("a", "  - event: x\n    when: .data | tonumber > 1"),
        triggered("b", "  - event: x\n    when: .data"),
        triggered("c", "  - event: x\n    input: .data | explode | error"),
        triggered("d", "  - event: x\n    workflow_id: ${ .data.id }"),
        triggered("e", "  - event: x\n    workflow_id: ${ \"\" }"),
        triggered("f", "  - event: x"),
    ];
    let documents = documents.each_ref().map(String::as_str);
    insta::assert_snapshot!(shown(&documents, &event("x", json!("text"))).join("\n"), @r#"
    a: `when`: `.data | tonumber > 1`: the expression failed: "text" is not a number
    b: `when` must be true or false, not the text `text`
    c: `input`: `.data | explode | error`: the expression failed: [116,101,120,116]
    d: `workflow_id`: `.data.id`: the expression failed: cannot index "text" with "id"
    e: `workflow_id` is empty
    f "text"
    "#);
}

#[test]
fn an_expensive_condition_ends() {
    let slow = triggered(
        "slow",
        "  - event: x\n    when: \"[range(1e9)] | length > 0\"",
    );
    let good = triggered("zz", "  - event: x");
    let found = shown(&[&slow, &good], &event("x", json!(1)));
    assert!(found[0].starts_with("slow: `when`: "), "{found:?}");
    assert_eq!(found[1], "zz 1");
}

#[test]
fn data_is_checked_after_the_condition() {
    let paid = "kind: event_type\nid: x\nschema: { type: object, required: [id] }\n";
    let a = triggered("a", "  - event: x\n    when: .data.id != 0");
    let b = triggered("b", "  - event: x\n    when: .data.id == 7");
    let documents = [paid, &a, &b];
    assert_eq!(
        shown(&documents, &event("x", json!({ "id": 7 }))),
        ["a {\"id\":7}", "b {\"id\":7}"]
    );
    insta::assert_snapshot!(shown(&documents, &event("x", json!({}))).join("\n"), @"a: the data does not match the schema of event type `x`: the value lacks `id`");
    // Without data, the schema sees null.
    let mut without = event("x", json!(0));
    without.as_object_mut().unwrap().remove("data");
    insta::assert_snapshot!(shown(&documents, &without).join("\n"), @r#"a: the data does not match the schema of event type `x`: the value must have the type "object", not nothing"#);
}

#[test]
fn a_workflow_id_is_derived_from_source_and_id() {
    let a = triggered("a", "  - event: x");
    let id = |source: &str, id: &str| {
        let mut event = event("x", json!(1));
        event["source"] = json!(source);
        event["id"] = json!(id);
        let run = routes(&[&a], &event)[0].run.clone().unwrap();
        assert!(run.is_derived);
        run.workflow_id
    };
    let first = id("/shop", "1");
    // A release that derives other ids would start the runs of old events again.
    insta::assert_snapshot!(first, @"shop/a/5256bedc5077cf8a1b0236c9573b0aca");
    let all: BTreeSet<String> = [
        ("/shop", "2"),
        ("/sho", "p1"),
        ("/shop1", ""),
        ("/other", "1"),
    ]
    .into_iter()
    .map(|(source, one)| id(source, one))
    .collect();
    assert_eq!(all.len(), 4);
    assert!(!all.contains(&first));
}

#[test]
fn a_stated_workflow_id_stays_within_its_definition() {
    let a = triggered("a", "  - event: x\n    workflow_id: ${ .data }");
    let run = |data: Value| routes(&[&a], &event("x", data))[0].run.clone();
    let stated = run(json!("../../almanac/shop/reconcile")).unwrap();
    assert!(!stated.is_derived);
    assert_eq!(stated.workflow_id, "shop/a/../../almanac/shop/reconcile");
    assert_eq!(run(json!(7)).unwrap().workflow_id, "shop/a/7");
    for (data, reason) in [
        (json!(null), "must be text"),
        (json!("a\nb"), "control characters"),
        (json!("x".repeat(701)), "over the limit of 700"),
    ] {
        let refused = run(data).unwrap_err();
        assert!(refused.contains(reason), "{refused}");
    }
    assert!(run(json!("x".repeat(700))).is_ok());
}

#[test]
fn a_chain_of_events_has_an_end() {
    let a = triggered("a", "  - event: x");
    let at = |depth: Value| {
        let mut event = event("x", json!(1));
        event[DEPTH_ATTRIBUTE] = depth;
        routes(&[&a], &event).remove(0)
    };
    let last = at(json!(CHAIN_LIMIT - 1));
    assert!(last.run.is_ok());
    assert_eq!(last.origin.depth, CHAIN_LIMIT - 1);
    let refused = at(json!(CHAIN_LIMIT)).run.unwrap_err();
    assert!(refused.contains("chain of 16 runs"), "{refused}");
    assert!(at(json!(u64::MAX)).run.is_err());
    // Text in the place of the number is another program's attribute.
    assert!(at(json!("16")).run.is_ok());
}
