//! `GET /live`: tells open pages what changed, as server-sent events.
//!
//! One task looks for changes while a page is open, for all pages together, so that many
//! pages cost the Temporal server what one costs. An event only names what changed; the
//! page then reads itself again.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep};

use super::super::problem::Problem;
use super::super::{Caller, Service};
use crate::backend::Backend;
use crate::overview::Overview;

/// Maximum number of pages that are told of changes.
const PAGES: usize = 256;
/// Maximum number of definitions that an event names.
const NAMED: usize = 200;
/// Number of events that a slow page may fall behind.
const BEHIND: usize = 16;
/// Interval between two looks at the files.
const TICK: Duration = Duration::from_millis(200);
/// Minimum interval between two lists of schedules.
const LIST_INTERVAL: Duration = Duration::from_secs(2);
/// A list may take at most this part of the time: one in so many.
const LIST_SHARE: u32 = 10;
/// Interval between two queries of the reconcile workflow.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// Interval of comments that keep a connection open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The part of the project that changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Change {
    /// The definitions whose rows changed. Empty if nothing or too much changed.
    ids: BTreeSet<String>,
    /// More definitions changed than can be named.
    many: bool,
    /// A pass ended, or Almanac was suspended or resumed.
    pass: bool,
}

impl Change {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The open pages.
#[derive(Debug)]
pub(in crate::http) struct Live {
    changes: broadcast::Sender<Arc<Change>>,
    open: Arc<AtomicUsize>,
    /// A task looks for changes.
    looks: Arc<Mutex<bool>>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            changes: broadcast::channel(BEHIND).0,
            open: Arc::default(),
            looks: Arc::default(),
        }
    }
}

/// An open page, until it is dropped.
struct OpenPage(Arc<AtomicUsize>);

impl Drop for OpenPage {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// `GET /live`
pub(super) async fn events<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    _caller: Extension<Caller>,
) -> Result<Response, Problem> {
    let live = &service.live;
    let page = OpenPage(Arc::clone(&live.open));
    if live.open.fetch_add(1, Ordering::SeqCst) >= PAGES {
        let detail = format!("more than {PAGES} pages are open; this one is not kept current");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    }
    let receiver = live.changes.subscribe();
    look_for_changes(&service);
    let stop = service.stop.clone();
    let events = stream::unfold(
        (receiver, page, stop),
        async |(mut receiver, page, stop)| {
            let change = tokio::select! {
                change = receiver.recv() => match change {
                    Ok(change) => change,
                    // The page missed some: it reads itself again.
                    Err(broadcast::error::RecvError::Lagged(_)) => Arc::new(Change {
                        many: true,
                        pass: true,
                        ..Change::default()
                    }),
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

/// Starts the task that looks for changes, unless it runs. It ends when no page is open.
fn look_for_changes<B: Backend>(service: &Arc<Service<B>>) {
    let mut looks = service
        .live
        .looks
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if *looks {
        return;
    }
    *looks = true;
    let service = Arc::clone(service);
    tokio::spawn(async move {
        let looking = tokio::spawn(look(Arc::clone(&service)));
        if let Err(error) = looking.await {
            tracing::error!(%error, "a task that looks for changes panicked");
            let mut looks = service
                .live
                .looks
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *looks = false;
        }
    });
}

async fn look<B: Backend>(service: Arc<Service<B>>) {
    let mut seen: Option<(Arc<Overview>, PassMark)> = None;
    let mut revision = None;
    let (mut list_at, mut status_at) = (Instant::now(), Instant::now());
    let mut mark = PassMark::default();
    loop {
        {
            let live = &service.live;
            let mut looks = live.looks.lock().unwrap_or_else(PoisonError::into_inner);
            if live.open.load(Ordering::SeqCst) == 0 || service.stop.is_cancelled() {
                *looks = false;
                return;
            }
        }
        let now = Instant::now();
        let snapshot = service.backend.snapshot();
        let files_changed = revision.as_ref() != Some(&snapshot.revision);
        if now >= status_at {
            status_at = now + STATUS_INTERVAL;
            let status = service.status_cache.status(&*service.backend).await.ok();
            let found = PassMark::of(status.as_deref());
            if found != mark {
                // The pass may have written what the list shows.
                service.listings.forget().await;
                list_at = now;
                mark = found;
            }
        }
        if files_changed || now >= list_at {
            revision = Some(snapshot.revision.clone());
            let began = Instant::now();
            let status = service.status_cache.status(&*service.backend).await.ok();
            if let Ok(found) = service.overviews.get(&service, status.as_deref()).await {
                let overview = found.overview;
                if let Some((before, mark_before)) = &seen {
                    let change = difference(before, &overview, *mark_before != mark);
                    if !change.is_empty() {
                        // No page may be listening any more.
                        drop(service.live.changes.send(Arc::new(change)));
                    }
                }
                seen = Some((overview, mark.clone()));
            }
            let took = began.elapsed();
            list_at = Instant::now() + LIST_INTERVAL.max(took * LIST_SHARE);
        }
        sleep(TICK).await;
    }
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
    fn of(status: Option<&almanac_core::record::Status>) -> Self {
        status.map_or_else(Self::default, |status| Self {
            pass: status.pass,
            suspended: status.suspended.is_some(),
            held: status.held.as_ref().map(|held| held.digest.clone()),
            answers: true,
        })
    }
}

/// The rows that differ.
fn difference(before: &Overview, after: &Overview, pass: bool) -> Change {
    let mut change = Change {
        pass,
        ..Change::default()
    };
    let mut differ = |id: Option<String>| match id {
        Some(id) if change.ids.len() < NAMED => {
            change.ids.insert(id);
        }
        _ => change.many = true,
    };
    let (old, new) = (before.by_place(), after.by_place());
    for (place, row) in &new {
        let same = old.get(place).is_some_and(|earlier| {
            earlier.conditions == row.conditions
                && before.schedule(earlier) == after.schedule(row)
                && before.served(earlier) == after.served(row)
        });
        if !same {
            differ(row.id.as_ref().map(ToString::to_string));
        }
    }
    for (place, row) in &old {
        if !new.contains_key(place) {
            differ(row.id.as_ref().map(ToString::to_string));
        }
    }
    // The errors of documents are not part of the rows.
    if before.snapshot.failed != after.snapshot.failed {
        let failed = before.snapshot.failed.iter().chain(&after.snapshot.failed);
        for failed in failed {
            differ(failed.id.as_ref().map(ToString::to_string));
        }
    }
    if change.many {
        change.ids.clear();
    }
    change
}
