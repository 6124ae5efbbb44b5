//! The harness itself: what the other tests rely on.

use almanac_tests::{
    OwnServer, Project, Proxy, Scheduler, on_both_schedulers, unmanaged_schedule, wait_for,
};
use tonic::Code;

use crate::workflow_client::start_workflow;

on_both_schedulers!(
    the_server_has_the_scheduler_it_is_named_for,
    the_proxy_counts_holds_and_fails,
    the_proxy_limits_the_starts_of_each_id,
    an_own_server_survives_its_restart,
);

/// Each shared server keeps schedules with the scheduler it is asked for.
async fn the_server_has_the_scheduler_it_is_named_for(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let id = project.schedule("mine");
    let temporal = project.temporal();
    temporal
        .create(&id, unmanaged_schedule("30 2 * * *"), &[])
        .await?;
    let live = temporal.live(&id).await?;
    assert_eq!(live.times(), "30 2 1-31 1-12 0-6");

    // Only one of them refuses a token that is out of date.
    let stale = live.0.conflict_token.clone();
    temporal.pause(&id, "moved on").await?;
    let update = temporal.update(&id, live.schedule().clone(), stale).await;
    let refused = matches!(on, almanac_tests::Scheduler::Chasm);
    assert_eq!(update.is_err(), refused, "{update:?}");
    Ok(())
}

/// A proxy counts, holds and fails what passes through it.
async fn the_proxy_counts_holds_and_fails(on: Scheduler) -> anyhow::Result<()> {
    let direct = Project::new(on).await?;
    let proxy = Proxy::start(direct.address()).await?;
    let through = Project::at(proxy.address()).await?;
    let id = through.schedule("mine");

    let mut gate = proxy.hold_answer("CreateSchedule", 0);
    let creation = tokio::spawn({
        let (temporal, id) = (through.temporal().clone(), id.clone());
        async move {
            temporal
                .create(&id, unmanaged_schedule("@daily"), &[])
                .await
        }
    });
    gate.reached().await?;
    assert!(!creation.is_finished());
    assert!(direct.temporal().describe(&id).await?.is_some());
    gate.release();
    creation.await??;
    assert_eq!(proxy.schedule_writes(), 1);

    proxy.fail("DeleteSchedule", 0, 1, Code::PermissionDenied);
    let refused = through.temporal().delete(&id).await.unwrap_err();
    assert!(
        refused.to_string().contains("refused by the test"),
        "{refused}"
    );
    through.temporal().delete(&id).await?;
    Ok(())
}

/// Several starts of one id at a time are too many, and the client repeats those that are refused.
/// Other ids are not affected.
async fn the_proxy_limits_the_starts_of_each_id(on: Scheduler) -> anyhow::Result<()> {
    let direct = Project::new(on).await?;
    let proxy = Proxy::start(direct.address()).await?;
    let through = Project::at(proxy.address()).await?;
    proxy.limit_starts(1);
    let ids = ["one", "two"].map(|id| format!("{}-{id}", through.name()));
    let starts = [0, 1, 0].map(|id| start_workflow(&through, "Nobody", &ids[id], "nobody", None));
    let started = futures::future::join_all(starts).await;
    assert_eq!(
        started.iter().filter(|start| start.is_ok()).count(),
        2,
        "{started:?}"
    );
    let limited = |id: String| {
        let refused = proxy.limited_starts();
        assert!(refused.keys().eq([&id]), "{refused:?}");
    };
    limited(format!("workflow {}", ids[0]));
    for id in &ids {
        direct.temporal().terminate(id).await?;
    }

    // So are several creations of one schedule.
    proxy.limit_starts(1);
    let schedule = through.schedule("mine");
    let create = || {
        let schedule = schedule.clone();
        let temporal = through.temporal();
        async move {
            let mine = unmanaged_schedule("@daily");
            temporal.create(&schedule, mine, &[]).await
        }
    };
    let created = <[_; 2]>::from(futures::join!(create(), create()));
    assert!(created.iter().any(Result::is_ok), "{created:?}");
    limited(format!("schedule {schedule}"));
    assert_eq!(proxy.limited(), 0);
    Ok(())
}

/// A server of a test's own keeps what it holds through a restart.
async fn an_own_server_survives_its_restart(on: Scheduler) -> anyhow::Result<()> {
    let mut server = OwnServer::start(on)?;
    let project = Project::at(&server.address()).await?;
    let id = project.schedule("mine");
    project
        .temporal()
        .create(&id, unmanaged_schedule("@daily"), &[])
        .await?;
    server.kill()?;
    assert!(
        almanac_tests::Temporal::connect(&server.address())
            .await
            .is_err()
    );
    server.restart()?;
    wait_for("the schedule", almanac_tests::SOON, || {
        project.temporal().describe(&id)
    })
    .await?;
    Ok(())
}
