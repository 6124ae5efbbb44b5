//! The turns of requests to webhooks: each has a body in memory.
//!
//! Whoever sends a body slowly, or never, would keep services out that sign. So a request whose
//! body has not arrived within [`PATIENCE`] gives way as soon as another one needs its turn.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Maximum number of requests that are handled at a time.
const TURNS: usize = 64;
/// The same maximum of one client, or of one proxy: the last turns are reserved for others.
const TURNS_EACH: usize = 48;
/// Time within which a body should arrive. Later, its request may lose its turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// All turns.
#[derive(Debug, Default)]
pub(super) struct Turns(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// The turns that are taken, in the order in which they were.
    turns: BTreeMap<u64, TakenTurn>,
}

#[derive(Debug)]
struct TakenTurn {
    client: IpAddr,
    since: Instant,
    /// Canceled when the request gives way. `None` once the body has arrived.
    gives_way: Option<CancellationToken>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Mutex<Taken>>,
    number: u64,
    gives_way: CancellationToken,
}

impl Turns {
    /// Takes a turn for a client. `None` if there is none, nor one that gives way.
    pub(super) fn take(&self, client: IpAddr) -> Option<Turn> {
        let mut taken = lock(&self.0);
        if taken.count(Some(client)) >= TURNS_EACH {
            taken.take_back(Some(client))?;
        } else if taken.count(None) >= TURNS {
            taken.take_back(None)?;
        }
        let number = taken.next;
        taken.next += 1;
        let gives_way = CancellationToken::new();
        let turn = TakenTurn {
            client,
            since: Instant::now(),
            gives_way: Some(gives_way.clone()),
        };
        taken.turns.insert(number, turn);
        Some(Turn {
            turns: Arc::clone(&self.0),
            number,
            gives_way,
        })
    }
}

impl Taken {
    /// Number of turns of a client, or of all.
    fn count(&self, client: Option<IpAddr>) -> usize {
        self.of(client).count()
    }

    /// Takes back the oldest turn, of a client or of all, whose body should have arrived.
    fn take_back(&mut self, client: Option<IpAddr>) -> Option<()> {
        let is_late = |turn: &TakenTurn| turn.since.elapsed() >= PATIENCE;
        let late = self
            .of(client)
            .find(|(_, turn)| turn.gives_way.is_some() && is_late(turn));
        let (number, _) = late?;
        let turn = self.turns.remove(&number)?;
        turn.gives_way?.cancel();
        Some(())
    }

    fn of(&self, client: Option<IpAddr>) -> impl Iterator<Item = (u64, &TakenTurn)> {
        let all = self.turns.iter().map(|(number, turn)| (*number, turn));
        all.filter(move |(_, turn)| client.is_none_or(|client| turn.client == client))
    }
}

impl Turn {
    /// Waits for a body. `None` if the request gives way.
    pub(super) async fn read<T>(&self, body: impl Future<Output = T>) -> Option<T> {
        let read = self.gives_way.run_until_cancelled(body).await?;
        let mut taken = lock(&self.turns);
        // Without an entry, the turn was taken back a moment ago.
        taken.turns.get_mut(&self.number)?.gives_way = None;
        Some(read)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.turns).turns.remove(&self.number);
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::net::Ipv4Addr;

    use super::*;

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    const C: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3));

    fn taken(turns: &Turns, client: IpAddr, count: usize) -> Vec<Turn> {
        let all: Option<Vec<_>> = (0..count).map(|_| turns.take(client)).collect();
        all.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_body_that_is_late_gives_way() {
        let turns = Turns::default();
        let mut first = taken(&turns, A, TURNS_EACH);
        assert!(turns.take(A).is_none());
        let others = taken(&turns, B, TURNS - TURNS_EACH);
        assert!(turns.take(C).is_none());

        tokio::time::advance(PATIENCE).await;
        // Its body has arrived.
        assert_eq!(first[0].read(ready(1)).await, Some(1));
        let _new = turns.take(C).unwrap();
        assert_eq!(first[1].read(pending::<()>()).await, None);
        assert_eq!(first[1].read(ready(())).await, None);
        for turn in first[2..].iter().chain(&others) {
            assert_eq!(turn.read(ready(())).await, Some(()));
        }
        // All bodies have arrived, and the new one is not late.
        assert!(turns.take(C).is_none());
        drop(first.remove(1));
        assert!(turns.take(C).is_none());
        drop(first.remove(0));
        assert!(turns.take(C).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_at_its_limit_gives_way_to_itself() {
        let turns = Turns::default();
        let others = taken(&turns, B, 1);
        let own = taken(&turns, A, TURNS_EACH);
        tokio::time::advance(PATIENCE).await;
        let _new = turns.take(A).unwrap();
        assert_eq!(own[0].read(ready(())).await, None);
        assert_eq!(others[0].read(ready(())).await, Some(()));
    }
}
