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
    let mut world = World::in_sync(HOURLY);
    world.set_override(cron_override());
    assert!(world.plan().is_empty(), "{}", world.plan());
    let before = world.job().values.spec.calendars.clone();
    assert_eq!(before[0].to_string(), "0-55/5 * * * *");
    world.write("job", &HOURLY.replace("cron:", "jitter: 5s, cron:"));
    world.pass();
    assert_eq!(world.job().values.spec.calendars, before);
    assert!(world.overrides.contains_key(&id("job")));
}

#[test]
fn an_override_ends_when_that_field_changes_in_the_yaml() {
    let mut world = World::in_sync(HOURLY);
    world.set_override(cron_override());
    world.write("job", &HOURLY.replace("0 *", "7 *"));
    let plan = world.pass();
    assert!(plan.ended_overrides.contains_key(&id("job")));
    assert!(world.overrides.is_empty());
    let wanted = scheduled(&world.project, &world.snapshot)[&id("job")]
        .desired()
        .values
        .spec
        .clone();
    assert_eq!(world.job().values.spec, wanted);
}

#[test]
fn an_expired_override_of_enabled_restores_the_state_before_it() {
    for found in [false, true] {
        let mut world = World::in_sync(HOURLY);
        if found {
            world.set_paused_manually(true);
        }
        let until = world.now + SignedDuration::from_hours(1);
        world.set_override(Override {
            until: Some(until),
            ..pause_override()
        });
        assert!(world.job().values.paused);
        assert!(world.plan().is_empty());
        world.later(60);
        world.pass();
        assert_eq!(world.job().values.paused, found);
        assert!(world.overrides.is_empty());
    }
}

#[test]
fn a_cleared_override_restores_the_state_before_it() {
    for found in [false, true] {
        let mut world = World::in_sync(HOURLY);
        if found {
            world.set_paused_manually(true);
        }
        world.set_override(Override {
            cron: cron_override().cron,
            ..pause_override()
        });
        let plan = world.request(request());
        assert_eq!(plan.ended_overrides[&id("job")], "cleared by ops");
        assert_eq!(world.job().values.paused, found);
        assert_eq!(
            world.job().values.spec.calendars[0].to_string(),
            "0 * * * *"
        );
        assert!(world.overrides.is_empty());
    }
}

#[test]
fn a_second_pause_keeps_the_state_from_before_the_first() {
    let mut world = World::in_sync(HOURLY);
    world.set_override(pause_override());
    world.set_override(Override {
        reason: "still".to_owned(),
        ..pause_override()
    });
    assert!(world.job().note.starts_with("Paused by ops: still ["));
    world.request(request());
    assert!(!world.job().values.paused);
}

#[test]
fn an_override_equal_to_the_file_also_ends() {
    let mut world = World::in_sync(HOURLY);
    let until = world.now + SignedDuration::from_hours(1);
    world.set_override(Override {
        cron: Some(vec!["0 * * * *".to_owned()]),
        until: Some(until),
        ..Override::default()
    });
    world.later(60);
    // Asserts that the next plan has nothing to write.
    world.pass();
    assert_eq!(world.job().readable_memo().unwrap().overridden, None);
    assert!(world.plan().ended_overrides.is_empty());
}

#[test]
fn an_unpause_ends_a_pause_by_anyone() {
    let unpause = || OperatorRequest {
        unpause: true,
        ..request()
    };
    // By hand.
    let mut world = World::in_sync(HOURLY);
    world.set_paused_manually(true);
    world.request(unpause());
    assert!(!world.job().values.paused);
    assert!(world.overrides.is_empty());
    // By an override that found a pause.
    let mut world = World::in_sync(HOURLY);
    world.set_paused_manually(true);
    world.set_override(pause_override());
    world.request(OperatorRequest {
        overridden: world.overrides.get(&id("job")).cloned(),
        ..unpause()
    });
    assert!(!world.job().values.paused);
    assert!(world.overrides.is_empty());
    // By the YAML: overridden.
    let mut world = World::in_sync(&format!("enabled: false\n{HOURLY}"));
    world.request(unpause());
    assert!(!world.job().values.paused);
    assert_eq!(world.overrides[&id("job")].enabled, Some(true));
    assert!(
        world
            .job()
            .note
            .starts_with("Kept active by ops: incident [")
    );
    // The YAML pausing again, by another word on it, ends this.
    world.write("job", &format!("enabled: true\n{HOURLY}"));
    world.pass();
    assert!(world.overrides.is_empty());
    assert!(!world.job().values.paused);
}

#[test]
fn a_request_that_was_written_is_not_written_again() {
    let mut world = World::in_sync(HOURLY);
    world.set_override(pause_override());
    let one = world.overrides[&id("job")].clone();
    // The report of it was lost, and a hand unpaused.
    world.set_paused_manually(false);
    world.requests.insert(
        id("job"),
        OperatorRequest {
            at: one.at,
            number: one.order,
            overridden: Some(one),
            ..request()
        },
    );
    world.pass();
    assert!(!world.job().values.paused);
}

#[test]
fn a_request_for_an_unknown_definition_is_a_problem() {
    let mut world = World::in_sync(HOURLY);
    world.requests.insert(id("nobody"), request());
    let plan = world.plan();
    assert!(plan.is_empty());
    insta::assert_snapshot!(plan.problems[0].message, @"there is no definition `nobody` with a schedule; requested by ops");
}

#[test]
fn an_override_of_a_finished_schedule_is_kept() {
    let mut world = World::in_sync(
        "schedule: { cron: '0 * * * *', max_actions: 1 }\nworkflow: { type: Run, task_queue: q }\n",
    );
    world.job().remaining_actions = Some(0);
    world.pass();
    assert!(world.job().values.paused);
    world.set_override(cron_override());
    assert!(world.job().values.paused);
}

#[test]
fn a_later_manual_change_ends_an_override_of_enabled() {
    let mut world = World::in_sync(HOURLY);
    world.set_override(pause_override());
    world.set_paused_manually(false);
    let plan = world.pass();
    assert!(plan.ended_overrides.contains_key(&id("job")));
    assert!(!world.job().values.paused);
    assert!(world.overrides.is_empty());
}

#[test]
fn an_override_that_the_memo_lost_comes_back_from_the_state() {
    let mut world = World::in_sync(HOURLY);
    world.set_override(pause_override());
    world.replace_body();
    world.pass();
    assert!(world.job().values.paused);
    let stored = world.overrides[&id("job")].clone();
    assert_eq!(
        world.job().readable_memo().unwrap().overridden,
        Some(stored)
    );
}

#[test]
fn an_override_that_the_state_lost_comes_back_from_the_memo() {
    let mut world = World::in_sync(HOURLY);
    world.set_override(cron_override());
    let before = std::mem::take(&mut world.overrides);
    let plan = world.pass();
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(world.overrides, before);
}

#[test]
fn a_pause_by_an_override_does_not_count_as_paused_before() {
    let mut world = World::in_sync(&format!("enabled: true\n{HOURLY}"));
    world.set_override(pause_override());
    world.write("job", &format!("enabled: false\n{HOURLY}"));
    world.pass();
    assert!(world.job().flags().is_empty());
    world.write("job", &format!("enabled: true\n{HOURLY}"));
    world.pass();
    assert!(!world.job().values.paused);
}
