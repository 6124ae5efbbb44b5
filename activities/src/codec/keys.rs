//! Keys that encrypt payloads, and the payloads that they make.
//!
//! An encrypted payload has the form of Temporal's samples: its `encoding` is `binary/encrypted`,
//! its `encryption-key-id` names the key, and its data are a nonce of 12 bytes and what AES-256-GCM
//! makes of the original payload, as a message of Protocol Buffers.
//!
//! No key leaves this module, and no error shows a part of one.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use almanac_core::schedule::Encryption;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost::Message as _;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use temporalio_common::protos::temporal::api::common::v1::Payload;

use crate::payload::ENCODING;

/// Encoding of an encrypted payload.
pub(crate) const ENCRYPTED: &[u8] = b"binary/encrypted";
/// Metadata of an encrypted payload: the id of its key.
pub(crate) const KEY_ID: &str = "encryption-key-id";
/// First line of a key file whose keys only decrypt.
const NONE: &str = "none";
/// Length of a key, in bytes.
const KEY_LENGTH: usize = 32;
/// Maximum number of keys in a file.
const KEYS_LIMIT: usize = 100;
/// Maximum length of a key's id, in characters.
const ID_LIMIT: usize = 64;

/// The keys of a file: one encrypts, and each decrypts.
pub struct KeyRing {
    /// Id of the key that encrypts. `None` if payloads are not encrypted.
    primary: Option<Arc<str>>,
    keys: BTreeMap<Arc<str>, LessSafeKey>,
}

almanac_base::message_error! {
    /// The reason for which a file is not a key file. It shows no part of the file but ids.
    pub UnusableKeys
}

/// Error of a payload that cannot be decrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SealError {
    /// None of the keys has the id that the payload names.
    #[error("it is encrypted with key {0}, which is not among the keys of this process")]
    NoKey(String),
    /// The data are not what the key has encrypted: they or the key were changed.
    #[error("it does not decrypt with key `{0}`: the payload or the key was changed")]
    Changed(Arc<str>),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
}

impl KeyRing {
    /// Parses a key file: `ID KEY` on each line, with the 32 bytes of the key in Base64. The first
    /// key encrypts. If the first line is `none`, no key does. `#` begins a comment.
    pub fn parse(bytes: &[u8]) -> Result<Self, UnusableKeys> {
        let text = std::str::from_utf8(bytes).map_err(|_| "the file is not UTF-8")?;
        let mut keys = BTreeMap::new();
        let mut primary: Option<Option<Arc<str>>> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let at = |why: String| UnusableKeys::from(format!("line {number}: {why}"));
            let mut words = line
                .split_whitespace()
                .take_while(|word| !word.starts_with('#'));
            let Some(id) = words.next() else {
                continue;
            };
            let (key, more) = (words.next(), words.next());
            let Some(key) = key else {
                if id == NONE && primary.is_none() {
                    primary = Some(None);
                    continue;
                }
                // The word may be a key without an id.
                return Err(at(
                    "a line must be `ID KEY`; only the first can be `none`".to_owned()
                ));
            };
            if more.is_some() {
                return Err(at(
                    "there is more on the line than an id and a key".to_owned()
                ));
            }
            check_id(id).map_err(|why| at(why.to_owned()))?;
            let key = read_key(key).map_err(|why| at(format!("the key `{id}` {why}")))?;
            let id: Arc<str> = id.into();
            if keys.insert(Arc::clone(&id), key).is_some() {
                return Err(at(format!("the key `{id}` is also on an earlier line")));
            }
            if keys.len() > KEYS_LIMIT {
                return Err(at(format!("there are more than {KEYS_LIMIT} keys")));
            }
            primary.get_or_insert(Some(id));
        }
        if keys.is_empty() {
            return Err("the file has no key".into());
        }
        Ok(Self {
            primary: primary.flatten(),
            keys,
        })
    }

    /// Encryption of the payloads that these keys encrypt.
    pub(super) fn encryption(&self) -> Encryption {
        let primary = self.primary.clone();
        primary.map_or(Encryption::None, Encryption::Key)
    }

    /// Encrypts a payload. Returns it unchanged if no key encrypts.
    pub(super) fn seal(&self, payload: Payload) -> Result<Payload, SealError> {
        let Some((id, key)) = self
            .primary
            .as_ref()
            .and_then(|id| self.keys.get_key_value(id))
        else {
            return Ok(payload);
        };
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| SealError::NoRandomness)?;
        let mut sealed = payload.encode_to_vec();
        let tag = key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                &mut sealed,
            )
            .map_err(|_| SealError::Changed(Arc::clone(id)))?;
        Ok(Payload {
            metadata: HashMap::from([
                (ENCODING.to_owned(), ENCRYPTED.to_vec()),
                (KEY_ID.to_owned(), id.as_bytes().to_vec()),
            ]),
            data: [&nonce[..], &sealed, tag.as_ref()].concat(),
            ..Payload::default()
        })
    }

    /// Decrypts a payload.
    pub(super) fn open(&self, payload: &Payload) -> Result<Payload, SealError> {
        let id = payload.metadata.get(KEY_ID).map(Vec::as_slice);
        let found = id
            .and_then(|id| std::str::from_utf8(id).ok())
            .and_then(|id| self.keys.get_key_value(id));
        let Some((id, key)) = found else {
            return Err(no_key(payload));
        };
        let changed = || SealError::Changed(Arc::clone(id));
        let (nonce, sealed) = payload
            .data
            .split_at_checked(NONCE_LEN)
            .ok_or_else(changed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| changed())?;
        let mut sealed = sealed.to_vec();
        let opened = key
            .open_in_place(nonce, Aad::empty(), &mut sealed)
            .map_err(|_| changed())?;
        Payload::decode(&*opened).map_err(|_| changed())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({:?} of {:?})", self.primary, self.keys.keys())
    }
}

/// The error for a payload with a key that is not known.
pub(super) fn no_key(payload: &Payload) -> SealError {
    let id = payload.metadata.get(KEY_ID).map(|id| {
        let shown: String = String::from_utf8_lossy(id).chars().take(ID_LIMIT).collect();
        almanac_base::text::quoted(&shown)
    });
    SealError::NoKey(id.unwrap_or_else(|| "without an id".to_owned()))
}

fn check_id(id: &str) -> Result<(), &'static str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if id == NONE {
        return Err("`none` is not an id of a key");
    }
    // The word may be a key, so it is not shown.
    if id.len() > ID_LIMIT || !id.bytes().all(fits) {
        return Err("an id has up to 64 characters of A-Z a-z 0-9 . _ -");
    }
    Ok(())
}

fn read_key(text: &str) -> Result<LessSafeKey, &'static str> {
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| "is not Base64")?;
    if bytes.len() != KEY_LENGTH {
        return Err("does not have 32 bytes; hint: openssl rand -base64 32");
    }
    let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| "cannot be used")?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::payload::encode_json;

    const A: &str = "a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const B: &str = "b AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn ring(lines: &[&str]) -> KeyRing {
        KeyRing::parse(lines.join("\n").as_bytes()).unwrap()
    }

    #[test]
    fn a_payload_that_another_program_encrypted_is_decrypted() {
        // Made with AESGCM of Python's `cryptography`: the key 00 01 … 1f, the nonce 00 … 0b, and
        // the message of a payload with the encoding `json/plain` and the data `{"a":1}`.
        let payload = Payload {
            metadata: HashMap::from([
                (ENCODING.to_owned(), ENCRYPTED.to_vec()),
                (KEY_ID.to_owned(), b"a".to_vec()),
            ]),
            data: hex::decode(VECTOR).unwrap(),
            ..Payload::default()
        };
        let opened = ring(&[B, A]).open(&payload).unwrap();
        assert_eq!(opened, encode_json(&json!({"a": 1})));
    }

    #[test]
    fn the_first_key_encrypts_and_each_decrypts() {
        let payload = encode_json(&json!("hush"));
        let old = ring(&[A]);
        let sealed = old.seal(payload.clone()).unwrap();
        assert_eq!(sealed.metadata[ENCODING], ENCRYPTED);
        assert_eq!(sealed.metadata[KEY_ID], b"a");
        assert_ne!(sealed.data, old.seal(payload.clone()).unwrap().data);
        let both = ring(&["# rotated", B, "", A]);
        assert_eq!(both.encryption(), Encryption::Key("b".into()));
        assert_eq!(both.seal(payload.clone()).unwrap().metadata[KEY_ID], b"b");
        assert_eq!(both.open(&sealed).unwrap(), payload);
        let off = ring(&["none # encrypts nothing", A]);
        assert_eq!(off.encryption(), Encryption::None);
        assert_eq!(off.seal(payload.clone()).unwrap(), payload);
        assert_eq!(off.open(&sealed).unwrap(), payload);
    }

    #[test]
    fn a_payload_that_was_changed_or_has_another_key_is_not_decrypted() {
        let ring_a = ring(&[A]);
        let sealed = ring_a.seal(encode_json(&json!("hush"))).unwrap();
        for at in [0, NONCE_LEN, sealed.data.len() - 1] {
            let mut changed = sealed.clone();
            changed.data[at] ^= 1;
            assert_eq!(ring_a.open(&changed), Err(SealError::Changed("a".into())));
        }
        for length in [0, NONCE_LEN, NONCE_LEN + 16] {
            let mut short = sealed.clone();
            short.data.truncate(length);
            assert_eq!(ring_a.open(&short), Err(SealError::Changed("a".into())));
        }
        let other = A.replace("AAEC", "BBEC");
        assert_eq!(
            ring(&[&other]).open(&sealed),
            Err(SealError::Changed("a".into()))
        );
        let unknown = ring(&[B]).open(&sealed).unwrap_err().to_string();
        assert!(unknown.contains("key `a`, which is not among"), "{unknown}");
        let mut nameless = sealed;
        nameless.metadata.remove(KEY_ID);
        let nameless = ring_a.open(&nameless).unwrap_err().to_string();
        assert!(nameless.contains("without an id"), "{nameless}");
    }

    #[test]
    fn a_bad_file_is_refused_with_its_line_and_without_its_key() {
        let long = format!("{} {}", "i".repeat(65), &A[2..]);
        let many: Vec<String> = (0..=KEYS_LIMIT)
            .map(|n| format!("k{n} {}", &A[2..]))
            .collect();
        let twice = format!("{A}\n{A}");
        for (text, reason) in [
            ("", "the file has no key"),
            ("none", "the file has no key"),
            (&A[2..], "line 1: a line must be `ID KEY`"),
            (&format!("{A}\nnone"), "line 2: a line must be `ID KEY`"),
            ("a c2hvcnQ=", "line 1: the key `a` does not have 32 bytes"),
            ("a !!hush!!", "line 1: the key `a` is not Base64"),
            (&format!("{A} hush"), "line 1: there is more on the line"),
            (&format!("none {}", &A[2..]), "line 1: `none` is not an id"),
            (&format!("a/b {}", &A[2..]), "line 1: an id has up to 64"),
            (&long, "line 1: an id has up to 64"),
            (&twice, "line 2: the key `a` is also on an earlier line"),
            (&many.join("\n"), "there are more than 100 keys"),
        ] {
            let error = KeyRing::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
            for secret in ["AAEC", "c2hv", "hush"] {
                assert!(!error.contains(secret), "{error}");
            }
        }
        assert!(KeyRing::parse(b"\xff").is_err());
        let shown = format!("{:?}", ring(&[A]));
        assert!(!shown.contains("AAEC"), "{shown}");
    }

    const VECTOR: &str = "000102030405060708090a0b4d14dc13a08ba174e928f9eca3e3121eecb8a8449c1a36122a609ea77c4b3a837c6d8f195843dba1c8383614182bba162c";
}
