//! Events that arrive over HTTP and start definitions.

use std::time::Duration;

use almanac_tests::{
    OwnServer, Project, Scheduler, Worker, eventually, on_both_schedulers, on_one_scheduler,
    temporal_cli,
};
use anyhow::Context;
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryRequest,
};

use crate::run_definition::ending;

on_both_schedulers!(
    an_event_starts_steps_once,
    an_event_starts_a_workflow_of_another_worker,
);
on_one_scheduler!(
    a_stated_workflow_id_decides_what_happens_to_the_next_event,
    a_failed_run_is_repeated_by_the_same_event,
    definitions_changed_on_disk_serve_the_next_event,
    a_refused_event_starts_nothing_and_says_why,
    a_search_attribute_that_is_lost_or_found_stops_no_event,
);

const CAPTURE: &str = "id: capture
triggers:
  - event: order.paid
    when: .data.amount > 10
    input: { order: '${ .data.order }' }
do:
  - take: { set: { taken: '${ .order }' } }
";

pub(crate) fn event(kind: &str, id: &str, data: impl Into<Value>) -> Value {
    let data = data.into();
    json!({ "specversion": "1.0", "id": id, "source": "/shop", "type": kind, "data": data })
}

/// Sends an event that starts one run, and returns the result of its trigger.
pub(crate) async fn started(worker: &Worker, event: &Value) -> anyhow::Result<Value> {
    let (status, body) = worker.send_event(event).await?;
    anyhow::ensure!(status == 202, "{status}: {body}");
    let runs = body["deliveries"][0]["runs"].as_array().context("runs")?;
    anyhow::ensure!(runs.len() == 1, "{body}");
    Ok(runs[0].clone())
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(crate) async fn describe(
    project: &Project,
    id: &str,
) -> anyhow::Result<DescribeWorkflowExecutionResponse> {
    let request = DescribeWorkflowExecutionRequest {
        namespace: "default".to_owned(),
        execution: Some(WorkflowExecution {
            workflow_id: id.to_owned(),
            run_id: String::new(),
        }),
    };
    let mut service = project.temporal().service();
    let answer = service.describe_workflow_execution(tonic::Request::new(request));
    Ok(answer.await?.into_inner())
}

/// The id of the last run with a workflow id.
async fn run_id(project: &Project, id: &str) -> anyhow::Result<String> {
    let info = describe(project, id).await?.workflow_execution_info;
    let execution = info.and_then(|info| info.execution).context("a run")?;
    Ok(execution.run_id)
}

/// The memo `almanac` of the last run with a workflow id.
pub(crate) async fn memo(project: &Project, id: &str) -> anyhow::Result<Value> {
    let info = describe(project, id).await?.workflow_execution_info;
    let memo = info.and_then(|info| info.memo).context("a memo")?;
    Ok(serde_json::from_slice(&memo.fields["almanac"].data)?)
}

/// The first argument of the last run with a workflow id.
pub(crate) async fn input(project: &Project, id: &str) -> anyhow::Result<Value> {
    use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
    let request = GetWorkflowExecutionHistoryRequest {
        namespace: "default".to_owned(),
        execution: Some(WorkflowExecution {
            workflow_id: id.to_owned(),
            run_id: String::new(),
        }),
        maximum_page_size: 1,
        ..Default::default()
    };
    let mut service = project.temporal().service();
    let answer = service.get_workflow_execution_history(tonic::Request::new(request));
    let history = answer.await?.into_inner().history.context("a history")?;
    match history
        .events
        .into_iter()
        .next()
        .and_then(|first| first.attributes)
    {
        Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => {
            let input = started.input.context("an input")?;
            Ok(serde_json::from_slice(&input.payloads[0].data)?)
        }
        other => anyhow::bail!("{other:?}"),
    }
}

pub(crate) async fn count(project: &Project, definition: &str, count: i64) -> anyhow::Result<()> {
    let prefix = format!("{}/{definition}/", project.name());
    let query = format!("WorkflowId STARTS_WITH '{prefix}'");
    eventually(&format!("{count} runs of {definition}"), || async {
        let found = project.temporal().count_workflows(&query).await?;
        anyhow::ensure!(found <= count, "{found} runs");
        Ok(found == count)
    })
    .await
}

async fn an_event_starts_steps_once(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("capture.yaml", CAPTURE)?;
    let mut worker = project.worker().start().await?;
    let paid = event("order.paid", "1", json!({ "order": "A", "amount": 11 }));
    let run = started(&worker, &paid).await?;
    assert_eq!(run["result"], "started", "{run}");
    assert_eq!(run["definition"], "capture");
    let id = text(&run["workflow_id"]);
    let prefix = format!("{}/capture/", project.name());
    assert!(id.starts_with(&prefix), "{id}");
    let end = format!("{:?}", ending(&project, &id).await?);
    assert!(end.contains("Completed"), "{end}");
    let input = input(&project, &id).await?;
    assert_eq!(input["input"], json!({ "order": "A" }));
    assert_eq!(input["event"]["type"], "order.paid");
    let memo = memo(&project, &id).await?;
    assert_eq!(memo["definition"], "capture");
    assert_eq!(memo["event"]["source"], "/shop");
    assert_eq!(memo["event"]["id"], "1");

    // Too small, and another type.
    let small = event("order.paid", "2", json!({ "order": "B", "amount": 1 }));
    assert_eq!(worker.send_event(&small).await?.0, 204);
    assert_eq!(
        worker.send_event(&event("other", "3", json!(1))).await?.0,
        204
    );

    // The same event again: now, and after the worker was killed.
    assert_eq!(started(&worker, &paid).await?["result"], "existing");
    worker.kill()?;
    worker.restart().await?;
    assert_eq!(started(&worker, &paid).await?["result"], "existing");
    let other = event("order.paid", "1", json!({ "order": "C", "amount": 99 }));
    let (status, body) = worker.send_event(&other).await?;
    assert_eq!(status, 409, "{body}");
    assert!(
        body["detail"].as_str().unwrap().contains("other data"),
        "{body}"
    );
    count(&project, "capture", 1).await?;

    let list = worker.json("/api/v1/events").await?;
    let listed: Vec<&Value> = list["deliveries"]
        .as_array()
        .context("deliveries")?
        .iter()
        .map(|one| &one["state"])
        .collect();
    assert_eq!(listed, ["refused", "started"]);
    let handled = worker
        .metric("almanac_events_total", &["result=\"started\""])
        .await?;
    assert!((handled - 1.0).abs() < 0.1, "{handled}");
    Ok(())
}

async fn an_event_starts_a_workflow_of_another_worker(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let definition = "id: invoice
triggers: [{ event: order.paid }]
workflow:
  type: InvoiceRun
  task_queue: nobody
  execution_timeout: 3h
  memo: { cost_center: 42 }
  priority: 2
";
    project.write("invoice.yaml", definition)?;
    project.write(
        "fixed.yaml",
        "triggers: [{ event: order.paid }]\nworkflow: { type: T, task_queue: nobody, args: [7] }\n",
    )?;
    let worker = project.worker().start().await?;
    let paid = event("order.paid", "1", json!({ "order": "A" }));
    let (status, body) = worker.send_event(&paid).await?;
    assert_eq!(status, 202, "{body}");
    let runs = &body["deliveries"][0]["runs"];
    let id = |definition: &str| {
        let runs = runs.as_array().into_iter().flatten();
        let mut of = runs.filter(|run| run["definition"] == definition);
        text(
            &of.next()
                .map_or(Value::Null, |run| run["workflow_id"].clone()),
        )
    };
    assert_eq!(
        input(&project, &id("invoice")).await?,
        json!({ "order": "A" })
    );
    assert_eq!(input(&project, &id("fixed")).await?, json!(7));
    let described = describe(&project, &id("invoice")).await?;
    let info = described.workflow_execution_info.context("a run")?;
    assert_eq!(info.r#type.context("a type")?.name, "InvoiceRun");
    assert_eq!(info.priority.context("a priority")?.priority_key, 2);
    let memo = info.memo.context("a memo")?.fields;
    assert_eq!(memo["cost_center"].data, b"42");
    let config = described.execution_config.context("a configuration")?;
    let timeout = config.workflow_execution_timeout.context("a time-out")?;
    assert_eq!(timeout.seconds, 3 * 3600);
    let of_event = format!(
        "AlmanacEventType = 'order.paid' AND AlmanacEventSource = '/shop' AND AlmanacEventId = '1' \
         AND WorkflowId STARTS_WITH '{}/'",
        project.name()
    );
    let mut found = vec![id("fixed"), id("invoice")];
    found.sort();
    eventually("the runs of the event", || async {
        Ok(project.temporal().workflow_ids(&of_event).await? == found)
    })
    .await
}

/// A definition whose runs never end, with a workflow id for each order.
pub(crate) fn by_order(id: &str, on_conflict: &str) -> String {
    format!(
        "id: {id}\ntriggers:\n  - event: {id}\n    workflow_id: '${{ .data.order }}'\n    on_conflict: {on_conflict}\nworkflow: {{ type: T, task_queue: nobody }}\n"
    )
}

async fn a_stated_workflow_id_decides_what_happens_to_the_next_event(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    for policy in ["use_existing", "fail", "terminate_existing"] {
        let id = policy.replace('_', "-");
        project.write(&format!("{id}.yaml"), &by_order(&id, policy))?;
    }
    let worker = project.worker().start().await?;
    let of = |id: &str, number: &str| event(id, number, json!({ "order": "A" }));
    let workflow = |id: &str| format!("{}/{id}/A", project.name());

    let first = started(&worker, &of("use-existing", "1")).await?;
    assert_eq!(first["workflow_id"], workflow("use-existing"));
    let run = run_id(&project, &workflow("use-existing")).await?;
    let second = started(&worker, &of("use-existing", "2")).await?;
    assert_eq!(second["result"], "existing");
    assert_eq!(run_id(&project, &workflow("use-existing")).await?, run);
    // After the end, the next event starts a run, and the first one delivered again does not.
    project
        .temporal()
        .terminate(&workflow("use-existing"))
        .await?;
    started(&worker, &of("use-existing", "1")).await?;
    assert_eq!(run_id(&project, &workflow("use-existing")).await?, run);
    let third = started(&worker, &of("use-existing", "3")).await?;
    assert_eq!(third["result"], "started");
    assert_ne!(run_id(&project, &workflow("use-existing")).await?, run);

    started(&worker, &of("fail", "1")).await?;
    let run = run_id(&project, &workflow("fail")).await?;
    let (status, body) = worker.send_event(&of("fail", "2")).await?;
    assert_eq!(status, 409, "{body}");
    assert!(
        text(&body["detail"]).contains("on_conflict: fail"),
        "{body}"
    );
    // The event that started the run is no conflict.
    assert_eq!(worker.send_event(&of("fail", "1")).await?.0, 202);
    assert_eq!(run_id(&project, &workflow("fail")).await?, run);

    started(&worker, &of("terminate-existing", "1")).await?;
    let run = run_id(&project, &workflow("terminate-existing")).await?;
    started(&worker, &of("terminate-existing", "2")).await?;
    let second = run_id(&project, &workflow("terminate-existing")).await?;
    assert_ne!(second, run);
    // Delivered again, the event does not terminate its own run.
    started(&worker, &of("terminate-existing", "2")).await?;
    assert_eq!(
        run_id(&project, &workflow("terminate-existing")).await?,
        second
    );
    Ok(())
}

async fn a_failed_run_is_repeated_by_the_same_event(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let definition = "id: retried
triggers: [{ event: x, on_conflict: retry_failed }]
workflow: { type: T, task_queue: nobody }
";
    project.write("retried.yaml", definition)?;
    let worker = project.worker().start().await?;
    let one = event("x", "1", json!(1));
    let first = started(&worker, &one).await?;
    let id = text(&first["workflow_id"]);
    let run = run_id(&project, &id).await?;
    assert_eq!(started(&worker, &one).await?["result"], "existing");
    project.temporal().terminate(&id).await?;
    assert_eq!(started(&worker, &one).await?["result"], "started");
    assert_ne!(run_id(&project, &id).await?, run);
    assert_eq!(started(&worker, &one).await?["result"], "existing");

    // A run that completed is not repeated.
    let steps = "id: done\ntriggers: [{ event: y, on_conflict: retry_failed }]\ndo: [a: { set: { a: 1 } }]\n";
    project.write("done.yaml", steps)?;
    worker.sync().await?;
    let one = event("y", "1", json!(1));
    let id = text(&started(&worker, &one).await?["workflow_id"]);
    ending(&project, &id).await?;
    let run = run_id(&project, &id).await?;
    assert_eq!(started(&worker, &one).await?["result"], "existing");
    assert_eq!(run_id(&project, &id).await?, run);
    Ok(())
}

async fn definitions_changed_on_disk_serve_the_next_event(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("capture.yaml", CAPTURE)?;
    let worker = project.worker().start().await?;
    let small = |id: &str| event("order.paid", id, json!({ "order": "A", "amount": 1 }));
    assert_eq!(worker.send_event(&small("1")).await?.0, 204);
    project.write("capture.yaml", &CAPTURE.replace("> 10", "> 0"))?;
    worker.sync().await?;
    started(&worker, &small("2")).await?;
    // A file that breaks stops nothing.
    project.write("capture.yaml", &CAPTURE.replace("> 10", "> >"))?;
    worker.sync_with("schedules=false").await.ok();
    started(&worker, &small("3")).await?;
    let disabled = CAPTURE.replace("id: capture", "id: capture\nenabled: false");
    project.write("capture.yaml", &disabled)?;
    worker.sync().await?;
    assert_eq!(worker.send_event(&small("4")).await?.0, 204);
    let report = worker.sync().await?;
    assert_eq!(report.event_types.total, 0);
    Ok(())
}

async fn a_refused_event_starts_nothing_and_says_why(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "capture.yaml",
        &CAPTURE.replace("    when: .data.amount > 10\n", ""),
    )?;
    project.write(
        "paid.yaml",
        "kind: event_type\nid: order.paid\nschema: { type: object, required: [order] }\n",
    )?;
    let other = "id: other\ntriggers: [{ event: order.paid, when: '.data | tonumber > 1' }]\nworkflow: { type: T, task_queue: nobody }\n";
    project.write("other.yaml", other)?;
    let worker = project.worker().start().await?;
    let report = worker.sync().await?;
    assert_eq!(report.event_types.total, 1);
    let (status, body) = worker
        .send_event(&event("order.paid", "1", json!({ "id": 1 })))
        .await?;
    assert_eq!(status, 422, "{body}");
    assert!(text(&body["detail"]).contains("lacks `order`"), "{body}");
    // The trigger of one definition fails, and the other definition starts.
    let good = event("order.paid", "2", json!({ "order": "A" }));
    let (status, body) = worker.send_event(&good).await?;
    assert_eq!(status, 422, "{body}");
    let runs = &body["deliveries"][0]["runs"];
    assert_eq!(runs[0]["definition"], "other");
    assert_eq!(runs[0]["result"], "refused");
    assert_eq!(runs[1]["result"], "started");
    count(&project, "capture", 1).await?;
    count(&project, "other", 0).await?;
    let log = worker.log()?;
    assert!(log.contains("an event was not handled"), "{log}");
    assert!(!log.contains("tonumber > 1\u{1b}"), "{log}");
    Ok(())
}

/// Sends events, each of which starts a run, until a run has just these search attributes.
async fn started_with(
    project: &Project,
    worker: &Worker,
    sent: &mut u32,
    attributes: &[&str],
) -> anyhow::Result<()> {
    let last = *sent + 100;
    loop {
        *sent += 1;
        let event = event("go", &sent.to_string(), json!(1));
        let run = started(worker, &event).await?;
        anyhow::ensure!(run["result"] == "started", "{run}");
        // The server may not describe a run while it forgets a search attribute of it.
        let info = describe(project, &text(&run["workflow_id"])).await.ok();
        let info = info.and_then(|described| described.workflow_execution_info);
        let found = info.and_then(|info| info.search_attributes);
        let names = found.map(|found| found.indexed_fields.into_keys().collect::<Vec<_>>());
        let mut names = names.unwrap_or_default();
        names.retain(|name| name.starts_with("AlmanacEvent"));
        names.sort();
        if names == attributes {
            return Ok(());
        }
        anyhow::ensure!(*sent < last, "the last run has {names:?}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn a_search_attribute_that_is_lost_or_found_stops_no_event(
    on: Scheduler,
) -> anyhow::Result<()> {
    let (id, source, kind) = ("AlmanacEventId", "AlmanacEventSource", "AlmanacEventType");
    let server = OwnServer::start(on)?;
    let project = Project::at(&server.address()).await?;
    project.write(
        "takes.yaml",
        "id: takes\ntriggers: [{ event: go }]\ndo: [a: { set: { a: 1 } }]\n",
    )?;
    let worker = project.worker().start().await?;
    let attribute = |verb: &str, name: &str, more: &[&str]| {
        let args = ["operator", "search-attribute", verb, "--name", name];
        temporal_cli(project.address(), args.iter().chain(more))
    };
    let mut sent = 0;
    started_with(&project, &worker, &mut sent, &[id, source, kind]).await?;
    attribute("remove", id, &["--yes"])?;
    started_with(&project, &worker, &mut sent, &[source, kind]).await?;
    // The loss of another makes the worker ask again, before it would do so by itself.
    attribute("create", id, &["--type", "Keyword"])?;
    attribute("remove", source, &["--yes"])?;
    started_with(&project, &worker, &mut sent, &[id, kind]).await
}
