//! Steps, and whole workflows of the specification.

use super::report;

#[test]
fn steps_are_a_list_of_named_tasks() {
    let found = report(
        r"do:
  - wait: { seconds: 5 }
  - wait
  - a: {}
  - b:
  - c: { sett: 1 }
  - d: { wait: PT1S }
    e: { wait: PT1S }
  - f: { set: {}, wait: PT1S }
  - g: { set: { x: 1 } }
  - g: { set: x }
",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:2:5: `do/0/wait`: a step needs a name before `wait`
      2 |   - wait: { seconds: 5 }
        |     ^
      hint: write `- name: { wait: … }`
    jobs/nightly.yaml:3:5: `do/1`: a step needs a name before `wait`
      3 |   - wait
        |     ^
      hint: write `- name: { wait: … }`
    jobs/nightly.yaml:4:5: `do/2/a` has no task
      4 |   - a: {}
        |     ^
      hint: a task is one of call, do, emit, for, fork, listen, raise, run, set, switch, try, wait
    jobs/nightly.yaml:5:6: `do/3/b` must be a task like `wait: { seconds: 5 }`, not nothing
      5 |   - b:
        |      ^
    jobs/nightly.yaml:6:10: `do/4/c/sett` is not a key of a task
      6 |   - c: { sett: 1 }
        |          ^
      hint: did you mean `set`?
    jobs/nightly.yaml:7:5: `do/5` must have one key, the step's name, not 2
      7 |   - d: { wait: PT1S }
        |     ^
      hint: write `- name: { wait: { seconds: 5 } }`; begin each step with `-`, and indent the task under its name
    jobs/nightly.yaml:9:5: `do/6/f` has both `set` and `wait`
      9 |   - f: { set: {}, wait: PT1S }
        |     ^
      hint: split it into two steps
    jobs/nightly.yaml:9:15: `do/6/f/set` sets nothing
      9 |   - f: { set: {}, wait: PT1S }
        |               ^
    jobs/nightly.yaml:11:5: `do/8/g` has the same name as step 7 of the list
      11 |   - g: { set: x }
         |     ^
      hint: `then` refers to a step by its name; give each step its own name
    jobs/nightly.yaml:11:15: `do/8/g/set` must be a map, or an expression `${ … }`, not the text `x`
      11 |   - g: { set: x }
         |               ^
    ");
}

#[test]
fn an_empty_list_of_steps_is_an_error() {
    let found = report(
        r"id: a
do: []
---
id: b
do: { a: { wait: PT1S } }
",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:2:5: `do` has no steps
      2 | do: []
        |     ^
    jobs/nightly.yaml:5:5: `do` must be a list of steps, not a map
      5 | do: { a: { wait: PT1S } }
        |     ^
      hint: write each as an item, `- name: { … }`; DSL 1.0.0-alpha1 had a map here
    ");
}

#[test]
fn waits_are_durations_of_the_specification() {
    let found = report(
        r"do:
  - a: { wait: 5s }
  - b: { wait: 5 }
  - c: { wait: P1M }
  - d: { wait: {} }
  - e: { wait: { secs: 1, seconds: -1, hours: x } }
  - f: { wait: { days: 36501 } }
",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:2:16: `do/0/a/wait` must be a duration, not `5s`
      2 |   - a: { wait: 5s }
        |                ^
      hint: steps write it like `{ minutes: 1, seconds: 30 }` or `PT1M30S`
    jobs/nightly.yaml:3:16: `do/1/b/wait` must be a duration like `{ seconds: 5 }` or `PT5S`, not `5`
      3 |   - b: { wait: 5 }
        |                ^
    jobs/nightly.yaml:4:16: `do/2/c/wait` must be a duration, not `P1M`
      4 |   - c: { wait: P1M }
        |                ^
      hint: years and months have no fixed length; use days
    jobs/nightly.yaml:5:16: `do/3/d/wait` has no length
      5 |   - d: { wait: {} }
        |                ^
      hint: the keys are days, hours, minutes, seconds, milliseconds
    jobs/nightly.yaml:6:18: `do/4/e/wait/secs` is not a key of a duration
      6 |   - e: { wait: { secs: 1, seconds: -1, hours: x } }
        |                  ^
      hint: the keys are days, hours, minutes, seconds, milliseconds
    jobs/nightly.yaml:6:36: `do/4/e/wait/seconds` must be a whole number, 0 or more, not `-1`
      6 |   - e: { wait: { secs: 1, seconds: -1, hours: x } }
        |                                    ^
    jobs/nightly.yaml:6:47: `do/4/e/wait/hours` must be a whole number, 0 or more, not the text `x`
      6 |   - e: { wait: { secs: 1, seconds: -1, hours: x } }
        |                                               ^
    jobs/nightly.yaml:7:16: `do/5/f/wait` must be at most 36500 days
      7 |   - f: { wait: { days: 36501 } }
        |                ^
    ");
}

#[test]
fn a_whole_workflow_of_the_specification_has_its_own_keys() {
    let found = report(
        r#"document: { dsl: '1.1.0', name: Foo, version: 1.0 }
schedule: { after: PT1S, timezone: UTC }
use: {}
labels: {}
---
document: { dsl: '1.0.3', namespace: x, name: a.b, version: 'v1' }
schedule: { cron: ["* * * * *"], every: { milliseconds: 1500 } }
do: [a: { wait: PT1S }]
---
document: x
do: [a: { wait: PT1S }]
"#,
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:1:1: `document.namespace` is missing
      1 | document: { dsl: '1.1.0', name: Foo, version: 1.0 }
        | ^
    jobs/nightly.yaml:1:1: `do` is missing
      1 | document: { dsl: '1.1.0', name: Foo, version: 1.0 }
        | ^
    jobs/nightly.yaml:1:18: `document.dsl` `1.1.0` is not supported
      1 | document: { dsl: '1.1.0', name: Foo, version: 1.0 }
        |                  ^
      hint: Almanac reads DSL 1.0.x; write '1.0.3'
    jobs/nightly.yaml:1:33: `document.name` must be 1 to 63 of a-z, 0-9 and `-` and begin and end with a letter or digit, not `Foo`
      1 | document: { dsl: '1.1.0', name: Foo, version: 1.0 }
        |                                 ^
      hint: `foo` would be valid
    jobs/nightly.yaml:1:47: `document.version` must be text, not `1.0`
      1 | document: { dsl: '1.1.0', name: Foo, version: 1.0 }
        |                                               ^
      hint: quote it: "1.0"
    jobs/nightly.yaml:2:26: unknown key `timezone` in the specification's `schedule`
      2 | schedule: { after: PT1S, timezone: UTC }
        |                          ^
      hint: the keys are cron, every, after, on, read
    jobs/nightly.yaml:4:1: unknown key `labels` in the document
      4 | labels: {}
        | ^
      hint: the keys are document, schedule, do, use, input, output, timeout, evaluate
    jobs/nightly.yaml:6:47: `document.name` must be 1 to 63 of a-z, 0-9 and `-` and begin and end with a letter or digit, not `a.b`
      6 | document: { dsl: '1.0.3', namespace: x, name: a.b, version: 'v1' }
        |                                               ^
      hint: `a-b` would be valid
    jobs/nightly.yaml:6:61: `document.version` must be a semantic version like `1.0.0`, not `v1`
      6 | document: { dsl: '1.0.3', namespace: x, name: a.b, version: 'v1' }
        |                                                             ^
    jobs/nightly.yaml:7:19: `schedule.cron` must be text, not a list
      7 | schedule: { cron: ["* * * * *"], every: { milliseconds: 1500 } }
        |                   ^
    jobs/nightly.yaml:10:11: `document` must be a map, not `x`
      10 | document: x
         |           ^
    "#);
}

#[test]
fn each_problem_of_nested_steps_is_at_its_place() {
    let found = report(
        r#"id: a
use:
  retries: { gentle: { dely: PT1S } }
do:
  - guard:
      try:
        - "get/it":
            call: http
            with: { method: get, endpoint: "https://x.org", header: {} }
            then: elsewhere
      catch:
        retry: gentl
        do:
          - note: { set: { x: *alias, y: 99999999999999999999 }, if: }
  - listens:
      call: asyncapi
output: { as: "${ .x" }
"#,
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:3:24: `use/retries/gentle/dely` is not a key of a retry policy
      3 |   retries: { gentle: { dely: PT1S } }
        |                        ^
      hint: did you mean `delay`?
    jobs/nightly.yaml:9:61: `do/0/guard/try/0/get~1it/with/header` is not a key of an HTTP call
      9 |             with: { method: get, endpoint: "https://x.org", header: {} }
        |                                                             ^
      hint: did you mean `headers`?
    jobs/nightly.yaml:10:19: `do/0/guard/try/0/get~1it/then` refers to `elsewhere`, but the list has no such step
      10 |             then: elsewhere
         |                   ^
      hint: write continue, exit, end, or the name of a step of the same list
    jobs/nightly.yaml:12:16: `do/0/guard/catch/retry` refers to `gentl`, which `use/retries` does not define
      12 |         retry: gentl
         |                ^
      hint: did you mean `gentle`?
    jobs/nightly.yaml:14:31: aliases (`*name`) are not supported
      14 |           - note: { set: { x: *alias, y: 99999999999999999999 }, if: }
         |                               ^
      hint: repeat the value; text that begins with `*`, such as a cron, must be quoted
    jobs/nightly.yaml:14:42: the number `99999999999999999999` does not fit into 64 bits
      14 |           - note: { set: { x: *alias, y: 99999999999999999999 }, if: }
         |                                          ^
      hint: quote it to pass it as text
    jobs/nightly.yaml:14:66: `do/0/guard/catch/do/0/note/if` has no value
      14 |           - note: { set: { x: *alias, y: 99999999999999999999 }, if: }
         |                                                                  ^
      hint: give it a value, or remove the key
    jobs/nightly.yaml:16:13: `do/1/listens/call`: calls of `asyncapi` are not supported
      16 |       call: asyncapi
         |             ^
      hint: use `call: activity` with a worker of your own that makes the call
    jobs/nightly.yaml:17:15: `output/as` begins like an expression, but does not end like one: `${ .x`
      17 | output: { as: "${ .x" }
         |               ^
      hint: an expression must be the whole text; put the text into it: `${ "costs \(.price)" }`
    "#);
}

#[test]
fn a_document_may_have_too_many_steps() {
    let steps: Vec<String> = (0..1002)
        .map(|n| format!("  - t{n}: {{ wait: PT1S }}\n"))
        .collect();
    let found = report(&format!("do:\n{}", steps.concat()));
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:1002:5: `do/1000/t1000` is task 1001, over the limit
      1002 |   - t1000: { wait: PT1S }
           |     ^
      hint: a definition has at most 1000 tasks; move a part of it into a workflow of its own
    ");
}

#[test]
fn expressions_are_compiled_when_they_are_read() {
    let text = r#"
do:
  - a: { set: { x: "${ .n + nothing }" } }
  - b: { if: .a | foo(1), set: { x: 1 } }
  - c:
      set:
        x: |
          ${
            .items
            | map(.a +)
          }
  - d:
      set:
        x: >-
          ${
          folded }
  - e: { set: { x: '${ $item }', y: '$${ .no }' } }
  - f: { input: { from: $secrets.token }, set: { x: 1 } }
"#;
    insta::assert_snapshot!(report(text), @r#"
    jobs/nightly.yaml:3:29: `do/0/a/set/x`: unknown function `nothing`
      3 |   - a: { set: { x: "${ .n + nothing }" } }
        |                             ^
    jobs/nightly.yaml:4:19: `do/1/b/if`: unknown function `foo`
      4 |   - b: { if: .a | foo(1), set: { x: 1 } }
        |                   ^
    jobs/nightly.yaml:10:23: `do/2/c/set/x`: expected term, found `)`
      10 |             | map(.a +)
         |                       ^
    jobs/nightly.yaml:15:11: `do/3/d/set/x`: unknown function `folded`
      15 |           ${
         |           ^
    jobs/nightly.yaml:17:24: `do/4/e/set/x`: unknown variable `$item`
      17 |   - e: { set: { x: '${ $item }', y: '$${ .no }' } }
         |                        ^
    jobs/nightly.yaml:18:25: `do/5/f/input/from`: `$secrets` is not available, because results of expressions are in the run's history; a call names a secret with `use`
      18 |   - f: { input: { from: $secrets.token }, set: { x: 1 } }
         |                         ^
    "#);
}

/// The text may be intended, as a template for another program.
#[test]
fn an_expression_within_a_text_is_a_warning() {
    let text = r#"
do:
  - a: { set: { x: "id:${ .id }", y: "$${ .id }", z: "no ${end", w: "costs $${ 5 }" } }
  - b:
      call: http
      with:
        method: get
        endpoint: https://shop.example
        headers: { Authorization: "Token ${ .token }" }
"#;
    insta::assert_snapshot!(report(text), @r#"
    jobs/nightly.yaml:3:24: warning: `do/0/a/set/x` has `${ … }` within a text, where it has no effect
      3 |   - a: { set: { x: "id:${ .id }", y: "$${ .id }", z: "no ${end", w: "costs $${ 5 }" } }
        |                        ^
      hint: an expression must be the whole text; put the text into it: `${ "costs \(.price)" }`
    jobs/nightly.yaml:9:42: warning: `do/1/b/with/headers/Authorization` has `${ … }` within a text, where it has no effect
      9 |         headers: { Authorization: "Token ${ .token }" }
        |                                          ^
      hint: an expression must be the whole text; put the text into it: `${ "costs \(.price)" }`
    "#);
}
