//! The router of events: it starts the runs of the definitions whose triggers take an event.
//!
//! Always holds: an event is evaluated on one snapshot of the definitions; the failure of one
//! trigger does not affect another; the same event, by its source and id, starts nothing twice.

mod deliveries;
mod emitted;
mod search_attributes;
mod start;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use almanac_base::names::Project;
use almanac_base::size::json_size;
use almanac_core::record::{
    DELIVERY_RUNS_LIMIT, Delivery, DeliveryState, DeliveryVia, EventKey, TriggerResult,
    TriggeredRun, delivery_text,
};
use almanac_core::routing::{Maker, Route, RunToStart, TriggerIndex};
use almanac_core::snapshot::Snapshot;
use futures::StreamExt as _;
use jiff::Timestamp;
use opentelemetry::trace::FutureExt as _;
use serde_json::Value;
use temporalio_common::protos::temporal::api::workflowservice::v1::StartWorkflowExecutionRequest;

pub use deliveries::{DELIVERIES_KEPT, DeliveryLog, EVENT_BYTES_KEPT};
pub use emitted::EmittedEvents;
pub use search_attributes::EVENT_ATTRIBUTES;

use crate::blocking::compute;
use crate::definitions::DefinitionSource;
use crate::metrics;
use crate::schedules::Schedules;
use crate::spans;
use crate::steps::StepKeys;
use search_attributes::EventAttributes;

/// Maximum number of runs that one event starts at the same time.
const CONCURRENCY: usize = 10;

/// Starts runs on events.
pub struct EventRouter {
    project: Project,
    source: Arc<dyn DefinitionSource>,
    /// Keys that sign the steps of the runs.
    keys: Option<StepKeys>,
    /// Index of the triggers of the last snapshot.
    index: Mutex<Option<(Arc<Snapshot>, Arc<TriggerIndex>)>>,
    attributes: EventAttributes,
    deliveries: DeliveryLog,
}

impl std::fmt::Debug for EventRouter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventRouter({})", self.project)
    }
}

/// The arrival of an event.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Id of the delivery. Another attempt to handle the event has the same id.
    pub delivery: String,
    /// Time at which the event arrived.
    pub at: Timestamp,
    /// Way by which the event arrived.
    pub via: DeliveryVia,
    /// Maker of the event.
    pub made_by: Maker,
    /// Name of the caller, the webhook or the stream that delivered the event.
    pub by: String,
    /// Number of the attempt to handle the event, from 1.
    pub attempt: u64,
}

/// The results of the triggers that took an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routed {
    /// Triggers that took the event, each with its result.
    pub runs: Vec<TriggeredRun>,
    /// Number of triggers that took the event and are not in `runs`.
    pub truncated: u32,
}

impl Arrival {
    /// The delivery of an event whose triggers had these results.
    pub fn delivery(self, event: &Value, routed: Routed) -> Delivery {
        let Routed { runs, truncated } = routed;
        Delivery {
            id: self.delivery,
            at: self.at,
            via: self.via,
            by: self.by,
            event: EventKey::of(event),
            bytes: json_size(event) as u64,
            attempt: self.attempt,
            state: Delivery::state_of(&runs),
            reason: runs.iter().find_map(reason),
            runs,
            truncated,
        }
    }
}

impl Routed {
    /// The results in the order of their importance. The rest of more than
    /// [`DELIVERY_RUNS_LIMIT`] are counted.
    fn of(mut runs: Vec<TriggeredRun>) -> Self {
        let count = runs.len();
        // Those that need attention come first, so that they are not among the ones left out.
        runs.sort_by_key(|run| match run.result {
            TriggerResult::Failed { .. } => 0,
            TriggerResult::Refused { .. } | TriggerResult::Conflict { .. } => 1,
            TriggerResult::Started { .. } | TriggerResult::Existing { .. } => 2,
        });
        runs.truncate(DELIVERY_RUNS_LIMIT);
        let truncated = count - runs.len();
        Self {
            runs,
            truncated: u32::try_from(truncated).unwrap_or(u32::MAX),
        }
    }
}

impl EventRouter {
    /// Creates the router of a project. It signs the steps of the runs with `keys`.
    pub fn new(
        project: Project,
        source: Arc<dyn DefinitionSource>,
        keys: Option<StepKeys>,
    ) -> Self {
        Self {
            project,
            source,
            keys,
            index: Mutex::default(),
            attributes: EventAttributes::default(),
            deliveries: DeliveryLog::default(),
        }
    }

    /// Returns `true` if all definitions have been read, so that events can be handled.
    pub fn is_ready(&self) -> bool {
        self.source.has_been_complete()
    }

    /// The last deliveries to this process.
    pub fn deliveries(&self) -> &DeliveryLog {
        &self.deliveries
    }

    /// Starts the runs of an event in the JSON format of `CloudEvents`, and records the delivery.
    pub async fn deliver(
        &self,
        schedules: &Schedules,
        event: &Arc<Value>,
        arrival: Arrival,
    ) -> Delivery {
        let delivery = self.handle(schedules, event, arrival).await;
        self.record(delivery.clone(), event);
        delivery
    }

    /// Starts the runs of an event in the JSON format of `CloudEvents`. The caller records the
    /// delivery.
    pub async fn handle(&self, schedules: &Schedules, event: &Value, arrival: Arrival) -> Delivery {
        let (delivery, made_by) = (arrival.delivery.clone(), arrival.made_by);
        let results = async {
            let routes = self.routes(event, made_by);
            let started = self.started_before(&delivery);
            self.start(schedules, routes, started).await
        };
        traced(event, arrival, results).await
    }

    /// Starts the run of a trigger that takes an event. The caller records the delivery.
    pub(crate) async fn handle_route(
        &self,
        schedules: &Schedules,
        route: Route,
        event: &Value,
        arrival: Arrival,
    ) -> Delivery {
        let results = self.start(schedules, vec![route], Vec::new());
        traced(event, arrival, results).await
    }

    /// Returns the delivery of an event that starts no run: no trigger takes the event, or every
    /// trigger that takes it refuses it. `None` if a trigger starts a run. The caller records the
    /// delivery.
    pub fn settle(&self, event: &Value, arrival: Arrival) -> Option<Delivery> {
        let routes = self.routes(event, arrival.made_by);
        let refusals = routes
            .iter()
            .map(|route| Some((route, route.run.as_ref().err()?)));
        let refusals: Option<Vec<_>> = refusals.collect();
        let runs = refusals?.into_iter().map(|(route, reason)| TriggeredRun {
            definition: route.definition.id.clone(),
            trigger: route.origin.trigger,
            result: TriggerResult::Refused {
                reason: delivery_text(reason),
            },
        });
        Some(arrival.delivery(event, Routed::of(runs.collect())))
    }

    /// Records a delivery: in the log, in the metrics, and in the list of deliveries.
    pub fn record(&self, delivery: Delivery, event: &Arc<Value>) {
        let Delivery {
            id,
            via,
            event: key,
            state,
            ..
        } = &delivery;
        metrics::event(*via, *state);
        let EventKey {
            kind,
            source,
            id: event_id,
        } = key;
        match state {
            DeliveryState::Refused | DeliveryState::Waiting | DeliveryState::Dead => {
                tracing::warn!(
                    delivery = id,
                    event_type = kind,
                    source,
                    id = event_id,
                    state = state.as_str(),
                    reason = logged_reason(&delivery),
                    "an event was not handled"
                );
            }
            _ => {
                tracing::debug!(
                    delivery = id,
                    event_type = kind,
                    source,
                    id = event_id,
                    state = state.as_str(),
                    "an event was handled"
                );
            }
        }
        self.deliveries.record(delivery, event);
    }

    /// Returns the triggers that take an event in the JSON format of `CloudEvents`, each with the
    /// run that it would start. Starts nothing.
    pub fn routes(&self, event: &Value, made_by: Maker) -> Vec<Route> {
        let index = self.index();
        compute(|| index.routes(&self.project, event, made_by, Timestamp::now()))
    }

    /// The runs that an earlier attempt of a delivery started. A trigger with a `workflow_id` of
    /// its own must not start one again, because other events may have started later ones.
    fn started_before(&self, delivery: &str) -> Vec<TriggeredRun> {
        let before = self.deliveries.get(delivery);
        let before = before.filter(|(before, _)| before.state == DeliveryState::Waiting);
        let mut runs = before.map(|(before, _)| before.runs).unwrap_or_default();
        runs.retain(|run| {
            matches!(
                run.result,
                TriggerResult::Started { .. } | TriggerResult::Existing { .. }
            )
        });
        runs
    }

    /// Starts the runs of these triggers, but for those that were started before.
    async fn start(
        &self,
        schedules: &Schedules,
        routes: Vec<Route>,
        started: Vec<TriggeredRun>,
    ) -> Routed {
        let started = &started;
        let starts_any = routes.iter().any(|route| route.run.is_ok());
        let attributes = if starts_any {
            self.attributes.names(schedules).await
        } else {
            BTreeSet::new()
        };
        let attributes = &attributes;
        let results = routes.into_iter().map(|route| async move {
            let definition = route.definition.id.clone();
            let trigger = route.origin.trigger;
            let before = started
                .iter()
                .find(|run| run.definition == definition && run.trigger == trigger);
            if let Some(before) = before {
                return before.clone();
            }
            let result = match &route.run {
                Err(reason) => TriggerResult::Refused {
                    reason: delivery_text(reason),
                },
                Ok(run) => {
                    let span = spans::start_run(&definition, trigger);
                    let start = self.start_run(schedules, &route, run, attributes);
                    let result = start.with_context(span.clone()).await;
                    spans::name_result(&span, &result);
                    result
                }
            };
            TriggeredRun {
                definition,
                trigger,
                result,
            }
        });
        let runs = futures::stream::iter(results)
            .buffered(CONCURRENCY)
            .collect()
            .await;
        Routed::of(runs)
    }

    async fn start_run(
        &self,
        schedules: &Schedules,
        route: &Route,
        run: &RunToStart,
        attributes: &BTreeSet<&'static str>,
    ) -> TriggerResult {
        let request = self.request(route, run, attributes);
        match start::start(schedules, route, run, request).await {
            // The namespace may have lost a search attribute.
            TriggerResult::Refused { .. } if !attributes.is_empty() => {
                self.attributes.forget();
                let request = self.request(route, run, &BTreeSet::new());
                start::start(schedules, route, run, request).await
            }
            result => result,
        }
    }

    fn request(
        &self,
        route: &Route,
        run: &RunToStart,
        attributes: &BTreeSet<&'static str>,
    ) -> StartWorkflowExecutionRequest {
        start::request(route, run, &self.project, self.keys.as_ref(), attributes)
    }

    /// The index of the current definitions.
    fn index(&self) -> Arc<TriggerIndex> {
        let snapshot = self.source.snapshot();
        let mut last = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, index)) = last.as_ref()
            && Arc::ptr_eq(of, &snapshot)
        {
            return Arc::clone(index);
        }
        let index = Arc::new(TriggerIndex::of(&snapshot));
        *last = Some((snapshot, Arc::clone(&index)));
        index
    }
}

/// Handles an event in a span of its own.
async fn traced(
    event: &Value,
    arrival: Arrival,
    results: impl Future<Output = Routed>,
) -> Delivery {
    let span = spans::handle_event(event, arrival.via, arrival.attempt);
    let results = results.with_context(span.clone()).await;
    let delivery = arrival.delivery(event, results);
    spans::name_delivery(&span, &delivery);
    delivery
}

/// The part of a delivery's reason that the log shows. The reason of a refusal may repeat parts of
/// the event after the second colon; these belong into the list of deliveries only.
fn logged_reason(delivery: &Delivery) -> Option<String> {
    let reason = delivery.reason.as_deref()?;
    let is_failure = |run: &TriggeredRun| matches!(run.result, TriggerResult::Failed { .. });
    if delivery.runs.iter().any(is_failure) {
        return Some(reason.to_owned());
    }
    let mut parts = reason.splitn(3, ": ");
    let shown: Vec<&str> = parts.by_ref().take(2).collect();
    let more = if parts.next().is_some() { ": …" } else { "" };
    Some(format!("{}{more}", shown.join(": ")))
}

/// The result of a trigger that needs attention, with its definition.
fn reason(run: &TriggeredRun) -> Option<String> {
    let reason = run.result.reason()?;
    Some(delivery_text(&format!("{}: {reason}", run.definition)))
}
