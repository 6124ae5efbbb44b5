//! The results of applying a plan.

use std::collections::{BTreeMap, BTreeSet};

use almanac_base::names::DefinitionId;
use almanac_core::field::Field;
use almanac_core::plan::{Cause, Create, Delete, Update};
use almanac_core::record::{ActionMemo, Change, ErrorSource, Op, Override, ReportError};
use almanac_core::schedule::ScheduleValues;

use crate::schedules::wire::Described;

/// The results of applying a plan, and of the adoptions after it.
#[derive(Debug, Default)]
pub struct Applied {
    /// Changes that were made, in the order of the plan.
    pub changes: Vec<Change>,
    /// Errors of the operations that failed.
    pub errors: Vec<ReportError>,
    /// Drifted fields that were written back.
    pub corrected: BTreeMap<DefinitionId, BTreeSet<Field>>,
    /// Number of schedules that were deleted, or paused because no definition
    /// asks for them.
    pub removed: u64,
    /// Number of conflicts that were found only when writing.
    pub conflicts: u64,
    /// Number of schedules that were paused.
    pub paused: u64,
    /// Number of schedules that were unpaused.
    pub unpaused: u64,
    /// Overrides in the memos that updates wrote, also those that were planned
    /// again after a race. `None` if the memo has no override.
    pub overrides: BTreeMap<DefinitionId, Option<Override>>,
    /// The registry changed before every operation was tried.
    pub interrupted: bool,
}

impl Applied {
    /// Returns `true` if an operation on this definition's schedule failed.
    pub fn failed(&self, definition: &DefinitionId) -> bool {
        let failed = |error: &ReportError| error.id.as_deref() == Some(definition.as_str());
        self.errors.iter().any(failed)
    }

    /// Adds the result of one operation.
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

    /// Adds errors for due runs that were dropped.
    pub(super) fn lose(&mut self, definition: &str, messages: Vec<String>) {
        let errors = messages
            .into_iter()
            .map(|message| ErrorSource::Temporal.error(Some(definition.to_owned()), message));
        self.errors.extend(errors);
    }
}

/// The end of one operation that did not fail.
pub(super) enum Outcome {
    Done(Box<Done>),
    /// No change was needed.
    Nothing,
    /// An unmanaged schedule has the id.
    Conflict,
    /// The registry changed before the operation was tried.
    Skipped,
}

/// The result of one operation that changed a schedule.
pub(super) struct Done {
    pub change: Change,
    pub corrected: BTreeSet<Field>,
    pub removed: bool,
    pub paused: Option<bool>,
    /// The memo that an update wrote; `None` for a create or a delete.
    pub memo: Option<ActionMemo>,
    /// Messages for due runs that the write may have dropped and that were not
    /// started.
    pub lost: Vec<String>,
}

impl Done {
    /// The result of a create.
    pub(super) fn created(create: &Create) -> Self {
        Self {
            change: Change {
                id: create.definition().to_string(),
                op: Op::Create,
                fields: written_fields(&create.values()),
                reason: match &create.renamed_from {
                    Some(old) => format!("renamed from {old}"),
                    None => "the schedule does not exist".to_owned(),
                },
            },
            corrected: BTreeSet::new(),
            removed: false,
            paused: None,
            memo: None,
            lost: Vec::new(),
        }
    }

    /// The result of an update of the schedule `before`.
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

    /// The result of a delete. A rename does not count as a removal.
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

/// The fields of a new schedule that differ from the defaults.
fn written_fields(values: &ScheduleValues) -> Vec<Field> {
    Field::ALL
        .into_iter()
        .filter(|field| values.value(*field) != ScheduleValues::default_value(*field))
        .collect()
}
