//! `POST /events` and the deliveries under `/api/v1/events`.

use super::*;

async fn send(server: &Server, content_type: &str, headers: &str, body: &str) -> Answer {
    let headers = format!(
        "host: localhost\r\ncontent-type: {content_type}\r\ncontent-length: {}{headers}",
        body.len()
    );
    server.ask_with("POST", "/events", &headers, body).await
}

fn event(kind: &str) -> String {
    json!({ "specversion": "1.0", "id": "1", "source": "/shop", "type": kind, "data": 5 })
        .to_string()
}

async fn structured(server: &Server, kind: &str) -> Answer {
    send(server, "application/cloudevents+json", "", &event(kind)).await
}

#[tokio::test]
async fn the_status_shows_what_followed_from_an_event() {
    let server = server(Fake::default()).await;
    for (kind, status, detail) in [
        ("started", 202, ""),
        ("nobody", 204, ""),
        ("refused", 422, "no amount"),
        ("conflict", 409, "other data"),
        ("failed", 503, "deadline exceeded"),
        ("away", 503, "refused"),
    ] {
        let answer = structured(&server, kind).await;
        assert_eq!(answer.status, status, "{kind}: {}", answer.body);
        assert!(answer.body.contains(detail), "{kind}: {}", answer.body);
        if status == 503 {
            assert_eq!(answer.header("retry-after"), "5");
        }
    }
    let started = structured(&server, "started").await.json();
    let delivery = &started["deliveries"][0];
    assert_eq!(delivery["via"], "http");
    assert_eq!(delivery["by"], "http");
    assert_eq!(delivery["state"], "started");
    assert_eq!(delivery["runs"][0]["workflow_id"], "test/capture/1");
    let refused = structured(&server, "refused").await.json();
    assert_eq!(refused["deliveries"][0]["runs"][0]["result"], "refused");
}

#[tokio::test]
async fn events_come_in_each_mode_of_http() {
    let server = server(Fake::default()).await;
    let attributes = "\r\nce-specversion: 1.0\r\nCe-Id: 7\r\nce-source: /shop\r\nce-type: started";
    let binary = send(&server, "application/json", attributes, "{\"a\":1}").await;
    assert_eq!(binary.status, 202, "{}", binary.body);
    let stored = server.fake.deliveries.lock().unwrap()[0].1.clone();
    assert_eq!(stored["data"], json!({ "a": 1 }));
    assert_eq!(stored["id"], "7");
    let batch = format!("[{}, {}]", event("started"), event("nobody"));
    let batch = send(&server, "application/cloudevents-batch+json", "", &batch).await;
    assert_eq!(batch.status, 202, "{}", batch.body);
    let states: Vec<String> = batch.json()["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(states, ["started", "no_match"]);
    let one_fails = format!("[{}, {}]", event("started"), event("failed"));
    let one_fails = send(
        &server,
        "application/cloudevents-batch+json",
        "",
        &one_fails,
    )
    .await;
    assert_eq!(one_fails.status, 503, "{}", one_fails.body);
}

#[tokio::test]
async fn a_request_without_an_event_is_refused() {
    let server = server(Fake::default()).await;
    let structured = "application/cloudevents+json";
    let large = json!({
        "specversion": "1.0", "id": "1", "source": "/s", "type": "started",
        "data": "x".repeat(1_000_000),
    });
    for (content_type, body, status) in [
        (structured, "{".to_owned(), 400),
        (
            structured,
            event("started").replace("\"id\"", "\"name\""),
            400,
        ),
        ("application/cloudevents+xml", "<e/>".to_owned(), 415),
        ("application/json", event("started"), 415),
        (structured, large.to_string(), 413),
        (structured, "x".repeat(1024 * 1024 + 1), 413),
    ] {
        let answer = send(&server, content_type, "", &body).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(answer.json()["status"], status);
    }
    assert_eq!(server.fake.deliveries.lock().unwrap().len(), 0);
    let largest = event("started").replace('5', &format!("\"{}\"", "x".repeat(900_000)));
    assert_eq!(send(&server, structured, "", &largest).await.status, 202);
    let other = server.ask("GET", "/events", "host: localhost").await;
    assert_ne!(other.status, 202);
}

#[tokio::test]
async fn deliveries_are_listed_shown_and_replayed() {
    let server = server(Fake::default()).await;
    for kind in ["started", "refused", "nobody"] {
        structured(&server, kind).await;
    }
    let list = server.get("/api/v1/events?limit=2").await.json();
    assert_eq!(list["total"], 3);
    assert_eq!(list["deliveries"][0]["state"], "no_match");
    let token = list["next_page_token"].as_str().unwrap();
    let next = server
        .get(&format!("/api/v1/events?limit=2&page_token={token}"))
        .await;
    assert_eq!(next.json()["deliveries"][0]["state"], "started");
    assert_eq!(server.get("/api/v1/events?state=foo").await.status, 400);
    let refused = server.get("/api/v1/events?state=refused").await.json();
    assert_eq!(refused["total"], 1);
    assert_eq!(
        server.get("/api/v1/events?q=nobody").await.json()["total"],
        1
    );

    let id = refused["deliveries"][0]["id"].as_str().unwrap();
    let one = server.get(&format!("/api/v1/events/{id}")).await.json();
    assert_eq!(one["event_json"]["data"], 5);
    assert_eq!(one["reason"], "no amount");
    let replayed = server.post(&format!("/api/v1/events/{id}/replay")).await;
    assert_eq!(replayed.status, 422, "{}", replayed.body);
    assert_eq!(replayed.json()["deliveries"][0]["via"], "replay");
    for path in ["/api/v1/events/x", "/api/v1/events/%1b%5b31m"] {
        assert_eq!(server.get(path).await.status, 404);
        assert_eq!(server.post(&format!("{path}/replay")).await.status, 404);
    }
}
