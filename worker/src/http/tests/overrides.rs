//! `PATCH /api/v1/schedules/{id}` and `DELETE …/override`.

use super::*;

/// Creates a backend that serves the definition `job-1`, and whose pass 7 ends with this
/// report.
fn serving(report: Report) -> Fake {
    let path = "job-1.yaml";
    let yaml = b"schedule: { cron: '0 3 * * *' }\nworkflow: { type: T, task_queue: q }\n";
    let context = almanac_core::definition::ParseContext {
        now: Timestamp::UNIX_EPOCH,
    };
    let document = almanac_core::definition::parse_file(path, yaml, &context).remove(0);
    let definition = Arc::clone(document.definition().unwrap());
    let mut fake = Fake::reporting(report);
    fake.snapshot.definitions.insert(
        definition.id.clone(),
        almanac_core::snapshot::Loaded {
            definition,
            source: path.to_owned(),
            status: almanac_core::snapshot::LoadStatus::Loaded,
        },
    );
    fake
}

const PAUSE: &str = r#"{"enabled": false, "reason": "incident", "for": "2h"}"#;

async fn patch(server: &Server, id: &str, body: &str, headers: &str) -> Answer {
    let headers = format!(
        "host: localhost\r\ncontent-type: application/json\r\ncontent-length: {}{headers}",
        body.len()
    );
    let path = format!("/api/v1/schedules/{id}");
    server.ask_with("PATCH", &path, &headers, body).await
}

#[tokio::test]
async fn a_patch_asks_waits_and_answers_the_schedule() {
    let server = server(serving(Report::default())).await;
    let answer = patch(&server, "job-1", PAUSE, "\r\nidempotency-key: k").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.json()["definition"], "job-1");
    let asked = server.fake.overrides.lock().unwrap()[0].clone();
    assert_eq!((asked.enabled, asked.by.as_str()), (Some(false), "http"));
    assert_eq!(asked.request_id, "http-override-k");
    let wait = asked.until.unwrap().duration_since(Timestamp::now());
    assert!((7100..=7200).contains(&wait.as_secs()), "{wait}");
}

#[tokio::test]
async fn a_delete_clears() {
    let server = server(serving(Report::default())).await;
    let path = "/api/v1/schedules/job-1/override";
    let answer = server.ask("DELETE", path, "host: localhost").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(server.fake.overrides.lock().unwrap()[0].clear);
}

#[tokio::test]
async fn a_patch_that_makes_no_sense_asks_for_nothing() {
    let server = server(serving(Report::default())).await;
    for (id, body, status) in [
        ("job-1", "{", 400),
        ("job-1", "{}", 422),
        ("job-1", r#"{"reason": "x"}"#, 400),
        ("job-1", r#"{"cron": "x", "reason": "x"}"#, 400),
        (
            "job-1",
            r#"{"enabled": false, "reason": "x", "for": "0s"}"#,
            400,
        ),
        ("job-2", PAUSE, 404),
        ("NO", PAUSE, 404),
    ] {
        let answer = patch(&server, id, body, "").await;
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        answer.problem();
    }
    let cross = patch(&server, "job-1", PAUSE, "\r\norigin: http://evil.example").await;
    assert_eq!(cross.status, 403);
    assert!(server.fake.overrides.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_pass_that_could_not_do_it_is_no_success() {
    let error = ReportError {
        source: "temporal".into(),
        id: Some("job-1".into()),
        message: "refused".into(),
    };
    let server = server(serving(Report {
        errors: vec![error],
        ..Report::default()
    }))
    .await;
    let answer = patch(&server, "job-1", PAUSE, "").await;
    assert_eq!((answer.status, answer.problem().as_str()), (502, "refused"));
}

#[tokio::test]
async fn a_pass_that_takes_too_long_is_accepted() {
    let mut fake = serving(Report::default());
    fake.synced = Ok(8);
    let server = serve_fake(fake, Duration::from_millis(300), true).await;
    let answer = patch(&server, "job-1", PAUSE, "").await;
    assert_eq!((answer.status, &answer.json()["pass"]), (202, &json!(8)));
}

/// A request that is repeated after its pass has been forgotten.
#[tokio::test]
async fn a_pass_that_is_forgotten_is_done() {
    let mut fake = serving(Report::default());
    fake.synced = Ok(3);
    let server = server(fake).await;
    let answer = patch(&server, "job-1", PAUSE, "\r\nidempotency-key: k").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}
