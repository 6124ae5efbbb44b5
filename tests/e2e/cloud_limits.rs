//! Temporal Cloud limits the rates of requests. A large project converges within them, and what an
//! operator asks for does not wait for it.
//!
//! The rates are higher than those of Temporal Cloud, so that the test does not take minutes: 10
//! requests a second for schedules there. The rate of starts of one id is that of Temporal Cloud.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use almanac_tests::{
    Project, Proxy, SOON, Scheduler, Worker, eventually, many, on_both_schedulers,
    on_one_scheduler, wait_for,
};
use serde_json::{Value, json};

use crate::events::{by_order, event};

on_both_schedulers!(a_large_project_converges_and_an_operator_does_not_wait_for_it);
// No schedule is part of it.
on_one_scheduler!(no_event_for_a_workflow_id_that_is_started_too_often_is_lost);

const DEFINITIONS: usize = 1000;
const SCHEDULES_PER_SECOND: u32 = 20;
const LISTS_PER_SECOND: u32 = 10;
const REQUESTS_PER_SECOND: u32 = 150;
const STARTS_OF_AN_ID_PER_SECOND: u32 = 1;

/// Number of events for one workflow id. More than the worker starts before it gives up the rest.
const EVENTS: usize = 10;

async fn a_large_project_converges_and_an_operator_does_not_wait_for_it(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let proxy = Proxy::start(project.address()).await?;
    let schedules = &[
        "CreateSchedule",
        "UpdateSchedule",
        "PatchSchedule",
        "DeleteSchedule",
    ];
    proxy.limit(schedules, SCHEDULES_PER_SECOND);
    proxy.limit(
        &["ListSchedules", "ListWorkflow", "CountWorkflow"],
        LISTS_PER_SECOND,
    );
    proxy.limit(&[""], REQUESTS_PER_SECOND);
    proxy.limit_starts(STARTS_OF_AN_ID_PER_SECOND);
    project.write("all.yaml", &many("job", DEFINITIONS))?;
    let mut worker = project.worker().through(&proxy).spawn()?;
    let count = async || -> anyhow::Result<usize> {
        Ok(project.temporal().list(&project.schedule("")).await?.len())
    };
    eventually("the first schedules", || async { Ok(count().await? >= 20) }).await?;

    // The pass over all of them would take 50 s or more.
    let pause = ["pause", "job-001", "--reason", "test"];
    project.almanac(&pause)?.success()?;
    let live = project
        .temporal()
        .live(&project.schedule("job-001"))
        .await?;
    assert!(live.paused());
    project.almanac(&["trigger", "job-002"])?.success()?;
    let created = count().await?;
    assert!(created < DEFINITIONS, "the operator waited for all of them");
    // Neither the pass that made way nor that of the operator was a full one.
    assert_eq!(worker.get("/readyz").await?.0, 503);

    worker.ready_within(Duration::from_mins(5)).await?;
    eventually("every schedule", || async {
        Ok(count().await? == DEFINITIONS)
    })
    .await?;
    assert!(proxy.limited() > 0, "no limit was reached");
    let report = worker.sync().await?;
    assert_eq!(report.errors, []);
    proxy.reset();
    worker.writes_nothing_in(1).await?;
    assert_eq!(proxy.schedule_writes(), 0);
    worker.restart().await?;
    worker.writes_nothing_in(1).await?;
    let refused = proxy.limited_starts();
    assert!(refused.is_empty(), "started too often: {refused:?}");
    Ok(())
}

/// Sends an event until it is handled, as the answers ask for. Returns the id of its run, and
/// adds the number of answers that asked for it.
async fn run_of(worker: &Worker, event: &Value, repeated: &AtomicUsize) -> anyhow::Result<String> {
    wait_for("the event to be handled", SOON, || async {
        let (status, body) = worker.send_event(event).await?;
        if status == 503 {
            assert!(body.to_string().contains("is started too often"), "{body}");
            repeated.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        assert_eq!(status, 202, "{body}");
        let run = &body["deliveries"][0]["runs"][0];
        assert_eq!(run["result"], "started", "{body}");
        Ok(run["run_id"].as_str().map(str::to_owned))
    })
    .await
}

/// Each event starts a run, and the run takes the place of the one before.
async fn no_event_for_a_workflow_id_that_is_started_too_often_is_lost(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("order.yaml", &by_order("order", "terminate_existing"))?;
    let proxy = Proxy::start(project.address()).await?;
    proxy.limit_starts(STARTS_OF_AN_ID_PER_SECOND);
    let worker = project.worker().through(&proxy).start().await?;
    let repeated = AtomicUsize::new(0);
    let sent = (0..EVENTS).map(|number| {
        let event = event("order", &number.to_string(), json!({ "order": "A-1" }));
        let (worker, repeated) = (&worker, &repeated);
        async move { run_of(worker, &event, repeated).await }
    });
    let runs = futures::future::try_join_all(sent).await?;
    let runs: BTreeSet<String> = runs.into_iter().collect();
    assert_eq!(runs.len(), EVENTS, "{runs:?}");
    let repeated = repeated.into_inner();
    assert!(repeated > 0, "no event had to be sent again");

    // Nothing was started twice.
    let query = format!("WorkflowId = '{}/order/A-1'", project.name());
    eventually("all runs", || async {
        let count = project.temporal().count_workflows(&query).await?;
        anyhow::ensure!(count <= i64::try_from(EVENTS)?, "{count} runs");
        Ok(count == i64::try_from(EVENTS)?)
    })
    .await
}
