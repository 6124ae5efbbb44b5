//! The compared fields of a schedule, and their hashes.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Version of the hashes that this release writes. A release can compute every version that was
/// ever released.
pub const HASH_VERSION: u32 = 1;

/// A compared field of a schedule. Reports, metrics and memos use this name.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
// docs/contract.md#6-what-is-compared-and-what-is-done describes the names.
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
    /// A field of a newer release, read from a memo or a report.
    #[serde(other)]
    Unknown,
}

/// The first 8 hexadecimal digits of the SHA-256 of a field's value.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct FieldHash(pub String);

/// A hash for each field whose value is not the default.
pub type Base = BTreeMap<Field, FieldHash>;

impl Field {
    /// All fields, in the order in which they are reported.
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

    /// Name of the field, as in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Times => "times",
            Self::Intervals => "intervals",
            Self::Exclude => "exclude",
            Self::Timezone => "timezone",
            Self::StartAt => "start_at",
            Self::EndAt => "end_at",
            Self::Jitter => "jitter",
            Self::OverlapPolicy => "overlap_policy",
            Self::CatchupWindow => "catchup_window",
            Self::PauseOnFailure => "pause_on_failure",
            Self::MaxActions => "max_actions",
            Self::Paused => "paused",
            Self::Input => "input",
            Self::Definition => "definition",
            Self::Action => "action",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The first `length` hexadecimal digits of the SHA-256 of `value` as JSON
/// with sorted keys and no white space.
pub fn digest(value: &Value, length: usize) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    // A copy: a truncated string would keep the memory of all 64 digits.
    hex::encode(Sha256::digest(text.as_bytes()))[..length].to_owned()
}

/// Writes JSON with sorted keys. The map's own order is not used, because another crate may turn on
/// `serde_json`'s `preserve_order`.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            out.push('{');
            for (index, (key, item)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                // Writing to a string cannot fail.
                write!(out, "{}:", Value::from(key.as_str())).unwrap_or_default();
                write_canonical(item, out);
            }
            out.push('}');
        }
        scalar => write!(out, "{scalar}").unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn digests_do_not_depend_on_the_order_of_keys() {
        let one: Value =
            serde_json::from_str(r#"{"a": 1, "b": {"d": [1, 2], "c": null}}"#).unwrap();
        let other: Value =
            serde_json::from_str(r#"{"b": {"c": null, "d": [1, 2]}, "a": 1}"#).unwrap();
        assert_eq!(digest(&one, 64), digest(&other, 64));
        assert_ne!(digest(&one, 64), digest(&json!({"a": 1}), 64));
    }

    #[test]
    fn every_field_is_named_as_it_is_serialized() {
        for field in Field::ALL {
            assert_eq!(serde_json::to_value(field).unwrap(), json!(field.as_str()));
        }
    }

    #[test]
    fn a_field_of_a_newer_release_is_read() {
        let field: Field = serde_json::from_value(json!("colour")).unwrap();
        assert_eq!(field, Field::Unknown);
    }
}
