//! Errors of a run: problems (RFC 9457) of the specification's types.

use almanac_jq::error_type::{self, TYPES};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::language::ErrorFilter;

/// An error of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{} (status {status}{}){}", .title.as_deref().unwrap_or(.kind), .instance.as_ref().map(|at| format!(", at {at}")).unwrap_or_default(), .detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default())]
pub struct Fault {
    /// The type's URI.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status.
    pub status: u16,
    /// A summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The task: a JSON pointer. The interpreter fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

/// The specification's own errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standard {
    /// What the definition or the worker's configuration says cannot be.
    Configuration,
    /// Data does not satisfy its schema.
    Validation,
    /// An expression failed, or gave something of the wrong type.
    Expression,
    /// Nobody is who they should be.
    Authentication,
    /// Somebody may not.
    Authorization,
    /// A limit of time has passed.
    Timeout,
    /// A service could not be reached, or answered with an error.
    Communication,
    /// Anything else.
    Runtime,
}

impl Standard {
    /// Each of them.
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

    /// The URI of this type.
    pub fn kind(self) -> String {
        format!("{TYPES}{}", self.parts().0)
    }

    /// An error of this type, with its own status and title.
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

    /// The specification's own error that a type names, in any of its forms.
    fn of(kind: &str) -> Option<Self> {
        let name = error_type::name(kind)?;
        Self::ALL
            .into_iter()
            .find(|standard| standard.parts().0 == name)
    }
}

/// The longest text of an error, in characters: errors go into histories.
const LONGEST: usize = 2000;

/// A text that is no longer than those of errors.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

impl Fault {
    /// With texts that fit into histories.
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

    /// As expressions see it.
    pub(super) fn value(&self) -> Value {
        // Plain data with text for keys.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Whether it has the properties that a filter asks for.
    pub(super) fn matches(&self, filter: &ErrorFilter) -> bool {
        let ErrorFilter {
            kind,
            status,
            instance,
            title,
            detail,
        } = filter;
        let same =
            |wanted: &Option<String>, given: &Option<String>| wanted.is_none() || wanted == given;
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
