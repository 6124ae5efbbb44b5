//! `--auth proxy`: users that a proxy names.

use super::visitor::{Visitor, hidden};
use super::*;
use crate::args::{ChosenAuth, ProxyRules};

/// A server that accepts requests from this network.
async fn server_behind(from: &str) -> Server {
    let rules = ProxyRules {
        from: vec!["10.1.0.0/16".parse().unwrap(), from.parse().unwrap()],
        user: "x-forwarded-user".parse().unwrap(),
        groups: "x-forwarded-groups".parse().unwrap(),
        read: vec!["staff".into()],
        operate: vec!["ops".into(), "on call".into()],
    };
    let authority = Authority::with_refetch(ChosenAuth::Proxy(rules), Duration::ZERO).unwrap();
    let fake = Fake::reporting(Report::default());
    serve_with(fake, Duration::from_secs(20), false, authority).await
}

#[tokio::test]
async fn a_user_may_do_what_a_group_of_the_user_allows() {
    let server = server_behind("127.0.0.1").await;
    for (groups, read, sync) in [
        ("ops", 200, 200),
        ("x, on call ,y", 200, 200),
        ("staff,ops", 200, 200),
        ("staff", 200, 403),
        ("other", 403, 403),
        ("", 403, 403),
        ("Ops", 403, 403),
        ("ops staff", 403, 403),
        ("*", 403, 403),
    ] {
        let headers = format!("host: x\r\nx-forwarded-user: ann\r\nx-forwarded-groups: {groups}");
        let answer = server.ask("GET", "/api/v1/definitions", &headers).await;
        assert_eq!(answer.status, read, "{groups}");
        let answer = server.ask("POST", "/admin/sync", &headers).await;
        assert_eq!(answer.status, sync, "{groups}");
    }
    let without = "host: x\r\nx-forwarded-user: ann";
    let answer = server.ask("GET", "/api/v1/definitions", without).await;
    assert_eq!(answer.status, 403);
    assert_eq!(
        answer.problem(),
        "this request needs the scope `almanac:read`"
    );
}

#[tokio::test]
async fn the_headers_of_any_other_address_count_for_nothing() {
    let server = server_behind("127.0.0.2").await;
    for headers in [
        "x-forwarded-user: ann\r\nx-forwarded-groups: ops",
        "x-forwarded-user: ann\r\nx-forwarded-groups: ops\r\nx-forwarded-for: 127.0.0.2",
        "x-forwarded-user: ann\r\nx-forwarded-groups: ops\r\nx-real-ip: 10.1.0.1\r\n\
         forwarded: for=10.1.0.1",
        "x: y",
    ] {
        let headers = format!("host: x\r\n{headers}");
        for (method, path) in [
            ("GET", "/api/v1/definitions"),
            ("GET", "/test-form"),
            ("GET", "/nothing"),
            ("POST", "/admin/sync"),
        ] {
            let answer = server.ask(method, path, &headers).await;
            assert_eq!(answer.status, 403, "{method} {path} {headers}");
            assert_eq!(
                answer.problem(),
                "only requests of the proxy are served here"
            );
        }
    }
    assert_eq!(server.get("/healthz").await.status, 200);
    let html = "host: x\r\naccept: text/html\r\nx-forwarded-user: ann";
    let answer = server.ask("GET", "/", html).await;
    assert_eq!(answer.status, 403);
    assert!(
        answer
            .body
            .contains("Open the page at the address of the proxy.")
    );
    assert_eq!(server.fake.reloads.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn headers_that_are_doubled_or_hostile_are_refused() {
    let server = server_behind("127.0.0.1").await;
    let long = "x".repeat(129);
    let huge = format!("ops,{}", "x".repeat(16 * 1024));
    for (headers, status) in [
        ("x-forwarded-user: ann\r\nx-forwarded-groups: ops", 200),
        (
            "X-Forwarded-User: \u{e4}nne \u{1f642}\r\nX-FORWARDED-GROUPS: ops",
            200,
        ),
        (
            "x-forwarded-user: ann\r\nx-forwarded-user: root\r\nx-forwarded-groups: ops",
            400,
        ),
        (
            "x-forwarded-user: ann\r\nx-forwarded-groups: x\r\nx-forwarded-groups: ops",
            400,
        ),
        (
            "x-forwarded-user: \r\nx-forwarded-user: root\r\nx-forwarded-groups: ops",
            400,
        ),
        ("x-forwarded-groups: ops", 403),
        ("x-forwarded-user: \r\nx-forwarded-groups: ops", 403),
        ("x-forwarded-user: a\tb\r\nx-forwarded-groups: ops", 403),
        (
            &format!("x-forwarded-user: {long}\r\nx-forwarded-groups: ops"),
            403,
        ),
        (
            &format!("x-forwarded-user: ann\r\nx-forwarded-groups: {huge}"),
            403,
        ),
        (
            "authorization: Bearer x\r\ncookie: __Host-almanac-session=x",
            403,
        ),
        ("x_forwarded_user: ann\r\nx_forwarded_groups: ops", 403),
    ] {
        let headers = format!("host: x\r\n{headers}");
        let answer = server.ask("POST", "/admin/sync", &headers).await;
        assert_eq!(answer.status, status, "{headers} {}", answer.body);
    }
    assert_eq!(server.fake.reloads.load(Ordering::Relaxed), 2);
    // Bytes that are not UTF-8.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = b"POST /admin/sync HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                 x-forwarded-groups: ops\r\nx-forwarded-user: \xff\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[tokio::test]
async fn a_form_belongs_to_the_user_that_the_proxy_names() {
    let server = server_behind("127.0.0.0/8").await;
    let mut visitor = Visitor::new(&server);
    visitor.headers = "x-forwarded-user: ann\r\nx-forwarded-groups: ops".into();
    let page = visitor.get("/test-form").await;
    assert!(
        page.body.starts_with("<p>ann Proxy true</p>"),
        "{}",
        page.body
    );
    let shown = hidden(&page.body);
    let fields = [
        ("form_token", shown[0].1.as_str()),
        ("request_id", &shown[1].1),
        ("reason", "x"),
    ];
    assert_eq!(visitor.send("/test-form", &fields).await.status, 200);
    visitor.headers = "x-forwarded-user: ben\r\nx-forwarded-groups: ops".into();
    assert_eq!(visitor.send("/test-form", &fields).await.status, 403);
    // There is no form to log in with, and nothing leads to one.
    assert_eq!(visitor.get("/login").await.status, 404);
    visitor.headers = "x-forwarded-user: ben".into();
    let page = visitor.get("/test-form").await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains("needs the scope") && !page.body.contains("/login"));
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_through_a_proxy() {
    let server = server_behind("127.0.0.1").await;
    for (site, status) in [
        ("origin: https://evil.example", 403),
        ("origin: null", 403),
        ("sec-fetch-site: cross-site", 403),
        ("sec-fetch-site: same-site", 403),
        (
            "origin: https://almanac.example\r\nsec-fetch-site: same-origin",
            200,
        ),
    ] {
        let headers = format!(
            "host: almanac.example\r\nx-forwarded-user: ann\r\nx-forwarded-groups: ops\r\n{site}"
        );
        let answer = server.ask("POST", "/admin/sync", &headers).await;
        assert_eq!(answer.status, status, "{site}");
    }
}
