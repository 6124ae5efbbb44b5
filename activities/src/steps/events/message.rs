//! An event in the form in which it is sent.

use almanac_steps::machine::Standard;
use serde_json::Value;

use super::Subject;
use crate::steps::StepError;

/// Content type of an event, by the NATS binding of `CloudEvents`.
pub(super) const CONTENT: &str = "application/cloudevents+json; charset=utf-8";
/// Maximum length of a subject, in bytes. A server takes a line of 4096 bytes with the
/// subject, the address of the answer and the sizes, and closes the connection at a longer
/// line.
const SUBJECT_LIMIT: usize = 4096 - 256;
/// Maximum length of an identity, in bytes. `JetStream` takes 65535 bytes of headers, and
/// the other headers need less than the remaining bytes.
const ID_LIMIT: usize = 65_535 - 535;

/// An event in the form in which it is sent.
pub(super) struct Message {
    pub(super) subject: String,
    /// Identity of the event. Two publications with the same identity are stored once.
    pub(super) id: String,
    pub(super) body: Vec<u8>,
    /// Headers beside those that every message has.
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Message {
    /// Makes a message that NATS takes. A message that NATS does not take would break the
    /// connection on which other events are published.
    pub(super) fn of(event: &Value, subject: &Subject) -> Result<Self, StepError> {
        let text = |key: &str| {
            let text = event.get(key).and_then(Value::as_str).unwrap_or_default();
            if text.is_empty() || text.chars().any(char::is_control) {
                let detail = format!("the event's `{key}` must be text on one line");
                return Err(StepError::configuration(detail));
            }
            Ok(text)
        };
        let (source, id, kind) = (text("source")?, text("id")?, text("type")?);
        if source.chars().any(char::is_whitespace) {
            let detail = "the event's `source` must be a URI, without spaces";
            return Err(StepError::configuration(detail));
        }
        let subject = subject
            .of(kind)
            .map_err(|error| StepError::configuration(format!("the event's `type`: {error}")))?;
        within(
            "the subject of the event's `type`",
            subject.len(),
            SUBJECT_LIMIT,
        )?;
        // A source has no space in it, so no two pairs give the same text.
        let id = format!("{source} {id}");
        within("the event's `source` with its `id`", id.len(), ID_LIMIT)?;
        let body = serde_json::to_vec(event)
            .map_err(|error| StepError::lasting(Standard::Runtime, error.to_string()))?;
        Ok(Self {
            subject,
            id,
            body,
            headers: Vec::new(),
        })
    }
}

fn within(what: &str, bytes: usize, limit: usize) -> Result<(), StepError> {
    if bytes > limit {
        let detail = format!("{what} has {bytes} bytes, over NATS's limit of {limit}");
        return Err(StepError::configuration(detail));
    }
    Ok(())
}
