//! The bodies of verified requests.

use almanac_base::percent;
use serde_json::Value;

use super::headers::{is_id, is_printable};
use super::{Layout, Refusal};
use crate::json;

/// Beginning of a form whose only field holds JSON. No JSON begins like this.
const FORM: &[u8] = b"payload=";
/// Maximum length of a challenge, in characters.
const MAX_CHALLENGE: usize = 1024;

/// Reads a body: JSON, or for GitHub and Slack also a form with the field `payload`, which holds
/// JSON.
///
/// The header `Content-Type` is not signed. If it decided, whoever sends a JSON body again could
/// declare the body a form, and a text in it that looks like a field would become the payload.
pub(super) fn read(layout: &Layout, body: &[u8]) -> Result<Value, Refusal> {
    let has_forms = matches!(layout, Layout::Github | Layout::Slack);
    match body.strip_prefix(FORM) {
        Some(field) if has_forms => {
            let payload = decoded(field).ok_or_else(|| {
                Refusal::Body("is not a form with one field `payload`".to_owned())
            })?;
            let why = |why| Refusal::Body(format!("has a field `payload` that {why}"));
            json::read(&payload).map_err(why)
        }
        _ => json::read(body).map_err(Refusal::Body),
    }
}

/// Decodes the value of the last field of a form (`application/x-www-form-urlencoded`). `None` if
/// another field follows.
fn decoded(field: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(field).ok()?;
    if text.contains('&') {
        return None;
    }
    percent::decode(&text.replace('+', " "))
}

/// Removes what differs between two attempts to deliver the same event. Stripe counts the endpoints
/// that have not taken the event yet.
pub(super) fn drop_attempt(layout: &Layout, body: &mut Value) {
    if let (Layout::Stripe, Some(body)) = (layout, body.as_object_mut()) {
        body.remove("pending_webhooks");
    }
}

/// Returns the id in a body. `None` if the layout has none there, or the id is unfit to be one.
pub(super) fn id(layout: &Layout, body: &Value) -> Option<String> {
    let name = match layout {
        Layout::Stripe => "id",
        Layout::Slack => "event_id",
        Layout::Standard | Layout::Github | Layout::Hmac(_) => return None,
    };
    let id = body.get(name)?.as_str()?;
    is_id(id).then(|| id.to_owned())
}

/// Returns the challenge of a body with which Slack asks if the address belongs to the application.
/// `None` for any other body.
pub(super) fn challenge(body: &Value) -> Result<Option<String>, Refusal> {
    if body.get("type").and_then(Value::as_str) != Some("url_verification") {
        return Ok(None);
    }
    let challenge = body.get("challenge").and_then(Value::as_str);
    match challenge.filter(|text| is_printable(text, MAX_CHALLENGE)) {
        Some(challenge) => Ok(Some(challenge.to_owned())),
        None => Err(Refusal::Body(format!(
            "must have a `challenge` of at most {MAX_CHALLENGE} printable characters"
        ))),
    }
}
