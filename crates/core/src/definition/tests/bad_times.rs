//! Crons, calendars, intervals and zones.

use super::report;

#[test]
fn crons_point_at_the_field() {
    let found = report(
        r#"id: a
schedule:
  cron:
    - "61 * * * *"
    - 0 25 * * *
    - '0 0 * *'
    - "\x30 0 32 * *"
    - [1]
  timezone: Europe/Berlino
do: [a: { wait: PT1S }]
"#,
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:4:8: `schedule.cron`: minute `61` is not from 0 to 59
      4 |     - "61 * * * *"
        |        ^
    jobs/nightly.yaml:5:9: `schedule.cron`: hour `25` is not from 0 to 23
      5 |     - 0 25 * * *
        |         ^
    jobs/nightly.yaml:6:8: `schedule.cron`: cron `0 0 * *` has 4 fields, not 5, 6 or 7
      6 |     - '0 0 * *'
        |        ^
      hint: minute hour day_of_month month day_of_week, then optionally the year; with seven fields, seconds come first
    jobs/nightly.yaml:7:7: `schedule.cron`: day_of_month `32` is not from 1 to 31
      7 |     - "\x30 0 32 * *"
        |       ^
    jobs/nightly.yaml:8:7: `schedule.cron` must be text, not a list
      8 |     - [1]
        |       ^
    jobs/nightly.yaml:9:13: `schedule.timezone`: unknown time zone `Europe/Berlino`
      9 |   timezone: Europe/Berlino
        |             ^
      hint: did you mean Europe/Berlin?
    "#);
}

#[test]
fn cron_surprises_are_warnings() {
    let found = report(
        r#"id: a
schedule: { cron: [ "0 12 * * 5#3", "0 12 13 * FRI", "0 12 * * 1-7", "0 12 1 1 * 2027" ] }
do: [a: { wait: PT1S }]
---
id: b
schedule: { cron: "30 2 * * *", every: 1h, timezone: Europe/Berlin }
do: [a: { wait: PT1S }]
"#,
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:2:32: warning: `schedule.cron`: `#3` is a comment for Temporal and has no effect
      2 | schedule: { cron: [ "0 12 * * 5#3", "0 12 13 * FRI", "0 12 * * 1-7", "0 12 1 1 * 2027" ] }
        |                                ^
      hint: Temporal has no `#` for the n-th weekday of a month; put comments into the YAML
    jobs/nightly.yaml:2:43: warning: `schedule.cron`: fires only on days that match both day_of_month `13` and day_of_week `FRI`
      2 | schedule: { cron: [ "0 12 * * 5#3", "0 12 13 * FRI", "0 12 * * 1-7", "0 12 1 1 * 2027" ] }
        |                                           ^
      hint: other cron implementations fire if either matches; for that, write two cron strings
    jobs/nightly.yaml:2:64: warning: `schedule.cron`: day_of_week `1-7` does not fire on Sundays: the server drops the 7
      2 | schedule: { cron: [ "0 12 * * 5#3", "0 12 13 * FRI", "0 12 * * 1-7", "0 12 1 1 * 2027" ] }
        |                                                                ^
      hint: write `*` for every day, or `1-6` for Monday to Saturday
    jobs/nightly.yaml:2:82: warning: `schedule.cron`: Temporal reads the sixth field `2027` as the year
      2 | schedule: { cron: [ "0 12 * * 5#3", "0 12 13 * FRI", "0 12 * * 1-7", "0 12 1 1 * 2027" ] }
        |                                                                                  ^
      hint: a cron string with seconds has seven fields: seconds first, the year last
    jobs/nightly.yaml:6:54: warning: intervals ignore the time zone Europe/Berlin
      6 | schedule: { cron: "30 2 * * *", every: 1h, timezone: Europe/Berlin }
        |                                                      ^
      hint: intervals count from 1970 in UTC; for local times write a cron string
    jobs/nightly.yaml:6:54: warning: 2026-03-29 02:30 does not exist in Europe/Berlin, and is skipped
      6 | schedule: { cron: "30 2 * * *", every: 1h, timezone: Europe/Berlin }
        |                                                      ^
      hint: choose an hour in which the clock does not change, or UTC
    "#);
}

#[test]
fn zones_of_crons_must_agree() {
    let found = report(
        r#"id: a
schedule: { cron: "TZ=Europe/Berlin 0 12 * * *", timezone: UTC }
do: [a: { wait: PT1S }]
---
id: b
schedule: { cron: ["TZ=Europe/Berlin 0 12 * * *", "0 13 * * *"] }
do: [a: { wait: PT1S }]
"#,
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:2:60: `schedule.timezone`: the cron string's time zone Europe/Berlin conflicts with `timezone: UTC`
      2 | schedule: { cron: "TZ=Europe/Berlin 0 12 * * *", timezone: UTC }
        |                                                            ^
      hint: a schedule has one time zone: write it once, as `timezone:`
    jobs/nightly.yaml:6:19: `schedule.cron`: a cron string with time zone Europe/Berlin conflicts with one with no time zone
      6 | schedule: { cron: ["TZ=Europe/Berlin 0 12 * * *", "0 13 * * *"] }
        |                   ^
      hint: a schedule has one time zone: write it once, as `timezone:`
    "#);
}

#[test]
fn calendars_are_checked_field_by_field() {
    let found = report(
        r#"id: a
schedule:
  calendars: [{ hour: 25, minute: "x" }, {}, 3, { hour: [1, 2] }, { hours: 1 }]
  exclude: { month: 12 }
do: [a: { wait: PT1S }]
---
id: b
schedule: { calendars: [], cron: [], every: [] }
do: [a: { wait: PT1S }]
"#,
    );
    insta::assert_snapshot!(found, @r#"
    jobs/nightly.yaml:3:23: `schedule.calendars.hour`: hour `25` is not from 0 to 23
      3 |   calendars: [{ hour: 25, minute: "x" }, {}, 3, { hour: [1, 2] }, { hours: 1 }]
        |                       ^
    jobs/nightly.yaml:3:36: `schedule.calendars.minute`: minute `x` is not a value from 0 to 59
      3 |   calendars: [{ hour: 25, minute: "x" }, {}, 3, { hour: [1, 2] }, { hours: 1 }]
        |                                    ^
    jobs/nightly.yaml:3:42: an entry of `schedule.calendars` has no field
      3 |   calendars: [{ hour: 25, minute: "x" }, {}, 3, { hour: [1, 2] }, { hours: 1 }]
        |                                          ^
      hint: for each day at midnight, write `hour: 0`
    jobs/nightly.yaml:3:46: `schedule.calendars` must be a map, not `3`
      3 |   calendars: [{ hour: 25, minute: "x" }, {}, 3, { hour: [1, 2] }, { hours: 1 }]
        |                                              ^
    jobs/nightly.yaml:3:57: `schedule.calendars.hour` must be text or a number, not a list
      3 |   calendars: [{ hour: 25, minute: "x" }, {}, 3, { hour: [1, 2] }, { hours: 1 }]
        |                                                         ^
      hint: write several values as text: "9,17"
    jobs/nightly.yaml:3:69: unknown key `hours` in a calendar
      3 |   calendars: [{ hour: 25, minute: "x" }, {}, 3, { hour: [1, 2] }, { hours: 1 }]
        |                                                                     ^
      hint: did you mean `hour`?
    jobs/nightly.yaml:4:12: `schedule.exclude` must be a list of calendars, not a map
      4 |   exclude: { month: 12 }
        |            ^
    jobs/nightly.yaml:8:24: `schedule.calendars` is an empty list
      8 | schedule: { calendars: [], cron: [], every: [] }
        |                        ^
    jobs/nightly.yaml:8:34: `schedule.cron` is an empty list
      8 | schedule: { calendars: [], cron: [], every: [] }
        |                                  ^
    jobs/nightly.yaml:8:45: `schedule.every` is an empty list
      8 | schedule: { calendars: [], cron: [], every: [] }
        |                                             ^
    "#);
}
