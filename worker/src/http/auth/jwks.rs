//! Public keys that are fetched from their issuer.
//!
//! Keys are fetched at the start and every [`REFRESH`], so that a key that the issuer
//! withdraws is removed. They are also fetched when a token names an unknown key, but at
//! most once in a given time, whatever clients send. After a fetch that fails, the keys
//! stay.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url, header};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::keys::KeySet;
use super::{AuthError, UnusableAuthority};
use crate::reloading_file::reloaded;
use crate::web_address::is_loopback;

/// Interval between two fetches that no token causes.
const REFRESH: Duration = Duration::from_mins(15);
/// Maximum time of a fetch.
const FETCH_LIMIT: Duration = Duration::from_secs(5);
/// Maximum size of an answer, in bytes.
const SIZE_LIMIT: usize = 256 * 1024;

/// The keys of an issuer, fetched from a URL.
#[derive(Debug)]
pub(super) struct Jwks {
    url: Url,
    client: Client,
    /// Minimum time between two fetches that tokens cause.
    refetch: Duration,
    keys: ArcSwap<KeySet>,
    /// Time of the last fetch that a token caused. The lock is held while fetching.
    caused: Mutex<Option<Instant>>,
}

impl Jwks {
    /// Creates keys that have not been fetched yet.
    pub(super) fn new(url: &str, refetch: Duration) -> Result<Self, AuthError> {
        let bad = |why: String| AuthError::Address(format!("`{url}`: {why}"));
        let parsed: Url = url.parse().map_err(|error| bad(format!("{error}")))?;
        match parsed.scheme() {
            "https" => {}
            // Anyone who can change the keys on their way can make tokens.
            "http" if is_loopback(&parsed) => {}
            _ => {
                return Err(bad(
                    "the URL must have https, or http on this machine".into()
                ));
            }
        }
        crate::connect::install_tls();
        // A proxy of the environment could answer with keys of its own, even for a plain
        // address on this machine.
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .timeout(FETCH_LIMIT)
            .user_agent(concat!("almanac/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| bad(crate::failure::causes(&error.into())))?;
        Ok(Self {
            url: parsed,
            client,
            refetch,
            keys: ArcSwap::from_pointee(KeySet::empty()),
            caused: Mutex::new(None),
        })
    }

    /// Returns the known keys.
    pub(super) fn now(&self) -> Arc<KeySet> {
        self.keys.load_full()
    }

    /// Fetches the keys at intervals, for ever.
    pub(super) async fn keep(&self) {
        loop {
            let turn = self.caused.lock().await;
            self.fetch().await;
            drop(turn);
            let is_empty = self.keys.load().is_empty();
            sleep(if is_empty { self.refetch } else { REFRESH }).await;
        }
    }

    /// Returns the keys, fetched again unless that was done just now; `seen` are the keys
    /// that lack the one that is needed.
    pub(super) async fn other_than(self: &Arc<Self>, seen: &Arc<KeySet>) -> Arc<KeySet> {
        let (this, seen) = (Arc::clone(self), Arc::clone(seen));
        // A task of its own: a client that hangs up must not waste the fetch.
        let fetched = tokio::spawn(async move {
            let mut caused = this.caused.lock().await;
            let is_new = !Arc::ptr_eq(&this.keys.load(), &seen);
            if is_new || caused.is_some_and(|at| at.elapsed() < this.refetch) {
                return;
            }
            *caused = Some(Instant::now());
            this.fetch().await;
        });
        if let Err(error) = fetched.await {
            tracing::error!(%error, "fetching the issuer's keys panicked");
        }
        self.now()
    }

    async fn fetch(&self) {
        match self.answer().await.and_then(|body| KeySet::of_jwks(&body)) {
            Ok(keys) => {
                reloaded("ok");
                tracing::debug!(url = %self.url, "fetched the issuer's keys");
                self.keys.store(Arc::new(keys));
            }
            Err(error) => {
                reloaded("error");
                tracing::warn!(
                    url = %self.url, error = error.to_string(),
                    "the issuer's keys could not be fetched; the previous keys stay in force"
                );
            }
        }
    }

    async fn answer(&self) -> Result<Vec<u8>, UnusableAuthority> {
        let causes =
            |error: reqwest::Error| UnusableAuthority::from(crate::failure::causes(&error.into()));
        let request = self
            .client
            .get(self.url.clone())
            .header(header::ACCEPT, "application/json");
        let mut answer = request.send().await.map_err(causes)?;
        if answer.status() != StatusCode::OK {
            return Err(format!("the status of the answer is {}", answer.status()).into());
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(causes)? {
            if body.len() + chunk.len() > SIZE_LIMIT {
                return Err(format!("the answer is larger than {SIZE_LIMIT} bytes").into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}
