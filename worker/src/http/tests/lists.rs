//! Lists: pages, filters, and how often the server is asked for one.

use almanac_core::snapshot::Archived;

use super::*;

fn fake(schedules: Vec<ScheduleView>) -> Fake {
    Fake {
        schedules: Mutex::new(schedules),
        ..Fake::default()
    }
}

/// Schedules `job-100` to `job-999`, in order.
fn many(numbers: std::ops::Range<usize>) -> Vec<ScheduleView> {
    numbers.map(|n| schedule(100 + n)).collect()
}

/// The definitions of a page.
fn ids(page: &Value) -> Vec<String> {
    let entries = page["schedules"].as_array().unwrap().iter();
    let id = |entry: &Value| entry["definition"].as_str().unwrap().to_owned();
    entries.map(id).collect()
}

async fn page(server: &Server, query: &str) -> Value {
    let answer = server.get(&format!("/api/v1/schedules?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

#[tokio::test]
async fn pages_follow_one_another_and_the_server_lists_once() {
    let server = server(fake(many(0..250))).await;
    let mut seen = Vec::new();
    let mut query = String::new();
    loop {
        let page = page(&server, &query).await;
        assert_eq!(page["total"], 250);
        assert!(page["listed_at"].is_string());
        seen.extend(ids(&page));
        let Some(token) = page["next_page_token"].as_str() else {
            break;
        };
        assert_eq!(ids(&page).len(), 100);
        query = format!("page_token={token}");
    }
    let all: Vec<_> = many(0..250)
        .iter()
        .map(|one| one.definition.to_string())
        .collect();
    assert_eq!(seen, all);
    assert_eq!(server.fake.lists.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_page_continues_after_the_previous_one_despite_changes() {
    let server = server(fake(many(0..20))).await;
    let first = page(&server, "limit=10").await;
    let token = first["next_page_token"].as_str().unwrap();
    // The last one of the page is gone, and so is the next; others came before.
    let mut now = many(12..20);
    now.insert(0, schedule(10));
    let other = serve_fake(fake(now), Duration::from_secs(20), true).await;
    let next = page(&other, &format!("limit=10&page_token={token}")).await;
    assert_eq!(ids(&next).first().map(String::as_str), Some("job-112"));
    assert_eq!(ids(&next).len(), 8);
    assert_eq!(next["next_page_token"], Value::Null);
}

#[tokio::test]
async fn changes_by_this_worker_are_visible_immediately() {
    let server = server(Fake::reporting(Report::default())).await;
    page(&server, "").await;
    page(&server, "").await;
    assert_eq!(server.fake.lists.load(Ordering::Relaxed), 1);
    server.post("/admin/sync").await;
    page(&server, "").await;
    assert_eq!(server.fake.lists.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn filters_narrow_the_list_and_its_total() {
    let labeled = |n, labels: &[(&str, &str)], state| ScheduleView {
        labels: labels.iter().copied().collect(),
        state,
        ..schedule(n)
    };
    let mut all = vec![
        labeled(
            101,
            &[("team", "billing"), ("tier", "1")],
            ScheduleState::Active,
        ),
        labeled(102, &[("team", "billing")], ScheduleState::Paused),
        labeled(103, &[("team", "shop")], ScheduleState::Active),
    ];
    all[2].description = Some("Nightly Übertrag".into());
    let server = server(fake(all)).await;
    for (query, wanted) in [
        ("label=team=billing", &["job-101", "job-102"][..]),
        ("label=team%3Dbilling&label=tier=1", &["job-101"]),
        ("label=team=", &[]),
        ("state=active", &["job-101", "job-103"]),
        ("state=active&label=team=shop", &["job-103"]),
        ("q=JOB-10", &["job-101", "job-102", "job-103"]),
        ("q=%C3%BCbertrag", &["job-103"]),
        ("q=jobs.yaml", &["job-101", "job-102", "job-103"]),
        ("q=nowhere", &[]),
    ] {
        let page = page(&server, query).await;
        assert_eq!(ids(&page), wanted, "{query}");
        assert_eq!(page["total"], wanted.len(), "{query}");
    }
    let page = page(&server, "state=active&limit=1").await;
    assert_eq!(page["total"], 2);
    assert!(page["next_page_token"].is_string());
}

#[tokio::test]
async fn a_bad_parameter_is_named() {
    let server = server(Fake::default()).await;
    for list in ["schedules", "definitions"] {
        for (query, name) in [
            ("limit=0", "limit: `0` is not a number between 1 and 1000"),
            (
                "limit=1001",
                "limit: `1001` is not a number between 1 and 1000",
            ),
            ("limit=x", "limit: `x` is not a number between 1 and 1000"),
            ("limit=1&limit=2", "limit:"),
            ("page_token=zz", "page_token:"),
            ("page_token=", "page_token:"),
            ("label=team", "label:"),
            ("label=a=1&label==2", "label:"),
            ("state=flying", "state:"),
            ("q=a&q=b", "q:"),
            ("offset=3", "offset"),
        ] {
            let answer = server.get(&format!("/api/v1/{list}?{query}")).await;
            assert_eq!(answer.status, 400, "{query}");
            let problem = answer.problem();
            assert!(problem.starts_with(name), "{query}: {problem}");
        }
    }
    let answer = server.get("/api/v1/schedules/%ff").await;
    assert_eq!(answer.status, 400);
    answer.problem();
}

#[tokio::test]
async fn definitions_are_paged_and_filtered_too() {
    let gone = |id: &str| Archived {
        kind: Kind::Workflow,
        id: id.parse().unwrap(),
        source: format!("{id}.yaml"),
        revision: Revision::of(b"y"),
    };
    let failed = |source: &str| FailedDocument {
        source: source.into(),
        id: None,
        kind: Kind::Workflow,
        errors: Vec::new(),
    };
    let snapshot = Snapshot {
        archived: ["a", "a-b", "c"].map(gone).to_vec(),
        failed: ["x.yaml", "y.yaml"].map(failed).to_vec(),
        ..Snapshot::default()
    };
    let server = server(Fake {
        snapshot,
        ..Fake::default()
    })
    .await;
    let mut query = "limit=1".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = server
            .get(&format!("/api/v1/definitions?{query}"))
            .await
            .json();
        assert_eq!(page["total"], 5);
        seen.push(
            page["definitions"][0]["source"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
        let Some(token) = page["next_page_token"].as_str() else {
            break;
        };
        query = format!("limit=1&page_token={token}");
    }
    assert_eq!(seen, ["a.yaml", "a-b.yaml", "c.yaml", "x.yaml", "y.yaml"]);
    let invalid = server
        .get("/api/v1/definitions?state=invalid&q=Y.YAML")
        .await;
    assert_eq!(invalid.json()["total"], 1);
}

#[tokio::test]
async fn pages_are_bounded_in_bytes_and_lose_nothing() {
    let described = |n: usize, length: usize| ScheduleView {
        description: Some("x".repeat(length)),
        ..schedule(n)
    };
    let mut all: Vec<_> = (100..110).map(|n| described(n, 300 * 1024)).collect();
    all.push(described(110, 2 * 1024 * 1024));
    all.push(described(111, 10));
    let server = server(fake(all)).await;
    let mut query = "limit=1000".to_owned();
    let mut pages = Vec::new();
    loop {
        let answer = server.get(&format!("/api/v1/schedules?{query}")).await;
        let page = answer.json();
        assert_eq!(page["total"], 12);
        let ids = ids(&page);
        assert!(answer.body.len() < 1100 * 1024 || ids.len() == 1, "{ids:?}");
        pages.push(ids.len());
        let Some(token) = page["next_page_token"].as_str() else {
            break;
        };
        query = format!("limit=1000&page_token={token}");
    }
    assert_eq!(pages, [3, 3, 3, 1, 1, 1]);
}

#[tokio::test]
async fn a_document_with_endless_findings_is_shown_in_bounds() {
    let finding = |n: usize| Diagnostic {
        snippet: Some("\u{e4}".repeat(5_000)),
        hint: Some("short".into()),
        ..Diagnostic::error("defs/a.yaml", n, 1, "y".repeat(100_000))
    };
    let failed = FailedDocument {
        source: "a.yaml".into(),
        id: Some("broken".parse().unwrap()),
        kind: Kind::Workflow,
        errors: (0..2_000).map(finding).collect(),
    };
    let server = server(Fake {
        snapshot: Snapshot {
            failed: vec![failed],
            ..Snapshot::default()
        },
        ..Fake::default()
    })
    .await;
    for path in [
        "/api/v1/definitions?limit=1000",
        "/api/v1/definitions/broken",
    ] {
        let answer = server.get(path).await;
        assert!(answer.body.len() < 80 * 1024, "{}", answer.body.len());
        let json = answer.json();
        let one = json.get("definitions").map_or(&json, |all| &all[0]);
        let shown = one["load_errors"].as_array().unwrap().len();
        assert!((1..=100).contains(&shown), "{shown}");
        assert_eq!(one["load_errors_truncated"], 2_000 - shown);
        assert_eq!(one["load_error"]["hint"], "short");
        let message = one["load_error"]["message"].as_str().unwrap();
        assert!(message.len() < 5_000 && message.ends_with('\u{2026}'));
    }
}

#[tokio::test]
async fn the_cost_of_a_filter_is_bounded() {
    let server = server(Fake::default()).await;
    for list in ["schedules", "definitions"] {
        let labels = "&label=a=b".repeat(21);
        let answer = server.get(&format!("/api/v1/{list}?limit=1{labels}")).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.problem(), "label: more than 20 labels");
        let text = "x".repeat(201);
        let answer = server.get(&format!("/api/v1/{list}?q={text}")).await;
        assert_eq!(answer.problem(), "q: longer than 200 bytes");
    }
}

#[test]
fn a_truncated_plan_says_that_it_is_truncated() {
    let project: Project = "test".parse().unwrap();
    let conflicts = (0..1_000).map(|n| project.schedule_id(&format!("job-{n}").parse().unwrap()));
    let planned = Planned {
        plan: Plan {
            conflicts: conflicts.collect(),
            ..Plan::default()
        },
        report: Report::default(),
        times: BTreeMap::new(),
        truncated: 0,
    };
    let whole = planned.clone().within(1024 * 1024);
    assert_eq!(whole, planned);
    let cut = planned.within(1_000);
    assert!(serde_json::to_string(&cut.plan.conflicts).unwrap().len() < 1_200);
    assert!(!cut.plan.conflicts.is_empty());
    assert_eq!(cut.truncated, 1_000 - cut.plan.conflicts.len() as u64);
}
