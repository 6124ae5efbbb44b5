//! The connection to Temporal, configured as the SDK's standard says: `TEMPORAL_ADDRESS`,
//! `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, `TEMPORAL_TLS_*`, and profiles of a configuration
//! file.
//!
//! [`Connector::connect`] tries once. Trying again is left to the supervisor.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use almanac_base::names::{Project, WorkerId};
use anyhow::Context;
use temporalio_client::envconfig::LoadClientConfigProfileOptions;
use temporalio_client::{Client, ClientOptions, ConnectionOptions, Url};
use temporalio_common::telemetry::metrics::TemporalMeter;

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
    connection: ConnectionOptions,
    client: ClientOptions,
}

impl Connector {
    /// Reads the configuration. Temporal shows `identity` as the name of this process.
    pub fn from_environment(identity: impl Into<String>) -> anyhow::Result<Self> {
        // The SDK treats a missing file as an empty one: the address, namespace and key would
        // silently be the defaults.
        if let Some(file) = std::env::var_os("TEMPORAL_CONFIG_FILE").filter(|it| !it.is_empty()) {
            std::fs::metadata(&file).with_context(|| {
                format!("TEMPORAL_CONFIG_FILE `{}`", Path::new(&file).display())
            })?;
        }
        let (connection, client) =
            ClientOptions::load_from_config(LoadClientConfigProfileOptions::default())
                // The SDK's error is not `Send`.
                .map_err(|error| anyhow::anyhow!("invalid connection settings: {error}"))?;
        Ok(Self::new(connection, client, identity.into()))
    }

    /// A connector to a dev server's address, which ignores the environment.
    pub fn to_dev_server(address: &str, identity: impl Into<String>) -> anyhow::Result<Self> {
        let target: Url = format!("http://{address}")
            .parse()
            .with_context(|| format!("dev server's address `{address}`"))?;
        let connection = ConnectionOptions::new(target).build();
        let client = ClientOptions::new("default").build();
        Ok(Self::new(connection, client, identity.into()))
    }

    fn new(mut connection: ConnectionOptions, client: ClientOptions, identity: String) -> Self {
        install_tls();
        connection.identity = identity;
        connection.connect_timeout = Some(CONNECT_LIMIT);
        Self { connection, client }
    }

    /// Counts the client's requests with `meter`.
    #[must_use]
    pub fn with_meter(mut self, meter: Option<TemporalMeter>) -> Self {
        self.connection.metrics_meter = meter;
        self
    }

    /// Address of the server in the form that other programs take: `host:port`.
    pub fn address(&self) -> String {
        let target = &self.connection.target;
        let host = target.host_str().unwrap_or("localhost");
        match target.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Address of the server.
    pub fn target(&self) -> String {
        self.connection.target.to_string()
    }

    /// Name of the namespace.
    pub fn namespace(&self) -> &str {
        &self.client.namespace
    }

    /// Tries once to connect.
    pub async fn connect(&self) -> Result<Client, ConnectError> {
        let attempt = Client::connect(self.connection.clone(), self.client.clone());
        let failed = |reason| ConnectError {
            target: self.target(),
            reason,
        };
        match tokio::time::timeout(2 * CONNECT_LIMIT, attempt).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => Err(failed(plain_reason(&error))),
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
