//! `almanac run`, as a process.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use almanac_core::record::{Report, Status};
use anyhow::{Context, bail, ensure};
use reqwest::RequestBuilder;
use serde_json::Value;

use crate::cli::{NOTHING_SENT, almanac_binary};
use crate::ports::free_port;
use crate::process::Supervised;
use crate::project::Project;
use crate::proxy::Proxy;
use crate::tls_proxy::TlsProxy;
use crate::wait::{AGAIN, SOON, idle, wait_for};

/// Status of an answer to a request that goes on.
const ACCEPTED: u16 = 202;
/// Status of an answer to a request that Temporal refused or that failed.
const BAD_GATEWAY: u16 = 502;

/// A worker to be started.
#[derive(Debug, Clone)]
#[must_use]
pub struct WorkerCommand {
    binary: PathBuf,
    port: u16,
    temporal: String,
    log: PathBuf,
    args: Vec<String>,
    environment: Vec<(String, String)>,
    /// A program with its arguments, if it is to start the worker.
    launcher: Vec<String>,
}

impl WorkerCommand {
    pub(crate) fn new(project: &Project) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = free_port();
        let args = [
            "run",
            "--project",
            project.name(),
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--debounce",
            "50ms",
        ];
        Self {
            binary: almanac_binary().to_owned(),
            port,
            temporal: project.address().to_owned(),
            log: project.folder().join(format!("worker-{number:04}.log")),
            args: args.map(String::from).to_vec(),
            environment: Vec::new(),
            launcher: Vec::new(),
        }
        .dir(project.definitions())
    }

    /// Runs this binary instead of `almanac`.
    pub fn binary(mut self, binary: &Path) -> Self {
        binary.clone_into(&mut self.binary);
        self
    }

    /// Adds a flag and its value.
    pub fn flag(mut self, flag: &str, value: &str) -> Self {
        self.args.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// Adds a flag that has no value.
    pub fn switch(mut self, flag: &str) -> Self {
        self.args.push(flag.to_owned());
        self
    }

    /// Reads this folder of definitions instead.
    pub fn dir(self, dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into().display().to_string();
        self.instead("--dir", &dir)
    }

    /// Gives a flag another value than tests usually give it.
    pub fn instead(mut self, flag: &str, value: &str) -> Self {
        if let Some(at) = self.args.iter().position(|arg| arg == flag) {
            self.args.drain(at..at + 2);
        }
        self.flag(flag, value)
    }

    /// Speaks to Temporal through a proxy.
    pub fn through(mut self, proxy: &Proxy) -> Self {
        proxy.address().clone_into(&mut self.temporal);
        self
    }

    /// Speaks to Temporal through TLS.
    pub fn behind(mut self, proxy: &TlsProxy) -> Self {
        self.temporal = proxy.address();
        self.environment.extend(proxy.environment());
        self
    }

    /// Sets a variable of its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets a command start the worker. It gets the program and its arguments after its own, and
    /// has to become that program.
    pub fn launched_by(mut self, command: &[&str]) -> Self {
        self.launcher = command.iter().copied().map(String::from).collect();
        self
    }

    /// Starts it, and waits for nothing.
    pub fn spawn(self) -> anyhow::Result<Worker> {
        let process = self.process()?;
        Ok(Worker {
            command: self,
            process,
            http: http(),
            seen: AtomicU64::new(0),
        })
    }

    /// Starts it and waits until it is ready: a full pass has been done.
    pub async fn start(self) -> anyhow::Result<Worker> {
        let mut worker = self.spawn()?;
        worker.ready().await?;
        worker.forget().await?;
        Ok(worker)
    }

    fn process(&self) -> anyhow::Result<Supervised> {
        let mut env = vec![
            ("TEMPORAL_ADDRESS", self.temporal.as_str()),
            ("RUST_BACKTRACE", "1"),
        ];
        env.extend(
            self.environment
                .iter()
                .map(|(name, value)| (&**name, &**value)),
        );
        let Some((launcher, before)) = self.launcher.split_first() else {
            return Supervised::spawn(&self.binary, &self.args, &env, &self.log);
        };
        let program = self.binary.display().to_string();
        let args = before.iter().chain([&program]).chain(&self.args);
        Supervised::spawn(Path::new(launcher), args, &env, &self.log)
    }
}

/// A client for the worker's HTTP. It speaks no TLS, but is built with it when
/// the whole workspace is, and wants the cryptography chosen then.
fn http() -> reqwest::Client {
    let _chosen_before = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// A running worker; killed when dropped.
#[derive(Debug)]
pub struct Worker {
    command: WorkerCommand,
    process: Supervised,
    http: reqwest::Client,
    /// The last pass that [`Worker::sync`] returned, or the last one before it.
    seen: AtomicU64,
}

impl Worker {
    /// The process.
    pub fn process(&mut self) -> &mut Supervised {
        &mut self.process
    }

    /// Kills it, without a chance to clean up.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// Asks it to end, and gives its exit code.
    pub fn terminate(&mut self, timeout: Duration) -> anyhow::Result<i32> {
        self.process.signal("TERM")?;
        self.process.wait(timeout)
    }

    /// Starts a process like it again, and waits until it is ready. If it still
    /// runs, it is asked to end first. A test of what a kill leaves calls
    /// [`Worker::kill`] before.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        if self.process.is_running()? {
            self.terminate(SOON)?;
        }
        self.process = self.command.process()?;
        self.ready().await?;
        self.forget().await
    }

    /// Starts a process like it again, and waits for nothing.
    pub fn respawn(&mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process = self.command.process()?;
        Ok(())
    }

    /// All it has printed.
    pub fn log(&self) -> anyhow::Result<String> {
        let contents = std::fs::read(&self.command.log)?;
        Ok(String::from_utf8_lossy(&contents).into_owned())
    }

    /// Waits until `/readyz` answers 200.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        // Debug builds on a busy machine with a server that many tests share.
        self.ready_within(2 * SOON).await
    }

    /// The same, with a bound of its own.
    pub async fn ready_within(&mut self, timeout: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let answer = self.get("/readyz").await;
            if matches!(answer, Ok((200, _))) {
                return Ok(());
            }
            if !self.process.is_running()? {
                bail!("the worker ended: {}", self.log()?);
            }
            if Instant::now() > deadline {
                bail!("the worker is not ready: {answer:?}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Asks its HTTP server: status and body.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        repeated(self.http.get(self.url(path))).await
    }

    /// Asks its HTTP server for JSON.
    pub async fn json(&self, path: &str) -> anyhow::Result<Value> {
        let (status, body) = self.get(path).await?;
        if status != 200 {
            bail!("{path}: {status} {body}");
        }
        serde_json::from_str(&body).with_context(|| format!("{path}: {body}"))
    }

    /// Sends a body, with a key for the request: status and body. The request has
    /// a key of its own if the test gives none, so that it can be sent again. A
    /// request that goes on is asked for again until it is done, and one of which
    /// nothing was sent is sent again under another key.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> anyhow::Result<(u16, Value)> {
        let key = key.map_or_else(request_key, str::to_owned);
        let key = RefCell::new(key);
        let request = self.request(method, path, body)?;
        wait_for(&format!("{method} {path} to be done"), 3 * SOON, || async {
            let again = request.try_clone().context("a request to be repeated")?;
            let again = again.header("idempotency-key", key.borrow().as_str());
            let HttpAnswer {
                status,
                is_busy,
                body,
            } = answer(again).await?;
            if is_busy || status == ACCEPTED {
                tokio::time::sleep(AGAIN).await;
                bail!("{status}: {body}");
            }
            if status == BAD_GATEWAY && body.contains(NOTHING_SENT) {
                // The answer under this key stays as it is.
                key.replace(request_key());
                bail!("{status}: {body}");
            }
            Ok(Some((status, json(status, &body)?)))
        })
        .await
    }

    /// Sends a body once, whatever the answer is: status and body.
    pub async fn send_once(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let answer = answer(self.request(method, path, body)?).await?;
        let body = json(answer.status, &answer.body)?;
        Ok((answer.status, body))
    }

    /// `POST` of a body with these headers, once, whatever the answer is: status and body.
    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> anyhow::Result<(u16, String)> {
        let mut request = self.http.post(self.url(path)).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = answer(request).await?;
        Ok((answer.status, answer.body))
    }

    /// Sends an event in the structured mode of `CloudEvents`: status and body.
    pub async fn send_event(&self, event: &Value) -> anyhow::Result<(u16, Value)> {
        let headers = [("content-type", "application/cloudevents+json")];
        let (status, body) = self.post("/events", &headers, &event.to_string()).await?;
        let body = match body.as_str() {
            "" => Value::Null,
            body => json(status, body)?,
        };
        Ok((status, body))
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<RequestBuilder> {
        let request = self.http.request(method.parse()?, self.url(path));
        Ok(match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(body.to_string()),
            None => request,
        })
    }

    /// `POST /admin/sync` with this query: status and body. It re-reads the
    /// files first, so no test needs to wait for the watcher. If the pass goes on,
    /// it is waited for.
    pub async fn post_sync(&self, query: &str) -> anyhow::Result<(u16, Value)> {
        let url = self.url(&format!("/admin/sync?{query}"));
        let (status, body) = repeated(self.http.post(url)).await?;
        let body = json(status, &body)?;
        if status != ACCEPTED {
            return Ok((status, body));
        }
        let pass = body["pass"].as_u64().context("the pass's number")?;
        let mut reports = self.reports(pass).await?.into_iter();
        let report = reports.find(|report| report.pass == pass);
        let report = report.context("the report of the pass is forgotten")?;
        let status = if report.errors.is_empty() { 200 } else { 207 };
        Ok((status, serde_json::to_value(report)?))
    }

    /// The same, asked once, whatever the answer is.
    pub async fn post_sync_once(&self, query: &str) -> anyhow::Result<(u16, Value)> {
        let url = self.url(&format!("/admin/sync?{query}"));
        let answer = answer(self.http.post(url)).await?;
        let body = json(answer.status, &answer.body)?;
        Ok((answer.status, body))
    }

    /// Re-reads the files and waits for a full pass. Gives what all passes
    /// did since the last call, or since this worker was ready: news of files
    /// may bring one before. What is not done but found is the last pass's.
    pub async fn sync(&self) -> anyhow::Result<Report> {
        self.sync_with("").await
    }

    /// The same, with more in the query.
    pub async fn sync_with(&self, query: &str) -> anyhow::Result<Report> {
        let (status, body) = self.post_sync(query).await?;
        let pass = match status {
            200 | 207 => body["pass"].as_u64().context("the pass's number")?,
            _ => bail!("/admin/sync: {status} {body}"),
        };
        let reports = self.reports(pass).await?;
        let seen = self.seen.swap(pass, Ordering::Relaxed);
        let mut news = reports
            .into_iter()
            .filter(|report| report.pass > seen && report.pass <= pass);
        let first = news.next().context("no report is new")?;
        Ok(news.fold(first, added))
    }

    /// Has this many passes done, and fails if one of them writes something.
    pub async fn writes_nothing_in(&self, passes: usize) -> anyhow::Result<()> {
        for _ in 0..passes {
            let report = self.sync().await?;
            ensure!(report.changes.is_empty(), "{report:?}");
        }
        Ok(())
    }

    /// The last reports, once the report of a pass is among them.
    async fn reports(&self, pass: u64) -> anyhow::Result<Vec<Report>> {
        wait_for(&format!("the report of pass {pass}"), SOON, || async {
            let reports = self.status().await?.reports;
            let there = reports.iter().any(|report| report.pass >= pass);
            Ok(there.then_some(reports))
        })
        .await
    }

    /// The workflow was terminated: its successor counts passes anew.
    pub fn forget_passes(&self) {
        self.seen.store(0, Ordering::Relaxed);
    }

    /// The next [`Worker::sync`] does not report the earlier passes.
    async fn forget(&self) -> anyhow::Result<()> {
        // A worker is ready a little before the workflow knows of its pass.
        let last = idle(|| self.status()).await?;
        self.seen.store(last.pass, Ordering::Relaxed);
        Ok(())
    }

    async fn status(&self) -> anyhow::Result<Status> {
        let status = self.json("/api/v1/reconcile").await?;
        Ok(serde_json::from_value(status)?)
    }

    /// The sum of a metric's samples whose line holds all of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> anyhow::Result<f64> {
        let (_, page) = self.get("/metrics").await?;
        let mut sum = 0.0;
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let its_name = series.split('{').next().unwrap_or_default();
            if its_name == name && labels.iter().all(|label| series.contains(label)) {
                sum += value.parse::<f64>().with_context(|| line.to_owned())?;
            }
        }
        Ok(sum)
    }

    /// Address at which the worker listens: `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.command.port)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }
}

/// An answer over HTTP.
struct HttpAnswer {
    status: u16,
    /// The answer asks clients to send the request again later.
    is_busy: bool,
    body: String,
}

async fn answer(request: RequestBuilder) -> anyhow::Result<HttpAnswer> {
    let answer = request.send().await?;
    Ok(HttpAnswer {
        status: answer.status().as_u16(),
        is_busy: answer.headers().contains_key("retry-after"),
        body: answer.text().await?,
    })
}

/// Sends a request again while the answers ask for it, for [`SOON`].
async fn repeated(request: RequestBuilder) -> anyhow::Result<(u16, String)> {
    let deadline = Instant::now() + SOON;
    loop {
        let again = request.try_clone().context("a request to be repeated")?;
        let answer = answer(again).await?;
        if !answer.is_busy || Instant::now() > deadline {
            return Ok((answer.status, answer.body));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn json(status: u16, body: &str) -> anyhow::Result<Value> {
    serde_json::from_str(body).with_context(|| format!("{status}: {body}"))
}

fn request_key() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("tests-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Two reports in a row as one: what was done adds up, what was found is the later's.
fn added(earlier: Report, mut later: Report) -> Report {
    let (before, after) = (&earlier.schedules, &mut later.schedules);
    after.created += before.created;
    after.updated += before.updated;
    after.paused += before.paused;
    after.unpaused += before.unpaused;
    after.deleted += before.deleted;
    later.drift.detected += earlier.drift.detected;
    later.drift.corrected += earlier.drift.corrected;
    for (field, count) in earlier.drift.by_field {
        *later.drift.by_field.entry(field).or_default() += count;
    }
    for (before, after) in [
        (earlier.definitions, &mut later.definitions),
        (earlier.event_types, &mut later.event_types),
    ] {
        after.new += before.new;
        after.updated += before.updated;
        after.archived += before.archived;
    }
    later.changes = [earlier.changes, later.changes].concat();
    let mut errors = earlier.errors;
    errors.retain(|error| !later.errors.contains(error));
    later.errors = [errors, later.errors].concat();
    later
}
