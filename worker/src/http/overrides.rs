//! `PATCH /api/v1/schedules/{id}` and `DELETE …/override`: set and clear an operator's
//! override.

use std::sync::Arc;
use std::time::Duration;

use almanac_activities::schedules::view::ScheduleDetail;
use almanac_base::duration::parse as parse_duration;
use almanac_base::names::DefinitionId;
use almanac_core::record::{OverrideAnswer, OverrideRequest, Report};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::Service;
use super::auth::Caller;
use super::limits::ConcurrencyPermit;
use super::openapi::{PROBLEM, Upstream};
use super::problem::{Details, Problem};
use super::query::Id;
use super::requests::{self, IdempotencyKey, JsonBody, bad_request, no_such_schedule, request_id};
use super::sync::{Accepted, accepted, report};
use crate::backend::Backend;

/// A change of the override; values that are left out stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Patch {
    /// `true` if the schedule fires.
    enabled: Option<bool>,
    /// Cron string, or a list of cron strings.
    cron: Option<OneOrMore>,
    /// IANA name of the timezone.
    timezone: Option<String>,
    /// Reason for the override; must not be empty.
    #[schema(min_length = 1, max_length = 480)]
    reason: String,
    /// Duration of the override, like `2h` or `7d`, as definitions write durations. If
    /// left out, the override lasts until it is cleared or the file changes the overridden
    /// field.
    #[serde(rename = "for")]
    duration: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// Overrides values of a schedule's file, and returns the schedule with them.
#[utoipa::path(
    patch, path = "/api/v1/schedules/{id}", operation_id = "override", tag = "schedules",
    params(("id" = String, Path, description = "The definition's id"), IdempotencyKey),
    request_body = Patch,
    responses(
        (status = 200, description = "The schedule with the override", body = ScheduleDetail),
        (status = 202, description = "The pass that applies the request has not ended", body = Accepted,
         headers(("location" = String, description = "Path of its report"))),
        (status = 404, description = "There is no such definition", body = Details,
         content_type = PROBLEM),
        (status = 415, description = "The content type of the body is not JSON", body = Details,
         content_type = PROBLEM),
        (status = 422, description = "The body has unknown or invalid members", body = Details,
         content_type = PROBLEM),
        (status = 502, description = "The pass could not apply the request", body = Details,
         content_type = PROBLEM),
        Upstream
    )
)]
pub(super) async fn patch<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    Id(id): Id,
    caller: Extension<Caller>,
    headers: HeaderMap,
    JsonBody(patch): JsonBody<Patch>,
) -> Result<Response, Problem> {
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

/// Clears the override of a schedule, and returns the schedule without it.
#[utoipa::path(
    delete, path = "/api/v1/schedules/{id}/override", operation_id = "clear_override",
    tag = "schedules",
    params(("id" = String, Path, description = "The definition's id"), IdempotencyKey),
    responses(
        (status = 200, description = "The schedule without the override", body = ScheduleDetail),
        (status = 202, description = "The pass that applies the request has not ended", body = Accepted,
         headers(("location" = String, description = "Path of its report"))),
        (status = 404, description = "There is no such definition", body = Details,
         content_type = PROBLEM),
        (status = 502, description = "The pass could not apply the request", body = Details,
         content_type = PROBLEM),
        Upstream
    )
)]
pub(super) async fn clear<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    Id(id): Id,
    caller: Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let request = OverrideRequest {
        clear: true,
        ..OverrideRequest::default()
    };
    send(&service, &id, &caller, &headers, request).await
}

/// Returns the end of an override that lasts this long from `now` on.
pub(super) fn until(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    let bad = |why: String| bad_request(format!("for: {why}"));
    let duration = parse_duration(text).map_err(|why| bad(format!("must be a duration: {why}")))?;
    if duration < Duration::from_secs(1) {
        return Err(bad(format!("`{text}` is shorter than 1s")));
    }
    let up = TimestampRound::new()
        .smallest(Unit::Second)
        .mode(RoundMode::Ceil);
    now.checked_add(duration)
        .and_then(|end| end.round(up))
        .map_err(|error| bad(error.to_string()))
}

/// Sends the request, and answers the schedule as it is after the pass that applies it.
async fn send<B: Backend>(
    service: &Service<B>,
    id: &str,
    caller: &Caller,
    headers: &HeaderMap,
    request: OverrideRequest,
) -> Result<Response, Problem> {
    let request = OverrideRequest {
        request_id: request_id(headers, "override")?,
        id: Some(requests::definition(id)?),
        by: caller.name.clone(),
        ..request
    };
    let turn = service.syncs.take(caller)?;
    match apply(service, &turn, request).await? {
        Applied::Pending(pass) => Ok(accepted(pass)),
        Applied::Done => match service.backend.schedule(id).await? {
            Some(view) => Ok(Json(view).into_response()),
            None => Err(no_such_schedule(id)),
        },
    }
}

/// Result of a request for an override.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applied {
    /// A pass has applied the request.
    Done,
    /// The pass with this number applies the request, and has not ended.
    Pending(u64),
}

/// Sends the request, and waits for the pass that applies it. The turn is that of the request,
/// or of the action of which it is a part.
///
/// # Errors
/// The request is refused, or the pass could not apply it.
pub(super) async fn apply<B: Backend>(
    service: &Service<B>,
    _turn: &ConcurrencyPermit,
    request: OverrideRequest,
) -> Result<Applied, Problem> {
    let definition = request
        .check(Timestamp::now())
        .map_err(bad_request)?
        .clone();
    let snapshot = service.backend.snapshot();
    if !snapshot.definitions.contains_key(&definition) {
        return Err(no_such_schedule(definition.as_str()));
    }
    let deadline = Instant::now() + service.sync_wait;
    let OverrideAnswer { pass, .. } = service.backend.set_override(request).await?;
    let done = tokio::select! {
        done = timeout_at(deadline, report(service, pass)) => done.ok(),
        () = service.stop.cancelled() => None,
    };
    service.forget_schedules();
    let Some(report) = done else {
        return Ok(Applied::Pending(pass));
    };
    // The report of an old pass may be forgotten: then only the schedule shows the
    // result.
    match report.and_then(|report| failed(&report, &definition)) {
        Some(problem) => Err(problem),
        None => Ok(Applied::Done),
    }
}

/// Returns the error that kept the pass from applying the override.
fn failed(report: &Report, id: &DefinitionId) -> Option<Problem> {
    let error = report.errors_of(id).next()?;
    let problem = Problem::new(StatusCode::BAD_GATEWAY, error.message.clone());
    Some(problem.with("pass", json!(report.pass)))
}

#[cfg(test)]
mod tests {
    use almanac_core::definition::{ParseContext, parse_file};

    use super::*;
    use crate::args::Cmd;

    /// The duration that `almanac override --for` reads.
    fn by_command(text: &str) -> Option<Duration> {
        let words = [
            "almanac",
            "override",
            "a",
            "--set",
            "enabled=false",
            "--reason",
            "x",
        ];
        let flag = format!("--for={text}");
        let words = words.into_iter().chain([flag.as_str()]);
        match crate::args::parse(words).ok()?.command {
            Cmd::Override(args) => args.duration,
            other => panic!("{other:?}"),
        }
    }

    /// The duration that a definition has.
    fn by_definition(text: &str) -> Option<Duration> {
        let yaml = format!(
            "schedule: {{ cron: '@daily', catchup_window: '{text}' }}\nworkflow: {{ type: T, task_queue: q }}\n"
        );
        let now = Timestamp::UNIX_EPOCH;
        let document = parse_file("a.yaml", yaml.as_bytes(), &ParseContext { now }).remove(0);
        let schedule = document.definition()?.schedule.as_ref();
        schedule.map(|schedule| schedule.catchup_window)
    }

    #[test]
    fn the_command_the_api_and_definitions_take_the_same_durations() {
        let now = Timestamp::UNIX_EPOCH;
        let by_api = |text: &str| {
            let at = until(text, now).ok()?;
            Duration::try_from(at.duration_since(now)).ok()
        };
        for (text, seconds) in [
            ("2d", 172_800),
            ("1w2d", 777_600),
            ("1h30m", 5400),
            ("1.5h", 5400),
            ("90s", 90),
            ("61000ms", 61),
            ("PT30S", 30),
            ("p1dt12h", 129_600),
            ("1w", 604_800),
            ("36500d", 3_153_600_000),
        ] {
            let read = [by_command(text), by_api(text), by_definition(text)];
            assert_eq!(read, [Some(Duration::from_secs(seconds)); 3], "{text}");
        }
        for text in [
            "",
            "0",
            "90",
            "2 days",
            "2days",
            "1h 30m",
            "30m1h",
            "-5m",
            "+5m",
            "1us",
            "5M",
            "P1M",
            "1y",
            "36501d",
            "{ hours: 1 }",
        ] {
            let read = [by_command(text), by_api(text), by_definition(text)];
            assert_eq!(read, [None; 3], "{text}");
        }
        assert_eq!([by_command("0.5s"), by_api("0.5s")], [None; 2]);
    }
}
