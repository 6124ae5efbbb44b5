//! Starts after the run of another definition, and after the definition's own last run.

use std::collections::BTreeSet;
use std::time::Duration;

use almanac_base::names::DefinitionId;
use almanac_steps::language::{After, Deadline, Otherwise, Outcome, Trigger};

use super::{definition, parse, rendered, report, warned};
use crate::definition::Cycles;

pub(super) const LOAD: &str = r"id: load
triggers:
  - after: extract
    outcome: any
    within: 2h
    else: run
    when: .data.status != 'x'
    input: { day: '${ .data.scheduled_at }' }
  - after: extract
do:
  - a: { wait: PT1S }
";

pub(super) const AGAIN: &str = r"id: poll
schedule: { after: 90s, input: { a: 1 }, enabled: false }
do:
  - a: { wait: PT1S }
";

pub(super) const OWS_AFTER: &str = r"
document: { dsl: '1.0.3', namespace: examples, name: poll, version: '0.1.0' }
schedule: { after: { minutes: 2 } }
do:
  - a: { wait: PT1S }
";

fn named(trigger: &Trigger) -> Vec<(Option<&str>, Option<&str>)> {
    trigger.filters.iter().map(Trigger::named).collect()
}

#[test]
fn after_is_a_trigger_on_the_ends_of_runs() {
    let load = definition(&LOAD.replace("'x'", "\"x\""));
    let [first, second] = &*load.triggers.list else {
        panic!("{:?}", load.triggers)
    };
    let within = Duration::from_hours(2);
    assert_eq!(
        first.after,
        Some(After {
            definition: "extract".parse().unwrap(),
            outcome: Outcome::Any,
            deadline: Some(Deadline {
                within,
                otherwise: Otherwise::Run
            }),
        })
    );
    assert_eq!(
        named(first),
        [
            (Some("almanac.run.completed"), Some("extract")),
            (Some("almanac.run.failed"), Some("extract")),
            (Some("almanac.run.late"), Some("extract")),
        ]
    );
    let plain = second.after.as_ref().unwrap();
    assert_eq!((plain.outcome, plain.deadline), (Outcome::Completed, None));
    assert_eq!(
        named(second),
        [(Some("almanac.run.completed"), Some("extract"))]
    );
    assert_eq!(load.schedule, None);
}

#[test]
fn a_deadline_alone_does_not_take_events_about_deadlines() {
    let text = "triggers: [{ after: x, within: PT5M }]\ndo: [a: { wait: PT1S }]\n";
    let definition = definition(text);
    let trigger = &definition.triggers.list[0];
    let deadline = trigger.after.as_ref().unwrap().deadline.unwrap();
    assert_eq!(deadline.otherwise, Otherwise::Skip);
    assert_eq!(named(trigger).len(), 1);
}

#[test]
fn a_definition_starts_again_after_its_own_run() {
    let own = definition(AGAIN);
    let again = own.triggers.again.as_ref().unwrap();
    assert_eq!(again.delay, Duration::from_secs(90));
    assert!(!again.enabled);
    assert_eq!(
        again.input.as_ref().unwrap().value(),
        serde_json::json!({ "a": 1 })
    );
    assert_eq!(
        (own.schedule.is_some(), own.triggers.is_empty()),
        (false, false)
    );
    let ows = definition(OWS_AFTER);
    let again = ows.triggers.again.as_ref().unwrap();
    assert_eq!((again.delay, again.enabled), (Duration::from_mins(2), true));
    assert_eq!(
        (ows.schedule.is_some(), ows.triggers.is_empty()),
        (false, false)
    );
    // Beside times and beside events.
    let both = definition(&OWS_AFTER.replace("{ after", "{ cron: '0 3 * * *', after"));
    assert!(both.schedule.is_some() && both.triggers.again.is_some());
    let both =
        definition(&OWS_AFTER.replace("{ after", "{ on: { one: { with: { type: x } } }, after"));
    assert!(both.triggers.list.len() == 1 && both.triggers.again.is_some());
    let both = definition(&AGAIN.replace("{ after", "{ cron: '0 3 * * *', jitter: 1s, after"));
    assert!(both.schedule.is_some() && both.triggers.again.is_some());
}

#[test]
fn after_counts_for_the_revision() {
    for (text, from, to) in [
        (LOAD, "else: run", "else: skip"),
        (LOAD, "within: 2h", "within: 3h"),
        (LOAD, "outcome: any", "outcome: failed"),
        (AGAIN, "90s", "91s"),
        (AGAIN, "{ a: 1 }", "{ a: 2 }"),
        (AGAIN, "enabled: false", "enabled: true"),
        (OWS_AFTER, "minutes: 2", "minutes: 3"),
    ] {
        let text = text.replace("'x'", "\"x\"");
        let (before, after) = (warned(&text), warned(&text.replace(from, to)));
        assert_ne!(before.revision, after.revision, "{to}");
    }
    // A duration counts as what it means.
    let same = AGAIN.replace("90s", "PT1M30S");
    assert_eq!(warned(AGAIN).revision, warned(&same).revision);
}

#[test]
fn mistakes_are_found_at_their_places() {
    let found = report(
        r"id: a
triggers:
  - after: PT1H
  - after: a
  - after: b
    outcome: success
    else: run
  - after: b
    event: c
  - after: b
    within: 500ms
  - after: b
    within: 1.5s
    else: stop
  - event: x
    within: 2h
  - event: almanac.run.ended
  - after: 5
do: [a: { wait: PT1S }]
---
id: c
schedule: { after: 0.5s }
do: [a: { wait: PT1S }]
---
id: d
schedule: { after: 5s, jitter: 1s, timezone: UTC }
do: [a: { wait: PT1S }]
---
id: e
schedule: { after: { definition: x } }
do: [a: { wait: PT1S }]
---
id: f
schedule: { after: 5s, input: 1 }
workflow: { type: T, task_queue: q, args: [] }
---
document: { dsl: '1.0.3', namespace: n, name: g, version: '0.1.0' }
schedule: { after: PT0.5S }
do: [a: { wait: PT1S }]
",
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:3:12: `triggers/0/after` must be the id of a definition, not `PT1H`
      3 |   - after: PT1H
        |            ^
      hint: to start the definition again some time after its own run, write `schedule: { after: PT1H }`
    jobs/nightly.yaml:6:14: `triggers/2/outcome` must be one of completed, failed, any, not `success`
      6 |     outcome: success
        |              ^
    jobs/nightly.yaml:7:5: `triggers/2/else` needs `within`
      7 |     else: run
        |     ^
    jobs/nightly.yaml:8:5: `triggers/3` must have one of `event` and `after`
      8 |   - after: b
        |     ^
    jobs/nightly.yaml:11:13: `triggers/4/within` must be at least `1s`
      11 |     within: 500ms
         |             ^
    jobs/nightly.yaml:13:13: `triggers/5/within` must be whole seconds
      13 |     within: 1.5s
         |             ^
    jobs/nightly.yaml:14:11: `triggers/5/else` must be one of skip, run, fail, not `stop`
      14 |     else: stop
         |           ^
    jobs/nightly.yaml:16:5: `triggers/6/within` needs `after`
      16 |     within: 2h
         |     ^
    jobs/nightly.yaml:17:12: `triggers/7/event` `almanac.run.ended` is no type of events about runs
      17 |   - event: almanac.run.ended
         |            ^
      hint: the types are almanac.run.completed, almanac.run.failed, almanac.run.late
    jobs/nightly.yaml:18:12: `triggers/8/after` must be text, not `5`
      18 |   - after: 5
         |            ^
      hint: quote it: "5"
    jobs/nightly.yaml:22:20: `schedule.after` must be at least 1s
      22 | schedule: { after: 0.5s }
         |                    ^
    jobs/nightly.yaml:26:24: `schedule.jitter` needs times
      26 | schedule: { after: 5s, jitter: 1s, timezone: UTC }
         |                        ^
      hint: beside `after` alone, only `enabled` and `input` have an effect
    jobs/nightly.yaml:26:36: `schedule.timezone` needs times
      26 | schedule: { after: 5s, jitter: 1s, timezone: UTC }
         |                                    ^
      hint: beside `after` alone, only `enabled` and `input` have an effect
    jobs/nightly.yaml:30:20: `schedule.after` must be a duration
      30 | schedule: { after: { definition: x } }
         |                    ^
      hint: to start the definition after the run of another one, write `triggers: [{ after: other-definition }]`
    jobs/nightly.yaml:34:24: `schedule.input` cannot be combined with `workflow.args`
      34 | schedule: { after: 5s, input: 1 }
         |                        ^
      hint: without `workflow.args`, `schedule.input` is the only argument; keep one of them
    jobs/nightly.yaml:38:20: `schedule.after` must be at least 1s
      38 | schedule: { after: PT0.5S }
         |                    ^
    "#);
    let own = report("id: a\ntriggers: [{ event: x }, { after: a }]\ndo: [a: { wait: PT1S }]\n");
    insta::assert_snapshot!(own, @r#"
    jobs/nightly.yaml:2:28: `after` names its own definition `a`
      2 | triggers: [{ event: x }, { after: a }]
        |                            ^
      hint: to start the definition again some time after its own run, write `schedule: { after: PT1H }`
    "#);
}

#[test]
fn an_unknown_definition_is_a_warning() {
    let warnings = |text: &str, known: &[&str]| {
        let ids: Vec<DefinitionId> = known.iter().map(|id| id.parse().unwrap()).collect();
        let known: BTreeSet<_> = ids.iter().collect();
        let documents = parse(text);
        let uses = documents[0].after.iter();
        let found: Vec<_> = uses.filter_map(|one| one.warning(&known)).collect();
        rendered(&found)
    };
    let text = "id: a\ntriggers: [{ after: extract }, { after: 1h }]\ndo: [a: { wait: PT1S }]\n";
    assert_eq!(warnings(text, &["extract", "1h"]), "");
    insta::assert_snapshot!(warnings(text, &["extrakt"]), @r#"
    jobs/nightly.yaml:2:14: warning: there is no definition `extract`: nothing starts after it
      2 | triggers: [{ after: extract }, { after: 1h }]
        |              ^
      hint: did you mean `extrakt`?
    jobs/nightly.yaml:2:34: warning: there is no definition `1h`: nothing starts after it
      2 | triggers: [{ after: extract }, { after: 1h }]
        |                                  ^
      hint: to start the definition again some time after its own run, write `schedule: { after: 1h }`
    "#);
}

/// The errors about cycles of these documents.
fn cycles(documents: &[&str]) -> String {
    let parsed = parse(&documents.join("---\n"));
    let found = || {
        parsed
            .iter()
            .map(|document| (&**document.definition().unwrap(), document))
    };
    let cycles = Cycles::of(found());
    let errors = found().filter_map(|(definition, _)| cycles.errors(&definition.id));
    let errors: Vec<_> = errors.flatten().cloned().collect();
    rendered(&errors)
}

fn after(id: &str, other: &str, more: &str) -> String {
    format!("id: {id}\ntriggers: [{{ after: {other}{more} }}]\ndo: [a: {{ wait: PT1S }}]\n")
}

#[test]
fn a_cycle_is_an_error_at_each_trigger_on_it() {
    let (a, b, c) = (
        after("a", "c", ""),
        after("b", "a", ""),
        after("c", "b", ""),
    );
    let outside = after("d", "a", "");
    insta::assert_snapshot!(cycles(&[&a, &b, &c, &outside]), @r#"
    jobs/nightly.yaml:2:14: `after` closes a cycle: a -> b -> c -> a
      2 | triggers: [{ after: c }]
        |              ^
      hint: the definitions would start each other for ever; give a trigger on the way a `when`, or remove it
    jobs/nightly.yaml:6:14: `after` closes a cycle: b -> c -> a -> b
      6 | triggers: [{ after: a }]
        |              ^
      hint: the definitions would start each other for ever; give a trigger on the way a `when`, or remove it
    jobs/nightly.yaml:10:14: `after` closes a cycle: c -> a -> b -> c
      10 | triggers: [{ after: b }]
         |              ^
      hint: the definitions would start each other for ever; give a trigger on the way a `when`, or remove it
    "#);
    let two = cycles(&[&after("a", "b", ""), &after("b", "a", ", outcome: failed")]);
    assert!(two.contains("`after` closes a cycle: a -> b -> a"), "{two}");
    assert!(two.contains("`after` closes a cycle: b -> a -> b"), "{two}");
}

#[test]
fn a_condition_or_a_disabled_part_opens_a_cycle() {
    let a = after("a", "b", "");
    for b in [
        after("b", "a", ", when: .data.x"),
        after("b", "a", ", enabled: false"),
        after("b", "c", ""),
        format!("enabled: false\n{}", after("b", "a", "")),
    ] {
        assert_eq!(cycles(&[&a, &b]), "", "{b}");
    }
}

const EMITS: &str = "id: a
triggers: [{ after: b }]
do:
  - tell: { emit: { event: { with: { type: told, source: /a } } } }
";
const TOLD: &str = "id: b\ntriggers: [{ event: told }]\ndo: [a: { wait: PT1S }]\n";

#[test]
fn an_event_of_a_step_can_be_a_part_of_a_cycle() {
    insta::assert_snapshot!(cycles(&[EMITS, TOLD]), @r#"
    jobs/nightly.yaml:2:14: `after` closes a cycle: a -> event told -> b -> a
      2 | triggers: [{ after: b }]
        |              ^
      hint: the definitions would start each other for ever; give a trigger on the way a `when`, or remove it
    jobs/nightly.yaml:7:21: `event` closes a cycle: b -> a -> event told -> b
      7 | triggers: [{ event: told }]
        |                     ^
      hint: the definitions would start each other for ever; give a trigger on the way a `when`, or remove it
    "#);
    for (from, to) in [
        ("emit:", "if: '${ .x }', emit:"),
        ("type: told", "type: other"),
        ("type: told", "type: '${ .x }'"),
    ] {
        assert_eq!(cycles(&[&EMITS.replace(from, to), TOLD]), "", "{to}");
    }
    let conditional = TOLD.replace("told }", "told, when: .data.x }");
    assert_eq!(cycles(&[EMITS, &conditional]), "");
    let itself = TOLD.replace(
        "a: { wait: PT1S }",
        "tell: { emit: { event: { with: { type: told, source: /a } } } }",
    );
    assert!(cycles(&[&itself]).contains("`event` closes a cycle: b -> event told -> b"));
}

#[test]
fn of_many_cycles_and_of_a_long_one_a_part_is_shown() {
    let count = 500;
    let documents: Vec<_> = (0..count)
        .map(|n| after(&format!("d{n}"), &format!("d{}", (n + 1) % count), ""))
        .collect();
    let documents: Vec<_> = documents.iter().map(String::as_str).collect();
    let found = cycles(&documents);
    assert_eq!(found.matches("closes a cycle").count(), count);
    assert_eq!(found.matches("closes a cycle: ").count(), 100);
    assert!(found.contains("(481 more)"), "{}", &found[..2000]);
}
