//! Processes that a document starts, and that do not end by themselves.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use almanac_tests::{SOON, Supervised, free_port};
use anyhow::{Context, bail, ensure};

/// Port at which a worker listens if its command does not name one.
pub(crate) const DEFAULT_PORT: u16 = 8080;
/// Pause before a process is asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// A worker or a codec server, as a document starts it, but with a port of its own.
pub(crate) struct Started {
    process: Supervised,
    /// The command of the document.
    command: String,
    /// Port in the document.
    shown_port: u16,
    port: u16,
    log: PathBuf,
}

impl Started {
    /// Returns `true` if a command starts such a process.
    pub(crate) fn is_by(command: &str) -> bool {
        ["almanac run", "almanac codec-server"]
            .iter()
            .any(|start| command.starts_with(start) || command.contains(&format!(" {start}")))
    }

    /// Starts a command of a document in a folder. `actual` replaces the places in it.
    pub(crate) fn start(
        command: &str,
        folder: &Path,
        environment: &[(&str, &str)],
        actual: impl Fn(&str) -> String,
    ) -> anyhow::Result<Self> {
        let port = free_port();
        let (shown_port, text) = with_port(command, port)?;
        let text = actual(text.trim_end_matches('&').trim_end());
        // The process must be the program, not the shell.
        let text = text.replacen("almanac ", "exec almanac ", 1);
        let script = format!("cd '{}'\n{text}", folder.display());
        let listen = format!("127.0.0.1:{port}");
        let environment = [environment, &[("ALMANAC_LISTEN", listen.as_str())]].concat();
        let log = folder.join(format!("started-{port}.log"));
        let process = Supervised::spawn(Path::new("bash"), ["-c", &script], &environment, &log)?;
        Ok(Self {
            process,
            command: command.to_owned(),
            shown_port,
            port,
            log,
        })
    }

    /// Returns `true` if the process ends with its block, because it is not in the background.
    pub(crate) fn is_in_foreground(&self) -> bool {
        !self.command.ends_with('&')
    }

    /// Returns `true` if the process is a worker of the project.
    pub(crate) fn is_of(&self, project: &str) -> bool {
        format!("{} ", self.command).contains(&format!("--project {project} "))
    }

    /// Port that stands for this process in the document, and its own.
    pub(crate) fn ports(&self) -> (u16, u16) {
        (self.shown_port, self.port)
    }

    /// Waits until it serves: a worker until it is ready, and gets events from NATS if it has an
    /// address of NATS. A version of a worker deployment is not ready before it is the current one.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        let expected = if self.command.contains("--nats-url") {
            r#""connected":true"#
        } else {
            ""
        };
        let deadline = Instant::now() + 2 * SOON;
        loop {
            let (code, body) = self.ask("/readyz")?;
            let is_ready = match code.as_str() {
                "200" => body.contains(expected),
                "404" => !self.command.contains("almanac run"),
                "503" => body.contains("set-current-version"),
                _ => false,
            };
            if is_ready {
                return Ok(());
            }
            let is_running = self.process.is_running()?;
            if !is_running || Instant::now() > deadline {
                bail!("not ready: {code} {body}\n{}", self.printed()?);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks it to end.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        self.process.signal("TERM")?;
        let code = self.process.wait(SOON)?;
        ensure!(code == 0, "exit code {code}\n{}", self.printed()?);
        Ok(())
    }

    /// Status and body of its answer; `000` without one.
    fn ask(&self, path: &str) -> anyhow::Result<(String, String)> {
        let output = Command::new("curl")
            .args(["--silent", "--write-out", "\n%{http_code}"])
            .arg(format!("http://127.0.0.1:{}{path}", self.port))
            .stdin(Stdio::null())
            .output()
            .context("running curl")?;
        let text = String::from_utf8(output.stdout)?;
        let (body, code) = text.rsplit_once('\n').context("curl prints a status")?;
        Ok((code.to_owned(), body.to_owned()))
    }

    fn printed(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }
}

/// The port that a command listens at, and the command with another port in its place.
fn with_port(command: &str, port: u16) -> anyhow::Result<(u16, String)> {
    let Some((before, after)) = command.split_once("--listen ") else {
        return Ok((DEFAULT_PORT, command.to_owned()));
    };
    let (address, rest) = match after.split_once(' ') {
        Some((address, rest)) => (address, format!(" {rest}")),
        None => (after, String::new()),
    };
    let (host, shown) = address.rsplit_once(':').context("a port")?;
    let text = format!("{before}--listen {host}:{port}{rest}");
    Ok((shown.parse()?, text))
}

#[test]
fn a_port_is_replaced() {
    let replaced = |command: &str| with_port(command, 7).unwrap();
    let text = "almanac run --project a --listen ";
    for (rest, shown_port, expected) in [
        ("0.0.0.0:8081 --auth token", 8081, "0.0.0.0:7 --auth token"),
        ("127.0.0.1:8080", 8080, "127.0.0.1:7"),
    ] {
        let expected = (shown_port, format!("{text}{expected}"));
        assert_eq!(replaced(&format!("{text}{rest}")), expected);
    }
    let without = "almanac run --project a &";
    assert_eq!(replaced(without), (8080, without.to_owned()));
}
