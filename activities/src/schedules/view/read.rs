//! Observes schedules on the server and derives their views.

use std::collections::{BTreeMap, BTreeSet};

use almanac_base::names::{DefinitionId, ScheduleId};
use almanac_core::field::Field;
use almanac_core::record::Status;
use almanac_core::write::{Written, write_document};
use temporalio_common::protos::temporal::api::schedule::v1::{ScheduleListEntry, ScheduleListInfo};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeScheduleResponse;

use super::derive::{Description, Observed, view};
use super::{ScheduleDetail, ScheduleView, ViewContext};
use crate::blocking::compute;
use crate::schedules::{
    ListEntry, Missed, Overdue, RequestError, Runs, ScheduleMonitor, Schedules, check_overdue, wire,
};

/// The project's schedules and the unmanaged ones that have their ids, sorted
/// by definition. Describes none of them. `monitor`: the findings of this
/// worker's passes, if this process is a worker.
pub async fn list(
    schedules: &Schedules,
    context: ViewContext<'_>,
    monitor: Option<&ScheduleMonitor>,
) -> Result<Vec<ScheduleView>, RequestError> {
    let listed = schedules.list(context.project).await?;
    Ok(compute(|| {
        let definitions_by_schedule = definitions_by_schedule(context);
        let current = monitor.filter(|monitor| is_current(monitor, context));
        let all: BTreeMap<DefinitionId, ListEntry> = listed
            .into_iter()
            .filter_map(|entry| {
                let owner = entry.owner.as_ref();
                let definition = owner.or_else(|| definitions_by_schedule.get(&entry.schedule))?;
                Some((definition.clone(), entry))
            })
            .collect();
        let views = all.into_iter().map(|(definition, entry)| {
            let current = current.filter(|_| entry.owner.is_some());
            let observed = Observed {
                definition,
                overdue: current.map_or(Overdue::NotChecked, |monitor| {
                    monitor.overdue(&entry.schedule)
                }),
                drift: current.and_then(|monitor| monitor.drift(&entry.schedule)),
                described: None,
                entry,
            };
            view(observed, context)
        });
        views.collect()
    }))
}

/// Returns `true` if this worker did the project's last full pass.
fn is_current(monitor: &ScheduleMonitor, context: ViewContext<'_>) -> bool {
    context.status.is_some_and(|status| {
        let mut reports = status.reports.iter().rev();
        let last = reports.find(|report| report.is_full() && !report.dry_run);
        last.is_some_and(|report| monitor.is_current(report.pass))
    })
}

/// The ids that the definitions' schedules have or would have, by id.
fn definitions_by_schedule(context: ViewContext<'_>) -> BTreeMap<ScheduleId, DefinitionId> {
    let project = context.project;
    if let Some(files) = context.files {
        let all = files.scheduled();
        return all
            .map(|id| (project.schedule_id(id), id.clone()))
            .collect();
    }
    let reported = context.status.and_then(Status::conflicts);
    let reported = reported.unwrap_or_default().iter();
    let prefix = project.schedule_prefix();
    reported
        .filter_map(|schedule| {
            let definition = schedule.strip_prefix(&prefix)?.parse().ok()?;
            Some((ScheduleId::from_server(schedule.clone()), definition))
        })
        .collect()
}

/// Returns `true` if the unmanaged schedule of this definition's id is in the
/// way of the definition's schedule.
fn is_in_the_way(definition: &DefinitionId, context: ViewContext<'_>) -> bool {
    match (context.files, context.status.and_then(Status::conflicts)) {
        (Some(files), _) => files.asks_for(definition),
        (None, Some(conflicts)) => {
            let schedule = context.project.schedule_id(definition);
            conflicts.iter().any(|id| id == schedule.as_str())
        }
        (None, None) => false,
    }
}

/// The schedule of a definition, described. `None` if it does not exist, or if
/// it is unmanaged and in no definition's way. `monitor`: the findings of this
/// worker's passes, if this process is a worker.
pub async fn describe(
    schedules: &Schedules,
    definition: &DefinitionId,
    context: ViewContext<'_>,
    monitor: Option<&ScheduleMonitor>,
) -> Result<Option<ScheduleDetail>, RequestError> {
    let schedule = context.project.schedule_id(definition);
    let response = match schedules.describe(&schedule).await {
        Ok(response) => response,
        Err(RequestError::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut entry = ListEntry::of(context.project, as_listed(&schedule, &response));
    if entry.owner.is_none() && !is_in_the_way(definition, context) {
        return Ok(None);
    }
    let info = response.info.clone().unwrap_or_default();
    let runs = Runs::asked(schedules.client(), &info).await;
    entry.is_busy = runs.is_busy;
    entry.last = runs.recent.last().cloned();
    let live = wire::live(context.project, &schedule, response).map(|described| described.live);
    let Some(live) = live else {
        let observed = Observed {
            definition: definition.clone(),
            entry,
            described: None,
            overdue: Overdue::NotChecked,
            drift: None,
        };
        return Ok(Some(ScheduleDetail {
            view: view(observed, context),
            revision: None,
            flags: BTreeSet::new(),
            action_count: info.action_count.try_into().unwrap_or_default(),
            recent_runs: runs.recent,
            zone_difference: None,
            document: None,
            values: BTreeMap::new(),
        }));
    };
    let last = entry.last.as_ref();
    let mut overdue = check_overdue(schedules, &live, last, runs.is_busy, context.now).await;
    if let (Overdue::NotChecked, Some(monitor)) = (overdue, monitor)
        && is_current(monitor, context)
    {
        overdue = monitor.overdue(&schedule);
    }
    let compared = schedules.zone_difference(&schedule, &live.values.spec, context.now);
    let zone_difference = compared.await.unwrap_or_else(|error| {
        tracing::debug!(%schedule, %error, "cannot compare time zone data");
        None
    });
    let memo = live.readable_memo();
    Ok(Some(ScheduleDetail {
        revision: memo.map(|memo| memo.revision.clone()),
        flags: memo.map(|memo| memo.flags.clone()).unwrap_or_default(),
        action_count: live.action_count,
        recent_runs: runs.recent,
        zone_difference,
        document: Some(write_document(&Written {
            id: definition,
            adopts: None,
            values: &live.values,
            comments: &[],
        })),
        values: Field::ALL
            .iter()
            .map(|field| (*field, live.values.value(*field)))
            .collect(),
        view: compute(|| {
            let observed = Observed {
                definition: definition.clone(),
                entry,
                overdue,
                drift: None,
                described: Some(Description {
                    live,
                    missed: Missed::of(&info),
                }),
            };
            view(observed, context)
        }),
    }))
}

/// A described schedule in the form of a list entry.
fn as_listed(id: &ScheduleId, response: &DescribeScheduleResponse) -> ScheduleListEntry {
    let body = response.schedule.clone().unwrap_or_default();
    let state = body.state.unwrap_or_default();
    let info = response.info.clone().unwrap_or_default();
    ScheduleListEntry {
        schedule_id: id.to_string(),
        memo: response.memo.clone(),
        info: Some(ScheduleListInfo {
            workflow_type: wire::started(body.action.as_ref()).workflow_type,
            spec: body.spec,
            notes: state.notes,
            paused: state.paused,
            recent_actions: info.recent_actions,
            future_action_times: info.future_action_times,
            ..ScheduleListInfo::default()
        }),
        ..ScheduleListEntry::default()
    }
}
