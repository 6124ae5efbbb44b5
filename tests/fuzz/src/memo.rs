//! Target `memo`: a memo as JSON, and after a NUL the note of its schedule.

use std::collections::BTreeSet;

use almanac_base::names::{Project, ScheduleId};
use almanac_core::record::{ActionMemo, Override, OwnerMemo, RunMemo, Suspension};
use almanac_core::schedule::{Fingerprint, Note, NoteKind, NoteLine};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::two_texts;

/// Maximum number of bytes of a note that Almanac writes: the line and the mark.
const NOTE_LIMIT: usize = 900;

/// Checks that a memo that can be read reads back as the same after it was written, that it gives
/// a note which proves it, and that a memo makes only one schedule a project's own.
pub fn memo(bytes: &[u8]) {
    let Some((json, note)) = two_texts(bytes) else {
        return;
    };
    if let Some(note) = note {
        check_note(note);
    }
    if let Some(owner) = read_back::<OwnerMemo>(json) {
        let id = owner.project.schedule_id(&owner.definition);
        assert_eq!(owner.owned_by(&owner.project, &id), Some(&owner.definition));
        let other: Project = "another-project".parse().expect("a name");
        assert!(other == owner.project || owner.owned_by(&other, &id).is_none());
        let longer = ScheduleId::from_server(format!("{id}x"));
        assert_eq!(owner.owned_by(&owner.project, &longer), None);
    }
    if let Some(memo) = read_back::<ActionMemo>(json) {
        check_action(&memo);
    }
    read_back::<RunMemo>(json);
    read_back::<Override>(json);
    read_back::<Suspension>(json);
}

/// Returns what the JSON is read as, and checks that it is the same after it was written.
fn read_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    json: &str,
) -> Option<T> {
    let read: T = serde_json::from_str(json).ok()?;
    let written = serde_json::to_string(&read).expect("JSON");
    let again: T = serde_json::from_str(&written).expect("what was written");
    assert_eq!(again, read, "{written}");
    Some(read)
}

fn check_action(memo: &ActionMemo) {
    let nothing = BTreeSet::new();
    let fingerprint = Fingerprint::of(&memo.base, memo.overridden.as_ref(), &memo.flags, &nothing);
    let line = NoteLine::Managed {
        source: &memo.source,
    };
    let written = line.write(&fingerprint);
    assert!(written.len() <= NOTE_LIMIT, "{} bytes", written.len());
    assert!(!written.contains(char::is_control), "{written:?}");
    let note = Note::read(&written);
    assert!(note.is_marked() && note.proves(&fingerprint), "{written}");
    assert_eq!(note.kind(), NoteKind::Managed, "{written}");
    // Another state has another fingerprint.
    let mut other = memo.clone();
    let changed = other.base.pop_first().is_some() || other.overridden.take().is_some();
    if changed {
        let other = Fingerprint::of(
            &other.base,
            other.overridden.as_ref(),
            &other.flags,
            &nothing,
        );
        assert!(!note.proves(&other), "{written}");
    }
}

/// Checks a note that anyone may have written.
fn check_note(text: &str) {
    let note = Note::read(text);
    assert!(text.contains(note.line()), "{text:?}");
    if !note.is_marked() {
        assert_eq!(note.kind(), NoteKind::Words);
        assert_eq!(note.line(), text);
    }
    assert_eq!(Note::of_words(text).line(), text);
}
