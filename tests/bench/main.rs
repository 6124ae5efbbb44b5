//! `make bench`: what Almanac costs beside raw requests to the same server in
//! the same run, on both schedulers; and its steps beside a workflow by hand.
//!
//! Prints a table of ratios and fails when one is over its limit. The limits
//! are the project's promises; absolute times are those of the machine.
//! Arguments choose parts (`memory`, `idle`, `web`, `steps`, `events`, `encryption`, `v1`, `chasm`; `edits`
//! is part of the last two); none means all.
//! With `quick`, `steps` does little of everything, to see that it works.

mod encryption;
mod events;
mod idle;
mod memory;
mod raw;
mod steps;
mod table;
mod web;

use std::time::{Duration, Instant};

use almanac_tests::{OwnServer, Project, Scheduler, Temporal, Worker};
use anyhow::Context;

use table::{Limit, Table};

/// The size most promises are about.
const THOUSAND: usize = 1000;
/// The size the rest are about.
const MANY: usize = 10_000;
/// Number of requests that both sides have in progress at a time.
const CONCURRENCY: usize = 10;
/// The edits that are measured: among how many definitions, and how many times the
/// raw requests each may take.
const EDITS: [(usize, &str, f64); 2] = [
    (THOUSAND, "one edit among 1000", 2.5),
    (MANY, "one edit among 10,000", 2.2),
];
/// Number of measurements of a short operation; the median counts.
const ROUNDS: usize = 7;
/// Time that the harness's workers wait after a save. It is subtracted from the time of an
/// edit.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// Time after the debounce at which an edit is checked for, and interval of the checks
/// from then on: a check takes the server's time.
const FIRST_CHECK_AFTER: Duration = Duration::from_millis(20);
const CHECK_INTERVAL: Duration = Duration::from_millis(1);
/// A server works on long after it has answered. It is at rest when it takes
/// less than this of the time, in percent of one core.
const RESTING: u32 = 10;
/// Duration of a check, and maximum time to wait for it.
const REST_CHECK: Duration = Duration::from_secs(2);
const REST_LIMIT: Duration = Duration::from_mins(3);
/// Maximum time until a worker has created 10,000 schedules. A server of the second scheduler needs
/// seven minutes for them with two cores.
const READY_LIMIT: Duration = Duration::from_mins(30);
/// Time for which a listing of the API serves first pages, and a little more.
const LISTING: Duration = Duration::from_millis(2100);
/// Pause after an edit.
const BREATH: Duration = Duration::from_millis(1500);

fn main() -> anyhow::Result<()> {
    let mut chosen: Vec<String> = std::env::args().skip(1).collect();
    let quick = chosen.iter().any(|one| one == "quick");
    chosen.retain(|one| one != "quick");
    let runtime = tokio::runtime::Runtime::new()?;
    let mut table = Table::default();
    let is_chosen = |part: &str| chosen.is_empty() || chosen.iter().any(|one| one == part);
    if is_chosen("memory") {
        runtime.block_on(memory::measure(&mut table))?;
    }
    if is_chosen("idle") {
        runtime.block_on(idle::measure(&mut table))?;
    }
    if is_chosen("web") {
        runtime.block_on(web::measure(&mut table))?;
    }
    if is_chosen("steps") {
        runtime.block_on(steps::measure(&mut table, quick))?;
    }
    if is_chosen("events") {
        runtime.block_on(events::measure(&mut table))?;
    }
    if is_chosen("encryption") {
        runtime.block_on(encryption::measure(&mut table))?;
    }
    for scheduler in [Scheduler::V1, Scheduler::Chasm] {
        if is_chosen(&scheduler.to_string()) {
            runtime
                .block_on(measure(scheduler, &mut table))
                .with_context(|| format!("on {scheduler}"))?;
        }
    }
    if chosen.iter().any(|one| one == "edits") {
        for scheduler in [Scheduler::V1, Scheduler::Chasm] {
            runtime
                .block_on(edits(scheduler, &mut table))
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
        server: &server,
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
    let [among_1000, among_10_000] = EDITS;
    scene.one_edit(among_1000).await?;
    scene.one_override(&worker).await?;
    scene.start(worker).await?;

    let (worker, _) = scene.cold(MANY).await?;
    scene.one_edit(among_10_000).await?;
    scene.pages(&worker).await?;
    Ok(())
}

/// Just the edits, for whoever works on what delays them.
async fn edits(scheduler: Scheduler, table: &mut Table) -> anyhow::Result<()> {
    let server = OwnServer::start(scheduler)?;
    let project = Project::at(&server.address()).await?;
    let mut scene = Scene {
        scheduler,
        server: &server,
        table,
        project,
    };
    for edit in EDITS {
        let (_worker, _) = scene.cold(edit.0).await?;
        scene.one_edit(edit).await?;
    }
    Ok(())
}

/// The server of a scheduler, with the projects on it.
struct Scene<'a> {
    scheduler: Scheduler,
    server: &'a OwnServer,
    table: &'a mut Table,
    project: Project,
}

impl Scene<'_> {
    /// A worker that finds `count` definitions: how long from its start until it is ready.
    async fn cold(&self, count: usize) -> anyhow::Result<(Worker, Duration)> {
        write_definitions(&self.project, count, YEARLY)?;
        let started = Instant::now();
        let mut worker = self
            .project
            .worker()
            .flag("--reconcile-concurrency", &CONCURRENCY.to_string())
            .flag("--reconcile-interval", "1h")
            .flag("--rescan-interval", "1h")
            .spawn()?;
        worker.ready_within(READY_LIMIT).await?;
        Ok((worker, started.elapsed()))
    }

    /// A pass over schedules that are right already.
    async fn in_sync(&mut self, worker: &Worker) -> anyhow::Result<()> {
        let prefix = self.project.schedule("");
        // The next pass describes the share of all the time since this one.
        let began = Instant::now();
        worker.sync_with("definitions=false").await?;
        self.rest().await?;
        let requests = |operation: &'static str| {
            let label = format!("operation=\"{operation}\"");
            async move { worker.metric("temporal_request", &[&label]).await }
        };
        let describes = requests("DescribeSchedule").await?;
        let writes = requests("UpdateSchedule").await?;
        // In turns, so that both find the server the same.
        let (list, pass) = medians(
            async || {
                let started = Instant::now();
                let ids = self.project.temporal().list(&prefix).await?;
                anyhow::ensure!(ids.len() == THOUSAND, "{} schedules", ids.len());
                Ok(started.elapsed())
            },
            async || {
                let report = worker.sync_with("definitions=false").await?;
                anyhow::ensure!(report.changes.is_empty(), "{report:?}");
                Ok(Duration::from_millis(report.duration_ms))
            },
        )
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
    async fn one_edit(&mut self, (count, what, limit): (usize, &str, f64)) -> anyhow::Result<()> {
        let id = self.project.schedule(&name(count / 2));
        let temporal = self.project.temporal().clone();
        let workflow = self.project.reconcile_workflow();
        self.rest().await?;
        let mut minute = 0;
        let (raw, edit) = medians(
            async || raw::signal_and_update(&temporal, &workflow, &id).await,
            async || {
                minute += 1;
                let text = definition(minute, 23, YEARLY);
                let before = temporal.live(&id).await?.0.conflict_token;
                let started = Instant::now();
                self.project
                    .write(&format!("{}.yaml", name(count / 2)), &text)?;
                tokio::time::sleep(DEBOUNCE + FIRST_CHECK_AFTER).await;
                // The server refuses to describe a schedule too often at a time.
                while !matches!(temporal.live(&id).await, Ok(live) if live.0.conflict_token != before)
                {
                    anyhow::ensure!(started.elapsed() < Duration::from_mins(1), "no edit");
                    tokio::time::sleep(CHECK_INTERVAL).await;
                }
                let took = started.elapsed().saturating_sub(DEBOUNCE);
                // What follows the edit is not to be in the way of the next.
                tokio::time::sleep(BREATH).await;
                Ok(took)
            },
        )
        .await?;
        let against = "signal + describe + update + read-back";
        self.row(what, against, raw, edit, Limit::AtMost(limit));
        Ok(())
    }

    /// From the start of a process until it is ready, with everything in sync.
    async fn start(&mut self, mut worker: Worker) -> anyhow::Result<()> {
        let prefix = self.project.schedule("");
        let address = self.server.address();
        self.rest().await?;
        let (raw, almanac) = medians(
            async || {
                let started = Instant::now();
                let ids = Temporal::connect(&address).await?.list(&prefix).await?;
                anyhow::ensure!(ids.len() == THOUSAND, "{} schedules", ids.len());
                Ok(started.elapsed())
            },
            async || {
                worker.terminate(READY_LIMIT)?;
                let started = Instant::now();
                worker.respawn()?;
                worker.ready_within(READY_LIMIT).await?;
                Ok(started.elapsed())
            },
        )
        .await?;
        let what = "start to ready, 1000 in sync";
        let limit = Limit::AtMost(1.5);
        self.row(what, "connect + list", raw, almanac, limit);
        Ok(())
    }

    /// From a `PATCH` to the schedule as it asks.
    async fn one_override(&mut self, worker: &Worker) -> anyhow::Result<()> {
        // Another than the one that is edited.
        let name = name(THOUSAND / 4);
        let id = self.project.schedule(&name);
        let temporal = self.project.temporal().clone();
        let path = format!("/api/v1/schedules/{name}");
        self.rest().await?;
        let mut minute = 0;
        let (raw, almanac) = medians(
            async || {
                let took = raw::update(&temporal, &id).await?;
                tokio::time::sleep(BREATH).await;
                Ok(took)
            },
            async || {
                minute += 1;
                let cron = format!("{minute} 22 * * *");
                let body = serde_json::json!({ "cron": cron, "reason": "measured" });
                let before = temporal.live(&id).await?.0.conflict_token;
                let started = Instant::now();
                let sent = worker.send("PATCH", &path, Some(&body), None);
                let changed = async {
                    tokio::time::sleep(FIRST_CHECK_AFTER).await;
                    // The server refuses to describe a schedule too often at a time.
                    while !matches!(temporal.live(&id).await, Ok(live) if live.0.conflict_token != before)
                    {
                        anyhow::ensure!(started.elapsed() < Duration::from_mins(1), "no change");
                        tokio::time::sleep(CHECK_INTERVAL).await;
                    }
                    Ok(started.elapsed())
                };
                let ((status, answer), took) = futures::try_join!(sent, changed)?;
                anyhow::ensure!(status == 200, "{status}: {answer}");
                // What follows the change is not to be in the way of the next.
                tokio::time::sleep(BREATH).await;
                Ok(took)
            },
        )
        .await?;
        let against = "describe + update + read-back";
        let limit = Limit::AtMost(4.0);
        self.row("one PATCH among 1000", against, raw, almanac, limit);
        Ok(())
    }

    /// All schedules over HTTP, in pages as large as they get.
    async fn pages(&mut self, worker: &Worker) -> anyhow::Result<()> {
        let prefix = self.project.schedule("");
        let describes = async || {
            let labels = ["operation=\"DescribeSchedule\""];
            worker.metric("temporal_request", &labels).await
        };
        self.rest().await?;
        let before = describes().await?;
        let (list, pages) = medians(
            async || {
                // Longer than a listing serves first pages.
                tokio::time::sleep(LISTING).await;
                let started = Instant::now();
                let ids = self.project.temporal().list(&prefix).await?;
                anyhow::ensure!(ids.len() == MANY, "{} schedules", ids.len());
                Ok(started.elapsed())
            },
            async || {
                let started = Instant::now();
                let (mut seen, mut token) = (0, String::new());
                loop {
                    let path = format!("/api/v1/schedules?limit=1000{token}");
                    let page = worker.json(&path).await?;
                    seen += page["schedules"].as_array().context("a list")?.len();
                    let Some(next) = page["next_page_token"].as_str() else {
                        break;
                    };
                    token = format!("&page_token={next}");
                }
                anyhow::ensure!(seen == MANY, "{seen} schedules");
                Ok(started.elapsed())
            },
        )
        .await?;
        let describes = describes().await? - before;
        let what = "10,000 over HTTP in pages of 1000";
        self.row(what, "list", list, pages, Limit::AtMost(2.0));
        self.table
            .count(self.scheduler, "describes for these pages", describes, 0.0);
        Ok(())
    }

    /// Waits until the server has done what it was asked before.
    async fn rest(&self) -> anyhow::Result<()> {
        let busy = || cpu_time(self.server.pid());
        let limit = Instant::now() + REST_LIMIT;
        while Instant::now() < limit {
            let before = busy()?;
            tokio::time::sleep(REST_CHECK).await;
            if busy()?.saturating_sub(before) < REST_CHECK * RESTING / 100 {
                return Ok(());
            }
        }
        eprintln!("the server did not come to rest");
        Ok(())
    }

    fn row(&mut self, what: &str, against: &str, raw: Duration, almanac: Duration, limit: Limit) {
        self.table
            .ratio(self.scheduler, what, against, raw, almanac, limit);
    }
}

/// The id of the definition with this number.
fn name(number: usize) -> String {
    format!("job-{number:05}")
}

/// Days on which a definition fires, as the last fields of its cron expression.
const YEARLY: &str = "1 1 *";
const DAILY: &str = "* * *";

/// A definition of ordinary size.
fn definition(minute: usize, hour: usize, days: &str) -> String {
    format!(
        "description: A job among many\nlabels: {{ team: billing }}\nschedule:\n  cron: \"{} {} {days}\"\n  timezone: Europe/Berlin\n  jitter: 2m\n  input: {{ mode: nightly }}\nworkflow:\n  type: Nobody\n  task_queue: nobody\n  execution_timeout: 3h\n  retry: {{ maximum_attempts: 5 }}\n",
        minute % 60,
        hour % 24,
    )
}

/// Writes a file for each definition.
fn write_definitions(project: &Project, count: usize, days: &str) -> anyhow::Result<()> {
    for number in 0..count {
        let path = project.definitions().join(format!("{}.yaml", name(number)));
        std::fs::write(path, definition(number, number / 60, days))?;
    }
    Ok(())
}

/// CPU time that a process has taken, in user mode and in the kernel.
fn cpu_time(pid: &str) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Both are in hundredths of a second, and stand after the name.
    let (_, fields) = stat.rsplit_once(')').context("a name")?;
    let times = fields.split_whitespace().skip(11).take(2);
    let hundredths: u64 = times.map(str::parse::<u64>).sum::<Result<_, _>>()?;
    Ok(Duration::from_millis(10 * hundredths))
}

/// The medians of [`ROUNDS`] measurements of each side, one after the other in turn.
async fn medians(
    raw: impl AsyncFnMut() -> anyhow::Result<Duration>,
    almanac: impl AsyncFnMut() -> anyhow::Result<Duration>,
) -> anyhow::Result<(Duration, Duration)> {
    medians_of(ROUNDS, raw, almanac).await
}

/// The medians of this number of measurements of each side.
async fn medians_of(
    rounds: usize,
    mut raw: impl AsyncFnMut() -> anyhow::Result<Duration>,
    mut almanac: impl AsyncFnMut() -> anyhow::Result<Duration>,
) -> anyhow::Result<(Duration, Duration)> {
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        times.0.push(raw().await?);
        times.1.push(almanac().await?);
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[rounds / 2]
    };
    Ok((median(times.0), median(times.1)))
}
