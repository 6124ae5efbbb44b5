//! The spans of events, and the trace contexts that come with events: W3C Trace Context in headers
//! of HTTP and NATS, or in the attributes of `CloudEvents`' extension for distributed tracing.
//!
//! Whoever sends an event chooses its trace context, so one that is malformed has no effect. The
//! sampler decides about the span of the event. The attributes here have no data, source or id of an
//! event.

use std::collections::HashMap;

use almanac_base::names::{DefinitionId, TRACEPARENT};
use almanac_core::record::{Delivery, DeliveryState, DeliveryVia, TriggerResult, delivery_text};
use opentelemetry::trace::{SpanBuilder, SpanContext, SpanKind, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use serde_json::Value;

use super::{begin, child, extract, fail, links};

/// Header and attribute with more values of a trace context.
pub const TRACESTATE: &str = "tracestate";
/// Length of a `traceparent`, in bytes. A later version may have more after it (W3C Trace Context,
/// section 3.2.4).
const PARENT_LENGTH: usize = 55;
/// Maximum length of a `tracestate`, in bytes: what every system must be able to pass on (section
/// 3.3.1.5). Each span of the event has it.
const STATE_LIMIT: usize = 512;

/// The headers of a message with its trace context.
#[derive(Debug, Clone, Copy, Default)]
pub struct TraceHeaders<'a> {
    /// Value of the header `traceparent`.
    pub parent: Option<&'a str>,
    /// Value of the header `tracestate`.
    pub state: Option<&'a str>,
}

/// A span to which the span of an event links.
struct Linked(SpanContext);

/// The context in which the span of an event is the child of the span that came with the event: in
/// the headers, or else in the attributes of the event. Without such a span, the event begins a
/// trace.
pub fn sent_with(headers: TraceHeaders<'_>, event: &Value) -> Context {
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let sent = headers.context();
    if sent.has_active_span() {
        return sent;
    }
    let attributes = TraceHeaders {
        parent: text(TRACEPARENT),
        state: text(TRACESTATE),
    };
    attributes.context()
}

/// The context in which an event begins a trace, and its span links to that of `sent`.
pub fn linked_to(sent: &Context) -> Context {
    let to = sent.span().span_context().clone();
    if to.is_valid() {
        Context::new().with_value(Linked(to))
    } else {
        Context::new()
    }
}

impl TraceHeaders<'_> {
    fn context(self) -> Context {
        let Some(parent) = self.parent.and_then(well_formed) else {
            return Context::new();
        };
        let state = self.state.filter(|state| state.len() <= STATE_LIMIT);
        let state = state.map(|state| (TRACESTATE, state));
        let all = [(TRACEPARENT, parent)].into_iter().chain(state);
        let all: HashMap<_, _> = all
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        extract(&all)
    }
}

/// Returns the part of a `traceparent` that is read. `None` if it is malformed (W3C Trace Context,
/// section 3.2.2).
fn well_formed(text: &str) -> Option<&str> {
    let (known, rest) = text.split_at_checked(PARENT_LENGTH)?;
    let has_form = known.bytes().enumerate().all(|(at, byte)| match at {
        2 | 35 | 52 => byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    });
    let is_first_version = known.starts_with("00");
    let has_end = rest.is_empty() || (!is_first_version && rest.starts_with('-'));
    (has_form && has_end).then_some(known)
}

/// The span of an event that arrived over HTTP at a worker with NATS, which stores the event first.
pub fn receive_event(event: &Value, via: DeliveryVia) -> Context {
    let attributes = about(event, via);
    of_event("receive event", SpanKind::Producer, attributes)
}

/// The span of an attempt to start the runs of an event.
pub(crate) fn handle_event(event: &Value, via: DeliveryVia, attempt: u64) -> Context {
    let mut attributes = about(event, via);
    let attempt = i64::try_from(attempt).unwrap_or(i64::MAX);
    attributes.push(KeyValue::new("almanac.attempt", attempt));
    of_event("handle event", SpanKind::Consumer, attributes)
}

fn about(event: &Value, via: DeliveryVia) -> Vec<KeyValue> {
    let kind = event.get("type").and_then(Value::as_str);
    vec![
        KeyValue::new(
            "almanac.event_type",
            delivery_text(kind.unwrap_or_default()),
        ),
        KeyValue::new("almanac.via", via.as_str()),
    ]
}

/// A span below the current one. The first span of an event links to a span that came with the
/// event.
fn of_event(name: &'static str, kind: SpanKind, attributes: Vec<KeyValue>) -> Context {
    let current = Context::current();
    let builder = SpanBuilder::from_name(name)
        .with_kind(kind)
        .with_attributes(attributes);
    let builder = match current.get::<Linked>() {
        Some(Linked(to)) if !current.has_active_span() => {
            let to = Context::new().with_remote_span_context(to.clone());
            builder.with_links(links(&to))
        }
        _ => builder,
    };
    begin(builder, &current)
}

/// Names the result of an event in its span.
pub fn name_delivery(context: &Context, delivery: &Delivery) {
    let state = delivery.state;
    let span = context.span();
    span.set_attribute(KeyValue::new("almanac.outcome", state.as_str()));
    let triggers = delivery.runs.len() as u64 + u64::from(delivery.truncated);
    let triggers = i64::try_from(triggers).unwrap_or(i64::MAX);
    span.set_attribute(KeyValue::new("almanac.triggers", triggers));
    if matches!(state, DeliveryState::Refused | DeliveryState::Waiting) {
        fail(context, state.as_str());
    }
}

/// The span of a trigger's start of a run.
pub(crate) fn start_run(definition: &DefinitionId, trigger: u32) -> Context {
    let attributes = vec![
        KeyValue::new("almanac.definition", definition.to_string()),
        KeyValue::new("almanac.trigger", i64::from(trigger)),
    ];
    child("start run".to_owned(), SpanKind::Internal, attributes)
}

/// Names the result of a start in its span.
pub(crate) fn name_result(context: &Context, result: &TriggerResult) {
    let (outcome, has_failed) = match result {
        TriggerResult::Started { .. } => ("started", false),
        TriggerResult::Existing { .. } => ("existing", false),
        TriggerResult::Refused { .. } => ("refused", true),
        TriggerResult::Conflict { .. } => ("conflict", true),
        TriggerResult::Failed { .. } => ("failed", true),
    };
    let span = context.span();
    span.set_attribute(KeyValue::new("almanac.outcome", outcome));
    if has_failed {
        fail(context, outcome);
    }
}

/// The W3C trace context of the current span, for a message: whoever handles the message follows the
/// decision whether the span is exported.
pub(crate) fn propagated() -> Option<String> {
    super::injected(&Context::current())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_context_is_read_if_it_is_well_formed() {
        let later = PARENT.replacen("00", "cc", 1);
        let longer = format!("{later}-and-what-will-be");
        for (text, read) in [(PARENT, PARENT), (&*later, &*later), (&*longer, &*later)] {
            assert_eq!(well_formed(text), Some(read));
        }
        for bad in [
            "",
            "00",
            &PARENT[1..],
            &PARENT.to_uppercase(),
            &PARENT.replace('-', "_"),
            &format!("{PARENT}-01"),
            &format!("{PARENT} "),
            &format!("{later}01"),
            &format!(" {PARENT}"),
            &PARENT.replace('0', "é"),
            &PARENT.replacen('7', "+", 1),
        ] {
            assert_eq!(well_formed(bad), None, "{bad}");
        }
    }
}
