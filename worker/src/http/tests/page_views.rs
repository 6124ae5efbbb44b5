//! The pages: each is HTML that shows hostile texts as text, and actions send requests.

use almanac_activities::schedules::{LiveRun, LiveVersion, LiveVersions};
use almanac_core::definition::{ParseContext, parse_file};
use almanac_core::snapshot::{LoadStatus, Loaded};

use super::visitor::Visitor;
use super::*;

/// Texts that a page must show and not interpret.
const HOSTILE: &str = "<script>alert(1)</script>\" onload=x & \u{202e}\u{1b}[31m";

fn visitor(server: &Server) -> Visitor<'_> {
    Visitor {
        host: "localhost",
        ..Visitor::new(server)
    }
}

fn loaded(id: &str, status: LoadStatus) -> (almanac_base::names::DefinitionId, Loaded) {
    let yaml = format!(
        "id: {id}\ndescription: 'imports <b>prices</b>'\nlabels: {{ team: '<i>billing' }}\n\
         schedule: {{ cron: '0 3 * * *' }}\nworkflow: {{ type: T, task_queue: q }}\n"
    );
    let now = Timestamp::UNIX_EPOCH;
    let documents = parse_file("a.yaml", yaml.as_bytes(), &ParseContext { now });
    let definition = Arc::clone(documents[0].definition().unwrap());
    let loaded = Loaded {
        definition,
        source: "<u>a.yaml".to_owned(),
        status,
    };
    (id.parse().unwrap(), loaded)
}

/// A project with a row of each kind, and hostile texts wherever a person can write some.
pub(super) fn project() -> Fake {
    let error = Diagnostic {
        hint: Some(HOSTILE.to_owned()),
        snippet: Some(format!("cron: {HOSTILE}")),
        ..Diagnostic::error("bad.yaml", 3, 7, HOSTILE)
    };
    let failed = |source: &str, id: Option<&str>| FailedDocument {
        source: source.to_owned(),
        id: id.map(|id| id.parse().unwrap()),
        kind: Kind::Workflow,
        errors: vec![error.clone()],
    };
    let paused = ScheduleView {
        reason: Some(HOSTILE.to_owned()),
        note: HOSTILE.to_owned(),
        ..schedule(1)
    };
    let healthy = ScheduleView {
        last_run: Some(Box::new(almanac_activities::schedules::view::LastRun {
            at: Timestamp::UNIX_EPOCH,
            workflow_id: "test/job-2".to_owned(),
            run_id: "run".to_owned(),
            status: Some("timed_out".to_owned()),
        })),
        conditions: BTreeSet::new(),
        paused: false,
        paused_by: None,
        reason: None,
        next_run: Timestamp::now()
            .checked_add(jiff::SignedDuration::from_hours(1))
            .ok(),
        ..schedule(2)
    };
    let report = Report {
        pass: 7,
        unreadable: Some(Vec::new()),
        errors: vec![ReportError {
            source: "temporal".to_owned(),
            id: Some("job-4".to_owned()),
            message: HOSTILE.to_owned(),
        }],
        ..Report::default()
    };
    let held = Held {
        digest: "ab".repeat(32),
        reason: HOSTILE.to_owned(),
        ids: vec!["schedule-test-gone".to_owned()],
        count: 1,
    };
    let status = Status {
        held: Some(held),
        ..status(7, vec![report])
    };
    Fake {
        snapshot: Snapshot {
            definitions: [
                loaded("job-1", LoadStatus::Loaded),
                loaded("job-2", LoadStatus::Stale),
                loaded("job-4", LoadStatus::Loaded),
            ]
            .into(),
            failed: vec![
                failed("bad.yaml", Some("job-2")),
                failed("worse.yaml", None),
            ],
            ..Snapshot::default()
        },
        schedules: Mutex::new(vec![paused, healthy]),
        status: Mutex::new(Ok(status)),
        ..Fake::default()
    }
}

const PAGES: [&str; 14] = [
    "/",
    "/?q=job&state=attention&label=team%3D%3Ci%3Ebilling&sort=name",
    "/definitions/job-1",
    "/definitions/job-2",
    "/definitions/job-1/pause",
    "/definitions/job-1/override",
    "/definitions/job-1/backfill",
    "/errors",
    "/timeline",
    "/timeline?span=week&group=team&trouble=true&at=2026-01-01T00:00:00Z",
    "/plan",
    "/activity",
    "/confirm",
    "/suspend",
];

#[tokio::test]
async fn each_page_shows_hostile_texts_as_text() {
    let server = server(project()).await;
    let mut visitor = visitor(&server);
    for path in PAGES {
        let page = visitor.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        let policy = page.header("content-security-policy");
        assert!(policy.contains("script-src 'self'"), "{path}: {policy}");
        let body = &page.body;
        assert!(body.contains("<h1"), "{path}");
        for markup in [
            "<script>",
            "<b>prices",
            "<i>billing",
            "<u>a.yaml",
            "\" onload",
            "<style",
            " style=",
        ] {
            assert!(!body.contains(markup), "{path} contains {markup}");
        }
        assert_eq!(body.matches("<script").count(), 1, "{path}");
        assert!(!body.contains('\u{1b}'), "{path}");
        assert!(!body.contains("javascript:"), "{path}");
    }
}

/// A definition with steps whose names are hostile.
fn with_steps() -> (almanac_base::names::DefinitionId, Loaded) {
    let name = json!(HOSTILE);
    let yaml = format!(
        "id: steps\ndo:\n  - first: {{ set: {{ x: 1 }} }}\n  - {name}: {{ wait: {{ hours: 1 }}, then: first }}\n"
    );
    let (id, mut one) = loaded("steps", LoadStatus::Loaded);
    let now = Timestamp::UNIX_EPOCH;
    let documents = parse_file("a.yaml", yaml.as_bytes(), &ParseContext { now });
    one.definition = Arc::clone(documents[0].definition().unwrap());
    (id, one)
}

#[tokio::test]
async fn the_steps_are_drawn_with_the_runs_at_them() {
    let (id, loaded) = with_steps();
    let revision = loaded.definition.revision.clone();
    let other = Revision::of(b"other");
    let run = |number: usize, revision: &Revision, place: &str| LiveRun {
        workflow_id: format!("run-{number}\"<b>"),
        run_id: "r".to_owned(),
        revision: Some(revision.clone()),
        began: Timestamp::now()
            .checked_sub(jiff::SignedDuration::from_mins(3))
            .ok(),
        details: Some(format!("`steps` revision `{revision}`: at `{place}`")),
    };
    let version = |revision: &Revision, runs: u64| LiveVersion {
        revision: Some(revision.clone()),
        source: None,
        runs,
        oldest: None,
    };
    let shown = |live: Result<LiveRuns, BackendError>| {
        let definitions = [(id.clone(), loaded.clone())].into();
        let snapshot = Snapshot {
            definitions,
            ..Snapshot::default()
        };
        Fake {
            snapshot,
            live,
            schedules: Mutex::default(),
            ..Fake::default()
        }
    };
    let live = LiveRuns {
        versions: LiveVersions {
            versions: vec![version(&other, 2), version(&revision, 5)],
            truncated: false,
        },
        newest: vec![
            run(1, &revision, "do/0/first"),
            run(2, &revision, "do/0/first"),
            run(3, &revision, "do/9/<i>unknown"),
            run(4, &other, "do/0/first"),
            LiveRun {
                details: None,
                ..run(5, &revision, "")
            },
        ],
    };
    let server = server(shown(Ok(live))).await;
    let page = visitor(&server).get("/definitions/steps").await;
    assert_eq!(page.status, 200, "{}", page.body);
    let body = &page.body;
    assert_eq!(body.matches("class=\"step-box on\"").count(), 1, "{body}");
    assert!(body.contains("▶ 2 runs here, up to 3m old"), "{body}");
    assert!(
        body.contains("3 runs are at steps that are not known."),
        "{body}"
    );
    assert!(body.contains("2 runs use other versions"), "{body}");
    assert!(body.contains("7 live runs"), "{body}");
    let link = "https://temporal.example/namespaces/default/workflows/run-1%22%3Cb%3E/r";
    assert!(body.contains(link), "{body}");
    for markup in ["<script>", "\" onload", "<b>", "<i>", " style="] {
        assert!(!body.contains(markup), "{markup}: {body}");
    }
    assert!(!body.contains(['\u{1b}', '\u{202e}']), "{body}");

    // Without the runs, the steps are shown.
    let server = super::server(shown(Err(BackendError::Away("refused".to_owned())))).await;
    let page = visitor(&server).get("/definitions/steps").await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(
        page.body.matches("class=\"step-box").count(),
        3,
        "{}",
        page.body
    );
    assert!(!page.body.contains("step-box on"), "{}", page.body);
}

#[tokio::test]
async fn the_worst_rows_are_first_and_errors_are_complete() {
    let server = server(project()).await;
    let mut visitor = visitor(&server);
    let page = visitor.get("/").await.body;
    let places: Vec<_> = ["worse.yaml", "r-job-2", "r-job-4", "r-job-1"]
        .iter()
        .map(|text| page.find(text).unwrap_or_else(|| panic!("{text}: {page}")))
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    // The badge holds the message, its line and the caret.
    assert!(page.contains("role=\"tooltip\""), "{page}");
    assert!(
        page.contains("bad.yaml:3:7: &lt;script&gt;alert(1)"),
        "{page}"
    );
    assert!(page.contains("3 | cron: &lt;script"), "{page}");
    assert!(page.contains("<title>1 broken, 1 stale · test · Almanac</title>"));
    let errors = visitor.get("/errors").await.body;
    assert!(
        errors.contains("bad.yaml:3:7: &lt;script&gt;alert(1)"),
        "{errors}"
    );
    assert!(errors.contains("2 documents fail."), "{errors}");
}

#[tokio::test]
async fn what_did_not_start_is_listed_with_its_reason() {
    let server = server(project()).await;
    let page = visitor(&server).get("/definitions/job-1").await;
    let (_, missed) = page.body.split_once("id=\"gaps\"").unwrap();
    let (missed, _) = missed.split_once("</section>").unwrap();
    // The latest of 25 first; the reason of the earliest is not known, and it is not listed.
    assert_eq!(missed.matches("an earlier run had not ended").count(), 20);
    assert!(missed.contains("and 5 earlier"), "{missed}");
    assert!(
        missed.contains("/timeline?span=week&amp;q=job-1"),
        "{missed}"
    );
}

#[tokio::test]
async fn the_timeline_shows_only_the_schedules_that_its_filters_select() {
    let server = server(project()).await;
    let mut visitor = visitor(&server);
    let lanes = |body: &str| body.matches("class=\"lane\"").count();
    let all = visitor.get("/timeline").await;
    assert!(lanes(&all.body) > 1, "{}", all.body);
    let one = visitor.get("/timeline?q=JOB-1").await;
    assert_eq!(lanes(&one.body), 1, "{}", one.body);
    assert!(one.body.contains("value=\"JOB-1\""), "{}", one.body);
    let none = visitor.get("/timeline?label=a%3D%3Cb%3E").await;
    assert_eq!(lanes(&none.body), 0, "{}", none.body);
    assert!(none.body.contains("No schedule matches."), "{}", none.body);
    for path in [
        "/timeline?label=none",
        &format!("/timeline?q={}", "x".repeat(2000)),
    ] {
        let page = visitor.get(path).await;
        assert_eq!(page.status, 400, "{path}: {}", page.body);
    }
}

#[tokio::test]
async fn filters_select_rows_and_bad_ones_are_explained() {
    let server = server(project()).await;
    let mut visitor = visitor(&server);
    for (query, shown) in [
        ("q=JOB-4", 1),
        ("q=prices", 3),
        ("state=stale", 1),
        ("state=any-paused", 1),
        ("state=attention", 3),
        ("state=failed-run", 1),
        ("state=running", 0),
        ("label=team%3D%3Ci%3Ebilling", 3),
        ("label=team%3Dother", 0),
        ("queue=q", 3),
        ("queue=other", 0),
        ("sort=next&page=1", 4),
        ("page=99", 4),
    ] {
        let page = visitor.get(&format!("/?{query}")).await;
        assert_eq!(page.status, 200, "{query}");
        let count = format!("<span id=\"shown\">{shown} shown</span>");
        assert!(page.body.contains(&count), "{query}: {}", page.body);
    }
    for query in [
        "state=fine",
        "sort=up",
        "label=team",
        "page=-1",
        "colour=red",
    ] {
        let page = visitor.get(&format!("/?{query}")).await;
        assert_eq!(page.status, 400, "{query}");
        assert!(page.body.contains("<h1>Bad Request</h1>"), "{}", page.body);
        let name = query.split('=').next().unwrap();
        assert!(page.body.contains(name), "{query}: {}", page.body);
    }
    let long = format!("/?q={}", "x".repeat(201));
    assert_eq!(visitor.get(&long).await.status, 400);
    let missing = visitor.get("/definitions/nobody").await;
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("nobody"), "{}", missing.body);
}

#[tokio::test]
async fn a_form_that_is_sent_twice_has_one_request_id() {
    let server = server(project()).await;
    let mut visitor = visitor(&server);
    let page = "/definitions/job-1/pause";
    let shown = visitor.get(page).await.body;
    let hidden = super::visitor::hidden(&shown);
    let fields = [
        ("form_token", hidden[0].1.as_str()),
        ("request_id", hidden[1].1.as_str()),
        ("reason", "lunch"),
        ("for", "2h"),
    ];
    for _ in 0..2 {
        visitor.send(page, &fields).await;
    }
    let sent = server.fake.overrides.lock().unwrap();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].request_id, sent[1].request_id);
    assert_eq!(sent[0].enabled, Some(false));
    assert_eq!(sent[0].reason, "lunch");
    assert_eq!(sent[0].by, "http");
    assert!(sent[0].until.is_some());
}

#[tokio::test]
async fn a_mistake_in_a_form_keeps_what_was_typed() {
    let server = server(project()).await;
    let mut visitor = visitor(&server);
    for (action, fields, error) in [
        (
            "pause",
            vec![("reason", "a <b>"), ("for", "2 days")],
            "must be a duration",
        ),
        ("pause", vec![("reason", "")], "reason is missing"),
        (
            "override",
            vec![("reason", "a <b>"), ("cron", "61 * * * *")],
            "minute `61`",
        ),
        (
            "override",
            vec![("reason", "a <b>"), ("enabled", "maybe")],
            "enabled",
        ),
        (
            "backfill",
            vec![("from", "yesterday"), ("to", "2026-01-01")],
            "from",
        ),
        ("trigger", vec![("overlap", "sometimes")], "overlap"),
    ] {
        let path = format!("/definitions/job-1/{action}");
        let answer = visitor.submit(&path, &path, &fields).await;
        assert_eq!(answer.status, 400, "{action} {fields:?}: {}", answer.body);
        assert!(answer.body.contains(error), "{action}: {}", answer.body);
        assert!(answer.body.contains("id=\"error\""), "{}", answer.body);
        // A choice that does not exist is not shown again.
        let typed = fields
            .iter()
            .filter(|(name, _)| !matches!(*name, "enabled" | "overlap"));
        for (name, value) in typed {
            let shown = value.replace('<', "&lt;").replace('>', "&gt;");
            assert!(answer.body.contains(&shown), "{name}: {}", answer.body);
        }
    }
    let path = "/definitions/job-1/pause";
    let unknown = visitor.submit(path, path, &[("reasons", "x")]).await;
    assert_eq!(unknown.status, 422, "{}", unknown.body);
    assert!(server.fake.overrides.lock().unwrap().is_empty());
    assert!(server.fake.runs.lock().unwrap().is_empty());
}

#[tokio::test]
async fn actions_on_many_list_their_effects_and_name_each_request() {
    let server = server(project()).await;
    let mut visitor = visitor(&server);
    let picked = [
        ("action", "pause"),
        ("id", "job-1"),
        ("id", "job-2"),
        ("id", "job-4"),
    ];
    let preview = visitor.submit("/", "/bulk", &picked).await;
    assert_eq!(preview.status, 200, "{}", preview.body);
    assert!(
        preview.body.contains("Pause 2 schedules"),
        "{}",
        preview.body
    );
    assert!(
        preview.body.contains("left alone: has no schedule"),
        "{}",
        preview.body
    );
    assert!(server.fake.overrides.lock().unwrap().is_empty());
    let hidden = super::visitor::hidden(&preview.body);
    let fields = [
        ("form_token", hidden[0].1.as_str()),
        ("request_id", hidden[1].1.as_str()),
        ("id", "job-1"),
        ("id", "job-2"),
        ("reason", "deploy"),
    ];
    let done = visitor.send("/bulk/pause", &fields).await;
    assert!(done.body.contains("2 done."), "{}", done.body);
    let sent: BTreeSet<_> = {
        let sent = server.fake.overrides.lock().unwrap();
        assert_eq!(sent.len(), 2);
        sent.iter()
            .map(|request| request.request_id.clone())
            .collect()
    };
    assert_eq!(sent.len(), 2, "each schedule has a request of its own");
    // All that match the filters of the page.
    let all = [
        ("action", "pause"),
        ("all", "true"),
        ("selection", "q=job-1"),
    ];
    let preview = visitor.submit("/?q=job-1", "/bulk", &all).await;
    assert!(
        preview.body.contains("Pause 1 schedule"),
        "{}",
        preview.body
    );
    for bad in [
        vec![("action", "pause")],
        vec![("action", "erase"), ("id", "job-1")],
        vec![("action", "pause"), ("all", "true"), ("selection", "q=%zz")],
        vec![("action", "pause"), ("all", "true"), ("selection", "x=y")],
    ] {
        let answer = visitor.submit("/", "/bulk", &bad).await;
        assert!(
            matches!(answer.status, 400 | 404),
            "{bad:?}: {}",
            answer.body
        );
    }
}

#[tokio::test]
async fn removals_are_confirmed_with_their_typed_number() {
    let server = server(project()).await;
    let mut visitor = visitor(&server);
    let digest = "ab".repeat(32);
    let wrong = [
        ("digest", digest.as_str()),
        ("expected", "1"),
        ("count", "2"),
    ];
    let refused = visitor.submit("/confirm", "/confirm", &wrong).await;
    assert_eq!(refused.status, 400);
    assert!(server.fake.requests.lock().unwrap().is_empty());
    let right = [
        ("digest", digest.as_str()),
        ("expected", "1"),
        ("count", " 1 "),
    ];
    visitor.submit("/confirm", "/confirm", &right).await;
    let sent = server.fake.requests.lock().unwrap();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].confirm.as_deref(), Some(digest.as_str()));
}

#[tokio::test]
async fn suspending_needs_a_reason() {
    let server = server(project()).await;
    let mut visitor = visitor(&server);
    let empty = visitor
        .submit("/suspend", "/suspend", &[("reason", " ")])
        .await;
    assert_eq!(empty.status, 400);
    let done = visitor
        .submit("/suspend", "/suspend", &[("reason", "deploy")])
        .await;
    assert_eq!(done.status, 200, "{}", done.body);
    visitor.submit("/resume", "/resume", &[]).await;
    let sent = server.fake.suspensions.lock().unwrap();
    let reasons: Vec<_> = sent.iter().map(|one| one.reason.as_str()).collect();
    assert_eq!(reasons, ["deploy", ""]);
}

#[tokio::test]
async fn without_temporal_the_definitions_are_shown() {
    let server = server(Fake {
        status: Mutex::new(Err(BackendError::Away("refused <b>".to_owned()))),
        away: true,
        ..project()
    })
    .await;
    let page = visitor(&server).get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("refused &lt;b&gt;"), "{}", page.body);
    assert!(page.body.contains("r-job-1"), "{}", page.body);
    assert!(page.body.contains("Not known"), "{}", page.body);
}

#[tokio::test]
async fn a_project_without_definitions_is_shown_how_to_begin() {
    let fake = Fake {
        schedules: Mutex::default(),
        ..Fake::default()
    };
    let server = server(fake).await;
    let page = visitor(&server).get("/").await;
    assert!(
        page.body.contains("Write the first definition"),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn open_pages_are_told_of_changes_and_cost_one_list() {
    let server = server(project()).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let request = "GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    let wait = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
    wait(1).await;
    let before = server.fake.lists.load(Ordering::Relaxed);
    server.fake.schedules.lock().unwrap()[0].paused = false;
    wait(5).await;
    let lists = server.fake.lists.load(Ordering::Relaxed) - before;
    assert!((1..=4).contains(&lists), "{lists} lists");
    for stream in &mut streams {
        let mut bytes = vec![0; 4096];
        let mut text = String::new();
        while !text.contains("event: change") {
            let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut bytes));
            let read = read.await.unwrap().unwrap();
            assert_ne!(read, 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        assert!(text.contains("job-1"), "{text}");
        assert!(text.contains("text/event-stream"), "{text}");
    }
    // Nobody looks any more: nothing is listed.
    drop(streams);
    wait(3).await;
    let before = server.fake.lists.load(Ordering::Relaxed);
    wait(3).await;
    assert_eq!(server.fake.lists.load(Ordering::Relaxed), before);
}

/// A schedule whose last run seems to go on.
fn running() -> Fake {
    let run = almanac_activities::schedules::view::LastRun {
        at: Timestamp::UNIX_EPOCH,
        workflow_id: "test/job-1".to_owned(),
        run_id: "run".to_owned(),
        status: Some("running".to_owned()),
    };
    Fake {
        schedules: Mutex::new(vec![ScheduleView {
            last_run: Some(Box::new(run)),
            ..schedule(1)
        }]),
        ..Fake::default()
    }
}

#[tokio::test]
async fn recent_runs_are_read_once_for_all_pages() {
    let server = server(running()).await;
    for _ in 0..2 {
        let page = visitor(&server).get("/").await;
        assert!(page.body.contains("last 1 runs, 1 failed"), "{}", page.body);
        assert!(
            page.body.contains("/workflows/test%2F%3Cb%3E/run"),
            "{}",
            page.body
        );
    }
    assert_eq!(server.fake.strips.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn runs_that_ended_are_asked_for_once() {
    let server = server(running()).await;
    for _ in 0..2 {
        let answer = server
            .ask("GET", "/api/v1/schedules", "host: localhost")
            .await;
        assert!(
            answer.body.contains("\"status\":\"completed\""),
            "{}",
            answer.body
        );
        tokio::time::sleep(Duration::from_millis(2100)).await;
    }
    assert_eq!(server.fake.lists.load(Ordering::Relaxed), 2);
    assert_eq!(server.fake.asked_runs.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn odd_numbers_and_zones_in_addresses_are_answered() {
    let server = server(project()).await;
    let mut visitor = visitor(&server);
    for path in [
        "/?page=18446744073709551615",
        "/?page=0",
        "/errors?page=18446744073709551615",
        "/timeline?page=18446744073709551615",
    ] {
        let page = visitor.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
    }
    let beyond = visitor.get("/?page=99").await;
    assert!(
        beyond.body.contains("There is no such page."),
        "{}",
        beyond.body
    );
    for path in [
        "/timeline?zone=Mars/Olympus",
        "/timeline?zone=",
        "/timeline?span=year",
        "/timeline?at=1969-12-31T12:00:00Z",
        "/timeline?at=-000100-01-01T00:00:00Z",
    ] {
        let page = visitor.get(path).await;
        assert_eq!(page.status, 400, "{path}: {}", page.body);
    }
}

#[tokio::test]
async fn one_form_names_requests_about_other_schedules_differently() {
    let server = server(project()).await;
    let mut visitor = visitor(&server);
    let shown = visitor.get("/definitions/job-1/pause").await.body;
    let hidden = super::visitor::hidden(&shown);
    let fields = [
        ("form_token", hidden[0].1.as_str()),
        ("request_id", hidden[1].1.as_str()),
        ("reason", "lunch"),
    ];
    for path in [
        "/definitions/job-1/pause",
        "/definitions/job-4/pause",
        "/definitions/job-1/unpause",
    ] {
        visitor.send(path, &fields).await;
    }
    let sent = server.fake.overrides.lock().unwrap();
    let ids: BTreeSet<_> = sent.iter().map(|request| &request.request_id).collect();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_backfill_of_more_runs_than_its_limit_is_refused_before_it_is_offered() {
    let server = server(Fake {
        backfill: 101,
        ..project()
    })
    .await;
    let mut visitor = visitor(&server);
    let range = [("from", "2026-01-01"), ("to", "2026-01-02")];
    let path = "/definitions/job-1/backfill";
    let refused = visitor.submit(path, path, &range).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert!(
        refused
            .body
            .contains("101 runs would start, and the limit is 100"),
        "{}",
        refused.body
    );
    let more = [&range[..], &[("limit", "200")]].concat();
    let offered = visitor.submit(path, path, &more).await;
    assert!(offered.body.contains("Start 101 runs"), "{}", offered.body);
    assert!(server.fake.runs.lock().unwrap().is_empty());
    // On many, the sum counts, and nothing starts before it has been shown.
    let picked = [("action", "backfill"), ("id", "job-1"), ("id", "job-2")];
    visitor.submit("/", "/bulk", &picked).await;
    let all = [&more[..], &[("id", "job-1"), ("id", "job-2")]].concat();
    let refused = visitor.submit("/?q=job", "/bulk/backfill", &all).await;
    assert!(
        refused.body.contains("202 runs would start"),
        "{}",
        refused.body
    );
    let limit = [
        &range[..],
        &[("limit", "300"), ("id", "job-1"), ("id", "job-2")],
    ]
    .concat();
    let offered = visitor.submit("/?q=job", "/bulk/backfill", &limit).await;
    assert!(offered.body.contains("Start 202 runs"), "{}", offered.body);
    assert!(server.fake.runs.lock().unwrap().is_empty());
}
