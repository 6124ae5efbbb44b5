//! The watcher notices every kind of file change, with or without an event.

use std::fs;

use tokio_util::sync::CancellationToken;

use super::super::WatchOptions;
use super::super::watch::{FolderWatch, follow, spawn_watcher};
use super::*;

/// Maximum time for anything that should happen soon, on a busy machine.
const SOON: Duration = Duration::from_mins(2);

/// Waits for a condition, a generous while.
async fn until(what: &str, registry: &Registry, condition: impl Fn(&str) -> bool) {
    let end = std::time::Instant::now() + SOON;
    while !condition(&shown(registry)) {
        assert!(
            std::time::Instant::now() < end,
            "{what}: {}",
            shown(registry)
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Number of reloads since `before`, including the last one, whose outcome shows
/// before it is counted.
async fn reloads_since(registry: &Registry, before: u64) -> u64 {
    while registry.reloads() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    registry.reloads() - before
}

/// Events only: the timer would come much later than any test lasts.
fn by_events() -> WatchOptions {
    WatchOptions {
        debounce: Duration::from_millis(50),
        max_wait: Duration::from_secs(1),
        rescan_interval: Duration::from_hours(1),
        contents_interval: Duration::from_hours(1),
    }
}

/// A registry of `roots` that is followed until the guard is dropped.
async fn followed(
    roots: &[PathBuf],
    options: WatchOptions,
) -> (Arc<Registry>, tokio_util::sync::DropGuard) {
    let registry = registry(roots);
    registry.reload(ReadDepth::Changed).await.unwrap();
    let shutdown = CancellationToken::new();
    spawn_watcher(Arc::clone(&registry), options, shutdown.clone());
    // Its own first look is over once the watch stands.
    let end = std::time::Instant::now() + SOON;
    while registry.reloads() < 2 {
        assert!(std::time::Instant::now() < end, "no watch");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (registry, shutdown.drop_guard())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_save_is_seen() {
    let folder = Folder::with(&[("a.yaml", &document("a", "0"))]);
    let (registry, _guard) = followed(&[folder.root()], by_events()).await;

    folder.save("a.yaml", &document("a", "renamed over"));
    until("rename", &registry, |all| {
        all == "a: renamed over (a.yaml)\n"
    })
    .await;
    folder.write("a.yaml", &document("a", "written in place"));
    until("write", &registry, |all| {
        all == "a: written in place (a.yaml)\n"
    })
    .await;
    folder.write("new/deep/b.yaml", &document("b", "1"));
    until("new folders", &registry, |all| {
        all.contains("b: 1 (new/deep/b.yaml)")
    })
    .await;
    folder.write("new/deep/b.yaml", &document("b", "2"));
    until("in a new folder", &registry, |all| {
        all.contains("b: 2 (new/deep/b.yaml)")
    })
    .await;
    folder.remove("a.yaml");
    until("removal", &registry, |all| {
        all.contains("archived a (a.yaml)")
    })
    .await;
    fs::remove_dir_all(folder.path("new")).unwrap();
    until("folder removed", &registry, |all| {
        all.contains("archived b")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_swap_is_seen() {
    let folder = Folder::with(&[("..1/a.yaml", &document("a", "1"))]);
    folder.link("..data", "..1");
    folder.link("a.yaml", "..data/a.yaml");
    let (registry, _guard) = followed(&[folder.root()], by_events()).await;
    folder.write("..2/a.yaml", &document("a", "2"));
    folder.link("..data_tmp", "..2");
    fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
    until("swap", &registry, |all| all == "a: 2 (a.yaml)\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_vanishes_and_returns_is_followed_again() {
    let folder = Folder::with(&[("defs/a.yaml", &document("a", "1"))]);
    let (registry, _guard) = followed(&[folder.path("defs")], by_events()).await;
    fs::rename(folder.path("defs"), folder.path("away")).unwrap();
    until("vanished", &registry, |all| all.contains("is missing")).await;
    folder.write("away/a.yaml", &document("a", "elsewhere"));
    folder.write("defs/a.yaml", &document("a", "2"));
    until("returned and trusted", &registry, |all| {
        all == "a: 2 (a.yaml)\n"
    })
    .await;
    folder.save("defs/a.yaml", &document("a", "3"));
    until("followed", &registry, |all| all == "a: 3 (a.yaml)\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_replaced_in_one_step_is_followed() {
    let folder = Folder::with(&[
        ("one/a.yaml", &document("a", "1")),
        ("two/a.yaml", &document("a", "2")),
    ]);
    folder.link("current", "one");
    let (registry, _guard) = followed(&[folder.path("current")], by_events()).await;
    folder.link("next", "two");
    fs::rename(folder.path("next"), folder.path("current")).unwrap();
    until("turned link", &registry, |all| all == "a: 2 (a.yaml)\n").await;
    folder.save("two/a.yaml", &document("a", "3"));
    until("followed", &registry, |all| all == "a: 3 (a.yaml)\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timer_finds_changes_without_an_event() {
    let folder = Folder::with(&[("a.yaml", &document("a", "1"))]);
    let registry = folder.registry();
    let options = WatchOptions {
        rescan_interval: Duration::from_millis(50),
        ..by_events()
    };
    let blind = FolderWatch::new(Vec::new());
    let task = tokio::spawn(follow(blind, Arc::clone(&registry), options));
    until("first look", &registry, |all| all == "a: 1 (a.yaml)\n").await;
    folder.save("a.yaml", &document("a", "2"));
    until("rescan", &registry, |all| all == "a: 2 (a.yaml)\n").await;
    // In place, with the length and the modification time it had.
    let modified = fs::metadata(folder.path("a.yaml"))
        .unwrap()
        .modified()
        .unwrap();
    folder.write("a.yaml", &document("a", "3"));
    let file = fs::File::options()
        .write(true)
        .open(folder.path("a.yaml"))
        .unwrap();
    file.set_modified(modified).unwrap();
    until("forged time", &registry, |all| all == "a: 3 (a.yaml)\n").await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_the_folder_wakes_nothing() {
    let folder = Folder::with(&[("a.yaml", &document("a", "1"))]);
    let (registry, _guard) = followed(&[folder.root()], by_events()).await;
    let before = registry.reloads();
    for _ in 0..10_000 {
        fs::read(folder.path("a.yaml")).unwrap();
        let _ = fs::read_dir(folder.root()).unwrap().count();
    }
    folder.save("a.yaml", &document("a", "2"));
    until("a change", &registry, |all| all == "a: 2 (a.yaml)\n").await;
    assert_eq!(reloads_since(&registry, before).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_writes_is_one_reload() {
    let folder = Folder::with(&[("a.yaml", &document("a", "start"))]);
    let options = WatchOptions {
        // Longer than a slow machine pauses between two writes, and all of them take.
        debounce: Duration::from_secs(2),
        max_wait: Duration::from_hours(1),
        ..by_events()
    };
    let (registry, _guard) = followed(&[folder.root()], options).await;
    let before = registry.reloads();
    for n in 0..1000 {
        folder.write(
            &format!("f{}.yaml", n % 10),
            &document(&format!("f{}", n % 10), "x"),
        );
    }
    folder.save("a.yaml", &document("a", "end"));
    until("the last write", &registry, |all| all.contains("a: end")).await;
    // A second one where the machine stood still between two writes.
    let reloads = reloads_since(&registry, before).await;
    assert!((1..=2).contains(&reloads), "{reloads} reloads");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_the_watcher() {
    let folder = Folder::new();
    let shutdown = CancellationToken::new();
    let task = spawn_watcher(folder.registry(), by_events(), shutdown.clone());
    shutdown.cancel();
    tokio::time::timeout(SOON, task).await.unwrap().unwrap();
}
