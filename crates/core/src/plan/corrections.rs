//! Contested fields: fields that others change back each time that Almanac corrects them.

use std::collections::BTreeSet;

use almanac_base::names::DefinitionId;
use jiff::{SignedDuration, Timestamp};

use crate::field::Field;
use crate::record::Corrections;

/// Number of corrections within [`WINDOW`] that make a field contested.
const LIMIT: usize = 5;
/// Time within which the corrections must fall, and the wait between later attempts.
const WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// The fields of a definition's schedule that are contested now.
pub fn contested_fields(
    corrections: &Corrections,
    id: &DefinitionId,
    now: Timestamp,
) -> BTreeSet<Field> {
    corrections
        .get(id)
        .into_iter()
        .flatten()
        .filter(|(_, times)| within_window(times) && !retry_due(times, now))
        .map(|(field, _)| *field)
        .collect()
}

/// Records that `fields` were corrected at `now`, and forgets old corrections.
pub fn record_corrections(
    corrections: &mut Corrections,
    id: &DefinitionId,
    fields: &BTreeSet<Field>,
    now: Timestamp,
) {
    let known = corrections.entry(id.clone()).or_default();
    for field in fields {
        let times = known.entry(*field).or_default();
        if within_window(times) {
            // A further correction of a contested field keeps it contested for another hour.
            *times = vec![now; LIMIT];
        } else {
            times.push(now);
            let excess = times.len().saturating_sub(LIMIT);
            times.drain(..excess);
        }
    }
    corrections.retain(|_, fields| {
        fields.retain(|_, times| {
            times
                .last()
                .is_some_and(|last| now.duration_since(*last) < WINDOW * 2)
        });
        !fields.is_empty()
    });
}

fn within_window(times: &[Timestamp]) -> bool {
    match (times.first(), times.last()) {
        (Some(first), Some(last)) if times.len() >= LIMIT => last.duration_since(*first) <= WINDOW,
        _ => false,
    }
}

fn retry_due(times: &[Timestamp], now: Timestamp) -> bool {
    times
        .last()
        .is_none_or(|last| now.duration_since(*last) >= WINDOW)
}
