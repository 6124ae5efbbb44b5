//! A codec in another program, with the protocol of Temporal's codec servers: `POST` of
//! `{"payloads": […]}` to `{endpoint}/encode` and `{endpoint}/decode`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use temporalio_common::protos::temporal::api::common::v1::Payload;
use tokio::time::sleep;

use super::json::PayloadsJson;
use crate::jitter::jittered;
use crate::steps::{SecretError, Source};

/// Maximum time of one try.
const TRY_LIMIT: Duration = Duration::from_secs(5);
/// Maximum number of tries.
const TRIES: u32 = 3;
/// Wait before the second try; the wait doubles with each further try.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Maximum size of an answer, in bytes.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;
/// Header with the name of the namespace, as Temporal's own programs send it.
const NAMESPACE: &str = "x-namespace";

/// An entry of `--codec-auth`: `env:VARIABLE` or `file:/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthSource(Source);

impl FromStr for AuthSource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A codec server.
pub struct RemoteCodec {
    endpoint: Url,
    namespace: HeaderValue,
    auth: Option<AuthSource>,
    client: Client,
}

/// Error of a codec server that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RemoteCodecError {
    /// The address is not one of a codec server.
    #[error("the address cannot be used: {0}")]
    Address(String),
    /// The text of the header cannot be read.
    #[error(transparent)]
    Auth(#[from] SecretError),
    /// The name of the namespace does not fit into a header.
    #[error("the namespace has characters that no header can have")]
    Namespace,
    /// The client cannot be built.
    #[error("no client: {0}")]
    Client(reqwest::Error),
}

/// Failure of a request to a codec server. No message contains a payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RemoteFailure {
    /// The server refuses these payloads; the same request would be refused again.
    #[error("it refuses the payloads with the status {0}")]
    Refused(u16),
    /// The server is not reached, or fails.
    #[error("{0}")]
    Unavailable(String),
    /// The answer is not one of a codec server.
    #[error("its answer cannot be used: {0}")]
    Answer(&'static str),
}

impl RemoteCodec {
    /// A codec server for the payloads of a namespace. The request has the text of `auth` in the
    /// header `Authorization`.
    pub fn new(
        endpoint: &str,
        namespace: &str,
        auth: Option<AuthSource>,
    ) -> Result<Self, RemoteCodecError> {
        // The address may have a password, so no message shows it.
        let bad = |why: &str| RemoteCodecError::Address(why.to_owned());
        let url: Result<Url, _> = endpoint.parse();
        let url = url.map_err(|error| bad(&error.to_string()))?;
        let is_loopback = url.host_str().is_some_and(|host| {
            let ip = host.trim_matches(['[', ']']).parse();
            host == "localhost" || ip.is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        });
        // The payloads are not encrypted on this way.
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback) {
            return Err(bad("it must have https, or http on this machine"));
        }
        if url.query().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it must have no user, password or query"));
        }
        if let Some(AuthSource(source)) = &auth {
            source.read("codec-auth")?;
        }
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .timeout(TRY_LIMIT)
            .user_agent(concat!("almanac/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(RemoteCodecError::Client)?;
        Ok(Self {
            endpoint: url,
            namespace: HeaderValue::from_str(namespace).map_err(|_| RemoteCodecError::Namespace)?,
            auth,
            client,
        })
    }

    pub(super) async fn encode(
        &self,
        payloads: Vec<Payload>,
    ) -> Result<Vec<Payload>, RemoteFailure> {
        self.ask("encode", payloads).await
    }

    pub(super) async fn decode(
        &self,
        payloads: Vec<Payload>,
    ) -> Result<Vec<Payload>, RemoteFailure> {
        self.ask("decode", payloads).await
    }

    async fn ask(&self, verb: &str, payloads: Vec<Payload>) -> Result<Vec<Payload>, RemoteFailure> {
        if payloads.is_empty() {
            return Ok(payloads);
        }
        let body = PayloadsJson::of(&payloads);
        let mut wait = FIRST_WAIT;
        for _ in 1..TRIES {
            match self.attempt(verb, &body).await {
                Err(RemoteFailure::Unavailable(reason)) => {
                    tracing::debug!(reason, "the codec server did not answer; retrying");
                }
                done => return checked(done?, payloads.len()),
            }
            sleep(jittered(wait)).await;
            wait *= 2;
        }
        checked(self.attempt(verb, &body).await?, payloads.len())
    }

    async fn attempt(&self, verb: &str, body: &PayloadsJson) -> Result<Vec<u8>, RemoteFailure> {
        let unavailable = |error: reqwest::Error| RemoteFailure::Unavailable(causes(&error));
        let url = format!("{}/{verb}", self.endpoint.as_str().trim_end_matches('/'));
        let mut request = self
            .client
            .post(url)
            .header(NAMESPACE, self.namespace.clone())
            .json(body);
        if let Some(AuthSource(source)) = &self.auth {
            let secret = source.read("codec-auth");
            let secret = secret.map_err(|error| RemoteFailure::Unavailable(error.to_string()))?;
            let header = HeaderValue::from_str(secret.expose()).map_err(|_| {
                RemoteFailure::Unavailable("--codec-auth does not fit into a header".to_owned())
            })?;
            request = request.header(AUTHORIZATION, header);
        }
        let mut answer = request.send().await.map_err(unavailable)?;
        match answer.status() {
            StatusCode::OK => {}
            // The operator has to act: the payloads themselves are not refused.
            status @ (StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS) => {
                return Err(RemoteFailure::Unavailable(format!(
                    "the status is {status}"
                )));
            }
            status if status.is_client_error() => {
                return Err(RemoteFailure::Refused(status.as_u16()));
            }
            status => {
                return Err(RemoteFailure::Unavailable(format!(
                    "the status is {status}"
                )));
            }
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unavailable)? {
            if bytes.len() + chunk.len() > ANSWER_LIMIT {
                return Err(RemoteFailure::Answer("it is larger than 16 MiB"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// Reads the payloads of an answer, which must be as many as those that were sent.
fn checked(bytes: Vec<u8>, count: usize) -> Result<Vec<Payload>, RemoteFailure> {
    let json: PayloadsJson = serde_json::from_slice(&bytes)
        .map_err(|_| RemoteFailure::Answer("it is not JSON with `payloads`"))?;
    drop(bytes);
    let payloads = json
        .payloads()
        .ok_or(RemoteFailure::Answer("its payloads are not Base64"))?;
    if payloads.len() != count {
        return Err(RemoteFailure::Answer("it has another number of payloads"));
    }
    Ok(payloads)
}

/// The error with its causes, without the address.
fn causes(error: &reqwest::Error) -> String {
    let mut text = "the request failed".to_owned();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

impl fmt::Debug for RemoteCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteCodec({})", self.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::Router;
    use axum::body::Bytes;
    use axum::http::HeaderMap;
    use axum::http::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::payload::encode_json;

    /// A server that answers each request with a status and a body, from the number of the request
    /// and from the request.
    async fn codec(
        answer: impl Fn(u32, HeaderMap, String) -> (u16, String) + Clone + Send + Sync + 'static,
    ) -> (RemoteCodec, Arc<AtomicU32>) {
        let _chosen_before = rustls::crypto::ring::default_provider().install_default();
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let app = Router::new().fallback(move |headers: HeaderMap, body: Bytes| async move {
            let number = count.fetch_add(1, Ordering::Relaxed);
            let body = String::from_utf8_lossy(&body).into_owned();
            let (status, body) = answer(number, headers, body);
            (StatusCode::from_u16(status).unwrap(), body)
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let endpoint = format!("http://{address}/codec/");
        let auth = "env:PATH".parse().unwrap();
        let codec = RemoteCodec::new(&endpoint, "ns", Some(auth)).unwrap();
        (codec, asked)
    }

    fn payloads() -> Vec<Payload> {
        vec![encode_json(&json!(1)), encode_json(&json!("two"))]
    }

    #[tokio::test]
    async fn payloads_are_sent_with_their_namespace_and_the_answer_is_used() {
        let (codec, _) = codec(|_, headers, body| {
            assert_eq!(headers["x-namespace"], "ns");
            assert_eq!(headers["authorization"], std::env::var("PATH").unwrap());
            (200, body)
        })
        .await;
        assert_eq!(codec.encode(payloads()).await, Ok(payloads()));
        assert_eq!(codec.decode(Vec::new()).await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn a_failure_is_tried_again_and_a_refusal_is_not() {
        let (failing, asked) =
            codec(|number, _, body| (if number < 2 { 503 } else { 200 }, body)).await;
        assert_eq!(failing.decode(payloads()).await, Ok(payloads()));
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        for (status, refused) in [
            (400, true),
            (422, true),
            (401, false),
            (404, false),
            (302, false),
        ] {
            let (codec, asked) = codec(move |_, _, body| (status, body)).await;
            let error = codec.decode(payloads()).await.unwrap_err();
            assert_eq!(
                matches!(error, RemoteFailure::Refused(_)),
                refused,
                "{error}"
            );
            let tries = if refused { 1 } else { TRIES };
            assert_eq!(asked.load(Ordering::Relaxed), tries, "{status}");
        }
    }

    #[tokio::test]
    async fn a_hostile_answer_is_an_error() {
        let one = serde_json::to_string(&PayloadsJson::of(&payloads()[..1])).unwrap();
        let large = format!("{{\"payloads\":[],\"x\":\"{}\"}}", "x".repeat(ANSWER_LIMIT));
        for (answer, reason) in [
            (one, "another number of payloads"),
            ("no JSON".to_owned(), "it is not JSON"),
            (r#"{"payloads":[{"data":"?"},{}]}"#.to_owned(), "not Base64"),
            (large, "larger than 16 MiB"),
        ] {
            let (codec, _) = codec(move |_, _, _| (200, answer.clone())).await;
            let error = codec.encode(payloads()).await.unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn payloads_are_sent_over_https_or_to_this_machine_only() {
        let _chosen_before = rustls::crypto::ring::default_provider().install_default();
        let open = |endpoint: &str| RemoteCodec::new(endpoint, "ns", None);
        for good in [
            "https://codec.example/a",
            "http://localhost:1",
            "http://[::1]:1",
        ] {
            assert!(open(good).is_ok(), "{good}");
        }
        for bad in [
            "codec.example",
            "http://codec.example",
            "ftp://localhost",
            "https://u:p@codec.example",
            "https://codec.example/?a=b",
        ] {
            assert!(open(bad).is_err(), "{bad}");
        }
    }
}
