//! The read model of a schedule: the view that every user interface shows.
//!
//! [`list`] and [`describe`] observe schedules on the server; [`derive`]
//! computes the view of what was observed. The command line, the HTTP API and
//! the web page only present views. The order in which states take precedence
//! is [`ScheduleState::ALL`], which `docs/operating.md` documents.
//!
//! A view never guesses. States that only the reconcile workflow or the files
//! know are in [`ScheduleView::unknown`] if these could not be asked.

mod derive;
mod read;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;

use almanac_base::names::{DefinitionId, Project, Revision, ScheduleId};
use almanac_core::definition::Labels;
use almanac_core::field::Field;
use almanac_core::plan::{self, FieldState};
use almanac_core::record::{Flag, Override, Status};
use almanac_core::schedule::Desired;
use almanac_core::snapshot::Snapshot;
use almanac_times::{Spec, ZoneDifference};
use jiff::Timestamp;
use serde::Serialize;

pub use self::read::{ask_running, describe, list, list_with_times, listed};
pub use self::state::{PausedBy, ScheduleState};
pub use super::actions::RUNNING;
use super::{Missed, Run};

/// A schedule of the project, as it is in Temporal.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ScheduleView {
    /// The schedule's id in Temporal.
    pub id: ScheduleId,
    /// The definition that the schedule belongs to, or would belong to if it
    /// were managed.
    pub definition: DefinitionId,
    /// The file (and line) of the definition: from the worker's files, else
    /// from the last write. `null` if neither is known.
    pub source: Option<String>,
    /// The definition's description. `null` if the files are not known.
    pub description: Option<String>,
    /// The definition's labels. Empty if the files are not known.
    #[schema(value_type = BTreeMap<String, String>)]
    pub labels: Labels,
    /// The first of `conditions`; `active` if there is none.
    pub state: ScheduleState,
    /// All states that apply, in order of precedence.
    pub conditions: BTreeSet<ScheduleState>,
    /// States that may apply as well and could not be checked, because no
    /// worker answers or the files are not known.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unknown: BTreeSet<ScheduleState>,
    /// The schedule starts nothing by itself.
    pub paused: bool,
    /// Origin of the pause; `null` if the schedule is not paused, or is
    /// finished.
    pub paused_by: Option<PausedBy>,
    /// The schedule's note, without Almanac's mark. If an override interrupts a
    /// pause, that pause's words follow in parentheses.
    pub note: String,
    /// The reason that a person gave: of the override in force, else the note
    /// of the person who last wrote one. If a failed run paused the schedule,
    /// the server's note. `null` if no such words are known.
    pub reason: Option<String>,
    /// Name of the operator who set the override. `null` if the name is not
    /// known, or if no operator set one.
    pub by: Option<String>,
    /// The override in force.
    #[serde(rename = "override")]
    pub overridden: Option<Box<Override>>,
    /// The times in force in words, in at most 80 characters, such as `04:30
    /// Mon–Fri Europe/Berlin`. Counts end with `or more` if a list may not show
    /// everything.
    pub summary: String,
    /// The calendars in force as cron strings: as they were written if that is
    /// known, else in Temporal's form. A list shows at most ten of the latter.
    pub cron: Vec<String>,
    /// The intervals in force, such as `6h` or `6h/15m` (with its offset).
    pub every: Vec<String>,
    /// IANA name of the time zone in force.
    pub timezone: String,
    /// Type of the workflow that the schedule starts.
    pub workflow_type: String,
    /// Time at which the schedule fires next; `null` while it is paused.
    pub next_run: Option<Timestamp>,
    /// Some of the times after `next_run`.
    pub next_runs: Vec<Timestamp>,
    /// The last run that the schedule started.
    pub last_run: Option<Box<LastRun>>,
    /// Actions that were due and never started, since the schedule was created.
    /// `null` in a list, which does not show them.
    pub missed: Option<Missed>,
    /// A run was due and has not started. `null` if that could not be checked.
    pub overdue: Option<bool>,
    /// Time at which the overdue run was due.
    pub overdue_since: Option<Timestamp>,
    /// Number of remaining actions. `null` if they are not limited, and in a
    /// list.
    pub remaining_actions: Option<u64>,
    /// Fields that differ from what was last written, although no file changed.
    /// `null` if that could not be checked.
    pub drift: Option<BTreeSet<Field>>,
}

/// A run that a schedule started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LastRun {
    /// Time at which the run started.
    pub at: Timestamp,
    /// Id of the workflow.
    pub workflow_id: String,
    /// Run id of the run's first execution.
    pub run_id: String,
    /// The run's status: `running`, `completed`, `failed`, `canceled`,
    /// `terminated`, `continued_as_new`, `timed_out` or `paused`; `null` if
    /// Temporal does not know the run (any more). A list asks Temporal about the
    /// first 100 running ones; the others have the status that the schedule
    /// knows, which may lag behind.
    pub status: Option<String>,
}

/// A listed schedule with its times.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedSchedule {
    pub view: ScheduleView,
    pub times: ListedTimes,
}

impl ListedSchedule {
    /// Returns `true` if the last run has not ended, as far as the schedule knows.
    pub fn seems_running(&self) -> bool {
        let last = self.view.last_run.as_ref();
        last.is_some_and(|run| run.status.as_deref() == Some(RUNNING))
    }
}

impl Deref for ListedSchedule {
    type Target = ScheduleView;

    fn deref(&self) -> &ScheduleView {
        &self.view
    }
}

/// The times of a listed schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedTimes {
    /// The spec in force.
    pub spec: Arc<Spec>,
    /// `false` if the list may have cut `spec`, and the definition does not show
    /// the rest.
    pub is_whole: bool,
    /// The times after the end of an override. `None` if no override has an end.
    pub after: Option<TimesAfter>,
    /// Number of next times that the server lists. It lists no more times than
    /// the schedule has actions left.
    pub server_times: usize,
    /// The schedule belongs to the project.
    pub is_managed: bool,
    /// Almanac wrote the schedule after the last manual pause or unpause, which
    /// replaces the note.
    pub is_marked: bool,
    /// A digest of the parts of the list entry that do not change while the
    /// schedule merely runs.
    pub digest: u64,
}

/// The times of a schedule after an override has expired.
#[derive(Debug, Clone, PartialEq)]
pub struct TimesAfter {
    /// Time at which the override expires.
    pub at: Timestamp,
    /// The spec from then on, without times if the schedule is then paused.
    /// `None` if it is not known.
    pub spec: Option<Arc<Spec>>,
}

/// A schedule of the project, described.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ScheduleDetail {
    /// The fields that a list shows too.
    #[serde(flatten)]
    pub view: ScheduleView,
    /// The revision of the definition that the schedule was last written from.
    /// `null` if someone replaced the schedule's body.
    pub revision: Option<Revision>,
    /// Facts that Almanac remembers about the schedule.
    pub flags: BTreeSet<Flag>,
    /// Number of actions that the schedule has started.
    pub action_count: u64,
    /// The last runs, oldest first. The last ten have the status of the run
    /// itself, the others the status that the schedule knows.
    pub recent_runs: Vec<Run>,
    /// The first time within a year for which the server's time zone data and
    /// Almanac's differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_difference: Option<ZoneDifference>,
    /// The live values as a definition in YAML. `null` for an unmanaged schedule.
    pub document: Option<String>,
    /// The value of each compared field.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub values: BTreeMap<Field, serde_json::Value>,
    /// Each field's value in the file, at the last write, and live, with the one that counts.
    /// Absent if the files or the reconcile workflow's state are not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldState>,
}

/// The context from which views are derived.
#[derive(Debug, Clone, Copy)]
pub struct ViewContext<'a> {
    pub project: &'a Project,
    /// The reconcile workflow's state; `None` if the workflow does not answer.
    pub status: Option<&'a Status>,
    /// The definitions; `None` if they are not known.
    pub files: Option<&'a ViewFiles<'a>>,
    /// The present time.
    pub now: Timestamp,
}

/// The definitions that schedules are compared with.
#[derive(Debug)]
pub struct ViewFiles<'a> {
    project: &'a Project,
    snapshot: &'a Snapshot,
    protected: BTreeSet<&'a DefinitionId>,
}

impl<'a> ViewFiles<'a> {
    /// Creates the definitions of a snapshot.
    pub fn of(project: &'a Project, snapshot: &'a Snapshot) -> Self {
        Self {
            project,
            snapshot,
            protected: plan::protected_ids(snapshot),
        }
    }

    /// The schedule that a definition asks for.
    fn desired(&self, id: &DefinitionId) -> Option<Desired> {
        let loaded = self.snapshot.definitions.get(id)?;
        let desired = Desired::of(self.project, &loaded.definition, &loaded.source)?;
        Some(desired.encrypted(&self.snapshot.encryption))
    }

    /// The definitions that ask for a schedule.
    fn scheduled(&self) -> impl Iterator<Item = &DefinitionId> {
        let all = self.snapshot.definitions.iter();
        all.filter(|(_, loaded)| loaded.definition.schedule.is_some())
            .map(|(id, _)| id)
    }

    /// Returns `true` if a document asks for a schedule of this definition.
    fn asks_for(&self, id: &DefinitionId) -> bool {
        let loaded = self.snapshot.definitions.get(id);
        loaded.is_some_and(|loaded| loaded.definition.schedule.is_some())
    }

    /// Returns `true` if the schedule of this definition stays: a document asks
    /// for it, or a document with this id fails.
    fn wants(&self, id: &DefinitionId) -> bool {
        self.asks_for(id) || self.protected.contains(id)
    }
}
