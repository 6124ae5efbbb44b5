//! Helpers and modules of the tests.

#![expect(
    clippy::disallowed_methods,
    reason = "tests take the time that evaluations need"
)]

mod bombs;
mod cost;
mod differences;
mod engine;
mod gate;
mod properties;
mod table;
mod table_texts;
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

/// Definitions are compiled on one thread and run on others.
#[test]
fn an_expression_can_go_to_another_thread() {
    fn shared<T: Send + Sync>() {}
    shared::<Expression>();
    shared::<super::Template>();
}
