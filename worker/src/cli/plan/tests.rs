use std::collections::BTreeSet;

use almanac_base::names::{Project, Revision};
use almanac_core::definition::{ParseContext, parse_file};
use almanac_core::field::Field;
use almanac_core::plan::{BlockKind, Cause, Create, Delete, FieldChange, Remaining, Update};
use almanac_core::record::{ActionMemo, Held, Op, ReportError};
use almanac_core::schedule::{Encryption, ScheduledDefinition};
use almanac_times::{Spec, compile_cron};
use jiff::Timestamp;
use serde_json::json;

use super::text::BLOCKS_SHOWN;
use super::*;
use crate::console::{Medium, Page};
use crate::fire_times::fires;

fn project() -> Project {
    "billing".parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn create(id: &str, yaml: &str) -> Create {
    let now = at("2026-03-02T12:00:00Z");
    let path = format!("{id}.yaml");
    let documents = parse_file(&path, yaml.as_bytes(), &ParseContext { now });
    let definition = documents[0].definition().unwrap();
    let project = Arc::new(project());
    let scheduled =
        ScheduledDefinition::of(&project, definition, &path, &Encryption::None).unwrap();
    Create::of(&Arc::new(scheduled), None)
}

fn update(id: &str, fields: &[(Field, Cause)], changes: Vec<FieldChange>) -> Update {
    let create = create(id, NIGHTLY);
    Update {
        definition: create.definition().clone(),
        schedule: create.schedule().clone(),
        fields: fields.iter().copied().collect(),
        values: (*create.values()).clone(),
        remaining: Remaining::Keep,
        memo: ActionMemo::default(),
        note: String::new(),
        run_input: None,
        op: Op::Update,
        reason: String::new(),
        changes,
        removal: false,
    }
}

const NIGHTLY: &str = "schedule: { cron: '0 3 * * 1-5', timezone: Europe/Berlin }\n\
    workflow: { type: InvoiceRun, task_queue: billing, args: [{ mode: nightly }], \
    execution_timeout: 6h }\n";

/// A plan with every kind of block.
fn outcome() -> Outcome {
    let change = |field, cause, before, after| FieldChange {
        field,
        cause,
        before,
        after,
    };
    let edited = vec![
        change(
            Field::Times,
            Cause::Definition,
            json!(["30 2 * * 1-5"]),
            json!(["0 3 * * 1-5"]),
        ),
        change(Field::CatchupWindow, Cause::Drift, json!("1h"), json!("6h")),
    ];
    let causes = [
        (Field::Times, Cause::Definition),
        (Field::CatchupWindow, Cause::Drift),
    ];
    let days = |first: u32, last: u32| {
        let all = (first..=last).map(|day| format!("* * * {day} 12 * *"));
        json!(all.collect::<Vec<_>>())
    };
    let drifted = vec![
        change(Field::Exclude, Cause::Drift, days(2, 9), days(1, 8)),
        change(
            Field::Action,
            Cause::Drift,
            json!({ "type": "Report", "task_queue": "manual" }),
            json!({ "type": "Report", "task_queue": "billing", "priority": 2 }),
        ),
    ];
    let paused = Update {
        op: Op::Pause,
        removal: true,
        ..update(
            "former",
            &[(Field::Paused, Cause::Orphan)],
            vec![change(
                Field::Paused,
                Cause::Orphan,
                json!(false),
                json!(true),
            )],
        )
    };
    let mut new = create(
        "ledger",
        "schedule: { every: 5m }\ndo: [{ a: { set: { x: 1 } } }]\n",
    );
    new.renamed_from = Some(project().schedule_id(&"books".parse().unwrap()));
    let gone = |id: &str, renamed_to| Delete {
        definition: id.parse().unwrap(),
        schedule: project().schedule_id(&id.parse().unwrap()),
        renamed_to,
    };
    let plan = Plan {
        updates: vec![
            update("invoices", &causes, edited),
            update(
                "report",
                &[
                    (Field::Exclude, Cause::Drift),
                    (Field::Action, Cause::Drift),
                ],
                drifted,
            ),
            paused,
        ],
        deletes: vec![
            gone("books", Some(new.schedule().clone())),
            gone("old", None),
        ],
        creates: vec![create("nightly", NIGHTLY), new],
        held: Some(Held {
            digest: "5f2a".to_owned(),
            reason: "40 of 100 schedules within 10 minutes are more than 30 %".to_owned(),
            ids: vec![
                "schedule-billing-a".to_owned(),
                "schedule-billing-b".to_owned(),
            ],
            count: 40,
        }),
        conflicts: vec![project().schedule_id(&"taken".parse().unwrap())],
        contested: BTreeMap::from([("fought".parse().unwrap(), [Field::Timezone].into())]),
        drift: BTreeMap::from([("left".parse().unwrap(), [Field::Jitter].into())]),
        problems: vec![ReportError {
            message: "schedule `schedule-billing-x` cannot be described: refused\nforged"
                .to_owned(),
            ..ReportError::default()
        }],
        unchanged: 14,
        revision: Revision::of(b"x"),
        ..Plan::default()
    };
    let weekdays = |clock: &str| {
        let days = ["03", "04", "05", "06", "09"];
        days.map(|day| at(&format!("2026-03-{day}T{clock}Z")))
            .to_vec()
    };
    let times = |before, after| TimesChange {
        timezone: "Europe/Berlin".to_owned(),
        before,
        after,
        kept: BTreeSet::new(),
    };
    let times = BTreeMap::from([
        (
            "nightly".parse().unwrap(),
            times(Vec::new(), weekdays("02:00:00")),
        ),
        (
            "invoices".parse().unwrap(),
            times(weekdays("01:30:00"), weekdays("02:00:00")),
        ),
        (
            "former".parse().unwrap(),
            times(weekdays("02:00:00"), Vec::new()),
        ),
        (
            "old".parse().unwrap(),
            TimesChange {
                timezone: "UTC".to_owned(),
                ..times(weekdays("02:00:00"), Vec::new())
            },
        ),
    ]);
    Outcome {
        plan,
        times,
        invalid: 0,
        zone_differences: Vec::new(),
    }
}

fn shown(outcome: &Outcome, colors: bool) -> String {
    let width = Some(80);
    let shown = text(outcome, &project()).rendered(Medium { colors, width });
    shown.replace('\u{1b}', "ESC")
}

#[test]
fn a_plan_is_shown_schedule_by_schedule() {
    insta::assert_snapshot!(shown(&outcome(), false), @r#"
    + nightly will be created
        times:                    "0 3 * * 1-5"
        timezone:                 Europe/Berlin
        input:                    [{ mode: nightly }]
        action.execution_timeout: 6h
        action.task_queue:        billing
        action.type:              InvoiceRun
        fires:                    Tue 2026-03-03 03:00:00 +01:00
                                  Wed 2026-03-04 03:00:00 +01:00
                                  Thu 2026-03-05 03:00:00 +01:00

    + ledger will be created: renamed from books
        intervals:  5m
        definition: [{ a: { set: { x: 1 } } }]

    ~ invoices will be updated: its definition changed; someone else changed it
        times:          "30 2 * * 1-5" → "0 3 * * 1-5"  (definition)
        catchup_window: 1h → 6h  (changed by someone else)
        fires:          - Tue 2026-03-03 02:30:00 +01:00
                        + Tue 2026-03-03 03:00:00 +01:00
                        - Wed 2026-03-04 02:30:00 +01:00
                        + Wed 2026-03-04 03:00:00 +01:00
                        - Thu 2026-03-05 02:30:00 +01:00
                        + Thu 2026-03-05 03:00:00 +01:00

    ~ report will be updated: someone else changed it
        exclude:
          - { day_of_month: 9, month: 12 }
          + { day_of_month: 1, month: 12 }
        action.priority:   none → 2
        action.task_queue: manual → billing

    ~ former will be paused: no definition asks for it
        paused: false → true
        fires:  - Tue 2026-03-03 03:00:00 +01:00
                - Wed 2026-03-04 03:00:00 +01:00
                - Thu 2026-03-05 03:00:00 +01:00
                + never

    - books will be deleted: renamed to ledger

    - old will be deleted: no definition asks for it
        fires: - Tue 2026-03-03 02:00:00 UTC
               - Wed 2026-03-04 02:00:00 UTC
               - Thu 2026-03-05 02:00:00 UTC

    ! 40 removals wait for confirmation: 40 of 100 schedules within 10 minutes are more than 30 %
        schedule-billing-a
        schedule-billing-b
        and 38 more
      → almanac sync --project billing --confirm 5f2a

    ! schedule-billing-taken: an unmanaged schedule has this id; Almanac does not write to it
        Give the definition another id. Its schedule can then take over from this one.

    ! fought: others keep changing timezone; Almanac tries again every hour
      → almanac history fought --project billing

    ! left: someone else changed jitter; Almanac only reports this
      → almanac history left --project billing

    ! schedule `schedule-billing-x` cannot be described: refused\nforged

    Plan: 2 to create, 3 to update, 2 to delete, 14 unchanged, 40 held, 1 conflict.
    "#);
}

#[test]
fn signs_and_new_values_stand_out_on_a_terminal() {
    let mut outcome = outcome();
    outcome.plan = Plan {
        updates: vec![outcome.plan.updates.remove(0)],
        held: outcome.plan.held,
        ..Plan::default()
    };
    insta::assert_snapshot!(shown(&outcome, true), @r#"
    ESC[33m~ ESC[0mESC[1minvoicesESC[0m will be updated: its definition changed; someone else changed it
        ESC[2mtimes:          ESC[0m"30 2 * * 1-5"ESC[2m → ESC[0mESC[1m"0 3 * * 1-5"ESC[0mESC[2m  (definition)ESC[0m
        ESC[2mcatchup_window: ESC[0m1hESC[2m → ESC[0mESC[1m6hESC[0mESC[2m  (changed by someone else)ESC[0m
        ESC[2mfires:          ESC[0mESC[31m- Tue 2026-03-03 02:30:00 +01:00ESC[0m
                        ESC[32m+ Tue 2026-03-03 03:00:00 +01:00ESC[0m
                        ESC[31m- Wed 2026-03-04 02:30:00 +01:00ESC[0m
                        ESC[32m+ Wed 2026-03-04 03:00:00 +01:00ESC[0m
                        ESC[31m- Thu 2026-03-05 02:30:00 +01:00ESC[0m
                        ESC[32m+ Thu 2026-03-05 03:00:00 +01:00ESC[0m

    ESC[33m! ESC[0mESC[1m40 removalsESC[0m wait for confirmation: 40 of 100 schedules within 10 minutes are more than 30 %
        schedule-billing-a
        schedule-billing-b
        and 38 more
    ESC[2m  → ESC[0malmanac sync --project billing --confirm 5f2a

    ESC[1mPlan: 0 to create, 1 to update, 0 to delete, 0 unchanged, 40 held.ESC[0m
    "#);
}

#[test]
fn a_plan_without_operations_says_so() {
    let of = |plan: Plan| Outcome {
        plan,
        times: BTreeMap::new(),
        invalid: 0,
        zone_differences: Vec::new(),
    };
    let mut plan = Plan {
        unchanged: 17,
        ..Plan::default()
    };
    assert_eq!(
        shown(&of(plan.clone()), false),
        "No changes. 17 schedules are as their definitions say.\n"
    );
    plan.drift = BTreeMap::from([("left".parse().unwrap(), [Field::Jitter].into())]);
    insta::assert_snapshot!(shown(&of(plan), false), @r"
    ! left: someone else changed jitter; Almanac only reports this
      → almanac history left --project billing

    Plan: 0 to create, 0 to update, 0 to delete, 17 unchanged.
    ");
}

#[test]
fn of_a_long_plan_the_last_schedules_are_only_named() {
    let plan = Plan {
        creates: (0..BLOCKS_SHOWN + 50)
            .map(|n| create(&format!("s{n}"), NIGHTLY))
            .collect(),
        conflicts: vec![project().schedule_id(&"taken".parse().unwrap())],
        ..Plan::default()
    };
    let outcome = Outcome {
        plan,
        times: BTreeMap::new(),
        invalid: 0,
        zone_differences: Vec::new(),
    };
    let shown = shown(&outcome, false);
    assert_eq!(shown.matches("action.type:").count(), BLOCKS_SHOWN);
    assert_eq!(shown.matches(" will be created").count(), BLOCKS_SHOWN + 50);
    let end = shown.split_once("+ s148").unwrap().1;
    insta::assert_snapshot!(end, @r"
     will be created
    + s149 will be created

    ! schedule-billing-taken: an unmanaged schedule has this id; Almanac does not write to it
        Give the definition another id. Its schedule can then take over from this one.

    Only the first 100 schedules are shown with their fields; `--format json` has all.

    Plan: 150 to create, 0 to update, 0 to delete, 0 unchanged, 1 conflict.
    ");
}

#[test]
fn times_that_stay_have_no_sign() {
    let times = |crons: [&str; 2]| {
        let now = at("2026-03-02T12:00:00Z");
        let [before, after] = crons.map(|cron| Spec {
            calendars: compile_cron(cron).unwrap().calendars.into(),
            ..Spec::default()
        });
        let mut times = TimesChange {
            timezone: "UTC".to_owned(),
            before: fires(&before, false, now),
            after: fires(&after, false, now),
            kept: BTreeSet::new(),
        };
        times.find_kept([&before, &after]);
        let lines = super::fire_time_lines::lines(&times, BlockKind::Update).into_iter();
        let mut page = Page::default();
        lines.for_each(|line| page.cells([line]));
        page.to_string()
    };
    insta::assert_snapshot!(times(["0 */2 * * *", "0 2 * * *"]), @r"
    - Mon 2026-03-02 14:00:00 UTC
    - Mon 2026-03-02 16:00:00 UTC
    - Mon 2026-03-02 18:00:00 UTC
      …
      Tue 2026-03-03 02:00:00 UTC
      Wed 2026-03-04 02:00:00 UTC
      Thu 2026-03-05 02:00:00 UTC
    ");
    insta::assert_snapshot!(times(["0 2 * * *", "0 */2 * * *"]), @r"
    + Mon 2026-03-02 14:00:00 UTC
    + Mon 2026-03-02 16:00:00 UTC
    + Mon 2026-03-02 18:00:00 UTC
      …
      Tue 2026-03-03 02:00:00 UTC
      Wed 2026-03-04 02:00:00 UTC
      Thu 2026-03-05 02:00:00 UTC
    ");
    insta::assert_snapshot!(times(["0 2 * * *", "0 1,2 * * *"]), @r"
    + Tue 2026-03-03 01:00:00 UTC
      Tue 2026-03-03 02:00:00 UTC
    + Wed 2026-03-04 01:00:00 UTC
      Wed 2026-03-04 02:00:00 UTC
    + Thu 2026-03-05 01:00:00 UTC
    ");
    insta::assert_snapshot!(times(["30 2 * * *", "0 3 * * *"]), @r"
    - Tue 2026-03-03 02:30:00 UTC
    + Tue 2026-03-03 03:00:00 UTC
    - Wed 2026-03-04 02:30:00 UTC
    + Wed 2026-03-04 03:00:00 UTC
    - Thu 2026-03-05 02:30:00 UTC
    + Thu 2026-03-05 03:00:00 UTC
    ");
}
