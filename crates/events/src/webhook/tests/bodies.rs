//! Bodies of verified requests, and the events that they become.

use serde_json::json;

use super::*;
use crate::MAX_BYTES;

#[test]
fn a_body_is_json() {
    for layout in layouts() {
        for (body, part) in [
            ("", "the body is not JSON"),
            ("hello", "the body is not JSON"),
            ("{} {}", "the body is not JSON"),
            (
                r#"{"a":1,"a":2}"#,
                "the body has the key `a` twice in a map",
            ),
            (
                "18446744073709551616",
                "the body has a whole number of more than 64 bits",
            ),
            ("payload", "the body is not JSON"),
        ] {
            let refusal = Request::signed(&layout, SECRET, NOW, body)
                .verified()
                .unwrap_err();
            assert!(matches!(&refusal, Refusal::Body(_)), "{refusal:?}");
            assert!(refusal.to_string().starts_with(part), "{refusal}");
        }
        let bare = Request::signed(&layout, SECRET, NOW, " [1] ")
            .verified()
            .unwrap();
        assert_eq!(bare.body, json!([1]));
    }
}

#[test]
fn a_form_holds_json_for_github_and_slack() {
    let body = "payload=%7B%22a%22%3A+%22b%2Bc%26d%22%7D";
    let read = |layout: &Layout, body: &str| Request::signed(layout, SECRET, NOW, body).verified();
    for layout in layouts() {
        let read = read(&layout, body);
        if matches!(layout, Layout::Github | Layout::Slack) {
            assert_eq!(read.unwrap().body, json!({ "a": "b+c&d" }));
        } else {
            assert!(matches!(read, Err(Refusal::Body(_))), "{read:?}");
        }
    }
    for (body, expected) in [
        (
            "payload={}&payload={}",
            "the body is not a form with one field `payload`",
        ),
        (
            "payload={}&x=1",
            "the body is not a form with one field `payload`",
        ),
        (
            "payload=%zz",
            "the body is not a form with one field `payload`",
        ),
        (
            "payload=%ff",
            "the body has a field `payload` that is not UTF-8",
        ),
    ] {
        let refusal = read(&Layout::Github, body).unwrap_err();
        assert_eq!(refusal.to_string(), expected);
    }
    // The content type is not signed, so it does not make a form of a body that is JSON.
    let body = r#"{"title":"&payload={}&"}"#;
    let request = Request::signed(&Layout::Github, SECRET, NOW, body);
    let request = request.add("content-type", "application/x-www-form-urlencoded");
    assert_eq!(request.verified().unwrap().body["title"], "&payload={}&");
    assert!(read(&Layout::Github, "x=1&payload={}").is_err());
}

#[test]
fn a_challenge_of_slack_is_answered_after_its_verification() {
    let ask = |layout: &Layout, challenge: Value| {
        let body = json!({ "type": "url_verification", "challenge": challenge }).to_string();
        Request::signed(layout, SECRET, NOW, &body)
    };
    let request = ask(&Layout::Slack, json!("3eZbrw1aB"));
    let answer = Ok(Verified::Challenge("3eZbrw1aB".to_owned()));
    assert_eq!(request.verify(&[SECRET], NOW), answer);
    assert_eq!(request.verify(&[OTHER], NOW), Err(Refusal::WrongSignature));
    assert_eq!(
        request.verify(&[SECRET], NOW + 301),
        Err(Refusal::Stale(301))
    );
    assert!(
        ask(&Layout::Slack, json!("x".repeat(1024)))
            .verify(&[SECRET], NOW)
            .is_ok()
    );
    for bad in [
        json!(null),
        json!(1),
        json!(""),
        json!("a\nb"),
        json!("x".repeat(1025)),
    ] {
        let refusal = ask(&Layout::Slack, bad).verify(&[SECRET], NOW).unwrap_err();
        let expected = "the body must have a `challenge` of at most 1024 printable characters";
        assert_eq!(refusal.to_string(), expected);
    }
    for layout in [Layout::Standard, Layout::Github, Layout::Stripe, generic()] {
        assert!(ask(&layout, json!(1)).verified().is_ok());
    }
}

#[test]
fn an_unfit_id_in_a_body_is_replaced_by_the_digest() {
    for (layout, name) in [(Layout::Stripe, "id"), (Layout::Slack, "event_id")] {
        for id in [
            json!(1),
            json!(""),
            json!("a\u{1}"),
            json!("x".repeat(257)),
            json!(null),
        ] {
            let body = json!({ name: id }).to_string();
            let delivery = Request::signed(&layout, SECRET, NOW, &body)
                .verified()
                .unwrap();
            assert_eq!(delivery.id, delivery.digest, "{id}");
        }
        let delivery = Request::signed(&layout, SECRET, NOW, "[]")
            .verified()
            .unwrap();
        assert_eq!(delivery.id, delivery.digest);
    }
}

#[test]
fn a_body_is_within_the_limit() {
    for layout in layouts() {
        let body = format!("\"{}\"", "x".repeat(MAX_BODY - 2));
        let delivery = Request::signed(&layout, SECRET, NOW, &body)
            .verified()
            .unwrap();
        assert_eq!(delivery.body.as_str().map(str::len), Some(MAX_BODY - 2));
        // The event around the body exceeds the limit of events.
        let event = to_event("a", "t", delivery, at(NOW));
        assert!(matches!(event, Err(InvalidEvent::TooLarge(bytes)) if bytes > MAX_BYTES));
        let large = Request::signed(&layout, SECRET, NOW, &format!("{body} "));
        let refusal = large.verified().unwrap_err();
        assert_eq!(refusal, Refusal::TooLarge(1_000_001));
        let expected = "the body has 1000001 bytes, over the limit of 1000000";
        assert_eq!(refusal.to_string(), expected);
    }
}

#[test]
fn a_delivery_becomes_an_event() {
    let request = signed(&Layout::Github).add("x-github-event", "push");
    let delivery = request.verified().unwrap();
    let digest = delivery.digest.clone();
    let event = to_event("my hook", "com.github.push", delivery, at(NOW)).unwrap();
    let expected = json!({
        "specversion": "1.0",
        "id": digest,
        "source": "/webhooks/my%20hook",
        "type": "com.github.push",
        "subject": "push",
        "time": "2023-11-14T22:13:20Z",
        "data": { "id": "evt_1", "event_id": "Ev1", "n": 1 },
    });
    assert_eq!(event.into_json(), expected);
    let event = to_event(
        "a",
        "t",
        signed(&Layout::Stripe).verified().unwrap(),
        at(NOW),
    )
    .unwrap();
    assert_eq!((event.id(), event.subject()), ("evt_1", None));
    let delivery = signed(&Layout::Stripe).verified().unwrap();
    assert!(to_event("a", "", delivery, at(NOW)).is_err());
}

#[test]
fn two_attempts_of_stripe_to_deliver_an_event_have_the_same_data() {
    let first = r#"{"id":"evt_1","pending_webhooks":2,"data":{"pending_webhooks":1}}"#;
    let second = first.replace(":2,", ":1,");
    for layout in layouts() {
        let read = |body: &str| Request::signed(&layout, SECRET, NOW, body).verified();
        let bodies = [read(first).unwrap().body, read(&second).unwrap().body];
        let is_stripe = layout == Layout::Stripe;
        assert_eq!(bodies[0] == bodies[1], is_stripe, "{layout:?}");
        assert_eq!(bodies[0]["data"]["pending_webhooks"], 1);
    }
}
