//! Traces: the spans of the process, sent to an OpenTelemetry collector (OTLP over gRPC).
//!
//! The sampler, the limits and the headers of requests come from OpenTelemetry's own environment
//! variables. Spans wait in a bounded queue; without a collector they are lost, and nothing else waits
//! for it.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use almanac_activities::metrics::{self, SpanLoss};
use almanac_base::names::{Project, RUN_OUTCOME, WorkerId};
use anyhow::Context as _;
use opentelemetry::trace::Status;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use temporalio_sdk::opentelemetry::{
    INSTRUMENTATION_SCOPE, WorkflowIdGenerator, WorkflowSpanProcessor,
};

use super::span_queue::{self, SpanQueue};

/// Maximum time for the last spans at the end of the process.
const LAST_SPANS: Duration = Duration::from_secs(2);
/// Attribute of the SDK's spans.
const WORKFLOW_ID: &str = "temporalWorkflowID";
/// Name of the span of a run of steps.
const RUN_SPAN: &str = "RunWorkflow:RunDefinition";
/// Status of an error without its text, and the outcome of a run that failed.
const FAILED: &str = "failed";

/// The process that the spans are of.
#[derive(Debug, Clone, Copy)]
pub struct TracedProcess<'a> {
    pub project: &'a Project,
    pub worker: &'a WorkerId,
    pub namespace: &'a str,
}

/// The traces of this process. Without a collector there are none.
#[derive(Debug, Default)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Sends the spans of this process to the collector at `endpoint` from now on. The connection
    /// is made when there are spans.
    pub fn export(endpoint: &str, process: TracedProcess<'_>) -> anyhow::Result<Self> {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint);
        let exporter = if endpoint.to_ascii_lowercase().starts_with("https:") {
            exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots())
        } else {
            exporter
        };
        let exporter = Exporter {
            collector: exporter.build().context("--otlp-endpoint")?,
            is_failing: AtomicBool::new(false),
        };
        // The workflow that follows runs polls without end, so its spans carry no information.
        let unwanted = process.project.follow_workflow_id();
        let is_wanted = move |span: &SpanData| is_wanted(span, &unwanted);
        let queue = SpanQueue::new(exporter, span_queue::size(), is_wanted);
        let provider = SdkTracerProvider::builder()
            .with_id_generator(WorkflowIdGenerator::default())
            .with_resource(resource(process))
            // Spans of a team's own workflow code must not be exported again in a replay.
            .with_span_processor(WorkflowSpanProcessor::new(queue))
            .build();
        global::set_text_map_propagator(TraceContextPropagator::new());
        global::set_tracer_provider(provider.clone());
        Ok(Self(Some(provider)))
    }

    /// Sends the spans that are left, in a small part of the time that the process has to end.
    pub async fn end(self, shutdown_timeout: Duration) {
        let Some(provider) = self.0 else { return };
        let limit = LAST_SPANS.min(shutdown_timeout / 10);
        let sent = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(limit));
        if let Ok(Err(error)) = sent.await {
            tracing::debug!(%error, "the last spans were not exported");
        }
    }
}

fn resource(process: TracedProcess<'_>) -> Resource {
    let mut attributes = vec![
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", process.worker.to_string()),
        KeyValue::new("almanac.project", process.project.to_string()),
        KeyValue::new("temporal.namespace", process.namespace.to_owned()),
    ];
    let named = std::env::var("OTEL_RESOURCE_ATTRIBUTES")
        .is_ok_and(|attributes| attributes.contains("service.name="));
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() && !named {
        attributes.push(KeyValue::new("service.name", "almanac"));
    }
    Resource::builder().with_attributes(attributes).build()
}

/// Sends spans to the collector, and logs when that begins and ends to fail.
#[derive(Debug)]
struct Exporter {
    collector: opentelemetry_otlp::SpanExporter,
    is_failing: AtomicBool,
}

impl SpanExporter for Exporter {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        batch.iter_mut().for_each(rewrite);
        let spans = batch.len();
        let result = self.collector.export(batch).await;
        if result.is_err() {
            metrics::lost_spans(SpanLoss::Export, spans as u64);
        }
        let was_failing = self.is_failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !was_failing => {
                tracing::warn!(spans, %error, "cannot export traces; these spans are lost");
            }
            Ok(()) if was_failing => tracing::info!("traces are exported again"),
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.collector.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.collector.set_resource(resource);
    }
}

fn attribute<'a>(span: &'a SpanData, key: &str) -> Option<Cow<'a, str>> {
    let mut attributes = span.attributes.iter();
    let found = attributes.find(|one| one.key.as_str() == key)?;
    Some(found.value.as_str())
}

/// Returns `false` for the spans of the workflow with the id `unwanted`, and for the span of a run
/// that has not ended: the process has only dropped it from memory.
fn is_wanted(span: &SpanData, unwanted: &str) -> bool {
    let is_left = span.name == RUN_SPAN && attribute(span, RUN_OUTCOME).is_none();
    !is_left && attribute(span, WORKFLOW_ID).is_none_or(|id| id != unwanted)
}

/// Removes the texts of errors from a span of the SDK: they may quote a payload. The SDK also calls
/// it an error if a run continues as new or is canceled.
fn rewrite(span: &mut SpanData) {
    if span.instrumentation_scope.name() != INSTRUMENTATION_SCOPE {
        return;
    }
    span.events.events.clear();
    if !matches!(span.status, Status::Error { .. }) {
        return;
    }
    let has_failed = attribute(span, RUN_OUTCOME).is_none_or(|outcome| outcome == FAILED);
    span.status = if has_failed {
        Status::error(FAILED)
    } else {
        Status::Unset
    };
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use opentelemetry::InstrumentationScope;
    use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind};
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

    use super::*;

    fn span(name: &'static str, attributes: &[(&'static str, &'static str)]) -> SpanData {
        let mut events = SpanEvents::default();
        let message = KeyValue::new("exception.message", "secret");
        let event = Event::new("exception", SystemTime::now(), vec![message], 0);
        events.events.push(event);
        SpanData {
            span_context: SpanContext::NONE,
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Server,
            name: name.into(),
            start_time: SystemTime::now(),
            end_time: SystemTime::now(),
            attributes: attributes
                .iter()
                .map(|(key, value)| KeyValue::new(*key, *value))
                .collect(),
            dropped_attributes_count: 0,
            events,
            links: SpanLinks::default(),
            status: Status::error("secret"),
            instrumentation_scope: InstrumentationScope::builder(INSTRUMENTATION_SCOPE).build(),
        }
    }

    #[test]
    fn spans_of_the_sdk_keep_no_text_and_only_real_failures() {
        for (outcome, status) in [
            ("failed", Status::error("failed")),
            ("continued_as_new", Status::Unset),
            ("canceled", Status::Unset),
        ] {
            let mut run = span(RUN_SPAN, &[(RUN_OUTCOME, outcome)]);
            rewrite(&mut run);
            assert_eq!(run.status, status, "{outcome}");
            assert!(run.events.events.is_empty());
        }
        let mut activity = span("RunActivity:x", &[]);
        rewrite(&mut activity);
        assert_eq!(activity.status, Status::error("failed"));
    }

    #[test]
    fn runs_that_go_on_elsewhere_and_endless_workflows_are_not_exported() {
        let follow = [(WORKFLOW_ID, "almanac/p/follow")];
        for (span, is_exported) in [
            (span(RUN_SPAN, &[(RUN_OUTCOME, "completed")]), true),
            (span(RUN_SPAN, &[]), false),
            (span("RunActivity:x", &[(WORKFLOW_ID, "p/x")]), true),
            (span("RunActivity:x", &follow), false),
        ] {
            assert_eq!(
                is_wanted(&span, "almanac/p/follow"),
                is_exported,
                "{span:?}"
            );
        }
    }
}
