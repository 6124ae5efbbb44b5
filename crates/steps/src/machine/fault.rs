//! Errors of a run: problem details (RFC 9457) with the specification's types.

use almanac_jq::error_type::{self, TYPES};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::language::ErrorFilter;

/// An error of a run or a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{} (status {status}{}){}", .title.as_deref().unwrap_or(.kind), .instance.as_ref().map(|at| format!(", at {at}")).unwrap_or_default(), .detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default())]
pub struct Fault {
    /// The URI of the error's type.
    #[serde(rename = "type")]
    pub kind: String,
    pub status: u16,
    /// A short summary of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A description of this occurrence of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The path of the task: a JSON pointer. The interpreter fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

/// The error types of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standard {
    /// The definition or the worker's configuration asks for something that is impossible.
    Configuration,
    /// Data does not satisfy its schema.
    Validation,
    /// An expression failed, or its result has the wrong type.
    Expression,
    /// The caller or the credentials were not accepted.
    Authentication,
    /// The caller does not have the permission.
    Authorization,
    /// A limit of time has passed.
    Timeout,
    /// A service could not be reached, or it answered with an error.
    Communication,
    /// Any other error of a run.
    Runtime,
}

impl Standard {
    /// All error types of the specification.
    pub const ALL: [Self; 8] = [
        Self::Configuration,
        Self::Validation,
        Self::Expression,
        Self::Authentication,
        Self::Authorization,
        Self::Timeout,
        Self::Communication,
        Self::Runtime,
    ];

    const fn parts(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Configuration => ("configuration", 400, "Configuration Error"),
            Self::Validation => ("validation", 400, "Validation Error"),
            Self::Expression => ("expression", 400, "Expression Error"),
            Self::Authentication => ("authentication", 401, "Authentication Error"),
            Self::Authorization => ("authorization", 403, "Authorization Error"),
            Self::Timeout => ("timeout", 408, "Timeout Error"),
            Self::Communication => ("communication", 500, "Communication Error"),
            Self::Runtime => ("runtime", 500, "Runtime Error"),
        }
    }

    /// The URI of this error type.
    pub fn kind(self) -> String {
        format!("{TYPES}{}", self.parts().0)
    }

    /// Creates an error of this type, with the type's status and title.
    pub fn fault(self, detail: impl Into<String>) -> Fault {
        let (_, status, title) = self.parts();
        Fault {
            kind: self.kind(),
            status,
            title: Some(title.to_owned()),
            detail: Some(detail.into()),
            instance: None,
        }
    }

    /// Returns the standard type that a type URI names, in any of the URI's forms.
    fn of(kind: &str) -> Option<Self> {
        let name = error_type::name(kind)?;
        Self::ALL
            .into_iter()
            .find(|standard| standard.parts().0 == name)
    }
}

/// Maximum length of each text of an error, in characters. Errors are stored in histories.
const LONGEST: usize = 2000;

/// Returns a text shortened to the maximum length of the texts of errors.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

impl Fault {
    /// Returns the error with its texts shortened, so that they fit into histories.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        let texts = [&mut self.title, &mut self.detail, &mut self.instance];
        for text in texts.into_iter().flatten().chain([&mut self.kind]) {
            if text.len() > LONGEST {
                *text = shortened(text);
            }
        }
        self
    }

    /// Returns the error in the form that expressions see.
    pub(super) fn value(&self) -> Value {
        // The error is plain data with string keys, so serializing it does not fail.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Returns `true` if the error has the properties of a filter.
    pub(super) fn matches(&self, filter: &ErrorFilter) -> bool {
        let ErrorFilter {
            kind,
            status,
            instance,
            title,
            detail,
        } = filter;
        let same =
            |wanted: &Option<String>, value: &Option<String>| wanted.is_none() || wanted == value;
        kind.as_ref().is_none_or(|kind| self.has_type(kind))
            && status.is_none_or(|status| status == self.status)
            && same(instance, &self.instance)
            && same(title, &self.title)
            && same(detail, &self.detail)
    }

    fn has_type(&self, wanted: &str) -> bool {
        let standard = Standard::of(wanted);
        wanted == self.kind || (standard.is_some() && standard == Standard::of(&self.kind))
    }
}
