//! Following runs: the ends and deadlines of runs that start definitions.
//!
//! Always holds: the end of a run becomes the same event, by its source and id, however often it is
//! read. The size of the state is bounded, whatever the state was read from. Reading the runs and
//! starting others is left to the activity.

mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use almanac_base::names::{DefinitionId, Project};
use almanac_events::{
    DEPTH_ATTRIBUTE, RUN_AGAIN, RUN_COMPLETED, RUN_FAILED, RUN_LATE, is_run_event,
};
use almanac_steps::language::{OnConflict, Outcome, Trigger};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::definition::{Again, Definition};
use crate::record::{EventKey, EventOrigin, FollowedRun, LastRun};
use crate::routing::{Route, RunToStart, data_digest, derived_id};
use crate::snapshot::Snapshot;

pub use state::{CATCH_UP, OVERLAP, PassedDeadline, WAITING_LIMIT, WATCHED_LIMIT};

/// Key of [`FollowState::since`](crate::record::FollowState::since) for the runs of all
/// definitions.
const ALL: &str = "*";

/// Status of a run that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndStatus {
    Completed,
    Failed,
    TimedOut,
    Canceled,
    Terminated,
}

/// A run that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedRun {
    pub run: FollowedRun,
    pub status: EndStatus,
    /// Time of the end.
    pub ended: Timestamp,
}

/// A deadline for the ends of a definition's runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunDeadline {
    /// Outcome that a run must have before the deadline.
    pub outcome: Outcome,
    /// Time from the start of a run to the deadline, in seconds.
    pub within_seconds: u64,
}

/// The runs that the triggers of a snapshot follow. Definitions and triggers that are not enabled
/// follow none.
#[derive(Debug, Default)]
pub struct Followed {
    /// Types of the events that triggers take, each with the definition that the runs must be of.
    /// `None` for the runs of any definition.
    events: BTreeSet<(String, Option<String>)>,
    deadlines: BTreeMap<DefinitionId, BTreeSet<RunDeadline>>,
    again: Vec<(Arc<Definition>, Again)>,
}

impl EndStatus {
    /// Name of the status in the data of events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Canceled => "canceled",
            Self::Terminated => "terminated",
        }
    }

    /// Outcome with this status.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Completed => Outcome::Completed,
            _ => Outcome::Failed,
        }
    }

    /// Type of the event about an end with this status.
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::Completed => RUN_COMPLETED,
            _ => RUN_FAILED,
        }
    }
}

impl RunDeadline {
    /// Name of a definition's deadline in the state.
    fn key(self, definition: &DefinitionId) -> String {
        let Self {
            outcome,
            within_seconds,
        } = self;
        format!("{definition} {} {within_seconds}", outcome.as_str())
    }

    /// Time of the deadline for a run.
    fn at(self, run: &FollowedRun) -> Timestamp {
        let within = std::time::Duration::from_secs(self.within_seconds);
        run.started.saturating_add(within).unwrap_or(Timestamp::MAX)
    }

    /// Returns `true` if an end counts for the deadline.
    fn counts(self, end: &EndedRun) -> bool {
        self.outcome == Outcome::Any || self.outcome == end.status.outcome()
    }
}

impl Followed {
    /// The runs that the triggers of a snapshot follow.
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut all = Self::default();
        let definitions = snapshot.definitions.values();
        for definition in definitions.map(|loaded| &loaded.definition) {
            if !definition.enabled {
                continue;
            }
            let triggers = definition.triggers.list.iter();
            triggers
                .filter(|one| one.enabled)
                .for_each(|one| all.add(one));
            if let Some(again) = definition.triggers.again.as_ref().filter(|one| one.enabled) {
                all.again.push((Arc::clone(definition), again.clone()));
            }
        }
        all
    }

    fn add(&mut self, trigger: &Trigger) {
        for (kind, subject) in trigger.filters.iter().map(Trigger::named) {
            if let Some(kind) = kind.filter(|kind| is_run_event(kind)) {
                let event = (kind.to_owned(), subject.map(str::to_owned));
                self.events.insert(event);
            }
        }
        if let Some(after) = &trigger.after
            && let Some(deadline) = after.deadline
        {
            let deadlines = self.deadlines.entry(after.definition.clone()).or_default();
            deadlines.insert(RunDeadline {
                outcome: after.outcome,
                within_seconds: deadline.within.as_secs(),
            });
        }
    }

    /// Returns `true` if no run is followed.
    pub fn is_empty(&self) -> bool {
        self.keys().is_empty() && self.again.is_empty()
    }

    /// Returns `true` if a trigger may take events of this type about runs of this definition.
    pub fn wants(&self, kind: &str, definition: &DefinitionId) -> bool {
        let has = |subject: Option<&str>| {
            self.events
                .contains(&(kind.to_owned(), subject.map(str::to_owned)))
        };
        has(None) || has(Some(definition.as_str()))
    }

    /// Returns `true` if the ends of all definitions' runs are followed.
    pub fn follows_all(&self) -> bool {
        let mut ends = self.ends();
        ends.any(|subject| subject.is_none())
    }

    /// Definitions whose ends are followed, as far as triggers name them.
    pub fn definitions(&self) -> BTreeSet<DefinitionId> {
        let named = self.ends().flatten();
        named.filter_map(|subject| subject.parse().ok()).collect()
    }

    /// Definitions whose runs have deadlines.
    pub fn with_deadlines(&self) -> impl Iterator<Item = &DefinitionId> {
        self.deadlines.keys()
    }

    /// Returns `true` if the runs of a definition have a deadline.
    pub fn has_deadline(&self, definition: &DefinitionId) -> bool {
        self.deadlines.contains_key(definition)
    }

    /// Definitions that start again after their own runs.
    pub fn again(&self) -> &[(Arc<Definition>, Again)] {
        &self.again
    }

    /// The subjects of the triggers that take events about ends.
    fn ends(&self) -> impl Iterator<Item = Option<&str>> {
        let ends = self.events.iter().filter(|(kind, _)| kind != RUN_LATE);
        ends.map(|(_, subject)| subject.as_deref())
    }

    fn deadlines_of(&self, id: &DefinitionId) -> impl Iterator<Item = RunDeadline> {
        self.deadlines.get(id).into_iter().flatten().copied()
    }

    /// Names of everything that is followed since some time.
    fn keys(&self) -> BTreeSet<String> {
        let ends = self.ends().map(|subject| subject.unwrap_or(ALL).to_owned());
        let deadlines = self.deadlines.iter();
        let deadlines =
            deadlines.flat_map(|(id, all)| all.iter().map(move |deadline| deadline.key(id)));
        ends.chain(deadlines).collect()
    }
}

/// Source of the events about a project's runs.
pub fn event_source(project: &Project) -> String {
    format!("almanac/{project}")
}

/// The event about the end of a run, in the JSON format of `CloudEvents`.
pub fn end_event(project: &Project, end: &EndedRun) -> Value {
    let EndedRun { run, status, ended } = end;
    let mut data = data_of(run);
    data.insert("status".to_owned(), json!(status.as_str()));
    data.insert("ended_at".to_owned(), json!(ended));
    event(
        project,
        run,
        status.event_type(),
        &run.run_id,
        *ended,
        &data,
    )
}

/// The event about a deadline that passed.
pub(crate) fn late_event(project: &Project, run: &FollowedRun, deadline: RunDeadline) -> Value {
    let RunDeadline {
        outcome,
        within_seconds,
    } = deadline;
    let at = deadline.at(run);
    let id = format!("{}/late/{}/{within_seconds}", run.run_id, outcome.as_str());
    let mut data = data_of(run);
    data.insert("outcome".to_owned(), json!(outcome.as_str()));
    data.insert("within_seconds".to_owned(), json!(within_seconds));
    data.insert("deadline".to_owned(), json!(at));
    event(project, run, RUN_LATE, &id, at, &data)
}

fn data_of(run: &FollowedRun) -> Map<String, Value> {
    let mut data = Map::new();
    data.insert("definition".to_owned(), json!(run.definition));
    data.insert("workflow_id".to_owned(), json!(run.workflow_id));
    data.insert("run_id".to_owned(), json!(run.run_id));
    data.insert("started_at".to_owned(), json!(run.started));
    if let Some(scheduled) = run.scheduled {
        data.insert("scheduled_at".to_owned(), json!(scheduled));
    }
    data
}

fn event(
    project: &Project,
    run: &FollowedRun,
    kind: &str,
    id: &str,
    time: Timestamp,
    data: &Map<String, Value>,
) -> Value {
    let mut event = json!({
        "specversion": "1.0",
        "id": id,
        "source": event_source(project),
        "type": kind,
        "subject": run.definition,
        "time": time,
        "datacontenttype": "application/json",
        "data": data,
    });
    if let Some(map) = event.as_object_mut().filter(|_| run.depth > 0) {
        map.insert(DEPTH_ATTRIBUTE.to_owned(), json!(run.depth));
    }
    event
}

/// The start of a definition after its last run, and the event that stands for it. `None` is the
/// last run of a definition that has none. The same last run leads to the same workflow id.
pub fn again_route(
    project: &Project,
    definition: &Arc<Definition>,
    again: &Again,
    last: Option<&LastRun>,
    now: Timestamp,
) -> (Route, Value) {
    let id = match last {
        Some(last) => format!("{}/again", last.run_id),
        None => format!("{}/first", definition.id),
    };
    let event = json!({
        "specversion": "1.0",
        "id": id,
        "source": event_source(project),
        "type": RUN_AGAIN,
        "subject": definition.id,
        "time": now,
        "data": { "definition": definition.id, "last_run": last.map(|last| &last.run_id) },
    });
    let key = EventKey::of(&event);
    let derived = derived_id(&key);
    let input = again.input.as_ref();
    let route = Route {
        definition: Arc::clone(definition),
        run: Ok(RunToStart {
            workflow_id: format!("{}/{derived}", project.run_workflow_id(&definition.id)),
            is_derived: true,
            on_conflict: OnConflict::UseExisting,
            input: input
                .map(almanac_base::json_text::JsonText::value)
                .unwrap_or_default(),
        }),
        origin: EventOrigin {
            event: key,
            trigger: 0,
            digest: data_digest(&event),
            depth: 0,
        },
    };
    (route, event)
}

#[cfg(test)]
mod tests;
