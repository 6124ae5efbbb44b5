//! Chooses the note of a schedule that a plan writes.

use crate::record::{ActionMemo, Flag};
use crate::schedule::{Desired, Fingerprint, Live, Note, NoteKind, NoteLine};

/// The note of a schedule before a write.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoteBefore<'a> {
    note: Note<'a>,
    /// The schedule was paused, and not by Almanac for lack of a definition.
    paused: bool,
}

impl<'a> NoteBefore<'a> {
    /// The note of `live`, which counts as paused or not.
    pub(super) fn of(live: &'a Live, paused: bool) -> Self {
        let workflow_id = &live.values.action.workflow_id;
        Self {
            note: Note::read(&live.note).of_schedule(workflow_id),
            paused,
        }
    }

    /// The words of whoever paused the schedule.
    fn words(self) -> Option<Note<'a>> {
        let is_words = self.note.kind() == NoteKind::Words && !self.note.line().is_empty();
        (self.paused && is_words).then_some(self.note)
    }

    /// The words of whoever paused the schedule, or did before an override.
    fn earlier(self) -> Option<Note<'a>> {
        // Someone paused the schedule in spite of the override, and left its note.
        let is_other_pause = self.paused && self.note.kind() == NoteKind::Overridden;
        let earlier = self.note.earlier().filter(|_| !is_other_pause);
        self.words().or(earlier)
    }
}

/// The note of a schedule that a write leaves `paused`, with this memo.
///
/// `before` is `None` if the words of earlier pauses do not count. `is_ordered` is `true` if an
/// operator now asks for the memo's override, which then takes precedence.
pub(super) fn note(
    desired: &Desired,
    memo: &ActionMemo,
    paused: bool,
    before: Option<NoteBefore<'_>>,
    is_ordered: bool,
    fingerprint: &Fingerprint,
) -> String {
    let line = note_line(desired, memo, paused, before, is_ordered);
    let earlier = before.and_then(NoteBefore::earlier);
    line.write_with(kept_beside(memo, earlier), fingerprint)
}

/// The words of an earlier pause, if that pause comes back when the memo's override ends.
pub(super) fn kept_beside<'a>(memo: &ActionMemo, earlier: Option<Note<'a>>) -> Option<Note<'a>> {
    let set = memo.overridden.as_ref();
    earlier.filter(|_| set.is_some_and(|set| set.found_paused == Some(true)))
}

/// The line for people in that note.
pub(super) fn note_line<'a>(
    desired: &'a Desired,
    memo: &'a ActionMemo,
    paused: bool,
    before: Option<NoteBefore<'a>>,
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
    let words = before.and_then(NoteBefore::words);
    if memo.flags.contains(&Flag::Adopting) {
        let waiting = before
            .filter(|before| before.paused && before.note.kind() == NoteKind::Waiting)
            .map(|before| before.note);
        return match (words.or(waiting), desired.adopts.first()) {
            (Some(note), _) => NoteLine::Kept(note),
            (_, Some(from)) => NoteLine::AwaitsAdoption {
                definition: &desired.definition,
                from,
            },
            (_, None) => managed,
        };
    }
    if let Some(set) = set.filter(|set| set.enabled == Some(false))
        && (is_ordered || words.is_none())
    {
        return NoteLine::Overridden { set, paused };
    }
    match before.and_then(NoteBefore::earlier) {
        Some(words) => NoteLine::Kept(words),
        None if desired.values.paused => managed,
        // Neither the definition nor an override nor Almanac itself pauses the schedule.
        None => NoteLine::PausedEarlier,
    }
}
