//! The base of a schedule: the hashes of its fields' values, with which a later pass finds
//! what changed.

use serde_json::Value;

use super::ScheduleValues;
use crate::field::{Base, Field, FieldHash, HASH_VERSION, digest};

/// Base of `values`, with hashes of version `v`. `None` if this release does not know `v`.
pub fn base_of(v: u32, values: &ScheduleValues) -> Option<Base> {
    (v == HASH_VERSION).then(|| {
        Field::ALL
            .into_iter()
            .map(|field| (field, values.value(field)))
            .filter(|(field, value)| *value != ScheduleValues::default_value(*field))
            .filter_map(|(field, value)| Some((field, hash_of(v, &value)?)))
            .collect()
    })
}

/// Hash of a field's value, of version `v`. `None` if this release does not know `v`.
pub fn hash_of(v: u32, value: &Value) -> Option<FieldHash> {
    (v == HASH_VERSION).then(|| FieldHash(digest(value, 8)))
}
