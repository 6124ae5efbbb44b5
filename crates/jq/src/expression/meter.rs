//! What an evaluation may use, and what it has used.
//!
//! Every node that is evaluated, every value that is made and every loop in a
//! function passes here, so what an expression says cannot take more than this.
//! The counts depend on the expression and its input alone: never on the
//! machine, the build or the library that parsed the text. So an evaluation that
//! ends at a limit ends there each time.

use std::cell::Cell;
use std::fmt;

use super::stop::Stop;
use super::value::FLAT;

/// The longest text of an expression, in bytes.
pub const MAX_TEXT: usize = 8 * 1024;
/// How deeply brackets, strings within strings and prefixes may nest in the text.
pub(super) const MAX_NESTING: usize = 48;
/// The most operators and nodes of one expression, after functions that stand for others.
pub(super) const MAX_NODES: usize = 2000;
/// The most steps of one evaluation.
pub const MAX_STEPS: u64 = 200_000;
/// The most memory that one evaluation may ask for, in bytes; what it gives back is not counted.
pub const MAX_ALLOCATED: u64 = 64 * 1024 * 1024;
/// The largest value, in bytes of memory.
pub const MAX_SIZE: u64 = 16 * 1024 * 1024;
/// How deeply a value may nest. Below the limit of `serde_json`, which reads it again at a replay.
pub const MAX_DEPTH: usize = 100;
/// How many nodes may be in evaluation within one another.
pub(super) const MAX_ACTIVE: usize = 200;
/// How many bytes are moved in the time of one step.
const BYTES_PER_STEP: usize = 64;

/// Which limit an evaluation met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`MAX_STEPS`].
    Steps,
    /// [`MAX_ALLOCATED`].
    Memory,
    /// [`MAX_SIZE`].
    Size,
    /// [`MAX_DEPTH`].
    Depth,
    /// Too many functions and operators within one another.
    Nesting,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps => write!(f, "takes more than {MAX_STEPS} steps"),
            Self::Memory => write!(f, "takes more than {} MiB of memory", MAX_ALLOCATED >> 20),
            Self::Size => write!(f, "makes a value of more than {} MiB", MAX_SIZE >> 20),
            Self::Depth => write!(f, "makes a value more than {MAX_DEPTH} levels deep"),
            Self::Nesting => write!(f, "nests operators and functions too deeply"),
        }
    }
}

/// What an evaluation has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Of [`MAX_STEPS`].
    pub steps: u64,
    /// Of [`MAX_ALLOCATED`], in bytes.
    pub allocated: u64,
    /// Bytes of the input, the variables and the result, which have no limit here.
    pub moved: u64,
}

impl Spent {
    /// All of it in steps, by the time that it takes.
    pub fn work(self) -> u64 {
        let bytes = self.allocated / BYTES_PER_STEP as u64 + self.moved / FLAT as u64;
        self.steps.saturating_add(bytes)
    }
}

/// Counts one evaluation.
#[derive(Debug, Default)]
pub(super) struct Meter {
    steps: Cell<u64>,
    allocated: Cell<u64>,
    active: Cell<usize>,
}

impl Meter {
    /// Takes this many steps.
    pub(super) fn steps(&self, count: usize) -> Result<(), Stop> {
        let total = self.steps.get().saturating_add(count as u64);
        self.steps.set(total);
        if total > MAX_STEPS {
            return Err(Stop::Exceeded(Limit::Steps));
        }
        Ok(())
    }

    /// Takes the steps that looking at so many bytes costs.
    pub(super) fn scan(&self, bytes: usize) -> Result<(), Stop> {
        self.steps(bytes / BYTES_PER_STEP)
    }

    /// Takes memory, and the steps of filling it.
    pub(super) fn allocate(&self, bytes: usize) -> Result<(), Stop> {
        let total = self.allocated.get().saturating_add(bytes as u64);
        self.allocated.set(total);
        if total > MAX_ALLOCATED {
            return Err(Stop::Exceeded(Limit::Memory));
        }
        self.scan(bytes)
    }

    /// Begins a node; [`Meter::leave`] ends it.
    pub(super) fn enter(&self) -> Result<(), Stop> {
        self.active.set(self.active.get() + 1);
        if self.active.get() > MAX_ACTIVE {
            return Err(Stop::Exceeded(Limit::Nesting));
        }
        self.steps(1)
    }

    pub(super) fn leave(&self) {
        self.active.set(self.active.get() - 1);
    }

    pub(super) fn spent(&self) -> Spent {
        Spent {
            steps: self.steps.get(),
            allocated: self.allocated.get(),
            moved: 0,
        }
    }
}
