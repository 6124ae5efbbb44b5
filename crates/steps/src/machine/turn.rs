//! The input and the output of a machine: arrivals, and the answer of a turn.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Effect, Fault};
use crate::language::Temporal;

/// The way in which a run is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    /// The run stops as soon as it can be left.
    WhenSafe,
    /// The run begins no further task.
    Tasks,
    /// The run begins no further task and processes no further arrival.
    All,
}

/// A result or an event that has arrived.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Arrival {
    Done(EffectId, Result<Answer, Fault>),
    Event(Offer),
}

/// An event, with the place of the next task that may take it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Offer {
    pub(super) event: Value,
    pub(super) thread: u64,
    pub(super) depth: usize,
    /// `true` if a task has taken the event.
    pub(super) taken: bool,
}

impl From<Value> for Offer {
    fn from(event: Value) -> Self {
        Self {
            event,
            thread: 0,
            depth: 0,
            taken: false,
        }
    }
}

/// The result of an effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The result as data.
    Value(Value),
    /// The result as JSON text.
    ///
    /// A turn parses the text when it processes the result. So if many results arrive together,
    /// only one of them is in memory as data at a time.
    Json(String),
}

/// The answer of a turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// The commands for the host, in this order.
    pub commands: Vec<Command>,
    /// The log of the turn, in order. Empty unless the machine is [`super::Machine::logged`].
    pub log: Vec<Entry>,
    /// The work of the turn, in steps of expressions. A replay takes as much work again.
    pub work: u64,
    /// The status of the run after the turn.
    pub status: Status,
}

/// A command for the host.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Start an effect, and report its result.
    Start {
        id: EffectId,
        /// The path of the effect's task: a JSON pointer. Empty for effects of the run itself.
        task: String,
        /// The effect to start.
        effect: Effect,
        /// The `metadata.temporal` of the task.
        options: Box<Temporal>,
        /// `true` if the task is inside a `try` with a retry policy. The policy then decides
        /// about retries.
        retried: bool,
    },
    /// Give up an effect. Its result no longer counts.
    Cancel { id: EffectId },
}

/// The id of an effect within a run.
pub type EffectId = u64;

/// The status of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    /// The run waits for effects.
    Waiting,
    /// There is more to do now. Advance the machine again after other runs had their turn.
    Yielded,
    /// The run has stopped and can be left: only timers and listeners are active.
    Held,
    /// The run has completed with this output.
    Completed(Value),
    /// The run has failed with this error.
    Faulted(Fault),
}

/// An entry of the log: something that a turn did.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A task has begun.
    Began {
        /// The path of the task.
        task: String,
    },
    /// A task was skipped, because its `if` was not true.
    Skipped {
        /// The path of the task.
        task: String,
    },
    /// A task has completed.
    Completed {
        /// The path of the task.
        task: String,
        output: Value,
    },
    /// A task has failed.
    Faulted {
        /// The path of the task.
        task: String,
        /// The error of the task.
        fault: Fault,
    },
    /// A `try` caught an error and will run its list again.
    Retrying {
        /// The path of the task.
        task: String,
        /// The number of the retry, from 1.
        attempt: u32,
        /// The wait before the retry.
        delay: Duration,
    },
    /// A `try` caught an error and will not run its list again.
    Caught {
        /// The path of the task.
        task: String,
    },
}
