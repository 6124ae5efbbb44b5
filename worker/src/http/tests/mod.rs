//! Tests of every endpoint over TCP, with a fake backend.

mod activity;
mod clients;
mod connection_limits;
mod event_pages;
mod events;
mod form_pages;
mod heads;
mod issuer;
mod jwks;
mod jwt;
mod lists;
mod logins;
mod manual_run_routes;
mod openapi;
mod overrides;
mod page_views;
mod proxies;
mod sharing;
mod sync;
mod timeline;
mod tokens;
mod visitor;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

use almanac_activities::router::Arrival;
use almanac_activities::schedules::view::{
    ListedSchedule, ListedTimes, PausedBy, ScheduleDetail, ScheduleState, ScheduleView,
};
use almanac_activities::schedules::{EventRun, LiveRuns};
use almanac_activities::timeline::{Gap, GapCause, Lane, RunStatus, Timeline, TimelineRun, Window};
use almanac_base::names::{Project, Revision, ScheduleId, WorkerId};
use almanac_core::definition::{Diagnostic, Kind, Labels};
use almanac_core::plan::Plan;
use almanac_core::record::{
    DefinitionCounts, Delivery, EventKey, Held, HistoryEntry, OverrideAnswer, OverrideRequest,
    Report, ReportError, RunAnswer, RunKind, RunRequest, RunState, Status, SuspendRequest,
    SyncRequest, TriggerResult, TriggeredRun, WorkerState,
};
use almanac_core::routing::{Maker, Route, TriggerIndex};
use almanac_core::snapshot::{Archived, FailedDocument, Snapshot};
use almanac_events::CloudEvent;
use almanac_times::When;
use axum::http::{StatusCode, header};
use axum::routing::{get, post};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::DropGuard;

use super::*;
use crate::backend::{BackendError, BackfillTimes, Planned};
use crate::health::{Readiness, TemporalState};
use crate::registry::{RecentReload, Reload, ReloadError, ReloadSummary};

/// A process whose answers are set by the test.
struct Fake {
    me: WorkerId,
    ready: bool,
    snapshot: Snapshot,
    status: Mutex<Result<Status, BackendError>>,
    /// Answer to a request for a pass. Its report may be missing in `status`.
    synced: Result<u64, BackendError>,
    requests: Mutex<Vec<SyncRequest>>,
    overrides: Mutex<Vec<OverrideRequest>>,
    runs: Mutex<Vec<(RunKind, RunRequest)>>,
    suspensions: Mutex<Vec<SuspendRequest>>,
    /// Number of runs that a backfill of any schedule would start.
    backfill: u64,
    /// Answer to a request for a run.
    ran: Result<RunAnswer, BackendError>,
    reloads: AtomicU64,
    recent_reloads: Vec<RecentReload>,
    /// The history entries of the project, newest first.
    history: Result<Vec<HistoryEntry>, BackendError>,
    queries: AtomicU64,
    schedules: Mutex<Vec<ScheduleView>>,
    lists: AtomicU64,
    /// Deliveries of events, newest first.
    deliveries: Mutex<Vec<(Delivery, Arc<Value>)>>,
    asked_runs: AtomicU64,
    /// `true` if schedules cannot be listed.
    away: bool,
    timelines: AtomicU64,
    strips: AtomicU64,
    /// The runs that have not ended, of each definition.
    live: Result<LiveRuns, BackendError>,
    /// The runs that events started, of each definition.
    event_runs: Result<Vec<EventRun>, BackendError>,
    /// The metrics page, and how often it was made.
    page: String,
    pages: AtomicU64,
    /// Numbers of readings.
    described: AtomicU64,
    histories: AtomicU64,
    live_reads: AtomicU64,
    plans: AtomicU64,
    /// Time that a request for a pass or for an override takes.
    slow_sync: Duration,
    /// Time that a list, a plan and the reading of a schedule take.
    slow_reads: Duration,
}

/// A state of the workflow that knows the fake process.
fn status(pass: u64, reports: Vec<Report>) -> Status {
    Status {
        pass,
        reports,
        workers: [(WorkerId::new("me"), WorkerState::default())].into(),
        ..Status::default()
    }
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            me: WorkerId::new("me"),
            ready: true,
            snapshot: Snapshot::default(),
            status: Mutex::new(Ok(status(0, Vec::new()))),
            synced: Ok(7),
            requests: Mutex::default(),
            overrides: Mutex::default(),
            runs: Mutex::default(),
            suspensions: Mutex::default(),
            backfill: 0,
            ran: Ok(RunAnswer::default()),
            reloads: AtomicU64::new(0),
            recent_reloads: Vec::new(),
            history: Ok(Vec::new()),
            queries: AtomicU64::new(0),
            schedules: Mutex::new((0..150).map(schedule).collect()),
            lists: AtomicU64::new(0),
            deliveries: Mutex::default(),
            asked_runs: AtomicU64::new(0),
            away: false,
            timelines: AtomicU64::new(0),
            strips: AtomicU64::new(0),
            live: Ok(LiveRuns::default()),
            event_runs: Ok(Vec::new()),
            page: "almanac_schedules{state=\"held\"} 0\n".into(),
            pages: AtomicU64::new(0),
            described: AtomicU64::new(0),
            histories: AtomicU64::new(0),
            live_reads: AtomicU64::new(0),
            plans: AtomicU64::new(0),
            slow_sync: Duration::ZERO,
            slow_reads: Duration::ZERO,
        }
    }
}

impl Fake {
    /// Creates a backend whose pass 7 ends with this report.
    fn reporting(report: Report) -> Self {
        let report = Report { pass: 7, ..report };
        Self {
            status: Mutex::new(Ok(status(7, vec![report]))),
            ..Self::default()
        }
    }
}

impl Backend for Fake {
    fn worker(&self) -> &WorkerId {
        &self.me
    }

    fn project(&self) -> &Project {
        static PROJECT: LazyLock<Project> = LazyLock::new(|| "test".parse().unwrap());
        &PROJECT
    }

    fn namespace(&self) -> Option<String> {
        Some("default".to_owned())
    }

    fn temporal_ui(&self) -> Option<&str> {
        Some("https://temporal.example")
    }

    fn roots(&self) -> Vec<String> {
        vec!["definitions".to_owned()]
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            ready: self.ready,
            reason: (!self.ready).then_some("no full pass yet"),
            temporal: TemporalState::Away,
            started_at: Timestamp::UNIX_EPOCH,
            last_success: None,
            last_error: Some("refused".into()),
            events: None,
        }
    }

    fn metrics(&self) -> String {
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.page.clone()
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(self.snapshot.clone())
    }

    fn recent_reloads(&self) -> Vec<RecentReload> {
        self.recent_reloads.clone()
    }

    async fn reload(&self, _by: &str) -> Result<Reload, ReloadError> {
        self.reloads.fetch_add(1, Ordering::Relaxed);
        Ok(Reload::Changed(ReloadSummary {
            previous: None,
            revision: self.snapshot.revision.clone(),
            counts: DefinitionCounts {
                new: 3,
                ..DefinitionCounts::default()
            },
            event_types: DefinitionCounts::default(),
            changed: None,
        }))
    }

    async fn status(&self) -> Result<Status, BackendError> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        self.status.lock().unwrap().clone()
    }

    async fn sync(&self, request: SyncRequest) -> Result<u64, BackendError> {
        self.requests.lock().unwrap().push(request);
        tokio::time::sleep(self.slow_sync).await;
        self.synced.clone()
    }

    async fn set_override(&self, request: OverrideRequest) -> Result<OverrideAnswer, BackendError> {
        let overridden = request.over(None, Timestamp::UNIX_EPOCH);
        self.overrides.lock().unwrap().push(request);
        tokio::time::sleep(self.slow_sync).await;
        let pass = self.synced.clone()?;
        Ok(OverrideAnswer { pass, overridden })
    }

    async fn run(
        &self,
        kind: RunKind,
        request: RunRequest,
        _limit: Duration,
    ) -> Result<RunAnswer, BackendError> {
        self.runs.lock().unwrap().push((kind, request));
        self.ran.clone()
    }

    async fn suspend(&self, request: SuspendRequest) -> Result<(), BackendError> {
        self.suspensions.lock().unwrap().push(request);
        Ok(())
    }

    async fn resume(&self, request: SuspendRequest) -> Result<(), BackendError> {
        self.suspensions.lock().unwrap().push(request);
        Ok(())
    }

    async fn backfill_times(
        &self,
        _id: &str,
        _from: When,
        _to: When,
    ) -> Result<Option<BackfillTimes>, BackendError> {
        Ok((self.backfill > 0).then(|| BackfillTimes {
            count: self.backfill,
            first: Timestamp::UNIX_EPOCH,
            last: Timestamp::UNIX_EPOCH,
            listed: Vec::new(),
            timezone: "UTC".to_owned(),
        }))
    }

    async fn plan(&self) -> Result<Planned, BackendError> {
        self.plans.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.slow_reads).await;
        Ok(Planned {
            plan: Plan::default(),
            report: Report::default(),
            times: BTreeMap::new(),
            truncated: 0,
        })
    }

    async fn deliver(&self, event: CloudEvent, arrival: Arrival) -> Result<Delivery, BackendError> {
        let reason = |text: &str| text.to_owned();
        let run = |result| TriggeredRun {
            definition: "capture".parse().unwrap(),
            trigger: 0,
            result,
        };
        let workflow_id = "test/capture/1".to_owned();
        let runs = match event.kind() {
            "started" => vec![run(TriggerResult::Started {
                workflow_id,
                run_id: "r".to_owned(),
            })],
            "refused" => vec![run(TriggerResult::Refused {
                reason: reason("no amount"),
            })],
            "conflict" => vec![run(TriggerResult::Conflict {
                workflow_id,
                reason: reason("other data"),
            })],
            "failed" => vec![run(TriggerResult::Failed {
                reason: reason("deadline exceeded"),
                away: true,
            })],
            "away" => return Err(BackendError::Away("refused".to_owned())),
            _ => Vec::new(),
        };
        let delivery = Delivery {
            id: arrival.delivery,
            at: arrival.at,
            via: arrival.via,
            by: arrival.by,
            event: EventKey::of(event.as_json()),
            state: Delivery::state_of(&runs),
            reason: runs.iter().find_map(|run| run.result.reason().map(reason)),
            runs,
            ..Delivery::default()
        };
        let mut deliveries = self.deliveries.lock().unwrap();
        deliveries.insert(0, (delivery.clone(), Arc::new(event.into_json())));
        Ok(delivery)
    }

    fn deliveries(&self) -> Vec<Delivery> {
        let deliveries = self.deliveries.lock().unwrap();
        deliveries.iter().map(|(one, _)| one.clone()).collect()
    }

    fn delivery(&self, id: &str) -> Option<(Delivery, Option<Arc<Value>>)> {
        let deliveries = self.deliveries.lock().unwrap();
        let (delivery, event) = deliveries.iter().find(|(one, _)| one.id == id)?;
        Some((delivery.clone(), Some(Arc::clone(event))))
    }

    async fn forget_dead(&self, id: &str) {
        let mut deliveries = self.deliveries.lock().unwrap();
        deliveries.retain(|(one, _)| one.id != id);
    }

    fn deliveries_recorded(&self) -> u64 {
        self.deliveries.lock().unwrap().len() as u64
    }

    fn routes(&self, event: &Value, made_by: Maker) -> Vec<Route> {
        let index = TriggerIndex::of(&self.snapshot);
        index.routes(self.project(), event, made_by, Timestamp::UNIX_EPOCH)
    }

    async fn event_runs(&self, _id: &str) -> Result<Vec<EventRun>, BackendError> {
        self.event_runs.clone()
    }

    async fn schedules(
        &self,
        _previous: &[Arc<ListedSchedule>],
    ) -> Result<Vec<Arc<ListedSchedule>>, BackendError> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.slow_reads).await;
        if self.away {
            return Err(BackendError::Away("refused <b>".to_owned()));
        }
        let views = self.schedules.lock().unwrap().clone();
        Ok(views
            .into_iter()
            .map(|view| Arc::new(listed(view)))
            .collect())
    }

    async fn ask_running(&self, listed: &mut [Arc<ListedSchedule>]) {
        let asked = listed
            .iter_mut()
            .filter_map(|one| Arc::make_mut(one).view.last_run.as_mut());
        for run in asked.filter(|run| run.status.as_deref() == Some("running")) {
            self.asked_runs.fetch_add(1, Ordering::Relaxed);
            run.status = Some("completed".to_owned());
        }
    }

    async fn history(&self, id: Option<&str>) -> Result<Vec<HistoryEntry>, BackendError> {
        self.histories.fetch_add(1, Ordering::Relaxed);
        let all = self.history.clone()?.into_iter();
        Ok(all
            .filter(|entry| id.is_none_or(|id| entry.id == id))
            .collect())
    }

    async fn live_runs(&self, _id: &str) -> Result<LiveRuns, BackendError> {
        self.live_reads.fetch_add(1, Ordering::Relaxed);
        self.live.clone()
    }

    async fn source_text(&self, _source: &str) -> Option<String> {
        None
    }

    async fn recent_runs(
        &self,
        ids: Vec<ScheduleId>,
    ) -> Result<Vec<Vec<TimelineRun>>, BackendError> {
        self.strips.fetch_add(1, Ordering::Relaxed);
        let run = TimelineRun {
            due: None,
            started: Timestamp::UNIX_EPOCH,
            ended: None,
            status: RunStatus::Failed,
            workflow_id: "test/<b>".into(),
            run_id: "run".into(),
        };
        Ok(vec![vec![run]; ids.len()])
    }

    async fn timeline(
        &self,
        window: Window,
        listed: Vec<Arc<ListedSchedule>>,
    ) -> Result<Timeline, BackendError> {
        self.timelines.fetch_add(1, Ordering::Relaxed);
        Ok(Timeline::of_future(window, window.from(), listed))
    }

    async fn timeline_lane(&self, id: &str, _window: Window) -> Result<Option<Lane>, BackendError> {
        match id {
            "job-1" => Ok(Some(lane(1))),
            "away" => Err(BackendError::Away("refused <b>".into())),
            _ => Ok(None),
        }
    }

    async fn schedule(&self, id: &str) -> Result<Option<ScheduleDetail>, BackendError> {
        self.described.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.slow_reads).await;
        match id {
            "job-1" => {
                let schedules = self.schedules.lock().unwrap();
                let listed = schedules.iter().find(|one| one.definition.as_str() == id);
                let view = listed.cloned().unwrap_or_else(|| schedule(1));
                Ok(Some(detail(view)))
            }
            "away" => Err(BackendError::Away("refused".into())),
            _ => Ok(None),
        }
    }
}

fn schedule(n: usize) -> ScheduleView {
    let definition = format!("job-{n}").parse().unwrap();
    let project: Project = "test".parse().unwrap();
    ScheduleView {
        id: project.schedule_id(&definition),
        definition,
        source: Some("jobs.yaml".into()),
        description: None,
        labels: Labels::default(),
        state: ScheduleState::Paused,
        conditions: [ScheduleState::Paused].into(),
        unknown: BTreeSet::new(),
        paused: true,
        paused_by: Some(PausedBy::Hand),
        reason: Some("stop".into()),
        by: None,
        summary: "03:00 daily".into(),
        cron: vec!["0 3 * * *".into()],
        every: Vec::new(),
        timezone: "UTC".into(),
        workflow_type: "Job".into(),
        note: "stop".into(),
        overridden: None,
        next_run: None,
        next_runs: Vec::new(),
        last_run: None,
        missed: None,
        overdue: Some(false),
        overdue_since: None,
        remaining_actions: None,
        drift: Some(BTreeSet::new()),
    }
}

fn listed(view: ScheduleView) -> ListedSchedule {
    let times = ListedTimes {
        spec: Arc::default(),
        is_whole: true,
        after: None,
        server_times: 0,
        is_managed: true,
        is_marked: true,
        digest: 0,
    };
    ListedSchedule { view, times }
}

fn detail(view: ScheduleView) -> ScheduleDetail {
    ScheduleDetail {
        view,
        revision: None,
        flags: BTreeSet::new(),
        action_count: 0,
        recent_runs: Vec::new(),
        zone_difference: None,
        document: None,
        values: BTreeMap::new(),
        fields: Vec::new(),
    }
}

/// A lane with more gaps than a page lists.
fn lane(n: usize) -> Lane {
    let gap = |minute: i64| Gap {
        due: Timestamp::from_second(minute * 60).unwrap(),
        cause: (minute > 0).then_some(GapCause::Overlap),
    };
    Lane {
        schedule: schedule(n),
        runs: Vec::new(),
        typical: None,
        gaps: (0..25).map(gap).collect(),
        gaps_from: Some(Timestamp::UNIX_EPOCH),
        gaps_unknown: None,
        expected: Vec::new(),
        expected_until: None,
        band: None,
    }
}

/// A server in front of a [`Fake`], until it is dropped.
struct Server {
    address: SocketAddr,
    fake: Arc<Fake>,
    limiter: Arc<connection_limiter::ConnectionLimiter>,
    stop: CancellationToken,
    _guard: DropGuard,
}

async fn serve_fake(fake: Fake, wait: Duration, is_loopback: bool) -> Server {
    serve_with(fake, wait, is_loopback, Authority::None).await
}

async fn serve_with(fake: Fake, wait: Duration, is_loopback: bool, authority: Authority) -> Server {
    let limits = Limits {
        // Clients are slow on a busy machine.
        head: Duration::from_mins(1),
        ..Limits::default()
    };
    serve_within(fake, wait, is_loopback, authority, limits).await
}

async fn serve_within(
    fake: Fake,
    wait: Duration,
    is_loopback: bool,
    authority: Authority,
    limits: Limits,
) -> Server {
    let secrets = WebhookSecrets::default();
    serve_webhooks(fake, wait, is_loopback, authority, limits, secrets).await
}

async fn serve_webhooks(
    fake: Fake,
    wait: Duration,
    is_loopback: bool,
    authority: Authority,
    limits: Limits,
    webhook_secrets: WebhookSecrets,
) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (fake, stop) = (Arc::new(fake), CancellationToken::new());
    let service = Arc::new(Service {
        backend: Arc::clone(&fake),
        status_cache: StatusCache::default(),
        histories: Histories::default(),
        listings: Listings::default(),
        overviews: Overviews::default(),
        strips: Strips::default(),
        live: Live::default(),
        timelines: Timelines::default(),
        definition_readings: Readings::default(),
        shared_plans: Plans::default(),
        metrics: Metrics::default(),
        render_workers: RenderWorkers::default(),
        syncs: ConcurrencyLimit::new("a pass", 1, 1),
        runs: ConcurrencyLimit::new("a run", 1, 1),
        lists: ConcurrencyLimit::new("a list", 32, 32),
        events: ConcurrencyLimit::new("an event", 32, 32),
        webhooks: Webhooks::new(webhook_secrets),
        page_loads: ConcurrencyLimit::new("a page", PAGE_LOADS, PAGE_LOADS),
        plans: ConcurrencyLimit::new("a plan", 1, 1),
        describes: ConcurrencyLimit::new("a schedule", 1, 1),
        bulks: ConcurrencyLimit::new("an action on many schedules", 1, 1),
        sync_wait: wait,
        stop: stop.clone(),
    });
    let pages = pages::routes().merge(form_pages::pages());
    let app = router(Arc::clone(&service), &authority, is_loopback, pages);
    tokio::spawn(authority.keep(stop.clone()));
    let stopped = stop.clone();
    tokio::spawn(async move {
        let keep = service.webhooks.keep(&*service.backend);
        stopped.run_until_cancelled(keep).await;
    });
    let limiter = connection_limiter::ConnectionLimiter::new(limits.room);
    let (shared, stopped) = (Arc::clone(&limiter), stop.clone());
    tokio::spawn(async move { server::serve_in(&shared, listener, app, limits, stopped).await });
    Server {
        address,
        fake,
        limiter,
        _guard: stop.clone().drop_guard(),
        stop,
    }
}

/// Maximum time for anything that should happen soon, on a busy machine.
const SOON: Duration = Duration::from_mins(2);

/// Waits for a condition.
async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(SOON, wait).await;
    assert!(waited.is_ok(), "waited in vain for {what}");
}

async fn server(fake: Fake) -> Server {
    serve_fake(fake, Duration::from_secs(20), true).await
}

/// An answer: its status, its head, its body.
struct Answer {
    status: u16,
    head: String,
    /// The values of `Set-Cookie`.
    cookies: Vec<String>,
    body: String,
}

impl Answer {
    /// The value of a header; empty if there is none.
    fn header(&self, name: &str) -> &str {
        let lines = self.head.lines();
        let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        values.next().unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no json: {}", self.body))
    }

    /// The detail of a problem, which must be a whole one.
    fn problem(&self) -> String {
        assert!(
            self.head.contains("content-type: application/problem+json"),
            "{}",
            self.head
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(problem["type"], "about:blank");
        assert!(problem["title"].is_string());
        problem["detail"].as_str().unwrap().to_owned()
    }
}

impl Server {
    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "host: localhost").await
    }

    async fn post(&self, path: &str) -> Answer {
        self.ask("POST", path, "host: localhost").await
    }

    async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        self.ask_with(method, path, headers, "").await
    }

    async fn ask_with(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\n{headers}\r\nconnection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_lowercase(),
            cookies: head
                .lines()
                .filter_map(|line| line.strip_prefix("set-cookie: "))
                .map(str::to_owned)
                .collect(),
            body: body.to_owned(),
        }
    }
}

#[tokio::test]
async fn healthz_answers_200_while_the_process_works() {
    let answer = server(Fake::default()).await.get("/healthz").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
    assert!(answer.head.contains("cache-control: no-store"));
}

#[tokio::test]
async fn readyz_gives_its_reason() {
    let ready = server(Fake::default()).await.get("/readyz").await;
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["temporal"], "away");
    assert_eq!(ready.json()["last_error"], "refused");

    let fake = Fake {
        ready: false,
        ..Fake::default()
    };
    let waiting = server(fake).await.get("/readyz").await;
    assert_eq!(waiting.status, 503);
    assert_eq!(waiting.json()["reason"], "no full pass yet");
    assert_eq!(waiting.json()["last_success"], Value::Null);
}

#[tokio::test]
async fn the_metrics_page_shows_the_present_revision_alone() {
    let fake = Fake {
        snapshot: Snapshot {
            revision: Revision::of(b"x"),
            ..Snapshot::default()
        },
        ..Fake::default()
    };
    let page = server(fake).await.get("/metrics").await;
    assert_eq!(page.status, 200);
    assert!(
        page.head
            .contains("content-type: text/plain; version=0.0.4")
    );
    let expected = format!(
        "almanac_schedules{{state=\"held\"}} 0\n\
         # HELP almanac_registry_info Revision of the registry, as a label.\n\
         # TYPE almanac_registry_info gauge\n\
         almanac_registry_info{{revision=\"{}\"}} 1\n\n",
        Revision::of(b"x")
    );
    assert_eq!(page.body, expected);
}

#[tokio::test]
async fn off_loopback_only_probes_and_metrics_are_served() {
    let server = serve_fake(Fake::default(), Duration::ZERO, false).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = server.ask("GET", path, "host: almanac.example:8080").await;
        assert_eq!(answer.status, 200, "{path}");
    }
    for path in [
        "/api/v1/definitions",
        "/api/v1/plan",
        "/api/v1/schedules/job-1",
    ] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    assert_eq!(server.post("/admin/sync").await.status, 404);
    assert_eq!(server.fake.reloads.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let server = server(Fake::default()).await;
    let answer = server.get("/nothing").await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (404, "there is no endpoint `/nothing`")
    );
    let answer = server.get("/admin/sync").await;
    assert_eq!(answer.status, 405);
    assert_eq!(
        answer.problem(),
        "`/admin/sync` does not support the method `GET`"
    );
    assert!(answer.head.contains("allow: post"), "{}", answer.head);
    let answer = server.get("/api/v1/definitions/nothing").await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (404, "there is no definition `nothing`")
    );
    let answer = server.get("/api/v1/schedules/nothing").await;
    assert_eq!(answer.status, 404);
    let answer = server.get("/api/v1/schedules/away").await;
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (503, "temporal is not available: refused")
    );
}

#[tokio::test]
async fn a_foreign_page_is_refused_and_does_nothing() {
    let server = server(Fake::default()).await;
    let rebound = server
        .ask("GET", "/api/v1/definitions", "host: evil.example")
        .await;
    assert_eq!(rebound.status, 403);
    assert_eq!(
        rebound.problem(),
        "host `evil.example` is not this machine: use localhost"
    );
    let cross = "host: localhost\r\norigin: https://evil.example";
    assert_eq!(server.ask("POST", "/admin/sync", cross).await.status, 403);
    assert_eq!(server.fake.reloads.load(Ordering::Relaxed), 0);
    // A probe is asked under any name.
    assert_eq!(
        server
            .ask("GET", "/healthz", "host: 10.0.0.7:8080")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn definitions_show_their_place_and_their_errors() {
    let snapshot = Snapshot {
        revision: Revision::of(b"x"),
        failed: vec![
            FailedDocument {
                source: "a.yaml:9".into(),
                id: Some("broken".parse().unwrap()),
                kind: Kind::Workflow,
                errors: vec![Diagnostic {
                    snippet: Some("cron: x".into()),
                    ..Diagnostic::error("defs/a.yaml", 12, 9, "schedule.cron: `x` is no cron")
                }],
            },
            FailedDocument {
                source: "b.yaml".into(),
                id: None,
                kind: Kind::Workflow,
                errors: vec![Diagnostic::error("defs/b.yaml", 1, 1, "the file is empty")],
            },
        ],
        archived: vec![Archived {
            kind: Kind::Workflow,
            id: "gone".parse().unwrap(),
            source: "c.yaml".into(),
            revision: Revision::of(b"y"),
        }],
        ..Snapshot::default()
    };
    let server = server(Fake {
        snapshot,
        ..Fake::default()
    })
    .await;
    let all = server.get("/api/v1/definitions").await.json();
    assert_eq!(all["total"], 3);
    let shown: Vec<_> = all["definitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["id"].clone(),
                one["status"].clone(),
                one["source"].clone(),
            )
        })
        .collect();
    assert_eq!(
        json!(shown),
        json!([
            ["broken", "invalid", "a.yaml:9"],
            ["gone", "archived", "c.yaml"],
            [null, "invalid", "b.yaml"],
        ])
    );
    let one = server.get("/api/v1/definitions/broken").await.json();
    let error = &one["load_error"];
    assert_eq!((&error["line"], &error["column"]), (&json!(12), &json!(9)));
    assert_eq!(error["snippet"], "cron: x");
    assert_eq!(one["revision"], Value::Null);
}

#[tokio::test]
async fn one_schedule_the_plan_and_the_state_are_answered() {
    let server = server(Fake::reporting(Report::default())).await;
    let one = server.get("/api/v1/schedules/job-1").await.json();
    assert_eq!(one["state"], "paused");
    assert_eq!(one["paused_by"], "hand");
    assert_eq!(one["override"], Value::Null);
    let plan = server.get("/api/v1/plan").await.json();
    assert_eq!(plan["plan"]["creates"], json!([]));
    assert_eq!(plan["report"]["pass"], 0);
    let state = server.get("/api/v1/reconcile").await.json();
    assert_eq!(state["reports"][0]["pass"], 7);
}

#[tokio::test]
async fn the_metrics_page_is_rendered_again_for_later_requests() {
    let server = server(Fake::default()).await;
    for pages in 1..4 {
        assert_eq!(server.get("/metrics").await.status, 200);
        assert_eq!(server.fake.pages.load(Ordering::Relaxed), pages);
    }
}
