//! An OpenTelemetry collector of a test's own: the generated gRPC service, which keeps the spans.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::{Request, Response, Status};

use crate::ports::free_port;

/// A running collector. It ends with the test.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    received: Received,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Clone, Default)]
struct Received(Arc<Mutex<Vec<(Resource, Span)>>>);

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for of_resource in request.into_inner().resource_spans {
            let resource = of_resource.resource.unwrap_or_default();
            let spans = of_resource.scope_spans.into_iter();
            all.extend(
                spans
                    .flat_map(|scope| scope.spans)
                    .map(|span| (resource.clone(), span)),
            );
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Starts a collector.
    pub fn start() -> Self {
        Self::start_at(free_port())
    }

    /// Starts a collector on this port.
    pub fn start_at(port: u16) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let received = Received::default();
        let service = TraceServiceServer::new(received.clone());
        let task = tokio::spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve(address).await.expect("the collector serves");
        });
        Self {
            address,
            received,
            task,
        }
    }

    /// Its address, for `--otlp-endpoint`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans that it got so far, each with the process that it is of.
    pub fn received(&self) -> Vec<(Resource, Span)> {
        let all = self.received.0.lock();
        all.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The spans that it got so far with this name.
    pub fn spans(&self, name: &str) -> Vec<Span> {
        let all = self.received().into_iter().map(|(_, span)| span);
        all.filter(|span| span.name == name).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The attribute of a span, as text.
pub fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|one| one.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::BoolValue(truth) => Some(truth.to_string()),
        other => Some(format!("{other:?}")),
    }
}
