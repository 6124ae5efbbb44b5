//! Paused has its own rules: what an operator or the server paused is never
//! undone by a pass, nor by an edit that is not about pausing.

use std::collections::BTreeSet;

use super::overrides::EffectiveOverride;
use super::{Cause, Policy};
use crate::field::Field;
use crate::record::{ActionMemo, DriftPolicy, Flag};
use crate::schedule::{Desired, Live};

/// What becomes of a schedule's paused state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pause {
    /// Paused, after.
    pub(super) paused: bool,
    /// Why it, its base or its flags are written; `None` when they are not.
    pub(super) cause: Option<Cause>,
    /// The flags, after.
    pub(super) flags: BTreeSet<Flag>,
}

impl Pause {
    /// The cause, when it is drift: then the drift policy decides.
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
    by_order(changed, overridden, &pause)
        .or_else(|| by_finish(desired, live, changed, overridden, policy, &pause))
        .or_else(|| by_return(desired, overridden, &pause))
        .or_else(|| by_definition(desired, live, changed, overridden, &pause))
        .or_else(|| by_override(live, overridden, &pause))
        .or_else(|| by_missing_memo(desired, memo, &pause))
        .unwrap_or(pause)
}

/// What an operator asks for now is the last word.
fn by_order(
    changed: &BTreeSet<Field>,
    overridden: &EffectiveOverride,
    pause: &Pause,
) -> Option<Pause> {
    let ordered = overridden.ordered.as_ref()?;
    let about = ordered.fields.contains(&Field::Paused);
    let paused = ordered.paused.filter(|_| about)?;
    let cause = if changed.contains(&Field::Paused) {
        Cause::Definition
    } else {
        Cause::Override
    };
    let mut next = pause.with(paused, cause);
    next.flags.remove(&Flag::OrphanPaused);
    if ordered.unpauses {
        next.flags.remove(&Flag::PausedBefore);
        next.flags.remove(&Flag::Adopting);
    }
    Some(next)
}

/// A schedule with no actions left is paused and flagged once; a changed
/// limit starts the count anew, so the YAML's state comes back.
fn by_finish(
    desired: &Desired,
    live: &Live,
    changed: &BTreeSet<Field>,
    overridden: &EffectiveOverride,
    policy: &Policy<'_>,
    pause: &Pause,
) -> Option<Pause> {
    let flagged = pause.flags.contains(&Flag::Finished);
    if changed.contains(&Field::MaxActions) {
        return flagged.then(|| {
            let mut next = pause.with(desired.values.paused, Cause::Definition);
            next.flags.remove(&Flag::Finished);
            if !desired.values.paused && next.flags.remove(&Flag::PausedBefore) {
                next.paused = live.values.paused;
            }
            next
        });
    }
    let used_up = desired.values.max_actions.is_some_and(|limit| {
        // A limit that someone took away comes back with what is left of it.
        let lost = (policy.drift == DriftPolicy::Correct)
            .then(|| u64::from(limit).saturating_sub(live.action_count));
        live.remaining_actions.or(lost) == Some(0)
    });
    (used_up && !flagged).then(|| {
        let mut next = pause.with(true, Cause::Finished);
        next.flags.insert(Flag::Finished);
        let in_force = overridden.in_force.as_ref().and_then(|one| one.enabled);
        if live.values.paused && !desired.values.paused && in_force != Some(false) {
            // Somebody had paused it: a new limit does not end that.
            next.flags.insert(Flag::PausedBefore);
        }
        next
    })
}

/// A definition that returns finds its schedule as it left it.
fn by_return(desired: &Desired, overridden: &EffectiveOverride, pause: &Pause) -> Option<Pause> {
    pause.flags.contains(&Flag::OrphanPaused).then(|| {
        let enabled = overridden.in_force.as_ref().and_then(|one| one.enabled);
        let paused = enabled.map_or(desired.values.paused, |enabled| !enabled);
        let mut next = pause.with(paused, Cause::Orphan);
        next.flags.remove(&Flag::OrphanPaused);
        next
    })
}

/// The YAML turned paused, or active. This ends an override of `enabled`.
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
        // Until it is adopted, it would run beside the other.
        next.paused = true;
    } else if desired.values.paused {
        // What an override paused, that ends here, was not paused before it.
        if overridden.restore_paused.unwrap_or(live.values.paused) {
            next.flags.insert(Flag::PausedBefore);
        }
    } else if next.flags.remove(&Flag::PausedBefore) {
        next.paused = live.values.paused;
    }
    Some(next)
}

/// The state an override of `enabled` found comes back when it ends; one that
/// the memo lost is restored.
fn by_override(live: &Live, overridden: &EffectiveOverride, pause: &Pause) -> Option<Pause> {
    if let Some(found) = overridden.restore_paused {
        return Some(pause.with(found, Cause::Override));
    }
    if overridden.ended_fields.contains(&Field::Paused) {
        // A later hand beat it: its state is kept, and the memo forgets it.
        return Some(pause.with(live.values.paused, Cause::Override));
    }
    let enabled = overridden.in_force.as_ref()?.enabled?;
    (overridden.restored && live.values.paused == enabled)
        .then(|| pause.with(!enabled, Cause::Override))
}

/// Someone replaced the schedule's body, which unpauses it: the YAML's pause
/// comes back. The other way round nothing is ever unpaused.
fn by_missing_memo(desired: &Desired, memo: Option<&ActionMemo>, pause: &Pause) -> Option<Pause> {
    (memo.is_none() && desired.values.paused && !pause.paused)
        .then(|| pause.with(true, Cause::Drift))
}

impl Pause {
    fn with(&self, paused: bool, cause: Cause) -> Self {
        Self {
            paused,
            cause: Some(cause),
            flags: self.flags.clone(),
        }
    }
}
