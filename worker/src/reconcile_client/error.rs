//! Errors of using the reconcile workflow.

use std::time::Duration;

use almanac_activities::schedules::{RequestError, missing_namespace};
use jiff::Timestamp;
use temporalio_client::tonic::{Code, Status};

use super::ANSWER_LIMIT;

/// The server's text for an update that was dropped with its task, and may be sent again.
const UPDATE_ABORTED: &str = "workflow update was aborted";
/// The server's text for a query when workers have left their task queue.
const NO_POLLER: &str = "no poller seen";

/// Reason why the reconcile workflow could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileClientError {
    /// The workflow does not exist, or has ended.
    #[error("the reconcile workflow `{0}` is not running")]
    Absent(String),
    /// The namespace does not exist, so the workflow does not either.
    #[error("namespace `{0}` does not exist")]
    NoNamespace(String),
    /// The workflow task fails each time that a worker tries it.
    #[error(
        "the reconcile workflow `{0}` is stuck: its workflow task fails, and the worker's log \
         says why; hint: if a codec server or a key is missing, bring it back, and the workflow \
         goes on; otherwise `temporal workflow terminate --workflow-id {0}`, after which the \
         worker starts it again"
    )]
    Stuck(String),
    /// The workflow or Temporal did not answer in time.
    #[error("the reconcile workflow did not answer {0}")]
    NoAnswer(Silence),
    /// The workflow refused the request.
    #[error("{0}")]
    Refused(String),
    /// Temporal or the workflow has too much to do.
    #[error("temporal: {0}")]
    Busy(String),
    /// Temporal refused the credentials.
    #[error("temporal refused the credentials: {0}")]
    Unauthenticated(String),
    /// Temporal failed with this error.
    #[error("temporal: {0}")]
    Temporal(String),
    /// The answer does not have the expected form.
    #[error("the reconcile workflow's answer cannot be read: {0}")]
    Answer(String),
}

/// Reason why the workflow did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// No answer came within this time.
    #[error("within {} s", .0.as_secs())]
    For(Duration),
    /// No answer came within [`ANSWER_LIMIT`]. A worker may still do the request until this
    /// time.
    #[error(
        "within {seconds} s; a worker that takes the request until {0:.0} still does it, a later \
         one does not",
        seconds = ANSWER_LIMIT.as_secs()
    )]
    Until(Timestamp),
    /// The server knows that no worker polls the task queue.
    #[error("because no worker polls its task queue")]
    NoWorker,
}

/// The error for the status `NotFound`. Only the server's own details prove that the workflow
/// does not run. A proxy's answer does not prove that, so the consequences must not follow from
/// it.
pub(super) fn absent(status: &Status, namespace: &str, workflow: String) -> ReconcileClientError {
    match RequestError::of(status, namespace) {
        RequestError::NotFound => ReconcileClientError::Absent(workflow),
        RequestError::NoNamespace(name) => ReconcileClientError::NoNamespace(name),
        _ => temporal(status),
    }
}

pub(super) fn temporal(status: &Status) -> ReconcileClientError {
    if let Some(name) = missing_namespace(status) {
        return ReconcileClientError::NoNamespace(name);
    }
    match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => {
            ReconcileClientError::NoAnswer(Silence::For(ANSWER_LIMIT))
        }
        Code::FailedPrecondition if status.message().starts_with(NO_POLLER) => {
            ReconcileClientError::NoAnswer(Silence::NoWorker)
        }
        Code::Unauthenticated => ReconcileClientError::Unauthenticated(status.message().to_owned()),
        Code::ResourceExhausted => ReconcileClientError::Busy(status.message().to_owned()),
        // Other updates were in flight, and the server dropped the task that had this one.
        Code::Unavailable if status.message() == UPDATE_ABORTED => {
            ReconcileClientError::Busy(status.message().to_owned())
        }
        code => ReconcileClientError::Temporal(format!("{code}: {}", status.message())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_is_absent_by_the_servers_own_details_alone() {
        let bare = Status::not_found("no such thing");
        let error = absent(&bare, "mine", "almanac/p/reconcile".to_owned());
        assert!(
            matches!(error, ReconcileClientError::Temporal(_)),
            "{error}"
        );
    }

    #[test]
    fn workers_that_have_left_are_no_answer() {
        let left = Status::failed_precondition(
            "no poller seen for task queue recently, worker may be down",
        );
        let error = temporal(&left);
        assert_eq!(error, ReconcileClientError::NoAnswer(Silence::NoWorker));
        assert_eq!(
            error.to_string(),
            "the reconcile workflow did not answer because no worker polls its task queue"
        );
        let other = temporal(&Status::failed_precondition("something else"));
        assert!(
            matches!(other, ReconcileClientError::Temporal(_)),
            "{other}"
        );
    }
}
