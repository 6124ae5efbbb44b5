//! Messages that the client of NATS cannot read.
//!
//! NATS stores any bytes as headers, and almost any as a subject. The client accepts fewer, and
//! closes the connection when another message arrives. Such a message would never be acknowledged,
//! and would close a connection with each delivery. So after a lost connection, the messages that
//! are not acknowledged are read through the API of `JetStream`, which gives the headers as bytes.
//! Those that the client cannot read become dead letters.

use std::ops::Range;
use std::str::FromStr as _;

use async_nats::{HeaderName, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de};

use super::consumer::Consumer;

/// Maximum number of places in the stream that one search looks at. The next one continues.
const SEARCHED: u64 = 10_000;
/// Number of messages that are requested at a time.
const AT_A_TIME: usize = 8;

/// The places of a stream that were searched for messages that the client cannot read. Messages do
/// not change, so each place is searched once.
#[derive(Debug, Default)]
pub(super) struct Searched {
    /// Name and time of creation of the consumer: another one begins anew.
    consumer: Option<String>,
    /// The first place that has not been searched.
    next: u64,
}

/// A message as the API of `JetStream` gives it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct StoredMessage {
    /// Bytes that are not UTF-8 are replaced by U+FFFD.
    pub(super) subject: String,
    #[serde(rename = "seq")]
    pub(super) sequence: u64,
    /// The headers, from the line of the version on. Empty if there are none.
    #[serde(rename = "hdrs", default, deserialize_with = "bytes")]
    pub(super) headers: Vec<u8>,
    #[serde(rename = "data", default, deserialize_with = "bytes")]
    pub(super) body: Vec<u8>,
    #[serde(rename = "time")]
    pub(super) stored_at: Timestamp,
}

impl Searched {
    /// Returns the places that are to be searched now, of those whose messages may be waiting for
    /// an acknowledgement: after `floor`, the last place before which all are acknowledged, up to
    /// `delivered`, the last one that was delivered.
    fn places(&mut self, consumer: &str, floor: u64, delivered: u64) -> Range<u64> {
        if self.consumer.as_deref() != Some(consumer) {
            self.consumer = Some(consumer.to_owned());
            self.next = 0;
        }
        let start = self.next.max(floor + 1);
        let end = delivered.saturating_add(1).min(start + SEARCHED);
        start..end.max(start)
    }

    /// Asks the consumer which places are to be searched now.
    pub(super) async fn ask(&mut self, consumer: &Consumer) -> Result<Range<u64>, String> {
        let info = consumer.info().await.map_err(|error| error.to_string())?;
        let created = info.created.unix_timestamp_nanos();
        let named = format!("{}/{}/{created}", info.stream_name, info.name);
        let delivered = match info.num_ack_pending {
            0 => info.ack_floor.stream_sequence,
            _ => info.delivered.stream_sequence,
        };
        Ok(self.places(&named, info.ack_floor.stream_sequence, delivered))
    }

    /// Notes that the places before this one have been searched.
    pub(super) fn until(&mut self, place: u64) {
        self.next = place;
    }
}

/// Returns the first message at these places that the consumer delivers and that the client cannot
/// read, and the reason.
pub(super) async fn first(
    consumer: &Consumer,
    places: Range<u64>,
) -> Result<Option<(StoredMessage, String)>, String> {
    let messages = futures::stream::iter(places)
        .map(|place| consumer.stored(place))
        .buffered(AT_A_TIME);
    let mut messages = std::pin::pin!(messages);
    while let Some(message) = messages.try_next().await? {
        if let Some(message) = message
            && consumer.takes(&message.subject)
            && let Err(reason) = readable(&message)
        {
            return Ok(Some((message, reason)));
        }
    }
    Ok(None)
}

/// Checks that the client can read a message. The rules are those of async-nats 0.51.
fn readable(message: &StoredMessage) -> Result<(), String> {
    let subject = &message.subject;
    if subject.contains(char::REPLACEMENT_CHARACTER) {
        return Err("the subject is not UTF-8".to_owned());
    }
    if subject.contains(char::is_whitespace) {
        return Err("the subject has white space".to_owned());
    }
    if message.headers.is_empty() {
        return Ok(());
    }
    readable_headers(&message.headers)
}

fn readable_headers(headers: &[u8]) -> Result<(), String> {
    let text = str::from_utf8(headers).map_err(|_| "the headers are not UTF-8".to_owned())?;
    let mut lines = text.lines();
    let version = lines.next().unwrap_or_default();
    let Some(status) = version.strip_prefix("NATS/1.0").map(str::trim) else {
        return Err("the headers do not begin with `NATS/1.0`".to_owned());
    };
    let code = status.split_once(' ').map_or(status, |(code, _)| code);
    if !code.is_empty() && StatusCode::from_str(code).is_err() {
        return Err("the status in the headers is not a number".to_owned());
    }
    let mut is_continued = false;
    for line in lines {
        if is_continued && line.starts_with(char::is_whitespace) {
            continue;
        }
        is_continued = !line.is_empty();
        if line.is_empty() {
            continue;
        }
        let Some((name, _value)) = line.split_once(':') else {
            return Err("a line of the headers has no colon".to_owned());
        };
        if HeaderName::from_str(name).is_err() {
            let name = name.escape_debug();
            return Err(format!("`{name}` is not a name of a header"));
        }
    }
    Ok(())
}

/// Reads bytes in the encoding Base64.
fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(from)?.unwrap_or_default();
    STANDARD.decode(text).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_reason_names_what_the_client_cannot_read() {
        for good in [
            "NATS/1.0\r\n\r\n",
            "NATS/1.0\r\nA: 1\r\nB:2\r\n continued\r\n\r\n",
            "NATS/1.0 503\r\n\r\n",
            "NATS/1.0 404 No Messages\r\nA:\r\n\r\n",
        ] {
            assert_eq!(readable_headers(good.as_bytes()), Ok(()), "{good:?}");
        }
        for (bad, reason) in [
            (&b"NATS/1.0\r\nA: \xff\r\n\r\n"[..], "UTF-8"),
            (b"HTTP/1.1\r\n\r\n", "`NATS/1.0`"),
            (b"NATS/1.0 none\r\n\r\n", "status"),
            (b"NATS/1.0\r\nno colon\r\n\r\n", "colon"),
            (b"NATS/1.0\r\n\r\n continued\r\n\r\n", "colon"),
            (b"NATS/1.0\r\ntwo words: 1\r\n\r\n", "`two words`"),
            (b"NATS/1.0\r\n: 1\r\n\r\n", "``"),
        ] {
            let why = readable_headers(bad).unwrap_err();
            assert!(why.contains(reason), "{why}");
        }
    }

    #[test]
    fn a_message_of_the_api_is_read() {
        let text = json!({
            "subject": "events.\u{fffd}", "seq": 7, "hdrs": "TkFUUy8xLjA=", "data": "e30=",
            "time": "2026-01-06T08:00:00.5Z",
        });
        let message: StoredMessage = serde_json::from_value(text).unwrap();
        assert_eq!(
            (message.headers.as_slice(), message.body.as_slice()),
            (&b"NATS/1.0"[..], &b"{}"[..])
        );
        assert_eq!(
            readable(&message),
            Err("the subject is not UTF-8".to_owned())
        );
        let plain = |subject: &str| {
            let text = json!({ "subject": subject, "seq": 7, "time": "2026-01-06T08:00:00Z" });
            readable(&serde_json::from_value(text).unwrap())
        };
        assert_eq!(plain("events.paid"), Ok(()));
        assert!(
            plain("events.a\u{a0}b")
                .unwrap_err()
                .contains("white space")
        );
    }

    #[test]
    fn each_place_is_searched_once() {
        let mut searched = Searched::default();
        assert_eq!(searched.places("c", 4, 9), 5..10);
        searched.next = 10;
        assert_eq!(searched.places("c", 4, 9), 10..10);
        assert_eq!(searched.places("c", 4, 11), 10..12);
        assert_eq!(searched.places("c", 20, 30), 21..31);
        assert_eq!(searched.places("c", 20, 50_000), 21..21 + SEARCHED);
        // A consumer that was created again.
        assert_eq!(searched.places("d", 0, 2), 1..3);
    }
}
