//! A server of plain data. The output of `plan()` is applied to it, so that a test can do a
//! user's action and check the next plan.

mod comparison;
mod encryption;
mod field_states;
mod overriding;
mod own_pauses;
mod pausing;
mod properties;
mod removing;
mod renaming;
mod unreadable;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::definition::{Kind, ParseContext, parse_file};
use crate::record::OperatorRequest;
use crate::schedule::{LiveMemo, base_of};
use crate::snapshot::{FailedDocument, LoadStatus, Loaded};

const HOURLY: &str = "schedule: { cron: '0 * * * *' }\nworkflow: { type: Run, task_queue: q }\n";

/// A project: its definitions, and the schedules that the server holds.
struct World {
    project: Project,
    now: Timestamp,
    snapshot: Snapshot,
    server: BTreeMap<ScheduleId, KnownSchedule>,
    drift: DriftPolicy,
    orphans: OrphanPolicy,
    overrides: BTreeMap<DefinitionId, Override>,
    requests: OperatorRequests,
    corrections: Corrections,
    recently_removed: u64,
    replicas_differ: bool,
}

impl World {
    fn new() -> Self {
        Self {
            project: "p".parse().unwrap(),
            now: "2026-05-01T12:00:00Z".parse().unwrap(),
            snapshot: Snapshot::default(),
            server: BTreeMap::new(),
            drift: DriftPolicy::Correct,
            orphans: OrphanPolicy::Delete,
            overrides: BTreeMap::new(),
            requests: OperatorRequests::new(),
            corrections: Corrections::new(),
            recently_removed: 0,
            replicas_differ: false,
        }
    }

    /// A world with the definition `job` and its schedule as created.
    fn in_sync(yaml: &str) -> Self {
        let mut world = Self::new();
        world.write("job", yaml);
        world.pass();
        world
    }

    fn write(&mut self, name: &str, yaml: &str) {
        let path = format!("{name}.yaml");
        let documents = parse_file(&path, yaml.as_bytes(), &ParseContext { now: self.now });
        assert_eq!(documents.len(), 1, "{yaml}");
        let Some(definition) = documents[0].definition() else {
            panic!("{:?}", documents[0].result);
        };
        self.snapshot.definitions.insert(
            definition.id.clone(),
            Loaded {
                definition: Arc::clone(definition),
                source: path,
                status: LoadStatus::Loaded,
            },
        );
    }

    fn remove(&mut self, name: &str) {
        self.snapshot.definitions.remove(&id(name)).unwrap();
    }

    /// A document that fails, without a last good version.
    fn fail(&mut self, source: &str, stated: Option<&str>) {
        self.snapshot.failed.push(FailedDocument {
            source: source.to_owned(),
            id: stated.map(id),
            kind: Kind::Workflow,
            errors: Vec::new(),
        });
    }

    fn plan(&self) -> Plan {
        self.plan_confirming(None)
    }

    fn plan_confirming(&self, confirm: Option<&str>) -> Plan {
        let scheduled = scheduled(&self.project, &self.snapshot);
        let policy = self.policy(confirm);
        plan(&self.snapshot, &scheduled, &self.server, &policy)
    }

    fn policy<'a>(&'a self, confirm: Option<&'a str>) -> Policy<'a> {
        Policy {
            project: &self.project,
            now: self.now,
            drift: self.drift,
            orphans: self.orphans,
            confirm,
            recently_removed: self.recently_removed,
            replicas_differ: self.replicas_differ,
            overrides: &self.overrides,
            requests: &self.requests,
            corrections: &self.corrections,
            only: None,
        }
    }

    /// Plans, applies, and checks that the next plan is empty.
    fn pass(&mut self) -> Plan {
        let plan = self.plan();
        self.apply(&plan);
        self.requests.clear();
        let next = self.plan();
        assert!(
            next.is_empty(),
            "a second pass would write:\n{next}\nafter\n{plan}"
        );
        plan
    }

    fn apply(&mut self, plan: &Plan) {
        for create in &plan.creates {
            let live = Live {
                schedule: create.schedule().clone(),
                definition: create.definition().clone(),
                values: ScheduleValues::clone(&create.values()),
                remaining_actions: create.remaining,
                action_count: 0,
                memo: LiveMemo::Readable(Box::new(create.memo())),
                note: create.note.clone(),
                updated_at: None,
            };
            self.server.insert(
                create.schedule().clone(),
                KnownSchedule::Described(Box::new(live)),
            );
        }
        for update in &plan.updates {
            self.live(&update.schedule).take(update);
            let fields = update
                .fields
                .iter()
                .filter(|(_, cause)| **cause == Cause::Drift);
            let fields = fields.map(|(field, _)| *field).collect();
            record_corrections(&mut self.corrections, &update.definition, &fields, self.now);
        }
        for delete in &plan.deletes {
            self.server.remove(&delete.schedule).unwrap();
        }
        for (id, overridden) in &plan.overrides {
            match overridden {
                Some(one) => self.overrides.insert(id.clone(), one.clone()),
                None => self.overrides.remove(id),
            };
        }
    }

    fn live(&mut self, schedule: &ScheduleId) -> &mut Live {
        match self.server.get_mut(schedule) {
            Some(KnownSchedule::Described(live)) => live,
            other => panic!("{schedule} is {other:?}"),
        }
    }

    fn job(&mut self) -> &mut Live {
        self.live(&ScheduleId::from_server("schedule-p-job"))
    }

    /// A manual pause or unpause with a note of its own.
    fn set_paused_manually(&mut self, paused: bool) {
        let job = self.job();
        job.values.paused = paused;
        job.note = "by hand".to_owned();
    }

    /// `temporal schedule update`: the whole body is replaced.
    fn replace_body(&mut self) {
        let job = self.job();
        job.memo = LiveMemo::Missing;
        job.note = String::new();
        job.values.paused = false;
        job.values.catchup_window = std::time::Duration::from_hours(365 * 24);
        job.remaining_actions = None;
    }

    fn later(&mut self, minutes: i64) {
        self.now += SignedDuration::from_mins(minutes);
    }

    /// An operator sets an override, and a pass does it.
    fn set_override(&mut self, overridden: Override) -> Plan {
        self.request(OperatorRequest {
            overridden: Some(overridden),
            ..request()
        })
    }

    /// An operator asks for something, and a pass does it.
    fn request(&mut self, mut request: OperatorRequest) -> Plan {
        // No two have the same time.
        self.now += SignedDuration::from_secs(1);
        request.at = self.now;
        request.number = 1;
        if let Some(one) = request.overridden.as_mut().filter(|_| !request.unpause) {
            (one.at, one.order) = (self.now, 1);
        }
        self.requests.insert(id("job"), request);
        self.pass()
    }
}

/// An override of `enabled` that expires after an hour.
fn enabling(enabled: bool) -> Override {
    Override {
        enabled: Some(enabled),
        by: "ann".to_owned(),
        reason: "now".to_owned(),
        until: Some("2026-05-01T13:00:00Z".parse().unwrap()),
        ..Override::default()
    }
}

/// A request that clears the override.
fn request() -> OperatorRequest {
    OperatorRequest {
        number: 1,
        overridden: None,
        unpause: false,
        by: "ops".to_owned(),
        reason: "incident".to_owned(),
        at: Timestamp::UNIX_EPOCH,
    }
}

impl Live {
    fn take(&mut self, update: &Update) {
        for field in update.fields.keys() {
            let (to, from) = (&mut self.values, update.values.clone());
            match field {
                Field::Times => to.spec.calendars = from.spec.calendars,
                Field::Intervals => to.spec.intervals = from.spec.intervals,
                Field::Exclude => to.spec.exclude = from.spec.exclude,
                Field::Timezone => to.spec.timezone = from.spec.timezone,
                Field::StartAt => to.spec.start_at = from.spec.start_at,
                Field::EndAt => to.spec.end_at = from.spec.end_at,
                Field::Jitter => to.spec.jitter = from.spec.jitter,
                Field::OverlapPolicy => to.overlap_policy = from.overlap_policy,
                Field::CatchupWindow => to.catchup_window = from.catchup_window,
                Field::PauseOnFailure => to.pause_on_failure = from.pause_on_failure,
                Field::Input => to.input = from.input,
                Field::Definition => to.definition = from.definition,
                Field::Action => to.action = from.action,
                Field::MaxActions | Field::Paused | Field::Unknown => {}
            }
        }
        self.values.paused = update.values.paused;
        self.note.clone_from(&update.note);
        self.memo = LiveMemo::Readable(Box::new(update.memo.clone()));
        match update.remaining {
            Remaining::Keep => {}
            Remaining::Set(left) => self.remaining_actions = Some(left),
            Remaining::Unlimited => self.remaining_actions = None,
        }
    }

    fn flags(&self) -> BTreeSet<Flag> {
        self.readable_memo().unwrap().flags.clone()
    }
}

fn id(name: &str) -> DefinitionId {
    name.parse().unwrap()
}

/// The causes of the one update in `plan`.
fn causes(plan: &Plan) -> Vec<(Field, Cause)> {
    assert_eq!(plan.updates.len(), 1, "{plan}");
    plan.updates[0]
        .fields
        .iter()
        .map(|(field, cause)| (*field, *cause))
        .collect()
}
