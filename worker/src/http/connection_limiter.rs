//! Limits on connections: the limiter decides which connections there may be, and which
//! of them ends to make room.
//!
//! Always holds:
//! - A probe finds a slot, however many connections a client keeps.
//! - A connection that waits for its client can be closed: while it waits for a request
//!   at any time, in the middle of a request or an answer after [`STALL_LIMIT`]. A
//!   connection whose request is being served is never closed.
//! - If there is no slot for a new connection, the connection that has waited longest
//!   ends, of the peer that has the most connections. If none can end, the new connection
//!   gets a slot of the reserve, on which only probes are served.
//!
//! The bytes of answers that clients have not taken yet are bounded the same way: the
//! slowest readers of the peer with the most bytes end first.
//!
//! This module only decides; sockets are left to `server`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use almanac_activities::metrics::Metric;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Maximum time that a client may keep a request or an answer waiting before its
/// connection may be closed in favor of others.
pub(super) const STALL_LIMIT: Duration = Duration::from_secs(1);
/// Maximum size of an answer that is never refused for its size, in bytes: errors and
/// probes.
const SMALL_ANSWER_BYTES: usize = 16 * 1024;

/// Maximum numbers of connections, and of bytes of their answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionLimits {
    /// Maximum number of connections that may ask for everything.
    pub(super) open: usize,
    /// Maximum number of those connections that belong to one peer.
    pub(super) share: usize,
    /// Maximum number of connections that are served probes only.
    pub(super) reserve: usize,
    /// Maximum number of bytes of unsent answers, of all connections.
    pub(super) bytes: usize,
}

/// The paths that a connection is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotKind {
    /// The connection is served everything.
    Open,
    /// The connection is served probes only.
    Reserved,
}

/// Reason why a connection was closed or a request refused, as the metric names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShedReason {
    /// The connection waited for a request.
    Idle,
    /// The client of the connection was slow.
    Slow,
    /// There was no slot.
    Full,
    /// There were too many bytes of unsent answers.
    Bytes,
}

impl ShedReason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Slow => "slow",
            Self::Full => "full",
            Self::Bytes => "bytes",
        }
    }

    /// Counts a connection or a request with this reason.
    pub(super) fn count(self) {
        metrics::counter!(Metric::HttpShed.as_str(), "reason" => self.as_str()).increment(1);
    }
}

/// All connections, and the limits on them.
#[derive(Debug)]
pub(super) struct ConnectionLimiter {
    room: ConnectionLimits,
    all: Mutex<All>,
}

#[derive(Debug, Default)]
struct All {
    next: u64,
    /// The connections, in order of arrival.
    connections: BTreeMap<u64, Arc<Connection>>,
}

#[derive(Debug)]
struct Connection {
    peer: IpAddr,
    kind: SlotKind,
    end: CancellationToken,
    state: Mutex<State>,
}

/// The state of a connection.
#[derive(Debug)]
struct State {
    /// Number of requests whose answer the client has not taken completely.
    requests: u32,
    /// Time since which there has been no request.
    idle: Instant,
    /// Time since which the process waits for more of a request; `None` if it does not
    /// wait.
    receiving: Option<Instant>,
    /// Time since which the client has not taken all that was written; `None` if it has.
    sending: Option<Instant>,
    /// Number of bytes of unsent answers.
    bytes: usize,
}

impl State {
    /// Returns the time since which the connection waits for its client; `None` if it
    /// does not wait.
    fn waits_since(&self) -> Option<Instant> {
        if self.requests == 0 {
            Some(self.idle)
        } else {
            self.receiving.or(self.sending)
        }
    }
}

impl Connection {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the connection's rank in the order in which connections end, the smallest
    /// first; `None` if the connection may not end.
    fn rank(&self, now: Instant) -> Option<(bool, Instant)> {
        let state = self.state();
        let since = state.waits_since()?;
        let is_idle = state.requests == 0;
        let is_late = now.saturating_duration_since(since) >= STALL_LIMIT;
        (is_idle || is_late).then_some((!is_idle, since))
    }
}

impl ConnectionLimiter {
    /// Creates a limiter without connections.
    pub(super) fn new(room: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            room,
            all: Mutex::default(),
        })
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot for a new connection of `peer`; another connection may have to end
    /// for it. `None` if even the reserve is full of busy connections.
    pub(super) fn take(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionSlot> {
        let (peer, now) = (network(peer), Instant::now());
        let mut all = self.all();
        let Some(kind) = all.room(&self.room, peer, now) else {
            ShedReason::Full.count();
            return None;
        };
        let id = all.next;
        all.next += 1;
        let connection = Arc::new(Connection {
            peer,
            kind,
            end: CancellationToken::new(),
            state: Mutex::new(State {
                requests: 0,
                idle: now,
                receiving: None,
                sending: None,
                bytes: 0,
            }),
        });
        all.connections.insert(id, Arc::clone(&connection));
        Some(ConnectionSlot {
            limiter: Arc::clone(self),
            connection,
            id,
        })
    }

    /// Ends the connection that has waited longest for a request, if the process lacks
    /// something else than slots.
    pub(super) fn give_up_one(&self) {
        let mut all = self.all();
        if let Some(id) = all.longest_waiting(Instant::now(), |_| true) {
            all.end(id);
        }
    }

    /// Returns the number of bytes of unsent answers.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.all().bytes()
    }

    /// Returns the number of connections with a request that has not been answered
    /// completely.
    #[cfg(test)]
    pub(super) fn busy(&self) -> usize {
        self.all().count(|one| one.state().requests > 0)
    }

    /// Returns the number of connections, of all kinds.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.all().connections.len()
    }
}

impl All {
    /// Makes room for a new connection, and returns the kind of its slot.
    fn room(&mut self, room: &ConnectionLimits, peer: IpAddr, now: Instant) -> Option<SlotKind> {
        if self.open(room, peer, now) {
            return Some(SlotKind::Open);
        }
        let reserved = |one: &Connection| one.kind == SlotKind::Reserved;
        if self.count(reserved) >= room.reserve {
            let last = self.longest_waiting(now, reserved)?;
            self.end(last);
        }
        Some(SlotKind::Reserved)
    }

    /// Returns `true` if there is a slot for everything, or if one could be made.
    fn open(&mut self, room: &ConnectionLimits, peer: IpAddr, now: Instant) -> bool {
        let of =
            |peer: IpAddr| move |one: &Connection| one.kind == SlotKind::Open && one.peer == peer;
        let own = self.count(of(peer));
        if own >= room.share {
            let Some(last) = self.longest_waiting(now, of(peer)) else {
                return false;
            };
            self.end(last);
            return true;
        }
        if self.count(|one| one.kind == SlotKind::Open) < room.open {
            return true;
        }
        let mut counts = BTreeMap::<IpAddr, usize>::new();
        for one in self.connections.values() {
            if one.kind == SlotKind::Open {
                *counts.entry(one.peer).or_default() += 1;
            }
        }
        // A peer gives way only to a peer that has no more connections than itself.
        let mut peers: Vec<_> = counts
            .into_iter()
            .filter(|(_, count)| *count >= own)
            .collect();
        peers.sort_by_key(|(_, count)| Reverse(*count));
        let last = peers
            .into_iter()
            .find_map(|(peer, _)| self.longest_waiting(now, of(peer)));
        let Some(last) = last else {
            return false;
        };
        self.end(last);
        true
    }

    fn count(&self, which: impl Fn(&Connection) -> bool) -> usize {
        self.connections.values().filter(|one| which(one)).count()
    }

    /// Returns the id of the connection to end first, of those that may end.
    fn longest_waiting(&self, now: Instant, which: impl Fn(&Connection) -> bool) -> Option<u64> {
        let some = self.connections.iter().filter(|(_, one)| which(one));
        let ranked = some.filter_map(|(id, one)| Some((one.rank(now)?, *id)));
        ranked.min().map(|(_, id)| id)
    }

    fn end(&mut self, id: u64) {
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        connection.end.cancel();
        let is_idle = connection.state().requests == 0;
        if is_idle {
            ShedReason::Idle
        } else {
            ShedReason::Slow
        }
        .count();
    }

    fn bytes(&self) -> usize {
        self.connections.values().map(|one| one.state().bytes).sum()
    }

    /// Makes room for this number of bytes; returns `true` if there is room.
    fn bytes_fit(&mut self, limit: usize, more: usize, now: Instant) -> bool {
        loop {
            if self.bytes() + more <= limit {
                return true;
            }
            let mut peers = BTreeMap::<IpAddr, usize>::new();
            for one in self.connections.values() {
                *peers.entry(one.peer).or_default() += one.state().bytes;
            }
            let mut peers: Vec<_> = peers.into_iter().filter(|(_, bytes)| *bytes > 0).collect();
            peers.sort_by_key(|(_, bytes)| Reverse(*bytes));
            let last = peers.into_iter().find_map(|(peer, _)| {
                let slow = |one: &Connection| one.peer == peer && one.state().bytes > 0;
                self.longest_waiting(now, slow)
            });
            let Some(last) = last else {
                return false;
            };
            self.end(last);
        }
    }
}

/// The slot of a connection, until the slot is dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    limiter: Arc<ConnectionLimiter>,
    connection: Arc<Connection>,
    id: u64,
}

impl ConnectionSlot {
    /// Returns the kind of the slot.
    pub(super) fn kind(&self) -> SlotKind {
        self.connection.kind
    }

    /// Resolves when the connection has to end to make room.
    pub(super) fn ended(&self) -> WaitForCancellationFuture<'_> {
        self.connection.end.cancelled()
    }

    /// Begins a request.
    pub(super) fn request(self: &Arc<Self>) -> Asking {
        self.connection.state().requests += 1;
        Asking {
            place: Arc::clone(self),
            bytes: 0,
        }
    }

    /// Records that the process waits for more of a request, or that more has come.
    pub(super) fn receiving(&self, is_waiting: bool) {
        let mut state = self.connection.state();
        state.receiving = is_waiting.then(|| state.receiving.unwrap_or_else(Instant::now));
    }

    /// Records that the client does not take more, or has taken all that was written.
    pub(super) fn sending(&self, is_waiting: bool) {
        let mut state = self.connection.state();
        state.sending = is_waiting.then(|| state.sending.unwrap_or_else(Instant::now));
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.limiter.all().connections.remove(&self.id);
    }
}

/// A request, until its answer has been sent or given up.
#[derive(Debug)]
pub(super) struct Asking {
    place: Arc<ConnectionSlot>,
    bytes: usize,
}

impl Asking {
    /// Counts the answer's bytes; returns `true` if there is room for them.
    pub(super) fn answer(&mut self, bytes: usize) -> bool {
        let limiter = &self.place.limiter;
        let mut all = limiter.all();
        if bytes > SMALL_ANSWER_BYTES && !all.bytes_fit(limiter.room.bytes, bytes, Instant::now()) {
            ShedReason::Bytes.count();
            return false;
        }
        self.bytes = bytes;
        self.place.connection.state().bytes += bytes;
        true
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut state = self.place.connection.state();
        state.bytes = state.bytes.saturating_sub(self.bytes);
        state.requests = state.requests.saturating_sub(1);
        if state.requests == 0 {
            state.receiving = None;
            state.idle = Instant::now();
        }
    }
}

/// Returns the part of an address that counts as one peer: the whole address, or the
/// network of a site for IPv6.
pub(super) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn limiter(open: usize, share: usize, reserve: usize) -> Arc<ConnectionLimiter> {
        ConnectionLimiter::new(ConnectionLimits {
            open,
            share,
            reserve,
            bytes: 1000 * 1024,
        })
    }

    fn take(limiter: &Arc<ConnectionLimiter>, peer: IpAddr) -> Arc<ConnectionSlot> {
        Arc::new(limiter.take(peer).unwrap())
    }

    fn is_ended(place: &ConnectionSlot) -> bool {
        place.connection.end.is_cancelled()
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_connection_of_the_greatest_peer_gives_way() {
        let limiter = limiter(4, 4, 1);
        let of_b = take(&limiter, B);
        pass(1).await;
        let old = take(&limiter, A);
        pass(1).await;
        let busy = take(&limiter, A);
        let _asking = busy.request();
        let young = take(&limiter, A);
        let new = take(&limiter, B);
        assert_eq!(new.kind(), SlotKind::Open);
        let ended = [&of_b, &old, &busy, &young, &new].map(|place| is_ended(place));
        assert_eq!(ended, [false, true, false, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_resets_the_idle_time_of_its_connection() {
        let limiter = limiter(2, 2, 1);
        let (first, second) = (take(&limiter, A), take(&limiter, A));
        pass(5).await;
        drop(first.request());
        let _third = take(&limiter, A);
        assert!(!is_ended(&first) && is_ended(&second));
    }

    #[tokio::test(start_paused = true)]
    async fn busy_connections_of_one_peer_leave_places_for_others() {
        let limiter = limiter(4, 3, 1);
        let busy: Vec<_> = (0..3).map(|_| take(&limiter, A)).collect();
        let _asking: Vec<_> = busy.iter().map(ConnectionSlot::request).collect();
        pass(60).await;
        assert_eq!(take(&limiter, A).kind(), SlotKind::Reserved);
        assert_eq!(take(&limiter, B).kind(), SlotKind::Open);
        assert!(!busy.iter().any(|place| is_ended(place)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_peer_does_not_give_way_to_a_greater_one() {
        let limiter = limiter(3, 3, 1);
        let small = take(&limiter, B);
        let busy: Vec<_> = (0..2).map(|_| take(&limiter, A)).collect();
        let _asking: Vec<_> = busy.iter().map(ConnectionSlot::request).collect();
        pass(60).await;
        assert_eq!(take(&limiter, A).kind(), SlotKind::Reserved);
        assert!(!is_ended(&small));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_keeps_an_answer_waiting_gives_way_after_a_while() {
        let limiter = limiter(1, 1, 1);
        let slow = take(&limiter, A);
        let _asking = slow.request();
        slow.sending(true);
        assert_eq!(take(&limiter, A).kind(), SlotKind::Reserved);
        pass(1).await;
        slow.sending(true);
        assert_eq!(take(&limiter, A).kind(), SlotKind::Open);
        assert!(is_ended(&slow));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_keeps_a_request_waiting_gives_way_after_a_while() {
        let limiter = limiter(1, 1, 1);
        let slow = take(&limiter, A);
        let _asking = slow.request();
        slow.receiving(true);
        slow.receiving(false);
        pass(5).await;
        assert_eq!(
            take(&limiter, A).kind(),
            SlotKind::Reserved,
            "it is being served"
        );
        slow.receiving(true);
        pass(1).await;
        assert_eq!(take(&limiter, A).kind(), SlotKind::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_reserved_connection_gives_way_and_the_reserve_is_limited() {
        let limiter = limiter(1, 1, 2);
        let busy = take(&limiter, A);
        let _asking = busy.request();
        let (first, second) = (take(&limiter, A), take(&limiter, A));
        let third = take(&limiter, B);
        assert!(is_ended(&first) && !is_ended(&second));
        let asking = [second.request(), third.request()];
        assert!(limiter.take(A).is_none());
        drop((asking, third));
        assert_eq!(take(&limiter, A).kind(), SlotKind::Reserved);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_on_their_way_are_bounded_and_the_slowest_reader_ends() {
        let limiter = limiter(10, 10, 1);
        let all: Vec<_> = [A, A, B].map(|peer| take(&limiter, peer)).into();
        let mut asking: Vec<_> = all.iter().map(ConnectionSlot::request).collect();
        assert!(asking[0].answer(400 * 1024));
        assert!(asking[1].answer(300 * 1024));
        assert!(asking[2].answer(250 * 1024));
        let other = take(&limiter, B);
        let mut next = other.request();
        assert!(!next.answer(100 * 1024), "nobody has been slow yet");
        assert!(
            next.answer(SMALL_ANSWER_BYTES),
            "what is small is always answered"
        );
        all[2].sending(true);
        pass(1).await;
        all[1].sending(true);
        pass(1).await;
        assert!(next.answer(100 * 1024));
        let ended = [0, 1, 2].map(|n| is_ended(&all[n]));
        assert_eq!(ended, [false, true, false], "of the peer with the most");
        drop(asking);
        assert_eq!(limiter.bytes(), 100 * 1024 + SMALL_ANSWER_BYTES);
    }

    #[test]
    fn a_site_is_one_peer() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::4"), of("2001:db8:1:2::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), A);
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
