//! A definition that goes from disk goes from Temporal, unless its removal looks like a mistake.

use almanac_tests::{Project, Scheduler, cron, eventually, many, on_both_schedulers, paused_cron};
use serde_json::json;

async fn count(project: &Project) -> anyhow::Result<usize> {
    Ok(project.temporal().list(&project.schedule("")).await?.len())
}

on_both_schedulers!(
    removals_of_all_schedules_are_held,
    forty_of_a_hundred_are_held,
    nine_a_pass_are_counted_together,
    a_missing_folder_removes_nothing,
    an_unreadable_folder_removes_nothing,
    orphans_may_be_paused,
    orphans_may_be_kept,
    a_replaced_folder_is_scanned_twice_before_it_counts,
);

/// An empty folder removes nothing until the digest of just that set confirms it.
async fn removals_of_all_schedules_are_held(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    for name in ["a.yaml", "b.yaml", "c.yaml"] {
        project.write(name, &cron("0 1 * * *"))?;
    }
    let worker = project.worker().start().await?;
    for name in ["a.yaml", "b.yaml", "c.yaml"] {
        project.remove(name)?;
    }
    let report = worker.sync().await?;
    let held = report.held.clone().unwrap();
    let ids = ["a", "b", "c"].map(|id| project.schedule(id));
    assert_eq!((held.count, &held.ids[..]), (3, &ids[..]), "{report:?}");
    assert_eq!((report.schedules.held, report.changes), (3, vec![]));
    project.has_schedules(3).await?;
    let shown = worker.json("/api/v1/schedules/a").await?;
    assert_eq!(shown["state"], "held", "{shown}");

    let (status, body) = worker.post_sync("confirm=0123456789abcdef").await?;
    assert_eq!(status, 409, "{body}");
    let refused = project.almanac(&["sync", "--confirm", "0123456789abcdef"])?;
    assert_eq!(refused.code, 1, "{refused:?}");
    project.has_schedules(3).await?;

    let report = worker
        .sync_with(&format!("confirm={}", held.digest))
        .await?;
    assert_eq!((report.schedules.deleted, report.held), (3, None));
    project.has_schedules(0).await?;
    Ok(())
}

/// 40 of 100 at once are held; the command line confirms just them, and a
/// digest of another set does not.
async fn forty_of_a_hundred_are_held(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("all.yaml", &many("job", 100))?;
    let worker = project.worker().start().await?;
    project.has_schedules(100).await?;

    project.write("all.yaml", &many("job", 60))?;
    let report = worker.sync().await?;
    let first = report.held.clone().unwrap();
    assert_eq!(
        (first.count, report.schedules.deleted),
        (40, 0),
        "{report:?}"
    );
    project.has_schedules(100).await?;

    // The set changes: the digest that was shown confirms it no more.
    project.write("all.yaml", &many("job", 59))?;
    let report = worker.sync().await?;
    let second = report.held.clone().unwrap();
    assert_ne!(first.digest, second.digest);
    let refused = project.almanac(&["sync", "--confirm", &first.digest])?;
    assert_eq!(refused.code, 1, "{refused:?}");
    project.has_schedules(100).await?;

    // The first set is held again: its digest confirms it again.
    project.write("all.yaml", &many("job", 60))?;
    worker.sync().await?;
    let done = project
        .almanac(&["sync", "--confirm", &first.digest])?
        .success()?;
    assert!(done.contains("40"), "{done}");
    project.has_schedules(60).await?;
    assert_eq!(worker.sync().await?.schedules.deleted, 40);
    let report = worker.sync().await?;
    assert_eq!((report.held, report.changes), (None, vec![]));
    Ok(())
}

/// 9 a pass are let go, until those of 10 minutes are too many together.
async fn nine_a_pass_are_counted_together(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("all.yaml", &many("job", 100))?;
    let worker = project.worker().start().await?;
    let mut left = 100;
    for _ in 0..3 {
        left -= 9;
        project.write("all.yaml", &many("job", left))?;
        let report = worker.sync().await?;
        assert_eq!(
            (report.schedules.deleted, &report.held),
            (9, &None),
            "{report:?}"
        );
    }
    // 27 of 100 are gone; 36 would be more than 30 %.
    project.write("all.yaml", &many("job", left - 9))?;
    let report = worker.sync().await?;
    assert_eq!(
        (report.schedules.deleted, report.schedules.held),
        (0, 9),
        "{report:?}"
    );
    project.has_schedules(left).await?;
    Ok(())
}

/// A missing folder is an incomplete view, not an empty one, at the start
/// too: nothing is removed and nothing can be confirmed.
async fn a_missing_folder_removes_nothing(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    for name in ["a.yaml", "b.yaml", "c.yaml"] {
        project.write(name, &cron("0 1 * * *"))?;
    }
    let mut worker = project.worker().start().await?;
    let hidden = project.folder().join("hidden");
    std::fs::rename(project.definitions(), &hidden)?;
    let report = worker.sync().await?;
    assert_eq!(report.schedules.deleted, 0, "{report:?}");
    project.has_schedules(3).await?;

    worker.restart().await?;
    let report = worker.sync().await?;
    assert_eq!(report.schedules.deleted, 0, "{report:?}");
    if let Some(held) = report.held {
        worker
            .post_sync(&format!("confirm={}", held.digest))
            .await?;
    }
    project.has_schedules(3).await?;

    std::fs::rename(&hidden, project.definitions())?;
    project.remove("a.yaml")?;
    eventually("the view to be whole again, and one to go", || async {
        worker.sync().await?;
        Ok(count(&project).await? == 2)
    })
    .await
}

/// A folder within the root that cannot be read hides what it held.
async fn an_unreadable_folder_removes_nothing(on: Scheduler) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::new(on).await?;
    project.write("open/a.yaml", &cron("0 1 * * *"))?;
    project.write("open/b.yaml", &cron("0 1 * * *"))?;
    project.write("secret/c.yaml", &cron("0 1 * * *"))?;
    let secret = project.definitions().join("secret");
    let worker = project.worker().start().await?;
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o000))?;
    let readable = std::fs::read_dir(&secret).is_ok();
    project.remove("open/a.yaml")?;
    worker.sync().await?;
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o755))?;
    // Root reads whatever it likes; then there is nothing to see here.
    let left = if readable { 2 } else { 3 };
    project.has_schedules(left).await
}

/// `--orphans pause` pauses and flags; a returning definition is active again.
async fn orphans_may_be_paused(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("stays.yaml", &cron("0 1 * * *"))?;
    project.write("goes.yaml", &cron("0 1 * * *"))?;
    project.write("was-paused.yaml", &paused_cron("0 1 * * *"))?;
    let worker = project.worker().flag("--orphans", "pause").start().await?;
    project.remove("goes.yaml")?;
    project.remove("was-paused.yaml")?;
    worker.sync().await?;
    let temporal = project.temporal();
    let id = project.schedule("goes");
    let live = temporal.live(&id).await?;
    assert!(live.paused());
    assert_eq!(
        live.action_memo().unwrap()["flags"],
        json!(["orphan_paused"]),
        "{live}"
    );
    let report = worker.sync().await?;
    assert_eq!((report.schedules.orphaned, report.changes), (2, vec![]));

    project.write("goes.yaml", &cron("0 1 * * *"))?;
    project.write("was-paused.yaml", &paused_cron("0 1 * * *"))?;
    worker.sync().await?;
    let live = temporal.live(&id).await?;
    assert!(!live.paused(), "{live}");
    assert_eq!(live.action_memo().unwrap().get("flags"), None, "{live}");
    assert!(
        temporal
            .live(&project.schedule("was-paused"))
            .await?
            .paused()
    );
    Ok(())
}

/// `--orphans keep` leaves the schedule, and says so.
async fn orphans_may_be_kept(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("stays.yaml", &cron("0 1 * * *"))?;
    project.write("goes.yaml", &cron("0 2 * * *"))?;
    let worker = project.worker().flag("--orphans", "keep").start().await?;
    project.remove("goes.yaml")?;
    let report = worker.sync().await?;
    assert_eq!((report.schedules.orphaned, report.changes), (1, vec![]));
    let live = project.temporal().live(&project.schedule("goes")).await?;
    assert!(!live.paused());
    let shown = worker.json("/api/v1/schedules/goes").await?;
    assert_eq!(shown["state"], "orphaned", "{shown}");

    // The new half of a rename begins as the old one was, which stays.
    let paused = project.schedule("stays");
    project.temporal().pause(&paused, "by hand").await?;
    std::fs::rename(
        project.definitions().join("stays.yaml"),
        project.definitions().join("renamed.yaml"),
    )?;
    let report = worker.sync().await?;
    assert_eq!(
        (report.schedules.created, report.schedules.orphaned),
        (1, 2)
    );
    for id in ["stays", "renamed"] {
        let live = project.temporal().live(&project.schedule(id)).await?;
        assert!(live.paused(), "{id}");
    }
    assert_eq!(worker.sync().await?.changes, []);
    Ok(())
}

/// A folder that was replaced by another is trusted after two equal scans.
async fn a_replaced_folder_is_scanned_twice_before_it_counts(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("a.yaml", &cron("0 1 * * *"))?;
    project.write("b.yaml", &cron("0 1 * * *"))?;
    let worker = project
        .worker()
        .flag("--rescan-interval", "1h")
        .start()
        .await?;
    let old = project.folder().join("old");
    std::fs::rename(project.definitions(), &old)?;
    std::fs::create_dir(project.definitions())?;
    project.write("a.yaml", &cron("0 2 * * *"))?;
    eventually("the new folder to be trusted", || async {
        worker.sync().await?;
        Ok(count(&project).await? == 1)
    })
    .await?;
    // And watched: nobody asks for this one.
    project.write("a.yaml", &cron("0 3 * * *"))?;
    let id = project.schedule("a");
    eventually("an edit within the new folder", || async {
        Ok(project.temporal().live(&id).await?.times() == "0 3 1-31 1-12 0-6")
    })
    .await
}
