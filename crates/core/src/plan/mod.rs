//! The plan: what a pass would do, decided from data alone.
//!
//! [`plan`] is pure, ordered and complete: applying leaves no choices. It
//! never plans a write for a foreign schedule, for one that is in sync, or a
//! removal while the view has a hole. Observing and applying are left to the
//! `activities` crate.

mod adoption;
mod compare;
mod corrections;
mod display;
mod drift;
mod expectation;
mod note_line;
mod overrides;
mod paused;
mod removal;

use std::collections::{BTreeMap, BTreeSet};

use almanac_base::budget::Budget;
use almanac_base::names::{DefinitionId, Project, Revision, ScheduleId};
use almanac_times::QUICK_STEPS;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

pub use adoption::{AdoptedState, hold_for_adoption, release_from_adoption};
pub use compare::{Comparison, Known, compare};
pub use corrections::{contested_fields, record_corrections};
pub use drift::drifted_fields;
pub use expectation::Expectation;
pub use removal::{
    held_digest, is_paused_for_rename, pause_for_rename, pause_orphan, protected_ids,
};

use crate::field::Field;
use crate::record::{
    ActionMemo, Corrections, DriftPolicy, Flag, Held, Op, OperatorRequests, OrphanPolicy, Override,
    ReportError,
};
use crate::schedule::{Desired, Fingerprint, Live, Note, ScheduleValues};

use crate::snapshot::Snapshot;
use note_line::note_line;

/// What the server holds, as far as a pass looked.
pub type Observed = BTreeMap<ScheduleId, KnownSchedule>;

/// What is known of one schedule of the server.
#[derive(Debug, Clone, PartialEq)]
pub enum KnownSchedule {
    /// It is not ours.
    Unmanaged,
    /// It is ours, and the list proves it in sync.
    InSync(InSync),
    /// It is ours, and was described.
    Described(Box<Live>),
    /// It exists, or may exist, and could not be described: nothing is written to it.
    Unreadable(Unreadable),
}

/// A schedule whose description the server did not give.
///
/// It is never taken for absent: no schedule is created in its place, and it
/// counts as one that exists. It is deleted where that is all there is to do
/// and the list shows whose it is; see [`plan()`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The definition that its listed memo names; the one that asks for it
    /// where it was not looked for in the list.
    pub definition: DefinitionId,
    /// Why it could not be described, for people.
    pub reason: String,
    /// The type of the workflow it starts, as the list shows it. `None`: no
    /// list has shown that it is ours.
    pub listed_type: Option<String>,
}

/// A schedule of ours that needs nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InSync {
    /// The definition its memo names.
    pub definition: DefinitionId,
    /// It starts nothing by itself.
    pub paused: bool,
    /// The override in force.
    pub overridden: Option<Override>,
    /// It has drift that is not corrected now.
    pub drift: BTreeSet<Field>,
    /// Fields that others keep changing back.
    pub contested: BTreeSet<Field>,
}

impl InSync {
    /// A schedule of which nothing is to be said.
    pub fn nothing(definition: &DefinitionId, paused: bool) -> Self {
        Self {
            definition: definition.clone(),
            paused,
            overridden: None,
            drift: BTreeSet::new(),
            contested: BTreeSet::new(),
        }
    }
}

/// What plans depend on beside definitions and schedules.
#[derive(Debug, Clone)]
pub struct Policy<'a> {
    /// The project.
    pub project: &'a Project,
    /// The present.
    pub now: Timestamp,
    /// What happens to drift.
    pub drift: DriftPolicy,
    /// What happens to schedules whose definition is gone.
    pub orphans: OrphanPolicy,
    /// The digest of held removals that someone confirmed.
    pub confirm: Option<&'a str>,
    /// How many schedules were removed in the last 10 minutes.
    pub recently_removed: u64,
    /// Live replicas hold different revisions.
    pub replicas_differ: bool,
    /// Overrides that the reconcile workflow remembers.
    pub overrides: &'a BTreeMap<DefinitionId, Override>,
    /// What operators asked for and no pass has done.
    pub orders: &'a OperatorRequests,
    /// Corrections that the reconcile workflow remembers.
    pub corrections: &'a Corrections,
    /// Just these definitions, and no removal.
    pub only: Option<&'a BTreeSet<DefinitionId>>,
}

/// What a pass would do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, utoipa::ToSchema)]
pub struct Plan {
    /// The registry's revision it was made for.
    pub revision: Revision,
    /// How many definitions ask for a schedule.
    pub desired: u64,
    /// Schedules to create, first of all.
    pub creates: Vec<Create>,
    /// Schedules to change.
    pub updates: Vec<Update>,
    /// Schedules to delete, last of all.
    pub deletes: Vec<Delete>,
    /// Removals that wait.
    pub held: Option<Held>,
    /// Definitions whose schedule id a foreign schedule has.
    pub conflicts: Vec<ScheduleId>,
    /// Our schedules without a definition, that stay.
    pub orphaned: Vec<ScheduleId>,
    /// All managed schedules without a definition, whatever becomes of them; for
    /// the report.
    #[serde(skip)]
    pub without_definition: Vec<ScheduleId>,
    /// Schedules that could not be described, and are left as they are.
    pub unreadable: Vec<ScheduleId>,
    /// How many schedules need nothing.
    pub unchanged: u64,
    /// How many schedules of the definitions this plan leaves paused.
    pub paused: u64,
    /// Drift found, corrected by this plan or not.
    pub drift: BTreeMap<DefinitionId, BTreeSet<Field>>,
    /// Fields that others keep changing back, left alone for now.
    pub contested: BTreeMap<DefinitionId, BTreeSet<Field>>,
    /// Overrides as this plan leaves them; `None` for one that ends.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub overrides: BTreeMap<DefinitionId, Option<Override>>,
    /// Why overrides end.
    pub ended_overrides: BTreeMap<DefinitionId, String>,
    /// What keeps parts of the plan from being made.
    pub problems: Vec<ReportError>,
}

/// A schedule to create.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Create {
    /// The definition.
    pub definition: DefinitionId,
    /// The schedule.
    pub schedule: ScheduleId,
    /// Its values.
    #[schema(value_type = Object)]
    pub values: ScheduleValues,
    /// How many actions are left, where they are limited.
    pub remaining: Option<u64>,
    /// Its action's memo.
    pub memo: ActionMemo,
    /// Its note.
    pub note: String,
    /// The one argument of `RunDefinition`, where it runs steps.
    pub run_input: Option<Value>,
    /// The schedule it takes over from, which is removed after.
    pub renamed_from: Option<ScheduleId>,
}

/// A schedule to change.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Update {
    /// The definition.
    pub definition: DefinitionId,
    /// The schedule.
    pub schedule: ScheduleId,
    /// The fields that are written, and why; the rest stays as it is found.
    pub fields: BTreeMap<Field, Cause>,
    /// The values that the written fields get.
    #[schema(value_type = Object)]
    pub values: ScheduleValues,
    /// What becomes of the limit of actions.
    pub remaining: Remaining,
    /// The action's memo it gets.
    pub memo: ActionMemo,
    /// The note it gets.
    pub note: String,
    /// The one argument of `RunDefinition`, where it runs steps.
    pub run_input: Option<Value>,
    /// What it is called in the report.
    pub op: Op,
    /// Why, for people.
    pub reason: String,
    /// The values before and after, of the fields whose value changes.
    pub changes: Vec<FieldChange>,
    /// Its definition is gone: this pauses it in place of deleting it.
    pub removal: bool,
}

/// Why a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The YAML changed.
    Definition,
    /// Someone changed the schedule.
    Drift,
    /// An override began, ended or came back.
    Override,
    /// Its actions are used up.
    Finished,
    /// Its definition went away or returned.
    Orphan,
    /// It takes over from a foreign schedule.
    Adoption,
}

/// What becomes of a schedule's limit of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Remaining {
    /// As it is.
    Keep,
    /// This many are left.
    Set(u64),
    /// There is no limit.
    Unlimited,
}

/// A field before and after.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FieldChange {
    /// The field.
    pub field: Field,
    /// Why it changes.
    pub cause: Cause,
    /// Its live value.
    pub before: Value,
    /// The value it gets.
    pub after: Value,
}

/// A schedule to delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Delete {
    /// The definition that its memo names.
    pub definition: DefinitionId,
    /// The schedule.
    pub schedule: ScheduleId,
    /// The schedule that must exist first: the one it was renamed to.
    pub renamed_to: Option<ScheduleId>,
}

impl Plan {
    /// Whether a pass would write nothing.
    pub fn is_empty(&self) -> bool {
        self.creates.is_empty() && self.updates.is_empty() && self.deletes.is_empty()
    }

    /// How many operations it has.
    pub fn len(&self) -> usize {
        self.creates.len() + self.updates.len() + self.deletes.len()
    }
}

/// The schedules that a snapshot asks for, by definition.
pub fn desired(project: &Project, snapshot: &Snapshot) -> BTreeMap<DefinitionId, Desired> {
    snapshot
        .definitions
        .iter()
        .filter_map(|(id, loaded)| {
            Desired::of(project, &loaded.definition, &loaded.source).map(|one| (id.clone(), one))
        })
        .collect()
}

/// Decides what makes the server's schedules what `snapshot` says.
pub fn plan(
    snapshot: &Snapshot,
    desired: &BTreeMap<DefinitionId, Desired>,
    observed: &Observed,
    policy: &Policy<'_>,
) -> Plan {
    let mut plan = Plan {
        revision: snapshot.revision.clone(),
        desired: desired.len() as u64,
        ..Plan::default()
    };
    let wanted = desired.values().filter(|one| {
        policy
            .only
            .is_none_or(|only| only.contains(&one.definition))
    });
    for one in wanted {
        match observed.get(&one.schedule) {
            None => plan.create(one, observed, policy),
            Some(KnownSchedule::Unmanaged) => plan.conflicts.push(one.schedule.clone()),
            Some(KnownSchedule::InSync(settled)) => plan.leave(settled),
            Some(KnownSchedule::Described(live)) => plan.compare(one, live, policy),
            Some(KnownSchedule::Unreadable(unreadable)) => {
                plan.skip(&one.schedule, unreadable, "left as it is");
            }
        }
    }
    for (id, order) in policy.orders {
        if !desired.contains_key(id) {
            plan.problems.push(ReportError {
                source: "override".to_owned(),
                id: Some(id.to_string()),
                message: format!(
                    "no definition `{id}` with a schedule; asked by {}",
                    order.by
                ),
            });
        }
    }
    if policy.only.is_none() {
        removal::plan_removals(&mut plan, snapshot, desired, observed, policy);
    }
    plan
}

impl Plan {
    fn create(&mut self, desired: &Desired, observed: &Observed, policy: &Policy<'_>) {
        // A schedule that will never fire is not made: the server would delete
        // it after a week, and we would make it again, for ever.
        let budget = &mut Budget::of(QUICK_STEPS);
        let found = desired.values.spec.fire_times_within(policy.now, 1, budget);
        if found.is_never() {
            self.unchanged += 1;
            return;
        }
        let overridden = match policy.orders.get(&desired.definition) {
            Some(order) => order.overridden.as_ref(),
            None => policy.overrides.get(&desired.definition),
        };
        let overridden = overridden.filter(|one| !overrides::is_over(one, policy.now));
        let waits =
            |from: &&ScheduleId| matches!(observed.get(*from), Some(KnownSchedule::Unmanaged));
        self.creates
            .push(match desired.adopts.as_ref().filter(waits) {
                Some(from) => Create::waiting(desired, overridden, from),
                None => Create::of(desired, overridden),
            });
    }

    /// Reports a schedule that could not be described, and says what becomes of it.
    fn skip(&mut self, schedule: &ScheduleId, unreadable: &Unreadable, fate: &str) {
        self.unreadable.push(schedule.clone());
        self.problems.push(ReportError {
            source: "temporal".to_owned(),
            id: Some(unreadable.definition.to_string()),
            message: format!(
                "schedule `{schedule}` cannot be described: {}; {fate}",
                unreadable.reason
            ),
        });
    }

    fn leave(&mut self, settled: &InSync) {
        self.unchanged += 1;
        self.paused += u64::from(settled.paused);
        let id = &settled.definition;
        if let Some(overridden) = &settled.overridden {
            self.overrides.insert(id.clone(), Some(overridden.clone()));
        }
        if !settled.drift.is_empty() {
            self.drift.insert(id.clone(), settled.drift.clone());
        }
        if !settled.contested.is_empty() {
            self.contested.insert(id.clone(), settled.contested.clone());
        }
    }

    fn compare(&mut self, desired: &Desired, live: &Live, policy: &Policy<'_>) {
        let id = &desired.definition;
        match compare(desired, live, policy) {
            Comparison::Newer(v) => self.problems.push(ReportError {
                source: "temporal".to_owned(),
                id: Some(id.to_string()),
                message: format!(
                    "schedule `{}` was written by a newer release (memo version {v}); not touched",
                    desired.schedule
                ),
            }),
            Comparison::Known(known) => {
                if !known.drift.is_empty() {
                    self.drift.insert(id.clone(), known.drift);
                }
                if !known.contested.is_empty() {
                    self.contested.insert(id.clone(), known.contested);
                }
                if let Some(reason) = known.ended_override {
                    self.ended_overrides.insert(id.clone(), reason);
                    self.overrides.insert(id.clone(), None);
                }
                if let Some(overridden) = known.overridden {
                    self.overrides.insert(id.clone(), Some(overridden));
                }
                if let Some(update) = known.update {
                    self.paused += u64::from(update.values.paused);
                    self.updates.push(*update);
                } else {
                    self.paused += u64::from(live.values.paused);
                    self.unchanged += 1;
                }
            }
        }
    }
}

impl Create {
    /// The schedule as its definition says, under `overridden`.
    pub fn of(desired: &Desired, overridden: Option<&Override>) -> Self {
        let values = overrides::expected(&desired.values, overridden).into_owned();
        let paused = overridden
            .and_then(|one| one.enabled)
            .map_or(desired.values.paused, |enabled| !enabled);
        Self::with(
            desired,
            values,
            paused,
            overridden.cloned(),
            BTreeSet::new(),
            None,
        )
    }

    /// The schedule paused, since it would run beside the foreign one that it
    /// is to take over from.
    pub fn waiting(desired: &Desired, overridden: Option<&Override>, from: &ScheduleId) -> Self {
        let values = overrides::expected(&desired.values, overridden).into_owned();
        let flags = BTreeSet::from([Flag::Adopting]);
        let mut create = Self::with(desired, values, true, overridden.cloned(), flags, None);
        create.note = adoption::waiting_note(&create.memo, &desired.definition, from);
        create
    }

    /// The schedule that takes over from `old`: with its pause, its flags, its
    /// remaining actions and its override.
    pub fn renamed(desired: &Desired, old: &Live) -> Self {
        let memo = old.readable_memo();
        let overridden = memo.and_then(|memo| memo.overridden.clone());
        let mut flags = memo.map(|memo| memo.flags.clone()).unwrap_or_default();
        // Paused because its definition was gone, which it is not.
        let is_paused_by_us = flags.remove(&Flag::OrphanPaused);
        let paused = old.values.paused && !is_paused_by_us;
        let values = overrides::expected(&desired.values, overridden.as_ref()).into_owned();
        let before = paused.then(|| Note::read(&old.note));
        let mut create = Self::with(desired, values, paused, overridden, flags, before);
        if create.remaining.is_some() && old.remaining_actions.is_some() {
            create.remaining = old.remaining_actions;
        }
        create.renamed_from = Some(old.schedule.clone());
        create
    }

    fn with(
        desired: &Desired,
        mut values: ScheduleValues,
        paused: bool,
        overridden: Option<Override>,
        flags: BTreeSet<Flag>,
        before: Option<Note<'_>>,
    ) -> Self {
        values.paused = paused;
        let memo = ActionMemo::of(desired, overridden, flags);
        let fingerprint = Fingerprint::of(
            &memo.base,
            memo.overridden.as_ref(),
            &memo.flags,
            &BTreeSet::new(),
        );
        Self {
            definition: desired.definition.clone(),
            schedule: desired.schedule.clone(),
            remaining: desired.values.max_actions.map(u64::from),
            values,
            note: note_line(desired, &memo, paused, before, false).write(&fingerprint),
            memo,
            run_input: desired.run_input(),
            renamed_from: None,
        }
    }
}

#[cfg(test)]
mod tests;
