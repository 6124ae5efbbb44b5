//! `call: http`, and the requests that `call: openapi` makes.
//!
//! [`request`] makes the request, [`client`] sends it behind the guard, [`content_coding`]
//! undoes the answer's content codings, and [`answer`] makes the task's output.

mod answer;
mod client;
mod content_coding;
mod credentials;
mod digest;
mod request;

use std::time::Duration;

use almanac_steps::language::CallOutput;
use almanac_steps::machine::{HttpRequest, Standard};
use reqwest::Url;
use serde_json::Value;

pub(super) use client::{Answer, Web};
pub(super) use credentials::Credentials;
pub(super) use request::{FORM, JSON, Outgoing, describe, entries, media_type, texts};

use super::StepError;
use super::secrets::Secrets;

/// Maximum size of an answer, in bytes, since the history has to hold it.
pub(super) const ANSWER_LIMIT: usize = 1024 * 1024;

/// Makes the call of a task.
pub(super) async fn call(
    web: &Web,
    secrets: &Secrets,
    request: &HttpRequest,
    within: Duration,
) -> Result<Value, StepError> {
    let url = url(&request.uri)?;
    let mut outgoing = Outgoing::new(&request.method, url)?;
    outgoing.credentials = Credentials::of(request.authentication.as_ref(), secrets)?;
    outgoing.redirect = request.redirect;
    outgoing.add_query(request.query.as_ref())?;
    outgoing.add_headers(request.headers.as_ref())?;
    outgoing.set_body(request.body.as_ref())?;
    finish(web, outgoing, request.output, within).await
}

/// Sends a request and makes its answer the output of a task.
pub(super) async fn finish(
    web: &Web,
    outgoing: Outgoing,
    output: CallOutput,
    within: Duration,
) -> Result<Value, StepError> {
    let scrubber = outgoing.scrubber();
    let whole = async {
        let answer = web.send(&outgoing, ANSWER_LIMIT).await?;
        answer::output(&outgoing, answer, output, &scrubber)
    };
    limited(within, outgoing.is_repeatable(), whole)
        .await
        .map_err(|error| error.scrubbed(&scrubber))
}

/// Does work within a time limit. With `again`, the work may be done twice.
pub(super) async fn limited<T>(
    within: Duration,
    again: bool,
    work: impl Future<Output = Result<T, StepError>>,
) -> Result<T, StepError> {
    let late = |_| {
        let detail = format!("no complete answer within {}s", within.as_secs_f64());
        StepError::if_again(again, Standard::Timeout, detail)
    };
    tokio::time::timeout(within, work).await.map_err(late)?
}

/// Parses a URI that can be called.
pub(super) fn url(text: &str) -> Result<Url, StepError> {
    text.parse().map_err(|error| {
        let detail = format!("the URI {:?} is not valid: {error}", without_query(text));
        StepError::configuration(detail)
    })
}

/// Returns a URI for messages, without the query and the fragment, which may be
/// confidential. A URI with an `@` after `//` is not shown at all, because it may hold
/// credentials.
pub(super) fn without_query(uri: &str) -> &str {
    let end = uri.find(['?', '#']).unwrap_or(uri.len());
    let shown = &uri[..end];
    match shown.split_once("//") {
        Some((_, rest)) if rest.contains('@') => "(with credentials)",
        _ => shown,
    }
}
