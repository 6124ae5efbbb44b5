//! Workers, NATS and Temporal end and come back, and no event is lost or handled twice.

use std::time::Duration;

use almanac_tests::{
    Nats, OwnServer, Project, Proxy, SOON, Scheduler, eventually, on_one_scheduler,
};
use anyhow::ensure;
use serde_json::json;

use super::{
    TAKES, all_ended, connected, consumer, dead_letters, delivered, deliveries, event, has_runs,
    impatient, prepared, readiness, started,
};

on_one_scheduler!(
    a_worker_killed_between_a_start_and_its_acknowledgement_starts_one_run,
    a_restart_of_nats_interrupts_nothing,
    an_outage_of_temporal_loses_no_event_and_gives_none_up,
    a_thousand_events_start_a_thousand_runs_through_every_failure,
    a_shutdown_finishes_what_it_can_and_hands_back_the_rest,
);

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
