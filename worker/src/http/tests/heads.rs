//! Heads that are too large, or that contradict themselves.

use super::*;

#[tokio::test]
async fn a_head_with_a_repeated_host_origin_or_key_header_is_refused() {
    let server = server(Fake::reporting(Report::default())).await;
    for (headers, name) in [
        ("host: localhost\r\nhost: evil.example", "host"),
        ("host: evil.example\r\nhost: localhost", "host"),
        (
            "host: localhost\r\norigin: http://localhost\r\norigin: http://evil.example",
            "origin",
        ),
        (
            "host: localhost\r\nidempotency-key: a\r\nidempotency-key: b",
            "idempotency-key",
        ),
    ] {
        let answer = server.ask("POST", "/admin/sync", headers).await;
        assert_eq!(answer.status, 400, "{headers}");
        assert_eq!(
            answer.problem(),
            format!("there is more than one `{name}` header")
        );
        assert_eq!(server.ask("GET", "/healthz", headers).await.status, 400);
    }
    assert_eq!(server.fake.reloads.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_head_of_100_kib_is_too_large_whatever_the_parser_takes() {
    let server = server(Fake::default()).await;
    let one = format!("host: localhost\r\nx: {}", "x".repeat(100 * 1024));
    assert_eq!(server.ask("GET", "/healthz", &one).await.status, 431);
    let many = (0..90).map(|n| format!("x-{n}: {}\r\n", "x".repeat(1000)));
    let many = format!("{}host: localhost", many.collect::<String>());
    assert_eq!(server.ask("GET", "/healthz", &many).await.status, 431);
    let long = format!("/healthz?{}", "x".repeat(20_000));
    assert_eq!(server.get(&long).await.status, 414);
    let fits = format!("host: localhost\r\nx: {}", "x".repeat(50 * 1024));
    assert_eq!(server.ask("GET", "/healthz", &fits).await.status, 200);
}

#[tokio::test]
async fn other_forms_of_a_request_are_read_the_same_way() {
    let server = server(Fake::default()).await;
    let list = "/api/v1/definitions";
    let absolute = format!("http://localhost{list}");
    assert_eq!(server.get(&absolute).await.status, 200);
    let other = format!("http://evil.example{list}");
    assert_eq!(server.get(&other).await.status, 403);
    let user = format!("http://a@localhost{list}");
    assert_eq!(server.get(&user).await.status, 403);
    assert_eq!(
        server.ask("GET", list, "host: a@localhost").await.status,
        400
    );
    assert_eq!(server.ask("GET", list, "accept: */*").await.status, 400);
}
