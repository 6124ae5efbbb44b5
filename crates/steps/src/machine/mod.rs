//! The interpreter of steps: a machine that is told what happened and answers
//! what to do.
//!
//! [`Machine::advance`] does all that can be done now and answers the effects
//! to start and to cancel. The host does them, tells each result with
//! [`Machine::complete`] and each event with [`Machine::deliver`], and advances
//! again. One machine is a whole run: loops, branches and handlers are its
//! own, not executions of their own.
//!
//! Always holds: equal calls give equal commands, in equal order. Nothing here
//! does I/O or reads a clock. A turn does a bounded number of tasks, and evaluates
//! expressions for a bounded time. Whatever the steps say,
//! the run completes, faults, or waits for an effect.
//!
//! A run can stop and go on elsewhere, where nothing is under way but timers and
//! listening: [`Machine::position`] is then all that [`Machine::resume`] needs.
//! After [`Machine::leave`] it stops as soon as that happens to be so; after
//! [`Machine::hold`] no task begins until it is; after [`Machine::rest`] no result
//! is looked at either, and the position has those that came.

mod completion;
mod effect;
mod emit;
mod evaluate;
mod fault;
mod filter;
mod flow;
mod frames;
mod inbox;
mod listen;
mod request;
mod results;
mod retry;
mod state;
mod tasks;
mod turn;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

pub use effect::*;
pub use fault::{Fault, Standard, shortened};
pub use inbox::{Delivery, UNREAD_LIMIT};
pub use state::Position;
pub use turn::{Answer, Command, EffectId, Entry, Status, Turn};

use super::language::Flow;
use inbox::Audience;
use tasks::Interpreter;
use turn::{Arrival, Offer, Stop};

/// How many tasks a turn begins at most: then others may run. Where a turn ends
/// stands in a run's history, so another bound here, or below, is for runs that
/// begin with it.
pub const TASKS_PER_TURN: usize = 500;
/// What expressions of a turn may take, in steps, before others may run.
pub const WORK_PER_TURN: u64 = 1_000_000;
/// What beginning a task takes beside its expressions, in their steps.
const WORK_OF_TASK: u64 = 100;
/// What expressions of one task may take, in steps. One expression is below it.
pub const WORK_PER_TASK: u64 = 5_000_000;
/// The most bytes of data that a run holds at once, in memory.
pub const DATA_LIMIT: u64 = 32 * 1024 * 1024;
/// The most bytes of JSON that calls take which begin before any result came:
/// they go to Temporal in one message, which takes 4 MiB.
pub const SENT_LIMIT: usize = 3_000_000;

/// What does not change in a run, nor when it goes on elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// The run's id: `$workflow.id`, and the beginning of its events' ids.
    pub id: String,
    /// The `source` of events that state none.
    pub source: String,
    /// `$runtime`. It must be the same in each replay.
    pub runtime: Value,
}

/// A run of steps.
#[derive(Debug, Clone)]
pub struct Machine {
    flow: Arc<Flow>,
    about: About,
    position: Position,
    stop: Stop,
    /// Effects of the position must be started again; so much had arrived before.
    resumed: Option<usize>,
    /// What the position holds, in bytes, or more.
    held_bytes: u64,
    /// What calls took that began since a result came, in bytes of JSON.
    sent: usize,
    /// Timers that ended before the run went on here, where they never began.
    passed: BTreeSet<EffectId>,
    audience: Audience,
    /// How many events wait and what they take, where that was counted since the last turn.
    waiting: Option<(usize, usize)>,
    /// Whether turns tell what they did.
    logged: bool,
}

impl Machine {
    /// A run that begins.
    pub fn start(flow: Arc<Flow>, about: About, input: Value, now: Timestamp) -> Self {
        let position = Position::new(input, now);
        Self {
            audience: Audience::of(&flow),
            waiting: None,
            logged: false,
            flow,
            about,
            held_bytes: position.weight(),
            position,
            stop: Stop::No,
            sent: 0,
            passed: BTreeSet::new(),
            resumed: None,
        }
    }

    /// A run that goes on where it was left, with the same flow. A position
    /// that cannot be one of these steps is refused.
    pub fn resume(flow: Arc<Flow>, about: About, position: Position) -> Result<Self, Fault> {
        if !position.fits(&flow) {
            let detail = "the run was left in other steps than those it is to go on with";
            return Err(Standard::Configuration.fault(detail));
        }
        Ok(Self {
            audience: Audience::of(&flow),
            waiting: None,
            logged: false,
            flow,
            about,
            held_bytes: position.weight(),
            resumed: Some(position.arrived.len()),
            position,
            stop: Stop::No,
            sent: 0,
            passed: BTreeSet::new(),
        })
    }

    /// The same run, whose turns tell what they did.
    #[must_use]
    pub fn logged(mut self) -> Self {
        self.logged = true;
        self
    }

    /// Does all that can be done at this time.
    pub fn advance(&mut self, now: Timestamp) -> Turn {
        let mut interpreter = Interpreter::new(&self.flow, &self.about, &mut self.position, now);
        interpreter.held.set(self.held_bytes);
        interpreter.sent.set(self.sent);
        if self.logged {
            interpreter.keep_log();
        }
        if let Some(before) = self.resumed.take() {
            // They ended before all that comes now.
            for id in interpreter.restart().into_iter().rev() {
                self.passed.insert(id);
                let done = Arrival::Done(id, Ok(Answer::Value(Value::Null)));
                interpreter.position.arrived.insert(before, done);
            }
        }
        let told: BTreeSet<EffectId> = interpreter.position.answered().collect();
        interpreter.begin_run();
        // One bound for all: the others have their turn later. What follows from
        // one comes before the next, as if each had come alone.
        let mut left = TASKS_PER_TURN;
        while left > 0 && !interpreter.is_tired() {
            let arrived = &mut interpreter.position.arrived;
            let arrival = if self.stop == Stop::All {
                None
            } else {
                arrived.pop_front()
            };
            let last = arrival.is_none();
            if let Some(arrival) = arrival {
                left -= 1;
                interpreter.look_at(arrival);
            }
            let stops = match self.stop {
                Stop::No => false,
                Stop::WhenSafe => interpreter.position.is_safe(),
                Stop::Tasks | Stop::All => true,
            };
            if !stops {
                left = interpreter.run_ready(left);
            }
            if last {
                break;
            }
        }
        self.held_bytes = interpreter.held.get();
        self.sent = interpreter.sent.get();
        let uuids = interpreter.uuids.get();
        let work = interpreter.taken();
        let again = std::mem::take(&mut interpreter.again);
        let (mut commands, log) = interpreter.answers();
        // One that another's end gives up was not started here, or has ended.
        commands.retain(|command| match command {
            Command::Cancel { id } => !self.passed.contains(id) && !told.contains(id),
            Command::Start { .. } => true,
        });
        self.position.uuids = uuids;
        for event in again.into_iter().rev() {
            let again = Arrival::Event(event.into());
            self.position.arrived.push_front(again);
        }
        self.waiting = None;
        Turn {
            commands,
            log,
            work,
            status: self.status(),
        }
    }

    fn status(&self) -> Status {
        match &self.position.outcome {
            Some(Ok(output)) => Status::Completed(output.clone()),
            Some(Err(fault)) => Status::Faulted(fault.clone()),
            None if self.stop != Stop::No && self.is_safe() => Status::Held,
            None if self.stop == Stop::All => Status::Waiting,
            None if !self.position.arrived.is_empty() => Status::Yielded,
            None if self.stop != Stop::Tasks && !self.position.ready.is_empty() => Status::Yielded,
            None => Status::Waiting,
        }
    }

    /// Tells the result of an effect. One that was given up, or that nobody
    /// asked for, changes nothing.
    pub fn complete(&mut self, id: EffectId, outcome: Result<Value, Fault>) {
        self.answer(id, outcome.map(Answer::Value));
    }

    /// The same, with a result that may be JSON still to be read.
    pub fn answer(&mut self, id: EffectId, outcome: Result<Answer, Fault>) {
        // It came with a new workflow task: those before it went in another message.
        self.sent = 0;
        self.position.arrived.push_back(Arrival::Done(id, outcome));
    }

    /// Begins no further task, whatever is under way, until the run is resumed from its position.
    pub fn hold(&mut self) {
        self.stop = Stop::Tasks;
    }

    /// Looks at no further result: they go with the position, where what is under
    /// way has ended. Until then nothing else is done, limits included.
    pub fn rest(&mut self) {
        self.stop = Stop::All;
    }

    /// Stops as soon as the run can be left, and goes on until then: a call may
    /// wait for what a later task does.
    pub fn leave(&mut self) {
        self.stop = Stop::WhenSafe;
    }

    /// Goes on, whatever was said of stopping.
    pub fn stay(&mut self) {
        self.stop = Stop::No;
    }

    /// Where the run is, when it can be left: nothing is under way but timers
    /// and listening, and what else was told has been seen by a turn, unless it rests.
    pub fn position(&self) -> Option<&Position> {
        self.is_safe().then_some(&self.position)
    }

    fn is_safe(&self) -> bool {
        // What is cheap to look at later.
        let stays = |arrival: &Arrival| match arrival {
            Arrival::Done(id, _) => self.position.keeps(*id),
            Arrival::Event(_) => false,
        };
        self.resumed.is_none()
            && self.position.is_safe()
            && (self.stop == Stop::All || self.position.arrived.iter().all(stays))
    }

    /// The places of the tasks that are under way, the innermost of each branch.
    pub fn current(&self) -> Vec<&str> {
        let threads = self.position.threads.values();
        threads
            .filter_map(|thread| {
                let frame = thread.frames.last()?;
                let task = self.flow.list(&frame.list).get(frame.index)?;
                Some(task.path.as_str())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
