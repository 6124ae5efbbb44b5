//! OpenTelemetry traces: from a file to the request that changed the schedule, and into the run; and
//! from an event into the runs that it starts.

use std::fmt::Write as _;

use almanac_tests::{
    Collector, Nats, Project, SOON, Scheduler, Worker, attribute, eventually, free_port,
    on_both_schedulers, on_one_scheduler, temporal_cli, wait_for,
};
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};

use crate::events::{event, input, memo, text};
use crate::run_definition::ending;
use crate::webhooks::github_signature;

on_both_schedulers!(a_change_is_followed_from_its_file_into_the_run);
on_one_scheduler!(
    an_event_is_followed_into_its_run,
    the_sender_of_a_webhook_gets_a_link_and_no_child,
    an_event_is_followed_through_nats,
    a_collector_that_is_away_disturbs_nothing,
    spans_that_are_lost_are_counted,
);

/// A text of steps and of an error that no span may have.
const CANARY: &str = "canary-of-a-payload";

fn definition(hour: u32) -> String {
    format!(
        "schedule: {{ cron: '0 {hour} 1 1 *', overlap_policy: allow_all }}\n\
         do:\n\
         \x20 - tell: {{ emit: {{ event: {{ with: {{ source: /test, type: told, data: {CANARY} }} }} }} }}\n\
         \x20 - stop: {{ raise: {{ error: {{ type: 'https://x.example/stop', status: 418, title: {CANARY} }} }} }}\n"
    )
}

/// Waits for a span of this name for which `is_it` holds.
async fn span(
    collector: &Collector,
    name: &str,
    is_it: impl Fn(&Span) -> bool,
) -> anyhow::Result<Span> {
    wait_for(&format!("a span `{name}`"), SOON, || async {
        Ok(collector.spans(name).into_iter().find(|span| is_it(span)))
    })
    .await
}

fn is_below(span: &Span, parent: &Span) -> bool {
    span.trace_id == parent.trace_id && span.parent_span_id == parent.span_id
}

fn links_to(span: &Span, other: &Span) -> bool {
    let mut links = span.links.iter();
    links.any(|link| link.trace_id == other.trace_id && link.span_id == other.span_id)
}

async fn a_change_is_followed_from_its_file_into_the_run(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &definition(1))?;
    let collector = Collector::start();
    let keys = project.folder().join("keys");
    std::fs::write(&keys, format!("a {}\n", STANDARD.encode([7; 32])))?;
    let keys = keys.display().to_string();
    let worker = project.worker().flag("--otlp-endpoint", &collector.url());
    let worker = worker.flag("--codec-key-file", &keys);
    let worker = worker.variable("OTEL_BSP_SCHEDULE_DELAY", "100");
    let worker = worker.start().await?;

    project.write("one.yaml", &definition(2))?;
    // One that follows runs: the worker asks for their ends all the time.
    project.write(
        "two.yaml",
        "triggers: [{ after: one, outcome: failed }]\ndo: [{ a: { set: { b: 1 } } }]\n",
    )?;
    let reload = span(&collector, "reload definitions", |span| {
        attribute(span, "almanac.cause").as_deref() != Some("start")
    })
    .await?;
    let pass = span(&collector, "pass", |pass| is_below(pass, &reload)).await?;
    assert_eq!(attribute(&pass, "almanac.updated").as_deref(), Some("1"));
    let update = span(&collector, "update schedule", |update| {
        is_below(update, &pass)
    })
    .await?;
    assert_eq!(
        attribute(&update, "almanac.schedule"),
        Some(project.schedule("one"))
    );
    let request = span(&collector, "UpdateSchedule", |it| is_below(it, &update)).await?;
    assert_eq!(
        attribute(&request, "rpc.method").as_deref(),
        Some("UpdateSchedule")
    );

    // A later pass is a trace of its own.
    worker.sync().await?;
    let later = span(&collector, "pass", |pass| links_to(pass, &reload)).await?;
    assert!(later.parent_span_id.is_empty(), "{later:?}");

    let follow = format!("almanac/{}/follow", project.name());
    eventually("the runs to be followed", || async {
        Ok(project.temporal().run_of(&follow).await.is_ok())
    })
    .await?;
    let trigger = ["trigger", "one", "--codec-key-file", &keys];
    project.almanac(&trigger)?.success()?;
    let run = span(&collector, "RunWorkflow:RunDefinition", |run| {
        links_to(run, &update)
    })
    .await?;
    assert_ne!(run.trace_id, update.trace_id);
    let workflow = attribute(&run, "temporalWorkflowID").unwrap_or_default();
    assert!(
        workflow.starts_with(&format!("{}/one-", project.name())),
        "{run:?}"
    );
    let status = run.status.clone().unwrap_or_default();
    assert_eq!((status.code, status.message.as_str()), (2, "failed"));
    let started = span(&collector, "StartActivity:almanac_emit", |it| {
        is_below(it, &run)
    })
    .await?;
    span(&collector, "RunActivity:almanac_emit", |it| {
        is_below(it, &started)
    })
    .await?;

    let next = span(&collector, "RunWorkflow:RunDefinition", |span| {
        attribute(span, "temporalWorkflowID").is_some_and(|id| id.contains("/two/"))
    })
    .await?;
    let start = span(&collector, "start run", |start| links_to(&next, start)).await?;
    let end = span(&collector, "handle event", |it| is_below(&start, it)).await?;
    assert_eq!(attribute(&end, "almanac.via").as_deref(), Some("run"));

    // Workers in other languages do not decode headers.
    let run_id = attribute(&run, "temporalRunID").unwrap_or_default();
    let show = [
        "workflow",
        "show",
        "--output",
        "json",
        "--workflow-id",
        &workflow,
    ];
    let show = [&show[..], &["--run-id", &run_id]].concat();
    let history: Value = serde_json::from_str(&temporal_cli(project.address(), &show)?)?;
    let header = history["events"]
        .as_array()
        .into_iter()
        .flatten()
        .find_map(|event| {
            let scheduled = &event["activityTaskScheduledEventAttributes"];
            let fields = &scheduled["header"]["fields"];
            fields.get("_tracer-data")
        })
        .context("a header")?;
    let encoding = header["metadata"]["encoding"].as_str().unwrap_or_default();
    assert_eq!(STANDARD.decode(encoding)?, b"json/plain");

    // Nothing else makes traces.
    let first = [
        "reload definitions",
        "pass",
        "handle event",
        "RunWorkflow:RunDefinition",
        "RunActivity:manual_run",
    ];
    for (_, span) in collector.received() {
        let is_first = span.parent_span_id.is_empty();
        assert!(!is_first || first.contains(&span.name.as_str()), "{span:?}");
        assert_ne!(span.name, "ListWorkflowExecutions");
    }

    let all = format!("{:?}", collector.received());
    assert!(!all.contains(CANARY), "{all}");
    for name in ["service.name", "service.instance.id", "almanac.project"] {
        assert!(all.contains(name), "{name}");
    }
    Ok(())
}

/// The ids of a trace and of a span, as a sender has them.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SENDER: &str = "b7ad6b7169203331";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{SENDER}-{flags}")
}

fn hex(id: &[u8]) -> String {
    let mut text = String::new();
    for byte in id {
        // Writing to text does not fail.
        _ = write!(text, "{byte:02x}");
    }
    text
}

fn is_below_sender(span: &Span) -> bool {
    hex(&span.trace_id) == TRACE && hex(&span.parent_span_id) == SENDER
}

/// Definitions: `takes` emits an event for each `order.paid`, and `told` takes it.
const CHAIN: &str = "id: takes
triggers: [{ event: order.paid }]
do:
  - tell: { emit: { event: { with: { source: /test, type: order.told } } } }
---
id: told
triggers: [{ event: order.told }]
do: [{ a: { set: { b: 1 } } }]
";

fn paid(id: &str) -> Value {
    event("order.paid", id, json!({ "note": CANARY }))
}

/// Posts an event with these headers, and returns the workflow id of the run that it starts.
async fn post(worker: &Worker, event: &Value, headers: &[(&str, &str)]) -> anyhow::Result<String> {
    let content = [("content-type", "application/cloudevents+json")];
    let headers = [&content, headers].concat();
    let (status, body) = worker.post("/events", &headers, &event.to_string()).await?;
    anyhow::ensure!(status == 202, "{status}: {body}");
    let answer: Value = serde_json::from_str(&body)?;
    Ok(text(&answer["deliveries"][0]["runs"][0]["workflow_id"]))
}

/// Waits for the span of the run with a workflow id, and returns that of its start, to which it
/// links.
async fn start_of(collector: &Collector, workflow: &str) -> anyhow::Result<Span> {
    let run = span(collector, "RunWorkflow:RunDefinition", |run| {
        attribute(run, "temporalWorkflowID").as_deref() == Some(workflow)
    })
    .await?;
    let start = span(collector, "start run", |start| links_to(&run, start)).await?;
    assert_ne!(run.trace_id, start.trace_id);
    Ok(start)
}

/// Waits for the span of the event that a start is for.
async fn event_of(collector: &Collector, start: &Span) -> anyhow::Result<Span> {
    span(collector, "handle event", |event| is_below(start, event)).await
}

/// The parent of an event's span is that of its sender, and each run links to its start. Whether
/// traces are exported makes no difference to runs and to deliveries that come again.
async fn an_event_is_followed_into_its_run(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("chain.yaml", CHAIN)?;
    let sampled = traceparent("01");
    let from_sender = [("traceparent", &*sampled), ("tracestate", "vendor=1")];

    let mut untraced = project.worker().start().await?;
    let first = post(&untraced, &paid("first"), &from_sender).await?;
    let untraced_memo = memo(&project, &first).await?;
    assert_eq!(untraced_memo.get("traceparent"), None, "{untraced_memo}");
    ending(&project, &first).await?;
    untraced.terminate(SOON)?;

    let collector = Collector::start();
    let worker = project.worker().flag("--otlp-endpoint", &collector.url());
    let worker = worker.variable("OTEL_BSP_SCHEDULE_DELAY", "100");
    let worker = worker.start().await?;
    assert_eq!(post(&worker, &paid("first"), &from_sender).await?, first);
    assert_eq!(memo(&project, &first).await?, untraced_memo);
    let again = span(&collector, "start run", |start| {
        attribute(start, "almanac.outcome").as_deref() == Some("existing")
    })
    .await?;
    assert_eq!(hex(&again.trace_id), TRACE);

    let second = post(&worker, &paid("second"), &from_sender).await?;
    let start = start_of(&collector, &second).await?;
    let link = memo(&project, &second).await?;
    let expected = format!("00-{TRACE}-{}-01", hex(&start.span_id));
    assert_eq!(text(&link["traceparent"]), expected);
    assert_eq!(input(&project, &second).await?.get("traceparent"), None);
    let handled = event_of(&collector, &start).await?;
    assert!(is_below_sender(&handled), "{handled:?}");
    assert_eq!(handled.trace_state, "vendor=1");
    for (name, value) in [
        ("almanac.event_type", "order.paid"),
        ("almanac.via", "http"),
        ("almanac.attempt", "1"),
        ("almanac.outcome", "started"),
        ("almanac.triggers", "1"),
    ] {
        assert_eq!(attribute(&handled, name).as_deref(), Some(value));
    }
    for (name, value) in [
        ("almanac.definition", "takes"),
        ("almanac.trigger", "0"),
        ("almanac.outcome", "started"),
    ] {
        assert_eq!(attribute(&start, name).as_deref(), Some(value));
    }
    span(&collector, "StartWorkflowExecution", |it| {
        is_below(it, &start)
    })
    .await?;

    // What the run emits is part of its trace.
    let emit = span(&collector, "RunActivity:almanac_emit", |_| true).await?;
    let told = span(&collector, "handle event", |it| is_below(it, &emit)).await?;
    assert_eq!(attribute(&told, "almanac.via").as_deref(), Some("emit"));
    let told = span(&collector, "start run", |it| is_below(it, &told)).await?;
    span(&collector, "RunWorkflow:RunDefinition", |run| {
        links_to(run, &told)
    })
    .await?;

    // The attributes of an event are read without headers.
    let mut extended = paid("extended");
    extended["traceparent"] = sampled.clone().into();
    let extended = post(&worker, &extended, &[("traceparent", "no trace")]).await?;
    let start = start_of(&collector, &extended).await?;
    let handled = event_of(&collector, &start).await?;
    assert!(is_below_sender(&handled), "{handled:?}");

    // What is malformed or too long has no effect.
    for (id, bad) in [
        ("short", sampled[..54].to_owned()),
        ("long", format!("{sampled}-{}", "0".repeat(4000))),
        ("upper", sampled.to_uppercase()),
        ("zero", sampled.replace(SENDER, "0000000000000000")),
        ("version", sampled.replacen("00", "ff", 1)),
    ] {
        let run = post(&worker, &paid(id), &[("traceparent", &*bad)]).await?;
        let start = start_of(&collector, &run).await?;
        let handled = event_of(&collector, &start).await?;
        assert!(handled.parent_span_id.is_empty(), "{id}: {handled:?}");
        assert_ne!(hex(&handled.trace_id), TRACE, "{id}");
    }
    let twice = [("traceparent", &*sampled), ("traceparent", &*sampled)];
    let run = post(&worker, &paid("twice"), &twice).await?;
    let handled = event_of(&collector, &start_of(&collector, &run).await?).await?;
    assert!(handled.parent_span_id.is_empty(), "{handled:?}");
    let state = format!("vendor={}", "1".repeat(506));
    let large = [("traceparent", &*sampled), ("tracestate", &*state)];
    let run = post(&worker, &paid("large"), &large).await?;
    let handled = event_of(&collector, &start_of(&collector, &run).await?).await?;
    assert!(is_below_sender(&handled) && handled.trace_state.is_empty());

    // The sender has decided against the trace, and the sampler follows it.
    let unsampled = traceparent("00");
    let run = post(&worker, &paid("unsampled"), &[("traceparent", &unsampled)]).await?;
    let span_of_run = span(&collector, "RunWorkflow:RunDefinition", |it| {
        attribute(it, "temporalWorkflowID").as_deref() == Some(&run)
    })
    .await?;
    assert!(span_of_run.links.is_empty(), "{span_of_run:?}");
    assert_eq!(memo(&project, &run).await?.get("traceparent"), None);

    let all = format!("{:?}", collector.received());
    assert!(!all.contains(CANARY) && !all.contains("/shop"), "{all}");
    Ok(())
}

/// The headers of a webhook's request are not signed: they choose neither a trace nor its sampling.
async fn the_sender_of_a_webhook_gets_a_link_and_no_child(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write(
        "hook.yaml",
        "kind: event_type\nid: push\nwebhook: { slug: hub, layout: github, secrets: [hub] }\n\
         ---\nid: on-push\ntriggers: [{ event: push }]\ndo: [{ a: { set: { b: 1 } } }]\n",
    )?;
    let secret = "a secret of GitHub";
    let file = project.folder().join("hub");
    std::fs::write(&file, secret)?;
    let collector = Collector::start();
    let worker = project.worker().flag("--otlp-endpoint", &collector.url());
    let worker = worker.variable("OTEL_BSP_SCHEDULE_DELAY", "100");
    let worker = worker.flag("--webhook-secret", &format!("hub=file:{}", file.display()));
    let worker = worker.start().await?;

    // The second one is sampled, whatever its sender has decided.
    for (number, flags) in ["01", "00"].into_iter().enumerate() {
        let body = json!({ "number": number, "traceparent": traceparent("01") }).to_string();
        let signature = github_signature(secret, &body);
        let parent = traceparent(flags);
        let headers = [
            ("x-hub-signature-256", signature.as_str()),
            ("x-github-event", "push"),
            ("traceparent", parent.as_str()),
        ];
        let (status, answer) = worker.post("/webhooks/hub", &headers, &body).await?;
        assert_eq!(status, 202, "{answer}");
        let spans = wait_for("the span of the delivery", SOON, || async {
            let spans = collector.spans("handle event");
            Ok((spans.len() > number).then_some(spans))
        });
        let handled = spans.await?.remove(number);
        assert!(handled.parent_span_id.is_empty(), "{handled:?}");
        assert_ne!(hex(&handled.trace_id), TRACE);
        let links: Vec<_> = handled.links.iter().map(|one| hex(&one.span_id)).collect();
        assert_eq!(links, [SENDER], "{handled:?}");
        let start = span(&collector, "start run", |it| is_below(it, &handled)).await?;
        span(&collector, "RunWorkflow:RunDefinition", |run| {
            links_to(run, &start)
        })
        .await?;
    }
    Ok(())
}

/// A message has the trace context of the event: that of a worker that stored it, that of a run, or
/// that of another publisher.
async fn an_event_is_followed_through_nats(on: Scheduler) -> anyhow::Result<()> {
    let (project, nats) = (Project::new(on).await?, Nats::start().await?);
    nats.stream("EVENTS", "events.>").await?;
    project.write("chain.yaml", CHAIN)?;
    let collector = Collector::start();
    let worker = project.worker().flag("--otlp-endpoint", &collector.url());
    let worker = worker.variable("OTEL_BSP_SCHEDULE_DELAY", "100");
    let worker = worker.flag("--nats-url", &nats.url()).start().await?;
    eventually("events to arrive", || async {
        let ready: Value = serde_json::from_str(&worker.get("/readyz").await?.1)?;
        Ok(ready["events"]["connected"] == true)
    })
    .await?;

    let sampled = traceparent("01");
    post(&worker, &paid("stored"), &[("traceparent", &*sampled)]).await?;
    let received = span(&collector, "receive event", is_below_sender).await?;
    assert_eq!(
        attribute(&received, "almanac.outcome").as_deref(),
        Some("accepted")
    );
    let handled = span(&collector, "handle event", |it| is_below(it, &received)).await?;
    assert_eq!(attribute(&handled, "almanac.via").as_deref(), Some("http"));
    let start = span(&collector, "start run", |it| is_below(it, &handled)).await?;
    span(&collector, "RunWorkflow:RunDefinition", |run| {
        links_to(run, &start)
    })
    .await?;
    let emit = span(&collector, "RunActivity:almanac_emit", |_| true).await?;
    let told = span(&collector, "handle event", |it| is_below(it, &emit)).await?;
    assert_eq!(attribute(&told, "almanac.via").as_deref(), Some("nats"));

    let content = ("content-type", "application/cloudevents+json");
    let mut extended = paid("extended");
    extended["traceparent"] = sampled.clone().into();
    for (message, headers) in [
        (paid("header"), vec![content, ("Traceparent", &*sampled)]),
        (extended, vec![content]),
    ] {
        let before = collector.spans("handle event").len();
        nats.publish("events.order.paid", &headers, &message.to_string())
            .await?;
        let handled = wait_for("the span of the message", SOON, || async {
            let after = collector.spans("handle event").into_iter().skip(before);
            let mut handled = after.filter(is_below_sender);
            Ok(handled.next())
        });
        let handled = handled.await?;
        assert_eq!(attribute(&handled, "almanac.via").as_deref(), Some("nats"));
    }
    Ok(())
}

/// Nothing waits for the collector, and the log says once that traces are lost.
async fn a_collector_that_is_away_disturbs_nothing(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &definition(1))?;
    let port = free_port();
    let worker = project.worker();
    let worker = worker.flag("--otlp-endpoint", &format!("http://127.0.0.1:{port}"));
    let worker = worker.variable("OTEL_BSP_SCHEDULE_DELAY", "100");
    let mut worker = worker.start().await?;
    let lost = "cannot export traces";
    eventually("the loss in the log", || async {
        Ok(worker.log()?.contains(lost))
    })
    .await?;
    worker.sync().await?;
    worker.sync().await?;

    let collector = Collector::start_at(port);
    eventually("traces", || async {
        worker.sync().await?;
        Ok(!collector.spans("pass").is_empty()
            && worker.log()?.contains("traces are exported again"))
    })
    .await?;
    assert_eq!(worker.log()?.matches(lost).count(), 1);

    // The last spans come before the process ends.
    let before = collector.spans("pass").len();
    worker.sync().await?;
    worker.terminate(SOON)?;
    assert!(collector.spans("pass").len() > before);
    Ok(())
}

/// The metrics and the log say how many spans were lost, and for which cause.
async fn spans_that_are_lost_are_counted(on: Scheduler) -> anyhow::Result<()> {
    let project = Project::new(on).await?;
    project.write("one.yaml", &definition(1))?;
    // It takes connections and does not answer.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let worker = project.worker();
    let worker = worker.flag(
        "--otlp-endpoint",
        &format!("http://{}", silent.local_addr()?),
    );
    let worker = worker.variable("OTEL_BSP_SCHEDULE_DELAY", "100");
    let worker = worker.variable("OTEL_BSP_MAX_QUEUE_SIZE", "1");
    let worker = worker.variable("OTEL_EXPORTER_OTLP_TIMEOUT", "1000");
    let worker = worker.start().await?;
    for reason in ["queue", "export"] {
        let label = format!("reason=\"{reason}\"");
        eventually(&format!("spans lost by {reason}"), || async {
            worker.sync().await?;
            let metric = "almanac_trace_spans_dropped_total";
            Ok(worker.metric(metric, &[&label]).await? > 0.0)
        })
        .await?;
    }
    let log = worker.log()?;
    assert_eq!(
        log.matches("too many spans wait for the collector").count(),
        1
    );
    assert_eq!(log.matches("cannot export traces").count(), 1);
    Ok(())
}
