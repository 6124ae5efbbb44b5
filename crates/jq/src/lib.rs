//! Expressions: jq, with limits. See [`Expression`] and [`Template`].

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod error_type;
mod expression;

pub use expression::{
    ENGINE, Expression, ExpressionError, Limit, MAX_ALLOCATED, MAX_DEPTH, MAX_SIZE, MAX_STEPS,
    MAX_TEXT, NOW, Spent, Template, TemplateError, UUID, assigns, expression_in, is_true,
    key_of_input, unescaped, within,
};
