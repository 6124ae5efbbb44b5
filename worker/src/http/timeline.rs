//! `GET /api/v1/timeline`: all schedules on one time axis, past and future.
//!
//! A timeline is read once for all clients that ask for its window within a short time. It shows
//! the schedules of the list that other requests share: for a page, of the last one.

use std::sync::Arc;
use std::time::Duration;

use almanac_activities::schedules::view::ScheduleState;
use almanac_activities::timeline::{Lane, Timeline, TimelineLane, TimelineOverview, Window};
use almanac_core::definition::Labels;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::Service;
use super::auth::Caller;
use super::cached_map::CachedMap;
use super::listing::{Listing, Listings};
use super::openapi::{Upstream, written};
use super::problem::Problem;
use super::query::{Listed, StrictQuery, TimelineQuery};
use super::requests::bad_request;
use crate::backend::{Backend, BackendError};

/// Maximum age of the timeline that a first page is taken from.
const FRESH: Duration = Duration::from_secs(5);
/// Maximum age of the timeline that further pages are taken from.
const KEPT: Duration = Duration::from_mins(1);
/// Maximum number of windows whose timelines are kept, of pages and of the API each.
const WINDOWS: usize = 4;
/// Number of days of a definition's schedule that its page looks back.
const LANE_DAYS: i64 = 7;
/// Maximum age of these days. A run counts as missing only a minute after its time.
const LANE_FRESH: Duration = Duration::from_secs(30);
/// Maximum number of definitions whose last days are kept.
const LANES: usize = 64;
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
    /// Timelines of fresh lists, for the API. Their age counts from the beginning of the list.
    windows: CachedMap<Window, Timeline>,
    /// Timelines of recent lists, for pages.
    pages: CachedMap<Window, Timeline>,
    /// The last days of single definitions.
    lanes: CachedMap<String, Option<Lane>>,
    reads: Semaphore,
}

impl Default for Timelines {
    fn default() -> Self {
        Self {
            // Thousands of runs need not stay in memory when nobody reads them.
            windows: CachedMap::new(WINDOWS, KEPT),
            pages: CachedMap::new(WINDOWS, FRESH),
            lanes: CachedMap::new(LANES, LANE_FRESH),
            reads: Semaphore::new(READS),
        }
    }
}

impl Timelines {
    /// Returns the timeline of a window; for a first page of the API, as it was a moment ago. A
    /// timeline is read once for all that wait for it, and takes a turn.
    async fn get<P>(
        &self,
        backend: &impl Backend,
        listings: &Listings,
        window: Window,
        is_first: bool,
        take_turn: impl FnOnce() -> Result<P, Problem>,
    ) -> Result<Arc<Timeline>, Problem> {
        let read = async {
            let listing = listings.get(backend, is_first).await?;
            Ok((listing.began, self.read(backend, window, &listing).await?))
        };
        let max_age = if is_first { FRESH } else { KEPT };
        self.windows.get(window, max_age, take_turn, read).await
    }

    /// Returns the timeline of a window with the schedules as pages show them: as the last list
    /// found them. A timeline is read once for all that wait for it, and takes a turn.
    pub(super) async fn get_recent<P>(
        &self,
        backend: &impl Backend,
        listings: &Listings,
        window: Window,
        take_turn: impl FnOnce() -> Result<P, Problem>,
    ) -> Result<Arc<Timeline>, Problem> {
        let read = async {
            let listing = listings.get_recent(backend).await?;
            let began = Instant::now();
            Ok((began, self.read(backend, window, &listing).await?))
        };
        self.pages.get(window, FRESH, take_turn, read).await
    }

    async fn read(
        &self,
        backend: &impl Backend,
        window: Window,
        listing: &Listing,
    ) -> Result<Timeline, BackendError> {
        // The semaphore is never closed.
        let _read = self.reads.acquire().await;
        let listed = Vec::clone(&listing.schedules);
        Box::pin(backend.timeline(window, listed)).await
    }

    /// Returns the last [`LANE_DAYS`] days of a definition's schedule, as they were at most
    /// [`LANE_FRESH`] ago; `None` if there is no schedule.
    pub(super) async fn lane(
        &self,
        backend: &impl Backend,
        id: &str,
    ) -> Result<Arc<Option<Lane>>, BackendError> {
        let read = async {
            let _read = self.reads.acquire().await;
            let (began, now) = (Instant::now(), Timestamp::now());
            let days = SignedDuration::from_hours(24 * LANE_DAYS);
            let window = Window::new(now.checked_sub(days).ok(), Some(now), now);
            let window = window.map_err(|error| BackendError::Failed(error.to_string()))?;
            Ok((began, Box::pin(backend.timeline_lane(id, window)).await?))
        };
        let no_turn = || Ok::<_, BackendError>(());
        self.lanes
            .get(id.to_owned(), LANE_FRESH, no_turn, read)
            .await
    }

    /// Forgets all timelines, so that the next first page shows a change that was just made.
    pub(super) fn forget(&self) {
        self.windows.forget();
        self.pages.forget();
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
    let turn = service.lists.take(&caller)?;
    let window = query.split(Timestamp::now());
    let (window, lanes) = window.map_err(|error| bad_request(format!("from, to: {error}")))?;
    let backend = &*service.backend;
    let (timelines, listings) = (&service.timelines, &service.listings);
    let timeline = timelines.get(backend, listings, window, lanes.is_first(), || Ok(&turn));
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
    service.render_workers.work(page).await?
}
