//! Taking over from an unmanaged schedule: no time is lost or run twice, and a
//! kill in the middle loses nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use almanac_tests::{
    Project, Proxy, Scheduler, Temporal, cron, eventually, on_both_schedulers, passed,
    unmanaged_schedule,
};
use jiff::Timestamp;
use serde_json::Value;
use temporalio_common::protos::temporal::api::enums::v1::ScheduleOverlapPolicy;
use temporalio_common::protos::temporal::api::schedule::v1::schedule_action::Action;
use temporalio_common::protos::temporal::api::schedule::v1::{Schedule, SchedulePolicies};

on_both_schedulers!(
    no_time_is_lost_or_run_twice,
    the_same_command_continues_an_adoption_after_a_kill_anywhere,
    a_new_schedule_that_runs_already_is_held_first,
    a_schedule_that_cannot_be_adopted_is_refused,
    a_plan_with_another_digest_is_not_adopted,
    an_edit_in_the_middle_leaves_no_schedule_paused,
);

/// A schedule of another owner that runs this often, each run beside the others.
fn unmanaged_every(name: &str, every: &str) -> Schedule {
    let mut schedule = unmanaged_schedule(&format!("@every {every}"));
    schedule.policies = Some(SchedulePolicies {
        overlap_policy: ScheduleOverlapPolicy::AllowAll.into(),
        ..SchedulePolicies::default()
    });
    let action = schedule.action.get_or_insert_default();
    if let Some(Action::StartWorkflow(start)) = &mut action.action {
        name.clone_into(&mut start.workflow_id);
    }
    schedule
}

/// A definition that takes over from it.
fn definition(adopts: &str, every: &str) -> String {
    format!(
        "schedule:\n  adopts: {adopts}\n  every: {every}\n  overlap_policy: allow_all\n  \
         catchup_window: 365d\nworkflow:\n  type: Foreign\n  task_queue: nobody\n"
    )
}

/// Runs `almanac adopt` without and with confirmation. Returns the second answer.
fn adopt(project: &Project, args: &[&str]) -> anyhow::Result<Value> {
    let dir = project.definitions();
    let mut command = vec!["adopt", "--dir", dir.to_str().unwrap(), "--format", "json"];
    command.extend(args);
    let answer = project.almanac(&command)?.json()?;
    let digest = answer["digest"].as_str().unwrap();
    command.extend(["--confirm", digest]);
    project.almanac(&command)?.json()
}

/// For which seconds a schedule has started runs, and how many.
async fn runs(temporal: &Temporal, names: [&str; 2]) -> anyhow::Result<BTreeMap<i64, usize>> {
    let mut runs = BTreeMap::new();
    for name in names {
        let query = format!("WorkflowId STARTS_WITH '{name}-'");
        for id in temporal.workflow_ids(&query).await? {
            let time: jiff::Timestamp = id[name.len() + 1..].parse()?;
            *runs.entry(time.as_second()).or_default() += 1;
        }
    }
    Ok(runs)
}

/// Checks that each time from the first to the last was run once.
fn is_whole(runs: &BTreeMap<i64, usize>, every: i64) -> anyhow::Result<()> {
    let (first, last) = (runs.keys().min().unwrap(), runs.keys().max().unwrap());
    let missing: Vec<_> = (*first..=*last)
        .step_by(usize::try_from(every)?)
        .filter(|time| !runs.contains_key(time))
        .collect();
    let twice: Vec<_> = runs.iter().filter(|(_, count)| **count != 1).collect();
    anyhow::ensure!(
        missing.is_empty() && twice.is_empty(),
        "lost {missing:?}, twice {twice:?}: {runs:?}"
    );
    Ok(())
}

/// Schedules that run every few seconds, and every one, while they are adopted.
async fn no_time_is_lost_or_run_twice(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let temporal = project.temporal();
    let periods = [1, 2, 3, 5];
    let name = |every: i64| format!("fast-{}-{every}", project.name());
    for every in periods {
        let (name, every) = (name(every), format!("{every}s"));
        temporal
            .create(&name, unmanaged_every(&name, &every), &[])
            .await?;
        let file = format!("each-{every}.yaml");
        project.write(&file, &definition(&name, &every))?;
    }
    let _worker = project.worker().start().await?;
    for every in periods {
        let old = name(every);
        eventually("a run of the unmanaged schedule", || async {
            Ok(!runs(temporal, [&old, &old]).await?.is_empty())
        })
        .await?;
    }
    let answer = adopt(&project, &[])?;
    assert_eq!(answer["done"], true, "{answer:#}");
    for every in periods {
        assert!(temporal.describe(&name(every)).await?.is_none());
        let new = format!("{}/each-{every}s", project.name());
        let old = name(every);
        eventually("five runs of ours", || async {
            let query = format!("WorkflowId STARTS_WITH '{new}-'");
            Ok(temporal.workflow_ids(&query).await?.len() >= 5)
        })
        .await?;
        // What is listed lags; a time that was lost stays lost.
        eventually("every time to be run once", || async {
            is_whole(&runs(temporal, [&new, &old]).await?, every)?;
            Ok(true)
        })
        .await?;
    }
    for every in periods {
        temporal
            .delete(&project.schedule(&format!("each-{every}s")))
            .await?;
    }
    Ok(())
}

/// At each write of an adoption, before it and after it.
async fn the_same_command_continues_an_adoption_after_a_kill_anywhere(
    on: Scheduler,
) -> anyhow::Result<()> {
    let cases = [
        ("UpdateSchedule", 0, false),
        ("UpdateSchedule", 0, true),
        ("UpdateSchedule", 1, false),
        ("UpdateSchedule", 1, true),
        ("DeleteSchedule", 0, false),
        ("DeleteSchedule", 0, true),
        ("RespondActivityTaskCompleted", 0, false),
    ];
    let all = cases.map(|(request, skip, answered)| killed_at(on, request, skip, answered, false));
    futures::future::try_join_all(all).await?;
    Ok(())
}

/// The old schedule is paused and the new one held when the file is edited to a revision that
/// nobody confirmed, and nobody repeats the command.
async fn an_edit_in_the_middle_leaves_no_schedule_paused(on: Scheduler) -> anyhow::Result<()> {
    killed_at(on, "UpdateSchedule", 1, false, true).await
}

async fn killed_at(
    on: Scheduler,
    request: &str,
    skip: usize,
    answered: bool,
    edited: bool,
) -> anyhow::Result<()> {
    let what = format!("{request} {skip} {answered} {edited}");
    let project = Project::new(on).await?;
    let temporal = project.temporal();
    let name = format!("killed-{}", project.name());
    temporal
        .create(&name, unmanaged_every(&name, "4s"), &[])
        .await?;
    project.write("job.yaml", &definition(&name, "4s"))?;
    let proxy = Proxy::start(project.address()).await?;
    let mut worker = project.worker().through(&proxy).start().await?;
    let dir = project.definitions();
    let dir = dir.to_str().unwrap().to_owned();
    let answer = project.almanac_json(&["adopt", "job", "--dir", &dir])?;
    let digest = answer["digest"].as_str().unwrap().to_owned();
    let command = ["adopt", "job", "--dir", &dir, "--confirm", &digest];

    let mut gate = if answered {
        proxy.hold_answer(request, skip)
    } else {
        proxy.hold(request, skip)
    };
    // The command is ended too: what goes on does so without it.
    let mut first = std::process::Command::new(almanac_tests::almanac_binary())
        .args(command)
        .args(["--project", project.name()])
        .env("TEMPORAL_ADDRESS", project.address())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let reached = gate.reached().await;
    first.kill()?;
    first.wait()?;
    reached.map_err(|error| error.context(what.clone()))?;
    worker.kill()?;
    drop(gate);
    proxy.clear();
    if edited {
        let text = definition(&name, "4s") + "  args: [edited]\n";
        project.write("job.yaml", &text)?;
    }
    // A time at which neither schedule can run passes before the next worker comes.
    let now = Timestamp::now().as_second();
    passed(Timestamp::from_second(now - now.rem_euclid(4) + 4)?).await;
    worker.restart().await?;

    if edited {
        eventually("the unmanaged schedule to be gone", || async {
            Ok(temporal.describe(&name).await?.is_none())
        })
        .await?;
    } else {
        project.almanac(&command)?.success()?;
    }
    assert!(temporal.describe(&name).await?.is_none(), "{what}");
    let new = format!("{}/job", project.name());
    eventually("ours to run", || async {
        let live = temporal.live(&project.schedule("job")).await?;
        let query = format!("WorkflowId STARTS_WITH '{new}-'");
        Ok(!live.paused() && temporal.workflow_ids(&query).await?.len() >= 3)
    })
    .await
    .map_err(|error| error.context(what.clone()))?;
    eventually("every time to be run once", || async {
        is_whole(&runs(temporal, [&new, &name]).await?, 4)?;
        Ok(true)
    })
    .await
    .map_err(|error| error.context(what))?;
    temporal.delete(&project.schedule("job")).await
}

/// A definition without `adopts` runs at once; `--from` ends that first. A manual
/// pause stays.
async fn a_new_schedule_that_runs_already_is_held_first(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let temporal = project.temporal();
    let unmanaged = |id: &str| format!("other-{}-{id}", project.name());
    for id in ["runs", "halted"] {
        temporal
            .create(&unmanaged(id), unmanaged_schedule("0 1 * * *"), &[])
            .await?;
        project.write(&format!("{id}.yaml"), &cron("0 1 * * *"))?;
    }
    let worker = project.worker().start().await?;
    temporal
        .pause(&project.schedule("halted"), "by hand")
        .await?;
    for id in ["runs", "halted"] {
        let from = unmanaged(id);
        let answer = adopt(&project, &[id, "--from", &from])?;
        assert_eq!(answer["done"], true, "{answer:#}");
        assert!(temporal.describe(&from).await?.is_none());
    }
    let live = temporal.live(&project.schedule("runs")).await?;
    assert!(
        !live.paused() && live.note().starts_with("Managed"),
        "{live}"
    );
    assert!(temporal.live(&project.schedule("halted")).await?.paused());
    worker.sync().await?;
    worker.writes_nothing_in(1).await
}

/// A pass writes nothing for an adoption that cannot be done.
async fn a_schedule_that_cannot_be_adopted_is_refused(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let temporal = project.temporal();
    let taken = project.schedule("taken");
    temporal
        .create(&taken, unmanaged_schedule("0 1 * * *"), &[])
        .await?;
    let restless = format!("restless-{}", project.name());
    let mut schedule = unmanaged_every(&restless, "1h");
    let spec = schedule.spec.get_or_insert_default();
    spec.jitter = Some(
        "1h".parse::<jiff::SignedDuration>()?
            .try_into()
            .map(|d: Duration| d.try_into().unwrap())?,
    );
    temporal.create(&restless, schedule, &[]).await?;
    for id in ["taken", "restless", "own", "gone"] {
        project.write(&format!("{id}.yaml"), &cron("0 1 * * *"))?;
    }
    let worker = project.worker().start().await?;
    let own = project.schedule("own");
    let dir = project.definitions();
    let dir = dir.to_str().unwrap();
    for (id, from, why) in [
        ("taken", taken.as_str(), "has the same id"),
        ("restless", &restless, "no moment without a run"),
        ("gone", &own, "this project's own"),
        ("gone", "nowhere", "has taken over"),
        ("unknown", "nowhere", "no definition `unknown`"),
    ] {
        let output = project.almanac(&["adopt", id, "--from", from, "--dir", dir])?;
        let text = output.stdout.clone() + &output.stderr;
        assert!(text.contains(why), "{id} {output:?}");
    }
    let output = project.almanac(&["adopt", "gone", "--dir", dir])?;
    assert!(output.stderr.contains("--from"), "{output:?}");
    worker.sync().await?;
    for id in [&taken, &restless] {
        assert!(!temporal.live(id).await?.paused(), "{id}");
    }
    assert!(!temporal.live(&own).await?.paused());
    Ok(())
}

/// The command read other files than the worker did.
async fn a_plan_with_another_digest_is_not_adopted(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let temporal = project.temporal();
    let name = format!("agreed-{}", project.name());
    temporal
        .create(&name, unmanaged_every(&name, "1h"), &[])
        .await?;
    project.write("job.yaml", &definition(&name, "1h"))?;
    let _worker = project.worker().start().await?;
    let seen = project.folder().join("seen");
    std::fs::create_dir(&seen)?;
    std::fs::write(seen.join("job.yaml"), definition(&name, "2h"))?;
    let command = ["adopt", "--dir", seen.to_str().unwrap(), "--format", "json"];
    let answer: Value = serde_json::from_str(&project.almanac(&command)?.success()?)?;
    let confirm = ["--confirm", answer["digest"].as_str().unwrap()];
    let refused = project.almanac(&[&command[..], &confirm[..]].concat())?;
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(
        refused.stderr.contains("not the revision"),
        "{}",
        refused.stderr
    );
    assert!(temporal.describe(&name).await?.is_some());
    let old = temporal.live(&name).await?;
    assert!(!old.paused(), "the other was touched");
    Ok(())
}
