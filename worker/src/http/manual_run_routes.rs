//! `POST /api/v1/schedules/{id}/trigger` and `/backfill`: manual runs, and their results.

use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_core::definition::OverlapPolicy;
use almanac_core::record::{RunAnswer, RunKind, RunRequest, RunState};
use almanac_times::When;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::json;
use utoipa::openapi::{RefOr, Response as Described};
use utoipa::{IntoResponses, ToSchema};

use super::Service;
use super::auth::Caller;
use super::limits::ConcurrencyPermit;
use super::openapi::{Upstream, problems};
use super::problem::Problem;
use super::query::Id;
use super::requests::{IdempotencyKey, JsonBody, bad_request, definition, request_id};
use crate::backend::Backend;

/// The body of a trigger; it may be absent or `null`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TriggerBody {
    /// Overlap policy to use if another run is running; the schedule's own policy if left
    /// out.
    overlap: Option<OverlapPolicy>,
    /// Reason for the run.
    reason: String,
}

/// The body of a backfill.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BackfillBody {
    /// Start of the time range: RFC 3339, or local to the schedule's zone.
    #[schema(value_type = String)]
    from: When,
    /// End of the time range, which is not part of it.
    #[schema(value_type = String)]
    to: When,
    /// Overlap policy to use if another run is running; the schedule's own policy if left
    /// out.
    overlap: Option<OverlapPolicy>,
    /// Maximum number of runs; 100 if left out.
    #[schema(minimum = 1, maximum = 10_000)]
    limit: Option<u32>,
    /// Reason for the runs.
    #[serde(default)]
    reason: String,
}

/// The error responses of a request for runs.
pub(super) struct RunProblems;

impl IntoResponses for RunProblems {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        problems([
            ("404", "There is no such schedule"),
            ("409", "The schedule is unmanaged"),
            ("415", "The content type of the body is not JSON"),
            ("422", "The body has unknown or invalid members"),
            ("502", "Temporal refused the request"),
        ])
    }
}

/// Starts a run of a schedule now.
#[utoipa::path(
    post, path = "/api/v1/schedules/{id}/trigger", operation_id = "trigger", tag = "schedules",
    params(("id" = String, Path, description = "The definition's id"), IdempotencyKey),
    request_body = Option<TriggerBody>,
    responses(
        (status = 200, description = "The outcome: `started`, `buffered`, `skipped` or `lost`",
         body = RunAnswer),
        (status = 202, description = "The request is in progress", body = RunAnswer),
        RunProblems,
        Upstream
    )
)]
pub(super) async fn trigger<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    Id(id): Id,
    caller: Extension<Caller>,
    headers: HeaderMap,
    body: Option<JsonBody<Option<TriggerBody>>>,
) -> Result<Response, Problem> {
    let body = body.and_then(|JsonBody(body)| body).unwrap_or_default();
    let request = RunRequest {
        overlap: body.overlap,
        reason: body.reason,
        ..RunRequest::default()
    };
    ask(&service, RunKind::Trigger, &id, &caller, &headers, request).await
}

/// Starts the runs of a schedule for a time range in the past.
#[utoipa::path(
    post, path = "/api/v1/schedules/{id}/backfill", operation_id = "backfill", tag = "schedules",
    params(("id" = String, Path, description = "The definition's id"), IdempotencyKey),
    request_body = BackfillBody,
    responses(
        (status = 200, description = "The outcome: `started`, `buffered`, `skipped` or `lost`",
         body = RunAnswer),
        (status = 202, description = "The request is in progress", body = RunAnswer),
        RunProblems,
        Upstream
    )
)]
pub(super) async fn backfill<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    Id(id): Id,
    caller: Extension<Caller>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<BackfillBody>,
) -> Result<Response, Problem> {
    let request = RunRequest {
        from: Some(body.from),
        to: Some(body.to),
        overlap: body.overlap,
        limit: body.limit,
        reason: body.reason,
        ..RunRequest::default()
    };
    ask(&service, RunKind::Backfill, &id, &caller, &headers, request).await
}

async fn ask<B: Backend>(
    service: &Service<B>,
    kind: RunKind,
    id: &str,
    caller: &Caller,
    headers: &HeaderMap,
    request: RunRequest,
) -> Result<Response, Problem> {
    let request = RunRequest {
        request_id: request_id(headers, kind.name())?,
        id: Some(definition(id)?),
        by: caller.name.clone(),
        ..request
    };
    let turn = service.runs.take(caller)?;
    response(start(service, kind, &turn, request).await?)
}

/// Sends the request, and waits for its result. The turn is that of the request, or of the
/// action of which it is a part.
pub(super) async fn start<B: Backend>(
    service: &Service<B>,
    kind: RunKind,
    _turn: &ConcurrencyPermit,
    request: RunRequest,
) -> Result<RunAnswer, Problem> {
    request.check(kind).map_err(bad_request)?;
    let asked = service.backend.run(kind, request, service.sync_wait);
    tokio::select! {
        answer = asked => {
            service.forget_schedules();
            Ok(answer?)
        }
        () = service.stop.cancelled() => {
            let detail = "this worker is shutting down; send the request again with the same Idempotency-Key";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail))
        }
    }
}

fn response(answer: RunAnswer) -> Result<Response, Problem> {
    let status = match answer.state {
        RunState::Started | RunState::Buffered | RunState::Skipped | RunState::Lost => {
            return Ok(Json(answer).into_response());
        }
        RunState::Pending => return Ok((StatusCode::ACCEPTED, Json(answer)).into_response()),
        RunState::NotFound => StatusCode::NOT_FOUND,
        RunState::Foreign => StatusCode::CONFLICT,
        RunState::BadRange => StatusCode::BAD_REQUEST,
        RunState::Failed => StatusCode::BAD_GATEWAY,
    };
    Err(Problem::new(status, answer.message).with("state", json!(answer.state)))
}
