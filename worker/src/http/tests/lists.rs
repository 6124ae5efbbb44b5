//! Lists: pages, filters, and how often the server is asked for one.

use almanac_workflows::snapshot::Archived;

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
async fn a_page_goes_on_where_the_last_ended_whatever_came_and_went() {
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
async fn what_was_changed_here_shows_at_once() {
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
    let labelled = |n, labels: &[(&str, &str)], state| ScheduleView {
        labels: labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        state,
        ..schedule(n)
    };
    let mut all = vec![
        labelled(
            101,
            &[("team", "billing"), ("tier", "1")],
            ViewState::Active,
        ),
        labelled(102, &[("team", "billing")], ViewState::Paused),
        labelled(103, &[("team", "shop")], ViewState::Active),
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
