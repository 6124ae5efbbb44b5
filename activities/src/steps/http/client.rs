//! Client that sends requests behind the guard.
//!
//! Each port has a client of its own, since a resolver does not know the port of its
//! addresses. No proxies are used. Redirections are followed only here, and each is a
//! request that is checked like the first.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use almanac_steps::machine::Standard;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue,
    LOCATION, USER_AGENT, WWW_AUTHENTICATE,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode, Url};

use super::super::StepError;
use super::super::egress::{EgressGuard, GuardedResolver, Refused};
use super::content_coding::{self, Undecodable};
use super::{Credentials, Outgoing, without_query};

/// Time limit of a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Maximum number of redirections that are followed.
const REDIRECTIONS: usize = 10;
/// Maximum number of ports with a client. A definition's data may name many.
const CLIENTS: usize = 32;

/// Client for the addresses that the guard allows.
pub(in super::super) struct Web {
    guard: Arc<EgressGuard>,
    clients: Mutex<BTreeMap<u16, Client>>,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(in super::super) struct Answer {
    pub(in super::super) status: StatusCode,
    pub(in super::super) headers: HeaderMap,
    pub(in super::super) body: Vec<u8>,
    /// The URL of the answer, after redirections.
    pub(in super::super) url: Url,
}

/// A request on the way to an answer.
struct Hop {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
    /// `true` if no redirection has left the origin that the definition names. Only that
    /// origin gets the credentials.
    trusted: bool,
}

impl Web {
    /// Creates a client without any connections.
    pub(in super::super) fn new(guard: EgressGuard) -> Self {
        Self {
            guard: Arc::new(guard),
            clients: Mutex::default(),
        }
    }

    /// Sends a request and reads the answer, of at most `limit` bytes.
    pub(in super::super) async fn send(
        &self,
        outgoing: &Outgoing,
        limit: usize,
    ) -> Result<Answer, StepError> {
        let mut hop = Hop {
            method: outgoing.method.clone(),
            url: outgoing.url.clone(),
            headers: outgoing.headers.clone(),
            body: outgoing.body.clone(),
            trusted: true,
        };
        for number in 0..=REDIRECTIONS {
            // A request that was answered by a redirection may have had its effect.
            let fresh = number == 0 || outgoing.is_repeatable();
            let response = self.hop(outgoing, &hop).await;
            let response = response.map_err(|error| StepError {
                retryable: error.retryable && fresh,
                ..error
            })?;
            let next = outgoing.redirect && response.status().is_redirection();
            let target = next.then(|| target(&hop.url, &response)).flatten();
            match target {
                None => return read(response, hop.url, limit, outgoing).await,
                Some(target) => hop = hop.redirected(response.status(), target?)?,
            }
        }
        let detail = format!("more than {REDIRECTIONS} redirects");
        Err(StepError::lasting(Standard::Communication, detail))
    }

    /// Sends one request, and a second one if the server asks for a digest.
    async fn hop(&self, outgoing: &Outgoing, hop: &Hop) -> Result<Response, StepError> {
        let port = self
            .guard
            .check(&hop.url)
            .map_err(|error| refused(&error))?;
        let client = self.client(port)?;
        let request = || {
            let request = client.request(hop.method.clone(), hop.url.clone());
            let request = request.headers(hop.headers.clone());
            match hop.body.as_deref().unwrap_or_default() {
                // Some servers insist on this header (RFC 9110, 8.6).
                [] if hop.method_has_content() => request.header(CONTENT_LENGTH, "0"),
                [] => request,
                body => request.body(body.to_vec()),
            }
        };
        let credentials = outgoing.credentials.as_ref().filter(|_| hop.trusted);
        // Every request with credentials passes this check, whatever named its host.
        if let Some(credentials) = credentials {
            credentials.check(&hop.url)?;
        }
        let mut first = request();
        if let Some(header) = credentials.and_then(Credentials::header) {
            first = first.header(reqwest::header::AUTHORIZATION, header);
        }
        let response = first
            .send()
            .await
            .map_err(|error| failed(outgoing, &hop.url, error))?;
        let Some(credentials) =
            credentials.filter(|_| response.status() == StatusCode::UNAUTHORIZED)
        else {
            return Ok(response);
        };
        let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenges = challenges.filter_map(|value| value.to_str().ok());
        let uri = match hop.url.query() {
            Some(query) => format!("{}?{query}", hop.url.path()),
            None => hop.url.path().to_owned(),
        };
        let Some(header) = credentials.answer(challenges, hop.method.as_str(), &uri) else {
            return Ok(response);
        };
        drop(response);
        let second = request().header(reqwest::header::AUTHORIZATION, header);
        second
            .send()
            .await
            .map_err(|error| failed(outgoing, &hop.url, error))
    }

    fn client(&self, port: u16) -> Result<Client, StepError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&port) {
            return Ok(client.clone());
        }
        let client = build(Arc::clone(&self.guard), port).map_err(|error| {
            let detail = format!("the HTTP client cannot be created: {}", causes(&error));
            StepError::lasting(Standard::Runtime, detail)
        })?;
        if clients.len() >= CLIENTS {
            clients.clear();
        }
        clients.insert(port, client.clone());
        Ok(client)
    }
}

fn build(guard: Arc<EgressGuard>, port: u16) -> Result<Client, reqwest::Error> {
    // The provider may have been installed by another part of the process, which is fine.
    let _other_provider = rustls::crypto::ring::default_provider().install_default();
    // The same header in a definition takes precedence.
    let accepted = (
        ACCEPT_ENCODING,
        HeaderValue::from_static(content_coding::ACCEPTED),
    );
    Client::builder()
        .default_headers(HeaderMap::from_iter([accepted]))
        .no_proxy()
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_LIMIT)
        .dns_resolver(Arc::new(GuardedResolver { guard, port }))
        .user_agent(concat!("almanac/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Returns the target of a redirection. `None` if the response names none.
fn target(from: &Url, response: &Response) -> Option<Result<Url, StepError>> {
    let followed = [301, 302, 303, 307, 308].contains(&response.status().as_u16());
    let location = response.headers().get(LOCATION).filter(|_| followed)?;
    let target = location.to_str().ok().and_then(|text| from.join(text).ok());
    Some(target.ok_or_else(|| {
        let detail = format!(
            "{} redirects without a valid URI",
            without_query(from.as_str())
        );
        StepError::lasting(Standard::Communication, detail)
    }))
}

impl Hop {
    /// Returns `true` if a request of this method usually has a body.
    fn method_has_content(&self) -> bool {
        matches!(self.method, Method::POST | Method::PUT | Method::PATCH)
    }

    /// Returns the request after a redirection (Fetch, 4.4, HTTP-redirect fetch).
    ///
    /// After a redirection to another origin, the request has no credentials, and only
    /// those headers that say which answer is wanted.
    fn redirected(self, status: StatusCode, target: Url) -> Result<Self, StepError> {
        if self.url.scheme() == "https" && target.scheme() != "https" {
            let detail = format!(
                "{} redirects from https to {}, which is not followed",
                without_query(self.url.as_str()),
                target.scheme()
            );
            return Err(StepError::lasting(Standard::Communication, detail));
        }
        let Self {
            mut method,
            url,
            mut headers,
            mut body,
            mut trusted,
        } = self;
        let post = method == Method::POST;
        let as_get = match status.as_u16() {
            301 | 302 => post,
            303 => !matches!(method, Method::GET | Method::HEAD),
            _ => false,
        };
        if as_get {
            method = Method::GET;
            body = None;
            headers.remove(CONTENT_TYPE);
        }
        if url.origin() != target.origin() {
            trusted = false;
            let kept = [
                ACCEPT,
                ACCEPT_LANGUAGE,
                CONTENT_LENGTH,
                CONTENT_TYPE,
                USER_AGENT,
            ];
            let all: Vec<_> = headers.keys().cloned().collect();
            for name in all.iter().filter(|name| !kept.contains(name)) {
                headers.remove(name);
            }
        }
        Ok(Self {
            method,
            url: target,
            headers,
            body,
            trusted,
        })
    }
}

async fn read(
    mut response: Response,
    url: Url,
    limit: usize,
    outgoing: &Outgoing,
) -> Result<Answer, StepError> {
    let too_large = || {
        let shown = without_query(url.as_str());
        let detail = format!("the answer of {shown} is larger than {limit} bytes");
        StepError::lasting(Standard::Communication, detail)
    };
    let stated = response.content_length().unwrap_or(0);
    if stated > limit as u64 {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| failed(outgoing, &url, error))?
    {
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    let status = response.status();
    let mut headers = std::mem::take(response.headers_mut());
    let body = match content_coding::decoded(body, &mut headers, limit) {
        Ok(body) => body,
        // The status says more than a body that cannot be decoded.
        Err(_) if !status.is_success() => Vec::new(),
        Err(Undecodable::TooLarge) => return Err(too_large()),
        Err(Undecodable::Because(reason)) => {
            let detail = format!("the answer of {} {reason}", without_query(url.as_str()));
            return Err(StepError::lasting(Standard::Communication, detail));
        }
    };
    Ok(Answer {
        status,
        headers,
        body,
        url,
    })
}

fn refused(error: &Refused) -> StepError {
    StepError::configuration(error.to_string())
}

/// Returns the error of a request that got no answer. The query of a URI is never shown.
fn failed(outgoing: &Outgoing, url: &Url, error: reqwest::Error) -> StepError {
    let error = error.without_url();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(reason) = inner.downcast_ref::<Refused>() {
            return refused(reason);
        }
        cause = inner.source();
    }
    let detail = format!("{}: {}", without_query(url.as_str()), causes(&error));
    if error.is_builder() {
        return StepError::configuration(detail);
    }
    let again = error.is_connect() || outgoing.is_repeatable();
    let standard = if error.is_timeout() {
        Standard::Timeout
    } else {
        Standard::Communication
    };
    StepError::if_again(again, standard, detail)
}

/// Returns the text of an error and of its causes, each once.
fn causes(error: &reqwest::Error) -> String {
    let mut all = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !all.ends_with(&text) {
            all.push_str(": ");
            all.push_str(&text);
        }
        cause = inner.source();
    }
    all
}
