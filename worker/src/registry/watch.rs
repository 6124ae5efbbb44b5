//! Reloads the registry when the files may have changed.
//!
//! An event of the file system is only a hint: any event but a read starts a reload, which
//! lists the folders itself. A timer starts a reload too, even if events do not work, so a
//! change is found within the rescan interval at the latest. The timer reads the files whose
//! metadata do not prove them unchanged, and each hour all files. The watch is renewed when a
//! folder is not the one that was watched, when the system reports an error, and when the timer
//! finds a change for which no event came.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use notify::event::EventKind;
use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::scan::{Identity, identity};
use super::{ReadDepth, Registry, Reload};

/// Time until an incomplete view is checked again for the first time. It doubles each time, up
/// to the rescan interval.
const RECHECK: Duration = Duration::from_secs(1);

/// Interval at which the timer reads all files. Some file systems do not give each change a new
/// timestamp, and a clock that is set back can repeat one.
const CONTENTS_INTERVAL: Duration = Duration::from_hours(1);

/// Times at which the watcher reloads.
#[derive(Debug, Clone, Copy)]
pub struct WatchOptions {
    /// A reload waits until there have been no events for this long.
    pub debounce: Duration,
    /// Maximum time that a reload waits, even if events continue.
    pub max_wait: Duration,
    /// Interval between two reloads that no event asked for.
    pub rescan_interval: Duration,
    /// Interval at which such a reload reads all files.
    pub contents_interval: Duration,
}

impl WatchOptions {
    /// Options with the usual maximum wait, which is 5 s, or the debounce if that is longer.
    /// All files are read each hour.
    pub fn new(debounce: Duration, rescan_interval: Duration) -> Self {
        Self {
            debounce,
            max_wait: debounce.max(Duration::from_secs(5)),
            rescan_interval,
            contents_interval: CONTENTS_INTERVAL,
        }
    }
}

/// Starts the task that reloads `registry` whenever its folders may have changed, until
/// `shutdown`. [`Registry::changed`] returns the changes.
pub fn spawn_watcher(
    registry: Arc<Registry>,
    options: WatchOptions,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    let watch = FolderWatch::new(registry.roots().to_vec());
    tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = follow(watch, registry, options) => {}
        }
    })
}

pub(super) async fn follow(mut watch: FolderWatch, registry: Arc<Registry>, options: WatchOptions) {
    let mut recheck = RECHECK;
    let mut previous_count = 0;
    // Files may have changed between the process's first load and the start of the watch.
    watch.renew().await;
    let mut depth = ReadDepth::Changed;
    let mut prepared = None;
    let mut contents_due = Instant::now() + options.contents_interval;
    let mut rescan_due = Instant::now() + options.rescan_interval;
    loop {
        let hint_count = watch.hints.count();
        let changed = match registry.reload_from(prepared.take(), depth).await {
            Ok(reload) => reload != Reload::Unchanged,
            // The log shows the error; the timer tries again.
            Err(_) => false,
        };
        if changed && depth != ReadDepth::Changed && hint_count == previous_count {
            watch.suspect();
        }
        previous_count = hint_count;
        let pause = if registry.snapshot().is_complete() {
            recheck = RECHECK;
            options.rescan_interval
        } else {
            let pause = recheck.min(options.rescan_interval);
            recheck = pause * 2;
            pause
        };
        // Steady events do not delay the rescan.
        let due = rescan_due.min(Instant::now() + pause);
        let is_due = tokio::select! {
            () = watch.hints.wait() => {
                let prepare = || {
                    let registry = Arc::clone(&registry);
                    async move { registry.prepare().await }
                };
                prepared =
                    settle(&watch.hints, options.debounce, options.max_wait, prepare).await;
                Instant::now() >= rescan_due
            }
            () = sleep_until(due) => true,
        };
        let now = Instant::now();
        depth = if !is_due {
            ReadDepth::Changed
        } else if now < contents_due {
            ReadDepth::Unconfirmed
        } else {
            contents_due = now + options.contents_interval;
            ReadDepth::Contents
        };
        if is_due {
            rescan_due = now + options.rescan_interval;
            prepared = None;
        }
        watch.renew_if_needed(depth).await;
    }
}

/// Waits until no hint has come for `quiet`, but at most for `longest`.
///
/// After the first quarter of a quiet time, the reload is prepared. A hint during the
/// preparation makes it useless and doubles the delay before the next preparation, so that
/// steady changes do not keep the process busy. The function waits for a preparation that has
/// begun; its use shows if it still holds.
async fn settle<P: Send + 'static, F: Future<Output = Option<P>> + Send + 'static>(
    hints: &FileEvents,
    quiet: Duration,
    longest: Duration,
    prepare: impl Fn() -> F,
) -> Option<P> {
    let end = Instant::now() + longest;
    let mut lead = quiet / 4;
    loop {
        tokio::select! {
            () = sleep(lead) => {}
            () = sleep_until(end) => return None,
            () = hints.wait() => continue,
        }
        let preparation = tokio::spawn(prepare());
        tokio::select! {
            () = sleep(quiet.saturating_sub(lead)) => {}
            () = sleep_until(end) => {}
            () = hints.wait() => {
                preparation.abort();
                lead = (lead * 2).min(quiet);
                continue;
            }
        }
        return preparation.await.ok().flatten();
    }
}

/// Hints from the events of the file system.
#[derive(Debug, Default)]
struct FileEvents {
    hint_count: AtomicU64,
    wake: Notify,
    broken: AtomicBool,
}

impl FileEvents {
    fn hint(&self) {
        self.hint_count.fetch_add(1, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Number of hints so far.
    fn count(&self) -> u64 {
        self.hint_count.load(Ordering::Relaxed)
    }

    async fn wait(&self) {
        self.wake.notified().await;
    }

    /// Handles an event of the system.
    fn take(&self, event: notify::Result<Event>, filter: &Filter) {
        match event {
            Ok(event) if filter.passes(&event) => self.hint(),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "watch of the definitions failed");
                self.broken.store(true, Ordering::Relaxed);
                self.hint();
            }
        }
    }
}

/// Decides which events are hints.
#[derive(Debug)]
struct Filter {
    /// The folders, free of links.
    folders: Vec<PathBuf>,
    /// The names under which the folders were given. Their parents are watched, so that Almanac
    /// notices a folder that returns or a link that is changed.
    names: Vec<PathBuf>,
}

impl Filter {
    /// Returns `true` if the event is a hint. Names inside a folder do not matter: a Kubernetes
    /// volume shows events of `..data` and none of its files. Reads must not pass, because a
    /// reload reads.
    fn passes(&self, event: &Event) -> bool {
        let inside = |path: &PathBuf| {
            self.names.contains(path) || self.folders.iter().any(|folder| path.starts_with(folder))
        };
        !matches!(event.kind, EventKind::Access(_))
            && (event.paths.is_empty() || event.paths.iter().any(inside))
    }
}

/// The watch of all folders. It is renewed when it may miss events.
pub(super) struct FolderWatch {
    roots: Vec<PathBuf>,
    hints: Arc<FileEvents>,
    present: Option<Installed>,
    warned: bool,
}

/// A watch that is installed.
struct Installed {
    /// Identities of the folders that the watch covers.
    seen: Vec<Option<Identity>>,
    /// Stops the watch when dropped.
    _watcher: RecommendedWatcher,
}

impl FolderWatch {
    pub(super) fn new(roots: Vec<PathBuf>) -> Self {
        Self {
            roots,
            hints: Arc::default(),
            present: None,
            warned: false,
        }
    }

    /// Records that the watch misses events.
    fn suspect(&self) {
        tracing::debug!("definitions changed without an event");
        self.hints.broken.store(true, Ordering::Relaxed);
    }

    /// Renews the watch if it may miss events. If there is none, or it failed, only the timer
    /// tries again, so that a failing watch is not renewed all the time.
    async fn renew_if_needed(&mut self, depth: ReadDepth) {
        let due = depth != ReadDepth::Changed;
        let broken = self.hints.broken.load(Ordering::Relaxed);
        let seen = self.present.as_ref().map(|present| present.seen.clone());
        let roots = self.roots.clone();
        let others = match seen {
            None => due,
            Some(_) if broken && due => true,
            Some(seen) => tokio::task::spawn_blocking(move || seen != identities(&roots))
                .await
                .unwrap_or(due),
        };
        if others {
            self.renew().await;
        }
    }

    async fn renew(&mut self) {
        self.present = None;
        self.hints.broken.store(false, Ordering::Relaxed);
        let roots = self.roots.clone();
        let hints = Arc::clone(&self.hints);
        let installed = tokio::task::spawn_blocking(move || install(&roots, hints)).await;
        match installed {
            Ok(Ok(installed)) => {
                self.warned = false;
                self.present = Some(installed);
            }
            Ok(Err(error)) => self.warn(&error),
            Err(error) => self.warn(&error),
        }
    }

    fn warn(&mut self, error: &dyn std::error::Error) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(
                %error,
                "cannot watch the folders; changes are found at the rescan interval"
            );
        }
    }
}

fn identities(roots: &[PathBuf]) -> Vec<Option<Identity>> {
    roots.iter().map(|root| identity(root)).collect()
}

fn install(roots: &[PathBuf], hints: Arc<FileEvents>) -> notify::Result<Installed> {
    // The identities are taken before the watch, so that a folder replaced meanwhile is found
    // to be another one.
    let seen = identities(roots);
    let folders: Vec<_> = roots
        .iter()
        .filter_map(|root| root.canonicalize().ok())
        .collect();
    let names: Vec<_> = roots.iter().map(|root| named(root)).collect();
    let filter = Filter {
        folders: folders.clone(),
        names: names.clone(),
    };
    let mut watcher = RecommendedWatcher::new(
        move |event| hints.take(event, &filter),
        // A link that leads out of a folder is no reason to watch its target.
        Config::default().with_follow_symlinks(false),
    )?;
    // Parents come first: the later watch of the same path decides if it is recursive.
    for parent in names.iter().filter_map(|name| name.parent()) {
        if let Err(error) = watcher.watch(parent, RecursiveMode::NonRecursive) {
            tracing::debug!(%error, "cannot watch the parent of a folder");
        }
    }
    for folder in &folders {
        watcher.watch(folder, RecursiveMode::Recursive)?;
    }
    Ok(Installed {
        seen,
        _watcher: watcher,
    })
}

/// Name of a folder as the events of its parent show it: the parent is free of links, the
/// folder itself is not.
fn named(root: &Path) -> PathBuf {
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    match (root.parent().map(Path::canonicalize), root.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => root,
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, CreateKind, Flag, ModifyKind};

    use super::*;

    const QUIET: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_reload_waits_for_quiet() {
        let hints = Arc::new(FileEvents::default());
        let started = Instant::now();
        let telling = Arc::clone(&hints);
        tokio::spawn(async move {
            for _ in 0..3 {
                sleep(Duration::from_millis(400)).await;
                telling.hint();
            }
        });
        let prepare = move || async move { Some(started.elapsed()) };
        let prepared = settle(&hints, QUIET, LONGEST, prepare).await;
        assert_eq!(started.elapsed(), Duration::from_millis(3 * 400 + 500));
        // Each preparation that a hint made useless delays the next.
        assert_eq!(prepared, Some(Duration::from_millis(3 * 400 + 500)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_preparation_is_waited_for_and_not_begun_again() {
        let hints = Arc::new(FileEvents::default());
        let begun = Arc::new(AtomicU64::new(0));
        let telling = Arc::clone(&hints);
        tokio::spawn(async move {
            // Quiet for longer than the debounce, again and again.
            loop {
                sleep(QUIET + QUIET / 10).await;
                telling.hint();
            }
        });
        let counted = Arc::clone(&begun);
        let prepare = move || {
            let counted = Arc::clone(&counted);
            async move {
                counted.fetch_add(1, Ordering::Relaxed);
                sleep(4 * QUIET).await;
                Some(())
            }
        };
        let started = Instant::now();
        assert_eq!(settle(&hints, QUIET, LONGEST, prepare).await, Some(()));
        assert_eq!(started.elapsed(), QUIET / 4 + 4 * QUIET);
        assert_eq!(begun.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_waits_no_longer_than_it_may() {
        let hints = Arc::new(FileEvents::default());
        let started = Instant::now();
        let telling = Arc::clone(&hints);
        tokio::spawn(async move {
            loop {
                sleep(Duration::from_millis(1)).await;
                telling.hint();
            }
        });
        let prepared = settle(&hints, QUIET, LONGEST, || async { Some(()) }).await;
        assert_eq!((started.elapsed(), prepared), (LONGEST, None));
    }

    #[test]
    fn anything_but_a_read_in_or_of_a_folder_is_a_hint() {
        let filter = Filter {
            folders: vec!["/srv/defs".into()],
            names: vec!["/srv/current".into()],
        };
        let passes = |kind, path: &str| filter.passes(&Event::new(kind).add_path(path.into()));
        let create = EventKind::Create(CreateKind::Any);
        assert!(passes(create, "/srv/defs/..data"));
        assert!(passes(create, "/srv/defs"));
        assert!(passes(create, "/srv/current"));
        assert!(passes(
            EventKind::Modify(ModifyKind::Any),
            "/srv/defs/a.yaml"
        ));
        assert!(!passes(create, "/srv/defs2"));
        assert!(!passes(create, "/srv/other/file"));
        assert!(!passes(
            EventKind::Access(AccessKind::Any),
            "/srv/defs/a.yaml"
        ));
        // The kernel's queue was too short: nothing is known.
        assert!(filter.passes(&Event::new(EventKind::Other).set_flag(Flag::Rescan)));
    }
}
