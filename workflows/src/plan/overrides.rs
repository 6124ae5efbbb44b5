//! What operators set over the YAML: which of it is in force, and what it
//! makes of the expected values.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Policy;
use crate::record::{ActionMemo, Override};
use crate::schedule::{Desired, Field, Live, ScheduleValues};
use crate::times::compile_cron;

/// An override after the rules that end it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Effective {
    /// What is left of it.
    pub(super) in_force: Option<Override>,
    /// It comes from the workflow's state: the schedule's memo had lost it.
    pub(super) restored: bool,
    /// The fields whose override ends now.
    pub(super) ended_fields: BTreeSet<Field>,
    /// Why.
    pub(super) ended: Option<String>,
    /// The paused state that an ending override of `enabled` found.
    pub(super) restore_paused: Option<bool>,
}

/// Whether an override's time is out.
pub(super) fn is_over(one: &Override, now: Timestamp) -> bool {
    one.until.is_some_and(|until| until <= now)
}

/// The values that are expected under an override; `paused` is left alone.
pub(super) fn expected(values: &ScheduleValues, overridden: Option<&Override>) -> ScheduleValues {
    let mut values = values.clone();
    let Some(one) = overridden else {
        return values;
    };
    if let Some(cron) = &one.cron {
        let compiled: Vec<_> = cron
            .iter()
            .filter_map(|text| compile_cron(text).ok())
            .collect();
        // One that does not compile (another release accepted it) is not applied.
        if compiled.len() == cron.len() {
            values.spec.calendars = compiled
                .iter()
                .flat_map(|one| one.calendars.iter().copied())
                .collect();
            values.spec.intervals = compiled
                .iter()
                .flat_map(|one| one.intervals.iter().copied())
                .collect();
        }
    }
    if let Some(timezone) = &one.timezone {
        values.spec.timezone.clone_from(timezone);
    }
    values
}

/// Applies the rules that end an override. The memo's copy is the one that
/// was written together with the change, so it counts where it can be read;
/// where it was lost, the workflow's copy restores it.
pub(super) fn effective(
    desired: &Desired,
    live: &Live,
    memo: Option<&ActionMemo>,
    changed: &BTreeSet<Field>,
    policy: &Policy<'_>,
) -> Effective {
    let restored = memo.is_none();
    let stored = match memo {
        Some(memo) => memo.overridden.as_ref(),
        None => policy.overrides.get(&desired.definition),
    };
    let Some(stored) = stored else {
        return Effective::default();
    };
    let mut effective = Effective {
        in_force: Some(stored.clone()),
        restored,
        ..Effective::default()
    };
    let by_hand = !restored && stored.enabled == Some(live.values.paused);
    if by_hand {
        effective.end(&[Field::Paused], "a later hand changed the paused state");
        effective.restore_paused = None;
    }
    if is_over(stored, policy.now) {
        effective.end(&Field::ALL, "the override's time is over");
    }
    let changed: Vec<_> = changed.iter().copied().collect();
    effective.end(&changed, "the definition changed what was overridden");
    effective
}

impl Effective {
    fn end(&mut self, fields: &[Field], reason: &str) {
        let Some(one) = &mut self.in_force else {
            return;
        };
        let mut ended = BTreeSet::new();
        if fields.contains(&Field::Paused) && one.enabled.take().is_some() {
            ended.insert(Field::Paused);
            self.restore_paused = one.found_paused.take();
        }
        let times = [Field::Times, Field::Intervals];
        if times.iter().any(|field| fields.contains(field)) && one.cron.take().is_some() {
            ended.extend(times);
        }
        if fields.contains(&Field::Timezone) && one.timezone.take().is_some() {
            ended.insert(Field::Timezone);
        }
        if ended.is_empty() {
            return;
        }
        self.ended.get_or_insert_with(|| reason.to_owned());
        self.ended_fields.extend(ended);
        if one.enabled.is_none() && one.cron.is_none() && one.timezone.is_none() {
            self.in_force = None;
        }
    }
}
