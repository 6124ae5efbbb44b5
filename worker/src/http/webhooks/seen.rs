//! The ids of the last deliveries, each with the digest of its data.
//!
//! Another delivery with the id of an earlier one and with other data is a mistake of its sender.
//! Where the earlier one started a run, the run's memo shows it. Here it shows for all the others,
//! as long as this process remembers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

/// Maximum number of ids that are remembered, the newest ones.
const IDS: usize = 10_000;

/// Digest of a slug and an id.
type Key = [u8; 32];

/// The ids of the last deliveries of all webhooks.
#[derive(Debug, Default)]
pub(super) struct SeenIds(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    digests: HashMap<Key, String>,
    /// The keys, oldest first.
    order: VecDeque<Key>,
}

impl SeenIds {
    /// Returns `false` if a delivery with this id and another digest is remembered. Otherwise
    /// remembers this one.
    pub(super) fn is_same(&self, slug: &str, id: &str, digest: String) -> bool {
        let key = key(slug, id);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = seen.digests.get(&key) {
            return *known == digest;
        }
        if seen.order.len() >= IDS
            && let Some(oldest) = seen.order.pop_front()
        {
            seen.digests.remove(&oldest);
        }
        seen.order.push_back(key);
        seen.digests.insert(key, digest);
        true
    }

    /// Forgets a delivery whose data are not those of the run with its id: another delivery with
    /// the id may be the right one.
    pub(super) fn forget(&self, slug: &str, id: &str) {
        let key = key(slug, id);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.digests.remove(&key).is_some() {
            seen.order.retain(|one| *one != key);
        }
    }
}

fn key(slug: &str, id: &str) -> Key {
    // No slug has a line break.
    let parts = [slug, "\n", id];
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_id_with_other_data_is_noticed_as_long_as_it_is_remembered() {
        let seen = SeenIds::default();
        let is_same = |slug: &str, id: &str, digest: &str| seen.is_same(slug, id, digest.into());
        assert!(is_same("a", "1", "x"));
        assert!(is_same("a", "1", "x"));
        assert!(!is_same("a", "1", "y"));
        assert!(is_same("b", "1", "y"));
        assert!(is_same("a", "2", "y"));
        for number in 0..IDS - 3 {
            assert!(is_same("c", &number.to_string(), "x"));
        }
        assert!(!is_same("a", "1", "y"));
        assert!(is_same("c", "more", "x"));
        assert!(is_same("a", "1", "y"), "the oldest is forgotten");
        let seen = seen.0.lock().unwrap();
        assert_eq!((seen.order.len(), seen.digests.len()), (IDS, IDS));
    }
}
