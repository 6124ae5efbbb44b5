//! Where a run is. It outlives a process, and a release: what is added later
//! needs a default.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use almanac_base::size::weight;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Arrival, Effect, EffectId, Fault};
use crate::language::{Flow, Kind};

/// Where a run is: all that changes in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The run's raw input.
    pub(super) input: Value,
    pub(super) started_at: Timestamp,
    /// Whether the input was looked at.
    pub(super) begun: bool,
    /// `$context`, unless that is the raw input.
    pub(super) context: Value,
    /// Whether `$context` is the raw input still, which is not held twice.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) context_is_input: bool,
    /// The run's own thread is 0; each branch of a `fork` has one more.
    pub(super) threads: BTreeMap<u64, Thread>,
    /// Threads whose next task can begin, in the order of their turns.
    pub(super) ready: VecDeque<u64>,
    /// Effects under way.
    pub(super) pending: BTreeMap<EffectId, Pending>,
    /// The next id, of a thread or an effect.
    pub(super) next: u64,
    /// How many expressions were given a seed for UUIDs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) uuids: u64,
    /// What was told and no turn has looked at yet, the first one first.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(super) arrived: VecDeque<Arrival>,
    /// Events that nobody listened to yet.
    pub(super) unread: VecDeque<Value>,
    /// How the run ended.
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
    /// `$context`.
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

    /// Whether it can be left: nothing is under way but timers and listening.
    pub(super) fn is_safe(&self) -> bool {
        let stays = |pending: &Pending| {
            pending.purpose != Purpose::Task || matches!(pending.effect, Effect::Timer { .. })
        };
        let mut busy = self.pending.iter().filter(|(_, pending)| !stays(pending));
        let answered: BTreeSet<EffectId> = self.answered().collect();
        self.outcome.is_none() && busy.all(|(id, _)| answered.contains(id))
    }

    /// The effects of which the end was told, and no turn has looked at it yet.
    pub(super) fn answered(&self) -> impl Iterator<Item = EffectId> {
        self.arrived.iter().filter_map(|arrival| match arrival {
            Arrival::Done(id, _) => Some(*id),
            Arrival::Event(_) => None,
        })
    }

    /// Whether the end of an effect can be told again where the run goes on:
    /// it is a timer's, or nobody waits for it.
    pub(super) fn keeps(&self, id: EffectId) -> bool {
        let pending = self.pending.get(&id);
        pending.is_none_or(|pending| pending.deadline.is_some())
    }

    /// What its data takes in memory, about.
    pub(super) fn weight(&self) -> u64 {
        let frames = self.threads.values().flat_map(|thread| &thread.frames);
        let frames: u64 = frames.map(Frame::weight).sum();
        let pending = self.pending.values();
        let pending: u64 = pending.map(|pending| pending.effect.weight()).sum();
        let unread: u64 = self.unread.iter().map(weight).sum();
        weight(&self.input) + weight(&self.context) + frames + pending + unread
    }
}

/// The `thread` of what belongs to the run itself.
pub(super) const NO_THREAD: u64 = u64::MAX;

impl Position {
    /// Whether it can be one of these steps: every place in it exists, and is
    /// at something that its task does.
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
        // Numbers grow: a branch is younger than its fork, and no number comes again.
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

/// More than any run counts to.
const NUMBERS: u64 = 1 << 48;

/// A sequence of tasks: the run's own, or a branch's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Thread {
    /// The `fork` that it is a branch of.
    pub(super) parent: Option<Parent>,
    /// The lists it is in, the innermost last.
    pub(super) frames: Vec<Frame>,
}

/// Where a branch belongs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Parent {
    pub(super) thread: u64,
    pub(super) depth: usize,
    pub(super) branch: usize,
}

/// A place in a task list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Frame {
    /// The list's place.
    pub(super) list: String,
    /// The present task.
    pub(super) index: usize,
    /// The index after the last task to do.
    pub(super) end: usize,
    /// The raw input of the present task.
    pub(super) data: Value,
    /// What the task around the list defines.
    pub(super) variables: BTreeMap<String, Value>,
    /// The present task, once it began.
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

    /// The transformed input of the present task.
    pub(super) fn input(&self) -> &Value {
        let running = self.running.as_ref();
        running
            .and_then(|running| running.input.as_ref())
            .unwrap_or(&self.data)
    }
}

/// A task that began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Running {
    /// Its transformed input, where it differs from the raw one.
    pub(super) input: Option<Value>,
    pub(super) started_at: Timestamp,
    pub(super) doing: Doing,
}

/// What a task is at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Doing {
    /// Its own work: nothing, or one effect.
    Itself,
    /// The list of a `do`.
    List,
    /// An iteration: the index of the next.
    For { items: Vec<Value>, next: usize },
    /// Branches: what those gave that are done.
    Fork { outputs: BTreeMap<usize, Value> },
    /// The list of a `try`: when its first attempt began, and how many failed.
    Try { began: Timestamp, retries: u32 },
    /// The wait before the next attempt.
    Backoff { began: Timestamp, retries: u32 },
    /// The list of a `catch`.
    Catch,
    /// Events.
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

/// How far a `listen` is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Listening {
    /// The output so far.
    pub(super) outputs: Vec<Value>,
    /// Events consumed and not yet handled.
    pub(super) waiting: VecDeque<Value>,
    /// Whether an event is being handled.
    pub(super) handling: bool,
    /// How many were handled.
    pub(super) handled: usize,
    /// The indexes of filters that were met.
    pub(super) met: Vec<usize>,
    /// The same, of `until`.
    pub(super) until_met: Vec<usize>,
    /// What events must have in common.
    pub(super) correlations: BTreeMap<String, Value>,
    /// No further event is consumed.
    pub(super) closed: bool,
}

/// An effect under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) thread: u64,
    pub(super) depth: usize,
    pub(super) purpose: Purpose,
    pub(super) effect: Effect,
    /// When a timer ends.
    pub(super) deadline: Option<Timestamp>,
}

/// What an effect is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Purpose {
    /// The task's own work.
    Task,
    /// The limit of a task.
    TaskTimeout,
    /// The limit of an attempt.
    AttemptTimeout,
    /// The limit of all attempts together, where it ends one that is under way.
    AttemptsTimeout,
    /// The wait before the next attempt.
    Backoff,
    /// Events for a `listen`.
    Listening,
    /// The limit of the run.
    RunTimeout,
}
