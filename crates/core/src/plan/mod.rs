//! The plan: the operations of a pass, computed from data alone.
//!
//! [`plan`] is pure, ordered and complete: applying it needs no further decisions. It never
//! plans a write to an unmanaged schedule or to one that is in sync, or a removal while the
//! view has a gap. Observing and applying are left to the `activities` crate.

mod adoption;
mod compare;
mod corrections;
mod display;
mod drift;
mod expectation;
mod field_states;
mod note_line;
mod overrides;
mod paused;
mod removal;
mod value_text;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use almanac_base::budget::Budget;
use almanac_base::names::{DefinitionId, Project, Revision, ScheduleId};
use almanac_times::QUICK_STEPS;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

pub use adoption::{AdoptedState, hold_for_adoption, release_from_adoption};
pub use compare::{Comparison, Known, compare};
pub use corrections::{contested_fields, record_corrections};
pub use display::{Block, BlockKind, FieldText, FieldValue, PlanText, Sign};
pub use drift::drifted_fields;
pub use expectation::Expectation;
pub use field_states::{FieldState, Verdict, field_states};
pub use removal::{
    held_digest, is_paused_for_rename, pause_for_rename, pause_orphan, protected_ids,
};
pub use value_text::{Difference, Part, value_text};

use crate::field::Field;
use crate::record::{
    ActionMemo, Corrections, DriftPolicy, ErrorSource, Flag, Held, Op, OperatorRequests,
    OrphanPolicy, Override, ReportError,
};
use crate::schedule::{Desired, Fingerprint, Live, ScheduleValues, ScheduledDefinition};

use crate::snapshot::Snapshot;
use note_line::{NoteBefore, note};

/// The definitions that have schedules, by id.
pub type ScheduledDefinitions = BTreeMap<DefinitionId, Arc<ScheduledDefinition>>;

/// The schedules of the server, as far as a pass observed them.
pub type Observed = BTreeMap<ScheduleId, KnownSchedule>;

/// A schedule of the server, as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub enum KnownSchedule {
    /// The schedule is unmanaged.
    Unmanaged,
    /// The schedule is managed, and the list proves that it is in sync.
    InSync(InSync),
    /// The schedule is managed, and was described.
    Described(Box<Live>),
    /// The schedule exists, or may exist, and could not be described. No values are written to
    /// it.
    Unreadable(Unreadable),
}

/// A schedule that the server could not describe.
///
/// The schedule never counts as absent: no schedule is created in its place. It is deleted only
/// if deletion is all that is left to do and the list shows that it is managed; see [`plan()`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Definition that the listed memo names. If the schedule was not searched in the list, the
    /// definition that asks for it.
    pub definition: DefinitionId,
    /// Reason why the schedule could not be described, for people.
    pub reason: String,
    /// Type of the workflow that the schedule starts, as the list shows it. `None` if no list
    /// has shown that the schedule is managed.
    pub listed_type: Option<String>,
}

/// A managed schedule that needs no write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InSync {
    /// Definition that the memo names.
    pub definition: DefinitionId,
    /// The schedule is paused.
    pub paused: bool,
    /// Override that is in force.
    pub overridden: Option<Box<Override>>,
    /// Fields with drift that is not corrected now.
    pub drift: BTreeSet<Field>,
    /// Fields that others keep changing back.
    pub contested: BTreeSet<Field>,
}

impl InSync {
    /// A schedule without override, drift or contested fields.
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

/// Inputs of a plan besides definitions and schedules.
#[derive(Debug, Clone)]
pub struct Policy<'a> {
    /// The project to plan for.
    pub project: &'a Project,
    /// The present time.
    pub now: Timestamp,
    /// Treatment of drift.
    pub drift: DriftPolicy,
    /// Treatment of orphaned schedules.
    pub orphans: OrphanPolicy,
    /// The digest of held removals that an operator confirmed.
    pub confirm: Option<&'a str>,
    /// Number of schedules that were removed in the last 10 minutes.
    pub recently_removed: u64,
    /// `true` if live workers hold different revisions.
    pub replicas_differ: bool,
    /// Overrides that the reconcile workflow remembers.
    pub overrides: &'a BTreeMap<DefinitionId, Override>,
    /// Requests of operators that no pass has applied.
    pub requests: &'a OperatorRequests,
    /// Corrections that the reconcile workflow remembers.
    pub corrections: &'a Corrections,
    /// Restricts the plan to these definitions, without removals. `None` for all.
    pub only: Option<&'a BTreeSet<DefinitionId>>,
}

/// The operations that a pass would do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, utoipa::ToSchema)]
pub struct Plan {
    /// Revision of the definitions that the plan was made for.
    pub revision: Revision,
    /// Number of definitions that ask for a schedule.
    pub desired: u64,
    /// Schedules to create. These operations come first.
    #[schema(value_type = Vec<CreateDocument>)]
    pub creates: Vec<Create>,
    /// Schedules to change, after the creations.
    pub updates: Vec<Update>,
    /// Schedules to delete. These operations come last.
    pub deletes: Vec<Delete>,
    /// Removals that wait for confirmation.
    pub held: Option<Held>,
    /// Schedule ids of definitions that unmanaged schedules have taken.
    pub conflicts: Vec<ScheduleId>,
    /// Managed schedules without a definition that stay.
    pub orphaned: Vec<ScheduleId>,
    /// All managed schedules without a definition, including those that are removed or held;
    /// for the report.
    #[serde(skip)]
    pub without_definition: Vec<ScheduleId>,
    /// Schedules that could not be described and are left as they are.
    pub unreadable: Vec<ScheduleId>,
    /// Number of schedules that need no write.
    pub unchanged: u64,
    /// Number of schedules with a definition that this plan leaves paused.
    pub paused: u64,
    /// Drift that was found, including drift that this plan does not correct.
    pub drift: BTreeMap<DefinitionId, BTreeSet<Field>>,
    /// Contested fields, which are left alone for now.
    pub contested: BTreeMap<DefinitionId, BTreeSet<Field>>,
    /// Overrides as this plan leaves them; `None` for an override that ends.
    #[schema(value_type = BTreeMap<String, Value>)]
    pub overrides: BTreeMap<DefinitionId, Option<Override>>,
    /// Reasons why overrides end, by definition.
    pub ended_overrides: BTreeMap<DefinitionId, String>,
    /// Errors that keep parts of the plan from being made.
    pub problems: Vec<ReportError>,
}

/// A schedule to create.
///
/// The first pass of a project creates all schedules, so this type refers to the definition and
/// derives the rest when it is needed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(into = "CreateDocument")]
pub struct Create {
    /// The definition.
    pub scheduled: Arc<ScheduledDefinition>,
    /// Values of the schedule, if an override or a pause makes them differ from those that the
    /// definition states.
    changed: Option<Arc<ScheduleValues>>,
    /// Number of remaining actions, if they are limited.
    pub remaining: Option<u64>,
    /// Override that is in force.
    pub overridden: Option<Box<Override>>,
    /// Flags of the schedule's memo.
    pub flags: BTreeSet<Flag>,
    /// Note of the schedule.
    pub note: String,
    /// The old schedule of a rename. It is removed afterwards.
    pub renamed_from: Option<ScheduleId>,
}

/// A schedule to create, as a plan in JSON shows it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Create)]
struct CreateDocument {
    /// Id of the definition.
    definition: DefinitionId,
    /// Id of the schedule.
    schedule: ScheduleId,
    /// Values of the schedule.
    #[schema(value_type = Object)]
    values: Arc<ScheduleValues>,
    /// Number of remaining actions, if they are limited.
    remaining: Option<u64>,
    /// Memo of the schedule's action.
    memo: ActionMemo,
    /// Note of the schedule.
    note: String,
    /// The only argument of `RunDefinition`, if the definition runs steps.
    run_input: Option<Value>,
    /// The old schedule of a rename. It is removed afterwards.
    renamed_from: Option<ScheduleId>,
}

impl From<Create> for CreateDocument {
    fn from(create: Create) -> Self {
        let memo = create.memo();
        let desired = create.scheduled.desired();
        Self {
            run_input: desired.run_input(),
            values: create.changed.unwrap_or(desired.values),
            definition: desired.definition,
            schedule: desired.schedule,
            memo,
            remaining: create.remaining,
            note: create.note,
            renamed_from: create.renamed_from,
        }
    }
}

/// A schedule to change.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Update {
    /// Id of the definition.
    pub definition: DefinitionId,
    /// Id of the schedule.
    pub schedule: ScheduleId,
    /// The fields that are written, with the causes. The other fields stay as they are found.
    pub fields: BTreeMap<Field, Cause>,
    /// The values of the written fields.
    #[schema(value_type = Object)]
    pub values: ScheduleValues,
    /// The change of the limit of actions.
    pub remaining: Remaining,
    /// The new memo of the action.
    pub memo: ActionMemo,
    /// The new note of the schedule.
    pub note: String,
    /// The only argument of `RunDefinition`, if the definition runs steps.
    pub run_input: Option<Value>,
    /// Name of the operation in the report.
    pub op: Op,
    /// Reason of the update, for people.
    pub reason: String,
    /// The values before and after, for the fields whose value changes.
    pub changes: Vec<FieldChange>,
    /// `true` if the definition is gone and this update pauses the schedule instead of deleting
    /// it.
    pub removal: bool,
}

/// The cause of writing a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The definition in the YAML changed.
    Definition,
    /// The encryption of payloads changed: it began or ended, or has another key.
    Encryption,
    /// The schedule was changed outside Almanac.
    Drift,
    /// An override began or ended, or was restored.
    Override,
    /// The limited actions of the schedule are used up.
    Finished,
    /// The definition of the schedule went away or returned.
    Orphan,
    /// The schedule takes over from an unmanaged one.
    Adoption,
}

/// The change of a schedule's limit of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Remaining {
    /// The limit stays as it is.
    Keep,
    /// This number of actions is left.
    Set(u64),
    /// The actions are not limited.
    Unlimited,
}

/// A field's values before and after an update.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FieldChange {
    /// Name of the field.
    pub field: Field,
    /// Cause of the change.
    pub cause: Cause,
    /// The live value before the update.
    pub before: Value,
    /// The value after the update.
    pub after: Value,
}

/// A schedule to delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Delete {
    /// Id of the definition that the memo names.
    pub definition: DefinitionId,
    /// Id of the schedule.
    pub schedule: ScheduleId,
    /// The new schedule of a rename, which must exist before this one is deleted.
    pub renamed_to: Option<ScheduleId>,
}

impl Plan {
    /// Returns `true` if a pass would write nothing.
    pub fn is_empty(&self) -> bool {
        self.creates.is_empty() && self.updates.is_empty() && self.deletes.is_empty()
    }

    /// Number of operations in the plan.
    pub fn len(&self) -> usize {
        self.creates.len() + self.updates.len() + self.deletes.len()
    }
}

/// The definitions of a snapshot that have schedules.
pub fn scheduled(project: &Project, snapshot: &Snapshot) -> ScheduledDefinitions {
    let project = Arc::new(project.clone());
    snapshot
        .definitions
        .iter()
        .filter_map(|(id, loaded)| {
            let (definition, source) = (&loaded.definition, &loaded.source);
            ScheduledDefinition::of(&project, definition, source, &snapshot.encryption)
                .map(|one| (id.clone(), Arc::new(one)))
        })
        .collect()
}

/// Plans the operations that bring the server's schedules to the state of `snapshot`.
pub fn plan(
    snapshot: &Snapshot,
    scheduled: &ScheduledDefinitions,
    observed: &Observed,
    policy: &Policy<'_>,
) -> Plan {
    let mut plan = Plan {
        revision: snapshot.revision.clone(),
        desired: scheduled.len() as u64,
        ..Plan::default()
    };
    let wanted = scheduled.values().filter(|one| {
        policy
            .only
            .is_none_or(|only| only.contains(one.definition()))
    });
    for one in wanted {
        match observed.get(&one.schedule) {
            None => plan.create(one, observed, policy),
            Some(KnownSchedule::Unmanaged) => plan.conflicts.push(one.schedule.clone()),
            Some(KnownSchedule::InSync(in_sync)) => plan.leave(in_sync),
            Some(KnownSchedule::Described(live)) => plan.compare(&one.desired(), live, policy),
            Some(KnownSchedule::Unreadable(unreadable)) => {
                plan.skip(&one.schedule, unreadable, "it is not changed");
            }
        }
    }
    for (id, request) in policy.requests {
        if !scheduled.contains_key(id) {
            plan.problems.push(ErrorSource::Override.error(
                Some(id.to_string()),
                format!(
                    "there is no definition `{id}` with a schedule; requested by {}",
                    request.by
                ),
            ));
        }
    }
    if policy.only.is_none() {
        removal::plan_removals(&mut plan, snapshot, scheduled, observed, policy);
    }
    plan
}

impl Plan {
    fn create(
        &mut self,
        scheduled: &Arc<ScheduledDefinition>,
        observed: &Observed,
        policy: &Policy<'_>,
    ) {
        // A schedule that will never fire is not created: the server would delete it after a
        // week, and Almanac would create it again, for ever.
        let budget = &mut Budget::of(QUICK_STEPS);
        let spec = &scheduled.desired().values.spec;
        let found = spec.fire_times_within(policy.now, 1, budget);
        if found.is_never() {
            self.unchanged += 1;
            return;
        }
        let overridden = match policy.requests.get(scheduled.definition()) {
            Some(request) => request.overridden.as_ref(),
            None => policy.overrides.get(scheduled.definition()),
        };
        let overridden = overridden.filter(|one| !overrides::is_over(one, policy.now));
        let waits =
            |from: &&ScheduleId| matches!(observed.get(*from), Some(KnownSchedule::Unmanaged));
        self.creates
            .push(match scheduled.adopts.iter().find(waits) {
                Some(from) => Create::waiting(scheduled, overridden, from),
                None => Create::of(scheduled, overridden),
            });
    }

    /// Reports a schedule that could not be described; `fate` says what happens to it.
    fn skip(&mut self, schedule: &ScheduleId, unreadable: &Unreadable, fate: &str) {
        self.unreadable.push(schedule.clone());
        self.problems.push(ErrorSource::Temporal.error(
            Some(unreadable.definition.to_string()),
            format!(
                "schedule `{schedule}` cannot be described: {}; {fate}",
                unreadable.reason
            ),
        ));
    }

    fn leave(&mut self, in_sync: &InSync) {
        self.unchanged += 1;
        self.paused += u64::from(in_sync.paused);
        let id = &in_sync.definition;
        if let Some(overridden) = &in_sync.overridden {
            let overridden = Override::clone(overridden);
            self.overrides.insert(id.clone(), Some(overridden));
        }
        if !in_sync.drift.is_empty() {
            self.drift.insert(id.clone(), in_sync.drift.clone());
        }
        if !in_sync.contested.is_empty() {
            self.contested.insert(id.clone(), in_sync.contested.clone());
        }
    }

    fn compare(&mut self, desired: &Desired, live: &Live, policy: &Policy<'_>) {
        let id = &desired.definition;
        match compare(desired, live, policy) {
            Comparison::Newer(v) => self.problems.push(ErrorSource::Temporal.error(
                Some(id.to_string()),
                format!(
                    "schedule `{}` was written by a newer release (memo version {v}); it is not \
                     changed",
                    desired.schedule
                ),
            )),
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
    /// The schedule of a definition, under `overridden`.
    pub fn of(scheduled: &Arc<ScheduledDefinition>, overridden: Option<&Override>) -> Self {
        let desired = scheduled.desired();
        let values = expected_values(&desired, overridden);
        let paused = overridden
            .and_then(|one| one.enabled)
            .map_or(desired.values.paused, |enabled| !enabled);
        let flags = BTreeSet::new();
        Self::with(
            scheduled,
            &desired,
            values,
            paused,
            overridden.cloned(),
            flags,
            None,
        )
    }

    /// The schedule, paused: otherwise it would run beside the unmanaged schedule `from` until
    /// it takes over from that one.
    pub fn waiting(
        scheduled: &Arc<ScheduledDefinition>,
        overridden: Option<&Override>,
        from: &ScheduleId,
    ) -> Self {
        let desired = scheduled.desired();
        let values = expected_values(&desired, overridden);
        let flags = BTreeSet::from([Flag::Adopting]);
        let overridden = overridden.cloned();
        let mut create = Self::with(scheduled, &desired, values, true, overridden, flags, None);
        create.note = adoption::waiting_note(&create.memo(), &desired.definition, from);
        create
    }

    /// The schedule that replaces `old` in a rename. It takes over the pause, the flags, the
    /// remaining actions and the override.
    pub fn renamed(scheduled: &Arc<ScheduledDefinition>, old: &Live) -> Self {
        let memo = old.readable_memo();
        let overridden = memo.and_then(|memo| memo.overridden.clone());
        let mut flags = memo.map(|memo| memo.flags.clone()).unwrap_or_default();
        // The pause of an orphan does not count, since the definition exists under its new id.
        let is_paused_by_us = flags.remove(&Flag::OrphanPaused);
        let paused = old.values.paused && !is_paused_by_us;
        let desired = scheduled.desired();
        let values = expected_values(&desired, overridden.as_ref());
        let before = Some(NoteBefore::of(old, paused));
        let mut create = Self::with(
            scheduled, &desired, values, paused, overridden, flags, before,
        );
        if create.remaining.is_some() && old.remaining_actions.is_some() {
            create.remaining = old.remaining_actions;
        }
        create.renamed_from = Some(old.schedule.clone());
        create
    }

    fn with(
        scheduled: &Arc<ScheduledDefinition>,
        desired: &Desired,
        mut values: Arc<ScheduleValues>,
        paused: bool,
        overridden: Option<Override>,
        flags: BTreeSet<Flag>,
        before: Option<NoteBefore<'_>>,
    ) -> Self {
        if values.paused != paused {
            Arc::make_mut(&mut values).paused = paused;
        }
        let memo = ActionMemo::of(desired, overridden, flags);
        let fingerprint = Fingerprint::of(
            &memo.base,
            memo.overridden.as_ref(),
            &memo.flags,
            &BTreeSet::new(),
        );
        Self {
            scheduled: Arc::clone(scheduled),
            changed: (*values != *desired.values).then_some(values),
            remaining: desired.values.max_actions.map(u64::from),
            note: note(desired, &memo, paused, before, false, &fingerprint),
            overridden: memo.overridden.map(Box::new),
            flags: memo.flags,
            renamed_from: None,
        }
    }

    /// Id of the definition.
    pub fn definition(&self) -> &DefinitionId {
        self.scheduled.definition()
    }

    /// Id of the schedule.
    pub fn schedule(&self) -> &ScheduleId {
        &self.scheduled.schedule
    }

    /// Values of the schedule.
    pub fn values(&self) -> Arc<ScheduleValues> {
        match &self.changed {
            Some(values) => Arc::clone(values),
            None => self.scheduled.desired().values,
        }
    }

    /// Memo of the schedule's action.
    pub fn memo(&self) -> ActionMemo {
        let overridden = self.overridden.as_deref().cloned();
        ActionMemo::of(&self.scheduled.desired(), overridden, self.flags.clone())
    }

    /// The only argument of `RunDefinition`, if the definition runs steps.
    pub fn run_input(&self) -> Option<Value> {
        self.scheduled.desired().run_input()
    }
}

/// The values that are expected under an override, without a copy if nothing is overridden.
fn expected_values(desired: &Desired, overridden: Option<&Override>) -> Arc<ScheduleValues> {
    match overrides::expected(&desired.values, overridden) {
        Cow::Borrowed(_) => Arc::clone(&desired.values),
        Cow::Owned(values) => Arc::new(values),
    }
}

#[cfg(test)]
mod tests;
