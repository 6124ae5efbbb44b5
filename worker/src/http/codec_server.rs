//! The codec server: decrypts payloads for Temporal's UI and CLI.
//!
//! Its protocol is that of Temporal's codec servers: `POST /decode` and `POST /encode` of
//! `{"payloads": […]}`. A payload that cannot be decrypted is answered as it is, so that the others of
//! the request can be shown.
//!
//! Always holds:
//! - A page gets an answer only if its origin is allowed. Browsers send the origin with each `POST`.
//! - A caller that decodes may read; a caller that encodes may operate (see [`super::auth`]).

use std::sync::Arc;

use almanac_activities::codec::{Codec, PayloadsJson, undecoded_reason, without_internal};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use temporalio_common::data_converters::{PayloadCodec as _, SerializationContextData};
use temporalio_common::protos::temporal::api::common::v1::Payload;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::auth::{self, Authority};
use super::limits::{self, BodyLimit, ConcurrencyLimit};
use super::problem::{self, Problem};
use super::server::{self, Limits};
use super::{cross_site, head};

/// Headers that the Temporal UI sends.
const ALLOWED_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization,content-type,x-namespace");
/// Time in seconds for which a browser remembers the permission.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// Maximum number of payloads in a request. The UI asks for those of a page of a history.
const PAYLOADS_LIMIT: usize = 10_000;
/// Maximum number of requests that are served at a time, and of those of one caller.
const CONCURRENT: usize = 64;
const CONCURRENT_EACH: usize = 48;

/// Origins whose pages may ask.
type AllowedOrigins = Arc<[HeaderValue]>;

/// Serves until `stop`; then until requests in progress are answered.
pub(crate) async fn serve(
    listener: TcpListener,
    codec: Codec,
    origins: Vec<HeaderValue>,
    authority: Authority,
    stop: CancellationToken,
) {
    let app = router(codec, origins, &authority);
    tokio::join!(
        authority.keep(stop.clone()),
        server::serve(listener, app, Limits::of_this_process(), stop.clone())
    );
}

pub(super) fn router(codec: Codec, origins: Vec<HeaderValue>, authority: &Authority) -> Router {
    let origins: AllowedOrigins = origins.into();
    let reading = middleware::from_fn_with_state(authority.clone(), auth::authorize_reading);
    let operating = middleware::from_fn_with_state(authority.clone(), auth::authorize);
    let body = middleware::from_fn_with_state(BodyLimit::PAYLOADS, limits::body);
    let limit = ConcurrencyLimit::new("the codec", CONCURRENT, CONCURRENT_EACH);
    let permit = middleware::from_fn_with_state(Arc::new(limit), limits::concurrency);
    // The last layer is the first to get a request.
    let decode = post(decode).layer(body.clone()).layer(permit.clone());
    let encode = post(encode).layer(body).layer(permit);
    Router::new()
        .route("/decode", decode.layer(reading))
        .route("/encode", encode.layer(operating))
        .fallback(problem::no_such_page)
        .method_not_allowed_fallback(problem::no_such_method)
        // The layers of the routes limit bodies, after the caller's authority is known.
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(origins, share))
        .layer(middleware::from_fn(limits::time))
        .layer(middleware::from_fn(head::check))
        .layer(middleware::from_fn(cross_site::headers))
        .with_state(codec)
}

/// Answers pages of the allowed origins only, and their questions whether they may ask.
async fn share(State(allowed): State<AllowedOrigins>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return next.run(request).await;
    };
    if !allowed.contains(&origin) {
        let shown = origin.to_str().unwrap_or("of the page");
        let detail = format!("the origin {shown} is not among those of --allow-origin");
        return limits::refuse(request, Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let mut response = if request.method() == Method::OPTIONS {
        let allowed = [
            (
                header::ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static("POST"),
            ),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
        ];
        (StatusCode::NO_CONTENT, allowed).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    response
}

async fn decode(
    State(codec): State<Codec>,
    body: Result<Json<PayloadsJson>, JsonRejection>,
) -> Result<Json<PayloadsJson>, Problem> {
    let decoded = codec.decode(&SerializationContextData::None, payloads(body)?);
    let decoded = decoded.await.map_err(|error| failed(&error))?;
    let reasons: Vec<_> = decoded.iter().filter_map(undecoded_reason).collect();
    if let Some(reason) = reasons.last() {
        tracing::warn!(reason, count = reasons.len(), "payloads are not decrypted");
    }
    let decoded: Vec<_> = decoded.into_iter().map(without_internal).collect();
    Ok(Json(PayloadsJson::of(&decoded)))
}

async fn encode(
    State(codec): State<Codec>,
    body: Result<Json<PayloadsJson>, JsonRejection>,
) -> Result<Json<PayloadsJson>, Problem> {
    let encoded = codec.encode(&SerializationContextData::None, payloads(body)?);
    let encoded = encoded.await.map_err(|error| failed(&error))?;
    Ok(Json(PayloadsJson::of(&encoded)))
}

/// The payloads of a request.
fn payloads(body: Result<Json<PayloadsJson>, JsonRejection>) -> Result<Vec<Payload>, Problem> {
    let Json(body) = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let payloads = body.payloads().ok_or_else(not_base64)?;
    if payloads.len() > PAYLOADS_LIMIT {
        let detail = format!("a request has at most {PAYLOADS_LIMIT} payloads");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    Ok(payloads)
}

fn not_base64() -> Problem {
    let detail = "the metadata and data of payloads must be Base64";
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

fn failed(error: &impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use almanac_activities::codec::KeyRing;
    use reqwest::{Method, RequestBuilder};
    use serde_json::{Value, json};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpStream;

    use super::*;
    use crate::args::{AuthArgs, AuthMode};

    const KEYS: &[u8] = b"a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const UI: &str = "https://temporal.example.com";
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    /// A codec server, which ends with the test's runtime.
    async fn server(auth: &AuthArgs) -> impl Fn(Method, &str) -> RequestBuilder + use<> {
        crate::connect::install_tls();
        let ring = Arc::new(KeyRing::parse(KEYS).unwrap());
        let codec = Codec::with_keys(move || Arc::clone(&ring));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let authority = Authority::open(auth).unwrap();
        let origins = vec![HeaderValue::from_static(UI)];
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, codec, origins, authority, stop));
        let client = reqwest::Client::new();
        move |method, path| client.request(method, format!("http://{address}{path}"))
    }

    async fn answer(request: RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    fn plain() -> Value {
        // The encoding `json/plain` and the data `"hush"`.
        let payload = json!({"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "Imh1c2gi"});
        json!({ "payloads": [payload] })
    }

    #[tokio::test]
    async fn payloads_are_encrypted_and_decrypted() {
        let ask = server(&AuthArgs::default()).await;
        let (status, sealed) = answer(ask(Method::POST, "/encode").json(&plain())).await;
        assert_eq!(status, 200, "{sealed}");
        assert!(!sealed.to_string().contains("Imh1c2gi"), "{sealed}");
        let mut both = sealed.clone();
        let mut unknown = sealed["payloads"][0].clone();
        unknown["metadata"]["encryption-key-id"] = json!("Yg==");
        both["payloads"]
            .as_array_mut()
            .unwrap()
            .push(unknown.clone());
        let (status, opened) = answer(ask(Method::POST, "/decode").json(&both)).await;
        assert_eq!(status, 200, "{opened}");
        assert_eq!(opened["payloads"][0], plain()["payloads"][0]);
        // A payload that cannot be decrypted does not hide the others.
        assert_eq!(opened["payloads"][1], unknown);
    }

    #[tokio::test]
    async fn a_request_that_is_none_of_a_codec_is_refused() {
        let ask = server(&AuthArgs::default()).await;
        let bad = json!({"payloads": [{"data": "?"}]});
        assert_eq!(answer(ask(Method::POST, "/decode").json(&bad)).await.0, 400);
        let text = ask(Method::POST, "/decode").body(plain().to_string());
        assert_eq!(answer(text).await.0, 415);
        assert_eq!(answer(ask(Method::GET, "/decode")).await.0, 405);
        let large = "A".repeat(BodyLimit::PAYLOADS.bytes());
        let large = json!({"payloads": [{ "data": large }]});
        assert_eq!(
            answer(ask(Method::POST, "/decode").json(&large)).await.0,
            413
        );
        let many = json!({ "payloads": vec![json!({}); PAYLOADS_LIMIT + 1] });
        assert_eq!(
            answer(ask(Method::POST, "/decode").json(&many)).await.0,
            413
        );
        let fits = "A".repeat(BodyLimit::PAYLOADS.bytes() / 2);
        let fits = json!({"payloads": [{ "data": fits }]});
        assert_eq!(
            answer(ask(Method::POST, "/decode").json(&fits)).await.0,
            200
        );
    }

    /// A caller whose bodies do not arrive leaves room for others, and nothing of further bodies is
    /// read.
    #[tokio::test]
    async fn requests_of_one_caller_at_a_time_are_limited() {
        let ask = server(&AuthArgs::default()).await;
        let request = ask(Method::POST, "/decode").build().unwrap();
        let address = request.url().socket_addrs(|| None).unwrap()[0];
        let without_body = "POST /decode HTTP/1.1\r\nHost: localhost\r\n\
                            Content-Type: application/json\r\nContent-Length: 99\r\n\r\n";
        let mut connections = Vec::new();
        for _ in 0..CONCURRENT_EACH {
            let mut connection = TcpStream::connect(address).await.unwrap();
            connection.write_all(without_body.as_bytes()).await.unwrap();
            connections.push(connection);
        }
        let becomes = async |status: u16| {
            for _ in 0..200 {
                let asked = ask(Method::POST, "/decode").json(&plain());
                if answer(asked).await.0 == status {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            panic!("no {status}");
        };
        becomes(429).await;
        drop(connections);
        becomes(200).await;
    }

    #[tokio::test]
    async fn only_pages_of_an_allowed_origin_are_answered() {
        let ask = server(&AuthArgs::default()).await;
        let from = |origin: &str| ask(Method::POST, "/decode").header("origin", origin);
        let answer = from(UI).json(&plain()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["access-control-allow-origin"], UI);
        for origin in ["https://evil.example", "null"] {
            let answer = from(origin).json(&plain()).send().await.unwrap();
            assert_eq!(answer.status(), 403, "{origin}");
            assert!(!answer.headers().contains_key("access-control-allow-origin"));
        }
        let preflight = ask(Method::OPTIONS, "/decode").header("origin", UI);
        let answer = preflight.send().await.unwrap();
        assert_eq!(answer.status(), 204);
        let allowed = answer.headers()["access-control-allow-headers"].clone();
        assert_eq!(allowed, "authorization,content-type,x-namespace");
    }

    #[tokio::test]
    async fn a_caller_needs_its_scope() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        let operator = TOKEN.replace('0', "x");
        std::fs::write(&file, format!("{TOKEN} ui read\n{operator} cli\n")).unwrap();
        let auth = AuthArgs {
            auth: AuthMode::Token,
            auth_token_file: Some(file),
            ..AuthArgs::default()
        };
        let ask = server(&auth).await;
        let asked = async |path: &str, token: Option<&str>| {
            let request = ask(Method::POST, path).json(&plain());
            let request = token.into_iter().fold(request, RequestBuilder::bearer_auth);
            request.send().await.unwrap().status().as_u16()
        };
        assert_eq!(asked("/decode", None).await, 401);
        // Nothing of a body is read for a caller without authority.
        let large = "A".repeat(BodyLimit::PAYLOADS.bytes() + 1);
        let large = ask(Method::POST, "/decode").body(large).send().await;
        assert_eq!(large.unwrap().status(), 401);
        assert_eq!(asked("/decode", Some("wrong")).await, 401);
        assert_eq!(asked("/decode", Some(TOKEN)).await, 200);
        assert_eq!(asked("/encode", Some(TOKEN)).await, 403);
        assert_eq!(asked("/encode", Some(&operator)).await, 200);
        // A browser asks for the permission without a token.
        let preflight = ask(Method::OPTIONS, "/decode").header("origin", UI);
        assert_eq!(preflight.send().await.unwrap().status(), 204);
    }
}
