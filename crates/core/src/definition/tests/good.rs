//! Valid documents, and the definitions that they become.

use std::time::Duration;

use serde_json::json;

use super::{definition, parse, warned};
use crate::definition::{Kind, OverlapPolicy, Program, SearchAttribute};

pub(super) const FULL: &str = r#"
id: nightly-invoices
description: Weekday invoice run
enabled: true
labels: { team: billing }
schedule:
  enabled: true
  cron: "30 4 * * MON-FRI"
  calendars: [{ hour: 9, day_of_week: MON }]
  exclude: [{ month: 12, day_of_month: "24-26" }]
  timezone: Europe/Berlin
  start_at: 2026-01-01T00:00:00Z
  end_at: 2027-01-01T00:00:00+01:00
  jitter: 2m
  overlap_policy: buffer_one
  catchup_window: 30m
  pause_on_failure: true
  max_actions: 10
workflow:
  type: InvoiceRun
  task_queue: billing-go
  args: [{ mode: nightly, at: 09, deep: [1.5, null, true] }]
  execution_timeout: 3h
  run_timeout: 2h
  task_timeout: 10s
  priority: 2
  summary: Invoices
  retry: { initial_interval: 2s, backoff_coefficient: 1.5, maximum_attempts: 5, non_retryable_error_types: [Bad] }
  memo: { cost_center: 42 }
  search_attributes:
    Team: billing
    Count: 3
    Share: 0.5
    Live: true
    Since: 2026-01-01T00:00:00Z
    Text: "2026-01-01T00:00:00Z"
    Tags: [a, b]
"#;

#[test]
fn every_key_is_read() {
    let definition = definition(FULL);
    assert_eq!(definition.id.as_str(), "nightly-invoices");
    assert_eq!(
        definition.description.as_deref(),
        Some("Weekday invoice run")
    );
    assert_eq!(definition.labels.get("team"), Some("billing"));
    let schedule = definition.schedule.unwrap();
    assert_eq!(schedule.cron, ["30 4 * * MON-FRI"]);
    assert_eq!(
        schedule.spec.to_string(),
        "0 9 * * 1; 30 4 * * 1-5; but not * * * 24-26 12 * * (Europe/Berlin) from 2026-01-01T00:00:00Z until 2026-12-31T23:00:00Z within 2m"
    );
    assert_eq!(schedule.overlap_policy, OverlapPolicy::BufferOne);
    assert_eq!(schedule.catchup_window, Duration::from_mins(30));
    assert!(schedule.pause_on_failure);
    assert_eq!(schedule.max_actions, Some(10));
    let Program::Workflow(block) = definition.program else {
        panic!("not a workflow");
    };
    assert_eq!(
        (block.workflow_type.as_str(), block.task_queue.as_str()),
        ("InvoiceRun", "billing-go")
    );
    assert_eq!(
        block.args,
        Some(vec![
            json!({"mode": "nightly", "at": 9, "deep": [1.5, null, true]}).into()
        ])
    );
    assert_eq!(
        block.options.execution_timeout,
        Some(Duration::from_hours(3))
    );
    assert_eq!(block.options.run_timeout, Some(Duration::from_hours(2)));
    assert_eq!(block.options.task_timeout, Some(Duration::from_secs(10)));
    assert_eq!(block.options.priority, Some(2));
    assert_eq!(block.options.summary.as_deref(), Some("Invoices"));
    let retry = block.retry.unwrap();
    assert_eq!(retry.initial_interval, Duration::from_secs(2));
    assert!((retry.backoff_coefficient - 1.5).abs() < f64::EPSILON);
    assert_eq!(retry.maximum_interval, Duration::from_secs(200));
    assert_eq!(retry.maximum_attempts, 5);
    assert_eq!(retry.non_retryable_error_types, ["Bad"]);
    assert_eq!(block.memo["cost_center"], json!(42));
    let datetime = "2026-01-01T00:00:00Z";
    let expected = [
        ("Count", SearchAttribute::Int(3)),
        ("Live", SearchAttribute::Bool(true)),
        ("Share", SearchAttribute::Double(0.5)),
        (
            "Since",
            SearchAttribute::Datetime(datetime.parse().unwrap()),
        ),
        (
            "Tags",
            SearchAttribute::KeywordList(vec!["a".into(), "b".into()]),
        ),
        ("Team", SearchAttribute::Keyword("billing".into())),
        ("Text", SearchAttribute::Keyword(datetime.into())),
    ];
    let expected = expected
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    assert_eq!(block.search_attributes, expected.collect());
}

pub(super) const STEPS: &str = "
schedule: { every: { interval: 6h, offset: 15m }, overlap_policy: allow, input: { n: 1 } }
do:
  - pause: { wait: { minutes: 90, seconds: 5, milliseconds: 250 } }
  - again: { wait: P1DT2H }
  - never: { wait: PT0S }
  - note: { set: { text: 'costs ${ 5 }', list: [1, null] } }
";

pub(super) const OWS: &str = "
document:
  dsl: '1.0.3'
  namespace: billing
  name: invoices
  version: '1.2.0-rc.1'
  title: Title
  summary: Summary
  tags: { team: billing }
  metadata: { anything: [1] }
schedule:
  cron: 0 12 * * *
  every: { minutes: 90 }
do:
  - pause: { wait: { seconds: 5 } }
";

#[test]
fn steps_are_carried_with_waits_as_maps() {
    let definition = warned(STEPS);
    assert_eq!(definition.id.as_str(), "nightly", "the file's stem");
    let schedule = definition.schedule.unwrap();
    assert_eq!(schedule.spec.to_string(), "every 6h/15m");
    assert_eq!(schedule.overlap_policy, OverlapPolicy::AllowAll);
    assert_eq!(schedule.catchup_window, Duration::from_hours(1));
    assert_eq!(schedule.input, Some(json!({ "n": 1 }).into()));
    let Program::Steps(steps) = definition.program else {
        panic!("no steps");
    };
    let expected = json!([
        { "pause": { "wait": { "hours": 1, "minutes": 30, "seconds": 5, "milliseconds": 250 } } },
        { "again": { "wait": { "days": 1, "hours": 2 } } },
        { "never": { "wait": { "seconds": 0 } } },
        { "note": { "set": { "text": "costs ${ 5 }", "list": [1, null] } } },
    ]);
    assert_eq!(steps.value(), expected);
    assert!(almanac_steps::language::parse(&steps.value()).is_ok());
}

#[test]
fn a_workflow_of_the_specification_becomes_a_definition() {
    let definition = definition(OWS);
    assert_eq!(definition.id.as_str(), "invoices");
    assert_eq!(definition.description.as_deref(), Some("Summary"));
    assert_eq!(definition.labels.get("team"), Some("billing"));
    let schedule = definition.schedule.unwrap();
    assert_eq!(schedule.spec.to_string(), "0 12 * * *; every 1h30m");
    assert_eq!(schedule.cron, ["0 12 * * *"]);
    // "Regardless of whether the previous run is still in progress."
    assert_eq!(schedule.overlap_policy, OverlapPolicy::AllowAll);
    let cron = super::definition(&OWS.replace("  every: { minutes: 90 }\n", ""));
    assert_eq!(cron.schedule.unwrap().overlap_policy, OverlapPolicy::Skip);
}

#[test]
fn a_definition_without_a_schedule_runs_only_manually_or_on_events() {
    assert_eq!(definition("do: [a: { set: { x: 1 } }]").schedule, None);
}

#[test]
fn the_zone_of_a_cron_is_the_schedules() {
    let text = "schedule: { cron: [TZ=Asia/Tokyo 0 12 * * *, CRON_TZ=Asia/Tokyo 0 13 * * *], timezone: Asia/Tokyo }\ndo: [a: { wait: PT1S }]";
    for text in [text, &text.replace(", timezone: Asia/Tokyo", "")] {
        let schedule = definition(text).schedule.unwrap();
        assert_eq!(
            schedule.spec.to_string(),
            "0 12 * * *; 0 13 * * * (Asia/Tokyo)"
        );
    }
}

#[test]
fn a_failing_document_keeps_its_id() {
    let ids = |text: &str| -> Vec<(usize, Option<String>, bool)> {
        let documents = parse(text).into_iter();
        documents
            .map(|d| (d.line, d.id.map(|id| id.to_string()), d.result.is_ok()))
            .collect()
    };
    let one = |text: &str| ids(text).remove(0).1;
    assert_eq!(
        ids(
            "# c\n---\n# c\nid: a\ndo: [x: { wait: PT1S }]\n--- {id: b}\n---\n\"id\": c\nx: \"\n---\nid: d # e\nx: [\n"
        ),
        [
            (4, Some("a".to_owned()), true),
            (6, Some("b".to_owned()), false),
            (8, None, false),
            (11, Some("d".to_owned()), false),
        ]
    );
    // The stem, but not where the broken part may have stated another.
    assert_eq!(one("x: 1"), Some("nightly".to_owned()));
    assert_eq!(one("x: ["), None);
    assert_eq!(one("idd: other"), None);
    assert_eq!(one("id: Not An Id"), None);
    assert_eq!(one("id: a\nid: b\n"), None);
    assert_eq!(one("id: 7\n"), Some("7".to_owned()));
    assert_eq!(one("id: 'quoted' # x\nx: [\n"), Some("quoted".to_owned()));
    assert_eq!(
        one("document:\n  name: spec\nx: [\n"),
        Some("spec".to_owned())
    );
    assert_eq!(one("document: { name: spec }\n"), Some("spec".to_owned()));
}

#[test]
fn the_kind_of_an_invalid_document_is_known() {
    let kinds: Vec<Kind> =
        parse("kind: calendar\n---\nkind: event_type\n---\nkind: workflow\n---\nkind: x")
            .into_iter()
            .map(|document| document.kind)
            .collect();
    assert_eq!(
        kinds,
        [
            Kind::Calendar,
            Kind::EventType,
            Kind::Workflow,
            Kind::Workflow
        ]
    );
}

#[test]
fn a_revision_is_the_same_in_every_release() {
    // A revision travels in schedules and runs: one that moves makes every
    // schedule of every user differ. Never change these.
    let revisions = [FULL, STEPS, OWS].map(|text| warned(text).revision.to_string());
    insta::assert_snapshot!(revisions.join(" "), @"1d50d8eb396f368b 35c34b063f564a73 2e7b525a47b8aead");
}

#[test]
fn every_part_counts_for_the_revision() {
    let revision = |text: &str| warned(text).revision;
    let before = revision(FULL);
    for (from, to) in [
        ("description: Weekday", "description: Weekly"),
        ("\nenabled: true", "\nenabled: false"),
        ("team: billing }", "team: ops }"),
        ("  enabled: true", "  enabled: false"),
        ("30 4 *", "31 4 *"),
        ("hour: 9,", "hour: 10,"),
        ("24-26", "24-25"),
        ("Europe/Berlin", "Europe/Paris"),
        ("start_at: 2026", "start_at: 2025"),
        ("00+01:00", "00Z"),
        ("jitter: 2m", "jitter: 3m"),
        ("buffer_one", "skip"),
        ("catchup_window: 30m", "catchup_window: 31m"),
        ("pause_on_failure: true", "pause_on_failure: false"),
        ("max_actions: 10", "max_actions: 11"),
        ("type: InvoiceRun", "type: Invoice"),
        ("billing-go", "billing"),
        ("at: 09", "at: 10"),
        ("execution_timeout: 3h", "execution_timeout: 4h"),
        ("run_timeout: 2h", "run_timeout: 1h"),
        ("task_timeout: 10s", "task_timeout: 9s"),
        ("priority: 2", "priority: 3"),
        ("summary: Invoices", "summary: Bills"),
        ("initial_interval: 2s", "initial_interval: 3s"),
        ("backoff_coefficient: 1.5", "backoff_coefficient: 1.6"),
        ("maximum_attempts: 5", "maximum_attempts: 6"),
        ("[Bad]", "[Worse]"),
        ("cost_center: 42", "cost_center: 43"),
        ("Team: billing", "Team: \"7\""),
        ("Count: 3", "Count: 3.0"),
    ] {
        assert!(FULL.contains(from), "{from}");
        assert_ne!(revision(&FULL.replacen(from, to, 1)), before, "{from}");
    }
    assert_ne!(
        revision(STEPS),
        revision(&STEPS.replace("list: [1", "list: [2"))
    );
    assert_ne!(
        revision(STEPS),
        revision(&STEPS.replace("offset: 15m", "offset: 16m"))
    );
    assert_ne!(revision(STEPS), revision(&STEPS.replace("n: 1", "n: 2")));
}
