//! Each rule about the paused state of `docs/contract.md#6-what-is-compared-and-what-is-done`.

use super::*;
use crate::schedule::NoteKind;

fn job(enabled: bool, cron: &str) -> String {
    format!(
        "enabled: {enabled}\nschedule: {{ cron: '{cron}' }}\nworkflow: {{ type: Run, task_queue: q }}\n"
    )
}

fn active() -> String {
    job(true, "0 * * * *")
}

fn inactive() -> String {
    job(false, "0 * * * *")
}

#[test]
fn the_yaml_turning_paused_pauses_and_turning_active_unpauses() {
    let mut world = World::settled(&active());
    world.write("job", &inactive());
    let plan = world.pass();
    assert_eq!(plan.updates[0].op, Op::Pause);
    assert!(world.job().values.paused);
    world.write("job", &active());
    let plan = world.pass();
    assert_eq!(plan.updates[0].op, Op::Unpause);
    assert!(!world.job().values.paused);
}

#[test]
fn a_pause_that_was_there_before_the_yamls_outlives_it() {
    let mut world = World::settled(&active());
    world.by_hand(true);
    world.write("job", &inactive());
    world.pass();
    assert_eq!(world.job().flags(), BTreeSet::from([Flag::PausedBefore]));
    world.write("job", &active());
    world.pass();
    assert!(world.job().values.paused, "the manual pause is unchanged");
    assert!(world.job().flags().is_empty());
}

#[test]
fn a_hands_pause_and_its_note_outlive_passes_and_other_edits() {
    let mut world = World::settled(&active());
    world.by_hand(true);
    assert!(world.plan().is_empty(), "no write for a manual pause");
    world.write("job", &job(true, "5 * * * *"));
    world.pass();
    assert!(world.job().values.paused);
    assert!(
        world.job().note.starts_with("by hand"),
        "{}",
        world.job().note
    );
}

#[test]
fn an_unpause_by_hand_is_kept_too() {
    let mut world = World::settled(&inactive());
    world.by_hand(false);
    assert!(world.plan().is_empty());
    world.write("job", &job(false, "5 * * * *"));
    world.pass();
    assert!(!world.job().values.paused);
}

#[test]
fn schedule_enabled_pauses_as_enabled_does() {
    let world = World::settled(
        "schedule: { cron: '0 * * * *', enabled: false }\nworkflow: { type: Run, task_queue: q }\n",
    );
    let Some(KnownSchedule::Described(live)) = world.server.values().next() else {
        panic!()
    };
    assert!(live.values.paused);
}

#[test]
fn a_replaced_body_is_paused_again_when_the_yaml_says_so() {
    let mut world = World::settled(&inactive());
    world.replace_body();
    world.pass();
    assert!(world.job().values.paused);
}

#[test]
fn a_replaced_body_that_is_paused_is_never_unpaused() {
    let mut world = World::settled(&active());
    world.replace_body();
    world.by_hand(true);
    world.pass();
    assert!(world.job().values.paused);
}

#[test]
fn a_schedule_without_actions_left_becomes_its_own_tombstone() {
    let yaml =
        "schedule: { cron: '0 * * * *', max_actions: 2 }\nworkflow: { type: Run, task_queue: q }\n";
    let mut world = World::settled(yaml);
    world.job().remaining_actions = Some(0);
    let plan = world.pass();
    assert_eq!(causes(&plan), [(Field::Paused, Cause::Finished)]);
    assert!(world.job().values.paused);
    assert_eq!(world.job().flags(), BTreeSet::from([Flag::Finished]));
    world.write("job", &yaml.replace("max_actions: 2", "max_actions: 3"));
    world.pass();
    assert!(!world.job().values.paused, "a changed limit starts it anew");
    assert_eq!(world.job().remaining_actions, Some(3));
    assert!(world.job().flags().is_empty());
}

/// The line of the job's note, and the kind of it.
fn line(world: &mut World) -> (String, NoteKind) {
    let note = world.job().note.clone();
    let note = Note::read(&note);
    (note.line().to_owned(), note.kind())
}

#[test]
fn a_manual_pause_that_comes_back_is_still_nobody_elses() {
    let earlier = (
        "Paused before Almanac last wrote it".to_owned(),
        NoteKind::Words,
    );
    // An override lifted it, and ends.
    let mut world = World::settled(HOURLY);
    world.by_hand(true);
    let lift = Override {
        enabled: Some(true),
        ..Override::default()
    };
    world.order(OperatorRequest {
        overridden: Some(lift),
        ..order()
    });
    assert!(!world.job().values.paused);
    world.order(order());
    assert!(world.job().values.paused);
    assert_eq!(line(&mut world), earlier);

    // The YAML paused it as well, after an override did.
    let mut world = World::settled(HOURLY);
    world.by_hand(true);
    let pausing = Override {
        enabled: Some(false),
        ..Override::default()
    };
    world.order(OperatorRequest {
        overridden: Some(pausing),
        ..order()
    });
    world.write("job", &format!("enabled: false\n{HOURLY}"));
    world.pass();
    world.write("job", HOURLY);
    world.pass();
    assert!(world.job().values.paused);
    assert_eq!(line(&mut world), earlier);
}

#[test]
fn a_pause_before_the_last_action_outlives_a_new_limit() {
    let yaml =
        "schedule: { cron: '0 * * * *', max_actions: 2 }\nworkflow: { type: Run, task_queue: q }\n";
    let mut world = World::settled(yaml);
    world.by_hand(true);
    world.job().remaining_actions = Some(0);
    world.pass();
    assert_eq!(line(&mut world).1, NoteKind::Finished);
    world.write("job", &yaml.replace("max_actions: 2", "max_actions: 3"));
    world.pass();
    assert!(world.job().values.paused, "nobody unpaused it");
    assert_eq!(line(&mut world).1, NoteKind::Words);
}

#[test]
fn an_override_outlives_the_pause_of_an_orphan() {
    let yaml = format!("enabled: false\n{HOURLY}");
    let mut world = World::settled(&yaml);
    world.orphans = OrphanPolicy::Pause;
    let lift = Override {
        enabled: Some(true),
        ..Override::default()
    };
    world.order(OperatorRequest {
        overridden: Some(lift),
        ..order()
    });
    assert!(!world.job().values.paused);
    let definition = world.snapshot.definitions.remove(&id("job")).unwrap();
    let plan = world.plan();
    // The last schedule of a project: its removal waits for confirmation.
    let digest = plan.held.map(|held| held.digest);
    let job = world.job().clone();
    world.apply(&Plan {
        updates: vec![pause_orphan(&job)],
        ..Plan::default()
    });
    assert!(digest.is_some() && world.job().values.paused);
    world.snapshot.definitions.insert(id("job"), definition);
    world.pass();
    assert!(!world.job().values.paused, "the override is in force");
}
