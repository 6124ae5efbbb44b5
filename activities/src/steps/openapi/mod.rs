//! `call: openapi`: an operation of a document of `OpenAPI` 3 or Swagger 2.
//!
//! The client that makes the call also fetches the document, so the guard checks both.
//! [`document`] finds the operation, and [`parameters`] puts the task's parameters where
//! the operation wants them. Both are pure.

mod document;
mod parameters;
#[cfg(test)]
mod tests;

use std::time::Duration;

use almanac_core::definition::yaml_value;
use almanac_steps::machine::{OpenApiRequest, Standard};
use reqwest::Url;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::StepError;
use super::http::{self, Credentials, Outgoing, Web};
use super::secrets::{Scrubber, Secrets};
use document::Operation;

/// Maximum size of a document, in bytes.
const DOCUMENT_LIMIT: usize = 8 * 1024 * 1024;
/// Maximum size of a document in YAML, in bytes. Reading YAML takes a hundred times as much
/// memory.
const YAML_LIMIT: usize = 2 * 1024 * 1024;
/// Maximum number of attempts at fetching a document, and the pause between two of them.
const FETCHES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Makes the call of a task.
pub(super) async fn call(
    web: &Web,
    secrets: &Secrets,
    request: &OpenApiRequest,
    within: Duration,
    attempt: u32,
) -> Result<Value, StepError> {
    let began = Instant::now();
    let operation = found(web, secrets, request, within).await?;
    let (operation, base) = operation;
    let credentials = Credentials::of(request.authentication.as_ref(), secrets)?;
    let mut outgoing = parameters::fill(&operation, request.parameters.as_ref(), credentials)?;
    outgoing.redirect = request.redirect;
    let once = !outgoing.is_repeatable();
    if once && attempt > 1 {
        let detail = "the worker that made the call was lost or took too long; the call may have been done, so it is not repeated";
        return Err(StepError::lasting(Standard::Timeout, detail));
    }
    if outgoing.credentials.is_some() && is_downgrade(&base, &outgoing.url) {
        let detail = format!(
            "the OpenAPI document came over https and names a server with plain http, to which no \
             credentials are sent: {}",
            http::without_query(outgoing.url.as_str())
        );
        return Err(StepError::configuration(detail));
    }
    let left = within.saturating_sub(began.elapsed());
    let answer = http::finish(web, outgoing, request.output, left).await;
    // A second attempt could not know if the first was made.
    answer.map_err(|error| StepError {
        retryable: error.retryable && !once,
        ..error
    })
}

/// Returns the operation, and the URL of its document. If a service cannot deliver its
/// document now, it may do so a moment later, so there are further attempts.
async fn found(
    web: &Web,
    secrets: &Secrets,
    request: &OpenApiRequest,
    within: Duration,
) -> Result<(Operation, Url), StepError> {
    let began = Instant::now();
    let mut tries = 1;
    loop {
        let left = within.saturating_sub(began.elapsed());
        let error = match fetch(web, secrets, request, left).await {
            Ok((text, base, scrubber)) => {
                let left = within.saturating_sub(began.elapsed());
                let found = operation(text, base, scrubber, request);
                return http::limited(left, false, found).await;
            }
            Err(error) => error,
        };
        if !error.retryable || tries == FETCHES || began.elapsed() + PAUSE >= within {
            return Err(StepError {
                retryable: false,
                ..error
            });
        }
        tries += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Finds the operation in a document, on a thread for blocking work. One document is read
/// at a time: a large document takes time and memory.
async fn operation(
    body: Vec<u8>,
    base: Url,
    scrubber: Scrubber,
    request: &OpenApiRequest,
) -> Result<(Operation, Url), StepError> {
    static READERS: Semaphore = Semaphore::const_new(1);
    let reader = READERS.acquire().await;
    let shown = http::without_query(&request.document).to_owned();
    let id = request.operation.clone();
    let work = tokio::task::spawn_blocking(move || {
        let _reader = reader;
        let value = read(&body).map_err(|why| {
            let detail = format!("the OpenAPI document {shown} cannot be read: {why}");
            StepError::configuration(scrubber.text(&detail))
        })?;
        // An error about the document may repeat a part of it.
        let value = scrubber.value(value);
        let found = Operation::find(&value, &id, &base);
        Ok((
            found.map_err(|why| StepError::configuration(why.to_string()))?,
            base,
        ))
    });
    work.await.map_err(|error| {
        StepError::lasting(
            Standard::Runtime,
            format!("the OpenAPI document could not be read: {error}"),
        )
    })?
}

/// Returns `true` if a call would leave https for http. Redirections must not do so either.
fn is_downgrade(from: &Url, to: &Url) -> bool {
    from.scheme() == "https" && to.scheme() != "https"
}

/// Fetches the text of the document. Also returns the URL of the document, which its
/// servers may be relative to.
async fn fetch(
    web: &Web,
    secrets: &Secrets,
    request: &OpenApiRequest,
    within: Duration,
) -> Result<(Vec<u8>, Url, Scrubber), StepError> {
    let mut outgoing = Outgoing::new("GET", http::url(&request.document)?)?;
    outgoing.credentials = Credentials::of(request.document_authentication.as_ref(), secrets)?;
    outgoing.redirect = true;
    outgoing.add_header("accept", "application/json, application/yaml, */*;q=0.5")?;
    let scrubber = outgoing.scrubber();
    let answer = http::limited(within, true, web.send(&outgoing, DOCUMENT_LIMIT))
        .await
        .map_err(|error| error.scrubbed(&scrubber))?;
    let shown = http::without_query(&request.document);
    if !answer.status.is_success() {
        let detail = format!("the OpenAPI document {shown} answered {}", answer.status);
        let mut error = StepError::lasting(Standard::Communication, detail);
        error.fault.status = answer.status.as_u16();
        error.retryable = answer.status.is_server_error();
        return Err(error);
    }
    Ok((answer.body, answer.url, scrubber))
}

/// Parses a document in JSON or YAML.
fn read(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    if text.len() > YAML_LIMIT {
        return Err(format!(
            "YAML can have at most {YAML_LIMIT} bytes, JSON more"
        ));
    }
    yaml_value(text).map_err(|error| error.to_string())
}
