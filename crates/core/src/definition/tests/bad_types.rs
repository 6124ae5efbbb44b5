//! Values of the wrong type or out of range.

use super::report;

#[test]
fn booleans_are_those_of_yaml_1_2() {
    let found = report(
        r#"id: a
enabled: on
schedule:
  enabled: "false"
  every: 1h
  pause_on_failure: 1
do: [a: { wait: PT1S }]
"#,
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:2:10: `enabled` must be true or false, not `on`
      2 | enabled: on
        |          ^
      hint: write `true`
    jobs/nightly.yaml:4:12: `schedule.enabled` must be true or false, not the text `false`
      4 |   enabled: "false"
        |            ^
      hint: write `false`
    jobs/nightly.yaml:6:21: `schedule.pause_on_failure` must be true or false, not `1`
      6 |   pause_on_failure: 1
        |                     ^
      hint: write `true`
    "#);
}

#[test]
fn text_is_not_guessed_from_other_types() {
    let found = report(
        r#"id: a
description: 3
labels: { a: 1, b: [x], c: true, d: }
schedule: [x]
workflow:
  type: 3.0
  task_queue: ""
  args: x
  summary: {}
  memo: []
"#,
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:2:14: `description` must be text, not `3`
      2 | description: 3
        |              ^
      hint: quote it: "3"
    jobs/nightly.yaml:3:14: `labels.a` must be text, not `1`
      3 | labels: { a: 1, b: [x], c: true, d: }
        |              ^
      hint: quote it: "1"
    jobs/nightly.yaml:3:20: `labels.b` must be text, not a list
      3 | labels: { a: 1, b: [x], c: true, d: }
        |                    ^
    jobs/nightly.yaml:3:28: `labels.c` must be text, not `true`
      3 | labels: { a: 1, b: [x], c: true, d: }
        |                            ^
      hint: quote it: "true"
    jobs/nightly.yaml:3:35: `labels.d` must be text, not nothing
      3 | labels: { a: 1, b: [x], c: true, d: }
        |                                   ^
    jobs/nightly.yaml:4:11: `schedule` must be a map, not a list
      4 | schedule: [x]
        |           ^
    jobs/nightly.yaml:6:9: `workflow.type` must be text, not `3.0`
      6 |   type: 3.0
        |         ^
      hint: quote it: "3.0"
    jobs/nightly.yaml:7:15: `workflow.task_queue` must not be empty
      7 |   task_queue: ""
        |               ^
    jobs/nightly.yaml:8:9: `workflow.args` must be a list, not `x`
      8 |   args: x
        |         ^
    jobs/nightly.yaml:9:12: `workflow.summary` must be text, not a map
      9 |   summary: {}
        |            ^
    jobs/nightly.yaml:10:9: `workflow.memo` must be a map, not an empty list
      10 |   memo: []
         |         ^
    "#);
}

#[test]
fn durations_have_units_and_ranges() {
    let found = report(
        r"id: a
schedule:
  every: 90
  jitter: 1 month
  catchup_window: 5s
workflow:
  type: T
  task_queue: q
  execution_timeout: 0s
  run_timeout: P1M
  task_timeout: 5m
  retry: { initial_interval: 5s, maximum_interval: 1s }
---
id: b
schedule: { every: [{ interval: 1h, offset: 2h }, { offset: 1m }, 500ms, 1.5s, PT0S] }
workflow: { type: T, task_queue: q, execution_timeout: 1h, run_timeout: 2h }
",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:3:10: `schedule.every` must be a duration, not `90`
      3 |   every: 90
        |          ^
      hint: the number needs a unit: `90s`, `90m` or `90h`
    jobs/nightly.yaml:4:11: `schedule.jitter` must be a duration, not `1 month`
      4 |   jitter: 1 month
        |           ^
      hint: write it like `90s`, `1h30m` or `PT1H30M`
    jobs/nightly.yaml:9:22: `workflow.execution_timeout` must be at least 1ms, not `0s`
      9 |   execution_timeout: 0s
        |                      ^
    jobs/nightly.yaml:10:16: `workflow.run_timeout` must be a duration, not `P1M`
      10 |   run_timeout: P1M
         |                ^
      hint: years and months have no fixed length; use days
    jobs/nightly.yaml:11:17: `workflow.task_timeout` must be from 1ms to 2m, not `5m`
      11 |   task_timeout: 5m
         |                 ^
    jobs/nightly.yaml:12:52: `workflow.retry.maximum_interval` 1s is shorter than the initial interval 5s
      12 |   retry: { initial_interval: 5s, maximum_interval: 1s }
         |                                                    ^
    jobs/nightly.yaml:5:19: warning: `schedule.catchup_window` `5s` is raised to 10s, the server's minimum
      5 |   catchup_window: 5s
        |                   ^
      hint: write `10s`
    jobs/nightly.yaml:15:45: `schedule.every`: offset 2h is not within its interval 1h
      15 | schedule: { every: [{ interval: 1h, offset: 2h }, { offset: 1m }, 500ms, 1.5s, PT0S] }
         |                                             ^
      hint: an offset must be shorter than its interval
    jobs/nightly.yaml:15:51: `schedule.every` has no `interval`
      15 | schedule: { every: [{ interval: 1h, offset: 2h }, { offset: 1m }, 500ms, 1.5s, PT0S] }
         |                                                   ^
    jobs/nightly.yaml:15:67: `schedule.every` must be whole seconds, not `500ms`
      15 | schedule: { every: [{ interval: 1h, offset: 2h }, { offset: 1m }, 500ms, 1.5s, PT0S] }
         |                                                                   ^
    jobs/nightly.yaml:15:74: `schedule.every` must be whole seconds, not `1.5s`
      15 | schedule: { every: [{ interval: 1h, offset: 2h }, { offset: 1m }, 500ms, 1.5s, PT0S] }
         |                                                                          ^
    jobs/nightly.yaml:15:80: `schedule.every`: interval 0s is shorter than a second
      15 | schedule: { every: [{ interval: 1h, offset: 2h }, { offset: 1m }, 500ms, 1.5s, PT0S] }
         |                                                                                ^
    jobs/nightly.yaml:16:73: warning: `workflow.run_timeout` 2h is longer than `workflow.execution_timeout` 1h, which ends the run first
      16 | workflow: { type: T, task_queue: q, execution_timeout: 1h, run_timeout: 2h }
         |                                                                         ^
      hint: the execution timeout covers all runs of one execution
    ");
}

#[test]
fn numbers_have_ranges() {
    let found = report(
        r"id: a
schedule: { every: 1h, max_actions: 0 }
workflow:
  type: T
  task_queue: q
  args: [123456789012345678901234567890, .nan]
  priority: 9
  retry: { backoff_coefficient: 0.5, maximum_attempts: -1, non_retryable_error_types: Bad }
",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:2:37: `schedule.max_actions` must be a whole number from 1 to 2147483647, not `0`
      2 | schedule: { every: 1h, max_actions: 0 }
        |                                     ^
    jobs/nightly.yaml:6:10: the number `123456789012345678901234567890` does not fit into 64 bits
      6 |   args: [123456789012345678901234567890, .nan]
        |          ^
      hint: quote it to pass it as text
    jobs/nightly.yaml:6:42: `.nan` is not a number in JSON
      6 |   args: [123456789012345678901234567890, .nan]
        |                                          ^
      hint: quote it to pass it as text
    jobs/nightly.yaml:7:13: `workflow.priority` must be a whole number from 1 to 5, not `9`
      7 |   priority: 9
        |             ^
    jobs/nightly.yaml:8:33: `workflow.retry.backoff_coefficient` must be a number, 1 or more, not `0.5`
      8 |   retry: { backoff_coefficient: 0.5, maximum_attempts: -1, non_retryable_error_types: Bad }
        |                                 ^
    jobs/nightly.yaml:8:56: `workflow.retry.maximum_attempts` must be a whole number from 0 to 2147483647, not `-1`
      8 |   retry: { backoff_coefficient: 0.5, maximum_attempts: -1, non_retryable_error_types: Bad }
        |                                                        ^
    jobs/nightly.yaml:8:87: `workflow.retry.non_retryable_error_types` must be a list of texts, not `Bad`
      8 |   retry: { backoff_coefficient: 0.5, maximum_attempts: -1, non_retryable_error_types: Bad }
        |                                                                                       ^
    ");
}

#[test]
fn a_text_in_the_form_of_a_timestamp_is_one() {
    let found = report(
        r#"id: a
schedule: { every: 1h, end_at: 9999-12-31T23:59:59Z }
workflow:
  type: T
  task_queue: q
  search_attributes: { A: 9999-12-31T23:59:59Z, B: "9999-12-31T23:59:59Z", C: 2026-02-30T00:00:00Z }
"#,
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:2:32: `schedule.end_at` is not an existing date and time: `9999-12-31T23:59:59Z`
      2 | schedule: { every: 1h, end_at: 9999-12-31T23:59:59Z }
        |                                ^
      hint: the last timestamp is 9999-12-30T22:00:00Z
    jobs/nightly.yaml:6:27: `workflow.search_attributes.A` is not an existing date and time: `9999-12-31T23:59:59Z`
      6 |   search_attributes: { A: 9999-12-31T23:59:59Z, B: "9999-12-31T23:59:59Z", C: 2026-02-30T00:00:00Z }
        |                           ^
      hint: the last timestamp is 9999-12-30T22:00:00Z; quote it to pass it as text
    jobs/nightly.yaml:6:79: `workflow.search_attributes.C` is not an existing date and time: `2026-02-30T00:00:00Z`
      6 |   search_attributes: { A: 9999-12-31T23:59:59Z, B: "9999-12-31T23:59:59Z", C: 2026-02-30T00:00:00Z }
        |                                                                               ^
      hint: the last timestamp is 9999-12-30T22:00:00Z; quote it to pass it as text
    "#);
}

#[test]
fn bounds_are_timestamps_in_order() {
    let found = report(
        r"id: a
schedule: { every: 1h, start_at: 2026-01-01, end_at: tomorrow }
do: [a: { wait: PT1S }]
---
id: b
schedule: { every: 1h, start_at: 2026-05-01T00:00:00Z, end_at: 2026-04-30T23:00:00-01:00 }
do: [a: { wait: PT1S }]
---
id: c
schedule: { every: 1h, start_at: 2026-05-01T00:00:00Z, end_at: 2026-04-01T00:00:00Z }
do: [a: { wait: PT1S }]
---
id: d
schedule: { every: 1h, end_at: 2026-01-01T00:00:00Z }
do: [a: { wait: PT1S }]
",
    );
    insta::assert_snapshot!(found, @r"
    jobs/nightly.yaml:2:34: `schedule.start_at` must be a timestamp, not `2026-01-01`
      2 | schedule: { every: 1h, start_at: 2026-01-01, end_at: tomorrow }
        |                                  ^
      hint: write it like `2026-01-31T08:00:00Z` or `2026-01-31T08:00:00+01:00`, from 1970 on
    jobs/nightly.yaml:2:54: `schedule.end_at` must be a timestamp, not `tomorrow`
      2 | schedule: { every: 1h, start_at: 2026-01-01, end_at: tomorrow }
        |                                                      ^
      hint: write it like `2026-01-31T08:00:00Z` or `2026-01-31T08:00:00+01:00`, from 1970 on
    jobs/nightly.yaml:10:64: `schedule.end_at` 2026-04-01T00:00:00Z is before `schedule.start_at` 2026-05-01T00:00:00Z
      10 | schedule: { every: 1h, start_at: 2026-05-01T00:00:00Z, end_at: 2026-04-01T00:00:00Z }
         |                                                                ^
    jobs/nightly.yaml:14:32: warning: `schedule.end_at` 2026-01-01T00:00:00Z has passed: the definition has no schedule
      14 | schedule: { every: 1h, end_at: 2026-01-01T00:00:00Z }
         |                                ^
      hint: remove the definition, or give it a later end
    ");
}

#[test]
fn policies_memos_and_search_attributes_are_checked() {
    let found = report(
        r"id: a
schedule: { every: 1h, overlap_policy: Skip }
workflow:
  type: T
  task_queue: /_sys/q
  memo: { almanac: 1 }
  search_attributes: { A: null, B: {}, C: [], D: [1], TemporalScheduledById: x }
---
id: b
schedule: { every: 1h, overlap_policy: queue }
workflow: { type: T, task_queue: q }
",
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:2:40: `schedule.overlap_policy` must be a known policy, not `Skip`
      2 | schedule: { every: 1h, overlap_policy: Skip }
        |                                        ^
      hint: did you mean `skip`?
    jobs/nightly.yaml:5:15: `workflow.task_queue` `/_sys/q` is reserved by the server: names must not begin with `/_sys/`
      5 |   task_queue: /_sys/q
        |               ^
    jobs/nightly.yaml:6:11: the key `almanac` of `workflow.memo` is reserved
      6 |   memo: { almanac: 1 }
        |           ^
    jobs/nightly.yaml:7:27: `workflow.search_attributes.A` must be text, a number, true or false, a timestamp or a list of texts, not nothing
      7 |   search_attributes: { A: null, B: {}, C: [], D: [1], TemporalScheduledById: x }
        |                           ^
    jobs/nightly.yaml:7:36: `workflow.search_attributes.B` must be text, a number, true or false, a timestamp or a list of texts, not a map
      7 |   search_attributes: { A: null, B: {}, C: [], D: [1], TemporalScheduledById: x }
        |                                    ^
    jobs/nightly.yaml:7:43: `workflow.search_attributes.C` must be text, a number, true or false, a timestamp or a list of texts, not an empty list
      7 |   search_attributes: { A: null, B: {}, C: [], D: [1], TemporalScheduledById: x }
        |                                           ^
    jobs/nightly.yaml:7:51: `workflow.search_attributes.D` must be text, not `1`
      7 |   search_attributes: { A: null, B: {}, C: [], D: [1], TemporalScheduledById: x }
        |                                                   ^
      hint: quote it: "1"
    jobs/nightly.yaml:7:55: the search attribute `TemporalScheduledById` is set by the server
      7 |   search_attributes: { A: null, B: {}, C: [], D: [1], TemporalScheduledById: x }
        |                                                       ^
    jobs/nightly.yaml:10:40: `schedule.overlap_policy` must be a known policy, not `queue`
      10 | schedule: { every: 1h, overlap_policy: queue }
         |                                        ^
      hint: the policies are skip, buffer_one, buffer_all, cancel_other, terminate_other, allow_all
    "#);
}
