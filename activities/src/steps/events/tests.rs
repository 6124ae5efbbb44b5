use serde_json::json;

use super::*;

fn events(url: &str) -> Events {
    let connection = NatsConnection::new(url.parse().unwrap(), NatsFiles::default());
    Events::new(connection.unwrap(), Subject::default())
}

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
    for (key, value, reason) in [
        ("type", json!("a b"), "`type`: `a b` is not a NATS subject"),
        ("type", json!("a.*"), "is not a NATS subject"),
        ("id", json!(""), "`id` must be text"),
        ("id", json!("a\nNats-Expected-Stream: x"), "on one line"),
        ("source", json!("a b"), "without spaces"),
        ("source", json!(null), "`source` must be text"),
    ] {
        let mut event = good.clone();
        event[key] = value;
        let error = message(&event).map(|_| ()).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn an_event_over_the_limits_of_nats_is_not_sent() {
    let good = json!({ "id": "1", "source": "/shop", "type": "paid" });
    for (key, most, reason) in [
        (
            "type",
            3840 - "events.".len(),
            "`type` has 3841 bytes, over NATS's limit of 3840",
        ),
        (
            "source",
            65_000 - " 1".len(),
            "`id` has 65001 bytes, over NATS's limit of 65000",
        ),
        (
            "id",
            65_000 - "/shop ".len(),
            "`id` has 65001 bytes, over NATS's limit of 65000",
        ),
    ] {
        let mut event = good.clone();
        event[key] = json!("a".repeat(most));
        assert!(message(&event).is_ok(), "{key}");
        event[key] = json!("a".repeat(most + 1));
        let error = message(&event).map(|_| ()).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn answers_that_a_retry_cannot_change_are_not_retried() {
    for (code, number, last) in [
        (400, 10054, true),
        (400, 10097, true),
        (400, 10109, true),
        (404, 10059, true),
        (400, 10002, false),
        (409, 10158, false),
        (429, 10167, false),
        (500, 10047, false),
        (503, 10077, false),
    ] {
        let server_error = json!({ "code": code, "err_code": number, "description": "no" });
        let server_error: jetstream::Error = serde_json::from_value(server_error).unwrap();
        assert_eq!(lasts(&server_error), last, "{server_error}");
        let error = PublishError::with_source(PublishErrorKind::Other, server_error);
        assert_eq!(answer(&error).is_some_and(lasts), last);
        let events = events("nats://one");
        let error = events.refused(&error, "events.paid");
        assert_eq!(error.retryable, !last, "{error:?}");
    }
    assert!(answer(&PublishError::new(PublishErrorKind::TimedOut)).is_none());
}

/// Nobody listens there: the error may pass, and shows no credentials.
#[tokio::test]
async fn an_unreachable_nats_server_is_a_retryable_error() {
    let events = events("nats://user:canary-9c1b@127.0.0.1:1");
    let event = json!({ "id": "1", "source": "/shop", "type": "paid" });
    let error = events
        .publish(&event, CONNECTION_TIMEOUT)
        .await
        .unwrap_err();
    assert!(error.retryable, "{error:?}");
    let shown = format!("{error:?} {events:?}");
    assert!(
        shown.contains("nats://127.0.0.1:1 cannot be reached: Connection refused"),
        "{shown}"
    );
    assert!(!shown.contains("canary"), "{shown}");
}
