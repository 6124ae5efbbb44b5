//! Events that start workflows, beside raw requests that start the same workflows with the same
//! memos and search attributes; and the memory of a worker that catches up with many events.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use almanac_tests::{
    Answer, Nats, NatsClient, OwnServer, Project, Proxy, Scheduler, Worker, WorkerCommand,
    eventually,
};
use anyhow::{Context as _, ensure};
use futures::{StreamExt, TryStreamExt};
use ring::hmac;
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::common::v1::{WorkflowExecution, WorkflowType};
use temporalio_common::protos::temporal::api::enums::v1::{
    WorkflowIdConflictPolicy, WorkflowIdReusePolicy,
};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeWorkflowExecutionRequest, StartWorkflowExecutionRequest,
};
use tonic::Request;

use crate::CONCURRENCY;
use crate::memory::resident;
use crate::table::{Limit, Table};

/// Number of events that a worker handles at a time.
const SLOTS: usize = 32;
/// Number of events of a measurement of the rate.
const COUNT: usize = 1000;
/// Number of measurements of each rate.
const ROUNDS: usize = 5;
/// Number of events whose times are measured one by one.
const SINGLE: usize = 200;
/// Number of events that wait for a worker.
const BACKLOG: usize = 100_000;
/// Maximum ratio of the time for events of NATS, and for events of HTTP: 0.85 and 0.8 of the rate of
/// raw requests at least.
const NATS: f64 = 1.176;
const HTTP: f64 = 1.25;
/// Maximum memory of a worker that catches up, as a ratio of that of one that has nothing to do.
const MEMORY: f64 = 1.2;

/// Time for which the starts of a slow server are watched.
const SLOW: Duration = Duration::from_secs(15);
/// Interval between two readings of a worker's memory.
const READING: Duration = Duration::from_millis(200);
/// Interval between two readings of the number of events that are not handled yet.
const POLL: Duration = Duration::from_millis(5);
/// The same interval where the time of one event is measured.
const SINGLE_POLL: Duration = Duration::from_micros(500);

const TAKES: &str = "\
id: takes
triggers: [{ event: paid }]
workflow: { type: Nobody, task_queue: nobody }
---
id: takes-hooks
triggers: [{ event: hooked }]
workflow: { type: Nobody, task_queue: nobody }
---
kind: event_type
id: hooked
webhook: { slug: hooked, layout: github, secrets: [hook] }
";
const SECRET: &str = "a secret of a webhook";

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    // This server keeps nothing on disk: what Almanac costs is a larger part of the time.
    let server = almanac_tests::server(Scheduler::Chasm);
    let project = Project::at(&server.address()).await?;
    let nats = Nats::start().await?;
    nats.stream("EVENTS", "events.>").await?;
    project.write("takes.yaml", TAKES)?;
    let client = nats.connect().await?;
    let template = template(&project, &nats, &client).await?;
    let bench = Bench {
        project,
        nats,
        client,
        template,
    };
    bench.stream(table).await?;
    bench.http(table).await?;
    drop(bench);

    // A server without a disk has no room for this many workflows.
    let server = OwnServer::start(Scheduler::Chasm)?;
    Memory::start(&server).await?.measure(table).await
}

/// A project whose definition takes the events of a stream and of HTTP.
struct Bench {
    project: Project,
    nats: Nats,
    client: NatsClient,
    template: StartWorkflowExecutionRequest,
}

impl Bench {
    /// Events of NATS, all at once and one by one.
    async fn stream(&self, table: &mut Table) -> anyhow::Result<()> {
        let (project, nats, client) = (&self.project, &self.nats, &self.client);
        let _worker = started(project.worker(), nats).await?;
        published(project, client, "warm", COUNT).await?;
        let (mut raw, mut events) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            raw.push(
                self.starts(&format!("stream-{round}"), COUNT, SLOTS)
                    .await?,
            );
            events.push(published(project, client, &format!("{round}"), COUNT).await?);
        }
        compare(table, "events of NATS", SLOTS, (raw, events), NATS);

        let (mut times, mut raw) = (Vec::new(), Vec::new());
        for number in 0..SINGLE {
            times.push(published(project, client, &format!("single-{number}"), 1).await?);
            raw.push(self.starts(&format!("single-{number}"), 1, 1).await?);
        }
        let what = "from the publication to the acknowledgement";
        table.note(what, &percentiles(times));
        table.note("one raw start", &percentiles(raw));
        Ok(())
    }

    /// Events of `POST /events`, and of a signed webhook.
    async fn http(&self, table: &mut Table) -> anyhow::Result<()> {
        let secret = self.project.folder().join("hook");
        std::fs::write(&secret, SECRET)?;
        let worker = self.project.worker();
        let secret = format!("hook=file:{}", secret.display());
        let worker = worker.flag("--webhook-secret", &secret).start().await?;
        let (mut raw, mut events) = (Vec::new(), Vec::new());
        let (mut raw_again, mut hooks) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let prefix = round.to_string();
            let again = format!("{round}-again");
            let raw_time = self.starts(&prefix, COUNT, CONCURRENCY).await?;
            let event_time = posted(&prefix, |id| send_event(&worker, id)).await?;
            let raw_time_again = self.starts(&again, COUNT, CONCURRENCY).await?;
            let hook_time = posted(&prefix, |id| call_webhook(&worker, id)).await?;
            // The first round warms up.
            if round > 0 {
                raw.push(raw_time);
                events.push(event_time);
                raw_again.push(raw_time_again);
                hooks.push(hook_time);
            }
        }
        let what = "requests to /events";
        compare(table, what, CONCURRENCY, (raw, events), HTTP);
        let what = "signed webhooks";
        compare(table, what, CONCURRENCY, (raw_again, hooks), HTTP);
        Ok(())
    }

    /// Duration of `count` raw starts.
    async fn starts(
        &self,
        prefix: &str,
        count: usize,
        at_a_time: usize,
    ) -> anyhow::Result<Duration> {
        let project = &self.project;
        let started = Instant::now();
        futures::stream::iter(0..count)
            .map(|number| async move {
                let id = format!("{}/{prefix}/{number}", project.name());
                let input = json!({ "amount": 12.5, "order": id });
                let request = StartWorkflowExecutionRequest {
                    request_id: id.clone(),
                    workflow_id: id,
                    input: almanac_tests::json_payloads(&[input]),
                    ..self.template.clone()
                };
                let mut service = project.temporal().service();
                service
                    .start_workflow_execution(Request::new(request))
                    .await?;
                anyhow::Ok(())
            })
            .buffer_unordered(at_a_time)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(started.elapsed())
    }
}

/// A project for whose worker many events wait.
struct Memory {
    project: Project,
    nats: Nats,
    client: NatsClient,
    /// A proxy before the Temporal server.
    proxy: Proxy,
}

impl Memory {
    async fn start(server: &OwnServer) -> anyhow::Result<Self> {
        let project = Project::at(&server.address()).await?;
        project.write("takes.yaml", TAKES)?;
        let nats = Nats::start().await?;
        nats.stream("EVENTS", "events.>").await?;
        Ok(Self {
            project,
            client: nats.connect().await?,
            nats,
            proxy: Proxy::start(&server.address()).await?,
        })
    }

    /// The memory of a worker that catches up, also while Temporal does not answer.
    async fn measure(&self, table: &mut Table) -> anyhow::Result<()> {
        let (project, nats, client) = (&self.project, &self.nats, &self.client);
        let mut worker = started(project.worker(), nats).await?;
        published(project, client, "warm-again", COUNT).await?;
        let idle = resident(worker.process().pid(), "VmRSS")?;
        drop(worker);
        let backlog = (0..BACKLOG).map(|number| event(&format!("backlog-{number}")));
        client.publish_all("events.paid", backlog).await?;

        self.proxy
            .answer("StartWorkflowExecution", "", Answer::Silence);
        let mut worker = started(project.worker().through(&self.proxy), nats).await?;
        let (began, mut slow) = (Instant::now(), 0.0_f64);
        while began.elapsed() < SLOW {
            slow = slow.max(resident(worker.process().pid(), "VmRSS")?);
            tokio::time::sleep(READING).await;
        }
        ensure!(unfinished(project, client).await? == BACKLOG as u64);
        drop(worker);

        let mut worker = started(project.worker(), nats).await?;
        let (began, mut most) = (Instant::now(), 0.0_f64);
        while unfinished(project, client).await? > 0 {
            most = most.max(resident(worker.process().pid(), "VmRSS")?);
            tokio::time::sleep(READING).await;
        }
        let what = format!("catching up with {BACKLOG} events");
        table.note(&what, &rate(BACKLOG, began.elapsed()));
        table.note(
            "resident without events to handle",
            &format!("{idle:.0} MB"),
        );
        let what = "resident while Temporal does not answer";
        table.bound(what, slow, idle * MEMORY, "MB");
        table.bound("resident while catching up", most, idle * MEMORY, "MB");
        Ok(())
    }
}

/// Lets Almanac start one workflow for an event. Returns a request for a workflow like it, with
/// its memo and search attributes.
async fn template(
    project: &Project,
    nats: &Nats,
    client: &NatsClient,
) -> anyhow::Result<StartWorkflowExecutionRequest> {
    let worker = started(project.worker(), nats).await?;
    published(project, client, "template", 1).await?;
    drop(worker);
    let temporal = project.temporal();
    let query = format!("WorkflowId STARTS_WITH '{}/takes/'", project.name());
    eventually("the run to be listed", || async {
        Ok(temporal.count_workflows(&query).await? > 0)
    })
    .await?;
    let id = temporal.workflow_ids(&query).await?.pop();
    let request = DescribeWorkflowExecutionRequest {
        namespace: "default".to_owned(),
        execution: Some(WorkflowExecution {
            workflow_id: id.context("a run")?,
            run_id: String::new(),
        }),
    };
    let mut service = temporal.service();
    let answer = service
        .describe_workflow_execution(Request::new(request))
        .await?;
    let info = answer.into_inner().workflow_execution_info;
    let info = info.context("a description")?;
    let attributes = info.search_attributes.as_ref();
    ensure!(info.memo.is_some() && attributes.is_some_and(|all| all.indexed_fields.len() == 3));
    Ok(StartWorkflowExecutionRequest {
        namespace: "default".to_owned(),
        workflow_type: Some(WorkflowType {
            name: "Nobody".to_owned(),
        }),
        task_queue: Some(TaskQueue {
            name: "nobody".to_owned(),
            ..TaskQueue::default()
        }),
        memo: info.memo,
        search_attributes: info.search_attributes,
        // As Almanac starts a workflow whose id is derived from an event.
        workflow_id_reuse_policy: WorkflowIdReusePolicy::RejectDuplicate.into(),
        workflow_id_conflict_policy: WorkflowIdConflictPolicy::UseExisting.into(),
        ..StartWorkflowExecutionRequest::default()
    })
}

/// Starts a worker that takes the events of the stream.
async fn started(worker: WorkerCommand, nats: &Nats) -> anyhow::Result<Worker> {
    let worker = worker.flag("--nats-url", &nats.url()).start().await?;
    eventually("events to arrive", || async {
        let readiness: Value = serde_json::from_str(&worker.get("/readyz").await?.1)?;
        Ok(readiness["events"]["connected"] == true)
    })
    .await?;
    Ok(worker)
}

/// Compares events with raw starts of workflows, `at_a_time` at the same time.
fn compare(
    table: &mut Table,
    what: &str,
    at_a_time: usize,
    (raw, events): (Vec<Duration>, Vec<Duration>),
    most: f64,
) {
    let (raw, events) = (median(raw), median(events));
    table.ratio(
        Scheduler::Chasm,
        &format!("{COUNT} {what}"),
        &format!("starts, {at_a_time} at a time"),
        raw,
        events,
        Limit::AtMost(most),
    );
    table.note(what, &rate(COUNT, events));
    table.note("raw starts", &rate(COUNT, raw));
}

fn event(id: &str) -> String {
    json!({ "specversion": "1.0", "id": id, "source": "/shop", "type": "paid", "data": { "amount": 12.5, "order": id } })
        .to_string()
}

/// Duration from the first publication until every event has been handled.
async fn published(
    project: &Project,
    client: &NatsClient,
    prefix: &str,
    count: usize,
) -> anyhow::Result<Duration> {
    let bodies = (0..count).map(|number| event(&format!("{prefix}-{number}")));
    let started = Instant::now();
    client.publish_all("events.paid", bodies).await?;
    let poll = if count == 1 { SINGLE_POLL } else { POLL };
    while unfinished(project, client).await? > 0 {
        tokio::time::sleep(poll).await;
    }
    Ok(started.elapsed())
}

/// Number of messages that the project has not handled yet.
async fn unfinished(project: &Project, client: &NatsClient) -> anyhow::Result<u64> {
    let info = client
        .consumer("EVENTS", &format!("almanac-{}", project.name()))
        .await?;
    Ok(info.num_pending + u64::try_from(info.num_ack_pending)?)
}

/// Duration of [`COUNT`] requests, [`CONCURRENCY`] at a time.
async fn posted<R: Future<Output = anyhow::Result<()>>>(
    prefix: &str,
    request: impl Fn(String) -> R,
) -> anyhow::Result<Duration> {
    let started = Instant::now();
    futures::stream::iter(0..COUNT)
        .map(|number| request(format!("http-{prefix}-{number}")))
        .buffer_unordered(CONCURRENCY)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(started.elapsed())
}

async fn send_event(worker: &Worker, id: String) -> anyhow::Result<()> {
    let headers = [("content-type", "application/cloudevents+json")];
    let (status, body) = worker.post("/events", &headers, &event(&id)).await?;
    ensure!(status == 202, "{status} {body}");
    Ok(())
}

async fn call_webhook(worker: &Worker, id: String) -> anyhow::Result<()> {
    let body = json!({ "amount": 12.5, "order": id }).to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let mut signature = "sha256=".to_owned();
    for byte in hmac::sign(&key, body.as_bytes()).as_ref() {
        write!(signature, "{byte:02x}")?;
    }
    let headers = [("x-hub-signature-256", signature.as_str())];
    let (status, body) = worker.post("/webhooks/hooked", &headers, &body).await?;
    ensure!(status == 202, "{status} {body}");
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "far fewer")]
fn rate(count: usize, time: Duration) -> String {
    format!("{:.0} a second", count as f64 / time.as_secs_f64())
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |hundredths: usize| times[times.len() * hundredths / 100];
    format!("half within {:.1?}, 99 % within {:.1?}", at(50), at(99))
}
