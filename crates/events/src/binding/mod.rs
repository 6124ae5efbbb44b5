//! Events in messages of HTTP and NATS, by the protocol bindings of `CloudEvents` 1.0.2.
//!
//! [`read`] chooses the mode by the content type, as section 3 of the HTTP binding says:
//!
//! | content type | mode |
//! |---|---|
//! | `application/cloudevents+json` | structured: the body is an event in the JSON format |
//! | `application/cloudevents-batch+json` | batched: the body is a list of such events |
//! | `application/cloudevents…` else | not supported |
//! | any other, or none | binary: headers `ce-…` hold the attributes, and the body is the data |
//!
//! [`plain`] is for messages that are no `CloudEvents` and whose attributes the caller knows.

mod headers;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::event::{CloudEvent, InvalidEvent, MAX_BYTES};
use crate::json;
use crate::media::MediaType;

/// Content type of an event in the JSON format.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// Content type of a list of events in the JSON format.
pub const BATCHED: &str = "application/cloudevents-batch+json";
/// Beginning of the content types of all formats of events.
const FORMATS: &str = "application/cloudevents";
/// Maximum number of events in a batch.
pub const MAX_BATCH: usize = 100;
/// Maximum size of a body, in bytes. It applies to a batch as a whole, and to data that is not an
/// event by itself.
pub const MAX_BODY: usize = MAX_BYTES;

/// The reason for which a message is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The content type says that the body is in a form that is not read, or the message has no
    /// event. HTTP answers with 415.
    #[error("{0}")]
    UnsupportedMediaType(String),
    /// The message is wrong. HTTP answers with 400.
    #[error("{0}")]
    Malformed(String),
    /// The message exceeds a limit on sizes. HTTP answers with 413.
    #[error("{0}")]
    TooLarge(String),
}

impl ReadError {
    /// The error of an event that `place` names.
    fn event(place: &str, error: &InvalidEvent) -> Self {
        let message = format!("{place}: {error}");
        match error {
            InvalidEvent::Malformed(_) => Self::Malformed(message),
            InvalidEvent::TooLarge(_) => Self::TooLarge(message),
        }
    }
}

/// Reads the events of a message: one in the structured and the binary mode, up to [`MAX_BATCH`] in
/// a batch.
///
/// The headers of the structured and the batched mode are ignored. The names of headers may be in
/// any case.
pub fn read<'a>(
    content_type: Option<&str>,
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    body: &[u8],
) -> Result<Vec<CloudEvent>, ReadError> {
    check_size(body)?;
    let content_type = content_type.map(str::trim).filter(|text| !text.is_empty());
    let media = content_type.map(MediaType::of);
    match media.as_ref().map_or("", MediaType::essence) {
        STRUCTURED => Ok(vec![event("the event", document(media.as_ref(), body)?)?]),
        BATCHED => batch(document(media.as_ref(), body)?),
        other if other.starts_with(FORMATS) => Err(ReadError::UnsupportedMediaType(format!(
            "the content type must be {STRUCTURED} or {BATCHED}, or that of the event's data"
        ))),
        _ => {
            let mut attributes = headers::attributes(headers)?;
            if let Some(content_type) = content_type {
                attributes.insert("datacontenttype".to_owned(), content_type.into());
            }
            if let Some((name, value)) = data(media.as_ref(), body)? {
                attributes.insert(name.to_owned(), value);
            }
            Ok(vec![event("the event", Value::Object(attributes))?])
        }
    }
}

/// Makes an event of a message that is JSON and no event, or empty. The caller knows its type, its
/// source (a URI reference) and its id.
pub fn plain(kind: &str, source: &str, id: &str, body: &[u8]) -> Result<CloudEvent, ReadError> {
    check_size(body)?;
    let mut attributes = json!({ "specversion": "1.0", "id": id, "source": source, "type": kind });
    if !body.is_empty() {
        attributes["data"] = json(body)?;
    }
    event("the event", attributes)
}

fn check_size(body: &[u8]) -> Result<(), ReadError> {
    let bytes = body.len();
    if bytes > MAX_BODY {
        let message = format!("the body has {bytes} bytes, over the limit of {MAX_BODY}");
        return Err(ReadError::TooLarge(message));
    }
    Ok(())
}

fn json(body: &[u8]) -> Result<Value, ReadError> {
    json::read(body).map_err(|why| ReadError::Malformed(format!("the body {why}")))
}

/// Reads a body whose content type is a format of events.
fn document(media: Option<&MediaType>, body: &[u8]) -> Result<Value, ReadError> {
    check_charset(media)?;
    json(body)
}

fn check_charset(media: Option<&MediaType>) -> Result<(), ReadError> {
    if media.is_some_and(|media| !media.is_utf8()) {
        let message = "the charset of JSON must be utf-8".to_owned();
        return Err(ReadError::UnsupportedMediaType(message));
    }
    Ok(())
}

fn event(place: &str, value: Value) -> Result<CloudEvent, ReadError> {
    CloudEvent::from_json(value).map_err(|error| ReadError::event(place, &error))
}

fn batch(value: Value) -> Result<Vec<CloudEvent>, ReadError> {
    let Value::Array(events) = value else {
        let message = "the body of a batch must be a list of events".to_owned();
        return Err(ReadError::Malformed(message));
    };
    let count = events.len();
    if count > MAX_BATCH {
        let message = format!("the batch has {count} events, over the limit of {MAX_BATCH}");
        return Err(ReadError::TooLarge(message));
    }
    let events = events.into_iter().enumerate();
    events
        .map(|(index, value)| event(&format!("events[{index}]"), value))
        .collect()
}

/// Returns the data of an event in the binary mode, with the name under which the JSON format has
/// it. `None` if the body is empty.
fn data(
    media: Option<&MediaType>,
    body: &[u8],
) -> Result<Option<(&'static str, Value)>, ReadError> {
    if body.is_empty() {
        return Ok(None);
    }
    if media.is_some_and(MediaType::is_json) {
        check_charset(media)?;
        return Ok(Some(("data", json(body)?)));
    }
    // Text in another charset stays as it is: bytes.
    if media.is_some_and(|media| media.is_text() && media.is_utf8()) {
        let text = std::str::from_utf8(body)
            .map_err(|_| ReadError::Malformed("the body is text and is not UTF-8".to_owned()))?;
        return Ok(Some(("data", text.into())));
    }
    Ok(Some(("data_base64", BASE64_STANDARD.encode(body).into())))
}
