//! The command line.
//!
//! Every flag `--foo-bar` is also read from the variable `ALMANAC_FOO_BAR`. [`parse`]
//! adds the variable to all flags, so that no flag can lack one. The connection to
//! Temporal is configured by the SDK's own variables and profiles, not here.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use almanac_activities::schedules::view::ScheduleState;
use almanac_base::names::{DefinitionId, Project};
use almanac_core::record::Selector;
use clap::builder::FalseyValueParser;
use clap::{
    ArgAction, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};
use jiff::Timestamp;

mod auth;
mod codec;
mod events;
mod exec;
mod manual_run_args;
mod moving;
mod nats;
mod operator;
mod steps;
mod values;
mod webhooks;
mod worker;

pub use self::auth::{
    AuthArgs, AuthMode, AuthUsage, ChosenAuth, JwtAlgorithm, JwtRules, KeyPlace, Network,
    NetworkError, ProxyRules,
};
pub use self::codec::{CodecArgs, CodecServerArgs};
pub use self::events::{
    DeadEventsArgs, EventArgs, EventsArgs, EventsCmd, ListEventsArgs, SendEventArgs,
    URL as EVENTS_URL, WorkerTarget,
};
pub use self::exec::ExecArgs;
pub use self::manual_run_args::{BackfillArgs, Overlap, TriggerArgs};
pub use self::moving::{ADOPT_WAIT, AdoptArgs, DestroyArgs, ImportArgs};
pub use self::nats::{NatsArgs, NatsStreamArgs, NatsUsage};
pub use self::operator::{
    ClearOverrideArgs, OverrideArgs, PauseArgs, ResumeArgs, Setting, SuspendArgs, UnpauseArgs,
    Which,
};
pub use self::steps::{StepArgs, StepUsage};
use self::values::{schedule_state, watch_interval};
pub use self::webhooks::WebhookArgs;
pub use self::worker::{DevArgs, Drift, Orphans, RunArgs, WorkerArgs};

/// The folder that commands read definitions from by default.
pub const DEFINITIONS: &str = "definitions";

/// Schedules as code for Temporal.
#[derive(Debug, Parser)]
#[command(name = "almanac", version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// The command to run.
    #[command(subcommand)]
    pub command: Cmd,
    /// Write the log lines that match this `tracing` filter to stderr [default:
    /// `RUST_LOG`; without it, info for the worker and warn for the rest]
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
}

/// The commands of `almanac`.
#[derive(Debug, Subcommand)]
pub enum Cmd {
    /// Start a Temporal dev server (with its UI) and the worker; Ctrl-C ends both
    Dev(DevArgs),
    /// Run the worker
    Run(RunArgs),
    /// Check definitions offline; fail if one is invalid
    Validate(ValidateArgs),
    /// Print the changes that a pass would make, field by field; write nothing
    Plan(PlanArgs),
    /// Request a pass, wait until it ends, and print its report
    Sync(SyncArgs),
    /// Print what is wrong: Temporal, the workers, the last pass, and the schedules that need
    /// attention
    Status(StatusArgs),
    /// List the project's schedules as they are in Temporal
    List(ListArgs),
    /// Show one schedule as it is in Temporal
    Show(ShowArgs),
    /// Print who did what, when and why: writes of passes, failures, overrides, manual runs
    History(HistoryArgs),
    /// Pause a schedule until it is unpaused, its override ends, or its file changes `enabled`
    Pause(PauseArgs),
    /// Unpause a schedule, no matter who paused it
    Unpause(UnpauseArgs),
    /// Override values of a schedule's file
    Override(OverrideArgs),
    /// Remove the override of a schedule, so that its file decides again
    ClearOverride(ClearOverrideArgs),
    /// Start a run of a schedule now
    Trigger(TriggerArgs),
    /// Start the runs of a schedule for a range of time
    Backfill(BackfillArgs),
    /// Suspend the reconcile workflow: no schedule is written until it is resumed
    Suspend(SuspendArgs),
    /// Resume a suspended reconcile workflow
    Resume(ResumeArgs),
    /// Print the next fire times of a definition
    Next(NextArgs),
    /// Draw the project's schedules on one time axis: their runs, gaps and times to come
    Timeline(TimelineArgs),
    /// List, show, replay and send events
    Events(EventsArgs),
    /// Run the steps of a definition in this process, without a server
    Exec(ExecArgs),
    /// Decrypt payloads for the Temporal UI and CLI
    CodecServer(CodecServerArgs),
    /// Write existing schedules of any owner as definitions
    Import(ImportArgs),
    /// Let definitions take over from schedules of other owners
    Adopt(AdoptArgs),
    /// Remove the project's schedules and its reconcile workflow
    Destroy(DestroyArgs),
    /// Print the JSON Schema of definitions, for editors
    Schema,
    /// Print a script that completes this command line in a shell
    Completion(CompletionArgs),
    /// Print the manual page, or write the pages of all commands
    Man(ManArgs),
}

/// The flags of `almanac validate`.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Files and folders to check [default: the folder `definitions`]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Print in this format
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// The flags of `almanac plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
    /// Read definitions from this folder. Give it several times, or as a list with commas
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = DEFINITIONS,
        value_delimiter = ','
    )]
    pub dir: Vec<PathBuf>,
    /// Choose the action on drift: a change of a schedule that no file asked for
    #[arg(long, value_enum, default_value_t)]
    pub drift: Drift,
    /// Choose the action on an orphaned schedule, which no definition asks for any more
    #[arg(long, value_enum, default_value_t)]
    pub orphans: Orphans,
    /// Exit with 2 if a pass would write
    #[arg(long)]
    pub detailed_exitcode: bool,
}

/// The flags of `almanac sync`.
#[derive(Debug, Args)]
pub struct SyncArgs {
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
    /// Plan and report, but write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Confirm the held removals that have this digest
    #[arg(long, value_name = "DIGEST")]
    pub confirm: Option<String>,
    /// Do not wait for the pass
    #[arg(long)]
    pub no_wait: bool,
}

/// The flags of `almanac list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print all states of each schedule, absolute times, the workflow type, and who wrote the
    /// note
    #[arg(long)]
    pub wide: bool,
    /// Sort by this column
    #[arg(long, value_enum, default_value_t, value_name = "COLUMN")]
    pub sort: SortBy,
    /// List only the schedules to which one of these states applies
    #[arg(long, value_name = "STATE,…", value_delimiter = ',', value_parser = schedule_state())]
    pub state: Vec<ScheduleState>,
    /// List only the schedules of definitions that have all these labels, like
    /// `team=billing,env=prod`. Only a worker knows the labels
    #[arg(long, value_name = "LABEL=VALUE,…")]
    pub selector: Option<Selector>,
    /// Reprint the list every SECONDS (default 2) until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
        default_missing_value = "2", value_parser = watch_interval, conflicts_with = "format")]
    pub watch: Option<Duration>,
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

/// The column that `almanac list` sorts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SortBy {
    /// By id.
    #[default]
    Id,
    /// By state, in order of precedence: `conflict` first, `active` last.
    State,
    /// By the next run, the soonest first.
    Next,
    /// By the last run, the latest first.
    Last,
}

/// The flags of `almanac status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Reprint the status every SECONDS (default 2) until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
        default_missing_value = "2", value_parser = watch_interval, conflicts_with = "format")]
    pub watch: Option<Duration>,
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

/// The flags of `almanac show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The id of the definition
    pub id: String,
    /// Read the triggers of the definition from this folder, since Temporal does not have them. Give
    /// it several times, or as a list with commas
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = DEFINITIONS,
        value_delimiter = ','
    )]
    pub dir: Vec<PathBuf>,
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

/// The flags of `almanac history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// The id of a definition [default: all definitions, and requests about the project]
    pub id: Option<DefinitionId>,
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

/// The flags of `almanac next`.
#[derive(Debug, Args)]
pub struct NextArgs {
    /// The id of a definition that has a live schedule, or a file
    #[arg(value_name = "ID|FILE")]
    pub what: String,
    /// Print this number of fire times
    #[arg(short = 'n', long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub count: u16,
    /// Print the fire times after this time [default: now]
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

/// The flags of `almanac timeline`.
#[derive(Debug, Args)]
pub struct TimelineArgs {
    /// Begin at this time, like `2026-03-01T00:00:00Z` [default: 24 hours before `--to`, or
    /// 12 hours ago]
    #[arg(long, value_name = "TIME")]
    pub from: Option<Timestamp>,
    /// End at this time, at most 8 days after the beginning [default: 24 hours after
    /// `--from`, or 12 hours ahead]
    #[arg(long, value_name = "TIME")]
    pub to: Option<Timestamp>,
    /// Draw only the schedules of definitions that have all these labels, like
    /// `team=billing,env=prod`. Only a worker knows the labels
    #[arg(long, value_name = "LABEL=VALUE,…")]
    pub selector: Option<Selector>,
    /// The project and the output format.
    #[command(flatten)]
    pub target: Target,
}

/// The flags of `almanac completion`.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell to complete for
    pub shell: clap_complete::Shell,
}

/// The flags of `almanac man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write `almanac.1` and a page for each command into this folder
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// The project and the output format: flags that most commands share.
#[derive(Debug, Args)]
pub struct Target {
    /// Act on this project
    #[arg(long, default_value = "dev")]
    pub project: Project,
    /// Print in this format
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The flags of the codec.
    #[command(flatten)]
    pub codec: CodecArgs,
}

/// The format in which a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// Text for people.
    #[default]
    Text,
    /// JSON for programs.
    Json,
    /// The same data as YAML.
    Yaml,
}

/// Parses a command line.
///
/// # Errors
/// The error of clap, with exit code 1 for bad usage in place of clap's 2: see
/// `docs/contract.md#7-command-line`.
pub fn parse<I, T>(arguments: I) -> Result<Cli, clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let matches = command().try_get_matches_from(arguments)?;
    Cli::from_arg_matches(&matches)
}

/// Returns the command, in which each flag has its variable.
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
            // Leaked because clap may keep the name for ever; this happens once for each
            // flag and process.
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

#[cfg(test)]
mod tests;
