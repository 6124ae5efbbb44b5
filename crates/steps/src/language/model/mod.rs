//! The typed form of steps.

mod control;
mod external;
mod trigger;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use almanac_jq::{Expression as Compiled, ExpressionError};
use serde_json::{Map, Value};

pub use control::*;
pub use external::*;
pub use trigger::*;

use super::{JsonSchema, Problem};

/// The steps of a definition, ready to be interpreted.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// The definition as it was read, for `$workflow.definition` and `$task.definition`.
    pub definition: Value,
    /// Schema and transformation of the run's input.
    pub input: Input,
    /// Schema and transformation of the run's output.
    pub output: Output,
    /// The limit of the whole run.
    pub timeout: Option<Length>,
    /// Every task list by its place, a JSON pointer such as `/do/0/loop/do`.
    pub lists: BTreeMap<String, TaskList>,
    /// Names of the secrets that `use.secrets` declares.
    pub secrets: BTreeSet<String>,
    /// `true` if an expression may read the header of the definition. The header must then travel
    /// with the steps.
    pub reads_header: bool,
    /// Every expression, with the variables that it may name.
    #[cfg(test)]
    pub(crate) expressions: Vec<super::reader::ExpressionSite>,
    /// Warnings about steps that are valid but probably not intended. A run executes such steps
    /// as they are.
    pub warnings: Vec<Problem>,
}

impl Flow {
    /// The path of the outermost list.
    pub const ROOT: &'static str = "/do";

    /// The task list at a path. Empty if there is no such list.
    pub fn list(&self, path: &str) -> &[Task] {
        self.lists.get(path).map_or(&[], |list| list)
    }
}

/// The tasks of a list, in order.
pub type TaskList = Arc<[Task]>;

/// A task of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The task's name in its list.
    pub name: String,
    /// The path of the task: a JSON pointer such as `/do/0/name`.
    pub path: String,
    /// `if`: the task runs if the condition is true or left out.
    pub condition: Option<Expression>,
    /// `input` of the task.
    pub input: Input,
    /// `output` of the task.
    pub output: Output,
    /// `export` of the task.
    pub export: Output,
    /// `timeout`: the limit of the task with everything in it.
    pub timeout: Option<Length>,
    /// The flow directive after the task.
    pub then: Then,
    /// `metadata.temporal` of the task.
    pub temporal: Temporal,
    /// The work of the task.
    pub kind: Kind,
}

/// The kind of a task, with its work.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `set`: the output is this data.
    Set(Template),
    /// `wait`: the output is the input, after this time.
    Wait(Length),
    /// `do`: the task runs the list at `/do` of the task.
    Do,
    /// `switch`: the first case that matches, or else the case without a condition, decides the
    /// next task.
    Switch(Vec<Case>),
    /// `for`: the task runs the list at `/do` of the task for each item.
    For(For),
    /// `fork`: the task runs the branches at `/fork/branches` of the task concurrently.
    Fork {
        /// `true` if only the first branch to complete counts.
        compete: bool,
    },
    /// `try`: the task runs the list at `/try` of the task and handles its errors.
    Try(Catch),
    /// `raise`: the task fails with this error. All tasks that name an error of `use.errors`
    /// share it.
    Raise(Arc<RaisedError>),
    /// `emit`: the attributes of an event to publish.
    Emit(Template),
    /// `listen`: the events to wait for.
    Listen(Listen),
    /// `call`: a call of a service.
    Call(Call),
    /// `run`: a process to run.
    Run(Run),
}

/// A jq expression, without `${` and `}`, compiled for the variables of its place.
#[derive(Debug, Clone)]
pub struct Expression(Arc<Compiled>);

impl Expression {
    /// Compiles a text. `variables` are the names of the variables that the text may use, without
    /// `$`.
    pub fn compile(text: &str, variables: &[&str]) -> Result<Self, ExpressionError> {
        Compiled::compile(text, variables).map(|compiled| Self(Arc::new(compiled)))
    }

    /// The source text of the expression.
    pub fn text(&self) -> &str {
        self.0.text()
    }

    /// The compiled form of the expression.
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

/// Data of the definition, in which a whole text may be an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Template {
    /// Data without expressions.
    Literal(Value),
    Expression(Expression),
    /// A list with expressions in it.
    List(Vec<Template>),
    /// A map with expressions in it.
    Map(Vec<(String, Template)>),
}

impl Template {
    /// Returns the data with the results of its expressions. These results are data: expressions
    /// in them are not evaluated.
    pub(crate) fn fill<E>(
        &self,
        evaluate: &mut impl FnMut(&Expression) -> Result<Value, E>,
    ) -> Result<Value, E> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Expression(expression) => evaluate(expression),
            Self::List(items) => items
                .iter()
                .map(|item| item.fill(evaluate))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array),
            Self::Map(entries) => entries
                .iter()
                .map(|(key, item)| Ok((key.clone(), item.fill(evaluate)?)))
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
        }
    }
}

/// A duration: fixed, or the result of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Length {
    /// A duration as written.
    Fixed(Duration),
    /// The result of an expression: ISO 8601 text, or a map of units.
    Expression(Expression),
}

/// `input` of a workflow or a task.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Input {
    /// Schema of the raw input.
    pub schema: Option<JsonSchema>,
    /// Transformation of the raw input.
    pub from: Option<Template>,
}

/// `output` of a workflow or a task, or `export` of a task.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Output {
    /// Transformation of the raw output.
    pub transform: Option<Template>,
    /// Schema of the result of the transformation.
    pub schema: Option<JsonSchema>,
}

/// A flow directive: the place at which the run continues.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Then {
    /// The next task of the list.
    #[default]
    Continue,
    /// The end of the list.
    Exit,
    End,
    /// The task with this index in the list.
    Task(usize),
}

/// The position of an expression, which decides the variables that the expression may use (the
/// specification's table of runtime expression arguments).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// `input.from` of the workflow.
    RunInput,
    /// `if` of a task.
    Condition,
    /// `input.from` of a task.
    TaskInput,
    /// Everything in the body of a task.
    Body,
    /// `output.as` of a task.
    TaskOutput,
    /// `export.as` of a task.
    Export,
    /// `output.as` of the workflow.
    RunOutput,
    /// Everything in a trigger. The event is the input of the expression.
    Event,
}

impl Stage {
    /// Variable names of the specification. A definition may not define variables with these
    /// names.
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

    /// Variables that an expression at this position may use, without `$`.
    ///
    /// `$secrets` is not available, because the results of expressions are stored in the run's
    /// history.
    pub const fn variables(self) -> &'static [&'static str] {
        match self {
            Self::RunInput => &["workflow", "runtime"],
            Self::Condition | Self::TaskInput => &["context", "workflow", "runtime", "task"],
            Self::Body | Self::TaskOutput => &["context", "workflow", "runtime", "task", "input"],
            Self::Export => &["context", "workflow", "runtime", "task", "input", "output"],
            Self::RunOutput => &["context", "workflow", "runtime"],
            Self::Event => &[],
        }
    }
}
