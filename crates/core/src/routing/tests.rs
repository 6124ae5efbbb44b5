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
    TriggerIndex::of(&snapshot(documents)).routes(&project, event, Maker::Other, now())
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
fn data_is_checked_by_the_type_that_a_document_states() {
    let paid = "kind: event_type\nid: x\ntype: OrderPaid\nschema: { type: object }\n";
    let (by_type, by_id) = (
        triggered("a", "  - event: OrderPaid"),
        triggered("b", "  - event: x"),
    );
    let documents = [paid, &by_type, &by_id];
    let found = shown(&documents, &event("OrderPaid", json!(5)));
    assert!(
        found[0].starts_with("a: the data does not match the schema of event type `OrderPaid`"),
        "{found:?}"
    );
    assert_eq!(shown(&documents, &event("x", json!(5))), ["b 5"]);
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

/// The definitions that take an event about a run of `subject`, with the input or the refusal.
fn about_run(
    documents: &[&str],
    kind: &str,
    subject: &str,
    data: impl Into<Value>,
    made_by: Maker,
) -> Vec<(String, Result<Value, String>)> {
    let project: Project = "shop".parse().unwrap();
    let mut event = event(kind, data);
    event["subject"] = subject.into();
    let index = TriggerIndex::of(&snapshot(documents));
    let routes = index.routes(&project, &event, made_by, now());
    let input = |route: &Route| route.run.clone().map(|run| run.input);
    routes
        .iter()
        .map(|route| (route.definition.id.to_string(), input(route)))
        .collect()
}

fn ids(taken: &[(String, Result<Value, String>)]) -> Vec<&str> {
    taken.iter().map(|(id, _)| id.as_str()).collect()
}

#[test]
fn the_end_of_a_run_starts_those_that_name_its_definition_and_its_outcome() {
    let documents = [
        triggered("completed", "  - after: extract"),
        triggered("failed", "  - { after: extract, outcome: failed }"),
        triggered("any", "  - { after: extract, outcome: any }"),
        triggered("other", "  - after: another"),
        triggered("alert", "  - event: almanac.run.failed"),
        triggered("off", "  - { after: extract, enabled: false }"),
    ];
    let documents: Vec<_> = documents.iter().map(String::as_str).collect();
    let taken = |kind: &str| {
        let data = json!({ "status": "x" });
        let taken = about_run(&documents, kind, "extract", data, Maker::Almanac);
        ids(&taken).join(" ")
    };
    assert_eq!(taken("almanac.run.completed"), "any completed");
    assert_eq!(taken("almanac.run.failed"), "alert any failed");
    assert_eq!(taken("almanac.run.late"), "");
}

#[test]
fn only_almanac_makes_events_about_runs() {
    let load = triggered("load", "  - after: extract");
    let taken = |made_by| {
        about_run(&[&load], "almanac.run.completed", "extract", 1, made_by)
            .remove(0)
            .1
    };
    assert_eq!(taken(Maker::Almanac), Ok(json!(1)));
    let refusal = taken(Maker::Other).unwrap_err();
    assert!(refusal.contains("only Almanac makes"), "{refusal}");
}

#[test]
fn a_trigger_for_any_event_does_not_take_the_ends_of_runs() {
    let any = format!(
        "document: {{ dsl: '1.0.3', namespace: n, name: any, version: '0.1.0' }}\n\
         schedule: {{ on: {{ any: [] }} }}\n{STEPS}"
    );
    let taken = |kind: &str| about_run(&[&any], kind, "extract", 1, Maker::Almanac).len();
    assert_eq!(
        (taken("order.paid"), taken("almanac.run.completed")),
        (1, 0)
    );
}

#[test]
fn the_end_of_an_own_run_starts_a_definition_only_if_it_names_itself() {
    let alert = triggered("alert", "  - event: almanac.run.failed");
    let taken = |subject: &str| {
        about_run(&[&alert], "almanac.run.failed", subject, 1, Maker::Almanac).len()
    };
    assert_eq!((taken("extract"), taken("alert")), (1, 0));
    let own = format!(
        "document: {{ dsl: '1.0.3', namespace: n, name: own, version: '0.1.0' }}\n\
         schedule: {{ on: {{ one: {{ with: {{ type: almanac.run.failed, subject: own }} }} }} }}\n{STEPS}"
    );
    assert_eq!(
        about_run(&[&own], "almanac.run.failed", "own", 1, Maker::Almanac).len(),
        1
    );
}

#[test]
fn an_end_after_the_deadline_starts_nothing() {
    let load = triggered("load", "  - { after: extract, within: 1h }");
    let plain = triggered("plain", "  - after: extract");
    let taken = |ended: &str| {
        let data = json!({ "started_at": "2026-01-06T01:00:00Z", "ended_at": ended });
        let documents: [&str; 2] = [&load, &plain];
        let kind = "almanac.run.completed";
        let taken = about_run(&documents, kind, "extract", data, Maker::Almanac);
        ids(&taken).join(" ")
    };
    assert_eq!(taken("2026-01-06T02:00:00Z"), "load plain");
    assert_eq!(taken("2026-01-06T02:00:01Z"), "plain");
    assert_eq!(taken("soon"), "plain");
}

#[test]
fn a_deadline_that_passed_concerns_the_triggers_that_state_it() {
    let documents = [
        triggered("run", "  - { after: extract, within: 1h, else: run }"),
        triggered("fail", "  - { after: extract, within: 1h, else: fail }"),
        triggered("skip", "  - { after: extract, within: 1h }"),
        triggered("longer", "  - { after: extract, within: 2h, else: run }"),
        triggered(
            "any",
            "  - { after: extract, within: 1h, outcome: any, else: run }",
        ),
        triggered("plain", "  - after: extract"),
        triggered("alert", "  - event: almanac.run.late"),
    ];
    let documents: Vec<_> = documents.iter().map(String::as_str).collect();
    let data = json!({
        "definition": "extract", "workflow_id": "shop/extract-1", "outcome": "completed",
        "within_seconds": 3600, "started_at": "2026-01-06T01:00:00Z",
    });
    let taken = about_run(
        &documents,
        "almanac.run.late",
        "extract",
        data,
        Maker::Almanac,
    );
    assert_eq!(ids(&taken), ["alert", "fail", "run"]);
    assert!(taken[0].1.is_ok() && taken[2].1.is_ok());
    assert_eq!(
        taken[1].1.clone().unwrap_err(),
        "no run of `extract` completed within 1h after the run `shop/extract-1` began at \
         2026-01-06T01:00:00Z"
    );
}

#[test]
fn a_chain_of_ends_has_a_limit() {
    let load = triggered("load", "  - after: extract");
    let project: Project = "shop".parse().unwrap();
    let run = |depth: u32| {
        let mut event = event("almanac.run.completed", 1);
        event["subject"] = "extract".into();
        event[DEPTH_ATTRIBUTE] = depth.into();
        let index = TriggerIndex::of(&snapshot(&[&load]));
        index.routes(&project, &event, Maker::Almanac, now())[0]
            .run
            .clone()
    };
    assert!(run(CHAIN_LIMIT - 1).is_ok());
    assert!(run(CHAIN_LIMIT).unwrap_err().contains("chain of 16 runs"));
}
