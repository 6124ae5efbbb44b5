//! Schedules that move from other owners to Almanac, from one project to another, and
//! from one namespace to another: imported, adopted, and in sync.

use std::collections::BTreeMap;

use almanac_tests::{
    Live, Project, Scheduler, almanac, cron, eventually, on_both_schedulers, python, temporal_cli,
};
use temporalio_common::protos::temporal::api::schedule::v1::Schedule;

on_both_schedulers!(
    fifty_schedules_are_imported_adopted_and_in_sync,
    a_project_moves_to_another_name,
    a_definition_takes_over_from_one_of_two_schedules,
);

const SCRIPT: &str = include_str!("schedules.py");

/// 25 as people make them with the Temporal CLI. The hour is one that does not
/// come up while the test runs.
fn with_cli(project: &Project, prefix: &str) -> anyhow::Result<usize> {
    let hour = (jiff::Timestamp::now().as_second() / 3600 + 6) % 24;
    let daily = format!("0 {hour} * * *");
    let daily = daily.as_str();
    let cases: [&[&str]; 25] = [
        &["--cron", daily],
        &["--cron", "30 2 * * MON-FRI", "--time-zone", "Europe/Berlin"],
        &["--cron", "0 12 13 * FRI"],
        &["--cron", "0 3 * * *", "--cron", "0 15 * * SUN"],
        &["--cron", "0 4 1 1 * 2040"],
        &["--cron", "15 0 4 * * * *"],
        &["--cron", "@weekly"],
        &["--cron", "@every 17h/5h"],
        &["--interval", "7h"],
        &["--interval", "240h/3h15m", "--interval", "500h"],
        &[
            "--calendar",
            r#"{"dayOfWeek":"Fri","hour":"17","minute":"5"}"#,
        ],
        &["--calendar", r#"{"hour":"*/5","minute":"3,7,11"}"#],
        &[
            "--calendar",
            r#"{"month":"3-11/2","dayOfMonth":"*/10","hour":"1"}"#,
        ],
        &["--cron", daily, "--overlap-policy", "AllowAll"],
        &[
            "--cron",
            daily,
            "--overlap-policy",
            "CancelOther",
            "--pause-on-failure",
        ],
        &["--cron", daily, "--catchup-window", "10s"],
        &["--cron", daily, "--jitter", "5m"],
        &[
            "--cron",
            daily,
            "--start-time",
            "2020-01-01T00:00:00Z",
            "--end-time",
            "2080-01-01T00:00:00Z",
        ],
        &[
            "--cron",
            daily,
            "--input",
            r#"{"a": [1, {"b": "c"}]}"#,
            "--input",
            "\"two\"",
        ],
        &[
            "--cron",
            daily,
            "--execution-timeout",
            "3h",
            "--run-timeout",
            "90m",
            "--task-timeout",
            "15s",
        ],
        &["--cron", daily, "--memo", "team=\"a b\"", "--memo", "n=1"],
        &["--cron", daily, "--static-summary", "nightly: run"],
        &["--cron", daily, "--priority-key", "4"],
        &[
            "--cron",
            daily,
            "--paused",
            "--notes",
            "until the disk is mended",
        ],
        &[
            "--cron",
            daily,
            "--remaining-actions",
            "3",
            "--notes",
            "three more",
        ],
    ];
    for (number, flags) in cases.iter().enumerate() {
        let id = format!("{prefix}CLI {number:02}");
        let run = format!("{prefix}run");
        let mut args = vec!["schedule", "create", "--schedule-id", &id];
        args.extend([
            "--workflow-id",
            &run,
            "--type",
            "Nobody",
            "--task-queue",
            "nobody",
        ]);
        args.extend(*flags);
        temporal_cli(project.address(), args)?;
    }
    Ok(cases.len())
}

/// Asserts that the parts of two schedules that the comparison of fields leaves out are the
/// same: the next times, the input of the runs, and the live state.
fn assert_alike(new: &Live, old: &Live) {
    let state = |live: &Live| (live.args(), live.paused(), live.remaining_actions());
    assert_eq!(state(new), state(old), "{new}");
    let jitter = old.spec().jitter.unwrap_or_default();
    // Jitter depends on the schedule's id.
    if jitter.seconds == 0 && jitter.nanos == 0 {
        // One of the times may have passed between the two descriptions.
        let now = jiff::Timestamp::now().as_second();
        let [new, old] = [new, old].map(|live| times_after(live, now));
        let both = new.len().min(old.len());
        assert_eq!(new[..both], old[..both]);
        assert_eq!(new.is_empty(), old.is_empty());
    }
}

/// The next times of a schedule that are after `now`, in seconds.
fn times_after(live: &Live, now: i64) -> Vec<i64> {
    let info = live.0.info.clone().unwrap_or_default();
    let times = info.future_action_times.iter().map(|time| time.seconds);
    times.filter(|time| *time > now).collect()
}

async fn fifty_schedules_are_imported_adopted_and_in_sync(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let temporal = project.temporal();
    let prefix = format!("x-{}-", project.name());
    let made = with_cli(&project, &prefix)?;
    assert_eq!(python(project.address(), SCRIPT, [&prefix])?.trim(), "25");
    assert_eq!(made, 25);
    eventually("50 to be listed", || async {
        Ok(temporal.list(&prefix).await?.len() == 50)
    })
    .await?;
    let mut before = BTreeMap::new();
    for id in temporal.list(&prefix).await? {
        before.insert(id.clone(), temporal.live(&id).await?);
    }

    let worker = project.worker().start().await?;
    let out = project.definitions();
    let out = out.to_str().unwrap();
    let query = format!("ScheduleId STARTS_WITH '{prefix}'");
    let import = ["import", "--query", &query, "--out", out];
    let output = project.almanac(&import)?;
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
    let checked = almanac(project.address(), ["validate", out])?;
    assert!(
        checked.stdout.contains("50 valid, 0 invalid"),
        "{checked:?}"
    );

    // The worker has them, and runs none beside the other's.
    worker.sync().await?;
    project.has_schedules(50).await?;
    let new_ids = temporal.list(&project.schedule("")).await?;
    for id in &new_ids {
        assert!(temporal.live(id).await?.paused(), "{id}");
    }
    let plan = project.almanac(&["plan", "--dir", out, "--detailed-exitcode"])?;
    assert_eq!(plan.code, 0, "{plan:?}");

    let adopt = ["adopt", "--dir", out, "--format", "json"];
    let answer = project.almanac(&adopt)?.success()?;
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    let adoptions = answer["adoptions"].as_array().unwrap();
    assert_eq!(adoptions.len(), 50);
    for one in adoptions {
        assert_eq!(one["differences"], serde_json::json!({}), "{one:#}");
    }
    for (id, live) in &before {
        assert_alike(&temporal.live(id).await?, live);
    }
    let wrong = project.almanac(&["adopt", "--dir", out, "--confirm", "wrong"])?;
    assert_eq!(wrong.code, 1, "{wrong:?}");
    let digest = answer["digest"].as_str().unwrap();
    let confirmed = ["adopt", "--dir", out, "--confirm", digest];
    project.almanac(&confirmed)?.success()?;

    eventually("the others to be gone", || async {
        Ok(temporal.list(&prefix).await?.is_empty())
    })
    .await?;
    for one in adoptions {
        let old = &before[one["from"].as_str().unwrap()];
        let new = temporal.live(one["schedule"].as_str().unwrap()).await?;
        assert_alike(&new, old);
        if old.paused() {
            assert!(new.note().starts_with(old.note()), "{new}");
        }
        let now = jiff::Timestamp::now().as_second();
        let passed = times_after(old, 0).len() - times_after(old, now).len();
        assert!(usize::try_from(new.runs())? <= passed, "{new}");
    }
    worker.sync().await?;
    worker.writes_nothing_in(3).await?;
    // The same again finds all done.
    let again = project.almanac(&confirmed)?.success()?;
    assert!(again.contains("has taken over"), "{again}");
    Ok(())
}

/// The steps of `docs/moving.md`: nothing runs twice, and what operators did stays.
async fn a_project_moves_to_another_name(on: Scheduler) -> anyhow::Result<()> {
    let old = Project::new(on).await?;
    let temporal = old.temporal();
    old.write("plain.yaml", &cron("0 1 * * *"))?;
    old.write("paused.yaml", &cron("0 2 * * *"))?;
    let steps =
        "id: steps\nschedule: { every: 6h, max_actions: 9 }\ndo:\n  - a: { set: { x: 1 } }\n";
    old.write("steps.yaml", steps)?;
    let mut old_worker = old.worker().start().await?;
    temporal.pause(&old.schedule("paused"), "lunch").await?;
    let with_actions_used = |schedule: &mut Schedule| {
        schedule.state.get_or_insert_default().remaining_actions = 4;
    };
    let limited = old.schedule("steps");
    temporal.edit(&limited, with_actions_used).await?;

    let new = Project::new(on).await?;
    let dir = old.definitions();
    let dir = dir.to_str().unwrap();
    let new_worker = new
        .worker()
        .dir(dir)
        .flag("--adopts-from", old.name())
        .start()
        .await?;
    new.has_just(&["paused", "plain", "steps"]).await?;
    for id in ["paused", "plain", "steps"] {
        let live = temporal.live(&new.schedule(id)).await?;
        assert!(live.paused() && live.note().contains("waits"), "{live}");
    }
    let adopt = ["adopt", "--from-project", old.name(), "--dir", dir];
    // A stranger is not taken for the old project, and a live one is not robbed.
    let schedule = old.schedule("plain");
    let refused = new.almanac(&["adopt", "plain", "--from", &schedule, "--dir", dir])?;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("--from-project"), "{refused:?}");
    let refused = new.almanac(&adopt)?;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("live workers"), "{refused:?}");

    old_worker.terminate(almanac_tests::SOON)?;
    let answer = new
        .almanac(&[&adopt[..], &["--format", "json"]].concat())?
        .success()?;
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    let digest = answer["digest"].as_str().unwrap();
    new.almanac(&[&adopt[..], &["--confirm", digest]].concat())?
        .success()?;
    old.has_schedules(0).await?;
    let live = async |id: &str| temporal.live(&new.schedule(id)).await;
    assert!(!live("plain").await?.paused());
    let paused = live("paused").await?;
    assert!(
        paused.paused() && paused.note().starts_with("lunch"),
        "{paused}"
    );
    assert_eq!(live("steps").await?.remaining_actions(), Some(4));
    let report = new_worker.sync().await?;
    assert_eq!(report.errors, []);
    assert_eq!(new_worker.sync().await?.changes, []);

    // What is left of the old one goes.
    let answer = old.almanac(&["destroy", "--format", "json"])?.success()?;
    let answer: serde_json::Value = serde_json::from_str(&answer)?;
    let digest = answer["digest"].as_str().unwrap();
    old.almanac(&["destroy", "--confirm", digest])?.success()?;
    new.has_schedules(3).await?;
    assert_eq!(new_worker.sync().await?.changes, []);
    Ok(())
}

/// The definition names a schedule that still exists, and the old project has one, too. The new
/// schedule starts nothing before both have stopped.
async fn a_definition_takes_over_from_one_of_two_schedules(on: Scheduler) -> anyhow::Result<()> {
    let old = Project::new(on).await?;
    let temporal = old.temporal();
    old.write("one.yaml", &cron("0 1 * * *"))?;
    let mut old_worker = old.worker().start().await?;
    let other = format!("other-{}", old.name());
    let create = ["schedule", "create", "--schedule-id", &other];
    let action = ["--cron", "0 1 * * *", "--type", "Nobody"];
    let ids = ["--workflow-id", &other, "--task-queue", "nobody"];
    temporal_cli(old.address(), create.iter().chain(&action).chain(&ids))?;
    let named =
        cron("0 1 * * *").replace("schedule:\n", &format!("schedule:\n  adopts: {other}\n"));
    assert!(named.contains("adopts"), "{named}");
    old.write("one.yaml", &named)?;
    old_worker.sync().await?;
    old_worker.terminate(almanac_tests::SOON)?;

    let new = Project::new(on).await?;
    let dir = old.definitions();
    let dir = dir.to_str().unwrap();
    let new_worker = new.worker().dir(dir).flag("--adopts-from", old.name());
    let new_worker = new_worker.start().await?;
    let waits = async || -> anyhow::Result<bool> {
        let live = temporal.live(&new.schedule("one")).await?;
        Ok(live.paused() && live.note().contains("waits"))
    };
    assert!(waits().await?);
    let adopt = ["adopt", "--from-project", old.name(), "--dir", dir];
    let refused = new.almanac(&adopt)?;
    assert_eq!(refused.code, 1);
    let both = format!("`{}` is not paused", old.schedule("one"));
    assert!(refused.stderr.contains(&both), "{refused:?}");

    // Without the schedule that the definition names, that of the old project counts.
    temporal.delete(&other).await?;
    new_worker.sync().await?;
    assert!(waits().await?);
    let answer = new.almanac_json(&adopt)?;
    let digest = answer["digest"].as_str().unwrap_or_default();
    new.almanac(&[&adopt[..], &["--confirm", digest]].concat())?
        .success()?;
    old.has_schedules(0).await?;
    let live = temporal.live(&new.schedule("one")).await?;
    assert!(!live.paused(), "{live}");
    assert_eq!(new_worker.sync().await?.errors, []);
    Ok(())
}
