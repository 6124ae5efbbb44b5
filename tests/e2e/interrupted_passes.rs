//! Operators' requests while a pass is running and the definitions change: the pass is interrupted,
//! its report names the pass that does the rest, and who waits for it gets the result of that pass.

use almanac_core::record::{Op, PassReport, Report, Status};
use almanac_tests::{
    Answer, Output, Project, Proxy, SOON, Scheduler, almanac, eventually, idle, many,
    on_both_schedulers,
};
use anyhow::Context;
use serde_json::json;
use tokio::task::{JoinHandle, spawn_blocking};

on_both_schedulers!(
    an_operator_is_answered_before_the_rest_of_a_long_pass,
    an_operator_whose_pass_is_interrupted_gets_the_result_of_the_rest,
);

/// Number of definitions.
const DEFINITIONS: usize = 30;
/// Number of schedules that exist when the operator's request comes.
const CREATED: usize = 10;

/// The definitions, with other times of the second one if it is edited.
fn definitions(is_edited: bool) -> String {
    let text = many("job", DEFINITIONS);
    if is_edited {
        text.replace("\"1 0 1 1 *\"", "\"1 0 1 2 *\"")
    } else {
        text
    }
}

async fn status(project: &Project) -> anyhow::Result<Status> {
    project.temporal().status(project.name()).await
}

/// Edits a definition, and waits until the reconcile workflow knows of that.
async fn edit(project: &Project) -> anyhow::Result<()> {
    let before = status(project).await?.revision;
    project.write("all.yaml", &definitions(true))?;
    eventually("the announcement of the edit", || async {
        let Status {
            announced,
            revision,
            ..
        } = status(project).await?;
        let mut revisions = announced.into_values().chain(revision);
        Ok(revisions.any(|revision| Some(&revision) != before.as_ref()))
    })
    .await
}

/// The report of a pass, without those of the passes that did the rest of it.
fn report(status: &Status, pass: u64) -> anyhow::Result<&Report> {
    let mut reports = status.reports.iter();
    let found = reports.find(|report| report.pass == pass);
    found.with_context(|| format!("no report of pass {pass}: {status:?}"))
}

/// Number of the pass that paused the first definition.
fn paused_by(status: &Status) -> Option<u64> {
    let mut reports = status.reports.iter();
    let paused = reports.find(|report| {
        let mut changes = report.changes.iter();
        changes.any(|change| change.id == "job-000" && change.op == Op::Pause)
    });
    Some(paused?.pass)
}

/// Runs `almanac pause` for the first definition, which goes on meanwhile.
fn pause(project: &Project) -> JoinHandle<anyhow::Result<Output>> {
    let address = project.address().to_owned();
    let project = project.name().to_owned();
    spawn_blocking(move || {
        let pause = ["pause", "job-000", "--reason", "test"];
        almanac(&address, pause.iter().chain(&["--project", &project]))
    })
}

async fn assert_paused(project: &Project) -> anyhow::Result<()> {
    let schedule = project.schedule("job-000");
    let live = project.temporal().live(&schedule).await?;
    assert!(live.paused(), "{live}");
    Ok(())
}

/// Result of [`pause`].
async fn answer_of_pause(
    project: &Project,
    asked: JoinHandle<anyhow::Result<Output>>,
) -> anyhow::Result<()> {
    let output = tokio::time::timeout(SOON, asked).await;
    let output = output.context("no answer")???.success()?;
    assert!(output.contains("job-000: paused until"), "{output}");
    assert_paused(project).await
}

/// The request and the edit come while the first pass is running.
async fn an_operator_is_answered_before_the_rest_of_a_long_pass(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("all.yaml", &definitions(false))?;
    let proxy = Proxy::start(project.address()).await?;
    let mut long = proxy.hold("CreateSchedule", CREATED);
    let worker = project.worker().through(&proxy);
    let worker = worker.flag("--reconcile-interval", "1h");
    let mut worker = worker.flag("--reconcile-concurrency", "1").spawn()?;
    long.reached().await?;
    // Nothing but the operator's request can be done until the test ends this.
    proxy.answer("CreateSchedule", "", Answer::Silence);

    let body = json!({ "enabled": false, "reason": "test" });
    let asked = worker.send("PATCH", "/api/v1/schedules/job-000", Some(&body), None);
    let change = async {
        edit(&project).await?;
        eventually("the operator's request", || async {
            Ok(!status(&project).await?.orders.is_empty())
        })
        .await?;
        long.release();
        anyhow::Ok(())
    };
    let (asked, changed) = futures::join!(asked, change);
    changed?;
    let (code, view) = asked?;
    assert_eq!(code, 200, "{view}");
    assert_eq!(view["paused_by"], "override", "{view}");
    assert_paused(&project).await?;
    let created = project.temporal().list(&project.schedule("")).await?;
    assert!(created.len() <= CREATED + 1, "{created:?}");

    let now = status(&project).await?;
    let rest = report(&now, 1)?.continued_by;
    let rest = rest.context("the pass that does the rest")?;
    let paused_by = paused_by(&now).context("the pass that paused it")?;
    assert!(1 < paused_by && paused_by < rest, "{now:?}");
    assert_eq!(now.report_of(1), PassReport::Pending);
    proxy.clear();
    worker.ready().await?;
    project.has_schedules(DEFINITIONS).await?;
    let now = idle(|| status(&project)).await?;
    let PassReport::Ended(whole) = now.report_of(1) else {
        panic!("the whole pass has ended: {now:?}");
    };
    assert_eq!((whole.pass, &*whole.errors), (rest, &[][..]));
    let of_rest = report(&now, rest)?.schedules.created;
    assert!(whole.schedules.created > of_rest, "{now:?}");
    worker.sync().await?;
    worker.writes_nothing_in(1).await
}

/// The definitions change while the pass of the request is running, and no other pass is near.
async fn an_operator_whose_pass_is_interrupted_gets_the_result_of_the_rest(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("all.yaml", &definitions(false))?;
    let proxy = Proxy::start(project.address()).await?;
    let worker = project.worker().through(&proxy);
    let worker = worker.flag("--reconcile-interval", "1h").start().await?;
    let before = status(&project).await?.requested;
    let mut described = proxy.hold_answer("DescribeSchedule", 0);
    let asked = pause(&project);
    described.reached().await?;
    edit(&project).await?;
    described.release();
    answer_of_pause(&project, asked).await?;

    let now = status(&project).await?;
    let interrupted = report(&now, before + 1)?;
    assert_eq!(interrupted.changes, []);
    assert_eq!(interrupted.continued_by, Some(before + 2));
    assert_eq!(paused_by(&now), Some(before + 2));
    let whole = now.last_full_report().context("a full pass")?;
    assert!(whole.pass <= before, "{now:?}");
    worker.sync().await?;
    worker.writes_nothing_in(1).await
}
