//! `run: shell`: a command that the worker's configuration names.
//!
//! There is no shell: the program is started with its arguments as they are. Its
//! environment is the worker's `PATH`, and the values that the task gives for the variables
//! that the configuration names. Other variables are refused, since many make a program run
//! other code (`BASH_ENV`, `PERL5OPT`, `NODE_OPTIONS`, `PYTHONPATH`).
//!
//! The program leads a process group of its own. The group is ended as a whole: on
//! cancellation, at the limit of time or of output, and when the program itself has ended.

mod process;
mod process_groups;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use almanac_base::names::DefinitionId;
use almanac_steps::language::RunOutput;
use almanac_steps::machine::{ShellRequest, Standard};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::StepError;
use super::http::{entries, texts};
use super::secrets::is_variable;
use process::{End, Finished, Job};
use process_groups::ProcessGroups;

/// Maximum size of a command's stdout, and of its stderr, in bytes. The history has to hold
/// both.
const OUTPUT_LIMIT: usize = 512 * 1024;
/// Maximum number of commands that no step waits for and that run at a time on a worker.
const UNAWAITED: usize = 32;
/// Maximum length of the part of stderr that an error repeats, in characters.
const QUOTED: usize = 300;

/// An entry of `--shell-allow`: `/path/to/program` or `NAME=/path/to/program`, each with
/// the definitions that may run the program: `NAME=/path@DEFINITION@DEFINITION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellEntry {
    name: String,
    program: Program,
}

/// A program, and the definitions that may run it. Without definitions, every definition
/// may.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Program {
    path: PathBuf,
    definitions: BTreeSet<DefinitionId>,
}

/// An entry of `--shell-env`: the name of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellVariable(String);

impl FromStr for ShellVariable {
    type Err = ShellError;

    fn from_str(name: &str) -> Result<Self, ShellError> {
        let refuse = |why| ShellError::Variable {
            name: name.to_owned(),
            why,
        };
        if !is_variable(name) {
            return Err(refuse("is not a valid name"));
        }
        if is_the_systems(name) {
            return Err(refuse(
                "decides where programs and libraries are found, so steps can never set it",
            ));
        }
        Ok(Self(name.to_owned()))
    }
}

/// Returns `true` if a variable decides which code runs, whatever the program.
fn is_the_systems(name: &str) -> bool {
    matches!(name, "PATH" | "GCONV_PATH") || name.starts_with("LD_") || name.starts_with("DYLD_")
}

/// Error of a command or variable that cannot be allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShellError {
    /// The entry is malformed.
    #[error("`{0}` is not /path/to/program or NAME=/path/to/program, or either with @DEFINITION")]
    Entry(String),
    /// No step may set this variable.
    #[error("the variable `{name}` {why}")]
    Variable {
        name: String,
        /// Problem of the variable.
        why: &'static str,
    },
    /// Two entries have the same name.
    #[error("the command `{0}` is allowed twice")]
    Twice(String),
    /// The program cannot be run.
    #[error("the command `{name}`: {} {why}", program.display())]
    Program {
        name: String,
        program: PathBuf,
        /// Problem of the program.
        why: String,
    },
}

impl FromStr for ShellEntry {
    type Err = ShellError;

    fn from_str(entry: &str) -> Result<Self, ShellError> {
        let bad = || ShellError::Entry(entry.to_owned());
        let mut parts = entry.split('@');
        let command = parts.next().unwrap_or_default();
        let definitions = parts.map(str::parse).collect::<Result<_, _>>();
        let definitions = definitions.map_err(|_| bad())?;
        let (name, path) = match command.split_once('=') {
            Some((name, path)) if !name.contains('/') => (name, path),
            _ => (command, command),
        };
        let is_blank = |c: char| c.is_whitespace() || c.is_control();
        if name.is_empty() || name.contains(is_blank) || !Path::new(path).is_absolute() {
            return Err(bad());
        }
        Ok(Self {
            name: name.to_owned(),
            program: Program {
                path: path.into(),
                definitions,
            },
        })
    }
}

/// The commands that definitions may run, and the variables that they may set.
#[derive(Debug, Clone)]
pub struct Commands {
    by_name: BTreeMap<String, Program>,
    variables: BTreeSet<String>,
    /// Places for commands that no step waits for.
    unawaited: Arc<Semaphore>,
    groups: Arc<ProcessGroups>,
}

impl Default for Commands {
    fn default() -> Self {
        Self {
            by_name: BTreeMap::new(),
            variables: BTreeSet::new(),
            unawaited: Arc::new(Semaphore::new(UNAWAITED)),
            groups: Arc::default(),
        }
    }
}

impl Commands {
    /// Opens the commands of these entries, each of whose programs must exist, with these
    /// variables.
    pub fn open(
        entries: Vec<ShellEntry>,
        variables: Vec<ShellVariable>,
    ) -> Result<Self, ShellError> {
        let mut commands = Self {
            variables: variables
                .into_iter()
                .map(|ShellVariable(name)| name)
                .collect(),
            ..Self::default()
        };
        for ShellEntry { name, program } in entries {
            if let Err(why) = runnable(&program.path) {
                let program = program.path;
                return Err(ShellError::Program { name, program, why });
            }
            if commands.by_name.insert(name.clone(), program).is_some() {
                return Err(ShellError::Twice(name));
            }
        }
        Ok(commands)
    }

    /// Number of running commands that no step waits for.
    pub(super) fn unawaited(&self) -> usize {
        UNAWAITED.saturating_sub(self.unawaited.available_permits())
    }

    /// Waits until the commands that no step waits for have ended.
    pub(super) async fn unawaited_end(&self) {
        let all = u32::try_from(UNAWAITED).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let _places = self.unawaited.acquire_many(all).await;
    }

    /// Asks the commands that no step waits for to end, and waits until they have.
    pub(super) async fn end_unawaited(&self) {
        self.groups.end_unawaited();
        self.unawaited_end().await;
    }

    /// Kills all commands, and lets none begin any more.
    pub(super) fn kill(&self) {
        self.groups.kill();
    }

    /// Returns `true` if a command is for some definitions only.
    pub(super) fn is_bound(&self, command: &str) -> bool {
        let found = self.by_name.get(command.trim());
        found.is_some_and(|program| !program.definitions.is_empty())
    }

    fn program(&self, command: &str, caller: Option<&DefinitionId>) -> Result<&Path, StepError> {
        let shown = || command.trim().chars().take(80).collect::<String>();
        let Some(program) = self.by_name.get(command.trim()) else {
            let detail = format!(
                "the worker may not run the command {:?}; hint: --shell-allow allows a program; \
                 put a script into a file of its own",
                shown()
            );
            return Err(StepError::configuration(detail));
        };
        let Program { path, definitions } = program;
        if definitions.is_empty() || caller.is_some_and(|caller| definitions.contains(caller)) {
            return Ok(path);
        }
        let detail = format!(
            "the command {:?} is allowed for other definitions than {} (--shell-allow)",
            shown(),
            caller.map_or("an unknown one", DefinitionId::as_str)
        );
        Err(StepError::lasting(Standard::Authorization, detail))
    }
}

fn runnable(program: &Path) -> Result<(), String> {
    let about = std::fs::metadata(program).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("is not a file".to_owned());
    }
    if about.permissions().mode() & 0o111 == 0 {
        return Err("is not executable".to_owned());
    }
    Ok(())
}

/// Runs the command of a task. `stop` resolves when the task is canceled.
pub(super) async fn run(
    commands: &Commands,
    request: ShellRequest,
    caller: Option<&DefinitionId>,
    within: Duration,
    stop: impl Future<Output = ()>,
) -> Result<Value, StepError> {
    let job = job(commands, &request, caller, within)?;
    let program = job.program.clone();
    let failed = move |error: std::io::Error| {
        let detail = format!("{} could not be run: {error}", program.display());
        StepError::lasting(Standard::Runtime, detail)
    };
    if !request.wait {
        let Ok(place) = Arc::clone(&commands.unawaited).try_acquire_owned() else {
            let detail = format!("{UNAWAITED} commands that no step waits for are already running");
            // The command was not started.
            return Err(StepError::if_again(true, Standard::Runtime, detail));
        };
        let running = job.start(&commands.groups).map_err(&failed)?;
        let ending = commands.groups.ending();
        // The limits of the command still hold, and end with this process.
        tokio::spawn(async move {
            let _place = place;
            match running.finish(ending).await {
                Ok(done) => {
                    tracing::debug!(end = ?done.end, "a command that no step waits for has ended");
                }
                Err(error) => {
                    tracing::warn!(%error, "a command that no step waits for was lost");
                }
            }
        });
        return Ok(Value::Null);
    }
    let running = job.start(&commands.groups).map_err(&failed)?;
    let finished = running.finish(stop).await.map_err(failed)?;
    output(&request, finished, within)
}

fn job(
    commands: &Commands,
    request: &ShellRequest,
    caller: Option<&DefinitionId>,
    within: Duration,
) -> Result<Job, StepError> {
    let program = commands.program(&request.command, caller)?.to_owned();
    if request.arguments.iter().any(|text| text.contains('\0')) {
        return Err(StepError::configuration("an argument has a NUL character"));
    }
    let mut environment: BTreeMap<OsString, OsString> = BTreeMap::new();
    if let Some(path) = std::env::var_os("PATH") {
        environment.insert("PATH".into(), path);
    }
    for (name, value) in entries("environment", request.environment.as_ref())? {
        let refuse = |why: &str| {
            let shown: String = name.chars().take(80).collect();
            StepError::configuration(format!("the environment variable {shown:?} {why}"))
        };
        if !commands.variables.contains(name) {
            return Err(refuse(
                "may not be set by steps; hint: --shell-env allows it",
            ));
        }
        let mut each = texts("environment", name, value)?;
        let Some(text) = each.pop() else { continue };
        if !each.is_empty() || text.contains('\0') {
            return Err(refuse("must be a single text without NUL characters"));
        }
        environment.insert(name.into(), text.into());
    }
    Ok(Job {
        program,
        arguments: request.arguments.clone(),
        environment,
        stdin: request.stdin.clone().unwrap_or_default().into_bytes(),
        within,
        output_limit: OUTPUT_LIMIT,
    })
}

/// Returns the output of a command that has ended, or its error. The definition decides if
/// a failed command runs again: nobody knows what the command has done.
fn output(
    request: &ShellRequest,
    finished: Finished,
    within: Duration,
) -> Result<Value, StepError> {
    let Finished {
        end,
        stdout,
        stderr,
    } = finished;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    let command = request.command.trim();
    let code = match end {
        End::Exited(code) => code,
        End::Signalled(signal) => {
            let detail = format!(
                "`{command}` was killed by signal {signal}{}",
                reason_suffix(&stderr)
            );
            return Err(StepError::lasting(Standard::Runtime, detail));
        }
        End::Stopped => {
            let detail = format!("`{command}` was canceled");
            return Err(StepError::lasting(Standard::Runtime, detail));
        }
        End::Late => {
            let detail = format!(
                "`{command}` took longer than {}s{}",
                within.as_secs_f64(),
                reason_suffix(&stderr)
            );
            return Err(StepError::lasting(Standard::Timeout, detail));
        }
        End::TooMuch => {
            let detail = format!(
                "`{command}` wrote more than {OUTPUT_LIMIT} bytes{}",
                reason_suffix(&stderr)
            );
            return Err(StepError::lasting(Standard::Runtime, detail));
        }
    };
    match request.output {
        RunOutput::Code => Ok(json!(code)),
        RunOutput::All => Ok(json!({"code": code, "stdout": stdout, "stderr": stderr})),
        _ if code != 0 => {
            let detail = format!(
                "`{command}` exited with code {code}{}",
                reason_suffix(&stderr)
            );
            Err(StepError::lasting(Standard::Runtime, detail))
        }
        RunOutput::Stdout => Ok(Value::String(stdout)),
        RunOutput::Stderr => Ok(Value::String(stderr)),
        RunOutput::None => Ok(Value::Null),
    }
}

/// Returns the end of stderr, which usually gives the reason.
fn reason_suffix(stderr: &str) -> String {
    let text = stderr.trim();
    let long = text.chars().count().saturating_sub(QUOTED);
    match text {
        "" => String::new(),
        text if long == 0 => format!(": {text}"),
        text => format!(": …{}", text.chars().skip(long).collect::<String>()),
    }
}
