//! The same work as raw requests: what no reconciler can go below.

use std::time::{Duration, Instant};

use almanac_tests::{Project, Temporal};
use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use temporalio_common::protos::temporal::api::common::v1::Payload;
use temporalio_common::protos::temporal::api::schedule::v1::Schedule;

use crate::{CONCURRENCY, YEARLY, definition};

/// A schedule just as Almanac makes them, with its memo.
pub(crate) struct Template {
    schedule: Schedule,
    memo: Vec<(String, Payload)>,
}

/// Lets Almanac make one schedule, and takes it as the template.
pub(crate) async fn template(address: &str) -> anyhow::Result<Template> {
    let project = Project::at(address).await?;
    project.write("template.yaml", &definition(0, 0, YEARLY))?;
    let worker = project.worker().start().await?;
    let live = project
        .temporal()
        .live(&project.schedule("template"))
        .await?;
    drop(worker);
    let memo = live.0.memo.clone().context("a memo")?;
    Ok(Template {
        schedule: live.schedule().clone(),
        memo: memo.fields.into_iter().collect(),
    })
}

/// Duration of `count` creates.
pub(crate) async fn create(
    project: &Project,
    template: &Template,
    prefix: &str,
    count: usize,
) -> anyhow::Result<Duration> {
    let memo: Vec<_> = template
        .memo
        .iter()
        .map(|(key, value)| (key.as_str(), value.clone()))
        .collect();
    let memo = &memo;
    let started = Instant::now();
    futures::stream::iter(0..count)
        .map(|number| async move {
            let id = format!("{prefix}-{}-{number}", project.name());
            project
                .temporal()
                .create(&id, template.schedule.clone(), memo)
                .await
        })
        .buffer_unordered(CONCURRENCY)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(started.elapsed())
}

/// Removes what [`create`] made.
pub(crate) async fn delete(project: &Project, prefix: &str) -> anyhow::Result<()> {
    let temporal = project.temporal();
    let ids = temporal.list(&format!("{prefix}-")).await?;
    futures::stream::iter(ids)
        .map(|id| async move { temporal.delete(&id).await })
        .buffer_unordered(CONCURRENCY)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}

/// Does the work of a usual script, also if no schedule needs a change: one
/// schedule after the other, unless it works on several `at_a_time`.
pub(crate) async fn list_describe_update(
    project: &Project,
    at_a_time: usize,
) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let temporal = project.temporal();
    let ids = temporal.list(&project.schedule("")).await?;
    futures::stream::iter(ids)
        .map(|id| async move {
            let live = temporal.live(&id).await?;
            let token = live.0.conflict_token.clone();
            temporal.update(&id, live.schedule().clone(), token).await
        })
        .buffer_unordered(at_a_time)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(started.elapsed())
}

/// A signal to a workflow, then one schedule described, updated and read back.
pub(crate) async fn signal_and_update(
    temporal: &Temporal,
    workflow: &str,
    id: &str,
) -> anyhow::Result<Duration> {
    let started = Instant::now();
    temporal.signal(workflow, "no_such_signal", None).await?;
    update(temporal, id).await?;
    Ok(started.elapsed())
}

/// Describes a schedule, updates it and reads it back.
pub(crate) async fn update(temporal: &Temporal, id: &str) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let live = temporal.live(id).await?;
    let token = live.0.conflict_token.clone();
    temporal
        .update(id, live.schedule().clone(), token.clone())
        .await?;
    while temporal.live(id).await?.0.conflict_token == token {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(started.elapsed())
}
