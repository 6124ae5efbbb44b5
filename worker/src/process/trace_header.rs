//! Keeps the trace context of a run readable.
//!
//! Temporal's SDKs find it in a header of activities and child workflows. Most of them do not
//! decode headers, so an encrypted one would fail every activity of a worker that exports traces.

use std::collections::HashMap;

use almanac_base::names::READABLE;
use temporalio_common::protos::temporal::api::common::v1::Payload;
use temporalio_sdk::SimplePlugin;
use temporalio_sdk::opentelemetry::TRACE_HEADER_KEY;
use temporalio_sdk::workflow_interceptors::{
    CancellableWorkflowOutboundFuture, ContinueAsNewInput, ContinueAsNewResult,
    ScheduleActivityInput, ScheduleActivityResult, ScheduleLocalActivityInput, SignalWorkflowInput,
    SignalWorkflowResult, StartChildWorkflowInput, StartChildWorkflowResult,
    SyncWorkflowInterceptorContext, WorkflowInterceptor, WorkflowInterceptorConstructor,
    WorkflowInterceptorContext, WorkflowNext,
};

/// The plugin of a worker. It is registered before the one that adds the header: the interceptors of
/// the last plugin come first.
pub(super) fn readable_trace_header() -> SimplePlugin {
    let interceptor = WorkflowInterceptorConstructor::new(|_| ReadableTraceHeader);
    SimplePlugin::builder("readable-trace-header")
        .workflow_interceptors(vec![interceptor])
        .build()
}

struct ReadableTraceHeader;

fn mark(headers: &mut HashMap<String, Payload>) {
    if let Some(payload) = headers.get_mut(TRACE_HEADER_KEY) {
        payload.metadata.insert(READABLE.to_owned(), Vec::new());
    }
}

impl WorkflowInterceptor for ReadableTraceHeader {
    fn schedule_activity(
        &self,
        _ctx: WorkflowInterceptorContext,
        mut input: ScheduleActivityInput,
        next: WorkflowNext<
            'static,
            ScheduleActivityInput,
            CancellableWorkflowOutboundFuture<ScheduleActivityResult>,
        >,
    ) -> CancellableWorkflowOutboundFuture<ScheduleActivityResult> {
        mark(input.headers_mut());
        next.run(input)
    }

    fn schedule_local_activity(
        &self,
        _ctx: WorkflowInterceptorContext,
        mut input: ScheduleLocalActivityInput,
        next: WorkflowNext<
            'static,
            ScheduleLocalActivityInput,
            CancellableWorkflowOutboundFuture<ScheduleActivityResult>,
        >,
    ) -> CancellableWorkflowOutboundFuture<ScheduleActivityResult> {
        mark(input.headers_mut());
        next.run(input)
    }

    fn start_child_workflow(
        &self,
        _ctx: WorkflowInterceptorContext,
        mut input: StartChildWorkflowInput,
        next: WorkflowNext<
            'static,
            StartChildWorkflowInput,
            CancellableWorkflowOutboundFuture<StartChildWorkflowResult>,
        >,
    ) -> CancellableWorkflowOutboundFuture<StartChildWorkflowResult> {
        mark(input.headers_mut());
        next.run(input)
    }

    fn signal_workflow(
        &self,
        _ctx: WorkflowInterceptorContext,
        mut input: SignalWorkflowInput,
        next: WorkflowNext<
            'static,
            SignalWorkflowInput,
            CancellableWorkflowOutboundFuture<SignalWorkflowResult>,
        >,
    ) -> CancellableWorkflowOutboundFuture<SignalWorkflowResult> {
        mark(input.headers_mut());
        next.run(input)
    }

    fn continue_as_new(
        &self,
        _ctx: SyncWorkflowInterceptorContext,
        mut input: ContinueAsNewInput,
        next: WorkflowNext<'static, ContinueAsNewInput, ContinueAsNewResult>,
    ) -> ContinueAsNewResult {
        mark(input.headers_mut());
        next.run(input)
    }
}
