use almanac_base::names::WorkerId;
use almanac_core::field::Field;
use almanac_core::record::{Change, DriftCounts, ReportError, Trigger, WorkerState};
use jiff::Timestamp;

use super::*;

fn project() -> Project {
    "billing".parse().unwrap()
}

fn revision(text: &str) -> Revision {
    serde_json::from_value(text.into()).unwrap()
}

fn worker(holds: &str) -> WorkerState {
    WorkerState {
        revision: revision(holds),
        ..WorkerState::default()
    }
}

#[test]
fn before_the_first_worker() {
    let status = Status {
        state: "waiting_for_worker".to_owned(),
        ..Status::default()
    };
    insta::assert_snapshot!(render(&project(), &status), @"
    # Almanac: billing

    - **State:** waiting for worker
    - **Workers:** none; passes wait for a worker

    No pass has ended yet.
    ");
}

#[test]
fn after_a_pass() {
    let at: Timestamp = "2026-07-01T02:30:00.123Z".parse().unwrap();
    let status = Status {
        state: "idle".to_owned(),
        revision: Some(revision("r2")),
        workers: [
            (WorkerId::new("a"), worker("r1")),
            (WorkerId::new("b"), worker("r2")),
        ]
        .into(),
        last_success: Some(at),
        last_error: Some("a `quoted` error\n| with a bar".to_owned()),
        held: Some(Held {
            digest: "abc".to_owned(),
            reason: "40 of 100 schedules would go".to_owned(),
            ids: vec!["schedule-billing-x".to_owned()],
            count: 40,
        }),
        reports: vec![Report {
            pass: 7,
            trigger: Trigger::Change,
            started_at: at,
            duration_ms: 42,
            schedules: ScheduleCounts {
                desired: 3,
                updated: 1,
                unchanged: 2,
                ..ScheduleCounts::default()
            },
            drift: DriftCounts {
                detected: 2,
                corrected: 1,
                ..DriftCounts::default()
            },
            changes: vec![Change {
                id: "nightly".to_owned(),
                op: Op::Update,
                fields: vec![Field::Times],
                reason: "times: the YAML changed".to_owned(),
            }],
            errors: vec![ReportError {
                source: "a.yaml:3:1".to_owned(),
                id: Some("weekly".to_owned()),
                message: "cron: bad".to_owned(),
            }],
            truncated: 5,
            ..Report::default()
        }],
        ..Status::default()
    };
    insta::assert_snapshot!(render(&project(), &status), @r"
    # Almanac: billing

    - **State:** idle
    - **Revision:** `r2`
    - **Workers:** 2, which hold different revisions (1 with `r1`, 1 with `r2`): nothing is removed
    - **Last success:** 2026-07-01T02:30:00Z
    - **Last error:** `a 'quoted' error\n/ with a bar`

    ## Held removals: 40

    `40 of 100 schedules would go`

    To confirm them: `almanac sync --project billing --confirm abc`

    - `schedule-billing-x`
    - and 39 more

    ## Pass 7

    Trigger: change. Started 2026-07-01T02:30:00Z, took 42 ms, 1 errors.

    | schedules | |
    |---|---|
    | desired | 3 |
    | unchanged | 2 |
    | updated | 1 |
    | drifted fields (corrected) | 2 (1) |

    ### Changes

    - update `nightly`: `times: the YAML changed`

    ### Errors

    - `a.yaml:3:1` `weekly` `cron: bad`

    The report leaves out 5 entries.
    ");
}

#[test]
fn the_details_are_bounded_and_stay_plain_text() {
    let status = Status {
        last_error: Some("`x`|\n".repeat(100_000)),
        reports: vec![Report {
            errors: vec![
                ReportError {
                    source: "s".repeat(10_000),
                    id: Some("`](http://evil)".to_owned()),
                    message: "ä".repeat(10_000),
                };
                100
            ],
            changes: vec![
                Change {
                    id: "i".repeat(10_000),
                    op: Op::Create,
                    fields: Vec::new(),
                    reason: "r".repeat(10_000),
                };
                100
            ],
            ..Report::default()
        }],
        ..Status::default()
    };
    let text = render(&project(), &status);
    assert!(text.len() < 32 * 1024, "{}", text.len());
    assert!(text.contains("- and 80 more"));
    assert!(text.lines().all(|line| line.matches('`').count() % 2 == 0));
}
