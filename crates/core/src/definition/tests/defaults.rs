//! Options of Temporal that a document states for all of its tasks.

use super::{definition, report};
use crate::definition::Program;

fn steps(text: &str) -> serde_json::Value {
    match definition(text).program {
        Program::Steps(steps) => steps.value(),
        Program::Workflow(block) => panic!("{block:?}"),
    }
}

#[test]
fn defaults_apply_to_the_tasks_that_can_use_them() {
    let tasks = |metadata: [&str; 4]| {
        let [call, child, plain, shell] = metadata;
        format!(
            "do:
  - call:
      call: activity
      with: {{ name: A, task_queue: q }}{call}
  - child:
      run: {{ workflow: {{ namespace: n, name: T, version: '1.0.0' }} }}{child}
  - pause:
      wait: {{ seconds: 5 }}{plain}
  - branches:
      fork: {{ branches: [b: {{ run: {{ shell: {{ command: c }} }}{shell} }}] }}
"
        )
    };
    let own = "\n      metadata: { owner: me, temporal: { start_to_close: 1h } }";
    let with_defaults = format!(
        "metadata: {{ team: shop, temporal: {{ start_to_close: 15s, priority: 2, task_queue: w }} }}\n{}",
        tasks(["", own, "", ""])
    );
    let written_out = tasks([
        "\n      metadata: { temporal: { start_to_close: 15s, priority: 2 } }",
        "\n      metadata: { owner: me, temporal: { start_to_close: 1h, priority: 2, task_queue: w } }",
        "",
        ", metadata: { temporal: { start_to_close: 15s, priority: 2, task_queue: w } }",
    ]);
    let (implied, written) = (definition(&with_defaults), definition(&written_out));
    assert_eq!(implied.program, written.program);
    assert_eq!(implied.revision, written.revision);
    // Other metadata change nothing.
    let without = definition(&tasks(["", own, "", ""]));
    let more = format!("metadata: {{ team: shop }}\n{}", tasks(["", own, "", ""]));
    assert_eq!(definition(&more), without);
    assert!(steps(&more).is_array());
}

#[test]
fn a_workflow_of_the_specification_has_defaults_in_its_header() {
    let text = |metadata: &str, task: &str| {
        format!(
            "document: {{ dsl: '1.0.3', namespace: default, name: a, version: '1.0.0'{metadata} }}
do:
  - a:
      try: [b: {{ run: {{ shell: {{ command: c }} }}{task} }}]
      catch: {{ do: [c: {{ run: {{ shell: {{ command: c }} }}{task} }}] }}
"
        )
    };
    let implied = text(
        ", metadata: { heartbeat: { seconds: 8 }, temporal: { heartbeat: 1m } }",
        "",
    );
    let written = text("", ", metadata: { temporal: { heartbeat: 1m } }");
    assert_eq!(steps(&implied), steps(&written));
    let quiet = text(
        ", metadata: { temporal: {}, big: 99999999999999999999999 }",
        "",
    );
    assert_eq!(steps(&quiet), steps(&text("", "")));
}

#[test]
fn defaults_that_are_wrong_or_useless_are_errors() {
    let found = report(
        "do:
  - a: { wait: PT1S }
  - b: { call: activity, with: { name: A, task_queue: q } }
metadata:
  temporal:
    start_to_close: 15s
    task_queue: other
",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:7:5: `metadata/temporal/task_queue` has no effect on any task of the document
      7 |     task_queue: other
        |     ^
      hint: remove it, or move it to the task that it is meant for
    ");
    let found = report(
        "document:
  dsl: '1.0.3'
  namespace: default
  name: a
  version: '1.0.0'
  metadata:
    temporal:
      start_to_close: 0.5s
      retries: 3
      summary: x
do: [a: { wait: PT1S }]
",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:8:23: `document/metadata/temporal/start_to_close` must be at least `1s`
      8 |       start_to_close: 0.5s
        |                       ^
    jobs/nightly.yaml:9:7: `document/metadata/temporal/retries` is not a key of the document's `metadata.temporal`
      9 |       retries: 3
        |       ^
      hint: the keys are start_to_close, schedule_to_close, schedule_to_start, heartbeat, task_queue, priority
    jobs/nightly.yaml:10:7: `document/metadata/temporal/summary` is not supported
      10 |       summary: x
         |       ^
      hint: a summary belongs to one task: write it into the task's `metadata.temporal`
    ");
    let found =
        report("workflow: { type: T, task_queue: q }\nmetadata: { temporal: { priority: 1 } }\n");
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:2:1: `metadata` needs `do`
      2 | metadata: { temporal: { priority: 1 } }
        | ^
    ");
}
