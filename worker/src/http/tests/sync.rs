//! `POST /admin/sync`.

use super::*;

#[tokio::test]
async fn a_sync_rereads_asks_and_answers_the_report() {
    let server = server(Fake::reporting(Report::default())).await;
    let answer = server.post("/admin/sync").await;
    assert_eq!((answer.status, &answer.json()["pass"]), (200, &json!(7)));
    assert_eq!(server.fake.reloads.load(Ordering::Relaxed), 1);
    let asked = server.fake.requests.lock().unwrap()[0].clone();
    assert_eq!((asked.dry_run, asked.confirm), (false, None));
    assert_eq!(asked.request_id.len(), 32);
}

#[tokio::test]
async fn the_switches_of_a_sync_are_independent() {
    let server = server(Fake::reporting(Report::default())).await;
    let reloads = || server.fake.reloads.load(Ordering::Relaxed);
    let asked = || server.fake.requests.lock().unwrap().len();

    let files = server.post("/admin/sync?schedules=false").await;
    assert_eq!((files.status, reloads(), asked()), (200, 1, 0));
    assert_eq!(files.json()["definitions"]["new"], 3);

    server
        .post("/admin/sync?definitions=false&dry_run=true")
        .await;
    assert_eq!((reloads(), asked()), (1, 1));
    assert!(server.fake.requests.lock().unwrap()[0].dry_run);

    server
        .post("/admin/sync?definitions=false&event_types=true&schedules=false")
        .await;
    assert_eq!((reloads(), asked()), (2, 1));

    let nothing = server
        .post("/admin/sync?definitions=false&schedules=false")
        .await;
    assert_eq!((nothing.status, reloads(), asked()), (200, 2, 1));

    for bad in [
        "dry_run=maybe",
        "dryrun=true",
        "schedules=false&confirm=abc",
    ] {
        let answer = server.post(&format!("/admin/sync?{bad}")).await;
        assert_eq!(answer.status, 400, "{bad}");
        answer.problem();
    }
    assert_eq!((reloads(), asked()), (2, 1));
}

#[tokio::test]
async fn a_report_with_errors_is_multi_status() {
    let error = ReportError {
        source: "temporal".into(),
        id: Some("a".into()),
        message: "refused".into(),
    };
    let report = Report {
        errors: vec![error],
        ..Report::default()
    };
    let answer = server(Fake::reporting(report))
        .await
        .post("/admin/sync")
        .await;
    assert_eq!(answer.status, 207);
    assert_eq!(answer.json()["errors"][0]["message"], "refused");
}

#[tokio::test]
async fn a_digest_of_another_set_is_a_conflict_that_names_the_right_one() {
    let held = Held {
        digest: "right".into(),
        reason: "too many".into(),
        ids: vec!["schedule-test-a".into()],
        count: 1,
    };
    let report = Report {
        held: Some(held),
        errors: vec![ReportError {
            source: "confirm".into(),
            id: None,
            message: "digest `wrong` does not name the removals that are held now".into(),
        }],
        ..Report::default()
    };
    let server = server(Fake::reporting(report)).await;
    let answer = server.post("/admin/sync?confirm=wrong").await;
    assert_eq!(answer.status, 409);
    assert!(answer.problem().contains("`wrong`"));
    assert_eq!(answer.json()["held"]["digest"], "right");
    let asked = server.fake.requests.lock().unwrap()[0].confirm.clone();
    assert_eq!(asked.as_deref(), Some("wrong"));
}

#[tokio::test]
async fn a_pass_that_takes_long_is_accepted() {
    let server = serve_fake(Fake::default(), Duration::from_secs(2), true).await;
    let answer = server.post("/admin/sync").await;
    assert_eq!((answer.status, answer.json()), (202, json!({ "pass": 7 })));
    assert!(answer.head.contains("location: /api/v1/reconcile"));
}

#[tokio::test]
async fn a_failed_poll_does_not_end_the_wait() {
    let server = server(Fake::default()).await;
    let (answer, ()) = tokio::join!(server.post("/admin/sync"), async {
        while server.fake.requests.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let away = BackendError::Away("for a moment".into());
        *server.fake.status.lock().unwrap() = Err(away);
        let queries = server.fake.queries.load(Ordering::Relaxed);
        while server.fake.queries.load(Ordering::Relaxed) < queries + 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let report = Report {
            pass: 7,
            ..Report::default()
        };
        *server.fake.status.lock().unwrap() = Ok(status(8, vec![report]));
    });
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn without_temporal_the_files_are_reread_and_no_pass_promised() {
    let fake = Fake {
        synced: Err(BackendError::Away("refused".into())),
        ..Fake::default()
    };
    let server = server(fake).await;
    let answer = server.post("/admin/sync").await;
    assert_eq!(answer.status, 503);
    answer.problem();
    assert!(answer.head.contains("retry-after: 5"));
    assert_eq!(server.fake.reloads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn too_many_waiting_requests_are_refused() {
    let fake = Fake {
        synced: Err(BackendError::Busy("10 updates in flight".into())),
        ..Fake::default()
    };
    let answer = server(fake).await.post("/admin/sync").await;
    assert_eq!(answer.status, 429);
    assert!(answer.head.contains("retry-after: 5"));

    // One waits, for a pass that does not end, and one is allowed to.
    let server = server(Fake::default()).await;
    let (first, second) = tokio::join!(server.post("/admin/sync"), async {
        while server.fake.requests.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let second = server.post("/admin/sync").await;
        // The first waits no longer than the process lives.
        server.stop.cancel();
        second
    });
    assert_eq!(second.status, 429);
    assert_eq!(second.problem(), "too many requests are waiting for a pass");
    assert_eq!((first.status, first.json()), (202, json!({ "pass": 7 })));
}

#[tokio::test]
async fn among_replicas_a_sync_waits_until_its_files_are_known() {
    let server = server(Fake::reporting(Report::default())).await;
    let replicas = |revision: Revision| {
        let mut status = status(
            7,
            vec![Report {
                pass: 7,
                ..Report::default()
            }],
        );
        let state = WorkerState {
            revision,
            ..WorkerState::default()
        };
        status.workers.insert(WorkerId::new("me"), state);
        status
            .workers
            .insert(WorkerId::new("other"), WorkerState::default());
        Ok(status)
    };
    *server.fake.status.lock().unwrap() = replicas(Revision::of(b"before"));
    let (answer, ()) = tokio::join!(server.post("/admin/sync"), async {
        while server.fake.queries.load(Ordering::Relaxed) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(server.fake.requests.lock().unwrap().is_empty());
        *server.fake.status.lock().unwrap() = replicas(Revision::default());
    });
    assert_eq!(answer.status, 200);
    assert_eq!(server.fake.requests.lock().unwrap().len(), 1);
}
