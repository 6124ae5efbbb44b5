//! A worker of other task queues. It does the activities and workflows that scenarios call, of any
//! type.

use std::collections::BTreeSet;
use std::sync::Arc;

use almanac_tests::{Project, json_payloads};
use anyhow::Context;
use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use temporalio_common::protos::temporal::api::command::v1::command::Attributes as Does;
use temporalio_common::protos::temporal::api::command::v1::{
    Command, CompleteWorkflowExecutionCommandAttributes, FailWorkflowExecutionCommandAttributes,
};
use temporalio_common::protos::temporal::api::common::v1::{Payloads, WorkflowExecution};
use temporalio_common::protos::temporal::api::enums::v1::CommandType;
use temporalio_common::protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_common::protos::temporal::api::failure::v1::{ApplicationFailureInfo, Failure};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    PollActivityTaskQueueRequest, PollActivityTaskQueueResponse, PollWorkflowTaskQueueRequest,
    PollWorkflowTaskQueueResponse, RespondActivityTaskCompletedRequest,
    RespondActivityTaskFailedRequest, RespondWorkflowTaskCompletedRequest,
};

use super::scenario::{Call, error_type, has, same};
use super::{Case, Cases};

const NAMESPACE: &str = "default";

/// Starts the worker. It ends with the test's runtime, and at the first error, which fails the test.
pub(super) fn start(project: &Project, cases: &Arc<Cases>) {
    let mut queues = BTreeSet::new();
    for (_, _, call) in cases.calls() {
        if let (Some(queue), Some((kind, _))) = (call.queue(), call.request()) {
            queues.insert((queue.to_owned(), kind));
        }
    }
    for (queue, kind) in queues {
        let (temporal, cases) = (project.temporal().clone(), Arc::clone(cases));
        tokio::spawn(async move {
            loop {
                let done = if kind == "activity" {
                    activity(&temporal, &queue, &cases).await
                } else {
                    workflow(&temporal, &queue, &cases).await
                };
                if let Err(error) = done {
                    cases.differs(format!("the task queue {queue}: {error:#}"));
                    return;
                }
            }
        });
    }
}

/// Waits for an activity, and does it.
async fn activity(
    temporal: &almanac_tests::Temporal,
    queue: &str,
    cases: &Cases,
) -> anyhow::Result<()> {
    let request = PollActivityTaskQueueRequest {
        namespace: NAMESPACE.to_owned(),
        task_queue: Some(named(queue)),
        ..Default::default()
    };
    let mut service = temporal.service();
    let task = service.poll_activity_task_queue(tonic::Request::new(request));
    let task = task.await?.into_inner();
    if task.task_token.is_empty() {
        return Ok(());
    }
    let token = task.task_token.clone();
    match outcome(cases, task.workflow_execution.as_ref(), |call| {
        is_activity(&task, call)
    }) {
        Ok(answer) => {
            let request = RespondActivityTaskCompletedRequest {
                namespace: NAMESPACE.to_owned(),
                task_token: token,
                result: json_payloads(&[answer]),
                ..Default::default()
            };
            let answered = service.respond_activity_task_completed(tonic::Request::new(request));
            answered.await?;
        }
        Err(failure) => {
            let request = RespondActivityTaskFailedRequest {
                namespace: NAMESPACE.to_owned(),
                task_token: token,
                failure: Some(*failure),
                ..Default::default()
            };
            let answered = service.respond_activity_task_failed(tonic::Request::new(request));
            answered.await?;
        }
    }
    Ok(())
}

/// Waits for a workflow, and ends it in its first task.
async fn workflow(
    temporal: &almanac_tests::Temporal,
    queue: &str,
    cases: &Cases,
) -> anyhow::Result<()> {
    let request = PollWorkflowTaskQueueRequest {
        namespace: NAMESPACE.to_owned(),
        task_queue: Some(named(queue)),
        ..Default::default()
    };
    let mut service = temporal.service();
    let task = service.poll_workflow_task_queue(tonic::Request::new(request));
    let task = task.await?.into_inner();
    if task.task_token.is_empty() {
        return Ok(());
    }
    let outcome = outcome(cases, task.workflow_execution.as_ref(), |call| {
        is_workflow(&task, call)
    });
    let (kind, does) = match outcome {
        Ok(answer) => (
            CommandType::CompleteWorkflowExecution,
            Does::CompleteWorkflowExecutionCommandAttributes(
                CompleteWorkflowExecutionCommandAttributes {
                    result: json_payloads(&[answer]),
                },
            ),
        ),
        Err(failure) => (
            CommandType::FailWorkflowExecution,
            Does::FailWorkflowExecutionCommandAttributes(FailWorkflowExecutionCommandAttributes {
                failure: Some(*failure),
            }),
        ),
    };
    let request = RespondWorkflowTaskCompletedRequest {
        namespace: NAMESPACE.to_owned(),
        task_token: task.task_token,
        commands: vec![Command {
            command_type: kind.into(),
            attributes: Some(does),
            ..Default::default()
        }],
        ..Default::default()
    };
    let answered = service.respond_workflow_task_completed(tonic::Request::new(request));
    answered.await?;
    Ok(())
}

fn named(queue: &str) -> TaskQueue {
    TaskQueue {
        name: queue.to_owned(),
        ..Default::default()
    }
}

/// The answer of the scenario's next call that fits, or its error. The id of a run is
/// `PROJECT/DEFINITION/NUMBER`, and that of a child begins with the run's.
fn outcome(
    cases: &Cases,
    execution: Option<&WorkflowExecution>,
    fits: impl Fn(&Call) -> anyhow::Result<()>,
) -> Result<Value, Box<Failure>> {
    let workflow = execution.map(|execution| execution.workflow_id.as_str());
    let definition = workflow.and_then(|id| id.split('/').nth(1));
    let of = |case: &Case| Some(case.id.as_str()) == definition;
    let fits = |_: &Case, call: &Call| fits(call).map_err(|why| format!("{why:#}"));
    match cases.take(of, fits) {
        Ok((_, call)) => match &call.error {
            Some(error) => Err(Box::new(failure(error))),
            None => Ok(call.answer.clone()),
        },
        Err(why) => {
            cases.differs(format!("{workflow:?}: {why}"));
            Err(Box::new(failure(&Map::new())))
        }
    }
}

/// An error of a scenario as a failure. An error that has a status is in the details.
fn failure(error: &Map<String, Value>) -> Failure {
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
    let details = error.contains_key("status").then(|| {
        let mut details = error.clone();
        details.insert("type".to_owned(), json!(error_type(text("type"))));
        Value::Object(details)
    });
    Failure {
        message: text("detail").to_owned(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(
            ApplicationFailureInfo {
                details: details.and_then(|details| json_payloads(&[details])),
                non_retryable: true,
                ..Default::default()
            },
        )),
        ..Default::default()
    }
}

/// Compares an activity with the one that a call describes.
fn is_activity(task: &PollActivityTaskQueueResponse, call: &Call) -> anyhow::Result<()> {
    let found = json!({
        "name": task.activity_type.as_ref().context("a type")?.name,
        "arguments": values(task.input.as_ref())?,
    });
    let timeouts = [
        ("start_to_close", &task.start_to_close_timeout),
        ("schedule_to_close", &task.schedule_to_close_timeout),
        ("heartbeat", &task.heartbeat_timeout),
    ];
    for (key, found) in timeouts {
        if let Some(wanted) = call.options.get(key).and_then(Value::as_str) {
            let wanted: SignedDuration = wanted.parse()?;
            let found = found.as_ref().context("no limit")?;
            let found = SignedDuration::new(found.seconds, found.nanos);
            anyhow::ensure!(wanted == found, "{key} is {found}, expected {wanted}");
        }
    }
    if let Some(wanted) = call.options.get("priority") {
        let priority = task.priority.as_ref().context("no priority")?;
        same("priority", wanted, &json!(priority.priority_key)).map_err(anyhow::Error::msg)?;
    }
    is_request("activity", &["name", "arguments"], &found, call)
}

/// Compares a child workflow with the one that a call describes.
fn is_workflow(task: &PollWorkflowTaskQueueResponse, call: &Call) -> anyhow::Result<()> {
    let history = task.history.as_ref().context("a history")?;
    let first = history
        .events
        .first()
        .and_then(|first| first.attributes.as_ref());
    let Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) = first else {
        anyhow::bail!("the history begins with {first:?}");
    };
    let found = json!({
        "name": task.workflow_type.as_ref().context("a type")?.name,
        "input": values(started.input.as_ref())?.pop().unwrap_or_default(),
    });
    is_request("workflow", &["name", "input"], &found, call)
}

/// Compares those properties of a request that a worker sees.
fn is_request(kind: &str, keys: &[&str], found: &Value, call: &Call) -> anyhow::Result<()> {
    let (_, wanted) = call
        .request()
        .filter(|(of, _)| *of == kind)
        .context("another kind")?;
    let wanted = wanted
        .iter()
        .filter(|(key, _)| keys.contains(&key.as_str()));
    let wanted = wanted.map(|(key, value)| (key.clone(), value.clone()));
    let found = found.as_object().context("a map")?;
    has(kind, &wanted.collect(), found).map_err(anyhow::Error::msg)
}

fn values(payloads: Option<&Payloads>) -> anyhow::Result<Vec<Value>> {
    let payloads = payloads.into_iter().flat_map(|all| &all.payloads);
    payloads
        .map(|payload| Ok(serde_json::from_slice(&payload.data)?))
        .collect()
}
