//! The list of schedules, cached for a short time: a client that reads it in pages makes
//! the server list everything only once, and reads one consistent state.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::schedules::view::{ScheduleState, ScheduleView};
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
    pub(super) schedules: Vec<ScheduleView>,
    /// States that could not be checked for some of the schedules.
    pub(super) unknown: BTreeSet<ScheduleState>,
}

/// The last listing, while a client may be reading it.
#[derive(Debug, Default)]
pub(super) struct Listings(Cached<Listing>);

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
            let schedules = backend.schedules().await?;
            let unknown = schedules.iter().flat_map(|one| &one.unknown).copied();
            let listing = Listing {
                unknown: unknown.collect(),
                schedules,
                at,
            };
            // Ten thousand schedules need not stay in memory when nobody reads them.
            self.0.forget_at(KEPT);
            Ok::<_, BackendError>((began, listing))
        };
        self.0.get(if is_first { FRESH } else { KEPT }, list).await
    }

    /// Forgets the listing, so that the next first page shows a change that was just
    /// made.
    pub(super) async fn forget(&self) {
        self.0.forget().await;
    }
}
