//! Uninstalling: what is the project's goes, and nothing else.

use almanac_tests::{Project, Scheduler, cron, eventually, foreign_schedule, on_both_schedulers};
use serde_json::Value;

on_both_schedulers!(a_project_is_destroyed_and_nothing_else);

fn looked_at(project: &Project) -> anyhow::Result<Value> {
    let said = project
        .almanac(&["destroy", "--format", "json"])?
        .success()?;
    Ok(serde_json::from_str(&said)?)
}

async fn a_project_is_destroyed_and_nothing_else(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let temporal = project.temporal();
    for id in ["a", "b", "c"] {
        project.write(&format!("{id}.yaml"), &cron("0 1 * * *"))?;
    }
    let foreign = project.schedule("foreign");
    temporal
        .create(&foreign, foreign_schedule("0 1 * * *"), &[])
        .await?;
    // Another project whose name begins alike.
    let beside = Project::named(project.address(), &format!("{}-b", project.name())).await?;
    beside.write("x.yaml", &cron("0 1 * * *"))?;
    let beside_worker = beside.worker().start().await?;
    let mut worker = project.worker().start().await?;
    let mut trigger = vec!["schedule", "trigger", "--schedule-id"];
    let a = project.schedule("a");
    trigger.push(&a);
    almanac_tests::temporal_cli(project.address(), trigger)?;
    let running = format!(
        "WorkflowId STARTS_WITH '{}/a-' AND ExecutionStatus = 'Running'",
        project.name()
    );
    eventually("the run to be listed", || async {
        Ok(temporal.count_workflows(&running).await? == 1)
    })
    .await?;
    project.has_schedules(5).await?;

    let said = looked_at(&project)?;
    assert_eq!(
        said["schedules"].as_array().map(Vec::len),
        Some(3),
        "{said:#}"
    );
    assert_eq!(
        said["foreign"].as_array().map(Vec::len),
        Some(2),
        "{said:#}"
    );
    assert_eq!(
        (&said["running"], &said["reconcile_workflow"]),
        (&1.into(), &true.into())
    );
    let digest = said["digest"].as_str().unwrap();
    let destroy = ["destroy", "--confirm", digest];
    let refused = project.almanac(&destroy)?;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("live workers"), "{refused:?}");
    let wrong = project.almanac(&["destroy", "--confirm", "wrong"])?;
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("nothing removed"), "{wrong:?}");
    assert_eq!(looked_at(&project)?["digest"], digest);

    // One that was killed says no word; one that ended did.
    worker.kill()?;
    let said = project.almanac(&destroy)?.success()?;
    assert!(said.contains("1 run that has not ended"), "{said}");
    project.has_schedules(2).await?;
    assert_eq!(temporal.count_workflows(&running).await?, 1);
    assert!(temporal.describe(&foreign).await?.is_some());
    assert!(temporal.describe(&beside.schedule("x")).await?.is_some());
    assert_eq!(beside_worker.sync().await?.changes, []);
    eventually("nothing to be left", || async {
        Ok(looked_at(&project)?["reconcile_workflow"] == false)
    })
    .await?;
    let again = project.almanac(&destroy)?.success()?;
    assert!(again.contains("has nothing"), "{again}");

    // Started again, it makes them anew.
    worker.restart().await?;
    project.has_schedules(5).await?;
    Ok(())
}
