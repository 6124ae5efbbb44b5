//! `--http-allow`, `--secret`, `--shell-allow` and `--shell-env`: the flags for what steps
//! may reach, beside those for NATS.

use std::convert::Infallible;

use almanac_activities::steps::{
    Allow, Commands, EgressGuard, SecretEntry, SecretError, Secrets, ShellEntry, ShellError,
    ShellVariable, Steps,
};
use clap::Args;

use super::nats::{NatsArgs, NatsUsage};

/// The flags for what steps may reach.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Steps")]
pub struct StepArgs {
    /// Let steps call this host although its address is not public
    ///
    /// HOST, HOST:PORT, an address or a network like 10.0.0.0/8. Give it several times,
    /// or as a list with commas.
    #[arg(long, value_name = "HOST", value_delimiter = ',')]
    pub http_allow: Vec<Allow>,
    /// Let steps use this secret: NAME=env:VARIABLE or NAME=file:/path
    ///
    /// The hosts that the secret may be sent to can follow, each after `@`: HOST,
    /// HOST:PORT, *.DOMAIN or an address. Give it several times, or as a list with
    /// commas.
    #[arg(long, value_name = "NAME=SOURCE", value_delimiter = ',', value_parser = secret)]
    pub secret: Vec<Result<SecretEntry, SecretError>>,
    /// Let steps run this program: /path/to/program, or NAME=/path/to/program
    ///
    /// The definitions that may run it can follow, each after `@`. Give it several times, or as a list with commas.
    #[arg(long, value_name = "PROGRAM", value_delimiter = ',')]
    pub shell_allow: Vec<ShellEntry>,
    /// Let steps set this environment variable for programs. Give it several times, or as
    /// a list with commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub shell_env: Vec<ShellVariable>,
    /// The flags for NATS. They are last, because a heading applies to all flags after it.
    #[command(flatten)]
    pub nats: NatsArgs,
}

/// An error in the flags for what steps may reach.
#[derive(Debug, thiserror::Error)]
pub enum StepUsage {
    /// A secret cannot be read.
    #[error("--secret: {0}")]
    Secret(#[from] SecretError),
    /// A program cannot be run.
    #[error("--shell-allow: {0}")]
    Shell(#[from] ShellError),
    /// The flags for NATS are not valid.
    #[error(transparent)]
    Nats(#[from] NatsUsage),
}

impl StepArgs {
    /// Returns the steps' limits that the flags describe. Each secret is read, and each
    /// program is checked, immediately.
    ///
    /// # Errors
    /// A secret, a program or the URL cannot be used: see [`StepUsage`].
    pub fn open(&self) -> Result<Steps, StepUsage> {
        let secrets: Result<Vec<_>, _> = self.secret.iter().cloned().collect();
        let steps = Steps::new(
            EgressGuard::new(self.http_allow.clone()),
            Secrets::open(secrets?)?,
            Commands::open(self.shell_allow.clone(), self.shell_env.clone())?,
        );
        Ok(steps.publishing(self.nats.publisher()?))
    }
}

/// Parses a secret's entry. An error is part of the value: an error of the command line's
/// parser would show the value, and the operator may have written the secret itself.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the shape that the command line's parser wants"
)]
fn secret(text: &str) -> Result<Result<SecretEntry, SecretError>, Infallible> {
    Ok(text.parse())
}
