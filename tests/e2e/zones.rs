//! A server whose time zone data are others than Almanac's: for live schedules
//! its word counts, and each view says so.

use almanac_tests::{OwnServer, Project, Scheduler, on_both_schedulers, wait_for, with_schedule};
use almanac_tests::{SOON, cron};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

on_both_schedulers!(the_servers_time_zone_data_count_for_live_schedules);

const ZONE: &str = "Asia/Tokyo";
/// An hour west of Tokyo.
const OFFSET: i32 = 8 * 3600;

fn json(text: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(text)?)
}

async fn the_servers_time_zone_data_count_for_live_schedules(on: Scheduler) -> anyhow::Result<()> {
    let server = OwnServer::with_zones(on, &[(ZONE, OFFSET)])?;
    let project = Project::at(&server.address()).await?;
    let noon = format!("  cron: '0 12 * * *'\n  timezone: {ZONE}\n  overlap_policy: allow_all\n");
    project.write("noon.yaml", &with_schedule(&noon))?;
    project.write(
        "berlin.yaml",
        &with_schedule("  cron: '0 12 * * *'\n  timezone: Europe/Berlin\n"),
    )?;
    project.write("utc.yaml", &cron("0 12 * * *"))?;
    let paused = format!("{noon}  enabled: false\n");
    project.write("paused.yaml", &with_schedule(&paused))?;
    let worker = project.worker().start().await?;

    // The server's times, by each command. 12:00 at UTC+8 is 04:00; by the
    // data here it would be 03:00.
    let live = project.temporal().live(&project.schedule("noon")).await?;
    let info = live.0.info.unwrap_or_default();
    let first = info.future_action_times.first().map(|time| time.seconds);
    let first = Timestamp::from_second(first.unwrap_or_default())?;
    assert!(first.to_string().ends_with("T04:00:00Z"), "{first}");
    let next = project
        .almanac(&["next", "noon", "-n", "3", "--format", "json"])?
        .success()?;
    let next = json(&next)?;
    let day = SignedDuration::from_hours(24);
    for (n, time) in (0..).zip([first, first + day, first + day * 2]) {
        assert_eq!(next[0]["times"][n], time.to_string(), "{next}");
    }
    let difference = &next[0]["zone_difference"];
    assert_eq!(difference["timezone"], ZONE, "{next}");
    let soonest = Timestamp::now() + SignedDuration::from_mins(1);
    let server_first = [first, first + day]
        .into_iter()
        .find(|time| *time > soonest);
    assert_eq!(
        difference["server"],
        server_first.unwrap_or(first).to_string(),
        "{next}"
    );
    let from = first + day * 30;
    let later = project
        .almanac(&[
            "next",
            "noon",
            "-n",
            "1",
            "--from",
            &from.to_string(),
            "--format",
            "json",
        ])?
        .success()?;
    assert_eq!(json(&later)?[0]["times"][0], (from + day).to_string());
    let show = project
        .almanac(&["show", "noon", "--format", "json"])?
        .success()?;
    let show = json(&show)?;
    assert_eq!(show["next_run"], first.to_string(), "{show}");
    assert_eq!(show["zone_difference"]["timezone"], ZONE, "{show}");
    assert_eq!(show["overdue_since"], Value::Null, "{show}");
    for (id, times) in [("berlin", 10), ("utc", 10), ("paused", 0)] {
        let next = project
            .almanac(&["next", id, "--format", "json"])?
            .success()?;
        let next = json(&next)?;
        assert_eq!(
            next[0]["times"].as_array().map(Vec::len),
            Some(times),
            "{next}"
        );
        assert_eq!(
            next[0]["zone_difference"].is_null(),
            id != "paused",
            "{next}"
        );
    }
    let file = project.definitions().join("noon.yaml");
    let offline = project
        .almanac(&["next", &file.to_string_lossy(), "-n", "1"])?
        .success()?;
    assert!(offline.contains("03:00:00 UTC"), "{offline}");

    // A backfill of the server's time, which is none by the data here.
    let due = first - day * 40;
    let until = due + SignedDuration::from_secs(1);
    let range = ["--from", &due.to_string(), "--to", &until.to_string()];
    let dry = [&["backfill", "noon", "--dry-run"], &range[..]].concat();
    let dry = project.almanac(&dry)?.success()?;
    assert!(dry.contains("would start 1 run, of"), "{dry}");
    let run = [&["backfill", "noon", "--format", "json"], &range[..]].concat();
    let run = json(&project.almanac(&run)?.success()?)?;
    let workflow = run["workflow_id"].as_str().unwrap_or_default();
    assert!(workflow.ends_with(&due.to_string()), "{run}");

    // The log says it once, and a plan says it with the server's times before.
    wait_for("the worker to compare", SOON, || async {
        worker.sync().await?;
        let log = worker.log()?;
        Ok(log.contains("time zone data differ").then_some(()))
    })
    .await?;
    worker.sync().await?;
    assert_eq!(worker.log()?.matches("time zone data differ").count(), 1);
    let edited = noon.replace("0 12", "30 12");
    project.write("noon.yaml", &with_schedule(&edited))?;
    let folder = project.definitions().to_string_lossy().into_owned();
    let plan = project
        .almanac(&["plan", "--dir", &folder, "--format", "json"])?
        .success()?;
    let plan = json(&plan)?;
    assert_eq!(plan["zone_differences"][0]["timezone"], ZONE, "{plan}");
    assert_eq!(
        plan["zone_differences"].as_array().map(Vec::len),
        Some(1),
        "{plan}"
    );
    Ok(())
}
