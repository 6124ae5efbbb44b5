//! Uninstalling: what is the project's goes, and nothing else.

use almanac_tests::{
    Project, Proxy, Scheduler, almanac, cron, eventually, on_both_schedulers, unmanaged_schedule,
};
use serde_json::Value;
use tonic::Code;

on_both_schedulers!(
    only_the_project_is_destroyed,
    a_deletion_that_fails_is_shown_apart_from_the_others,
);

fn planned(project: &Project) -> anyhow::Result<Value> {
    let output = project
        .almanac(&["destroy", "--format", "json"])?
        .success()?;
    Ok(serde_json::from_str(&output)?)
}

async fn only_the_project_is_destroyed(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let temporal = project.temporal();
    for id in ["a", "b", "c"] {
        project.write(&format!("{id}.yaml"), &cron("0 1 * * *"))?;
    }
    let foreign = project.schedule("foreign");
    temporal
        .create(&foreign, unmanaged_schedule("0 1 * * *"), &[])
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

    let plan = planned(&project)?;
    assert_eq!(
        plan["schedules"].as_array().map(Vec::len),
        Some(3),
        "{plan:#}"
    );
    assert_eq!(
        plan["foreign"].as_array().map(Vec::len),
        Some(2),
        "{plan:#}"
    );
    assert_eq!(
        (&plan["running"], &plan["reconcile_workflow"]),
        (&1.into(), &true.into())
    );
    let digest = plan["digest"].as_str().unwrap();
    let destroy = ["destroy", "--confirm", digest];
    let refused = project.almanac(&destroy)?;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("live workers"), "{refused:?}");
    let wrong = project.almanac(&["destroy", "--confirm", "wrong"])?;
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("nothing removed"), "{wrong:?}");
    assert_eq!(planned(&project)?["digest"], digest);

    // A killed worker announces no stop. A worker that shuts down does.
    worker.kill()?;
    let output = project.almanac(&destroy)?.success()?;
    assert!(output.contains("1 run that has not ended"), "{output}");
    project.has_schedules(2).await?;
    assert_eq!(temporal.count_workflows(&running).await?, 1);
    assert!(temporal.describe(&foreign).await?.is_some());
    assert!(temporal.describe(&beside.schedule("x")).await?.is_some());
    assert_eq!(beside_worker.sync().await?.changes, []);
    eventually("nothing to be left", || async {
        Ok(planned(&project)?["reconcile_workflow"] == false)
    })
    .await?;
    let again = project.almanac(&destroy)?.success()?;
    assert!(again.contains("has nothing"), "{again}");

    // Started again, it makes them anew.
    worker.restart().await?;
    project.has_schedules(5).await?;
    Ok(())
}

async fn a_deletion_that_fails_is_shown_apart_from_the_others(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    for id in ["a", "b", "c"] {
        project.write(&format!("{id}.yaml"), &cron("0 1 * * *"))?;
    }
    let mut worker = project.worker().start().await?;
    project.has_schedules(3).await?;
    worker.kill()?;
    let preview = planned(&project)?;
    let digest = preview["digest"].as_str().unwrap();
    let proxy = Proxy::start(project.address()).await?;
    proxy.fail("DeleteSchedule", 0, 1, Code::InvalidArgument);
    let destroy = ["destroy", "--confirm", digest, "--project", project.name()];
    let partial = almanac(proxy.address(), destroy)?;
    assert_eq!(partial.code, 1, "{partial:?}");
    let lines = |state: &str| {
        partial
            .stdout
            .lines()
            .filter(|it| it.ends_with(state))
            .count()
    };
    assert_eq!(
        (lines(": failed"), lines(": deleted")),
        (1, 2),
        "{partial:?}"
    );
    project.has_schedules(1).await?;

    let left = planned(&project)?;
    let digest = left["digest"].as_str().unwrap();
    assert_ne!(digest, preview["digest"].as_str().unwrap());
    project
        .almanac(&["destroy", "--confirm", digest])?
        .success()?;
    project.has_schedules(0).await
}
