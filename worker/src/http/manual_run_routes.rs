//! `POST /api/v1/schedules/{id}/trigger` and `/backfill`: manual runs, and their results.

use std::sync::Arc;

use almanac_base::names::DefinitionId;
use almanac_core::definition::OverlapPolicy;
use almanac_core::record::{RunAnswer, RunKind, RunRequest, RunState};
use almanac_times::When;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use utoipa::ToSchema;

use super::Service;
use super::auth::Caller;
use super::openapi::{PROBLEM, Upstream};
use super::overrides::request_id;
use super::problem::{Details, Problem};
use super::query::Id;
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

/// Starts a run of a schedule now.
#[utoipa::path(
    post, path = "/api/v1/schedules/{id}/trigger", operation_id = "trigger", tag = "schedules",
    params(
        ("id" = String, Path, description = "The definition's id"),
        ("idempotency-key" = Option<String>, Header, description = "Key of the request: a repeated request with the same key has no further effect", min_length = 1, max_length = 150,
         pattern = "^[!-~]+$")
    ),
    request_body = Option<TriggerBody>,
    responses(
        (status = 200, description = "The outcome: `started`, `buffered`, `skipped` or `lost`",
         body = RunAnswer),
        (status = 202, description = "The request is in progress", body = RunAnswer),
        (status = 404, description = "There is no such schedule", body = Details,
         content_type = PROBLEM),
        (status = 409, description = "The schedule is unmanaged", body = Details,
         content_type = PROBLEM),
        (status = 415, description = "The content type of the body is not JSON", body = Details,
         content_type = PROBLEM),
        (status = 422, description = "The body has unknown or invalid members", body = Details,
         content_type = PROBLEM),
        (status = 502, description = "Temporal refused the request", body = Details,
         content_type = PROBLEM),
        Upstream
    )
)]
pub(super) async fn trigger<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    Id(id): Id,
    caller: Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let body: Option<TriggerBody> = if body.is_empty() {
        None
    } else {
        read(&headers, &body)?
    };
    let body = body.unwrap_or_default();
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
    params(
        ("id" = String, Path, description = "The definition's id"),
        ("idempotency-key" = Option<String>, Header, description = "Key of the request: a repeated request with the same key has no further effect", min_length = 1, max_length = 150,
         pattern = "^[!-~]+$")
    ),
    request_body = BackfillBody,
    responses(
        (status = 200, description = "The outcome: `started`, `buffered`, `skipped` or `lost`",
         body = RunAnswer),
        (status = 202, description = "The request is in progress", body = RunAnswer),
        (status = 404, description = "There is no such schedule", body = Details,
         content_type = PROBLEM),
        (status = 409, description = "The schedule is unmanaged", body = Details,
         content_type = PROBLEM),
        (status = 415, description = "The content type of the body is not JSON", body = Details,
         content_type = PROBLEM),
        (status = 422, description = "The body has unknown or invalid members", body = Details,
         content_type = PROBLEM),
        (status = 502, description = "Temporal refused the request", body = Details,
         content_type = PROBLEM),
        Upstream
    )
)]
pub(super) async fn backfill<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    Id(id): Id,
    caller: Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let body: BackfillBody = read(&headers, &body)?;
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

/// Reads a JSON body. A form of another site cannot send one.
fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, Problem> {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.split(';').next().map(str::trim) == Some("application/json"));
    if !is_json {
        let detail = "the body must have the content type application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    serde_json::from_slice(body).map_err(|error| {
        let status = if error.is_data() {
            StatusCode::UNPROCESSABLE_ENTITY
        } else {
            StatusCode::BAD_REQUEST
        };
        Problem::new(status, format!("the body cannot be read: {error}"))
    })
}

async fn ask<B: Backend>(
    service: &Service<B>,
    kind: RunKind,
    id: &str,
    caller: &Caller,
    headers: &HeaderMap,
    request: RunRequest,
) -> Result<Response, Problem> {
    let definition: DefinitionId = id.parse().map_err(|_| {
        let detail = format!("there is no schedule of definition `{id}`");
        Problem::new(StatusCode::NOT_FOUND, detail)
    })?;
    let request = RunRequest {
        request_id: request_id(headers)?,
        id: Some(definition),
        by: caller.name.clone(),
        ..request
    };
    if let Err(why) = request.check(kind) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, why));
    }
    let _turn = service.runs.take(caller)?;
    let asked = service.backend.run(kind, request, service.sync_wait);
    let answer = tokio::select! {
        answer = asked => answer?,
        () = service.stop.cancelled() => {
            let detail = "this worker is shutting down; send the request again with the same Idempotency-Key";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        }
    };
    told(answer)
}

fn told(answer: RunAnswer) -> Result<Response, Problem> {
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
