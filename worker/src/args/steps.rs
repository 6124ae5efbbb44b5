//! `--http-allow`, `--secret`, `--shell-allow` and `--shell-env`: what steps may reach.

use std::convert::Infallible;

use almanac_activities::steps::{
    Allow, Commands, Guard, SecretEntry, SecretError, Secrets, ShellEntry, ShellError,
    ShellVariable, Steps,
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
    /// A secret that steps may name: NAME=env:VARIABLE or NAME=file:/path; may
    /// be given several times, or as a list with commas
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
}

impl StepArgs {
    /// What the flags mean, each secret and program looked at once.
    pub fn open(&self) -> Result<Steps, StepUsage> {
        let secrets: Result<Vec<_>, _> = self.secret.iter().cloned().collect();
        Ok(Steps::new(
            Guard::new(self.http_allow.clone()),
            Secrets::open(secrets?)?,
            Commands::open(self.shell_allow.clone(), self.shell_env.clone())?,
        ))
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
