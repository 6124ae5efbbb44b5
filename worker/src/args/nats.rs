//! `--nats-…`: the flags for NATS, which receives and publishes events.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use almanac_activities::event_stream::StreamSettings;
use almanac_activities::steps::{
    Events, NatsConnection, NatsFileError, NatsFiles, NatsUrl, NatsUrlError, Subject,
};
use clap::Args;

/// The flags for the connection to NATS.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "NATS")]
pub struct NatsArgs {
    /// Publish events to a stream of this NATS server: nats:// or tls://, with or without
    /// credentials
    ///
    /// A worker also takes events from the stream. Separate several servers of a cluster
    /// with commas.
    #[arg(long, value_name = "URL", value_parser = nats_url)]
    pub nats_url: Option<Result<NatsUrl, NatsUrlError>>,
    /// Begin the subject of each event with this; the type of the event follows
    #[arg(long, value_name = "SUBJECT", default_value_t)]
    pub nats_subject: Subject,
    /// Trust the certificates in this file, in place of the system's
    #[arg(long, value_name = "FILE", requires = "nats_url")]
    pub nats_ca: Option<PathBuf>,
    /// Show this certificate to NATS
    #[arg(
        long,
        value_name = "FILE",
        requires = "nats_url",
        requires = "nats_key"
    )]
    pub nats_cert: Option<PathBuf>,
    /// Use the key in this file for the certificate of --nats-cert
    #[arg(
        long,
        value_name = "FILE",
        requires = "nats_url",
        requires = "nats_cert"
    )]
    pub nats_key: Option<PathBuf>,
    /// Authenticate with this credentials file: a JWT with its seed
    ///
    /// The file is read again for each connection. If it changes, the worker connects
    /// again within about a minute.
    #[arg(long, value_name = "FILE", requires = "nats_url")]
    pub nats_credentials: Option<PathBuf>,
}

/// The flags for the stream of events of a worker.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "NATS")]
pub struct NatsStreamArgs {
    /// Take a message that has no event for the data of an event, of the type that its
    /// subject names
    #[arg(long)]
    pub nats_plain_json: bool,
    /// Create the stream EVENTS if no stream stores the events
    #[arg(long)]
    pub nats_create_stream: bool,
}

/// An error in the flags for NATS. No secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum NatsUsage {
    /// The URL is not valid.
    #[error("--nats-url: {0}")]
    Url(#[from] NatsUrlError),
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] NatsFileError),
}

impl NatsArgs {
    /// Returns the connection that the flags describe, if they name a server. Each file is
    /// checked immediately.
    ///
    /// # Errors
    /// The URL or a file cannot be used.
    pub fn connection(&self) -> Result<Option<NatsConnection>, NatsUsage> {
        let Some(url) = self.nats_url.clone().transpose()? else {
            return Ok(None);
        };
        let files = NatsFiles {
            ca: self.nats_ca.clone(),
            certificate: self.nats_cert.clone(),
            key: self.nats_key.clone(),
            credentials: self.nats_credentials.clone(),
        };
        Ok(Some(NatsConnection::new(url, files)?))
    }

    /// Returns the publisher of events, if the flags name a server.
    ///
    /// # Errors
    /// The URL or a file cannot be used.
    pub fn publisher(&self) -> Result<Option<Arc<Events>>, NatsUsage> {
        let connection = self.connection()?;
        let subject = self.nats_subject.clone();
        Ok(connection.map(|connection| Arc::new(Events::new(connection, subject))))
    }
}

impl NatsStreamArgs {
    /// Returns the settings of the stream of events, if the flags name a server.
    ///
    /// # Errors
    /// The URL or a file cannot be used.
    pub fn settings(&self, nats: &NatsArgs) -> Result<Option<StreamSettings>, NatsUsage> {
        let connection = nats.connection()?;
        Ok(connection.map(|connection| StreamSettings {
            connection,
            subject: nats.nats_subject.clone(),
            reads_plain_json: self.nats_plain_json,
            creates_stream: self.nats_create_stream,
        }))
    }
}

/// Parses the URL of a NATS server. An error is part of the value: an error of the command
/// line's parser would show the value, and the operator may have written a password.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the shape that the command line's parser wants"
)]
fn nats_url(text: &str) -> Result<Result<NatsUrl, NatsUrlError>, Infallible> {
    Ok(text.parse())
}
