//! A worker that is killed in the middle of each kind of call, and of a long
//! computation.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use almanac_tests::{Project, Scheduler, eventually, on_one_scheduler};
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

use super::calls::python;
use super::external_calls::{shop, worker};
use super::{UNTIL_GO, at, go, output, start};
use crate::replay::history;
use crate::web::Web;

on_one_scheduler!(
    a_worker_killed_in_the_middle_of_any_call_loses_nothing,
    ids_and_times_of_a_run_are_the_same_after_a_kill,
);

const HTTP: &str = "
do:
  - call: { call: http, with: { method: get, endpoint: 'http://WEB/slow' }, metadata: { temporal: { heartbeat: 3s } } }
";

const OPENAPI: &str = "
do:
  - call:
      call: openapi
      with: { document: { endpoint: 'http://WEB/openapi.json' }, operationId: stock, parameters: { item: late, unit: box } }
      metadata: { temporal: { heartbeat: 3s } }
";

/// Nobody knows how far a command came, so it does not run again.
const SHELL: &str = "
do:
  - call:
      try:
        - deploy:
            run: { shell: { command: sh, arguments: ['-c', 'if mkdir FOLDER/began; then sleep 300; fi; echo done'] } }
            metadata: { temporal: { heartbeat: 3s } }
      catch: { do: [{ say: { set: { said: '${ $error.detail }' } } }] }
";

const ACTIVITY: &str = "
do:
  - call: { call: activity, with: { name: Await, task_queue: QUEUE, arguments: ['FOLDER/there'] } }
";

const CHILDREN: &str = "
do:
  - call:
      fork:
        branches:
          - python:
              run: { workflow: { namespace: default, name: Ship, version: '1', input: { id: 5, signalled: true } } }
              metadata: { temporal: { task_queue: QUEUE } }
          - steps:
              run: { workflow: { namespace: default, name: RunDefinition, version: '1', input: { definition: child, input: { n: 1 } } } }
";

/// More than it does before the worker is killed.
const COUNTS: &str = "
do:
  - call: { set: { n: '${ .n + 1 }' } }
  - enough: { switch: [{ no: { when: .n < 30000, then: call } }] }
";

/// Tells what it made before the worker is killed, and after.
const MAKES: &str = r#"
do:
  - make: { set: { id: '${ uuid }', other: '${ uuid }', at: '${ now }' }, export: { as: . } }
  - first: { call: http, with: { method: get, endpoint: '${ "http://WEB/first/\($context.id)/\($context.other)/\($context.at)/\($workflow.id)" }' } }
  - rest: { UNTIL_GO }
  - second: { call: http, with: { method: get, endpoint: '${ "http://WEB/second/\($context.id)/\($context.other)/\($context.at)/\($workflow.id)" }' } }
"#;

const CHILD: &str = "
do:
  - rest: { UNTIL_GO }
  - add: { set: { n: '${ .n + 1 }' } }
";

/// The next process has the call made again if it may be, or waits for the same
/// child.
async fn a_worker_killed_in_the_middle_of_any_call_loses_nothing(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let (first, late) = (AtomicU32::new(0), AtomicU32::new(0));
    let web = Web::start(move |request| {
        let again = |count: &AtomicU32| count.fetch_add(1, Ordering::Relaxed) > 0;
        match request.target.as_str() {
            "/slow" => again(&first).then(|| (200, json!({ "answered": "later" }))),
            "/v1/stock/late?unit=box" => again(&late).then(|| (200, json!({ "left": 0 }))),
            _ => shop(request),
        }
    })
    .await?;
    let queue = format!("python-{}", project.name());
    let folder = project.folder().display().to_string();
    let definitions = [
        ("http", HTTP),
        ("openapi", OPENAPI),
        ("shell", SHELL),
        ("activity", ACTIVITY),
        ("children", CHILDREN),
        ("counts", COUNTS),
        ("child", CHILD),
    ];
    for (file, text) in definitions {
        let text = text.replace("WEB", web.address());
        let text = text.replace("QUEUE", &queue).replace("FOLDER", &folder);
        let text = text.replace("UNTIL_GO", UNTIL_GO);
        project.write(&format!("{file}.yaml"), &text)?;
    }
    let _python = python(&project, &queue)?;
    let mut worker = worker(&project, &web)?.start().await?;
    let mut runs = Vec::new();
    for (definition, _) in &definitions[..5] {
        runs.push(start(&project, definition, Value::Null).await?);
    }
    for id in &runs {
        at(&project, id, "do/0/call").await?;
    }
    let there = |file: &str| Path::new(&folder).join(file);
    let children = format!(
        "ExecutionStatus = 'Running' AND WorkflowId STARTS_WITH '{}/'",
        runs[4]
    );
    eventually("each call to be under way", || async {
        let asked = web.asked();
        let asked = |target: &str| asked.iter().any(|request| request.target == target);
        let children = project.temporal().count_workflows(&children).await?;
        Ok(asked("/slow")
            && asked("/v1/stock/late?unit=box")
            && there("began").exists()
            && there("there.began").exists()
            && children == 2)
    })
    .await?;
    // The last, since it goes on for some seconds only.
    runs.push(start(&project, "counts", json!({ "n": 0 })).await?);
    let (counting, _) = project.temporal().run_of(&runs[5]).await?;
    eventually("it to count", || async {
        // Started, scheduled, and with the worker.
        let history_so_far = history(&project, &runs[5], &counting).await?;
        Ok(history_so_far.events.len() >= 3)
    })
    .await?;
    worker.kill()?;
    let history_so_far = history(&project, &runs[5], &counting).await?;
    let last = history_so_far
        .events
        .last()
        .and_then(|event| event.attributes.as_ref());
    let ended = matches!(
        last,
        Some(Attributes::WorkflowExecutionCompletedEventAttributes(_))
    );
    assert!(!ended, "it was killed while it counted");
    std::fs::write(there("there"), "")?;
    worker.restart().await?;
    let of = |kind: &str| format!("{children} AND WorkflowType = '{kind}'");
    for child in project.temporal().workflow_ids(&of("Ship")).await? {
        project.temporal().signal(&child, "ship", None).await?;
    }
    for child in project
        .temporal()
        .workflow_ids(&of("RunDefinition"))
        .await?
    {
        go(&project, &child).await?;
    }
    let wanted = [
        json!({ "answered": "later" }),
        json!({ "left": 0 }),
        json!({ "said": "the worker that made the call was lost or took too long; the call may have been done, so it is not repeated" }),
        json!("it is there"),
        json!([{ "shipped": 5 }, { "n": 2 }]),
        json!({ "n": 30000 }),
    ];
    for (id, wanted) in runs.iter().zip(wanted) {
        assert_eq!(output(&project, id).await?, wanted, "{id}");
    }
    Ok(())
}

/// A worker that knows nothing of a run computes everything in it again.
async fn ids_and_times_of_a_run_are_the_same_after_a_kill(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let web = Web::start(|_| Some((200, json!({})))).await?;
    let makes = MAKES.replace("UNTIL_GO", UNTIL_GO);
    project.write("makes.yaml", &makes.replace("WEB", web.address()))?;
    let mut worker = worker(&project, &web)?.start().await?;
    let id = start(&project, "makes", Value::Null).await?;
    at(&project, &id, "do/2/rest").await?;
    worker.kill()?;
    worker.restart().await?;
    go(&project, &id).await?;
    output(&project, &id).await?;
    let asked = web.asked();
    let rest_of = |part: &str| {
        let mut targets = asked.iter().map(|request| request.target.as_str());
        let rest = targets.find_map(|target| target.strip_prefix(part));
        rest.unwrap_or_default().to_owned()
    };
    let first = rest_of("/first/");
    assert_eq!(first, rest_of("/second/"));
    let mut parts = first.splitn(4, '/');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let (one, other, at) = (part(), part(), part());
    assert!(
        one.len() == 36 && other.len() == 36 && one != other,
        "{first}"
    );
    assert!(at.parse::<f64>().is_ok_and(|at| at > 1.7e9), "{first}");
    // Its run is part of it.
    assert!(part().starts_with(&format!("{id}/")), "{first}");
    Ok(())
}
