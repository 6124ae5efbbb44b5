//! The interpreter from outside: steps and results in; commands, log and the
//! run's end out.

mod conformance;
mod damaged_input;
mod data;
mod emits;
mod errors;
mod event_delivery;
mod events;
mod flow;
mod gherkin;
mod programs;
mod properties;
mod results;
mod scenario;
mod scenarios;
mod time;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{About, Command, Effect, EffectId, Entry, Fault, Machine, Standard, Status, Turn};
use crate::language::{Flow, Problem, parse};

/// The function that answers the effects of a test.
type Host = fn(&Effect) -> Result<Value, Fault>;

/// A run with a clock of its own: timers end in their order, when all other
/// effects were answered.
struct Run {
    machine: Machine,
    flow: Arc<Flow>,
    now: Timestamp,
    host: Host,
    /// Effects under way; timers with their end.
    effects: BTreeMap<EffectId, (Effect, Option<Timestamp>)>,
    commands: Vec<Command>,
    log: Vec<Entry>,
    /// Held or resting so, and resumed, at each turn, through JSON.
    interrupted: Option<fn(&mut Machine)>,
    /// Time that passes when a turn ends with more to do.
    turn_takes: Duration,
}

fn read(steps: &Value) -> Arc<Flow> {
    match parse(steps) {
        Ok(flow) => Arc::new(flow),
        Err(problems) => {
            let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
            panic!("{}", lines.join("\n"))
        }
    }
}

fn about() -> About {
    About {
        id: "test/run".to_owned(),
        source: "almanac/test".to_owned(),
        runtime: json!({ "name": "almanac" }),
        chain: None,
    }
}

fn nobody(effect: &Effect) -> Result<Value, Fault> {
    match effect {
        Effect::Emit { .. } => Ok(Value::Null),
        other => Err(Standard::Communication.fault(format!("nobody answers {other:?}"))),
    }
}

/// A machine that continues the run of another one, from the JSON of its position.
fn continued(machine: &Machine, flow: &Arc<Flow>) -> Machine {
    let position = serde_json::to_string(machine.position().unwrap()).unwrap();
    let position = serde_json::from_str(&position).unwrap();
    let machine = Machine::resume(Arc::clone(flow), about(), position);
    machine.unwrap().logged()
}

impl Run {
    fn new(steps: &Value, input: Value, host: Host) -> Self {
        let (flow, now) = (read(steps), Timestamp::UNIX_EPOCH);
        Self {
            machine: Machine::start(Arc::clone(&flow), about(), input, now).logged(),
            flow,
            now,
            host,
            effects: BTreeMap::new(),
            commands: Vec::new(),
            log: Vec::new(),
            interrupted: None,
            turn_takes: Duration::ZERO,
        }
    }

    /// Does a single turn.
    fn turn(&mut self) -> Status {
        let Turn {
            commands,
            log,
            status,
            ..
        } = self.machine.advance(self.now);
        for command in &commands {
            match command {
                Command::Start { id, effect, .. } => {
                    let end = match effect {
                        Effect::Timer { duration } => Some(self.now + *duration),
                        _ => None,
                    };
                    self.effects.insert(*id, (effect.clone(), end));
                }
                Command::Cancel { id } => {
                    assert!(self.effects.remove(id).is_some(), "{id} is not under way");
                }
            }
        }
        self.commands.extend(commands);
        self.log.extend(log);
        status
    }

    /// Answers what is there while there is more to do at once: calls, and
    /// timers that have ended.
    fn answer_ready(&mut self) {
        let ready = |(id, (effect, end)): (&EffectId, &(Effect, Option<Timestamp>))| match effect {
            Effect::Listen { .. } => None,
            Effect::Timer { .. } => end.is_some_and(|end| end <= self.now).then_some(*id),
            _ => Some(*id),
        };
        let ready: Vec<EffectId> = self.effects.iter().filter_map(ready).collect();
        for id in ready {
            let outcome = match self.effects.remove(&id) {
                Some((effect, None)) => {
                    self.hear(&effect);
                    (self.host)(&effect)
                }
                _ => Ok(Value::Null),
            };
            self.machine.complete(id, outcome);
        }
    }

    /// The run receives the events that it emits.
    fn hear(&mut self, effect: &Effect) {
        if let Effect::Emit { event } = effect {
            self.machine.deliver(event.clone());
        }
    }

    /// Answers the effect that comes first; false when there is none but listening.
    fn answer(&mut self) -> bool {
        let work = self.effects.iter().find(|(_, (effect, _))| {
            !matches!(effect, Effect::Timer { .. } | Effect::Listen { .. })
        });
        if let Some((id, (effect, _))) = work {
            let (id, effect) = (*id, effect.clone());
            self.effects.remove(&id);
            self.hear(&effect);
            let outcome = (self.host)(&effect);
            self.machine.complete(id, outcome);
            return true;
        }
        let timers = self
            .effects
            .iter()
            .filter_map(|(id, (_, end))| Some(((*end)?, *id)));
        let Some((end, id)) = timers.min() else {
            return false;
        };
        self.now = self.now.max(end);
        self.effects.remove(&id);
        self.machine.complete(id, Ok(Value::Null));
        true
    }

    /// Turns until the run is over, or waits for an event.
    fn go(&mut self) -> Status {
        self.go_for(10_000).expect("the run ends")
    }

    /// Runs at most this number of turns. `None` if the run needs more.
    fn go_for(&mut self, turns: usize) -> Option<Status> {
        for _ in 0..turns {
            let mut status = self.turn();
            if let Some(how) = self.interrupted {
                status = self.interrupt(how);
            }
            match status {
                Status::Waiting if !self.answer() => return Some(status),
                Status::Waiting => {}
                Status::Yielded => {
                    self.now += self.turn_takes;
                    self.answer_ready();
                }
                over => return Some(over),
            }
        }
        None
    }

    /// Holds the run, or has it rest, and goes on from its position as JSON.
    fn interrupt(&mut self, how: fn(&mut Machine)) -> Status {
        how(&mut self.machine);
        loop {
            match self.turn() {
                Status::Held => break,
                Status::Waiting => assert!(self.answer(), "held, and nothing to wait for"),
                Status::Yielded => {}
                over => return over,
            }
        }
        self.machine = continued(&self.machine, &self.flow);
        self.effects.clear();
        self.turn()
    }

    /// The names of the tasks that began, in their order.
    fn began(&self) -> Vec<&str> {
        let began = self.log.iter().filter_map(|entry| match entry {
            Entry::Began { task } => task.rsplit('/').next(),
            _ => None,
        });
        began.collect()
    }

    fn elapsed(&self) -> Duration {
        self.now
            .duration_since(Timestamp::UNIX_EPOCH)
            .try_into()
            .unwrap()
    }
}

/// The end of a run without effects but timers and events to publish.
#[track_caller]
fn end(steps: &Value, input: Value) -> Status {
    Run::new(steps, input, nobody).go()
}

#[track_caller]
fn output(steps: &Value, input: Value) -> Value {
    match end(steps, input) {
        Status::Completed(output) => output,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn fault(steps: &Value, input: Value) -> Fault {
    match end(steps, input) {
        Status::Faulted(fault) => fault,
        other => panic!("{other:?}"),
    }
}
