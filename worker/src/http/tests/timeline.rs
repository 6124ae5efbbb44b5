//! The timeline: windows, pages, filters, and how often it is read.

use super::*;

const DAY: &str = "from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z";

async fn page(server: &Server, query: &str) -> Value {
    let answer = server.get(&format!("/api/v1/timeline?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

fn ids(page: &Value) -> Vec<&str> {
    let lanes = page["lanes"].as_array().unwrap();
    let mut ids = Vec::new();
    for lane in lanes {
        ids.extend(lane["schedule"]["definition"].as_str());
    }
    ids
}

#[tokio::test]
async fn clients_of_one_window_share_one_reading() {
    let server = server(Fake {
        schedules: Mutex::new((100..250).map(schedule).collect()),
        ..Fake::default()
    })
    .await;
    let mut lanes = Vec::new();
    let mut query = DAY.to_owned();
    loop {
        let page = page(&server, &query).await;
        assert_eq!(
            (&page["total"], &page["schedules"]),
            (&json!(150), &json!(150))
        );
        lanes.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(token) = page["next_page_token"].as_str() else {
            break;
        };
        query = format!("{DAY}&page_token={token}");
    }
    assert_eq!(lanes.len(), 150);
    page(&server, &format!("{DAY}&limit=1&q=JOB-177")).await;
    let reads = || server.fake.timelines.load(Ordering::Relaxed);
    assert_eq!(reads(), 1);
    // The ends of a window move outward to whole minutes.
    page(&server, "from=2026-03-01T00:00:59Z&to=2026-03-01T23:59:01Z").await;
    assert_eq!(reads(), 1);
    page(&server, "from=2026-03-01T00:00:00Z&to=2026-03-03T00:00:00Z").await;
    assert_eq!(reads(), 2);
}

#[tokio::test]
async fn changes_by_this_worker_are_visible_immediately() {
    let server = server(Fake::reporting(Report::default())).await;
    page(&server, DAY).await;
    server.post("/admin/sync").await;
    page(&server, DAY).await;
    assert_eq!(server.fake.timelines.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn few_windows_are_kept() {
    let server = server(Fake::default()).await;
    let day = |day: u8| format!("limit=1&from=2026-03-0{day}T00:00:00Z");
    for number in 1..=5 {
        page(&server, &day(number)).await;
    }
    page(&server, &day(5)).await;
    page(&server, &day(2)).await;
    assert_eq!(server.fake.timelines.load(Ordering::Relaxed), 5);
    // The first window made room for the fifth.
    page(&server, &day(1)).await;
    assert_eq!(server.fake.timelines.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn lanes_are_filtered_and_the_overview_is_that_of_all() {
    let server = server(Fake::default()).await;
    let some = page(&server, &format!("{DAY}&q=job-14&limit=3")).await;
    assert_eq!(ids(&some), ["job-14", "job-140", "job-141"]);
    assert_eq!(
        (&some["total"], &some["schedules"]),
        (&json!(11), &json!(150))
    );
    assert_eq!(
        (&some["slot_seconds"], &some["to"]),
        (&json!(300), &json!("2026-03-02T00:00:00Z"))
    );
    assert_eq!(some["density"]["starts"].as_array().unwrap().len(), 288);
    let none = page(&server, &format!("{DAY}&state=held")).await;
    assert_eq!((&none["total"], &none["lanes"]), (&json!(0), &json!([])));
    let none = page(&server, &format!("{DAY}&label=team=a")).await;
    assert_eq!(none["total"], json!(0));
}

#[tokio::test]
async fn a_bad_window_is_refused_by_name() {
    let server = server(Fake::default()).await;
    for (query, why) in [
        ("from=noon", "from: `noon`: "),
        ("to=2026-03-01", "to: `2026-03-01`: "),
        (
            "from=2026-03-01T00:00:00Z&to=2026-03-10T00:00:00Z",
            "from, to: ",
        ),
        (
            "from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z",
            "from, to: ",
        ),
        ("to=-000100-01-01T00:00:00Z", "from, to: "),
        ("form=2026-03-02T00:00:00Z", "form: unknown field"),
        ("limit=0", "limit: "),
    ] {
        let answer = server.get(&format!("/api/v1/timeline?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(why), "{detail}");
    }
    assert_eq!(server.fake.timelines.load(Ordering::Relaxed), 0);
}

/// A page has at most 1 MiB of lanes, however much each schedule says.
#[tokio::test]
async fn a_page_of_lanes_is_bounded() {
    let long = |n: usize| ScheduleView {
        note: "x".repeat(100_000),
        ..schedule(100 + n)
    };
    let server = server(Fake {
        schedules: Mutex::new((0..30).map(long).collect()),
        ..Fake::default()
    })
    .await;
    let first = page(&server, DAY).await;
    assert_eq!((first["total"].as_u64(), ids(&first).len()), (Some(30), 10));
    assert!(first["next_page_token"].is_string());
}
