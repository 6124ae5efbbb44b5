//! Chooses the line for people in the note of a schedule that a plan writes.

use crate::record::{ActionMemo, Flag};
use crate::schedule::{Desired, Note, NoteKind, NoteLine};

/// The line of a schedule that a write leaves `paused`, with this memo.
///
/// `before` is the note of a schedule that was paused before the write; it may hold the reason.
/// `is_ordered` is `true` if an operator now asks for the memo's override, which then takes
/// precedence.
pub(super) fn note_line<'a>(
    desired: &'a Desired,
    memo: &'a ActionMemo,
    paused: bool,
    before: Option<Note<'a>>,
    is_ordered: bool,
) -> NoteLine<'a> {
    let managed = NoteLine::Managed {
        source: &desired.source,
    };
    let set = memo.overridden.as_ref();
    if !paused {
        return set.map_or(managed, |set| NoteLine::Overridden { set, paused });
    }
    if memo.flags.contains(&Flag::Finished) {
        return NoteLine::Finished;
    }
    let words = before.filter(|note| note.kind() == NoteKind::Words && !note.line().is_empty());
    if memo.flags.contains(&Flag::Adopting) {
        let waiting = before.filter(|note| note.kind() == NoteKind::Waiting);
        return match (words.or(waiting), &desired.adopts) {
            (Some(note), _) => NoteLine::Kept(note),
            (_, Some(from)) => NoteLine::AwaitsAdoption {
                definition: &desired.definition,
                from,
            },
            (_, None) => managed,
        };
    }
    match (set.filter(|set| set.enabled == Some(false)), words) {
        (Some(set), None) => NoteLine::Overridden { set, paused },
        (Some(set), Some(_)) if is_ordered => NoteLine::Overridden { set, paused },
        (_, Some(words)) => NoteLine::Kept(words),
        (None, None) if desired.values.paused => managed,
        // Neither the definition nor an override nor Almanac itself pauses the schedule.
        (None, None) => NoteLine::PausedEarlier,
    }
}
