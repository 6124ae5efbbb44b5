//! Each cell of the table in `docs/contract.md#6-what-is-compared-and-what-is-done`.

use std::time::Duration;

use super::*;
use crate::schedule::Note;

const DAILY: &str = "schedule: { cron: '0 0 * * *' }\nworkflow: { type: Run, task_queue: q }\n";

#[test]
fn a_definition_and_a_schedule_without_changes_write_nothing() {
    let world = World::in_sync(HOURLY);
    assert!(world.plan().is_empty());
    assert_eq!(world.plan().unchanged, 1);
}

#[test]
fn a_change_of_the_times_replaces_the_old_times() {
    let mut world = World::in_sync(HOURLY);
    world.write("job", DAILY);
    let plan = world.pass();
    assert_eq!(causes(&plan), [(Field::Times, Cause::Definition)]);
    assert_eq!(
        world.job().values.spec.calendars.len(),
        1,
        "the old times are gone"
    );
}

#[test]
fn a_changed_definition_whose_schedule_agrees_already_still_gets_its_base() {
    let mut world = World::in_sync(HOURLY);
    let mut other = World::in_sync(DAILY);
    world.job().values.spec = other.job().values.spec.clone();
    world.write("job", DAILY);
    let plan = world.pass();
    assert_eq!(causes(&plan), [(Field::Times, Cause::Definition)]);
}

#[test]
fn drift_is_corrected() {
    let mut world = World::in_sync(HOURLY);
    world.job().values.spec.jitter = Duration::from_secs(9);
    let plan = world.pass();
    assert_eq!(causes(&plan), [(Field::Jitter, Cause::Drift)]);
    assert_eq!(plan.drift[&id("job")], BTreeSet::from([Field::Jitter]));
    assert_eq!(world.job().values.spec.jitter, Duration::ZERO);
}

#[test]
fn drift_is_only_reported_under_report() {
    let mut world = World::in_sync(HOURLY);
    world.drift = DriftPolicy::Report;
    world.job().values.spec.jitter = Duration::from_secs(9);
    let plan = world.plan();
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(plan.drift[&id("job")], BTreeSet::from([Field::Jitter]));
}

#[test]
fn a_changed_definition_leaves_reported_drift_alone() {
    let mut world = World::in_sync(HOURLY);
    world.drift = DriftPolicy::Report;
    world.job().values.spec.jitter = Duration::from_secs(9);
    world.write("job", DAILY);
    let plan = world.plan();
    assert_eq!(causes(&plan), [(Field::Times, Cause::Definition)]);
    world.apply(&plan);
    assert_eq!(world.job().values.spec.jitter, Duration::from_secs(9));
    let note = world.job().note.clone();
    let expected = Fingerprint::of(
        &scheduled(&world.project, &world.snapshot)[&id("job")]
            .desired()
            .base(),
        None,
        &BTreeSet::new(),
        &BTreeSet::new(),
    );
    assert!(
        !Note::read(&note).proves(&expected),
        "a list would prove it in sync"
    );
}

#[test]
fn a_replaced_body_is_drift_with_the_definition_as_base() {
    let mut world = World::in_sync(HOURLY);
    world.replace_body();
    let plan = world.pass();
    assert_eq!(
        causes(&plan),
        [
            (Field::CatchupWindow, Cause::Drift),
            (Field::Action, Cause::Drift)
        ]
    );
    assert_eq!(world.job().values.catchup_window, Duration::from_hours(1));
}

#[test]
fn a_comment_or_another_file_writes_nothing() {
    let mut world = World::in_sync(HOURLY);
    world.write("job", &format!("# a comment\n{HOURLY}"));
    let loaded = world.snapshot.definitions.get_mut(&id("job")).unwrap();
    loaded.source = "moved/job.yaml".to_owned();
    assert!(world.plan().is_empty(), "{}", world.plan());
}

#[test]
fn a_newer_releases_schedule_is_left_alone_and_reported() {
    let mut world = World::in_sync(HOURLY);
    world.job().memo = LiveMemo::Newer(9);
    world.write("job", DAILY);
    let plan = world.plan();
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(plan.problems.len(), 1);
    world.remove("job");
    world.write("other", HOURLY);
    let plan = world.plan();
    assert!(plan.deletes.is_empty(), "{plan}");
}

#[test]
fn the_memo_version_is_rewritten_only_with_a_needed_change() {
    // Nothing in a memo of this version differs for an unchanged definition.
    let mut world = World::in_sync(HOURLY);
    let LiveMemo::Readable(memo) = &mut world.job().memo else {
        panic!()
    };
    memo.source = "elsewhere".to_owned();
    memo.revision = Revision::of(b"older");
    assert!(world.plan().is_empty());
    assert_eq!(
        base_of(99, &world.job().values),
        None,
        "an unknown version has no hashes"
    );
}

#[test]
fn an_unmanaged_schedule_with_the_definitions_id_is_a_conflict() {
    let mut world = World::new();
    world.write("job", HOURLY);
    world.server.insert(
        ScheduleId::from_server("schedule-p-job"),
        KnownSchedule::Unmanaged,
    );
    let plan = world.plan();
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(plan.conflicts.len(), 1);
}

#[test]
fn a_field_corrected_five_times_in_an_hour_is_retried_hourly() {
    let mut world = World::in_sync(HOURLY);
    let drift = |world: &mut World| world.job().values.spec.jitter = Duration::from_secs(9);
    for _ in 0..5 {
        drift(&mut world);
        assert_eq!(world.pass().updates.len(), 1);
        world.later(5);
    }
    for _ in 0..11 {
        drift(&mut world);
        let plan = world.plan();
        assert!(plan.is_empty(), "{plan}");
        assert_eq!(plan.contested[&id("job")], BTreeSet::from([Field::Jitter]));
        world.later(5);
    }
    drift(&mut world);
    assert_eq!(world.pass().updates.len(), 1, "the hourly retry");
    drift(&mut world);
    world.later(5);
    assert!(world.plan().is_empty(), "contested for another hour");
}

#[test]
fn remaining_actions_are_kept_by_every_write() {
    let limited = |cron: &str, max: u32| {
        format!(
            "schedule: {{ cron: '{cron}', max_actions: {max} }}\nworkflow: {{ type: Run, task_queue: q }}\n"
        )
    };
    let mut world = World::in_sync(&limited("0 * * * *", 10));
    world.job().remaining_actions = Some(4);
    world.write("job", &limited("0 0 * * *", 10));
    world.pass();
    assert_eq!(world.job().remaining_actions, Some(4));
    world.write("job", &limited("0 0 * * *", 3));
    world.pass();
    assert_eq!(
        world.job().remaining_actions,
        Some(3),
        "a changed limit counts anew"
    );
    world.job().action_count = 2;
    world.job().remaining_actions = None;
    world.pass();
    assert_eq!(
        world.job().remaining_actions,
        Some(1),
        "never more than the limit in all"
    );
    world.write("job", DAILY);
    world.pass();
    assert_eq!(world.job().remaining_actions, None);
}

#[test]
fn a_schedule_that_can_never_fire_is_not_created() {
    let mut world = World::new();
    world.write(
        "job",
        "schedule: { cron: '0 * * * *', end_at: 2020-01-01T00:00:00Z }\nworkflow: { type: Run, task_queue: q }\n",
    );
    assert!(world.plan().is_empty());
}
