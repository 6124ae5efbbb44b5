//! The flags of the worker.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use almanac_activities::steps::{KeyEntry, KeyError};
use almanac_base::names::Project;
use almanac_core::record::{DriftPolicy, Options, OrphanPolicy};
use clap::{Args, ValueEnum};

use super::values::{at_least_a_second, duration, rate};
use super::{AuthArgs, StepArgs};
use crate::telemetry::LogFormat;

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
    /// The Temporal CLI [default: the one on the PATH]
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
    /// A key of 32 bytes or more that signs the steps in schedules; steps that no
    /// such key signed call nothing. SOURCE is `env:VARIABLE` or `file:/path`. The
    /// first key signs, each is accepted; may be given several times, or as a list
    /// with commas
    #[arg(long, value_name = "SOURCE", value_delimiter = ',', value_parser = key)]
    pub steps_key: Vec<Result<KeyEntry, KeyError>>,
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

/// Never an error of the command line's parser, which would show the value:
/// somebody may have written the key itself.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the shape that the command line's parser wants"
)]
fn key(text: &str) -> Result<Result<KeyEntry, KeyError>, Infallible> {
    Ok(text.parse())
}
