//! `GET /api/v1/timeline`: all schedules on one time axis, past and future.
//!
//! A timeline is read once for all clients that ask for its window within a short time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almanac_activities::schedules::view::ScheduleState;
use almanac_activities::timeline::{Lane, Timeline, TimelineLane, TimelineOverview, Window};
use almanac_core::definition::Labels;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::Service;
use super::auth::Caller;
use super::cached::Cached;
use super::openapi::{Upstream, written};
use super::problem::Problem;
use super::query::{Listed, StrictQuery, TimelineQuery};
use super::requests::bad_request;
use crate::backend::{Backend, BackendError};

/// Maximum age of the timeline that a first page is taken from.
const FRESH: Duration = Duration::from_secs(5);
/// Maximum age of the timeline that further pages are taken from.
const KEPT: Duration = Duration::from_mins(1);
/// Maximum number of windows whose timelines are kept.
const WINDOWS: usize = 4;
/// Maximum number of timelines that are read at a time.
const READS: usize = 2;

/// A page of the timeline.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TimelinePage {
    /// The parts that concern all schedules, whatever the query selects.
    #[serde(flatten)]
    overview: TimelineOverview,
    /// Lanes by definition.
    lanes: Vec<Lane>,
    /// Number of lanes that match, the same on every page.
    total: usize,
    /// Token of the next page; `None` on the last page.
    next_page_token: Option<String>,
}

impl Listed for TimelineLane {
    type State = ScheduleState;

    fn place(&self) -> Vec<u8> {
        self.view().place()
    }

    fn state(&self) -> ScheduleState {
        self.view().state
    }

    fn labels(&self) -> &Labels {
        &self.view().labels
    }

    fn texts(&self) -> [Option<&str>; 3] {
        self.view().texts()
    }
}

/// The last timelines, while clients may be reading them.
#[derive(Debug)]
pub(super) struct Timelines {
    windows: Mutex<Vec<(Window, Arc<Cached<Timeline>>)>>,
    reads: Semaphore,
}

impl Default for Timelines {
    fn default() -> Self {
        Self {
            windows: Mutex::default(),
            reads: Semaphore::new(READS),
        }
    }
}

impl Timelines {
    /// Returns the timeline of a window; for a first page, as it was a moment ago. A
    /// timeline is read once for all that wait for it.
    pub(super) async fn get(
        &self,
        backend: &impl Backend,
        window: Window,
        is_first: bool,
    ) -> Result<Arc<Timeline>, BackendError> {
        let cached = self.of(window);
        let read = async {
            // The semaphore is never closed.
            let _read = self.reads.acquire().await;
            let began = Instant::now();
            let timeline = backend.timeline(window).await?;
            // Thousands of runs need not stay in memory when nobody reads them.
            cached.forget_at(KEPT);
            Ok::<_, BackendError>((began, timeline))
        };
        cached.get(if is_first { FRESH } else { KEPT }, read).await
    }

    /// Forgets all timelines, so that the next first page shows a change that was just made.
    pub(super) fn forget(&self) {
        self.windows().clear();
    }

    fn windows(&self) -> MutexGuard<'_, Vec<(Window, Arc<Cached<Timeline>>)>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of a window's timeline. The windows that were asked for last are kept.
    fn of(&self, window: Window) -> Arc<Cached<Timeline>> {
        let mut windows = self.windows();
        let known = windows.iter().position(|(known, _)| *known == window);
        let entry = match known {
            Some(at) => windows.remove(at),
            None => (window, Arc::default()),
        };
        let cached = Arc::clone(&entry.1);
        windows.push(entry);
        let excess = windows.len().saturating_sub(WINDOWS);
        windows.drain(..excess);
        cached
    }
}

/// Shows the schedules on one time axis: their runs, gaps and times to come.
#[utoipa::path(
    get, path = "/api/v1/timeline", operation_id = "timeline", tag = "schedules",
    params(TimelineQuery),
    responses((status = 200, description = "A page of the timeline", body = TimelinePage), Upstream)
)]
pub(super) async fn timeline<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    caller: Extension<Caller>,
    StrictQuery(query): StrictQuery<TimelineQuery>,
) -> Result<Response, Problem> {
    let _turn = service.lists.take(&caller)?;
    let window = query.split(Timestamp::now());
    let (window, lanes) = window.map_err(|error| bad_request(format!("from, to: {error}")))?;
    let backend = &*service.backend;
    let timeline = service.timelines.get(backend, window, lanes.is_first());
    let timeline = timeline.await?;
    let page = move || {
        let builder = timeline.lane_builder();
        let page = lanes.page(timeline.lanes(), |lane| builder.lane(lane));
        written(&TimelinePage {
            overview: timeline.overview().clone(),
            lanes: page.entries,
            total: page.total,
            next_page_token: page.next,
        })
    };
    service.list_workers.work(page).await?
}
