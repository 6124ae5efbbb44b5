//! Filters of the list.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Entry, PassEntry};

/// The entries that are shown. All parts must match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntryFilter {
    /// Only entries of this kind.
    pub kind: Option<KindFilter>,
    /// Only requests of people with this text in their name, in upper or lower case, and the
    /// manual runs of these people that failed.
    pub by: Option<String>,
    /// Only entries about definitions with this text in their id, in upper or lower case.
    pub definition: Option<String>,
}

/// Kinds of entries. An entry may be of several kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KindFilter {
    /// All passes, also those without changes and new errors.
    Passes,
    /// Passes with changes or new errors.
    Changes,
    /// Requests of people.
    Requests,
    /// Manual runs: the requests, and the runs that failed or were lost.
    Runs,
    /// Requests for overrides and pauses, and for their end.
    Overrides,
    /// Reloads of the files of this process.
    Reloads,
    /// Passes with new errors, manual runs that failed or were lost, and reloads that failed or
    /// after which further documents are invalid.
    Failures,
}

impl KindFilter {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Passes,
        Self::Changes,
        Self::Requests,
        Self::Runs,
        Self::Overrides,
        Self::Reloads,
        Self::Failures,
    ];

    /// The name of the kind in addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passes => "passes",
            Self::Changes => "changes",
            Self::Requests => "requests",
            Self::Runs => "runs",
            Self::Overrides => "overrides",
            Self::Reloads => "reloads",
            Self::Failures => "failures",
        }
    }

    fn matches(self, entry: &Entry) -> bool {
        match entry {
            Entry::Pass(pass) => match self {
                Self::Passes => true,
                Self::Changes => !pass.is_quiet(),
                Self::Failures => pass.has_new_errors(),
                Self::Requests | Self::Runs | Self::Overrides | Self::Reloads => false,
            },
            Entry::Request(request) => match self {
                Self::Requests => true,
                Self::Runs => request.is_of_manual_run(),
                Self::Overrides => {
                    matches!(
                        request.op.as_str(),
                        "override" | "clear_override" | "unpause"
                    )
                }
                Self::Passes | Self::Changes | Self::Reloads | Self::Failures => false,
            },
            Entry::FailedRun(_) => matches!(self, Self::Runs | Self::Failures),
            Entry::Reload(reload) => match self {
                Self::Reloads => true,
                Self::Failures => reload.is_failure(),
                Self::Passes | Self::Changes | Self::Requests | Self::Runs | Self::Overrides => {
                    false
                }
            },
        }
    }
}

impl EntryFilter {
    /// The entry with the changes and errors that match; `None` if the entry does not match.
    pub(super) fn shown(&self, entry: &Entry) -> Option<Entry> {
        if !self.kind.is_none_or(|kind| kind.matches(entry)) {
            return None;
        }
        let by = text(self.by.as_ref());
        if by.is_some_and(|by| !has(entry.by(), &by)) {
            return None;
        }
        let Some(definition) = text(self.definition.as_ref()) else {
            return Some(entry.clone());
        };
        match entry {
            Entry::Pass(pass) => {
                let pass = about(pass, &definition);
                (!pass.changes.is_empty() || !pass.errors.is_empty()).then_some(Entry::Pass(pass))
            }
            Entry::Request(one) | Entry::FailedRun(one) => {
                has(&one.id, &definition).then(|| entry.clone())
            }
            Entry::Reload(reload) => {
                let mut names = reload.changes.names();
                names
                    .any(|name| has(name, &definition))
                    .then(|| entry.clone())
            }
        }
    }
}

/// The text that is searched for, in lower case; `None` if it is empty.
fn text(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
        .map(|text| text.to_lowercase())
}

fn has(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(part)
}

/// The pass with the changes and errors about these definitions.
fn about(pass: &PassEntry, definition: &str) -> PassEntry {
    let mut shown = pass.clone();
    let all = shown.changes.len() + shown.errors.len();
    shown.changes.retain(|change| has(&change.id, definition));
    shown
        .errors
        .retain(|error| error.id.as_ref().is_some_and(|id| has(id, definition)));
    let left = all - shown.changes.len() - shown.errors.len();
    shown.left_out = shown.left_out.saturating_add(left as u64);
    shown
}
