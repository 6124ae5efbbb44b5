//! Signed requests of other services: webhooks.
//!
//! A [`Verifier`] checks the signature over the bytes of the body, in constant time, before
//! anything in the body is read. Then it reads the body as JSON. [`to_event`] makes an event of the
//! result.
//!
//! | layout | signature | signed | window | id |
//! |---|---|---|---|---|
//! | `standard` | `webhook-signature` or `svix-signature`, base64 | id, time and body | 300 s | the signed id |
//! | `github` | `X-Hub-Signature-256`, hexadecimal | body | none | digest of the body |
//! | `stripe` | `Stripe-Signature`, hexadecimal | time and body | 300 s | the body's `id`, or its digest |
//! | `slack` | `X-Slack-Signature`, hexadecimal | time and body | 300 s | the body's `event_id`, or its digest |
//! | `hmac` | any header, hexadecimal or base64 | body | none | digest of the body |
//!
//! All signatures are HMAC with SHA-256. The id of a delivery depends on signed data only. So a
//! request that is sent again has the same id, and the caller can drop it. Headers that are not
//! signed decide nothing: also the form of a body is told from the body.

mod claim;
mod content;
mod headers;
mod layout;
mod refusal;
mod secret;
#[cfg(test)]
mod tests;

use std::fmt;

use almanac_base::percent;
use jiff::Timestamp;
use ring::hmac;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::event::{CloudEvent, InvalidEvent, MAX_BYTES};
use claim::Claim;
use headers::Headers;

pub use layout::{Encoding, HmacLayout, InvalidLayout, Layout};
pub use refusal::Refusal;
pub use secret::{LONGEST_SECRET, MAX_SECRETS, SHORTEST_SECRET, SecretError};

/// Maximum size of a body, in bytes.
pub const MAX_BODY: usize = MAX_BYTES;
/// Maximum difference between the time of a signature and the present, in seconds, in both
/// directions.
pub const WINDOW: i64 = 300;
/// Maximum length of the id of a delivery, in bytes.
pub const MAX_ID: usize = 256;
/// Maximum length of a hint, in characters.
pub const MAX_HINT: usize = 256;

/// The check of one webhook's requests.
#[derive(Clone)]
pub struct Verifier {
    layout: Layout,
    keys: Vec<hmac::Key>,
}

/// The result of a request whose signature is right.
#[derive(Debug, Clone, PartialEq)]
pub enum Verified {
    /// The request delivers something.
    Delivery(Delivery),
    /// Slack asks if the address belongs to the application. The text is the answer's body.
    Challenge(String),
}

/// A verified request.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The same for each attempt to deliver the same thing. At most [`MAX_ID`] bytes.
    pub id: String,
    /// The body as JSON, without the member `pending_webhooks` of Stripe, which differs between
    /// attempts.
    pub body: Value,
    /// SHA-256 of the bytes of the body, as 64 lower-case hexadecimal digits.
    pub digest: String,
    /// A hint at the kind of the delivery, from a header that is not signed. At most [`MAX_HINT`]
    /// printable characters. `None` if the layout has no hint, or the header is unfit.
    pub subject: Option<String>,
}

impl Verifier {
    /// Creates the check of requests that are signed with one of the secrets. There may be two, so
    /// that a secret can be replaced.
    pub fn new(layout: Layout, secrets: &[impl AsRef<[u8]>]) -> Result<Self, SecretError> {
        let keys = secret::keys(&layout, secrets)?;
        Ok(Self { layout, keys })
    }

    /// The layout of the requests.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Verifies a request. The names of headers may be in any case. `body` must be the bytes of the
    /// request, unchanged.
    pub fn verify<'a>(
        &self,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        if body.len() > MAX_BODY {
            return Err(Refusal::TooLarge(body.len()));
        }
        let headers = Headers::new(headers);
        let claim = Claim::read(&self.layout, &headers)?;
        if !self.keys.iter().any(|key| claim.is_signed_with(key, body)) {
            return Err(Refusal::WrongSignature);
        }
        // The time is compared after the signature, so it is a time that the sender signed.
        if let Some(time) = claim.time {
            check_window(time, now)?;
        }
        let mut value = content::read(&self.layout, body)?;
        content::drop_attempt(&self.layout, &mut value);
        if self.layout == Layout::Slack
            && let Some(challenge) = content::challenge(&value)?
        {
            return Ok(Verified::Challenge(challenge));
        }
        let digest = hex::encode(Sha256::digest(body));
        let id = claim
            .id
            .or_else(|| content::id(&self.layout, &value))
            .unwrap_or_else(|| digest.clone());
        let subject = match self.layout {
            Layout::Github => headers.hint("x-github-event"),
            _ => None,
        };
        Ok(Verified::Delivery(Delivery {
            id,
            body: value,
            digest,
            subject,
        }))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.keys.len();
        write!(f, "Verifier({}, secrets: {count})", self.layout.name())
    }
}

/// Makes an event of a delivery to the webhook `slug`: with the source `/webhooks/SLUG`, the
/// delivery's id, and its body as data. `time` is the time at which the request came.
pub fn to_event(
    slug: &str,
    kind: &str,
    delivery: Delivery,
    time: Timestamp,
) -> Result<CloudEvent, InvalidEvent> {
    let mut event = json!({
        "specversion": "1.0",
        "source": format!("/webhooks/{}", percent::encode(slug)),
        "type": kind,
        "time": time.to_string(),
    });
    event["id"] = delivery.id.into();
    event["subject"] = delivery.subject.into();
    event["data"] = delivery.body;
    CloudEvent::from_json(event)
}

/// Refuses the time of a signature, in seconds since 1970, that is too far from the present.
fn check_window(time: i64, now: Timestamp) -> Result<(), Refusal> {
    let age = now.as_second().saturating_sub(time);
    if age > WINDOW {
        return Err(Refusal::Stale(age));
    }
    if age < -WINDOW {
        return Err(Refusal::Future(-age));
    }
    Ok(())
}
