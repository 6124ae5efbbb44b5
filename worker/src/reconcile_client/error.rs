//! Why the reconcile workflow could not be used.

use std::time::Duration;

use almanac_activities::schedules::{RequestError, missing_namespace};
use jiff::Timestamp;
use temporalio_client::tonic::{Code, Status};

use super::ANSWER_LIMIT;

/// How the server says that an update was dropped with its task, and may be sent again.
const UPDATE_ABORTED: &str = "workflow update was aborted";
/// What the server says of a query when workers have left their queue.
const NO_POLLER: &str = "no poller seen";

/// Why the workflow could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileClientError {
    /// There is none, or it has ended.
    #[error("the reconcile workflow `{0}` does not run")]
    Absent(String),
    /// The namespace does not exist, and so nothing in it.
    #[error("namespace `{0}` does not exist")]
    NoNamespace(String),
    /// Its workflow task fails each time that it is tried.
    #[error(
        "the reconcile workflow `{0}` cannot go on: its workflow task fails, and the worker's log \
         says why; `temporal workflow terminate --workflow-id {0}` lets the worker begin anew"
    )]
    Stuck(String),
    /// It, or Temporal, did not answer in time.
    #[error("the reconcile workflow did not answer {0}")]
    NoAnswer(Silence),
    /// It refused.
    #[error("{0}")]
    Refused(String),
    /// Temporal, or the workflow, has too much to do.
    #[error("temporal: {0}")]
    Busy(String),
    /// Temporal failed.
    #[error("temporal: {0}")]
    Temporal(String),
    /// It answered something else than was asked for.
    #[error("the reconcile workflow's answer cannot be read: {0}")]
    Answer(String),
}

/// Why nothing was heard of the workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// For so long.
    #[error("within {} s", .0.as_secs())]
    For(Duration),
    /// For that long; what was asked for may still be done until then.
    #[error(
        "within {seconds} s; a worker that takes it up until {0:.0} still does what was asked for, a \
         later one does not",
        seconds = ANSWER_LIMIT.as_secs()
    )]
    Until(Timestamp),
    /// The server knows that nobody would.
    #[error("because no worker polls its task queue")]
    NoWorker,
}

/// The error of a `NotFound`: only the server's own details prove that the
/// workflow does not run. What follows from its absence may not follow from a
/// proxy's answer.
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
        Code::ResourceExhausted => ReconcileClientError::Busy(status.message().to_owned()),
        // Others were in flight, and the server dropped the task that had it.
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
        let told = absent(&bare, "mine", "almanac/p/reconcile".to_owned());
        assert!(matches!(told, ReconcileClientError::Temporal(_)), "{told}");
    }

    #[test]
    fn workers_that_have_left_are_no_answer() {
        let left = Status::failed_precondition(
            "no poller seen for task queue recently, worker may be down",
        );
        let told = temporal(&left);
        assert_eq!(told, ReconcileClientError::NoAnswer(Silence::NoWorker));
        assert_eq!(
            told.to_string(),
            "the reconcile workflow did not answer because no worker polls its task queue"
        );
        let other = temporal(&Status::failed_precondition("something else"));
        assert!(
            matches!(other, ReconcileClientError::Temporal(_)),
            "{other}"
        );
    }
}
