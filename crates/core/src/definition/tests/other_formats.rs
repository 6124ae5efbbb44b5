//! Documents of other formats: one error each.

use super::{parse, report};

#[test]
fn a_definition_of_zigflow_gets_one_error_that_says_what_to_write() {
    let found = report(
        "document:
  dsl: 1.0.0
  taskQueue: zigflow
  workflowType: HelloWorld
  version: 0.0.1
  metadata: { activityOptions: { startToCloseTimeout: { minutes: 1 } } }
do:
  - greet: { set: { message: hello } }
",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:3:3: `document.taskQueue` is a key of Zigflow, whose definitions begin differently
      3 |   taskQueue: zigflow
        |   ^
      hint: write `name: helloworld` in place of `workflowType`, and `namespace: zigflow` in place of `taskQueue`: runs use the project's task queue; the options of a task are keys of its `metadata.temporal`
    ");
}

#[test]
fn an_older_form_of_the_specification_gets_one_error() {
    let found = report(
        r#"{
  "id": "greeting", "version": "1.0", "specVersion": "0.8", "name": "Greeting",
  "start": "Greet",
  "functions": [{ "name": "greet", "operation": "file://a.json#greet" }],
  "states": [{ "name": "Greet", "type": "operation", "actions": [], "end": true }]
}
"#,
    );
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(
        lines[0],
        "jobs/nightly.yaml:2:39: the Serverless Workflow Specification `0.8` is not supported"
    );
    assert!(
        lines[3].starts_with("  hint: write it in DSL 1.0:"),
        "{found}"
    );
    assert_eq!(lines.len(), 4, "{found}");
    // The id that it states stays known.
    let id = parse("id: greeting\nstates: [{ name: a }]\n")[0].id.clone();
    assert_eq!(id.unwrap().to_string(), "greeting");
    assert!(report("id: x\nstates: [{ name: a }]\n").contains("Specification before 1.0"));

    let found = report(
        "document: { dsl: 1.0.0-alpha1, namespace: default, name: a, version: 1.0.0 }
do:
  first: { call: http, with: { method: get, endpoint: https://shop.example } }
",
    );
    assert!(found.contains("`do` must be a list of steps"), "{found}");
    assert!(found.contains("hint: write each as an item"), "{found}");
    let found = report("do: [a: { execute: { sequentially: {} } }]\n");
    assert!(
        found.contains("`do/0/a/execute` is not supported"),
        "{found}"
    );
    assert!(
        found.contains("write `do` for steps in sequence"),
        "{found}"
    );
    assert_eq!(found.matches("jobs/nightly.yaml").count(), 1, "{found}");
}
