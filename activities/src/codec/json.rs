//! Payloads as JSON, in the form in which Temporal's programs send them to codec servers.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use temporalio_common::protos::temporal::api::common::v1::Payload;

/// The body of a request to a codec server, and of its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadsJson {
    #[serde(default)]
    payloads: Vec<PayloadJson>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PayloadJson {
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    data: String,
}

impl PayloadsJson {
    /// The payloads as JSON.
    pub fn of(payloads: &[Payload]) -> Self {
        let of = |payload: &Payload| PayloadJson {
            metadata: payload
                .metadata
                .iter()
                .map(|(key, value)| (key.clone(), BASE64_STANDARD.encode(value)))
                .collect(),
            data: BASE64_STANDARD.encode(&payload.data),
        };
        Self {
            payloads: payloads.iter().map(of).collect(),
        }
    }

    /// The payloads. `None` if a text is not Base64.
    pub fn payloads(&self) -> Option<Vec<Payload>> {
        let read = |payload: &PayloadJson| {
            let metadata = payload.metadata.iter();
            let metadata: Option<HashMap<_, _>> = metadata
                .map(|(key, value)| Some((key.clone(), bytes(value)?)))
                .collect();
            Some(Payload {
                metadata: metadata?,
                data: bytes(&payload.data)?,
                ..Payload::default()
            })
        };
        self.payloads.iter().map(read).collect()
    }
}

/// Decodes Base64 of either alphabet, with or without padding, as the JSON form of Protocol Buffers
/// allows.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [&STANDARD, &URL_SAFE]
        .into_iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_survive_the_round_trip_and_either_alphabet_is_read() {
        let payload = Payload {
            metadata: HashMap::from([("encoding".to_owned(), b"binary/plain".to_vec())]),
            data: vec![0xfb, 0xff, 0x00, 0x01],
            ..Payload::default()
        };
        let json = PayloadsJson::of(std::slice::from_ref(&payload));
        let text = serde_json::to_string(&json).unwrap();
        let expected =
            r#"{"payloads":[{"metadata":{"encoding":"YmluYXJ5L3BsYWlu"},"data":"+/8AAQ=="}]}"#;
        assert_eq!(text, expected);
        for text in [expected.to_owned(), expected.replace("+/8AAQ==", "-_8AAQ")] {
            let read: PayloadsJson = serde_json::from_str(&text).unwrap();
            assert_eq!(read.payloads(), Some(vec![payload.clone()]));
        }
        let bad: PayloadsJson = serde_json::from_str(r#"{"payloads":[{"data":"?"}]}"#).unwrap();
        assert_eq!(bad.payloads(), None);
    }
}
