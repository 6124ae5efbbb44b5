//! The reason why a request of a page is refused, and what the person can do.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::http::problem::{PlainProblem, Problem};

/// A request of a page that is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct Refusal {
    /// The status of the answer.
    pub(in crate::http) status: StatusCode,
    /// The reason, in words that may be those of a client.
    pub(in crate::http) detail: String,
    /// Sentences that say what the person can do.
    pub(in crate::http) hint: &'static str,
    /// Address of the login form, if logging in helps.
    pub(in crate::http) login: Option<String>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Problem::new(self.status, self.detail.clone()).into_response();
        response.extensions_mut().insert(PlainProblem {
            status: self.status,
            detail: self.detail,
            hint: Some(self.hint),
            login: self.login,
        });
        response
    }
}
