//! The reconcile workflow on a real server, with fake reconcilers: its requests,
//! the workers that it asks, and inputs that must not block it.
//!
//! It never touches a schedule, so one server will do.

use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_base::names::WorkerId;
use almanac_core::record::{PassInput, SyncAnswer, SyncRequest, Trigger, WorkerEvent};
use almanac_tests::{Project, Scheduler, eventually, json_payload};
use anyhow::Context;
use temporalio_common::protos::temporal::api::common::v1::{Payload, Payloads};
use temporalio_common::protos::temporal::api::enums::v1::TimeoutType;
use temporalio_common::protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

use crate::fake_worker::{FakeWorker, Fate, Process, announcement_of, revision};
use crate::workflow_client::{WorkflowClient, start_workflow};

/// Inputs that no handler expects.
fn strange_inputs() -> Vec<Option<Payloads>> {
    let payloads = |payloads: Vec<Payload>| Some(Payloads { payloads });
    let binary = Payload {
        metadata: [("encoding".to_owned(), b"binary/plain".to_vec())].into(),
        data: vec![0xff, 0, 0x7b],
        ..Payload::default()
    };
    let unknown = Payload {
        metadata: [("encoding".to_owned(), b"nobody/knows".to_vec())].into(),
        data: b"{}".to_vec(),
        ..Payload::default()
    };
    vec![
        None,
        payloads(Vec::new()),
        payloads(vec![Payload::default()]),
        payloads(vec![
            json_payload(&7),
            json_payload(&"two"),
            json_payload(&()),
        ]),
        payloads(vec![binary]),
        payloads(vec![unknown]),
        payloads(vec![json_payload(&"[".repeat(50_000))]),
        payloads(vec![json_payload(&[1, 2, 3])]),
        payloads(vec![json_payload(&BTreeMap::from([("worker", 7)]))]),
    ]
}

fn test(body: impl Future<Output = anyhow::Result<()>>) {
    almanac_tests::run(body);
}

#[test]
fn unreadable_inputs_do_not_block_the_workflow() {
    test(async {
        for input in strange_inputs() {
            let client = WorkflowClient::start(input).await?;
            let fake = FakeWorker::holding("1");
            let _workflows = Process::workflows(&client.project, &fake)?;
            let _a = Process::worker(&client.project, "a", &fake)?;
            client
                .until("the first answer", |status| {
                    status.state == "waiting_for_worker"
                })
                .await?;
            let strange = strange_inputs();
            for input in &strange {
                client.signal("definitions_changed", input.clone()).await?;
                client.signal("no_such_signal", input.clone()).await?;
                client.signal("reconcile", input.clone()).await?;
                let temporal = client.project.temporal();
                temporal.query(&client.id, "status", input.clone()).await?;
                for (kind, name) in [("query", "no_such_query"), ("update", "no_such_update")] {
                    let answer = if kind == "query" {
                        temporal.query(&client.id, name, input.clone()).await
                    } else {
                        temporal
                            .update_workflow(&client.id, name, input.clone())
                            .await
                    };
                    assert!(answer.is_err(), "{name}: {answer:?}");
                }
            }
            client.started("a", "1").await?;
            client.settled(1).await?;
            let mut asked = 1;
            for input in strange {
                let temporal = client.project.temporal();
                match temporal.update_workflow(&client.id, "sync", input).await {
                    Ok(answer) => {
                        let SyncAnswer { pass } = serde_json::from_value(answer)?;
                        assert!(pass > asked, "{pass} after {asked}");
                        asked = pass;
                        client.settled(pass).await?;
                    }
                    Err(error) => assert!(error.to_string().contains("sync: "), "{error}"),
                }
            }
            let status = client.settled(asked).await?;
            assert_eq!((status.state.as_str(), status.ignored_signals), ("idle", 9));
            assert!(asked > 4, "the empty inputs are plain syncs");
        }
        Ok(())
    });
}

#[test]
fn no_signal_is_lost_when_it_continues_as_new() {
    test(async {
        let client = WorkflowClient::start(None).await?;
        let fake = FakeWorker::holding("r0");
        let _workflows = Process::workflows(&client.project, &fake)?;
        let _a = Process::worker(&client.project, "a", &fake)?;
        client.started("a", "r0").await?;
        let first = client.settled(1).await?;
        assert!(first.last_success.is_some());
        let request = SyncRequest {
            request_id: "once".to_owned(),
            ..SyncRequest::default()
        };
        let answered = client.sync(&request).await?;

        let temporal = client.project.temporal();
        let (run, _) = temporal.run_of(&client.id).await?;
        let mut at = 0_u64;
        let mut after = 0;
        // Some hundreds of announcements, many with other signals beside them,
        // before the next run and well into it.
        while after < 100 {
            let (from, to) = (format!("r{at}"), format!("r{}", at + 1));
            fake.edit(&to);
            let mut edit = announcement_of("a", WorkerEvent::Changed, Some(&from), &to);
            edit.definitions.new = 1;
            let others = (0..20).map(|_| client.signal("reconcile", None));
            let (announced, others) =
                tokio::join!(client.announce(&edit), futures::future::join_all(others));
            announced?;
            others.into_iter().collect::<anyhow::Result<()>>()?;
            at += 1;
            anyhow::ensure!(at < 2000, "it does not continue as new");
            if after > 0 || at.is_multiple_of(10) && temporal.run_of(&client.id).await?.0 != run {
                after += 1;
            }
        }
        let last = format!("r{at}");
        let status = client
            .until("the last revision", |status| {
                status.pending == 0
                    && status
                        .reports
                        .last()
                        .is_some_and(|report| report.revision == revision(&last))
            })
            .await?;
        assert_eq!(status.revision, Some(revision(&last)));
        assert_eq!(status.last_error, None);
        assert_eq!(status.ignored_signals, 0);
        let counted: u64 = fake.done().iter().map(|input| input.definitions.new).sum();
        // Where two announcements became one before a worker of an earlier release,
        // which answers without announcements, was asked, what they counted may be lost.
        assert!((at - at / 10..=at).contains(&counted), "{counted} of {at}");

        // What was answered before is answered so again, and numbers went on.
        assert_eq!(client.sync(&request).await?, answered);
        let numbers: Vec<u64> = fake.passes().iter().map(|input| input.pass).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        let described: Vec<u64> = fake
            .passes()
            .iter()
            .filter(|input| input.describe_all)
            .map(|input| input.pass)
            .collect();
        assert_eq!(described, [1], "only the first one had no state");
        assert!(client.details().await?.contains(&last));
        let runs = crate::replay::replays(&client.project, &client.id).await?;
        assert!(runs > 1, "it has not continued as new");
        anyhow::Ok(())
    });
}

#[test]
fn a_request_gets_one_answer_and_a_pass_of_its_kind() {
    test(async {
        let client = WorkflowClient::start(None).await?;
        let fake = FakeWorker::holding("1");
        let _workflows = Process::workflows(&client.project, &fake)?;
        let _a = Process::worker(&client.project, "a", &fake)?;
        client.started("a", "1").await?;
        client.settled(1).await?;

        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        fake.then([Fate::WaitsFor(Arc::clone(&gate))]);
        let ask = |id: &str, dry_run, confirm: Option<&str>| SyncRequest {
            request_id: id.to_owned(),
            dry_run,
            confirm: confirm.map(str::to_owned),
            ..SyncRequest::default()
        };
        let running = client.sync(&ask("1", false, None)).await?;
        client
            .until("the pass to run", |status| status.state == "running")
            .await?;
        // None of these waits for the pass that runs.
        let plain = client.sync(&ask("2", false, None)).await?;
        let dry = client.sync(&ask("3", true, None)).await?;
        let confirmed = client.sync(&ask("4", false, Some("digest"))).await?;
        assert_eq!(
            client.sync(&ask("3", false, None)).await?,
            dry,
            "the same request"
        );
        assert_eq!(
            client.sync(&ask("5", false, None)).await?,
            plain,
            "the same pass"
        );
        assert_eq!([running, plain, dry, confirmed], [2, 3, 4, 5]);
        gate.close();

        let status = client.settled(confirmed).await?;
        let reports: Vec<(u64, bool)> = status
            .reports
            .iter()
            .map(|report| (report.pass, report.dry_run))
            .collect();
        assert_eq!(
            reports,
            [(1, false), (2, false), (3, false), (4, true), (5, false)]
        );
        let kinds: Vec<(u64, bool, Option<String>)> = fake
            .passes()
            .into_iter()
            .skip(2)
            .map(|input| (input.pass, input.dry_run, input.confirm))
            .collect();
        assert_eq!(
            kinds,
            [
                (3, false, None),
                (4, true, None),
                (5, false, Some("digest".to_owned()))
            ]
        );
        Ok(())
    });
}

#[test]
fn a_worker_that_does_not_start_a_pass_is_dropped_and_the_next_one_does_it() {
    test(async {
        let client = WorkflowClient::start(None).await?;
        let fake = FakeWorker::holding("1");
        let _workflows = Process::workflows(&client.project, &fake)?;
        let _a = Process::worker(&client.project, "a", &fake)?;
        client.started("a", "1").await?;
        client.settled(1).await?;

        let dies = Process::worker(&client.project, "b", &fake)?;
        client.started("b", "1").await?;
        client.settled(2).await?;
        drop(dies);
        client.signal("reconcile", None).await?;
        let status = client.settled(3).await?;
        // The server ended the wait for it, and not its pass.
        let (run, _) = client.project.temporal().run_of(&client.id).await?;
        let events = crate::replay::history(&client.project, &client.id, &run).await?;
        let limits = events.events.iter().filter_map(|event| {
            let Some(Attributes::ActivityTaskTimedOutEventAttributes(timed_out)) =
                &event.attributes
            else {
                return None;
            };
            let failure = timed_out.failure.as_ref()?.failure_info.as_ref()?;
            let FailureInfo::TimeoutFailureInfo(timeout) = failure else {
                return None;
            };
            Some(timeout.timeout_type())
        });
        let limits: Vec<_> = limits.collect();
        assert_eq!(limits, [TimeoutType::ScheduleToStart]);
        let live: Vec<&str> = status.workers.keys().map(WorkerId::as_str).collect();
        assert_eq!(live, ["a"]);
        Ok(())
    });
}

#[test]
fn after_termination_the_workflow_describes_every_schedule() {
    test(async {
        let client = WorkflowClient::start(None).await?;
        let fake = FakeWorker::holding("1");
        let _workflows = Process::workflows(&client.project, &fake)?;
        let _a = Process::worker(&client.project, "a", &fake)?;
        client.started("a", "1").await?;
        client.settled(1).await?;
        client.signal("reconcile", None).await?;
        client.settled(2).await?;

        client.project.temporal().terminate(&client.id).await?;
        client.start_again(None).await?;
        client.started("a", "1").await?;
        client.settled(1).await?;
        client.signal("reconcile", None).await?;
        client.settled(2).await?;
        let passes: Vec<(u64, bool, Trigger)> = fake
            .passes()
            .into_iter()
            .map(|input| (input.pass, input.describe_all, input.trigger))
            .collect();
        assert_eq!(
            passes,
            [
                (1, true, Trigger::Start),
                (2, false, Trigger::Signal),
                (1, true, Trigger::Start),
                (2, false, Trigger::Signal),
            ]
        );
        Ok(())
    });
}

#[test]
fn replicas_never_undo_each_other() {
    test(async {
        let client = WorkflowClient::start(None).await?;
        let (a, b) = (FakeWorker::holding("1"), FakeWorker::holding("1"));
        let _workflows = Process::workflows(&client.project, &a)?;
        let _a = Process::worker(&client.project, "a", &a)?;
        let b_process = Process::worker(&client.project, "b", &b)?;
        client.started("a", "1").await?;
        client.started("b", "1").await?;
        client.settled(1).await?;

        // The files change under a first; b holds the old ones and is asked nothing but that.
        a.edit("2");
        client.changed("a", "1", "2").await?;
        let status = client
            .until("the edit", |s| s.revision == Some(revision("2")))
            .await?;
        client.settled(status.requested).await?;
        let last = a.passes().pop().context("a pass")?;
        assert!(last.replicas_differ, "b still holds 1");
        b.edit("2");
        client.changed("b", "1", "2").await?;
        let status = client
            .until("b's turn", |s| s.requested > status.requested)
            .await?;
        client.settled(status.requested).await?;
        let last = newest(&[&a, &b]);
        assert_eq!(
            (last.replicas_differ, last.revision),
            (false, revision("2"))
        );

        // b restarts with stale files: the edit stays.
        client.stopping("b").await?;
        drop(b_process);
        let stale = FakeWorker::holding("1");
        let _stale = Process::worker(&client.project, "b2", &stale)?;
        let before = client.status().await?.requested;
        client.started("b2", "1").await?;
        let status = client
            .until("the start to count", |s| s.requested > before)
            .await?;
        client.settled(status.requested).await?;
        assert_eq!(client.status().await?.revision, Some(revision("2")));
        assert_eq!(stale.passes(), []);

        // a stops: a roll-back.
        client.stopping("a").await?;
        let status = client
            .until("the roll-back", |s| s.revision == Some(revision("1")))
            .await?;
        client.settled(status.requested).await?;
        assert_eq!(
            stale.passes().pop().context("a pass")?.revision,
            revision("1")
        );

        // A third one starts with files nobody has seen.
        let c = FakeWorker::holding("3");
        let _c = Process::worker(&client.project, "c", &c)?;
        client.started("c", "3").await?;
        let status = client
            .until("the new files", |s| s.revision == Some(revision("3")))
            .await?;
        client.settled(status.requested).await?;
        assert!(!c.passes().is_empty());
        Ok(())
    });
}

fn newest(fakes: &[&Arc<FakeWorker>]) -> PassInput {
    let passes = fakes.iter().flat_map(|fake| fake.passes());
    passes.max_by_key(|input| input.pass).unwrap()
}

#[test]
fn a_dead_replica_with_other_files_does_not_hold_up_removals_for_ever() {
    test(async {
        let client = WorkflowClient::start(None).await?;
        let fake = FakeWorker::holding("1");
        let _workflows = Process::workflows(&client.project, &fake)?;
        let _a = Process::worker(&client.project, "a", &fake)?;
        client.started("ghost", "1").await?;
        client.started("a", "1").await?;
        client.settled(1).await?;
        fake.edit("2");
        client.changed("a", "1", "2").await?;
        let status = client.settled(2).await?;
        assert_eq!(status.workers.len(), 1);
        assert!(!newest(&[&fake]).replicas_differ);
        Ok(())
    });
}

#[test]
fn a_registry_that_moved_is_followed_without_its_announcement() {
    test(async {
        let client = WorkflowClient::start(None).await?;
        let fake = FakeWorker::holding("1");
        let _workflows = Process::workflows(&client.project, &fake)?;
        let _a = Process::worker(&client.project, "a", &fake)?;
        client.started("a", "1").await?;
        client.settled(1).await?;

        // It refuses, …
        fake.edit("2");
        client.signal("reconcile", None).await?;
        let status = client.settled(2).await?;
        assert_eq!(status.revision, Some(revision("2")));

        // … or it stops half-way.
        fake.then([Fate::MovesTo("3")]);
        client.signal("reconcile", None).await?;
        let status = client.settled(4).await?;
        assert_eq!(status.revision, Some(revision("3")));
        assert_eq!(status.last_error, None);
        Ok(())
    });
}

#[test]
fn a_pass_that_fails_is_recorded_and_tried_again() {
    test(async {
        let client = WorkflowClient::start(None).await?;
        let fake = FakeWorker::holding("1");
        let _workflows = Process::workflows(&client.project, &fake)?;
        let _a = Process::worker(&client.project, "a", &fake)?;
        fake.then([
            Fate::Fails("no list"),
            Fate::Fails("no list"),
            Fate::Fails("no list"),
        ]);
        client.started("a", "1").await?;
        client
            .until("the error to show", |status| {
                status.last_error.as_deref() == Some("worker a: no list")
            })
            .await?;
        let status = client.settled(1).await?;
        assert_eq!(status.last_error, None);
        let numbers: Vec<u64> = fake.passes().iter().map(|input| input.pass).collect();
        assert_eq!(numbers, [1, 1, 1, 1]);
        Ok(())
    });
}

#[test]
fn the_details_show_the_last_report() {
    test(async {
        let client = WorkflowClient::start(None).await?;
        let fake = FakeWorker::holding("1");
        let _workflows = Process::workflows(&client.project, &fake)?;
        eventually("the first details", || async {
            Ok(client.details().await?.contains("waiting for worker"))
        })
        .await?;
        let _a = Process::worker(&client.project, "a", &fake)?;
        client.started("a", "1").await?;
        eventually("the report", || async {
            Ok(client.details().await?.contains("## Pass 1"))
        })
        .await
    });
}

#[test]
fn an_id_that_names_no_project_fails_at_once() {
    test(async {
        let project = Project::new(Scheduler::V1).await?;
        let fake = FakeWorker::holding("1");
        let _workflows = Process::workflows(&project, &fake)?;
        let queue = format!("almanac-{}-reconcile", project.name());
        let id = format!("almanac/{}/typo", project.name());
        start_workflow(&project, "ReconcileSchedules", &id, &queue, None).await?;
        let failure = crate::run_definition::failure(&project, &id).await?;
        assert_eq!(
            failure,
            format!("workflow id `{id}` must be `almanac/PROJECT/reconcile`")
        );
        Ok(())
    });
}
