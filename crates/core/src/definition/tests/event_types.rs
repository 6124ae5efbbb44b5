//! Documents of `kind: event_type`.

use serde_json::json;

use super::{parse, rendered, report};
use crate::definition::{Kind, Parsed};

pub(super) const PAID: &str = r#"
kind: event_type
id: order.paid
description: An order was paid
labels: { team: billing }
schema:
  type: object
  required: [order_id, amount]
  properties:
    order_id: { type: string }
    amount: { type: number, minimum: 0 }
examples:
  - { order_id: "A-1", amount: 12.5 }
"#;

#[test]
fn an_event_type_is_read_whole() {
    let documents = parse(PAID);
    let document = &documents[0];
    assert_eq!(document.warnings, [], "{}", rendered(&document.warnings));
    assert_eq!(document.kind, Kind::EventType);
    let Ok(Parsed::EventType(paid)) = &document.result else {
        panic!("{:?}", document.result)
    };
    assert_eq!(paid.id.as_str(), "order.paid");
    assert_eq!(paid.description.as_deref(), Some("An order was paid"));
    let schema = paid.schema.as_ref().unwrap();
    assert_eq!(schema.as_value()["required"], json!(["order_id", "amount"]));
}

#[test]
fn every_part_counts_for_the_revision() {
    let revision = |text: &str| match &parse(text)[0].result {
        Ok(Parsed::EventType(one)) => one.revision.to_string(),
        other => panic!("{other:?}"),
    };
    let before = revision(PAID);
    for (from, to) in [
        ("id: order.paid", "id: order.paid\ntype: OrderPaid"),
        ("was paid", "was settled"),
        ("billing", "sales"),
        ("minimum: 0", "minimum: 1"),
    ] {
        assert_ne!(before, revision(&PAID.replace(from, to)), "{to}");
    }
    // A stated type that is the default changes nothing.
    let same = PAID.replace("id: order.paid", "id: order.paid\ntype: order.paid");
    assert_eq!(before, revision(&same));
    // The examples only check the schema.
    assert_eq!(before, revision(&PAID.replace("12.5", "13")));
}

#[test]
fn a_type_has_characters_that_an_id_cannot_have() {
    let of = |kind: &str| {
        let text = format!("kind: event_type\nid: paid\ntype: {kind}\n");
        let Ok(Parsed::EventType(one)) = &parse(&text)[0].result else {
            panic!("{kind}")
        };
        one.kind.clone()
    };
    for kind in ["OrderPaid", "com.example/order_paid:v2", &"x".repeat(256)] {
        assert_eq!(of(kind), kind);
    }
    let Ok(Parsed::EventType(paid)) = &parse(PAID)[0].result else {
        panic!("no event type")
    };
    assert_eq!(paid.kind, "order.paid");
    for (kind, expected) in [
        ("''", "`type` is empty"),
        (
            "'Order Paid'",
            "`type` must be a type without spaces, not `Order Paid`",
        ),
        ("\"a\\u0007\"", "`type` must be a type without spaces"),
        (
            &"x".repeat(257),
            "`type` has 257 bytes, over the limit of 256",
        ),
        ("5", "`type` must be"),
    ] {
        let found = report(&format!("kind: event_type\nid: paid\ntype: {kind}\n"));
        assert!(found.contains(&format!("3:7: {expected}")), "{found}");
    }
}

#[test]
fn mistakes_are_found_at_their_places() {
    let found = report(
        r#"kind: event_type
id: Order Paid
schema:
  type: objekt
  $ref: other.json
  pattern: "^a"
examples: {}
---
kind: event_type
id: order.paid
schema: { type: object, required: [order_id] }
examples:
  - { order_id: 1 }
  - { order: 1 }
  - 5
exampels: []
---
kind: event_type
id: any
---
kind: event_type
id: none
schema: []
"#,
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:2:5: `id` must be 1 to 128 of a-z, 0-9, `.`, `_` and `-` and begin with a letter or digit, not `Order Paid`
      2 | id: Order Paid
        |     ^
      hint: `order-paid` would be valid
    jobs/nightly.yaml:4:9: `schema/type` must be one of object, array, string, boolean, integer, number, null, or a list of these, not the text `objekt`
      4 |   type: objekt
        |         ^
    jobs/nightly.yaml:5:3: `schema/$ref` is not supported
      5 |   $ref: other.json
        |   ^
    jobs/nightly.yaml:6:3: `schema/pattern` is not supported
      6 |   pattern: "^a"
        |   ^
    jobs/nightly.yaml:7:11: `examples` must be a list of examples of the data, not a map
      7 | examples: {}
        |           ^
    jobs/nightly.yaml:14:5: `examples[1]` does not match the schema: the value lacks `order_id`
      14 |   - { order: 1 }
         |     ^
    jobs/nightly.yaml:15:5: `examples[2]` does not match the schema: the value must have the type "object", not `5`
      15 |   - 5
         |     ^
    jobs/nightly.yaml:16:1: unknown key `exampels` in an event type's document
      16 | exampels: []
         | ^
      hint: did you mean `examples`?
    jobs/nightly.yaml:23:9: `schema` must be a JSON Schema, not an empty list
      23 | schema: []
         |         ^
    "#);
}

#[test]
fn the_number_of_examples_has_a_limit() {
    let with = |count: usize| {
        format!(
            "kind: event_type\nid: a\nexamples: [{}]\n",
            vec!["1"; count].join(", ")
        )
    };
    assert_eq!(report(&with(100)), "");
    insta::assert_snapshot!(report(&with(101)).lines().next().unwrap(), @"jobs/nightly.yaml:3:11: `examples` has 101 entries, over the limit of 100");
}
