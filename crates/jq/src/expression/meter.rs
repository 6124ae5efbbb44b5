//! Limits of an evaluation, and the resources that it has used.
//!
//! Every evaluated node, every new value and every loop in a function is counted here, so no
//! expression can use more than the limits. The counts depend on the expression and its input
//! alone: never on the machine, the build or the library that parsed the text. An evaluation
//! that ends at a limit therefore ends there each time.

use std::cell::Cell;
use std::fmt;

use super::stop::Stop;
use super::value::FLAT;

/// Maximum length of the text of an expression, in bytes.
pub const MAX_TEXT: usize = 8 * 1024;
/// Maximum nesting of brackets, strings within strings and prefixes in the text.
pub(super) const MAX_NESTING: usize = 48;
/// Maximum number of operators and nodes of one expression, with functions' texts inserted.
pub(super) const MAX_NODES: usize = 2000;
/// Maximum number of steps of one evaluation.
pub const MAX_STEPS: u64 = 200_000;
/// Maximum memory that one evaluation may allocate, in bytes. Freed memory still counts.
pub const MAX_ALLOCATED: u64 = 64 * 1024 * 1024;
/// Maximum size of a value, in bytes of memory.
pub const MAX_SIZE: u64 = 16 * 1024 * 1024;
/// Maximum depth of a value, below the limit of `serde_json`, which reads the value again at a
/// replay.
pub const MAX_DEPTH: usize = 100;
/// Maximum number of nodes that may be in evaluation within one another.
pub(super) const MAX_ACTIVE: usize = 200;
/// Number of bytes that are moved in the time of one step.
const BYTES_PER_STEP: usize = 64;

/// Limit that an evaluation exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The evaluation took more than [`MAX_STEPS`] steps.
    Steps,
    /// The evaluation allocated more than [`MAX_ALLOCATED`] bytes.
    Memory,
    /// A value is larger than [`MAX_SIZE`].
    Size,
    /// A value is deeper than [`MAX_DEPTH`].
    Depth,
    /// Too many functions and operators are within one another.
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

/// Resources that an evaluation has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Number of steps, limited by [`MAX_STEPS`].
    pub steps: u64,
    /// Memory in bytes, limited by [`MAX_ALLOCATED`].
    pub allocated: u64,
    /// Bytes of the input, the variables and the result, which have no limit here.
    pub moved: u64,
}

impl Spent {
    /// The sum of all resources in steps, by the time that they take.
    pub fn work(self) -> u64 {
        let bytes = self.allocated / BYTES_PER_STEP as u64 + self.moved / FLAT as u64;
        self.steps.saturating_add(bytes)
    }
}

/// Counter of the resources of one evaluation.
#[derive(Debug, Default)]
pub(super) struct Meter {
    steps: Cell<u64>,
    allocated: Cell<u64>,
    active: Cell<usize>,
}

impl Meter {
    /// Takes this number of steps.
    pub(super) fn steps(&self, count: usize) -> Result<(), Stop> {
        let total = self.steps.get().saturating_add(count as u64);
        self.steps.set(total);
        if total > MAX_STEPS {
            return Err(Stop::Exceeded(Limit::Steps));
        }
        Ok(())
    }

    /// Takes the steps for reading this number of bytes.
    pub(super) fn scan(&self, bytes: usize) -> Result<(), Stop> {
        self.steps(bytes / BYTES_PER_STEP)
    }

    /// Takes memory, and the steps for filling it.
    pub(super) fn allocate(&self, bytes: usize) -> Result<(), Stop> {
        let total = self.allocated.get().saturating_add(bytes as u64);
        self.allocated.set(total);
        if total > MAX_ALLOCATED {
            return Err(Stop::Exceeded(Limit::Memory));
        }
        self.scan(bytes)
    }

    /// Begins the evaluation of a node; [`Meter::leave`] ends it.
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
