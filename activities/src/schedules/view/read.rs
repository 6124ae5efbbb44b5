//! Observes schedules on the server and derives their views.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use almanac_base::names::{DefinitionId, ScheduleId};
use almanac_core::field::Field;
use almanac_core::plan::{FieldState, Policy, field_states};
use almanac_core::record::Status;
use almanac_core::schedule::Live;
use almanac_core::write::{Written, write_document};
use almanac_times::Spec;
use futures::future::{Either, join_all, select};
use futures::{StreamExt, stream};
use temporalio_common::protos::temporal::api::schedule::v1::{ScheduleListEntry, ScheduleListInfo};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeScheduleResponse;
use tokio::time::sleep;

use super::derive::{Description, Observed, times, view};
use super::{ListedSchedule, ScheduleDetail, ScheduleView, ViewContext};
use crate::blocking::compute;
use crate::schedules::actions::{RUNNING, run_status};
use crate::schedules::{
    ListEntry, Missed, Overdue, RequestError, Runs, ScheduleMonitor, Schedules, check_overdue, wire,
};

/// Maximum number of runs in a list that are asked for their status.
const ASKED_LIMIT: usize = 100;
/// Maximum time for which a list waits for the runs that are asked.
const ASKED_WITHIN: Duration = Duration::from_secs(3);
/// Maximum number of schedules that a list describes because it lacks them.
const UNLISTED_LIMIT: usize = 20;
/// Maximum number of runs that are asked at a time.
const CONCURRENCY: usize = 20;

/// The project's schedules and the unmanaged ones that have their ids, sorted
/// by definition. Describes none of them. `monitor`: the findings of this
/// worker's passes, if this process is a worker.
pub async fn list(
    schedules: &Schedules,
    context: ViewContext<'_>,
    monitor: Option<&ScheduleMonitor>,
) -> Result<Vec<ScheduleView>, RequestError> {
    list_as(schedules, context, monitor, |observed| {
        view(observed, context)
    })
    .await
}

/// The schedules that [`list`] gives, each with its times. Those with equal specs share one. What
/// has not changed since `previous`, the list before, shares its memory with that list. A managed
/// schedule that only the list before has is described: the server's list lacks a schedule for a
/// moment while the server moves it to its other scheduler. The first list of a process describes
/// what only a pass of this worker has seen.
pub async fn list_with_times(
    schedules: &Schedules,
    context: ViewContext<'_>,
    monitor: Option<&ScheduleMonitor>,
    previous: &[Arc<ListedSchedule>],
) -> Result<Vec<Arc<ListedSchedule>>, RequestError> {
    let mut specs = SharedSpecs::default();
    let mut all = list_as(schedules, context, monitor, |observed| {
        let before = previous.binary_search_by(|one| one.definition.cmp(&observed.definition));
        let mut times = times(&observed, context);
        specs.share(&mut times.spec);
        if let Some(spec) = times.after.as_mut().and_then(|after| after.spec.as_mut()) {
            specs.share(spec);
        }
        let listed = ListedSchedule {
            view: view(observed, context),
            times,
        };
        match before.map(|at| &previous[at]) {
            Ok(before) if **before == listed => Arc::clone(before),
            _ => Arc::new(listed),
        }
    })
    .await?;
    let seen_by_passes = context.files.zip(monitor).into_iter();
    let seen_by_passes = seen_by_passes.flat_map(|(files, monitor)| {
        let seen = |id: &&DefinitionId| monitor.knows(&context.project.schedule_id(id));
        files.scheduled().filter(seen)
    });
    let unlisted = unlisted(previous, &all, seen_by_passes).into_iter();
    let sought = unlisted.map(|(id, before)| find_again(schedules, id, before, context));
    let found = join_all(sought).await;
    all.extend(found.into_iter().flatten());
    all.sort_by(|a, b| a.definition.cmp(&b.definition));
    Ok(all)
}

/// The first definitions whose managed schedules the list `present` lacks, each with its entry in
/// `previous`, the list before. If that is empty, as it is for the first list of a process, the
/// schedules that passes have seen are expected. Both lists are sorted by definition.
fn unlisted<'a>(
    previous: &'a [Arc<ListedSchedule>],
    present: &[Arc<ListedSchedule>],
    seen_by_passes: impl Iterator<Item = &'a DefinitionId>,
) -> Vec<(&'a DefinitionId, Option<&'a Arc<ListedSchedule>>)> {
    let is_first = previous.is_empty();
    let managed = previous.iter().filter(|one| one.times.is_managed);
    let before = managed.map(|before| (&before.definition, Some(before)));
    let seen = seen_by_passes.take_while(|_| is_first).map(|id| (id, None));
    let expected = before.chain(seen);
    let unlisted = expected.filter(|(id, _)| {
        let place = present.binary_search_by(|one| one.definition.cmp(id));
        place.is_err()
    });
    unlisted.take(UNLISTED_LIMIT).collect()
}

/// A managed schedule that the list lacks. `before`: its entry in the list before. `None` if it does
/// not exist or is not managed any more. It stays as it was before if the server does not say that.
async fn find_again(
    schedules: &Schedules,
    id: &DefinitionId,
    before: Option<&Arc<ListedSchedule>>,
    context: ViewContext<'_>,
) -> Option<Arc<ListedSchedule>> {
    let schedule = context.project.schedule_id(id);
    match schedules.describe(&schedule).await {
        Ok(response) => {
            let found = with_times(id, &schedule, &response, context);
            found.times.is_managed.then(|| Arc::new(found))
        }
        Err(RequestError::NotFound | RequestError::Denied(_)) => None,
        Err(_) => before.cloned(),
    }
}

/// Specs that occurred, each once.
#[derive(Default)]
struct SharedSpecs(HashSet<Arc<Spec>>);

impl SharedSpecs {
    /// Replaces a spec by an equal one that occurred before.
    fn share(&mut self, spec: &mut Arc<Spec>) {
        match self.0.get(&**spec) {
            Some(known) => *spec = Arc::clone(known),
            None => {
                self.0.insert(Arc::clone(spec));
            }
        }
    }
}

async fn list_as<T>(
    schedules: &Schedules,
    context: ViewContext<'_>,
    monitor: Option<&ScheduleMonitor>,
    mut show: impl FnMut(Observed) -> T,
) -> Result<Vec<T>, RequestError> {
    let definitions_by_schedule = definitions_by_schedule(context);
    let mut all = BTreeMap::new();
    let read = |entry: ListEntry| {
        let owner = entry.owner.as_ref();
        let Some(definition) = owner.or_else(|| definitions_by_schedule.get(&entry.schedule))
        else {
            return;
        };
        // While the server moves a schedule from one scheduler to the other, a list may have both:
        // the new one, which holds the schedule now, comes first.
        let Entry::Vacant(place) = all.entry(definition.clone()) else {
            return;
        };
        let current =
            monitor.filter(|monitor| entry.owner.is_some() && is_current(monitor, context));
        let observed = Observed {
            definition: place.key().clone(),
            overdue: current.map_or(Overdue::NotChecked, |monitor| {
                monitor.overdue(&entry.schedule)
            }),
            drift: current.and_then(|monitor| monitor.drift(&entry.schedule)),
            described: None,
            entry,
        };
        place.insert(show(observed));
    };
    schedules.list_as(context.project, read).await?;
    Ok(all.into_values().collect())
}

/// Asks the last runs of the first schedules for their status, where the list
/// says that the run has not ended: a schedule does not notice the end of a run
/// until it does something else. A run that does not answer in time keeps the
/// status that the schedule knows.
pub async fn ask_running(
    schedules: &Schedules,
    views: impl IntoIterator<Item = &mut ScheduleView>,
) {
    let client = schedules.client();
    let ask = |id: String| {
        let client = client.clone();
        async move { Some(run_status(&client, &id).await?.0) }
    };
    ask_each(views, ask).await;
}

async fn ask_each<F: Future<Output = Option<String>>>(
    views: impl IntoIterator<Item = &mut ScheduleView>,
    ask: impl Fn(String) -> F,
) {
    let runs = views.into_iter().filter_map(|view| view.last_run.as_mut());
    let running = runs.filter(|run| run.status.as_deref() == Some(RUNNING));
    let mut running: Vec<_> = running.take(ASKED_LIMIT).collect();
    let ids: Vec<_> = running.iter().map(|run| run.workflow_id.clone()).collect();
    let asked = ids.into_iter().enumerate().map(|(place, id)| {
        let asked = ask(id);
        async move { (place, asked.await) }
    });
    let mut answers = stream::iter(asked).buffer_unordered(CONCURRENCY);
    let mut deadline = pin!(sleep(ASKED_WITHIN));
    while let Either::Left((Some((place, status)), _)) =
        select(answers.next(), deadline.as_mut()).await
    {
        if status.is_some() {
            running[place].status = status;
        }
    }
}

/// Returns `true` if this worker did the project's last full pass.
fn is_current(monitor: &ScheduleMonitor, context: ViewContext<'_>) -> bool {
    context.status.is_some_and(|status| {
        let last = status.last_applied_report();
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
            fields: Vec::new(),
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
        fields: fields(definition, &live, context),
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

/// The schedule of a definition with its times, as a list shows it. `None` if there is none.
pub async fn listed(
    schedules: &Schedules,
    definition: &DefinitionId,
    context: ViewContext<'_>,
) -> Result<Option<ListedSchedule>, RequestError> {
    let schedule = context.project.schedule_id(definition);
    match schedules.describe(&schedule).await {
        Ok(response) => Ok(Some(with_times(definition, &schedule, &response, context))),
        Err(RequestError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A described schedule with its times, as a list shows it.
fn with_times(
    definition: &DefinitionId,
    schedule: &ScheduleId,
    response: &DescribeScheduleResponse,
    context: ViewContext<'_>,
) -> ListedSchedule {
    let observed = Observed {
        definition: definition.clone(),
        entry: ListEntry::of(context.project, as_listed(schedule, response)),
        described: None,
        overdue: Overdue::NotChecked,
        drift: None,
    };
    compute(|| ListedSchedule {
        times: times(&observed, context),
        view: view(observed, context),
    })
}

/// The fields of a managed schedule beside its definition. Empty if the files or the reconcile
/// workflow's state are not known.
fn fields(definition: &DefinitionId, live: &Live, context: ViewContext<'_>) -> Vec<FieldState> {
    let desired = context.files.and_then(|files| files.desired(definition));
    let (Some(desired), Some(status)) = (desired, context.status) else {
        return Vec::new();
    };
    let policy = Policy::of_status(context.project, status, context.now);
    field_states(&desired, live, &policy).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::ready;

    use almanac_base::names::Project;
    use jiff::Timestamp;

    use super::super::{LastRun, ListedTimes};
    use super::*;

    fn context(project: &Project) -> ViewContext<'_> {
        ViewContext {
            project,
            status: None,
            files: None,
            now: Timestamp::UNIX_EPOCH,
        }
    }

    fn observed(project: &Project, definition: &str) -> Observed {
        Observed {
            definition: definition.parse().unwrap(),
            overdue: Overdue::NotChecked,
            drift: None,
            described: None,
            entry: ListEntry::of(project, ScheduleListEntry::default()),
        }
    }

    #[test]
    fn managed_schedules_that_a_list_lacks_are_looked_for() {
        let project: Project = "p".parse().unwrap();
        let list = |definition: &str, is_managed| {
            let observed = observed(&project, definition);
            let times = ListedTimes {
                is_managed,
                ..times(&observed, context(&project))
            };
            let view = view(observed, context(&project));
            Arc::new(ListedSchedule { view, times })
        };
        let names: Vec<_> = (0..UNLISTED_LIMIT + 5)
            .map(|n| format!("job-{n:02}"))
            .collect();
        let mut previous: Vec<_> = names.iter().map(|name| list(name, true)).collect();
        previous.insert(0, list("another", false));
        let present = [list("job-00", true)];
        let ids = |found: Vec<(&DefinitionId, Option<&Arc<ListedSchedule>>)>| -> Vec<String> {
            found.into_iter().map(|(id, _)| id.to_string()).collect()
        };
        let seen: DefinitionId = "seen".parse().unwrap();
        let seen = || [&seen].into_iter();
        let found = ids(unlisted(&previous, &present, seen()));
        assert_eq!(found, names[1..=UNLISTED_LIMIT]);
        assert_eq!(ids(unlisted(&previous, &previous, seen())), [""; 0]);
        // The first list of a process.
        assert_eq!(ids(unlisted(&[], &present, seen())), ["seen"]);
    }

    /// A listed schedule whose last run has this status.
    fn listed(status: &str) -> ScheduleView {
        let project: Project = "p".parse().unwrap();
        let observed = observed(&project, "job");
        ScheduleView {
            last_run: Some(Box::new(LastRun {
                at: Timestamp::UNIX_EPOCH,
                workflow_id: "p/job".to_owned(),
                run_id: String::new(),
                status: Some(status.to_owned()),
            })),
            ..view(observed, context(&project))
        }
    }

    #[tokio::test]
    async fn the_first_runs_that_seem_to_go_on_are_asked_for_their_status() {
        let status = |view: &ScheduleView| view.last_run.clone().unwrap().status.unwrap();
        let mut views = vec![listed("failed")];
        views.resize(ASKED_LIMIT + 2, listed(RUNNING));
        let asked = Cell::new(0);
        let ask = |_| {
            asked.set(asked.get() + 1);
            ready(Some("completed".to_owned()))
        };
        ask_each(&mut views, ask).await;
        assert_eq!(asked.get(), ASKED_LIMIT);
        assert_eq!(status(&views[0]), "failed");
        assert_eq!(status(&views[ASKED_LIMIT]), "completed");
        assert_eq!(status(&views[ASKED_LIMIT + 1]), RUNNING);
        // A run that does not answer keeps the status that the schedule knows.
        let mut views = vec![listed(RUNNING)];
        ask_each(&mut views, |_| ready(None)).await;
        assert_eq!(status(&views[0]), RUNNING);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_does_not_wait_for_runs_that_do_not_answer() {
        let mut views = vec![listed(RUNNING); 2 * CONCURRENCY];
        views[0].last_run.as_mut().unwrap().workflow_id = "p/answers".to_owned();
        let began = tokio::time::Instant::now();
        let ask = |id: String| async move {
            match id.as_str() {
                "p/answers" => Some("completed".to_owned()),
                _ => std::future::pending().await,
            }
        };
        ask_each(&mut views, ask).await;
        assert_eq!(began.elapsed(), ASKED_WITHIN);
        let shown = views[0].last_run.as_ref().unwrap().status.as_deref();
        assert_eq!(shown, Some("completed"));
    }
}
