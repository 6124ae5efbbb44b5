//! The interpreter of steps: a machine that gets events and results and answers with commands.
//!
//! [`Machine::advance`] does everything that can be done now and returns the effects to start and
//! to cancel. The host carries out these commands, reports each result with [`Machine::complete`]
//! and each event with [`Machine::deliver`], and calls [`Machine::advance`] again. One machine is
//! a whole run: loops, branches and handlers are parts of the machine, not executions of their
//! own.
//!
//! Always holds: equal calls give equal commands, in equal order. The machine does no I/O and
//! does not read a clock. A turn does a limited number of tasks and evaluates expressions for a
//! limited time. For any steps, the run completes, faults, or waits for an effect.
//!
//! A run can stop and continue in another execution when only timers and listeners are active.
//! [`Machine::position`] is then everything that [`Machine::resume`] needs. After
//! [`Machine::leave`], the run stops as soon as this happens to be the case. After
//! [`Machine::hold`], no task begins until it is the case. After [`Machine::rest`], the machine
//! also takes no further results, and the position contains the results that have arrived.

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
pub use inbox::{Delivery, UNREAD_BYTES, UNREAD_LIMIT};
pub use state::Position;
pub use turn::{Answer, Command, EffectId, Entry, Status, Turn};

use super::language::Flow;
pub(crate) use evaluate::seconds;
pub(crate) use filter::same;
use inbox::Audience;
use tasks::Interpreter;
use turn::{Arrival, Offer, Stop};

/// Maximum number of tasks that a turn begins, before other runs get their turn.
///
/// The end of a turn affects the run's history. So a change of this limit, or of the limits
/// below, may only apply to runs that begin after the change.
pub const TASKS_PER_TURN: usize = 500;
/// Maximum work of expressions in a turn, in steps, before other runs get their turn.
pub const WORK_PER_TURN: u64 = 1_000_000;
/// Work of beginning a task beside the task's expressions, in steps of expressions.
const WORK_OF_TASK: u64 = 100;
/// Maximum work of the expressions of one task, in steps. The limit of a single expression is
/// lower.
pub const WORK_PER_TASK: u64 = 5_000_000;
/// Maximum data that a run holds in memory at a time, in bytes.
pub const DATA_LIMIT: u64 = 32 * 1024 * 1024;
/// Maximum size of the calls that begin before any result arrives, in bytes of JSON. Temporal
/// gets these calls in one message, which may have 4 MiB.
pub const SENT_LIMIT: usize = 3_000_000;

/// Facts about a run that never change, even when the run continues in another execution.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// The run's id: `$workflow.id`, and the beginning of the ids of the run's events.
    pub id: String,
    /// The `source` of events that state no source.
    pub source: String,
    /// The value of `$runtime`. It must be the same in each replay.
    pub runtime: Value,
    /// Number of runs before the run's events in a chain of events, this run included. `None` if
    /// no event started the run.
    pub chain: Option<u32>,
}

/// A run of steps in memory.
#[derive(Debug, Clone)]
pub struct Machine {
    flow: Arc<Flow>,
    about: About,
    position: Position,
    stop: Stop,
    /// `Some` if the run was resumed and the effects of its position must be started again. The
    /// value is the number of arrivals that the position already contained.
    resumed: Option<usize>,
    /// Estimated size of the data in the position, in bytes. The estimate only goes down when all
    /// data is counted again.
    held_bytes: u64,
    /// Size of the calls that began since the last result arrived, in bytes of JSON.
    sent: usize,
    /// Timers that ended before the run was resumed in this machine. The host of this machine
    /// never started them.
    passed: BTreeSet<EffectId>,
    audience: Audience,
    /// Number and size of the events that wait. `None` if they were not counted since the last
    /// turn.
    waiting: Option<(usize, usize)>,
    /// `true` if turns return a log of what they did.
    logged: bool,
}

impl Machine {
    /// Starts a new run.
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

    /// Resumes a run from its position, with the same flow.
    ///
    /// A position that does not fit the flow is an error.
    pub fn resume(flow: Arc<Flow>, about: About, position: Position) -> Result<Self, Fault> {
        if !position.fits(&flow) {
            let detail = "the position of the run belongs to other steps";
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

    /// Returns the same run with a log in each turn.
    #[must_use]
    pub fn logged(mut self) -> Self {
        self.logged = true;
        self
    }

    /// Does everything that can be done at the time `now`.
    pub fn advance(&mut self, now: Timestamp) -> Turn {
        let mut interpreter = Interpreter::new(&self.flow, &self.about, &mut self.position, now);
        interpreter.held.set(self.held_bytes);
        interpreter.sent.set(self.sent);
        if self.logged {
            interpreter.keep_log();
        }
        if let Some(before) = self.resumed.take() {
            // These timers ended before everything that arrives from now on.
            for id in interpreter.restart().into_iter().rev() {
                self.passed.insert(id);
                let done = Arrival::Done(id, Ok(Answer::Value(Value::Null)));
                interpreter.position.arrived.insert(before, done);
            }
        }
        let answered: BTreeSet<EffectId> = interpreter.position.answered().collect();
        interpreter.begin_run();
        // One limit covers all arrivals and tasks of the turn; the rest waits for a later turn.
        // The consequences of one arrival come before the next arrival, as if each had arrived
        // alone.
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
                interpreter.process(arrival);
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
        // An effect that another's end gives up may have ended already, or may never have started
        // in this execution. The host has nothing to cancel then.
        commands.retain(|command| match command {
            Command::Cancel { id } => !self.passed.contains(id) && !answered.contains(id),
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

    /// Reports the result of an effect.
    ///
    /// The result of an effect that was given up or never started has no consequence.
    pub fn complete(&mut self, id: EffectId, outcome: Result<Value, Fault>) {
        self.answer(id, outcome.map(Answer::Value));
    }

    /// Reports the result of an effect, which may be JSON that is not parsed yet.
    pub fn answer(&mut self, id: EffectId, outcome: Result<Answer, Fault>) {
        // The result came with a new workflow task. The calls before it were sent in another
        // message.
        self.sent = 0;
        self.position.arrived.push_back(Arrival::Done(id, outcome));
    }

    /// Begins no further task, even if effects are active, until the run is resumed from its
    /// position.
    pub fn hold(&mut self) {
        self.stop = Stop::Tasks;
    }

    /// Processes no further results and events.
    ///
    /// Arrivals stay in the position, which is available when the active effects have ended.
    /// Until then the machine does nothing else: even limits that pass have no consequence.
    pub fn rest(&mut self) {
        self.stop = Stop::All;
    }

    /// Stops as soon as the run can be left. The run continues until then, because a call may
    /// wait for the work of a later task.
    pub fn leave(&mut self) {
        self.stop = Stop::WhenSafe;
    }

    /// Continues the run, and cancels [`Self::hold`], [`Self::rest`] and [`Self::leave`].
    pub fn stay(&mut self) {
        self.stop = Stop::No;
    }

    /// The position of the run. `None` if the run cannot be left now.
    ///
    /// A run can be left when only timers and listeners are active and turns have processed
    /// everything else that arrived. A machine that rests need not have processed what arrived.
    pub fn position(&self) -> Option<&Position> {
        self.is_safe().then_some(&self.position)
    }

    fn is_safe(&self) -> bool {
        // The resumed run can process these arrivals later at little cost.
        let stays = |arrival: &Arrival| match arrival {
            Arrival::Done(id, _) => self.position.keeps(*id),
            Arrival::Event(_) => false,
        };
        self.resumed.is_none()
            && self.position.is_safe()
            && (self.stop == Stop::All || self.position.arrived.iter().all(stays))
    }

    /// The paths of the active tasks, the innermost of each branch.
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
