//! Why an evaluation ends before its end.

use super::meter::Limit;
use super::value::Val;

/// What a part of an evaluation answers: it went on to its end, or did not.
pub(super) type Flow = Result<(), Stop>;

/// Why it did not.
#[derive(Debug, Clone)]
pub(super) enum Stop {
    /// An error of the expression, which `try` catches.
    Error(Val),
    /// `break`, on its way to the `label` of this number.
    Break(u64),
    /// A limit. Nothing catches it.
    Exceeded(Limit),
    /// The receiver of an output wants no more; it has kept why.
    Abandoned,
}

impl Stop {
    pub(super) fn error(message: impl AsRef<str>) -> Self {
        Self::Error(Val::text(message.as_ref()))
    }
}
