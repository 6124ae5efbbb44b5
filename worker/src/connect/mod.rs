//! The connection to Temporal, configured as the SDK's standard says: `TEMPORAL_ADDRESS`,
//! `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, `TEMPORAL_TLS_*`, and profiles of a configuration
//! file.
//!
//! `TEMPORAL_API_KEY_FILE` names a file with the API key. The credentials are read again while a
//! worker runs; see [`Credentials`].
//!
//! [`Connector::connect`] tries once. Trying again is left to the supervisor.

mod codec;
mod credentials;
mod expiry;
mod tls;

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use almanac_base::names::{Project, WorkerId};
use anyhow::{Context, ensure};
use jiff::Timestamp;
use temporalio_client::envconfig::LoadClientConfigProfileOptions;
use temporalio_client::{Client, ClientOptions, ConnectionOptions, Url};
use temporalio_common::envconfig::load_client_config_profile;
use temporalio_common::telemetry::metrics::TemporalMeter;

use crate::args::CodecArgs;
pub use codec::ChosenCodec;
pub(crate) use codec::{of_file, open_key_file};
use credentials::Origin;
pub use credentials::{CredentialKind, CredentialStatus, Credentials, Expiry};

/// Variable with the path of a file that has the API key.
const API_KEY_FILE: &str = "TEMPORAL_API_KEY_FILE";
/// Maximum time for an attempt to connect. The SDK sets no limit, and would wait for ever on a
/// port that does not answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// Failure of an attempt to connect.
#[derive(Debug, Clone, thiserror::Error)]
#[error("connect to {target}: {reason}")]
pub struct ConnectError {
    /// Address of the server.
    pub target: String,
    /// Cause of the failure.
    pub reason: String,
}

/// Connects to Temporal with fixed settings.
#[derive(Debug, Clone)]
pub struct Connector {
    target: Url,
    connection: ConnectionOptions,
    client: ClientOptions,
    credentials: Arc<Credentials>,
    codec: ChosenCodec,
}

/// The settings of a connection, as the environment and files have them.
struct Settings {
    connection: ConnectionOptions,
    client: ClientOptions,
}

impl Settings {
    fn read() -> anyhow::Result<Self> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        // The SDK treats a missing file as an empty one: the address, namespace and key would
        // silently be the defaults.
        if let Some(file) = variable("TEMPORAL_CONFIG_FILE") {
            std::fs::metadata(&file).with_context(|| {
                format!("TEMPORAL_CONFIG_FILE `{}`", Path::new(&file).display())
            })?;
        }
        // The SDK's error is not `Send`.
        let invalid =
            |error: &dyn std::fmt::Display| anyhow::anyhow!("invalid connection settings: {error}");
        let mut profile =
            load_client_config_profile(LoadClientConfigProfileOptions::default(), None)
                .map_err(|error| invalid(&error))?;
        if let Some(file) = variable(API_KEY_FILE) {
            ensure!(
                profile.api_key.is_none(),
                "{API_KEY_FILE} and another setting both give an API key"
            );
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("{API_KEY_FILE} `{}`", Path::new(&file).display()))?;
            profile.api_key = Some(text.trim().to_owned());
        }
        let namespace = profile.namespace.clone();
        Ok(Self {
            connection: ConnectionOptions::try_from(profile).map_err(|error| invalid(&error))?,
            client: ClientOptions::new(namespace.unwrap_or_else(|| "default".to_owned())).build(),
        })
    }
}

impl Connector {
    /// Reads the configuration. Temporal shows `identity` as the name of this process.
    pub fn from_environment(
        identity: impl Into<String>,
        codec: &CodecArgs,
    ) -> anyhow::Result<Self> {
        let Settings { connection, client } = Settings::read()?;
        let (identity, origin) = (identity.into(), Origin::Environment);
        Self::new(connection, client, identity, origin, codec)
    }

    /// A connector to a dev server's address, which ignores the environment.
    pub fn to_dev_server(
        address: &str,
        identity: impl Into<String>,
        codec: &CodecArgs,
    ) -> anyhow::Result<Self> {
        let target: Url = format!("http://{address}")
            .parse()
            .with_context(|| format!("dev server's address `{address}`"))?;
        let connection = ConnectionOptions::new(target).build();
        let client = ClientOptions::new("default").build();
        Self::new(connection, client, identity.into(), Origin::Fixed, codec)
    }

    fn new(
        mut connection: ConnectionOptions,
        mut client: ClientOptions,
        identity: String,
        origin: Origin,
        codec: &CodecArgs,
    ) -> anyhow::Result<Self> {
        install_tls();
        let target = connection.target.clone();
        let codec = ChosenCodec::open(codec, &client.namespace)?;
        client.data_converter = codec.data_converter();
        let credentials = Credentials::take(&mut connection, origin)?;
        connection.identity = identity;
        connection.connect_timeout = Some(CONNECT_LIMIT);
        Ok(Self {
            target,
            connection,
            client,
            credentials: Arc::new(credentials),
            codec,
        })
    }

    /// The codec of the payloads.
    pub fn codec(&self) -> &ChosenCodec {
        &self.codec
    }

    /// The credentials of the connections.
    pub fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    /// Counts the client's requests with `meter`.
    #[must_use]
    pub fn with_meter(mut self, meter: Option<TemporalMeter>) -> Self {
        self.connection.metrics_meter = meter;
        self
    }

    /// Address of the server in the form that other programs take: `host:port`.
    pub fn address(&self) -> String {
        let host = self.target.host_str().unwrap_or("localhost");
        match self.target.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Address of the server.
    pub fn target(&self) -> String {
        self.target.to_string()
    }

    /// Name of the namespace.
    pub fn namespace(&self) -> &str {
        &self.client.namespace
    }

    /// Tries once to connect.
    pub async fn connect(&self) -> Result<Client, ConnectError> {
        let mut connection = self.connection.clone();
        connection.api_key = self.credentials.api_key();
        let attempt = Client::connect(connection, self.client.clone());
        let failed = |reason| ConnectError {
            target: self.target(),
            reason,
        };
        match tokio::time::timeout(2 * CONNECT_LIMIT, attempt).await {
            Ok(Ok(client)) => {
                self.credentials.accepted();
                Ok(client)
            }
            Ok(Err(error)) => {
                let mut reason = plain_reason(&error);
                let expired = self.credentials.expired(Timestamp::now());
                // A server that refuses an expired certificate may close the connection before its
                // reason arrives.
                if let Some(expired) = &expired {
                    reason = format!("{reason}; {expired}");
                }
                if expired.is_some() || is_refusal(&error) {
                    self.credentials.refused(&reason);
                }
                Err(failed(reason))
            }
            Err(_) => Err(failed("no answer".to_owned())),
        }
    }
}

/// The innermost cause, without the nested texts of the SDK and tonic.
fn plain_reason(error: &temporalio_client::errors::ClientConnectError) -> String {
    use temporalio_client::errors::ClientConnectError::{SystemInfoCallError, TonicTransportError};
    let mut cause: &dyn std::error::Error = match error {
        SystemInfoCallError(status) if status.source().is_none() => {
            return status.message().to_owned();
        }
        SystemInfoCallError(status) => status,
        TonicTransportError(transport) => transport,
        other => return other.to_string(),
    };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Returns `true` if the server or this client refused the other's credentials.
fn is_refusal(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        // The source of an I/O error is the source of the error that it wraps.
        let wrapped = error
            .downcast_ref::<std::io::Error>()
            .and_then(|io| io.get_ref());
        let tls = match wrapped {
            Some(wrapped) => wrapped.downcast_ref::<rustls::Error>(),
            None => error.downcast_ref::<rustls::Error>(),
        };
        if let Some(error) = tls {
            return matches!(
                error,
                rustls::Error::AlertReceived(_) | rustls::Error::InvalidCertificate(_)
            );
        }
        if let Some(status) = error.downcast_ref::<temporalio_client::tonic::Status>()
            && matches!(
                status.code(),
                temporalio_client::tonic::Code::Unauthenticated
                    | temporalio_client::tonic::Code::PermissionDenied
            )
        {
            return true;
        }
        next = error.source();
    }
    false
}

/// The identity that Temporal shows for a worker process.
pub fn identity(project: &Project, worker: &WorkerId) -> String {
    format!("almanac/{project}/{worker}")
}

/// Installs the cryptography for TLS, for whichever part of the process needs it first.
pub(crate) fn install_tls() {
    // An error means that this or another part of the process has installed it already.
    temporalio_common::telemetry::ensure_default_crypto_provider();
    let _other_provider = rustls::crypto::ring::default_provider().install_default();
}
