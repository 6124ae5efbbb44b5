//! The list of schedules, cached for a short time: a client that reads it in pages makes
//! the server list everything only once, and reads one consistent state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almanac_activities::schedules::view::{LastRun, RUNNING, ScheduleState, ScheduleView};
use jiff::Timestamp;
use tokio::time::Instant;

use super::cached::Cached;
use crate::backend::{Backend, BackendError};

/// Maximum age of the list that a first page is taken from.
const FRESH: Duration = Duration::from_secs(2);
/// Maximum age of the list that further pages are taken from.
const KEPT: Duration = Duration::from_mins(1);

/// The project's schedules as they were listed.
#[derive(Debug)]
pub(super) struct Listing {
    /// Time at which the listing began.
    pub(super) at: Timestamp,
    /// The schedules, by definition.
    pub(super) schedules: Arc<Vec<ScheduleView>>,
    /// States that could not be checked for some of the schedules.
    pub(super) unknown: BTreeSet<ScheduleState>,
}

/// The last listing, while a client may be reading it.
#[derive(Debug, Default)]
pub(super) struct Listings {
    last: Cached<Listing>,
    ended: EndedRuns,
}

/// The last runs of schedules that have ended, although their schedules have not noticed:
/// by run id, with the status at the end. No more than one for each listed schedule.
#[derive(Debug, Default)]
struct EndedRuns(Mutex<BTreeMap<String, String>>);

impl EndedRuns {
    /// Corrects the statuses of runs that seem to go on. Asks for those that are not known
    /// to have ended.
    async fn correct(&self, backend: &impl Backend, views: &mut [ScheduleView]) {
        let known = std::mem::take(&mut *self.lock());
        let mut seemed_running = BTreeSet::new();
        for run in running(views) {
            seemed_running.insert(run.run_id.clone());
            if let Some(status) = known.get(&run.run_id) {
                run.status = Some(status.clone());
            }
        }
        backend.ask_running(views).await;
        let last = views.iter().filter_map(|view| view.last_run.as_ref());
        let ended = last.filter(|run| {
            seemed_running.contains(&run.run_id) && run.status.as_deref() != Some(RUNNING)
        });
        let ended = ended.filter_map(|run| Some((run.run_id.clone(), run.status.clone()?)));
        *self.lock() = ended.collect();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last runs that seem to go on.
fn running(views: &mut [ScheduleView]) -> impl Iterator<Item = &mut LastRun> {
    let runs = views.iter_mut().filter_map(|view| view.last_run.as_mut());
    runs.filter(|run| run.status.as_deref() == Some(RUNNING))
}

impl Listings {
    /// Returns the schedules; for a first page, as they were a moment ago. Only one
    /// listing is made at a time.
    pub(super) async fn get(
        &self,
        backend: &impl Backend,
        is_first: bool,
    ) -> Result<Arc<Listing>, BackendError> {
        let list = async {
            let (at, began) = (Timestamp::now(), Instant::now());
            let mut schedules = backend.schedules().await?;
            self.ended.correct(backend, &mut schedules).await;
            let unknown = schedules.iter().flat_map(|one| &one.unknown).copied();
            let listing = Listing {
                unknown: unknown.collect(),
                schedules: Arc::new(schedules),
                at,
            };
            // Ten thousand schedules need not stay in memory when nobody reads them.
            self.last.forget_at(KEPT);
            Ok::<_, BackendError>((began, listing))
        };
        self.last
            .get(if is_first { FRESH } else { KEPT }, list)
            .await
    }

    /// Forgets the listing, so that the next first page shows a change that was just
    /// made.
    pub(super) async fn forget(&self) {
        self.last.forget().await;
    }
}
