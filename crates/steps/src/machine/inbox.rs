//! Events on their way to the steps that listen: which wait, and how many.

use std::collections::BTreeSet;

use almanac_base::size::json_size;
use serde_json::Value;

use super::listen::types;
use super::state::{Doing, Position};
use super::{Arrival, Machine};
use crate::event::UNREAD_BYTES;
use crate::language::{Flow, Kind};

/// How many events wait in a machine until a step takes them and is done with them.
pub const UNREAD_LIMIT: usize = 1000;

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It is heard, or waits for a step that listens.
    Taken,
    /// No step of these ever listens to its type, or the run is over.
    Unheard,
    /// Too many wait already. Here it is again, for later.
    Full(Value),
}

/// The types of events that some step may listen to.
#[derive(Debug, Clone)]
pub(super) enum Audience {
    All,
    Types(BTreeSet<String>),
}

impl Audience {
    pub(super) fn of(flow: &Flow) -> Self {
        let mut all = BTreeSet::new();
        for task in flow.lists.values().flat_map(|list| list.iter()) {
            if let Kind::Listen(listen) = &task.kind {
                let some = types(&listen.to);
                if some.is_empty() {
                    return Self::All;
                }
                all.extend(some);
            }
        }
        Self::Types(all)
    }

    fn wants(&self, event: &Value) -> bool {
        match self {
            Self::All => true,
            Self::Types(types) => event
                .get("type")
                .and_then(Value::as_str)
                .is_some_and(|kind| types.contains(kind)),
        }
    }
}

impl Machine {
    /// Tells an event, as `CloudEvents` has it in JSON. It waits until a step
    /// listens to it.
    pub fn deliver(&mut self, event: Value) -> Delivery {
        if self.position.outcome.is_some() || !self.audience.wants(&event) {
            return Delivery::Unheard;
        }
        let size = json_size(&event);
        let (count, bytes) = self.waiting.unwrap_or_else(|| self.count());
        let full = count >= UNREAD_LIMIT || bytes.saturating_add(size) > UNREAD_BYTES;
        if full {
            self.waiting = Some((count, bytes));
            return Delivery::Full(event);
        }
        self.waiting = Some((count + 1, bytes + size));
        self.position
            .arrived
            .push_back(Arrival::Event(event.into()));
        Delivery::Taken
    }

    /// Gives up events that wait, the newest first, until they took so many bytes;
    /// how many.
    pub fn give_up(&mut self, bytes: usize) -> u64 {
        let (mut count, mut freed) = (0, 0);
        while freed < bytes
            && let Some(event) = self.newest()
        {
            count += 1;
            freed += json_size(&event);
        }
        count
    }

    /// The newest of the events that wait and that no step has taken.
    fn newest(&mut self) -> Option<Value> {
        let arrived = &mut self.position.arrived;
        let last = arrived.iter().rposition(|arrival| match arrival {
            Arrival::Event(offer) => !offer.taken,
            Arrival::Done(..) => false,
        });
        match last.and_then(|last| arrived.remove(last)) {
            Some(Arrival::Event(offer)) => Some(offer.event),
            _ => self.position.unread.pop_back(),
        }
    }

    /// Whether a step listens now.
    pub fn listens(&self) -> bool {
        let mut pending = self.position.pending.values();
        pending.any(|pending| matches!(pending.effect, super::Effect::Listen { .. }))
    }

    /// How many events wait, and what they take.
    fn count(&self) -> (usize, usize) {
        let arrived = self
            .position
            .arrived
            .iter()
            .filter_map(|arrival| match arrival {
                Arrival::Event(offer) => Some(&offer.event),
                Arrival::Done(..) => None,
            });
        arrived
            .chain(waiting(&self.position))
            .fold((0, 0), |(count, bytes), event| {
                (count + 1, bytes + json_size(event))
            })
    }
}

/// Events that nobody has taken, and those that were and are not handled yet.
fn waiting(position: &Position) -> impl Iterator<Item = &Value> {
    let frames = position.threads.values().flat_map(|thread| &thread.frames);
    let running = frames.filter_map(|frame| frame.running.as_ref());
    let taken = running.filter_map(|running| match &running.doing {
        Doing::Listen(listening) => Some(&listening.waiting),
        _ => None,
    });
    position.unread.iter().chain(taken.flatten())
}
