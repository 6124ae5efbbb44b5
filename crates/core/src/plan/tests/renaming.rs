//! Renames: definitions equal but for id and source.

use super::*;

#[test]
fn a_rename_takes_pause_actions_and_override_along() {
    let yaml =
        "schedule: { cron: '0 * * * *', max_actions: 9 }\nworkflow: { type: Run, task_queue: q }\n";
    let mut world = World::in_sync(yaml);
    world.set_paused_manually(true);
    world.job().remaining_actions = Some(2);
    let overridden = Override {
        timezone: Some("Asia/Tokyo".to_owned()),
        ..Override::default()
    };
    world.set_override(overridden);
    let overridden = world.overrides[&id("job")].clone();
    world.remove("job");
    world.write("task", yaml);
    let plan = world.pass();
    assert_eq!((plan.creates.len(), plan.deletes.len()), (1, 1), "{plan}");
    assert_eq!(
        plan.deletes[0].renamed_to,
        Some(plan.creates[0].schedule().clone())
    );
    let task = world.live(&ScheduleId::from_server("schedule-p-task"));
    assert!(task.values.paused);
    assert_eq!(task.remaining_actions, Some(2));
    assert_eq!(task.readable_memo().unwrap().overridden, Some(overridden));
    assert_eq!(task.values.spec.timezone, "Asia/Tokyo");
}

#[test]
fn both_halves_of_a_rename_wait_or_neither() {
    let mut world = World::new();
    for index in 0..20 {
        world.write(&format!("old-{index:02}"), HOURLY);
    }
    world.pass();
    for index in 0..20 {
        world.remove(&format!("old-{index:02}"));
        world.write(&format!("new-{index:02}"), HOURLY);
    }
    let plan = world.plan();
    assert!(plan.is_empty(), "{plan}");
    let digest = plan.held.unwrap().digest;
    let confirmed = world.plan_confirming(Some(&digest));
    assert_eq!((confirmed.creates.len(), confirmed.deletes.len()), (20, 20));
}

#[test]
fn while_the_view_is_incomplete_the_new_half_waits_too() {
    let mut world = World::in_sync(HOURLY);
    world.remove("job");
    world.write("task", HOURLY);
    world.snapshot.incomplete.push("root is missing".to_owned());
    assert!(world.plan().is_empty(), "{}", world.plan());
}

#[test]
fn another_definition_is_no_rename() {
    let mut world = World::in_sync(HOURLY);
    world.set_paused_manually(true);
    world.remove("job");
    world.write("task", &HOURLY.replace("0 *", "1 *"));
    let plan = world.pass();
    assert_eq!(plan.creates[0].renamed_from, None);
    assert!(
        !world
            .live(&ScheduleId::from_server("schedule-p-task"))
            .values
            .paused
    );
}

#[test]
fn the_new_schedule_of_a_rename_takes_over_the_pause() {
    for orphans in [OrphanPolicy::Pause, OrphanPolicy::Keep] {
        let mut world = World::in_sync(HOURLY);
        world.orphans = orphans;
        world.set_paused_manually(true);
        world.remove("job");
        world.write("task", HOURLY);
        world.pass();
        let task = world.live(&ScheduleId::from_server("schedule-p-task"));
        assert!(task.values.paused, "{orphans:?}");
    }
}

/// A rename that was killed after it paused the old schedule ends so.
#[test]
fn a_rename_does_not_move_almanacs_own_pause() {
    let mut world = World::in_sync(HOURLY);
    let paused = pause_orphan(world.job());
    world.job().take(&paused);
    world.remove("job");
    world.write("task", HOURLY);
    let plan = world.pass();
    assert_eq!((plan.creates.len(), plan.deletes.len()), (1, 1), "{plan}");
    let task = world.live(&ScheduleId::from_server("schedule-p-task"));
    assert!(!task.values.paused);
    assert!(task.readable_memo().unwrap().flags.is_empty());
    assert!(world.plan().is_empty(), "{}", world.plan());
}

#[test]
fn thousands_of_renames_are_paired_and_named() {
    const COUNT: usize = 2000;
    let mut world = World::new();
    for index in 0..COUNT {
        world.write(&format!("old-{index:04}"), HOURLY);
    }
    world.pass();
    for index in 0..COUNT {
        world.remove(&format!("old-{index:04}"));
        world.write(&format!("new-{index:04}"), HOURLY);
    }
    let digest = world.plan().held.unwrap().digest;
    let plan = world.plan_confirming(Some(&digest));
    let blocks = plan.text().blocks;
    assert_eq!(blocks.len(), 2 * COUNT);
    for (index, (create, delete)) in blocks.iter().zip(&blocks[COUNT..]).enumerate() {
        let created = format!(" will be created: renamed from old-{index:04}");
        let deleted = format!(" will be deleted: renamed to new-{index:04}");
        assert_eq!((&create.heading, &delete.heading), (&created, &deleted));
    }
}
