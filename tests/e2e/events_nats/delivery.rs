//! Events become runs, each once, whichever worker takes them.

use std::time::Duration;

use almanac_tests::{Nats, Project, Scheduler, eventually, on_both_schedulers, on_one_scheduler};
use serde_json::json;

use super::{
    TAKES, all_ended, assert_same_run, connected, consumer, delivered, deliveries, event, has_runs,
    prepared, started,
};

on_both_schedulers!(an_event_starts_one_run_in_every_mode_and_however_often_it_comes);
on_one_scheduler!(
    a_message_of_mqtt_starts_a_run,
    events_from_before_the_consumer_start_nothing,
    replicas_share_the_events,
);

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
        assert_same_run(&first, &again);
        let again = nats.publish(subject, &binary, r#"{"n":"1"}"#).await?;
        let again = delivered(&worker, again, "started").await?;
        assert_same_run(&first, &again);
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
