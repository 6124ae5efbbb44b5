//! `POST /webhooks/{slug}`: signed requests of other services.
//!
//! A request needs no token: its signature is its authority. Always holds:
//! - Before the signature is verified, nothing of the body is read, and no more than a bounded
//!   number of bodies is in memory.
//! - A client learns nothing but the status, a short reason and the id of the delivery. It may be
//!   the service's own log that shows them.
//! - No client fills memory, the log or the list of deliveries with requests that are not verified.

mod failures;
mod refusals;
mod seen;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use almanac_activities::blocking::compute;
use almanac_activities::metrics;
use almanac_activities::spans;
use almanac_activities::webhooks::{Check, UnusableSecret, WebhookSecrets};
use almanac_core::definition::EventType;
use almanac_core::record::DeliveryVia;
use almanac_core::routing::data_digest;
use almanac_core::snapshot::Snapshot;
use almanac_events::webhook::{self, Delivery, Refusal, Verified};
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Response as Described};

use self::failures::FailureLimit;
use self::refusals::RefusalLog;
use self::seen::SeenIds;
use self::turns::{Turn, Turns};
use super::connection_limiter::network;
use super::limits::{self, BodyLimit};
use super::openapi::problems;
use super::problem::Problem;
use super::server::Peer;
use super::{Service, events};
use crate::backend::Backend;

/// Interval at which the secrets of new webhooks are looked for.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of secrets that have been warned about. Beyond it, all are warned about again.
const WARNED_LIMIT: usize = 1000;
/// Maximum number of webhooks without a secret that an answer lists.
const WARNINGS_LISTED: usize = 100;
/// Beginning of the path of each webhook.
const PATH: &str = "/webhooks/";
/// The authentication scheme that a 401 names (RFC 9110, section 15.5.2). It is a name of Almanac's
/// own: no scheme is registered for signatures of webhooks.
const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Webhook-Signature realm="almanac""#);

/// The state of all webhooks.
#[derive(Debug)]
pub(super) struct Webhooks {
    secrets: WebhookSecrets,
    turns: Turns,
    failures: FailureLimit,
    refusals: RefusalLog,
    seen: SeenIds,
    /// Webhooks and names of secrets that have been warned about.
    warned: Mutex<BTreeSet<(String, String)>>,
}

/// The answer to a delivery.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WebhookAnswer {
    /// Id of the delivery, by which an operator finds it.
    delivery: String,
}

/// The error responses of a webhook.
struct WebhookProblems;

impl utoipa::IntoResponses for WebhookProblems {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        problems([
            (
                "400",
                "The request cannot be read, or the signature is right and the body is no JSON",
            ),
            ("401", "The signature is missing, wrong or too old"),
            ("404", "There is no webhook with this slug"),
            (
                "409",
                "Another delivery with the same id and other data came before; or a trigger has `on_conflict: fail`",
            ),
            ("415", "The body has a content coding"),
            (
                "422",
                "The event is refused by a trigger, or its data by its schema",
            ),
            (
                "429",
                "Too many requests, or too many without a good signature; `Retry-After` says when to retry",
            ),
            (
                "503",
                "Temporal is not available, or the worker lacks the webhook's secret; `Retry-After` says when to retry",
            ),
        ])
    }
}

impl Webhooks {
    pub(super) fn new(secrets: WebhookSecrets) -> Self {
        Self {
            secrets,
            turns: Turns::default(),
            failures: FailureLimit::default(),
            refusals: RefusalLog::default(),
            seen: SeenIds::default(),
            warned: Mutex::default(),
        }
    }

    /// Follows changes of the secrets' files, and warns about secrets that new webhooks lack, for
    /// ever.
    pub(super) async fn keep<B: Backend>(&self, backend: &B) {
        let warn = async {
            let mut checked: Option<Arc<Snapshot>> = None;
            loop {
                let snapshot = backend.snapshot();
                let is_same = |checked: &Arc<Snapshot>| Arc::ptr_eq(checked, &snapshot);
                if !checked.as_ref().is_some_and(is_same) {
                    for event_type in snapshot.webhooks.values() {
                        self.check(event_type);
                    }
                    checked = Some(snapshot);
                }
                sleep(CHECK_INTERVAL).await;
            }
        };
        tokio::join!(self.secrets.follow(), warn);
    }

    /// Sentences about webhooks that lack secrets.
    pub(super) fn warnings(&self, snapshot: &Snapshot) -> Vec<String> {
        let all = snapshot.webhooks.values().filter_map(|event_type| {
            let webhook = event_type.webhook.as_ref()?;
            let unusable = self.secrets.check(webhook).unusable;
            let slug = &webhook.slug;
            let say = |one: &UnusableSecret| {
                format!("webhook `{slug}`: the secret `{}` {}", one.name, one.reason)
            };
            Some(unusable.iter().map(say).collect::<Vec<_>>())
        });
        all.flatten().take(WARNINGS_LISTED).collect()
    }

    /// The check of an event type's webhook. Warns about each secret that it lacks, once.
    fn check(&self, event_type: &EventType) -> Option<Check> {
        let webhook = event_type.webhook.as_ref()?;
        let check = self.secrets.check(webhook);
        for UnusableSecret { name, reason } in &check.unusable {
            let key = (webhook.slug.to_string(), name.clone());
            let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
            if warned.len() >= WARNED_LIMIT {
                warned.clear();
            }
            if warned.insert(key) {
                tracing::warn!(
                    webhook = %webhook.slug,
                    secret = name,
                    reason,
                    "a webhook lacks a secret"
                );
            }
        }
        Some(check)
    }
}

/// Receives a signed request of another service.
///
/// The webhook's event type says which service signs, how, and with which secret. A second request
/// with the same delivery starts nothing twice. The body is JSON; GitHub and Slack may also send a
/// form whose field `payload` is JSON.
#[utoipa::path(
    post, path = "/webhooks/{slug}", operation_id = "receive_webhook", tag = "events",
    params(("slug" = String, Path, description = "The webhook's slug")),
    request_body(content = serde_json::Value, content_type = "application/json", description = "The data of the event, signed as the webhook's layout says"),
    responses(
        (status = 200, description = "The answer to the challenge of Slack", body = String, content_type = "text/plain"),
        (status = 202, description = "The runs of the event were started", body = WebhookAnswer),
        (status = 204, description = "No trigger takes the event"),
        WebhookProblems
    )
)]
pub(super) async fn receive<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Response {
    let peer = network(peer);
    let (event_type, turn) = match admit(&service, peer, &request) {
        Ok(admitted) => admitted,
        Err(problem) => return limits::refuse(request, problem),
    };
    let whole = turn.read(limits::whole(request, BodyLimit::EVENTS)).await;
    let request = match whole {
        Some(Ok(request)) => request,
        Some(Err(answer)) => {
            // Larger, slower or broken off: nobody who signs does that often.
            service.webhooks.failures.count(peer);
            return answer;
        }
        None => {
            service.webhooks.failures.count(peer);
            let detail = "the body is slow, and other requests are waiting";
            return Problem::new(StatusCode::REQUEST_TIMEOUT, detail).into_response();
        }
    };
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BodyLimit::EVENTS.bytes()).await else {
        let detail = "the body cannot be read";
        return Problem::new(StatusCode::BAD_REQUEST, detail).into_response();
    };
    let verified = verify(&service.webhooks, peer, &event_type, &head.headers, &body);
    match verified {
        Ok(Verified::Delivery(delivery)) => deliver(&service, &event_type, delivery, &head.headers)
            .await
            .into_response(),
        Ok(Verified::Challenge(text)) => text.into_response(),
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => {
            ([(header::WWW_AUTHENTICATE, CHALLENGE)], problem).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

/// Returns the event type of the webhook that a request asks for, and a turn to read its body.
fn admit<B: Backend>(
    service: &Service<B>,
    peer: IpAddr,
    request: &Request,
) -> Result<(Arc<EventType>, Turn), Problem> {
    let path = request.uri().path();
    // A slug needs no percent-encoding, so one that has it is unknown.
    let slug = path.strip_prefix(PATH).unwrap_or_default();
    let snapshot = service.backend.snapshot();
    let event_type = slug.parse().ok().and_then(|slug| {
        let event_type = snapshot.webhooks.get(&slug)?;
        Some(Arc::clone(event_type))
    });
    let event_type = event_type.ok_or_else(|| {
        let detail = format!("there is no webhook `{slug}`");
        Problem::new(StatusCode::NOT_FOUND, detail)
    })?;
    if service.webhooks.failures.is_reached(peer) {
        let detail = "too many requests of this address had no good signature";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail));
    }
    let turn = service.webhooks.turns.take(peer).ok_or_else(|| {
        let detail = "too many requests to webhooks are being handled";
        Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
    })?;
    let coding = request.headers().get(header::CONTENT_ENCODING);
    if coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let detail = "the body must have no content coding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    Ok((event_type, turn))
}

/// Verifies the bytes of a request.
fn verify(
    webhooks: &Webhooks,
    peer: IpAddr,
    event_type: &EventType,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Verified, Problem> {
    let lacks_secret = || {
        let detail = "the webhook's secret is not configured";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    };
    let check = webhooks.check(event_type).ok_or_else(lacks_secret)?;
    let verifier = check.verifier.as_ref().ok_or_else(lacks_secret)?;
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let refusal = match compute(|| verifier.verify(headers, body, Timestamp::now())) {
        Ok(good) => return Ok(good),
        Err(refusal) => refusal,
    };
    let status = match &refusal {
        Refusal::Body(_) => StatusCode::BAD_REQUEST,
        Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        // The service may have signed with the secret that is not here.
        Refusal::WrongSignature if !check.unusable.is_empty() => {
            webhooks.failures.count(peer);
            return Err(lacks_secret());
        }
        Refusal::MissingHeader(_)
        | Refusal::MalformedHeader(..)
        | Refusal::WrongSignature
        | Refusal::Stale(_)
        | Refusal::Future(_) => {
            metrics::unauthorized_webhook();
            let webhook = event_type.webhook.as_ref();
            let slug = webhook.map_or("", |webhook| webhook.slug.as_str());
            webhooks.refusals.add(slug, peer, &refusal);
            // Whoever signs with an old time knows the secret.
            if !matches!(refusal, Refusal::Stale(_) | Refusal::Future(_)) {
                webhooks.failures.count(peer);
            }
            StatusCode::UNAUTHORIZED
        }
    };
    Err(Problem::new(status, refusal.to_string()))
}

/// Starts the runs of a verified delivery. The trace context in the headers is not signed, so that
/// the event begins a trace, and only links to it.
async fn deliver<B: Backend>(
    service: &Service<B>,
    event_type: &EventType,
    delivery: Delivery,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let webhook = event_type.webhook.as_ref();
    let slug = webhook.map_or("", |webhook| webhook.slug.as_str());
    let id = delivery.id.clone();
    let event = webhook::to_event(slug, &event_type.kind, delivery, Timestamp::now())
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    let digest = data_digest(event.as_json());
    if !service.webhooks.seen.is_same(slug, &id, digest) {
        let detail = "another delivery with the same id and other data came before";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let sent = spans::sent_with(events::trace_headers(headers), event.as_json());
    let events = vec![(spans::linked_to(&sent), event)];
    let delivered = events::deliver(service, events, DeliveryVia::Webhook, slug).await;
    let deliveries = delivered.map_err(|error| {
        tracing::debug!(%error, "the delivery of a webhook cannot be handled");
        let detail = "the delivery cannot be handled now";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    let delivery = deliveries.first().map(|one| one.id.clone());
    let delivery = delivery.unwrap_or_default();
    let status = events::status(&deliveries);
    if status == StatusCode::CONFLICT {
        service.webhooks.seen.forget(slug, &id);
    }
    let detail = match status {
        StatusCode::ACCEPTED => {
            let answer = Json(WebhookAnswer { delivery });
            return Ok((status, answer).into_response());
        }
        StatusCode::NO_CONTENT => return Ok(status.into_response()),
        StatusCode::CONFLICT => "the delivery is in conflict with a run",
        StatusCode::UNPROCESSABLE_ENTITY => "the delivery was refused",
        _ => "the delivery cannot be handled now",
    };
    Err(Problem::new(status, detail).with("delivery", json!(delivery)))
}
