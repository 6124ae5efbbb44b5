//! Subjects of NATS.

use std::fmt;
use std::str::FromStr;

/// Start of the subjects of all events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject(String);

/// Error of a text that is no subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a NATS subject; hint: separate parts with dots, without spaces, `*`, `>` or \
     control characters"
)]
pub struct SubjectError(String);

impl Subject {
    /// Returns the subject of events of a type.
    pub(crate) fn of(&self, kind: &str) -> Result<String, SubjectError> {
        if is_subject(kind) {
            Ok(format!("{}.{kind}", self.0))
        } else {
            Err(SubjectError(kind.to_owned()))
        }
    }

    /// Returns the subject that a stream must have to keep all events.
    pub(crate) fn all(&self) -> String {
        format!("{}.>", self.0)
    }

    /// Returns a hint that says how a stream for all events is created.
    pub(crate) fn stream_hint(&self) -> String {
        format!(
            "hint: create one, for example with `nats stream add EVENTS --subjects '{}'`",
            self.all()
        )
    }

    /// Returns the part of a subject after the start of the subjects of all events. `None` if the
    /// subject is not one of an event.
    pub(crate) fn rest<'s>(&self, subject: &'s str) -> Option<&'s str> {
        let rest = subject.strip_prefix(self.0.as_str())?.strip_prefix('.')?;
        (!rest.is_empty()).then_some(rest)
    }
}

impl Default for Subject {
    fn default() -> Self {
        Self("events".to_owned())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        // Subjects that begin with `$` belong to NATS.
        if is_subject(text) && !text.starts_with('$') {
            Ok(Self(text.to_owned()))
        } else {
            Err(SubjectError(text.to_owned()))
        }
    }
}

fn is_subject(text: &str) -> bool {
    let good = |c: char| !c.is_whitespace() && !c.is_control() && c != '*' && c != '>';
    text.split('.')
        .all(|part| !part.is_empty() && part.chars().all(good))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_parts_of_subjects() {
        let subject = Subject::default();
        assert_eq!(
            subject.of("com.example.paid").unwrap(),
            "events.com.example.paid"
        );
        assert_eq!(subject.all(), "events.>");
        assert_eq!(subject.rest("events.a.b"), Some("a.b"));
        for other in ["events", "events.", "eventsx.a", "other.a"] {
            assert_eq!(subject.rest(other), None, "{other}");
        }
        for bad in ["", "a b", "a..b", ".a", "a.", "a.*", ">", "a\n"] {
            assert!(subject.of(bad).is_err(), "{bad}");
            assert!(bad.parse::<Subject>().is_err(), "{bad}");
        }
        assert!("$JS.API".parse::<Subject>().is_err());
        assert_eq!(
            "shop.events".parse::<Subject>().unwrap().to_string(),
            "shop.events"
        );
    }
}
