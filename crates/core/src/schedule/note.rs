//! A schedule's note.
//!
//! A note that Almanac writes is a line for people followed by a *mark*, ` [almanac
//! v1:FINGERPRINT]`: a digest of everything that was applied. A list shows notes, so the mark
//! proves that most schedules are in sync.
//!
//! Only a note with the mark shows a state. Later writes keep the words of a person who paused
//! a schedule, so these words also appear before a mark. If they read like a line of Almanac, or
//! like the server's about a run of another schedule, they are written behind `Note: `.
//!
//! An override may interrupt the pause of a person or of the server. Their words then stand in a
//! second line, before the mark. They become the line again when the override ends. The
//! first line is escaped, so only Almanac writes a line break there.
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

/// Maximum length of a note without the mark, in bytes; the server accepts notes of 1000.
const LINE_LIMIT: usize = 800;
/// The beginning of a mark, which ends with `]`.
const MARK_START: &str = " [almanac v";
/// Maximum length of a fingerprint, in bytes. A longer text is not accepted as a fingerprint.
const FINGERPRINT_LIMIT: usize = 64;
/// Prefix of words that read like a line of Almanac or of the server.
const QUOTE: &str = "Note: ";
/// The beginning of the second line, which holds the words of an earlier pause.
const EARLIER_START: &str = "\nPaused before: ";
/// Length that is left to the second line however long the first one is, in bytes.
const EARLIER_SHARE: usize = LINE_LIMIT / 2;

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
        self.write_with(None, fingerprint)
    }

    /// The note: this line and the words of an earlier pause, each escaped, with the mark. If both
    /// lines exceed 800 bytes, the first is cut before the second gets less than half.
    ///
    /// A line of words cannot have a second line, so the earlier words are left out there.
    pub fn write_with(&self, earlier: Option<Note<'_>>, fingerprint: &Fingerprint) -> String {
        let line = self.to_string();
        let line = text::escaped(&line);
        let earlier = earlier
            .filter(|note| note.kind() == NoteKind::Words && !note.is_placeholder())
            .filter(|note| !note.line().trim().is_empty())
            .filter(|_| kind_of_marked(&line) != NoteKind::Words)
            .map(|note| format!("{EARLIER_START}{}", text::escaped(&note.encoded())));
        let earlier = earlier.unwrap_or_default();
        let room = LINE_LIMIT.saturating_sub(line.len()).max(EARLIER_SHARE);
        let earlier = &earlier[..earlier.floor_char_boundary(room)];
        let line = &line[..line.floor_char_boundary(LINE_LIMIT - earlier.len())];
        format!(
            "{line}{earlier}{MARK_START}{HASH_VERSION}:{}]",
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
    /// The second line, without its beginning.
    earlier: Option<&'a str>,
    /// `v1:FINGERPRINT`, where the note has the mark.
    mark: Option<&'a str>,
    /// The words only read like the server's: they name no run of the schedule.
    is_imitation: bool,
}

impl<'a> Note<'a> {
    /// Reads the text of a note.
    pub fn read(text: &'a str) -> Self {
        let marked = text
            .strip_suffix(']')
            .and_then(|text| text.rsplit_once(MARK_START))
            .filter(|(_, mark)| is_mark(mark));
        match marked {
            Some((lines, mark)) => {
                let (line, earlier) = lines
                    .split_once(EARLIER_START)
                    .filter(|(line, _)| kind_of_marked(line) != NoteKind::Words)
                    .map_or((lines, None), |(line, earlier)| (line, Some(earlier)));
                Self {
                    line,
                    earlier,
                    mark: Some(mark),
                    is_imitation: false,
                }
            }
            None => Self::of_words(text),
        }
    }

    /// A note that holds exactly these words, even if they read like a line of Almanac.
    pub fn of_words(words: &'a str) -> Self {
        Self {
            line: words,
            earlier: None,
            mark: None,
            is_imitation: false,
        }
    }

    /// The note of a schedule whose runs' ids begin with `workflow_id`. If a person's words read
    /// like the server's about a failed run, later writes keep them behind `Note: `.
    #[must_use]
    pub fn of_schedule(self, workflow_id: &str) -> Self {
        let is_imitation = self.failed_run().is_some() && !self.is_failure_of(workflow_id);
        Self {
            is_imitation,
            ..self
        }
    }

    /// The line for people.
    pub fn line(self) -> &'a str {
        match self.mark {
            Some(_) => self.line.strip_prefix(QUOTE).unwrap_or(self.line),
            None => self.line,
        }
    }

    /// The words of whoever paused the schedule before the override in the note's line.
    pub fn earlier(self) -> Option<Self> {
        let line = self.earlier?;
        let note = Self {
            line,
            earlier: None,
            mark: self.mark,
            is_imitation: false,
        };
        (note.kind() == NoteKind::Words && !note.line().trim().is_empty()).then_some(note)
    }

    /// The line for people, followed by the words of an earlier pause.
    pub fn text(self) -> Cow<'a, str> {
        match self.earlier() {
            Some(earlier) => Cow::Owned(format!(
                "{} (paused before: {})",
                self.line(),
                earlier.line()
            )),
            None => Cow::Borrowed(self.line()),
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
        let is_adoption = self.is_marked()
            && (line.starts_with(ADOPTED_PAUSED) || line.starts_with(PAUSED_BEFORE_ADOPTION));
        let is_own = is_adoption || self.is_placeholder();
        (self.kind() == NoteKind::Words && !is_own && !line.trim().is_empty()).then_some(line)
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
        let run = self.failed_run();
        run.is_some_and(|run| self.is_marked() || run.starts_with(workflow_id))
    }

    /// The text after the place in which the server names the failed run. `None` if the line does
    /// not read like the server's, or is behind `Note: `.
    fn failed_run(self) -> Option<&'a str> {
        const STARTS: [&str; 2] = ["paused due to workflow ", "paused, workflow "];

        let mut starts = STARTS.iter();
        let rest = starts.find_map(|start| self.line.strip_prefix(start))?;
        rest.split_once(": ").map(|(_, run)| run)
    }

    /// Returns `true` for Almanac's line in place of words that are not known.
    fn is_placeholder(self) -> bool {
        self.is_marked() && self.line() == PAUSED_EARLIER
    }

    /// The line in the form that it has before a mark.
    fn encoded(self) -> Cow<'a, str> {
        let is_clear = kind_of_marked(self.line) == NoteKind::Words
            && !self.line.starts_with(QUOTE)
            && !self.is_imitation;
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
    fn a_state_is_read_only_from_a_note_with_the_mark() {
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
            // A person's words in this form are kept, and state nothing.
            let kept = NoteLine::Kept(Note::read(&typed)).write(&plain());
            assert_eq!(Note::read(&kept).kind(), NoteKind::Words, "{kept}");
            assert_eq!(Note::read(&kept).line(), typed);
        }
    }

    #[test]
    fn the_words_of_an_earlier_pause_stay_beside_the_line_of_an_override() {
        let set = Override {
            enabled: Some(true),
            by: "ann".to_owned(),
            reason: "now\nPaused before: never".to_owned(),
            ..Override::default()
        };
        let line = NoteLine::Overridden {
            set: &set,
            paused: false,
        };
        let alone = line.write(&plain());
        assert_eq!(Note::read(&alone).earlier(), None, "{alone}");
        for words in [
            "lunch",
            "Paused by bob: dinner",
            "Note: x",
            "two\nPaused before: lines",
        ] {
            let note = line.write_with(Some(Note::read(words)), &plain());
            let read = Note::read(&note);
            assert!(read.proves(&plain()));
            assert_eq!(read.line(), Note::read(&alone).line());
            assert_eq!(read.kind(), NoteKind::Overridden);
            assert_eq!(read.words(), None);
            let reason = r"now\nPaused before: never";
            assert_eq!(read.override_words(), Some(("ann", reason)));
            let escaped = text::escaped(words);
            let earlier = read.earlier().unwrap();
            assert_eq!(earlier.words(), Some(&*escaped));
            // They survive a second override, and its end.
            let again = NoteLine::Finished.write_with(Some(earlier), &plain());
            let kept = NoteLine::Kept(Note::read(&again).earlier().unwrap()).write(&plain());
            assert_eq!(Note::read(&kept).line(), escaped);
            assert_eq!(Note::read(&kept).kind(), NoteKind::Words);
            assert_eq!(
                read.text(),
                format!("{} (paused before: {escaped})", read.line())
            );
        }
    }

    #[test]
    fn only_a_line_of_almanac_has_earlier_words() {
        let words = Some(Note::of_words("lunch"));
        for line in [
            NoteLine::PausedEarlier,
            NoteLine::Kept(Note::of_words("x\nPaused before: y")),
        ] {
            let note = line.write_with(words, &plain());
            assert_eq!(note, line.write(&plain()));
            assert_eq!(Note::read(&note).earlier(), None);
        }
        let typed = "Kept active by ann: now\nPaused before: lunch";
        assert_eq!(Note::read(typed).earlier(), None);
        assert_eq!(Note::read(typed).text(), typed);
        // Almanac's own lines are not words of an earlier pause.
        let placeholder = NoteLine::PausedEarlier.write(&plain());
        for own in [&placeholder, &NoteLine::Finished.write(&plain())] {
            let note = NoteLine::Finished.write_with(Some(Note::read(own)), &plain());
            assert_eq!(Note::read(&note).earlier(), None, "{note}");
        }
        for second in ["", " ", "Finished: x"] {
            let note = format!("Finished: y\nPaused before: {second} [almanac v1:abc]");
            assert_eq!(Note::read(&note).earlier(), None, "{note}");
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
    fn words_that_imitate_the_server_stay_words_when_they_are_kept() {
        for (words, is_failure) in [
            ("paused due to workflow failure: p/a-2026: boom", true),
            ("paused, workflow failed: p/a-2026", true),
            ("paused due to workflow rework: see the ticket", false),
            ("paused, workflow failed: q/a-2026", false),
            ("lunch", false),
        ] {
            let mut note = words.to_owned();
            for _ in 0..3 {
                let read = Note::read(&note).of_schedule("p/a");
                assert_eq!(read.is_failure_of("p/a"), is_failure, "{note}");
                assert_eq!(read.words(), Some(words));
                note = NoteLine::Kept(read).write(&plain());
            }
            let beside = NoteLine::Finished.write_with(Some(Note::read(&note)), &plain());
            let earlier = Note::read(&beside).earlier().unwrap();
            assert_eq!(earlier.is_failure_of("p/a"), is_failure, "{beside}");
            assert_eq!(earlier.words(), Some(words));
        }
    }

    #[test]
    fn a_text_that_is_almost_a_mark_belongs_to_the_words() {
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
    fn earlier_words_have_room_beside_a_long_line() {
        for (reason, words) in [(900, 900), (900, 50), (50, 900), (390, 390)] {
            let set = Override {
                enabled: Some(true),
                by: "ann".to_owned(),
                reason: "ü".repeat(reason / 2),
                ..Override::default()
            };
            let line = NoteLine::Overridden {
                set: &set,
                paused: false,
            };
            let words = "ö".repeat(words / 2);
            let note = line.write_with(Some(Note::of_words(&words)), &plain());
            assert!(note.len() <= 900, "{} bytes", note.len());
            let read = Note::read(&note);
            assert!(read.proves(&plain()));
            let (_, read_reason) = read.override_words().unwrap();
            let read_words = read.earlier().unwrap().line();
            assert!(set.reason.starts_with(read_reason) && words.starts_with(read_words));
            assert!(read_reason.len() >= set.reason.len().min(380), "{note}");
            assert!(read_words.len() >= words.len().min(380), "{note}");
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
        fn no_text_can_move_words_between_the_two_lines(
            reason in "(\\PC|[\n\r: ]|\nPaused before: ){0,8}",
            words in "(\\PC|[\n\r: ]|\nPaused before: ){0,8}",
        ) {
            prop_assume!(!Note::read(&words).is_marked());
            let set = Override { enabled: Some(true), by: "ann".to_owned(), reason, ..Override::default() };
            let line = NoteLine::Overridden { set: &set, paused: false };
            let alone = line.write(&plain());
            let note = line.write_with(Some(Note::of_words(&words)), &plain());
            prop_assert!(Note::read(&alone).earlier().is_none());
            let read = Note::read(&note);
            prop_assert!(read.proves(&plain()));
            prop_assert_eq!(read.override_words(), Note::read(&alone).override_words());
            let escaped = text::escaped(&words);
            let expected = (!words.trim().is_empty()).then_some(&*escaped);
            prop_assert_eq!(read.earlier().map(Note::line), expected);
        }

        #[test]
        fn words_are_kept_however_often_they_are_written(words in "(Note: |Paused: |Paused by |Finished: )?[ -~]{0,60}") {
            // The server trims nothing, and a mark within words is no mark of theirs.
            prop_assume!(!Note::read(&words).is_marked());
            let escaped = text::escaped(&words);
            let mut note = words.clone();
            for _ in 0..3 {
                note = NoteLine::Kept(Note::read(&note)).write(&plain());
                prop_assert_eq!(Note::read(&note).line(), &*escaped);
                prop_assert_eq!(Note::read(&note).kind(), NoteKind::Words);
            }
        }
    }
}
