//! `PATCH /api/v1/schedules/{id}` and `DELETE …/override`: what an operator
//! sets over the YAML, and gives back.

use std::sync::Arc;

use almanac_workflows::names::DefinitionId;
use almanac_workflows::record::{OverrideAnswer, OverrideRequest, Report};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::auth::Caller;
use super::problem::Problem;
use super::sync::{accepted, report};
use super::{Backend, Service};
use crate::process::backoff::random;

/// What a client names a request with, so that it can send it again.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The longest such name, in bytes.
const KEY_LIMIT: usize = 150;

/// A change of what is overridden; what is left out stays as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Patch {
    /// Whether it fires.
    enabled: Option<bool>,
    /// One cron string or several.
    cron: Option<OneOrMore>,
    /// IANA name.
    timezone: Option<String>,
    /// Why; must not be empty.
    reason: String,
    /// How long, like `2h`; until it is cleared or the file changes it where left out.
    #[serde(rename = "for")]
    duration: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

pub(super) async fn patch<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    Path(id): Path<String>,
    caller: Extension<Caller>,
    headers: HeaderMap,
    body: Result<Json<Patch>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(patch) = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    let now = Timestamp::now();
    let until = patch.duration.map(|text| until(&text, now)).transpose()?;
    let request = OverrideRequest {
        enabled: patch.enabled,
        cron: patch.cron.map(|cron| match cron {
            OneOrMore::One(cron) => vec![cron],
            OneOrMore::More(cron) => cron,
        }),
        timezone: patch.timezone,
        reason: patch.reason,
        until,
        ..OverrideRequest::default()
    };
    send(&service, &id, &caller, &headers, request).await
}

pub(super) async fn clear<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    Path(id): Path<String>,
    caller: Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let request = OverrideRequest {
        clear: true,
        ..OverrideRequest::default()
    };
    send(&service, &id, &caller, &headers, request).await
}

fn until(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    let bad = |why: String| {
        let detail = format!("for: {why}; write it like 30s, 5m, 1h30m");
        Problem::new(StatusCode::BAD_REQUEST, detail)
    };
    let duration: SignedDuration = text.parse().map_err(|error| bad(format!("{error}")))?;
    if duration < SignedDuration::from_secs(1) {
        return Err(bad(format!("`{text}` is shorter than 1s")));
    }
    now.checked_add(duration)
        .map_err(|error| bad(error.to_string()))
}

/// Asks, waits for the pass that does it, and answers the schedule as it is then.
async fn send<B: Backend>(
    service: &Service<B>,
    id: &str,
    caller: &Caller,
    headers: &HeaderMap,
    request: OverrideRequest,
) -> Result<Response, Problem> {
    let no_such = || {
        let detail = format!("there is no schedule of definition `{id}`");
        Problem::new(StatusCode::NOT_FOUND, detail)
    };
    let definition: DefinitionId = id.parse().map_err(|_| no_such())?;
    let request = OverrideRequest {
        request_id: request_id(headers)?,
        id: Some(definition.clone()),
        by: caller.name.clone(),
        ..request
    };
    if let Err(why) = request.check(Timestamp::now()) {
        return Err(Problem::new(StatusCode::BAD_REQUEST, why));
    }
    if !service
        .backend
        .snapshot()
        .definitions
        .contains_key(&definition)
    {
        return Err(no_such());
    }
    let Ok(_turn) = service.syncs.try_acquire() else {
        let detail = "too many requests wait for a pass";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail));
    };
    let deadline = Instant::now() + service.sync_wait;
    let OverrideAnswer { pass, .. } = service.backend.set_override(request).await?;
    let done = tokio::select! {
        done = timeout_at(deadline, report(service, pass)) => done.ok().flatten(),
        () = service.stop.cancelled() => None,
    };
    let Some(report) = done else {
        return Ok(accepted(pass));
    };
    if let Some(problem) = failed(&report, &definition) {
        return Err(problem);
    }
    match service.backend.schedule(id).await? {
        Some(view) => Ok(Json(view).into_response()),
        None => Err(no_such()),
    }
}

/// What kept the pass from doing it.
fn failed(report: &Report, id: &DefinitionId) -> Option<Problem> {
    let id = id.to_string();
    let error = report
        .errors
        .iter()
        .find(|error| error.id.as_deref().is_none_or(|of| of == id))?;
    let problem = Problem::new(StatusCode::BAD_GATEWAY, error.message.clone());
    Some(problem.with("pass", json!(report.pass)))
}

/// The client's name for the request, or one of our own.
pub(super) fn request_id(headers: &HeaderMap) -> Result<String, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(format!("http-{:016x}{:016x}", random(), random()));
    };
    match key.to_str() {
        Ok(key) if (1..=KEY_LIMIT).contains(&key.len()) => Ok(format!("http-{key}")),
        _ => {
            let detail = format!("Idempotency-Key must be 1 to {KEY_LIMIT} visible characters");
            Err(Problem::new(StatusCode::BAD_REQUEST, detail))
        }
    }
}
