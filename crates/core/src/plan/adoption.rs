//! The two writes of an adoption: ours held back while the foreign schedule
//! runs, and ours let go with the foreign one's live state. When each is due,
//! and all that is done to the foreign one, is left to the `activities` crate.

use std::collections::{BTreeMap, BTreeSet};

use almanac_base::names::{DefinitionId, ScheduleId};

use super::note_line::note_line;
use super::{Cause, Remaining, Update};
use crate::field::Field;
use crate::record::{ActionMemo, Flag, Op};
use crate::schedule::{Desired, Fingerprint, Live, Note, NoteKind, NoteLine};

/// What a schedule that is let go takes over from the foreign one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AdoptedState {
    /// Its note, when somebody had paused it.
    pub paused: Option<String>,
    /// How many actions were left, where they were limited.
    pub remaining: Option<u64>,
}

/// Pauses a schedule of ours that was made before anybody asked for the
/// adoption. `None`: it is held already.
pub fn hold_for_adoption(desired: &Desired, live: &Live, from: &ScheduleId) -> Option<Update> {
    let mut memo = memo_of(desired, live);
    if live.values.paused && memo.flags.contains(&Flag::Adopting) {
        return None;
    }
    if live.values.paused {
        // Somebody paused it: this is not the adoption's to end.
        memo.flags.insert(Flag::PausedBefore);
    }
    memo.flags.insert(Flag::Adopting);
    let note = waiting_note(&memo, &desired.definition, from);
    let reason = format!("waits to take over from `{from}`");
    Some(update(live, memo, note, true, Remaining::Keep, reason))
}

/// Lets a schedule of ours go that was held: paused where the foreign one was,
/// or its definition says so, with the actions that the foreign one had left.
pub fn release_from_adoption(
    desired: &Desired,
    live: &Live,
    from: &ScheduleId,
    old: &AdoptedState,
) -> Update {
    let mut memo = memo_of(desired, live);
    memo.flags.remove(&Flag::Adopting);
    let by_hand = memo.flags.remove(&Flag::PausedBefore);
    let overridden = memo.overridden.as_ref().and_then(|one| one.enabled);
    let by_us = overridden.map_or(desired.values.paused, |enabled| !enabled);
    let paused = by_hand || by_us || old.paused.is_some();
    let words = match old.paused.as_deref().map(Note::read) {
        Some(note) if note.kind() == NoteKind::Words && !note.line().trim().is_empty() => {
            NoteLine::Kept(note)
        }
        // Another project of Almanac's had paused it: the same definition does here.
        Some(_) if by_us => note_line(desired, &memo, paused, None, false),
        Some(_) => NoteLine::AdoptedPaused(from),
        None if by_hand => NoteLine::PausedBeforeAdoption(from),
        None => note_line(desired, &memo, paused, None, false),
    };
    let remaining = match (old.remaining, live.remaining_actions) {
        (Some(left), Some(_)) => Remaining::Set(left),
        _ => Remaining::Keep,
    };
    let note = words.write(&fingerprint(&memo));
    let reason = format!("took over from `{from}`");
    update(live, memo, note, paused, remaining, reason)
}

/// The note of a schedule that waits.
pub(super) fn waiting_note(memo: &ActionMemo, id: &DefinitionId, from: &ScheduleId) -> String {
    let line = NoteLine::AwaitsAdoption {
        definition: id,
        from,
    };
    line.write(&fingerprint(memo))
}

fn memo_of(desired: &Desired, live: &Live) -> ActionMemo {
    live.readable_memo()
        .cloned()
        .unwrap_or_else(|| ActionMemo::of(desired, None, BTreeSet::new()))
}

fn fingerprint(memo: &ActionMemo) -> Fingerprint {
    let overridden = memo.overridden.as_ref();
    Fingerprint::of(&memo.base, overridden, &memo.flags, &BTreeSet::new())
}

/// A write of just the paused state and the limit.
fn update(
    live: &Live,
    memo: ActionMemo,
    note: String,
    paused: bool,
    remaining: Remaining,
    reason: String,
) -> Update {
    let mut values = live.values.clone();
    values.paused = paused;
    let mut fields = BTreeMap::from([(Field::Paused, Cause::Adoption)]);
    if remaining != Remaining::Keep {
        fields.insert(Field::MaxActions, Cause::Adoption);
    }
    Update {
        definition: live.definition.clone(),
        schedule: live.schedule.clone(),
        fields,
        values,
        remaining,
        memo,
        note,
        run_input: None,
        op: if paused { Op::Pause } else { Op::Unpause },
        reason,
        changes: Vec::new(),
        removal: false,
    }
}
