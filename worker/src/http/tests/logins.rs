//! Logins of people, and their sessions.

use super::issuer::{AUDIENCE, ISSUER, RSA_PUBLIC, Signer, but, claims, from_now};
use super::visitor::{Visitor, hidden};
use super::*;
use crate::args::{ChosenAuth, JwtRules, KeyPlace};

const OPERATOR: &str = "operator-aaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const READER: &str = "reader-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const SESSION: &str = "__Host-almanac-session";
const FORMS: &str = "__Host-almanac-forms";

async fn server_of(chosen: ChosenAuth) -> Server {
    let authority = Authority::with_refetch(chosen, Duration::ZERO).unwrap();
    let fake = Fake::reporting(Report::default());
    serve_with(fake, Duration::from_secs(20), false, authority).await
}

async fn server_with(file: &tempfile::NamedTempFile) -> Server {
    server_of(ChosenAuth::Token(file.path().to_owned())).await
}

fn token_file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, text).unwrap();
    file
}

fn both() -> tempfile::NamedTempFile {
    token_file(&format!("{OPERATOR} ann\n{READER} ci read\n"))
}

async fn jwt_server() -> Server {
    server_of(ChosenAuth::Jwt(JwtRules {
        keys: KeyPlace::Pem(RSA_PUBLIC.into()),
        algorithms: vec![jsonwebtoken::Algorithm::RS256],
        issuer: ISSUER.into(),
        audience: AUDIENCE.into(),
    }))
    .await
}

/// Returns the address to which a response redirects the browser.
fn place(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{}", answer.body);
    let place = answer
        .head
        .lines()
        .find_map(|line| line.strip_prefix("location: "));
    place.unwrap()
}

#[tokio::test]
async fn a_person_logs_in_acts_and_logs_out() {
    let file = both();
    let server = server_with(&file).await;
    let mut visitor = Visitor::new(&server);
    let answer = visitor.get("/test-form?q=a%20b&x").await;
    let login = place(&answer).to_owned();
    assert_eq!(login, "/login?next=%2ftest-form%3fq%3da%2520b%26x");
    assert!(answer.body.is_empty());

    let form = visitor.get(&login).await;
    assert_eq!(form.status, 200);
    assert!(
        form.body
            .contains("name=\"next\" value=\"/test-form?q=a%20b&amp;x\""),
        "{}",
        form.body
    );
    let fields = [("token", OPERATOR), ("next", "/test-form?q=a%20b&x")];
    let answer = visitor.submit(&login, "/login", &fields).await;
    assert_eq!(place(&answer), "/test-form?q=a%20b&x");
    let session = visitor.cookies[SESSION].clone();
    assert!(
        session.starts_with("v1.") && !session.contains("aaaa"),
        "{session}"
    );
    assert!(answer.cookies[0].ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure"));

    let page = visitor.get("/test-form").await;
    assert!(
        page.body.starts_with("<p>ann Session true</p>"),
        "{}",
        page.body
    );
    assert_eq!(place(&visitor.get(&login).await), "/test-form?q=a%20b&x");
    let answer = visitor
        .submit("/test-form", "/test-form", &[("reason", "x")])
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);

    let answer = visitor.submit("/test-form", "/logout", &[]).await;
    assert_eq!(place(&answer), "/login");
    assert!(!visitor.cookies.contains_key(SESSION));
    assert_eq!(visitor.get("/test-form").await.status, 303);
}

#[tokio::test]
async fn a_wrong_token_and_a_forged_form_log_nobody_in() {
    let file = both();
    let server = server_with(&file).await;
    let mut visitor = Visitor::new(&server);
    let wrong = format!("{OPERATOR}<b>");
    let answer = visitor
        .submit("/login", "/login", &[("token", &wrong), ("next", "/x")])
        .await;
    assert_eq!(answer.status, 401);
    assert!(
        answer.body.contains("the token is unknown"),
        "{}",
        answer.body
    );
    assert!(
        answer.body.contains("name=\"next\" value=\"/x\""),
        "{}",
        answer.body
    );
    assert!(!answer.body.contains("aaaa"), "{}", answer.body);
    assert!(!visitor.cookies.contains_key(SESSION));

    let fields = [("token", OPERATOR), ("next", "/")];
    assert_eq!(visitor.send("/login", &fields).await.status, 403);
    visitor.headers = "sec-fetch-site: cross-site".into();
    let page = visitor.get("/healthz").await;
    assert_eq!(page.status, 200);
    assert_eq!(visitor.send("/login", &fields).await.status, 403);
    visitor.headers.clear();
    let answer = visitor
        .submit("/login", "/login", &[("token", OPERATOR), ("x", "")])
        .await;
    assert_eq!(answer.status, 422);
    assert!(!visitor.cookies.contains_key(SESSION));
    // Logging out needs a form of a page, too.
    visitor.log_in(OPERATOR).await;
    assert_eq!(visitor.send("/logout", &[]).await.status, 403);
    assert!(visitor.cookies.contains_key(SESSION));
}

#[tokio::test]
async fn every_worker_accepts_a_session_and_the_forms_of_its_pages() {
    let file = both();
    let (first, second) = (server_with(&file).await, server_with(&file).await);
    let mut visitor = Visitor::new(&first);
    visitor.log_in(OPERATOR).await;
    let page = visitor.get("/test-form").await;
    let shown = hidden(&page.body);
    let fields = [
        ("form_token", shown[0].1.as_str()),
        ("request_id", &shown[1].1),
        ("reason", "x"),
    ];
    let mut there = visitor.at(&second);
    let answer = there.send("/test-form", &fields).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(
        there
            .get("/test-form")
            .await
            .body
            .contains("ann Session true")
    );
    // The forms of a page belong to the session in which the page was opened.
    let mut other = visitor.at(&second);
    other.log_in(READER).await;
    assert_eq!(other.send("/test-form", &fields).await.status, 403);
}

#[tokio::test]
async fn a_session_ends_when_its_token_leaves_the_file_and_its_scope_follows_the_file() {
    let file = both();
    let server = server_with(&file).await;
    let mut visitor = Visitor::new(&server);
    visitor.log_in(OPERATOR).await;
    std::fs::write(&file, format!("{OPERATOR} ann read")).unwrap();
    eventually("the scope to be less", async || {
        let body = visitor.at(&server).get("/test-form").await.body;
        body.contains("ann Session false")
    })
    .await;
    std::fs::write(&file, format!("{READER} ci read")).unwrap();
    eventually("the session to end", async || {
        visitor.at(&server).get("/test-form").await.status == 303
    })
    .await;
    let page = visitor.get("/login").await;
    assert!(
        page.body.contains("Your session has ended."),
        "{}",
        page.body
    );
    let api = format!("host: x\r\ncookie: {SESSION}={}", visitor.cookies[SESSION]);
    let answer = server.ask("GET", "/api/v1/definitions", &api).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.problem(), "the session has ended");
}

#[tokio::test]
async fn a_session_that_nobody_began_or_that_is_over_is_not_accepted() {
    let file = both();
    let server = server_with(&file).await;
    let mut visitor = Visitor::new(&server);
    visitor.log_in(READER).await;
    let reader = visitor.cookies[SESSION].clone();
    visitor.log_in(OPERATOR).await;
    let good = visitor.cookies[SESSION].clone();
    let parts: Vec<_> = good.split('.').collect();
    let of_reader: Vec<_> = reader.split('.').collect();
    let later = parts[1].parse::<u64>().unwrap() + 1;
    for bad in [
        format!("v1.{later}.{}.{}", parts[2], parts[3]),
        format!("v1.{}.{}.{}", parts[1], parts[2], of_reader[3]),
        format!("v1.{}.{}.{}", parts[1], of_reader[2], parts[3]),
        format!("v1.0.{}.{}", parts[2], parts[3]),
        OPERATOR.to_owned(),
        "x".repeat(3000),
        "%00".to_owned(),
    ] {
        visitor.cookies.insert(SESSION.into(), bad.clone());
        assert_eq!(visitor.get("/test-form").await.status, 303, "{bad}");
    }
    visitor.cookies.insert(SESSION.into(), good.clone());
    assert_eq!(visitor.get("/test-form").await.status, 200);
    // A cookie that another host of the domain could have set.
    visitor.cookies.remove(SESSION);
    visitor.cookies.insert("almanac-session".into(), good);
    assert_eq!(visitor.get("/test-form").await.status, 303);
}

#[tokio::test]
async fn a_session_that_may_read_sees_pages_and_changes_nothing() {
    let file = both();
    let server = server_with(&file).await;
    let mut visitor = Visitor::new(&server);
    visitor.log_in(READER).await;
    let page = visitor.get("/test-form").await;
    assert!(
        page.body.starts_with("<p>ci Session false</p>"),
        "{}",
        page.body
    );
    let answer = visitor
        .submit("/test-form", "/test-form", &[("reason", "x")])
        .await;
    assert_eq!(answer.status, 403);
    assert!(answer.head.contains("content-type: text/html"));
    assert!(
        answer.body.contains("needs the scope `almanac:operate`"),
        "{}",
        answer.body
    );
    let answer = visitor.submit("/test-form", "/logout", &[]).await;
    assert_eq!(place(&answer), "/login");
}

#[tokio::test]
async fn a_form_that_is_sent_after_the_session_has_ended_leads_to_the_login() {
    let file = both();
    let server = server_with(&file).await;
    let mut visitor = Visitor::new(&server);
    visitor.log_in(OPERATOR).await;
    let shown = hidden(&visitor.get("/test-form").await.body);
    visitor.cookies.remove(SESSION);
    let fields = [("form_token", shown[0].1.as_str()), ("reason", "x")];
    let answer = visitor.send("/test-form", &fields).await;
    assert_eq!(answer.status, 401);
    assert!(
        answer.body.contains("you have not logged in"),
        "{}",
        answer.body
    );
    assert!(
        answer.body.contains("href=\"/login?next=%2F\""),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn a_session_reads_the_api_for_its_own_pages_and_writes_nothing_there() {
    let file = both();
    let server = server_with(&file).await;
    let mut visitor = Visitor::new(&server);
    visitor.log_in(OPERATOR).await;
    let cookie = format!("{SESSION}={}", visitor.cookies[SESSION]);
    let bearer = format!("authorization: Bearer {OPERATOR}");
    let wrong = format!("authorization: Bearer {OPERATOR}x");
    let basic = "authorization: Basic eDp5";
    for (method, path, more, status) in [
        ("GET", "/api/v1/definitions", "x: y", 200),
        (
            "GET",
            "/api/v1/definitions",
            "sec-fetch-site: same-origin",
            200,
        ),
        ("GET", "/api/v1/definitions", "sec-fetch-site: none", 200),
        (
            "GET",
            "/api/v1/definitions",
            "sec-fetch-site: same-site",
            403,
        ),
        (
            "GET",
            "/api/v1/definitions",
            "sec-fetch-site: cross-site",
            403,
        ),
        ("GET", "/api/v1/definitions", basic, 200),
        ("POST", "/admin/sync", "x: y", 403),
        ("POST", "/admin/sync", "sec-fetch-site: same-origin", 403),
        ("POST", "/api/v1/schedules/job-1/trigger", "x: y", 403),
        ("POST", "/admin/sync", &bearer, 200),
        // A token decides alone.
        ("GET", "/api/v1/definitions", &wrong, 401),
        ("GET", "/test-form", &wrong, 401),
        ("GET", "/test-form", &bearer, 200),
    ] {
        let headers = format!("host: x\r\ncookie: {cookie}\r\n{more}");
        let answer = server.ask(method, path, &headers).await;
        assert_eq!(
            answer.status, status,
            "{method} {path} {more} {}",
            answer.body
        );
        assert!(!answer.head.contains("set-cookie: __host-almanac-session"));
    }
    assert_eq!(server.fake.reloads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn only_browsers_that_ask_for_a_page_are_sent_to_the_login() {
    let file = both();
    let server = server_with(&file).await;
    let html = "host: x\r\naccept: text/html,application/xhtml+xml,*/*;q=0.8";
    for (method, path, headers, status) in [
        ("GET", "/", html, 303),
        ("HEAD", "/", html, 303),
        ("GET", "/nothing", html, 303),
        ("GET", "/apis", html, 303),
        ("GET", "/api", html, 401),
        ("GET", "/api/v1/definitions", html, 401),
        ("GET", "/admin/sync", html, 401),
        ("POST", "/", html, 401),
        ("GET", "/", "host: x\r\naccept: */*", 401),
        ("GET", "/", "host: x\r\naccept: text/event-stream", 401),
        ("GET", "/", "host: x", 401),
    ] {
        let answer = server.ask(method, path, headers).await;
        assert_eq!(answer.status, status, "{method} {path} {headers}");
    }
    let none = serve_fake(Fake::default(), Duration::ZERO, true).await;
    let html = "host: localhost\r\naccept: text/html";
    assert_eq!(none.ask("GET", "/test-form", html).await.status, 200);
    assert_eq!(none.ask("GET", "/login", html).await.status, 404);
}

#[tokio::test]
async fn a_login_leads_to_no_other_site() {
    let file = both();
    let server = server_with(&file).await;
    for (next, expected) in [
        ("/plan?a=b#c", "/plan?a=b#c"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\r\nset-cookie: a=b", "/"),
        ("/\t/evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ] {
        let mut visitor = Visitor::new(&server);
        let fields = [("token", OPERATOR), ("next", next)];
        let answer = visitor.submit("/login", "/login", &fields).await;
        assert_eq!(place(&answer), expected, "{next:?}");
        assert_eq!(answer.cookies.len(), 1);
        // A person who has logged in already is sent on.
        let form = format!("/login?next={}", almanac_base::percent::encode(next));
        assert_eq!(place(&visitor.get(&form).await), expected, "{next:?}");
    }
    let absolute = "host: x\r\naccept: text/html";
    let answer = server
        .ask("GET", "http://evil.example//evil.example/a", absolute)
        .await;
    assert_eq!(place(&answer), "/login?next=%2f");
}

#[tokio::test]
async fn a_link_of_another_site_opens_its_page_although_the_browser_keeps_the_session_back() {
    let file = both();
    let server = server_with(&file).await;
    let mut visitor = Visitor::new(&server);
    visitor.log_in(OPERATOR).await;
    let session = visitor.cookies.remove(SESSION).unwrap();
    visitor.headers = "sec-fetch-site: cross-site".into();
    let login = place(&visitor.get("/test-form?a=b&c").await).to_owned();
    let page = visitor.get(&login).await;
    assert_eq!(page.status, 200);
    assert!(
        page.body.contains("content=\"0;url=/test-form?a=b&amp;c\""),
        "{}",
        page.body
    );
    // The page opens the link itself, and the browser sends the session.
    visitor.headers = "sec-fetch-site: same-origin".into();
    visitor.cookies.insert(SESSION.into(), session);
    assert_eq!(visitor.get("/test-form?a=b&c").await.status, 200);
    // Without a session, that ends at the form.
    visitor.cookies.remove(SESSION);
    let login = place(&visitor.get("/test-form").await).to_owned();
    assert!(visitor.get(&login).await.body.contains("type=\"password\""));
}

#[tokio::test]
async fn at_localhost_cookies_need_no_tls() {
    let file = both();
    let server = server_with(&file).await;
    let mut visitor = Visitor {
        host: "localhost",
        ..Visitor::new(&server)
    };
    visitor.headers = "origin: http://localhost".into();
    visitor.log_in(OPERATOR).await;
    let names: Vec<_> = visitor.cookies.keys().map(String::as_str).collect();
    assert_eq!(names, ["almanac-forms", "almanac-session"]);
    assert_eq!(visitor.get("/test-form").await.status, 200);
}

#[tokio::test]
async fn failed_logins_are_limited_and_logged_without_the_token() {
    let file = both();
    let (lines, _guard) = super::tokens::log();
    let server = server_with(&file).await;
    let mut visitor = Visitor::new(&server);
    let shown = hidden(&visitor.get("/login").await.body);
    let mut login = async |token: &str| {
        let fields = [
            ("form_token", shown[0].1.as_str()),
            ("request_id", &shown[1].1),
            ("token", token),
        ];
        visitor.send("/login", &fields).await
    };
    let wrong = format!("{OPERATOR}x");
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(login(&wrong).await);
    }
    let refused = |answer: &&Answer| answer.status == 429;
    let limited: Vec<_> = answers.iter().filter(refused).collect();
    assert!(
        !limited.is_empty() && limited.len() <= 10,
        "{}",
        limited.len()
    );
    assert!(
        limited[0].head.contains("retry-after: "),
        "{}",
        limited[0].head
    );
    assert_eq!(answers[0].status, 401);
    let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
    assert!(
        lines.contains("WARN") && lines.contains("login failed"),
        "{lines}"
    );
    assert!(lines.contains("peer=127.0.0.1"), "{lines}");
    assert!(!lines.contains("operator-"), "{lines}");
    // What programs ask for with a token is served as before.
    assert_eq!(server.reading(OPERATOR).await, 200);
}

#[tokio::test]
async fn a_signed_token_is_a_session_until_it_expires() {
    let (server, signer) = (jwt_server().await, Signer::rsa());
    let mut visitor = Visitor::new(&server);
    let token = signer.token(None, &claims());
    visitor.log_in(&format!(" {token}\n")).await;
    assert_eq!(visitor.cookies[SESSION], token);
    assert!(visitor.cookies.contains_key(FORMS));
    let page = visitor.get("/test-form").await;
    assert!(
        page.body.starts_with("<p>ann Session true</p>"),
        "{}",
        page.body
    );
    let answer = visitor
        .submit("/test-form", "/test-form", &[("reason", "x")])
        .await;
    assert_eq!(answer.status, 200);

    let expired = signer.token(None, &but("exp", json!(from_now(-70))));
    visitor.cookies.insert(SESSION.into(), expired);
    assert_eq!(visitor.get("/test-form").await.status, 303);
    let other = Signer::ec().token_with(&json!({ "alg": "RS256" }), &claims());
    visitor.cookies.insert(SESSION.into(), other);
    assert_eq!(visitor.get("/test-form").await.status, 303);
}

#[tokio::test]
async fn a_signed_token_that_cannot_be_a_session_is_refused_with_the_reason() {
    let (server, signer) = (jwt_server().await, Signer::rsa());
    for (claims, status, expected) in [
        (
            but("exp", json!(from_now(-70))),
            401,
            "the token has expired",
        ),
        (
            but("scope", json!("openid")),
            403,
            "needs the scope `almanac:read`",
        ),
        (
            but("groups", json!("x".repeat(4000))),
            422,
            "the token is longer than 3800 bytes, and does not fit into a cookie",
        ),
    ] {
        let mut visitor = Visitor::new(&server);
        let token = signer.token(None, &claims);
        let answer = visitor
            .submit("/login", "/login", &[("token", &token)])
            .await;
        assert_eq!(answer.status, status);
        assert!(answer.body.contains(expected), "{}", answer.body);
        assert!(!visitor.cookies.contains_key(SESSION));
    }
}

#[tokio::test]
async fn an_open_page_is_told_of_changes_until_its_session_ends() {
    let file = both();
    let server = server_with(&file).await;
    let mut visitor = Visitor::new(&server);
    visitor.log_in(OPERATOR).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let session = &visitor.cookies[SESSION];
    let head = format!(
        "GET /live HTTP/1.1\r\nhost: almanac.example\r\ncookie: {SESSION}={session}\r\n\
         accept: text/event-stream\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut begin = [0; 15];
    stream.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    std::fs::write(&file, format!("{READER} ci read")).unwrap();
    // A chunked answer ends with an empty chunk; the connection stays.
    let mut rest = Vec::new();
    let ended = async {
        while !rest.ends_with(b"\r\n0\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut rest).await.unwrap(), 0);
        }
    };
    tokio::time::timeout(SOON, ended).await.unwrap();
}

#[tokio::test]
async fn everyone_may_choose_colors() {
    let file = both();
    let server = server_with(&file).await;
    let mut visitor = Visitor::new(&server);
    let fields = [("theme", "dark"), ("back", "/login")];
    let answer = visitor.submit("/login", "/theme", &fields).await;
    assert_eq!(place(&answer), "/login");
    let page = visitor.get("/login").await.body;
    assert!(page.contains("data-theme=\"dark\""), "{page}");
    visitor.log_in(READER).await;
    let answer = visitor.submit("/test-form", "/theme", &fields).await;
    assert_eq!(place(&answer), "/login");
    assert_eq!(visitor.send("/theme", &fields).await.status, 403);
}
