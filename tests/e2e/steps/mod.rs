//! Definitions with steps, run by the real worker.

mod at_most_once;
mod calls;
mod completion_order;
mod conformance;
mod emits;
mod external_calls;
mod killed;
mod large;
mod listens;
mod long;
mod places;
mod random;
mod rejected_commands;
mod scenarios;
mod signals;
mod signed;

use almanac_tests::{Project, SOON, Scheduler, eventually, on_both_schedulers, wait_for};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::failure::v1::Failure;
use temporalio_common::protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

use crate::replay::{history, record, replays};
use crate::run_definition::{ending, event, go, run, send_event};

on_both_schedulers!(
    every_kind_of_task_that_needs_no_other_service_runs,
    an_error_that_no_task_catches_fails_the_run,
    a_reload_changes_nothing_for_a_run_that_waits,
    a_worker_killed_in_the_middle_of_a_wait_loses_nothing,
    the_versions_that_runs_go_on_with_are_shown,
    each_recent_run_is_shown_as_it_stands,
    steps_that_cannot_be_run_are_refused_at_their_line,
);

/// The last end of a run, over all parts that continued as new; each must replay.
async fn end(project: &Project, id: &str) -> anyhow::Result<Attributes> {
    let end = loop {
        match ending(project, id).await? {
            Attributes::WorkflowExecutionContinuedAsNewEventAttributes(_) => {}
            end => break end,
        }
    };
    replays(project, id).await?;
    Ok(end)
}

/// The output of a run, or its error object.
async fn result(project: &Project, id: &str) -> anyhow::Result<Result<Value, Value>> {
    match end(project, id).await? {
        Attributes::WorkflowExecutionCompletedEventAttributes(completed) => {
            let payloads = completed.result.context("a result")?.payloads;
            // A null has no data.
            Ok(Ok(match payloads[0].data.as_slice() {
                [] => Value::Null,
                data => serde_json::from_slice(data)?,
            }))
        }
        Attributes::WorkflowExecutionFailedEventAttributes(failed) => {
            let failure = failed.failure.context("a failure")?;
            Ok(Err(problem(failure)?.1))
        }
        other => bail!("it ended with {other:?}"),
    }
}

pub(crate) async fn output(project: &Project, id: &str) -> anyhow::Result<Value> {
    match result(project, id).await? {
        Ok(output) => Ok(output),
        Err(error) => bail!("it did not complete: {error}"),
    }
}

async fn failure(project: &Project, id: &str) -> anyhow::Result<Failure> {
    match end(project, id).await? {
        Attributes::WorkflowExecutionFailedEventAttributes(failed) => {
            failed.failure.context("a failure")
        }
        other => bail!("it did not fail: {other:?}"),
    }
}

/// The error object in a failure's details, and the failure's type.
fn problem(failure: Failure) -> anyhow::Result<(String, Value)> {
    let Some(FailureInfo::ApplicationFailureInfo(info)) = failure.failure_info else {
        bail!("{failure:?}");
    };
    let details = info.details.context("details")?.payloads;
    Ok((info.r#type, serde_json::from_slice(&details[0].data)?))
}

/// Starts a run of a definition by its name.
pub(crate) async fn start(
    project: &Project,
    definition: &str,
    input: Value,
) -> anyhow::Result<String> {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let id = format!("{}/{definition}/{number}", project.name());
    let input = json!({ "definition": definition, "input": input });
    run(project, &id, &input).await?;
    Ok(id)
}

/// Waits until the details of a run show that it is at a task.
async fn at(project: &Project, id: &str, task: &str) -> anyhow::Result<()> {
    eventually(&format!("{id} to be at {task}"), || async {
        let query = "__temporal_workflow_metadata";
        let metadata = project.temporal().query(id, query, None).await;
        Ok(metadata.is_ok_and(|it| it["currentDetails"].to_string().contains(task)))
    })
    .await
}

/// A task that waits until the test lets the run [`go`] on.
const UNTIL_GO: &str =
    "listen: { to: { one: { with: { type: go } } } }, output: { as: '${ $input }' }";

/// Waits until a run has begun this many timers; returns the number of those that
/// have ended.
async fn timers(project: &Project, id: &str, count: usize) -> anyhow::Result<usize> {
    let (run, _) = project.temporal().run_of(id).await?;
    wait_for(&format!("{count} timers of {id}"), SOON, || async {
        let events = history(project, id, &run).await?.events;
        let of = |wanted: fn(&Attributes) -> bool| {
            let all = events.iter().filter_map(|event| event.attributes.as_ref());
            all.filter(|one| wanted(one)).count()
        };
        let begun = of(|one| matches!(one, Attributes::TimerStartedEventAttributes(_)));
        let ended = of(|one| matches!(one, Attributes::TimerFiredEventAttributes(_)));
        Ok((begun == count).then_some(ended))
    })
    .await
}

const TASKS: &str = r#"
input: { from: .order }
output: { as: '. + { id: $workflow.input.order.id }' }
do:
  - begin: { set: { total: 0, lines: '${ .lines }' } }
  - sum:
      for: { each: line, in: '${ .lines }' }
      do:
        - add: { set: { total: '${ .total + $line.price * $line.count }', lines: '${ .lines }' } }
  - size:
      switch:
        - large: { when: .total > 100, then: discount }
        - small: { then: both }
  - discount: { set: { total: '${ .total * 0.5 }', discounted: true } }
  - both:
      fork:
        branches:
          - one: { set: { total: '${ .total }' } }
          - two:
              do:
                - rest: { wait: { milliseconds: 20 } }
                - answer: { set: { rested: true } }
      output: { as: '{ total: .[0].total, rested: .[1].rested }' }
  - first:
      fork:
        compete: true
        branches:
          - slow: { wait: { hours: 10 } }
          - fast: { set: { total: '${ .total }', rested: '${ .rested }', first: fast } }
  - again:
      try:
        - failing:
            raise: { error: { type: 'https://shop.example/late', status: 503, detail: '${ "attempt of \(.first)" }' } }
      catch:
        as: late
        retry: { delay: { milliseconds: 10 }, limit: { attempt: { count: 2 } } }
        do:
          - caught: { set: { total: '${ .total }', caught: '${ $late.detail }', at: '${ $late.instance }' } }
  - skipped: { if: .total < 0, set: { never: true } }
  - remember: { wait: PT0.01S, export: { as: '{ seen: .total }' } }
  - last: { set: { total: '${ .total }', caught: '${ .caught }', at: '${ .at }', seen: '${ $context.seen }' } }
"#;

/// Data, decisions, loops, branches, errors and time.
async fn every_kind_of_task_that_needs_no_other_service_runs(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("tasks.yaml", TASKS)?;
    let _worker = project.worker().start().await?;
    let order = |price: u32| json!({ "order": { "id": 7, "lines": [{ "price": price, "count": 2 }, { "price": 1, "count": 1 }] } });
    let large = start(&project, "tasks", order(100)).await?;
    let small = start(&project, "tasks", order(10)).await?;
    let wanted = |total: Value| {
        json!({
            "id": 7, "total": total, "seen": total,
            "caught": "attempt of fast", "at": "/do/6/again/try/0/failing",
        })
    };
    assert_eq!(output(&project, &large).await?, wanted(json!(100.5)));
    assert_eq!(output(&project, &small).await?, wanted(json!(21)));
    if matches!(on, Scheduler::V1) {
        record(&project, &large, "tasks.pb").await?;
    }
    Ok(())
}

/// The failure carries the error object of the specification.
async fn an_error_that_no_task_catches_fails_the_run(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "raises.yaml",
        "do:\n  - stop: { raise: { error: { type: 'https://x.example/stop', status: 418, title: Stop, detail: '${ .why }' } } }\n",
    )?;
    project.write(
        "breaks.yaml",
        "do:\n  - sum: { set: { x: '${ .why + 1 }' } }\n",
    )?;
    project.write(
        "limited.yaml",
        "do:\n  - rest: { wait: PT1H, timeout: { after: { milliseconds: 20 } } }\n",
    )?;
    let _worker = project.worker().start().await?;
    let fails = async |definition: &str| {
        let id = start(&project, definition, json!({ "why": "because" })).await?;
        problem(failure(&project, &id).await?)
    };
    let (kind, error) = fails("raises").await?;
    assert_eq!(kind, "https://x.example/stop");
    let wanted = json!({ "type": kind, "status": 418, "title": "Stop", "detail": "because", "instance": "/do/0/stop" });
    assert_eq!(error, wanted);
    let (kind, error) = fails("breaks").await?;
    assert!(kind.ends_with("/errors/expression"), "{error}");
    assert_eq!(error["instance"], "/do/0/sum");
    let (kind, error) = fails("limited").await?;
    assert!(kind.ends_with("/errors/timeout"), "{error}");
    assert_eq!(error["status"], 408);
    Ok(())
}

fn answering(answer: &str) -> String {
    format!("do:\n  - rest: {{ {UNTIL_GO} }}\n  - answer: {{ set: {{ is: {answer} }} }}\n")
}

/// A run finishes with what it began with; the next takes the new version.
async fn a_reload_changes_nothing_for_a_run_that_waits(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("steps.yaml", &answering("before"))?;
    let worker = project.worker().start().await?;
    let before = start(&project, "steps", Value::Null).await?;
    at(&project, &before, "do/0/rest").await?;
    project.write("steps.yaml", &answering("after"))?;
    worker.sync().await?;
    let after = start(&project, "steps", Value::Null).await?;
    at(&project, &after, "do/0/rest").await?;
    project.write("steps.yaml", "do: [broken")?;
    worker.sync().await?;
    go(&project, &before).await?;
    go(&project, &after).await?;
    assert_eq!(output(&project, &before).await?, json!({ "is": "before" }));
    assert_eq!(output(&project, &after).await?, json!({ "is": "after" }));
    Ok(())
}

/// Whoever started them: the schedule, or someone by the definition's name.
async fn the_versions_that_runs_go_on_with_are_shown(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let steps = |answer: &str| {
        format!(
            "schedule: {{ every: 365d, overlap_policy: allow_all }}\ndo:\n  - rest: {{ wait: {{ hours: 1 }} }}\n  - answer: {{ set: {{ is: {answer} }} }}\n"
        )
    };
    project.write("steps.yaml", &steps("before"))?;
    project.write("other.yaml", &answering("else"))?;
    let worker = project.worker().start().await?;
    project.almanac(&["trigger", "steps"])?.success()?;
    start(&project, "steps", Value::Null).await?;
    start(&project, "other", Value::Null).await?;
    let live = async |counts: &[u64]| -> anyhow::Result<Value> {
        wait_for(&format!("{counts:?}"), SOON, || async {
            let shown = project.almanac_json(&["show", "steps"])?;
            let versions = shown["live"]["versions"].as_array().context("versions")?;
            let found: Vec<_> = versions.iter().map(|one| one["runs"].as_u64()).collect();
            let wanted: Vec<_> = counts.iter().copied().map(Some).collect();
            Ok((found == wanted).then_some(shown))
        })
        .await
    };
    let shown = live(&[2]).await?;
    let before = shown["revision"].clone();
    let version = &shown["live"]["versions"][0];
    assert_eq!(
        (&version["revision"], &version["source"]),
        (&before, &json!("steps.yaml"))
    );
    assert_eq!(shown["live"]["truncated"], false);

    project.write("steps.yaml", &steps("after"))?;
    worker.sync().await?;
    start(&project, "steps", Value::Null).await?;
    let shown = live(&[2, 1]).await?;
    assert_ne!(shown["revision"], before);
    assert_eq!(shown["live"]["versions"][0]["revision"], before);
    assert_eq!(shown["live"]["versions"][1]["revision"], shown["revision"]);

    // A definition without a schedule, as long as something runs.
    let other = wait_for("the run of `other`", SOON, || async {
        project.almanac_json(&["show", "other"]).map(Some)
    })
    .await?;
    assert_eq!(other["state"], Value::Null, "it has no schedule: {other}");
    assert_eq!(other["live"]["versions"][0]["runs"], 1, "{other}");
    assert_eq!(project.almanac(&["show", "nobody"])?.code, 1);
    Ok(())
}

/// The schedule itself lists the starts of its recent runs, and not their ends.
async fn each_recent_run_is_shown_as_it_stands(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "waits.yaml",
        "schedule: { cron: '0 0 1 1 *', overlap_policy: allow_all }\ndo:\n  - rest: { wait: PT1H }\n",
    )?;
    let _worker = project.worker().start().await?;
    let recent = async |wanted: &[&str]| -> anyhow::Result<Value> {
        wait_for(&format!("{wanted:?}"), SOON, || async {
            let shown = project.almanac_json(&["show", "waits"])?;
            let runs = shown["recent_runs"].as_array().context("recent runs")?;
            let found: Vec<_> = runs.iter().map(|run| run["status"].as_str()).collect();
            let wanted: Vec<_> = wanted.iter().copied().map(Some).collect();
            Ok((found == wanted).then(|| shown["recent_runs"].clone()))
        })
        .await
    };
    project.almanac(&["trigger", "waits"])?.success()?;
    let first = recent(&["running"]).await?;
    project.almanac(&["trigger", "waits"])?.success()?;
    recent(&["running", "running"]).await?;
    let id = first[0]["workflow_id"].as_str().context("a workflow")?;
    project.temporal().terminate(id).await?;
    recent(&["terminated", "running"]).await?;
    Ok(())
}

/// The next process replays it, and goes on.
async fn a_worker_killed_in_the_middle_of_a_wait_loses_nothing(
    on: Scheduler,
) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    let steps = "
do:
  - both:
      fork:
        branches:
          - a: { do: [{ rest: { wait: { seconds: 4 } } }, { set: { set: { n: '${ .n + 1 }' } } }] }
          - b: { do: [{ rest: { wait: { seconds: 5 } } }, { set: { set: { n: '${ .n + 2 }' } } }] }
";
    project.write("steps.yaml", steps)?;
    let mut worker = project.worker().start().await?;
    let id = start(&project, "steps", json!({ "n": 1 })).await?;
    timers(&project, &id, 2).await?;
    worker.kill()?;
    worker.restart().await?;
    assert_eq!(
        output(&project, &id).await?,
        json!([{ "n": 2 }, { "n": 3 }])
    );
    Ok(())
}

/// A definition is refused when it is read, and not when it runs.
async fn steps_that_cannot_be_run_are_refused_at_their_line(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "listens.yaml",
        "do:\n  - hear:\n      listen: { to: { one: { with: { type: a.b } }, until: .x } }\n",
    )?;
    project.write("says.yaml", "do:\n  - say:\n      emit: { event: { with: { type: a.b, source: 'https://x.example/{id}' } } }\n")?;
    project.write(
        "wrong.yaml",
        "do:\n  - sum:\n      set: { n: '${ .n + nothing }' }\n",
    )?;
    let folder = project.definitions().display().to_string();
    let output = almanac_tests::almanac(project.address(), ["validate", &folder])?;
    assert_eq!(output.code, 1);
    let printed = output.stdout + &output.stderr;
    for line in [
        "listens.yaml:3:53: `do/0/hear/listen/to/until` can only be used with `any`, and not in `until`",
        "says.yaml:3:51: `do/0/say/emit/event/with/source` is not a URI: it contains braces",
        "wrong.yaml:3:26: `do/0/sum/set/n`: unknown function `nothing`",
    ] {
        assert!(printed.contains(line), "{line}\n{printed}");
    }
    Ok(())
}
