//! The programs: `almanac` as it was built, and Temporal's own CLI.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

/// Maximum time for a command.
const LIMIT: Duration = Duration::from_mins(10);

/// Text with which the reconcile workflow says that a manual run was not begun.
pub(crate) const NOTHING_SENT: &str = "nothing was sent";

/// Texts with which `almanac` says that the reconcile workflow or the server had
/// too much to do.
const UNANSWERED: [&str; 3] = [
    "did not answer",
    "has not ended yet",
    "workflow update was aborted",
];

/// Text with which `almanac` says that a busy server did not answer a request in time.
const TIMED_OUT: &str = "Timeout expired";

/// Output of a program, and its exit code.
#[derive(Debug)]
pub struct Output {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output, when the exit code is 0.
    pub fn success(self) -> anyhow::Result<String> {
        if self.code == 0 {
            return Ok(self.stdout);
        }
        bail!("exit code {}\n{}{}", self.code, self.stdout, self.stderr)
    }

    /// Standard output as JSON, when the exit code is 0.
    pub fn json(self) -> anyhow::Result<Value> {
        let text = self.success()?;
        serde_json::from_str(&text).with_context(|| text.clone())
    }

    /// Returns `true` if the command failed because it had no answer in time, or
    /// because nothing was sent, so that it can be tried again.
    pub fn is_unanswered(&self) -> bool {
        let is_late = UNANSWERED.iter().any(|text| self.has_error(text));
        self.code == 1 && (is_late || self.stdout.contains(NOTHING_SENT))
    }

    /// Returns `true` if the command failed because the server did not answer in time. The server
    /// may have done what was asked.
    pub(crate) fn has_timed_out(&self) -> bool {
        self.code == 1 && self.has_error(TIMED_OUT)
    }

    fn has_error(&self, text: &str) -> bool {
        let mut errors = self.stderr.lines().filter(|line| line.contains("error: "));
        errors.any(|line| line.contains(text))
    }
}

/// Runs `almanac` to its end, with `TEMPORAL_ADDRESS` set to `address`.
pub fn almanac<A: AsRef<OsStr>>(
    address: &str,
    args: impl IntoIterator<Item = A>,
) -> anyhow::Result<Output> {
    let mut command = Command::new(almanac_binary());
    command.args(args).env("TEMPORAL_ADDRESS", address);
    output(command)
}

/// The same, in a namespace that `TEMPORAL_NAMESPACE` names.
pub fn almanac_in<A: AsRef<OsStr>>(
    address: &str,
    namespace: &str,
    args: impl IntoIterator<Item = A>,
) -> anyhow::Result<Output> {
    let mut command = Command::new(almanac_binary());
    command.args(args).env("TEMPORAL_ADDRESS", address);
    command.env("TEMPORAL_NAMESPACE", namespace);
    output(command)
}

/// Runs Temporal's CLI to its end; an exit code other than 0 is an error. It is the pinned one, also
/// if the server is older.
pub fn temporal_cli<A: AsRef<OsStr>>(
    address: &str,
    args: impl IntoIterator<Item = A>,
) -> anyhow::Result<String> {
    let mut command = Command::new(tool("temporal")?);
    command.args(args).args(["--address", address]);
    output(command)?.success()
}

/// Runs a Python script with Temporal's Python client; the server's address is
/// its first argument.
pub fn python<A: AsRef<OsStr>>(
    address: &str,
    script: &str,
    args: impl IntoIterator<Item = A>,
) -> anyhow::Result<String> {
    let mut command = Command::new(python_program()?);
    command.args(["-c", script, address]).args(args);
    output(command)?.success()
}

/// Python with Temporal's client, as `make tools` puts it there.
pub fn python_program() -> anyhow::Result<PathBuf> {
    let python = workspace().join(".tools/bin/python");
    if !python.exists() {
        bail!("no Python at {}: run `make tools`", python.display());
    }
    Ok(python)
}

/// Runs a command to its end, and kills it at [`LIMIT`].
fn output(mut command: Command) -> anyhow::Result<Output> {
    let program = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("running {program}"))?;
    let stdout = read_all(child.stdout.take());
    let stderr = read_all(child.stderr.take());
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = |read: JoinHandle<Vec<u8>>| -> anyhow::Result<String> {
        let bytes = read.join().ok().context("a thread that reads")?;
        Ok(String::from_utf8(bytes)?)
    };
    let (stdout, stderr) = (text(stdout)?, text(stderr)?);
    let status =
        status.with_context(|| format!("{program} still ran after {LIMIT:?}\n{stdout}{stderr}"))?;
    Ok(Output {
        code: status.code().unwrap_or(-1),
        stdout,
        stderr,
    })
}

fn read_all(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still of use.
        let _cut_off = stream.map(|mut stream| stream.read_to_end(&mut bytes));
        bytes
    })
}

/// Cargo in the workspace.
///
/// `cargo test` describes the tested package to the tests in variables. Some build scripts of
/// dependencies run again when these change, and most of the workspace is then compiled again.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    command
}

/// The `almanac` binary, built now from the present sources, in the profile
/// that the tests were built in (or in release, for benchmarks). `ALMANAC_BINARY` names another one.
pub fn almanac_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("ALMANAC_BINARY") {
            return path.into();
        }
        // …/target/PROFILE/deps/e2e-HASH, or …/target/PROFILE/bench
        let this = std::env::current_exe().expect("the path of the test binary");
        let mut folder = this.parent().expect("a folder");
        if folder.ends_with("deps") {
            folder = folder.parent().expect("a folder");
        }
        let release = folder.ends_with("release");
        let mut build = cargo();
        // As the tests themselves were built, so that the dependencies are
        // there already: a test of the `almanac` package brings its binary.
        build.args(if release {
            &[
                "build",
                "--release",
                "--workspace",
                "--exclude",
                "custom-worker",
                "--bins",
            ][..]
        } else {
            &["test", "--no-run", "--workspace", "--test", "binary"][..]
        });
        build.args(["--quiet", "--locked"]);
        let status = build.status().expect("running cargo");
        assert!(status.success(), "building the almanac binary: {status}");
        folder.join("almanac")
    })
}

/// Temporal's CLI, as `make tools` puts it there. `ALMANAC_TEMPORAL_CLI`
/// names another one. Tests are never skipped for want of it.
pub(crate) fn temporal_binary() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("ALMANAC_TEMPORAL_CLI") {
        return Ok(path.into());
    }
    let path = workspace().join(".tools/bin/temporal");
    if !path.exists() {
        bail!("no Temporal CLI at {}: run `make tools`", path.display());
    }
    Ok(path)
}

/// A program that `make tools` puts there.
pub(crate) fn tool(name: &str) -> anyhow::Result<PathBuf> {
    let path = workspace().join(".tools/bin").join(name);
    if !path.exists() {
        bail!("no {name} at {}: run `make tools`", path.display());
    }
    Ok(path)
}

/// The folder of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace above the crate")
}
