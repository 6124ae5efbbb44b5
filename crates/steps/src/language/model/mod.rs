//! What steps say, typed.

mod control;
mod external;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use almanac_jq::{Expression as Compiled, ExpressionError};
use serde_json::Value;

pub use control::*;
pub use external::*;

use super::{JsonSchema, Problem};

/// The steps of a definition, ready to be interpreted.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// What was read, for `$workflow.definition` and `$task.definition`.
    pub definition: Value,
    /// What is done with the run's input.
    pub input: Input,
    /// What is done with the run's output.
    pub output: Output,
    /// The limit of the whole run.
    pub timeout: Option<Length>,
    /// Every task list by its place, a JSON pointer such as `/do/0/loop/do`.
    pub lists: BTreeMap<String, TaskList>,
    /// The names that `use.secrets` declares.
    pub secrets: BTreeSet<String>,
    /// Whether an expression may look at the header of the definition: then it
    /// must travel with the steps.
    pub reads_header: bool,
    /// Every expression, with the variables that it may name.
    #[cfg(test)]
    pub(crate) expressions: Vec<super::reader::ExpressionSite>,
    /// What is hardly meant. A run takes it as it is.
    pub warnings: Vec<Problem>,
}

impl Flow {
    /// The place of the outermost list.
    pub const ROOT: &'static str = "/do";

    /// The list at a place; empty when there is none.
    pub fn list(&self, path: &str) -> &[Task] {
        self.lists.get(path).map_or(&[], |list| list)
    }
}

/// Tasks in their order.
pub type TaskList = Arc<[Task]>;

/// One task of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its name in the list.
    pub name: String,
    /// Where it stands: a JSON pointer, `/do/0/name`.
    pub path: String,
    /// `if`: without it, or when it is true, the task is done.
    pub condition: Option<Expression>,
    /// `input`.
    pub input: Input,
    /// `output`.
    pub output: Output,
    /// `export`.
    pub export: Output,
    /// `timeout`, of the task with all that is in it.
    pub timeout: Option<Length>,
    /// What comes after it.
    pub then: Then,
    /// `metadata.temporal`.
    pub temporal: Temporal,
    /// What it does.
    pub kind: Kind,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// The output is this.
    Set(Template),
    /// The output is the input, this much later.
    Wait(Length),
    /// The list at `/do` of the task.
    Do,
    /// The first case that matches, or the one without a condition, says where to go on.
    Switch(Vec<Case>),
    /// The list at `/do` of the task, for each item.
    For(For),
    /// The branches at `/fork/branches` of the task, at once.
    Fork {
        /// Whether the first to complete is the only one that counts.
        compete: bool,
    },
    /// The list at `/try` of the task, with what to do about errors.
    Try(Catch),
    /// An error, made here; one of `use.errors` is shared by all that name it.
    Raise(Arc<RaisedError>),
    /// The attributes of an event to publish.
    Emit(Template),
    /// Events to wait for.
    Listen(Listen),
    /// A call of a service.
    Call(Call),
    /// A process to run.
    Run(Run),
}

/// A jq expression, without `${` and `}`, compiled for the variables of its place.
#[derive(Debug, Clone)]
pub struct Expression(Arc<Compiled>);

impl Expression {
    /// Compiles a text. `variables` are those that it may name, without `$`.
    pub fn compile(text: &str, variables: &[&str]) -> Result<Self, ExpressionError> {
        Compiled::compile(text, variables).map(|compiled| Self(Arc::new(compiled)))
    }

    /// Its text.
    pub fn text(&self) -> &str {
        self.0.text()
    }

    /// What evaluates it.
    pub fn compiled(&self) -> &Compiled {
        &self.0
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Expression {}

/// Data of the definition, in which whole texts may be expressions.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    /// Data without expressions.
    Literal(Value),
    /// The result of an expression.
    Expression(Expression),
    /// A list with expressions in it.
    List(Vec<Template>),
    /// A map with expressions in it.
    Map(Vec<(String, Template)>),
}

/// A duration.
#[derive(Debug, Clone, PartialEq)]
pub enum Length {
    /// As written.
    Fixed(Duration),
    /// The result of an expression: ISO 8601 text, or a map of units.
    Expression(Expression),
}

/// `input` of a workflow or a task.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Input {
    /// What the raw input must satisfy.
    pub schema: Option<JsonSchema>,
    /// What becomes of it.
    pub from: Option<Template>,
}

/// `output` of a workflow or a task, or `export` of a task.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Output {
    /// What becomes of the raw output.
    pub transform: Option<Template>,
    /// What the result must satisfy.
    pub schema: Option<JsonSchema>,
}

/// A flow directive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Then {
    /// The next task of the list.
    #[default]
    Continue,
    /// The end of the list.
    Exit,
    /// The end of the run.
    End,
    /// The task with this index in the list.
    Task(usize),
}

/// Where an expression stands, which decides what it may see (the
/// specification's table of runtime expression arguments).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// `input.from` of the workflow.
    RunInput,
    /// `if` of a task.
    Condition,
    /// `input.from` of a task.
    TaskInput,
    /// Everything that a task does.
    Body,
    /// `output.as` of a task.
    TaskOutput,
    /// `export.as` of a task.
    Export,
    /// `output.as` of the workflow.
    RunOutput,
}

impl Stage {
    /// Names that no variable of a definition may have.
    pub const RESERVED: &'static [&'static str] = &[
        "context",
        "input",
        "output",
        "workflow",
        "runtime",
        "task",
        "secrets",
        "authorization",
    ];

    /// The variables that an expression there may name, without `$`. `$secrets`
    /// is none: what an expression makes of it would stand in the run's history.
    pub const fn variables(self) -> &'static [&'static str] {
        match self {
            Self::RunInput => &["workflow", "runtime"],
            Self::Condition | Self::TaskInput => &["context", "workflow", "runtime", "task"],
            Self::Body | Self::TaskOutput => &["context", "workflow", "runtime", "task", "input"],
            Self::Export => &["context", "workflow", "runtime", "task", "input", "output"],
            Self::RunOutput => &["context", "workflow", "runtime"],
        }
    }
}
