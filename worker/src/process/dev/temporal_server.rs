//! The Temporal dev server of `almanac dev`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use almanac_activities::router::EVENT_ATTRIBUTES;
use anyhow::{Context as _, bail};
use tokio::process::Command;
use tokio::time::Instant;

use super::server_process::{ATTEMPTS, Line, ServerProcess};
use super::{free_address, on_path};

/// Ports of Temporal and its UI, if these are free.
pub(super) const PORT: u16 = 7233;
const UI_PORT: u16 = 8233;
/// Maximum time until the server serves: its first start creates its tables.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Maximum time until a server that serves prints its address. Its own line counts, since
/// another server may answer at the address.
const BANNER_LIMIT: Duration = Duration::from_secs(10);

/// A running dev server.
#[derive(Debug)]
pub struct TemporalServer {
    process: ServerProcess,
    address: SocketAddr,
    ui: SocketAddr,
}

impl TemporalServer {
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
            let ended = server.process.has_ended()?;
            server.stop().await;
            if !ended || attempt == ATTEMPTS {
                return Err(error);
            }
            tracing::warn!(error = format!("{error:#}"), "trying other ports");
            attempt += 1;
        }
    }

    /// Address of the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Address of Temporal's UI.
    pub fn ui(&self) -> SocketAddr {
        self.ui
    }

    async fn spawn(cli: &Path, db: &Path) -> anyhow::Result<Self> {
        let address = free_address(PORT).await?;
        let ui = free_address(UI_PORT).await?;
        let port = format!(":{}", address.port());
        let process = ServerProcess::spawn(
            "temporal dev server",
            cli,
            |command| {
                let attributes = EVENT_ATTRIBUTES
                    .iter()
                    .flat_map(|name| ["--search-attribute".to_owned(), format!("{name}=Keyword")]);
                command
                    .args(["server", "start-dev", "--ip", "127.0.0.1"])
                    .args(["--log-level", "error"])
                    .args(["--port", &address.port().to_string()])
                    .args(["--ui-port", &ui.port().to_string()])
                    .args(attributes)
                    .arg("--db-filename")
                    .arg(db);
            },
            move |line| {
                if line.trim_end().ends_with(&port) {
                    Line::Serves
                } else {
                    Line::Other
                }
            },
            |_| Line::Complaint,
        )?;
        Ok(Self {
            process,
            address,
            ui,
        })
    }

    /// Waits until the server serves.
    async fn serving(&mut self, cli: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        let mut answered = None;
        loop {
            self.process.check_running()?;
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
                    if self.process.serves() || answered.elapsed() > BANNER_LIMIT {
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
        self.process.ended().await
    }

    /// Ends the server.
    pub async fn stop(self) {
        self.process.stop().await;
    }
}

/// Returns the Temporal CLI: the one of the flag, or the one on the PATH. A program in the
/// current folder is not trusted.
pub fn find_temporal_cli(flag: Option<&Path>) -> anyhow::Result<PathBuf> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cli_that_is_not_there_is_named() {
        let error = find_temporal_cli(Some(Path::new("/nowhere/temporal"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no temporal CLI at /nowhere/temporal (--temporal-cli)"
        );
    }
}
