//! Pauses by Almanac itself, and overrides: neither takes the place of the other.

use super::*;
use crate::schedule::Note;

const LIMITED: &str =
    "schedule: { cron: '0 * * * *', max_actions: 2 }\nworkflow: { type: Run, task_queue: q }\n";

/// Uses up the actions of the job.
fn finish(world: &mut World) {
    world.job().remaining_actions = Some(0);
    world.pass();
    assert!(world.job().values.paused);
    assert!(world.job().flags().contains(&Flag::Finished));
}

fn raise_limit(world: &mut World) {
    world.write("job", &LIMITED.replace("max_actions: 2", "max_actions: 3"));
    world.pass();
    assert!(!world.job().flags().contains(&Flag::Finished));
}

#[test]
fn a_new_limit_does_not_end_a_pause_by_an_override() {
    let mut world = World::in_sync(LIMITED);
    finish(&mut world);
    world.set_override(enabling(false));
    raise_limit(&mut world);
    assert!(world.job().values.paused, "the override is in force");
    assert!(world.overrides.contains_key(&id("job")));
    // Nobody but the override pauses the schedule.
    world.later(60);
    world.pass();
    assert!(!world.job().values.paused);
}

#[test]
fn used_up_actions_do_not_end_an_override() {
    let mut world = World::in_sync(LIMITED);
    world.set_paused_manually(true);
    world.set_override(enabling(true));
    assert!(!world.job().values.paused);
    finish(&mut world);
    let plan = world.pass();
    assert!(plan.ended_overrides.is_empty(), "{plan}");
    raise_limit(&mut world);
    assert!(!world.job().values.paused, "the override is in force");
    world.later(60);
    world.pass();
    assert!(world.job().values.paused);
    assert_eq!(Note::read(&world.job().note).words(), Some("by hand"));
}

#[test]
fn a_pause_from_before_an_override_that_ends_while_finished_outlives_a_new_limit() {
    for is_cleared in [false, true] {
        let mut world = World::in_sync(LIMITED);
        world.set_paused_manually(true);
        world.set_override(enabling(true));
        finish(&mut world);
        if is_cleared {
            world.request(request());
        } else {
            world.later(60);
            world.pass();
        }
        assert!(world.overrides.is_empty());
        assert!(world.job().values.paused);
        raise_limit(&mut world);
        assert!(world.job().values.paused, "{is_cleared}");
    }
    // Without an earlier pause, the schedule starts anew.
    let mut world = World::in_sync(LIMITED);
    world.set_override(enabling(true));
    finish(&mut world);
    world.request(request());
    assert!(world.job().values.paused);
    raise_limit(&mut world);
    assert!(!world.job().values.paused);
}

#[test]
fn a_schedule_that_waits_for_its_adoption_keeps_its_override() {
    let inactive = format!("enabled: false\n{HOURLY}");
    let mut world = World::in_sync(&inactive);
    world.set_override(enabling(true));
    assert!(!world.job().values.paused);
    let from = ScheduleId::from_server("legacy");
    let wanted = scheduled(&world.project, &world.snapshot)[&id("job")].desired();
    let held = hold_for_adoption(&wanted, world.job(), &from).unwrap();
    world.job().take(&held);
    let plan = world.pass();
    assert!(plan.ended_overrides.is_empty(), "{plan}");
    assert!(world.job().values.paused, "it waits");
    let released = release_from_adoption(&wanted, world.job(), &from, &AdoptedState::default());
    world.job().take(&released);
    assert!(!world.job().values.paused, "the override is in force");
}

#[test]
fn a_pause_by_an_override_does_not_outlive_an_adoption_as_a_manual_one() {
    let mut world = World::in_sync(HOURLY);
    world.set_paused_manually(true);
    world.set_override(enabling(false));
    let from = ScheduleId::from_server("legacy");
    let wanted = scheduled(&world.project, &world.snapshot)[&id("job")].desired();
    let held = hold_for_adoption(&wanted, world.job(), &from).unwrap();
    world.job().take(&held);
    assert!(!world.job().flags().contains(&Flag::PausedBefore));
    let released = release_from_adoption(&wanted, world.job(), &from, &AdoptedState::default());
    world.job().take(&released);
    assert!(world.job().values.paused);
    let note = world.job().note.clone();
    assert_eq!(Note::read(&note).override_words(), Some(("ann", "now")));
    world.request(request());
    assert!(world.job().values.paused);
    assert_eq!(Note::read(&world.job().note).words(), Some("by hand"));
}

#[test]
fn a_pause_comes_back_with_a_definition_whose_override_ended_meanwhile() {
    let mut world = World::in_sync(HOURLY);
    world.set_paused_manually(true);
    world.set_override(enabling(true));
    let update = pause_orphan(world.job());
    world.job().take(&update);
    world.later(60);
    world.pass();
    assert!(world.job().values.paused);
    assert_eq!(Note::read(&world.job().note).words(), Some("by hand"));
}
