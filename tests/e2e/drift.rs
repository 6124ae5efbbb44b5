//! The comparison, field by field: the table of
//! `docs/contract.md#6-what-is-compared-and-what-is-done`.

use std::time::{Duration, Instant};

use almanac_core::field::Field;
use almanac_tests::{
    Project, Proxy, Scheduler, cron, json_payload, on_both_schedulers, temporal_cli, with_schedule,
};
use serde_json::json;
use temporalio_common::protos::temporal::api::common::v1::Payloads;
use temporalio_common::protos::temporal::api::schedule::v1::schedule_action::Action;
use temporalio_common::protos::temporal::api::schedule::v1::{
    IntervalSpec, Schedule, SchedulePolicies, ScheduleSpec,
};
use temporalio_common::protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;

/// A definition with something in every field that an operator may change.
const FULL: &str = "
schedule:
  cron: '0 1 * * *'
  every: 24h
  exclude: [{ month: 12, day_of_month: 24 }]
  timezone: Europe/Berlin
  start_at: 2026-01-01T00:00:00Z
  end_at: 2077-01-01T00:00:00Z
  jitter: 5m
  max_actions: 100
  input: { mode: nightly }
workflow: { type: Nobody, task_queue: nobody }
";

fn spec(schedule: &mut Schedule) -> &mut ScheduleSpec {
    schedule.spec.as_mut().unwrap()
}

fn policies(schedule: &mut Schedule) -> &mut SchedulePolicies {
    schedule.policies.as_mut().unwrap()
}

fn starts(schedule: &mut Schedule) -> &mut NewWorkflowExecutionInfo {
    match schedule.action.as_mut().unwrap().action.as_mut().unwrap() {
        Action::StartWorkflow(start) => start,
    }
}

/// A duration of the wire, whatever crate's type that is.
fn seconds<T: TryFrom<Duration, Error: std::fmt::Debug>>(seconds: u64) -> T {
    T::try_from(Duration::from_secs(seconds)).unwrap()
}

fn set_hour(schedule: &mut Schedule, hour: i32) {
    let range = &mut spec(schedule).structured_calendar[0].hour[0];
    (range.start, range.end) = (hour, hour);
}

type Edit = fn(&mut Schedule);

/// A manual edit of each field, as the UI's form would make it.
const EDITS: [(Field, Edit); 13] = [
    (Field::Times, |schedule| {
        set_hour(schedule, 9);
    }),
    (Field::Intervals, |schedule| {
        spec(schedule).interval = vec![IntervalSpec {
            interval: Some(seconds(90_000)),
            phase: None,
        }];
    }),
    (Field::Exclude, |schedule| {
        spec(schedule).exclude_structured_calendar.clear();
    }),
    (Field::Timezone, |schedule| {
        "America/Lima".clone_into(&mut spec(schedule).timezone_name);
    }),
    (Field::StartAt, |schedule| spec(schedule).start_time = None),
    (Field::EndAt, |schedule| {
        spec(schedule).end_time.as_mut().unwrap().seconds = 3_000_000_000;
    }),
    (Field::Jitter, |schedule| {
        spec(schedule).jitter = Some(seconds(1));
    }),
    (Field::OverlapPolicy, |schedule| {
        policies(schedule).overlap_policy = 6;
    }),
    (Field::CatchupWindow, |schedule| {
        policies(schedule).catchup_window = Some(seconds(60));
    }),
    (Field::PauseOnFailure, |schedule| {
        policies(schedule).pause_on_failure = true;
    }),
    (Field::MaxActions, |schedule| {
        schedule.state.as_mut().unwrap().limited_actions = false;
    }),
    (Field::Input, |schedule| {
        starts(schedule).input = Some(Payloads {
            payloads: vec![json_payload(&json!("by hand"))],
        });
    }),
    (Field::Action, |schedule| {
        let kind = starts(schedule).workflow_type.as_mut().unwrap();
        "Other".clone_into(&mut kind.name);
    }),
];

fn id_of(field: Field) -> String {
    field.as_str().replace('_', "-")
}

/// A project with one schedule for each of [`EDITS`], each edited manually.
async fn edited(on: Scheduler, policy: &str) -> anyhow::Result<(Project, almanac_tests::Worker)> {
    let project = Project::new(on).await?;
    for (field, _) in EDITS {
        project.write(&format!("{}.yaml", id_of(field)), FULL)?;
    }
    let worker = project
        .worker()
        .flag("--resync-interval", "1s")
        .flag("--drift", policy)
        .start()
        .await?;
    for (field, edit) in EDITS {
        project
            .temporal()
            .edit(&project.schedule(&id_of(field)), edit)
            .await?;
    }
    Ok((project, worker))
}

on_both_schedulers!(
    in_sync_means_no_write,
    drift_is_corrected_in_every_field,
    drift_is_only_reported_with_drift_report,
    a_changed_yaml_wins_over_any_live_value,
    a_body_replaced_by_the_temporal_cli_is_corrected,
    a_newer_memo_is_not_written_over,
    a_field_corrected_five_times_is_contested,
    an_edit_that_races_the_worker_survives,
    a_racing_edit_of_the_same_field_is_reported,
);

/// YAML same, live same: no write, and no describe beyond the resync's
/// share, in 20 rounds and after a restart.
async fn in_sync_means_no_write(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    for (field, _) in EDITS {
        project.write(&format!("{}.yaml", id_of(field)), FULL)?;
    }
    project.write(
        "steps.yaml",
        "schedule: { every: 24h }\ndo: [{ a: { set: { b: 1 } } }]\n",
    )?;
    project.write(
        "paused.yaml",
        &almanac_tests::paused_cron("*/7 3-5 1,15 * MON"),
    )?;
    project.write("year.yaml", &cron("0 12 1 1 * 2050"))?;
    let proxy = Proxy::start(project.address()).await?;
    let mut worker = project.worker().through(&proxy).start().await?;
    worker.sync().await?;
    let began = Instant::now();

    proxy.reset();
    for _ in 0..20 {
        let report = worker.sync().await?;
        assert_eq!((report.schedules.unchanged, report.changes), (16, vec![]));
    }
    assert_eq!(proxy.schedule_writes(), 0, "{:?}", proxy.counts());
    // One for the share of the hour that has passed, rounded up.
    let share = began.elapsed().as_secs() * 16 / 3600 + 1;
    assert!(
        proxy.count("DescribeSchedule") as u64 <= share,
        "{:?}",
        proxy.counts()
    );

    proxy.reset();
    worker.restart().await?;
    worker.sync().await?;
    assert_eq!(proxy.schedule_writes(), 0, "{:?}", proxy.counts());
    Ok(())
}

/// YAML same, live differs: drift, corrected, in every field.
async fn drift_is_corrected_in_every_field(on: Scheduler) -> anyhow::Result<()> {
    let (project, worker) = edited(on, "correct").await?;
    let temporal = project.temporal();
    // All of them are described again within the resync interval of 1 s.
    for (field, edit) in EDITS {
        let id = project.schedule(&id_of(field));
        almanac_tests::eventually(&format!("{field} to be corrected"), || async {
            worker.sync().await?;
            let live = temporal.live(&id).await?;
            let mut edited = live.schedule().clone();
            edit(&mut edited);
            // Where the edit would change something, it is not there any more.
            Ok(edited != *live.schedule())
        })
        .await?;
    }
    for (field, _) in EDITS {
        let name = format!("field=\"{field}\"");
        assert!(
            worker
                .metric("almanac_drift_corrected_total", &[&name])
                .await?
                >= 1.0,
            "{field}"
        );
    }
    assert_eq!(worker.sync().await?.changes, []);
    Ok(())
}

/// YAML same, live differs, `--drift report`: reported, and left alone.
async fn drift_is_only_reported_with_drift_report(on: Scheduler) -> anyhow::Result<()> {
    let (project, worker) = edited(on, "report").await?;
    let temporal = project.temporal();
    let detected = almanac_tests::wait_for("all drift", almanac_tests::SOON, || async {
        let report = worker.sync().await?;
        let seen = &report.drift.by_field;
        anyhow::ensure!(seen.len() == EDITS.len(), "{seen:?}");
        Ok(Some(report))
    })
    .await?;
    assert_eq!((detected.drift.corrected, detected.changes), (0, vec![]));
    let still = worker.sync().await?.drift.by_field;
    assert_eq!(still, detected.drift.by_field, "it comes and goes");
    let live = temporal.live(&project.schedule("times")).await?;
    assert!(live.times().starts_with("0 9 "), "{live}");
    let shown = worker.json("/api/v1/schedules/times").await?;
    assert!(shown["drift"].to_string().contains("times"), "{shown}");
    Ok(())
}

/// The YAML changed: it is written, whatever the live value is.
async fn a_changed_yaml_wins_over_any_live_value(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    let id = project.schedule("one");
    let temporal = project.temporal();
    temporal.edit(&id, |schedule| set_hour(schedule, 9)).await?;
    project.write("one.yaml", &cron("0 2 * * *"))?;
    let report = worker.sync().await?;
    assert_eq!(report.schedules.updated, 1, "{report:?}");
    assert_eq!(temporal.live(&id).await?.times(), "0 2 1-31 1-12 0-6");

    // Changed to the value of a manual edit: one write of the base, then quiet.
    temporal.edit(&id, |schedule| set_hour(schedule, 3)).await?;
    project.write("one.yaml", &cron("0 3 * * *"))?;
    worker.sync().await?;
    assert_eq!(worker.sync().await?.changes, []);
    assert_eq!(temporal.live(&id).await?.times(), "0 3 1-31 1-12 0-6");
    Ok(())
}

/// No readable base: `temporal schedule update` replaced the whole body.
/// The base is taken as the YAML, so all that differs is drift.
async fn a_body_replaced_by_the_temporal_cli_is_corrected(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", FULL)?;
    project.write("two.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    let id = project.schedule("one");
    temporal_cli(
        project.address(),
        [
            "schedule",
            "update",
            "--schedule-id",
            &id,
            "--calendar",
            r#"{"hour":"9"}"#,
            "--type",
            "Other",
            "--task-queue",
            "elsewhere",
            "--workflow-id",
            "other",
        ],
    )?;
    let temporal = project.temporal();
    almanac_tests::eventually("the CLI's update", || async {
        Ok(temporal.live(&id).await?.action_memo().is_none())
    })
    .await?;

    let report = worker.sync().await?;
    assert!(report.drift.corrected > 0, "{report:?}");
    let live = temporal.live(&id).await?;
    assert_eq!(live.times(), "0 1 1-31 1-12 0-6");
    assert_eq!(live.starts().workflow_type.as_ref().unwrap().name, "Nobody");
    assert_eq!(live.action_memo().unwrap()["source"], "one.yaml");
    assert!(live.note().contains("[almanac v1:"), "{}", live.note());
    assert_eq!(
        live.schedule().policies.as_ref().unwrap().catchup_window,
        Some(seconds(3600))
    );
    assert_eq!(worker.sync().await?.changes, []);
    Ok(())
}

/// A memo of a newer release is reported and not written over.
async fn a_newer_memo_is_not_written_over(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    project.write("two.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    let id = project.schedule("one");
    let temporal = project.temporal();
    temporal
        .edit(&id, |schedule| {
            let state = schedule.state.as_mut().unwrap();
            "by a newer release [almanac v2:000000000000]".clone_into(&mut state.notes);
            let fields = &mut starts(schedule).memo.as_mut().unwrap().fields;
            let mut memo: serde_json::Value =
                serde_json::from_slice(&fields["almanac"].data).unwrap();
            memo["v"] = json!(2);
            fields.insert("almanac".to_owned(), json_payload(&memo));
        })
        .await?;
    let before = temporal.live(&id).await?;

    project.write("one.yaml", &cron("0 2 * * *"))?;
    let report = worker.sync().await?;
    assert_eq!(report.changes, [], "{report:?}");
    assert!(
        report
            .errors
            .iter()
            .any(|error| error.message.contains("newer release")),
        "{report:?}"
    );
    project.remove("one.yaml")?;
    worker.sync().await?;
    let after = temporal.live(&id).await?;
    assert_eq!(after.0.conflict_token, before.0.conflict_token);
    Ok(())
}

/// A field that someone keeps changing back is reported, and not corrected for ever.
async fn a_field_corrected_five_times_is_contested(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    let id = project.schedule("one");
    let temporal = project.temporal();
    let nine = |schedule: &mut Schedule| set_hour(schedule, 9);
    for _ in 0..5 {
        temporal.edit(&id, nine).await?;
        let report = worker.sync().await?;
        assert_eq!(report.drift.corrected, 1, "{report:?}");
    }
    temporal.edit(&id, nine).await?;
    for _ in 0..2 {
        let report = worker.sync().await?;
        assert_eq!(
            (report.drift.corrected, report.schedules.contested),
            (0, 1),
            "{report:?}"
        );
    }
    assert!(temporal.live(&id).await?.times().starts_with("0 9 "));
    let shown = worker.json("/api/v1/schedules/one").await?;
    assert_eq!(shown["state"], "contested", "{shown}");
    Ok(())
}

/// A manual edit between the worker's describe and its update is not lost: both changes
/// stand, with no pass in between.
async fn an_edit_that_races_the_worker_survives(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    let proxy = Proxy::start(project.address()).await?;
    let worker = project.worker().through(&proxy).start().await?;
    let id = project.schedule("one");
    let temporal = project.temporal();

    let mut gate = proxy.hold("UpdateSchedule", 0);
    project.write("one.yaml", &cron("0 2 * * *"))?;
    let pass = async { worker.sync().await };
    let edit = async {
        gate.reached().await?;
        temporal.pause(&id, "stop at once").await?;
        gate.release();
        anyhow::Ok(())
    };
    let (report, edit) = futures::join!(pass, edit);
    edit?;
    let report = report?;
    assert_eq!(report.errors, []);
    let live = temporal.live(&id).await?;
    assert_eq!(
        (live.paused(), live.times().as_str()),
        (true, "0 2 1-31 1-12 0-6"),
        "{live}"
    );
    Ok(())
}

/// The same race in a field that the update writes: it is drift, and the
/// edit is reported before it is corrected.
async fn a_racing_edit_of_the_same_field_is_reported(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "one.yaml",
        &with_schedule("  cron: '0 1 * * *'\n  jitter: 5m\n"),
    )?;
    let proxy = Proxy::start(project.address()).await?;
    let worker = project.worker().through(&proxy).start().await?;
    let id = project.schedule("one");
    let temporal = project.temporal();

    let mut gate = proxy.hold("UpdateSchedule", 0);
    project.write(
        "one.yaml",
        &with_schedule("  cron: '0 2 * * *'\n  jitter: 5m\n"),
    )?;
    let pass = async { worker.sync().await };
    let edit = async {
        gate.reached().await?;
        temporal
            .edit(&id, |schedule| spec(schedule).jitter = Some(seconds(1)))
            .await?;
        gate.release();
        anyhow::Ok(())
    };
    let (report, edit) = futures::join!(pass, edit);
    edit?;
    let report = report?;
    let live = temporal.live(&id).await?;
    assert_eq!(live.times(), "0 2 1-31 1-12 0-6");
    let kept = live.spec().jitter == Some(seconds(1));
    let reported = report.drift.by_field.contains_key(&Field::Jitter)
        || report
            .errors
            .iter()
            .any(|error| error.id.as_deref() == Some("one"));
    assert!(kept || reported, "{live}\n{report:?}");
    Ok(())
}
