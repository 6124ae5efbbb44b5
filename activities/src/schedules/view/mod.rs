//! The read model of a schedule: the one answer to *what does it do, and why?*
//!
//! [`list`] and [`describe`] observe schedules on the server; [`derive`] makes
//! the view of what was observed. The command line, the HTTP API and the web
//! page only present views. The order in which states take precedence is
//! [`ScheduleState::ALL`], which `docs/operating.md` documents.
//!
//! A view never guesses. What only the reconcile workflow or the files know is
//! in [`ScheduleView::unknown`] where they could not be asked.

mod derive;
mod read;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use almanac_base::names::{DefinitionId, Project, Revision, ScheduleId};
use almanac_core::field::Field;
use almanac_core::plan;
use almanac_core::record::{Flag, Override, Status};
use almanac_core::schedule::Desired;
use almanac_core::snapshot::Snapshot;
use almanac_times::ZoneDifference;
use jiff::Timestamp;
use serde::Serialize;

pub use self::read::{describe, list};
pub use self::state::{PausedBy, ScheduleState};
use super::{Missed, Run};

/// A schedule of the project, as it is in Temporal.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ScheduleView {
    /// The schedule's id in Temporal.
    pub id: ScheduleId,
    /// The definition that it belongs to, or would belong to if it were managed.
    pub definition: DefinitionId,
    /// The file (and line) of the definition: from the worker's files, else from
    /// the last write. `null` where neither is known.
    pub source: Option<String>,
    /// The definition's description. `null` where the files are not known.
    pub description: Option<String>,
    /// The definition's labels. Empty where the files are not known.
    pub labels: BTreeMap<String, String>,
    /// The first of `conditions`; `active` where there is none.
    pub state: ScheduleState,
    /// All states that apply, in order of precedence.
    pub conditions: BTreeSet<ScheduleState>,
    /// States that may apply as well and could not be checked, since no worker
    /// answers or the files are not known.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unknown: BTreeSet<ScheduleState>,
    /// The schedule starts nothing by itself.
    pub paused: bool,
    /// Who paused it; `null` where it is not paused, or is finished.
    pub paused_by: Option<PausedBy>,
    /// The note, without Almanac's mark.
    pub note: String,
    /// The override in force.
    #[serde(rename = "override")]
    pub overridden: Option<Override>,
    /// The calendars in force as cron strings: as they were written where that is
    /// known, else in Temporal's form. A list shows ten at most of the latter.
    pub cron: Vec<String>,
    /// The intervals in force, such as `6h` or `6h/15m` (with its offset).
    pub every: Vec<String>,
    /// IANA name of the time zone in force.
    pub timezone: String,
    /// Type of the workflow that it starts.
    pub workflow_type: String,
    /// When it fires next; `null` while it is paused.
    pub next_run: Option<Timestamp>,
    /// Some of the times after `next_run`.
    pub next_runs: Vec<Timestamp>,
    /// The last run that it started.
    pub last_run: Option<LastRun>,
    /// Actions that were due and never started, since the schedule was created.
    /// `null` in a list, which does not tell.
    pub missed: Option<Missed>,
    /// A run was due and has not started. `null` where that could not be checked.
    pub overdue: Option<bool>,
    /// When that run was due.
    pub overdue_since: Option<Timestamp>,
    /// How many actions are left. `null` where they are not limited, and in a list.
    pub remaining_actions: Option<u64>,
    /// Fields that differ from what was last written, although no file changed.
    /// `null` where that could not be checked.
    pub drift: Option<BTreeSet<Field>>,
}

/// A run that a schedule started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LastRun {
    /// When it started.
    pub at: Timestamp,
    /// The workflow's id.
    pub workflow_id: String,
    /// Its first run's id.
    pub run_id: String,
    /// The run's status: `running`, `completed`, `failed`, `canceled`,
    /// `terminated`, `continued_as_new`, `timed_out` or `paused`; `null` where
    /// Temporal does not know the run (any more). A list tells what the schedule
    /// knows of the run, which may lag behind.
    pub status: Option<String>,
}

/// A schedule of the project, described.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ScheduleDetail {
    /// What a list shows too.
    #[serde(flatten)]
    pub view: ScheduleView,
    /// The revision of the definition that it was last written from. `null` where
    /// someone replaced the schedule's body.
    pub revision: Option<Revision>,
    /// What Almanac remembers about it.
    pub flags: BTreeSet<Flag>,
    /// How many actions it has started.
    pub action_count: u64,
    /// The last runs, oldest first. The last ten have their own status, the others
    /// the one that the schedule knows.
    pub recent_runs: Vec<Run>,
    /// The first time within a year for which the server's time zone data and
    /// Almanac's differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_difference: Option<ZoneDifference>,
    /// The value of each compared field.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub values: BTreeMap<Field, serde_json::Value>,
}

/// What schedules are seen against.
#[derive(Debug, Clone, Copy)]
pub struct ViewContext<'a> {
    /// The project.
    pub project: &'a Project,
    /// The reconcile workflow's state, where it answers.
    pub status: Option<&'a Status>,
    /// The definitions, where they are known.
    pub files: Option<&'a ViewFiles<'a>>,
    /// The present.
    pub now: Timestamp,
}

/// The definitions that schedules are seen against.
#[derive(Debug)]
pub struct ViewFiles<'a> {
    project: &'a Project,
    snapshot: &'a Snapshot,
    protected: BTreeSet<&'a DefinitionId>,
}

impl<'a> ViewFiles<'a> {
    /// The definitions of a snapshot.
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
        Desired::of(self.project, &loaded.definition, &loaded.source)
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

    /// Returns `true` if a schedule of this definition stays: a document asks for
    /// it, or fails and states this id.
    fn wants(&self, id: &DefinitionId) -> bool {
        self.asks_for(id) || self.protected.contains(id)
    }
}
