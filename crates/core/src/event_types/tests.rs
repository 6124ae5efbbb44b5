use std::sync::Arc;

use super::*;
use crate::definition::{ParseContext, Parsed, parse_file};
use crate::snapshot::{FailedDocument, Loaded, LoadedEventType};

const DOCUMENTS: &str = "
kind: event_type
id: com.shop.paid
schema: { type: object }
---
kind: event_type
id: com.shop.old
description: no longer sent
---
id: capture
triggers: [{ event: com.shop.paid }, { event: com.shop.paid, when: .data.amount > 9 }, { event: com.shop.new }]
do: [a: { wait: PT1S }]
---
id: off
enabled: false
triggers: [{ event: com.shop.off }]
do: [a: { wait: PT1S }]
---
id: half
triggers: [{ event: com.shop.paid, enabled: false }, { event: com.shop.new }]
do: [a: { wait: PT1S }]
---
document: { dsl: '1.0.3', namespace: default, name: any, version: '0.1.0' }
schedule: { on: { one: { with: { source: '${ startswith(\"/shop\") }' } } } }
do: [a: { wait: PT1S }]
";

fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    let now = "2026-01-06T12:00:00Z".parse().unwrap();
    for document in parse_file("a.yaml", DOCUMENTS.as_bytes(), &ParseContext { now }) {
        let (source, status) = ("a.yaml".to_owned(), LoadStatus::Loaded);
        match document.result.unwrap() {
            Parsed::Definition(definition) => {
                let id = definition.id.clone();
                let loaded = Loaded {
                    definition,
                    source,
                    status,
                };
                snapshot.definitions.insert(id, loaded);
            }
            Parsed::EventType(event_type) => {
                let id = event_type.id.clone();
                let is_old = id.as_str() == "com.shop.old";
                let loaded = LoadedEventType {
                    event_type: Arc::clone(&event_type),
                    source,
                    status: if is_old { LoadStatus::Stale } else { status },
                };
                snapshot.event_types.insert(id, loaded);
            }
            Parsed::Calendar(_) => panic!("a calendar"),
        }
    }
    let failed = |kind, id: &str| FailedDocument {
        source: "b.yaml".to_owned(),
        id: Some(id.parse().unwrap()),
        kind,
        errors: Vec::new(),
    };
    snapshot.failed = vec![
        failed(Kind::EventType, "com.shop.bad"),
        failed(Kind::EventType, "com.shop.old"),
        failed(Kind::Workflow, "com.shop.workflow"),
    ];
    snapshot
}

#[test]
fn a_type_is_known_by_its_document_or_by_an_enabled_trigger() {
    let all = EventTypes::of(&snapshot());
    let shown: Vec<_> = all
        .types
        .iter()
        .map(|(name, one)| {
            let triggers = one.triggers.iter();
            let triggers: Vec<_> = triggers.map(|(id, n)| format!("{id} {n}")).collect();
            (
                name.as_str(),
                one.status,
                one.has_schema,
                triggers.join(", "),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (
                "com.shop.bad",
                EventTypeStatus::Invalid,
                false,
                String::new()
            ),
            (
                "com.shop.new",
                EventTypeStatus::Undeclared,
                false,
                "capture 1, half 1".to_owned()
            ),
            ("com.shop.old", EventTypeStatus::Stale, false, String::new()),
            (
                "com.shop.paid",
                EventTypeStatus::Declared,
                true,
                "capture 2".to_owned()
            ),
        ]
    );
    assert_eq!(
        all.types["com.shop.old"].description.as_deref(),
        Some("no longer sent")
    );
    let any: Vec<_> = all
        .any_type
        .iter()
        .map(|(id, n)| (id.as_str(), *n))
        .collect();
    assert_eq!(any, [("any", 1)]);
}
