//! No write loses a run: one that is due, between its time and the end of its
//! jitter, or in the moment of the write, starts once.
//!
//! Most runs end after a second, so that a run that is started twice has two
//! executions. On CHASM two things drop runs that no write of Almanac can keep
//! (`docs/adr/0012-writes-lose-no-run.md`). The end of a run drops the next run
//! that is due, so only schedules whose runs go on prove that no write loses a
//! run. A busy server handles the timer of a run late, and then drops the next
//! run if its time is over by then. So there, the times of a schedule with
//! jitter are five seconds after the last possible start of the run before.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use almanac_core::record::Op;
use almanac_tests::{
    Project, Proxy, Scheduler, Temporal, eventually, on_both_schedulers, wait_for,
};
use jiff::{SignedDuration, Timestamp};

on_both_schedulers!(
    no_write_loses_a_run_or_starts_one_twice,
    a_kill_around_a_write_loses_no_run,
    a_write_that_comes_late_loses_no_run,
    a_pause_takes_effect_at_once_and_the_due_run_does_not_start,
    a_rename_loses_no_run_and_starts_none_twice,
    a_rename_whose_worker_was_killed_is_finished,
    a_rename_that_keeps_the_old_schedule_pauses_it_first,
    a_rename_reports_the_runs_that_waited_in_the_buffer,
    a_manual_run_and_a_due_run_both_start_under_the_policy_skip,
);

/// Time for which schedules are written, over and over.
const WRITTEN_FOR: Duration = Duration::from_secs(45);

/// The most runs that reports may name as lost or unsure, where the machine
/// stood still for seconds.
const REPORTED_AT_MOST: usize = 6;

/// Part of an error about a request that a busy server did not answer in time. The next pass sends
/// it again.
const NOT_AVAILABLE: &str = "the server is not available";

/// The intervals and the jitter of schedules, in seconds.
fn intervals(on: Scheduler) -> &'static [(i64, i64)] {
    match on {
        Scheduler::V1 => &[(1, 0), (1, 1), (2, 1), (3, 0), (5, 4), (10, 9), (20, 19)],
        Scheduler::Chasm => &[(1, 0), (2, 0), (3, 0), (6, 1), (8, 3), (12, 7), (20, 15)],
    }
}

/// The end of a schedule's runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    /// After a second.
    End,
    /// Not before the test does.
    GoOn,
}

/// A schedule that fires every few seconds; its workflow's arguments are a number.
fn definition(every: i64, jitter: i64, number: u32) -> String {
    definition_of(Runs::End, every, jitter, number)
}

fn definition_of(runs: Runs, every: i64, jitter: i64, number: u32) -> String {
    let timeout = match runs {
        Runs::End => "1s",
        Runs::GoOn => "10m",
    };
    format!(
        "schedule:\n  every: {every}s\n  jitter: {jitter}s\n  overlap_policy: allow_all\n\
         workflow:\n  type: Job\n  task_queue: nobody\n  execution_timeout: {timeout}\n  \
         args: [{number}]\n  memo: {{ number: {number} }}\n"
    )
}

/// Number of runs for each of a definition's times.
async fn runs(project: &Project, definition: &str) -> anyhow::Result<BTreeMap<i64, usize>> {
    let name = format!("{}/{definition}-", project.name());
    let query = format!("WorkflowId STARTS_WITH '{name}'");
    let mut runs = BTreeMap::new();
    for id in project.temporal().workflow_ids(&query).await? {
        let time: Timestamp = id[name.len()..].parse()?;
        *runs.entry(time.as_second()).or_default() += 1;
    }
    Ok(runs)
}

/// Waits until every time until `end` has one run. Times for which `is_optional`
/// holds may have none.
async fn whole(
    project: &Project,
    definitions: &[&str],
    every: i64,
    end: Timestamp,
    is_optional: impl Fn(i64) -> bool,
) -> anyhow::Result<()> {
    eventually("every time to have one run", || async {
        let mut all = BTreeMap::new();
        for definition in definitions {
            for (time, count) in runs(project, definition).await? {
                *all.entry(time).or_insert(0) += count;
            }
        }
        // The other runs are manual.
        all.retain(|time, _| time % every == 0);
        let Some(first) = all.keys().next() else {
            return Ok(false);
        };
        let lost: Vec<_> = (*first..=end.as_second())
            .step_by(usize::try_from(every)?)
            .filter(|time| !all.contains_key(time) && !is_optional(*time))
            .map(|time| Timestamp::from_second(time).map(|time| time.to_string()))
            .collect::<Result<_, _>>()?;
        let twice: Vec<_> = all.iter().filter(|(_, count)| **count > 1).collect();
        anyhow::ensure!(
            lost.is_empty() && twice.is_empty(),
            "{definitions:?}: lost {lost:?} of {}, twice {twice:?}",
            all.len()
        );
        Ok(true)
    })
    .await
}

/// Arguments, memos, pauses, overrides, drift and manual runs, while schedules
/// fire with jitter and without.
async fn no_write_loses_a_run_or_starts_one_twice(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let temporal = project.temporal();
    let edited = intervals(on);
    let name = |runs, (every, jitter)| format!("each-{every}-{jitter}-{runs:?}").to_lowercase();
    let by_hand = |runs, what| format!("{what}-{runs:?}").to_lowercase();
    let write = |number| {
        for runs in [Runs::End, Runs::GoOn] {
            for &one in edited {
                let text = definition_of(runs, one.0, one.1, number);
                project.write(&format!("{}.yaml", name(runs, one)), &text)?;
            }
        }
        anyhow::Ok(())
    };
    write(0)?;
    for runs in [Runs::End, Runs::GoOn] {
        for what in ["overridden", "triggered"] {
            let file = format!("{}.yaml", by_hand(runs, what));
            project.write(&file, &definition_of(runs, 8, 3, 0))?;
        }
    }
    let paused = definition_of(Runs::GoOn, 8, 3, 0);
    project.write("paused.yaml", &paused)?;
    project.write("drifts.yaml", &definition_of(Runs::GoOn, 6, 0, 0))?;
    let worker = project.worker().start().await?;
    let whole_since = Timestamp::now();

    let began = Instant::now();
    let mut pause_times: Vec<(i64, i64)> = Vec::new();
    let mut updates = 0;
    let mut reported: Vec<String> = Vec::new();
    for number in 1.. {
        write(number)?;
        let pause = number % 2 == 1;
        let switched = Timestamp::now().as_second();
        let enabled = format!("enabled: {}\n{paused}", !pause);
        project.write("paused.yaml", &enabled)?;
        for runs in [Runs::End, Runs::GoOn] {
            let overridden = by_hand(runs, "overridden");
            let zone = ["--set", "timezone=Europe/Berlin", "--reason", "test"];
            let command: &[&str] = if pause {
                &[&["override", &overridden], &zone[..]].concat()
            } else {
                &["clear-override", &overridden]
            };
            project.almanac(command)?.success()?;
            let triggered = by_hand(runs, "triggered");
            let output = project.almanac(&["trigger", &triggered])?;
            // A busy server may not show the run in time.
            let is_answered = output.code == 0 || output.stdout.contains("lost");
            anyhow::ensure!(is_answered, "{output:?}");
        }
        if !pause {
            drift(temporal, &project.schedule("drifts"), 6).await?;
        }
        let report = worker.sync().await?;
        let errors = report.errors.into_iter().map(|error| error.message);
        reported.extend(errors.filter(|error| !error.contains(NOT_AVAILABLE)));
        let of_updates = report
            .changes
            .iter()
            .filter(|change| change.op == Op::Update);
        updates += of_updates.count();
        let now = Timestamp::now().as_second();
        match pause_times.last_mut() {
            Some(last) if !pause => last.1 = now,
            _ => pause_times.push((switched, i64::MAX)),
        }
        if began.elapsed() > WRITTEN_FOR && !pause {
            break;
        }
    }
    anyhow::ensure!(updates > 20, "just {updates} updates");
    anyhow::ensure!(reported.len() <= REPORTED_AT_MOST, "{reported:?}");

    let end = Timestamp::now();
    // Before the worker was ready a schedule may have been written again.
    let before = |time: i64| {
        let named = Timestamp::from_second(time).map(|time| time.to_string());
        let is_reported = named.is_ok_and(|time| reported.iter().any(|one| one.contains(&time)));
        time < whole_since.as_second() || is_reported
    };
    for runs in [Runs::End, Runs::GoOn] {
        // The end of a run drops others there, by itself.
        let is_optional = |time| before(time) || (on == Scheduler::Chasm && runs == Runs::End);
        for &one in edited {
            whole(&project, &[&name(runs, one)], one.0, end, is_optional).await?;
        }
        for what in ["overridden", "triggered"] {
            whole(&project, &[&by_hand(runs, what)], 8, end, is_optional).await?;
        }
    }
    whole(&project, &["drifts"], 6, end, before).await?;
    // A run that is due when its schedule is paused, or was, does not start.
    let is_paused = |time: i64| {
        let mut all = pause_times.iter();
        before(time) || all.any(|(from, to)| time + 4 >= *from && time <= *to)
    };
    whole(&project, &["paused"], 8, end, is_paused).await?;
    // What fires every few seconds must not burden the other tests.
    for schedule in temporal
        .list(&format!("schedule-{}-", project.name()))
        .await?
    {
        temporal.delete(&schedule).await?;
    }
    Ok(())
}

/// Changes a schedule manually at a moment at which it does not fire, since that
/// write loses what is due on one server.
async fn drift(temporal: &Temporal, schedule: &str, every: i64) -> anyhow::Result<()> {
    eventually("a moment between two runs", || async {
        let second = Timestamp::now().as_second().rem_euclid(every);
        Ok((2..every - 2).contains(&second))
    })
    .await?;
    temporal
        .edit(schedule, |schedule| {
            // Not one that could pause it: its runs time out.
            let policies = schedule.policies.as_mut().unwrap();
            policies.catchup_window.as_mut().unwrap().seconds = 7200;
        })
        .await
}

/// A schedule's next run: the time that it is for and its start, when that time
/// is over and the start is at least so far away.
async fn due(
    project: &Project,
    schedule: &str,
    every: i64,
    left: SignedDuration,
) -> anyhow::Result<(i64, Timestamp)> {
    wait_for(
        "a due run that starts late",
        Duration::from_mins(5),
        || async {
            let live = project.temporal().live(schedule).await?;
            let coming = &live.0.info.as_ref().unwrap().future_action_times;
            let Some(first) = coming.first() else {
                return Ok(None);
            };
            let starts = Timestamp::new(first.seconds, first.nanos)?;
            let time = starts.as_second() - starts.as_second().rem_euclid(every);
            let now = Timestamp::now();
            let is_due = time < now.as_second() && starts.duration_since(now) > left;
            Ok(is_due.then_some((time, starts)))
        },
    )
    .await
}

/// Kills the worker at each request of a write while a run is due whose start
/// is too far away to wait for.
async fn a_kill_around_a_write_loses_no_run(on: Scheduler) -> anyhow::Result<()> {
    let update = [("UpdateSchedule", false), ("UpdateSchedule", true)];
    let patch = [("PatchSchedule", false), ("PatchSchedule", true)];
    // One of the servers needs no patch.
    let patch = if on == Scheduler::Chasm {
        &patch[..]
    } else {
        &[]
    };
    let kills = update.iter().chain(patch);
    let kills = kills.map(|(request, answered)| killed_at(on, request, *answered));
    futures::future::try_join_all(kills).await?;
    Ok(())
}

async fn killed_at(on: Scheduler, request: &str, answered: bool) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("job.yaml", &definition(20, 14, 0))?;
    let proxy = Proxy::start(project.address()).await?;
    let mut worker = project.worker().through(&proxy).start().await?;
    let schedule = project.schedule("job");
    let mut gate = if answered {
        proxy.hold_answer(request, 0)
    } else {
        proxy.hold(request, 0)
    };
    let (time, _) = due(&project, &schedule, 20, SignedDuration::from_secs(7)).await?;
    project.write("job.yaml", &definition(20, 14, 1))?;
    gate.reached().await?;
    worker.kill()?;
    drop(gate);
    proxy.clear();

    worker.restart().await?;
    let live = project.temporal().live(&schedule).await?;
    assert_eq!(live.args(), [serde_json::json!(1)], "{request} {answered}");
    let end = Timestamp::from_second(time)?;
    eventually("the run that was due", || async {
        Ok(runs(&project, "job").await?.contains_key(&time))
    })
    .await?;
    // The next one shows that no second one comes.
    whole(
        &project,
        &["job"],
        20,
        end + SignedDuration::from_secs(20),
        |_| false,
    )
    .await?;
    project.temporal().delete(&schedule).await
}

/// The update leaves at a quiet moment and reaches the server when a run is due.
async fn a_write_that_comes_late_loses_no_run(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("job.yaml", &definition(10, 5, 0))?;
    let proxy = Proxy::start(project.address()).await?;
    let worker = project.worker().through(&proxy).start().await?;
    let schedule = project.schedule("job");
    for number in 1..=4 {
        let mut gate = proxy.hold("UpdateSchedule", 0);
        project.write("job.yaml", &definition(10, 5, number))?;
        gate.reached().await?;
        due(&project, &schedule, 10, SignedDuration::from_millis(500)).await?;
        gate.release();
        let report = worker.sync().await?;
        anyhow::ensure!(report.errors.is_empty(), "{report:?}");
        let live = project.temporal().live(&schedule).await?;
        assert_eq!(live.args(), [serde_json::json!(number)]);
    }
    whole(&project, &["job"], 10, Timestamp::now(), |_| false).await?;
    project.temporal().delete(&schedule).await
}

/// On both servers a pause comes before a run that is due and has not started;
/// the report names it.
async fn a_pause_takes_effect_at_once_and_the_due_run_does_not_start(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("job.yaml", &definition(20, 19, 0))?;
    let worker = project.worker().start().await?;
    let schedule = project.schedule("job");
    let text = format!("enabled: false\n{}", definition(20, 19, 0));
    let time = loop {
        let (time, starts) = due(&project, &schedule, 20, SignedDuration::from_secs(6)).await?;
        project.write("job.yaml", &text)?;
        let report = worker.sync().await?;
        assert!(project.temporal().live(&schedule).await?.paused());
        let is_late = Timestamp::now() > starts;
        project.write("job.yaml", &definition(20, 19, 0))?;
        worker.sync().await?;
        // On a slow machine the run starts before the pause.
        if is_late && runs(&project, "job").await?.contains_key(&time) {
            continue;
        }
        let reason = &report.changes[0].reason;
        let named = Timestamp::from_second(time)?.to_string();
        assert!(reason.contains(&named), "{reason}");
        break time;
    };
    let since = Timestamp::now().as_second();
    eventually("the next run", || async {
        let runs = runs(&project, "job").await?;
        Ok(runs.keys().any(|time| *time >= since))
    })
    .await?;
    assert!(!runs(&project, "job").await?.contains_key(&time));
    project.temporal().delete(&schedule).await
}

/// The new schedule runs each time that the old one does not.
async fn a_rename_loses_no_run_and_starts_none_twice(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let renamed = intervals(on);
    let name = |half: &str, (every, jitter): (i64, i64)| format!("{half}-{every}-{jitter}");
    for &(every, jitter) in renamed {
        let text = definition_of(
            Runs::GoOn,
            every,
            jitter,
            u32::try_from(every * 100 + jitter)?,
        );
        project.write(&format!("{}.yaml", name("old", (every, jitter))), &text)?;
    }
    let worker = project.worker().start().await?;
    let since = Timestamp::now().as_second();
    for &one in renamed {
        let path = |half| {
            project
                .definitions()
                .join(format!("{}.yaml", name(half, one)))
        };
        eventually("a run of the old one", || async {
            Ok(!runs(&project, &name("old", one)).await?.is_empty())
        })
        .await?;
        std::fs::rename(path("old"), path("new"))?;
    }
    let report = worker.sync().await?;
    anyhow::ensure!(report.errors.is_empty(), "{report:?}");
    let end = Timestamp::now() + SignedDuration::from_secs(5);
    for &one in renamed {
        let [old, new] = ["old", "new"].map(|half| name(half, one));
        whole(&project, &[&old, &new], one.0, end, |time| time < since).await?;
        eventually("a run of the new one", || async {
            Ok(!runs(&project, &new).await?.is_empty())
        })
        .await?;
        assert!(
            project
                .temporal()
                .describe(&project.schedule(&old))
                .await?
                .is_none()
        );
        project.temporal().delete(&project.schedule(&new)).await?;
    }
    Ok(())
}

/// The worker is killed after the old schedule is paused: before the new one is
/// made, and before the old one is deleted.
async fn a_rename_whose_worker_was_killed_is_finished(on: Scheduler) -> anyhow::Result<()> {
    let kills = ["CreateSchedule", "DeleteSchedule"].map(|request| rename_killed_at(on, request));
    futures::future::try_join_all(kills).await?;
    Ok(())
}

async fn rename_killed_at(on: Scheduler, request: &str) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let text = definition_of(Runs::GoOn, 2, 0, 0);
    project.write("old.yaml", &text)?;
    let proxy = Proxy::start(project.address()).await?;
    let mut worker = project.worker().through(&proxy).start().await?;
    eventually("a run of the old one", || async {
        Ok(!runs(&project, "old").await?.is_empty())
    })
    .await?;
    let mut gate = proxy.hold(request, 0);
    let path = |name: &str| project.definitions().join(name);
    std::fs::rename(path("old.yaml"), path("new.yaml"))?;
    gate.reached().await?;
    worker.kill()?;
    drop(gate);
    proxy.clear();
    worker.restart().await?;
    worker.sync().await?;
    let end = Timestamp::now() + SignedDuration::from_secs(5);
    whole(&project, &["old", "new"], 2, end, |_| false).await?;
    let temporal = project.temporal();
    assert!(temporal.describe(&project.schedule("old")).await?.is_none());
    let new = project.schedule("new");
    assert!(!temporal.live(&new).await?.paused());
    temporal.delete(&new).await
}

/// The old half stays with `--orphans pause`, and no time runs twice either.
async fn a_rename_that_keeps_the_old_schedule_pauses_it_first(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("old.yaml", &definition_of(Runs::GoOn, 1, 0, 0))?;
    let worker = project.worker().flag("--orphans", "pause").start().await?;
    eventually("a run of the old one", || async {
        Ok(!runs(&project, "old").await?.is_empty())
    })
    .await?;
    let path = |name: &str| project.definitions().join(name);
    std::fs::rename(path("old.yaml"), path("new.yaml"))?;
    let report = worker.sync().await?;
    anyhow::ensure!(report.errors.is_empty(), "{report:?}");
    let ops: Vec<_> = report.changes.iter().map(|change| change.op).collect();
    assert_eq!(ops, [Op::Create, Op::Pause], "{report:?}");
    let end = Timestamp::now() + SignedDuration::from_secs(3);
    whole(&project, &["old", "new"], 1, end, |_| false).await?;
    let temporal = project.temporal();
    assert!(temporal.live(&project.schedule("old")).await?.paused());
    let new = project.schedule("new");
    assert!(!temporal.live(&new).await?.paused());
    // The next passes leave both as they are.
    let report = worker.sync().await?;
    assert_eq!(report.changes, [], "{report:?}");
    temporal.delete(&new).await
}

/// The runs wait for an earlier one to end. The new schedule would not let them wait.
async fn a_rename_reports_the_runs_that_waited_in_the_buffer(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let text = definition_of(Runs::GoOn, 2, 0, 0).replace("allow_all", "buffer_one");
    project.write("old.yaml", &text)?;
    let worker = project.worker().start().await?;
    let temporal = project.temporal();
    let old = project.schedule("old");
    eventually("a run in the buffer behind another one", || async {
        // A run that is just starting is in the buffer, too.
        let info = temporal.live(&old).await?.0.info.unwrap_or_default();
        Ok(!info.running_workflows.is_empty() && info.buffer_size > 0)
    })
    .await?;
    let path = |name: &str| project.definitions().join(name);
    std::fs::rename(path("old.yaml"), path("new.yaml"))?;
    let report = worker.sync().await?;
    let lost = "was paused for its rename, and the runs in its buffer were lost: ";
    let mut errors = report.errors.iter();
    let is_reported = errors.any(|error| error.message.contains(lost));
    assert!(is_reported, "{report:?}");
    assert_eq!(runs(&project, "old").await?.len(), 1);
    assert!(temporal.describe(&old).await?.is_none());
    temporal.delete(&project.schedule("new")).await
}

/// A manual run takes the place of a due run on one of the servers; that one
/// starts when it has ended.
async fn a_manual_run_and_a_due_run_both_start_under_the_policy_skip(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let text = definition(20, 19, 0)
        .replace("allow_all", "skip")
        .replace("execution_timeout: 1s", "execution_timeout: 5s");
    project.write("job.yaml", &text)?;
    let _worker = project.worker().start().await?;
    let schedule = project.schedule("job");
    let temporal = project.temporal();
    let time = loop {
        let (time, starts) = due(&project, &schedule, 20, SignedDuration::from_secs(10)).await?;
        // The run before it may go on for some seconds.
        eventually("no run to go on", || async {
            let live = temporal.live(&schedule).await?;
            Ok(live.0.info.unwrap_or_default().running_workflows.is_empty())
        })
        .await?;
        let output = project.almanac(&["trigger", "job", "--format", "json"])?;
        // On a slow machine the due run starts first, and the manual run is skipped.
        if output.code == 2 && Timestamp::now() > starts {
            continue;
        }
        let answer = output.json()?;
        assert_eq!(answer["state"], "started", "{answer}");
        break time;
    };
    eventually("the run that was due", || async {
        // Where the server keeps it, its policy skips it if it begins too soon.
        let live = temporal.live(&schedule).await?;
        let skipped = live.0.info.unwrap_or_default().overlap_skipped > 0;
        let is_there = runs(&project, "job").await?.contains_key(&time);
        Ok(is_there || (skipped && on == Scheduler::V1))
    })
    .await?;
    let runs = runs(&project, "job").await?;
    let twice: Vec<_> = runs.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{runs:?}");
    project.temporal().delete(&schedule).await
}
