//! TLS certificates of a test's own authority.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

/// An authority that signs certificates.
#[derive(Debug)]
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its private key, both as PEM.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// The certificate.
    pub(crate) certificate: String,
    /// The private key.
    pub(crate) key: String,
}

impl Authority {
    /// Creates an authority.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(
            params,
            KeyPair::generate()?,
        )?))
    }

    /// The authority's own certificate, as PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Signs a certificate for 127.0.0.1, of a server or of a client.
    pub(crate) fn sign(&self) -> anyhow::Result<Certificate> {
        self.sign_with(&CertificateParams::new(vec!["127.0.0.1".to_owned()])?)
    }

    /// Signs a certificate for 127.0.0.1 that has expired.
    pub(crate) fn sign_expired(&self) -> anyhow::Result<Certificate> {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        params.not_after = date_time_ymd(2026, 1, 1);
        self.sign_with(&params)
    }

    fn sign_with(&self, params: &CertificateParams) -> anyhow::Result<Certificate> {
        let key = KeyPair::generate()?;
        Ok(Certificate {
            certificate: params.signed_by(&key, &self.0)?.pem(),
            key: key.serialize_pem(),
        })
    }
}
