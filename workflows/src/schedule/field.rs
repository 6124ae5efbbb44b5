//! The fields that are compared, and their hashes.

use serde::{Deserialize, Serialize};

/// The version of the hashes that this release writes. A release computes
/// every version that was ever released.
pub const HASH_VERSION: u32 = 1;

/// One compared field of a schedule. The name is the one in reports, metrics
/// and memos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are section 6 of the contract")]
pub enum Field {
    Times,
    Intervals,
    Exclude,
    Timezone,
    StartAt,
    EndAt,
    Jitter,
    OverlapPolicy,
    CatchupWindow,
    PauseOnFailure,
    MaxActions,
    Paused,
    Input,
    Definition,
    Action,
}

impl Field {
    /// Every field, in the order they are reported.
    pub const ALL: [Self; 15] = [
        Self::Times,
        Self::Intervals,
        Self::Exclude,
        Self::Timezone,
        Self::StartAt,
        Self::EndAt,
        Self::Jitter,
        Self::OverlapPolicy,
        Self::CatchupWindow,
        Self::PauseOnFailure,
        Self::MaxActions,
        Self::Paused,
        Self::Input,
        Self::Definition,
        Self::Action,
    ];
}

/// The first 8 hexadecimal digits of the SHA-256 of a field's value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldHash(pub String);
