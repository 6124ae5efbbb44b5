//! What failed outside, as an error of the specification.

use temporalio_common::error::{ApplicationFailure, IncomingError};
use temporalio_protos::temporal::api::common::v1::Payload;
use temporalio_workflow::{
    ActivityExecutionError, ChildWorkflowExecutionError, ChildWorkflowStartError,
};

use crate::run::machine::{Fault, Standard, shortened};

pub(super) fn of_activity(error: &ActivityExecutionError) -> Fault {
    match error {
        ActivityExecutionError::Cancelled(_) => cancelled("the activity"),
        _ => error
            .reason()
            .map_or_else(|| runtime(&error.to_string()), of),
    }
}

pub(super) fn of_child(error: &ChildWorkflowExecutionError) -> Fault {
    error
        .reason()
        .map_or_else(|| runtime(&error.to_string()), of)
}

pub(super) fn of_start(error: &ChildWorkflowStartError) -> Fault {
    match error {
        ChildWorkflowStartError::Cancelled(_) => cancelled("the workflow"),
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
        IncomingError::Cancelled(_) => cancelled("it"),
        // Those that only say where it was.
        IncomingError::Activity(_) | IncomingError::ChildWorkflowExecution(_) => {
            error.cause().map_or_else(|| runtime(&message(error)), of)
        }
        _ => runtime(&message(error)),
    }
}

fn message(error: &IncomingError) -> String {
    error.failure().message.clone()
}

/// The error in the failure's details, as Almanac's own activities and runs
/// state it, and as anyone may; else what the failure says.
fn of_application(failure: &ApplicationFailure) -> Fault {
    let details = failure.raw_details().unwrap_or_default();
    if let Some(fault) = details.first().and_then(stated) {
        return fault;
    }
    let said = failure.to_string();
    runtime(&match failure.type_name() {
        Some(kind) => format!("{kind}: {said}"),
        None => said,
    })
}

fn stated(details: &Payload) -> Option<Fault> {
    let fault: Fault = serde_json::from_slice(&details.data).ok()?;
    // The task's own place is what counts here.
    let instance = None;
    Some(Fault { instance, ..fault }.shortened())
}

fn cancelled(what: &str) -> Fault {
    Standard::Runtime.fault(format!("{what} was cancelled"))
}

pub(super) fn runtime(detail: &str) -> Fault {
    Standard::Runtime.fault(shortened(detail))
}
