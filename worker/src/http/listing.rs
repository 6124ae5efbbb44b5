//! The list of schedules, cached for a short time: a client that reads it in pages makes
//! the server list everything only once, and reads one consistent state.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::schedules::view::{ScheduleState, ScheduleView};
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;

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
    began: Instant,
    /// The schedules, by definition.
    pub(super) schedules: Vec<ScheduleView>,
    /// States that could not be checked for some of the schedules.
    pub(super) unknown: BTreeSet<ScheduleState>,
}

/// The last listing, while a client may be reading it.
#[derive(Debug, Default)]
pub(super) struct Listings(Arc<Mutex<Option<Arc<Listing>>>>);

impl Listings {
    /// Returns the schedules; for a first page, as they were a moment ago. Only one
    /// listing is made at a time.
    pub(super) async fn get(
        &self,
        backend: &impl Backend,
        is_first: bool,
    ) -> Result<Arc<Listing>, BackendError> {
        let limit = if is_first { FRESH } else { KEPT };
        let mut last = self.0.lock().await;
        if let Some(listing) = last.as_ref().filter(|one| one.began.elapsed() < limit) {
            return Ok(Arc::clone(listing));
        }
        let (at, began) = (Timestamp::now(), Instant::now());
        let schedules = backend.schedules().await?;
        let unknown = schedules.iter().flat_map(|one| &one.unknown).copied();
        let listing = Arc::new(Listing {
            unknown: unknown.collect(),
            schedules,
            at,
            began,
        });
        *last = Some(Arc::clone(&listing));
        self.forget_later();
        Ok(listing)
    }

    /// Forgets the listing, so that the next first page shows a change that was just
    /// made.
    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }

    /// Forgets the listing once it is too old: ten thousand schedules need not stay in
    /// memory when nobody reads them.
    fn forget_later(&self) {
        let kept = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(KEPT).await;
            if let Some(kept) = kept.upgrade() {
                let mut last = kept.lock().await;
                last.take_if(|listing| listing.began.elapsed() >= KEPT);
            }
        });
    }
}
