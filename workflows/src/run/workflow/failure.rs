//! Failures of activities and child workflows as errors of the specification.

use almanac_steps::machine::{Fault, Standard, shortened};
use temporalio_common::error::{ApplicationFailure, IncomingError, TimeoutType};
use temporalio_protos::temporal::api::common::v1::Payload;
use temporalio_protos::temporal::api::failure::v1::Failure;
use temporalio_protos::temporal::api::failure::v1::failure::FailureInfo;
use temporalio_workflow::{
    ActivityExecutionError, ChildWorkflowExecutionError, ChildWorkflowStartError,
};

/// Returns the error of a failed activity, and the size of the failure in the history, in
/// bytes.
pub(super) fn of_activity(error: &ActivityExecutionError) -> (Fault, usize) {
    let fault = match error {
        ActivityExecutionError::Cancelled(_) => canceled("the activity"),
        _ => error
            .reason()
            .map_or_else(|| runtime(&error.to_string()), of),
    };
    (fault, error.failure().map_or(0, size))
}

/// Like [`of_activity`], for a call that is made once: if its worker is lost, nobody knows
/// whether the call was made.
pub(super) fn of_once(error: &ActivityExecutionError) -> (Fault, usize) {
    let (fault, bytes) = of_activity(error);
    let lost = error.as_timeout().is_some_and(|timeout| {
        matches!(
            timeout.timeout_type(),
            TimeoutType::StartToClose | TimeoutType::ScheduleToClose | TimeoutType::Heartbeat
        )
    });
    if !lost {
        return (fault, bytes);
    }
    let detail = "the worker that made the call was lost or took too long; the call may have been done, so it is not repeated";
    (Standard::Timeout.fault(detail), bytes)
}

/// Like [`of_activity`], for a child workflow.
pub(super) fn of_child(error: &ChildWorkflowExecutionError) -> (Fault, usize) {
    let fault = error
        .reason()
        .map_or_else(|| runtime(&error.to_string()), of);
    (fault, error.failure().map_or(0, size))
}

/// Approximate size of a failure and of all its causes, in bytes.
fn size(failure: &Failure) -> usize {
    let details = match &failure.failure_info {
        Some(FailureInfo::ApplicationFailureInfo(info)) => info.details.as_ref(),
        Some(FailureInfo::CanceledFailureInfo(info)) => info.details.as_ref(),
        Some(FailureInfo::TimeoutFailureInfo(info)) => info.last_heartbeat_details.as_ref(),
        _ => None,
    };
    let payloads = details.into_iter().flat_map(|details| &details.payloads);
    let payloads = payloads.chain(&failure.encoded_attributes);
    let payloads: usize = payloads.map(|payload| payload.data.len()).sum();
    let cause = failure.cause.as_deref().map_or(0, size);
    failure.message.len() + failure.stack_trace.len() + payloads + cause
}

pub(super) fn of_start(error: &ChildWorkflowStartError) -> Fault {
    match error {
        ChildWorkflowStartError::Cancelled(_) => canceled("the workflow"),
        ChildWorkflowStartError::StartFailed {
            workflow_id, cause, ..
        } => runtime(&format!(
            "workflow `{workflow_id}` was not started: {cause:?}"
        )),
        _ => runtime(&error.to_string()),
    }
}

fn of(error: &IncomingError) -> Fault {
    match error {
        IncomingError::Application(failure) => of_application(failure),
        IncomingError::Timeout(_) => Standard::Timeout.fault(shortened(&message(error))),
        IncomingError::Cancelled(_) => canceled("the call"),
        // These errors only say which activity or workflow failed: their cause counts.
        IncomingError::Activity(_) | IncomingError::ChildWorkflowExecution(_) => {
            error.cause().map_or_else(|| runtime(&message(error)), of)
        }
        _ => runtime(&message(error)),
    }
}

fn message(error: &IncomingError) -> String {
    error.failure().message.clone()
}

/// Returns the error in the failure's details, if there is one. Almanac's own activities
/// and runs put it there, and anyone else may. Otherwise the message of the failure is the
/// error.
fn of_application(failure: &ApplicationFailure) -> Fault {
    let details = failure.raw_details().unwrap_or_default();
    if let Some(fault) = details.first().and_then(stated) {
        return fault;
    }
    let message = failure.to_string();
    runtime(&match failure.type_name() {
        Some(kind) => format!("{kind}: {message}"),
        None => message,
    })
}

fn stated(details: &Payload) -> Option<Fault> {
    let fault: Fault = serde_json::from_slice(&details.data).ok()?;
    // The place of the failed task counts here, not a place in another run.
    let instance = None;
    Some(Fault { instance, ..fault }.shortened())
}

fn canceled(what: &str) -> Fault {
    Standard::Runtime.fault(format!("{what} was canceled"))
}

pub(super) fn runtime(detail: &str) -> Fault {
    Standard::Runtime.fault(shortened(detail))
}
