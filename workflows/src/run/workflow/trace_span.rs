//! The span of a run: what it links to, and how the run ended.
//!
//! The SDK begins and ends the span. In a replay, and in a worker that exports no traces, there is
//! none, and nothing here has an effect.

use almanac_base::names::{MEMO_KEY, RUN_OUTCOME, TRACEPARENT};
use opentelemetry::propagation::Extractor;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::{Context, KeyValue, global};
use serde_json::Value;
use temporalio_workflow::{WorkflowContext, WorkflowResult, WorkflowTermination};

use super::RunDefinition;

/// Records how the run ended.
pub(super) fn name_outcome(result: &WorkflowResult<Value>) {
    let outcome = match result {
        Ok(_) => "completed",
        Err(WorkflowTermination::ContinueAsNew(_)) => "continued_as_new",
        Err(WorkflowTermination::Cancelled { .. }) => "canceled",
        Err(_) => "failed",
    };
    let context = Context::current();
    context
        .span()
        .set_attribute(KeyValue::new(RUN_OUTCOME, outcome));
}

/// Links the span to the operation that wrote the run's schedule, or to the start of the run by an
/// event, as the run's memo has it. It is a link and not a parent: a schedule starts runs for years,
/// a run may last as long, and each run is a trace of its own.
pub(super) fn link_to_cause(ctx: &WorkflowContext<RunDefinition>) {
    let memo = ctx.memo();
    let memo: Option<Value> = memo
        .raw_value(MEMO_KEY)
        .and_then(|payload| serde_json::from_slice(&payload.data).ok());
    let traceparent = memo.as_ref().and_then(|memo| memo[TRACEPARENT].as_str());
    let Some(traceparent) = traceparent else {
        return;
    };
    let cause = global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Context::new(), &Carrier(traceparent))
    });
    let cause = cause.span().span_context().clone();
    if cause.is_valid() {
        Context::current().span().add_link(cause, Vec::new());
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
