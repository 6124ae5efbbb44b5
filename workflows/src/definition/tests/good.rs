//! What valid documents mean.

use std::time::Duration;

use serde_json::json;

use super::definition;
use crate::definition::{OverlapPolicy, Program, SearchAttribute};

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
    assert_eq!(definition.labels["team"], "billing");
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
            json!({"mode": "nightly", "at": 9, "deep": [1.5, null, true]})
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
