//! Hashes of a schedule's values.

use super::ScheduleValues;
use crate::field::{Base, Field, FieldHash, HASH_VERSION, digest};

/// Base of `values`, with hashes of version `v`. `None` if this release does not know `v`.
pub fn base_of(v: u32, values: &ScheduleValues) -> Option<Base> {
    (v == HASH_VERSION).then(|| {
        Field::ALL
            .into_iter()
            .map(|field| (field, values.value(field)))
            .filter(|(field, value)| *value != ScheduleValues::default_value(*field))
            .map(|(field, value)| (field, FieldHash(digest(&value, 8))))
            .collect()
    })
}
