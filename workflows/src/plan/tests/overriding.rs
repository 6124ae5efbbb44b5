//! Overrides: in force, ended, lost and restored.

use super::*;

fn pause_override() -> Override {
    Override {
        enabled: Some(false),
        found_paused: Some(false),
        reason: "incident".to_owned(),
        by: "ops".to_owned(),
        ..Override::default()
    }
}

fn cron_override() -> Override {
    Override {
        cron: Some(vec!["*/5 * * * *".to_owned()]),
        ..Override::default()
    }
}

#[test]
fn an_override_holds_through_passes_and_other_edits() {
    let mut world = World::settled(HOURLY);
    world.set_override(cron_override());
    assert!(world.plan().is_empty(), "{}", world.plan());
    let before = world.job().values.spec.calendars.clone();
    world.write("job", &HOURLY.replace("cron:", "jitter: 5s, cron:"));
    world.pass();
    assert_eq!(world.job().values.spec.calendars, before);
    assert!(world.overrides.contains_key(&id("job")));
}

#[test]
fn an_override_ends_when_that_field_changes_in_the_yaml() {
    let mut world = World::settled(HOURLY);
    world.set_override(cron_override());
    world.write("job", &HOURLY.replace("0 *", "7 *"));
    let plan = world.pass();
    assert!(plan.ended_overrides.contains_key(&id("job")));
    assert!(world.overrides.is_empty());
    let wanted = desired(&world.project, &world.snapshot)[&id("job")]
        .values
        .spec
        .clone();
    assert_eq!(world.job().values.spec, wanted);
}

#[test]
fn when_an_override_of_enabled_runs_out_the_state_it_found_comes_back() {
    for found in [false, true] {
        let mut world = World::settled(HOURLY);
        let until = world.now + SignedDuration::from_hours(1);
        world.set_override(Override {
            until: Some(until),
            found_paused: Some(found),
            ..pause_override()
        });
        assert!(world.plan().is_empty());
        world.later(60);
        world.pass();
        assert_eq!(world.job().values.paused, found);
        assert!(world.overrides.is_empty());
    }
}

#[test]
fn a_later_hand_beats_an_override_of_enabled() {
    let mut world = World::settled(HOURLY);
    world.set_override(pause_override());
    world.by_hand(false);
    let plan = world.pass();
    assert!(plan.ended_overrides.contains_key(&id("job")));
    assert!(!world.job().values.paused);
    assert!(world.overrides.is_empty());
}

#[test]
fn an_override_that_the_memo_lost_comes_back_from_the_state() {
    let mut world = World::settled(HOURLY);
    world.set_override(pause_override());
    world.replace_body();
    world.pass();
    assert!(world.job().values.paused);
    assert_eq!(
        world.job().readable_memo().unwrap().overridden,
        Some(pause_override())
    );
}

#[test]
fn an_override_that_the_state_lost_comes_back_from_the_memo() {
    let mut world = World::settled(HOURLY);
    world.set_override(cron_override());
    world.overrides.clear();
    let plan = world.pass();
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(world.overrides.get(&id("job")), Some(&cron_override()));
}

#[test]
fn what_an_override_paused_was_not_paused_before_the_yaml() {
    let mut world = World::settled(&format!("enabled: true\n{HOURLY}"));
    world.set_override(pause_override());
    world.write("job", &format!("enabled: false\n{HOURLY}"));
    world.pass();
    assert!(world.job().flags().is_empty());
    world.write("job", &format!("enabled: true\n{HOURLY}"));
    world.pass();
    assert!(!world.job().values.paused);
}
