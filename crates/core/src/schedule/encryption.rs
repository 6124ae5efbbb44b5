//! Encryption of the payloads that a schedule carries.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Encryption of a schedule's payloads: its input, its own memo and its summary.
///
/// Two encryptions of one payload differ, so payloads are compared decrypted, and with this name
/// of the key. The text of a value is hashed, so later releases must keep it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Encryption {
    /// The payloads are not encrypted.
    #[default]
    None,
    /// The payloads are encrypted with AES-256-GCM and the key with this id.
    Key(Arc<str>),
    /// Another program encodes the payloads, and decides how.
    Remote,
    /// The payloads are not all encrypted in the same way.
    Mixed,
}

impl Encryption {
    /// Returns `true` if the payloads are not encrypted.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// The encryption of payloads that are encrypted in these ways; none if there are no payloads.
    pub fn of_all(mut all: impl Iterator<Item = Self>) -> Self {
        let first = all.next().unwrap_or_default();
        if all.all(|one| one == first) {
            first
        } else {
            Self::Mixed
        }
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Key(id) => write!(f, "aes-256-gcm, key {id}"),
            Self::Remote => f.write_str("remote"),
            Self::Mixed => f.write_str("mixed"),
        }
    }
}

impl Serialize for Encryption {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_encrypted_in_one_way_or_mixed() {
        let key = |id: &str| Encryption::Key(id.into());
        let of = |all: &[Encryption]| Encryption::of_all(all.iter().cloned());
        assert_eq!(of(&[]), Encryption::None);
        assert_eq!(of(&[key("a"), key("a")]), key("a"));
        assert_eq!(of(&[key("a"), key("b")]), Encryption::Mixed);
        assert_eq!(of(&[Encryption::None, key("a")]), Encryption::Mixed);
    }
}
