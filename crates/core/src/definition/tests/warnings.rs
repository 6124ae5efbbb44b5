//! Values that are valid but that a person almost never means: each gives a warning.

use super::{parse, report};

/// The warnings of steps: line, column and message. There must be no error.
#[track_caller]
fn warnings(steps: &str) -> Vec<String> {
    let text = format!("id: a\n{steps}");
    let documents = parse(&text);
    assert!(documents[0].result.is_ok(), "{}", report(&text));
    documents[0]
        .warnings
        .iter()
        .map(|it| {
            assert!(it.hint.is_some(), "{it:?}");
            format!("{}:{} {}", it.line, it.column, it.message)
        })
        .collect()
}

#[test]
fn a_condition_of_catch_that_reads_the_input_is_a_warning() {
    let found = report(
        "do:
  - a:
      try: [b: { wait: PT1S }]
      catch:
        as: problem
        when: ${ .status == 503 }
        exceptWhen: '.detail | test(\"quota\")'
        retry:
          when: .type != \"x\"
          limit: { attempt: { count: 1 } }
",
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:6:18: warning: `do/0/a/catch/when` reads `.status` of the task's input, not of the error
      6 |         when: ${ .status == 503 }
        |                  ^
      hint: the error is `$problem`: write `$problem.status`
    jobs/nightly.yaml:7:21: warning: `do/0/a/catch/exceptWhen` reads `.detail` of the task's input, not of the error
      7 |         exceptWhen: '.detail | test("quota")'
        |                     ^
      hint: the error is `$problem`: write `$problem.detail`
    jobs/nightly.yaml:9:17: warning: `do/0/a/catch/retry/when` reads `.type` of the task's input, not of the error
      9 |           when: .type != "x"
        |                 ^
      hint: the error is `$problem`: write `$problem.type`
    "#);
}

#[test]
fn conditions_that_read_the_error_or_other_data_do_not_warn() {
    for when in [
        "$error.status == 503",
        "$error | .status == 503",
        ".status == $error.status",
        ".answer.status == 503",
        "[.answers[] | .status] == []",
        ".retry",
    ] {
        let steps = format!(
            "do: [a: {{ try: [b: {{ wait: PT1S }}], catch: {{ when: '{when}', then: end }} }}]"
        );
        assert_eq!(warnings(&steps), [""; 0], "{when}");
    }
    // In other conditions, `.status` is what it says.
    let steps = "do: [a: { if: .status == 503, wait: PT1S }]";
    assert_eq!(warnings(steps), [""; 0]);
}

#[test]
fn an_expression_without_braces_in_data_is_a_warning() {
    let found = report(
        "do:
  - a:
      set: { total: $input.a, sum: .a + 1, first: '.items[0]' }
      input:
        from: { id: .order.id }
      output:
        as: { ids: ['.items[].id'], all: $input }
      export:
        as: { count: '.items | length' }
",
    );
    let lines: Vec<&str> = found
        .lines()
        .filter(|line| line.contains("warning"))
        .collect();
    assert_eq!(
        lines,
        [
            "jobs/nightly.yaml:3:21: warning: `do/0/a/set/total` is text, not an expression: `$input.a`",
            "jobs/nightly.yaml:3:36: warning: `do/0/a/set/sum` is text, not an expression: `.a + 1`",
            "jobs/nightly.yaml:3:51: warning: `do/0/a/set/first` is text, not an expression: `.items[0]`",
            "jobs/nightly.yaml:5:21: warning: `do/0/a/input/from/id` is text, not an expression: `.order.id`",
            "jobs/nightly.yaml:7:21: warning: `do/0/a/output/as/ids/0` is text, not an expression: `.items[].id`",
            "jobs/nightly.yaml:7:42: warning: `do/0/a/output/as/all` is text, not an expression: `$input`",
            "jobs/nightly.yaml:9:22: warning: `do/0/a/export/as/count` is text, not an expression: `.items | length`",
        ],
        "{found}"
    );
}

#[test]
fn texts_that_are_not_expressions_do_not_warn() {
    let steps = r#"do:
  - a:
      set: { ending: .csv, file: .tar.gz, runtime: .NET, cost: $5, home: $HOME, dots: ..., here: ./x, dot: ., number: .5 }
      output:
        as: { kind: .5, up: ../x, say: '.NET and Java', price: $5, var: '$nothing', a: '${ .a }', quoted: '${ ".a" }' }
  - b: { run: { shell: { command: jq, arguments: ['.items[] | .name'], environment: { X: $input } } } }
  - c: { input: { from: .a }, output: { as: .b.c }, set: { x: 1 } }
  - d: { for: { in: .items }, do: [e: { switch: [{ x: { when: .a, then: exit } }] }] }
"#;
    assert_eq!(warnings(steps), [""; 0]);
}

#[test]
fn a_condition_that_assigns_is_a_warning() {
    for (steps, path) in [
        ("do: [a: { if: .x = 1, wait: PT1S }]", "do/0/a/if"),
        (
            "do: [a: { switch: [{ x: { when: '${ .kind = \"new\" }', then: end } }] }]",
            "do/0/a/switch/0/x/when",
        ),
        (
            "do: [a: { for: { in: .x }, while: .ok = true, do: [b: { wait: PT1S }] }]",
            "do/0/a/while",
        ),
    ] {
        let found = warnings(steps);
        assert_eq!(found.len(), 1, "{found:?}");
        let message = format!("`{path}` is an assignment, which is neither true nor false");
        assert!(found[0].ends_with(&message), "{found:?}");
    }
}

#[test]
fn an_unused_part_of_use_is_a_warning() {
    let steps = "do:
  - a:
      try: [b: { wait: PT1S, timeout: short }]
      catch: { retry: often }
use:
  retries:
    often: { limit: { attempt: { count: 3 } } }
    seldom: { limit: { attempt: { count: 1 } } }
  timeouts:
    short: { after: PT5S }
    long: { after: PT50S }
  errors:
    lost: { type: https://shop.example/lost, status: 404 }
  authentications:
    shop: { bearer: { token: x } }
";
    assert_eq!(
        warnings(steps),
        [
            "9:5 `use/retries/seldom` is not used by any task",
            "12:5 `use/timeouts/long` is not used by any task",
            "14:5 `use/errors/lost` is not used by any task",
            "16:5 `use/authentications/shop` is not used by any task",
        ]
    );
}

#[test]
fn options_beside_temporal_are_a_warning() {
    let steps = "do:
  - a: { wait: PT1S, metadata: { start_to_close: 5s, priority: high, owner: me, activityOptions: { startToCloseTimeout: { minutes: 1 } } } }
  - b: { wait: PT1S, metadata: { Temporal: { summary: x }, temporary: true } }
";
    assert_eq!(
        warnings(steps),
        [
            "3:34 `do/0/a/metadata/start_to_close` has no effect beside `temporal`",
            "3:81 `do/0/a/metadata/activityOptions` has no effect here",
            "4:34 `do/1/b/metadata/Temporal` has no effect",
        ]
    );
}
