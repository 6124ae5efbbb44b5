//! The web pages over 10,000 schedules: the first page beside the same list from the API, its
//! size, the timeline of a week, and the memory of a worker with open pages.

use std::time::{Duration, Instant};

use almanac_tests::{Project, Scheduler, Worker};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::memory::resident;
use crate::table::{Limit, Table};
use crate::{LISTING, MANY, medians, write_definitions};

/// Maximum time of the first page, beside the same list from the API.
const FIRST_PAGE: f64 = 1.2;
/// Maximum size of the first page, in kilobytes.
const FIRST_PAGE_KB: f64 = 120.0;
/// Maximum time of the timeline of a week, in milliseconds.
const WEEK_MS: f64 = 1000.0;
/// Maximum memory with pages that were read and none open, and with open ones, in percent of
/// that of the worker before.
const READ: f64 = 110.0;
const OPEN: f64 = 125.0;
/// Number of open pages.
const PAGES: usize = 200;
/// Time for which pages are open before memory is measured, and after which those that are
/// closed are forgotten.
const OPEN_FOR: Duration = Duration::from_secs(20);
const FORGOTTEN: Duration = Duration::from_secs(75);

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let server = almanac_tests::server(Scheduler::V1);
    let project = Project::at(&server.address()).await?;
    write_definitions(&project, MANY)?;
    // The schedules are made by a worker of its own: what it needed for that is not measured.
    let mut maker = project.worker().spawn()?;
    maker.ready_within(Duration::from_mins(10)).await?;
    drop(maker);
    let mut worker = project
        .worker()
        .flag("--reconcile-interval", "1h")
        .spawn()?;
    worker.ready_within(Duration::from_mins(10)).await?;
    let pid = worker.process().pid().to_owned();
    let before = resident(&pid, "VmRSS")?;
    table.note("resident, no page", &format!("{before:.0} MB"));

    let list = || time(&worker, "/api/v1/schedules?limit=100");
    let page = || time(&worker, "/");
    let (api, first) = medians(
        async || {
            tokio::time::sleep(LISTING).await;
            Ok(list().await?.0)
        },
        async || {
            tokio::time::sleep(LISTING).await;
            Ok(page().await?.0)
        },
    )
    .await?;
    let limit = Limit::AtMost(FIRST_PAGE);
    table.ratio(
        Scheduler::V1,
        "first page of 10,000",
        "the list from the API",
        api,
        first,
        limit,
    );
    let size = compressed(&worker).await?;
    let limit = Limit::AtMost(FIRST_PAGE_KB);
    table.bound("its size", kilobytes(size), limit, "KB");
    let (found, _) = time(&worker, "/?q=job-01234").await?;
    table.note("a filter, at the server", &format!("{found:.1?}"));
    let (week, _) = time(&worker, "/timeline?span=week").await?;
    let limit = Limit::AtMost(WEEK_MS);
    table.bound(
        "timeline of a week",
        week.as_secs_f64() * 1000.0,
        limit,
        "ms",
    );

    tokio::time::sleep(FORGOTTEN).await;
    let read = resident(&pid, "VmRSS")? / before * 100.0;
    table.bound(
        "resident after pages were read",
        read,
        Limit::AtMost(READ),
        "% of before",
    );
    let mut open = Vec::new();
    for _ in 0..PAGES {
        open.push(open_page(&worker).await?);
    }
    tokio::time::sleep(OPEN_FOR).await;
    let with_pages = resident(&pid, "VmRSS")? / before * 100.0;
    let what = format!("resident with {PAGES} open pages");
    table.bound(&what, with_pages, Limit::AtMost(OPEN), "% of before");
    drop(open);
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

/// A page that listens for changes, and its first byte.
async fn open_page(worker: &Worker) -> anyhow::Result<TcpStream> {
    let address = worker.address();
    let mut stream = TcpStream::connect(&address).await?;
    let request = format!("GET /live HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.read_u8().await?;
    Ok(stream)
}

#[expect(clippy::cast_precision_loss, reason = "a size of some kilobytes")]
fn kilobytes(bytes: usize) -> f64 {
    bytes as f64 / 1000.0
}
