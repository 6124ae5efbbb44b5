//! Compares a schedule with its definition, field by field: the table of
//! `docs/contract.md#6-what-is-compared-and-what-is-done`.

use std::collections::{BTreeMap, BTreeSet};

use super::corrections::contested_fields;
use super::note_line::{NoteBefore, note};
use super::overrides::{self, EffectiveOverride};
use super::paused::{self, Pause};
use super::{Cause, FieldChange, Policy, Remaining, Update};
use crate::field::Field;
use crate::record::{ActionMemo, DriftPolicy, Flag, Op, Override};
use crate::schedule::{Action, Desired, Fingerprint, Live, LiveMemo, base_of, hash_of};

/// Maximum length of a source in a memo, in bytes. A longer one loses its beginning.
pub(super) const SOURCE_LIMIT: usize = 300;

/// Result of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    /// A newer release wrote the schedule, with this memo version. The schedule must not be
    /// written.
    Newer(u32),
    /// The memo is readable or missing, and the comparison was made.
    Known(Box<Known>),
}

/// Result of comparing a schedule whose memo is readable or missing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Known {
    /// The update to write; `None` if the schedule needs no write.
    pub update: Option<Box<Update>>,
    /// Fields that differ although the YAML did not change.
    pub drift: BTreeSet<Field>,
    /// Fields among `drift` that others keep changing back. They are left alone for now.
    pub contested: BTreeSet<Field>,
    /// Override that is in force.
    pub overridden: Option<Override>,
    /// Reason why an override ends.
    pub ended_override: Option<String>,
}

/// Compares a managed live schedule with its definition.
pub fn compare(desired: &Desired, live: &Live, policy: &Policy<'_>) -> Comparison {
    let memo = match &live.memo {
        LiveMemo::Newer(v) => return Comparison::Newer(*v),
        LiveMemo::Readable(memo) => Some(memo.as_ref()),
        LiveMemo::Missing => None,
    };
    let changed = changed_fields(desired, memo);
    let overridden = overrides::effective(desired, live, memo, &changed, policy);
    let expected = overrides::expected(&desired.values, overridden.in_force.as_ref());

    let mut fields = BTreeMap::new();
    let mut drift = BTreeSet::new();
    for field in Field::ALL
        .into_iter()
        .filter(|field| *field != Field::Paused)
    {
        let agrees = live.agrees(&expected, field);
        if changed.contains(&field) {
            let only_encryption = field == Field::Action
                && memo.is_some_and(|memo| is_reencrypted(desired, live, memo));
            let cause = if only_encryption {
                Cause::Encryption
            } else {
                Cause::Definition
            };
            fields.insert(field, cause);
        } else if overridden.is_requested(field) {
            fields.insert(field, Cause::Override);
        } else if overridden.ended_fields.contains(&field) {
            // The field is written even if its value agrees, so that the memo forgets the
            // override.
            fields.insert(field, Cause::Override);
        } else if !agrees || (field == Field::Action && memo.is_none()) {
            drift.insert(field);
        }
    }

    let pause = paused::decide(desired, live, memo, &changed, &overridden, policy);
    if let Some(cause) = pause.drift() {
        debug_assert_eq!(cause, Cause::Drift);
        drift.insert(Field::Paused);
    } else if let Some(cause) = pause.cause {
        fields.insert(Field::Paused, cause);
    }

    let (contested, corrected): (BTreeSet<Field>, BTreeSet<Field>) = match policy.drift {
        DriftPolicy::Report => (BTreeSet::new(), BTreeSet::new()),
        DriftPolicy::Correct => {
            let contested = contested_fields(policy.corrections, &desired.definition, policy.now);
            drift.iter().partition(|field| contested.contains(field))
        }
    };
    fields.extend(corrected.iter().map(|field| (*field, Cause::Drift)));
    let left = drift.difference(&corrected).copied().collect();

    let update = (!fields.is_empty()).then(|| {
        Box::new(update(
            desired,
            live,
            &expected,
            fields,
            &overridden,
            pause,
            &left,
        ))
    });
    Comparison::Known(Box::new(Known {
        update,
        drift,
        contested,
        overridden: overridden.in_force,
        ended_override: overridden.ended,
    }))
}

/// The fields whose YAML value is not the value that was last written.
fn changed_fields(desired: &Desired, memo: Option<&ActionMemo>) -> BTreeSet<Field> {
    let Some((memo, base)) = memo.and_then(|memo| Some((memo, base_of(memo.v, &desired.values)?)))
    else {
        // Without a readable base, the YAML counts as the base.
        return BTreeSet::new();
    };
    Field::ALL
        .into_iter()
        .filter(|field| base.get(field) != memo.base.get(field))
        .collect()
}

/// Returns `true` if the action differs from the one last written only in its encryption.
fn is_reencrypted(desired: &Desired, live: &Live, memo: &ActionMemo) -> bool {
    let action = Action {
        encryption: live.values.action.encryption.clone(),
        ..desired.values.action.clone()
    };
    hash_of(memo.v, &action.value()).as_ref() == memo.base.get(&Field::Action)
}

fn update(
    desired: &Desired,
    live: &Live,
    expected: &crate::schedule::ScheduleValues,
    fields: BTreeMap<Field, Cause>,
    overridden: &EffectiveOverride,
    pause: Pause,
    left: &BTreeSet<Field>,
) -> Update {
    let mut values = expected.clone();
    values.paused = if fields.contains_key(&Field::Paused) {
        pause.paused
    } else {
        live.values.paused
    };
    let remaining = remaining(desired, live, &fields);
    let memo = ActionMemo::of(desired, overridden.in_force.clone(), pause.flags);
    let fingerprint = Fingerprint::of(&memo.base, memo.overridden.as_ref(), &memo.flags, left);
    let requested = overridden.requested.as_ref();
    let before = requested
        .is_none_or(|requested| !requested.unpauses)
        .then(|| NoteBefore::of(live, live.values.paused));
    let note = note(
        desired,
        &memo,
        values.paused,
        before,
        requested.is_some(),
        &fingerprint,
    );
    let changes: Vec<_> = fields
        .iter()
        .map(|(field, cause)| FieldChange {
            field: *field,
            cause: *cause,
            before: live.shown(*field),
            after: values.value(*field),
        })
        .filter(|change| change.before != change.after)
        .collect();
    Update {
        definition: desired.definition.clone(),
        schedule: desired.schedule.clone(),
        op: op(&fields, live.values.paused, values.paused),
        reason: reason(&fields, overridden.ended.as_deref()),
        note,
        run_input: desired.run_input(),
        fields,
        values,
        remaining,
        memo,
        changes,
        removal: false,
    }
}

/// The change of the limit of actions.
///
/// A changed `max_actions` starts the count again. A limit that was removed outside Almanac is
/// restored less the actions already started, so that there are never more runs than the
/// definition says.
fn remaining(desired: &Desired, live: &Live, fields: &BTreeMap<Field, Cause>) -> Remaining {
    match (fields.get(&Field::MaxActions), desired.values.max_actions) {
        (None, _) => Remaining::Keep,
        (Some(_), None) => Remaining::Unlimited,
        (Some(Cause::Drift), Some(limit)) => {
            Remaining::Set(u64::from(limit).saturating_sub(live.action_count))
        }
        (Some(_), Some(limit)) => Remaining::Set(u64::from(limit)),
    }
}

fn op(fields: &BTreeMap<Field, Cause>, was_paused: bool, is_paused: bool) -> Op {
    let only_paused = fields.keys().eq([&Field::Paused]);
    match (only_paused, was_paused, is_paused) {
        (true, false, true) => Op::Pause,
        (true, true, false) => Op::Unpause,
        _ => Op::Update,
    }
}

fn reason(fields: &BTreeMap<Field, Cause>, ended: Option<&str>) -> String {
    let of = |cause: Cause| {
        let names: Vec<_> = fields
            .iter()
            .filter(|(_, one)| **one == cause)
            .map(|(field, _)| field.as_str())
            .collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let mut parts = Vec::new();
    if let Some(names) = of(Cause::Definition) {
        parts.push(format!("definition changed: {names}"));
    }
    if of(Cause::Encryption).is_some() {
        parts.push("encryption changed".to_owned());
    }
    if let Some(names) = of(Cause::Drift) {
        parts.push(format!("drift corrected: {names}"));
    }
    if of(Cause::Override).is_some() {
        parts.push(ended.unwrap_or("override applied").to_owned());
    }
    if of(Cause::Finished).is_some() {
        parts.push("its actions are used up".to_owned());
    }
    if of(Cause::Orphan).is_some() {
        parts.push("its definition returned".to_owned());
    }
    parts.join("; ")
}

impl ActionMemo {
    /// The memo of a schedule written from `desired`.
    pub fn of(desired: &Desired, overridden: Option<Override>, flags: BTreeSet<Flag>) -> Self {
        Self {
            v: crate::field::HASH_VERSION,
            revision: desired.revision.clone(),
            source: tail(&desired.source, SOURCE_LIMIT).to_owned(),
            base: desired.base(),
            overridden,
            flags: flags
                .into_iter()
                .filter(|flag| *flag != Flag::Unknown)
                .collect(),
        }
    }
}

/// The end of a path that is too long for the memo.
fn tail(text: &str, limit: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(limit))..]
}

impl Live {
    /// The live value of `field`, for people.
    pub(super) fn shown(&self, field: Field) -> serde_json::Value {
        match (field, self.remaining_actions) {
            (Field::MaxActions, Some(left)) => serde_json::json!(format!("{left} left")),
            _ => self.values.value(field),
        }
    }
}
