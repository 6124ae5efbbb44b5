//! `POST /events`, and the deliveries of events under `/api/v1/events`.

use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_activities::router::Arrival;
use almanac_activities::spans::{self, TraceHeaders};
use almanac_base::names::TRACEPARENT;
use almanac_core::definition::Labels;
use almanac_core::record::{Delivery, DeliveryState, DeliveryVia, TriggerResult};
use almanac_core::routing::Maker;
use almanac_events::CloudEvent;
use almanac_events::binding::{self, ReadError};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures::StreamExt as _;
use jiff::Timestamp;
use opentelemetry::Context;
use opentelemetry::trace::FutureExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Response as Described};

use super::Service;
use super::auth::Caller;
use super::openapi::{PROBLEM, Upstream, problems, written};
use super::problem::{Details, Problem};
use super::query::{Id, ListQuery, Listed, StrictQuery};
use crate::backend::{Backend, BackendError};
use crate::backoff::random;

/// Maximum number of events of a batch that are handled at a time.
const CONCURRENCY: usize = 10;

/// The deliveries of the events of one request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Deliveries {
    /// A delivery for each event, in the order of the events.
    deliveries: Vec<Delivery>,
}

/// A page of deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryPage {
    /// The deliveries to the process that answers, newest first.
    deliveries: Vec<Delivery>,
    /// Number of deliveries that match, the same on every page.
    total: usize,
    /// Token of the next page; `None` on the last page.
    next_page_token: Option<String>,
    /// Sentences about webhooks whose secrets the process that answers cannot use; at most 100.
    warnings: Vec<String>,
}

/// A delivery with its event.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeliveryDetail {
    #[serde(flatten)]
    delivery: Delivery,
    /// The event in the JSON format of `CloudEvents`. `null` if it is no longer kept.
    event_json: Option<Value>,
}

/// The error responses of a request with events.
pub(super) struct EventProblems;

impl utoipa::IntoResponses for EventProblems {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        problems([
            (
                "409",
                "Another event with the same source and id, and with other data, was handled before; or a trigger has `on_conflict: fail`",
            ),
            (
                "415",
                "The content type is neither a format of events nor that of an event's data",
            ),
            (
                "422",
                "The event is refused by a trigger, or its data by its schema",
            ),
        ])
    }
}

/// A state by which deliveries can be selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeliveryStateFilter)]
pub(super) enum StateFilter {
    /// The event is stored, and its triggers have not been evaluated.
    Accepted,
    /// No trigger took the event.
    NoMatch,
    /// Every trigger that took the event has a run for it.
    Started,
    /// The event is refused by a trigger or by its schema.
    Refused,
    /// A run could not be started. The event is tried again.
    Waiting,
    /// The event is not tried again.
    Dead,
}

impl Listed for Delivery {
    type State = StateFilter;

    fn place(&self) -> Vec<u8> {
        // Newest first.
        let mut place = (i128::MAX - self.at.as_nanosecond()).to_be_bytes().to_vec();
        place.extend(self.id.bytes());
        place
    }

    fn state(&self) -> StateFilter {
        match self.state {
            // A process records no state of a newer release.
            DeliveryState::Accepted | DeliveryState::Unknown => StateFilter::Accepted,
            DeliveryState::NoMatch => StateFilter::NoMatch,
            DeliveryState::Started => StateFilter::Started,
            DeliveryState::Refused => StateFilter::Refused,
            DeliveryState::Waiting => StateFilter::Waiting,
            DeliveryState::Dead => StateFilter::Dead,
        }
    }

    fn labels(&self) -> &Labels {
        Labels::none()
    }

    fn texts(&self) -> [Option<&str>; 3] {
        let event = &self.event;
        [Some(&event.kind), Some(&event.id), Some(&event.source)]
    }
}

/// Receives events: one in the structured or the binary mode of `CloudEvents`, or a batch.
///
/// The answer comes when the runs have been started. The same event, by its source and id, starts
/// nothing twice, so a client can send it again after any other answer than 2xx.
#[utoipa::path(
    post, path = "/events", operation_id = "receive_events", tag = "events",
    request_body(content(
        (Value = "application/cloudevents+json"),
        (Value = "application/cloudevents-batch+json"),
        (Value = "application/json"),
    ), description = "An event, a batch of events, or the data of an event whose attributes are in the headers `ce-…`"),
    responses(
        (status = 202, description = "The runs of each event were started", body = Deliveries),
        (status = 204, description = "No trigger takes any of the events"),
        EventProblems,
        Upstream
    )
)]
pub(super) async fn receive<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    caller: Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let _turn = service.events.take(&caller)?;
    let sent = trace_headers(&headers);
    let events = read(&headers, &body)?
        .into_iter()
        .map(|event| (spans::sent_with(sent, event.as_json()), event))
        .collect();
    let by = &caller.name;
    let all = deliver(&service, events, DeliveryVia::Http, by).await?;
    answer(all)
}

/// Lists the last deliveries of events to the process that answers, newest first.
#[utoipa::path(
    get, path = "/api/v1/events", operation_id = "list_events", tag = "events",
    params(ListQuery<StateFilter>),
    responses((status = 200, description = "A page of deliveries", body = DeliveryPage))
)]
pub(super) async fn list<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    caller: Extension<Caller>,
    StrictQuery(query): StrictQuery<ListQuery<StateFilter>>,
) -> Result<Response, Problem> {
    let _turn = service.lists.take(&caller)?;
    let deliveries = service.backend.deliveries();
    let warnings = service.webhooks.warnings(&service.backend.snapshot());
    let page = move || {
        let page = query.page(&deliveries, Delivery::clone);
        written(&DeliveryPage {
            deliveries: page.entries,
            total: page.total,
            next_page_token: page.next,
            warnings,
        })
    };
    service.render_workers.work(page).await?
}

/// Returns one delivery with its event.
#[utoipa::path(
    get, path = "/api/v1/events/{id}", operation_id = "get_event", tag = "events",
    params(("id" = String, Path, description = "The delivery's id")),
    responses(
        (status = 200, description = "The delivery", body = DeliveryDetail),
        (status = 404, description = "There is no such delivery", body = Details, content_type = PROBLEM)
    )
)]
pub(super) async fn one<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    caller: Extension<Caller>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let _turn = service.lists.take(&caller)?;
    let (delivery, event) = service
        .backend
        .delivery(&id)
        .ok_or_else(|| no_delivery(&id))?;
    let detail = DeliveryDetail {
        delivery,
        event_json: event.map(|event| Value::clone(&event)),
    };
    service
        .render_workers
        .work(move || written(&detail))
        .await?
}

/// Handles the event of a delivery again. It starts the runs that it would start now and has not
/// started yet.
#[utoipa::path(
    post, path = "/api/v1/events/{id}/replay", operation_id = "replay_event", tag = "events",
    params(("id" = String, Path, description = "The delivery's id")),
    responses(
        (status = 202, description = "The runs of the event were started", body = Deliveries),
        (status = 204, description = "No trigger takes the event"),
        (status = 404, description = "There is no such delivery, or its event is no longer kept", body = Details, content_type = PROBLEM),
        EventProblems,
        Upstream
    )
)]
pub(super) async fn replay_one<B: Backend>(
    State(service): State<Arc<Service<B>>>,
    caller: Extension<Caller>,
    Id(id): Id,
) -> Result<Response, Problem> {
    let _turn = service.events.take(&caller)?;
    answer(replay(&service, &id, &caller, None).await?)
}

/// Handles the event of a delivery again, as a delivery with its own id, or with a new one.
pub(super) async fn replay<B: Backend>(
    service: &Service<B>,
    id: &str,
    caller: &Caller,
    own_id: Option<String>,
) -> Result<Vec<Delivery>, Problem> {
    let (before, event) = kept_event(&*service.backend, id)?;
    let event = CloudEvent::from_json(Value::clone(&event))
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    tracing::info!(
        caller = caller.name,
        delivery = id,
        "replay of an event requested"
    );
    let at = Timestamp::now();
    let arrival = Arrival {
        delivery: own_id.unwrap_or_else(|| delivery_id(at)),
        at,
        via: DeliveryVia::Replay,
        made_by: Maker::of_arrival(before.via),
        by: caller.name.clone(),
        attempt: 1,
    };
    // The trace in which the event was made may have ended long ago.
    let made_in = spans::sent_with(TraceHeaders::default(), event.as_json());
    let delivered = service.backend.deliver(event, arrival);
    let delivery = delivered.with_context(spans::linked_to(&made_in)).await?;
    if before.state == DeliveryState::Dead && delivery.state == DeliveryState::Started {
        service.backend.forget_dead(id).await;
    }
    Ok(vec![delivery])
}

/// A delivery with its event.
///
/// # Errors
/// A 404, if there is no such delivery, or if its event is no longer kept; a 422, if what arrived
/// was no event.
pub(super) fn kept_event(
    backend: &impl Backend,
    id: &str,
) -> Result<(Delivery, Arc<Value>), Problem> {
    let (delivery, event) = backend.delivery(id).ok_or_else(|| no_delivery(id))?;
    if !delivery.has_event() {
        let detail = format!("delivery `{id}` has no event: what arrived could not be read as one");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    let event = event.ok_or_else(|| {
        let detail = format!("the event of delivery `{id}` is no longer kept");
        Problem::new(StatusCode::NOT_FOUND, detail)
    })?;
    Ok((delivery, event))
}

/// Reads the events of a request.
fn read(headers: &HeaderMap, body: &[u8]) -> Result<Vec<CloudEvent>, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.map(|value| value.to_str());
    let content_type = content_type
        .transpose()
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the content type is not text"))?;
    let all = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    binding::read(content_type, all, body).map_err(|error| {
        let status = match error {
            ReadError::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ReadError::Malformed(_) => StatusCode::BAD_REQUEST,
            ReadError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Problem::new(status, error.to_string())
    })
}

/// The trace context in the headers of a request. One that is there twice, or is no text, has no
/// effect.
pub(super) fn trace_headers(headers: &HeaderMap) -> TraceHeaders<'_> {
    let only = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let first = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(first)
    };
    TraceHeaders {
        parent: only(TRACEPARENT),
        state: only(spans::TRACESTATE),
    }
}

/// Handles events, each in its trace context, and returns their deliveries in the same order.
pub(super) async fn deliver<B: Backend>(
    service: &Service<B>,
    events: Vec<(Context, CloudEvent)>,
    via: DeliveryVia,
    by: &str,
) -> Result<Vec<Delivery>, BackendError> {
    let deliveries = events.into_iter().map(|(trace, event)| {
        let at = Timestamp::now();
        let arrival = Arrival {
            delivery: delivery_id(at),
            at,
            via,
            made_by: Maker::of_arrival(via),
            by: by.to_owned(),
            attempt: 1,
        };
        service.backend.deliver(event, arrival).with_context(trace)
    });
    let all: Vec<_> = futures::stream::iter(deliveries)
        .buffered(CONCURRENCY)
        .collect()
        .await;
    all.into_iter().collect()
}

/// A new id: ids that are made later are greater.
fn delivery_id(at: Timestamp) -> String {
    format!("{:012x}-{:08x}", at.as_millisecond(), random() >> 32)
}

/// The answer to a request whose events had these deliveries.
pub(super) fn answer(deliveries: Vec<Delivery>) -> Result<Response, Problem> {
    let status = status(&deliveries);
    if status == StatusCode::ACCEPTED {
        return Ok((status, Json(Deliveries { deliveries })).into_response());
    }
    if status == StatusCode::NO_CONTENT {
        return Ok(status.into_response());
    }
    let reason = deliveries
        .iter()
        .find_map(|delivery| delivery.reason.clone());
    let detail = reason.unwrap_or_else(|| "an event was not handled".to_owned());
    Err(Problem::new(status, detail).with("deliveries", json!(deliveries)))
}

/// The status of the answer to a request whose events had these deliveries.
pub(super) fn status(deliveries: &[Delivery]) -> StatusCode {
    let any = |state| deliveries.iter().any(|delivery| delivery.state == state);
    let is_conflict = deliveries
        .iter()
        .flat_map(|delivery| &delivery.runs)
        .any(|run| matches!(run.result, TriggerResult::Conflict { .. }));
    // A client that gets the status of an error sends all events again: those that were handled
    // start nothing twice.
    if any(DeliveryState::Waiting) || any(DeliveryState::Dead) {
        StatusCode::SERVICE_UNAVAILABLE
    } else if is_conflict {
        StatusCode::CONFLICT
    } else if any(DeliveryState::Refused) {
        StatusCode::UNPROCESSABLE_ENTITY
    } else if any(DeliveryState::Started) || any(DeliveryState::Accepted) {
        StatusCode::ACCEPTED
    } else {
        StatusCode::NO_CONTENT
    }
}

/// The answer about a delivery that is not known.
pub(super) fn no_delivery(id: &str) -> Problem {
    let detail = format!("there is no delivery `{id}`, or it is no longer kept");
    Problem::new(StatusCode::NOT_FOUND, detail)
        .hint("A worker keeps its last deliveries until it ends, and each worker has its own.")
}
