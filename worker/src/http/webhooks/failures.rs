//! The limit on requests without a good signature, so that guessing is bounded.
//!
//! Each address may fail [`BURST`] times in a row, and then once in each [`PAUSE`]. An address at
//! its limit is not verified, so a right guess is not noticed either. Requests with a good signature
//! count for nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Number of failures of an address that may follow each other without a pause.
const BURST: u32 = 100;
/// Time in which one failure is forgotten.
const PAUSE: Duration = Duration::from_millis(100);
/// Maximum number of addresses that are told apart. Beyond it, all new addresses count as one.
const ADDRESSES: usize = 10_000;

/// The failures of all addresses.
#[derive(Debug, Default)]
pub(super) struct FailureLimit(Mutex<Failures>);

#[derive(Debug, Default)]
struct Failures {
    /// Time at which all failures of an address are forgotten.
    forgotten: BTreeMap<IpAddr, Instant>,
    /// The same of all addresses without an entry.
    of_others: Option<Instant>,
}

impl FailureLimit {
    /// Returns `true` if the address may not fail again now.
    pub(super) fn is_reached(&self, address: IpAddr) -> bool {
        let failures = self.lock();
        let known = failures.forgotten.get(&address).copied();
        let of_others = || {
            let is_full = failures.forgotten.len() >= ADDRESSES;
            failures.of_others.filter(|_| is_full)
        };
        let limit = Instant::now() + PAUSE * (BURST - 1);
        known.or_else(of_others).is_some_and(|at| at > limit)
    }

    /// Counts a failure.
    pub(super) fn count(&self, address: IpAddr) {
        let now = Instant::now();
        let mut failures = self.lock();
        let Failures {
            forgotten,
            of_others,
        } = &mut *failures;
        if !forgotten.contains_key(&address) && forgotten.len() >= ADDRESSES {
            forgotten.retain(|_, at| *at > now);
        }
        let at = if forgotten.contains_key(&address) || forgotten.len() < ADDRESSES {
            forgotten.entry(address).or_insert(now)
        } else {
            of_others.get_or_insert(now)
        };
        *at = (*at).max(now) + PAUSE;
    }

    fn lock(&self) -> MutexGuard<'_, Failures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: usize) -> IpAddr {
        Ipv4Addr::from_bits(u32::try_from(number).unwrap()).into()
    }

    fn failures_until_the_limit(limit: &FailureLimit, address: IpAddr) -> u32 {
        let mut count = 0;
        while !limit.is_reached(address) {
            limit.count(address);
            count += 1;
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_forgotten_one_by_one() {
        let limit = FailureLimit::default();
        let (a, b) = (address(1), address(2));
        assert_eq!(failures_until_the_limit(&limit, a), BURST);
        assert!(!limit.is_reached(b));
        tokio::time::advance(PAUSE * 5).await;
        assert_eq!(failures_until_the_limit(&limit, a), 5);
        tokio::time::advance(PAUSE * BURST * 2).await;
        assert_eq!(failures_until_the_limit(&limit, a), BURST);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_beyond_the_limit_count_as_one() {
        let limit = FailureLimit::default();
        for number in 0..ADDRESSES {
            limit.count(address(number));
        }
        assert_eq!(failures_until_the_limit(&limit, address(ADDRESSES)), BURST);
        assert!(limit.is_reached(address(ADDRESSES + 1)));
        assert!(!limit.is_reached(address(1)));
        assert_eq!(limit.lock().forgotten.len(), ADDRESSES);
        // Those that are forgotten make room.
        tokio::time::advance(PAUSE).await;
        let new = address(ADDRESSES + 2);
        assert_eq!(failures_until_the_limit(&limit, new), BURST);
        assert_eq!(limit.lock().forgotten.len(), 1);
    }
}
