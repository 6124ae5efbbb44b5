//! Reasons for an evaluation to end early.

use super::meter::Limit;
use super::value::Val;

/// Result of a part of an evaluation: it ran to its end, or stopped early.
pub(super) type Flow = Result<(), Stop>;

/// Reason for an early end.
#[derive(Debug, Clone)]
pub(super) enum Stop {
    /// An error of the expression, which `try` catches.
    Error(Val),
    /// A `break` that ends the `label` with this number.
    Break(u64),
    /// An exceeded limit, which `try` cannot catch.
    Exceeded(Limit),
    /// The receiver of an output needs no more. It has stored the reason.
    Abandoned,
}

impl Stop {
    pub(super) fn error(message: impl AsRef<str>) -> Self {
        Self::Error(Val::text(message.as_ref()))
    }
}
