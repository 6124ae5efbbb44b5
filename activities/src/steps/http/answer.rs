//! The output of a task, made from an answer. Pure.

use almanac_steps::language::CallOutput;
use almanac_steps::machine::Standard;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use std::time::Duration;

use super::super::StepError;
use super::super::secrets::Scrubber;
use super::request::{is_json, media_type};
use super::{Answer, Outgoing, without_query};

/// Maximum length of the part of an error's body that its message repeats, in characters.
const QUOTED: usize = 300;
/// Maximum wait that a service may ask for. If a service asks for more, there is no
/// automatic retry.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Returns the output of the task, or the error that the answer stands for.
pub(super) fn output(
    outgoing: &Outgoing,
    answer: Answer,
    output: CallOutput,
    scrubber: &Scrubber,
) -> Result<Value, StepError> {
    let status = answer.status;
    let fine = status.is_success() || (outgoing.redirect && status.is_redirection());
    if !fine {
        return Err(refusal(outgoing, &answer, scrubber));
    }
    match output {
        CallOutput::Raw => {
            let clean = scrubber.bytes(answer.body);
            Ok(Value::String(BASE64_STANDARD.encode(clean)))
        }
        CallOutput::Content => Ok(scrubber.value(content(&answer, scrubber)?)),
        CallOutput::Response => {
            let whole = json!({
                "request": {
                    "method": outgoing.method.as_str(),
                    "uri": outgoing.url.as_str(),
                    "headers": headers(&outgoing.headers, scrubber),
                },
                "statusCode": status.as_u16(),
                "headers": headers(&answer.headers, scrubber),
                "content": content(&answer, scrubber)?,
            });
            Ok(scrubber.value(whole))
        }
    }
}

/// Returns the body in the form of its content type: data, text, or bytes in base64.
///
/// Bytes that are encoded here are scrubbed first: a secret cannot be found in base64.
fn content(answer: &Answer, scrubber: &Scrubber) -> Result<Value, StepError> {
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    let kind = answer.headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok());
    if kind.is_some_and(|kind| is_json(&media_type(kind))) {
        return serde_json::from_slice(&answer.body).map_err(|error| {
            let detail = format!("the answer is declared as JSON, but is not valid JSON: {error}");
            StepError::lasting(Standard::Communication, detail)
        });
    }
    Ok(Value::String(match std::str::from_utf8(&answer.body) {
        Ok(text) => text.to_owned(),
        Err(_) => BASE64_STANDARD.encode(scrubber.bytes(answer.body.clone())),
    }))
}

/// Returns headers as a map. Headers given several times are joined (RFC 9110, 5.3).
///
/// `Authorization` and `Cookie` are left out. Names are in lower case here, and so may be a
/// secret in them.
fn headers(headers: &HeaderMap, scrubber: &Scrubber) -> Map<String, Value> {
    let shown = headers
        .keys()
        .filter(|name| **name != AUTHORIZATION && **name != COOKIE);
    shown
        .map(|name| {
            let values = headers.get_all(name).iter();
            let values: Vec<_> = values
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            let name = scrubber.lowered(name.as_str());
            (name, Value::String(values.join(", ")))
        })
        .collect()
}

/// Returns the error that an answer stands for.
fn refusal(outgoing: &Outgoing, answer: &Answer, scrubber: &Scrubber) -> StepError {
    let status = answer.status;
    let mut detail = format!(
        "{} {} answered {status}",
        outgoing.method,
        without_query(outgoing.url.as_str())
    );
    if status.is_redirection() {
        detail.push_str("; hint: `redirect: true` follows it");
    }
    // Secrets are removed before the body is cut: half a secret would not be found.
    let body = scrubber.bytes(answer.body.clone());
    let body = String::from_utf8_lossy(&body);
    let body = body.trim();
    if !body.is_empty() && outgoing.method != Method::HEAD {
        detail.push_str(": ");
        detail.extend(body.chars().take(QUOTED));
        if body.chars().nth(QUOTED).is_some() {
            detail.push('…');
        }
    }
    let mut error = StepError::lasting(Standard::Communication, detail);
    error.fault.status = status.as_u16();
    error.retryable = was_not_done(status) || (is_passing(status) && outgoing.is_repeatable());
    if error.retryable {
        error.retry_after = retry_after(&answer.headers);
        error.retryable = error.retry_after.is_none_or(|wait| wait <= LONGEST_WAIT);
    }
    error
}

/// Returns `true` if the service says that it did nothing and may do it later.
fn was_not_done(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
    )
}

/// Returns `true` if the same request may succeed later.
fn is_passing(status: StatusCode) -> bool {
    let lasting = [
        StatusCode::NOT_IMPLEMENTED,
        StatusCode::HTTP_VERSION_NOT_SUPPORTED,
    ];
    status == StatusCode::REQUEST_TIMEOUT
        || (status.is_server_error() && !lasting.contains(&status))
}

/// `Retry-After` in seconds. A date is left to the retry policy.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
