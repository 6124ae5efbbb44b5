//! Schedules for people and programs: what `list`, `show` and the API answer.

use std::collections::{BTreeMap, BTreeSet};

use almanac_workflows::names::{DefinitionId, Project, Revision, ScheduleId};
use almanac_workflows::plan::contested_fields;
use almanac_workflows::record::{ActionMemo, Flag, Override, Status};
use almanac_workflows::schedule::{Field, line_of};
use almanac_workflows::times::{Spec, ZoneDifference};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::wire::{self, decode_time};
use super::{ListEntry, Missed, RequestError, Run, Runs, Schedules, overdue_since};

/// One schedule as the list shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduleView {
    /// The definition.
    pub definition: DefinitionId,
    /// The schedule's id.
    pub schedule_id: ScheduleId,
    /// What it is doing.
    pub state: ViewState,
    /// Its calendars, as cron strings.
    pub cron: Vec<String>,
    /// Its intervals.
    pub every: Vec<String>,
    /// Its time zone.
    pub timezone: String,
    /// Who paused it, when it is paused.
    pub paused_by: Option<PausedBy>,
    /// The note, without Almanac's mark.
    pub note: String,
    /// The override in force.
    #[serde(rename = "override")]
    pub overridden: Option<Override>,
    /// When it fires next.
    pub next_run: Option<Timestamp>,
    /// When it last fired.
    pub last_run: Option<Timestamp>,
    /// The workflow id of that run.
    pub last_workflow_id: Option<String>,
    /// The type of the workflow it starts.
    pub workflow_type: String,
    /// Fields that are drifted and left alone for now.
    pub drift: BTreeSet<Field>,
}

/// One schedule as a description shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduleDetail {
    /// What the list shows too.
    #[serde(flatten)]
    pub view: ScheduleView,
    /// The file that the schedule was last written from; `None` when someone
    /// replaced its body.
    pub source: Option<String>,
    /// The revision of the definition it was last written from.
    pub revision: Option<Revision>,
    /// What must be remembered about it.
    pub flags: BTreeSet<Flag>,
    /// How many actions are left, where they are limited.
    pub remaining_actions: Option<u64>,
    /// How many actions it has started.
    pub action_count: u64,
    /// Actions that were due and never started.
    pub missed: Missed,
    /// What was due, was not started, and is late.
    pub overdue_since: Option<Timestamp>,
    /// The next times it fires; none while it is paused.
    pub next_runs: Vec<Timestamp>,
    /// The last runs, oldest first; the status of the last ten is asked of the runs
    /// themselves.
    pub recent_runs: Vec<Run>,
    /// The status of the last run.
    pub last_status: Option<String>,
    /// The first time within a year on which the server's time zone data and
    /// Almanac's differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_difference: Option<ZoneDifference>,
    /// Every compared value.
    pub values: BTreeMap<Field, serde_json::Value>,
}

/// What a schedule is doing; the first that fits.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ViewState {
    /// A schedule that is not ours has the id of one of our definitions.
    Conflict,
    /// The server cannot describe it; nothing is written to it.
    Unreadable,
    /// Its removal waits for confirmation.
    Held,
    /// Its definition is gone.
    Orphaned,
    /// Others keep changing it back.
    Contested,
    /// Its actions are used up.
    Finished,
    /// An operator's override is in force.
    Overridden,
    /// It starts nothing by itself.
    Paused,
    /// It runs as its definition says.
    Active,
}

/// Who paused a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// Its definition, or Almanac because its definition is gone or its actions are used up.
    Yaml,
    /// An override.
    Override,
    /// The server, after a failed run.
    Failure,
    /// Someone, in the UI or with a command.
    Hand,
}

/// What views are made with beside the server's answer.
#[derive(Debug, Clone, Copy)]
pub struct ViewContext<'a> {
    /// The project.
    pub project: &'a Project,
    /// The reconcile workflow's state, when it answers.
    pub status: Option<&'a Status>,
    /// The definitions that ask for a schedule, where they are known.
    pub desired: Option<&'a BTreeSet<DefinitionId>>,
    /// The present.
    pub now: Timestamp,
}

/// The project's schedules, sorted by definition. Nothing is described.
pub async fn list_views(
    schedules: &Schedules,
    context: ViewContext<'_>,
) -> Result<Vec<ScheduleView>, RequestError> {
    let mut views: Vec<_> = schedules
        .list(context.project)
        .await?
        .into_iter()
        .filter_map(|entry| view(entry, None, context))
        .collect();
    views.sort_by(|a, b| a.definition.cmp(&b.definition));
    Ok(views)
}

/// One schedule in full; `None` when there is none of ours.
pub async fn show(
    schedules: &Schedules,
    id: &DefinitionId,
    context: ViewContext<'_>,
) -> Result<Option<ScheduleDetail>, RequestError> {
    let schedule = context.project.schedule_id(id);
    let response = match schedules.describe(&schedule).await {
        Ok(response) => response,
        Err(RequestError::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    let info = response.info.clone().unwrap_or_default();
    let Some(described) = wire::live(context.project, &schedule, response) else {
        return Ok(None);
    };
    let live = described.live;
    let memo = live.readable_memo();
    let coming = info.future_action_times.iter().filter_map(decode_time);
    // What a paused schedule would do next is not what it will do.
    let next_runs: Vec<_> = coming.filter(|_| !live.values.paused).collect();
    let runs = Runs::asked(schedules.client(), &info).await;
    let last = runs.recent.last();
    let entry = ListEntry {
        schedule,
        owner: Some(live.definition.clone()),
        note: live.note.clone(),
        paused: live.values.paused,
        workflow_type: live.values.action.workflow_type.clone(),
        spec: live.values.spec.clone(),
        next: next_runs.clone(),
        last: last.cloned(),
        is_busy: runs.is_busy,
    };
    let Some(mut view) = view(entry, memo, context) else {
        return Ok(None);
    };
    let overdue = overdue_since(schedules, &live, last, runs.is_busy, context.now).await;
    let compared = schedules.zone_difference(&live.schedule, &live.values.spec, context.now);
    let zone_difference = compared.await.unwrap_or_else(|error| {
        tracing::debug!(schedule = %live.schedule, %error, "time zone data cannot be compared");
        None
    });
    let finished = memo.is_some_and(|memo| memo.flags.contains(&Flag::Finished));
    if (finished || live.remaining_actions == Some(0))
        && matches!(view.state, ViewState::Active | ViewState::Paused)
    {
        view.state = ViewState::Finished;
        view.paused_by = None;
    }
    Ok(Some(ScheduleDetail {
        source: memo.map(|memo| memo.source.clone()),
        revision: memo.map(|memo| memo.revision.clone()),
        flags: memo.map(|memo| memo.flags.clone()).unwrap_or_default(),
        remaining_actions: live.remaining_actions,
        action_count: live.action_count,
        missed: Missed::of(&info),
        overdue_since: overdue,
        zone_difference,
        next_runs,
        last_status: last.and_then(|run| run.status.clone()),
        recent_runs: runs.recent,
        values: Field::ALL
            .iter()
            .map(|field| (*field, live.values.value(*field)))
            .collect(),
        view,
    }))
}

fn view(
    entry: ListEntry,
    memo: Option<&ActionMemo>,
    context: ViewContext<'_>,
) -> Option<ScheduleView> {
    let definition = match (&entry.owner, context.desired) {
        (Some(owner), _) => owner.clone(),
        // A foreign schedule is of interest only where it is in our way.
        (None, Some(desired)) => desired
            .iter()
            .find(|id| context.project.schedule_id(id) == entry.schedule)?
            .clone(),
        (None, None) => return None,
    };
    let overridden = match (memo, context.status) {
        // The memo is nearer to the truth than the workflow's memory.
        (Some(memo), _) => memo.overridden.clone(),
        (None, Some(status)) => status.overrides.get(&definition).cloned(),
        (None, None) => None,
    };
    let contested = context
        .status
        .map(|status| contested_fields(&status.corrections, &definition, context.now))
        .unwrap_or_default();
    let state = state(
        &entry,
        &definition,
        overridden.as_ref(),
        &contested,
        context,
    );
    // One that is finished was paused by nobody.
    let paused_by = (entry.paused && state != ViewState::Finished)
        .then(|| PausedBy::of(&entry.note, overridden.as_ref()));
    Some(ScheduleView {
        state,
        cron: cron_of(&entry.spec),
        every: entry
            .spec
            .intervals
            .iter()
            .map(ToString::to_string)
            .collect(),
        timezone: entry.spec.timezone.clone(),
        paused_by,
        note: line_of(&entry.note).to_owned(),
        overridden,
        next_run: if entry.paused {
            None
        } else {
            entry.next.first().copied()
        },
        last_run: entry.last.as_ref().and_then(|run| run.started),
        last_workflow_id: entry.last.map(|run| run.workflow_id),
        workflow_type: entry.workflow_type,
        drift: contested,
        definition,
        schedule_id: entry.schedule,
    })
}

fn state(
    entry: &ListEntry,
    definition: &DefinitionId,
    overridden: Option<&Override>,
    contested: &BTreeSet<Field>,
    context: ViewContext<'_>,
) -> ViewState {
    let held = context
        .status
        .and_then(|status| status.held.as_ref())
        .is_some_and(|held| held.ids.iter().any(|id| id == entry.schedule.as_str()));
    let orphaned = context
        .desired
        .is_some_and(|desired| !desired.contains(definition));
    let is_unreadable = context
        .status
        .is_some_and(|status| status.is_unreadable(&entry.schedule));
    if entry.owner.is_none() {
        ViewState::Conflict
    } else if is_unreadable {
        ViewState::Unreadable
    } else if held {
        ViewState::Held
    } else if orphaned {
        ViewState::Orphaned
    } else if !contested.is_empty() {
        ViewState::Contested
    } else if entry.paused && entry.note.starts_with("Finished: ") {
        ViewState::Finished
    } else if overridden.is_some() {
        ViewState::Overridden
    } else if entry.paused {
        ViewState::Paused
    } else {
        ViewState::Active
    }
}

impl PausedBy {
    /// Who paused a schedule that is paused, by its note: what pauses replaces it.
    pub fn of(note: &str, overridden: Option<&Override>) -> Self {
        // The two schedulers word it differently.
        const BY_THE_SERVER: [&str; 2] = ["paused due to workflow", "paused, workflow"];
        const BY_ALMANAC: [&str; 3] = ["Managed by Almanac", "Paused: ", "Finished: "];

        if BY_THE_SERVER.iter().any(|start| note.starts_with(start)) {
            Self::Failure
        } else if overridden.is_some_and(|one| one.enabled == Some(false)) {
            Self::Override
        } else if line_of(note) != note && BY_ALMANAC.iter().any(|start| note.starts_with(start)) {
            Self::Yaml
        } else {
            Self::Hand
        }
    }
}

fn cron_of(spec: &Spec) -> Vec<String> {
    spec.calendars.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_paused_is_read_from_the_note() {
        let paused = Override {
            enabled: Some(false),
            ..Override::default()
        };
        let by = |note: &str| PausedBy::of(note, None);
        assert_eq!(
            by("Managed by Almanac from a.yaml [almanac v1:abc]"),
            PausedBy::Yaml
        );
        assert_eq!(
            by("paused due to workflow failure: p/a: boom"),
            PausedBy::Failure
        );
        assert_eq!(by("paused, workflow failed: p/a"), PausedBy::Failure);
        assert_eq!(by("(no reason provided)"), PausedBy::Hand);
        assert_eq!(by("lunch [almanac v1:abc]"), PausedBy::Hand);
        assert_eq!(PausedBy::of("incident", Some(&paused)), PausedBy::Override);
    }
}
