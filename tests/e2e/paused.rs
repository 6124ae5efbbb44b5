//! Every rule about the paused state of
//! `docs/contract.md#6-what-is-compared-and-what-is-done`.

use almanac_tests::{
    Project, Scheduler, Worker, cron, eventually, on_both_schedulers, paused_cron, temporal_cli,
    with_schedule,
};
use serde_json::json;

async fn shown(worker: &Worker, id: &str) -> anyhow::Result<(String, String)> {
    let shown = worker.json(&format!("/api/v1/schedules/{id}")).await?;
    let text = |key: &str| shown[key].as_str().unwrap_or_default().to_owned();
    Ok((text("state"), text("paused_by")))
}

on_both_schedulers!(
    either_enabled_that_is_false_pauses,
    the_yaml_pauses_and_unpauses,
    a_pause_older_than_the_yamls_outlives_it,
    a_manual_pause_stays_one_after_an_override_and_a_rename,
    a_pause_by_hand_is_kept_and_shown,
    an_unpause_by_hand_is_kept,
    an_edit_about_something_else_leaves_a_pause_alone,
    a_pause_on_failure_is_kept_and_shown,
    the_temporal_cli_pauses_and_unpauses,
    a_replaced_body_is_never_unpaused,
);

/// YAML-paused means not both `enabled` and `schedule.enabled`.
async fn either_enabled_that_is_false_pauses(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "whole.yaml",
        &format!("enabled: false\n{}", cron("0 1 * * *")),
    )?;
    project.write("schedule.yaml", &paused_cron("0 1 * * *"))?;
    project.write("neither.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    let temporal = project.temporal();
    for (id, paused) in [("whole", true), ("schedule", true), ("neither", false)] {
        let live = temporal.live(&project.schedule(id)).await?;
        assert_eq!(live.paused(), paused, "{id}");
    }
    assert_eq!(
        shown(&worker, "whole").await?,
        ("paused".into(), "yaml".into())
    );
    assert_eq!(shown(&worker, "neither").await?.0, "active");
    worker.writes_nothing_in(3).await
}

/// The YAML turning paused pauses; turning active again unpauses.
async fn the_yaml_pauses_and_unpauses(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    let id = project.schedule("one");

    project.write("one.yaml", &paused_cron("0 1 * * *"))?;
    let report = worker.sync().await?;
    assert_eq!(report.schedules.paused, 1, "{report:?}");
    assert!(project.temporal().live(&id).await?.paused());

    project.write("one.yaml", &cron("0 1 * * *"))?;
    let report = worker.sync().await?;
    assert_eq!(report.schedules.unpaused, 1, "{report:?}");
    assert!(!project.temporal().live(&id).await?.paused());
    worker.writes_nothing_in(3).await
}

/// A schedule that someone had paused before the YAML turned paused stays
/// paused when the YAML turns active again.
async fn a_pause_older_than_the_yamls_outlives_it(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    let id = project.schedule("one");
    let temporal = project.temporal();
    temporal.pause(&id, "maintenance").await?;

    project.write("one.yaml", &paused_cron("0 1 * * *"))?;
    worker.sync().await?;
    let live = temporal.live(&id).await?;
    assert!(live.paused());
    assert_eq!(
        live.action_memo().unwrap()["flags"],
        json!(["paused_before"]),
        "{live}"
    );

    project.write("one.yaml", &cron("0 1 * * *"))?;
    worker.sync().await?;
    let live = temporal.live(&id).await?;
    assert!(live.paused(), "{live}");
    assert_eq!(live.action_memo().unwrap().get("flags"), None, "{live}");
    worker.writes_nothing_in(3).await
}

/// A manual pause that an override lifted is a manual pause again once the override is
/// cleared; a rename carries it over with the words of whoever paused.
async fn a_manual_pause_stays_one_after_an_override_and_a_rename(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    project.write("other.yaml", &cron("0 2 * * *"))?;
    let worker = project.worker().start().await?;
    let by_hand = ("paused".to_owned(), "hand".to_owned());
    project
        .temporal()
        .pause(&project.schedule("one"), "lunch")
        .await?;
    let lift = [
        "override",
        "one",
        "--set",
        "enabled=true",
        "--reason",
        "now",
    ];
    project.almanac(&lift)?.success()?;
    let id = project.schedule("one");
    assert!(!project.temporal().live(&id).await?.paused());
    project.almanac(&["clear-override", "one"])?.success()?;
    assert!(project.temporal().live(&id).await?.paused());
    assert_eq!(shown(&worker, "one").await?, by_hand);

    project.temporal().pause(&id, "lunch").await?;
    project.remove("one.yaml")?;
    project.write("renamed.yaml", &cron("0 1 * * *"))?;
    worker.sync().await?;
    let live = project
        .temporal()
        .live(&project.schedule("renamed"))
        .await?;
    assert!(live.paused() && live.note().starts_with("lunch"), "{live}");
    assert_eq!(shown(&worker, "renamed").await?, by_hand);
    worker.writes_nothing_in(3).await
}

/// With the YAML unchanged a manual pause is kept and shown with its
/// note, through passes and a restart.
async fn a_pause_by_hand_is_kept_and_shown(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let mut worker = project
        .worker()
        .flag("--resync-interval", "1s")
        .start()
        .await?;
    let id = project.schedule("one");
    let temporal = project.temporal();
    temporal.pause(&id, "maintenance until noon").await?;

    worker.writes_nothing_in(3).await?;
    worker.restart().await?;
    worker.writes_nothing_in(3).await?;
    let live = temporal.live(&id).await?;
    assert!(live.paused());
    assert_eq!(live.note(), "maintenance until noon");
    assert_eq!(
        shown(&worker, "one").await?,
        ("paused".into(), "hand".into())
    );
    let shown = worker.json("/api/v1/schedules/one").await?;
    assert_eq!(shown["note"], "maintenance until noon", "{shown}");

    temporal.unpause(&id, "done").await?;
    worker.sync().await?;
    assert!(!temporal.live(&id).await?.paused());
    assert_eq!(self::shown(&worker, "one").await?.0, "active");
    Ok(())
}

/// With the YAML unchanged a manual unpause of a YAML-paused schedule is kept.
async fn an_unpause_by_hand_is_kept(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &paused_cron("0 1 * * *"))?;
    let worker = project
        .worker()
        .flag("--resync-interval", "1s")
        .start()
        .await?;
    let id = project.schedule("one");
    project.temporal().unpause(&id, "just this week").await?;
    for _ in 0..3 {
        worker.sync().await?;
        assert!(!project.temporal().live(&id).await?.paused());
    }
    Ok(())
}

/// A manual pause survives an edit of the YAML that is not about pausing.
async fn an_edit_about_something_else_leaves_a_pause_alone(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    project.write("two.yaml", &paused_cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    let temporal = project.temporal();
    let (one, two) = (project.schedule("one"), project.schedule("two"));
    temporal.pause(&one, "maintenance").await?;
    temporal.unpause(&two, "just this week").await?;

    project.write("one.yaml", &cron("0 2 * * *"))?;
    project.write("two.yaml", &paused_cron("0 2 * * *"))?;
    worker.sync().await?;
    let live = temporal.live(&one).await?;
    assert_eq!(
        (live.paused(), live.times().as_str()),
        (true, "0 2 1-31 1-12 0-6")
    );
    assert!(live.note().starts_with("maintenance"), "{}", live.note());
    let live = temporal.live(&two).await?;
    assert_eq!(
        (live.paused(), live.times().as_str()),
        (false, "0 2 1-31 1-12 0-6")
    );
    worker.writes_nothing_in(3).await?;
    assert_eq!(
        shown(&worker, "one").await?,
        ("paused".into(), "hand".into())
    );
    Ok(())
}

/// The server's own pause after a failed run is kept and shown as such.
async fn a_pause_on_failure_is_kept_and_shown(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "one.yaml",
        "
schedule: { every: 1s, pause_on_failure: true }
workflow: { type: Nobody, task_queue: nobody, execution_timeout: 1s }
",
    )?;
    let worker = project.worker().start().await?;
    let id = project.schedule("one");
    let temporal = project.temporal();
    eventually("the server to pause it", || async {
        Ok(temporal.live(&id).await?.paused())
    })
    .await?;
    worker.sync().await?;
    worker.writes_nothing_in(3).await?;
    assert!(temporal.live(&id).await?.paused());
    assert_eq!(
        shown(&worker, "one").await?,
        ("paused".into(), "failure".into())
    );

    project.write(
        "one.yaml",
        "
schedule: { every: 2s, pause_on_failure: true }
workflow: { type: Nobody, task_queue: nobody, execution_timeout: 1s }
",
    )?;
    worker.sync().await?;
    let live = temporal.live(&id).await?;
    assert!(live.paused(), "{live}");
    assert_eq!(live.spec().interval[0].interval.unwrap().seconds, 2);
    Ok(())
}

/// Temporal's own CLI pauses and unpauses as its users expect.
async fn the_temporal_cli_pauses_and_unpauses(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    let id = project.schedule("one");
    let toggle = |flag: &str| {
        let args = ["schedule", "toggle", "--schedule-id", &id, flag];
        temporal_cli(project.address(), args)
    };
    let temporal = project.temporal();
    toggle("--pause")?;
    eventually("paused", || async {
        Ok(temporal.live(&id).await?.paused())
    })
    .await?;
    worker.writes_nothing_in(3).await?;
    toggle("--unpause")?;
    eventually("unpaused", || async {
        Ok(!temporal.live(&id).await?.paused())
    })
    .await?;
    worker.sync().await?;
    assert!(!temporal.live(&id).await?.paused());
    worker.writes_nothing_in(3).await
}

/// A manually paused schedule whose body someone replaces stays as they
/// left it: nothing unpauses, and the rest is corrected.
async fn a_replaced_body_is_never_unpaused(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "one.yaml",
        &with_schedule("  cron: '0 1 * * *'\n  jitter: 5m\n"),
    )?;
    let worker = project.worker().start().await?;
    let id = project.schedule("one");
    let temporal = project.temporal();
    temporal
        .edit(&id, |schedule| {
            *schedule = almanac_tests::foreign_schedule("0 9 * * *");
            schedule.state = Some(
                temporalio_common::protos::temporal::api::schedule::v1::ScheduleState {
                    paused: true,
                    notes: "mine now".to_owned(),
                    ..Default::default()
                },
            );
        })
        .await?;
    let report = worker.sync().await?;
    assert_eq!(report.schedules.unpaused, 0, "{report:?}");
    let live = temporal.live(&id).await?;
    assert!(live.paused(), "{live}");
    assert_eq!(live.times(), "0 1 1-31 1-12 0-6");
    worker.writes_nothing_in(3).await
}
