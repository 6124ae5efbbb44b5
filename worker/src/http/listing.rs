//! The list of schedules, cached for a short time: a client that reads it in pages makes
//! the server list everything only once, and reads one consistent state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almanac_activities::schedules::view::{LastRun, ListedSchedule, RUNNING, ScheduleState};
use jiff::Timestamp;
use tokio::time::Instant;

use super::cached::Cached;
use crate::backend::{Backend, BackendError};

/// Maximum age of the list that a first page is taken from.
const FRESH: Duration = Duration::from_secs(2);
/// Interval between the beginnings of two listings while pages are open, as a multiple of the time
/// that the last one took.
const INTERVAL_FACTOR: u32 = 11;
/// Maximum age of the list that further pages are taken from.
const KEPT: Duration = Duration::from_mins(1);

/// The project's schedules as they were listed.
#[derive(Debug)]
pub(super) struct Listing {
    /// Time at which the listing began.
    pub(super) at: Timestamp,
    /// The same time, for comparisons.
    pub(super) began: Instant,
    /// Time that the listing took.
    took: Duration,
    /// The schedules, by definition.
    pub(super) schedules: Arc<Vec<Arc<ListedSchedule>>>,
    /// States that could not be checked for some of the schedules.
    pub(super) unknown: BTreeSet<ScheduleState>,
}

impl Listing {
    /// Time from the beginning of this listing to that of the next one.
    fn interval(&self) -> Duration {
        FRESH.max(self.took * INTERVAL_FACTOR)
    }
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
    async fn correct(&self, backend: &impl Backend, listed: &mut [Arc<ListedSchedule>]) {
        let known = std::mem::take(&mut *self.lock());
        let mut seemed_running = BTreeSet::new();
        for run in running(listed) {
            seemed_running.insert(run.run_id.clone());
            if let Some(status) = known.get(&run.run_id) {
                run.status = Some(status.clone());
            }
        }
        backend.ask_running(listed).await;
        let last = listed.iter().filter_map(|one| one.last_run.as_ref());
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
fn running(listed: &mut [Arc<ListedSchedule>]) -> impl Iterator<Item = &mut LastRun> {
    let running = listed.iter_mut().filter(|one| one.seems_running());
    running.filter_map(|one| Arc::make_mut(one).view.last_run.as_deref_mut())
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
            let previous = self.last.newest();
            let previous = previous.as_ref().map_or(&[][..], |one| &one.schedules);
            let mut schedules = Box::pin(backend.schedules(previous)).await?;
            self.ended.correct(backend, &mut schedules).await;
            let unknown = schedules.iter().flat_map(|one| &one.unknown).copied();
            let listing = Listing {
                unknown: unknown.collect(),
                schedules: Arc::new(schedules),
                took: began.elapsed(),
                began,
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

    /// Returns the schedules as the last listing found them, unless that was too long ago: a
    /// person who searches need not wait while the schedules are listed again.
    pub(super) async fn get_recent(
        &self,
        backend: &impl Backend,
    ) -> Result<Arc<Listing>, BackendError> {
        if let Some((since, listing)) = self.last.value() {
            // The next listing takes about as long.
            let max_age = listing.interval() + listing.took;
            if since.elapsed() < max_age.min(KEPT) {
                return Ok(listing);
            }
        }
        self.get(backend, true).await
    }

    /// The newest listing, even if a change that was just made is not in it.
    pub(super) fn newest(&self) -> Option<Arc<Listing>> {
        self.last.newest()
    }

    /// Returns `true` if it is time for the next listing, while pages are open.
    pub(super) fn is_due(&self) -> bool {
        let last = self.last.value();
        last.is_none_or(|(since, listing)| since.elapsed() >= listing.interval())
    }

    /// Forgets the listing, so that the next first page shows a change that was just
    /// made.
    pub(super) fn forget(&self) {
        self.last.forget();
    }
}
