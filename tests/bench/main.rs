//! `make bench`: what Almanac costs beside raw requests to the same server in
//! the same run, on both schedulers.
//!
//! Prints a table of ratios and fails when one is over its limit. The limits
//! are the project's promises; absolute times are those of the machine.
//! Arguments choose parts (`memory`, `v1`, `chasm`); none means all.

mod memory;
mod raw;
mod table;

use std::time::{Duration, Instant};

use almanac_tests::{OwnServer, Project, Scheduler, Worker};
use anyhow::Context;

use table::{Limit, Table};

/// The size most promises are about.
const THOUSAND: usize = 1000;
/// The size the rest are about.
const MANY: usize = 10_000;
/// What both sides do at a time.
const CONCURRENCY: usize = 10;
/// How often short things are measured; the median counts.
const ROUNDS: usize = 7;
/// What the harness's workers wait for after a save, taken off the time of an edit.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// Time between two looks for an edit.
const LOOK: Duration = Duration::from_millis(5);

fn main() -> anyhow::Result<()> {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    let mut table = Table::default();
    let is_chosen = |part: &str| chosen.is_empty() || chosen.iter().any(|one| one == part);
    if is_chosen("memory") {
        runtime.block_on(memory::measure(&mut table))?;
    }
    for scheduler in [Scheduler::V1, Scheduler::Chasm] {
        if is_chosen(&scheduler.to_string()) {
            runtime
                .block_on(measure(scheduler, &mut table))
                .with_context(|| format!("on {scheduler}"))?;
        }
    }
    println!("{table}");
    anyhow::ensure!(table.holds(), "a ratio is over its limit");
    Ok(())
}

async fn measure(scheduler: Scheduler, table: &mut Table) -> anyhow::Result<()> {
    let server = OwnServer::start(scheduler)?;
    let project = Project::at(&server.address()).await?;
    let template = raw::template(&server.address()).await?;
    let mut scene = Scene {
        scheduler,
        table,
        project,
    };

    let before = raw::create(&scene.project, &template, "raw1", THOUSAND).await?;
    let (worker, cold) = scene.cold(THOUSAND).await?;
    let after = raw::create(&scene.project, &template, "raw2", THOUSAND).await?;
    let creates = (before + after) / 2;
    scene.row("1000 cold", "creates", creates, cold, Limit::AtMost(1.2));
    // What follows is about 1000 schedules: no others stand beside them.
    for prefix in ["raw1", "raw2"] {
        raw::delete(&scene.project, prefix).await?;
    }

    scene.in_sync(&worker).await?;
    scene
        .one_edit(&worker, THOUSAND, "one edit among 1000")
        .await?;
    drop(worker);

    let (worker, _) = scene.cold(MANY).await?;
    scene
        .one_edit(&worker, MANY, "one edit among 10,000")
        .await?;
    Ok(())
}

/// One scheduler's server, and what stands on it.
struct Scene<'a> {
    scheduler: Scheduler,
    table: &'a mut Table,
    project: Project,
}

impl Scene<'_> {
    /// A worker that finds `count` definitions: how long from its start until it is ready.
    async fn cold(&self, count: usize) -> anyhow::Result<(Worker, Duration)> {
        write_definitions(&self.project, count)?;
        let started = Instant::now();
        let mut worker = self
            .project
            .worker()
            .flag("--reconcile-concurrency", &CONCURRENCY.to_string())
            .flag("--reconcile-interval", "1h")
            .flag("--rescan-interval", "1h")
            .spawn()?;
        worker.ready_within(Duration::from_mins(10)).await?;
        Ok((worker, started.elapsed()))
    }

    /// A pass over schedules that are right already.
    async fn in_sync(&mut self, worker: &Worker) -> anyhow::Result<()> {
        let prefix = self.project.schedule("");
        worker.sync_with("definitions=false").await?;
        let began = Instant::now();
        let list = median(async || {
            let started = Instant::now();
            let ids = self.project.temporal().list(&prefix).await?;
            anyhow::ensure!(ids.len() == THOUSAND, "{} schedules", ids.len());
            Ok(started.elapsed())
        })
        .await?;
        let requests = |operation: &'static str| {
            let label = format!("operation=\"{operation}\"");
            async move { worker.metric("temporal_request", &[&label]).await }
        };
        let describes = requests("DescribeSchedule").await?;
        let writes = requests("UpdateSchedule").await?;
        let pass = median(async || {
            let report = worker.sync_with("definitions=false").await?;
            anyhow::ensure!(report.changes.is_empty(), "{report:?}");
            Ok(Duration::from_millis(report.duration_ms))
        })
        .await?;
        let describes = requests("DescribeSchedule").await? - describes;
        let writes = requests("UpdateSchedule").await? - writes;
        // The resync describes each schedule once an hour, in whole ones.
        #[expect(clippy::cast_precision_loss, reason = "a thousand")]
        let share = (began.elapsed().as_secs_f64() * THOUSAND as f64 / 3600.0).ceil() + 1.0;
        let script = raw::list_describe_update(&self.project, 1).await?;
        let hurried = raw::list_describe_update(&self.project, CONCURRENCY).await?;
        self.row("1000 in sync", "list", list, pass, Limit::AtMost(2.0));
        self.row(
            "1000 in sync",
            "list + describe + update each",
            script,
            pass,
            Limit::FasterBy(15.0),
        );
        // The list alone is a tenth of this on SQLite: no limit can be promised.
        self.table.note(
            &format!(
                "the same script {CONCURRENCY} at a time ({})",
                self.scheduler
            ),
            &format!("{hurried:.2?}"),
        );
        self.table.count(
            self.scheduler,
            &format!("describes in {ROUNDS} passes in sync"),
            describes,
            share,
        );
        self.table.count(
            self.scheduler,
            &format!("updates in {ROUNDS} passes in sync"),
            writes,
            0.0,
        );
        Ok(())
    }

    /// From a save to the schedule, less the debounce.
    async fn one_edit(&mut self, worker: &Worker, count: usize, what: &str) -> anyhow::Result<()> {
        let id = self.project.schedule(&name(count / 2));
        let temporal = self.project.temporal().clone();
        let workflow = self.project.reconcile_workflow();
        let raw = median(async || raw::signal_and_update(&temporal, &workflow, &id).await).await?;
        // The raw updates above moved it; back to what the file says.
        worker.sync_with("definitions=false").await?;
        let mut minute = 0;
        let edit = median(async || {
            minute += 1;
            let text = definition(minute, 23);
            let before = temporal.live(&id).await?.0.conflict_token;
            let started = Instant::now();
            self.project
                .write(&format!("{}.yaml", name(count / 2)), &text)?;
            // The server refuses to describe a schedule too often at a time.
            while !matches!(temporal.live(&id).await, Ok(live) if live.0.conflict_token != before) {
                anyhow::ensure!(started.elapsed() < Duration::from_mins(1), "no edit");
                tokio::time::sleep(LOOK).await;
            }
            Ok(started.elapsed().saturating_sub(DEBOUNCE))
        })
        .await?;
        let against = "signal + describe + update + read-back";
        self.row(what, against, raw, edit, Limit::AtMost(3.0));
        Ok(())
    }

    fn row(&mut self, what: &str, against: &str, raw: Duration, ours: Duration, limit: Limit) {
        self.table
            .ratio(self.scheduler, what, against, raw, ours, limit);
    }
}

/// The id of the definition with this number.
fn name(number: usize) -> String {
    format!("job-{number:05}")
}

/// A definition of ordinary size.
fn definition(minute: usize, hour: usize) -> String {
    format!(
        "description: A job among many\nlabels: {{ team: billing }}\nschedule:\n  cron: \"{} {} 1 1 *\"\n  timezone: Europe/Berlin\n  jitter: 2m\n  input: {{ mode: nightly }}\nworkflow:\n  type: Nobody\n  task_queue: nobody\n  execution_timeout: 3h\n  retry: {{ maximum_attempts: 5 }}\n",
        minute % 60,
        hour % 24,
    )
}

/// One file for each definition.
fn write_definitions(project: &Project, count: usize) -> anyhow::Result<()> {
    for number in 0..count {
        let path = project.definitions().join(format!("{}.yaml", name(number)));
        std::fs::write(path, definition(number, number / 60))?;
    }
    Ok(())
}

/// The median of [`ROUNDS`] measurements.
async fn median(
    mut measure: impl AsyncFnMut() -> anyhow::Result<Duration>,
) -> anyhow::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        times.push(measure().await?);
    }
    times.sort();
    Ok(times[ROUNDS / 2])
}
