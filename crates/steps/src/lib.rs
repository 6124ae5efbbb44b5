//! The language of steps, and its interpreter.
//!
//! Steps travel as JSON: [`language`] reads them, [`machine`] runs them without
//! any I/O: it is told what happened, and answers what to do.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod event;
pub mod language;
pub mod limits;
pub mod machine;
