//! Keys: unknown, missing, without a value, and not supported yet.

use super::report;

#[test]
fn unknown_keys_are_named_with_the_key_that_was_meant() {
    let found = report(
        r#"id: a
descripton: x
schedule:
  corn: "* * * * *"
  overlapPolicy: skip
  webhook: 1
do:
  - a: { wait: { seconds: 1 } }
"#,
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:2:1: unknown key `descripton` in the document
      2 | descripton: x
        | ^
      hint: did you mean `description`?
    jobs/nightly.yaml:4:3: unknown key `corn` in `schedule`
      4 |   corn: "* * * * *"
        |   ^
      hint: did you mean `cron`?
    jobs/nightly.yaml:5:3: unknown key `overlapPolicy` in `schedule`
      5 |   overlapPolicy: skip
        |   ^
      hint: did you mean `overlap_policy`?
    jobs/nightly.yaml:6:3: unknown key `webhook` in `schedule`
      6 |   webhook: 1
        |   ^
      hint: the keys are enabled, cron, every, after, calendars, exclude, timezone, start_at, end_at, jitter, overlap_policy, catchup_window, pause_on_failure, max_actions, input, adopts
    "#);
}

#[test]
fn missing_keys_are_reported_at_the_block_that_lacks_them() {
    let found = report(
        r"id: a
schedule:
  enabled: false
workflow:
  args: []
",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:2:1: `schedule` has no times
      2 | schedule:
        | ^
      hint: give it `cron`, `every` or `calendars`; leave `schedule` out for manual runs only
    jobs/nightly.yaml:4:1: `workflow.type` is missing
      4 | workflow:
        | ^
    jobs/nightly.yaml:4:1: `workflow.task_queue` is missing
      4 | workflow:
        | ^
    ");
}

#[test]
fn a_key_without_a_value_is_an_error() {
    let found = report(
        r"id:
schedule:
  cron:
  input:
do: ~
",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:1:1: `id` has no value
      1 | id:
        | ^
      hint: give it a value, or remove the key
    jobs/nightly.yaml:3:3: `schedule.cron` has no value
      3 |   cron:
        |   ^
      hint: give it a value, or remove the key
    jobs/nightly.yaml:5:1: `do` has no value
      5 | do: ~
        | ^
      hint: give it a value, or remove the key
    ");
}

#[test]
fn a_document_has_either_a_workflow_or_steps() {
    let found = report(
        r"id: a
workflow: { type: T, task_queue: q }
do:
  - a: { wait: PT1S }
---
id: b
enabled: true
",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:3:1: the document has both `workflow` and `do`
      3 | do:
        | ^
      hint: keep one of them; two documents can have the same schedule
    jobs/nightly.yaml:6:1: the document has neither `workflow` nor `do`
      6 | id: b
        | ^
      hint: `workflow` names a workflow type to start, `do` lists steps that Almanac runs
    ");
}

#[test]
fn an_unknown_kind_has_a_hint() {
    insta::assert_snapshot!(report("kind: workflo\nid: c\n"), @"
    jobs/nightly.yaml:1:7: `kind` must be a known kind, not `workflo`
      1 | kind: workflo
        |       ^
      hint: did you mean `workflow`?
    ");
}

#[test]
fn keys_around_steps_need_steps() {
    let found = report(
        r"id: a
use: { secrets: [x] }
input: { from: .a }
output: { as: .a }
timeout: { after: PT1S }
workflow: { type: T, task_queue: q }
",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:2:1: `use` needs `do`
      2 | use: { secrets: [x] }
        | ^
    jobs/nightly.yaml:3:1: `input` needs `do`
      3 | input: { from: .a }
        | ^
    jobs/nightly.yaml:4:1: `output` needs `do`
      4 | output: { as: .a }
        | ^
    jobs/nightly.yaml:5:1: `timeout` needs `do`
      5 | timeout: { after: PT1S }
        | ^
    ");
}

#[test]
fn input_and_args_exclude_each_other() {
    let found = report(
        r"id: a
schedule: { every: 1h, input: { a: 1 } }
workflow: { type: T, task_queue: q, args: [] }
",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:2:24: `schedule.input` cannot be combined with `workflow.args`
      2 | schedule: { every: 1h, input: { a: 1 } }
        |                        ^
      hint: without `workflow.args`, `schedule.input` is the only argument; keep one of them
    ");
}

#[test]
fn ids_have_a_form() {
    let found = report(
        r"id: Nightly Run
do: [a: { wait: PT1S }]
---
id: 7
do: [a: { wait: PT1S }]
---
do: [a: { wait: PT1S }]
---
idd: x
do: [a: { wait: PT1S }]
",
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:1:5: `id` must be 1 to 128 of a-z, 0-9, `.`, `_` and `-` and begin with a letter or digit, not `Nightly Run`
      1 | id: Nightly Run
        |     ^
      hint: `nightly-run` would be valid
    jobs/nightly.yaml:4:5: `id` must be text, not `7`
      4 | id: 7
        |     ^
      hint: quote it: "7"
    jobs/nightly.yaml:7:1: `id` is missing
      7 | do: [a: { wait: PT1S }]
        | ^
      hint: the file's name is the default only if the file has one document
    jobs/nightly.yaml:9:1: unknown key `idd` in the document
      9 | idd: x
        | ^
      hint: did you mean `id`?
    "#);
}
