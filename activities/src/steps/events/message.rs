//! An event as it is sent.

use almanac_steps::machine::Standard;
use serde_json::Value;

use super::Subject;
use crate::steps::StepError;

/// What an event is, as the NATS binding of `CloudEvents` says it.
pub(super) const CONTENT: &str = "application/cloudevents+json; charset=utf-8";
/// The longest subject. A server takes a line of 4096 bytes with it, the address
/// of the answer and the sizes, and closes the connection at a longer one.
const SUBJECT_LIMIT: usize = 4096 - 256;
/// The longest identity. `JetStream` takes 65535 bytes of headers, of which the
/// others have less than the rest.
const ID_LIMIT: usize = 65_535 - 535;

/// An event as it is sent.
pub(super) struct Message {
    pub(super) subject: String,
    /// Two publications with one of these are one.
    pub(super) id: String,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// An event that NATS can take: one that it cannot would break the
    /// connection that others publish on.
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
        // A source has no space in it, so no two pairs give one text.
        let id = format!("{source} {id}");
        within("the event's `source` with its `id`", id.len(), ID_LIMIT)?;
        let body = serde_json::to_vec(event)
            .map_err(|error| StepError::lasting(Standard::Runtime, error.to_string()))?;
        Ok(Self { subject, id, body })
    }
}

fn within(what: &str, bytes: usize, limit: usize) -> Result<(), StepError> {
    if bytes > limit {
        let detail = format!("{what} has {bytes} bytes, more than the {limit} that NATS takes");
        return Err(StepError::configuration(detail));
    }
    Ok(())
}
