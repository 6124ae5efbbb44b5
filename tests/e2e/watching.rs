//! Every way that files change on disk.

use std::path::Path;

use almanac_tests::{Project, Scheduler, Worker, cron, eventually, on_one_scheduler};

/// Waits until the definition's schedule fires at this hour.
pub(crate) async fn has(project: &Project, id: &str, hour: u32) -> anyhow::Result<()> {
    let schedule = project.schedule(id);
    let wanted = format!("0 {hour} 1-31 1-12 0-6");
    eventually(&format!("{id} at {hour}"), || async {
        let live = project.temporal().describe(&schedule).await?;
        Ok(live.is_some_and(|live| live.times() == wanted))
    })
    .await
}

/// A definition that fires at this hour.
pub(crate) fn at(hour: u32) -> String {
    cron(&format!("0 {hour} * * *"))
}

async fn start(project: &Project) -> anyhow::Result<Worker> {
    // What is seen here is seen because of an event.
    project
        .worker()
        .flag("--rescan-interval", "1h")
        .start()
        .await
}

/// A `ConfigMap`'s folder as the kubelet makes it, one version after the other.
pub(crate) fn config_map(
    root: &Path,
    version: &str,
    files: &[(&str, String)],
) -> anyhow::Result<()> {
    let folder = root.join(format!("..{version}"));
    std::fs::create_dir(&folder)?;
    for (name, text) in files {
        std::fs::write(folder.join(name), text)?;
        let link = root.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(Path::new("..data").join(name), link)?;
        }
    }
    let new = root.join("..data_tmp");
    std::os::unix::fs::symlink(format!("..{version}"), &new)?;
    Ok(std::fs::rename(new, root.join("..data"))?)
}

on_one_scheduler!(
    every_way_of_saving_is_seen,
    a_config_map_swap_is_seen,
    a_rescan_finds_changes_without_events,
    a_half_written_file_loses_nothing,
    reading_is_no_change_and_bursts_are_coalesced,
);

/// Saved in place, in one step, in a new folder, through a rename.
async fn every_way_of_saving_is_seen(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &at(1))?;
    let _worker = start(&project).await?;
    // In place, as `echo >` does.
    std::fs::write(project.definitions().join("one.yaml"), at(2))?;
    has(&project, "one", 2).await?;
    // By a rename, as most editors do; with their leavings beside it.
    std::fs::write(project.definitions().join("one.yaml~"), at(9))?;
    std::fs::write(project.definitions().join(".one.yaml.swp"), "not yaml: [")?;
    std::fs::write(project.definitions().join("one.yaml.tmp"), at(9))?;
    project.write("one.yaml", &at(3))?;
    has(&project, "one", 3).await?;
    // Into a folder that did not exist.
    project.write("deep/er/two.yaml", &at(4))?;
    has(&project, "two", 4).await?;
    project.write("deep/er/two.yaml", &at(5))?;
    has(&project, "two", 5).await?;
    project.has_just(&["one", "two"]).await
}

/// A `ConfigMap`'s swap of `..data` changes the files without an event about them.
async fn a_config_map_swap_is_seen(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let root = project.definitions();
    config_map(&root, "2026_1", &[("one.yaml", at(1)), ("two.yaml", at(1))])?;
    let worker = start(&project).await?;
    has(&project, "one", 1).await?;
    config_map(&root, "2026_2", &[("one.yaml", at(2)), ("two.yaml", at(3))])?;
    std::fs::remove_dir_all(root.join("..2026_1"))?;
    has(&project, "one", 2).await?;
    has(&project, "two", 3).await?;
    let report = worker.sync().await?;
    assert_eq!(report.errors, []);
    Ok(())
}

/// Files of a link's target elsewhere in the folder, and a watch that
/// delivers no more events.
async fn a_rescan_finds_changes_without_events(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &at(1))?;
    let _worker = project
        .worker()
        .flag("--rescan-interval", "1s")
        .start()
        .await?;
    let root = project.definitions();
    let away = project.folder().join("away");
    std::fs::rename(&root, &away)?;
    std::fs::create_dir(&root)?;
    project.write("one.yaml", &at(2))?;
    has(&project, "one", 2).await
}

/// A file half-written is not applied before its end, and costs nothing.
async fn a_half_written_file_loses_nothing(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &at(1))?;
    let worker = start(&project).await?;
    let text = format!("id: one\n{}", at(2));
    for end in [3, 9, 20, 30, text.len() - 12] {
        std::fs::write(project.definitions().join("one.yaml"), &text[..end])?;
        let report = worker.sync().await?;
        assert_eq!(report.schedules.deleted, 0, "{end}: {report:?}");
        let live = project.temporal().live(&project.schedule("one")).await?;
        assert_eq!(live.times(), "0 1 1-31 1-12 0-6", "{end}");
    }
    std::fs::write(project.definitions().join("one.yaml"), &text)?;
    has(&project, "one", 2).await
}

/// Reading wakes nobody, and a burst of saves is one or a few reloads.
async fn reading_is_no_change_and_bursts_are_coalesced(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &at(1))?;
    // A pause between two saves may be long on a slow machine.
    let worker = project
        .worker()
        .flag("--rescan-interval", "1h")
        .instead("--debounce", "1s")
        .start()
        .await?;
    let reloads = || worker.metric("almanac_reload_total", &[]);
    let before = reloads().await?;
    for _ in 0..200 {
        std::fs::read(project.definitions().join("one.yaml"))?;
        std::fs::read_dir(project.definitions())?.count();
    }
    for n in 0..300 {
        project.write("one.yaml", &at(n % 20))?;
    }
    project.write("one.yaml", &at(23))?;
    has(&project, "one", 23).await?;
    let reloads = reloads().await? - before;
    assert!(reloads < 30.0, "{reloads}");
    Ok(())
}
