//! `almanac plan`: prints the changes that a pass over these files would make. Writes nothing.
//!
//! The files are read by this command, so that a change can be checked before any worker has
//! it. The overrides and requests come from the reconcile workflow, if it runs.

mod fire_times;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::definitions::DefinitionSource;
use almanac_activities::reconcile::Reconciler as Passes;
use almanac_activities::schedules::{RequestError, ScheduleMonitor, next_times_of, wire};
use almanac_base::names::{DefinitionId, Project, ScheduleId};
use almanac_core::field::Field;
use almanac_core::plan::Plan;
use almanac_core::record::PassInput;
use almanac_core::schedule::Live;
use almanac_times::{Spec, ZoneDifference};
use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use super::Remote;
use super::wording::invalid_documents;
use crate::args::PlanArgs;
use crate::console;
use fire_times::{TIMES_COMPUTED, Times};
use text::text;
pub(super) use text::{confirm, held_page};

/// Maximum number of schedules whose fire times are shown.
const SCHEDULES_SHOWN: usize = 100;
/// Number of schedules that are described at a time.
const CONCURRENCY: usize = 10;
/// The exit code of `--detailed-exitcode` when a pass would write.
const WOULD_WRITE: u8 = 2;

#[derive(Debug, Serialize)]
struct Outcome {
    plan: Plan,
    times: BTreeMap<DefinitionId, Times>,
    /// Number of documents that fail; their schedules stay as they are.
    invalid: usize,
    /// Time zones for which the server's data differ from Almanac's.
    zone_differences: Vec<ZoneDifference>,
}

pub(super) async fn run(args: PlanArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let registry = super::load(&args.dir).await?;
    let snapshot = registry.snapshot();
    let source: Arc<dyn DefinitionSource> = Arc::clone(&registry) as _;
    let passes = Passes::new(
        remote.schedules.clone(),
        args.target.project.clone(),
        source,
        CONCURRENCY,
        |_| {},
    );
    let monitor = Arc::new(ScheduleMonitor::default());
    let passes = passes.monitoring_with(Arc::clone(&monitor));
    let status = remote.status_if_any().await.unwrap_or_default();
    let suspects = status.unreadable().iter().cloned();
    passes.mark_unreadable(suspects.map(ScheduleId::from_server));
    let input = PassInput {
        drift: args.drift.into(),
        orphans: args.orphans.into(),
        resync_interval: Duration::from_hours(1),
        ..PassInput::dry_run(&status, snapshot.revision.clone())
    };
    let (plan, _) = passes.plan(&input).await.context("observe the schedules")?;
    let times = times(&remote, &args.target.project, &plan).await;
    let would_write = !plan.is_empty();
    let is_certain = plan.problems.is_empty();
    let outcome = Outcome {
        plan,
        times,
        invalid: snapshot.failed.len(),
        zone_differences: monitor.zone_differences(),
    };
    super::print(args.target.format, &outcome, |outcome| {
        text(outcome, &args.target.project)
    })?;
    if outcome.invalid > 0 {
        let invalid = invalid_documents(outcome.invalid as u64);
        console::eprint(&format!("{invalid}; see `almanac validate`"));
    }
    Ok(match (args.detailed_exitcode, would_write, is_certain) {
        (true, true, _) => ExitCode::from(WOULD_WRITE),
        // Without all answers, this command cannot prove that a pass would write nothing.
        (true, false, false) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

/// The fire times before and after, for the schedules that the plan changes.
async fn times(remote: &Remote, project: &Project, plan: &Plan) -> BTreeMap<DefinitionId, Times> {
    let now = Timestamp::now();
    let mut all = BTreeMap::new();
    for create in plan.creates.iter().take(SCHEDULES_SHOWN) {
        let after = fires(&create.values.spec, create.values.paused, now);
        let timezone = create.values.spec.timezone.clone();
        let times = Times {
            timezone,
            after,
            ..Times::default()
        };
        all.insert(create.definition.clone(), times);
    }
    let changed = plan
        .updates
        .iter()
        .filter(|update| update.fields.keys().any(|field| moves_times(*field)));
    for update in changed.take(SCHEDULES_SHOWN) {
        // A schedule that cannot be described now is in the plan without its times.
        let Ok(Some((live, before))) = coming(remote, project, &update.schedule).await else {
            continue;
        };
        let values = &update.values;
        let mut times = Times {
            timezone: values.spec.timezone.clone(),
            before,
            kept: BTreeSet::new(),
            after: if values.spec == live.values.spec && !values.paused {
                served(remote, &live, now).await.unwrap_or_default()
            } else {
                fires(&values.spec, values.paused, now)
            },
        };
        if !values.paused && !live.values.paused {
            times.find_kept([&live.values.spec, &values.spec]);
        }
        all.insert(update.definition.clone(), times);
    }
    for delete in plan.deletes.iter().take(SCHEDULES_SHOWN) {
        if let Ok(Some((live, before))) = coming(remote, project, &delete.schedule).await {
            let times = Times {
                timezone: live.values.spec.timezone,
                before,
                ..Times::default()
            };
            all.insert(delete.definition.clone(), times);
        }
    }
    all
}

/// Returns `true` if a change of this field changes a schedule's fire times.
fn moves_times(field: Field) -> bool {
    matches!(
        field,
        Field::Times
            | Field::Intervals
            | Field::Exclude
            | Field::Timezone
            | Field::StartAt
            | Field::EndAt
            | Field::Paused
    )
}

/// A live schedule, and its next fire times from the server, as `almanac list` shows them. A
/// paused schedule has none.
async fn coming(
    remote: &Remote,
    project: &Project,
    schedule: &ScheduleId,
) -> anyhow::Result<Option<(Live, Vec<Timestamp>)>> {
    let response = match remote.schedules.describe(schedule).await {
        Ok(response) => response,
        Err(RequestError::NotFound) => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("describe `{schedule}`")),
    };
    let info = response.info.clone().unwrap_or_default();
    let Some(found) = wire::live(project, schedule, response) else {
        return Ok(None);
    };
    let mut times = next_times_of(&info);
    times.truncate(if found.live.values.paused {
        0
    } else {
        TIMES_COMPUTED
    });
    Ok(Some((found.live, times)))
}

/// The server's next times of a schedule whose times do not change.
async fn served(remote: &Remote, live: &Live, now: Timestamp) -> anyhow::Result<Vec<Timestamp>> {
    let spec = &live.values.spec;
    let asked = remote
        .schedules
        .next_times(&live.schedule, spec, now, TIMES_COMPUTED);
    match asked.await {
        Ok(found) => Ok(found.times),
        Err(RequestError::Refused(_)) => Ok(fires(spec, false, now)),
        Err(error) => {
            Err(error).with_context(|| format!("ask for the times of `{}`", live.schedule))
        }
    }
}

fn fires(spec: &Spec, paused: bool, now: Timestamp) -> Vec<Timestamp> {
    if paused {
        Vec::new()
    } else {
        spec.times_after(now, TIMES_COMPUTED).times
    }
}

#[cfg(test)]
mod tests;
