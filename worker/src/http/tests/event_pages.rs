//! The pages about events: the list, a delivery, and the form that replays one.

use almanac_core::definition::{ParseContext, Parsed, parse_file};
use almanac_core::record::{DELIVERY_RUNS_LIMIT, DeliveryState, DeliveryVia, EventOrigin};
use almanac_core::snapshot::{LoadStatus, Loaded, LoadedEventType};

use super::visitor::Visitor;
use super::*;

fn visitor(server: &Server) -> Visitor<'_> {
    Visitor {
        host: "localhost",
        ..Visitor::new(server)
    }
}

/// The snapshot of these documents, all of them valid.
fn snapshot(text: &str) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let now = Timestamp::UNIX_EPOCH;
    for document in parse_file("a.yaml", text.as_bytes(), &ParseContext { now }) {
        let (source, status) = ("a.yaml".to_owned(), LoadStatus::Loaded);
        match document.result.unwrap() {
            Parsed::Definition(definition) => {
                let id = definition.id.clone();
                let loaded = Loaded {
                    definition,
                    source,
                    status,
                };
                snapshot.definitions.insert(id, loaded);
            }
            Parsed::EventType(event_type) => {
                let id = event_type.id.clone();
                let loaded = LoadedEventType {
                    event_type,
                    source,
                    status,
                };
                snapshot.event_types.insert(id, loaded);
            }
            Parsed::Calendar(_) => panic!("a calendar"),
        }
    }
    snapshot
}

const SHOP: &str = "
kind: event_type
id: started
description: a payment <b>
schema: { type: integer }
---
id: capture
triggers:
  - event: started
    when: .data < 9
    workflow_id: '${ .data }'
    on_conflict: terminate_existing
  - event: other
    enabled: false
do: [a: { wait: PT1S }]
---
id: both
schedule: { every: 1h }
triggers: [{ event: other }]
do: [a: { wait: PT1S }]
---
id: off
enabled: false
triggers: [{ event: other }]
do: [a: { wait: PT1S }]
";

fn shop() -> Fake {
    Fake {
        snapshot: snapshot(SHOP),
        ..Fake::default()
    }
}

fn delivery(number: usize, state: DeliveryState, via: DeliveryVia) -> (Delivery, Arc<Value>) {
    let event = EventKey {
        kind: format!("com.shop.{}", state.as_str()),
        source: "/shop".to_owned(),
        id: format!("e{number}"),
    };
    let delivery = Delivery {
        id: format!("d{number}"),
        at: Timestamp::from_second(1_780_000_000 - i64::try_from(number).unwrap()).unwrap(),
        via,
        state,
        event,
        ..Delivery::default()
    };
    (delivery, Arc::new(json!({ "data": number })))
}

fn with(deliveries: Vec<(Delivery, Arc<Value>)>) -> Fake {
    Fake {
        deliveries: Mutex::new(deliveries),
        ..shop()
    }
}

async fn send(server: &Server, kind: &str, data: &Value) -> String {
    let event = json!({
        "specversion": "1.0", "id": "1", "source": "/shop", "type": kind, "data": data,
    });
    let body = event.to_string();
    let headers = format!(
        "host: localhost\r\ncontent-type: application/cloudevents+json\r\ncontent-length: {}",
        body.len()
    );
    server.ask_with("POST", "/events", &headers, &body).await;
    server.fake.deliveries.lock().unwrap()[0].0.id.clone()
}

async fn page(server: &Server, path: &str) -> String {
    let answer = visitor(server).get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    assert!(answer.head.contains("content-type: text/html"), "{path}");
    answer.body
}

/// The part of a page between two texts.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = page
        .split_once(from)
        .unwrap_or_else(|| panic!("no {from} in {page}"));
    rest.split(to).next().unwrap()
}

#[tokio::test]
async fn without_an_event_the_page_says_how_to_send_the_first_one() {
    let empty = server(Fake::default()).await;
    let shown = page(&empty, "/events").await;
    for text in [
        "No event has come to this worker yet",
        "kind: event_type",
        "triggers: [{ event: com.example.hello }]",
        "almanac events send com.example.hello --data",
        "aria-current=\"page\">Events",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    // A project with triggers needs no example.
    let shown = page(&server(shop()).await, "/events").await;
    assert!(!shown.contains("kind: event_type</code>"), "{shown}");
    assert!(shown.contains("almanac events send other"), "{shown}");
}

#[tokio::test]
async fn deliveries_are_filtered_and_every_number_leads_to_its_list() {
    use DeliveryState as State;
    use DeliveryVia as Via;
    let mut all = vec![
        delivery(1, State::Dead, Via::Nats),
        delivery(2, State::Refused, Via::Http),
        delivery(3, State::Started, Via::Http),
    ];
    all[2].0.runs = vec![TriggeredRun {
        definition: "capture".parse().unwrap(),
        trigger: 0,
        result: TriggerResult::Started {
            workflow_id: "test/capture/1".to_owned(),
            run_id: "r/1".to_owned(),
        },
    }];
    all[1].0.reason = Some("no amount".to_owned());
    let server = server(with(all)).await;
    let ids = async |path: &str| -> Vec<String> {
        let shown = page(&server, path).await;
        let rows = shown.split("class=\"name\" href=\"/events/").skip(1);
        rows.map(|row| row.split('"').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids("/events").await, ["d1", "d2", "d3"]);
    assert_eq!(ids("/events?state=dead").await, ["d1"]);
    assert_eq!(ids("/events?via=http").await, ["d2", "d3"]);
    assert_eq!(ids("/events?via=http&state=refused").await, ["d2"]);
    assert_eq!(ids("/events?q=E3").await, ["d3"]);
    assert_eq!(ids("/events?definition=capture").await, ["d3"]);
    assert_eq!(ids("/events?definition=ship").await, [""; 0]);
    for bad in [
        "state=lost",
        "state=unknown&state=dead",
        "via=pigeon",
        "definition=A%20b",
        "page=x",
        "kind=a",
    ] {
        let answer = visitor(&server).get(&format!("/events?{bad}")).await;
        assert_eq!(answer.status, 400, "{bad}");
    }
    let shown = page(&server, "/events?via=http").await;
    for (words, count) in [("All", 2), ("Dead", 0), ("Refused", 1), ("Started", 1)] {
        let chip = format!("{words} <span class=\"n\">{count}</span>");
        assert!(shown.contains(&chip), "{chip}: {shown}");
    }
    assert!(
        shown.contains("href=\"/events?state=refused&amp;via=http\""),
        "{shown}"
    );
    for text in [
        "href=\"/definitions/capture\"",
        "https://temporal.example/namespaces/default/workflows/test%2Fcapture%2F1/r%2F1",
        "no amount",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let none = page(&server, "/events?q=nothing-has-this").await;
    assert!(none.contains("No delivery matches"), "{none}");
}

#[tokio::test]
async fn a_long_list_has_pages_and_a_delivery_of_many_runs_is_cut() {
    let many = (0..120).map(|n| delivery(n, DeliveryState::Started, DeliveryVia::Http));
    let mut many: Vec<_> = many.collect();
    many[0].0.runs = (0..DELIVERY_RUNS_LIMIT)
        .map(|n| TriggeredRun {
            definition: format!("job-{n}").parse().unwrap(),
            trigger: 0,
            result: TriggerResult::Existing {
                workflow_id: "w".to_owned(),
            },
        })
        .collect();
    many[0].0.truncated = 7;
    let server = server(with(many)).await;
    let first = page(&server, "/events").await;
    assert_eq!(first.matches("href=\"/events/d").count(), 51);
    assert!(first.contains("and 104 more"), "{first}");
    assert!(first.contains("1–50 of 120"), "{first}");
    assert!(first.contains("href=\"/events?page=2\""), "{first}");
    let last = page(&server, "/events?page=3").await;
    assert!(last.contains("101–120 of 120"), "{last}");
    let beyond = page(&server, "/events?page=9").await;
    assert!(beyond.contains("There is no such page"), "{beyond}");
    let one = page(&server, "/events/d0").await;
    assert_eq!(one.matches("has a run already").count(), 100, "{one}");
    assert!(one.contains("and 7 more"), "{one}");
}

#[tokio::test]
async fn the_types_of_events_are_listed_with_their_triggers() {
    let server = server(shop()).await;
    send(&server, "started", &json!(5)).await;
    let shown = page(&server, "/events").await;
    let types = between(&shown, "id=\"types\"", "</section>");
    for text in [
        "a payment &lt;b&gt;",
        "Declared",
        "the data must match",
        "1 trigger: <a class=\"link\" href=\"/definitions/capture\">capture</a>",
        "Not declared",
        "1 trigger: <a class=\"link\" href=\"/definitions/both\">both</a>",
        "<a class=\"link\" href=\"/events?q=started\">1 delivery</a>",
    ] {
        assert!(types.contains(text), "{text}: {types}");
    }
    let many = (0..60).map(|n| format!("kind: event_type\nid: type-{n}\n"));
    let many: Vec<_> = many.collect();
    let many = Fake {
        snapshot: snapshot(&many.join("---\n")),
        ..Fake::default()
    };
    let shown = page(&super::server(many).await, "/events").await;
    assert!(
        between(&shown, "id=\"types\"", "</section>").contains("and 10 more"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_delivery_shows_its_event_and_its_triggers() {
    let server = server(shop()).await;
    let hostile = json!({ "text": "<script>\u{202e}", "long": "x".repeat(1000) });
    let id = send(&server, "refused", &hostile).await;
    let shown = page(&server, &format!("/events/{id}")).await;
    for text in [
        "no amount",
        "refused the event",
        "href=\"/definitions/capture\"",
        "&lt;script&gt;\\u202e",
        "Long lines are cut",
        "href=\"/events?q=refused\"",
        "/replay\">",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(!shown.contains("<script>\\") && !shown.contains('\u{202e}'));
    // The same event, delivered again, is named.
    let second = send(&server, "refused", &hostile).await;
    let shown = page(&server, &format!("/events/{id}")).await;
    assert!(
        between(&shown, "id=\"others\"", "</section>").contains(&second),
        "{shown}"
    );
    let gone = visitor(&server).get("/events/gone").await;
    assert_eq!(gone.status, 404);
    assert!(
        gone.body.contains("each worker has its own"),
        "{}",
        gone.body
    );
    let large: Value = (0..2000).collect();
    let id = send(&server, "nobody", &large).await;
    let shown = page(&server, &format!("/events/{id}")).await;
    assert!(shown.contains("more lines"), "{shown}");
    assert!(shown.contains("<details>"), "folded: {shown}");
    assert!(shown.contains("No trigger took the event"), "{shown}");
}

#[tokio::test]
async fn a_replay_is_announced_and_a_form_that_is_sent_twice_acts_once() {
    let server = server(shop()).await;
    let id = send(&server, "started", &json!(5)).await;
    let mut person = visitor(&server);
    let path = format!("/events/{id}/replay");
    let form = person.get(&path).await;
    for text in [
        "1 trigger takes this event now",
        "test/capture/5",
        "terminate_existing: the running run is terminated",
    ] {
        assert!(form.body.contains(text), "{text}: {}", form.body);
    }
    let fields = visitor::hidden(&form.body);
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let first = person.send(&path, &fields).await;
    assert_eq!(first.status, 303, "{}", first.body);
    let second = person.send(&path, &fields).await;
    assert_eq!(second.status, 303);
    assert_eq!(first.header("location"), second.header("location"));
    let deliveries = server.fake.deliveries.lock().unwrap().clone();
    assert_eq!(deliveries.len(), 2, "the second form did nothing");
    assert_eq!(deliveries[0].0.via, DeliveryVia::Replay);
    assert_eq!(deliveries[0].0.by, "http");
    let shown = page(&server, first.header("location")).await;
    assert!(shown.contains("Replay"), "{shown}");
    // Another form replays once more.
    let third = person.submit(&path, &path, &[]).await;
    assert_eq!(third.status, 303);
    assert_eq!(server.fake.deliveries.lock().unwrap().len(), 3);

    let other = send(&server, "started", &json!(50)).await;
    let form = person.get(&format!("/events/{other}/replay")).await;
    assert!(form.body.contains("nothing will start"), "{}", form.body);
    let away = send(&server, "started", &json!({ "not": "an integer" })).await;
    let form = person.get(&format!("/events/{away}/replay")).await;
    assert!(
        form.body.contains("refuses the event") || form.body.contains("nothing will start"),
        "{}",
        form.body
    );
    for path in ["/events/gone/replay"] {
        assert_eq!(person.get(path).await.status, 404);
        let answer = person.submit("/sync", path, &[]).await;
        assert_eq!(answer.status, 404, "{}", answer.body);
    }
    let unprotected = server.ask("POST", &path, "host: localhost").await;
    assert_eq!(unprotected.status, 403, "{}", unprotected.body);
}

#[tokio::test]
async fn requests_with_events_and_the_page_share_a_path() {
    let server = server(Fake::default()).await;
    let answer = server.ask("PUT", "/events", "host: localhost").await;
    assert_eq!(answer.status, 405);
    let allowed = answer.header("allow");
    assert!(
        allowed.contains("get") && allowed.contains("post"),
        "{allowed}"
    );
    // The page's own forms take no large bodies; an event may be large.
    let body = "x".repeat(70_000);
    let head = format!("host: localhost\r\ncontent-length: {}", body.len());
    for path in ["/events/x/replay", "/nothing"] {
        let answer = server.ask_with("POST", path, &head, &body).await;
        assert_eq!(answer.status, 413, "{path}");
    }
    let answer = server.ask_with("POST", "/events", &head, &body).await;
    assert_eq!(answer.status, 415, "{}", answer.body);
}

#[tokio::test]
async fn a_definition_shows_the_runs_after_which_it_starts() {
    let text = "
id: load
triggers: [{ after: extract, within: 2h, else: run }]
schedule: { after: 10m }
do: [a: { wait: PT1S }]
";
    let server = server(Fake {
        snapshot: snapshot(text),
        schedules: Mutex::default(),
        ..Fake::default()
    })
    .await;
    let shown = page(&server, "/definitions/load").await;
    let triggers = between(&shown, "id=\"triggers\"", "</section>");
    for text in [
        "after extract completed, within 2h, otherwise run",
        "10m after its last run ended",
        "of the last run's id",
    ] {
        assert!(triggers.contains(text), "{text}: {triggers}");
    }
    let types = page(&server, "/events").await;
    let types = between(&types, "id=\"types\"", "</section>");
    assert!(types.contains("almanac.run.late"), "{types}");
    assert!(types.contains("Made by Almanac"), "{types}");
    assert!(!types.contains("Not declared"), "{types}");
    let list = page(&server, "/").await;
    assert!(list.contains("after extract completed"), "{list}");
}

#[tokio::test]
async fn a_definition_shows_its_triggers_its_events_and_their_runs() {
    let run = EventRun {
        workflow_id: "test/capture/5".to_owned(),
        run_id: "r".to_owned(),
        status: Some("failed".to_owned()),
        started: Some(Timestamp::UNIX_EPOCH),
        ended: None,
        event: EventOrigin {
            event: EventKey {
                kind: "started".to_owned(),
                source: "/shop<b>".to_owned(),
                id: "e7".to_owned(),
            },
            ..EventOrigin::default()
        },
    };
    let server = server(Fake {
        event_runs: Ok(vec![run]),
        ..shop()
    })
    .await;
    let id = send(&server, "started", &json!(5)).await;
    send(&server, "nobody", &json!(5)).await;
    let shown = page(&server, "/definitions/capture").await;
    let triggers = between(&shown, "id=\"triggers\"", "</section>");
    for text in [
        "started",
        ".data &lt; 9",
        "the event's data",
        "${ .data }",
        "terminate_existing",
        "Enabled",
        "other",
        "Disabled",
    ] {
        assert!(triggers.contains(text), "{text}: {triggers}");
    }
    let events = between(&shown, "id=\"deliveries\"", "</section>");
    assert!(events.contains(&id), "{events}");
    assert!(!events.contains("nobody"), "{events}");
    assert!(
        events.contains("href=\"/events?definition=capture\""),
        "{events}"
    );
    let runs = between(&shown, "id=\"event-runs\"", "</section>");
    for text in ["/shop&lt;b&gt;", "e7", "test/capture/5", "Failed"] {
        assert!(runs.contains(text), "{text}: {runs}");
    }
    assert!(shown.contains("On events"), "{shown}");
    assert!(
        !shown.contains("The schedule has not started a run"),
        "{shown}"
    );
    // A definition without triggers has none of this.
    let other = page(&server, "/definitions/job-1").await;
    assert!(!other.contains("id=\"triggers\""), "{other}");
    let off = page(&server, "/definitions/off").await;
    assert!(off.contains("events start nothing"), "{off}");
}

#[tokio::test]
async fn the_list_says_that_events_start_a_definition() {
    let fake = Fake {
        schedules: Mutex::default(),
        ..shop()
    };
    let shown = page(&server(fake).await, "/").await;
    let row = between(&shown, "id=\"r-capture\"", "</tr>");
    for text in ["On events", "events start it", "started"] {
        assert!(row.contains(text), "{text}: {row}");
    }
    let off = between(&shown, "id=\"r-off\"", "</tr>");
    assert!(off.contains("Paused by file"), "{off}");
}
