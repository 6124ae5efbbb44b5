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

/// Waits until the API, `list` and `show` show that the schedule is paused, by `by` and with a
/// note that contains `words`. A list lags behind writes.
async fn is_paused_by(
    project: &Project,
    worker: &Worker,
    id: &str,
    by: &str,
    words: &str,
) -> anyhow::Result<()> {
    let live = project.temporal().live(&project.schedule(id)).await?;
    assert!(live.paused() && live.note().contains(words), "{live}");
    assert_eq!(shown(worker, id).await?.1, by, "{live}");
    let show = project.almanac_json(&["show", id])?;
    assert_eq!(show["paused_by"], by, "{show}");
    eventually("the lists to show who paused it", || async {
        let served = worker.json("/api/v1/schedules").await?["schedules"].clone();
        let listed = project.almanac_json(&["list"])?;
        Ok([served, listed].iter().all(|list| {
            let mut all = list.as_array().into_iter().flatten();
            all.any(|one| {
                let note = one["note"].as_str().unwrap_or_default();
                one["definition"] == id && one["paused_by"] == by && note.contains(words)
            })
        }))
    })
    .await
}

/// Sets `enabled` of a definition with an override, whose reason is `reason`.
fn set_enabled(project: &Project, id: &str, enabled: bool, reason: &str) -> anyhow::Result<()> {
    let set = format!("enabled={enabled}");
    let args = ["override", id, "--set", &set, "--reason", reason];
    project.almanac(&args)?.success()?;
    Ok(())
}

on_both_schedulers!(
    a_false_enabled_in_either_place_pauses,
    the_yaml_pauses_and_unpauses,
    a_pause_older_than_the_yamls_outlives_it,
    a_manual_pause_stays_one_after_an_override_and_a_rename,
    a_manual_pause_is_kept_and_shown,
    a_manual_unpause_is_kept,
    an_edit_about_something_else_leaves_a_pause_alone,
    a_pause_on_failure_is_kept_and_shown,
    the_temporal_cli_pauses_and_unpauses,
    a_replaced_body_is_never_unpaused,
);

/// YAML-paused means not both `enabled` and `schedule.enabled`.
async fn a_false_enabled_in_either_place_pauses(on: Scheduler) -> anyhow::Result<()> {
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

/// A manual pause that an override interrupts is a manual pause again once the override has
/// ended, with the words of whoever paused. A rename carries the words over, also while the
/// override is in force.
async fn a_manual_pause_stays_one_after_an_override_and_a_rename(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    project.write("other.yaml", &cron("0 2 * * *"))?;
    let worker = project.worker().start().await?;
    let temporal = project.temporal();
    let id = project.schedule("one");
    temporal.pause(&id, "lunch").await?;

    // An override lifts the pause, another pauses the schedule anew.
    for enabled in [true, false] {
        set_enabled(&project, "one", enabled, "now")?;
        let live = temporal.live(&id).await?;
        assert_eq!(live.paused(), !enabled, "{live}");
        let note = worker.json("/api/v1/schedules/one").await?["note"].clone();
        let note = note.as_str().unwrap_or_default();
        assert!(note.ends_with(": now (paused before: lunch)"), "{note}");
        worker.sync().await?;
        worker.writes_nothing_in(2).await?;
    }
    project.almanac(&["clear-override", "one"])?.success()?;
    is_paused_by(&project, &worker, "one", "hand", "lunch").await?;

    // An override expires.
    let pause = ["pause", "one", "--reason", "now", "--for", "2s"];
    project.almanac(&pause)?.success()?;
    eventually("the override to expire", || async {
        Ok(temporal.live(&id).await?.note().starts_with("lunch"))
    })
    .await?;
    is_paused_by(&project, &worker, "one", "hand", "lunch").await?;

    // The definition ends an override.
    set_enabled(&project, "one", true, "now")?;
    project.write("one.yaml", &paused_cron("0 1 * * *"))?;
    worker.sync().await?;
    is_paused_by(&project, &worker, "one", "hand", "lunch").await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    worker.sync().await?;
    is_paused_by(&project, &worker, "one", "hand", "lunch").await?;

    // A rename, first with the pause and then with an override that lifts it.
    project.remove("one.yaml")?;
    project.write("renamed.yaml", &cron("0 1 * * *"))?;
    worker.sync().await?;
    is_paused_by(&project, &worker, "renamed", "hand", "lunch").await?;
    set_enabled(&project, "renamed", true, "now")?;
    project.remove("renamed.yaml")?;
    project.write("again.yaml", &cron("0 1 * * *"))?;
    worker.sync().await?;
    let id = project.schedule("again");
    assert!(!temporal.live(&id).await?.paused());
    project.almanac(&["clear-override", "again"])?.success()?;
    is_paused_by(&project, &worker, "again", "hand", "lunch").await?;
    worker.sync().await?;
    worker.writes_nothing_in(3).await
}

/// With the YAML unchanged a manual pause is kept and shown with its
/// note, through passes and a restart.
async fn a_manual_pause_is_kept_and_shown(on: Scheduler) -> anyhow::Result<()> {
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
async fn a_manual_unpause_is_kept(on: Scheduler) -> anyhow::Result<()> {
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

/// A definition whose runs time out, at each `every`.
fn failing(every: &str) -> String {
    format!(
        "
schedule: {{ every: {every}, pause_on_failure: true }}
workflow: {{ type: Nobody, task_queue: nobody, execution_timeout: 1s }}
"
    )
}

/// The server's own pause after a failed run is kept and shown as such, through edits, overrides
/// and renames.
async fn a_pause_on_failure_is_kept_and_shown(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &failing("1s"))?;
    project.write("other.yaml", &cron("0 2 * * *"))?;
    let worker = project.worker().start().await?;
    let id = project.schedule("one");
    let temporal = project.temporal();
    let by_server = |why: &'static str| {
        eventually(why, || async {
            let live = temporal.live(&id).await?;
            Ok(live.paused() && live.note().starts_with("paused"))
        })
    };
    by_server("the server to pause it").await?;
    worker.sync().await?;
    worker.writes_nothing_in(3).await?;
    assert!(temporal.live(&id).await?.paused());
    assert_eq!(
        shown(&worker, "one").await?,
        ("paused".into(), "failure".into())
    );

    project.write("one.yaml", &failing("2s"))?;
    worker.sync().await?;
    let live = temporal.live(&id).await?;
    assert!(live.paused(), "{live}");
    assert_eq!(live.spec().interval[0].interval.unwrap().seconds, 2);

    // A run fails again under an override that lifts the pause. The pause of the server ends the
    // override.
    set_enabled(&project, "one", true, "try again")?;
    by_server("the server to pause it again").await?;
    worker.sync().await?;
    let history = project.almanac_json(&["history", "one"])?.to_string();
    let ended = "the server paused the schedule after a failed run";
    assert!(history.contains(ended), "{history}");
    let run = format!("{}/one", project.name());
    is_paused_by(&project, &worker, "one", "failure", &run).await?;

    // Overrides of another field leave the pause alone. Those of `enabled` interrupt it.
    let zone = [
        "override",
        "one",
        "--set",
        "timezone=Asia/Tokyo",
        "--reason",
        "move",
    ];
    project.almanac(&zone)?.success()?;
    is_paused_by(&project, &worker, "one", "failure", &run).await?;
    project.almanac(&["clear-override", "one"])?.success()?;
    is_paused_by(&project, &worker, "one", "failure", &run).await?;
    let pause = ["pause", "one", "--reason", "look", "--for", "2s"];
    project.almanac(&pause)?.success()?;
    eventually("the override to expire", || async {
        Ok(temporal.live(&id).await?.note().starts_with("paused"))
    })
    .await?;
    is_paused_by(&project, &worker, "one", "failure", &run).await?;

    // A rename carries the words over, with the pause and while an override lifts it.
    project.write("one.yaml", &failing("30d"))?;
    worker.sync().await?;
    project.remove("one.yaml")?;
    project.write("renamed.yaml", &failing("30d"))?;
    worker.sync().await?;
    is_paused_by(&project, &worker, "renamed", "failure", &run).await?;
    set_enabled(&project, "renamed", true, "try again")?;
    project.remove("renamed.yaml")?;
    project.write("again.yaml", &failing("30d"))?;
    worker.sync().await?;
    let again = project.schedule("again");
    assert!(!temporal.live(&again).await?.paused());
    project.almanac(&["clear-override", "again"])?.success()?;
    is_paused_by(&project, &worker, "again", "failure", &run).await?;
    worker.sync().await?;
    worker.writes_nothing_in(3).await
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
            *schedule = almanac_tests::unmanaged_schedule("0 9 * * *");
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
