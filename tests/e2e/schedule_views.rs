//! The views of single schedules: runs, missed actions, overdue runs and history.

use almanac_tests::{
    OwnServer, Project, SOON, Scheduler, Worker, cron, eventually, on_both_schedulers, passed,
    wait_for, with_schedule,
};
use anyhow::{Context, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use temporalio_common::protos::temporal::api::schedule::v1::ScheduleListEntry;

on_both_schedulers!(
    a_missed_action_is_counted,
    the_outcome_of_the_last_run_is_shown,
    the_list_shows_the_status_that_the_last_run_itself_has,
    a_schedule_that_should_have_fired_is_overdue,
    the_history_has_overrides_and_writes,
    pages_and_filters_describe_nothing,
    each_switch_of_a_sync_stands_alone,
);

/// The shortest catch-up window of a definition, in seconds.
const CATCHUP: i64 = 10;

async fn schedule(worker: &Worker, id: &str) -> anyhow::Result<Value> {
    worker.json(&format!("/api/v1/schedules/{id}")).await
}

fn last_recent_run(schedule: &Value) -> anyhow::Result<&Value> {
    let runs = schedule["recent_runs"].as_array().context("a list")?;
    runs.last().with_context(|| format!("no run: {schedule}"))
}

/// A run that goes on, and the next one is skipped: the schedule says so, the
/// command does, and the counter grows by what passes see.
async fn a_missed_action_is_counted(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    // Nobody runs it, so the first run goes on for ever.
    project.write("busy.yaml", &with_schedule("  every: 1s\n"))?;
    let worker = project
        .worker()
        .flag("--resync-interval", "1s")
        .start()
        .await?;
    let view = wait_for("a skipped action", SOON, || async {
        let view = schedule(&worker, "busy").await?;
        Ok((view["missed"]["overlap"].as_u64() >= Some(2)).then_some(view))
    })
    .await?;
    assert_eq!(view["missed"]["catchup_window"], 0, "{view}");
    assert_eq!(view["missed"]["buffer"], 0, "{view}");
    assert_eq!(view["last_run"]["status"], "running", "{view}");
    let run = last_recent_run(&view)?;
    assert_eq!(run.get("ended"), Some(&Value::Null), "{view}");
    // It waits for its run: nothing is late.
    assert_eq!(view["overdue"], false, "{view}");
    let shown = project.almanac(&["show", "busy"])?.success()?;
    assert!(
        shown.contains("because an earlier run was still running"),
        "{shown}"
    );
    wait_for("the counter to grow", SOON, || async {
        worker.sync().await?;
        let missed = worker.metric("almanac_schedule_missed_total", &[]).await?;
        Ok((missed >= 2.0).then_some(()))
    })
    .await?;
    let overdue = worker.metric("almanac_schedule_overdue", &[]).await?;
    assert!(overdue < 1.0, "{overdue}");
    Ok(())
}

/// The schedule itself notices the end of a run only when it does something else.
async fn the_list_shows_the_status_that_the_last_run_itself_has(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let steps = "schedule: { cron: '0 1 1 1 *', overlap_policy: allow_all }\n\
                 do: [ { greet: { set: { greeting: hello } } } ]\n";
    project.write("steps.yaml", steps)?;
    let _worker = project.worker().start().await?;
    project.almanac(&["trigger", "steps"])?.success()?;
    eventually("the run to be listed as ended", || async {
        let list = project.almanac_json(&["list"])?;
        Ok(list[0]["last_run"]["status"] == "completed")
    })
    .await?;
    let text = project.almanac(&["list"])?.success()?;
    ensure!(text.contains(", ok"), "{text}");
    Ok(())
}

/// The status is that of the run itself, whatever its schedule knows.
async fn the_outcome_of_the_last_run_is_shown(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "fails.yaml",
        &format!(
            "schedule: {{ every: 1s, max_actions: 1 }}\nworkflow:\n  type: RunDefinition\n  \
             task_queue: almanac-{}\n  args: [{{ definition: no-such-definition }}]\n",
            project.name()
        ),
    )?;
    let worker = project.worker().start().await?;
    let view = wait_for("the run to fail", SOON, || async {
        let view = schedule(&worker, "fails").await?;
        Ok((view["last_run"]["status"] == "failed").then_some(view))
    })
    .await?;
    let run = &view["last_run"];
    let id = run["workflow_id"].as_str().context("a workflow's id")?;
    assert!(
        id.starts_with(&format!("{}/fails", project.name())),
        "{view}"
    );
    assert!(
        run["run_id"].as_str().is_some_and(|id| !id.is_empty()),
        "{view}"
    );
    let recent = last_recent_run(&view)?;
    assert_eq!(recent["workflow_id"], run["workflow_id"], "{view}");
    let time = |name: &str| -> anyhow::Result<Timestamp> {
        Ok(recent[name].as_str().context("a time")?.parse()?)
    };
    assert!(time("ended")? >= time("started")?, "{view}");
    let shown = project.almanac_json(&["show", "fails"])?;
    assert_eq!(shown["last_run"]["status"], "failed", "{shown}");
    Ok(())
}

/// The server was away when the run was due, and too long to catch up. By its scheduler, the
/// next time that it shows is in the past or in a year. A minute later the schedule is overdue.
/// A schedule that ran, and one that is paused, are not.
async fn a_schedule_that_should_have_fired_is_overdue(on: Scheduler) -> anyhow::Result<()> {
    let mut server = OwnServer::start(on)?;
    let project = Project::at(&server.address()).await?;
    // The first use of the binary may have to build it.
    project.almanac(&["--version"])?.success()?;
    project.write("later.yaml", &cron("0 0 1 1 *"))?;
    let worker = project.worker().start().await?;
    let mut left = SignedDuration::from_secs(10);
    let due = loop {
        let due = Timestamp::now() + left;
        let at = due.strftime("%S %M %H %d %m *").to_string();
        let once = |more: &str| {
            with_schedule(&format!(
                "  cron: \"{at} *\"\n  catchup_window: {CATCHUP}s\n{more}"
            ))
        };
        project.write("late.yaml", &once(""))?;
        project.write("paused.yaml", &once("  enabled: false\n"))?;
        worker.sync().await?;
        // A schedule of V1 that the server did not handle before it died begins
        // when it is back: for the server nothing was due.
        let next = wait_for("the server to handle it", SOON, || async {
            let view = schedule(&worker, "late").await?;
            Ok(view["next_run"].as_str().map(str::to_owned))
        })
        .await?;
        let next: Timestamp = next.parse()?;
        if next.as_second() == due.as_second() && Timestamp::now() < due {
            break due;
        }
        // The machine is too slow.
        ensure!(left < SignedDuration::from_mins(5), "next at {next}");
        left *= 2;
    };
    server.kill()?;
    passed(due + SignedDuration::from_secs(CATCHUP + 2)).await;
    server.restart()?;
    let view = wait_for("it to be overdue", 3 * SOON, || async {
        let view = schedule(&worker, "late").await?;
        Ok((view["overdue"] == true).then_some(view))
    })
    .await?;
    let since: Timestamp = view["overdue_since"].as_str().context("a time")?.parse()?;
    assert_eq!(since.as_second(), due.as_second(), "{view}");
    assert_eq!(view["missed"]["catchup_window"], 1, "{view}");
    for id in ["paused", "later"] {
        let view = schedule(&worker, id).await?;
        assert_eq!(view["overdue"], false, "{view}");
    }
    // A pass sees it in the list, and the operator in the log.
    wait_for("a pass to see it", 2 * SOON, || async {
        worker.sync().await?;
        let overdue = worker.metric("almanac_schedule_overdue", &[]).await?;
        Ok((overdue > 0.0).then_some(()))
    })
    .await?;
    let overdue = worker.metric("almanac_schedule_overdue", &[]).await?;
    assert!(overdue < 2.0, "{overdue}");
    assert!(worker.log()?.contains("a schedule is overdue"));
    let list = worker.json("/api/v1/schedules?q=late.yaml").await?;
    assert_eq!(list["schedules"][0]["overdue"], true, "{list}");
    let shown = project.almanac(&["show", "late"])?.success()?;
    assert!(shown.contains("Overdue   since"), "{shown}");
    // On the timeline, that time is a gap.
    let timeline = worker.json("/api/v1/timeline").await?;
    let lanes = timeline["lanes"].as_array().context("no lanes")?;
    let lane = |id: &str| {
        lanes
            .iter()
            .find(|lane| lane["schedule"]["definition"] == id)
    };
    let gaps = &lane("late").context("no lane")?["gaps"];
    assert_eq!(gaps.as_array().map(Vec::len), Some(1), "{timeline}");
    let gap: Timestamp = gaps[0]["due"].as_str().context("a time")?.parse()?;
    assert_eq!(gap.as_second(), due.as_second(), "{timeline}");
    assert_eq!(gaps[0]["cause"], "catchup_window", "{timeline}");
    let paused = lane("paused").context("no lane")?;
    assert_eq!(paused["gaps_unknown"], "paused", "{timeline}");
    Ok(())
}

/// Newest first; of one schedule; through the workflow's next run.
async fn the_history_has_overrides_and_writes(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    project.write("other.yaml", &cron("0 1 * * *"))?;
    let worker = project.worker().start().await?;
    project.write("one.yaml", &cron("0 2 * * *"))?;
    worker.sync().await?;
    project
        .almanac(&["pause", "one", "--reason", "disk full", "--for", "2h"])?
        .success()?;
    project.almanac(&["clear-override", "one"])?.success()?;
    let history = |id: &str| -> anyhow::Result<Vec<Value>> {
        let output = project.almanac(&["history", id, "--format", "json"])?;
        Ok(serde_json::from_str(&output.success()?)?)
    };
    let entries = history("one")?;
    let steps: Vec<_> = entries
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            format!("{} {}", text("kind"), text("op"))
        })
        .collect();
    assert_eq!(
        steps,
        [
            "written unpause",
            "asked clear_override",
            "written pause",
            "asked override",
            "written update",
            "written create",
        ],
        "{entries:#?}"
    );
    assert_eq!(entries[3]["reason"], "disk full", "{entries:#?}");
    assert_eq!(entries[3]["override"]["enabled"], false, "{entries:#?}");
    assert_eq!(
        entries[4]["fields"],
        serde_json::json!(["times"]),
        "{entries:#?}"
    );
    let times: Vec<_> = entries.iter().map(|entry| entry["at"].as_str()).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{entries:#?}");
    assert_eq!(history("other")?.len(), 1);
    let text = project.almanac(&["history", "one"])?.success()?;
    assert!(
        text.contains("disk full") && text.contains("Almanac created the schedule"),
        "{text}"
    );
    let nothing = project.almanac(&["history", "nobody"])?.success()?;
    assert!(
        nothing.contains("no history entries of `nobody`"),
        "{nothing}"
    );
    // Dry runs touch nothing.
    project.write("one.yaml", &cron("0 3 * * *"))?;
    let _ = worker.post_sync("definitions=false&dry_run=true").await?;
    Ok(())
}

/// A listing costs one list, whatever is asked of it.
async fn pages_and_filters_describe_nothing(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    for (id, team) in [("a", "billing"), ("b", "billing"), ("c", "shop")] {
        let text = format!("labels: {{ team: {team} }}\n{}", cron("0 1 * * *"));
        project.write(&format!("{id}.yaml"), &text)?;
    }
    project.write("off.yaml", &almanac_tests::paused_cron("0 1 * * *"))?;
    // Nothing but a request describes a schedule meanwhile.
    let worker = project
        .worker()
        .flag("--reconcile-interval", "1h")
        .start()
        .await?;
    project.has_schedules(4).await?;
    worker.sync().await?;
    let describes = async || {
        let labels = ["operation=\"DescribeSchedule\""];
        worker.metric("temporal_request", &labels).await
    };
    let before = describes().await?;
    let ids = async |query: &str| -> anyhow::Result<(Vec<String>, Value)> {
        let page = worker.json(&format!("/api/v1/schedules?{query}")).await?;
        let entries = page["schedules"].as_array().context("a list")?;
        let id = |entry: &Value| entry["definition"].as_str().unwrap_or_default().to_owned();
        Ok((entries.iter().map(id).collect(), page))
    };
    let (first, page) = ids("limit=3").await?;
    assert_eq!(
        (first, &page["total"]),
        (vec!["a".into(), "b".into(), "c".into()], &4.into())
    );
    let token = page["next_page_token"].as_str().context("a token")?;
    assert_eq!(
        ids(&format!("limit=3&page_token={token}")).await?.0,
        ["off"]
    );
    assert_eq!(ids("label=team=billing").await?.0, ["a", "b"]);
    assert_eq!(ids("state=paused").await?.0, ["off"]);
    assert_eq!(ids("q=C.YAML").await?.0, ["c"]);
    let definitions = worker.json("/api/v1/definitions?label=team=shop").await?;
    assert_eq!(definitions["total"], 1, "{definitions}");
    let more = describes().await? - before;
    assert!(more < 1.0, "{more} describes");
    let (status, problem) = worker.get("/api/v1/schedules?limit=0").await?;
    assert_eq!(status, 400);
    assert!(problem.contains("limit:"), "{problem}");
    Ok(())
}

/// Every combination: files are read when that is asked for, a pass runs when
/// that is asked for, and a dry one writes nothing.
async fn each_switch_of_a_sync_stands_alone(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    // Nothing but what is asked for reads files and makes passes.
    let worker = project
        .worker()
        .flag("--rescan-interval", "1h")
        .flag("--reconcile-interval", "1h")
        .start()
        .await?;
    let id = project.schedule("one");
    for bits in 0..16_u8 {
        let on = |bit: u8| bits & (1 << bit) != 0;
        let (definitions, schedules, event_types, dry_run) = (on(0), on(1), on(2), on(3));
        // Drift, which a pass that writes corrects.
        let live = project.temporal().live(&id).await?;
        let mut body = live.schedule().clone();
        let zone = &mut body.spec.get_or_insert_default().timezone_name;
        "Asia/Tokyo".clone_into(zone);
        let token = live.0.conflict_token.clone();
        project.temporal().update(&id, body, token).await?;
        // A pass trusts the list, which lags.
        eventually("the list to show the drift", || async {
            let listed = project.temporal().list_entries(&id).await?;
            let zone = |entry: &ScheduleListEntry| {
                let spec = entry.info.as_ref()?.spec.as_ref()?;
                Some(spec.timezone_name == "Asia/Tokyo")
            };
            Ok(listed.iter().any(|entry| zone(entry) == Some(true)))
        })
        .await?;
        let reloads = worker.metric("almanac_reload_total", &[]).await?;
        let (status, report) = worker
            .post_sync(&format!(
                "definitions={definitions}&schedules={schedules}\
                 &event_types={event_types}&dry_run={dry_run}"
            ))
            .await?;
        assert_eq!(status, 200, "{bits:04b}: {report}");
        let reloads = worker.metric("almanac_reload_total", &[]).await? - reloads;
        let is_reread = definitions || event_types;
        assert_eq!(reloads > 0.0, is_reread, "{bits:04b}: {report}");
        assert_eq!(
            report["pass"].as_u64() > Some(0),
            schedules,
            "{bits:04b}: {report}"
        );
        let is_dry = schedules && dry_run;
        assert_eq!(report["dry_run"] == true, is_dry, "{bits:04b}: {report}");
        let live = project.temporal().live(&id).await?;
        let zone = live
            .schedule()
            .spec
            .clone()
            .unwrap_or_default()
            .timezone_name;
        let is_corrected = zone != "Asia/Tokyo";
        assert_eq!(is_corrected, schedules && !dry_run, "{bits:04b}: {report}");
    }
    Ok(())
}
