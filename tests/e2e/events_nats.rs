//! Events from a stream of a real NATS server start runs, each once.

use std::time::Duration;

use almanac_tests::{
    Nats, OwnServer, Project, Proxy, SOON, Scheduler, Stored, Worker, eventually,
    on_both_schedulers, on_one_scheduler, wait_for,
};
use anyhow::{Context, ensure};
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tonic::Code;

on_both_schedulers!(an_event_starts_one_run_in_every_mode_and_however_often_it_comes);
on_one_scheduler!(
    a_message_of_mqtt_starts_a_run,
    events_from_before_the_consumer_start_nothing,
    a_worker_killed_between_a_start_and_its_acknowledgement_starts_one_run,
    a_restart_of_nats_interrupts_nothing,
    an_outage_of_temporal_loses_no_event_and_gives_none_up,
    events_that_cannot_be_handled_are_set_aside_and_block_no_other,
    messages_that_the_client_cannot_read_become_dead_letters,
    an_event_is_a_dead_letter_before_it_ends,
    a_dead_letter_of_an_earlier_process_is_replayed,
    a_thousand_events_start_a_thousand_runs_through_every_failure,
    a_start_that_fails_is_tried_again_later_and_then_given_up,
    replicas_share_the_events,
    a_shutdown_finishes_what_it_can_and_hands_back_the_rest,
    a_missing_stream_is_waited_for_or_created,
    a_consumer_that_cannot_work_is_reported_and_not_changed,
    certificates_and_credentials_prove_who_the_worker_is,
);

const TAKES: &str =
    "id: takes\ntriggers: [{ event: order.paid }]\ndo:\n  - a: { set: { got: '${ . }' } }\n";

fn event(id: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "/shop", "type": "order.paid", "data": { "n": id } })
}

/// A project with one definition that takes `order.paid`, and NATS with a stream.
async fn prepared(on: Scheduler) -> anyhow::Result<(Project, Nats)> {
    let (project, nats) = (Project::new(on).await?, Nats::start().await?);
    nats.stream("EVENTS", "events.>").await?;
    project.write("takes.yaml", TAKES)?;
    Ok((project, nats))
}

/// Makes the project's consumer, which delivers a message again soon.
async fn impatient(project: &Project, nats: &Nats, max_deliver: i64) -> anyhow::Result<()> {
    let config = Config {
        durable_name: Some(consumer(project)),
        ack_policy: AckPolicy::Explicit,
        deliver_policy: DeliverPolicy::New,
        ack_wait: Duration::from_secs(3),
        max_deliver,
        ..Config::default()
    };
    nats.make_consumer("EVENTS", config).await
}

fn consumer(project: &Project) -> String {
    format!("almanac-{}", project.name())
}

/// Waits until events arrive at a worker from NATS.
async fn connected(worker: &Worker) -> anyhow::Result<()> {
    eventually("events to arrive", || async {
        Ok(readiness(worker).await?["events"]["connected"] == true)
    })
    .await
}

async fn readiness(worker: &Worker) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&worker.get("/readyz").await?.1)?)
}

/// Starts a worker that takes events.
async fn started(project: &Project, nats: &Nats) -> anyhow::Result<Worker> {
    let worker = project
        .worker()
        .flag("--nats-url", &nats.url())
        .start()
        .await?;
    connected(&worker).await?;
    Ok(worker)
}

/// The last deliveries to a worker, newest first.
async fn deliveries(worker: &Worker) -> anyhow::Result<Vec<Value>> {
    let page = worker.json("/api/v1/events?limit=500").await?;
    Ok(page["deliveries"].as_array().context("deliveries")?.clone())
}

/// Waits until a delivery is in a state, and returns it.
async fn delivered(worker: &Worker, sequence: u64, state: &str) -> anyhow::Result<Value> {
    let id = format!("nats-EVENTS-{sequence}");
    wait_for(&format!("{id} to be {state}"), SOON, || async {
        let all = deliveries(worker).await?;
        let found = all.into_iter().find(|one| one["id"] == id.as_str());
        let found = found.context("no such delivery")?;
        ensure!(found["state"] == state, "{found}");
        Ok(Some(found))
    })
    .await
}

/// The server takes a second request for the first one as long as it remembers the first, and says
/// later that the run exists.
fn is_the_same_run(first: &Value, again: &Value) {
    let (first, again) = (&first["runs"][0], &again["runs"][0]);
    assert_eq!(first["workflow_id"], again["workflow_id"]);
    if again["result"] != "existing" {
        assert_eq!(first["run_id"], again["run_id"], "{again}");
    }
}

/// Waits until a project has this many runs of a definition, for each of which `takes` an event.
async fn has_runs(project: &Project, definition: &str, count: usize) -> anyhow::Result<()> {
    let query = format!("WorkflowId STARTS_WITH '{}/{definition}/'", project.name());
    eventually(&format!("{count} runs of {definition}"), || async {
        let ids = project.temporal().workflow_ids(&query).await?;
        ensure!(ids.len() == count, "{ids:?}");
        Ok(true)
    })
    .await
}

/// Waits until every message of the stream has ended.
async fn all_ended(project: &Project, nats: &Nats) -> anyhow::Result<()> {
    eventually("all messages to end", || async {
        let info = nats.consumer("EVENTS", &consumer(project)).await?;
        ensure!(
            info.num_pending == 0 && info.num_ack_pending == 0,
            "{info:?}"
        );
        Ok(true)
    })
    .await
}

async fn dead_letters(project: &Project, nats: &Nats) -> anyhow::Result<Vec<Stored>> {
    Box::pin(nats.stored(&consumer(project))).await
}

fn header(stored: &Stored, name: &str) -> String {
    stored
        .headers
        .get(name)
        .map(ToString::to_string)
        .unwrap_or_default()
}

async fn an_event_starts_one_run_in_every_mode_and_however_often_it_comes(
    on: Scheduler,
) -> anyhow::Result<()> {
    let (project, nats) = prepared(on).await?;
    let worker = project
        .worker()
        .flag("--nats-url", &nats.url())
        .flag("--log", "almanac=debug")
        .start()
        .await?;
    connected(&worker).await?;
    let subject = "events.order.paid";
    let bare = nats.publish(subject, &[], &event("1").to_string()).await?;
    let first = delivered(&worker, bare, "started").await?;
    assert_eq!(first["runs"][0]["result"], "started", "{first}");
    assert_eq!(
        (&first["via"], &first["by"]),
        (&json!("nats"), &json!("EVENTS"))
    );
    let structured = [("Content-Type", "application/cloudevents+json")];
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/shop"),
        ("ce-type", "order.paid"),
        ("Content-Type", "application/json"),
    ];
    for _ in 0..2 {
        let body = event("1").to_string();
        let again = nats.publish(subject, &structured, &body).await?;
        let again = delivered(&worker, again, "started").await?;
        is_the_same_run(&first, &again);
        let again = nats.publish(subject, &binary, r#"{"n":"1"}"#).await?;
        let again = delivered(&worker, again, "started").await?;
        is_the_same_run(&first, &again);
    }
    let other = nats
        .publish(
            "events.other",
            &[],
            &event("2").to_string().replace("order.", ""),
        )
        .await?;
    delivered(&worker, other, "no_match").await?;
    all_ended(&project, &nats).await?;
    has_runs(&project, "takes", 1).await?;
    let metric = worker
        .metric(
            "almanac_events_total",
            &["source=\"nats\"", "result=\"started\""],
        )
        .await?;
    assert!((metric - 5.0).abs() < 0.1, "{metric}");
    eventually("the gauges", || async {
        let (_, page) = worker.get("/metrics").await?;
        Ok(["pending", "ack_pending", "redelivered"]
            .iter()
            .all(|name| page.contains(&format!("almanac_events_{name} 0"))))
    })
    .await?;
    drop(worker);

    let plain = project
        .worker()
        .flag("--nats-url", &nats.url())
        .switch("--nats-plain-json")
        .start()
        .await?;
    connected(&plain).await?;
    let message = nats.publish(subject, &[], r#"{"n":3}"#).await?;
    let delivery = delivered(&plain, message, "started").await?;
    let event = &delivery["event"];
    assert_eq!(
        (&event["type"], &event["source"]),
        (&json!("order.paid"), &json!("nats://EVENTS"))
    );
    has_runs(&project, "takes", 2).await
}

async fn a_message_of_mqtt_starts_a_run(on: Scheduler) -> anyhow::Result<()> {
    let (project, nats) = (Project::new(on).await?, Nats::with_mqtt().await?);
    nats.stream("EVENTS", "events.>").await?;
    project.write("takes.yaml", TAKES)?;
    let worker = project
        .worker()
        .flag("--nats-url", &nats.url())
        .switch("--nats-plain-json")
        .start()
        .await?;
    connected(&worker).await?;
    nats.publish_mqtt("events/order/paid", r#"{"n":1}"#).await?;
    let plain = delivered(&worker, 1, "started").await?;
    assert_eq!(plain["event"]["type"], "order.paid", "{plain}");
    drop(worker);
    // Without the flag, a message is a CloudEvent. It starts one run, however often it is sent.
    let worker = started(&project, &nats).await?;
    for sequence in [2, 3] {
        let topic = "events/order/paid";
        nats.publish_mqtt(topic, &event("1").to_string()).await?;
        let whole = delivered(&worker, sequence, "started").await?;
        assert_eq!(whole["event"]["id"], "1", "{whole}");
    }
    has_runs(&project, "takes", 2).await
}

async fn events_from_before_the_consumer_start_nothing(on: Scheduler) -> anyhow::Result<()> {
    let (project, nats) = prepared(on).await?;
    nats.publish("events.order.paid", &[], &event("old").to_string())
        .await?;
    let mut worker = started(&project, &nats).await?;
    let config = nats.consumer("EVENTS", &consumer(&project)).await?.config;
    assert_eq!(config.ack_wait, Duration::from_secs(30));
    assert_eq!(config.filter_subject, "events.>");
    assert!(
        config.max_deliver > 0 && config.max_ack_pending > 0,
        "{config:?}"
    );
    let new = nats
        .publish("events.order.paid", &[], &event("new").to_string())
        .await?;
    delivered(&worker, new, "started").await?;
    // What comes while no worker runs is not lost: the consumer stays.
    worker.kill()?;
    let later = nats
        .publish("events.order.paid", &[], &event("later").to_string())
        .await?;
    worker.restart().await?;
    delivered(&worker, later, "started").await?;
    has_runs(&project, "takes", 2).await
}

async fn a_worker_killed_between_a_start_and_its_acknowledgement_starts_one_run(
    on: Scheduler,
) -> anyhow::Result<()> {
    let (project, nats) = prepared(on).await?;
    impatient(&project, &nats, 100).await?;
    let proxy = Proxy::start(project.address()).await?;
    let mut worker = project
        .worker()
        .through(&proxy)
        .flag("--nats-url", &nats.url())
        .start()
        .await?;
    connected(&worker).await?;
    let mut gate = proxy.hold_answer("StartWorkflowExecution", 0);
    let message = nats
        .publish("events.order.paid", &[], &event("1").to_string())
        .await?;
    gate.reached().await?;
    worker.kill()?;
    drop(gate);
    proxy.clear();
    has_runs(&project, "takes", 1).await?;
    let query = format!("WorkflowId STARTS_WITH '{}/takes/'", project.name());
    let run = project.temporal().workflow_ids(&query).await?;
    worker.restart().await?;
    let again = delivered(&worker, message, "started").await?;
    assert_eq!(again["runs"][0]["workflow_id"], run[0], "{again}");
    assert_eq!(again["attempt"], 2);
    all_ended(&project, &nats).await?;
    has_runs(&project, "takes", 1).await
}

async fn a_restart_of_nats_interrupts_nothing(on: Scheduler) -> anyhow::Result<()> {
    let (project, mut nats) = prepared(on).await?;
    let worker = started(&project, &nats).await?;
    let first = nats
        .publish("events.order.paid", &[], &event("1").to_string())
        .await?;
    delivered(&worker, first, "started").await?;
    nats.kill()?;
    eventually("the absence to be reported", || async {
        let events = readiness(&worker).await?["events"].clone();
        ensure!(events["connected"] == false, "{events}");
        Ok(events["last_error"]
            .as_str()
            .is_some_and(|error| error.contains("NATS at")))
    })
    .await?;
    assert_eq!(worker.get("/readyz").await?.0, 200);
    nats.begin().await?;
    connected(&worker).await?;
    let second = nats
        .publish("events.order.paid", &[], &event("2").to_string())
        .await?;
    delivered(&worker, second, "started").await?;
    has_runs(&project, "takes", 2).await
}

/// More events than are handled at a time, for longer than NATS waits for an acknowledgement.
async fn an_outage_of_temporal_loses_no_event_and_gives_none_up(
    on: Scheduler,
) -> anyhow::Result<()> {
    const COUNT: u64 = 50;
    let mut server = OwnServer::start(on)?;
    let project = Project::at(&server.address()).await?;
    let nats = Nats::start().await?;
    nats.stream("EVENTS", "events.>").await?;
    project.write("takes.yaml", TAKES)?;
    impatient(&project, &nats, 100).await?;
    let worker = started(&project, &nats).await?;
    server.kill()?;
    for number in 0..COUNT {
        nats.publish(
            "events.order.paid",
            &[],
            &event(&number.to_string()).to_string(),
        )
        .await?;
    }
    // The intake of HTTP is safe too.
    let (status, body) = worker.send_event(&event("http")).await?;
    assert_eq!(status, 202, "{body}");
    let delivery = &body["deliveries"][0];
    assert_eq!(delivery["state"], "accepted", "{delivery}");
    assert_eq!(delivery["id"], format!("nats-EVENTS-{}", COUNT + 1));
    // The same event is the same message.
    let (status, body) = worker.send_event(&event("http")).await?;
    assert_eq!(
        (status, &body["deliveries"][0]["id"]),
        (202, &delivery["id"]),
        "{body}"
    );
    let (status, _) = worker
        .send_event(&json!({ "specversion": "1.0", "id": "1", "source": "/s", "type": "other" }))
        .await?;
    assert_eq!(status, 204);
    eventually("events to wait", || async {
        let all = deliveries(&worker).await?;
        Ok(all.iter().any(|one| one["state"] == "waiting"))
    })
    .await?;
    // Two times as long as NATS waits.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let held = nats.consumer("EVENTS", &consumer(&project)).await?;
    assert_eq!(held.num_ack_pending, 40, "{held:?}");
    assert_eq!(held.num_redelivered, 0, "{held:?}");
    server.restart()?;
    for sequence in 1..=COUNT + 1 {
        let delivery = delivered(&worker, sequence, "started").await?;
        assert_eq!(delivery["attempt"], 1, "{delivery}");
    }
    let from_http = delivered(&worker, COUNT + 1, "started").await?;
    assert_eq!(from_http["via"], "http", "{from_http}");
    all_ended(&project, &nats).await?;
    assert!(dead_letters(&project, &nats).await?.is_empty());
    has_runs(&project, "takes", usize::try_from(COUNT)? + 1).await
}

async fn events_that_cannot_be_handled_are_set_aside_and_block_no_other(
    on: Scheduler,
) -> anyhow::Result<()> {
    let (project, nats) = prepared(on).await?;
    project.write(
        "types.yaml",
        "kind: event_type\nid: order.checked\nschema: { type: object, required: [amount] }\n",
    )?;
    project.write(
        "checked.yaml",
        &TAKES
            .replace("takes", "checked")
            .replace("order.paid", "order.checked"),
    )?;
    project.write(
        "picky.yaml",
        &TAKES.replace("takes", "picky").replace(
            "event: order.paid",
            "event: order.odd, when: '${ .data.n + 1 > 2 }'",
        ),
    )?;
    let worker = started(&project, &nats).await?;
    let of = |kind: &str| event("1").to_string().replace("order.paid", kind);
    let poison = [
        ("events.x", "{".to_owned(), "the body"),
        (
            "events.x",
            format!("\"{}\"", "x".repeat(1_000_000)),
            "over the limit of 1000000",
        ),
        (
            "events.order.checked",
            of("order.checked"),
            "schema of event type",
        ),
        ("events.order.odd", of("order.odd"), "`when`"),
    ];
    let mut sequences = Vec::new();
    for (subject, body, _) in &poison {
        sequences.push(nats.publish(subject, &[("X-Trace", "t")], body).await?);
    }
    let good = nats
        .publish("events.order.paid", &[], &event("1").to_string())
        .await?;
    delivered(&worker, good, "started").await?;
    all_ended(&project, &nats).await?;
    let dead = dead_letters(&project, &nats).await?;
    assert_eq!(dead.len(), poison.len(), "{dead:?}");
    for ((subject, body, reason), sequence) in poison.iter().zip(sequences) {
        let delivery = delivered(&worker, sequence, "dead").await?;
        assert!(
            delivery["reason"]
                .as_str()
                .context("a reason")?
                .contains(reason),
            "{delivery}"
        );
        let letter = dead
            .iter()
            .find(|one| header(one, "Almanac-Dead-Sequence") == sequence.to_string())
            .context("a dead letter")?;
        assert_eq!(letter.subject, format!("almanac.{}.dead", project.name()));
        assert!(header(letter, "Almanac-Dead-Reason").contains(reason));
        assert_eq!(header(letter, "Almanac-Dead-Subject"), *subject);
        assert_eq!(header(letter, "Almanac-Dead-Stream"), "EVENTS");
        assert_eq!(header(letter, "Almanac-Dead-Deliveries"), "1");
        assert_eq!(header(letter, "X-Trace"), "t");
        assert!(letter.body == body.as_bytes());
    }
    has_runs(&project, "takes", 1).await
}

async fn messages_that_the_client_cannot_read_become_dead_letters(
    on: Scheduler,
) -> anyhow::Result<()> {
    let (project, nats) = prepared(on).await?;
    impatient(&project, &nats, 1000).await?;
    let mut worker = started(&project, &nats).await?;
    let publish = async |first: usize| {
        let mut sent = Vec::new();
        for (number, (subject, headers, reason)) in (first..).zip([
            (
                &b"events.order.paid"[..],
                &b"NATS/1.0\r\ntwo words: 1\r\n\r\n"[..],
                "`two words` is not a name of a header",
            ),
            (
                b"events.order.paid",
                b"NATS/1.0\r\nX-Trace: \xff\r\n\r\n",
                "the headers are not UTF-8",
            ),
            (
                b"events.order.paid",
                b"NATS/1.0\r\nno colon\r\n\r\n",
                "a line of the headers has no colon",
            ),
            (
                b"events.order.paid",
                b"NATS/1.0\r\nX-Trace: a\rb\r\n\r\n",
                "the value of the header `X-Trace` has a carriage return",
            ),
            (
                b"events.\xff",
                b"NATS/1.0\r\n\r\n",
                "the subject is not UTF-8",
            ),
            (
                "events.a\u{a0}b".as_bytes(),
                b"NATS/1.0\r\n\r\n",
                "the subject has white space",
            ),
        ]) {
            let body = event(&number.to_string()).to_string();
            let sequence = nats.publish_raw(subject, headers, &body).await?;
            sent.push((sequence, headers, body, reason));
            // The subject means nothing, and the last one looks like a bad one in answers.
            let good = event(&format!("good-{number}")).to_string();
            let subject = ["events.order.paid", "events.\u{fffd}"][number % 2];
            nats.publish(subject, &[], &good).await?;
        }
        anyhow::Ok(sent)
    };
    let mut sent = publish(0).await?;
    all_ended(&project, &nats).await?;
    // The same again while no worker runs, and for two at once.
    worker.kill()?;
    sent.extend(publish(6).await?);
    worker.restart().await?;
    let other = started(&project, &nats).await?;
    all_ended(&project, &nats).await?;
    for worker in [&worker, &other] {
        connected(worker).await?;
    }

    let dead = dead_letters(&project, &nats).await?;
    assert_eq!(dead.len(), sent.len(), "{dead:?}");
    for (sequence, headers, body, reason) in sent {
        let letter = dead
            .iter()
            .find(|one| header(one, "Almanac-Dead-Sequence") == sequence.to_string())
            .context("a dead letter")?;
        assert_eq!(header(letter, "Almanac-Dead-Reason"), reason);
        assert_eq!(
            header(letter, "Almanac-Dead-Headers"),
            STANDARD.encode(headers)
        );
        assert_eq!(letter.body, body.as_bytes());
        for worker in [&worker, &other] {
            let delivery = delivered(worker, sequence, "dead").await?;
            assert_eq!(delivery["reason"], reason);
        }
        // It has no event: nothing may start without the headers.
        let path = format!("/api/v1/events/nats-EVENTS-{sequence}/replay");
        let (status, body) = worker.post(&path, &[], "").await?;
        assert_eq!(status, 422, "{body}");
    }
    has_runs(&project, "takes", 12).await
}

async fn an_event_is_a_dead_letter_before_it_ends(on: Scheduler) -> anyhow::Result<()> {
    let (project, nats) = prepared(on).await?;
    // No dead letter fits into this stream.
    let subject = format!("almanac.{}.dead", project.name());
    nats.stream_up_to(&consumer(&project), &subject, 10).await?;
    let worker = started(&project, &nats).await?;
    let message = nats.publish("events.x", &[], "{").await?;
    delivered(&worker, message, "waiting").await?;
    let info = nats.consumer("EVENTS", &consumer(&project)).await?;
    assert_eq!(
        (info.num_ack_pending, info.ack_floor.stream_sequence),
        (1, 0),
        "{info:?}"
    );
    assert!(worker.log()?.contains("cannot write a dead letter"));
    let error = readiness(&worker).await?["events"]["dead_letter_error"].clone();
    assert!(error.is_string(), "{error}");
    let letters = "almanac_event_dead_letters_total";
    assert!(worker.metric(letters, &["result=\"error\""]).await? >= 1.0);
    nats.remove_stream(&consumer(&project)).await?;
    let dead = delivered(&worker, message, "dead").await?;
    assert!(dead["attempt"].as_u64() > Some(1), "{dead}");
    all_ended(&project, &nats).await?;
    assert_eq!(dead_letters(&project, &nats).await?.len(), 1);
    let error = readiness(&worker).await?["events"]["dead_letter_error"].clone();
    assert!(error.is_null(), "{error}");
    assert!(worker.metric(letters, &["result=\"ok\""]).await? >= 1.0);
    Ok(())
}

async fn a_dead_letter_of_an_earlier_process_is_replayed(on: Scheduler) -> anyhow::Result<()> {
    const SCHEMA: &str =
        "kind: event_type\nid: order.paid\nschema: { type: object, required: [amount] }\n";
    let (project, nats) = prepared(on).await?;
    project.write("types.yaml", SCHEMA)?;
    let mut worker = started(&project, &nats).await?;
    let subject = "events.order.paid";
    let sent = event("1").to_string();
    let first = nats.publish(subject, &[], &sent).await?;
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "2"),
        ("ce-source", "/shop"),
        ("ce-type", "order.paid"),
        ("Content-Type", "application/json"),
        ("Nats-Msg-Id", "binary"),
    ];
    let second = nats.publish(subject, &headers, "{}").await?;
    let third = nats.publish("events.x", &[], "{").await?;
    let mut before = Vec::new();
    for sequence in [first, second, third] {
        before.push(delivered(&worker, sequence, "dead").await?);
    }
    worker.kill()?;
    worker.restart().await?;
    connected(&worker).await?;
    let other = started(&project, &nats).await?;
    for (sequence, before) in [first, second, third].into_iter().zip(&before) {
        for worker in [&worker, &other] {
            let known = delivered(worker, sequence, "dead").await?;
            for same in ["event", "reason", "attempt", "by"] {
                assert_eq!(known[same], before[same], "{known}");
            }
        }
    }

    // As long as nothing has changed, the event is refused again and stays dead.
    let path = |sequence: u64| format!("/api/v1/events/nats-EVENTS-{sequence}/replay");
    let (status, body) = worker.post(&path(first), &[], "").await?;
    assert_eq!(status, 422, "{body}");
    assert_eq!(dead_letters(&project, &nats).await?.len(), 3);
    project.write("types.yaml", "kind: event_type\nid: order.paid\n")?;
    worker.sync().await?;
    for sequence in [first, second] {
        let (status, body) = worker.post(&path(sequence), &[], "").await?;
        assert_eq!(status, 202, "{body}");
    }
    let (status, body) = worker.post(&path(third), &[], "").await?;
    assert_eq!(status, 422, "{body}");
    has_runs(&project, "takes", 2).await?;
    let letters = dead_letters(&project, &nats).await?;
    let left: Vec<_> = letters
        .iter()
        .map(|letter| header(letter, "Almanac-Dead-Sequence"))
        .collect();
    assert_eq!(left, [third.to_string()]);
    for worker in [&worker, &other] {
        eventually("the dead letters that are left", || async {
            let all = deliveries(worker).await?;
            let dead = all.iter().filter(|one| one["state"] == "dead");
            let dead: Vec<_> = dead.map(|one| one["id"].clone()).collect();
            ensure!(dead == [json!(format!("nats-EVENTS-{third}"))], "{dead:?}");
            Ok(true)
        })
        .await?;
    }
    Ok(())
}

/// NATS and Temporal are killed and restarted, and one of two workers stands still, each in the
/// middle of the events.
async fn a_thousand_events_start_a_thousand_runs_through_every_failure(
    on: Scheduler,
) -> anyhow::Result<()> {
    const COUNT: usize = 1000;
    const PART: usize = COUNT / 4;
    let mut server = OwnServer::start(on)?;
    let project = Project::at(&server.address()).await?;
    let mut nats = Nats::start().await?;
    nats.stream("EVENTS", "events.>").await?;
    project.write("takes.yaml", TAKES)?;
    impatient(&project, &nats, 1000).await?;
    let (worker, mut stopped) = (
        started(&project, &nats).await?,
        started(&project, &nats).await?,
    );
    let publish = async |nats: &Nats, part: usize| {
        let numbers = part * PART..(part + 1) * PART;
        let bodies = numbers.map(|number| event(&number.to_string()).to_string());
        nats.publish_all("events.order.paid", bodies).await
    };
    let in_the_middle = async |nats: &Nats, part: u64| {
        eventually("some of the events to be handled", || async {
            let info = nats.consumer("EVENTS", &consumer(&project)).await?;
            Ok(info.ack_floor.stream_sequence > part * PART as u64)
        })
        .await
    };
    publish(&nats, 0).await?;
    in_the_middle(&nats, 0).await?;
    nats.kill()?;
    nats.begin().await?;

    publish(&nats, 1).await?;
    in_the_middle(&nats, 1).await?;
    server.kill()?;
    publish(&nats, 2).await?;
    server.restart()?;

    in_the_middle(&nats, 2).await?;
    stopped.process().signal("STOP")?;
    publish(&nats, 3).await?;
    in_the_middle(&nats, 3).await?;
    all_ended(&project, &nats).await?;
    stopped.process().signal("CONT")?;
    connected(&stopped).await?;

    has_runs(&project, "takes", COUNT).await?;
    let ids = project
        .temporal()
        .workflow_ids("WorkflowType = 'RunDefinition'");
    let mut ids = ids.await?;
    ids.dedup();
    assert_eq!(ids.len(), COUNT, "a workflow id has two runs");
    assert!(dead_letters(&project, &nats).await?.is_empty());
    drop(worker);
    Ok(())
}

async fn a_start_that_fails_is_tried_again_later_and_then_given_up(
    on: Scheduler,
) -> anyhow::Result<()> {
    let (project, nats) = prepared(on).await?;
    impatient(&project, &nats, 2).await?;
    let proxy = Proxy::start(project.address()).await?;
    let worker = project
        .worker()
        .through(&proxy)
        .flag("--nats-url", &nats.url())
        .start()
        .await?;
    connected(&worker).await?;
    // All tries of one attempt.
    proxy.fail("StartWorkflowExecution", 0, 4, Code::Internal);
    let first = nats
        .publish("events.order.paid", &[], &event("1").to_string())
        .await?;
    let waiting = delivered(&worker, first, "waiting").await?;
    assert_eq!(waiting["runs"][0]["result"], "failed", "{waiting}");
    assert!(waiting["runs"][0].get("away").is_none(), "{waiting}");
    let second = nats
        .publish("events.order.paid", &[], &event("2").to_string())
        .await?;
    delivered(&worker, second, "started").await?;
    let again = delivered(&worker, first, "started").await?;
    assert_eq!(again["attempt"], 2);

    proxy.fail("StartWorkflowExecution", 0, 8, Code::Internal);
    let third = nats
        .publish("events.order.paid", &[], &event("3").to_string())
        .await?;
    let dead = delivered(&worker, third, "dead").await?;
    assert_eq!(dead["attempt"], 2, "{dead}");
    all_ended(&project, &nats).await?;
    let letters = dead_letters(&project, &nats).await?;
    assert_eq!(header(&letters[0], "Almanac-Dead-Deliveries"), "2");
    has_runs(&project, "takes", 2).await
}

async fn replicas_share_the_events(on: Scheduler) -> anyhow::Result<()> {
    const COUNT: usize = 120;
    let (project, nats) = prepared(on).await?;
    let workers = [
        started(&project, &nats).await?,
        started(&project, &nats).await?,
    ];
    let bodies = (0..COUNT).map(|number| event(&number.to_string()).to_string());
    nats.publish_all("events.order.paid", bodies).await?;
    all_ended(&project, &nats).await?;
    has_runs(&project, "takes", COUNT).await?;
    let mut sum = 0;
    for worker in &workers {
        let count = deliveries(worker).await?.len();
        assert!(count > 0, "one worker did all");
        sum += count;
    }
    assert_eq!(sum, COUNT);
    Ok(())
}

async fn a_shutdown_finishes_what_it_can_and_hands_back_the_rest(
    on: Scheduler,
) -> anyhow::Result<()> {
    let (project, nats) = prepared(on).await?;
    let proxy = Proxy::start(project.address()).await?;
    let mut worker = project
        .worker()
        .through(&proxy)
        .flag("--nats-url", &nats.url())
        .instead("--shutdown-timeout", "8s")
        .start()
        .await?;
    connected(&worker).await?;
    let mut gate = proxy.hold("StartWorkflowExecution", 0);
    nats.publish("events.order.paid", &[], &event("1").to_string())
        .await?;
    gate.reached().await?;
    worker.process().signal("TERM")?;
    eventually("the stop to begin", || async {
        Ok(worker.log()?.contains("shutting down"))
    })
    .await?;
    gate.release();
    assert_eq!(worker.process().wait(SOON)?, 0);
    let info = nats.consumer("EVENTS", &consumer(&project)).await?;
    assert_eq!(
        (info.num_ack_pending, info.num_redelivered),
        (0, 0),
        "{info:?}"
    );
    has_runs(&project, "takes", 1).await?;

    worker.respawn()?;
    worker.ready().await?;
    connected(&worker).await?;
    let mut gate = proxy.hold("StartWorkflowExecution", 0);
    let second = nats
        .publish("events.order.paid", &[], &event("2").to_string())
        .await?;
    gate.reached().await?;
    assert_eq!(worker.terminate(SOON)?, 0, "{}", worker.log()?);
    let other = started(&project, &nats).await?;
    // Well before NATS would deliver it again by itself.
    let again = tokio::time::timeout(
        Duration::from_secs(20),
        delivered(&other, second, "started"),
    );
    assert_eq!(again.await??["attempt"], 2);
    drop(gate);
    has_runs(&project, "takes", 2).await
}

async fn a_missing_stream_is_waited_for_or_created(on: Scheduler) -> anyhow::Result<()> {
    let (project, nats) = (Project::new(on).await?, Nats::start().await?);
    project.write("takes.yaml", TAKES)?;
    let worker = project
        .worker()
        .flag("--nats-url", &nats.url())
        .start()
        .await?;
    let hint = "nats stream add EVENTS --subjects 'events.>'";
    eventually("the hint", || async {
        let events = readiness(&worker).await?["events"].clone();
        Ok(events["last_error"]
            .as_str()
            .is_some_and(|error| error.contains(hint)))
    })
    .await?;
    // An event that no stream stores starts its runs directly.
    let (status, body) = worker.send_event(&event("http")).await?;
    assert_eq!(
        (status, &body["deliveries"][0]["state"]),
        (202, &json!("started")),
        "{body}"
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    let lines = worker.log()?.matches("no events from NATS").count();
    assert_eq!(lines, 1, "the same trouble is logged once");
    nats.stream("MINE", "events.>").await?;
    connected(&worker).await?;
    drop(worker);
    nats.remove_stream("MINE").await?;
    let worker = project
        .worker()
        .flag("--nats-url", &nats.url())
        .switch("--nats-create-stream")
        .start()
        .await?;
    connected(&worker).await?;
    let message = nats
        .publish("events.order.paid", &[], &event("1").to_string())
        .await?;
    delivered(&worker, message, "started").await?;
    has_runs(&project, "takes", 2).await
}

async fn a_consumer_that_cannot_work_is_reported_and_not_changed(
    on: Scheduler,
) -> anyhow::Result<()> {
    let (project, nats) = prepared(on).await?;
    let config = Config {
        durable_name: Some(consumer(&project)),
        ack_policy: AckPolicy::None,
        ..Config::default()
    };
    nats.make_consumer("EVENTS", config).await?;
    let worker = project
        .worker()
        .flag("--nats-url", &nats.url())
        .start()
        .await?;
    eventually("the reason", || async {
        let events = readiness(&worker).await?["events"].clone();
        let reason = events["last_error"].as_str().context("an error")?;
        Ok(reason.contains("acknowledgement policy") && reason.contains("nats consumer rm EVENTS"))
    })
    .await?;
    let config = nats.consumer("EVENTS", &consumer(&project)).await?.config;
    assert_eq!(config.ack_policy, AckPolicy::None);
    nats.remove_consumer("EVENTS", &consumer(&project)).await?;
    connected(&worker).await
}

/// The credentials are read for each connection, so that a mistake is mended without a restart.
async fn certificates_and_credentials_prove_who_the_worker_is(on: Scheduler) -> anyhow::Result<()> {
    let (project, mut nats) = (Project::new(on).await?, Nats::secured().await?);
    nats.stream("EVENTS", "events.>").await?;
    project.write("takes.yaml", TAKES)?;
    let (wrong, wrong_seed) = nats.files()?.credentials_of_others()?;
    let (right, right_seed) = nats.files()?.credentials()?;
    let credentials = project.folder().join("user.creds");
    std::fs::write(&credentials, wrong)?;
    let file = |name: &str| anyhow::Ok(nats.files()?.file(name));
    let worker = project
        .worker()
        .flag("--nats-url", &nats.url())
        .flag("--nats-ca", &file("ca.pem")?)
        .flag("--nats-cert", &file("client.pem")?)
        .flag("--nats-key", &file("client.key.pem")?)
        .flag("--nats-credentials", &credentials.display().to_string())
        .flag("--log", "trace")
        .start()
        .await?;
    eventually("the refusal", || async {
        let events = readiness(&worker).await?["events"].clone();
        let error = events["last_error"].as_str().context("an error")?;
        Ok(error.contains("refused the credentials"))
    })
    .await?;
    std::fs::write(&credentials, right)?;
    connected(&worker).await?;
    let (status, body) = worker.send_event(&event("1")).await?;
    assert_eq!(
        (status, &body["deliveries"][0]["state"]),
        (202, &json!("accepted")),
        "{body}"
    );
    delivered(&worker, 1, "started").await?;
    // A client that connects again by itself reads the file too.
    nats.kill()?;
    let (other, other_seed) = nats.files()?.credentials()?;
    std::fs::write(&credentials, other)?;
    nats.begin().await?;
    connected(&worker).await?;
    let second = nats
        .publish("events.order.paid", &[], &event("2").to_string())
        .await?;
    delivered(&worker, second, "started").await?;
    let log = worker.log()?;
    for seed in [wrong_seed, right_seed, other_seed] {
        assert!(!log.contains(&seed), "a secret is in the log");
    }
    Ok(())
}
