//! `listen`: the events that a task takes, and the end of the task.

use std::collections::BTreeMap;

use almanac_base::size::weight;
use serde_json::Value;

use super::evaluate::{BYTES_PER_STEP, View};
use super::frames::Place;
use super::state::{Doing, Listening, Purpose};
use super::tasks::Interpreter;
use super::{Effect, Fault, Offer};
use crate::language::{EachEvent, EventFilter, Events, Kind, Listen, Stage, Template, Until};

impl<'t> Interpreter<'t> {
    pub(super) fn begin_listen(&mut self, place: Place, listen: &Listen) -> Result<(), Fault> {
        self.set_doing(place, Doing::Listen(Listening::default()));
        let types = types(&listen.to);
        self.start(place, Purpose::Listening, Effect::Listen { types });
        // Events that arrived before this task began to listen.
        let mut index = 0;
        while let Some(event) = self.position.unread.get(index).cloned() {
            let closed = |listening: &Listening| listening.closed;
            if self.listening(place).is_none_or(closed) {
                break;
            }
            if self.is_tired() {
                let rest = self.position.unread.split_off(index);
                self.again.extend(rest);
                break;
            }
            self.task_work.set(0);
            if self.offer(place, &event)? {
                // The task has taken the event, even if handling the event fails.
                self.position.unread.remove(index);
                self.settle(place)?;
            } else {
                index += 1;
            }
        }
        Ok(())
    }

    /// Offers an event to each task that listens, in order. If no task takes the event, the event
    /// waits in the position.
    ///
    /// Returns the rest of the offer if the turn has used up its limit of work. No other task
    /// begins to listen until every task has got the offer.
    pub(super) fn hear(&mut self, mut offer: Offer) -> Option<Offer> {
        let threads = self.position.threads.range(offer.thread..);
        let threads: Vec<u64> = threads.map(|(thread, _)| *thread).collect();
        for thread in threads {
            let begun = thread == offer.thread;
            let first = if begun { offer.depth } else { 0 };
            for depth in first.. {
                let place = Place { thread, depth };
                if !self.exists(place) {
                    break;
                }
                let closed = |listening: &Listening| listening.closed;
                if self.listening(place).is_none_or(closed) {
                    continue;
                }
                if self.is_tired() {
                    return Some(Offer {
                        thread,
                        depth,
                        ..offer
                    });
                }
                self.task_work.set(0);
                let result = self.offer(place, &offer.event).and_then(|consumed| {
                    offer.taken |= consumed;
                    if consumed { self.settle(place) } else { Ok(()) }
                });
                self.or_fault(place, result);
            }
        }
        if !offer.taken && self.position.outcome.is_none() {
            self.position.unread.push_back(offer.event);
        }
        None
    }

    pub(super) fn listening(&self, place: Place) -> Option<&Listening> {
        match self.doing(place)? {
            Doing::Listen(listening) => Some(listening),
            _ => None,
        }
    }

    pub(super) fn listening_mut(&mut self, place: Place) -> Option<&mut Listening> {
        match self.doing_mut(place)? {
            Doing::Listen(listening) => Some(listening),
            _ => None,
        }
    }

    fn listen_of(&self, place: Place) -> Option<&'t Listen> {
        match &self.task(place).kind {
            Kind::Listen(listen) => Some(listen),
            _ => None,
        }
    }

    /// Returns `true` if the `listen` at a place takes an event. `settle` then handles the event.
    fn offer(&mut self, place: Place, event: &Value) -> Result<bool, Fault> {
        let Some(listen) = self.listen_of(place) else {
            return Ok(false);
        };
        let consumed = match &listen.to {
            Events::All(_) => self.meets(place, &listen.to, event, false)?,
            Events::Any { filters, until } => {
                if let Some(Until::Events(events)) = until
                    && self.meets(place, events, event, true)?
                {
                    return Ok(true);
                }
                self.any(place, filters, event)?
            }
        };
        if !consumed {
            return Ok(false);
        }
        self.take(event)?;
        let single = matches!(&listen.to, Events::Any { until: None, .. });
        if let Some(listening) = self.listening_mut(place) {
            listening.closed |= single;
            listening.waiting.push_back(event.clone());
        }
        Ok(true)
    }

    /// Returns `true` if an event matches a filter that no earlier event has matched.
    ///
    /// If no filter is left, the `listen` takes no further event.
    fn meets(
        &mut self,
        place: Place,
        events: &Events,
        event: &Value,
        until: bool,
    ) -> Result<bool, Fault> {
        let met = |listening: &Listening| {
            if until {
                listening.until_met.clone()
            } else {
                listening.met.clone()
            }
        };
        let Some(before) = self.listening(place).map(met) else {
            return Ok(false);
        };
        let (filters, all) = match events {
            Events::All(filters) => (filters, true),
            Events::Any { filters, .. } => (filters, false),
        };
        let mut found = (!all && filters.is_empty()).then_some(0);
        for (index, filter) in filters.iter().enumerate() {
            if found.is_none() && !before.contains(&index) && self.matches(place, filter, event)? {
                found = Some(index);
            }
        }
        let Some(index) = found else {
            return Ok(false);
        };
        let complete = !all || before.len() + 1 == filters.len();
        if let Some(listening) = self.listening_mut(place) {
            let met = if until {
                &mut listening.until_met
            } else {
                &mut listening.met
            };
            met.push(index);
            listening.closed |= complete;
        }
        Ok(true)
    }

    fn any(&mut self, place: Place, filters: &[EventFilter], event: &Value) -> Result<bool, Fault> {
        for filter in filters {
            if self.matches(place, filter, event)? {
                return Ok(true);
            }
        }
        Ok(filters.is_empty())
    }

    /// Handles the events that were taken, and ends the task if it takes no further event.
    fn settle(&mut self, place: Place) -> Result<(), Fault> {
        // Finding the task that takes an event does not count as work of the step.
        self.task_work.set(0);
        let Some(listen) = self.listen_of(place) else {
            return Ok(());
        };
        loop {
            let Some(listening) = self.listening_mut(place) else {
                return Ok(());
            };
            if listening.handling {
                return Ok(());
            }
            let Some(mut event) = listening.waiting.pop_front() else {
                break;
            };
            if !listen.envelope {
                event = data(event);
            }
            match &listen.each {
                None => listening.outputs.push(event),
                Some(each) if each.handles => {
                    listening.handling = true;
                    let variables = variables(each, event, listening.handled);
                    let input = self.frame(place).input().clone();
                    self.keep(weight(&input))?;
                    let list = format!("{}/foreach/do", self.task(place).path);
                    self.enter(place, list, input, variables);
                    return Ok(());
                }
                Some(each) => {
                    let variables = variables(each, event.clone(), listening.handled);
                    self.shape(place, each, event, &variables)?;
                }
            }
            if let Some(listening) = self.listening_mut(place) {
                listening.handled += 1;
            }
            self.check_until(place, listen)?;
        }
        let over = self
            .listening_mut(place)
            .filter(|listening| listening.closed)
            .map(|listening| std::mem::take(&mut listening.outputs));
        match over {
            Some(outputs) => self.finish(place, Value::Array(outputs), None),
            None => Ok(()),
        }
    }

    /// Ends listening if the condition of `until` holds after an event. Events that were not
    /// handled are left for other tasks.
    fn check_until(&mut self, place: Place, listen: &Listen) -> Result<(), Fault> {
        let Events::Any {
            until: Some(Until::Condition(condition)),
            ..
        } = &listen.to
        else {
            return Ok(());
        };
        // The outputs are moved out and back, because a copy for each event would take quadratic
        // time.
        let outputs = self
            .listening_mut(place)
            .map(|listening| std::mem::take(&mut listening.outputs));
        let outputs = Value::Array(outputs.unwrap_or_default());
        self.worked(weight(&outputs) / BYTES_PER_STEP)?;
        let over = self.condition(View::body(place), condition, &outputs)?;
        if let (Some(listening), Value::Array(outputs)) = (self.listening_mut(place), outputs) {
            listening.outputs = outputs;
            listening.closed |= over;
            if over {
                let left = std::mem::take(&mut listening.waiting);
                for event in left.into_iter().rev() {
                    self.position.unread.push_front(event);
                }
            }
        }
        Ok(())
    }

    /// Completes the list of tasks that handled an event.
    pub(super) fn event_handled(
        &mut self,
        place: Place,
        output: Value,
        variables: &BTreeMap<String, Value>,
    ) -> Result<(), Fault> {
        let Some(listen) = self.listen_of(place) else {
            return Ok(());
        };
        if let Some(each) = &listen.each {
            self.shape(place, each, output, variables)?;
        }
        if let Some(listening) = self.listening_mut(place) {
            listening.handling = false;
            listening.handled += 1;
        }
        self.check_until(place, listen)?;
        self.settle(place)
    }

    /// Transforms the result of handling an event, and adds it to the output.
    fn shape(
        &mut self,
        place: Place,
        each: &EachEvent,
        data: Value,
        variables: &BTreeMap<String, Value>,
    ) -> Result<(), Fault> {
        let extra: Vec<(&str, Value)> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        let view = View::of(place, Stage::TaskOutput).with(&extra);
        let made = self.transform(view, &each.output, &data)?.unwrap_or(data);
        self.take(&made)?;
        // The task has no output of its own yet.
        let view = View {
            output: Some(&made),
            ..View::of(place, Stage::Export).with(&extra)
        };
        self.export(view, &each.export, &made)?;
        if let Some(listening) = self.listening_mut(place) {
            listening.outputs.push(made);
        }
        Ok(())
    }
}

fn variables(each: &EachEvent, event: Value, index: usize) -> BTreeMap<String, Value> {
    BTreeMap::from([
        (each.item.clone(), event),
        (each.at.clone(), Value::from(index)),
    ])
}

/// Returns the data of an event. Binary data is base64 text.
fn data(mut event: Value) -> Value {
    let mut attribute = |name: &str| event.get_mut(name).map(Value::take);
    attribute("data")
        .or_else(|| attribute("data_base64"))
        .unwrap_or_default()
}

/// Returns the types of the events that a `listen` can take. Empty if an event of any type can
/// match.
pub(super) fn types(events: &Events) -> Vec<String> {
    let mut found = Vec::new();
    if collect(events, &mut found).is_none() {
        return Vec::new();
    }
    found.sort();
    found.dedup();
    found
}

fn collect(events: &Events, found: &mut Vec<String>) -> Option<()> {
    let (filters, until) = match events {
        Events::All(filters) => (filters, None),
        Events::Any { filters, until } => (filters, until.as_ref()),
    };
    if filters.is_empty() {
        return None;
    }
    for filter in filters {
        let wanted = filter.with.iter().find(|(name, _)| name == "type");
        match wanted {
            Some((_, Template::Literal(Value::String(name)))) => found.push(name.clone()),
            _ => return None,
        }
    }
    match until {
        Some(Until::Events(events)) => collect(events, found),
        _ => Some(()),
    }
}
