//! Secrets of webhooks, as keys of HMAC.

use ring::hmac;

use super::Layout;
use super::claim::base64;

/// Minimum length of a secret, in bytes.
pub const SHORTEST_SECRET: usize = 16;
/// Maximum length of a secret, in bytes.
pub const LONGEST_SECRET: usize = 1024;
/// Beginning of a secret of Standard Webhooks that is base64.
const ENCODED: &[u8] = b"whsec_";
/// Minimum length of such a secret when it is decoded, in bytes (Standard Webhooks, signature
/// scheme).
const ENCODED_SHORTEST: usize = 24;
/// Maximum length of such a secret when it is decoded, in bytes.
const ENCODED_LONGEST: usize = 64;
/// Maximum number of secrets of a webhook.
pub const MAX_SECRETS: usize = 2;

/// The reason for which secrets cannot be used. The messages never show a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There are none, or too many.
    #[error("a webhook needs 1 or {MAX_SECRETS} secrets, not {0}")]
    Count(usize),
    /// The secret at this index has this number of bytes.
    #[error(
        "secrets[{0}] has {1} bytes; a secret must have {SHORTEST_SECRET} to {LONGEST_SECRET} bytes"
    )]
    Length(usize, usize),
    /// The secret at this index says that it is base64, and is not, or has the wrong length.
    #[error(
        "secrets[{0}] begins with `whsec_`, so the rest must be base64 of {ENCODED_SHORTEST} to \
         {ENCODED_LONGEST} bytes"
    )]
    Encoded(usize),
}

/// Returns the keys that secrets stand for.
pub(super) fn keys(
    layout: &Layout,
    secrets: &[impl AsRef<[u8]>],
) -> Result<Vec<hmac::Key>, SecretError> {
    if secrets.is_empty() || secrets.len() > MAX_SECRETS {
        return Err(SecretError::Count(secrets.len()));
    }
    let secrets = secrets.iter().enumerate();
    secrets
        .map(|(index, secret)| key(layout, index, secret.as_ref()))
        .collect()
}

fn key(layout: &Layout, index: usize, secret: &[u8]) -> Result<hmac::Key, SecretError> {
    let length = secret.len();
    if !(SHORTEST_SECRET..=LONGEST_SECRET).contains(&length) {
        return Err(SecretError::Length(index, length));
    }
    let key = |bytes: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
    // Stripe's secrets begin alike, and are keys as they are.
    if let (Layout::Standard, Some(text)) = (layout, secret.strip_prefix(ENCODED)) {
        return match base64(text) {
            Some(bytes) if (ENCODED_SHORTEST..=ENCODED_LONGEST).contains(&bytes.len()) => {
                Ok(key(&bytes))
            }
            _ => Err(SecretError::Encoded(index)),
        };
    }
    Ok(key(secret))
}
