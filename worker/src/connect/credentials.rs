//! The credentials for Temporal: an API key, the certificate of this client with its key, and the
//! authorities that sign the server's certificate.
//!
//! They are read again while the process runs, and replaced when they change: the next request has
//! the new key, and the next connection the new certificates. What cannot be read or does not fit
//! together is reported, and the previous credentials stay in force.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almanac_activities::metrics;
use anyhow::ensure;
use jiff::{SignedDuration, Timestamp};
use rustls::client::WebPkiServerVerifier;
use rustls::sign::CertifiedKey;
use serde::Serialize;
use temporalio_client::{Client, ConnectionOptions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::tls::{self, ClientCertificate, ServerAuthorities};
use super::{Settings, expiry};

/// Interval between two readings of the credentials.
const INTERVAL: Duration = Duration::from_secs(10);
/// Time before the expiry of a credential from which on it is warned about.
const WARNED_BEFORE: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Interval between two warnings about the same expiry.
const WARNED_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// A kind of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// The API key.
    ApiKey,
    /// The certificate of this client.
    ClientCertificate,
    /// The last of the authorities that sign the server's certificate.
    Authority,
}

/// The state of the credentials for Temporal.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, utoipa::ToSchema)]
pub struct CredentialStatus {
    /// The credentials that say when they expire.
    pub expiries: Vec<Expiry>,
    /// Reason for which changed credentials are not used. `None` if those in force are the last
    /// ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Reason for which the last request was refused: that of the server for the credentials of
    /// this client, or that of this client for the server's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// The expiry of one kind of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Expiry {
    /// Credentials that expire.
    pub credential: CredentialKind,
    /// Time from which on they are refused.
    pub expires_at: Timestamp,
}

/// The credentials of one process.
#[derive(Debug)]
pub struct Credentials {
    origin: Origin,
    authorities: Option<Arc<ServerAuthorities>>,
    certificate: Option<Arc<ClientCertificate>>,
    state: Mutex<State>,
}

/// Where the credentials come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The environment, and files that it names.
    Environment,
    /// The process itself.
    Fixed,
}

struct State {
    sources: Sources,
    /// Reason for which the last reading found nothing that can be used. It is reported if the next
    /// reading finds the same: files are replaced one after the other.
    suspected: Option<String>,
    status: CredentialStatus,
    /// Time of the last warning about an expiry.
    warned: Option<Timestamp>,
}

/// The texts of the credentials, as files and the environment have them.
#[derive(Clone, PartialEq, Eq, Default)]
struct Sources {
    api_key: Option<String>,
    authorities: Option<Vec<u8>>,
    certificate: Option<(Vec<u8>, Vec<u8>)>,
}

/// Credentials that can be used.
struct Usable {
    verifier: Option<Arc<WebPkiServerVerifier>>,
    key: Option<Arc<CertifiedKey>>,
    expiries: Vec<Expiry>,
}

impl CredentialStatus {
    /// Returns `true` if there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.expiries.is_empty() && self.error.is_none() && self.refused.is_none()
    }
}

impl CredentialKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::ClientCertificate => "client_certificate",
            Self::Authority => "authority",
        }
    }
}

impl Credentials {
    /// Takes the credentials of a connection's options, which then take them from here.
    pub(super) fn take(options: &mut ConnectionOptions, origin: Origin) -> anyhow::Result<Self> {
        let sources = Sources::of(options);
        let usable = sources.check()?;
        let authorities = usable.verifier.map(ServerAuthorities::new).map(Arc::new);
        let certificate = usable.key.map(ClientCertificate::new).map(Arc::new);
        if certificate.is_some() {
            tls::leave_to_resolver(options)?;
        }
        if let Some(tls) = &mut options.tls_options {
            if let Some(authorities) = &authorities {
                tls.server_root_ca_cert = None;
                tls.server_cert_verifier = Some(Arc::clone(authorities) as _);
            }
            if let Some(certificate) = &certificate {
                tls.client_tls_options = None;
                tls.client_cert_resolver = Some(Arc::clone(certificate) as _);
            }
        }
        Ok(Self {
            origin,
            authorities,
            certificate,
            state: Mutex::new(State {
                sources,
                suspected: None,
                status: CredentialStatus {
                    expiries: usable.expiries,
                    ..CredentialStatus::default()
                },
                warned: None,
            }),
        })
    }

    /// The state of the credentials, for people.
    pub fn status(&self) -> CredentialStatus {
        self.lock().status.clone()
    }

    /// The present API key.
    pub(super) fn api_key(&self) -> Option<String> {
        self.lock().sources.api_key.clone()
    }

    /// The credential that has expired first, in words.
    pub(super) fn expired(&self, now: Timestamp) -> Option<String> {
        let state = self.lock();
        let first = state
            .status
            .expiries
            .iter()
            .min_by_key(|expiry| expiry.expires_at)?;
        let what = match first.credential {
            CredentialKind::ApiKey => "API key",
            CredentialKind::ClientCertificate => "client's certificate",
            CredentialKind::Authority => "certificate of the last authority",
        };
        (first.expires_at <= now).then(|| format!("the {what} expired at {}", first.expires_at))
    }

    /// Records that the server or this client refused the other's credentials.
    pub(crate) fn refused(&self, reason: &str) {
        metrics::credentials_refused(true);
        let mut state = self.lock();
        if state.status.refused.is_none() {
            tracing::error!(reason, "the credentials for temporal are refused");
        }
        state.status.refused = Some(reason.to_owned());
    }

    /// Records that the server answered a request.
    pub(crate) fn accepted(&self) {
        metrics::credentials_refused(false);
        if self.lock().status.refused.take().is_some() {
            tracing::info!("the credentials for temporal are accepted again");
        }
    }

    /// Reads the credentials again and again, until `stop`. The clients of `clients` get a new API
    /// key.
    pub(crate) async fn follow(
        &self,
        clients: watch::Receiver<Option<Client>>,
        stop: CancellationToken,
    ) {
        loop {
            self.warn(Timestamp::now());
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = stop.cancelled() => return,
            }
            if self.origin == Origin::Fixed {
                continue;
            }
            let read = tokio::task::spawn_blocking(Settings::read);
            let read = read.await.unwrap_or_else(|error| Err(error.into()));
            let sources = read.map(|settings| Sources::of(&settings.connection));
            if self.replace(sources)
                && let Some(client) = &*clients.borrow()
            {
                client.connection().set_api_key(self.api_key());
            }
        }
    }

    /// Uses other credentials, if they can be used. Returns `true` if they are new.
    fn replace(&self, sources: anyhow::Result<Sources>) -> bool {
        let mut state = self.lock();
        let checked = sources.and_then(|sources| {
            if sources == state.sources {
                return Ok(None);
            }
            state.sources.check_kinds(&sources)?;
            let usable = sources.check()?;
            Ok(Some((sources, usable)))
        });
        let (sources, usable) = match checked {
            Ok(Some(new)) => new,
            Ok(None) => {
                state.suspected = None;
                state.status.error = None;
                return false;
            }
            Err(error) => {
                state.failed(&error);
                return false;
            }
        };
        if let (Some(authorities), Some(verifier)) = (&self.authorities, usable.verifier) {
            authorities.replace(verifier);
        }
        if let (Some(certificate), Some(key)) = (&self.certificate, usable.key) {
            certificate.replace(key);
        }
        metrics::credentials_reload(true);
        let expires_at = usable.expiries.iter().map(|expiry| expiry.expires_at).min();
        tracing::info!(
            expires_at = expires_at.map(tracing::field::display),
            "the credentials for temporal have changed; using the new ones"
        );
        for old in &state.status.expiries {
            // The new one may not say when it expires. A time that is known is set next.
            metrics::credential_expiry(old.credential.as_str(), None);
        }
        state.sources = sources;
        state.suspected = None;
        state.status.expiries = usable.expiries;
        state.status.error = None;
        state.warned = None;
        true
    }

    /// Sets the metrics, and warns about credentials that expire soon or have expired.
    fn warn(&self, now: Timestamp) {
        let mut state = self.lock();
        for expiry in &state.status.expiries {
            metrics::credential_expiry(expiry.credential.as_str(), Some(expiry.expires_at));
        }
        if state
            .warned
            .is_some_and(|at| now.duration_since(at) < WARNED_EVERY)
        {
            return;
        }
        for Expiry {
            credential,
            expires_at,
        } in state.status.expiries.clone()
        {
            let left = expires_at.duration_since(now);
            let credential = credential.as_str();
            if left <= SignedDuration::ZERO {
                tracing::error!(credential, %expires_at, "a credential for temporal has expired");
            } else if left <= WARNED_BEFORE {
                tracing::warn!(credential, %expires_at, "a credential for temporal expires soon");
            } else {
                continue;
            }
            state.warned = Some(now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes that changed credentials cannot be used.
    fn failed(&mut self, error: &anyhow::Error) {
        let reason = format!("{error:#}");
        if self.suspected.as_ref() != Some(&reason) {
            self.suspected = Some(reason);
            return;
        }
        if self.status.error.as_ref() != Some(&reason) {
            metrics::credentials_reload(false);
            tracing::error!(
                reason,
                "the credentials for temporal cannot be used; the previous ones stay in force"
            );
        }
        self.status.error = Some(reason);
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.status.fmt(f)
    }
}

impl Sources {
    fn of(options: &ConnectionOptions) -> Self {
        let tls = options.tls_options.as_ref();
        let certificate = tls.and_then(|tls| tls.client_tls_options.as_ref());
        Self {
            api_key: options.api_key.clone(),
            authorities: tls.and_then(|tls| tls.server_root_ca_cert.clone()),
            certificate: certificate
                .map(|both| (both.client_cert.clone(), both.client_private_key.clone())),
        }
    }

    /// Checks that other credentials are of the same kinds: a connection cannot begin to use a kind
    /// of credentials.
    fn check_kinds(&self, other: &Self) -> anyhow::Result<()> {
        let kinds = |sources: &Self| {
            (
                sources.api_key.is_some(),
                sources.authorities.is_some(),
                sources.certificate.is_some(),
            )
        };
        ensure!(
            kinds(self) == kinds(other),
            "the settings name other kinds of credentials than at the start; restart the worker"
        );
        Ok(())
    }

    fn check(&self) -> anyhow::Result<Usable> {
        let mut expiries = Vec::new();
        let mut note = |credential, expires_at: Option<Timestamp>| {
            expiries.extend(expires_at.map(|expires_at| Expiry {
                credential,
                expires_at,
            }));
        };
        if let Some(key) = &self.api_key {
            ensure!(
                !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic()),
                "the API key is empty, or has characters that no request can have"
            );
            note(CredentialKind::ApiKey, expiry::of_api_key(key));
        }
        let key = match &self.certificate {
            Some((certificate, key)) => {
                let chain = tls::certificates("the file of the client's certificate", certificate)?;
                let first = chain.first().and_then(expiry::of_certificate);
                note(CredentialKind::ClientCertificate, first);
                Some(tls::certified_key(chain, key)?)
            }
            None => None,
        };
        let verifier = match &self.authorities {
            Some(pem) => {
                let all = tls::certificates("the CA file", pem)?;
                let last = all.iter().filter_map(expiry::of_certificate).max();
                note(CredentialKind::Authority, last);
                Some(tls::verifier(&all)?)
            }
            None => None,
        };
        Ok(Usable {
            verifier,
            key,
            expiries,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_key(key: &str) -> Sources {
        Sources {
            api_key: Some(key.to_owned()),
            ..Sources::default()
        }
    }

    fn credentials(sources: Sources) -> Credentials {
        let status = CredentialStatus {
            expiries: sources.check().unwrap().expiries,
            ..CredentialStatus::default()
        };
        Credentials {
            origin: Origin::Environment,
            authorities: None,
            certificate: None,
            state: Mutex::new(State {
                sources,
                suspected: None,
                status,
                warned: None,
            }),
        }
    }

    #[test]
    fn what_cannot_be_used_changes_nothing_and_is_reported_the_second_time() {
        let credentials = credentials(with_key("one"));
        for bad in ["", "two words"] {
            assert!(!credentials.replace(Ok(with_key(bad))));
            assert!(!credentials.replace(Ok(with_key(bad))));
            let error = credentials.status().error.unwrap();
            assert!(error.contains("the API key is empty"), "{error}");
        }
        assert!(!credentials.replace(Ok(Sources::default())));
        assert!(!credentials.replace(Ok(Sources::default())));
        assert!(
            credentials
                .status()
                .error
                .unwrap()
                .contains("restart the worker")
        );
        assert_eq!(credentials.api_key().as_deref(), Some("one"));
        // The files are as they were.
        assert!(!credentials.replace(Ok(with_key("one"))));
        assert_eq!(credentials.status(), CredentialStatus::default());
        assert!(!credentials.replace(Err(anyhow::anyhow!("gone"))));
        assert_eq!(credentials.status().error, None);
        assert!(credentials.replace(Ok(with_key("two"))));
        assert_eq!(credentials.api_key().as_deref(), Some("two"));
    }

    #[test]
    fn no_text_of_a_credential_is_shown() {
        let credentials = credentials(with_key("hush"));
        assert!(!format!("{credentials:?}").contains("hush"));
    }
}
