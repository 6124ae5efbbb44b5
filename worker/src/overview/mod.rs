//! Definitions and schedules side by side: one row for each definition, with its schedule,
//! and for each document that fails.
//!
//! The rows are computed from the files and from the read model of schedules
//! (`almanac_activities::schedules::view`), which say what is the case. This module only
//! joins the two and orders the conditions of both.

mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_activities::schedules::view::{ListedSchedule, PausedBy, ScheduleState, ScheduleView};
use almanac_base::names::{DefinitionId, Project};
use almanac_core::definition::{Kind, Labels, Program};
use almanac_core::record::{ErrorSource, Report, Status};
use almanac_core::snapshot::{LoadStatus, Loaded, Snapshot};
use jiff::Timestamp;

pub use self::state::{Condition, ConditionError, Conditions, Group};
use crate::event_words::events_of;

/// A definition with its schedule, or a document that fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Id of the definition; `None` if it cannot be read.
    pub id: Option<DefinitionId>,
    /// Kind of the document.
    pub kind: Kind,
    /// `path` or `path:line` of the document; `None` if it is not known.
    pub source: Option<String>,
    /// The conditions that apply.
    pub conditions: Conditions,
    /// Index of the schedule in the list.
    schedule: Option<usize>,
    /// The document fails, and this process serves no version of it.
    fails: bool,
}

/// The project's definitions and schedules at one moment.
#[derive(Debug)]
pub struct Overview {
    /// The files.
    pub snapshot: Arc<Snapshot>,
    /// The schedules as they were listed; `None` if Temporal does not answer.
    schedules: Option<Arc<Vec<Arc<ListedSchedule>>>>,
    /// The rows, worst first. Rows in sync are in the order of their next runs.
    pub rows: Vec<Row>,
    /// Errors of the last full pass, by definition.
    failures: BTreeMap<String, String>,
    /// Task queue of definitions that contain steps.
    run_queue: String,
}

impl Overview {
    /// Joins the definitions of a snapshot and the schedules. Without `schedules`, the rows
    /// only have the conditions of the documents.
    pub fn new(
        project: &Project,
        snapshot: Arc<Snapshot>,
        schedules: Option<Arc<Vec<Arc<ListedSchedule>>>>,
        status: Option<&Status>,
    ) -> Self {
        let mut overview = Self {
            failures: status
                .and_then(Status::last_applied_report)
                .map(failures)
                .unwrap_or_default(),
            run_queue: project.run_queue(),
            rows: Vec::new(),
            snapshot,
            schedules,
        };
        let mut rows = overview.joined();
        let place = |row: &Row| {
            let first = row.conditions.first();
            let next = match first {
                Condition::InSync => overview.schedule(row).and_then(|view| view.next_run),
                _ => None,
            };
            let name = (row.id.is_none(), row.id.clone(), row.source.clone());
            (first, next.unwrap_or(Timestamp::MAX), name)
        };
        rows.sort_by_cached_key(place);
        overview.rows = rows;
        overview
    }

    /// The schedule of a row, if it exists.
    pub fn schedule(&self, row: &Row) -> Option<&ScheduleView> {
        let listed = self.schedules.as_ref()?.get(row.schedule?)?;
        Some(&listed.view)
    }

    /// Returns `true` if this overview was made of these files and schedules.
    pub fn is_of(
        &self,
        snapshot: &Arc<Snapshot>,
        schedules: Option<&Arc<Vec<Arc<ListedSchedule>>>>,
    ) -> bool {
        let is_same_list = match (&self.schedules, schedules) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        is_same_list && Arc::ptr_eq(&self.snapshot, snapshot)
    }

    /// Returns `true` if the schedules are known.
    pub fn has_schedules(&self) -> bool {
        self.schedules.is_some()
    }

    /// The version of a row's definition that is served.
    pub fn served(&self, row: &Row) -> Option<&Loaded> {
        match row.kind {
            Kind::Workflow => self.snapshot.definitions.get(row.id.as_ref()?),
            Kind::Calendar | Kind::EventType => None,
        }
    }

    /// Labels of a row.
    pub fn labels(&self, row: &Row) -> &Labels {
        match (self.served(row), self.schedule(row)) {
            (Some(loaded), _) => &loaded.definition.labels,
            (None, Some(view)) => &view.labels,
            (None, None) => Labels::none(),
        }
    }

    /// Description of a row.
    pub fn description(&self, row: &Row) -> Option<&str> {
        self.served(row)?.definition.description.as_deref()
    }

    /// The events that start a row's definition, as its triggers name them.
    pub fn events(&self, row: &Row) -> Vec<String> {
        let served = self.served(row);
        served.map_or_else(Vec::new, |loaded| events_of(&loaded.definition))
    }

    /// Task queue of a row's runs; `None` if no definition states it.
    pub fn queue(&self, row: &Row) -> Option<&str> {
        Some(match &self.served(row)?.definition.program {
            Program::Workflow(workflow) => &workflow.task_queue,
            Program::Steps(_) => &self.run_queue,
        })
    }

    /// The error of the last full pass about a row's schedule.
    pub fn failure(&self, row: &Row) -> Option<&str> {
        let id = row.id.as_ref()?;
        self.failures.get(id.as_str()).map(String::as_str)
    }

    /// The rows by their definitions and sources.
    pub fn by_place(&self) -> BTreeMap<(Option<&str>, Kind, Option<&str>), &Row> {
        let rows = self.rows.iter();
        rows.map(|row| {
            let id = row.id.as_ref().map(DefinitionId::as_str);
            // A definition that moves to another file stays the same row.
            let source = row.source.as_deref().filter(|_| id.is_none());
            ((id, row.kind, source), row)
        })
        .collect()
    }

    /// The row of a definition; that of a calendar only if no definition has the id.
    pub fn row(&self, id: &str) -> Option<&Row> {
        let is_named = |row: &&Row| row.id.as_ref().is_some_and(|known| known.as_str() == id);
        let rows = self.rows.iter().filter(is_named);
        rows.min_by_key(|row| row.kind != Kind::Workflow)
    }

    fn joined(&self) -> Vec<Row> {
        let views = self.schedules.iter().flat_map(|all| all.iter());
        let mut places: BTreeMap<&DefinitionId, usize> = views
            .enumerate()
            .map(|(place, view)| (&view.definition, place))
            .collect();
        let mut rows = Vec::new();
        let row = |id: Option<&DefinitionId>, kind, source: Option<&str>, schedule| Row {
            id: id.cloned(),
            kind,
            source: source.map(str::to_owned),
            conditions: Conditions::default(),
            schedule,
            fails: false,
        };
        for (id, loaded) in &self.snapshot.definitions {
            let schedule = places.remove(id);
            rows.push(row(
                Some(id),
                Kind::Workflow,
                Some(&loaded.source),
                schedule,
            ));
        }
        for kind in [Kind::Calendar, Kind::EventType] {
            // Without errors, a calendar is a part of the schedules that name it, and an event
            // type a part of the triggers.
            let served = self.snapshot.all_served(kind);
            for one in served.filter(|one| one.status == LoadStatus::Stale) {
                rows.push(row(Some(one.id), kind, Some(one.source), None));
            }
        }
        for failed in &self.snapshot.failed {
            let id = failed.id.as_ref();
            let is_served = id.is_some_and(|id| self.snapshot.served(failed.kind, id).is_some());
            if !is_served {
                let id = failed.id.as_ref().filter(|_| failed.kind == Kind::Workflow);
                let schedule = id.and_then(|id| places.remove(id));
                rows.push(Row {
                    fails: true,
                    ..row(
                        failed.id.as_ref(),
                        failed.kind,
                        Some(&failed.source),
                        schedule,
                    )
                });
            }
        }
        let views = self.schedules.as_deref().map(Vec::as_slice);
        for (id, place) in places {
            let source = views.and_then(|all| all.get(place)?.source.as_deref());
            rows.push(row(Some(id), Kind::Workflow, source, Some(place)));
        }
        for row in &mut rows {
            row.conditions = self.conditions(row);
        }
        rows
    }

    fn conditions(&self, row: &Row) -> Conditions {
        let mut found = Conditions::default();
        let served = self.served(row);
        let view = self.schedule(row);
        let is_stale = match row.kind {
            Kind::Workflow => served.is_some_and(|loaded| loaded.status == LoadStatus::Stale),
            kind => row.id.as_ref().is_some_and(|id| {
                let served = self.snapshot.served(kind, id);
                served.is_some_and(|one| one.status == LoadStatus::Stale)
            }),
        };
        // A schedule that an earlier process wrote from a good version still fires.
        if is_stale || (row.fails && view.is_some()) {
            found.insert(Condition::Stale);
        } else if row.fails {
            found.insert(Condition::Broken);
        }
        if let Some(view) = view {
            add_conditions(view, &mut found);
        }
        if self.failure(row).is_some() {
            found.insert(Condition::Failed);
        }
        if let (Some(loaded), None) = (served, view) {
            match &loaded.definition.schedule {
                // Without `enabled: false`, events would start it.
                None if !loaded.definition.enabled && !loaded.definition.triggers.is_empty() => {
                    found.insert(Condition::Disabled);
                }
                None => found.insert(Condition::OnDemand),
                Some(_) if self.has_schedules() && !found.contains(Condition::Failed) => {
                    found.insert(Condition::Waiting);
                }
                Some(_) => {}
            }
        }
        if found.is_empty() {
            found.insert(match view {
                Some(_) => Condition::InSync,
                None => Condition::Unknown,
            });
        }
        found
    }
}

fn add_conditions(view: &ScheduleView, found: &mut Conditions) {
    let is = |state| view.conditions.contains(&state);
    for state in &view.conditions {
        let follows = match state {
            // A schedule whose actions are used up is paused.
            ScheduleState::Paused => is(ScheduleState::Finished),
            // A schedule that is held has no definition.
            ScheduleState::Orphaned => is(ScheduleState::Held),
            _ => false,
        };
        if follows {
            continue;
        }
        found.insert(match state {
            ScheduleState::Conflict => Condition::Conflict,
            ScheduleState::Unreadable => Condition::Unreadable,
            ScheduleState::Held => Condition::Held,
            ScheduleState::Orphaned => Condition::Orphaned,
            ScheduleState::Contested => Condition::Contested,
            ScheduleState::Finished => Condition::Finished,
            ScheduleState::Overridden => Condition::Overridden,
            ScheduleState::Paused => match view.paused_by {
                Some(PausedBy::Failure) => Condition::PausedByFailure,
                Some(PausedBy::Yaml) => Condition::Disabled,
                Some(PausedBy::Override | PausedBy::Hand) | None => Condition::Paused,
            },
            ScheduleState::Active => continue,
        });
    }
    if view.overdue == Some(true) {
        found.insert(Condition::Overdue);
    }
    if view.drift.as_ref().is_some_and(|fields| !fields.is_empty()) {
        found.insert(Condition::Drift);
    }
}

/// Errors of writes, by definition.
fn failures(report: &Report) -> BTreeMap<String, String> {
    let errors = report
        .errors
        .iter()
        .filter(|error| ErrorSource::Temporal.is_of(error));
    errors
        .filter_map(|error| Some((error.id.clone()?, error.message.clone())))
        .collect()
}
