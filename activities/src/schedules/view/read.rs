//! Observes schedules on the server and derives their views.

use std::collections::{BTreeMap, BTreeSet};

use almanac_base::names::{DefinitionId, ScheduleId};
use almanac_core::field::Field;
use almanac_core::record::Status;
use temporalio_common::protos::temporal::api::schedule::v1::{ScheduleListEntry, ScheduleListInfo};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeScheduleResponse;

use super::derive::{Description, Observed, Overdue, view};
use super::{ScheduleDetail, ScheduleView, ViewContext};
use crate::blocking::compute;
use crate::schedules::{
    ListEntry, Missed, RequestError, Runs, ScheduleMonitor, Schedules, overdue_since, wire,
};

/// The project's schedules and those in their way, sorted by definition.
/// Describes none of them. `monitor`: what this process has noticed, where it does
/// passes.
pub async fn list(
    schedules: &Schedules,
    context: ViewContext<'_>,
    monitor: Option<&ScheduleMonitor>,
) -> Result<Vec<ScheduleView>, RequestError> {
    let listed = schedules.list(context.project).await?;
    Ok(compute(|| {
        let in_the_way = in_the_way(context);
        let all: BTreeMap<DefinitionId, ListEntry> = listed
            .into_iter()
            .filter_map(|entry| {
                let owner = entry.owner.as_ref();
                let definition = owner.or_else(|| in_the_way.get(&entry.schedule))?;
                Some((definition.clone(), entry))
            })
            .collect();
        let views = all.into_iter().map(|(definition, entry)| {
            let observed = Observed {
                definition,
                overdue: monitor.map_or(Overdue::NotChecked, |monitor| {
                    monitor.overdue(&entry.schedule).into()
                }),
                drift: monitor.map(|monitor| monitor.drift(&entry.schedule)),
                described: None,
                entry,
            };
            view(observed, context)
        });
        views.collect()
    }))
}

/// Where the schedules of definitions stand, or would.
fn in_the_way(context: ViewContext<'_>) -> BTreeMap<ScheduleId, DefinitionId> {
    if let Some(files) = context.files {
        let desired = files.desired.values();
        return desired
            .map(|one| (one.schedule.clone(), one.definition.clone()))
            .collect();
    }
    let reported = context.status.map(Status::conflicts);
    let prefix = context.project.schedule_prefix();
    reported
        .unwrap_or_default()
        .iter()
        .filter_map(|schedule| {
            let definition = schedule.strip_prefix(&prefix)?.parse().ok()?;
            Some((ScheduleId::from_server(schedule.clone()), definition))
        })
        .collect()
}

/// The schedule of a definition, described; `None` where there is none, or where
/// an unmanaged one is in no definition's way.
pub async fn describe(
    schedules: &Schedules,
    definition: &DefinitionId,
    context: ViewContext<'_>,
) -> Result<Option<ScheduleDetail>, RequestError> {
    let schedule = context.project.schedule_id(definition);
    let response = match schedules.describe(&schedule).await {
        Ok(response) => response,
        Err(RequestError::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut entry = ListEntry::of(context.project, as_listed(&schedule, &response));
    if entry.owner.is_none() && !in_the_way(context).contains_key(&schedule) {
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
            values: BTreeMap::new(),
        }));
    };
    let last = entry.last.as_ref();
    let overdue = overdue_since(schedules, &live, last, runs.is_busy, context.now).await;
    let compared = schedules.zone_difference(&schedule, &live.values.spec, context.now);
    let zone_difference = compared.await.unwrap_or_else(|error| {
        tracing::debug!(%schedule, %error, "time zone data cannot be compared");
        None
    });
    let memo = live.readable_memo();
    Ok(Some(ScheduleDetail {
        revision: memo.map(|memo| memo.revision.clone()),
        flags: memo.map(|memo| memo.flags.clone()).unwrap_or_default(),
        action_count: live.action_count,
        recent_runs: runs.recent,
        zone_difference,
        values: Field::ALL
            .iter()
            .map(|field| (*field, live.values.value(*field)))
            .collect(),
        view: compute(|| {
            let observed = Observed {
                definition: definition.clone(),
                entry,
                overdue: overdue.into(),
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

/// A described schedule as a list would show it.
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
