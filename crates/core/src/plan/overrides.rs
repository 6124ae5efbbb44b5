//! Determines which override is in force, and its effect on the expected values.

use std::borrow::Cow;
use std::collections::BTreeSet;

use almanac_times::compile_cron;
use jiff::Timestamp;

use super::Policy;
use crate::field::Field;
use crate::record::{ActionMemo, Flag, OperatorRequest, Override};
use crate::schedule::{Desired, Live, Note, ScheduleValues};

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
    pub(super) requested: Option<RequestedOverride>,
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
    let request = policy.requests.get(&desired.definition);
    if let Some(request) = request.filter(|request| !is_done(request, stored)) {
        return apply_request(request, desired, live, memo, stored);
    }
    let Some(stored) = stored else {
        return EffectiveOverride::default();
    };
    let mut effective = EffectiveOverride {
        in_force: Some(stored.clone()),
        restored,
        ..EffectiveOverride::default()
    };
    let is_orphan_pause = memo.is_some_and(|memo| memo.flags.contains(&Flag::OrphanPaused));
    let is_own_pause = is_orphan_pause || is_paused_by_almanac(live, memo);
    let paused_state_changed =
        !restored && !is_own_pause && stored.enabled == Some(live.values.paused);
    if paused_state_changed {
        let workflow_id = policy.project.run_workflow_id(&desired.definition);
        let is_failure = live.values.paused && Note::read(&live.note).is_failure_of(&workflow_id);
        let reason = if is_failure {
            "the server paused the schedule after a failed run"
        } else {
            "a later manual change set the paused state"
        };
        effective.end(&[Field::Paused], reason);
        effective.restore_paused = None;
    }
    if is_over(stored, policy.now) {
        effective.end(&Field::ALL, "the override has expired");
    }
    let changed: Vec<_> = changed.iter().copied().collect();
    effective.end(&changed, "the definition changed an overridden field");
    effective
}

/// Returns `true` if Almanac itself holds the schedule paused: because its actions are used up, or
/// until it takes over from an unmanaged schedule.
pub(super) fn is_held_by_almanac(flags: &BTreeSet<Flag>) -> bool {
    flags.contains(&Flag::Finished) || flags.contains(&Flag::Adopting)
}

/// Returns `true` if the schedule is paused, and Almanac itself holds it so.
fn is_paused_by_almanac(live: &Live, memo: Option<&ActionMemo>) -> bool {
    live.values.paused && memo.is_some_and(|memo| is_held_by_almanac(&memo.flags))
}

/// Returns `true` if a pass has already written this request and its report was lost. An
/// override that was in force before has an earlier number.
fn is_done(request: &OperatorRequest, stored: Option<&Override>) -> bool {
    request.overridden.is_some()
        && stored.is_some_and(|one| (one.at, one.order) == (request.at, request.number))
}

/// Applies an operator's request, which ends the override that was in force before.
fn apply_request(
    request: &OperatorRequest,
    desired: &Desired,
    live: &Live,
    memo: Option<&ActionMemo>,
    stored: Option<&Override>,
) -> EffectiveOverride {
    let mut next = request.overridden.clone();
    // If a manual change has replaced the override, its state counts as the state before the
    // request.
    let is_own_pause = is_paused_by_almanac(live, memo);
    let is_in_force = |one: &&Override| {
        one.enabled == Some(!live.values.paused) || (is_own_pause && one.enabled.is_some())
    };
    let held = stored.filter(is_in_force);
    // A pause by Almanac itself ends by itself, so it is not the state before the request.
    let present = if is_own_pause {
        let is_flagged = memo.is_some_and(|memo| memo.flags.contains(&Flag::PausedBefore));
        is_flagged || desired.values.paused
    } else {
        live.values.paused
    };
    let found = held.and_then(|one| one.found_paused).unwrap_or(present);
    let mut paused = None;
    if request.unpause {
        paused = Some(false);
        let mut by_yaml = next.take().unwrap_or_else(|| Override {
            reason: request.reason.clone(),
            by: request.by.clone(),
            at: request.at,
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
    if request.unpause {
        fields.insert(Field::Paused);
    }
    let cleared = stored.is_some() && next.is_none();
    EffectiveOverride {
        in_force: next,
        ended: cleared.then(|| format!("cleared by {}", request.by)),
        requested: Some(RequestedOverride {
            fields,
            paused,
            unpauses: request.unpause,
        }),
        ..EffectiveOverride::default()
    }
}

fn sets_nothing(one: &Override) -> bool {
    one.enabled.is_none() && one.cron.is_none() && one.timezone.is_none()
}

impl EffectiveOverride {
    /// Returns `true` if an operator's request is about this field.
    pub(super) fn is_requested(&self, field: Field) -> bool {
        self.requested
            .as_ref()
            .is_some_and(|requested| requested.fields.contains(&field))
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
