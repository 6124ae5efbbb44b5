//! The web pages over 10,000 schedules: the first page beside the same list from the API, its
//! size, a search in a browser, the timeline of a week, and the memory of a worker with open pages.

use std::process::Command;
use std::time::{Duration, Instant};

use almanac_tests::{Project, Scheduler, Worker, python_program, workspace};
use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::memory::resident;
use crate::table::{Limit, Table};
use crate::{DAILY, LISTING, MANY, READY_LIMIT, definition, medians, name, write_definitions};

/// Maximum time of the first page, beside the same list from the API.
const FIRST_PAGE: f64 = 1.2;
/// Maximum size of the first page, in kilobytes.
const FIRST_PAGE_KB: f64 = 120.0;
/// Maximum time of 95 % of the searches in a browser, in milliseconds.
const SEARCH_MS: f64 = 200.0;
/// Maximum time of the timeline of a week after the list of schedules, in milliseconds.
const WEEK_MS: f64 = 1000.0;
/// Maximum memory with pages that were read and none open, and with open ones, in percent of
/// that of the worker before.
const READ: f64 = 110.0;
const OPEN: f64 = 125.0;
/// Number of open pages.
const PAGES: usize = 200;
/// Maximum time to wait for an event.
const EVENT_LIMIT: Duration = Duration::from_secs(30);
/// Time after which what pages read is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(75);

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let server = almanac_tests::server(Scheduler::V1);
    let project = Project::at(&server.address()).await?;
    write_definitions(&project, MANY, DAILY)?;
    // The schedules are made by a worker of its own: what it needed for that is not measured.
    let mut maker = project.worker().spawn()?;
    maker.ready_within(READY_LIMIT).await?;
    drop(maker);
    let mut worker = project
        .worker()
        .flag("--reconcile-interval", "1h")
        .spawn()?;
    worker.ready_within(READY_LIMIT).await?;
    let pid = worker.process().pid().to_owned();
    let before = resident(&pid, "VmRSS")?;
    table.note("resident, no page", &format!("{before:.0} MB"));

    first_page(&worker, table).await?;
    search(&worker, table)?;
    // Whoever opens the timeline comes from the list.
    time(&worker, "/").await?;
    let (week, _) = time(&worker, "/timeline?span=week").await?;
    let week = week.as_secs_f64() * 1000.0;
    table.bound("timeline of a week", week, WEEK_MS, "ms");

    tokio::time::sleep(FORGOTTEN).await;
    let read = resident(&pid, "VmRSS")? / before * 100.0;
    table.bound("resident after pages were read", read, READ, "% of before");
    let mut open = Vec::new();
    time(&worker, "/").await?;
    for _ in 0..PAGES {
        open.push(OpenPage::open(&worker).await?);
    }
    // Each page learns of a change, and reads itself again.
    project.write(&format!("{}.yaml", name(0)), &definition(1, 1, DAILY))?;
    for page in &mut open {
        page.told().await?;
        time(&worker, "/").await?;
    }
    let with_pages = resident(&pid, "VmRSS")? / before * 100.0;
    let what = format!("resident with {PAGES} open pages");
    table.bound(&what, with_pages, OPEN, "% of before");
    drop(open);
    Ok(())
}

/// The first page beside the same list from the API, and its size.
async fn first_page(worker: &Worker, table: &mut Table) -> anyhow::Result<()> {
    // What a request finds is what the last one left, unless that is too old.
    let time = async |path: &str| {
        tokio::time::sleep(LISTING).await;
        Ok(time(worker, path).await?.0)
    };
    let (api, page) = medians(
        async || time("/api/v1/schedules?limit=100").await,
        async || time("/").await,
    )
    .await?;
    table.ratio(
        Scheduler::V1,
        "first page of 10,000",
        "the list from the API",
        api,
        page,
        Limit::AtMost(FIRST_PAGE),
    );
    let size = kilobytes(compressed(worker).await?);
    table.bound("its size", size, FIRST_PAGE_KB, "KB");
    Ok(())
}

/// Searches in a browser, from the last key to the rows.
fn search(worker: &Worker, table: &mut Table) -> anyhow::Result<()> {
    let script = workspace().join("tests/browser/measure_search.py");
    let output = Command::new(python_program()?)
        .arg(script)
        .arg(format!("http://{}", worker.address()))
        .output()
        .context("cannot run Python")?;
    let problem = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "the browser: {problem}");
    let text = String::from_utf8(output.stdout)?;
    let times: Result<Vec<f64>, _> = text.lines().map(str::parse).collect();
    let mut times = times.with_context(|| format!("no times: {text}"))?;
    times.sort_by(f64::total_cmp);
    let slow = times.get(times.len() * 95 / 100).context("no searches")?;
    table.bound(
        "a search in the browser, 95 % within",
        *slow,
        SEARCH_MS,
        "ms",
    );
    Ok(())
}

/// The time and the size of an answer.
async fn time(worker: &Worker, path: &str) -> anyhow::Result<(Duration, usize)> {
    let started = Instant::now();
    let (status, body) = worker.get(path).await?;
    anyhow::ensure!(status == 200, "{path}: {status} {body}");
    Ok((started.elapsed(), body.len()))
}

/// The size of the first page as a browser gets it.
async fn compressed(worker: &Worker) -> anyhow::Result<usize> {
    let address = worker.address();
    let mut stream = TcpStream::connect(&address).await?;
    let request = format!(
        "GET / HTTP/1.1\r\nhost: {address}\r\naccept: text/html\r\naccept-encoding: gzip\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    anyhow::ensure!(answer.starts_with(b"HTTP/1.1 200"), "no page");
    Ok(answer.len())
}

/// A page that listens for changes.
struct OpenPage(TcpStream);

impl OpenPage {
    async fn open(worker: &Worker) -> anyhow::Result<Self> {
        let address = worker.address();
        let mut stream = TcpStream::connect(&address).await?;
        let request = format!("GET /live HTTP/1.1\r\nhost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut page = Self(stream);
        page.read_to("\r\n\r\n").await?;
        Ok(page)
    }

    /// Waits for the next event.
    async fn told(&mut self) -> anyhow::Result<()> {
        self.read_to("event: change").await
    }

    async fn read_to(&mut self, end: &str) -> anyhow::Result<()> {
        let mut seen = Vec::new();
        let read = async {
            while !seen.ends_with(end.as_bytes()) {
                seen.push(self.0.read_u8().await?);
            }
            anyhow::Ok(())
        };
        let read = tokio::time::timeout(EVENT_LIMIT, read).await;
        read.with_context(|| format!("no {end:?}"))?
    }
}

#[expect(clippy::cast_precision_loss, reason = "a size of some kilobytes")]
fn kilobytes(bytes: usize) -> f64 {
    bytes as f64 / 1000.0
}
