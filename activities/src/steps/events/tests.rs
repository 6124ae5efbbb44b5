use serde_json::json;

use super::*;

fn message(event: &Value) -> Result<Message, String> {
    Message::of(event, &Subject::default()).map_err(|error| error.fault.to_string())
}

#[test]
fn an_event_is_sent_as_it_is_to_the_subject_of_its_type() {
    let event = json!({ "specversion": "1.0", "id": "x y", "source": "/shop", "type": "com.shop.paid", "data": 1 });
    let message = message(&event).unwrap();
    assert_eq!(message.subject, "events.com.shop.paid");
    assert_eq!(message.id, "/shop x y");
    let body: Value = serde_json::from_slice(&message.body).unwrap();
    assert_eq!(body, event);
}

#[test]
fn events_that_have_no_subject_or_no_identity_are_refused() {
    let good = json!({ "id": "1", "source": "/shop", "type": "paid" });
    assert!(message(&good).is_ok());
    for (key, value, said) in [
        ("type", json!("a b"), "`type`: `a b` is no subject"),
        ("type", json!("a.*"), "is no subject"),
        ("id", json!(""), "`id` must be text"),
        ("id", json!("a\nNats-Expected-Stream: x"), "on one line"),
        ("source", json!("a b"), "without spaces"),
        ("source", json!(null), "`source` must be text"),
    ] {
        let mut event = good.clone();
        event[key] = value;
        let error = message(&event).map(|_| ()).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}

/// Nobody listens there: the error may pass, and shows no credentials.
#[tokio::test]
async fn nats_that_is_away_may_come_back() {
    let url: NatsUrl = "nats://user:canary-9c1b@127.0.0.1:1".parse().unwrap();
    let events = Events::new(url, Subject::default());
    let event = json!({ "id": "1", "source": "/shop", "type": "paid" });
    let error = events.publish(&event, WITHIN).await.unwrap_err();
    assert!(error.retryable, "{error:?}");
    let shown = format!("{error:?} {events:?}");
    assert!(
        shown.contains("nats://127.0.0.1:1 cannot be reached"),
        "{shown}"
    );
    assert!(!shown.contains("canary"), "{shown}");
}
