//! The process as the HTTP API's backend. Every request asks Temporal again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use almanac_activities::event_stream::{EventStream, delivery_id};
use almanac_activities::manual_runs::Range;
use almanac_activities::reconcile::{self, AttentionList};
use almanac_activities::router::{Arrival, EventRouter, Routed};
use almanac_activities::schedules::view::{
    self, ListedSchedule, ScheduleDetail, ViewContext, ViewFiles,
};
use almanac_activities::schedules::{
    EventRun, LiveRuns, RateLimiter, RequestError, ScheduleMonitor, Schedules, event_runs,
    live_runs, wire,
};
use almanac_activities::spans;
use almanac_activities::steps::{Events, StoredAt};
use almanac_activities::timeline::{
    Lane, Timeline, TimelineReader, TimelineRun, Window, recent_runs,
};
use almanac_base::names::{DefinitionId, Project, ScheduleId, WorkerId};
use almanac_core::record::{
    Delivery, DeliveryState, DeliveryVia, HistoryEntry, Options, OverrideAnswer, OverrideRequest,
    PassInput, RunAnswer, RunKind, RunRequest, Status, SuspendRequest, SyncRequest,
};
use almanac_core::routing::{Maker, Route};
use almanac_core::snapshot::{Snapshot, file_of};
use almanac_events::CloudEvent;
use almanac_times::When;
use jiff::{SignedDuration, Timestamp};
use opentelemetry::trace::FutureExt as _;
use serde_json::Value;
use temporalio_client::{Client, NamespacedClient as _};
use tokio::sync::watch;

use super::{BACKFILL_LISTED, Backend, BackendError, BackfillTimes, Planned};
use crate::connect::Credentials;
use crate::fire_times;
use crate::health::{Health, Readiness};
use crate::reconcile_client::{ReconcileClient, ReconcileClientError};
use crate::registry::{RecentReload, Registry, Reload, ReloadError};
use crate::telemetry::{MetricsPage, needing_attention};

/// Number of requests to Temporal that an HTTP request makes at a time.
const CONCURRENCY: usize = 10;
/// Maximum time to store an event, before its runs are started directly.
const STORE_LIMIT: Duration = Duration::from_secs(5);

/// State that the parts of the process share.
#[derive(Debug)]
pub struct Shared {
    pub project: Project,
    /// Id of this worker process.
    pub worker: WorkerId,
    /// Registry of the served definitions.
    pub registry: Arc<Registry>,
    /// Condition of the process.
    pub health: Arc<Health>,
    pub metrics: MetricsPage,
    /// Observations from the passes of this process.
    pub monitor: Arc<ScheduleMonitor>,
    /// The schedules that need attention, for the metrics page.
    pub attention: Arc<AttentionList>,
    /// Address of Temporal's own UI, without a final slash.
    pub temporal_ui: Option<String>,
    /// Reader of timelines, with what several of them need.
    pub timelines: TimelineReader,
    /// Router of events.
    pub events: Arc<EventRouter>,
    /// The stream of NATS from which events are taken, if there is one.
    pub stream: Option<Arc<EventStream>>,
    /// The publisher of events to that stream.
    pub publisher: Option<Arc<Events>>,
    /// The credentials for Temporal.
    pub credentials: Arc<Credentials>,
    /// The connections to Temporal, updated whenever the process connects.
    pub(crate) clients: watch::Receiver<Option<Client>>,
}

impl Shared {
    /// The connection to Temporal; `None` before the first one.
    pub fn client(&self) -> Option<Client> {
        self.clients.borrow().clone()
    }
}

impl Backend for Shared {
    fn worker(&self) -> &WorkerId {
        &self.worker
    }

    fn project(&self) -> &Project {
        &self.project
    }

    fn namespace(&self) -> Option<String> {
        Some(self.client()?.namespace())
    }

    fn temporal_ui(&self) -> Option<&str> {
        self.temporal_ui.as_deref()
    }

    fn roots(&self) -> Vec<String> {
        let roots = self.registry.roots().iter();
        roots.map(|root| root.display().to_string()).collect()
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            credentials: self.credentials.status(),
            events: self.stream.as_ref().map(|stream| stream.status()),
            ..self.health.readiness()
        }
    }

    fn metrics(&self) -> String {
        let found = self.attention.last();
        self.metrics.render() + &found.as_ref().map(needing_attention).unwrap_or_default()
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.registry.snapshot()
    }

    fn recent_reloads(&self) -> Vec<RecentReload> {
        self.registry.recent_reloads()
    }

    async fn reload(&self, by: &str) -> Result<Reload, ReloadError> {
        self.registry.reload_for(by.to_owned()).await
    }

    async fn status(&self) -> Result<Status, BackendError> {
        Ok(self.asked()?.status().await?)
    }

    async fn sync(&self, request: SyncRequest) -> Result<u64, BackendError> {
        Ok(self.asked()?.sync(&request).await?.pass)
    }

    async fn set_override(&self, request: OverrideRequest) -> Result<OverrideAnswer, BackendError> {
        Ok(self.asked()?.set_override(&request).await?)
    }

    async fn run(
        &self,
        kind: RunKind,
        request: RunRequest,
        limit: Duration,
    ) -> Result<RunAnswer, BackendError> {
        Ok(self.asked()?.run(kind, &request, limit).await?)
    }

    async fn suspend(&self, request: SuspendRequest) -> Result<(), BackendError> {
        self.asked()?.suspend(&request).await?;
        Ok(())
    }

    async fn resume(&self, request: SuspendRequest) -> Result<(), BackendError> {
        self.asked()?.resume(&request).await?;
        Ok(())
    }

    async fn backfill_times(
        &self,
        id: &str,
        from: When,
        to: When,
    ) -> Result<Option<BackfillTimes>, BackendError> {
        let absent = || BackendError::Refused(format!("there is no schedule of `{id}`"));
        let schedule = self.project.schedule_id(&id.parse().map_err(|_| absent())?);
        let requests = self.requests()?;
        let described = match requests.describe(&schedule).await {
            Ok(described) => wire::live(&self.project, &schedule, described),
            Err(RequestError::NotFound) => None,
            Err(error) => return Err(error.into()),
        };
        let spec = described.ok_or_else(absent)?.live.values.spec;
        let range = Range::of(&spec, Some(from), Some(to));
        let range = range.map_err(|error| BackendError::Refused(error.to_string()))?;
        let times = range.served(&requests, &schedule, &spec).await?;
        Ok(times.map(|times| {
            let before = times.first.saturating_sub(SignedDuration::from_nanos(1));
            let listed = spec.times_after(before.unwrap_or(times.first), BACKFILL_LISTED);
            let listed = listed.times.into_iter();
            BackfillTimes {
                count: times.count,
                first: times.first,
                last: times.last,
                listed: listed.take_while(|time| *time <= times.last).collect(),
                timezone: spec.timezone,
            }
        }))
    }

    async fn plan(&self) -> Result<Planned, BackendError> {
        let status = self.status().await?;
        let input = self.input(&status);
        let (plan, report) = self.observer()?.plan(&input).await?;
        let times = fire_times::times(&self.requests()?, &self.project, &plan).await;
        Ok(Planned {
            plan,
            report,
            times,
            truncated: 0,
        })
    }

    async fn deliver(&self, event: CloudEvent, arrival: Arrival) -> Result<Delivery, BackendError> {
        if !self.registry.has_been_complete() {
            let why = "the folders of definitions have not been read completely yet".to_owned();
            return Err(BackendError::Away(why));
        }
        let event = Arc::new(event.into_json());
        let is_new = matches!(arrival.via, DeliveryVia::Http | DeliveryVia::Webhook);
        let Some(publisher) = self.publisher.as_ref().filter(|_| is_new) else {
            return self.start(&event, arrival).await;
        };
        let span = spans::receive_event(&event, arrival.via);
        let received = self.receive(publisher, &event, arrival);
        let delivery = received.with_context(span.clone()).await?;
        spans::name_delivery(&span, &delivery);
        Ok(delivery)
    }

    fn deliveries(&self) -> Vec<Delivery> {
        self.events.deliveries().newest_first()
    }

    fn delivery(&self, id: &str) -> Option<(Delivery, Option<Arc<Value>>)> {
        self.events.deliveries().get(id)
    }

    async fn forget_dead(&self, id: &str) {
        if let Some(stream) = &self.stream
            && let Err(reason) = stream.remove_dead_letter(id).await
        {
            tracing::warn!(
                delivery = id,
                reason,
                "cannot remove a dead letter whose event was handled"
            );
        }
    }

    fn deliveries_recorded(&self) -> u64 {
        self.events.deliveries().recorded()
    }

    fn routes(&self, event: &Value, made_by: Maker) -> Vec<Route> {
        self.events.routes(event, made_by)
    }

    async fn event_runs(&self, id: &str) -> Result<Vec<EventRun>, BackendError> {
        let Ok(id) = id.parse::<DefinitionId>() else {
            return Ok(Vec::new());
        };
        Ok(event_runs(&self.requests()?, &self.project, &id).await?)
    }

    async fn schedules(
        &self,
        previous: &[Arc<ListedSchedule>],
    ) -> Result<Vec<Arc<ListedSchedule>>, BackendError> {
        let requests = self.requests()?;
        let status = self.status_if_any().await;
        let snapshot = self.snapshot();
        let files = ViewFiles::of(&self.project, &snapshot);
        let context = self.view_context(status.as_ref(), &files);
        let monitor = Some(&*self.monitor);
        Ok(view::list_with_times(&requests, context, monitor, previous).await?)
    }

    async fn ask_running(&self, listed: &mut [Arc<ListedSchedule>]) {
        if let Ok(requests) = self.requests() {
            let running = listed.iter_mut().filter(|one| one.seems_running());
            let views = running.map(|one| &mut Arc::make_mut(one).view);
            view::ask_running(&requests, views).await;
        }
    }

    async fn history(&self, id: Option<&str>) -> Result<Vec<HistoryEntry>, BackendError> {
        let id = match id.map(str::parse::<DefinitionId>) {
            Some(Err(_)) => return Ok(Vec::new()),
            Some(Ok(id)) => Some(id),
            None => None,
        };
        Ok(self.asked()?.history(id.as_ref()).await?)
    }

    async fn live_runs(&self, id: &str) -> Result<LiveRuns, BackendError> {
        let Ok(id) = id.parse::<DefinitionId>() else {
            return Ok(LiveRuns::default());
        };
        let snapshot = self.snapshot();
        let current = snapshot.definitions.get(&id);
        let current = current.map(|loaded| &loaded.definition.revision);
        Ok(live_runs(&self.requests()?, &self.project, &id, current).await?)
    }

    async fn source_text(&self, source: &str) -> Option<String> {
        let (registry, path) = (Arc::clone(&self.registry), file_of(source).to_owned());
        let read = tokio::task::spawn_blocking(move || registry.text_of(&path));
        read.await.ok().flatten()
    }

    async fn recent_runs(
        &self,
        ids: Vec<ScheduleId>,
    ) -> Result<Vec<Vec<TimelineRun>>, BackendError> {
        Ok(recent_runs(&self.requests()?, &ids).await?)
    }

    async fn timeline(
        &self,
        window: Window,
        listed: Vec<Arc<ListedSchedule>>,
    ) -> Result<Timeline, BackendError> {
        let requests = self.requests()?;
        let read = self
            .timelines
            .read(&requests, &self.project, window, listed);
        Ok(read.await?)
    }

    async fn timeline_lane(&self, id: &str, window: Window) -> Result<Option<Lane>, BackendError> {
        let Ok(definition) = id.parse::<DefinitionId>() else {
            return Ok(None);
        };
        let requests = self.requests()?;
        let status = self.status_if_any().await;
        let snapshot = self.snapshot();
        let files = ViewFiles::of(&self.project, &snapshot);
        let context = self.view_context(status.as_ref(), &files);
        let read = self
            .timelines
            .read_lane(&requests, context, window, &definition);
        Ok(read.await?)
    }

    async fn schedule(&self, id: &str) -> Result<Option<ScheduleDetail>, BackendError> {
        let requests = self.requests()?;
        let status = self.status_if_any().await;
        let snapshot = self.snapshot();
        let files = ViewFiles::of(&self.project, &snapshot);
        let context = self.view_context(status.as_ref(), &files);
        let stated = id.strip_prefix(&self.project.schedule_prefix());
        let named = |id: &str| id.parse::<DefinitionId>().ok();
        for definition in [named(id), stated.and_then(named)].into_iter().flatten() {
            match view::describe(&requests, &definition, context, Some(&self.monitor)).await {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(error) if error.is_about_one() => {
                    return Err(BackendError::Failed(error.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

impl Shared {
    /// Starts the runs of an event, and records the delivery.
    async fn start(&self, event: &Arc<Value>, arrival: Arrival) -> Result<Delivery, BackendError> {
        let requests = self.requests()?;
        Ok(self.events.deliver(&requests, event, arrival).await)
    }

    /// Stores an event in the stream of events, or starts its runs if that is not possible, and
    /// records the delivery.
    async fn receive(
        &self,
        publisher: &Events,
        event: &Arc<Value>,
        arrival: Arrival,
    ) -> Result<Delivery, BackendError> {
        let Some(delivery) = self.store(publisher, event, &arrival).await else {
            return self.start(event, arrival).await;
        };
        self.events.record(delivery.clone(), event);
        Ok(delivery)
    }

    /// Stores an event in the stream of events, if it starts a run: then a process takes it from
    /// there. `None` if the event cannot be stored.
    async fn store(
        &self,
        publisher: &Events,
        event: &Arc<Value>,
        arrival: &Arrival,
    ) -> Option<Delivery> {
        if let Some(settled) = self.events.settle(event, arrival.clone()) {
            return Some(settled);
        }
        let Arrival { via, by, .. } = arrival;
        match publisher.store(event, *via, by, STORE_LIMIT).await {
            Ok(stored) if stored.is_duplicate => {
                self.handle_again(publisher, event, arrival, &stored).await
            }
            Ok(stored) => Some(accepted(event, arrival, &stored)),
            Err(error) => {
                let reason = error.fault.to_string();
                tracing::warn!(
                    reason,
                    "an event cannot be stored in NATS; starting its runs directly"
                );
                None
            }
        }
    }

    /// Handles an event whose source and id the stream knows already. The first event may have been
    /// handled, and may have had other data, so the answer is that of the router. As long as
    /// Temporal is away, the same event is accepted: the stream has it. `None` if Temporal is away
    /// and the stream has another event.
    async fn handle_again(
        &self,
        publisher: &Events,
        event: &Arc<Value>,
        arrival: &Arrival,
        stored: &StoredAt,
    ) -> Option<Delivery> {
        let handled = match self.requests() {
            Ok(requests) => Some(self.events.handle(&requests, event, arrival.clone()).await),
            Err(_away) => None,
        };
        let is_handled = |handled: &Delivery| handled.state != DeliveryState::Waiting;
        if !handled.as_ref().is_some_and(is_handled) && publisher.has_stored(event, stored).await {
            return Some(accepted(event, arrival, stored));
        }
        handled
    }

    fn connected(&self) -> Result<Client, BackendError> {
        self.client().ok_or_else(|| {
            let why = self.health.readiness().last_error;
            BackendError::Away(why.unwrap_or_else(|| "the worker has not connected yet".into()))
        })
    }

    fn asked(&self) -> Result<ReconcileClient, BackendError> {
        Ok(ReconcileClient::new(
            self.connected()?,
            self.project.clone(),
        ))
    }

    fn requests(&self) -> Result<Schedules, BackendError> {
        Ok(Schedules::new(
            self.connected()?,
            Arc::new(RateLimiter::new(None)),
        ))
    }

    /// A reconciler that plans as a pass would, and never does a pass.
    fn observer(&self) -> Result<reconcile::Reconciler, BackendError> {
        Ok(reconcile::Reconciler::new(
            self.requests()?,
            self.project.clone(),
            Arc::clone(&self.registry) as _,
            CONCURRENCY,
            |_| {},
        ))
    }

    /// The input that a pass would have now.
    fn input(&self, status: &Status) -> PassInput {
        let options = Options::safest(status.workers.values().map(|worker| &worker.options));
        let revisions: BTreeSet<_> = status.workers.values().map(|one| &one.revision).collect();
        PassInput {
            replicas_differ: revisions.len() > 1,
            drift: options.drift,
            orphans: options.orphans,
            resync_interval: Duration::MAX,
            ..PassInput::dry_run(status, self.registry.snapshot().revision.clone())
        }
    }

    /// The reconcile workflow's state, if the workflow answers. Without the state, a view lists
    /// the facts that it does not know.
    async fn status_if_any(&self) -> Option<Status> {
        let status = self.status().await;
        status
            .inspect_err(
                |error| tracing::debug!(%error, "cannot get the status of the reconcile workflow; showing schedules without it"),
            )
            .ok()
    }

    fn view_context<'a>(
        &'a self,
        status: Option<&'a Status>,
        files: &'a ViewFiles<'a>,
    ) -> ViewContext<'a> {
        ViewContext {
            project: &self.project,
            status,
            files: Some(files),
            now: Timestamp::now(),
        }
    }
}

/// The delivery of an event that the stream has stored. The process that takes the event goes on
/// with this delivery.
fn accepted(event: &Value, arrival: &Arrival, stored: &StoredAt) -> Delivery {
    Delivery {
        id: delivery_id(&stored.stream, stored.sequence),
        state: DeliveryState::Accepted,
        ..arrival.clone().delivery(event, Routed::default())
    }
}

impl From<ReconcileClientError> for BackendError {
    fn from(error: ReconcileClientError) -> Self {
        let text = error.to_string();
        match error {
            ReconcileClientError::Busy(_) => Self::Busy(text),
            ReconcileClientError::Refused(_) => Self::Refused(text),
            ReconcileClientError::Absent(_) => Self::Absent(text),
            ReconcileClientError::NoAnswer(_)
            | ReconcileClientError::NoNamespace(_)
            | ReconcileClientError::Stuck(_)
            | ReconcileClientError::Unauthenticated(_)
            | ReconcileClientError::Temporal(_)
            | ReconcileClientError::Answer(_) => Self::Away(text),
        }
    }
}

impl From<RequestError> for BackendError {
    fn from(error: RequestError) -> Self {
        Self::Away(error.to_string())
    }
}
