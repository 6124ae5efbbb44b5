//! Traces: the spans of the process, sent to an OpenTelemetry collector (OTLP over gRPC).
//!
//! The sampler, the limits and the headers of requests come from OpenTelemetry's own environment
//! variables. Spans wait in a bounded queue; without a collector they are dropped, and nothing else
//! waits for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use almanac_base::names::{Project, WorkerId};
use anyhow::Context as _;
use opentelemetry::trace::Status;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use temporalio_sdk::opentelemetry::{INSTRUMENTATION_SCOPE, WorkflowIdGenerator};

/// Maximum time for the last spans at the end of the process.
const LAST_SPANS: Duration = Duration::from_secs(2);
/// Attribute of the SDK's spans.
const WORKFLOW_ID: &str = "temporalWorkflowID";

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
        let exporter = if endpoint.starts_with("https:") {
            exporter.with_tls_config(ClientTlsConfig::new().with_enabled_roots())
        } else {
            exporter
        };
        let exporter = Exporter {
            collector: exporter.build().context("--otlp-endpoint")?,
            unwanted: process.project.follow_workflow_id(),
            is_failing: AtomicBool::new(false),
        };
        let provider = SdkTracerProvider::builder()
            .with_id_generator(WorkflowIdGenerator::default())
            .with_resource(resource(process))
            .with_batch_exporter(exporter)
            .build();
        global::set_text_map_propagator(TraceContextPropagator::new());
        global::set_tracer_provider(provider.clone());
        Ok(Self(Some(provider)))
    }

    /// Sends the spans that are left, within [`LAST_SPANS`].
    pub async fn end(self) {
        let Some(provider) = self.0 else { return };
        let sent = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_SPANS));
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
    /// Id of a workflow whose spans say nothing: it asks the same for ever.
    unwanted: String,
    is_failing: AtomicBool,
}

impl SpanExporter for Exporter {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        batch.retain(|span| !is_of(span, &self.unwanted));
        batch.iter_mut().for_each(remove_texts);
        if batch.is_empty() {
            return Ok(());
        }
        let spans = batch.len();
        let result = self.collector.export(batch).await;
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

fn is_of(span: &SpanData, workflow: &str) -> bool {
    let mut attributes = span.attributes.iter();
    attributes.any(|one| one.key.as_str() == WORKFLOW_ID && one.value.as_str() == workflow)
}

/// Removes the texts of errors from a span of the SDK: they may quote a payload.
fn remove_texts(span: &mut SpanData) {
    if span.instrumentation_scope.name() != INSTRUMENTATION_SCOPE {
        return;
    }
    span.events.events.clear();
    if matches!(span.status, Status::Error { .. }) {
        span.status = Status::error("failed");
    }
}
