//! `--http-allow`, `--secret`, `--shell-allow`, `--shell-env` and `--nats-…`: what
//! steps may reach.

use std::convert::Infallible;

use almanac_activities::steps::{
    Allow, Commands, EgressGuard, Events, NatsUrl, NatsUrlError, SecretEntry, SecretError, Secrets,
    ShellEntry, ShellError, ShellVariable, Steps, Subject,
};
use clap::Args;

/// What steps may reach.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Steps")]
pub struct StepArgs {
    /// A host that steps may call although its address is not public: HOST,
    /// HOST:PORT, an address or a network like 10.0.0.0/8; may be given several
    /// times, or as a list with commas
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub http_allow: Vec<Allow>,
    /// A secret that steps may name: NAME=env:VARIABLE or NAME=file:/path, either
    /// with the hosts that it may be sent to, each after `@`: HOST, HOST:PORT,
    /// *.DOMAIN or an address; may be given several times, or as a list with commas
    #[arg(long, value_name = "NAME=SOURCE", value_delimiter = ',', value_parser = secret)]
    pub secret: Vec<Result<SecretEntry, SecretError>>,
    /// A program that steps may run: /path/to/program, or NAME=/path/to/program;
    /// may be given several times, or as a list with commas
    #[arg(long, value_name = "PROGRAM", value_delimiter = ',')]
    pub shell_allow: Vec<ShellEntry>,
    /// An environment variable that steps may set for programs; may be given
    /// several times, or as a list with commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub shell_env: Vec<ShellVariable>,
    /// NATS with a stream, to which steps publish events: nats:// or tls://, with
    /// or without credentials
    #[arg(long, value_name = "URL", value_parser = nats_url)]
    pub nats_url: Option<Result<NatsUrl, NatsUrlError>>,
    /// What the subjects of events begin with; the type of the event follows
    #[arg(long, value_name = "SUBJECT", default_value_t)]
    pub nats_subject: Subject,
}

/// Why what steps may reach cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StepUsage {
    /// A secret cannot be read.
    #[error("--secret: {0}")]
    Secret(#[from] SecretError),
    /// A program cannot be run.
    #[error("--shell-allow: {0}")]
    Shell(#[from] ShellError),
    /// Nothing can be published there.
    #[error("--nats-url: {0}")]
    Nats(#[from] NatsUrlError),
}

impl StepArgs {
    /// What the flags mean, each secret and program looked at once.
    pub fn open(&self) -> Result<Steps, StepUsage> {
        let secrets: Result<Vec<_>, _> = self.secret.iter().cloned().collect();
        let nats = self.nats_url.clone().transpose()?;
        let events = nats.map(|url| Events::new(url, self.nats_subject.clone()));
        let steps = Steps::new(
            EgressGuard::new(self.http_allow.clone()),
            Secrets::open(secrets?)?,
            Commands::open(self.shell_allow.clone(), self.shell_env.clone())?,
        );
        Ok(steps.publishing(events))
    }
}

/// Never an error of the command line's parser, which would show the value:
/// somebody may have written the secret itself.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the shape that the command line's parser wants"
)]
fn secret(text: &str) -> Result<Result<SecretEntry, SecretError>, Infallible> {
    Ok(text.parse())
}

/// The same: somebody may have written a password.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the shape that the command line's parser wants"
)]
fn nats_url(text: &str) -> Result<Result<NatsUrl, NatsUrlError>, Infallible> {
    Ok(text.parse())
}
