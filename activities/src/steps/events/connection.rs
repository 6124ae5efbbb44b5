//! Connections to NATS: everything that says how one is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Auth, AuthError, Client, ConnectOptions};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{NatsUrl, why};
use crate::jitter::jittered;

/// Time limit of a connection, and of an answer of `JetStream`.
pub(crate) const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Minimum interval between two readings of the credentials file while a connection lasts.
const CREDENTIALS_INTERVAL: Duration = Duration::from_mins(1);
/// Maximum size of a credentials file, in bytes.
const CREDENTIALS_LIMIT: usize = 64 * 1024;
/// Minimum and maximum wait between two attempts of a client to connect again.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// NATS as the flags describe it: the servers, and how a client proves who it is.
#[derive(Debug, Clone)]
pub struct NatsConnection {
    url: NatsUrl,
    files: NatsFiles,
}

/// Files that a connection to NATS uses. They are read again for each connection.
#[derive(Debug, Clone, Default)]
pub struct NatsFiles {
    /// Certificates of the authorities that are trusted, in place of the system's.
    pub ca: Option<PathBuf>,
    /// Certificate of the client.
    pub certificate: Option<PathBuf>,
    /// Key of the client's certificate.
    pub key: Option<PathBuf>,
    /// Credentials of a user: a JWT and the seed of its key, as `nsc` writes them.
    pub credentials: Option<PathBuf>,
}

/// Error in the flags for a connection to NATS. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NatsFileError {
    /// A file cannot be read.
    #[error("{flag}: cannot read {}: {why}", path.display())]
    Unreadable {
        /// Flag that names the file.
        flag: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Reason, from the system.
        why: String,
    },
    /// The credentials file is not one.
    #[error("--nats-credentials: {}: {why}", path.display())]
    Credentials {
        /// Path of the file.
        path: PathBuf,
        /// Reason.
        why: &'static str,
    },
    /// A certificate is given without its key, or the other way round.
    #[error("--nats-cert and --nats-key belong together")]
    HalfCertificate,
    /// There are two kinds of credentials.
    #[error("--nats-url has credentials, and --nats-credentials has others; give one of them")]
    TwoCredentials,
}

impl NatsConnection {
    /// Describes the connection to a NATS. Each file is read immediately, so that a mistake is
    /// noticed at the start.
    pub fn new(url: NatsUrl, files: NatsFiles) -> Result<Self, NatsFileError> {
        if files.certificate.is_some() != files.key.is_some() {
            return Err(NatsFileError::HalfCertificate);
        }
        let named = [
            ("--nats-ca", &files.ca),
            ("--nats-cert", &files.certificate),
            ("--nats-key", &files.key),
        ];
        for (flag, path) in named {
            let Some(path) = path else { continue };
            std::fs::read(path).map_err(|error| NatsFileError::Unreadable {
                flag,
                path: path.clone(),
                why: error.to_string(),
            })?;
        }
        if let Some(path) = &files.credentials {
            if url.has_credentials() {
                return Err(NatsFileError::TwoCredentials);
            }
            let text =
                std::fs::read_to_string(path).map_err(|error| NatsFileError::Unreadable {
                    flag: "--nats-credentials",
                    path: path.clone(),
                    why: error.to_string(),
                })?;
            let wrong = |why| NatsFileError::Credentials {
                path: path.clone(),
                why,
            };
            Credentials::read(&text).map_err(wrong)?;
        }
        Ok(Self { url, files })
    }

    /// The servers, without credentials.
    pub fn url(&self) -> &NatsUrl {
        &self.url
    }

    /// Connects. `options` adds to the options that all connections have. The client connects
    /// again by itself, for ever, with credentials that are read each time.
    ///
    /// # Errors
    /// The reason for which there is no connection, without a secret: `cannot be reached: …`.
    pub(crate) async fn connect(
        &self,
        options: impl FnOnce(ConnectOptions) -> ConnectOptions + Send,
    ) -> Result<Client, String> {
        let connecting = options(self.options()).connect(self.url.servers());
        match tokio::time::timeout(CONNECTION_TIMEOUT, connecting).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => Err(why(&error)),
            Err(_elapsed) => Err("did not answer in time".to_owned()),
        }
    }

    /// Begins to watch the credentials file for changes.
    pub(crate) fn watch_credentials(&self) -> CredentialsWatch {
        let path = self.files.credentials.clone();
        CredentialsWatch {
            digest: path.as_deref().and_then(digest_of),
            path,
            read_at: Instant::now(),
        }
    }

    fn options(&self) -> ConnectOptions {
        // Another part of the process may have chosen the cryptography before.
        let _chosen_before = rustls::crypto::ring::default_provider().install_default();
        let NatsFiles {
            ca,
            certificate,
            key,
            credentials,
        } = &self.files;
        let mut options = match credentials {
            Some(path) => with_credentials(path.clone()),
            None => self.url.options(),
        };
        if let Some(ca) = ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let (Some(certificate), Some(key)) = (certificate, key) {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        // A connection without TLS would make these files useless, and show the credentials.
        if ca.is_some() || certificate.is_some() {
            options = options.require_tls(true);
        }
        options
            .name("almanac")
            .connection_timeout(CONNECTION_TIMEOUT)
            .reconnect_delay_callback(|attempts| {
                let exponent = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
                let wait = 2_u32.checked_pow(exponent);
                let wait = wait.and_then(|factor| FIRST_WAIT.checked_mul(factor));
                jittered(wait.map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT)))
            })
    }
}

/// Options that read a credentials file for each connection.
fn with_credentials(path: PathBuf) -> ConnectOptions {
    let path = Arc::new(path);
    ConnectOptions::with_auth_callback(move |nonce| {
        let path = Arc::clone(&path);
        async move {
            let error = |why: &dyn std::fmt::Display| {
                AuthError::new(format!("--nats-credentials {}: {why}", path.display()))
            };
            let text = tokio::fs::read_to_string(path.as_path()).await;
            let text = text.map_err(|why| error(&why))?;
            let Credentials { jwt, key } = Credentials::read(&text).map_err(|why| error(&why))?;
            let signature = key.sign(&nonce);
            let mut auth = Auth::new();
            auth.jwt = Some(jwt);
            auth.signature = Some(signature.map_err(|_| error(&"its key cannot sign"))?);
            Ok(auth)
        }
    })
}

/// Credentials of a user of NATS.
struct Credentials {
    jwt: String,
    key: nkeys::KeyPair,
}

impl Credentials {
    /// Reads a credentials file: the text between the first two pairs of lines of dashes is the
    /// JWT, then the seed.
    fn read(text: &str) -> Result<Self, &'static str> {
        if text.len() > CREDENTIALS_LIMIT {
            return Err("it is too large for a credentials file");
        }
        let is_border = |line: &str| line.starts_with("---") && line.ends_with("---");
        let mut lines = text.lines().map(str::trim);
        let mut part = |kind: &str| {
            lines.find(|line| is_border(line) && line.contains(kind))?;
            let content = lines.find(|line| !line.is_empty())?;
            (!is_border(content)).then_some(content)
        };
        let jwt = part("JWT").ok_or("it has no JWT of a user")?;
        let seed = part("SEED").ok_or("it has no seed of a user's key")?;
        let key = nkeys::KeyPair::from_seed(seed);
        Ok(Self {
            jwt: jwt.to_owned(),
            key: key.map_err(|_shows_it| "its seed is not that of a key")?,
        })
    }
}

/// A credentials file at the time of a connection.
#[derive(Debug)]
pub(crate) struct CredentialsWatch {
    path: Option<PathBuf>,
    digest: Option<[u8; 32]>,
    /// Time of the last reading.
    read_at: Instant,
}

impl CredentialsWatch {
    /// Returns `true` if the file has other contents than at the last call. The file is read once
    /// a minute; a file that cannot be read counts as unchanged.
    pub(crate) fn has_changed(&mut self) -> bool {
        let Some(path) = &self.path else { return false };
        if self.read_at.elapsed() < CREDENTIALS_INTERVAL {
            return false;
        }
        self.read_at = Instant::now();
        let Some(digest) = digest_of(path) else {
            return false;
        };
        self.digest.replace(digest) != Some(digest)
    }
}

fn digest_of(path: &Path) -> Option<[u8; 32]> {
    let contents = std::fs::read(path).ok()?;
    Some(Sha256::digest(contents).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(seed: &str) -> String {
        format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.canary-jwt.x\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             NKEY Seed printed below can be used to sign and prove identity.\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }

    fn url() -> NatsUrl {
        "tls://one".parse().unwrap()
    }

    #[test]
    fn a_credentials_file_has_a_jwt_and_a_seed() {
        let key = nkeys::KeyPair::new_user();
        let text = credentials(&key.seed().unwrap());
        let read = Credentials::read(&text).ok().unwrap();
        assert_eq!(read.jwt, "eyJ0.canary-jwt.x");
        let signature = read.key.sign(b"nonce").unwrap();
        assert!(key.verify(b"nonce", &signature).is_ok());
        for bad in [
            String::new(),
            "a".repeat(CREDENTIALS_LIMIT + 1),
            text.replace("JWT", "X"),
            text.replace("SEED", "X"),
            credentials("SUcanary"),
            text.replace("eyJ0.canary-jwt.x\n", ""),
        ] {
            let why = Credentials::read(&bad).err().unwrap();
            assert!(!why.contains("canary"), "{why}");
        }
    }

    #[test]
    fn mistakes_in_the_files_are_noticed_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let none = NatsFiles::default;
        let error = |url: NatsUrl, files| NatsConnection::new(url, files).unwrap_err().to_string();
        let ca = Some(folder.path().join("none"));
        assert!(error(url(), NatsFiles { ca, ..none() }).starts_with("--nats-ca: cannot read"));
        let certificate = file("certificate", "x");
        assert_eq!(
            error(
                url(),
                NatsFiles {
                    certificate,
                    ..none()
                }
            ),
            "--nats-cert and --nats-key belong together"
        );
        let wrong = file("wrong", "canary");
        let why = error(
            url(),
            NatsFiles {
                credentials: wrong,
                ..none()
            },
        );
        assert!(
            why.starts_with("--nats-credentials: ") && !why.contains("canary"),
            "{why}"
        );
        let text = credentials(&nkeys::KeyPair::new_user().seed().unwrap());
        let good = NatsFiles {
            credentials: file("good", &text),
            ..none()
        };
        assert!(NatsConnection::new(url(), good.clone()).is_ok());
        let two = error("nats://user:canary@one".parse().unwrap(), good);
        assert!(
            two.contains("give one of them") && !two.contains("canary"),
            "{two}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn changed_credentials_are_noticed_within_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("user.creds");
        let seed = || credentials(&nkeys::KeyPair::new_user().seed().unwrap());
        std::fs::write(&path, seed()).unwrap();
        let files = NatsFiles {
            credentials: Some(path.clone()),
            ..NatsFiles::default()
        };
        let mut watch = NatsConnection::new(url(), files)
            .unwrap()
            .watch_credentials();
        std::fs::write(&path, seed()).unwrap();
        assert!(!watch.has_changed(), "the file was just read");
        tokio::time::advance(CREDENTIALS_INTERVAL).await;
        assert!(watch.has_changed());
        tokio::time::advance(CREDENTIALS_INTERVAL).await;
        assert!(!watch.has_changed());
        std::fs::remove_file(&path).unwrap();
        tokio::time::advance(CREDENTIALS_INTERVAL).await;
        assert!(!watch.has_changed(), "the connection that there is stays");
    }
}
