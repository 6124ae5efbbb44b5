//! Events that wait for steps that listen: their selection and their limits.

use std::collections::BTreeSet;

use almanac_base::size::json_size;
use almanac_events::MAX_BYTES;
use serde_json::Value;

use super::listen::types;
use super::state::{Doing, Position};
use super::{Arrival, Machine};
use crate::language::{Flow, Kind};

/// Maximum number of events that wait in a machine. An event waits until a task has taken and
/// handled it.
pub const UNREAD_LIMIT: usize = 1000;
/// Maximum size of all events that wait for a run, in bytes of JSON. One event of the largest size
/// fits.
///
/// A run that continues as new passes these events on beside its own data.
pub const UNREAD_BYTES: usize = MAX_BYTES;

/// The result of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The machine has the event. The event waits until a task takes it.
    Taken,
    /// The event is dropped: no task of the run ever listens to its type, or the run has ended.
    Unheard,
    /// Too many events are waiting. The event is returned for a later delivery.
    Full(Value),
}

/// The types of events that a task of the run may listen to.
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
    /// Delivers an event in the JSON format of `CloudEvents`. The event waits until a task takes
    /// it.
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

    /// Drops events that wait, newest first, until `bytes` bytes are free.
    ///
    /// Returns the number of events that were dropped.
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

    /// Removes and returns the newest event that waits and that no task has taken.
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

    /// Returns `true` if a task listens now.
    pub fn listens(&self) -> bool {
        let mut pending = self.position.pending.values();
        pending.any(|pending| matches!(pending.effect, super::Effect::Listen { .. }))
    }

    /// Returns the number of events that wait, and their size in bytes of JSON.
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

/// Events that no task has taken, and events that were taken and have not been handled.
fn waiting(position: &Position) -> impl Iterator<Item = &Value> {
    let frames = position.threads.values().flat_map(|thread| &thread.frames);
    let running = frames.filter_map(|frame| frame.running.as_ref());
    let taken = running.filter_map(|running| match &running.doing {
        Doing::Listen(listening) => Some(&listening.waiting),
        _ => None,
    });
    position.unread.iter().chain(taken.flatten())
}
