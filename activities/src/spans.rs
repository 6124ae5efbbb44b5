//! The spans of OpenTelemetry traces: from a reload to the pass that follows from it, to the
//! requests that change schedules, and to the runs that these schedules start; and from an event to
//! the runs that it starts.
//!
//! A process that exports no traces has no tracer, and its spans record nothing. A span names
//! definitions, schedules, types of events and requests. It has no text of an error, since such a
//! text may quote a payload: the log has it.

mod events;

use std::collections::HashMap;
use std::time::SystemTime;

use almanac_base::names::{DefinitionId, ScheduleId, TRACEPARENT};
use almanac_core::record::Op;
use opentelemetry::trace::{Link, SpanBuilder, SpanKind, Status, TraceContextExt};
use opentelemetry::{Context, KeyValue, global};

pub use events::{TRACESTATE, TraceHeaders, linked_to, name_delivery, receive_event, sent_with};
pub(crate) use events::{handle_event, name_result, propagated, start_run};

/// Name of Almanac's instrumentation scope.
const SCOPE: &str = "almanac";

/// A context whose span began now, below the current one.
fn child(name: String, kind: SpanKind, attributes: Vec<KeyValue>) -> Context {
    let builder = SpanBuilder::from_name(name)
        .with_kind(kind)
        .with_attributes(attributes);
    begin(builder, &Context::current())
}

/// The span of an operation on a schedule.
pub(crate) fn operation(op: Op, definition: &DefinitionId, schedule: &ScheduleId) -> Context {
    let attributes = vec![
        KeyValue::new("almanac.definition", definition.to_string()),
        KeyValue::new("almanac.schedule", schedule.to_string()),
    ];
    let name = format!("{} schedule", op.as_str());
    child(name, SpanKind::Internal, attributes)
}

/// The span of a request to Temporal, with all its tries. A request that belongs to nothing, such as
/// one for a page, has no span.
pub(crate) fn request<Req>() -> Context {
    let parent = Context::current();
    if !parent.has_active_span() {
        return parent;
    }
    let message = std::any::type_name::<Req>().rsplit("::").next();
    let method = message.unwrap_or_default().trim_end_matches("Request");
    let attributes = vec![
        KeyValue::new("rpc.system", "grpc"),
        KeyValue::new("rpc.method", method.to_owned()),
    ];
    child(method.to_owned(), SpanKind::Client, attributes)
}

/// The span of a pass. It is below `cause` if a reload caused the pass. Any other pass begins a trace
/// of its own and links to `reload`, which made the definitions that it applies.
pub(crate) fn pass(
    cause: Option<&Context>,
    reload: &Context,
    attributes: Vec<KeyValue>,
) -> Context {
    let builder = SpanBuilder::from_name("pass")
        .with_kind(SpanKind::Consumer)
        .with_attributes(attributes);
    match cause {
        Some(cause) => begin(builder, cause),
        None => begin(builder.with_links(links(reload)), &Context::new()),
    }
}

/// The context of a reload that began at this time and changed the definitions.
pub fn reload(began: SystemTime, attributes: Vec<KeyValue>) -> Context {
    let builder = SpanBuilder::from_name("reload definitions")
        .with_kind(SpanKind::Internal)
        .with_start_time(began)
        .with_attributes(attributes);
    begin(builder, &Context::new())
}

fn begin(builder: SpanBuilder, parent: &Context) -> Context {
    parent.with_span(builder.start_with_context(&global::tracer(SCOPE), parent))
}

fn links(to: &Context) -> Vec<Link> {
    let to = to.span().span_context().clone();
    let link = to.is_valid().then(|| Link::with_context(to));
    link.into_iter().collect()
}

/// Marks the span of `context` as failed, with the kind of the error.
pub(crate) fn fail(context: &Context, kind: &'static str) {
    let span = context.span();
    span.set_attribute(KeyValue::new("error.type", kind));
    span.set_status(Status::error(kind));
}

/// The W3C trace context of a span that is exported.
pub fn traceparent(context: &Context) -> Option<String> {
    if !context.span().span_context().is_sampled() {
        return None;
    }
    injected(context)
}

/// The W3C trace context of a span, whether the span is exported or not.
fn injected(context: &Context) -> Option<String> {
    let mut carrier = HashMap::new();
    global::get_text_map_propagator(|propagator| propagator.inject_context(context, &mut carrier));
    carrier.remove(TRACEPARENT)
}

/// The context of a span of another place, by its W3C trace context. A text that is none gives a
/// context without a span.
pub fn remote(traceparent: Option<&str>) -> Context {
    let parent = traceparent.map(|it| (TRACEPARENT.to_owned(), it.to_owned()));
    extract(&parent.into_iter().collect())
}

fn extract(carrier: &HashMap<String, String>) -> Context {
    global::get_text_map_propagator(|propagator| {
        propagator.extract_with_context(&Context::new(), carrier)
    })
}
