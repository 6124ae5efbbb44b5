//! Waits between attempts: each wait is longer, with a random part so that processes do not try
//! at the same time.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The waits of a series of attempts.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    tries: u32,
}

impl Backoff {
    /// Waits that begin with `first` and double each time, up to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            tries: 0,
        }
    }

    /// The next wait: between half of this attempt's maximum and all of it.
    pub fn next_wait(&mut self) -> Duration {
        let turn = self.turn();
        self.tries = self.tries.saturating_add(1);
        let spread = f64::from(u32::try_from(random() >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        turn.mul_f64(0.5 + spread / 2.0)
    }

    /// Starts over with the first wait, after a success.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }

    fn turn(&self) -> Duration {
        1_u32
            .checked_shl(self.tries)
            .and_then(|factor| self.first.checked_mul(factor))
            .map_or(self.longest, |turn| turn.min(self.longest))
    }
}

/// A random number, for spreading load and for names. It is not safe for secrets.
pub fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_are_spread() {
        let (first, longest) = (Duration::from_millis(500), Duration::from_secs(30));
        let mut backoff = Backoff::new(first, longest);
        let mut expected = first;
        for _ in 0..50 {
            let wait = backoff.next_wait();
            assert!(
                wait >= expected / 2 && wait <= expected,
                "{wait:?} of {expected:?}"
            );
            expected = (expected * 2).min(longest);
        }
        backoff.reset();
        assert!(backoff.next_wait() <= first);
    }

    #[test]
    fn two_processes_do_not_wait_the_same() {
        let waits: Vec<_> = (0..8)
            .map(|_| Backoff::new(Duration::from_secs(8), Duration::from_secs(8)).next_wait())
            .collect();
        assert!(waits.windows(2).any(|pair| pair[0] != pair[1]), "{waits:?}");
    }
}
