//! TLS whose certificates can be replaced: each new connection uses the last ones.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use arc_swap::ArcSwap;
use rustls::client::ResolvesClientCert;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use temporalio_client::ConnectionOptions;

/// Verifies servers with authorities that can be replaced.
#[derive(Debug)]
pub(super) struct ServerAuthorities(ArcSwap<WebPkiServerVerifier>);

/// The certificate of this client, which can be replaced.
pub(super) struct ClientCertificate(ArcSwap<CertifiedKey>);

impl ServerAuthorities {
    pub(super) fn new(verifier: Arc<WebPkiServerVerifier>) -> Self {
        Self(ArcSwap::new(verifier))
    }

    pub(super) fn replace(&self, verifier: Arc<WebPkiServerVerifier>) {
        self.0.store(verifier);
    }
}

impl ServerCertVerifier for ServerAuthorities {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verifier = self.0.load();
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.load().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.load().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.load().supported_verify_schemes()
    }
}

impl ClientCertificate {
    pub(super) fn new(key: Arc<CertifiedKey>) -> Self {
        Self(ArcSwap::new(key))
    }

    pub(super) fn replace(&self, key: Arc<CertifiedKey>) {
        self.0.store(key);
    }
}

impl ResolvesClientCert for ClientCertificate {
    fn resolve(
        &self,
        _authorities: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate")
    }
}

/// Prepares a connection whose certificate comes from a resolver.
///
/// Such a connection has one address, and its TLS is the SDK's own. tonic does not know of that, and
/// refuses to connect to `https` without its own TLS, so the address says `http`; requests still name
/// `https` as their scheme.
pub(super) fn leave_to_resolver(options: &mut ConnectionOptions) -> anyhow::Result<()> {
    options.dns_load_balancing = None;
    let has_domain = options
        .tls_options
        .as_ref()
        .is_some_and(|tls| tls.domain.is_some());
    if options.override_origin.is_none() && !has_domain {
        let origin = format!("https://{}", options.target.authority());
        options.override_origin = Some(origin.parse().context("the address of Temporal")?);
    }
    ensure!(
        options.target.set_scheme("http").is_ok(),
        "the address of Temporal has an unknown scheme"
    );
    Ok(())
}

/// Reads the certificates of a PEM file. `what` names it in errors.
pub(super) fn certificates(what: &str, pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.with_context(|| format!("{what} is not a PEM file"))?;
    ensure!(!all.is_empty(), "{what} has no certificate");
    Ok(all)
}

/// The verifier of servers whose certificates these authorities signed.
pub(super) fn verifier(
    authorities: &[CertificateDer<'static>],
) -> anyhow::Result<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots
            .add(authority.clone())
            .context("the CA file has a certificate that cannot be read")?;
    }
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    verifier.build().context("the CA file cannot be used")
}

/// The certificate of a client with its key, which must belong together.
pub(super) fn certified_key(
    certificates: Vec<CertificateDer<'static>>,
    key: &[u8],
) -> anyhow::Result<Arc<CertifiedKey>> {
    // The error of the library may quote the file.
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| anyhow::anyhow!("the file of the client's key has no private key in PEM"))?;
    let certified = CertifiedKey::from_der(certificates, key, &default_provider());
    match certified {
        Ok(certified) => Ok(Arc::new(certified)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            anyhow::bail!("the client's key does not belong to the client's certificate")
        }
        Err(error) => Err(error).context("the client's certificate and key cannot be used"),
    }
}
