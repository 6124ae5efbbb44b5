//! Why a step failed, as the specification and as Temporal say it.

use std::time::Duration;

use almanac_steps::machine::{Fault, Standard};
use temporalio_common::error::ApplicationFailure;
use temporalio_sdk::activities::ActivityError;

use super::secrets::Scrubber;

/// A step's error: the specification's error object, and whether the same call
/// may go well later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepError {
    /// The error.
    pub fault: Box<Fault>,
    /// Whether trying again by itself may help, and does nothing twice.
    pub retryable: bool,
    /// When the service asks to be tried again.
    pub retry_after: Option<Duration>,
}

impl StepError {
    /// What the definition asks for, or the worker's configuration says, cannot be.
    pub(crate) fn configuration(detail: impl Into<String>) -> Self {
        Self::lasting(Standard::Configuration, detail)
    }

    /// An error that trying again does not mend.
    pub(super) fn lasting(standard: Standard, detail: impl Into<String>) -> Self {
        Self {
            fault: Box::new(standard.fault(detail)),
            retryable: false,
            retry_after: None,
        }
    }

    /// An error that may have gone, of something that may be done twice or was
    /// not done at all; with `again` false, it is the step's to decide.
    pub(super) fn if_again(again: bool, standard: Standard, detail: impl Into<String>) -> Self {
        Self {
            retryable: again,
            ..Self::lasting(standard, detail)
        }
    }

    /// Without the secrets that its texts may repeat.
    pub(super) fn scrubbed(mut self, scrubber: &Scrubber) -> Self {
        let Fault { title, detail, .. } = self.fault.as_mut();
        for text in [title, detail].into_iter().flatten() {
            *text = scrubber.lowered(text);
        }
        self
    }
}

impl From<StepError> for ActivityError {
    /// The failure's type is the error's, its details the error object.
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
