//! Maps of documents: the keys that a map may have, and the texts that messages about keys and
//! values share.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use crate::nearest;
use crate::text::quoted;

/// The shape of a map: its name in messages and all keys that are read.
#[derive(Debug)]
pub struct Shape {
    /// The name of the map in messages, such as `a task`.
    pub name: &'static str,
    /// The keys that the map may have.
    pub keys: &'static [&'static str],
    /// Keys of the format that are refused because they are not supported, each with an optional
    /// hint.
    pub refused: &'static [(&'static str, Option<&'static str>)],
}

/// A fault of a key, with the hint for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFault {
    /// The key is not supported.
    Refused(Option<&'static str>),
    /// The map has no such key.
    Unknown(String),
    /// The key has no value. The author probably forgot it.
    NoValue(&'static str),
}

impl Shape {
    /// The fault of a key; `is_null` says that the key has no value. After many reported faults,
    /// the nearest key is no longer searched.
    pub fn fault(&self, key: &str, is_null: bool, reported: usize) -> Option<KeyFault> {
        if let Some((_, hint)) = self.refused.iter().find(|(name, _)| *name == key) {
            return Some(KeyFault::Refused(*hint));
        }
        if !self.keys.contains(&key) {
            let near = (reported < nearest::MOST).then(|| nearest::hint(key, self.keys));
            let keys = || format!("the keys are {}", self.keys.join(", "));
            return Some(KeyFault::Unknown(near.flatten().unwrap_or_else(keys)));
        }
        is_null.then_some(KeyFault::NoValue("give it a value, or remove the key"))
    }

    /// Returns `true` if `key` is among the keys of a map, or if an unknown key most likely stands
    /// for it. The key is then not missing.
    pub fn has<'a>(&self, key: &str, present: impl Iterator<Item = &'a str> + Clone) -> bool {
        let mut all = present.clone();
        let unknown = present.filter(|present| !self.knows(present));
        all.any(|other| other == key) || nearest::is_meant(key, unknown, self.keys)
    }

    fn knows(&self, key: &str) -> bool {
        self.keys.contains(&key) || self.refused.iter().any(|(name, _)| *name == key)
    }
}

/// A value as messages describe it.
#[derive(Debug, Clone)]
pub enum Described<'a> {
    /// No value.
    Nothing,
    /// A list of this length.
    List(usize),
    /// A map.
    Map,
    /// A text that is marked as text.
    Text(&'a str),
    /// Any other scalar, as the document writes it.
    Scalar(Cow<'a, str>),
}

impl std::fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::List(0) => f.write_str("an empty list"),
            Self::List(_) => f.write_str("a list"),
            Self::Map => f.write_str("a map"),
            Self::Text(text) => write!(f, "the text {}", quoted(text)),
            Self::Scalar(text) => f.write_str(&quoted(text)),
        }
    }
}

/// The expected value of a whole number within a range.
pub fn whole_number(range: &RangeInclusive<u32>) -> String {
    if *range.end() == u32::MAX {
        format!("a whole number, {} or more", range.start())
    } else {
        format!("a whole number from {} to {}", range.start(), range.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        name: "a task",
        keys: &["call", "with"],
        refused: &[("execute", Some("write `do`")), ("later", None)],
    };

    #[test]
    fn each_key_that_cannot_be_read_has_its_fault() {
        let fault = |key, is_null| SHAPE.fault(key, is_null, 0);
        assert_eq!(fault("call", false), None);
        assert_eq!(
            fault("call", true),
            Some(KeyFault::NoValue("give it a value, or remove the key"))
        );
        assert_eq!(
            fault("execute", true),
            Some(KeyFault::Refused(Some("write `do`")))
        );
        assert_eq!(fault("later", false), Some(KeyFault::Refused(None)));
        let unknown = |hint: &str| Some(KeyFault::Unknown(hint.to_owned()));
        assert_eq!(fault("clal", false), unknown("did you mean `call`?"));
        assert_eq!(fault("webhook", true), unknown("the keys are call, with"));
        assert_eq!(
            SHAPE.fault("clal", false, nearest::MOST),
            unknown("the keys are call, with")
        );
    }

    #[test]
    fn a_mistyped_key_is_not_missing() {
        assert!(SHAPE.has("call", ["call"].into_iter()));
        assert!(SHAPE.has("call", ["clal"].into_iter()));
        assert!(!SHAPE.has("with", ["clal", "execute"].into_iter()));
    }
}
