//! TLS before a Temporal server, as in production: the server's certificate is of a private
//! authority, and each client needs a certificate. Both can be replaced while clients are connected.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::certificates::{Authority, Certificate};

/// A running proxy; its connections end with the test's runtime.
#[derive(Debug)]
pub struct TlsProxy {
    address: SocketAddr,
    folder: PathBuf,
    authorities: Mutex<Authorities>,
    /// The configuration of new connections. Those that exist end when it changes.
    config: watch::Sender<Arc<ServerConfig>>,
}

#[derive(Debug)]
struct Authorities {
    server: Authority,
    client: Authority,
}

impl TlsProxy {
    /// Starts one before a server, and writes the files of its clients into `folder`: `ca.pem`,
    /// `client.pem` and `client.key.pem`.
    pub async fn start(upstream: &str, folder: &Path) -> anyhow::Result<Self> {
        let authorities = Authorities {
            server: Authority::new()?,
            client: Authority::new()?,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self {
            address: listener.local_addr()?,
            folder: folder.to_owned(),
            config: watch::Sender::new(Arc::new(authorities.config()?)),
            authorities: Mutex::new(authorities),
        };
        proxy.write_authority()?;
        proxy.write_client(false)?;
        tokio::spawn(accept(
            listener,
            upstream.to_owned(),
            proxy.config.subscribe(),
        ));
        Ok(proxy)
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Path of a file of the clients.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Variables for a client.
    pub fn environment(&self) -> Vec<(String, String)> {
        let path = |name| self.file(name).display().to_string();
        vec![
            (
                "TEMPORAL_TLS_SERVER_CA_CERT_PATH".to_owned(),
                path("ca.pem"),
            ),
            (
                "TEMPORAL_TLS_CLIENT_CERT_PATH".to_owned(),
                path("client.pem"),
            ),
            (
                "TEMPORAL_TLS_CLIENT_KEY_PATH".to_owned(),
                path("client.key.pem"),
            ),
        ]
    }

    /// Replaces the authority of the clients: the old certificates are refused from now on. Writes
    /// the files of the clients.
    pub fn replace_clients(&self) -> anyhow::Result<()> {
        self.lock().client = Authority::new()?;
        self.write_client(false)?;
        self.replace()
    }

    /// Replaces the certificate of the server, and its authority. Writes the file of the clients.
    pub fn replace_server(&self) -> anyhow::Result<()> {
        self.lock().server = Authority::new()?;
        self.write_authority()?;
        self.replace()
    }

    /// Writes a certificate of a client that has expired, with its key, or a good one.
    pub fn write_client(&self, expired: bool) -> anyhow::Result<()> {
        let client = if expired {
            self.lock().client.sign_expired()?
        } else {
            self.lock().client.sign()?
        };
        self.write_files(&client)
    }

    /// Ends all connections; new ones have the present certificates.
    pub fn replace(&self) -> anyhow::Result<()> {
        let config = self.lock().config()?;
        self.config.send_replace(Arc::new(config));
        Ok(())
    }

    fn write_authority(&self) -> anyhow::Result<()> {
        let pem = self.lock().server.pem();
        Ok(std::fs::write(self.file("ca.pem"), pem)?)
    }

    fn write_files(&self, client: &Certificate) -> anyhow::Result<()> {
        std::fs::write(self.file("client.pem"), &client.certificate)?;
        Ok(std::fs::write(self.file("client.key.pem"), &client.key)?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Authorities> {
        self.authorities
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Authorities {
    fn config(&self) -> anyhow::Result<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(
            self.client.pem().as_bytes(),
        )?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()?;
        let own = self.server.sign()?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(own.certificate.as_bytes())?],
                PrivateKeyDer::from_pem_slice(own.key.as_bytes())?,
            )
            .context("the certificate of the proxy")?;
        config.alpn_protocols.push(b"h2".to_vec());
        Ok(config)
    }
}

async fn accept(
    listener: TcpListener,
    upstream: String,
    mut config: watch::Receiver<Arc<ServerConfig>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = TlsAcceptor::from(Arc::clone(&config.borrow_and_update()));
        let (upstream, mut config) = (upstream.clone(), config.clone());
        tokio::spawn(async move {
            let served = async {
                let mut client = acceptor.accept(stream).await?;
                let mut server = TcpStream::connect(&upstream).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            };
            tokio::select! {
                _ended = served => {}
                _changed = config.changed() => {}
            }
        });
    }
}
