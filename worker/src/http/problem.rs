//! Errors as RFC 9457 problems.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::openapi::PROBLEM;
use crate::backend::BackendError;

/// Time after which a client should try again, in seconds.
const RETRY_AFTER: u32 = 5;

/// An error: RFC 9457. Some errors have more members.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Problem")]
pub(super) struct Details {
    /// Always `about:blank`: the status gives the kind of the problem.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status code.
    status: u16,
    /// Description of the error, for people.
    detail: String,
    /// Further members, for programs.
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// An error, as it is answered.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    more: Map<String, Value>,
    /// Sentences that say what a person can do, for browsers.
    hint: Option<&'static str>,
}

impl Problem {
    /// Creates an error with this status and a description for people.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            more: Map::new(),
            hint: None,
        }
    }

    /// Adds sentences that say what a person can do, for browsers.
    pub(super) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// Returns the status of the answer.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the description for people.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// Adds a member for programs.
    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }
}

/// The part of a problem that is for people. An answer carries it, for the layer that
/// answers browsers with a page.
#[derive(Debug, Clone)]
pub(super) struct PlainProblem {
    pub(super) status: StatusCode,
    pub(super) detail: String,
    /// Sentences that say what the person can do.
    pub(super) hint: Option<&'static str>,
    /// Address of the login form, if logging in helps.
    pub(super) login: Option<String>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let plain = PlainProblem {
            status: self.status,
            detail: self.detail.clone(),
            hint: self.hint,
            login: None,
        };
        let body = Details {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: self.detail,
            more: self.more,
        };
        let mut response = (self.status, Json(body)).into_response();
        response.extensions_mut().insert(plain);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        if matches!(
            self.status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER.into());
        }
        response
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        let status = match &error {
            BackendError::Absent(_) | BackendError::Away(_) => StatusCode::SERVICE_UNAVAILABLE,
            BackendError::Failed(_) => StatusCode::BAD_GATEWAY,
            BackendError::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
            BackendError::Refused(_) => StatusCode::CONFLICT,
        };
        Self::new(status, error.to_string())
    }
}

pub(super) async fn no_such_page(uri: Uri) -> Problem {
    let detail = format!("there is no endpoint `{}`", uri.path());
    Problem::new(StatusCode::NOT_FOUND, detail)
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("`{}` does not support the method `{method}`", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).with("method", json!(method.as_str()))
}
