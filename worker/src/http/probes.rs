//! The endpoints that are served to everyone: the probes and the metrics page.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use almanac_activities::metrics::Metric;
use almanac_base::names::Revision;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Service;
use crate::backend::Backend;
use crate::health::Readiness;

/// The paths that are served to everyone.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Returns 200 while the process works.
#[utoipa::path(
    get, path = "/healthz", operation_id = "healthz", tag = "process",
    responses((status = 200, description = "The process works", body = String))
)]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Returns 200 once a full pass has been done since the process started.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "process",
    responses(
        (status = 200, description = "A full pass has been done", body = Readiness),
        (status = 503, description = "No full pass has been done yet", body = Readiness)
    )
)]
pub(super) async fn readyz<B: Backend>(State(service): State<Arc<Service<B>>>) -> Response {
    let readiness = service.backend.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}

/// Returns Almanac's metrics and the SDK's, in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "process",
    responses((status = 200, description = "The metrics", body = String))
)]
pub(super) async fn metrics<B: Backend>(State(service): State<Arc<Service<B>>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    let backend = &service.backend;
    let page = || backend.metrics() + &revision(&backend.snapshot().revision);
    (kind, service.metrics.get(page)).into_response()
}

/// Returns `true` if this path is served to everyone, also on slots of the reserve.
pub(super) fn is_probe(path: &str) -> bool {
    PROBES.contains(&path)
}

/// The metrics page, shared by all requests that wait while it is made. One page is made
/// at a time, and a request that has waited takes a page that was begun after the request
/// came. So no request gets an old page, and many requests have the page made no more
/// often than one does.
#[derive(Debug, Default)]
pub(super) struct Metrics(Mutex<Option<(Instant, Bytes)>>);

impl Metrics {
    fn get(&self, page: impl FnOnce() -> String) -> Bytes {
        let asked = Instant::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((begun, page)) = &*last
            && *begun > asked
        {
            return page.clone();
        }
        let begun = Instant::now();
        let page = Bytes::from(page());
        *last = Some((begun, page.clone()));
        page
    }
}

/// Returns the series of the revision that the registry holds. If the recorder held it
/// like the others, each earlier revision would keep a series.
fn revision(revision: &Revision) -> String {
    if revision.as_str().is_empty() {
        return String::new();
    }
    let (name, help) = (
        Metric::RegistryInfo.as_str(),
        Metric::RegistryInfo.description(),
    );
    format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{revision=\"{revision}\"}} 1\n\n")
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn requests_during_the_rendering_of_a_page_share_the_next_one() {
        const CROWD: usize = 8;
        let (metrics, made) = (Metrics::default(), AtomicUsize::new(0));
        let all_ask = Barrier::new(CROWD);
        let asking = AtomicUsize::new(0);
        // The first page takes until everybody is about to ask.
        let page = || {
            if made.fetch_add(1, Ordering::Relaxed) == 0 {
                all_ask.wait();
                while asking.load(Ordering::Relaxed) < CROWD - 1 {
                    std::thread::yield_now();
                }
            }
            String::new()
        };
        std::thread::scope(|scope| {
            scope.spawn(|| metrics.get(page));
            while made.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            for _ in 1..CROWD {
                scope.spawn(|| {
                    all_ask.wait();
                    asking.fetch_add(1, Ordering::Relaxed);
                    metrics.get(page)
                });
            }
        });
        assert!(made.load(Ordering::Relaxed) < CROWD, "{made:?}");
    }
}
