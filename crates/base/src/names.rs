//! The names Almanac uses in Temporal, and the identifiers they are made of.
//!
//! A value of one of these types is always well formed: parsing is the only way to make one
//! from text.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The workflow type that reconciles a project's schedules.
pub const RECONCILE_WORKFLOW: &str = "ReconcileSchedules";
/// The workflow type that follows the runs of a project's definitions.
pub const FOLLOW_WORKFLOW: &str = "FollowRuns";
/// The workflow type that runs a definition's steps.
pub const RUN_WORKFLOW: &str = "RunDefinition";

/// Key of each memo that Almanac writes.
pub const MEMO_KEY: &str = "almanac";
/// Name of a W3C trace context: a header, an attribute of events, and a member of memos. In the memo of
/// an action, it is that of the operation that wrote the schedule; in the memo of a run that an event
/// started, that of the start. Almanac writes it only if the worker exports traces, and compares it
/// with nothing. Senders of events may write it, too.
pub const TRACEPARENT: &str = "traceparent";
/// Attribute of the span of a run: how the run ended. A span without it ended because the process
/// dropped the run from memory.
pub const RUN_OUTCOME: &str = "almanac.outcome";
/// Key in the metadata of payloads that no codec encodes: the memos that Almanac writes, which other
/// programs and later releases read without a key. It is never sent.
pub const READABLE: &str = "almanac-readable";
/// Key in the metadata of payloads that the worker's codec has decoded, with their encryption. It is
/// never sent.
pub const ENCRYPTION: &str = "almanac-encryption";
/// Key in the metadata of payloads that the worker's codec could not decode, with the reason. It is
/// never sent.
pub const UNDECODED: &str = "almanac-undecoded";

/// A name that breaks its rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A project name outside `^[a-z0-9]([a-z0-9-]*[a-z0-9])?$` or over 40 characters.
    #[error(
        "project `{0}` must be 1 to 40 of a-z, 0-9 and `-`, and begin and end with a letter or digit"
    )]
    Project(String),
    /// A definition id outside `^[a-z0-9][a-z0-9._-]*$` or over 128 characters.
    #[error(
        "id `{0}` must be 1 to 128 of a-z, 0-9, `.`, `_` and `-`, and begin with a letter or digit"
    )]
    Definition(String),
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
        #[schema(value_type = String)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

macro_rules! deserialize_by_parsing {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! deserialize_any_text {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self(String::deserialize(deserializer)?.into()))
            }
        }
    };
}

text_type! {
    /// A project. The project and the namespace separate the sets of schedules.
    Project
}
text_type! {
    /// The id of a definition, unique within a project.
    DefinitionId
}
text_type! {
    /// The id of a schedule in Temporal.
    #[derive(Default)]
    ScheduleId
}
text_type! {
    /// A digest of contents: of one definition or of a whole registry.
    #[derive(Default)]
    Revision
}
text_type! {
    /// Id of one worker process, different at every start.
    WorkerId
}
deserialize_by_parsing!(Project);
deserialize_by_parsing!(DefinitionId);
deserialize_any_text!(Revision);
deserialize_any_text!(ScheduleId);
deserialize_any_text!(WorkerId);

impl FromStr for Project {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let good = (1..=40).contains(&text.len())
            && text
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !text.starts_with('-')
            && !text.ends_with('-');
        if good {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Project(text.to_owned()))
        }
    }
}

impl FromStr for DefinitionId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let good = (1..=128).contains(&text.len())
            && text
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
            && text.as_bytes()[0].is_ascii_alphanumeric();
        if good {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Definition(text.to_owned()))
        }
    }
}

/// Returns `true` if a secret in a worker's configuration can have this name.
pub fn is_secret_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.chars().all(good)
}

impl Project {
    /// Prefix of every schedule id of this project. The prefix does not prove that a schedule
    /// belongs to the project: ids of other projects may begin with it too.
    pub fn schedule_prefix(&self) -> String {
        format!("schedule-{self}-")
    }

    /// The id of a definition's schedule.
    pub fn schedule_id(&self, definition: &DefinitionId) -> ScheduleId {
        ScheduleId(format!("schedule-{self}-{definition}").into())
    }

    /// The definition whose schedule would have the id `id` in this project.
    pub fn definition_of(&self, id: &ScheduleId) -> Option<DefinitionId> {
        id.as_str()
            .strip_prefix(&self.schedule_prefix())?
            .parse()
            .ok()
    }

    /// The id of the workflows that a definition's schedule starts. The server appends the time.
    pub fn run_workflow_id(&self, definition: &DefinitionId) -> String {
        format!("{self}/{definition}")
    }

    /// The id of the project's reconcile workflow.
    pub fn reconcile_workflow_id(&self) -> String {
        format!("almanac/{self}/reconcile")
    }

    /// The id of the workflow that follows the runs of the project's definitions.
    pub fn follow_workflow_id(&self) -> String {
        format!("almanac/{self}/follow")
    }

    /// The task queue of `RunDefinition` and its activities.
    pub fn run_queue(&self) -> String {
        format!("almanac-{self}")
    }

    /// The task queue of the reconcile workflow.
    pub fn reconcile_queue(&self) -> String {
        format!("almanac-{self}-reconcile")
    }

    /// The task queue of work that needs the files of one worker process.
    pub fn worker_queue(&self, worker: &WorkerId) -> String {
        format!("almanac-{self}-{worker}")
    }
}

impl ScheduleId {
    /// Takes an id as the server gave it, of a managed or an unmanaged schedule.
    pub fn from_server(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }
}

impl Revision {
    /// Computes the revision of contents: the first 16 hexadecimal digits of their SHA-256.
    pub fn of(contents: &[u8]) -> Self {
        use sha2::{Digest, Sha256};
        Self(hex::encode(&Sha256::digest(contents)[..8]).into())
    }
}

impl WorkerId {
    /// Takes an id that the process made at its start.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }
}
