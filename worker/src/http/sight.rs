//! From what was seen of a schedule to its view. Pure; seeing is left to
//! [`super::live`].

use std::collections::{BTreeMap, BTreeSet};

use almanac_activities::schedules::{ListEntry, Missed, PausedBy, ViewState};
use almanac_workflows::names::DefinitionId;
use almanac_workflows::plan::{Plan, contested_fields, protected_ids};
use almanac_workflows::record::{Flag, Override, Status};
use almanac_workflows::schedule::{Desired, Field, Live, line_of};
use almanac_workflows::snapshot::Snapshot;
use jiff::Timestamp;

use super::schedules::{LastRun, ScheduleView};

/// What was seen of one schedule.
pub(super) struct Sight {
    /// The definition it belongs to, or would if it were ours.
    pub(super) definition: DefinitionId,
    /// What the list shows.
    pub(super) entry: ListEntry,
    /// What a description shows, where one was needed.
    pub(super) live: Option<Live>,
    /// Actions that were due and never started, where that is known.
    pub(super) missed: Option<Missed>,
    /// What should have started by now, and did not.
    pub(super) overdue: Option<Timestamp>,
    /// Fields known to differ, where there is no plan to tell.
    pub(super) drift: BTreeSet<Field>,
}

/// What schedules are seen against.
pub(super) struct Known<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) desired: &'a BTreeMap<DefinitionId, Desired>,
    pub(super) status: &'a Status,
    /// Of a schedule that is looked at closely.
    pub(super) plan: Option<&'a Plan>,
    pub(super) now: Timestamp,
}

impl Known<'_> {
    /// The view of what was seen.
    pub(super) fn view(&self, sight: Sight) -> ScheduleView {
        let (id, entry) = (&sight.definition, &sight.entry);
        let overridden = self.overridden(&sight);
        let loaded = self.snapshot.definitions.get(id);
        let schedule = loaded.and_then(|loaded| loaded.definition.schedule.as_ref());
        let written = schedule.map(|schedule| schedule.cron.clone());
        let set = overridden.as_ref().and_then(|one| one.cron.clone());
        // What a paused schedule would do next is not what it will do.
        let mut next = entry.next.iter().copied().filter(|_| !entry.paused);
        let state = self.state(&sight, overridden.as_ref());
        ScheduleView {
            state,
            paused: entry.paused,
            paused_by: (entry.paused && state != ViewState::Finished)
                .then(|| PausedBy::of(&entry.note, overridden.as_ref())),
            source: loaded.map(|loaded| loaded.source.clone()),
            cron: set.or(written).unwrap_or_default(),
            timezone: entry.spec.timezone.clone(),
            note: line_of(&entry.note).to_owned(),
            next_run: next.next(),
            next_runs: next.collect(),
            last_run: entry.last.clone().and_then(|run| {
                Some(LastRun {
                    at: run.started?,
                    workflow_id: run.workflow_id,
                    run_id: run.run_id,
                    status: run.status,
                })
            }),
            missed: sight.missed,
            overdue: sight.overdue.is_some(),
            overdue_since: sight.overdue,
            description: loaded.and_then(|loaded| loaded.definition.description.clone()),
            labels: loaded
                .map(|loaded| loaded.definition.labels.clone())
                .unwrap_or_default(),
            remaining_actions: sight.live.as_ref().and_then(|live| live.remaining_actions),
            drift: self.drift(&sight),
            overridden,
            id: entry.schedule.clone(),
            definition: sight.definition,
        }
    }

    fn state(&self, sight: &Sight, overridden: Option<&Override>) -> ViewState {
        let id = &sight.definition;
        let is_wanted = self.desired.contains_key(id) || protected_ids(self.snapshot).contains(id);
        let is_contested = match self.plan {
            Some(plan) => plan.contested.contains_key(id),
            None => !contested_fields(&self.status.corrections, id, self.now).is_empty(),
        };
        if sight.entry.owner.is_none() {
            ViewState::Conflict
        } else if self.status.is_unreadable(&sight.entry.schedule) {
            ViewState::Unreadable
        } else if !is_wanted && self.status.held.is_some() {
            ViewState::Held
        } else if !is_wanted {
            ViewState::Orphaned
        } else if is_contested {
            ViewState::Contested
        } else if sight.is_finished() {
            ViewState::Finished
        } else if overridden.is_some() {
            ViewState::Overridden
        } else if sight.entry.paused {
            ViewState::Paused
        } else {
            ViewState::Active
        }
    }

    fn overridden(&self, sight: &Sight) -> Option<Override> {
        let memo = sight.live.as_ref().and_then(Live::readable_memo);
        let kept = memo.and_then(|memo| memo.overridden.clone());
        self.status
            .overrides
            .get(&sight.definition)
            .cloned()
            .or(kept)
    }

    fn drift(&self, sight: &Sight) -> Vec<Field> {
        let drift = match self.plan {
            Some(plan) => plan.drift.get(&sight.definition),
            None => Some(&sight.drift),
        };
        drift.into_iter().flatten().copied().collect()
    }
}

impl Sight {
    /// Its memo says so, and in a list, which has no memo, its note.
    fn is_finished(&self) -> bool {
        match self.live.as_ref().and_then(Live::readable_memo) {
            Some(memo) => memo.flags.contains(&Flag::Finished),
            None => self.entry.paused && self.entry.note.starts_with("Finished: "),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use almanac_workflows::definition::{ParseContext, parse_file};
    use almanac_workflows::plan;
    use almanac_workflows::record::{ActionMemo, Held};
    use almanac_workflows::schedule::LiveMemo;
    use almanac_workflows::snapshot::{LoadStatus, Loaded};
    use insta::assert_snapshot;
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    /// A project with the definitions `on` (active) and `off` (paused).
    struct World {
        snapshot: Snapshot,
        desired: BTreeMap<DefinitionId, Desired>,
        status: Status,
        plan: Plan,
    }

    impl World {
        fn new() -> Self {
            let text = |enabled: bool| {
                format!(
                    "enabled: {enabled}\nschedule: {{ cron: \"0 3 * * *\" }}\n\
                     workflow: {{ type: Job, task_queue: jobs }}\n"
                )
            };
            let context = ParseContext {
                now: Timestamp::UNIX_EPOCH,
            };
            let mut snapshot = Snapshot::default();
            for (file, enabled) in [("on.yaml", true), ("off.yaml", false)] {
                let parsed = parse_file(file, text(enabled).as_bytes(), &context).remove(0);
                let definition = parsed.definition().unwrap();
                let loaded = Loaded {
                    definition: Arc::clone(definition),
                    source: file.into(),
                    status: LoadStatus::Loaded,
                };
                snapshot.definitions.insert(definition.id.clone(), loaded);
            }
            Self {
                desired: plan::desired(&"test".parse().unwrap(), &snapshot),
                snapshot,
                status: Status::default(),
                plan: Plan::default(),
            }
        }

        fn shown(&self, sight: Sight) -> String {
            let known = Known {
                snapshot: &self.snapshot,
                desired: &self.desired,
                status: &self.status,
                plan: Some(&self.plan),
                now: Timestamp::UNIX_EPOCH,
            };
            let view = known.view(sight);
            let by = view.paused_by.map(|by| json!(by).to_string());
            let next = view.next_run.map(|next| next.to_string());
            format!(
                "{} by {} cron {:?} next {}",
                json!(view.state).as_str().unwrap(),
                by.unwrap_or_default(),
                view.cron,
                next.unwrap_or_default()
            )
        }

        /// A schedule of definition `id`, with these flags in its memo.
        fn sight(&self, id: &str, paused: bool, note: &str, flags: &[Flag]) -> Sight {
            let definition: DefinitionId = id.parse().unwrap();
            let project: almanac_workflows::names::Project = "test".parse().unwrap();
            let live = self.desired.get(&definition).map(|desired| Live {
                schedule: desired.schedule.clone(),
                definition: definition.clone(),
                values: desired.values.clone(),
                remaining_actions: None,
                action_count: 0,
                memo: LiveMemo::Readable(Box::new(ActionMemo {
                    flags: flags.iter().copied().collect(),
                    ..ActionMemo::default()
                })),
                note: note.into(),
                updated_at: None,
            });
            let entry = ListEntry {
                schedule: project.schedule_id(&definition),
                owner: Some(definition.clone()),
                note: note.into(),
                paused,
                workflow_type: "Job".into(),
                spec: almanac_workflows::times::Spec::default(),
                next: vec![Timestamp::UNIX_EPOCH],
                last: None,
                is_busy: false,
            };
            Sight {
                definition,
                entry,
                live,
                missed: None,
                overdue: None,
                drift: BTreeSet::new(),
            }
        }
    }

    #[test]
    fn who_paused_a_schedule_shows_in_its_memo_and_note() {
        let mut world = World::new();
        let show = |world: &World, id, paused, note, flags: &[Flag]| {
            world.shown(world.sight(id, paused, note, flags))
        };
        assert_snapshot!(show(&world, "on", false, "", &[]), @r#"active by  cron ["0 3 * * *"] next 1970-01-01T00:00:00Z"#);
        assert_snapshot!(show(&world, "on", true, "stop", &[]), @r#"paused by "hand" cron ["0 3 * * *"] next"#);
        let managed = "Managed by Almanac from off.yaml [almanac v1:0]";
        assert_snapshot!(show(&world, "off", true, managed, &[]), @r#"paused by "yaml" cron ["0 3 * * *"] next"#);
        assert_snapshot!(show(&world, "off", true, "stop [almanac v1:0]", &[Flag::PausedBefore]), @r#"paused by "hand" cron ["0 3 * * *"] next"#);
        assert_snapshot!(show(&world, "on", true, "paused due to workflow failure: x", &[]), @r#"paused by "failure" cron ["0 3 * * *"] next"#);
        assert_snapshot!(show(&world, "on", true, "", &[Flag::Finished]), @r#"finished by  cron ["0 3 * * *"] next"#);
        let set = Override {
            enabled: Some(false),
            cron: Some(vec!["@daily".into()]),
            ..Override::default()
        };
        world.status.overrides.insert("on".parse().unwrap(), set);
        assert_snapshot!(show(&world, "on", true, "", &[]), @r#"overridden by "override" cron ["@daily"] next"#);
    }

    #[test]
    fn what_is_wrong_with_a_schedule_goes_before_its_pause() {
        let mut world = World::new();
        let mut foreign = world.sight("on", true, "", &[]);
        foreign.entry.owner = None;
        assert_snapshot!(world.shown(foreign), @r#"conflict by "hand" cron ["0 3 * * *"] next"#);
        let gone = world.sight("gone", true, "", &[]);
        assert_snapshot!(world.shown(gone), @r#"orphaned by "hand" cron [] next"#);
        world.status.held = Some(Held {
            digest: String::new(),
            reason: String::new(),
            ids: Vec::new(),
            count: 1,
        });
        assert_snapshot!(world.shown(world.sight("gone", false, "", &[])), @r#"held by  cron [] next 1970-01-01T00:00:00Z"#);
        let fields = [Field::Jitter].into();
        world.plan.contested.insert("on".parse().unwrap(), fields);
        assert_snapshot!(world.shown(world.sight("on", false, "", &[])), @r#"contested by  cron ["0 3 * * *"] next 1970-01-01T00:00:00Z"#);
    }
}
