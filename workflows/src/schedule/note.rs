//! A schedule's note: a line for people that ends in the fingerprint of what
//! was applied. A list shows notes, so it proves most schedules in sync.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Base, Field, HASH_VERSION, digest};
use crate::record::{Flag, Override};
use crate::text;

/// The longest line for people, in bytes; the server takes notes of 1000.
const LINE_LIMIT: usize = 800;

/// A digest of everything that was applied to a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of a schedule written from `base`, under `overridden`,
    /// with `flags`, leaving the drift of `left` alone. A schedule that is
    /// just as its definition says has neither of the last two.
    pub fn of(
        base: &Base,
        overridden: Option<&Override>,
        flags: &BTreeSet<Flag>,
        left: &BTreeSet<Field>,
    ) -> Self {
        let what = json!({
            "base": base, "override": overridden, "flags": flags, "left": left,
        });
        Self(digest(&what, 12))
    }

    /// The note made of `line` and this fingerprint.
    pub fn note(&self, line: &str) -> String {
        let line = text::escaped(line);
        let end = line.floor_char_boundary(LINE_LIMIT);
        format!("{} [almanac v{HASH_VERSION}:{}]", &line[..end], self.0)
    }

    /// Whether `note` ends in this fingerprint.
    pub fn is_in(&self, note: &str) -> bool {
        note.strip_suffix(']')
            .and_then(|note| note.rsplit_once(" [almanac "))
            .is_some_and(|(_, mark)| mark == format!("v{HASH_VERSION}:{}", self.0))
    }
}

/// The note's line for people, without the mark; the whole note when it has none.
pub fn line_of(note: &str) -> &str {
    note.strip_suffix(']')
        .and_then(|rest| rest.rsplit_once(" [almanac v"))
        .map_or(note, |(line, _)| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Fingerprint {
        Fingerprint::of(&Base::new(), None, &BTreeSet::new(), &BTreeSet::new())
    }

    #[test]
    fn a_note_carries_its_fingerprint_and_its_line() {
        let note = plain().note("from a.yaml");
        assert!(plain().is_in(&note), "{note}");
        assert_eq!(line_of(&note), "from a.yaml");
    }

    #[test]
    fn drift_that_was_left_makes_another_fingerprint() {
        let left = BTreeSet::from([Field::Jitter]);
        let other = Fingerprint::of(&Base::new(), None, &BTreeSet::new(), &left);
        assert!(!plain().is_in(&other.note("x")));
    }

    #[test]
    fn a_hands_note_has_no_fingerprint() {
        assert!(!plain().is_in("(no reason provided)"));
        assert_eq!(line_of("stop [it]"), "stop [it]");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert!(plain().note(&"ü".repeat(900)).len() <= 1000);
    }
}
