//! `deploy/smoke.sh`: the check that an installation works.

use std::process::Command;

use almanac_tests::{Project, Scheduler, almanac_binary, free_port, on_both_schedulers, workspace};

on_both_schedulers!(the_smoke_test_passes_and_leaves_nothing);

async fn the_smoke_test_passes_and_leaves_nothing(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let mut smoke = Command::new("bash");
    smoke
        .arg(workspace().join("deploy/smoke.sh"))
        .arg(almanac_binary())
        .env("TEMPORAL_ADDRESS", project.address())
        .env("SMOKE_PORT", free_port().to_string());
    let output = tokio::task::spawn_blocking(move || smoke.output()).await??;
    let text = String::from_utf8(output.stdout)?;
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{problem}");
    assert_eq!(text.matches("ok: ").count(), 13, "{text}");

    let left = "WorkflowId STARTS_WITH 'almanac/smoke-' AND ExecutionStatus = 'Running'";
    assert_eq!(project.temporal().workflow_ids(left).await?, [""; 0]);
    let left =
        "TemporalScheduledById STARTS_WITH 'schedule-smoke-' AND ExecutionStatus = 'Running'";
    assert_eq!(project.temporal().workflow_ids(left).await?, [""; 0]);
    Ok(())
}
