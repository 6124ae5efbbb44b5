//! The link from the span of a run to the operation that wrote the run's schedule.
//!
//! A link and not a parent: a schedule starts runs for years, and each run is a trace of its own.

use almanac_base::names::{MEMO_KEY, TRACEPARENT};
use opentelemetry::propagation::Extractor;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::{Context, global};
use serde_json::Value;
use temporalio_workflow::WorkflowContext;

use super::RunDefinition;

/// Links the current span to the operation that the run's memo names. In a replay, and in a worker
/// that exports no traces, there is no span.
pub(super) fn link_to_schedule(ctx: &WorkflowContext<RunDefinition>) {
    let memo = ctx.memo();
    let memo: Option<Value> = memo
        .raw_value(MEMO_KEY)
        .and_then(|payload| serde_json::from_slice(&payload.data).ok());
    let traceparent = memo.as_ref().and_then(|memo| memo[TRACEPARENT].as_str());
    let Some(traceparent) = traceparent else {
        return;
    };
    let operation = global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Context::new(), &Carrier(traceparent))
    });
    let operation = operation.span().span_context().clone();
    if operation.is_valid() {
        Context::current().span().add_link(operation, Vec::new());
    }
}

/// The headers of a request that has only a trace context.
struct Carrier<'a>(&'a str);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}
