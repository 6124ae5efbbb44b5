//! Dead letters: events that are not tried again, in a stream of their own.

mod known;

use std::sync::Arc;
use std::time::Duration;

use almanac_base::names::Project;
use almanac_core::record::delivery_text;
use async_nats::HeaderMap;
use async_nats::jetstream::context::{GetStreamByNameErrorKind, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType, Stream};
use async_nats::jetstream::{Context, ErrorCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

pub(super) use known::{KnownDeadLetters, LetterReader};

use super::status::SharedStatus;
use crate::metrics;
use crate::steps::one_line;

/// Maximum age of a dead letter.
const MAX_AGE: Duration = Duration::from_hours(30 * 24);
/// Maximum size of all dead letters of a project, in bytes. The oldest are removed first.
const MAX_BYTES: i64 = 1024 * 1024 * 1024;
/// Maximum length of the value of a header that is written, in bytes.
const VALUE_LIMIT: usize = 1000;
/// Maximum size of the headers of a message that a dead letter keeps, in bytes. NATS takes 64 KiB
/// of headers.
const HEADERS_LIMIT: usize = 32 * 1024;
/// Number of bytes that a message needs beside its headers' texts and its body.
const OVERHEAD: usize = 512;
/// Beginning of the names of headers that the server obeys.
const SERVER: &str = "nats-";
/// Beginning of the names of the headers that are written here.
const OWN: &str = "almanac-";

const REASON: &str = "Almanac-Dead-Reason";
const SUBJECT: &str = "Almanac-Dead-Subject";
const STREAM: &str = "Almanac-Dead-Stream";
const SEQUENCE: &str = "Almanac-Dead-Sequence";
const DELIVERIES: &str = "Almanac-Dead-Deliveries";
const TIME: &str = "Almanac-Dead-Time";
const MESSAGE_ID: &str = "Almanac-Dead-Msg-Id";
const OMITTED: &str = "Almanac-Dead-Omitted";
/// Header with all headers of a message that the client of NATS cannot read, in Base64.
const RAW_HEADERS: &str = "Almanac-Dead-Headers";

/// The stream of dead letters of a project.
#[derive(Clone)]
pub(super) struct DeadLetters {
    context: Context,
    stream: String,
    subject: String,
    status: Arc<SharedStatus>,
}

/// An event that is not tried again.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeadLetter<'m> {
    /// Reason for which the event is not tried again.
    pub(super) reason: &'m str,
    /// Subject of the message.
    pub(super) subject: &'m str,
    /// Stream of the message.
    pub(super) stream: &'m str,
    /// Number of the message in the stream.
    pub(super) sequence: u64,
    /// Number of deliveries of the message, if it is known.
    pub(super) deliveries: Option<u64>,
    /// Time at which the message was stored, which tells it from one of another stream of the
    /// same name.
    pub(super) stored_at: Timestamp,
    pub(super) headers: LetterHeaders<'m>,
    pub(super) body: &'m [u8],
}

/// The headers of a message that becomes a dead letter.
#[derive(Debug, Clone, Copy)]
pub(super) enum LetterHeaders<'m> {
    Read(Option<&'m HeaderMap>),
    /// Those of a message that the client of NATS cannot read.
    Raw(&'m [u8]),
}

/// Subject of the dead letters of a project.
pub(super) fn subject(project: &Project) -> String {
    format!("almanac.{project}.dead")
}

impl DeadLetters {
    /// Describes the dead letters of a project. `status` gets the result of each attempt to write
    /// one.
    pub(super) fn new(context: Context, project: &Project, status: Arc<SharedStatus>) -> Self {
        Self {
            status,
            context,
            stream: format!("almanac-{project}"),
            subject: subject(project),
        }
    }

    pub(super) fn stream(&self) -> &str {
        &self.stream
    }

    /// Creates the stream if it is missing.
    pub(super) async fn ensure(&self) -> Result<(), String> {
        let config = Config {
            name: self.stream.clone(),
            description: Some("events that an Almanac project could not handle".to_owned()),
            subjects: vec![self.subject.clone()],
            storage: StorageType::File,
            max_age: MAX_AGE,
            max_bytes: MAX_BYTES,
            discard: DiscardPolicy::Old,
            ..Config::default()
        };
        let made = self.context.get_or_create_stream(config).await;
        made.map(|_stream| ()).map_err(|error| error.to_string())
    }

    /// The stream that stores dead letters, which may have another name; `None` if there is none.
    async fn open(&self) -> Result<Option<Stream>, String> {
        let name = match self.context.stream_by_subject(&self.subject).await {
            Ok(name) => name,
            Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let stream = self.context.get_stream(name).await;
        stream.map(Some).map_err(|error| error.to_string())
    }

    /// Writes a dead letter, and waits until a stream has stored it.
    pub(super) async fn write(&self, letter: &DeadLetter<'_>) -> Result<(), String> {
        let written = self.try_write(letter).await;
        metrics::dead_letter(written.is_ok());
        self.status.dead_letter(&written);
        written
    }

    async fn try_write(&self, letter: &DeadLetter<'_>) -> Result<(), String> {
        let limit = self.context.client().max_payload();
        match self.publish(letter.message(limit, Fill::Whole)).await {
            Err(PublishErrorKind::StreamNotFound) => {
                self.ensure().await?;
                self.publish(letter.message(limit, Fill::Whole)).await
            }
            Err(PublishErrorKind::MaxPayloadExceeded) => {
                self.publish(letter.message(limit, Fill::WithoutBody)).await
            }
            done => done,
        }
        .map_err(|kind| kind.to_string())
    }

    async fn publish(&self, message: PublishMessage) -> Result<(), PublishErrorKind> {
        let sent = self
            .context
            .send_publish(self.subject.clone(), message)
            .await;
        let stored = sent.map_err(|error| error.kind())?.await;
        match stored {
            Ok(_acknowledgement) => Ok(()),
            Err(error) => {
                let answer = std::error::Error::source(&error)
                    .and_then(|source| source.downcast_ref::<async_nats::jetstream::Error>());
                let is_too_large = answer.is_some_and(|answer| {
                    answer.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM
                });
                Err(if is_too_large {
                    PublishErrorKind::MaxPayloadExceeded
                } else {
                    error.kind()
                })
            }
        }
    }
}

/// The parts of a message that a dead letter keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fill {
    /// The body and the headers, as far as they fit.
    Whole,
    /// Neither.
    WithoutBody,
}

impl DeadLetter<'_> {
    /// Returns the message of at most `limit` bytes. The headers of the message are left out if
    /// there is no room for them, and then the body.
    fn message(&self, limit: usize, fill: Fill) -> PublishMessage {
        let mut headers = HeaderMap::new();
        let mut size = OVERHEAD + self.body.len();
        let mut set = |name: &'static str, value: &str| {
            let value = delivery_text(&one_line(value));
            size += name.len() + value.len();
            headers.insert(name, value.as_str());
        };
        set(REASON, self.reason);
        set(SUBJECT, self.subject);
        set(STREAM, self.stream);
        set(SEQUENCE, &self.sequence.to_string());
        if let Some(deliveries) = self.deliveries {
            set(DELIVERIES, &deliveries.to_string());
        }
        set(TIME, &Timestamp::now().to_string());
        let kept = self.kept_headers();
        let bytes: usize = kept
            .iter()
            .map(|(name, value)| name.len() + value.len() + 4)
            .sum();
        let has_room = bytes <= HEADERS_LIMIT && size.saturating_add(bytes) <= limit;
        let keeps_headers = fill == Fill::Whole && has_room;
        if keeps_headers {
            for (name, value) in kept {
                // A name or a value that the client does not write is left out.
                let name = name.parse::<async_nats::HeaderName>();
                let value = value.parse::<async_nats::HeaderValue>();
                if let (Ok(name), Ok(value)) = (name, value) {
                    headers.append(name, value);
                }
            }
        }
        let keeps_body = fill == Fill::Whole && size <= limit;
        if !keeps_body {
            headers.insert(OMITTED, format!("body, {} bytes", self.body.len()).as_str());
        } else if !keeps_headers {
            headers.insert(OMITTED, format!("headers, {bytes} bytes").as_str());
        }
        let id = format!(
            "{}/{}/{}",
            self.stream,
            self.sequence,
            self.stored_at.as_nanosecond()
        );
        let body = if keeps_body {
            self.body.to_vec()
        } else {
            Vec::new()
        };
        // The id comes after the headers, which would replace it.
        PublishMessage::build()
            .headers(headers)
            .message_id(id)
            .payload(body.into())
    }

    /// The headers of the message, without those that the server would obey. The identity of the
    /// message keeps another name.
    fn kept_headers(&self) -> Vec<(String, String)> {
        let headers = match self.headers {
            LetterHeaders::Read(headers) => headers,
            LetterHeaders::Raw(bytes) => {
                return vec![(RAW_HEADERS.to_owned(), STANDARD.encode(bytes))];
            }
        };
        let all = headers.into_iter().flat_map(HeaderMap::iter);
        let mut kept = Vec::new();
        for (name, values) in all {
            let name: &str = name.as_ref();
            let lower = name.to_ascii_lowercase();
            let kept_name = match lower.as_str() {
                "nats-msg-id" => MESSAGE_ID,
                other if other.starts_with(SERVER) || other.starts_with(OWN) => continue,
                _ => name,
            };
            let values = values
                .iter()
                .filter(|value| value.as_str().len() <= 65 * VALUE_LIMIT);
            kept.extend(values.map(|value| (kept_name.to_owned(), value.as_str().to_owned())));
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::message::OutboundMessage;

    use super::*;

    fn letter<'m>(headers: &'m HeaderMap, body: &'m [u8]) -> DeadLetter<'m> {
        DeadLetter {
            reason: "no\r\nNats-Rollup: all",
            subject: "events.paid",
            stream: "EVENTS",
            sequence: 7,
            deliveries: Some(20),
            stored_at: Timestamp::UNIX_EPOCH,
            headers: LetterHeaders::Read(Some(headers)),
            body,
        }
    }

    fn sent(letter: &DeadLetter<'_>, limit: usize, fill: Fill) -> (HeaderMap, usize) {
        let message: OutboundMessage = letter.message(limit, fill).outbound_message("x");
        (message.headers.unwrap(), message.payload.len())
    }

    #[test]
    fn a_dead_letter_says_what_happened_and_obeys_no_header() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("ce-id", "1"),
            ("Nats-Rollup", "all"),
            ("nats-ttl", "1s"),
            ("Nats-Msg-Id", "mine"),
            ("Almanac-Dead-Reason", "none"),
        ] {
            headers.append(name, value);
        }
        let (headers, body) = sent(&letter(&headers, b"body"), 1_000_000, Fill::Whole);
        assert_eq!(body, 4);
        let get = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
        assert_eq!(get(REASON).as_deref(), Some("no  Nats-Rollup: all"));
        assert_eq!(get(SUBJECT).as_deref(), Some("events.paid"));
        assert_eq!(get(STREAM).as_deref(), Some("EVENTS"));
        assert_eq!(get(SEQUENCE).as_deref(), Some("7"));
        assert_eq!(get(DELIVERIES).as_deref(), Some("20"));
        assert_eq!(get("ce-id").as_deref(), Some("1"));
        assert_eq!(get(MESSAGE_ID).as_deref(), Some("mine"));
        assert_eq!(get("Nats-Msg-Id").as_deref(), Some("EVENTS/7/0"));
        for absent in ["Nats-Rollup", "nats-ttl", OMITTED] {
            assert_eq!(get(absent), None, "{absent}");
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_left_out() {
        let mut headers = HeaderMap::new();
        headers.append("ce-id", "x".repeat(5000).as_str());
        let body = vec![b'x'; 10_000];
        let parts = |limit, fill| {
            let (headers, body) = sent(&letter(&headers, &body), limit, fill);
            (
                headers.get("ce-id").is_some(),
                body,
                headers.get(OMITTED).is_some(),
            )
        };
        assert_eq!(parts(100_000, Fill::Whole), (true, 10_000, false));
        assert_eq!(parts(12_000, Fill::Whole), (false, 10_000, true));
        assert_eq!(parts(10_000, Fill::Whole), (false, 0, true));
        let mut headers = HeaderMap::new();
        headers.append("ce-id", "x".repeat(40_000).as_str());
        let (headers, _) = sent(&letter(&headers, b"{}"), 1_000_000, Fill::Whole);
        assert!(headers.get("ce-id").is_none() && headers.get(OMITTED).is_some());
        assert_eq!(parts(100_000, Fill::WithoutBody), (false, 0, true));
    }
}
