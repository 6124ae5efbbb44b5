//! What a machine is told, and what a turn answers.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Effect, Fault};
use crate::language::Temporal;

/// How far a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    /// It stops as soon as it can be left.
    WhenSafe,
    /// No task begins.
    Tasks,
    /// Nothing that was told is looked at, either.
    All,
}

/// Something that was told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Arrival {
    Done(EffectId, Result<Answer, Fault>),
    Event(Offer),
}

/// An event, and who is to be asked next whether it is theirs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Offer {
    pub(super) event: Value,
    pub(super) thread: u64,
    pub(super) depth: usize,
    /// Somebody has taken it.
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

/// What an effect gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Data.
    Value(Value),
    /// The text of JSON. It is read when a turn takes it: of many that come
    /// together, one is in memory as data at a time.
    Json(String),
}

/// What a turn answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// What to do, in this order.
    pub commands: Vec<Command>,
    /// What was done, in this order; nothing unless the machine is [`super::Machine::logged`].
    pub log: Vec<Entry>,
    /// What it took, in steps of expressions: a replay takes as much again.
    pub work: u64,
    /// How the run stands.
    pub status: Status,
}

/// Something for the host to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Start an effect, and tell its result.
    Start {
        /// Names it.
        id: EffectId,
        /// The place of its task: a JSON pointer; empty for the run's own.
        task: String,
        /// What to do.
        effect: Effect,
        /// The task's `metadata.temporal`.
        options: Box<Temporal>,
        /// Whether a `try` around it says what is tried again.
        retried: bool,
    },
    /// Give up an effect; its result no longer counts.
    Cancel {
        /// Its name.
        id: EffectId,
    },
}

/// Names an effect within a run.
pub type EffectId = u64;

/// How a run stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    /// Effects are under way.
    Waiting,
    /// There is more to do at once: advance again after others had their turn.
    Yielded,
    /// Held, and safe to leave: nothing is under way but timers and listening.
    Held,
    /// It is over, with this output.
    Completed(Value),
    /// It is over, with this error.
    Faulted(Fault),
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A task began.
    Began {
        /// Its place.
        task: String,
    },
    /// A task's `if` was not true.
    Skipped {
        /// Its place.
        task: String,
    },
    /// A task ended well.
    Completed {
        /// Its place.
        task: String,
        /// What it gave.
        output: Value,
    },
    /// A task ended with an error.
    Faulted {
        /// Its place.
        task: String,
        /// The error.
        fault: Fault,
    },
    /// A `try` caught an error and tries again.
    Retrying {
        /// Its place.
        task: String,
        /// Which retry it is, from 1.
        attempt: u32,
        /// After how long.
        delay: Duration,
    },
    /// A `try` caught an error for good.
    Caught {
        /// Its place.
        task: String,
    },
}
