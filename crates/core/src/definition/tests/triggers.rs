//! Triggers, in Almanac's form and in the specification's.

use almanac_steps::language::{OnConflict, TriggerInput};

use super::{definition, parse, rendered, report, warned};
use crate::definition::Definition;

pub(super) const TRIGGERED: &str = r#"
id: capture
schedule: { cron: "0 3 * * *" }
triggers:
  - event: order.paid
    when: ${ .data.amount > 100 }
    input: { order: "${ .data.order_id }", fixed: 1 }
    workflow_id: ${ .data.order_id }
    on_conflict: terminate_existing
  - event: order.settled
    input: .data.order
    on_conflict: retry_failed
    enabled: false
do:
  - a: { wait: PT1S }
"#;

pub(super) const OWS_ON: &str = r#"
document: { dsl: '1.0.3', namespace: examples, name: nurse, version: '0.1.0' }
schedule:
  read: envelope
  on:
    any:
      - with: { type: heartbeat.low, source: ward-1 }
      - with: { type: "${ . == \"x\" }", data: "${ .bpm < 40 }" }
do:
  - a: { wait: PT1S }
"#;

#[test]
fn triggers_are_read_whole() {
    let definition = definition(TRIGGERED);
    let [first, second] = &*definition.triggers.list else {
        panic!("{:?}", definition.triggers)
    };
    assert_eq!(first.when.as_ref().unwrap().text(), ".data.amount > 100");
    assert_eq!(first.on_conflict, OnConflict::TerminateExisting);
    assert!(first.enabled && first.workflow_id.is_some());
    assert!(matches!(first.input, TriggerInput::Made(_)));
    assert_eq!(second.on_conflict, OnConflict::RetryFailed);
    assert!(!second.enabled);
}

#[test]
fn a_trigger_has_defaults() {
    let definition = definition("triggers: [{ event: a.b }]\ndo: [a: { wait: PT1S }]\n");
    let trigger = &definition.triggers.list[0];
    assert_eq!(trigger.input, TriggerInput::Data);
    assert_eq!(trigger.on_conflict, OnConflict::UseExisting);
    assert!(trigger.enabled && trigger.when.is_none() && trigger.workflow_id.is_none());
    assert_eq!(definition.schedule, None);
}

#[test]
fn the_specification_starts_workflows_on_events() {
    let both = definition(OWS_ON);
    let trigger = &both.triggers.list[0];
    assert_eq!(trigger.filters.len(), 2);
    assert_eq!(trigger.input, TriggerInput::List { envelope: true });
    assert_eq!(both.schedule, None);
    let one = OWS_ON.replace("  read: envelope\n", "").replace(
        "    any:\n      - with: { type: heartbeat.low, source: ward-1 }",
        "    any: []",
    );
    let lines: Vec<&str> = one.lines().filter(|line| !line.contains("bpm")).collect();
    let any = definition(&lines.join("\n"));
    assert_eq!(any.triggers.list[0].filters.len(), 0);
    assert_eq!(
        any.triggers.list[0].input,
        TriggerInput::List { envelope: false }
    );
}

#[test]
fn a_definition_has_times_and_events() {
    let with_times = OWS_ON.replace("schedule:\n", "schedule:\n  every: { hours: 1 }\n");
    let definition = definition(&with_times);
    assert!(definition.schedule.is_some());
    assert!(!definition.triggers.is_empty());
}

#[test]
fn triggers_count_for_the_revision() {
    let revision = |text: &str| warned(text).revision;
    let before = revision(TRIGGERED);
    for (from, to) in [
        ("order.settled", "order.closed"),
        ("> 100", "> 101"),
        ("fixed: 1", "fixed: 2"),
        ("enabled: false", "enabled: true"),
        ("terminate_existing", "use_existing"),
    ] {
        assert_ne!(before, revision(&TRIGGERED.replace(from, to)), "{to}");
    }
    assert_ne!(
        revision(OWS_ON),
        revision(&OWS_ON.replace("ward-1", "ward-2"))
    );
}

#[test]
fn mistakes_are_found_at_their_places() {
    let found = report(
        r#"id: a
triggers:
  - event: order.paid
    when: .data.amount > && 1
    input: 5
    workflow_id: order-${ .data.id }
    on_conflict: replace
    enabled: yes
  - when: .x
  - event: "${ .type }"
  - event: order paid
  - event: 5
  - events: x
  - event: ok
    workflow_id: fixed
    on_conflict: fail
  - event: ok
    on_conflict: fail
    input: { a: $context }
do:
  - a: { wait: PT1S }
---
id: b
triggers: []
do: [a: { wait: PT1S }]
---
id: c
triggers: { event: x }
do: [a: { wait: PT1S }]
---
id: d
triggers:
  - event: x
    input: .data
workflow: { type: T, task_queue: q, args: [1] }
"#,
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:4:26: `triggers/0/when`: expected token, found `&& 1`
      4 |     when: .data.amount > && 1
        |                          ^
      hint: in jq, write `and`
    jobs/nightly.yaml:5:12: `triggers/0/input` must be an expression, or a map with expressions, not `5`
      5 |     input: 5
        |            ^
    jobs/nightly.yaml:7:18: `triggers/0/on_conflict` must be one of use_existing, fail, terminate_existing, retry_failed, not `replace`
      7 |     on_conflict: replace
        |                  ^
    jobs/nightly.yaml:8:14: `triggers/0/enabled` must be true or false, not the text `yes`
      8 |     enabled: yes
        |              ^
    jobs/nightly.yaml:9:5: `triggers/1` must have one of `event` and `after`
      9 |   - when: .x
        |     ^
    jobs/nightly.yaml:10:12: `triggers/2/event` must be the type of the events, not an expression
      10 |   - event: "${ .type }"
         |            ^
      hint: write conditions on the event into `when`
    jobs/nightly.yaml:11:12: `triggers/3/event` must be a type without spaces, not `order paid`
      11 |   - event: order paid
         |            ^
    jobs/nightly.yaml:12:12: `triggers/4/event` must be text, not `5`
      12 |   - event: 5
         |            ^
      hint: quote it: "5"
    jobs/nightly.yaml:13:5: `triggers/5/events` is not a key of a trigger
      13 |   - events: x
         |     ^
      hint: did you mean `event`?
    jobs/nightly.yaml:24:11: `triggers` has no triggers
      24 | triggers: []
         |           ^
    jobs/nightly.yaml:28:11: `triggers` must be a list of triggers, not a map
      28 | triggers: { event: x }
         |           ^
    jobs/nightly.yaml:34:5: `input` of a trigger cannot be combined with `workflow.args`
      34 |     input: .data
         |     ^
      hint: without `workflow.args`, the trigger's input is the only argument; keep one of them
    "#);
}

#[test]
fn mistakes_in_the_specifications_form_are_found_at_their_places() {
    let found = report(
        r"document: { dsl: '1.0.3', namespace: n, name: a, version: '0.1.0' }
schedule: { read: data }
do: [a: { wait: PT1S }]
---
document: { dsl: '1.0.3', namespace: n, name: b, version: '0.1.0' }
schedule: { on: { all: [{ with: { type: x } }] } }
do: [a: { wait: PT1S }]
---
document: { dsl: '1.0.3', namespace: n, name: c, version: '0.1.0' }
schedule:
  on:
    one: { with: { type: x, Source: y }, correlate: { a: { from: .a } } }
  read: everything
do: [a: { wait: PT1S }]
---
document: { dsl: '1.0.3', namespace: n, name: d, version: '0.1.0' }
schedule: { on: { one: { with: {} }, any: [] } }
do: [a: { wait: PT1S }]
---
document: { dsl: '1.0.3', namespace: n, name: e, version: '0.1.0' }
schedule: { on: {} }
do: [a: { wait: PT1S }]
",
    );
    insta::assert_snapshot!(found, @"
    jobs/nightly.yaml:2:13: `schedule.read` needs `schedule.on`
      2 | schedule: { read: data }
        |             ^
    jobs/nightly.yaml:6:19: `schedule/on/all` is not supported
      6 | schedule: { on: { all: [{ with: { type: x } }] } }
        |                   ^
      hint: start the definition on one event, and wait for the others with `listen`
    jobs/nightly.yaml:12:29: `schedule/on/one/with/Source` is not a valid attribute name
      12 |     one: { with: { type: x, Source: y }, correlate: { a: { from: .a } } }
         |                             ^
      hint: names of event attributes consist of a-z and 0-9
    jobs/nightly.yaml:12:42: `schedule/on/one/correlate` is not supported
      12 |     one: { with: { type: x, Source: y }, correlate: { a: { from: .a } } }
         |                                          ^
      hint: each event starts a run of its own; give the event's attributes in `with`
    jobs/nightly.yaml:13:9: `schedule/read` must be one of data, envelope, raw, not `everything`
      13 |   read: everything
         |         ^
    jobs/nightly.yaml:17:13: `schedule/on` must have one of `any` and `one`
      17 | schedule: { on: { one: { with: {} }, any: [] } }
         |             ^
    jobs/nightly.yaml:21:13: `schedule/on` must have one of `any` and `one`
      21 | schedule: { on: {} }
         |             ^
    ");
}

#[test]
fn the_number_of_triggers_has_a_limit() {
    let with = |count: usize| {
        let triggers = "  - event: x\n".repeat(count);
        report(&format!("triggers:\n{triggers}do: [a: {{ wait: PT1S }}]\n"))
    };
    assert_eq!(with(50), "");
    insta::assert_snapshot!(with(51).lines().next().unwrap(), @"jobs/nightly.yaml:2:3: `triggers` has 51 triggers, over the limit of 50");
}

#[test]
fn an_undeclared_event_type_is_a_warning() {
    let warnings = |text: &str, declared: &[&str]| {
        let declared = declared.iter().copied().collect();
        let documents = parse(text);
        let uses = documents[0].events.iter();
        let found: Vec<_> = uses.filter_map(|one| one.warning(&declared)).collect();
        rendered(&found)
    };
    assert_eq!(warnings(TRIGGERED, &["order.paid", "order.settled"]), "");
    insta::assert_snapshot!(warnings(TRIGGERED, &["order.paid", "order.setled"]), @"
    jobs/nightly.yaml:10:12: warning: no event type `order.settled` is declared
      10 |   - event: order.settled
         |            ^
      hint: did you mean `order.setled`?
    ");
    // The type of the second filter is an expression.
    insta::assert_snapshot!(warnings(OWS_ON, &[]), @"
    jobs/nightly.yaml:7:23: warning: no event type `heartbeat.low` is declared
      7 |       - with: { type: heartbeat.low, source: ward-1 }
        |                       ^
      hint: declare it with a document of `kind: event_type` and `id: heartbeat.low`, so that the data of its events can be checked
    ");
    let upper = "triggers: [{ event: OrderPaid }]\ndo: [a: { wait: PT1S }]\n";
    let warned = warnings(upper, &[]);
    assert!(warned.contains("and `type: OrderPaid`"), "{warned}");
    assert_eq!(warnings(upper, &["OrderPaid"]), "");
    let _: Definition = definition(upper);
}
