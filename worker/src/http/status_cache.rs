//! The reconcile workflow's state, polled once for all requests that wait for a pass: the
//! server lets only a few queries of a workflow wait, and refuses the rest.

use std::sync::Arc;
use std::time::Duration;

use almanac_core::record::Status;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::backend::{Backend, BackendError};

/// Maximum age of a state that is served to others; also the interval between two polls
/// of a waiting request.
pub(super) const STATUS_MAX_AGE: Duration = Duration::from_millis(200);

/// The last state, with its time.
#[derive(Debug, Default)]
pub(super) struct StatusCache(Mutex<Option<(Instant, Arc<Status>)>>);

impl StatusCache {
    /// Returns the workflow's state, at most [`STATUS_MAX_AGE`] old. Only one query is
    /// sent at a time.
    pub(super) async fn status(&self, backend: &impl Backend) -> Result<Arc<Status>, BackendError> {
        let mut last = self.0.lock().await;
        if let Some((at, status)) = &*last
            && at.elapsed() < STATUS_MAX_AGE
        {
            return Ok(Arc::clone(status));
        }
        let status = Arc::new(backend.status().await?);
        *last = Some((Instant::now(), Arc::clone(&status)));
        Ok(status)
    }
}
