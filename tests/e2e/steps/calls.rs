//! Activities and workflows in Python, called from steps.

use std::path::Path;

use almanac_tests::{
    Project, Scheduler, Supervised, eventually, on_one_scheduler, python_program, temporal_cli,
};
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

use super::{UNTIL_GO, at, end, failure, go, output, problem, start};
use crate::replay::record;

on_one_scheduler!(
    activities_and_workflows_of_other_languages_are_called,
    a_call_of_an_abandoned_branch_is_canceled,
    a_canceled_run_cancels_the_calls_that_it_waits_for,
);

const SHOP: &str = r"
do:
  - charge: { call: activity, with: { name: Charge, task_queue: QUEUE, arguments: ['${ .amount }', EUR] }, metadata: { temporal: { start_to_close: 1m, heartbeat: 30s, priority: 2 } } }
  - ship:
      run: { workflow: { namespace: default, name: Ship, version: '1', input: { id: '${ .charged }', lost: '${ $workflow.input.lost }' } } }
      metadata: { temporal: { task_queue: QUEUE, summary: ship it } }
";

pub(super) fn python(project: &Project, queue: &str) -> anyhow::Result<Supervised> {
    let script = include_str!("worker.py");
    let log = project.folder().join("python.log");
    let args = ["-c", script, project.address(), queue];
    Supervised::spawn(Path::new(&python_program()?), args, &[], &log)
}

/// Their results and errors come back as JSON and as error objects.
async fn activities_and_workflows_of_other_languages_are_called(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let queue = format!("python-{}", project.name());
    project.write("shop.yaml", &SHOP.replace("QUEUE", &queue))?;
    let _python = python(&project, &queue)?;
    let _worker = project.worker().start().await?;
    let good = start(&project, "shop", json!({ "amount": 5, "lost": false })).await?;
    let bad = start(&project, "shop", json!({ "amount": -1 })).await?;
    let stated = start(&project, "shop", json!({ "amount": 0 })).await?;
    let lost = start(&project, "shop", json!({ "amount": 5, "lost": true })).await?;
    assert_eq!(output(&project, &good).await?, json!({ "shipped": 5 }));
    if matches!(on, Scheduler::V1) {
        record(&project, &good, "calls.pb").await?;
    }
    let (_, error) = problem(failure(&project, &bad).await?)?;
    assert_eq!(error["detail"], "BadAmount: less than nothing", "{error}");
    assert_eq!(error["instance"], "/do/0/charge");
    let (kind, error) = problem(failure(&project, &stated).await?)?;
    assert_eq!(
        (kind.as_str(), &error["status"]),
        ("https://shop.example/errors/nothing", &json!(409))
    );
    let (_, error) = problem(failure(&project, &lost).await?)?;
    assert_eq!(error["detail"], "Lost: the parcel is lost", "{error}");
    assert_eq!(error["instance"], "/do/1/ship");
    Ok(())
}

/// A branch that lost, and a task that took too long.
async fn a_call_of_an_abandoned_branch_is_canceled(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let queue = format!("python-{}", project.name());
    let steps = "
do:
  - race:
      fork:
        compete: true
        branches:
          - slow: { call: activity, with: { name: Charge, task_queue: QUEUE, arguments: [5000, EUR] }, metadata: { temporal: { heartbeat: 10s } } }
          - child: { run: { workflow: { namespace: default, name: Ship, version: '1', input: { forever: true } } }, metadata: { temporal: { task_queue: QUEUE } } }
          - quick: { UNTIL_GO }
  - rest: { wait: { hours: 1 } }
";
    let steps = steps.replace("UNTIL_GO", UNTIL_GO);
    project.write("race.yaml", &steps.replace("QUEUE", &queue))?;
    let _python = python(&project, &queue)?;
    let _worker = project.worker().start().await?;
    let id = start(&project, "race", Value::Null).await?;
    one_child(&project, &queue, "Running").await?;
    eventually("the activity to have begun", || async {
        Ok(describe(&project, &id)?.contains("Charge"))
    })
    .await?;
    go(&project, &id).await?;
    at(&project, &id, "do/1/rest").await?;
    // The run itself goes on, and its activity and child do not.
    one_child(&project, &queue, "Canceled").await?;
    eventually("the activity to be gone", || async {
        let shown = describe(&project, &id)?;
        Ok(!shown.contains("Charge"))
    })
    .await
}

/// Waits until there is one child with this status.
async fn one_child(project: &Project, queue: &str, status: &str) -> anyhow::Result<()> {
    let query =
        format!("WorkflowType = 'Ship' AND TaskQueue = '{queue}' AND ExecutionStatus = '{status}'");
    eventually(&format!("the child to be {status}"), || async {
        Ok(project.temporal().count_workflows(&query).await? == 1)
    })
    .await
}

fn describe(project: &Project, id: &str) -> anyhow::Result<String> {
    let args = [
        "workflow",
        "describe",
        "--output",
        "json",
        "--workflow-id",
        id,
    ];
    temporal_cli(project.address(), args)
}

/// Cancelling a run cancels its children.
async fn a_canceled_run_cancels_the_calls_that_it_waits_for(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let queue = format!("python-{}", project.name());
    let steps = "do:\n  - child: { run: { workflow: { namespace: default, name: Ship, version: '1', input: { forever: true } } }, metadata: { temporal: { task_queue: QUEUE } } }\n";
    project.write("waits.yaml", &steps.replace("QUEUE", &queue))?;
    let _python = python(&project, &queue)?;
    let _worker = project.worker().start().await?;
    let id = start(&project, "waits", Value::Null).await?;
    one_child(&project, &queue, "Running").await?;
    temporal_cli(
        project.address(),
        ["workflow", "cancel", "--workflow-id", &id],
    )?;
    let end = end(&project, &id).await?;
    assert!(
        matches!(end, Attributes::WorkflowExecutionCanceledEventAttributes(_)),
        "{end:?}"
    );
    one_child(&project, &queue, "Canceled").await
}
