//! `examples/custom-worker`: Almanac as a library, with a workflow and an activity of its own.

use std::path::PathBuf;
use std::process::Command;

use almanac_tests::{
    Project, Scheduler, WorkerCommand, cargo, on_one_scheduler, wait_for, workspace,
};
use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

use crate::run_definition::ending;

on_one_scheduler!(definitions_use_the_workflow_and_the_activity_of_a_custom_worker,);

/// The project whose task queue the example's definitions name.
const PROJECT: &str = "hello";

/// Builds the example, with the features that the tests are built with. Its own test brings its
/// binary.
fn build() -> anyhow::Result<PathBuf> {
    let output = cargo()
        .args(["test", "--no-run", "--workspace", "--locked", "--quiet"])
        .args(["--test", "definitions", "--test", "binary"])
        .output()?;
    let problem = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{problem}");
    // …/target/PROFILE/deps/e2e-HASH
    let this = std::env::current_exe()?;
    let folder = this.ancestors().nth(2).context("the target folder")?;
    Ok(folder.join("custom-worker"))
}

fn example() -> PathBuf {
    workspace().join("examples/custom-worker")
}

async fn definitions_use_the_workflow_and_the_activity_of_a_custom_worker(
    on: Scheduler,
) -> anyhow::Result<()> {
    let binary = tokio::task::spawn_blocking(build).await??;
    let definitions = example().join("definitions");
    let project = Project::named(almanac_tests::server(on).address().as_str(), PROJECT).await?;
    let worker: WorkerCommand = project.worker().binary(&binary).dir(&definitions);
    let mut worker = worker.start().await?;
    assert_eq!(
        result(&project, "welcome").await?,
        json!({ "greeting": "Hello, Ada" })
    );
    assert_eq!(
        result(&project, "morning").await?,
        json!("Hello, Grace. Good morning!")
    );
    assert_eq!(worker.terminate(almanac_tests::SOON)?, 0);

    let steps = definitions.join("welcome.yaml");
    let refused = Command::new(&binary).arg("exec").arg(&steps).output()?;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let refused = String::from_utf8(refused.stderr)?;
    assert!(
        refused.contains("no server to call activities"),
        "{refused}"
    );
    Ok(())
}

/// Result of the first run of a definition that completes.
async fn result(project: &Project, definition: &str) -> anyhow::Result<Value> {
    let query = format!(
        "TemporalScheduledById = '{}' AND ExecutionStatus = 'Completed'",
        project.schedule(definition)
    );
    let id = wait_for("a run to complete", 2 * almanac_tests::SOON, || async {
        Ok(project.temporal().workflow_ids(&query).await?.pop())
    })
    .await?;
    match ending(project, &id).await? {
        Attributes::WorkflowExecutionCompletedEventAttributes(completed) => {
            let payloads = completed.result.context("a result")?.payloads;
            Ok(serde_json::from_slice(&payloads[0].data)?)
        }
        other => bail!("it ended with {other:?}"),
    }
}
