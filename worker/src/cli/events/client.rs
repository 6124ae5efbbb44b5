//! Requests to the HTTP API of a worker.
//!
//! Always holds: a token is sent over https or to this machine, and to no other address than the
//! one that the operator gave. An answer has a limit in bytes and in time.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode, Url, header};
use serde_json::Value;

use crate::args::{EVENTS_URL, WorkerTarget};
use crate::failure::{Failure, causes};
use crate::web_address::is_loopback;

/// Maximum time until a worker accepts a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Maximum time until an answer is read: longer than the worker's own limit, whose answer says why.
const ANSWER_LIMIT: Duration = Duration::from_secs(130);
/// Maximum size of an answer, in bytes: more than a page of a list or an event can have.
const SIZE_LIMIT: usize = 8 * 1024 * 1024;
/// Maximum size of a file with a token, in bytes.
const TOKEN_LIMIT: usize = 64 * 1024;

/// A worker, as the command line reaches it.
#[derive(Debug)]
pub(super) struct WorkerClient {
    client: Client,
    url: Url,
    /// Value of the header `Authorization`.
    authorization: Option<header::HeaderValue>,
}

/// The answer to a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// The worker did what was asked. `None` if the answer has no body.
    Done(Option<Value>),
    /// The worker did not do it. The answer says what happened to the events.
    Problem {
        /// The worker's reason.
        detail: String,
        deliveries: Value,
    },
}

impl WorkerClient {
    pub(super) fn new(target: &WorkerTarget) -> anyhow::Result<Self> {
        let url: Url = target
            .url
            .parse()
            .with_context(|| format!("{EVENTS_URL} {}", target.url))?;
        let is_local = is_loopback(&url);
        if url.scheme() != "https" && !is_local {
            let why = Failure::new(format!(
                "{EVENTS_URL} {url}: http is only for a worker on this machine"
            ));
            let hint = "use https, or forward a port of this machine to the worker";
            return Err(why.hint(hint).into());
        }
        let authorization = target
            .token_file
            .as_deref()
            .map(authorization)
            .transpose()?;
        crate::connect::install_tls();
        let builder = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(ANSWER_LIMIT)
            .user_agent(concat!("almanac/", env!("CARGO_PKG_VERSION")));
        // A proxy of the environment must not see a token that is sent without TLS.
        let builder = if is_local {
            builder.no_proxy()
        } else {
            builder
        };
        Ok(Self {
            client: builder.build().context("make an HTTP client")?,
            url,
            authorization,
        })
    }

    /// Reads something. `path` is below the worker's address, with its query.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        match self.ask(Method::GET, path, None).await? {
            Answer::Done(Some(value)) => Ok(value),
            Answer::Done(None) => Err(self.other_server()),
            Answer::Problem { detail, .. } => Err(Failure::new(detail).into()),
        }
    }

    /// Asks the worker to do something, with the event that is sent, if there is one.
    pub(super) async fn post(&self, path: &str, event: Option<String>) -> anyhow::Result<Answer> {
        self.ask(Method::POST, path, event).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        event: Option<String>,
    ) -> anyhow::Result<Answer> {
        let address = format!("{}{path}", self.url.as_str().trim_end_matches('/'));
        let mut request = self
            .client
            .request(method, address)
            .header(header::ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        if let Some(event) = event {
            request = request
                .header(header::CONTENT_TYPE, "application/cloudevents+json")
                .body(event);
        }
        let response = request.send().await.map_err(|error| self.silent(error))?;
        let status = response.status();
        let body = self.body(response).await?;
        let value: Option<Value> = serde_json::from_slice(&body).ok();
        match (status, value) {
            (StatusCode::NO_CONTENT, _) => Ok(Answer::Done(None)),
            (status, Some(value)) if status.is_success() => Ok(Answer::Done(Some(value))),
            (status, Some(problem)) => self.problem(status, &problem),
            (_, None) => Err(self.other_server()),
        }
    }

    async fn body(&self, mut response: Response) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.silent(error))? {
            if body.len() + chunk.len() > SIZE_LIMIT {
                anyhow::bail!(
                    "the answer of {} is larger than {SIZE_LIMIT} bytes",
                    self.url
                );
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// An answer with the status of an error.
    fn problem(&self, status: StatusCode, problem: &Value) -> anyhow::Result<Answer> {
        let Some(detail) = problem.get("detail").and_then(Value::as_str) else {
            return Err(self.other_server());
        };
        let failure = Failure::new(format!("{}: {detail} ({})", self.url, status.as_u16()));
        let hint = match status {
            StatusCode::UNAUTHORIZED if self.authorization.is_none() => {
                "--token-file (ALMANAC_TOKEN_FILE) names a file with a token of the worker"
            }
            StatusCode::UNAUTHORIZED => "the worker does not know this token, or it has expired",
            StatusCode::FORBIDDEN => {
                "`send` and `replay` need a token with the scope almanac:operate"
            }
            StatusCode::TOO_MANY_REQUESTS => "try again in a few seconds",
            _ => {
                return Ok(Answer::Problem {
                    detail: detail.to_owned(),
                    deliveries: problem.get("deliveries").cloned().unwrap_or_default(),
                });
            }
        };
        Err(failure.hint(hint).into())
    }

    /// The error of a worker that does not answer.
    fn silent(&self, error: reqwest::Error) -> anyhow::Error {
        let why = causes(&error.without_url().into());
        let failure = Failure::new(format!("no worker answers at {}: {why}", self.url));
        let hint = format!(
            "`almanac run` or `almanac dev` starts a worker; {EVENTS_URL} (ALMANAC_URL) says where one is"
        );
        failure.hint(hint).into()
    }

    /// The error of an answer that no worker gives.
    fn other_server(&self) -> anyhow::Error {
        let failure = Failure::new(format!("{} is not a worker of Almanac", self.url));
        let hint = format!(
            "{EVENTS_URL} (ALMANAC_URL) is the address at which a worker listens, without a path; \
             a worker that listens beyond this machine without --auth serves no events"
        );
        failure.hint(hint).into()
    }
}

/// The header for the token in a file.
fn authorization(file: &Path) -> anyhow::Result<header::HeaderValue> {
    let name = || format!("--token-file {}", file.display());
    let text = super::read_within(file, TOKEN_LIMIT).with_context(name)?;
    let token = text.trim();
    if token.is_empty() {
        anyhow::bail!("{}: the file is empty", name());
    }
    let value = header::HeaderValue::from_str(&format!("Bearer {token}"));
    // The error of a bad value must not repeat it.
    let value = value.map_err(|_| anyhow::anyhow!("{}: this is not a token", name()));
    let mut value = value?;
    value.set_sensitive(true);
    Ok(value)
}
