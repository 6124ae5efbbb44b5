//! What is served to everyone: the probes, and the metrics page.

use std::sync::Arc;

use almanac_activities::metrics::Metric;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{Backend, Service};
use crate::process::health::Readiness;

/// Whether the process works.
#[utoipa::path(
    get, path = "/healthz", operation_id = "healthz", tag = "process",
    responses((status = 200, description = "It does", body = String))
)]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether a full pass has been done since the process started.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "process",
    responses(
        (status = 200, description = "It has", body = Readiness),
        (status = 503, description = "Not yet", body = Readiness)
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

/// Almanac's metrics and the SDK's, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "process",
    responses((status = 200, description = "The page", body = String))
)]
pub(super) async fn metrics<B: Backend>(State(service): State<Arc<Service<B>>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, without_old_revisions(&service.backend.metrics())).into_response()
}

/// The recorder forgets no series: every revision that was ever held has one,
/// at 0. The page shows the one that is held.
fn without_old_revisions(page: &str) -> String {
    let name = Metric::RegistryInfo.as_str();
    page.split_inclusive('\n')
        .filter(|line| !(line.starts_with(name) && line.trim_end().ends_with("} 0")))
        .collect()
}
