//! What applying a plan came to.

use std::collections::{BTreeMap, BTreeSet};

use almanac_base::names::DefinitionId;
use almanac_core::field::Field;
use almanac_core::plan::{Cause, Create, Delete, Update};
use almanac_core::record::{ActionMemo, Change, Op, Override, ReportError};
use almanac_core::schedule::ScheduleValues;

use crate::schedules::wire::Described;

/// What was done.
#[derive(Debug, Default)]
pub struct Applied {
    /// What was done, in the order of the plan.
    pub changes: Vec<Change>,
    /// What failed.
    pub errors: Vec<ReportError>,
    /// Fields that were drifted and are written back.
    pub corrected: BTreeMap<DefinitionId, BTreeSet<Field>>,
    /// Schedules that were deleted, or paused because their definition is gone.
    pub removed: u64,
    /// Conflicts that only the write showed.
    pub conflicts: u64,
    /// How many schedules are paused or unpaused by this.
    pub paused: u64,
    /// See `paused`.
    pub unpaused: u64,
    /// Overrides that the planning of races found, as in the plan.
    pub overrides: BTreeMap<DefinitionId, Option<Override>>,
    /// The registry moved before every operation was tried.
    pub interrupted: bool,
}

impl Applied {
    /// Whether an operation on this definition's schedule failed.
    pub fn failed(&self, definition: &DefinitionId) -> bool {
        let failed = |error: &ReportError| error.id.as_deref() == Some(definition.as_str());
        self.errors.iter().any(failed)
    }

    /// Counts what an operation did.
    pub(super) fn take(&mut self, definition: &str, done: Done) {
        match done.paused {
            Some(true) => self.paused += 1,
            Some(false) => self.unpaused += 1,
            None => {}
        }
        self.removed += u64::from(done.removed);
        if let Ok(id) = definition.parse::<DefinitionId>() {
            if !done.corrected.is_empty() {
                self.corrected.insert(id.clone(), done.corrected);
            }
            if let Some(memo) = done.memo {
                self.overrides.insert(id, memo.overridden);
            }
        }
        self.lose(definition, done.lost);
        self.changes.push(done.change);
    }

    /// Reports due runs that were dropped.
    pub(super) fn lose(&mut self, definition: &str, messages: Vec<String>) {
        let errors = messages.into_iter().map(|message| ReportError {
            source: "temporal".to_owned(),
            id: Some(definition.to_owned()),
            message,
        });
        self.errors.extend(errors);
    }
}

/// How one operation ended.
pub(super) enum Outcome {
    Done(Box<Done>),
    /// Nothing was left to do.
    Nothing,
    /// The id is a foreign schedule's.
    Conflict,
    /// The registry moved before it was tried.
    Skipped,
}

/// What an operation did.
pub(super) struct Done {
    pub change: Change,
    pub corrected: BTreeSet<Field>,
    pub removed: bool,
    pub paused: Option<bool>,
    /// The memo that was written over another.
    pub memo: Option<ActionMemo>,
    /// Due runs that the write may have dropped and that were not made up for.
    pub lost: Vec<String>,
}

impl Done {
    /// A schedule was created.
    pub(super) fn created(create: &Create) -> Self {
        Self {
            change: Change {
                id: create.definition.to_string(),
                op: Op::Create,
                fields: written_fields(&create.values),
                reason: match &create.renamed_from {
                    Some(old) => format!("renamed from {old}"),
                    None => "no such schedule".to_owned(),
                },
            },
            corrected: BTreeSet::new(),
            removed: false,
            paused: None,
            memo: None,
            lost: Vec::new(),
        }
    }

    /// A schedule that was `before` was written.
    pub(super) fn updated(update: Update, before: &Described) -> Self {
        let was_paused = before.live.values.paused;
        let is_paused = update.values.paused;
        Self {
            corrected: update
                .fields
                .iter()
                .filter(|(_, cause)| **cause == Cause::Drift)
                .map(|(field, _)| *field)
                .collect(),
            removed: update.removal,
            paused: (was_paused != is_paused).then_some(is_paused),
            memo: Some(update.memo),
            lost: Vec::new(),
            change: Change {
                id: update.definition.to_string(),
                op: update.op,
                fields: update.fields.into_keys().collect(),
                reason: update.reason,
            },
        }
    }

    /// A schedule was deleted. A rename takes nothing away.
    pub(super) fn deleted(delete: &Delete) -> Self {
        Self {
            change: Change {
                id: delete.definition.to_string(),
                op: Op::Delete,
                fields: Vec::new(),
                reason: match &delete.renamed_to {
                    Some(new) => format!("renamed to {new}"),
                    None => "its definition is gone".to_owned(),
                },
            },
            corrected: BTreeSet::new(),
            removed: delete.renamed_to.is_none(),
            paused: None,
            memo: None,
            lost: Vec::new(),
        }
    }
}

/// The fields that a new schedule has other than by default.
fn written_fields(values: &ScheduleValues) -> Vec<Field> {
    Field::ALL
        .into_iter()
        .filter(|field| values.value(*field) != ScheduleValues::default_value(*field))
        .collect()
}
