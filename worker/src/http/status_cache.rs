//! The reconcile workflow's state, polled once for all requests that wait for a pass: the
//! server lets only a few queries of a workflow wait, and refuses the rest.

use std::sync::Arc;
use std::time::Duration;

use almanac_core::record::Status;
use tokio::time::Instant;

use super::cached::Cached;
use crate::backend::{Backend, BackendError};

/// Maximum age of a state that is served to others; also the interval between two polls
/// of a waiting request.
pub(super) const STATUS_MAX_AGE: Duration = Duration::from_millis(200);

/// The last state.
#[derive(Debug, Default)]
pub(super) struct StatusCache(Cached<Status>);

impl StatusCache {
    /// Returns the workflow's state, at most [`STATUS_MAX_AGE`] old. Only one query is
    /// sent at a time.
    pub(super) async fn status(&self, backend: &impl Backend) -> Result<Arc<Status>, BackendError> {
        let query = async {
            let status = backend.status().await?;
            Ok::<_, BackendError>((Instant::now(), status))
        };
        self.0.get(STATUS_MAX_AGE, query).await
    }

    /// The last state that a page can have been rendered from; `None` if the workflow has not
    /// answered yet.
    pub(super) fn newest(&self) -> Option<Arc<Status>> {
        self.0.newest()
    }

    /// Forgets the state, so that the next request sees a change that was just made.
    pub(super) fn forget(&self) {
        self.0.forget();
    }
}
