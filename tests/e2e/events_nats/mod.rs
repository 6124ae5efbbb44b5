//! Events from a stream of a real NATS server start runs, each once.

mod connecting;
mod dead_letters;
mod delivery;
mod failures;

use std::time::Duration;

use almanac_tests::{Nats, Project, SOON, Scheduler, Stored, Worker, eventually, wait_for};
use anyhow::{Context, ensure};
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use serde_json::{Value, json};

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

/// Both deliveries have one run. The server may answer the repeated request with that run, or say that
/// it exists.
fn assert_same_run(first: &Value, again: &Value) {
    let (first, again) = (&first["runs"][0], &again["runs"][0]);
    assert_eq!(first["workflow_id"], again["workflow_id"]);
    if again["result"] != "existing" {
        assert_eq!(first["run_id"], again["run_id"], "{again}");
    }
}

/// Waits until a definition has this many runs.
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
