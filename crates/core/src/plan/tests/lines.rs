//! The text of a plan for people.

use super::*;
use crate::record::ReportError;

/// Checks that the text has these lines.
fn has(plan: &Plan, lines: &[&str]) {
    let all = plan.lines();
    for line in lines {
        assert!(all.iter().any(|one| one == line), "{line:?} in\n{plan}");
    }
}

#[test]
fn a_plan_names_each_operation_and_its_fields() {
    let mut world = World::settled(HOURLY);
    world.write(
        "other",
        "schedule: { every: 5m }\ndo: [a: { wait: PT1S }]\n",
    );
    world.write(
        "job",
        "schedule: { cron: '0 6 * * *', timezone: Europe/Berlin }\nworkflow: { type: Run, task_queue: q }\n",
    );
    let plan = world.pass();
    has(
        &plan,
        &[
            "+ other: create",
            "    definition: [{\"a\":{\"wait\":{\"seconds\":1}}}]",
            "    times: [\"0 * * * *\"] -> [\"0 6 * * *\"]",
            "    timezone: UTC -> Europe/Berlin",
            "Plan: 1 to create, 1 to update, 0 to delete, 0 unchanged.",
        ],
    );
    world.remove("other");
    has(
        &world.plan(),
        &[
            "- other: delete (its definition is gone)",
            "Plan: 0 to create, 0 to update, 1 to delete, 1 unchanged.",
        ],
    );
    world.job().values.spec.timezone = "UTC".to_owned();
    has(
        &world.plan(),
        &["    timezone: UTC -> Europe/Berlin  (drift)"],
    );
}

#[test]
fn a_rename_names_both_schedules() {
    let mut world = World::settled(HOURLY);
    world.write(
        "other",
        "schedule: { every: 5m }\nworkflow: { type: Run, task_queue: q }\n",
    );
    world.pass();
    world.remove("job");
    world.write("new", HOURLY);
    has(
        &world.plan(),
        &[
            "+ new: create (renamed from schedule-p-job)",
            "- job: delete (renamed to schedule-p-new)",
        ],
    );
}

#[test]
fn a_plan_names_what_it_leaves_alone_and_escapes_it() {
    let plan = Plan {
        conflicts: vec![ScheduleId::from_server("schedule-p-taken")],
        contested: [(id("job"), [Field::Jitter, Field::Timezone].into())].into(),
        problems: vec![ReportError {
            message: "bad\n\u{1b}[31m".to_owned(),
            ..ReportError::default()
        }],
        held: Some(Held {
            digest: "abc".to_owned(),
            reason: "too many".to_owned(),
            ids: vec!["schedule-p-job".to_owned()],
            count: 1,
        }),
        unchanged: 3,
        ..Plan::default()
    };
    has(
        &plan,
        &[
            "! schedule-p-taken: a schedule that is not ours has this id; left alone",
            "! job: contested, retried hourly: timezone, jitter",
            "! 1 removals held: too many",
            "    schedule-p-job",
            "  confirm with: almanac sync --confirm abc",
            "Plan: 0 to create, 0 to update, 0 to delete, 3 unchanged.",
        ],
    );
    let lines = plan.lines();
    assert_eq!(lines.len(), 7, "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains(char::is_control)));
}

#[test]
fn long_values_are_shown_by_their_differences() {
    let steps = |end: u32, further: &str| {
        let text = "x".repeat(300);
        format!(
            "schedule: {{ every: 5m }}\ndo:\n  - a: {{ set: {{ t: '{text}{end}' }} }}\n  - b: {{ set: {{ 'k/~': {end} }} }}\n{further}"
        )
    };
    let mut world = World::settled(&steps(1, ""));
    world.write("job", &steps(2, "  - c: { set: { n: 1 } }\n"));
    let plan = world.plan();
    has(
        &plan,
        &[
            "    definition:",
            "      /1/b/set/k~1~0: 1 -> 2",
            "      /2: none -> {\"c\":{\"set\":{\"n\":1}}}",
        ],
    );
    let shortened = plan.lines();
    let shortened = shortened.iter().find(|line| line.contains("/0/a/set/t: "));
    assert!(shortened.is_some_and(|line| line.len() < 100), "{plan}");

    let many = |add: u32| {
        let tasks: Vec<String> = (0..15)
            .map(|task| {
                format!(
                    "  - task{task:02}: {{ set: {{ number: {} }} }}\n",
                    task + add
                )
            })
            .collect();
        format!("schedule: {{ every: 5m }}\ndo:\n{}", tasks.concat())
    };
    let mut world = World::settled(&many(0));
    world.write("job", &many(100));
    let shown = ["      /0/task00/set/number: 0 -> 100", "      and 5 more"];
    has(&world.plan(), &shown);
}
