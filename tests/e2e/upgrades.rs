//! Upgrades: this version takes over from earlier releases.
//!
//! `tests/histories/VERSION/schedules/` has the schedules that a release made of
//! `tests/histories/VERSION/definitions.yaml`, as requests that create them. `make histories`
//! records those of the present version. `make upgrade-test` builds an earlier release, and lets this
//! version take over from it while runs are in progress.

use std::path::{Path, PathBuf};

use almanac_tests::{
    OwnServer, Project, Proxy, SOON, Scheduler, eventually, on_both_schedulers, server, workspace,
};
use anyhow::{Context, ensure};
use prost::Message;
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::enums::v1::WorkflowTaskFailedCause;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::workflowservice::v1::CreateScheduleRequest;

use crate::replay::{RECORD, chain, histories};
use crate::run_definition::go;
use crate::steps::{output, start};

on_both_schedulers!(the_schedules_of_every_release_get_no_write);

/// Environment variable with the path of an earlier release's binary.
const PREVIOUS: &str = "ALMANAC_PREVIOUS_BINARY";

/// The project of a release's schedules.
fn project_of(release: &Path) -> anyhow::Result<String> {
    let version = release.file_name().context("a folder")?.to_string_lossy();
    Ok(format!("release-{}", version.replace('.', "-")))
}

/// Records the schedules that this version makes of the definitions of `release`.
async fn record(release: &Path) -> anyhow::Result<()> {
    let own = OwnServer::start(Scheduler::V1)?;
    let project = Project::named(&own.address(), &project_of(release)?).await?;
    let definitions = std::fs::read_to_string(release.join("definitions.yaml"))?;
    project.write("definitions.yaml", &definitions)?;
    let _worker = project.worker().start().await?;
    let folder = release.join("schedules");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    for id in project.temporal().list(&project.schedule("")).await? {
        let live = project.temporal().live(&id).await?.0;
        let request = CreateScheduleRequest {
            namespace: "default".to_owned(),
            schedule_id: id.clone(),
            request_id: id.clone(),
            schedule: live.schedule,
            memo: live.memo,
            search_attributes: live.search_attributes,
            ..CreateScheduleRequest::default()
        };
        std::fs::write(folder.join(format!("{id}.pb")), request.encode_to_vec())?;
    }
    Ok(())
}

/// Schedules that an earlier release made of the same files stay as they are. A change of a file
/// has its effect.
async fn the_schedules_of_every_release_get_no_write(on: Scheduler) -> anyhow::Result<()> {
    if std::env::var_os(RECORD).is_some() && matches!(on, Scheduler::V1) {
        record(&histories().join(env!("CARGO_PKG_VERSION"))).await?;
    }
    let mut releases = 0;
    for release in std::fs::read_dir(histories())? {
        let release = release?.path();
        releases += 1;
        let project = Project::named(&server(on).address(), &project_of(&release)?).await?;
        let definitions = std::fs::read_to_string(release.join("definitions.yaml"))?;
        project.write("definitions.yaml", &definitions)?;
        let mut schedules = 0;
        for file in std::fs::read_dir(release.join("schedules"))? {
            let request = CreateScheduleRequest::decode(std::fs::read(file?.path())?.as_slice())?;
            let mut service = project.temporal().service();
            service
                .create_schedule(tonic::Request::new(request))
                .await?;
            schedules += 1;
        }
        ensure!(schedules >= 5, "{schedules} schedules");
        let proxy = Proxy::start(project.address()).await?;
        let worker = project.worker().through(&proxy).start().await?;
        assert_eq!(worker.sync().await?.changes, [], "{}", release.display());
        assert_eq!(proxy.schedule_writes(), 0, "{}", release.display());

        project.write(
            "definitions.yaml",
            &definitions.replace("every: 365d", "every: 364d"),
        )?;
        eventually("the edit to be applied", || async {
            Ok(proxy.schedule_writes() == 1)
        })
        .await?;
    }
    ensure!(releases > 0, "no releases");
    Ok(())
}

const RUNS: &str = "id: waits
schedule: { cron: '0 0 1 1 *' }
do:
  - begin: { set: { n: 1 } }
  - take: { listen: { to: { one: { with: { type: go } } } }, output: { as: '${ $input }' } }
  - rest: { wait: { milliseconds: 10 } }
  - last: { set: { n: '${ .n + 1 }' } }
---
id: ticks
schedule: { every: 1s }
do: [a: { set: { done: true } }]
---
id: paused
schedule: { cron: '0 0 1 1 *' }
workflow: { type: Report, task_queue: nobody, args: [{ deep: [1, 2.5, null] }] }
";

#[test]
#[ignore = "needs the binary of an earlier release: `make upgrade-test`"]
fn this_version_takes_over_on_v1() {
    almanac_tests::run(this_version_takes_over(Scheduler::V1));
}

#[test]
#[ignore = "needs the binary of an earlier release: `make upgrade-test`"]
fn this_version_takes_over_on_chasm() {
    almanac_tests::run(this_version_takes_over(Scheduler::Chasm));
}

/// This version starts beside the earlier release, which then ends. Runs that began before go on,
/// no schedule is written, and no workflow task fails.
async fn this_version_takes_over(on: Scheduler) -> anyhow::Result<()> {
    let previous = std::env::var_os(PREVIOUS).map(PathBuf::from);
    let previous = workspace().join(previous.with_context(|| PREVIOUS.to_owned())?);
    let project = Project::new(on).await?;
    project.write("all.yaml", RUNS)?;
    let mut old = project.worker().binary(&previous).start().await?;
    let before = start(&project, "waits", Value::Null).await?;
    let paused = project.schedule("paused");
    project.temporal().pause(&paused, "by hand").await?;
    ticked(&project, 1).await?;

    let proxy = Proxy::start(project.address()).await?;
    let mut new = project.worker().through(&proxy).start().await?;
    let beside = start(&project, "waits", Value::Null).await?;
    assert_eq!(old.terminate(SOON)?, 0);
    new.ready().await?;
    let after = start(&project, "waits", Value::Null).await?;
    for run in [&before, &beside, &after] {
        go(&project, run).await?;
        assert_eq!(output(&project, run).await?, json!({ "n": 2 }));
    }
    ticked(&project, 2).await?;
    assert_eq!(new.sync().await?.changes, []);
    assert_eq!(proxy.schedule_writes(), 0);
    let live = project.temporal().live(&paused).await?;
    assert!(
        live.0
            .schedule
            .context("a schedule")?
            .state
            .is_some_and(|it| it.paused)
    );

    let reconcile = project.reconcile_workflow();
    for workflow in [before, beside, after, reconcile] {
        let failed = failed_tasks(&project, &workflow).await?;
        assert_eq!(failed, [""; 0], "{workflow}");
    }
    Ok(())
}

/// Waits until as many more runs of `ticks` have completed.
async fn ticked(project: &Project, more: i64) -> anyhow::Result<()> {
    let query = format!(
        "TemporalScheduledById = '{}' AND ExecutionStatus = 'Completed'",
        project.schedule("ticks")
    );
    let before = project.temporal().count_workflows(&query).await?;
    eventually("runs to complete", || async {
        Ok(project.temporal().count_workflows(&query).await? >= before + more)
    })
    .await
}

/// The failures of workflow tasks in all runs of a workflow. A task that the server gives back,
/// because something arrived in the meantime, has not failed.
async fn failed_tasks(project: &Project, workflow: &str) -> anyhow::Result<Vec<String>> {
    let histories = chain(project, workflow).await?;
    let events = histories
        .into_iter()
        .flat_map(|(_, history)| history.events);
    let failed = events.filter_map(|event| match event.attributes {
        Some(Attributes::WorkflowTaskFailedEventAttributes(failed))
            if failed.cause() != WorkflowTaskFailedCause::UnhandledCommand =>
        {
            Some(format!("{:?}: {:?}", failed.cause(), failed.failure))
        }
        _ => None,
    });
    Ok(failed.collect())
}
