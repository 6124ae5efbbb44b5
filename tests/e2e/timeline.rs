//! The timeline: runs, gaps and times to come of all schedules, by the API and the command.

use std::collections::BTreeMap;
use std::sync::Arc;

use almanac_activities::schedules::view::{self, ViewContext};
use almanac_activities::schedules::{RateLimiter, Schedules};
use almanac_activities::timeline::{
    GapsUnknown, Lane, RunStatus, Timeline, TimelineLimits, TimelineReader, Window,
};
use almanac_tests::{
    Project, SOON, Scheduler, Worker, eventually, many, on_both_schedulers, passed, wait_for,
    with_schedule,
};
use anyhow::{Context, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

on_both_schedulers!(
    the_past_and_the_future_of_all_schedules_are_shown,
    no_gap_is_claimed_for_a_pause,
    an_answer_that_is_cut_has_the_latest_runs_and_says_so,
);

/// Time after which a time without a run is a gap.
const LATE: SignedDuration = SignedDuration::from_secs(61);

/// The lanes of a window, by definition.
async fn lanes(worker: &Worker, window: &str) -> anyhow::Result<BTreeMap<String, Value>> {
    let answer = worker.json(&format!("/api/v1/timeline?{window}")).await?;
    by_definition(&answer)
}

/// The part of a definition's page about due times at which nothing started.
async fn did_not_start(worker: &Worker, definition: &str) -> anyhow::Result<String> {
    let (status, page) = worker.get(&format!("/definitions/{definition}")).await?;
    ensure!(status == 200, "{status} {page}");
    let section = page.split_once("id=\"gaps\"").context(page.clone())?.1;
    let section = section.split("</section>").next().unwrap_or_default();
    Ok(section.to_owned())
}

fn by_definition(answer: &Value) -> anyhow::Result<BTreeMap<String, Value>> {
    let lanes = answer["lanes"].as_array().context("no lanes")?.iter();
    let definition = |lane: &Value| lane["schedule"]["definition"].as_str().map(str::to_owned);
    lanes
        .map(|lane| Ok((definition(lane).context("no definition")?, lane.clone())))
        .collect()
}

fn list<'a>(lane: &'a Value, name: &str) -> anyhow::Result<&'a Vec<Value>> {
    lane[name]
        .as_array()
        .with_context(|| format!("no {name}: {lane}"))
}

/// The values of a field of each entry.
fn values<'a>(list: &'a [Value], field: &str) -> Vec<&'a str> {
    let values = list.iter().filter_map(|one| one[field].as_str());
    values.collect()
}

fn time(value: &Value) -> anyhow::Result<Timestamp> {
    Ok(value.as_str().context("no time")?.parse()?)
}

/// A run that ends, one that fails, one that goes on so that others are skipped, times to
/// come, and nothing of a project in the same namespace whose ids begin with the same prefix.
async fn the_past_and_the_future_of_all_schedules_are_shown(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let other_name = format!("{}-more", project.name());
    let other = Project::named(project.address(), &other_name).await?;
    other.write(
        "busy.yaml",
        &with_schedule("  every: 1s\n  overlap_policy: allow_all\n"),
    )?;
    let _other_worker = other.worker().start().await?;

    // Nobody runs it, so the first run goes on for ever.
    project.write("busy.yaml", &with_schedule("  every: 2s\n"))?;
    project.write(
        "greets.yaml",
        "labels: { team: a }\nschedule: { every: 2s, max_actions: 3 }\n\
         do: [ { greet: { set: { greeting: hello } } } ]\n",
    )?;
    project.write(
        "fails.yaml",
        "schedule: { every: 2s, max_actions: 1 }\n\
         do: [ { fail: { raise: { error: { type: 'https://example.com/no', status: 500 } } } } ]\n",
    )?;
    project.write("later.yaml", &with_schedule("  cron: '0 * * * *'\n"))?;
    let worker = project.worker().start().await?;
    let began = Timestamp::now();
    eventually("the runs to end", || async {
        let lanes = lanes(&worker, "limit=1000").await?;
        let ended = |id: &str| -> anyhow::Result<usize> {
            let runs = list(&lanes[id], "runs")?;
            Ok(values(runs, "ended").len())
        };
        Ok(ended("greets")? == 3 && ended("fails")? == 1)
    })
    .await?;

    passed(began + LATE + SignedDuration::from_secs(8)).await;
    // Both schedulers list the schedules of this project, and those of the other with its prefix.
    let fixed = format!(
        "from={}&to={}",
        began - SignedDuration::from_mins(5),
        Timestamp::now() + SignedDuration::from_hours(3)
    );
    let answer = wait_for("the gaps of the busy schedule", SOON, || async {
        let answer = worker.json(&format!("/api/v1/timeline?{fixed}")).await?;
        let lanes = by_definition(&answer)?;
        Ok((list(&lanes["busy"], "gaps")?.len() >= 2).then_some(answer))
    })
    .await?;
    let shown = by_definition(&answer)?;
    let names: Vec<_> = shown.keys().map(String::as_str).collect();
    assert_eq!(names, ["busy", "fails", "greets", "later"], "{answer}");
    assert_eq!(answer["schedules"], 4);

    let greets = &shown["greets"];
    let runs = list(greets, "runs")?;
    assert_eq!(values(runs, "status"), ["completed"; 3], "{greets}");
    assert_eq!(greets["typical"]["runs"], 3, "{greets}");
    for run in runs {
        let (due, started) = (time(&run["due"])?, time(&run["started"])?);
        ensure!(due <= started && started <= time(&run["ended"])?, "{run}");
        let id = run["workflow_id"].as_str().context("an id")?;
        ensure!(
            id.starts_with(&format!("{}/greets-", project.name())),
            "{run}"
        );
    }
    // Its actions are used up.
    assert_eq!(list(greets, "expected")?.len(), 0, "{greets}");
    assert_eq!(list(greets, "gaps")?.len(), 0, "{greets}");

    let fails = list(&shown["fails"], "runs")?;
    assert_eq!(values(fails, "status"), ["failed"], "{answer}");

    let busy = &shown["busy"];
    let runs = list(busy, "runs")?;
    // 300 marks are the limit: there are counts of what is to come.
    assert_eq!(values(runs, "status"), ["running"], "{busy}");
    assert_eq!(runs[0]["ended"], Value::Null, "{busy}");
    let gaps = list(busy, "gaps")?;
    ensure!(
        values(gaps, "cause")
            .iter()
            .all(|cause| *cause == "overlap"),
        "{busy}"
    );
    ensure!(gaps.len() == values(gaps, "cause").len(), "{busy}");
    for gap in gaps {
        ensure!(time(&gap["due"])? > time(&busy["gaps_from"])?, "{busy}");
    }
    // The page of the definition lists them with their cause.
    let words = did_not_start(&worker, "busy").await?;
    ensure!(words.contains("an earlier run had not ended"), "{words}");
    let words = did_not_start(&worker, "later").await?;
    ensure!(
        words.contains("A run started at every due time."),
        "{words}"
    );
    let band = list(&busy["band"], "expected")?.iter();
    let coming: u64 = band.filter_map(Value::as_u64).sum();
    ensure!((5000..=5500).contains(&coming), "{coming}");

    let later = &shown["later"];
    assert_eq!(list(later, "expected")?.len(), 3, "{later}");
    assert_eq!(
        later["expected"][0], later["schedule"]["next_run"],
        "{later}"
    );
    assert_eq!(list(later, "gaps")?.len(), 0, "{later}");

    // 5 runs started, all of this project.
    let starts = list(&answer["density"], "starts")?.iter();
    assert_eq!(starts.filter_map(Value::as_u64).sum::<u64>(), 5, "{answer}");
    assert_eq!(answer["runs"]["read"], 5, "{answer}");
    assert_eq!(answer["runs"]["truncated"], false, "{answer}");

    the_run_that_goes_on_belongs_to_a_later_window(&worker).await?;
    the_command_shows_what_the_api_shows(&project, &worker, began).await?;

    // The runs of many schedules are found by the prefix, which the other project has too.
    project.write("many.yaml", &many("one", 60))?;
    worker.sync().await?;
    project.has_schedules(64 + 1).await?;
    let answer = wait_for("many lanes", SOON, || async {
        let page = format!("/api/v1/timeline?{fixed}&q=yaml&limit=1");
        let answer = worker.json(&page).await?;
        Ok((answer["schedules"] == 64).then_some(answer))
    })
    .await?;
    assert_eq!(answer["runs"]["read"], 5, "{answer}");
    assert_eq!(list(&answer, "lanes")?.len(), 1, "{answer}");
    Ok(())
}

/// A run that began before the window and has not ended is in the window.
async fn the_run_that_goes_on_belongs_to_a_later_window(worker: &Worker) -> anyhow::Result<()> {
    let from = Timestamp::now() - SignedDuration::from_secs(1);
    let shown = lanes(worker, &format!("from={from}")).await?;
    // The start moves to the whole minute, and the runs began more than a minute ago.
    for (id, expected) in [("busy", 1), ("greets", 0), ("fails", 0)] {
        let lane = &shown[id];
        assert_eq!(list(lane, "runs")?.len(), expected, "{lane}");
    }
    Ok(())
}

async fn the_command_shows_what_the_api_shows(
    project: &Project,
    worker: &Worker,
    began: Timestamp,
) -> anyhow::Result<()> {
    // A window in the past, in which nothing changes any more.
    let from = began - SignedDuration::from_mins(2);
    let to = began + SignedDuration::from_secs(5);
    let query = format!("from={from}&to={to}");
    let (from, to) = (from.to_string(), to.to_string());
    let args = ["timeline", "--from", &from, "--to", &to];
    let answer = project.almanac_json(&args)?;
    assert_eq!(answer["total"], 4, "{answer}");
    assert_eq!(answer["truncated"], 0, "{answer}");
    // The command lists the schedules itself, and the API a moment before.
    eventually("the command and the API to agree", || async {
        let by_api = lanes(worker, &query).await?;
        let by_command = by_definition(&project.almanac_json(&args)?)?;
        for (id, lane) in &by_api {
            for part in [
                "runs",
                "gaps",
                "gaps_from",
                "gaps_unknown",
                "typical",
                "expected",
                "band",
            ] {
                let (one, other) = (&by_command[id][part], &lane[part]);
                ensure!(one == other, "{part} of {id}: {one} {other}");
            }
        }
        Ok(true)
    })
    .await?;
    let drawn = project.almanac(&args)?.success()?;
    for line in drawn.lines() {
        let is_list = line.starts_with("  ") || line.starts_with("nothing here");
        ensure!(is_list || line.chars().count() <= 80, "{line}");
    }
    let line = |name: &str| drawn.lines().find(|line| line.starts_with(name));
    let (greets, fails) = (
        line("greets").context("greets")?,
        line("fails").context("fails")?,
    );
    ensure!(greets.contains('■') && !greets.contains('✗'), "{drawn}");
    ensure!(fails.contains('✗') && !fails.contains('■'), "{drawn}");
    ensure!(
        drawn.contains("busy: an earlier run had not ended: "),
        "{drawn}"
    );
    ensure!(drawn.contains("nothing here: 1 schedule: later"), "{drawn}");
    let some = [&args[..], &["--selector", "team=a"]].concat();
    let some = by_definition(&project.almanac_json(&some)?)?;
    assert_eq!(some.keys().collect::<Vec<_>>(), ["greets"]);
    Ok(())
}

/// A schedule does not record when a manual pause ended, so the timeline shows no gap for it.
async fn no_gap_is_claimed_for_a_pause(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "nap.yaml",
        &with_schedule("  every: 1s\n  overlap_policy: allow_all\n"),
    )?;
    let worker = project
        .worker()
        .flag("--resync-interval", "1h")
        .start()
        .await?;
    let id = project.schedule("nap");
    let nap = async || Ok::<_, anyhow::Error>(lanes(&worker, "limit=1000").await?["nap"].clone());
    eventually("a run", || async {
        Ok(!list(&nap().await?, "runs")?.is_empty())
    })
    .await?;
    project.temporal().pause(&id, "lunch").await?;
    let paused = wait_for("the pause", SOON, || async {
        let lane = nap().await?;
        Ok((lane["schedule"]["paused"] == true).then_some(lane))
    })
    .await?;
    assert_eq!(paused["gaps_unknown"], "paused", "{paused}");
    assert_eq!(list(&paused, "expected")?.len(), 0, "{paused}");
    let during = Timestamp::now();
    passed(during + SignedDuration::from_secs(3)).await;
    project.temporal().unpause(&id, "back").await?;
    let unpaused = Timestamp::now();
    // By now, the times within the pause would be late.
    passed(unpaused + LATE).await;
    let lane = nap().await?;
    assert_eq!(list(&lane, "gaps")?.len(), 0, "{lane}");
    // Until a pass marks the note again, nothing is known; then, only what came after.
    let since = &lane["gaps_from"];
    ensure!(since.is_null() || time(since)? > during, "{lane}");
    Ok(())
}

/// The timeline of the project around the present, within other limits.
async fn read(project: &Project, limits: TimelineLimits) -> anyhow::Result<Timeline> {
    let limiter = Arc::new(RateLimiter::new(None));
    let schedules = Schedules::new(project.temporal().client()?, limiter);
    let now = Timestamp::now();
    let context = ViewContext {
        project: &project.name().parse()?,
        status: None,
        files: None,
        now,
    };
    // Of a longer window, there would be counts in place of marks.
    let (from, to) = (SignedDuration::from_hours(1), SignedDuration::from_mins(2));
    let window = Window::new(Some(now - from), Some(now + to), now)?;
    let listed = view::list_with_times(&schedules, context, None, &[]).await?;
    let reader = TimelineReader::new(limits);
    let read = reader.read(&schedules, context.project, window, listed);
    Ok(read.await?)
}

fn built(timeline: &Timeline) -> Vec<Lane> {
    let builder = timeline.lane_builder();
    let lanes = timeline.lanes().iter();
    lanes.map(|lane| builder.lane(lane)).collect()
}

/// Few of the runs are read, and few of the schedules are described.
async fn an_answer_that_is_cut_has_the_latest_runs_and_says_so(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "often.yaml",
        "schedule: { every: 1s }\ndo: [ { greet: { set: { greeting: hello } } } ]\n",
    )?;
    for busy in ["busy-1.yaml", "busy-2.yaml"] {
        project.write(busy, &with_schedule("  every: 1s\n"))?;
    }
    let _worker = project.worker().start().await?;
    passed(Timestamp::now() + LATE + SignedDuration::from_secs(9)).await;

    let few = TimelineLimits {
        runs: 20,
        ..TimelineLimits::default()
    };
    let timeline = read(&project, few).await?;
    let overview = timeline.overview();
    let runs_from = overview.runs_from.context("no runs")?;
    ensure!(
        overview.runs.truncated && runs_from > overview.from,
        "{overview:?}"
    );
    let found: u64 = overview.runs.found.values().sum();
    ensure!(
        found > 40 && overview.runs.found.contains_key("completed"),
        "{overview:?}"
    );
    let lanes = built(&timeline);
    let [busy, _, often] = &lanes[..] else {
        anyhow::bail!("{lanes:?}");
    };
    ensure!((5..=23).contains(&often.runs.len()), "{often:?}");
    let open = |status| status == RunStatus::Running;
    for run in &often.runs {
        ensure!(
            run.started >= runs_from || open(run.status),
            "{run:?} before {runs_from}"
        );
    }
    // A run that goes on is not left out.
    ensure!(
        busy.runs.len() == 1 && open(busy.runs[0].status),
        "{busy:?}"
    );
    ensure!(
        busy.gaps_from.is_none_or(|from| from >= runs_from),
        "{busy:?}"
    );

    let few = TimelineLimits {
        described: 1,
        ..TimelineLimits::default()
    };
    let timeline = read(&project, few).await?;
    let overview = timeline.overview();
    ensure!(
        !overview.runs.truncated && overview.runs.found.is_empty(),
        "{overview:?}"
    );
    // The times before its creation make `often` a suspect too, but one that can wait.
    assert_eq!(overview.gaps_not_checked, 2, "{overview:?}");
    let lanes = built(&timeline);
    let unknown: Vec<_> = lanes.iter().map(|lane| lane.gaps_unknown).collect();
    let not_checked = Some(GapsUnknown::NotChecked);
    assert_eq!(unknown, [None, not_checked, not_checked]);
    ensure!(overview.gaps > 0, "{overview:?}");
    Ok(())
}
