//! Requests that anyone with access to the namespace may send to the reconcile workflow:
//! texts of any size, announcements in any name. And workers that were killed.
//!
//! The tests concern only the workflow, so they run on one server.

use std::time::Duration;

use almanac_base::names::WorkerId;
use almanac_core::record::{Announcement, DriftPolicy, Options, OrphanPolicy, WorkerEvent};
use almanac_tests::{Project, SOON, Scheduler, cron, eventually, json_payload, wait_for};
use serde_json::json;
use temporalio_common::protos::temporal::api::common::v1::Payloads;

use crate::fake_worker::{FakeWorker, Process, announcement_of, revision};
use crate::workflow_client::{WorkflowClient, one};

/// Almost all that the server takes of a payload.
const LARGE: usize = 1_900_000;

fn test(body: impl Future<Output = anyhow::Result<()>>) {
    almanac_tests::run(body);
}

/// Every update refuses a text of megabytes by its size, before anything of it
/// counts; the workflow answers after each.
#[test]
fn an_update_that_is_too_large_is_refused() {
    test(async {
        let client = WorkflowClient::start(None).await?;
        let fake = FakeWorker::holding("1");
        let _workflows = Process::workflows(&client.project, &fake)?;
        let _a = Process::worker(&client.project, "a", &fake)?;
        client.started("a", "1").await?;
        client.settled(1).await?;
        let temporal = client.project.temporal();
        let large = "r".repeat(LARGE);
        for (update, input) in [
            ("sync", json!({ "confirm": large })),
            (
                "override",
                json!({ "id": "x", "enabled": false, "reason": large }),
            ),
            (
                "clear_override",
                json!({ "id": "x", "by": "b", "reason": large }),
            ),
            ("adopt", json!({ "id": "x", "from": large })),
            ("suspend", json!({ "reason": large })),
            ("resume", json!({ "by": large })),
            ("trigger", json!({ "id": "x", "reason": large })),
            ("backfill", json!({ "id": "x", "reason": large })),
            ("select", json!({ "selector": format!("a={large}") })),
        ] {
            let sent = temporal.update_workflow(&client.id, update, Some(one(&input)));
            let refused = sent.await.unwrap_err().to_string();
            let size = format!("{update}: the input has 19");
            assert!(refused.contains(&size), "{refused}");
            assert_eq!(client.status().await?.state, "idle", "{update}");
        }
        // What is not too large, but a text of it is.
        let input = json!({ "id": "x", "by": "b", "reason": "\u{1}".repeat(1000) });
        let sent = temporal.update_workflow(&client.id, "clear_override", Some(one(&input)));
        let refused = sent.await.unwrap_err().to_string();
        let why = "reason has 6000 bytes, over the limit of 500";
        assert!(refused.contains(why), "{refused}");
        // A selector names what is asked of a worker, whose server bounds it.
        let input = json!({ "selector": format!("a={}", "x".repeat(1900)) });
        let asked = temporal.update_workflow(&client.id, "select", Some(one(&input)));
        let failed = asked.await.unwrap_err().to_string();
        assert!(!failed.contains("more than"), "{failed}");
        client.signal("reconcile", None).await?;
        client.settled(2).await?;
        Ok(())
    });
}

/// More signals of megabytes than a history holds, while the reconciler is
/// suspended: it stays suspended, and answers.
#[test]
fn a_flood_of_large_signals_does_not_end_a_suspension() {
    test(async {
        let project = Project::new(Scheduler::V1).await?;
        project.write("one.yaml", &cron("0 1 * * *"))?;
        let worker = project.worker().start().await?;
        let (id, temporal) = (project.reconcile_workflow(), project.temporal());
        // Almost as large as the server takes: an answer that repeats it is larger.
        let edge = json!({ "id": "x", "by": "b", "reason": "r".repeat(2_096_900) });
        let refused = temporal.update_workflow(&id, "clear_override", Some(one(&edge)));
        assert!(refused.await.is_err());
        // The server may drop the task that refused it, and give it out anew.
        eventually("the suspension to be taken", || async {
            let suspend = project.almanac(&["suspend", "--reason", "moving house"])?;
            suspend.success()?;
            Ok(true)
        })
        .await?;
        let (run, _) = temporal.run_of(&id).await?;
        let large = Payloads {
            payloads: vec![json_payload(&"x".repeat(LARGE))],
        };
        for n in 0..45 {
            let name = ["reconcile", "definitions_changed", "no_such_signal"][n % 3];
            // A run that is full or closing takes none.
            let _refused = temporal.signal(&id, name, Some(large.clone())).await;
        }
        let status = wait_for("another run", SOON, || async {
            // A run that was ended answers queries too, and takes no signal.
            temporal.signal(&id, "reconcile", None).await?;
            let status = temporal.status(project.name()).await?;
            Ok((temporal.run_of(&id).await?.0 != run).then_some(status))
        })
        .await?;
        let suspension = status.suspended.expect("it is suspended");
        assert_eq!(suspension.reason, "moving house");
        // An operator who terminates it does not end the suspension either.
        eventually("the run to be terminated", || async {
            Ok(temporal.terminate(&id).await.is_ok())
        })
        .await?;
        eventually("the next run", || async {
            temporal.signal(&id, "reconcile", None).await?;
            let status = temporal.status(project.name()).await?;
            let suspension = status.suspended.map(|suspension| suspension.reason);
            Ok(suspension.as_deref() == Some("moving house"))
        })
        .await?;
        eventually("the worker to be known", || async {
            Ok(temporal.status(project.name()).await?.workers.len() == 1)
        })
        .await?;
        project.almanac(&["resume"])?.success()?;
        worker.sync().await?;
        Ok(())
    });
}

/// Announcements in made-up names and in a live worker's name.
#[test]
fn forged_announcements_decide_nothing() {
    test(async {
        let client = WorkflowClient::start(None).await?;
        let fake = FakeWorker::holding("1");
        let _workflows = Process::workflows(&client.project, &fake)?;
        let _a = Process::worker(&client.project, "a", &fake)?;
        let announcement = Announcement {
            number: 1,
            ..announcement_of("a", WorkerEvent::Started, None, "1")
        };
        fake.add_announcement(&announcement);
        client.announce(&announcement).await?;
        let before = client.settled(1).await?;
        assert_eq!(before.workers.len(), 1);

        let hostile = Options {
            reconcile_interval: Duration::from_secs(1),
            resync_interval: Duration::from_secs(1),
            drift: DriftPolicy::Report,
            orphans: OrphanPolicy::Keep,
        };
        for (worker, event, previous, holds) in [
            ("ghost", WorkerEvent::Started, None, "2"),
            ("a", WorkerEvent::Started, None, "2"),
            ("a", WorkerEvent::Stopping, None, "1"),
            ("a", WorkerEvent::Changed, Some("1"), "1"),
            ("a", WorkerEvent::Changed, Some("1"), "3"),
        ] {
            let mut forged = announcement_of(worker, event, previous, holds);
            forged.options = hostile.clone();
            forged.number = u64::MAX;
            forged.changed = Some(vec!["x".parse()?]);
            client.announce(&forged).await?;
            let status = client
                .until("the announcement to be tried", |status| {
                    status.announced.is_empty() && status.pending == 0
                })
                .await?;
            let known: Vec<_> = status.workers.keys().map(WorkerId::as_str).collect();
            assert_eq!(known, ["a"], "{forged:?}");
            assert_eq!(status.revision, Some(revision("1")), "{forged:?}");
            let known = &status.workers[&WorkerId::new("a")];
            assert_eq!(known.options, Options::default(), "{forged:?}");
        }
        let drift = fake.passes().into_iter().map(|input| input.drift);
        assert!(drift.into_iter().all(|drift| drift == DriftPolicy::Correct));
        crate::replay::replays(&client.project, &client.id).await?;
        Ok(())
    });
}

/// A worker that was killed while it ran with other options counts no more once
/// another has started and the dead one was asked.
#[test]
fn a_killed_worker_no_longer_decides() {
    test(async {
        let project = Project::new(Scheduler::V1).await?;
        project.write("one.yaml", &cron("0 1 * * *"))?;
        let ghost = project.worker().flag("--drift", "report");
        let mut ghost = ghost.start().await?;
        ghost.kill()?;
        let worker = project.worker().start().await?;
        let temporal = project.temporal();
        let status = wait_for("the dead worker to be dropped", SOON, || async {
            let status = temporal.status(project.name()).await?;
            Ok((status.workers.len() == 1 && status.pending == 0).then_some(status))
        })
        .await?;
        let mut live = status.workers.values();
        assert!(live.all(|one| one.options.drift == DriftPolicy::Correct));
        let id = project.schedule("one");
        temporal
            .edit(&id, |schedule| {
                let spec = schedule.spec.as_mut().expect("a spec");
                for hour in &mut spec.structured_calendar[0].hour {
                    (hour.start, hour.end) = (5, 5);
                }
            })
            .await?;
        let report = worker.sync().await?;
        assert!(report.drift.corrected > 0, "{report:?}");
        let live = temporal.live(&id).await?;
        assert_eq!(live.spec().structured_calendar[0].hour[0].start, 1);
        Ok(())
    });
}
