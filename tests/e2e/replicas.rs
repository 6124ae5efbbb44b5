//! Several workers of one project, whose files change at different moments.

use std::path::PathBuf;

use almanac_tests::{Project, Scheduler, Worker, cron, eventually, on_both_schedulers};

/// A replica's own folder of definitions.
struct Folder(PathBuf);

impl Folder {
    fn new(project: &Project, name: &str) -> anyhow::Result<Self> {
        let path = project.folder().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let new = self.0.join(".new");
        std::fs::write(&new, text)?;
        Ok(std::fs::rename(new, self.0.join(file))?)
    }

    async fn start(&self, project: &Project) -> anyhow::Result<Worker> {
        project.worker().dir(&self.0).start().await
    }
}

async fn hour(project: &Project, id: &str) -> anyhow::Result<i32> {
    let live = project.temporal().live(&project.schedule(id)).await?;
    Ok(live.spec().structured_calendar[0].hour[0].start)
}

fn at(hour: u32) -> String {
    cron(&format!("0 {hour} * * *"))
}

/// Several passes, whoever does them, keep the hour.
async fn stays(project: &Project, workers: [&Worker; 2], wanted: i32) -> anyhow::Result<()> {
    for _ in 0..3 {
        for worker in workers {
            worker.sync().await?;
            assert_eq!(hour(project, "one").await?, wanted);
        }
    }
    Ok(())
}

on_both_schedulers!(
    replicas_of_the_same_files_write_once,
    replicas_that_reload_at_different_moments_agree,
    a_stale_replica_that_restarts_changes_nothing,
    a_roll_back_of_all_replicas_is_followed,
    replicas_that_differ_remove_nothing,
);

/// Two workers with the same files are one: each change is written once.
async fn replicas_of_the_same_files_write_once(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &at(1))?;
    let first = project.worker().start().await?;
    let second = project.worker().start().await?;
    project.write("one.yaml", &at(2))?;
    let id = project.schedule("one");
    eventually("the edit", || async {
        Ok(hour(&project, "one").await? == 2)
    })
    .await?;
    let written = project.temporal().live(&id).await?.0.conflict_token;
    for worker in [&first, &second] {
        // Of all passes since the edit, one wrote it, once.
        let report = worker.sync().await?;
        assert_eq!(report.schedules.updated, 1, "{report:?}");
        let report = worker.sync().await?;
        assert_eq!(report.changes, [], "{report:?}");
    }
    assert_eq!(
        project.temporal().live(&id).await?.0.conflict_token,
        written
    );

    // When one goes, the other goes on alone.
    drop(first);
    project.write("one.yaml", &at(3))?;
    eventually("the other's pass", || async {
        Ok(hour(&project, "one").await? == 3)
    })
    .await?;
    drop(second);
    Ok(())
}

/// Files that reach two replicas at different moments are applied once and
/// never undone in between.
async fn replicas_that_reload_at_different_moments_agree(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let (left, right) = (
        Folder::new(&project, "left")?,
        Folder::new(&project, "right")?,
    );
    left.write("one.yaml", &at(1))?;
    right.write("one.yaml", &at(1))?;
    let (one, two) = (left.start(&project).await?, right.start(&project).await?);

    left.write("one.yaml", &at(2))?;
    eventually("the left edit", || async {
        Ok(hour(&project, "one").await? == 2)
    })
    .await?;
    stays(&project, [&one, &two], 2).await?;
    right.write("one.yaml", &at(2))?;
    stays(&project, [&one, &two], 2).await?;

    // Back to what it was: an edit like any other.
    right.write("one.yaml", &at(1))?;
    eventually("the roll-back", || async {
        Ok(hour(&project, "one").await? == 1)
    })
    .await?;
    stays(&project, [&one, &two], 1).await?;
    left.write("one.yaml", &at(1))?;
    stays(&project, [&one, &two], 1).await
}

/// A replica that restarts with stale files does not bring them back.
async fn a_stale_replica_that_restarts_changes_nothing(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let (left, right) = (
        Folder::new(&project, "left")?,
        Folder::new(&project, "right")?,
    );
    left.write("one.yaml", &at(1))?;
    right.write("one.yaml", &at(1))?;
    let one = left.start(&project).await?;
    let mut two = right.start(&project).await?;
    left.write("one.yaml", &at(2))?;
    eventually("the left edit", || async {
        Ok(hour(&project, "one").await? == 2)
    })
    .await?;

    two.kill()?;
    two.respawn()?;
    eventually("the restarted replica to speak", || async {
        Ok(project
            .temporal()
            .status(project.name())
            .await?
            .workers
            .len()
            >= 2)
    })
    .await?;
    stays(&project, [&one, &one], 2).await?;
    drop(two);
    Ok(())
}

/// A roll-back: when nobody holds the newer revision any more, the older
/// one is current again.
async fn a_roll_back_of_all_replicas_is_followed(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let folder = Folder::new(&project, "only")?;
    folder.write("one.yaml", &at(1))?;
    let mut worker = folder.start(&project).await?;
    folder.write("one.yaml", &at(2))?;
    eventually("the edit", || async {
        Ok(hour(&project, "one").await? == 2)
    })
    .await?;
    assert_eq!(worker.terminate(almanac_tests::SOON)?, 0);
    folder.write("one.yaml", &at(1))?;
    worker.restart().await?;
    assert_eq!(hour(&project, "one").await?, 1);
    Ok(())
}

/// While live workers hold different revisions nothing is removed.
async fn replicas_that_differ_remove_nothing(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let (left, right) = (
        Folder::new(&project, "left")?,
        Folder::new(&project, "right")?,
    );
    for folder in [&left, &right] {
        folder.write("one.yaml", &at(1))?;
        folder.write("goes.yaml", &at(1))?;
    }
    let (one, _two) = (left.start(&project).await?, right.start(&project).await?);
    std::fs::remove_file(left.0.join("goes.yaml"))?;
    left.write("one.yaml", &at(2))?;
    eventually("the edit", || async {
        Ok(hour(&project, "one").await? == 2)
    })
    .await?;
    let report = one.sync().await?;
    assert_eq!(report.schedules.deleted, 0, "{report:?}");
    let goes = project.schedule("goes");
    assert!(project.temporal().describe(&goes).await?.is_some());

    std::fs::remove_file(right.0.join("goes.yaml"))?;
    right.write("one.yaml", &at(2))?;
    eventually("the removal", || async {
        Ok(project.temporal().describe(&goes).await?.is_none())
    })
    .await
}
