//! Child processes that die with the test process.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::wait::SOON;

/// Starts the command given as arguments, prints its process id, and kills it
/// when standard input ends: the kernel closes that pipe however the parent
/// ends, while statics are never dropped.
const SUPERVISOR: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- >>"$SUPERVISOR_LOG" 2>&1 &
pid=$!
echo "$pid"
( cat <&3 >/dev/null; kill -KILL "$pid" ) >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait "$pid"
code=$?
kill "$watch" 2>/dev/null
exit "$code"
"#;

/// A child process that dies with its parent, however the parent ends.
#[derive(Debug)]
pub struct Supervised {
    supervisor: Child,
    pid: String,
}

impl Supervised {
    /// Starts `program`; what it prints is appended to `log`.
    pub fn spawn<A: AsRef<OsStr>>(
        program: &Path,
        args: impl IntoIterator<Item = A>,
        env: &[(&str, &str)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "sh"])
            .arg(program)
            .args(args)
            .envs(env.iter().copied())
            .env("SUPERVISOR_LOG", log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // An interrupt from the terminal is for the test process; its end ends this.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let stdout = supervisor
            .stdout
            .take()
            .context("the supervisor's output")?;
        let mut pid = String::new();
        BufReader::new(stdout).read_line(&mut pid)?;
        Ok(Self {
            supervisor,
            pid: pid.trim().to_owned(),
        })
    }

    /// The process id.
    pub fn pid(&self) -> &str {
        &self.pid
    }

    /// Sends a signal: `TERM`, `KILL`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let status = Command::new("sh")
            .args(["-c", r#"kill -s "$1" "$2""#, "sh", name, &self.pid])
            .status()?;
        if !status.success() {
            bail!("sending {name} to process {}: {status}", self.pid);
        }
        Ok(())
    }

    /// Returns `true` if the process has not ended.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.supervisor.try_wait()?.is_none())
    }

    /// Waits for its end: its exit code, 128 and the signal's number when it was killed.
    pub fn wait(&mut self, timeout: Duration) -> anyhow::Result<i32> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.supervisor.try_wait()? {
                return status.code().context("the supervisor was killed");
            }
            if Instant::now() > deadline {
                bail!("process {} still runs after {timeout:?}", self.pid);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it, without a chance to clean up, and waits for its end.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if self.is_running()? {
            drop(self.supervisor.stdin.take());
            self.wait(SOON)?;
        }
        Ok(())
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("killing process {}: {error:#}", self.pid);
        }
    }
}
