//! The process of a server of `almanac dev`.
//!
//! Always holds: the server ends with this process, however this process ends, SIGKILL
//! included. The server runs in a process group of its own, so that Ctrl-C reaches only
//! Almanac, which drains its workers first.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// Number of starts before the server's end counts as a failure: another process may take
/// a port that was free just before, and the server reports that in many different ways.
pub(super) const ATTEMPTS: usize = 4;
/// Number of lines of the server's complaints that are kept.
const LINES_KEPT: usize = 5;
/// Beginnings of a line that says why the server ends.
const LAST_WORDS: [&str; 3] = ["Error:", "panic:", "fatal error:"];
/// Maximum time until the server ends.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Runs `"$@"` and ends it when standard input closes: the holder of the other end has
/// ended then. A shell can do this without the unsafe code that asking the kernel for it
/// takes.
const TIED_TO_STDIN: &str = r#"
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
struct ServerOutput {
    /// `true` if the server has printed that it serves.
    serves: bool,
    /// The last lines of standard error, or the first lines from the one that says why
    /// the server ends.
    complaints: Vec<String>,
}

impl ServerOutput {
    fn complain(&mut self, line: String) {
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

type SharedOutput = Arc<Mutex<ServerOutput>>;

fn lock(output: &Mutex<ServerOutput>) -> MutexGuard<'_, ServerOutput> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The meaning of a line that a server prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// The server serves.
    Serves,
    /// The server complains.
    Complaint,
    /// Nothing that is kept.
    Other,
}

/// A running server.
#[derive(Debug)]
pub(super) struct ServerProcess {
    /// Name of the server in messages.
    name: &'static str,
    child: Child,
    output: SharedOutput,
    /// The pipe to the server's shell. Closing it ends the server.
    tie: Option<ChildStdin>,
}

impl ServerProcess {
    /// Starts `program` with the arguments that `add` adds. `read_stdout` and `read_stderr`
    /// tell what each line of the output means.
    pub(super) fn spawn(
        name: &'static str,
        program: &Path,
        add: impl FnOnce(&mut Command),
        read_stdout: impl Fn(&str) -> Line + Send + 'static,
        read_stderr: impl Fn(&str) -> Line + Send + 'static,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", TIED_TO_STDIN, name]).arg(program);
        add(&mut command);
        let mut child = command
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
            listen(stdout, Arc::clone(&output), read_stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            listen(stderr, Arc::clone(&output), read_stderr);
        }
        Ok(Self {
            name,
            child,
            output,
            tie,
        })
    }

    /// Returns `true` if the server has printed that it serves.
    pub(super) fn serves(&self) -> bool {
        lock(&self.output).serves
    }

    /// Returns `true` if the server has ended.
    pub(super) fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Fails with the reason if the server has ended.
    pub(super) fn check_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{}", self.end(status)),
            None => Ok(()),
        }
    }

    /// Waits for the server to end by itself, and returns the reason.
    pub(super) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => self.end(status),
            Err(error) => format!("the {} was lost: {error}", self.name),
        }
    }

    /// Ends the server.
    pub(super) async fn stop(mut self) {
        drop(self.tie.take());
        if tokio::time::timeout(END_LIMIT, self.child.wait())
            .await
            .is_err()
        {
            let server = self.name;
            tracing::warn!(server, "a dev server has not exited; its watcher ends it");
        }
    }

    fn end(&self, status: ExitStatus) -> String {
        let complaint = lock(&self.output).complaints.join("; ");
        format!("the {} ended ({status}): {complaint}", self.name)
    }
}

/// Reads all output of the server, so that the server never waits for a reader.
fn listen(
    output: impl AsyncRead + Unpin + Send + 'static,
    kept: SharedOutput,
    read: impl Fn(&str) -> Line + Send + 'static,
) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.trim().is_empty() {
                continue;
            }
            tracing::debug!(line, "output of a dev server");
            match read(&line) {
                Line::Serves => lock(&kept).serves = true,
                Line::Complaint => lock(&kept).complain(line),
                Line::Other => {}
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

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
