//! Broken YAML, and the parts of it that are refused.

use super::report;

#[test]
fn quotes_are_missing() {
    let found = report(
        r#"id: a
schedule:
  cron: * * * * *
---
id: b
schedule:
  cron: */5 * * * *
---
id: c
schedule:
  cron: @daily
---
id: "d
schedule: { every: 1h }
---
id: e
description: a: b
"#,
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:3:9: not valid YAML: text must not begin with `*`
      3 |   cron: * * * * *
        |         ^
      hint: quote it, as in `cron: "* * * * *"`
    jobs/nightly.yaml:7:9: aliases (`*name`) are not supported
      7 |   cron: */5 * * * *
        |         ^
      hint: repeat the value; text that begins with `*`, such as a cron, must be quoted
    jobs/nightly.yaml:11:9: not valid YAML: text must not begin with `@`
      11 |   cron: @daily
         |         ^
      hint: quote it
    jobs/nightly.yaml:14:1: not valid YAML: a closing quote is missing
      14 | schedule: { every: 1h }
         | ^
      hint: check this line and the lines above it
    jobs/nightly.yaml:17:15: not valid YAML: a key with a value is not allowed here
      17 | description: a: b
         |               ^
      hint: quote text that contains `: `, and indent all keys of a map equally
    "#);
}

#[test]
fn yaml_features_that_definitions_exclude_are_refused() {
    let found = report(
        r"x: &anchor 1
<<: *anchor
y: *other
z: !!str 3
? [a]
: c
id: a
id: b
do: [a: { wait: PT1S, wait: PT2S }]
---
%YAML 1.2
---
id: b
",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:1:1: unknown key `x` in the document
      1 | x: &anchor 1
        | ^
      hint: the keys are kind, id, description, enabled, labels, schedule, workflow, do, use, input, output, timeout, metadata, triggers
    jobs/nightly.yaml:1:4: anchors (`&name`) are not supported
      1 | x: &anchor 1
        |    ^
      hint: quote text that begins with `&`
    jobs/nightly.yaml:2:1: merge keys (`<<`) are not supported
      2 | <<: *anchor
        | ^
      hint: repeat the entries
    jobs/nightly.yaml:2:5: aliases (`*name`) are not supported
      2 | <<: *anchor
        |     ^
      hint: repeat the value; text that begins with `*`, such as a cron, must be quoted
    jobs/nightly.yaml:3:1: unknown key `y` in the document
      3 | y: *other
        | ^
      hint: the keys are kind, id, description, enabled, labels, schedule, workflow, do, use, input, output, timeout, metadata, triggers
    jobs/nightly.yaml:3:4: aliases (`*name`) are not supported
      3 | y: *other
        |    ^
      hint: repeat the value; text that begins with `*`, such as a cron, must be quoted
    jobs/nightly.yaml:4:1: unknown key `z` in the document
      4 | z: !!str 3
        | ^
      hint: the keys are kind, id, description, enabled, labels, schedule, workflow, do, use, input, output, timeout, metadata, triggers
    jobs/nightly.yaml:4:4: tags (`!name`) are not supported
      4 | z: !!str 3
        |    ^
      hint: quote text that begins with `!`; quotes also make any other value text
    jobs/nightly.yaml:5:3: a key must be text
      5 | ? [a]
        |   ^
      hint: quote text that begins with `{` or `[`
    jobs/nightly.yaml:8:1: the key `id` is given twice, first in line 7
      8 | id: b
        | ^
    jobs/nightly.yaml:9:23: the key `wait` is given twice, first in line 9
      9 | do: [a: { wait: PT1S, wait: PT2S }]
        |                       ^
    jobs/nightly.yaml:11:1: directives (`%…`) are not supported
      11 | %YAML 1.2
         | ^
      hint: remove the line
    ");
}

#[test]
fn broken_syntax_has_a_place() {
    let found = report(
        &r#"id: a
schedule:
TABcron: "* * * * *"
---
id: b
do: [a: { wait: PT1S }
---
id: c
 do: x
---
- a
---
just text
---
~ # nothing
---
"a" b
"#
        .replace("TAB", "\t"),
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:3:2: not valid YAML: tabs are not allowed as indentation
      3 | \tcron: "* * * * *"
        |   ^
      hint: indent with spaces
    jobs/nightly.yaml:6:5: not valid YAML: unclosed bracket '['
      6 | do: [a: { wait: PT1S }
        |     ^
    jobs/nightly.yaml:9:4: not valid YAML: a key with a value is not allowed here
      9 |  do: x
        |    ^
      hint: quote text that contains `: `, and indent all keys of a map equally
    jobs/nightly.yaml:11:1: a document must be a map with keys like `schedule` and `do`
      11 | - a
         | ^
      hint: end a key with a colon and a space: `id: nightly`
    jobs/nightly.yaml:13:1: a document must be a map with keys like `schedule` and `do`
      13 | just text
         | ^
      hint: end a key with a colon and a space: `id: nightly`
    jobs/nightly.yaml:15:1: a document must be a map with keys like `schedule` and `do`
      15 | ~ # nothing
         | ^
      hint: end a key with a colon and a space: `id: nightly`
    jobs/nightly.yaml:17:5: not valid YAML: invalid trailing content after double-quoted scalar
      17 | "a" b
         |     ^
    "#);
}

/// To YAML it is a map that begins within a text.
#[test]
fn an_expression_in_braces_needs_quotes() {
    let found = report("do:\n  - a: { set: { a: ${ .b } } }\n");
    assert!(found.contains("quote an expression"), "{found}");
}
