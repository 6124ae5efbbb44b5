//! Forms of pages: their tokens, their fields, and the headers of pages.

use maud::html;
use serde::Deserialize;

use super::visitor::{Visitor, hidden};
use super::*;
use crate::http::forms::{Form, FormToken};

/// The fields of the form that the tests send.
#[derive(Debug, Deserialize)]
struct Fields {
    #[serde(default)]
    id: Vec<String>,
    reason: String,
}

/// A page with a form, whose handler answers what was sent.
pub(super) fn pages() -> Router<Arc<Service<Fake>>> {
    let page = |token: FormToken, caller: Extension<Caller>| async move {
        html! {
            p { (caller.name) " " (format!("{:?}", caller.credential)) " " (caller.may_operate()) }
            form method="post" { (token.fields()) }
        }
    };
    let act = |form: Form<Fields>| async move {
        let Form { values, request_id } = form;
        format!("{:?} {} {}", values.id, values.reason, request_id.whole())
    };
    Router::new().route("/test-form", get(page).post(act))
}

const FIELDS: [(&str, &str); 3] = [("id", "a"), ("id", "b"), ("reason", "<not> now")];

#[tokio::test]
async fn a_form_of_a_page_is_read_with_its_request_id() {
    let server = server(Fake::default()).await;
    let mut visitor = Visitor {
        host: "localhost",
        ..Visitor::new(&server)
    };
    let page = visitor.get("/test-form").await;
    assert!(
        page.body.starts_with("<p>http None true</p>"),
        "{}",
        page.body
    );
    let shown = hidden(&page.body);
    let (token, id) = (&shown[0].1, &shown[1].1);
    let own = [("form_token", token.as_str()), ("request_id", id)];
    let answer = visitor
        .send("/test-form", &[&own[..], &FIELDS].concat())
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body, format!("[\"a\", \"b\"] <not> now page-{id}"));
    // The cookie stays, so the forms of pages that were opened before do, too.
    let later = visitor.get("/test-form").await;
    assert!(later.cookies.is_empty(), "{:?}", later.cookies);
    assert_ne!(hidden(&later.body), shown);
    let answer = visitor
        .send("/test-form", &[&own[..], &FIELDS].concat())
        .await;
    assert_eq!(answer.body, format!("[\"a\", \"b\"] <not> now page-{id}"));
}

#[tokio::test]
async fn a_form_without_the_token_of_its_browser_is_refused_and_says_what_to_do() {
    let server = server(Fake::default()).await;
    let local = || Visitor {
        host: "localhost",
        ..Visitor::new(&server)
    };
    let (mut own, mut other) = (local(), local());
    let page = own.get("/test-form").await;
    let theirs = other.get("/test-form").await;
    let id = hidden(&page.body)[1].1.clone();
    let (good, foreign) = (&hidden(&page.body)[0].1, &hidden(&theirs.body)[0].1);
    let half = good.split('.').next().unwrap();
    let zeros = format!("{half}.{}", "0".repeat(64));
    for (token, id, status) in [
        (good.as_str(), id.as_str(), 200),
        (foreign, &id, 403),
        (half, &id, 403),
        (&zeros, &id, 403),
        ("", &id, 403),
        (good, "", 400),
        (good, "ABCDEFABCDEFABCDEFABCDEFABCDEFAB", 400),
        (good, "x", 400),
    ] {
        let fields = [("form_token", token), ("request_id", id), ("reason", "x")];
        let answer = own.send("/test-form", &fields).await;
        assert_eq!(answer.status, status, "{token} {id}");
        assert!(
            status == 200 || answer.body.contains("reload the page"),
            "{}",
            answer.body
        );
    }
    let twice = [
        ("form_token", good.as_str()),
        ("form_token", good),
        ("request_id", &id),
    ];
    assert_eq!(own.send("/test-form", &twice).await.status, 403);
    assert_eq!(own.send("/test-form", &FIELDS).await.status, 403);
    own.cookies.clear();
    let fields = [
        ("form_token", good.as_str()),
        ("request_id", &id),
        ("reason", "x"),
    ];
    let answer = own.send("/test-form", &fields).await;
    assert_eq!(answer.status, 403);
    assert!(
        answer.body.contains("Allow cookies for this page"),
        "{}",
        answer.body
    );
    own.headers = "origin: http://localhost".into();
    let answer = own.send("/test-form", &fields).await;
    assert!(answer.body.contains("only at localhost"), "{}", answer.body);
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    let server = server(Fake::default()).await;
    let mut visitor = Visitor {
        host: "localhost",
        ..Visitor::new(&server)
    };
    for (headers, status) in [
        ("", 200),
        (
            "origin: http://localhost\r\nsec-fetch-site: same-origin",
            200,
        ),
        ("origin: https://evil.example", 403),
        ("origin: null", 403),
        ("origin: http://localhost:3000", 403),
        ("sec-fetch-site: same-site", 403),
        ("sec-fetch-site: cross-site", 403),
    ] {
        let page = visitor.get("/test-form").await;
        let shown = hidden(&page.body);
        visitor.headers = headers.into();
        let fields = [
            ("form_token", shown[0].1.as_str()),
            ("request_id", &shown[1].1),
            ("reason", "x"),
        ];
        let answer = visitor.send("/test-form", &fields).await;
        assert_eq!(answer.status, status, "{headers}");
        visitor.headers.clear();
    }
}

#[tokio::test]
async fn other_bodies_and_fields_that_the_form_does_not_have_are_errors() {
    let server = server(Fake::default()).await;
    let mut visitor = Visitor {
        host: "localhost",
        ..Visitor::new(&server)
    };
    for (fields, status, expected) in [
        (
            &[("other", "<b>")][..],
            422,
            "other: there is no such field",
        ),
        (
            &[("reason", "a"), ("reason", "b")],
            422,
            "reason: given more than once",
        ),
        (&[], 422, "missing field `reason`"),
    ] {
        let answer = visitor.submit("/test-form", "/test-form", fields).await;
        assert_eq!(answer.status, status, "{fields:?}");
        assert!(answer.body.contains(expected), "{}", answer.body);
        assert!(answer.head.contains("content-type: text/html"));
    }
    let long = "x".repeat(70_000);
    let answer = visitor
        .submit("/test-form", "/test-form", &[("reason", &long)])
        .await;
    assert_eq!(answer.status, 413);
    let cookie = &visitor.cookies["almanac-forms"];
    for (kind, status) in [
        ("application/json", 415),
        ("text/plain", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/x-www-form-urlencoded; charset=utf-8", 403),
        ("Application/X-WWW-Form-Urlencoded", 403),
    ] {
        let head = format!(
            "host: localhost\r\ncookie: almanac-forms={cookie}\r\ncontent-type: {kind}\r\n\
             content-length: 2"
        );
        let answer = server.ask_with("POST", "/test-form", &head, "{}").await;
        assert_eq!(answer.status, status, "{kind}");
    }
    for method in ["PUT", "PATCH", "DELETE"] {
        let answer = server.ask(method, "/test-form", "host: localhost").await;
        assert!(
            matches!(answer.status, 403 | 405),
            "{method} {}",
            answer.status
        );
    }
}

#[tokio::test]
async fn pages_load_only_files_of_this_process_and_answers_of_the_api_load_nothing() {
    let server = server(Fake::default()).await;
    let page = server.get("/test-form").await;
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; \
         img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'\r\n",
        "referrer-policy: same-origin\r\n",
        "cache-control: no-store\r\n",
        "x-content-type-options: nosniff\r\n",
        "cross-origin-resource-policy: same-origin\r\n",
        "content-type: text/html; charset=utf-8\r\n",
        "set-cookie: almanac-forms=",
    ] {
        let head = format!("{}\r\n", page.head);
        assert!(head.contains(header), "{header} is not in {head}");
    }
    let answer = server.get("/api/v1/definitions").await;
    for header in [
        "content-security-policy: default-src 'none'; frame-ancestors 'none'",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
    ] {
        assert!(
            answer.head.contains(header),
            "{header} is not in {}",
            answer.head
        );
    }
    assert!(answer.cookies.is_empty());
    assert!(server.get("/healthz").await.cookies.is_empty());
}
