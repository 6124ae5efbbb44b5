//! Large bodies and slow clients.

use axum::body::Body;
use axum::extract::Request;
use futures::stream;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::time::{Instant, timeout};

use super::*;

const HUGE: usize = 100_000_000;

/// Sends a whole request before it reads a word of the answer.
async fn answer_to(server: &Server, head: &str, body: impl Iterator<Item = Vec<u8>>) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    for part in body {
        stream.write_all(&part).await.unwrap();
    }
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

fn is_too_large(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 413 ")
        && answer.contains("content-type: application/problem+json")
        && answer.contains("the body is larger than 65536 bytes")
}

#[tokio::test]
async fn a_body_of_100_mb_is_too_large_and_the_client_hears_so() {
    let server = server(Fake::default()).await;
    let parts = || std::iter::repeat_n(vec![b'x'; 1_000_000], HUGE / 1_000_000);
    let stated =
        format!("POST /admin/sync HTTP/1.1\r\nhost: localhost\r\ncontent-length: {HUGE}\r\n\r\n");
    let answer = answer_to(&server, &stated, parts()).await;
    assert!(is_too_large(&answer), "{answer}");

    let chunked =
        "POST /admin/sync HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks = parts().map(|part| {
        let mut chunk = format!("{:x}\r\n", part.len()).into_bytes();
        chunk.extend(part);
        chunk.extend(b"\r\n");
        chunk
    });
    let answer = answer_to(&server, chunked, chunks.chain([b"0\r\n\r\n".to_vec()])).await;
    assert!(is_too_large(&answer), "{answer}");
    assert_eq!(server.fake.reloads.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_not_to() {
    let server = server(Fake::default()).await;
    let head = format!(
        "POST /admin/sync HTTP/1.1\r\nhost: localhost\r\ncontent-length: {HUGE}\r\n\
         expect: 100-continue\r\n\r\n"
    );
    let answer = answer_to(&server, &head, std::iter::empty()).await;
    assert!(is_too_large(&answer), "{answer}");
}

#[tokio::test]
async fn a_body_within_the_limit_does_no_harm() {
    let server = server(Fake::reporting(Report::default())).await;
    let head = "POST /admin/sync HTTP/1.1\r\nhost: localhost\r\ncontent-length: 65536\r\n\r\n";
    let answer = answer_to(&server, head, [vec![b'x'; 65536]].into_iter()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_head_without_end_is_too_large() {
    let server = server(Fake::default()).await;
    let head = format!("GET /healthz HTTP/1.1\r\nx: {}", "x".repeat(135_000));
    let answer = answer_to(&server, &head, std::iter::empty()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_not_waited_for() {
    let app =
        Router::new()
            .route("/", post(async || "handled"))
            .layer(middleware::from_fn_with_state(
                BodyLimit::USUAL,
                limits::body,
            ));
    let body = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = Request::post("/").body(body).unwrap();
    let started = Instant::now();
    let answer = TowerToHyperService::new(app).call(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(started.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_not_waited_for() {
    let app = Router::new()
        .route("/", get(std::future::pending::<&'static str>))
        .layer(middleware::from_fn(limits::time));
    let request = Request::get("/").body(Body::empty()).unwrap();
    let answer = TowerToHyperService::new(app).call(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_client_that_sends_a_byte_now_and_then_is_cut_off() {
    let limits = Limits {
        head: Duration::from_secs(1),
        ..Limits::default()
    };
    let wait = Duration::from_secs(20);
    let server = serve_within(Fake::default(), wait, true, Authority::None, limits).await;
    let slow = async {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: ";
        for byte in head.iter().chain(std::iter::repeat(&b'x')) {
            // Whichever comes first: that nothing can be sent, or the end.
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            let mut answer = [0; 64];
            let read = timeout(Duration::from_millis(50), stream.read(&mut answer)).await;
            if let Ok(Ok(0) | Err(_)) = read {
                break;
            }
        }
    };
    timeout(SOON, slow).await.unwrap();
}

#[tokio::test]
async fn clients_that_say_nothing_do_not_keep_others_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut limits = Limits {
        head: Duration::from_mins(1),
        ..Limits::default()
    };
    (limits.room.open, limits.room.share) = (2, 2);
    let (app, stop) = (
        Router::new().route("/", get(async || "here")),
        CancellationToken::new(),
    );
    let serving = tokio::spawn(server::serve(listener, app, limits, stop.clone()));
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let asked = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = timeout(SOON, asked).await.unwrap();
    assert!(answer.ends_with("here"), "{answer}");
    stop.cancel();
    timeout(SOON, serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_does_not_live_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits {
        life: Duration::from_millis(200),
        ..Limits::default()
    };
    let app = Router::new().route("/", get(async || "here"));
    let stop = CancellationToken::new();
    tokio::spawn(server::serve(listener, app, limits, stop.clone()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    timeout(SOON, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.ends_with("here"), "{answer}");
    stop.cancel();
}

#[tokio::test]
async fn every_answer_says_that_nobody_else_may_use_it() {
    let server = server(Fake::default()).await;
    for path in ["/healthz", "/api/v1/definitions", "/nothing"] {
        let head = server.get(path).await.head;
        for header in [
            "cache-control: no-store",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-resource-policy: same-origin",
            "content-security-policy: default-src 'none'; frame-ancestors 'none'",
        ] {
            assert!(head.contains(header), "{path}: {head}");
        }
    }
}
