//! From a file to a schedule, and every change after.

use almanac_tests::{
    Project, SOON, Scheduler, cron, eventually, on_both_schedulers, wait_for, with_schedule,
};
use serde_json::json;

on_both_schedulers!(
    a_definition_becomes_a_schedule,
    defaults_are_almanacs_not_the_servers,
    an_edit_reaches_the_schedule_by_itself,
    a_file_of_several_documents_makes_several_schedules,
    an_edit_without_a_change_of_meaning_writes_nothing,
    a_definition_without_schedule_block_or_after_end_at_has_no_schedule,
    a_rename_keeps_the_pause_and_the_remaining_actions,
    remaining_actions_are_preserved,
    a_finished_schedule_is_kept_paused,
    a_definition_with_steps_runs_to_its_end,
    a_run_in_flight_keeps_its_definition,
);

/// Each key of a definition that starts a workflow arrives in its schedule.
async fn a_definition_becomes_a_schedule(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("billing/nightly.yaml", r#"
id: nightly-invoices
description: Weekday invoice run
labels: { team: billing }
schedule:
  cron: "30 2 * * MON-FRI"
  every: { interval: 6h, offset: 15m }
  exclude: [{ month: 12, day_of_month: "24-26" }]
  timezone: Europe/Berlin
  start_at: 2026-01-01T00:00:00Z
  end_at: 2077-01-01T00:00:00Z
  jitter: 2m
  overlap_policy: buffer_one
  catchup_window: 90s
  pause_on_failure: true
  max_actions: 10
workflow:
  type: InvoiceRun
  task_queue: billing-go
  args: [{ mode: nightly }, 2]
  execution_timeout: 3h
  run_timeout: 1h
  task_timeout: 20s
  priority: 2
  summary: Invoices
  retry: { initial_interval: 1s, backoff_coefficient: 3, maximum_interval: 1m, maximum_attempts: 5, non_retryable_error_types: [Bad] }
  memo: { cost_center: 42 }
  search_attributes: { Team: billing }
"#)?;
    let worker = project.worker().start().await?;
    let id = project.schedule("nightly-invoices");
    let live = project.temporal().live(&id).await?;

    assert_eq!(live.times(), "30 2 1-31 1-12 1-5");
    assert_eq!(live.exclusions(), "0-59 0-23 24-26 12 0-6");
    let spec = live.spec();
    let [every] = &spec.interval[..] else {
        panic!("{spec:?}")
    };
    assert_eq!(every.interval.unwrap().seconds, 6 * 3600);
    assert_eq!(every.phase.unwrap().seconds, 15 * 60);
    assert_eq!(spec.timezone_name, "Europe/Berlin");
    assert_eq!(spec.start_time.unwrap().seconds, 1_767_225_600);
    assert_eq!(spec.end_time.unwrap().seconds, 3_376_684_800);
    assert_eq!(spec.jitter.unwrap().seconds, 120);

    let policies = live.schedule().policies.unwrap();
    assert_eq!(
        policies.overlap_policy().as_str_name(),
        "SCHEDULE_OVERLAP_POLICY_BUFFER_ONE"
    );
    assert_eq!(policies.catchup_window.unwrap().seconds, 90);
    assert!(policies.pause_on_failure);
    assert_eq!(live.remaining_actions(), Some(10));
    assert!(!live.paused());

    let starts = live.starts();
    assert_eq!(starts.workflow_type.as_ref().unwrap().name, "InvoiceRun");
    assert_eq!(starts.task_queue.as_ref().unwrap().name, "billing-go");
    assert_eq!(
        starts.workflow_id,
        format!("{}/nightly-invoices", project.name())
    );
    assert_eq!(live.args(), [json!({"mode": "nightly"}), json!(2)]);
    assert_eq!(starts.workflow_execution_timeout.unwrap().seconds, 3 * 3600);
    assert_eq!(starts.workflow_run_timeout.unwrap().seconds, 3600);
    assert_eq!(starts.workflow_task_timeout.unwrap().seconds, 20);
    assert_eq!(starts.priority.as_ref().unwrap().priority_key, 2);
    let summary = starts
        .user_metadata
        .as_ref()
        .unwrap()
        .summary
        .as_ref()
        .unwrap();
    assert_eq!(summary.data, br#""Invoices""#);
    let retry = starts.retry_policy.as_ref().unwrap();
    assert_eq!(retry.maximum_attempts, 5);
    assert_eq!(retry.non_retryable_error_types, ["Bad"]);
    assert_eq!(
        starts.memo.as_ref().unwrap().fields["cost_center"].data,
        b"42"
    );
    let attributes = starts.search_attributes.as_ref().unwrap();
    assert_eq!(attributes.indexed_fields["Team"].data, br#""billing""#);

    let owner = json!({"project": project.name(), "definition": "nightly-invoices"});
    assert_eq!(live.owner_memo(), Some(owner));
    let memo = live.action_memo().unwrap();
    assert_eq!(memo["v"], 1);
    assert_eq!(memo["source"], "billing/nightly.yaml");
    assert!(serde_json::to_vec(&memo)?.len() <= 1536);
    assert!(live.note().contains("[almanac v1:"), "{}", live.note());

    let report = worker.sync().await?;
    assert_eq!(report.schedules.unchanged, 1, "{report:?}");
    assert_eq!(report.changes, []);
    Ok(())
}

/// A field that a definition leaves out is sent explicitly if the server's own
/// default is another.
async fn defaults_are_almanacs_not_the_servers(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("plain.yaml", &cron("0 4 * * *"))?;
    let _worker = project.worker().start().await?;
    let live = project.temporal().live(&project.schedule("plain")).await?;
    let policies = live.schedule().policies.unwrap();
    assert_eq!(policies.catchup_window.unwrap().seconds, 3600);
    assert_eq!(
        policies.overlap_policy().as_str_name(),
        "SCHEDULE_OVERLAP_POLICY_SKIP"
    );
    assert_eq!(live.remaining_actions(), None);
    assert!(live.args().is_empty());
    Ok(())
}

/// A saved file reaches Temporal without a restart and without anybody asking.
async fn an_edit_reaches_the_schedule_by_itself(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("report.yaml", &cron("@hourly"))?;
    let worker = project.worker().start().await?;
    let id = project.schedule("report");
    let temporal = project.temporal();
    assert_eq!(temporal.live(&id).await?.times(), "0 0-23 1-31 1-12 0-6");

    project.write("report.yaml", &cron("@daily"))?;
    eventually("daily", || async {
        Ok(temporal.live(&id).await?.times() == "0 0 1-31 1-12 0-6")
    })
    .await?;

    project.write("second.yaml", &cron("@yearly"))?;
    let second = project.schedule("second");
    wait_for("the second", SOON, || temporal.describe(&second)).await?;

    project.remove("report.yaml")?;
    eventually("the first to go", || async {
        Ok(temporal.describe(&id).await?.is_none())
    })
    .await?;
    project.has_just(&["second"]).await?;
    // All of it was the fast path and full passes of one process.
    assert!(worker.metric("almanac_reconcile_total", &[]).await? >= 4.0);
    Ok(())
}

/// Several documents of one file stand for themselves.
async fn a_file_of_several_documents_makes_several_schedules(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let text = format!(
        "id: one\n{}---\nid: two\n{}",
        cron("0 1 * * *"),
        cron("0 2 * * *")
    );
    project.write("both.yml", &text)?;
    let worker = project.worker().start().await?;
    let temporal = project.temporal();
    assert_eq!(
        temporal.live(&project.schedule("one")).await?.times(),
        "0 1 1-31 1-12 0-6"
    );
    assert_eq!(
        temporal.live(&project.schedule("two")).await?.times(),
        "0 2 1-31 1-12 0-6"
    );

    project.write("both.yml", &format!("id: two\n{}", cron("0 3 * * *")))?;
    let report = worker.sync().await?;
    assert_eq!(report.errors, []);
    project.has_just(&["two"]).await?;
    assert_eq!(
        temporal.live(&project.schedule("two")).await?.times(),
        "0 3 1-31 1-12 0-6"
    );
    Ok(())
}

/// Comments, formatting, the order of keys and a moved file write nothing.
async fn an_edit_without_a_change_of_meaning_writes_nothing(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("same.yaml", &format!("id: same\n{}", cron("0 4 * * *")))?;
    let worker = project.worker().start().await?;
    let id = project.schedule("same");
    let before = project.temporal().live(&id).await?;

    project.write(
        "same.yaml",
        "
# A comment.
workflow: { task_queue: nobody, type: Nobody }
schedule:
  timezone: UTC
  cron: ['0  4 * * *']   # the same
id: same
",
    )?;
    let report = worker.sync().await?;
    assert_eq!(report.changes, []);

    std::fs::create_dir(project.definitions().join("deeper"))?;
    std::fs::rename(
        project.definitions().join("same.yaml"),
        project.definitions().join("deeper/moved.yaml"),
    )?;
    let report = worker.sync().await?;
    assert_eq!(report.changes, []);
    let after = project.temporal().live(&id).await?;
    assert_eq!(after.0.conflict_token, before.0.conflict_token);
    Ok(())
}

/// A definition whose `schedule:` block goes has no schedule any more; one
/// whose end has passed gets none.
async fn a_definition_without_schedule_block_or_after_end_at_has_no_schedule(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("stays.yaml", &cron("0 4 * * *"))?;
    project.write("manual.yaml", &cron("0 5 * * *"))?;
    project.write(
        "over.yaml",
        &with_schedule("  cron: '0 6 * * *'\n  end_at: 2020-01-01T00:00:00Z\n"),
    )?;
    let worker = project.worker().start().await?;
    project.has_just(&["manual", "stays"]).await?;

    project.write(
        "manual.yaml",
        "workflow: { type: Nobody, task_queue: nobody }\n",
    )?;
    let report = worker.sync().await?;
    assert_eq!(report.schedules.deleted, 1, "{report:?}");
    project.has_just(&["stays"]).await
}

/// A definition equal to a vanished one but for its id takes over its
/// pause and its remaining actions.
async fn a_rename_keeps_the_pause_and_the_remaining_actions(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let text = with_schedule("  cron: '0 4 * * *'\n  max_actions: 9\n");
    project.write("old.yaml", &text)?;
    project.write("other.yaml", &cron("0 4 * * *"))?;
    let worker = project.worker().start().await?;
    let temporal = project.temporal();
    temporal
        .edit(&project.schedule("old"), |schedule| {
            schedule.state.as_mut().unwrap().remaining_actions = 4;
        })
        .await?;
    temporal.pause(&project.schedule("old"), "by hand").await?;

    std::fs::rename(
        project.definitions().join("old.yaml"),
        project.definitions().join("new.yaml"),
    )?;
    let report = worker.sync().await?;
    assert_eq!(
        (report.schedules.created, report.schedules.deleted),
        (1, 1),
        "{report:?}"
    );
    let new = temporal.live(&project.schedule("new")).await?;
    assert!(new.paused());
    assert_eq!(new.remaining_actions(), Some(4));
    assert!(temporal.describe(&project.schedule("old")).await?.is_none());
    assert_eq!(worker.sync().await?.changes, []);
    Ok(())
}

/// The number of remaining actions survives every write; a changed limit
/// starts the count anew.
async fn remaining_actions_are_preserved(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let limited =
        |cron: &str, max: u32| with_schedule(&format!("  cron: '{cron}'\n  max_actions: {max}\n"));
    project.write("limited.yaml", &limited("0 4 * * *", 9))?;
    let worker = project.worker().start().await?;
    let id = project.schedule("limited");
    let temporal = project.temporal();
    temporal
        .edit(&id, |schedule| {
            schedule.state.as_mut().unwrap().remaining_actions = 4;
        })
        .await?;

    project.write("limited.yaml", &limited("0 5 * * *", 9))?;
    worker.sync().await?;
    let live = temporal.live(&id).await?;
    assert_eq!(
        (live.times().as_str(), live.remaining_actions()),
        ("0 5 1-31 1-12 0-6", Some(4))
    );

    project.write("limited.yaml", &limited("0 5 * * *", 7))?;
    worker.sync().await?;
    assert_eq!(temporal.live(&id).await?.remaining_actions(), Some(7));
    Ok(())
}

/// A schedule whose actions are used up stays, paused and flagged, and is
/// not run again; a restart changes nothing about it.
async fn a_finished_schedule_is_kept_paused(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "twice.yaml",
        &with_schedule("  every: 1s\n  overlap_policy: allow_all\n  max_actions: 2\n"),
    )?;
    let mut worker = project
        .worker()
        .flag("--resync-interval", "1s")
        .start()
        .await?;
    let id = project.schedule("twice");
    let temporal = project.temporal();
    eventually("its actions to be used up", || async {
        Ok(temporal.live(&id).await?.remaining_actions() == Some(0))
    })
    .await?;
    // A list does not show the actions that are left. The next description does.
    eventually("it to be paused", || async {
        worker.sync().await?;
        Ok(temporal.live(&id).await?.paused())
    })
    .await?;
    let live = temporal.live(&id).await?;
    assert_eq!(live.action_memo().unwrap()["flags"], json!(["finished"]));

    worker.restart().await?;
    let report = worker.sync().await?;
    assert_eq!(report.changes, []);
    let live = temporal.live(&id).await?;
    assert_eq!((live.remaining_actions(), live.runs()), (Some(0), 2));
    let shown = worker.json("/api/v1/schedules/twice").await?;
    assert_eq!(shown["state"], "finished", "{shown}");
    Ok(())
}

/// A run carries the memo that says where it came from, and the steps it
/// was started with run to their end.
async fn a_definition_with_steps_runs_to_its_end(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "steps.yaml",
        "
schedule:
  every: 1s
  max_actions: 1
  input: { mode: quick }
do:
  - remember: { set: { done: true } }
  - rest: { wait: { milliseconds: 10 } }
",
    )?;
    let worker = project.worker().start().await?;
    let id = project.schedule("steps");
    let temporal = project.temporal();
    let runs = format!("TemporalScheduledById = '{id}' AND ExecutionStatus = 'Completed'");
    eventually("the run to complete", || async {
        Ok(temporal.count_workflows(&runs).await? == 1)
    })
    .await?;

    let live = temporal.live(&id).await?;
    let recent = &live.0.info.as_ref().unwrap().recent_actions[0];
    let run = recent.start_workflow_result.as_ref().unwrap();
    let shown = almanac_tests::temporal_cli(
        project.address(),
        [
            "workflow",
            "describe",
            "--output",
            "json",
            "--workflow-id",
            &run.workflow_id,
        ],
    )?;
    assert!(shown.contains("steps.yaml"), "{shown}");
    let shown = project.almanac_json(&["show", "steps"])?;
    let memo = live.action_memo().unwrap();
    assert_eq!(shown["source"], "steps.yaml", "{shown}");
    assert_eq!(shown["revision"], memo["revision"], "{shown}");
    drop(worker);
    Ok(())
}

/// A run in flight finishes with the definition it began with, whatever
/// happens to the file.
async fn a_run_in_flight_keeps_its_definition(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let steps = |value: &str, seconds: u32| {
        format!(
            "
schedule: {{ every: 1s, max_actions: 1 }}
do:
  - rest: {{ wait: {{ seconds: {seconds} }} }}
  - answer: {{ set: {{ answer: {value} }} }}
"
        )
    };
    project.write("steps.yaml", &steps("before", 3))?;
    project.write("other.yaml", &cron("0 4 * * *"))?;
    let worker = project.worker().start().await?;
    let id = project.schedule("steps");
    let temporal = project.temporal();
    eventually("the run to start", || async {
        Ok(temporal.live(&id).await?.runs() == 1)
    })
    .await?;
    project.write("steps.yaml", &steps("after", 0))?;
    worker.sync().await?;
    project.write("steps.yaml", "do: [broken")?;
    worker.sync().await?;

    let live = temporal.live(&id).await?;
    let recent = &live.0.info.as_ref().unwrap().recent_actions[0];
    let run = recent
        .start_workflow_result
        .as_ref()
        .unwrap()
        .workflow_id
        .clone();
    let result = almanac_tests::temporal_cli(
        project.address(),
        [
            "workflow",
            "result",
            "--output",
            "json",
            "--workflow-id",
            &run,
        ],
    )?;
    assert!(
        result.contains("before") && !result.contains("after"),
        "{result}"
    );
    Ok(())
}
