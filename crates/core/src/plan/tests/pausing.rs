//! Each rule about the paused state of `docs/contract.md#6-what-is-compared-and-what-is-done`.

use super::*;
use crate::schedule::{Note, NoteKind};

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
    let mut world = World::in_sync(&active());
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
fn a_pause_from_before_the_yamls_pause_outlives_it() {
    let mut world = World::in_sync(&active());
    world.set_paused_manually(true);
    world.write("job", &inactive());
    world.pass();
    assert_eq!(world.job().flags(), BTreeSet::from([Flag::PausedBefore]));
    world.write("job", &active());
    world.pass();
    assert!(world.job().values.paused, "the manual pause is unchanged");
    assert!(world.job().flags().is_empty());
}

#[test]
fn a_manual_pause_and_its_note_outlive_passes_and_other_edits() {
    let mut world = World::in_sync(&active());
    world.set_paused_manually(true);
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
fn a_manual_unpause_is_kept() {
    let mut world = World::in_sync(&inactive());
    world.set_paused_manually(false);
    assert!(world.plan().is_empty());
    world.write("job", &job(false, "5 * * * *"));
    world.pass();
    assert!(!world.job().values.paused);
}

#[test]
fn schedule_enabled_pauses_as_enabled_does() {
    let world = World::in_sync(
        "schedule: { cron: '0 * * * *', enabled: false }\nworkflow: { type: Run, task_queue: q }\n",
    );
    let Some(KnownSchedule::Described(live)) = world.server.values().next() else {
        panic!()
    };
    assert!(live.values.paused);
}

#[test]
fn a_replaced_body_is_paused_again_if_the_yaml_disables_it() {
    let mut world = World::in_sync(&inactive());
    world.replace_body();
    world.pass();
    assert!(world.job().values.paused);
}

#[test]
fn a_replaced_body_that_is_paused_is_never_unpaused() {
    let mut world = World::in_sync(&active());
    world.replace_body();
    world.set_paused_manually(true);
    world.pass();
    assert!(world.job().values.paused);
}

#[test]
fn a_finished_schedule_is_kept_paused() {
    let yaml =
        "schedule: { cron: '0 * * * *', max_actions: 2 }\nworkflow: { type: Run, task_queue: q }\n";
    let mut world = World::in_sync(yaml);
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
fn a_manual_pause_that_comes_back_is_still_a_manual_pause() {
    let earlier = ("by hand".to_owned(), NoteKind::Words);
    // An override lifted it, and ends.
    let mut world = World::in_sync(HOURLY);
    world.set_paused_manually(true);
    let lift = Override {
        enabled: Some(true),
        ..Override::default()
    };
    world.request(OperatorRequest {
        overridden: Some(lift),
        ..request()
    });
    assert!(!world.job().values.paused);
    world.request(request());
    assert!(world.job().values.paused);
    assert_eq!(line(&mut world), earlier);

    // The YAML paused it as well, after an override did.
    let mut world = World::in_sync(HOURLY);
    world.set_paused_manually(true);
    let pausing = Override {
        enabled: Some(false),
        ..Override::default()
    };
    world.request(OperatorRequest {
        overridden: Some(pausing),
        ..request()
    });
    world.write("job", &format!("enabled: false\n{HOURLY}"));
    world.pass();
    world.write("job", HOURLY);
    world.pass();
    assert!(world.job().values.paused);
    assert_eq!(line(&mut world), earlier);
}

/// The notes of a person, and of the server's two schedulers after a failed run.
const WORDS: [&str; 5] = [
    "lunch",
    "paused due to workflow rework: see the ticket",
    "Kept active by bob: dinner",
    "paused due to workflow failure: p/job-2026-05-01T12:00:00Z: boom",
    "paused, workflow failed: p/job-2026-05-01T12:00:00Z",
];

/// A world whose schedule is paused with `words`, and then gets an override of `enabled`.
fn overridden(words: &str, enabled: bool) -> World {
    let mut world = World::in_sync(&active());
    let job = world.job();
    job.values.paused = true;
    job.note = words.to_owned();
    world.set_override(enabling(enabled));
    assert_eq!(world.job().values.paused, !enabled);
    assert_kept(&mut world, words);
    world
}

/// Asserts that the note is about the override, and keeps `words`.
fn assert_kept(world: &mut World, words: &str) {
    let note = world.job().note.clone();
    let read = Note::read(&note);
    assert_eq!(read.override_words(), Some(("ann", "now")), "{note}");
    assert_eq!(read.earlier().unwrap().words(), Some(words));
}

/// Asserts that `live` is paused with `words`, and by the server if these are the server's.
fn assert_paused_with(live: &Live, words: &str) {
    assert!(live.values.paused, "{live:?}");
    let note = Note::read(&live.note);
    assert_eq!(note.words(), Some(words));
    let is_failure = words.contains("p/job-");
    assert_eq!(note.is_failure_of("p/job"), is_failure, "{note:?}");
    assert!(note.earlier().is_none());
}

#[test]
fn the_words_of_an_earlier_pause_come_back_when_an_override_ends() {
    for (words, enabled) in WORDS
        .into_iter()
        .flat_map(|one| [(one, true), (one, false)])
    {
        // The override is cleared.
        let mut world = overridden(words, enabled);
        world.request(request());
        assert_paused_with(world.job(), words);
        // The override expires, after other edits and a second override.
        let mut world = overridden(words, enabled);
        world.write("job", &job(true, "5 * * * *"));
        world.pass();
        assert_kept(&mut world, words);
        world.set_override(enabling(!enabled));
        assert_kept(&mut world, words);
        world.later(60);
        world.pass();
        assert_paused_with(world.job(), words);
        // The definition pauses the schedule, and later does not.
        let mut world = overridden(words, enabled);
        world.write("job", &inactive());
        world.pass();
        assert_paused_with(world.job(), words);
        assert_eq!(world.job().flags(), BTreeSet::from([Flag::PausedBefore]));
        world.write("job", &active());
        world.pass();
        assert_paused_with(world.job(), words);
        // An override of another field takes the place.
        let mut world = overridden(words, enabled);
        let timezone = Override {
            timezone: Some("Asia/Tokyo".to_owned()),
            ..Override::default()
        };
        world.set_override(timezone);
        assert_paused_with(world.job(), words);
    }
}

#[test]
fn the_words_of_an_earlier_pause_outlive_an_override_that_is_renamed() {
    for (words, enabled) in WORDS
        .into_iter()
        .flat_map(|one| [(one, true), (one, false)])
    {
        for is_stopped in [false, true] {
            let mut world = overridden(words, enabled);
            let task = ScheduleId::from_server("schedule-p-task");
            if is_stopped && enabled {
                // A pass pauses the old schedule first.
                let update = pause_for_rename(world.job(), &task);
                world.job().take(&update);
                assert!(is_paused_for_rename(world.job(), &task));
            }
            world.remove("job");
            world.write("task", &active());
            world.pass();
            let live = world.live(&task).clone();
            assert_eq!(live.values.paused, !enabled);
            let note = Note::read(&live.note);
            assert_eq!(note.override_words(), Some(("ann", "now")));
            assert_eq!(note.earlier().unwrap().words(), Some(words));
            world.later(60);
            world.pass();
            let live = world.live(&task);
            assert_paused_with(live, words);
        }
    }
}

#[test]
fn the_words_of_an_earlier_pause_outlive_the_absence_of_the_definition() {
    let mut world = overridden("lunch", true);
    let update = pause_orphan(world.job());
    world.job().take(&update);
    let note = world.job().note.clone();
    assert_eq!(Note::read(&note).kind(), NoteKind::DefinitionGone);
    world.pass();
    assert!(!world.job().values.paused, "the override is in force");
    assert_kept(&mut world, "lunch");
    world.request(request());
    assert_paused_with(world.job(), "lunch");
}

#[test]
fn the_words_of_an_earlier_pause_outlive_an_adoption() {
    let mut world = overridden("lunch", true);
    let from = ScheduleId::from_server("legacy");
    let wanted = scheduled(&world.project, &world.snapshot)[&id("job")].desired();
    let held = hold_for_adoption(&wanted, world.job(), &from).unwrap();
    world.job().take(&held);
    let note = world.job().note.clone();
    assert_eq!(Note::read(&note).kind(), NoteKind::Waiting);
    let old = AdoptedState::default();
    let released = release_from_adoption(&wanted, world.job(), &from, &old);
    world.job().take(&released);
    assert!(!world.job().values.paused, "the override is in force");
    assert_kept(&mut world, "lunch");
    world.request(request());
    assert_paused_with(world.job(), "lunch");
}

#[test]
fn a_pause_that_does_not_come_back_leaves_no_words() {
    // An operator ends every pause.
    let mut world = overridden("lunch", false);
    world.request(OperatorRequest {
        unpause: true,
        ..request()
    });
    assert!(!world.job().values.paused);
    assert!(!world.job().note.contains("lunch"), "{}", world.job().note);
    // Someone pauses the schedule under an override, with other words or none.
    let mut world = overridden("lunch", true);
    world.set_paused_manually(true);
    world.pass();
    assert_paused_with(world.job(), "by hand");
    let mut world = overridden("lunch", true);
    world.job().values.paused = true;
    world.pass();
    assert_eq!(line(&mut world).0, "Paused before Almanac last wrote it");
    // An earlier release did not keep the words.
    let mut world = overridden("lunch", true);
    let job = world.job();
    let (line, mark) = job.note.split_once("\nPaused before: lunch").unwrap();
    job.note = format!("{line}{mark}");
    world.request(request());
    assert!(world.job().values.paused);
    assert_eq!(
        self::line(&mut world).0,
        "Paused before Almanac last wrote it"
    );
    // Nobody had paused the schedule.
    let mut world = World::in_sync(&active());
    world.set_paused_manually(false);
    world.set_override(enabling(false));
    assert!(world.job().note.starts_with("Paused by ann until"));
    assert!(!world.job().note.contains("by hand"));
    world.request(request());
    assert!(!world.job().values.paused);
}

#[test]
fn a_failed_run_under_an_override_pauses_the_schedule() {
    for words in WORDS.into_iter().filter(|words| words.contains("p/job-")) {
        let mut world = World::in_sync(&active());
        world.set_override(enabling(true));
        let job = world.job();
        job.values.paused = true;
        job.note = words.to_owned();
        let plan = world.pass();
        assert_eq!(
            plan.ended_overrides[&id("job")],
            "the server paused the schedule after a failed run"
        );
        assert_paused_with(world.job(), words);
        // An override of another field neither hides nor ends the pause.
        let mut world = World::in_sync(&active());
        let timezone = Override {
            timezone: Some("Asia/Tokyo".to_owned()),
            ..enabling(true)
        };
        world.set_override(Override {
            enabled: None,
            ..timezone
        });
        let job = world.job();
        job.values.paused = true;
        job.note = words.to_owned();
        world.pass();
        assert_paused_with(world.job(), words);
        world.later(60);
        world.pass();
        assert_paused_with(world.job(), words);
    }
}

#[test]
fn a_pause_before_the_last_action_outlives_a_new_limit() {
    let yaml =
        "schedule: { cron: '0 * * * *', max_actions: 2 }\nworkflow: { type: Run, task_queue: q }\n";
    let mut world = World::in_sync(yaml);
    world.set_paused_manually(true);
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
    let mut world = World::in_sync(&yaml);
    world.orphans = OrphanPolicy::Pause;
    let lift = Override {
        enabled: Some(true),
        ..Override::default()
    };
    world.request(OperatorRequest {
        overridden: Some(lift),
        ..request()
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
