//! The events in messages of NATS.

use almanac_base::names::TRACEPARENT;
use almanac_events::CloudEvent;
use almanac_events::binding::{self, STRUCTURED};
use async_nats::HeaderMap;
use async_nats::jetstream::message::Info;
use jiff::Timestamp;

use crate::spans::{TRACESTATE, TraceHeaders};

/// Header with the type of a message's content.
const CONTENT_TYPE: &str = "content-type";
/// Header that names an attribute of its own for the type of the content.
const DATA_CONTENT_TYPE: &str = "ce-datacontenttype";
/// Beginning of the headers that hold attributes of an event.
const ATTRIBUTE: &str = "ce-";
/// Header with the identity of a message, by which the stream finds duplicates.
const MESSAGE_ID: &str = "nats-msg-id";

/// A message of a stream, and its place there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received<'m> {
    /// Part of the subject after the start of the subjects of all events.
    pub(super) kind: &'m str,
    pub(super) stream: &'m str,
    pub(super) sequence: u64,
    /// Time at which the message was stored. A stream that is created again begins with the same
    /// numbers.
    pub(super) stored_at: Timestamp,
    pub(super) headers: Option<&'m HeaderMap>,
    pub(super) body: &'m [u8],
}

impl<'m> Received<'m> {
    pub(super) fn new(
        kind: &'m str,
        info: &Info<'m>,
        headers: Option<&'m HeaderMap>,
        body: &'m [u8],
    ) -> Self {
        Self {
            kind,
            stream: info.stream,
            sequence: info.stream_sequence,
            stored_at: stored_at(info),
            headers,
            body,
        }
    }

    /// Reads the event of the message. The error says why there is none.
    ///
    /// A message without a content type and without headers `ce-…` is an event in the JSON format,
    /// as the NATS binding of `CloudEvents` 1.0.2 has it, or, with `plain_json`, the data of an
    /// event whose type is the rest of the subject.
    pub(super) fn event(&self, plain_json: bool) -> Result<CloudEvent, String> {
        let content_type = self
            .header(CONTENT_TYPE)
            .or_else(|| self.header(DATA_CONTENT_TYPE));
        let is_attribute = |name: &str| {
            name.get(..ATTRIBUTE.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(ATTRIBUTE))
        };
        let has_attributes = self.names().any(is_attribute);
        let is_format = content_type.is_some_and(|text| {
            text.trim()
                .to_ascii_lowercase()
                .starts_with("application/cloudevents")
        });
        if plain_json && !has_attributes && !is_format {
            let source = format!("nats://{}", self.stream);
            let id = self
                .header(MESSAGE_ID)
                .filter(|id| !id.is_empty())
                .map(str::to_owned);
            let id = id.unwrap_or_else(|| {
                let stored_at = self.stored_at.as_nanosecond();
                format!("{}/{}/{stored_at}", self.stream, self.sequence)
            });
            let event = binding::plain(self.kind, &source, &id, self.body);
            return event.map_err(|error| error.to_string());
        }
        let content_type = match content_type {
            None if !has_attributes => Some(STRUCTURED),
            content_type => content_type,
        };
        let all = self.headers.into_iter().flat_map(HeaderMap::iter);
        let all = all.filter(|(name, _)| {
            let name: &str = name.as_ref();
            !name.eq_ignore_ascii_case(DATA_CONTENT_TYPE)
        });
        let all = all.flat_map(|(name, values)| {
            let name: &str = name.as_ref();
            values
                .iter()
                .map(move |value| (name, value.as_str().as_bytes()))
        });
        let events = binding::read(content_type, all, self.body);
        let mut events = events.map_err(|error| error.to_string())?.into_iter();
        match (events.next(), events.next()) {
            (Some(event), None) => Ok(event),
            _ => Err("a message of NATS must have one event, not a batch".to_owned()),
        }
    }

    /// The first value of a header, whose name may be in any case.
    pub(super) fn header(&self, name: &str) -> Option<&'m str> {
        self.values(name).next()
    }

    /// The value of a header that is there once.
    fn only(&self, name: &str) -> Option<&'m str> {
        let mut values = self.values(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'m str> {
        let all = self.headers.into_iter().flat_map(HeaderMap::iter);
        let named = all.filter(move |(one, _)| {
            let one: &str = one.as_ref();
            one.eq_ignore_ascii_case(name)
        });
        let values = named.flat_map(|(_, values)| values);
        values.map(async_nats::HeaderValue::as_str)
    }

    /// The trace context in the headers of the message. One that is there twice has no effect.
    pub(super) fn trace_headers(&self) -> TraceHeaders<'m> {
        TraceHeaders {
            parent: self.only(TRACEPARENT),
            state: self.only(TRACESTATE),
        }
    }

    fn names(&self) -> impl Iterator<Item = &'m str> {
        let all = self.headers.into_iter().flat_map(HeaderMap::iter);
        all.map(|(name, _)| name.as_ref())
    }
}

/// Time at which a message was stored.
fn stored_at(info: &Info<'_>) -> Timestamp {
    let stored_at = Timestamp::from_nanosecond(info.published.unix_timestamp_nanos());
    stored_at.unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const EVENT: &str =
        r#"{"specversion":"1.0","id":"1","source":"/s","type":"paid","data":{"n":1}}"#;

    fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, *value);
        }
        map
    }

    fn received<'m>(headers: &'m HeaderMap, body: &'m str) -> Received<'m> {
        Received {
            kind: "order.paid",
            stream: "EVENTS",
            sequence: 7,
            stored_at: Timestamp::UNIX_EPOCH,
            headers: (!headers.is_empty()).then_some(headers),
            body: body.as_bytes(),
        }
    }

    fn read(headers: &[(&str, &str)], body: &str, plain: bool) -> Result<Value, String> {
        let map = header_map(headers);
        received(&map, body).event(plain).map(CloudEvent::into_json)
    }

    #[test]
    fn events_are_read_in_every_mode() {
        let event: Value = serde_json::from_str(EVENT).unwrap();
        assert_eq!(read(&[], EVENT, false), Ok(event.clone()));
        for name in ["Content-Type", "content-type"] {
            let structured = read(&[(name, "application/cloudevents+json")], EVENT, true);
            assert_eq!(structured, Ok(event.clone()), "{name}");
        }
        for content in ["Content-Type", "ce-datacontenttype"] {
            let headers = [
                ("ce-specversion", "1.0"),
                ("Ce-Id", "1"),
                ("ce-source", "/s"),
                ("ce-type", "paid"),
                (content, "application/json"),
                ("Nats-Msg-Id", "other"),
            ];
            for plain in [false, true] {
                let binary = read(&headers, r#"{"n":1}"#, plain).unwrap();
                assert_eq!(binary["data"], json!({ "n": 1 }), "{content}");
                assert_eq!(binary["datacontenttype"], "application/json");
            }
        }
    }

    #[test]
    fn plain_json_is_an_event_of_the_subject_only_if_asked_for() {
        let event = read(&[], r#"{"n":1}"#, true).unwrap();
        let wanted = json!({
            "specversion": "1.0", "type": "order.paid", "source": "nats://EVENTS",
            "id": "EVENTS/7/0", "data": { "n": 1 },
        });
        assert_eq!(event, wanted);
        let named = read(
            &[("Nats-Msg-Id", "a 1"), ("Content-Type", "application/json")],
            "1",
            true,
        );
        assert_eq!(named.unwrap()["id"], "a 1");
        let why = read(&[], r#"{"n":1}"#, false).unwrap_err();
        assert!(why.contains("`specversion`"), "{why}");
        let why = read(&[("Content-Type", "application/json")], "1", false).unwrap_err();
        assert!(why.contains("the message has no event"), "{why}");
        let why = read(&[], "{", true).unwrap_err();
        assert!(why.contains("the body"), "{why}");
    }

    #[test]
    fn a_trace_context_counts_if_it_is_there_once() {
        for (headers, expected) in [
            (
                &[("Traceparent", "a"), ("TraceState", "s")][..],
                (Some("a"), Some("s")),
            ),
            (&[("traceparent", "a"), ("traceparent", "b")], (None, None)),
            (&[("traceparent", "a"), ("Traceparent", "a")], (None, None)),
        ] {
            let map = header_map(headers);
            let TraceHeaders { parent, state } = received(&map, "").trace_headers();
            assert_eq!((parent, state), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_message_has_one_event() {
        let batch = [("Content-Type", "application/cloudevents-batch+json")];
        let two = format!("[{EVENT},{EVENT}]");
        for body in [two.as_str(), "[]"] {
            let why = read(&batch, body, false).unwrap_err();
            assert!(why.contains("not a batch"), "{why}");
        }
    }
}
