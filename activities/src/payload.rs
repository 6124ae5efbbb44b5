//! Payloads: JSON in the form that every SDK writes and reads.

use std::collections::HashMap;

use almanac_base::names::READABLE;
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::common::v1::Payload;

pub(crate) const ENCODING: &str = "encoding";
const JSON: &[u8] = b"json/plain";
const NULL: &[u8] = b"binary/null";

/// Encodes a value as a `json/plain` payload.
pub fn encode_json(value: &Value) -> Payload {
    Payload {
        metadata: HashMap::from([(ENCODING.to_owned(), JSON.to_vec())]),
        data: value.to_string().into_bytes(),
        ..Payload::default()
    }
}

/// Encodes a value as a `json/plain` payload that no codec encodes.
pub(crate) fn encode_readable(value: &Value) -> Payload {
    let mut payload = encode_json(value);
    payload.metadata.insert(READABLE.to_owned(), Vec::new());
    payload
}

/// Decodes a payload to a value. A payload that is not JSON becomes an object
/// with its encoding and a digest of its data, which differs from every value
/// that a definition can give.
pub fn decode_json(payload: &Payload) -> Value {
    let encoding = payload
        .metadata
        .get(ENCODING)
        .map_or(&[][..], Vec::as_slice);
    if encoding == NULL {
        return Value::Null;
    }
    let parsed = (encoding == JSON).then(|| serde_json::from_slice(&payload.data).ok());
    parsed.flatten().unwrap_or_else(|| {
        let digest = almanac_base::names::Revision::of(&payload.data);
        json!({ "$payload": String::from_utf8_lossy(encoding), "digest": digest })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_round_trip() {
        for value in [json!(null), json!(1.5), json!({"a": [1, "ü"]})] {
            assert_eq!(decode_json(&encode_json(&value)), value);
        }
    }

    #[test]
    fn payloads_in_an_unknown_encoding_differ_by_their_data() {
        let foreign = |data: &[u8]| Payload {
            metadata: HashMap::from([(ENCODING.to_owned(), b"binary/encrypted".to_vec())]),
            data: data.to_vec(),
            ..Payload::default()
        };
        assert_ne!(decode_json(&foreign(b"a")), decode_json(&foreign(b"b")));
    }
}
