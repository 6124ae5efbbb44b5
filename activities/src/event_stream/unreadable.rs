//! Messages that the client of NATS cannot read.
//!
//! NATS stores any bytes as headers, and almost any as a subject. The client accepts fewer, and its
//! connection ends when another message arrives. Such a message would never be acknowledged, and
//! would end a connection with each delivery. So after a lost connection, the messages that may be
//! waiting for an acknowledgement are read through the API of `JetStream`, which gives the headers
//! as bytes. Those that the client cannot read become dead letters.

use std::ops::Range;
use std::str::FromStr as _;

use async_nats::{HeaderName, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de};

use super::consumer::Consumer;

/// Number of places that are searched at a time. All their messages may be in memory.
pub(super) const CHUNK: u64 = 10;
/// Number of messages that are requested at a time.
const AT_A_TIME: usize = 8;
/// Maximum number of separate ranges that are remembered. Beyond it, the first ones are forgotten.
const RANGES: usize = 100;

/// The places of a stream that were searched for messages that the client cannot read. Messages do
/// not change, so each place is searched once.
#[derive(Debug, Default)]
pub(super) struct Searched {
    /// Name and time of creation of the consumer: another one begins anew.
    consumer: Option<String>,
    /// In their order. Two ranges do not touch.
    ranges: Vec<Range<u64>>,
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
    /// The subject has bytes that are not UTF-8.
    #[serde(skip)]
    pub(super) has_bad_subject: bool,
}

impl Searched {
    /// Returns the places that are to be searched next, of those whose messages may be waiting for
    /// an acknowledgement. The last ones come first: what ended the connection was delivered last.
    /// `None` if all have been searched.
    fn next(&self, waiting: &Range<u64>) -> Option<Range<u64>> {
        let mut end = waiting.end;
        for range in self.ranges.iter().rev() {
            if range.end < end {
                let start = range.end.max(waiting.start).max(end.saturating_sub(CHUNK));
                return (start < end).then_some(start..end);
            }
            end = end.min(range.start);
        }
        let start = waiting.start.max(end.saturating_sub(CHUNK));
        (start < end).then_some(start..end)
    }

    fn add(&mut self, places: Range<u64>) {
        let touches = |range: &Range<u64>| range.start <= places.end && places.start <= range.end;
        let neighbors = self.ranges.iter().filter(|range| touches(range));
        let merged = neighbors.fold(places.clone(), |merged, range| {
            merged.start.min(range.start)..merged.end.max(range.end)
        });
        self.ranges.retain(|range| !touches(range));
        let at = self
            .ranges
            .partition_point(|range| range.start < merged.start);
        self.ranges.insert(at, merged);
        if self.ranges.len() > RANGES {
            self.ranges.remove(0);
        }
    }

    fn begin(&mut self, consumer: &str) {
        if self.consumer.as_deref() != Some(consumer) {
            self.consumer = Some(consumer.to_owned());
            self.ranges.clear();
        }
    }
}

/// A search through the messages that may be waiting for an acknowledgement.
pub(super) struct Search<'a> {
    consumer: &'a Consumer,
    searched: &'a mut Searched,
    /// Places of messages that were delivered after the last one before which all are acknowledged.
    waiting: Range<u64>,
    /// Places of the last result of [`Search::next`].
    last: Option<Range<u64>>,
}

impl<'a> Search<'a> {
    /// Begins to search, or continues an earlier search.
    pub(super) async fn begin(
        consumer: &'a Consumer,
        searched: &'a mut Searched,
    ) -> Result<Self, String> {
        let info = consumer.info().await.map_err(|error| error.to_string())?;
        let created = info.created.unix_timestamp_nanos();
        searched.begin(&format!("{}/{}/{created}", info.stream_name, info.name));
        let start = info.ack_floor.stream_sequence + 1;
        let end = match info.num_ack_pending {
            0 => start,
            _ => info.delivered.stream_sequence + 1,
        };
        Ok(Self {
            consumer,
            searched,
            waiting: start..end.max(start),
            last: None,
        })
    }

    /// Returns messages that the consumer delivers and that the client cannot read, each with the
    /// reason: those of the next places, which may have none. `None` at the end.
    ///
    /// The places count as searched once the caller asks for the next ones.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<(StoredMessage, String)>>, String> {
        if let Some(last) = self.last.take() {
            self.searched.add(last);
        }
        let Some(places) = self.searched.next(&self.waiting) else {
            return Ok(None);
        };
        let consumer = self.consumer;
        let messages = futures::stream::iter(places.clone()).map(|place| consumer.stored(place));
        let mut messages = std::pin::pin!(messages.buffered(AT_A_TIME));
        let mut found = Vec::new();
        while let Some(message) = messages.try_next().await? {
            if let Some(message) = message
                && consumer.takes(&message.subject)
                && let Err(reason) = message.readable()
            {
                found.push((message, reason));
            }
        }
        self.last = Some(places);
        Ok(Some(found))
    }
}

impl StoredMessage {
    /// Checks that the client can read the message. The rules are those of async-nats 0.51.
    fn readable(&self) -> Result<(), String> {
        if self.has_bad_subject {
            return Err("the subject is not UTF-8".to_owned());
        }
        if self.headers.is_empty() {
            return Ok(());
        }
        if self.subject.contains(char::is_whitespace) {
            return Err("the subject has white space".to_owned());
        }
        readable_headers(&self.headers)
    }
}

fn readable_headers(headers: &[u8]) -> Result<(), String> {
    let text = str::from_utf8(headers).map_err(|_| "the headers are not UTF-8".to_owned())?;
    let mut lines = text.lines().peekable();
    let version = lines.next().unwrap_or_default();
    let Some(status) = version.strip_prefix("NATS/1.0").map(str::trim) else {
        return Err("the headers do not begin with `NATS/1.0`".to_owned());
    };
    let code = status
        .split_once(' ')
        .map_or(status, |(code, _)| code.trim());
    if !code.is_empty() && StatusCode::from_str(code).is_err() {
        return Err("the status in the headers is not a number".to_owned());
    }
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err("a line of the headers has no colon".to_owned());
        };
        if HeaderName::from_str(name).is_err() {
            let name = name.escape_debug();
            return Err(format!("`{name}` is not a name of a header"));
        }
        let mut value = value.trim_start().to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with(char::is_whitespace)) {
            value.push_str(more);
        }
        if value.trim_end().contains('\r') {
            return Err(format!(
                "the value of the header `{name}` has a carriage return"
            ));
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
            "NATS/1.0 200\t OK\r\n\r\n",
            "NATS/1.0\r\nA: x\r\r\n\r\n",
            "NATS/1.0\r\n: 1\r\n\r\n",
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
            (b"NATS/1.0\r\nA: x\ry\r\n\r\n", "carriage return"),
            (b"NATS/1.0\r\nA: x\r\r\n y\r\n\r\n", "carriage return"),
        ] {
            let why = readable_headers(bad).expect_err(&String::from_utf8_lossy(bad));
            assert!(why.contains(reason), "{why}");
        }
    }

    #[test]
    fn subjects_have_the_rules_of_the_clients_protocol() {
        let message = |subject: &str, headers: &str, has_bad_subject| {
            let answer = json!({
                "subject": subject, "seq": 7, "hdrs": headers, "data": "e30=",
                "time": "2026-01-06T08:00:00.5Z",
            });
            let message: StoredMessage = serde_json::from_value(answer).unwrap();
            assert_eq!(message.body, b"{}");
            let message = StoredMessage {
                has_bad_subject,
                ..message
            };
            message.readable()
        };
        let headers = STANDARD.encode("NATS/1.0\r\n\r\n");
        for (subject, headers, is_bad, reason) in [
            ("events.paid", "", false, None),
            ("events.paid", &*headers, false, None),
            ("events.\u{fffd}", "", true, Some("UTF-8")),
            ("events.\u{fffd}", "", false, None),
            ("events.\u{fffd}", &*headers, true, Some("UTF-8")),
            ("events.a\u{a0}b", "", false, None),
            ("events.a\u{a0}b", &*headers, false, Some("white space")),
        ] {
            match (message(subject, headers, is_bad), reason) {
                (Ok(()), None) => {}
                (Err(why), Some(reason)) if why.contains(reason) => {}
                (other, _) => panic!("{subject}: {other:?}"),
            }
        }
    }

    #[test]
    fn each_place_is_searched_once_and_the_last_ones_first() {
        let mut searched = Searched::default();
        searched.begin("c");
        assert_eq!(searched.next(&(5..5)), None);
        assert_eq!(searched.next(&(5..10)), Some(5..10));
        assert_eq!(searched.next(&(5..1010)), Some(1000..1010));
        searched.add(1000..1010);
        // More was delivered before the search had ended.
        assert_eq!(searched.next(&(5..1013)), Some(1010..1013));
        searched.add(1010..1013);
        assert_eq!(searched.next(&(5..1013)), Some(990..1000));
        searched.add(990..1000);
        assert_eq!(searched.next(&(985..1013)), Some(985..990));
        assert_eq!(searched.next(&(990..1013)), None);
        searched.add(100..200);
        assert_eq!(searched.next(&(150..1013)), Some(980..990));
        searched.add(200..990);
        assert_eq!(searched.ranges.len(), 1);
        assert_eq!(searched.ranges[0], 100..1013);
        // A consumer that was created again.
        searched.begin("d");
        assert_eq!(searched.next(&(1..3)), Some(1..3));
    }

    #[test]
    fn a_bounded_number_of_ranges_is_remembered() {
        let mut searched = Searched::default();
        for number in 0..=RANGES as u64 {
            searched.add(10 * number..10 * number + 1);
        }
        assert_eq!(searched.ranges.len(), RANGES);
        assert_eq!(searched.ranges[0], 10..11);
    }
}
