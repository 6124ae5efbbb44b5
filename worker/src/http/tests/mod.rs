//! Tests of every endpoint over TCP, with a fake backend.

mod activity;
mod clients;
mod connection_limits;
mod event_pages;
mod events;
mod fake_backend;
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
use fake_backend::{Fake, schedule, status};

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
