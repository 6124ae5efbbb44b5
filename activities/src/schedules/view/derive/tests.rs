use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_base::names::{Project, ScheduleId};
use almanac_core::definition::{Kind, ParseContext, parse_file};
use almanac_core::plan::{Create, drifted_fields, scheduled};
use almanac_core::record::{Held, Listed, Report, Status};
use almanac_core::schedule::{Fingerprint, LiveMemo, NoteLine};
use almanac_core::snapshot::{FailedDocument, LoadStatus, Loaded, Snapshot};

use super::super::ViewFiles;
use jiff::Timestamp;

use super::*;
use crate::schedules::Run;

const NOW: &str = "2026-05-01T12:00:00Z";

/// A project with the definitions `on` (active) and `off` (paused).
struct World {
    project: Project,
    snapshot: Snapshot,
    status: Status,
}

/// The place in which a view is derived.
#[derive(Clone, Copy, PartialEq)]
enum At {
    /// In a worker: the files and the reconcile workflow's state are known.
    Worker,
    /// On a command line, while a worker answers.
    CommandLine,
    /// On a command line, without a worker.
    Alone,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            project: "test".parse().unwrap(),
            snapshot: Snapshot::default(),
            status: Status {
                // The last full pass found nothing of note.
                reports: vec![Report {
                    conflicts: Some(Vec::new()),
                    without_definition: Some(Listed::default()),
                    unreadable: Some(Vec::new()),
                    ..Report::default()
                }],
                ..Status::default()
            },
        };
        world.write("on", "schedule: { cron: '0 3 * * *' }");
        world.write("off", "enabled: false\nschedule: { cron: '0 3 * * *' }");
        world
    }

    fn write(&mut self, id: &str, text: &str) {
        let source = format!("{id}.yaml");
        let text = format!("{text}\nworkflow: {{ type: Job, task_queue: jobs }}\n");
        let context = ParseContext {
            now: Timestamp::UNIX_EPOCH,
        };
        let parsed = parse_file(&source, text.as_bytes(), &context).remove(0);
        let definition = Arc::clone(parsed.definition().unwrap());
        let loaded = Loaded {
            definition,
            source,
            status: LoadStatus::Loaded,
        };
        self.snapshot
            .definitions
            .insert(id.parse().unwrap(), loaded);
    }

    fn report(&mut self) -> &mut Report {
        self.status.reports.last_mut().unwrap()
    }

    fn schedule(&self, id: &str) -> ScheduleId {
        self.project.schedule_id(&id.parse().unwrap())
    }

    /// The schedule as a pass creates it; of a definition that is gone, as that of `on`.
    fn live(&self, id: &str) -> Live {
        let known: DefinitionId = id.parse().unwrap();
        let scheduled = scheduled(&self.project, &self.snapshot);
        let scheduled = scheduled
            .get(&known)
            .unwrap_or(&scheduled[&"on".parse().unwrap()]);
        let create = Create::of(scheduled, None);
        Live {
            schedule: self.schedule(id),
            definition: known,
            memo: LiveMemo::Readable(Box::new(create.memo())),
            values: Arc::unwrap_or_clone(create.values()),
            remaining_actions: create.remaining,
            action_count: 0,
            note: create.note,
            updated_at: None,
        }
    }

    fn entry(live: &Live) -> ListEntry {
        ListEntry {
            schedule: live.schedule.clone(),
            owner: Some(live.definition.clone()),
            note: live.note.clone(),
            paused: live.values.paused,
            workflow_type: live.values.action.workflow_type.clone(),
            spec: live.values.spec.clone(),
            next: vec![at("2026-05-02T03:00:00Z"), at("2026-05-03T03:00:00Z")],
            last: None,
            is_busy: false,
        }
    }

    fn view(&self, observed: Observed, place: At) -> ScheduleView {
        let files = ViewFiles::of(&self.project, &self.snapshot);
        let context = ViewContext {
            project: &self.project,
            status: (place != At::Alone).then_some(&self.status),
            files: (place == At::Worker).then_some(&files),
            now: at(NOW),
        };
        view(observed, context)
    }

    /// The view of a schedule in a list.
    fn listed(&self, live: &Live, place: At) -> ScheduleView {
        let observed = Observed {
            definition: live.definition.clone(),
            entry: Self::entry(live),
            described: None,
            overdue: match place {
                At::Worker => Overdue::No,
                At::CommandLine | At::Alone => Overdue::NotChecked,
            },
            drift: (place == At::Worker).then(BTreeSet::new),
        };
        self.view(observed, place)
    }

    /// The view of a schedule that was described.
    fn described(&self, live: &Live, place: At) -> ScheduleView {
        let observed = Observed {
            definition: live.definition.clone(),
            entry: Self::entry(live),
            overdue: Overdue::No,
            drift: None,
            described: Some(Description {
                live: live.clone(),
                missed: Missed::default(),
            }),
        };
        self.view(observed, place)
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn memo(live: &mut Live) -> &mut ActionMemo {
    match &mut live.memo {
        LiveMemo::Readable(memo) => memo,
        _ => panic!("the memo is readable"),
    }
}

fn pausing() -> Override {
    Override {
        enabled: Some(false),
        by: "ann".to_owned(),
        reason: "disk full".to_owned(),
        ..Override::default()
    }
}

fn write(live: &mut Live, words: &NoteLine<'_>) {
    let fingerprint = Fingerprint::of(&BTreeMap::new(), None, &BTreeSet::new(), &BTreeSet::new());
    live.note = words.write(&fingerprint);
}

/// The states that may apply to a schedule, in any combination.
const MATTERS: [ScheduleState; 7] = [
    ScheduleState::Unreadable,
    ScheduleState::Held,
    ScheduleState::Orphaned,
    ScheduleState::Contested,
    ScheduleState::Finished,
    ScheduleState::Overridden,
    ScheduleState::Paused,
];

/// A world in which just these states apply to the returned schedule.
fn world_of(matters: &BTreeSet<ScheduleState>) -> (World, Live) {
    let mut world = World::new();
    let is = |state| matters.contains(&state);
    let mut live = world.live(if is(ScheduleState::Orphaned) {
        "gone"
    } else {
        "on"
    });
    let (id, schedule) = (live.definition.clone(), live.schedule.to_string());
    if is(ScheduleState::Orphaned) {
        world.report().without_definition = Some(Listed {
            ids: vec![schedule.clone()],
            count: 1,
        });
    }
    if is(ScheduleState::Unreadable) {
        world.report().unreadable = Some(vec![schedule.clone()]);
    }
    if is(ScheduleState::Held) {
        world.status.held = Some(Held {
            digest: String::new(),
            reason: String::new(),
            ids: vec![schedule],
            count: 1,
        });
    }
    if is(ScheduleState::Contested) {
        let times = vec![at(NOW); 5];
        let fields = [(Field::Jitter, times)].into();
        world.status.corrections.insert(id.clone(), fields);
    }
    if is(ScheduleState::Paused) {
        live.values.paused = true;
        live.note = "lunch".to_owned();
    }
    if is(ScheduleState::Overridden) {
        let set = Override {
            enabled: None,
            timezone: Some("Asia/Tokyo".to_owned()),
            ..pausing()
        };
        live.values.spec.timezone = "Asia/Tokyo".to_owned();
        memo(&mut live).overridden = Some(set.clone());
        world.status.overrides.insert(id, set);
    }
    if is(ScheduleState::Finished) {
        live.values.paused = true;
        memo(&mut live).flags.insert(Flag::Finished);
        write(&mut live, &NoteLine::Finished);
    }
    (world, live)
}

#[test]
fn the_first_state_that_applies_is_shown_everywhere() {
    for set in 0..1_u32 << MATTERS.len() {
        let chosen = MATTERS.iter().enumerate();
        let chosen = chosen.filter(|(bit, _)| set & 1 << bit != 0);
        let matters: BTreeSet<_> = chosen.map(|(_, state)| *state).collect();
        let (world, live) = world_of(&matters);
        let mut expected = matters.clone();
        if live.values.paused {
            expected.insert(ScheduleState::Paused);
        }
        let state = expected.first().copied().unwrap_or(ScheduleState::Active);
        for place in [At::Worker, At::CommandLine] {
            for view in [world.listed(&live, place), world.described(&live, place)] {
                assert_eq!(view.conditions, expected);
                assert_eq!(view.state, state);
                // A person's note may hide that the actions are used up.
                let mut unknown = view.unknown;
                unknown.remove(&ScheduleState::Finished);
                assert_eq!(unknown, BTreeSet::new());
            }
        }
        // Alone, nothing is said that is not so, and nothing is passed over.
        for view in [
            world.listed(&live, At::Alone),
            world.described(&live, At::Alone),
        ] {
            assert!(view.conditions.is_subset(&expected), "{matters:?}");
            let reported: BTreeSet<_> = view.conditions.union(&view.unknown).copied().collect();
            assert!(reported.is_superset(&expected), "{matters:?}: {reported:?}");
        }
    }
}

#[test]
fn an_unmanaged_schedule_with_a_wanted_id_is_only_a_conflict() {
    let world = World::new();
    let live = world.live("on");
    let observed = Observed {
        definition: live.definition.clone(),
        entry: ListEntry {
            owner: None,
            paused: true,
            ..World::entry(&live)
        },
        described: None,
        overdue: Overdue::NotChecked,
        drift: None,
    };
    let view = world.view(observed, At::Alone);
    assert_eq!(view.state, ScheduleState::Conflict);
    assert_eq!(view.paused_by, Some(PausedBy::Hand));
    assert_eq!((view.overdue, view.drift), (None, None));
}

#[test]
fn conditions_that_need_a_worker_are_unknown_without_a_worker() {
    let world = World::new();
    let alone = world.listed(&world.live("on"), At::Alone);
    assert_eq!(alone.state, ScheduleState::Active);
    assert_eq!(
        Vec::from_iter(alone.unknown),
        [
            ScheduleState::Unreadable,
            ScheduleState::Held,
            ScheduleState::Orphaned,
            ScheduleState::Contested,
            ScheduleState::Overridden,
        ]
    );
    assert_eq!(
        (alone.overdue, alone.drift, alone.missed),
        (None, None, None)
    );
    // The memo has the override and the last written values.
    let alone = world.described(&world.live("on"), At::Alone);
    assert!(!alone.unknown.contains(&ScheduleState::Overridden));
    assert_eq!(alone.drift, Some(BTreeSet::new()));
}

#[test]
fn lists_that_a_report_cuts_leave_the_rest_unknown() {
    let mut world = World::new();
    world.report().without_definition = Some(Listed {
        ids: Vec::new(),
        count: 300,
    });
    world.report().schedules.unreadable = 300;
    world.status.held = Some(Held {
        digest: String::new(),
        reason: String::new(),
        ids: Vec::new(),
        count: 300,
    });
    world.status.overrides_left = 1;
    let view = world.listed(&world.live("on"), At::CommandLine);
    assert_eq!(
        Vec::from_iter(view.unknown),
        [
            ScheduleState::Unreadable,
            ScheduleState::Held,
            ScheduleState::Orphaned,
            ScheduleState::Overridden,
        ]
    );
    // The files show which schedules are to be removed.
    let view = world.listed(&world.live("on"), At::Worker);
    let unknown = [ScheduleState::Unreadable, ScheduleState::Overridden];
    assert_eq!(Vec::from_iter(view.unknown), unknown);
    let view = world.listed(&world.live("gone"), At::Worker);
    assert_eq!(view.state, ScheduleState::Held);
}

#[test]
fn a_document_that_fails_keeps_its_schedule_from_being_orphaned() {
    let mut world = World::new();
    let failed = FailedDocument {
        id: Some("gone".parse().unwrap()),
        source: "gone.yaml".into(),
        kind: Kind::Workflow,
        errors: Vec::new(),
    };
    assert_eq!(
        world.listed(&world.live("gone"), At::Worker).state,
        ScheduleState::Orphaned
    );
    world.snapshot.failed.push(failed);
    assert_eq!(
        world.listed(&world.live("gone"), At::Worker).state,
        ScheduleState::Active
    );
}

#[test]
fn without_a_worker_the_note_shows_the_state_that_almanac_wrote() {
    let world = World::new();
    let mut live = world.live("on");
    live.values.paused = true;
    let set = pausing();
    let before = Note::of_words("");
    for (line, state, by) in [
        (
            NoteLine::Overridden {
                set: &set,
                paused: true,
            },
            ScheduleState::Overridden,
            Some(PausedBy::Override),
        ),
        (
            NoteLine::DefinitionGone { before },
            ScheduleState::Orphaned,
            Some(PausedBy::Yaml),
        ),
        (NoteLine::Finished, ScheduleState::Finished, None),
    ] {
        write(&mut live, &line);
        let view = world.listed(&live, At::Alone);
        assert_eq!((view.state, view.paused_by), (state, by), "{line}");
        assert_eq!(view.note, line.to_string());
        // A person who types the same pauses it, and no more.
        live.note = line.to_string();
        let view = world.listed(&live, At::Alone);
        let expected = (ScheduleState::Paused, Some(PausedBy::Hand));
        assert_eq!((view.state, view.paused_by), expected, "{line}");
    }
}

#[test]
fn times_are_those_of_the_live_schedule_written_as_the_file_writes_them() {
    let mut world = World::new();
    world.write(
        "on",
        "schedule: { cron: ['@daily', '30 4 * * MON'], calendars: [{ hour: 9 }], every: 6h }",
    );
    let mut live = world.live("on");
    let worker = world.listed(&live, At::Worker);
    assert_eq!(worker.cron, ["@daily", "30 4 * * MON", "0 9 * * *"]);
    assert_eq!(worker.every, ["6h"]);
    let command_line = world.listed(&live, At::CommandLine);
    assert_eq!(command_line.cron.len(), 3);
    assert!(!command_line.cron.contains(&"@daily".to_owned()));
    // The file was edited, and no pass has written it yet.
    world.write("on", "schedule: { cron: '@hourly' }");
    assert_eq!(world.listed(&live, At::Worker).cron, command_line.cron);
    // An override is in force.
    let set = Override {
        cron: Some(vec!["@weekly".to_owned()]),
        ..Override::default()
    };
    live.values.spec.calendars = compile_cron("@weekly")
        .unwrap()
        .calendars
        .into_iter()
        .collect();
    live.values.spec.intervals = almanac_times::Sorted::default();
    world.status.overrides.insert(live.definition.clone(), set);
    assert_eq!(world.listed(&live, At::CommandLine).cron, ["@weekly"]);
    // Somebody changed the times under it: what it says is not in force.
    live.values.spec.calendars = compile_cron("@daily")
        .unwrap()
        .calendars
        .into_iter()
        .collect();
    assert_eq!(world.listed(&live, At::CommandLine).cron, ["0 0 * * *"]);
}

/// The times of a listed schedule.
fn times_of(world: &World, entry: ListEntry, place: At) -> ListedTimes {
    let files = ViewFiles::of(&world.project, &world.snapshot);
    let context = ViewContext {
        project: &world.project,
        status: (place != At::Alone).then_some(&world.status),
        files: (place == At::Worker).then_some(&files),
        now: at(NOW),
    };
    let observed = Observed {
        definition: "on".parse().unwrap(),
        entry,
        described: None,
        overdue: Overdue::NotChecked,
        drift: None,
    };
    times(&observed, context)
}

#[test]
fn the_times_of_a_cut_list_are_whole_where_the_definition_shows_the_rest() {
    let mut world = World::new();
    let crons: Vec<_> = (1..=12).map(|day| format!("'0 {day} {day} * *'")).collect();
    let text = format!("schedule: {{ cron: [{}] }}", crons.join(", "));
    world.write("on", &text);
    let live = world.live("on");
    let mut entry = World::entry(&live);
    let first = entry.spec.calendars.iter().take(SPEC_CUT).copied();
    entry.spec.calendars = first.collect();
    let worker = times_of(&world, entry.clone(), At::Worker);
    assert!(worker.is_whole && worker.is_marked && worker.is_managed);
    assert_eq!(*worker.spec, live.values.spec);
    let command_line = times_of(&world, entry.clone(), At::CommandLine);
    assert!(!command_line.is_whole);
    assert_eq!(*command_line.spec, entry.spec);
    // A manual pause or unpause replaces the note.
    "back".clone_into(&mut entry.note);
    assert!(!times_of(&world, entry.clone(), At::Worker).is_marked);
    entry.owner = None;
    assert!(!times_of(&world, entry, At::Worker).is_managed);
}

#[test]
fn the_times_after_an_override_are_those_of_the_definition() {
    let mut world = World::new();
    let mut live = world.live("on");
    let until = at("2026-05-02T00:00:00Z");
    let mut after = |set: Override, place: At| {
        if let Some(cron) = &set.cron {
            live.values.spec.calendars = compiled(cron).calendars;
        }
        let set = Override {
            until: Some(until),
            ..set
        };
        world.status.overrides.insert(live.definition.clone(), set);
        let after = times_of(&world, World::entry(&live), place).after.unwrap();
        assert_eq!(after.at, until);
        after.spec.map(|spec| spec.words(None))
    };
    let daily = Some("03:00 daily".to_owned());
    let never = Some(Spec::default().words(None));
    let paused = |found_paused| Override {
        enabled: Some(false),
        found_paused,
        ..Override::default()
    };
    assert_eq!(after(paused(Some(false)), At::CommandLine), daily);
    assert_eq!(after(paused(Some(true)), At::CommandLine), never);
    // Without the files, the state before the pause is not known.
    assert_eq!(after(paused(None), At::CommandLine), None);
    assert_eq!(after(paused(None), At::Worker), daily);
    let hourly = || Override {
        cron: Some(vec!["@hourly".to_owned()]),
        ..Override::default()
    };
    assert_eq!(after(hourly(), At::Worker), daily);
    assert_eq!(after(hourly(), At::CommandLine), None);
}

#[test]
fn a_paused_schedule_has_no_next_run() {
    let world = World::new();
    let mut live = world.live("on");
    let view = world.listed(&live, At::Alone);
    assert_eq!(view.next_run, Some(at("2026-05-02T03:00:00Z")));
    assert_eq!(view.next_runs, [at("2026-05-03T03:00:00Z")]);
    live.values.paused = true;
    let view = world.listed(&live, At::Alone);
    assert_eq!((view.next_run, view.next_runs), (None, Vec::new()));
}

#[test]
fn the_last_run_is_the_one_that_started() {
    let world = World::new();
    let live = world.live("on");
    let run = Run {
        due: None,
        started: Some(at(NOW)),
        ended: None,
        workflow_id: "test/on-1".to_owned(),
        run_id: "r".to_owned(),
        status: Some("completed".to_owned()),
    };
    let observed = Observed {
        definition: live.definition.clone(),
        entry: ListEntry {
            last: Some(run),
            ..World::entry(&live)
        },
        described: None,
        overdue: Overdue::NotChecked,
        drift: None,
    };
    let last = world.view(observed, At::Alone).last_run.unwrap();
    assert_eq!(
        (last.at, last.status.as_deref()),
        (at(NOW), Some("completed"))
    );
}

#[test]
fn drift_is_a_difference_from_the_last_write_and_not_from_the_file() {
    let mut world = World::new();
    let mut live = world.live("on");
    live.values.spec.jitter = std::time::Duration::from_secs(7);
    // A pause is nobody's drift, and neither is what an override sets.
    live.values.paused = true;
    live.values.spec.timezone = "Asia/Tokyo".to_owned();
    memo(&mut live).overridden = Some(Override {
        timezone: Some("Asia/Tokyo".to_owned()),
        ..Override::default()
    });
    world.write("on", "schedule: { cron: '@hourly' }");
    for place in [At::Worker, At::Alone] {
        let drift = world.described(&live, place).drift;
        assert_eq!(drift, Some(BTreeSet::from([Field::Jitter])));
    }
    live.values.spec.timezone = "Europe/Paris".to_owned();
    let drift = world.described(&live, At::Alone).drift;
    assert_eq!(
        drift,
        Some(BTreeSet::from([Field::Timezone, Field::Jitter]))
    );
    // Someone replaced the body: only the files have the wanted values.
    live.memo = LiveMemo::Missing;
    assert_eq!(world.described(&live, At::Alone).drift, None);
    let files = ViewFiles::of(&world.project, &world.snapshot);
    let desired = files.desired(&live.definition);
    let drift = drifted_fields(&live, desired.as_ref(), None).unwrap();
    let expected = [Field::Times, Field::Timezone, Field::Jitter, Field::Action];
    assert_eq!(Vec::from_iter(drift), expected);
}

#[test]
fn a_workflow_that_began_without_state_knows_nothing_before_its_first_full_pass() {
    let mut world = World::new();
    world.status.reports.clear();
    let mut live = world.live("on");
    let view = world.listed(&live, At::CommandLine);
    assert_eq!(
        Vec::from_iter(view.unknown),
        [
            ScheduleState::Unreadable,
            ScheduleState::Held,
            ScheduleState::Orphaned,
            ScheduleState::Contested,
            ScheduleState::Overridden,
        ]
    );
    // By the note an override pauses the schedule, also if the workflow forgot it.
    live.values.paused = true;
    let set = pausing();
    let paused = true;
    write(&mut live, &NoteLine::Overridden { set: &set, paused });
    let view = world.listed(&live, At::CommandLine);
    assert_eq!(view.state, ScheduleState::Overridden);
    assert_eq!(view.paused_by, Some(PausedBy::Override));
}

#[test]
fn a_list_shows_that_the_limited_actions_are_used_up() {
    let mut world = World::new();
    world.write("on", "schedule: { cron: '0 3 * * *', max_actions: 3 }");
    let mut live = world.live("on");
    // Nothing is left to come, and no pass has flagged it.
    let observed = |live: &Live| Observed {
        definition: live.definition.clone(),
        entry: ListEntry {
            next: Vec::new(),
            ..World::entry(live)
        },
        described: None,
        overdue: Overdue::No,
        drift: None,
    };
    let view = world.view(observed(&live), At::Worker);
    assert_eq!(view.state, ScheduleState::Finished);
    // Somebody paused it in the meantime, which only a description shows.
    live.values.paused = true;
    live.note = "lunch".to_owned();
    let view = world.view(observed(&live), At::Worker);
    assert_eq!(view.unknown, BTreeSet::from([ScheduleState::Finished]));
    live.remaining_actions = Some(0);
    assert_eq!(
        world.described(&live, At::Worker).state,
        ScheduleState::Finished
    );
}

/// The operator and the reason of a view.
fn words(view: &ScheduleView) -> (Option<&str>, Option<&str>) {
    (view.by.as_deref(), view.reason.as_deref())
}

#[test]
fn the_reason_is_that_of_the_override_in_force() {
    let mut world = World::new();
    let mut live = world.live("on");
    live.values.paused = true;
    let expected = (Some("ann"), Some("disk full"));
    let (set, paused) = (pausing(), true);
    write(&mut live, &NoteLine::Overridden { set: &set, paused });
    // Without a worker the note has the answer.
    assert_eq!(words(&world.listed(&live, At::Alone)), expected);
    // A person's later note does not hide a known override.
    memo(&mut live).overridden = Some(set.clone());
    world.status.overrides.insert(live.definition.clone(), set);
    live.note = "lunch".to_owned();
    for place in [At::Worker, At::CommandLine] {
        assert_eq!(words(&world.listed(&live, place)), expected);
        assert_eq!(words(&world.described(&live, place)), expected);
    }
    let alone = world.listed(&live, At::Alone);
    assert_eq!(words(&alone), (None, Some("lunch")));
}

#[test]
fn the_reason_is_the_note_of_a_person_or_of_the_server() {
    let world = World::new();
    let mut live = world.live("on");
    live.values.paused = true;
    for note in [
        "lunch",
        "Paused via WebUI",
        "Paused by ann: disk full",
        "Finished: its actions are used up",
        "paused due to workflow failure: test/on-2026: boom",
    ] {
        for place in [At::Worker, At::CommandLine, At::Alone] {
            live.note = note.to_owned();
            assert_eq!(words(&world.listed(&live, place)), (None, Some(note)));
            // Almanac's later writes keep the words.
            write(&mut live, &NoteLine::Kept(Note::of_words(note)));
            assert_eq!(words(&world.listed(&live, place)), (None, Some(note)));
        }
    }
}

/// The notes of the server's two schedulers when a run of `on` failed.
const FAILURES: [&str; 2] = [
    "paused due to workflow failure: test/on-2026: boom",
    "paused, workflow failed: test/on-2026",
];

/// Writes the line of an override that interrupts the pause of `words`.
fn interrupt(live: &mut Live, set: &Override, words: &str) {
    let by_override = NoteLine::Overridden {
        set,
        paused: live.values.paused,
    };
    let (base, flags, left) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    let fingerprint = Fingerprint::of(&base, Some(set), &flags, &left);
    live.note = by_override.write_with(Some(Note::of_words(words)), &fingerprint);
    memo(live).overridden = Some(set.clone());
}

#[test]
fn a_pause_that_an_override_interrupts_is_shown_beside_the_override() {
    for (words, enabled) in FAILURES
        .into_iter()
        .chain(["lunch"])
        .flat_map(|words| [(words, true), (words, false)])
    {
        let mut world = World::new();
        let mut live = world.live("on");
        live.values.paused = !enabled;
        let set = Override {
            enabled: Some(enabled),
            found_paused: Some(true),
            ..pausing()
        };
        interrupt(&mut live, &set, words);
        world.status.overrides.insert(live.definition.clone(), set);
        let start = if enabled { "Kept active" } else { "Paused" };
        let note = format!("{start} by ann: disk full (paused before: {words})");
        for place in [At::Worker, At::CommandLine, At::Alone] {
            for view in [world.listed(&live, place), world.described(&live, place)] {
                assert_eq!(view.state, ScheduleState::Overridden);
                let by = (!enabled).then_some(PausedBy::Override);
                assert_eq!(view.paused_by, by, "{words}");
                assert_eq!(view.note, note);
                assert_eq!(self::words(&view), (Some("ann"), Some("disk full")));
            }
        }
    }
}

#[test]
fn a_failed_run_stays_the_origin_of_a_pause_under_and_after_an_override() {
    let zone = Override {
        enabled: None,
        timezone: Some("Asia/Tokyo".to_owned()),
        ..pausing()
    };
    for (note, set) in FAILURES
        .into_iter()
        .flat_map(|note| [(note, Some(&zone)), (note, None)])
    {
        let mut world = World::new();
        let mut live = world.live("on");
        live.values.paused = true;
        live.note = note.to_owned();
        memo(&mut live).overridden = set.cloned();
        let state = match set {
            Some(set) => {
                let id = live.definition.clone();
                world.status.overrides.insert(id, set.clone());
                ScheduleState::Overridden
            }
            None => ScheduleState::Paused,
        };
        for is_kept in [false, true] {
            if is_kept {
                write(&mut live, &NoteLine::Kept(Note::of_words(note)));
            }
            for place in [At::Worker, At::CommandLine] {
                for view in [world.listed(&live, place), world.described(&live, place)] {
                    assert_eq!(view.paused_by, Some(PausedBy::Failure), "{note}");
                    assert_eq!(view.state, state);
                    assert!(view.conditions.contains(&ScheduleState::Paused));
                    assert_eq!(view.note, note);
                }
            }
        }
    }
}

#[test]
fn almanacs_own_notes_are_no_reason() {
    let world = World::new();
    let mut live = world.live("on");
    assert_eq!(words(&world.listed(&live, At::Worker)), (None, None));
    live.values.paused = true;
    let before = Note::of_words("lunch");
    for line in [
        NoteLine::Finished,
        NoteLine::DefinitionGone { before },
        NoteLine::PausedEarlier,
    ] {
        write(&mut live, &line);
        for place in [At::Worker, At::CommandLine, At::Alone] {
            assert_eq!(words(&world.listed(&live, place)), (None, None), "{line}");
        }
    }
    live.note = String::new();
    assert_eq!(words(&world.listed(&live, At::Worker)), (None, None));
    // An unmanaged schedule may be another project's.
    let unmanaged = |note: String| Observed {
        definition: live.definition.clone(),
        entry: ListEntry {
            owner: None,
            note,
            ..World::entry(&live)
        },
        described: None,
        overdue: Overdue::NotChecked,
        drift: None,
    };
    let mut other = live.clone();
    let (set, paused) = (pausing(), true);
    write(&mut other, &NoteLine::Overridden { set: &set, paused });
    let view = world.view(unmanaged(other.note), At::Worker);
    assert_eq!(words(&view), (None, None));
    let view = world.view(unmanaged("lunch".to_owned()), At::Worker);
    assert_eq!(words(&view), (None, Some("lunch")));
}

#[test]
fn the_summary_is_that_of_the_live_times() {
    let mut world = World::new();
    let times = "cron: '30 4 * * MON-FRI', timezone: Europe/Berlin, jitter: 30s";
    world.write("on", &format!("schedule: {{ {times} }}"));
    let mut live = world.live("on");
    for place in [At::Worker, At::CommandLine, At::Alone] {
        for view in [world.listed(&live, place), world.described(&live, place)] {
            assert_eq!(view.summary, "04:30 Mon–Fri Europe/Berlin, jitter 30s");
        }
    }
    live.values.spec.timezone = "UTC".to_owned();
    let view = world.listed(&live, At::Worker);
    assert_eq!(view.summary, "04:30 Mon–Fri, jitter 30s");
    live.values.spec = Spec::default();
    assert_eq!(world.listed(&live, At::Worker).summary, "-");
}

#[test]
fn the_summary_of_a_cut_list_counts_what_is_known() {
    let mut world = World::new();
    let crons: Vec<_> = (1..=12).map(|day| format!("'0 {day} {day} * *'")).collect();
    world.write(
        "on",
        &format!("schedule: {{ cron: [{}] }}", crons.join(", ")),
    );
    let live = world.live("on");
    let cut = |live: &Live| {
        let mut entry = World::entry(live);
        let first = entry.spec.calendars.iter().take(SPEC_CUT).copied();
        entry.spec.calendars = first.collect();
        Observed {
            definition: live.definition.clone(),
            entry,
            described: None,
            overdue: Overdue::No,
            drift: None,
        }
    };
    let first = "01:00 on the 1st; 02:00 on the 2nd";
    let view = world.view(cut(&live), At::Worker);
    assert_eq!(view.summary, format!("{first}; +10 more"));
    let view = world.view(cut(&live), At::CommandLine);
    assert_eq!(view.summary, format!("{first}; +8 or more"));
    let view = world.described(&live, At::CommandLine);
    assert_eq!(view.summary, format!("{first}; +10 more"));
    // An override counts, as far as the list shows it.
    let mut live = live;
    let crons: Vec<_> = (1..=11).map(|day| format!("30 {day} {day} * *")).collect();
    live.values.spec.calendars = compiled(&crons).calendars;
    let set = Override {
        cron: Some(crons),
        ..Override::default()
    };
    world.status.overrides.insert(live.definition.clone(), set);
    let view = world.view(cut(&live), At::Worker);
    let first = "01:30 on the 1st; 02:30 on the 2nd";
    assert_eq!(view.summary, format!("{first}; +9 more"));
}
