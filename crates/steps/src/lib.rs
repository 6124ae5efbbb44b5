//! The language of steps and its interpreter.
//!
//! Steps travel as JSON. [`language`] reads them. [`machine`] runs them without any I/O: its host
//! reports what happened, and the machine answers with the commands to carry out.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod language;
pub mod limits;
pub mod machine;
pub mod trigger;
