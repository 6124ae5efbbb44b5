//! `RunDefinition` on a real server.

use almanac_core::record::PinnedDefinition;
use almanac_tests::{Project, Scheduler, eventually, json_payloads};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::enums::v1::HistoryEventFilterType;
use temporalio_common::protos::temporal::api::failure::v1::Failure;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::workflowservice::v1::GetWorkflowExecutionHistoryRequest;

use crate::fake_worker::{FakeWorker, Process, revision};
use crate::workflow_client::{one, start_workflow};

/// Waits for the end of a workflow, and returns the attributes of its last event.
pub(crate) async fn ending(project: &Project, id: &str) -> anyhow::Result<Attributes> {
    let end = async {
        loop {
            // A server gives up waiting after some seconds, with nothing.
            if let Some(end) = last_event(project, id).await? {
                return Ok(end);
            }
        }
    };
    tokio::time::timeout(almanac_tests::SOON, end)
        .await
        .context("it does not end")?
}

async fn last_event(project: &Project, id: &str) -> anyhow::Result<Option<Attributes>> {
    let request = GetWorkflowExecutionHistoryRequest {
        namespace: "default".to_owned(),
        execution: Some(WorkflowExecution {
            workflow_id: id.to_owned(),
            run_id: String::new(),
        }),
        wait_new_event: true,
        history_event_filter_type: HistoryEventFilterType::CloseEvent.into(),
        ..Default::default()
    };
    let mut service = project.temporal().service();
    let answer = service
        .get_workflow_execution_history(tonic::Request::new(request))
        .await?;
    let mut events = answer.into_inner().history.context("a history")?.events;
    Ok(events.pop().and_then(|last| last.attributes))
}

/// The innermost message of a workflow's failure.
pub(crate) async fn failure(project: &Project, id: &str) -> anyhow::Result<String> {
    match ending(project, id).await? {
        Attributes::WorkflowExecutionFailedEventAttributes(failed) => {
            let failure = failed.failure.context("a failure")?;
            Ok(innermost(&failure).message.clone())
        }
        other => bail!("it did not fail: {other:?}"),
    }
}

fn innermost(failure: &Failure) -> &Failure {
    failure.cause.as_deref().map_or(failure, innermost)
}

async fn result(project: &Project, id: &str) -> anyhow::Result<Value> {
    match ending(project, id).await? {
        Attributes::WorkflowExecutionCompletedEventAttributes(completed) => {
            let payloads = completed.result.context("a result")?.payloads;
            Ok(serde_json::from_slice(&payloads[0].data)?)
        }
        other => bail!("it did not complete: {other:?}"),
    }
}

pub(crate) async fn run(project: &Project, id: &str, input: &Value) -> anyhow::Result<()> {
    let queue = format!("almanac-{}", project.name());
    let input = Some(one(input));
    start_workflow(project, "RunDefinition", id, &queue, input).await
}

/// A `CloudEvent`.
pub(crate) fn event(kind: &str, id: &str, data: &Value) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/tests", "type": kind, "data": data, "room": data["room"] })
}

/// Sends an event to a run.
pub(crate) async fn send_event(project: &Project, run: &str, event: &Value) -> anyhow::Result<()> {
    // While a run goes on in a new execution, the server asks senders to try again.
    eventually("the event to be sent", || async {
        let input = json_payloads(std::slice::from_ref(event));
        project.temporal().signal(run, "event", input).await?;
        Ok(true)
    })
    .await
}

/// Lets a run go on that waits for it.
pub(crate) async fn go(project: &Project, run: &str) -> anyhow::Result<()> {
    send_event(project, run, &event("go", "go", &Value::Null)).await
}

#[test]
fn a_pinned_run_does_its_steps_and_answers_the_last_output() {
    almanac_tests::run(async {
        let project = Project::new(Scheduler::V1).await?;
        let fake = FakeWorker::holding("1");
        let _process = Process::workflows(&project, &fake)?;
        let steps = json!([
            { "first": { "set": { "a": 1 } } },
            { "pause": { "wait": { "milliseconds": 20 } } },
            { "last": { "set": { "b": { "c": [2] } } } },
            { "moment": { "wait": "PT0S" } },
        ]);
        let input = json!({ "definition": { "id": "x", "revision": "r", "do": steps } });
        let id = format!("{}/pinned", project.name());
        run(&project, &id, &input).await?;
        assert_eq!(result(&project, &id).await?, json!({ "b": { "c": [2] } }));

        let id = format!("{}/no-steps", project.name());
        let input = json!({
            "definition": { "id": "x", "revision": "r", "do": [] },
            "input": { "given": true },
        });
        run(&project, &id, &input).await?;
        assert_eq!(result(&project, &id).await?, json!({ "given": true }));
        Ok(())
    });
}

#[test]
fn a_run_by_name_takes_the_current_definition_and_keeps_it() {
    almanac_tests::run(async {
        let project = Project::new(Scheduler::V1).await?;
        let fake = FakeWorker::holding("1");
        let _process = Process::workflows(&project, &fake)?;
        let definition = |answer: &str| PinnedDefinition {
            id: "nightly".parse().unwrap(),
            revision: revision(answer),
            steps: json!([
                { "pause": { "listen": { "to": { "one": { "with": { "type": "go" } } } } } },
                { "answer": { "set": { "revision": answer } } },
            ]),
            signature: None,
        };
        fake.define(definition("1"));
        let id = format!("{}/by-name", project.name());
        run(&project, &id, &json!({ "definition": "nightly" })).await?;
        let details = || async {
            let temporal = project.temporal();
            let metadata = temporal
                .query(&id, "__temporal_workflow_metadata", None)
                .await?;
            Ok(metadata["currentDetails"]
                .to_string()
                .contains("at `do/0/pause`"))
        };
        eventually("the first task", details).await?;
        fake.define(definition("2"));
        go(&project, &id).await?;
        assert_eq!(result(&project, &id).await?, json!({ "revision": "1" }));
        Ok(())
    });
}

#[test]
fn a_definition_that_cannot_be_run_fails_with_its_place() {
    almanac_tests::run(async {
        let project = Project::new(Scheduler::V1).await?;
        let fake = FakeWorker::holding("1");
        let _process = Process::workflows(&project, &fake)?;
        let pinned =
            |steps: Value| json!({ "definition": { "id": "x", "revision": "r", "do": steps } });
        let cases = [
            (
                "unsupported",
                pinned(json!([{ "a": { "set": { "x": 1 } } }, { "b": { "call": "grpc" } }])),
                "Configuration Error (status 400): x: `do/1/b/call`: calls of `grpc` are not supported",
            ),
            (
                "unknown",
                json!({ "definition": "nobody" }),
                "Runtime Error (status 500): no definition `nobody`",
            ),
            (
                "nothing",
                json!(null),
                r#"Validation Error (status 400): the input must be {"definition": "ID", "input": …}"#,
            ),
        ];
        for (name, input, message) in cases {
            let id = format!("{}/{name}", project.name());
            run(&project, &id, &input).await?;
            assert_eq!(failure(&project, &id).await?, message);
        }
        Ok(())
    });
}
