//! A server that answers what tests ask for, on a port of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get};
use md5::Digest as _;
use serde_json::{Value, json};

/// A server, and what was asked of it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Asked,
}

type Asked = Arc<Mutex<Vec<String>>>;

impl Server {
    pub(crate) async fn start() -> Self {
        let asked = Asked::default();
        let router = Router::new()
            .route("/echo", any(echo))
            .route("/echo/{*rest}", any(echo))
            .route("/text", get(|| async { "plain" }))
            .route("/nothing", get(|| async { StatusCode::NO_CONTENT }))
            .route("/binary", get(|| async { Bytes::from_static(b"\xff\x00") }))
            .route("/broken", get(broken))
            .route("/large", get(|| async { "x".repeat(2 * 1024 * 1024) }))
            .route("/stream", get(stream))
            .route("/coded/{coding}/{kind}", any(coded))
            .route("/never", any(never))
            .route("/status/{code}", any(status))
            .route("/cut", get(cut))
            .route("/bytes", get(bytes))
            .route("/number", get(number))
            .route("/to/{code}", any(to))
            .route("/loop", get(|| async { found("/loop") }))
            .route("/basic", get(basic))
            .route("/digest/{algorithm}", get(digest))
            .route("/pets.json", get(|| async { Json(document()) }))
            .route("/inside.json", get(|| async { Json(inside()) }))
            .with_state(Arc::clone(&asked));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }

    /// A URI of it.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The address as an entry of `--http-allow`.
    pub(crate) fn allowed(&self) -> String {
        self.address.to_string()
    }

    /// The methods and URIs so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// An answer of one content type, coded as one says that it is, or not really.
async fn coded(
    Path((coding, kind)): Path<(String, String)>,
    headers: HeaderMap,
) -> impl IntoResponse {
    use flate2::Compression;
    use std::io::Write as _;
    let accepted = headers.get(header::ACCEPT_ENCODING);
    let accepted = accepted.and_then(|value| value.to_str().ok()).unwrap_or("");
    let (kind, body) = match kind.as_str() {
        "json" => (
            "application/json",
            json!({"accepted": accepted}).to_string(),
        ),
        "document" => ("application/json", document().to_string()),
        "large" => ("text/plain", "x".repeat(2 * 1024 * 1024)),
        "secret" => ("text/plain", "the key is s3cret-value".to_owned()),
        _ => ("text/plain", "some text".to_owned()),
    };
    let status = match kind {
        "text/plain" if body == "some text" && coding == "br" => StatusCode::BAD_GATEWAY,
        _ => StatusCode::OK,
    };
    let body = match coding.as_str() {
        "gzip" | "X-GZIP" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(body.as_bytes()).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(body.as_bytes()).unwrap();
            encoder.finish().unwrap()
        }
        _ => body.into_bytes(),
    };
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_ENCODING, coding),
    ];
    (status, headers, body)
}

/// The request that the server received.
async fn echo(
    State(asked): State<Asked>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Json<Value> {
    asked.lock().unwrap().push(format!("{method} {uri}"));
    let names: Vec<_> = headers.keys().collect();
    let pairs = names.into_iter().map(|name| {
        let values = headers.get_all(name).iter();
        let values: Vec<&str> = values.map(|value| value.to_str().unwrap()).collect();
        (name.as_str().to_owned(), json!(values.join(", ")))
    });
    let headers: Value = pairs.collect();
    Json(json!({
        "method": method.as_str(),
        "path": uri.path(),
        "query": uri.query(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    }))
}

async fn broken() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/problem+json")], "{")
}

/// A large answer whose length is not stated.
async fn stream() -> Response {
    let chunks =
        futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 65536])));
    axum::body::Body::from_stream(chunks).into_response()
}

async fn never() -> &'static str {
    std::future::pending().await
}

async fn status(Path(code): Path<u16>, uri: Uri, headers: HeaderMap) -> Response {
    // A server that says in its error what it was shown.
    let shown = headers.get(header::AUTHORIZATION);
    let shown = shown.map(|value| value.to_str().unwrap().to_owned());
    let mut answer = format!("because {}", shown.unwrap_or_default()).into_response();
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    let after = if uri.query() == Some("long") {
        "61"
    } else {
        "7"
    };
    answer
        .headers_mut()
        .insert(header::RETRY_AFTER, after.parse().unwrap());
    answer
}

fn shown(headers: &HeaderMap) -> &str {
    let shown = headers.get(header::AUTHORIZATION).unwrap();
    shown.to_str().unwrap().split_once(' ').unwrap().1
}

/// An error whose message would be cut in the middle of what was shown.
async fn cut(headers: HeaderMap) -> (StatusCode, String) {
    let (before, shown) = ("x".repeat(293), shown(&headers));
    (StatusCode::BAD_REQUEST, format!("{before}{shown}"))
}

/// The received header within a body that is not text, at an offset that is not a multiple of
/// three bytes.
async fn bytes(headers: HeaderMap) -> Vec<u8> {
    [b"\xff", shown(&headers).as_bytes(), b"\xfe"].concat()
}

async fn number(headers: HeaderMap) -> impl IntoResponse {
    let body = format!("{{\"pin\":{}}}", shown(&headers));
    ([(header::CONTENT_TYPE, "application/json")], body)
}

/// Redirects to `?uri=`.
async fn to(
    State(asked): State<Asked>,
    method: Method,
    Path(code): Path<u16>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    asked.lock().unwrap().push(format!("{method} /to/{code}"));
    let mut answer = found(&query[0].1);
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer
}

fn found(location: &str) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, location.to_owned())]).into_response()
}

async fn basic(headers: HeaderMap) -> StatusCode {
    let right = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    if headers
        .get(header::AUTHORIZATION)
        .is_some_and(|value| value == right)
    {
        StatusCode::OK
    } else {
        StatusCode::UNAUTHORIZED
    }
}

/// Checks a digest of Mufasa's.
async fn digest(Path(algorithm): Path<String>, uri: Uri, headers: HeaderMap) -> Response {
    let authorization = headers.get(header::AUTHORIZATION);
    let authorization = authorization
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let part = |name: &str| {
        let (_, after) = authorization.split_once(&format!("{name}=\""))?;
        Some(after.split('"').next()?.to_owned())
    };
    let hash = |text: String| match algorithm.as_str() {
        "MD5" => hex::encode(md5::Md5::digest(text)),
        _ => hex::encode(sha2::Sha256::digest(text)),
    };
    let cnonce = part("cnonce").unwrap_or_default();
    let user = hash("Mufasa:lions:Circle of Life".to_owned());
    let request = hash(format!("GET:{uri}"));
    let right = hash(format!("{user}:abc:00000001:{cnonce}:auth:{request}"));
    if part("response").as_deref() == Some(&right) && part("username").as_deref() == Some("Mufasa")
    {
        return Json(json!({"authenticated": true})).into_response();
    }
    let challenge =
        format!(r#"Digest realm="lions", nonce="abc", qop="auth", algorithm={algorithm}"#);
    (
        StatusCode::UNAUTHORIZED,
        [(header::WWW_AUTHENTICATE, challenge)],
    )
        .into_response()
}

fn document() -> Value {
    json!({
        "openapi": "3.0.3",
        "servers": [{"url": "/echo"}],
        "paths": {
            "/pets/{id}": {
                "parameters": [{"name": "id", "in": "path", "required": true}],
                "put": {
                    "operationId": "putPet",
                    "parameters": [{"name": "tags", "in": "query"}],
                    "requestBody": {"content": {"application/json": {}}},
                },
                "post": {
                    "operationId": "postPet",
                    "parameters": [{"name": "tags", "in": "query"}],
                    "requestBody": {"content": {"application/json": {}}},
                },
            },
        },
    })
}

/// A document whose server is inside.
fn inside() -> Value {
    json!({
        "openapi": "3.0.3",
        "servers": [{"url": "http://169.254.169.254/latest"}],
        "paths": {"/": {"get": {"operationId": "x"}}},
    })
}
