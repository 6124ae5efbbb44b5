//! The two workflows, and the contracts of their handlers and activities.
//!
//! Nothing here does I/O, reads a clock or the environment, or knows an SDK
//! client; `clippy.toml` bans what the compiler cannot.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod contracts;
pub mod reconcile;
pub mod run;
