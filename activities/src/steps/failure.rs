//! The failure of a step, as an error of the specification and as a failure of Temporal.

use std::time::Duration;

use almanac_steps::machine::{Fault, Standard};
use temporalio_common::error::ApplicationFailure;
use temporalio_sdk::activities::ActivityError;

use super::secrets::Scrubber;

/// Error of a step: the specification's error object, and whether the same call may succeed
/// later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    /// The specification's error object.
    pub fault: Box<Fault>,
    /// `true` if an automatic retry may help, and does nothing twice.
    pub retryable: bool,
    /// Wait before the next attempt that the service asks for.
    pub retry_after: Option<Duration>,
}

impl StepError {
    /// An error in the definition or in the worker's configuration, which rules the call
    /// out.
    pub(crate) fn configuration(detail: impl Into<String>) -> Self {
        Self::lasting(Standard::Configuration, detail)
    }

    /// An error that a retry does not mend.
    pub(super) fn lasting(standard: Standard, detail: impl Into<String>) -> Self {
        Self {
            fault: Box::new(standard.fault(detail)),
            retryable: false,
            retry_after: None,
        }
    }

    /// An error that may pass. With `again`, the call may be made twice or was not made at
    /// all, so Temporal retries it. Otherwise the step decides.
    pub(super) fn if_again(again: bool, standard: Standard, detail: impl Into<String>) -> Self {
        Self {
            retryable: again,
            ..Self::lasting(standard, detail)
        }
    }

    /// An error of a call that can be made again, and that may then succeed.
    pub(crate) fn passing(detail: impl Into<String>) -> Self {
        Self::if_again(true, Standard::Communication, detail)
    }

    /// Removes the secrets that the error's texts may repeat.
    pub(super) fn scrubbed(mut self, scrubber: &Scrubber) -> Self {
        let Fault { title, detail, .. } = self.fault.as_mut();
        for text in [title, detail].into_iter().flatten() {
            *text = scrubber.lowered(text);
        }
        self
    }
}

impl From<StepError> for ActivityError {
    /// The error's type becomes the failure's type, and the error object its details.
    fn from(error: StepError) -> Self {
        let fault = error.fault.shortened();
        let kind = fault.kind.clone();
        let failure = ApplicationFailure::builder(fault.to_string())
            .type_name(kind)
            .non_retryable(!error.retryable)
            .maybe_next_retry_delay(error.retry_after)
            .details(fault)
            .build();
        Self::Application(Box::new(failure))
    }
}
