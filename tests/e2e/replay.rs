//! The present code replays the histories of every release.
//!
//! `tests/histories/VERSION/*.pb` are histories as
//! `temporal.api.history.v1.History`, one of each kind for each version. The folder
//! of a released version is never changed. `make histories` records those of the
//! present version anew.
//!
//! Replay checks the order and the kinds of commands, not payloads and not
//! times.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use almanac_core::record::{PinnedDefinition, SyncRequest, WorkerEvent};
use almanac_tests::{Project, Scheduler};
use almanac_workflows::follow::FollowRuns;
use almanac_workflows::reconcile::ReconcileSchedules;
use almanac_workflows::run::RunDefinition;
use anyhow::{Context, ensure};
use prost::Message;
use serde_json::json;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::history::v1::History;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryRequest, RequestCancelWorkflowExecutionRequest,
};
use temporalio_sdk::workflow_replayer::{WorkflowReplayer, WorkflowReplayerOptions};

use crate::fake_worker::{FakeWorker, Fate, Process, announcement_of, revision};
use crate::workflow_client::{WorkflowClient, one};

/// Environment variable. If it is set, the tests below write the histories of their runs.
pub(crate) const RECORD: &str = "ALMANAC_RECORD_HISTORIES";

pub(crate) fn histories() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("histories")
}

/// The history of one run.
pub(crate) async fn history(
    project: &Project,
    workflow: &str,
    run: &str,
) -> anyhow::Result<History> {
    let mut events = Vec::new();
    let mut next_page_token = Vec::new();
    loop {
        let request = GetWorkflowExecutionHistoryRequest {
            namespace: "default".to_owned(),
            execution: Some(WorkflowExecution {
                workflow_id: workflow.to_owned(),
                run_id: run.to_owned(),
            }),
            next_page_token,
            ..Default::default()
        };
        let mut service = project.temporal().service();
        let page = service
            .get_workflow_execution_history(tonic::Request::new(request))
            .await?
            .into_inner();
        events.extend(page.history.context("a history")?.events);
        next_page_token = page.next_page_token;
        if next_page_token.is_empty() {
            return Ok(History { events });
        }
    }
}

/// Replays one history with the present code.
async fn replay(history: History) -> anyhow::Result<()> {
    let options = WorkflowReplayerOptions::new()
        .register_workflow::<ReconcileSchedules>()?
        .register_workflow::<RunDefinition>()?
        .register_workflow::<FollowRuns>()?
        .build();
    WorkflowReplayer::new(options)?
        .replay_workflow(history.into())
        .await?;
    Ok(())
}

/// All runs of a workflow so far with their histories, the newest first.
pub(crate) async fn chain(
    project: &Project,
    workflow: &str,
) -> anyhow::Result<Vec<(String, History)>> {
    let (mut run, _) = project.temporal().run_of(workflow).await?;
    let mut runs = Vec::new();
    while !run.is_empty() {
        let history = history(project, workflow, &run).await?;
        let first = history.events.first().and_then(|e| e.attributes.as_ref());
        let Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) = first else {
            anyhow::bail!("a history begins with a start");
        };
        let before = started.continued_execution_run_id.clone();
        runs.push((std::mem::replace(&mut run, before), history));
    }
    Ok(runs)
}

/// Replays all runs of a workflow so far. Returns the number of runs.
pub(crate) async fn replays(project: &Project, workflow: &str) -> anyhow::Result<usize> {
    let runs = chain(project, workflow).await?;
    let number = runs.len();
    for (run, history) in runs {
        let bytes = history.encode_to_vec();
        if let Err(error) = replay(history).await {
            // Kept for whoever looks into it: the server is gone by then.
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/unreplayed");
            std::fs::create_dir_all(&folder)?;
            let file = folder.join(format!("{run}.pb"));
            std::fs::write(&file, bytes)?;
            return Err(error).with_context(|| format!("run {run}, kept as {}", file.display()));
        }
    }
    Ok(number)
}

/// Replays the newest run of a workflow and, when asked to, keeps its history.
pub(crate) async fn record(project: &Project, workflow: &str, name: &str) -> anyhow::Result<()> {
    let (run, _) = project.temporal().run_of(workflow).await?;
    let history = history(project, workflow, &run).await?;
    if std::env::var_os(RECORD).is_some() {
        let folder = histories().join(env!("CARGO_PKG_VERSION"));
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), history.encode_to_vec())?;
    }
    replay(history).await
}

#[test]
fn a_run_of_the_reconcile_workflow_replays() {
    almanac_tests::run(async {
        let client = WorkflowClient::start(Some(one(&"junk"))).await?;
        let (a, b) = (FakeWorker::holding("1"), FakeWorker::holding("1"));
        let _workflows = Process::workflows(&client.project, &a)?;
        let _a = Process::worker(&client.project, "a", &a)?;
        let b_process = Process::worker(&client.project, "b", &b)?;
        // A start, junk, a failure with its timer, a fast pass, an interruption, a refusal.
        client
            .until("a first answer", |s| s.state == "waiting_for_worker")
            .await?;
        client.signal("definitions_changed", None).await?;
        a.then([Fate::Fails("once"), Fate::Fails("twice")]);
        client.started("a", "1").await?;
        let mut passes = client.settled(1).await?.pass;
        a.edit("2");
        let mut edit = announcement_of("a", WorkerEvent::Changed, Some("1"), "2");
        edit.changed = Some(vec!["x".parse()?]);
        client.announce(&edit).await?;
        client.settled(passes + 1).await?;
        a.then([Fate::MovesTo("3")]);
        client.signal("reconcile", None).await?;
        passes = client.settled(passes + 3).await?.pass;
        a.edit("4");
        client.signal("reconcile", None).await?;
        client.settled(passes + 1).await?;
        // Replicas that differ; a dead one.
        client.started("b", "1").await?;
        passes = client.settled(passes + 2).await?.pass;
        drop(b_process);
        client.signal("reconcile", None).await?;
        let status = client.settled(passes + 1).await?;
        assert_eq!(status.workers.len(), 1);
        // Updates while a pass runs.
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        a.then([Fate::WaitsFor(Arc::clone(&gate))]);
        let request = |id: &str, dry_run| SyncRequest {
            request_id: id.to_owned(),
            dry_run,
            ..SyncRequest::default()
        };
        client.sync(&request("1", false)).await?;
        client.until("it to run", |s| s.state == "running").await?;
        let last = client.sync(&request("2", true)).await?;
        gate.close();
        client.settled(last).await?;
        // The run is canceled in the end.
        let id = client.project.reconcile_workflow();
        let request = RequestCancelWorkflowExecutionRequest {
            namespace: "default".to_owned(),
            workflow_execution: Some(WorkflowExecution {
                workflow_id: id.clone(),
                run_id: String::new(),
            }),
            ..Default::default()
        };
        let mut service = client.project.temporal().service();
        service
            .request_cancel_workflow_execution(tonic::Request::new(request))
            .await?;
        let ended = crate::run_definition::ending(&client.project, &id).await?;
        assert!(
            matches!(
                ended,
                Attributes::WorkflowExecutionCanceledEventAttributes(_)
            ),
            "{ended:?}"
        );
        record(&client.project, &id, "reconcile.pb").await
    });
}

#[test]
fn a_run_of_a_definition_replays() {
    almanac_tests::run(async {
        let project = Project::new(Scheduler::V1).await?;
        let fake = FakeWorker::holding("1");
        let _process = Process::workflows(&project, &fake)?;
        fake.define(PinnedDefinition {
            id: "nightly".parse()?,
            revision: revision("1"),
            steps: json!([
                { "pause": { "wait": { "milliseconds": 10 } } },
                { "answer": { "set": { "done": true } } },
                { "again": { "wait": "PT0.01S" } },
            ]),
            signature: None,
        });
        let id = format!("{}/nightly", project.name());
        crate::run_definition::run(&project, &id, &json!({ "definition": "nightly" })).await?;
        crate::run_definition::ending(&project, &id).await?;
        record(&project, &id, "run.pb").await
    });
}

fn recorded() -> anyhow::Result<Vec<(PathBuf, History)>> {
    let mut found = Vec::new();
    for release in std::fs::read_dir(histories())? {
        for file in std::fs::read_dir(release?.path())? {
            let path = file?.path();
            if path.extension().is_none_or(|it| it != "pb") {
                continue;
            }
            let history = History::decode(std::fs::read(&path)?.as_slice())?;
            found.push((path, history));
        }
    }
    ensure!(found.len() > 1, "the histories are missing");
    Ok(found)
}

#[test]
fn the_recorded_histories_of_every_release_replay() {
    almanac_tests::run(async {
        for (path, history) in recorded()? {
            replay(history)
                .await
                .with_context(|| path.display().to_string())?;
        }
        Ok(())
    });
}

/// A replay that cannot fail would prove nothing.
#[test]
fn a_history_of_other_commands_does_not_replay() {
    almanac_tests::run(async {
        for (path, mut history) in recorded()? {
            let scheduled = history
                .events
                .iter_mut()
                .find_map(|event| match event.attributes.as_mut() {
                    Some(Attributes::ActivityTaskScheduledEventAttributes(scheduled)) => {
                        Some(scheduled)
                    }
                    _ => None,
                })
                .context("an activity")?;
            scheduled.activity_type = Some(
                temporalio_common::protos::temporal::api::common::v1::ActivityType {
                    name: "another".to_owned(),
                },
            );
            let outcome = replay(history).await;
            ensure!(outcome.is_err(), "{}", path.display());
        }
        Ok(())
    });
}
