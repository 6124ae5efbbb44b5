//! Helpers, and what is tested where.

mod bombs;
mod cost;
mod gate;
mod properties;
mod table;
mod templates;

use serde_json::Value;

use super::{Expression, ExpressionError};

/// The variables of most tests.
pub(super) const VARIABLES: &[&str] = &["context", "input", "workflow", "task"];

/// The result on null.
fn run(text: &str) -> Result<Value, ExpressionError> {
    on(text, &Value::Null)
}

fn on(text: &str, input: &Value) -> Result<Value, ExpressionError> {
    Expression::compile(text, VARIABLES)?.evaluate(input, &[])
}
