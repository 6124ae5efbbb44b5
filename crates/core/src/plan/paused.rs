//! Rules for the paused state: a pass never undoes a pause by an operator or the server, and
//! neither does an edit of other fields.

use std::collections::BTreeSet;

use super::overrides::{EffectiveOverride, is_held_by_almanac};
use super::{Cause, Policy};
use crate::field::Field;
use crate::record::{ActionMemo, DriftPolicy, Flag};
use crate::schedule::{Desired, Live};

/// The paused state of a schedule after a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pause {
    /// `true` if the schedule is paused afterwards.
    pub(super) paused: bool,
    /// Reason why the paused state, its base or its flags are written; `None` if they are not.
    pub(super) cause: Option<Cause>,
    /// The flags afterwards.
    pub(super) flags: BTreeSet<Flag>,
}

impl Pause {
    /// The cause, if it is drift. Then the drift policy decides.
    pub(super) fn drift(&self) -> Option<Cause> {
        self.cause.filter(|cause| *cause == Cause::Drift)
    }
}

/// Decides the paused state of a schedule.
pub(super) fn decide(
    desired: &Desired,
    live: &Live,
    memo: Option<&ActionMemo>,
    changed: &BTreeSet<Field>,
    overridden: &EffectiveOverride,
    policy: &Policy<'_>,
) -> Pause {
    let flags = memo.map(|memo| memo.flags.clone()).unwrap_or_default();
    let pause = Pause {
        paused: live.values.paused,
        cause: None,
        flags,
    };
    by_request(changed, overridden, &pause)
        .or_else(|| by_finish(desired, live, changed, overridden, policy, &pause))
        .or_else(|| by_return(desired, changed, overridden, &pause))
        .or_else(|| by_definition(desired, live, changed, overridden, &pause))
        .or_else(|| by_override(live, overridden, &pause))
        .or_else(|| by_missing_memo(desired, memo, &pause))
        .unwrap_or(pause)
}

/// Applies an operator's request, which takes precedence over all other rules.
fn by_request(
    changed: &BTreeSet<Field>,
    overridden: &EffectiveOverride,
    pause: &Pause,
) -> Option<Pause> {
    let requested = overridden.requested.as_ref()?;
    let about = requested.fields.contains(&Field::Paused);
    let paused = requested.paused.filter(|_| about)?;
    let cause = if changed.contains(&Field::Paused) {
        Cause::Definition
    } else {
        Cause::Override
    };
    let sets = overridden.in_force.as_ref().and_then(|one| one.enabled);
    let mut next = match (requested.unpauses, sets) {
        (false, None) => pause.restored(paused, cause),
        _ => pause.with(paused, cause),
    };
    next.flags.remove(&Flag::OrphanPaused);
    if requested.unpauses {
        next.flags.remove(&Flag::PausedBefore);
        next.flags.remove(&Flag::Adopting);
    }
    Some(next)
}

/// Pauses and flags a schedule once when it has no actions left. A changed limit starts the
/// count again, so the state of the override or the YAML is restored.
fn by_finish(
    desired: &Desired,
    live: &Live,
    changed: &BTreeSet<Field>,
    overridden: &EffectiveOverride,
    policy: &Policy<'_>,
    pause: &Pause,
) -> Option<Pause> {
    let flagged = pause.flags.contains(&Flag::Finished);
    let in_force = overridden.in_force.as_ref().and_then(|one| one.enabled);
    if changed.contains(&Field::MaxActions) {
        return flagged.then(|| {
            let mut next = pause.with(desired.values.paused, Cause::Definition);
            next.flags.remove(&Flag::Finished);
            if let Some(enabled) = in_force {
                next.paused = !enabled;
            } else if !desired.values.paused && next.flags.remove(&Flag::PausedBefore) {
                next.paused = live.values.paused;
            }
            next
        });
    }
    let used_up = desired.values.max_actions.is_some_and(|limit| {
        // A limit that another client removed is restored with the actions that are left of it.
        let lost = (policy.drift == DriftPolicy::Correct)
            .then(|| u64::from(limit).saturating_sub(live.action_count));
        live.remaining_actions.or(lost) == Some(0)
    });
    (used_up && !flagged).then(|| {
        let mut next = pause.with(true, Cause::Finished);
        next.flags.insert(Flag::Finished);
        if live.values.paused && !desired.values.paused && in_force != Some(false) {
            // The schedule was paused manually before: a new limit does not end that pause.
            next.flags.insert(Flag::PausedBefore);
        }
        next
    })
}

/// Restores the paused state of a schedule whose definition returns.
fn by_return(
    desired: &Desired,
    changed: &BTreeSet<Field>,
    overridden: &EffectiveOverride,
    pause: &Pause,
) -> Option<Pause> {
    pause.flags.contains(&Flag::OrphanPaused).then(|| {
        let enabled = overridden.in_force.as_ref().and_then(|one| one.enabled);
        // The override has ended meanwhile.
        let found = overridden.restore_paused;
        let found = found.filter(|_| !changed.contains(&Field::Paused));
        let paused = enabled.map(|enabled| !enabled).or(found);
        let paused = paused.unwrap_or(desired.values.paused);
        let mut next = pause.with(paused, Cause::Orphan);
        next.flags.remove(&Flag::OrphanPaused);
        next
    })
}

/// Applies a changed `paused` of the YAML. This ends an override of `enabled`.
fn by_definition(
    desired: &Desired,
    live: &Live,
    changed: &BTreeSet<Field>,
    overridden: &EffectiveOverride,
    pause: &Pause,
) -> Option<Pause> {
    if !changed.contains(&Field::Paused) {
        return None;
    }
    let mut next = pause.with(desired.values.paused, Cause::Definition);
    if pause.flags.contains(&Flag::Adopting) {
        // Until it is adopted, the schedule would run beside the unmanaged one.
        next.paused = true;
    } else if desired.values.paused {
        // A pause by an override that ends here does not count as an earlier pause.
        if overridden.restore_paused.unwrap_or(live.values.paused) {
            next.flags.insert(Flag::PausedBefore);
        }
    } else if next.flags.remove(&Flag::PausedBefore) {
        next.paused = live.values.paused;
    }
    Some(next)
}

/// Restores the paused state from before an override of `enabled` when the override ends, and
/// applies again an override that the memo had lost.
fn by_override(live: &Live, overridden: &EffectiveOverride, pause: &Pause) -> Option<Pause> {
    if let Some(found) = overridden.restore_paused {
        return Some(pause.restored(found, Cause::Override));
    }
    if overridden.ended_fields.contains(&Field::Paused) {
        // A later manual change replaced the override: its state is kept, and the override is
        // removed from the memo.
        return Some(pause.with(live.values.paused, Cause::Override));
    }
    let enabled = overridden.in_force.as_ref()?.enabled?;
    (overridden.restored && live.values.paused == enabled)
        .then(|| pause.with(!enabled, Cause::Override))
}

/// Restores the YAML's pause after another client replaced the schedule's action, which removed
/// the memo and unpaused the schedule. A schedule is never unpaused by this rule.
fn by_missing_memo(desired: &Desired, memo: Option<&ActionMemo>, pause: &Pause) -> Option<Pause> {
    (memo.is_none() && desired.values.paused && !pause.paused)
        .then(|| pause.with(true, Cause::Drift))
}

impl Pause {
    /// The state from before an override. While Almanac itself holds the schedule paused, the
    /// schedule stays paused, and an earlier pause counts once Almanac's own ends.
    fn restored(&self, paused: bool, cause: Cause) -> Self {
        let mut next = self.with(paused, cause);
        if is_held_by_almanac(&self.flags) {
            next.paused = true;
            if paused {
                next.flags.insert(Flag::PausedBefore);
            }
        }
        next
    }

    fn with(&self, paused: bool, cause: Cause) -> Self {
        Self {
            paused,
            cause: Some(cause),
            flags: self.flags.clone(),
        }
    }
}
