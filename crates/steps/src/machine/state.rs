//! The position of a run.
//!
//! A position outlives a process and a release of Almanac, so a field that is added later needs a
//! default.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use almanac_base::size::weight;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Arrival, Effect, EffectId, Fault};
use crate::language::{Flow, Kind};

/// The position of a run: everything that changes during the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The run's raw input.
    pub(super) input: Value,
    pub(super) started_at: Timestamp,
    /// `true` if the run's input has been processed.
    pub(super) begun: bool,
    /// The value of `$context`, unless `context_is_input` is `true`.
    pub(super) context: Value,
    /// `true` if `$context` is still the raw input, which is then not stored twice.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) context_is_input: bool,
    /// The threads by id. The run's own thread is 0, and each branch of a `fork` has a thread.
    pub(super) threads: BTreeMap<u64, Thread>,
    /// Threads whose next task can begin, in the order of their turns.
    pub(super) ready: VecDeque<u64>,
    /// The effects that are active.
    pub(super) pending: BTreeMap<EffectId, Pending>,
    /// The next id of a thread or an effect.
    pub(super) next: u64,
    /// Number of expressions that got a seed for UUIDs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) uuids: u64,
    /// Results and events that have arrived and that no turn has processed, oldest first.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(super) arrived: VecDeque<Arrival>,
    /// Events that no task has taken, oldest first.
    pub(super) unread: VecDeque<Value>,
    /// The outcome of the run. `None` if the run has not ended.
    pub(super) outcome: Option<Result<Value, Fault>>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde wants"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Position {
    pub(super) fn new(input: Value, now: Timestamp) -> Self {
        Self {
            input,
            started_at: now,
            begun: false,
            context: Value::Null,
            context_is_input: false,
            threads: BTreeMap::new(),
            ready: VecDeque::new(),
            pending: BTreeMap::new(),
            next: 1,
            uuids: 0,
            arrived: VecDeque::new(),
            unread: VecDeque::new(),
            outcome: None,
        }
    }
}

impl Position {
    /// The value of `$context`.
    pub(super) fn context(&self) -> &Value {
        if self.context_is_input {
            &self.input
        } else {
            &self.context
        }
    }

    pub(super) fn set_context(&mut self, context: Value) {
        self.context = context;
        self.context_is_input = false;
    }

    /// Returns `true` if the run can be left: only timers and listeners are active.
    pub(super) fn is_safe(&self) -> bool {
        let stays = |pending: &Pending| {
            pending.purpose != Purpose::Task || matches!(pending.effect, Effect::Timer { .. })
        };
        let mut busy = self.pending.iter().filter(|(_, pending)| !stays(pending));
        let answered: BTreeSet<EffectId> = self.answered().collect();
        self.outcome.is_none() && busy.all(|(id, _)| answered.contains(id))
    }

    /// The effects whose results have arrived and that no turn has processed.
    pub(super) fn answered(&self) -> impl Iterator<Item = EffectId> {
        self.arrived.iter().filter_map(|arrival| match arrival {
            Arrival::Done(id, _) => Some(*id),
            Arrival::Event(_) => None,
        })
    }

    /// Returns `true` if a resumed run can process the end of this effect again: the effect is a
    /// timer, or no task waits for it.
    pub(super) fn keeps(&self, id: EffectId) -> bool {
        let pending = self.pending.get(&id);
        pending.is_none_or(|pending| pending.deadline.is_some())
    }

    /// Estimated size of the run's data in memory, in bytes, without arrivals that no turn has
    /// processed.
    pub(super) fn weight(&self) -> u64 {
        let frames = self.threads.values().flat_map(|thread| &thread.frames);
        let frames: u64 = frames.map(Frame::weight).sum();
        let pending = self.pending.values();
        let pending: u64 = pending.map(|pending| pending.effect.weight()).sum();
        let unread: u64 = self.unread.iter().map(weight).sum();
        weight(&self.input) + weight(&self.context) + frames + pending + unread
    }
}

/// The `thread` of effects that belong to the run itself.
pub(super) const NO_THREAD: u64 = u64::MAX;

impl Position {
    /// Returns `true` if the position fits these steps: every place exists, and its state fits
    /// the kind of its task.
    pub(super) fn fits(&self, flow: &Flow) -> bool {
        let frame = |thread: u64, depth: usize| self.threads.get(&thread)?.frames.get(depth);
        let threads = self.threads.values().all(|thread| {
            let parent = thread.parent.is_none_or(|parent| {
                let fork =
                    frame(parent.thread, parent.depth).and_then(|fork| fork.running.as_ref());
                fork.is_some_and(|running| matches!(running.doing, Doing::Fork { .. }))
            });
            // Every list but the innermost is inside a task.
            let inside = thread.frames.iter().rev().skip(1);
            parent
                && !thread.frames.is_empty()
                && inside.clone().all(|frame| frame.running.is_some())
                && thread.frames.iter().all(|frame| frame.fits(flow))
        });
        let pending = self.pending.values().all(|pending| {
            (pending.thread, pending.depth) == (NO_THREAD, 0)
                || frame(pending.thread, pending.depth).is_some_and(|frame| frame.running.is_some())
        });
        // Ids grow: a branch has a higher id than the thread of its fork, and no id is used
        // again.
        let youngest = self.threads.keys().chain(self.pending.keys()).max();
        let numbers = youngest.is_none_or(|youngest| *youngest < self.next)
            && self.next < NUMBERS
            && self
                .threads
                .iter()
                .all(|(id, thread)| thread.parent.is_none_or(|parent| parent.thread < *id));
        threads && pending && numbers
    }
}

/// Upper limit of ids, more than any run needs.
const NUMBERS: u64 = 1 << 48;

/// A sequence of tasks: the run's own, or that of a branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Thread {
    /// The `fork` whose branch this thread is. `None` for the run's own thread.
    pub(super) parent: Option<Parent>,
    /// The lists that the thread is in, innermost last.
    pub(super) frames: Vec<Frame>,
}

/// The place of a branch in its `fork`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Parent {
    pub(super) thread: u64,
    pub(super) depth: usize,
    pub(super) branch: usize,
}

/// A place in a task list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Frame {
    /// The path of the list.
    pub(super) list: String,
    /// The index of the current task.
    pub(super) index: usize,
    /// The index after the last task to run.
    pub(super) end: usize,
    /// The raw input of the current task.
    pub(super) data: Value,
    /// The variables that the task around the list defines.
    pub(super) variables: BTreeMap<String, Value>,
    /// The state of the current task. `None` if the task has not begun.
    pub(super) running: Option<Running>,
}

impl Frame {
    fn fits(&self, flow: &Flow) -> bool {
        let list = flow.list(&self.list);
        let Some(running) = &self.running else {
            return self.index <= self.end && self.end <= list.len();
        };
        self.index < self.end
            && self.end <= list.len()
            && match (&running.doing, &list[self.index].kind) {
                (Doing::Itself, _)
                | (Doing::List, Kind::Do)
                | (Doing::For { .. }, Kind::For(_))
                | (Doing::Fork { .. }, Kind::Fork { .. })
                | (Doing::Listen(_), Kind::Listen(_)) => true,
                (Doing::Try { .. } | Doing::Backoff { .. } | Doing::Catch, kind) => {
                    matches!(kind, Kind::Try(_))
                }
                _ => false,
            }
    }

    fn weight(&self) -> u64 {
        let variables: u64 = self.variables.values().map(weight).sum();
        let running = self.running.as_ref().map_or(0, |running| {
            running.input.as_ref().map_or(0, weight) + running.doing.weight()
        });
        weight(&self.data) + variables + running
    }

    /// Returns the transformed input of the current task.
    pub(super) fn input(&self) -> &Value {
        let running = self.running.as_ref();
        running
            .and_then(|running| running.input.as_ref())
            .unwrap_or(&self.data)
    }
}

/// The state of a task that has begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Running {
    /// The transformed input. `None` if the raw input was not transformed.
    pub(super) input: Option<Value>,
    pub(super) started_at: Timestamp,
    pub(super) doing: Doing,
}

/// The activity of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Doing {
    /// The task's own work: nothing, or one effect.
    Itself,
    /// The list of a `do` task.
    List,
    /// The items of a `for`, and the index of the next item.
    For { items: Vec<Value>, next: usize },
    /// The branches of a `fork`, with the outputs of those that have completed.
    Fork { outputs: BTreeMap<usize, Value> },
    /// The list of a `try`, with the time at which the first attempt began and the number of
    /// failed attempts.
    Try { began: Timestamp, retries: u32 },
    /// The wait of a `try` before its next attempt.
    Backoff { began: Timestamp, retries: u32 },
    /// The list of a `catch`.
    Catch,
    /// The events of a `listen`.
    Listen(Listening),
}

impl Doing {
    fn weight(&self) -> u64 {
        match self {
            Self::For { items, .. } => items.iter().map(weight).sum(),
            Self::Fork { outputs } => outputs.values().map(weight).sum(),
            Self::Listen(listening) => {
                let events = listening.outputs.iter().chain(&listening.waiting);
                events
                    .chain(listening.correlations.values())
                    .map(weight)
                    .sum()
            }
            _ => 0,
        }
    }
}

/// The progress of a `listen`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Listening {
    /// The output so far.
    pub(super) outputs: Vec<Value>,
    /// Events that were taken and have not been handled.
    pub(super) waiting: VecDeque<Value>,
    /// `true` while the list of tasks for an event is running.
    pub(super) handling: bool,
    /// Number of events that were handled.
    pub(super) handled: usize,
    /// Indexes of the filters that events have matched.
    pub(super) met: Vec<usize>,
    /// Indexes of the filters of `until` that events have matched.
    pub(super) until_met: Vec<usize>,
    /// The values of correlations, by name.
    pub(super) correlations: BTreeMap<String, Value>,
    /// The task takes no further event.
    pub(super) closed: bool,
}

/// An effect that is active.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) thread: u64,
    pub(super) depth: usize,
    pub(super) purpose: Purpose,
    pub(super) effect: Effect,
    /// The end of a timer. `None` for other effects.
    pub(super) deadline: Option<Timestamp>,
}

/// The purpose of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Purpose {
    /// The task's own work.
    Task,
    TaskTimeout,
    /// The limit of an attempt of a `try`.
    AttemptTimeout,
    /// The limit of all attempts together, for the attempt that is running.
    AttemptsTimeout,
    /// The wait before the next attempt.
    Backoff,
    /// The delivery of events for a `listen`.
    Listening,
    RunTimeout,
}
