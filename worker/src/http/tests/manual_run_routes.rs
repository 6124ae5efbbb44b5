//! `POST /api/v1/schedules/{id}/trigger` and `/backfill`.

use super::*;

fn answering(state: RunState) -> Fake {
    Fake {
        ran: Ok(RunAnswer {
            state,
            workflow_id: Some("p/job-1-x".into()),
            run_id: Some("run".into()),
            message: "a message".into(),
            ..RunAnswer::default()
        }),
        ..Fake::default()
    }
}

async fn post(server: &Server, path: &str, body: &str, headers: &str) -> Answer {
    let headers = format!(
        "host: localhost\r\ncontent-type: application/json\r\ncontent-length: {}{headers}",
        body.len()
    );
    let path = format!("/api/v1/schedules/{path}");
    server.ask_with("POST", &path, &headers, body).await
}

const DAY: &str = r#"{"from": "2026-01-01", "to": "2026-01-02T00:00:00Z", "overlap": "buffer_all", "limit": 5, "reason": "again"}"#;

#[tokio::test]
async fn a_trigger_answers_its_run() {
    let server = server(answering(RunState::Started)).await;
    let answer = post(&server, "job-1/trigger", "", "\r\nidempotency-key: k").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["state"], "started");
    assert_eq!(answer.json()["workflow_id"], "p/job-1-x");
    assert_eq!(answer.json()["run_id"], "run");
    let (kind, asked) = server.fake.runs.lock().unwrap()[0].clone();
    assert_eq!((kind, asked.by.as_str()), (RunKind::Trigger, "http"));
    assert_eq!(asked.request_id, "http-trigger-k");
    let answer = post(&server, "job-1/trigger", "null", "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn a_backfill_hands_on_what_was_asked() {
    let server = server(answering(RunState::Started)).await;
    let answer = post(&server, "job-1/backfill", DAY, "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let (kind, asked) = server.fake.runs.lock().unwrap()[0].clone();
    assert_eq!(kind, RunKind::Backfill);
    assert_eq!((asked.limit, asked.reason.as_str()), (Some(5), "again"));
    assert_eq!(asked.from.unwrap().to_string(), "2026-01-01T00:00:00");
}

#[tokio::test]
async fn the_status_shows_the_result_of_the_run() {
    for (state, status) in [
        (RunState::Skipped, 200),
        (RunState::Buffered, 200),
        (RunState::Lost, 200),
        (RunState::Pending, 202),
        (RunState::NotFound, 404),
        (RunState::Foreign, 409),
        (RunState::BadRange, 400),
        (RunState::Failed, 502),
    ] {
        let server = server(answering(state)).await;
        let answer = post(&server, "job-1/trigger", "{}", "").await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(answer.json()["state"], state.name());
        if status >= 400 {
            assert_eq!(answer.problem(), "a message");
        }
    }
}

#[tokio::test]
async fn a_request_that_makes_no_sense_asks_for_nothing() {
    let server = server(answering(RunState::Started)).await;
    for (path, body, status) in [
        ("job-1/trigger", "{", 400),
        ("job-1/trigger", r#"{"overlap": "sometimes"}"#, 422),
        ("job-1/trigger", r#"{"why": "x"}"#, 422),
        ("NO/trigger", "{}", 404),
        ("job-1/backfill", "{}", 422),
        ("job-1/backfill", "", 400),
        ("job-1/backfill", r#"{"from": "x", "to": "y"}"#, 422),
        (
            "job-1/backfill",
            r#"{"from": "2026-01-02", "to": "2026-01-01"}"#,
            400,
        ),
    ] {
        let answer = post(&server, path, body, "").await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
        answer.problem();
    }
    let form = "host: localhost\r\ncontent-type: text/plain\r\ncontent-length: 2";
    let path = "/api/v1/schedules/job-1/trigger";
    assert_eq!(server.ask_with("POST", path, form, "{}").await.status, 415);
    let cross = post(
        &server,
        "job-1/trigger",
        "",
        "\r\norigin: http://evil.example",
    )
    .await;
    assert_eq!(cross.status, 403);
    assert!(server.fake.runs.lock().unwrap().is_empty());
}
