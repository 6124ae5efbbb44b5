//! Almanac's deterministic core.
//!
//! Everything here is plain data and functions: the definition model and its
//! parser, cron and fire times as the Temporal server reads them, the
//! comparison and `plan()`, the contracts of the activities, and the two
//! workflows. Nothing here does I/O, reads a clock or the environment, or
//! knows an SDK client; `clippy.toml` bans what the compiler cannot.

#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod budget;
pub mod contracts;
pub mod definition;
mod error_type;
pub mod expression;
pub mod names;
pub mod plan;
pub mod reconcile;
pub mod record;
pub mod run;
pub mod schedule;
mod size;
pub mod snapshot;
pub mod text;
pub mod times;
