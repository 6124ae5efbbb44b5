//! Attributes of events in headers (HTTP binding of `CloudEvents` 1.0.2, section 3.1.3).

use almanac_base::percent;
use almanac_base::text::quoted;
use serde_json::{Map, Value};

use super::ReadError;
use crate::attributes::is_attribute_name;
use crate::event::MAX_ATTRIBUTES;

/// Beginning of the names of headers that hold attributes.
const PREFIX: &str = "ce-";

/// Returns the attributes in the headers of a message, as texts.
pub(super) fn attributes<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Map<String, Value>, ReadError> {
    let mut attributes = Map::new();
    for (header, value) in headers {
        let Some(name) = attribute_name(header) else {
            continue;
        };
        let refuse = |why: &str| {
            let message = format!("the header {} {why}", quoted(header));
            Err(ReadError::Malformed(message))
        };
        if !is_attribute_name(&name) {
            return refuse("names no attribute: names of attributes consist of a-z and 0-9");
        }
        if matches!(name.as_str(), "data" | "datacontenttype") {
            return refuse("must not be sent: the body and `Content-Type` hold it");
        }
        let Some(value) = decoded(value) else {
            return refuse("is not UTF-8 with percent-encoding");
        };
        if attributes.insert(name, value.into()).is_some() {
            return refuse("occurs more than once");
        }
        if attributes.len() > MAX_ATTRIBUTES {
            return refuse(&format!("is over the limit of {MAX_ATTRIBUTES} attributes"));
        }
    }
    if attributes.is_empty() {
        let message = format!(
            "the message has no event: the content type must be {} or {}, or headers `ce-…` must \
             hold the event's attributes",
            super::STRUCTURED,
            super::BATCHED,
        );
        return Err(ReadError::UnsupportedMediaType(message));
    }
    Ok(attributes)
}

/// Returns the name of the attribute that a header holds, in lower case. `None` if the header holds
/// none.
fn attribute_name(header: &str) -> Option<String> {
    let (prefix, name) = header.split_at_checked(PREFIX.len())?;
    let matches = prefix.eq_ignore_ascii_case(PREFIX);
    matches.then(|| name.to_ascii_lowercase())
}

/// Decodes the value of a header (section 3.1.3.2): quoted parts first, then percent-encoding,
/// once.
fn decoded(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let text = unquoted(text.trim_matches([' ', '\t']))?;
    String::from_utf8(percent::decode(&text)?).ok()
}

/// Replaces quoted parts by their contents (RFC 9110, section 5.6.4). `None` if a quoted part does
/// not end.
fn unquoted(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut is_quoted = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => is_quoted = !is_quoted,
            '\\' if is_quoted => plain.push(chars.next()?),
            c => plain.push(c),
        }
    }
    (!is_quoted).then_some(plain)
}
