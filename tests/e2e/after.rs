//! Definitions that start after the runs of others, and after their own.

use std::time::Duration;

use almanac_tests::{
    Project, Proxy, SOON, Scheduler, Worker, eventually, on_both_schedulers, on_one_scheduler,
    wait_for,
};
use anyhow::Context;
use jiff::Timestamp;
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::command::v1::command::Attributes;
use temporalio_common::protos::temporal::api::command::v1::{
    Command, CompleteWorkflowExecutionCommandAttributes, FailWorkflowExecutionCommandAttributes,
};
use temporalio_common::protos::temporal::api::enums::v1::{CommandType, PendingActivityState};
use temporalio_common::protos::temporal::api::failure::v1::Failure;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    ListWorkflowExecutionsRequest, PollWorkflowTaskQueueRequest,
    RespondWorkflowTaskCompletedRequest,
};
use tonic::Code;

use crate::events::{count, event, input, memo, started, text};

on_both_schedulers!(
    a_run_of_a_schedule_starts_the_definitions_after_it_once,
    a_definition_starts_again_after_its_own_run_until_it_is_disabled,
    an_end_while_no_worker_lives_starts_one_run,
);
on_one_scheduler!(
    a_failed_run_starts_those_that_wait_for_it,
    a_run_that_is_retried_has_not_ended,
    a_definition_does_not_start_for_ends_before_it_was_there,
    a_deadline_that_passes_has_its_effect,
    two_workers_start_one_run,
    temporal_away_during_a_start_delays_it,
    the_death_of_the_worker_that_follows_loses_and_repeats_nothing,
    a_worker_that_follows_ends_at_once,
    a_cycle_is_an_error,
    nobody_else_makes_events_about_runs,
);

const STEPS: &str = "do: [a: { set: { a: 1 } }]\n";
const FAILS: &str =
    "do: [a: { raise: { error: { type: 'https://example.com/no', status: 500 } } }]\n";

fn after(id: &str, trigger: &str) -> String {
    format!("id: {id}\ntriggers: [{{ {trigger} }}]\n{STEPS}")
}

/// Waits until the ends of the project's runs are followed.
async fn followed(project: &Project) -> anyhow::Result<()> {
    let workflow = format!("almanac/{}/follow", project.name());
    eventually("the runs to be followed", || async {
        Ok(project.temporal().run_of(&workflow).await.is_ok())
    })
    .await
}

/// The ids of the runs that events and ends started of a definition.
async fn runs(project: &Project, definition: &str) -> anyhow::Result<Vec<String>> {
    let prefix = format!("{}/{definition}/", project.name());
    let query = format!("WorkflowId STARTS_WITH '{prefix}'");
    project.temporal().workflow_ids(&query).await
}

/// Waits until a delivery about runs is so, and returns it.
async fn delivery(
    worker: &Worker,
    what: &str,
    is: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    wait_for(what, SOON, || async {
        let list = worker.json("/api/v1/events").await?;
        let all = list["deliveries"].as_array().context("deliveries")?.clone();
        let mut about_runs = all.into_iter().filter(|one| one["via"] == "run");
        Ok(about_runs.find(|one| is(one)))
    })
    .await
}

/// Ends the next workflow task of a queue with this command.
async fn respond(project: &Project, queue: &str, attributes: Attributes) -> anyhow::Result<()> {
    let kind = match &attributes {
        Attributes::FailWorkflowExecutionCommandAttributes(_) => CommandType::FailWorkflowExecution,
        _ => CommandType::CompleteWorkflowExecution,
    };
    let mut service = project.temporal().service();
    let token = loop {
        let request = PollWorkflowTaskQueueRequest {
            namespace: "default".to_owned(),
            task_queue: Some(TaskQueue {
                name: queue.to_owned(),
                ..TaskQueue::default()
            }),
            identity: "a test".to_owned(),
            ..Default::default()
        };
        let polled = service.poll_workflow_task_queue(tonic::Request::new(request));
        let token = polled.await?.into_inner().task_token;
        if !token.is_empty() {
            break token;
        }
    };
    let request = RespondWorkflowTaskCompletedRequest {
        task_token: token,
        namespace: "default".to_owned(),
        identity: "a test".to_owned(),
        commands: vec![Command {
            command_type: kind.into(),
            attributes: Some(attributes),
            ..Command::default()
        }],
        ..Default::default()
    };
    service
        .respond_workflow_task_completed(tonic::Request::new(request))
        .await?;
    Ok(())
}

fn completes() -> Attributes {
    Attributes::CompleteWorkflowExecutionCommandAttributes(
        CompleteWorkflowExecutionCommandAttributes::default(),
    )
}

fn fails() -> Attributes {
    Attributes::FailWorkflowExecutionCommandAttributes(FailWorkflowExecutionCommandAttributes {
        failure: Some(Failure {
            message: "no".to_owned(),
            ..Failure::default()
        }),
    })
}

async fn a_run_of_a_schedule_starts_the_definitions_after_it_once(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "extract.yaml",
        &format!("id: extract\nschedule: {{ cron: '0 1 1 1 *' }}\n{STEPS}"),
    )?;
    project.write("load.yaml", &after("load", "after: extract"))?;
    project.write("any.yaml", &after("any", "after: extract, outcome: any"))?;
    project.write(
        "failed.yaml",
        &after("failed", "after: extract, outcome: failed"),
    )?;
    project.write(
        "when.yaml",
        &after("when", "after: extract, when: .data.status == \"failed\""),
    )?;
    // The next in the chain.
    project.write("report.yaml", &after("report", "after: load"))?;
    let worker = project.worker().start().await?;
    followed(&project).await?;
    project.almanac(&["trigger", "extract"])?.success()?;
    for id in ["load", "any", "report"] {
        count(&project, id, 1).await?;
    }
    let load = &runs(&project, "load").await?[0];
    let data = &input(&project, load).await?["input"];
    assert_eq!(data["definition"], "extract", "{data}");
    assert_eq!(data["status"], "completed");
    let of = text(&data["workflow_id"]);
    assert!(
        of.starts_with(&format!("{}/extract-", project.name())),
        "{of}"
    );
    assert!(data["scheduled_at"].is_string() && data["ended_at"].is_string());
    let memo = memo(&project, load).await?;
    assert_eq!(memo["event"]["type"], "almanac.run.completed");
    assert_eq!(
        memo["event"]["source"],
        format!("almanac/{}", project.name())
    );
    assert_eq!(memo["event"]["id"], data["run_id"]);
    let report = &runs(&project, "report").await?[0];
    let depth = &crate::events::memo(&project, report).await?["event"]["depth"];
    assert_eq!(*depth, 1);
    // Another run, another time.
    project.almanac(&["trigger", "extract"])?.success()?;
    for id in ["load", "any", "report"] {
        count(&project, id, 2).await?;
    }
    for id in ["failed", "when"] {
        assert_eq!(runs(&project, id).await?, [""; 0], "{id}");
    }
    let started = delivery(&worker, "a delivery", |one| one["by"] == "extract").await?;
    assert_eq!(started["state"], "started", "{started}");
    assert_eq!(started["runs"].as_array().map(Vec::len), Some(2));
    let shown = project.almanac(&[
        "show",
        "load",
        "--dir",
        &project.definitions().display().to_string(),
    ])?;
    assert!(shown.success()?.contains("after extract completed"));
    Ok(())
}

async fn a_failed_run_starts_those_that_wait_for_it(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "extract.yaml",
        &format!("id: extract\ntriggers: [{{ event: go }}]\n{FAILS}"),
    )?;
    project.write("load.yaml", &after("load", "after: extract"))?;
    project.write("any.yaml", &after("any", "after: extract, outcome: any"))?;
    project.write(
        "failed.yaml",
        &after("failed", "after: extract, outcome: failed"),
    )?;
    // It fails too, and does not start itself for that.
    let alert = format!("id: alert\ntriggers: [{{ event: almanac.run.failed }}]\n{FAILS}");
    project.write("alert.yaml", &alert)?;
    let worker = project.worker().start().await?;
    followed(&project).await?;
    started(&worker, &event("go", "1", json!(1))).await?;
    for id in ["any", "failed", "alert"] {
        count(&project, id, 1).await?;
    }
    let alert = &runs(&project, "alert").await?[0];
    let data = &input(&project, alert).await?["input"];
    assert_eq!(
        (&data["definition"], &data["status"]),
        (&json!("extract"), &json!("failed"))
    );
    // One more end, so that the end of the alert has been read.
    started(&worker, &event("go", "2", json!(1))).await?;
    count(&project, "any", 2).await?;
    count(&project, "alert", 2).await?;
    assert_eq!(runs(&project, "load").await?, [""; 0]);
    Ok(())
}

async fn a_run_that_is_retried_has_not_ended(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let queue = format!("{}-other", project.name());
    let extract = format!(
        "id: extract\ntriggers: [{{ event: go }}]\nworkflow:\n  type: T\n  task_queue: {queue}\n  \
         retry: {{ initial_interval: 10ms, maximum_attempts: 2 }}\n"
    );
    project.write("extract.yaml", &extract)?;
    project.write("load.yaml", &after("load", "after: extract"))?;
    project.write(
        "failed.yaml",
        &after("failed", "after: extract, outcome: failed"),
    )?;
    let worker = project.worker().start().await?;
    followed(&project).await?;
    started(&worker, &event("go", "1", json!(1))).await?;
    respond(&project, &queue, fails()).await?;
    // The first execution has failed for some time.
    tokio::time::sleep(Duration::from_secs(4)).await;
    respond(&project, &queue, completes()).await?;
    count(&project, "load", 1).await?;
    assert_eq!(runs(&project, "failed").await?, [""; 0]);
    // The last attempt is no longer retried.
    started(&worker, &event("go", "2", json!(1))).await?;
    respond(&project, &queue, fails()).await?;
    respond(&project, &queue, fails()).await?;
    count(&project, "failed", 1).await
}

async fn an_end_while_no_worker_lives_starts_one_run(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let extract =
        "id: extract\ntriggers: [{ event: go }]\nworkflow: { type: T, task_queue: nobody }\n";
    project.write("extract.yaml", extract)?;
    project.write(
        "failed.yaml",
        &after("failed", "after: extract, outcome: failed"),
    )?;
    let mut worker = project.worker().start().await?;
    followed(&project).await?;
    let first = text(&started(&worker, &event("go", "1", json!(1))).await?["workflow_id"]);
    let second = text(&started(&worker, &event("go", "2", json!(1))).await?["workflow_id"]);
    // While the worker runs, and while it does not.
    project.temporal().terminate(&first).await?;
    count(&project, "failed", 1).await?;
    worker.kill()?;
    project.temporal().terminate(&second).await?;
    worker.restart().await?;
    count(&project, "failed", 2).await?;
    // The worker reads the ends of the last seconds again. Nothing starts twice.
    tokio::time::sleep(Duration::from_secs(5)).await;
    count(&project, "failed", 2).await
}

async fn a_definition_does_not_start_for_ends_before_it_was_there(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "extract.yaml",
        &format!("id: extract\ntriggers: [{{ event: go }}]\n{STEPS}"),
    )?;
    project.write("other.yaml", &after("other", "after: nothing"))?;
    let worker = project.worker().start().await?;
    followed(&project).await?;
    let old = started(&worker, &event("go", "0", json!(1))).await?;
    crate::run_definition::ending(&project, &text(&old["workflow_id"])).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    project.write("load.yaml", &after("load", "after: extract"))?;
    worker.sync().await?;
    // The worker notices the new definition after some seconds.
    let mut sent = 0;
    while runs(&project, "load").await?.is_empty() {
        sent += 1;
        anyhow::ensure!(sent < 60, "nothing starts");
        started(&worker, &event("go", &sent.to_string(), json!(1))).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for run in runs(&project, "load").await? {
        let data = &input(&project, &run).await?["input"];
        assert_ne!(data["run_id"], old["run_id"]);
    }
    Ok(())
}

async fn a_deadline_that_passes_has_its_effect(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let extract =
        "id: extract\ntriggers: [{ event: go }]\nworkflow: { type: T, task_queue: nobody }\n";
    project.write("extract.yaml", extract)?;
    for (id, more) in [
        ("run", "outcome: any, within: 3s, else: run"),
        ("fail", "outcome: any, within: 4s, else: fail"),
        ("skip", "outcome: any, within: 5s"),
        ("long", "outcome: any, within: 1h, else: run"),
    ] {
        project.write(
            &format!("{id}.yaml"),
            &after(id, &format!("after: extract, {more}")),
        )?;
    }
    project.write("alert.yaml", &after("alert", "event: almanac.run.late"))?;
    let worker = project.worker().start().await?;
    followed(&project).await?;
    let run = started(&worker, &event("go", "1", json!(1))).await?;
    count(&project, "run", 1).await?;
    let late = &runs(&project, "run").await?[0];
    let data = &input(&project, late).await?["input"];
    assert_eq!(
        (&data["run_id"], &data["within_seconds"]),
        (&run["run_id"], &json!(3))
    );
    count(&project, "alert", 3).await?;
    let refused = delivery(&worker, "a refusal", |one| one["state"] == "refused").await?;
    let reason = text(&refused["reason"]);
    assert!(
        reason.contains("no run of `extract` ended within 4s"),
        "{reason}"
    );
    assert!(
        worker
            .log()?
            .contains("no run of `extract` ended within 4s")
    );
    // The end comes after all deadlines but one.
    project
        .temporal()
        .terminate(&text(&run["workflow_id"]))
        .await?;
    count(&project, "long", 1).await?;
    assert_eq!(runs(&project, "run").await?.len(), 1);
    for id in ["fail", "skip"] {
        assert_eq!(runs(&project, id).await?, [""; 0], "{id}");
    }
    // A run that ends in time.
    let run = started(&worker, &event("go", "2", json!(1))).await?;
    project
        .temporal()
        .terminate(&text(&run["workflow_id"]))
        .await?;
    for (id, runs) in [("fail", 1), ("skip", 1), ("run", 2), ("long", 2)] {
        count(&project, id, runs).await?;
    }
    tokio::time::sleep(Duration::from_secs(8)).await;
    count(&project, "alert", 3).await
}

/// The start and the end of each run of a definition, in the order of the starts.
async fn spans(
    project: &Project,
    definition: &str,
) -> anyhow::Result<Vec<(Timestamp, Option<Timestamp>)>> {
    let request = ListWorkflowExecutionsRequest {
        namespace: "default".to_owned(),
        page_size: 1000,
        query: format!("WorkflowId STARTS_WITH '{}/{definition}/'", project.name()),
        ..Default::default()
    };
    let mut service = project.temporal().service();
    let listed = service.list_workflow_executions(tonic::Request::new(request));
    let executions = listed.await?.into_inner().executions.into_iter();
    let mut spans: Vec<_> = executions
        .filter_map(|one| {
            let start = one.start_time?;
            let end = one
                .close_time
                .and_then(|end| Timestamp::new(end.seconds, end.nanos).ok());
            Some((Timestamp::new(start.seconds, start.nanos).ok()?, end))
        })
        .collect();
    spans.sort();
    Ok(spans)
}

async fn a_definition_starts_again_after_its_own_run_until_it_is_disabled(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let poll =
        "schedule: { after: 1s, input: { a: 1 } }\ndo: [a: { wait: { milliseconds: 500 } }]\n";
    project.write("poll.yaml", &format!("id: poll\n{poll}"))?;
    let ows = format!(
        "document: {{ dsl: '1.0.3', namespace: n, name: whole, version: '0.1.0' }}\n\
         schedule: {{ after: PT2S }}\n{FAILS}"
    );
    project.write("whole.yaml", &ows)?;
    let _worker = project.worker().start().await?;
    let _second = project.worker().start().await?;
    eventually("some runs", || async {
        let (poll, whole) = (runs(&project, "poll"), runs(&project, "whole"));
        Ok(poll.await?.len() >= 3 && whole.await?.len() >= 2)
    })
    .await?;
    let first = &runs(&project, "poll").await?[0];
    assert_eq!(input(&project, first).await?["input"], json!({ "a": 1 }));
    for (id, delay) in [("poll", 1000), ("whole", 2000)] {
        let spans = spans(&project, id).await?;
        for pair in spans.windows(2) {
            let ended = pair[0].1.context("the earlier run has not ended")?;
            let pause = pair[1].0.duration_since(ended);
            assert!(pause.as_millis() >= delay, "{id}: {pause:?} {spans:?}");
        }
    }
    project.write("poll.yaml", &format!("id: poll\nenabled: false\n{poll}"))?;
    project.remove("whole.yaml")?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let before = (
        runs(&project, "poll").await?,
        runs(&project, "whole").await?,
    );
    tokio::time::sleep(Duration::from_secs(6)).await;
    let after = (
        runs(&project, "poll").await?,
        runs(&project, "whole").await?,
    );
    assert_eq!(before, after);
    Ok(())
}

/// A project in which an event starts `extract`, and `load` starts after it.
async fn extract_and_load(on: Scheduler) -> anyhow::Result<Project> {
    let project = Project::new(on).await?;
    project.write(
        "extract.yaml",
        &format!("id: extract\ntriggers: [{{ event: go }}]\n{STEPS}"),
    )?;
    project.write("load.yaml", &after("load", "after: extract"))?;
    Ok(project)
}

async fn two_workers_start_one_run(on: Scheduler) -> anyhow::Result<()> {
    let project = extract_and_load(on).await?;
    let mut first = project.worker().start().await?;
    let second = project.worker().start().await?;
    followed(&project).await?;
    started(&second, &event("go", "1", json!(1))).await?;
    count(&project, "load", 1).await?;
    // The other worker takes over, without a pause and without a repetition.
    first.terminate(SOON)?;
    started(&second, &event("go", "2", json!(1))).await?;
    count(&project, "load", 2).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    count(&project, "load", 2).await?;
    crate::replay::record(
        &project,
        &format!("almanac/{}/follow", project.name()),
        "follow.pb",
    )
    .await
}

async fn temporal_away_during_a_start_delays_it(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let extract =
        "id: extract\ntriggers: [{ event: go }]\nworkflow: { type: T, task_queue: nobody }\n";
    project.write("extract.yaml", extract)?;
    project.write("any.yaml", &after("any", "after: extract, outcome: any"))?;
    let proxy = Proxy::start(project.address()).await?;
    let worker = project.worker().through(&proxy).start().await?;
    followed(&project).await?;
    let mut ids = Vec::new();
    for id in ["1", "2"] {
        let run = started(&worker, &event("go", id, json!(1))).await?;
        ids.push(text(&run["workflow_id"]));
    }
    proxy.fail("StartWorkflowExecution", 0, 10_000, Code::Unavailable);
    for id in &ids {
        project.temporal().terminate(id).await?;
    }
    delivery(&worker, "a start that waits", |one| {
        one["state"] == "waiting" && one["runs"][0]["away"] == true
    })
    .await?;
    // Another poll does not pass the end.
    proxy.reset();
    eventually("another attempt", || async {
        Ok(proxy.count("StartWorkflowExecution") > 0)
    })
    .await?;
    assert_eq!(runs(&project, "any").await?, [""; 0]);
    proxy.clear();
    count(&project, "any", 2).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    count(&project, "any", 2).await
}

/// It does not wait until Temporal's SDK cancels the activity, shortly before the timeout.
async fn a_worker_that_follows_ends_at_once(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("load.yaml", &after("load", "after: extract"))?;
    let worker = project.worker().flag("--shutdown-timeout", "1h");
    let mut worker = worker.start().await?;
    follower(&project).await?;
    assert_eq!(worker.terminate(SOON)?, 0);
    Ok(())
}

/// Identity of the worker that runs the activity that follows runs.
async fn follower(project: &Project) -> anyhow::Result<String> {
    let workflow = format!("almanac/{}/follow", project.name());
    wait_for("a worker that follows", SOON, || async {
        let described = crate::events::describe(project, &workflow).await?;
        let mut pending = described.pending_activities.into_iter();
        let started = pending.find(|one| one.state() == PendingActivityState::Started);
        Ok(started.map(|one| one.last_worker_identity))
    })
    .await
}

async fn the_death_of_the_worker_that_follows_loses_and_repeats_nothing(
    on: Scheduler,
) -> anyhow::Result<()> {
    const EACH: i64 = 5;
    let project = extract_and_load(on).await?;
    // The first worker gets the activity, since it is alone.
    let mut first = project.worker().start().await?;
    followed(&project).await?;
    let dies = follower(&project).await?;
    let second = project.worker().start().await?;
    let send = async |part: i64| {
        for number in 0..EACH {
            started(&second, &event("go", &format!("{part}-{number}"), json!(1))).await?;
        }
        anyhow::Ok(())
    };
    send(0).await?;
    // Some ends are followed, others are not.
    eventually("the first start", || async {
        Ok(!runs(&project, "load").await?.is_empty())
    })
    .await?;
    send(1).await?;
    first.kill()?;
    send(2).await?;
    count(&project, "load", 3 * EACH).await?;
    assert_ne!(follower(&project).await?, dies);
    tokio::time::sleep(Duration::from_secs(3)).await;
    count(&project, "load", 3 * EACH).await
}

async fn a_cycle_is_an_error(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("a.yaml", &after("a", "after: b"))?;
    project.write("b.yaml", &after("b", "event: x"))?;
    let worker = project.worker().start().await?;
    project.write("b.yaml", &after("b", "after: a"))?;
    let report = worker.sync().await?;
    let errors: Vec<&str> = report
        .errors
        .iter()
        .map(|one| one.message.as_str())
        .collect();
    assert_eq!(
        errors,
        [
            "`after` closes a cycle: a -> b -> a",
            "`after` closes a cycle: b -> a -> b"
        ]
    );
    // The last good version of both is served.
    started(&worker, &event("x", "1", json!(1))).await?;
    let folder = project.definitions().display().to_string();
    let invalid = almanac_tests::almanac(project.address(), ["validate", &folder])?;
    assert!(invalid.stdout.contains("closes a cycle"), "{invalid:?}");
    Ok(())
}

async fn nobody_else_makes_events_about_runs(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("load.yaml", &after("load", "after: extract"))?;
    let worker = project.worker().start().await?;
    let mut forged = event(
        "almanac.run.completed",
        "1",
        json!({ "definition": "extract" }),
    );
    forged["subject"] = "extract".into();
    let (status, body) = worker.send_event(&forged).await?;
    assert_eq!(status, 422, "{body}");
    assert!(
        text(&body["detail"]).contains("only Almanac makes"),
        "{body}"
    );
    // A replay does not make the event a real one, nor does the replay of a replay.
    for _ in 0..2 {
        let last = worker.json("/api/v1/events?limit=1").await?["deliveries"][0].clone();
        let path = format!("/api/v1/events/{}/replay", text(&last["id"]));
        let (status, body) = worker.post(&path, &[], "").await?;
        assert_eq!(status, 422, "{body}");
    }
    assert_eq!(runs(&project, "load").await?, [""; 0]);
    Ok(())
}
