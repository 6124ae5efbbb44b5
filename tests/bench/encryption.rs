//! What encryption costs: a worker with a key beside one without, on the same server.

use std::path::Path;
use std::time::{Duration, Instant};

use almanac_tests::{OwnServer, Project, Scheduler, Worker};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::table::{Limit, Table};
use crate::{
    CONCURRENCY, READY_LIMIT, ROUNDS, THOUSAND, YEARLY, medians_of, raw, write_definitions,
};

/// Number of measurements of a worker that creates everything; the median counts.
const COLD_ROUNDS: usize = 3;
/// Maximum number of passes until one changes nothing.
const SETTLING_PASSES: usize = 5;

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    for scheduler in [Scheduler::V1, Scheduler::Chasm] {
        let server = OwnServer::start(scheduler)?;
        let keys = tempfile::NamedTempFile::new()?;
        std::fs::write(keys.path(), format!("a {}\n", STANDARD.encode([7; 32])))?;

        let (plain, encrypted) = medians_of(
            COLD_ROUNDS,
            async || created(&server, None).await,
            async || created(&server, Some(keys.path())).await,
        )
        .await?;
        let limit = Limit::AtMost(1.2);
        table.ratio(
            scheduler,
            "1000 cold, encrypted",
            "plain",
            plain,
            encrypted,
            limit,
        );

        let (plain, _plain_project, _) = cold(&server, None).await?;
        let (encrypted, _encrypted_project, _) = cold(&server, Some(keys.path())).await?;
        for worker in [&plain, &encrypted] {
            settled(worker).await?;
        }
        let (plain, encrypted) = medians_of(
            ROUNDS,
            async || pass(&plain).await,
            async || pass(&encrypted).await,
        )
        .await?;
        let limit = Limit::AtMost(1.1);
        table.ratio(
            scheduler,
            "1000 in sync, encrypted",
            "plain",
            plain,
            encrypted,
            limit,
        );
    }
    Ok(())
}

/// The time in which a worker creates 1000 schedules. They are deleted after that, so that each
/// measurement finds the server the same.
async fn created(server: &OwnServer, keys: Option<&Path>) -> anyhow::Result<Duration> {
    let (worker, project, took) = cold(server, keys).await?;
    drop(worker);
    raw::delete(&project, project.schedule("").trim_end_matches('-')).await?;
    Ok(took)
}

/// A worker that has created 1000 schedules, and the time that it took.
async fn cold(
    server: &OwnServer,
    keys: Option<&Path>,
) -> anyhow::Result<(Worker, Project, Duration)> {
    let project = Project::at(&server.address()).await?;
    write_definitions(&project, THOUSAND, YEARLY)?;
    let mut worker = project
        .worker()
        .flag("--reconcile-concurrency", &CONCURRENCY.to_string())
        .flag("--reconcile-interval", "1h")
        .flag("--rescan-interval", "1h");
    if let Some(keys) = keys {
        worker = worker.flag("--codec-key-file", &keys.display().to_string());
    }
    let started = Instant::now();
    let mut worker = worker.spawn()?;
    worker.ready_within(READY_LIMIT).await?;
    Ok((worker, project, started.elapsed()))
}

/// Waits for a pass that changes nothing.
async fn settled(worker: &Worker) -> anyhow::Result<()> {
    for _ in 0..SETTLING_PASSES {
        let report = worker.sync_with("definitions=false").await?;
        if report.changes.is_empty() {
            return Ok(());
        }
    }
    anyhow::bail!("{SETTLING_PASSES} passes changed schedules")
}

/// Duration of a pass over schedules in sync.
async fn pass(worker: &Worker) -> anyhow::Result<Duration> {
    let report = worker.sync_with("definitions=false").await?;
    anyhow::ensure!(report.changes.is_empty(), "{report:?}");
    Ok(Duration::from_millis(report.duration_ms))
}
