//! The command line.
//!
//! Every flag `--foo-bar` is also read from `ALMANAC_FOO_BAR`; [`parse`] sees
//! to it for all of them, so that no flag can be without. The connection to
//! Temporal is configured by the SDK's own variables and profiles, not here.

use std::ffi::OsString;
use std::path::PathBuf;

use almanac_base::names::{DefinitionId, Project};
use clap::builder::FalseyValueParser;
use clap::{
    ArgAction, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};
use jiff::Timestamp;

mod auth;
mod exec;
mod manual_run_args;
mod moving;
mod operator;
mod steps;
mod values;
mod worker;

pub use self::auth::{AuthArgs, AuthMode, AuthUsage, ChosenAuth, JwtAlgorithm, JwtRules, KeyPlace};
pub use self::exec::ExecArgs;
pub use self::manual_run_args::{BackfillArgs, Overlap, TriggerArgs};
pub use self::moving::{AdoptArgs, DestroyArgs, ImportArgs};
pub use self::operator::{
    ClearOverrideArgs, OverrideArgs, PauseArgs, ResumeArgs, Setting, SuspendArgs, UnpauseArgs,
    Which,
};
pub use self::steps::{StepArgs, StepUsage};
pub use self::worker::{DevArgs, Drift, Orphans, RunArgs, WorkerArgs};

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
    /// Start a run now
    Trigger(TriggerArgs),
    /// Start the runs of a range of time
    Backfill(BackfillArgs),
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

#[cfg(test)]
mod tests;
