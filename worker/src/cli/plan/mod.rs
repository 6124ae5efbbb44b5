//! `almanac plan`: prints the changes that a pass over these files would make. Writes nothing.
//!
//! The files are read by this command, so that a change can be checked before any worker has
//! it. The overrides and requests come from the reconcile workflow, if it runs.

mod fire_time_lines;
mod text;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::definitions::DefinitionSource;
use almanac_activities::reconcile::Reconciler as Passes;
use almanac_activities::schedules::ScheduleMonitor;
use almanac_base::names::{DefinitionId, ScheduleId};
use almanac_core::plan::Plan;
use almanac_core::record::PassInput;
use almanac_times::ZoneDifference;
use anyhow::Context as _;
use serde::Serialize;

use super::Remote;
use crate::args::PlanArgs;
use crate::console;
use crate::fire_times::{self, TimesChange};
use crate::wording::invalid_documents;
use text::text;
pub(super) use text::{confirm, held_page};

/// Number of schedules that are described at a time.
const CONCURRENCY: usize = 10;
/// The exit code of `--detailed-exitcode` when a pass would write.
const WOULD_WRITE: u8 = 2;

#[derive(Debug, Serialize)]
struct Outcome {
    plan: Plan,
    times: BTreeMap<DefinitionId, TimesChange>,
    /// Number of documents that fail; their schedules stay as they are.
    invalid: usize,
    /// Time zones for which the server's data differ from Almanac's.
    zone_differences: Vec<ZoneDifference>,
}

pub(super) async fn run(args: PlanArgs) -> anyhow::Result<ExitCode> {
    let remote = Remote::of(&args.target).await?;
    let registry = super::load(&args.dir, &remote.codec).await?;
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
    let times = fire_times::times(&remote.schedules, &args.target.project, &plan).await;
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

#[cfg(test)]
mod tests;
