//! Killed anywhere, or Temporal away at any time: the next pass converges.

use almanac_tests::{
    OwnServer, Project, Proxy, Scheduler, cron, eventually, many, on_both_schedulers, paused_cron,
};
use tonic::Code;

/// The requests of a pass that a process may be killed at.
const REQUESTS: [&str; 6] = [
    "ListSchedules",
    "DescribeSchedule",
    "CreateSchedule",
    "UpdateSchedule",
    "DeleteSchedule",
    "RespondActivityTaskCompleted",
];

async fn count(project: &Project) -> anyhow::Result<usize> {
    Ok(project.temporal().list(&project.schedule("")).await?.len())
}

/// Prepares a schedule for each kind of operation: to create, update, pause, delete.
fn before(project: &Project) -> anyhow::Result<()> {
    project.write("same.yaml", &cron("0 1 * * *"))?;
    project.write("changes.yaml", &cron("0 1 * * *"))?;
    project.write("pauses.yaml", &cron("0 1 * * *"))?;
    project.write("goes.yaml", &cron("0 1 * * *"))
}

fn after(project: &Project) -> anyhow::Result<()> {
    project.write("changes.yaml", &cron("0 2 * * *"))?;
    project.write("pauses.yaml", &paused_cron("0 1 * * *"))?;
    project.write("comes.yaml", &cron("0 1 * * *"))?;
    project.remove("goes.yaml")
}

async fn is_after(project: &Project) -> anyhow::Result<()> {
    let temporal = project.temporal();
    let definitions = ["changes", "comes", "pauses", "same"];
    project.has_just(&definitions).await?;
    let ids = definitions.map(|id| project.schedule(id));
    assert_eq!(temporal.live(&ids[0]).await?.times(), "0 2 1-31 1-12 0-6");
    assert!(temporal.live(&ids[2]).await?.paused());
    for id in &ids {
        assert_eq!(temporal.live(id).await?.runs(), 0, "{id}");
    }
    Ok(())
}

/// All at once, in projects of their own: after a kill in the middle of a pass
/// the server first waits for the activity's heartbeat.
async fn killed_at_each(on: Scheduler, answered: bool) -> anyhow::Result<()> {
    let kills = REQUESTS.map(|request| killed_at(on, request, answered));
    futures::future::try_join_all(kills).await?;
    Ok(())
}

/// Kills the worker when a request arrives, or when its answer is on its way,
/// and starts it again.
async fn killed_at(on: Scheduler, request: &str, answered: bool) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    before(&project)?;
    let proxy = Proxy::start(project.address()).await?;
    let mut worker = project.worker().through(&proxy).start().await?;
    let mut gate = if answered {
        proxy.hold_answer(request, 0)
    } else {
        proxy.hold(request, 0)
    };
    after(&project)?;
    gate.reached().await?;
    worker.kill()?;
    drop(gate);
    proxy.clear();

    worker.restart().await?;
    is_after(&project).await?;
    assert_eq!(worker.sync().await?.changes, [], "{request} {answered}");
    Ok(())
}

on_both_schedulers!(
    killed_before_a_request,
    killed_before_an_answer,
    killed_in_the_middle_of_two_hundred_creates,
    no_run_is_started_twice,
    one_failed_operation_stops_no_other,
    a_busy_server_is_asked_again,
    a_listing_that_fails_changes_nothing,
    the_server_down_at_the_start,
    the_server_restarted_in_the_middle_of_a_pass,
);

/// Killed before any request of a pass reaches the server.
async fn killed_before_a_request(on: Scheduler) -> anyhow::Result<()> {
    killed_at_each(on, false).await
}

/// Killed after the server did what a request asked, before it is known.
async fn killed_before_an_answer(on: Scheduler) -> anyhow::Result<()> {
    killed_at_each(on, true).await
}

/// Killed in the middle of 200 creates: 200 in the end, each once.
async fn killed_in_the_middle_of_two_hundred_creates(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("all.yaml", &many("job", 200))?;
    let proxy = Proxy::start(project.address()).await?;
    let mut gate = proxy.hold("CreateSchedule", 100);
    let mut worker = project.worker().through(&proxy).spawn()?;
    gate.reached().await?;
    worker.kill()?;
    drop(gate);
    eventually("some of them to be listed", || async {
        let some = count(&project).await?;
        anyhow::ensure!(some < 200, "{some}");
        Ok(some >= 50)
    })
    .await?;

    worker.restart().await?;
    project.has_schedules(200).await?;
    assert_eq!(worker.sync().await?.changes, []);
    Ok(())
}

/// A schedule that fires every second is never started twice for one
/// moment, however often the worker is killed.
async fn no_run_is_started_twice(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("often.yaml", "schedule: { every: 1s, overlap_policy: allow_all }\nworkflow: { type: Nobody, task_queue: nobody }\n")?;
    let mut worker = project.worker().start().await?;
    let id = project.schedule("often");
    let temporal = project.temporal();
    for _ in 0..3 {
        worker.kill()?;
        worker.restart().await?;
    }
    let live = temporal.live(&id).await?;
    let mut moments: Vec<_> = live
        .0
        .info
        .as_ref()
        .unwrap()
        .recent_actions
        .iter()
        .map(|action| action.schedule_time.unwrap().seconds)
        .collect();
    let all = moments.len();
    moments.sort_unstable();
    moments.dedup();
    assert_eq!(moments.len(), all);
    assert_eq!(live.0.info.as_ref().unwrap().missed_catchup_window, 0);
    Ok(())
}

/// The failure of an operation stops no other operation, and is in the report.
async fn one_failed_operation_stops_no_other(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("all.yaml", &many("job", 5))?;
    let proxy = Proxy::start(project.address()).await?;
    let worker = project.worker().through(&proxy).start().await?;
    project.write("all.yaml", &many("job", 9))?;
    proxy.fail("CreateSchedule", 1, 1, Code::InvalidArgument);
    let report = worker.sync().await?;
    // The pass after may have made it good already.
    assert!(report.schedules.created >= 3, "{report:?}");
    assert_eq!(report.errors.len(), 1, "{report:?}");
    assert!(
        report.errors[0].message.contains("refused by the test"),
        "{report:?}"
    );
    eventually("eight to be listed", || async {
        Ok(count(&project).await? >= 8)
    })
    .await?;
    // Errors of single schedules do not count against readiness.
    assert_eq!(worker.get("/readyz").await?.0, 200);
    worker.sync().await?;
    project.has_schedules(9).await?;
    Ok(())
}

/// A server that is busy is asked again, with patience; `ResourceExhausted`
/// and `Unavailable` never mean "absent".
async fn a_busy_server_is_asked_again(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("all.yaml", &many("job", 5))?;
    let proxy = Proxy::start(project.address()).await?;
    let worker = project.worker().through(&proxy).start().await?;
    proxy.fail("ListSchedules", 0, 2, Code::ResourceExhausted);
    proxy.fail("DescribeSchedule", 0, 2, Code::Unavailable);
    proxy.fail("UpdateSchedule", 0, 1, Code::ResourceExhausted);
    let text = many("job", 5).replace("1 1 *", "2 1 *");
    project.write("all.yaml", &text)?;
    let report = worker.sync().await?;
    assert_eq!(
        (
            report.errors,
            report.schedules.created,
            report.schedules.deleted
        ),
        (vec![], 0, 0)
    );
    almanac_tests::eventually("all five to be updated", || async {
        let live = project
            .temporal()
            .live(&project.schedule("job-004"))
            .await?;
        Ok(live.times() == "4 0 2 1 0-6")
    })
    .await
}

/// A listing that fails part-way is no view of the server: nothing is
/// created, nothing removed, and the next pass does it all.
async fn a_listing_that_fails_changes_nothing(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    before(&project)?;
    let proxy = Proxy::start(project.address()).await?;
    let worker = project.worker().through(&proxy).start().await?;
    proxy.fail("ListSchedules", 0, 1, Code::PermissionDenied);
    proxy.reset();
    after(&project)?;
    let _failed = worker.post_sync_once("").await;
    almanac_tests::eventually("the pass after", || async {
        worker.sync().await?;
        is_after_quietly(&project).await
    })
    .await?;
    is_after(&project).await
}

/// The server down at the start: the process lives and is not ready, and
/// converges by itself when the server comes.
async fn the_server_down_at_the_start(on: Scheduler) -> anyhow::Result<()> {
    let mut server = OwnServer::start(on)?;
    let project = Project::at(&server.address()).await?;
    server.kill()?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let mut worker = project.worker().spawn()?;
    eventually("HTTP", || async {
        Ok(worker.get("/healthz").await?.0 == 200)
    })
    .await?;
    let (status, body) = worker.get("/readyz").await?;
    assert_eq!(status, 503, "{body}");
    let (status, body) = worker.post_sync_once("").await?;
    assert_eq!(status, 503, "{body}");
    let definitions = worker.json("/api/v1/definitions").await?;
    assert!(definitions.to_string().contains("one"), "{definitions}");

    server.restart()?;
    worker.ready().await?;
    project.has_schedules(1).await?;
    Ok(())
}

/// The server restarted in the middle of a pass, for longer than a request
/// waits: the process stays alive, and the pass is made good.
async fn the_server_restarted_in_the_middle_of_a_pass(on: Scheduler) -> anyhow::Result<()> {
    let mut server = OwnServer::start(on)?;
    let project = Project::at(&server.address()).await?;
    let proxy = Proxy::start(&server.address()).await?;
    project.write("all.yaml", &many("job", 30))?;
    let mut gate = proxy.hold("CreateSchedule", 15);
    let mut worker = project.worker().through(&proxy).spawn()?;
    gate.reached().await?;
    server.kill()?;
    drop(gate);
    assert_eq!(worker.get("/readyz").await?.0, 503);
    server.restart()?;
    worker.ready().await?;
    project.has_schedules(30).await?;
    // Each was made once, whatever was lost on the way.
    assert!(worker.sync().await?.schedules.created <= 30);
    assert_eq!(worker.sync().await?.changes, []);
    assert_eq!(worker.get("/healthz").await?.0, 200);
    Ok(())
}

async fn is_after_quietly(project: &Project) -> anyhow::Result<bool> {
    let gone = project
        .temporal()
        .describe(&project.schedule("goes"))
        .await?
        .is_none();
    Ok(gone
        && project
            .temporal()
            .describe(&project.schedule("comes"))
            .await?
            .is_some())
}
