//! `GET /live`: tells open pages what changed, as server-sent events.
//!
//! One task observes changes while a page is open, for all pages together, so that many
//! pages cost the Temporal server what one costs. An event only names what changed; the
//! page then reads itself again.
//!
//! A change counts from what pages were last rendered from, not from the first look of the
//! task: the first list may come seconds after a page was rendered.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almanac_base::names::DefinitionId;
use almanac_core::record::Status;
use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::super::limits::ConcurrencyLimit;
use super::super::listing::Listing;
use super::super::problem::Problem;
use super::super::server::Peer;
use super::super::{Caller, Service};
use crate::backend::{Backend, BackendError};
use crate::overview::Overview;

/// Maximum number of pages that are told of changes, of all clients and of one.
pub(in crate::http) const STREAMS: usize = 320;
pub(in crate::http) const STREAMS_EACH: usize = STREAMS - STREAMS / 4;
/// Maximum number of definitions that an event names.
const NAMED: usize = 200;
/// Number of events that a slow page may fall behind.
const BEHIND: usize = 16;
/// Interval between two comparisons of the files.
const TICK: Duration = Duration::from_millis(200);
/// Time after which a list that could not be made is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// Interval between two queries of the reconcile workflow.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// Minimum interval between two notices of deliveries, however many events arrive.
const EVENTS_INTERVAL: Duration = Duration::from_secs(1);
/// Interval of comments that keep a connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The part of the project that changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    /// The definitions whose rows changed. Empty if nothing or too much changed.
    ids: BTreeSet<String>,
    /// More definitions changed than can be named.
    many: bool,
    /// A pass ended, or Almanac was suspended or resumed.
    pass: bool,
    /// Deliveries of events were recorded.
    events: bool,
}

impl Change {
    /// Anything may have changed.
    pub(super) fn unknown() -> Self {
        Self {
            many: true,
            pass: true,
            events: true,
            ..Self::default()
        }
    }

    /// The passes after this one ended, or the state of the reconcile workflow changed.
    fn of_passes(status: Option<&Status>, after: u64) -> Self {
        let mut change = Self {
            pass: true,
            ..Self::default()
        };
        let reports = status.map_or(&[][..], |status| &status.reports);
        for report in reports.iter().filter(|report| report.pass > after) {
            for one in &report.changes {
                change.add(Some(&one.id));
            }
            for error in report.errors.iter().filter(|error| error.id.is_some()) {
                change.add(error.id.as_deref());
            }
            if report.truncated > 0 {
                change.add(None);
            }
        }
        change
    }

    /// Adds a definition. Without an id, anything may have changed.
    fn add(&mut self, id: Option<&str>) {
        match id {
            _ if self.many => {}
            Some(id) if self.ids.len() < NAMED => {
                self.ids.insert(id.to_owned());
            }
            _ => {
                self.many = true;
                self.ids.clear();
            }
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The open pages.
#[derive(Debug)]
pub(in crate::http) struct Live {
    changes: broadcast::Sender<Arc<Change>>,
    open: ConcurrencyLimit,
    /// A task observes the project.
    is_observed: Mutex<bool>,
    /// Number of recorded deliveries of events of which pages were told last.
    recorded: AtomicU64,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            changes: broadcast::channel(BEHIND).0,
            open: ConcurrencyLimit::new("changes", STREAMS, STREAMS_EACH),
            is_observed: Mutex::default(),
            recorded: AtomicU64::new(0),
        }
    }
}

impl Live {
    fn is_observed(&self) -> MutexGuard<'_, bool> {
        self.is_observed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// `GET /live`
pub(super) async fn events<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    Extension(caller): Extension<Caller>,
    Extension(peer): Extension<Peer>,
) -> Result<Response, Problem> {
    let live = &service.live;
    let page = live.open.take_at(&caller, peer)?;
    let receiver = live.changes.subscribe();
    start_observing(&service);
    let stop = service.stop.clone();
    let events = stream::unfold(
        (receiver, page, stop),
        async |(mut receiver, page, stop)| {
            let change = tokio::select! {
                change = receiver.recv() => match change {
                    Ok(change) => change,
                    // The page missed some: it reads itself again.
                    Err(broadcast::error::RecvError::Lagged(_)) => Arc::new(Change::unknown()),
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                () = stop.cancelled() => return None,
            };
            let event = Event::default().event("change").json_data(&*change);
            Some((
                Ok::<_, Infallible>(event.unwrap_or_default()),
                (receiver, page, stop),
            ))
        },
    );
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

/// Starts the task that observes changes, unless it runs. It ends when no page is open.
fn start_observing<B: Backend>(service: &Arc<Service<B>>) {
    let mut is_observed = service.live.is_observed();
    if *is_observed {
        return;
    }
    *is_observed = true;
    let service = Arc::clone(service);
    tokio::spawn(async move {
        let observing = tokio::spawn(observe(Arc::clone(&service)));
        if let Err(error) = observing.await {
            tracing::error!(%error, "the task that observes changes for open pages panicked");
            *service.live.is_observed() = false;
        }
    });
}

async fn observe<B: Backend>(service: Arc<Service<B>>) {
    let mut lists = Lists::new();
    let mut status = service.status_cache.newest();
    let mut status_at = Instant::now();
    let mut mark = PassMark::default().then(status.as_deref());
    let mut events_at = Instant::now();
    loop {
        {
            let live = &service.live;
            let mut is_observed = live.is_observed();
            if live.open.is_unused() || service.stop.is_cancelled() {
                *is_observed = false;
                return;
            }
        }
        if Instant::now() >= status_at {
            status_at = Instant::now() + STATUS_INTERVAL;
            status = service.status_cache.status(&*service.backend).await.ok();
            let found = mark.then(status.as_deref());
            if found != mark {
                // The pass may have written what pages show.
                service.forget_schedules();
                tell(&service, Change::of_passes(status.as_deref(), mark.pass));
                mark = found;
            }
        }
        if let Some(listing) = lists.newest(&service).await {
            // This tells open pages of what differs. What could not be computed is tried again.
            let overview = service.overviews.of(&service, status.as_deref(), listing);
            drop(overview.await);
        }
        // The number outlives this loop: a page that was rendered before the loop began is told
        // of later deliveries.
        let recorded = service.backend.deliveries_recorded();
        if service.live.recorded.load(Ordering::Relaxed) != recorded && Instant::now() >= events_at
        {
            service.live.recorded.store(recorded, Ordering::Relaxed);
            events_at = Instant::now() + EVENTS_INTERVAL;
            let change = Change {
                events: true,
                ..Change::default()
            };
            // Nothing that pages share holds deliveries, so nothing is forgotten. No page may be
            // listening any more.
            drop(service.live.changes.send(Arc::new(change)));
        }
        sleep(TICK).await;
    }
}

/// Lists the schedules again and again beside the loop that observes changes, so that a saved
/// file need not wait for a list.
struct Lists {
    /// The list that is being made.
    making: Option<JoinHandle<Result<(), BackendError>>>,
    /// The reason why the last list could not be made.
    away: Option<BackendError>,
    retry_at: Instant,
}

impl Lists {
    fn new() -> Self {
        Self {
            making: None,
            away: None,
            retry_at: Instant::now(),
        }
    }

    /// Returns the newest list, or the reason why there is none. `None` while it is not known.
    async fn newest<B: Backend>(
        &mut self,
        service: &Arc<Service<B>>,
    ) -> Option<Result<Arc<Listing>, BackendError>> {
        if let Some(making) = self.making.take_if(|making| making.is_finished()) {
            self.away = match making.await {
                Ok(made) => made.err(),
                Err(error) => Some(BackendError::Failed(error.to_string())),
            };
            if self.away.is_some() {
                self.retry_at = Instant::now() + RETRY_INTERVAL;
            }
        }
        if self.making.is_none() && Instant::now() >= self.retry_at && service.listings.is_due() {
            let service = Arc::clone(service);
            self.making = Some(tokio::spawn(async move {
                service.listings.get(&*service.backend, true).await?;
                Ok(())
            }));
        }
        match &self.away {
            Some(error) => Some(Err(error.clone())),
            None => service.listings.newest().map(Ok),
        }
    }
}

/// Tells the open pages of a change. What they read then was not read before the change; neither
/// is what other pages read.
pub(super) fn tell<B: Backend>(service: &Service<B>, change: Change) {
    if change.is_empty() {
        return;
    }
    service.forget_changed(|id| change.many || change.ids.contains(id));
    // No page may be listening any more.
    drop(service.live.changes.send(Arc::new(change)));
}

/// The parts of the reconcile workflow's state that pages show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct PassMark {
    pass: u64,
    suspended: bool,
    held: Option<String>,
    answers: bool,
}

impl PassMark {
    /// The mark after this one, at the time of the state. Without an answer of the workflow, the
    /// last pass stays known.
    fn then(&self, status: Option<&Status>) -> Self {
        match status {
            Some(status) => Self {
                pass: status.pass,
                suspended: status.suspended.is_some(),
                held: status.held.as_ref().map(|held| held.digest.clone()),
                answers: true,
            },
            None => Self {
                answers: false,
                ..self.clone()
            },
        }
    }
}

/// The rows that differ.
pub(super) fn difference(before: &Overview, after: &Overview) -> Change {
    let mut change = Change::default();
    let (old, new) = (before.by_place(), after.by_place());
    for (place, row) in &new {
        let same = old.get(place).is_some_and(|earlier| {
            earlier.conditions == row.conditions
                && before.schedule(earlier) == after.schedule(row)
                && before.served(earlier) == after.served(row)
        });
        if !same {
            change.add(row.id.as_ref().map(DefinitionId::as_str));
        }
    }
    for (place, row) in &old {
        if !new.contains_key(place) {
            change.add(row.id.as_ref().map(DefinitionId::as_str));
        }
    }
    // The errors of documents are not part of the rows.
    if before.snapshot.failed != after.snapshot.failed {
        let failed = before.snapshot.failed.iter().chain(&after.snapshot.failed);
        for failed in failed {
            change.add(failed.id.as_ref().map(DefinitionId::as_str));
        }
    }
    change
}
