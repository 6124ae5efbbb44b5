//! `GET /api/v1/activity`: passes, requests of people and reloads in one list, newest first.

use std::sync::Arc;
use std::time::Duration;

use almanac_core::record::{HistoryEntry, Status};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::cached::Cached;
use super::openapi::{Upstream, written};
use super::problem::Problem;
use super::query::{ActivityQuery, StrictQuery};
use super::{Caller, Service};
use crate::activity_log::{ActivityLog, Entry};
use crate::backend::{Backend, BackendError};
use crate::registry::RecentReload;

/// Maximum age of a history that is served to others.
const MAX_AGE: Duration = Duration::from_millis(200);

/// The project's history entries, queried once for all requests of a moment.
#[derive(Debug, Default)]
pub(super) struct Histories(Cached<Vec<HistoryEntry>>);

impl Histories {
    async fn all(&self, backend: &impl Backend) -> Result<Arc<Vec<HistoryEntry>>, BackendError> {
        let query = async { Ok::<_, BackendError>((Instant::now(), backend.history(None).await?)) };
        self.0.get(MAX_AGE, query).await
    }

    /// Forgets the history, so that the next request sees a request that was just made.
    pub(super) fn forget(&self) {
        self.0.forget();
    }
}

/// The records from which the activity is made.
pub(super) struct Recorded {
    status: Arc<Status>,
    history: Arc<Vec<HistoryEntry>>,
    reloads: Vec<RecentReload>,
}

impl Recorded {
    /// Reads the records of the reconcile workflow and of this process.
    pub(super) async fn read<B: Backend>(service: &Service<B>) -> Result<Self, BackendError> {
        let backend = &*service.backend;
        let (status, history) = tokio::try_join!(
            service.status_cache.status(backend),
            service.histories.all(backend)
        )?;
        Ok(Self {
            status,
            history,
            reloads: backend.recent_reloads(),
        })
    }

    /// The records of this process alone.
    pub(super) fn reloads(backend: &impl Backend) -> Self {
        Self {
            status: Arc::default(),
            history: Arc::default(),
            reloads: backend.recent_reloads(),
        }
    }

    /// The activity of the project, as far as it is remembered. Thousands of entries may take a
    /// moment.
    pub(super) fn log(self) -> ActivityLog {
        ActivityLog::new(&self.status.reports, &self.history, self.reloads)
    }
}

/// A page of the activity.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ActivityPage {
    /// The entries, newest first. Reloads are those of the process that answers.
    entries: Vec<Entry>,
    /// Number of entries that match, the same on every page.
    total: usize,
    /// Token of the next page; `None` on the last page.
    next_page_token: Option<String>,
}

/// Lists passes, requests, manual runs that failed or were lost, and reloads, newest first.
#[utoipa::path(
    get, path = "/api/v1/activity", operation_id = "activity", tag = "passes",
    params(ActivityQuery),
    responses((status = 200, description = "A page of the activity", body = ActivityPage), Upstream)
)]
pub(super) async fn list<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    caller: Extension<Caller>,
    StrictQuery(query): StrictQuery<ActivityQuery>,
) -> Result<Response, Problem> {
    let _turn = service.lists.take(&caller)?;
    let recorded = Recorded::read(&service).await?;
    let page = move || {
        let page = query.page(&recorded.log());
        written(&ActivityPage {
            entries: page.entries,
            total: page.total,
            next_page_token: page.next,
        })
    };
    service.render_workers.work(page).await?
}
