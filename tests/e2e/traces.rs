//! OpenTelemetry traces: from a file to the request that changed the schedule, and into the run.

use almanac_tests::{
    Collector, Project, SOON, Scheduler, attribute, eventually, free_port, on_both_schedulers,
    on_one_scheduler, temporal_cli, wait_for,
};
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;

on_both_schedulers!(a_change_is_followed_from_its_file_into_the_run);
on_one_scheduler!(
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

    span(&collector, "RunWorkflow:RunDefinition", |span| {
        attribute(span, "temporalWorkflowID").is_some_and(|id| id.contains("/two/"))
    })
    .await?;

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
