//! `POST /webhooks/{slug}`.

use std::path::Path;

use almanac_activities::webhooks::WebhookSecrets;
use almanac_core::definition::{ParseContext, Parsed, parse_file};
use almanac_core::snapshot::{LoadStatus, LoadedEventType, by_slug};
use almanac_events::webhook::MAX_BODY;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;

use super::*;

const OLD: &str = "an old secret of some length";
const NEW: &str = "a new secret of some length";

/// The event types of the tests. The fake backend decides by the type of an event.
const TYPES: &str = "
kind: event_type
id: started
webhook: { slug: hub, layout: github, secrets: [old, new] }
---
kind: event_type
id: nobody
webhook: { slug: std, layout: standard, secrets: [old] }
---
kind: event_type
id: refusing
type: refused
webhook: { slug: refused, layout: github, secrets: [old] }
---
kind: event_type
id: conflict
webhook: { layout: github, secrets: [old] }
---
kind: event_type
id: failed
webhook: { layout: github, secrets: [old] }
---
kind: event_type
id: away
webhook: { layout: github, secrets: [old] }
---
kind: event_type
id: slack
webhook: { layout: slack, secrets: [old] }
---
kind: event_type
id: none
webhook: { layout: github, secrets: [missing] }
---
kind: event_type
id: half
webhook: { layout: github, secrets: [missing, old] }
---
kind: event_type
id: silent
";

fn snapshot() -> Snapshot {
    let context = ParseContext {
        now: Timestamp::UNIX_EPOCH,
    };
    let documents = parse_file("types.yaml", TYPES.as_bytes(), &context);
    let event_types = documents.into_iter().map(|document| {
        let Ok(Parsed::EventType(event_type)) = document.result else {
            panic!("{:?}", document.result)
        };
        let loaded = LoadedEventType {
            event_type,
            source: "types.yaml".to_owned(),
            status: LoadStatus::Loaded,
        };
        (loaded.event_type.id.clone(), loaded)
    });
    let event_types = event_types.collect();
    Snapshot {
        webhooks: by_slug(&event_types),
        event_types,
        ..Snapshot::default()
    }
}

/// A server with the secrets `old` and `new` in files of a folder.
struct Hooks {
    server: Server,
    folder: tempfile::TempDir,
}

async fn hooks_with(is_loopback: bool, authority: Authority) -> Hooks {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "old", OLD);
    write(folder.path(), "new", NEW);
    let entry = |name: &str| {
        let path = folder.path().join(name);
        format!("{name}=file:{}", path.display()).parse().unwrap()
    };
    let secrets = WebhookSecrets::open(vec![entry("old"), entry("new")]).unwrap();
    let fake = Fake {
        snapshot: snapshot(),
        ..Fake::default()
    };
    let limits = Limits {
        head: Duration::from_mins(1),
        ..Limits::default()
    };
    let wait = Duration::from_secs(20);
    let server = serve_webhooks(fake, wait, is_loopback, authority, limits, secrets).await;
    Hooks { server, folder }
}

async fn hooks() -> Hooks {
    hooks_with(true, Authority::None).await
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

fn tag(secret: &str, text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

/// The header that GitHub signs a body with.
fn github(secret: &str, body: &str) -> String {
    let tag = hex::encode(tag(secret, body));
    format!("x-hub-signature-256: sha256={tag}")
}

/// The headers of Standard Webhooks, signed this number of seconds ago.
fn standard(secret: &str, id: &str, age: i64, body: &str) -> String {
    let time = Timestamp::now().as_second() - age;
    let tag = BASE64_STANDARD.encode(tag(secret, &format!("{id}.{time}.{body}")));
    format!("webhook-id: {id}\r\nwebhook-timestamp: {time}\r\nwebhook-signature: v1,{tag}")
}

fn slack(secret: &str, body: &str) -> String {
    let time = Timestamp::now().as_second();
    let tag = hex::encode(tag(secret, &format!("v0:{time}:{body}")));
    format!("x-slack-request-timestamp: {time}\r\nx-slack-signature: v0={tag}")
}

impl Hooks {
    async fn post(&self, slug: &str, headers: &str, body: &str) -> Answer {
        let length = body.len();
        // The host is that of a tunnel in front of this process.
        let headers = format!("host: tunnel.example\r\ncontent-length: {length}\r\n{headers}");
        let path = format!("/webhooks/{slug}");
        self.server.ask_with("POST", &path, &headers, body).await
    }

    async fn github(&self, slug: &str, body: &str) -> Answer {
        self.post(slug, &github(OLD, body), body).await
    }

    fn deliveries(&self) -> usize {
        self.server.fake.deliveries.lock().unwrap().len()
    }
}

#[tokio::test]
async fn a_signed_request_becomes_an_event_and_the_status_shows_what_followed() {
    let hooks = hooks().await;
    for (slug, status, detail) in [
        ("hub", 202, ""),
        ("refused", 422, "the delivery was refused"),
        ("conflict", 409, "in conflict with a run"),
        ("failed", 503, "cannot be handled now"),
        ("away", 503, "cannot be handled now"),
    ] {
        let answer = hooks.github(slug, r#"{"n":1}"#).await;
        assert_eq!(answer.status, status, "{slug}: {}", answer.body);
        assert!(answer.body.contains(detail), "{slug}: {}", answer.body);
        // Reasons and names are for operators.
        for inner in ["no amount", "other data", "deadline", "capture"] {
            assert!(!answer.body.contains(inner), "{slug}: {}", answer.body);
        }
        if status == 503 {
            assert_eq!(answer.header("retry-after"), "5");
        }
    }
    let body = r#"{"a":"x"}"#;
    let none = hooks
        .post("std", &standard(OLD, "msg_1", 0, body), body)
        .await;
    assert_eq!(none.status, 204, "{}", none.body);

    let hub = hooks.github("hub", r#"{"n":2}"#).await.json();
    let (delivery, event) = hooks.server.fake.deliveries.lock().unwrap()[0].clone();
    assert_eq!(hub, json!({ "delivery": delivery.id }));
    assert_eq!(delivery.via.as_str(), "webhook");
    assert_eq!(delivery.by, "hub");
    assert_eq!(event["source"], "/webhooks/hub");
    assert_eq!(event["type"], "started");
    assert_eq!(event["data"], json!({ "n": 2 }));
    assert_eq!(event["id"].as_str().unwrap().len(), 64, "the digest");
    let list = hooks.server.get("/api/v1/events?limit=1").await.json();
    assert_eq!(list["deliveries"][0]["by"], "hub");
}

#[tokio::test]
async fn a_request_without_a_good_signature_is_refused_and_not_kept() {
    let hooks = hooks().await;
    let body = r#"{"n":1}"#;
    for (slug, headers, reason) in [
        ("hub", "x: y".to_owned(), "`x-hub-signature-256` is missing"),
        (
            "hub",
            github("another secret of some length", body),
            "the signature is wrong",
        ),
        ("hub", github(OLD, "{}"), "the signature is wrong"),
        (
            "hub",
            github(OLD, body).replace("sha256=", "sha1="),
            "has no signature",
        ),
        (
            "hub",
            format!("{0}\r\n{0}", github(OLD, body)),
            "occurs more than once",
        ),
        (
            "std",
            standard(OLD, "msg_1", 301, body),
            "over the limit of 300 s",
        ),
        ("std", standard(OLD, "msg_1", -310, body), "in the future"),
        (
            "std",
            standard(NEW, "msg_1", 0, body),
            "the signature is wrong",
        ),
        ("std", github(OLD, body), "is missing"),
        // Tokens and cookies are no signatures.
        (
            "hub",
            "authorization: Bearer x\r\ncookie: almanac_session=x".to_owned(),
            "is missing",
        ),
    ] {
        let answer = hooks.post(slug, &headers, body).await;
        assert_eq!(answer.status, 401, "{headers}: {}", answer.body);
        assert!(
            answer.problem().contains(reason),
            "{headers}: {}",
            answer.body
        );
        assert!(
            answer
                .header("www-authenticate")
                .starts_with("webhook-signature")
        );
        assert!(
            !answer.head.contains("access-control-allow"),
            "{}",
            answer.head
        );
    }
    assert_eq!(hooks.deliveries(), 0);
}

#[tokio::test]
async fn either_of_two_secrets_is_good_and_a_file_is_read_again() {
    let hooks = hooks().await;
    let body = r#"{"n":1}"#;
    let status = async |secret: &str| {
        let answer = hooks.post("hub", &github(secret, body), body).await;
        answer.status
    };
    assert_eq!(status(OLD).await, 202);
    assert_eq!(status(NEW).await, 202);
    let rotated = "a third secret of some length";
    assert_eq!(status(rotated).await, 401);
    write(hooks.folder.path(), "old", rotated);
    eventually("the new text", async || status(rotated).await == 202).await;
    assert_eq!(status(OLD).await, 401);
    assert_eq!(status(NEW).await, 202);
    // A text that is unfit does not count.
    write(hooks.folder.path(), "new", "short");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(status(NEW).await, 202);
}

#[tokio::test]
async fn a_webhook_without_its_secret_is_not_available() {
    let hooks = hooks().await;
    let body = r#"{"n":1}"#;
    let none = hooks.github("none", body).await;
    assert_eq!(none.status, 503, "{}", none.body);
    assert_eq!(none.header("retry-after"), "5");
    assert!(!none.body.contains("missing"), "{}", none.body);
    // With one of two secrets, a wrong signature may be one of the other secret.
    assert_eq!(hooks.github("half", body).await.status, 204);
    let other = hooks.post("half", &github(NEW, body), body).await;
    assert_eq!(other.status, 503, "{}", other.body);
    let list = hooks.server.get("/api/v1/events").await.json();
    let reason = "is not configured; hint: --webhook-secret NAME=file:/path adds it";
    let expected =
        ["half", "none"].map(|slug| format!("webhook `{slug}`: the secret `missing` {reason}"));
    assert_eq!(list["warnings"], json!(expected));
}

#[tokio::test]
async fn a_second_delivery_has_the_same_id_and_other_data_are_a_conflict() {
    let hooks = hooks().await;
    let (one, two) = (r#"{"n":1}"#, r#"{"n":2}"#);
    let status = async |id: &str, body: &str| {
        let headers = standard(OLD, id, 0, body);
        hooks.post("std", &headers, body).await.status
    };
    assert_eq!(status("msg_1", one).await, 204);
    assert_eq!(status("msg_1", one).await, 204);
    let conflict = hooks
        .post("std", &standard(OLD, "msg_1", 0, two), two)
        .await;
    assert_eq!(conflict.status, 409, "{}", conflict.body);
    assert!(conflict.problem().contains("same id and other data"));
    assert_eq!(status("msg_2", two).await, 204);
    let kept = hooks.server.fake.deliveries.lock().unwrap().clone();
    let ids: Vec<_> = kept.iter().map(|(_, event)| event["id"].clone()).collect();
    assert_eq!(ids, ["msg_2", "msg_1", "msg_1"]);
}

#[tokio::test]
async fn a_body_is_json_within_the_limit() {
    let hooks = hooks().await;
    let large = |size: usize| format!("\"{}\"", "x".repeat(size - 2));
    for (body, status) in [
        ("{".to_owned(), 400),
        (String::new(), 400),
        ("{\"a\":1}{\"a\":2}".to_owned(), 400),
        ("payload=%7B%22a%22%3A1%7D".to_owned(), 202),
        ("payload=%7B&a=b".to_owned(), 400),
        (large(900_000), 202),
        (large(MAX_BODY + 1), 413),
        (large(1024 * 1024 + 1), 413),
    ] {
        let answer = hooks.github("hub", &body).await;
        let start = &body[..body.len().min(20)];
        assert_eq!(answer.status, status, "{start}: {}", answer.body);
    }
    // A request that is not verified says nothing about its body.
    let answer = hooks.post("hub", &github(NEW, "x"), "{").await;
    assert_eq!(answer.status, 401, "{}", answer.body);
    let body = "{}";
    let coded = format!("{}\r\ncontent-encoding: gzip", github(OLD, body));
    assert_eq!(hooks.post("hub", &coded, body).await.status, 415);
    let coded = format!("{}\r\ncontent-encoding: Identity", github(OLD, body));
    assert_eq!(hooks.post("hub", &coded, body).await.status, 202);
    // The type of a body is not signed, and decides nothing.
    let typed = format!("{}\r\ncontent-type: text/html", github(OLD, body));
    assert_eq!(hooks.post("hub", &typed, body).await.status, 202);
}

#[tokio::test]
async fn only_known_slugs_and_post_are_served() {
    let hooks = hooks().await;
    for path in [
        "x",
        "hu%62",
        "Hub",
        "silent",
        "hub%0a",
        "%2e%2e",
        "%1b%5b31m",
    ] {
        let answer = hooks.github(path, "{}").await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
    }
    for path in ["hub/", "hub/x"] {
        assert_eq!(hooks.github(path, "{}").await.status, 403, "{path}");
    }
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        let headers = "host: tunnel.example\r\norigin: https://evil.example\r\n\
                       access-control-request-method: POST";
        let answer = hooks.server.ask(method, "/webhooks/hub", headers).await;
        assert_eq!(answer.status, 405, "{method}");
        assert!(
            !answer.head.contains("access-control-allow"),
            "{}",
            answer.head
        );
    }
    let headers = github(OLD, "{}");
    for (host, status) in [
        ("host: a b", 400),
        ("host: a\r\nhost: b", 400),
        ("x: y", 400),
        // A signature is what counts, and no browser has it.
        (
            "host: a\r\norigin: https://evil.example\r\nsec-fetch-site: cross-site",
            202,
        ),
    ] {
        let headers = format!("{host}\r\ncontent-length: 2\r\n{headers}");
        let answer = hooks
            .server
            .ask_with("POST", "/webhooks/hub", &headers, "{}")
            .await;
        assert_eq!(answer.status, status, "{host}: {}", answer.body);
    }
}

#[tokio::test]
async fn the_challenge_of_slack_is_answered() {
    let hooks = hooks().await;
    let body = r#"{"type":"url_verification","challenge":"<b>3eZbrw1aB"}"#;
    let answer = hooks.post("slack", &slack(OLD, body), body).await;
    assert_eq!((answer.status, &*answer.body), (200, "<b>3eZbrw1aB"));
    assert!(answer.header("content-type").starts_with("text/plain"));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(
        hooks.post("slack", &slack(NEW, body), body).await.status,
        401
    );
    assert_eq!(hooks.deliveries(), 0);
}

#[tokio::test]
async fn webhooks_are_served_beyond_loopback_and_need_no_token() {
    let open = hooks_with(false, Authority::None).await;
    assert_eq!(open.github("hub", "{}").await.status, 202);
    assert_eq!(open.post("hub", "x: y", "{}").await.status, 401);
    assert_eq!(open.server.post("/events").await.status, 404);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    std::fs::write(&file, "0123456789abcdef0123456789abcdef ann\n").unwrap();
    let chosen = crate::args::ChosenAuth::Token(file);
    let authority = Authority::with_refetch(chosen, Duration::ZERO).unwrap();
    let guarded = hooks_with(false, authority).await;
    assert_eq!(guarded.github("hub", "{}").await.status, 202);
    assert_eq!(guarded.post("hub", "x: y", "{}").await.status, 401);
}

#[tokio::test]
async fn guessing_is_bounded_for_each_address() {
    let hooks = hooks().await;
    let body = "{}";
    let wrong = github("another secret of some length", body);
    let mut statuses = Vec::new();
    // More than are forgotten meanwhile.
    for _ in 0..1000 {
        let answer = hooks.post("hub", &wrong, body).await;
        statuses.push(answer.status);
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), "5");
            break;
        }
    }
    let (last, first) = statuses.split_last().unwrap();
    assert_eq!(*last, 429);
    assert!(first.len() >= 100 && first.iter().all(|status| *status == 401));
    // Then a good signature is not noticed either, until failures are forgotten.
    let good = async || hooks.github("hub", body).await.status;
    eventually("a failure to be forgotten", async || good().await == 202).await;
}

#[tokio::test]
async fn bodies_that_do_not_come_give_way_to_signed_requests() {
    let hooks = hooks().await;
    let head = "POST /webhooks/hub HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n";
    let mut slow = Vec::new();
    // As many as one address may have at a time.
    for _ in 0..48 {
        let mut stream = TcpStream::connect(hooks.server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let mut first = slow.remove(0);
    let answer = tokio::spawn(async move {
        let mut answer = String::new();
        first
            .read_to_string(&mut answer)
            .await
            .map(|_length| answer)
    });
    // While all turns are taken, each signed request needs one of them.
    eventually("the first slow request to give way", async || {
        let status = hooks.github("hub", "{}").await.status;
        assert!([202, 429].contains(&status), "{status}");
        status == 202 && answer.is_finished()
    })
    .await;
    let answer = answer.await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("other requests are waiting"), "{answer}");
    assert_eq!(hooks.server.get("/healthz").await.status, 200);
}
