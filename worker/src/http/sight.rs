//! From what was seen of a schedule to its view. Pure; seeing is left to
//! [`super::live`].

use std::collections::BTreeMap;

use almanac_activities::schedules::{ListEntry, PausedBy, ViewState};
use almanac_workflows::names::DefinitionId;
use almanac_workflows::plan::{Plan, protected_ids};
use almanac_workflows::record::{Flag, Override, Status};
use almanac_workflows::schedule::{Desired, Field, Live, line_of};
use almanac_workflows::snapshot::Snapshot;

use super::schedules::{LastRun, ScheduleView};

/// What was seen of one schedule.
pub(super) struct Sight {
    /// The definition it belongs to, or would if it were ours.
    pub(super) definition: DefinitionId,
    /// What the list shows.
    pub(super) entry: ListEntry,
    /// What a description shows, where one was needed.
    pub(super) live: Option<Live>,
    /// How its last run goes or went.
    pub(super) last_status: Option<String>,
}

/// What schedules are seen against.
pub(super) struct Known<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) desired: &'a BTreeMap<DefinitionId, Desired>,
    pub(super) status: &'a Status,
    pub(super) plan: Option<&'a Plan>,
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
            last_run: entry.last.clone().map(|(at, workflow_id)| LastRun {
                at,
                workflow_id,
                status: sight.last_status.clone(),
            }),
            remaining_actions: sight.live.as_ref().and_then(|live| live.remaining_actions),
            drift: self.drift(id),
            overridden,
            id: entry.schedule.clone(),
            definition: sight.definition,
        }
    }

    fn state(&self, sight: &Sight, overridden: Option<&Override>) -> ViewState {
        let id = &sight.definition;
        let is_wanted = self.desired.contains_key(id) || protected_ids(self.snapshot).contains(id);
        let is_contested = |plan: &Plan| plan.contested.contains_key(id);
        if sight.entry.owner.is_none() {
            ViewState::Conflict
        } else if !is_wanted && self.status.held.is_some() {
            ViewState::Held
        } else if !is_wanted {
            ViewState::Orphaned
        } else if self.plan.is_some_and(is_contested) {
            ViewState::Contested
        } else if sight.has(Flag::Finished) {
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

    fn drift(&self, id: &DefinitionId) -> Vec<Field> {
        let drift = self.plan.and_then(|plan| plan.drift.get(id));
        drift.into_iter().flatten().copied().collect()
    }
}

impl Sight {
    fn has(&self, flag: Flag) -> bool {
        let memo = self.live.as_ref().and_then(Live::readable_memo);
        memo.is_some_and(|memo| memo.flags.contains(&flag))
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
            };
            Sight {
                definition,
                entry,
                live,
                last_status: None,
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
