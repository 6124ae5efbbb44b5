//! The overview of definitions and schedules, shared by all pages: it is computed again only
//! after the files, the list of schedules or the last pass have changed.

use std::sync::Arc;
use std::time::Duration;

use almanac_core::record::Status;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::super::Service;
use super::super::listing::Listing;
use super::super::problem::Problem;
use crate::backend::{Backend, BackendError};
use crate::overview::Overview;

/// Time after which an overview is forgotten.
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

    /// Returns the overview of a list of schedules, or without schedules.
    pub(super) async fn of<B: Backend>(
        &self,
        service: &Service<B>,
        status: Option<&Status>,
        listing: Result<Arc<Listing>, BackendError>,
    ) -> Result<Seen, Problem> {
        let (schedules, away) = match listing {
            Ok(listing) => (Some(Arc::clone(&listing.schedules)), None),
            Err(error) => (None, Some(error)),
        };
        let snapshot = service.backend.snapshot();
        let pass = status.map(|status| status.pass);
        let mut last = self.0.lock().await;
        if let Some(kept) = &*last
            && kept.pass == pass
            && kept.overview.is_of(&snapshot, schedules.as_ref())
        {
            let overview = Arc::clone(&kept.overview);
            return Ok(Seen { overview, away });
        }
        let (project, status) = (service.backend.project().clone(), status.cloned());
        let join = move || Overview::new(&project, snapshot, schedules, status.as_ref());
        let overview = Arc::new(service.render_workers.work(join).await?);
        *last = Some(Kept {
            overview: Arc::clone(&overview),
            pass,
        });
        self.forget_later(&overview);
        Ok(Seen { overview, away })
    }

    /// Forgets the overview after a while, unless another one replaced it: ten thousand rows
    /// need not stay in memory when nobody looks.
    fn forget_later(&self, overview: &Arc<Overview>) {
        let (kept, overview) = (Arc::downgrade(&self.0), Arc::downgrade(overview));
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            if let (Some(kept), Some(overview)) = (kept.upgrade(), overview.upgrade()) {
                let mut last = kept.lock().await;
                last.take_if(|kept| Arc::ptr_eq(&kept.overview, &overview));
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
