//! The common parts of requests that change a schedule: the definition that they name, the
//! client's name for the request, and the JSON body. Each part has the same errors everywhere.

use std::fmt::Display;

use almanac_base::names::DefinitionId;
use axum::body::Bytes;
use axum::extract::{FromRequest, OptionalFromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::problem::Problem;
use crate::backoff::random;

/// The header with the client's name for a request, so that the client can send the
/// request again.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Maximum length of such a name, in bytes.
const KEY_LIMIT: usize = 150;

/// The header with the client's name for the request, for the API's description.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "`request_id` reads the header")]
pub(super) struct IdempotencyKey {
    /// Key of the request: a repeated request with the same key has no further effect
    #[param(
        rename = "idempotency-key",
        min_length = 1,
        max_length = 150,
        pattern = "^[!-~]+$"
    )]
    key: Option<String>,
}

/// Returns the client's name for the request, or a generated name. Requests for different
/// operations are different requests, also if they have the same key.
pub(super) fn request_id(headers: &HeaderMap, operation: &str) -> Result<String, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(format!("http-{:016x}{:016x}", random(), random()));
    };
    match key.to_str() {
        Ok(key) if (1..=KEY_LIMIT).contains(&key.len()) => Ok(format!("http-{operation}-{key}")),
        _ => Err(bad_request(format!(
            "Idempotency-Key must be 1 to {KEY_LIMIT} visible characters"
        ))),
    }
}

/// Returns the definition that a path names.
pub(super) fn definition(id: &str) -> Result<DefinitionId, Problem> {
    id.parse().map_err(|_| no_such_schedule(id))
}

/// The error about a schedule that does not exist.
pub(super) fn no_such_schedule(id: &str) -> Problem {
    let detail = format!("there is no schedule of definition `{id}`");
    Problem::new(StatusCode::NOT_FOUND, detail)
}

/// The error about a request that cannot be done as it is.
pub(super) fn bad_request(why: impl Display) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, why.to_string())
}

/// The JSON body of a request. As an `Option`, `None` for an empty body.
///
/// A form of another site cannot send one, since it cannot state the content type.
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let body = bytes(request, state).await?;
        read(is_json, &body)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> OptionalFromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        let is_json = is_json(request.headers());
        let body = bytes(request, state).await?;
        if body.is_empty() {
            return Ok(None);
        }
        read(is_json, &body).map(Some)
    }
}

async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state)
        .await
        .map_err(|error| Problem::new(error.status(), error.body_text()))
}

fn read<T: DeserializeOwned>(is_json: bool, body: &[u8]) -> Result<JsonBody<T>, Problem> {
    if !is_json {
        let detail = "the body must have the content type application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    serde_json::from_slice(body).map(JsonBody).map_err(|error| {
        let status = if error.is_data() {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::BAD_REQUEST
        };
        Problem::new(status, format!("the body cannot be read: {error}"))
    })
}

/// Returns `true` if the content type is JSON, or is written in JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    let kind = kind.unwrap_or_default().trim().to_ascii_lowercase();
    let Some(subtype) = kind.strip_prefix("application/") else {
        return false;
    };
    subtype == "json" || subtype.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_a_body_with_the_media_type_of_json_is_read() {
        for (kind, good) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("Application/JSON", true),
            ("application/merge-patch+json", true),
            ("text/json", false),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            assert_eq!(is_json(&headers), good, "{kind}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
