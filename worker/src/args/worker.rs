//! The flags of the worker.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use almanac_activities::steps::{KeyEntry, KeyError};
use almanac_base::names::Project;
use almanac_core::record::{DriftPolicy, Options, OrphanPolicy};
use clap::{Args, ValueEnum};

use super::values::{at_least_a_second, build_id, deployment_name, duration, rate, web_address};
use super::{AuthArgs, CodecArgs, DEFINITIONS, NatsStreamArgs, StepArgs, WebhookArgs};
use crate::deployment::{BUILD_ID, DeploymentVersion};
use crate::telemetry::LogFormat;

/// The flags of `almanac run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Manage the schedules of this project. Workers with the same project are replicas
    #[arg(long)]
    pub project: Project,
    /// The flags that `run` and `dev` share.
    #[command(flatten)]
    pub worker: WorkerArgs,
}

/// The flags of `almanac dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Manage the schedules of this project
    #[arg(long, default_value = "dev")]
    pub project: Project,
    /// Keep the data of the dev server in this file
    #[arg(long, value_name = "FILE", default_value = ".almanac/temporal.db")]
    pub db: PathBuf,
    /// Use this Temporal CLI [default: the one on the PATH]
    #[arg(long, value_name = "FILE")]
    pub temporal_cli: Option<PathBuf>,
    /// Start a NATS server too, with a stream for events, and take events from it
    ///
    /// The server keeps its data in the folder `nats` beside the file of --db.
    #[arg(long, conflicts_with = "nats_url")]
    pub nats: bool,
    /// Use this NATS server for --nats [default: `nats-server` on the PATH]
    #[arg(long, value_name = "FILE", requires = "nats")]
    pub nats_server: Option<PathBuf>,
    /// The flags that `run` and `dev` share.
    #[command(flatten)]
    pub worker: WorkerArgs,
}

/// The flags that `run` and `dev` share.
#[derive(Debug, Clone, Args)]
pub struct WorkerArgs {
    /// Read definitions from this folder and its subfolders. Give it several times, or as
    /// a list with commas
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = DEFINITIONS,
        value_delimiter = ','
    )]
    pub dir: Vec<PathBuf>,
    /// Listen for HTTP on this address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Link runs and schedules on the web pages to the Temporal UI at this address
    #[arg(long, value_name = "URL", value_parser = web_address)]
    pub temporal_ui_url: Option<String>,
    /// Interval between two full passes
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = at_least_a_second)]
    pub reconcile_interval: Duration,
    /// Maximum number of schedules that a pass works on at a time
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub reconcile_concurrency: u16,
    /// Maximum number of requests a second that a pass makes [default: no limit]
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rps: Option<f64>,
    /// Read changed files again after they were quiet for this long
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = duration)]
    pub debounce: Duration,
    /// Interval between two readings of the folders, if no change was noticed in between
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = at_least_a_second)]
    pub rescan_interval: Duration,
    /// Describe each schedule in full once within this time
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = at_least_a_second)]
    pub resync_interval: Duration,
    /// Sign the steps in schedules with this key of at least 32 bytes
    ///
    /// SOURCE is `env:VARIABLE` or `file:/path`. The first key signs, and each key is
    /// accepted. Steps that no such key signed call nothing. Give it several times, or as
    /// a list with commas.
    #[arg(long, value_name = "SOURCE", value_delimiter = ',', value_parser = key)]
    pub steps_key: Vec<Result<KeyEntry, KeyError>>,
    /// Choose the action on drift: a change of a schedule that no file asked for
    #[arg(long, value_enum, default_value_t)]
    pub drift: Drift,
    /// Choose the action on an orphaned schedule, which no definition asks for any more
    #[arg(long, value_enum, default_value_t)]
    pub orphans: Orphans,
    /// Prepare to move this project to the one that --project names
    ///
    /// A schedule is created paused while the other project has the same one, and waits
    /// for `almanac adopt`.
    #[arg(long, value_name = "PROJECT")]
    pub adopts_from: Option<Project>,
    /// Use worker versioning, as a version of this worker deployment
    ///
    /// A run of steps ends on the version that it began with. Temporal sends no tasks to the
    /// worker until its version is made the deployment's current one.
    #[arg(long, value_name = "NAME", value_parser = deployment_name)]
    pub worker_deployment: Option<String>,
    /// Build ID of this version of the worker deployment [default: Almanac's version]
    #[arg(long, value_name = "ID", value_parser = build_id, requires = "worker_deployment")]
    pub worker_build_id: Option<String>,
    /// Log an error instead of a warning once Temporal has been unavailable for this
    /// long; the worker continues to try
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub startup_retry: Duration,
    /// End the process within this time after a signal
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = at_least_a_second)]
    pub shutdown_timeout: Duration,
    /// Name up to this number of schedules in labels of metrics: those that need attention, the
    /// most urgent first [default: none]
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true,
        value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub metrics_schedules: u16,
    /// Export OpenTelemetry traces to the collector at this address, like
    /// `http://collector:4317` (OTLP over gRPC)
    #[arg(long, value_name = "URL", value_parser = web_address)]
    pub otlp_endpoint: Option<String>,
    /// Write log lines in this format
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// The flags for who may use HTTP. These and the steps' flags are last, because a
    /// heading applies to all flags after it.
    #[command(flatten)]
    pub auth: AuthArgs,
    /// The flags of the codec.
    #[command(flatten)]
    pub codec: CodecArgs,
    /// The flag for the secrets of webhooks.
    #[command(flatten)]
    pub webhooks: WebhookArgs,
    /// The flags for what steps may reach.
    #[command(flatten)]
    pub steps: StepArgs,
    /// The flags for the stream of events.
    #[command(flatten)]
    pub nats_stream: NatsStreamArgs,
}

impl WorkerArgs {
    /// Returns the version of a worker deployment that this worker is; `None` without worker
    /// versioning. The version of a worker with other code than Almanac's must have a name of its
    /// own.
    pub fn deployment_version(
        &self,
        has_other_code: bool,
    ) -> Result<Option<DeploymentVersion>, BuildIdMissing> {
        let Some(deployment) = self.worker_deployment.clone() else {
            return Ok(None);
        };
        let build_id = match &self.worker_build_id {
            Some(build_id) => build_id.clone(),
            None if has_other_code => return Err(BuildIdMissing),
            None => BUILD_ID.to_owned(),
        };
        Ok(Some(DeploymentVersion {
            deployment,
            build_id,
        }))
    }

    /// Returns the options that passes obey.
    pub fn options(&self) -> Options {
        Options {
            reconcile_interval: self.reconcile_interval,
            resync_interval: self.resync_interval,
            drift: self.drift.into(),
            orphans: self.orphans.into(),
        }
    }
}

/// The worker has workflows or activities of its own, and the version of that code has no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "--worker-build-id is required with --worker-deployment in a worker with workflows or \
     activities of its own"
)]
pub struct BuildIdMissing;

/// The values of `--drift`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Drift {
    /// Correct the change.
    #[default]
    Correct,
    /// Only report the change.
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

/// The values of `--orphans`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Orphans {
    /// Delete the schedule.
    #[default]
    Delete,
    /// Pause the schedule.
    Pause,
    /// Leave the schedule as it is, and report it.
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

/// Parses a key's entry. An error is part of the value: an error of the command line's
/// parser would show the value, and the operator may have written the key itself.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the shape that the command line's parser wants"
)]
fn key(text: &str) -> Result<Result<KeyEntry, KeyError>, Infallible> {
    Ok(text.parse())
}
