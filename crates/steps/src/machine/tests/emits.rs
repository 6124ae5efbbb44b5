//! Tests of `emit`.

use serde_json::{Value, json};

use super::{Run, nobody};
use crate::machine::{Command, Effect, Status};

#[test]
fn an_event_is_published_whole() {
    let steps = json!([{ "tell": { "emit": { "event": { "with": { "type": "paid", "data": { "n": "${ .n }" }, "tenant": "x" } } } } }]);
    let mut run = Run::new(&steps, json!({ "n": 5 }), nobody);
    let Status::Completed(output) = run.go() else {
        unreachable!()
    };
    let Some(Command::Start {
        effect: Effect::Emit { event },
        task,
        ..
    }) = run.commands.first()
    else {
        unreachable!()
    };
    assert_eq!((event, task.as_str()), (&output, "/do/0/tell"));
    insta::assert_json_snapshot!(output, @r#"
    {
      "data": {
        "n": 5
      },
      "id": "test/run/1",
      "source": "almanac/test",
      "specversion": "1.0",
      "tenant": "x",
      "time": "1970-01-01T00:00:00Z",
      "type": "paid"
    }
    "#);
}

/// The status of a run after an `emit` with these attributes.
fn emitted(with: &Value) -> Status {
    let steps = json!([{ "tell": { "emit": { "event": { "with": with } } } }]);
    Run::new(&steps, json!({ "n": 5 }), nobody).go()
}

#[test]
fn attributes_can_be_expressions_and_null_attributes_are_left_out() {
    let event = emitted(&json!({
        "type": "${ \"paid.\\(.n)\" }", "subject": "${ .nothing }", "id": "${ .nothing }",
        "data": "${ .nothing }", "count": "${ .n }", "good": true, "time": "2026-01-31T08:00:00+01:00",
    }));
    let Status::Completed(event) = event else {
        panic!("{event:?}")
    };
    let wanted = json!({
        "specversion": "1.0", "type": "paid.5", "id": "test/run/1", "source": "almanac/test",
        "data": null, "count": 5, "good": true, "time": "2026-01-31T08:00:00+01:00",
    });
    assert_eq!(event, wanted);
}

#[test]
fn a_value_that_is_no_event_is_an_error() {
    for (name, value) in [
        ("type", json!("${ .nothing }")),
        ("type", json!("${ .n }")),
        ("source", json!("${ \"https://x.example/a b\" }")),
        ("dataschema", json!("${ \"{x}\" }")),
        ("time", json!("${ \"yesterday\" }")),
        ("subject", json!("${ \"\" }")),
        ("tenant", json!("${ [] }")),
        ("tenant", json!("${ 1.5 }")),
        ("tenant", json!("${ 4000000000 }")),
    ] {
        let mut with = json!({ "type": "t" });
        with[name] = value;
        let Status::Faulted(fault) = emitted(&with) else {
            panic!("{with}")
        };
        assert!(fault.kind.ends_with("/errors/expression"), "{fault}");
        let detail = fault.detail.unwrap();
        assert!(detail.starts_with(&format!("`{name}` must be")), "{detail}");
    }
}

/// A new one when the step is done again, and the same in each replay.
#[test]
fn each_event_has_an_id_of_its_own() {
    let emit = json!({ "emit": { "event": { "with": { "type": "t" } } }, "output": { "as": "${ [.id] }" } });
    let steps = json!([{ "all": { "for": { "in": [1, 2] }, "do": [{ "tell": emit, }, { "keep": { "set": "${ . }", "export": { "as": "($context // []) + ." } } }] } }, { "ids": { "set": { "ids": "${ $context }" } } }]);
    let ran = || Run::new(&steps, json!(null), nobody).go();
    let Status::Completed(ids) = ran() else {
        panic!()
    };
    assert_eq!(ids, json!({ "ids": ["test/run/1", "test/run/2"] }));
    assert_eq!(ran(), Status::Completed(ids));
}
