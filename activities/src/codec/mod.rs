//! The codec: encrypts the payloads that Almanac sends to Temporal, and decrypts those that it
//! reads.
//!
//! The SDK gives the payloads of workflows, activities, signals, updates and queries to the codec.
//! For requests that Almanac makes without the SDK, `decode_found` and `encode_fresh` do so.
//!
//! Always holds:
//! - A payload that cannot be decrypted stays as it is, with the reason in its metadata. Anyone who
//!   may send a signal can send such a payload, so it must not fail a workflow task.
//! - Search attributes and Almanac's memo are never encrypted: the server and later releases must
//!   read them.

mod json;
mod keys;
mod message;
mod remote;

use std::fmt;
use std::sync::Arc;

use almanac_base::names::{ENCRYPTION, READABLE, UNDECODED};
use almanac_core::schedule::Encryption;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use temporalio_common::data_converters::{
    DataConverter, DefaultFailureConverter, PayloadCodec, PayloadConversionError, PayloadConverter,
    SerializationContextData,
};
use temporalio_common::protos::temporal::api::common::v1::Payload;

pub use json::PayloadsJson;
pub use keys::{KeyRing, UnusableKeys};
pub(crate) use message::{decode_found, encode_fresh};
pub use remote::{AuthSource, RemoteCodec, RemoteCodecError};

use crate::payload::ENCODING;
use keys::{ENCRYPTED, SealError, no_key};
use remote::RemoteFailure;

/// Metadata of a payload in an answer: the payload as the server has it.
const FOUND: &str = "almanac-found";
/// Metadata that only this process adds. None of it is sent.
const INTERNAL: [&str; 4] = [ENCRYPTION, UNDECODED, FOUND, READABLE];

/// A codec of payloads. Cheap to clone.
#[derive(Clone, Default)]
pub struct Codec(Arc<Kind>);

#[derive(Default)]
enum Kind {
    /// Nothing is encrypted, and encrypted payloads cannot be read.
    #[default]
    None,
    /// The present keys of a file.
    Keys(Box<dyn Fn() -> Arc<KeyRing> + Send + Sync>),
    /// Another program does the work.
    Remote(RemoteCodec),
}

impl Codec {
    /// A codec with the keys that `keys` returns, which may change.
    pub fn with_keys(keys: impl Fn() -> Arc<KeyRing> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Kind::Keys(Box::new(keys))))
    }

    /// A codec that lets another program encode and decode.
    pub fn remote(remote: RemoteCodec) -> Self {
        Self(Arc::new(Kind::Remote(remote)))
    }

    /// Encryption of the payloads that this codec encodes now.
    pub fn encryption(&self) -> Encryption {
        match &*self.0 {
            Kind::None => Encryption::None,
            Kind::Keys(keys) => keys().encryption(),
            Kind::Remote(_) => Encryption::Remote,
        }
    }

    /// The converter with which the SDK's client and workers encode and decode. With
    /// `encodes_failures`, messages and stack traces of failures are encoded too.
    pub fn data_converter(&self, encodes_failures: bool) -> DataConverter {
        DataConverter::new(
            PayloadConverter::default(),
            DefaultFailureConverter::new(encodes_failures),
            self.clone(),
        )
    }

    async fn encode_all(&self, payloads: Vec<Payload>) -> Result<Vec<Payload>, CodecError> {
        // Without the mark, the Temporal CLI shows the payload as JSON.
        let marked = payloads
            .into_iter()
            .map(|payload| (is_readable(&payload), without_internal(payload)));
        match &*self.0 {
            Kind::None => Ok(marked.map(|(_, payload)| payload).collect()),
            Kind::Keys(keys) => {
                let keys = keys();
                let sealed = marked.map(|(stays_readable, payload)| {
                    if stays_readable {
                        Ok(payload)
                    } else {
                        keys.seal(payload)
                    }
                });
                sealed.collect::<Result<_, _>>().map_err(CodecError::Seal)
            }
            Kind::Remote(remote) => {
                let (stay_readable, mut payloads): (Vec<_>, Vec<_>) = marked.unzip();
                let (places, given): (Vec<_>, Vec<_>) = payloads
                    .iter()
                    .cloned()
                    .enumerate()
                    .filter(|(place, _)| !stay_readable[*place])
                    .unzip();
                let encoded = remote.encode(given).await.map_err(CodecError::Remote)?;
                replace(&mut payloads, places, encoded);
                Ok(payloads)
            }
        }
    }

    async fn decode_all(&self, payloads: Vec<Payload>) -> Result<Vec<Payload>, CodecError> {
        match &*self.0 {
            Kind::None => Ok(payloads.into_iter().map(undecoded).collect()),
            Kind::Keys(keys) => {
                let keys = keys();
                Ok(payloads
                    .into_iter()
                    .map(|payload| decode(&keys, payload))
                    .collect())
            }
            Kind::Remote(remote) => decode_remotely(remote, payloads).await,
        }
    }
}

/// Decrypts a payload if it is encrypted.
fn decode(keys: &KeyRing, payload: Payload) -> Payload {
    if !is_encrypted(&payload) {
        return without_internal(payload);
    }
    match keys.open(&payload) {
        Ok(opened) => {
            let id = payload.metadata.get(keys::KEY_ID).map(Vec::as_slice);
            let id = String::from_utf8_lossy(id.unwrap_or_default());
            described(opened, &Encryption::Key((*id).into()))
        }
        Err(error) => with_reason(payload, &error),
    }
}

/// A payload without a codec: one that is encrypted cannot be read.
fn undecoded(payload: Payload) -> Payload {
    if is_encrypted(&payload) {
        let error = no_key(&payload);
        with_reason(payload, &error)
    } else {
        without_internal(payload)
    }
}

/// Lets the other program decode every payload that is not plain already.
async fn decode_remotely(
    remote: &RemoteCodec,
    payloads: Vec<Payload>,
) -> Result<Vec<Payload>, CodecError> {
    let mut payloads: Vec<_> = payloads.into_iter().map(without_internal).collect();
    let (places, given): (Vec<_>, Vec<_>) = payloads
        .iter()
        .cloned()
        .enumerate()
        .filter(|(_, payload)| !is_plain(payload))
        .unzip();
    match remote.decode(given.clone()).await {
        Ok(decoded) => replace(&mut payloads, places, decoded),
        Err(RemoteFailure::Refused(reason)) => {
            tracing::warn!(
                reason,
                "the codec at --codec-endpoint does not decode payloads"
            );
            let kept = given.into_iter();
            let kept = kept.map(|payload| with_reason(payload, &reason)).collect();
            replace(&mut payloads, places, kept);
        }
        Err(error) => return Err(CodecError::Remote(error)),
    }
    // The other program decides which payloads it encrypts, so its result is not examined.
    let of_remote = |payload: Payload| {
        if payload.metadata.contains_key(UNDECODED) {
            payload
        } else {
            described(payload, &Encryption::Remote)
        }
    };
    Ok(payloads.into_iter().map(of_remote).collect())
}

fn replace(payloads: &mut [Payload], places: Vec<usize>, new: Vec<Payload>) {
    for (place, new) in places.into_iter().zip(new) {
        payloads[place] = new;
    }
}

/// Returns `true` if the payload is encrypted, or was and cannot be decrypted.
pub(crate) fn is_encrypted(payload: &Payload) -> bool {
    payload.metadata.get(ENCODING).map(Vec::as_slice) == Some(ENCRYPTED)
}

/// Returns `true` if no codec has encoded the payload.
fn is_plain(payload: &Payload) -> bool {
    let encoding = payload.metadata.get(ENCODING).map(Vec::as_slice);
    match encoding.unwrap_or_default() {
        b"" => payload.data.is_empty(),
        encoding => [
            &b"json/plain"[..],
            b"json/protobuf",
            b"binary/null",
            b"binary/plain",
            b"binary/protobuf",
        ]
        .contains(&encoding),
    }
}

/// Returns `true` if the payload must stay readable.
fn is_readable(payload: &Payload) -> bool {
    payload.metadata.contains_key(READABLE)
}

/// A payload without the metadata that this process adds. A payload of an answer is then encoded
/// again.
pub fn without_internal(mut payload: Payload) -> Payload {
    payload
        .metadata
        .retain(|key, _| !INTERNAL.contains(&key.as_str()));
    payload
}

fn described(payload: Payload, encryption: &Encryption) -> Payload {
    let mut payload = without_internal(payload);
    payload
        .metadata
        .insert(ENCRYPTION.to_owned(), text_of(encryption).into_bytes());
    payload
}

fn with_reason(payload: Payload, reason: &impl fmt::Display) -> Payload {
    let mut payload = without_internal(payload);
    payload
        .metadata
        .insert(UNDECODED.to_owned(), reason.to_string().into_bytes());
    payload
}

fn text_of(encryption: &Encryption) -> String {
    match encryption {
        Encryption::Key(id) => format!("key {id}"),
        other => other.to_string(),
    }
}

/// Encryption that a decoded payload had.
pub(crate) fn encryption_of(payload: &Payload) -> Encryption {
    let text = payload.metadata.get(ENCRYPTION).map(Vec::as_slice);
    let text = std::str::from_utf8(text.unwrap_or_default()).unwrap_or_default();
    match text.strip_prefix("key ") {
        Some(id) => Encryption::Key(id.into()),
        None if text == "remote" => Encryption::Remote,
        None => Encryption::None,
    }
}

/// Returns the reason for which a payload could not be decoded, if it could not.
pub fn undecoded_reason(payload: &Payload) -> Option<String> {
    let reason = payload.metadata.get(UNDECODED)?;
    Some(String::from_utf8_lossy(reason).into_owned())
}

/// Returns `true` if a key of a payload's metadata is one that this process adds.
pub(crate) fn is_internal(key: &str) -> bool {
    INTERNAL.contains(&key)
}

/// Error of payloads that cannot be encoded, or not decoded now.
#[derive(Debug, thiserror::Error)]
enum CodecError {
    #[error("the payload cannot be encrypted: {0}")]
    Seal(SealError),
    #[error("the codec at --codec-endpoint: {0}")]
    Remote(RemoteFailure),
}

impl From<CodecError> for PayloadConversionError {
    fn from(error: CodecError) -> Self {
        Self::EncodingError(Box::new(error))
    }
}

impl PayloadCodec for Codec {
    fn encode(
        &self,
        _: &SerializationContextData,
        payloads: Vec<Payload>,
    ) -> BoxFuture<'static, Result<Vec<Payload>, PayloadConversionError>> {
        let codec = self.clone();
        async move { Ok(codec.encode_all(payloads).await?) }.boxed()
    }

    fn decode(
        &self,
        _: &SerializationContextData,
        payloads: Vec<Payload>,
    ) -> BoxFuture<'static, Result<Vec<Payload>, PayloadConversionError>> {
        let codec = self.clone();
        async move { Ok(codec.decode_all(payloads).await?) }.boxed()
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codec({})", self.encryption())
    }
}

#[cfg(test)]
mod tests;
