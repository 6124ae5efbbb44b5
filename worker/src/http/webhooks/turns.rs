//! The turns of requests to webhooks: each has a body in memory.
//!
//! Whoever sends a body slowly, or never, would keep services out that sign. So a request whose
//! body has not arrived within [`PATIENCE`] gives way as soon as another one needs its turn: to one
//! of the same client, or of a client that has fewer turns.

use std::cmp::Reverse;
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
        let own = taken.count(client);
        if own >= TURNS_EACH || taken.turns.len() >= TURNS {
            taken.take_back(client, own)?;
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
    fn count(&self, client: IpAddr) -> usize {
        let turns = self.turns.values();
        turns.filter(|turn| turn.client == client).count()
    }

    /// Takes back a turn whose body should have arrived, for a client that has `own` turns: the
    /// oldest of the client that has most of them. It is the same client, or one that has more.
    fn take_back(&mut self, client: IpAddr, own: usize) -> Option<()> {
        let late = self
            .turns
            .iter()
            .filter(|(_, turn)| turn.gives_way.is_some() && turn.since.elapsed() >= PATIENCE);
        let late = late.map(|(number, turn)| (self.count(turn.client), *number, turn.client));
        let of_others = own < TURNS_EACH;
        let gives_way =
            late.filter(|(count, _, other)| *other == client || (of_others && *count > own));
        // Of several with the same count, the first one.
        let (_, number, _) =
            gives_way.min_by_key(|(count, number, _)| (Reverse(*count), *number))?;
        self.turns.remove(&number)?.gives_way?.cancel();
        Some(())
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
    async fn the_oldest_late_body_of_the_client_with_most_turns_gives_way() {
        let turns = Turns::default();
        let one = taken(&turns, B, 1);
        let mut most = taken(&turns, A, TURNS_EACH);
        let _others = taken(&turns, B, TURNS - TURNS_EACH - 1);
        assert!(turns.take(C).is_none());

        tokio::time::advance(PATIENCE).await;
        // Its body has arrived.
        assert_eq!(most[0].read(ready(1)).await, Some(1));
        let new = turns.take(C).unwrap();
        assert_eq!(most[1].read(pending::<()>()).await, None);
        assert_eq!(most[1].read(ready(())).await, None);
        for turn in most[2..].iter().chain(&one) {
            assert_eq!(turn.read(ready(())).await, Some(()));
        }
        // What gave way is no turn any more.
        drop(most.remove(1));
        assert_eq!(lock(&turns.0).turns.len(), TURNS);
        drop(new);
        assert!(turns.take(C).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_with_one_turn_does_not_give_way_to_one_with_many() {
        let turns = Turns::default();
        let slow = taken(&turns, B, 1);
        tokio::time::advance(PATIENCE).await;
        let _most = taken(&turns, A, TURNS_EACH);
        let _others = taken(&turns, C, TURNS - TURNS_EACH - 1);
        assert!(turns.take(A).is_none() && turns.take(C).is_none());
        assert_eq!(slow[0].read(ready(())).await, Some(()));
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
