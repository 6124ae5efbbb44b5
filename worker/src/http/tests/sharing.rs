//! Many viewers: they share what is read, each sees what happened before, and none takes the
//! place of the others.

use std::time::Instant;

use futures::future::join_all;
use tokio::net::TcpSocket;

use super::page_views::project;
use super::visitor::Visitor;
use super::*;
use crate::args::{ChosenAuth, ProxyRules};
use crate::http::pages::{STREAMS, STREAMS_EACH};

/// Number of pages that are open at the same time.
const VIEWERS: usize = 200;
/// Maximum age of what a page shows.
const FRESH: Duration = Duration::from_secs(2);

const OPERATOR: &str = "host: x\r\nx-user: ann\r\nx-groups: ops";
const READER: &str = "host: x\r\nx-user: bob\r\nx-groups: staff";

fn visitor(server: &Server) -> Visitor<'_> {
    Visitor {
        host: "localhost",
        ..Visitor::new(server)
    }
}

/// A server whose callers a proxy names.
async fn server_behind_proxy(fake: Fake) -> Server {
    let rules = ProxyRules {
        from: vec!["127.0.0.0/8".parse().unwrap()],
        user: "x-user".parse().unwrap(),
        groups: "x-groups".parse().unwrap(),
        read: vec!["staff".into()],
        operate: vec!["ops".into()],
    };
    let authority = Authority::with_refetch(ChosenAuth::Proxy(rules), Duration::ZERO).unwrap();
    serve_with(fake, Duration::from_secs(20), false, authority).await
}

/// Loads a page for all viewers at the same time, and returns the number of readings that could
/// not be shared, because the pages took longer than a reading is fresh.
async fn load_for_all(server: &Server, path: &str) -> u64 {
    let began = Instant::now();
    for answer in join_all((0..VIEWERS).map(|_| server.get(path))).await {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    began.elapsed().as_secs() / FRESH.as_secs()
}

#[tokio::test]
async fn all_viewers_of_a_definition_cost_what_one_costs() {
    let server = server(Fake {
        slow_reads: Duration::from_millis(300),
        ..project()
    })
    .await;
    let more = load_for_all(&server, "/definitions/job-1").await;
    let fake = &server.fake;
    for count in [
        &fake.described,
        &fake.histories,
        &fake.live_reads,
        &fake.lists,
    ] {
        let count = count.load(Ordering::Relaxed);
        assert!(
            (1..=1 + more).contains(&count),
            "{count} reads, {more} allowed"
        );
    }
}

#[tokio::test]
async fn all_viewers_of_the_plan_cost_what_one_costs() {
    let server = server(Fake {
        slow_reads: Duration::from_millis(300),
        ..project()
    })
    .await;
    let more = load_for_all(&server, "/plan").await;
    let count = server.fake.plans.load(Ordering::Relaxed);
    assert!(
        (1..=1 + more).contains(&count),
        "{count} plans, {more} allowed"
    );
}

#[tokio::test]
async fn all_viewers_of_lists_cost_what_one_costs() {
    let server = server(Fake {
        slow_reads: Duration::from_millis(300),
        ..project()
    })
    .await;
    let more = load_for_all(&server, "/").await;
    let count = server.fake.lists.load(Ordering::Relaxed);
    assert!(
        (1..=1 + more).contains(&count),
        "{count} lists, {more} allowed"
    );
    let more = load_for_all(&server, "/timeline").await;
    let count = server.fake.timelines.load(Ordering::Relaxed);
    // The window moves on after some minutes.
    assert!(
        (1..=2 + more).contains(&count),
        "{count} timelines, {more} allowed"
    );
    load_for_all(&server, "/errors").await;
    load_for_all(&server, "/activity").await;
}

#[tokio::test]
async fn a_page_takes_a_list_that_was_slow_to_make_for_longer() {
    let server = server(Fake {
        slow_reads: Duration::from_secs(1),
        ..project()
    })
    .await;
    let lists = || server.fake.lists.load(Ordering::Relaxed);
    assert_eq!(server.get("/").await.status, 200);
    tokio::time::sleep(FRESH + Duration::from_millis(500)).await;
    // It may be 11 times as old as it took to make.
    assert_eq!(server.get("/?q=job").await.status, 200);
    assert_eq!(lists(), 1);
    // The API promises a list of the last 2 seconds.
    assert_eq!(server.get("/api/v1/schedules").await.status, 200);
    assert_eq!(lists(), 2);
}

/// A list is expensive: the timeline shows that of the other pages, and the API that of its list.
#[tokio::test]
async fn the_timeline_shows_the_list_that_others_read() {
    let server = server(Fake {
        slow_reads: Duration::from_secs(1),
        ..project()
    })
    .await;
    let fake = &server.fake;
    let load = async |path: &str| {
        assert_eq!(server.get(path).await.status, 200);
        [&fake.lists, &fake.timelines].map(|count| count.load(Ordering::Relaxed))
    };
    assert_eq!(load("/").await, [1, 0]);
    tokio::time::sleep(FRESH + Duration::from_millis(500)).await;
    let window = "from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z";
    assert_eq!(load("/timeline?at=2026-03-01T12:00:00Z").await, [1, 1]);
    // The API promises what is at most 5 seconds old: it takes no timeline of a page.
    let api = format!("/api/v1/timeline?{window}");
    assert_eq!(load(&api).await, [2, 2]);
    assert_eq!(load("/api/v1/schedules").await, [2, 2]);
    assert_eq!(load(&api).await, [2, 2]);
    assert_eq!(load("/timeline?at=2026-03-01T12:00:00Z").await, [2, 2]);
}

/// A reading that is slow holds the only turn, and keeps only others waiting for theirs.
#[tokio::test]
async fn only_readings_of_other_definitions_need_a_turn() {
    let server = server(Fake {
        slow_reads: Duration::from_secs(1),
        ..project()
    })
    .await;
    let first = server.get("/definitions/job-1");
    let others = async {
        eventually("the first reading", async || {
            server.fake.histories.load(Ordering::Relaxed) == 1
        })
        .await;
        tokio::join!(
            server.get("/definitions/job-2"),
            server.get("/definitions/job-1")
        )
    };
    let (first, (other, same)) = tokio::join!(first, others);
    assert_eq!((first.status, same.status), (200, 200));
    assert_eq!(other.status, 429, "{}", other.body);
    assert_eq!(server.get("/definitions/job-2").await.status, 200);
}

#[tokio::test]
async fn a_page_shows_what_its_viewer_did_before() {
    let server = server(project()).await;
    let mut visitor = visitor(&server);
    let job = "/definitions/job-1";
    for (form, fields) in [
        ("/definitions/job-1/pause", &[("reason", "lunch")][..]),
        ("/definitions/job-1/trigger", &[]),
        ("/sync", &[]),
        ("/suspend", &[("reason", "move")]),
        ("/resume", &[]),
    ] {
        for page in [job, "/plan"] {
            assert_eq!(visitor.get(page).await.status, 200);
        }
        let answer = visitor.submit(form, form, fields).await;
        assert_eq!(answer.status, 200, "{form}: {}", answer.body);
        let counts = || {
            let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
            let fake = &server.fake;
            [
                count(&fake.histories),
                count(&fake.plans),
                count(&fake.lists),
            ]
        };
        let before = counts();
        for page in [job, "/plan"] {
            assert_eq!(visitor.get(page).await.status, 200);
        }
        assert_eq!(counts(), before.map(|count| count + 1), "{form}");
    }
}

/// Reads events until one is about a definition, and returns them.
async fn told_about(stream: &mut TcpStream, id: &str) -> String {
    let named = format!("\"{id}\"");
    let read = async {
        let mut text = String::new();
        while !text.contains(&named) {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            assert_ne!(count, 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        text
    };
    tokio::time::timeout(SOON, read).await.unwrap()
}

/// An update of a definition's schedule by a pass.
fn change(id: &str) -> almanac_core::record::Change {
    almanac_core::record::Change {
        id: id.to_owned(),
        op: almanac_core::record::Op::Update,
        fields: Vec::new(),
        reason: String::new(),
    }
}

/// A pass concerns the pages of the definitions with which it did something. Other pages read
/// only their frames again, which costs Temporal nothing.
#[tokio::test]
async fn a_pass_concerns_the_definitions_that_it_names() {
    let fake = project();
    // This pass ended before anyone listened.
    if let Ok(status) = &mut *fake.status.lock().unwrap() {
        status.reports[0].changes = vec![change("job-1")];
    }
    let server = server(fake).await;
    assert_eq!(server.get("/").await.status, 200);
    let mut stream = open_stream(&server, "127.0.0.1", "host: localhost").await.1;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let report = Report {
        pass: 8,
        changes: vec![change("job-2")],
        ..Report::default()
    };
    if let Ok(status) = &mut *server.fake.status.lock().unwrap() {
        status.pass = 8;
        status.reports.push(report);
    }
    let told = told_about(&mut stream, "job-2").await;
    assert!(told.contains("\"many\":false,\"pass\":true"), "{told}");
    assert!(!told.contains("job-1"), "{told}");
    let frame = server.get("/definitions/job-1?frame").await;
    assert_eq!(frame.status, 200, "{}", frame.body);
    assert!(frame.body.contains("id=\"pulse\""), "{}", frame.body);
    assert!(!frame.body.contains("data-about"), "{}", frame.body);
    assert_eq!(server.fake.histories.load(Ordering::Relaxed), 0);
}

/// Returns what a stream tells within a time.
async fn told_within(stream: &mut TcpStream, time: Duration) -> String {
    let mut text = String::new();
    let read = async {
        let mut bytes = [0; 4096];
        loop {
            let count = stream.read(&mut bytes).await.unwrap();
            assert_ne!(count, 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    };
    let never = tokio::time::timeout(time, read).await;
    assert!(never.is_err());
    text
}

/// The first list that is made for open pages comes after the page, and may take seconds.
#[tokio::test]
async fn a_page_is_told_of_what_changed_before_it_listened() {
    let server = server(Fake {
        slow_reads: Duration::from_secs(1),
        ..project()
    })
    .await;
    assert_eq!(server.get("/").await.status, 200);
    server.fake.schedules.lock().unwrap()[0].paused = false;
    // A pass that names a definition, too.
    if let Ok(status) = &mut *server.fake.status.lock().unwrap() {
        status.pass = 8;
        status.reports.push(Report {
            pass: 8,
            changes: vec![change("job-2")],
            ..Report::default()
        });
    }
    let mut stream = open_stream(&server, "127.0.0.1", "host: localhost").await.1;
    let told = told_about(&mut stream, "job-2").await;
    assert!(!told.contains("\"many\":true"), "{told}");
    let told = told + &told_about(&mut stream, "job-1").await;
    assert!(!told.contains("\"many\":true"), "{told}");
}

#[tokio::test]
async fn a_page_that_shows_the_newest_state_is_told_nothing() {
    let server = server(project()).await;
    assert_eq!(server.get("/").await.status, 200);
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = open_stream(&server, "127.0.0.1", "host: localhost").await.1;
        let told = told_within(&mut stream, Duration::from_secs(3)).await;
        assert!(!told.contains("event:"), "{told}");
        streams.push(stream);
    }
    // The schedules were listed again meanwhile.
    assert!(server.fake.lists.load(Ordering::Relaxed) > 1);
}

/// What a page shows that was rendered long ago, or from something else than a list, is not known.
#[tokio::test]
async fn without_an_earlier_list_anything_may_have_changed() {
    let server = server(project()).await;
    let mut stream = open_stream(&server, "127.0.0.1", "host: localhost").await.1;
    let read = async {
        let mut text = String::new();
        while !text.contains("\"many\":true") {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            assert_ne!(count, 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    };
    tokio::time::timeout(SOON, read).await.unwrap();
    let told = told_within(&mut stream, Duration::from_secs(3)).await;
    assert!(!told.contains("event:"), "{told}");
}

/// A timeline, a definition and the plan are shared for some seconds: not beyond a change that a
/// list shows, even if no page listened when the list was made.
#[tokio::test]
async fn what_was_read_before_a_change_is_forgotten_although_no_page_listened() {
    let server = server(project()).await;
    let fake = &server.fake;
    let load = async |path: &str| assert_eq!(server.get(path).await.status, 200);
    load("/").await;
    for _ in 0..2 {
        load("/timeline").await;
        load("/definitions/job-1").await;
    }
    let reads = || {
        let counts = [&fake.timelines, &fake.described];
        counts.map(|count| count.load(Ordering::Relaxed))
    };
    assert_eq!(reads(), [1, 1]);
    fake.schedules.lock().unwrap()[0].paused = false;
    tokio::time::sleep(FRESH).await;
    load("/").await;
    load("/timeline").await;
    assert_eq!(reads(), [2, 1]);
}

/// A page that is read again because of an event shows the change, even if someone else read it
/// shortly before the change.
#[tokio::test]
async fn an_event_makes_pages_show_what_changed() {
    let server = server(project()).await;
    let mut stream = open_stream(&server, "127.0.0.1", "host: localhost").await.1;
    let is_paused = async || {
        let page = visitor(&server).get("/definitions/job-1").await;
        !page.body.contains("\"/definitions/job-1/pause\"")
    };
    let pause = |paused| {
        let mut schedules = server.fake.schedules.lock().unwrap();
        schedules[0].paused = paused;
    };
    assert!(is_paused().await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    pause(false);
    told_about(&mut stream, "job-1").await;
    assert!(!is_paused().await);
    // The second list after that comes after four seconds: what is read a second before it is young.
    for paused in [true, false] {
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(is_paused().await, !paused);
        pause(paused);
        told_about(&mut stream, "job-1").await;
        assert_eq!(is_paused().await, paused);
    }
}

#[tokio::test]
async fn what_a_caller_may_do_is_not_shared() {
    let server = server_behind_proxy(project()).await;
    for page in ["/definitions/job-1", "/plan"] {
        for (caller, may_operate) in [(OPERATOR, true), (READER, false), (OPERATOR, true)] {
            let answer = server.ask("GET", page, caller).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let actions = ["/definitions/job-1/trigger\"", "action=\"/sync\""];
            let is_offered = actions.iter().any(|action| answer.body.contains(action));
            assert_eq!(is_offered, may_operate, "{page}: {}", answer.body);
        }
    }
    let fake = &server.fake;
    let counts = [&fake.histories, &fake.plans].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(counts, [1, 1]);
}

/// Opens a stream of events from an address of this machine, and returns its status.
async fn open_stream(server: &Server, from: &str, headers: &str) -> (u16, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let request = format!("GET /live HTTP/1.1\r\n{headers}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    let status = std::str::from_utf8(&head[9..]).unwrap();
    (status.parse().unwrap(), stream)
}

/// Opens as many streams as one client may have, and those of another client.
async fn streams_of_two(server: &Server, one: (&str, &str), other: (&str, &str)) {
    let mut open = Vec::new();
    for _ in 0..STREAMS_EACH {
        let (status, stream) = open_stream(server, one.0, one.1).await;
        assert_eq!(status, 200, "{} are open", open.len());
        open.push(stream);
    }
    assert_eq!(open_stream(server, one.0, one.1).await.0, 429);
    for _ in STREAMS_EACH..STREAMS {
        let (status, stream) = open_stream(server, other.0, other.1).await;
        assert_eq!(status, 200, "{} are open", open.len());
        open.push(stream);
    }
    assert_eq!(open_stream(server, other.0, other.1).await.0, 429);
    // A stream that ends makes room for another one.
    drop(open.pop());
    eventually("a stream", async || {
        open_stream(server, other.0, other.1).await.0 == 200
    })
    .await;
}

#[tokio::test]
async fn one_address_leaves_streams_for_others() {
    let server = server(project()).await;
    let localhost = "host: localhost";
    streams_of_two(&server, ("127.0.0.1", localhost), ("127.0.0.2", localhost)).await;
}

#[tokio::test]
async fn one_user_of_a_proxy_leaves_streams_for_others() {
    let server = server_behind_proxy(project()).await;
    streams_of_two(&server, ("127.0.0.1", READER), ("127.0.0.1", OPERATOR)).await;
}

/// The two fields that each form has.
fn with_hidden<'a>(
    page: &'a [(&str, String)],
    fields: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let hidden = page.iter().map(|(name, value)| (*name, value.as_str()));
    hidden.chain(fields.iter().copied()).collect()
}

#[tokio::test]
async fn an_action_on_many_leaves_turns_for_others_and_is_alone() {
    let server = server(Fake {
        slow_sync: Duration::from_secs(4),
        ..project()
    })
    .await;
    let mut one = visitor(&server);
    let page = super::visitor::hidden(&one.get("/").await.body);
    let many = with_hidden(
        &page,
        &[("id", "job-1"), ("id", "job-2"), ("reason", "deploy")],
    );
    let (mut second, mut third) = (visitor(&server), visitor(&server));
    let others = async {
        let sent = || server.fake.overrides.lock().unwrap().len();
        eventually("both requests", async || sent() == 2).await;
        tokio::join!(
            second.submit("/", "/bulk/pause", &[("id", "job-1"), ("reason", "x")]),
            third.submit(
                "/definitions/job-1/pause",
                "/definitions/job-1/pause",
                &[("reason", "x")]
            )
        )
    };
    let (bulk, (refused, single)) = tokio::join!(one.send("/bulk/pause", &many), others);
    assert!(bulk.body.contains("2 done."), "{}", bulk.body);
    assert_eq!(single.status, 200, "{}", single.body);
    assert_eq!(refused.status, 429);
    assert!(
        refused
            .body
            .contains("send this one again when the other has ended"),
        "{}",
        refused.body
    );
    let again = second.submit("/", "/bulk/pause", &[("id", "job-1"), ("reason", "x")]);
    assert_eq!(again.await.status, 200);
}
