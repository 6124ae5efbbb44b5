//! Secrets of webhooks: named by event types, and used where requests are verified.
//!
//! The worker's configuration says which environment variable or file holds a secret. A file is
//! read again each second, so that a secret can be replaced while the worker runs. If a file cannot
//! be read, or its text is unfit, the last good text stays in force. No text leaves this module: the
//! result is a [`Verifier`].

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almanac_base::names::is_secret_name;
use almanac_core::definition::Webhook;
use almanac_events::webhook::{LONGEST_SECRET, SHORTEST_SECRET, Verifier};
use futures::future::join_all;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::metrics;
use crate::steps::{Secret, SecretError, Source};

/// Interval between two readings of a file.
const READ_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum time of a reading before it is an error; a network file system may never answer.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// An entry of `--webhook-secret`: `NAME=env:VARIABLE` or `NAME=file:/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSecretEntry {
    name: String,
    source: Source,
}

/// Error of a secret that cannot be used. The messages name names and places, never texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookSecretError {
    /// The entry is malformed. The entry is not shown, because someone may have written the secret
    /// itself.
    #[error("a secret must be NAME=env:VARIABLE or NAME=file:/path; {0}")]
    Entry(&'static str),
    /// Two entries have the same name.
    #[error("the secret `{0}` is given twice")]
    Twice(String),
    /// The secret cannot be read.
    #[error(transparent)]
    Read(#[from] SecretError),
    /// The text of the secret is too short or too long.
    #[error(
        "the secret `{0}` has {1} bytes; a secret must have {SHORTEST_SECRET} to {LONGEST_SECRET} \
         bytes"
    )]
    Length(String, usize),
}

impl FromStr for WebhookSecretEntry {
    type Err = WebhookSecretError;

    fn from_str(entry: &str) -> Result<Self, WebhookSecretError> {
        let bad = WebhookSecretError::Entry;
        let (name, source) = entry.split_once('=').ok_or(bad("`=` is missing"))?;
        if !is_secret_name(name) {
            return Err(bad(
                "the name can have only letters, digits, `-`, `_` and `.`",
            ));
        }
        let source = source.parse().map_err(bad)?;
        Ok(Self {
            name: name.to_owned(),
            source,
        })
    }
}

/// The secrets that event types may name.
#[derive(Debug, Default)]
pub struct WebhookSecrets {
    by_name: BTreeMap<String, Held>,
}

/// A secret with its present text.
#[derive(Debug)]
struct Held {
    source: Source,
    text: Mutex<Secret>,
}

/// The check of a webhook's requests, with the secrets that the worker has.
#[derive(Debug)]
pub struct Check {
    /// `None` if the worker has none of the webhook's secrets.
    pub verifier: Option<Verifier>,
    /// Secrets of the webhook that cannot be used.
    pub unusable: Vec<UnusableSecret>,
}

/// A secret that a webhook names and that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableSecret {
    /// Name of the secret.
    pub name: String,
    /// End of a sentence that begins with the secret.
    pub reason: &'static str,
}

impl WebhookSecrets {
    /// Opens the secrets of these entries. Each is read once, to see that it can be read.
    pub fn open(entries: Vec<WebhookSecretEntry>) -> Result<Self, WebhookSecretError> {
        let mut by_name = BTreeMap::new();
        for WebhookSecretEntry { name, source } in entries {
            let text = Mutex::new(read(&name, &source)?);
            let held = Held { source, text };
            if by_name.insert(name.clone(), held).is_some() {
                return Err(WebhookSecretError::Twice(name));
            }
        }
        Ok(Self { by_name })
    }

    /// The check of a webhook's requests, with the present texts of its secrets.
    pub fn check(&self, webhook: &Webhook) -> Check {
        let (mut texts, mut unusable) = (Vec::new(), Vec::new());
        for name in &webhook.secrets {
            let reason = match self.by_name.get(name) {
                None => "is not configured; hint: --webhook-secret NAME=file:/path adds it",
                Some(held) => {
                    let text = held.text().expose().to_owned();
                    if Verifier::new(webhook.layout.clone(), &[&text]).is_ok() {
                        texts.push(text);
                        continue;
                    }
                    "begins with `whsec_` and is not a secret of Standard Webhooks"
                }
            };
            let name = name.clone();
            unusable.push(UnusableSecret { name, reason });
        }
        Check {
            verifier: Verifier::new(webhook.layout.clone(), &texts).ok(),
            unusable,
        }
    }

    /// Follows changes of the files, for ever. Returns if no secret is in a file.
    pub async fn follow(&self) {
        let files = self
            .by_name
            .iter()
            .filter(|(_, held)| matches!(held.source, Source::File(_)));
        join_all(files.map(|(name, held)| held.follow(name))).await;
    }
}

impl Held {
    fn text(&self) -> MutexGuard<'_, Secret> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn follow(&self, name: &str) {
        let mut last_error = None;
        loop {
            sleep(READ_INTERVAL).await;
            let (source, owned) = (self.source.clone(), name.to_owned());
            let mut reading = spawn_blocking(move || read(&owned, &source));
            // There is never a second reading of one file.
            let result = loop {
                if let Ok(result) = timeout(READ_LIMIT, &mut reading).await {
                    break result;
                }
                let error = format!("reading takes longer than {READ_LIMIT:?}");
                failed(name, error, &mut last_error);
            };
            match result {
                Ok(Ok(text)) => {
                    last_error = None;
                    self.take(name, text);
                }
                Ok(Err(error)) => failed(name, error.to_string(), &mut last_error),
                Err(error) => failed(name, error.to_string(), &mut last_error),
            }
        }
    }

    fn take(&self, name: &str, text: Secret) {
        let mut held = self.text();
        if held.expose() == text.expose() {
            return;
        }
        *held = text;
        drop(held);
        metrics::authority_reload(true);
        tracing::info!(secret = name, "the secret of a webhook was replaced");
    }
}

/// Reports a reading that failed: each in the metrics, and each error once in the log.
fn failed(name: &str, error: String, last: &mut Option<String>) {
    metrics::authority_reload(false);
    if last.as_ref() != Some(&error) {
        tracing::error!(
            secret = name,
            error,
            "the secret of a webhook cannot be read; the previous text stays in force"
        );
        *last = Some(error);
    }
}

/// Reads a secret. The time that a reading takes depends on the file system.
fn read(name: &str, source: &Source) -> Result<Secret, WebhookSecretError> {
    let text = source.read(name)?;
    let length = text.expose().len();
    if (SHORTEST_SECRET..=LONGEST_SECRET).contains(&length) {
        Ok(text)
    } else {
        Err(WebhookSecretError::Length(name.to_owned(), length))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use almanac_events::webhook::Layout;

    use super::*;

    const OLD: &str = "an old secret of some length";
    const NEW: &str = "a new secret of some length";

    fn entry(name: &str, path: &std::path::Path) -> WebhookSecretEntry {
        format!("{name}=file:{}", path.display()).parse().unwrap()
    }

    fn webhook(layout: Layout, secrets: &[&str]) -> Webhook {
        Webhook {
            slug: "shop".parse().unwrap(),
            layout,
            secrets: secrets.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn an_entry_is_a_name_and_a_place_and_is_never_shown() {
        for good in ["a=env:PATH", "A.b-c_9=file:/run/secrets/a@b"] {
            assert!(good.parse::<WebhookSecretEntry>().is_ok(), "{good}");
        }
        for bad in [
            "hunter2",
            "=env:HUNTER2",
            "hunter2=hunter2",
            "hunter2=env:hunter 2",
            "hunter2=file:hunter2",
            "hunter2!=env:HUNTER2",
        ] {
            let error = bad.parse::<WebhookSecretEntry>().unwrap_err().to_string();
            assert!(!error.to_lowercase().contains("hunter2"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_secret_is_read_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let open = || WebhookSecrets::open(vec![entry("s", &path)]);
        assert!(matches!(open(), Err(WebhookSecretError::Read(_))));
        for (text, length) in [("fifteen letters", 15), (&*"x".repeat(1025), 1025)] {
            fs::write(&path, format!("{text}\n")).unwrap();
            let error = open().unwrap_err();
            assert_eq!(error, WebhookSecretError::Length("s".to_owned(), length));
        }
        fs::write(&path, "x".repeat(1024)).unwrap();
        assert!(open().is_ok());
        let twice = WebhookSecrets::open(vec![entry("s", &path), entry("s", &path)]);
        assert_eq!(
            twice.unwrap_err(),
            WebhookSecretError::Twice("s".to_owned())
        );
    }

    #[test]
    fn a_webhook_uses_the_secrets_that_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let (path, bad) = (folder.path().join("s"), folder.path().join("bad"));
        fs::write(&path, OLD).unwrap();
        fs::write(&bad, "whsec_not-base64-of-a-secret").unwrap();
        let secrets = WebhookSecrets::open(vec![entry("s", &path), entry("bad", &bad)]).unwrap();
        let found = |layout, names: &[&str]| {
            let check = secrets.check(&webhook(layout, names));
            let unusable = check.unusable.into_iter().map(|one| one.name).collect();
            (check.verifier.is_some(), unusable)
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let none: Vec<String> = Vec::new();
        assert_eq!(found(Layout::Github, &["s", "bad"]), (true, none));
        assert_eq!(found(Layout::Github, &["s", "no"]), (true, names(&["no"])));
        assert_eq!(found(Layout::Github, &["no"]), (false, names(&["no"])));
        // Only Standard Webhooks has secrets that are base64.
        assert_eq!(found(Layout::Standard, &["bad"]), (false, names(&["bad"])));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_followed_and_a_bad_one_keeps_the_last_good_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        fs::write(&path, OLD).unwrap();
        let secrets = WebhookSecrets::open(vec![entry("s", &path)]).unwrap();
        let text = || secrets.by_name["s"].text().expose().to_owned();
        let changes = async {
            for (written, expected) in [(NEW, NEW), ("short", NEW), ("", NEW), (OLD, OLD)] {
                fs::write(&path, written).unwrap();
                sleep(3 * READ_INTERVAL).await;
                assert_eq!(text(), expected, "{written}");
            }
            fs::remove_file(&path).unwrap();
            sleep(3 * READ_INTERVAL).await;
            assert_eq!(text(), OLD);
        };
        tokio::select! {
            () = secrets.follow() => unreachable!("it goes on"),
            () = changes => {}
        }
    }
}
