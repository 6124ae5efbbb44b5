//! Worker versioning: `--worker-deployment`.

use almanac_tests::{
    Project, SOON, Scheduler, Worker, eventually, on_one_scheduler, temporal_cli, wait_for,
};
use anyhow::{Context, ensure};
use serde_json::json;
use temporalio_common::protos::temporal::api::enums::v1::VersioningBehavior;
use temporalio_common::protos::temporal::api::workflow::v1::WorkflowExecutionVersioningInfo;
use temporalio_common::protos::temporal::api::workflow::v1::versioning_override::Override;

use crate::events::describe;
use crate::run_definition::go;
use crate::steps::{output, start};

on_one_scheduler!(a_versioned_worker_waits_for_its_turn_and_runs_stay_on_their_version);

/// Runs until it gets an event.
const WAITS: &str = "schedule: { cron: '0 0 1 1 *' }
do:
  - take: { listen: { to: { one: { with: { type: go } } } } }
  - answer: { set: { done: true } }
";
const SHORT: &str = "do: [a: { set: { done: true } }]\n";

async fn versioning(
    project: &Project,
    id: &str,
) -> anyhow::Result<WorkflowExecutionVersioningInfo> {
    let info = describe(project, id).await?.workflow_execution_info;
    let info = info.context("an execution")?;
    info.versioning_info.context("no version yet")
}

fn build_id(info: &WorkflowExecutionVersioningInfo) -> Option<&str> {
    Some(info.deployment_version.as_ref()?.build_id.as_str())
}

/// Does what the reason says that keeps a version from getting tasks.
async fn promote(project: &Project, reason: &str) -> anyhow::Result<()> {
    let (_, command) = reason.split_once("; hint: temporal ").context("a hint")?;
    let words: Vec<&str> = command.split(' ').chain(["--yes"]).collect();
    // The version is known to Temporal a moment after its workers have polled.
    eventually("the version to be made the current one", || async {
        Ok(temporal_cli(project.address(), &words).is_ok())
    })
    .await
}

async fn reason_of(worker: &Worker) -> anyhow::Result<String> {
    wait_for("the worker to say what it waits for", SOON, || async {
        let (status, body) = worker.get("/readyz").await?;
        ensure!(status == 503, "it is ready");
        let readiness: serde_json::Value = serde_json::from_str(&body)?;
        let reason = readiness["reason"].as_str().unwrap_or_default();
        Ok(reason
            .contains("no current version")
            .then(|| reason.to_owned()))
    })
    .await
}

/// Starts the short definition, waits for its end, and gives its build ID.
async fn short_run(project: &Project) -> anyhow::Result<Option<String>> {
    let id = start(project, "short", json!(null)).await?;
    assert_eq!(output(project, &id).await?, json!({ "done": true }));
    let info = versioning(project, &id).await?;
    assert_eq!(info.behavior(), VersioningBehavior::Pinned);
    Ok(build_id(&info).map(str::to_owned))
}

async fn a_versioned_worker_waits_for_its_turn_and_runs_stay_on_their_version(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("waits.yaml", WAITS)?;
    project.write("short.yaml", SHORT)?;
    let after = format!("triggers: [{{ after: short }}]\n{SHORT}");
    project.write("after.yaml", &after)?;
    let name = project.name();
    let versioned = || {
        let worker = project.worker().flag("--worker-deployment", name);
        // The activity that follows runs lasts until then.
        worker.flag("--shutdown-timeout", "3s")
    };

    // Without a current version, nothing runs.
    let mut first = versioned().spawn()?;
    let reason = reason_of(&first).await?;
    assert_eq!(
        reason,
        format!(
            "the worker deployment `{name}` has no current version, so temporal sends no tasks to \
             it; hint: temporal worker deployment set-current-version --namespace default \
             --deployment-name {name} --build-id 0.1.0"
        )
    );
    assert!(first.log()?.contains("temporal sends no tasks of new runs"));
    promote(&project, &reason).await?;
    first.ready().await?;
    project.has_schedules(1).await?;

    // Runs are pinned, and Almanac's own workflows are not.
    let waits = start(&project, "waits", json!(null)).await?;
    assert_eq!(short_run(&project).await?.as_deref(), Some("0.1.0"));
    let reconcile = format!("almanac/{name}/reconcile");
    let info = versioning(&project, &reconcile).await?;
    assert_eq!(info.behavior(), VersioningBehavior::AutoUpgrade);
    let follow = format!("almanac/{name}/follow");
    eventually(
        "the workflow that follows runs not to be pinned",
        || async {
            let info = versioning(&project, &follow).await?;
            let wire = info.versioning_override.and_then(|one| one.r#override);
            Ok(wire == Some(Override::AutoUpgrade(true)))
        },
    )
    .await?;

    // The next version takes over when it becomes the current one.
    let mut second = versioned()
        .flag("--worker-build-id", "next")
        .start()
        .await?;
    assert_eq!(short_run(&project).await?.as_deref(), Some("0.1.0"));
    let command = format!(
        "; hint: temporal worker deployment set-current-version --deployment-name {name} --build-id next"
    );
    promote(&project, &command).await?;
    // The task queues hear of it a moment later.
    eventually("runs to begin on the next version", || async {
        Ok(short_run(&project).await?.as_deref() == Some("next"))
    })
    .await?;
    second.sync().await?;
    eventually(
        "the reconcile workflow to move to the next version",
        || async {
            let info = versioning(&project, &reconcile).await?;
            Ok(build_id(&info) == Some("next"))
        },
    )
    .await?;

    // A run that began before ends on its version.
    go(&project, &waits).await?;
    assert_eq!(output(&project, &waits).await?, json!({ "done": true }));
    assert_eq!(
        build_id(&versioning(&project, &waits).await?),
        Some("0.1.0")
    );

    // Without the first version, all goes on.
    assert_eq!(first.terminate(SOON)?, 0);
    short_run(&project).await?;
    let count = async |definition: &str| {
        let query = format!("WorkflowId STARTS_WITH '{name}/{definition}/'");
        project.temporal().count_workflows(&query).await
    };
    eventually("a run to start after each run", || async {
        let runs = count("short").await?;
        Ok(runs > 3 && count("after").await? == runs)
    })
    .await?;
    assert_eq!(second.terminate(SOON)?, 0);
    Ok(())
}
