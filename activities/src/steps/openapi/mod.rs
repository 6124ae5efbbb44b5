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

use almanac_workflows::definition::yaml_value;
use almanac_workflows::run::machine::{OpenApiRequest, Standard};
use reqwest::Url;
use serde_json::Value;
use tokio::time::Instant;

use super::StepError;
use super::http::{self, Credentials, Outgoing, Web};
use super::secrets::Secrets;
use document::Operation;

/// The largest document, in bytes.
const DOCUMENT_LIMIT: usize = 8 * 1024 * 1024;

/// Makes the call of a task.
pub(super) async fn call(
    web: &Web,
    secrets: &Secrets,
    request: &OpenApiRequest,
    within: Duration,
) -> Result<Value, StepError> {
    let began = Instant::now();
    let (document, base) = fetch(web, secrets, request, within).await?;
    let operation =
        Operation::find(&document, &request.operation, &base).map_err(StepError::configuration)?;
    let credentials = Credentials::of(request.authentication.as_ref(), secrets)?;
    let mut outgoing = parameters::fill(&operation, request.parameters.as_ref(), credentials)?;
    outgoing.redirect = request.redirect;
    if outgoing.credentials.is_some() && is_downgrade(&base, &outgoing.url) {
        let detail = format!(
            "the OpenAPI document came by https and names a server by plain http, which is not told who calls: {}",
            http::without_query(outgoing.url.as_str())
        );
        return Err(StepError::configuration(detail));
    }
    let left = within.saturating_sub(began.elapsed());
    http::finish(web, outgoing, request.output, left).await
}

/// Whether what was protected on its way would go on without protection, as
/// redirections must not either.
fn is_downgrade(from: &Url, to: &Url) -> bool {
    from.scheme() == "https" && to.scheme() != "https"
}

/// The document, and where it came from, which its servers may be relative to.
async fn fetch(
    web: &Web,
    secrets: &Secrets,
    request: &OpenApiRequest,
    within: Duration,
) -> Result<(Value, Url), StepError> {
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
    let value = read(&answer.body).map_err(|why| {
        let detail = format!("the OpenAPI document {shown} cannot be read: {why}");
        StepError::configuration(scrubber.text(&detail))
    })?;
    // What is said of the document may repeat it.
    Ok((scrubber.value(value), answer.url))
}

/// JSON, or YAML.
fn read(body: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    yaml_value(text)
}
