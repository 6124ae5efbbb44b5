//! Waits with a random part.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A random time between half of `wait` and `wait`, so that many clients do not
/// retry together.
pub(crate) fn jittered(wait: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().hash_one(0_u8) % 1000).unwrap_or(0);
    wait / 2 + wait / 2 * random / 1000
}
