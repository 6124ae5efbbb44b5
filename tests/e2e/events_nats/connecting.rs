//! What a worker needs in NATS, and how it proves who it is.

use std::time::Duration;

use almanac_tests::{Nats, Project, Scheduler, eventually, on_one_scheduler};
use anyhow::Context;
use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config;
use serde_json::json;

use super::{TAKES, connected, consumer, delivered, event, has_runs, prepared, readiness};

on_one_scheduler!(
    a_missing_stream_is_waited_for_or_created,
    a_consumer_that_cannot_work_is_reported_and_not_changed,
    certificates_and_credentials_prove_who_the_worker_is,
);

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
