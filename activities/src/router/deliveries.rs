//! The last deliveries of events to this process, for people.
//!
//! The log is bounded and in memory. Dead deliveries, others that need attention, and those that do
//! not are kept apart, so that many of one kind do not push out those of another.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use almanac_base::size::weight;
use almanac_core::record::{Delivery, DeliveryState};
use serde_json::Value;

/// Maximum number of deliveries of each kind that are kept: dead ones, others that need attention,
/// and those that do not.
pub const DELIVERIES_KEPT: usize = 500;
/// Maximum size of all events that are kept for a replay, in bytes of memory, approximately.
pub const EVENT_BYTES_KEPT: u64 = 16 * 1024 * 1024;

/// The last deliveries to this process.
#[derive(Debug, Default)]
pub struct DeliveryLog(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    /// Deliveries of events that were given up, oldest first.
    dead: VecDeque<Entry>,
    /// Other deliveries that need attention, oldest first.
    troubled: VecDeque<Entry>,
    /// All other deliveries, oldest first.
    others: VecDeque<Entry>,
    /// Size of the events of all entries, in bytes of memory, approximately.
    bytes: u64,
    /// Number of deliveries that were recorded, with repetitions.
    recorded: u64,
}

#[derive(Debug)]
struct Entry {
    delivery: Delivery,
    /// The event, for a replay. `None` if there was no more room for it.
    event: Option<(Arc<Value>, u64)>,
}

impl DeliveryLog {
    /// Adds a delivery with its event, or replaces the delivery with the same id. An event that was
    /// accepted may have been handled before it is recorded as accepted: then nothing changes.
    pub fn record(&self, delivery: Delivery, event: &Arc<Value>) {
        let mut entries = self.lock();
        if delivery.state == DeliveryState::Accepted && entries.state(&delivery.id).is_some() {
            return;
        }
        entries.remove(&delivery.id);
        entries.add(delivery, event);
    }

    /// Adds the delivery of an event that another process gave up, unless this process knows the
    /// delivery and does not wait for it.
    pub fn recall_dead(&self, delivery: Delivery, event: &Arc<Value>) {
        let mut entries = self.lock();
        match entries.state(&delivery.id) {
            None | Some(DeliveryState::Waiting | DeliveryState::Accepted) => {
                entries.remove(&delivery.id);
                entries.add(delivery, event);
            }
            Some(_) => {}
        }
    }

    /// Forgets a delivery whose event was given up, because the event has been handled since.
    pub fn forget_dead(&self, id: &str) {
        let mut entries = self.lock();
        if entries.state(id) == Some(DeliveryState::Dead) {
            entries.remove(id);
            entries.recorded += 1;
        }
    }

    /// Number of deliveries that were recorded since the process started. It changes whenever a
    /// list of the deliveries would change.
    pub fn recorded(&self) -> u64 {
        self.lock().recorded
    }

    /// The deliveries, newest first.
    pub fn newest_first(&self) -> Vec<Delivery> {
        let entries = self.lock();
        let mut all: Vec<Delivery> = entries.all().map(|entry| entry.delivery.clone()).collect();
        all.sort_by(|one, other| (other.at, &other.id).cmp(&(one.at, &one.id)));
        all
    }

    /// The delivery with this id, and its event if the event is kept.
    pub fn get(&self, id: &str) -> Option<(Delivery, Option<Arc<Value>>)> {
        let entries = self.lock();
        let entry = entries.all().find(|entry| entry.delivery.id == id)?;
        let event = entry.event.as_ref().map(|(event, _)| Arc::clone(event));
        Some((entry.delivery.clone(), event))
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn all(&self) -> impl Iterator<Item = &Entry> {
        let troubled = self.dead.iter().chain(&self.troubled);
        troubled.chain(&self.others)
    }

    fn state(&self, id: &str) -> Option<DeliveryState> {
        let entry = self.all().find(|entry| entry.delivery.id == id)?;
        Some(entry.delivery.state)
    }

    fn add(&mut self, delivery: Delivery, event: &Arc<Value>) {
        self.recorded += 1;
        let size = weight(event);
        self.bytes += size;
        let entry = Entry {
            event: Some((Arc::clone(event), size)),
            delivery,
        };
        let list = match entry.delivery.state {
            DeliveryState::Dead => &mut self.dead,
            DeliveryState::Refused | DeliveryState::Waiting => &mut self.troubled,
            DeliveryState::Accepted
            | DeliveryState::NoMatch
            | DeliveryState::Started
            | DeliveryState::Unknown => &mut self.others,
        };
        list.push_back(entry);
        let surplus = list.len().saturating_sub(DELIVERIES_KEPT);
        let gone: Vec<Entry> = list.drain(..surplus).collect();
        self.bytes -= gone.iter().map(Entry::size).sum::<u64>();
        self.fit();
    }

    fn remove(&mut self, id: &str) {
        for list in [&mut self.dead, &mut self.troubled, &mut self.others] {
            // Most deliveries that are replaced are recent.
            let at = list.iter().rposition(|entry| entry.delivery.id == id);
            if let Some(entry) = at.and_then(|at| list.remove(at)) {
                self.bytes -= entry.size();
            }
        }
    }

    /// Drops events, the oldest of deliveries without a problem first, until the rest is small
    /// enough.
    fn fit(&mut self) {
        let problems = self.troubled.iter_mut().chain(&mut self.dead);
        for entry in self.others.iter_mut().chain(problems) {
            if self.bytes <= EVENT_BYTES_KEPT {
                return;
            }
            self.bytes -= entry.size();
            entry.event = None;
        }
    }
}

impl Entry {
    fn size(&self) -> u64 {
        self.event.as_ref().map_or(0, |(_, size)| *size)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn delivery(id: &str, state: DeliveryState) -> Delivery {
        Delivery {
            id: id.to_owned(),
            state,
            ..Delivery::default()
        }
    }

    #[test]
    fn deliveries_with_a_problem_outlive_many_without() {
        let log = DeliveryLog::default();
        let event = Arc::new(json!({ "data": 1 }));
        log.record(delivery("dead", DeliveryState::Dead), &event);
        log.record(delivery("waiting", DeliveryState::Waiting), &event);
        for number in 0..=DELIVERIES_KEPT {
            log.record(
                delivery(&number.to_string(), DeliveryState::Started),
                &event,
            );
        }
        assert!(log.get("dead").is_some() && log.get("waiting").is_some());
        assert!(log.get("0").is_none());
        assert!(log.get("1").is_some());
        assert_eq!(log.newest_first().len(), DELIVERIES_KEPT + 2);
    }

    #[test]
    fn a_delivery_that_is_tried_again_stands_once() {
        let log = DeliveryLog::default();
        let event = Arc::new(json!({}));
        log.record(delivery("a", DeliveryState::Waiting), &event);
        log.record(delivery("a", DeliveryState::Started), &event);
        let all = log.newest_first();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].state, DeliveryState::Started);
        assert_eq!(log.recorded(), 2);
    }

    #[test]
    fn an_event_that_is_handled_before_it_is_recorded_as_accepted_stays_handled() {
        let log = DeliveryLog::default();
        let event = Arc::new(json!({}));
        log.record(delivery("a", DeliveryState::Started), &event);
        log.record(delivery("a", DeliveryState::Accepted), &event);
        assert_eq!(log.newest_first()[0].state, DeliveryState::Started);
        assert_eq!(log.newest_first().len(), 1);
    }

    #[test]
    fn an_event_that_was_given_up_elsewhere_is_known_until_it_is_handled() {
        let log = DeliveryLog::default();
        let event = Arc::new(json!({}));
        log.record(delivery("a", DeliveryState::Waiting), &event);
        log.record(delivery("b", DeliveryState::Started), &event);
        for id in ["a", "b", "c"] {
            log.recall_dead(delivery(id, DeliveryState::Dead), &event);
        }
        let state = |id: &str| log.get(id).map(|(delivery, _)| delivery.state);
        assert_eq!(state("a"), Some(DeliveryState::Dead));
        assert_eq!(state("b"), Some(DeliveryState::Started));
        assert_eq!(state("c"), Some(DeliveryState::Dead));
        for id in ["a", "b", "c"] {
            log.forget_dead(id);
        }
        assert_eq!(log.newest_first().len(), 1);
        assert_eq!(state("b"), Some(DeliveryState::Started));
    }

    #[test]
    fn the_events_that_are_kept_are_bounded() {
        let log = DeliveryLog::default();
        let event = Arc::new(json!("x".repeat(1_000_000)));
        for number in 0..20 {
            log.record(
                delivery(&number.to_string(), DeliveryState::Started),
                &event,
            );
        }
        let kept = |id: &str| log.get(id).unwrap().1.is_some();
        assert!(!kept("0") && !kept("3"));
        assert!(kept("4") && kept("19"));
        assert_eq!(log.lock().bytes, 16 * (1_000_000 + 32));
    }
}
