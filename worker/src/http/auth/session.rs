//! Sessions of people who logged in with a token of the file.
//!
//! A session is `v1.{end}.{id}.{tag}`: the Unix time at which it ends, the name of its
//! token, and an HMAC of all that. Always holds:
//! - All workers with the token in their file accept the session, and none keeps anything
//!   for it. It ends with its time, or when the token leaves the file.
//! - The session does not contain the token. The key of the HMAC is made from the token
//!   itself, so the digest that the worker keeps to recognize the token makes no session.

use std::time::Duration;

use jiff::Timestamp;
use ring::hmac;

/// Maximum life of a session.
const LIFE: Duration = Duration::from_hours(12);
const VERSION: &str = "v1";
/// Number of hexadecimal digits of a token's name in a session.
const ID: usize = 16;

/// The key for the sessions of one token.
#[derive(Debug)]
pub(super) struct SessionKey {
    id: String,
    key: hmac::Key,
}

impl SessionKey {
    /// Makes the key for the sessions of this token.
    pub(super) fn of(token: &str) -> Self {
        let token = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
        let id = hmac::sign(&token, b"almanac session id v1");
        let key = hmac::sign(&token, b"almanac session key v1");
        Self {
            id: hex::encode(id)[..ID].to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()),
        }
    }

    /// Begins a session.
    pub(super) fn begin(&self, now: Timestamp) -> String {
        let life = i64::try_from(LIFE.as_secs()).unwrap_or(0);
        let end = now.as_second().saturating_add(life);
        let message = format!("{VERSION}.{end}.{}", self.id);
        let tag = hmac::sign(&self.key, message.as_bytes());
        format!("{message}.{}", hex::encode(tag))
    }
}

/// A session that a request shows.
pub(super) struct ShownSession<'a> {
    message: &'a str,
    end: i64,
    id: &'a str,
    tag: Vec<u8>,
}

impl<'a> ShownSession<'a> {
    /// Reads a session. `None` if the text is not a session.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (message, tag) = text.rsplit_once('.')?;
        let mut parts = message.split('.');
        let (Some(VERSION), Some(end), Some(id), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        Some(Self {
            message,
            end: end.parse().ok()?,
            id,
            tag: hex::decode(tag).ok()?,
        })
    }

    /// Returns `true` if the session names the token of this key. This proves nothing.
    pub(super) fn names(&self, key: &SessionKey) -> bool {
        self.id == key.id
    }

    /// Returns `true` if the session was begun with this key.
    pub(super) fn is_of(&self, key: &SessionKey) -> bool {
        hmac::verify(&key.key, self.message.as_bytes(), &self.tag).is_ok()
    }

    /// Returns `true` if the session has ended.
    pub(super) fn has_ended(&self, now: Timestamp) -> bool {
        now.as_second() >= self.end
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    const TOKEN: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn is_good(text: &str, key: &SessionKey) -> bool {
        ShownSession::parse(text).is_some_and(|shown| shown.names(key) && shown.is_of(key))
    }

    #[test]
    fn a_session_is_of_one_token_and_ends_after_twelve_hours() {
        let key = SessionKey::of(TOKEN);
        let text = key.begin(NOW);
        assert!(text.starts_with("v1.43200."), "{text}");
        assert!(is_good(&text, &key));
        assert!(is_good(&text, &SessionKey::of(TOKEN)), "another worker");
        assert!(!is_good(&text, &SessionKey::of(&TOKEN[1..])));
        let shown = ShownSession::parse(&text).unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(!shown.has_ended(at(43_199)));
        assert!(shown.has_ended(at(43_200)));
    }

    #[test]
    fn a_changed_session_is_not_accepted() {
        let key = SessionKey::of(TOKEN);
        let text = key.begin(NOW);
        let parts: Vec<_> = text.split('.').collect();
        let (id, tag) = (parts[2], parts[3]);
        for bad in [
            format!("v1.43201.{id}.{tag}"),
            format!("v1.+43200.{id}.{tag}"),
            format!("v1.043200.{id}.{tag}"),
            format!("v2.43200.{id}.{tag}"),
            format!("v1.43200.{id}."),
            format!("v1.43200.{id}"),
            format!("v1.43200.{id}.x.{tag}"),
            format!("v1.43200.{}.{tag}", id.to_uppercase()),
            format!("{text}00"),
            text[..text.len() - 2].to_owned(),
            "v1.99999999999999999999.x.00".to_owned(),
            "...".to_owned(),
            String::new(),
        ] {
            assert!(!is_good(&bad, &key), "{bad}");
        }
    }

    #[test]
    fn what_recognizes_a_token_makes_no_session() {
        let key = SessionKey::of(TOKEN);
        let digest = Sha256::digest(TOKEN);
        let message = format!("v1.43200.{}", key.id);
        for known in [digest.as_slice(), hex::encode(digest).as_bytes()] {
            let tag = hmac::sign(
                &hmac::Key::new(hmac::HMAC_SHA256, known),
                message.as_bytes(),
            );
            assert!(!is_good(&format!("{message}.{}", hex::encode(tag)), &key));
            let of_digest = SessionKey::of(&hex::encode(known));
            assert!(!is_good(&of_digest.begin(NOW), &key));
        }
    }
}
