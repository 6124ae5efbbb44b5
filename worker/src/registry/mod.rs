//! The definitions that this process serves, kept in step with the files.
//!
//! Expected flow: [`Registry::new`], a first [`Registry::reload`] before anything else, then
//! [`spawn_watcher`]. A task of the process awaits [`Registry::changed`] and announces the
//! changes.
//!
//! Always holds: a reader sees a whole [`Snapshot`]. Reloads run one at a time. No state of the
//! files or folders ends the process. A definition goes away only if it is absent from a view
//! without gaps. The consequences for schedules are left to the planner.

mod assemble;
mod difference;
mod documents;
mod files;
mod load;
mod log;
mod read;
mod recent_reloads;
mod retention;
mod scan;
mod summary;
#[cfg(test)]
mod tests;
mod threads;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use almanac_activities::codec::Codec;
use almanac_activities::spans;
use almanac_base::names::Revision;
use almanac_core::schedule::Encryption;
use almanac_core::snapshot::Snapshot;
use arc_swap::ArcSwap;
use jiff::Timestamp;
use opentelemetry::KeyValue;
use tokio::sync::Notify;

use self::assemble::{Origins, assemble};
use self::load::{Loaded, Loader, SpeculativeLoad};
use self::recent_reloads::RecentReloads;

pub use self::load::ReadDepth;
pub use self::recent_reloads::{
    RELOAD_NAMES, RELOADS_KEPT, RecentReload, ReloadCause, ReloadChanges, ReloadNames,
};
pub use self::summary::ReloadSummary;
pub use self::watch::{WatchOptions, spawn_watcher};

/// Time after a reload until the replaced data are freed. The announcement does not wait for
/// it.
const FREED_AFTER: Duration = Duration::from_secs(1);

/// The definitions that this process serves.
#[derive(Debug)]
pub struct Registry {
    roots: Vec<PathBuf>,
    codec: Codec,
    snapshot: ArcSwap<Snapshot>,
    state: Arc<tokio::sync::Mutex<State>>,
    pending: Mutex<Option<ReloadSummary>>,
    pending_changed: Notify,
    reloads: AtomicU64,
    /// `true` once a complete view of the folders has been served.
    has_been_complete: AtomicBool,
    recent: Mutex<RecentReloads>,
}

/// State from which a reload starts.
#[derive(Debug)]
struct State {
    loader: Loader,
    origins: Origins,
    /// `true` once a load has ended. Before that, the snapshot does not count as served.
    loaded: bool,
}

/// A reload that was computed during the debounce.
#[derive(Debug)]
struct Prepared {
    /// Number of reloads that had ended before.
    reloads: u64,
    speculative: SpeculativeLoad,
    next: Option<Next>,
}

/// The snapshot to serve next, with the state that belongs to it.
#[derive(Debug)]
struct Next {
    snapshot: Snapshot,
    origins: Origins,
    summary: ReloadSummary,
    changes: ReloadChanges,
}

/// Result of a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// The revision is the same as before.
    Unchanged,
    /// Another snapshot is served.
    Changed(ReloadSummary),
}

/// The error of a reload that panicked. This is a defect of Almanac; the log shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reload failed; the definitions served before are still served")]
pub struct ReloadError;

impl Registry {
    /// A registry of the definitions in `roots`, empty until the first reload. A file is read
    /// only after it has not changed for `still_for`, as the watcher's debounce waits for
    /// events.
    pub fn new(roots: Vec<PathBuf>, still_for: Duration) -> Arc<Self> {
        Self::encrypting(roots, still_for, Codec::default())
    }

    /// A registry for a process that encrypts payloads with `codec`. The encryption is a part of the
    /// snapshot; a change of it takes effect with the next reload.
    pub fn encrypting(roots: Vec<PathBuf>, still_for: Duration, codec: Codec) -> Arc<Self> {
        let loader = Loader::new(roots.clone(), still_for);
        Self::with_loader(roots, loader, codec)
    }

    fn with_loader(roots: Vec<PathBuf>, loader: Loader, codec: Codec) -> Arc<Self> {
        Arc::new(Self {
            codec,
            roots,
            snapshot: ArcSwap::default(),
            state: Arc::new(tokio::sync::Mutex::new(State {
                loader,
                origins: Origins::default(),
                loaded: false,
            })),
            pending: Mutex::new(None),
            pending_changed: Notify::new(),
            reloads: AtomicU64::new(0),
            has_been_complete: AtomicBool::new(false),
            recent: Mutex::default(),
        })
    }

    /// The snapshot that is served now. Call this once for each operation.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Returns `true` once a complete view of the folders has been served. Before that, a
    /// definition that is not served may exist.
    pub fn has_been_complete(&self) -> bool {
        self.has_been_complete.load(Ordering::Acquire)
    }

    /// The folders as they were given.
    pub fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// The present text of a file that is in one of the folders, at this relative path. `None`
    /// if there is no such file, if it cannot be read, or if several folders have one. Files are
    /// read only in the folders.
    pub fn text_of(&self, path: &str) -> Option<String> {
        let mut found = self.roots.iter().filter_map(|root| {
            let root = root.canonicalize().ok()?;
            let file = root.join(path).canonicalize().ok()?;
            file.starts_with(&root).then_some(file)
        });
        let (file, other) = (found.next()?, found.next());
        if other.is_some_and(|other| other != file) {
            return None;
        }
        let bytes = read::read_any(&file)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Number of reloads that have ended.
    pub fn reloads(&self) -> u64 {
        self.reloads.load(Ordering::Relaxed)
    }

    /// The last reloads that changed the definitions or failed, newest first; at most
    /// [`RELOADS_KEPT`].
    pub fn recent_reloads(&self) -> Vec<RecentReload> {
        self.recent().newest_first()
    }

    fn recent(&self) -> MutexGuard<'_, RecentReloads> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the folders after the call, and serves their definitions. This takes up to some
    /// seconds while files are being written. The reload runs to its end even if the caller
    /// does not wait.
    pub async fn reload(self: &Arc<Self>, depth: ReadDepth) -> Result<Reload, ReloadError> {
        self.reload_from(None, depth).await
    }

    /// Reads all files after the call, because an operator asked for it.
    pub async fn reload_for(self: &Arc<Self>, by: String) -> Result<Reload, ReloadError> {
        self.reload_because(None, ReadDepth::Contents, ReloadCause::Request, by)
            .await
    }

    /// Prepares a reload: does all the work whose time grows with the number of definitions.
    async fn prepare(self: &Arc<Self>) -> Option<Prepared> {
        let state = Arc::clone(&self.state).lock_owned().await;
        let registry = Arc::clone(self);
        let prepared = tokio::task::spawn_blocking(move || {
            let prepare = AssertUnwindSafe(|| registry.prepare_now(&state));
            // An error here also occurs in the reload itself, which reports it.
            catch_unwind(prepare).ok().flatten()
        });
        prepared.await.ok().flatten()
    }

    /// Reloads, and uses the prepared reload if nothing has changed since. A later change that
    /// shows neither in its folder nor in a file that was read is left to the next reload.
    async fn reload_from(
        self: &Arc<Self>,
        prepared: Option<Prepared>,
        depth: ReadDepth,
    ) -> Result<Reload, ReloadError> {
        self.reload_because(prepared, depth, depth.into(), String::new())
            .await
    }

    async fn reload_because(
        self: &Arc<Self>,
        prepared: Option<Prepared>,
        depth: ReadDepth,
        cause: ReloadCause,
        by: String,
    ) -> Result<Reload, ReloadError> {
        let mut state = Arc::clone(&self.state).lock_owned().await;
        let registry = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let (began, started) = (SystemTime::now(), Instant::now());
            let cause = if state.loaded {
                cause
            } else {
                ReloadCause::Start
            };
            let reload = AssertUnwindSafe(|| {
                registry.reload_now(&mut state, prepared, depth, cause, &by, began)
            });
            let result = catch_unwind(reload).map_err(|_| ReloadError);
            if let Err(error) = &result {
                let failed = RecentReload::failed(cause, by, &registry.snapshot(), *error);
                registry.recent().add_failure(failed);
            }
            registry.reloads.fetch_add(1, Ordering::Relaxed);
            log::reloaded(&result, started.elapsed());
            result
        })
        .await
        .unwrap_or(Err(ReloadError))
    }

    /// Returns `true` if the process encrypts otherwise than the snapshot says.
    pub fn has_stale_encryption(&self) -> bool {
        self.codec.encryption() != self.snapshot.load().encryption
    }

    /// Waits for changes that this method has not returned before, and returns all of them.
    /// Only one task may call it: the one that announces.
    pub async fn changed(&self) -> ReloadSummary {
        loop {
            let changed = self.pending_changed.notified();
            if let Some(summary) = self.pending().take() {
                return summary;
            }
            changed.await;
        }
    }

    fn pending(&self) -> MutexGuard<'_, Option<ReloadSummary>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prepare_now(&self, state: &State) -> Option<Prepared> {
        let speculative = state.loader.speculative_load()?;
        Some(Prepared {
            reloads: self.reloads(),
            next: self.next_snapshot(state, &speculative.loaded),
            speculative,
        })
    }

    /// The snapshot served before a reload; `None` until a load has ended.
    fn before(&self, state: &State) -> Option<Arc<Snapshot>> {
        state.loaded.then(|| self.snapshot())
    }

    /// The snapshot that follows from a load; `None` if nothing has changed.
    fn next_snapshot(&self, state: &State, loaded: &Loaded) -> Option<Next> {
        let before = self.before(state);
        let (before, view) = (before.as_deref(), &loaded.view);
        let encryption = self.codec.encryption();
        let revision = revision(&view.revision, &encryption);
        if before.is_some_and(|before| before.revision == revision) {
            return None;
        }
        let empty = Snapshot::default();
        let previous = before.unwrap_or(&empty);
        let (snapshot, origins) = assemble(previous, &state.origins, view, &self.roots);
        let snapshot = Snapshot {
            revision,
            encryption,
            ..snapshot
        };
        Some(Next {
            summary: ReloadSummary::between(before, &snapshot),
            changes: ReloadChanges::between(previous, &snapshot),
            snapshot,
            origins,
        })
    }

    fn reload_now(
        &self,
        state: &mut State,
        prepared: Option<Prepared>,
        depth: ReadDepth,
        cause: ReloadCause,
        by: &str,
        began: SystemTime,
    ) -> Reload {
        let prepared = prepared
            .filter(|prepared| prepared.reloads == self.reloads() && prepared.speculative.holds());
        let (loaded, next) = if let Some(prepared) = prepared {
            (prepared.speculative.loaded, prepared.next)
        } else {
            let loaded = state.loader.load(depth);
            let next = self.next_snapshot(state, &loaded);
            (loaded, next)
        };
        let before = self.before(state);
        let files_before = state.loader.files();
        state.loader.accept(loaded);
        let Some(Next {
            mut snapshot,
            origins,
            summary,
            changes,
        }) = next
        else {
            return Reload::Unchanged;
        };
        let span = span(began, cause, &summary);
        snapshot.traceparent = spans::traceparent(&span);
        let empty = Arc::default();
        log::changed(before.as_deref().unwrap_or(&empty), &snapshot, &summary);
        let origins_before = std::mem::replace(&mut state.origins, origins);
        state.loaded = true;
        self.recent().add(RecentReload {
            at: Timestamp::now(),
            cause,
            by: by.to_owned(),
            revision: snapshot.revision.clone(),
            changes,
            error: None,
            again: 0,
        });
        let is_complete = snapshot.is_complete();
        self.snapshot.store(Arc::new(snapshot));
        if is_complete {
            self.has_been_complete.store(true, Ordering::Release);
        }

        let mut pending = self.pending();
        *pending = Some(match pending.take() {
            Some(earlier) => earlier.then(summary.clone()),
            None => summary.clone(),
        });
        self.pending_changed.notify_one();
        free_later((files_before, origins_before, before));
        Reload::Changed(summary)
    }
}

/// The span of a reload that changed the definitions. It ends when it is dropped.
fn span(began: SystemTime, cause: ReloadCause, summary: &ReloadSummary) -> opentelemetry::Context {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let counts = &summary.counts;
    let attributes = vec![
        KeyValue::new("almanac.cause", cause.as_str()),
        KeyValue::new("almanac.revision", summary.revision.to_string()),
        KeyValue::new("almanac.new", count(counts.new)),
        KeyValue::new("almanac.updated", count(counts.updated)),
        KeyValue::new("almanac.archived", count(counts.archived)),
        KeyValue::new("almanac.invalid", count(counts.invalid)),
    ];
    spans::reload(began, attributes)
}

/// The revision of the files' contents and of the encryption.
fn revision(files: &Revision, encryption: &Encryption) -> Revision {
    if encryption.is_none() {
        return files.clone();
    }
    Revision::of(format!("{files} {encryption}").as_bytes())
}

/// Frees `what` later, when nobody waits. Freeing takes as long as building took.
fn free_later<T: Send + 'static>(what: T) {
    tokio::spawn(async move {
        tokio::time::sleep(FREED_AFTER).await;
        tokio::task::spawn_blocking(|| drop(what));
    });
}
