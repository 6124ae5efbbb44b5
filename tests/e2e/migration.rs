//! Live schedules that the server moves from the V1 scheduler to CHASM. Meanwhile a list may name
//! an id twice, and writes may be refused for a moment.

use std::collections::BTreeSet;
use std::time::Duration;

use almanac_tests::{
    Answer, Feature, OwnServer, Project, Proxy, SOON, Scheduler, Temporal, Worker, cron,
    eventually, many, on_one_scheduler, run, wait_for,
};
use anyhow::{Context, ensure};
use prost::Message;
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::common::v1::Memo;
use temporalio_common::protos::temporal::api::schedule::v1::{Schedule, ScheduleListEntry};
use temporalio_common::protos::temporal::api::workflowservice::v1::ListSchedulesResponse;
use tonic::Status;

on_one_scheduler!(
    a_schedule_that_is_listed_twice_is_shown_once,
    a_schedule_that_is_not_listed_for_a_moment_is_still_shown,
    writes_that_are_refused_for_a_moment_are_sent_again,
);

/// Definitions that nobody edits, in one file.
const STILL: usize = 36;
/// Definitions that are edited during the migration, each in a file of its own.
const EDITED: usize = 4;
/// Schedules that are told to move at a time.
const AT_A_TIME: usize = 4;
/// Interval between two lists of the API.
const LIST_INTERVAL: Duration = Duration::from_millis(200);

#[test]
fn schedules_move_while_they_are_edited_overridden_and_listed() {
    if Feature::Migration.is_there() {
        run(schedules_move());
    }
}

/// Nothing is lost, nothing is shown twice, and no report has an error.
async fn schedules_move() -> anyhow::Result<()> {
    let mut server = OwnServer::before_chasm()?;
    let proxy = Proxy::start(&server.address()).await?;
    let project = Project::at(&server.address()).await?;
    let definitions = Definitions::of(&project);
    definitions.write_first()?;
    let worker = project.worker().through(&proxy).start().await?;
    project.has_schedules(definitions.ids.len()).await?;
    let temporal = project.temporal();
    temporal
        .pause(&project.schedule("still-000"), "while the bank is down")
        .await?;
    let times = json!({"cron": "*/5 * * * *", "reason": "slow disk"});
    set_override(&worker, "still-001", &times).await?;
    let pause = json!({"enabled": false, "reason": "incident 7"});
    set_override(&worker, "still-002", &pause).await?;
    worker.sync().await?;
    // The API looks for what its list before had.
    definitions.check_api(&worker).await?;
    let unchanged = definitions.unchanged();
    let before = contents(&project, &unchanged).await?;

    server.restart_with_chasm()?;
    // The first pass after the restart; the move begins on a server that works.
    definitions.check_report(&worker).await?;
    let moving = tokio::spawn(move_all(temporal.clone(), definitions.schedules(&project)));
    let rounds = async {
        let mut round = 0;
        while round == 0 || !moving.is_finished() {
            round += 1;
            definitions.edit(round)?;
            definitions.check_report(&worker).await?;
            let times = json!({"cron": format!("{} 7 * * *", round % 60), "reason": "a trial"});
            set_override(&worker, "still-003", &times).await?;
            definitions.check_command().await?;
            clear_override(&worker, "still-003").await?;
            definitions.check_report(&worker).await?;
        }
        anyhow::Ok(round)
    };
    let lists = async {
        while !moving.is_finished() {
            definitions.check_api(&worker).await?;
            tokio::time::sleep(LIST_INTERVAL).await;
        }
        anyhow::Ok(())
    };
    let (round, ()) = futures::try_join!(rounds, lists)?;
    moving.await??;

    definitions.check_command().await?;
    definitions.check_api(&worker).await?;
    let after = contents(&project, &unchanged).await?;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    for id in &definitions.edited {
        let live = temporal.live(&project.schedule(id)).await?;
        assert!(
            live.times().starts_with(&format!("{} 5 ", round % 60)),
            "{live}"
        );
    }
    let shown = worker.json("/api/v1/schedules/still-000").await?;
    assert_eq!(shown["reason"], "while the bank is down", "{shown}");
    assert_eq!(shown["paused_by"], "hand", "{shown}");
    let shown = worker.json("/api/v1/schedules/still-001").await?;
    assert_eq!(shown["override"]["cron"], json!(["*/5 * * * *"]), "{shown}");
    let shown = worker.json("/api/v1/schedules/still-002").await?;
    assert_eq!(shown["paused_by"], "override", "{shown}");
    assert_eq!(shown["reason"], "incident 7", "{shown}");

    proxy.reset();
    worker.writes_nothing_in(2).await?;
    assert_eq!(proxy.schedule_writes(), 0, "{:?}", proxy.counts());
    let log = worker.log()?;
    assert!(!log.contains("operation failed"), "{log}");
    Ok(())
}

/// The definitions of the test.
struct Definitions<'a> {
    project: &'a Project,
    ids: BTreeSet<String>,
    edited: Vec<String>,
}

impl<'a> Definitions<'a> {
    fn of(project: &'a Project) -> Self {
        let edited: Vec<_> = (0..EDITED).map(|n| format!("edited-{n}")).collect();
        let still = (0..STILL).map(|n| format!("still-{n:03}"));
        Self {
            project,
            ids: still.chain(edited.iter().cloned()).collect(),
            edited,
        }
    }

    fn write_first(&self) -> anyhow::Result<()> {
        self.project.write("still.yaml", &many("still", STILL))?;
        self.edit(0)
    }

    fn edit(&self, round: usize) -> anyhow::Result<()> {
        let contents = cron(&format!("{} 5 * * *", round % 60));
        self.edited
            .iter()
            .try_for_each(|id| self.project.write(&format!("{id}.yaml"), &contents))
    }

    /// Those whose schedules stay as they are during the migration.
    fn unchanged(&self) -> Vec<&str> {
        let ids = self.ids.iter().map(String::as_str);
        ids.filter(|id| id.starts_with("still-") && *id != "still-003")
            .collect()
    }

    fn schedules(&self, project: &Project) -> Vec<String> {
        self.ids.iter().map(|id| project.schedule(id)).collect()
    }

    /// Fails if a pass reports something else than updates.
    async fn check_report(&self, worker: &Worker) -> anyhow::Result<()> {
        let report = worker.sync().await?;
        let counts = &report.schedules;
        ensure!(report.errors.is_empty(), "{report:?}");
        ensure!(counts.desired == self.ids.len() as u64, "{report:?}");
        let others = [
            counts.created,
            counts.deleted,
            counts.conflicts,
            counts.orphaned,
            counts.unreadable,
            counts.held,
            report.drift.detected,
        ];
        ensure!(others.iter().all(|count| *count == 0), "{report:?}");
        Ok(())
    }

    /// Fails if `almanac list` shows a schedule twice. The server itself may not list a schedule for
    /// a moment, and the command knows nothing else.
    async fn check_command(&self) -> anyhow::Result<()> {
        eventually("`almanac list` to show each schedule once", || async {
            let listed = self.project.almanac_json(&["list"])?;
            let ids = definitions_in(&listed)?;
            let each: BTreeSet<_> = ids.iter().collect();
            assert_eq!(each.len(), ids.len(), "{ids:?}");
            Ok(ids.len() == self.ids.len())
        })
        .await
    }

    /// Fails if the API lacks a schedule or shows one twice.
    async fn check_api(&self, worker: &Worker) -> anyhow::Result<()> {
        let listed = worker.json("/api/v1/schedules?limit=1000").await?;
        let ids = definitions_in(&listed["schedules"])?;
        ensure!(ids.iter().copied().eq(&self.ids), "{ids:?}");
        Ok(())
    }
}

/// The definitions of listed schedules.
fn definitions_in(listed: &Value) -> anyhow::Result<Vec<&str>> {
    let listed = listed.as_array().with_context(|| listed.to_string())?;
    let ids = listed.iter().map(|one| one["definition"].as_str());
    ids.map(|id| id.context("no definition")).collect()
}

async fn set_override(worker: &Worker, id: &str, values: &Value) -> anyhow::Result<()> {
    let path = format!("/api/v1/schedules/{id}");
    let (status, body) = worker.send("PATCH", &path, Some(values), None).await?;
    ensure!(status == 200, "{status} {body}");
    Ok(())
}

async fn clear_override(worker: &Worker, id: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/schedules/{id}/override");
    let (status, body) = worker.send("DELETE", &path, None, None).await?;
    ensure!(status == 200, "{status} {body}");
    Ok(())
}

/// The memo and the body of each schedule.
async fn contents(
    project: &Project,
    ids: &[&str],
) -> anyhow::Result<Vec<(Option<Memo>, Option<Schedule>)>> {
    let mut all = Vec::new();
    for id in ids {
        let live = project.temporal().live(&project.schedule(id)).await?;
        all.push((live.0.memo, live.0.schedule));
    }
    Ok(all)
}

/// Tells the V1 scheduler of each schedule to move, and waits until none is left.
async fn move_all(temporal: Temporal, schedules: Vec<String>) -> anyhow::Result<()> {
    const LEFT: &str = "TemporalNamespaceDivision = 'TemporalScheduler' \
                        AND WorkflowType = 'temporal-sys-scheduler-workflow' \
                        AND ExecutionStatus = 'Running'";
    let mut left = temporal.count_workflows(LEFT).await?;
    ensure!(left == i64::try_from(schedules.len())?, "{left} on V1");
    for some in schedules.chunks(AT_A_TIME) {
        for id in some {
            let workflow = format!("temporal-sys-scheduler:{id}");
            temporal.signal(&workflow, "migrate-to-chasm", None).await?;
        }
        left -= i64::try_from(some.len())?;
        eventually(&format!("{left} schedules to be left on V1"), || async {
            Ok(temporal.count_workflows(LEFT).await? == left)
        })
        .await?;
    }
    Ok(())
}

/// Lists give the new entry of an id first. The older entry shows what the schedule was before.
async fn a_schedule_that_is_listed_twice_is_shown_once(on: Scheduler) -> anyhow::Result<()> {
    let direct = Project::new(on).await?;
    let proxy = Proxy::start(direct.address()).await?;
    let project = Project::named(proxy.address(), direct.name()).await?;
    project.write("one.yaml", &cron("0 1 * * *"))?;
    project.write("two.yaml", &cron("0 2 * * *"))?;
    let worker = project.worker().start().await?;
    let temporal = direct.temporal();
    temporal.pause(&direct.schedule("two"), "by hand").await?;
    let prefix = direct.schedule("");
    let entries = wait_for("the pause to be listed", SOON, || async {
        let entries = temporal.list_entries(&prefix).await?;
        let is_paused =
            |entry: &ScheduleListEntry| entry.info.as_ref().is_some_and(|info| info.paused);
        Ok(entries.iter().any(is_paused).then_some(entries))
    })
    .await?;
    let shown_once = links(&worker).await?;
    ensure!(shown_once.iter().all(|count| *count > 0), "{shown_once:?}");
    let older = entries.iter().cloned().map(|mut entry| {
        let info = entry.info.get_or_insert_default();
        info.paused = !info.paused;
        "an older note".clone_into(&mut info.notes);
        entry
    });
    let schedules = entries.iter().cloned().chain(older).collect();
    let page = ListSchedulesResponse {
        schedules,
        ..ListSchedulesResponse::default()
    };
    proxy.answer("ListSchedules", "", Answer::Message(page.encode_to_vec()));
    proxy.reset();

    let report = worker.sync().await?;
    assert!(
        report.errors.is_empty() && report.changes.is_empty(),
        "{report:?}"
    );
    let counts = &report.schedules;
    assert_eq!((counts.desired, counts.unchanged), (2, 2), "{report:?}");
    assert_eq!(report.drift.detected, 0, "{report:?}");
    assert_eq!(proxy.schedule_writes(), 0, "{:?}", proxy.counts());

    let states = |schedules: &Value| -> anyhow::Result<Vec<(String, String)>> {
        let schedules = schedules
            .as_array()
            .with_context(|| schedules.to_string())?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let state = |one: &Value| (text(&one["definition"]), text(&one["state"]));
        Ok(schedules.iter().map(state).collect())
    };
    let expected = [("one", "active"), ("two", "paused")];
    let expected: Vec<_> = expected
        .map(|(id, state)| (id.to_owned(), state.to_owned()))
        .into();
    let listed = project.almanac_json(&["list"])?;
    assert_eq!(states(&listed)?, expected, "{listed}");
    let page = worker.json("/api/v1/schedules").await?;
    assert_eq!(states(&page["schedules"])?, expected, "{page}");
    let timeline = worker.json("/api/v1/timeline").await?;
    let lanes = timeline["lanes"].as_array().context("lanes")?.iter();
    let lanes: Value = lanes.map(|lane| lane["schedule"].clone()).collect();
    assert_eq!(states(&lanes)?, expected, "{timeline}");
    let summary = project.almanac(&["status", "--format", "json"])?.stdout;
    let summary: Value = serde_json::from_str(&summary)?;
    assert_eq!(summary["schedules"]["active"], 1, "{summary}");
    assert_eq!(summary["schedules"]["paused"], 1, "{summary}");
    for (state, count) in [("active", 1.0), ("paused", 1.0)] {
        let label = format!("state=\"{state}\"");
        let shown = worker.metric("almanac_schedules", &[&label]).await?;
        assert!((shown - count).abs() < 0.1, "{state}: {shown}");
    }
    let out = project.folder().join("imported");
    let out = out.to_str().context("a path")?;
    let imported = project.almanac(&["import", "--all", "--dry-run", "--out", out])?;
    for id in ["one", "two"] {
        let times = imported.stdout.matches(&direct.schedule(id)).count();
        assert_eq!(times, 1, "{imported:?}");
    }
    assert_eq!(links(&worker).await?, shown_once);
    Ok(())
}

/// A pass has seen it, and later the list before had it. A pass does not create it again. It is shown
/// until the server says twice that it does not exist.
async fn a_schedule_that_is_not_listed_for_a_moment_is_still_shown(
    on: Scheduler,
) -> anyhow::Result<()> {
    let direct = Project::new(on).await?;
    let proxy = Proxy::start(direct.address()).await?;
    direct.write("one.yaml", &cron("0 1 * * *"))?;
    let worker = direct.worker().through(&proxy).start().await?;
    direct.has_just(&["one"]).await?;
    worker.sync().await?;
    let listed = async || -> anyhow::Result<usize> {
        let page = worker.json("/api/v1/schedules").await?;
        let schedules = page["schedules"].as_array();
        Ok(schedules.with_context(|| page.to_string())?.len())
    };
    let empty = ListSchedulesResponse::default().encode_to_vec();
    proxy.answer("ListSchedules", "", Answer::Message(empty));
    proxy.reset();
    let report = worker.sync().await?;
    assert!(report.errors.is_empty(), "{report:?}");
    assert_eq!(report.schedules.unchanged, 1, "{report:?}");
    assert_eq!(proxy.schedule_writes(), 0, "{:?}", proxy.counts());
    wait_for("another list", SOON, async || {
        ensure!(listed().await? == 1, "it is not shown");
        Ok((proxy.count("ListSchedules") >= 3).then_some(()))
    })
    .await?;

    let not_found = direct.temporal().delete("no-such-schedule").await.err();
    let not_found = not_found.context("it exists")?.downcast::<Status>()?;
    proxy.answer_once("DescribeSchedule", "", Answer::Status(Box::new(not_found)));
    proxy.reset();
    let report = worker.sync().await?;
    assert!(report.errors.is_empty(), "{report:?}");
    assert_eq!(report.schedules.unchanged, 1, "{report:?}");
    assert_eq!(proxy.schedule_writes(), 0, "{:?}", proxy.counts());

    let unavailable = Status::unavailable("the schedule moves");
    proxy.answer(
        "DescribeSchedule",
        "",
        Answer::Status(Box::new(unavailable)),
    );
    proxy.reset();
    wait_for("lists without a description", SOON, || async {
        ensure!(listed().await? == 1, "it is not shown");
        Ok((proxy.count("ListSchedules") >= 2).then_some(()))
    })
    .await?;
    proxy.clear();
    let empty = ListSchedulesResponse::default().encode_to_vec();
    proxy.answer("ListSchedules", "", Answer::Message(empty));

    direct.temporal().delete(&direct.schedule("one")).await?;
    eventually("the API to list nothing", async || Ok(listed().await? == 0)).await
}

/// Number of links to each of the two definitions on the page of all schedules.
async fn links(worker: &Worker) -> anyhow::Result<[usize; 2]> {
    let (status, page) = worker.get("/").await?;
    ensure!(status == 200, "{status} {page}");
    Ok(["one", "two"].map(|id| page.matches(&format!("href=\"/definitions/{id}\"")).count()))
}

/// Such an answer says that nothing was done.
async fn writes_that_are_refused_for_a_moment_are_sent_again(on: Scheduler) -> anyhow::Result<()> {
    let direct = Project::new(on).await?;
    let proxy = Proxy::start(direct.address()).await?;
    let project = Project::named(proxy.address(), direct.name()).await?;
    project.write("one.yaml", &cron("0 1 1 1 *"))?;
    let worker = project.worker().start().await?;
    let refused = Status::unavailable("schedule has a pending migration to workflow");
    let refuse = |method: &str| {
        for _ in 0..2 {
            proxy.answer_once(method, "", Answer::Status(Box::new(refused.clone())));
        }
    };

    refuse("UpdateSchedule");
    project.write("one.yaml", &cron("0 2 1 1 *"))?;
    let report = worker.sync().await?;
    assert!(report.errors.is_empty(), "{report:?}");
    assert_eq!(report.schedules.updated, 1, "{report:?}");

    refuse("PatchSchedule");
    let path = "/api/v1/schedules/one/trigger";
    let (status, answer) = worker.send("POST", path, Some(&json!({})), None).await?;
    assert_eq!(
        (status, &answer["state"]),
        (200, &json!("started")),
        "{answer}"
    );
    let live = direct.temporal().live(&direct.schedule("one")).await?;
    assert_eq!(live.runs(), 1, "{live}");

    refuse("DeleteSchedule");
    project.remove("one.yaml")?;
    project.write("two.yaml", &cron("0 3 1 1 *"))?;
    let report = worker.sync().await?;
    assert!(report.errors.is_empty(), "{report:?}");
    assert_eq!(report.schedules.deleted, 1, "{report:?}");
    direct.has_just(&["two"]).await
}
