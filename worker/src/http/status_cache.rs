//! Looks at the reconcile workflow's state, shared by all who wait for a pass:
//! the server keeps few questions to a workflow waiting, and refuses the rest.

use std::sync::Arc;
use std::time::Duration;

use almanac_core::record::Status;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::backend::{Backend, BackendError};

/// How long an answer serves others too; time between two looks of one who waits.
pub(super) const STATUS_MAX_AGE: Duration = Duration::from_millis(200);

/// The last look, while it is fresh.
#[derive(Debug, Default)]
pub(super) struct StatusCache(Mutex<Option<(Instant, Arc<Status>)>>);

impl StatusCache {
    /// The workflow's state, at most [`STATUS_MAX_AGE`] old. One look at a time.
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
