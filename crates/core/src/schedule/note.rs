//! A schedule's note.
//!
//! A note that Almanac writes is a line for people followed by a *mark*, ` [almanac
//! v1:FINGERPRINT]`: a digest of everything that was applied. A list shows notes, so the mark
//! proves that most schedules are in sync.
//!
//! Only a note with the mark shows a state. Later writes keep the words of a person who paused
//! a schedule, so these words also appear before a mark. If they read like a line of Almanac,
//! they are written behind `Note: `.
//!
//! The server leaves no other trace of `pause_on_failure` than a note without a mark. Such a
//! note names the run that failed; see [`Note::is_failure_of`].

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use almanac_base::names::{DefinitionId, ScheduleId};
use almanac_base::text;
use jiff::Timestamp;
use serde_json::json;

use crate::field::{Base, Field, HASH_VERSION, digest};
use crate::record::{Flag, Override};

/// Maximum length of the line for people, in bytes; the server accepts notes of 1000.
const LINE_LIMIT: usize = 800;
/// The beginning of a mark, which ends with `]`.
const MARK_START: &str = " [almanac v";
/// Maximum length of a fingerprint, in bytes. A longer text is not accepted as a fingerprint.
const FINGERPRINT_LIMIT: usize = 64;
/// Prefix of words that read like a line of Almanac.
const QUOTE: &str = "Note: ";

/// A digest of everything that was applied to a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of a schedule written from `base`, under `overridden`, with `flags`,
    /// leaving the drift of `left` alone. For a schedule that follows its definition exactly,
    /// `flags` and `left` are empty.
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
}

/// A line for people in a note that Almanac writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteLine<'a> {
    /// The schedule follows the definition of this file (and line).
    Managed {
        /// The file, with the line in a file of several documents.
        source: &'a str,
    },
    /// The limited actions of the schedule are used up.
    Finished,
    /// The schedule is paused because no definition asks for it any more.
    DefinitionGone {
        /// The line before the pause.
        before: Note<'a>,
    },
    /// The schedule is paused because another schedule replaces it.
    ReplacedBy(&'a ScheduleId),
    /// The schedule is paused until it takes over from an unmanaged schedule.
    AwaitsAdoption {
        definition: &'a DefinitionId,
        /// Id of the unmanaged schedule.
        from: &'a ScheduleId,
    },
    /// An operator's override is in force.
    Overridden {
        /// The override that is in force.
        set: &'a Override,
        /// The schedule is paused.
        paused: bool,
    },
    /// The schedule took over from this unmanaged schedule, which was paused without a note.
    AdoptedPaused(&'a ScheduleId),
    /// The schedule was paused manually before it took over from this schedule.
    PausedBeforeAdoption(&'a ScheduleId),
    /// The schedule was paused manually, and the note with the reason is gone: an override or
    /// the definition paused or unpaused the schedule meanwhile.
    PausedEarlier,
    /// The line is kept: it holds the words of a person or of the server.
    Kept(Note<'a>),
}

impl NoteLine<'_> {
    /// The note: this line, escaped and cut to 800 bytes, with the mark.
    pub fn write(&self, fingerprint: &Fingerprint) -> String {
        let line = self.to_string();
        let line = text::escaped(&line);
        let end = line.floor_char_boundary(LINE_LIMIT);
        format!(
            "{}{MARK_START}{HASH_VERSION}:{}]",
            &line[..end],
            fingerprint.0
        )
    }
}

impl fmt::Display for NoteLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Managed { source } => write!(f, "{MANAGED}{source}"),
            Self::Finished => write!(f, "{FINISHED}its actions are used up"),
            Self::DefinitionGone { before } => write!(f, "{GONE} ({})", before.line()),
            Self::ReplacedBy(new) => write!(f, "Paused: `{new}` takes its place"),
            Self::AwaitsAdoption { definition, from } => write!(
                f,
                "{AWAITS_ADOPTION}{from}; see `almanac adopt {definition}`"
            ),
            Self::Overridden { set, paused } => {
                let what = match (set.enabled, paused) {
                    (Some(_), true) => PAUSED_BY,
                    (Some(_), false) => KEPT_ACTIVE_BY,
                    (None, _) => OVERRIDDEN_BY,
                };
                write!(f, "{what}{}", set.by)?;
                if let Some(until) = set.until {
                    write!(f, " until {until}")?;
                }
                write!(f, ": {}", set.reason)
            }
            Self::AdoptedPaused(from) => write!(f, "{ADOPTED_PAUSED}{from}"),
            Self::PausedBeforeAdoption(from) => write!(f, "{PAUSED_BEFORE_ADOPTION}{from}"),
            Self::PausedEarlier => f.write_str(PAUSED_EARLIER),
            Self::Kept(note) => f.write_str(&note.encoded()),
        }
    }
}

const MANAGED: &str = "Managed by Almanac from ";
const FINISHED: &str = "Finished: ";
const GONE: &str = "Paused: its definition is gone";
const AWAITS_ADOPTION: &str = "Paused: waits to take over from ";
const PAUSED_BY: &str = "Paused by ";
const KEPT_ACTIVE_BY: &str = "Kept active by ";
const OVERRIDDEN_BY: &str = "Overridden by ";
const ADOPTED_PAUSED: &str = "Paused when it took over from ";
const PAUSED_BEFORE_ADOPTION: &str = "Paused before it took over from ";
const PAUSED_EARLIER: &str = "Paused before Almanac last wrote it";
/// Prefix of each reason of Almanac to pause a schedule.
const PAUSED_SINCE: &str = "Paused: ";

/// The kinds of line that a note may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteKind {
    /// The schedule follows its definition.
    Managed,
    /// The limited actions of the schedule are used up.
    Finished,
    /// The schedule is paused because no definition asks for it any more.
    DefinitionGone,
    /// The schedule is paused because another schedule replaces it, or until it takes over from
    /// another schedule.
    Waiting,
    /// An override pauses the schedule, or did when the note was written.
    PausedByOverride,
    /// An override is in force that does not pause the schedule, or was when the note was
    /// written.
    Overridden,
    /// The words of a person or of the server.
    Words,
}

/// A note as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note<'a> {
    line: &'a str,
    /// `v1:FINGERPRINT`, where the note has the mark.
    mark: Option<&'a str>,
}

impl<'a> Note<'a> {
    /// Reads the text of a note.
    pub fn read(text: &'a str) -> Self {
        let marked = text
            .strip_suffix(']')
            .and_then(|text| text.rsplit_once(MARK_START))
            .filter(|(_, mark)| is_mark(mark));
        match marked {
            Some((line, mark)) => Self {
                line,
                mark: Some(mark),
            },
            None => Self::of_words(text),
        }
    }

    /// A note that holds exactly these words, even if they read like a line of Almanac.
    pub fn of_words(words: &'a str) -> Self {
        Self {
            line: words,
            mark: None,
        }
    }

    /// The line for people.
    pub fn line(self) -> &'a str {
        match self.mark {
            Some(_) => self.line.strip_prefix(QUOTE).unwrap_or(self.line),
            None => self.line,
        }
    }

    /// Returns `true` if Almanac wrote the note.
    pub fn is_marked(self) -> bool {
        self.mark.is_some()
    }

    /// Returns `true` if the note's mark holds this fingerprint, in the version
    /// that this release writes.
    pub fn proves(self, fingerprint: &Fingerprint) -> bool {
        let parts = self.mark.and_then(|mark| mark.split_once(':'));
        parts.is_some_and(|(version, digest)| {
            version == HASH_VERSION.to_string() && digest == fingerprint.0
        })
    }

    /// The kind of the note's line. A note without the mark holds words.
    pub fn kind(self) -> NoteKind {
        match self.mark {
            Some(_) => kind_of_marked(self.line),
            None => NoteKind::Words,
        }
    }

    /// The words of a person or of the server. `None` if the line is Almanac's own, or empty.
    pub fn words(self) -> Option<&'a str> {
        let line = self.line();
        let is_placeholder = self.is_marked()
            && (line == PAUSED_EARLIER
                || line.starts_with(ADOPTED_PAUSED)
                || line.starts_with(PAUSED_BEFORE_ADOPTION));
        (self.kind() == NoteKind::Words && !is_placeholder && !line.trim().is_empty())
            .then_some(line)
    }

    /// The operator and the reason in Almanac's line about an override. The operator's name
    /// ends at the first `: `. `None` for any other line.
    pub fn override_words(self) -> Option<(&'a str, &'a str)> {
        self.mark?;
        let starts = [PAUSED_BY, KEPT_ACTIVE_BY, OVERRIDDEN_BY];
        let rest = starts
            .iter()
            .find_map(|start| self.line.strip_prefix(start))?;
        let (by, reason) = rest.split_once(": ")?;
        let by = match by.rsplit_once(" until ") {
            Some((name, until)) if until.parse::<Timestamp>().is_ok() => name,
            _ => by,
        };
        Some((by, reason))
    }

    /// Returns `true` if the server wrote the note when it paused the schedule because a run
    /// failed.
    ///
    /// If Almanac has not taken the note over, the run's id must begin with `workflow_id`, as
    /// the ids of the schedule's runs do: after a rename or an adoption, a kept note names a
    /// run of another schedule. The server's two schedulers use different words: `paused due to
    /// workflow failure: ID: ERROR` and `paused, workflow failed: ID`.
    pub fn is_failure_of(self, workflow_id: &str) -> bool {
        const STARTS: [&str; 2] = ["paused due to workflow ", "paused, workflow "];

        let line = self.line();
        let rest = STARTS.iter().find_map(|start| line.strip_prefix(start));
        rest.and_then(|rest| rest.split_once(": "))
            .is_some_and(|(_, run)| self.is_marked() || run.starts_with(workflow_id))
    }

    /// The line in the form that it has before a mark.
    fn encoded(self) -> Cow<'a, str> {
        let is_clear =
            kind_of_marked(self.line) == NoteKind::Words && !self.line.starts_with(QUOTE);
        if self.is_marked() || is_clear {
            Cow::Borrowed(self.line)
        } else {
            Cow::Owned(format!("{QUOTE}{}", self.line))
        }
    }
}

/// The kind of a line that stands before a mark.
fn kind_of_marked(line: &str) -> NoteKind {
    let begins = |start: &str| line.starts_with(start);
    if begins(MANAGED) {
        NoteKind::Managed
    } else if begins(FINISHED) {
        NoteKind::Finished
    } else if begins(GONE) {
        NoteKind::DefinitionGone
    } else if begins(PAUSED_SINCE) {
        NoteKind::Waiting
    } else if begins(PAUSED_BY) {
        NoteKind::PausedByOverride
    } else if begins(KEPT_ACTIVE_BY) || begins(OVERRIDDEN_BY) {
        NoteKind::Overridden
    } else {
        NoteKind::Words
    }
}

/// Returns `true` for `VERSION:DIGEST`.
fn is_mark(mark: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit();
    mark.split_once(':').is_some_and(|(version, digest)| {
        !version.is_empty()
            && version.chars().all(is_digit)
            && (1..=FINGERPRINT_LIMIT).contains(&digest.len())
            && digest.chars().all(|c| c.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain() -> Fingerprint {
        Fingerprint::of(&Base::new(), None, &BTreeSet::new(), &BTreeSet::new())
    }

    #[test]
    fn a_note_proves_its_fingerprint_and_no_other() {
        let note = NoteLine::Managed { source: "a.yaml" }.write(&plain());
        assert_eq!(Note::read(&note).line(), "Managed by Almanac from a.yaml");
        assert!(Note::read(&note).proves(&plain()), "{note}");
        let left = BTreeSet::from([Field::Jitter]);
        let other = Fingerprint::of(&Base::new(), None, &BTreeSet::new(), &left);
        assert!(!Note::read(&note).proves(&other));
    }

    #[test]
    fn only_a_note_with_the_mark_tells_a_state() {
        let set = Override {
            enabled: Some(false),
            by: "ann".to_owned(),
            reason: "disk full".to_owned(),
            ..Override::default()
        };
        let cron = Override {
            enabled: None,
            ..set.clone()
        };
        let (schedule, definition) = (
            ScheduleId::from_server("schedule-p-a"),
            "a".parse::<DefinitionId>().unwrap(),
        );
        let before = Note::of_words("lunch");
        for (line, kind) in [
            (NoteLine::Managed { source: "a.yaml" }, NoteKind::Managed),
            (NoteLine::Finished, NoteKind::Finished),
            (
                NoteLine::DefinitionGone { before },
                NoteKind::DefinitionGone,
            ),
            (NoteLine::ReplacedBy(&schedule), NoteKind::Waiting),
            (
                NoteLine::AwaitsAdoption {
                    definition: &definition,
                    from: &schedule,
                },
                NoteKind::Waiting,
            ),
            (
                NoteLine::Overridden {
                    set: &set,
                    paused: true,
                },
                NoteKind::PausedByOverride,
            ),
            (
                NoteLine::Overridden {
                    set: &set,
                    paused: false,
                },
                NoteKind::Overridden,
            ),
            (
                NoteLine::Overridden {
                    set: &cron,
                    paused: true,
                },
                NoteKind::Overridden,
            ),
            (NoteLine::AdoptedPaused(&schedule), NoteKind::Words),
            (NoteLine::PausedBeforeAdoption(&schedule), NoteKind::Words),
            (NoteLine::PausedEarlier, NoteKind::Words),
            (NoteLine::Kept(before), NoteKind::Words),
        ] {
            let note = line.write(&plain());
            assert_eq!(Note::read(&note).kind(), kind, "{note}");
            let typed = line.to_string();
            assert_eq!(Note::read(&typed).kind(), NoteKind::Words, "{typed}");
            // A person's words that read so are kept, and tell nothing.
            let kept = NoteLine::Kept(Note::read(&typed)).write(&plain());
            assert_eq!(Note::read(&kept).kind(), NoteKind::Words, "{kept}");
            assert_eq!(Note::read(&kept).line(), typed);
        }
    }

    #[test]
    fn words_are_those_of_a_person_or_of_the_server() {
        let schedule = ScheduleId::from_server("schedule-p-a");
        let before = Note::of_words("lunch");
        for line in [
            NoteLine::Managed { source: "a.yaml" },
            NoteLine::Finished,
            NoteLine::DefinitionGone { before },
            NoteLine::ReplacedBy(&schedule),
            NoteLine::AdoptedPaused(&schedule),
            NoteLine::PausedBeforeAdoption(&schedule),
            NoteLine::PausedEarlier,
        ] {
            let note = line.write(&plain());
            assert_eq!(Note::read(&note).words(), None, "{note}");
            // A person may type the same.
            let typed = line.to_string();
            assert_eq!(Note::read(&typed).words(), Some(&*typed));
        }
        let kept = NoteLine::Kept(before).write(&plain());
        assert_eq!(Note::read(&kept).words(), Some("lunch"));
        assert_eq!(Note::read(" ").words(), None);
    }

    #[test]
    fn the_line_about_an_override_names_its_operator_and_reason() {
        let mut set = Override {
            by: "ann".to_owned(),
            reason: "disk: full".to_owned(),
            ..Override::default()
        };
        for enabled in [Some(false), Some(true), None] {
            for until in [None, Some(Timestamp::UNIX_EPOCH)] {
                set.enabled = enabled;
                set.until = until;
                let paused = enabled == Some(false);
                let line = NoteLine::Overridden { set: &set, paused };
                let note = line.write(&plain());
                let read = Note::read(&note);
                assert_eq!(read.override_words(), Some(("ann", "disk: full")), "{note}");
                assert_eq!(read.words(), None);
                assert_eq!(Note::read(&line.to_string()).override_words(), None);
            }
        }
        let other = NoteLine::ReplacedBy(&ScheduleId::from_server("a: b")).write(&plain());
        assert_eq!(Note::read(&other).override_words(), None);
    }

    #[test]
    fn the_servers_note_names_a_run_of_the_schedule() {
        let by_server = |note: &str| Note::read(note).is_failure_of("p/a");
        assert!(by_server("paused due to workflow failure: p/a-2026: boom"));
        assert!(by_server("paused due to workflow timeout: p/a-2026"));
        assert!(by_server("paused, workflow failed: p/a-2026"));
        assert!(by_server("paused, workflow failed: p/a [almanac v1:abc]"));
        assert!(by_server(
            "paused, workflow failed: old/a-2026 [almanac v1:abc]"
        ));
        assert!(!by_server("paused due to workflow failure: see the ticket"));
        assert!(!by_server("paused due to workflow changes by ann"));
        assert!(!by_server("I paused, workflow failed: p/a"));
    }

    #[test]
    fn what_only_looks_like_a_mark_is_part_of_the_words() {
        for note in [
            "stop [it]",
            "stop [almanac v1]",
            "stop [almanac vx:abc]",
            "stop [almanac v1:]",
            "stop [almanac v1:not hex]",
            "Finished: [almanac v1:abc] ",
        ] {
            assert!(!Note::read(note).is_marked(), "{note}");
            assert_eq!(Note::read(note).line(), note);
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let words = "ü".repeat(900);
        let note = NoteLine::Kept(Note::of_words(&words)).write(&plain());
        assert!(note.len() <= 1000, "{} bytes", note.len());
        assert!(Note::read(&note).proves(&plain()));
    }

    proptest! {
        #[test]
        fn words_are_kept_however_often_they_are_written(words in "(Note: |Paused: |Paused by |Finished: )?[ -~]{0,60}") {
            // The server trims nothing, and a mark within words is no mark of theirs.
            prop_assume!(!Note::read(&words).is_marked());
            let mut note = words.clone();
            for _ in 0..3 {
                note = NoteLine::Kept(Note::read(&note)).write(&plain());
                prop_assert_eq!(Note::read(&note).line(), &words);
                prop_assert_eq!(Note::read(&note).kind(), NoteKind::Words);
            }
        }
    }
}
