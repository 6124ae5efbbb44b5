//! The reconciler suspended and resumed from the command line.

use almanac_tests::{Project, Scheduler, cron, eventually, on_both_schedulers};
use serde_json::Value;

on_both_schedulers!(a_suspended_reconciler_writes_nothing_until_it_is_resumed);

/// Edits, deletions, restarts and requests change nothing meanwhile; then one
/// pass catches up.
async fn a_suspended_reconciler_writes_nothing_until_it_is_resumed(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("edited.yaml", &cron("0 1 * * *"))?;
    project.write("deleted.yaml", &cron("0 1 * * *"))?;
    let mut worker = project.worker().start().await?;
    let refused = project.almanac(&["resume"])?;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("not suspended"), "{refused:?}");

    let text = project
        .almanac(&["suspend", "--reason", "moving house"])?
        .success()?;
    assert!(text.contains("moving house"), "{text}");
    project.write("edited.yaml", &cron("0 2 * * *"))?;
    project.write("new.yaml", &cron("0 3 * * *"))?;
    project.remove("deleted.yaml")?;
    let stands = async || -> anyhow::Result<()> {
        let edited = project.temporal().live(&project.schedule("edited")).await?;
        anyhow::ensure!(edited.times().contains("0 1 "), "{edited}");
        project.has_just(&["deleted", "edited"]).await
    };
    for command in [&["sync"][..], &["pause", "edited", "--reason", "x"]] {
        let refused = project.almanac(command)?;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains("moving house"), "{refused:?}");
    }
    let (status, problem) = worker.post_sync("").await?;
    assert_eq!(status, 409, "{problem}");
    stands().await?;
    worker.kill()?;
    worker.respawn()?;
    eventually("the new process to say why it is not ready", || async {
        let (_, ready) = worker.get("/readyz").await?;
        Ok(ready.contains("moving house"))
    })
    .await?;
    let shown = worker.json("/api/v1/reconcile").await?;
    assert_eq!(shown["state"], "suspended", "{shown:#}");
    stands().await?;

    let text = project.almanac(&["resume"])?.success()?;
    assert!(text.contains("catches up"), "{text}");
    worker.ready().await?;
    eventually("the log to tell of both", || async {
        let log = worker.log()?;
        let expected = ["WARN", "suspended by", "the reconciler has resumed"];
        Ok(expected.iter().all(|text| log.contains(text)))
    })
    .await?;
    worker.sync().await?;
    project.has_just(&["edited", "new"]).await?;
    let edited = project.temporal().live(&project.schedule("edited")).await?;
    assert!(edited.times().contains("0 2 "), "{edited}");
    let shown = worker.json("/api/v1/reconcile").await?;
    assert_eq!(shown["suspended"], Value::Null);
    Ok(())
}
