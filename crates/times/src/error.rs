//! What is wrong, or doubtful, about a text or a spec.

/// Why the server would refuse it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TimesError {
    /// Lower-case, names the field and the bad value, ends without a period.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the text, in characters from 0.
    pub offset: Option<usize>,
}

/// What the server takes, but a person almost never means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimesWarning {
    /// Lower-case, names the field and the value, ends without a period.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the text, in characters from 0.
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

    /// The same error, its place moved by `by` characters.
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
