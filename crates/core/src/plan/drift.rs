//! Drift of a single described schedule, for views.

use std::collections::BTreeSet;

use super::overrides;
use crate::field::Field;
use crate::record::{ActionMemo, Override};
use crate::schedule::{Desired, Live, LiveMemo, base_of};

/// The fields of a schedule that differ from the values that Almanac last wrote.
///
/// If another client replaced the schedule's action, these values are lost. Then `desired`,
/// under `overridden`, takes their place, as in a pass. `None` if that is not known either, or
/// if a newer release wrote the schedule.
pub fn drifted_fields(
    live: &Live,
    desired: Option<&Desired>,
    overridden: Option<&Override>,
) -> Option<BTreeSet<Field>> {
    match &live.memo {
        LiveMemo::Newer(_) => None,
        LiveMemo::Readable(memo) => since_written(live, memo),
        LiveMemo::Missing => {
            let desired = desired?;
            let expected = overrides::expected(&desired.values, overridden);
            let differs = |field: &Field| match field {
                // Only Almanac writes its memo into the action.
                Field::Action => true,
                Field::Paused => desired.values.paused && !live.values.paused,
                _ => !live.agrees(&expected, *field),
            };
            Some(Field::ALL.into_iter().filter(differs).collect())
        }
    }
}

/// The fields that differ from the hashes in the memo, or from the override there. A pause is
/// not drift.
fn since_written(live: &Live, memo: &ActionMemo) -> Option<BTreeSet<Field>> {
    let base = base_of(memo.v, &live.values)?;
    let set = memo.overridden.as_ref();
    let expected = overrides::expected(&live.values, set);
    let is_set = |field: Field| match field {
        Field::Times | Field::Intervals => set.is_some_and(|set| set.cron.is_some()),
        Field::Timezone => set.is_some_and(|set| set.timezone.is_some()),
        _ => false,
    };
    let differs = |field: &Field| match *field {
        Field::Paused => false,
        // The number of remaining actions decreases with each run, so only the presence of a
        // limit is compared.
        Field::MaxActions => live.remaining_actions.is_some() != memo.base.contains_key(field),
        field if is_set(field) => live.values.value(field) != expected.value(field),
        _ => base.get(field) != memo.base.get(field),
    };
    Some(Field::ALL.into_iter().filter(differs).collect())
}
