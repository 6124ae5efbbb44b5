//! The reconcile workflow with real workers: no signal, update or query blocks it.

use almanac_tests::{
    Answer, Project, Proxy, SOON, Scheduler, Worker, almanac, cron, eventually, idle, json_payload,
    json_payloads, on_both_schedulers, temporal_cli, wait_for,
};
use futures::{StreamExt, TryStreamExt};
use prost::Message as _;
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::common::v1::{Payload, Payloads, WorkflowExecution};
use temporalio_common::protos::temporal::api::enums::v1::WorkflowExecutionStatus;
use temporalio_common::protos::temporal::api::query::v1::QueryRejected;
use temporalio_common::protos::temporal::api::workflow::v1::WorkflowExecutionInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeWorkflowExecutionResponse, QueryWorkflowResponse,
};
use tonic::Status;

use crate::workflow_client::start_workflow;

/// Arguments as a careless person or another program may send them.
fn careless() -> Vec<(&'static str, Option<Payloads>)> {
    let odd = Payload {
        metadata: [("encoding".to_owned(), b"binary/encrypted".to_vec())].into(),
        data: vec![0xff, 0x00],
        ..Default::default()
    };
    let one = |payload: Payload| {
        Some(Payloads {
            payloads: vec![payload],
        })
    };
    vec![
        ("no input", None),
        ("empty input", Some(Payloads::default())),
        ("null", json_payloads(&[Value::Null])),
        ("a string", json_payloads(&[json!("now, please")])),
        ("a number", json_payloads(&[json!(-1)])),
        (
            "another shape",
            json_payloads(&[json!({"worker": {"a": 1}, "pass": "x", "request_id": 5})]),
        ),
        (
            "several inputs",
            json_payloads(&[json!({}), json!(2), json!("three")]),
        ),
        ("undecodable", one(odd.clone())),
        (
            "bytes without encoding",
            one(Payload {
                data: vec![1, 2],
                ..Default::default()
            }),
        ),
        (
            "broken JSON",
            one(Payload {
                data: b"{\"a\":".to_vec(),
                ..json_payload(&json!(1))
            }),
        ),
        (
            "several undecodable",
            Some(Payloads {
                payloads: vec![odd.clone(), odd],
            }),
        ),
    ]
}

/// The workflow answers, does a pass, and writes what a file says.
async fn works(project: &Project, worker: &Worker, hour: u32) -> anyhow::Result<()> {
    project.write("probe.yaml", &cron(&format!("0 {hour} * * *")))?;
    worker.sync().await?;
    let live = project.temporal().live(&project.schedule("probe")).await?;
    assert_eq!(live.times(), format!("0 {hour} 1-31 1-12 0-6"));
    let status = project.temporal().status(project.name()).await?;
    assert!(!status.reports.is_empty());
    Ok(())
}

on_both_schedulers!(
    no_signal_blocks_the_workflow,
    no_update_or_query_blocks_the_workflow,
    a_signal_from_the_ui_brings_a_report,
    a_pass_begins_at_each_interval,
    a_terminated_workflow_is_started_again,
    the_log_gives_the_remedy_if_the_tasks_of_the_workflow_fail,
    a_repeated_request_gets_the_first_answer,
    hundreds_of_signals_across_a_continue_as_new,
    a_request_that_meets_a_continue_as_new_is_sent_again,
    a_signal_that_meets_a_continue_as_new_is_sent_again,
    a_query_that_meets_a_continue_as_new_is_sent_again,
    a_query_that_the_server_is_too_busy_for_is_sent_again,
);

/// Signals with no, wrong and several inputs, known by name or not.
async fn no_signal_blocks_the_workflow(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let worker = project.worker().start().await?;
    let workflow = project.reconcile_workflow();
    works(&project, &worker, 1).await?;
    for (what, input) in careless() {
        for signal in [
            "reconcile",
            "definitions_changed",
            "sync",
            "no_such_signal",
            "",
        ] {
            // The server itself refuses some; what arrives must do no harm.
            let sent = project
                .temporal()
                .signal(&workflow, signal, input.clone())
                .await;
            assert!(
                sent.is_ok() || signal.is_empty(),
                "{signal} with {what}: {sent:?}"
            );
        }
    }
    works(&project, &worker, 2).await
}

/// Updates and queries with no, wrong and several arguments fail or answer,
/// each within its time.
async fn no_update_or_query_blocks_the_workflow(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let worker = project.worker().start().await?;
    let workflow = project.reconcile_workflow();
    works(&project, &worker, 1).await?;
    for (what, args) in careless() {
        for name in [
            "sync",
            "override",
            "clear_override",
            "trigger",
            "backfill",
            "no_such",
        ] {
            let answer = project
                .temporal()
                .update_workflow(&workflow, name, args.clone())
                .await;
            let text = format!("{answer:?}");
            assert!(!text.contains("no answer"), "{name} with {what}: {text}");
        }
        for name in ["status", "no_such"] {
            let answer = project
                .temporal()
                .query(&workflow, name, args.clone())
                .await;
            let text = format!("{answer:?}");
            assert!(!text.contains("no answer"), "{name} with {what}: {text}");
        }
    }
    works(&project, &worker, 2).await
}

/// The signal `reconcile` with no input, as the Temporal UI sends it,
/// brings a pass, and the report stands in the workflow's details.
async fn a_signal_from_the_ui_brings_a_report(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let _worker = project.worker().start().await?;
    let temporal = project.temporal();
    let before = temporal.status(project.name()).await?.pass;
    temporal
        .signal(&project.reconcile_workflow(), "reconcile", None)
        .await?;
    eventually("a pass for the signal", || async {
        let status = temporal.status(project.name()).await?;
        let report = status.reports.last().cloned().unwrap_or_default();
        let trigger = serde_json::to_value(report.trigger)?;
        Ok(report.pass > before && trigger == "signal")
    })
    .await?;
    let details = temporal_cli(
        project.address(),
        [
            "workflow",
            "metadata",
            "--workflow-id",
            &project.reconcile_workflow(),
        ],
    )?;
    assert!(details.contains("unchanged"), "{details}");
    Ok(())
}

/// A drifted schedule is seen at the next pass that nobody asked for.
async fn a_pass_begins_at_each_interval(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let _worker = project
        .worker()
        .flag("--reconcile-interval", "1s")
        .start()
        .await?;
    let id = project.schedule("one");
    let temporal = project.temporal();
    temporal
        .edit(&id, |schedule| {
            let hour = &mut schedule.spec.as_mut().unwrap().structured_calendar[0].hour[0];
            (hour.start, hour.end) = (9, 9);
        })
        .await?;
    eventually("the correction", || async {
        Ok(temporal.live(&id).await?.times() == "0 1 1-31 1-12 0-6")
    })
    .await
}

/// Terminated, or deleted with its history, it comes back.
async fn a_terminated_workflow_is_started_again(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = project
        .worker()
        .flag("--reconcile-interval", "1s")
        .start()
        .await?;
    let workflow = project.reconcile_workflow();
    let (first, _) = project.temporal().run_of(&workflow).await?;
    project.temporal().terminate(&workflow).await?;

    project.write("one.yaml", &cron("0 2 * * *"))?;
    let id = project.schedule("one");
    eventually("the edit after the termination", || async {
        Ok(project.temporal().live(&id).await?.times() == "0 2 1-31 1-12 0-6")
    })
    .await?;
    let (second, _) = project.temporal().run_of(&workflow).await?;
    assert_ne!(first, second);
    works(&project, &worker, 1).await
}

/// No worker can run the workflow that has the reconcile workflow's id, as after a fault
/// in the history. The log says what to do, and doing it helps.
async fn the_log_gives_the_remedy_if_the_tasks_of_the_workflow_fail(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let workflow = project.reconcile_workflow();
    temporal_cli(
        project.address(),
        [
            "workflow",
            "start",
            "--workflow-id",
            &workflow,
            "--type",
            "UnknownToAll",
            "--task-queue",
            &format!("almanac-{}-reconcile", project.name()),
        ],
    )?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().spawn()?;
    let remedy = format!("temporal workflow terminate --workflow-id {workflow}");
    wait_for("the log to say what to do", 3 * SOON, || async {
        let log = worker.log()?;
        let found = log
            .lines()
            .any(|line| line.contains("ERROR") && line.contains(&remedy));
        Ok(found.then_some(()))
    })
    .await?;
    project.temporal().terminate(&workflow).await?;
    eventually("the schedule", || async {
        Ok(project
            .temporal()
            .describe(&project.schedule("one"))
            .await?
            .is_some())
    })
    .await
}

/// A repeated `sync` with the same request id is the same request.
async fn a_repeated_request_gets_the_first_answer(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let _worker = project.worker().start().await?;
    let workflow = project.reconcile_workflow();
    let sync = |id: &str| {
        let args = json_payloads(&[json!({"request_id": id})]);
        project.temporal().update_workflow(&workflow, "sync", args)
    };
    let first = sync("a").await?;
    let other = sync("b").await?;
    assert_eq!(sync("a").await?, first);
    eventually("its pass", || async {
        let pass = project.temporal().status(project.name()).await?.pass;
        Ok(Some(pass) >= other["pass"].as_u64())
    })
    .await?;
    assert_eq!(sync("a").await?, first);
    assert!(sync("c").await?["pass"].as_u64() > first["pass"].as_u64());
    Ok(())
}

/// Hundreds of signals and updates while it continues as new: nothing is
/// lost, its history stays bounded, and the last edit counts.
async fn hundreds_of_signals_across_a_continue_as_new(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    let workflow = project.reconcile_workflow();
    let temporal = project.temporal();
    let (first, _) = temporal.run_of(&workflow).await?;

    let send = async |n: u32| match n % 40 {
        0 => {
            let args = json_payloads(&[json!({"request_id": format!("storm-{n}")})]);
            temporal
                .update_workflow(&workflow, "sync", args)
                .await
                .map(drop)
        }
        1..=9 => temporal.signal(&workflow, "no_such_signal", None).await,
        _ => temporal.signal(&workflow, "reconcile", None).await,
    };
    let send = &send;
    let storm = futures::stream::iter(0..900).map(|n| async move {
        // The server refuses what comes while a run closes: to be sent again.
        wait_for("a signal to be taken", SOON, || async {
            send(n).await.map(Some)
        })
        .await
    });
    let storm = storm.buffer_unordered(8).try_collect::<Vec<()>>();
    let edits = async {
        for hour in 2..8 {
            project.write("one.yaml", &cron(&format!("0 {hour} * * *")))?;
            let id = project.schedule("one");
            let wanted = format!("0 {hour} 1-31 1-12 0-6");
            eventually("an edit within the storm", || async {
                Ok(temporal.live(&id).await?.times() == wanted)
            })
            .await?;
        }
        anyhow::Ok(())
    };
    let (storm, edits) = futures::join!(storm, edits);
    storm?;
    edits?;

    idle(|| temporal.status(project.name())).await?;
    let (last, events) = temporal.run_of(&workflow).await?;
    assert_ne!(first, last, "it never continued as new");
    assert!(events < 10_000, "{events}");
    works(&project, &worker, 9).await
}

/// The id of a workflow that is over.
async fn over(project: &Project) -> anyhow::Result<String> {
    let id = format!("over-{}", project.name());
    start_workflow(project, "Nobody", &id, "nobody", None).await?;
    project.temporal().terminate(&id).await?;
    Ok(id)
}

/// The answer of the server that led to an error.
fn answer_of(error: anyhow::Error) -> anyhow::Result<Answer> {
    let status: Status = error.downcast()?;
    let details = status.details().to_vec().into();
    let status = Status::with_details(status.code(), status.message(), details);
    Ok(Answer::Status(Box::new(status)))
}

/// The description of a run that has continued as new.
fn continued() -> Vec<u8> {
    let execution = WorkflowExecution {
        workflow_id: "reconcile".to_owned(),
        run_id: "earlier".to_owned(),
    };
    let info = WorkflowExecutionInfo {
        execution: Some(execution),
        status: WorkflowExecutionStatus::ContinuedAsNew.into(),
        ..WorkflowExecutionInfo::default()
    };
    DescribeWorkflowExecutionResponse {
        workflow_execution_info: Some(info),
        ..DescribeWorkflowExecutionResponse::default()
    }
    .encode_to_vec()
}

/// The answer to a query of a run that has continued as new meanwhile.
fn rejected() -> Vec<u8> {
    let rejected = QueryRejected {
        status: WorkflowExecutionStatus::ContinuedAsNew.into(),
    };
    QueryWorkflowResponse {
        query_rejected: Some(rejected),
        ..QueryWorkflowResponse::default()
    }
    .encode_to_vec()
}

/// The server refuses a query if too many wait for the same workflow.
async fn a_query_that_the_server_is_too_busy_for_is_sent_again(
    on: Scheduler,
) -> anyhow::Result<()> {
    let query = "QueryWorkflow";
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let proxy = Proxy::start(project.address()).await?;
    let _worker = project.worker().start().await?;
    proxy.fail(query, 0, 2, tonic::Code::ResourceExhausted);
    let args = ["history", "one", "--project", project.name()];
    let output = almanac(proxy.address(), args)?.success()?;
    assert!(output.contains("created"), "{output}");
    assert_eq!(proxy.count(query), 3);
    Ok(())
}

/// A run that continues as new answers as one that is over. The client learns from
/// the server that the workflow runs, and sends the request to the next run.
async fn a_request_that_meets_a_continue_as_new_is_sent_again(on: Scheduler) -> anyhow::Result<()> {
    let update = "UpdateWorkflowExecution";
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let proxy = Proxy::start(project.address()).await?;
    let mut worker = project.worker().through(&proxy).start().await?;
    let id = over(&project).await?;
    let over = project.temporal().update_workflow(&id, "sync", None);
    let over = answer_of(over.await.unwrap_err())?;
    proxy.reset();
    proxy.answer_once(update, "", over.clone());
    let body = json!({ "enabled": false, "reason": "stop" });
    let path = "/api/v1/schedules/one";
    let (status, answer) = worker.send_once("PATCH", path, Some(&body)).await?;
    assert_eq!(status, 200, "{answer}");
    let id = project.schedule("one");
    assert!(project.temporal().live(&id).await?.paused());
    assert_eq!(proxy.count(update), 2);

    proxy.answer_once(update, "", over.clone());
    let args = ["trigger", "one", "--project", project.name()];
    almanac(proxy.address(), args)?.success()?;
    assert_eq!(proxy.count(update), 4);
    eventually("the run", || async {
        Ok(project.temporal().live(&id).await?.runs() == 1)
    })
    .await?;

    // The server may describe the run that has just ended, or not answer.
    let others = Proxy::start(project.address()).await?;
    let describe = "DescribeWorkflowExecution";
    others.answer_once(update, "", over.clone());
    others.answer_once(update, "", over);
    others.answer_once(describe, "", Answer::Message(continued()));
    others.fail(describe, 0, 1, tonic::Code::Unavailable);
    let args = [
        "pause",
        "one",
        "--reason",
        "test",
        "--project",
        project.name(),
    ];
    almanac(others.address(), args)?.success()?;
    assert_eq!(others.count(update), 3);

    // One that is over is not asked again.
    worker.kill()?;
    let workflow = project.reconcile_workflow();
    project.temporal().terminate(&workflow).await?;
    let output = project.almanac_once(&["unpause", "one"])?;
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("is not running"), "{output:?}");
    Ok(())
}

/// A worker that announces an edit, or that it stops, does not start another run meanwhile.
async fn a_signal_that_meets_a_continue_as_new_is_sent_again(on: Scheduler) -> anyhow::Result<()> {
    let signal = "SignalWorkflowExecution";
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let proxy = Proxy::start(project.address()).await?;
    let mut worker = project.worker().through(&proxy).start().await?;
    let temporal = project.temporal();
    let over = over(&project).await?;
    let over = temporal.signal(&over, "reconcile", None).await;
    let over = answer_of(over.unwrap_err())?;

    proxy.reset();
    proxy.answer_once(signal, "", over.clone());
    project.write("one.yaml", &cron("0 2 * * *"))?;
    let id = project.schedule("one");
    eventually("the edit", || async {
        Ok(temporal.live(&id).await?.times() == "0 2 1-31 1-12 0-6")
    })
    .await?;
    assert_eq!(proxy.count(signal), 2);

    proxy.answer_once(signal, "", over);
    assert_eq!(worker.terminate(SOON)?, 0);
    assert_eq!(proxy.count(signal), 4);
    assert_eq!(proxy.count("SignalWithStartWorkflowExecution"), 0);
    let log = worker.log()?;
    assert!(!log.contains("could not announce"), "{log}");
    Ok(())
}

/// A query that waits for a run while it ends is rejected, and asked again. So commands that wait
/// for a pass or a run do not fail.
async fn a_query_that_meets_a_continue_as_new_is_sent_again(on: Scheduler) -> anyhow::Result<()> {
    let query = "QueryWorkflow";
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let _worker = project.worker().start().await?;
    // Requests of a command alone.
    let proxy = Proxy::start(project.address()).await?;
    let commands: [(&str, &[&str], &str); 4] = [
        ("history", &["history", "one"], "created"),
        ("status", &["sync"], "1 unchanged"),
        ("runs", &["trigger", "one"], "started"),
        (
            "status",
            &["pause", "one", "--reason", "test"],
            "paused until",
        ),
    ];
    for (name, command, result) in commands {
        proxy.reset();
        proxy.answer_once(query, name, Answer::Message(rejected()));
        let args = [command, &["--project", project.name()]].concat();
        let output = almanac(proxy.address(), args)?.success()?;
        assert!(output.contains(result), "{output}");
        assert!(proxy.count(query) >= 2, "{command:?}: {:?}", proxy.counts());
    }
    Ok(())
}
