//! The command line: section 7 of the contract.
//!
//! Every flag `--foo-bar` is also read from `ALMANAC_FOO_BAR`; [`parse`] sees
//! to it for all of them, so that no flag can be without. The connection to
//! Temporal is configured by the SDK's own variables and profiles, not here.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use almanac_workflows::names::{DefinitionId, Project};
use almanac_workflows::record::{DriftPolicy, Options, OrphanPolicy};
use clap::builder::FalseyValueParser;
use clap::{
    ArgAction, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};
use jiff::{SignedDuration, Timestamp};

use crate::telemetry::LogFormat;

mod auth;
mod exec;
mod moving;
mod steps;

pub use self::auth::{AuthArgs, AuthMode, AuthUsage, ChosenAuth, JwtAlgorithm, JwtRules, KeyPlace};
pub use self::exec::ExecArgs;
pub use self::moving::{AdoptArgs, DestroyArgs, ImportArgs};
pub use self::steps::{StepArgs, StepUsage};

/// Schedules as code for Temporal.
#[derive(Debug, Parser)]
#[command(name = "almanac", version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Cmd,
    /// Which log lines are written to stderr, as `tracing` filters read it.
    /// `RUST_LOG` is read where this is not given [default: info for the
    /// worker, warn for the rest]
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Cmd {
    /// Start a Temporal dev server (with its UI) and the worker; Ctrl-C ends both
    Dev(DevArgs),
    /// Run the worker
    Run(RunArgs),
    /// Check definitions offline; fails when one is invalid
    Validate(ValidateArgs),
    /// Show what would change, field by field, and write nothing
    Plan(PlanArgs),
    /// Ask for a pass, wait for it and print its report
    Sync(SyncArgs),
    /// List the project's schedules as they are in Temporal
    List(ListArgs),
    /// Show one schedule as it is in Temporal
    Show(ShowArgs),
    /// Print what touched one schedule: writes of passes, failures, overrides
    History(HistoryArgs),
    /// Pause a schedule until it is unpaused, cleared, or the file says otherwise
    Pause(PauseArgs),
    /// End a pause, whoever made it
    Unpause(UnpauseArgs),
    /// Set what a schedule does over what its file says
    Override(OverrideArgs),
    /// Give a schedule back to its file
    ClearOverride(ClearOverrideArgs),
    /// Stop the reconciler: no schedule is written until it is resumed
    Suspend(SuspendArgs),
    /// Let a suspended reconciler go on
    Resume(ResumeArgs),
    /// Print the next fire times of a definition
    Next(NextArgs),
    /// Run a definition's steps here, without a server
    Exec(ExecArgs),
    /// Write existing schedules, whoever made them, as definitions
    Import(ImportArgs),
    /// Let definitions take over from schedules of other owners
    Adopt(AdoptArgs),
    /// Remove the project's schedules and its reconcile workflow
    Destroy(DestroyArgs),
    /// Print the JSON Schema of definitions, for editors
    Schema,
    /// Print a script that completes this command line in a shell
    Completion(CompletionArgs),
    /// Print the manual page, or write those of all commands
    Man(ManArgs),
}

/// `almanac run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The set of schedules this worker keeps; workers with the same project are replicas
    #[arg(long)]
    pub project: Project,
    /// What `run` and `dev` share.
    #[command(flatten)]
    pub worker: WorkerArgs,
}

/// `almanac dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// The set of schedules this worker keeps
    #[arg(long, default_value = "dev")]
    pub project: Project,
    /// Where the dev server keeps what it holds
    #[arg(long, value_name = "FILE", default_value = ".almanac/temporal.db")]
    pub db: PathBuf,
    /// The Temporal CLI [default: .tools/bin/temporal, then the one on the PATH]
    #[arg(long, value_name = "FILE")]
    pub temporal_cli: Option<PathBuf>,
    /// What `run` and `dev` share.
    #[command(flatten)]
    pub worker: WorkerArgs,
}

/// What `run` and `dev` share.
#[derive(Debug, Clone, Args)]
pub struct WorkerArgs {
    /// A folder of definitions, read recursively; may be given several times,
    /// or as a list with commas
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "definitions",
        value_delimiter = ','
    )]
    pub dir: Vec<PathBuf>,
    /// Where HTTP listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Time between two full passes
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = at_least_a_second)]
    pub reconcile_interval: Duration,
    /// How many schedules a pass works on at a time
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub reconcile_concurrency: u16,
    /// The most requests a second that a pass makes [default: no cap]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rps: Option<f64>,
    /// How long files must be quiet before they are read again
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = duration)]
    pub debounce: Duration,
    /// Time between two readings of the folders that nothing asked for
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = at_least_a_second)]
    pub rescan_interval: Duration,
    /// Each schedule is described in full once within this time
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = at_least_a_second)]
    pub resync_interval: Duration,
    /// What happens to a schedule that someone changed
    #[arg(long, value_enum, default_value_t)]
    pub drift: Drift,
    /// What happens to a schedule whose definition is gone
    #[arg(long, value_enum, default_value_t)]
    pub orphans: Orphans,
    /// The project that moves here under another name: each schedule is made
    /// paused while that one has the same, and waits for `almanac adopt`
    #[arg(long, value_name = "PROJECT")]
    pub adopts_from: Option<Project>,
    /// How long Temporal may be away at the start before that is an error in
    /// the log; the worker goes on trying
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub startup_retry: Duration,
    /// The process ends within this time when it is told to
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = at_least_a_second)]
    pub shutdown_timeout: Duration,
    /// How log lines look
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// Who may use HTTP. These are last: a heading is that of all that follows.
    #[command(flatten)]
    pub auth: AuthArgs,
    /// What steps may reach.
    #[command(flatten)]
    pub steps: StepArgs,
}

impl WorkerArgs {
    /// The options that passes obey.
    pub fn options(&self) -> Options {
        Options {
            reconcile_interval: self.reconcile_interval,
            resync_interval: self.resync_interval,
            drift: self.drift.into(),
            orphans: self.orphans.into(),
        }
    }
}

/// `almanac validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Files and folders [default: the folder `definitions`]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `almanac plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
    /// A folder of definitions; may be given several times, or as a list with commas
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "definitions",
        value_delimiter = ','
    )]
    pub dir: Vec<PathBuf>,
    /// What happens to a schedule that someone changed
    #[arg(long, value_enum, default_value_t)]
    pub drift: Drift,
    /// What happens to a schedule whose definition is gone
    #[arg(long, value_enum, default_value_t)]
    pub orphans: Orphans,
    /// Exit with 2 when a pass would write
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// `almanac sync`.
#[derive(Debug, Args)]
pub struct SyncArgs {
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
    /// Plan and report, write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Let the held removals with this digest go on
    #[arg(long, value_name = "DIGEST")]
    pub confirm: Option<String>,
    /// Do not wait for the pass
    #[arg(long)]
    pub no_wait: bool,
}

/// `almanac list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// `almanac show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The definition's id
    pub id: String,
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// `almanac history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// The definition's id
    pub id: DefinitionId,
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// `almanac pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The definition's id
    pub id: DefinitionId,
    /// Why, for whoever looks at three in the morning
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// How long [default: until it is cleared or the file changes it]
    #[arg(long = "for", value_name = "DURATION", value_parser = at_least_a_second)]
    pub duration: Option<Duration>,
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// `almanac unpause`.
#[derive(Debug, Args)]
pub struct UnpauseArgs {
    /// The definition's id
    pub id: DefinitionId,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "unpaused")]
    pub reason: String,
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// `almanac override`.
#[derive(Debug, Args)]
pub struct OverrideArgs {
    /// The definition's id
    pub id: DefinitionId,
    /// What to set: `cron=…`, `timezone=…` or `enabled=true|false`; several
    /// times for several, `cron` for several crons
    #[arg(long, value_name = "KEY=VALUE", required = true, value_parser = setting)]
    pub set: Vec<Setting>,
    /// Why, for whoever looks at three in the morning
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// How long [default: until it is cleared or the file changes it]
    #[arg(long = "for", value_name = "DURATION", value_parser = at_least_a_second)]
    pub duration: Option<Duration>,
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// `almanac clear-override`.
#[derive(Debug, Args)]
pub struct ClearOverrideArgs {
    /// The definition's id
    pub id: DefinitionId,
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// `almanac suspend`.
#[derive(Debug, Args)]
pub struct SuspendArgs {
    /// Why, for whoever looks at three in the morning
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// `almanac resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// One value of `almanac override --set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// `cron=…`
    Cron(String),
    /// `timezone=…`
    Timezone(String),
    /// `enabled=true|false`
    Enabled(bool),
}

fn setting(text: &str) -> Result<Setting, String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not KEY=VALUE"))?;
    match key {
        "cron" => Ok(Setting::Cron(value.to_owned())),
        "timezone" => Ok(Setting::Timezone(value.to_owned())),
        "enabled" => value
            .parse()
            .map(Setting::Enabled)
            .map_err(|_| format!("enabled must be true or false, not `{value}`")),
        _ => Err(format!(
            "`{key}` cannot be set: cron, timezone and enabled can"
        )),
    }
}

/// `almanac next`.
#[derive(Debug, Args)]
pub struct NextArgs {
    /// The id of a definition that has a live schedule, or a file
    #[arg(value_name = "ID|FILE")]
    pub what: String,
    /// How many times to print
    #[arg(short = 'n', long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub count: u16,
    /// Print times after this one [default: now]
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// The project and the output's format.
    #[command(flatten)]
    pub target: Target,
}

/// `almanac completion`.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// `almanac man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write `almanac.1` and a page for each command into this folder
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// Which project, and how to print.
#[derive(Debug, Args)]
pub struct Target {
    /// The project
    #[arg(long, default_value = "dev")]
    pub project: Project,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// How a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// `--drift`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Drift {
    /// It is corrected.
    #[default]
    Correct,
    /// It is only reported.
    Report,
}

impl From<Drift> for DriftPolicy {
    fn from(drift: Drift) -> Self {
        match drift {
            Drift::Correct => Self::Correct,
            Drift::Report => Self::Report,
        }
    }
}

/// `--orphans`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Orphans {
    /// It is deleted.
    #[default]
    Delete,
    /// It is paused.
    Pause,
    /// It is left alone and reported.
    Keep,
}

impl From<Orphans> for OrphanPolicy {
    fn from(orphans: Orphans) -> Self {
        match orphans {
            Orphans::Delete => Self::Delete,
            Orphans::Pause => Self::Pause,
            Orphans::Keep => Self::Keep,
        }
    }
}

/// Reads a command line.
///
/// # Errors
/// What clap says; its own exit code for bad usage is 2, the contract's is 1.
pub fn parse<I, T>(arguments: I) -> Result<Cli, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let matches = command().try_get_matches_from(arguments)?;
    Cli::from_arg_matches(&matches)
}

/// The command, each flag with its variable.
pub(crate) fn command() -> Command {
    with_variables(Cli::command())
}

fn with_variables(command: Command) -> Command {
    command
        .mut_args(|arg| {
            let Some(long) = arg
                .get_long()
                .filter(|long| !matches!(*long, "help" | "version"))
            else {
                return arg;
            };
            // Once a flag and process, so that clap may keep it for ever.
            let name: &'static str = Box::leak(
                format!("ALMANAC_{}", long.replace('-', "_").to_uppercase()).into_boxed_str(),
            );
            let arg = arg.env(name).hide_env_values(true);
            if matches!(arg.get_action(), ArgAction::SetTrue) {
                arg.value_parser(FalseyValueParser::new())
            } else {
                arg
            }
        })
        .mut_subcommands(with_variables)
}

fn duration(text: &str) -> Result<Duration, String> {
    let good = "write it like 500ms, 30s, 5m, 1h30m";
    let signed = SignedDuration::from_str(text).map_err(|error| format!("{error}; {good}"))?;
    Duration::try_from(signed).map_err(|_| format!("`{text}` is negative; {good}"))
}

fn at_least_a_second(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|value| {
        if value < Duration::from_secs(1) {
            Err(format!("`{text}` is shorter than 1s"))
        } else {
            Ok(value)
        }
    })
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        Ok(_) => Err(format!("`{text}` is not above 0")),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
