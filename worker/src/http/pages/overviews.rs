//! The overview of definitions and schedules, shared by all pages: it is computed again only
//! after the files, the list of schedules or the last pass have changed.
//!
//! Always holds: each overview is compared with the one before it, from which pages may have been
//! rendered, and open pages are told of the difference. So it does not matter whether a page
//! began to listen before or after a change.

use std::sync::Arc;
use std::time::Duration;

use almanac_core::record::Status;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::super::Service;
use super::super::listing::Listing;
use super::super::problem::Problem;
use super::live::{self, Change, difference};
use crate::backend::{Backend, BackendError};
use crate::overview::Overview;

/// Time after which an overview that nobody asks for is forgotten.
const KEPT: Duration = Duration::from_mins(1);
/// Time for which a page waits for the list of schedules.
const LIST_WAIT: Duration = Duration::from_secs(15);

/// The last overview.
#[derive(Debug, Default)]
pub(in crate::http) struct Overviews(Arc<Mutex<Option<Kept>>>);

#[derive(Debug)]
struct Kept {
    overview: Arc<Overview>,
    /// Number of the last pass that ended.
    pass: Option<u64>,
    /// The list of schedules; `None` if Temporal did not answer.
    listing: Option<Arc<Listing>>,
    /// Time at which the overview was asked for last.
    asked_at: Instant,
}

impl Kept {
    /// The newer one of this list and a list that was made meanwhile.
    fn newer(&self, listing: Arc<Listing>) -> Arc<Listing> {
        let own = self.listing.as_ref();
        let own = own.filter(|own| own.began > listing.began);
        own.map_or(listing, Arc::clone)
    }
}

/// An overview, and the reason why it has no schedules.
pub(super) struct Seen {
    pub(super) overview: Arc<Overview>,
    pub(super) away: Option<BackendError>,
}

impl Overviews {
    /// Returns the overview as it was a moment ago.
    pub(super) async fn get<B: Backend>(
        &self,
        service: &Service<B>,
        status: Option<&Status>,
    ) -> Result<Seen, Problem> {
        let listing = within(LIST_WAIT, service.listings.get(&*service.backend, true)).await;
        self.of(service, status, listing).await
    }

    /// Returns the overview with the schedules as they were listed last, unless that was too long
    /// ago.
    pub(super) async fn get_recent<B: Backend>(
        &self,
        service: &Service<B>,
        status: Option<&Status>,
    ) -> Result<Seen, Problem> {
        let listing = within(LIST_WAIT, service.listings.get_recent(&*service.backend)).await;
        self.of(service, status, listing).await
    }

    /// Returns the overview of a list of schedules, or without schedules. Never returns one that
    /// is older than the last one. Tells open pages of the difference from the last one.
    pub(super) async fn of<B: Backend>(
        &self,
        service: &Service<B>,
        status: Option<&Status>,
        listing: Result<Arc<Listing>, BackendError>,
    ) -> Result<Seen, Problem> {
        let mut last = self.0.lock().await;
        let (listing, away) = match (listing, &*last) {
            (Ok(listing), Some(kept)) => (Some(kept.newer(listing)), None),
            (Ok(listing), None) => (Some(listing), None),
            (Err(error), _) => (None, Some(error)),
        };
        let schedules = listing.as_ref().map(|one| Arc::clone(&one.schedules));
        let snapshot = service.backend.snapshot();
        let pass = status.map(|status| status.pass);
        if let Some(kept) = &mut *last
            && kept.pass >= pass
            && kept.overview.is_of(&snapshot, schedules.as_ref())
        {
            kept.asked_at = Instant::now();
            let overview = Arc::clone(&kept.overview);
            return Ok(Seen { overview, away });
        }
        let (project, status) = (service.backend.project().clone(), status.cloned());
        let before = last.as_ref().map(|kept| Arc::clone(&kept.overview));
        let join = move || {
            let overview = Overview::new(&project, snapshot, schedules, status.as_ref());
            let change =
                before.map_or_else(Change::unknown, |before| difference(&before, &overview));
            (Arc::new(overview), change)
        };
        let (overview, change) = service.render_workers.work(join).await?;
        *last = Some(Kept {
            overview: Arc::clone(&overview),
            pass,
            listing,
            asked_at: Instant::now(),
        });
        live::tell(service, change);
        self.forget_later(&overview);
        Ok(Seen { overview, away })
    }

    /// Forgets the overview when nobody has asked for it for a while, unless another one replaced
    /// it: ten thousand rows need not stay in memory when nobody looks.
    fn forget_later(&self, overview: &Arc<Overview>) {
        let (kept, overview) = (Arc::downgrade(&self.0), Arc::downgrade(overview));
        tokio::spawn(async move {
            let mut idle = Duration::ZERO;
            while idle < KEPT {
                tokio::time::sleep(KEPT.saturating_sub(idle)).await;
                let (Some(kept), Some(overview)) = (kept.upgrade(), overview.upgrade()) else {
                    return;
                };
                let mut last = kept.lock().await;
                let is_last = |kept: &&mut Kept| Arc::ptr_eq(&kept.overview, &overview);
                let Some(kept) = last.as_mut().filter(is_last) else {
                    return;
                };
                idle = kept.asked_at.elapsed();
                if idle >= KEPT {
                    *last = None;
                }
            }
        });
    }
}

/// The list of schedules, or an error if it takes too long.
async fn within(
    most: Duration,
    listing: impl Future<Output = Result<Arc<Listing>, BackendError>>,
) -> Result<Arc<Listing>, BackendError> {
    timeout(most, listing).await.unwrap_or_else(|_| {
        let words = format!("no answer within {most:?}");
        Err(BackendError::Away(words))
    })
}
