//! A rescan reads the files whose metadata do not prove them unchanged, and no others.

use std::fs::{self, File, FileTimes};
use std::sync::Mutex;
use std::time::Instant;

use notify::event::{AccessKind, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio_util::sync::CancellationToken;

use super::super::WatchOptions;
use super::super::files::TIMESTAMP_RESOLUTION;
use super::super::watch::spawn_watcher;
use super::*;

/// Rescans until no file of `registry` has to be read again.
async fn confirm(registry: &Arc<Registry>) {
    registry.reload(ReadDepth::Unconfirmed).await.unwrap();
    tokio::time::sleep(TIMESTAMP_RESOLUTION + Duration::from_millis(50)).await;
    registry.reload(ReadDepth::Unconfirmed).await.unwrap();
}

/// A registry of a folder with the file `a.yaml`, which a rescan need not read again.
async fn confirmed(folder: &Folder) -> Arc<Registry> {
    folder.write("a.yaml", &document("a", "1"));
    let registry = folder.registry();
    confirm(&registry).await;
    registry
}

/// Rescans, and shows what is served.
async fn rescanned(registry: &Arc<Registry>) -> String {
    registry.reload(ReadDepth::Unconfirmed).await.unwrap();
    shown(registry)
}

fn times(folder: &Folder, path: &str) -> FileTimes {
    let metadata = fs::metadata(folder.path(path)).unwrap();
    FileTimes::new()
        .set_modified(metadata.modified().unwrap())
        .set_accessed(metadata.accessed().unwrap())
}

fn set_times(folder: &Folder, path: &str, times: FileTimes) {
    let file = File::options().write(true).open(folder.path(path));
    file.unwrap().set_times(times).unwrap();
}

/// Counts how often files of definitions are opened.
#[cfg(target_os = "linux")]
struct Opens {
    seen: Arc<Mutex<Vec<PathBuf>>>,
    _watcher: RecommendedWatcher,
}

#[cfg(target_os = "linux")]
impl Opens {
    fn of(folder: &Folder) -> Self {
        let seen: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
        let events = Arc::clone(&seen);
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                let event = event.unwrap();
                if matches!(event.kind, EventKind::Access(AccessKind::Open(_))) {
                    events.lock().unwrap().extend(event.paths);
                }
            })
            .unwrap();
        let root = fs::canonicalize(folder.root()).unwrap();
        watcher.watch(&root, RecursiveMode::Recursive).unwrap();
        Self {
            seen,
            _watcher: watcher,
        }
    }

    /// Number of opens of `a.yaml` since the last call.
    async fn taken(&self, folder: &Folder) -> usize {
        // Events come in order: once this one is there, all earlier ones are.
        folder.write("last", "x");
        let end = Instant::now() + Duration::from_secs(20);
        while !self
            .seen
            .lock()
            .unwrap()
            .iter()
            .any(|path| path.ends_with("last"))
        {
            assert!(Instant::now() < end, "no event");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.iter().filter(|path| path.ends_with("a.yaml")).count()
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_is_read_until_two_reads_confirm_it() {
    let folder = Folder::with(&[("a.yaml", &document("a", "1"))]);
    let registry = folder.registry();
    let opens = Opens::of(&folder);
    let read = async |depth| {
        registry.reload(depth).await.unwrap();
        opens.taken(&folder).await
    };
    assert_eq!(read(ReadDepth::Changed).await, 1);
    assert_eq!(read(ReadDepth::Unconfirmed).await, 1);
    tokio::time::sleep(TIMESTAMP_RESOLUTION + Duration::from_millis(50)).await;
    assert_eq!(read(ReadDepth::Unconfirmed).await, 1);
    assert_eq!(read(ReadDepth::Unconfirmed).await, 0);
    assert_eq!(read(ReadDepth::Changed).await, 0);
    assert_eq!(read(ReadDepth::Contents).await, 1);
    assert_eq!(read(ReadDepth::Unconfirmed).await, 0);
    folder.save("a.yaml", &document("a", "2"));
    opens.taken(&folder).await;
    assert_eq!(read(ReadDepth::Unconfirmed).await, 1);
    assert_eq!(shown(&registry), "a: 2 (a.yaml)\n");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_timer_reads_all_files_at_an_interval_of_their_own() {
    const CONTENTS: Duration = Duration::from_millis(500);
    let folder = Folder::new();
    let registry = confirmed(&folder).await;
    let opens = Opens::of(&folder);
    let options = WatchOptions {
        contents_interval: CONTENTS,
        ..WatchOptions::new(Duration::from_millis(50), Duration::from_millis(20))
    };
    let shutdown = CancellationToken::new();
    let task = spawn_watcher(Arc::clone(&registry), options, shutdown.clone());
    let started = Instant::now();
    let before = registry.reloads();
    tokio::time::sleep(4 * CONTENTS).await;
    shutdown.cancel();
    task.await.unwrap();
    let (took, reloads) = (started.elapsed(), registry.reloads() - before);
    let read = opens.taken(&folder).await;
    let most = took.as_millis() / CONTENTS.as_millis() + 1;
    assert!((1..=most).contains(&(read as u128)), "{read} in {took:?}");
    assert!(reloads > 2 * read as u64, "{reloads} reloads, {read} reads");
}

#[tokio::test]
async fn a_change_within_one_tick_of_the_clock_is_seen_by_a_rescan() {
    let folder = Folder::with(&[("a.yaml", &document("a", "0"))]);
    let registry = folder.registry();
    for n in 1..100 {
        folder.write("a.yaml", &document("a", &format!("{n:02}")));
        assert_eq!(rescanned(&registry).await, format!("a: {n:02} (a.yaml)\n"));
    }
}

/// The length is the same, and a tool sets the modification time back. The change time tells.
#[tokio::test]
async fn a_file_written_in_place_with_its_old_times_is_seen() {
    let folder = Folder::new();
    let registry = confirmed(&folder).await;
    let before = times(&folder, "a.yaml");
    folder.write("a.yaml", &document("a", "2"));
    set_times(&folder, "a.yaml", before);
    assert_eq!(rescanned(&registry).await, "a: 2 (a.yaml)\n");
}

/// `rsync --times` and `cp --preserve` keep the old modification time.
#[tokio::test]
async fn a_file_replaced_by_another_with_equal_times_is_seen() {
    let folder = Folder::new();
    let registry = confirmed(&folder).await;
    let before = times(&folder, "a.yaml");
    folder.write("a.yaml.new", &document("a", "2"));
    set_times(&folder, "a.yaml.new", before);
    fs::rename(folder.path("a.yaml.new"), folder.path("a.yaml")).unwrap();
    assert_eq!(rescanned(&registry).await, "a: 2 (a.yaml)\n");
}

/// Two files were there all along, and change places. Renaming sets the change time.
#[tokio::test]
async fn two_files_that_change_names_are_seen() {
    let folder = Folder::with(&[("b.yaml", &document("b", "2"))]);
    let registry = confirmed(&folder).await;
    set_times(&folder, "b.yaml", times(&folder, "a.yaml"));
    confirm(&registry).await;
    fs::rename(folder.path("a.yaml"), folder.path("c")).unwrap();
    fs::rename(folder.path("b.yaml"), folder.path("a.yaml")).unwrap();
    fs::rename(folder.path("c"), folder.path("b.yaml")).unwrap();
    assert_eq!(rescanned(&registry).await, "a: 1 (b.yaml)\nb: 2 (a.yaml)\n");
}

/// A Kubernetes volume is swapped for one whose files have the same length and times.
#[tokio::test]
async fn a_volume_swap_is_seen_by_a_rescan() {
    let folder = Folder::with(&[
        ("..1/a.yaml", &document("a", "1")),
        ("..2/a.yaml", &document("a", "2")),
    ]);
    set_times(&folder, "..2/a.yaml", times(&folder, "..1/a.yaml"));
    folder.link("..data", "..1");
    folder.link("a.yaml", "..data/a.yaml");
    let registry = folder.registry();
    confirm(&registry).await;
    for volume in ["2", "1", "2"] {
        folder.link("..data_tmp", format!("..{volume}"));
        fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
        let expected = format!("a: {volume} (a.yaml)\n");
        assert_eq!(rescanned(&registry).await, expected);
    }
}
