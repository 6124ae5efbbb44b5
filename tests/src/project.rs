//! A test's own project.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::StreamExt;
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{Output, almanac};
use crate::server::{Scheduler, is_shared, server};
use crate::temporal::Temporal;
use crate::wait::{AGAIN, SOON, eventually};
use crate::worker::WorkerCommand;

/// Maximum time to ask for the state of a project whose test has failed.
const DIAGNOSIS_LIMIT: Duration = Duration::from_secs(10);

/// Number of schedules that are deleted at a time.
const CONCURRENCY: usize = 8;

/// A project with a unique name and a folder of definitions of its own.
#[derive(Debug)]
pub struct Project {
    name: String,
    address: String,
    temporal: Temporal,
    folder: Arc<TempDir>,
}

thread_local! {
    /// The projects of the test that runs on this thread.
    static PROJECTS: RefCell<Vec<Witness>> = const { RefCell::new(Vec::new()) };
}

/// Data of a project that is printed after its test has failed.
struct Witness {
    name: String,
    address: String,
    folder: Arc<TempDir>,
}

impl Project {
    /// A project on the shared server of a scheduler.
    pub async fn new(on: Scheduler) -> anyhow::Result<Self> {
        Self::at(&server(on).address()).await
    }

    /// A project on the server at an address.
    pub async fn at(address: &str) -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self::named(address, &name).await
    }

    /// A project with a name that a test needs.
    pub async fn named(address: &str, name: &str) -> anyhow::Result<Self> {
        let folder = Arc::new(tempfile::tempdir()?);
        std::fs::create_dir(folder.path().join("definitions"))?;
        PROJECTS.with_borrow_mut(|projects| {
            projects.push(Witness {
                name: name.to_owned(),
                address: address.to_owned(),
                folder: Arc::clone(&folder),
            });
        });
        Ok(Self {
            name: name.to_owned(),
            address: address.to_owned(),
            temporal: Temporal::connect(address).await?,
            folder,
        })
    }

    /// Name of the project.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server's address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A client of its server.
    pub fn temporal(&self) -> &Temporal {
        &self.temporal
    }

    /// The folder of definitions.
    pub fn definitions(&self) -> PathBuf {
        self.folder.path().join("definitions")
    }

    /// A folder beside that of the definitions, where logs stand too.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of definitions, in one step as editors do.
    pub fn write(&self, file: &str, contents: &str) -> anyhow::Result<()> {
        let path = self.definitions().join(file);
        let parent = path.parent().context("a folder")?;
        std::fs::create_dir_all(parent)?;
        let mut new = tempfile::Builder::new()
            .prefix(".new")
            .tempfile_in(parent)?;
        std::io::Write::write_all(&mut new, contents.as_bytes())?;
        new.persist(path)?;
        Ok(())
    }

    /// Removes a file of definitions.
    pub fn remove(&self, file: &str) -> anyhow::Result<()> {
        std::fs::remove_file(self.definitions().join(file)).with_context(|| file.to_owned())
    }

    /// The id of a definition's schedule.
    pub fn schedule(&self, definition: &str) -> String {
        format!("schedule-{}-{definition}", self.name)
    }

    /// Waits until the server lists this many schedules: a list lags a little
    /// behind what was created and deleted.
    pub async fn has_schedules(&self, count: usize) -> anyhow::Result<()> {
        let prefix = self.schedule("");
        eventually(&format!("{count} schedules to be listed"), || async {
            Ok(self.temporal.list(&prefix).await?.len() == count)
        })
        .await
    }

    /// Waits until the server lists the schedules of just these definitions.
    pub async fn has_just(&self, definitions: &[&str]) -> anyhow::Result<()> {
        let mut wanted: Vec<String> = definitions.iter().map(|id| self.schedule(id)).collect();
        wanted.sort();
        let prefix = self.schedule("");
        eventually(&format!("just {wanted:?} to be listed"), || async {
            Ok(self.temporal.list(&prefix).await? == wanted)
        })
        .await
    }

    /// The id of the project's reconcile workflow.
    pub fn reconcile_workflow(&self) -> String {
        format!("almanac/{}/reconcile", self.name)
    }

    /// A worker for it, to be started.
    pub fn worker(&self) -> WorkerCommand {
        WorkerCommand::new(self)
    }

    /// Runs a command of `almanac` for this project: `--project` is added. A
    /// command that has no answer is run again, for [`SOON`].
    pub fn almanac(&self, args: &[&str]) -> anyhow::Result<Output> {
        let deadline = Instant::now() + SOON;
        loop {
            let output = self.almanac_once(args)?;
            // A run that was asked for twice may start twice.
            let starts_runs = matches!(args, ["trigger" | "backfill", ..]);
            let repeats = output.is_unanswered() || (output.has_timed_out() && !starts_runs);
            if !repeats || Instant::now() > deadline {
                return Ok(output);
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// The same, run once.
    pub fn almanac_once(&self, args: &[&str]) -> anyhow::Result<Output> {
        almanac(&self.address, args.iter().chain(&["--project", &self.name]))
    }

    /// Runs a command that has to succeed, with `--format json`, and gives what it
    /// prints.
    pub fn almanac_json(&self, args: &[&str]) -> anyhow::Result<Value> {
        self.almanac(&[args, &["--format", "json"]].concat())?
            .json()
    }
}

/// Forgets the projects of earlier tests on this thread.
pub(crate) fn forget() {
    PROJECTS.with_borrow_mut(Vec::clear);
}

/// Data that the projects of the test on this thread left behind: the workers'
/// logs and what Temporal holds.
pub(crate) fn diagnostics() -> String {
    let mut text = String::new();
    PROJECTS.with_borrow(|projects| {
        for witness in projects {
            diagnose(witness, &mut text).expect("writing to a string");
        }
    });
    text
}

/// Removes what the projects of the test on this thread left on the shared servers:
/// schedules that fire every second would slow down all tests that follow.
pub(crate) async fn clean_up() {
    for Witness { name, address, .. } in PROJECTS.with_borrow_mut(std::mem::take) {
        if is_shared(&address) {
            let removed = tokio::time::timeout(SOON, remove_all(&name, &address));
            match removed.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => eprintln!("cleaning up after project {name}: {error:#}"),
                Err(_) => eprintln!("cleaning up after project {name} takes too long"),
            }
        }
    }
}

/// Returns `true` if the server does not know the schedule: a list lags behind.
fn is_not_found(error: &anyhow::Error) -> bool {
    let status = error.downcast_ref::<tonic::Status>();
    status.is_some_and(|status| status.code() == tonic::Code::NotFound)
}

async fn remove_all(name: &str, address: &str) -> anyhow::Result<()> {
    let temporal = Temporal::connect(address).await?;
    let mut ids = temporal.list(&format!("schedule-{name}-")).await?;
    // A server that is busy with them takes no delete at first.
    while !ids.is_empty() {
        let deleted = futures::stream::iter(ids).map(|id| {
            let temporal = temporal.clone();
            async move {
                let deleted = temporal.delete(&id).await;
                let is_gone = deleted.as_ref().is_err_and(is_not_found);
                (deleted.is_err() && !is_gone).then_some(id)
            }
        });
        let left = deleted.buffer_unordered(CONCURRENCY);
        ids = left.filter_map(std::future::ready).collect().await;
        if !ids.is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    for workflow in ["reconcile", "follow"] {
        let _ended = temporal
            .terminate(&format!("almanac/{name}/{workflow}"))
            .await;
    }
    Ok(())
}

fn diagnose(witness: &Witness, text: &mut String) -> std::fmt::Result {
    let Witness { name, address, .. } = witness;
    writeln!(text, "\n=== project {name} at {address}")?;
    let mut logs: Vec<PathBuf> = std::fs::read_dir(witness.folder.path())
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.sort();
    for log in logs {
        let contents = std::fs::read(&log).unwrap_or_default();
        let contents = String::from_utf8_lossy(&contents);
        let lines: Vec<&str> = contents.lines().collect();
        writeln!(
            text,
            "--- {} (the last of {} lines)",
            log.file_name().unwrap_or_default().display(),
            lines.len()
        )?;
        for line in &lines[lines.len().saturating_sub(60)..] {
            writeln!(text, "{line}")?;
        }
    }
    writeln!(text, "--- what Temporal holds")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    match runtime.block_on(holds(name, address)) {
        Ok(held) => writeln!(text, "{held}"),
        Err(error) => writeln!(text, "cannot tell: {error:#}"),
    }
}

async fn holds(name: &str, address: &str) -> anyhow::Result<String> {
    let temporal = Temporal::connect(address).await?;
    let mut text = String::new();
    let ids = temporal.list(&format!("schedule-{name}-")).await?;
    writeln!(text, "{} schedules", ids.len())?;
    for id in ids.iter().take(20) {
        match temporal.describe(id).await? {
            Some(live) => writeln!(text, "{id}: {live}")?,
            None => writeln!(text, "{id}: listed but gone")?,
        }
    }
    let status = tokio::time::timeout(DIAGNOSIS_LIMIT, temporal.status(name)).await;
    match status.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer"))) {
        Ok(status) => writeln!(text, "status: {}", serde_json::to_string_pretty(&status)?)?,
        Err(error) => writeln!(text, "status: {error:#}")?,
    }
    Ok(text)
}
