//! `call: openapi`: an operation of a document of `OpenAPI` 3 or Swagger 2.
//!
//! The document is fetched by the client that makes the call, so the guard
//! stands before both. [`document`] finds the operation, [`parameters`] puts
//! what the task gives where the operation wants it; both are pure.

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

/// The largest document, in bytes.
const DOCUMENT_LIMIT: usize = 8 * 1024 * 1024;
/// The largest one in YAML, which takes a hundred times as much memory to read.
const YAML_LIMIT: usize = 2 * 1024 * 1024;
/// How often a document is asked for that cannot be had now, and after how long again.
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
        let detail = "the worker that made the call was lost, or took too long; whether it was done is not known, so it is not made again";
        return Err(StepError::lasting(Standard::Timeout, detail));
    }
    if outgoing.credentials.is_some() && is_downgrade(&base, &outgoing.url) {
        let detail = format!(
            "the OpenAPI document came by https and names a server by plain http, which is not told who calls: {}",
            http::without_query(outgoing.url.as_str())
        );
        return Err(StepError::configuration(detail));
    }
    let left = within.saturating_sub(began.elapsed());
    let answer = http::finish(web, outgoing, request.output, left).await;
    // A second attempt could not tell whether the first was made.
    answer.map_err(|error| StepError {
        retryable: error.retryable && !once,
        ..error
    })
}

/// The operation, and where its document came from. A service that cannot tell
/// its document now may do so a moment later.
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

/// The operation of a document, looked for on a thread for such work, one
/// document at a time: a large one takes a while, and memory.
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
        // What is said of the document may repeat it.
        let value = scrubber.value(value);
        let found = Operation::find(&value, &id, &base);
        Ok((found.map_err(StepError::configuration)?, base))
    });
    work.await.map_err(|error| {
        StepError::lasting(
            Standard::Runtime,
            format!("the OpenAPI document could not be read: {error}"),
        )
    })?
}

/// Whether what was protected on its way would go on without protection, as
/// redirections must not either.
fn is_downgrade(from: &Url, to: &Url) -> bool {
    from.scheme() == "https" && to.scheme() != "https"
}

/// The text of the document, and where it came from, which its servers may be
/// relative to.
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

/// JSON, or YAML.
fn read(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    if text.len() > YAML_LIMIT {
        return Err(format!(
            "YAML may have {YAML_LIMIT} bytes at most, JSON more"
        ));
    }
    yaml_value(text)
}
