//! Determines which override is in force, and its effect on the expected values.

use std::borrow::Cow;
use std::collections::BTreeSet;

use almanac_times::compile_cron;
use jiff::Timestamp;

use super::Policy;
use crate::field::Field;
use crate::record::{ActionMemo, Flag, OperatorRequest, Override};
use crate::schedule::{Desired, Live, ScheduleValues};

/// An override after the rules that end overrides.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct EffectiveOverride {
    /// The part of the override that is still in force.
    pub(super) in_force: Option<Override>,
    /// The override comes from the reconcile workflow's state, because the schedule's memo had
    /// lost it.
    pub(super) restored: bool,
    /// Fields whose override ends now.
    pub(super) ended_fields: BTreeSet<Field>,
    /// Reason why the override ends.
    pub(super) ended: Option<String>,
    /// The paused state from before an override of `enabled` that ends.
    pub(super) restore_paused: Option<bool>,
    /// The operator's request that is applied now.
    pub(super) ordered: Option<RequestedOverride>,
}

/// The effect of an operator's request.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct RequestedOverride {
    /// Fields that the request is about. These are written whatever value they have.
    pub(super) fields: BTreeSet<Field>,
    /// The paused state that the request asks for, if any.
    pub(super) paused: Option<bool>,
    /// The request ends every pause, and removes the memory of earlier pauses.
    pub(super) unpauses: bool,
}

/// Returns `true` if the override has expired.
pub(super) fn is_over(one: &Override, now: Timestamp) -> bool {
    one.until.is_some_and(|until| until <= now)
}

/// The values that are expected under an override. `paused` is not changed.
pub(super) fn expected<'a>(
    values: &'a ScheduleValues,
    overridden: Option<&Override>,
) -> Cow<'a, ScheduleValues> {
    let Some(one) = overridden else {
        return Cow::Borrowed(values);
    };
    let mut values = values.clone();
    if let Some(cron) = &one.cron {
        let compiled: Vec<_> = cron
            .iter()
            .filter_map(|text| compile_cron(text).ok())
            .collect();
        // A cron expression that does not compile is not applied. Another release may have
        // accepted it.
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
    Cow::Owned(values)
}

/// Applies the rules that end an override.
///
/// The copy in the memo was written together with the change, so it counts if it can be read.
/// If it was lost, the reconcile workflow's copy restores it.
pub(super) fn effective(
    desired: &Desired,
    live: &Live,
    memo: Option<&ActionMemo>,
    changed: &BTreeSet<Field>,
    policy: &Policy<'_>,
) -> EffectiveOverride {
    let restored = memo.is_none();
    let stored = match memo {
        Some(memo) => memo.overridden.as_ref(),
        None => policy.overrides.get(&desired.definition),
    };
    let order = policy.orders.get(&desired.definition);
    if let Some(order) = order.filter(|order| !is_done(order, stored)) {
        return ordered(order, desired, live, stored);
    }
    let Some(stored) = stored else {
        return EffectiveOverride::default();
    };
    let mut effective = EffectiveOverride {
        in_force: Some(stored.clone()),
        restored,
        ..EffectiveOverride::default()
    };
    // Almanac itself paused the schedule while its definition was gone.
    let is_orphan_pause = memo.is_some_and(|memo| memo.flags.contains(&Flag::OrphanPaused));
    let by_hand = !restored && !is_orphan_pause && stored.enabled == Some(live.values.paused);
    if by_hand {
        effective.end(
            &[Field::Paused],
            "a later manual change set the paused state",
        );
        effective.restore_paused = None;
    }
    if is_over(stored, policy.now) {
        effective.end(&Field::ALL, "the override has expired");
    }
    let changed: Vec<_> = changed.iter().copied().collect();
    effective.end(&changed, "the definition changed an overridden field");
    effective
}

/// Returns `true` if a pass has already written this request and its report was lost. An
/// override that was in force before has an earlier number.
fn is_done(order: &OperatorRequest, stored: Option<&Override>) -> bool {
    order.overridden.is_some()
        && stored.is_some_and(|one| (one.at, one.order) == (order.at, order.number))
}

/// Applies an operator's request, which ends the override that was in force before.
fn ordered(
    order: &OperatorRequest,
    desired: &Desired,
    live: &Live,
    stored: Option<&Override>,
) -> EffectiveOverride {
    let mut next = order.overridden.clone();
    // If a manual change has replaced the override, its state counts as the state before the
    // request.
    let held = stored.filter(|one| one.enabled == Some(!live.values.paused));
    let found = held
        .and_then(|one| one.found_paused)
        .unwrap_or(live.values.paused);
    let mut paused = None;
    if order.unpause {
        paused = Some(false);
        let mut by_yaml = next.take().unwrap_or_else(|| Override {
            reason: order.reason.clone(),
            by: order.by.clone(),
            at: order.at,
            ..Override::default()
        });
        by_yaml.enabled = desired.values.paused.then_some(true);
        next = Some(by_yaml).filter(|one| !sets_nothing(one));
    } else if let Some(enabled) = next.as_ref().and_then(|one| one.enabled) {
        paused = Some(!enabled);
    } else if held.is_some() {
        paused = Some(found);
    }
    if let Some(one) = &mut next {
        one.found_paused = one.enabled.is_some().then_some(found);
    }
    let mut fields = BTreeSet::new();
    for one in [stored, next.as_ref()].into_iter().flatten() {
        fields.extend(one.enabled.map(|_| Field::Paused));
        if one.cron.is_some() {
            fields.extend([Field::Times, Field::Intervals]);
        }
        fields.extend(one.timezone.as_ref().map(|_| Field::Timezone));
    }
    if order.unpause {
        fields.insert(Field::Paused);
    }
    let cleared = stored.is_some() && next.is_none();
    EffectiveOverride {
        in_force: next,
        ended: cleared.then(|| format!("cleared by {}", order.by)),
        ordered: Some(RequestedOverride {
            fields,
            paused,
            unpauses: order.unpause,
        }),
        ..EffectiveOverride::default()
    }
}

fn sets_nothing(one: &Override) -> bool {
    one.enabled.is_none() && one.cron.is_none() && one.timezone.is_none()
}

impl EffectiveOverride {
    /// Returns `true` if an operator's request is about this field.
    pub(super) fn orders(&self, field: Field) -> bool {
        self.ordered
            .as_ref()
            .is_some_and(|ordered| ordered.fields.contains(&field))
    }

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
        if sets_nothing(one) {
            self.in_force = None;
        }
    }
}
