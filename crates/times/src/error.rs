//! Errors and warnings about a text or a spec.

/// A mistake for which the server would refuse a text or a spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TimesError {
    /// Description of the mistake: lower-case, names the field and the bad value, ends without a
    /// period.
    pub message: String,
    /// Advice on how to correct the mistake.
    pub hint: Option<String>,
    /// Place of the mistake in the text, in characters from 0.
    pub offset: Option<usize>,
}

/// A doubtful part of a spec, which the server accepts but a person almost never means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimesWarning {
    /// Description of the doubt: lower-case, names the field and the value, ends without a period.
    pub message: String,
    /// Advice on how to remove the doubt.
    pub hint: Option<String>,
    /// Place of the doubtful part in the text, in characters from 0.
    pub offset: Option<usize>,
}

impl TimesError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            offset: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn at(mut self, offset: usize) -> Self {
        self.offset = Some(offset);
        self
    }

    /// The same error, with its place moved by `by` characters.
    pub(super) fn shifted(mut self, by: usize) -> Self {
        self.offset = self.offset.map(|offset| offset + by);
        self
    }
}

impl TimesWarning {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: Some(hint.into()),
            offset: None,
        }
    }

    pub(super) fn at(mut self, offset: usize) -> Self {
        self.offset = Some(offset);
        self
    }
}
