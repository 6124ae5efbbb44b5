//! `--webhook-secret`: the flag for the secrets of webhooks.

use std::convert::Infallible;

use almanac_activities::webhooks::{WebhookSecretEntry, WebhookSecretError, WebhookSecrets};
use clap::Args;

/// The flag for the secrets of webhooks.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Webhooks")]
pub struct WebhookArgs {
    /// Verify requests to webhooks with this secret: NAME=env:VARIABLE or NAME=file:/path
    ///
    /// Event types name the secret. A file is read again when it changes. Give it several
    /// times, or as a list with commas.
    #[arg(long, value_name = "NAME=SOURCE", value_delimiter = ',', value_parser = secret)]
    pub webhook_secret: Vec<Result<WebhookSecretEntry, WebhookSecretError>>,
}

impl WebhookArgs {
    /// Returns the secrets that the flag describes. Each is read immediately.
    ///
    /// # Errors
    /// A secret cannot be read, or is too short or too long.
    pub fn open(&self) -> Result<WebhookSecrets, WebhookSecretError> {
        let entries: Result<Vec<_>, _> = self.webhook_secret.iter().cloned().collect();
        WebhookSecrets::open(entries?)
    }
}

/// Parses a secret's entry. An error is part of the value: an error of the command line's
/// parser would show the value, and the operator may have written the secret itself.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the shape that the command line's parser wants"
)]
fn secret(text: &str) -> Result<Result<WebhookSecretEntry, WebhookSecretError>, Infallible> {
    Ok(text.parse())
}
