//! HTTP: section 8 of the contract, as far as it reads, syncs and overrides.
//!
//! Always holds: a handler that fails answers an RFC 9457 problem; on an
//! address that is not loopback nothing but the probes and the metrics page is
//! served; on loopback, a page of another site can neither read nor trigger
//! anything through a visitor's browser (see `guard`). What is answered
//! comes from a [`Backend`]; nothing here knows a Temporal client.

mod backend;
mod definitions;
mod guard;
mod live;
mod looks;
mod overrides;
mod probes;
mod problem;
mod schedules;
mod sight;
mod sync;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::looks::Looks;

pub use self::backend::{Backend, BackendError, Planned};
pub use self::definitions::{DefinitionStatus, DefinitionView};
pub use self::schedules::{LastRun, ScheduleView};

/// The largest request body, in bytes.
const BODY_LIMIT: usize = 64 * 1024;
/// How many requests may wait for a pass at a time: the server takes 10
/// updates of a workflow at a time, and others send some too.
const SYNCS: usize = 8;
/// How long a request waits for its pass.
const SYNC_WAIT: Duration = Duration::from_secs(30);

/// What handlers share.
struct Service<B> {
    backend: Arc<B>,
    looks: Looks,
    syncs: Semaphore,
    sync_wait: Duration,
    stop: CancellationToken,
}

/// Serves until `stop`; requests in progress are finished, those that wait for
/// a pass at once.
pub async fn serve<B: Backend>(listener: TcpListener, backend: Arc<B>, stop: CancellationToken) {
    let service = Arc::new(Service {
        backend,
        looks: Looks::default(),
        syncs: Semaphore::new(SYNCS),
        sync_wait: SYNC_WAIT,
        stop: stop.clone(),
    });
    let is_loopback = listener
        .local_addr()
        .is_ok_and(|address| address.ip().is_loopback());
    let served = axum::serve(listener, router(service, is_loopback))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "http ended");
    }
}

fn router<B: Backend>(service: Arc<Service<B>>, is_loopback: bool) -> Router {
    let open = Router::new()
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::metrics));
    let all = if is_loopback {
        let guarded = Router::new()
            .route("/admin/sync", post(sync::sync))
            .route("/api/v1/definitions", get(definitions::list))
            .route("/api/v1/definitions/{id}", get(definitions::one))
            .route("/api/v1/schedules", get(schedules::list))
            .route(
                "/api/v1/schedules/{id}",
                get(schedules::one).patch(overrides::patch),
            )
            .route("/api/v1/schedules/{id}/override", delete(overrides::clear))
            .route("/api/v1/plan", get(schedules::plan))
            .route("/api/v1/reconcile", get(schedules::reconcile))
            .layer(middleware::from_fn(guard::same_site));
        open.merge(guarded)
    } else {
        open
    };
    all.fallback(problem::no_such_page)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(middleware::from_fn(guard::headers))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(service)
}
