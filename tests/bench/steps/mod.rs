//! Steps beside the same steps written by hand, as a Rust workflow on the same
//! server; what waiting runs need; how fast definitions of steps are read.
//!
//! Both sides call the same activities of one worker in this process. Runs of
//! Almanac begin as a schedule begins them: with the steps in their input.

mod hand_written;

use std::time::{Duration, Instant};

use almanac_tests::{OwnServer, Project, Scheduler, Worker, almanac, json_payloads, wait_for};
use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::common::v1::{
    Payloads, WorkflowExecution, WorkflowType,
};
use temporalio_common::protos::temporal::api::enums::v1::HistoryEventFilterType;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    GetWorkflowExecutionHistoryRequest, StartWorkflowExecutionRequest,
};

use crate::memory::resident;
use crate::table::{Limit, Table};
use crate::{ROUNDS, medians};
use hand_written::{HandWritten, STEPS, order};

/// Runs of one round, and how many of them go on at a time.
const RUNS: usize = 300;
const AT_A_TIME: usize = 30;
/// Runs of one round of latencies, one after the other.
const SINGLE: usize = 20;
/// Runs that wait.
const WAITING: usize = 1000;
/// Definitions that are read, each with ten steps, and how long that may take.
const DEFINITIONS: usize = 10_000;
const READ_MS: f64 = 3000.0;
/// Maximum time of Almanac, as a multiple of the hand-written workflow's: Almanac reaches
/// at least 0.9 of its throughput.
const LIMIT: Limit = Limit::AtMost(1.11);
/// Divisor of the counts in a quick measurement.
const QUICK: usize = 20;

/// `quick` takes a twentieth of everything: to see that it works.
pub(crate) async fn measure(table: &mut Table, quick: bool) -> anyhow::Result<()> {
    let size = |full: usize| if quick { full.div_ceil(QUICK) } else { full };
    reading(table, size(DEFINITIONS)).await?;
    let server = OwnServer::start(Scheduler::V1)?;
    let project = Project::at(&server.address()).await?;
    let queue = format!("by-hand-{}", project.name());
    let _by_hand = HandWritten::start(project.address(), &queue)?;
    let mut worker = project.worker().start().await?;
    let scene = Scene {
        steps: steps(&hand_written::activities(&queue))?,
        queue,
        project,
    };
    let runs = size(RUNS);
    let (raw, almanac) = medians(
        async || scene.many(Side::ByHand, runs).await,
        async || scene.many(Side::Steps, runs).await,
    )
    .await?;
    let what = format!("{runs} runs of five steps, {AT_A_TIME} at a time");
    table.ratio(Scheduler::V1, &what, "by hand", raw, almanac, LIMIT);
    #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
    let rate = |took: Duration| format!("{:.0} a second", runs as f64 / took.as_secs_f64());
    table.note("the same, runs by hand", &rate(raw));
    table.note("the same, runs of steps", &rate(almanac));

    let single = size(SINGLE);
    let (raw, almanac) = medians(
        async || scene.single(Side::ByHand, single).await,
        async || scene.single(Side::Steps, single).await,
    )
    .await?;
    table.ratio(
        Scheduler::V1,
        "one run of five steps",
        "by hand",
        raw,
        almanac,
        LIMIT,
    );
    scene.waiting(table, &mut worker, size(WAITING)).await
}

/// The steps as a run carries them.
fn steps(queue: &str) -> anyhow::Result<Value> {
    let text = STEPS.replace("QUEUE", queue);
    let value = almanac_core::definition::yaml_value(&text).map_err(anyhow::Error::msg)?;
    Ok(value["do"].clone())
}

#[derive(Debug, Clone, Copy)]
enum Side {
    ByHand,
    Steps,
}

struct Scene {
    project: Project,
    queue: String,
    steps: Value,
}

impl Scene {
    /// Duration of `count` runs, several at a time.
    async fn many(&self, side: Side, count: usize) -> anyhow::Result<Duration> {
        let started = Instant::now();
        futures::stream::iter(0..count)
            .map(|number| self.run(side, number))
            .buffer_unordered(AT_A_TIME)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(started.elapsed())
    }

    /// Duration of a single run: the median of `count`.
    async fn single(&self, side: Side, count: usize) -> anyhow::Result<Duration> {
        let mut times = Vec::new();
        for number in 0..count {
            let started = Instant::now();
            self.run(side, number).await?;
            times.push(started.elapsed());
        }
        times.sort();
        Ok(times[count / 2])
    }

    /// Does a run from its start to its result.
    async fn run(&self, side: Side, number: usize) -> anyhow::Result<()> {
        let order = order(number);
        let id = match side {
            Side::ByHand => self.start("ByHand", &self.queue, order).await?,
            Side::Steps => self.start_steps(&self.steps, order).await?,
        };
        ensure!(
            self.result(&id).await?["id"] == number,
            "{id} shipped another order"
        );
        Ok(())
    }

    async fn start_steps(&self, steps: &Value, input: Value) -> anyhow::Result<String> {
        let definition = json!({ "id": "five", "revision": "bench", "do": steps });
        let input = json!({ "definition": definition, "input": input });
        let queue = format!("almanac-{}", self.project.name());
        self.start("RunDefinition", &queue, input).await
    }

    async fn start(&self, kind: &str, queue: &str, input: Value) -> anyhow::Result<String> {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let id = format!("{}/{kind}/{next}", self.project.name());
        let request = StartWorkflowExecutionRequest {
            namespace: "default".to_owned(),
            workflow_id: id.clone(),
            workflow_type: Some(WorkflowType {
                name: kind.to_owned(),
            }),
            task_queue: Some(TaskQueue {
                name: queue.to_owned(),
                ..Default::default()
            }),
            input: json_payloads(&[input]),
            request_id: id.clone(),
            ..Default::default()
        };
        let mut service = self.project.temporal().service();
        service
            .start_workflow_execution(tonic::Request::new(request))
            .await?;
        Ok(id)
    }

    /// The result of a run, as soon as there is one.
    async fn result(&self, id: &str) -> anyhow::Result<Value> {
        loop {
            let request = GetWorkflowExecutionHistoryRequest {
                namespace: "default".to_owned(),
                execution: Some(WorkflowExecution {
                    workflow_id: id.to_owned(),
                    run_id: String::new(),
                }),
                wait_new_event: true,
                history_event_filter_type: HistoryEventFilterType::CloseEvent.into(),
                ..Default::default()
            };
            let mut service = self.project.temporal().service();
            let answer = service
                .get_workflow_execution_history(tonic::Request::new(request))
                .await?;
            let mut events = answer.into_inner().history.context("a history")?.events;
            // A server gives up waiting after some seconds, with nothing.
            let Some(last) = events.pop().and_then(|last| last.attributes) else {
                continue;
            };
            let Attributes::WorkflowExecutionCompletedEventAttributes(completed) = last else {
                anyhow::bail!("{id} did not complete: {last:?}");
            };
            return first(completed.result);
        }
    }

    /// Measures the growth of the worker's memory with runs that wait.
    async fn waiting(
        &self,
        table: &mut Table,
        worker: &mut Worker,
        count: usize,
    ) -> anyhow::Result<()> {
        let before = resident(worker.process().pid(), "VmRSS")?;
        let steps = json!([
            { "keep": { "set": { "n": "${ .n }" } } },
            { "rest": { "wait": { "hours": 1 } } },
        ]);
        futures::stream::iter(0..count)
            .map(|number| self.start_steps(&steps, json!({ "n": number })))
            .buffer_unordered(AT_A_TIME)
            .try_collect::<Vec<String>>()
            .await?;
        // A run is kept in the cache once its first task is done: then it waits.
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let all = count as f64;
        wait_for("the runs to wait", Duration::from_mins(5), || async {
            let cached = worker
                .metric("temporal_sticky_cache_size", &["almanac-"])
                .await?;
            Ok((cached >= all).then_some(()))
        })
        .await?;
        let after = resident(worker.process().pid(), "VmRSS")?;
        table.note(
            &format!("resident with {count} runs that wait"),
            &format!("{after:.0} MB, {:.0} MB of it for them", after - before),
        );
        Ok(())
    }
}

fn first(payloads: Option<Payloads>) -> anyhow::Result<Value> {
    let payloads = payloads.context("a result")?.payloads;
    Ok(serde_json::from_slice(
        &payloads.first().context("a value")?.data,
    )?)
}

/// Measures the time to load and compile definitions of ten steps, each in its file.
async fn reading(table: &mut Table, count: usize) -> anyhow::Result<()> {
    let server = almanac_tests::server(Scheduler::V1);
    let project = Project::at(&server.address()).await?;
    for number in 0..count {
        let path = project
            .definitions()
            .join(format!("steps-{number:05}.yaml"));
        std::fs::write(path, ten_steps(number))?;
    }
    let folder = project.definitions();
    let mut times = Vec::new();
    for _ in 0..ROUNDS.min(3) {
        let started = Instant::now();
        almanac(project.address(), ["validate".as_ref(), folder.as_os_str()])?.success()?;
        times.push(started.elapsed());
    }
    times.sort();
    let what = format!("load and compile {count} definitions of ten steps");
    let took = times[times.len() / 2].as_secs_f64() * 1000.0;
    table.bound(&what, took, READ_MS, "ms");
    Ok(())
}

/// A definition of ten steps of all kinds, with the expressions that those have.
fn ten_steps(number: usize) -> String {
    format!(
        r#"description: Steps among many
schedule: {{ cron: "{} {} 1 1 *" }}
do:
  - begin: {{ set: {{ total: 0, lines: '${{ .lines // [] }}', number: {number} }} }}
  - sum:
      for: {{ each: line, in: '${{ .lines }}' }}
      do:
        - add: {{ set: {{ total: '${{ .total + $line.price * $line.count }}', lines: '${{ .lines }}' }} }}
  - charge: {{ call: activity, with: {{ name: Charge, task_queue: billing, arguments: ['${{ {{ amount: .total }} }}'] }} }}
  - size:
      switch:
        - large: {{ when: .total > 100, then: ask }}
        - small: {{ then: rest }}
  - ask: {{ call: http, with: {{ method: get, endpoint: 'https://shop.example/orders/{{id}}' }} }}
  - rest: {{ wait: {{ seconds: 5 }} }}
  - again:
      try:
        - ship: {{ run: {{ workflow: {{ namespace: default, name: Ship, version: '1', input: {{ id: '${{ .id }}' }} }} }} }}
      catch: {{ retry: {{ delay: {{ seconds: 2 }}, limit: {{ attempt: {{ count: 3 }} }} }} }}
  - last: {{ set: {{ done: true, at: '${{ $task.name }}' }}, output: {{ as: '{{ done, at }}' }} }}
"#,
        number % 60,
        number / 60 % 24,
    )
}
