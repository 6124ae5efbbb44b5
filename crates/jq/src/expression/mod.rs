//! Expressions: jq, with limits.
//!
//! jaq's parser reads the text, a check lets through the syntax that is known here, and
//! Almanac's own evaluator runs it (`docs/adr/0008-expressions.md`). For every expression and
//! every input:
//!
//! - An evaluation ends, within [`MAX_STEPS`], [`MAX_ALLOCATED`] bytes and a bounded stack.
//! - The same expression on the same input gives the same result, on each
//!   machine and in each build: an expression cannot use a clock, the environment, files,
//!   random numbers, the order of hashes or the system's mathematics.
//! - Only the text that was compiled is evaluated. A text in data stays a text.
//!
//! Other crates decide where a definition may contain expressions, and which variables
//! each place has.

#![expect(
    clippy::needless_pass_by_value,
    reason = "what evaluates owns its input, so that it can change it in place where it is the last to hold it"
)]

mod access;
mod builtin;
mod control;
mod formats;
mod lower;
mod make;
mod meter;
mod mistakes;
mod names;
mod native;
mod node;
mod number;
mod parse;
mod place;
mod prepare;
mod run;
mod stop;
mod template;
mod update;
mod value;

#[cfg(test)]
mod tests;

use almanac_base::size::weight;
use serde_json::Value;

pub use meter::{Limit, MAX_ALLOCATED, MAX_DEPTH, MAX_SIZE, MAX_STEPS, MAX_TEXT, Spent};
pub use mistakes::{assigns, key_of_input};
pub use template::{Template, TemplateError, expression_in, unescaped, within};

use lower::Hidden;
use node::Node;
use run::{Run, Scope};
use stop::Stop;
use value::Val;

/// Number of the engine, which decides the results of expressions and their costs.
///
/// A change that gives any expression another result, or ends it at another
/// place, is another engine. Runs in progress continue with the engine with which
/// they began, so the old engine stays beside the new one until they have ended.
pub const ENGINE: u32 = 1;

/// The name under which a caller gives the time that `now` gives, in seconds since 1970.
pub const NOW: &str = "now()";
/// The name under which a caller gives the seed of `uuid`: a text that it gives once.
pub const UUID: &str = "uuid()";
/// Given like variables, and written like functions.
const HIDDEN: [&str; 2] = [NOW, UUID];

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    node: Node,
    variables: Vec<String>,
    hidden: Hidden,
}

/// Reason why an expression cannot be compiled, or gives no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// The text is not an expression that may be used here.
    #[error("{message}")]
    Invalid {
        /// Place in the text, in bytes from its beginning.
        offset: usize,
        /// Description of the mistake.
        message: String,
    },
    /// The expression itself failed on this input, or called `error`.
    #[error("the expression failed: {0}")]
    Failed(String),
    /// The expression met a limit.
    #[error("the expression {0}")]
    Exceeded(Limit),
}

impl Expression {
    /// Compiles a text. `variables` are the names, without `$`, that it may use.
    ///
    /// Errors are [`ExpressionError::Invalid`], with the place of the mistake.
    pub fn compile(text: &str, variables: &[&str]) -> Result<Self, ExpressionError> {
        let (node, hidden) =
            lower::lower(text, variables).map_err(|invalid| ExpressionError::Invalid {
                offset: invalid.offset,
                message: invalid.message,
            })?;
        Ok(Self {
            hidden,
            text: text.to_owned(),
            node,
            // Those that the text does not name keep their places, without a name.
            variables: variables
                .iter()
                .map(|name| {
                    let named = match *name {
                        NOW => hidden.now,
                        UUID => hidden.uuid,
                        name => text.contains(name),
                    };
                    if named {
                        (*name).to_owned()
                    } else {
                        String::new()
                    }
                })
                .collect(),
        })
    }

    /// Text of the expression, as it was compiled.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns `true` if the expression reads the time that the caller gives as [`NOW`].
    pub fn reads_time(&self) -> bool {
        self.hidden.now
    }

    /// Returns `true` if the expression makes UUIDs of the seed that the caller gives as
    /// [`UUID`].
    pub fn makes_uuids(&self) -> bool {
        self.hidden.uuid
    }

    /// The first output on an input; null where there is none.
    ///
    /// `variables` are names, without `$`, with values; one without a value is
    /// null, and one that was not named when compiling is not used.
    pub fn evaluate(
        &self,
        input: &Value,
        variables: &[(&str, &Value)],
    ) -> Result<Value, ExpressionError> {
        self.evaluate_counting(input, variables).0
    }

    /// Evaluates like [`Expression::evaluate`], and also returns the resources used.
    /// Callers that limit many evaluations together need them.
    pub fn evaluate_counting(
        &self,
        input: &Value,
        variables: &[(&str, &Value)],
    ) -> (Result<Value, ExpressionError>, Spent) {
        let globals = match self.globals(variables) {
            Ok(globals) => globals,
            Err(stop) => {
                // The values were read before the error, so their size counts.
                let tried = variables.iter().map(|(_, value)| weight(value)).sum();
                return (Err(failed(stop)), moved_only(tried));
            }
        };
        let run = Run::new(&globals);
        let mut moved: usize = globals.iter().map(Val::size).sum();
        let converted = Val::from_json(input);
        if converted.is_err() {
            moved += usize::try_from(weight(input)).unwrap_or(usize::MAX);
        }
        let result = converted.and_then(|input| {
            moved += input.size();
            let first = run
                .first(&self.node, Scope::EMPTY, input)?
                .unwrap_or(Val::Null);
            moved += first.size();
            Ok(first.to_json())
        });
        let spent = Spent {
            moved: moved as u64,
            ..run.meter.spent()
        };
        (result.map_err(failed), spent)
    }

    /// The values of the variables that the text names, in the order of compiling.
    fn globals(&self, variables: &[(&str, &Value)]) -> Result<Vec<Val>, Stop> {
        let globals = self.variables.iter().map(|name| {
            let value = variables.iter().find(|(known, _)| known == name);
            match value {
                Some((_, value)) if !name.is_empty() => Val::from_json(value),
                _ => Ok(Val::Null),
            }
        });
        globals.collect()
    }
}

/// Returns `true` if jq takes a value for true: all but null and false.
pub fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

fn failed(stop: Stop) -> ExpressionError {
    match stop {
        Stop::Exceeded(limit) => ExpressionError::Exceeded(limit),
        Stop::Error(Val::Str(message)) => ExpressionError::Failed(shortened(&message)),
        Stop::Error(other) => ExpressionError::Failed(shortened(&other.to_json().to_string())),
        Stop::Break(_) | Stop::Abandoned => ExpressionError::Failed("break".to_owned()),
    }
}

fn moved_only(moved: u64) -> Spent {
    Spent {
        moved,
        ..Spent::default()
    }
}

/// An error's text goes into histories and logs.
fn shortened(message: &str) -> String {
    const LONGEST: usize = 1000;
    match message.char_indices().nth(LONGEST) {
        None => message.to_owned(),
        Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
    }
}
