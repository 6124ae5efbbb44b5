//! Temporal Cloud limits the rates of requests. A large project converges within them, and what an
//! operator asks for does not wait for it.
//!
//! The rates are higher than those of Temporal Cloud, so that the test does not take minutes: 10
//! requests a second for schedules there.

use std::time::Duration;

use almanac_tests::{Project, Proxy, Scheduler, eventually, many, on_one_scheduler};

on_one_scheduler!(a_large_project_converges_and_an_operator_does_not_wait_for_it);

const DEFINITIONS: usize = 1000;
const SCHEDULES_PER_SECOND: u32 = 20;
const LISTS_PER_SECOND: u32 = 10;
const REQUESTS_PER_SECOND: u32 = 150;

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
    Ok(())
}
