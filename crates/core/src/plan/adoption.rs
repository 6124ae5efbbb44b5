//! The two writes of an adoption: hold the managed schedule while the unmanaged one runs, then
//! release it with the live state of the unmanaged one. The times of both writes, and all
//! writes to the unmanaged schedule, are left to the `activities` crate.

use std::collections::{BTreeMap, BTreeSet};

use almanac_base::names::{DefinitionId, ScheduleId};

use super::note_line::{kept_beside, note_line};
use super::{Cause, Remaining, Update};
use crate::field::Field;
use crate::record::{ActionMemo, Flag, Op};
use crate::schedule::{Desired, Fingerprint, Live, Note, NoteKind, NoteLine};

/// State that a released schedule takes over from the unmanaged one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AdoptedState {
    /// Note of the unmanaged schedule if it was paused; `None` if it was not.
    pub paused: Option<String>,
    /// Number of remaining actions, if they were limited.
    pub remaining: Option<u64>,
}

/// Pauses a managed schedule that was created before the adoption was requested. `None` if the
/// schedule is already held.
pub fn hold_for_adoption(desired: &Desired, live: &Live, from: &ScheduleId) -> Option<Update> {
    let mut memo = memo_of(desired, live);
    if live.values.paused && memo.flags.contains(&Flag::Adopting) {
        return None;
    }
    if live.values.paused && !is_paused_by_us(desired, &memo) {
        // The schedule was paused manually: the adoption must not end that pause.
        memo.flags.insert(Flag::PausedBefore);
    }
    memo.flags.insert(Flag::Adopting);
    let waiting = waiting_line(&desired.definition, from);
    let note = waiting.write_with(earlier(&memo, live), &fingerprint(&memo));
    let reason = format!("waits to take over from `{from}`");
    Some(update(live, memo, note, true, Remaining::Keep, reason))
}

/// Releases a managed schedule that was held.
///
/// The schedule is paused if the unmanaged one was, if its definition or override says so, or
/// if it was paused manually. It gets the remaining actions of the unmanaged schedule.
pub fn release_from_adoption(
    desired: &Desired,
    live: &Live,
    from: &ScheduleId,
    old: &AdoptedState,
) -> Update {
    let mut memo = memo_of(desired, live);
    memo.flags.remove(&Flag::Adopting);
    let paused_manually = memo.flags.remove(&Flag::PausedBefore);
    let by_us = is_paused_by_us(desired, &memo);
    let paused = paused_manually || by_us || old.paused.is_some();
    let words = match old.paused.as_deref().map(Note::read) {
        Some(note) if note.kind() == NoteKind::Words && !note.line().trim().is_empty() => {
            NoteLine::Kept(note)
        }
        // Another project of Almanac had paused the schedule; here the definition pauses it
        // too.
        Some(_) if by_us => note_line(desired, &memo, paused, None, false),
        Some(_) => NoteLine::AdoptedPaused(from),
        None if paused_manually => NoteLine::PausedBeforeAdoption(from),
        None => note_line(desired, &memo, paused, None, false),
    };
    let remaining = match (old.remaining, live.remaining_actions) {
        (Some(left), Some(_)) => Remaining::Set(left),
        _ => Remaining::Keep,
    };
    let note = words.write_with(earlier(&memo, live), &fingerprint(&memo));
    let reason = format!("took over from `{from}`");
    update(live, memo, note, paused, remaining, reason)
}

/// Returns `true` if the override or the definition pauses the schedule.
fn is_paused_by_us(desired: &Desired, memo: &ActionMemo) -> bool {
    let enabled = memo.overridden.as_ref().and_then(|one| one.enabled);
    enabled.map_or(desired.values.paused, |enabled| !enabled)
}

/// The note of a schedule that waits for its adoption.
pub(super) fn waiting_note(memo: &ActionMemo, id: &DefinitionId, from: &ScheduleId) -> String {
    waiting_line(id, from).write(&fingerprint(memo))
}

fn waiting_line<'a>(definition: &'a DefinitionId, from: &'a ScheduleId) -> NoteLine<'a> {
    NoteLine::AwaitsAdoption { definition, from }
}

/// The words of a pause that an override interrupts.
fn earlier<'a>(memo: &ActionMemo, live: &'a Live) -> Option<Note<'a>> {
    kept_beside(memo, Note::read(&live.note).earlier())
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

/// An update of only the paused state and the limit.
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
