//! The Temporal dev server of `almanac dev`.
//!
//! Always holds: the server ends with this process, however this process ends, SIGKILL
//! included. The server runs in a process group of its own, so that Ctrl-C reaches only
//! Almanac, which drains its workers first.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almanac_activities::router::EVENT_ATTRIBUTES;
use almanac_base::names::Project;
use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::Instant;

use super::dev_nats::DevNats;
use crate::console::Page;

/// Ports of Temporal and its UI, if these are free.
const PORT: u16 = 7233;
const UI_PORT: u16 = 8233;
/// Default port of Almanac's HTTP.
const HTTP_PORT: u16 = 8080;
/// Maximum time until the server serves: its first start creates its tables.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Number of starts before the server's end counts as a failure: another process may take
/// a port that was free just before, and the server reports that in many different ways.
const ATTEMPTS: usize = 4;
/// Maximum time until a server that serves prints its address. Its own line counts, since
/// another server may answer at the address.
const BANNER_LIMIT: Duration = Duration::from_secs(10);
/// Number of lines of the server's complaints that are kept.
const LINES_KEPT: usize = 5;
/// Beginnings of a line that says why the server ends.
const LAST_WORDS: [&str; 3] = ["Error:", "panic:", "fatal error:"];
/// Maximum time until the server ends.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Runs `"$@"` and ends it when standard input closes: the holder of the other end has
/// ended then. A shell can do this without the unsafe code that asking the kernel for it
/// takes.
pub(super) const TIED_TO_STDIN: &str = r#"
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
( read -r _ <&3; kill -TERM "$server"; sleep 5; kill -KILL "$server" ) >/dev/null 2>&1 &
watcher=$!
wait "$server"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"#;

/// The output of the server.
#[derive(Debug, Default)]
pub(super) struct ServerOutput {
    /// `true` if the server has printed that it serves.
    serves: bool,
    /// The last lines of standard error, or the first lines from the one that says why
    /// the server ends.
    pub(super) complaints: Vec<String>,
}

impl ServerOutput {
    pub(super) fn complain(&mut self, line: String) {
        let begins = |line: &str| LAST_WORDS.iter().any(|word| line.starts_with(word));
        if begins(&line) {
            self.complaints.clear();
        } else if self.complaints.len() == LINES_KEPT {
            if begins(&self.complaints[0]) {
                return;
            }
            self.complaints.remove(0);
        }
        self.complaints.push(line);
    }
}

pub(super) type SharedOutput = Arc<Mutex<ServerOutput>>;

pub(super) fn lock(output: &Mutex<ServerOutput>) -> MutexGuard<'_, ServerOutput> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running dev server.
#[derive(Debug)]
pub struct DevServer {
    child: Child,
    output: SharedOutput,
    /// The pipe to the server's shell. Closing it ends the server.
    tie: Option<ChildStdin>,
    pub address: SocketAddr,
    /// Address of Temporal's UI.
    pub ui: SocketAddr,
}

impl DevServer {
    /// Starts a server that keeps its data in `db`, and waits until the server serves.
    pub async fn start(cli: &Path, db: &Path) -> anyhow::Result<Self> {
        if let Some(folder) = db.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot create the folder {} (--db)", folder.display()))?;
        }
        let mut attempt = 1;
        loop {
            let mut server = Self::spawn(cli, db).await?;
            let Err(error) = server.serving(cli).await else {
                return Ok(server);
            };
            let ended = server.child.try_wait()?.is_some();
            server.stop().await;
            if !ended || attempt == ATTEMPTS {
                return Err(error);
            }
            tracing::warn!(error = format!("{error:#}"), "trying other ports");
            attempt += 1;
        }
    }

    async fn spawn(cli: &Path, db: &Path) -> anyhow::Result<Self> {
        let address = free_address(PORT).await?;
        let ui = free_address(UI_PORT).await?;
        let mut child = Command::new("sh")
            .args(["-c", TIED_TO_STDIN, "temporal"])
            .arg(cli)
            .args([
                "server",
                "start-dev",
                "--ip",
                "127.0.0.1",
                "--log-level",
                "error",
            ])
            .args(["--port", &address.port().to_string()])
            .args(["--ui-port", &ui.port().to_string()])
            .args(
                EVENT_ATTRIBUTES
                    .iter()
                    .flat_map(|name| ["--search-attribute".to_owned(), format!("{name}=Keyword")]),
            )
            .arg("--db-filename")
            .arg(db)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a shell")?;
        let tie = child.stdin.take();
        let output = SharedOutput::default();
        if let Some(stdout) = child.stdout.take() {
            let (output, port) = (Arc::clone(&output), format!(":{}", address.port()));
            listen(stdout, move |line| {
                lock(&output).serves |= line.trim_end().ends_with(&port);
            });
        }
        if let Some(stderr) = child.stderr.take() {
            let output = Arc::clone(&output);
            listen(stderr, move |line| lock(&output).complain(line));
        }
        Ok(Self {
            child,
            output,
            tie,
            address,
            ui,
        })
    }

    /// Waits until the server serves.
    async fn serving(&mut self, cli: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        let mut answered = None;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "the temporal dev server ended ({status}): {}",
                    self.complaint()
                );
            }
            let asked = Command::new(cli)
                .args(["operator", "cluster", "health", "--address"])
                .arg(self.address.to_string())
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .output();
            if let Ok(answer) = tokio::time::timeout(Duration::from_secs(5), asked).await {
                let answer = answer.with_context(|| format!("cannot run {}", cli.display()))?;
                if String::from_utf8_lossy(&answer.stdout).contains("SERVING") {
                    let answered = *answered.get_or_insert_with(Instant::now);
                    if lock(&self.output).serves || answered.elapsed() > BANNER_LIMIT {
                        return Ok(());
                    }
                }
            }
            if Instant::now() > deadline {
                bail!("the temporal dev server is not ready after {START_LIMIT:?}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits for the server to end by itself, and returns the reason.
    pub async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => format!(
                "the temporal dev server ended ({status}): {}",
                self.complaint()
            ),
            Err(error) => format!("the temporal dev server was lost: {error}"),
        }
    }

    /// Ends the server.
    pub async fn stop(mut self) {
        drop(self.tie.take());
        if tokio::time::timeout(END_LIMIT, self.child.wait())
            .await
            .is_err()
        {
            tracing::warn!("the temporal dev server has not exited; its watcher ends it");
        }
    }

    fn complaint(&self) -> String {
        lock(&self.output).complaints.join("; ")
    }
}

/// Reads all output of the server, so that the server never waits for a reader.
pub(super) fn listen(
    output: impl AsyncRead + Unpin + Send + 'static,
    hear: impl Fn(String) + Send + 'static,
) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if !line.trim().is_empty() {
                tracing::debug!(line, "output of a dev server");
                hear(line);
            }
        }
    });
}

/// Returns the Temporal CLI: the one of the flag, or the one on the PATH. A program in the
/// current folder is not trusted.
pub fn find_cli(flag: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = flag {
        if !path.is_file() {
            bail!("no temporal CLI at {} (--temporal-cli)", path.display());
        }
        return Ok(path.to_owned());
    }
    on_path("temporal").context(
        "no temporal CLI on the PATH; hint: `make tools` installs one into .tools/bin, and \
         --temporal-cli names it",
    )
}

/// Returns the program with this name on the PATH.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // An empty or relative entry would also be the current folder.
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// Returns the address for HTTP: the address of the flag, or any free port in place of the
/// default port if that is taken, as beside another `almanac dev`.
pub async fn listen_address(flag: SocketAddr) -> anyhow::Result<SocketAddr> {
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP_PORT));
    if flag == default {
        free_address(HTTP_PORT).await
    } else {
        Ok(flag)
    }
}

/// Returns the page that is printed once all parts are up.
pub(crate) fn welcome(
    server: &DevServer,
    nats: Option<&DevNats>,
    http: SocketAddr,
    project: &Project,
) -> Page {
    let mut page = Page::of_line("");
    page.line(format!("  Temporal UI   http://{}", server.ui));
    page.line(format!("  Almanac       http://{http}"));
    if let Some(nats) = nats {
        page.line(format!("  NATS          {}", nats.url()));
    }
    page.line(format!("  project       {project}"));
    page.line("");
    // The command line finds the usual ports by itself.
    let is_other = [server.address.port() != PORT, http.port() != HTTP_PORT];
    if is_other[0] {
        page.line(format!("  export TEMPORAL_ADDRESS={}", server.address));
    }
    if is_other[1] {
        page.line(format!("  export ALMANAC_URL=http://{http}"));
    }
    if is_other.contains(&true) {
        page.line("");
    }
    page
}

/// Returns the given port of the loopback address, or any other port if that is taken.
pub async fn free_address(port: u16) -> anyhow::Result<SocketAddr> {
    for port in [port, 0] {
        // Dropped immediately: the server takes the port. No other part of the process
        // wants it.
        if let Ok(listener) = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return Ok(listener.local_addr()?);
        }
    }
    bail!("no free port on {}", Ipv4Addr::LOCALHOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_replaced() {
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        assert_ne!(free_address(port).await.unwrap().port(), port);
    }

    #[test]
    fn the_servers_last_error_lines_are_kept_from_the_first_one() {
        let mut output = ServerOutput::default();
        for number in 0..9 {
            output.complain(format!("a warning {number}"));
        }
        assert_eq!(output.complaints[0], "a warning 4");
        output.complain("panic: the port is taken".to_owned());
        for number in 0..9 {
            output.complain(format!("\tat line {number}"));
        }
        assert_eq!(output.complaints.len(), LINES_KEPT);
        assert_eq!(output.complaints[0], "panic: the port is taken");
    }

    #[test]
    fn a_cli_that_is_not_there_is_named() {
        let error = find_cli(Some(Path::new("/nowhere/temporal"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no temporal CLI at /nowhere/temporal (--temporal-cli)"
        );
    }

    #[tokio::test]
    async fn the_server_ends_when_its_pipe_is_closed() {
        let mut child = Command::new("sh")
            .args(["-c", TIED_TO_STDIN, "test", "sleep", "600"])
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        drop(child.stdin.take());
        let ended = tokio::time::timeout(Duration::from_secs(20), child.wait()).await;
        // 128 + SIGTERM: the server was ended, not the shell.
        assert_eq!(ended.unwrap().unwrap().code(), Some(143));
    }

    #[tokio::test]
    async fn a_server_that_ends_by_itself_is_noticed() {
        let mut child = Command::new("sh")
            .args(["-c", TIED_TO_STDIN, "test", "sh", "-c", "exit 7"])
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let _tie = child.stdin.take();
        let ended = tokio::time::timeout(Duration::from_secs(20), child.wait()).await;
        assert_eq!(ended.unwrap().unwrap().code(), Some(7));
    }
}
